/* Contenders "nats" and "jetstream".
 * SPDX-License-Identifier: MPL-2.0 */
#include "bench/peer_nats.h"

#ifdef LEAT_WITH_NATS

#include <stdio.h>
#include <stdlib.h>

#include "bench/peer.h"
#include "bench/server.h"
#include "wire/alloc.h"

#define S_STREAM "leat"
#define S_DURABLE "bench"
/* Publications without an acknowledgement; messages of one fetch. */
#define S_WINDOW_MOST 4000
#define S_BATCH_MOST 1000

int leat_bench_nats_run (leat_bench_round_t *round, int ready)
{
    static const char *const arguments[] = { "-c",     "{DIR}/config", "-a",  "127.0.0.1", "-p",
                                             "{PORT}", "-js",          "-sd", "{DIR}",     NULL };
    static const leat_bench_server_t server = { .program = "nats-server",
                                                .version = "--version",
                                                .config = "max_pending: 2000000000\n"
                                                          "write_deadline: \"60s\"\n",
                                                .arguments = arguments };
    return leat_bench_server_run (&server, round, ready);
}

bool leat_bench_nats_good (leat_bench_round_t *round, const char *what, natsStatus status)
{
    if (status == NATS_OK)
        return true;
    leat_bench_round_fail (round, "nats: %s: %s", what, natsStatus_GetText (status));
    return false;
}

bool leat_bench_nats_open (leat_bench_nats_t *self, leat_bench_round_t *round, bool at_once,
                           jsOptions *options)
{
    char url[300];
    natsOptions *connection = NULL;
    *self = (leat_bench_nats_t){ .connection = NULL };
    snprintf (url, sizeof url, "nats://%s", round->front);
    bool good =
        leat_bench_nats_good (round, "options", natsOptions_Create (&connection))
        && leat_bench_nats_good (round, "url", natsOptions_SetURL (connection, url))
        && leat_bench_nats_good (round, "asap", natsOptions_SetSendAsap (connection, at_once))
        && leat_bench_nats_good (round, "connect",
                                 natsConnection_Connect (&self->connection, connection))
        && leat_bench_nats_good (
            round, "context", natsConnection_JetStream (&self->context, self->connection, options));
    natsOptions_Destroy (connection);
    return good;
}

void leat_bench_nats_close (leat_bench_nats_t *self)
{
    jsCtx_Destroy (self->context);
    natsConnection_Destroy (self->connection);
    nats_Close ();
}

bool leat_bench_nats_add_stream (leat_bench_nats_t *self, leat_bench_round_t *round,
                                 const char *name, jsRetentionPolicy retention,
                                 jsStorageType storage)
{
    jsStreamConfig config;
    jsStreamConfig_Init (&config);
    config.Name = name;
    config.Subjects = &name;
    config.SubjectsLen = 1;
    config.Retention = retention;
    config.Storage = storage;
    return leat_bench_nats_good (round, "stream",
                                 js_AddStream (NULL, self->context, &config, NULL, NULL));
}

/* ---- what both contenders have in common ----------------------------------------------------- */

typedef struct {
    leat_bench_round_t *round;
    leat_bench_nats_t nats;
    natsSubscription *subscription;
    int batch;
    natsMsg *last; /* of the last fetch, not acknowledged yet */
} s_client_t;

static void s_close (void *client)
{
    s_client_t *self = client;
    natsMsg_Destroy (self->last);
    natsSubscription_Destroy (self->subscription);
    leat_bench_nats_close (&self->nats);
    free (self);
}

static bool s_flush_connection (void *client)
{
    s_client_t *self = client;
    return leat_bench_nats_good (
        self->round, "flush",
        natsConnection_FlushTimeout (self->nats.connection, LEAT_BENCH_PEER_TIMEOUT_MS));
}

static bool s_check (const natsMsg *message, leat_bench_sink_t *sink)
{
    return leat_bench_sink_check (sink, (const uint8_t *) natsMsg_GetData (message),
                                  (size_t) natsMsg_GetDataLength (message));
}

/* ---- the core -------------------------------------------------------------------------------- */

static void *s_core_open (leat_bench_round_t *round, bool consumer)
{
    s_client_t *self = leat_alloc (sizeof *self);
    self->round = round;
    bool good = leat_bench_nats_open (&self->nats, round, round->plan.rate > 0, NULL);
    if (good && consumer)
        good = leat_bench_nats_good (round, "subscribe",
                                     natsConnection_SubscribeSync (&self->subscription,
                                                                   self->nats.connection, S_STREAM))
               && leat_bench_nats_good (
                   round, "limits", natsSubscription_SetPendingLimits (self->subscription, -1, -1))
               && s_flush_connection (self);
    if (good)
        return self;
    s_close (self);
    return NULL;
}

static bool s_core_send (void *client, const uint8_t *body, size_t size)
{
    s_client_t *self = client;
    return leat_bench_nats_good (
        self->round, "publish",
        natsConnection_Publish (self->nats.connection, S_STREAM, body, (int) size));
}

static bool s_core_receive (void *client, leat_bench_sink_t *sink)
{
    s_client_t *self = client;
    natsMsg *message = NULL;
    natsStatus status =
        natsSubscription_NextMsg (&message, self->subscription, LEAT_BENCH_PEER_TURN_MS);
    if (status == NATS_TIMEOUT)
        return true;
    if (!leat_bench_nats_good (self->round, "receive", status))
        return false;
    bool more = s_check (message, sink);
    natsMsg_Destroy (message);
    return more;
}

/* ---- JetStream ------------------------------------------------------------------------------- */

static void s_publish_failed (jsCtx *context, jsPubAckErr *error, void *closure)
{
    (void) context;
    leat_bench_round_fail (closure, "nats: publish: %s", error->ErrText);
}

static bool s_subscribe (s_client_t *self)
{
    jsSubOptions options;
    jsSubOptions_Init (&options);
    options.Config.AckPolicy = js_AckAll;
    options.Config.MaxAckPending = 2 * S_BATCH_MOST;
    self->batch = self->round->plan.rate > 0
                      ? 1
                      : (int) leat_bench_peer_window (&self->round->plan, S_BATCH_MOST);
    return leat_bench_nats_good (self->round, "consumer",
                                 js_PullSubscribe (&self->subscription, self->nats.context,
                                                   S_STREAM, S_DURABLE, NULL, &options, NULL));
}

static void *s_stream_open (leat_bench_round_t *round, bool consumer)
{
    s_client_t *self = leat_alloc (sizeof *self);
    jsOptions options;
    jsOptions_Init (&options);
    options.PublishAsync.MaxPending = leat_bench_peer_window (&round->plan, S_WINDOW_MOST);
    options.PublishAsync.StallWait = LEAT_BENCH_PEER_TIMEOUT_MS;
    options.PublishAsync.ErrHandler = s_publish_failed;
    options.PublishAsync.ErrHandlerClosure = round;
    self->round = round;
    if (leat_bench_nats_open (&self->nats, round, round->plan.rate > 0 || round->plan.singly,
                              &options)
        && leat_bench_nats_add_stream (&self->nats, round, S_STREAM, js_LimitsPolicy,
                                       round->plan.store ? js_FileStorage : js_MemoryStorage)
        && (!consumer || s_subscribe (self)))
        return self;
    s_close (self);
    return NULL;
}

static bool s_stream_send (void *client, const uint8_t *body, size_t size)
{
    s_client_t *self = client;
    return leat_bench_nats_good (
        self->round, "publish",
        js_PublishAsync (self->nats.context, S_STREAM, body, (int) size, NULL));
}

static bool s_stream_flush (void *client)
{
    s_client_t *self = client;
    jsPubOptions options;
    jsPubOptions_Init (&options);
    options.MaxWait = LEAT_BENCH_PEER_TIMEOUT_MS;
    return leat_bench_nats_good (self->round, "not all is confirmed",
                                 js_PublishAsyncComplete (self->nats.context, &options))
           && !self->round->error[0];
}

static bool s_stream_receive (void *client, leat_bench_sink_t *sink)
{
    s_client_t *self = client;
    natsMsgList list = { .Msgs = NULL };
    if (self->last && !leat_bench_nats_good (self->round, "ack", natsMsg_Ack (self->last, NULL)))
        return false;
    natsMsg_Destroy (self->last);
    self->last = NULL;
    natsStatus status = natsSubscription_Fetch (&list, self->subscription, self->batch,
                                                LEAT_BENCH_PEER_TURN_MS, NULL);
    if (status == NATS_TIMEOUT)
        return true;
    bool more = leat_bench_nats_good (self->round, "fetch", status);
    for (int i = 0; more && i < list.Count; i++)
        more = s_check (list.Msgs[i], sink);
    if (list.Count) {
        self->last = list.Msgs[list.Count - 1];
        list.Msgs[list.Count - 1] = NULL;
    }
    natsMsgList_Destroy (&list);
    return more;
}

static bool s_stream_settle (void *client)
{
    s_client_t *self = client;
    return !self->last
           || leat_bench_nats_good (self->round, "ack", natsMsg_AckSync (self->last, NULL, NULL));
}

/* ---- contenders ------------------------------------------------------------------------------ */

static const leat_bench_peer_t s_core = { .open = s_core_open,
                                          .close = s_close,
                                          .send = s_core_send,
                                          .flush = s_flush_connection,
                                          .receive = s_core_receive };

static const leat_bench_peer_t s_stream = { .open = s_stream_open,
                                            .close = s_close,
                                            .send = s_stream_send,
                                            .flush = s_stream_flush,
                                            .receive = s_stream_receive,
                                            .settle = s_stream_settle };

LEAT_BENCH_PEER_ROLES (core, s_core)
LEAT_BENCH_PEER_ROLES (stream, s_stream)

const leat_bench_contender_t leat_bench_nats = {
    .name = "nats",
    .about = "NATS core, publish and subscribe",
    .promise = "nothing is acknowledged: who is not there, or too slow, gets nothing",
    .server = "nats-server",
    .library = "libnats " NATS_VERSION_STRING,
    .roles = { leat_bench_nats_run, s_core_consumer, s_core_producer },
};

#define S_STREAM_ROLES                                                                             \
    .name = "jetstream", .server = "nats-server", .library = "libnats " NATS_VERSION_STRING,       \
    .roles = { leat_bench_nats_run, s_stream_consumer, s_stream_producer }

const leat_bench_contender_t leat_bench_jetstream = {
    S_STREAM_ROLES,
    .about = "NATS JetStream, memory storage, 4000 publications ahead, pull in batches of 1000",
    .promise =
        "each publication acknowledged, each batch by its last message; one replica; keeps all",
};

const leat_bench_contender_t leat_bench_jetstream_durable = {
    S_STREAM_ROLES,
    .about = "NATS JetStream as for throughput, with file storage",
    .promise = "acknowledged before it is synced, which is every 2 minutes; one replica; keeps all",
};

#endif

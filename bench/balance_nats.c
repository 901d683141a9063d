/* Balancers "nats-N": a JetStream work queue from which consumers pull up to N messages at once.
 * SPDX-License-Identifier: MPL-2.0 */
#include "bench/balancer.h"

#ifdef LEAT_WITH_NATS

#include <nats/nats.h>
#include <stdio.h>

#include "bench/contender.h"
#include "bench/server.h"

#define S_STREAM "tasks"
#define S_DURABLE "workers"
#define S_TIMEOUT_MS 30000

static int s_middle (leat_bench_work_t *work, int ready)
{
    static const char *const arguments[] = { "-a",  "127.0.0.1", "-p",    "{PORT}",
                                             "-js", "-sd",       "{DIR}", NULL };
    static const leat_bench_server_t server = { .program = "nats-server", .arguments = arguments };
    return leat_bench_server_run (&server, work->round, ready);
}

static bool s_good (leat_bench_round_t *round, const char *what, natsStatus status)
{
    if (status == NATS_OK)
        return true;
    leat_bench_round_fail (round, "nats: %s: %s", what, natsStatus_GetText (status));
    return false;
}

typedef struct {
    natsConnection *connection;
    jsCtx *context;
} s_client_t;

/* Connects, and makes the stream unless it is there. */
static bool s_open (s_client_t *self, leat_bench_round_t *round)
{
    char url[300];
    const char *subject = S_STREAM;
    jsStreamConfig config;
    *self = (s_client_t){ .connection = NULL };
    snprintf (url, sizeof url, "nats://%s", round->front);
    jsStreamConfig_Init (&config);
    config.Name = S_STREAM;
    config.Subjects = &subject;
    config.SubjectsLen = 1;
    config.Retention = js_WorkQueuePolicy;
    config.Storage = js_MemoryStorage;
    return s_good (round, "connect", natsConnection_ConnectTo (&self->connection, url))
           && s_good (round, "context",
                      natsConnection_JetStream (&self->context, self->connection, NULL))
           && s_good (round, "stream", js_AddStream (NULL, self->context, &config, NULL, NULL));
}

static void s_close (s_client_t *self)
{
    jsCtx_Destroy (self->context);
    natsConnection_Destroy (self->connection);
    nats_Close ();
}

static bool s_publish (s_client_t *self, leat_bench_work_t *work)
{
    leat_bench_round_t *round = work->round;
    for (uint64_t i = 0; i < work->count; i++) {
        uint8_t body[LEAT_BENCH_WORK_SIZE_MAX];
        leat_bench_work_make (work, i, body);
        if (!s_good (round, "publish",
                     js_PublishAsync (self->context, S_STREAM, body, (int) round->plan.size, NULL)))
            return false;
    }
    jsPubOptions options;
    jsPubOptions_Init (&options);
    options.MaxWait = S_TIMEOUT_MS;
    return s_good (round, "not all is confirmed",
                   js_PublishAsyncComplete (self->context, &options));
}

static int s_producer (leat_bench_work_t *work, int ready)
{
    s_client_t client;
    bool good = s_open (&client, work->round);
    if (good) {
        leat_bench_ready (ready);
        good = s_publish (&client, work);
    }
    s_close (&client);
    return good ? 0 : 1;
}

/* Pulls, works, acknowledges one after the other. */
static bool s_work (natsSubscription *subscription, leat_bench_work_t *work, unsigned worker)
{
    bool good = true;
    while (good && !leat_bench_work_over (work)) {
        natsMsgList list = { .Msgs = NULL };
        natsStatus status = natsSubscription_Fetch (&list, subscription, (int) work->window,
                                                    LEAT_BENCH_WORK_TURN_MS, NULL);
        if (status == NATS_TIMEOUT)
            continue;
        good = s_good (work->round, "pull", status);
        for (int i = 0; good && i < list.Count; i++)
            good = leat_bench_work_do (work, worker, natsMsg_GetData (list.Msgs[i]),
                                       (size_t) natsMsg_GetDataLength (list.Msgs[i]))
                   && s_good (work->round, "ack", natsMsg_Ack (list.Msgs[i], NULL));
        natsMsgList_Destroy (&list);
    }
    return good;
}

static int s_worker (leat_bench_work_t *work, unsigned worker, int ready)
{
    s_client_t client;
    natsSubscription *subscription = NULL;
    bool late = leat_bench_work_joins (work->scenario, worker, work->count) > 0;
    bool good = s_open (&client, work->round);
    if (good && late) {
        leat_bench_ready (ready);
        leat_bench_work_wait (work, worker);
    }
    good = good
           && s_good (work->round, "consumer",
                      js_PullSubscribe (&subscription, client.context, S_STREAM, S_DURABLE, NULL,
                                        NULL, NULL));
    if (good && !late)
        leat_bench_ready (ready);
    good = good && s_work (subscription, work, worker);
    natsSubscription_Destroy (subscription);
    s_close (&client);
    return good ? 0 : 1;
}

#define S_BALANCER(batch, text)                                                                    \
    const leat_bench_balancer_t leat_bench_balance_nats_##batch = {                                \
        .name = "nats-" #batch,                                                                    \
        .about = "NATS JetStream, a work queue in memory, consumers that pull " text,              \
        .window = batch,                                                                           \
        .server = "nats-server",                                                                   \
        .middle = s_middle,                                                                        \
        .worker = s_worker,                                                                        \
        .producer = s_producer,                                                                    \
    }

S_BALANCER (1, "one by one");
S_BALANCER (100, "100 at once");

#endif

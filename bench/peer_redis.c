/* Contender "redis": a stream of Redis with one group.
 * SPDX-License-Identifier: MPL-2.0 */
#include "bench/peer_redis.h"

#ifdef LEAT_WITH_REDIS

#include <hiredis/hiredis.h>
#include <stdlib.h>

#include "bench/peer.h"
#include "bench/server.h"
#include "wire/alloc.h"

#define S_TEXT_OF(number) #number
#define S_TEXT(number) S_TEXT_OF (number)

#define S_STREAM "leat"
#define S_GROUP "bench"
/* Commands on their way; records that a read brings. */
#define S_WINDOW_MOST 2000
#define S_COUNT_MOST 1000

typedef struct {
    leat_bench_round_t *round;
    redisContext *context;
    unsigned window;
    unsigned unconfirmed;
    redisReply *entries; /* those of the last read, to be acknowledged with the next; NULL: none */
    char count[16];
    const char **arguments; /* of XACK */
    size_t *sizes;
} s_client_t;

static int s_middle (leat_bench_round_t *round, int ready)
{
    static const char *const memory[] = { "--port",       "{PORT}", "--bind", "127.0.0.1",
                                          "--dir",        "{DIR}",  "--save", "",
                                          "--appendonly", "no",     NULL };
    static const char *const durable[] = {
        "--port", "{PORT}",       "--bind", "127.0.0.1",     "--dir",  "{DIR}", "--save",
        "",       "--appendonly", "yes",    "--appendfsync", "always", NULL
    };
    const leat_bench_server_t server = { .program = "redis-server",
                                         .version = "--version",
                                         .arguments = round->plan.store ? durable : memory };
    return leat_bench_server_run (&server, round, ready);
}

static bool s_failed (s_client_t *self, const char *what, const redisReply *reply)
{
    leat_bench_round_fail (self->round, "redis: %s: %s", what,
                           reply && reply->type == REDIS_REPLY_ERROR ? reply->str
                           : self->context->err                      ? self->context->errstr
                                                                     : "an answer of another kind");
    return false;
}

static bool s_command (s_client_t *self, int count, const char **arguments, const size_t *sizes)
{
    return redisAppendCommandArgv (self->context, count, arguments, sizes) == REDIS_OK
           || s_failed (self, "command", NULL);
}

/* The next answer; NULL if it is of another kind, which is noted. */
static redisReply *s_reply (s_client_t *self, const char *what, int type)
{
    void *answer = NULL;
    if (redisGetReply (self->context, &answer) != REDIS_OK) {
        s_failed (self, what, NULL);
        return NULL;
    }
    redisReply *reply = answer;
    if (reply->type == type)
        return reply;
    s_failed (self, what, reply);
    freeReplyObject (reply);
    return NULL;
}

static bool s_expect (s_client_t *self, const char *what, int type)
{
    redisReply *reply = s_reply (self, what, type);
    freeReplyObject (reply);
    return reply != NULL;
}

static void s_close (void *client)
{
    s_client_t *self = client;
    if (self->context)
        redisFree (self->context);
    freeReplyObject (self->entries);
    free (self->arguments);
    free (self->sizes);
    free (self);
}

static void *s_open (leat_bench_round_t *round, bool consumer)
{
    s_client_t *self = leat_alloc (sizeof *self);
    struct timeval timeout = { .tv_sec = LEAT_BENCH_PEER_TIMEOUT_MS / 1000 };
    self->round = round;
    self->window = leat_bench_peer_window (&round->plan, S_WINDOW_MOST);
    self->arguments = leat_alloc ((S_COUNT_MOST + 3) * sizeof *self->arguments);
    self->sizes = leat_alloc ((S_COUNT_MOST + 3) * sizeof *self->sizes);
    snprintf (self->count, sizeof self->count, "%u",
              leat_bench_peer_window (&round->plan, S_COUNT_MOST));
    self->context =
        redisConnectWithTimeout ("127.0.0.1", (int) leat_bench_server_port (round), timeout);
    bool good = self->context && !self->context->err
                && redisSetTimeout (self->context, timeout) == REDIS_OK;
    if (!good)
        leat_bench_round_fail (round, "redis: cannot connect: %s",
                               self->context ? self->context->errstr : "no memory");
    if (good && consumer)
        good =
            redisAppendCommand (self->context, "XGROUP CREATE " S_STREAM " " S_GROUP " 0 MKSTREAM")
                == REDIS_OK
            && s_expect (self, "group", REDIS_REPLY_STATUS);
    if (good)
        return self;
    s_close (self);
    return NULL;
}

/* ---- the producer ---------------------------------------------------------------------------- */

static bool s_push (void *client)
{
    s_client_t *self = client;
    int done = 0;
    while (!done)
        if (redisBufferWrite (self->context, &done) != REDIS_OK)
            return s_failed (self, "write", NULL);
    return true;
}

/* Until no more than that are unconfirmed. */
static bool s_await (s_client_t *self, unsigned unconfirmed)
{
    bool good = s_push (self);
    for (; good && self->unconfirmed > unconfirmed; self->unconfirmed--)
        good = s_expect (self, "XADD", REDIS_REPLY_STRING);
    return good;
}

static bool s_flush (void *client)
{
    return s_await (client, 0);
}

static bool s_send (void *client, const uint8_t *body, size_t size)
{
    s_client_t *self = client;
    const char *arguments[] = { "XADD", S_STREAM, "*", "b", (const char *) body };
    const size_t sizes[] = { 4, sizeof S_STREAM - 1, 1, 1, size };
    if (!s_command (self, 5, arguments, sizes))
        return false;
    self->unconfirmed++;
    /* The other half is with the server while this one is made. */
    return self->unconfirmed < self->window || s_await (self, self->window / 2);
}

/* ---- the consumer ---------------------------------------------------------------------------- */

/* Asks to acknowledge what the last read brought. */
static bool s_ask_ack (s_client_t *self)
{
    size_t count = self->entries->elements;
    self->arguments[0] = "XACK";
    self->sizes[0] = 4;
    self->arguments[1] = S_STREAM;
    self->sizes[1] = sizeof S_STREAM - 1;
    self->arguments[2] = S_GROUP;
    self->sizes[2] = sizeof S_GROUP - 1;
    for (size_t i = 0; i < count; i++) {
        const redisReply *id = self->entries->element[i]->element[0];
        self->arguments[3 + i] = id->str;
        self->sizes[3 + i] = (size_t) id->len;
    }
    return s_command (self, (int) count + 3, self->arguments, self->sizes);
}

/* And reads that it is done. */
static bool s_expect_ack (s_client_t *self)
{
    redisReply *reply = s_reply (self, "XACK", REDIS_REPLY_INTEGER);
    bool good = reply && reply->integer == (long long) self->entries->elements;
    if (reply && !good)
        leat_bench_round_fail (self->round, "redis: XACK acknowledged %lld of %zu", reply->integer,
                               self->entries->elements);
    freeReplyObject (reply);
    return good;
}

static bool s_entry_sound (const redisReply *entry)
{
    return entry->type == REDIS_REPLY_ARRAY && entry->elements == 2
           && entry->element[0]->type == REDIS_REPLY_STRING
           && entry->element[1]->type == REDIS_REPLY_ARRAY && entry->element[1]->elements == 2
           && entry->element[1]->element[1]->type == REDIS_REPLY_STRING;
}

/* [[stream, [[id, [field, body]], ...]]]; takes the list of entries out of it. */
static bool s_take (s_client_t *self, redisReply *reply, leat_bench_sink_t *sink)
{
    if (reply->type != REDIS_REPLY_ARRAY || reply->elements != 1
        || reply->element[0]->type != REDIS_REPLY_ARRAY || reply->element[0]->elements != 2
        || reply->element[0]->element[1]->type != REDIS_REPLY_ARRAY
        || reply->element[0]->element[1]->elements > S_COUNT_MOST)
        return s_failed (self, "XREADGROUP", reply);
    self->entries = reply->element[0]->element[1];
    reply->element[0]->element[1] = NULL;
    bool more = true;
    for (size_t i = 0; more && i < self->entries->elements; i++) {
        const redisReply *entry = self->entries->element[i];
        if (!s_entry_sound (entry))
            return s_failed (self, "XREADGROUP", NULL);
        const redisReply *body = entry->element[1]->element[1];
        more = leat_bench_sink_check (sink, (const uint8_t *) body->str, (size_t) body->len);
    }
    return more;
}

/* What was read before is acknowledged in one write with the next read. */
static bool s_receive (void *client, leat_bench_sink_t *sink)
{
    s_client_t *self = client;
    const char *arguments[] = {
        "XREADGROUP", "GROUP",     S_GROUP, "1",
        "COUNT",      self->count, "BLOCK", S_TEXT (LEAT_BENCH_PEER_TURN_MS),
        "STREAMS",    S_STREAM,    ">"
    };
    if ((self->entries && !s_ask_ack (self)) || !s_command (self, 11, arguments, NULL)
        || (self->entries && !s_expect_ack (self)))
        return false;
    freeReplyObject (self->entries);
    self->entries = NULL;
    void *answer = NULL;
    if (redisGetReply (self->context, &answer) != REDIS_OK)
        return s_failed (self, "XREADGROUP", NULL);
    redisReply *reply = answer;
    bool more = reply->type == REDIS_REPLY_NIL || s_take (self, reply, sink);
    freeReplyObject (reply);
    return more;
}

static bool s_settle (void *client)
{
    s_client_t *self = client;
    return !self->entries || (s_ask_ack (self) && s_expect_ack (self));
}

static const leat_bench_peer_t s_peer = { .open = s_open,
                                          .close = s_close,
                                          .send = s_send,
                                          .push = s_push,
                                          .flush = s_flush,
                                          .receive = s_receive,
                                          .settle = s_settle };

LEAT_BENCH_PEER_ROLES (redis, s_peer)

#define S_ROLES                                                                                    \
    .name = "redis", .server = "redis-server",                                                     \
    .library =                                                                                     \
        "hiredis " S_TEXT (HIREDIS_MAJOR) "." S_TEXT (HIREDIS_MINOR) "." S_TEXT (HIREDIS_PATCH),   \
    .roles = { s_middle, s_redis_consumer, s_redis_producer }

const leat_bench_contender_t leat_bench_redis = {
    S_ROLES,
    .about = "Redis Streams, XADD pipelined, XREADGROUP COUNT 1000, XACK of each read",
    .promise = "each XADD answered, each entry acknowledged; not on the disk; keeps all",
};

const leat_bench_contender_t leat_bench_redis_durable = {
    S_ROLES,
    .about = "Redis Streams as for throughput, appendonly yes, appendfsync always",
    .promise = "synced before it is answered, XADD and XACK alike; keeps all",
};

#endif

/* Sessions of Leat: a client with a producer each, and a client with one consumer.
 * SPDX-License-Identifier: MPL-2.0 */
#include "bench/sessions.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <zmq.h>

#include "bench/leat.h"
#include "bench/sockets.h"
#include "wire/alloc.h"

/* For each step that waits for the broker. */
#define S_TIMEOUT_MS 30000
/* How often the consumer looks whether all is over, when nothing comes. */
#define S_LOOK_MS 20

static int s_middle (void *arg, int ready)
{
    leat_bench_sessions_t *sessions = arg;
    return leat_bench_broker_run (sessions->round, ready);
}

/* ---- producers ------------------------------------------------------------------------------- */

typedef struct {
    leat_bench_round_t *round;
    void *context;
    leat_client_t *clients[LEAT_BENCH_SESSIONS_MAX];
    leat_producer_t *producers[LEAT_BENCH_SESSIONS_MAX];
} s_producers_t;

static bool s_send (void *arg, unsigned session, const uint8_t *body)
{
    s_producers_t *self = arg;
    leat_producer_t *producer = self->producers[session];
    if (leat_producer_send (producer, body, self->round->plan.size) == 0
        && leat_producer_flush (producer, S_TIMEOUT_MS) == 0)
        return true;
    leat_bench_producer_failed (self->round, producer, "cannot send and have it confirmed");
    return false;
}

static bool s_open (s_producers_t *self, unsigned count)
{
    for (unsigned i = 0; i < count; i++) {
        self->clients[i] = leat_bench_client_new (self->round, self->round->front, self->context);
        if (!self->clients[i])
            return false;
        self->producers[i] = leat_producer_new (self->clients[i], self->round->stream, NULL);
        uint64_t known;
        if (!self->producers[i]) {
            leat_bench_round_fail (self->round, "no producer %u: %s", i, strerror (errno));
            return false;
        }
        if (leat_producer_known (self->producers[i], &known, S_TIMEOUT_MS) != 0) {
            leat_bench_producer_failed (self->round, self->producers[i], "cannot open the stream");
            return false;
        }
    }
    return true;
}

static int s_producers (void *arg, int ready)
{
    leat_bench_sessions_t *sessions = arg;
    leat_bench_allow_files ();
    s_producers_t *self = leat_alloc (sizeof *self);
    self->round = sessions->round;
    self->context = leat_bench_context_new ();
    int rc = 1;
    if (s_open (self, sessions->count)) {
        leat_bench_ready (ready);
        rc = leat_bench_sessions_send (sessions, s_send, self);
    }
    for (unsigned i = 0; i < sessions->count; i++) {
        leat_producer_destroy (&self->producers[i]);
        leat_client_destroy (&self->clients[i]);
    }
    zmq_ctx_term (self->context);
    free (self);
    return rc;
}

/* ---- the consumer ---------------------------------------------------------------------------- */

static bool s_receive (leat_bench_sessions_t *sessions, leat_consumer_t *consumer)
{
    const leat_bench_plan_t *plan = &sessions->round->plan;
    leat_bench_bodies_t bodies;
    leat_bench_bodies_begin (&bodies, plan->size, plan->seed);
    bool good = true;
    while (good && !leat_bench_sessions_over (sessions)) {
        leat_lease_t *lease = leat_consumer_receive_batch (consumer, S_LOOK_MS);
        leat_delivered_t delivered;
        if (!lease) {
            good = errno == ETIMEDOUT;
            continue;
        }
        while (good && leat_lease_next (lease, &delivered))
            good = leat_bench_sessions_take (sessions, &bodies, delivered.record.body,
                                             delivered.record.body_size);
        leat_lease_ack (&lease);
    }
    leat_bench_bodies_end (&bodies);
    return good;
}

static int s_consume (void *arg, leat_consumer_t *consumer)
{
    leat_bench_sessions_t *sessions = arg;
    leat_bench_round_t *round = sessions->round;
    if (!s_receive (sessions, consumer))
        return leat_bench_consumer_failed (round, consumer, "cannot receive");
    if (leat_consumer_leave (consumer, S_TIMEOUT_MS) != 0)
        return leat_bench_consumer_failed (round, consumer, "not all is settled");
    if (leat_consumer_stale (consumer) || leat_consumer_damaged (consumer))
        leat_bench_round_fail (round, "%" PRIu64 " records settled too late, %" PRIu64 " damaged",
                               leat_consumer_stale (consumer), leat_consumer_damaged (consumer));
    return round->error[0] ? 1 : 0;
}

static int s_consumer (void *arg, int ready)
{
    leat_bench_sessions_t *sessions = arg;
    return leat_bench_consumer_run (sessions->round, s_consume, sessions, ready);
}

const leat_bench_sessions_contender_t leat_bench_sessions_leat = {
    .name = "leat",
    .about = "a client for each session, one with a consumer; all confirmed and settled",
    .middle = s_middle,
    .consumer = s_consumer,
    .producers = s_producers,
};

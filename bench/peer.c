/* The roles that all other brokers have in common.
 * SPDX-License-Identifier: MPL-2.0 */
#include "bench/peer.h"

#include <stdlib.h>

#include "bench/singly.h"
#include "wire/alloc.h"

#define S_WINDOW_SIZE ((size_t) 8 * 1024 * 1024)

unsigned leat_bench_peer_window (const leat_bench_plan_t *plan, unsigned most)
{
    size_t fit = S_WINDOW_SIZE / plan->size;
    return fit >= most ? most : (unsigned) fit;
}

typedef struct {
    const leat_bench_peer_t *peer;
    void *client;
} s_producer_t;

static bool s_send_and_wait (void *arg, const uint8_t *body, size_t size)
{
    s_producer_t *self = arg;
    return self->peer->send (self->client, body, size) && self->peer->flush (self->client);
}

static bool s_send (s_producer_t *self, leat_bench_source_t *source, uint8_t *body, bool paced)
{
    bool good = true;
    bool more = true;
    while (good && more) {
        more = leat_bench_source_make (source, body);
        good = self->peer->send (self->client, body, source->size)
               && (!paced || !self->peer->push || self->peer->push (self->client));
    }
    return good && self->peer->flush (self->client);
}

int leat_bench_peer_produce (const leat_bench_peer_t *self, leat_bench_round_t *round, int ready)
{
    s_producer_t producer = { .peer = self, .client = self->open (round, false) };
    if (!producer.client)
        return 1;
    leat_bench_ready (ready);
    uint8_t *body = leat_alloc_raw (round->plan.size);
    leat_bench_source_t source;
    round->began_ns = leat_bench_now_ns ();
    leat_bench_source_begin (&source, round);
    bool good = round->plan.singly
                    ? leat_bench_send_singly (&source, body, s_send_and_wait, &producer)
                    : s_send (&producer, &source, body, round->plan.rate > 0);
    leat_bench_source_end (&source);
    free (body);
    self->close (producer.client);
    return good ? 0 : 1;
}

int leat_bench_peer_consume (const leat_bench_peer_t *self, leat_bench_round_t *round, int ready)
{
    void *client = self->open (round, true);
    if (!client)
        return 1;
    leat_bench_ready (ready);
    leat_bench_sink_t sink;
    leat_bench_sink_begin (&sink, round);
    while (self->receive (client, &sink))
        ;
    leat_bench_sink_end (&sink);
    bool good = round->complete && (!self->settle || self->settle (client));
    round->settled_ns = leat_bench_now_ns ();
    self->close (client);
    return good ? 0 : 1;
}

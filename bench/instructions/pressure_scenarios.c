/* Where limits are met, memory is scarce, or many things end at once.
 * SPDX-License-Identifier: MPL-2.0 */
#include <stdbool.h>
#include <stdlib.h>

#include "bench/instructions/broker.h"
#include "bench/instructions/instructions.h"
#include "wire/alloc.h"
#include "wire/assert.h"

enum { SCARCE_SIZE = 1 << 21 };

/* What a batch of so many records costs. */
static uint64_t s_cost (uint32_t count)
{
    return leat_batch_cost (count * (4 + BROKER_BODY_SIZE));
}

/* It has such a batch, and no credit for it. */
static void s_want (broker_t *broker, const producer_t *producer, uint32_t count)
{
    leat_command_t want = { .id = LEAT_WANT };
    want.want.channel = producer->channel;
    want.want.size = s_cost (count);
    broker_send (broker, producer->peer, &want);
}

/* Publishes single records as long as there is credit. */
static void s_fill (broker_t *broker, producer_t *producer)
{
    for (;;) {
        if (producer->limit - producer->spent < s_cost (1)) {
            uint64_t before = producer->limit;
            s_want (broker, producer, 1);
            broker_turn (broker);
            if (broker->limit_peer == producer->peer)
                producer->limit = broker->limit;
            if (producer->limit == before)
                return;
            continue;
        }
        broker_publish (broker, producer, 1, BROKER_BODY_SIZE);
        broker_turn (broker);
        if (broker->limit_peer == producer->peer)
            producer->limit = broker->limit;
    }
}

/* A consumer settles its oldest record; whoever of the producers gets credit for a batch of `count`
 * publishes one, and wants the next. */
static void s_round_of_credit (broker_t *broker, producer_t *producers, uint32_t n, uint32_t count)
{
    delivery_t oldest = broker_take (broker, 0);
    broker_settle (broker, &oldest, LEAT_ACK, 0, false);
    broker->limit_peer = 0;
    broker_turn (broker);
    for (uint32_t i = 0; i < n; i++) {
        producer_t *producer = &producers[i];
        if (producer->peer != broker->limit_peer)
            continue;
        producer->limit = broker->limit;
        if (producer->limit - producer->spent < s_cost (count))
            continue;
        broker_publish (broker, producer, count, BROKER_BODY_SIZE);
        s_want (broker, producer, count);
        broker_turn (broker);
        return;
    }
}

static leat_limits_t s_limits (void)
{
    leat_limits_t limits = broker_limits ();
    limits.grant_min_size = 1 << 13;
    limits.batch_size = 1 << 20;
    limits.record_size = 1 << 18;
    return limits;
}

static uint64_t s_stream_full (uint32_t n)
{
    enum { ROUNDS = 300 };
    leat_limits_t limits = s_limits ();
    limits.stream_size = SCARCE_SIZE;
    broker_t *broker = broker_new (&limits);
    for (uint32_t i = 0; i < n; i++)
        broker_open (broker, broker_peer (broker), 1, i + 1);
    pair_t pair = broker_pair (broker, 0);
    producer_t producers[2] = { pair.producer, broker_open (broker, broker_peer (broker), 1, 0) };
    s_fill (broker, &producers[0]);
    s_fill (broker, &producers[1]);
    broker_leap (broker, 2000);
    s_want (broker, &producers[0], 1);
    s_want (broker, &producers[1], 1);
    broker_turn (broker);
    count_begin ();
    for (int i = 0; i < ROUNDS; i++)
        s_round_of_credit (broker, producers, 2, 1);
    count_end ();
    broker_destroy (&broker);
    return ROUNDS;
}

static uint64_t s_memory (uint32_t n, uint32_t count)
{
    enum { ROUNDS = 100 };
    leat_limits_t limits = s_limits ();
    limits.memory_size = SCARCE_SIZE;
    broker_t *broker = broker_new (&limits);
    pair_t pair = broker_pair (broker, 0);
    s_fill (broker, &pair.producer);
    producer_t *producers = leat_alloc (n * sizeof *producers);
    for (uint32_t i = 0; i < n; i++) {
        producers[i] = broker_open (broker, broker_peer (broker), 1, i + 1);
        s_want (broker, &producers[i], count);
    }
    broker_leap (broker, 2000);
    broker_turn (broker);
    count_begin ();
    for (int i = 0; i < ROUNDS; i++)
        s_round_of_credit (broker, producers, n, count);
    count_end ();
    free (producers);
    broker_destroy (&broker);
    return ROUNDS;
}

static uint64_t s_memory_full (uint32_t n)
{
    return s_memory (n, 1);
}

static uint64_t s_memory_short (uint32_t n)
{
    return s_memory (n, 50);
}

/* ---- compaction ------------------------------------------------------------------------------ */

/* A batch of N * 50 records of which a quarter is left, in a broker without much memory. */
static broker_t *s_compacted (uint32_t n, pair_t *pair, bool scattered)
{
    leat_limits_t limits = broker_limits ();
    limits.stream_size = 6 << 20;
    limits.memory_size = 8 << 20;
    limits.batch_size = 1 << 20;
    limits.record_size = 1 << 18;
    broker_t *broker = broker_new (&limits);
    uint32_t count = n * 50 < 64 ? 64 : n * 50;
    *pair = broker_pair (broker, 1);
    /* A consumer is trusted with as much as it has settled, and a few more. */
    for (uint32_t i = 0; i < count; i += 500)
        broker_round (broker, &pair->producer, 500);
    /* Ballast, so that memory is half used and small bodies are worth a copy. */
    pair_t ballast = broker_pair (broker, 0);
    for (int i = 0; i < 4; i++) {
        broker_publish (broker, &ballast.producer, 1000, 1000);
        broker_turn (broker);
        ballast.producer.limit = broker->limit;
    }
    broker_forget (broker);
    broker_publish (broker, &pair->producer, count, 16);
    broker_turn (broker);
    delivery_t whole = broker_take (broker, 0);
    leat_assert (whole.count == count);
    if (!scattered) {
        delivery_t most = whole;
        most.count = count - count / 4;
        broker_settle (broker, &most, LEAT_ACK, 0, false);
        broker_turn (broker);
        return broker;
    }
    for (uint32_t i = 0; i + 4 <= count; i += 4) {
        delivery_t part = whole;
        part.first = whole.first + i;
        part.count = 3;
        broker_settle (broker, &part, LEAT_ACK, 0, false);
    }
    broker_turn (broker);
    return broker;
}

/* What is left of it goes out and is settled one by one. */
static uint64_t s_rest (uint32_t n)
{
    enum { ROUNDS = 100 };
    pair_t pair;
    broker_t *broker = s_compacted (n, &pair, false);
    leat_command_t leave = { .id = LEAT_LEAVE, .leave = { 1 } };
    broker_send (broker, pair.consumer, &leave);
    broker_turn (broker);
    broker_attach (broker, broker_peer (broker), 1, 1, 0, 1);
    uint32_t left = n * 50 / 4;
    uint32_t rounds = left / 2 < ROUNDS ? left / 2 : ROUNDS;
    /* The middle of the rest, where a walk from its start would be long. */
    for (uint32_t i = 0; i < left / 2; i++) {
        broker_settle_all (broker);
        broker_turn (broker);
    }
    count_begin ();
    for (uint32_t i = 0; i < rounds; i++) {
        leat_assert (broker->delivery_count == 1 && broker->deliveries[0].count == 1);
        broker_settle_all (broker);
        broker_turn (broker);
    }
    count_end ();
    broker_destroy (&broker);
    return rounds;
}

static uint64_t s_new_group (uint32_t n)
{
    pair_t pair;
    broker_t *broker = s_compacted (n, &pair, true);
    uint64_t peer = broker_peer (broker);
    count_begin ();
    broker_attach (broker, peer, 1, 1, 1, 0);
    count_end ();
    broker_destroy (&broker);
    return n * 50 / 4;
}

/* ---- ends ------------------------------------------------------------------------------------ */

static uint64_t s_leaves (uint32_t n)
{
    broker_t *broker = broker_new (NULL);
    uint64_t first = broker->last_peer + 1;
    for (uint32_t i = 0; i < n; i++)
        broker_attach (broker, broker_peer (broker), 1, 1, 0, BROKER_CREDIT);
    leat_command_t leave = { .id = LEAT_LEAVE, .leave = { 1 } };
    count_begin ();
    for (uint32_t i = 0; i < n; i++)
        broker_send (broker, first + i, &leave);
    broker_turn (broker);
    count_end ();
    broker_destroy (&broker);
    return n;
}

static uint64_t s_losses (uint32_t n)
{
    broker_t *broker = broker_new (NULL);
    for (uint32_t i = 0; i < n; i++)
        broker_pair (broker, i);
    count_begin ();
    for (uint64_t peer = 1; peer <= broker->last_peer; peer++)
        COUNT (leat_core_unreachable (broker->core, peer));
    broker_turn (broker);
    count_end ();
    uint64_t peers = broker->last_peer;
    broker_destroy (&broker);
    return peers;
}

/* All consumers but one die with a record each, which becomes a suspect among many. */
static uint64_t s_suspects (uint32_t n)
{
    broker_t *broker = broker_new (NULL);
    producer_t producer = broker_open (broker, broker_peer (broker), 1, 1);
    for (uint32_t i = 0; i < n; i++)
        broker_attach (broker, broker_peer (broker), 1, 1, 0, 2);
    uint64_t last = broker->last_peer;
    for (uint32_t i = 0; i < 2 * n; i++) {
        broker_publish (broker, &producer, 1, BROKER_BODY_SIZE);
        broker_turn (broker);
    }
    for (uint64_t peer = last; peer > last - n; peer--)
        leat_core_unreachable (broker->core, peer);
    broker_turn (broker);
    broker_forget (broker);
    for (uint32_t i = 0; i < n; i++)
        broker_attach (broker, broker_peer (broker), 1, 1, 0, 2);
    uint64_t records = 0;
    count_begin ();
    while (records < n && broker->delivery_count) {
        delivery_t oldest = broker_take (broker, 0);
        broker_settle (broker, &oldest, LEAT_ACK, 0, false);
        broker_turn (broker);
        records += oldest.count;
    }
    count_end ();
    broker_destroy (&broker);
    return records;
}

const scenario_t pressure_scenarios[] = {
    { "stream-full", "record",
      "a stream is full and two of its producers wait, beside N idle ones of other streams",
      "grants to be taken back are looked for among those of the stream", false, s_stream_full },
    { "memory-full", "record", "memory is full, N producers of N streams wait for credit",
      "while no memory is left, none is asked behind the first that waits", false, s_memory_full },
    { "memory-short", "record", "memory is full, the N producers wait for more than a record frees",
      "what is free may do for somebody behind the first: four streams are asked in a turn", false,
      s_memory_short },
    { "rest", "record", "the rest of a compacted batch of N * 50 records, one by one",
      "each cut begins at an index of every 64th record", false, s_rest },
    { "new-group", "part", "a new group of a stream with a compacted batch in N * 12 parts",
      "the parts are walked over once; each hole goes into a tree", false, s_new_group },
    { "leaves", "consumer", "N consumers leave in one turn",
      "what a consumer has is in lists of its own, its answers that wait too", false, s_leaves },
    { "losses", "peer", "N producers and N consumers are lost in one turn",
      "what a peer has is in lists of its own", false, s_losses },
    { "suspects", "record", "N consumers work off suspects of N dead ones",
      "who holds a suspect is not looked at; consumers and marks are in trees", false, s_suspects },
    { 0 }
};

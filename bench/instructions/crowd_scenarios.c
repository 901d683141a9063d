/* One record's way through the broker, beside many of whatever there may be many of.
 * SPDX-License-Identifier: MPL-2.0 */
#include <stdbool.h>
#include <stdlib.h>

#include "bench/instructions/broker.h"
#include "bench/instructions/instructions.h"
#include "wire/alloc.h"
#include "wire/assert.h"

enum {
    ROUNDS = 1000,
    LEASES_PER_N = 100,
    MARKS_PER_N = 10,
    WARM_UP_RECORDS = 500,
    BITMAP_RECORDS = 10000
};

/* ---- streams --------------------------------------------------------------------------------- */

static uint64_t s_streams (uint32_t n, bool in_turn)
{
    leat_assert (n);
    broker_t *broker = broker_new (NULL);
    pair_t *pairs = leat_alloc (n * sizeof *pairs);
    for (uint32_t i = 0; i < n; i++) {
        pairs[i] = broker_pair (broker, i);
        broker_round (broker, &pairs[i].producer, 1);
    }
    count_begin ();
    for (uint32_t i = 0; i < ROUNDS; i++)
        broker_round (broker, &pairs[in_turn ? i % n : n / 2].producer, 1);
    count_end ();
    free (pairs);
    broker_destroy (&broker);
    return ROUNDS;
}

static uint64_t s_streams_one (uint32_t n)
{
    return s_streams (n, false);
}

static uint64_t s_streams_all (uint32_t n)
{
    return s_streams (n, true);
}

/* All of them between one turn and the next. */
static uint64_t s_streams_together (uint32_t n)
{
    broker_t *broker = broker_new (NULL);
    pair_t *pairs = leat_alloc (n * sizeof *pairs);
    for (uint32_t i = 0; i < n; i++) {
        pairs[i] = broker_pair (broker, i);
        broker_round (broker, &pairs[i].producer, 1);
    }
    uint64_t records = 0;
    count_begin ();
    while (records < ROUNDS) {
        for (uint32_t i = 0; i < n; i++)
            broker_publish (broker, &pairs[i].producer, 1, BROKER_BODY_SIZE);
        broker_turn (broker);
        broker_settle_all (broker);
        broker_turn (broker);
        records += n;
    }
    count_end ();
    free (pairs);
    broker_destroy (&broker);
    return records;
}

static uint64_t s_channels (uint32_t n)
{
    leat_assert (n);
    broker_t *broker = broker_new (NULL);
    uint64_t producer_peer = broker_peer (broker);
    uint64_t consumer_peer = broker_peer (broker);
    producer_t *producers = leat_alloc (n * sizeof *producers);
    for (uint32_t i = 0; i < n; i++) {
        producers[i] = broker_open (broker, producer_peer, i + 1, i);
        broker_attach (broker, consumer_peer, i + 1, i, 0, BROKER_CREDIT);
        broker_round (broker, &producers[i], 1);
    }
    count_begin ();
    for (uint32_t i = 0; i < ROUNDS; i++)
        broker_round (broker, &producers[i % n], 1);
    count_end ();
    free (producers);
    broker_destroy (&broker);
    return ROUNDS;
}

/* ---- peers ----------------------------------------------------------------------------------- */

static uint64_t s_peers_idle (uint32_t n)
{
    broker_t *broker = broker_new (NULL);
    pair_t pair = broker_pair (broker, 1);
    for (uint32_t i = 0; i < n; i++)
        broker_open (broker, broker_peer (broker), 1, 1);
    broker_round (broker, &pair.producer, 1);
    count_begin ();
    for (uint32_t i = 0; i < ROUNDS; i++)
        broker_round (broker, &pair.producer, 1);
    count_end ();
    broker_destroy (&broker);
    return ROUNDS;
}

/* Heartbeats of all: the cost of an idle peer, a second. */
static uint64_t s_peers_beat (uint32_t n)
{
    leat_limits_t limits = broker_limits ();
    limits.heartbeat_timeout = 5000;
    broker_t *broker = broker_new (&limits);
    uint64_t first = broker_peer (broker);
    for (uint32_t i = 1; i < n; i++)
        broker_peer (broker);
    leat_command_t ping = { .id = LEAT_PING };
    uint64_t beats = 0;
    count_begin ();
    while (beats < ROUNDS) {
        broker_leap (broker, 1000);
        for (uint32_t i = 0; i < n; i++)
            broker_send (broker, first + i, &ping);
        broker_turn (broker);
        beats += n;
    }
    count_end ();
    broker_destroy (&broker);
    return beats;
}

/* ---- leases ---------------------------------------------------------------------------------- */

static uint64_t s_leases (uint32_t n, bool scattered)
{
    broker_t *broker = broker_new (NULL);
    pair_t pair = broker_pair (broker, 1);
    uint32_t held = n * LEASES_PER_N;
    leat_assert (held);
    /* A consumer is trusted with about as much as it has settled. */
    for (uint32_t i = 0; i < 2 * held; i += WARM_UP_RECORDS)
        broker_round (broker, &pair.producer, WARM_UP_RECORDS);
    for (uint32_t i = 0; i < held; i++) {
        broker_publish (broker, &pair.producer, 1, BROKER_BODY_SIZE);
        broker_turn (broker);
    }
    leat_assert (broker->delivery_count == held);
    delivery_t *kept = broker->deliveries;
    broker->deliveries = NULL;
    broker->delivery_count = 0;
    broker->delivery_room = 0;
    broker_round (broker, &pair.producer, 1);
    count_begin ();
    for (uint32_t i = 0; i < ROUNDS; i++) {
        /* A stride that is prime to the number of leases comes to each of them. */
        uint32_t index = (uint32_t) ((uint64_t) i * 7919 % held);
        broker_publish (broker, &pair.producer, 1, BROKER_BODY_SIZE);
        broker_turn (broker);
        delivery_t fresh = broker_take (broker, 0);
        broker_settle (broker, scattered ? &kept[index] : &fresh, LEAT_ACK, 0, false);
        if (scattered)
            kept[index] = fresh;
        broker_turn (broker);
    }
    count_end ();
    free (kept);
    broker_destroy (&broker);
    return ROUNDS;
}

static uint64_t s_leases_newest (uint32_t n)
{
    return s_leases (n, false);
}

static uint64_t s_leases_scattered (uint32_t n)
{
    return s_leases (n, true);
}

/* ---- timers ---------------------------------------------------------------------------------- */

/* A pair beside records that come back in an hour. */
static broker_t *s_delayed (uint32_t n, pair_t *pair)
{
    broker_t *broker = broker_new (NULL);
    *pair = broker_pair (broker, 1);
    for (uint32_t i = 0; i < n * MARKS_PER_N; i++) {
        broker_publish (broker, &pair->producer, 1, BROKER_BODY_SIZE);
        broker_turn (broker);
        delivery_t delivery = broker_take (broker, 0);
        broker_settle (broker, &delivery, LEAT_NACK, 3600000, false);
    }
    broker_turn (broker);
    /* What is settled is written as a bitmap from the first of them on; it is as long for each N. */
    for (uint32_t i = n * MARKS_PER_N; i < BITMAP_RECORDS; i += WARM_UP_RECORDS)
        broker_round (broker, &pair->producer, WARM_UP_RECORDS);
    broker_leap (broker, 1000); /* all of it is committed */
    broker_turn (broker);
    broker_round (broker, &pair->producer, 1);
    return broker;
}

static uint64_t s_timers (uint32_t n)
{
    pair_t pair;
    broker_t *broker = s_delayed (n, &pair);
    count_begin ();
    for (uint32_t i = 0; i < ROUNDS; i++)
        broker_round (broker, &pair.producer, 1);
    count_end ();
    broker_destroy (&broker);
    return ROUNDS;
}

static uint64_t s_timers_nack (uint32_t n)
{
    pair_t pair;
    broker_t *broker = s_delayed (n, &pair);
    count_begin ();
    for (uint32_t i = 0; i < ROUNDS; i++) {
        broker_publish (broker, &pair.producer, 1, BROKER_BODY_SIZE);
        broker_turn (broker);
        delivery_t delivery = broker_take (broker, 0);
        broker_settle (broker, &delivery, LEAT_NACK, 1, false);
        broker_turn (broker);
        broker_leap (broker, 2);
        broker_turn (broker);
        leat_assert (broker->delivery_count == 1);
        broker_settle_all (broker);
        broker_turn (broker);
    }
    count_end ();
    broker_destroy (&broker);
    return ROUNDS;
}

/* Each settle asks for its confirmation, so that each makes a commit of settles. */
static uint64_t s_confirmed_round (broker_t *broker, pair_t *pair, uint32_t rounds)
{
    for (uint32_t i = 0; i < rounds; i++) {
        broker_publish (broker, &pair->producer, 1, BROKER_BODY_SIZE);
        broker_turn (broker);
        delivery_t delivery = broker_take (broker, 0);
        broker_settle (broker, &delivery, LEAT_ACK, 0, true);
        broker_turn (broker);
    }
    return rounds;
}

static uint64_t s_timers_flush (uint32_t n)
{
    pair_t pair;
    broker_t *broker = s_delayed (n, &pair);
    s_confirmed_round (broker, &pair, 2);
    count_begin ();
    uint64_t records = s_confirmed_round (broker, &pair, 200);
    count_end ();
    broker_destroy (&broker);
    return records;
}

/* ---- consumers ------------------------------------------------------------------------------- */

static uint64_t s_group (uint32_t n)
{
    broker_t *broker = broker_new (NULL);
    producer_t producer = broker_open (broker, broker_peer (broker), 1, 1);
    for (uint32_t i = 0; i < n; i++)
        broker_attach (broker, broker_peer (broker), 1, 1, 0, BROKER_CREDIT);
    for (uint32_t i = 0; i < n + n / 2; i++) {
        broker_publish (broker, &producer, 1, BROKER_BODY_SIZE);
        broker_turn (broker);
    }
    count_begin ();
    for (uint32_t i = 0; i < ROUNDS; i++) {
        broker_publish (broker, &producer, 1, BROKER_BODY_SIZE);
        broker_turn (broker);
        delivery_t oldest = broker_take (broker, 0);
        broker_settle (broker, &oldest, LEAT_ACK, 0, false);
        broker_turn (broker);
    }
    count_end ();
    broker_destroy (&broker);
    return ROUNDS;
}

static uint64_t s_group_split (uint32_t n)
{
    broker_t *broker = broker_new (NULL);
    producer_t producer = broker_open (broker, broker_peer (broker), 1, 1);
    for (uint32_t i = 0; i < n; i++)
        broker_attach (broker, broker_peer (broker), 1, 1, 0, BROKER_CREDIT);
    broker_publish (broker, &producer, 10 * n, 10);
    broker_turn (broker);
    broker_leap (broker, 100);
    broker_settle_all (broker);
    broker_turn (broker);
    uint64_t deliveries = 0;
    count_begin ();
    while (deliveries < ROUNDS) {
        broker_publish (broker, &producer, 10 * n, 10);
        broker_turn (broker);
        deliveries += broker->delivery_count;
        broker_leap (broker, 100); /* a brisk consumer would get all of it */
        broker_settle_all (broker);
        broker_turn (broker);
    }
    count_end ();
    broker_destroy (&broker);
    return deliveries;
}

/* Consumers that wait for the end of work that somebody else still has. */
static uint64_t s_askers (uint32_t n)
{
    broker_t *broker = broker_new (NULL);
    for (uint32_t i = 0; i < n; i++) {
        pair_t pair = broker_pair (broker, i);
        broker_publish (broker, &pair.producer, 1, BROKER_BODY_SIZE);
        broker_turn (broker);
        leat_command_t ask = { .id = LEAT_ASK_EMPTY, .ask_empty = { 1, 1 } };
        broker_send (broker, pair.consumer, &ask);
    }
    broker_forget (broker);
    pair_t pair = broker_pair (broker, n);
    broker_round (broker, &pair.producer, 1);
    count_begin ();
    for (uint32_t i = 0; i < ROUNDS; i++)
        broker_round (broker, &pair.producer, 1);
    count_end ();
    broker_destroy (&broker);
    return ROUNDS;
}

const scenario_t crowd_scenarios[] = {
    { "streams-one", "record", "N streams with a producer and a consumer each; one is active",
      "what is active stands in lists; a peer is looked up in a tree", false, s_streams_one },
    { "streams-all", "record", "N streams, active one after the other",
      "a peer is looked up in a tree, credit is kept in a list", false, s_streams_all },
    { "streams-together", "record", "N streams, all active in each turn of the broker",
      "a turn, its commit and its clock are shared by what came in it", false, s_streams_together },
    { "channels", "record", "N streams whose producers share a session, as do the consumers",
      "a channel is looked up in a tree", false, s_channels },
    { "peers-idle", "record", "N idle producers of the stream beside the active one",
      "nothing visits an idle peer", false, s_peers_idle },
    { "peers-beat", "PING", "N idle peers that beat once a second",
      "a peer is looked up in a tree; its timer moves only when it fires", false, s_peers_beat },
    { "leases-newest", "record", "a consumer holds N * 100 leases and settles the newest",
      "leases are in a tree", false, s_leases_newest },
    { "leases-scattered", "record", "a consumer holds N * 100 leases and settles them in any order",
      "leases and batches are in trees; what is settled is a bit", false, s_leases_scattered },
    { "timers", "record",
      "N * 10 records wait for the end of a nack's delay, beside the active pair",
      "only the first timer is looked at; batches are in a tree", false, s_timers },
    { "timers-nack", "record",
      "beside N * 10 delayed records each record is nacked once and comes back",
      "timers, marks and batches are in trees; a commit takes those that changed", false,
      s_timers_nack },
    { "timers-flush", "record",
      "beside N * 10 delayed records each settle asks to be confirmed, which makes a commit",
      "a commit takes what changed; batches are in a tree", false, s_timers_flush },
    { "group", "record", "N consumers of one group; each record goes to the least loaded",
      "consumers with credit are in a tree by their load", false, s_group },
    { "group-split", "delivery", "batches of N * 10 records, split among N consumers",
      "each cut begins at an index of every 64th record", false, s_group_split },
    { "askers", "record", "N groups whose consumers wait for EMPTY, beside the active pair",
      "a turn looks at groups that changed in it", false, s_askers },
    { 0 }
};

/* A record's way through the broker, alone: publish, commit, dispatch, settle.
 * SPDX-License-Identifier: MPL-2.0 */
#include <stdbool.h>

#include "bench/instructions/broker.h"
#include "bench/instructions/instructions.h"
#include "wire/assert.h"

enum { ROUNDS = 300 };

static uint64_t s_path (uint32_t n)
{
    broker_t *broker = broker_new (NULL);
    pair_t pair = broker_pair (broker, 1);
    for (int i = 0; i < 20; i++)
        broker_round (broker, &pair.producer, n);
    count_begin ();
    for (int i = 0; i < ROUNDS; i++)
        broker_round (broker, &pair.producer, n);
    count_end ();
    broker_destroy (&broker);
    return (uint64_t) ROUNDS * n;
}

/* The batches come in one turn, so that they go out together. */
static void s_joined_round (broker_t *broker, pair_t *pair, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++)
        broker_publish (broker, &pair->producer, 1, BROKER_BODY_SIZE);
    broker_turn (broker);
    leat_assert (broker->delivery_count && broker->delivery_count <= 1 + n / (LEAT_SLICES_MAX / 2));
    broker_settle_all (broker);
    broker_turn (broker);
}

static uint64_t s_path_joined (uint32_t n)
{
    enum { JOINED_ROUNDS = 30 };
    broker_t *broker = broker_new (NULL);
    pair_t pair = broker_pair (broker, 1);
    for (int i = 0; i < 20; i++)
        s_joined_round (broker, &pair, n);
    count_begin ();
    for (int i = 0; i < JOINED_ROUNDS; i++)
        s_joined_round (broker, &pair, n);
    count_end ();
    broker_destroy (&broker);
    return (uint64_t) JOINED_ROUNDS * n;
}

/* Ten groups have each record delivered and settled. */
static uint64_t s_path_groups (uint32_t n)
{
    enum { GROUPS = 10 };
    broker_t *broker = broker_new (NULL);
    pair_t pair = broker_pair (broker, 1);
    for (uint32_t group = 1; group < GROUPS; group++)
        broker_attach (broker, broker_peer (broker), 1, 1, group, BROKER_CREDIT);
    broker_round (broker, &pair.producer, n);
    count_begin ();
    for (int i = 0; i < ROUNDS / GROUPS; i++)
        broker_round (broker, &pair.producer, n);
    count_end ();
    broker_destroy (&broker);
    return (uint64_t) (ROUNDS / GROUPS) * GROUPS * n;
}

const scenario_t path_scenarios[] = {
    { "path", "record", "a batch of N records: publish, commit, dispatch, settle",
      "a batch's cost is shared by its records; what is left is the checksum and the walk over them",
      true, s_path },
    { "path-groups", "record and group", "the same with ten groups",
      "the groups share the batch: one body, delivered ten times", true, s_path_groups },
    { "path-joined", "record", "N batches of one record each, delivered together",
      "a delivery's cost is shared by its slices; what is left is the batch's own: publish, commit, confirm",
      true, s_path_joined },
    { 0 }
};

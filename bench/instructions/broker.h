/* The broker's core with a store that completes at once, and peers that a scenario plays. What the
 * core and the store do is counted, what the peers do is not.
 * SPDX-License-Identifier: MPL-2.0 */
#ifndef LEAT_BENCH_INSTRUCTIONS_BROKER_H
#define LEAT_BENCH_INSTRUCTIONS_BROKER_H

#include "broker/core/core.h"
#include "broker/store/store.h"

enum {
    BROKER_TURN_US = 100, /* that pass from one turn to the next */
    BROKER_BODY_SIZE = 100,
    BROKER_CREDIT = 1000000
};

/* A lease that has not been settled yet. */
typedef struct {
    uint64_t peer;
    uint64_t epoch;
    uint64_t first;
    uint32_t channel;
    uint32_t count;
} delivery_t;

typedef struct {
    leat_core_t *core;
    leat_store_t *store;
    uint64_t now_us;
    uint64_t wall_ms;
    uint64_t last_peer;
    delivery_t *deliveries; /* unsettled, oldest first; scenarios may take them out */
    uint32_t delivery_count;
    uint32_t delivery_room;
    uint64_t limit_peer; /* whose credit changed last, and to what */
    uint64_t limit;
} broker_t;

/* Who publishes into a stream. */
typedef struct {
    uint64_t peer;
    uint32_t channel;
    uint64_t next;  /* sequence */
    uint64_t spent; /* of its credit */
    uint64_t limit; /* that it was told; see broker_learn */
} producer_t;

/* A producer and a consumer of a stream of their own. */
typedef struct {
    producer_t producer;
    uint64_t consumer;
} pair_t;

/* Limits under which no scenario but those about limits meets one. */
leat_limits_t broker_limits (void);

/* NULL: broker_limits (). */
broker_t *broker_new (const leat_limits_t *limits);
void broker_destroy (broker_t **self_p);

/* The rest of a turn as broker/io/reactor.c does it, once messages were received: run, store, run,
 * outbox. Then the next one begins. */
void broker_turn (broker_t *self);
/* The turn begins later. */
void broker_leap (broker_t *self, uint64_t ms);

/* A new peer with a session. */
uint64_t broker_peer (broker_t *self);
/* Opens a producer of stream "s<number>"; attaches a consumer to its group "g<group>". */
producer_t broker_open (broker_t *self, uint64_t peer, uint32_t channel, uint32_t number);
void broker_attach (broker_t *self, uint64_t peer, uint32_t channel, uint32_t number,
                    uint32_t group, uint32_t credit);
/* Peers of their own for both sides of stream "s<number>". */
pair_t broker_pair (broker_t *self, uint32_t number);

/* Without a turn. */
void broker_send (broker_t *self, uint64_t peer, const leat_command_t *command);
void broker_publish (broker_t *self, producer_t *producer, uint32_t count, uint32_t body_size);
void broker_settle (broker_t *self, const delivery_t *delivery, leat_outcome_t outcome,
                    uint32_t delay_ms, bool confirm);
/* Acks everything that was delivered and forgets it. */
void broker_settle_all (broker_t *self);
/* Takes a delivery out of the list. */
delivery_t broker_take (broker_t *self, uint32_t index);
/* What is in the list stays leased for good. */
void broker_forget (broker_t *self);

/* Publishes, turns, settles all, turns. */
void broker_round (broker_t *self, producer_t *producer, uint32_t count);

#endif

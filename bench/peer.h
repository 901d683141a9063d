/* Other brokers as contenders: what the client of each does, and what the roles of all have in common.
 * SPDX-License-Identifier: MPL-2.0 */
#ifndef LEAT_BENCH_PEER_H
#define LEAT_BENCH_PEER_H

#include "bench/contender.h"
#include "bench/records.h"

/* A client in a process of its own, through the broker's own C library. Each of these but `open` and
 * `close` returns false after a failure, which it has noted in the round's error. */
typedef struct {
    /* Connects, and makes what the consumer takes from, unless that is there; NULL with the round's
     * error set. */
    void *(*open) (leat_bench_round_t *round, bool consumer);
    void (*close) (void *client);

    /* Producers. Takes a record, perhaps to send it later; waits while too many are unconfirmed. */
    bool (*send) (void *client, const uint8_t *body, size_t size);
    /* What was taken is on its way. NULL: it always is. */
    bool (*push) (void *client);
    /* Waits until the broker has confirmed everything. */
    bool (*flush) (void *client);

    /* Consumers. Waits for some records, a second at most, has them checked, and acknowledges them or
     * notes to do so; false, too, when the sink expects nothing more. */
    bool (*receive) (void *client, leat_bench_sink_t *sink);
    /* Waits until the broker knows of all acknowledgements. NULL: it knows. */
    bool (*settle) (void *client);
} leat_bench_peer_t;

/* Roles. A producer notes when it begins; it sends each record when the one before is confirmed, if the
 * plan says `singly`. A consumer notes when everything is settled. */
int leat_bench_peer_produce (const leat_bench_peer_t *self, leat_bench_round_t *round, int ready);
int leat_bench_peer_consume (const leat_bench_peer_t *self, leat_bench_round_t *round, int ready);

/* How many records may be on their way where `most` small ones do: no more than fit 8 MiB. */
unsigned leat_bench_peer_window (const leat_bench_plan_t *plan, unsigned most);

/* Milliseconds for a step that waits for a broker. */
#define LEAT_BENCH_PEER_TIMEOUT_MS 60000
/* And for records, after which the consumer looks around. */
#define LEAT_BENCH_PEER_TURN_MS 1000

/* Defines the roles s_NAME_producer and s_NAME_consumer of a leat_bench_peer_t. */
#define LEAT_BENCH_PEER_ROLES(name, peer)                                                          \
    static int s_##name##_producer (leat_bench_round_t *round, int ready)                          \
    {                                                                                              \
        return leat_bench_peer_produce (&(peer), round, ready);                                    \
    }                                                                                              \
    static int s_##name##_consumer (leat_bench_round_t *round, int ready)                          \
    {                                                                                              \
        return leat_bench_peer_consume (&(peer), round, ready);                                    \
    }

#endif

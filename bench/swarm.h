/* Many producers and as many consumers, each pair with a stream of its own, in two processes.
 * SPDX-License-Identifier: MPL-2.0 */
#ifndef LEAT_BENCH_SWARM_H
#define LEAT_BENCH_SWARM_H

#include <stdatomic.h>

#include "bench/round.h"

/*      producers' process                      broker                consumers' process
 *
 *      client 0 -- producer 0, 10, 20 ...  -> stream 0 ->  ... consumer 0, 10, 20 ... -- client 0
 *      client 1 -- producer 1, 11, 21 ...  -> stream 1 ->  ... consumer 1, 11, 21 ... -- client 1
 *        ...                                    ...                                         ...
 *
 * Up to 10 clients in each process, which share one ZeroMQ context; producers and consumers are dealt
 * out over them. Where streams are fewer, they are dealt out over the producers and the consumers; the
 * consumers of a stream are of one group, and its producers, which a client can have but one of, have
 * clients of their own. Each producer and consumer has a thread, as a worker has: producers write as
 * fast as they are let, consumers take leases, compare each record with what was sent and settle it.
 * The only consumer of a stream has to get all in order; several together have to get each once.
 *
 * Memory: all producers together keep at most 256 MiB that is unconfirmed (each at least 256 KiB, at
 * most the library's default of 32 MiB), and consumers are leased no more than that. */
enum { LEAT_BENCH_SWARM_MAX = 2000, LEAT_BENCH_SWARM_CLIENTS = 10 };

typedef struct {
    unsigned producers;
    unsigned consumers;
    unsigned streams; /* not more than either */
} leat_bench_shape_t;

/* Of a producer. */
typedef struct {
    _Alignas(64) atomic_uint_fast64_t received; /* records, */
    atomic_uint_fast64_t sum;                   /* and their numbers, which begin at 0 */
    uint64_t sent;                              /* told when the producer has ended */
} leat_bench_lane_t;

/* In memory that processes share. */
typedef struct {
    leat_bench_round_t *round; /* of the endpoints, the plan's size, seed and the streams' name */
    leat_bench_shape_t shape;
    int go;    /* eventfd: producers begin when it is readable */
    int drain; /* eventfd: producers have ended */
    atomic_bool stop;
    leat_bench_lane_t lanes[]; /* of the producers */
} leat_bench_swarm_t;

/* NULL with errno. The round must outlive it. */
leat_bench_swarm_t *leat_bench_swarm_new (leat_bench_round_t *round,
                                          const leat_bench_shape_t *shape);
void leat_bench_swarm_destroy (leat_bench_swarm_t **self_p);

/* Two processes (leat_bench_process_fn) with the swarm as argument; the consumers first. They are
 * ready when they are connected and the producers' streams are open. They end after
 * leat_bench_swarm_stop, when everything that was sent has been received and settled. */
int leat_bench_swarm_consume (void *arg, int ready);
int leat_bench_swarm_produce (void *arg, int ready);

void leat_bench_swarm_go (leat_bench_swarm_t *self);
void leat_bench_swarm_stop (leat_bench_swarm_t *self);

/* Records received and compared so far, of all streams. */
uint64_t leat_bench_swarm_received (const leat_bench_swarm_t *self);

#endif

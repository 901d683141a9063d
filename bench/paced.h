/* A consumer of a paced stream that measures how long records take to it, and settles to the broker.
 * SPDX-License-Identifier: MPL-2.0 */
#ifndef LEAT_BENCH_PACED_H
#define LEAT_BENCH_PACED_H

#include "bench/round.h"

/* In memory that processes share. The producer is that of the contender "leat" with the round's rate;
 * the round's samples are the latencies of the records. */
typedef struct {
    leat_bench_round_t *round;
    uint64_t settles_max;
    uint64_t settles_count;
    uint64_t settles_ns[]; /* from an ack to the return of leat_consumer_flush */
} leat_bench_paced_t;

/* NULL with errno. The round must outlive it. */
leat_bench_paced_t *leat_bench_paced_new (leat_bench_round_t *round);
void leat_bench_paced_destroy (leat_bench_paced_t **self_p);

/* A process (leat_bench_process_fn) with the object as argument. One thread receives, compares and acks
 * each record. Another one flushes: it is told the time of an ack whenever it is not waiting already,
 * so that flushing delays no record. Settles are measured from the MARK on, as records are. */
int leat_bench_paced_consume (void *arg, int ready);

#endif

/* Runs the three processes of a round and leaves none of them behind.
 * SPDX-License-Identifier: MPL-2.0 */
#ifndef LEAT_BENCH_PROCESSES_H
#define LEAT_BENCH_PROCESSES_H

#include "bench/contender.h"

/* Children get SIGKILL when this process dies, however it dies; SIGINT and SIGTERM reach it through
 * a descriptor while an object of this class exists, and make it end its children. */
typedef struct leat_bench_processes leat_bench_processes_t;

/* Blocks SIGINT, SIGTERM and SIGCHLD; the process must have no other thread. */
leat_bench_processes_t *leat_bench_processes_new (void);

/* Ends whatever still runs and gives the signals back as they were. */
void leat_bench_processes_destroy (leat_bench_processes_t **self_p);

/* One round: middle, consumer and producer start in that order, each when the one before is ready;
 * it is over when producer and consumer have ended. False, with the round's error set, if one of
 * them failed, the time was over or a signal came. CPU times are in the round afterwards. */
bool leat_bench_processes_run (leat_bench_processes_t *self,
                               const leat_bench_contender_t *contender, leat_bench_round_t *round);

#endif

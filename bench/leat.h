/* Leat's broker and clients as the benchmarks use them.
 * SPDX-License-Identifier: MPL-2.0 */
#ifndef LEAT_BENCH_LEAT_H
#define LEAT_BENCH_LEAT_H

#include "bench/contender.h"
#include "leat_client.h"
#include "leat_consumer.h"
#include "leat_producer.h"

/* A role: the broker as `leat broker` runs it, on a free port and without a stats socket, durable if
 * the plan has a store; or none, if the plan names one that runs already. Its endpoint is in `front` and
 * `back` of the round. */
int leat_bench_broker_run (leat_bench_round_t *round, int ready);

/* A client that is connected, or NULL with the round's error set. `context` may be NULL. */
leat_client_t *leat_bench_client_new (leat_bench_round_t *round, const char *endpoint,
                                      void *context);

/* The role of a process with one consumer: opens it at the round's `back`, tells that it is ready, runs
 * `run` with it and closes it. Returns what `run` returned, or 1 with the round's error set. */
typedef int (leat_bench_consume_fn) (void *arg, leat_consumer_t *consumer);
int leat_bench_consumer_run (leat_bench_round_t *round, leat_bench_consume_fn *run, void *arg,
                             int ready);

/* Note in the round what went wrong, in the words of the producer or consumer; return 1. */
int leat_bench_producer_failed (leat_bench_round_t *round, leat_producer_t *producer,
                                const char *what);
int leat_bench_consumer_failed (leat_bench_round_t *round, leat_consumer_t *consumer,
                                const char *what);

#endif

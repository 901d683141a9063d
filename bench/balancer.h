/* Who takes part in `leat bench balance`: ways to spread tasks over consumers.
 * SPDX-License-Identifier: MPL-2.0 */
#ifndef LEAT_BENCH_BALANCER_H
#define LEAT_BENCH_BALANCER_H

#include "bench/work.h"

/* One role, in a process of its own that was forked from a process without threads. Writes a byte to
 * `ready` when the next one may start: middle, then the four workers, then the producer, which
 * publishes all tasks at once. Notes in the round's error what went wrong; returns the exit code. A
 * middle is ended with SIGTERM, the others end by themselves when all is done. A worker that is late
 * connects and is ready before it waits; what it does to be given tasks comes after. */
typedef int (leat_bench_work_fn) (leat_bench_work_t *work, int ready);
typedef int (leat_bench_worker_fn) (leat_bench_work_t *work, unsigned worker, int ready);

typedef struct {
    const char *name;
    const char *about;  /* for people, one line */
    unsigned window;    /* work->window */
    const char *server; /* the program that has to be installed; NULL: none */
    leat_bench_work_fn *middle;
    leat_bench_worker_fn *worker;
    leat_bench_work_fn *producer;
} leat_bench_balancer_t;

extern const leat_bench_balancer_t leat_bench_balance_leat;
extern const leat_bench_balancer_t leat_bench_balance_push;
extern const leat_bench_balancer_t leat_bench_balance_beanstalkd;

/* Only with the client libraries. */
#ifdef LEAT_WITH_RABBITMQ
extern const leat_bench_balancer_t leat_bench_balance_rabbitmq_1;
extern const leat_bench_balancer_t leat_bench_balance_rabbitmq_20;
extern const leat_bench_balancer_t leat_bench_balance_rabbitmq_250;
#endif
#ifdef LEAT_WITH_NATS
extern const leat_bench_balancer_t leat_bench_balance_nats_1;
extern const leat_bench_balancer_t leat_bench_balance_nats_100;
#endif

/* All that this program was built with, in the order of their turns; NULL behind the last. */
extern const leat_bench_balancer_t *const leat_bench_balancers[];

/* The one of that name (`size` bytes), or NULL. */
const leat_bench_balancer_t *leat_bench_balancer_find (const char *name, size_t size);

#endif

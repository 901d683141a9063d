/* A list of tasks that four consumers of different speeds work off: how long each takes, that each was
 * done as it was sent, and how long it really took.
 * SPDX-License-Identifier: MPL-2.0 */
#ifndef LEAT_BENCH_WORK_H
#define LEAT_BENCH_WORK_H

#include <stdatomic.h>

#include "bench/round.h"

/* Consumer c has speed 2^c: 1, 2, 4, 8. A task of work w takes w on the fastest one and w * 8 / speed
 * on the others. w is 1 ms in the mean, so the mean service times are 8, 4, 2 and 1 ms, all four
 * together do 1,875 tasks a second, and 20,000 tasks take 10.7 s at best.
 *
 *   lognormal   w is log-normal, sigma 1: the median is 0.61 ms, one task in a hundred takes over
 *               6.2 ms (on the slowest consumer 50 ms)
 *   constant    w is 1 ms
 *   slowdown    as lognormal; when half of the tasks are done, the consumer of speed 4 begins to
 *               take 20 times as long for each task
 *   latecomer   as lognormal; the consumer of speed 8 joins when a third of the tasks is done
 *
 * To work is to sleep until an absolute time, as a handler does that waits for something else: four
 * consumers that kept processors busy would measure the scheduler of a machine with two. */
enum { LEAT_BENCH_WORKERS = 4, LEAT_BENCH_WORKER_SLOWING = 2, LEAT_BENCH_WORKER_LATE = 3 };

typedef enum {
    LEAT_BENCH_LOGNORMAL,
    LEAT_BENCH_CONSTANT,
    LEAT_BENCH_SLOWDOWN,
    LEAT_BENCH_LATECOMER,
    LEAT_BENCH_SCENARIOS
} leat_bench_scenario_t;

const char *leat_bench_scenario_name (leat_bench_scenario_t scenario);

/* The one of that name (`size` bytes), or LEAT_BENCH_SCENARIOS. */
leat_bench_scenario_t leat_bench_scenario_find (const char *name, size_t size);

typedef struct {
    uint64_t work_ns; /* what it takes on the fastest consumer */

    atomic_uint times;   /* that it was done; the rest tells of the first time */
    unsigned worker;     /* by whom */
    uint64_t planned_ns; /* what it should have taken there and then */
    uint64_t elapsed_ns; /* what it took */
    uint64_t end_ns;     /* when it was done */
} leat_bench_task_t;

/* In memory that the processes of a round share. */
typedef struct {
    leat_bench_round_t *round; /* its plan tells size, seed and number of records */
    leat_bench_scenario_t scenario;
    unsigned window;           /* of the contender: what a consumer may hold or ask for at once */
    uint64_t count;            /* of tasks */
    uint64_t start_ns;         /* when the producer began to publish; the clock starts here */
    atomic_uint_fast64_t done; /* different tasks */
    atomic_uint_fast64_t doubles;
    int late; /* eventfd: readable when the latecomer may join */
    int go;   /* eventfd: readable when all may begin, for contenders that need it */
    leat_bench_task_t tasks[];
} leat_bench_work_t;

/* The tasks of a scenario, the same for the same seed. NULL with errno. */
leat_bench_work_t *leat_bench_work_new (const leat_bench_plan_t *plan,
                                        leat_bench_scenario_t scenario);
void leat_bench_work_destroy (leat_bench_work_t **self_p);

/* How many times its work a task takes on a worker when `done` tasks are done. */
double leat_bench_work_factor (leat_bench_scenario_t scenario, unsigned worker, uint64_t done,
                               uint64_t count);

/* Whether the worker joins only when this many are done; 0: from the beginning. */
uint64_t leat_bench_work_joins (leat_bench_scenario_t scenario, unsigned worker, uint64_t count);

/* For the producer: the record of a task, plan.size bytes: number, work, random bytes. Starts the
 * clock when the first one is made. */
void leat_bench_work_make (leat_bench_work_t *self, uint64_t number, uint8_t *body);

/* For workers: checks the whole record, works, notes the result. False if the record is not one of
 * the tasks as it was sent, which then stands in the round's error. */
bool leat_bench_work_do (leat_bench_work_t *self, unsigned worker, const void *body, size_t size);

/* For workers: waits until it is their time to join, at most some minutes. */
void leat_bench_work_wait (leat_bench_work_t *self, unsigned worker);

/* For workers: every task is done; nothing more is to be expected. */
bool leat_bench_work_over (const leat_bench_work_t *self);

/* Sizes of a record. */
enum { LEAT_BENCH_WORK_SIZE_MIN = 16, LEAT_BENCH_WORK_SIZE_MAX = 65536 };

/* What a worker waits for the next task before it asks that again. */
#define LEAT_BENCH_WORK_TURN_MS 20

/* When the last task was done, from the start of the clock; 0 if not all are. */
uint64_t leat_bench_work_makespan_ns (const leat_bench_work_t *self);

/* How many tasks each worker did (first). */
void leat_bench_work_shares (const leat_bench_work_t *self, uint64_t counts[LEAT_BENCH_WORKERS]);

/* What a central queue without any delay would have needed for the same tasks: whoever is free takes
 * the next task of the list at once. A task takes there
 *
 *      work * factor of the worker who has it there  +  (elapsed - planned), as measured
 *
 * The first part scales by the known speeds. The second is what the machine added by waking the
 * sleeper late; it does not depend on the speed, so it is not scaled: scaled, it would grow with each
 * task that a fast worker did and a slow one has in the ideal, and flatter the contender. It is no
 * lower bound: a lucky order can beat the order of the list, by at most the longest task. */
uint64_t leat_bench_work_ideal_ns (const leat_bench_work_t *self);

#endif

/* `leat bench balance`: how well tasks are spread over consumers of different speeds.
 * SPDX-License-Identifier: MPL-2.0 */
#ifndef LEAT_BENCH_BALANCE_H
#define LEAT_BENCH_BALANCE_H

#include "bench/balancer.h"
#include "bench/statistics.h"

enum { LEAT_BENCH_BALANCERS_MAX = 16 };

typedef struct {
    const char *name;       /* "leat bench balance" */
    leat_bench_plan_t plan; /* records: tasks */
    unsigned rounds;
    bool scenarios[LEAT_BENCH_SCENARIOS];
    const leat_bench_balancer_t *balancers[LEAT_BENCH_BALANCERS_MAX];
    unsigned balancers_count;
    double require[LEAT_BENCH_SCENARIOS]; /* ideal / real of leat at least; 0: no */
    bool json;
} leat_bench_balance_options_t;

/* Reads the command line behind "leat bench"; argv[0] is "balance". On a mistake it says what would be
 * right and ends the program with LEAT_EXIT_USAGE. */
void leat_bench_balance_options_parse (leat_bench_balance_options_t *self, int argc, char **argv);

/* Of one balancer in one scenario; each array has a value per round. */
typedef struct {
    double *ratio;                       /* ideal / real */
    double *real_s;                      /* makespan */
    double *ideal_s;                     /* of the central queue without delay */
    double *doubles;                     /* tasks done once more */
    double *shares[LEAT_BENCH_WORKERS];  /* of the tasks, 0 to 1 */
    double *service[LEAT_BENCH_WORKERS]; /* mean of what a task took, ms */
} leat_bench_balance_result_t;

typedef struct {
    leat_bench_balance_result_t results[LEAT_BENCH_SCENARIOS][LEAT_BENCH_BALANCERS_MAX];
    bool no_broker;
} leat_bench_balance_t;

/* Writes to stdout; false if that failed. */
bool leat_bench_balance_report (const leat_bench_balance_t *self,
                                const leat_bench_balance_options_t *options);

/* argv[0] is "balance". Returns the exit code. It forks. */
int leat_bench_balance_command (int argc, char **argv);

#endif

/* The options of `leat bench throughput` and `leat bench latency`.
 * SPDX-License-Identifier: MPL-2.0 */
#ifndef LEAT_BENCH_OPTIONS_H
#define LEAT_BENCH_OPTIONS_H

#include "bench/contender.h"

enum { LEAT_BENCH_CONTENDERS_MAX = 8, LEAT_BENCH_ROUNDS_MAX = 1000 };

typedef struct {
    const char *name; /* "leat bench throughput" */
    bool latency;
    leat_bench_plan_t plan;
    double seconds; /* measured in a round */
    double warm_up_seconds;
    unsigned rounds;
    const leat_bench_contender_t *contenders[LEAT_BENCH_CONTENDERS_MAX];
    unsigned contenders_count;
    double require; /* throughput: leat / relay at least; latency: leat / router at most; 0: no */
    double require_proxy; /* leat / proxy at least */
    bool json;
} leat_bench_options_t;

/* Reads the command line behind "leat bench"; argv[0] is the benchmark's name. On a mistake it says
 * what would be right and ends the program with LEAT_EXIT_USAGE, as argp does. */
void leat_bench_options_parse (leat_bench_options_t *self, bool latency, int argc, char **argv);

/* Where a contender stands in the list; -1 if it does not take part. */
int leat_bench_options_index (const leat_bench_options_t *self,
                              const leat_bench_contender_t *contender);

#endif

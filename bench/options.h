/* The options of `leat bench throughput` and `leat bench latency`.
 * SPDX-License-Identifier: MPL-2.0 */
#ifndef LEAT_BENCH_OPTIONS_H
#define LEAT_BENCH_OPTIONS_H

#include "bench/contenders.h"

enum { LEAT_BENCH_ROUNDS_MAX = 1000 };

typedef struct {
    const char *name; /* "leat bench throughput" */
    bool latency;
    leat_bench_plan_t plan;
    double seconds; /* measured in a round */
    double warm_up_seconds;
    unsigned rounds;
    leat_bench_contenders_t contenders; /* required is of throughput at least, of latency at most */
    bool json;
} leat_bench_options_t;

/* Reads the command line behind "leat bench"; argv[0] is the benchmark's name. On a mistake it says
 * what would be right and ends the program with LEAT_EXIT_USAGE, as argp does. */
void leat_bench_options_parse (leat_bench_options_t *self, bool latency, int argc, char **argv);

#endif

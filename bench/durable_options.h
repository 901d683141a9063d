/* The options of `leat bench durable`.
 * SPDX-License-Identifier: MPL-2.0 */
#ifndef LEAT_BENCH_DURABLE_OPTIONS_H
#define LEAT_BENCH_DURABLE_OPTIONS_H

#include "bench/contenders.h"

enum { LEAT_BENCH_DURABLE_ROUNDS_MAX = 1000, LEAT_BENCH_SWINGS_MAX = 6 };

typedef struct {
    const char *name;
    const char *directory; /* where the folder is made */
    leat_bench_plan_t plan;
    unsigned rounds; /* or swings */
    double seconds;
    leat_bench_contenders_t contenders; /* required: time / Leat's, at least */
    double require_single;              /* Leat's p50 / LMDB's, at most; 0: no */
    uint64_t swing_low;                 /* bytes of bodies */
    uint64_t swing_high;                /* 0: do not swing */
    bool json;
} leat_bench_durable_options_t;

/* As leat_bench_options_parse. */
void leat_bench_durable_options_parse (leat_bench_durable_options_t *self, int argc, char **argv);

#endif

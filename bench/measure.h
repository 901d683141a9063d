/* Plays the rounds of a benchmark, the contenders in turn, and keeps what came out of each.
 * SPDX-License-Identifier: MPL-2.0 */
#ifndef LEAT_BENCH_MEASURE_H
#define LEAT_BENCH_MEASURE_H

#include "bench/options.h"
#include "bench/statistics.h"

enum {
    LEAT_BENCH_P50,
    LEAT_BENCH_P90,
    LEAT_BENCH_P99,
    LEAT_BENCH_P99_9,
    LEAT_BENCH_WORST,
    LEAT_BENCH_PERCENTILES
};

/* Of one contender; each array has a value per round. */
typedef struct {
    char version[32]; /* of its server, if it has one that tells */
    double *records_per_second;
    double *percentiles_us[LEAT_BENCH_PERCENTILES]; /* with a fixed rate */
    double *awake_p50_us; /* from when the producer was awake instead of the intended time */
    double *cpu_ns[LEAT_BENCH_ROLES];   /* per record, with the warm-up */
    double *switches[LEAT_BENCH_ROLES]; /* per thousand records */
} leat_bench_result_t;

typedef struct {
    leat_bench_result_t results[LEAT_BENCH_CONTENDERS_MAX]; /* as options->contenders */
    unsigned rounds;
    bool no_broker; /* why it failed */
} leat_bench_measurement_t;

/* Every contender once in each round, one after the other, so that what the machine does besides
 * meets all of them. Progress goes to stderr when that is a terminal. False if a round failed, which
 * it has said on stderr then. */
bool leat_bench_measure (leat_bench_measurement_t *self, const leat_bench_options_t *options);

void leat_bench_measurement_free (leat_bench_measurement_t *self);

#endif

/* Medians and percentiles, from all samples and never from buckets.
 * SPDX-License-Identifier: MPL-2.0 */
#ifndef LEAT_BENCH_STATISTICS_H
#define LEAT_BENCH_STATISTICS_H

#include <stddef.h>
#include <stdint.h>

/* The smallest sample that at least so many thousandths of all do not exceed (nearest rank): 500 is
 * the median, 999 p99.9, 1000 the maximum. Sorts the samples; there must be at least one. */
uint64_t leat_bench_percentile (uint64_t *samples, size_t count, unsigned thousandths);

/* Of at least one value; the mean of the middle two when `count` is even. Leaves `values` as they
 * are. */
double leat_bench_median (const double *values, size_t count);

/* Of at least one value. */
double leat_bench_least (const double *values, size_t count);
double leat_bench_most (const double *values, size_t count);

/* median (above) / median (below), and the smallest and largest quotient of one round, which tell
 * how far the ratio can be believed. */
typedef struct {
    double ratio;
    double least;
    double most;
} leat_bench_ratio_t;

leat_bench_ratio_t leat_bench_ratio (const double *above, const double *below, size_t count);

#endif

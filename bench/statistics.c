/* Medians and percentiles.
 * SPDX-License-Identifier: MPL-2.0 */
#include "bench/statistics.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "wire/alloc.h"
#include "wire/assert.h"

static int s_compare_uint64 (const void *a, const void *b)
{
    uint64_t left = *(const uint64_t *) a;
    uint64_t right = *(const uint64_t *) b;
    return left < right ? -1 : left > right;
}

static int s_compare_double (const void *a, const void *b)
{
    double left = *(const double *) a;
    double right = *(const double *) b;
    return left < right ? -1 : left > right;
}

uint64_t leat_bench_percentile (uint64_t *samples, size_t count, unsigned thousandths)
{
    leat_assert (count > 0);
    /* Sorted already when another percentile was asked for before. */
    for (size_t i = 1; i < count; i++) {
        if (samples[i - 1] > samples[i]) {
            qsort (samples, count, sizeof samples[0], s_compare_uint64);
            break;
        }
    }
    size_t rank = (count * thousandths + 999) / 1000;
    return samples[rank > count ? count - 1 : rank ? rank - 1 : 0];
}

double leat_bench_median (const double *values, size_t count)
{
    leat_assert (count > 0);
    double *sorted = leat_alloc_raw (count * sizeof *sorted);
    memcpy (sorted, values, count * sizeof *sorted);
    qsort (sorted, count, sizeof *sorted, s_compare_double);
    double median = (sorted[(count - 1) / 2] + sorted[count / 2]) / 2;
    free (sorted);
    return median;
}

double leat_bench_least (const double *values, size_t count)
{
    double least = values[0];
    for (size_t i = 1; i < count; i++)
        least = fmin (least, values[i]);
    return least;
}

double leat_bench_most (const double *values, size_t count)
{
    double most = values[0];
    for (size_t i = 1; i < count; i++)
        most = fmax (most, values[i]);
    return most;
}

leat_bench_ratio_t leat_bench_ratio (const double *above, const double *below, size_t count)
{
    leat_bench_ratio_t ratio = { .ratio = leat_bench_median (above, count)
                                          / leat_bench_median (below, count),
                                 .least = above[0] / below[0],
                                 .most = above[0] / below[0] };
    for (size_t i = 1; i < count; i++) {
        ratio.least = fmin (ratio.least, above[i] / below[i]);
        ratio.most = fmax (ratio.most, above[i] / below[i]);
    }
    return ratio;
}

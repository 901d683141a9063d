/* What the benchmarks print: tables for people, JSON for programs.
 * SPDX-License-Identifier: MPL-2.0 */
#ifndef LEAT_BENCH_REPORT_H
#define LEAT_BENCH_REPORT_H

#include "bench/measure.h"

/* Writes to stdout; false if that failed. */
bool leat_bench_report_throughput (const leat_bench_measurement_t *measurement,
                                   const leat_bench_options_t *options);
bool leat_bench_report_latency (const leat_bench_measurement_t *measurement,
                                const leat_bench_options_t *options);

/* Leat against another contender: records per second, or p50 with a fixed rate. Of the latter there
 * are two, from the intended sending and from when the producer was awake; told is the worse for
 * Leat, as the producer's own waking up, the same for all, would flatter it. False if one of the two
 * did not take part. */
bool leat_bench_report_ratio (const leat_bench_measurement_t *measurement,
                              const leat_bench_options_t *options,
                              const leat_bench_contender_t *other, leat_bench_ratio_t *ratio);

#endif

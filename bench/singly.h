/* Records that are sent one at a time, each when the one before is confirmed.
 * SPDX-License-Identifier: MPL-2.0 */
#ifndef LEAT_BENCH_SINGLY_H
#define LEAT_BENCH_SINGLY_H

#include "bench/records.h"

/* Sends a record and waits until it is confirmed; false after a failure. */
typedef bool (leat_bench_send_fn) (void *arg, const uint8_t *body, size_t size);

/* Sends until the plan's measure_ns are over or the round has no room for samples; each sample is the
 * time of a call. Then it sends the last record, so one more than there are samples. `body` has room
 * for one. */
bool leat_bench_send_singly (leat_bench_source_t *source, uint8_t *body, leat_bench_send_fn *send,
                             void *arg);

/* For others that do something one at a time: keeps how long it took since start_ns; false when it was
 * the last time. */
bool leat_bench_sample_singly (leat_bench_round_t *round, uint64_t start_ns, uint64_t end_ns);

#endif

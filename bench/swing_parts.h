/* The processes that make a backlog go up and down. See swing.h.
 * SPDX-License-Identifier: MPL-2.0 */
#ifndef LEAT_BENCH_SWING_PARTS_H
#define LEAT_BENCH_SWING_PARTS_H

#include <stdatomic.h>

#include "bench/round.h"

enum { LEAT_BENCH_SWING_STREAMS = 50 };

/* Records of the flood and of the probe are numbered apart, in each stream. */
enum { LEAT_BENCH_FLOOD, LEAT_BENCH_PROBE, LEAT_BENCH_SWING_SOURCES };

typedef struct {
    uint64_t sent[LEAT_BENCH_SWING_SOURCES]; /* by the one process that sends them */
    uint64_t seen[LEAT_BENCH_SWING_SOURCES]; /* by the one thread that takes them */
} leat_bench_swing_lane_t;

typedef enum { LEAT_BENCH_UP, LEAT_BENCH_DOWN, LEAT_BENCH_DIRECTIONS } leat_bench_direction_t;

/* In memory that processes share. */
typedef struct {
    leat_bench_round_t *round; /* of the endpoint, the plan, and the samples: `samples_max` of each
                                * direction, in nanoseconds */
    uint64_t samples_count[LEAT_BENCH_DIRECTIONS];
    uint64_t low; /* bytes of bodies */
    uint64_t high;
    atomic_uint_fast64_t published; /* bytes of bodies so far */
    atomic_uint_fast64_t settled;
    atomic_int direction;    /* of now */
    atomic_bool probe_stops; /* told to it */
    leat_bench_swing_lane_t lanes[LEAT_BENCH_SWING_STREAMS];
} leat_bench_swing_t;

/* Bytes of bodies that are published and not settled. */
uint64_t leat_bench_swing_backlog (const leat_bench_swing_t *self);

/* Processes (leat_bench_process_fn) with the swing as argument. The flood ends when the backlog is
 * above `high` and all is confirmed, the drain when it is no more than `low` and all that it took is
 * settled, the probe when it is told. */
int leat_bench_swing_flood (void *arg, int ready);
int leat_bench_swing_drain (void *arg, int ready);
int leat_bench_swing_probe (void *arg, int ready);

#endif

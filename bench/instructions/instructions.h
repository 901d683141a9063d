/* Counts instructions of the engines: fixed input, no clock, no socket, one thread; what is counted
 * is the same in each run, and on each machine with the same compiler and libraries.
 * SPDX-License-Identifier: MPL-2.0 */
#ifndef LEAT_BENCH_INSTRUCTIONS_INSTRUCTIONS_H
#define LEAT_BENCH_INSTRUCTIONS_INSTRUCTIONS_H

#include <stdbool.h>
#include <stdint.h>
#include <valgrind/callgrind.h>

/*      set-up           not even instrumented: fast
 *      count_begin ()
 *        the scenario   counts what stands in COUNT, which is calls of the engines and nothing
 *        ...            of the scenario itself
 *      count_end ()
 *      tear-down
 *
 * Without valgrind all of it does nothing. COUNT may not be nested. */
#define COUNT(...)                                                                                 \
    do {                                                                                           \
        CALLGRIND_TOGGLE_COLLECT;                                                                  \
        __VA_ARGS__;                                                                               \
        CALLGRIND_TOGGLE_COLLECT;                                                                  \
    } while (0)

static inline void count_begin (void)
{
    CALLGRIND_START_INSTRUMENTATION;
    CALLGRIND_ZERO_STATS;
}

static inline void count_end (void)
{
    CALLGRIND_STOP_INSTRUMENTATION;
}

typedef struct {
    const char *name;
    const char *unit;  /* what the count is divided by: "record" and the like */
    const char *title; /* what happens; "N" is the parameter */
    const char *why;   /* how it scales, and why: a sentence */
    bool batches;      /* N is the number of records in a batch */
    /* Plays it; returns how many units were counted. */
    uint64_t (*play) (uint32_t n);
} scenario_t;

/* Tables that end with a row without a name. */
extern const scenario_t path_scenarios[];     /* a record's way through the broker */
extern const scenario_t crowd_scenarios[];    /* beside many others */
extern const scenario_t pressure_scenarios[]; /* at limits, and when many things end at once */
extern const scenario_t client_scenarios[];   /* the engines of clients, and the codec */

#endif

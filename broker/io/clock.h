/* The two clocks, which only the broker's I/O reads.
 * SPDX-License-Identifier: MPL-2.0 */
#ifndef LEAT_BROKER_IO_CLOCK_H
#define LEAT_BROKER_IO_CLOCK_H

#include <stdint.h>
#include <time.h>

static inline uint64_t leat_clock_monotonic_us (void)
{
    struct timespec time;
    clock_gettime (CLOCK_MONOTONIC, &time);
    return (uint64_t) time.tv_sec * 1000000 + (uint64_t) time.tv_nsec / 1000;
}

/* Milliseconds since 1970 UTC. */
static inline uint64_t leat_clock_wall_ms (void)
{
    struct timespec time;
    clock_gettime (CLOCK_REALTIME, &time);
    return (uint64_t) time.tv_sec * 1000 + (uint64_t) time.tv_nsec / 1000000;
}

#endif

/* The simulator's only source of chance.
 * SPDX-License-Identifier: MPL-2.0 */
#ifndef LEAT_SIMULATION_RANDOM_H
#define LEAT_SIMULATION_RANDOM_H

#include <stdbool.h>
#include <stdint.h>

typedef struct {
    uint64_t state;
} sim_random_t;

/* splitmix64: Steele, Lea, Flood, "Fast splittable pseudorandom number generators", 2014. */
static inline uint64_t sim_mix (uint64_t value)
{
    value += 0x9e3779b97f4a7c15u;
    value = (value ^ (value >> 30)) * 0xbf58476d1ce4e5b9u;
    value = (value ^ (value >> 27)) * 0x94d049bb133111ebu;
    return value ^ (value >> 31);
}

static inline uint64_t sim_random (sim_random_t *self)
{
    uint64_t value = sim_mix (self->state);
    self->state += 0x9e3779b97f4a7c15u;
    return value;
}

/* 0 to bound - 1; bound at least 1. The slight unevenness does no harm here. */
static inline uint64_t sim_below (sim_random_t *self, uint64_t bound)
{
    return sim_random (self) % bound;
}

/* low to high, both included. */
static inline uint64_t sim_between (sim_random_t *self, uint64_t low, uint64_t high)
{
    return low + sim_below (self, high - low + 1);
}

static inline bool sim_chance (sim_random_t *self, unsigned percent)
{
    return sim_below (self, 100) < percent;
}

#endif

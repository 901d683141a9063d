/* Makes and compares the bodies of many producers' records.
 * SPDX-License-Identifier: MPL-2.0 */
#include "bench/bodies.h"

#include <stdlib.h>
#include <string.h>

#include "bench/records.h"
#include "wire/alloc.h"
#include "wire/assert.h"

void leat_bench_bodies_begin (leat_bench_bodies_t *self, size_t size, uint64_t seed)
{
    leat_assert (size >= LEAT_BENCH_BODIES_SIZE_MIN);
    size_t pattern_size = (LEAT_BENCH_PLACES + 2) * 8 + size;
    *self = (leat_bench_bodies_t){ .pattern = leat_alloc (pattern_size), .size = size };
    uint64_t state = seed;
    for (size_t at = 0; at + 8 <= pattern_size; at += 8) {
        uint64_t word = leat_bench_random (&state);
        memcpy (self->pattern + at, &word, 8);
    }
}

void leat_bench_bodies_end (leat_bench_bodies_t *self)
{
    free (self->pattern);
    self->pattern = NULL;
}

static const uint8_t *s_pattern (const leat_bench_bodies_t *self, uint64_t producer,
                                 uint64_t number)
{
    return self->pattern + (number + producer) % LEAT_BENCH_PLACES * 8;
}

void leat_bench_bodies_make (const leat_bench_bodies_t *self, uint64_t producer, uint64_t number,
                             uint8_t *body)
{
    memcpy (body, &number, 8);
    memcpy (body + 8, &producer, 8);
    memcpy (body + 16, s_pattern (self, producer, number), self->size - 16);
}

bool leat_bench_bodies_same (const leat_bench_bodies_t *self, uint64_t producer, uint64_t number,
                             const uint8_t *body, size_t size)
{
    return size == self->size && memcmp (body, &number, 8) == 0
           && memcmp (body + 8, &producer, 8) == 0
           && memcmp (body + 16, s_pattern (self, producer, number), size - 16) == 0;
}

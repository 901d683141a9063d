/* Bodies of records that many producers send: whose each is, and which one.
 * SPDX-License-Identifier: MPL-2.0 */
#ifndef LEAT_BENCH_BODIES_H
#define LEAT_BENCH_BODIES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*      +----------+------------+------------------- ... --+
 *      | number 8 | producer 8 | bytes of the pattern     |
 *      +----------+------------+------------------- ... --+
 *
 * In the byte order of the machine. The pattern is random bytes of a seed; a record has those that
 * begin at a place told by its number and its producer. */
enum { LEAT_BENCH_BODIES_SIZE_MIN = 16 };

typedef struct {
    uint8_t *pattern;
    size_t size;
} leat_bench_bodies_t;

/* Of `size` bytes each, at least LEAT_BENCH_BODIES_SIZE_MIN. */
void leat_bench_bodies_begin (leat_bench_bodies_t *self, size_t size, uint64_t seed);
void leat_bench_bodies_end (leat_bench_bodies_t *self);

/* Writes `size` bytes. */
void leat_bench_bodies_make (const leat_bench_bodies_t *self, uint64_t producer, uint64_t number,
                             uint8_t *body);

/* Whether these are the bytes that leat_bench_bodies_make wrote. */
bool leat_bench_bodies_same (const leat_bench_bodies_t *self, uint64_t producer, uint64_t number,
                             const uint8_t *body, size_t size);

#endif

/* The records of a benchmark: how each is made, and how each is checked, for every contender alike.
 * SPDX-License-Identifier: MPL-2.0 */
#ifndef LEAT_BENCH_RECORDS_H
#define LEAT_BENCH_RECORDS_H

#include <string.h>

#include "bench/round.h"

/* A body, in the byte order of the machine, which both ends share:
 *
 *      +--------------------+-----------------+-----------------+------------------- ... --+
 *      | number and flags 8 | intended ns 8 * | awake ns 8 *    | bytes of the pattern     |
 *      +--------------------+-----------------+-----------------+------------------- ... --+
 *        * only when the rate is fixed: when the record was meant to be sent, and when the producer
 *          was awake to send it
 *
 * The pattern is random bytes of a seed; record n has those that begin at a place told by n. The
 * check compares all of it with memcmp: order, loss, duplicates and every byte.
 *
 * What is measured: the producer flags one record as the MARK, when the warm-up is over, and one as
 * the LAST. The consumer takes the time when it has checked the one and when it has checked the
 * other; the records between (without the marked one) divided by that time are the throughput. */
#define LEAT_BENCH_SIZE_MIN 24
#define LEAT_BENCH_SIZE_MIN_UNPACED 16 /* without a fixed rate */

#define LEAT_BENCH_LAST (UINT64_C (1) << 63)
#define LEAT_BENCH_MARK (UINT64_C (1) << 62)
#define LEAT_BENCH_NUMBER (LEAT_BENCH_MARK - 1)

/* Places where a record's pattern may begin: small enough for the nearest caches. */
#define LEAT_BENCH_PLACES 2048u

/* splitmix64 (Steele, Lea and Flood, "Fast splittable pseudorandom number generators"). */
uint64_t leat_bench_random (uint64_t *state);

/* ---- making ---------------------------------------------------------------------------------- */

typedef struct {
    leat_bench_round_t *round;
    uint8_t *pattern;
    size_t size;
    size_t fixed; /* bytes before the pattern */
    uint64_t number;
    uint64_t event; /* the number at which something besides filling has to be done */
    uint64_t mark;  /* UINT64_MAX until it is known */
    uint64_t last;
    uint64_t mark_ns; /* when the warm-up is over, when time decides */
    uint64_t last_ns;
    uint64_t start_ns; /* of the fixed rate */
    int timer;
    bool done; /* the last record was made */
} leat_bench_source_t;

/* Starts the clock. */
void leat_bench_source_begin (leat_bench_source_t *self, leat_bench_round_t *round);
void leat_bench_source_end (leat_bench_source_t *self);

/* The seldom part of leat_bench_source_make; returns the flags. With a fixed rate it waits for the
 * intended time and writes it, and the time now, to `stamps`. */
uint64_t leat_bench_source_event (leat_bench_source_t *self, uint8_t *stamps);

/* Writes the next record, `size` bytes; false if that was the last one. */
static inline bool leat_bench_source_make (leat_bench_source_t *self, uint8_t *body)
{
    uint64_t number = self->number++;
    uint64_t word = number;
    const uint8_t *pattern = self->pattern + (number % LEAT_BENCH_PLACES) * 8;
    if (__builtin_expect (number == self->event, 0))
        word |= leat_bench_source_event (self, body + 8);
    memcpy (body, &word, 8);
    memcpy (body + self->fixed, pattern, self->size - self->fixed);
    return !self->done;
}

/* ---- checking -------------------------------------------------------------------------------- */

typedef struct {
    leat_bench_round_t *round;
    uint8_t *pattern;
    size_t size;
    size_t fixed;
    uint64_t number;
    uint64_t mark;
    uint64_t mark_ns;
    bool marked;
    bool done; /* the last record came, or one that was wrong */
} leat_bench_sink_t;

void leat_bench_sink_begin (leat_bench_sink_t *self, leat_bench_round_t *round);
void leat_bench_sink_end (leat_bench_sink_t *self);

/* The seldom parts of leat_bench_sink_check. */
void leat_bench_sink_event (leat_bench_sink_t *self, uint64_t word);
void leat_bench_sink_wrong (leat_bench_sink_t *self, const uint8_t *body, size_t size);
void leat_bench_sink_sample (leat_bench_sink_t *self, const uint8_t *body);

/* Takes a record; false once nothing more is expected: the last one came, or a wrong one, which
 * then stands in the round's error. */
static inline bool leat_bench_sink_check (leat_bench_sink_t *self, const uint8_t *body, size_t size)
{
    uint64_t word = 0;
    if (size >= sizeof word)
        memcpy (&word, body, sizeof word);
    uint64_t number = word & LEAT_BENCH_NUMBER;
    const uint8_t *pattern = self->pattern + (number % LEAT_BENCH_PLACES) * 8;
    if (__builtin_expect (size != self->size || number != self->number
                              || memcmp (body + self->fixed, pattern, size - self->fixed) != 0,
                          0)) {
        leat_bench_sink_wrong (self, body, size);
        return false;
    }
    self->number++;
    if (self->fixed > sizeof word)
        leat_bench_sink_sample (self, body);
    if (__builtin_expect (word != number, 0))
        leat_bench_sink_event (self, word);
    return !self->done;
}

#endif

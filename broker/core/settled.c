/* Which records a group has settled: a floor, and chunks above it.
 * SPDX-License-Identifier: MPL-2.0 */

#include "broker/core/state.h"

/*      offsets   ... ####### | #.##.... | ........ | ######## | ######## | ..#..... |
 *                           ^ floor       no chunk  \__ one run of two __/   a bitmap
 *
 * Consumers that settle in order only move the floor, and no chunk exists. Chunks that are settled
 * whole above a record that takes hours join into one run, so that they cost nothing. Bits below
 * the floor may be unset: they count as settled. */

enum { WORDS = LEAT_CHUNK_RECORDS / 64 };

static int core_chunk_compare (const core_chunk_t *a, const core_chunk_t *b)
{
    return (a->number > b->number) - (a->number < b->number);
}

RB_GENERATE (core_chunks, core_chunk, by_number, core_chunk_compare)

/* The last chunk that begins at `number` or before it. */
static core_chunk_t *s_before (const core_settled_t *settled, uint64_t number)
{
    struct core_chunks *chunks = (struct core_chunks *) &settled->chunks;
    core_chunk_t key = { .number = number };
    core_chunk_t *after = RB_NFIND (core_chunks, chunks, &key);
    if (after && after->number == number)
        return after;
    return after ? RB_PREV (core_chunks, , after) : RB_MAX (core_chunks, chunks);
}

/* The one that has `number`, or NULL. */
static core_chunk_t *s_find (const core_settled_t *settled, uint64_t number)
{
    core_chunk_t *chunk = s_before (settled, number);
    uint64_t length = chunk && chunk->whole ? chunk->whole : 1;
    return chunk && number < chunk->number + length ? chunk : NULL;
}

static uint64_t s_end (const core_chunk_t *chunk)
{
    return (chunk->number + (chunk->whole ? chunk->whole : 1)) * LEAT_CHUNK_RECORDS;
}

void core_settled_begin (core_settled_t *settled, uint64_t floor)
{
    settled->floor = floor;
    settled->dirty = false;
    RB_INIT (&settled->chunks);
    LIST_INIT (&settled->dirty_chunks);
}

void core_chunk_changed (core_settled_t *settled, core_chunk_t *chunk)
{
    if (chunk->dirty)
        return;
    chunk->dirty = true;
    LIST_INSERT_HEAD (&settled->dirty_chunks, chunk, in_dirty);
}

void core_chunk_written (core_chunk_t *chunk)
{
    if (!chunk->dirty)
        return;
    chunk->dirty = false;
    LIST_REMOVE (chunk, in_dirty);
}

static void s_drop (core_settled_t *settled, core_chunk_t *chunk)
{
    core_chunk_written (chunk); /* another one, or the floor, has what it had */
    RB_REMOVE (core_chunks, &settled->chunks, chunk);
    free (chunk->bits);
    free (chunk);
}

void core_settled_clear (core_settled_t *settled)
{
    core_chunk_t *chunk;
    while ((chunk = RB_MIN (core_chunks, &settled->chunks)))
        s_drop (settled, chunk);
}

bool core_settled_has (const core_settled_t *settled, uint64_t offset)
{
    if (offset < settled->floor)
        return true;
    const core_chunk_t *chunk = s_find (settled, offset / LEAT_CHUNK_RECORDS);
    uint32_t index = offset % LEAT_CHUNK_RECORDS;
    return chunk && (chunk->whole || (chunk->bits[index / 64] >> (index % 64) & 1));
}

/* First index >= from whose bit is `value`; LEAT_CHUNK_RECORDS if there is none. */
static uint32_t s_scan (const core_chunk_t *chunk, uint32_t from, bool value)
{
    /* Most of a chunk may be unset still: that is not worth a look. */
    uint32_t words = value ? (chunk->end + 63) / 64 : WORDS;
    for (uint32_t word = from / 64; word < words; word++) {
        uint64_t bits = value ? chunk->bits[word] : ~chunk->bits[word];
        if (word == from / 64)
            bits &= UINT64_MAX << (from % 64);
        if (bits)
            return word * 64 + (uint32_t) __builtin_ctzll (bits);
    }
    return LEAT_CHUNK_RECORDS;
}

static void s_set (core_chunk_t *chunk, uint32_t from, uint32_t to)
{
    chunk->count += to - from;
    if (chunk->end < to)
        chunk->end = to;
    while (from < to) {
        uint32_t end = (from / 64 + 1) * 64 < to ? (from / 64 + 1) * 64 : to;
        uint64_t mask = UINT64_MAX << (from % 64);
        if (end % 64)
            mask &= (UINT64_C (1) << (end % 64)) - 1;
        leat_assert (!(chunk->bits[from / 64] & mask));
        chunk->bits[from / 64] |= mask;
        from = end;
    }
}

/* Joins a run of whole chunks with the runs before and behind it. */
static void s_join (core_settled_t *settled, core_chunk_t *chunk)
{
    core_chunk_t *after = RB_NEXT (core_chunks, , chunk);
    if (after && after->whole && after->number == chunk->number + chunk->whole) {
        chunk->whole += after->whole;
        s_drop (settled, after);
    }
    core_chunk_t *before = RB_PREV (core_chunks, , chunk);
    if (before && before->whole && before->number + before->whole == chunk->number) {
        before->whole += chunk->whole;
        core_chunk_changed (settled, before);
        s_drop (settled, chunk);
    }
}

static core_chunk_t *s_make (core_settled_t *settled, uint64_t number)
{
    core_chunk_t *chunk = leat_alloc (sizeof *chunk);
    chunk->number = number;
    RB_INSERT (core_chunks, &settled->chunks, chunk);
    core_chunk_changed (settled, chunk);
    return chunk;
}

/* Sets bits [from, to) of one chunk. */
static void s_add_part (core_settled_t *settled, uint64_t number, uint32_t from, uint32_t to)
{
    core_chunk_t *chunk = s_find (settled, number);
    if (!chunk) {
        chunk = s_make (settled, number);
        chunk->bits = leat_alloc (WORDS * sizeof *chunk->bits);
    }
    leat_assert (!chunk->whole);
    s_set (chunk, from, to);
    core_chunk_changed (settled, chunk);
    if (chunk->count < LEAT_CHUNK_RECORDS)
        return;
    free (chunk->bits);
    chunk->bits = NULL;
    chunk->whole = 1;
    s_join (settled, chunk);
}

/* Moves the floor over what is settled above it and drops the chunks that it passes. */
static void s_rise (core_settled_t *settled)
{
    core_chunk_t *chunk;
    while ((chunk = RB_MIN (core_chunks, &settled->chunks))) {
        uint64_t base = chunk->number * LEAT_CHUNK_RECORDS;
        if (base > settled->floor)
            return;
        if (chunk->whole) {
            if (settled->floor < s_end (chunk))
                settled->floor = s_end (chunk);
        } else if (settled->floor < s_end (chunk)) {
            uint32_t open = s_scan (chunk, (uint32_t) (settled->floor - base), false);
            settled->floor = base + open;
            if (open < LEAT_CHUNK_RECORDS)
                return;
        }
        s_drop (settled, chunk);
    }
}

void core_settled_add (core_settled_t *settled, uint64_t first, uint64_t count)
{
    leat_assert (first >= settled->floor);
    uint64_t end = first + count;
    if (first == settled->floor) {
        settled->floor = end;
        settled->dirty = true;
        s_rise (settled);
        return;
    }
    while (first < end) {
        uint64_t number = first / LEAT_CHUNK_RECORDS;
        uint64_t base = number * LEAT_CHUNK_RECORDS;
        uint64_t whole = first == base ? (end - base) / LEAT_CHUNK_RECORDS : 0;
        if (whole) {
            core_chunk_t *chunk = s_make (settled, number);
            chunk->whole = whole;
            s_join (settled, chunk);
            first = base + whole * LEAT_CHUNK_RECORDS;
            continue;
        }
        uint64_t to = base + LEAT_CHUNK_RECORDS < end ? base + LEAT_CHUNK_RECORDS : end;
        s_add_part (settled, number, (uint32_t) (first - base), (uint32_t) (to - base));
        first = to;
    }
}

uint64_t core_settled_next_open (const core_settled_t *settled, uint64_t from)
{
    if (from < settled->floor)
        from = settled->floor;
    const core_chunk_t *chunk;
    while ((chunk = s_find (settled, from / LEAT_CHUNK_RECORDS))) {
        if (chunk->whole) {
            from = s_end (chunk);
            continue;
        }
        uint32_t open = s_scan (chunk, from % LEAT_CHUNK_RECORDS, false);
        from = chunk->number * LEAT_CHUNK_RECORDS + open;
        if (open < LEAT_CHUNK_RECORDS)
            break;
    }
    return from;
}

uint64_t core_settled_next_settled (const core_settled_t *settled, uint64_t from)
{
    leat_assert (from >= settled->floor);
    core_chunk_t *chunk = s_before (settled, from / LEAT_CHUNK_RECORDS);
    if (!chunk)
        chunk = RB_MIN (core_chunks, (struct core_chunks *) &settled->chunks);
    for (; chunk; chunk = RB_NEXT (core_chunks, , chunk)) {
        if (s_end (chunk) <= from)
            continue;
        uint64_t base = chunk->number * LEAT_CHUNK_RECORDS;
        if (chunk->whole)
            return from > base ? from : base;
        uint32_t set = s_scan (chunk, from > base ? (uint32_t) (from - base) : 0, true);
        if (set < LEAT_CHUNK_RECORDS)
            return base + set;
    }
    return UINT64_MAX;
}

uint64_t core_settled_end (const core_settled_t *settled)
{
    const core_chunk_t *last = RB_MAX (core_chunks, (struct core_chunks *) &settled->chunks);
    return last && s_end (last) > settled->floor ? s_end (last) : settled->floor;
}

/* Which records are settled: the core's chunks against an array of bytes.
 * SPDX-License-Identifier: MPL-2.0 */
#include "broker/core/state.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

enum { RECORDS = 5 * LEAT_CHUNK_RECORDS + 1000 };

typedef struct {
    core_settled_t settled;
    uint8_t *model;
    uint64_t start;
    uint64_t random;
} bench_t;

static uint64_t s_random (bench_t *bench, uint64_t below)
{
    uint64_t z = (bench->random += 0x9e3779b97f4a7c15u);
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return (z ^ (z >> 31)) % below;
}

static bench_t s_begin (uint64_t seed, uint64_t start)
{
    bench_t bench = { .start = start, .random = seed, .model = leat_alloc (RECORDS) };
    core_settled_begin (&bench.settled, start);
    memset (bench.model, 1, start);
    return bench;
}

static void s_end (bench_t *bench)
{
    core_settled_clear (&bench->settled);
    free (bench->model);
}

static void s_add (bench_t *bench, uint64_t first, uint64_t count)
{
    core_settled_add (&bench->settled, first, count);
    memset (bench->model + first, 1, count);
}

/* Settles what is open in [first, first + count). */
static void s_add_open (bench_t *bench, uint64_t first, uint64_t count)
{
    uint64_t end = first + count < RECORDS ? first + count : RECORDS;
    while (first < end) {
        uint64_t run = first;
        while (run < end && !bench->model[run])
            run++;
        if (run > first)
            s_add (bench, first, run - first);
        first = run + 1;
    }
}

static uint64_t s_next (const bench_t *bench, uint64_t from, uint8_t value)
{
    const uint8_t *found = memchr (bench->model + from, value, RECORDS - from);
    return found ? (uint64_t) (found - bench->model) : RECORDS;
}

static void s_check_at (const bench_t *bench, uint64_t offset)
{
    assert_int_equal (core_settled_has (&bench->settled, offset), bench->model[offset]);
    uint64_t open = core_settled_next_open (&bench->settled, offset);
    assert_int_equal (open, s_next (bench, offset, 0));
    if (offset < bench->settled.floor)
        return;
    uint64_t settled = core_settled_next_settled (&bench->settled, offset);
    uint64_t expected = s_next (bench, offset, 1);
    assert_true (settled == (expected < RECORDS ? expected : UINT64_MAX));
}

static void s_check (bench_t *bench)
{
    for (int i = 0; i < 5; i++)
        s_check_at (bench, s_random (bench, RECORDS));
    assert_int_equal (bench->settled.floor, s_next (bench, 0, 0));
    assert_true (core_settled_end (&bench->settled) >= bench->settled.floor);
    core_chunk_t *chunk;
    core_chunk_t *before = NULL;
    RB_FOREACH (chunk, core_chunks, &bench->settled.chunks) {
        assert_true ((chunk->bits == NULL) == (chunk->whole > 0));
        if (before) {
            uint64_t end = before->number + (before->whole ? before->whole : 1);
            assert_true (chunk->number >= end);
            assert_false (before->whole && chunk->whole && chunk->number == end);
        }
        before = chunk;
    }
}

static void s_check_all (bench_t *bench)
{
    for (uint64_t i = 0; i < RECORDS; i++)
        if (core_settled_has (&bench->settled, i) != bench->model[i])
            fail_msg ("offset %d", (int) i);
    uint64_t end = core_settled_end (&bench->settled);
    for (uint64_t i = end; i < RECORDS; i++)
        assert_false (bench->model[i]);
}

static void test_random_ranges (void **state)
{
    static const uint64_t starts[] = { 0, 1, 63, 64, 65535, 65536, 100000 };
    for (uint64_t seed = 1; seed <= 20; seed++) {
        bench_t bench = s_begin (seed, starts[seed % 7]);
        for (int step = 0; step < 200; step++) {
            uint64_t size = s_random (&bench, 3);
            uint64_t count = 1 + s_random (&bench, size == 0 ? 3 : size == 1 ? 1000 : 100000);
            uint64_t first = s_random (&bench, RECORDS);
            if (s_random (&bench, 4) == 0)
                first = bench.settled.floor;
            if (s_random (&bench, 4) == 0)
                first = first / LEAT_CHUNK_RECORDS * LEAT_CHUNK_RECORDS;
            if (s_random (&bench, 6) == 0)
                count = LEAT_CHUNK_RECORDS * (1 + s_random (&bench, 3));
            s_add_open (&bench, first, count);
            s_check (&bench);
        }
        s_check_all (&bench);
        s_add_open (&bench, 0, RECORDS);
        assert_int_equal (bench.settled.floor, RECORDS);
        s_end (&bench);
    }
}

/* In order there is never a chunk. */
static void test_in_order (void **state)
{
    bench_t bench = s_begin (1, 7);
    for (uint64_t offset = 7; offset + 100 < RECORDS; offset += 100) {
        s_add (&bench, offset, 100);
        assert_true (RB_EMPTY (&bench.settled.chunks));
        assert_true (bench.settled.dirty);
    }
    s_check_all (&bench);
    s_end (&bench);
}

/* One record that takes for ever leaves one run behind it, however much is settled above. */
static void test_whole_chunks_join (void **state)
{
    bench_t bench = s_begin (1, 0);
    static const uint64_t order[] = { 4, 2, 3, 1 };
    for (size_t i = 0; i < 4; i++) {
        s_add (&bench, order[i] * LEAT_CHUNK_RECORDS, LEAT_CHUNK_RECORDS);
        s_check (&bench);
    }
    core_chunk_t *chunk = RB_MIN (core_chunks, &bench.settled.chunks);
    assert_int_equal (chunk->number, 1);
    assert_int_equal (chunk->whole, 4);
    assert_null (RB_NEXT (core_chunks, , chunk));
    s_add (&bench, 1, LEAT_CHUNK_RECORDS - 1);
    s_check (&bench);
    assert_int_equal (bench.settled.floor, 0);
    s_add (&bench, 0, 1);
    assert_int_equal (bench.settled.floor, 5 * LEAT_CHUNK_RECORDS);
    assert_true (RB_EMPTY (&bench.settled.chunks));
    s_check_all (&bench);
    s_end (&bench);
}

/* The floor enters a chunk and leaves bits behind it that are never set. */
static void test_floor_inside_a_chunk (void **state)
{
    bench_t bench = s_begin (1, 0);
    s_add (&bench, 100, 50);
    s_add (&bench, 0, 100);
    assert_int_equal (bench.settled.floor, 150);
    s_add (&bench, 200, 1);
    s_check (&bench);
    s_add (&bench, 151, 49);
    s_add (&bench, 150, 1);
    assert_int_equal (bench.settled.floor, 201);
    s_add (&bench, 202, LEAT_CHUNK_RECORDS - 202);
    s_add (&bench, 201, 1);
    assert_int_equal (bench.settled.floor, LEAT_CHUNK_RECORDS);
    s_check_all (&bench);
    s_end (&bench);
}

int main (void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test (test_random_ranges),
        cmocka_unit_test (test_in_order),
        cmocka_unit_test (test_whole_chunks_join),
        cmocka_unit_test (test_floor_inside_a_chunk),
    };
    return cmocka_run_group_tests (tests, NULL, NULL);
}

/* Tests what the benchmarks rest on: that a wrong record is found, and that percentiles are right.
 * SPDX-License-Identifier: MPL-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>

#include "bench/bodies.h"
#include "bench/records.h"
#include "bench/statistics.h"
#include "wire/alloc.h"

enum { SIZE = 100, WARM_UP = 10, MEASURED = 5000, RECORDS = WARM_UP + MEASURED + 1 };

typedef struct {
    leat_bench_round_t *round;
    uint8_t *bodies;
    leat_bench_sink_t sink;
} s_fixture_t;

static s_fixture_t s_new (double rate)
{
    leat_bench_plan_t plan = {
        .size = SIZE, .records = MEASURED, .warm_up = WARM_UP, .rate = rate, .seed = 7
    };
    s_fixture_t self = { .round = leat_bench_round_new (&plan, rate > 0 ? MEASURED : 0),
                         .bodies = leat_alloc ((size_t) RECORDS * SIZE) };
    leat_bench_source_t source;
    leat_bench_source_begin (&source, self.round);
    for (size_t i = 0; i < RECORDS; i++)
        assert_int_equal (leat_bench_source_make (&source, self.bodies + i * SIZE),
                          i + 1 < RECORDS);
    leat_bench_source_end (&source);
    leat_bench_sink_begin (&self.sink, self.round);
    return self;
}

static void s_free (s_fixture_t *self)
{
    leat_bench_sink_end (&self->sink);
    leat_bench_round_destroy (&self->round);
    free (self->bodies);
}

static uint8_t *s_body (s_fixture_t *self, size_t i)
{
    return self->bodies + i * SIZE;
}

/* Records before `count` are taken. */
static void s_take (s_fixture_t *self, size_t count)
{
    for (size_t i = 0; i < count; i++)
        assert_int_equal (leat_bench_sink_check (&self->sink, s_body (self, i), SIZE),
                          i + 1 < RECORDS);
}

static void s_refused (s_fixture_t *self, size_t i, size_t size)
{
    assert_false (leat_bench_sink_check (&self->sink, s_body (self, i), size));
    assert_false (self->round->complete);
    assert_true (self->round->error[0]);
}

static void test_all_in_order (void **state)
{
    s_fixture_t self = s_new (0);
    s_take (&self, RECORDS);
    assert_true (self.round->complete);
    assert_int_equal (self.round->measured, MEASURED);
    assert_int_equal (self.round->sent, RECORDS);
    assert_string_equal (self.round->error, "");
    s_free (&self);
}

static void test_samples (void **state)
{
    s_fixture_t self = s_new (1e6);
    s_take (&self, RECORDS);
    assert_true (self.round->complete);
    assert_int_equal (self.round->samples_count, MEASURED);
    /* From the intended time it is never shorter than from when the producer was awake. */
    for (size_t i = 0; i < MEASURED; i++)
        assert_true (self.round->samples[i] >= self.round->samples[MEASURED + i]);
    s_free (&self);
}

static void test_any_byte_counts (void **state)
{
    for (size_t at = 0; at < SIZE; at++) {
        s_fixture_t self = s_new (0);
        s_take (&self, 20);
        s_body (&self, 20)[at] ^= 0x10;
        s_refused (&self, 20, SIZE);
        s_free (&self);
    }
}

static void test_order (void **state)
{
    s_fixture_t self = s_new (0);
    s_take (&self, 20);
    s_refused (&self, 21, SIZE); /* lost or overtaken */
    s_free (&self);
    self = s_new (0);
    s_take (&self, 20);
    s_refused (&self, 19, SIZE); /* twice */
    s_free (&self);
    /* The same place in the pattern, but another record. */
    self = s_new (0);
    s_take (&self, 20);
    s_refused (&self, 20 + LEAT_BENCH_PLACES, SIZE);
    s_free (&self);
}

static void test_size (void **state)
{
    for (size_t size = 0; size < SIZE; size++) {
        s_fixture_t self = s_new (0);
        s_refused (&self, 0, size);
        s_free (&self);
    }
}

static void test_end_without_mark (void **state)
{
    s_fixture_t self = s_new (0);
    uint64_t word = LEAT_BENCH_LAST;
    memcpy (self.bodies, &word, sizeof word);
    s_refused (&self, 0, SIZE);
    s_free (&self);
}

static void test_bodies (void **state)
{
    static const size_t sizes[] = { LEAT_BENCH_BODIES_SIZE_MIN, 17, SIZE };
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        size_t size = sizes[i];
        uint8_t body[SIZE];
        leat_bench_bodies_t bodies;
        leat_bench_bodies_begin (&bodies, size, 7);
        leat_bench_bodies_make (&bodies, 3, 5000, body);
        assert_true (leat_bench_bodies_same (&bodies, 3, 5000, body, size));
        assert_false (leat_bench_bodies_same (&bodies, 3, 5001, body, size));
        assert_false (leat_bench_bodies_same (&bodies, 4, 5000, body, size));
        assert_false (leat_bench_bodies_same (&bodies, 3, 5000, body, size - 1));
        for (size_t at = 0; at < size; at++) {
            body[at] ^= 0x10;
            assert_false (leat_bench_bodies_same (&bodies, 3, 5000, body, size));
            body[at] ^= 0x10;
        }
        leat_bench_bodies_end (&bodies);
    }
}

static void test_percentiles (void **state)
{
    uint64_t samples[1000];
    for (size_t i = 0; i < 1000; i++)
        samples[i] = (i * 7919) % 1000 + 1; /* 1 to 1000 in another order */
    assert_int_equal (leat_bench_percentile (samples, 1000, 500), 500);
    assert_int_equal (leat_bench_percentile (samples, 1000, 900), 900);
    assert_int_equal (leat_bench_percentile (samples, 1000, 999), 999);
    assert_int_equal (leat_bench_percentile (samples, 1000, 1000), 1000);
    uint64_t one = 42;
    assert_int_equal (leat_bench_percentile (&one, 1, 500), 42);
    assert_int_equal (leat_bench_percentile (&one, 1, 1000), 42);
}

static void test_medians (void **state)
{
    const double odd[] = { 9, 1, 5 };
    const double even[] = { 4, 1, 3, 100 };
    assert_true (leat_bench_median (odd, 3) == 5.0);
    assert_true (leat_bench_median (even, 4) == 3.5);
    const double above[] = { 2, 6, 4 };
    const double below[] = { 4, 6, 16 };
    leat_bench_ratio_t ratio = leat_bench_ratio (above, below, 3);
    assert_true (ratio.ratio == 4.0 / 6.0);
    assert_true (ratio.least == 0.25);
    assert_true (ratio.most == 1.0);
}

int main (void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test (test_all_in_order),
        cmocka_unit_test (test_samples),
        cmocka_unit_test (test_any_byte_counts),
        cmocka_unit_test (test_order),
        cmocka_unit_test (test_size),
        cmocka_unit_test (test_end_without_mark),
        cmocka_unit_test (test_bodies),
        cmocka_unit_test (test_percentiles),
        cmocka_unit_test (test_medians),
    };
    return cmocka_run_group_tests (tests, NULL, NULL);
}

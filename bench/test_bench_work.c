/* Tests what `leat bench balance` rests on: the tasks, the check of their records, the ideal queue.
 * SPDX-License-Identifier: MPL-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "bench/work.h"

#define MS UINT64_C (1000000)

static leat_bench_work_t *s_new (leat_bench_scenario_t scenario, uint64_t count, uint64_t seed)
{
    leat_bench_plan_t plan = { .size = 61, .records = count, .seed = seed };
    leat_bench_work_t *self = leat_bench_work_new (&plan, scenario);
    assert_non_null (self);
    return self;
}

/* As if every task had taken `added_ns` longer than planned. */
static void s_done (leat_bench_work_t *self, uint64_t added_ns)
{
    for (uint64_t i = 0; i < self->count; i++) {
        self->tasks[i].planned_ns = 5 * self->tasks[i].work_ns;
        self->tasks[i].elapsed_ns = 5 * self->tasks[i].work_ns + added_ns;
    }
}

static void test_distribution (void **state)
{
    leat_bench_work_t *self = s_new (LEAT_BENCH_LOGNORMAL, 200000, 1);
    double sum = 0;
    uint64_t below = 0;
    uint64_t long_ones = 0;
    for (uint64_t i = 0; i < self->count; i++) {
        sum += (double) self->tasks[i].work_ns;
        below += self->tasks[i].work_ns < 606531;      /* the median, exp (-1/2) ms */
        long_ones += self->tasks[i].work_ns > 6210000; /* one in a hundred */
    }
    assert_true (sum / 200000 > 0.98e6 && sum / 200000 < 1.02e6);
    assert_in_range (below, 98500, 101500);
    assert_in_range (long_ones, 1800, 2200);
    leat_bench_work_destroy (&self);
    assert_null (self);
    leat_bench_work_destroy (&self);
}

static void test_seeds (void **state)
{
    leat_bench_work_t *first = s_new (LEAT_BENCH_LOGNORMAL, 100, 3);
    leat_bench_work_t *again = s_new (LEAT_BENCH_SLOWDOWN, 100, 3);
    leat_bench_work_t *other = s_new (LEAT_BENCH_LOGNORMAL, 100, 4);
    unsigned same = 0;
    for (unsigned i = 0; i < 100; i++) {
        assert_int_equal (first->tasks[i].work_ns, again->tasks[i].work_ns);
        same += first->tasks[i].work_ns == other->tasks[i].work_ns;
    }
    assert_true (same < 5);
    leat_bench_work_destroy (&first);
    leat_bench_work_destroy (&again);
    leat_bench_work_destroy (&other);
}

/* Tasks of 1 ms; the workers take 8, 4, 2 and 1 ms: in 8 ms they do 15. */
static void test_ideal_constant (void **state)
{
    leat_bench_work_t *self = s_new (LEAT_BENCH_CONSTANT, 15, 1);
    s_done (self, 0);
    assert_int_equal (leat_bench_work_ideal_ns (self), 8 * MS);
    leat_bench_work_destroy (&self);
    self = s_new (LEAT_BENCH_CONSTANT, 16, 1); /* one more goes to the fastest */
    s_done (self, 0);
    assert_int_equal (leat_bench_work_ideal_ns (self), 9 * MS);
    leat_bench_work_destroy (&self);
}

/* What the machine added stays what it was, whoever has the task. The fastest does 1.5 ms for each,
 * the next 2.5, 4.5, 8.5. */
static void test_ideal_added (void **state)
{
    leat_bench_work_t *self = s_new (LEAT_BENCH_CONSTANT, 4, 1);
    s_done (self, MS / 2);
    assert_int_equal (leat_bench_work_ideal_ns (self), 8 * MS + MS / 2);
    leat_bench_work_destroy (&self);
}

/* The worker of speed 4 is slow with what it begins once half is done. */
static void test_ideal_slowdown (void **state)
{
    leat_bench_work_t *self = s_new (LEAT_BENCH_SLOWDOWN, 8, 1);
    for (unsigned i = 0; i < 8; i++)
        self->tasks[i].work_ns = MS;
    s_done (self, 0);
    assert_true (leat_bench_work_factor (LEAT_BENCH_SLOWDOWN, 2, 3, 8) == 2.0);
    assert_true (leat_bench_work_factor (LEAT_BENCH_SLOWDOWN, 2, 4, 8) == 40.0);
    assert_true (leat_bench_work_factor (LEAT_BENCH_SLOWDOWN, 3, 8, 8) == 1.0);
    assert_true (leat_bench_work_factor (LEAT_BENCH_LOGNORMAL, 2, 8, 8) == 2.0);
    /* It begins its second task at 2 ms, when three are done; at 3 ms all are given out. */
    assert_int_equal (leat_bench_work_ideal_ns (self), 8 * MS);
    leat_bench_work_destroy (&self);

    self = s_new (LEAT_BENCH_SLOWDOWN, 30, 1);
    for (unsigned i = 0; i < 30; i++)
        self->tasks[i].work_ns = MS;
    s_done (self, 0);
    /* At 8 ms it begins its fifth as the second one of that moment, when 13 are done; so it is slow
     * from its sixth on, at 10 ms, for 40 ms. */
    assert_int_equal (leat_bench_work_ideal_ns (self), 50 * MS);
    leat_bench_work_destroy (&self);
}

/* Without the fastest, seven are done in 8 ms; a third of 21 is seven. The other 14 take 7.47 ms with
 * all four, and whole tasks 8. */
static void test_ideal_latecomer (void **state)
{
    leat_bench_work_t *self = s_new (LEAT_BENCH_LATECOMER, 21, 1);
    for (unsigned i = 0; i < 21; i++)
        self->tasks[i].work_ns = MS;
    s_done (self, 0);
    assert_int_equal (leat_bench_work_joins (LEAT_BENCH_LATECOMER, 3, 21), 7);
    assert_int_equal (leat_bench_work_joins (LEAT_BENCH_LATECOMER, 2, 21), 0);
    assert_int_equal (leat_bench_work_joins (LEAT_BENCH_LOGNORMAL, 3, 21), 0);
    assert_int_equal (leat_bench_work_ideal_ns (self), 16 * MS);
    leat_bench_work_destroy (&self);
}

static void test_working (void **state)
{
    leat_bench_work_t *self = s_new (LEAT_BENCH_LATECOMER, 3, 1);
    uint8_t body[61];
    for (unsigned i = 0; i < 3; i++) {
        leat_bench_work_make (self, i, body);
        assert_false (leat_bench_work_over (self));
        assert_int_equal (leat_bench_work_makespan_ns (self), 0);
        assert_true (leat_bench_work_do (self, 3 - i, body, sizeof body));
        assert_int_equal (self->tasks[i].worker, 3 - i);
        assert_true (self->tasks[i].elapsed_ns >= self->tasks[i].planned_ns);
        assert_true (self->tasks[i].planned_ns >= self->tasks[i].work_ns);
        leat_bench_work_wait (self, 3); /* a third is done with the first */
    }
    assert_true (leat_bench_work_over (self));
    uint64_t makespan_ns = leat_bench_work_makespan_ns (self);
    assert_true (makespan_ns >= self->tasks[0].elapsed_ns + self->tasks[2].elapsed_ns);
    /* Once more: counted, and nothing of the first time changes. */
    assert_true (leat_bench_work_do (self, 0, body, sizeof body));
    assert_int_equal (atomic_load (&self->doubles), 1);
    assert_int_equal (leat_bench_work_makespan_ns (self), makespan_ns);
    uint64_t shares[LEAT_BENCH_WORKERS];
    leat_bench_work_shares (self, shares);
    assert_int_equal (shares[0], 0);
    assert_int_equal (shares[1], 1);
    assert_int_equal (shares[3], 1);
    leat_bench_work_destroy (&self);
}

static void test_any_byte_counts (void **state)
{
    for (size_t at = 0; at < 61; at++) {
        leat_bench_work_t *self = s_new (LEAT_BENCH_CONSTANT, 10, 1);
        uint8_t body[61];
        leat_bench_work_make (self, 7, body);
        body[at] ^= 0x80;
        assert_false (leat_bench_work_do (self, 3, body, sizeof body));
        assert_true (self->round->error[0]);
        assert_int_equal (atomic_load (&self->done), 0);
        leat_bench_work_destroy (&self);
    }
    leat_bench_work_t *self = s_new (LEAT_BENCH_CONSTANT, 10, 1);
    uint8_t body[61];
    leat_bench_work_make (self, 7, body);
    assert_false (leat_bench_work_do (self, 3, body, sizeof body - 1));
    assert_true (self->round->error[0]);
    leat_bench_work_destroy (&self);
}

static void test_names (void **state)
{
    for (unsigned i = 0; i < LEAT_BENCH_SCENARIOS; i++) {
        const char *name = leat_bench_scenario_name ((leat_bench_scenario_t) i);
        assert_int_equal (leat_bench_scenario_find (name, strlen (name)), i);
    }
    assert_int_equal (leat_bench_scenario_find ("constan", 7), LEAT_BENCH_SCENARIOS);
    assert_int_equal (leat_bench_scenario_find ("", 0), LEAT_BENCH_SCENARIOS);
}

int main (void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test (test_distribution),   cmocka_unit_test (test_seeds),
        cmocka_unit_test (test_ideal_constant), cmocka_unit_test (test_ideal_added),
        cmocka_unit_test (test_ideal_slowdown), cmocka_unit_test (test_ideal_latecomer),
        cmocka_unit_test (test_working),        cmocka_unit_test (test_any_byte_counts),
        cmocka_unit_test (test_names),
    };
    return cmocka_run_group_tests (tests, NULL, NULL);
}

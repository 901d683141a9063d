/* How fast a consumer is, from its settles.
 * SPDX-License-Identifier: MPL-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "broker/core/pace.h"

/* Settles of `records` each `each_us` after the one before. */
static void s_settle (core_pace_t *pace, unsigned times, uint64_t each_us, uint32_t records)
{
    for (unsigned i = 0; i < times; i++)
        core_pace_settled (pace, each_us, records, false);
}

static void s_expect (const core_pace_t *pace, uint64_t waited_us, double least_us, double most_us)
{
    double service_us = core_pace_service_us (pace, waited_us);
    if (service_us < least_us || service_us > most_us)
        fail_msg ("%f us a record, expected %f to %f", service_us, least_us, most_us);
}

static void test_average (void **state)
{
    core_pace_t pace = { 0 };
    s_expect (&pace, 0, 0, 0);
    assert_int_equal (core_pace_rate (&pace), 0);
    s_settle (&pace, 10, 1000, 1);
    s_expect (&pace, 0, 999, 1001);
    assert_int_equal (core_pace_rate (&pace), 1000000);
    /* Gathered, or by several workers at once: the rate counts. */
    core_pace_t gathered = { 0 };
    s_settle (&gathered, 10, 1000, 100);
    s_expect (&gathered, 0, 9.9, 10.1);
    /* Two settles in one turn of the broker are as one. */
    core_pace_t twins = { 0 };
    for (int i = 0; i < 50; i++) {
        s_settle (&twins, 1, 1000, 5);
        s_settle (&twins, 1, 0, 5);
    }
    s_expect (&twins, 0, 85, 105);
}

/* One record among many that takes twenty times as long changes little. */
static void test_outlier (void **state)
{
    core_pace_t pace = { 0 };
    s_settle (&pace, 100, 1000, 1);
    s_settle (&pace, 1, 20000, 1);
    s_expect (&pace, 0, 1000, 1700);
    s_settle (&pace, 50, 1000, 1);
    s_expect (&pace, 0, 1000, 1300);
}

/* A consumer that has changed is known after few settles. */
static void test_change (void **state)
{
    core_pace_t pace = { 0 };
    s_settle (&pace, 100, 1000, 1);
    s_settle (&pace, 2, 20000, 1);
    s_expect (&pace, 0, 15000, 21000);
    s_settle (&pace, 100, 1000, 1);
    s_expect (&pace, 0, 990, 1100);
    core_pace_t many = { 0 };
    s_settle (&many, 100, 1000, 100);
    s_settle (&many, 1, 20000, 100);
    s_expect (&many, 0, 150, 210);
}

/* Before it settles again, a consumer is at least as slow as it is late. */
static void test_late (void **state)
{
    core_pace_t pace = { 0 };
    s_settle (&pace, 100, 1000, 1);
    s_expect (&pace, 900, 999, 1001);
    s_expect (&pace, 20000, 19999, 20001);
    /* It is not late while it gathers as usual. */
    core_pace_t gathered = { 0 };
    s_settle (&gathered, 100, 1000, 100);
    s_expect (&gathered, 900, 9.9, 10.1);
    s_expect (&gathered, 20000, 199, 201);
    /* One that has never settled is as slow as it was seen to be. */
    core_pace_t unknown = { 0 };
    s_expect (&unknown, 500, 499, 501);
}

/* What begins with a delivery to an idle consumer has a round trip in it. */
static void test_round_trip (void **state)
{
    core_pace_t pace = { 0 };
    core_pace_settled (&pace, 1200, 1, true);
    s_expect (&pace, 0, 1199, 1201); /* nothing better is known */
    for (uint32_t records = 2; records < 200; records *= 2)
        core_pace_settled (&pace, 1200, records, true);
    s_expect (&pace, 0, 5, 20);
    /* A known pace is believed as long as a round trip explains the difference. */
    s_settle (&pace, 100, 1000, 10);
    for (int i = 0; i < 100; i++)
        core_pace_settled (&pace, 1200, 1, true);
    s_expect (&pace, 0, 95, 105);
    for (int i = 0; i < 100; i++)
        core_pace_settled (&pace, 12000, 1, true);
    s_expect (&pace, 0, 9900, 12100);
}

/* Absurd times do no harm. */
static void test_extremes (void **state)
{
    core_pace_t pace = { 0 };
    s_settle (&pace, 3, 0, 1000000);
    s_expect (&pace, 0, 0.0005, 0.0015);
    assert_int_equal (core_pace_rate (&pace), 1000000000000);
    s_settle (&pace, 10, UINT64_MAX, 1);
    s_expect (&pace, UINT64_MAX, 1e10, 1e11);
    assert_true (core_pace_rate (&pace) > 0);
}

int main (void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test (test_average),    cmocka_unit_test (test_outlier),
        cmocka_unit_test (test_change),     cmocka_unit_test (test_late),
        cmocka_unit_test (test_round_trip), cmocka_unit_test (test_extremes),
    };
    return cmocka_run_group_tests (tests, NULL, NULL);
}

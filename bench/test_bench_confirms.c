/* Tests which messages are taken for confirmed, in whatever order confirms come.
 * SPDX-License-Identifier: MPL-2.0 */
#include "bench/confirms.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

static void test_in_order (void **state)
{
    (void) state;
    leat_bench_confirms_t *confirms = leat_bench_confirms_new (4);
    assert_int_equal (leat_bench_confirms_low (confirms), 0);
    for (uint64_t number = 1; number <= 10; number++) {
        assert_true (leat_bench_confirms_take (confirms, number, false));
        assert_int_equal (leat_bench_confirms_low (confirms), number);
    }
    assert_true (leat_bench_confirms_take (confirms, 14, true));
    assert_int_equal (leat_bench_confirms_low (confirms), 14);
    leat_bench_confirms_destroy (&confirms);
    assert_null (confirms);
    leat_bench_confirms_destroy (&confirms);
}

/* A single one before those below it must neither count for them nor be counted twice. */
static void test_in_any_order (void **state)
{
    (void) state;
    leat_bench_confirms_t *confirms = leat_bench_confirms_new (4);
    assert_true (leat_bench_confirms_take (confirms, 3, false));
    assert_true (leat_bench_confirms_take (confirms, 4, false));
    assert_int_equal (leat_bench_confirms_low (confirms), 0);
    assert_true (leat_bench_confirms_take (confirms, 2, true));
    assert_int_equal (leat_bench_confirms_low (confirms), 4);
    assert_true (leat_bench_confirms_take (confirms, 6, false));
    assert_true (leat_bench_confirms_take (confirms, 7, true));
    assert_int_equal (leat_bench_confirms_low (confirms), 7);
    /* Marks of the round before are gone. */
    assert_true (leat_bench_confirms_take (confirms, 8, false));
    assert_int_equal (leat_bench_confirms_low (confirms), 8);
    leat_bench_confirms_destroy (&confirms);
}

static void test_what_cannot_be (void **state)
{
    (void) state;
    leat_bench_confirms_t *confirms = leat_bench_confirms_new (4);
    assert_false (leat_bench_confirms_take (confirms, 0, false));
    assert_false (leat_bench_confirms_take (confirms, 0, true));
    assert_false (leat_bench_confirms_take (confirms, 5, false));
    assert_false (leat_bench_confirms_take (confirms, UINT64_MAX, true));
    assert_true (leat_bench_confirms_take (confirms, 2, false));
    assert_false (leat_bench_confirms_take (confirms, 2, false));
    assert_true (leat_bench_confirms_take (confirms, 1, false));
    assert_false (leat_bench_confirms_take (confirms, 1, false));
    assert_true (leat_bench_confirms_take (confirms, 2, true));
    assert_int_equal (leat_bench_confirms_low (confirms), 2);
    leat_bench_confirms_destroy (&confirms);
}

int main (void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test (test_in_order),
        cmocka_unit_test (test_in_any_order),
        cmocka_unit_test (test_what_cannot_be),
    };
    return cmocka_run_group_tests (tests, NULL, NULL);
}

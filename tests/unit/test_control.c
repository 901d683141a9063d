/* Signals of the broker: the first stops it, another one ends it, the same one twice at once does not.
 * SPDX-License-Identifier: MPL-2.0 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <poll.h>
#include <signal.h>
#include <unistd.h>

#include "broker/io/clock.h"
#include "broker/io/control.h"

enum { PATIENCE_US = 20 * 1000000, SAME_US = 200 * 1000 };

static leat_control_t *s_new (void)
{
    char error[512];
    leat_control_t *control = leat_control_new (true, error, sizeof error);
    assert_non_null (control);
    return control;
}

static void s_pause (void)
{
    poll (NULL, 0, 1);
}

/* True as soon as that is wished. */
static bool s_wishes (const leat_control_t *control, leat_control_wish_t wish, uint64_t wait_us)
{
    uint64_t until_us = leat_clock_monotonic_us () + wait_us;
    while (leat_control_wish (control) != wish) {
        if (leat_clock_monotonic_us () >= until_us)
            return false;
        s_pause ();
    }
    return true;
}

static void other_signal (void **state)
{
    leat_control_t *control = s_new ();
    assert_int_equal (leat_control_wish (control), LEAT_CONTROL_RUN);
    kill (getpid (), SIGTERM);
    assert_true (s_wishes (control, LEAT_CONTROL_STOP, PATIENCE_US));
    kill (getpid (), SIGINT);
    assert_true (s_wishes (control, LEAT_CONTROL_QUIT, PATIENCE_US));
    leat_control_destroy (&control);
}

/* timeout(1) signals its child and then the whole group. */
static void same_signal_at_once (void **state)
{
    for (int attempt = 0; attempt < 100; attempt++) {
        leat_control_t *control = s_new ();
        uint64_t begin_us = leat_clock_monotonic_us ();
        kill (getpid (), SIGTERM);
        assert_true (s_wishes (control, LEAT_CONTROL_STOP, PATIENCE_US));
        kill (getpid (), SIGTERM);
        bool quit = s_wishes (control, LEAT_CONTROL_QUIT, SAME_US / 4);
        bool in_time = leat_clock_monotonic_us () - begin_us < SAME_US;
        /* Much later it is a wish of its own. */
        while (leat_clock_monotonic_us () - begin_us < 2 * SAME_US)
            s_pause ();
        kill (getpid (), SIGTERM);
        assert_true (s_wishes (control, LEAT_CONTROL_QUIT, PATIENCE_US));
        leat_control_destroy (&control);
        /* A machine that is too busy for the test has proved nothing. */
        if (in_time) {
            assert_false (quit);
            return;
        }
    }
    fail_msg ("two signals never came within 200 ms");
}

int main (void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test (other_signal),
        cmocka_unit_test (same_signal_at_once),
    };
    return cmocka_run_group_tests (tests, NULL, NULL);
}

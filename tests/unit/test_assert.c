/* A false condition ends the program and says which; a true one does nothing.
 * SPDX-License-Identifier: MPL-2.0 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "wire/assert.h"

static int s_count (int *evaluated)
{
    return ++*evaluated;
}

static void test_true (void **state)
{
    int evaluated = 0;
    leat_assert (s_count (&evaluated) == 1);
    assert_int_equal (evaluated, 1);
}

static void test_false (void **state)
{
    int ends[2];
    assert_int_equal (pipe (ends), 0);
    int line = __LINE__ + 6;
    pid_t child = fork ();
    assert_true (child >= 0);
    if (child == 0) {
        signal (SIGABRT, SIG_DFL);
        dup2 (ends[1], STDERR_FILENO);
        leat_assert (1 + 1 == 3);
        _exit (0);
    }
    close (ends[1]);
    char said[512] = "", expected[512];
    size_t size = 0;
    ssize_t rc;
    while (size < sizeof said - 1 && (rc = read (ends[0], said + size, sizeof said - 1 - size)) > 0)
        size += (size_t) rc;
    close (ends[0]);
    int status = 0;
    assert_int_equal (waitpid (child, &status, 0), child);
    assert_true (WIFSIGNALED (status));
    assert_int_equal (WTERMSIG (status), SIGABRT);
    snprintf (expected, sizeof expected, "leat: assertion failed: 1 + 1 == 3 (%s:%d)\n", __FILE__,
              line);
    /* A tool that the test runs under may add lines of its own. */
    assert_non_null (strstr (said, expected));
}

int main (void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test (test_true),
        cmocka_unit_test (test_false),
    };
    return cmocka_run_group_tests (tests, NULL, NULL);
}

/* What a command is started with, and what is said when it cannot be started.
 * SPDX-License-Identifier: MPL-2.0 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "consumers/command_runner.h"

static int s_run (const char *command)
{
    const leat_command_runner_t runner = {
        .command = command, .stream = "stream", .group = "group", .process_group = getpgrp ()
    };
    const leat_delivered_t delivered = {
        .record = { .body = (const uint8_t *) "body", .body_size = 4 }, .attempt = 1
    };
    return leat_command_runner_run (&runner, &delivered);
}

static void statuses (void **state)
{
    int status = s_run ("[ \"$(cat)\" = body ] && [ $LEAT_ATTEMPT = 1 ] && exit 7");
    assert_true (WIFEXITED (status));
    assert_int_equal (WEXITSTATUS (status), 7);
    status = s_run ("/no/such/command 2> /dev/null");
    assert_true (WIFEXITED (status));
    assert_int_equal (WEXITSTATUS (status), 127);
    status = s_run ("kill -9 $$");
    assert_true (WIFSIGNALED (status));
    assert_int_equal (WTERMSIG (status), 9);
}

/* The shell itself cannot be started: its environment is larger than a quarter of the stack may be. That is
 * no command that was not found. */
static void environment_too_large (void **state)
{
    struct rlimit before;
    char value[100001];
    memset (value, 'x', sizeof value - 1);
    value[sizeof value - 1] = 0;
    assert_int_equal (getrlimit (RLIMIT_STACK, &before), 0);
    const struct rlimit small = { .rlim_cur = 512 << 10, .rlim_max = before.rlim_max };
    setenv ("LEAT_TEST_1", value, 1);
    setenv ("LEAT_TEST_2", value, 1);
    assert_int_equal (setrlimit (RLIMIT_STACK, &small), 0);
    errno = 0;
    int status = s_run ("exit 0");
    int problem = errno;
    setrlimit (RLIMIT_STACK, &before);
    unsetenv ("LEAT_TEST_1");
    unsetenv ("LEAT_TEST_2");
    assert_int_equal (status, -1);
    assert_int_equal (problem, E2BIG);
    assert_int_equal (s_run ("exit 0"), 0);
}

/* Nor can it without a descriptor to be had. */
static void no_descriptors (void **state)
{
    struct rlimit before;
    assert_int_equal (getrlimit (RLIMIT_NOFILE, &before), 0);
    const struct rlimit none = { .rlim_cur = 0, .rlim_max = before.rlim_max };
    assert_int_equal (setrlimit (RLIMIT_NOFILE, &none), 0);
    errno = 0;
    int status = s_run ("exit 0");
    int problem = errno;
    setrlimit (RLIMIT_NOFILE, &before);
    assert_int_equal (status, -1);
    assert_int_equal (problem, EMFILE);
}

int main (void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test (statuses),
        cmocka_unit_test (environment_too_large),
        cmocka_unit_test (no_descriptors),
    };
    return cmocka_run_group_tests (tests, NULL, NULL);
}

/* A broker as a process: signals, endpoints that are in use, files that others left behind.
 * SPDX-License-Identifier: MPL-2.0 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/system/dealer.h"

/* ---- a child --------------------------------------------------------------------------------- */

typedef struct {
    pid_t pid;
    char endpoint[256];
} child_t;

/* Runs in the child: writes the endpoint once it is bound. */
_Noreturn static void s_child (int fd)
{
    char error[512];
    char warning[512];
    leat_broker_options_t options;
    /* Not to be left behind by a test that fails. */
    prctl (PR_SET_PDEATHSIG, SIGKILL);
    hosted_options (&options);
    options.stats_endpoint = NULL;
    options.signals = true;
    leat_broker_prepare_process (&options.limits, warning, sizeof warning);
    leat_broker_t *broker = leat_broker_new (&options, error, sizeof error);
    if (!broker)
        _exit (99);
    const char *endpoint = leat_broker_endpoint (broker, 0);
    if (write (fd, endpoint, strlen (endpoint)) < 0)
        _exit (98);
    close (fd);
    leat_broker_end_t end = leat_broker_run (broker);
    leat_broker_destroy (&broker);
    _exit (end);
}

static void s_begin_child (child_t *child)
{
    int fds[2];
    assert_int_equal (pipe (fds), 0);
    fflush (NULL);
    child->pid = fork ();
    assert_true (child->pid >= 0);
    if (child->pid == 0) {
        close (fds[0]);
        s_child (fds[1]);
    }
    close (fds[1]);
    size_t size = 0;
    ssize_t rc;
    while ((rc = read (fds[0], child->endpoint + size, sizeof child->endpoint - 1 - size)) > 0)
        size += (size_t) rc;
    child->endpoint[size] = '\0';
    assert_true (size > 0);
    close (fds[0]);
}

static void s_expect_exit (const child_t *child, int code)
{
    int status;
    assert_int_equal (waitpid (child->pid, &status, 0), child->pid);
    assert_true (WIFEXITED (status));
    assert_int_equal (WEXITSTATUS (status), code);
}

/* The signal ends it in order: the peer hears BYE, the exit status is 0. */
static void s_end_by (int signal_number)
{
    child_t child;
    answer_t answer;
    s_begin_child (&child);
    void *context = zmq_ctx_new ();
    void *socket = dealer_open (context, ZMQ_DEALER, child.endpoint);
    dealer_greet (socket, "peer");
    assert_int_equal (kill (child.pid, signal_number), 0);
    answer_begin (&answer);
    dealer_expect (socket, &answer, LEAT_BYE);
    assert_int_equal (answer.command.bye.code, LEAT_SHUTTING_DOWN);
    answer_end (&answer);
    s_expect_exit (&child, 0);
    zmq_close (socket);
    zmq_ctx_term (context);
}

static void test_sigterm (void **state)
{
    s_end_by (SIGTERM);
}

static void test_sigint (void **state)
{
    s_end_by (SIGINT);
}

/* ---- ends ------------------------------------------------------------------------------------ */

static leat_broker_t *s_new (const char *endpoint, bool insecure, char *error, size_t error_size)
{
    leat_broker_options_t options;
    hosted_options (&options);
    options.endpoints = &endpoint;
    options.stats_endpoint = NULL;
    options.insecure = insecure;
    return leat_broker_new (&options, error, error_size);
}

static void test_told_twice (void **state)
{
    char error[512];
    leat_broker_t *broker = s_new ("tcp://127.0.0.1:*", false, error, sizeof error);
    assert_non_null (broker);
    leat_broker_stop (broker);
    leat_broker_stop (broker);
    assert_int_equal (leat_broker_run (broker), LEAT_BROKER_QUIT);
    assert_non_null (strstr (leat_broker_reason (broker), "twice"));
    leat_broker_destroy (&broker);
}

static void test_told_before_it_runs (void **state)
{
    char error[512];
    leat_broker_t *broker = s_new ("tcp://127.0.0.1:*", false, error, sizeof error);
    assert_non_null (broker);
    leat_broker_stop (broker);
    assert_int_equal (leat_broker_run (broker), LEAT_BROKER_STOPPED);
    leat_broker_destroy (&broker);
}

/* SIGTERM reaches the program as before once the broker is gone. */
static void test_the_signal_mask_is_restored (void **state)
{
    char error[512];
    sigset_t before;
    sigset_t during;
    sigset_t after;
    leat_broker_options_t options;
    hosted_options (&options);
    options.signals = true;
    pthread_sigmask (SIG_SETMASK, NULL, &before);
    leat_broker_t *broker = leat_broker_new (&options, error, sizeof error);
    assert_non_null (broker);
    pthread_sigmask (SIG_SETMASK, NULL, &during);
    leat_broker_destroy (&broker);
    pthread_sigmask (SIG_SETMASK, NULL, &after);
    assert_int_equal (sigismember (&before, SIGTERM), 0);
    assert_int_equal (sigismember (&during, SIGTERM), 1);
    assert_int_equal (sigismember (&during, SIGINT), 1);
    assert_int_equal (sigismember (&after, SIGTERM), 0);
    assert_int_equal (sigismember (&after, SIGINT), 0);
}

/* ---- endpoints ------------------------------------------------------------------------------- */

static void s_expect_error (const char *endpoint, bool insecure, const char *word)
{
    char error[512] = "";
    assert_null (s_new (endpoint, insecure, error, sizeof error));
    if (!strstr (error, word) || !strstr (error, endpoint))
        fail_msg ("'%s' does not say '%s' or '%s'", error, word, endpoint);
}

static void test_in_use (void **state)
{
    char error[512] = "";
    char ipc[64];
    snprintf (ipc, sizeof ipc, "ipc:///tmp/leat-test-use-%d", (int) getpid ());
    leat_broker_t *first = s_new ("tcp://127.0.0.1:*", false, error, sizeof error);
    leat_broker_t *second = s_new (ipc, false, error, sizeof error);
    assert_non_null (first);
    assert_non_null (second);
    s_expect_error (leat_broker_endpoint (first, 0), false, "in use");
    s_expect_error (ipc, false, "in use");
    /* It was not robbed of its name. */
    assert_int_equal (access (ipc + strlen ("ipc://"), F_OK), 0);
    void *context = zmq_ctx_new ();
    void *socket = dealer_open (context, ZMQ_DEALER, ipc);
    leat_broker_stop (second);
    assert_int_equal (leat_broker_run (second), LEAT_BROKER_STOPPED);
    zmq_close (socket);
    zmq_ctx_term (context);
    leat_broker_destroy (&first);
    leat_broker_destroy (&second);
}

static void test_the_stats_endpoint_is_checked_too (void **state)
{
    char error[512] = "";
    leat_broker_options_t options;
    hosted_options (&options);
    options.stats_endpoint = "tcp://0.0.0.0:*";
    assert_null (leat_broker_new (&options, error, sizeof error));
    assert_non_null (strstr (error, "--insecure"));
    options.insecure = true;
    leat_broker_t *broker = leat_broker_new (&options, error, sizeof error);
    assert_non_null (broker);
    leat_broker_destroy (&broker);
}

static void test_what_cannot_be_bound (void **state)
{
    s_expect_error ("ipc:///nowhere-at-all/broker", false, "create it first");
    s_expect_error ("tcp://192.0.2.1:5560", true, "no such address");
    s_expect_error ("tcp://nosuchnic0:5560", true, "no such address or interface");
    s_expect_error ("tcp://192.0.2.1:5560", false, "--insecure");
}

static void test_wrong_options (void **state)
{
    char error[512] = "";
    leat_broker_options_t options;
    hosted_options (&options);
    options.endpoint_count = 0;
    assert_null (leat_broker_new (&options, error, sizeof error));
    assert_non_null (strstr (error, "needs an endpoint"));
    hosted_options (&options);
    options.limits.window_size = 1;
    assert_null (leat_broker_new (&options, error, sizeof error));
    assert_non_null (strstr (error, "window_size"));
}

/* A dead broker leaves its socket file behind; the next one takes the name over. */
static void test_a_file_left_behind (void **state)
{
    char error[512] = "";
    char ipc[64];
    struct sockaddr_un address = { .sun_family = AF_UNIX };
    snprintf (ipc, sizeof ipc, "ipc:///tmp/leat-test-left-%d", (int) getpid ());
    memcpy (address.sun_path, ipc + strlen ("ipc://"), strlen (ipc + strlen ("ipc://")));
    int fd = socket (AF_UNIX, SOCK_STREAM, 0);
    assert_int_equal (bind (fd, (struct sockaddr *) &address, sizeof address), 0);
    close (fd);
    assert_int_equal (access (address.sun_path, F_OK), 0);
    leat_broker_t *broker = s_new (ipc, false, error, sizeof error);
    if (!broker)
        fail_msg ("%s", error);
    leat_broker_destroy (&broker);
}

/* A file that is no socket stays as it is. */
static void test_a_file_of_somebody (void **state)
{
    char path[] = "/tmp/leat-test-file-XXXXXX";
    char ipc[64];
    int fd = mkstemp (path);
    assert_true (fd >= 0);
    assert_int_equal (write (fd, "wheat", 5), 5);
    close (fd);
    snprintf (ipc, sizeof ipc, "ipc://%s", path);
    s_expect_error (ipc, false, "not a socket");
    struct stat status;
    assert_int_equal (stat (path, &status), 0);
    assert_int_equal (status.st_size, 5);
    unlink (path);
}

int main (void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test (test_sigterm),
        cmocka_unit_test (test_sigint),
        cmocka_unit_test (test_told_twice),
        cmocka_unit_test (test_told_before_it_runs),
        cmocka_unit_test (test_the_signal_mask_is_restored),
        cmocka_unit_test (test_in_use),
        cmocka_unit_test (test_the_stats_endpoint_is_checked_too),
        cmocka_unit_test (test_what_cannot_be_bound),
        cmocka_unit_test (test_wrong_options),
        cmocka_unit_test (test_a_file_left_behind),
        cmocka_unit_test (test_a_file_of_somebody),
    };
    return cmocka_run_group_tests (tests, NULL, NULL);
}

/* Peers that speak ZMTP in ways that libzmq does not survive, and more connections than files.
 * SPDX-License-Identifier: MPL-2.0 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "broker/io/clock.h"
#include "broker/io/endpoint.h"
#include "tests/system/dealer.h"
#include "tests/system/zmtp.h"
#include "wire/alloc.h"

/* ---- a full queue that ends in a PING -------------------------------------------------------- */

/* More messages than the broker reads at once, with PINGs of ZMTP among them, as many as the kernel takes;
 * then the connection is reset. */
static void s_flood_and_hang_up (const char *endpoint)
{
    enum { SIZE = 1 << 20, BURSTS = 4, PING_EVERY = 100 };
    static const uint8_t ping[] = { 4, 'P', 'I', 'N', 'G', 0, 0 };
    const struct linger reset = { .l_onoff = 1 };
    uint8_t *bytes = leat_alloc (SIZE);
    size_t size = 0;
    for (unsigned count = 1; size < SIZE - 16; count++)
        size += count % PING_EVERY ? zmtp_frame (bytes + size, 0, "\xee", 1)
                                   : zmtp_frame (bytes + size, ZMTP_COMMAND, ping, sizeof ping);
    int fd = zmtp_open (endpoint);
    assert_true (fd >= 0);
    for (unsigned burst = 0; burst < BURSTS; burst++) {
        /* Where the kernel takes less, the connection ends within a frame. */
        if (send (fd, bytes, size, MSG_NOSIGNAL | MSG_DONTWAIT) < (ssize_t) size)
            break;
    }
    setsockopt (fd, SOL_SOCKET, SO_LINGER, &reset, sizeof reset);
    close (fd);
    free (bytes);
}

/* libzmq aborts the process if its queue for the connection is full then (stream_engine_base.cpp). */
static void test_flood_and_hang_up (void **state)
{
    enum { ROUNDS = 8 };
    static const char *endpoints[] = { "tcp://127.0.0.1:*", "ipc://*" };
    leat_broker_options_t options;
    hosted_options (&options);
    options.endpoints = endpoints;
    options.endpoint_count = 2;
    hosted_t *hosted = hosted_begin (&options);
    for (unsigned round = 0; round < ROUNDS; round++) {
        s_flood_and_hang_up (hosted->endpoint);
        s_flood_and_hang_up (leat_broker_endpoint (hosted->broker, 1));
        s_flood_and_hang_up (hosted->stats_endpoint);
    }
    hosted_wait_for (hosted, "counters.connections_ended", UINT64_C (2) * ROUNDS);
    void *socket = dealer_open (hosted->context, ZMQ_DEALER, hosted->endpoint);
    dealer_greet (socket, "honest");
    zmq_close (socket);
    hosted_end (&hosted);
}

/* ---- more connections than files ------------------------------------------------------------- */

enum { FILES = 160, CONNECTIONS = 400 };

typedef struct {
    pid_t pid;
    char tcp[LEAT_ENDPOINT_SIZE];
    char ipc[LEAT_ENDPOINT_SIZE];
    char stats[LEAT_ENDPOINT_SIZE];
} child_t;

_Noreturn static void s_child (int fd)
{
    static const char *endpoints[] = { "tcp://127.0.0.1:*", "ipc://*" };
    const struct rlimit files = { FILES, FILES };
    char error[512];
    leat_broker_options_t options;
    child_t child;
    prctl (PR_SET_PDEATHSIG, SIGKILL);
    hosted_options (&options);
    options.endpoints = endpoints;
    options.endpoint_count = 2;
    options.signals = true;
    if (setrlimit (RLIMIT_NOFILE, &files))
        _exit (99);
    leat_broker_t *broker = leat_broker_new (&options, error, sizeof error);
    if (!broker)
        _exit (98);
    snprintf (child.tcp, sizeof child.tcp, "%s", leat_broker_endpoint (broker, 0));
    snprintf (child.ipc, sizeof child.ipc, "%s", leat_broker_endpoint (broker, 1));
    snprintf (child.stats, sizeof child.stats, "%s", leat_broker_stats_endpoint (broker));
    if (write (fd, &child, sizeof child) != sizeof child)
        _exit (97);
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
    pid_t pid = fork ();
    assert_true (pid >= 0);
    if (pid == 0)
        s_child (fds[1]);
    close (fds[1]);
    assert_int_equal (read (fds[0], child, sizeof *child), sizeof *child);
    close (fds[0]);
    child->pid = pid;
}

static uint64_t s_cpu_us (pid_t pid)
{
    clockid_t clock;
    struct timespec time;
    assert_int_equal (clock_getcpuclockid (pid, &clock), 0);
    assert_int_equal (clock_gettime (clock, &time), 0);
    return (uint64_t) time.tv_sec * 1000000 + (uint64_t) time.tv_nsec / 1000;
}

/* The share of a processor that it takes while nothing comes to the socket. */
static double s_busy (pid_t pid, void *socket)
{
    zmq_pollitem_t item = { .socket = socket, .events = ZMQ_POLLIN };
    uint64_t cpu_us = s_cpu_us (pid);
    uint64_t now_us = leat_clock_monotonic_us ();
    assert_int_equal (zmq_poll (&item, 1, 500), 0);
    return (double) (s_cpu_us (pid) - cpu_us) / (double) (leat_clock_monotonic_us () - now_us);
}

/* A round trip over a connection that is there already: the broker has heard of all earlier ones then. */
static void s_ask (void *socket)
{
    answer_t answer;
    leat_command_t command = { .id = LEAT_CLOSE, .close = { .channel = 5 } };
    answer_begin (&answer);
    dealer_send (socket, &command);
    dealer_expect (socket, &answer, LEAT_REFUSED);
    assert_int_equal (answer.command.refused.code, LEAT_NO_SUCH_CHANNEL);
    answer_end (&answer);
}

/* A connection that is one too many is closed at once. So the broker neither spins nor aborts, who was
 * there before stays, stats can be asked, and there is room again as soon as others leave. */
static void test_more_connections_than_files (void **state)
{
    enum { AT_ONCE = 10 };
    child_t child;
    int fds[CONNECTIONS];
    s_begin_child (&child);
    void *context = zmq_ctx_new ();
    hosted_t hosted = { .context = context, .stats_endpoint = child.stats };
    void *early = dealer_open (context, ZMQ_DEALER, child.tcp);
    dealer_greet (early, "early");
    for (unsigned index = 0; index < CONNECTIONS; index++) {
        fds[index] = zmtp_connect (index % 2 ? child.ipc : child.tcp);
        if (index % AT_ONCE == 0)
            s_ask (early);
    }
    double busy = s_busy (child.pid, early);
    print_message ("takes %.2f of a processor\n", busy);
    assert_true (busy < 0.5);
    assert_true (hosted_figure (&hosted, "counters.connections_refused") >= CONNECTIONS - FILES);
    s_ask (early);
    for (unsigned index = 0; index < CONNECTIONS; index++)
        if (fds[index] >= 0)
            close (fds[index]);
    /* libzmq's sockets connect again by themselves until there is room. */
    void *late = dealer_open (context, ZMQ_DEALER, child.ipc);
    dealer_greet (late, "late");
    zmq_close (early);
    zmq_close (late);
    zmq_ctx_term (context);
    int status;
    assert_int_equal (kill (child.pid, SIGTERM), 0);
    assert_int_equal (waitpid (child.pid, &status, 0), child.pid);
    assert_true (WIFEXITED (status));
    assert_int_equal (WEXITSTATUS (status), 0);
}

int main (void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test (test_more_connections_than_files),
        cmocka_unit_test (test_flood_and_hang_up),
    };
    return cmocka_run_group_tests (tests, NULL, NULL);
}

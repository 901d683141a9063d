/* The client's socket, against a peer that speaks ZMTP by hand and can end a connection at any byte.
 * SPDX-License-Identifier: MPL-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <arpa/inet.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include <zmq.h>

#include "client/socket.h"

enum { S_LIMIT_MS = 10000, S_MESSAGES = 300 };

typedef struct {
    void *context;
    leat_socket_t *socket;
    int listener;
    int peer;
} bench_t;

static void s_send (const bench_t *bench, const void *bytes, size_t size)
{
    assert_int_equal (send (bench->peer, bytes, size, MSG_NOSIGNAL), size);
}

/* Reads up to `size` bytes; fewer only if the connection has ended. */
static size_t s_read (const bench_t *bench, uint8_t *bytes, size_t size)
{
    size_t used = 0;
    while (used < size) {
        struct pollfd item = { .fd = bench->peer, .events = POLLIN };
        assert_int_equal (poll (&item, 1, S_LIMIT_MS), 1);
        ssize_t more = recv (bench->peer, bytes + used, size - used, 0);
        if (more <= 0)
            break;
        used += (size_t) more;
    }
    return used;
}

/* Greeting and READY of ZMTP 3.0 with the NULL mechanism (RFC 23/ZMTP). */
static void s_shake_hands (const bench_t *bench)
{
    uint8_t greeting[64] = { 0xff, 0, 0, 0, 0, 0, 0, 0, 0, 0x7f, 3, 0, 'N', 'U', 'L', 'L' };
    static const uint8_t ready[] = "\x04\x1c\x05READY\x0bSocket-Type\0\0\0\x06ROUTER";
    uint8_t theirs[255];
    s_send (bench, greeting, sizeof greeting);
    assert_int_equal (s_read (bench, theirs, sizeof greeting), sizeof greeting);
    s_send (bench, ready, sizeof ready - 1);
    assert_int_equal (s_read (bench, theirs, 2), 2);
    size_t size = theirs[1];
    assert_int_equal (s_read (bench, theirs, size), size);
}

static void s_wait_for (const bench_t *bench, leat_socket_state_t state)
{
    for (int waited_ms = 0; waited_ms < S_LIMIT_MS; waited_ms += 10) {
        leat_socket_hear (bench->socket);
        leat_socket_readable (bench->socket);
        if (leat_socket_state (bench->socket) == state)
            return;
        struct pollfd items[2] = { { leat_socket_fd (bench->socket), POLLIN, 0 },
                                   { leat_socket_monitor_fd (bench->socket), POLLIN, 0 } };
        poll (items, 2, 10);
    }
    fail_msg ("the socket is in state %d, not %d", leat_socket_state (bench->socket), state);
}

static int s_set_up (void **state)
{
    static bench_t bench;
    struct sockaddr_in address = { .sin_family = AF_INET,
                                   .sin_addr.s_addr = htonl (INADDR_LOOPBACK) };
    socklen_t size = sizeof address;
    char endpoint[64];
    bench.listener = socket (AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal (bind (bench.listener, (struct sockaddr *) &address, size), 0);
    assert_int_equal (listen (bench.listener, 1), 0);
    assert_int_equal (getsockname (bench.listener, (struct sockaddr *) &address, &size), 0);
    snprintf (endpoint, sizeof endpoint, "tcp://127.0.0.1:%u", ntohs (address.sin_port));
    bench.context = zmq_ctx_new ();
    leat_fault_t fault;
    bench.socket = leat_socket_new (bench.context, endpoint, &fault);
    assert_non_null (bench.socket);
    bench.peer = accept4 (bench.listener, NULL, NULL, SOCK_CLOEXEC);
    assert_true (bench.peer >= 0);
    *state = &bench;
    return 0;
}

static int s_tear_down (void **state)
{
    bench_t *bench = *state;
    if (bench->peer >= 0)
        close (bench->peer);
    close (bench->listener);
    leat_socket_destroy (&bench->socket);
    zmq_ctx_term (bench->context);
    return 0;
}

/* Two frames, the body being the number. */
static void s_send_number (const bench_t *bench, uint32_t number)
{
    uint8_t bytes[] = { 1, 1, 0x22, 0, sizeof number, 0, 0, 0, 0 };
    memcpy (bytes + 5, &number, sizeof number);
    s_send (bench, bytes, sizeof bytes);
}

/* Receives one message that comes within the limit. */
static void s_receive (const bench_t *bench, leat_socket_message_t *message)
{
    struct pollfd item = { leat_socket_fd (bench->socket), POLLIN, 0 };
    for (int waited_ms = 0; waited_ms < S_LIMIT_MS; waited_ms += 10) {
        if (leat_socket_receive (bench->socket, message))
            return;
        poll (&item, 1, 10);
    }
    fail_msg ("no message");
}

/* libzmq learns of the end of a connection while it is asked for frames. That must not come between
 * two frames of a message, where it would abort the process; and all that had arrived is read.
 *
 * It looks for news at each hundredth frame (config.hpp, inbound_poll_rate). After a message of one
 * frame that is a second one. */
static void test_messages_behind_which_the_connection_ended (void **state)
{
    bench_t *bench = *state;
    s_shake_hands (bench);
    s_wait_for (bench, LEAT_SOCKET_CONNECTED);
    s_send (bench, "\x00\x01\x06", 3);
    for (uint32_t number = 0; number < S_MESSAGES; number++)
        s_send_number (bench, number);
    s_send (bench, "\x01\x01\x22\x00\x08half", 9);
    leat_socket_message_t message;
    s_receive (bench, &message);
    assert_int_equal (message.frames, 1);
    shutdown (bench->peer, SHUT_WR);
    uint8_t rest[1024];
    assert_int_equal (s_read (bench, rest, sizeof rest), 0); /* libzmq has closed the connection */

    for (uint32_t number = 0; number < S_MESSAGES; number++) {
        assert_true (leat_socket_receive (bench->socket, &message));
        assert_int_equal (message.frames, 2);
        assert_int_equal (leat_buffer_size (message.body), sizeof number);
        assert_memory_equal (leat_buffer_bytes (message.body), &number, sizeof number);
    }
    assert_false (leat_socket_receive (bench->socket, &message));
    s_wait_for (bench, LEAT_SOCKET_LOST);
}

/* The end is told only when all is read. */
static void test_lost_comes_last (void **state)
{
    bench_t *bench = *state;
    s_shake_hands (bench);
    s_wait_for (bench, LEAT_SOCKET_CONNECTED);
    s_send_number (bench, 7);
    shutdown (bench->peer, SHUT_WR);
    uint8_t rest[1024];
    assert_int_equal (s_read (bench, rest, sizeof rest), 0);

    leat_socket_message_t message;
    leat_socket_hear (bench->socket);
    assert_true (leat_socket_readable (bench->socket));
    assert_int_equal (leat_socket_state (bench->socket), LEAT_SOCKET_CONNECTED);
    assert_true (leat_socket_receive (bench->socket, &message));
    s_wait_for (bench, LEAT_SOCKET_LOST);
}

/* Nobody answers there: that is told as well, and there is no second attempt. */
static void test_a_connection_that_ends_before_the_handshake (void **state)
{
    bench_t *bench = *state;
    close (bench->peer);
    bench->peer = -1;
    s_wait_for (bench, LEAT_SOCKET_LOST);
    struct pollfd item = { .fd = bench->listener, .events = POLLIN };
    assert_int_equal (poll (&item, 1, 200), 0);
}

/* What is missing is told by its name: libzmq says EMFILE for either. */
static void test_says_which_limit_is_reached (void **state)
{
    bench_t *bench = *state;
    leat_fault_t fault = { 0 };
    struct rlimit before;
    assert_int_equal (getrlimit (RLIMIT_NOFILE, &before), 0);
    int next = dup (bench->listener);
    assert_true (next >= 0);
    close (next);
    struct rlimit full = { (rlim_t) next, before.rlim_max };
    assert_int_equal (setrlimit (RLIMIT_NOFILE, &full), 0);
    leat_socket_t *socket = leat_socket_new (bench->context, "tcp://127.0.0.1:9", &fault);
    assert_int_equal (setrlimit (RLIMIT_NOFILE, &before), 0);
    assert_null (socket);
    assert_string_equal (
        fault.text, "this process has as many files open as it may (RLIMIT_NOFILE), and none is "
                    "left for a connection to tcp://127.0.0.1:9; raise the limit (ulimit -n)");

    /* One client has room in this context, and a second one does not. */
    void *context = zmq_ctx_new ();
    assert_int_equal (zmq_ctx_set (context, ZMQ_MAX_SOCKETS, 2 * LEAT_SOCKETS_OF_CLIENT - 1), 0);
    leat_socket_t *first = leat_socket_new (context, "tcp://127.0.0.1:9", &fault);
    assert_non_null (first);
    assert_null (leat_socket_new (context, "tcp://127.0.0.1:9", &fault));
    assert_string_equal (fault.text,
                         "the ZeroMQ context has no room for another client: it may have 5 sockets "
                         "(ZMQ_MAX_SOCKETS), and each client takes 3; raise that with zmq_ctx_set "
                         "before the first socket is made, or share a context among fewer clients");
    leat_socket_destroy (&first);
    zmq_ctx_term (context);
}

/* An endpoint that libzmq does not take. */
static void test_says_what_is_wrong_with_an_endpoint (void **state)
{
    bench_t *bench = *state;
    leat_fault_t fault = { 0 };
    char endpoint[256] = "ipc://";
    memset (endpoint + strlen (endpoint), 'a', 200);
    assert_null (leat_socket_new (bench->context, endpoint, &fault));
    assert_non_null (strstr (fault.text, endpoint));
    assert_non_null (strstr (fault.text, "File name too long"));
}

int main (void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown (test_messages_behind_which_the_connection_ended, s_set_up,
                                         s_tear_down),
        cmocka_unit_test_setup_teardown (test_lost_comes_last, s_set_up, s_tear_down),
        cmocka_unit_test_setup_teardown (test_a_connection_that_ends_before_the_handshake, s_set_up,
                                         s_tear_down),
        cmocka_unit_test_setup_teardown (test_says_which_limit_is_reached, s_set_up, s_tear_down),
        cmocka_unit_test_setup_teardown (test_says_what_is_wrong_with_an_endpoint, s_set_up,
                                         s_tear_down),
    };
    return cmocka_run_group_tests_name ("client_socket", tests, NULL, NULL);
}

/* Whatever comes over the port, the broker goes on and a client beside it notices nothing.
 * SPDX-License-Identifier: MPL-2.0 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "broker/io/clock.h"
#include "tests/system/dealer.h"
#include "wire/alloc.h"

typedef struct {
    hosted_t *hosted;
    void *client; /* an honest one, with a session throughout */
    uint64_t published;
} scene_t;

/* ---- tools ----------------------------------------------------------------------------------- */

static int s_begin (void **state)
{
    answer_t answer;
    leat_broker_options_t options;
    scene_t *scene = leat_alloc (sizeof *scene);
    hosted_options (&options);
    scene->hosted = hosted_begin (&options);
    scene->client = dealer_open (scene->hosted->context, ZMQ_DEALER, scene->hosted->endpoint);
    dealer_greet (scene->client, "honest");
    leat_command_t open = { .id = LEAT_OPEN };
    open.open.channel = 1;
    open.open.base = 1;
    open.open.stream = leat_text ("corn");
    dealer_send (scene->client, &open);
    answer_begin (&answer);
    dealer_expect (scene->client, &answer, LEAT_OPENED);
    answer_end (&answer);
    *state = scene;
    return 0;
}

static int s_end (void **state)
{
    scene_t *scene = *state;
    zmq_close (scene->client);
    hosted_end (&scene->hosted);
    free (scene);
    return 0;
}

/* The honest client publishes a record and has it confirmed, and stats are answered. */
static void s_goes_on (scene_t *scene)
{
    static const char *const text[] = { "wheat" };
    answer_t answer;
    answer_begin (&answer);
    dealer_publish (scene->client, 1, ++scene->published, text, 1);
    do /* one that only brings credit may come before */
        dealer_expect (scene->client, &answer, LEAT_CONFIRMED);
    while (answer.command.confirmed.sequence < scene->published);
    assert_true (answer.command.confirmed.sequence == scene->published);
    answer_end (&answer);
    /* An answer that was long to make is given again for a while. */
    hosted_wait_for (scene->hosted, "counters.records_accepted", scene->published);
    assert_true (hosted_figure (scene->hosted, "counters.records_accepted") == scene->published);
    assert_true (hosted_figure (scene->hosted, "sessions") >= 1);
}

static int s_connect (const char *endpoint)
{
    struct sockaddr_in address = { .sin_family = AF_INET };
    const char *port = strrchr (endpoint, ':') + 1;
    address.sin_port = htons ((uint16_t) strtoul (port, NULL, 10));
    address.sin_addr.s_addr = htonl (INADDR_LOOPBACK);
    int fd = socket (AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_true (fd >= 0);
    struct timeval patience = { .tv_sec = DEALER_PATIENCE_MS / 1000 };
    assert_int_equal (setsockopt (fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience), 0);
    assert_int_equal (connect (fd, (struct sockaddr *) &address, sizeof address), 0);
    return fd;
}

static void s_write (int fd, const void *bytes, size_t size)
{
    ssize_t rc = send (fd, bytes, size, MSG_NOSIGNAL);
    assert_true (rc == (ssize_t) size || (rc < 0 && (errno == EPIPE || errno == ECONNRESET)));
}

static void s_expect_refused (void *socket, leat_code_t code, const char *word)
{
    answer_t answer;
    answer_begin (&answer);
    dealer_expect (socket, &answer, LEAT_REFUSED);
    assert_int_equal (answer.command.refused.code, code);
    char reason[LEAT_TEXT_MAX + 1] = "";
    memcpy (reason, answer.command.refused.reason.data, answer.command.refused.reason.size);
    if (!strstr (reason, word))
        fail_msg ("'%s' does not say '%s'", reason, word);
    answer_end (&answer);
}

/* ---- bytes on the port ----------------------------------------------------------------------- */

/* The first bytes of a TLS 1.2 ClientHello. */
static const uint8_t s_tls[] = { 0x16, 0x03, 0x01, 0x02, 0x00, 0x01, 0x00, 0x01, 0xfc, 0x03, 0x03 };

/* A ZMTP 3 greeting with the NULL mechanism: signature, version, mechanism, not a server, filler. */
static void s_greeting (uint8_t greeting[64])
{
    static const uint8_t mechanism[] = { 'N', 'U', 'L', 'L' };
    memset (greeting, 0, 64);
    greeting[0] = 0xff;
    greeting[8] = 1;
    greeting[9] = 0x7f;
    greeting[10] = 3;
    memcpy (greeting + 12, mechanism, sizeof mechanism);
}

static void test_other_protocols (void **state)
{
    static const char http[] = "GET / HTTP/1.1\r\nHost: localhost\r\n\r\n";
    scene_t *scene = *state;
    uint8_t noise[4096];
    uint32_t seed = 1;
    for (size_t index = 0; index < sizeof noise; index++)
        noise[index] = (uint8_t) ((seed = seed * 1664525 + 1013904223) >> 24);
    for (int which = 0; which < 2; which++) {
        const char *endpoint = which ? scene->hosted->stats_endpoint : scene->hosted->endpoint;
        int fds[] = { s_connect (endpoint), s_connect (endpoint), s_connect (endpoint),
                      s_connect (endpoint), s_connect (endpoint) };
        s_write (fds[0], http, sizeof http - 1);
        s_write (fds[1], s_tls, sizeof s_tls);
        s_write (fds[2], noise, sizeof noise);
        uint8_t greeting[64];
        s_greeting (greeting);
        s_write (fds[3], greeting, 11);
        s_goes_on (scene);
        for (size_t index = 0; index < sizeof fds / sizeof *fds; index++)
            close (fds[index]);
        s_goes_on (scene);
    }
}

/* The greeting is right and what follows it is not: a frame that claims 2^62 bytes, say. */
static void test_broken_zmtp (void **state)
{
    scene_t *scene = *state;
    uint8_t bytes[64 + 9 + 64];
    static const uint8_t ends[][9] = { { 0x06, 0x40, 0, 0, 0, 0, 0, 0, 0 },
                                       { 0x02, 0x40, 0, 0, 0, 0, 0, 0, 0 },
                                       { 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff },
                                       { 0x04, 0x05, 'R', 'E', 'A', 'D', 'Y', 0, 0 } };
    int fds[sizeof ends / sizeof *ends];
    for (size_t index = 0; index < sizeof ends / sizeof *ends; index++) {
        memset (bytes, 0x5a, sizeof bytes);
        s_greeting (bytes);
        memcpy (bytes + 64, ends[index], 9);
        fds[index] = s_connect (scene->hosted->endpoint);
        s_write (fds[index], bytes, sizeof bytes);
    }
    s_goes_on (scene);
    for (size_t index = 0; index < sizeof ends / sizeof *ends; index++)
        close (fds[index]);
    s_goes_on (scene);
}

/* A type of socket that ROUTER does not talk to. */
static void test_other_sockets (void **state)
{
    static const int types[] = { ZMQ_PUB, ZMQ_SUB, ZMQ_PUSH, ZMQ_PAIR };
    scene_t *scene = *state;
    for (size_t index = 0; index < sizeof types / sizeof *types; index++) {
        void *socket = dealer_open (scene->hosted->context, types[index], scene->hosted->endpoint);
        if (types[index] == ZMQ_SUB)
            zmq_setsockopt (socket, ZMQ_SUBSCRIBE, "", 0);
        else
            zmq_send (socket, "hello", 5, ZMQ_DONTWAIT);
        s_goes_on (scene);
        zmq_close (socket);
    }
}

/* A REQ puts an empty frame before its request, which is no command. */
static void test_a_req_socket (void **state)
{
    scene_t *scene = *state;
    uint64_t before = hosted_figure (scene->hosted, "counters.frames_malformed");
    void *socket = dealer_open (scene->hosted->context, ZMQ_REQ, scene->hosted->endpoint);
    assert_int_equal (zmq_send (socket, "stats", 5, 0), 5);
    hosted_wait_for (scene->hosted, "counters.frames_malformed", before + 1);
    s_goes_on (scene);
    zmq_close (socket);
}

/* ---- ZeroMQ messages that are no Leat --------------------------------------------------------- */

static void test_strange_messages (void **state)
{
    scene_t *scene = *state;
    void *socket = dealer_open (scene->hosted->context, ZMQ_DEALER, scene->hosted->endpoint);
    assert_int_equal (zmq_send (socket, "", 0, 0), 0);
    s_expect_refused (socket, LEAT_MALFORMED, "the frame is empty");
    assert_int_equal (zmq_send (socket, "\xee", 1, 0), 1);
    s_expect_refused (socket, LEAT_UNKNOWN_COMMAND, "no command has the number 0xee");
    assert_int_equal (zmq_send (socket, "\x01LEAX", 5, 0), 5);
    s_expect_refused (socket, LEAT_MALFORMED, "HELLO: version_min is missing, cut short");
    assert_int_equal (zmq_send (socket,
                                "\x03"
                                "123456789",
                                10, 0),
                      10);
    s_expect_refused (socket, LEAT_MALFORMED, "PING: it goes on behind its last field");
    assert_int_equal (zmq_send (socket, "\x12", 1, 0), 1);
    s_expect_refused (socket, LEAT_MALFORMED, "PUBLISH: it has two frames");
    /* Two frames that are no batch. */
    assert_int_equal (zmq_send (socket, "a", 1, ZMQ_SNDMORE), 1);
    assert_int_equal (zmq_send (socket, "b", 1, 0), 1);
    s_expect_refused (socket, LEAT_MALFORMED, "a header of 48 bytes");
    leat_command_t ping = { .id = LEAT_PING };
    dealer_send (socket, &ping);
    s_expect_refused (socket, LEAT_NO_SESSION, "HELLO");
    /* It may begin properly after all. */
    dealer_greet (socket, "stranger");
    s_goes_on (scene);
    zmq_close (socket);
}

static void test_a_thousand_parts (void **state)
{
    scene_t *scene = *state;
    char part[1000]; /* one session may have 2 MiB under way */
    memset (part, 'x', sizeof part);
    void *socket = dealer_open (scene->hosted->context, ZMQ_DEALER, scene->hosted->endpoint);
    dealer_greet (socket, "stranger");
    for (int index = 0; index < 1000; index++)
        assert_int_equal (zmq_send (socket, part, sizeof part, index < 999 ? ZMQ_SNDMORE : 0),
                          sizeof part);
    s_expect_refused (socket, LEAT_MALFORMED, "one or two frames");
    assert_true (hosted_figure (scene->hosted, "counters.frames_surplus") == 998);
    s_goes_on (scene);
    /* The session goes on. */
    leat_command_t close = { .id = LEAT_CLOSE, .close = { .channel = 5 } };
    dealer_send (socket, &close);
    s_expect_refused (socket, LEAT_NO_SUCH_CHANNEL, "");
    zmq_close (socket);
}

/* A frame as large as allowed is refused by name, a larger one ends the connection. The socket connects
 * again by itself, as a stranger. */
static void test_oversize_frames (void **state)
{
    scene_t *scene = *state;
    leat_limits_t limits;
    leat_limits_default (&limits);
    size_t size = limits.batch_size;
    char *large = leat_alloc (size + 1);
    void *socket = dealer_open (scene->hosted->context, ZMQ_DEALER, scene->hosted->endpoint);
    dealer_greet (socket, "stranger");
    assert_int_equal (zmq_send (socket, large, size, 0), size);
    s_expect_refused (socket, LEAT_MALFORMED, "");
    assert_int_equal (zmq_send (socket, large, size + 1, 0), size + 1);
    /* Sent into the old connection or the new one; in the new one there is no session. */
    leat_command_t close = { .id = LEAT_CLOSE, .close = { .channel = 5 } };
    answer_t answer;
    answer_begin (&answer);
    int brief_ms = 100;
    assert_int_equal (zmq_setsockopt (socket, ZMQ_RCVTIMEO, &brief_ms, sizeof brief_ms), 0);
    int tries = DEALER_PATIENCE_MS / brief_ms;
    do {
        dealer_send (socket, &close);
        assert_true (tries-- > 0);
    } while (zmq_msg_recv (&answer.header, socket, 0) < 0);
    assert_int_equal (leat_command_decode (&answer.command, zmq_msg_data (&answer.header),
                                           zmq_msg_size (&answer.header), NULL),
                      LEAT_OK);
    assert_int_equal (answer.command.id, LEAT_REFUSED);
    assert_int_equal (answer.command.refused.code, LEAT_NO_SESSION);
    answer_end (&answer);
    s_goes_on (scene);
    zmq_close (socket);
    free (large);
}

static void test_a_routing_id_of_its_own (void **state)
{
    static const char *const ids[] = { "mill-7", "x", "12345" };
    scene_t *scene = *state;
    for (size_t index = 0; index < sizeof ids / sizeof *ids; index++) {
        int patience_ms = DEALER_PATIENCE_MS;
        int zero = 0;
        void *socket = zmq_socket (scene->hosted->context, ZMQ_DEALER);
        zmq_setsockopt (socket, ZMQ_LINGER, &zero, sizeof zero);
        zmq_setsockopt (socket, ZMQ_RCVTIMEO, &patience_ms, sizeof patience_ms);
        assert_int_equal (zmq_setsockopt (socket, ZMQ_ROUTING_ID, ids[index], strlen (ids[index])),
                          0);
        assert_int_equal (zmq_connect (socket, scene->hosted->endpoint), 0);
        leat_command_t ping = { .id = LEAT_PING };
        dealer_send (socket, &ping);
        s_expect_refused (socket, LEAT_MALFORMED, "routing id");
        zmq_close (socket);
    }
    assert_true (hosted_figure (scene->hosted, "counters.routing_ids_foreign") == 3);
    s_goes_on (scene);
}

/* Who sends nonsense and reads no answer is cut off, and nobody else is. */
static void test_a_flood_without_reading (void **state)
{
    enum { MESSAGES = 1000 };
    scene_t *scene = *state;
    uint64_t until_us = leat_clock_monotonic_us () + UINT64_C (1000) * DEALER_PATIENCE_MS;
    int few = 10;
    int zero = 0;
    void *socket = zmq_socket (scene->hosted->context, ZMQ_DEALER);
    zmq_setsockopt (socket, ZMQ_LINGER, &zero, sizeof zero);
    zmq_setsockopt (socket, ZMQ_RCVHWM, &few, sizeof few);
    assert_int_equal (zmq_connect (socket, scene->hosted->endpoint), 0);
    do {
        for (int index = 0; index < MESSAGES; index++)
            zmq_send (socket, "\xee", 1, ZMQ_DONTWAIT);
        s_goes_on (scene);
        assert_true (leat_clock_monotonic_us () < until_us);
    } while (hosted_figure (scene->hosted, "counters.connections_cut") == 0);
    zmq_close (socket);
    s_goes_on (scene);
}

int main (void)
{
#define TEST(name) cmocka_unit_test_setup_teardown (name, s_begin, s_end)
    const struct CMUnitTest tests[] = {
        TEST (test_other_protocols),         TEST (test_broken_zmtp),
        TEST (test_other_sockets),           TEST (test_a_req_socket),
        TEST (test_strange_messages),        TEST (test_a_thousand_parts),
        TEST (test_oversize_frames),         TEST (test_a_routing_id_of_its_own),
        TEST (test_a_flood_without_reading),
    };
#undef TEST
    return cmocka_run_group_tests (tests, NULL, NULL);
}

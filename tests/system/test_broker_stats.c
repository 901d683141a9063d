/* The stats socket: every query, every wrong one, and that docs/stats.md lists what is there.
 * SPDX-License-Identifier: MPL-2.0 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "broker/core/statistics.h"
#include "tests/system/dealer.h"
#include "wire/alloc.h"

static hosted_t *s_hosted (void)
{
    leat_broker_options_t options;
    hosted_options (&options);
    return hosted_begin (&options);
}

static json_t *s_ask (const hosted_t *hosted, const char *query)
{
    json_error_t error;
    char *text = hosted_ask (hosted, query);
    json_t *json = json_loads (text, 0, &error);
    if (!json)
        fail_msg ("%s: %s", error.text, text);
    assert_true (json_is_object (json));
    free (text);
    return json;
}

static void s_expect_error (const json_t *json, const char *word)
{
    const char *error = json_string_value (json_object_get (json, "error"));
    assert_non_null (error);
    if (!strstr (error, word) || !strstr (error, "stats, limits, help, ping"))
        fail_msg ("'%s' does not say '%s' and the queries", error, word);
    assert_true (json_object_size (json_object_get (json, "queries")) == 4);
}

/* ---- queries --------------------------------------------------------------------------------- */

static void test_ping (void **state)
{
    hosted_t *hosted = s_hosted ();
    json_t *json = s_ask (hosted, "ping");
    assert_string_equal (json_string_value (json_object_get (json, "version")), "leat tested");
    assert_true (json_integer_value (json_object_get (json, "incarnation")) > 1600000000000);
    json_decref (json);
    hosted_end (&hosted);
}

static void test_help_and_limits (void **state)
{
    hosted_t *hosted = s_hosted ();
    json_t *json = s_ask (hosted, "help\n");
    assert_non_null (json_object_get (json_object_get (json, "queries"), "stats"));
    json_decref (json);
    json = s_ask (hosted, "limits");
    const json_t *limits = json_object_get (json, "limits");
    assert_int_equal (json_array_size (limits), LEAT_LIMIT_COUNT);
    size_t index = 0;
    leat_broker_options_t options;
    hosted_options (&options);
#define X(name_, value_, unit_, text_)                                                             \
    {                                                                                              \
        const json_t *row = json_array_get (limits, index++);                                      \
        assert_string_equal (json_string_value (json_object_get (row, "name")), #name_);           \
        assert_string_equal (json_string_value (json_object_get (row, "unit")), #unit_);           \
        assert_string_equal (json_string_value (json_object_get (row, "text")), text_);            \
        assert_true ((uint64_t) json_integer_value (json_object_get (row, "value"))                \
                     == options.limits.name_);                                                     \
        assert_true (json_integer_value (json_object_get (row, "hits")) == 0);                     \
    }
    LEAT_LIMITS (X)
#undef X
    json_decref (json);
    hosted_end (&hosted);
}

static void test_what_is_no_query (void **state)
{
    hosted_t *hosted = s_hosted ();
    json_t *json = s_ask (hosted, "Stats");
    s_expect_error (json, "'Stats' is no query");
    json_decref (json);
    json = s_ask (hosted, "");
    s_expect_error (json, "'' is no query");
    json_decref (json);
    json = s_ask (hosted, "\x01\xff\"; drop table \xc3");
    s_expect_error (json, "'??\"; drop table ?' is no query");
    json_decref (json);
    char large[4096 + 1];
    memset (large, 'x', sizeof large);
    large[4096] = '\0';
    json = s_ask (hosted, large);
    s_expect_error (json, "xxxx...' is no query");
    json_decref (json);
    hosted_end (&hosted);
}

static void s_expect_frame (void *socket, const char *begin, bool more)
{
    char bytes[65536];
    int size = zmq_recv (socket, bytes, sizeof bytes - 1, 0);
    assert_true (size >= 0 && size < (int) sizeof bytes);
    bytes[size] = '\0';
    if (strncmp (bytes, begin, strlen (begin)) != 0 || (!*begin && size))
        fail_msg ("'%.40s' does not begin with '%s'", bytes, begin);
    int rest;
    size_t rest_size = sizeof rest;
    assert_int_equal (zmq_getsockopt (socket, ZMQ_RCVMORE, &rest, &rest_size), 0);
    assert_int_equal (rest, more);
}

/* A DEALER gets the empty frame back if it sent one; several requests may be under way. */
static void test_dealers (void **state)
{
    hosted_t *hosted = s_hosted ();
    void *socket = dealer_open (hosted->context, ZMQ_DEALER, hosted->stats_endpoint);
    zmq_send (socket, "ping", 4, 0);
    zmq_send (socket, "", 0, ZMQ_SNDMORE);
    zmq_send (socket, "ping", 5, 0);
    zmq_send (socket, "stats", 5, ZMQ_SNDMORE);
    zmq_send (socket, "limits", 6, 0);
    s_expect_frame (socket, "{\"version\"", false);
    s_expect_frame (socket, "", true);
    s_expect_frame (socket, "{\"version\"", false);
    s_expect_frame (socket, "{\"error\":\"a request is one frame", false);
    zmq_send (socket, "", 0, 0);
    s_expect_frame (socket, "{\"error\":\"'' is no query", false);
    zmq_send (socket, "", 0, ZMQ_SNDMORE);
    zmq_send (socket, "stats", 5, ZMQ_SNDMORE);
    zmq_send (socket, "stats", 5, 0);
    s_expect_frame (socket, "", true);
    s_expect_frame (socket, "{\"error\":\"a request is one frame", false);
    zmq_close (socket);
    hosted_end (&hosted);
}

/* Too large a request ends the connection; others are answered as before. */
static void test_oversize (void **state)
{
    hosted_t *hosted = s_hosted ();
    char *large = leat_alloc (1 << 20);
    void *socket = dealer_open (hosted->context, ZMQ_DEALER, hosted->stats_endpoint);
    zmq_send (socket, large, 4097, 0);
    zmq_send (socket, large, 1 << 20, 0);
    for (int index = 0; index < 100; index++)
        json_decref (s_ask (hosted, "ping"));
    char byte;
    assert_int_equal (zmq_recv (socket, &byte, 1, ZMQ_DONTWAIT), -1);
    zmq_close (socket);
    free (large);
    hosted_end (&hosted);
}

/* Who asks in a loop and reads nothing loses answers, and nobody else does. */
static void test_a_flood (void **state)
{
    enum { REQUESTS = 20000 };
    hosted_t *hosted = s_hosted ();
    int few = 2;
    int zero = 0;
    int patience_ms = DEALER_PATIENCE_MS;
    void *socket = zmq_socket (hosted->context, ZMQ_DEALER);
    zmq_setsockopt (socket, ZMQ_RCVHWM, &few, sizeof few);
    zmq_setsockopt (socket, ZMQ_LINGER, &zero, sizeof zero);
    zmq_setsockopt (socket, ZMQ_SNDTIMEO, &patience_ms, sizeof patience_ms);
    assert_int_equal (zmq_connect (socket, hosted->stats_endpoint), 0);
    for (int index = 0; index < REQUESTS; index++)
        assert_int_equal (zmq_send (socket, "stats", 5, 0), 5);
    hosted_wait_for (hosted, "counters.stats_requests", REQUESTS);
    s_expect_frame (socket, "{\"version\"", false);
    zmq_close (socket);
    hosted_end (&hosted);
}

/* ---- the document ---------------------------------------------------------------------------- */

/* Paths such as `streams[].groups[].ready`, one string each, in an array without doubles. */
static bool s_has_path (const json_t *paths, const char *path)
{
    for (size_t index = 0; index < json_array_size (paths); index++)
        if (strcmp (json_string_value (json_array_get (paths, index)), path) == 0)
            return true;
    return false;
}

static void s_add_path (json_t *paths, const char *path)
{
    if (!s_has_path (paths, path))
        json_array_append_new (paths, json_string (path));
}

static void s_walk (json_t *json, const char *path, json_t *paths)
{
    char below[200];
    if (json_is_object (json)) {
        for (void *at = json_object_iter (json); at; at = json_object_iter_next (json, at)) {
            snprintf (below, sizeof below, "%s%s%s", path, *path ? "." : "",
                      json_object_iter_key (at));
            s_walk (json_object_iter_value (at), below, paths);
        }
    } else if (json_is_array (json)) {
        snprintf (below, sizeof below, "%s[]", path);
        assert_true (json_array_size (json) > 0);
        for (size_t index = 0; index < json_array_size (json); index++)
            s_walk (json_array_get (json, index), below, paths);
    } else {
        s_add_path (paths, path);
    }
}

/* The first cell of each row of the tables, which is a path in back quotes. */
static void s_read_document (json_t *paths)
{
    char line[1000];
    FILE *file = fopen ("docs/stats.md", "r");
    assert_non_null (file);
    while (fgets (line, sizeof line, file)) {
        if (strncmp (line, "| `", 3) != 0)
            continue;
        char *end = strchr (line + 3, '`');
        assert_non_null (end);
        *end = '\0';
        s_add_path (paths, line + 3);
    }
    fclose (file);
}

static void s_expect_within (const json_t *paths, const json_t *others, const char *where)
{
    for (size_t index = 0; index < json_array_size (paths); index++) {
        const char *path = json_string_value (json_array_get (paths, index));
        if (!s_has_path (others, path))
            fail_msg ("%s is not %s", path, where);
    }
}

/* A producer and a consumer, so that every list has a row. */
static void s_populate (void *socket)
{
    static const char *const text[] = { "wheat" };
    answer_t answer;
    dealer_greet (socket, "mill");
    leat_command_t open = { .id = LEAT_OPEN };
    open.open.channel = 1;
    open.open.base = 1;
    open.open.stream = leat_text ("corn");
    dealer_send (socket, &open);
    leat_command_t attach = { .id = LEAT_ATTACH };
    attach.attach.channel = 2;
    attach.attach.credit_records = 10;
    attach.attach.credit_size = 1000;
    attach.attach.stream = leat_text ("corn");
    attach.attach.group = leat_text ("millers");
    dealer_send (socket, &attach);
    answer_begin (&answer);
    dealer_expect (socket, &answer, LEAT_OPENED);
    dealer_expect (socket, &answer, LEAT_ATTACHED);
    dealer_publish (socket, 1, 1, text, 1);
    do
        dealer_receive (socket, &answer);
    while (answer.command.id != LEAT_DELIVER);
    answer_compare (&answer, text, 1);
    answer_end (&answer);
}

static void test_the_document (void **state)
{
    hosted_t *hosted = s_hosted ();
    void *socket = dealer_open (hosted->context, ZMQ_DEALER, hosted->endpoint);
    s_populate (socket);
    json_t *json = s_ask (hosted, "stats");
    json_t *here = json_array ();
    json_t *documented = json_array ();
    s_walk (json, "", here);
    s_read_document (documented);
    assert_true (json_array_size (here) > 50);
    s_expect_within (here, documented, "in docs/stats.md");
    s_expect_within (documented, here, "in the answer");

    const json_t *stream = json_array_get (json_object_get (json, "streams"), 0);
    const json_t *group = json_array_get (json_object_get (stream, "groups"), 0);
    const json_t *producer = json_array_get (json_object_get (json, "producers"), 0);
    const json_t *consumer = json_array_get (json_object_get (json, "consumers"), 0);
    assert_string_equal (json_string_value (json_object_get (stream, "name")), "corn");
    assert_int_equal (json_integer_value (json_object_get (stream, "accepted")), 1);
    assert_int_equal (json_integer_value (json_object_get (stream, "in_flight")), 1);
    assert_int_equal (json_integer_value (json_object_get (stream, "ready")), 0);
    assert_string_equal (json_string_value (json_object_get (group, "name")), "millers");
    assert_int_equal (json_integer_value (json_object_get (group, "in_flight")), 1);
    assert_string_equal (json_string_value (json_object_get (producer, "id")), "mill");
    assert_true (json_is_null (json_object_get (producer, "group")));
    assert_string_equal (json_string_value (json_object_get (consumer, "group")), "millers");
    assert_int_equal (json_integer_value (json_object_get (consumer, "in_flight")), 1);
    assert_string_equal (
        json_string_value (json_array_get (json_object_get (json, "endpoints"), 0)),
        hosted->endpoint);
    json_decref (json);
    json_decref (here);
    json_decref (documented);
    zmq_close (socket);
    hosted_end (&hosted);
}

int main (void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test (test_ping),
        cmocka_unit_test (test_help_and_limits),
        cmocka_unit_test (test_what_is_no_query),
        cmocka_unit_test (test_dealers),
        cmocka_unit_test (test_oversize),
        cmocka_unit_test (test_a_flood),
        cmocka_unit_test (test_the_document),
    };
    return cmocka_run_group_tests (tests, NULL, NULL);
}

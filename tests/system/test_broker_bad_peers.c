/* Peers that speak well-formed nonsense: each is told so by a code and counted, and whoever is honest beside it
 * keeps what it has.
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

#include "broker/io/clock.h"
#include "tests/system/honest.h"
#include "wire/alloc.h"

enum { OFFENCES = 1000, STREAMS = 10000, HELLOS = 300 };

typedef struct {
    hosted_t *hosted;
    honest_t honest;
    void *bad; /* with a session */
} scene_t;

/* ---- tools ----------------------------------------------------------------------------------- */

static int s_begin (void **state)
{
    static const char *const endpoints[] = { "tcp://127.0.0.1:*", "ipc://*" };
    leat_broker_options_t options;
    scene_t *scene = leat_alloc (sizeof *scene);
    hosted_options (&options);
    options.endpoints = endpoints;
    options.endpoint_count = 2;
    options.limits.streams = STREAMS;
    options.limits.offences = OFFENCES;
    scene->hosted = hosted_begin (&options);
    honest_begin (&scene->honest, scene->hosted->context, scene->hosted->endpoint,
                  leat_broker_endpoint (scene->hosted->broker, 1));
    honest_hold (&scene->honest);
    scene->bad = dealer_open (scene->hosted->context, ZMQ_DEALER, scene->hosted->endpoint);
    dealer_greet (scene->bad, "bad");
    *state = scene;
    return 0;
}

/* An answer that was long to make is given again for a while. */
static void s_expect_figure (const scene_t *scene, const char *path, uint64_t figure)
{
    hosted_wait_for (scene->hosted, path, figure);
    assert_int_equal (hosted_figure (scene->hosted, path), figure);
}

/* What the honest ones had is theirs still: their record is settled once, and the next one comes. */
static int s_end (void **state)
{
    scene_t *scene = *state;
    honest_settle (&scene->honest);
    honest_go_on (&scene->honest);
    s_expect_figure (scene, "counters.records_settled", scene->honest.published);
    s_expect_figure (scene, "counters.records_dead", 0);
    honest_end (&scene->honest);
    zmq_close (scene->bad);
    hosted_end (&scene->hosted);
    free (scene);
    return 0;
}

static void s_expect_refused (void *socket, leat_code_t code)
{
    answer_t answer;
    answer_begin (&answer);
    dealer_expect (socket, &answer, LEAT_REFUSED);
    assert_int_equal (answer.command.refused.code, code);
    answer_end (&answer);
}

/* How often a limit was met. */
static uint64_t s_hits (const scene_t *scene, const char *limit)
{
    char *text = hosted_ask (scene->hosted, "stats");
    json_t *root = json_loads (text, 0, NULL);
    uint64_t hits = UINT64_MAX;
    const json_t *limits = json_object_get (root, "limits");
    for (size_t index = 0; index < json_array_size (limits); index++) {
        const json_t *row = json_array_get (limits, index);
        if (strcmp (json_string_value (json_object_get (row, "name")), limit) == 0)
            hits = (uint64_t) json_integer_value (json_object_get (row, "hits"));
    }
    json_decref (root);
    free (text);
    assert_true (hits != UINT64_MAX);
    return hits;
}

static void s_expect_hits (const scene_t *scene, const char *limit, uint64_t hits)
{
    uint64_t until_us = leat_clock_monotonic_us () + UINT64_C (1000) * DEALER_PATIENCE_MS;
    while (s_hits (scene, limit) < hits)
        assert_true (leat_clock_monotonic_us () < until_us);
    assert_int_equal (s_hits (scene, limit), hits);
}

/* A consumer of the honest one's group that takes nothing. */
static void s_attach (void *socket)
{
    answer_t answer;
    leat_command_t attach = { .id = LEAT_ATTACH };
    attach.attach.channel = 1;
    attach.attach.stream = leat_text ("corn");
    attach.attach.group = leat_text ("default");
    dealer_send (socket, &attach);
    answer_begin (&answer);
    dealer_expect (socket, &answer, LEAT_ATTACHED);
    answer_end (&answer);
}

static void s_hello (void *socket, const char *identity, uint16_t flags, uint64_t life)
{
    leat_command_t hello = { .id = LEAT_HELLO };
    hello.hello.signature = LEAT_SIGNATURE;
    hello.hello.version_min = hello.hello.version_max = LEAT_PROTOCOL_VERSION;
    hello.hello.flags = flags;
    hello.hello.life = life;
    hello.hello.attempt = 1;
    hello.hello.identity = leat_text (identity);
    dealer_send (socket, &hello);
}

/* ---- leases ---------------------------------------------------------------------------------- */

/* The lease of somebody else, an epoch that nobody has yet, the last one that there can be. */
static void test_leases_of_others (void **state)
{
    scene_t *scene = *state;
    const leat_batch_t *held = &scene->honest.held.batch;
    leat_settle_entry_t entries[] = {
        { held->epoch, held->first, 1, 0, LEAT_ACK },
        { held->epoch, held->first, 1, 0, LEAT_REJECT },
        { held->epoch + 1000, held->first, 1, 0, LEAT_ACK },
        { UINT64_MAX, 0, UINT32_MAX, 0, LEAT_NACK },
    };
    enum { COUNT = sizeof entries / sizeof *entries };
    leat_range_t ranges[COUNT];
    answer_t answer;
    s_attach (scene->bad);
    leat_command_t settle = { .id = LEAT_SETTLE };
    settle.settle.channel = 1;
    settle.settle.entries = (leat_settles_t){ .count = COUNT, .entries = entries };
    dealer_send (scene->bad, &settle);
    answer_begin (&answer);
    dealer_expect (scene->bad, &answer, LEAT_STALE);
    assert_int_equal (answer.command.stale.ranges.count, COUNT);
    for (uint32_t index = 0; index < COUNT; index++) {
        ranges[index] = leat_ranges_get (&answer.command.stale.ranges, index);
        assert_true (ranges[index].epoch == entries[index].epoch);
    }
    leat_command_t returned = { .id = LEAT_RETURNED };
    returned.returned.channel = 1;
    returned.returned.ranges = (leat_ranges_t){ .count = COUNT, .entries = ranges };
    dealer_send (scene->bad, &returned);
    leat_command_t report = { .id = LEAT_REPORT };
    report.report.channel = 1;
    report.report.position = UINT64_MAX;
    dealer_send (scene->bad, &report);
    leat_command_t leave = { .id = LEAT_LEAVE, .leave = { .channel = 1 } };
    dealer_send (scene->bad, &leave);
    dealer_expect (scene->bad, &answer, LEAT_LEFT);
    answer_end (&answer);
    s_expect_figure (scene, "counters.settles_stale", 2 * COUNT);
    s_expect_figure (scene, "counters.records_settled", 0);
}

/* ---- credit ---------------------------------------------------------------------------------- */

static void test_credit_beyond_reason (void **state)
{
    const uint64_t much = UINT64_C (1) << 63;
    scene_t *scene = *state;
    answer_t answer;
    leat_command_t attach = { .id = LEAT_ATTACH };
    attach.attach.channel = 9;
    attach.attach.credit_records = 1;
    attach.attach.credit_size = much;
    attach.attach.stream = leat_text ("corn");
    attach.attach.group = leat_text ("default");
    dealer_send (scene->bad, &attach);
    s_expect_refused (scene->bad, LEAT_TOO_LARGE);
    s_attach (scene->bad);
    leat_command_t allow = { .id = LEAT_ALLOW };
    allow.allow.channel = 1;
    allow.allow.credit_records = UINT32_MAX;
    allow.allow.credit_size = much;
    dealer_send (scene->bad, &allow);
    s_expect_refused (scene->bad, LEAT_TOO_LARGE);
    s_expect_hits (scene, "credit_size", 2);
    leat_command_t open = { .id = LEAT_OPEN };
    open.open.channel = 2;
    open.open.base = 1;
    open.open.stream = leat_text ("chaff");
    dealer_send (scene->bad, &open);
    answer_begin (&answer);
    dealer_expect (scene->bad, &answer, LEAT_OPENED);
    uint64_t limit = answer.command.opened.limit;
    assert_true (limit <= 4 * 1024 * 1024);
    leat_command_t want = { .id = LEAT_WANT, .want = { .channel = 2, .size = much } };
    dealer_send (scene->bad, &want);
    leat_command_t yielded = { .id = LEAT_YIELDED, .yielded = { .channel = 2, .limit = much } };
    dealer_send (scene->bad, &yielded);
    s_expect_refused (scene->bad, LEAT_BAD_STATE);
    /* More than there is of it. */
    static char text[1024 * 1024];
    memset (text, 'x', sizeof text - 1);
    const char *const texts[] = { text };
    for (uint64_t sequence = 1; sequence <= 16; sequence++)
        dealer_publish (scene->bad, 2, sequence, texts, 1);
    do
        dealer_receive (scene->bad, &answer);
    while (answer.command.id != LEAT_REFUSED);
    assert_int_equal (answer.command.refused.command, LEAT_PUBLISH);
    assert_int_equal (answer.command.refused.code, LEAT_OVER_CREDIT);
    answer_end (&answer);
}

/* ---- sessions -------------------------------------------------------------------------------- */

/* One HELLO after the other: in its session each is refused, until that is enough; who makes a
 * connection for each displaces itself. */
static void test_hello_without_end (void **state)
{
    scene_t *scene = *state;
    answer_t answer;
    answer_begin (&answer);
    unsigned refused = 0;
    do {
        s_hello (scene->bad, "bad", 0, 1);
        answer_end (&answer);
        answer_begin (&answer);
        dealer_receive (scene->bad, &answer);
        refused += answer.command.id == LEAT_REFUSED;
        assert_true (answer.command.id != LEAT_REFUSED
                     || answer.command.refused.code == LEAT_BAD_STATE);
    } while (answer.command.id == LEAT_REFUSED);
    assert_true (refused >= OFFENCES);
    assert_int_equal (answer.command.id, LEAT_BYE);
    assert_int_equal (answer.command.bye.code, LEAT_NOT_ALLOWED);
    s_expect_figure (scene, "counters.peers_cut", 1);
    s_expect_hits (scene, "offences", 1);
    hosted_wait_for (scene->hosted, "counters.connections_cut", 1);
    for (unsigned count = 0; count < HELLOS; count++) {
        void *socket = dealer_open (scene->hosted->context, ZMQ_DEALER, scene->hosted->endpoint);
        dealer_greet (socket, "again");
        if (count % 2)
            dealer_greet (scene->bad, "again");
        zmq_close (socket);
        zmq_close (scene->bad);
        scene->bad = dealer_open (scene->hosted->context, ZMQ_DEALER, scene->hosted->endpoint);
    }
    answer_end (&answer);
    assert_true (hosted_figure (scene->hosted, "sessions") <= 4);
}

/* Who resumes a life that is not its own is fenced, and the owner notices nothing. Who begins a new life under
 * the identity takes the session over, as protocol.md says, but no record: what was published stays,
 * under its sequence, and the owner gets its session back in the same way. */
static void test_identity_of_another (void **state)
{
    static const char *const texts[] = { "chaff" };
    scene_t *scene = *state;
    honest_t *honest = &scene->honest;
    answer_t answer;
    answer_begin (&answer);
    void *thief = dealer_open (scene->hosted->context, ZMQ_DEALER, scene->hosted->endpoint);
    s_hello (thief, "producer", LEAT_HELLO_RESUME, 12345);
    dealer_expect (thief, &answer, LEAT_FENCED);
    s_expect_figure (scene, "counters.hellos_fenced", 1);
    honest_settle (honest);
    honest_hold (honest);
    s_expect_figure (scene, "counters.sessions_displaced", 0);
    s_hello (thief, "producer", 0, 12345);
    dealer_expect (thief, &answer, LEAT_WELCOME);
    dealer_expect (honest->producer, &answer, LEAT_FENCED);
    s_expect_figure (scene, "counters.sessions_displaced", 1);
    leat_command_t open = { .id = LEAT_OPEN };
    open.open.channel = 1;
    open.open.base = 1;
    open.open.stream = leat_text ("corn");
    dealer_send (thief, &open);
    dealer_expect (thief, &answer, LEAT_OPENED);
    assert_true (answer.command.opened.sequence == honest->published);
    dealer_publish (thief, 1, 1, texts, 1); /* instead of what there is: it is confirmed as that */
    dealer_expect (thief, &answer, LEAT_CONFIRMED);
    assert_true (answer.command.confirmed.sequence == honest->published);
    s_expect_figure (scene, "counters.records_accepted", honest->published);
    zmq_close (honest->producer);
    honest->producer = dealer_open (scene->hosted->context, ZMQ_DEALER, scene->hosted->endpoint);
    dealer_greet (honest->producer, "producer");
    dealer_expect (thief, &answer, LEAT_FENCED);
    dealer_send (honest->producer, &open);
    dealer_expect (honest->producer, &answer, LEAT_OPENED);
    assert_true (answer.command.opened.sequence == honest->published);
    answer_end (&answer);
    zmq_close (thief);
}

/* ---- streams --------------------------------------------------------------------------------- */

/* A new stream for each record, because of a typing error. */
static void test_streams_by_typo (void **state)
{
    enum { BURST = 100 };
    scene_t *scene = *state;
    answer_t answer;
    char name[32];
    uint64_t opened = 0;
    uint64_t refused = 0;
    answer_begin (&answer);
    for (unsigned burst = 0; burst < STREAMS / BURST; burst++) {
        for (unsigned index = 1; index <= BURST; index++) {
            snprintf (name, sizeof name, "corn-%u-%u", burst, index);
            leat_command_t open = { .id = LEAT_OPEN };
            open.open.channel = index;
            open.open.base = 1;
            open.open.stream = leat_text (name);
            dealer_send (scene->bad, &open);
        }
        unsigned over = 0;
        while (over < BURST) {
            dealer_receive (scene->bad, &answer);
            over += answer.command.id == LEAT_CLOSED || answer.command.id == LEAT_REFUSED;
            if (answer.command.id == LEAT_REFUSED) {
                assert_int_equal (answer.command.refused.code, LEAT_LIMIT_REACHED);
                refused++;
            } else if (answer.command.id == LEAT_OPENED) {
                leat_command_t close = { .id = LEAT_CLOSE };
                close.close.channel = answer.command.opened.channel;
                dealer_send (scene->bad, &close);
                opened++;
            }
        }
    }
    answer_end (&answer);
    assert_int_equal (opened, STREAMS - 1); /* and "corn" */
    assert_int_equal (refused, 1);
    s_expect_hits (scene, "streams", 1);
}

int main (void)
{
#define TEST(name) cmocka_unit_test_setup_teardown (name, s_begin, s_end)
    const struct CMUnitTest tests[] = {
        TEST (test_leases_of_others),  TEST (test_credit_beyond_reason),
        TEST (test_hello_without_end), TEST (test_identity_of_another),
        TEST (test_streams_by_typo),
    };
    return cmocka_run_group_tests (tests, NULL, NULL);
}

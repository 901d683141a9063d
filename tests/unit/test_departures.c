/* From the ends of connections to the ends of sessions.
 * SPDX-License-Identifier: MPL-2.0 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "broker/io/departures.h"

enum { MS = 1000 };

static int s_begin (void **state)
{
    *state = leat_departures_new ();
    return 0;
}

static int s_end (void **state)
{
    leat_departures_t *departures = *state;
    leat_departures_destroy (&departures);
    assert_null (departures);
    leat_departures_destroy (&departures);
    return 0;
}

static void s_expect_probe (leat_departures_t *departures, uint64_t now_us, uint64_t peer)
{
    uint64_t probed = 0;
    assert_true (leat_departures_deadline (departures) <= now_us);
    assert_true (leat_departures_probe (departures, now_us, &probed));
    assert_true (probed == peer);
}

static void s_expect_no_probe (leat_departures_t *departures, uint64_t now_us)
{
    uint64_t probed;
    assert_false (leat_departures_probe (departures, now_us, &probed));
    assert_true (leat_departures_deadline (departures) > now_us);
}

static void s_expect_taken (leat_departures_t *departures, uint64_t peer)
{
    uint64_t taken = 0;
    assert_true (leat_departures_take (departures, &taken));
    assert_true (taken == peer);
}

static void s_expect_none_taken (leat_departures_t *departures)
{
    uint64_t taken;
    assert_false (leat_departures_take (departures, &taken));
}

/* The first probes are taken still; then it is gone, and given up once all it had sent is read. */
static void test_a_death (void **state)
{
    leat_departures_t *departures = *state;
    leat_departures_arrive (departures, 7, 17, 0);
    leat_departures_arrive (departures, 8, 18, 0);
    leat_departures_drained (departures);
    s_expect_no_probe (departures, 5 * MS);
    assert_true (leat_departures_deadline (departures) == UINT64_MAX);
    leat_departures_end (departures, 17, 10 * MS);
    s_expect_probe (departures, 10 * MS, 7);
    s_expect_no_probe (departures, 10 * MS);
    assert_true (leat_departures_deadline (departures) == 11 * MS);
    s_expect_probe (departures, 11 * MS, 7);
    assert_true (leat_departures_deadline (departures) == 13 * MS);
    s_expect_probe (departures, 13 * MS, 7);
    leat_departures_refused (departures, 7);
    s_expect_no_probe (departures, 1000 * MS);
    assert_true (leat_departures_gone (departures, 7));
    assert_false (leat_departures_gone (departures, 8));
    s_expect_none_taken (departures);
    leat_departures_heard (departures, 7);
    s_expect_none_taken (departures);
    leat_departures_drained (departures);
    assert_true (leat_departures_gone (departures, 7));
    s_expect_taken (departures, 7);
    s_expect_none_taken (departures);
    assert_false (leat_departures_gone (departures, 7));
    assert_int_equal (leat_departures_count (departures), 1);
    const leat_departures_counters_t *counters = leat_departures_counters (departures);
    assert_int_equal (counters->connections_ended, 1);
    assert_int_equal (counters->probes, 3);
    assert_int_equal (counters->departures_probed, 1);
    assert_int_equal (counters->departures_unsent, 0);
    assert_int_equal (counters->probes_survived, 0);
}

/* Who had a descriptor before and who has it now are both asked; who lives is left alone after so
 * many probes. */
static void test_a_descriptor_used_again (void **state)
{
    leat_departures_t *departures = *state;
    leat_departures_arrive (departures, 7, 17, 0);
    leat_departures_arrive (departures, 9, 17, 0); /* before the end of 7's is known */
    leat_departures_drained (departures);
    leat_departures_end (departures, 17, 0);
    s_expect_probe (departures, 0, 7);
    s_expect_probe (departures, 0, 9);
    leat_departures_refused (departures, 7);
    uint64_t now_us = 0;
    for (unsigned probe = 1; probe < LEAT_DEPARTURES_PROBES; probe++) {
        now_us = leat_departures_deadline (departures);
        s_expect_no_probe (departures, now_us - 1);
        s_expect_probe (departures, now_us, 9);
    }
    now_us = leat_departures_deadline (departures);
    assert_true (now_us == 2047 * MS);
    s_expect_no_probe (departures, now_us);
    assert_true (leat_departures_deadline (departures) == UINT64_MAX);
    assert_int_equal (leat_departures_counters (departures)->probes_survived, 1);
    leat_departures_drained (departures);
    s_expect_taken (departures, 7);
    s_expect_none_taken (departures);
    /* Its own end finds it. */
    leat_departures_end (departures, 17, now_us);
    s_expect_probe (departures, now_us, 9);
    leat_departures_refused (departures, 9);
    leat_departures_drained (departures);
    s_expect_taken (departures, 9);
    assert_int_equal (leat_departures_count (departures), 0);
}

/* An end while it is being probed may be its own: it begins anew. */
static void test_an_end_while_probed (void **state)
{
    leat_departures_t *departures = *state;
    leat_departures_arrive (departures, 9, 17, 0);
    leat_departures_end (departures, 17, 0);
    s_expect_probe (departures, 0, 9);
    s_expect_probe (departures, 1 * MS, 9);
    s_expect_probe (departures, 3 * MS, 9);
    leat_departures_end (departures, 17, 4 * MS);
    s_expect_probe (departures, 4 * MS, 9);
    assert_true (leat_departures_deadline (departures) == 5 * MS);
}

/* The end may be known before the HELLO is read, as long as the queue was not empty in between. */
static void test_an_end_before_the_hello (void **state)
{
    leat_departures_t *departures = *state;
    leat_departures_end (departures, 17, 0);
    leat_departures_arrive (departures, 7, 17, 0);
    s_expect_probe (departures, 0, 7);
    leat_departures_refused (departures, 7);
    leat_departures_drained (departures);
    s_expect_taken (departures, 7);
    leat_departures_arrive (departures, 8, 17, 0);
    s_expect_no_probe (departures, 0);
    /* Of a flood of ends the last ones are known. */
    for (int fd = 0; fd < 1000; fd++)
        leat_departures_end (departures, fd, 0);
    leat_departures_arrive (departures, 10, 999, 0);
    s_expect_probe (departures, 0, 8);
    s_expect_probe (departures, 0, 10);
    s_expect_no_probe (departures, 0);
}

/* A broker that never finds its queue empty: silence over several rounds is as good, a word is not. */
static void test_no_empty_queue (void **state)
{
    leat_departures_t *departures = *state;
    leat_departures_arrive (departures, 7, 17, 0);
    leat_departures_arrive (departures, 8, 18, 0);
    leat_departures_end (departures, 17, 0);
    s_expect_probe (departures, 0, 7);
    leat_departures_refused (departures, 7);
    for (unsigned count = 0; count < 100000; count++) {
        leat_departures_heard (departures, count % 1000 ? 8 : 7);
        s_expect_none_taken (departures);
    }
    uint64_t taken = 0;
    unsigned count = 0;
    while (!leat_departures_take (departures, &taken)) {
        leat_departures_heard (departures, 8);
        assert_true (++count < 10000);
    }
    assert_true (taken == 7);
    assert_true (count > 1000);
}

static void test_something_unsent (void **state)
{
    leat_departures_t *departures = *state;
    /* Whose descriptor is not known is found so, too. */
    leat_departures_arrive (departures, 6, -1, 0);
    assert_int_equal (leat_departures_count (departures), 0);
    leat_departures_refused (departures, 6);
    leat_departures_refused (departures, 6);
    leat_departures_arrive (departures, 7, 17, 0);
    leat_departures_refused (departures, 7);
    leat_departures_end (departures, 17, 0);
    s_expect_no_probe (departures, 0);
    leat_departures_drained (departures);
    leat_departures_refused (departures, 7);
    leat_departures_end (departures, 17, 0);
    s_expect_no_probe (departures, 0);
    s_expect_taken (departures, 6);
    s_expect_taken (departures, 7);
    s_expect_none_taken (departures);
    assert_int_equal (leat_departures_counters (departures)->departures_unsent, 2);
}

static void test_forgotten (void **state)
{
    leat_departures_t *departures = *state;
    leat_departures_arrive (departures, 7, 17, 0);
    leat_departures_arrive (departures, 7, 17, 0);
    leat_departures_end (departures, 17, 0);
    leat_departures_forget (departures, 7);
    leat_departures_forget (departures, 7);
    s_expect_no_probe (departures, 0);
    assert_int_equal (leat_departures_count (departures), 0);
}

/* Ten thousand die at once: each is probed, and nothing is slow. */
static void test_many_at_once (void **state)
{
    enum { PEERS = 10000 };
    leat_departures_t *departures = *state;
    for (int peer = 0; peer < PEERS; peer++)
        leat_departures_arrive (departures, (uint64_t) peer, peer, 0);
    for (int fd = 0; fd < PEERS; fd++)
        leat_departures_end (departures, fd, 0);
    for (int round = 0; round < 2; round++)
        for (int peer = 0; peer < PEERS; peer++)
            s_expect_probe (departures, (uint64_t) round * MS, (uint64_t) peer);
    for (int peer = 0; peer < PEERS; peer++)
        leat_departures_refused (departures, (uint64_t) peer);
    leat_departures_drained (departures);
    for (int peer = 0; peer < PEERS; peer++)
        s_expect_taken (departures, (uint64_t) peer);
}

int main (void)
{
#define TEST(name) cmocka_unit_test_setup_teardown (name, s_begin, s_end)
    const struct CMUnitTest tests[] = {
        TEST (test_a_death),
        TEST (test_a_descriptor_used_again),
        TEST (test_an_end_while_probed),
        TEST (test_an_end_before_the_hello),
        TEST (test_no_empty_queue),
        TEST (test_something_unsent),
        TEST (test_forgotten),
        TEST (test_many_at_once),
    };
#undef TEST
    return cmocka_run_group_tests (tests, NULL, NULL);
}

/* The core and lost consumers: reports, suspects, isolation, charges.
 * SPDX-License-Identifier: MPL-2.0 */
#include "tests/unit/core_driver.h"

/* `count` records, published by peer 1. */
static driver_t *s_begin (uint32_t count)
{
    driver_t *driver = driver_new (NULL);
    driver_hello (driver, 1, "mill");
    driver_open (driver, 1, 1, "orders");
    driver_publish (driver, 1, 1, 1, count);
    driver_drop (driver, 1);
    return driver;
}

static void s_consumer (driver_t *driver, uint64_t peer, uint32_t credit, uint32_t max_unreported)
{
    char identity[20];
    snprintf (identity, sizeof identity, "c%d", (int) peer);
    driver_hello (driver, peer, identity);
    driver_attach (driver, peer, 1, "orders", credit, max_unreported);
}

static void s_check_suspects (const driver_t *driver, uint64_t suspects, uint64_t clean)
{
    leat_group_statistics_t group = driver_group (driver, "orders");
    assert_int_equal (group.suspect, suspects);
    assert_int_equal (group.ready, clean);
    assert_int_equal (group.in_flight, 0);
}

/* What is suspected when a consumer of 20 records is lost. */
static void test_boundary (void **state)
{
    static const struct {
        uint32_t max_unreported;
        uint64_t report;
        uint64_t ack; /* this offset, if below 20 */
        uint64_t suspects;
        uint64_t clean;
    } cases[] = {
        { 0, 0, 99, 0, 20 }, { 1, 0, 99, 1, 19 }, { 10, 0, 99, 10, 10 }, { 100, 0, 99, 20, 0 },
        { 0, 7, 99, 7, 13 }, { 1, 7, 99, 8, 12 }, { 10, 7, 99, 17, 3 },  { 0, 1000, 99, 20, 0 },
        { 0, 0, 4, 4, 15 }, /* the ack of 4 reports 0 to 4, and 4 is settled */
        { 1, 0, 4, 5, 14 },  { 10, 0, 0, 10, 9 }, { 10, 0, 19, 19, 0 },  { 3, 9, 2, 11, 8 },
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        driver_t *driver = s_begin (20);
        s_consumer (driver, 2, 20, cases[i].max_unreported);
        leat_batch_t batch = driver_expect_deliver (driver, 2, 1, 0, 20);
        if (cases[i].report)
            driver_report (driver, 2, 1, cases[i].report);
        if (cases[i].ack < 20)
            driver_settle (driver, 2, 1, batch.epoch, cases[i].ack, 1, LEAT_ACK);
        driver_report (driver, 2, 1, 1); /* nothing lowers it */
        if (!cases[i].report && cases[i].ack == 99)
            driver_report (driver, 2, 1, 0);
        driver_lose (driver, 2);
        uint64_t suspects = cases[i].suspects;
        uint64_t clean = cases[i].clean;
        if (!cases[i].report && cases[i].ack == 99 && suspects < 20) {
            suspects++; /* REPORT 1 was one more */
            clean--;
        }
        s_check_suspects (driver, suspects, clean);
        assert_int_equal (driver_statistics (driver).records_suspect, suspects);
        driver_destroy (&driver);
    }
}

/* Positions go on over several DELIVERs, and a returned record gets a new one. */
static void test_positions (void **state)
{
    driver_t *driver = s_begin (30);
    s_consumer (driver, 2, 10, 0);
    leat_batch_t batch = driver_expect_deliver (driver, 2, 1, 0, 10);
    driver_return (driver, 2, 1, batch.epoch, 0, 10);
    batch = driver_expect_deliver (driver, 2, 1, 0, 10); /* positions 10 to 19 */
    driver_report (driver, 2, 1, 10);
    driver_settle (driver, 2, 1, batch.epoch, 2, 1, LEAT_ACK);       /* reports 13 */
    leat_batch_t next = driver_expect_deliver (driver, 2, 1, 10, 1); /* position 20 */
    driver_lose (driver, 2);
    s_check_suspects (driver, 2, 27); /* offsets 0 and 1 */
    assert_int_equal (next.count, 1);
    driver_destroy (&driver);
}

/* Suspects go out alone, one at a time, to a consumer that has nothing else. */
static void test_one_at_a_time (void **state)
{
    driver_t *driver = s_begin (10);
    s_consumer (driver, 2, 5, 3);
    driver_expect_deliver (driver, 2, 1, 0, 5);
    driver_lose (driver, 2);
    s_consumer (driver, 3, 100, 3);
    for (uint64_t offset = 0; offset < 3; offset++) {
        leat_batch_t batch = driver_expect_deliver (driver, 3, 1, offset, 1);
        assert_int_equal (batch.flags, LEAT_DELIVER_REDELIVERED);
        assert_int_equal (batch.attempt, 1); /* of several nobody is charged */
        driver_expect_nothing (driver, 3);
        driver_wait (driver, 5000);
        driver_expect_nothing (driver, 3);
        driver_settle (driver, 3, 1, batch.epoch, offset, 1, LEAT_ACK);
    }
    assert_int_equal (driver_expect_deliver (driver, 3, 1, 3, 2).flags, 0);
    driver_expect_deliver (driver, 3, 1, 5, 5);
    assert_int_equal (driver_statistics (driver).records_redelivered, 3);
    driver_destroy (&driver);
}

/* With two consumers one takes the suspects, the other goes on. */
static void test_others_go_on (void **state)
{
    driver_t *driver = s_begin (10);
    s_consumer (driver, 2, 10, 4);
    driver_expect_deliver (driver, 2, 1, 0, 10);
    s_consumer (driver, 3, 4, 4);
    s_consumer (driver, 4, 4, 4);
    driver_lose (driver, 2);
    leat_batch_t alone = { 0 };
    leat_batch_t many = { 0 };
    uint64_t isolated = 0;
    for (uint64_t peer = 3; peer <= 4; peer++) {
        leat_batch_t batch = driver_expect_any_deliver (driver, peer);
        if (batch.flags & LEAT_DELIVER_REDELIVERED) {
            isolated = peer;
            alone = batch;
        } else {
            many = batch;
        }
    }
    assert_true (isolated);
    assert_int_equal (alone.count, 1);
    assert_int_equal (alone.first, 0);
    assert_int_equal (many.first, 4);
    assert_int_equal (many.count, 2);
    driver_expect_nothing (driver, isolated);
    driver_settle (driver, isolated, 1, alone.epoch, 0, 1, LEAT_ACK);
    driver_expect_deliver (driver, isolated, 1, 1, 1);
    driver_destroy (&driver);
}

/* A consumer that is to run dry gets nothing new, then the suspect. */
static void test_runs_dry (void **state)
{
    driver_t *driver = s_begin (4);
    s_consumer (driver, 2, 2, 2);
    leat_batch_t lost = driver_expect_deliver (driver, 2, 1, 0, 2);
    s_consumer (driver, 3, 10, 1);
    leat_batch_t batch = driver_expect_deliver (driver, 3, 1, 2, 2);
    driver_lose (driver, 2);
    driver_publish (driver, 1, 1, 5, 3);
    driver_expect_nothing (driver, 3);
    driver_settle (driver, 3, 1, batch.epoch, 2, 1, LEAT_ACK);
    driver_expect_nothing (driver, 3);
    driver_settle (driver, 3, 1, batch.epoch, 3, 1, LEAT_ACK);
    for (uint64_t offset = 0; offset < 2; offset++) {
        batch = driver_expect_deliver (driver, 3, 1, offset, 1);
        driver_expect_nothing (driver, 3);
        driver_settle (driver, 3, 1, batch.epoch, offset, 1, LEAT_ACK);
    }
    driver_expect_deliver (driver, 3, 1, 4, 3);
    assert_true (lost.epoch < batch.epoch);
    driver_destroy (&driver);
}

/* One that does not run dry is let go after a second, without anything else happening, and an idle
 * one takes its place. */
static void test_patience (void **state)
{
    driver_t *driver = s_begin (4);
    s_consumer (driver, 2, 2, 2);
    driver_expect_deliver (driver, 2, 1, 0, 2);
    s_consumer (driver, 3, 1, 1);
    driver_expect_deliver (driver, 3, 1, 2, 1);
    s_consumer (driver, 4, 2, 1);
    leat_batch_t other = driver_expect_deliver (driver, 4, 1, 3, 1);
    driver_lose (driver, 2);
    /* 3 is full, so 4 is to run dry; it does not. Now 3 is free and takes the fresh work. */
    driver_expect_nothing (driver, 4);
    driver_wait (driver, 500);
    driver_expect_nothing (driver, 4);
    driver_expect_nothing (driver, 3);
    driver_allow (driver, 3, 1, 2, 1 << 20);
    driver_expect_nothing (driver, 3);
    driver_wait (driver, 3000);
    /* Each in turn was given time. Whoever settles first gets the suspect. */
    driver_settle (driver, 4, 1, other.epoch, 3, 1, LEAT_ACK);
    driver_wait (driver, 1500);
    leat_batch_t suspect = driver_expect_deliver (driver, 4, 1, 0, 1);
    assert_int_equal (suspect.flags, LEAT_DELIVER_REDELIVERED);
    driver_destroy (&driver);
}

/* Which of two busy consumers is told to run dry is by load; the idle one must not wait for it. */
static void test_idle_consumer_takes_over (void **state)
{
    driver_t *driver = s_begin (6);
    s_consumer (driver, 2, 2, 2);
    driver_expect_deliver (driver, 2, 1, 0, 2);
    s_consumer (driver, 3, 2, 1);
    leat_batch_t three = driver_expect_deliver (driver, 3, 1, 2, 2);
    s_consumer (driver, 4, 3, 1);
    driver_expect_deliver (driver, 4, 1, 4, 2);
    driver_lose (driver, 2); /* 4 has credit left, so it is the one to run dry, and never does */
    driver_expect_nothing (driver, 3);
    driver_settle (driver, 3, 1, three.epoch, 2, 2, LEAT_ACK);
    driver_wait (driver, 1500);
    driver_expect_deliver (driver, 3, 1, 0, 1);
    /* While 3 had nothing to do, 4 was asked for what it had not started. */
    driver_expect (driver, 4, LEAT_RECALL);
    driver_expect_nothing (driver, 4);
    driver_destroy (&driver);
}

/* Alone with a consumer that is lost: charged each time, until it is a dead letter. */
static void test_lone_deaths (void **state)
{
    driver_t *driver = s_begin (3);
    s_consumer (driver, 2, 3, 3);
    driver_expect_deliver (driver, 2, 1, 0, 3);
    driver_lose (driver, 2);
    uint64_t peer = 3;
    for (uint32_t attempt = 1; attempt <= 5; attempt++, peer++) {
        s_consumer (driver, peer, 3, 3);
        /* Record 0 kills, 1 and 2 do not; suspects that are charged go to the end of the line. */
        for (;;) {
            leat_batch_t batch = driver_expect_any_deliver (driver, peer);
            assert_int_equal (batch.count, 1);
            assert_int_equal (batch.flags, LEAT_DELIVER_REDELIVERED);
            if (batch.first == 0) {
                assert_int_equal (batch.attempt, attempt);
                break;
            }
            assert_int_equal (batch.attempt, 1);
            driver_settle (driver, peer, 1, batch.epoch, batch.first, 1, LEAT_ACK);
        }
        driver_lose (driver, peer);
    }
    leat_group_statistics_t group = driver_group (driver, "orders");
    assert_int_equal (group.dead_lettered, 1);
    assert_int_equal (group.settled, 2); /* its neighbours, once each */
    s_consumer (driver, peer, 3, 3);
    driver_ask_empty (driver, peer, 1, 1);
    driver_expect (driver, peer, LEAT_EMPTY);
    driver_destroy (&driver);
}

/* A consumer dies while it holds 0 to 9, and is known to have started 0 at most. If a REPORT was lost with
 * it, it was one of the others: 0 is a suspect, and is charged only once it was alone. */
static void test_one_beside_others (void **state)
{
    driver_t *driver = s_begin (10);
    s_consumer (driver, 2, 10, 1);
    driver_expect_deliver (driver, 2, 1, 0, 10);
    driver_lose (driver, 2);
    s_check_suspects (driver, 1, 9);
    s_consumer (driver, 3, 10, 1);
    leat_batch_t batch = driver_expect_deliver (driver, 3, 1, 0, 1);
    assert_int_equal (batch.flags, LEAT_DELIVER_REDELIVERED);
    assert_int_equal (batch.attempt, 1);
    driver_lose (driver, 3);
    s_consumer (driver, 4, 10, 1);
    batch = driver_expect_deliver (driver, 4, 1, 0, 1);
    assert_int_equal (batch.attempt, 2);
    /* It is returned unstarted: a suspect still, not charged again. */
    driver_return (driver, 4, 1, batch.epoch, 0, 1);
    batch = driver_expect_deliver (driver, 4, 1, 0, 1);
    assert_int_equal (batch.attempt, 2);
    driver_expect_nothing (driver, 4);
    /* A nack of it proves that its consumer lived: it goes with the others again. */
    leat_settle_entry_t nack = { batch.epoch, 0, 1, 1000, LEAT_NACK };
    driver_settle_full (driver, 4, 1, &nack, 1, 0, NULL);
    leat_batch_t rest = driver_expect_deliver (driver, 4, 1, 1, 9);
    driver_settle (driver, 4, 1, rest.epoch, 1, 8, LEAT_ACK);
    driver_wait (driver, 1000);
    batch = driver_expect_deliver (driver, 4, 1, 0, 1); /* beside record 9 */
    assert_int_equal (batch.attempt, 3);
    assert_int_equal (batch.flags, LEAT_DELIVER_REDELIVERED);
    driver_destroy (&driver);
}

/* Said to be started, and the only such one: a REPORT of the next ones may be lost all the same. */
static void test_reported_beside_others (void **state)
{
    driver_t *driver = s_begin (10);
    s_consumer (driver, 2, 10, 0);
    driver_expect_deliver (driver, 2, 1, 0, 10);
    driver_report (driver, 2, 1, 1);
    driver_lose (driver, 2);
    s_check_suspects (driver, 1, 9);
    s_consumer (driver, 3, 10, 1);
    assert_int_equal (driver_expect_deliver (driver, 3, 1, 0, 1).attempt, 1);
    driver_destroy (&driver);
}

/* What is left of a lease when all else is settled, is all that its consumer can have died of. */
static void test_last_of_lease (void **state)
{
    driver_t *driver = s_begin (10);
    s_consumer (driver, 2, 10, 1);
    leat_batch_t batch = driver_expect_deliver (driver, 2, 1, 0, 10);
    driver_settle (driver, 2, 1, batch.epoch, 0, 4, LEAT_ACK);
    driver_settle (driver, 2, 1, batch.epoch, 5, 5, LEAT_ACK);
    driver_lose (driver, 2);
    s_check_suspects (driver, 1, 0);
    s_consumer (driver, 3, 10, 1);
    assert_int_equal (driver_expect_deliver (driver, 3, 1, 4, 1).attempt, 2);
    driver_destroy (&driver);
}

/* Whatever was reported: the first record that a lost consumer holds may have been started, and is
 * charged if it is the only one. Else a record whose consumer never gets its REPORT out would kill for
 * ever. */
static void test_first_is_suspect (void **state)
{
    driver_t *driver = s_begin (10);
    s_consumer (driver, 2, 5, 1);
    leat_batch_t batch = driver_expect_deliver (driver, 2, 1, 0, 5);
    driver_return (driver, 2, 1, batch.epoch, 0, 5);
    driver_expect_deliver (driver, 2, 1, 0, 5); /* positions 5 to 9 */
    driver_lose (driver, 2);
    s_check_suspects (driver, 1, 9);
    for (uint64_t peer = 3; peer < 6; peer++) {
        s_consumer (driver, peer, 10, 0);
        batch = driver_expect_deliver (driver, peer, 1, 0, 1);
        assert_int_equal (batch.attempt, peer - 2);
        driver_lose (driver, peer);
    }
    driver_destroy (&driver);
}

/* A consumer that comes back is a new one: what it held before is not beside what it gets now. */
static void test_comes_back (void **state)
{
    driver_t *driver = s_begin (2);
    s_consumer (driver, 2, 2, 1);
    driver_expect_deliver (driver, 2, 1, 0, 2);
    driver_lose (driver, 2);
    driver_hello (driver, 3, "c2");
    driver_attach (driver, 3, 1, "orders", 2, 1);
    assert_int_equal (driver_expect_deliver (driver, 3, 1, 0, 1).attempt, 1);
    driver_lose (driver, 3);
    driver_hello (driver, 4, "c2");
    driver_attach (driver, 4, 1, "orders", 2, 1);
    leat_batch_t batch = driver_expect_deliver (driver, 4, 1, 0, 1);
    assert_int_equal (batch.attempt, 2);
    driver_settle (driver, 4, 1, batch.epoch, 0, 1, LEAT_ACK);
    assert_int_equal (driver_expect_deliver (driver, 4, 1, 1, 1).attempt, 1);
    driver_destroy (&driver);
}

/* Times out, is unreachable, is displaced: the same. A settle that had arrived counts. */
static void test_ways_to_be_lost (void **state)
{
    for (int way = 0; way < 3; way++) {
        driver_t *driver = s_begin (5);
        s_consumer (driver, 2, 5, 2);
        leat_batch_t batch = driver_expect_deliver (driver, 2, 1, 0, 5);
        driver_settle (driver, 2, 1, batch.epoch, 0, 1, LEAT_ACK);
        if (way == 0) {
            driver->beats = false;
            driver_wait (driver, driver->limits.heartbeat_timeout);
        } else if (way == 1) {
            driver_lose (driver, 2);
        } else {
            driver_hello (driver, 3, "c2");
        }
        s_check_suspects (driver, 2, 2);
        driver_destroy (&driver);
    }
}

int main (void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test (test_boundary),
        cmocka_unit_test (test_positions),
        cmocka_unit_test (test_one_at_a_time),
        cmocka_unit_test (test_others_go_on),
        cmocka_unit_test (test_runs_dry),
        cmocka_unit_test (test_patience),
        cmocka_unit_test (test_idle_consumer_takes_over),
        cmocka_unit_test (test_lone_deaths),
        cmocka_unit_test (test_one_beside_others),
        cmocka_unit_test (test_reported_beside_others),
        cmocka_unit_test (test_last_of_lease),
        cmocka_unit_test (test_first_is_suspect),
        cmocka_unit_test (test_comes_back),
        cmocka_unit_test (test_ways_to_be_lost),
    };
    return cmocka_run_group_tests (tests, NULL, NULL);
}

/* The core and max_processing: what is overdue, whom it goes to, who is charged.
 * SPDX-License-Identifier: MPL-2.0 */
#include "tests/unit/core_driver.h"

static void s_limit (driver_t *driver, uint64_t max_processing_ms)
{
    leat_command_t command = { .id = LEAT_STREAM_SET };
    command.stream_set.stream = leat_text ("orders");
    command.stream_set.max_processing_ms = max_processing_ms;
    driver_send (driver, 1, &command);
    assert_int_equal (driver_expect (driver, 1, LEAT_RESULT)->result.code, LEAT_OK);
}

/* `count` records, published by peer 1, who is also the one that sets things. */
static driver_t *s_begin (uint32_t count, uint64_t max_processing_ms)
{
    driver_t *driver = driver_new (NULL);
    driver->beats = true;
    driver_hello (driver, 1, "mill");
    driver_open (driver, 1, 1, "orders");
    driver_publish (driver, 1, 1, 1, count);
    driver_drop (driver, 1);
    s_limit (driver, max_processing_ms);
    return driver;
}

static void s_consumer (driver_t *driver, uint64_t peer, uint32_t credit, uint32_t max_unreported)
{
    char identity[20];
    snprintf (identity, sizeof identity, "c%d", (int) peer);
    driver_hello (driver, peer, identity);
    driver_attach (driver, peer, 1, "orders", credit, max_unreported);
}

static void s_expect_revoked (driver_t *driver, uint64_t peer, uint64_t epoch, uint64_t first,
                              uint32_t count)
{
    const leat_revoked_t *revoked = &driver_expect (driver, peer, LEAT_REVOKED)->revoked;
    assert_int_equal (revoked->channel, 1);
    assert_int_equal (revoked->code, LEAT_OVERDUE);
    assert_int_equal (revoked->ranges.count, 1);
    leat_range_t range = leat_ranges_get (&revoked->ranges, 0);
    assert_int_equal (range.epoch, epoch);
    assert_int_equal (range.first, first);
    assert_int_equal (range.count, count);
}

static void s_expect_recall (driver_t *driver, uint64_t peer, uint64_t epoch, uint64_t first,
                             uint32_t count)
{
    const leat_recall_t *recall = &driver_expect (driver, peer, LEAT_RECALL)->recall;
    assert_int_equal (recall->ranges.count, 1);
    leat_range_t range = leat_ranges_get (&recall->ranges, 0);
    assert_int_equal (range.epoch, epoch);
    assert_int_equal (range.first, first);
    assert_int_equal (range.count, count);
}

/* Without a limit a lease holds for as long as there are heartbeats. */
static void test_off (void **state)
{
    driver_t *driver = s_begin (3, 0);
    s_consumer (driver, 2, 10, 1);
    leat_batch_t batch = driver_expect_deliver (driver, 2, 1, 0, 3);
    driver_wait (driver, 3600000);
    driver_expect_nothing (driver, 2);
    driver_settle (driver, 2, 1, batch.epoch, 0, 3, LEAT_ACK);
    driver_expect_nothing (driver, 2);
    assert_int_equal (driver_statistics (driver).records_settled, 3);
    driver_destroy (&driver);
}

/* A record that was said to be started is taken away and charged; those that may not have been started are
 * asked for. */
static void test_started_is_charged (void **state)
{
    driver_t *driver = s_begin (5, 60000);
    s_consumer (driver, 2, 10, 1);
    leat_batch_t batch = driver_expect_deliver (driver, 2, 1, 0, 5);
    driver_wait (driver, 1000);
    driver_report (driver, 2, 1, 1);
    driver_wait (driver, 58900);
    driver_expect_nothing (driver, 2);
    driver_wait (driver, 200);
    s_expect_revoked (driver, 2, batch.epoch, 0, 1);
    s_expect_recall (driver, 2, batch.epoch, 1, 4);
    driver_expect_nothing (driver, 2);
    assert_int_equal (driver_statistics (driver).records_overdue, 1);
    driver_return (driver, 2, 1, batch.epoch, 2, 3); /* all but the one that it may have started */
    s_consumer (driver, 3, 10, 1);
    s_consumer (driver, 4, 10, 1);
    uint64_t lone = 0;
    for (uint64_t peer = 3; peer <= 4; peer++) {
        leat_batch_t next = driver_expect_any_deliver (driver, peer);
        if (next.flags & LEAT_DELIVER_REDELIVERED) {
            lone = peer;
            assert_int_equal (next.first, 0);
            assert_int_equal (next.count, 1);
            assert_int_equal (next.attempt, 2);
            driver_expect_nothing (driver, peer);
        }
    }
    assert_true (lone);

    /* What the former holder says of it counts no more. */
    driver_drop (driver, 2);
    driver_settle (driver, 2, 1, batch.epoch, 0, 1, LEAT_ACK);
    const leat_stale_t *stale = &driver_expect (driver, 2, LEAT_STALE)->stale;
    assert_int_equal (leat_ranges_get (&stale->ranges, 0).first, 0);
    assert_int_equal (driver_statistics (driver).records_settled, 0);
    assert_int_equal (driver_statistics (driver).settles_stale, 1);
    driver_destroy (&driver);
}

/* Who settles what was taken away is told, also when another one has settled it by then, and when the same
 * entry settles what is still held. */
static void test_late_settle_is_told (void **state)
{
    driver_t *driver = s_begin (5, 60000);
    s_consumer (driver, 2, 10, 1);
    leat_batch_t batch = driver_expect_deliver (driver, 2, 1, 0, 5);
    driver_wait (driver, 1000);
    driver_report (driver, 2, 1, 1);
    driver_wait (driver, 59100);
    s_expect_revoked (driver, 2, batch.epoch, 0, 1);
    s_consumer (driver, 3, 10, 1);
    leat_batch_t next = driver_expect_deliver (driver, 3, 1, 0, 1);
    driver_settle (driver, 3, 1, next.epoch, 0, 1, LEAT_ACK);
    driver_drop (driver, 2);
    driver_settle (driver, 2, 1, batch.epoch, 0, 5, LEAT_ACK);
    const leat_ranges_t *ranges = &driver_expect (driver, 2, LEAT_STALE)->stale.ranges;
    assert_int_equal (ranges->count, 1);
    leat_range_t range = leat_ranges_get (ranges, 0);
    assert_int_equal (range.epoch, batch.epoch);
    assert_int_equal (range.first, 0);
    assert_int_equal (range.count, 1);
    driver_expect_nothing (driver, 2);
    assert_int_equal (driver_statistics (driver).records_settled, 5);
    driver_destroy (&driver);
}

/* What is within max_unreported may be started, and may not: it is taken, and not charged. */
static void test_unsaid_is_not_charged (void **state)
{
    driver_t *driver = s_begin (1, 1000);
    s_consumer (driver, 2, 10, 1);
    leat_batch_t batch = driver_expect_deliver (driver, 2, 1, 0, 1);
    driver_wait (driver, 1100);
    s_expect_revoked (driver, 2, batch.epoch, 0, 1);
    /* There is nobody else. */
    batch = driver_expect_deliver (driver, 2, 1, 0, 1);
    assert_int_equal (batch.attempt, 1);
    assert_int_equal (batch.flags, LEAT_DELIVER_REDELIVERED);
    driver_destroy (&driver);
}

/* Records that only wait have all the time there is. */
static void test_waiting_has_no_time (void **state)
{
    driver_t *driver = s_begin (6, 1000);
    s_consumer (driver, 2, 10, 1);
    leat_batch_t batch = driver_expect_deliver (driver, 2, 1, 0, 6);
    for (uint64_t offset = 0; offset < 5; offset++) {
        driver_wait (driver, 900);
        driver_settle (driver, 2, 1, batch.epoch, offset, 1, LEAT_ACK);
        driver_expect_nothing (driver, 2);
    }
    driver_wait (driver, 1100);
    s_expect_revoked (driver, 2, batch.epoch, 5, 1);
    assert_int_equal (driver_statistics (driver).records_settled, 5);
    driver_destroy (&driver);
}

/* Of several that are said to be started nobody is charged, whether or not all are overdue. */
static void test_several_are_not_charged (void **state)
{
    driver_t *driver = s_begin (6, 1000);
    s_consumer (driver, 2, 6, 0);
    leat_batch_t batch = driver_expect_deliver (driver, 2, 1, 0, 6);
    driver_report (driver, 2, 1, 2);
    driver_wait (driver, 500);
    driver_report (driver, 2, 1, 3);
    driver_wait (driver, 550);
    s_expect_revoked (driver, 2, batch.epoch, 0, 2);
    s_expect_recall (driver, 2, batch.epoch, 3, 3);
    driver_wait (driver, 600);
    s_expect_revoked (driver, 2, batch.epoch, 2, 1); /* this one alone: it is charged */
    s_consumer (driver, 3, 1, 1);
    driver_drop (driver, 2);
    for (uint64_t offset = 0; offset < 3; offset++) {
        leat_batch_t next = driver_expect_deliver (driver, 3, 1, offset, 1);
        assert_int_equal (next.attempt, offset == 2 ? 2 : 1);
        driver_settle (driver, 3, 1, next.epoch, offset, 1, LEAT_ACK);
    }
    driver_destroy (&driver);
}

/* One handler of many hangs: the others' work goes on, and nothing is asked for. */
static void test_one_of_many (void **state)
{
    driver_t *driver = s_begin (100, 1000);
    s_consumer (driver, 2, 12, 2);
    leat_batch_t batch = driver_expect_deliver (driver, 2, 1, 0, 12);
    uint64_t settled = 1;
    bool revoked = false;
    for (int i = 0; i < 25; i++) {
        driver_settle (driver, 2, 1, batch.epoch, settled, 1, LEAT_ACK);
        settled++;
        if (settled == batch.first + batch.count)
            break;
        driver_drop (driver, 0);
        driver_wait (driver, 130);
        if (driver_waiting (driver, 2)) {
            s_expect_revoked (driver, 2, batch.epoch, 0, 1);
            revoked = true;
            break;
        }
    }
    assert_true (revoked);
    assert_int_equal (settled, 10);
    /* No RECALL; and the suspect takes nothing from who is at work. */
    while (driver_waiting (driver, 2))
        driver_expect_any_deliver (driver, 2);
    driver_destroy (&driver);
}

/* A record that always hangs becomes a dead letter, with the reason. */
static void test_dead_at_last (void **state)
{
    driver_t *driver = s_begin (1, 1000);
    s_consumer (driver, 2, 10, 1);
    uint64_t reported = 0;
    for (uint32_t attempt = 1; attempt <= 5; attempt++) {
        leat_batch_t batch = driver_expect_deliver (driver, 2, 1, 0, 1);
        assert_int_equal (batch.attempt, attempt);
        driver_report (driver, 2, 1, ++reported);
        driver_wait (driver, 1100);
        s_expect_revoked (driver, 2, batch.epoch, 0, 1);
    }
    driver_expect_nothing (driver, 2);
    assert_int_equal (driver_statistics (driver).records_dead, 1);
    driver_attach (driver, 2, 2, "orders.dead", 10, 1);
    leat_batch_t dead = driver_expect_any_deliver (driver, 2);
    assert_int_equal (dead.channel, 2);
    driver_destroy (&driver);
}

/* One that is stuck gets nothing while there is another one, and is asked for what it has, until it is
 * heard. */
static void test_stuck (void **state)
{
    driver_t *driver = s_begin (1, 1000);
    s_consumer (driver, 2, 100, 1);
    leat_batch_t batch = driver_expect_deliver (driver, 2, 1, 0, 1);
    s_consumer (driver, 3, 100, 1);
    driver_wait (driver, 1100);
    s_expect_revoked (driver, 2, batch.epoch, 0, 1);
    leat_batch_t lone = driver_expect_deliver (driver, 3, 1, 0, 1);
    driver_settle (driver, 3, 1, lone.epoch, 0, 1, LEAT_ACK);
    driver_publish (driver, 1, 1, 2, 1);
    driver_expect_deliver (driver, 3, 1, 1, 1);
    driver_publish (driver, 1, 1, 3, 1); /* it holds more than the other, and gets it */
    driver_expect_deliver (driver, 3, 1, 2, 1);
    driver_drop (driver, 1);
    driver_allow (driver, 3, 1, 0, 0); /* even if that one takes nothing now */
    driver_publish (driver, 1, 1, 4, 1);
    driver_expect_nothing (driver, 2);
    driver_settle_full (driver, 2, 1, NULL, 0, 0, NULL);
    driver_expect_deliver (driver, 2, 1, 3, 1);
    driver_destroy (&driver);
}

/* It was asked for some of what waits when it became stuck: for the rest it is asked when that is answered. */
static void test_stuck_while_asked (void **state)
{
    driver_t *driver = s_begin (10, 1000);
    s_consumer (driver, 2, 100, 1);
    leat_batch_t batch = driver_expect_deliver (driver, 2, 1, 0, 10);
    driver_wait (driver, 10);
    s_consumer (driver, 3, 100, 1);
    s_expect_recall (driver, 2, batch.epoch, 2, 8);
    driver_wait (driver, 1100);
    s_expect_revoked (driver, 2, batch.epoch, 0, 1);
    driver_expect_deliver (driver, 3, 1, 0, 1);
    driver_allow (driver, 3, 1, 0, 0); /* others may be busy for ever */
    driver_expect_nothing (driver, 2);
    driver_return (driver, 2, 1, batch.epoch, 2, 8);
    s_expect_recall (driver, 2, batch.epoch, 1, 1);
    driver_return (driver, 2, 1, batch.epoch, 1, 1);
    driver_expect_nothing (driver, 2);
    assert_int_equal (driver_group (driver, "orders").ready, 9);
    driver_destroy (&driver);
}

/* Where all are stuck they get what there is; who comes then gets it instead. */
static void test_all_stuck (void **state)
{
    driver_t *driver = s_begin (2, 1000);
    s_consumer (driver, 2, 100, 1);
    leat_batch_t batch = driver_expect_deliver (driver, 2, 1, 0, 2);
    driver_settle (driver, 2, 1, batch.epoch, 0, 1, LEAT_ACK); /* 1 may be started now */
    driver_wait (driver, 1100);
    s_expect_revoked (driver, 2, batch.epoch, 1, 1);
    batch = driver_expect_deliver (driver, 2, 1, 1, 1); /* alone, as nobody else is there */
    driver_publish (driver, 1, 1, 3, 5);
    driver_expect_nothing (driver, 2);
    driver_drop (driver, 1);
    s_consumer (driver, 3, 100, 1);
    s_expect_recall (driver, 2, batch.epoch, 1, 1);
    driver_expect_deliver (driver, 3, 1, 2, 2); /* as much as one that is new gets */
    driver_return (driver, 2, 1, batch.epoch, 1, 1);
    driver_expect_nothing (driver, 2);
    driver_lose (driver, 3);
    driver_expect_any_deliver (driver, 2); /* the only one again */
    driver_destroy (&driver);
}

/* The limit may come, change and go while records are held. */
static void test_changed (void **state)
{
    driver_t *driver = s_begin (2, 0);
    s_consumer (driver, 2, 10, 1);
    leat_batch_t batch = driver_expect_deliver (driver, 2, 1, 0, 2);
    driver_wait (driver, 100000);
    s_limit (driver, 1000); /* from now on */
    driver_wait (driver, 900);
    driver_expect_nothing (driver, 2);
    s_limit (driver, 3000);
    driver_wait (driver, 2000);
    driver_expect_nothing (driver, 2);
    s_limit (driver, 0);
    driver_wait (driver, 100000);
    driver_expect_nothing (driver, 2);
    s_limit (driver, 5000);
    driver_wait (driver, 4000);
    s_limit (driver, 2000); /* it was started longer ago */
    driver_wait (driver, 50);
    s_expect_revoked (driver, 2, batch.epoch, 0, 1);
    driver_destroy (&driver);
}

/* However many reports there are, spans are few, and none is early or later than a 64th. */
static void test_many_reports (void **state)
{
    driver_t *driver = s_begin (500, 10000);
    s_consumer (driver, 2, 500, 0);
    leat_batch_t batch = driver_expect_deliver (driver, 2, 1, 0, 500);
    uint64_t began_ms = driver->now_us / 1000;
    for (uint32_t i = 1; i <= 500; i++) {
        driver_report (driver, 2, 1, i);
        driver_wait (driver, 19);
    }
    uint64_t taken = 0;
    while (taken < 500 && driver->now_us / 1000 < began_ms + 30000) {
        driver_wait (driver, 5);
        while (driver_waiting (driver, 2)) {
            const leat_command_t *command = driver_expect (driver, 2, LEAT_REVOKED);
            leat_range_t range = leat_ranges_get (&command->revoked.ranges, 0);
            assert_int_equal (range.epoch, batch.epoch);
            assert_int_equal (range.first, taken);
            uint64_t age_first = driver->now_us / 1000 - began_ms - taken * 19;
            taken += range.count;
            uint64_t age_last = driver->now_us / 1000 - began_ms - (taken - 1) * 19;
            assert_true (age_last >= 10000);
            assert_true (age_first <= 10000 + 10000 / 64 + 40);
            if (taken == 500)
                break; /* there is nobody else: they come back */
        }
    }
    assert_int_equal (taken, 500);
    driver_destroy (&driver);
}

/* One that is not heard may have frozen on another record. Nothing is taken from it: what it holds is
 * what it may have frozen on, and it is lost soon. */
static void test_silent (void **state)
{
    driver_t *driver = s_begin (2, 1000);
    s_consumer (driver, 2, 10, 1);
    leat_batch_t batch = driver_expect_deliver (driver, 2, 1, 0, 2);
    driver_report (driver, 2, 1, 1);
    driver->beats = false;
    driver_wait (driver, 3000);
    driver_expect_nothing (driver, 2);
    driver_settle (driver, 2, 1, batch.epoch, 0, 1, LEAT_ACK); /* was stuck in it until now */
    driver_wait (driver, 50);
    s_expect_revoked (driver, 2, batch.epoch, 1, 1); /* for so long it was not settled either */
    assert_int_equal (driver_statistics (driver).records_overdue, 1);
    driver_expect_deliver (driver, 2, 1, 1, 1);
    driver_wait (driver, 4900);
    driver_expect_nothing (driver, 2);
    driver_wait (driver, 200);
    assert_int_equal (driver_statistics (driver).sessions_timed_out, 2); /* the producer's too */
    assert_int_equal (driver_statistics (driver).records_overdue, 1);
    s_consumer (driver, 3, 10, 1);
    batch = driver_expect_deliver (driver, 3, 1, 1, 1);
    assert_int_equal (batch.attempt, 2); /* it was alone */
    driver_destroy (&driver);
}

/* A limit that is lowered makes nothing overdue at one that was heard before, and not since. */
static void test_lowered_while_silent (void **state)
{
    driver_t *driver = s_begin (2, 60000);
    s_consumer (driver, 2, 10, 1);
    leat_batch_t batch = driver_expect_deliver (driver, 2, 1, 0, 2);
    driver_wait (driver, 2000);
    driver->beats = false;
    driver_wait (driver, 1000);
    s_limit (driver, 1000);
    driver_wait (driver, 1000);
    driver_expect_nothing (driver, 2);
    driver->beats = true;
    driver_wait (driver, 100);
    s_expect_revoked (driver, 2, batch.epoch, 0, 1);
    driver_destroy (&driver);
}

/* The broker was stopped itself: that it was heard meanwhile is only taken for granted. */
static void test_broker_was_stopped (void **state)
{
    driver_t *driver = s_begin (1, 1000);
    s_consumer (driver, 2, 10, 1);
    leat_batch_t batch = driver_expect_deliver (driver, 2, 1, 0, 1);
    driver->beats = false;
    driver_leap (driver, 100000);
    driver_expect_nothing (driver, 2);
    driver_settle (driver, 2, 1, batch.epoch, 0, 1, LEAT_ACK); /* was in the socket */
    assert_int_equal (driver_statistics (driver).records_settled, 1);
    assert_int_equal (driver_statistics (driver).records_overdue, 0);
    driver_destroy (&driver);
}

/* A consumer that ends takes its time with it. */
static void test_ends (void **state)
{
    driver_t *driver = s_begin (3, 1000);
    s_consumer (driver, 2, 10, 1);
    driver_expect_deliver (driver, 2, 1, 0, 3);
    driver_leave (driver, 2, 1);
    driver_expect (driver, 2, LEAT_LEFT);
    s_consumer (driver, 3, 10, 1);
    driver_expect_deliver (driver, 3, 1, 0, 3);
    driver_lose (driver, 3);
    driver_wait (driver, 5000);
    assert_int_equal (driver_statistics (driver).records_overdue, 0);
    assert_int_equal (driver_group (driver, "orders").suspect, 1);
    driver_destroy (&driver);
}

int main (void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test (test_off),
        cmocka_unit_test (test_started_is_charged),
        cmocka_unit_test (test_late_settle_is_told),
        cmocka_unit_test (test_unsaid_is_not_charged),
        cmocka_unit_test (test_waiting_has_no_time),
        cmocka_unit_test (test_several_are_not_charged),
        cmocka_unit_test (test_one_of_many),
        cmocka_unit_test (test_dead_at_last),
        cmocka_unit_test (test_stuck),
        cmocka_unit_test (test_stuck_while_asked),
        cmocka_unit_test (test_all_stuck),
        cmocka_unit_test (test_changed),
        cmocka_unit_test (test_many_reports),
        cmocka_unit_test (test_silent),
        cmocka_unit_test (test_lowered_while_silent),
        cmocka_unit_test (test_broker_was_stopped),
        cmocka_unit_test (test_ends),
    };
    return cmocka_run_group_tests (tests, NULL, NULL);
}

/* The core and RECALL: who is asked, for what, when, and what comes of the answer.
 * SPDX-License-Identifier: MPL-2.0 */
#include "tests/unit/core_driver.h"

#include "wire/alloc.h"

static driver_t *s_begin (uint32_t records)
{
    leat_limits_t limits;
    leat_limits_default (&limits);
    limits.grant_min_size = 4194304;
    driver_t *driver = driver_new (&limits);
    driver_hello (driver, 1, "mill");
    driver_open (driver, 1, 1, "orders");
    if (records)
        driver_publish (driver, 1, 1, 1, records);
    driver_drop (driver, 1);
    return driver;
}

static void s_consumer (driver_t *driver, uint64_t peer)
{
    char identity[20];
    snprintf (identity, sizeof identity, "c%d", (int) peer);
    driver_hello (driver, peer, identity);
    driver_attach (driver, peer, 1, "orders", 1000, 1);
}

/* What the oldest RECALL for the peer asks for, which must be one range. */
static leat_range_t s_expect_recall (driver_t *driver, uint64_t peer)
{
    const leat_recall_t *recall = &driver_expect (driver, peer, LEAT_RECALL)->recall;
    assert_int_equal (recall->channel, 1);
    assert_int_equal (recall->ranges.count, 1);
    return leat_ranges_get (&recall->ranges, 0);
}

/* A consumer alone has 100 records, and settles three of them, 10 ms each. */
static leat_batch_t s_slow_one (driver_t *driver)
{
    s_consumer (driver, 2);
    leat_batch_t batch = driver_expect_deliver (driver, 2, 1, 0, 100);
    for (uint64_t offset = 0; offset < 3; offset++) {
        driver_wait (driver, 10);
        driver_settle (driver, 2, 1, batch.epoch, offset, 1, LEAT_ACK);
    }
    driver_expect_nothing (driver, 2);
    return batch;
}

/* Who comes when all is given away gets the tail, as if it had never been delivered. */
static void test_newcomer (void **state)
{
    driver_t *driver = s_begin (100);
    leat_batch_t batch = s_slow_one (driver);
    s_consumer (driver, 3);
    leat_range_t range = s_expect_recall (driver, 2);
    driver_expect_nothing (driver, 2);
    driver_expect_nothing (driver, 3);
    /* 97 are left, of which 5 are 50 ms of work. */
    assert_int_equal (range.epoch, batch.epoch);
    assert_int_equal (range.first + range.count, 100);
    assert_int_equal (range.count, 92);
    driver_return (driver, 2, 1, range.epoch, range.first, range.count);
    batch = driver_expect_deliver (driver, 3, 1, range.first, 2);
    assert_int_equal (batch.attempt, 1);
    assert_int_equal (batch.flags, 0);
    leat_statistics_t statistics = driver_statistics (driver);
    assert_int_equal (statistics.recalls, 1);
    assert_int_equal (statistics.recalls_unanswered, 0);
    assert_int_equal (statistics.records_recalled, 92);
    assert_int_equal (statistics.records_redelivered, 0);
    driver_destroy (&driver);
}

/* Who is alone gets the next batch whole when it has less than its bound, 5 records; whoever comes then has
 * what is too much recalled. */
static void test_newcomer_after_a_whole_batch (void **state)
{
    driver_t *driver = s_begin (100);
    leat_batch_t batch = s_slow_one (driver);
    driver_publish (driver, 1, 1, 101, 500);
    driver_drop (driver, 1);
    driver_expect_nothing (driver, 2);
    driver_wait (driver, 930);
    driver_settle (driver, 2, 1, batch.epoch, 3, 93, LEAT_ACK);
    batch = driver_expect_deliver (driver, 2, 1, 100, 500);
    assert_int_equal (driver_statistics (driver).slices_cut, 0);
    s_consumer (driver, 3);
    leat_range_t range = s_expect_recall (driver, 2);
    assert_int_equal (range.epoch, batch.epoch);
    assert_int_equal (range.first + range.count, 600);
    assert_int_equal (range.count, 499); /* of 504 */
    driver_return (driver, 2, 1, range.epoch, range.first, range.count);
    driver_expect_deliver (driver, 3, 1, range.first, 2);
    driver_destroy (&driver);
}

/* Only part of it had not been started. */
static void test_partial_answer (void **state)
{
    driver_t *driver = s_begin (100);
    leat_batch_t batch = s_slow_one (driver);
    s_consumer (driver, 3);
    leat_range_t range = s_expect_recall (driver, 2);
    driver_return (driver, 2, 1, batch.epoch, 90, 10);
    driver_expect_deliver (driver, 3, 1, 90, 2);
    assert_int_equal (driver_statistics (driver).records_recalled, 10);
    assert_int_equal (driver_group (driver, "orders").in_flight, 97 - 10 + 2);
    assert_true (range.count > 10);
    driver_destroy (&driver);
}

/* A settle that was on its way wins; the broker hears of it and gives nothing to anybody. */
static void test_settle_wins (void **state)
{
    driver_t *driver = s_begin (100);
    leat_batch_t batch = s_slow_one (driver);
    s_consumer (driver, 3);
    leat_range_t range = s_expect_recall (driver, 2);
    driver_settle (driver, 2, 1, batch.epoch, 3, 97, LEAT_ACK);
    driver_return (driver, 2, 1, range.epoch, range.first, range.count); /* not its any more */
    driver_expect_nothing (driver, 2);
    driver_expect_nothing (driver, 3);
    assert_int_equal (driver_group (driver, "orders").settled, 100);
    assert_int_equal (driver_statistics (driver).records_recalled, 0);
    /* It was answered by that: the next RECALL may come. */
    driver_allow (driver, 3, 1, 0, 0);
    driver_publish (driver, 1, 1, 101, 40);
    driver_expect_any_deliver (driver, 2);
    driver_drop (driver, 2);
    driver_wait (driver, 50);
    driver_allow (driver, 3, 1, 100, 1 << 20);
    if (driver_group (driver, "orders").ready == 0)
        driver_expect (driver, 2, LEAT_RECALL);
    driver_destroy (&driver);
}

/* No answer: it is asked once, its records stay its own, and it costs nobody else anything. */
static void test_no_answer (void **state)
{
    driver_t *driver = s_begin (100);
    leat_batch_t batch = s_slow_one (driver);
    s_consumer (driver, 3);
    s_expect_recall (driver, 2);
    driver_wait (driver, 99);
    assert_int_equal (driver_statistics (driver).recalls_unanswered, 0);
    driver_wait (driver, 1);
    assert_int_equal (driver_statistics (driver).recalls_unanswered, 1);
    driver_wait (driver, 20000);
    driver_expect_nothing (driver, 2);
    driver_expect_nothing (driver, 3);
    assert_int_equal (driver_group (driver, "orders").in_flight, 97);
    /* New work goes to the other. */
    driver_publish (driver, 1, 1, 101, 2);
    driver_expect_nothing (driver, 2);
    driver_expect_any_deliver (driver, 3);
    /* A late answer counts all the same. */
    driver_drop (driver, 3);
    driver_return (driver, 2, 1, batch.epoch, 50, 50);
    assert_int_equal (driver_statistics (driver).records_recalled, 50);
    driver_destroy (&driver);
}

/* A consumer that is lost while it is asked: its records are what they always are then. */
static void test_loss (void **state)
{
    driver_t *driver = s_begin (100);
    s_slow_one (driver);
    s_consumer (driver, 3);
    s_expect_recall (driver, 2);
    driver_lose (driver, 2);
    /* It had reported 3: offset 3 may have been started. */
    leat_batch_t batch = driver_expect_deliver (driver, 3, 1, 3, 1);
    assert_int_equal (batch.flags, LEAT_DELIVER_REDELIVERED);
    driver_settle (driver, 3, 1, batch.epoch, 3, 1, LEAT_ACK);
    batch = driver_expect_any_deliver (driver, 3);
    assert_int_equal (batch.first, 4);
    assert_int_equal (batch.flags, 0);
    assert_int_equal (batch.attempt, 1);
    assert_int_equal (driver_statistics (driver).recalls_unanswered, 0);
    driver_wait (driver, 1000);
    driver_destroy (&driver);
}

/* A consumer hangs over the first of its records. Nothing else happens, and yet the other gets the
 * rest. */
static void test_second_look (void **state)
{
    driver_t *driver = s_begin (0);
    leat_batch_t batches[2][8];
    unsigned counts[2] = { 0 };
    s_consumer (driver, 2);
    s_consumer (driver, 3);
    driver_publish (driver, 1, 1, 1, 4);
    for (uint64_t peer = 2; peer <= 3; peer++)
        while (driver_waiting (driver, peer))
            batches[peer - 2][counts[peer - 2]++] = driver_expect_any_deliver (driver, peer);
    driver_wait (driver, 1);
    /* Peer 3 is done with its two, a millisecond for both; peer 2 has the pace of the others. */
    for (unsigned i = 0; i < counts[1]; i++)
        driver_settle (driver, 3, 1, batches[1][i].epoch, batches[1][i].first, batches[1][i].count,
                       LEAT_ACK);
    driver_expect_nothing (driver, 2);
    uint64_t ms = 0;
    while (!driver_waiting (driver, 2) && ms < 1000) {
        driver_wait (driver, 1);
        ms++;
    }
    assert_true (ms > 0 && ms < 50);
    leat_range_t range = s_expect_recall (driver, 2);
    assert_int_equal (range.count, 1);
    driver_return (driver, 2, 1, range.epoch, range.first, 1);
    assert_int_equal (driver_expect_deliver (driver, 3, 1, range.first, 1).flags, 0);
    driver_expect_nothing (driver, 2);
    driver_destroy (&driver);
}

/* A consumer alone got four records, and has said of none that it started it. */
static leat_batch_t s_silent_one (driver_t *driver)
{
    s_consumer (driver, 2);
    leat_batch_t batch = driver_expect_deliver (driver, 2, 1, 0, 4);
    driver_wait (driver, 300);
    return batch;
}

/* What a consumer may have started without a word it most likely has not, once it is known to be busy
 * with the record before: that does not wait behind it either. */
static void test_busy_with_one (void **state)
{
    driver_t *driver = s_begin (4);
    leat_batch_t held = s_silent_one (driver);
    driver_report (driver, 2, 1, 1);
    s_consumer (driver, 3);
    for (uint64_t offset = 4; offset > 1;) {
        leat_range_t range = s_expect_recall (driver, 2);
        assert_int_equal (range.epoch, held.epoch);
        assert_int_equal (range.first + range.count, offset);
        driver_return (driver, 2, 1, held.epoch, range.first, range.count);
        leat_batch_t batch = driver_expect_deliver (driver, 3, 1, range.first, range.count);
        assert_int_equal (batch.flags, 0);
        assert_int_equal (batch.attempt, 1);
        driver_wait (driver, 1);
        driver_settle (driver, 3, 1, batch.epoch, batch.first, batch.count, LEAT_ACK);
        offset = range.first;
    }
    driver_wait (driver, 20000);
    driver_expect_nothing (driver, 2);
    assert_int_equal (driver_group (driver, "orders").in_flight, 1);
    driver_destroy (&driver);
}

/* Of one that has said nothing the first record is left to it. */
static void test_busy_with_any (void **state)
{
    driver_t *driver = s_begin (4);
    leat_batch_t held = s_silent_one (driver);
    s_consumer (driver, 3);
    for (uint64_t offset = 4; offset > 1;) {
        leat_range_t range = s_expect_recall (driver, 2);
        assert_int_equal (range.first + range.count, offset);
        driver_return (driver, 2, 1, held.epoch, range.first, range.count);
        leat_batch_t batch = driver_expect_deliver (driver, 3, 1, range.first, range.count);
        driver_settle (driver, 3, 1, batch.epoch, batch.first, batch.count, LEAT_ACK);
        offset = range.first;
    }
    driver_wait (driver, 20000);
    driver_expect_nothing (driver, 2);
    driver_destroy (&driver);
}

/* It has started the next one, too, and answers nothing: it is asked again only when it says more. */
static void test_busy_with_both (void **state)
{
    driver_t *driver = s_begin (2);
    s_consumer (driver, 2);
    leat_batch_t held = driver_expect_deliver (driver, 2, 1, 0, 2);
    driver_wait (driver, 300);
    driver_report (driver, 2, 1, 1);
    s_consumer (driver, 3);
    assert_int_equal (s_expect_recall (driver, 2).first, 1);
    driver_wait (driver, 20000);
    driver_expect_nothing (driver, 2);
    assert_int_equal (driver_statistics (driver).recalls_unanswered, 1);
    driver_report (driver, 2, 1, 2);
    driver_wait (driver, 20000);
    driver_expect_nothing (driver, 2);
    driver_settle (driver, 2, 1, held.epoch, 0, 2, LEAT_ACK);
    driver_expect_nothing (driver, 3);
    assert_int_equal (driver_group (driver, "orders").settled, 2);
    driver_destroy (&driver);
}

/* Records that are done sooner than they could come back are left where they are. */
static void test_not_worth_it (void **state)
{
    driver_t *driver = s_begin (1000);
    s_consumer (driver, 2);
    leat_batch_t batch = driver_expect_deliver (driver, 2, 1, 0, 1000);
    for (uint64_t offset = 0; offset < 900; offset += 100) {
        driver->now_us += 100;
        leat_core_tick (driver->core, driver->now_us, driver->wall_ms);
        driver_settle (driver, 2, 1, batch.epoch, offset, 100, LEAT_ACK);
    }
    s_consumer (driver, 3);
    driver_expect_nothing (driver, 2);
    driver_expect_nothing (driver, 3);
    driver_destroy (&driver);
}

/* A consumer with several handlers is given as much as they start, and something to go on with. */
static void test_handlers (void **state)
{
    driver_t *driver = s_begin (0);
    s_consumer (driver, 2);
    s_consumer (driver, 3);
    driver_publish (driver, 1, 1, 1, 100);
    uint64_t held = 0;
    while (driver_waiting (driver, 2))
        held += driver_expect_any_deliver (driver, 2).count;
    assert_int_equal (held, 2);
    for (uint64_t started = 2; started <= 8; started++) {
        driver_report (driver, 2, 1, started);
        while (driver_waiting (driver, 2))
            held += driver_expect_any_deliver (driver, 2).count;
        assert_int_equal (held, started + 2); /* and one that it may start without a word */
    }
    driver_destroy (&driver);
}

typedef struct {
    leat_range_t records[2000]; /* in the order of their delivery */
    unsigned count;
    unsigned settled;
} s_hand_t;

static void s_gather (driver_t *driver, uint64_t peer, s_hand_t *hand)
{
    while (driver_waiting (driver, peer)) {
        leat_batch_t batch = driver_expect_any_deliver (driver, peer);
        for (uint32_t i = 0; i < batch.count; i++)
            hand->records[hand->count++] = (leat_range_t){ batch.epoch, batch.first + i, 1 };
    }
}

/* What a consumer holds follows from its pace: about work_in_hand of it, however much it allows. */
static void test_work_in_hand (void **state)
{
    driver_t *driver = s_begin (0);
    s_hand_t *hands = leat_alloc (4 * sizeof *hands);
    unsigned most[4] = { 0 };
    s_consumer (driver, 2);
    s_consumer (driver, 3);
    driver_publish (driver, 1, 1, 1, 2000);
    /* A record each millisecond, and one every 5 ms. */
    for (unsigned ms = 1; ms <= 500; ms++) {
        driver_wait (driver, 1);
        for (uint64_t peer = 2; peer <= 3; peer++) {
            s_hand_t *hand = &hands[peer];
            s_gather (driver, peer, hand);
            if (peer == 3 && ms % 5)
                continue;
            leat_range_t next = hand->records[hand->settled++];
            assert_true (hand->settled <= hand->count);
            driver_settle (driver, peer, 1, next.epoch, next.first, 1, LEAT_ACK);
            s_gather (driver, peer, hand);
            if (most[peer] < hand->count - hand->settled)
                most[peer] = hand->count - hand->settled;
        }
    }
    assert_true (most[2] >= 45 && most[2] <= 55);
    assert_true (most[3] >= 9 && most[3] <= 11);
    free (hands);
    driver_destroy (&driver);
}

int main (void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test (test_newcomer),
        cmocka_unit_test (test_newcomer_after_a_whole_batch),
        cmocka_unit_test (test_partial_answer),
        cmocka_unit_test (test_settle_wins),
        cmocka_unit_test (test_no_answer),
        cmocka_unit_test (test_loss),
        cmocka_unit_test (test_second_look),
        cmocka_unit_test (test_busy_with_one),
        cmocka_unit_test (test_busy_with_any),
        cmocka_unit_test (test_busy_with_both),
        cmocka_unit_test (test_not_worth_it),
        cmocka_unit_test (test_handlers),
        cmocka_unit_test (test_work_in_hand),
    };
    return cmocka_run_group_tests (tests, NULL, NULL);
}

/* Streams whose records are confirmed before the store has them.
 * SPDX-License-Identifier: MPL-2.0 */
#include "tests/unit/core_driver.h"

enum { STEP = 100 };

static driver_t *s_begin (uint64_t step)
{
    leat_limits_t limits = driver_limits ();
    limits.async_offsets = step;
    driver_t *driver = driver_new (&limits);
    driver->durable = true;
    driver_restart (driver);
    driver_hello (driver, 9, "operator");
    leat_command_t command = { .id = LEAT_STREAM_CREATE };
    command.stream_create.request = 1;
    command.stream_create.stream = leat_text ("orders");
    command.stream_create.durability = LEAT_ASYNC;
    driver_send (driver, 9, &command);
    assert_int_equal (driver_expect (driver, 9, LEAT_RESULT)->result.code, LEAT_OK);
    driver_hello (driver, 1, "mill");
    driver_open (driver, 1, 1, "orders");
    driver_hello (driver, 2, "taker");
    driver_attach (driver, 2, 1, "orders", 1000, 5);
    return driver;
}

static void s_expect_confirmed (driver_t *driver, uint64_t sequence, uint64_t offset)
{
    const leat_confirmed_t *confirmed = &driver_expect (driver, 1, LEAT_CONFIRMED)->confirmed;
    assert_int_equal (confirmed->sequence, sequence);
    assert_int_equal (confirmed->offset, offset);
}

static void s_expect_delivered (driver_t *driver, uint64_t first, uint32_t count)
{
    leat_batch_t batch = driver_expect_any_deliver (driver, 2);
    assert_int_equal (batch.first, first);
    assert_int_equal (batch.count, count);
    driver_settle (driver, 2, 1, batch.epoch, first, count, LEAT_ACK);
}

/* The producer's client is back after the broker was, having been confirmed everything below `base`. */
static void s_back (driver_t *driver, uint64_t peer, uint64_t base, uint64_t known)
{
    driver_hello (driver, peer, "mill");
    leat_command_t command = driver_open_command (1, "orders", base);
    driver_send (driver, peer, &command);
    const leat_opened_t *opened = &driver_expect (driver, peer, LEAT_OPENED)->opened;
    assert_int_equal (opened->flags, LEAT_OPENED_KNOWN);
    assert_int_equal (opened->sequence, known);
    assert_int_equal (opened->durability, LEAT_ASYNC);
}

/* The first waits for the reservation that it brings; from then on only consumers wait. */
static void test_told_ahead (void **state)
{
    driver_t *driver = s_begin (STEP);
    driver->store = DRIVER_HOLD;
    driver_publish (driver, 1, 1, 1, 3);
    driver_expect_nothing (driver, 1);
    driver_complete (driver, 1, LEAT_COMMIT_OK);
    s_expect_confirmed (driver, 3, 2);
    s_expect_delivered (driver, 0, 3);
    driver_publish (driver, 1, 1, 4, 2);
    s_expect_confirmed (driver, 5, 4);
    driver_publish (driver, 1, 1, 6, 2);
    s_expect_confirmed (driver, 7, 6);
    driver_expect_nothing (driver, 2);
    driver_complete (driver, 0, LEAT_COMMIT_OK);
    s_expect_delivered (driver, 3, 2);
    s_expect_delivered (driver, 5, 2);
    driver_expect_nothing (driver, 1);
    driver_destroy (&driver);
}

/* Half of a reservation is used when it is raised, so that nobody waits while the store keeps up. */
static void test_reserved_in_time (void **state)
{
    driver_t *driver = s_begin (STEP);
    for (uint64_t first = 1; first < 1000; first += 10)
        driver_publish (driver, 1, 1, first, 10);
    assert_int_equal (driver_statistics (driver).limit_hits[LEAT_LIMIT_async_offsets], 1);
    driver_drop (driver, 0);
    /* And when it does not, what is beyond waits for its commit. */
    driver->store = DRIVER_HOLD;
    uint64_t told = 0;
    for (uint64_t first = 1001; first < 1401; first += 10) {
        driver_publish (driver, 1, 1, first, 10);
        if (!driver_waiting (driver, 1))
            break;
        told = driver_expect (driver, 1, LEAT_CONFIRMED)->confirmed.sequence;
    }
    assert_true (told >= 1000 + STEP / 2 && told < 1000 + 2 * STEP);
    driver_publish (driver, 1, 1, told + 11, 10);
    driver_expect_nothing (driver, 1);
    driver_complete (driver, 0, LEAT_COMMIT_OK);
    s_expect_confirmed (driver, told + 20, told + 19);
    driver_destroy (&driver);
}

/* A crash takes what was told and not committed. No offset of it comes again, whoever gets the next ones. */
static void test_lost (void **state)
{
    driver_t *driver = s_begin (STEP);
    driver_publish (driver, 1, 1, 1, 3);
    s_expect_confirmed (driver, 3, 2);
    s_expect_delivered (driver, 0, 3);
    driver_wait (driver, 1000); /* the settle is kept */
    driver->store = DRIVER_HOLD;
    driver_publish (driver, 1, 1, 4, 5);
    s_expect_confirmed (driver, 8, 7);
    driver->store = DRIVER_OK;
    driver_restart (driver);
    uint64_t next = driver_stream (driver, "orders").next_offset;
    assert_int_equal (next, 3 + STEP);
    assert_int_equal (driver_group (driver, "orders").ready, 0);
    /* Its client has forgotten 4 to 8 and goes on. */
    s_back (driver, 1, 9, 8);
    driver_hello (driver, 2, "taker");
    driver_attach (driver, 2, 1, "orders", 1000, 5);
    driver_publish (driver, 1, 1, 9, 2);
    s_expect_confirmed (driver, 10, next + 1);
    uint64_t epoch = driver_expect_records (driver, 2, next, 9, 2).epoch;
    driver_drop (driver, 2);
    driver_settle (driver, 2, 1, epoch, next, 2, LEAT_ACK);
    driver_wait (driver, 1000);
    driver_restart (driver);
    assert_true (driver_stream (driver, "orders").next_offset > next + 2);
    assert_int_equal (driver_stream (driver, "orders").held, 0);
    driver_destroy (&driver);
}

/* One that begins anew sends what was lost once more, and it is no duplicate. */
static void test_lost_is_sent_again (void **state)
{
    driver_t *driver = s_begin (STEP);
    driver_publish (driver, 1, 1, 1, 3);
    s_expect_confirmed (driver, 3, 2);
    driver->store = DRIVER_HOLD;
    driver_publish (driver, 1, 1, 4, 5);
    s_expect_confirmed (driver, 8, 7);
    driver->store = DRIVER_OK;
    driver_restart (driver);
    uint64_t next = driver_stream (driver, "orders").next_offset;
    s_back (driver, 1, 1, 3);
    driver_publish (driver, 1, 1, 4, 5);
    s_expect_confirmed (driver, 8, next + 4);
    assert_int_equal (driver_statistics (driver).records_duplicate, 0);
    driver_destroy (&driver);
}

/* In a sync stream nobody's word is taken for what is confirmed. */
static void test_sync_streams_hold_to_the_store (void **state)
{
    driver_t *driver = s_begin (STEP);
    driver_open (driver, 1, 2, "others");
    driver_publish (driver, 1, 2, 1, 3);
    driver_restart (driver);
    driver_hello (driver, 1, "mill");
    leat_command_t command = driver_open_command (1, "others", 9);
    driver_send (driver, 1, &command);
    assert_int_equal (driver_expect (driver, 1, LEAT_OPENED)->opened.sequence, 3);
    driver_destroy (&driver);
}

/* What was confirmed and refused keeps its place, until the store takes it. */
static void test_refused (void **state)
{
    driver_t *driver = s_begin (STEP);
    driver_publish (driver, 1, 1, 1, 3);
    s_expect_confirmed (driver, 3, 2);
    s_expect_delivered (driver, 0, 3);
    driver->store = DRIVER_HOLD;
    driver_publish (driver, 1, 1, 4, 2);
    driver_publish (driver, 1, 1, 6, 2);
    s_expect_confirmed (driver, 5, 4);
    s_expect_confirmed (driver, 7, 6);
    driver_complete (driver, 0, LEAT_COMMIT_REFUSED);
    driver_expect_nothing (driver, 1);
    assert_int_equal (driver_stream (driver, "orders").next_offset, 7);
    driver_publish (driver, 1, 1, 8, 1);
    const leat_refused_t *refused =
        driver_expect_refused (driver, 1, LEAT_PUBLISH, LEAT_STORE_FULL);
    assert_int_equal (refused->expected, 8);
    /* A group that begins at the end meanwhile is not to be beyond them at the store. */
    driver->store = DRIVER_OK;
    driver_hello (driver, 3, "late");
    leat_command_t attach = driver_attach_command (1, "orders", "late", 10, 5);
    attach.attach.start = LEAT_START_LATEST;
    driver_send (driver, 3, &attach);
    driver_expect (driver, 3, LEAT_ATTACHED);
    driver_wait (driver, 1000);
    s_expect_delivered (driver, 3, 2);
    s_expect_delivered (driver, 5, 2);
    driver_expect_nothing (driver, 1);
    driver_publish (driver, 1, 1, 8, 1);
    s_expect_confirmed (driver, 8, 7);
    driver_drop (driver, 0);
    driver_restart (driver);
    s_back (driver, 1, 1, 8);
    driver_destroy (&driver);
}

/* Three records are stored, and two more that were confirmed have been refused. The store holds. */
static driver_t *s_owing (void)
{
    driver_t *driver = s_begin (STEP);
    driver_publish (driver, 1, 1, 1, 3);
    driver->store = DRIVER_HOLD;
    driver_publish (driver, 1, 1, 4, 2);
    driver_complete (driver, 0, LEAT_COMMIT_REFUSED);
    return driver;
}

/* A full store is asked again once it is not full any more, though nobody else comes. */
static void test_refused_by_a_full_store (void **state)
{
    driver_t *driver = s_owing ();
    leat_core_store_full (driver->core, true);
    driver_wait (driver, 5000);
    assert_int_equal (driver->pending_count, 0);
    assert_true (leat_core_deadline (driver->core) <= driver->now_us + 1000000);
    leat_core_store_full (driver->core, false);
    driver_wait (driver, 1000);
    assert_true (driver->pending_count > 0);
    driver_complete (driver, 0, LEAT_COMMIT_OK);
    assert_int_equal (driver_stream (driver, "orders").accepted, 5);
    driver_destroy (&driver);
}

/* No more is at stake than what is published within async_lag. */
static void test_late_store (void **state)
{
    driver_t *driver = s_begin (STEP);
    driver_publish (driver, 1, 1, 1, 3);
    s_expect_confirmed (driver, 3, 2);
    driver->store = DRIVER_HOLD;
    driver_publish (driver, 1, 1, 4, 1);
    s_expect_confirmed (driver, 4, 3);
    driver_wait (driver, 100);
    driver_publish (driver, 1, 1, 5, 1);
    s_expect_confirmed (driver, 5, 4);
    driver_wait (driver, 1);
    driver_publish (driver, 1, 1, 6, 1);
    driver_expect_nothing (driver, 1);
    assert_int_equal (driver_statistics (driver).limit_hits[LEAT_LIMIT_async_lag], 1);
    driver_complete (driver, 0, LEAT_COMMIT_OK);
    s_expect_confirmed (driver, 6, 5);
    driver_publish (driver, 1, 1, 7, 1);
    s_expect_confirmed (driver, 7, 6);
    driver_destroy (&driver);
}

/* An end in order loses nothing and skips no offset. */
static void test_end_in_order (void **state)
{
    driver_t *driver = s_owing ();
    leat_core_shutdown (driver->core, 100);
    driver_turn (driver);
    driver_complete (driver, 0, LEAT_COMMIT_OK);
    assert_false (leat_core_stopped (driver->core));
    driver->store = DRIVER_OK;
    driver_wait (driver, 2000);
    assert_true (leat_core_stopped (driver->core));
    driver_restart (driver);
    assert_int_equal (driver_stream (driver, "orders").next_offset, 5);
    s_back (driver, 1, 1, 5);
    driver_destroy (&driver);
}

/* Who has records that are still to be committed is not forgotten. */
static void test_not_forgotten (void **state)
{
    driver_t *driver = s_owing ();
    leat_core_store_full (driver->core, true);
    driver_lose (driver, 1);
    driver_leap (driver, 8 * 24 * 3600 * 1000u);
    driver_complete (driver, 0, LEAT_COMMIT_OK);
    leat_core_store_full (driver->core, false);
    driver->store = DRIVER_OK;
    driver_leap (driver, 2000);
    driver_leap (driver, 2000);
    driver_drop (driver, 0);
    s_back (driver, 4, 1, 5);
    driver_destroy (&driver);
}

/* What a store may say of reservations. */
static void test_recovered (void **state)
{
    const leat_operation_t created = { .id = LEAT_OPERATION_STREAM_CREATED,
                                       .stream_created = { .stream = 7,
                                                           .stream_name = leat_text ("far"),
                                                           .durability = LEAT_ASYNC } };
    leat_operation_t reserved = { .id = LEAT_OPERATION_RESERVED };
    static const struct {
        uint32_t stream;
        uint64_t next;
        leat_code_t code;
    } cases[] = { { 7, 500, LEAT_OK },
                  { 8, 500, LEAT_MALFORMED },
                  { 7, ((uint64_t) 1 << 62) + 1, LEAT_MALFORMED } };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        driver_t *driver = s_begin (STEP);
        reserved.reserved.stream = cases[i].stream;
        reserved.reserved.next = cases[i].next;
        driver_keep (driver, (leat_operation_t[]){ created, reserved }, 2);
        assert_int_equal (driver_recover (driver), cases[i].code);
        driver_destroy (&driver);
    }
}

/* Nobody is told of dead letters, though a store may say that their stream is async. */
static void test_dead_letters (void **state)
{
    driver_t *driver = s_begin (STEP);
    const leat_operation_t created = { .id = LEAT_OPERATION_STREAM_CREATED,
                                       .stream_created = { .stream = 7,
                                                           .stream_name = leat_text ("orders.dead"),
                                                           .durability = LEAT_ASYNC } };
    driver_keep (driver, &created, 1);
    driver_restart (driver);
    driver_hello (driver, 1, "mill");
    driver_open (driver, 1, 1, "orders");
    driver_hello (driver, 2, "taker");
    driver_attach (driver, 2, 1, "orders", 1000, 5);
    driver_publish (driver, 1, 1, 1, 1);
    leat_batch_t batch = driver_expect_any_deliver (driver, 2);
    driver->store = DRIVER_REFUSE;
    driver_settle (driver, 2, 1, batch.epoch, batch.first, 1, LEAT_REJECT);
    driver->store = DRIVER_OK;
    driver_wait (driver, 3000);
    assert_int_equal (driver_group (driver, "orders").dead_lettered, 1);
    assert_int_equal (driver_stream (driver, "orders.dead").next_offset, 1);
    driver_destroy (&driver);
}

int main (void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test (test_told_ahead),
        cmocka_unit_test (test_reserved_in_time),
        cmocka_unit_test (test_lost),
        cmocka_unit_test (test_lost_is_sent_again),
        cmocka_unit_test (test_sync_streams_hold_to_the_store),
        cmocka_unit_test (test_refused),
        cmocka_unit_test (test_refused_by_a_full_store),
        cmocka_unit_test (test_late_store),
        cmocka_unit_test (test_end_in_order),
        cmocka_unit_test (test_not_forgotten),
        cmocka_unit_test (test_recovered),
        cmocka_unit_test (test_dead_letters),
    };
    return cmocka_run_group_tests (tests, NULL, NULL);
}

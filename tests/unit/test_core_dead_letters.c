/* The core and records that fail: nacks and their delays, rejects, dead letters, parking.
 * SPDX-License-Identifier: MPL-2.0 */
#include "tests/unit/core_driver.h"

static driver_t *s_begin (const leat_limits_t *limits, uint32_t count)
{
    driver_t *driver = driver_new (limits);
    driver_hello (driver, 1, "mill");
    driver_open (driver, 1, 1, "orders");
    driver_publish (driver, 1, 1, 1, count);
    driver_drop (driver, 1);
    driver_hello (driver, 2, "taker");
    driver_attach (driver, 2, 1, "orders", 100, 1);
    return driver;
}

static void s_nack (driver_t *driver, const leat_batch_t *batch, uint64_t offset, uint32_t delay_ms)
{
    leat_settle_entry_t entry = { batch->epoch, offset, 1, delay_ms, LEAT_NACK };
    driver_settle_full (driver, 2, 1, &entry, 1, 0, NULL);
}

/* Waits until the peer gets something; returns how long that took. */
static uint64_t s_wait_for (driver_t *driver, uint64_t peer, uint64_t most_ms)
{
    for (uint64_t ms = 0; ms <= most_ms; ms += 5) {
        if (driver_waiting (driver, peer))
            return ms;
        driver_wait (driver, 5);
    }
    fail_msg ("nothing for peer %d", (int) peer);
    return 0;
}

/* The broker's own delays double from nack_delay_min and lie in the upper half. */
static void test_back_off (void **state)
{
    leat_limits_t limits = driver_limits ();
    limits.attempts = 12;
    limits.nack_delay_max = 10000;
    driver_t *driver = s_begin (&limits, 40);
    leat_batch_t batch = driver_expect_deliver (driver, 2, 1, 0, 40);
    driver_settle (driver, 2, 1, batch.epoch, 1, 39, LEAT_ACK);
    uint64_t expected_ms = 100;
    for (uint32_t attempt = 1; attempt < 12; attempt++) {
        assert_int_equal (batch.attempt, attempt);
        s_nack (driver, &batch, 0, 0);
        uint64_t ms = s_wait_for (driver, 2, 20000);
        assert_true (ms >= expected_ms / 2 && ms <= expected_ms + 5);
        batch = driver_expect_deliver (driver, 2, 1, 0, 1);
        assert_int_equal (batch.flags, LEAT_DELIVER_REDELIVERED);
        expected_ms = expected_ms * 2 < 10000 ? expected_ms * 2 : 10000;
    }
    s_nack (driver, &batch, 0, 0);
    driver_wait (driver, 20000);
    driver_expect_nothing (driver, 2);
    assert_int_equal (driver_group (driver, "orders").dead_lettered, 1);
    driver_destroy (&driver);
}

/* Records that fail together do not come back together. */
static void test_jitter (void **state)
{
    leat_limits_t limits = driver_limits ();
    limits.nack_delay_min = 10000;
    driver_t *driver = s_begin (&limits, 50);
    leat_batch_t batch = driver_expect_deliver (driver, 2, 1, 0, 50);
    leat_settle_entry_t all = { batch.epoch, 0, 50, 0, LEAT_NACK };
    driver_settle_full (driver, 2, 1, &all, 1, 0, NULL);
    assert_int_equal (driver_group (driver, "orders").delayed, 50);
    driver_wait (driver, 4999);
    driver_expect_nothing (driver, 2);
    unsigned turns = 0;
    uint32_t records = 0;
    for (int i = 0; i < 51; i++) {
        driver_wait (driver, 100);
        turns += driver_waiting (driver, 2) > 0;
        while (driver_waiting (driver, 2))
            records += driver_expect_any_deliver (driver, 2).count;
    }
    assert_int_equal (records, 50);
    assert_true (turns > 20);
    driver_destroy (&driver);
}

static void test_asked_delay (void **state)
{
    leat_limits_t limits = driver_limits ();
    limits.nack_delay_ceiling = 5000;
    driver_t *driver = s_begin (&limits, 3);
    leat_batch_t batch = driver_expect_deliver (driver, 2, 1, 0, 3);
    s_nack (driver, &batch, 0, 1);
    s_nack (driver, &batch, 1, 1000);
    s_nack (driver, &batch, 2, 4000000);
    driver_wait (driver, 1);
    driver_expect_deliver (driver, 2, 1, 0, 1);
    driver_wait (driver, 998);
    driver_expect_nothing (driver, 2);
    driver_wait (driver, 1);
    driver_expect_deliver (driver, 2, 1, 1, 1);
    driver_wait (driver, 3999);
    driver_expect_nothing (driver, 2);
    driver_wait (driver, 1);
    driver_expect_deliver (driver, 2, 1, 2, 1);
    assert_int_equal (driver_statistics (driver).limit_hits[LEAT_LIMIT_nack_delay_ceiling], 1);
    driver_destroy (&driver);
}

/* The next DELIVER for peer 3 is a dead letter of this record; looks at everything in it. */
static leat_batch_t s_expect_dead (driver_t *driver, uint64_t dead_offset, uint64_t offset,
                                   const char *attempts, const char *reason)
{
    leat_batch_t batch = driver_expect_any_deliver (driver, 3);
    assert_int_equal (batch.first, dead_offset);
    assert_int_equal (batch.count, 1);
    assert_int_equal (batch.attributes, LEAT_BATCH_EXTENDED);
    const uint8_t *bytes = leat_buffer_bytes (driver->last.body);
    size_t size = leat_buffer_size (driver->last.body);
    assert_int_equal (leat_crc32c (bytes, size), batch.crc32c);
    leat_record_t record;
    assert_int_equal (leat_record_decode (&record, true, bytes, size), size);
    assert_int_equal (record.key_size, 0);
    size_t text_size;
    const char *text = driver_text (driver, offset + 1, &text_size);
    assert_int_equal (record.body_size, text_size);
    assert_memory_equal (record.body, text, text_size);
    char number[24];
    snprintf (number, sizeof number, "%d", (int) offset);
    const char *expected[][2] = { { "leat-stream", "orders" },
                                  { "leat-group", "default" },
                                  { "leat-offset", number },
                                  { "leat-attempts", attempts },
                                  { "leat-reason", reason } };
    const uint8_t *headers = record.headers;
    size_t left = record.headers_size;
    for (size_t i = 0; i < sizeof expected / sizeof *expected; i++) {
        leat_text_t name;
        leat_text_t value;
        size_t taken = leat_header_decode (&name, &value, headers, left);
        assert_true (taken > 0);
        assert_true (leat_text_equal (name, leat_text (expected[i][0])));
        assert_true (leat_text_equal (value, leat_text (expected[i][1])));
        headers += taken;
        left -= taken;
    }
    assert_int_equal (left, 0);
    return batch;
}

static void s_attach_dead (driver_t *driver)
{
    driver_hello (driver, 3, "undertaker");
    driver_attach (driver, 3, 1, "orders.dead", 100, 1);
}

static void test_reject (void **state)
{
    driver_t *driver = s_begin (NULL, 10);
    leat_batch_t batch = driver_expect_deliver (driver, 2, 1, 0, 10);
    leat_settle_entry_t entries[] = { { batch.epoch, 3, 1, 0, LEAT_REJECT },
                                      { batch.epoch, 4, 1, 0, LEAT_ACK },
                                      { batch.epoch, 5, 2, 0, LEAT_REJECT } };
    driver_settle_full (driver, 2, 1, entries, 3, 9, "no such customer");
    driver_expect (driver, 2, LEAT_SETTLED);
    driver_settle (driver, 2, 1, batch.epoch, 9, 1, LEAT_REJECT);
    leat_group_statistics_t group = driver_group (driver, "orders");
    assert_int_equal (group.dead_lettered, 4);
    assert_int_equal (group.settled, 1);
    assert_int_equal (driver_statistics (driver).records_dead, 4);
    s_attach_dead (driver);
    uint64_t time_ms = driver->wall_ms;
    leat_batch_t dead = s_expect_dead (driver, 0, 3, "1", "no such customer");
    assert_int_equal (dead.time_ms, time_ms);
    s_expect_dead (driver, 1, 5, "1", "no such customer");
    s_expect_dead (driver, 2, 6, "1", "no such customer");
    dead = s_expect_dead (driver, 3, 9, "1", "rejected");
    driver_expect_nothing (driver, 3);
    /* Dead letters of dead letters stay where they are. */
    driver_settle (driver, 3, 1, dead.epoch, 3, 1, LEAT_REJECT);
    assert_int_equal (driver_group (driver, "orders.dead").parked, 1);
    assert_int_equal (driver_statistics (driver).streams, 2);
    driver_settle (driver, 2, 1, batch.epoch, 0, 10, LEAT_ACK);
    assert_int_equal (driver_stream (driver, "orders").held, 0);
    driver_destroy (&driver);
}

/* Keys and headers of an extended record go with it. */
static void test_extended (void **state)
{
    driver_t *driver = s_begin (NULL, 1);
    driver_expect_deliver (driver, 2, 1, 0, 1);
    uint8_t headers[64];
    size_t headers_size = leat_header_encode (leat_text ("colour"), leat_text ("blue"), headers);
    leat_record_t record = { .body = (const uint8_t *) "wheat",
                             .body_size = 5,
                             .key = (const uint8_t *) "k1",
                             .key_size = 2,
                             .headers = headers,
                             .headers_size = headers_size };
    leat_buffer_t *body = leat_buffer_new (leat_record_encoded_size (&record, true));
    leat_record_encode (&record, true, leat_buffer_bytes (body));
    leat_batch_t batch = { .command = LEAT_PUBLISH,
                           .attributes = LEAT_BATCH_EXTENDED,
                           .channel = 1,
                           .count = 1,
                           .crc32c =
                               leat_crc32c (leat_buffer_bytes (body), leat_buffer_size (body)),
                           .first = 2 };
    driver_send_batch (driver, 1, &batch, body);
    leat_buffer_release (&body);
    leat_batch_t delivered = driver_expect_any_deliver (driver, 2);
    driver_settle (driver, 2, 1, delivered.epoch, 1, 1, LEAT_REJECT);
    s_attach_dead (driver);
    driver_expect_any_deliver (driver, 3);
    leat_record_t dead;
    size_t size = leat_buffer_size (driver->last.body);
    assert_int_equal (leat_record_decode (&dead, true, leat_buffer_bytes (driver->last.body), size),
                      size);
    assert_int_equal (dead.key_size, 2);
    assert_memory_equal (dead.key, "k1", 2);
    assert_int_equal (dead.body_size, 5);
    assert_memory_equal (dead.body, "wheat", 5);
    assert_true (dead.headers_size > headers_size);
    assert_memory_equal (dead.headers + dead.headers_size - headers_size, headers, headers_size);
    assert_true (leat_headers_valid (dead.headers, dead.headers_size));
    driver_destroy (&driver);
}

static void test_attempts_exhausted (void **state)
{
    driver_t *driver = s_begin (NULL, 2);
    leat_batch_t batch = driver_expect_deliver (driver, 2, 1, 0, 2);
    driver_settle (driver, 2, 1, batch.epoch, 1, 1, LEAT_ACK);
    for (uint32_t attempt = 1; attempt <= 5; attempt++) {
        assert_int_equal (batch.attempt, attempt);
        s_nack (driver, &batch, 0, 1);
        driver_wait (driver, 1);
        if (attempt < 5)
            batch = driver_expect_deliver (driver, 2, 1, 0, 1);
    }
    driver_expect_nothing (driver, 2);
    s_attach_dead (driver);
    s_expect_dead (driver, 0, 0, "5", "5 attempts, the last one was nacked");
    assert_int_equal (driver_stream (driver, "orders").held, 0);
    driver_destroy (&driver);
}

static void test_last_attempt_ends_its_consumer (void **state)
{
    leat_limits_t limits = driver_limits ();
    limits.attempts = 1;
    driver_t *driver = s_begin (&limits, 1);
    driver_expect_deliver (driver, 2, 1, 0, 1);
    driver_lose (driver, 2);
    s_attach_dead (driver);
    s_expect_dead (driver, 0, 0, "1", "1 attempts, the last one ended its consumer");
    driver_destroy (&driver);
}

/* No room for the dead letter: it stays, is not delivered, and holds up nobody. */
static void test_parked (void **state)
{
    leat_limits_t limits = driver_limits ();
    limits.dead_size = 2000;
    driver_t *driver = s_begin (&limits, 10);
    leat_batch_t batch = driver_expect_deliver (driver, 2, 1, 0, 10);
    leat_settle_entry_t all = { batch.epoch, 0, 6, 0, LEAT_REJECT };
    driver_settle_full (driver, 2, 1, &all, 1, 3, "bad");
    driver_expect (driver, 2, LEAT_SETTLED);
    leat_group_statistics_t group = driver_group (driver, "orders");
    assert_true (group.dead_lettered == 2 || group.dead_lettered == 3);
    assert_int_equal (group.dead_lettered + group.parked, 6);
    assert_int_equal (driver_statistics (driver).records_parked, group.parked);
    assert_int_equal (driver_statistics (driver).limit_hits[LEAT_LIMIT_dead_size], group.parked);
    assert_true (driver_stream (driver, "orders.dead").bytes <= 2000);
    driver_settle (driver, 2, 1, batch.epoch, 6, 4, LEAT_ACK);
    driver_ask_empty (driver, 2, 1, 1);
    driver_expect (driver, 2, LEAT_EMPTY);
    driver_publish (driver, 1, 1, 11, 1);
    driver_expect_deliver (driver, 2, 1, 10, 1);
    driver_wait (driver, 70000);
    driver_expect_nothing (driver, 2);
    driver_destroy (&driver);
}

/* Dead letters have the last sixteenth of the memory when producers have taken all the rest. */
static void test_dead_letters_beside_full_memory (void **state)
{
    leat_limits_t limits = driver_limits ();
    limits.record_size = 1000;
    limits.batch_size = 1008;
    limits.grant_min_size = 15000;
    limits.grant_max_size = 15000;
    limits.stream_size = 16000;
    limits.memory_size = 16000;
    driver_t *driver = s_begin (&limits, 1);
    leat_batch_t batch = driver_expect_deliver (driver, 2, 1, 0, 1);
    assert_true (driver_statistics (driver).granted_size > 14000);
    driver_settle (driver, 2, 1, batch.epoch, 0, 1, LEAT_REJECT);
    assert_int_equal (driver_group (driver, "orders").dead_lettered, 1);
    for (uint64_t offset = 1; offset < 12; offset++) {
        driver_publish (driver, 1, 1, offset + 1, 1);
        batch = driver_expect_deliver (driver, 2, 1, offset, 1);
        driver_settle (driver, 2, 1, batch.epoch, offset, 1, LEAT_REJECT);
    }
    leat_group_statistics_t group = driver_group (driver, "orders");
    assert_int_equal (group.dead_lettered + group.parked, 12);
    assert_true (group.parked >= 1);
    assert_true (driver_statistics (driver).limit_hits[LEAT_LIMIT_memory_size] >= 1);
    driver_destroy (&driver);
}

/* As many marked records as a group may have: fresh ones wait until some are settled. */
static void test_marked_records (void **state)
{
    leat_limits_t limits = driver_limits ();
    limits.marked_records = 3;
    driver_t *driver = s_begin (&limits, 3);
    leat_batch_t batch = driver_expect_deliver (driver, 2, 1, 0, 3);
    leat_settle_entry_t all = { batch.epoch, 0, 3, 1000, LEAT_NACK };
    driver_settle_full (driver, 2, 1, &all, 1, 0, NULL);
    driver_publish (driver, 1, 1, 4, 2);
    driver_expect_nothing (driver, 2);
    assert_true (driver_statistics (driver).limit_hits[LEAT_LIMIT_marked_records] > 0);
    driver_wait (driver, 1000);
    for (uint64_t offset = 0; offset < 3; offset++) {
        batch = driver_expect_deliver (driver, 2, 1, offset, 1);
        driver_settle (driver, 2, 1, batch.epoch, offset, 1, LEAT_ACK);
    }
    driver_expect_deliver (driver, 2, 1, 3, 2);
    driver_destroy (&driver);
}

int main (void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test (test_back_off),
        cmocka_unit_test (test_jitter),
        cmocka_unit_test (test_asked_delay),
        cmocka_unit_test (test_reject),
        cmocka_unit_test (test_extended),
        cmocka_unit_test (test_attempts_exhausted),
        cmocka_unit_test (test_last_attempt_ends_its_consumer),
        cmocka_unit_test (test_parked),
        cmocka_unit_test (test_dead_letters_beside_full_memory),
        cmocka_unit_test (test_marked_records),
    };
    return cmocka_run_group_tests (tests, NULL, NULL);
}

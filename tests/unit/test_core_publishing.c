/* The core and producers: OPEN, sequences, duplicates, refusals, CLOSE.
 * SPDX-License-Identifier: MPL-2.0 */
#include "tests/unit/core_driver.h"

static driver_t *s_producer (const leat_limits_t *limits)
{
    driver_t *driver = driver_new (limits);
    driver_hello (driver, 1, "mill");
    driver_open (driver, 1, 1, "orders");
    return driver;
}

static void s_expect_confirmed (driver_t *driver, uint64_t peer, uint64_t sequence, uint64_t offset)
{
    const leat_confirmed_t *confirmed = &driver_expect (driver, peer, LEAT_CONFIRMED)->confirmed;
    assert_int_equal (confirmed->sequence, sequence);
    assert_int_equal (confirmed->offset, offset);
}

/* REFUSED for a PUBLISH, with what the producer needs to go back. */
static void s_expect_refused (driver_t *driver, leat_code_t code, uint32_t flight, uint64_t first,
                              uint64_t expected)
{
    const leat_refused_t *refused = driver_expect_refused (driver, 1, LEAT_PUBLISH, code);
    assert_int_equal (refused->channel, 1);
    assert_int_equal (refused->flight, flight);
    assert_int_equal (refused->first, first);
    assert_int_equal (refused->expected, expected);
}

static void test_open (void **state)
{
    driver_t *driver = driver_new (NULL);
    driver->durable = true;
    driver_restart (driver);
    driver_hello (driver, 1, "mill");
    leat_command_t open = driver_open_command (7, "orders", 1);
    driver_send (driver, 1, &open);
    const leat_opened_t *opened = &driver_expect (driver, 1, LEAT_OPENED)->opened;
    assert_int_equal (opened->channel, 7);
    assert_int_equal (opened->flags, 0);
    assert_int_equal (opened->sequence, 0);
    assert_int_equal (opened->limit, driver->limits.grant_min_size);
    assert_int_equal (opened->durability, LEAT_SYNC);
    open = driver_open_command (8, "orders", 1);
    driver_send (driver, 1, &open);
    driver_expect_refused (driver, 1, LEAT_OPEN, LEAT_STREAM_IN_USE);
    open = driver_open_command (7, "other", 1);
    driver_send (driver, 1, &open);
    driver_expect_refused (driver, 1, LEAT_OPEN, LEAT_CHANNEL_IN_USE);
    static const struct {
        const char *stream;
        uint64_t base;
        uint16_t flags;
        leat_code_t code;
    } wrong[] = {
        { "", 1, 0, LEAT_BAD_NAME },
        { ".a", 1, 0, LEAT_BAD_NAME },
        { "a/b", 1, 0, LEAT_BAD_NAME },
        { "orders.dead", 1, 0, LEAT_RESERVED_NAME },
        { "new", 0, 0, LEAT_MALFORMED },
        { "new", (UINT64_C (1) << 62) + 1, 0, LEAT_MALFORMED },
        { "new", 1, LEAT_MUST_EXIST, LEAT_NO_SUCH_STREAM },
    };
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        open = driver_open_command (8, wrong[i].stream, wrong[i].base);
        open.open.flags = wrong[i].flags;
        driver_send (driver, 1, &open);
        assert_int_equal (driver_expect_refused (driver, 1, LEAT_OPEN, wrong[i].code)->channel, 8);
    }
    char name[LEAT_NAME_MAX + 1];
    memset (name, 'n', sizeof name);
    name[LEAT_STREAM_NAME_MAX + 1] = 0;
    open = driver_open_command (8, name, 1);
    driver_send (driver, 1, &open);
    driver_expect_refused (driver, 1, LEAT_OPEN, LEAT_BAD_NAME);
    name[LEAT_STREAM_NAME_MAX] = 0;
    open = driver_open_command (8, name, 1);
    driver_send (driver, 1, &open);
    driver_expect (driver, 1, LEAT_OPENED);
    assert_int_equal (driver_statistics (driver).streams, 2);
    driver_destroy (&driver);
}

static void test_sequences (void **state)
{
    driver_t *driver = s_producer (NULL);
    driver_publish_flight (driver, 1, 1, 2, 1, 4); /* a gap at once */
    s_expect_refused (driver, LEAT_OUT_OF_SEQUENCE, 4, 2, 1);
    driver_publish (driver, 1, 1, 1, 10);
    s_expect_confirmed (driver, 1, 10, 9);
    driver_publish_flight (driver, 1, 1, 12, 3, 5); /* a gap */
    s_expect_refused (driver, LEAT_OUT_OF_SEQUENCE, 5, 12, 11);
    driver_publish_flight (driver, 1, 1, 8, 4, 6); /* an overlap */
    s_expect_refused (driver, LEAT_OUT_OF_SEQUENCE, 6, 8, 11);
    driver_publish (driver, 1, 1, 3, 8); /* a duplicate after the commit */
    s_expect_confirmed (driver, 1, 10, 9);
    driver_publish (driver, 1, 1, 11, 1);
    s_expect_confirmed (driver, 1, 11, 10);
    leat_statistics_t statistics = driver_statistics (driver);
    assert_int_equal (statistics.batches_out_of_sequence, 3);
    assert_int_equal (statistics.records_duplicate, 8);
    assert_int_equal (statistics.records_accepted, 11);
    /* What is there is what was accepted, once. */
    driver_hello (driver, 2, "taker");
    driver_attach (driver, 2, 1, "orders", 100, 1);
    driver_expect_deliver (driver, 2, 1, 0, 10);
    driver_expect_deliver (driver, 2, 1, 10, 1);
    driver_expect_nothing (driver, 2);
    driver_destroy (&driver);
}

/* A duplicate is confirmed when what it repeats is committed, not before. */
static void test_duplicate_before_commit (void **state)
{
    driver_t *driver = s_producer (NULL);
    driver->store = DRIVER_HOLD;
    driver_publish (driver, 1, 1, 1, 5);
    driver_publish_flight (driver, 1, 1, 1, 5, 1);
    driver_publish_flight (driver, 1, 1, 2, 2, 1);
    driver_expect_nothing (driver, 1);
    driver_complete (driver, 0, LEAT_COMMIT_OK);
    s_expect_confirmed (driver, 1, 5, 4);
    driver_expect_nothing (driver, 1);
    assert_int_equal (driver_statistics (driver).records_duplicate, 7);
    driver_destroy (&driver);
}

static void s_open_as (driver_t *driver, uint64_t peer, uint64_t base, bool known,
                       uint64_t sequence)
{
    leat_command_t open = driver_open_command (1, "orders", base);
    driver_send (driver, peer, &open);
    const leat_opened_t *opened = &driver_expect (driver, peer, LEAT_OPENED)->opened;
    assert_int_equal (opened->flags, known ? LEAT_OPENED_KNOWN : 0);
    assert_int_equal (opened->sequence, sequence);
}

static void test_base_and_known (void **state)
{
    driver_t *driver = driver_new (NULL);
    driver_hello (driver, 1, "mill");
    s_open_as (driver, 1, 101, false, 100);
    driver_publish (driver, 1, 1, 1, 1); /* below the base: as good as there */
    driver_expect_nothing (driver, 1);
    driver_publish (driver, 1, 1, 101, 5);
    s_expect_confirmed (driver, 1, 105, 4);
    driver_lose (driver, 1);
    driver_hello (driver, 2, "mill");
    s_open_as (driver, 2, 1, true, 105);
    driver_publish (driver, 2, 1, 106, 1);
    s_expect_confirmed (driver, 2, 106, 5);
    /* Another identity is on its own in the same stream. */
    driver_hello (driver, 3, "other");
    s_open_as (driver, 3, 1, false, 0);
    driver_publish (driver, 3, 1, 1, 1);
    s_expect_confirmed (driver, 3, 1, 6);
    driver_destroy (&driver);
}

/* Nothing was published: the next session's base holds. */
static void test_base_of_an_unused_channel (void **state)
{
    driver_t *driver = driver_new (NULL);
    driver_hello (driver, 1, "mill");
    s_open_as (driver, 1, 50, false, 49);
    driver_lose (driver, 1);
    driver_hello (driver, 2, "mill");
    s_open_as (driver, 2, 7, false, 6);
    driver_destroy (&driver);
}

/* The session ends while its batch is at the store: the next one is told what became of it. */
static void test_reconnect_while_committing (void **state)
{
    for (int refused = 0; refused < 2; refused++) {
        driver_t *driver = s_producer (NULL);
        driver_publish (driver, 1, 1, 1, 2);
        s_expect_confirmed (driver, 1, 2, 1);
        driver->store = DRIVER_HOLD;
        driver_publish (driver, 1, 1, 3, 5);
        driver_publish (driver, 1, 1, 8, 1);
        driver_lose (driver, 1);
        driver_hello (driver, 2, "mill");
        leat_command_t open = driver_open_command (1, "orders", 1);
        driver_send (driver, 2, &open);
        driver_publish (driver, 2, 1, 3, 5);
        driver_expect_refused (driver, 2, LEAT_PUBLISH, LEAT_BAD_STATE);
        driver_complete (driver, 1, refused ? LEAT_COMMIT_REFUSED : LEAT_COMMIT_OK);
        if (!refused)
            driver_expect_nothing (driver, 2);
        driver_complete (driver, 0, LEAT_COMMIT_OK);
        const leat_opened_t *opened = &driver_expect (driver, 2, LEAT_OPENED)->opened;
        assert_int_equal (opened->flags, LEAT_OPENED_KNOWN);
        assert_int_equal (opened->sequence, refused ? 2 : 8);
        driver_expect_nothing (driver, 2);
        driver->store = DRIVER_OK;
        driver_publish (driver, 2, 1, refused ? 3 : 9, 1);
        s_expect_confirmed (driver, 2, refused ? 3 : 9, refused ? 2 : 8);
        driver_destroy (&driver);
    }
}

/* The same when the broker knew nothing of the identity: the new base holds. */
static void test_reconnect_with_a_new_base (void **state)
{
    driver_t *driver = s_producer (NULL);
    driver->store = DRIVER_HOLD;
    driver_publish (driver, 1, 1, 1, 5);
    driver_lose (driver, 1);
    driver_hello (driver, 2, "mill");
    leat_command_t open = driver_open_command (1, "orders", 4);
    driver_send (driver, 2, &open);
    driver_complete (driver, 0, LEAT_COMMIT_REFUSED);
    const leat_opened_t *opened = &driver_expect (driver, 2, LEAT_OPENED)->opened;
    assert_int_equal (opened->flags, 0);
    assert_int_equal (opened->sequence, 3);
    driver_destroy (&driver);
}

static void test_refusals (void **state)
{
    leat_limits_t limits = driver_limits ();
    limits.record_size = 1000;
    limits.batch_size = 4000;
    driver_t *driver = s_producer (&limits);
    leat_buffer_t *body = driver_body (driver, 1, 3);
    leat_batch_t good = { .command = LEAT_PUBLISH,
                          .channel = 1,
                          .count = 3,
                          .crc32c = leat_crc32c (leat_buffer_bytes (body), leat_buffer_size (body)),
                          .first = 1,
                          .flight = 9 };
    leat_batch_t batch = good;
    batch.crc32c ^= 1;
    driver_send_batch (driver, 1, &batch, body);
    s_expect_refused (driver, LEAT_BAD_CHECKSUM, 9, 1, 1);
    assert_int_equal (driver_statistics (driver).batches_damaged, 1);
    batch = good;
    batch.count = 2;
    driver_send_batch (driver, 1, &batch, body);
    s_expect_refused (driver, LEAT_MALFORMED, 9, 1, 1);
    batch = good;
    batch.count = 4;
    driver_send_batch (driver, 1, &batch, body);
    s_expect_refused (driver, LEAT_MALFORMED, 9, 1, 1);
    batch = good;
    batch.attributes = LEAT_BATCH_EXTENDED;
    driver_send_batch (driver, 1, &batch, body);
    s_expect_refused (driver, LEAT_MALFORMED, 9, 1, 1);
    batch = good;
    batch.channel = 77;
    driver_send_batch (driver, 1, &batch, body);
    const leat_refused_t *refused =
        driver_expect_refused (driver, 1, LEAT_PUBLISH, LEAT_NO_SUCH_CHANNEL);
    assert_int_equal (refused->channel, 77);
    assert_int_equal (refused->flight, 9);
    assert_int_equal (refused->first, 1);
    driver_send_batch (driver, 1, &good, body);
    s_expect_confirmed (driver, 1, 3, 2);
    leat_buffer_release (&body);
    /* A header that breaks the grammar may still tell which batch it was to be. */
    uint8_t header[LEAT_BATCH_HEADER_SIZE];
    leat_batch_encode (&good, header);
    header[8] = header[9] = header[10] = 0; /* no records */
    driver_send_frames (driver, 1, 2, header, sizeof header, "xxxx", 4);
    s_expect_refused (driver, LEAT_MALFORMED, 9, 1, 4);
    driver->record_size = 1001;
    driver_publish (driver, 1, 1, 4, 1);
    s_expect_refused (driver, LEAT_TOO_LARGE, 0, 4, 4);
    driver->record_size = 1000;
    driver_publish (driver, 1, 1, 4, 4);
    s_expect_refused (driver, LEAT_TOO_LARGE, 0, 4, 4);
    driver_publish (driver, 1, 1, 4, 3);
    s_expect_confirmed (driver, 1, 6, 5);
    driver_destroy (&driver);
}

/* Whoever sends beyond its credit, or beyond the session's window, is refused. */
static void test_over_credit (void **state)
{
    leat_limits_t limits = driver_limits ();
    limits.record_size = 6000;
    limits.batch_size = 6008;
    limits.window_size = 14000;
    limits.grant_min_size = 60000;
    driver_t *driver = s_producer (&limits);
    driver->record_size = 6000;
    driver->store = DRIVER_HOLD;
    driver_publish (driver, 1, 1, 1, 1);
    driver_publish (driver, 1, 1, 2, 1);
    driver_expect_nothing (driver, 1);
    /* 2 * 6516 of 14000 are taken. */
    driver_publish (driver, 1, 1, 3, 1);
    s_expect_refused (driver, LEAT_OVER_CREDIT, 0, 3, 3);
    /* On another channel of the session as well, on another session not. */
    leat_command_t open = driver_open_command (2, "orders2", 1);
    driver_send (driver, 1, &open);
    driver_hello (driver, 2, "other");
    open = driver_open_command (1, "orders2", 1);
    driver_send (driver, 2, &open);
    driver_complete (driver, 1, LEAT_COMMIT_OK);
    driver_complete (driver, 2, LEAT_COMMIT_OK);
    driver_drop (driver, 0);
    driver_publish (driver, 1, 2, 1, 1);
    driver_publish (driver, 1, 2, 2, 1);
    driver_publish (driver, 1, 1, 3, 1);
    s_expect_refused (driver, LEAT_OVER_CREDIT, 0, 3, 3);
    driver_publish (driver, 2, 1, 1, 1);
    driver_complete (driver, 0, LEAT_COMMIT_OK);
    s_expect_confirmed (driver, 2, 1, 2);
    driver_drop (driver, 0);
    /* The channel's own limit. */
    driver->store = DRIVER_OK;
    driver->record_size = 10;
    leat_command_t want = { .id = LEAT_CLOSE, .close = { 1 } };
    driver_send (driver, 2, &want);
    driver_expect (driver, 2, LEAT_CONFIRMED);
    driver_expect (driver, 2, LEAT_CLOSED);
    driver_destroy (&driver);
}

/* PUBLISH of one record whose confirmation nobody waits for, or somebody does. */
static void s_publish_patient (driver_t *driver, uint64_t peer, uint64_t sequence, bool patient)
{
    leat_buffer_t *body = driver_body (driver, sequence, 1);
    leat_batch_t batch = { .command = LEAT_PUBLISH,
                           .flags = patient ? LEAT_PUBLISH_PATIENT : 0,
                           .channel = 1,
                           .count = 1,
                           .crc32c =
                               leat_crc32c (leat_buffer_bytes (body), leat_buffer_size (body)),
                           .first = sequence };
    driver_send_batch (driver, peer, &batch, body);
    leat_buffer_release (&body);
}

static void test_held_back (void **state)
{
    leat_limits_t limits = driver_limits ();
    limits.confirm_delay = 20;
    driver_t *driver = s_producer (&limits);
    driver_hello (driver, 2, "second");
    driver_open (driver, 2, 1, "others");
    driver_hello (driver, 3, "third");
    driver_open (driver, 3, 1, "more");

    /* They go together once the delay of the first is over, each producer's for itself. */
    s_publish_patient (driver, 1, 1, true);
    driver_wait (driver, 10);
    s_publish_patient (driver, 2, 1, true);
    s_publish_patient (driver, 1, 2, true);
    driver_wait (driver, 9);
    driver_expect_nothing (driver, 1);
    driver_wait (driver, 1);
    s_expect_confirmed (driver, 1, 2, 1);
    driver_expect_nothing (driver, 2);
    driver_wait (driver, 10);
    s_expect_confirmed (driver, 2, 1, 0);
    driver_wait (driver, 30);
    driver_expect_nothing (driver, 1);
    driver_expect_nothing (driver, 2);

    /* One that is waited for takes the others along; nothing is said twice. */
    s_publish_patient (driver, 1, 3, true);
    s_publish_patient (driver, 1, 4, false);
    s_expect_confirmed (driver, 1, 4, 3);
    s_publish_patient (driver, 1, 5, true);
    driver_expect_nothing (driver, 1);
    /* A duplicate is somebody's who lost the answer. */
    s_publish_patient (driver, 1, 5, true);
    s_expect_confirmed (driver, 1, 5, 4);
    /* So does CLOSE. */
    s_publish_patient (driver, 1, 6, true);
    leat_command_t close = { .id = LEAT_CLOSE, .close = { 1 } };
    driver_send (driver, 1, &close);
    s_expect_confirmed (driver, 1, 6, 5);
    driver_expect (driver, 1, LEAT_CLOSED);
    /* Whoever is gone is told nothing, and whoever is there is told before the end. */
    s_publish_patient (driver, 2, 2, true);
    driver_lose (driver, 2);
    s_publish_patient (driver, 3, 1, true);
    driver_expect_nothing (driver, 3);
    leat_core_shutdown (driver->core, 1000);
    driver_turn (driver);
    s_expect_confirmed (driver, 3, 1, 0);
    driver_expect (driver, 3, LEAT_BYE);
    driver_destroy (&driver);
}

static void test_close (void **state)
{
    driver_t *driver = s_producer (NULL);
    driver->store = DRIVER_HOLD;
    driver_publish (driver, 1, 1, 1, 5);
    leat_command_t close = { .id = LEAT_CLOSE, .close = { 1 } };
    driver_send (driver, 1, &close);
    driver_expect_nothing (driver, 1);
    driver_publish (driver, 1, 1, 6, 1);
    s_expect_refused (driver, LEAT_BAD_STATE, 0, 6, 6);
    driver_complete (driver, 0, LEAT_COMMIT_OK);
    s_expect_confirmed (driver, 1, 5, 4);
    const leat_closed_t *closed = &driver_expect (driver, 1, LEAT_CLOSED)->closed;
    assert_int_equal (closed->channel, 1);
    assert_int_equal (closed->code, LEAT_OK);
    driver_send (driver, 1, &close);
    driver_expect_refused (driver, 1, LEAT_CLOSE, LEAT_NO_SUCH_CHANNEL);
    driver->store = DRIVER_OK;
    s_open_as (driver, 1, 1, true, 5); /* the number and the stream are free */
    driver_publish (driver, 1, 1, 6, 1);
    s_expect_confirmed (driver, 1, 6, 5);
    driver_send (driver, 1, &close);
    driver_expect (driver, 1, LEAT_CONFIRMED);
    driver_expect (driver, 1, LEAT_CLOSED);
    assert_int_equal (driver_statistics (driver).granted_size, 0);
    /* One that published nothing. */
    driver_open (driver, 1, 2, "empty");
    close.close.channel = 2;
    driver_send (driver, 1, &close);
    assert_int_equal (driver_expect (driver, 1, LEAT_CLOSED)->closed.channel, 2);
    driver_destroy (&driver);
}

/* CLOSE, and then the store refuses what was published: CLOSED comes all the same, whether or not
 * the producer was left with credit. */
static void test_close_and_refused (void **state)
{
    leat_limits_t limits = driver_limits ();
    limits.record_size = 8000;
    limits.batch_size = 8008;
    limits.stream_size = 10000;
    limits.grant_min_size = 10000;
    for (int tight = 0; tight < 2; tight++) {
        driver_t *driver = s_producer (tight ? &limits : NULL);
        driver->record_size = 8000;
        driver->store = DRIVER_HOLD;
        driver_publish (driver, 1, 1, 1, 1);
        leat_command_t close = { .id = LEAT_CLOSE, .close = { 1 } };
        driver_send (driver, 1, &close);
        driver_expect_nothing (driver, 1);
        driver_complete (driver, 0, LEAT_COMMIT_REFUSED);
        s_expect_refused (driver, LEAT_STORE_FULL, 0, 1, 1);
        while (driver_waiting (driver, 1) > 1)
            driver_expect (driver, 1, LEAT_CREDIT);
        driver_expect (driver, 1, LEAT_CLOSED);
        driver_destroy (&driver);
    }
}

/* Commands that do not belong where they come. */
static void test_wrong_states (void **state)
{
    driver_t *driver = s_producer (NULL);
    driver_attach (driver, 1, 2, "orders", 10, 1);
    leat_command_t command = { .id = LEAT_WANT, .want = { 9, 100 } };
    driver_send (driver, 1, &command);
    driver_expect_refused (driver, 1, LEAT_WANT, LEAT_NO_SUCH_CHANNEL);
    command.want.channel = 2;
    driver_send (driver, 1, &command);
    driver_expect_refused (driver, 1, LEAT_WANT, LEAT_BAD_STATE);
    driver_publish (driver, 1, 2, 1, 1);
    driver_expect_refused (driver, 1, LEAT_PUBLISH, LEAT_BAD_STATE);
    command = (leat_command_t){ .id = LEAT_YIELDED, .yielded = { 1, 0 } };
    driver_send (driver, 1, &command);
    driver_expect_refused (driver, 1, LEAT_YIELDED, LEAT_BAD_STATE);
    static const uint8_t for_consumers[] = { LEAT_ALLOW,    LEAT_REPORT,    LEAT_SETTLE,
                                             LEAT_RETURNED, LEAT_ASK_EMPTY, LEAT_LEAVE };
    for (size_t i = 0; i < sizeof for_consumers; i++) {
        command = (leat_command_t){ .id = for_consumers[i] };
        command.leave.channel = 1;
        driver_send (driver, 1, &command);
        driver_expect_refused (driver, 1, for_consumers[i], LEAT_BAD_STATE);
        command.leave.channel = 5;
        driver_send (driver, 1, &command);
        assert_int_equal (
            driver_expect_refused (driver, 1, for_consumers[i], LEAT_NO_SUCH_CHANNEL)->channel, 5);
    }
    command = (leat_command_t){ .id = LEAT_ASK_EMPTY, .ask_empty = { 5, 1234 } };
    driver_send (driver, 1, &command);
    assert_int_equal (
        driver_expect_refused (driver, 1, LEAT_ASK_EMPTY, LEAT_NO_SUCH_CHANNEL)->token, 1234);
    static const uint8_t of_brokers[] = { LEAT_WELCOME,   LEAT_REFUSED, LEAT_FENCED, LEAT_OPENED,
                                          LEAT_CONFIRMED, LEAT_CREDIT,  LEAT_CLOSED, LEAT_ATTACHED,
                                          LEAT_SETTLED,   LEAT_STALE,   LEAT_RECALL, LEAT_REVOKED,
                                          LEAT_EMPTY,     LEAT_DRAIN,   LEAT_LEFT,   LEAT_RESULT };
    for (size_t i = 0; i < sizeof of_brokers; i++) {
        command = (leat_command_t){ .id = of_brokers[i] };
        driver_send (driver, 1, &command);
        driver_expect_refused (driver, 1, of_brokers[i], LEAT_BAD_STATE);
    }
    for (unsigned id = LEAT_STREAM_LIST; id < LEAT_RESULT; id++) {
        if (id <= LEAT_STREAM_SET || id == LEAT_GROUP_LIST || id == LEAT_GROUP_CREATE
            || id == LEAT_CONSUMER_DRAIN)
            continue; /* see test_core_administration.c */
        command = (leat_command_t){ .id = (uint8_t) id };
        command.stream_list.request = 99;
        driver_send (driver, 1, &command);
        assert_int_equal (driver_expect_refused (driver, 1, (uint8_t) id, LEAT_NOT_HANDLED)->token,
                          99);
    }
    command = (leat_command_t){ .id = LEAT_PONG };
    driver_send (driver, 1, &command);
    driver_expect_nothing (driver, 1);
    assert_int_equal (driver_statistics (driver).sessions, 1);
    driver_destroy (&driver);
}

/* What was wrong with a message that cannot be read is told with its channel or request, if it has one. */
static void test_broken_fields (void **state)
{
    driver_t *driver = s_producer (NULL);
    uint8_t bytes[64];
    leat_command_t command = { .id = LEAT_SETTLE, .settle.channel = 77 };
    size_t size = leat_command_encode (&command, bytes);
    driver_send_frames (driver, 1, 1, bytes, size - 1, NULL, 0);
    const leat_refused_t *refused = driver_expect_refused (driver, 1, LEAT_SETTLE, LEAT_MALFORMED);
    assert_int_equal (refused->channel, 77);
    driver_expect_says (refused, "SETTLE: reason is missing");
    driver_send_frames (driver, 1, 1, bytes, 4, NULL, 0);
    refused = driver_expect_refused (driver, 1, LEAT_SETTLE, LEAT_MALFORMED);
    assert_int_equal (refused->channel, 0);
    driver_expect_says (refused, "SETTLE: channel is missing");
    command = (leat_command_t){ .id = LEAT_STREAM_DELETE,
                                .stream_delete = { .request = 88, .stream = leat_text ("a") } };
    size = leat_command_encode (&command, bytes);
    bytes[5] = LEAT_NAME_MAX + 1; /* the size of the name */
    driver_send_frames (driver, 1, 1, bytes, size, NULL, 0);
    refused = driver_expect_refused (driver, 1, LEAT_STREAM_DELETE, LEAT_MALFORMED);
    assert_int_equal (refused->token, 88);
    assert_int_equal (refused->channel, 0);
    driver_expect_says (refused, "STREAM_DELETE: stream is missing");
    driver_destroy (&driver);
}

/* A batch on a channel that is not there for it. */
static void test_other_kind_of_channel (void **state)
{
    driver_t *driver = s_producer (NULL);
    driver_attach (driver, 1, 2, "orders", 10, 1);
    driver_publish (driver, 1, 2, 1, 1);
    const leat_refused_t *refused = driver_expect_refused (driver, 1, LEAT_PUBLISH, LEAT_BAD_STATE);
    assert_int_equal (refused->channel, 2);
    assert_int_equal (refused->expected, 0);
    driver_expect_says (refused, "OPEN");
    leat_command_t command = { .id = LEAT_WANT, .want = { .channel = 2, .size = 1 } };
    driver_send (driver, 1, &command);
    driver_expect_says (driver_expect_refused (driver, 1, LEAT_WANT, LEAT_BAD_STATE), "delivering");
    command = (leat_command_t){ .id = LEAT_LEAVE, .leave.channel = 1 };
    driver_send (driver, 1, &command);
    driver_expect_says (driver_expect_refused (driver, 1, LEAT_LEAVE, LEAT_BAD_STATE),
                        "publishing");
    driver_destroy (&driver);
}

static void test_broken_frames (void **state)
{
    driver_t *driver = s_producer (NULL);
    driver_send_frames (driver, 1, 0, NULL, 0, NULL, 0);
    driver_expect_refused (driver, 1, 0, LEAT_MALFORMED);
    driver_send_frames (driver, 1, 1, "", 0, NULL, 0);
    driver_expect_refused (driver, 1, 0, LEAT_MALFORMED);
    driver_send_frames (driver, 1, 3, "\x03........", 9, "x", 1);
    driver_expect_refused (driver, 1, LEAT_PING, LEAT_MALFORMED);
    driver_send_frames (driver, 1, 2, "\x03........", 9, "x", 1); /* a command with a body */
    driver_expect_refused (driver, 1, LEAT_PING, LEAT_MALFORMED);
    uint8_t header[LEAT_BATCH_HEADER_SIZE] = { LEAT_PUBLISH };
    driver_send_frames (driver, 1, 1, header, sizeof header, NULL, 0); /* a batch without one */
    driver_expect (driver, 1, LEAT_REFUSED);
    driver_send_frames (driver, 1, 1, "\x03....", 5, NULL, 0);
    driver_expect_refused (driver, 1, LEAT_PING, LEAT_MALFORMED);
    driver_send_frames (driver, 1, 1, "\x03.........", 10, NULL, 0);
    driver_expect_refused (driver, 1, LEAT_PING, LEAT_MALFORMED);
    driver_send_frames (driver, 1, 1, "\xee", 1, NULL, 0);
    driver_expect_refused (driver, 1, 0xee, LEAT_UNKNOWN_COMMAND);
    leat_batch_t batch = { .command = LEAT_DELIVER, .channel = 1, .count = 1, .first = 1 };
    leat_batch_encode (&batch, header);
    driver_send_frames (driver, 1, 2, header, sizeof header, "x", 1);
    driver_expect (driver, 1, LEAT_REFUSED);
    assert_int_equal (driver_statistics (driver).frames_malformed, 9);
    driver_publish (driver, 1, 1, 1, 1);
    s_expect_confirmed (driver, 1, 1, 0);
    driver_destroy (&driver);
}

int main (void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test (test_open),
        cmocka_unit_test (test_sequences),
        cmocka_unit_test (test_duplicate_before_commit),
        cmocka_unit_test (test_base_and_known),
        cmocka_unit_test (test_base_of_an_unused_channel),
        cmocka_unit_test (test_reconnect_while_committing),
        cmocka_unit_test (test_reconnect_with_a_new_base),
        cmocka_unit_test (test_refusals),
        cmocka_unit_test (test_over_credit),
        cmocka_unit_test (test_held_back),
        cmocka_unit_test (test_close),
        cmocka_unit_test (test_close_and_refused),
        cmocka_unit_test (test_wrong_states),
        cmocka_unit_test (test_broken_frames),
        cmocka_unit_test (test_broken_fields),
        cmocka_unit_test (test_other_kind_of_channel),
    };
    return cmocka_run_group_tests (tests, NULL, NULL);
}

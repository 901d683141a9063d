/* Streams of durability memory beside a store: nothing of them waits for it, or gets there.
 * SPDX-License-Identifier: MPL-2.0 */
#include "tests/unit/core_driver.h"

enum { STEP = 1000 };

static void s_create (driver_t *driver, const char *stream, leat_durability_t durability)
{
    leat_command_t command = { .id = LEAT_STREAM_CREATE };
    command.stream_create.request = 1;
    command.stream_create.stream = leat_text (stream);
    command.stream_create.durability = (uint8_t) durability;
    command.stream_create.max_attempts = 3;
    driver_send (driver, 9, &command);
    assert_int_equal (driver_expect (driver, 9, LEAT_RESULT)->result.code, LEAT_OK);
}

/* Two streams, each with a producer and a consumer: channels 1 "sketches" in memory, channels 2 "orders" not. */
static driver_t *s_begin_with (leat_limits_t limits)
{
    driver_t *driver = driver_new (&limits);
    driver->durable = true;
    driver_restart (driver);
    driver_hello (driver, 9, "operator");
    s_create (driver, "sketches", LEAT_MEMORY);
    s_create (driver, "orders", LEAT_SYNC);
    driver_hello (driver, 1, "mill");
    driver_open (driver, 1, 1, "sketches");
    driver_open (driver, 1, 2, "orders");
    driver_hello (driver, 2, "taker");
    driver_attach (driver, 2, 1, "sketches", 1000, 5);
    driver_attach (driver, 2, 2, "orders", 1000, 5);
    return driver;
}

static driver_t *s_begin (void)
{
    leat_limits_t limits = driver_limits ();
    limits.memory_offsets = STEP;
    return s_begin_with (limits);
}

static void s_expect_confirmed (driver_t *driver, uint32_t channel, uint64_t sequence)
{
    const leat_confirmed_t *confirmed = &driver_expect (driver, 1, LEAT_CONFIRMED)->confirmed;
    assert_int_equal (confirmed->channel, channel);
    assert_int_equal (confirmed->sequence, sequence);
}

/* The operations that the store has of a stream. */
static unsigned s_stored (const driver_t *driver, uint32_t stream, unsigned id)
{
    unsigned count = 0;
    for (size_t i = 0; i < driver->kept_count; i++) {
        leat_commit_reader_t reader;
        leat_operation_t operation;
        assert_int_equal (leat_commit_read (&reader, driver->kept[i]), LEAT_OK);
        while (reader.left) {
            assert_int_equal (leat_commit_read_operation (&reader, &operation), LEAT_OK);
            count += operation.id == id && operation.append.stream == stream;
        }
    }
    return count;
}

static void test_no_store (void **state)
{
    driver_t *driver = s_begin ();
    driver->store = DRIVER_HOLD;
    driver_publish (driver, 1, 2, 1, 2);
    driver_expect_nothing (driver, 1);
    assert_int_equal (driver->pending_count, 1);
    driver_publish (driver, 1, 1, 1, 3);
    s_expect_confirmed (driver, 1, 3);
    leat_batch_t batch = driver_expect_deliver (driver, 2, 1, 0, 3);
    const leat_settle_entry_t entry = { .epoch = batch.epoch, .count = 3, .outcome = LEAT_ACK };
    driver_settle_full (driver, 2, 1, &entry, 1, 5, "");
    const leat_settled_t *settled = &driver_expect (driver, 2, LEAT_SETTLED)->settled;
    assert_int_equal (settled->token, 5);
    assert_int_equal (settled->flags, 0);
    assert_int_equal (driver_stream (driver, "sketches").held, 0);
    driver_leave (driver, 2, 1);
    driver_expect (driver, 2, LEAT_LEFT);
    driver_wait (driver, 1000);
    assert_int_equal (driver->pending_count, 1);
    driver_complete (driver, 0, LEAT_COMMIT_OK);
    s_expect_confirmed (driver, 2, 2);
    driver_expect_deliver (driver, 2, 2, 0, 2);
    assert_int_equal (s_stored (driver, 1, LEAT_OPERATION_APPEND), 0);
    assert_int_equal (s_stored (driver, 2, LEAT_OPERATION_APPEND), 1);
    driver_destroy (&driver);
}

/* A store that has no room, or takes nothing, is no matter. */
static void test_refusing_store (void **state)
{
    driver_t *driver = s_begin ();
    leat_core_store_full (driver->core, true);
    driver_publish (driver, 1, 2, 1, 2);
    driver_expect_refused (driver, 1, LEAT_PUBLISH, LEAT_STORE_FULL);
    driver_publish (driver, 1, 1, 1, 3);
    s_expect_confirmed (driver, 1, 3);
    driver->store = DRIVER_REFUSE;
    leat_core_store_full (driver->core, false);
    driver_publish (driver, 1, 1, 4, 3);
    driver_publish_flight (driver, 1, 2, 1, 2, 1);
    s_expect_confirmed (driver, 1, 6);
    driver_expect_refused (driver, 1, LEAT_PUBLISH, LEAT_STORE_FULL);
    driver_expect_deliver (driver, 2, 1, 0, 3);
    driver_expect_deliver (driver, 2, 1, 3, 3);
    driver_destroy (&driver);
}

/* What a restart leaves: the stream with its settings and groups, empty, and offsets that nobody had. */
static void test_crash (void **state)
{
    driver_t *driver = s_begin ();
    driver_publish (driver, 1, 1, 1, 5);
    s_expect_confirmed (driver, 1, 5);
    leat_batch_t batch = driver_expect_deliver (driver, 2, 1, 0, 5);
    driver_settle (driver, 2, 1, batch.epoch, 0, 2, LEAT_ACK);
    driver_wait (driver, 1000);
    driver_restart (driver);
    assert_int_equal (driver_stream (driver, "sketches").durability, LEAT_MEMORY);
    assert_int_equal (driver_stream (driver, "sketches").held, 0);
    assert_int_equal (driver_stream (driver, "sketches").groups, 1);
    assert_int_equal (driver_group (driver, "sketches").ready, 0);
    uint64_t next = driver_stream (driver, "sketches").next_offset;
    assert_int_equal (next, STEP);
    /* The producer is told that nothing is known of it, and goes on where it was. */
    driver_hello (driver, 1, "mill");
    leat_command_t command = driver_open_command (1, "sketches", 4);
    driver_send (driver, 1, &command);
    const leat_opened_t *opened = &driver_expect (driver, 1, LEAT_OPENED)->opened;
    assert_int_equal (opened->flags, 0);
    assert_int_equal (opened->sequence, 3);
    assert_int_equal (opened->durability, LEAT_MEMORY);
    driver_publish (driver, 1, 1, 4, 2);
    assert_int_equal (driver_expect (driver, 1, LEAT_CONFIRMED)->confirmed.offset, next + 1);
    /* An old lease is stale. */
    driver_hello (driver, 2, "taker");
    driver_attach (driver, 2, 1, "sketches", 1000, 5);
    driver_expect_records (driver, 2, next, 4, 2);
    driver_drop (driver, 2);
    driver_settle (driver, 2, 1, batch.epoch, 2, 3, LEAT_ACK);
    assert_int_equal (driver_expect (driver, 2, LEAT_STALE)->stale.ranges.count, 1);
    driver_destroy (&driver);
}

/* An end in order leaves no gap of offsets. */
static void test_end_in_order (void **state)
{
    driver_t *driver = s_begin ();
    driver_publish (driver, 1, 1, 1, 5);
    leat_core_shutdown (driver->core, 0);
    driver_turn (driver);
    driver_turn (driver);
    assert_true (leat_core_stopped (driver->core));
    driver_restart (driver);
    assert_int_equal (driver_stream (driver, "sketches").next_offset, 5);
    assert_int_equal (driver_stream (driver, "sketches").held, 0);
    driver_destroy (&driver);
}

/* What dies while the broker ends stays where it is: its copy would get an offset that is given back. */
static void test_death_at_the_end (void **state)
{
    driver_t *driver = s_begin ();
    for (uint64_t sequence = 1; sequence < 3; sequence++)
        driver_publish (driver, 1, 1, sequence, 1);
    leat_batch_t first = driver_expect_deliver (driver, 2, 1, 0, 1);
    leat_batch_t second = driver_expect_deliver (driver, 2, 1, 1, 1);
    driver_settle (driver, 2, 1, first.epoch, first.first, 1, LEAT_REJECT);
    driver->store = DRIVER_HOLD;
    driver_publish (driver, 1, 2, 1, 1); /* the end waits for it */
    leat_core_shutdown (driver->core, 0);
    driver_turn (driver);
    driver_settle (driver, 2, 1, second.epoch, second.first, 1, LEAT_REJECT);
    driver->store = DRIVER_OK;
    driver_complete (driver, 0, LEAT_COMMIT_OK);
    driver_turn (driver);
    assert_true (leat_core_stopped (driver->core));
    assert_int_equal (driver_stream (driver, "sketches.dead").next_offset, 1);
    driver_restart (driver);
    assert_int_equal (driver_stream (driver, "sketches.dead").next_offset, 1);
    driver_destroy (&driver);
}

/* The first dead letter waits for the store to know of their stream, and for no more. */
static void test_dead_letters (void **state)
{
    driver_t *driver = s_begin ();
    for (uint64_t sequence = 1; sequence < 4; sequence++)
        driver_publish (driver, 1, 1, sequence, 1);
    leat_batch_t batches[3];
    for (uint64_t i = 0; i < 3; i++)
        batches[i] = driver_expect_deliver (driver, 2, 1, i, 1);
    driver->store = DRIVER_REFUSE;
    driver_settle (driver, 2, 1, batches[0].epoch, 0, 1, LEAT_REJECT);
    assert_int_equal (driver_group (driver, "sketches").dead_lettered, 0);
    driver->store = DRIVER_OK;
    driver_wait (driver, 2000);
    assert_int_equal (driver_group (driver, "sketches").dead_lettered, 1);
    assert_int_equal (driver_stream (driver, "sketches.dead").durability, LEAT_MEMORY);
    driver->store = DRIVER_HOLD;
    driver_settle (driver, 2, 1, batches[1].epoch, 1, 1, LEAT_REJECT);
    assert_int_equal (driver_group (driver, "sketches").dead_lettered, 2);
    assert_int_equal (driver_stream (driver, "sketches.dead").held, 2);
    assert_int_equal (driver->pending_count, 0);
    driver->store = DRIVER_OK;
    driver_wait (driver, 1000);
    unsigned created = 0;
    for (uint32_t id = 3; id < 10; id++) { /* the store refused it before */
        created += s_stored (driver, id, LEAT_OPERATION_STREAM_CREATED);
        assert_int_equal (s_stored (driver, id, LEAT_OPERATION_APPEND), 0);
    }
    assert_int_equal (created, 1);
    assert_int_equal (s_stored (driver, 1, LEAT_OPERATION_DEAD), 0);
    driver_restart (driver);
    assert_int_equal (driver_stream (driver, "sketches.dead").held, 0);
    assert_int_equal (driver_stream (driver, "sketches.dead").durability, LEAT_MEMORY);
    driver_destroy (&driver);
}

/* Who is out of offsets waits for the store, and is told so; that is not met in practice. */
static void test_out_of_offsets (void **state)
{
    driver_t *driver = s_begin ();
    driver->store = DRIVER_HOLD;
    uint64_t first = 1;
    for (; first + 100 <= STEP + 1; first += 100) {
        driver_publish (driver, 1, 1, first, 100);
        s_expect_confirmed (driver, 1, first + 99);
    }
    assert_int_equal (driver->pending_count, 1); /* asked for when half was left */
    assert_int_equal (driver_statistics (driver).limit_hits[LEAT_LIMIT_memory_offsets], 0);
    driver_publish (driver, 1, 1, first, 100);
    driver_expect_refused (driver, 1, LEAT_PUBLISH, LEAT_STORE_FULL);
    assert_int_equal (driver_statistics (driver).limit_hits[LEAT_LIMIT_memory_offsets], 1);
    driver_complete (driver, 0, LEAT_COMMIT_REFUSED);
    driver->store = DRIVER_OK;
    driver_wait (driver, 2000);
    driver_drop (driver, 0);
    driver_publish_flight (driver, 1, 1, first, 100, 1);
    s_expect_confirmed (driver, 1, first + 99);
    driver_destroy (&driver);
}

/* A batch may be larger than what is reserved at a time. */
static void test_large_batch (void **state)
{
    leat_limits_t limits = driver_limits ();
    limits.memory_offsets = 10;
    driver_t *driver = s_begin_with (limits);
    driver_publish (driver, 1, 1, 1, 100);
    driver_expect_refused (driver, 1, LEAT_PUBLISH, LEAT_STORE_FULL);
    driver_publish_flight (driver, 1, 1, 1, 100, 1);
    s_expect_confirmed (driver, 1, 100);
    driver_destroy (&driver);
}

/* Memory streams leave others half of the memory, and are not sent to the store instead. */
static void test_share (void **state)
{
    leat_limits_t limits = driver_limits ();
    limits.memory_size = 8 << 20;
    limits.read_window = 0;
    driver_t *driver = s_begin_with (limits);
    driver->record_size = 60000;
    driver_leave (driver, 2, 1);
    driver_drop (driver, 0);
    leat_command_t want = { .id = LEAT_WANT, .want = { 1, driver_cost (driver, 1, 10) } };
    uint64_t first = 1;
    for (; driver_stream (driver, "sketches").next_offset + 1 == first; first += 10) {
        driver_send (driver, 1, &want);
        driver_publish (driver, 1, 1, first, 10);
        assert_true (first < 200);
    }
    driver_drop (driver, 1);
    uint64_t held = driver_stream (driver, "sketches").bytes;
    assert_true (held > (3 << 20) && held <= (4 << 20));
    assert_int_equal (driver_statistics (driver).batches_sent_away, 0);
    want.want.channel = 2;
    driver_send (driver, 1, &want);
    driver_expect (driver, 1, LEAT_CREDIT);
    driver_publish (driver, 1, 2, 1, 10);
    assert_int_equal (driver_stream (driver, "orders").next_offset, 10);
    driver_destroy (&driver);
}

/* An identity that stays away is forgotten in both kinds of stream. */
static void test_forgotten (void **state)
{
    leat_limits_t limits = driver_limits ();
    limits.identity_expiry = 1000;
    driver_t *driver = s_begin_with (limits);
    driver_publish (driver, 1, 1, 1, 2);
    driver_publish (driver, 1, 2, 1, 2);
    driver_lose (driver, 1);
    driver_wait (driver, 5000);
    driver_drop (driver, 0);
    driver_hello (driver, 3, "mill");
    for (uint32_t channel = 1; channel < 3; channel++) {
        leat_command_t command =
            driver_open_command (channel, channel == 1 ? "sketches" : "orders", 1);
        driver_send (driver, 3, &command);
        assert_int_equal (driver_expect (driver, 3, LEAT_OPENED)->opened.flags, 0);
    }
    assert_int_equal (s_stored (driver, 1, LEAT_OPERATION_SEQUENCE_FORGOTTEN), 0);
    assert_int_equal (s_stored (driver, 2, LEAT_OPERATION_SEQUENCE_FORGOTTEN), 1);
    driver_destroy (&driver);
}

static leat_operation_t s_created (uint32_t id, const char *name, leat_durability_t durability)
{
    leat_operation_t operation = { .id = LEAT_OPERATION_STREAM_CREATED };
    operation.stream_created.stream = id;
    operation.stream_created.stream_name = leat_text (name);
    operation.stream_created.durability = (uint8_t) durability;
    return operation;
}

/* What a store may not say. */
static void test_contradictions (void **state)
{
    leat_buffer_t *body = leat_buffer_copy ("", 0);
    leat_operation_t extent = { .id = LEAT_OPERATION_EXTENT,
                                .extent = { .stream = 1, .next = 1, .records = 1, .size = 9 } };
    leat_operation_t append = { .id = LEAT_OPERATION_APPEND,
                                .append = { .stream = 1, .count = 1, .body = { body, 0, 0 } } };
    leat_operation_t set = { .id = LEAT_OPERATION_STREAM_SET,
                             .stream_set = { .stream = 1, .durability = LEAT_SYNC } };
    const leat_operation_t wrong[] = { extent,
                                       append,
                                       set,
                                       s_created (7, "sketches.dead", LEAT_SYNC),
                                       s_created (7, "orders.dead", LEAT_MEMORY),
                                       s_created (7, "other", LEAT_DURABILITY_DEFAULT),
                                       s_created (7, "other", (leat_durability_t) 4) };
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        driver_t *driver = s_begin ();
        driver_keep (driver, &wrong[i], 1);
        assert_int_equal (driver_recover (driver), LEAT_MALFORMED);
        driver_destroy (&driver);
    }
    leat_buffer_release (&body);
}

int main (void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test (test_no_store),       cmocka_unit_test (test_refusing_store),
        cmocka_unit_test (test_crash),          cmocka_unit_test (test_end_in_order),
        cmocka_unit_test (test_dead_letters),   cmocka_unit_test (test_death_at_the_end),
        cmocka_unit_test (test_large_batch),    cmocka_unit_test (test_out_of_offsets),
        cmocka_unit_test (test_share),          cmocka_unit_test (test_forgotten),
        cmocka_unit_test (test_contradictions),
    };
    return cmocka_run_group_tests (tests, NULL, NULL);
}

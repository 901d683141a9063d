/* The core and streams of retention log: settled records stay, the oldest go by age and by size, and whoever
 * loses any is counted.
 * SPDX-License-Identifier: MPL-2.0 */
#include "tests/unit/core_driver.h"

enum { PER_BATCH = 10 };

static leat_command_t s_stream (uint8_t id, leat_retention_t retention, uint64_t max_age_ms,
                                uint64_t max_size)
{
    leat_command_t command = { .id = id };
    command.stream_create.request = 5;
    command.stream_create.stream = leat_text ("orders");
    command.stream_create.retention = retention;
    command.stream_create.max_age_ms = max_age_ms;
    command.stream_create.max_size = max_size;
    return command;
}

static void s_result (driver_t *driver, leat_code_t code)
{
    const leat_result_t *result = &driver_expect (driver, 1, LEAT_RESULT)->result;
    if (result->code != code)
        fail_msg ("%.*s", (int) result->body.size, result->body.data);
}

/* A log "orders", into which peer 1 publishes on channel 1. `limits` may be NULL. */
static driver_t *s_log (const leat_limits_t *limits, bool durable, bool reads, uint64_t max_age_ms,
                        uint64_t max_size)
{
    driver_t *driver = driver_new (limits);
    driver->durable = durable;
    driver->reads = reads;
    driver->record_size = 100;
    if (durable)
        driver_restart (driver);
    driver_hello (driver, 1, "mill");
    leat_command_t command =
        s_stream (LEAT_STREAM_CREATE, LEAT_RETENTION_LOG, max_age_ms, max_size);
    command.stream_create.durability = durable ? LEAT_SYNC : LEAT_MEMORY;
    driver_send (driver, 1, &command);
    s_result (driver, LEAT_OK);
    driver_open (driver, 1, 1, "orders");
    return driver;
}

/* Batches of PER_BATCH records, from number `from` on. */
static void s_publish (driver_t *driver, uint64_t from, uint64_t count)
{
    for (uint64_t batch = from; batch < from + count; batch++) {
        driver_publish (driver, 1, 1, batch * PER_BATCH + 1, PER_BATCH);
        driver_drop (driver, 1);
    }
}

static void s_attach (driver_t *driver, uint64_t peer, const char *group, leat_start_t start,
                      uint64_t value)
{
    leat_command_t command = driver_attach_command (1, "orders", group, 1000, 1);
    command.attach.start = start;
    command.attach.start_value = value;
    driver_hello (driver, peer, group);
    driver_send (driver, peer, &command);
    driver_expect (driver, peer, LEAT_ATTACHED);
}

/* The peer is given `count` records from `first` on, with what they hold, and settles them. */
static void s_take (driver_t *driver, uint64_t peer, uint64_t first, uint64_t count)
{
    uint64_t end = first + count;
    while (first < end) {
        leat_batch_t batch = driver_expect_any_deliver (driver, peer);
        assert_int_equal (batch.first, first);
        driver_settle (driver, peer, 1, batch.epoch, batch.first, batch.count, LEAT_ACK);
        first += batch.count;
    }
    assert_int_equal (first, end);
    driver_expect_nothing (driver, peer);
}

static leat_group_statistics_t s_group_row;
static const char *s_group_name;

static void s_see_group (void *arg, const leat_group_statistics_t *row)
{
    (void) arg;
    if (leat_text_equal (row->name, leat_text (s_group_name)))
        s_group_row = *row;
}

static leat_group_statistics_t s_group (driver_t *driver, const char *name)
{
    const leat_statistics_visitor_t visitor = { .group = s_see_group };
    s_group_name = name;
    s_group_row = (leat_group_statistics_t){ 0 };
    leat_core_visit (driver->core, &visitor);
    return s_group_row;
}

/* What the stream holds, and what has expired. */
static void s_expect_held (driver_t *driver, uint64_t first, uint64_t next, uint64_t expired)
{
    leat_stream_statistics_t stream = driver_stream (driver, "orders");
    assert_int_equal (stream.first_offset, first);
    assert_int_equal (stream.next_offset, next);
    assert_int_equal (stream.held, next - first);
    assert_int_equal (stream.expired, expired);
    assert_int_equal (driver_statistics (driver).records_expired, expired);
}

static void test_settled_records_stay (void **state)
{
    driver_t *driver = s_log (NULL, false, false, 0, 0);
    s_publish (driver, 0, 3);
    s_attach (driver, 2, "first", LEAT_START_EARLIEST, 0);
    s_take (driver, 2, 0, 3 * PER_BATCH);
    driver_wait (driver, 1000);
    s_expect_held (driver, 0, 3 * PER_BATCH, 0);
    driver_drop (driver, 2);
    s_attach (driver, 3, "again", LEAT_START_EARLIEST, 0);
    s_take (driver, 3, 0, 3 * PER_BATCH);
    s_attach (driver, 4, "between", LEAT_START_OFFSET, 15);
    s_take (driver, 4, 15, 3 * PER_BATCH - 15);
    s_attach (driver, 5, "late", LEAT_START_LATEST, 0);
    driver_expect_nothing (driver, 5);
    driver_drop (driver, 0);
    s_publish (driver, 3, 1);
    s_take (driver, 5, 3 * PER_BATCH, PER_BATCH);
    s_take (driver, 2, 3 * PER_BATCH, PER_BATCH);
    s_expect_held (driver, 0, 4 * PER_BATCH, 0);
    driver_destroy (&driver);
}

/* What was published before the first group is not that group's alone, so that it may begin anywhere. */
static void test_first_group_begins_anywhere (void **state)
{
    driver_t *driver = s_log (NULL, false, false, 0, 0);
    s_publish (driver, 0, 2);
    uint64_t middle_ms = driver->wall_ms + 500;
    driver_wait (driver, 1000);
    s_publish (driver, 2, 1);
    s_attach (driver, 2, "late", LEAT_START_LATEST, 0);
    driver_expect_nothing (driver, 2);
    s_attach (driver, 3, "since", LEAT_START_TIME, middle_ms);
    s_take (driver, 3, 2 * PER_BATCH, PER_BATCH);
    driver_destroy (&driver);
}

static void test_age (void **state)
{
    driver_t *driver = s_log (NULL, false, false, 10000, 0);
    s_attach (driver, 2, "idle", LEAT_START_EARLIEST, 0);
    driver_allow (driver, 2, 1, 0, 1000);
    s_publish (driver, 0, 2);
    driver_wait (driver, 5000);
    s_publish (driver, 2, 1);
    driver_wait (driver, 4900);
    s_expect_held (driver, 0, 3 * PER_BATCH, 0);
    driver_wait (driver, 300);
    s_expect_held (driver, 2 * PER_BATCH, 3 * PER_BATCH, 2 * PER_BATCH);
    assert_int_equal (s_group (driver, "idle").expired, 2 * PER_BATCH);
    assert_int_equal (s_group (driver, "idle").ready, PER_BATCH);
    assert_int_equal (driver_statistics (driver).records_expired_unsettled, 2 * PER_BATCH);
    /* A new group has lost nothing, and begins at what is left, whatever it asks for. */
    leat_command_t create = { .id = LEAT_GROUP_CREATE };
    create.group_create.request = 9;
    create.group_create.stream = leat_text ("orders");
    create.group_create.group = leat_text ("new");
    create.group_create.start = LEAT_START_OFFSET;
    create.group_create.start_value = 3;
    driver_drop (driver, 1);
    driver_send (driver, 1, &create);
    leat_text_t body = driver_expect (driver, 1, LEAT_RESULT)->result.body;
    assert_true (leat_text_equal (body, leat_text ("{\"first\": 20}")));
    assert_int_equal (s_group (driver, "new").expired, 0);
    /* It is told once, for all that was lost since. */
    leat_core_loss_t loss;
    assert_true (leat_core_next_loss (driver->core, &loss));
    assert_true (leat_text_equal (loss.stream, leat_text ("orders")));
    assert_true (leat_text_equal (loss.group, leat_text ("idle")));
    assert_int_equal (loss.records, 2 * PER_BATCH);
    assert_false (leat_core_next_loss (driver->core, &loss));
    driver_wait (driver, 6000);
    s_expect_held (driver, 3 * PER_BATCH, 3 * PER_BATCH, 3 * PER_BATCH);
    assert_int_equal (driver_statistics (driver).held_size, 0);
    driver_ask_empty (driver, 2, 1, 7);
    driver_expect (driver, 2, LEAT_EMPTY);
    driver_destroy (&driver);
}

/* The clocks of producers say nothing: neither does a record of tomorrow stay, nor one of 1970 go. */
static void test_age_is_since_the_broker_took_it (void **state)
{
    static const uint64_t times[] = { 0, UINT64_MAX };
    for (size_t i = 0; i < 2; i++) {
        driver_t *driver = s_log (NULL, false, false, 10000, 0);
        leat_buffer_t *body = driver_body (driver, 1, 1);
        leat_batch_t batch = { .command = LEAT_PUBLISH,
                               .channel = 1,
                               .count = 1,
                               .crc32c =
                                   leat_crc32c (leat_buffer_bytes (body), leat_buffer_size (body)),
                               .first = 1,
                               .time_ms = times[i] };
        driver_send_batch (driver, 1, &batch, body);
        leat_buffer_release (&body);
        driver_wait (driver, 9000);
        s_expect_held (driver, 0, 1, 0);
        driver_wait (driver, 1500);
        s_expect_held (driver, 1, 1, 1);
        driver_destroy (&driver);
    }
}

static void test_size (void **state)
{
    leat_limits_t limits = driver_limits ();
    limits.record_size = 1000;
    limits.batch_size = 5000;
    driver_t *driver = s_log (&limits, false, false, 0, 10000);
    uint64_t cost = driver_cost (driver, 1, PER_BATCH);
    uint64_t fit = 10000 / cost;
    s_attach (driver, 2, "busy", LEAT_START_EARLIEST, 0);
    s_attach (driver, 3, "idle", LEAT_START_EARLIEST, 0);
    driver_allow (driver, 3, 1, 0, 1000);
    s_publish (driver, 0, fit);
    driver_turn (driver);
    s_expect_held (driver, 0, fit * PER_BATCH, 0);
    s_take (driver, 2, 0, fit * PER_BATCH);
    s_publish (driver, fit, 2);
    driver_turn (driver);
    s_expect_held (driver, 2 * PER_BATCH, (fit + 2) * PER_BATCH, 2 * PER_BATCH);
    assert_true (driver_stream (driver, "orders").bytes <= 10000);
    assert_int_equal (s_group (driver, "busy").expired, 0);
    assert_int_equal (s_group (driver, "idle").expired, 2 * PER_BATCH);
    driver_allow (driver, 3, 1, 1000, 100000);
    s_take (driver, 3, 2 * PER_BATCH, fit * PER_BATCH);
    driver_destroy (&driver);
}

/* A lease is never broken: what it holds, and all behind it, stays until it ends. */
static void test_leases_hold (void **state)
{
    driver_t *driver = s_log (NULL, false, false, 10000, 0);
    s_publish (driver, 0, 3);
    s_attach (driver, 2, "slow", LEAT_START_EARLIEST, 0);
    leat_batch_t batch = driver_expect_any_deliver (driver, 2);
    driver_drop (driver, 2);
    driver_wait (driver, 15000);
    driver_drop (driver, 2);
    s_expect_held (driver, 0, 3 * PER_BATCH, 0);
    assert_int_equal (driver_statistics (driver).expiries_held, 1);
    driver_settle (driver, 2, 1, batch.epoch, batch.first, 1, LEAT_ACK);
    driver_wait (driver, 1000);
    s_expect_held (driver, 0, 3 * PER_BATCH, 0);
    driver_lose (driver, 2); /* suspects are not held by anybody */
    driver_wait (driver, 500);
    s_expect_held (driver, 3 * PER_BATCH, 3 * PER_BATCH, 3 * PER_BATCH);
    assert_int_equal (s_group (driver, "slow").expired, 3 * PER_BATCH - 1);
    assert_int_equal (s_group (driver, "slow").suspect, 0);
    driver_destroy (&driver);
}

static void test_delayed_and_parked_records_go (void **state)
{
    leat_limits_t limits = driver_limits ();
    limits.dead_size = 1; /* no dead letter finds room */
    driver_t *driver = s_log (&limits, false, false, 10000, 0);
    s_publish (driver, 0, 1);
    s_attach (driver, 2, "some", LEAT_START_EARLIEST, 0);
    leat_batch_t batch = driver_expect_any_deliver (driver, 2);
    const leat_settle_entry_t entries[] = {
        { batch.epoch, 0, 1, 0, LEAT_REJECT },
        { batch.epoch, 1, 1, 60000, LEAT_NACK },
        { batch.epoch, 2, PER_BATCH - 2, 0, LEAT_ACK },
    };
    driver_settle_full (driver, 2, 1, entries, 3, 0, "");
    driver_wait (driver, 1000);
    assert_int_equal (s_group (driver, "some").parked, 1);
    assert_int_equal (s_group (driver, "some").delayed, 1);
    driver_wait (driver, 10000);
    s_expect_held (driver, PER_BATCH, PER_BATCH, PER_BATCH);
    assert_int_equal (s_group (driver, "some").parked, 0);
    assert_int_equal (s_group (driver, "some").delayed, 0);
    assert_int_equal (s_group (driver, "some").expired, 2);
    driver_destroy (&driver);
}

/* At stream_size a log drops what is oldest, where one of work makes its producers wait. */
static void test_memory_is_a_limit (void **state)
{
    leat_limits_t limits = driver_limits ();
    limits.record_size = 1000;
    limits.batch_size = 5000;
    limits.stream_size = 20000;
    limits.grant_min_size = 2000;
    limits.grant_max_size = 4000;
    driver_t *driver = s_log (&limits, false, false, 0, 1000000);
    for (uint64_t batch = 0; batch < 50; batch++) {
        leat_command_t want = { .id = LEAT_WANT,
                                .want = { 1, driver_cost (driver, 1, PER_BATCH) } };
        driver_send (driver, 1, &want);
        s_publish (driver, batch, 1);
        leat_stream_statistics_t stream = driver_stream (driver, "orders");
        assert_int_equal (stream.next_offset, (batch + 1) * PER_BATCH);
        assert_true (stream.bytes <= limits.stream_size);
    }
    assert_true (driver_stream (driver, "orders").held >= 8 * PER_BATCH);
    assert_true (driver_statistics (driver).limit_hits[LEAT_LIMIT_stream_size] > 0);
    /* Without a max_size nobody has asked for that. */
    leat_command_t set = s_stream (LEAT_STREAM_SET, LEAT_RETENTION_LOG, 60000, 0);
    driver_drop (driver, 1);
    driver_send (driver, 1, &set);
    s_result (driver, LEAT_OK);
    uint64_t expired = driver_stream (driver, "orders").expired;
    leat_command_t want = { .id = LEAT_WANT, .want = { 1, 5000 } };
    driver_send (driver, 1, &want);
    driver_wait (driver, 3000);
    assert_int_equal (driver_stream (driver, "orders").expired, expired);
    driver_destroy (&driver);
}

static void test_restart (void **state)
{
    driver_t *driver = s_log (NULL, true, false, 10000, 0);
    s_publish (driver, 0, 2);
    s_attach (driver, 2, "first", LEAT_START_EARLIEST, 0);
    s_take (driver, 2, 0, 2 * PER_BATCH);
    driver_wait (driver, 5000);
    driver_drop (driver, 0);
    s_publish (driver, 2, 1);
    s_attach (driver, 3, "idle", LEAT_START_EARLIEST, 0);
    driver_allow (driver, 3, 1, 0, 1000);
    driver_lose (driver, 3);
    driver_wait (driver, 500);
    driver_restart (driver);
    s_expect_held (driver, 0, 3 * PER_BATCH, 0);
    assert_int_equal (driver_stream (driver, "orders").retention, LEAT_RETENTION_LOG);
    assert_int_equal (driver_stream (driver, "orders").max_age_ms, 10000);
    driver_wait (driver, 4500);
    s_expect_held (driver, 2 * PER_BATCH, 3 * PER_BATCH, 2 * PER_BATCH);
    driver_wait (driver, 300); /* the commit */
    driver_restart (driver);
    s_expect_held (driver, 2 * PER_BATCH, 3 * PER_BATCH, 0);
    assert_int_equal (s_group (driver, "idle").ready, PER_BATCH);
    driver_wait (driver, 10000);
    s_expect_held (driver, 3 * PER_BATCH, 3 * PER_BATCH, PER_BATCH);
    driver_wait (driver, 300);
    driver_restart (driver);
    s_expect_held (driver, 3 * PER_BATCH, 3 * PER_BATCH, 0);
    driver_destroy (&driver);
}

/* A store that refuses is told again. */
static void test_refused (void **state)
{
    driver_t *driver = s_log (NULL, true, false, 10000, 0);
    s_publish (driver, 0, 1);
    driver->store = DRIVER_REFUSE;
    driver_wait (driver, 11000);
    s_expect_held (driver, PER_BATCH, PER_BATCH, PER_BATCH);
    driver->store = DRIVER_OK;
    driver_wait (driver, 1000);
    driver_restart (driver);
    s_expect_held (driver, PER_BATCH, PER_BATCH, 0);
    driver_destroy (&driver);
}

/* A turn drops so many batches, and goes on in the next one. */
static void test_turns_stay_short (void **state)
{
    leat_limits_t limits = driver_limits ();
    limits.expiry_batches = 3;
    driver_t *driver = s_log (&limits, false, false, 10000, 0);
    s_publish (driver, 0, 8);
    driver_leap (driver, 11000);
    s_expect_held (driver, 3 * PER_BATCH, 8 * PER_BATCH, 3 * PER_BATCH);
    assert_int_equal (driver_statistics (driver).limit_hits[LEAT_LIMIT_expiry_batches], 1);
    assert_true (leat_core_deadline (driver->core) <= driver->now_us);
    driver_turn (driver);
    driver_turn (driver);
    s_expect_held (driver, 8 * PER_BATCH, 8 * PER_BATCH, 8 * PER_BATCH);
    driver_destroy (&driver);
}

static void test_settings (void **state)
{
    driver_t *driver = s_log (NULL, false, false, 10000, 0);
    leat_command_t set = s_stream (LEAT_STREAM_SET, LEAT_RETENTION_LOG, 2000, 0);
    s_publish (driver, 0, 1);
    driver_wait (driver, 3000);
    driver_drop (driver, 1);
    driver_send (driver, 1, &set);
    s_result (driver, LEAT_OK);
    driver_turn (driver);
    s_expect_held (driver, PER_BATCH, PER_BATCH, PER_BATCH);
    s_publish (driver, 1, 1);
    /* As long as nobody has a group, it may be one of work, and a log again. */
    set = s_stream (LEAT_STREAM_SET, LEAT_RETENTION_WORK, 0, 0);
    driver_send (driver, 1, &set);
    s_result (driver, LEAT_OK);
    driver_wait (driver, 5000);
    driver_drop (driver, 1);
    s_expect_held (driver, PER_BATCH, 2 * PER_BATCH, PER_BATCH);
    s_attach (driver, 2, "first", LEAT_START_EARLIEST, 0);
    set = s_stream (LEAT_STREAM_SET, LEAT_RETENTION_LOG, 2000, 0);
    driver_send (driver, 1, &set);
    s_result (driver, LEAT_BAD_STATE);
    driver_destroy (&driver);
}

/* ---- what is away ----------------------------------------------------------------------------- */

enum { AWAY_BATCHES = 200 };

/* Answers looks with the headers of batches of `size` bytes, made at `time_ms`; no body may be asked for. */
static unsigned s_answer_looks (driver_t *driver, uint64_t time_ms, uint64_t size)
{
    leat_core_read_t read;
    unsigned looks = 0;
    driver_turn (driver);
    while (leat_core_next_read (driver->core, &read)) {
        assert_true (read.headers > 0);
        looks++;
        for (uint32_t i = 0; i < read.headers; i++) {
            leat_batch_t header = { .first = read.offset + i * PER_BATCH,
                                    .count = PER_BATCH,
                                    .time_ms = time_ms };
            bool last =
                i + 1 == read.headers || header.first + PER_BATCH >= AWAY_BATCHES * PER_BATCH;
            leat_core_looked (driver->core, read.token, LEAT_OK, &header, size, last);
            if (last)
                break;
        }
        driver_turn (driver);
    }
    return looks;
}

static void test_headers_tell_the_age_of_what_is_away (void **state)
{
    leat_limits_t limits = driver_limits ();
    limits.read_window = 0;
    driver_t *driver = s_log (&limits, true, true, 10000, 0);
    s_publish (driver, 0, AWAY_BATCHES);
    uint64_t time_ms = driver->wall_ms;
    assert_true (driver_statistics (driver).held_size < 10000);
    driver_wait (driver, 9000);
    assert_int_equal (s_answer_looks (driver, time_ms, 1000), 0);
    s_expect_held (driver, 0, AWAY_BATCHES * PER_BATCH, 0);
    driver_wait (driver, 1200);
    unsigned looks = s_answer_looks (driver, time_ms, 1000);
    assert_int_equal (looks, (AWAY_BATCHES + 63) / 64);
    s_expect_held (driver, AWAY_BATCHES * PER_BATCH, AWAY_BATCHES * PER_BATCH,
                   AWAY_BATCHES * PER_BATCH);
    driver_destroy (&driver);
}

/* After a restart the store tells of an extent only. */
static void test_size_of_what_is_away (void **state)
{
    leat_limits_t limits = driver_limits ();
    limits.record_size = 1000;
    limits.batch_size = 5000;
    driver_t *driver = driver_new (&limits);
    driver->durable = true;
    driver->reads = true;
    leat_operation_t operations[] = {
        { .id = LEAT_OPERATION_STREAM_CREATED,
          .stream_created = { .stream = 1,
                              .stream_name = leat_text ("orders"),
                              .durability = LEAT_SYNC,
                              .retention = LEAT_RETENTION_LOG,
                              .max_size = 100000 } },
        { .id = LEAT_OPERATION_EXTENT,
          .extent = { .stream = 1,
                      .first = 50 * PER_BATCH,
                      .next = AWAY_BATCHES * PER_BATCH,
                      .records = 150 * PER_BATCH,
                      .size = 150 * 1000 } },
        { .id = LEAT_OPERATION_GROUP_CREATED,
          .group_created = { .stream = 1, .group = 1, .group_name = leat_text ("idle") } },
        { .id = LEAT_OPERATION_FLOOR,
          .floor = { .stream = 1, .group = 1, .first = 60 * PER_BATCH } },
    };
    driver_keep (driver, operations, 4);
    driver_restart (driver);
    assert_int_equal (s_answer_looks (driver, driver->wall_ms, 1000), 1);
    s_expect_held (driver, 100 * PER_BATCH, AWAY_BATCHES * PER_BATCH, 50 * PER_BATCH);
    assert_int_equal (s_group (driver, "idle").expired, 40 * PER_BATCH);
    assert_int_equal (driver_stream (driver, "orders").bytes, 100000);
    driver_wait (driver, 300);
    driver_destroy (&driver);
}

/* A crash has left offsets without records before what was published since. The header of that comes behind those
 * of what is away, and must not be reckoned twice. */
static void test_hole_takes_nothing (void **state)
{
    enum { KEPT = 10, END = 20 * PER_BATCH, PUBLISHED = 6 };
    driver_t *driver = driver_new (NULL);
    driver->durable = true;
    driver->reads = true;
    driver->record_size = 1000;
    leat_operation_t operations[] = {
        { .id = LEAT_OPERATION_STREAM_CREATED,
          .stream_created = { .stream = 1,
                              .stream_name = leat_text ("orders"),
                              .durability = LEAT_ASYNC,
                              .retention = LEAT_RETENTION_LOG,
                              .max_size = 5 * PER_BATCH * 1100 } },
        { .id = LEAT_OPERATION_EXTENT,
          .extent = { .stream = 1, .first = 0, .next = END, .records = END, .size = KEPT * 1000 } },
    };
    driver_keep (driver, operations, 2);
    driver_restart (driver);
    driver_hello (driver, 1, "mill");
    driver_open (driver, 1, 1, "orders");
    s_publish (driver, 0, PUBLISHED);
    uint64_t each = (driver_stream (driver, "orders").bytes - KEPT * 1000) / PUBLISHED;
    leat_core_read_t read;
    assert_true (leat_core_next_read (driver->core, &read));
    for (uint64_t i = 0; i < KEPT + PUBLISHED; i++) {
        leat_batch_t header = { .first = i < KEPT ? i * PER_BATCH : END + (i - KEPT) * PER_BATCH,
                                .count = PER_BATCH,
                                .time_ms = driver->wall_ms };
        leat_core_looked (driver->core, read.token, LEAT_OK, &header, i < KEPT ? 1000 : each,
                          i + 1 == KEPT + PUBLISHED);
    }
    driver_turn (driver);
    leat_stream_statistics_t stream = driver_stream (driver, "orders");
    assert_int_equal (stream.first_offset, END + PER_BATCH);
    assert_int_equal (stream.bytes, 5 * each);
    driver_destroy (&driver);
}

int main (void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test (test_settled_records_stay),
        cmocka_unit_test (test_first_group_begins_anywhere),
        cmocka_unit_test (test_age),
        cmocka_unit_test (test_age_is_since_the_broker_took_it),
        cmocka_unit_test (test_size),
        cmocka_unit_test (test_leases_hold),
        cmocka_unit_test (test_delayed_and_parked_records_go),
        cmocka_unit_test (test_memory_is_a_limit),
        cmocka_unit_test (test_restart),
        cmocka_unit_test (test_refused),
        cmocka_unit_test (test_turns_stay_short),
        cmocka_unit_test (test_settings),
        cmocka_unit_test (test_headers_tell_the_age_of_what_is_away),
        cmocka_unit_test (test_size_of_what_is_away),
        cmocka_unit_test (test_hole_takes_nothing),
    };
    return cmocka_run_group_tests (tests, NULL, NULL);
}

/* The core and a store that reads back: little stays in memory, all is delivered, damage is set aside.
 * SPDX-License-Identifier: MPL-2.0 */
#include "tests/unit/core_driver.h"

enum { BATCHES = 200, PER_BATCH = 3 };

/* BATCHES batches of PER_BATCH records, more than the window holds. */
static driver_t *s_driver (void)
{
    leat_limits_t limits = driver_limits ();
    limits.read_window = 8000;
    driver_t *driver = driver_new (&limits);
    driver->durable = true;
    driver->reads = true;
    driver->record_size = 100;
    driver_restart (driver);
    driver_hello (driver, 1, "mill");
    driver_open (driver, 1, 1, "orders");
    for (uint64_t batch = 0; batch < BATCHES; batch++) {
        driver_publish (driver, 1, 1, batch * PER_BATCH + 1, PER_BATCH);
        driver_drop (driver, 1);
        assert_true (driver_statistics (driver).held_size <= limits.read_window);
    }
    return driver;
}

/* What was published as batch number `number`. */
static leat_batch_t s_header (const driver_t *driver, uint64_t number, leat_buffer_t **body)
{
    *body = driver_body (driver, number * PER_BATCH + 1, PER_BATCH);
    return (leat_batch_t){ .first = number * PER_BATCH,
                           .count = PER_BATCH,
                           .crc32c =
                               leat_crc32c (leat_buffer_bytes (*body), leat_buffer_size (*body)) };
}

/* Answers a read with the batches it asked for; `damaged` is one that cannot be read, or BATCHES. */
static void s_answer (driver_t *driver, const leat_core_read_t *read, uint64_t damaged)
{
    uint64_t number = read->offset / PER_BATCH;
    uint64_t size = 0;
    for (bool last = false; !last; number++) {
        leat_buffer_t *body;
        leat_batch_t header = s_header (driver, number, &body);
        size += leat_batch_cost (leat_buffer_size (body));
        last = size >= read->size || number + 1 == BATCHES;
        leat_core_read_done (driver->core, read->token, number == damaged ? LEAT_DAMAGED : LEAT_OK,
                             &header, number == damaged ? NULL : body, last);
        leat_buffer_release (&body);
    }
}

/* Answers what is asked until nothing is. Returns how many reads that were. */
static uint32_t s_answer_all (driver_t *driver, uint64_t damaged)
{
    leat_core_read_t read;
    uint32_t reads = 0;
    driver_turn (driver);
    while (leat_core_next_read (driver->core, &read)) {
        s_answer (driver, &read, damaged);
        driver_turn (driver);
        reads++;
    }
    return reads;
}

/* Takes every delivery and settles it at once. Returns the records that came. */
static uint64_t s_consume (driver_t *driver, uint64_t expected, uint64_t damaged)
{
    uint64_t records = 0;
    do {
        s_answer_all (driver, damaged);
        while (driver_waiting (driver, 2) > 0) {
            leat_batch_t batch = driver_expect_any_deliver (driver, 2);
            assert_int_equal (batch.first, expected);
            driver_settle (driver, 2, 1, batch.epoch, batch.first, batch.count, LEAT_ACK);
            records += batch.count;
            expected += batch.count;
            if (damaged < BATCHES && expected == damaged * PER_BATCH)
                expected += PER_BATCH;
        }
        driver_turn (driver);
    } while (driver_group (driver, "orders").ready > 0);
    return records;
}

static void test_backlog_is_read_back (void **state)
{
    driver_t *driver = s_driver ();
    assert_true (driver_statistics (driver).batches_sent_away > BATCHES / 2);
    assert_int_equal (driver_stream (driver, "orders").held, BATCHES * PER_BATCH);
    driver_hello (driver, 2, "taker");
    driver_attach (driver, 2, 1, "orders", 10, 1);
    assert_int_equal (s_consume (driver, 0, BATCHES), BATCHES * PER_BATCH);
    driver_wait (driver, 1000);
    assert_int_equal (driver_stream (driver, "orders").held, 0);
    assert_int_equal (driver_statistics (driver).held_size, 0);
    driver_destroy (&driver);
}

static void test_nothing_is_read_for_nobody (void **state)
{
    driver_t *driver = s_driver ();
    leat_core_read_t read;
    driver_hello (driver, 2, "taker");
    driver_attach (driver, 2, 1, "orders", 1, 1);
    driver_expect_deliver (driver, 2, 1, 0, 1); /* from memory */
    driver_turn (driver);
    while (leat_core_next_read (driver->core, &read))
        s_answer (driver, &read, BATCHES);
    driver_turn (driver);
    uint64_t before = driver_statistics (driver).batches_read;
    driver_wait (driver, 3000);
    assert_false (leat_core_next_read (driver->core, &read));
    assert_int_equal (driver_statistics (driver).batches_read, before);
    driver_destroy (&driver);
}

static void test_damage_is_set_aside (void **state)
{
    const uint64_t damaged = BATCHES / 2;
    driver_t *driver = s_driver ();
    driver_hello (driver, 2, "taker");
    driver_attach (driver, 2, 1, "orders", 10, 1);
    assert_int_equal (s_consume (driver, 0, damaged), (BATCHES - 1) * PER_BATCH);
    assert_int_equal (driver_statistics (driver).records_damaged, PER_BATCH);
    assert_int_equal (driver_group (driver, "orders").parked, PER_BATCH);
    assert_int_equal (driver_stream (driver, "orders").held, PER_BATCH);
    /* Nobody is held up: the group is empty but for what is parked. */
    driver_ask_empty (driver, 2, 1, 7);
    driver_expect (driver, 2, LEAT_EMPTY);
    driver_destroy (&driver);
}

/* A store that tells of extents only: nothing but what is asked for is read. */
static void test_recovery_from_an_extent (void **state)
{
    driver_t *driver = s_driver ();
    while (driver->kept_count > 0)
        leat_buffer_release (&driver->kept[--driver->kept_count]);
    leat_operation_t operations[] = {
        { .id = LEAT_OPERATION_STREAM_CREATED,
          .stream_created = { .stream = 1,
                              .stream_name = leat_text ("orders"),
                              .durability = LEAT_SYNC } },
        { .id = LEAT_OPERATION_EXTENT,
          .extent = { .stream = 1,
                      .first = 30 * PER_BATCH,
                      .next = BATCHES * PER_BATCH,
                      .records = 100 * PER_BATCH,
                      .size = 100000 } },
    };
    driver_keep (driver, operations, 2);
    driver_restart (driver);
    assert_int_equal (driver_statistics (driver).held_size, 0);
    assert_int_equal (driver_stream (driver, "orders").first_offset, 30 * PER_BATCH);
    assert_int_equal (driver_stream (driver, "orders").next_offset, BATCHES * PER_BATCH);
    driver_hello (driver, 2, "taker");
    driver_attach (driver, 2, 1, "orders", 10, 1);

    /* Batches 30 to 99 are gone: what comes first is batch 100. */
    leat_core_read_t read;
    driver_turn (driver);
    assert_true (leat_core_next_read (driver->core, &read));
    assert_int_equal (read.offset, 30 * PER_BATCH);
    leat_buffer_t *body;
    leat_batch_t header = s_header (driver, 100, &body);
    leat_core_read_done (driver->core, read.token, LEAT_OK, &header, body, true);
    leat_buffer_release (&body);
    driver_turn (driver);
    assert_int_equal (s_consume (driver, 100 * PER_BATCH, BATCHES), 100 * PER_BATCH);
    driver_wait (driver, 1000);
    assert_int_equal (driver_stream (driver, "orders").held, 0);
    driver_destroy (&driver);
}

/* Two read for the same offset: the first answer was made before batch 3 was committed, which has gone
 * away since. Only what it says is not there counts as settled. */
static void test_what_is_committed_later_is_not_gone (void **state)
{
    driver_t *driver = s_driver ();
    leat_core_read_t read;
    leat_core_read_t other;
    driver_hello (driver, 2, "taker");
    driver_attach (driver, 2, 1, "orders", 1000, 1);
    while (driver_waiting (driver, 2) > 0)
        driver_expect_any_deliver (driver, 2);
    driver_turn (driver);
    assert_true (leat_core_next_read (driver->core, &read));
    while (leat_core_next_read (driver->core, &other))
        continue; /* never answered */
    const leat_batch_t none = { .first = read.offset + PER_BATCH };
    uint64_t ready = driver_group (driver, "orders").ready;
    leat_core_read_done (driver->core, read.token, LEAT_OK, &none, NULL, true);
    driver_turn (driver);
    assert_int_equal (driver_group (driver, "orders").ready, ready - PER_BATCH);
    driver_destroy (&driver);
}

/* ---- groups that begin at a time --------------------------------------------------------------- */

enum { YOUNG = 150 };

static const uint64_t time_ms = UINT64_C (4000000000000);

static leat_batch_t s_aged_header (const driver_t *driver, uint64_t number, leat_buffer_t **body)
{
    leat_batch_t header = s_header (driver, number, body);
    header.time_ms = number < YOUNG ? 5 : time_ms;
    return header;
}

static void s_answer_look (driver_t *driver, const leat_core_read_t *read, uint64_t damaged)
{
    bool last = false;
    uint64_t number = read->offset / PER_BATCH;
    for (uint32_t left = read->headers; !last; left--, number++) {
        leat_buffer_t *body;
        leat_batch_t header = s_aged_header (driver, number, &body);
        uint64_t size = leat_buffer_size (body);
        leat_buffer_release (&body);
        last = left == 1 || number + 1 == BATCHES || number == damaged;
        leat_core_looked (driver->core, read->token, number == damaged ? LEAT_DAMAGED : LEAT_OK,
                          &header, size, last);
    }
}

/* Answers what is asked until nothing is, each read with one batch. Returns how many of the bodies were of
 * old batches; `damaged` is a batch that cannot be read, or BATCHES. */
static uint32_t s_answer_aged (driver_t *driver, uint64_t damaged)
{
    leat_core_read_t read;
    uint32_t old = 0;
    driver_turn (driver);
    while (leat_core_next_read (driver->core, &read)) {
        uint64_t number = read.offset / PER_BATCH;
        if (read.headers) {
            s_answer_look (driver, &read, damaged);
        } else {
            leat_buffer_t *body;
            leat_batch_t header = s_aged_header (driver, number, &body);
            old += number < YOUNG;
            leat_core_read_done (driver->core, read.token,
                                 number == damaged ? LEAT_DAMAGED : LEAT_OK, &header,
                                 number == damaged ? NULL : body, true);
            leat_buffer_release (&body);
        }
        driver_turn (driver);
    }
    return old;
}

/* The first group has everything. */
static driver_t *s_aged_driver (uint32_t credit)
{
    driver_t *driver = s_driver ();
    assert_true (driver->wall_ms < time_ms); /* than which all in memory is older */
    driver_hello (driver, 2, "first");
    driver_attach (driver, 2, 1, "orders", credit, 1);
    return driver;
}

/* A group that is to begin at a time; nobody takes for it yet. */
static void s_make_late_since (driver_t *driver, uint64_t since_ms)
{
    leat_command_t create = { .id = LEAT_GROUP_CREATE };
    create.group_create.request = 9;
    create.group_create.stream = leat_text ("orders");
    create.group_create.group = leat_text ("late");
    create.group_create.start = LEAT_START_TIME;
    create.group_create.start_value = since_ms;
    driver_drop (driver, 1);
    driver_send (driver, 1, &create);
    assert_int_equal (driver_expect (driver, 1, LEAT_RESULT)->result.code, LEAT_OK);
}

static void s_make_late (driver_t *driver)
{
    s_make_late_since (driver, time_ms);
}

/* Attaches for the late group and takes all that it has: each `step`th batch from the first young one on. */
static void s_take_late (driver_t *driver, uint64_t step)
{
    uint64_t expected = (YOUNG + step - 1) * PER_BATCH;
    driver_hello (driver, 3, "second");
    leat_command_t attach = driver_attach_command (1, "orders", "late", 10, 1);
    driver_send (driver, 3, &attach);
    driver_expect (driver, 3, LEAT_ATTACHED);
    for (int turn = 0; turn < 1000 && expected < BATCHES * PER_BATCH; turn++) {
        assert_int_equal (s_answer_aged (driver, BATCHES), 0);
        while (driver_waiting (driver, 3) > 0) {
            leat_batch_t batch = driver_expect_any_deliver (driver, 3);
            assert_int_equal (batch.first, expected);
            driver_settle (driver, 3, 1, batch.epoch, batch.first, batch.count, LEAT_ACK);
            expected += batch.count;
            if (expected % PER_BATCH == 0)
                expected += (step - 1) * PER_BATCH;
        }
    }
    /* What comes later is its, whatever time its producer says. */
    driver_publish (driver, 1, 1, BATCHES * PER_BATCH + 1, PER_BATCH);
    assert_int_equal (driver_expect_any_deliver (driver, 3).first, BATCHES * PER_BATCH);
}

/* How old records are is looked up when the group begins, without a body of those that it does not get. */
static void test_group_begins_at_a_time (void **state)
{
    driver_t *driver = s_aged_driver (1);
    driver_drop (driver, 2);
    s_make_late (driver);
    assert_int_equal (s_answer_aged (driver, BATCHES), 0);
    assert_int_equal (driver_statistics (driver).batches_read, 0);
    s_take_late (driver, 1);
    driver_destroy (&driver);
}

/* The first group settles each `step`th batch until nothing comes any more. */
static void s_settle_some (driver_t *driver, uint64_t step)
{
    for (int quiet = 0; quiet < 3; quiet++) {
        s_answer_aged (driver, BATCHES);
        while (driver_waiting (driver, 2) > 0) {
            leat_batch_t batch = driver_expect_any_deliver (driver, 2);
            driver_report (driver, 2, 1, batch.first + batch.count);
            if (batch.first / PER_BATCH % step == 0)
                driver_settle (driver, 2, 1, batch.epoch, batch.first, batch.count, LEAT_ACK);
            quiet = 0;
        }
        driver_turn (driver);
    }
}

/* Batches between others are gone: what is older before and behind them is not the group's either. */
static void test_time_behind_holes (void **state)
{
    driver_t *driver = s_aged_driver (1000);
    s_settle_some (driver, 2);
    driver_lose (driver, 2);
    assert_true (driver_stream (driver, "orders").held < BATCHES * PER_BATCH);
    s_make_late (driver);
    s_take_late (driver, 2);
    driver_destroy (&driver);
}

/* Others read the old bodies while the store is slow to tell of headers: these do as well, and what is told
 * later changes nothing. */
static void test_late_headers (void **state)
{
    driver_t *driver = s_aged_driver (10);
    leat_core_read_t look;
    while (leat_core_next_read (driver->core, &look))
        s_answer (driver, &look, BATCHES);
    s_make_late (driver);
    driver_turn (driver);
    assert_true (leat_core_next_read (driver->core, &look));
    assert_true (look.headers > 0);
    s_settle_some (driver, 1);
    assert_int_equal (driver_stream (driver, "orders").held, (BATCHES - YOUNG) * PER_BATCH);
    s_answer_look (driver, &look, BATCHES);
    driver_turn (driver);
    assert_int_equal (driver_stream (driver, "orders").held, (BATCHES - YOUNG) * PER_BATCH);
    s_take_late (driver, 1);
    driver_destroy (&driver);
}

/* Nothing is young enough: what nobody else needs goes. */
static void test_time_of_nothing (void **state)
{
    driver_t *driver = s_aged_driver (10);
    s_make_late_since (driver, 2 * time_ms);
    s_answer_aged (driver, BATCHES);
    s_settle_some (driver, 1);
    assert_int_equal (driver_stream (driver, "orders").held, 0);
    driver_destroy (&driver);
}

/* A header that cannot be read tells no time: its batch is set aside, and the search goes on behind it. */
static void test_time_behind_damage (void **state)
{
    const uint64_t damaged = YOUNG / 2;
    driver_t *driver = s_aged_driver (1);
    driver_drop (driver, 2);
    s_make_late (driver);
    assert_int_equal (s_answer_aged (driver, damaged), 1);
    assert_int_equal (driver_statistics (driver).records_damaged, PER_BATCH);
    s_take_late (driver, 1);
    driver_destroy (&driver);
}

/* The header of a damaged batch may hide how many records it has. */
static void test_damage_without_end (void **state)
{
    driver_t *driver = s_driver ();
    leat_core_read_t read;
    driver_hello (driver, 2, "taker");
    driver_attach (driver, 2, 1, "orders", 1000, 1);
    driver_turn (driver);
    while (driver_waiting (driver, 2) > 0)
        driver_expect_any_deliver (driver, 2);
    assert_true (leat_core_next_read (driver->core, &read));
    const leat_batch_t damaged = { .first = read.offset, .count = UINT32_MAX };
    leat_core_read_done (driver->core, read.token, LEAT_DAMAGED, &damaged, NULL, true);
    driver_turn (driver);
    uint64_t lost = driver_statistics (driver).records_damaged;
    assert_true (lost > 0 && lost < BATCHES * PER_BATCH);
    assert_int_equal (driver_group (driver, "orders").parked, lost);
    driver_destroy (&driver);
}

/* A driver that has memory for one read at a time, and peers 2 on in groups of their own, paused. */
static driver_t *s_short_driver (uint64_t peers)
{
    static const char *const groups[] = { "a", "b", "c" };
    driver_t *driver = s_driver ();
    driver->limits.record_size = 10000;
    driver->limits.batch_size = 20000;
    driver->limits.memory_size = 30000;
    driver->limits.read_window = 2000;
    driver_restart (driver);
    for (uint64_t index = 0; index < peers; index++) {
        driver_hello (driver, index + 2, groups[index]);
        leat_command_t attach = driver_attach_command (1, "orders", groups[index], 0, 1);
        driver_send (driver, index + 2, &attach);
        driver_expect (driver, index + 2, LEAT_ATTACHED);
    }
    return driver;
}

/* Settles all that the peer has got. Returns how many records that were. */
static uint64_t s_settle_all (driver_t *driver, uint64_t peer)
{
    uint64_t records = 0;
    while (driver_waiting (driver, peer) > 0) {
        leat_batch_t batch = driver_expect_any_deliver (driver, peer);
        driver_settle (driver, peer, 1, batch.epoch, batch.first, batch.count, LEAT_ACK);
        records += batch.count;
    }
    return records;
}

/* One that wants more and more leaves memory to another one, which is elsewhere in the stream. */
static void test_groups_take_turns (void **state)
{
    driver_t *driver = s_short_driver (2);
    uint64_t first = 0;
    uint64_t second = 0;
    driver_allow (driver, 2, 1, 1000, 1000000);
    for (int turn = 0; first < BATCHES * PER_BATCH && turn < 4 * BATCHES; turn++) {
        leat_core_read_t read;
        driver_turn (driver);
        while (leat_core_next_read (driver->core, &read))
            s_answer (driver, &read, BATCHES);
        driver_turn (driver);
        first += s_settle_all (driver, 2);
        second += s_settle_all (driver, 3);
        if (turn == BATCHES / 4)
            driver_allow (driver, 3, 1, 1000, 1000000);
    }
    assert_int_equal (first, BATCHES * PER_BATCH);
    assert_true (second > BATCHES * PER_BATCH / 2);
    driver_destroy (&driver);
}

/* Who waits for memory behind one that has left gets it as soon as there is some. */
static void test_turn_is_passed_on (void **state)
{
    driver_t *driver = s_short_driver (3);
    leat_core_read_t read = { .offset = 0 };
    leat_core_read_t other;
    driver_allow (driver, 4, 1, 1000, 1000000);
    while (read.offset < BATCHES) {
        s_settle_all (driver, 4);
        assert_true (leat_core_next_read (driver->core, &read));
        if (read.offset < BATCHES)
            s_answer (driver, &read, BATCHES);
        driver_turn (driver);
    }
    driver_allow (driver, 2, 1, 1000, 1000000);
    driver_allow (driver, 3, 1, 1000, 1000000);
    assert_false (leat_core_next_read (driver->core, &other));
    driver_leave (driver, 2, 1);
    driver_allow (driver, 4, 1, 0, 0);
    s_answer (driver, &read, BATCHES);
    driver_turn (driver);
    assert_true (leat_core_next_read (driver->core, &other));
    assert_int_equal (other.offset, 0);
    driver_destroy (&driver);
}

/* The store is slower than who takes what it brings, so that something is being read all the time. What waits
 * behind a record that takes long moves on all the same, and not only once all is read. */
static void test_recall_while_reading (void **state)
{
    driver_t *driver = s_driver ();
    driver_hello (driver, 2, "slow");
    driver_attach (driver, 2, 1, "orders", 2, 1);
    leat_batch_t held = driver_expect_deliver (driver, 2, 1, 0, 2);
    driver_hello (driver, 3, "taker");
    driver_attach (driver, 3, 1, "orders", 10, 1);
    uint64_t ms = 0;
    leat_core_read_t read;
    for (; !driver_waiting (driver, 2) && driver_group (driver, "orders").ready > 0; ms++) {
        driver_wait (driver, 1);
        if (ms % 5 == 0 && leat_core_next_read (driver->core, &read))
            s_answer (driver, &read, BATCHES);
        driver_turn (driver);
        s_settle_all (driver, 3);
    }
    assert_true (ms < 50);
    const leat_recall_t *recall = &driver_expect (driver, 2, LEAT_RECALL)->recall;
    assert_int_equal (recall->ranges.count, 1);
    leat_range_t range = leat_ranges_get (&recall->ranges, 0);
    assert_int_equal (range.epoch, held.epoch);
    assert_int_equal (range.first, 1);
    assert_int_equal (range.count, 1);
    /* It goes out before what is read. */
    driver_return (driver, 2, 1, range.epoch, range.first, range.count);
    driver_expect_deliver (driver, 3, 1, 1, 1);
    driver_destroy (&driver);
}

int main (void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test (test_backlog_is_read_back),
        cmocka_unit_test (test_nothing_is_read_for_nobody),
        cmocka_unit_test (test_damage_is_set_aside),
        cmocka_unit_test (test_recovery_from_an_extent),
        cmocka_unit_test (test_what_is_committed_later_is_not_gone),
        cmocka_unit_test (test_group_begins_at_a_time),
        cmocka_unit_test (test_time_behind_holes),
        cmocka_unit_test (test_late_headers),
        cmocka_unit_test (test_time_of_nothing),
        cmocka_unit_test (test_time_behind_damage),
        cmocka_unit_test (test_damage_without_end),
        cmocka_unit_test (test_groups_take_turns),
        cmocka_unit_test (test_turn_is_passed_on),
        cmocka_unit_test (test_recall_while_reading),
    };
    return cmocka_run_group_tests (tests, NULL, NULL);
}

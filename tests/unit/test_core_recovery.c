/* A new core takes over what a store has kept; and a store that has rubbish.
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
    driver_attach (driver, 2, 1, "orders", 1000000, 3);
    driver_allow (driver, 2, 1, 1000000, 1 << 28);
    return driver;
}

/* Everything dirty goes to the store, then the broker dies. */
static void s_restart (driver_t *driver)
{
    driver_wait (driver, driver->limits.settle_delay);
    driver_restart (driver);
}

static void s_take_over (driver_t *driver, uint64_t peer)
{
    driver_hello (driver, peer, "taker");
    driver_attach (driver, peer, 1, "orders", 1000000, 3);
    driver_allow (driver, peer, 1, 1000000, 1 << 28);
}

static void test_sequences (void **state)
{
    driver_t *driver = s_begin (NULL, 20);
    driver_hello (driver, 3, "second");
    driver_open (driver, 3, 1, "orders");
    driver_publish (driver, 3, 1, 1, 5);
    uint64_t epoch = driver_expect_any_deliver (driver, 2).epoch;
    s_restart (driver);
    leat_stream_statistics_t stream = driver_stream (driver, "orders");
    assert_int_equal (stream.next_offset, 25);
    assert_int_equal (stream.held, 25);
    driver_hello (driver, 4, "mill");
    leat_command_t open = driver_open_command (1, "orders", 999);
    driver_send (driver, 4, &open);
    const leat_opened_t *opened = &driver_expect (driver, 4, LEAT_OPENED)->opened;
    assert_int_equal (opened->flags, LEAT_OPENED_KNOWN);
    assert_int_equal (opened->sequence, 20);
    driver_publish (driver, 4, 1, 5, 3); /* a duplicate */
    const leat_confirmed_t *confirmed = &driver_expect (driver, 4, LEAT_CONFIRMED)->confirmed;
    assert_int_equal (confirmed->sequence, 20);
    assert_int_equal (confirmed->offset, 19);
    driver_publish (driver, 4, 1, 21, 1);
    assert_int_equal (driver_expect (driver, 4, LEAT_CONFIRMED)->confirmed.offset, 25);
    driver_hello (driver, 5, "second");
    open = driver_open_command (1, "orders", 1);
    driver_send (driver, 5, &open);
    assert_int_equal (driver_expect (driver, 5, LEAT_OPENED)->opened.sequence, 5);
    /* Leases of before are nobody's, and epochs go on. */
    s_take_over (driver, 6);
    assert_true (driver_expect_deliver (driver, 6, 1, 0, 20).epoch > epoch);
    driver_destroy (&driver);
}

/* What was settled, in any pattern over several chunks, is not delivered again; all else is. */
static void test_settled_chunks (void **state)
{
    enum { COUNT = 3 * LEAT_CHUNK_RECORDS };
    leat_limits_t limits = driver_limits ();
    limits.grant_min_size = 4 << 20;
    limits.grant_max_size = 8 << 20;
    limits.batch_size = 4 << 20;
    limits.window_size = 32 << 20;
    driver_t *driver = s_begin (&limits, 50000);
    for (uint64_t first = 50001; first <= COUNT; first += 50000) {
        uint64_t left = COUNT + 1 - first;
        driver_publish (driver, 1, 1, first, left < 50000 ? (uint32_t) left : 50000);
        driver_drop (driver, 1);
    }
    driver->hasty = true;
    uint8_t *settled = calloc (COUNT, 1);
    uint64_t random = 5;
    while (driver_waiting (driver, 2)) {
        leat_batch_t batch = driver_expect_any_deliver (driver, 2);
        uint64_t end = batch.first + batch.count;
        uint64_t first = batch.first;
        /* More is settled than is left out, so that more comes. */
        for (int i = 0; first < end; i++) {
            random = random * 6364136223846793005u + 1442695040888963407u;
            uint32_t count = 1 + (uint32_t) (random >> 20) % (i % 3 ? 50 : 5000);
            if (count > end - first)
                count = (uint32_t) (end - first);
            driver_settle (driver, 2, 1, batch.epoch, first, count, LEAT_ACK);
            for (uint64_t k = first; k < first + count && k < end; k++)
                settled[k] = 1;
            first += count + 1 + (random >> 33) % (i % 3 ? 20 : 2000);
        }
        driver_wait (driver, 100);
    }
    uint64_t open = 0;
    for (uint64_t i = 0; i < COUNT; i++)
        open += !settled[i];
    for (int round = 0; round < 2; round++) {
        s_restart (driver);
        leat_core_check (driver->core);
        assert_int_equal (driver_group (driver, "orders").ready, open);
    }
    s_take_over (driver, 10);
    uint64_t got = 0;
    while (driver_waiting (driver, 10)) {
        leat_batch_t batch = driver_expect_any_deliver (driver, 10);
        for (uint64_t i = batch.first; i < batch.first + batch.count; i++)
            assert_int_equal (settled[i], 0);
        got += batch.count;
        driver_settle (driver, 10, 1, batch.epoch, batch.first, batch.count, LEAT_ACK);
    }
    assert_int_equal (got, open);
    free (settled);
    driver_destroy (&driver);
}

/* A chunk that is settled whole above a record that is not. */
static void test_whole_chunk (void **state)
{
    enum { COUNT = 2 * LEAT_CHUNK_RECORDS + 10 };
    leat_limits_t limits = driver_limits ();
    limits.grant_min_size = 16 << 20;
    limits.grant_max_size = 16 << 20;
    limits.batch_size = 4 << 20;
    limits.window_size = 32 << 20;
    driver_t *driver = s_begin (&limits, 65536);
    driver->hasty = true;
    driver_publish (driver, 1, 1, 65537, 65536);
    driver_publish (driver, 1, 1, 131073, 10);
    while (driver_waiting (driver, 2)) {
        leat_batch_t batch = driver_expect_any_deliver (driver, 2);
        uint32_t skipped = batch.first ? 0 : 1;
        driver_settle (driver, 2, 1, batch.epoch, batch.first + skipped, batch.count - skipped,
                       LEAT_ACK);
    }
    s_restart (driver);
    leat_core_check (driver->core);
    assert_int_equal (driver_group (driver, "orders").ready, 1);
    assert_int_equal (driver_stream (driver, "orders").next_offset, COUNT);
    s_take_over (driver, 3);
    leat_batch_t batch = driver_expect_deliver (driver, 3, 1, 0, 1);
    driver_settle (driver, 3, 1, batch.epoch, 0, 1, LEAT_ACK);
    s_restart (driver);
    assert_int_equal (driver_group (driver, "orders").ready, 0);
    assert_int_equal (driver_stream (driver, "orders").held, 0);
    assert_int_equal (driver_stream (driver, "orders").next_offset, COUNT);
    driver_destroy (&driver);
}

/* Attempts, delays by the wall clock, suspects. */
static void test_marks (void **state)
{
    driver_t *driver = s_begin (NULL, 10);
    leat_batch_t batch = driver_expect_deliver (driver, 2, 1, 0, 10);
    leat_settle_entry_t entries[] = { { batch.epoch, 1, 1, 60000, LEAT_NACK },
                                      { batch.epoch, 2, 1, 2000, LEAT_NACK },
                                      { batch.epoch, 0, 1, 0, LEAT_ACK } };
    driver_settle_full (driver, 2, 1, entries, 3, 0, NULL);
    driver_lose (driver, 2); /* reported 3, so 3, 4 and 5 are suspects */
    assert_int_equal (driver_group (driver, "orders").suspect, 3);
    uint64_t wall_ms = driver->wall_ms;
    s_restart (driver);
    leat_group_statistics_t group = driver_group (driver, "orders");
    assert_int_equal (group.suspect, 3);
    assert_int_equal (group.delayed, 2);
    assert_int_equal (group.ready, 4);
    s_take_over (driver, 3);
    for (uint64_t offset = 3; offset <= 5; offset++) {
        batch = driver_expect_deliver (driver, 3, 1, offset, 1);
        assert_int_equal (batch.flags, LEAT_DELIVER_REDELIVERED);
        assert_int_equal (batch.attempt, 1);
        driver_expect_nothing (driver, 3);
        driver_settle (driver, 3, 1, batch.epoch, offset, 1, LEAT_ACK);
    }
    driver_expect_deliver (driver, 3, 1, 6, 4);
    driver_wait (driver, wall_ms + 1999 - driver->wall_ms);
    driver_expect_nothing (driver, 3);
    driver_wait (driver, 1);
    batch = driver_expect_deliver (driver, 3, 1, 2, 1);
    assert_int_equal (batch.attempt, 2);
    assert_int_equal (batch.flags, LEAT_DELIVER_REDELIVERED);
    /* The broker is away for longer than the delay. */
    s_restart (driver);
    driver->wall_ms = wall_ms + 60000;
    s_restart (driver);
    s_take_over (driver, 4);
    uint32_t found = 0;
    while (driver_waiting (driver, 4)) {
        batch = driver_expect_any_deliver (driver, 4);
        if (batch.first == 1 || batch.first == 2) {
            assert_int_equal (batch.attempt, 2);
            found++;
        }
    }
    assert_int_equal (found, 2);
    driver_destroy (&driver);
}

/* Lone deaths are counted over restarts of the broker. */
static void test_attempts_over_restarts (void **state)
{
    driver_t *driver = s_begin (NULL, 1);
    for (uint32_t attempt = 1; attempt <= 5; attempt++) {
        uint64_t peer = attempt == 1 ? 2 : 10 + attempt;
        if (attempt > 1)
            s_take_over (driver, peer);
        assert_int_equal (driver_expect_deliver (driver, peer, 1, 0, 1).attempt, attempt);
        driver_lose (driver, peer);
        s_restart (driver);
    }
    assert_int_equal (driver_group (driver, "orders").dead_lettered, 1);
    assert_int_equal (driver_stream (driver, "orders.dead").held, 1);
    assert_int_equal (driver_stream (driver, "orders").held, 0);
    driver_destroy (&driver);
}

/* Dead letters are dead and counted; parked ones stay parked, or go when there is room. */
static void test_dead_and_parked (void **state)
{
    leat_limits_t limits = driver_limits ();
    limits.dead_size = 2000;
    driver_t *driver = s_begin (&limits, 10);
    leat_batch_t batch = driver_expect_deliver (driver, 2, 1, 0, 10);
    leat_settle_entry_t all = { batch.epoch, 0, 6, 0, LEAT_REJECT };
    driver_settle_full (driver, 2, 1, &all, 1, 0, "bad");
    driver_settle (driver, 2, 1, batch.epoch, 6, 4, LEAT_ACK);
    leat_group_statistics_t before = driver_group (driver, "orders");
    assert_true (before.parked > 0 && before.dead_lettered > 0);
    s_restart (driver);
    leat_group_statistics_t group = driver_group (driver, "orders");
    assert_int_equal (group.parked, before.parked);
    assert_int_equal (group.dead_lettered, before.dead_lettered);
    assert_int_equal (group.ready, 0);
    s_take_over (driver, 3);
    driver_expect_nothing (driver, 3);
    driver->limits.dead_size = 1 << 20;
    s_restart (driver);
    group = driver_group (driver, "orders");
    assert_int_equal (group.parked, 0);
    assert_int_equal (group.dead_lettered, 6);
    assert_int_equal (driver_stream (driver, "orders.dead").held, 6);
    assert_int_equal (driver_stream (driver, "orders").held, 0);
    driver_destroy (&driver);
}

/* Groups begin where they began, with nothing that was before them. */
static void test_groups (void **state)
{
    driver_t *driver = s_begin (NULL, 10);
    leat_batch_t batch = driver_expect_deliver (driver, 2, 1, 0, 10);
    leat_command_t attach = driver_attach_command (2, "orders", "late", 100, 1);
    attach.attach.start = LEAT_START_OFFSET;
    attach.attach.start_value = 4;
    driver_send (driver, 2, &attach);
    driver_expect (driver, 2, LEAT_ATTACHED);
    driver_expect_deliver (driver, 2, 2, 4, 6);
    driver_settle (driver, 2, 1, batch.epoch, 0, 10, LEAT_ACK);
    s_restart (driver);
    driver_hello (driver, 3, "taker");
    attach = driver_attach_command (2, "orders", "late", 100, 1);
    driver_send (driver, 3, &attach);
    driver_expect (driver, 3, LEAT_ATTACHED);
    batch = driver_expect_deliver (driver, 3, 2, 4, 6);
    driver_settle (driver, 3, 2, batch.epoch, 4, 6, LEAT_ACK);
    assert_int_equal (driver_stream (driver, "orders").held, 0);
    driver_destroy (&driver);
}

/* A settle and a new group cross each other on their way to the store. */
static void test_group_beside_trim (void **state)
{
    for (int order = 0; order < 2; order++) {
        driver_t *driver = s_begin (NULL, 10);
        driver_publish (driver, 1, 1, 11, 10);
        driver_publish (driver, 1, 1, 21, 10);
        leat_batch_t batches[3];
        for (uint64_t i = 0; i < 3; i++)
            batches[i] = driver_expect_deliver (driver, 2, 1, i * 10, 10);
        leat_command_t attach = driver_attach_command (2, "orders", "late", 100, 1);
        driver_settle (driver, 2, 1, batches[1].epoch, 10, 10, LEAT_ACK);
        if (order)
            driver_wait (driver, 100);
        driver_send (driver, 2, &attach);
        driver_expect (driver, 2, LEAT_ATTACHED);
        driver_expect_deliver (driver, 2, 2, 0, 10);
        driver_expect_deliver (driver, 2, 2, 20, 10);
        s_restart (driver);
        driver_hello (driver, 3, "taker");
        driver_send (driver, 3, &attach);
        driver_expect (driver, 3, LEAT_ATTACHED);
        driver_expect_deliver (driver, 3, 2, 0, 10);
        driver_expect_deliver (driver, 3, 2, 20, 10);
        driver_expect_nothing (driver, 3);
        driver_destroy (&driver);
    }
}

/* The broker dies before settles were committed: the records come again. */
static void test_uncommitted_settles_come_again (void **state)
{
    driver_t *driver = s_begin (NULL, 10);
    leat_batch_t batch = driver_expect_deliver (driver, 2, 1, 0, 10);
    driver_settle (driver, 2, 1, batch.epoch, 0, 10, LEAT_ACK);
    driver_restart (driver);
    s_take_over (driver, 3);
    driver_expect_deliver (driver, 3, 1, 0, 10);
    driver_destroy (&driver);
}

/* A batch is trimmed once at the store, whether or not the broker restarts in between. */
static void test_trims_are_written_once (void **state)
{
    driver_t *driver = s_begin (NULL, 10);
    leat_batch_t batch = driver_expect_deliver (driver, 2, 1, 0, 10);
    driver_settle (driver, 2, 1, batch.epoch, 0, 10, LEAT_ACK);
    s_restart (driver);
    driver_wait (driver, 1000);
    driver_publish (driver, 1, 1, 11, 1);
    s_restart (driver);
    driver_wait (driver, 1000);
    uint32_t trims = 0;
    for (size_t i = 0; i < driver->kept_count; i++) {
        leat_commit_reader_t reader;
        assert_int_equal (leat_commit_read (&reader, driver->kept[i]), LEAT_OK);
        while (reader.left) {
            leat_operation_t operation;
            assert_int_equal (leat_commit_read_operation (&reader, &operation), LEAT_OK);
            trims += operation.id == LEAT_OPERATION_TRIM;
        }
    }
    assert_int_equal (trims, 1);
    driver_destroy (&driver);
}

/* ---- rubbish --------------------------------------------------------------------------------- */

static leat_operation_t s_stream_operation (uint32_t id, const char *name)
{
    leat_operation_t operation = { .id = LEAT_OPERATION_STREAM_CREATED };
    operation.stream_created.stream = id;
    operation.stream_created.stream_name = leat_text (name);
    operation.stream_created.durability = LEAT_SYNC;
    return operation;
}

static leat_operation_t s_append_operation (leat_buffer_t *body, uint64_t first, uint32_t count)
{
    leat_operation_t operation = { .id = LEAT_OPERATION_APPEND };
    operation.append.stream = 1;
    operation.append.first = first;
    operation.append.count = count;
    operation.append.crc32c = leat_crc32c (leat_buffer_bytes (body), leat_buffer_size (body));
    operation.append.body = (leat_slice_t){ body, 0, leat_buffer_size (body) };
    return operation;
}

static leat_operation_t s_group_operation (uint64_t first)
{
    leat_operation_t operation = { .id = LEAT_OPERATION_GROUP_CREATED };
    operation.group_created.stream = 1;
    operation.group_created.group = 1;
    operation.group_created.group_name = leat_text ("default");
    operation.group_created.first = first;
    return operation;
}

static void s_expect_malformed (driver_t *driver, const leat_operation_t *operations, size_t count)
{
    driver_keep (driver, operations, count);
    assert_int_equal (driver_recover (driver), LEAT_MALFORMED);
    leat_buffer_release (&driver->kept[--driver->kept_count]);
}

static void test_contradictions (void **state)
{
    driver_t *driver = driver_new (NULL);
    leat_buffer_t *body = driver_body (driver, 1, 3);
    leat_operation_t good[] = { s_stream_operation (1, "orders"), s_group_operation (0),
                                s_append_operation (body, 0, 3) };
    driver_keep (driver, good, 3);
    assert_int_equal (driver_recover (driver), LEAT_OK);
    leat_operation_t wrong[] = { s_stream_operation (1, "other"),
                                 s_stream_operation (2, "orders"),
                                 s_stream_operation (0, "zero"),
                                 s_stream_operation (3, "a b"),
                                 s_group_operation (0),
                                 s_append_operation (body, 2, 3),
                                 s_append_operation (body, 3, 2),
                                 s_append_operation (body, 3, 0),
                                 s_append_operation (body, UINT64_MAX - 1, 3) };
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++)
        s_expect_malformed (driver, &wrong[i], 1);
    leat_operation_t operation = s_append_operation (body, 3, 3);
    operation.append.crc32c++;
    s_expect_malformed (driver, &operation, 1);
    operation = s_append_operation (body, 3, 3);
    operation.append.stream = 9;
    s_expect_malformed (driver, &operation, 1);
    operation = (leat_operation_t){ .id = LEAT_OPERATION_FLOOR, .floor = { 1, 9, 1 } };
    s_expect_malformed (driver, &operation, 1);
    operation.floor.group = 1;
    operation.floor.first = UINT64_MAX;
    s_expect_malformed (driver, &operation, 1);
    operation = (leat_operation_t){ .id = LEAT_OPERATION_CHUNK };
    operation.chunk.stream = 1;
    operation.chunk.group = 1;
    operation.chunk.settled = (leat_text_t){ "\x08", 1 }; /* record 3 does not exist */
    s_expect_malformed (driver, &operation, 1);
    operation.chunk.settled.size = 0;
    operation.chunk.whole = 1;
    s_expect_malformed (driver, &operation, 1);
    operation.chunk.chunk = UINT64_MAX;
    s_expect_malformed (driver, &operation, 1);
    operation = (leat_operation_t){ .id = LEAT_OPERATION_TRIM, .trim = { 1, 0, 3 } };
    s_expect_malformed (driver, &operation, 1); /* nobody has settled it */
    operation = (leat_operation_t){ .id = LEAT_OPERATION_ATTEMPTS, .attempts = { 1, 1, 3, 1, 0 } };
    s_expect_malformed (driver, &operation, 1);
    operation = (leat_operation_t){ .id = LEAT_OPERATION_DEAD };
    operation.dead.stream = 1;
    operation.dead.group = 1;
    operation.dead.offset = 3;
    s_expect_malformed (driver, &operation, 1);
    assert_int_equal (driver_recover (driver), LEAT_OK);
    leat_buffer_release (&body);
    driver_destroy (&driver);
}

/* A store that has an id twice, is cut, or has other bytes behind. */
static void test_damaged (void **state)
{
    driver_t *driver = driver_new (NULL);
    leat_operation_t operation = s_stream_operation (1, "orders");
    driver_keep (driver, &operation, 1);
    driver->kept[1] = leat_buffer_hold (driver->kept[0]);
    driver->kept_count = 2;
    assert_int_equal (driver_recover (driver), LEAT_MALFORMED);
    leat_buffer_release (&driver->kept[1]);
    size_t size = leat_buffer_size (driver->kept[0]);
    for (size_t cut = 0; cut < size; cut++) {
        driver->kept_count = 1;
        leat_buffer_t *whole = driver->kept[0];
        driver->kept[0] = leat_buffer_copy (leat_buffer_bytes (whole), cut);
        assert_int_not_equal (driver_recover (driver), LEAT_OK);
        leat_buffer_release (&driver->kept[0]);
        driver->kept[0] = whole;
    }
    driver_destroy (&driver);
}

/* A group that began with a whole batch gets all of it, although the commits say first that another
 * group has settled most, and memory is short. */
static void test_late_group_and_short_memory (void **state)
{
    leat_limits_t limits = driver_limits ();
    limits.record_size = 60000;
    limits.batch_size = 60008;
    limits.stream_size = 61000;
    limits.memory_size = 100000;
    driver_t *driver = driver_new (&limits);
    driver->record_size = 500;
    leat_buffer_t *body = driver_body (driver, 1, 100);
    leat_operation_t first[] = { s_stream_operation (1, "orders"), s_group_operation (0),
                                 s_append_operation (body, 0, 100) };
    first[1].group_created.group = 2;
    first[1].group_created.group_name = leat_text ("first");
    leat_operation_t most = { .id = LEAT_OPERATION_CHUNK };
    most.chunk.stream = 1;
    most.chunk.group = 2;
    most.chunk.settled = (leat_text_t){ "\xfe\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\x7f", 12 };
    leat_operation_t late = s_group_operation (0);
    driver_keep (driver, first, 3);
    driver_keep (driver, &most, 1);
    driver_keep (driver, &late, 1);
    driver_restart (driver);
    s_take_over (driver, 2);
    driver_expect_deliver (driver, 2, 1, 0, 100);
    leat_command_t attach = driver_attach_command (2, "orders", "first", 100, 1);
    driver_send (driver, 2, &attach);
    driver_expect (driver, 2, LEAT_ATTACHED);
    driver_expect_deliver (driver, 2, 2, 0, 1);
    driver_expect_deliver (driver, 2, 2, 95, 5);
    leat_buffer_release (&body);
    driver_destroy (&driver);
}

/* Offsets that no batch holds, though nothing says that they are settled: nobody gets them, and
 * nothing falls over them. */
static void test_holes (void **state)
{
    driver_t *driver = driver_new (NULL);
    leat_buffer_t *body = driver_body (driver, 101, 3);
    leat_operation_t operations[] = { s_stream_operation (1, "orders"), s_group_operation (0),
                                      s_append_operation (body, 100, 3) };
    driver_keep (driver, operations, 3);
    driver_restart (driver);
    s_take_over (driver, 2);
    driver_expect_deliver (driver, 2, 1, 100, 3);
    driver_expect_nothing (driver, 2);
    leat_buffer_release (&body);
    driver_destroy (&driver);
}

int main (void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test (test_sequences),
        cmocka_unit_test (test_settled_chunks),
        cmocka_unit_test (test_whole_chunk),
        cmocka_unit_test (test_marks),
        cmocka_unit_test (test_attempts_over_restarts),
        cmocka_unit_test (test_dead_and_parked),
        cmocka_unit_test (test_groups),
        cmocka_unit_test (test_group_beside_trim),
        cmocka_unit_test (test_uncommitted_settles_come_again),
        cmocka_unit_test (test_trims_are_written_once),
        cmocka_unit_test (test_contradictions),
        cmocka_unit_test (test_damaged),
        cmocka_unit_test (test_late_group_and_short_memory),
        cmocka_unit_test (test_holes),
    };
    return cmocka_run_group_tests (tests, NULL, NULL);
}

/* Applying commits: twice does no harm, and what is gone leaves nothing behind.
 * SPDX-License-Identifier: MPL-2.0 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>

#include "broker/store/apply.h"
#include "tests/system/store/memory_rows.h"
#include "tests/system/store/workload.h"

enum { COMMITS = 400, SEEDS = 10 };

/* A log may be applied again from any point: it leads to the same state. */
static void test_again (void **state)
{
    leat_commit_t *log[COMMITS];
    bool refused[COMMITS];
    for (uint64_t seed = 1; seed <= SEEDS; seed++) {
        workload_t *load = workload_new (seed);
        for (uint64_t i = 0; i < COMMITS; i++)
            log[i] = workload_next (load, i + 1, &refused[i]);
        uint64_t digest = workload_digest (load);
        uint64_t random = seed;
        for (uint64_t i = workload_random (&random, COMMITS); i < COMMITS; i++)
            if (!refused[i])
                workload_apply (load, log[i]);
        assert_true (workload_digest (load) == digest);
        for (uint64_t i = 0; i < COMMITS; i++)
            leat_commit_destroy (&log[i]);
        workload_destroy (&load);
    }
}

static leat_apply_result_t s_apply (leat_apply_t *apply, const leat_operation_t *operations)
{
    leat_apply_result_t result = LEAT_APPLY_OK;
    for (; operations->id && !result; operations++)
        result = leat_apply (apply, operations);
    if (!result)
        result = leat_apply_finish (apply);
    leat_apply_committed (apply);
    return result;
}

/* What a stream is set to replaces what it was created with; what it is called stays. */
static void test_stream_set (void **state)
{
    memory_rows_t *memory = memory_rows_new ();
    leat_rows_t *rows = memory_rows_base (memory);
    leat_apply_t *apply = leat_apply_new (rows);
    leat_operation_t operations[3] = {
        { .id = LEAT_OPERATION_STREAM_CREATED,
          .stream_created = { .stream = 1,
                              .stream_name = leat_text ("corn"),
                              .durability = LEAT_SYNC,
                              .max_attempts = 5 } },
        { .id = LEAT_OPERATION_STREAM_SET,
          .stream_set = { .stream = 1,
                          .durability = LEAT_ASYNC,
                          .max_processing_ms = 7000,
                          .dead_size = 9 } },
    };
    assert_int_equal (s_apply (apply, operations), LEAT_APPLY_OK);
    leat_value_t value;
    leat_key_t key = leat_key_place ('S', 1);
    leat_operation_stream_created_t row = { 0 };
    uint32_t place;
    assert_int_equal (leat_rows_get (rows, &key, &value), LEAT_ROWS_OK);
    assert_true (leat_value_get_stream (&value, 1, &place, &row));
    assert_true (leat_text_equal (row.stream_name, leat_text ("corn")));
    assert_int_equal (row.durability, LEAT_ASYNC);
    assert_int_equal (row.max_processing_ms, 7000);
    assert_int_equal (row.max_attempts, 0);
    assert_int_equal (row.dead_size, 9);
    leat_operation_t unknown[2] = { { .id = LEAT_OPERATION_STREAM_SET, .stream_set.stream = 2 } };
    assert_int_equal (s_apply (apply, unknown), LEAT_APPLY_REFUSED);
    leat_apply_destroy (&apply);
    memory_rows_destroy (&memory);
}

/* A stream with everything is deleted: only what is said once is left. */
static void test_nothing_is_left (void **state)
{
    memory_rows_t *memory = memory_rows_new ();
    leat_rows_t *rows = memory_rows_base (memory);
    leat_apply_t *apply = leat_apply_new (rows);
    leat_buffer_t *body = leat_buffer_copy ("x", 1);
    leat_operation_t operations[9] = { { 0 } };
    operations[7].id = LEAT_OPERATION_RESERVED;
    operations[7].reserved.stream = 1;
    operations[0].id = LEAT_OPERATION_STREAM_CREATED;
    operations[0].stream_created.stream = 1;
    operations[0].stream_created.stream_name = leat_text ("corn");
    operations[0].stream_created.durability = LEAT_ASYNC;
    operations[1].id = LEAT_OPERATION_GROUP_CREATED;
    operations[1].group_created.stream = 1;
    operations[1].group_created.group = 2;
    operations[1].group_created.group_name = leat_text ("millers");
    operations[2].id = LEAT_OPERATION_APPEND;
    operations[2].append.stream = 1;
    operations[2].append.count = 100;
    operations[2].append.body = (leat_slice_t){ body, 0, 1 };
    operations[3].id = LEAT_OPERATION_SEQUENCE;
    operations[3].sequence.stream = 1;
    operations[3].sequence.identity = leat_text ("ann");
    operations[4].id = LEAT_OPERATION_FLOOR;
    operations[4].floor.stream = 1;
    operations[4].floor.group = 2;
    operations[4].floor.first = 5;
    operations[5].id = LEAT_OPERATION_CHUNK;
    operations[5].chunk.stream = 1;
    operations[5].chunk.group = 2;
    operations[5].chunk.settled = (leat_text_t){ "\x01", 1 };
    operations[6].id = LEAT_OPERATION_DELAY;
    operations[6].delay.stream = 1;
    operations[6].delay.group = 2;
    operations[6].delay.offset = 50;
    assert_int_equal (s_apply (apply, operations), LEAT_APPLY_OK);
    leat_operation_t deleted[2] = { { .id = LEAT_OPERATION_STREAM_DELETED }, { 0 } };
    deleted[0].stream_deleted.stream = 1;
    assert_int_equal (s_apply (apply, deleted), LEAT_APPLY_OK);
    leat_key_t from = leat_key (0);
    leat_key_t to = leat_key ('z');
    leat_key_t key;
    leat_key_t places = leat_key_meta (LEAT_META_PLACES);
    const uint8_t *value;
    size_t size;
    assert_int_equal (rows->next (rows, &from, &to, &key, &value, &size), LEAT_ROWS_OK);
    assert_int_equal (key.size, places.size);
    assert_memory_equal (key.bytes, places.bytes, key.size);
    from = leat_key_behind (&key);
    assert_int_equal (rows->next (rows, &from, &to, &key, &value, &size), LEAT_ROWS_NONE);
    leat_buffer_release (&body);
    leat_apply_destroy (&apply);
    memory_rows_destroy (&memory);
}

/* A value that was changed, or stands under another key, is not taken. */
static void test_rows_know_their_keys (void **state)
{
    memory_rows_t *memory = memory_rows_new ();
    leat_rows_t *rows = memory_rows_base (memory);
    leat_extent_t extent = { 1, 2, 3, 4 };
    leat_extent_t read;
    assert_int_equal (leat_rows_put_extent (rows, 5, &extent), LEAT_ROWS_OK);
    assert_int_equal (leat_rows_extent (rows, 5, &read), LEAT_ROWS_OK);
    assert_true (read.first == 1 && read.next == 2 && read.records == 3 && read.size == 4);
    assert_int_equal (leat_rows_extent (rows, 6, &read), LEAT_ROWS_NONE);
    leat_key_t key = leat_key_place ('X', 5);
    leat_key_t other = leat_key_place ('X', 6);
    const uint8_t *value;
    uint8_t *copy;
    size_t size;
    assert_int_equal (rows->get (rows, &key, &value, &size), LEAT_ROWS_OK);
    assert_int_equal (rows->put (rows, &other, &copy, size), LEAT_ROWS_OK);
    for (size_t i = 0; i < size; i++)
        copy[i] = value[i];
    assert_int_equal (leat_rows_extent (rows, 6, &read), LEAT_ROWS_DAMAGED);
    for (size_t i = 0; i < size * 8; i++) {
        ((uint8_t *) value)[i / 8] ^= (uint8_t) (1u << (i % 8));
        assert_int_equal (leat_rows_extent (rows, 5, &read), LEAT_ROWS_DAMAGED);
        ((uint8_t *) value)[i / 8] ^= (uint8_t) (1u << (i % 8));
    }
    assert_int_equal (leat_rows_extent (rows, 5, &read), LEAT_ROWS_OK);
    memory_rows_destroy (&memory);
}

/* The same order as the numbers have. */
static void test_keys_order (void **state)
{
    leat_key_t low = leat_key_numbered ('B', 1, 255);
    leat_key_t high = leat_key_numbered ('B', 1, 256);
    assert_true (memcmp (low.bytes, high.bytes, low.size) < 0);
    assert_true (leat_key_get_u64 (&high, 5) == 256 && leat_key_get_u32 (&high, 1) == 1);
    leat_key_t all = leat_key_place ('B', UINT32_MAX);
    leat_key_t behind = leat_key_behind (&all);
    assert_int_equal (behind.size, 1);
    assert_int_equal (behind.bytes[0], 'C');
}

int main (void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test (test_again),           cmocka_unit_test (test_stream_set),
        cmocka_unit_test (test_nothing_is_left), cmocka_unit_test (test_rows_know_their_keys),
        cmocka_unit_test (test_keys_order),
    };
    return cmocka_run_group_tests (tests, NULL, NULL);
}

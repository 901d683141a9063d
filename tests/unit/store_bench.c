/* What the suite of all store engines is written with.
 * SPDX-License-Identifier: MPL-2.0 */
#include "tests/unit/store_bench.h"

#include <poll.h>
#include <stdlib.h>
#include <string.h>

#include "wire/crc32c.h"

void bench_open (bench_t *bench)
{
    char error[200] = "";
    bench->store = leat_store_open (bench->subject->engine, &bench->options, error, sizeof error);
    if (!bench->store)
        fail_msg ("open: %s", error);
}

void bench_acquire (bench_t *bench, uint64_t wall_ms)
{
    char error[200] = "";
    bench->next_id = 1;
    if (leat_store_acquire (bench->store, wall_ms, &bench->incarnation, error, sizeof error))
        fail_msg ("acquire: %s", error);
}

static bool s_collect (void *arg, leat_buffer_t *buffer)
{
    recovered_t *recovered = arg;
    leat_commit_reader_t reader;
    leat_operation_t operation;
    assert_int_equal (leat_commit_read (&reader, buffer), LEAT_OK);
    while (reader.left) {
        assert_int_equal (leat_commit_read_operation (&reader, &operation), LEAT_OK);
        if (operation.id == LEAT_OPERATION_EXTENT) {
            recovered->extents++;
            recovered->extent = operation.extent;
        }
        if (operation.id != LEAT_OPERATION_APPEND)
            continue;
        leat_slice_t body = operation.append.body;
        assert_true (recovered->size + body.size <= sizeof recovered->bytes);
        memcpy (recovered->bytes + recovered->size, leat_slice_bytes (body), body.size);
        recovered->size += body.size;
    }
    assert_int_equal (leat_commit_read_end (&reader), LEAT_OK);
    return true;
}

/* From batch to batch; the extent must tell how much it is. */
static void s_read_all (bench_t *bench, recovered_t *recovered)
{
    uint64_t offset = recovered->extent.first;
    uint64_t records = 0;
    for (;;) {
        assert_true (leat_store_read (bench->store, recovered->extent.stream, offset, 1, offset));
        leat_store_event_t event = bench_next (bench);
        assert_int_equal (event.kind, LEAT_STORE_READ);
        assert_true (event.id == offset);
        assert_int_equal (event.code, LEAT_OK);
        if (!event.batch.count)
            break;
        assert_true (event.batch.first >= offset);
        assert_true (records || event.batch.first == offset);
        size_t size = leat_buffer_size (event.body);
        assert_true (recovered->size + size <= sizeof recovered->bytes);
        memcpy (recovered->bytes + recovered->size, leat_buffer_bytes (event.body), size);
        recovered->size += size;
        records += event.batch.count;
        offset = event.batch.first + event.batch.count;
        leat_buffer_release (&event.body);
    }
    assert_true (recovered->extent.records == records);
    assert_true (recovered->extent.size == recovered->size);
    assert_true (recovered->extent.next >= offset);
}

void bench_recover (bench_t *bench, recovered_t *recovered)
{
    char error[200] = "";
    *recovered = (recovered_t){ 0 };
    if (leat_store_recover (bench->store, s_collect, recovered, error, sizeof error))
        fail_msg ("recover: %s", error);
    if (bench->subject->engine->reads && recovered->extents)
        s_read_all (bench, recovered);
}

void bench_begin (bench_t *bench, const store_subject_t *subject)
{
    recovered_t recovered;
    *bench = (bench_t){ .subject = subject };
    bench->options.path = subject->place ? subject->place () : NULL;
    bench->options.commit_size_max = COMMIT_SIZE_MAX;
    bench->options.size_max = UINT64_C (1) << 30; /* valgrind has no room for what is usual */
    bench_open (bench);
    bench_acquire (bench, NOW_MS);
    bench_recover (bench, &recovered);
    assert_int_equal (recovered.size, 0);
}

static void s_count_free (void *hint)
{
    ++*(int *) hint;
}

/* A commit that makes the stream, if it is the first, and appends one batch with `text` as body. */
leat_commit_t *bench_commit (bench_t *bench, uint32_t chain, uint64_t offset, char *text,
                             size_t size)
{
    leat_commit_t *commit = leat_commit_new (bench->next_id++, chain);
    leat_operation_t operation = { .id = LEAT_OPERATION_STREAM_CREATED };
    if (offset == 0) {
        operation.stream_created.stream = STREAM;
        operation.stream_created.stream_name = leat_text ("corn");
        operation.stream_created.durability = LEAT_SYNC;
        leat_commit_add (commit, &operation);
    }
    leat_buffer_t *body = leat_buffer_wrap (text, size, s_count_free, &bench->freed);
    operation = (leat_operation_t){ .id = LEAT_OPERATION_APPEND };
    operation.append.stream = STREAM;
    operation.append.first = offset;
    operation.append.count = 1;
    operation.append.crc32c = leat_crc32c (text, size);
    operation.append.body = (leat_slice_t){ body, 0, size };
    leat_commit_add (commit, &operation);
    leat_buffer_release (&body);
    return commit;
}

void bench_submit (bench_t *bench, uint32_t chain, uint64_t offset, char *text)
{
    leat_commit_t *commit = bench_commit (bench, chain, offset, text, strlen (text));
    leat_store_submit (bench->store, &commit);
    assert_null (commit);
}

void bench_submit_too_large (bench_t *bench, uint32_t chain, uint64_t offset)
{
    static char large[COMMIT_SIZE_MAX];
    leat_commit_t *commit = bench_commit (bench, chain, offset, large, sizeof large);
    leat_store_submit (bench->store, &commit);
}

/* Waits for the next event as the broker does. */
leat_store_event_t bench_next (bench_t *bench)
{
    leat_store_event_t event;
    for (;;) {
        if (leat_store_poll (bench->store, &event))
            return event;
        if (!leat_store_sleep (bench->store))
            continue;
        struct pollfd item = { .fd = leat_store_fd (bench->store), .events = POLLIN };
        assert_true (item.fd >= 0);
        assert_int_equal (poll (&item, 1, 10000), 1);
    }
}

void bench_expect (bench_t *bench, uint64_t id, leat_commit_result_t result)
{
    leat_store_event_t event = bench_next (bench);
    assert_int_equal (event.kind, LEAT_STORE_COMMITTED);
    assert_true (event.id == id);
    assert_int_equal (event.result, result);
    assert_true ((event.result != LEAT_COMMIT_OK) == (event.reason != NULL));
}

void bench_expect_nothing (bench_t *bench)
{
    leat_store_event_t event;
    assert_false (leat_store_poll (bench->store, &event));
    assert_true (leat_store_sleep (bench->store));
    assert_false (leat_store_poll (bench->store, &event));
}

/* Closes and opens again: what is there? */
void bench_reopen (bench_t *bench, recovered_t *recovered)
{
    leat_store_close (&bench->store);
    assert_null (bench->store);
    bench_open (bench);
    bench_acquire (bench, NOW_MS);
    bench_recover (bench, recovered);
    if (!bench->subject->engine->recovers)
        assert_int_equal (recovered->size, 0);
}

void bench_expect_recovered (const bench_t *bench, const recovered_t *recovered, const char *text)
{
    if (!bench->subject->engine->recovers)
        return;
    assert_int_equal (recovered->size, strlen (text));
    assert_memory_equal (recovered->bytes, text, recovered->size);
}

void bench_do (bench_t *bench, const leat_operation_t *operations)
{
    leat_commit_t *commit = leat_commit_new (bench->next_id++, 0);
    for (; operations->id; operations++)
        leat_commit_add (commit, operations);
    leat_store_submit (bench->store, &commit);
    bench_expect (bench, bench->next_id - 1, LEAT_COMMIT_OK);
}

void bench_expect_read (bench_t *bench, uint64_t token, uint64_t first, const char *text)
{
    leat_store_event_t event = bench_next (bench);
    assert_int_equal (event.kind, LEAT_STORE_READ);
    assert_int_equal (event.id, token);
    assert_int_equal (event.code, LEAT_OK);
    assert_true (event.batch.first == first);
    assert_int_equal (leat_buffer_size (event.body), strlen (text));
    assert_memory_equal (leat_buffer_bytes (event.body), text, strlen (text));
    assert_int_equal (event.batch.crc32c, leat_crc32c (text, strlen (text)));
    leat_buffer_release (&event.body);
}

void bench_expect_no_read (bench_t *bench, uint64_t token, leat_code_t code)
{
    leat_store_event_t event = bench_next (bench);
    assert_int_equal (event.kind, LEAT_STORE_READ);
    assert_int_equal (event.id, token);
    assert_int_equal (event.code, code);
    assert_int_equal (event.batch.count, 0);
    assert_null (event.body);
}

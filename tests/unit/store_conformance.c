/* The promises of broker/store/store.h, one test each.
 * SPDX-License-Identifier: MPL-2.0 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <poll.h>
#include <stdlib.h>
#include <string.h>

#include "tests/unit/store_conformance.h"
#include "wire/alloc.h"

enum { COMMIT_SIZE_MAX = 65536, STREAM = 7, NOW_MS = 1700000000 };

typedef struct {
    const store_subject_t *subject;
    leat_store_options_t options;
    leat_store_t *store;
    uint64_t incarnation;
    uint64_t next_id;
    int freed; /* bodies */
} bench_t;

/* What recovery gave: the appended records' bytes, one body after the other. */
typedef struct {
    char bytes[4096];
    size_t size;
} recovered_t;

/* ---- tools ----------------------------------------------------------------------------------- */

static void s_open (bench_t *bench)
{
    char error[200] = "";
    bench->store = leat_store_open (bench->subject->engine, &bench->options, error, sizeof error);
    if (!bench->store)
        fail_msg ("open: %s", error);
}

static void s_acquire (bench_t *bench, uint64_t wall_ms)
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

static void s_recover (bench_t *bench, recovered_t *recovered)
{
    char error[200] = "";
    recovered->size = 0;
    if (leat_store_recover (bench->store, s_collect, recovered, error, sizeof error))
        fail_msg ("recover: %s", error);
}

static void s_begin (bench_t *bench, const store_subject_t *subject)
{
    recovered_t recovered;
    *bench = (bench_t){ .subject = subject };
    bench->options.path = subject->place ? subject->place () : NULL;
    bench->options.commit_size_max = COMMIT_SIZE_MAX;
    s_open (bench);
    s_acquire (bench, NOW_MS);
    s_recover (bench, &recovered);
    assert_int_equal (recovered.size, 0);
}

static void s_count_free (void *hint)
{
    ++*(int *) hint;
}

/* A commit that makes the stream, if it is the first, and appends one batch with `text` as body. */
static leat_commit_t *s_commit (bench_t *bench, uint32_t chain, uint64_t offset, char *text,
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
    operation.append.body = (leat_slice_t){ body, 0, size };
    leat_commit_add (commit, &operation);
    leat_buffer_release (&body);
    return commit;
}

static void s_submit (bench_t *bench, uint32_t chain, uint64_t offset, char *text)
{
    leat_commit_t *commit = s_commit (bench, chain, offset, text, strlen (text));
    leat_store_submit (bench->store, &commit);
    assert_null (commit);
}

static void s_submit_too_large (bench_t *bench, uint32_t chain, uint64_t offset)
{
    static char large[COMMIT_SIZE_MAX];
    leat_commit_t *commit = s_commit (bench, chain, offset, large, sizeof large);
    leat_store_submit (bench->store, &commit);
}

/* Waits for the next event as the broker does. */
static leat_store_event_t s_next (bench_t *bench)
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

static void s_expect (bench_t *bench, uint64_t id, leat_commit_result_t result)
{
    leat_store_event_t event = s_next (bench);
    assert_int_equal (event.kind, LEAT_STORE_COMMITTED);
    assert_true (event.id == id);
    assert_int_equal (event.result, result);
    assert_true ((event.result != LEAT_COMMIT_OK) == (event.reason != NULL));
}

static void s_expect_nothing (bench_t *bench)
{
    leat_store_event_t event;
    assert_false (leat_store_poll (bench->store, &event));
    assert_true (leat_store_sleep (bench->store));
    assert_false (leat_store_poll (bench->store, &event));
}

/* Closes and opens again: what is there? */
static void s_reopen (bench_t *bench, recovered_t *recovered)
{
    leat_store_close (&bench->store);
    assert_null (bench->store);
    s_open (bench);
    s_acquire (bench, NOW_MS);
    s_recover (bench, recovered);
    if (!bench->subject->engine->recovers)
        assert_int_equal (recovered->size, 0);
}

static void s_expect_recovered (const bench_t *bench, const recovered_t *recovered,
                                const char *text)
{
    if (!bench->subject->engine->recovers)
        return;
    assert_int_equal (recovered->size, strlen (text));
    assert_memory_equal (recovered->bytes, text, recovered->size);
}

/* ---- the promises ---------------------------------------------------------------------------- */

static void test_commits_end_once_and_in_order (void **state)
{
    bench_t bench;
    recovered_t recovered;
    char texts[][8] = { "wheat", "rye", "oats", "barley" };
    s_begin (&bench, *state);
    s_expect_nothing (&bench);
    for (unsigned index = 0; index < 4; index++)
        s_submit (&bench, 0, index, texts[index]);
    for (uint64_t id = 1; id <= 4; id++)
        s_expect (&bench, id, LEAT_COMMIT_OK);
    s_expect_nothing (&bench);
    s_reopen (&bench, &recovered);
    s_expect_recovered (&bench, &recovered, "wheatryeoatsbarley");
    leat_store_close (&bench.store);
}

static void test_bodies_are_held_until_the_event (void **state)
{
    bench_t bench;
    char text[] = "wheat";
    s_begin (&bench, *state);
    s_submit (&bench, 0, 0, text);
    assert_int_equal (bench.freed, 0);
    s_expect (&bench, 1, LEAT_COMMIT_OK);
    assert_int_equal (bench.freed, 1);
    s_submit_too_large (&bench, 0, 1);
    s_expect (&bench, 2, LEAT_COMMIT_REFUSED);
    assert_int_equal (bench.freed, 2);
    /* What nobody polled is freed with the store. */
    s_submit (&bench, 1, 1, text);
    leat_store_close (&bench.store);
    assert_int_equal (bench.freed, 3);
}

static void test_a_refusal_takes_its_chain_along (void **state)
{
    bench_t bench;
    recovered_t recovered;
    char texts[][8] = { "wheat", "rye", "oats", "barley", "spelt" };
    s_begin (&bench, *state);
    assert_true (leat_store_commit_size_max (bench.store) == COMMIT_SIZE_MAX);
    s_submit (&bench, 3, 0, texts[0]);
    s_submit_too_large (&bench, 3, 1);
    s_submit (&bench, 3, 2, texts[1]);
    s_submit (&bench, 3, 3, texts[2]);
    s_submit (&bench, 4, 1, texts[3]);
    s_expect (&bench, 1, LEAT_COMMIT_OK);
    s_expect (&bench, 2, LEAT_COMMIT_REFUSED);
    s_expect (&bench, 3, LEAT_COMMIT_REFUSED);
    s_expect (&bench, 4, LEAT_COMMIT_REFUSED);
    s_expect (&bench, 5, LEAT_COMMIT_OK);
    /* The refused chain may be refused again, and a third one begins clean. */
    s_submit_too_large (&bench, 4, 2);
    s_submit (&bench, 5, 2, texts[4]);
    s_expect (&bench, 6, LEAT_COMMIT_REFUSED);
    s_expect (&bench, 7, LEAT_COMMIT_OK);
    s_reopen (&bench, &recovered);
    s_expect_recovered (&bench, &recovered, "wheatbarleyspelt");
    leat_store_close (&bench.store);
}

static void test_stats_count_what_happened (void **state)
{
    bench_t bench;
    leat_store_stats_t stats;
    char text[] = "wheat";
    s_begin (&bench, *state);
    leat_store_stats (bench.store, &stats);
    assert_true (stats.commits == 0 && stats.commits_refused == 0 && stats.commit_bytes == 0);
    leat_commit_t *commit = s_commit (&bench, 0, 0, text, sizeof text);
    size_t size = leat_commit_size (commit);
    leat_store_submit (bench.store, &commit);
    s_submit_too_large (&bench, 0, 1);
    s_expect (&bench, 1, LEAT_COMMIT_OK);
    s_expect (&bench, 2, LEAT_COMMIT_REFUSED);
    leat_store_stats (bench.store, &stats);
    assert_true (stats.commits == 1);
    assert_true (stats.commits_refused == 1);
    assert_true (stats.commits_lost == 0);
    assert_true (stats.commit_bytes == size);
    assert_true (stats.transactions >= 1);
    leat_store_space_t space;
    leat_store_space (bench.store, &space);
    assert_false (space.reserved);
    assert_true (space.total_size == 0 || space.used_size <= space.total_size);
    leat_store_close (&bench.store);
}

static void test_incarnations_grow (void **state)
{
    bench_t bench;
    recovered_t recovered;
    s_begin (&bench, *state);
    uint64_t first = bench.incarnation;
    assert_true (first >= NOW_MS);
    s_acquire (&bench, NOW_MS);
    s_recover (&bench, &recovered);
    uint64_t second = bench.incarnation;
    assert_true (second > first);
    /* The clock goes back. */
    s_acquire (&bench, NOW_MS - 100000);
    assert_true (bench.incarnation > second);
    /* Epochs ran ahead of the clock. */
    leat_store_release (bench.store, NOW_MS + 5000);
    s_acquire (&bench, NOW_MS);
    assert_true (bench.incarnation > NOW_MS + 5000);
    uint64_t last = bench.incarnation;
    leat_store_close (&bench.store);
    s_open (&bench);
    s_acquire (&bench, NOW_MS + 10);
    assert_true (bench.incarnation >= NOW_MS + 10);
    if (bench.subject->engine->recovers)
        assert_true (bench.incarnation > last);
    leat_store_close (&bench.store);
}

static void test_acquiring_again_ends_what_is_under_way (void **state)
{
    bench_t bench;
    recovered_t recovered;
    char texts[][8] = { "wheat", "rye" };
    s_begin (&bench, *state);
    s_submit (&bench, 0, 0, texts[0]);
    s_submit_too_large (&bench, 0, 1);
    s_acquire (&bench, NOW_MS);
    s_recover (&bench, &recovered);
    s_expect_nothing (&bench);
    assert_int_equal (bench.freed, 2);
    /* Neither ids nor chains of before matter. */
    s_submit (&bench, 0, recovered.size ? 1 : 0, texts[1]);
    s_expect (&bench, 1, LEAT_COMMIT_OK);
    leat_store_close (&bench.store);
}

static void test_reads_are_answered_or_refused (void **state)
{
    bench_t bench;
    char text[] = "wheat";
    s_begin (&bench, *state);
    s_submit (&bench, 0, 0, text);
    s_expect (&bench, 1, LEAT_COMMIT_OK);
    bool reads = leat_store_read (bench.store, STREAM, 0, 99);
    assert_true (reads == bench.subject->engine->reads);
    if (reads) {
        leat_store_event_t event = s_next (&bench);
        assert_int_equal (event.kind, LEAT_STORE_READ);
        assert_true (event.id == 99);
        assert_int_equal (event.code, LEAT_OK);
        assert_int_equal (event.batch.count, 1);
        assert_int_equal (leat_buffer_size (event.body), strlen (text));
        assert_memory_equal (leat_buffer_bytes (event.body), text, strlen (text));
        leat_buffer_release (&event.body);
    }
    s_expect_nothing (&bench);
    leat_store_close (&bench.store);
    leat_store_close (&bench.store);
}

int store_conformance (const store_subject_t *subject)
{
#define TEST(name)                                                                                 \
    {                                                                                              \
#name, name, NULL, NULL, (void *) subject                                                  \
    }
    const struct CMUnitTest tests[] = {
        TEST (test_commits_end_once_and_in_order),
        TEST (test_bodies_are_held_until_the_event),
        TEST (test_a_refusal_takes_its_chain_along),
        TEST (test_stats_count_what_happened),
        TEST (test_incarnations_grow),
        TEST (test_acquiring_again_ends_what_is_under_way),
        TEST (test_reads_are_answered_or_refused),
    };
#undef TEST
    return cmocka_run_group_tests_name (subject->engine->name, tests, NULL, NULL);
}

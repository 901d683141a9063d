/* The promises of broker/store/store.h, one test each.
 * SPDX-License-Identifier: MPL-2.0 */
#include <string.h>

#include "tests/unit/store_bench.h"

/* ---- the promises ---------------------------------------------------------------------------- */

static void test_commits_end_once_and_in_order (void **state)
{
    bench_t bench;
    recovered_t recovered;
    char texts[][8] = { "wheat", "rye", "oats", "barley" };
    bench_begin (&bench, *state);
    bench_expect_nothing (&bench);
    for (unsigned index = 0; index < 4; index++)
        bench_submit (&bench, 0, index, texts[index]);
    for (uint64_t id = 1; id <= 4; id++)
        bench_expect (&bench, id, LEAT_COMMIT_OK);
    bench_expect_nothing (&bench);
    bench_reopen (&bench, &recovered);
    bench_expect_recovered (&bench, &recovered, "wheatryeoatsbarley");
    leat_store_close (&bench.store);
}

static void test_bodies_are_held_until_the_event (void **state)
{
    bench_t bench;
    char text[] = "wheat";
    bench_begin (&bench, *state);
    bench_submit (&bench, 0, 0, text);
    assert_int_equal (bench.freed, 0);
    bench_expect (&bench, 1, LEAT_COMMIT_OK);
    assert_int_equal (bench.freed, 1);
    bench_submit_too_large (&bench, 0, 1);
    bench_expect (&bench, 2, LEAT_COMMIT_REFUSED);
    assert_int_equal (bench.freed, 2);
    /* What nobody polled is freed with the store. */
    bench_submit (&bench, 1, 1, text);
    leat_store_close (&bench.store);
    assert_int_equal (bench.freed, 3);
}

static void test_a_refusal_takes_its_chain_along (void **state)
{
    bench_t bench;
    recovered_t recovered;
    char texts[][8] = { "wheat", "rye", "oats", "barley", "spelt" };
    bench_begin (&bench, *state);
    assert_true (leat_store_commit_size_max (bench.store) == COMMIT_SIZE_MAX);
    bench_submit (&bench, 3, 0, texts[0]);
    bench_submit_too_large (&bench, 3, 1);
    bench_submit (&bench, 3, 2, texts[1]);
    bench_submit (&bench, 3, 3, texts[2]);
    bench_submit (&bench, 4, 1, texts[3]);
    bench_expect (&bench, 1, LEAT_COMMIT_OK);
    bench_expect (&bench, 2, LEAT_COMMIT_REFUSED);
    bench_expect (&bench, 3, LEAT_COMMIT_REFUSED);
    bench_expect (&bench, 4, LEAT_COMMIT_REFUSED);
    bench_expect (&bench, 5, LEAT_COMMIT_OK);
    /* The refused chain may be refused again, and a third one begins clean. */
    bench_submit_too_large (&bench, 4, 2);
    bench_submit (&bench, 5, 2, texts[4]);
    bench_expect (&bench, 6, LEAT_COMMIT_REFUSED);
    bench_expect (&bench, 7, LEAT_COMMIT_OK);
    bench_reopen (&bench, &recovered);
    bench_expect_recovered (&bench, &recovered, "wheatbarleyspelt");
    leat_store_close (&bench.store);
}

static void test_stats_count_what_happened (void **state)
{
    bench_t bench;
    leat_store_stats_t stats;
    char text[] = "wheat";
    bench_begin (&bench, *state);
    leat_store_stats (bench.store, &stats);
    assert_true (stats.commits == 0 && stats.commits_refused == 0 && stats.commit_bytes == 0);
    leat_commit_t *commit = bench_commit (&bench, 0, 0, text, sizeof text);
    size_t size = leat_commit_size (commit);
    leat_store_submit (bench.store, &commit);
    bench_submit_too_large (&bench, 0, 1);
    bench_expect (&bench, 1, LEAT_COMMIT_OK);
    bench_expect (&bench, 2, LEAT_COMMIT_REFUSED);
    leat_store_stats (bench.store, &stats);
    assert_true (stats.commits == 1);
    assert_true (stats.commits_refused == 1);
    assert_true (stats.commits_lost == 0);
    assert_true (stats.commit_bytes == size);
    assert_true (stats.transactions + stats.journal_writes >= 1);
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
    bench_begin (&bench, *state);
    uint64_t first = bench.incarnation;
    assert_true (first >= NOW_MS);
    bench_acquire (&bench, NOW_MS);
    bench_recover (&bench, &recovered);
    uint64_t second = bench.incarnation;
    assert_true (second > first);
    /* The clock goes back. */
    bench_acquire (&bench, NOW_MS - 100000);
    assert_true (bench.incarnation > second);
    /* Epochs ran ahead of the clock. */
    leat_store_release (bench.store, NOW_MS + 5000);
    bench_acquire (&bench, NOW_MS);
    assert_true (bench.incarnation > NOW_MS + 5000);
    uint64_t last = bench.incarnation;
    leat_store_close (&bench.store);
    bench_open (&bench);
    bench_acquire (&bench, NOW_MS + 10);
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
    bench_begin (&bench, *state);
    bench_submit (&bench, 0, 0, texts[0]);
    bench_submit_too_large (&bench, 0, 1);
    bench_acquire (&bench, NOW_MS);
    bench_recover (&bench, &recovered);
    bench_expect_nothing (&bench);
    assert_int_equal (bench.freed, 2);
    /* Neither ids nor chains of before matter. */
    bench_submit (&bench, 0, recovered.size ? 1 : 0, texts[1]);
    bench_expect (&bench, 1, LEAT_COMMIT_OK);
    leat_store_close (&bench.store);
}

static void test_reads_are_answered_or_refused (void **state)
{
    bench_t bench;
    char text[] = "wheat";
    bench_begin (&bench, *state);
    bench_submit (&bench, 0, 0, text);
    bench_expect (&bench, 1, LEAT_COMMIT_OK);
    bool reads = leat_store_read (bench.store, STREAM, 0, 1, 99);
    assert_true (reads == bench.subject->engine->reads);
    if (reads) {
        leat_store_event_t event = bench_next (&bench);
        assert_int_equal (event.kind, LEAT_STORE_READ);
        assert_true (event.id == 99);
        assert_int_equal (event.code, LEAT_OK);
        assert_int_equal (event.batch.count, 1);
        assert_int_equal (leat_buffer_size (event.body), strlen (text));
        assert_memory_equal (leat_buffer_bytes (event.body), text, strlen (text));
        leat_buffer_release (&event.body);
    }
    bench_expect_nothing (&bench);
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
    const struct CMUnitTest more[] = {
        TEST (test_state_survives),
        TEST (test_reservations),
        TEST (test_memory_streams),
        TEST (test_reads_come_in_order),
        TEST (test_reads_bring_as_much_as_is_wanted),
        TEST (test_looks_tell_headers),
        TEST (test_trimmed_batches_are_gone),
        TEST (test_ranges_are_trimmed),
        TEST (test_expired_batches_are_gone),
        TEST (test_numbers_of_the_deleted_are_used_again),
        TEST (test_commits_that_make_no_sense_are_refused),
        TEST (test_commits_may_be_many),
    };
#undef TEST
    int failed = cmocka_run_group_tests_name (subject->engine->name, tests, NULL, NULL);
    if (subject->engine->recovers && subject->engine->reads)
        failed += cmocka_run_group_tests_name (subject->engine->name, more, NULL, NULL);
    return failed;
}

/* What the suite of all store engines is written with: a store, and commits for one stream.
 * SPDX-License-Identifier: MPL-2.0 */
#ifndef LEAT_TESTS_STORE_BENCH_H
#define LEAT_TESTS_STORE_BENCH_H

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "tests/unit/store_conformance.h"

enum { COMMIT_SIZE_MAX = 65536, STREAM = 7, NOW_MS = 1700000000 };

typedef struct {
    const store_subject_t *subject;
    leat_store_options_t options;
    leat_store_t *store;
    uint64_t incarnation;
    uint64_t next_id;
    int freed; /* bodies */
} bench_t;

/* What recovery gave: the appended records' bytes, one body after the other. Those of an engine that reads
 * are read, from the first offset of its EXTENT on. */
typedef struct {
    char bytes[4096];
    size_t size;
    unsigned extents; /* how many were stated */
    leat_operation_extent_t extent;
} recovered_t;

void bench_open (bench_t *bench);
void bench_acquire (bench_t *bench, uint64_t wall_ms);
void bench_recover (bench_t *bench, recovered_t *recovered);

/* A store where nothing is, acquired and recovered. */
void bench_begin (bench_t *bench, const store_subject_t *subject);

/* Closes and opens again: what is there? */
void bench_reopen (bench_t *bench, recovered_t *recovered);

/* A commit that makes the stream, if offset is 0, and appends one batch with `text` as body. */
leat_commit_t *bench_commit (bench_t *bench, uint32_t chain, uint64_t offset, char *text,
                             size_t size);
void bench_submit (bench_t *bench, uint32_t chain, uint64_t offset, char *text);
void bench_submit_too_large (bench_t *bench, uint32_t chain, uint64_t offset);

/* Waits for the next event as the broker does. */
leat_store_event_t bench_next (bench_t *bench);
void bench_expect (bench_t *bench, uint64_t id, leat_commit_result_t result);
void bench_expect_nothing (bench_t *bench);
void bench_expect_recovered (const bench_t *bench, const recovered_t *recovered, const char *text);

/* Commits that hold the operations given, up to the first whose id is 0, end OK. */
void bench_do (bench_t *bench, const leat_operation_t *operations);

/* Reads: what must come, by its first offset and its text; or by its code. */
void bench_expect_read (bench_t *bench, uint64_t token, uint64_t first, const char *text);
void bench_expect_no_read (bench_t *bench, uint64_t token, leat_code_t code);

/* Tests of engines that recover and read; in store_state.c. */
void test_state_survives (void **state);
void test_reservations (void **state);
void test_memory_streams (void **state);
void test_reads_come_in_order (void **state);
void test_reads_bring_as_much_as_is_wanted (void **state);
void test_looks_tell_headers (void **state);
void test_trimmed_batches_are_gone (void **state);
void test_ranges_are_trimmed (void **state);
void test_expired_batches_are_gone (void **state);
void test_numbers_of_the_deleted_are_used_again (void **state);
void test_commits_that_make_no_sense_are_refused (void **state);
void test_commits_may_be_many (void **state);

#endif

/* Disks that fail or are full: what is said, and what holds.
 * SPDX-License-Identifier: MPL-2.0 */
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "broker/store/lmdb_files.h"
#include "broker/store/lmdb_rows.h"
#include "tests/system/store/disk.h"
#include "tests/system/store/tools.h"
#include "tests/unit/store_place.h"
#include "wire/alloc.h"
#include "wire/crc32c.h"

enum { SKIPPED = 77 };

/* ---- writes and syncs that fail -------------------------------------------------------------- */

static void s_fail_with (disk_fault_t fault, int code)
{
    bench_t bench;
    recovered_t recovered;
    char texts[][8] = { "wheat", "rye", "oats", "barley" };
    tools_begin (&bench, 64 * TOOLS_MIB,
                 TOOLS_MIB); /* with that reserve nothing goes to the journal */
    bench_submit (&bench, 0, 0, texts[0]);
    bench_expect (&bench, 1, LEAT_COMMIT_OK);
    disk_fail (fault, code);
    bench_submit (&bench, 0, 1, texts[1]);
    leat_store_event_t event = bench_next (&bench);
    char expected[400];
    snprintf (
        expected, sizeof expected,
        "writing and syncing %s/data.mdb failed: Input/output error; nothing more is confirmed "
        "until the store is opened again",
        bench.options.path);
    assert_int_equal (event.result, LEAT_COMMIT_UNKNOWN);
    assert_string_equal (event.reason, expected);
    /* It stays so, also when the disk is well again. */
    disk_fail (DISK_NO_FAULT, 0);
    bench_submit (&bench, 0, 2, texts[2]);
    bench_submit (&bench, 5, 1, texts[2]);
    bench_expect (&bench, 3, LEAT_COMMIT_UNKNOWN);
    bench_expect (&bench, 4, LEAT_COMMIT_UNKNOWN);
    leat_store_stats_t stats;
    leat_store_stats (bench.store, &stats);
    assert_int_equal (stats.commits_lost, 3);
    bench_acquire (&bench, NOW_MS);
    bench_recover (&bench, &recovered);
    bench_expect_recovered (&bench, &recovered, "wheat");
    bench_submit (&bench, 0, 1, texts[3]);
    bench_expect (&bench, 1, LEAT_COMMIT_OK);
    bench_reopen (&bench, &recovered);
    bench_expect_recovered (&bench, &recovered, "wheatbarley");
    leat_store_close (&bench.store);
}

static void test_writes_that_fail (void **state)
{
    s_fail_with (DISK_FAIL_WRITE, EIO);
    s_fail_with (DISK_FAIL_WRITE, 0);
}

static void test_syncs_that_fail (void **state)
{
    s_fail_with (DISK_FAIL_SYNC, EIO);
}

static void test_meta_pages_that_fail (void **state)
{
    s_fail_with (DISK_FAIL_META, EIO);
}

static void test_no_space_while_writing (void **state)
{
    bench_t bench;
    recovered_t recovered;
    char texts[][8] = { "wheat", "rye", "oats" };
    tools_begin (&bench, 64 * TOOLS_MIB, TOOLS_MIB);
    bench_submit (&bench, 0, 0, texts[0]);
    bench_expect (&bench, 1, LEAT_COMMIT_OK);
    disk_fail (DISK_FAIL_WRITE, ENOSPC);
    bench_submit (&bench, 0, 1, texts[1]);
    leat_store_event_t event = bench_next (&bench);
    assert_int_equal (event.result, LEAT_COMMIT_REFUSED);
    assert_non_null (strstr (event.reason, "has no space for the commit's"));
    disk_fail (DISK_NO_FAULT, 0);
    bench_submit (&bench, 1, 1, texts[2]);
    bench_expect (&bench, 3, LEAT_COMMIT_OK);
    bench_reopen (&bench, &recovered);
    bench_expect_recovered (&bench, &recovered, "wheatoats");
    leat_store_close (&bench.store);
}

/* ---- full ------------------------------------------------------------------------------------ */

static leat_operation_t s_trim (uint64_t first)
{
    leat_operation_t operation = { .id = LEAT_OPERATION_TRIM };
    operation.trim.stream = STREAM;
    operation.trim.first = first;
    operation.trim.count = 1;
    return operation;
}

/* Appends until one is refused; returns how many were taken. */
static uint64_t s_fill (bench_t *bench, uint64_t from, size_t size)
{
    for (uint64_t offset = from;; offset++) {
        leat_commit_t *commit = bench_commit (bench, (uint32_t) bench->next_id, offset,
                                              tools_body ((char) ('a' + offset % 26), size), size);
        leat_store_submit (bench->store, &commit);
        leat_store_event_t event = bench_next (bench);
        if (event.result == LEAT_COMMIT_OK)
            continue;
        assert_int_equal (event.result, LEAT_COMMIT_REFUSED);
        assert_non_null (strstr (event.reason, "is full: "));
        return offset;
    }
}

static void s_expect_all (bench_t *bench, uint64_t from, uint64_t to, size_t size)
{
    for (uint64_t offset = from; offset < to; offset++) {
        assert_true (leat_store_read (bench->store, STREAM, offset, 1, offset));
        leat_store_event_t event = bench_next (bench);
        assert_int_equal (event.code, LEAT_OK);
        assert_true (event.batch.first == offset);
        const uint8_t *bytes = leat_buffer_bytes (event.body);
        assert_int_equal (leat_buffer_size (event.body), size);
        for (size_t i = 0; i < size; i += 997)
            assert_int_equal (bytes[i], 'a' + offset % 26);
        leat_buffer_release (&event.body);
    }
}

/* Fills, sees that what frees space is still taken, and that there is room again then. */
static void s_fill_and_free (bench_t *bench)
{
    leat_store_space_t space;
    uint64_t count = s_fill (bench, 0, 100000);
    assert_true (count > 20);
    leat_store_space (bench->store, &space);
    assert_true (space.used_size > 100000 * count);
    /* A dead letter may go where nothing else may. */
    leat_operation_t group = { .id = LEAT_OPERATION_GROUP_CREATED };
    group.group_created.stream = STREAM;
    group.group_created.group = 1;
    group.group_created.group_name = leat_text ("millers");
    bench_do (bench, (leat_operation_t[]){ group, { 0 } });
    leat_commit_t *commit =
        bench_commit (bench, 0, count, tools_body ((char) ('a' + count % 26), 100000), 100000);
    leat_operation_t dead = { .id = LEAT_OPERATION_DEAD };
    dead.dead.stream = STREAM;
    dead.dead.group = 1;
    leat_commit_add (commit, &dead);
    leat_store_submit (bench->store, &commit);
    bench_expect (bench, bench->next_id - 1, LEAT_COMMIT_OK);
    count++;
    for (uint64_t i = 0; i < count / 2; i++)
        bench_do (bench, (leat_operation_t[]){ s_trim (i), { 0 } });
    uint64_t filled = s_fill (bench, count, 100000);
    assert_true (filled > count + count / 4);
    s_expect_all (bench, count / 2, filled, 100000);
    leat_store_close (&bench->store);
    tools_begin_again (bench);
    s_expect_all (bench, count / 2, filled, 100000);
    leat_store_close (&bench->store);
}

static void test_a_full_map (void **state)
{
    bench_t bench;
    tools_begin (&bench, 8 * TOOLS_MIB, 0);
    s_fill_and_free (&bench);
}

/* Without a reserve: what is counted beforehand is refused, and what is beside it is not. */
static void test_only_what_does_not_fit_is_refused (void **state)
{
    bench_t bench;
    tools_begin (&bench, 2 * TOOLS_MIB, 1);
    enum { COMMITS = 40 };
    bool kept[COMMITS];
    char letters[COMMITS];
    static char bodies[COMMITS][120000]; /* held until their events */
    leat_operation_t created = { .id = LEAT_OPERATION_STREAM_CREATED };
    created.stream_created.stream = STREAM;
    created.stream_created.stream_name = leat_text ("corn");
    created.stream_created.durability = LEAT_SYNC;
    bench_do (&bench, (leat_operation_t[]){ created, { 0 } });
    /* All at once and each in a chain of its own, large ones and small ones by turns. */
    for (uint64_t i = 0; i < COMMITS; i++) {
        size_t size = i % 2 ? 100 : 120000;
        char *body = bodies[i];
        memset (body, (int) ('a' + i % 26), size);
        leat_commit_t *commit = bench_commit (&bench, (uint32_t) i + 1, i + 1, body, size);
        leat_store_submit (bench.store, &commit);
        letters[i] = (char) ('a' + i % 26);
    }
    unsigned refused = 0;
    for (uint64_t i = 0; i < COMMITS; i++) {
        leat_store_event_t event = bench_next (&bench);
        assert_int_equal (event.id, i + 2);
        kept[i] = event.result == LEAT_COMMIT_OK;
        assert_true (kept[i] || event.result == LEAT_COMMIT_REFUSED);
        assert_true (kept[i] || i % 2 == 0); /* small ones fit to the end */
        refused += !kept[i];
    }
    assert_true (refused > 3 && refused < COMMITS / 2 - 3);
    leat_store_close (&bench.store);
    tools_begin_again (&bench);
    uint64_t offset = 0;
    for (uint64_t i = 0; i < COMMITS; i++) {
        if (!kept[i])
            continue;
        assert_true (leat_store_read (bench.store, STREAM, offset, 1, i));
        leat_store_event_t event = bench_next (&bench);
        assert_int_equal (event.code, LEAT_OK);
        assert_true (event.batch.first == i + 1);
        assert_int_equal (leat_buffer_bytes (event.body)[0], letters[i]);
        leat_buffer_release (&event.body);
        offset = i + 2;
    }
    leat_store_close (&bench.store);
}

/* Chunks take space that nobody counts beforehand. */
static leat_commit_t *s_chunks (bench_t *bench, uint64_t first, unsigned count)
{
    leat_commit_t *commit = leat_commit_new (bench->next_id, (uint32_t) bench->next_id);
    bench->next_id++;
    for (unsigned i = 0; i < count; i++) {
        leat_operation_t operation = { .id = LEAT_OPERATION_CHUNK };
        operation.chunk.stream = STREAM;
        operation.chunk.group = 1;
        operation.chunk.chunk = first + i;
        operation.chunk.settled =
            (leat_text_t){ tools_body ('c', LEAT_CHUNK_RECORDS / 8), LEAT_CHUNK_RECORDS / 8 };
        leat_commit_add (commit, &operation);
    }
    return commit;
}

static bool s_note_chunks (void *arg, leat_buffer_t *commit)
{
    bool *chunks = arg;
    leat_commit_reader_t reader;
    assert_int_equal (leat_commit_read (&reader, commit), LEAT_OK);
    while (reader.left) {
        leat_operation_t operation;
        assert_int_equal (leat_commit_read_operation (&reader, &operation), LEAT_OK);
        if (operation.id == LEAT_OPERATION_CHUNK)
            chunks[operation.chunk.chunk] = true;
    }
    return true;
}

/* LMDB itself says that the map is full, in the middle of a transaction of several commits. */
static void test_a_transaction_that_does_not_fit_is_tried_in_parts (void **state)
{
    enum { COMMITS = 12, LARGE = 30, MAX = COMMITS * LARGE };
    static const unsigned sizes[COMMITS] = { 1,     LARGE, 2,     LARGE, 1,     LARGE,
                                             LARGE, 1,     LARGE, 2,     LARGE, 1 };
    bench_t bench;
    bool kept[MAX] = { false };
    bool recovered[MAX] = { false };
    char error[300];
    tools_begin (&bench, 2 * TOOLS_MIB, 1);
    leat_operation_t create[3] = { { .id = LEAT_OPERATION_STREAM_CREATED },
                                   { .id = LEAT_OPERATION_GROUP_CREATED } };
    create[0].stream_created.stream = STREAM;
    create[0].stream_created.stream_name = leat_text ("corn");
    create[0].stream_created.durability = LEAT_SYNC;
    create[1].group_created.stream = STREAM;
    create[1].group_created.group = 1;
    create[1].group_created.group_name = leat_text ("millers");
    bench_do (&bench, create);
    for (uint64_t i = 0; i < COMMITS; i++) {
        leat_commit_t *commit = s_chunks (&bench, i * LARGE, sizes[i]);
        leat_store_submit (bench.store, &commit);
    }
    unsigned refused = 0;
    for (uint64_t i = 0; i < COMMITS; i++) {
        leat_store_event_t event = bench_next (&bench);
        assert_int_equal (event.id, i + 2);
        bool good = event.result == LEAT_COMMIT_OK;
        assert_true (good || (event.result == LEAT_COMMIT_REFUSED && sizes[i] == LARGE));
        assert_true (good || strstr (event.reason, "has no space for the commit's"));
        refused += !good;
        for (unsigned j = 0; j < sizes[i]; j++)
            kept[i * LARGE + j] = good;
    }
    assert_true (refused > 0 && refused < 5);
    leat_store_close (&bench.store);
    bench_open (&bench);
    bench_acquire (&bench, NOW_MS);
    assert_int_equal (
        leat_store_recover (bench.store, s_note_chunks, recovered, error, sizeof error), 0);
    assert_memory_equal (kept, recovered, sizeof kept);
    leat_store_close (&bench.store);
}

/* ---- in a mount namespace -------------------------------------------------------------------- */

/* Runs a function in a process with mounts of its own. False if that is not allowed here. */
static bool s_apart (void (*function) (const char *path), const char *path)
{
    int status;
    fflush (NULL);
    pid_t child = fork ();
    assert_true (child >= 0);
    if (!child) {
        if (unshare (CLONE_NEWNS) || mount (NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL))
            _exit (SKIPPED);
        function (path);
        _exit (0);
    }
    assert_true (waitpid (child, &status, 0) == child);
    assert_true (WIFEXITED (status));
    if (WEXITSTATUS (status) == SKIPPED)
        return false;
    assert_int_equal (WEXITSTATUS (status), 0);
    return true;
}

static void s_on_small_disk (const char *path)
{
    if (mount ("tmpfs", path, "tmpfs", 0, "size=16m"))
        _exit (SKIPPED);
    bench_t bench = { .subject = &tools_subject };
    char below[400];
    snprintf (below, sizeof below, "%s/store", path);
    bench.options.path = below;
    bench.options.size_max = 64 * TOOLS_MIB;
    bench.options.reserve_size = TOOLS_MIB;
    tools_begin_again (&bench);
    s_fill_and_free (&bench);
}

static void s_on_filled_disk (const char *path)
{
    if (mount ("tmpfs", path, "tmpfs", 0, "size=8m"))
        _exit (SKIPPED);
    bench_t bench = { .subject = &tools_subject };
    char below[400];
    char other[400];
    char texts[][8] = { "wheat", "rye" };
    snprintf (below, sizeof below, "%s/store", path);
    snprintf (other, sizeof other, "%s/other", path);
    bench.options.path = below;
    bench.options.size_max = 64 * TOOLS_MIB;
    bench.options.reserve_size = 1;
    tools_begin_again (&bench);
    bench_submit (&bench, 0, 0, texts[0]);
    bench_expect (&bench, 1, LEAT_COMMIT_OK);
    /* Others take all the space; the engine finds out by a write. */
    int fd = open (other, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    while (write (fd, tools_body ('o', 4096), 4096) > 0)
        continue;
    leat_commit_t *commit = bench_commit (&bench, 0, 1, tools_body ('x', 200000), 200000);
    leat_store_submit (bench.store, &commit);
    bench_expect (&bench, 2, LEAT_COMMIT_REFUSED);
    assert_int_equal (ftruncate (fd, 0), 0);
    close (fd);
    bench_submit (&bench, 1, 1, texts[1]);
    bench_expect (&bench, 3, LEAT_COMMIT_OK);
    recovered_t recovered;
    bench_reopen (&bench, &recovered);
    bench_expect_recovered (&bench, &recovered, "wheatrye");
    leat_store_close (&bench.store);
}

static uint64_t s_blocks (const bench_t *bench)
{
    char path[500];
    struct stat status;
    snprintf (path, sizeof path, "%s/data.mdb", bench->options.path);
    assert_int_equal (stat (path, &status), 0);
    return (uint64_t) status.st_blocks * 512;
}

/* The reserve is there when nothing else is: what frees space goes on, and what that frees can be used. */
static void s_on_disk_taken_by_others (const char *path)
{
    if (mount ("tmpfs", path, "tmpfs", 0, "size=16m"))
        _exit (SKIPPED);
    bench_t bench = { .subject = &tools_subject };
    char below[400];
    char other[400];
    snprintf (below, sizeof below, "%s/store", path);
    snprintf (other, sizeof other, "%s/other", path);
    bench.options.path = below;
    bench.options.size_max = 64 * TOOLS_MIB;
    tools_begin_again (&bench);
    leat_operation_t created = { .id = LEAT_OPERATION_STREAM_CREATED };
    created.stream_created.stream = STREAM;
    created.stream_created.stream_name = leat_text ("corn");
    created.stream_created.durability = LEAT_SYNC;
    bench_do (&bench, (leat_operation_t[]){ created, { 0 } });
    for (uint64_t i = 0; i < 30; i++) {
        leat_commit_t *commit = bench_commit (&bench, 0, i, tools_body ('a', 100000), 100000);
        leat_store_submit (bench.store, &commit);
        bench_expect (&bench, bench.next_id - 1, LEAT_COMMIT_OK);
    }
    int fd = open (other, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    while (write (fd, tools_body ('o', 4096), 4096) > 0)
        continue;
    close (fd);
    uint64_t owned = s_blocks (&bench);
    uint64_t count = s_fill (&bench, 30, 100000);
    for (int round = 0; round < 2; round++) { /* acquired again on the full disk */
        leat_operation_t group = { .id = LEAT_OPERATION_GROUP_CREATED };
        group.group_created.stream = STREAM;
        group.group_created.group = (uint32_t) round + 1;
        group.group_created.group_name = leat_text (round ? "bakers" : "millers");
        bench_do (&bench, (leat_operation_t[]){ group, { 0 } });
        leat_commit_t *commit = s_chunks (&bench, (uint64_t) round * 50, 50);
        leat_store_submit (bench.store, &commit);
        bench_expect (&bench, bench.next_id - 1, LEAT_COMMIT_OK);
        leat_store_close (&bench.store);
        tools_begin_again (&bench);
    }
    for (uint64_t i = 0; i < count; i++)
        bench_do (&bench, (leat_operation_t[]){ s_trim (i), { 0 } });
    uint64_t filled = s_fill (&bench, count, 100000);
    assert_true (filled > count + 15);
    s_expect_all (&bench, count, filled, 100000);
    leat_store_close (&bench.store);
    assert_true (s_blocks (&bench) == owned);
}

static void s_on_read_only_disk (const char *path)
{
    char below[400];
    snprintf (below, sizeof below, "%s/store", path);
    if (mkdir (below, 0700) || mount (path, path, NULL, MS_BIND, NULL)
        || mount (NULL, path, NULL, MS_BIND | MS_REMOUNT | MS_RDONLY, NULL))
        _exit (SKIPPED);
    leat_store_options_t options = { .path = below, .size_max = 64 * TOOLS_MIB };
    tools_expect_message (&options, "%s cannot be written to: Read-only file system");
    snprintf (below, sizeof below, "%s/missing", path);
    tools_expect_message (&options, "cannot create the directory %s: Read-only file system");
}

static void s_apart_or_skip (void (*function) (const char *path))
{
    char path[300];
    snprintf (path, sizeof path, "%s", store_place ());
    assert_int_equal (mkdir (path, 0700), 0);
    if (!s_apart (function, path)) {
        print_message ("mounts of its own are not allowed here\n");
        skip ();
    }
}

static void test_a_full_disk (void **state)
{
    s_apart_or_skip (s_on_small_disk);
}

static void test_a_disk_that_others_fill (void **state)
{
    s_apart_or_skip (s_on_filled_disk);
}

static void test_a_disk_that_others_take_all_of (void **state)
{
    s_apart_or_skip (s_on_disk_taken_by_others);
}

/* Where the filesystem keeps no blocks for a file, what it has free is what there is. */
static void test_a_full_disk_that_keeps_no_blocks (void **state)
{
    disk_keep_blocks (EOPNOTSUPP);
    s_apart_or_skip (s_on_small_disk);
    disk_keep_blocks (DISK_KEEPS_NOTHING);
    s_apart_or_skip (s_on_small_disk);
    disk_keep_blocks (0);
}

/* Whoever has filled the disk before a store is opened finds it as full as it is. */
static void test_blocks_that_cannot_be_had (void **state)
{
    bench_t bench;
    char texts[][8] = { "wheat", "rye" };
    tools_begin (&bench, 64 * TOOLS_MIB, 0);
    bench_submit (&bench, 0, 0, texts[0]);
    bench_expect (&bench, 1, LEAT_COMMIT_OK);
    char *body = tools_body ('x', TOOLS_MIB);
    disk_keep_blocks (ENOSPC);
    uint64_t offset = 1;
    leat_store_event_t event;
    do {
        leat_commit_t *commit = bench_commit (&bench, 1, offset++, body, TOOLS_MIB);
        leat_store_submit (bench.store, &commit);
        event = bench_next (&bench);
    } while (event.result == LEAT_COMMIT_OK);
    assert_int_equal (event.result, LEAT_COMMIT_REFUSED);
    assert_non_null (strstr (event.reason, "4194304 are kept for what frees space"));
    assert_true (offset < 5); /* beside the reserve it has some steps at most */
    disk_keep_blocks (0);
    leat_store_space_t space;
    do /* it looks twice a second */
        leat_store_space (bench.store, &space);
    while (space.reserved);
    bench_submit (&bench, 2, offset, texts[1]);
    bench_expect (&bench, bench.next_id - 1, LEAT_COMMIT_OK);
    leat_store_close (&bench.store);
    tools_begin_again (&bench);
    assert_true (leat_store_read (bench.store, STREAM, offset, 1, offset));
    event = bench_next (&bench);
    assert_int_equal (event.code, LEAT_OK);
    assert_int_equal (leat_buffer_size (event.body), 3);
    assert_memory_equal (leat_buffer_bytes (event.body), "rye", 3);
    leat_buffer_release (&event.body);
    leat_store_close (&bench.store);
}

/* An empty store is no burden, and the smallest that is allowed is not all reserve. */
static void test_what_an_empty_store_takes (void **state)
{
    static const uint64_t sizes[][2] = { { 0, 5 * TOOLS_MIB + TOOLS_MIB / 8 },
                                         { 2 * TOOLS_MIB, TOOLS_MIB / 2 } };
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        bench_t bench;
        char texts[][8] = { "wheat" };
        tools_begin (&bench, sizes[i][0], 0);
        bench_submit (&bench, 0, 0, texts[0]);
        bench_expect (&bench, 1, LEAT_COMMIT_OK);
        assert_true (s_blocks (&bench) <= sizes[i][1]);
        leat_store_close (&bench.store);
    }
}

static void test_a_read_only_disk (void **state)
{
    s_apart_or_skip (s_on_read_only_disk);
}

int main (void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test (test_writes_that_fail),
        cmocka_unit_test (test_syncs_that_fail),
        cmocka_unit_test (test_meta_pages_that_fail),
        cmocka_unit_test (test_no_space_while_writing),
        cmocka_unit_test (test_a_full_map),
        cmocka_unit_test (test_only_what_does_not_fit_is_refused),
        cmocka_unit_test (test_a_transaction_that_does_not_fit_is_tried_in_parts),
        cmocka_unit_test (test_a_full_disk),
        cmocka_unit_test (test_a_disk_that_others_fill),
        cmocka_unit_test (test_a_disk_that_others_take_all_of),
        cmocka_unit_test (test_a_full_disk_that_keeps_no_blocks),
        cmocka_unit_test (test_blocks_that_cannot_be_had),
        cmocka_unit_test (test_what_an_empty_store_takes),
        cmocka_unit_test (test_a_read_only_disk),
    };
    int failed = cmocka_run_group_tests (tests, NULL, NULL);
    store_place_end ();
    return failed;
}

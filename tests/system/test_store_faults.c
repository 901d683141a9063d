/* Disks that fail, are full or damaged, and directories that cannot be used: what is said, and what holds.
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
#include "tests/unit/store_bench.h"
#include "tests/unit/store_place.h"
#include "wire/alloc.h"
#include "wire/crc32c.h"

enum { MIB = 1024 * 1024, SKIPPED = 77 };

static const store_subject_t s_subject = { .engine = &leat_store_lmdb, .place = store_place };

/* ---- tools ----------------------------------------------------------------------------------- */

static void s_begin (bench_t *bench, uint64_t size_max, uint64_t reserve_size)
{
    recovered_t recovered;
    *bench = (bench_t){ .subject = &s_subject };
    bench->options.path = store_place ();
    bench->options.size_max = size_max;
    bench->options.reserve_size = reserve_size;
    bench_open (bench);
    bench_acquire (bench, NOW_MS);
    bench_recover (bench, &recovered);
}

/* The directory cannot be used; `format` has one %s for its path. */
static void s_expect_message (const leat_store_options_t *options, const char *format)
{
    char error[600] = "";
    char expected[600];
    char path[300];
    snprintf (path, sizeof path, "%s", options->path);
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
    snprintf (expected, sizeof expected, format, path);
#pragma GCC diagnostic pop
    assert_null (leat_store_open (&leat_store_lmdb, options, error, sizeof error));
    assert_string_equal (error, expected);
}

static int s_open_data (const char *path, int flags)
{
    char name[400];
    snprintf (name, sizeof name, "%s/data.mdb", path);
    int fd = open (name, flags | O_CLOEXEC, 0600);
    assert_true (fd >= 0);
    return fd;
}

static void s_write_data (const char *path, const char *text)
{
    assert_int_equal (mkdir (path, 0700), 0);
    int fd = s_open_data (path, O_WRONLY | O_CREAT);
    assert_true (write (fd, text, strlen (text)) == (ssize_t) strlen (text));
    close (fd);
}

/* Changes one bit of the only place in data.mdb where `text` stands, `behind` bytes from there. */
static void s_flip (const char *path, const char *text, long behind)
{
    struct stat status;
    int fd = s_open_data (path, O_RDWR);
    assert_int_equal (fstat (fd, &status), 0);
    size_t size = (size_t) status.st_size;
    uint8_t *bytes = leat_alloc (size);
    assert_true (pread (fd, bytes, size, 0) == (ssize_t) size);
    unsigned found = 0;
    /* Old versions of the page are damaged too, which does no harm. */
    for (uint8_t *at = bytes; (at = memmem (at, size - (size_t) (at - bytes), text, strlen (text)));
         at++) {
        at[behind] ^= 1;
        assert_true (pwrite (fd, at + behind, 1, at + behind - bytes) == 1);
        found++;
    }
    assert_true (found > 0);
    free (bytes);
    close (fd);
}

static char *s_body (char letter, size_t size)
{
    static char body[MIB];
    memset (body, letter, size);
    return body;
}

/* ---- directories ----------------------------------------------------------------------------- */

static void test_a_directory_serves_one_broker (void **state)
{
    bench_t bench;
    s_begin (&bench, 64 * MIB, 0);
    char path[300];
    snprintf (path, sizeof path, "%s", bench.options.path);
    leat_store_options_t options = { .path = path, .size_max = 64 * MIB };
    s_expect_message (&options,
                      "%s is in use by another broker, or by `leat store`; each broker needs "
                      "a directory of its own");
    leat_store_close (&bench.store);
    char error[300];
    leat_store_t *store = leat_store_open (&leat_store_lmdb, &options, error, sizeof error);
    assert_non_null (store);
    leat_store_close (&store);
}

static void test_a_directory_is_made_for_its_owner_alone (void **state)
{
    bench_t bench;
    struct stat status;
    s_begin (&bench, 64 * MIB, 0);
    assert_int_equal (stat (bench.options.path, &status), 0);
    assert_int_equal (status.st_mode & 07777, 0700);
    int fd = s_open_data (bench.options.path, O_RDONLY);
    assert_int_equal (fstat (fd, &status), 0);
    assert_int_equal (status.st_mode & 07777, 0600);
    close (fd);
    leat_store_close (&bench.store);
}

static void test_directories_that_cannot_be (void **state)
{
    char path[300];
    leat_store_options_t options = { .path = path };
    snprintf (path, sizeof path, "%s/below", store_place ());
    s_expect_message (&options,
                      "cannot create %s: the directory that it would be in does not exist");
    snprintf (path, sizeof path, "%s", store_place ());
    int fd = open (path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    close (fd);
    s_expect_message (&options, "cannot open the directory %s: Not a directory");
    options.path = NULL;
    char error[100];
    assert_null (leat_store_open (&leat_store_lmdb, &options, error, sizeof error));
    assert_string_equal (error, "the store needs a directory");
}

static void test_network_filesystems (void **state)
{
    leat_store_options_t options = { .path = store_place (), .size_max = 64 * MIB };
    char error[300] = "";
    disk_pretend_type (0x6969);
    s_expect_message (&options,
                      "%s is on a network filesystem (NFS), where locks and memory maps cannot "
                      "be relied on; choose a directory on a local disk");
    options.network_allowed = true;
    leat_store_t *store = leat_store_open (&leat_store_lmdb, &options, error, sizeof error);
    disk_pretend_type (0);
    assert_non_null (store);
    leat_store_close (&store);
}

/* ---- files ----------------------------------------------------------------------------------- */

static void test_files_of_others (void **state)
{
    leat_store_options_t options = { .path = store_place (), .size_max = 64 * MIB };
    static const char foreign[] =
        "%s/data.mdb is no store of Leat's: it is foreign, damaged or cut off; give another directory, "
        "or restore a backup";
    s_write_data (options.path, "");
    s_expect_message (&options, foreign);
    options.path = store_place ();
    s_write_data (options.path,
                  "once upon a time, in a file of another program, there were bytes that "
                  "no database had ever seen, and which were quite happy there together, "
                  "for they were more than one hundred and fifty of them");
    s_expect_message (&options, foreign);

    /* A database of LMDB, but of another program. */
    options.path = store_place ();
    MDB_env *env;
    MDB_txn *txn;
    MDB_dbi dbi;
    char text[] = "text";
    MDB_val key = { 4, text };
    MDB_val value = { 4, text };
    assert_int_equal (mkdir (options.path, 0700), 0);
    assert_int_equal (mdb_env_create (&env), 0);
    assert_int_equal (mdb_env_open (env, options.path, 0, 0600), 0);
    assert_int_equal (mdb_txn_begin (env, NULL, 0, &txn), 0);
    assert_int_equal (mdb_dbi_open (txn, NULL, 0, &dbi), 0);
    assert_int_equal (mdb_put (txn, dbi, &key, &value, 0), 0);
    assert_int_equal (mdb_txn_commit (txn), 0);
    mdb_env_close (env);
    s_expect_message (&options,
                      "%s/data.mdb is a database, but no store of Leat's, or it is damaged; "
                      "give another directory, or restore a backup");
}

static void test_other_formats (void **state)
{
    bench_t bench;
    s_begin (&bench, 64 * MIB, 0);
    leat_store_close (&bench.store);
    char error[300];
    leat_lmdb_files_t files;
    leat_lmdb_rows_t rows;
    leat_value_t value;
    leat_key_t key = leat_key_meta (LEAT_META_FORMAT);
    leat_value_begin (&value);
    leat_value_put (&value, 2, 4);
    assert_int_equal (
        leat_lmdb_files_open (&files, &bench.options, LEAT_LMDB_BROKER, error, sizeof error), 0);
    assert_int_equal (leat_lmdb_rows_begin (&rows, &files, true), 0);
    assert_int_equal (leat_rows_put (&rows.base, &key, &value), LEAT_ROWS_OK);
    assert_int_equal (leat_lmdb_rows_commit (&rows), 0);
    leat_lmdb_files_close (&files);
    s_expect_message (&bench.options,
                      "%s was written in format 2; this version of Leat reads format 1");
}

static void test_files_that_were_cut_off (void **state)
{
    bench_t bench;
    recovered_t recovered;
    s_begin (&bench, 64 * MIB, 0);
    for (uint64_t i = 0; i < 8; i++) {
        leat_commit_t *commit = bench_commit (&bench, 0, i, s_body ('x', 100000), 100000);
        leat_store_submit (bench.store, &commit);
        bench_expect (&bench, i + 1, LEAT_COMMIT_OK);
    }
    leat_store_close (&bench.store);
    struct stat status;
    int fd = s_open_data (bench.options.path, O_RDWR);
    assert_int_equal (fstat (fd, &status), 0);
    off_t size = status.st_size;
    char message[300];
    snprintf (message, sizeof message,
              "%%s/data.mdb is cut off: it has 409600 bytes and should have %lld; restore a backup",
              (long long) size);
    char *kept = leat_alloc ((size_t) size);
    assert_true (pread (fd, kept, (size_t) size, 0) == size);
    assert_int_equal (ftruncate (fd, 409600), 0);
    s_expect_message (&bench.options, message);
    /* It was left as it was. */
    assert_int_equal (fstat (fd, &status), 0);
    assert_int_equal (status.st_size, 409600);
    assert_int_equal (ftruncate (fd, 4096), 0);
    s_expect_message (&bench.options,
                      "%s/data.mdb is damaged or cut off at its beginning; restore a backup");
    assert_true (pwrite (fd, kept, (size_t) size, 0) == size);
    free (kept);
    close (fd);
    bench.options.commit_size_max = 0;
    bench_open (&bench);
    bench_acquire (&bench, NOW_MS);
    /* Its 800,000 bytes are more than recovered has room for. */
    (void) recovered;
    leat_store_close (&bench.store);
}

static void s_expect_damaged (bench_t *bench, uint64_t offset, uint64_t first, uint32_t count)
{
    assert_true (leat_store_read (bench->store, STREAM, offset, offset));
    leat_store_event_t event = bench_next (bench);
    assert_int_equal (event.kind, LEAT_STORE_READ);
    assert_int_equal (event.code, LEAT_DAMAGED);
    assert_true (event.batch.first == first);
    assert_int_equal (event.batch.count, count);
    assert_null (event.body);
}

static bool s_anything (void *arg, leat_buffer_t *commit)
{
    (void) arg;
    (void) commit;
    return true;
}

static void s_begin_again (bench_t *bench)
{
    char error[300];
    bench_open (bench);
    bench_acquire (bench, NOW_MS);
    assert_int_equal (leat_store_recover (bench->store, s_anything, NULL, error, sizeof error), 0);
}

static void test_damaged_batches (void **state)
{
    bench_t bench;
    char texts[][40] = { "wheat, ground in the first mill", "rye, ground in the second mill",
                         "oats, ground in the third mill" };
    s_begin (&bench, 64 * MIB, 0);
    for (uint64_t i = 0; i < 3; i++) {
        bench_submit (&bench, 0, i, texts[i]);
        bench_expect (&bench, i + 1, LEAT_COMMIT_OK);
    }
    leat_store_close (&bench.store);
    s_flip (bench.options.path, texts[1], 3);
    s_begin_again (&bench);
    assert_true (leat_store_read (bench.store, STREAM, 0, 0));
    bench_expect_read (&bench, 0, 0, texts[0]);
    s_expect_damaged (&bench, 1, 1, 1);
    assert_true (leat_store_read (bench.store, STREAM, 2, 2));
    bench_expect_read (&bench, 2, 2, texts[2]);
    leat_store_close (&bench.store);
    /* Where the header is damaged its records reach to the next batch, or to the end. */
    s_flip (bench.options.path, texts[0], -LEAT_BATCH_ROW_HEADER + 4);
    s_flip (bench.options.path, texts[2], -1);
    s_begin_again (&bench);
    s_expect_damaged (&bench, 0, 0, 1);
    s_expect_damaged (&bench, 2, 2, 1);
    leat_store_close (&bench.store);
}

static void test_damaged_rows_stop_recovery (void **state)
{
    bench_t bench;
    char text[] = "wheat";
    char error[400] = "";
    char expected[400];
    s_begin (&bench, 64 * MIB, 0);
    bench_submit (&bench, 0, 0, text);
    bench_expect (&bench, 1, LEAT_COMMIT_OK);
    leat_store_close (&bench.store);
    s_flip (bench.options.path, "corn", 0);
    bench_open (&bench);
    bench_acquire (&bench, NOW_MS);
    assert_int_equal (leat_store_recover (bench.store, s_anything, NULL, error, sizeof error), -1);
    snprintf (
        expected, sizeof expected,
        "the store in %s: the row of stream 7 is damaged; `leat store verify` tells what can still "
        "be read",
        bench.options.path);
    assert_string_equal (error, expected);
    leat_store_close (&bench.store);
}

/* What a crash left of a file that was being made does no harm. */
static void test_left_over_files (void **state)
{
    bench_t bench;
    char name[400];
    char path[300];
    snprintf (path, sizeof path, "%s", store_place ());
    assert_int_equal (mkdir (path, 0700), 0);
    snprintf (name, sizeof name, "%s/data.mdb.new", path);
    int fd = open (name, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    assert_true (write (fd, "half a page", 11) == 11);
    close (fd);
    bench = (bench_t){ .subject = &s_subject, .options = { .path = path, .size_max = 64 * MIB } };
    s_begin_again (&bench);
    assert_int_equal (access (name, F_OK), -1);
    leat_store_close (&bench.store);
}

/* ---- writes and syncs that fail -------------------------------------------------------------- */

static void s_fail_with (disk_fault_t fault, int code)
{
    bench_t bench;
    recovered_t recovered;
    char texts[][8] = { "wheat", "rye", "oats", "barley" };
    s_begin (&bench, 64 * MIB, 0);
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
    s_begin (&bench, 64 * MIB, 0);
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
                                              s_body ((char) ('a' + offset % 26), size), size);
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
        assert_true (leat_store_read (bench->store, STREAM, offset, offset));
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
        bench_commit (bench, 0, count, s_body ((char) ('a' + count % 26), 100000), 100000);
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
    s_begin_again (bench);
    s_expect_all (bench, count / 2, filled, 100000);
    leat_store_close (&bench->store);
}

static void test_a_full_map (void **state)
{
    bench_t bench;
    s_begin (&bench, 8 * MIB, 0);
    s_fill_and_free (&bench);
}

/* Without a reserve LMDB itself says that the map is full. */
static void test_only_what_does_not_fit_is_refused (void **state)
{
    bench_t bench;
    s_begin (&bench, 2 * MIB, 1);
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
    s_begin_again (&bench);
    uint64_t offset = 0;
    for (uint64_t i = 0; i < COMMITS; i++) {
        if (!kept[i])
            continue;
        assert_true (leat_store_read (bench.store, STREAM, offset, i));
        leat_store_event_t event = bench_next (&bench);
        assert_int_equal (event.code, LEAT_OK);
        assert_true (event.batch.first == i + 1);
        assert_int_equal (leat_buffer_bytes (event.body)[0], letters[i]);
        leat_buffer_release (&event.body);
        offset = i + 2;
    }
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
    bench_t bench = { .subject = &s_subject };
    char below[400];
    snprintf (below, sizeof below, "%s/store", path);
    bench.options.path = below;
    bench.options.size_max = 64 * MIB;
    bench.options.reserve_size = MIB;
    s_begin_again (&bench);
    s_fill_and_free (&bench);
}

static void s_on_filled_disk (const char *path)
{
    if (mount ("tmpfs", path, "tmpfs", 0, "size=8m"))
        _exit (SKIPPED);
    bench_t bench = { .subject = &s_subject };
    char below[400];
    char other[400];
    char texts[][8] = { "wheat", "rye" };
    snprintf (below, sizeof below, "%s/store", path);
    snprintf (other, sizeof other, "%s/other", path);
    bench.options.path = below;
    bench.options.size_max = 64 * MIB;
    bench.options.reserve_size = 1;
    s_begin_again (&bench);
    bench_submit (&bench, 0, 0, texts[0]);
    bench_expect (&bench, 1, LEAT_COMMIT_OK);
    /* Others take all the space; the engine finds out by a write. */
    int fd = open (other, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    while (write (fd, s_body ('o', 4096), 4096) > 0)
        continue;
    leat_commit_t *commit = bench_commit (&bench, 0, 1, s_body ('x', 200000), 200000);
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

static void s_on_read_only_disk (const char *path)
{
    char below[400];
    snprintf (below, sizeof below, "%s/store", path);
    if (mkdir (below, 0700) || mount (path, path, NULL, MS_BIND, NULL)
        || mount (NULL, path, NULL, MS_BIND | MS_REMOUNT | MS_RDONLY, NULL))
        _exit (SKIPPED);
    leat_store_options_t options = { .path = below, .size_max = 64 * MIB };
    s_expect_message (&options, "%s cannot be written to: Read-only file system");
    snprintf (below, sizeof below, "%s/missing", path);
    s_expect_message (&options, "cannot create the directory %s: Read-only file system");
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

static void test_a_read_only_disk (void **state)
{
    s_apart_or_skip (s_on_read_only_disk);
}

int main (void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test (test_a_directory_serves_one_broker),
        cmocka_unit_test (test_a_directory_is_made_for_its_owner_alone),
        cmocka_unit_test (test_directories_that_cannot_be),
        cmocka_unit_test (test_network_filesystems),
        cmocka_unit_test (test_files_of_others),
        cmocka_unit_test (test_other_formats),
        cmocka_unit_test (test_files_that_were_cut_off),
        cmocka_unit_test (test_damaged_batches),
        cmocka_unit_test (test_damaged_rows_stop_recovery),
        cmocka_unit_test (test_left_over_files),
        cmocka_unit_test (test_writes_that_fail),
        cmocka_unit_test (test_syncs_that_fail),
        cmocka_unit_test (test_meta_pages_that_fail),
        cmocka_unit_test (test_no_space_while_writing),
        cmocka_unit_test (test_a_full_map),
        cmocka_unit_test (test_only_what_does_not_fit_is_refused),
        cmocka_unit_test (test_a_full_disk),
        cmocka_unit_test (test_a_disk_that_others_fill),
        cmocka_unit_test (test_a_read_only_disk),
    };
    int failed = cmocka_run_group_tests (tests, NULL, NULL);
    store_place_end ();
    return failed;
}

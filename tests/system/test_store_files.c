/* Files that are damaged, and directories that cannot be used: what is said.
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

static void s_write_data (const char *path, const char *text)
{
    assert_int_equal (mkdir (path, 0700), 0);
    int fd = tools_open_data (path, O_WRONLY | O_CREAT);
    assert_true (write (fd, text, strlen (text)) == (ssize_t) strlen (text));
    close (fd);
}

/* Changes one bit of the only place in data.mdb where `text` stands, `behind` bytes from there. */
static void s_flip (const char *path, const char *text, long behind)
{
    struct stat status;
    int fd = tools_open_data (path, O_RDWR);
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

/* ---- directories ----------------------------------------------------------------------------- */

static void test_a_directory_serves_one_broker (void **state)
{
    bench_t bench;
    tools_begin (&bench, 64 * TOOLS_MIB, 0);
    char path[300];
    snprintf (path, sizeof path, "%s", bench.options.path);
    leat_store_options_t options = { .path = path, .size_max = 64 * TOOLS_MIB };
    tools_expect_message (&options,
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
    tools_begin (&bench, 64 * TOOLS_MIB, 0);
    assert_int_equal (stat (bench.options.path, &status), 0);
    assert_int_equal (status.st_mode & 07777, 0700);
    int fd = tools_open_data (bench.options.path, O_RDONLY);
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
    tools_expect_message (&options,
                          "cannot create %s: the directory that it would be in does not exist");
    snprintf (path, sizeof path, "%s", store_place ());
    int fd = open (path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    close (fd);
    tools_expect_message (&options, "cannot open the directory %s: Not a directory");
    options.path = NULL;
    char error[100];
    assert_null (leat_store_open (&leat_store_lmdb, &options, error, sizeof error));
    assert_string_equal (error, "the store needs a directory");
}

static void test_network_filesystems (void **state)
{
    leat_store_options_t options = { .path = store_place (), .size_max = 64 * TOOLS_MIB };
    char error[300] = "";
    disk_pretend_type (0x6969);
    tools_expect_message (&options,
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
    leat_store_options_t options = { .path = store_place (), .size_max = 64 * TOOLS_MIB };
    static const char foreign[] =
        "%s/data.mdb is no store of Leat's: it is foreign, damaged or cut off; give another directory, "
        "or restore a backup";
    s_write_data (options.path, "");
    tools_expect_message (&options, foreign);
    options.path = store_place ();
    s_write_data (options.path,
                  "once upon a time, in a file of another program, there were bytes that "
                  "no database had ever seen, and which were quite happy there together, "
                  "for they were more than one hundred and fifty of them");
    tools_expect_message (&options, foreign);

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
    tools_expect_message (&options,
                          "%s/data.mdb is a database, but no store of Leat's, or it is damaged; "
                          "give another directory, or restore a backup");
}

static void test_other_formats (void **state)
{
    bench_t bench;
    tools_begin (&bench, 64 * TOOLS_MIB, 0);
    leat_store_close (&bench.store);
    char error[300];
    leat_lmdb_files_t files;
    leat_lmdb_rows_t rows;
    leat_value_t value;
    leat_key_t key = leat_key_meta (LEAT_META_FORMAT);
    leat_value_begin (&value);
    leat_value_put (&value, 1, 4);
    assert_int_equal (
        leat_lmdb_files_open (&files, &bench.options, LEAT_LMDB_BROKER, error, sizeof error), 0);
    assert_int_equal (leat_lmdb_rows_begin (&rows, &files, true), 0);
    assert_int_equal (leat_rows_put (&rows.base, &key, &value), LEAT_ROWS_OK);
    assert_int_equal (leat_lmdb_rows_commit (&rows), 0);
    leat_lmdb_files_close (&files);
    tools_expect_message (&bench.options,
                          "%s was written in format 1; this version of Leat reads format 2");
}

static void test_files_that_were_cut_off (void **state)
{
    bench_t bench;
    recovered_t recovered;
    tools_begin (&bench, 64 * TOOLS_MIB, 0);
    for (uint64_t i = 0; i < 8; i++) {
        leat_commit_t *commit = bench_commit (&bench, 0, i, tools_body ('x', 100000), 100000);
        leat_store_submit (bench.store, &commit);
        bench_expect (&bench, i + 1, LEAT_COMMIT_OK);
    }
    leat_store_close (&bench.store);
    struct stat status;
    int fd = tools_open_data (bench.options.path, O_RDWR);
    assert_int_equal (fstat (fd, &status), 0);
    off_t size = status.st_size;
    char message[300];
    snprintf (message, sizeof message,
              "%%s/data.mdb is cut off: it has 409600 bytes and should have %lld; restore a backup",
              (long long) size);
    char *kept = leat_alloc ((size_t) size);
    assert_true (pread (fd, kept, (size_t) size, 0) == size);
    assert_int_equal (ftruncate (fd, 409600), 0);
    tools_expect_message (&bench.options, message);
    /* It was left as it was. */
    assert_int_equal (fstat (fd, &status), 0);
    assert_int_equal (status.st_size, 409600);
    assert_int_equal (ftruncate (fd, 4096), 0);
    tools_expect_message (&bench.options,
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
    assert_true (leat_store_read (bench->store, STREAM, offset, 1, offset));
    leat_store_event_t event = bench_next (bench);
    assert_int_equal (event.kind, LEAT_STORE_READ);
    assert_int_equal (event.code, LEAT_DAMAGED);
    assert_true (event.batch.first == first);
    assert_int_equal (event.batch.count, count);
    assert_null (event.body);
}

static void test_damaged_batches (void **state)
{
    bench_t bench;
    char texts[][40] = { "wheat, ground in the first mill", "rye, ground in the second mill",
                         "oats, ground in the third mill" };
    tools_begin (&bench, 64 * TOOLS_MIB, 0);
    for (uint64_t i = 0; i < 3; i++) {
        bench_submit (&bench, 0, i, texts[i]);
        bench_expect (&bench, i + 1, LEAT_COMMIT_OK);
    }
    leat_store_close (&bench.store);
    s_flip (bench.options.path, texts[1], 3);
    tools_begin_again (&bench);
    assert_true (leat_store_read (bench.store, STREAM, 0, 1, 0));
    bench_expect_read (&bench, 0, 0, texts[0]);
    s_expect_damaged (&bench, 1, 1, 1);
    assert_true (leat_store_read (bench.store, STREAM, 2, 1, 2));
    bench_expect_read (&bench, 2, 2, texts[2]);
    leat_store_close (&bench.store);
    /* Where the header is damaged its records reach to the next batch, or to the end. */
    s_flip (bench.options.path, texts[0], -LEAT_BATCH_ROW_HEADER + 4);
    s_flip (bench.options.path, texts[2], -1);
    tools_begin_again (&bench);
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
    tools_begin (&bench, 64 * TOOLS_MIB, 0);
    bench_submit (&bench, 0, 0, text);
    bench_expect (&bench, 1, LEAT_COMMIT_OK);
    leat_store_close (&bench.store);
    s_flip (bench.options.path, "corn", 0);
    bench_open (&bench);
    bench_acquire (&bench, NOW_MS);
    assert_int_equal (leat_store_recover (bench.store, tools_anything, NULL, error, sizeof error),
                      -1);
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
    bench = (bench_t){ .subject = &tools_subject,
                       .options = { .path = path, .size_max = 64 * TOOLS_MIB } };
    tools_begin_again (&bench);
    assert_int_equal (access (name, F_OK), -1);
    leat_store_close (&bench.store);
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
    };
    int failed = cmocka_run_group_tests (tests, NULL, NULL);
    store_place_end ();
    return failed;
}

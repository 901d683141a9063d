/* The journal: what is confirmed in it alone is never lost, and never there twice.
 * SPDX-License-Identifier: MPL-2.0 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "broker/store/lmdb_files.h"
#include "broker/store/lmdb_tools.h"
#include "tests/system/store/disk.h"
#include "tests/system/store/tools.h"
#include "tests/unit/store_place.h"

enum { LETTERS = 26, FRAMES = LEAT_LMDB_JOURNAL_SIZE / 4096 };

static char s_letters[LETTERS][2];

static uint64_t s_transactions (const bench_t *bench)
{
    leat_store_stats_t stats;
    leat_store_stats (bench->store, &stats);
    return stats.transactions;
}

/* One record after the other, each when the one before is confirmed; 'a' to 'z', again and again. */
static void s_put (bench_t *bench, uint64_t from, uint64_t to)
{
    for (uint64_t i = from; i < to; i++) {
        char *text = s_letters[i % LETTERS];
        text[0] = (char) ('a' + i % LETTERS);
        bench_submit (bench, 0, i, text);
        bench_expect (bench, bench->next_id - 1, LEAT_COMMIT_OK);
    }
}

/* They are all there, once. */
static void s_expect (const bench_t *bench, const recovered_t *recovered, uint64_t count)
{
    char text[2 * FRAMES];
    assert_true (count < sizeof text);
    for (uint64_t i = 0; i < count; i++)
        text[i] = (char) ('a' + i % LETTERS);
    text[count] = 0;
    bench_expect_recovered (bench, recovered, text);
}

/* Runs `fn` in a process that kills itself then: all files stay as they are. */
static void s_in_a_process_that_dies (void (*fn) (bench_t *bench, uint64_t from, uint64_t to),
                                      const char *path, uint64_t from, uint64_t to)
{
    fflush (NULL);
    pid_t child = fork ();
    assert_true (child >= 0);
    if (!child) {
        alarm (60); /* a check that fails goes on with the next test, here too */
        bench_t bench = { .subject = &tools_subject,
                          .options = { .path = path, .size_max = 64 * TOOLS_MIB } };
        fn (&bench, from, to);
        kill (getpid (), SIGKILL);
    }
    int status;
    assert_true (waitpid (child, &status, 0) == child);
    assert_true (WIFSIGNALED (status) && WTERMSIG (status) == SIGKILL);
}

static void s_begin_and_put (bench_t *bench, uint64_t from, uint64_t to)
{
    tools_begin_again (bench);
    s_put (bench, from, to);
}

static void s_put_and_die (const char *path, uint64_t from, uint64_t to)
{
    s_in_a_process_that_dies (s_begin_and_put, path, from, to);
}

/* Whoever acquires it meets a disk that fails when LMDB is to have what is in the journal. */
static void s_expect_no_acquire (bench_t *bench)
{
    char error[400] = "";
    char expected[400];
    disk_fail (DISK_FAIL_META, EIO);
    assert_int_equal (
        leat_store_acquire (bench->store, NOW_MS, &bench->incarnation, error, sizeof error), -1);
    disk_fail (DISK_NO_FAULT, 0);
    snprintf (expected, sizeof expected,
              "what is confirmed in %s/journal cannot be brought into data.mdb: Input/output error",
              bench->options.path);
    assert_string_equal (error, expected);
}

static void s_begin_in_vain (bench_t *bench, uint64_t from, uint64_t to)
{
    (void) from;
    (void) to;
    bench_open (bench);
    s_expect_no_acquire (bench);
}

static void s_new_path (char *path, size_t size)
{
    snprintf (path, size, "%s", store_place ());
}

static void s_recover (bench_t *bench, const char *path, recovered_t *recovered)
{
    *bench = (bench_t){ .subject = &tools_subject,
                        .options = { .path = path, .size_max = 64 * TOOLS_MIB } };
    bench_open (bench);
    bench_acquire (bench, NOW_MS);
    bench_recover (bench, recovered);
}

/* ---- what is confirmed ----------------------------------------------------------------------- */

static void test_small_commits_need_no_transaction (void **state)
{
    bench_t bench;
    tools_begin (&bench, 64 * TOOLS_MIB, 0);
    s_put (&bench, 0, 1); /* makes the stream, too */
    uint64_t before = s_transactions (&bench);
    s_put (&bench, 1, FRAMES / 2);
    /* Some, if this process was not let run for a while. */
    assert_true (s_transactions (&bench) - before < FRAMES / 4);
    leat_store_close (&bench.store);
}

static void test_a_kill_takes_nothing (void **state)
{
    static const uint64_t counts[] = { 1, 7, FRAMES - 1, FRAMES + 5 };
    for (size_t i = 0; i < sizeof counts / sizeof *counts; i++) {
        char path[300];
        bench_t bench;
        recovered_t recovered;
        s_new_path (path, sizeof path);
        s_put_and_die (path, 0, counts[i]);
        s_recover (&bench, path, &recovered);
        s_expect (&bench, &recovered, counts[i]);
        s_put (&bench, counts[i], counts[i] + 3);
        bench_reopen (&bench, &recovered);
        s_expect (&bench, &recovered, counts[i] + 3);
        leat_store_close (&bench.store);
    }
}

/* Also if those that would bring it into LMDB fail, and are killed. */
static void test_many_kills_take_nothing (void **state)
{
    char path[300];
    bench_t bench;
    recovered_t recovered;
    s_new_path (path, sizeof path);
    for (uint64_t i = 0; i < 8; i++) {
        s_put_and_die (path, 5 * i, 5 * i + 5);
        for (uint64_t j = 0; j < i % 3; j++)
            s_in_a_process_that_dies (s_begin_in_vain, path, 0, 0);
    }
    s_recover (&bench, path, &recovered);
    s_expect (&bench, &recovered, 40);
    leat_store_close (&bench.store);
}

static void test_what_is_confirmed_can_be_read (void **state)
{
    bench_t bench;
    tools_begin (&bench, 64 * TOOLS_MIB, 0);
    for (uint64_t i = 0; i < 50; i++) {
        s_put (&bench, i, i + 1);
        assert_true (leat_store_read (bench.store, STREAM, i, 1, i));
        bench_expect_read (&bench, i, i, s_letters[i % LETTERS]);
    }
    leat_store_close (&bench.store);
}

/* A commit that makes no sense takes its transaction along, but not what was confirmed in it. */
static void test_a_refusal_takes_nothing_along (void **state)
{
    bench_t bench;
    recovered_t recovered;
    tools_begin (&bench, 64 * TOOLS_MIB, 0);
    leat_operation_t operation = { .id = LEAT_OPERATION_GROUP_CREATED };
    operation.group_created.stream = STREAM + 1;
    operation.group_created.group = 1;
    operation.group_created.group_name = leat_text ("millers");
    for (uint64_t i = 0; i < 40; i += 10) {
        s_put (&bench, i, i + 10);
        leat_commit_t *commit = leat_commit_new (bench.next_id++, (uint32_t) i + 1);
        leat_commit_add (commit, &operation);
        leat_store_submit (bench.store, &commit);
        bench_expect (&bench, bench.next_id - 1, LEAT_COMMIT_REFUSED);
    }
    bench_reopen (&bench, &recovered);
    s_expect (&bench, &recovered, 40);
    leat_store_close (&bench.store);
}

/* Large and small ones by turns: the journal is begun anew all the time. */
static void test_large_commits_come_between (void **state)
{
    bench_t bench;
    tools_begin (&bench, 64 * TOOLS_MIB, 0);
    s_put (&bench, 0, 1);
    for (uint64_t i = 1; i < 30; i += 3) {
        leat_commit_t *commit = bench_commit (&bench, 0, i, tools_body ('L', 100000), 100000);
        leat_store_submit (bench.store, &commit);
        bench_expect (&bench, bench.next_id - 1, LEAT_COMMIT_OK);
        s_put (&bench, i + 1, i + 3);
    }
    leat_store_close (&bench.store);
    tools_begin_again (&bench);
    for (uint64_t i = 1; i < 30; i++) {
        assert_true (leat_store_read (bench.store, STREAM, i, 1, i));
        leat_store_event_t event = bench_next (&bench);
        assert_int_equal (event.code, LEAT_OK);
        assert_true (event.batch.first == i);
        assert_int_equal (leat_buffer_size (event.body), i % 3 == 1 ? 100000 : 1);
        assert_int_equal (leat_buffer_bytes (event.body)[0],
                          i % 3 == 1 ? 'L' : 'a' + (int) i % LETTERS);
        leat_buffer_release (&event.body);
    }
    leat_store_close (&bench.store);
}

/* ---- disks that fail ------------------------------------------------------------------------- */

static void s_fail_journal (int code)
{
    bench_t bench;
    recovered_t recovered;
    tools_begin (&bench, 64 * TOOLS_MIB, 0);
    s_put (&bench, 0, 3);
    disk_fail (DISK_FAIL_META, code);
    bench_submit (&bench, 0, 3, s_letters[3]);
    leat_store_event_t event = bench_next (&bench);
    assert_int_equal (event.result, LEAT_COMMIT_UNKNOWN);
    char expected[400];
    snprintf (expected, sizeof expected,
              "writing and syncing %s/journal failed: Input/output error; nothing more is "
              "confirmed until the store is opened again",
              bench.options.path);
    assert_string_equal (event.reason, expected);
    disk_fail (DISK_NO_FAULT, 0);
    bench_submit (&bench, 9, 3, s_letters[3]);
    bench_expect (&bench, bench.next_id - 1, LEAT_COMMIT_UNKNOWN);
    bench_acquire (&bench, NOW_MS);
    bench_recover (&bench, &recovered);
    /* A frame of which the half that was written has all commits is as good as a whole one. */
    s_expect (&bench, &recovered, code ? 3 : 4);
    leat_store_close (&bench.store);
}

static void test_a_journal_that_fails (void **state)
{
    s_fail_journal (EIO);
    s_fail_journal (0);
}

/* What was confirmed is in the journal when LMDB cannot have it. */
static void s_fail_data (disk_fault_t fault)
{
    bench_t bench;
    recovered_t recovered;
    tools_begin (&bench, 64 * TOOLS_MIB, 0);
    s_put (&bench, 0, 3);
    disk_fail (fault, EIO);
    s_put (&bench, 3, 5);
    assert_true (leat_store_read (bench.store, STREAM, 0, 1, 0));
    leat_store_event_t event = bench_next (&bench);
    assert_int_equal (event.code, LEAT_STORE_FAILED);
    bench_submit (&bench, 0, 5, s_letters[5]);
    bench_expect (&bench, bench.next_id - 1, LEAT_COMMIT_UNKNOWN);
    disk_fail (DISK_NO_FAULT, 0);
    bench_acquire (&bench, NOW_MS);
    bench_recover (&bench, &recovered);
    s_expect (&bench, &recovered, 5);
    s_put (&bench, 5, 6);
    bench_reopen (&bench, &recovered);
    s_expect (&bench, &recovered, 6);
    leat_store_close (&bench.store);
}

static void test_transactions_that_fail (void **state)
{
    s_fail_data (DISK_FAIL_WRITE);
    s_fail_data (DISK_FAIL_SYNC);
}

/* It can be tried again, without another process. */
static void test_a_replay_that_fails (void **state)
{
    char path[300];
    recovered_t recovered;
    s_new_path (path, sizeof path);
    s_put_and_die (path, 0, 5);
    bench_t bench = { .subject = &tools_subject,
                      .options = { .path = path, .size_max = 64 * TOOLS_MIB } };
    bench_open (&bench);
    s_expect_no_acquire (&bench);
    bench_acquire (&bench, NOW_MS);
    bench_recover (&bench, &recovered);
    s_expect (&bench, &recovered, 5);
    leat_store_close (&bench.store);
}

/* ---- files ----------------------------------------------------------------------------------- */

static int s_open_journal (const char *path, int flags)
{
    char name[400];
    snprintf (name, sizeof name, "%s/" LEAT_LMDB_JOURNAL_NAME, path);
    int fd = open (name, flags | O_CLOEXEC, 0600);
    assert_true (fd >= 0);
    return fd;
}

static void test_a_journal_that_was_cut_off (void **state)
{
    bench_t bench;
    tools_begin (&bench, 64 * TOOLS_MIB, 0);
    leat_store_close (&bench.store);
    int fd = s_open_journal (bench.options.path, O_RDWR);
    assert_int_equal (ftruncate (fd, 4096), 0);
    close (fd);
    tools_expect_message (&bench.options,
                          "%s/journal is not as Leat makes it: it should have 1048576 bytes; "
                          "restore a backup");
}

/* A frame of another broker, or for another transaction, is nobody's. */
static void test_old_frames_mean_nothing (void **state)
{
    char path[300];
    static char kept[LEAT_LMDB_JOURNAL_SIZE];
    bench_t bench;
    recovered_t recovered;
    s_new_path (path, sizeof path);
    s_put_and_die (path, 0, 5);
    int fd = s_open_journal (path, O_RDWR);
    assert_true (pread (fd, kept, sizeof kept, 0) == sizeof kept);
    s_recover (&bench, path, &recovered);
    s_expect (&bench, &recovered, 5);
    leat_store_close (&bench.store);
    assert_true (pwrite (fd, kept, sizeof kept, 0) == sizeof kept);
    close (fd);
    s_recover (&bench, path, &recovered);
    s_expect (&bench, &recovered, 5);
    leat_store_close (&bench.store);
}

/* ---- frames that mean nothing ---------------------------------------------------------------- */

enum { OTHER = STREAM + 2 };

static leat_operation_t s_other_created (void)
{
    leat_operation_t operation = { .id = LEAT_OPERATION_STREAM_CREATED };
    operation.stream_created.stream = OTHER;
    operation.stream_created.durability = LEAT_SYNC;
    operation.stream_created.retention = LEAT_RETENTION_WORK;
    operation.stream_created.stream_name = leat_text ("other");
    return operation;
}

/* Deletes the other stream, which is not there: changes no row. */
static void s_delete_nothing (bench_t *bench)
{
    leat_operation_t operations[] = { { .id = LEAT_OPERATION_STREAM_DELETED }, { 0 } };
    operations[0].stream_deleted.stream = OTHER;
    bench_do (bench, operations);
}

/* LMDB has everything when this is answered. */
static void s_read (bench_t *bench)
{
    assert_true (leat_store_read (bench->store, STREAM, 0, 1, 0));
    bench_expect_read (bench, 0, 0, s_letters[0]);
}

/* LMDB does not count a transaction that changes nothing, so that the next one has its number. */
static void s_begin_and_reuse_number (bench_t *bench, uint64_t from, uint64_t to)
{
    const leat_operation_t operations[] = { s_other_created (), { 0 } };
    s_begin_and_put (bench, from, to);
    s_read (bench);
    s_delete_nothing (bench);
    s_delete_nothing (bench);
    s_delete_nothing (bench);
    s_read (bench);
    bench_do (bench, operations);
}

/* The other stream is made behind a transaction of which the journal still has the frames. */
static void s_begin_and_leave_frames (bench_t *bench, uint64_t from, uint64_t to)
{
    s_begin_and_put (bench, from, to);
    s_delete_nothing (bench);
    s_read (bench);
    const leat_operation_t created = s_other_created ();
    leat_commit_t *commit = bench_commit (bench, 0, to, tools_body ('L', 100000), 100000);
    leat_commit_add (commit, &created);
    leat_store_submit (bench->store, &commit);
    bench_expect (bench, bench->next_id - 1, LEAT_COMMIT_OK);
}

static void test_frames_that_are_left (void **state)
{
    void (*const ways[]) (bench_t * bench, uint64_t from,
                          uint64_t to) = { s_begin_and_reuse_number, s_begin_and_leave_frames };
    for (size_t i = 0; i < sizeof ways / sizeof *ways; i++) {
        char path[300];
        char error[400] = "";
        s_new_path (path, sizeof path);
        s_in_a_process_that_dies (ways[i], path, 0, 3);
        bench_t bench = { .subject = &tools_subject,
                          .options = { .path = path, .size_max = 64 * TOOLS_MIB } };
        tools_begin_again (&bench);
        leat_store_close (&bench.store);
        json_t *dump = leat_lmdb_dump (path, error, sizeof error);
        assert_non_null (dump);
        assert_int_equal (json_array_size (json_object_get (dump, "streams")), 2);
        json_decref (dump);
    }
}

static void s_damage_frame (const char *path, uint64_t number)
{
    int fd = s_open_journal (path, O_RDWR);
    const char byte = '!';
    assert_true (pwrite (fd, &byte, 1, (off_t) (4096 * number + 40)) == 1);
    close (fd);
}

static void s_note_damage (void *arg, const leat_store_finding_t *finding)
{
    char *what = arg;
    if (finding->damaged)
        snprintf (what, 600, "%s", finding->what);
}

/* The last one may have been being written; one before it was confirmed. */
static void test_damaged_frames (void **state)
{
    char path[300];
    char error[600] = "";
    char what[600] = "";
    char expected[600];
    uint64_t damages;
    bench_t bench;
    recovered_t recovered;
    s_new_path (path, sizeof path);
    s_put_and_die (path, 0, 5);
    s_damage_frame (path, 4);
    s_recover (&bench, path, &recovered);
    s_expect (&bench, &recovered, 4);
    leat_store_close (&bench.store);
    for (uint64_t i = 0; i < 4; i += 3) {
        s_new_path (path, sizeof path);
        s_put_and_die (path, 0, 5);
        s_damage_frame (path, i);
        bench.options.path = path;
        bench_open (&bench);
        int code =
            leat_store_acquire (bench.store, NOW_MS, &bench.incarnation, error, sizeof error);
        assert_int_equal (code, -1);
        snprintf (expected, sizeof expected,
                  "what is confirmed in %s/journal cannot be brought into data.mdb: a commit that "
                  "others follow is damaged; restore a backup",
                  path);
        assert_string_equal (error, expected);
        leat_store_close (&bench.store);
        assert_int_equal (
            leat_lmdb_verify (path, s_note_damage, what, &damages, error, sizeof error), 0);
        assert_true (damages == 1);
        assert_string_equal (what, expected);
    }
}

/* ---- leat store ------------------------------------------------------------------------------ */

static void s_note (void *arg, const leat_store_finding_t *finding)
{
    uint64_t *records = arg;
    *records += finding->damaged ? 1000000 : finding->records;
}

static void s_expect_verified (const char *path, uint64_t count)
{
    char error[400] = "";
    uint64_t records = 0;
    uint64_t damages = 0;
    if (leat_lmdb_verify (path, s_note, &records, &damages, error, sizeof error))
        fail_msg ("verify: %s", error);
    assert_true (damages == 0);
    assert_true (records == count);
}

static void s_expect_dumped (const char *path, json_int_t count)
{
    char error[400] = "";
    json_t *dump = leat_lmdb_dump (path, error, sizeof error);
    if (!dump)
        fail_msg ("dump: %s", error);
    json_t *stream = json_array_get (json_object_get (dump, "streams"), 0);
    assert_true (json_integer_value (json_object_get (stream, "records")) == count);
    json_decref (dump);
}

/* All of them see what is confirmed, the first two without changing anything. */
static void test_tools_see_what_is_confirmed (void **state)
{
    char path[300];
    char target[300];
    char error[400] = "";
    uint64_t size;
    bench_t bench;
    recovered_t recovered;
    s_new_path (path, sizeof path);
    s_put_and_die (path, 0, 9);
    for (int i = 0; i < 2; i++) {
        s_expect_verified (path, 9);
        s_expect_dumped (path, 9);
    }
    s_new_path (target, sizeof target);
    if (leat_lmdb_backup (path, target, &size, error, sizeof error))
        fail_msg ("backup: %s", error);
    s_expect_verified (target, 9);
    s_new_path (path, sizeof path);
    s_put_and_die (path, 0, 9);
    uint64_t before;
    if (leat_lmdb_compact (path, &before, &size, error, sizeof error))
        fail_msg ("compact: %s", error);
    s_expect_verified (path, 9);
    s_recover (&bench, path, &recovered);
    s_expect (&bench, &recovered, 9);
    leat_store_close (&bench.store);
}

static void test_backups_beside_a_broker_have_it (void **state)
{
    bench_t bench;
    char path[300];
    char target[300];
    char error[400] = "";
    uint64_t size;
    tools_begin (&bench, 64 * TOOLS_MIB, 0);
    snprintf (path, sizeof path, "%s", bench.options.path);
    for (uint64_t i = 0; i < 3; i++) {
        s_put (&bench, 10 * i, 10 * i + 10);
        s_new_path (target, sizeof target);
        if (leat_lmdb_backup (path, target, &size, error, sizeof error))
            fail_msg ("backup: %s", error);
        s_expect_verified (target, 10 * i + 10);
    }
    leat_store_close (&bench.store);
}

/* It always has something in the journal: what came meanwhile is not waited for. */
static void test_backups_beside_a_busy_broker (void **state)
{
    char path[300];
    char target[300];
    char error[400] = "";
    uint64_t size;
    int ends[2];
    char told;
    s_new_path (path, sizeof path);
    assert_int_equal (pipe2 (ends, O_CLOEXEC), 0);
    fflush (NULL);
    pid_t child = fork ();
    assert_true (child >= 0);
    if (!child) {
        alarm (60);
        bench_t bench = { .subject = &tools_subject,
                          .options = { .path = path, .size_max = 64 * TOOLS_MIB } };
        s_begin_and_put (&bench, 0, 10);
        assert_true (write (ends[1], "", 1) == 1);
        s_put (&bench, 10, UINT64_MAX);
    }
    assert_true (read (ends[0], &told, 1) == 1);
    s_new_path (target, sizeof target);
    int code = leat_lmdb_backup (path, target, &size, error, sizeof error);
    kill (child, SIGKILL);
    assert_true (waitpid (child, NULL, 0) == child);
    close (ends[0]);
    close (ends[1]);
    if (code)
        fail_msg ("backup: %s", error);
    uint64_t records = 0;
    uint64_t damages = 0;
    code = leat_lmdb_verify (target, s_note, &records, &damages, error, sizeof error);
    assert_int_equal (code, 0);
    assert_true (damages == 0 && records >= 10);
}

static int s_set_up (void **state)
{
    (void) state;
    disk_fail (DISK_NO_FAULT, 0);
    return 0;
}

int main (void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup (test_small_commits_need_no_transaction, s_set_up),
        cmocka_unit_test_setup (test_a_kill_takes_nothing, s_set_up),
        cmocka_unit_test_setup (test_many_kills_take_nothing, s_set_up),
        cmocka_unit_test_setup (test_what_is_confirmed_can_be_read, s_set_up),
        cmocka_unit_test_setup (test_a_refusal_takes_nothing_along, s_set_up),
        cmocka_unit_test_setup (test_large_commits_come_between, s_set_up),
        cmocka_unit_test_setup (test_a_journal_that_fails, s_set_up),
        cmocka_unit_test_setup (test_transactions_that_fail, s_set_up),
        cmocka_unit_test_setup (test_a_replay_that_fails, s_set_up),
        cmocka_unit_test_setup (test_a_journal_that_was_cut_off, s_set_up),
        cmocka_unit_test_setup (test_old_frames_mean_nothing, s_set_up),
        cmocka_unit_test_setup (test_frames_that_are_left, s_set_up),
        cmocka_unit_test_setup (test_damaged_frames, s_set_up),
        cmocka_unit_test_setup (test_tools_see_what_is_confirmed, s_set_up),
        cmocka_unit_test_setup (test_backups_beside_a_broker_have_it, s_set_up),
        cmocka_unit_test_setup (test_backups_beside_a_busy_broker, s_set_up),
    };
    int failed = cmocka_run_group_tests (tests, NULL, NULL);
    store_place_end ();
    return failed;
}

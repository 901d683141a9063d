/* Brings what is in the journal into LMDB.
 * SPDX-License-Identifier: MPL-2.0 */
#include "broker/store/lmdb_replay.h"

#include <stdio.h>

#include "broker/store/apply.h"

static int s_cannot_read (const leat_lmdb_files_t *files, int code, char *error, size_t error_size)
{
    snprintf (error, error_size, "cannot read %s/" LEAT_LMDB_JOURNAL_NAME ": %s", files->path,
              leat_lmdb_text (code));
    return -1;
}

/* Looks for frames for `transaction`, by the broker that the store belonged to last. */
static int s_begin (leat_lmdb_files_t *files, leat_lmdb_rows_t *rows, uint64_t transaction,
                    char *error, size_t error_size)
{
    leat_value_t value;
    leat_key_t key = leat_key_meta (LEAT_META_INCARNATION);
    leat_rows_result_t result = leat_rows_get (&rows->base, &key, &value);
    if (result && result != LEAT_ROWS_NONE) {
        snprintf (error, error_size, "the store in %s: the row of the incarnation is damaged",
                  files->path);
        return -1;
    }
    uint64_t incarnation = result ? 0 : leat_value_get (&value, 8);
    leat_lmdb_journal_begin (&files->journal, incarnation, transaction);
    return 0;
}

int leat_lmdb_replay_due (leat_lmdb_files_t *files, char *error, size_t error_size)
{
    leat_lmdb_rows_t rows;
    leat_buffer_t *commits = NULL;
    int code = leat_lmdb_rows_begin (&rows, files, false);
    if (code) {
        snprintf (error, error_size, "cannot read the store in %s: %s", files->path,
                  leat_lmdb_text (code));
        return -1;
    }
    code = s_begin (files, &rows, mdb_txn_id (rows.txn) + 1, error, error_size);
    leat_lmdb_rows_abort (&rows);
    if (code)
        return -1;
    code = leat_lmdb_journal_read (&files->journal, &commits);
    if (code)
        return s_cannot_read (files, code, error, error_size);
    int due = commits != NULL;
    leat_buffer_release (&commits);
    return due;
}

static int s_failed (const leat_lmdb_files_t *files, const char *why, char *error,
                     size_t error_size)
{
    snprintf (error, error_size,
              "what is confirmed in %s/" LEAT_LMDB_JOURNAL_NAME
              " cannot be brought into " LEAT_LMDB_DATA_NAME ": %s",
              files->path, why);
    return -1;
}

static int s_apply_commit (const leat_lmdb_files_t *files, leat_lmdb_rows_t *rows,
                           leat_apply_t *apply, leat_buffer_t *commit, char *error,
                           size_t error_size)
{
    leat_commit_reader_t reader;
    leat_code_t code = leat_commit_read (&reader, commit);
    while (code == LEAT_OK && reader.left) {
        leat_operation_t operation;
        code = leat_commit_read_operation (&reader, &operation);
        leat_apply_result_t result =
            code == LEAT_OK ? leat_apply (apply, &operation) : LEAT_APPLY_OK;
        if (result == LEAT_APPLY_FULL || result == LEAT_APPLY_FAILED)
            return s_failed (files, leat_lmdb_text (rows->code), error, error_size);
        if (result)
            return s_failed (files, leat_apply_reason (apply), error, error_size);
    }
    return code == LEAT_OK ? 0 : s_failed (files, "a commit is damaged", error, error_size);
}

static int s_apply_all (leat_lmdb_files_t *files, leat_lmdb_rows_t *rows, leat_apply_t *apply,
                        char *error, size_t error_size)
{
    leat_buffer_t *commits;
    for (;;) {
        int code = leat_lmdb_journal_read (&files->journal, &commits);
        if (code)
            return s_cannot_read (files, code, error, error_size);
        if (!commits)
            break;
        leat_buffer_t *commit;
        size_t position = 0;
        while (!code && (commit = leat_lmdb_journal_next (commits, &position))) {
            code = s_apply_commit (files, rows, apply, commit, error, error_size);
            leat_buffer_release (&commit);
        }
        leat_buffer_release (&commits);
        if (code)
            return -1;
    }
    return leat_apply_finish (apply)
               ? s_failed (files, leat_lmdb_text (rows->code), error, error_size)
               : 0;
}

int leat_lmdb_replay_apply (leat_lmdb_files_t *files, leat_lmdb_rows_t *rows, char *error,
                            size_t error_size)
{
    if (s_begin (files, rows, mdb_txn_id (rows->txn), error, error_size))
        return -1;
    leat_apply_t *apply = leat_apply_new (&rows->base);
    int code = s_apply_all (files, rows, apply, error, error_size);
    leat_apply_destroy (&apply);
    return code;
}

int leat_lmdb_replay (leat_lmdb_files_t *files, char *error, size_t error_size)
{
    leat_lmdb_rows_t rows;
    int due = leat_lmdb_replay_due (files, error, error_size);
    if (due <= 0)
        return due;
    int code = leat_lmdb_rows_begin (&rows, files, true);
    if (code)
        return s_failed (files, leat_lmdb_text (code), error, error_size);
    if (leat_lmdb_replay_apply (files, &rows, error, error_size)) {
        leat_lmdb_rows_abort (&rows);
        return -1;
    }
    code = leat_lmdb_rows_commit (&rows);
    return code ? s_failed (files, leat_lmdb_text (code), error, error_size) : 0;
}

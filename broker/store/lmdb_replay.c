/* Brings what is in the journal into LMDB.
 * SPDX-License-Identifier: MPL-2.0 */
#include "broker/store/lmdb_replay.h"

#include <stdio.h>

#include "broker/store/apply.h"

static const char s_damaged[] = "a commit is damaged; restore a backup";

static int s_cannot_read (const leat_lmdb_files_t *files, int code, char *error, size_t error_size)
{
    snprintf (error, error_size, "cannot read %s/" LEAT_LMDB_JOURNAL_NAME ": %s", files->path,
              leat_lmdb_text (code));
    return -1;
}

/* The place of the first frame for `transaction`, by the broker that the store belonged to last; *known is false if
 * there was none. */
static int s_begin (const leat_lmdb_files_t *files, leat_lmdb_rows_t *rows, uint64_t transaction,
                    leat_lmdb_frames_t *place, bool *known, char *error, size_t error_size)
{
    leat_value_t value;
    leat_key_t key = leat_key_meta (LEAT_META_JOURNAL);
    leat_rows_result_t result = leat_rows_get (&rows->base, &key, &value);
    *known = result == LEAT_ROWS_OK;
    *place = (leat_lmdb_frames_t){ .transaction = transaction };
    if (*known)
        place->key = leat_value_get (&value, 8);
    if (*known || result == LEAT_ROWS_NONE)
        return 0;
    snprintf (error, error_size, "the store in %s: the row of the journal is damaged", files->path);
    return -1;
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

/* Behind `place` is no frame. Beside a broker one may be half written, and others in place of those. */
static int s_check_end (const leat_lmdb_files_t *files, const leat_lmdb_frames_t *place,
                        leat_buffer_t *image, char *error, size_t error_size)
{
    if (!files->alone
        || !leat_lmdb_frames_damaged (place, leat_buffer_bytes (image), leat_buffer_size (image)))
        return 0;
    return s_failed (files, "a commit that others follow is damaged; restore a backup", error,
                     error_size);
}

int leat_lmdb_replay_due (leat_lmdb_files_t *files, uint64_t *transaction, char *error,
                          size_t error_size)
{
    leat_lmdb_rows_t rows;
    leat_lmdb_frames_t place;
    leat_buffer_t *image;
    bool known;
    int code = leat_lmdb_rows_begin (&rows, files, false);
    if (code) {
        snprintf (error, error_size, "cannot read the store in %s: %s", files->path,
                  leat_lmdb_text (code));
        return -1;
    }
    *transaction = mdb_txn_id (rows.txn) + 1;
    code = s_begin (files, &rows, *transaction, &place, &known, error, error_size);
    leat_lmdb_rows_abort (&rows);
    if (code || !known)
        return code;
    code = leat_lmdb_journal_read (&files->journal, &image);
    if (code)
        return s_cannot_read (files, code, error, error_size);
    uint32_t size;
    int due =
        leat_lmdb_frames_next (&place, leat_buffer_bytes (image), leat_buffer_size (image), &size)
                != NULL
            ? 1
            : s_check_end (files, &place, image, error, error_size);
    leat_buffer_release (&image);
    return due;
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
    if (code == LEAT_OK)
        code = leat_commit_read_end (&reader);
    return code == LEAT_OK ? 0 : s_failed (files, s_damaged, error, error_size);
}

static int s_apply_frame (const leat_lmdb_files_t *files, leat_lmdb_rows_t *rows,
                          leat_apply_t *apply, const uint8_t *commits, uint32_t size, char *error,
                          size_t error_size)
{
    const uint8_t *bytes;
    uint32_t commit_size;
    uint32_t position = 0;
    while ((bytes = leat_lmdb_frames_commit (commits, size, &position, &commit_size))) {
        leat_buffer_t *commit = leat_buffer_copy (bytes, commit_size);
        int code = s_apply_commit (files, rows, apply, commit, error, error_size);
        leat_buffer_release (&commit);
        if (code)
            return code;
    }
    return position == size ? 0 : s_failed (files, s_damaged, error, error_size);
}

static int s_apply_all (const leat_lmdb_files_t *files, leat_lmdb_rows_t *rows,
                        leat_lmdb_frames_t *place, leat_buffer_t *image, char *error,
                        size_t error_size)
{
    leat_apply_t *apply = leat_apply_new (&rows->base);
    const uint8_t *commits;
    uint32_t size;
    int code = 0;
    while (!code
           && (commits = leat_lmdb_frames_next (place, leat_buffer_bytes (image),
                                                leat_buffer_size (image), &size)))
        code = s_apply_frame (files, rows, apply, commits, size, error, error_size);
    if (!code)
        code = s_check_end (files, place, image, error, error_size);
    if (!code && leat_apply_finish (apply))
        code = s_failed (files, leat_lmdb_text (rows->code), error, error_size);
    leat_apply_destroy (&apply);
    return code;
}

int leat_lmdb_replay_apply (leat_lmdb_files_t *files, leat_lmdb_rows_t *rows, char *error,
                            size_t error_size)
{
    leat_lmdb_frames_t place;
    leat_buffer_t *image;
    bool known;
    if (s_begin (files, rows, mdb_txn_id (rows->txn), &place, &known, error, error_size))
        return -1;
    if (!known)
        return 0;
    int code = leat_lmdb_journal_read (&files->journal, &image);
    if (code)
        return s_cannot_read (files, code, error, error_size);
    code = s_apply_all (files, rows, &place, image, error, error_size);
    leat_buffer_release (&image);
    return code;
}

int leat_lmdb_replay (leat_lmdb_files_t *files, char *error, size_t error_size)
{
    leat_lmdb_rows_t rows;
    uint64_t transaction;
    int due = leat_lmdb_replay_due (files, &transaction, error, error_size);
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

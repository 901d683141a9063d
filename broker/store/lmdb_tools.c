/* What `leat store` does with a directory.
 * SPDX-License-Identifier: MPL-2.0 */
#include "broker/store/lmdb_tools.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "broker/store/lmdb_files.h"
#include "broker/store/lmdb_replay.h"
#include "broker/store/lmdb_rows.h"
#include "broker/store/recite.h"
#include "wire/crc32c.h"

enum {
    SWEEP_ROWS = 10000,
    SWEEP_SIZE = 256 * 1024 * 1024,
    BESIDE_MS = 5000, /* so long a broker may take to commit what is in its journal */
    BESIDE_LOOK_MS = 5
};

static int s_open (leat_lmdb_files_t *files, const char *path, leat_lmdb_use_t use, char *error,
                   size_t error_size)
{
    leat_store_options_t options = { .path = path, .network_allowed = true };
    return leat_lmdb_files_open (files, &options, use, error, error_size);
}

static int s_cannot (const char *what, const char *path, int code, char *error, size_t error_size)
{
    snprintf (error, error_size, "cannot %s %s: %s", what, path, leat_lmdb_text (code));
    return -1;
}

static int s_read_only (const char *path, char *error, size_t error_size)
{
    snprintf (error, error_size,
              "%s/" LEAT_LMDB_JOURNAL_NAME " has commits that " LEAT_LMDB_DATA_NAME
              " does not have yet, and nothing can be written there; copy the directory first",
              path);
    return -1;
}

/* Begins a transaction that has what is in the journal, too. It is to be given up: whoever looks changes
 * nothing. What cannot be had of the journal is told in `why`, which is empty otherwise. */
static int s_begin_look (leat_lmdb_files_t *files, leat_lmdb_rows_t *rows, char *why,
                         size_t why_size)
{
    *why = 0;
    uint64_t transaction;
    int due = leat_lmdb_replay_due (files, &transaction, why, why_size);
    if (due > 0 && files->read_only)
        s_read_only (files->path, why, why_size);
    else if (due > 0) {
        int code = leat_lmdb_rows_begin (rows, files, true);
        if (code || leat_lmdb_replay_apply (files, rows, why, why_size) == 0)
            return code;
        leat_lmdb_rows_abort (rows);
    }
    return leat_lmdb_rows_begin (rows, files, false);
}

/* ---- verify ---------------------------------------------------------------------------------- */

typedef struct {
    leat_rows_t *rows;
    leat_store_finding_fn *fn;
    void *arg;
    uint64_t damages;
} check_t;

static void s_damage (check_t *self, const char *stream, uint64_t first, uint64_t end,
                      const char *what)
{
    leat_store_finding_t finding = { stream, true, first, end, 0, 0, 0, what };
    self->damages++;
    self->fn (self->arg, &finding);
}

/* A batch whose header is damaged reaches to the next one. */
static uint64_t s_next_batch (const check_t *self, uint32_t place, uint64_t from, uint64_t end)
{
    leat_key_t next = leat_key_numbered ('B', place, from);
    leat_key_t to = leat_key_numbered ('B', place, end);
    leat_key_t key;
    const uint8_t *value;
    size_t size;
    return self->rows->next (self->rows, &next, &to, &key, &value, &size) == LEAT_ROWS_OK
               ? leat_key_get_u64 (&key, 5)
               : end;
}

/* Looks at one batch; returns where the next one may begin. */
static uint64_t s_check_batch (check_t *self, const leat_key_t *key, const uint8_t *value,
                               size_t size, uint64_t end, leat_store_finding_t *sum)
{
    uint64_t first = leat_key_get_u64 (key, 5);
    leat_batch_row_t row;
    if (!leat_batch_row_read (&row, key, value, size)) {
        uint64_t next = s_next_batch (self, leat_key_get_u32 (key, 1), first + 1, end);
        s_damage (self, sum->stream, first, next, "the header of the batch is damaged");
        sum->damaged = true; /* how many records it has is not known */
        return next;
    }
    const uint8_t *body = value + LEAT_BATCH_ROW_HEADER;
    size -= LEAT_BATCH_ROW_HEADER;
    if (leat_crc32c (body, size) != row.crc32c)
        s_damage (self, sum->stream, first, first + row.count,
                  "the records do not match their checksum");
    sum->batches++;
    sum->records += row.count;
    sum->size += size;
    return first + row.count;
}

static void s_check_stream (check_t *self, uint32_t place, const char *name)
{
    leat_extent_t extent;
    leat_store_finding_t sum = { .stream = name };
    if (leat_rows_extent (self->rows, place, &extent)) {
        s_damage (self, name, 0, 0, "the row that tells what it holds is damaged");
        return;
    }
    leat_key_t next = leat_key_numbered ('B', place, extent.first);
    leat_key_t end = leat_key_numbered ('B', place, extent.next);
    leat_key_t key;
    const uint8_t *value;
    size_t size;
    leat_rows_result_t result;
    while (!(result = self->rows->next (self->rows, &next, &end, &key, &value, &size)))
        next = leat_key_numbered ('B', place,
                                  s_check_batch (self, &key, value, size, extent.next, &sum));
    if (result != LEAT_ROWS_NONE)
        s_damage (self, name, leat_key_get_u64 (&next, 5), extent.next,
                  "the database is damaged there");
    else if (!sum.damaged && (sum.records != extent.records || sum.size != extent.size))
        s_damage (self, name, extent.first, extent.next, "batches are missing, or are too many");
    sum.damaged = false;
    sum.first = extent.first;
    sum.end = extent.next;
    self->fn (self->arg, &sum);
}

static void s_check_streams (check_t *self)
{
    leat_value_t value;
    leat_key_t key;
    leat_key_t next = leat_key ('S');
    leat_key_t to = leat_key_behind (&next);
    leat_rows_result_t result;
    while ((result = leat_rows_next (self->rows, &next, &to, &key, &value)) != LEAT_ROWS_NONE) {
        if (result == LEAT_ROWS_FAILED)
            break;
        char name[LEAT_NAME_MAX + 1];
        uint32_t place = (uint32_t) leat_value_get (&value, 4);
        value.position = LEAT_STREAM_ROW_NAME;
        if (!result && value.size > LEAT_STREAM_ROW_NAME) {
            leat_text_t text = leat_value_get_rest (&value);
            snprintf (name, sizeof name, "%.*s", (int) text.size, text.data);
            s_check_stream (self, place, name);
        } /* else leat_recite tells */
        next = leat_key_place ('S', leat_key_get_u32 (&key, 1));
        next.bytes[next.size++] = 0;
    }
}

static bool s_taken (void *arg, leat_buffer_t *commit)
{
    (void) arg;
    (void) commit;
    return true;
}

int leat_lmdb_verify (const char *path, leat_store_finding_fn *fn, void *arg, uint64_t *damages,
                      char *error, size_t error_size)
{
    leat_lmdb_files_t files;
    leat_lmdb_rows_t rows;
    if (s_open (&files, path, LEAT_LMDB_OFFLINE, error, error_size))
        return -1;
    char what[512];
    int code = s_begin_look (&files, &rows, what, sizeof what);
    if (!code) {
        check_t check = { .rows = &rows.base, .fn = fn, .arg = arg };
        if (*what)
            s_damage (&check, NULL, 0, 0, what);
        s_check_streams (&check);
        if (leat_recite (&rows.base, s_taken, NULL, what, sizeof what))
            s_damage (&check, NULL, 0, 0, what);
        *damages = check.damages;
        leat_lmdb_rows_abort (&rows);
    }
    leat_lmdb_files_close (&files);
    return code ? s_cannot ("read", path, code, error, error_size) : 0;
}

/* ---- copies ---------------------------------------------------------------------------------- */

static uint64_t s_size (int fd)
{
    struct stat status;
    return fstat (fd, &status) ? 0 : (uint64_t) status.st_size;
}

/* What is copied is to have everything that is confirmed: brings it into data.mdb, or, beside a broker, waits
 * until that does. What is confirmed meanwhile is not waited for: a broker at work always has some. */
static int s_catch_up (leat_lmdb_files_t *files, char *error, size_t error_size)
{
    uint64_t wanted = 0;
    for (int waited = 0; waited < BESIDE_MS; waited += BESIDE_LOOK_MS) {
        uint64_t transaction;
        int due = leat_lmdb_replay_due (files, &transaction, error, error_size);
        if (due <= 0)
            return due;
        if (files->alone && files->read_only)
            return s_read_only (files->path, error, error_size);
        if (files->alone)
            return leat_lmdb_replay (files, error, error_size);
        if (!wanted)
            wanted = transaction;
        if (transaction > wanted)
            return 0;
        poll (NULL, 0, BESIDE_LOOK_MS);
    }
    snprintf (error, error_size,
              "the broker of %s does not commit what is in its journal; does it still run?",
              files->path);
    return -1;
}

/* Removes everything that was discarded, so that it is not copied. */
static int s_sweep (const leat_lmdb_files_t *files)
{
    bool more = true;
    int code = 0;
    while (more && !code) {
        leat_lmdb_rows_t rows;
        code = leat_lmdb_rows_begin (&rows, files, true);
        if (code)
            break;
        if (leat_lmdb_rows_sweep (&rows, SWEEP_ROWS, SWEEP_SIZE, &more) == LEAT_ROWS_OK) {
            code = leat_lmdb_rows_commit (&rows);
            continue;
        }
        code = rows.code;
        leat_lmdb_rows_abort (&rows);
    }
    return code;
}

/* Copies an environment to data.mdb of a directory, whole or not at all. */
static int s_copy (const leat_lmdb_files_t *files, int directory, const char *path, uint64_t *size,
                   char *error, size_t error_size)
{
    int fd = leat_lmdb_files_new (directory, path, error, error_size);
    if (fd < 0)
        return -1;
    int code = mdb_env_copyfd2 (files->env, fd, MDB_CP_COMPACT);
    *size = s_size (fd);
    if (code)
        s_cannot ("copy the store to", path, code, error, error_size);
    else
        code = leat_lmdb_files_keep (directory, path, fd, error, error_size);
    if (code)
        unlinkat (directory, LEAT_LMDB_NEW_NAME, 0);
    close (fd);
    return code ? -1 : 0;
}

int leat_lmdb_compact (const char *path, uint64_t *before, uint64_t *after, char *error,
                       size_t error_size)
{
    leat_lmdb_files_t files;
    int fd;
    if (s_open (&files, path, LEAT_LMDB_OFFLINE, error, error_size))
        return -1;
    *before = mdb_env_get_fd (files.env, &fd) ? 0 : s_size (fd);
    int code = s_catch_up (&files, error, error_size);
    if (code) {
        leat_lmdb_files_close (&files);
        return -1;
    }
    code = s_sweep (&files);
    if (code)
        s_cannot ("remove what is trimmed from", path, code, error, error_size);
    else
        code = s_copy (&files, files.directory, path, after, error, error_size);
    leat_lmdb_files_close (&files);
    return code ? -1 : 0;
}

static int s_open_target (const char *target, char *error, size_t error_size)
{
    if (mkdir (target, 0700) && errno != EEXIST)
        return s_cannot ("create the directory", target, errno, error, error_size);
    int directory = open (target, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (directory < 0)
        return s_cannot ("open the directory", target, errno, error, error_size);
    if (faccessat (directory, LEAT_LMDB_DATA_NAME, F_OK, 0))
        return directory;
    snprintf (error, error_size, "%s holds a store already; give another directory", target);
    close (directory);
    return -1;
}

int leat_lmdb_backup (const char *path, const char *target, uint64_t *size, char *error,
                      size_t error_size)
{
    leat_lmdb_files_t files;
    if (s_open (&files, path, LEAT_LMDB_BESIDE, error, error_size))
        return -1;
    int directory = s_open_target (target, error, error_size);
    int code = directory < 0 || s_catch_up (&files, error, error_size)
                   ? -1
                   : s_copy (&files, directory, target, size, error, error_size);
    if (directory >= 0)
        close (directory);
    leat_lmdb_files_close (&files);
    return code;
}

/* ---- dump ------------------------------------------------------------------------------------ */

typedef struct {
    json_t *streams;
    json_t *stream; /* the last one, borrowed */
    json_t *group;
} dump_t;

static json_t *s_text (leat_text_t text)
{
    return json_stringn (text.data, text.size);
}

static json_t *s_number (uint64_t number)
{
    return json_integer ((json_int_t) number);
}

static void s_count (json_t *object, const char *name)
{
    json_object_set_new (object, name,
                         json_integer (json_integer_value (json_object_get (object, name)) + 1));
}

static void s_dump_stream (dump_t *self, const leat_operation_stream_created_t *created)
{
    static const char *const durabilities[] = { "?", "async", "sync", "memory" };
    self->stream = json_object ();
    json_array_append_new (self->streams, self->stream);
    json_object_set_new (self->stream, "name", s_text (created->stream_name));
    json_object_set_new (self->stream, "number", s_number (created->stream));
    json_object_set_new (
        self->stream, "durability",
        json_string (created->durability <= LEAT_MEMORY ? durabilities[created->durability] : "?"));
    json_object_set_new (self->stream, "retention",
                         json_string (created->retention == LEAT_RETENTION_LOG ? "log" : "work"));
    json_object_set_new (self->stream, "max_age_ms", s_number (created->max_age_ms));
    json_object_set_new (self->stream, "max_size", s_number (created->max_size));
}

static void s_dump_extent (const dump_t *self, const leat_operation_extent_t *extent)
{
    json_object_set_new (self->stream, "first", s_number (extent->first));
    json_object_set_new (self->stream, "next", s_number (extent->next));
    json_object_set_new (self->stream, "records", s_number (extent->records));
    json_object_set_new (self->stream, "bytes", s_number (extent->size));
    json_object_set_new (self->stream, "identities", json_integer (0));
    json_object_set_new (self->stream, "groups", json_array ());
}

static void s_dump_group (dump_t *self, const leat_operation_group_created_t *created)
{
    static const char *const counts[] = { "chunks", "attempts", "delayed", "parked", "dead" };
    self->group = json_object ();
    json_array_append_new (json_object_get (self->stream, "groups"), self->group);
    json_object_set_new (self->group, "name", s_text (created->group_name));
    json_object_set_new (self->group, "number", s_number (created->group));
    json_object_set_new (self->group, "first", s_number (created->first));
    json_object_set_new (self->group, "floor", s_number (created->first));
    for (size_t i = 0; i < sizeof counts / sizeof *counts; i++)
        json_object_set_new (self->group, counts[i], json_integer (0));
}

static void s_dump_operation (dump_t *self, const leat_operation_t *operation)
{
    switch (operation->id) {
    case LEAT_OPERATION_STREAM_CREATED:
        s_dump_stream (self, &operation->stream_created);
        break;
    case LEAT_OPERATION_EXTENT:
        s_dump_extent (self, &operation->extent);
        break;
    case LEAT_OPERATION_SEQUENCE:
        s_count (self->stream, "identities");
        break;
    case LEAT_OPERATION_GROUP_CREATED:
        s_dump_group (self, &operation->group_created);
        break;
    case LEAT_OPERATION_FLOOR:
        json_object_set_new (self->group, "floor", s_number (operation->floor.first));
        break;
    case LEAT_OPERATION_CHUNK:
        s_count (self->group, "chunks");
        break;
    case LEAT_OPERATION_ATTEMPTS:
        s_count (self->group, "attempts");
        break;
    case LEAT_OPERATION_DELAY:
        s_count (self->group, "delayed");
        break;
    case LEAT_OPERATION_PARKED:
        s_count (self->group, "parked");
        break;
    case LEAT_OPERATION_DEAD:
        s_count (self->group, "dead");
        break;
    default:
        break;
    }
}

static bool s_dump_commit (void *arg, leat_buffer_t *commit)
{
    leat_commit_reader_t reader;
    leat_code_t code = leat_commit_read (&reader, commit);
    while (code == LEAT_OK && reader.left) {
        leat_operation_t operation;
        code = leat_commit_read_operation (&reader, &operation);
        if (code == LEAT_OK)
            s_dump_operation (arg, &operation);
    }
    return code == LEAT_OK;
}

json_t *leat_lmdb_dump (const char *path, char *error, size_t error_size)
{
    leat_lmdb_files_t files;
    leat_lmdb_rows_t rows;
    int fd;
    if (s_open (&files, path, LEAT_LMDB_OFFLINE, error, error_size))
        return NULL;
    dump_t dump = { .streams = json_array () };
    char why[512];
    int code = s_begin_look (&files, &rows, why, sizeof why);
    if (code)
        s_cannot ("read", path, code, error, error_size);
    uint64_t used = 0;
    if (!code && *why) {
        snprintf (error, error_size, "%s", why);
        leat_lmdb_rows_abort (&rows);
        code = -1;
    }
    if (!code) {
        code = leat_recite (&rows.base, s_dump_commit, &dump, error, error_size);
        used = leat_lmdb_rows_used (&rows);
        leat_lmdb_rows_abort (&rows);
    }
    uint64_t size = mdb_env_get_fd (files.env, &fd) ? 0 : s_size (fd);
    leat_lmdb_files_close (&files);
    if (code) {
        json_decref (dump.streams);
        return NULL;
    }
    return json_pack ("{s:i, s:I, s:I, s:o}", "format", LEAT_LMDB_FORMAT, "file_size",
                      (json_int_t) size, "used_size", (json_int_t) used, "streams", dump.streams);
}

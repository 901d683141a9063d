/* Commits without end, and what must be in a store after each of them.
 * SPDX-License-Identifier: MPL-2.0 */
#include "tests/system/store/workload.h"

#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "broker/store/apply.h"
#include "broker/store/recite.h"
#include "tests/system/store/memory_rows.h"
#include "wire/alloc.h"
#include "wire/assert.h"
#include "wire/crc32c.h"

enum { STREAMS = 3, BATCHES_MAX = 60, NOW_MS = 1700000000 };

typedef struct {
    uint64_t first;
    uint32_t count;
} batch_t;

typedef struct {
    bool created;
    uint64_t next;
    uint64_t floor;
    batch_t batches[BATCHES_MAX];
    size_t batch_count;
} stream_t;

struct workload {
    uint64_t random;
    uint64_t count;
    memory_rows_t *rows;
    leat_apply_t *apply;
    stream_t streams[STREAMS];
};

uint64_t workload_random (uint64_t *state, uint64_t limit)
{
    /* xorshift64 (Marsaglia, 2003) */
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    return *state % limit;
}

workload_t *workload_new (uint64_t seed)
{
    workload_t *self = leat_alloc (sizeof *self);
    self->random = seed * 2654435761u + 88172645463325252u;
    self->rows = memory_rows_new ();
    self->apply = leat_apply_new (memory_rows_base (self->rows));
    return self;
}

void workload_destroy (workload_t **self_p)
{
    workload_t *self = *self_p;
    *self_p = NULL;
    leat_apply_destroy (&self->apply);
    memory_rows_destroy (&self->rows);
    free (self);
}

uint64_t workload_count (const workload_t *self)
{
    return self->count;
}

/* ---- commits --------------------------------------------------------------------------------- */

static uint64_t s_random (workload_t *self, uint64_t limit)
{
    return workload_random (&self->random, limit);
}

static void s_create (uint32_t id, leat_commit_t *commit)
{
    static const char *const names[] = { "wheat", "rye", "oats" };
    leat_operation_t operation = { .id = LEAT_OPERATION_STREAM_CREATED };
    operation.stream_created.stream = id;
    operation.stream_created.stream_name = leat_text (names[id - 1]);
    operation.stream_created.durability = LEAT_SYNC;
    leat_commit_add (commit, &operation);
    operation = (leat_operation_t){ .id = LEAT_OPERATION_GROUP_CREATED };
    operation.group_created.stream = id;
    operation.group_created.group = 1;
    operation.group_created.group_name = leat_text ("default");
    leat_commit_add (commit, &operation);
}

static void s_append (workload_t *self, uint32_t id, size_t size, leat_commit_t *commit)
{
    stream_t *stream = &self->streams[id - 1];
    if (stream->batch_count == BATCHES_MAX)
        return;
    leat_buffer_t *body = leat_buffer_new (size);
    memset (leat_buffer_bytes (body), (int) s_random (self, 256), size);
    for (size_t i = 0; i < size; i += 509)
        leat_buffer_bytes (body)[i] = (uint8_t) s_random (self, 256);
    batch_t batch = { stream->next, 1 + (uint32_t) s_random (self, 50) };
    leat_operation_t operation = { .id = LEAT_OPERATION_APPEND };
    operation.append.stream = id;
    operation.append.first = batch.first;
    operation.append.count = batch.count;
    operation.append.crc32c = leat_crc32c (leat_buffer_bytes (body), size);
    operation.append.body = (leat_slice_t){ body, 0, size };
    leat_commit_add (commit, &operation);
    leat_buffer_release (&body);
    operation = (leat_operation_t){ .id = LEAT_OPERATION_SEQUENCE };
    operation.sequence.stream = id;
    operation.sequence.identity = leat_text (s_random (self, 2) ? "ann" : "bob");
    operation.sequence.sequence = batch.first;
    leat_commit_add (commit, &operation);
    stream->batches[stream->batch_count++] = batch;
    stream->next += batch.count;
}

static void s_trim (workload_t *self, uint32_t id, leat_commit_t *commit)
{
    stream_t *stream = &self->streams[id - 1];
    /* Mostly the oldest. */
    size_t index = s_random (self, 3) ? 0 : s_random (self, stream->batch_count);
    batch_t batch = stream->batches[index];
    leat_operation_t operation = { .id = LEAT_OPERATION_TRIM };
    operation.trim.stream = id;
    operation.trim.first = batch.first;
    operation.trim.count = batch.count;
    leat_commit_add (commit, &operation);
    if (!index && batch.first + batch.count > stream->floor) {
        stream->floor = batch.first + batch.count;
        operation = (leat_operation_t){ .id = LEAT_OPERATION_FLOOR };
        operation.floor.stream = id;
        operation.floor.group = 1;
        operation.floor.first = stream->floor;
        leat_commit_add (commit, &operation);
    }
    stream->batch_count--;
    memmove (stream->batches + index, stream->batches + index + 1,
             (stream->batch_count - index) * sizeof *stream->batches);
}

static void s_settle (workload_t *self, uint32_t id, leat_commit_t *commit)
{
    stream_t *stream = &self->streams[id - 1];
    char bits[64];
    for (size_t i = 0; i < sizeof bits; i++)
        bits[i] = (char) s_random (self, 256);
    leat_operation_t operation = { .id = LEAT_OPERATION_CHUNK };
    operation.chunk.stream = id;
    operation.chunk.group = 1;
    operation.chunk.chunk = stream->next / LEAT_CHUNK_RECORDS;
    operation.chunk.settled = (leat_text_t){ bits, sizeof bits };
    leat_commit_add (commit, &operation);
    operation = (leat_operation_t){ .id = LEAT_OPERATION_PARKED };
    operation.parked.stream = id;
    operation.parked.group = 1;
    operation.parked.offset = stream->floor + s_random (self, 100);
    operation.parked.reason = leat_text ("no room");
    leat_commit_add (commit, &operation);
}

static void s_delete (workload_t *self, uint32_t id, leat_commit_t *commit)
{
    leat_operation_t operation = { .id = LEAT_OPERATION_STREAM_DELETED };
    operation.stream_deleted.stream = id;
    leat_commit_add (commit, &operation);
    self->streams[id - 1] = (stream_t){ 0 };
}

void workload_apply (workload_t *self, const leat_commit_t *commit)
{
    leat_commit_walk_t walk;
    for (leat_commit_walk (&walk, commit); walk.left;) {
        leat_operation_t operation;
        leat_commit_walk_next (&walk, &operation);
        leat_apply_result_t result = leat_apply (self->apply, &operation);
        leat_assert (result == LEAT_APPLY_OK);
    }
    leat_apply_result_t finished = leat_apply_finish (self->apply);
    leat_assert (finished == LEAT_APPLY_OK);
    leat_apply_committed (self->apply);
}

leat_commit_t *workload_next (workload_t *self, uint64_t id, bool *refused)
{
    uint32_t stream_id = 1 + (uint32_t) s_random (self, STREAMS);
    stream_t *stream = &self->streams[stream_id - 1];
    leat_commit_t *commit = leat_commit_new (id, (uint32_t) id); /* a chain each */
    uint64_t kind = s_random (self, 100);
    *refused = false;
    if (!stream->created) {
        s_create (stream_id, commit);
        stream->created = true;
    }
    if (kind < 3) {
        stream_t before = *stream;
        s_append (self, stream_id, WORKLOAD_COMMIT_SIZE_MAX, commit);
        *refused = stream->batch_count > before.batch_count;
        *stream = before;
        if (*refused)
            stream->created = leat_commit_operations (commit) == 2;
    } else if (kind < 5)
        s_delete (self, stream_id, commit);
    else if (kind < 15)
        s_settle (self, stream_id, commit);
    else if (kind < 45 && stream->batch_count)
        s_trim (self, stream_id, commit);
    else
        for (uint64_t i = s_random (self, 3) + 1; i; i--)
            s_append (self, stream_id, s_random (self, 8) ? s_random (self, 3000) : 200000, commit);
    if (!*refused)
        workload_apply (self, commit);
    self->count++;
    return commit;
}

/* ---- what is there --------------------------------------------------------------------------- */

typedef struct {
    uint64_t digest;
    uint32_t streams[16]; /* whose extent was stated */
    uint64_t firsts[16];
    size_t stream_count;
} digest_t;

static void s_add (digest_t *digest, const void *bytes, size_t size)
{
    uint64_t crc = leat_crc32c (bytes, size);
    digest->digest = (digest->digest ^ crc ^ size << 32) * UINT64_C (0x9e3779b97f4a7c15);
    digest->digest ^= digest->digest >> 29;
}

static bool s_take (void *arg, leat_buffer_t *commit)
{
    digest_t *digest = arg;
    leat_commit_reader_t reader;
    if (leat_commit_read (&reader, commit))
        return false;
    s_add (digest, leat_buffer_bytes (commit), leat_buffer_size (commit));
    while (reader.left) {
        leat_operation_t operation;
        if (leat_commit_read_operation (&reader, &operation))
            return false;
        if (operation.id != LEAT_OPERATION_EXTENT)
            continue;
        digest->streams[digest->stream_count] = operation.extent.stream;
        digest->firsts[digest->stream_count++] = operation.extent.first;
    }
    return true;
}

static void s_add_batch (digest_t *digest, uint64_t first, uint32_t count, const void *body,
                         size_t size)
{
    s_add (digest, &first, sizeof first);
    s_add (digest, &count, sizeof count);
    s_add (digest, body, size);
}

uint64_t workload_digest (workload_t *self)
{
    char error[200];
    digest_t digest = { 0 };
    leat_rows_t *rows = memory_rows_base (self->rows);
    int code = leat_recite (rows, s_take, &digest, error, sizeof error);
    leat_assert (code == 0);
    for (size_t i = 0; i < digest.stream_count; i++) {
        leat_stream_row_t stream;
        leat_rows_result_t found = leat_rows_stream (rows, digest.streams[i], &stream);
        leat_assert (found == LEAT_ROWS_OK);
        leat_key_t next = leat_key_place ('B', stream.place);
        leat_key_t end = leat_key_behind (&next);
        leat_key_t key;
        const uint8_t *value;
        size_t size;
        while (rows->next (rows, &next, &end, &key, &value, &size) == LEAT_ROWS_OK) {
            leat_batch_row_t row;
            bool sound = leat_batch_row_read (&row, &key, value, size);
            leat_assert (sound);
            s_add_batch (&digest, leat_key_get_u64 (&key, 5), row.count,
                         value + LEAT_BATCH_ROW_HEADER, size - LEAT_BATCH_ROW_HEADER);
            next = leat_key_numbered ('B', stream.place, leat_key_get_u64 (&key, 5) + 1);
        }
    }
    return digest.digest;
}

bool workload_wait (leat_store_t *store, leat_store_event_t *event)
{
    while (!leat_store_poll (store, event)) {
        struct pollfd item = { .fd = leat_store_fd (store), .events = POLLIN };
        if (leat_store_sleep (store) && poll (&item, 1, 20000) == 0)
            return false;
    }
    return true;
}

static bool s_read_back (leat_store_t *store, digest_t *digest, char *error, size_t error_size)
{
    for (size_t i = 0; i < digest->stream_count; i++) {
        uint64_t offset = digest->firsts[i];
        for (;;) {
            leat_store_event_t event;
            leat_store_read (store, digest->streams[i], offset, 1, 0);
            if (!workload_wait (store, &event) || event.kind != LEAT_STORE_READ || event.code) {
                snprintf (error, error_size, "stream %u: batch at %llu is damaged",
                          digest->streams[i], (unsigned long long) offset);
                return false;
            }
            if (!event.batch.count)
                break;
            s_add_batch (digest, event.batch.first, event.batch.count,
                         leat_buffer_bytes (event.body), leat_buffer_size (event.body));
            offset = event.batch.first + event.batch.count;
            leat_buffer_release (&event.body);
        }
    }
    return true;
}

bool workload_examine (const char *path, uint64_t *digest_p, char *error, size_t error_size)
{
    digest_t digest = { 0 };
    uint64_t incarnation;
    leat_store_options_t options = { .path = path, .size_max = UINT64_C (1) << 30 };
    leat_store_t *store = leat_store_open (&leat_store_lmdb, &options, error, error_size);
    bool good = store && leat_store_acquire (store, NOW_MS, &incarnation, error, error_size) == 0
                && leat_store_recover (store, s_take, &digest, error, error_size) == 0
                && s_read_back (store, &digest, error, error_size);
    leat_store_close (&store);
    *digest_p = digest.digest;
    return good;
}

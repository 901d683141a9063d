/* The thread that reads batches back.
 * SPDX-License-Identifier: MPL-2.0 */
#include "broker/store/lmdb.h"

#include <errno.h>

#include "wire/alloc.h"
#include "wire/crc32c.h"

static void s_failed (lmdb_read_t *read, int error)
{
    read->code = LEAT_STORE_FAILED;
    read->error = error;
}

/* The header is damaged: its records reach to the next batch, or to the end. */
static void s_header_damaged (leat_lmdb_rows_t *rows, lmdb_read_t *read, const leat_key_t *key,
                              uint64_t end, size_t row_size)
{
    read->body_size = row_size > LEAT_BATCH_ROW_HEADER ? row_size - LEAT_BATCH_ROW_HEADER : 0;
    uint64_t first = leat_key_get_u64 (key, 5);
    leat_key_t from = leat_key_numbered ('B', leat_key_get_u32 (key, 1), first + 1);
    leat_key_t to = leat_key_numbered ('B', leat_key_get_u32 (key, 1), end);
    leat_key_t next;
    const uint8_t *value;
    size_t size;
    if (end > first + 1
        && rows->base.next (&rows->base, &from, &to, &next, &value, &size) == LEAT_ROWS_OK)
        end = leat_key_get_u64 (&next, 5);
    read->code = LEAT_DAMAGED;
    read->batch.first = first;
    read->batch.count = end - first < UINT32_MAX ? (uint32_t) (end - first) : UINT32_MAX;
}

static void s_take (lmdb_read_t *read, const leat_key_t *key, const leat_batch_row_t *row,
                    const uint8_t *value, size_t size)
{
    read->batch.first = leat_key_get_u64 (key, 5);
    read->batch.count = row->count;
    read->batch.attributes = row->attributes;
    read->batch.crc32c = row->crc32c;
    read->batch.time_ms = row->time_ms;
    read->body_size = size - LEAT_BATCH_ROW_HEADER;
    if (read->looks)
        return;
    read->body = leat_buffer_copy (value + LEAT_BATCH_ROW_HEADER, size - LEAT_BATCH_ROW_HEADER);
    /* Of the copy: that is what goes out. */
    if (leat_crc32c (leat_buffer_bytes (read->body), leat_buffer_size (read->body)) == row->crc32c)
        return;
    leat_buffer_release (&read->body);
    read->code = LEAT_DAMAGED;
}

/* Finds the batch that holds `from`, or the next one. */
static void s_find (leat_lmdb_rows_t *rows, lmdb_read_t *read, uint32_t place,
                    const leat_extent_t *extent)
{
    uint64_t offset = read->offset > extent->first ? read->offset : extent->first;
    leat_key_t begin = leat_key_numbered ('B', place, extent->first);
    leat_key_t at = leat_key_numbered ('B', place, offset);
    leat_key_t end = leat_key_numbered ('B', place, extent->next);
    leat_key_t key;
    leat_batch_row_t row;
    const uint8_t *value;
    size_t size;
    read->batch.first = extent->next; /* unless something is found */
    if (offset >= extent->next)
        return;
    leat_rows_result_t result = leat_lmdb_rows_last (rows, &begin, &at, &key, &value, &size);
    if (result == LEAT_ROWS_OK) {
        if (!leat_batch_row_read (&row, &key, value, size)) {
            s_header_damaged (rows, read, &key, extent->next, size);
            return;
        }
        if (leat_key_get_u64 (&key, 5) + row.count > offset) {
            s_take (read, &key, &row, value, size);
            return;
        }
    }
    if (result == LEAT_ROWS_OK || result == LEAT_ROWS_NONE)
        result = rows->base.next (&rows->base, &at, &end, &key, &value, &size);
    if (result == LEAT_ROWS_NONE)
        return;
    if (result)
        s_failed (read, result == LEAT_ROWS_DAMAGED ? MDB_CORRUPTED : rows->code);
    else if (leat_batch_row_read (&row, &key, value, size))
        s_take (read, &key, &row, value, size);
    else
        s_header_damaged (rows, read, &key, extent->next, size);
}

static void s_push (lmdb_t *self, lmdb_read_t *read)
{
    leat_queue_push (&self->answers, read);
    leat_bell_ring (&self->caller_bell);
}

/* What an answer takes from what is wanted; all of it if it is the last. */
static uint64_t s_cost (const lmdb_read_t *read)
{
    if (read->looks && read->code == LEAT_OK)
        return 1;
    return read->body ? leat_batch_cost (leat_buffer_size (read->body)) : read->size;
}

/* Batches of one state, until they cost what is wanted or there is no more. Takes `read`. */
static void s_answer_all (lmdb_t *self, leat_lmdb_rows_t *rows, lmdb_read_t *read, uint32_t place,
                          const leat_extent_t *extent)
{
    for (;;) {
        s_find (rows, read, place, extent);
        uint64_t cost = s_cost (read);
        uint64_t next = read->batch.first + read->batch.count;
        read->last = cost >= read->size || next >= extent->next;
        if (read->last)
            break;
        lmdb_read_t *more = leat_alloc (sizeof *more);
        *more = (lmdb_read_t){ .looks = read->looks,
                               .stream = read->stream,
                               .offset = next,
                               .size = read->size - cost,
                               .token = read->token };
        s_push (self, read);
        read = more;
    }
    s_push (self, read);
}

/* What is in the journal alone is not to be seen yet: has the writer commit it. False if it cannot. */
static bool s_catch_up (lmdb_t *self)
{
    uint64_t before = atomic_load (&self->transactions);
    if (!atomic_load (&self->behind))
        return true;
    atomic_store (&self->catch_up, true);
    leat_bell_ring (&self->writer_bell);
    while (atomic_load (&self->transactions) == before && !atomic_load (&self->writer_failed)
           && !atomic_load (&self->stopping)) {
        leat_bell_arm (&self->reader_bell);
        if (atomic_load (&self->transactions) == before && !atomic_load (&self->writer_failed)
            && !atomic_load (&self->stopping))
            leat_bell_wait (&self->reader_bell, -1);
        leat_bell_disarm (&self->reader_bell);
    }
    return atomic_load (&self->transactions) != before;
}

/* Takes `read`. */
static void s_answer (lmdb_t *self, lmdb_read_t *read)
{
    leat_lmdb_rows_t rows;
    leat_stream_row_t stream;
    leat_extent_t extent;
    read->last = true;
    int code = s_catch_up (self) ? leat_lmdb_rows_begin (&rows, &self->files, false) : EIO;
    if (code) {
        s_failed (read, code);
        s_push (self, read);
        return;
    }
    leat_rows_result_t result = leat_rows_stream (&rows.base, read->stream, &stream);
    if (result == LEAT_ROWS_NONE) {
        read->code = LEAT_NO_SUCH_STREAM;
        s_push (self, read);
    } else if (result || (result = leat_rows_extent (&rows.base, stream.place, &extent))) {
        s_failed (read, result == LEAT_ROWS_FAILED ? rows.code : MDB_CORRUPTED);
        s_push (self, read);
    } else {
        s_answer_all (self, &rows, read, stream.place, &extent);
    }
    leat_lmdb_rows_abort (&rows);
}

void *lmdb_reader_main (void *arg)
{
    lmdb_t *self = arg;
    while (!atomic_load (&self->stopping)) {
        lmdb_read_t *read = leat_queue_take (&self->reads);
        if (read) {
            s_answer (self, read);
            continue;
        }
        leat_bell_arm (&self->reader_bell);
        if (leat_queue_empty (&self->reads) && !atomic_load (&self->stopping))
            leat_bell_wait (&self->reader_bell, -1);
        leat_bell_disarm (&self->reader_bell);
    }
    return NULL;
}

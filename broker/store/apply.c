/* What a commit means to rows.
 * SPDX-License-Identifier: MPL-2.0 */
#include "broker/store/apply_state.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "wire/alloc.h"
#include "wire/assert.h"

static int apply_stream_compare (const stream_t *a, const stream_t *b)
{
    return (a->id > b->id) - (a->id < b->id);
}

RB_GENERATE (apply_streams, stream, by_id, apply_stream_compare)

leat_apply_t *leat_apply_new (leat_rows_t *rows)
{
    leat_apply_t *self = leat_alloc (sizeof *self);
    self->rows = rows;
    RB_INIT (&self->streams);
    TAILQ_INIT (&self->dirty);
    return self;
}

static void s_stream_drop (leat_apply_t *self, stream_t *stream)
{
    if (stream->dirty)
        TAILQ_REMOVE (&self->dirty, stream, in_dirty);
    RB_REMOVE (apply_streams, &self->streams, stream);
    free (stream);
}

void leat_apply_forget (leat_apply_t *self)
{
    stream_t *stream;
    while ((stream = RB_ROOT (&self->streams)))
        s_stream_drop (self, stream);
}

void leat_apply_destroy (leat_apply_t **self_p)
{
    leat_apply_t *self = *self_p;
    if (!self)
        return;
    *self_p = NULL;
    leat_apply_forget (self);
    free (self);
}

const char *leat_apply_reason (const leat_apply_t *self)
{
    return self->reason;
}

/* ---- results --------------------------------------------------------------------------------- */

leat_apply_result_t apply_refuse (leat_apply_t *self, const char *format, ...)
{
    va_list arguments;
    va_start (arguments, format);
    vsnprintf (self->reason, sizeof self->reason, format, arguments);
    va_end (arguments);
    return LEAT_APPLY_REFUSED;
}

leat_apply_result_t apply_result (leat_apply_t *self, leat_rows_result_t result, const char *what,
                                  uint64_t number)
{
    switch (result) {
    case LEAT_ROWS_FULL:
        return LEAT_APPLY_FULL;
    case LEAT_ROWS_DAMAGED:
        snprintf (self->reason, sizeof self->reason, "the row of %s %llu is damaged", what,
                  (unsigned long long) number);
        return LEAT_APPLY_DAMAGED;
    case LEAT_ROWS_FAILED:
        return LEAT_APPLY_FAILED;
    case LEAT_ROWS_NONE:
    case LEAT_ROWS_OK:
        break;
    }
    return LEAT_APPLY_OK;
}

/* ---- streams --------------------------------------------------------------------------------- */

static void s_dirty (leat_apply_t *self, stream_t *stream)
{
    if (stream->dirty)
        return;
    stream->dirty = true;
    TAILQ_INSERT_TAIL (&self->dirty, stream, in_dirty);
}

leat_apply_result_t apply_stream (leat_apply_t *self, uint32_t id, stream_t **stream_p)
{
    stream_t key = { .id = id };
    *stream_p = RB_FIND (apply_streams, &self->streams, &key);
    if (*stream_p)
        return LEAT_APPLY_OK;
    leat_rows_result_t result = leat_rows_stream (self->rows, id, &key.row);
    if (result == LEAT_ROWS_NONE)
        return LEAT_APPLY_OK;
    if (!result)
        result = leat_rows_extent (self->rows, key.row.place, &key.extent);
    if (result == LEAT_ROWS_NONE)
        result = LEAT_ROWS_DAMAGED;
    if (result)
        return apply_result (self, result, "stream", id);
    stream_t *stream = leat_alloc (sizeof *stream);
    *stream = key;
    stream->first_put = stream->extent.first;
    RB_INSERT (apply_streams, &self->streams, stream);
    *stream_p = stream;
    return LEAT_APPLY_OK;
}

leat_apply_result_t apply_stream_known (leat_apply_t *self, uint8_t operation, uint32_t id,
                                        stream_t **stream_p)
{
    leat_apply_result_t result = apply_stream (self, id, stream_p);
    if (result || *stream_p)
        return result;
    return apply_refuse (self, "%s is for stream %u, which the store does not have",
                         leat_operation_name (operation), id);
}

leat_apply_result_t apply_new_place (leat_apply_t *self, uint32_t *place)
{
    leat_value_t value;
    leat_key_t key = leat_key_meta (LEAT_META_PLACES);
    leat_rows_result_t result = leat_rows_get (self->rows, &key, &value);
    if (result && result != LEAT_ROWS_NONE)
        return apply_result (self, result, "places", 0);
    uint32_t last = result ? 0 : (uint32_t) leat_value_get (&value, 4);
    if (last == UINT32_MAX)
        return apply_refuse (self,
                             "the store has had 4294967295 streams and groups; move to a new one");
    *place = last + 1;
    leat_value_begin (&value);
    leat_value_put (&value, *place, 4);
    return apply_result (self, leat_rows_put (self->rows, &key, &value), "places", 0);
}

static leat_apply_result_t s_stream_created (leat_apply_t *self,
                                             const leat_operation_stream_created_t *operation)
{
    int name_size = (int) operation->stream_name.size;
    const char *name = operation->stream_name.data;
    if (operation->durability < LEAT_ASYNC || operation->durability > LEAT_MEMORY)
        return apply_refuse (self, "stream %.*s has no durability that this store knows: %u",
                             name_size, name, operation->durability);
    stream_t *stream;
    leat_apply_result_t result = apply_stream (self, operation->stream, &stream);
    uint32_t place = stream ? stream->row.place : 0;
    if (!result && !stream)
        result = apply_new_place (self, &place);
    if (result)
        return result;
    leat_value_t value;
    leat_key_t key = leat_key_place ('S', operation->stream);
    leat_value_begin (&value);
    leat_value_put (&value, place, 4);
    leat_value_put (&value, operation->durability, 1);
    leat_value_put (&value, operation->retention, 1);
    leat_value_put (&value, operation->max_age_ms, 8);
    leat_value_put (&value, operation->max_size, 8);
    leat_value_put (&value, operation->max_processing_ms, 8);
    leat_value_put (&value, operation->max_attempts, 4);
    leat_value_put (&value, operation->dead_size, 8);
    leat_value_put_text (&value, operation->stream_name);
    leat_rows_result_t put = leat_rows_put (self->rows, &key, &value);
    if (!put && !stream)
        put = leat_rows_put_extent (self->rows, place, &(leat_extent_t){ 0 });
    if (stream)
        stream->row.durability = operation->durability;
    return apply_result (self, put, "stream", operation->stream);
}

/* As if it had been created so. */
static leat_apply_result_t s_stream_set (leat_apply_t *self,
                                         const leat_operation_stream_set_t *operation)
{
    stream_t *stream;
    leat_apply_result_t result =
        apply_stream_known (self, LEAT_OPERATION_STREAM_SET, operation->stream, &stream);
    if (result)
        return result;
    leat_value_t value;
    leat_key_t key = leat_key_place ('S', operation->stream);
    leat_rows_result_t got = leat_rows_get (self->rows, &key, &value);
    leat_operation_stream_created_t created = { 0 };
    uint32_t place;
    if (!got && !leat_value_get_stream (&value, operation->stream, &place, &created))
        got = LEAT_ROWS_DAMAGED;
    if (got)
        return apply_result (self, got == LEAT_ROWS_NONE ? LEAT_ROWS_DAMAGED : got, "stream",
                             operation->stream);
    created.durability = operation->durability;
    created.retention = operation->retention;
    created.max_age_ms = operation->max_age_ms;
    created.max_size = operation->max_size;
    created.max_processing_ms = operation->max_processing_ms;
    created.max_attempts = operation->max_attempts;
    created.dead_size = operation->dead_size;
    return s_stream_created (self, &created);
}

void apply_reach (leat_apply_t *self, stream_t *stream, uint64_t first)
{
    if (stream->extent.next >= first)
        return;
    stream->extent.next = first;
    if (!stream->extent.records)
        stream->extent.first = first;
    s_dirty (self, stream);
}

leat_rows_result_t apply_discard_place (leat_apply_t *self, char letter, uint32_t place)
{
    leat_key_t from = leat_key_place (letter, place);
    leat_key_t to = leat_key_behind (&from);
    return self->rows->discard (self->rows, &from, &to);
}

leat_rows_result_t apply_remove (leat_apply_t *self, const leat_key_t *key)
{
    leat_rows_result_t result = self->rows->remove (self->rows, key);
    return result == LEAT_ROWS_NONE ? LEAT_ROWS_OK : result;
}

/* ---- batches --------------------------------------------------------------------------------- */

static leat_apply_result_t s_append (leat_apply_t *self, const leat_operation_append_t *operation)
{
    stream_t *stream;
    leat_apply_result_t result =
        apply_stream_known (self, LEAT_OPERATION_APPEND, operation->stream, &stream);
    if (result)
        return result;
    if (stream->row.durability == LEAT_MEMORY)
        return apply_refuse (self, "APPEND is for stream %u, whose records are kept in memory only",
                             operation->stream);
    leat_extent_t *extent = &stream->extent;
    if (operation->first < extent->next)
        return LEAT_APPLY_OK; /* it was applied before */
    leat_key_t key = leat_key_numbered ('B', stream->row.place, operation->first);
    leat_batch_row_t row = { operation->count, operation->crc32c, operation->time_ms,
                             operation->attributes };
    size_t size = operation->body.size;
    uint8_t *bytes;
    leat_rows_result_t put =
        self->rows->put (self->rows, &key, &bytes, LEAT_BATCH_ROW_HEADER + size);
    if (put)
        return apply_result (self, put, "stream", operation->stream);
    leat_batch_row_write (&row, &key, size, bytes);
    if (size)
        memcpy (bytes + LEAT_BATCH_ROW_HEADER, leat_slice_bytes (operation->body), size);
    if (!extent->records) {
        extent->first = operation->first;
        stream->first_loose = false;
    }
    extent->records += operation->count;
    extent->size += size;
    extent->next = operation->first + operation->count;
    s_dirty (self, stream);
    return LEAT_APPLY_OK;
}

/* Makes extent.first the first batch that is there. */
static leat_apply_result_t s_tighten (leat_apply_t *self, stream_t *stream)
{
    if (!stream->first_loose)
        return LEAT_APPLY_OK;
    stream->first_loose = false;
    leat_extent_t *extent = &stream->extent;
    leat_key_t from = leat_key_numbered ('B', stream->row.place, extent->first);
    leat_key_t all = leat_key_place ('B', stream->row.place);
    leat_key_t to = leat_key_behind (&all);
    leat_key_t key;
    const uint8_t *value;
    size_t size;
    leat_rows_result_t result = self->rows->next (self->rows, &from, &to, &key, &value, &size);
    if (result && result != LEAT_ROWS_NONE)
        return apply_result (self, result, "stream", stream->id);
    extent->first = result ? extent->next : leat_key_get_u64 (&key, 5);
    return LEAT_APPLY_OK;
}

/* `count` records in rows of `size` bytes are gone. */
static void s_lose (leat_apply_t *self, stream_t *stream, uint64_t count, uint64_t size)
{
    leat_extent_t *extent = &stream->extent;
    extent->records -= count < extent->records ? count : extent->records;
    extent->size -= size < extent->size ? size : extent->size;
    s_dirty (self, stream);
    if (extent->records)
        return;
    extent->first = extent->next;
    extent->size = 0;
    stream->first_loose = false;
}

/* What batches of a range take, and whether they are removed on the way. */
typedef struct {
    uint64_t from;
    uint64_t to;
    bool remove;
    uint64_t records;
    uint64_t size;
    uint64_t rows;
} walk_t;

/* Records of a batch: where its header is damaged they reach to the next one. */
static uint64_t s_records (leat_apply_t *self, const leat_key_t *key, const leat_key_t *to,
                           const uint8_t *value, size_t size)
{
    leat_batch_row_t row;
    if (leat_batch_row_read (&row, key, value, size))
        return row.count;
    uint64_t first = leat_key_get_u64 (key, 5);
    leat_key_t at = leat_key_numbered ('B', leat_key_get_u32 (key, 1), first + 1);
    leat_key_t next;
    bool more = self->rows->next (self->rows, &at, to, &next, &value, &size) == LEAT_ROWS_OK;
    return leat_key_get_u64 (more ? &next : to, 5) - first;
}

static leat_rows_result_t s_walk (leat_apply_t *self, const stream_t *stream, walk_t *walk)
{
    leat_key_t to = leat_key_numbered ('B', stream->row.place, walk->to);
    leat_key_t key;
    const uint8_t *value;
    size_t size;
    for (uint64_t from = walk->from; from < walk->to;) {
        leat_key_t at = leat_key_numbered ('B', stream->row.place, from);
        leat_rows_result_t result = self->rows->next (self->rows, &at, &to, &key, &value, &size);
        if (result)
            return result == LEAT_ROWS_NONE ? LEAT_ROWS_OK : result;
        uint64_t first = leat_key_get_u64 (&key, 5);
        walk->rows++;
        walk->size += size < LEAT_BATCH_ROW_HEADER ? 0 : size - LEAT_BATCH_ROW_HEADER;
        from = first + s_records (self, &key, &to, value, size);
        walk->records += from - first;
        if (walk->remove && (result = self->rows->remove (self->rows, &key)))
            return result;
    }
    return LEAT_ROWS_OK;
}

/* Batches that go in order only raise extent.first: their rows are discarded when the transaction is
 * finished, and removed later. Those that go from the middle are removed here. */
static leat_apply_result_t s_trim (leat_apply_t *self, const leat_operation_trim_t *operation)
{
    stream_t *stream;
    leat_apply_result_t result = apply_stream (self, operation->stream, &stream);
    if (result || !stream)
        return result;
    leat_extent_t *extent = &stream->extent;
    walk_t walk = { .from = operation->first, .to = operation->first + operation->count };
    if (walk.to > extent->next)
        walk.to = extent->next;
    if (walk.from > extent->first)
        result = s_tighten (self, stream);
    if (result || walk.to <= extent->first)
        return result;
    bool front = walk.from <= extent->first;
    walk.remove = !front;
    if (front)
        walk.from = extent->first;
    if (front && walk.to == extent->next) {
        s_lose (self, stream, extent->records, extent->size);
        return LEAT_APPLY_OK;
    }
    leat_rows_result_t walked = s_walk (self, stream, &walk);
    if (front && walk.rows) {
        extent->first = walk.to;
        stream->first_loose = true;
    }
    if (walk.rows)
        s_lose (self, stream, walk.records, walk.size);
    return apply_result (self, walked, "stream", operation->stream);
}

/* Headers are looked at, so that this takes time for each batch that goes, and what is left adds up whatever
 * was applied before; log streams expire little by little. */
static leat_apply_result_t s_expired (leat_apply_t *self, const leat_operation_expired_t *operation)
{
    stream_t *stream;
    leat_apply_result_t applied = apply_stream (self, operation->stream, &stream);
    if (applied || !stream || operation->first <= stream->extent.first)
        return applied;
    walk_t walk = { .from = stream->extent.first, .to = operation->first };
    leat_rows_result_t result = s_walk (self, stream, &walk);
    if (result)
        return apply_result (self, result, "stream", operation->stream);
    if (stream->extent.next < operation->first)
        stream->extent.next = operation->first;
    stream->extent.first = operation->first;
    stream->first_loose = true;
    s_lose (self, stream, walk.records, walk.size);
    return apply_raise_all (self, operation->stream, operation->first);
}

/* What was reserved may be more than is reserved now: a broker that ends in order gives the rest back. */
static leat_apply_result_t s_reserved (leat_apply_t *self,
                                       const leat_operation_reserved_t *operation)
{
    stream_t *stream;
    leat_apply_result_t result =
        apply_stream_known (self, LEAT_OPERATION_RESERVED, operation->stream, &stream);
    if (result)
        return result;
    leat_value_t value;
    leat_key_t key = leat_key_place ('O', stream->row.place);
    leat_value_begin (&value);
    leat_value_put (&value, operation->next, 8);
    return apply_result (self, leat_rows_put (self->rows, &key, &value), "stream",
                         operation->stream);
}

/* ---- sequences, and the end of a stream ------------------------------------------------------ */

static leat_apply_result_t s_sequence (leat_apply_t *self,
                                       const leat_operation_sequence_t *operation)
{
    stream_t *stream;
    leat_apply_result_t result =
        apply_stream_known (self, LEAT_OPERATION_SEQUENCE, operation->stream, &stream);
    if (result)
        return result;
    leat_value_t value;
    leat_key_t key = leat_key_place ('Q', stream->row.place);
    leat_key_text (&key, operation->identity);
    leat_value_begin (&value);
    leat_value_put (&value, operation->ephemeral, 1);
    leat_value_put (&value, operation->epoch, 8);
    leat_value_put (&value, operation->sequence, 8);
    leat_value_put (&value, operation->offset, 8);
    leat_value_put (&value, operation->time_ms, 8);
    return apply_result (self, leat_rows_put (self->rows, &key, &value), "stream",
                         operation->stream);
}

static leat_apply_result_t
s_sequence_forgotten (leat_apply_t *self, const leat_operation_sequence_forgotten_t *operation)
{
    stream_t *stream;
    leat_apply_result_t result = apply_stream (self, operation->stream, &stream);
    if (result || !stream)
        return result;
    leat_key_t key = leat_key_place ('Q', stream->row.place);
    leat_key_text (&key, operation->identity);
    return apply_result (self, apply_remove (self, &key), "stream", operation->stream);
}

static leat_apply_result_t s_stream_deleted (leat_apply_t *self, uint32_t id)
{
    stream_t *stream;
    leat_apply_result_t applied = apply_stream (self, id, &stream);
    if (!applied && stream)
        applied = apply_groups_deleted (self, id);
    if (applied || !stream)
        return applied;
    leat_rows_result_t result = apply_discard_place (self, 'B', stream->row.place);
    if (!result)
        result = apply_discard_place (self, 'Q', stream->row.place);
    leat_key_t key = leat_key_place ('X', stream->row.place);
    if (!result)
        result = apply_remove (self, &key);
    key = leat_key_place ('O', stream->row.place);
    if (!result)
        result = apply_remove (self, &key);
    key = leat_key_place ('S', id);
    if (!result)
        result = apply_remove (self, &key);
    s_stream_drop (self, stream);
    return apply_result (self, result, "stream", id);
}

/* ---- all together ---------------------------------------------------------------------------- */

leat_apply_result_t leat_apply (leat_apply_t *self, const leat_operation_t *operation)
{
    switch (operation->id) {
    case LEAT_OPERATION_STREAM_CREATED:
        return s_stream_created (self, &operation->stream_created);
    case LEAT_OPERATION_STREAM_SET:
        return s_stream_set (self, &operation->stream_set);
    case LEAT_OPERATION_STREAM_DELETED:
        return s_stream_deleted (self, operation->stream_deleted.stream);
    case LEAT_OPERATION_SEQUENCE:
        return s_sequence (self, &operation->sequence);
    case LEAT_OPERATION_SEQUENCE_FORGOTTEN:
        return s_sequence_forgotten (self, &operation->sequence_forgotten);
    case LEAT_OPERATION_APPEND:
        return s_append (self, &operation->append);
    case LEAT_OPERATION_RESERVED:
        return s_reserved (self, &operation->reserved);
    case LEAT_OPERATION_GROUP_CREATED:
    case LEAT_OPERATION_GROUP_DELETED:
    case LEAT_OPERATION_CHUNK:
    case LEAT_OPERATION_FLOOR:
    case LEAT_OPERATION_ATTEMPTS:
    case LEAT_OPERATION_DELAY:
    case LEAT_OPERATION_DEAD:
    case LEAT_OPERATION_PARKED:
        return apply_group (self, operation);
    case LEAT_OPERATION_TRIM:
        return s_trim (self, &operation->trim);
    case LEAT_OPERATION_EXPIRED:
        return s_expired (self, &operation->expired);
    default:
        return apply_refuse (self, "the store does not take operation %u (%s)", operation->id,
                             leat_operation_name (operation->id));
    }
}

static leat_apply_result_t s_finish (leat_apply_t *self, stream_t *stream)
{
    leat_apply_result_t result = s_tighten (self, stream);
    if (result)
        return result;
    leat_extent_t *extent = &stream->extent;
    leat_rows_result_t put = LEAT_ROWS_OK;
    if (extent->first > stream->first_put) {
        leat_key_t from = leat_key_numbered ('B', stream->row.place, 0);
        leat_key_t to = leat_key_numbered ('B', stream->row.place, extent->first);
        put = self->rows->discard (self->rows, &from, &to);
    }
    if (!put)
        put = leat_rows_put_extent (self->rows, stream->row.place, extent);
    stream->first_put = extent->first;
    return apply_result (self, put, "stream", stream->id);
}

leat_apply_result_t leat_apply_finish (leat_apply_t *self)
{
    stream_t *stream;
    TAILQ_FOREACH (stream, &self->dirty, in_dirty) {
        leat_apply_result_t result = s_finish (self, stream);
        if (result)
            return result;
    }
    return LEAT_APPLY_OK;
}

void leat_apply_committed (leat_apply_t *self)
{
    stream_t *stream;
    while ((stream = TAILQ_FIRST (&self->dirty))) {
        TAILQ_REMOVE (&self->dirty, stream, in_dirty);
        stream->dirty = false;
    }
}

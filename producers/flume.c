/* A flume carries encoded records from the application's thread to the client's.
 * SPDX-License-Identifier: MPL-2.0 */
#include "producers/flume.h"

#include <stdlib.h>
#include <string.h>

#include "wire/alloc.h"
#include "wire/assert.h"

enum { CHUNK_SIZE_MIN = 4096 };

static leat_chunk_t *s_chunk_new (leat_buffer_t *buffer, bool is_extended)
{
    leat_chunk_t *chunk = leat_alloc (sizeof *chunk);
    chunk->buffer = buffer;
    chunk->is_extended = is_extended;
    atomic_init (&chunk->mark, 0);
    atomic_init (&chunk->next, NULL);
    return chunk;
}

void leat_flume_init (leat_flume_t *self, leat_pool_t *pool)
{
    memset (self, 0, sizeof *self);
    self->pool = pool;
    self->chunk_size = CHUNK_SIZE_MIN;
    self->tail = s_chunk_new (NULL, false);
    self->head = self->tail;
}

static leat_chunk_t *s_drop_head (leat_flume_t *self)
{
    leat_chunk_t *next = atomic_load (&self->head->next);
    leat_buffer_release (&self->head->buffer);
    free (self->head);
    self->head = next;
    self->taken = 0;
    self->taken_count = 0;
    return next;
}

void leat_flume_deinit (leat_flume_t *self)
{
    while (s_drop_head (self) != NULL)
        continue;
    self->tail = NULL;
}

/* ---- the writer ------------------------------------------------------------------------------ */

static void s_append (leat_flume_t *self, leat_chunk_t *chunk)
{
    atomic_store (&self->tail->next, chunk);
    self->tail = chunk;
}

void leat_flume_extend (leat_flume_t *self, size_t size, bool is_extended, size_t chunk_size_max)
{
    if (chunk_size_max > 0) {
        self->chunk_size *= 4;
        if (self->chunk_size > chunk_size_max)
            self->chunk_size = chunk_size_max;
    } else {
        self->chunk_size /= 2;
    }
    if (self->chunk_size < CHUNK_SIZE_MIN)
        self->chunk_size = CHUNK_SIZE_MIN;
    size_t room = size > self->chunk_size ? size : self->chunk_size;
    leat_buffer_t *buffer = leat_pool_take (self->pool, room);
    self->bytes = leat_buffer_bytes (buffer);
    self->room = room;
    self->used = 0;
    self->count = 0;
    self->is_extended = is_extended;
    s_append (self, s_chunk_new (buffer, is_extended));
}

void leat_flume_pass (leat_flume_t *self, leat_slice_t record, bool is_extended)
{
    leat_chunk_t *chunk = s_chunk_new (record.buffer, is_extended);
    chunk->offset = record.offset;
    atomic_store (&chunk->mark, (uint64_t) record.size << 32 | 1);
    s_append (self, chunk);
    self->bytes = NULL;
    self->room = 0;
    self->used = 0;
    self->is_extended = is_extended;
}

/* ---- the reader ------------------------------------------------------------------------------ */

bool leat_flume_waits (const leat_flume_t *self)
{
    uint64_t mark = atomic_load (&self->head->mark);
    return mark >> 32 > self->taken || atomic_load (&self->head->next) != NULL;
}

bool leat_flume_is_finished (const leat_flume_t *self)
{
    return atomic_load (&self->head->next) != NULL;
}

bool leat_flume_peek (leat_flume_t *self, leat_flume_slice_t *slice)
{
    for (;;) {
        leat_chunk_t *chunk = self->head;
        /* In this order: a chunk that has a next one has its last mark. */
        bool is_finished = atomic_load (&chunk->next) != NULL;
        uint64_t mark = atomic_load (&chunk->mark);
        size_t size = (size_t) (mark >> 32) - self->taken;
        if (size > 0) {
            slice->records = (leat_slice_t){ chunk->buffer, chunk->offset + self->taken, size };
            slice->count = (uint32_t) mark - self->taken_count;
            slice->is_extended = chunk->is_extended;
            slice->is_finished = is_finished;
            return true;
        }
        if (!is_finished)
            return false;
        s_drop_head (self);
    }
}

void leat_flume_take (leat_flume_t *self, const leat_flume_slice_t *slice)
{
    self->taken += slice->records.size;
    self->taken_count += slice->count;
}

/* A flume carries encoded records from the application's thread to the client's: one writer, one
 * reader, no lock.
 * SPDX-License-Identifier: MPL-2.0 */
#ifndef LEAT_PRODUCERS_FLUME_H
#define LEAT_PRODUCERS_FLUME_H

#include <stdatomic.h>

#include "client/pool.h"

/*      head                                       tail
 *      +------------------+    +------------------+    +------------------+
 *      | taken | records  | -> | records          | -> | records | (room) |
 *      +------------------+    +------------------+    +------------------+
 *              ^ reader                                          ^ mark
 *
 * The writer appends records behind the mark of the last chunk, then moves the mark (bytes and
 * records in one atomic number): what is before a mark never changes again. A chunk that has a next
 * one is finished. A slice that the reader takes stays within a chunk and shares its memory, so a
 * chunk is as large as a batch is meant to be; chunks begin small, grow while they fill up, and
 * shrink again when there is little to do. Records of a chunk all have the same form; once one had a
 * key or headers, all following ones are of the extended form. */
typedef struct leat_chunk {
    leat_buffer_t *buffer; /* the reader's reference; NULL in the first, empty chunk */
    size_t offset;         /* of the first record: 0, but for memory that is lent */
    bool is_extended;
    _Atomic uint64_t mark; /* bytes << 32 | records */
    _Atomic (struct leat_chunk *) next;
} leat_chunk_t;

typedef struct {
    leat_pool_t *pool;

    /* The writer's. */
    leat_chunk_t *tail;
    uint8_t *bytes; /* of the tail */
    size_t room;    /* all of it */
    size_t used;
    uint32_t count;
    size_t chunk_size; /* of the next one */
    bool is_extended;

    char padding[64]; /* the reader's line of cache is another */

    /* The reader's. */
    leat_chunk_t *head;
    size_t taken;
    uint32_t taken_count;
} leat_flume_t;

void leat_flume_init (leat_flume_t *self, leat_pool_t *pool);

/* When neither writes nor reads any more. */
void leat_flume_deinit (leat_flume_t *self);

/* ---- the writer ------------------------------------------------------------------------------ */

static inline bool leat_flume_has_room (const leat_flume_t *self, size_t size, bool is_extended)
{
    return self->room - self->used >= size && self->is_extended == is_extended;
}

/* A new chunk, with room for `size` bytes. Where earlier records are not confirmed yet larger ones pay: then they
 * grow up to `chunk_size_max`, at least 4096. Otherwise it is 0, and they shrink. */
void leat_flume_extend (leat_flume_t *self, size_t size, bool is_extended, size_t chunk_size_max);

/* Where the next record goes, for which there is room. */
static inline uint8_t *leat_flume_place (leat_flume_t *self)
{
    return self->bytes + self->used;
}

/* The record of `size` bytes at that place is complete. Sequentially consistent, see leat_sleep_t. */
static inline void leat_flume_commit (leat_flume_t *self, size_t size)
{
    self->used += size;
    self->count++;
    atomic_store (&self->tail->mark, (uint64_t) self->used << 32 | self->count);
}

/* Appends one record that is in a buffer of its own, with the reference of the caller. */
void leat_flume_pass (leat_flume_t *self, leat_slice_t record, bool is_extended);

/* ---- the reader ------------------------------------------------------------------------------ */

typedef struct {
    leat_slice_t records; /* borrowed */
    uint32_t count;
    bool is_extended;
    bool is_finished; /* no further record will join these */
} leat_flume_slice_t;

/* What can be taken next, without taking it. False if there is nothing. */
bool leat_flume_peek (leat_flume_t *self, leat_flume_slice_t *slice);

void leat_flume_take (leat_flume_t *self, const leat_flume_slice_t *slice);

/* True if something was written since leat_flume_peek found nothing. */
bool leat_flume_waits (const leat_flume_t *self);

/* True if the chunk that the reader is at is finished. */
bool leat_flume_is_finished (const leat_flume_t *self);

#endif

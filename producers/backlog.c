/* The records of one producer that are not confirmed yet, and where batches were cut from them.
 * SPDX-License-Identifier: MPL-2.0 */
#include "producers/backlog.h"

#include <stdlib.h>

#include "wire/alloc.h"
#include "wire/assert.h"
#include "wire/batch.h"
#include "wire/bytes.h"
#include "wire/crc32c.h"

typedef struct leat_backlog_slice {
    TAILQ_ENTRY (leat_backlog_slice) link;
    leat_slice_t records; /* holds a reference */
    uint64_t first;
    uint64_t time_ms;
    uint32_t count;
    bool extended;
} slice_t;

typedef leat_backlog_batch_t batch_t;

TAILQ_HEAD (slice_list, leat_backlog_slice);
TAILQ_HEAD (batch_list, leat_backlog_batch);

struct leat_backlog {
    struct slice_list slices; /* by sequence, none of them wholly confirmed */
    struct batch_list batches;
    batch_t *unsent;    /* first batch that is not sent; NULL: all that are cut */
    slice_t *cut_slice; /* where the next batch is cut; NULL: no record is left to cut */
    size_t cut_offset;  /* within the slice */
    uint64_t cut_next;  /* sequence there */
    uint64_t next;
    uint64_t confirmed;
    leat_backlog_limits_t limits;
    uint64_t size;
    uint64_t sent_size;
    uint64_t sent_cost;
    uint32_t sent_count;
};

static uint64_t s_slice_end (const slice_t *slice)
{
    return slice->first + slice->count;
}

static uint64_t s_batch_end (const batch_t *batch)
{
    return batch->first + batch->count;
}

leat_backlog_t *leat_backlog_new (void)
{
    leat_backlog_t *self = leat_alloc (sizeof *self);
    TAILQ_INIT (&self->slices);
    TAILQ_INIT (&self->batches);
    self->next = 1;
    self->cut_next = 1;
    self->limits.record_size_max = LEAT_RECORD_SIZE_MAX;
    self->limits.batch_size_max = SIZE_MAX;
    self->limits.body_size_max = SIZE_MAX;
    return self;
}

static void s_drop_slice (leat_backlog_t *self, slice_t *slice)
{
    TAILQ_REMOVE (&self->slices, slice, link);
    leat_buffer_release (&slice->records.buffer);
    free (slice);
}

void leat_backlog_destroy (leat_backlog_t **self_p)
{
    leat_backlog_t *self = *self_p;
    if (self == NULL)
        return;
    batch_t *batch, *next_batch;
    TAILQ_FOREACH_SAFE (batch, &self->batches, link, next_batch)
        free (batch);
    slice_t *slice, *next_slice;
    TAILQ_FOREACH_SAFE (slice, &self->slices, link, next_slice)
        s_drop_slice (self, slice);
    free (self);
    *self_p = NULL;
}

/* Passes over records that need not be cut any more, up to and with `sequence`. */
static void s_skip_uncut (leat_backlog_t *self, uint64_t sequence)
{
    while (self->cut_slice != NULL && s_slice_end (self->cut_slice) <= sequence + 1) {
        self->size -= self->cut_slice->records.size - self->cut_offset;
        self->cut_slice = TAILQ_NEXT (self->cut_slice, link);
        self->cut_offset = 0;
    }
    if (self->cut_slice != NULL) {
        slice_t *slice = self->cut_slice;
        uint64_t from = self->cut_next > slice->first ? self->cut_next : slice->first;
        size_t skipped = leat_batch_skip (leat_slice_bytes (slice->records) + self->cut_offset,
                                          slice->records.size - self->cut_offset,
                                          (uint32_t) (sequence + 1 - from));
        self->cut_offset += skipped;
        self->size -= skipped;
    }
    self->cut_next = sequence + 1;
}

uint64_t leat_backlog_add (leat_backlog_t *self, leat_slice_t records, uint32_t count,
                           bool extended, uint64_t time_ms)
{
    leat_assert (count > 0 && records.size >= 4 * (uint64_t) count);
    uint64_t first = self->next;
    self->next += count;
    if (self->next <= self->confirmed + 1)
        return first;
    slice_t *slice = leat_alloc (sizeof *slice);
    slice->records = records;
    leat_buffer_hold (records.buffer);
    slice->first = first;
    slice->count = count;
    slice->extended = extended;
    slice->time_ms = time_ms;
    TAILQ_INSERT_TAIL (&self->slices, slice, link);
    self->size += records.size;
    if (self->cut_slice == NULL) {
        leat_assert (self->cut_next >= first);
        self->cut_slice = slice;
        self->cut_offset = 0;
        if (self->cut_next > first) {
            uint64_t known = self->cut_next - 1;
            self->cut_next = first;
            s_skip_uncut (self, known);
        }
    }
    return first;
}

void leat_backlog_pass (leat_backlog_t *self, uint64_t count)
{
    leat_assert (count <= self->confirmed && self->next + count <= self->confirmed + 1);
    self->next += count;
}

static uint64_t s_unsend (leat_backlog_t *self, batch_t *batch)
{
    if (!batch->is_sent)
        return 0;
    uint64_t cost = batch->cost;
    self->sent_size -= batch->size;
    self->sent_cost -= cost;
    self->sent_count--;
    batch->is_sent = false;
    batch->cost = 0;
    return cost;
}

/* Takes batches and slices off the front that are wholly confirmed. */
static uint64_t s_drop_confirmed (leat_backlog_t *self)
{
    uint64_t released = 0;
    batch_t *batch;
    while ((batch = TAILQ_FIRST (&self->batches)) != NULL
           && s_batch_end (batch) <= self->confirmed + 1) {
        if (batch == self->unsent)
            self->unsent = TAILQ_NEXT (batch, link);
        released += s_unsend (self, batch);
        self->size -= batch->size;
        TAILQ_REMOVE (&self->batches, batch, link);
        free (batch);
    }
    slice_t *slice;
    while ((slice = TAILQ_FIRST (&self->slices)) != NULL && slice != self->cut_slice
           && s_slice_end (slice) <= self->confirmed + 1)
        s_drop_slice (self, slice);
    return released;
}

/* Makes two batches of one that is not sent; the second has all but the first `count` records, which
 * take `size` bytes. */
static void s_split (leat_backlog_t *self, batch_t *batch, uint32_t count, size_t size)
{
    leat_assert (count > 0 && count < batch->count && !batch->is_sent);
    batch_t *rest = leat_alloc (sizeof *rest);
    rest->slice = batch->slice;
    rest->offset = batch->offset + size;
    rest->size = batch->size - size;
    rest->first = batch->first + count;
    rest->count = batch->count - count;
    rest->is_again = batch->is_again;
    batch->size = size;
    batch->count = count;
    batch->has_crc32c = false;
    TAILQ_INSERT_AFTER (&self->batches, batch, rest, link);
}

/* Makes `sequence`, which is inside the batch, the first of a batch of its own. */
static void s_split_at (leat_backlog_t *self, batch_t *batch, uint64_t sequence)
{
    uint32_t count = (uint32_t) (sequence - batch->first);
    leat_slice_t body = leat_backlog_body (batch);
    s_split (self, batch, count, leat_batch_skip (leat_slice_bytes (body), body.size, count));
}

uint64_t leat_backlog_confirm (leat_backlog_t *self, uint64_t sequence)
{
    if (sequence <= self->confirmed)
        return 0;
    self->confirmed = sequence;
    if (self->cut_next <= sequence)
        s_skip_uncut (self, sequence);
    uint64_t released = s_drop_confirmed (self);
    batch_t *batch = TAILQ_FIRST (&self->batches);
    if (batch != NULL && batch->first <= sequence && !batch->is_sent) {
        s_split_at (self, batch, sequence + 1);
        s_drop_confirmed (self);
    }
    return released;
}

uint64_t leat_backlog_go_back (leat_backlog_t *self, uint64_t sequence)
{
    leat_assert (sequence > self->confirmed && sequence <= leat_backlog_sent_end (self));
    uint64_t released = 0;
    batch_t *batch = self->unsent != NULL ? TAILQ_PREV (self->unsent, batch_list, link)
                                          : TAILQ_LAST (&self->batches, batch_list);
    while (batch != NULL && s_batch_end (batch) > sequence) {
        released += s_unsend (self, batch);
        if (batch->first < sequence) {
            /* The broker has the front part. It frees no window again when it is confirmed. */
            s_split_at (self, batch, sequence);
            self->unsent = TAILQ_NEXT (batch, link);
            leat_backlog_mark_sent (self, batch, 0);
            break;
        }
        self->unsent = batch;
        batch = TAILQ_PREV (batch, batch_list, link);
    }
    return released + s_drop_confirmed (self);
}

void leat_backlog_limit (leat_backlog_t *self, const leat_backlog_limits_t *limits)
{
    leat_assert (self->sent_count == 0);
    bool narrower = limits->record_size_max < self->limits.record_size_max
                    || limits->batch_size_max < self->limits.batch_size_max
                    || limits->body_size_max < self->limits.body_size_max;
    self->limits = *limits;
    batch_t *batch = TAILQ_FIRST (&self->batches);
    if (!narrower || batch == NULL)
        return;
    self->cut_slice = batch->slice;
    self->cut_offset = batch->offset - batch->slice->records.offset;
    self->cut_next = batch->first;
    while ((batch = TAILQ_FIRST (&self->batches)) != NULL) {
        TAILQ_REMOVE (&self->batches, batch, link);
        free (batch);
    }
    self->unsent = NULL;
}

/* Walks records from `bytes` on, as many as a batch takes. Both forms of records begin with their
 * size. Returns the number of records, with their bytes in *size. */
static uint32_t s_measure (const uint8_t *bytes, size_t available, uint32_t count_max,
                           const leat_backlog_limits_t *limits, size_t *size)
{
    uint32_t count = 0;
    *size = 0;
    while (count < count_max) {
        leat_assert (available - *size >= sizeof (uint32_t));
        uint32_t record_size = leat_get_u32 (bytes + *size);
        size_t taken = sizeof record_size + (size_t) record_size;
        leat_assert (available - *size >= taken);
        size_t size_max = count == 0 ? limits->body_size_max : limits->batch_size_max;
        if (record_size > limits->record_size_max || *size + taken > size_max)
            break;
        *size += taken;
        count++;
    }
    return count;
}

/* Then no record has to be looked at: under load a slice is a batch, and every one of its records is
 * smaller than the slice. */
static bool s_fits_whole (const leat_backlog_limits_t *limits, size_t available, uint64_t records)
{
    return available <= limits->batch_size_max && available <= limits->body_size_max
           && available <= limits->record_size_max && records <= LEAT_BATCH_COUNT_MAX;
}

/* Why the record at the cut can't be sent. */
static void s_describe_oversized (const leat_backlog_t *self, const uint8_t *bytes,
                                  leat_backlog_oversized_t *oversized)
{
    uint32_t record_size = leat_get_u32 (bytes);
    size_t size_max = self->limits.record_size_max;
    if (record_size <= size_max)
        size_max = self->limits.body_size_max < sizeof record_size
                       ? 0
                       : self->limits.body_size_max - sizeof record_size;
    oversized->sequence = self->cut_next;
    oversized->size = record_size;
    oversized->size_max = size_max;
}

leat_backlog_batch_t *leat_backlog_unsent (leat_backlog_t *self,
                                           leat_backlog_oversized_t *oversized)
{
    oversized->sequence = 0;
    slice_t *slice = self->cut_slice;
    if (self->unsent != NULL || slice == NULL)
        return self->unsent;
    const uint8_t *bytes = leat_slice_bytes (slice->records) + self->cut_offset;
    size_t available = slice->records.size - self->cut_offset;
    uint64_t records = s_slice_end (slice) - self->cut_next;
    if (records > LEAT_BATCH_COUNT_MAX)
        records = LEAT_BATCH_COUNT_MAX;
    size_t size = available;
    uint32_t count = (uint32_t) records;
    if (!s_fits_whole (&self->limits, available, s_slice_end (slice) - self->cut_next))
        count = s_measure (bytes, available, (uint32_t) records, &self->limits, &size);
    if (count == 0) {
        s_describe_oversized (self, bytes, oversized);
        return NULL;
    }
    batch_t *batch = leat_alloc (sizeof *batch);
    batch->slice = slice;
    batch->offset = slice->records.offset + self->cut_offset;
    batch->size = size;
    batch->first = self->cut_next;
    batch->count = count;
    TAILQ_INSERT_TAIL (&self->batches, batch, link);
    self->unsent = batch;
    self->cut_next += count;
    self->cut_offset += size;
    if (self->cut_next == s_slice_end (slice)) {
        leat_assert (self->cut_offset == slice->records.size);
        self->cut_slice = TAILQ_NEXT (slice, link);
        self->cut_offset = 0;
    }
    return batch;
}

bool leat_backlog_shorten (leat_backlog_t *self, leat_backlog_batch_t *batch, size_t size_max)
{
    if (batch->size <= size_max)
        return true;
    leat_backlog_limits_t limits = { self->limits.record_size_max, size_max, size_max };
    size_t size;
    uint32_t count = s_measure (leat_slice_bytes (leat_backlog_body (batch)), batch->size,
                                batch->count, &limits, &size);
    if (count == 0)
        return false;
    s_split (self, batch, count, size);
    return true;
}

uint32_t leat_backlog_crc32c (leat_backlog_batch_t *batch)
{
    if (!batch->has_crc32c) {
        batch->crc32c = leat_crc32c (leat_slice_bytes (leat_backlog_body (batch)), batch->size);
        batch->has_crc32c = true;
    }
    return batch->crc32c;
}

leat_slice_t leat_backlog_body (const leat_backlog_batch_t *batch)
{
    return (leat_slice_t){ batch->slice->records.buffer, batch->offset, batch->size };
}

bool leat_backlog_extended (const leat_backlog_batch_t *batch)
{
    return batch->slice->extended;
}

uint64_t leat_backlog_time_ms (const leat_backlog_batch_t *batch)
{
    return batch->slice->time_ms;
}

void leat_backlog_mark_sent (leat_backlog_t *self, leat_backlog_batch_t *batch, uint64_t cost)
{
    batch->is_sent = true;
    batch->is_again = true;
    batch->cost = cost;
    self->sent_size += batch->size;
    self->sent_cost += cost;
    self->sent_count++;
    if (self->unsent == batch)
        self->unsent = TAILQ_NEXT (batch, link);
}

uint64_t leat_backlog_next (const leat_backlog_t *self)
{
    return self->next;
}

uint64_t leat_backlog_confirmed (const leat_backlog_t *self)
{
    return self->confirmed;
}

uint64_t leat_backlog_sent_end (const leat_backlog_t *self)
{
    return self->unsent != NULL ? self->unsent->first : self->cut_next;
}

uint64_t leat_backlog_size (const leat_backlog_t *self)
{
    return self->size;
}

uint64_t leat_backlog_unsent_size (const leat_backlog_t *self)
{
    return self->size - self->sent_size;
}

uint32_t leat_backlog_batches_sent (const leat_backlog_t *self)
{
    return self->sent_count;
}

uint64_t leat_backlog_cost_sent (const leat_backlog_t *self)
{
    return self->sent_cost;
}

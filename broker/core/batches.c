/* Batches in memory: one body for all groups and consumers, cut by reference.
 * SPDX-License-Identifier: MPL-2.0 */

#include "broker/core/state.h"
#include "wire/batch.h"

/* Every so many records the byte position is noted, so that cutting a batch into single records
 * does not walk it from the start each time. */
enum {
    INDEX_STRIDE = 64,
    COMPACT_SIZE_MIN = 4096 /* a smaller body is not worth a copy */
};

static int core_batch_compare (const core_batch_t *a, const core_batch_t *b)
{
    return (a->first > b->first) - (a->first < b->first);
}

RB_GENERATE (core_batches, core_batch, by_first, core_batch_compare)

core_batch_t *core_batch_make (leat_core_t *core, core_stream_t *stream, uint64_t first,
                               uint32_t count, uint8_t attributes, uint32_t crc32c,
                               uint64_t time_ms, leat_buffer_t *body)
{
    core_batch_t *batch = leat_alloc (sizeof *batch);
    batch->stream = stream;
    batch->first = first;
    batch->count = count;
    batch->attributes = attributes;
    batch->crc32c = crc32c;
    batch->time_ms = time_ms;
    batch->body = body;
    batch->cost = leat_batch_cost (leat_buffer_size (body));
    batch->unsettled = (uint64_t) count * stream->group_count;
    batch->whole = batch->unsettled;
    batch->stored_size = leat_buffer_size (body);
    RB_INSERT (core_batches, &stream->batches, batch);
    stream->batch_count++;
    stream->record_count += count;
    stream->stored_size += batch->stored_size;
    stream->held_size += batch->cost;
    stream->next_offset = first + count;
    core->held_size += batch->cost;
    core_fleeting_grown (core, stream, batch->cost, 0);
    return batch;
}

static void s_parts_free (core_batch_t *batch)
{
    for (uint32_t i = 0; i < batch->part_count; i++) {
        leat_buffer_release (&batch->parts[i].body);
        free (batch->parts[i].index);
    }
    free (batch->parts);
    batch->parts = NULL;
    batch->part_count = 0;
}

void core_batch_destroy (leat_core_t *core, core_batch_t *batch)
{
    core_stream_t *stream = batch->stream;
    core_batch_rest_no_more (batch);
    RB_REMOVE (core_batches, &stream->batches, batch);
    stream->batch_count--;
    stream->record_count -= batch->count;
    stream->stored_size -= batch->stored_size;
    stream->held_size -= batch->cost;
    core->held_size -= batch->cost;
    core_fleeting_grown (core, stream, 0, batch->cost);
    core->credit_freed = true;
    leat_buffer_release (&batch->body);
    s_parts_free (batch);
    free (batch->index);
    free (batch);
}

core_batch_t *core_batch_from (core_stream_t *stream, uint64_t offset)
{
    core_batch_t key = { .first = offset };
    core_batch_t *batch = RB_NFIND (core_batches, &stream->batches, &key);
    if (batch && batch->first == offset)
        return batch;
    core_batch_t *before =
        batch ? RB_PREV (core_batches, , batch) : RB_MAX (core_batches, &stream->batches);
    return before && before->first + before->count > offset ? before : batch;
}

core_batch_t *core_batch_at (core_stream_t *stream, uint64_t offset)
{
    core_batch_t *batch = core_batch_from (stream, offset);
    return batch && batch->first <= offset ? batch : NULL;
}

/* ---- where a record's bytes are -------------------------------------------------------------- */

static uint32_t *s_index (leat_buffer_t *body, uint32_t count)
{
    uint32_t entries = (count + INDEX_STRIDE - 1) / INDEX_STRIDE;
    uint32_t *index = leat_alloc_raw (entries * sizeof *index);
    const uint8_t *bytes = leat_buffer_bytes (body);
    size_t size = leat_buffer_size (body);
    size_t position = 0;
    for (uint32_t i = 0; i < entries; i++) {
        index[i] = (uint32_t) position;
        uint32_t left = count - i * INDEX_STRIDE;
        position += leat_batch_skip (bytes + position, size - position,
                                     left < INDEX_STRIDE ? left : INDEX_STRIDE);
    }
    return index;
}

/* Byte position of record `number` (from 0, at most count) in the body of `count` records, whose
 * index is made when it saves something. */
static size_t s_position (leat_buffer_t *body, uint32_t count, uint32_t **index, uint32_t number)
{
    size_t size = leat_buffer_size (body);
    if (number >= count)
        return size;
    if (!number)
        return 0;
    size_t position = 0;
    if (number >= INDEX_STRIDE) {
        if (!*index)
            *index = s_index (body, count);
        position = (*index)[number / INDEX_STRIDE];
    }
    return position
           + leat_batch_skip (leat_buffer_bytes (body) + position, size - position,
                              number % INDEX_STRIDE);
}

/* The last part that begins at `offset` or before it; the first one if there is none. */
static uint32_t s_part_before (const core_batch_t *batch, uint64_t offset)
{
    uint32_t low = 0;
    uint32_t high = batch->part_count;
    while (high - low > 1) {
        uint32_t middle = low + (high - low) / 2;
        if (batch->parts[middle].first <= offset)
            low = middle;
        else
            high = middle;
    }
    return low;
}

static core_part_t *s_part_at (core_batch_t *batch, uint64_t offset)
{
    core_part_t *part = &batch->parts[s_part_before (batch, offset)];
    leat_assert (part->first <= offset && offset < part->first + part->count);
    return part;
}

leat_slice_t core_batch_slice (core_batch_t *batch, uint64_t first, uint32_t *count)
{
    if (!batch->parts) {
        uint32_t number = (uint32_t) (first - batch->first);
        size_t from = s_position (batch->body, batch->count, &batch->index, number);
        size_t to = s_position (batch->body, batch->count, &batch->index, number + *count);
        return (leat_slice_t){ batch->body, from, to - from };
    }
    core_part_t *part = s_part_at (batch, first);
    if (*count > part->first + part->count - first)
        *count = (uint32_t) (part->first + part->count - first);
    uint32_t number = (uint32_t) (first - part->first);
    size_t from = s_position (part->body, part->count, &part->index, number);
    size_t to = s_position (part->body, part->count, &part->index, number + *count);
    return (leat_slice_t){ part->body, from, to - from };
}

uint64_t core_batch_size (core_batch_t *batch, uint64_t first, uint32_t count)
{
    uint64_t size = 0;
    while (count) {
        uint32_t taken = count;
        size += core_batch_slice (batch, first, &taken).size;
        first += taken;
        count -= taken;
    }
    return size;
}

uint32_t core_batch_fit (core_batch_t *batch, uint64_t first, uint32_t count, uint64_t size_max)
{
    leat_slice_t slice = core_batch_slice (batch, first, &count);
    if (slice.size <= size_max)
        return count;
    const uint8_t *bytes = leat_slice_bytes (slice);
    size_t position = 0;
    for (uint32_t fits = 0;; fits++) {
        position += leat_batch_skip (bytes + position, slice.size - position, 1);
        if (position > size_max)
            return fits;
    }
}

/* ---- when most of it is settled -------------------------------------------------------------- */

/* Is the record open in any group? Sets *until to where that may change. */
static bool s_alive (core_stream_t *stream, uint64_t offset, uint64_t *until)
{
    uint64_t dead_until = UINT64_MAX;
    core_group_t *group;
    RB_FOREACH (group, core_groups, &stream->groups) {
        uint64_t open = core_settled_next_open (&group->settled, offset);
        if (open == offset) {
            *until = core_settled_next_settled (&group->settled, offset);
            return true;
        }
        if (open < dead_until)
            dead_until = open;
    }
    *until = dead_until;
    return false;
}

static void s_part_add (core_batch_t *batch, core_part_t **parts, uint32_t *part_count,
                        uint64_t first, uint32_t count, uint64_t *size)
{
    while (count) {
        uint32_t taken = count;
        leat_slice_t slice = core_batch_slice (batch, first, &taken);
        *parts = leat_realloc (*parts, (*part_count + 1) * sizeof **parts);
        (*parts)[(*part_count)++] =
            (core_part_t){ .first = first,
                           .count = taken,
                           .body = leat_buffer_copy (leat_slice_bytes (slice), slice.size) };
        *size += slice.size + sizeof (core_part_t);
        first += taken;
        count -= taken;
    }
}

/* Copies what is alive out of a body that it would pin as a whole. */
static void s_compact (leat_core_t *core, core_batch_t *batch)
{
    core_part_t *parts = NULL;
    uint32_t part_count = 0;
    uint64_t size = 0;
    uint64_t end = batch->first + batch->count;
    uint64_t offset = batch->first;
    while (offset < end) {
        uint64_t until;
        bool alive = s_alive (batch->stream, offset, &until);
        if (until > end)
            until = end;
        if (alive)
            s_part_add (batch, &parts, &part_count, offset, (uint32_t) (until - offset), &size);
        offset = until;
    }
    leat_assert (part_count);
    uint64_t cost = size + LEAT_BATCH_COST;
    s_parts_free (batch);
    leat_buffer_release (&batch->body);
    free (batch->index);
    batch->index = NULL;
    batch->parts = parts;
    batch->part_count = part_count;
    batch->whole = batch->unsettled;
    if (cost > batch->cost)
        cost = batch->cost; /* tiny records: the account must never grow by this */
    batch->stream->held_size -= batch->cost - cost;
    core->held_size -= batch->cost - cost;
    core_fleeting_grown (core, batch->stream, cost, batch->cost);
    batch->cost = cost;
    core->credit_freed = true;
}

uint64_t core_batch_gone (const core_batch_t *batch, uint64_t from, uint64_t *until)
{
    uint64_t end = batch->first + batch->count;
    for (uint32_t i = s_part_before (batch, from); i < batch->part_count; i++) {
        const core_part_t *part = &batch->parts[i];
        if (from < part->first) {
            *until = part->first;
            return from;
        }
        if (from < part->first + part->count)
            from = part->first + part->count;
    }
    *until = end;
    return batch->parts ? from : end;
}

void core_batch_settled (leat_core_t *core, core_batch_t *batch, uint64_t count)
{
    leat_assert (batch->unsettled >= count);
    batch->unsettled -= count;
    if (!core->ticked)
        return; /* in recovery it goes by TRIM: a group that still had all of it may come later */
    if (core_is_log (batch->stream)) {
        if (!batch->unsettled)
            core_batch_spent (core, batch);
        return;
    }
    if (!batch->unsettled) {
        core_trim (core, batch);
        core_batch_destroy (core, batch);
        return;
    }
    if (batch->stream->reads)
        return; /* instead of copying anything out it goes away */
    /* At a quarter of what it was made with or last compacted to, so that in all less is copied
     * than a third of the body; and not while there is plenty of memory. */
    if (batch->unsettled > batch->whole / 4 || batch->cost < COMPACT_SIZE_MIN + LEAT_BATCH_COST)
        return;
    if (core->held_size + core->granted_size > core->limits.memory_size / 2
        || batch->stream->held_size > core->limits.stream_size / 2)
        s_compact (core, batch);
}

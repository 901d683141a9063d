/* The model and the store: what a commit may say of records that are settled, tried, dead or trimmed.
 * SPDX-License-Identifier: MPL-2.0 */
#include "tests/simulation/model_commit.h"
#include "tests/simulation/trace.h"
#include "wire/record.h"

#include <string.h>

static sim_mark_t *s_mark (sim_t *sim, uint32_t stream_id, uint32_t group_id, uint64_t offset)
{
    sim_group_t *group = sim_model_commit_group (sim, stream_id, group_id);
    if (offset >= group->marks_count)
        sim_violation (sim, "commits name records that are committed",
                       "offset %llu of stream %u, which has %zu records",
                       (unsigned long long) offset, stream_id, group->marks_count);
    return &group->marks[offset];
}

/* ---- settling -------------------------------------------------------------------------------- */

static void s_settle (sim_t *sim, const sim_stream_t *stream, sim_group_t *group, uint64_t offset)
{
    sim_mark_t *mark = &group->marks[offset];
    if (mark->settled)
        return;
    if ((!mark->acked || mark->rejected) && !mark->optional)
        sim_violation (sim, "only what its holder has acknowledged is settled",
                       "stream %s, group %s, offset %llu", stream->name, group->name,
                       (unsigned long long) offset);
    /* One that it skips as older than where it begins: until it is through, and there is a read for each
     * batch, it has nothing to hand out. */
    if (!mark->acked)
        group->idle_since_us = 0;
    mark->settled = true;
}

/* One bit of a chunk; those below the floor are left out. */
static void s_settle_bit (sim_t *sim, const sim_stream_t *stream, sim_group_t *group,
                          uint64_t offset, bool settled)
{
    if (offset >= group->marks_count && settled)
        sim_violation (sim, "only committed records are settled", "stream %s, offset %llu",
                       stream->name, (unsigned long long) offset);
    if (settled)
        s_settle (sim, stream, group, offset);
    else if (offset >= group->floor && offset < group->marks_count && group->marks[offset].settled
             && !group->marks[offset].dead && !stream->records[offset].none)
        sim_violation (sim, "what is settled stays settled", "stream %s, group %s, offset %llu",
                       stream->name, group->name, (unsigned long long) offset);
}

void sim_model_commit_chunk (sim_t *sim, const leat_operation_chunk_t *chunk)
{
    const sim_stream_t *stream = sim_model_commit_stream (sim, chunk->stream);
    sim_group_t *group = sim_model_commit_group (sim, chunk->stream, chunk->group);
    uint64_t base = chunk->chunk * LEAT_CHUNK_RECORDS;
    uint64_t end = base + LEAT_CHUNK_RECORDS * (chunk->whole ? chunk->whole : 1);
    for (uint64_t offset = base; offset < end; offset++) {
        uint64_t bit = offset - base;
        bool settled = chunk->whole
                       || (bit / 8 < chunk->settled.size
                           && ((uint8_t) chunk->settled.data[bit / 8] >> bit % 8 & 1));
        if (!chunk->whole && offset >= group->marks_count && bit / 8 >= chunk->settled.size)
            break;
        s_settle_bit (sim, stream, group, offset, settled);
    }
}

void sim_model_commit_floor (sim_t *sim, const leat_operation_floor_t *floor)
{
    sim_stream_t *stream = sim_model_commit_stream (sim, floor->stream);
    sim_group_t *group = sim_model_commit_group (sim, floor->stream, floor->group);
    if (floor->first > group->marks_count)
        sim_violation (sim, "only committed records are settled", "stream %s, floor %llu of %zu",
                       stream->name, (unsigned long long) floor->first, group->marks_count);
    for (uint64_t offset = group->first; offset < floor->first; offset++)
        s_settle (sim, stream, group, offset);
    if (group->floor < floor->first)
        group->floor = floor->first;
}

void sim_model_commit_charged (sim_t *sim, uint32_t stream, uint32_t group, uint64_t offset,
                               uint32_t attempts, bool suspect, uint64_t due_ms)
{
    sim_mark_t *mark = s_mark (sim, stream, group, offset);
    if (attempts > mark->charged || attempts < mark->charged_durable)
        sim_violation (sim, "the store knows the attempts that were charged",
                       "stream %u, offset %llu: %u attempts, %u were charged, %u known before",
                       stream, (unsigned long long) offset, attempts, mark->charged,
                       mark->charged_durable);
    mark->charged_durable = attempts;
    mark->suspect_durable = suspect;
    mark->due_durable_ms = due_ms;
}

static void s_check_dying (sim_t *sim, const sim_mark_t *mark, uint32_t stream, uint64_t offset)
{
    /* A parked one was rejected or charged in a former life, and may find room after a restart. */
    if (!mark->rejected && !mark->parked && mark->charged < sim->plan.limits.attempts)
        sim_violation (sim, "dead letters come from a reject or max_attempts",
                       "stream %u, offset %llu: %u attempts charged", stream,
                       (unsigned long long) offset, mark->charged);
    if (mark->settled)
        sim_violation (sim, "nothing settled becomes a dead letter", "stream %u, offset %llu",
                       stream, (unsigned long long) offset);
}

/* A copy is extended and has headers of its own before those of the original. */
static bool s_is_copy (const sim_record_t *copy, const sim_record_t *original)
{
    leat_record_t a;
    leat_record_t b;
    if (!copy->extended || !leat_record_decode (&a, true, copy->bytes, copy->size)
        || !leat_record_decode (&b, original->extended, original->bytes, original->size))
        return false;
    leat_text_t name;
    leat_text_t value;
    size_t taken;
    const uint8_t *headers = a.headers;
    size_t size = a.headers_size;
    while ((taken = leat_header_decode (&name, &value, headers, size)) > 0 && name.size > 5
           && memcmp (name.data, "leat-", 5) == 0) {
        headers += taken;
        size -= taken;
    }
    return a.body_size == b.body_size && memcmp (a.body, b.body, b.body_size) == 0
           && a.key_size == b.key_size && (!b.key_size || memcmp (a.key, b.key, b.key_size) == 0)
           && size == b.headers_size && (!size || memcmp (headers, b.headers, size) == 0);
}

void sim_model_commit_dead (sim_t *sim, const leat_operation_dead_t *dead)
{
    sim_mark_t *mark = s_mark (sim, dead->stream, dead->group, dead->offset);
    const sim_stream_t *stream = sim_model_commit_stream (sim, dead->stream);
    const sim_stream_t *copies = sim_model_commit_stream (sim, dead->dead_stream);
    s_check_dying (sim, mark, dead->stream, dead->offset);
    char name[LEAT_NAME_MAX + 8];
    snprintf (name, sizeof name, "%s.dead", stream->name);
    if (strcmp (name, copies->name) != 0)
        sim_violation (sim, "a dead letter goes into its stream's .dead", "%s of %s", copies->name,
                       stream->name);
    const sim_record_t *record = &stream->records[dead->offset];
    const sim_record_t *copy =
        dead->dead_offset < copies->records_count ? &copies->records[dead->dead_offset] : NULL;
    if (!copy || !s_is_copy (copy, record))
        sim_violation (sim, "a dead letter has a copy that equals the original",
                       "stream %s, offset %llu", stream->name, (unsigned long long) dead->offset);
    if (mark->rejected)
        SIM_COUNT (sim, dead_rejected);
    else
        SIM_COUNT (sim, dead_attempts);
    mark->dead = mark->settled = mark->acked = true;
}

void sim_model_commit_parked (sim_t *sim, const leat_operation_parked_t *parked)
{
    sim_mark_t *mark = s_mark (sim, parked->stream, parked->group, parked->offset);
    if (mark->parked)
        return; /* written again */
    s_check_dying (sim, mark, parked->stream, parked->offset);
    mark->charged_durable = parked->attempts;
    mark->parked = true;
    SIM_COUNT (sim, parked);
}

/* ---- trimming -------------------------------------------------------------------------------- */

/* What is trimmed are whole batches, one that is there; or several where the broker does not know how
 * many there are, and some may be gone. */
static void s_check_whole (sim_t *sim, const sim_stream_t *stream,
                           const leat_operation_trim_t *trim)
{
    uint64_t end = trim->first + trim->count;
    bool whole = trim->count && end <= stream->records_count
                 && stream->records[trim->first].batch == trim->first
                 && (end == stream->records_count || stream->records[end].batch == end);
    for (uint64_t offset = trim->first;
         whole && (stream->fleeting || !sim->plan.store_reads) && offset < end; offset++)
        whole = stream->records[offset].batch == trim->first && !stream->records[offset].trimmed;
    if (!whole)
        sim_violation (sim, "whole batches are trimmed, once", "stream %s, %llu+%llu", stream->name,
                       (unsigned long long) trim->first, (unsigned long long) trim->count);
}

void sim_model_commit_trim (sim_t *sim, const leat_operation_trim_t *trim)
{
    sim_stream_t *stream = sim_model_commit_stream (sim, trim->stream);
    unsigned groups = 0;
    uint64_t end = trim->first + trim->count;
    s_check_whole (sim, stream, trim);
    if (stream->is_log)
        sim_violation (sim, "a log keeps what is settled", "stream %s, %llu+%llu", stream->name,
                       (unsigned long long) trim->first, (unsigned long long) trim->count);
    for (uint64_t begin = trim->first; begin < end;) {
        uint64_t batch = stream->records[begin].batch;
        bool trimmed = stream->records[begin].trimmed;
        size_t size = 0;
        for (; begin < end && stream->records[begin].batch == batch; begin++) {
            stream->records[begin].trimmed = true;
            size += stream->records[begin].size;
        }
        if (!trimmed)
            stream->held_size -= leat_batch_cost (size);
    }
    for (unsigned index = 0; index < SIM_MODEL_GROUPS_MAX; index++) {
        const sim_group_t *group = &stream->groups[index];
        groups += group->exists;
        for (uint64_t offset = trim->first; group->exists && offset < trim->first + trim->count;
             offset++) {
            if (!group->marks[offset].settled && !group->marks[offset].optional)
                sim_violation (sim, "only what every group has settled is trimmed",
                               "stream %s, group %s, offset %llu", stream->name, group->name,
                               (unsigned long long) offset);
        }
    }
    if (!groups)
        sim_violation (sim, "a stream without groups holds everything", "stream %s", stream->name);
    SIM_COUNT (sim, trimmed);
}

/* A new core takes over what a store has: applies its commits, then finds out what is ready.
 * SPDX-License-Identifier: MPL-2.0 */

#include "broker/core/retention.h"

/* Offsets beyond this are damage, not data. */
#define OFFSET_MAX (UINT64_C (1) << 62)

/* ---- operations ------------------------------------------------------------------------------ */

/* STREAM_CREATED and STREAM_SET have these in common. */
static bool s_settings (core_settings_t *settings, const leat_operation_stream_set_t *operation)
{
    *settings = (core_settings_t){ .durability = (leat_durability_t) operation->durability,
                                   .retention = (leat_retention_t) operation->retention,
                                   .max_age_ms = operation->max_age_ms,
                                   .max_size = operation->max_size,
                                   .max_processing_ms = operation->max_processing_ms,
                                   .max_attempts = operation->max_attempts,
                                   .dead_size = operation->dead_size };
    return operation->durability >= LEAT_ASYNC && operation->durability <= LEAT_MEMORY
           && operation->retention <= LEAT_RETENTION_LOG
           && operation->max_age_ms <= CORE_TIME_MAX_MS
           && operation->max_processing_ms <= CORE_TIME_MAX_MS;
}

/* Dead letters of a fleeting stream are fleeting, and no others: they go in commits with its settles. */
static bool s_fits_dead (leat_core_t *core, leat_text_t name, const core_settings_t *settings)
{
    char dead[LEAT_NAME_MAX + 1];
    leat_text_t other = { dead, 0 };
    if (leat_name_reserved (name))
        other = (leat_text_t){ name.data, name.size - strlen (".dead") };
    else if (name.size <= LEAT_STREAM_NAME_MAX)
        other.size = (size_t) snprintf (dead, sizeof dead, "%.*s.dead", (int) name.size, name.data);
    const core_stream_t *stream = core_stream_find (core, other);
    return !stream
           || (stream->settings.durability == LEAT_MEMORY) == (settings->durability == LEAT_MEMORY);
}

static leat_code_t s_stream_created (leat_core_t *core,
                                     const leat_operation_stream_created_t *operation)
{
    core_settings_t settings;
    const leat_operation_stream_set_t set = { .durability = operation->durability,
                                              .retention = operation->retention,
                                              .max_age_ms = operation->max_age_ms,
                                              .max_size = operation->max_size,
                                              .max_processing_ms = operation->max_processing_ms,
                                              .max_attempts = operation->max_attempts,
                                              .dead_size = operation->dead_size };
    if (!leat_name_valid (operation->stream_name) || !operation->stream
        || operation->stream == UINT32_MAX || !s_settings (&settings, &set)
        || core_stream_by_id (core, operation->stream)
        || core_stream_find (core, operation->stream_name)
        || !s_fits_dead (core, operation->stream_name, &settings))
        return LEAT_MALFORMED;
    core_stream_t *stream = core_stream_make (core, operation->stream_name, operation->stream);
    stream->settings = settings;
    core_stream_begin (core, stream);
    stream->committed = true;
    return LEAT_OK;
}

static leat_code_t s_stream_set (leat_core_t *core, const leat_operation_stream_set_t *operation)
{
    core_stream_t *stream = core_stream_by_id (core, operation->stream);
    core_settings_t settings;
    if (!stream || !s_settings (&settings, operation)
        || (settings.durability == LEAT_MEMORY) != (stream->settings.durability == LEAT_MEMORY))
        return LEAT_MALFORMED;
    stream->settings = settings;
    return LEAT_OK;
}

/* Batches that were trimmed leave no trace but the offsets of what came later. */
static void s_reach (core_stream_t *stream, uint64_t offset)
{
    if (stream->next_offset < offset)
        stream->next_offset = offset;
    stream->committed_offset = stream->next_offset;
}

static leat_code_t s_group_created (leat_core_t *core,
                                    const leat_operation_group_created_t *operation)
{
    core_stream_t *stream = core_stream_by_id (core, operation->stream);
    if (!stream || !leat_name_valid (operation->group_name) || !operation->group
        || operation->group == UINT32_MAX || operation->first > OFFSET_MAX
        || core_group_by_id (stream, operation->group)
        || core_group_find (stream, operation->group_name))
        return LEAT_MALFORMED;
    s_reach (stream, operation->first);
    core_group_t *group =
        core_group_make (core, stream, operation->group_name, operation->group, operation->first);
    group->committed = true;
    return LEAT_OK;
}

static leat_code_t s_sequence (leat_core_t *core, const leat_operation_sequence_t *operation)
{
    core_stream_t *stream = core_stream_by_id (core, operation->stream);
    if (!stream || !leat_name_valid (operation->identity) || operation->sequence > OFFSET_MAX)
        return LEAT_MALFORMED;
    core_identity_t *identity = core_identity_find (core, operation->identity);
    if (!identity)
        identity = core_identity_make (core, operation->identity, operation->ephemeral);
    core_sequence_t *sequence = core_sequence_find (identity, stream);
    if (!sequence)
        sequence = core_sequence_make (core, identity, stream);
    sequence->known = true;
    sequence->accepted = operation->sequence;
    sequence->committed = operation->sequence;
    sequence->offset = operation->offset;
    return LEAT_OK;
}

static leat_code_t s_sequence_forgotten (leat_core_t *core,
                                         const leat_operation_sequence_forgotten_t *operation)
{
    core_stream_t *stream = core_stream_by_id (core, operation->stream);
    core_identity_t *identity = core_identity_find (core, operation->identity);
    core_sequence_t *sequence = stream && identity ? core_sequence_find (identity, stream) : NULL;
    if (sequence)
        core_sequence_destroy (core, sequence);
    return stream ? LEAT_OK : LEAT_MALFORMED;
}

static leat_code_t s_append (leat_core_t *core, const leat_operation_append_t *operation)
{
    core_stream_t *stream = core_stream_by_id (core, operation->stream);
    const uint8_t *bytes = leat_slice_bytes (operation->body);
    size_t size = operation->body.size;
    if (!stream || stream->fleeting || operation->first < stream->next_offset
        || operation->first > OFFSET_MAX || !operation->count
        || leat_crc32c (bytes, size) != operation->crc32c
        || leat_batch_check (bytes, size, operation->count,
                             operation->attributes & LEAT_BATCH_EXTENDED, SIZE_MAX)
               != LEAT_OK)
        return LEAT_MALFORMED;
    core_batch_t *batch =
        core_batch_make (core, stream, operation->first, operation->count, operation->attributes,
                         operation->crc32c, operation->time_ms, leat_buffer_copy (bytes, size));
    batch->committed = true;
    stream->committed_offset = stream->next_offset;
    core_batch_rest (core, batch);
    return LEAT_OK;
}

static leat_code_t s_extent (leat_core_t *core, const leat_operation_extent_t *operation)
{
    core_stream_t *stream = core_stream_by_id (core, operation->stream);
    bool none = operation->first == operation->next; /* as of a fleeting stream */
    if (!stream || !(stream->fleeting ? none : stream->reads)
        || operation->first < stream->next_offset || operation->next < operation->first
        || operation->next > OFFSET_MAX)
        return LEAT_MALFORMED;
    if (operation->first < operation->next)
        core_batch_make_away (core, stream, operation->first, operation->next - operation->first,
                              operation->size);
    s_reach (stream, operation->next);
    return LEAT_OK;
}

/* What is reserved counts as gone once all is recovered: older records may be stated still. */
static leat_code_t s_reserved (leat_core_t *core, const leat_operation_reserved_t *operation)
{
    core_stream_t *stream = core_stream_by_id (core, operation->stream);
    if (!stream || operation->next > OFFSET_MAX)
        return LEAT_MALFORMED;
    stream->reserved = operation->next;
    return LEAT_OK;
}

/* No group has settled anything beyond. */
static uint64_t s_end (const core_stream_t *stream)
{
    return stream->reserved > stream->next_offset ? stream->reserved : stream->next_offset;
}

static core_group_t *s_group (leat_core_t *core, uint32_t stream_id, uint32_t group_id)
{
    core_stream_t *stream = core_stream_by_id (core, stream_id);
    return stream ? core_group_by_id (stream, group_id) : NULL;
}

/* Settles what is still open in [from, to). */
static void s_settle (leat_core_t *core, core_group_t *group, uint64_t from, uint64_t to)
{
    while ((from = core_settled_next_open (&group->settled, from)) < to) {
        uint64_t until = core_settled_next_settled (&group->settled, from);
        if (until > to)
            until = to;
        core_group_settle (core, group, from, until - from);
        from = until;
    }
}

static leat_code_t s_chunk (leat_core_t *core, const leat_operation_chunk_t *operation)
{
    core_group_t *group = s_group (core, operation->stream, operation->group);
    const uint8_t *bytes = (const uint8_t *) operation->settled.data;
    size_t size = operation->settled.size;
    if (!group || operation->chunk > OFFSET_MAX / LEAT_CHUNK_RECORDS
        || operation->whole > OFFSET_MAX / LEAT_CHUNK_RECORDS || size > LEAT_CHUNK_RECORDS / 8)
        return LEAT_MALFORMED;
    uint64_t base = operation->chunk * LEAT_CHUNK_RECORDS;
    if (operation->whole) {
        uint64_t end = base + operation->whole * LEAT_CHUNK_RECORDS;
        if (end > s_end (group->stream))
            return LEAT_MALFORMED;
        s_settle (core, group, base, end);
        return LEAT_OK;
    }
    for (size_t i = 0; i < size * 8; i++) {
        if (!(bytes[i / 8] >> (i % 8) & 1))
            continue;
        size_t end = i + 1;
        while (end < size * 8 && (bytes[end / 8] >> (end % 8) & 1))
            end++;
        if (base + end > s_end (group->stream))
            return LEAT_MALFORMED;
        s_settle (core, group, base + i, base + end);
        i = end;
    }
    return LEAT_OK;
}

static leat_code_t s_floor (leat_core_t *core, const leat_operation_floor_t *operation)
{
    core_group_t *group = s_group (core, operation->stream, operation->group);
    if (!group || operation->first > OFFSET_MAX)
        return LEAT_MALFORMED;
    s_reach (group->stream, operation->first);
    s_settle (core, group, 0, operation->first);
    return LEAT_OK;
}

/* The mark for an offset; NULL if there is no such record, or *settled if it is settled. */
static core_mark_t *s_mark (leat_core_t *core, uint32_t stream_id, uint32_t group_id,
                            uint64_t offset, bool *settled)
{
    *settled = false;
    core_group_t *group = s_group (core, stream_id, group_id);
    if (!group || offset >= group->stream->next_offset)
        return NULL;
    *settled = core_settled_has (&group->settled, offset);
    if (*settled || !core_batch_at (group->stream, offset))
        return NULL;
    core_mark_t *mark = core_mark_find (group, offset);
    if (!mark)
        mark = core_mark_make (core, group, offset);
    mark->redelivered = true;
    return mark;
}

static leat_code_t s_attempts (leat_core_t *core, const leat_operation_attempts_t *operation)
{
    bool settled;
    core_mark_t *mark =
        s_mark (core, operation->stream, operation->group, operation->offset, &settled);
    if (!mark)
        return settled ? LEAT_OK : LEAT_MALFORMED;
    mark->attempts = operation->attempts;
    mark->suspect = operation->suspect;
    mark->due_ms = 0;
    return LEAT_OK;
}

static leat_code_t s_delay (leat_core_t *core, const leat_operation_delay_t *operation)
{
    bool settled;
    core_mark_t *mark =
        s_mark (core, operation->stream, operation->group, operation->offset, &settled);
    if (!mark)
        return settled ? LEAT_OK : LEAT_MALFORMED;
    mark->attempts = operation->attempts;
    mark->suspect = false;
    mark->due_ms = operation->due_ms;
    return LEAT_OK;
}

static leat_code_t s_parked (leat_core_t *core, const leat_operation_parked_t *operation)
{
    bool settled;
    core_mark_t *mark =
        s_mark (core, operation->stream, operation->group, operation->offset, &settled);
    if (!mark)
        return settled ? LEAT_OK : LEAT_MALFORMED;
    mark->attempts = operation->attempts;
    mark->code = (leat_code_t) operation->code;
    free (mark->reason);
    mark->reason = leat_copy_text (operation->reason.data, operation->reason.size);
    core_mark_set (core, mark, CORE_MARK_PARKED);
    return LEAT_OK;
}

static leat_code_t s_dead (leat_core_t *core, const leat_operation_dead_t *operation)
{
    core_group_t *group = s_group (core, operation->stream, operation->group);
    if (!group || operation->offset >= group->stream->next_offset)
        return LEAT_MALFORMED;
    core_mark_t *mark = core_mark_find (group, operation->offset);
    if (mark)
        core_mark_destroy (core, mark);
    s_settle (core, group, operation->offset, operation->offset + 1);
    group->dead_count++;
    return LEAT_OK;
}

static leat_code_t s_trim (leat_core_t *core, const leat_operation_trim_t *operation)
{
    core_stream_t *stream = core_stream_by_id (core, operation->stream);
    core_batch_t *batch = stream ? core_batch_at (stream, operation->first) : NULL;
    if (!stream || (batch && (batch->first != operation->first || batch->unsettled)))
        return LEAT_MALFORMED;
    if (batch)
        core_batch_destroy (core, batch);
    return LEAT_OK;
}

static leat_code_t s_expired (leat_core_t *core, const leat_operation_expired_t *operation)
{
    core_stream_t *stream = core_stream_by_id (core, operation->stream);
    if (!stream || operation->first > OFFSET_MAX)
        return LEAT_MALFORMED;
    s_reach (stream, operation->first);
    core_group_t *group;
    RB_FOREACH (group, core_groups, &stream->groups)
        s_settle (core, group, 0, operation->first);
    return core_log_recover (core, stream, operation->first) ? LEAT_OK : LEAT_MALFORMED;
}

static leat_code_t s_apply (leat_core_t *core, const leat_operation_t *operation)
{
    switch (operation->id) {
    case LEAT_OPERATION_STREAM_CREATED:
        return s_stream_created (core, &operation->stream_created);
    case LEAT_OPERATION_STREAM_SET:
        return s_stream_set (core, &operation->stream_set);
    case LEAT_OPERATION_GROUP_CREATED:
        return s_group_created (core, &operation->group_created);
    case LEAT_OPERATION_SEQUENCE:
        return s_sequence (core, &operation->sequence);
    case LEAT_OPERATION_SEQUENCE_FORGOTTEN:
        return s_sequence_forgotten (core, &operation->sequence_forgotten);
    case LEAT_OPERATION_APPEND:
        return s_append (core, &operation->append);
    case LEAT_OPERATION_EXTENT:
        return s_extent (core, &operation->extent);
    case LEAT_OPERATION_RESERVED:
        return s_reserved (core, &operation->reserved);
    case LEAT_OPERATION_CHUNK:
        return s_chunk (core, &operation->chunk);
    case LEAT_OPERATION_FLOOR:
        return s_floor (core, &operation->floor);
    case LEAT_OPERATION_ATTEMPTS:
        return s_attempts (core, &operation->attempts);
    case LEAT_OPERATION_DELAY:
        return s_delay (core, &operation->delay);
    case LEAT_OPERATION_PARKED:
        return s_parked (core, &operation->parked);
    case LEAT_OPERATION_DEAD:
        return s_dead (core, &operation->dead);
    case LEAT_OPERATION_TRIM:
        return s_trim (core, &operation->trim);
    case LEAT_OPERATION_EXPIRED:
        return s_expired (core, &operation->expired);
    default:
        return LEAT_NOT_HANDLED; /* nothing writes the others yet */
    }
}

leat_code_t leat_core_recover (leat_core_t *self, leat_buffer_t *commit)
{
    leat_assert (!self->ticked);
    leat_commit_reader_t reader;
    leat_code_t code = leat_commit_read (&reader, commit);
    if (code == LEAT_OK && reader.id < self->next_commit_id)
        return LEAT_MALFORMED;
    while (code == LEAT_OK && reader.left) {
        leat_operation_t operation;
        code = leat_commit_read_operation (&reader, &operation);
        if (code == LEAT_OK)
            code = s_apply (self, &operation);
    }
    if (code != LEAT_OK)
        return code;
    self->next_commit_id = reader.id + 1;
    if (self->chain <= reader.chain)
        self->chain = reader.chain + 1;
    return leat_commit_read_end (&reader);
}

/* ---- the end of recovery --------------------------------------------------------------------- */

static void s_place_mark (leat_core_t *core, core_mark_t *mark)
{
    if (core_settled_has (&mark->group->settled, mark->offset))
        core_mark_destroy (core, mark);
    else if (mark->state == CORE_MARK_PARKED)
        core_mark_set (core, mark, CORE_MARK_DYING); /* there may be room for it now */
    else if (mark->attempts >= core_attempts (core, mark->group->stream))
        core_mark_kill (core, mark, LEAT_TIMED_OUT, leat_text ("too many attempts"));
    else if (mark->due_ms > core->wall_ms)
        core_mark_delay (core, mark, mark->due_ms - core->wall_ms);
    else
        core_mark_release (core, mark);
}

/* Open records below `end` that have no mark are to be handed out as returned ones. */
static void s_return_open (leat_core_t *core, core_group_t *group, uint64_t end)
{
    uint64_t from = group->settled.floor;
    while ((from = core_settled_next_open (&group->settled, from)) < end) {
        uint64_t until = core_settled_next_settled (&group->settled, from);
        core_mark_t key = { .offset = from };
        const core_mark_t *mark = RB_NFIND (core_marks, &group->marks, &key);
        if (mark && mark->offset < until)
            until = mark->offset;
        if (until > end)
            until = end;
        if (until > from)
            core_group_return (core, group, from, until - from);
        from = mark && until == mark->offset ? until + 1 : until;
    }
}

/* Beyond that nothing is settled or marked. */
static uint64_t s_end_of (core_group_t *group)
{
    uint64_t end = core_settled_end (&group->settled);
    const core_mark_t *last = RB_MAX (core_marks, &group->marks);
    return last && last->offset >= end ? last->offset + 1 : end;
}

static void s_go_on (leat_core_t *core, core_group_t *group, uint64_t end)
{
    /* What is not committed is not ready. */
    if (end > group->stream->committed_offset)
        end = group->stream->committed_offset;
    s_return_open (core, group, end);
    group->cursor = end > group->settled.floor ? end : group->settled.floor;
    core_group_wake (core, group);
}

void core_group_go_on (leat_core_t *core, core_group_t *group)
{
    s_go_on (core, group, s_end_of (group));
}

void core_group_begin (leat_core_t *core, core_group_t *group)
{
    core_group_skip_gone (core, group);
    uint64_t end = s_end_of (group);
    core_mark_t *mark;
    core_mark_t *next;
    for (mark = RB_MIN (core_marks, &group->marks); mark; mark = next) {
        next = RB_NEXT (core_marks, , mark);
        s_place_mark (core, mark);
    }
    s_go_on (core, group, end);
}

void core_stream_trim_rest (leat_core_t *core, core_stream_t *stream)
{
    core_batch_t *batch;
    core_batch_t *next;
    for (batch = RB_MIN (core_batches, &stream->batches); batch; batch = next) {
        next = RB_NEXT (core_batches, , batch);
        if (stream->group_count && !batch->unsettled && batch->committed) {
            core_trim (core, batch);
            core_batch_destroy (core, batch);
        }
    }
}

void core_recovered (leat_core_t *core)
{
    core_stream_t *stream;
    RB_FOREACH (stream, core_streams, &core->streams) {
        s_reach (stream, stream->reserved);
        stream->reserving = stream->reserved;
        core_fleeting_reserve (core, stream, stream->next_offset);
        if (core_is_log (stream))
            core_log_begin (core, stream);
        else
            core_stream_trim_rest (core, stream); /* what did not get into a commit */
        core_group_t *group;
        RB_FOREACH (group, core_groups, &stream->groups)
            core_group_begin (core, group);
    }
    core_identity_t *identity;
    RB_FOREACH (identity, core_identities, &core->identities)
        core_identity_rest (core, identity);
}

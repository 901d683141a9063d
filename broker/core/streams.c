/* Streams and groups: finding, creating, forgetting.
 * SPDX-License-Identifier: MPL-2.0 */

#include "broker/core/retention.h"

static int core_stream_compare (const core_stream_t *a, const core_stream_t *b)
{
    return core_name_compare (a->name, a->name_size, b->name, b->name_size);
}

static int core_stream_compare_id (const core_stream_t *a, const core_stream_t *b)
{
    return (a->id > b->id) - (a->id < b->id);
}

static int core_group_compare (const core_group_t *a, const core_group_t *b)
{
    return core_name_compare (a->name, a->name_size, b->name, b->name_size);
}

RB_GENERATE (core_streams, core_stream, by_name, core_stream_compare)
RB_GENERATE (core_streams_by_id, core_stream, by_id, core_stream_compare_id)
RB_GENERATE (core_groups, core_group, by_name, core_group_compare)

/* ---- streams --------------------------------------------------------------------------------- */

core_stream_t *core_stream_find (leat_core_t *core, leat_text_t name)
{
    core_stream_t key = { .name = (char *) name.data, .name_size = name.size };
    return RB_FIND (core_streams, &core->streams, &key);
}

core_stream_t *core_stream_by_id (leat_core_t *core, uint32_t id)
{
    core_stream_t key = { .id = id };
    return RB_FIND (core_streams_by_id, &core->streams_by_id, &key);
}

core_stream_t *core_stream_make (leat_core_t *core, leat_text_t name, uint32_t id)
{
    core_stream_t *stream = leat_alloc (sizeof *stream);
    stream->id = id;
    stream->name = leat_copy_text (name.data, name.size);
    stream->name_size = name.size;
    stream->holds_dead = leat_name_reserved (name);
    stream->settings.durability = core_usual_durability (core);
    TAILQ_INIT (&stream->idle);
    stream->next_group_id = 1;
    RB_INIT (&stream->batches);
    RB_INIT (&stream->groups);
    LIST_INIT (&stream->sequences);
    TAILQ_INIT (&stream->grants);
    TAILQ_INIT (&stream->wanting);
    RB_INSERT (core_streams, &core->streams, stream);
    RB_INSERT (core_streams_by_id, &core->streams_by_id, stream);
    core->statistics.streams++;
    if (core->next_stream_id <= id)
        core->next_stream_id = id + 1;
    return stream;
}

core_stream_t *core_stream_create (leat_core_t *core, leat_text_t name,
                                   const core_settings_t *settings)
{
    if (core->statistics.streams >= core->limits.streams) {
        core_limit_hit (core, LEAT_LIMIT_streams);
        return NULL;
    }
    core_stream_t *stream = core_stream_make (core, name, core->next_stream_id);
    if (settings)
        stream->settings = *settings;
    core_stream_begin (core, stream);
    core_data_add_stream (core, stream);
    return stream;
}

core_stream_t *core_stream_obtain (leat_core_t *core, core_session_t *session, uint8_t command,
                                   uint32_t channel, leat_text_t name, bool must_exist)
{
    core_stream_t *stream = core_stream_find (core, name);
    if (stream)
        return stream;
    /* Streams of dead letters come into being with the first dead letter. */
    if (must_exist || leat_name_reserved (name)) {
        core_refuse (core, session->peer, command, channel, LEAT_NO_SUCH_STREAM,
                     leat_name_reserved (name)
                         ? "there are no dead letters; the stream begins with the first one"
                         : NULL);
        return NULL;
    }
    if (name.size > LEAT_STREAM_NAME_MAX) {
        core_refuse (core, session->peer, command, channel, LEAT_BAD_NAME,
                     "a stream's name has at most 123 bytes");
        return NULL;
    }
    stream = core_stream_create (core, name, NULL);
    if (!stream)
        core_refuse (core, session->peer, command, channel, LEAT_LIMIT_REACHED,
                     "the broker has as many streams as it is allowed to");
    return stream;
}

core_stream_t *core_stream_for_dead (leat_core_t *core, core_stream_t *stream)
{
    char name[LEAT_NAME_MAX + 1];
    int size = snprintf (name, sizeof name, "%.*s.dead", (int) stream->name_size, stream->name);
    leat_text_t text = { name, (size_t) size };
    core_stream_t *dead = core_stream_find (core, text);
    const core_settings_t fleeting = { .durability = LEAT_MEMORY };
    return dead ? dead : core_stream_create (core, text, stream->fleeting ? &fleeting : NULL);
}

uint64_t core_attempts (const leat_core_t *core, const core_stream_t *stream)
{
    return stream->settings.max_attempts ? stream->settings.max_attempts : core->limits.attempts;
}

uint64_t core_dead_size (const leat_core_t *core, const core_stream_t *stream)
{
    return stream->settings.dead_size ? stream->settings.dead_size : core->limits.dead_size;
}

void core_stream_destroy (leat_core_t *core, core_stream_t *stream)
{
    core_group_t *group;
    while ((group = RB_MIN (core_groups, &stream->groups)))
        core_group_destroy (core, group);
    core_batch_t *batch;
    while ((batch = RB_MIN (core_batches, &stream->batches)))
        core_batch_destroy (core, batch);
    core_sequence_t *sequence;
    while ((sequence = LIST_FIRST (&stream->sequences)))
        core_sequence_destroy (core, sequence);
    leat_assert (!stream->granted_size);
    core_reads_drop (core, stream);
    if (stream->crowded)
        TAILQ_REMOVE (&core->crowded, stream, in_crowded);
    core_credit_forget (core, stream);
    core_fleeting_reserve_no_more (core, stream);
    core_log_end (core, stream);
    RB_REMOVE (core_streams, &core->streams, stream);
    RB_REMOVE (core_streams_by_id, &core->streams_by_id, stream);
    core->statistics.streams--;
    free (stream->name);
    free (stream);
}

/* ---- groups ---------------------------------------------------------------------------------- */

core_group_t *core_group_find (core_stream_t *stream, leat_text_t name)
{
    core_group_t key = { .name = (char *) name.data, .name_size = name.size };
    return RB_FIND (core_groups, &stream->groups, &key);
}

core_group_t *core_group_by_id (core_stream_t *stream, uint32_t id)
{
    core_group_t *group;
    RB_FOREACH (group, core_groups, &stream->groups)
        if (group->id == id)
            return group;
    return NULL;
}

static uint64_t s_start (const core_stream_t *stream, leat_start_t start, uint64_t value)
{
    const core_batch_t *batch = RB_MIN (core_batches, (struct core_batches *) &stream->batches);
    uint64_t oldest = batch ? batch->first : stream->next_offset;
    /* What nobody has settled yet belongs to the first group, whatever it asks for; but for a log, where
     * nothing is lost to the next one. */
    if ((!stream->group_count && !core_is_log (stream)) || start == LEAT_START_EARLIEST)
        return oldest;
    if (start == LEAT_START_LATEST)
        return stream->next_offset;
    if (start == LEAT_START_OFFSET)
        return value < oldest ? oldest : value > stream->next_offset ? stream->next_offset : value;
    for (; batch; batch = RB_NEXT (core_batches, , (core_batch_t *) batch))
        if (batch->away || batch->time_ms >= value)
            return batch->first;
    return stream->next_offset;
}

uint64_t core_group_start (const core_stream_t *stream, leat_start_t start, uint64_t value)
{
    uint64_t offset = s_start (stream, start, value);
    /* The store is not to hear of a group beyond records that it is still to take. */
    return stream->owed_count && offset > stream->committed_offset ? stream->committed_offset
                                                                   : offset;
}

uint64_t core_group_gone (leat_core_t *core, core_group_t *group, uint64_t from, uint64_t to)
{
    uint64_t settled = 0;
    core_group_return_no_more (group, from, to);
    while ((from = core_settled_next_open (&group->settled, from)) < to) {
        uint64_t until = core_settled_next_settled (&group->settled, from);
        if (until > to)
            until = to;
        core_settled_add (&group->settled, from, until - from);
        core_group_dirty (core, group);
        settled += until - from;
        from = until;
    }
    return settled;
}

void core_group_skip_gone (leat_core_t *core, core_group_t *group)
{
    core_stream_t *stream = group->stream;
    uint64_t expected = group->settled.floor;
    core_batch_t *batch = core_batch_from (stream, expected);
    for (; batch; batch = RB_NEXT (core_batches, , batch)) {
        core_group_gone (core, group, expected, batch->first);
        expected = batch->first + batch->count;
        uint64_t from = batch->first;
        uint64_t until;
        while ((from = core_batch_gone (batch, from, &until)) < expected) {
            batch->unsettled -= core_group_gone (core, group, from, until);
            from = until;
        }
    }
    core_group_gone (core, group, expected, stream->next_offset);
}

core_group_t *core_group_make (leat_core_t *core, core_stream_t *stream, leat_text_t name,
                               uint32_t id, uint64_t start)
{
    (void) core;
    core_group_t *group = leat_alloc (sizeof *group);
    group->stream = stream;
    group->id = id;
    group->name = leat_copy_text (name.data, name.size);
    group->name_size = name.size;
    group->start = start;
    group->cursor = start;
    core_settled_begin (&group->settled, start);
    RB_INIT (&group->returned);
    RB_INIT (&group->marks);
    LIST_INIT (&group->dirty_marks);
    TAILQ_INIT (&group->ready_marks);
    TAILQ_INIT (&group->suspects);
    TAILQ_INIT (&group->consumers);
    TAILQ_INIT (&group->askers);
    TAILQ_INIT (&group->drying);
    TAILQ_INIT (&group->dry);
    RB_INIT (&group->ready_consumers);
    RB_INIT (&group->holders);
    RB_INSERT (core_groups, &stream->groups, group);
    stream->group_count++;
    if (stream->next_group_id <= id)
        stream->next_group_id = id + 1;
    core_batch_t *batch;
    RB_FOREACH (batch, core_batches, &stream->batches) {
        if (batch->first >= start)
            batch->unsettled += batch->count;
        else if (batch->first + batch->count > start)
            batch->unsettled += batch->first + batch->count - start;
        batch->whole = batch->unsettled;
    }
    return group;
}

core_group_t *core_group_create (leat_core_t *core, core_stream_t *stream, leat_text_t name,
                                 leat_start_t start, uint64_t value)
{
    core_group_t *group = core_group_make (core, stream, name, stream->next_group_id,
                                           core_group_start (stream, start, value));
    const core_batch_t *batch = core_batch_at (stream, group->start);
    bool free_start = stream->group_count > 1 || core_is_log (stream);
    core_data_add_group (core, group);
    if (start == LEAT_START_TIME && value && free_start && batch && batch->away)
        core_since_begin (core, group, value);
    else
        core_group_begin (core, group);
    return group;
}

void core_group_destroy (leat_core_t *core, core_group_t *group)
{
    core_stream_t *stream = group->stream;
    leat_assert (TAILQ_EMPTY (&group->consumers));
    core_mark_t *mark;
    while ((mark = RB_MIN (core_marks, &group->marks)))
        core_mark_destroy (core, mark);
    core_range_t *range;
    while ((range = RB_MIN (core_ranges, &group->returned))) {
        RB_REMOVE (core_ranges, &group->returned, range);
        free (range);
    }
    core_settled_clear (&group->settled);
    core_timer_stop (core, &group->patience);
    core_timer_stop (core, &group->second_look);
    core_reads_no_more (core, group);
    if (group->awake)
        TAILQ_REMOVE (&core->awake, group, in_awake);
    if (group->asked)
        TAILQ_REMOVE (&core->asked, group, in_asked);
    if (group->dirty)
        TAILQ_REMOVE (&core_lane (core, stream)->dirty_groups, group, in_dirty);
    if (group->expired_untold)
        TAILQ_REMOVE (&core->losers, group, in_losers);
    RB_REMOVE (core_groups, &stream->groups, group);
    stream->group_count--;
    free (group->name);
    free (group);
}

uint64_t core_group_open (const core_group_t *group, uint64_t first, uint64_t count)
{
    uint64_t end = first + count;
    uint64_t from = first;
    uint64_t open = 0;
    while ((from = core_settled_next_open (&group->settled, from)) < end) {
        uint64_t until = core_settled_next_settled (&group->settled, from);
        open += (until < end ? until : end) - from;
        from = until;
    }
    return open;
}

void core_group_undo (leat_core_t *core, core_group_t *group)
{
    core_stream_t *stream = group->stream;
    uint64_t start = group->start;
    core_batch_t *batch;
    for (batch = core_batch_from (stream, start); batch; batch = RB_NEXT (core_batches, , batch))
        batch->unsettled -= core_group_open (group, batch->first, batch->count);
    core_group_destroy (core, group);
    core_batch_t *next;
    for (batch = core_batch_from (stream, start); batch; batch = next) {
        next = RB_NEXT (core_batches, , batch);
        if (stream->group_count) /* else held until there is a group */
            core_batch_settled (core, batch, 0);
    }
}

/* What must always be true of the core's state, looked up the slow way; for tests.
 * SPDX-License-Identifier: MPL-2.0 */

#include "broker/core/state.h"

static uint64_t s_check_consumer (const core_consumer_t *consumer)
{
    uint64_t records = 0;
    uint64_t size = 0;
    uint64_t unstarted = 0;
    uint64_t unsaid = 0;
    core_lease_t *lease;
    RB_FOREACH (lease, core_leases, (struct core_leases *) &consumer->leases) {
        leat_assert (lease->count);
        leat_assert (lease->position + lease->count <= consumer->position);
        records += lease->count;
        size += lease->size;
        for (uint32_t i = 0; i < lease->count; i++) {
            unstarted += lease->position + i >= core_consumer_boundary (consumer);
            unsaid += lease->position + i >= consumer->reported;
        }
        if (lease->mark) {
            leat_assert (lease->count == 1);
            leat_assert (lease->mark->offset == lease->first);
            leat_assert (lease->mark->state == CORE_MARK_LEASED);
        }
        for (uint32_t i = 0; i < lease->count; i++)
            leat_assert (!core_settled_has (&consumer->group->settled, lease->first + i));
    }
    leat_assert (records == consumer->leased);
    leat_assert (size == consumer->leased_size);
    leat_assert (unstarted == consumer->unstarted);
    leat_assert (unsaid == consumer->unsaid);
    leat_assert (consumer->recalled <= consumer->position);
    leat_assert (consumer->recall_end || !consumer->recalled);
    leat_assert (!consumer->holds || (unsaid && !consumer->recall_end));
    leat_assert (!consumer->holds_suspect || consumer->leased == 1);
    leat_assert (!consumer->waits
                 == (consumer->state != CORE_CONSUMER_ISOLATING || consumer->holds_suspect));
    leat_assert (!consumer->waits
                 || (consumer->waits == &consumer->group->dry) == !consumer->leased);
    return records;
}

/* What is not in a commit yet, and nothing else, is in the lists of what the next one has to take. */
static void s_check_dirty (core_group_t *group)
{
    uint64_t dirty = 0;
    core_mark_t *mark;
    RB_FOREACH (mark, core_marks, &group->marks) {
        dirty += mark->dirty;
        leat_assert (!mark->dirty || (group->dirty && !mark->commit));
    }
    LIST_FOREACH (mark, &group->dirty_marks, in_dirty)
        dirty--;
    leat_assert (!dirty);
    core_chunk_t *chunk;
    RB_FOREACH (chunk, core_chunks, &group->settled.chunks)
        dirty += chunk->dirty;
    LIST_FOREACH (chunk, &group->settled.dirty_chunks, in_dirty)
        dirty--;
    leat_assert (!dirty);
}

/* Every record of the group is in exactly one place, so the places add up. */
static void s_check_group (core_group_t *group)
{
    core_stream_t *stream = group->stream;
    uint64_t leased = 0;
    uint32_t consumers = 0;
    uint32_t stuck = 0;
    core_consumer_t *consumer;
    uint64_t rate = 0;
    uint64_t recalled = 0;
    uint32_t takers = 0;
    uint32_t isolating = 0;
    uint32_t waiting = 0;
    TAILQ_FOREACH (consumer, &group->consumers, in_group) {
        stuck += consumer->stuck;
        leased += s_check_consumer (consumer);
        consumers++;
        rate += consumer->rate;
        recalled += consumer->recalled;
        takers += consumer->takes;
        isolating += consumer->state == CORE_CONSUMER_ISOLATING;
        waiting += !!consumer->waits;
    }
    leat_assert (isolating == group->isolating_count);
    leat_assert (waiting == group->waiting_count);
    leat_assert (rate == group->rate);
    leat_assert (recalled == group->recalled);
    leat_assert (takers == group->taker_count);
    leat_assert (leased == group->leased);
    leat_assert (consumers == group->consumer_count);
    leat_assert (stuck == group->stuck_count);
    uint64_t returned = 0;
    core_range_t *range;
    RB_FOREACH (range, core_ranges, &group->returned)
        returned += range->count;
    leat_assert (returned == group->returned_count);
    uint64_t marks[CORE_MARK_PARKED + 1] = { 0 };
    core_mark_t *mark;
    RB_FOREACH (mark, core_marks, &group->marks) {
        marks[mark->state]++;
        leat_assert (!core_settled_has (&group->settled, mark->offset));
    }
    uint64_t marked = 0;
    for (int i = 0; i <= CORE_MARK_PARKED; i++) {
        leat_assert (marks[i] == group->mark_counts[i]);
        marked += marks[i];
    }
    leat_assert (marked == group->mark_count);
    s_check_dirty (group);
    leat_assert (TAILQ_EMPTY (&group->askers) || group->asked || !core_group_is_empty (group));
    uint64_t open = 0;
    for (uint64_t from = group->start;
         (from = core_settled_next_open (&group->settled, from)) < stream->next_offset;) {
        uint64_t until = core_settled_next_settled (&group->settled, from);
        if (until > stream->next_offset)
            until = stream->next_offset;
        open += until - from;
        from = until;
    }
    uint64_t fresh = stream->next_offset > group->cursor ? stream->next_offset - group->cursor : 0;
    /* Until its first record is found what is settled beyond the cursor is not counted out. */
    leat_assert (group->since_ms
                 || open == fresh + returned + leased + marked - marks[CORE_MARK_LEASED]);
}

static void s_check_stream (const leat_core_t *core, core_stream_t *stream)
{
    uint64_t held = 0;
    uint64_t stored = 0;
    uint64_t records = 0;
    uint64_t weight = 0;
    uint32_t spent = 0;
    core_batch_t *batch;
    RB_FOREACH (batch, core_batches, &stream->batches) {
        held += batch->cost;
        stored += batch->stored_size;
        records += batch->count;
        leat_assert (!batch->away || (!batch->leased && !batch->idle && !batch->cost));
        uint64_t unsettled = 0;
        core_group_t *group;
        RB_FOREACH (group, core_groups, &stream->groups)
            unsettled += core_group_open (group, batch->first, batch->count);
        leat_assert (unsettled == batch->unsettled);
        leat_assert (unsettled || !stream->group_count || core_is_log (stream));
        spent += batch->spent;
        leat_assert (!batch->spent || (batch->idle && core_is_log (stream)));
        if (batch->committed)
            weight += stream->reads ? batch->stored_size : batch->cost;
        leat_assert (!batch->told || !batch->committed);
        leat_assert (batch->committed == (batch->first < stream->committed_offset));
    }
    leat_assert (held == stream->held_size);
    leat_assert (stored == stream->stored_size);
    leat_assert (records == stream->record_count);
    leat_assert (spent == stream->spent);
    /* What is away is known in sum only, and split by guess. */
    leat_assert (!core_is_log (stream) || stream->reads || weight == stream->log_size);
    leat_assert (stream->holds_dead /* has a limit of its own, which may be lowered */
                 || stream->held_size + stream->granted_size
                        <= core->limits.stream_size + core->limits.dead_size);
    core_group_t *group;
    RB_FOREACH (group, core_groups, &stream->groups)
        s_check_group (group);
}

static uint64_t s_check_sessions (leat_core_t *core)
{
    uint64_t granted = 0;
    core_session_t *session;
    RB_FOREACH (session, core_sessions, &core->sessions) {
        leat_assert (session->identity->session == session);
        uint64_t channels = 0;
        core_channel_t *channel;
        RB_FOREACH (channel, core_channels, &session->channels) {
            channels++;
            leat_assert (channel->session == session);
            const core_producer_t *producer = (const core_producer_t *) channel;
            if (channel->consumer)
                continue;
            leat_assert (producer->received <= producer->limit);
            leat_assert (producer->has_grant == (producer->received < producer->limit));
            leat_assert (producer->sequence->producer == producer);
            leat_assert (producer->sequence->committed <= producer->sequence->accepted);
            granted += producer->limit - producer->received;
        }
        leat_assert (channels == session->channel_count);
    }
    return granted;
}

void leat_core_check (const leat_core_t *self)
{
    leat_core_t *core = (leat_core_t *) self; /* the trees' macros take no const heads */
    if (core->failed || !core->ticked)
        return;
    uint64_t held = 0;
    uint64_t granted = 0;
    uint64_t fleeting = 0;
    core_stream_t *stream;
    RB_FOREACH (stream, core_streams, &core->streams) {
        s_check_stream (core, stream);
        held += stream->held_size;
        granted += stream->granted_size;
        if (stream->fleeting)
            fleeting += stream->held_size + stream->granted_size;
        leat_assert (!stream->fleeting || stream->next_offset <= stream->reserved
                     || core->reservations_ended);
    }
    leat_assert (fleeting == core->fleeting_size);
    leat_assert (held == core->held_size);
    leat_assert (granted == core->granted_size);
    leat_assert (granted == s_check_sessions (core));
    /* After recovery more may be held than a smaller limit of today allows: nothing is granted then. */
    leat_assert (held + granted <= core->limits.memory_size || !granted);
}

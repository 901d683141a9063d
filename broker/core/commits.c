/* Commits: what the store is asked to keep, and what happens when it has, or refuses.
 * SPDX-License-Identifier: MPL-2.0 */

#include "broker/core/administration.h"
#include "broker/core/retention.h"

/* ---- building -------------------------------------------------------------------------------- */

static core_commit_t *s_record_new (leat_core_t *core, core_lane_t *lane, bool settles)
{
    core_commit_t *record = leat_alloc (sizeof *record);
    record->lane = lane;
    record->id = lane->fleeting ? ++core->last_fleeting_commit : core->next_commit_id++;
    record->chain = core->chain;
    record->commit = leat_commit_new (record->id, record->chain);
    record->settles = settles;
    TAILQ_INIT (&record->batches);
    TAILQ_INIT (&record->streams);
    TAILQ_INIT (&record->groups);
    TAILQ_INIT (&record->reserving);
    TAILQ_INIT (&record->dying);
    TAILQ_INIT (&record->forgotten);
    STAILQ_INIT (&record->trims);
    STAILQ_INIT (&record->expiries);
    TAILQ_INIT (&record->waiters);
    TAILQ_INIT (&record->requests);
    return record;
}

leat_commit_t *core_data (leat_core_t *core, core_lane_t *lane)
{
    if (!lane->data)
        lane->data = s_record_new (core, lane, false);
    return lane->data->commit;
}

static void s_committed (leat_core_t *core, core_commit_t *record);

/* One of fleeting streams is done by that. */
static void s_hand_over (leat_core_t *core, core_commit_t *record)
{
    if (record->lane->fleeting) {
        core_fleeting_tell (core, record);
        s_committed (core, record);
        return;
    }
    record->since_us = core->now_us;
    STAILQ_INSERT_TAIL (&core->ready, record, in_ready);
    TAILQ_INSERT_TAIL (&core->under_way, record, next);
    core->commits_under_way++;
    core->statistics.commits++;
    core_async_handed_over (core, record);
}

void core_data_close (leat_core_t *core, core_lane_t *lane)
{
    core_commit_t *record = lane->data;
    lane->data = NULL;
    if (record)
        s_hand_over (core, record);
}

void core_data_add_batch (leat_core_t *core, core_batch_t *batch)
{
    core_lane_t *lane = core_lane (core, batch->stream);
    if (lane->data && lane->data->record_count) {
        bool records = lane->data->record_count + batch->count > core->limits.commit_records;
        bool size = leat_commit_size (lane->data->commit) >= core->limits.commit_size;
        if (records)
            core_limit_hit (core, LEAT_LIMIT_commit_records);
        if (size)
            core_limit_hit (core, LEAT_LIMIT_commit_size);
        if (records || size)
            core_data_close (core, lane);
    }
    leat_operation_t append = { .id = LEAT_OPERATION_APPEND };
    append.append.stream = batch->stream->id;
    append.append.first = batch->first;
    append.append.count = (uint32_t) batch->count;
    append.append.attributes = batch->attributes;
    append.append.time_ms = batch->time_ms;
    append.append.crc32c = batch->crc32c;
    append.append.body = (leat_slice_t){ batch->body, 0, leat_buffer_size (batch->body) };
    leat_commit_add (core_data (core, lane), &append);
    const core_sequence_t *sequence = batch->sequence;
    if (sequence) {
        leat_operation_t operation = { .id = LEAT_OPERATION_SEQUENCE };
        operation.sequence.stream = batch->stream->id;
        operation.sequence.identity =
            (leat_text_t){ sequence->identity->name, sequence->identity->name_size };
        operation.sequence.ephemeral = sequence->identity->ephemeral;
        operation.sequence.epoch = sequence->identity->epoch;
        operation.sequence.sequence = batch->last_sequence;
        operation.sequence.offset = batch->first + batch->count - 1;
        operation.sequence.time_ms = core->wall_ms;
        leat_commit_add (lane->data->commit, &operation);
    }
    core_async_added (core, batch);
    core_fleeting_reserve (core, batch->stream, batch->first + batch->count);
    TAILQ_INSERT_TAIL (&lane->data->batches, batch, in_commit);
    lane->data->record_count += batch->count;
}

void core_data_add_dead (leat_core_t *core, core_mark_t *mark, const leat_operation_t *operation)
{
    core_lane_t *lane = core_lane (core, mark->group->stream);
    leat_commit_add (core_data (core, lane), operation);
    core_mark_written (mark); /* by that, before or instead of a commit of settles */
    TAILQ_REMOVE (&lane->dying, mark, in_queue);
    mark->commit = lane->data;
    TAILQ_INSERT_TAIL (&mark->commit->dying, mark, in_queue);
}

void core_data_add_stream (leat_core_t *core, core_stream_t *stream)
{
    leat_operation_t operation = { .id = LEAT_OPERATION_STREAM_CREATED };
    leat_operation_stream_created_t *created = &operation.stream_created;
    created->stream = stream->id;
    created->stream_name = (leat_text_t){ stream->name, stream->name_size };
    created->durability = (uint8_t) stream->settings.durability;
    created->retention = (uint8_t) stream->settings.retention;
    created->max_age_ms = stream->settings.max_age_ms;
    created->max_size = stream->settings.max_size;
    created->max_processing_ms = stream->settings.max_processing_ms;
    created->max_attempts = stream->settings.max_attempts;
    created->dead_size = stream->settings.dead_size;
    leat_commit_add (core_data (core, core_stored (core)), &operation);
    TAILQ_INSERT_TAIL (&core_stored (core)->data->streams, stream, in_commit);
    core_fleeting_reserve (core, stream, 0);
}

void core_data_add_group (leat_core_t *core, core_group_t *group)
{
    leat_operation_t operation = { .id = LEAT_OPERATION_GROUP_CREATED };
    operation.group_created.stream = group->stream->id;
    operation.group_created.group = group->id;
    operation.group_created.group_name = (leat_text_t){ group->name, group->name_size };
    operation.group_created.first = group->start;
    leat_commit_add (core_data (core, core_stored (core)), &operation);
    TAILQ_INSERT_TAIL (&core_stored (core)->data->groups, group, in_commit);
}

/* ---- settles --------------------------------------------------------------------------------- */

void core_trim (leat_core_t *core, const core_batch_t *batch)
{
    core_trim_t *trim = leat_alloc (sizeof *trim);
    trim->stream = batch->stream->id;
    trim->first = batch->first;
    trim->count = batch->count;
    STAILQ_INSERT_TAIL (&core_lane (core, batch->stream)->trims, trim, next);
}

void core_waiter_add (leat_core_t *core, core_consumer_t *consumer, uint64_t token, bool leave)
{
    core_waiter_t *waiter = leat_alloc (sizeof *waiter);
    waiter->consumer = consumer;
    waiter->token = token;
    waiter->leave = leave;
    LIST_INSERT_HEAD (&consumer->waiters, waiter, of_consumer);
    core_lane_t *lane = core_lane (core, consumer->group->stream);
    TAILQ_INSERT_TAIL (&lane->waiters, waiter, next);
    lane->settles_due = true;
}

/* They keep their place among those who wait for a commit; nobody is told. */
void core_waiters_drop (core_consumer_t *consumer)
{
    core_waiter_t *waiter;
    while ((waiter = LIST_FIRST (&consumer->waiters))) {
        LIST_REMOVE (waiter, of_consumer);
        waiter->consumer = NULL;
    }
}

static void s_waiter_free (struct core_waiters *waiters, core_waiter_t *waiter)
{
    TAILQ_REMOVE (waiters, waiter, next);
    if (waiter->consumer)
        LIST_REMOVE (waiter, of_consumer);
    free (waiter);
}

static void s_add_chunks (leat_commit_t *commit, core_group_t *group)
{
    core_settled_t *settled = &group->settled;
    if (settled->dirty) {
        leat_operation_t operation = { .id = LEAT_OPERATION_FLOOR };
        operation.floor.stream = group->stream->id;
        operation.floor.group = group->id;
        operation.floor.first = settled->floor;
        leat_commit_add (commit, &operation);
        settled->dirty = false;
    }
    core_chunk_t *chunk;
    while ((chunk = LIST_FIRST (&settled->dirty_chunks))) {
        core_chunk_written (chunk);
        leat_operation_t operation = { .id = LEAT_OPERATION_CHUNK };
        operation.chunk.stream = group->stream->id;
        operation.chunk.group = group->id;
        operation.chunk.chunk = chunk->number;
        operation.chunk.whole = chunk->whole;
        /* The words in memory are the bytes on disk: both are little-endian. */
        if (!chunk->whole)
            operation.chunk.settled =
                (leat_text_t){ (const char *) chunk->bits, (chunk->end + 7) / 8 };
        leat_commit_add (commit, &operation);
    }
}

static void s_add_mark (leat_commit_t *commit, const core_group_t *group, const core_mark_t *mark)
{
    leat_operation_t operation = { 0 };
    /* A reject is kept, and may be confirmed, while a full store has no room for its dead letter. */
    if (mark->state == CORE_MARK_PARKED || mark->state == CORE_MARK_DYING) {
        operation.id = LEAT_OPERATION_PARKED;
        operation.parked.stream = group->stream->id;
        operation.parked.group = group->id;
        operation.parked.offset = mark->offset;
        operation.parked.attempts = mark->attempts;
        operation.parked.code = (uint16_t) mark->code;
        operation.parked.reason = leat_text (mark->reason);
    } else if (mark->state == CORE_MARK_DELAYED) {
        operation.id = LEAT_OPERATION_DELAY;
        operation.delay.stream = group->stream->id;
        operation.delay.group = group->id;
        operation.delay.offset = mark->offset;
        operation.delay.attempts = mark->attempts;
        operation.delay.due_ms = mark->due_ms;
    } else {
        operation.id = LEAT_OPERATION_ATTEMPTS;
        operation.attempts.stream = group->stream->id;
        operation.attempts.group = group->id;
        operation.attempts.offset = mark->offset;
        operation.attempts.attempts = mark->attempts;
        operation.attempts.suspect = mark->suspect;
    }
    leat_commit_add (commit, &operation);
}

static void s_add_group (leat_commit_t *commit, core_group_t *group)
{
    s_add_chunks (commit, group);
    core_mark_t *mark;
    while ((mark = LIST_FIRST (&group->dirty_marks))) {
        core_mark_written (mark);
        s_add_mark (commit, group, mark);
    }
}

/* Before floors and chunks: no commit has what a group lost without why. */
static void s_add_expiries (leat_core_t *core, core_commit_t *record)
{
    core_trim_t *expiry;
    STAILQ_CONCAT (&record->expiries, &record->lane->expiries);
    STAILQ_FOREACH (expiry, &record->expiries, next) {
        leat_operation_t operation = { .id = LEAT_OPERATION_EXPIRED };
        operation.expired.stream = expiry->stream;
        operation.expired.first = expiry->first;
        operation.expired.count = expiry->count;
        leat_commit_add (record->commit, &operation);
        core_stream_t *stream = core_stream_by_id (core, expiry->stream);
        if (stream && stream->expiry == expiry)
            stream->expiry = NULL; /* what expires from now on is another one */
    }
}

static void s_build_settles (leat_core_t *core, core_lane_t *lane)
{
    lane->settles_due = false;
    core_timer_stop (core, &lane->settle_timer);
    core_commit_t *record = s_record_new (core, lane, true);
    s_add_expiries (core, record);
    core_group_t *group;
    core_group_t *next;
    for (group = TAILQ_FIRST (&lane->dirty_groups); group; group = next) {
        next = TAILQ_NEXT (group, in_dirty);
        if (lane->fleeting && !group->committed)
            continue; /* its creation goes another way, and may not have arrived */
        TAILQ_REMOVE (&lane->dirty_groups, group, in_dirty);
        group->dirty = false;
        s_add_group (record->commit, group);
        if (leat_commit_size (record->commit) < core->limits.commit_size)
            continue;
        core_limit_hit (core, LEAT_LIMIT_commit_size);
        s_hand_over (core, record);
        record = s_record_new (core, lane, true);
    }
    STAILQ_CONCAT (&record->trims, &lane->trims);
    TAILQ_CONCAT (&record->waiters, &lane->waiters, next);
    const core_trim_t *trim;
    STAILQ_FOREACH (trim, &record->trims, next) {
        leat_operation_t operation = { .id = LEAT_OPERATION_TRIM };
        operation.trim.stream = trim->stream;
        operation.trim.first = trim->first;
        operation.trim.count = trim->count;
        leat_commit_add (record->commit, &operation);
    }
    s_hand_over (core, record);
}

static void s_build_due_settles (leat_core_t *core, core_lane_t *lane)
{
    bool due = lane->settles_due
               && (!TAILQ_EMPTY (&lane->dirty_groups) || !TAILQ_EMPTY (&lane->waiters)
                   || !STAILQ_EMPTY (&lane->expiries));
    lane->settles_due = false;
    if (due)
        s_build_settles (core, lane);
}

void core_fleeting_commit (leat_core_t *core)
{
    core_data_close (core, &core->lanes[CORE_FLEETING]);
    s_build_due_settles (core, &core->lanes[CORE_FLEETING]);
}

void core_commits_build (leat_core_t *core)
{
    if (core->commits_under_way >= core->limits.commits) {
        core_limit_hit (core, LEAT_LIMIT_commits);
        return;
    }
    core_data_close (core, core_stored (core));
    s_build_due_settles (core, core_stored (core));
}

leat_commit_t *leat_core_next_commit (leat_core_t *self)
{
    core_commit_t *record = STAILQ_FIRST (&self->ready);
    if (!record)
        return NULL;
    leat_commit_t *commit = record->commit;
    STAILQ_REMOVE_HEAD (&self->ready, in_ready);
    record->commit = NULL;
    return commit;
}

bool core_commits_idle (const leat_core_t *core)
{
    const core_lane_t *lane = &core->lanes[CORE_STORED];
    return TAILQ_EMPTY (&core->under_way) && !lane->data && TAILQ_EMPTY (&lane->waiters)
           && TAILQ_EMPTY (&lane->dirty_groups) && STAILQ_EMPTY (&lane->expiries)
           && TAILQ_EMPTY (&core->owed) && (TAILQ_EMPTY (&lane->dying) || core->store_retry.due_us);
}

static void s_trims_free (struct core_trims *trims)
{
    core_trim_t *trim;
    while ((trim = STAILQ_FIRST (trims))) {
        STAILQ_REMOVE_HEAD (trims, next);
        free (trim);
    }
}

static void s_record_free (leat_core_t *core, core_commit_t *record)
{
    leat_commit_destroy (&record->commit);
    core_waiter_t *waiter;
    while ((waiter = TAILQ_FIRST (&record->waiters)))
        s_waiter_free (&record->waiters, waiter);
    core_requests_drop (core, &record->requests);
    s_trims_free (&record->trims);
    s_trims_free (&record->expiries);
    free (record);
}

/* With marks that are dying in it: they lose their queue. */
static void s_record_drop (leat_core_t *core, core_commit_t *record)
{
    core_mark_t *mark;
    while ((mark = TAILQ_FIRST (&record->dying))) {
        TAILQ_REMOVE (&record->dying, mark, in_queue);
        mark->commit = NULL;
        mark->group->mark_counts[mark->state]--;
        mark->state = CORE_MARK_LEASED;
        mark->group->mark_counts[mark->state]++;
    }
    core_fleeting_refused (core, record);
    s_record_free (core, record);
}

/* For the core's own end, when nobody is left who could be told anything. */
void core_commits_destroy (leat_core_t *core)
{
    core_commit_t *record;
    for (core_lane_t *lane = core->lanes; lane < core->lanes + CORE_LANES; lane++) {
        if (lane->data)
            s_record_drop (core, lane->data);
        core_waiter_t *waiter;
        while ((waiter = TAILQ_FIRST (&lane->waiters)))
            s_waiter_free (&lane->waiters, waiter);
        s_trims_free (&lane->trims);
        s_trims_free (&lane->expiries);
    }
    while ((record = TAILQ_FIRST (&core->under_way))) {
        TAILQ_REMOVE (&core->under_way, record, next);
        s_record_drop (core, record);
    }
}

/* ---- completions ----------------------------------------------------------------------------- */

static void s_answer_waiting (leat_core_t *core)
{
    core_channel_t *channel;
    core_channel_t *next;
    for (channel = TAILQ_FIRST (&core->waiting); channel; channel = next) {
        next = TAILQ_NEXT (channel, waiting);
        core_consumer_t *consumer = channel->consumer ? (core_consumer_t *) channel : NULL;
        if (!(consumer ? core_consumer_may_begin (consumer)
                       : core_producer_may_begin ((core_producer_t *) channel)))
            continue;
        TAILQ_REMOVE (&core->waiting, channel, waiting);
        if (consumer)
            core_consumer_answer (core, consumer);
        else
            core_producer_answer (core, (core_producer_t *) channel);
    }
}

static void s_batch_committed (leat_core_t *core, core_batch_t *batch)
{
    core_stream_t *stream = batch->stream;
    batch->committed = true;
    stream->committed_offset = batch->first + batch->count;
    stream->accepted_count += batch->count;
    core->statistics.records_accepted += batch->count;
    if (batch->sequence && !batch->told)
        core_producer_committed (core, batch);
    core_async_committed (batch);
    batch->sequence = NULL;
    core_batch_rest (core, batch);
    core_log_grown (core, batch);
    core_groups_wake (core, stream);
}

static void s_data_committed (leat_core_t *core, core_commit_t *record)
{
    core_batch_t *batch;
    while ((batch = TAILQ_FIRST (&record->batches))) {
        TAILQ_REMOVE (&record->batches, batch, in_commit);
        s_batch_committed (core, batch);
    }
    core_mark_t *mark;
    while ((mark = TAILQ_FIRST (&record->dying))) {
        core_group_t *group = mark->group;
        uint64_t offset = mark->offset;
        core_mark_destroy (core, mark);
        core_group_settle (core, group, offset, 1);
        group->dead_count++;
        core->statistics.records_dead++;
    }
    core_identity_t *identity;
    while ((identity = TAILQ_FIRST (&record->forgotten))) {
        TAILQ_REMOVE (&record->forgotten, identity, in_commit);
        core_identity_forgotten (core, identity);
        core_data_close (core, &core->lanes[CORE_FLEETING]); /* what it forgot there */
    }
    core_stream_t *stream;
    TAILQ_FOREACH (stream, &record->streams, in_commit)
        stream->committed = true;
    core_fleeting_reserved (record);
    if (!record->lane->fleeting)
        core->lanes[CORE_FLEETING].dying_waits = false;
    core_group_t *group;
    TAILQ_FOREACH (group, &record->groups, in_commit) {
        group->committed = true;
        core_group_wake (core, group);
        if (group->dirty)
            core_settle_soon (core, core_lane (core, group->stream));
    }
    core_requests_committed (core, &record->requests);
    s_answer_waiting (core);
}

static void s_settles_committed (leat_core_t *core, core_commit_t *record)
{
    core_waiter_t *waiter;
    while ((waiter = TAILQ_FIRST (&record->waiters))) {
        core_consumer_t *consumer = waiter->consumer;
        bool leaves = consumer && waiter->leave;
        if (consumer)
            core_waiter_answer (core, waiter);
        s_waiter_free (&record->waiters, waiter);
        if (leaves)
            core_consumer_end (core, consumer, true);
    }
}

/* ---- refusals -------------------------------------------------------------------------------- */

/* Channels that wait for something that will not be. */
static void s_refuse_waiting (leat_core_t *core, const core_stream_t *stream,
                              const core_group_t *group)
{
    core_channel_t *channel;
    core_channel_t *next;
    for (channel = TAILQ_FIRST (&core->waiting); channel; channel = next) {
        next = TAILQ_NEXT (channel, waiting);
        core_consumer_t *consumer = channel->consumer ? (core_consumer_t *) channel : NULL;
        if (channel->stream != stream && !(consumer && consumer->group == group))
            continue;
        core_refuse (core, channel->session->peer, consumer ? LEAT_ATTACH : LEAT_OPEN,
                     channel->number, LEAT_STORE_FULL, NULL);
        if (consumer)
            core_consumer_end (core, consumer, true);
        else
            core_producer_end (core, (core_producer_t *) channel);
    }
}

/* What was built last goes first: a group may have been made after another one, a dead letter is in
 * a stream that an earlier commit creates. */
static void s_undo_data (leat_core_t *core, core_commit_t *record)
{
    core_identity_t *identity;
    while ((identity = TAILQ_FIRST (&record->forgotten))) {
        TAILQ_REMOVE (&record->forgotten, identity, in_commit);
        core_identity_remembered (core, identity);
    }
    core_requests_undone (core, &record->requests);
    core_fleeting_refused (core, record);
    core_group_t *group;
    while ((group = TAILQ_LAST (&record->groups, core_new_groups))) {
        TAILQ_REMOVE (&record->groups, group, in_commit);
        s_refuse_waiting (core, NULL, group);
        core_group_undo (core, group);
    }
    core_mark_t *mark;
    while ((mark = TAILQ_LAST (&record->dying, core_marks_queue))) {
        core_mark_set (core, mark, CORE_MARK_DYING); /* back to core->dying */
        core_mark_changed (core, mark);
    }
    core_batch_t *batch;
    while ((batch = TAILQ_LAST (&record->batches, core_new_batches))) {
        TAILQ_REMOVE (&record->batches, batch, in_commit);
        core_stream_t *stream = batch->stream;
        if (core_stream_is_async (stream)) {
            core_async_refused (core, batch);
            continue;
        }
        if (batch->sequence)
            core_producer_undone (core, batch);
        core_batch_destroy (core, batch);
        stream->next_offset = stream->committed_offset;
        core_groups_wake (core, stream); /* nothing is being committed any more */
    }
    core_stream_t *stream;
    while ((stream = TAILQ_LAST (&record->streams, core_new_streams))) {
        TAILQ_REMOVE (&record->streams, stream, in_commit);
        s_refuse_waiting (core, stream, NULL);
        core_stream_destroy (core, stream);
    }
}

static void s_undo_settles (leat_core_t *core, core_commit_t *record)
{
    core_lane_t *lane = record->lane;
    STAILQ_CONCAT (&lane->trims, &record->trims);
    STAILQ_CONCAT (&record->expiries, &lane->expiries);
    STAILQ_CONCAT (&lane->expiries, &record->expiries);
    if (!STAILQ_EMPTY (&lane->expiries))
        core_settle_soon (core, lane);
    /* Before those that came since: answers keep their order. */
    TAILQ_CONCAT (&record->waiters, &lane->waiters, next);
    TAILQ_CONCAT (&lane->waiters, &record->waiters, next);
    core_stream_t *stream;
    RB_FOREACH (stream, core_streams, &core->streams) {
        if (stream->fleeting)
            continue;
        core_group_t *group;
        RB_FOREACH (group, core_groups, &stream->groups) {
            /* What exactly was in it is not kept: all is written again, which does no harm. */
            group->settled.dirty = true;
            core_chunk_t *chunk;
            RB_FOREACH (chunk, core_chunks, &group->settled.chunks)
                core_chunk_changed (&group->settled, chunk);
            core_mark_t *mark;
            RB_FOREACH (mark, core_marks, &group->marks)
                if (!mark->commit) /* else that one is undone too */
                    core_mark_changed (core, mark);
            core_group_dirty (core, group);
        }
    }
}

static void s_undo (leat_core_t *core, core_commit_t *record)
{
    record->void_ = true;
    if (record->settles)
        s_undo_settles (core, record);
    else
        s_undo_data (core, record);
}

static void s_dying_again (leat_core_t *core, core_timer_t *timer)
{
    (void) timer; /* that it has fired is most: core_dying_commit looks at the timer */
    core->lanes[CORE_FLEETING].dying_waits = false;
}

/* The store refuses the rest of the chain too, so everything under way is undone at once; what the
 * core takes from now on goes into a new chain. */
static void s_refused (leat_core_t *core)
{
    core->chain++;
    core_commit_t *record = core_stored (core)->data;
    if (record) {
        s_undo (core, record);
        s_record_free (core, record);
        core_stored (core)->data = NULL;
        core->next_commit_id--;
    }
    TAILQ_FOREACH_REVERSE (record, &core->under_way, core_commits, next)
        if (!record->void_)
            s_undo (core, record);
    s_answer_waiting (core);
    /* A full store will not have room in the next millisecond. */
    core_timer_set (core, &core->store_retry, core->now_us + 1000000, s_dying_again);
}

static void s_committed (leat_core_t *core, core_commit_t *record)
{
    if (record->settles)
        s_settles_committed (core, record);
    else
        s_data_committed (core, record);
    s_record_free (core, record);
}

void leat_core_completed (leat_core_t *self, uint64_t commit, leat_commit_result_t result)
{
    if (self->failed)
        return;
    core_commit_t *record = TAILQ_FIRST (&self->under_way);
    leat_assert (record && record->id == commit && !record->commit);
    if (result == LEAT_COMMIT_UNKNOWN || result == LEAT_COMMIT_FENCED) {
        self->failed = true;
        return;
    }
    leat_assert (!record->void_ || result == LEAT_COMMIT_REFUSED);
    if (result == LEAT_COMMIT_REFUSED) {
        self->statistics.commits_refused++;
        if (!record->void_)
            s_refused (self);
    }
    TAILQ_REMOVE (&self->under_way, record, next);
    self->commits_under_way--;
    if (result == LEAT_COMMIT_OK)
        s_committed (self, record);
    else
        s_record_free (self, record);
}

/* Groups: what is returned, marked, delayed, dead; everything a record can be but fresh and leased.
 * SPDX-License-Identifier: MPL-2.0 */

#include "broker/core/state.h"
#include "wire/record.h"

static int core_range_compare (const core_range_t *a, const core_range_t *b)
{
    return (a->first > b->first) - (a->first < b->first);
}

static int core_mark_compare (const core_mark_t *a, const core_mark_t *b)
{
    return (a->offset > b->offset) - (a->offset < b->offset);
}

RB_GENERATE (core_ranges, core_range, by_first, core_range_compare)
RB_GENERATE (core_marks, core_mark, by_offset, core_mark_compare)

void core_group_wake (leat_core_t *core, core_group_t *group)
{
    core_group_asked (core, group);
    if (group->awake)
        return;
    group->awake = true;
    TAILQ_INSERT_TAIL (&core->awake, group, in_awake);
}

void core_groups_wake (leat_core_t *core, core_stream_t *stream)
{
    core_group_t *group;
    RB_FOREACH (group, core_groups, &stream->groups)
        core_group_wake (core, group);
}

static void s_settle_due (leat_core_t *core, core_timer_t *timer)
{
    (void) core;
    CORE_OWNER (timer, core_lane_t, settle_timer)->settles_due = true;
}

void core_settle_soon (leat_core_t *core, core_lane_t *lane)
{
    if (!lane->settle_timer.due_us)
        core_timer_set (core, &lane->settle_timer, core->now_us + core->limits.settle_delay * 1000,
                        s_settle_due);
}

void core_group_dirty (leat_core_t *core, core_group_t *group)
{
    core_lane_t *lane = core_lane (core, group->stream);
    core_settle_soon (core, lane);
    if (group->dirty)
        return;
    group->dirty = true;
    TAILQ_INSERT_TAIL (&lane->dirty_groups, group, in_dirty);
}

void core_group_settle (leat_core_t *core, core_group_t *group, uint64_t first, uint64_t count)
{
    core_settled_add (&group->settled, first, count);
    core_group_dirty (core, group);
    uint64_t end = first + count;
    core_batch_t *batch = core_batch_from (group->stream, first);
    while (batch && batch->first < end) {
        uint64_t from = batch->first > first ? batch->first : first;
        uint64_t to = batch->first + batch->count < end ? batch->first + batch->count : end;
        core_batch_t *next = RB_NEXT (core_batches, , batch);
        core_batch_settled (core, batch, to - from);
        batch = next;
    }
}

/* ---- returned ranges ------------------------------------------------------------------------- */

void core_group_return (leat_core_t *core, core_group_t *group, uint64_t first, uint64_t count)
{
    group->returned_count += count;
    core_group_wake (core, group);
    core_range_t key = { .first = first };
    core_range_t *after = RB_NFIND (core_ranges, &group->returned, &key);
    core_range_t *before =
        after ? RB_PREV (core_ranges, , after) : RB_MAX (core_ranges, &group->returned);
    leat_assert (!after || first + count <= after->first);
    leat_assert (!before || before->first + before->count <= first);
    if (before && before->first + before->count == first) {
        before->count += count;
    } else {
        before = leat_alloc (sizeof *before);
        before->first = first;
        before->count = count;
        RB_INSERT (core_ranges, &group->returned, before);
    }
    if (after && before->first + before->count == after->first) {
        before->count += after->count;
        RB_REMOVE (core_ranges, &group->returned, after);
        free (after);
    }
}

void core_group_return_no_more (core_group_t *group, uint64_t from, uint64_t to)
{
    core_range_t key = { .first = from };
    core_range_t *range = RB_NFIND (core_ranges, &group->returned, &key);
    core_range_t *before =
        range ? RB_PREV (core_ranges, , range) : RB_MAX (core_ranges, &group->returned);
    if (before && before->first + before->count > from)
        range = before;
    while (range && range->first < to) {
        core_range_t *next = RB_NEXT (core_ranges, , range);
        uint64_t end = range->first + range->count;
        uint64_t cut_from = range->first > from ? range->first : from;
        uint64_t cut_to = end < to ? end : to;
        RB_REMOVE (core_ranges, &group->returned, range);
        group->returned_count -= range->count;
        uint64_t pieces[2][2] = { { range->first, cut_from }, { cut_to, end } };
        free (range);
        for (int i = 0; i < 2; i++) {
            if (pieces[i][0] == pieces[i][1])
                continue;
            range = leat_alloc (sizeof *range);
            range->first = pieces[i][0];
            range->count = pieces[i][1] - pieces[i][0];
            RB_INSERT (core_ranges, &group->returned, range);
            group->returned_count += range->count;
        }
        range = next;
    }
}

/* ---- marks ----------------------------------------------------------------------------------- */

core_mark_t *core_mark_find (core_group_t *group, uint64_t offset)
{
    core_mark_t key = { .offset = offset };
    return RB_FIND (core_marks, &group->marks, &key);
}

core_mark_t *core_mark_make (leat_core_t *core, core_group_t *group, uint64_t offset)
{
    (void) core;
    core_mark_t *mark = leat_alloc (sizeof *mark);
    mark->group = group;
    mark->offset = offset;
    mark->state = CORE_MARK_LEASED;
    RB_INSERT (core_marks, &group->marks, mark);
    group->mark_count++;
    group->mark_counts[mark->state]++;
    return mark;
}

/* The queue that marks of this state wait in, or NULL. */
static struct core_marks_queue *s_queue (leat_core_t *core, core_mark_t *mark)
{
    if (mark->state == CORE_MARK_READY)
        return &mark->group->ready_marks;
    if (mark->state == CORE_MARK_SUSPECT)
        return &mark->group->suspects;
    if (mark->state == CORE_MARK_DYING)
        return mark->commit ? &mark->commit->dying : &core_lane (core, mark->group->stream)->dying;
    return NULL;
}

void core_mark_set (leat_core_t *core, core_mark_t *mark, core_mark_state_t state)
{
    struct core_marks_queue *queue = s_queue (core, mark);
    if (queue)
        TAILQ_REMOVE (queue, mark, in_queue);
    mark->commit = NULL;
    core_timer_stop (core, &mark->delay);
    mark->group->mark_counts[mark->state]--;
    mark->state = state;
    mark->group->mark_counts[state]++;
    queue = s_queue (core, mark);
    if (queue)
        TAILQ_INSERT_TAIL (queue, mark, in_queue);
    core_group_wake (core, mark->group);
}

void core_mark_changed (leat_core_t *core, core_mark_t *mark)
{
    core_group_dirty (core, mark->group);
    if (mark->dirty)
        return;
    mark->dirty = true;
    LIST_INSERT_HEAD (&mark->group->dirty_marks, mark, in_dirty);
}

void core_mark_written (core_mark_t *mark)
{
    if (!mark->dirty)
        return;
    mark->dirty = false;
    LIST_REMOVE (mark, in_dirty);
}

void core_mark_destroy (leat_core_t *core, core_mark_t *mark)
{
    core_group_t *group = mark->group;
    core_mark_set (core, mark, CORE_MARK_LEASED);
    group->mark_counts[CORE_MARK_LEASED]--;
    group->mark_count--;
    core_mark_written (mark); /* nothing is left to write */
    RB_REMOVE (core_marks, &group->marks, mark);
    free (mark->reason);
    free (mark);
}

static void s_delay_over (leat_core_t *core, core_timer_t *timer)
{
    core_mark_t *mark = CORE_OWNER (timer, core_mark_t, delay);
    core_mark_set (core, mark, CORE_MARK_READY);
}

void core_mark_delay (leat_core_t *core, core_mark_t *mark, uint64_t delay_ms)
{
    core_mark_set (core, mark, CORE_MARK_DELAYED);
    mark->due_ms = core->wall_ms + delay_ms;
    core_timer_set (core, &mark->delay, core->now_us + delay_ms * 1000, s_delay_over);
    core_mark_changed (core, mark);
}

bool core_mark_charge (leat_core_t *core, core_mark_t *mark, leat_code_t code)
{
    mark->attempts++;
    mark->redelivered = true;
    core_mark_changed (core, mark);
    if (mark->attempts < core_attempts (core, mark->group->stream))
        return true;
    char reason[100];
    const char *how = code == LEAT_TIMED_OUT ? "ended its consumer"
                      : code == LEAT_OVERDUE ? "took longer than max_processing"
                                             : "was nacked";
    int size =
        snprintf (reason, sizeof reason, "%u attempts, the last one %s", mark->attempts, how);
    core_mark_kill (core, mark, code, (leat_text_t){ reason, (size_t) size });
    return false;
}

void core_mark_suspect (leat_core_t *core, core_mark_t *mark)
{
    mark->suspect = true;
    mark->redelivered = true;
    core_mark_changed (core, mark);
    core_mark_set (core, mark, CORE_MARK_SUSPECT);
}

void core_mark_release (leat_core_t *core, core_mark_t *mark)
{
    core_mark_set (core, mark, mark->suspect ? CORE_MARK_SUSPECT : CORE_MARK_READY);
}

void core_group_give_back (leat_core_t *core, core_group_t *group, uint64_t first, uint64_t count,
                           core_mark_t *mark)
{
    core->statistics.records_returned += count;
    if (mark)
        core_mark_release (core, mark);
    else
        core_group_return (core, group, first, count);
}

/* ---- dead letters ---------------------------------------------------------------------------- */

void core_mark_kill (leat_core_t *core, core_mark_t *mark, leat_code_t code, leat_text_t reason)
{
    mark->code = code;
    free (mark->reason);
    mark->reason = leat_copy_text (reason.data, reason.size);
    core_lane (core, mark->group->stream)->dying_waits = false;
    core_mark_set (core, mark, CORE_MARK_DYING);
    core_mark_changed (core, mark);
}

/* Headers that say where a dead letter comes from, followed by its own. */
static uint8_t *s_dead_headers (const core_mark_t *mark, const leat_record_t *record, size_t *size)
{
    char offset[24];
    char attempts[24];
    snprintf (offset, sizeof offset, "%llu", (unsigned long long) mark->offset);
    snprintf (attempts, sizeof attempts, "%u", mark->attempts);
    const core_group_t *group = mark->group;
    const leat_text_t fields[][2] = {
        { leat_text ("leat-stream"), { group->stream->name, group->stream->name_size } },
        { leat_text ("leat-group"), { group->name, group->name_size } },
        { leat_text ("leat-offset"), leat_text (offset) },
        { leat_text ("leat-attempts"), leat_text (attempts) },
        { leat_text ("leat-reason"), leat_text (mark->reason) },
    };
    enum { COUNT = sizeof fields / sizeof *fields };
    size_t total = record->headers_size;
    for (size_t i = 0; i < COUNT; i++)
        total += leat_header_encoded_size (fields[i][0], fields[i][1]);
    if (total > UINT16_MAX)
        total -= record->headers_size; /* no room for both: where it comes from is needed */
    uint8_t *headers = leat_alloc_raw (total);
    size_t position = 0;
    for (size_t i = 0; i < COUNT; i++)
        position += leat_header_encode (fields[i][0], fields[i][1], headers + position);
    if (record->headers_size && position < total)
        memcpy (headers + position, record->headers, record->headers_size);
    *size = total;
    return headers;
}

/* The body of a batch that holds the dead letter alone. */
static leat_buffer_t *s_dead_body (core_mark_t *mark, uint64_t *time_ms)
{
    core_batch_t *batch = core_batch_at (mark->group->stream, mark->offset);
    leat_assert (batch);
    uint32_t one = 1;
    leat_slice_t slice = core_batch_slice (batch, mark->offset, &one);
    leat_record_t record;
    size_t taken = leat_record_decode (&record, batch->attributes & LEAT_BATCH_EXTENDED,
                                       leat_slice_bytes (slice), slice.size);
    leat_assert (taken == slice.size);
    size_t headers_size;
    uint8_t *headers = s_dead_headers (mark, &record, &headers_size);
    record.headers = headers;
    record.headers_size = headers_size;
    leat_buffer_t *body = leat_buffer_new (leat_record_encoded_size (&record, true));
    leat_record_encode (&record, true, leat_buffer_bytes (body));
    free (headers);
    *time_ms = batch->time_ms;
    return body;
}

static void s_park (leat_core_t *core, core_mark_t *mark)
{
    core->statistics.records_parked++;
    core_mark_set (core, mark, CORE_MARK_PARKED);
    core_mark_changed (core, mark);
}

/* Fleeting dead letters wait for the first offsets that the store knows of, and so for their stream. */
static bool s_may_append (leat_core_t *core, core_stream_t *dead)
{
    return !dead || !dead->fleeting
           || (!core->reservations_ended && core_fleeting_has_offsets (core, dead, 1));
}

/* False if the record has to be read first, or its stream is not there yet. */
static bool s_bury (leat_core_t *core, core_mark_t *mark)
{
    uint64_t time_ms;
    const core_batch_t *batch = core_batch_at (mark->group->stream, mark->offset);
    leat_assert (batch);
    if (batch->away) {
        core_read (core, mark->group, mark->offset, false);
        return false;
    }
    core_stream_t *dead =
        mark->group->stream->holds_dead ? NULL : core_stream_for_dead (core, mark->group->stream);
    if (!s_may_append (core, dead))
        return false;
    leat_buffer_t *body = s_dead_body (mark, &time_ms);
    uint64_t cost = leat_batch_cost (leat_buffer_size (body));
    uint64_t there = !dead ? 0 : dead->reads ? dead->stored_size : dead->held_size;
    if (there + cost > core_dead_size (core, mark->group->stream)) {
        core_limit_hit (core, LEAT_LIMIT_dead_size);
        dead = NULL;
    }
    if (dead && !core_window_has_room (core, cost)) {
        core_limit_hit (core, LEAT_LIMIT_memory_size);
        dead = NULL;
    }
    if (!dead) {
        leat_buffer_release (&body);
        s_park (core, mark);
        return true;
    }
    uint32_t crc32c = leat_crc32c (leat_buffer_bytes (body), leat_buffer_size (body));
    core_batch_t *copy = core_batch_make (core, dead, dead->next_offset, 1, LEAT_BATCH_EXTENDED,
                                          crc32c, time_ms, body);
    leat_operation_t operation = { .id = LEAT_OPERATION_DEAD };
    operation.dead.stream = mark->group->stream->id;
    operation.dead.group = mark->group->id;
    operation.dead.offset = mark->offset;
    operation.dead.attempts = mark->attempts;
    operation.dead.code = (uint16_t) mark->code;
    operation.dead.dead_stream = dead->id;
    operation.dead.dead_offset = copy->first;
    operation.dead.reason = leat_text (mark->reason);
    core_data_add_batch (core, copy);
    core_data_add_dead (core, mark, &operation);
    return true;
}

static void s_bury_all (leat_core_t *core, core_lane_t *lane)
{
    core_mark_t *mark;
    core_mark_t *next;
    core_data_close (core, lane);
    for (mark = TAILQ_FIRST (&lane->dying); mark; mark = next) {
        next = TAILQ_NEXT (mark, in_queue);
        if (!s_bury (core, mark))
            lane->dying_waits = true;
    }
    core_data_close (core, lane);
}

void core_dying_commit (leat_core_t *core)
{
    core_lane_t *fleeting = &core->lanes[CORE_FLEETING];
    core_lane_t *stored = core_stored (core);
    if (!TAILQ_EMPTY (&fleeting->dying) && !fleeting->dying_waits)
        s_bury_all (core, fleeting);
    if (!TAILQ_EMPTY (&stored->dying) && !stored->dying_waits && !core->store_retry.due_us
        && core->commits_under_way < core->limits.commits)
        s_bury_all (core, stored);
}

/* ---- empty ----------------------------------------------------------------------------------- */

uint64_t core_group_ready (const core_group_t *group)
{
    uint64_t end = group->stream->committed_offset;
    uint64_t fresh = end > group->cursor ? end - group->cursor : 0;
    return fresh + group->returned_count + group->mark_counts[CORE_MARK_READY];
}

bool core_group_is_empty (const core_group_t *group)
{
    uint64_t marks = group->mark_count - group->mark_counts[CORE_MARK_PARKED];
    return group->committed && group->cursor >= group->stream->next_offset && !group->returned_count
           && !group->leased && !marks;
}

void core_group_asked (leat_core_t *core, core_group_t *group)
{
    if (group->asked || TAILQ_EMPTY (&group->askers))
        return;
    group->asked = true;
    TAILQ_INSERT_TAIL (&core->asked, group, in_asked);
}

void core_groups_tell_empty (leat_core_t *core)
{
    core_group_t *group;
    while ((group = TAILQ_FIRST (&core->asked))) {
        TAILQ_REMOVE (&core->asked, group, in_asked);
        group->asked = false;
        if (!core_group_is_empty (group)) /* until something changes */
            continue;
        core_consumer_t *consumer;
        while ((consumer = TAILQ_FIRST (&group->askers))) {
            TAILQ_REMOVE (&group->askers, consumer, in_askers);
            consumer->asks_empty = false;
            leat_command_t command = { .id = LEAT_EMPTY };
            command.empty.channel = consumer->channel.number;
            command.empty.token = consumer->empty_token;
            leat_outbox_command (core->outbox, consumer->channel.session->peer, &command);
        }
    }
}

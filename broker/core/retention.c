/* Retention `log`: what has expired, and how it goes.
 * SPDX-License-Identifier: MPL-2.0 */

#include "broker/core/retention.h"

/*      oldest                                                              newest
 *      | edge: headers are known |  away: one node for any number  |  in memory  | not committed
 *      +-------------------------+---------------------------------+-------------+-------------> offsets
 *       expire first ---->        look: the next headers
 *
 * Only the front goes, whole batches at a time, so that expiring costs the same for each batch whatever else
 * the stream holds. How old a batch is and what it takes is known of those in memory; of those that are away
 * the store is asked for some headers at a time, never for bodies.
 *
 * A lease is never broken by expiry: the batch that it is of, and what came after it, stays until the lease
 * ends. So does a record whose dead letter is being committed. */

/* Clocks are set: how old something is is looked at again at least so often. */
static const uint64_t look_us = UINT64_C (3600) * 1000000;

/* One look at the front of a stream. */
typedef struct {
    core_batch_t *batch; /* that holds `to`, or the next one */
    uint64_t to;         /* everything below goes */
    uint64_t size;       /* what that takes */
    uint64_t part;       /* what of it is of `batch` */
    uint64_t room;       /* that is to be made in any case */
    uint64_t batches;
    uint64_t wake_us; /* when to look again; 0: when something happens */
    bool unknown;     /* the header of the next one is not known */
    bool held;        /* the next one has expired and must wait */
} s_front_t;

static uint64_t s_batch_size (const core_batch_t *batch)
{
    return batch->stream->reads ? batch->stored_size : batch->cost;
}

void core_log_look (leat_core_t *core, core_stream_t *stream)
{
    if (!core_is_log (stream) || stream->looked_at)
        return;
    stream->looked_at = true;
    TAILQ_INSERT_TAIL (&core->logs, stream, in_logs);
}

static void s_timer (leat_core_t *core, core_timer_t *timer)
{
    core_log_look (core, CORE_OWNER (timer, core_stream_t, expiry_timer));
}

void core_log_grown (leat_core_t *core, core_batch_t *batch)
{
    core_stream_t *stream = batch->stream;
    if (!core_is_log (stream))
        return;
    stream->log_size += s_batch_size (batch);
    const core_settings_t *settings = &stream->settings;
    bool full = settings->max_size && stream->log_size > settings->max_size;
    if (full || (settings->max_age_ms && !stream->expiry_timer.due_us))
        core_log_look (core, stream);
}

/* ---- what has expired ------------------------------------------------------------------------ */

/* The header of the batch at front->to; false if that is not known. */
static bool s_header (const s_front_t *front, core_stream_t *stream, core_header_t *header)
{
    const core_batch_t *batch = front->batch;
    uint64_t end = batch->first + batch->count;
    if (!batch->away) {
        *header = (core_header_t){ batch->first, end, batch->time_ms, s_batch_size (batch) };
        return true;
    }
    while (stream->edge_count && stream->edge[stream->edge_first].end <= front->to) {
        stream->edge_first++;
        stream->edge_count--;
    }
    if (!stream->edge_count)
        return false;
    *header = stream->edge[stream->edge_first];
    /* A crash has left offsets without records: they go along with what is behind them, which counts there. */
    if (header->first >= end)
        *header = (core_header_t){ .end = end, .time_ms = header->time_ms };
    return true;
}

static bool s_is_expired (const leat_core_t *core, const core_stream_t *stream, s_front_t *front,
                          const core_header_t *header)
{
    const core_settings_t *settings = &stream->settings;
    uint64_t left = stream->log_size > front->size ? stream->log_size - front->size : 0;
    if (front->size < front->room || (settings->max_size && left > settings->max_size))
        return true;
    if (!settings->max_age_ms)
        return false;
    uint64_t age_ms = core->wall_ms > header->time_ms ? core->wall_ms - header->time_ms : 0;
    if (age_ms >= settings->max_age_ms)
        return true;
    /* A little later, so that many go together. */
    uint64_t wait_us = (settings->max_age_ms - age_ms + core->limits.expiry_delay) * 1000;
    front->wake_us = core->now_us + (wait_us < look_us ? wait_us : look_us);
    return false;
}

/* True if a dead letter of one of the records is being committed. */
static bool s_is_dying (core_stream_t *stream, uint64_t from, uint64_t to)
{
    core_group_t *group;
    RB_FOREACH (group, core_groups, &stream->groups) {
        if (!group->mark_counts[CORE_MARK_DYING])
            continue;
        core_mark_t key = { .offset = from };
        core_mark_t *mark = RB_NFIND (core_marks, &group->marks, &key);
        for (; mark && mark->offset < to; mark = RB_NEXT (core_marks, , mark))
            if (mark->commit)
                return true;
    }
    return false;
}

static bool s_is_held (leat_core_t *core, core_stream_t *stream, s_front_t *front,
                       const core_header_t *header)
{
    bool dying = !front->batch->leased && s_is_dying (stream, front->to, header->end);
    front->held = front->batch->leased || dying;
    if (dying)
        front->wake_us = core->now_us + core->limits.expiry_delay * 1000;
    return front->held;
}

/* Moves over the batch at the front, if it goes. */
static bool s_advance (leat_core_t *core, core_stream_t *stream, s_front_t *front)
{
    core_header_t header;
    if (!front->batch || !front->batch->committed)
        return false;
    front->unknown = !s_header (front, stream, &header);
    if (front->unknown || !s_is_expired (core, stream, front, &header)
        || s_is_held (core, stream, front, &header))
        return false;
    if (front->batches++ >= core->limits.expiry_batches) {
        core_limit_hit (core, LEAT_LIMIT_expiry_batches);
        front->wake_us = core->now_us;
        return false;
    }
    uint64_t end = front->batch->first + front->batch->count;
    front->to = header.end < end ? header.end : end;
    front->size += header.size;
    front->part += header.size;
    if (front->to == end) {
        front->batch = RB_NEXT (core_batches, , front->batch);
        front->part = 0;
        if (front->batch)
            front->to = front->batch->first;
    }
    return true;
}

/* ---- headers of what is away ----------------------------------------------------------------- */

static void s_look (leat_core_t *core, core_stream_t *stream, uint64_t offset)
{
    if (stream->looks)
        return;
    stream->looks = true;
    stream->edge_first = 0;
    if (!stream->edge)
        stream->edge = leat_alloc (CORE_EDGE * sizeof *stream->edge);
    core_look (core, stream, offset, CORE_EDGE);
}

void core_looked (leat_core_t *core, core_stream_t *stream, const core_header_t *header, bool last)
{
    if (header && stream->edge_first + stream->edge_count < CORE_EDGE)
        stream->edge[stream->edge_first + stream->edge_count++] = *header;
    if (!last)
        return;
    stream->looks = false;
    if (stream->edge_count)
        core_log_look (core, stream);
}

/* ---- going ----------------------------------------------------------------------------------- */

/* What the group had not settled is lost to it, which it is told of by figures. */
static void s_drop_for_group (leat_core_t *core, core_group_t *group, uint64_t from, uint64_t to)
{
    core_mark_t key = { .offset = from };
    core_mark_t *mark = RB_NFIND (core_marks, &group->marks, &key);
    while (mark && mark->offset < to) {
        core_mark_t *next = RB_NEXT (core_marks, , mark);
        core_mark_destroy (core, mark);
        mark = next;
    }
    uint64_t lost = core_group_gone (core, group, from, to);
    if (group->cursor < to)
        group->cursor = to;
    if (!lost)
        return;
    group->expired_count += lost;
    core->statistics.records_expired_unsettled += lost;
    if (!group->expired_untold)
        TAILQ_INSERT_TAIL (&core->losers, group, in_losers);
    group->expired_untold += lost;
    core_group_wake (core, group);
}

/* For the next commit; several become one. */
static void s_note (leat_core_t *core, core_stream_t *stream, uint64_t to, uint64_t records)
{
    if (!stream->expiry) {
        stream->expiry = leat_alloc (sizeof *stream->expiry);
        stream->expiry->stream = stream->id;
        STAILQ_INSERT_TAIL (&core_lane (core, stream)->expiries, stream->expiry, next);
    }
    stream->expiry->first = to;
    stream->expiry->count += records;
    core_settle_soon (core, core_lane (core, stream));
}

static void s_drop (leat_core_t *core, core_stream_t *stream, uint64_t to, uint64_t size)
{
    uint64_t before = stream->record_count;
    core_batch_t *batch = RB_MIN (core_batches, &stream->batches);
    uint64_t from = batch->first;
    core_group_t *group;
    RB_FOREACH (group, core_groups, &stream->groups)
        s_drop_for_group (core, group, from, to);
    while ((batch = RB_MIN (core_batches, &stream->batches)) && batch->first < to)
        core_batch_destroy (core, batch);
    uint64_t records = before - stream->record_count;
    stream->log_size -= size < stream->log_size ? size : stream->log_size;
    stream->expired_count += records;
    core->statistics.records_expired += records;
    s_note (core, stream, to, records);
}

/* Returns whether anything went. */
static bool s_run (leat_core_t *core, core_stream_t *stream, uint64_t room)
{
    core_batch_t *oldest = RB_MIN (core_batches, &stream->batches);
    s_front_t front = { .batch = oldest, .to = oldest ? oldest->first : 0, .room = room };
    if (!oldest || core->shutting_down)
        return false;
    while (s_advance (core, stream, &front))
        continue;
    bool any = front.to > oldest->first;
    uint64_t to = front.to;
    if (any) {
        core_batch_part (stream, to, front.part);
        s_drop (core, stream, to, front.size);
    }
    if (front.unknown)
        s_look (core, stream, to);
    core->statistics.expiries_held += front.held && !stream->expiry_held;
    stream->expiry_held = front.held;
    if (front.wake_us)
        core_timer_set (core, &stream->expiry_timer, front.wake_us, s_timer);
    return any;
}

void core_logs_run (leat_core_t *core)
{
    core_stream_t *stream;
    while ((stream = TAILQ_FIRST (&core->logs))) {
        TAILQ_REMOVE (&core->logs, stream, in_logs);
        stream->looked_at = false;
        s_run (core, stream, 0);
    }
}

bool core_log_make_room (leat_core_t *core, core_stream_t *stream, uint64_t size)
{
    return core_is_log (stream) && !stream->reads && stream->settings.max_size
           && s_run (core, stream, size);
}

/* ---- settings, recovery, the end -------------------------------------------------------------- */

void core_log_begin (leat_core_t *core, core_stream_t *stream)
{
    core_batch_t *batch;
    stream->log_size = 0;
    RB_FOREACH (batch, core_batches, &stream->batches)
        if (batch->committed)
            stream->log_size += s_batch_size (batch);
    core_log_look (core, stream);
}

void core_log_changed (leat_core_t *core, core_stream_t *stream, bool was_log)
{
    core_timer_stop (core, &stream->expiry_timer);
    if (core_is_log (stream) && !was_log)
        core_log_begin (core, stream);
    else if (was_log && !core_is_log (stream))
        core_stream_trim_rest (core, stream);
    core_log_look (core, stream);
}

void core_log_end (leat_core_t *core, core_stream_t *stream)
{
    core_timer_stop (core, &stream->expiry_timer);
    if (stream->looked_at)
        TAILQ_REMOVE (&core->logs, stream, in_logs);
    free (stream->edge);
}

bool core_log_recover (leat_core_t *core, core_stream_t *stream, uint64_t first)
{
    core_batch_t *batch = core_batch_at (stream, first);
    if (batch && batch->first < first && !batch->away)
        return false;
    core_batch_part (stream, first, 0);
    while ((batch = RB_MIN (core_batches, &stream->batches)) && batch->first < first)
        core_batch_destroy (core, batch);
    return true;
}

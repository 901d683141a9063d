/* What of a durable stream is in memory. The rest is away, at the store alone, and is read back when it
 * is needed: a backlog of any length costs one node.
 * SPDX-License-Identifier: MPL-2.0 */

#include "broker/core/retention.h"

/*      settled | leased | idle | away: one node for any number of batches | idle | not committed
 *      --------+--------+------+------------------------------------------+------+--------------> offsets
 *         gone |<-- in memory ->|                                          |<--- in memory ---->|
 *
 * Only what is idle goes away: committed, and nothing of it leased. What is idle longest, or was put
 * last, is needed last. A read splits a node that is away into what is before, the batch that came,
 * and what is behind. */

enum {
    READS_MAX = 16, /* under way for one stream */
    READS_PER_WINDOW = 4
};

/* ---- leaving --------------------------------------------------------------------------------- */

static void s_crowd (leat_core_t *core, core_stream_t *stream)
{
    if (stream->crowded || (stream->idle_size <= core->limits.read_window && !stream->spent))
        return;
    stream->crowded = true;
    TAILQ_INSERT_TAIL (&core->crowded, stream, in_crowded);
}

static bool s_may_rest (const core_batch_t *batch)
{
    return batch->stream->reads && batch->committed && !batch->away && !batch->idle
           && !batch->leased;
}

void core_batch_rest (leat_core_t *core, core_batch_t *batch)
{
    core_stream_t *stream = batch->stream;
    if (!s_may_rest (batch))
        return;
    batch->idle = true;
    stream->idle_size += batch->cost;
    TAILQ_INSERT_TAIL (&stream->idle, batch, in_idle);
    s_crowd (core, stream);
}

/* Before all others: it is needed next. */
static void s_rest_first (leat_core_t *core, core_batch_t *batch)
{
    core_stream_t *stream = batch->stream;
    if (!s_may_rest (batch))
        return;
    batch->idle = true;
    stream->idle_size += batch->cost;
    TAILQ_INSERT_HEAD (&stream->idle, batch, in_idle);
    s_crowd (core, stream);
}

void core_batch_rest_no_more (core_batch_t *batch)
{
    if (!batch->idle)
        return;
    batch->idle = false;
    batch->stream->spent -= batch->spent;
    batch->spent = false;
    batch->stream->idle_size -= batch->cost;
    TAILQ_REMOVE (&batch->stream->idle, batch, in_idle);
}

void core_batch_spent (leat_core_t *core, core_batch_t *batch)
{
    core_stream_t *stream = batch->stream;
    if (!batch->idle || batch->spent)
        return;
    batch->spent = true;
    stream->spent++;
    TAILQ_REMOVE (&stream->idle, batch, in_idle);
    TAILQ_INSERT_TAIL (&stream->idle, batch, in_idle);
    s_crowd (core, stream);
}

void core_batch_lease (core_batch_t *batch, uint64_t count)
{
    core_batch_rest_no_more (batch);
    batch->leased += count;
}

void core_batch_unlease (leat_core_t *core, core_batch_t *batch, uint64_t count)
{
    leat_assert (batch && batch->leased >= count);
    batch->leased -= count;
    if (batch->stream->expiry_held)
        core_log_look (core, batch->stream);
    s_rest_first (core, batch);
}

/* One node for two that are neighbours and away. */
static void s_join (core_batch_t *before, core_batch_t *after)
{
    core_stream_t *stream = before->stream;
    if (!before->away || !after->away || before->first + before->count != after->first)
        return;
    before->count += after->count;
    before->unsettled += after->unsettled;
    before->stored_size += after->stored_size;
    RB_REMOVE (core_batches, &stream->batches, after);
    stream->batch_count--;
    free (after);
}

static void s_join_neighbours (core_batch_t *batch)
{
    core_batch_t *after = RB_NEXT (core_batches, , batch);
    core_batch_t *before = RB_PREV (core_batches, , batch);
    if (after)
        s_join (batch, after);
    if (before)
        s_join (before, batch);
}

static void s_send_away (leat_core_t *core, core_batch_t *batch)
{
    core_stream_t *stream = batch->stream;
    core_batch_rest_no_more (batch);
    leat_assert (!batch->parts);
    batch->away = true;
    stream->held_size -= batch->cost;
    core->held_size -= batch->cost;
    core->credit_freed = true;
    core->statistics.batches_sent_away++;
    batch->cost = 0;
    leat_buffer_release (&batch->body);
    free (batch->index);
    batch->index = NULL;
    s_join_neighbours (batch);
}

/* They are last, but for what was committed later in the same turn. */
static void s_send_spent_away (leat_core_t *core, core_stream_t *stream)
{
    core_batch_t *batch;
    core_batch_t *before;
    for (batch = TAILQ_LAST (&stream->idle, core_idle); stream->spent; batch = before) {
        before = TAILQ_PREV (batch, core_idle, in_idle);
        if (batch->spent)
            s_send_away (core, batch);
    }
}

void core_windows_close (leat_core_t *core)
{
    core_stream_t *stream;
    while ((stream = TAILQ_FIRST (&core->crowded))) {
        TAILQ_REMOVE (&core->crowded, stream, in_crowded);
        stream->crowded = false;
        s_send_spent_away (core, stream);
        while (stream->idle_size > core->limits.read_window)
            s_send_away (core, TAILQ_LAST (&stream->idle, core_idle));
    }
}

static uint64_t s_open_in_all (core_stream_t *stream, uint64_t first, uint64_t count)
{
    uint64_t open = 0;
    core_group_t *group;
    RB_FOREACH (group, core_groups, &stream->groups)
        open += core_group_open (group, first, count);
    return open;
}

static core_batch_t *s_make_away (core_stream_t *stream, uint64_t first, uint64_t count,
                                  uint64_t size)
{
    core_batch_t *batch = leat_alloc (sizeof *batch);
    batch->stream = stream;
    batch->away = true;
    batch->committed = true;
    batch->first = first;
    batch->count = count;
    batch->stored_size = size;
    batch->unsettled = s_open_in_all (stream, first, count);
    RB_INSERT (core_batches, &stream->batches, batch);
    stream->batch_count++;
    return batch;
}

void core_batch_part (core_stream_t *stream, uint64_t offset, uint64_t size)
{
    core_batch_t *batch = core_batch_at (stream, offset);
    if (!batch || batch->first == offset)
        return;
    leat_assert (batch->away);
    uint64_t left = batch->stored_size > size ? batch->stored_size - size : 0;
    uint64_t count = batch->first + batch->count - offset;
    batch->count -= count;
    batch->stored_size -= left;
    batch->unsettled -= s_make_away (stream, offset, count, left)->unsettled;
}

void core_batch_make_away (leat_core_t *core, core_stream_t *stream, uint64_t first, uint64_t count,
                           uint64_t size)
{
    (void) core;
    s_make_away (stream, first, count, size);
    stream->record_count += count;
    stream->stored_size += size;
}

static void s_wake_all (leat_core_t *core, core_stream_t *stream)
{
    core_groups_wake (core, stream);
    core_stored (core)->dying_waits = false;
}

/* ---- asking ---------------------------------------------------------------------------------- */

static bool s_has_memory (const leat_core_t *core, uint64_t size)
{
    return core->held_size + core->granted_size + core->reading_size + size
           <= core->limits.memory_size;
}

/* What a read of `size` may bring: the last batch may exceed that. */
static uint64_t s_need (const leat_core_t *core, uint64_t size)
{
    return size + leat_batch_cost (core->limits.batch_size);
}

uint64_t core_reads_want (const leat_core_t *core)
{
    return TAILQ_EMPTY (&core->starving) ? 0 : s_need (core, 1);
}

static void s_let_all_go (leat_core_t *core)
{
    core_stream_t *stream;
    core_batch_t *batch;
    RB_FOREACH (stream, core_streams, &core->streams)
        while ((batch = TAILQ_LAST (&stream->idle, core_idle)))
            s_send_away (core, batch);
}

bool core_window_has_room (leat_core_t *core, uint64_t size)
{
    if (!s_has_memory (core, size))
        s_let_all_go (core);
    return s_has_memory (core, size);
}

static void s_starve (leat_core_t *core, core_group_t *group)
{
    group->asks = true;
    if (group->starving)
        return;
    group->starving = true;
    TAILQ_INSERT_TAIL (&core->starving, group, in_starving);
}

void core_reads_no_more (leat_core_t *core, core_group_t *group)
{
    if (!group->starving)
        return;
    group->starving = false;
    TAILQ_REMOVE (&core->starving, group, in_starving);
    core->credit_freed = true; /* it is the next one's turn */
}

/* Memory for a read of at most *size, made if need be. False if there is none, or if another group has
 * waited for longer: then it is its turn some time (core_reads_retry). */
static bool s_find_memory (leat_core_t *core, core_group_t *group, uint64_t *size)
{
    const core_group_t *first = TAILQ_FIRST (&core->starving);
    bool is_next = !first || first == group;
    if (is_next && !s_has_memory (core, s_need (core, *size))) {
        *size = 1;
        if (!s_has_memory (core, s_need (core, *size)))
            s_let_all_go (core);
    }
    if (!is_next || !s_has_memory (core, s_need (core, *size))) {
        core_credit_press (core, s_need (core, *size));
        s_starve (core, group);
        return false;
    }
    core_reads_no_more (core, group);
    return true;
}

void core_reads_retry (leat_core_t *core)
{
    core_group_t *group = TAILQ_FIRST (&core->starving);
    if (!group)
        return;
    group->asks = false;
    core_group_wake (core, group);
    core_stored (core)->dying_waits = false;
}

bool core_reads_pass_on (leat_core_t *core)
{
    core_group_t *group = TAILQ_FIRST (&core->starving);
    if (!group || group->asks)
        return false;
    core_reads_no_more (core, group);
    return true;
}

/* False too if there are too many: whoever waits looks again when one of them is done. */
static bool s_may_ask (const leat_core_t *core, const core_stream_t *stream, uint64_t offset)
{
    const core_read_t *other;
    if (stream->reading >= READS_MAX)
        return false;
    TAILQ_FOREACH (other, &core->reads_asked, next)
        if (other->stream == stream && other->offset == offset && !other->headers)
            return false;
    TAILQ_FOREACH (other, &core->reads_waiting, next)
        if (other->stream == stream && other->offset == offset && !other->headers)
            return false;
    return true;
}

static core_read_t *s_ask (leat_core_t *core, core_stream_t *stream, uint64_t offset)
{
    core_read_t *read = leat_alloc (sizeof *read);
    read->stream = stream;
    read->token = ++core->last_read;
    read->offset = offset;
    stream->reading++;
    TAILQ_INSERT_TAIL (&core->reads_asked, read, next);
    return read;
}

static void s_ask_bodies (leat_core_t *core, core_stream_t *stream, uint64_t offset, uint64_t size)
{
    core_read_t *read = s_ask (core, stream, offset);
    read->size = size;
    read->reserved = s_need (core, size);
    core->reading_size += read->reserved;
}

void core_look (leat_core_t *core, core_stream_t *stream, uint64_t offset, uint32_t count)
{
    s_ask (core, stream, offset)->headers = count;
}

uint64_t core_look_for (leat_core_t *core, core_group_t *group, uint64_t offset, uint32_t count)
{
    if (group->stream->reading >= READS_MAX)
        return 0;
    core_read_t *read = s_ask (core, group->stream, offset);
    read->headers = count;
    read->group = group->id;
    return read->token;
}

void core_read (leat_core_t *core, core_group_t *group, uint64_t offset, bool behind)
{
    core_stream_t *stream = group->stream;
    uint64_t size = behind ? core->limits.read_window / READS_PER_WINDOW : 1;
    if (s_may_ask (core, stream, offset) && s_find_memory (core, group, &size))
        s_ask_bodies (core, stream, offset, size);
}

void core_read_ahead (leat_core_t *core, core_stream_t *stream, uint64_t offset)
{
    uint64_t size = core->limits.read_window / READS_PER_WINDOW;
    if (TAILQ_EMPTY (&core->starving) && s_may_ask (core, stream, offset)
        && s_has_memory (core, s_need (core, size)))
        s_ask_bodies (core, stream, offset, size);
}

bool leat_core_next_read (leat_core_t *self, leat_core_read_t *read)
{
    core_read_t *asked;
    while ((asked = TAILQ_FIRST (&self->reads_asked))) {
        TAILQ_REMOVE (&self->reads_asked, asked, next);
        TAILQ_INSERT_TAIL (&self->reads_waiting, asked, next);
        *read = (leat_core_read_t){ .token = asked->token,
                                    .stream = asked->stream->id,
                                    .offset = asked->offset,
                                    .size = asked->size,
                                    .headers = asked->headers };
        return true;
    }
    return false;
}

static void s_drop (leat_core_t *core, core_read_t *read, struct core_reads *list)
{
    if (read->reserved)
        core->credit_freed = true;
    core->reading_size -= read->reserved;
    read->stream->reading--;
    TAILQ_REMOVE (list, read, next);
    free (read);
}

/* Of a stream that goes, or all: answers that are still to come find nobody. */
void core_reads_drop (leat_core_t *core, const core_stream_t *stream)
{
    core_read_t *read;
    core_read_t *next;
    for (read = TAILQ_FIRST (&core->reads_asked); read; read = next) {
        next = TAILQ_NEXT (read, next);
        if (!stream || read->stream == stream)
            s_drop (core, read, &core->reads_asked);
    }
    for (read = TAILQ_FIRST (&core->reads_waiting); read; read = next) {
        next = TAILQ_NEXT (read, next);
        if (!stream || read->stream == stream)
            s_drop (core, read, &core->reads_waiting);
    }
}

/* ---- answers --------------------------------------------------------------------------------- */

/* A node that nobody needs goes for good. */
static void s_trim_settled (leat_core_t *core, core_batch_t *batch)
{
    if (batch->unsettled || !batch->stream->group_count || core_is_log (batch->stream))
        return;
    core_trim (core, batch);
    core_batch_destroy (core, batch);
}

void core_batch_passed (leat_core_t *core, core_batch_t *batch, uint64_t count)
{
    leat_assert (batch->away && batch->unsettled >= count);
    batch->unsettled -= count;
    s_trim_settled (core, batch);
}

/* Between two batches that were read there is none: others have settled those records before a group
 * was made that still counts them as open. Where a group has not come to yet is left to it, because
 * nothing beyond its cursor may be settled. */
static void s_gone (leat_core_t *core, core_stream_t *stream, uint64_t from, uint64_t to)
{
    while (from < to) {
        core_batch_t *batch = core_batch_from (stream, from);
        if (!batch || batch->first >= to)
            return;
        uint64_t begin = batch->first > from ? batch->first : from;
        uint64_t end = batch->first + batch->count < to ? batch->first + batch->count : to;
        from = end;
        if (!batch->away)
            continue;
        core_group_t *group;
        RB_FOREACH (group, core_groups, &stream->groups) {
            if (group->cursor < begin)
                continue;
            batch->unsettled -= core_group_gone (core, group, begin, end);
            if (group->cursor < end)
                group->cursor = end;
            core_group_wake (core, group);
        }
        s_trim_settled (core, batch);
    }
}

/*      away   |-------- before --------|--- came ---|------------- after --------------|
 * Returns the node of those that came, which is away still. */
static core_batch_t *s_split (leat_core_t *core, core_batch_t *away, uint64_t first, uint64_t count,
                              uint64_t size)
{
    core_stream_t *stream = away->stream;
    uint64_t before = first - away->first;
    uint64_t after = away->first + away->count - first - count;
    uint64_t stored = size < away->stored_size ? size : away->stored_size;
    if (!before && !after)
        return away;
    uint64_t rest = away->stored_size - stored;
    /* How the rest is spread is not known: by records. */
    double part = (double) after / (double) (before + after);
    uint64_t rest_after = (uint64_t) ((double) rest * part);
    if (after) {
        away->count -= after;
        away->stored_size -= rest_after;
        core_batch_t *behind = s_make_away (stream, first + count, after, rest_after);
        away->unsettled -= behind->unsettled;
        s_trim_settled (core, behind);
    }
    if (!before)
        return away;
    away->count = before;
    away->stored_size -= stored;
    core_batch_t *came = s_make_away (stream, first, count, stored);
    away->unsettled -= came->unsettled;
    s_trim_settled (core, away);
    return came;
}

/* The body is there again. */
static void s_arrived (leat_core_t *core, core_read_t *read, const leat_batch_t *header,
                       leat_buffer_t *body)
{
    core_stream_t *stream = read->stream;
    core_batch_t *away = core_batch_at (stream, header->first);
    if (!away || !away->away)
        return; /* settled meanwhile, or read before */
    core_batch_t *batch =
        s_split (core, away, header->first, header->count, leat_buffer_size (body));
    stream->stored_size += leat_buffer_size (body) - batch->stored_size;
    batch->stored_size = leat_buffer_size (body);
    batch->away = false;
    batch->attributes = header->attributes;
    batch->crc32c = header->crc32c;
    batch->time_ms = header->time_ms;
    batch->whole = batch->unsettled;
    batch->body = leat_buffer_hold (body);
    batch->cost = leat_batch_cost (leat_buffer_size (body));
    stream->held_size += batch->cost;
    core->held_size += batch->cost;
    uint64_t spent = batch->cost < read->reserved ? batch->cost : read->reserved;
    read->reserved -= spent;
    core->reading_size -= spent;
    core->statistics.batches_read++;
    if (batch->unsettled || core_is_log (stream))
        s_rest_first (core, batch);
    if (!batch->unsettled && core_is_log (stream))
        core_batch_spent (core, batch);
    else if (!batch->unsettled)
        s_trim_settled (core, batch);
}

/* The records cannot be handed out ever. They are set aside where they are, so that somebody can look
 * at the store, and hold nobody up. */
static void s_damaged (leat_core_t *core, core_stream_t *stream, uint64_t first, uint64_t count)
{
    static const char reason[] = "the store has it damaged";
    core_group_t *group;
    RB_FOREACH (group, core_groups, &stream->groups) {
        if (group->cursor < first)
            continue; /* will come to it */
        core_group_return_no_more (group, first, first + count);
        for (uint64_t offset = first; offset < first + count; offset++) {
            if (core_settled_has (&group->settled, offset))
                continue;
            core_mark_t *mark = core_mark_find (group, offset);
            if (!mark)
                mark = core_mark_make (core, group, offset);
            mark->code = LEAT_DAMAGED;
            free (mark->reason);
            mark->reason = leat_copy_text (reason, sizeof reason - 1);
            core_mark_changed (core, mark);
            core_mark_set (core, mark, CORE_MARK_PARKED);
            core->statistics.records_damaged++;
            core->statistics.records_parked++;
        }
        if (group->cursor < first + count)
            group->cursor = first + count;
        core_group_dirty (core, group);
    }
}

/* Those of the damaged records that are away; the store may not know how many they are. */
static void s_set_aside (leat_core_t *core, core_stream_t *stream, const leat_batch_t *header)
{
    const core_batch_t *batch = header->count ? core_batch_at (stream, header->first) : NULL;
    if (!batch || !batch->away)
        return;
    uint64_t end = batch->first + batch->count;
    if (end > header->first + header->count)
        end = header->first + header->count;
    s_damaged (core, stream, header->first, end - header->first);
}

/* True if the header names records that are away, all of them. */
static bool s_fits (core_stream_t *stream, const leat_batch_t *header)
{
    const core_batch_t *batch = header->count ? core_batch_at (stream, header->first) : NULL;
    return batch && header->first + header->count <= batch->first + batch->count;
}

static core_read_t *s_find_read (leat_core_t *core, uint64_t token)
{
    core_read_t *read = TAILQ_FIRST (&core->reads_waiting);
    while (read && read->token != token)
        read = TAILQ_NEXT (read, next);
    return core->failed || core->stopped ? NULL : read;
}

void leat_core_looked (leat_core_t *self, uint64_t token, leat_code_t code,
                       const leat_batch_t *batch, uint64_t size, bool last)
{
    core_read_t *read = s_find_read (self, token);
    if (!read)
        return;
    core_stream_t *stream = read->stream;
    /* A header that is damaged tells no time: what it heads can be read by nobody, and may go. */
    core_header_t header = { .first = batch->first,
                             .end = batch->first + batch->count,
                             .time_ms = code == LEAT_OK ? batch->time_ms : 0,
                             .size = size };
    bool any = (code == LEAT_OK || code == LEAT_DAMAGED) && batch->count;
    bool for_group = read->group;
    if (for_group)
        core_since_looked (self, read, code, batch, last);
    if (last)
        s_drop (self, read, &self->reads_waiting);
    if (!for_group)
        core_looked (self, stream, any ? &header : NULL, last);
    else if (last)
        s_wake_all (self, stream); /* some may have found that there are too many reads */
}

void leat_core_read_done (leat_core_t *self, uint64_t token, leat_code_t code,
                          const leat_batch_t *batch, leat_buffer_t *body, bool last)
{
    core_read_t *read = s_find_read (self, token);
    if (!read)
        return;
    core_stream_t *stream = read->stream;
    if (code == LEAT_OK || code == LEAT_DAMAGED) {
        if (batch->first > read->offset)
            s_gone (self, stream, read->offset, batch->first);
        if (code == LEAT_DAMAGED)
            s_set_aside (self, stream, batch);
        else if (s_fits (stream, batch)) /* else it is gone since it was asked for */
            s_arrived (self, read, batch, body);
        read->offset = batch->first + batch->count;
    } else if (code == LEAT_NO_SUCH_STREAM) {
        s_gone (self, stream, read->offset, stream->committed_offset);
    }
    if (last)
        s_drop (self, read, &self->reads_waiting);
    s_wake_all (self, stream);
}

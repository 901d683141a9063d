/* Groups that begin at a time, where what is that old is at the store alone.
 * SPDX-License-Identifier: MPL-2.0 */

#include "broker/core/functions.h"

/*      |<- older: settled, for this group ->|<- not known yet ->|<- published since: the group's ->|
 *      +------------------------------------+-------------------+----------------------------------> offsets
 *      start                              cursor            since_end
 *
 * The search begins when the group does, and not with its first consumer: a restart forgets the time, and
 * keeps only how far the search has come. Of what is away the store is asked for headers, some at a time and in
 * order, because producers' clocks need not agree. Until the first record is found nothing is handed out. */

/* At once: the store answers them from one state, and others wait for that. */
enum { HEADERS_MAX = 1024 };

void core_since_begin (leat_core_t *core, core_group_t *group, uint64_t time_ms)
{
    group->since_ms = time_ms;
    group->since_end = group->stream->next_offset;
    group->since_damaged = UINT64_MAX;
    core_group_skip_gone (core, group);
    core_group_wake (core, group);
}

static void s_found (leat_core_t *core, core_group_t *group)
{
    group->since_ms = 0;
    group->since_look = 0; /* whose answer comes too late */
    core_group_go_on (core, group);
}

/* Everything below `to` is older. */
static void s_pass (leat_core_t *core, core_group_t *group, uint64_t to)
{
    core_batch_t *batch;
    while (group->cursor < to && (batch = core_batch_from (group->stream, group->cursor))
           && batch->first < to) {
        uint64_t end = batch->first + batch->count < to ? batch->first + batch->count : to;
        uint64_t passed = core_group_gone (core, group, group->cursor, end);
        group->cursor = end;
        if (batch->away)
            core_batch_passed (core, batch, passed);
        else
            core_batch_settled (core, batch, passed);
    }
    if (group->cursor < to)
        group->cursor = to;
}

static void s_ask (leat_core_t *core, core_group_t *group)
{
    /* To read what is damaged sets it aside, and moves the cursor. */
    if (group->since_damaged == group->cursor)
        core_read (core, group, group->cursor, false);
    else if (!group->since_look)
        group->since_look = core_look_for (core, group, group->cursor, HEADERS_MAX);
}

bool core_since_found (leat_core_t *core, core_group_t *group)
{
    while (group->since_ms) {
        core_batch_t *batch = core_batch_from (group->stream, group->cursor);
        if (!batch || batch->first >= group->since_end) {
            s_found (core, group);
            break;
        }
        if (group->cursor < batch->first)
            group->cursor = batch->first;
        bool away = batch->away;
        if (away)
            s_ask (core, group); /* after which the node may have become part of another */
        if (away || !batch->committed)
            return false; /* it is woken when that changes */
        if (batch->time_ms >= group->since_ms)
            s_found (core, group);
        else
            s_pass (core, group, batch->first + batch->count);
    }
    return true;
}

/* The end of what a look has told: all below `to` is older. What is not committed for the core yet is left to
 * core_since_found. */
static void s_end (leat_core_t *core, core_group_t *group, uint64_t to)
{
    const core_stream_t *stream = group->stream;
    if (to > stream->committed_offset)
        to = stream->committed_offset;
    s_pass (core, group, to < group->since_end ? to : group->since_end);
    group->since_look = 0;
    core_group_wake (core, group);
}

void core_since_looked (leat_core_t *core, core_read_t *read, leat_code_t code,
                        const leat_batch_t *batch, bool last)
{
    core_group_t *group = core_group_by_id (read->stream, read->group);
    if (!group || group->since_look != read->token)
        return;
    uint64_t end = batch->first + batch->count;
    bool any = code == LEAT_OK && batch->count;
    if (any && batch->time_ms < group->since_ms && batch->first < group->since_end) {
        read->offset = end;
        if (last)
            s_end (core, group, end);
    } else if (code == LEAT_OK || code == LEAT_DAMAGED) {
        s_end (core, group, batch->first);
        if (code == LEAT_DAMAGED)
            group->since_damaged = batch->first > group->cursor ? batch->first : group->cursor;
        if (any && group->cursor == batch->first)
            s_found (core, group);
    } else {
        s_end (core, group, read->offset);
        s_found (core, group); /* the store knows no more of it, which is for reads to find out */
    }
}

/* From ATTACH to LEFT: what consumers say.
 * SPDX-License-Identifier: MPL-2.0 */

#include <inttypes.h>

#include "broker/core/administration.h"
#include "broker/core/balance.h"
#include "broker/core/processing.h"

/* No channel delivers so many records; keeps sums of positions from running over. */
#define POSITION_MAX (UINT64_C (1) << 62)

/* ---- attaching ------------------------------------------------------------------------------- */

/* Room for a reason that names a limit. */
enum { REASON_SIZE = 128 };

/* True, with a reason, if this is more credit than any consumer may have. */
static bool s_credit_too_large (leat_core_t *core, uint32_t records, uint64_t size, char *reason)
{
    if (records <= core->limits.credit_records && size <= core->limits.credit_size)
        return false;
    core_limit_hit (core, size > core->limits.credit_size ? LEAT_LIMIT_credit_size
                                                          : LEAT_LIMIT_credit_records);
    snprintf (reason, REASON_SIZE, "the credit can be %" PRIu64 " records and %" PRIu64 " bytes",
              core->limits.credit_records, core->limits.credit_size);
    return true;
}

static leat_code_t s_check_attach (leat_core_t *core, const leat_attach_t *attach, char *reason)
{
    if (!leat_name_valid (attach->stream) || !leat_name_valid (attach->group))
        return LEAT_BAD_NAME;
    if (attach->start > LEAT_START_TIME) {
        snprintf (reason, REASON_SIZE, "start is 0 (earliest), 1 (latest), 2 (offset) or 3 (time)");
        return LEAT_MALFORMED;
    }
    if (s_credit_too_large (core, attach->credit_records, attach->credit_size, reason))
        return LEAT_TOO_LARGE;
    if (attach->max_unreported > core->limits.unreported) {
        core_limit_hit (core, LEAT_LIMIT_unreported);
        snprintf (reason, REASON_SIZE, "max_unreported can be %" PRIu64, core->limits.unreported);
        return LEAT_TOO_LARGE;
    }
    return core->shutting_down ? LEAT_SHUTTING_DOWN : LEAT_OK;
}

static core_group_t *s_obtain_group (leat_core_t *core, core_session_t *session,
                                     core_stream_t *stream, const leat_attach_t *attach)
{
    core_group_t *group = core_group_find (stream, attach->group);
    if (group)
        return group;
    if (stream->group_count >= core->limits.groups) {
        core_limit_hit (core, LEAT_LIMIT_groups);
        core_refuse (core, session->peer, LEAT_ATTACH, attach->channel, LEAT_LIMIT_REACHED,
                     "the stream has as many groups as this broker allows");
        return NULL;
    }
    return core_group_create (core, stream, attach->group, (leat_start_t) attach->start,
                              attach->start_value);
}

void core_deliver_attach (leat_core_t *core, core_session_t *session, const leat_attach_t *attach)
{
    if (!core_channel_free (core, session, LEAT_ATTACH, attach->channel))
        return;
    char reason[REASON_SIZE] = "";
    leat_code_t code = s_check_attach (core, attach, reason);
    if (code != LEAT_OK) {
        core_refuse (core, session->peer, LEAT_ATTACH, attach->channel, code, reason);
        return;
    }
    core_stream_t *stream = core_stream_obtain (core, session, LEAT_ATTACH, attach->channel,
                                                attach->stream, attach->flags & LEAT_MUST_EXIST);
    if (!stream)
        return;
    core_group_t *group = s_obtain_group (core, session, stream, attach);
    if (!group)
        return;
    core_consumer_t *consumer = leat_alloc (sizeof *consumer);
    consumer->channel.consumer = true;
    consumer->channel.stream = stream;
    consumer->channel.number = attach->channel;
    consumer->channel.rate_since_us = core->now_us;
    consumer->group = group;
    consumer->state = CORE_CONSUMER_FULL;
    consumer->served = ++core->serial;
    consumer->credit_records = attach->credit_records;
    consumer->credit_size = attach->credit_size;
    consumer->max_unreported = attach->max_unreported;
    consumer->lost_epoch = core->last_epoch;
    RB_INIT (&consumer->leases);
    LIST_INIT (&consumer->waiters);
    core_channel_add (session, &consumer->channel);
    if (core_consumer_may_begin (consumer))
        core_consumer_answer (core, consumer);
    else
        TAILQ_INSERT_TAIL (&core->waiting, &consumer->channel, waiting);
}

bool core_consumer_may_begin (const core_consumer_t *consumer)
{
    return consumer->channel.stream->committed && consumer->group->committed;
}

void core_consumer_answer (leat_core_t *core, core_consumer_t *consumer)
{
    core_group_t *group = consumer->group;
    consumer->channel.answered = true;
    TAILQ_INSERT_TAIL (&group->consumers, consumer, in_group);
    group->consumer_count++;
    core_processing_balance (core, group);
    leat_command_t command = { .id = LEAT_ATTACHED };
    command.attached.channel = consumer->channel.number;
    command.attached.durability = (uint8_t) group->stream->settings.durability;
    command.attached.next_offset = group->stream->next_offset;
    leat_outbox_command (core->outbox, consumer->channel.session->peer, &command);
    core_consumer_drain_again (core, consumer);
    core_consumer_place (core, consumer);
    core_group_wake (core, group);
}

static void s_ask_no_more (core_consumer_t *consumer)
{
    if (!consumer->asks_empty)
        return;
    consumer->asks_empty = false;
    TAILQ_REMOVE (&consumer->group->askers, consumer, in_askers);
}

void core_consumer_end (leat_core_t *core, core_consumer_t *consumer, bool clean)
{
    core_group_t *group = consumer->group;
    core_session_t *session = consumer->channel.session;
    if (consumer->channel.answered) {
        core_consumer_unplace (core, consumer);
        consumer->state = CORE_CONSUMER_LEAVING;
        core_leases_end (core, consumer, clean);
        s_ask_no_more (consumer);
        core_waiters_drop (consumer);
        TAILQ_REMOVE (&group->consumers, consumer, in_group);
        group->consumer_count--;
        core_processing_end (core, consumer);
        core_processing_balance (core, group);
        core_group_wake (core, group);
    } else {
        TAILQ_REMOVE (&core->waiting, &consumer->channel, waiting);
    }
    RB_REMOVE (core_channels, &session->channels, &consumer->channel);
    session->channel_count--;
    free (consumer);
}

/* ---- settling -------------------------------------------------------------------------------- */

/* One entry of a SETTLE. `stale` gathers what this SETTLE cannot settle. */
typedef struct {
    leat_settle_entry_t entry;
    leat_text_t reason;
    uint64_t next; /* offset: what comes before was looked at */
    leat_stale_t *stale;
    leat_range_t *stale_ranges; /* LEAT_ENTRIES_MAX */
} s_settle_t;

static void s_acked (leat_core_t *core, core_consumer_t *consumer, uint64_t first, uint32_t count,
                     core_mark_t *mark, void *arg)
{
    (void) arg;
    core_group_t *group = consumer->group;
    if (mark)
        core_mark_destroy (core, mark);
    core_group_settle (core, group, first, count);
    group->settled_count += count;
    core->statistics.records_settled += count;
}

/* The delay of a nack: what was asked for, else doubling from nack_delay_min, less up to half at
 * random, so that records that failed together do not come back together. */
static uint64_t s_nack_delay (leat_core_t *core, const core_mark_t *mark, uint64_t asked_ms)
{
    if (asked_ms > core->limits.nack_delay_ceiling) {
        core_limit_hit (core, LEAT_LIMIT_nack_delay_ceiling);
        return core->limits.nack_delay_ceiling;
    }
    if (asked_ms)
        return asked_ms;
    uint64_t delay_ms = core->limits.nack_delay_min;
    for (uint32_t i = 1; i < mark->attempts && delay_ms < core->limits.nack_delay_max; i++)
        delay_ms *= 2;
    if (delay_ms > core->limits.nack_delay_max)
        delay_ms = core->limits.nack_delay_max;
    return delay_ms - core_random (core) % (delay_ms / 2 + 1);
}

static void s_nacked (leat_core_t *core, core_consumer_t *consumer, uint64_t first, uint32_t count,
                      core_mark_t *mark, void *arg)
{
    const s_settle_t *settle = arg;
    for (uint32_t i = 0; i < count; i++) {
        core_mark_t *each = mark ? mark : core_mark_make (core, consumer->group, first + i);
        each->suspect = false; /* its consumer lived to say so */
        if (core_mark_charge (core, each, LEAT_LIMIT_REACHED))
            core_mark_delay (core, each, s_nack_delay (core, each, settle->entry.delay_ms));
    }
}

static void s_rejected (leat_core_t *core, core_consumer_t *consumer, uint64_t first,
                        uint32_t count, core_mark_t *mark, void *arg)
{
    const s_settle_t *settle = arg;
    leat_text_t reason = settle->reason.size ? settle->reason : leat_text ("rejected");
    for (uint32_t i = 0; i < count; i++) {
        core_mark_t *each = mark ? mark : core_mark_make (core, consumer->group, first + i);
        each->attempts++;
        core_mark_kill (core, each, LEAT_OK, reason);
    }
}

static void s_tell_stale (leat_core_t *core, const core_consumer_t *consumer, leat_stale_t *stale)
{
    if (!stale->ranges.count)
        return;
    leat_command_t command = { .id = LEAT_STALE, .stale = *stale };
    leat_outbox_command (core->outbox, consumer->channel.session->peer, &command);
    stale->ranges.count = 0;
}

/* The consumer does not hold the records of the entry up to `end`. Settling twice is harmless and not worth
 * a word; but what was taken away, another one may have settled. */
static void s_not_held (leat_core_t *core, const core_consumer_t *consumer, s_settle_t *settle,
                        uint64_t end)
{
    uint64_t first = settle->next;
    settle->next = end;
    if (first >= end
        || (settle->entry.epoch > consumer->lost_epoch
            && core_settled_has (&consumer->group->settled, first)))
        return;
    if (settle->stale->ranges.count == LEAT_ENTRIES_MAX)
        s_tell_stale (core, consumer, settle->stale);
    settle->stale_ranges[settle->stale->ranges.count++] =
        (leat_range_t){ settle->entry.epoch, first, (uint32_t) (end - first) };
}

static void s_settle_part (leat_core_t *core, core_consumer_t *consumer, uint64_t first,
                           uint32_t count, core_mark_t *mark, void *arg)
{
    static core_lease_fn *const outcomes[] = {
        [LEAT_ACK] = s_acked, [LEAT_NACK] = s_nacked, [LEAT_REJECT] = s_rejected
    };
    s_settle_t *settle = arg;
    s_not_held (core, consumer, settle, first);
    settle->next = first + count;
    outcomes[settle->entry.outcome](core, consumer, first, count, mark, arg);
}

static void s_settle (leat_core_t *core, core_consumer_t *consumer, const leat_settle_t *settle)
{
    leat_range_t ranges[LEAT_ENTRIES_MAX];
    leat_stale_t stale = { .channel = consumer->channel.number,
                           .token = settle->token,
                           .ranges = { .entries = ranges } };
    uint32_t settled = 0;
    core_processing_alive (core, consumer);
    for (uint32_t i = 0; i < settle->entries.count; i++) {
        leat_settle_entry_t entry = leat_settles_get (&settle->entries, i);
        s_settle_t each = { entry, settle->reason, entry.first, &stale, ranges };
        leat_range_t range = { entry.epoch, entry.first, entry.count };
        uint32_t taken = core_leases_take (core, consumer, &range, true, s_settle_part, &each);
        s_not_held (core, consumer, &each, entry.first + entry.count);
        settled += taken;
        if (taken < range.count)
            core->statistics.settles_stale++;
    }
    if (settled)
        core_consumer_settled (core, consumer, settled);
    else if (settle->entries.count)
        core_offence (core);
    s_tell_stale (core, consumer, &stale);
    if (settle->flags & LEAT_SETTLE_CONFIRM)
        core_waiter_add (core, consumer, settle->token, false);
}

/* ---- the other commands ---------------------------------------------------------------------- */

static void s_returned_part (leat_core_t *core, core_consumer_t *consumer, uint64_t first,
                             uint32_t count, core_mark_t *mark, void *arg)
{
    (void) arg;
    core_group_give_back (core, consumer->group, first, count, mark);
}

static void s_returned (leat_core_t *core, core_consumer_t *consumer,
                        const leat_returned_t *returned)
{
    uint32_t given = 0;
    for (uint32_t i = 0; i < returned->ranges.count; i++) {
        leat_range_t range = leat_ranges_get (&returned->ranges, i);
        uint32_t taken = core_leases_take (core, consumer, &range, false, s_returned_part, NULL);
        if (taken < range.count)
            core->statistics.settles_stale++;
        given += taken;
    }
    if (consumer->recall_end && returned->code == LEAT_OK) {
        consumer->recalled_count += given;
        core->statistics.records_recalled += given;
        core_recall_over (core, consumer);
    }
    core_consumer_place (core, consumer);
    /* One that is stuck may have been asked for less, before or because that filled a command. */
    if (given && consumer->stuck)
        core_processing_balance (core, consumer->group);
}

/* One that has started all it had may be able to start more. */
static void s_report (leat_core_t *core, core_consumer_t *consumer, uint64_t position)
{
    core_processing_alive (core, consumer);
    if (position <= consumer->reported) {
        core_offence (core);
        return;
    }
    uint32_t unsaid = consumer->unsaid;
    uint32_t unstarted = consumer->unstarted;
    core_consumer_reported (consumer, position < POSITION_MAX ? position : POSITION_MAX);
    core_processing_note (core, consumer);
    if (consumer->unsaid == unsaid && consumer->unstarted == unstarted)
        return;
    core_recall_started (core, consumer);
    core_consumer_place (core, consumer);
    core_group_wake (core, consumer->group);
}

static void s_allow (leat_core_t *core, core_consumer_t *consumer, const leat_allow_t *allow)
{
    char reason[REASON_SIZE];
    if (s_credit_too_large (core, allow->credit_records, allow->credit_size, reason)) {
        core_refuse (core, consumer->channel.session->peer, LEAT_ALLOW, allow->channel,
                     LEAT_TOO_LARGE, reason);
        return;
    }
    core_processing_alive (core, consumer);
    consumer->credit_records = allow->credit_records;
    consumer->credit_size = allow->credit_size;
    core_consumer_place (core, consumer);
    core_group_wake (core, consumer->group);
}

static void s_ask_empty (leat_core_t *core, core_consumer_t *consumer, uint64_t token)
{
    consumer->empty_token = token;
    if (consumer->asks_empty)
        return;
    consumer->asks_empty = true;
    TAILQ_INSERT_TAIL (&consumer->group->askers, consumer, in_askers);
    core_group_asked (core, consumer->group);
}

static void s_leave (leat_core_t *core, core_consumer_t *consumer)
{
    if (consumer->state == CORE_CONSUMER_LEAVING) {
        core_refuse (core, consumer->channel.session->peer, LEAT_LEAVE, consumer->channel.number,
                     LEAT_BAD_STATE, "LEAVE was said before; LEFT follows");
        return;
    }
    core_consumer_unplace (core, consumer);
    consumer->state = CORE_CONSUMER_LEAVING;
    core_leases_end (core, consumer, true);
    s_ask_no_more (consumer);
    core_waiter_add (core, consumer, 0, true);
}

void core_deliver_command (leat_core_t *core, core_consumer_t *consumer,
                           const leat_command_t *command)
{
    switch (command->id) {
    case LEAT_SETTLE:
        s_settle (core, consumer, &command->settle);
        break;
    case LEAT_REPORT:
        s_report (core, consumer, command->report.position);
        break;
    case LEAT_RETURNED:
        s_returned (core, consumer, &command->returned);
        break;
    case LEAT_ALLOW:
        s_allow (core, consumer, &command->allow);
        break;
    case LEAT_ASK_EMPTY:
        s_ask_empty (core, consumer, command->ask_empty.token);
        break;
    default:
        s_leave (core, consumer);
    }
}

void core_waiter_answer (leat_core_t *core, core_waiter_t *waiter)
{
    core_consumer_t *consumer = waiter->consumer;
    uint64_t peer = consumer->channel.session->peer;
    leat_command_t command = { .id = waiter->leave ? LEAT_LEFT : LEAT_SETTLED };
    if (waiter->leave) {
        command.left.channel = consumer->channel.number;
    } else {
        command.settled.channel = consumer->channel.number;
        command.settled.flags =
            consumer->group->stream->settings.durability == LEAT_SYNC ? LEAT_SETTLED_DURABLE : 0;
        command.settled.token = waiter->token;
    }
    leat_outbox_command (core->outbox, peer, &command);
}

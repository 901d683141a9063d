/* max_processing: which records were started too long ago, and what becomes of them.
 * SPDX-License-Identifier: MPL-2.0 */

#include "broker/core/processing.h"

#include "broker/core/balance.h"

/* A record may have been started once its position is below reported + max_unreported. Positions,
 * reports and time only grow, so a few marks on the axis of positions tell for each record since when
 * that is so, however many there are:
 *
 *      position     0         40          75          90            position
 *                   |----------|-----------|-----------|----- - - - -|
 *      since            12:00      12:01       12:02      not started
 *
 * A span takes in what follows within a 64th of max_processing and then counts from its end, so that a
 * consumer has at most some 64 spans and one timer, and no record is taken before its time. */
enum { SPANS = 72 };

typedef struct {
    uint64_t end;       /* positions below, down to the end of the span before */
    uint64_t opened_us; /* its first records may have been started */
    uint64_t since_us;  /* its last ones */
} s_span_t;

struct core_processing {
    core_consumer_t *consumer;
    core_timer_t timer; /* of the oldest span */
    uint64_t set_us;    /* the limit was changed, and nothing was overdue by the new one before */
    uint64_t end;       /* of the newest span, also if that is gone */
    unsigned first;     /* in the ring */
    unsigned count;
    s_span_t spans[SPANS];
};

static uint64_t s_limit_us (const core_consumer_t *consumer)
{
    return consumer->channel.stream->settings.max_processing_ms * 1000;
}

static void s_fire (leat_core_t *core, core_timer_t *timer);

static void s_set_timer (leat_core_t *core, core_processing_t *self)
{
    uint64_t limit_us = s_limit_us (self->consumer);
    if (self->count && limit_us)
        core_timer_set (core, &self->timer, self->spans[self->first].since_us + limit_us, s_fire);
    else
        core_timer_stop (core, &self->timer);
}

void core_processing_note (leat_core_t *core, core_consumer_t *consumer)
{
    uint64_t limit_us = s_limit_us (consumer);
    if (!limit_us)
        return;
    core_processing_t *self = consumer->processing;
    if (!self) {
        self = consumer->processing = leat_alloc (sizeof *self);
        self->consumer = consumer;
    }
    uint64_t end = consumer->reported + consumer->max_unreported;
    if (end > consumer->position)
        end = consumer->position;
    if (end <= self->end)
        return;
    self->end = end;
    s_span_t *last = self->count ? &self->spans[(self->first + self->count - 1) % SPANS] : NULL;
    if (last && (core->now_us - last->opened_us <= limit_us / 64 || self->count == SPANS)) {
        last->end = end;
        last->since_us = core->now_us;
        if (self->count == 1)
            s_set_timer (core, self);
        return;
    }
    s_span_t *span = &self->spans[(self->first + self->count) % SPANS];
    *span = (s_span_t){ .end = end, .opened_us = core->now_us, .since_us = core->now_us };
    if (++self->count == 1)
        s_set_timer (core, self);
}

void core_processing_changed (leat_core_t *core, core_stream_t *stream)
{
    core_group_t *group;
    RB_FOREACH (group, core_groups, &stream->groups) {
        core_consumer_t *consumer;
        TAILQ_FOREACH (consumer, &group->consumers, in_group) {
            if (!stream->settings.max_processing_ms) {
                core_processing_end (core, consumer);
                core_consumer_place (core, consumer);
                core_group_wake (core, group);
                continue;
            }
            core_processing_note (core, consumer);
            consumer->processing->set_us = core->now_us;
            s_set_timer (core, consumer->processing);
        }
    }
}

/* ---- overdue --------------------------------------------------------------------------------- */

/* Ranges on their way to a consumer, as many as a command takes. */
typedef struct {
    uint32_t count;
    leat_range_t entries[LEAT_ENTRIES_MAX];
} s_ranges_t;

static void s_send (leat_core_t *core, const core_consumer_t *consumer, s_ranges_t *ranges)
{
    if (!ranges->count)
        return;
    leat_command_t command = { .id = LEAT_REVOKED };
    command.revoked.channel = consumer->channel.number;
    command.revoked.code = LEAT_OVERDUE;
    command.revoked.ranges = (leat_ranges_t){ .count = ranges->count, .entries = ranges->entries };
    leat_outbox_command (core->outbox, consumer->channel.session->peer, &command);
    ranges->count = 0;
}

static void s_add (leat_core_t *core, const core_consumer_t *consumer, s_ranges_t *ranges,
                   leat_range_t range)
{
    ranges->entries[ranges->count++] = range;
    if (ranges->count == LEAT_ENTRIES_MAX)
        s_send (core, consumer, ranges);
}

/* Records of the lease at positions below `end`. */
static uint32_t s_below (const core_lease_t *lease, uint64_t end)
{
    if (lease->position >= end)
        return 0;
    return end - lease->position < lease->count ? (uint32_t) (end - lease->position) : lease->count;
}

/* The lease of the only record that the consumer has said it started and holds still; NULL
 * if there are several or none: then nobody can tell which one takes so long. Leases are in the order of
 * their positions, since epochs grow, and so do the offsets within one. */
static const core_lease_t *s_culprit (const core_consumer_t *consumer)
{
    const core_lease_t *first = RB_MIN (core_leases, (struct core_leases *) &consumer->leases);
    if (!first || s_below (first, consumer->reported) != 1)
        return NULL;
    const core_lease_t *second = RB_NEXT (core_leases, , (core_lease_t *) first);
    return second && s_below (second, consumer->reported) ? NULL : first;
}

static void s_overdue (leat_core_t *core, core_consumer_t *consumer, uint64_t first, uint32_t count,
                       core_mark_t *mark, void *arg)
{
    const bool *charged = arg;
    core->statistics.records_overdue += count;
    for (uint32_t i = 0; i < count; i++) {
        core_mark_t *each = mark ? mark : core_mark_make (core, consumer->group, first + i);
        if (!*charged || core_mark_charge (core, each, LEAT_OVERDUE))
            core_mark_suspect (core, each);
    }
}

/* Takes away what is held at positions below `end`. Returns how many records that were. */
static uint64_t s_revoke (leat_core_t *core, core_consumer_t *consumer, uint64_t end)
{
    s_ranges_t ranges = { .count = 0 };
    uint64_t taken = 0;
    bool charged = s_culprit (consumer);
    core_lease_t *lease;
    uint32_t count;
    while ((lease = RB_MIN (core_leases, &consumer->leases)) && (count = s_below (lease, end))) {
        if (charged)
            count = 1; /* the culprit is the first one */
        leat_range_t range = { lease->epoch, lease->first, count };
        s_add (core, consumer, &ranges, range);
        consumer->lost_epoch = lease->epoch;
        taken += core_leases_take (core, consumer, &range, false, s_overdue, &charged);
        charged = false;
    }
    s_send (core, consumer, &ranges);
    core_consumer_place (core, consumer);
    return taken;
}

/* ---- stuck ----------------------------------------------------------------------------------- */

void core_processing_balance (leat_core_t *core, core_group_t *group)
{
    core_consumer_t *consumer;
    if (!group->stuck_count)
        return;
    TAILQ_FOREACH (consumer, &group->consumers, in_group) {
        if (!consumer->stuck)
            continue;
        core_consumer_place (core, consumer);
        if (group->stuck_count < group->consumer_count)
            core_recall_all (core, consumer);
    }
    core_group_wake (core, group);
}

static void s_set_stuck (leat_core_t *core, core_consumer_t *consumer, bool stuck)
{
    if (consumer->stuck == stuck)
        return;
    consumer->stuck = stuck;
    consumer->group->stuck_count += stuck ? 1 : UINT32_MAX;
    core_consumer_place (core, consumer);
    core_group_wake (core, consumer->group);
    core_processing_balance (core, consumer->group);
}

void core_processing_alive (leat_core_t *core, core_consumer_t *consumer)
{
    s_set_stuck (core, consumer, false);
}

void core_processing_end (leat_core_t *core, core_consumer_t *consumer)
{
    if (consumer->stuck)
        consumer->group->stuck_count--;
    consumer->stuck = false;
    if (!consumer->processing)
        return;
    core_timer_stop (core, &consumer->processing->timer);
    free (consumer->processing);
    consumer->processing = NULL;
}

/* One that was not heard since may have frozen on another record, and what it said of this one, just
 * before, be stuck in it: then it is lost soon, with all that it holds. What it sent before it was heard
 * has arrived. */
static bool s_is_heard (leat_core_t *core, core_processing_t *self, uint64_t due_us)
{
    uint64_t spoke_us = self->consumer->channel.session->spoke_us;
    if (spoke_us >= due_us && spoke_us >= self->set_us)
        return true;
    uint64_t look_us = core->limits.heartbeat_interval * 1000 / 32 + 1;
    core_timer_set (core, &self->timer, core->now_us + look_us, s_fire);
    return false;
}

static void s_fire (leat_core_t *core, core_timer_t *timer)
{
    core_processing_t *self = CORE_OWNER (timer, core_processing_t, timer);
    core_consumer_t *consumer = self->consumer;
    const s_span_t span = self->spans[self->first];
    if (!s_is_heard (core, self, span.since_us + s_limit_us (consumer)))
        return;
    self->first = (self->first + 1) % SPANS;
    self->count--;
    s_set_timer (core, self);
    if (!s_revoke (core, consumer, span.end) || consumer->state == CORE_CONSUMER_LEAVING
        || consumer->busy_since_us > span.since_us)
        return;
    /* Nothing was settled since: perhaps it handles nothing at all any more, and what waits behind a
     * handler that never ends waits in vain. */
    core_recall_all (core, consumer);
    s_set_stuck (core, consumer, true);
}

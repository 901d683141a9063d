/* Who is asked for records that somebody else could handle earlier.
 * SPDX-License-Identifier: MPL-2.0 */

#include "broker/core/balance.h"

/*      now                                         end
 *       |----- holds, started ---|--- unstarted ----|     who would finish last, at `service` a record
 *       | way |---- takes ----|                           who has nothing to do
 *
 * The tail of the one goes to the other, as much as makes both finish at the same time. Asking costs
 * the way there and back and a delivery; it has to be worth that. */
static const uint64_t way_us = 1000;
static const uint64_t gain_us = 1000;

/* Who has not answered by then has nothing to give, or is in trouble: others are asked. */
static const uint64_t answer_us = 100000;

/* How many consumers are looked at, of those with nothing to do and of those with too much. */
enum { LOOKS = 8 };

/* When to look again whether it is worth it by now. */
static const uint64_t look_min_us = 2000;
static const uint64_t look_max_us = 1000000;

static void s_no_answer (leat_core_t *core, core_timer_t *timer)
{
    core_consumer_t *consumer = CORE_OWNER (timer, core_consumer_t, patience);
    consumer->group->recalled -= consumer->recalled;
    consumer->recalled = 0;
    core->statistics.recalls_unanswered++;
    core_group_wake (core, consumer->group);
}

void core_recall_over (leat_core_t *core, core_consumer_t *consumer)
{
    if (!consumer->recall_end)
        return;
    core_timer_stop (core, &consumer->patience);
    consumer->group->recalled -= consumer->recalled;
    consumer->recalled = 0;
    consumer->recall_end = 0;
}

void core_recall_started (leat_core_t *core, core_consumer_t *consumer)
{
    bool unsaid = consumer->recall_unsaid;
    uint32_t left = unsaid ? consumer->unsaid : consumer->unstarted;
    uint64_t begin = unsaid ? consumer->reported : core_consumer_boundary (consumer);
    if (!left || begin >= consumer->recall_end)
        core_recall_over (core, consumer);
}

/* Asks for its last `count` records, which it has not said it started. */
static void s_ask (leat_core_t *core, core_consumer_t *consumer, uint64_t count)
{
    leat_range_t ranges[LEAT_ENTRIES_MAX];
    uint32_t range_count = 0;
    uint64_t asked = 0;
    core_lease_t *lease = RB_MAX (core_leases, &consumer->leases);
    consumer->recall_end = lease->position + lease->count;
    for (; asked < count && range_count < LEAT_ENTRIES_MAX;
         lease = RB_PREV (core_leases, , lease)) {
        uint32_t part = count - asked < lease->count ? (uint32_t) (count - asked) : lease->count;
        ranges[range_count++] =
            (leat_range_t){ lease->epoch, lease->first + lease->count - part, part };
        asked += part;
    }
    consumer->recalled = (uint32_t) asked;
    consumer->recall_unsaid = asked > consumer->unstarted;
    consumer->group->recalled += asked;
    core->statistics.recalls++;
    leat_command_t command = { .id = LEAT_RECALL };
    command.recall.channel = consumer->channel.number;
    command.recall.ranges = (leat_ranges_t){ .count = range_count, .entries = ranges };
    leat_outbox_command (core->outbox, consumer->channel.session->peer, &command);
    core_timer_set (core, &consumer->patience, core->now_us + answer_us, s_no_answer);
    core_consumer_place (core, consumer);
}

void core_recall_all (leat_core_t *core, core_consumer_t *consumer)
{
    if (consumer->unsaid && !consumer->recall_end)
        s_ask (core, consumer, consumer->unsaid);
}

/* Who would finish last. Some that were expected to finish first may be late: look at those too. */
static core_consumer_t *s_last (leat_core_t *core, core_group_t *group)
{
    core_consumer_t *consumer;
    for (int i = 0; i < LOOKS; i++) {
        consumer = RB_MIN (core_holders, &group->holders);
        if (!consumer || consumer->end_us >= core->now_us)
            break;
        core_consumer_place (core, consumer);
    }
    core_consumer_t *last = RB_MAX (core_holders, &group->holders);
    consumer = last;
    for (int i = 0; i < LOOKS && consumer; i++) {
        core_consumer_t *before = RB_PREV (core_holders, &group->holders, consumer);
        core_consumer_place (core, consumer);
        if (consumer->end_us > last->end_us)
            last = consumer;
        consumer = before;
    }
    return last;
}

/* How long it is busy from now on. */
static double s_busy_us (const leat_core_t *core, const core_consumer_t *consumer)
{
    return consumer->end_us > core->now_us ? (double) (consumer->end_us - core->now_us) : 0;
}

/* How many records `to` should get of `from`; 0 if it is not worth it. */
static uint64_t s_count (const leat_core_t *core, const core_consumer_t *from,
                         const core_consumer_t *to)
{
    double from_us = core_consumer_service_us (core, from);
    double to_us = core_consumer_service_us (core, to);
    double ahead_us = s_busy_us (core, from) - s_busy_us (core, to) - (double) way_us;
    if (ahead_us < to_us + (double) gain_us)
        return 0;
    double count = ahead_us / (from_us + to_us);
    uint64_t most = core_consumer_ceiling (core, to);
    most = most > to->leased ? most - to->leased : 0;
    if (count > (double) most)
        count = (double) most;
    uint64_t fair = count < 1 ? 1 : (uint64_t) count;
    /* It may have got much when it was alone, or faster: what is too much by now comes back too. */
    uint64_t ceiling = core_consumer_ceiling (core, from);
    if (from->leased > ceiling && from->leased - ceiling > fair)
        fair = from->leased - ceiling;
    uint32_t askable = core_consumer_askable (from);
    return fair < askable ? fair : askable;
}

static void s_look_again (leat_core_t *core, core_timer_t *timer)
{
    core_group_t *group = CORE_OWNER (timer, core_group_t, second_look);
    group->looks_again = true;
    core_group_wake (core, group);
}

static void s_look_later (leat_core_t *core, core_group_t *group)
{
    const core_consumer_t *first = RB_MIN (core_holders, &group->holders);
    if (!first || group->second_look.due_us)
        return;
    uint64_t delay_us = first->end_us > core->now_us ? (first->end_us - core->now_us) / 4 : 0;
    if (delay_us < look_min_us)
        delay_us = look_min_us;
    if (delay_us > look_max_us)
        delay_us = look_max_us;
    core_timer_set (core, &group->second_look, core->now_us + delay_us, s_look_again);
}

/* Has it nothing to do, or will it before anything could come? */
static bool s_is_free (const leat_core_t *core, const core_consumer_t *consumer)
{
    return consumer && (consumer->idle || consumer->end_us <= core->now_us + way_us);
}

void core_recall (leat_core_t *core, core_group_t *group)
{
    uint64_t coming = group->recalled;
    core_consumer_t *to = RB_MIN (core_ready_consumers, &group->ready_consumers);
    bool any = s_is_free (core, to);
    group->looks_again = false;
    for (int i = 0; i < LOOKS && s_is_free (core, to) && !RB_EMPTY (&group->holders); i++) {
        core_consumer_t *next = RB_NEXT (core_ready_consumers, , to);
        uint64_t wanted = core_consumer_ceiling (core, to);
        if (coming) {
            coming -= coming < wanted ? coming : wanted;
        } else {
            core_consumer_t *from = s_last (core, group);
            uint64_t count = from && from != to ? s_count (core, from, to) : 0;
            if (!count)
                break; /* who comes next is slower, or has something to do */
            s_ask (core, from, count);
            if (count > wanted)
                coming += count - wanted;
        }
        to = next;
    }
    if (any)
        s_look_later (core, group);
}

/* Mostly what is read is there before anything could come back. But without memory, or where the store is
 * slower than those who wait for it, something is being read all the time, and what one has who is late
 * must not wait until all is read. */
void core_recall_while_reading (leat_core_t *core, core_group_t *group)
{
    if (group->looks_again)
        core_recall (core, group);
    else if (s_is_free (core, RB_MIN (core_ready_consumers, &group->ready_consumers)))
        s_look_later (core, group);
}

/* The model and balancing: how much consumers may be given, what may be asked back, and that nobody
 * idles beside one who has more than he can do.
 *
 * The core's estimates are not repeated here: what is checked follows from them whatever they are.
 *
 * SPDX-License-Identifier: MPL-2.0 */
#include "tests/simulation/model.h"
#include "tests/simulation/trace.h"

enum {
    FIRST_RECORDS = 2, /* that one gets who has settled nothing yet */
    GAIN_US = 3000,    /* so much earlier something has to be done elsewhere, ways included */
    LOOKS_US = 1500000 /* and so long it may take until that is seen */
};

static uint64_t s_boundary (const sim_channel_t *channel)
{
    return channel->reported + channel->max_unreported;
}

static bool s_takes (const sim_channel_t *channel, const sim_group_t *group)
{
    return channel->consumer && channel->group == group && channel->answered && !channel->ended
           && channel->credit_records && !channel->drained;
}

/* Records held at positions from `begin` on, and below `end`. */
static uint64_t s_held (const sim_channel_t *channel, uint64_t begin, uint64_t end)
{
    const sim_group_t *group = channel->group;
    uint64_t count = 0;
    /* What was perhaps gone when the group was made is done with, and may be handed out all the same. */
    for (size_t offset = 0; offset < group->marks_count; offset++) {
        const sim_mark_t *mark = &group->marks[offset];
        count += mark->holder == channel && mark->position >= begin && mark->position < end;
    }
    return count;
}

/* From which position on it may be asked for records. One that is busy with what it has reported is asked
 * for what it may have started without a word, too, and so may be one of which something was taken away. */
static uint64_t s_askable (const sim_channel_t *channel, bool away)
{
    bool is_busy = away || s_held (channel, 0, channel->reported);
    return is_busy ? channel->reported : s_boundary (channel);
}

static bool s_has_rival (const sim_t *sim, const sim_channel_t *channel)
{
    for (const sim_peer_t *peer = sim->model->peers; peer; peer = peer->next)
        for (const sim_channel_t *other = peer->channels; peer->live && other; other = other->next)
            if (other != channel && s_takes (other, channel->group))
                return true;
    return false;
}

/* ---- how much a consumer is given ------------------------------------------------------------- */

void sim_model_balance_settled (sim_t *sim, sim_channel_t *channel, uint64_t records)
{
    uint64_t each_us = (sim->now_us - channel->busy_since_us) / records + 1;
    if (channel->slowest_us < each_us)
        channel->slowest_us = each_us;
    if (channel->gathered < records)
        channel->gathered = records;
    channel->settled += records;
    channel->busy_since_us = sim->now_us;
}

/* Two at first, one more for each that it settles, and no more than it does in work_in_hand; of which
 * it does at most what it did at once when it last did something. */
static uint64_t s_ceiling (const sim_t *sim, const sim_channel_t *channel)
{
    uint64_t most = FIRST_RECORDS + channel->settled;
    uint64_t waited_us = channel->outstanding ? sim->now_us - channel->busy_since_us : 0;
    if (channel->settled && waited_us) {
        uint64_t work = sim->plan.limits.work_in_hand * 1000 * channel->gathered / waited_us;
        if (work < most)
            most = work > FIRST_RECORDS ? work : FIRST_RECORDS;
    }
    return most + most / 4; /* the rest of a batch may come along */
}

void sim_model_balance_delivered (sim_t *sim, sim_channel_t *channel, uint64_t count)
{
    uint64_t after = channel->outstanding + count;
    uint64_t most = s_ceiling (sim, channel);
    if (after > most && s_has_rival (sim, channel)
        && after > s_held (channel, 0, s_boundary (channel)) + 1)
        sim_violation (sim, "no consumer gets more than it can do soon, where others could",
                       "peer %llu, channel %u: %llu and %llu more, %llu are enough; %llu settled, "
                       "%llu us ago",
                       (unsigned long long) channel->peer->number, channel->number,
                       (unsigned long long) channel->outstanding, (unsigned long long) count,
                       (unsigned long long) most, (unsigned long long) channel->settled,
                       (unsigned long long) (sim->now_us - channel->busy_since_us));
    if (!channel->outstanding)
        channel->busy_since_us = sim->now_us;
}

/* ---- what is asked back ----------------------------------------------------------------------- */

/* Is something of what it was asked for held still, and not said to be started? What it has given back
 * damaged, or lost as overdue, it cannot answer for, and what it got later it was not asked for. */
static bool s_is_asked (const sim_channel_t *channel)
{
    uint64_t begin = channel->recall_unsaid ? channel->reported : s_boundary (channel);
    return s_held (channel, begin, channel->recall_end);
}

void sim_model_balance_recalled (sim_t *sim, sim_channel_t *channel, const leat_ranges_t *ranges)
{
    const char *wrong = NULL;
    SIM_COUNT (sim, recalls);
    if (s_is_asked (channel))
        wrong = "one RECALL at a time";
    channel->recall_end = 0;
    channel->recall_unsaid = false;
    channel->group->hoard_since_us = 0;
    for (uint32_t index = 0; index < ranges->count; index++) {
        leat_range_t range = leat_ranges_get (ranges, index);
        SIM_COUNT_MORE (sim, records_asked_back, range.count);
        for (uint64_t offset = range.first; offset < range.first + range.count; offset++) {
            const sim_mark_t *mark = &channel->group->marks[offset];
            if (offset >= channel->group->marks_count) {
                wrong = "what is asked back is held and was not started";
                break;
            }
            if (mark->holder != channel || mark->epoch != range.epoch
                || mark->position < s_askable (channel, channel->benched))
                wrong = "what is asked back is held and was not started";
            else if (channel->recall_end <= mark->position)
                channel->recall_end = mark->position + 1;
            channel->recall_unsaid |= mark->position < s_boundary (channel);
        }
    }
    if (wrong)
        sim_violation (sim, wrong, "peer %llu, channel %u, reported %llu",
                       (unsigned long long) channel->peer->number, channel->number,
                       (unsigned long long) channel->reported);
}

void sim_model_balance_returned (sim_channel_t *channel)
{
    channel->recall_end = 0;
}

/* ---- idleness beside too much work ------------------------------------------------------------ */

/* Time per record that the core may believe of an idle consumer, at most. */
static uint64_t s_slowest (const sim_t *sim, const sim_channel_t *idle)
{
    uint64_t slowest_us = idle->slowest_us ? idle->slowest_us : 1000;
    for (const sim_peer_t *peer = sim->model->peers; peer && !idle->settled; peer = peer->next)
        for (const sim_channel_t *other = peer->channels; peer->live && other; other = other->next)
            if (s_takes (other, idle->group) && other->slowest_us > slowest_us)
                slowest_us = other->slowest_us;
    return slowest_us;
}

/* Has it unstarted records, is late by all that is known of it, and slower by now than the other? One that has
 * reported nothing of what it holds is busy with the first, also after something else was taken away, unless
 * it has settled nothing since that was started: then it is stuck, and must be asked for all. */
static bool s_hoards (const sim_t *sim, const sim_channel_t *channel, uint64_t slowest_us)
{
    uint64_t waited_us = sim->now_us - channel->busy_since_us;
    uint64_t gathered = channel->gathered ? channel->gathered : 1;
    return channel->outstanding > 1 && waited_us > gathered * channel->slowest_us
           && 2 * waited_us / gathered > slowest_us + GAIN_US && !channel->recall_end
           && s_held (channel, s_askable (channel, channel->stuck), UINT64_MAX);
}

/* Who idles and who hoards, if there are both. */
typedef struct {
    const sim_channel_t *idle;
    const sim_channel_t *hoards;
} s_pair_t;

static bool s_find_pair (const sim_t *sim, const sim_group_t *group, s_pair_t *pair)
{
    *pair = (s_pair_t){ 0 };
    for (const sim_peer_t *peer = sim->model->peers; peer && !pair->idle; peer = peer->next)
        for (const sim_channel_t *channel = peer->channels; peer->live && channel && !pair->idle;
             channel = channel->next)
            if (s_takes (channel, group) && !channel->outstanding && !channel->benched)
                pair->idle = channel;
    if (!pair->idle)
        return false;
    uint64_t slowest_us = s_slowest (sim, pair->idle);
    for (const sim_peer_t *peer = sim->model->peers; peer; peer = peer->next)
        for (const sim_channel_t *channel = peer->channels; peer->live && channel;
             channel = channel->next)
            if (s_takes (channel, group) && s_hoards (sim, channel, slowest_us))
                pair->hoards = channel;
    return pair->hoards;
}

void sim_model_balance_check (sim_t *sim, const sim_stream_t *stream, sim_group_t *group)
{
    s_pair_t pair;
    if (!s_find_pair (sim, group, &pair)) {
        group->hoard_since_us = 0;
        return;
    }
    if (!group->hoard_since_us)
        group->hoard_since_us = sim->now_us;
    SIM_COUNT (sim, hoards_seen);
    if (sim->now_us - group->hoard_since_us > LOOKS_US)
        sim_violation (sim, "nobody idles beside one who has too much",
                       "stream %s, group %s, for %llu us: peer %llu, channel %u, and peer %llu, "
                       "channel %u, which holds %llu",
                       stream->name, group->name,
                       (unsigned long long) (sim->now_us - group->hoard_since_us),
                       (unsigned long long) pair.idle->peer->number, pair.idle->number,
                       (unsigned long long) pair.hoards->peer->number, pair.hoards->number,
                       (unsigned long long) pair.hoards->outstanding);
}

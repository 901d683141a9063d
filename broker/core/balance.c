/* How much a consumer should have in hand, and when it will be done with it.
 * SPDX-License-Identifier: MPL-2.0 */

#include "broker/core/balance.h"

/* What hides a round trip, and what a client takes to gather its settles: a consumer that has so much
 * left to do does not idle before more comes. */
static const double round_trip_us = 2000;

/* A slice is not cut below what its consumer does in this time: smaller ones cost more than they
 * balance. */
static const double slice_us = 1000;

/* With as much in hand no more than this part of it is sent at once, so that fast consumers get a few
 * large slices instead of one for each settle. */
enum { PARTS = 8 };

/* A consumer that has settled nothing yet gets so many: a record may take a second, and those who come
 * next want some too. Alone on a group it gets more, so that batches need not be cut. */
enum { RAMP_FIRST = 2, RAMP_ALONE = 1000, RAMP_MAX = 1 << 30 };

/* For consumers of which nothing is known, in a group of which nothing is known. */
static const double service_unknown_us = 100;

/* Largest number of records that shares are computed of, so that products stay in 64 bits. */
static const uint64_t records_max = UINT64_C (1) << 24;

/* The rate of the consumer; if it is not known, that of an average one of its group, or 0. */
static uint64_t s_rate (const core_consumer_t *consumer)
{
    const core_group_t *group = consumer->group;
    if (consumer->rate || !group->rate_count)
        return consumer->rate;
    return group->rate / group->rate_count;
}

/* What of so many records is its part, by its rate. */
static uint64_t s_share (const core_consumer_t *consumer, uint64_t records)
{
    const core_group_t *group = consumer->group;
    uint64_t rate = s_rate (consumer);
    if (!rate)
        return records / group->taker_count;
    if (records > records_max)
        records = records_max;
    uint64_t known = group->rate / group->rate_count;
    uint64_t all = group->rate + known * (group->taker_count - group->rate_count);
    return records * (rate / 16 + 1) / (all / 16 + 1);
}

double core_consumer_service_us (const leat_core_t *core, const core_consumer_t *consumer)
{
    uint64_t waited_us = consumer->leased ? core->now_us - consumer->busy_since_us : 0;
    double service_us = core_pace_service_us (&consumer->pace, waited_us);
    if (consumer->pace.service_us > 0)
        return service_us;
    uint64_t rate = s_rate (consumer);
    double usual_us = rate ? 1e9 / (double) rate : service_unknown_us;
    return service_us > usual_us ? service_us : usual_us;
}

uint64_t core_consumer_end_us (const leat_core_t *core, const core_consumer_t *consumer)
{
    if (!consumer->leased)
        return core->now_us;
    double work_us = core_consumer_service_us (core, consumer) * consumer->leased;
    uint64_t waited_us = core->now_us - consumer->busy_since_us;
    double gathered = consumer->pace.gathered > 1 ? consumer->pace.gathered : 1;
    double usual_us = consumer->pace.service_us * gathered;
    /* On time: its work began with the last settle. Late: all of it is still to be done. */
    bool late = consumer->pace.service_us <= 0 || (double) waited_us > usual_us;
    uint64_t end_us = (late ? core->now_us : consumer->busy_since_us) + (uint64_t) work_us;
    return end_us > core->now_us ? end_us : core->now_us;
}

uint64_t core_consumer_ceiling (const leat_core_t *core, const core_consumer_t *consumer)
{
    const core_group_t *group = consumer->group;
    bool alone = group->taker_count == 1;
    uint64_t ramp = consumer->ramp + (alone ? RAMP_ALONE : RAMP_FIRST);
    uint64_t most = ramp;
    if (consumer->pace.service_us > 0) {
        double service_us = core_consumer_service_us (core, consumer);
        double target = (double) core->limits.work_in_hand * 1000 / service_us;
        double least = round_trip_us / service_us;
        if (target < (double) most)
            most = (uint64_t) target;
        /* Half of its part of what is left, so that all finish together. */
        uint64_t share = s_share (consumer, core_group_ready (group) + group->leased) / 2;
        if (!alone && share < most)
            most = share;
        if ((double) most < least)
            most = (uint64_t) least;
        if (most < RAMP_FIRST)
            most = RAMP_FIRST;
        if (most > ramp)
            most = ramp;
    }
    /* What it may have started, with as many workers as it has, and one more. */
    uint64_t started = consumer->leased - consumer->unstarted;
    return most > started ? most : started + 1;
}

uint64_t core_consumer_portion (const leat_core_t *core, const core_consumer_t *consumer)
{
    uint64_t most = core_consumer_ceiling (core, consumer);
    uint64_t part = consumer->leased ? most / PARTS : 0;
    if (most <= consumer->leased || most - consumer->leased < part)
        return 0;
    uint64_t count = most - consumer->leased;
    if (consumer->group->taker_count == 1)
        return count;
    /* While others want some too, not more than its part of what is ready. */
    uint64_t share = s_share (consumer, core_group_ready (consumer->group));
    uint64_t brisk = (uint64_t) (slice_us / core_consumer_service_us (core, consumer));
    uint64_t fair = share > brisk ? share : brisk;
    if (!fair)
        fair = 1;
    return count < fair ? count : fair;
}

void core_consumer_counts (core_consumer_t *consumer, bool takes)
{
    core_group_t *group = consumer->group;
    uint64_t rate = takes ? core_pace_rate (&consumer->pace) : 0;
    group->taker_count += takes - consumer->takes;
    group->rate += rate - consumer->rate;
    group->rate_count += (rate > 0) - (consumer->rate > 0);
    consumer->takes = takes;
    consumer->rate = rate;
}

void core_consumer_settled (leat_core_t *core, core_consumer_t *consumer, uint32_t count)
{
    core_rate_count (core, &consumer->channel, count);
    core_pace_settled (&consumer->pace, core->now_us - consumer->busy_since_us, count,
                       consumer->fresh);
    consumer->busy_since_us = core->now_us;
    consumer->fresh = false;
    consumer->ramp = count < RAMP_MAX - consumer->ramp ? consumer->ramp + count : RAMP_MAX;
    core_recall_started (core, consumer);
    core_consumer_place (core, consumer);
}

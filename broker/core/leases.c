/* Leases: who has which records, and what becomes of them when they end.
 * SPDX-License-Identifier: MPL-2.0 */

#include "broker/core/balance.h"
#include "broker/core/processing.h"

static int core_lease_compare (const core_lease_t *a, const core_lease_t *b)
{
    if (a->epoch != b->epoch)
        return a->epoch < b->epoch ? -1 : 1;
    return (a->first > b->first) - (a->first < b->first);
}

RB_GENERATE (core_leases, core_lease, by_epoch, core_lease_compare)

/* ---- what was certainly not started ----------------------------------------------------------- */

/*      position     0 ------- reported ----- boundary -------------- consumer->position
 *                                 \_ max_unreported _/
 *      records      perhaps started, or gone       | unstarted, or given back
 *                                |------ unsaid ------------------------
 */
uint64_t core_consumer_boundary (const core_consumer_t *consumer)
{
    return consumer->reported + consumer->max_unreported;
}

uint32_t core_consumer_askable (const core_consumer_t *consumer)
{
    return consumer->unsaid < consumer->leased ? consumer->unsaid : consumer->unstarted;
}

/* How many of `count` records from `position` on are at or beyond the boundary, whichever that is. */
static uint32_t s_unstarted_in (uint64_t position, uint32_t count, uint64_t boundary)
{
    if (position >= boundary)
        return count;
    uint64_t started = boundary - position;
    return started < count ? (uint32_t) (count - started) : 0;
}

/* The first lease that ends beyond a position; epochs and positions grow together. */
static core_lease_t *s_lease_beyond (core_consumer_t *consumer, uint64_t position)
{
    core_lease_t *found = NULL;
    core_lease_t *lease = RB_ROOT (&consumer->leases);
    while (lease) {
        bool beyond = lease->position + lease->count > position;
        if (beyond)
            found = lease;
        lease = beyond ? RB_LEFT (lease, by_epoch) : RB_RIGHT (lease, by_epoch);
    }
    return found;
}

/* How many records it holds at positions from `begin` on and below `end`. */
static uint32_t s_held_between (core_consumer_t *consumer, uint64_t begin, uint64_t end)
{
    uint32_t held = 0;
    core_lease_t *lease = s_lease_beyond (consumer, begin);
    for (; lease && lease->position < end; lease = RB_NEXT (core_leases, , lease))
        held += s_unstarted_in (lease->position, lease->count, begin)
                - s_unstarted_in (lease->position, lease->count, end);
    return held;
}

void core_consumer_reported (core_consumer_t *consumer, uint64_t position)
{
    if (position <= consumer->reported)
        return;
    uint64_t boundary = core_consumer_boundary (consumer);
    consumer->unsaid -= s_held_between (consumer, consumer->reported, position);
    consumer->reported = position;
    consumer->unstarted -= s_held_between (consumer, boundary, core_consumer_boundary (consumer));
}

/* ---- leases ---------------------------------------------------------------------------------- */

core_lease_t *core_lease_make (leat_core_t *core, core_consumer_t *consumer, uint64_t first,
                               uint32_t count, uint64_t size, core_mark_t *mark)
{
    if (!consumer->leased) {
        consumer->busy_since_us = core->now_us;
        consumer->fresh = true;
    }
    core_lease_t *lease = leat_alloc (sizeof *lease);
    lease->epoch = core_next_epoch (core);
    lease->first = first;
    lease->count = count;
    lease->size = size;
    lease->position = consumer->position;
    lease->mark = mark;
    RB_INSERT (core_leases, &consumer->leases, lease);
    consumer->unstarted +=
        s_unstarted_in (lease->position, count, core_consumer_boundary (consumer));
    consumer->unsaid += s_unstarted_in (lease->position, count, consumer->reported);
    consumer->position += count;
    consumer->leased += count;
    consumer->leased_size += size;
    consumer->group->leased += count;
    core_processing_note (core, consumer);
    return lease;
}

static void s_lease_drop (core_consumer_t *consumer, core_lease_t *lease)
{
    RB_REMOVE (core_leases, &consumer->leases, lease);
    free (lease);
}

/* Bytes of records of a lease, which may be of several batches. */
static uint64_t s_size (core_stream_t *stream, uint64_t first, uint32_t count)
{
    uint64_t end = first + count;
    uint64_t size = 0;
    core_batch_t *batch = core_batch_at (stream, first);
    for (;;) {
        leat_assert (batch);
        uint64_t until = batch->first + batch->count < end ? batch->first + batch->count : end;
        size += core_batch_size (batch, first, (uint32_t) (until - first));
        if (until == end)
            return size;
        first = until;
        batch = RB_NEXT (core_batches, , batch);
    }
}

static void s_unlease (leat_core_t *core, core_stream_t *stream, uint64_t first, uint32_t count)
{
    uint64_t end = first + count;
    core_batch_t *batch = core_batch_at (stream, first);
    for (;;) {
        leat_assert (batch);
        uint64_t until = batch->first + batch->count < end ? batch->first + batch->count : end;
        core_batch_unlease (core, batch, until - first);
        if (until == end)
            return;
        first = until;
        batch = RB_NEXT (core_batches, , batch);
    }
}

/*      lease    |------------------------|
 *      taken          |--------|
 *      stays    |-----|        |---------|     under the same epoch
 */
static void s_take_part (leat_core_t *core, core_consumer_t *consumer, core_lease_t *lease,
                         uint64_t first, uint32_t count, bool started, core_lease_fn *fn, void *arg)
{
    core_mark_t *mark = lease->mark;
    uint64_t position = lease->position + (first - lease->first) + count;
    uint64_t size = lease->size;
    uint64_t end = lease->first + lease->count;
    core_stream_t *stream = consumer->group->stream;
    s_unlease (core, stream, first, count);
    if (count < lease->count) {
        size = s_size (stream, first, count);
        if (first + count < end) {
            core_lease_t *rest = leat_alloc (sizeof *rest);
            rest->epoch = lease->epoch;
            rest->first = first + count;
            rest->count = (uint32_t) (end - rest->first);
            rest->position = position;
            rest->size = first == lease->first ? lease->size - size
                                               : s_size (stream, rest->first, rest->count);
            RB_INSERT (core_leases, &consumer->leases, rest);
            lease->size -= rest->size;
        }
        lease->count = (uint32_t) (first - lease->first);
        lease->size -= size;
    } else {
        lease->count = 0;
    }
    if (!lease->count)
        s_lease_drop (consumer, lease);
    consumer->unstarted -=
        s_unstarted_in (position - count, count, core_consumer_boundary (consumer));
    consumer->unsaid -= s_unstarted_in (position - count, count, consumer->reported);
    consumer->leased -= count;
    consumer->leased_size -= size;
    consumer->group->leased -= count;
    if (started && consumer->reported < position) {
        core_consumer_reported (consumer, position);
        core_processing_note (core, consumer);
    }
    fn (core, consumer, first, count, mark, arg);
}

uint32_t core_leases_take (leat_core_t *core, core_consumer_t *consumer, const leat_range_t *range,
                           bool started, core_lease_fn *fn, void *arg)
{
    core_lease_t key = { .epoch = range->epoch, .first = range->first };
    core_lease_t *lease = RB_NFIND (core_leases, &consumer->leases, &key);
    core_lease_t *before =
        lease ? RB_PREV (core_leases, , lease) : RB_MAX (core_leases, &consumer->leases);
    if (before && before->epoch == range->epoch && before->first + before->count > range->first)
        lease = before;
    uint64_t end = range->first + range->count;
    uint32_t taken = 0;
    while (lease && lease->epoch == range->epoch && lease->first < end) {
        core_lease_t *next = RB_NEXT (core_leases, , lease);
        uint64_t from = lease->first > range->first ? lease->first : range->first;
        uint64_t to = lease->first + lease->count < end ? lease->first + lease->count : end;
        s_take_part (core, consumer, lease, from, (uint32_t) (to - from), started, fn, arg);
        taken += (uint32_t) (to - from);
        lease = next;
    }
    if (taken)
        core_group_wake (core, consumer->group);
    return taken;
}

/* ---- a consumer is gone ---------------------------------------------------------------------- */

/* The record may have been started. `to_blame`: nothing else can have ended its consumer. */
static void s_suspect (leat_core_t *core, core_group_t *group, uint64_t offset, core_mark_t *mark,
                       bool to_blame)
{
    core->statistics.records_suspect++;
    if (!mark)
        mark = core_mark_make (core, group, offset);
    if (!to_blame || core_mark_charge (core, mark, LEAT_TIMED_OUT))
        core_mark_suspect (core, mark);
}

/* Below which position records may have been started by a consumer that is lost. Its last REPORT may
 * be lost with it; but as it starts records in their order, the first one that it holds was started
 * before any other. */
static uint64_t s_lost_boundary (const core_consumer_t *consumer)
{
    const core_lease_t *first = RB_MIN (core_leases, (struct core_leases *) &consumer->leases);
    uint64_t boundary = core_consumer_boundary (consumer);
    return first && boundary <= first->position ? first->position + 1 : boundary;
}

void core_leases_end (leat_core_t *core, core_consumer_t *consumer, bool clean)
{
    core_group_t *group = consumer->group;
    uint64_t boundary = clean ? 0 : s_lost_boundary (consumer);
    /* Beside others a lost REPORT, or SETTLE, leaves it open which of them it was. */
    bool to_blame = consumer->leased == 1;
    core_lease_t *lease;
    while ((lease = RB_MIN (core_leases, &consumer->leases))) {
        uint32_t unstarted = s_unstarted_in (lease->position, lease->count, boundary);
        uint32_t started = lease->count - unstarted;
        group->leased -= lease->count;
        s_unlease (core, group->stream, lease->first, lease->count);
        for (uint32_t i = 0; i < started; i++)
            s_suspect (core, group, lease->first + i, lease->mark, to_blame);
        if (unstarted)
            core_group_give_back (core, group, lease->first + started, unstarted, lease->mark);
        s_lease_drop (consumer, lease);
    }
    consumer->leased = 0;
    consumer->leased_size = 0;
    consumer->unstarted = 0;
    consumer->unsaid = 0;
    core_group_wake (core, group);
}

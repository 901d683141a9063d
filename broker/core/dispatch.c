/* Who gets which records next.
 * SPDX-License-Identifier: MPL-2.0 */

#include "broker/core/balance.h"

/* A consumer that is to run dry for a suspect and does not is let go after this. */
static const uint64_t patience_us = 1000000;

/* How many consumers are looked at for one that was not let go lately. */
enum { ISOLATION_CHOICES = 8 };

/* ---- consumers with credit: who would finish one record more first ---------------------------- */

/* Those that hold nothing come first, in the order of their speed, of which only so much is looked at
 * that about equal ones take turns. The others follow by the time at which they would finish. */
static int core_consumer_compare (const core_consumer_t *a, const core_consumer_t *b)
{
    if (a->idle != b->idle)
        return a->idle ? -1 : 1;
    if (a->next_us != b->next_us)
        return a->next_us < b->next_us ? -1 : 1;
    return (a->served > b->served) - (a->served < b->served);
}

static int core_holder_compare (const core_consumer_t *a, const core_consumer_t *b)
{
    if (a->end_us != b->end_us)
        return a->end_us < b->end_us ? -1 : 1;
    return (a->served > b->served) - (a->served < b->served);
}

RB_GENERATE (core_ready_consumers, core_consumer, by_next, core_consumer_compare)
RB_GENERATE (core_holders, core_consumer, by_end, core_holder_compare)

static void s_remove (core_consumer_t *consumer)
{
    if (!consumer->placed)
        return;
    RB_REMOVE (core_ready_consumers, &consumer->group->ready_consumers, consumer);
    consumer->placed = false;
}

static void s_remove_holder (core_consumer_t *consumer)
{
    if (!consumer->holds)
        return;
    RB_REMOVE (core_holders, &consumer->group->holders, consumer);
    consumer->holds = false;
}

static void s_wait_no_more (core_consumer_t *consumer)
{
    if (!consumer->waits)
        return;
    TAILQ_REMOVE (consumer->waits, consumer, in_waits);
    consumer->group->waiting_count--;
    consumer->waits = NULL;
}

/* For a suspect: in group->drying, or group->dry. */
static void s_wait_in (core_consumer_t *consumer, struct core_isolating *list)
{
    if (consumer->waits == list)
        return;
    s_wait_no_more (consumer);
    TAILQ_INSERT_TAIL (list, consumer, in_waits);
    consumer->group->waiting_count++;
    consumer->waits = list;
}

static void s_isolation_end (core_consumer_t *consumer)
{
    if (consumer->state != CORE_CONSUMER_ISOLATING)
        return;
    s_wait_no_more (consumer);
    consumer->group->isolating_count--;
    consumer->state = CORE_CONSUMER_FULL;
    consumer->holds_suspect = false;
}

void core_consumer_unplace (leat_core_t *core, core_consumer_t *consumer)
{
    s_remove (consumer);
    s_remove_holder (consumer);
    s_isolation_end (consumer);
    core_recall_over (core, consumer);
    core_consumer_counts (consumer, false);
}

/* It is to leave; or its handlers seem to hang, and others of its group do not. */
static bool s_gets_nothing (const core_consumer_t *consumer)
{
    return consumer->draining
           || (consumer->stuck && consumer->group->stuck_count < consumer->group->consumer_count);
}

/* Rounded up to a power of two, or one and a half times that, in nanoseconds. */
static uint64_t s_speed_class (double service_us)
{
    double service_ns = service_us * 1000;
    uint64_t class_ns = 4;
    while ((double) class_ns < service_ns)
        class_ns *= 2;
    uint64_t lower_ns = class_ns / 4 * 3;
    return service_ns <= (double) lower_ns ? lower_ns : class_ns;
}

static void s_place_ready (const leat_core_t *core, core_consumer_t *consumer)
{
    bool room = !s_gets_nothing (consumer) && consumer->leased < consumer->credit_records
                && (consumer->leased_size < consumer->credit_size || !consumer->leased);
    consumer->state = room ? CORE_CONSUMER_READY : CORE_CONSUMER_FULL;
    if (!room)
        return;
    double service_us = core_consumer_service_us (core, consumer);
    consumer->idle = !consumer->leased;
    consumer->next_us =
        consumer->idle ? s_speed_class (service_us) : consumer->end_us + (uint64_t) service_us;
    consumer->placed = true;
    RB_INSERT (core_ready_consumers, &consumer->group->ready_consumers, consumer);
}

/* It holds its suspect, runs dry for one, waits for one, or is let go. */
static void s_place_isolating (const leat_core_t *core, core_consumer_t *consumer)
{
    core_group_t *group = consumer->group;
    consumer->holds_suspect = consumer->holds_suspect && consumer->leased;
    if (consumer->holds_suspect) {
        s_wait_no_more (consumer);
    } else if (consumer->credit_records && !s_gets_nothing (consumer)) {
        s_wait_in (consumer, consumer->leased ? &group->drying : &group->dry);
    } else {
        s_isolation_end (consumer);
        consumer->isolating_since_us = core->now_us;
    }
}

void core_consumer_place (leat_core_t *core, core_consumer_t *consumer)
{
    s_remove (consumer);
    s_remove_holder (consumer);
    if (consumer->state == CORE_CONSUMER_LEAVING)
        return;
    core_consumer_counts (consumer, consumer->credit_records && !consumer->draining);
    consumer->end_us = core_consumer_end_us (core, consumer);
    if (core_consumer_askable (consumer) && !consumer->recall_end) {
        consumer->holds = true;
        RB_INSERT (core_holders, &consumer->group->holders, consumer);
    }
    if (consumer->state == CORE_CONSUMER_ISOLATING)
        s_place_isolating (core, consumer);
    if (consumer->state != CORE_CONSUMER_ISOLATING)
        s_place_ready (core, consumer);
}

/* One that should have finished by now is looked at again: as long as it does not settle it counts as
 * slower and slower, so this happens ever more rarely. */
static core_consumer_t *s_first_busy (leat_core_t *core, core_group_t *group)
{
    core_consumer_t key = { .idle = false };
    core_consumer_t *consumer;
    while ((consumer = RB_NFIND (core_ready_consumers, &group->ready_consumers, &key))
           && consumer->next_us < core->now_us)
        core_consumer_place (core, consumer);
    return consumer;
}

/* Who would finish the next record first. */
static core_consumer_t *s_first (leat_core_t *core, core_group_t *group)
{
    core_consumer_t *busy = s_first_busy (core, group);
    core_consumer_t *idle = RB_MIN (core_ready_consumers, &group->ready_consumers);
    if (!busy || !idle || !idle->idle)
        return idle;
    uint64_t idle_us = core->now_us + (uint64_t) core_consumer_service_us (core, idle);
    return busy->next_us < idle_us ? busy : idle;
}

/* ---- handing out ----------------------------------------------------------------------------- */

/* What follows in small batches goes along in the same message, and lease: else most of what a record
 * costs, here and at the consumer, would be what a message costs. Larger slices gain less than their copy
 * costs. */
enum { JOINED_SLICE_SIZE = 4096 };

/*      batches  |   batch    | whole | whole |
 *      run             |------------------|
 *                      |slice|
 */
typedef struct {
    core_batch_t *batch;
    core_batch_t *last;
    uint64_t first;
    uint32_t slice_count; /* records of `batch` */
    uint32_t count;       /* and of those behind it */
    leat_slice_t slice;   /* of `batch` */
    uint64_t size;        /* bytes in all */
} s_run_t;

/* The first `count` of the records of a batch, or as many as are in one piece. */
static s_run_t s_run_of (core_batch_t *batch, uint64_t first, uint32_t count)
{
    s_run_t run = { .batch = batch, .last = batch, .first = first };
    run.slice = core_batch_slice (batch, first, &count);
    run.slice_count = count;
    run.count = count;
    run.size = run.slice.size;
    return run;
}

/* Sends the batches that follow on the first one along with it. */
static void s_send_joined (leat_core_t *core, const s_run_t *run, leat_batch_t *header)
{
    core_batch_t *batch = run->batch;
    for (uint32_t sent = run->slice_count; sent < run->count; sent += header->count) {
        batch = RB_NEXT (core_batches, , batch);
        header->attributes = batch->attributes;
        header->count = (uint32_t) batch->count;
        header->crc32c = batch->crc32c;
        header->first = batch->first;
        header->time_ms = batch->time_ms;
        header->size = (uint32_t) leat_buffer_size (batch->body);
        core_batch_lease (batch, batch->count);
        leat_outbox_join (core->outbox, header, leat_slice_whole (batch->body));
        core->statistics.slices_joined++;
    }
}

/* Leases the records of a run to the consumer and sends them. */
static void s_deliver (leat_core_t *core, core_consumer_t *consumer, const s_run_t *run,
                       core_mark_t *mark)
{
    core_group_t *group = consumer->group;
    core_batch_t *batch = run->batch;
    core_batch_lease (batch, run->slice_count);
    core_lease_t *lease = core_lease_make (core, consumer, run->first, run->count, run->size, mark);
    bool whole = !batch->parts && run->slice_count == batch->count;
    leat_batch_t header = {
        .command = LEAT_DELIVER,
        .attributes = batch->attributes,
        .channel = consumer->channel.number,
        .count = run->slice_count,
        .crc32c =
            whole ? batch->crc32c : leat_crc32c (leat_slice_bytes (run->slice), run->slice.size),
        .first = run->first,
        .time_ms = batch->time_ms,
        .epoch = lease->epoch,
        .size = (uint32_t) run->slice.size,
        .attempt = 1,
    };
    if (mark) {
        header.attempt = mark->attempts + 1;
        header.flags = mark->redelivered ? LEAT_DELIVER_REDELIVERED : 0;
        core_mark_set (core, mark, CORE_MARK_LEASED);
        consumer->redelivered += mark->redelivered;
        group->redelivered_count += mark->redelivered;
        core->statistics.records_redelivered += mark->redelivered;
    }
    core->statistics.records_delivered += run->count;
    core->statistics.slices_cut += !whole;
    leat_outbox_batch (core->outbox, consumer->channel.session->peer, &header, run->slice);
    s_send_joined (core, run, &header);
    s_remove (consumer);
    s_remove_holder (consumer);
    consumer->served = ++core->serial; /* which orders them */
    core_consumer_place (core, consumer);
}

/* Ready records in the order in which they go out: returned ones first, because they are the
 * oldest, then those whose delay is over, then fresh ones. */
typedef struct {
    uint64_t first;
    uint64_t count;
    core_mark_t *mark;
    core_range_t *range;
} s_work_t;

static bool s_next_work (leat_core_t *core, core_group_t *group, s_work_t *work)
{
    *work = (s_work_t){ 0 };
    core_stream_t *stream = group->stream;
    if ((work->range = RB_MIN (core_ranges, &group->returned))) {
        work->first = work->range->first;
        work->count = work->range->count;
    } else if ((work->mark = TAILQ_FIRST (&group->ready_marks))) {
        work->first = work->mark->offset;
        work->count = 1;
    } else if (group->cursor < stream->committed_offset) {
        /* Parked records wait for somebody to look at them; they hold nobody up. */
        uint64_t marked = group->mark_count - group->mark_counts[CORE_MARK_PARKED];
        if (marked >= core->limits.marked_records) {
            core_limit_hit (core, LEAT_LIMIT_marked_records);
            return false;
        }
        work->first = group->cursor;
        work->count = stream->committed_offset - group->cursor;
    }
    return work->count;
}

static void s_take_work (core_group_t *group, const s_work_t *work, uint32_t count)
{
    core_range_t *range = work->range;
    if (range) {
        /* The range keeps its place in the order: nothing lies between its old and new start. */
        range->first += count;
        range->count -= count;
        group->returned_count -= count;
        if (!range->count) {
            RB_REMOVE (core_ranges, &group->returned, range);
            free (range);
        }
    } else if (!work->mark) {
        group->cursor += count;
    }
}

/* How many records at once; 0 if the consumer has enough for now, or has no credit for the next
 * record. */
static uint32_t s_portion (const leat_core_t *core, const core_consumer_t *consumer,
                           core_batch_t *batch, const s_work_t *work)
{
    uint64_t count = core_consumer_portion (core, consumer);
    uint64_t left = batch->first + batch->count - work->first;
    uint64_t credit = consumer->credit_records - consumer->leased;
    /* What would be left of the batch is not worth a cut, or nobody else is there to have it. */
    if (count && (consumer->group->taker_count == 1 || left <= count + count / 4))
        count = left;
    if (count > work->count)
        count = work->count;
    if (count > left)
        count = left;
    if (count > credit)
        count = credit;
    if (!count)
        return 0;
    uint64_t room = consumer->credit_size > consumer->leased_size
                        ? consumer->credit_size - consumer->leased_size
                        : 0;
    uint32_t fits = core_batch_fit (batch, work->first, (uint32_t) count, room);
    return fits || consumer->leased ? fits : 1;
}

/* The batch of the work; NULL if it is away: then it is asked for, a marked record alone. Asking may make
 * memory, which joins nodes that are away: no pointer to one outlives it. */
static core_batch_t *s_batch_of (leat_core_t *core, core_group_t *group, const s_work_t *work)
{
    core_stream_t *stream = group->stream;
    core_batch_t *batch = core_batch_at (stream, work->first);
    leat_assert (batch);
    if (batch->away) {
        core_read (core, group, work->first, !work->mark);
        return NULL;
    }
    return batch;
}

/* How many records the consumer should get of what is ready, in all. */
static uint64_t s_most (const leat_core_t *core, const core_consumer_t *consumer,
                        const s_work_t *work)
{
    uint64_t most = core_consumer_portion (core, consumer);
    uint64_t credit = consumer->credit_records - consumer->leased;
    if (most > work->count)
        most = work->count;
    return most < credit ? most : credit;
}

static bool s_is_small (const core_batch_t *batch)
{
    return !batch->away && !batch->parts && leat_buffer_size (batch->body) <= JOINED_SLICE_SIZE;
}

/* May more records than those of the run, which are of one batch, go along? */
static bool s_is_joinable (const core_consumer_t *consumer, const s_run_t *run,
                           const s_work_t *work)
{
    uint64_t end = run->first + run->count;
    return end < work->first + work->count && end == run->batch->first + run->batch->count
           && !work->mark && s_is_small (run->batch)
           && consumer->leased_size + run->size < consumer->credit_size;
}

static void s_join (const leat_core_t *core, const core_consumer_t *consumer, s_run_t *run,
                    const s_work_t *work)
{
    uint64_t most = s_most (core, consumer, work);
    uint64_t room = consumer->credit_size - consumer->leased_size;
    if (room > LEAT_SLICES_SIZE_MAX)
        room = LEAT_SLICES_SIZE_MAX;
    core_batch_t *next = RB_NEXT (core_batches, , run->batch);
    for (uint32_t slices = 1;
         next && s_is_small (next) && slices < LEAT_SLICES_MAX && run->count + next->count <= most
         && run->size + leat_buffer_size (next->body) <= room;
         slices++) {
        leat_assert (next->first == run->first + run->count); /* no gap is in what is ready */
        run->count += (uint32_t) next->count;
        run->size += leat_buffer_size (next->body);
        run->last = next;
        next = RB_NEXT (core_batches, , next);
    }
}

/* What comes behind fresh records is read before it is needed. */
static void s_look_ahead (leat_core_t *core, core_stream_t *stream, const s_run_t *run,
                          const s_work_t *work)
{
    if (!stream->reads || work->mark || work->range)
        return;
    const core_batch_t *next = RB_NEXT (core_batches, , run->last);
    if (next && next->away)
        core_read_ahead (core, stream, next->first);
}

/* Gives the consumer `count` records of the batch, and more where that costs little. */
static void s_hand_out (leat_core_t *core, core_consumer_t *consumer, core_batch_t *batch,
                        const s_work_t *work, uint32_t count)
{
    s_run_t run = s_run_of (batch, work->first, count);
    if (s_is_joinable (consumer, &run, work))
        s_join (core, consumer, &run, work);
    s_look_ahead (core, consumer->group->stream, &run, work);
    s_deliver (core, consumer, &run, work->mark);
    s_take_work (consumer->group, work, run.count);
}

static void s_spread (leat_core_t *core, core_group_t *group)
{
    s_work_t work;
    bool any;
    if (!core_since_found (core, group))
        return;
    while ((any = s_next_work (core, group, &work)) && !RB_EMPTY (&group->ready_consumers)) {
        core_consumer_t *consumer = s_first (core, group);
        core_batch_t *batch = s_batch_of (core, group, &work);
        if (!batch) {
            core_recall_while_reading (core, group);
            return;
        }
        uint32_t count = s_portion (core, consumer, batch, &work);
        if (!count) {
            s_remove (consumer); /* until its next settle makes room */
            consumer->state = CORE_CONSUMER_FULL;
            continue;
        }
        s_hand_out (core, consumer, batch, &work, count);
    }
    if (!any)
        core_recall (core, group);
}

/* ---- suspects, one at a time per consumer ----------------------------------------------------- */

static void s_isolate (leat_core_t *core, core_consumer_t *consumer)
{
    consumer->state = CORE_CONSUMER_ISOLATING;
    consumer->isolating_since_us = core->now_us;
    consumer->group->isolating_count++;
    core_consumer_place (core, consumer);
}

static void s_let_go (leat_core_t *core, core_consumer_t *consumer)
{
    s_isolation_end (consumer);
    consumer->isolating_since_us = core->now_us;
    core_consumer_place (core, consumer);
}

static void s_patience_over (leat_core_t *core, core_timer_t *timer)
{
    core_group_wake (core, CORE_OWNER (timer, core_group_t, patience));
}

/* Serves the consumers that have run dry; lets those go that are not needed or take too long. Who holds a
 * suspect is not looked at, however many they are. */
static void s_serve_isolating (leat_core_t *core, core_group_t *group)
{
    core_consumer_t *consumer;
    core_mark_t *mark;
    while ((consumer = TAILQ_FIRST (&group->dry)) && (mark = TAILQ_FIRST (&group->suspects))) {
        core_batch_t *batch = core_batch_at (group->stream, mark->offset);
        leat_assert (batch);
        if (batch->away) {
            core_read (core, group, mark->offset, false);
            break; /* it gets the suspect when that is read */
        }
        consumer->holds_suspect = true;
        s_run_t run = s_run_of (batch, mark->offset, 1);
        s_deliver (core, consumer, &run, mark);
    }
    bool needed = !TAILQ_EMPTY (&group->suspects);
    while ((consumer = TAILQ_FIRST (&group->dry)) && !needed)
        s_let_go (core, consumer);
    while ((consumer = TAILQ_FIRST (&group->drying))
           && (!needed || core->now_us - consumer->isolating_since_us > patience_us))
        s_let_go (core, consumer);
    if (consumer && !group->patience.due_us)
        core_timer_set (core, &group->patience, consumer->isolating_since_us + patience_us + 1,
                        s_patience_over);
}

/* The least loaded consumer that is free for a suspect; one that was let go lately only if there is
 * no other. */
static core_consumer_t *s_choose_for_suspect (leat_core_t *core, core_group_t *group)
{
    core_consumer_t *least = RB_MIN (core_ready_consumers, &group->ready_consumers);
    core_consumer_t *consumer = least;
    for (int i = 0; consumer && i < ISOLATION_CHOICES; i++) {
        if (!consumer->leased || !consumer->isolating_since_us
            || core->now_us - consumer->isolating_since_us > 10 * patience_us)
            return consumer;
        consumer = RB_NEXT (core_ready_consumers, , consumer);
    }
    return least;
}

static void s_serve_suspects (leat_core_t *core, core_group_t *group)
{
    s_serve_isolating (core, group);
    /* One consumer at least goes on with the others' work, where there is more than one. */
    uint32_t most = group->consumer_count > 1 ? group->consumer_count - 1 : 1;
    while (group->mark_counts[CORE_MARK_SUSPECT] > group->waiting_count
           && group->isolating_count < most) {
        core_consumer_t *consumer = s_choose_for_suspect (core, group);
        if (!consumer)
            return;
        s_isolate (core, consumer);
        s_serve_isolating (core, group);
    }
}

void core_dispatch (leat_core_t *core)
{
    core_group_t *group;
    while ((group = TAILQ_FIRST (&core->awake))) {
        TAILQ_REMOVE (&core->awake, group, in_awake);
        if (group->committed) {
            s_serve_suspects (core, group);
            s_spread (core, group);
        }
        group->awake = false; /* what the hand-out itself changed needs no second look */
    }
}

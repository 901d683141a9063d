/* Credit of producers: what is granted and what is held together never exceed the memory limit.
 * SPDX-License-Identifier: MPL-2.0 */

#include "broker/core/retention.h"

/*      memory_size
 *      |<---------- held ---------->|<---- granted ---->|<--- free --->|<- 1/16 ->|
 *
 * The last sixteenth is for copies of dead letters: they come from records that are held already,
 * and must not have to wait for producers. Each stream has the same account for itself, so that a
 * full one leaves the others their credit. */

/* A grant that was not used for so long is taken back when somebody else waits. */
static const uint64_t pressure_idle_us = 1000000;

/* Streams that are asked in a turn whether what is left of the memory does for them. */
enum { ASKED_PER_TURN = 4 };

static uint64_t s_below (uint64_t ceiling, uint64_t a, uint64_t b)
{
    return a + b < ceiling ? ceiling - a - b : 0;
}

/* Fleeting streams together leave half of the memory to those that are read back, which could not go on
 * otherwise until somebody settles what the former hold. */
static uint64_t s_below_half (const leat_core_t *core, const core_stream_t *stream)
{
    return stream->fleeting ? s_below (core->limits.memory_size / 2, core->fleeting_size, 0)
                            : UINT64_MAX;
}

static uint64_t s_available (const leat_core_t *core, const core_stream_t *stream)
{
    uint64_t reads = core->reading_size + core_reads_want (core);
    uint64_t memory =
        s_below (core->limits.memory_size / 16 * 15, core->held_size + reads, core->granted_size);
    uint64_t own = s_below (core->limits.stream_size, stream->held_size, stream->granted_size);
    uint64_t half = s_below_half (core, stream);
    memory = memory < half ? memory : half;
    return memory < own ? memory : own;
}

static void s_granted_change (leat_core_t *core, core_producer_t *producer, uint64_t more,
                              uint64_t less)
{
    core->granted_size += more - less;
    producer->channel.stream->granted_size += more - less;
    core_fleeting_grown (core, producer->channel.stream, more, less);
}

static void s_need (leat_core_t *core, core_producer_t *producer)
{
    core_stream_t *stream = producer->channel.stream;
    if (producer->needs_credit)
        return;
    producer->needs_credit = true;
    TAILQ_INSERT_TAIL (&stream->wanting, producer, in_credit);
    core->credit_freed = true;
    if (stream->wants)
        return;
    stream->wants = true;
    TAILQ_INSERT_TAIL (&core->wanting, stream, in_wanting);
}

static void s_need_no_more (core_producer_t *producer)
{
    if (producer->needs_credit)
        TAILQ_REMOVE (&producer->channel.stream->wanting, producer, in_credit);
    producer->needs_credit = false;
}

/* Takes it out of the lists of those with unused credit. */
static void s_grant_end (leat_core_t *core, core_producer_t *producer)
{
    if (!producer->has_grant)
        return;
    TAILQ_REMOVE (&core->grants, producer, by_use);
    TAILQ_REMOVE (&producer->channel.stream->grants, producer, in_stream);
    producer->has_grant = false;
}

/* It used or got credit just now: to the end of these lists, if any is left. */
static void s_used (leat_core_t *core, core_producer_t *producer)
{
    producer->used_us = core->now_us;
    s_grant_end (core, producer);
    if (producer->limit == producer->received)
        return;
    TAILQ_INSERT_TAIL (&core->grants, producer, by_use);
    TAILQ_INSERT_TAIL (&producer->channel.stream->grants, producer, in_stream);
    producer->has_grant = true;
}

void core_credit_begin (leat_core_t *core, core_producer_t *producer)
{
    uint64_t grant = s_available (core, producer->channel.stream);
    producer->window = core->limits.grant_min_size;
    if (grant > producer->window)
        grant = producer->window;
    producer->limit = grant;
    s_granted_change (core, producer, grant, 0);
    s_used (core, producer);
    if (grant < producer->window)
        s_need (core, producer);
}

void core_credit_use (leat_core_t *core, core_producer_t *producer, uint64_t cost)
{
    producer->received += cost;
    s_granted_change (core, producer, 0, cost);
    s_used (core, producer);
    producer->want = producer->want > cost ? producer->want : 0;
    if (producer->limit - producer->received <= producer->window / 2)
        s_need (core, producer);
}

void core_credit_want (leat_core_t *core, core_producer_t *producer, uint64_t cost)
{
    uint64_t largest = leat_batch_cost (core->limits.batch_size);
    producer->want = cost < largest ? cost : largest;
    if (producer->limit - producer->received < producer->want)
        s_need (core, producer);
}

void core_credit_end (leat_core_t *core, core_producer_t *producer)
{
    s_granted_change (core, producer, 0, producer->limit - producer->received);
    s_grant_end (core, producer);
    s_need_no_more (producer);
    core->credit_freed = true;
}

/* ---- taking back ----------------------------------------------------------------------------- */

static void s_reclaim (leat_core_t *core, core_producer_t *producer, uint64_t keep)
{
    leat_command_t command = { .id = LEAT_CREDIT };
    command.credit.channel = producer->channel.number;
    command.credit.flags = LEAT_CREDIT_RECLAIM;
    command.credit.limit = producer->received + keep;
    producer->reclaiming = true;
    producer->told = command.credit.limit;
    producer->window = core->limits.grant_min_size;
    leat_outbox_command (core->outbox, producer->channel.session->peer, &command);
}

void core_credit_yielded (leat_core_t *core, core_producer_t *producer, uint64_t limit)
{
    if (!producer->reclaiming || limit < producer->received || limit > producer->limit) {
        core->statistics.frames_malformed++;
        core_refuse (core, producer->channel.session->peer, LEAT_YIELDED, producer->channel.number,
                     LEAT_BAD_STATE,
                     "YIELDED answers CREDIT with RECLAIM, with a limit from what was sent up to "
                     "what was granted");
        return;
    }
    s_granted_change (core, producer, 0, producer->limit - limit);
    producer->limit = limit;
    producer->told = limit;
    producer->reclaiming = false;
    if (limit == producer->received)
        s_grant_end (core, producer);
    core->credit_freed = true;
    if (producer->want > limit - producer->received)
        s_need (core, producer);
}

static void s_retry (leat_core_t *core, core_timer_t *timer)
{
    (void) timer;
    core->credit_freed = true;
}

/* Somebody of `stream` (or nobody's) waits for `size`: takes back what others have not used for a
 * while. Returns whether others may get some still: only what the stream's own producers have would help, or
 * those of all fleeting ones. */
static bool s_press (leat_core_t *core, const core_stream_t *stream, const core_producer_t *needy,
                     uint64_t size)
{
    bool full =
        stream
        && s_below (core->limits.stream_size, stream->held_size, stream->granted_size) < size;
    core_limit_hit (core, full ? LEAT_LIMIT_stream_size : LEAT_LIMIT_memory_size);
    core_producer_t *producer = full ? TAILQ_FIRST (&stream->grants) : TAILQ_FIRST (&core->grants);
    uint64_t found = 0;
    for (; producer;
         producer = full ? TAILQ_NEXT (producer, in_stream) : TAILQ_NEXT (producer, by_use)) {
        if (found >= size || core->now_us - producer->used_us < pressure_idle_us)
            break;
        if (producer == needy)
            continue;
        found += producer->limit - producer->received;
        if (!producer->reclaiming)
            s_reclaim (core, producer, 0);
    }
    if (!core->credit_retry.due_us)
        core_timer_set (core, &core->credit_retry, core->now_us + pressure_idle_us, s_retry);
    return full || (stream && s_below_half (core, stream) < size);
}

void core_credit_press (leat_core_t *core, uint64_t size)
{
    s_press (core, NULL, NULL, size);
}

static void s_idle (leat_core_t *core, core_timer_t *timer)
{
    uint64_t idle_us = core->limits.grant_idle * 1000;
    bool again = false;
    core_producer_t *producer;
    TAILQ_FOREACH (producer, &core->grants, by_use) {
        if (producer->limit - producer->received <= core->limits.grant_min_size
            || producer->reclaiming)
            continue;
        if (core->now_us - producer->used_us >= idle_us)
            s_reclaim (core, producer, core->limits.grant_min_size);
        else
            again = true;
    }
    if (again)
        core_timer_set (core, timer, core->now_us + idle_us, s_idle);
}

/* ---- granting -------------------------------------------------------------------------------- */

/* It has used what it had: next time it gets twice as much. */
static void s_grow (leat_core_t *core, core_producer_t *producer)
{
    producer->window *= 2;
    if (producer->window > core->limits.grant_max_size)
        producer->window = core->limits.grant_max_size;
    if (!core->credit_idle.due_us)
        core_timer_set (core, &core->credit_idle, core->now_us + core->limits.grant_idle * 1000,
                        s_idle);
}

/* A full log in memory drops its oldest records, if it may. True if it did. */
static bool s_make_room (leat_core_t *core, core_stream_t *stream, uint64_t least, uint64_t unused)
{
    uint64_t own = s_below (core->limits.stream_size, stream->held_size, stream->granted_size);
    if (unused + own >= least || !core_log_make_room (core, stream, least - unused - own))
        return false;
    core_limit_hit (core, LEAT_LIMIT_stream_size);
    return true;
}

/* Tops a producer up. False if not even what it waits for is there; *full tells if that is because
 * of its stream. */
static bool s_grant (leat_core_t *core, core_producer_t *producer, bool *full)
{
    core_stream_t *stream = producer->channel.stream;
    uint64_t unused = producer->limit - producer->received;
    if (producer->reclaiming)
        return true; /* its answer asks again */
    uint64_t least = producer->want ? producer->want : core->limits.grant_min_size;
    if (unused >= least && unused > producer->window / 2)
        return true;
    uint64_t available = s_available (core, stream);
    if (core_is_log (stream) && s_make_room (core, stream, least, unused))
        available = s_available (core, stream);
    if (unused + available < (producer->want ? producer->want : 1)) {
        *full = s_press (core, stream, producer, least - unused);
        return false;
    }
    if (unused <= producer->window / 2 && producer->received)
        s_grow (core, producer);
    uint64_t target = producer->window > least ? producer->window : least;
    uint64_t more = target > unused ? target - unused : 0;
    if (more > available)
        more = available;
    producer->limit += more;
    producer->want = 0;
    s_granted_change (core, producer, more, 0);
    if (!more)
        return true;
    s_used (core, producer); /* what was granted just now is not idle */
    core_confirm (core, producer);
    return true;
}

static void s_go_on (leat_core_t *core, core_timer_t *timer)
{
    (void) timer;
    core->credit_goes_on = true;
}

/* Grants to the stream's producers in turn. False if one of them has to wait; *full as above. */
static bool s_serve (leat_core_t *core, core_stream_t *stream, bool *full)
{
    core_producer_t *producer;
    while ((producer = TAILQ_FIRST (&stream->wanting))) {
        if (!s_grant (core, producer, full))
            return false;
        s_need_no_more (producer);
    }
    core_credit_forget (core, stream);
    return true;
}

void core_credit_forget (leat_core_t *core, core_stream_t *stream)
{
    if (!stream->wants)
        return;
    stream->wants = false;
    if (core->credit_next == stream)
        core->credit_next = TAILQ_NEXT (stream, in_wanting);
    TAILQ_REMOVE (&core->wanting, stream, in_wanting);
}

/* What is left is too little for the first stream. It may do for one behind, but there may be
 * thousands of them: some are asked now, and those behind them in the next turn.
 *
 *      wanting     first   a   b   c   d   e   ...
 *                  |       '-- asked --'   |
 *                  waits                   credit_next
 *
 * What is freed meanwhile counts for those that were asked already when all have been. */
static void s_serve_others (leat_core_t *core, core_stream_t *first, bool is_new)
{
    if (is_new && core->credit_next)
        core->credit_again = true;
    core_stream_t *stream = core->credit_next;
    if (!stream || stream == first)
        stream = TAILQ_NEXT (first, in_wanting);
    for (unsigned asked = 0; stream && asked < ASKED_PER_TURN; asked++) {
        core_stream_t *next = TAILQ_NEXT (stream, in_wanting);
        bool full = false;
        bool waits = !s_serve (core, stream, &full);
        if (waits && !full && !s_available (core, stream)) {
            core->credit_next = NULL;
            return;
        }
        stream = next;
    }
    core->credit_next = stream;
    if (!stream && !core->credit_again)
        return;
    core->credit_again = core->credit_again && stream;
    core_timer_set (core, &core->credit_more, core->now_us, s_go_on);
}

void core_credit_run (leat_core_t *core)
{
    if (!core->credit_freed && !core->credit_goes_on)
        return;
    bool is_new = core->credit_freed;
    core->credit_freed = false;
    core->credit_goes_on = false;
    if (is_new)
        core_reads_retry (core);
    core_stream_t *first;
    bool full = false;
    while ((first = TAILQ_FIRST (&core->wanting)) && s_serve (core, first, &full))
        full = false;
    /* Without any memory nobody behind it need be asked. */
    if (first && (full || s_available (core, first)))
        s_serve_others (core, first, is_new);
}

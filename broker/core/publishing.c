/* From PUBLISH to CONFIRMED: sequences, admission, duplicates.
 * SPDX-License-Identifier: MPL-2.0 */

#include "broker/core/state.h"

/* ---- channels of producers ------------------------------------------------------------------- */

static core_sequence_t *s_obtain_sequence (leat_core_t *core, core_session_t *session,
                                           core_stream_t *stream, const leat_open_t *open)
{
    core_sequence_t *sequence = core_sequence_find (session->identity, stream);
    if (!sequence) {
        if (core->identity_count >= core->limits.identities) {
            core_limit_hit (core, LEAT_LIMIT_identities);
            core_refuse (core, session->peer, LEAT_OPEN, open->channel, LEAT_LIMIT_REACHED,
                         "the broker remembers as many sequences as it is allowed to");
            return NULL;
        }
        sequence = core_sequence_make (core, session->identity, stream);
    }
    return sequence;
}

void core_publish_open (leat_core_t *core, core_session_t *session, const leat_open_t *open)
{
    if (!core_channel_free (core, session, LEAT_OPEN, open->channel))
        return;
    leat_code_t code = LEAT_OK;
    if (!leat_name_valid (open->stream))
        code = LEAT_BAD_NAME;
    else if (leat_name_reserved (open->stream))
        code = LEAT_RESERVED_NAME;
    else if (!open->base || open->base > (uint64_t) 1 << 62)
        code = LEAT_MALFORMED;
    else if (core->shutting_down)
        code = LEAT_SHUTTING_DOWN;
    if (code != LEAT_OK) {
        core_refuse (core, session->peer, LEAT_OPEN, open->channel, code,
                     code == LEAT_MALFORMED ? "base is a sequence from 1 to 2^62" : NULL);
        return;
    }
    core_stream_t *stream = core_stream_obtain (core, session, LEAT_OPEN, open->channel,
                                                open->stream, open->flags & LEAT_MUST_EXIST);
    if (!stream)
        return;
    core_sequence_t *sequence = core_sequence_find (session->identity, stream);
    if (sequence && sequence->producer) {
        core_refuse (core, session->peer, LEAT_OPEN, open->channel, LEAT_STREAM_IN_USE, NULL);
        return;
    }
    sequence = s_obtain_sequence (core, session, stream, open);
    if (!sequence)
        return;
    core_producer_t *producer = leat_alloc (sizeof *producer);
    producer->channel.stream = stream;
    producer->channel.number = open->channel;
    producer->channel.rate_since_us = core->now_us;
    producer->sequence = sequence;
    sequence->producer = producer;
    stream->producer_count++;
    core_channel_add (session, &producer->channel);
    producer->base = open->base;
    if (core_producer_may_begin (producer))
        core_producer_answer (core, producer);
    else
        TAILQ_INSERT_TAIL (&core->waiting, &producer->channel, waiting);
}

/* Not while batches of the identity's former session are at the store: what OPENED tells would be out
 * of date at once. Nor while the store is forgetting its sequences: should that not come about, a
 * recovered broker would know of one that this one has said it does not know. */
bool core_producer_may_begin (const core_producer_t *producer)
{
    const core_sequence_t *sequence = producer->sequence;
    const core_stream_t *stream = producer->channel.stream;
    return stream->committed && !sequence->identity->forgetting
           && sequence->accepted == sequence->committed
           && (!stream->fleeting || stream->reserved > stream->next_offset);
}

void core_producer_answer (leat_core_t *core, core_producer_t *producer)
{
    core_sequence_t *sequence = producer->sequence;
    producer->channel.answered = true;
    /* What an async stream has confirmed a crash may have taken: then the client is ahead. */
    bool ahead =
        core_stream_is_async (producer->channel.stream) && producer->base - 1 > sequence->committed;
    if (!sequence->known || ahead) {
        sequence->accepted = producer->base - 1;
        sequence->committed = producer->base - 1;
    }
    core_credit_begin (core, producer);
    leat_command_t command = { .id = LEAT_OPENED };
    command.opened.channel = producer->channel.number;
    command.opened.flags = sequence->known ? LEAT_OPENED_KNOWN : 0;
    command.opened.sequence = sequence->committed;
    command.opened.limit = producer->limit;
    command.opened.durability = (uint8_t) producer->channel.stream->settings.durability;
    producer->told = producer->limit;
    leat_outbox_command (core->outbox, producer->channel.session->peer, &command);
}

/* ---- confirmations that may wait ------------------------------------------------------------- */

static void s_held_due (leat_core_t *core, core_timer_t *timer)
{
    core_producer_t *producer;
    while ((producer = TAILQ_FIRST (&core->held)) && producer->held_until_us <= core->now_us)
        core_confirm (core, producer);
    if (producer)
        core_timer_set (core, timer, producer->held_until_us, s_held_due);
}

/* All are held for the same time, so the list is in the order in which they are due. */
static void s_hold (leat_core_t *core, core_producer_t *producer)
{
    if (producer->held || producer->needs_confirm)
        return;
    producer->held = true;
    producer->held_until_us = core->now_us + core->limits.confirm_delay * 1000;
    TAILQ_INSERT_TAIL (&core->held, producer, in_confirms);
    if (!core->held_timer.due_us)
        core_timer_set (core, &core->held_timer, producer->held_until_us, s_held_due);
}

static void s_release (leat_core_t *core, core_producer_t *producer)
{
    if (!producer->held)
        return;
    producer->held = false;
    TAILQ_REMOVE (&core->held, producer, in_confirms);
    if (TAILQ_EMPTY (&core->held))
        core_timer_stop (core, &core->held_timer);
}

void core_producer_end (leat_core_t *core, core_producer_t *producer)
{
    core_session_t *session = producer->channel.session;
    if (producer->channel.answered)
        core_credit_end (core, producer);
    else
        TAILQ_REMOVE (&core->waiting, &producer->channel, waiting);
    s_release (core, producer);
    if (producer->needs_confirm)
        TAILQ_REMOVE (&core->confirms, producer, in_confirms);
    core_sequence_t *sequence = producer->sequence;
    sequence->producer = NULL;
    producer->channel.stream->producer_count--;
    RB_REMOVE (core_channels, &session->channels, &producer->channel);
    session->channel_count--;
    if (!sequence->known && sequence->accepted == sequence->committed)
        core_sequence_destroy (core, sequence);
    free (producer);
}

uint64_t core_publish_expected (core_session_t *session, uint32_t number)
{
    const core_channel_t *channel = core_channel_find (session, number);
    if (!channel || channel->consumer || !channel->answered)
        return 0;
    return ((const core_producer_t *) channel)->sequence->accepted + 1;
}

void core_publish_close (leat_core_t *core, core_producer_t *producer)
{
    producer->closing = true;
    core_confirm (core, producer);
}

/* ---- batches --------------------------------------------------------------------------------- */

static const char *s_why_not_now (const core_channel_t *channel)
{
    if (channel->consumer)
        return "the channel is for delivering; publish on one that OPEN has opened";
    return channel->answered ? "nothing may follow CLOSE" : "wait for OPENED first";
}

static void s_refuse_batch (leat_core_t *core, core_session_t *session, const leat_batch_t *batch,
                            const core_sequence_t *sequence, leat_code_t code)
{
    leat_refused_t refused = { .command = LEAT_PUBLISH,
                               .channel = batch->channel,
                               .code = (uint16_t) code,
                               .flight = batch->flight,
                               .first = batch->first,
                               .expected = sequence ? sequence->accepted + 1 : 0 };
    if (code == LEAT_MALFORMED)
        refused.reason = leat_text ("the body is not as many whole records as `count` says");
    if (code == LEAT_BAD_STATE)
        refused.reason = leat_text (s_why_not_now (core_channel_find (session, batch->channel)));
    if (code == LEAT_TOO_LARGE)
        refused.reason = leat_text ("the body is above batch_size_max, or a record above "
                                    "record_size_max, as WELCOME told them");
    core_refuse_full (core, session->peer, &refused);
}

/* Would the store take so many records? Fleeting ones do not get there. */
static bool s_has_store (leat_core_t *core, core_stream_t *stream, uint64_t count)
{
    if (stream->fleeting)
        return core_fleeting_has_offsets (core, stream, count);
    return !core->store_full && !stream->owed_count;
}

/* Is the batch sound, and are its records the next ones? A duplicate is not refused but confirmed
 * once more when what it repeats is committed: LEAT_OK with *duplicate. */
static leat_code_t s_admit (leat_core_t *core, const core_session_t *session,
                            const core_producer_t *producer, const leat_batch_t *batch,
                            leat_buffer_t *body, bool *duplicate)
{
    const core_sequence_t *sequence = producer->sequence;
    size_t size = leat_buffer_size (body);
    uint64_t cost = leat_batch_cost (size);
    if (size > core->limits.batch_size)
        return LEAT_TOO_LARGE;
    if (core->shutting_down)
        return LEAT_SHUTTING_DOWN;
    if (batch->first + batch->count - 1 <= sequence->accepted) {
        *duplicate = true;
        return LEAT_OK;
    }
    if (batch->first != sequence->accepted + 1)
        return LEAT_OUT_OF_SEQUENCE;
    if (!s_has_store (core, producer->channel.stream, batch->count))
        return LEAT_STORE_FULL;
    if (session->window_used + cost > core->limits.window_size)
        return LEAT_OVER_CREDIT;
    if (leat_crc32c (leat_buffer_bytes (body), size) != batch->crc32c)
        return LEAT_BAD_CHECKSUM;
    return leat_batch_check (leat_buffer_bytes (body), size, batch->count,
                             batch->attributes & LEAT_BATCH_EXTENDED, core->limits.record_size);
}

static void s_accept (leat_core_t *core, core_session_t *session, core_producer_t *producer,
                      const leat_batch_t *header, leat_buffer_t *body)
{
    core_sequence_t *sequence = producer->sequence;
    core_stream_t *stream = producer->channel.stream;
    /* The age of what a log holds is not for the clocks of producers to say. */
    uint64_t time_ms = core_is_log (stream) ? core->wall_ms : header->time_ms;
    core_batch_t *batch =
        core_batch_make (core, stream, stream->next_offset, header->count, header->attributes,
                         header->crc32c, time_ms, leat_buffer_hold (body));
    batch->sequence = sequence;
    batch->last_sequence = header->first + header->count - 1;
    batch->session_epoch = session->epoch;
    sequence->accepted = batch->last_sequence;
    producer->flight = header->flight;
    if (!(header->flags & LEAT_PUBLISH_PATIENT))
        producer->urgent = batch->last_sequence;
    session->window_used += batch->cost;
    core_rate_count (core, &producer->channel, header->count);
    core_data_add_batch (core, batch);
}

void core_publish_batch (leat_core_t *core, core_session_t *session, const leat_batch_t *batch,
                         leat_buffer_t *body)
{
    core_channel_t *channel = core_channel_find (session, batch->channel);
    if (!channel || channel->consumer || !channel->answered) {
        s_refuse_batch (core, session, batch, NULL,
                        channel ? LEAT_BAD_STATE : LEAT_NO_SUCH_CHANNEL);
        return;
    }
    core_producer_t *producer = (core_producer_t *) channel;
    uint64_t cost = leat_batch_cost (leat_buffer_size (body));
    if (cost > producer->limit - producer->received) {
        s_refuse_batch (core, session, batch, producer->sequence, LEAT_OVER_CREDIT);
        return;
    }
    core_credit_use (core, producer, cost);
    bool duplicate = false;
    leat_code_t code = producer->closing
                           ? LEAT_BAD_STATE
                           : s_admit (core, session, producer, batch, body, &duplicate);
    if (code == LEAT_OUT_OF_SEQUENCE)
        core->statistics.batches_out_of_sequence++;
    if (code == LEAT_BAD_CHECKSUM)
        core->statistics.batches_damaged++;
    if (code == LEAT_MALFORMED)
        core->statistics.frames_malformed++;
    if (duplicate) {
        producer->flight = batch->flight;
        core->statistics.records_duplicate += batch->count;
        core_confirm (core, producer);
    } else if (code == LEAT_OK) {
        s_accept (core, session, producer, batch, body);
    } else {
        s_refuse_batch (core, session, batch, producer->sequence, code);
    }
}

/* ---- after the store ------------------------------------------------------------------------- */

/* The session whose window the batch takes from, if it is still there. */
static core_session_t *s_session_of (const core_batch_t *batch)
{
    core_producer_t *producer = batch->sequence->producer;
    if (!producer || producer->channel.session->epoch != batch->session_epoch)
        return NULL;
    return producer->channel.session;
}

void core_producer_committed (leat_core_t *core, core_batch_t *batch)
{
    core_sequence_t *sequence = batch->sequence;
    core_session_t *session = s_session_of (batch);
    if (session)
        session->window_used -= batch->cost;
    sequence->known = true;
    sequence->committed = batch->last_sequence;
    sequence->offset = batch->first + batch->count - 1;
    core_producer_t *producer = sequence->producer;
    if (producer && producer->channel.answered) {
        if (producer->urgent > producer->confirmed)
            core_confirm (core, producer);
        else
            s_hold (core, producer);
    }
}

void core_producer_undone (leat_core_t *core, core_batch_t *batch)
{
    core_sequence_t *sequence = batch->sequence;
    core_producer_t *producer = sequence->producer;
    core_session_t *session = s_session_of (batch);
    if (session)
        session->window_used -= batch->cost;
    bool first = sequence->accepted != sequence->committed;
    sequence->accepted = sequence->committed;
    /* The refusal of the first takes the others along. A later session's OPEN still waits. */
    if (!first || !session)
        return;
    leat_refused_t refused = { .command = LEAT_PUBLISH,
                               .channel = producer->channel.number,
                               .code = LEAT_STORE_FULL,
                               .flight = producer->flight,
                               .first = sequence->committed + 1,
                               .expected = sequence->committed + 1 };
    core_refuse_full (core, producer->channel.session->peer, &refused);
    if (producer->closing)
        core_confirm (core, producer);
}

void core_confirm (leat_core_t *core, core_producer_t *producer)
{
    if (producer->needs_confirm)
        return;
    s_release (core, producer);
    producer->needs_confirm = true;
    TAILQ_INSERT_TAIL (&core->confirms, producer, in_confirms);
}

static void s_send_confirmed (leat_core_t *core, core_producer_t *producer)
{
    const core_sequence_t *sequence = producer->sequence;
    uint64_t limit = producer->reclaiming ? producer->told : producer->limit;
    leat_command_t command = { .id = LEAT_CONFIRMED };
    command.confirmed.channel = producer->channel.number;
    command.confirmed.sequence = sequence->committed;
    command.confirmed.offset = sequence->offset;
    command.confirmed.limit = limit;
    producer->told = limit;
    producer->confirmed = sequence->committed;
    leat_outbox_command (core->outbox, producer->channel.session->peer, &command);
}

static void s_send_credit (leat_core_t *core, core_producer_t *producer)
{
    leat_command_t command = { .id = LEAT_CREDIT };
    command.credit.channel = producer->channel.number;
    command.credit.limit = producer->limit;
    producer->told = producer->limit;
    leat_outbox_command (core->outbox, producer->channel.session->peer, &command);
}

/* Credit alone can wait for the confirmation that is on its way, unless the client runs dry. */
static bool s_may_wait (const core_producer_t *producer)
{
    const core_sequence_t *sequence = producer->sequence;
    uint64_t left = producer->told - producer->received;
    return sequence->accepted != sequence->committed && left > producer->window / 4
           && sequence->committed == producer->confirmed;
}

void core_confirms_send (leat_core_t *core)
{
    core_producer_t *producer;
    core_producer_t *next;
    while (core->shutting_down && (producer = TAILQ_FIRST (&core->held)))
        core_confirm (core, producer);
    for (producer = TAILQ_FIRST (&core->confirms); producer; producer = next) {
        next = TAILQ_NEXT (producer, in_confirms);
        const core_sequence_t *sequence = producer->sequence;
        if (s_may_wait (producer))
            continue;
        TAILQ_REMOVE (&core->confirms, producer, in_confirms);
        producer->needs_confirm = false;
        if (sequence->known)
            s_send_confirmed (core, producer);
        else if (!producer->reclaiming && producer->told != producer->limit)
            s_send_credit (core, producer);
        if (!producer->closing || sequence->accepted != sequence->committed)
            continue;
        leat_command_t command = { .id = LEAT_CLOSED };
        command.closed.channel = producer->channel.number;
        leat_outbox_command (core->outbox, producer->channel.session->peer, &command);
        core_producer_end (core, producer);
    }
}

/* One producer without I/O: what the application and the session ask of it, and what it sends. What
 * it keeps is in backlog.c, what the broker answers in producer_answers.c.
 * SPDX-License-Identifier: MPL-2.0 */
#include "producers/producer_engine.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "producers/producer_state.h"
#include "wire/alloc.h"
#include "wire/assert.h"

enum {
    BATCH_SIZE_DEFAULT = 1024 * 1024,
    WANT_AGAIN_US = 1000 * 1000,
    WHOLE_BATCHES = 8,  /* batches up to this part of the window are not cut to what it has left */
    PATIENT_BATCHES = 4 /* of so many under way the last one asks for its confirmation at once */
};

leat_producer_engine_t *leat_producer_engine_new (const leat_producer_engine_options_t *options)
{
    leat_producer_engine_t *self = leat_alloc (sizeof *self);
    self->stream = leat_copy_text (options->stream, strlen (options->stream));
    self->must_exist = options->must_exist;
    self->record_size_max =
        options->record_size_max ? options->record_size_max : LEAT_RECORD_SIZE_DEFAULT;
    self->batch_size_max = options->batch_size_max ? options->batch_size_max : BATCH_SIZE_DEFAULT;
    self->batch_max = self->batch_size_max;
    self->backlog = leat_backlog_new ();
    self->offset = UINT64_MAX;
    if (!leat_name_valid (leat_text (self->stream))) {
        leat_quote_t quote;
        self->is_failed = true;
        leat_fault_set (&self->fault, LEAT_BAD_NAME, "\"%s\" can't be the name of a stream: %s",
                        leat_quote (&quote, leat_text (self->stream)),
                        leat_code_text (LEAT_BAD_NAME));
    }
    return self;
}

void leat_producer_engine_destroy (leat_producer_engine_t **self_p)
{
    leat_producer_engine_t *self = *self_p;
    if (self == NULL)
        return;
    leat_backlog_destroy (&self->backlog);
    free (self->stream);
    free (self);
    *self_p = NULL;
}

/* ---- the application's side ------------------------------------------------------------------ */

uint64_t leat_producer_engine_submit (leat_producer_engine_t *self, leat_slice_t records,
                                      uint32_t count, bool extended, uint64_t time_ms)
{
    leat_assert (!self->is_closing);
    leat_attention_mark (&self->attention);
    return leat_backlog_add (self->backlog, records, count, extended, time_ms);
}

void leat_producer_engine_pass (leat_producer_engine_t *self, uint64_t count)
{
    if (count == 0)
        return;
    leat_attention_mark (&self->attention);
    leat_backlog_pass (self->backlog, count);
}

uint64_t leat_producer_engine_next (const leat_producer_engine_t *self)
{
    return leat_backlog_next (self->backlog);
}

uint64_t leat_producer_engine_confirmed (const leat_producer_engine_t *self)
{
    return leat_backlog_confirmed (self->backlog);
}

uint64_t leat_producer_engine_offset (const leat_producer_engine_t *self)
{
    return self->offset;
}

uint64_t leat_producer_engine_unconfirmed_size (const leat_producer_engine_t *self)
{
    return leat_backlog_size (self->backlog);
}

uint32_t leat_producer_engine_batches_in_flight (const leat_producer_engine_t *self)
{
    return leat_backlog_batches_sent (self->backlog);
}

static uint64_t s_space (const leat_session_window_t *window)
{
    return window->size > window->used ? window->size - window->used : 0;
}

/* What the channel's credit and the session's window leave, cost of batches included. */
static uint64_t s_room (const leat_producer_engine_t *self, const leat_session_window_t *window)
{
    uint64_t credit = self->limit - self->spent;
    uint64_t space = s_space (window);
    return credit < space ? credit : space;
}

/* True if it is better to wait for a confirmation, which will come, than to send a small piece. */
static bool s_room_is_scrap (const leat_producer_engine_t *self, uint64_t room, uint64_t wanted)
{
    if (leat_backlog_batches_sent (self->backlog) == 0)
        return false;
    uint64_t grant = room + leat_backlog_cost_sent (self->backlog);
    return room < (wanted < grant ? wanted : grant) / 4;
}

/* True if the window, most of which is used, is not worth cutting the batch for. What is used comes free
 * again batch by batch: each small one would leave as little room when it is confirmed, for as small a
 * one of whoever is next. */
static bool s_space_is_scrap (const leat_session_window_t *window, uint64_t cost)
{
    uint64_t most = window->size / WHOLE_BATCHES;
    return s_space (window) < (cost < most ? cost : most);
}

uint64_t leat_producer_engine_sendable_size (const leat_producer_engine_t *self,
                                             const leat_session_window_t *window)
{
    if (self->channel_state != CHANNEL_OPEN || self->is_failed || self->resume_us != 0)
        return 0;
    uint64_t room = s_room (self, window);
    uint64_t whole = leat_batch_cost (self->batch_max);
    if (s_room_is_scrap (self, room, whole))
        return 0;
    uint64_t costs = (room / whole + 1) * LEAT_BATCH_COST;
    uint64_t unsent = leat_backlog_unsent_size (self->backlog);
    if (unsent > 0)
        costs += leat_batch_cost (unsent);
    return room > costs ? room - costs : 0;
}

void leat_producer_engine_set_patient (leat_producer_engine_t *self, bool is_patient)
{
    self->is_patient = is_patient;
}

/* Whether the broker may hold back the confirmation of a batch of this cost: not when much is under
 * way, since confirmations are what makes room again. */
static bool s_may_wait (const leat_producer_engine_t *self, uint64_t cost,
                        const leat_session_window_t *window)
{
    return self->is_patient && !self->is_closing
           && leat_backlog_batches_sent (self->backlog) + 1 < PATIENT_BATCHES
           && leat_backlog_cost_sent (self->backlog) + cost < s_room (self, window) / 4;
}

static bool s_all_confirmed (const leat_producer_engine_t *self)
{
    return leat_backlog_confirmed (self->backlog) + 1 >= leat_backlog_next (self->backlog);
}

/* Without a channel at the broker there is nothing to close once all is confirmed. */
static void s_end_if_done (leat_producer_engine_t *self)
{
    if (self->is_closing && self->was_opened && self->channel_state == CHANNEL_NONE
        && s_all_confirmed (self))
        self->is_ended = true;
}

void leat_producer_engine_close (leat_producer_engine_t *self)
{
    self->is_closing = true;
    leat_attention_mark (&self->attention);
    s_end_if_done (self);
}

leat_producer_state_t leat_producer_engine_state (const leat_producer_engine_t *self)
{
    if (self->is_failed)
        return LEAT_PRODUCER_FAILED;
    if (self->is_ended)
        return LEAT_PRODUCER_ENDED;
    if (self->is_closing)
        return LEAT_PRODUCER_CLOSING;
    return self->channel_state == CHANNEL_OPEN ? LEAT_PRODUCER_OPEN : LEAT_PRODUCER_CLOSED;
}

const char *leat_producer_engine_stream (const leat_producer_engine_t *self)
{
    return self->stream;
}

const char *leat_producer_engine_error (const leat_producer_engine_t *self, leat_code_t *code)
{
    if (code != NULL)
        *code = self->fault.code;
    return self->fault.text;
}

uint64_t leat_producer_engine_resent (const leat_producer_engine_t *self)
{
    return self->resent;
}

/* ---- the session's side: beginning and losing ------------------------------------------------ */

static void s_send_open (leat_producer_engine_t *self, leat_outbox_t *outbox)
{
    leat_command_t command = { .id = LEAT_OPEN };
    command.open.channel = self->channel;
    command.open.flags = self->must_exist ? LEAT_MUST_EXIST : 0;
    command.open.base = leat_backlog_confirmed (self->backlog) + 1;
    command.open.stream = leat_text (self->stream);
    leat_outbox_command (outbox, 0, &command);
    self->channel_state = CHANNEL_OPENING;
}

static void s_send_close (leat_producer_engine_t *self, leat_outbox_t *outbox)
{
    leat_command_t command = { .id = LEAT_CLOSE };
    command.close.channel = self->channel;
    leat_outbox_command (outbox, 0, &command);
    self->channel_state = CHANNEL_CLOSING;
}

void leat_producer_engine_part (leat_producer_engine_t *self, leat_outbox_t *outbox)
{
    if (self->channel_state == CHANNEL_OPENING || self->channel_state == CHANNEL_OPEN)
        s_send_close (self, outbox);
}

void leat_producer_engine_begin (leat_producer_engine_t *self, uint32_t channel,
                                 const leat_session_terms_t *terms, leat_outbox_t *outbox)
{
    leat_assert (self->channel_state == CHANNEL_NONE);
    leat_attention_mark (&self->attention);
    if (self->is_failed || self->is_ended)
        return;
    leat_backlog_limits_t limits;
    uint64_t window = terms->window_size;
    uint64_t body_max = window > LEAT_BATCH_COST ? window - LEAT_BATCH_COST : 0;
    limits.body_size_max = terms->batch_size_max < body_max ? terms->batch_size_max : body_max;
    limits.batch_size_max =
        self->batch_size_max < limits.body_size_max ? self->batch_size_max : limits.body_size_max;
    limits.record_size_max = self->record_size_max < terms->record_size_max
                                 ? self->record_size_max
                                 : terms->record_size_max;
    leat_backlog_limit (self->backlog, &limits);
    self->batch_max = limits.batch_size_max;
    self->channel = channel;
    self->offset = UINT64_MAX;
    s_send_open (self, outbox);
}

uint64_t producer_start_over (leat_producer_engine_t *self)
{
    uint64_t confirmed = leat_backlog_confirmed (self->backlog);
    uint64_t released = leat_backlog_go_back (self->backlog, confirmed + 1);
    self->flight++;
    self->limit = 0;
    self->spent = 0;
    self->has_wanted = false;
    self->is_blocked = false;
    self->is_cramped = false;
    return released;
}

void leat_producer_engine_lost (leat_producer_engine_t *self)
{
    leat_attention_mark (&self->attention);
    producer_start_over (self);
    self->channel_state = CHANNEL_NONE;
    self->back_off_us = 0;
    self->resume_us = 0;
    self->refused_at = 0;
    s_end_if_done (self);
}

/* ---- the session's side: sending ------------------------------------------------------------- */

static void s_want (leat_producer_engine_t *self, uint64_t cost, uint64_t now_us,
                    leat_outbox_t *outbox)
{
    self->is_blocked = true;
    if (self->has_wanted && now_us < self->want_us + WANT_AGAIN_US)
        return;
    leat_command_t command = { .id = LEAT_WANT };
    command.want.channel = self->channel;
    command.want.size = cost;
    leat_outbox_command (outbox, 0, &command);
    self->has_wanted = true;
    self->want_us = now_us;
}

static void s_publish (leat_producer_engine_t *self, leat_backlog_batch_t *cut,
                       leat_session_window_t *window, leat_outbox_t *outbox)
{
    uint64_t cost = leat_batch_cost (cut->size);
    leat_batch_t batch = { .command = LEAT_PUBLISH };
    batch.attributes = leat_backlog_extended (cut) ? LEAT_BATCH_EXTENDED : 0;
    batch.channel = self->channel;
    batch.count = cut->count;
    batch.crc32c = leat_backlog_crc32c (cut);
    batch.first = cut->first;
    batch.time_ms = leat_backlog_time_ms (cut);
    batch.flight = self->flight;
    batch.flags = s_may_wait (self, cost, window) ? LEAT_PUBLISH_PATIENT : 0;
    leat_outbox_batch (outbox, 0, &batch, leat_backlog_body (cut));
    if (cut->is_again)
        self->resent++;
    self->spent += cost;
    window->used += cost;
    uint64_t last = cut->first + cut->count - 1;
    if (last > self->reached)
        self->reached = last;
    leat_backlog_mark_sent (self->backlog, cut, cost);
}

/* Sends one batch; false if there is none or it may not go. */
static bool s_send_next (leat_producer_engine_t *self, uint64_t now_us,
                         leat_session_window_t *window, leat_outbox_t *outbox)
{
    leat_backlog_oversized_t oversized;
    leat_backlog_batch_t *cut = leat_backlog_unsent (self->backlog, &oversized);
    if (cut == NULL) {
        if (oversized.sequence == 0)
            return false;
        self->is_failed = true;
        leat_fault_set (&self->fault, LEAT_TOO_LARGE,
                        "stream \"%s\": record %" PRIu64 " has %zu bytes, this broker and client "
                        "take at most %zu; raise the limit (--max-record) or send less in one",
                        self->stream, oversized.sequence, oversized.size, oversized.size_max);
        return false;
    }
    uint64_t room = s_room (self, window);
    uint64_t cost = leat_batch_cost (cut->size);
    bool fits = cost <= room;
    if (!fits && room > LEAT_BATCH_COST && !s_room_is_scrap (self, room, cost)
        && !s_space_is_scrap (window, cost))
        fits = leat_backlog_shorten (self->backlog, cut, room - LEAT_BATCH_COST);
    if (!fits) {
        uint64_t credit = self->limit - self->spent;
        uint64_t space = s_space (window);
        if (cost > credit)
            s_want (self, cost, now_us, outbox);
        self->is_cramped = space < cost && space < credit;
        return false;
    }
    s_publish (self, cut, window, outbox);
    return true;
}

void leat_producer_engine_run (leat_producer_engine_t *self, uint64_t now_us,
                               leat_session_window_t *window, leat_outbox_t *outbox)
{
    self->is_blocked = false;
    self->is_cramped = false;
    if (self->is_failed) {
        leat_producer_engine_part (self, outbox);
        return;
    }
    if (now_us < self->resume_us)
        return;
    self->resume_us = 0;
    if (self->channel_state == CHANNEL_POSTPONED)
        s_send_open (self, outbox);
    if (self->channel_state != CHANNEL_OPEN)
        return;
    while (s_send_next (self, now_us, window, outbox))
        continue;
    if (self->is_failed || (self->is_closing && s_all_confirmed (self)))
        s_send_close (self, outbox);
}

bool leat_producer_engine_is_cramped (const leat_producer_engine_t *self)
{
    return self->is_cramped;
}

leat_attention_t *leat_producer_engine_attention (leat_producer_engine_t *self)
{
    return &self->attention;
}

bool leat_producer_engine_has_channel (const leat_producer_engine_t *self)
{
    return self->channel_state == CHANNEL_OPENING || self->channel_state == CHANNEL_OPEN
           || self->channel_state == CHANNEL_CLOSING;
}

uint64_t leat_producer_engine_cost_in_flight (const leat_producer_engine_t *self, uint64_t *last)
{
    if (last != NULL)
        *last = leat_backlog_sent_end (self->backlog) - 1;
    return leat_backlog_cost_sent (self->backlog);
}

uint64_t leat_producer_engine_deadline (const leat_producer_engine_t *self)
{
    if (self->is_failed || self->channel_state == CHANNEL_NONE)
        return UINT64_MAX;
    if (self->resume_us != 0 || self->channel_state == CHANNEL_POSTPONED)
        return self->resume_us;
    return self->is_blocked ? self->want_us + WANT_AGAIN_US : UINT64_MAX;
}

bool leat_producer_engine_busy (const leat_producer_engine_t *self)
{
    return leat_backlog_batches_sent (self->backlog) > 0 || self->channel_state == CHANNEL_OPENING
           || self->channel_state == CHANNEL_CLOSING;
}

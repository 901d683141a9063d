/* One producer without I/O: what the broker answers.
 * SPDX-License-Identifier: MPL-2.0 */
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>

#include "producers/producer_state.h"

enum { BACK_OFF_MIN_US = 10 * 1000, BACK_OFF_MAX_US = 1000 * 1000 };

/* ---- opening --------------------------------------------------------------------------------- */

/* The broker's idea of where this producer is can't be brought together with ours. */
__attribute__ ((format (printf, 3, 4))) static void
s_fail_sequence (leat_producer_engine_t *self, uint64_t known, const char *format, ...)
{
    if (self->is_failed)
        return;
    char why[256];
    va_list arguments;
    va_start (arguments, format);
    vsnprintf (why, sizeof why, format, arguments);
    va_end (arguments);
    self->is_failed = true;
    leat_fault_set (&self->fault, LEAT_OUT_OF_SEQUENCE,
                    "stream \"%s\": the broker has records up to sequence %" PRIu64 ", but %s",
                    self->stream, known, why);
}

static bool s_opened (leat_producer_engine_t *self, const leat_opened_t *opened)
{
    if (self->channel_state != CHANNEL_OPENING)
        return false;
    uint64_t confirmed = leat_backlog_confirmed (self->backlog);
    if (opened->flags & LEAT_OPENED_KNOWN) {
        uint64_t known = opened->sequence;
        if (known >= (uint64_t) 1 << 63)
            return false;
        if (known < confirmed)
            s_fail_sequence (self, known,
                             "it confirmed up to %" PRIu64 " to this client before, which keeps "
                             "only what is not confirmed; the broker has lost records",
                             confirmed);
        else if (self->was_opened && known > self->reached)
            s_fail_sequence (self, known,
                             "this client has sent only up to %" PRIu64 "; somebody else has "
                             "published under its identity: give each client its own",
                             self->reached);
        else
            leat_backlog_confirm (self->backlog, known);
        if (known > self->reached)
            self->reached = known;
    }
    self->was_opened = true;
    self->channel_state = CHANNEL_OPEN;
    self->limit = opened->limit;
    self->spent = 0;
    if (self->refused_at == 0)
        self->back_off_us = 0;
    return true;
}

/* ---- confirmations and credit ---------------------------------------------------------------- */

static void s_raise_limit (leat_producer_engine_t *self, uint64_t limit)
{
    if (limit <= self->limit)
        return;
    self->limit = limit;
    self->has_wanted = false;
}

static bool s_confirmed (leat_producer_engine_t *self, const leat_confirmed_t *confirmed,
                         leat_session_window_t *window)
{
    bool has_channel =
        self->channel_state == CHANNEL_OPEN || self->channel_state == CHANNEL_CLOSING;
    /* Nothing that is refused by now, or known from an earlier session, is confirmed here. */
    if (!has_channel || confirmed->sequence >= leat_backlog_sent_end (self->backlog))
        return false;
    if (confirmed->sequence > leat_backlog_confirmed (self->backlog)) {
        window->used -= leat_backlog_confirm (self->backlog, confirmed->sequence);
        self->offset = confirmed->offset;
        self->refused_at = 0;
        self->back_off_us = 0;
    }
    s_raise_limit (self, confirmed->limit);
    return true;
}

static bool s_credit (leat_producer_engine_t *self, const leat_credit_t *credit,
                      leat_outbox_t *outbox)
{
    if (self->channel_state == CHANNEL_CLOSING)
        return true;
    if (self->channel_state != CHANNEL_OPEN)
        return false;
    if (!(credit->flags & LEAT_CREDIT_RECLAIM)) {
        s_raise_limit (self, credit->limit);
        return true;
    }
    self->limit = credit->limit > self->spent ? credit->limit : self->spent;
    self->has_wanted = false;
    leat_command_t command = { .id = LEAT_YIELDED };
    command.yielded.channel = self->channel;
    command.yielded.limit = self->limit;
    leat_outbox_command (outbox, 0, &command);
    return true;
}

/* ---- refusals -------------------------------------------------------------------------------- */

static void s_back_off (leat_producer_engine_t *self, uint64_t now_us)
{
    self->back_off_us *= 2;
    if (self->back_off_us < BACK_OFF_MIN_US)
        self->back_off_us = BACK_OFF_MIN_US;
    if (self->back_off_us > BACK_OFF_MAX_US)
        self->back_off_us = BACK_OFF_MAX_US;
    self->resume_us = now_us + self->back_off_us;
}

/* True for refusals that may be over later. */
static bool s_passes (unsigned code)
{
    switch (code) {
    case LEAT_BAD_CHECKSUM:
    case LEAT_OVER_CREDIT:
    case LEAT_LIMIT_REACHED:
    case LEAT_STORE_FULL:
    case LEAT_STORE_FAILED:
    case LEAT_SHUTTING_DOWN:
        return true;
    default:
        return false;
    }
}

static void s_note_refusal (leat_producer_engine_t *self, const leat_refused_t *refused,
                            const char *verb)
{
    if (self->is_failed)
        return;
    char what[LEAT_NAME_MAX + 64];
    if (refused->command == LEAT_PUBLISH)
        snprintf (what, sizeof what, "records of stream \"%s\" from sequence %" PRIu64,
                  self->stream, refused->first);
    else
        snprintf (what, sizeof what, "to %s stream \"%s\"", verb, self->stream);
    leat_fault_refused (&self->fault, refused->code, what, refused->reason);
}

/* The broker does not know the channel: opens it again, at once unless that has just happened. */
static void s_reopen (leat_producer_engine_t *self, uint64_t now_us, leat_session_window_t *window)
{
    uint64_t from = leat_backlog_confirmed (self->backlog) + 1;
    window->used -= producer_start_over (self);
    self->channel_state = CHANNEL_POSTPONED;
    if (self->refused_at == from)
        s_back_off (self, now_us);
    self->refused_at = from;
}

static bool s_refused_open (leat_producer_engine_t *self, const leat_refused_t *refused,
                            uint64_t now_us)
{
    if (self->channel_state != CHANNEL_OPENING)
        return false;
    s_note_refusal (self, refused, "open");
    if (s_passes (refused->code)) {
        self->channel_state = CHANNEL_POSTPONED;
        s_back_off (self, now_us);
    } else {
        self->channel_state = CHANNEL_NONE;
        self->is_failed = true;
    }
    return true;
}

static bool s_refused_publish (leat_producer_engine_t *self, const leat_refused_t *refused,
                               uint64_t now_us, leat_session_window_t *window)
{
    /* Of an earlier flight, or from before the channel was opened again: dealt with. */
    if (self->channel_state != CHANNEL_OPEN || refused->flight != self->flight)
        return true;
    s_note_refusal (self, refused, "publish into");
    if (refused->code == LEAT_NO_SUCH_CHANNEL) {
        s_reopen (self, now_us, window);
        return true;
    }
    uint64_t expected = refused->expected;
    uint64_t confirmed = leat_backlog_confirmed (self->backlog);
    uint64_t sent_end = leat_backlog_sent_end (self->backlog);
    if (expected <= confirmed) {
        s_fail_sequence (self, expected > 0 ? expected - 1 : 0,
                         "it confirmed up to %" PRIu64 " before; the broker has lost records",
                         confirmed);
        return false;
    }
    if (expected > sent_end) {
        s_fail_sequence (self, expected - 1,
                         "this client has sent only up to %" PRIu64 " in this session; somebody "
                         "else publishes under its identity",
                         sent_end - 1);
        return false;
    }
    window->used -= leat_backlog_go_back (self->backlog, expected);
    self->flight++;
    if (refused->code != LEAT_OUT_OF_SEQUENCE && !s_passes (refused->code))
        self->is_failed = true;
    else if (refused->code != LEAT_OUT_OF_SEQUENCE || self->refused_at == expected)
        s_back_off (self, now_us);
    self->refused_at = expected;
    return true;
}

static bool s_refused (leat_producer_engine_t *self, const leat_refused_t *refused, uint64_t now_us,
                       leat_session_window_t *window)
{
    switch (refused->command) {
    case LEAT_OPEN:
        return s_refused_open (self, refused, now_us);
    case LEAT_PUBLISH:
        return s_refused_publish (self, refused, now_us, window);
    case LEAT_CLOSE:
        if (self->channel_state != CHANNEL_CLOSING)
            return false;
        /* All is confirmed, or it has failed; the broker need not know the channel for that. */
        window->used -= producer_start_over (self);
        self->channel_state = CHANNEL_NONE;
        self->is_ended = true;
        return true;
    case LEAT_WANT:
    case LEAT_YIELDED:
        if (refused->code == LEAT_NO_SUCH_CHANNEL && self->channel_state == CHANNEL_OPEN) {
            s_note_refusal (self, refused, "give credit for");
            s_reopen (self, now_us, window);
        }
        return true;
    default:
        return false;
    }
}

static bool s_closed (leat_producer_engine_t *self, const leat_closed_t *closed,
                      leat_session_window_t *window)
{
    if (self->channel_state == CHANNEL_NONE)
        return false;
    bool is_answer = self->channel_state == CHANNEL_CLOSING;
    window->used -= producer_start_over (self);
    self->channel_state = CHANNEL_NONE;
    self->resume_us = 0;
    if (is_answer) {
        self->is_ended = true;
        return true;
    }
    if (self->is_failed)
        return true;
    self->is_failed = true;
    leat_code_t code = closed->code == LEAT_OK ? LEAT_NO_SUCH_CHANNEL : (leat_code_t) closed->code;
    leat_quote_t quote;
    leat_fault_set (&self->fault, code, "the broker closed stream \"%s\": %s (%u)%s%s; %s",
                    self->stream, leat_code_name (code), (unsigned) code,
                    closed->reason.size > 0 ? ", " : "", leat_quote (&quote, closed->reason),
                    leat_code_text (code));
    return closed->code != LEAT_OK;
}

bool leat_producer_engine_receive (leat_producer_engine_t *self, const leat_command_t *command,
                                   uint64_t now_us, leat_session_window_t *window,
                                   leat_outbox_t *outbox)
{
    leat_attention_mark (&self->attention);
    /* After a failure what is still on its way is confirmed, refused or closed; no record is sent. */
    switch (command->id) {
    case LEAT_OPENED:
        return s_opened (self, &command->opened);
    case LEAT_CONFIRMED:
        return s_confirmed (self, &command->confirmed, window);
    case LEAT_CREDIT:
        /* Others may wait for what a failed one was granted. */
        return s_credit (self, &command->credit, outbox) || self->is_failed;
    case LEAT_CLOSED:
        return s_closed (self, &command->closed, window);
    case LEAT_REFUSED:
        return s_refused (self, &command->refused, now_us, window);
    default:
        return false;
    }
}

/* A client's stay at a broker, without I/O: what the broker says.
 * SPDX-License-Identifier: MPL-2.0 */
#include <inttypes.h>

#include "client/session_state.h"

static bool s_welcome (leat_session_t *self, const leat_welcome_t *welcome)
{
    if (self->phase != PHASE_GREETING || !self->has_said_hello)
        return false;
    const char *wrong = NULL;
    if (welcome->version != LEAT_PROTOCOL_VERSION)
        wrong = "a version that was not offered";
    else if (welcome->heartbeat_interval_ms == 0
             || welcome->heartbeat_timeout_ms < welcome->heartbeat_interval_ms)
        wrong = "a heartbeat timeout below the heartbeat interval, or none";
    else if (welcome->record_size_max == 0 || welcome->batch_size_max == 0
             || welcome->window_size == 0 || welcome->channels_max == 0)
        wrong = "a limit of zero";
    if (wrong != NULL) {
        leat_fault_set (&self->fault, LEAT_MALFORMED,
                        "the broker's WELCOME has %s; mend the broker", wrong);
        session_retry (self, 0);
        return false;
    }
    self->terms.epoch = welcome->epoch;
    self->terms.incarnation = welcome->incarnation;
    self->terms.heartbeat_interval_ms = welcome->heartbeat_interval_ms;
    self->terms.heartbeat_timeout_ms = welcome->heartbeat_timeout_ms;
    self->terms.record_size_max = welcome->record_size_max;
    self->terms.batch_size_max = welcome->batch_size_max;
    self->terms.window_size = welcome->window_size;
    self->terms.channels_max = welcome->channels_max;
    self->window.size = welcome->window_size;
    self->window.used = 0;
    self->phase = PHASE_READY;
    self->was_ready = true;
    self->ready_us = self->now_us;
    self->sent_us = self->now_us;
    self->pinged_us = self->now_us;
    self->quiet_us = self->now_us;
    return true;
}

static bool s_fenced (leat_session_t *self, const leat_fenced_t *fenced)
{
    leat_quote_t quote;
    leat_text_t reason = leat_fault_reason (LEAT_DISPLACED, fenced->reason);
    leat_fault_set (&self->fault, LEAT_DISPLACED,
                    "another session uses the identity \"%s\" now (epoch %" PRIu64 ")%s%s; give "
                    "each client an identity of its own",
                    self->identity, fenced->epoch, reason.size > 0 ? ": " : "",
                    leat_quote (&quote, reason));
    session_end (self, LEAT_SESSION_FENCED);
    return true;
}

static bool s_bye (leat_session_t *self, const leat_bye_t *bye)
{
    if (!self->has_said_bye) {
        leat_quote_t quote;
        unsigned code = bye->code;
        leat_fault_set (&self->fault, (leat_code_t) code,
                        "the broker ended the session: %s (%u)%s%s; connecting again",
                        leat_code_name (code), code, bye->reason.size > 0 ? ", " : "",
                        leat_quote (&quote, bye->reason));
    }
    session_retry (self, bye->retry_after_ms);
    return true;
}

static bool s_refused_hello (leat_session_t *self, const leat_refused_t *refused)
{
    if (self->phase != PHASE_GREETING)
        return false;
    leat_fault_refused (&self->fault, refused->code, "HELLO", refused->reason);
    switch (refused->code) {
    case LEAT_UNSUPPORTED_VERSION:
    case LEAT_BAD_NAME:
    case LEAT_RESERVED_NAME:
    case LEAT_MALFORMED:
    case LEAT_UNKNOWN_COMMAND:
    case LEAT_NOT_HANDLED:
    case LEAT_NOT_ALLOWED:
        session_end (self, LEAT_SESSION_FAILED);
        return true;
    case LEAT_DISPLACED:
        session_end (self, LEAT_SESSION_FENCED);
        return true;
    default:
        session_retry (self, 0);
        return true;
    }
}

static bool s_refused (leat_session_t *self, const leat_refused_t *refused,
                       const leat_command_t *command)
{
    if (refused->command == LEAT_HELLO && refused->code != LEAT_NO_SESSION)
        return s_refused_hello (self, refused);
    if (refused->code == LEAT_NO_SESSION) {
        leat_fault_refused (&self->fault, refused->code, leat_command_name (refused->command),
                            refused->reason);
        session_retry (self, 0);
        return true;
    }
    if (refused->command == LEAT_BYE && self->has_said_bye) {
        session_end (self, LEAT_SESSION_CLOSED);
        return true;
    }
    if (refused->command >= LEAT_OPEN && refused->command <= LEAT_STALE)
        return leat_channels_receive (self->channels, command, self->now_us, &self->window,
                                      self->outbox);
    if (refused->command >= LEAT_STREAM_LIST && refused->command <= LEAT_DEAD_DROP)
        return leat_requests_refused (self->requests, refused);
    leat_fault_refused (&self->fault, refused->code, leat_command_name (refused->command),
                        refused->reason);
    return true;
}

/* False if the command breaks the protocol. */
static bool s_command (leat_session_t *self, const leat_command_t *command)
{
    switch (command->id) {
    case LEAT_WELCOME:
        return s_welcome (self, &command->welcome);
    case LEAT_FENCED:
        return s_fenced (self, &command->fenced);
    case LEAT_BYE:
        return s_bye (self, &command->bye);
    case LEAT_REFUSED:
        return s_refused (self, &command->refused, command);
    case LEAT_RESULT:
        return self->phase == PHASE_READY
               && leat_requests_result (self->requests, &command->result);
    case LEAT_PONG:
        return self->phase == PHASE_READY && command->pong.token <= self->token;
    default:
        return self->phase == PHASE_READY
               && leat_channels_receive (self->channels, command, self->now_us, &self->window,
                                         self->outbox);
    }
}

static bool s_deliver (leat_session_t *self, const uint8_t *headers, size_t headers_size,
                       leat_buffer_t *body)
{
    uint32_t count = leat_batch_slices (headers, headers_size, leat_buffer_size (body));
    leat_slice_t slice = { .buffer = body };
    bool is_sound = count > 0;
    for (uint32_t index = 0; index < count && is_sound; index++) {
        leat_batch_t batch;
        leat_batch_decode (&batch, headers + index * LEAT_BATCH_HEADER_SIZE,
                           LEAT_BATCH_HEADER_SIZE);
        slice.size = batch.size;
        is_sound = leat_channels_deliver (self->channels, &batch, slice, self->outbox);
        slice.offset += slice.size;
    }
    return is_sound;
}

static bool s_message (leat_session_t *self, const uint8_t *header, size_t header_size,
                       leat_buffer_t *body, unsigned frames)
{
    if (frames == 0 || header_size == 0)
        return false;
    if (header[0] == LEAT_DELIVER)
        return frames == 2 && body != NULL && self->phase == PHASE_READY
               && s_deliver (self, header, header_size, body);
    leat_command_t command;
    return frames == 1 && body == NULL
           && leat_command_decode (&command, header, header_size, NULL) == LEAT_OK
           && s_command (self, &command);
}

void leat_session_receive (leat_session_t *self, const uint8_t *header, size_t header_size,
                           leat_buffer_t *body, unsigned frames)
{
    /* What the driver still reads from a connection that is given up. */
    if (self->phase != PHASE_GREETING && self->phase != PHASE_READY)
        return;
    self->received_us = self->now_us;
    if (s_message (self, header, header_size, body, frames))
        return;
    self->malformed++;
    if (self->phase != PHASE_GREETING)
        return;
    self->is_strange = true;
    leat_fault_set (&self->fault, LEAT_MALFORMED,
                    "what answers at this address does not speak Leat's protocol; is it the stats "
                    "socket, or another program?");
}

/* A client's stay at a broker, without I/O: greeting, heartbeats, reconnecting, closing. What
 * the broker says is in session_answers.c.
 * SPDX-License-Identifier: MPL-2.0 */
#include "client/session.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "client/session_state.h"
#include "producers/producer_engine.h"
#include "wire/alloc.h"
#include "wire/assert.h"

enum {
    GREETING_TIMEOUT_MS = 5000,
    RETRY_MIN_MS = 100,
    RETRY_MAX_MS = 5000,
    CLOSING_TIMEOUT_MS = 5000,
    RETRY_AFTER_MAX_MS = 60 * 1000 /* a broker can't send us away for longer */
};

static uint64_t s_us (uint32_t ms, uint32_t default_ms)
{
    return (uint64_t) (ms != 0 ? ms : default_ms) * 1000;
}

/* splitmix64: Steele, Lea, Flood, "Fast splittable pseudorandom number generators", 2014. */
static uint64_t s_random (leat_session_t *self)
{
    uint64_t mixed = self->random += 0x9e3779b97f4a7c15u;
    mixed = (mixed ^ (mixed >> 30)) * 0xbf58476d1ce4e5b9u;
    mixed = (mixed ^ (mixed >> 27)) * 0x94d049bb133111ebu;
    return mixed ^ (mixed >> 31);
}

leat_session_t *leat_session_new (const leat_session_options_t *options)
{
    leat_session_t *self = leat_alloc (sizeof *self);
    const char *software = options->software != NULL ? options->software : "";
    size_t software_size = strlen (software);
    self->identity = leat_copy_text (options->identity, strlen (options->identity));
    self->software =
        leat_copy_text (software, software_size < LEAT_TEXT_MAX ? software_size : LEAT_TEXT_MAX);
    self->is_ephemeral = options->ephemeral;
    self->endpoints = options->endpoints > 0 ? options->endpoints : 1;
    self->greeting_timeout_us = s_us (options->greeting_timeout_ms, GREETING_TIMEOUT_MS);
    self->retry_min_us = s_us (options->retry_min_ms, RETRY_MIN_MS);
    self->retry_max_us = s_us (options->retry_max_ms, RETRY_MAX_MS);
    if (self->retry_max_us < self->retry_min_us)
        self->retry_max_us = self->retry_min_us;
    self->closing_timeout_us = s_us (options->closing_timeout_ms, CLOSING_TIMEOUT_MS);
    self->random = options->seed;
    do
        self->life = s_random (self);
    while (!self->life);
    self->channels = leat_channels_new ();
    self->requests = leat_requests_new ();
    self->outbox = leat_outbox_new ();
    if (!leat_name_valid (leat_text (self->identity))) {
        leat_quote_t quote;
        self->phase = PHASE_OVER;
        self->end = LEAT_SESSION_FAILED;
        leat_fault_set (&self->fault, LEAT_BAD_NAME, "\"%s\" can't be an identity: %s",
                        leat_quote (&quote, leat_text (self->identity)),
                        leat_code_text (LEAT_BAD_NAME));
    }
    return self;
}

void leat_session_destroy (leat_session_t **self_p)
{
    leat_session_t *self = *self_p;
    if (self == NULL)
        return;
    leat_channels_destroy (&self->channels);
    leat_requests_destroy (&self->requests);
    leat_outbox_destroy (&self->outbox);
    free (self->identity);
    free (self->software);
    free (self);
    *self_p = NULL;
}

/* ---- ends and new beginnings ----------------------------------------------------------------- */

/* Nothing of this connection matters any more. */
static void s_drop_connection (leat_session_t *self)
{
    leat_outbox_clear (self->outbox);
    self->window.used = 0;
    leat_channels_lost (self->channels);
    leat_requests_lost (self->requests);
    self->has_said_hello = false;
    self->has_said_bye = false;
    self->is_strange = false;
}

void session_end (leat_session_t *self, leat_session_state_t end)
{
    s_drop_connection (self);
    self->phase = PHASE_OVER;
    self->end = end;
}

/* Half of the back-off is certain, half is chance, so that clients which lost one broker together
 * do not come back together. */
static uint64_t s_back_off_us (leat_session_t *self)
{
    uint64_t back_off_us = self->retry_min_us;
    for (uint32_t i = 0; i < self->attempts && back_off_us < self->retry_max_us; i++)
        back_off_us *= 2;
    if (back_off_us > self->retry_max_us)
        back_off_us = self->retry_max_us;
    if (self->attempts < UINT32_MAX)
        self->attempts++;
    return back_off_us / 2 + s_random (self) % (back_off_us / 2 + 1);
}

void session_retry (leat_session_t *self, uint32_t after_ms)
{
    if (self->has_said_bye) {
        session_end (self, LEAT_SESSION_CLOSED);
        return;
    }
    if (self->phase == PHASE_READY) {
        self->losses++;
        /* A broker that ends each session at once is not asked more and more often. */
        if (self->now_us - self->ready_us >= self->retry_max_us)
            self->attempts = 0;
    }
    s_drop_connection (self);
    self->phase = PHASE_WAITING;
    self->endpoint = (self->endpoint + 1) % self->endpoints;
    uint64_t wait_us = s_back_off_us (self);
    if (after_ms > 0) {
        if (after_ms > RETRY_AFTER_MAX_MS)
            after_ms = RETRY_AFTER_MAX_MS;
        wait_us = (uint64_t) after_ms * 1000 + s_random (self) % self->retry_min_us;
    }
    self->retry_us = self->now_us + wait_us;
}

bool leat_session_connect (leat_session_t *self, uint32_t *endpoint)
{
    if (self->phase != PHASE_WAITING || self->now_us < self->retry_us)
        return false;
    self->phase = PHASE_GREETING;
    self->greeting_us = self->now_us + self->greeting_timeout_us;
    *endpoint = self->endpoint;
    return true;
}

static void s_say_hello (leat_session_t *self)
{
    leat_command_t command = { .id = LEAT_HELLO };
    command.hello.signature = LEAT_SIGNATURE;
    command.hello.version_min = LEAT_PROTOCOL_VERSION;
    command.hello.version_max = LEAT_PROTOCOL_VERSION;
    command.hello.flags = (uint16_t) ((self->was_ready ? LEAT_HELLO_RESUME : 0)
                                      | (self->is_ephemeral ? LEAT_HELLO_EPHEMERAL : 0));
    command.hello.life = self->life;
    command.hello.attempt = ++self->attempt;
    command.hello.identity = leat_text (self->identity);
    command.hello.software = leat_text (self->software);
    leat_outbox_command (self->outbox, 0, &command);
    self->has_said_hello = true;
}

void leat_session_unsent (leat_session_t *self)
{
    if (self->phase != PHASE_GREETING && self->phase != PHASE_READY)
        return;
    leat_fault_set (&self->fault, LEAT_TIMED_OUT,
                    "a message could not be sent to the broker; connecting again");
    session_retry (self, 0);
}

void leat_session_unconnected (leat_session_t *self, const leat_fault_t *fault)
{
    if (self->phase != PHASE_GREETING)
        return;
    self->fault = *fault;
    session_retry (self, 0);
}

/* ---- time ------------------------------------------------------------------------------------ */

void leat_session_tick (leat_session_t *self, uint64_t now_us, uint64_t wall_ms)
{
    (void) wall_ms; /* batches have the time at which they were submitted */
    leat_assert (now_us >= self->now_us);
    self->now_us = now_us;
}

static uint64_t s_interval_us (const leat_session_t *self)
{
    return (uint64_t) self->terms.heartbeat_interval_ms * 1000;
}

static uint64_t s_timeout_us (const leat_session_t *self)
{
    return (uint64_t) self->terms.heartbeat_timeout_ms * 1000;
}

static uint64_t s_earlier (uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

static uint64_t s_later (uint64_t a, uint64_t b)
{
    return a > b ? a : b;
}

/* When the next PING is due. While an answer is waited for it does not matter what else is sent: the
 * broker is asked each interval. Otherwise half the timeout after the last thing sent, and after the
 * last sign of life, so that an answer comes before the timeout ends the session. */
static uint64_t s_ping_us (const leat_session_t *self)
{
    uint64_t half_us = s_timeout_us (self) / 2;
    uint64_t heard_us = s_later (self->received_us, self->pinged_us);
    uint64_t idle_us = s_earlier (self->sent_us, heard_us) + half_us;
    if (!self->has_said_bye && !leat_channels_busy (self->channels))
        return idle_us;
    return s_earlier (idle_us, s_later (self->pinged_us, self->quiet_us) + s_interval_us (self));
}

static void s_beat (leat_session_t *self)
{
    if (leat_outbox_count (self->outbox) > 0)
        self->sent_us = self->now_us;
    if (!self->has_said_bye && !leat_channels_busy (self->channels))
        self->quiet_us = self->now_us;
    if (self->now_us < s_ping_us (self))
        return;
    leat_command_t command = { .id = LEAT_PING };
    command.ping.token = ++self->token;
    leat_outbox_command (self->outbox, 0, &command);
    self->pinged_us = self->now_us;
    self->sent_us = self->now_us;
}

/* Ends what has taken too long. */
static void s_time_out (leat_session_t *self)
{
    if (self->phase == PHASE_GREETING && self->now_us >= self->greeting_us) {
        if (!self->is_strange)
            leat_fault_set (&self->fault, LEAT_TIMED_OUT,
                            "no broker answered within %" PRIu64
                            " ms; is one running at this address?",
                            self->greeting_timeout_us / 1000);
        session_retry (self, 0);
    } else if (self->phase == PHASE_READY
               && self->now_us >= self->received_us + s_timeout_us (self)) {
        leat_fault_set (&self->fault, LEAT_TIMED_OUT,
                        "nothing was heard from the broker for %" PRIu32 " ms; connecting again",
                        self->terms.heartbeat_timeout_ms);
        session_retry (self, 0);
    }
    if (self->is_closing && self->phase != PHASE_OVER && self->now_us >= self->closing_us) {
        leat_fault_set (&self->fault, LEAT_TIMED_OUT,
                        "closing took longer than %" PRIu64 " ms; what was not confirmed or "
                        "settled by then is not",
                        self->closing_timeout_us / 1000);
        session_end (self, LEAT_SESSION_CLOSED);
    }
}

static void s_run_closing (leat_session_t *self)
{
    if (!leat_channels_done (self->channels, self->phase == PHASE_READY) || self->has_said_bye)
        return;
    if (self->phase != PHASE_READY) {
        session_end (self, LEAT_SESSION_CLOSED);
        return;
    }
    leat_command_t command = { .id = LEAT_BYE };
    leat_outbox_command (self->outbox, 0, &command);
    self->has_said_bye = true;
}

void leat_session_run (leat_session_t *self)
{
    s_time_out (self);
    if (self->phase == PHASE_GREETING && !self->has_said_hello)
        s_say_hello (self);
    if (self->phase == PHASE_READY && !self->has_said_bye) {
        leat_channels_begin (self->channels, &self->terms, self->outbox);
        leat_channels_run (self->channels, self->now_us, &self->window, self->outbox);
        leat_requests_run (self->requests, self->outbox);
    }
    if (self->is_closing && self->phase != PHASE_OVER)
        s_run_closing (self);
    if (self->phase == PHASE_READY)
        s_beat (self);
}

uint64_t leat_session_deadline (const leat_session_t *self)
{
    uint64_t deadline_us = self->is_closing ? self->closing_us : UINT64_MAX;
    switch (self->phase) {
    case PHASE_OVER:
        return UINT64_MAX;
    case PHASE_WAITING:
        return s_earlier (deadline_us, self->retry_us);
    case PHASE_GREETING:
        if (!self->has_said_hello)
            return self->now_us;
        return s_earlier (deadline_us, self->greeting_us);
    case PHASE_READY:
        break;
    }
    if ((leat_channels_waiting (self->channels) || leat_requests_waiting (self->requests))
        && !self->has_said_bye)
        return self->now_us;
    deadline_us = s_earlier (deadline_us, self->received_us + s_timeout_us (self));
    deadline_us = s_earlier (deadline_us, s_ping_us (self));
    return s_earlier (deadline_us, leat_channels_deadline (self->channels));
}

/* ---- the driver's side ----------------------------------------------------------------------- */

static bool s_has_room (const leat_session_t *self)
{
    uint32_t channels_max = self->terms.channels_max;
    return !self->is_closing && self->phase != PHASE_OVER
           && (channels_max == 0 || leat_channels_count (self->channels) < channels_max);
}

bool leat_session_add_producer (leat_session_t *self, struct leat_producer_engine *producer)
{
    if (!s_has_room (self)
        || leat_channels_publishes (self->channels, leat_producer_engine_stream (producer)))
        return false;
    leat_channels_add_producer (self->channels, producer);
    return true;
}

bool leat_session_add_consumer (leat_session_t *self, struct leat_consumer_engine *consumer)
{
    if (!s_has_room (self))
        return false;
    leat_channels_add_consumer (self->channels, consumer);
    return true;
}

void leat_session_remove_producer (leat_session_t *self, struct leat_producer_engine *producer)
{
    bool may_speak = self->phase == PHASE_READY && !self->has_said_bye;
    leat_channels_remove_producer (self->channels, producer, may_speak ? self->outbox : NULL);
}

void leat_session_remove_consumer (leat_session_t *self, struct leat_consumer_engine *consumer)
{
    leat_channels_remove_consumer (self->channels, consumer);
}

void leat_session_add_request (leat_session_t *self, struct leat_request *request)
{
    leat_requests_add (self->requests, request);
}

void leat_session_remove_request (leat_session_t *self, struct leat_request *request)
{
    leat_requests_remove (self->requests, request);
}

leat_outbox_t *leat_session_outbox (leat_session_t *self)
{
    return self->outbox;
}

void leat_session_close (leat_session_t *self)
{
    if (self->is_closing || self->phase == PHASE_OVER)
        return;
    self->is_closing = true;
    self->closing_us = self->now_us + self->closing_timeout_us;
    leat_channels_close (self->channels);
    if (self->phase != PHASE_READY)
        s_run_closing (self);
}

leat_session_state_t leat_session_state (const leat_session_t *self)
{
    if (self->phase == PHASE_OVER)
        return self->end;
    if (self->is_closing)
        return LEAT_SESSION_CLOSING;
    if (self->phase == PHASE_WAITING)
        return LEAT_SESSION_WAITING;
    return self->phase == PHASE_GREETING ? LEAT_SESSION_GREETING : LEAT_SESSION_READY;
}

const leat_session_terms_t *leat_session_terms (const leat_session_t *self)
{
    return &self->terms;
}

const leat_session_window_t *leat_session_window (const leat_session_t *self)
{
    return &self->window;
}

const char *leat_session_error (const leat_session_t *self, leat_code_t *code)
{
    if (code != NULL)
        *code = self->fault.code;
    return self->fault.text;
}

uint64_t leat_session_losses (const leat_session_t *self)
{
    return self->losses;
}

uint64_t leat_session_malformed (const leat_session_t *self)
{
    return self->malformed;
}

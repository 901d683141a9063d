/* The producer: what the client's thread does for it.
 * SPDX-License-Identifier: MPL-2.0 */
#include "producers/producer.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "wire/assert.h"

enum {
    /* While fewer batches are under way, whatever is there is sent at once. */
    BATCHES_IN_FLIGHT = 4
};

static leat_producer_t *s_self (leat_port_t *port)
{
    return (leat_producer_t *) port;
}

/* ---- numbering ------------------------------------------------------------------------------- */

void leat_producer_port_skip (leat_producer_t *self, uint64_t count)
{
    self->skip += count;
    leat_port_touch (&self->port);
}

/* The broker has told for the first time what it has. */
static void s_opened (leat_producer_t *self)
{
    uint64_t known = leat_producer_engine_confirmed (self->engine);
    self->is_opened = true;
    if (!self->is_replay) {
        self->base = known;
        leat_producer_engine_pass (self->engine, known);
    }
    atomic_store (&self->known, known);
    leat_gate_announce (&self->gate);
}

/* ---- feeding the engine ---------------------------------------------------------------------- */

/* True if the engine takes records: there is a channel, or was one, and no end in sight. */
static bool s_can_submit (leat_producer_t *self)
{
    if (leat_producer_engine_state (self->engine) != LEAT_PRODUCER_OPEN)
        return false;
    if (!self->is_opened)
        s_opened (self);
    return true;
}

static bool s_is_ending (const leat_producer_t *self)
{
    return self->is_abandoned || self->port.client->closing_us != 0;
}

/* The application had to wait for room and has some now: it will write as fast as it can. No batch goes
 * before it is full, unless that takes too long; otherwise the first record would wake the client's
 * thread, and the room be used up in pieces. */
static void s_expect_much (leat_producer_t *self)
{
    self->is_held = false;
    if (atomic_load (&self->wake) == LEAT_WAKE_NEVER || s_is_ending (self))
        return;
    self->filling_until_us = self->port.client->now_us + self->linger_us;
    atomic_store (&self->wake, LEAT_WAKE_BY_CHUNK);
    leat_port_set_deadline (&self->port, self->filling_until_us);
}

/* Ends that when it takes too long; but a thread that was woken may not have come to run yet. */
static void s_expect_no_more (leat_producer_t *self, uint64_t now_us)
{
    if (self->filling_until_us == 0 || (now_us < self->filling_until_us && !s_is_ending (self)))
        return;
    bool is_to_run = atomic_load (&self->is_full)
                     && atomic_load (&self->awaited_size) <= atomic_load (&self->released_size);
    self->filling_until_us = is_to_run && !s_is_ending (self) ? now_us + self->linger_us : 0;
}

/* Whether the application waits for the confirmation of records that are still to be taken. */
static bool s_is_awaited (leat_producer_t *self)
{
    uint64_t awaited = atomic_load (&self->awaited_size);
    return awaited != UINT64_MAX && awaited > self->taken_size;
}

/* Whether more records will soon join those of the slice. */
static bool s_will_grow (leat_producer_t *self, const leat_flume_slice_t *slice, uint64_t now_us)
{
    self->is_held = false;
    if (slice->is_finished || s_is_awaited (self) || s_is_ending (self))
        return false;
    /* The application waits for room, which batches that are under way are going to make. */
    uint64_t awaited = atomic_load (&self->awaited_size);
    self->is_held = awaited != UINT64_MAX && awaited > atomic_load (&self->released_size);
    return self->is_held || now_us < self->filling_until_us;
}

/* Whether the slice goes now; `added` slices went in this turn. */
static leat_wake_t s_judge (leat_producer_t *self, const leat_flume_slice_t *slice, uint32_t added,
                            uint64_t now_us)
{
    if (s_will_grow (self, slice, now_us)) {
        self->held_us = 0;
        return LEAT_WAKE_BY_CHUNK;
    }
    const leat_session_window_t *window = leat_session_window (self->port.client->session);
    uint32_t in_flight = leat_producer_engine_batches_in_flight (self->engine) + added;
    if (leat_producer_engine_sendable_size (self->engine, window) == 0) {
        /* One batch has to be there for the engine to ask for credit. */
        bool is_first = in_flight == 0 && leat_producer_engine_unconfirmed_size (self->engine) == 0;
        return is_first ? LEAT_WAKE_BY_RECORD : LEAT_WAKE_NEVER;
    }
    if (in_flight < BATCHES_IN_FLIGHT || slice->is_finished || s_is_awaited (self))
        return LEAT_WAKE_BY_RECORD;
    if (self->held_us == 0)
        self->held_us = now_us;
    return now_us >= self->held_us + self->linger_us ? LEAT_WAKE_BY_RECORD : LEAT_WAKE_BY_CHUNK;
}

/* Whether nobody seems to wait for the confirmation of the batch that is sent next: neither a thread,
 * nor a callback that may want to send again, nor records that find no room. */
static bool s_is_patient (leat_producer_t *self)
{
    unsigned hurry = atomic_load_explicit (&self->hurry, memory_order_relaxed);
    if (hurry > 0)
        atomic_store_explicit (&self->hurry, hurry - 1, memory_order_relaxed);
    return hurry == 0 && self->confirmed_fn == NULL && !self->is_abandoned
           && atomic_load (&self->awaited_size) == UINT64_MAX
           && leat_producer_engine_unconfirmed_size (self->engine) < self->window_size / 4;
}

static void s_feed (leat_port_t *port, uint64_t now_us)
{
    leat_producer_t *self = s_self (port);
    leat_wake_t wake = LEAT_WAKE_NEVER;
    uint64_t wall_ms = 0;
    bool was_filling = self->filling_until_us != 0 && !s_is_ending (self);
    s_expect_no_more (self, now_us);
    if (!self->is_added) {
        self->is_added = leat_session_add_producer (port->client->session, self->engine);
        leat_port_set_outside (port, !self->is_added);
    }
    if (self->is_added && s_can_submit (self)) {
        leat_producer_engine_pass (self->engine, self->skip);
        self->skip = 0;
        leat_flume_slice_t slice;
        wake = LEAT_WAKE_BY_RECORD;
        for (uint32_t added = 0; leat_flume_peek (&self->flume, &slice); added++) {
            wake = s_judge (self, &slice, added, now_us);
            if (wake != LEAT_WAKE_BY_RECORD)
                break;
            if (wall_ms == 0)
                wall_ms = leat_clock_wall_ms ();
            leat_producer_engine_set_patient (self->engine, s_is_patient (self));
            leat_producer_engine_submit (self->engine, slice.records, slice.count,
                                         slice.is_extended, wall_ms);
            leat_flume_take (&self->flume, &slice);
            self->taken_size += slice.records.size;
            self->held_us = 0;
            if (slice.is_finished && was_filling)
                self->filling_until_us = now_us + self->linger_us;
        }
    }
    if (wake != LEAT_WAKE_BY_CHUNK)
        self->held_us = 0;
    if (self->filling_until_us != 0 && wake == LEAT_WAKE_BY_RECORD)
        wake = LEAT_WAKE_BY_CHUNK;
    atomic_store (&self->wake, wake);
    if (self->is_abandoned && !self->is_closing && self->is_opened && wake == LEAT_WAKE_BY_RECORD
        && !leat_flume_waits (&self->flume)) {
        self->is_closing = true;
        leat_producer_engine_close (self->engine);
    }
}

static bool s_waits (leat_port_t *port)
{
    leat_producer_t *self = s_self (port);
    switch ((leat_wake_t) atomic_load (&self->wake)) {
    case LEAT_WAKE_BY_RECORD:
        return leat_flume_waits (&self->flume);
    case LEAT_WAKE_BY_CHUNK:
        return leat_flume_is_finished (&self->flume)
               || (s_is_awaited (self) && leat_flume_waits (&self->flume));
    case LEAT_WAKE_NEVER:
        break;
    }
    return false;
}

static uint64_t s_deadline (const leat_port_t *port)
{
    const leat_producer_t *self = (const leat_producer_t *) port;
    if (self->filling_until_us != 0)
        return self->filling_until_us;
    return self->held_us != 0 ? self->held_us + self->linger_us : UINT64_MAX;
}

/* ---- telling the application ----------------------------------------------------------------- */

static void s_give_verdict (leat_producer_t *self)
{
    int verdict = leat_client_verdict (self->port.client);
    leat_code_t code;
    const char *text = leat_producer_engine_error (self->engine, &code);
    bool has_failed = leat_producer_engine_state (self->engine) == LEAT_PRODUCER_FAILED;
    if (has_failed)
        verdict = EPIPE;
    if (verdict == atomic_load (&self->verdict) && code == self->fault.code)
        return;
    leat_gate_claim (&self->gate);
    if (verdict == EPIPE && !has_failed)
        self->fault = self->port.client->fault;
    else if (code != self->fault.code)
        leat_fault_set (&self->fault, code, "%s", text);
    atomic_store (&self->verdict, verdict);
    leat_gate_signal (&self->gate);
    leat_gate_unlock (&self->gate);
}

/* The engine is through, and in nobody's way. */
static bool s_has_ended (const leat_producer_t *self)
{
    leat_producer_state_t state = leat_producer_engine_state (self->engine);
    return state == LEAT_PRODUCER_ENDED
           || (state == LEAT_PRODUCER_FAILED && !leat_producer_engine_has_channel (self->engine));
}

static void s_publish (leat_port_t *port, bool is_sent)
{
    (void) is_sent;
    leat_producer_t *self = s_self (port);
    s_give_verdict (self);
    if (!self->was_over && s_has_ended (self)) {
        self->was_over = true;
        leat_ports_touch_outside (&port->client->ports);
    }
    if (!self->is_opened)
        return;
    uint64_t released = self->taken_size - leat_producer_engine_unconfirmed_size (self->engine);
    uint64_t confirmed = leat_producer_engine_confirmed (self->engine) - self->base;
    if (released == atomic_load_explicit (&self->released_size, memory_order_relaxed)
        && confirmed == atomic_load_explicit (&self->confirmed, memory_order_relaxed))
        return;
    /* Whoever flushes has had every call before leat_producer_flush returns. */
    if (self->confirmed_fn != NULL && confirmed > self->told) {
        self->told = confirmed;
        self->confirmed_fn (self->arg, confirmed, leat_producer_engine_offset (self->engine));
    }
    atomic_store (&self->released_size, released);
    atomic_store (&self->confirmed, confirmed);
    bool is_enough = atomic_load (&self->awaited_size) <= released;
    if (self->is_held || (is_enough && atomic_load (&self->is_full)))
        s_expect_much (self);
    if (is_enough)
        leat_gate_announce (&self->gate);
}

/* ---- the rest -------------------------------------------------------------------------------- */

static void s_lost (leat_port_t *port)
{
    (void) port; /* the engine keeps what is unconfirmed */
}

static bool s_drain (leat_port_t *port)
{
    leat_producer_t *self = s_self (port);
    leat_producer_state_t state = leat_producer_engine_state (self->engine);
    if (self->filling_until_us != 0 || self->is_held)
        leat_port_touch (port);
    return state == LEAT_PRODUCER_FAILED || state == LEAT_PRODUCER_ENDED
           || state == LEAT_PRODUCER_CLOSING || !leat_flume_waits (&self->flume);
}

static bool s_is_over (const leat_port_t *port)
{
    const leat_producer_t *self = (const leat_producer_t *) port;
    return self->is_abandoned && (s_has_ended (self) || leat_client_verdict (port->client) != 0);
}

static void s_destroy (leat_port_t *port)
{
    leat_producer_t *self = s_self (port);
    leat_client_t *client = port->client;
    if (self->is_added)
        leat_session_remove_producer (client->session, self->engine);
    leat_client_part (client, port);
    leat_producer_engine_destroy (&self->engine);
    leat_flume_deinit (&self->flume);
    leat_gate_deinit (&self->gate);
    free (self);
    leat_client_release (client);
}

const leat_port_ops_t leat_producer_port_ops = {
    .feed = s_feed,
    .publish = s_publish,
    .lost = s_lost,
    .waits = s_waits,
    .deadline = s_deadline,
    .drain = s_drain,
    .is_over = s_is_over,
    .destroy = s_destroy,
};

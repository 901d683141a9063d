/* One turn: what was asked and received goes to the session and the engines, what they say is sent.
 * SPDX-License-Identifier: MPL-2.0 */
#include <string.h>

#include "client/client_state.h"

/* ---- 1. what other threads ask --------------------------------------------------------------- */

static void s_serve_calls (leat_client_t *self)
{
    if (!atomic_load (&self->has_calls))
        return;
    leat_gate_claim (&self->gate);
    /* A loss may have been found while going to sleep, and what is answered now takes it for granted. */
    self->losses = leat_session_losses (self->session);
    leat_call_t *call;
    while ((call = STAILQ_FIRST (&self->calls)) != NULL) {
        STAILQ_REMOVE_HEAD (&self->calls, link);
        leat_gate_unlock (&self->gate);
        call->fn (call->arg);
        leat_gate_claim (&self->gate);
        call->is_done = true;
    }
    atomic_store (&self->has_calls, false);
    leat_gate_signal (&self->gate);
    leat_gate_unlock (&self->gate);
}

/* ---- 2. and 6. the socket -------------------------------------------------------------------- */

/* True if there may be more than `messages`. */
static bool s_receive (leat_client_t *self, unsigned messages)
{
    leat_socket_message_t message;
    if (self->socket == NULL)
        return false;
    for (unsigned count = 0; count < messages; count++) {
        if (!leat_socket_receive (self->socket, &message))
            return false;
        self->has_received = true;
        leat_session_receive (self->session, message.header, message.header_size, message.body,
                              message.frames);
    }
    return true;
}

void leat_client_disconnect (leat_client_t *self)
{
    if (self->socket == NULL)
        return;
    leat_socket_destroy (&self->socket);
    leat_port_t *port;
    TAILQ_FOREACH (port, &self->ports.all, link) {
        port->ops->lost (port);
        leat_port_touch (port);
    }
}

static bool s_has_connection (leat_session_state_t state)
{
    return state == LEAT_SESSION_GREETING || state == LEAT_SESSION_READY
           || state == LEAT_SESSION_CLOSING;
}

/* Opens and closes as the session says. */
static void s_connect (leat_client_t *self)
{
    uint32_t index;
    if (leat_session_connect (self->session, &index)) {
        leat_client_disconnect (self);
        leat_fault_t fault;
        self->socket =
            leat_socket_new (self->context, leat_endpoints_get (self->endpoints, index), &fault);
        atomic_store (&self->has_tidings, true); /* see leat_socket_hear */
        if (self->socket == NULL) {
            self->has_no_connection = false;
            leat_session_unconnected (self->session, &fault);
        }
        return;
    }
    if (!s_has_connection (leat_session_state (self->session)))
        leat_client_disconnect (self);
}

/* ---- 3. what the application has left -------------------------------------------------------- */

static void s_feed (leat_client_t *self)
{
    leat_port_t *port;
    leat_ports_gather (&self->ports, self->now_us);
    while ((port = leat_ports_next_due (&self->ports)) != NULL) {
        port->ops->feed (port, self->now_us);
        leat_port_set_deadline (port, port->ops->deadline (port));
    }
}

/* ---- 7. news --------------------------------------------------------------------------------- */

static void s_publish_ports (leat_client_t *self, bool has_changed)
{
    leat_port_t *port;
    if (has_changed) {
        TAILQ_FOREACH (port, &self->ports.all, link) {
            leat_port_notice (port);
            leat_port_touch (port);
        }
    }
    if (self->is_sent)
        leat_ports_sent (&self->ports);
    while ((port = leat_ports_next_news (&self->ports)) != NULL) {
        port->ops->publish (port, self->is_sent);
        if (port->ops->is_over (port))
            port->ops->destroy (port);
        else if (port->ops->waits (port))
            leat_port_touch (port);
    }
}

static void s_publish (leat_client_t *self)
{
    leat_session_state_t state = leat_session_state (self->session);
    const leat_session_terms_t *terms = leat_session_terms (self->session);
    leat_code_t code;
    const char *text = leat_session_error (self->session, &code);
    leat_gate_claim (&self->gate);
    if (state == LEAT_SESSION_READY && !self->was_ready) {
        self->was_ready = true;
        leat_gate_signal (&self->gate);
    }
    bool has_changed = state != self->state;
    if (has_changed)
        leat_gate_signal (&self->gate);
    self->state = state;
    self->losses = leat_session_losses (self->session);
    if (self->has_no_connection && code == LEAT_TIMED_OUT)
        leat_fault_set (&self->fault, code,
                        "no connection to a broker could be made; is one running at this address?");
    else if (code != self->fault.code || strcmp (text, self->fault.text) != 0)
        leat_fault_set (&self->fault, code, "%s", text);
    leat_gate_unlock (&self->gate);
    if (terms->window_size != 0) {
        uint32_t window = terms->window_size;
        uint32_t body_max = window > LEAT_BATCH_COST ? window - LEAT_BATCH_COST : 0;
        if (body_max > terms->batch_size_max)
            body_max = terms->batch_size_max;
        atomic_store (&self->record_size_max, terms->record_size_max);
        atomic_store (&self->body_size_max, body_max);
    }
    s_publish_ports (self, has_changed);
}

/* ---- the turn -------------------------------------------------------------------------------- */

/* Once the application wants the end: gives the engines the rest, then closes the session. */
static void s_close (leat_client_t *self)
{
    if (!atomic_load (&self->is_stopping) || self->is_closing)
        return;
    if (self->closing_us == 0) {
        self->closing_us = self->now_us + self->closing_timeout_us;
        leat_port_t *port;
        TAILQ_FOREACH (port, &self->ports.all, link)
            port->ops->drain (port); /* now all have been told */
        self->draining = TAILQ_FIRST (&self->ports.all);
    }
    while (self->draining != NULL && self->draining->ops->drain (self->draining))
        self->draining = TAILQ_NEXT (self->draining, link);
    if (self->draining != NULL)
        return;
    self->is_closing = true;
    leat_session_close (self->session);
}

/* Silence of the broker counts only once all that it sent is read. */
static bool s_must_receive (const leat_client_t *self)
{
    return leat_session_deadline (self->session) <= self->now_us;
}

static bool s_turn (leat_client_t *self, unsigned messages)
{
    atomic_store (&self->sleep, LEAT_AWAKE);
    leat_ports_begin (&self->ports);
    s_serve_calls (self); /* 1 */
    self->now_us = leat_clock_us ();
    self->has_received = false;
    if (messages == 0 && s_must_receive (self))
        messages = LEAT_MESSAGES_PER_TURN;
    leat_session_tick (self->session, self->now_us, leat_clock_wall_ms ());
    bool is_busy = messages > 0 && s_receive (self, messages); /* 2 */
    s_close (self);
    s_feed (self);                    /* 3 */
    leat_session_run (self->session); /* 4 */
    s_connect (self);                 /* 5 */
    leat_outbox_t *outbox = leat_session_outbox (self->session);
    self->is_sent = self->socket != NULL && leat_socket_send (self->socket, outbox); /* 6 */
    s_publish (self);                                                                /* 7 */
    return is_busy;
}

bool leat_client_turn (leat_client_t *self, unsigned messages)
{
    return s_turn (self, messages);
}

bool leat_client_turn_to_send (leat_client_t *self)
{
    return s_turn (self, 0);
}

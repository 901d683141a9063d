/* The client's own thread.
 * SPDX-License-Identifier: MPL-2.0 */
#include <errno.h>
#include <poll.h>

#include "client/client_state.h"
#include "wire/assert.h"

/* Rests while others watch, and returns when there is to be a turn: somebody woke this thread, or
 * nobody watches any more. */
static void s_stand_by (leat_client_t *self)
{
    const struct pollfd items[] = { { .fd = self->relief_fd, .events = POLLIN },
                                    { .fd = self->relay_fd, .events = POLLIN } };
    atomic_store (&self->post, LEAT_POST_REST);
    while (atomic_load (&self->is_driven) || atomic_load (&self->sleep) == LEAT_RELAY) {
        struct pollfd polled[] = { items[0], items[1] };
        int ready = ppoll (polled, 2, NULL, NULL);
        leat_assert (ready >= 0 || errno == EINTR || errno == ENOMEM);
        if (ready <= 0)
            continue;
        if (polled[0].revents != 0)
            leat_watch_clear (self->relief_fd);
        if (polled[1].revents != 0)
            leat_watch_clear (self->relay_fd);
        if (!atomic_load (&self->is_driven))
            return;
    }
}

/* ---- the end --------------------------------------------------------------------------------- */

static bool s_is_over (const leat_client_t *self)
{
    if (self->closing_us == 0)
        return false;
    leat_session_state_t state = leat_session_state (self->session);
    return state == LEAT_SESSION_CLOSED || state == LEAT_SESSION_FENCED
           || state == LEAT_SESSION_FAILED || self->now_us >= self->closing_us;
}

/* Whatever waits for this thread gets its answer. What turns alone may touch is protected by the gate
 * from now on (leat_client_call). */
static void s_end (leat_client_t *self)
{
    leat_client_disconnect (self);
    leat_gate_claim (&self->gate);
    self->has_ended = true;
    leat_call_t *call;
    while ((call = STAILQ_FIRST (&self->calls)) != NULL) {
        STAILQ_REMOVE_HEAD (&self->calls, link);
        call->fn (call->arg);
        call->is_done = true;
    }
    leat_port_t *port, *next;
    TAILQ_FOREACH_SAFE (port, &self->ports.all, link, next) {
        port->ops->publish (port, false);
        if (port->ops->is_over (port))
            port->ops->destroy (port);
    }
    leat_gate_signal (&self->gate);
    leat_gate_unlock (&self->gate);
}

/* ---- turns ----------------------------------------------------------------------------------- */

/* False once the client has ended. */
static bool s_take_turn (leat_client_t *self, bool *sleeps, leat_watch_t *watch)
{
    leat_client_take_turn (self);
    atomic_store (&self->post, LEAT_POST_TURN);
    bool is_busy = leat_client_turn (self, LEAT_MESSAGES_PER_TURN);
    bool is_over = s_is_over (self);
    if (is_over)
        s_end (self);
    *sleeps = !is_over && !is_busy && leat_watch_begin (self, watch, UINT64_MAX);
    leat_client_give_turn (self);
    return !is_over;
}

void *leat_client_run (void *arg)
{
    leat_client_t *self = arg;
    leat_watch_t watch;
    bool sleeps;
    while (s_take_turn (self, &sleeps, &watch)) {
        bool is_watching = sleeps;
        if (is_watching) {
            atomic_store (&self->post, LEAT_POST_WATCH);
            is_watching = !atomic_load (&self->is_driven);
        }
        /* Whoever watches looks again at what this turn has changed. */
        if (sleeps && !is_watching)
            leat_watch_signal (self->wake_fd);
        else if (sleeps)
            is_watching = leat_watch_wait (self, &watch, true);
        if (sleeps && !is_watching)
            s_stand_by (self);
    }
    return NULL;
}

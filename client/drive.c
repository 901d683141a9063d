/* Turns of application threads.
 * SPDX-License-Identifier: MPL-2.0 */
#include "client/drive.h"

#include <errno.h>

#include "client/client_state.h"

/* With the turn. */
static bool s_may_take_turns (leat_client_t *self)
{
    return !self->has_ended && !atomic_load (&self->is_stopping)
           && atomic_load (&self->callbacks) == 0
           && leat_session_state (self->session) == LEAT_SESSION_READY;
}

/* ---- waiting --------------------------------------------------------------------------------- */

/* Whoever waits for an answer mostly has it with the first message that comes. To look for another one
 * costs as much as to receive it, and is left to whoever watches next. Of records one takes what is there. */
typedef enum { S_RECORDS, S_ANSWER } s_wanted_t;

static bool s_begin (leat_client_t *self)
{
    bool is_driven = false;
    if (atomic_load (&self->waiting) > 0 || atomic_load (&self->callbacks) > 0
        || !atomic_compare_exchange_strong (&self->is_driven, &is_driven, true))
        return false;
    if (atomic_load (&self->post) == LEAT_POST_WATCH)
        leat_watch_signal (self->relief_fd);
    return true;
}

/* With the turn; gives it up. */
static void s_end (leat_client_t *self, bool is_busy, uint64_t began_us)
{
    atomic_store (&self->is_driven, false);
    if (is_busy) {
        atomic_store (&self->sleep, LEAT_AWAKE);
        leat_watch_signal (self->relief_fd);
    } else if (!leat_watch_resume (self, LEAT_RELAY))
        leat_watch_begin_relay (self, leat_clock_us () - began_us);
    leat_client_give_turn (self);
}

static void s_drive (leat_client_t *self, leat_gate_t *gate, const leat_deadline_t *deadline,
                     s_wanted_t wanted, leat_gate_fn *look, void *arg)
{
    uint64_t until_us = leat_deadline_us (deadline);
    uint64_t began_us = leat_clock_us ();
    bool is_first = true;
    bool has_slept = false;
    for (;;) {
        leat_client_take_turn (self);
        bool is_busy = true; /* for the client's own thread, if this one may not */
        if (!s_may_take_turns (self)) {
            s_end (self, is_busy, began_us);
            return;
        }
        if (is_first)
            leat_watch_end_relay (self);
        /* Who comes back mostly finds nothing to do, and need not take a turn to know. */
        leat_watch_t watch;
        bool sleeps = is_first && leat_watch_begin (self, &watch, until_us);
        is_first = false;
        bool reads_one = has_slept && wanted == S_ANSWER;
        is_busy = !sleeps && leat_client_turn (self, reads_one ? 1 : LEAT_MESSAGES_PER_TURN);
        leat_gate_claim (gate);
        bool has_come = look (arg) != EAGAIN;
        leat_gate_unlock (gate);
        if (has_come || self->now_us >= until_us) {
            s_end (self, is_busy && !reads_one, began_us);
            return;
        }
        has_slept = sleeps || (!is_busy && leat_watch_begin (self, &watch, until_us));
        leat_client_give_turn (self);
        if (has_slept)
            leat_watch_wait (self, &watch, false);
    }
}

/* Somebody else may just have stopped watching, because nobody waited. */
static int s_wait (leat_client_t *self, leat_gate_t *gate, const leat_deadline_t *deadline,
                   leat_gate_fn *look, void *arg)
{
    atomic_fetch_add (&self->waiting, 1);
    if (atomic_load (&self->sleep) == LEAT_RELAY || atomic_load (&self->ports.called) != NULL)
        leat_client_wake (self, LEAT_AT_ONCE);
    int error = leat_gate_until (gate, deadline, look, arg);
    atomic_fetch_sub (&self->waiting, 1);
    return error;
}

static int s_until (leat_client_t *self, leat_gate_t *gate, int64_t timeout_ms, s_wanted_t wanted,
                    leat_gate_fn *look, void *arg)
{
    leat_deadline_t deadline = leat_deadline_in (timeout_ms);
    int error = look (arg);
    if (error != EAGAIN)
        return error;
    if (timeout_ms == 0)
        return ETIMEDOUT;
    if (s_begin (self)) {
        leat_gate_unlock (gate);
        s_drive (self, gate, &deadline, wanted, look, arg);
        leat_gate_lock (gate);
        error = look (arg);
        if (error != EAGAIN)
            return error;
    }
    return s_wait (self, gate, &deadline, look, arg);
}

int leat_client_until (leat_client_t *self, leat_gate_t *gate, int64_t timeout_ms,
                       leat_gate_fn *look, void *arg)
{
    return s_until (self, gate, timeout_ms, S_RECORDS, look, arg);
}

int leat_client_await (leat_client_t *self, leat_gate_t *gate, int64_t timeout_ms,
                       leat_gate_fn *look, void *arg)
{
    leat_gate_enter (gate);
    int error = s_until (self, gate, timeout_ms, S_ANSWER, look, arg);
    leat_gate_leave (gate);
    return error;
}

int leat_client_stand_by (leat_client_t *self, leat_gate_t *gate, int64_t timeout_ms,
                          leat_gate_fn *look, void *arg)
{
    leat_deadline_t deadline = leat_deadline_in (timeout_ms);
    leat_gate_enter (gate);
    int error = s_wait (self, gate, &deadline, look, arg);
    leat_gate_leave (gate);
    return error;
}

/* ---- sending --------------------------------------------------------------------------------- */

/* With the turn, which is given up. False if it was not to be used. */
static bool s_take_one_turn (leat_client_t *self)
{
    int sleep = atomic_load (&self->sleep);
    bool may = s_may_take_turns (self);
    if (may) {
        const leat_socket_t *socket = self->socket;
        bool is_busy = leat_client_turn_to_send (self);
        atomic_store_explicit (&self->direct_us, self->now_us, memory_order_relaxed);
        if (is_busy || self->socket != socket)
            leat_watch_signal (sleep == LEAT_RELAY ? self->relief_fd : self->wake_fd);
        else if (!leat_watch_resume (self, (leat_sleep_t) sleep) && sleep == LEAT_RELAY)
            leat_watch_hasten_relay (self);
    }
    leat_client_give_turn (self);
    return may;
}

void leat_client_push (leat_client_t *self)
{
    if (atomic_load (&self->sleep) == LEAT_AWAKE)
        return;
    uint64_t direct_us = atomic_load_explicit (&self->direct_us, memory_order_relaxed);
    if (atomic_load (&self->callbacks) == 0 && leat_clock_us () >= direct_us + LEAT_DIRECT_US
        && leat_client_try_turn (self) && s_take_one_turn (self))
        return;
    leat_client_wake (self, LEAT_AT_ONCE);
}

/* How one sleeps until the client has something to do, and how it is woken.
 * SPDX-License-Identifier: MPL-2.0 */
#include "client/watch.h"

#include <errno.h>
#include <poll.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include "client/client_state.h"
#include "wire/assert.h"

/* Looks at the socket. True if there is something to be done with it at once. */
static bool s_look_at_socket (leat_client_t *self)
{
    if (self->socket == NULL)
        return false;
    if (atomic_load (&self->has_tidings)) {
        atomic_store (&self->has_tidings, false);
        leat_socket_hear (self->socket);
    }
    if (leat_socket_readable (self->socket))
        return true;
    switch (leat_socket_state (self->socket)) {
    case LEAT_SOCKET_CONNECTING:
        return false;
    case LEAT_SOCKET_CONNECTED:
        self->has_no_connection = false;
        return !self->is_sent;
    case LEAT_SOCKET_LOST:
        break;
    }
    self->has_no_connection = leat_session_state (self->session) == LEAT_SESSION_GREETING;
    leat_session_unsent (self->session);
    leat_client_disconnect (self);
    return true;
}

static bool s_has_work (leat_client_t *self)
{
    return atomic_load (&self->has_calls) || (atomic_load (&self->is_stopping) && !self->closing_us)
           || leat_ports_have_work (&self->ports)
           || (self->is_sent && leat_outbox_count (leat_session_outbox (self->session)) > 0);
}

static uint64_t s_deadline (const leat_client_t *self)
{
    uint64_t deadline_us = leat_session_deadline (self->session);
    if (self->closing_us != 0 && self->closing_us < deadline_us)
        deadline_us = self->closing_us;
    uint64_t port_us = leat_ports_deadline (&self->ports);
    return port_us < deadline_us ? port_us : deadline_us;
}

/* ---- watching -------------------------------------------------------------------------------- */

bool leat_watch_begin (leat_client_t *self, leat_watch_t *watch, uint64_t deadline_us)
{
    uint64_t client_us = s_deadline (self);
    if (client_us < deadline_us)
        deadline_us = client_us;
    uint64_t now_us = leat_clock_us ();
    if (deadline_us <= now_us)
        return false;
    /* Beside a thread that sends: what it sends makes the next heartbeat due an interval after this
     * turn, and nobody has to be woken to hear of that. */
    uint64_t beat_us = (uint64_t) leat_session_terms (self->session)->heartbeat_interval_ms * 1000;
    if (deadline_us > self->now_us + beat_us
        && now_us < atomic_load_explicit (&self->direct_us, memory_order_relaxed) + beat_us)
        deadline_us = self->now_us + beat_us;
    watch->wait_us = deadline_us == UINT64_MAX ? UINT64_MAX : deadline_us - now_us;
    self->watched_until_us = deadline_us;
    atomic_store (&self->sleep, watch->wait_us <= LEAT_NAP_US ? LEAT_NAPPING : LEAT_ASLEEP);
    if (s_has_work (self) || s_look_at_socket (self)) {
        atomic_store (&self->sleep, LEAT_AWAKE);
        return false;
    }
    watch->has_socket = self->socket != NULL;
    if (watch->has_socket) {
        watch->socket_fd = leat_socket_fd (self->socket);
        watch->monitor_fd = leat_socket_monitor_fd (self->socket);
    }
    return true;
}

bool leat_watch_wait (leat_client_t *self, const leat_watch_t *watch, bool is_own_thread)
{
    enum { WAKE, RELIEF, SOCKET, MONITOR, COUNT };
    const struct pollfd items[COUNT] = {
        [WAKE] = { .fd = self->wake_fd, .events = POLLIN },
        [RELIEF] = { .fd = is_own_thread ? self->relief_fd : -1, .events = POLLIN },
        [SOCKET] = { .fd = watch->has_socket ? watch->socket_fd : -1, .events = POLLIN },
        [MONITOR] = { .fd = watch->has_socket ? watch->monitor_fd : -1, .events = POLLIN },
    };
    struct pollfd polled[COUNT] = { items[0], items[1], items[2], items[3] };
    uint64_t wait_us = watch->wait_us;
    struct timespec timeout = { (time_t) (wait_us / 1000000), (long) (wait_us % 1000000 * 1000) };
    int ready = ppoll (polled, COUNT, wait_us == UINT64_MAX ? NULL : &timeout, NULL);
    leat_assert (ready >= 0 || errno == EINTR || errno == ENOMEM);
    if (ready <= 0)
        return true;
    bool is_relieved = polled[RELIEF].revents != 0;
    if (is_relieved)
        leat_watch_clear (self->relief_fd);
    if (polled[WAKE].revents != 0)
        leat_watch_clear (self->wake_fd);
    if (polled[MONITOR].revents != 0)
        atomic_store (&self->has_tidings, true);
    return !is_relieved || ready > 1;
}

void leat_watch_clear (int fd)
{
    uint64_t value;
    ssize_t size = read (fd, &value, sizeof value);
    leat_assert (size == sizeof value || errno == EAGAIN || errno == EINTR);
}

void leat_watch_signal (int fd)
{
    const uint64_t one = 1;
    ssize_t written = write (fd, &one, sizeof one);
    leat_assert (written == sizeof one);
}

/* ---- the relay ------------------------------------------------------------------------------- */

/* Never: 0. */
static void s_set_relay (leat_client_t *self, uint64_t until_us)
{
    const struct itimerspec setting = { .it_value = { (time_t) (until_us / 1000000),
                                                      (long) (until_us % 1000000 * 1000) } };
    int rc = timerfd_settime (self->relay_fd, TFD_TIMER_ABSTIME, &setting, NULL);
    leat_assert (rc == 0);
    self->relay_us = until_us;
}

static uint64_t s_relay_slack_us (const leat_client_t *self)
{
    return leat_ports_has_only_producers (&self->ports) ? LEAT_RELAY_SLACK_OF_PRODUCERS_US
                                                        : LEAT_RELAY_SLACK_US;
}

static uint64_t s_least (uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

static uint64_t s_most (uint64_t a, uint64_t b)
{
    return a > b ? a : b;
}

/* A timer that goes off before the clock is read here is over by the clock, too, so it is set again. If it
 * goes off later, the client's thread finds that nobody watches. */
void leat_watch_begin_relay (leat_client_t *self, uint64_t waited_us)
{
    uint64_t slack_us = s_relay_slack_us (self);
    uint64_t soon_us = leat_clock_us () + LEAT_RELAY_US;
    uint64_t until_us = s_least (soon_us + slack_us, s_most (s_deadline (self), soon_us));
    self->waited_us = waited_us;
    self->has_sent_in_relay = false;
    if (self->relay_us < soon_us + s_least (waited_us, slack_us / 2) || self->relay_us > until_us)
        s_set_relay (self, until_us);
}

void leat_watch_hasten_relay (leat_client_t *self)
{
    uint64_t soon_us = self->now_us + LEAT_RELAY_US;
    uint64_t until_us = self->has_sent_in_relay ? soon_us : s_most (s_deadline (self), soon_us);
    self->has_sent_in_relay = true;
    if (self->relay_us > until_us)
        s_set_relay (self, until_us);
}

/* It would go off during a long wait, and wake the client's thread for nothing. */
void leat_watch_end_relay (leat_client_t *self)
{
    if (self->relay_us != 0 && self->waited_us > s_relay_slack_us (self) / 2)
        s_set_relay (self, 0);
}

/* ---- waking ---------------------------------------------------------------------------------- */

void leat_client_wake (leat_client_t *self, leat_urgency_t urgency)
{
    int sleep = atomic_load (&self->sleep);
    if (sleep == LEAT_AWAKE || (sleep == LEAT_RELAY && urgency < LEAT_AT_ONCE)
        || (sleep == LEAT_NAPPING && urgency < LEAT_SOON))
        return;
    /* One of those who find it asleep wakes it. */
    sleep = atomic_exchange (&self->sleep, LEAT_AWAKE);
    if (sleep != LEAT_AWAKE)
        leat_watch_signal (sleep == LEAT_RELAY ? self->relief_fd : self->wake_fd);
}

bool leat_watch_resume (leat_client_t *self, leat_sleep_t sleep)
{
    bool has_more = s_has_work (self) || (self->has_received && atomic_load (&self->is_driven));
    if (!has_more && sleep != LEAT_RELAY)
        has_more = s_look_at_socket (self) || s_deadline (self) < self->watched_until_us;
    if (!has_more) {
        atomic_store (&self->sleep, sleep);
        has_more = s_has_work (self) || (sleep == LEAT_RELAY && atomic_load (&self->waiting) > 0);
    }
    if (!has_more)
        return false;
    atomic_store (&self->sleep, LEAT_AWAKE);
    leat_watch_signal (sleep == LEAT_RELAY ? self->relief_fd : self->wake_fd);
    return true;
}

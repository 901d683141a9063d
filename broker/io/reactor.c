/* The loop.
 * SPDX-License-Identifier: MPL-2.0 */
#include "broker/io/reactor.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>

#include "broker/io/clock.h"
#include "broker/io/connections.h"
#include "broker/io/departures.h"
#include "wire/alloc.h"
#include "wire/assert.h"
#include "wire/command.h"

enum {
    TURN_MESSAGES = 1024,
    TURN_SIZE = 8 * 1024 * 1024,
    TURN_ENDS = 4096,
    TURN_PROBES = 1024,
    DEAF_TIMEOUTS = 4, /* of heartbeats: so long a peer may read nothing while memory grows */
    NOTICE_INTERVAL_US = 10000000, /* between notices, so that nothing fills a disk with them: */
    NOTICES = 16,                  /* so many at a time, the rest next time */
    STATS_INTERVAL_US = 10000,     /* how long a query may wait while peers are busy */
    STOP_READ_TURNS = 64, /* what had arrived before the wish to stop is read, in so many turns */
    STOP_TIME_US = 5000000,
    FAILED_TIME_US = 1000000, /* so long a broker whose store failed says why to who asks */
    STOP_RETRY_MS = 1000
};

typedef struct {
    leat_reactor_parts_t parts;
    uint64_t begin_us;
    uint64_t now_us;
    uint64_t stats_us;  /* when queries were last looked for */
    bool stats_waiting; /* queries may wait */
    uint64_t notice_us; /* when notices may be given again */
    bool stopping;
    bool failed; /* the store; or leat_core_failed */
    uint64_t stop_until_us;
    leat_departures_t *departures;
    leat_connections_t *connections;
    bool is_quiet; /* the monitor says nothing, by the poll (2) after which this turn begins */
    bool heard;    /* in this turn: all ends of connections */
    bool drained;  /* in this turn: all messages that had arrived are read */
    bool refused;  /* in this turn: a peer is found gone, and is to be given up */
    char *reason;
    size_t reason_size;
} reactor_t;

/* ---- 1 tick, 2 receive ----------------------------------------------------------------------- */

static void s_tick (reactor_t *self)
{
    self->now_us = leat_clock_monotonic_us ();
    leat_core_tick (self->parts.core, self->now_us, leat_clock_wall_ms ());
}

static void s_take (reactor_t *self, leat_received_t *received)
{
    leat_connections_read (self->connections, received->fd, received->peer, received->wire_size);
    leat_core_receive (self->parts.core, received->peer, received->frames, received->header,
                       received->header_size, received->body);
    leat_buffer_release (&received->body);
    leat_departures_heard (self->departures, received->peer);
    if (received->header_size && received->header[0] == LEAT_HELLO
        && leat_core_has_session (self->parts.core, received->peer))
        leat_departures_arrive (self->departures, received->peer, received->fd, self->now_us);
}

static bool s_receive (reactor_t *self)
{
    leat_received_t received;
    size_t size = 0;
    unsigned count = 0;
    self->drained = false;
    while (count < TURN_MESSAGES && size < TURN_SIZE) {
        if (!leat_router_receive (self->parts.router, &received)) {
            self->drained = true;
            leat_departures_drained (self->departures);
            break;
        }
        s_take (self, &received);
        size += received.size;
        count++;
    }
    return count > 0;
}

/* ---- 3 give up, 6 probe ---------------------------------------------------------------------- */

static bool s_hear_end (reactor_t *self)
{
    int fd;
    bool ended;
    if (!leat_router_connection (self->parts.router, &fd, &ended))
        return false;
    if (ended) {
        leat_connections_ended (self->connections, fd);
        leat_departures_end (self->departures, fd, self->now_us);
    } else
        leat_connections_accepted (self->connections, fd);
    return true;
}

/* Before the messages are received: what an ended connection brought is read after its end is known. */
static bool s_hear_ends (reactor_t *self)
{
    unsigned count = 0;
    self->heard = self->is_quiet;
    self->is_quiet = false;
    while (!self->heard && count < TURN_ENDS) {
        self->heard = !s_hear_end (self);
        count += !self->heard;
    }
    return count > 0;
}

static bool s_give_up (reactor_t *self)
{
    uint64_t peer;
    bool any = false;
    while (leat_departures_take (self->departures, &peer)) {
        leat_core_unreachable (self->parts.core, peer);
        any = true;
    }
    return any;
}

static void s_refused (reactor_t *self, uint64_t peer)
{
    leat_departures_refused (self->departures, peer);
    self->refused = true;
}

static bool s_probe (reactor_t *self)
{
    uint64_t peer;
    unsigned count = 0;
    while (count < TURN_PROBES && leat_departures_probe (self->departures, self->now_us, &peer)) {
        count++;
        if (!leat_core_has_session (self->parts.core, peer))
            leat_departures_forget (self->departures, peer);
        else if (!leat_router_probe (self->parts.router, peer))
            s_refused (self, peer);
    }
    return count > 0;
}

/* ---- 4 commit -------------------------------------------------------------------------------- */

static void s_committed (reactor_t *self, const leat_store_event_t *event)
{
    if (event->result == LEAT_COMMIT_UNKNOWN || event->result == LEAT_COMMIT_FENCED)
        snprintf (self->reason, self->reason_size, "the store %s: %s",
                  event->result == LEAT_COMMIT_FENCED ? "belongs to another broker now"
                                                      : "cannot tell whether it kept a commit",
                  event->reason ? event->reason : "no reason given");
    leat_core_completed (self->parts.core, event->id, event->result);
}

static void s_was_read (reactor_t *self, leat_store_event_t *event)
{
    if (event->code == LEAT_STORE_FAILED) {
        snprintf (self->reason, self->reason_size,
                  "the store cannot be read: %s; `leat store verify` tells what can",
                  event->reason ? event->reason : "no reason given");
        self->failed = true;
    } else if (event->kind == LEAT_STORE_LOOKED) {
        leat_core_looked (self->parts.core, event->id, event->code, &event->batch, event->size,
                          event->last);
    } else {
        leat_core_read_done (self->parts.core, event->id, event->code, &event->batch, event->body,
                             event->last);
    }
    leat_buffer_release (&event->body);
}

/* True if anything had ended. */
static bool s_complete (reactor_t *self)
{
    leat_store_event_t event;
    bool any = false;
    while (!self->failed && leat_store_poll (self->parts.store, &event)) {
        if (event.kind == LEAT_STORE_COMMITTED)
            s_committed (self, &event);
        else
            s_was_read (self, &event);
        self->failed |= leat_core_failed (self->parts.core);
        any = true;
    }
    return any;
}

/* What the core decides; true if the store got anything to do. */
static bool s_run (reactor_t *self)
{
    leat_store_space_t space;
    leat_commit_t *commit;
    leat_core_read_t read;
    bool any = false;
    leat_store_space (self->parts.store, &space);
    leat_core_store_full (self->parts.core, space.reserved);
    leat_core_run (self->parts.core);
    while ((commit = leat_core_next_commit (self->parts.core))) {
        leat_store_submit (self->parts.store, &commit);
        any = true;
    }
    while (leat_core_next_read (self->parts.core, &read)) {
        any = read.headers ? leat_store_look (self->parts.store, read.stream, read.offset,
                                              read.headers, read.token)
                           : leat_store_read (self->parts.store, read.stream, read.offset,
                                              read.size, read.token);
        leat_assert (any);
    }
    return any;
}

/* Order matters: nothing is confirmed that the store has not said OK to. */
static bool s_commit (reactor_t *self)
{
    bool any = s_complete (self);
    bool asked = s_run (self);
    if (asked && s_complete (self))
        s_run (self);
    return any || asked;
}

/* ---- 5 send, cut ----------------------------------------------------------------------------- */

/* After one message to a peer was not taken it gets no later one, even if there is room again: a DELIVER
 * missing in between would shift the positions that both sides count. */
static bool s_send (reactor_t *self)
{
    leat_message_t message;
    bool any = false;
    while (leat_outbox_next (leat_core_outbox (self->parts.core), &message)) {
        any = true;
        if (leat_departures_gone (self->departures, message.peer)
            || leat_router_send (self->parts.router, &message))
            continue;
        if (!leat_core_has_session (self->parts.core, message.peer))
            continue;
        /* Who does not read would keep all that waits for it as long as it is connected. */
        leat_connections_cut (self->connections, message.peer);
        s_refused (self, message.peer);
    }
    return any;
}

static uint64_t s_allowance (void *arg, uint64_t peer)
{
    const reactor_t *self = arg;
    return leat_core_allowance (self->parts.core, peer);
}

/* After sending: who is cut gets to know why, if it reads. */
static void s_cut (reactor_t *self)
{
    uint64_t peer;
    while (leat_core_next_cut (self->parts.core, &peer))
        leat_connections_cut_soon (self->connections, peer, self->now_us);
    leat_connections_check (self->connections, self->now_us, self->drained);
}

/* ---- 7 stats --------------------------------------------------------------------------------- */

static void s_stats (reactor_t *self)
{
    leat_report_source_t *report = self->parts.report;
    report->uptime_ms = (self->now_us - self->begin_us) / 1000;
    report->wall_ms = leat_clock_wall_ms ();
    report->stopping = self->stopping;
    report->stats_requests = leat_stats_socket_requests (self->parts.stats);
    report->stats_connections_refused = leat_stats_socket_connections_refused (self->parts.stats);
    self->stats_us = self->now_us;
    self->stats_waiting = leat_stats_socket_serve (self->parts.stats, report, self->connections);
}

/* What groups have lost since they were told of last. */
static void s_notice (reactor_t *self)
{
    leat_core_loss_t loss;
    char text[400];
    if (!self->parts.notice || !leat_core_has_loss (self->parts.core))
        return;
    for (int i = 0; i < NOTICES && leat_core_next_loss (self->parts.core, &loss); i++) {
        snprintf (text, sizeof text,
                  "%llu record%s of stream '%.*s' expired before group '%.*s' had settled %s",
                  (unsigned long long) loss.records, loss.records == 1 ? "" : "s",
                  (int) loss.stream.size, loss.stream.data, (int) loss.group.size, loss.group.data,
                  loss.records == 1 ? "it" : "them");
        self->parts.notice (self->parts.notice_arg, text);
    }
    self->notice_us = self->now_us + NOTICE_INTERVAL_US;
}

/* ---- 8 sleep --------------------------------------------------------------------------------- */

static uint64_t s_deadline (const reactor_t *self)
{
    uint64_t deadline_us = leat_core_deadline (self->parts.core);
    uint64_t probe_us = leat_departures_deadline (self->departures);
    uint64_t check_us = leat_connections_deadline (self->connections);
    if (probe_us < deadline_us)
        deadline_us = probe_us;
    if (check_us < deadline_us)
        deadline_us = check_us;
    if (self->stopping && self->stop_until_us < deadline_us)
        deadline_us = self->stop_until_us;
    if (self->parts.notice && self->notice_us < deadline_us
        && leat_core_has_loss (self->parts.core))
        deadline_us = self->notice_us;
    return deadline_us;
}

/* Whether the next turn would do nothing. A record that travels alone should not pay for that turn,
 * too: all that is left to see is what the core says to what the turn before has done, and whether
 * something came while it sent. That look at the ROUTER comes last, since its edge-triggered descriptor
 * is safe to sleep on only if it was looked at after it was last used. */
static bool s_is_done (reactor_t *self)
{
    return self->heard && self->drained && !self->refused && !self->stopping && !s_commit (self)
           && leat_outbox_count (leat_core_outbox (self->parts.core)) == 0
           && leat_router_is_quiet (self->parts.router);
}

static void s_sleep (reactor_t *self)
{
    enum { ROUTER, MONITOR, CONTROL, STORE, STATS, STATS_MONITOR, COUNT };
    struct pollfd items[COUNT] = {
        [ROUTER] = { .fd = leat_router_fd (self->parts.router), .events = POLLIN },
        [MONITOR] = { .fd = leat_router_monitor_fd (self->parts.router), .events = POLLIN },
        [CONTROL] = { .fd = leat_control_fd (self->parts.control), .events = POLLIN },
        [STORE] = { .fd = leat_store_fd (self->parts.store), .events = POLLIN },
        [STATS] = { .fd = self->parts.stats ? leat_stats_socket_fd (self->parts.stats) : -1,
                    .events = POLLIN },
        [STATS_MONITOR] = { .fd = self->parts.stats
                                      ? leat_stats_socket_monitor_fd (self->parts.stats)
                                      : -1,
                            .events = POLLIN },
    };
    if (self->stats_waiting || !leat_store_sleep (self->parts.store))
        return;
    uint64_t deadline_us = s_deadline (self);
    uint64_t now_us = leat_clock_monotonic_us ();
    uint64_t wait_us = deadline_us > now_us ? deadline_us - now_us : 0;
    struct timespec timeout = { .tv_sec = (time_t) (wait_us / 1000000),
                                .tv_nsec = (long) (wait_us % 1000000 * 1000) };
    int rc = ppoll (items, COUNT, deadline_us == UINT64_MAX ? NULL : &timeout, NULL);
    leat_assert (rc >= 0 || errno == EINTR);
    self->is_quiet = rc >= 0 && !items[MONITOR].revents;
    if (rc <= 0)
        return;
    if (items[CONTROL].revents)
        leat_control_clear (self->parts.control);
    if (items[STATS].revents || items[STATS_MONITOR].revents)
        self->stats_waiting = true;
}

/* ---- turns ----------------------------------------------------------------------------------- */

/* True if anything was done, so that there may be more to do. */
static bool s_turn (reactor_t *self)
{
    self->refused = false;
    s_tick (self);
    bool any = s_hear_ends (self);
    any |= s_receive (self);
    any |= s_give_up (self);
    any |= s_commit (self);
    any |= s_send (self);
    any |= s_probe (self);
    s_cut (self);
    if (self->parts.stats
        && (self->stats_waiting || self->now_us - self->stats_us >= STATS_INTERVAL_US)) {
        s_stats (self);
        any |= self->stats_waiting;
    }
    if (self->now_us >= self->notice_us)
        s_notice (self);
    return any;
}

static void s_begin_stop (reactor_t *self)
{
    for (int turn = 0; turn < STOP_READ_TURNS && s_turn (self); turn++)
        continue;
    leat_core_shutdown (self->parts.core, STOP_RETRY_MS);
    self->stopping = true;
    self->stop_until_us = self->now_us + STOP_TIME_US;
}

/* Whoever watches the broker gets to know why it ends. Nothing is confirmed any more. */
static void s_tell_failure (reactor_t *self)
{
    uint64_t end_us = self->now_us + FAILED_TIME_US;
    self->parts.report->failure = self->reason;
    while (self->parts.stats && self->now_us < end_us
           && leat_control_wish (self->parts.control) != LEAT_CONTROL_QUIT) {
        struct pollfd items[] = {
            { .fd = leat_control_fd (self->parts.control), .events = POLLIN },
            { .fd = leat_stats_socket_fd (self->parts.stats), .events = POLLIN },
        };
        s_stats (self);
        poll (items, 2, self->stats_waiting ? 0 : 10);
        leat_control_clear (self->parts.control);
        self->now_us = leat_clock_monotonic_us ();
    }
}

static leat_reactor_end_t s_loop (reactor_t *self)
{
    for (;;) {
        leat_control_wish_t wish = leat_control_wish (self->parts.control);
        if (wish == LEAT_CONTROL_QUIT) {
            snprintf (self->reason, self->reason_size, "told twice to stop: ended at once");
            return LEAT_REACTOR_QUIT;
        }
        if (wish == LEAT_CONTROL_STOP && !self->stopping)
            s_begin_stop (self);
        bool any = s_turn (self);
        if (self->failed) {
            s_tell_failure (self);
            return LEAT_REACTOR_FAILED;
        }
        if (leat_core_stopped (self->parts.core)
            && leat_outbox_count (leat_core_outbox (self->parts.core)) == 0)
            return LEAT_REACTOR_STOPPED;
        if (self->stopping && self->now_us >= self->stop_until_us) {
            snprintf (self->reason, self->reason_size,
                      "the store did not finish within 5 s; what was not confirmed may be lost");
            return LEAT_REACTOR_TOO_LATE;
        }
        if (!any || s_is_done (self))
            s_sleep (self);
    }
}

leat_reactor_end_t leat_reactor_run (const leat_reactor_parts_t *parts, char *reason,
                                     size_t reason_size)
{
    reactor_t self = { .parts = *parts, .reason = reason, .reason_size = reason_size };
    self.departures = leat_departures_new ();
    const leat_limits_t *limits = parts->report->limits;
    self.connections =
        leat_connections_new (s_allowance, &self, (uint64_t) leat_router_frame_size_max (limits),
                              DEAF_TIMEOUTS * limits->heartbeat_timeout * 1000);
    self.parts.report->departures = leat_departures_counters (self.departures);
    self.parts.report->connections = leat_connections_counters (self.connections);
    self.begin_us = leat_clock_monotonic_us ();
    snprintf (reason, reason_size, "%s", "");
    s_tick (&self);
    self.stats_waiting = self.parts.stats != NULL;
    leat_reactor_end_t end = s_loop (&self);
    s_notice (&self);
    self.parts.report->departures = NULL;
    self.parts.report->connections = NULL;
    leat_connections_destroy (&self.connections);
    leat_departures_destroy (&self.departures);
    return end;
}

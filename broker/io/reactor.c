/* The loop.
 * SPDX-License-Identifier: MPL-2.0 */
#include "broker/io/reactor.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "broker/io/clock.h"
#include "wire/alloc.h"
#include "wire/assert.h"

enum {
    TURN_MESSAGES = 1024,
    TURN_SIZE = 8 * 1024 * 1024,
    STATS_INTERVAL_US = 10000, /* how long a query may wait while peers are busy */
    STOP_READ_TURNS = 64, /* what had arrived before the wish to stop is read, in so many turns */
    STOP_TIME_US = 5000000,
    STOP_RETRY_MS = 1000
};

typedef struct {
    leat_reactor_parts_t parts;
    uint64_t begin_us;
    uint64_t now_us;
    uint64_t stats_us;  /* when queries were last looked for */
    bool stats_waiting; /* queries may wait */
    bool stopping;
    uint64_t stop_until_us;
    uint64_t *lost; /* peers that could not be reached in this turn, ascending */
    size_t lost_count;
    size_t lost_room;
    char *reason;
    size_t reason_size;
} reactor_t;

/* ---- 1 tick, 2 receive ----------------------------------------------------------------------- */

static void s_tick (reactor_t *self)
{
    self->now_us = leat_clock_monotonic_us ();
    leat_core_tick (self->parts.core, self->now_us, leat_clock_wall_ms ());
}

static bool s_receive (reactor_t *self)
{
    leat_received_t received;
    size_t size = 0;
    unsigned count = 0;
    while (count < TURN_MESSAGES && size < TURN_SIZE
           && leat_router_receive (self->parts.router, &received)) {
        leat_core_receive (self->parts.core, received.peer, received.frames, received.header,
                           received.header_size, received.body);
        leat_buffer_release (&received.body);
        size += received.size;
        count++;
    }
    return count > 0;
}

/* ---- 3 commit -------------------------------------------------------------------------------- */

/* True if anything had ended. */
static bool s_complete (reactor_t *self)
{
    leat_store_event_t event;
    bool any = false;
    while (!leat_core_failed (self->parts.core) && leat_store_poll (self->parts.store, &event)) {
        /* The core keeps all records in memory and asks for no reads. */
        leat_assert (event.kind == LEAT_STORE_COMMITTED);
        any = true;
        if (event.result == LEAT_COMMIT_UNKNOWN || event.result == LEAT_COMMIT_FENCED)
            snprintf (self->reason, self->reason_size, "the store %s: %s",
                      event.result == LEAT_COMMIT_FENCED ? "belongs to another broker now"
                                                         : "cannot tell whether it kept a commit",
                      event.reason ? event.reason : "no reason given");
        leat_core_completed (self->parts.core, event.id, event.result);
    }
    return any;
}

static bool s_submit (reactor_t *self)
{
    leat_commit_t *commit;
    bool any = false;
    while ((commit = leat_core_next_commit (self->parts.core))) {
        leat_store_submit (self->parts.store, &commit);
        any = true;
    }
    return any;
}

/* Order matters: nothing is confirmed that the store has not said OK to. */
static bool s_commit (reactor_t *self)
{
    bool any = s_complete (self);
    leat_core_run (self->parts.core);
    bool submitted = s_submit (self);
    if (submitted && s_complete (self)) {
        leat_core_run (self->parts.core);
        s_submit (self);
    }
    return any || submitted;
}

/* ---- 4 send ---------------------------------------------------------------------------------- */

/* Where `peer` is among the lost ones, or would be. */
static size_t s_lost_place (const reactor_t *self, uint64_t peer)
{
    size_t low = 0;
    size_t high = self->lost_count;
    while (low < high) {
        size_t middle = (low + high) / 2;
        if (self->lost[middle] < peer)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static bool s_is_lost (const reactor_t *self, uint64_t peer)
{
    if (!self->lost_count)
        return false;
    size_t place = s_lost_place (self, peer);
    return place < self->lost_count && self->lost[place] == peer;
}

static void s_lose (reactor_t *self, uint64_t peer)
{
    size_t place = s_lost_place (self, peer);
    if (self->lost_count == self->lost_room) {
        self->lost_room = self->lost_room ? 2 * self->lost_room : 16;
        self->lost = leat_realloc (self->lost, self->lost_room * sizeof *self->lost);
    }
    memmove (self->lost + place + 1, self->lost + place,
             (self->lost_count - place) * sizeof *self->lost);
    self->lost[place] = peer;
    self->lost_count++;
    leat_core_unreachable (self->parts.core, peer);
}

/* After one message to a peer was not taken it gets no later one of this turn, even if there is room
 * again: a DELIVER missing in between would shift the positions that both sides count. */
static bool s_send (reactor_t *self)
{
    leat_message_t message;
    bool any = false;
    self->lost_count = 0;
    while (leat_outbox_next (leat_core_outbox (self->parts.core), &message)) {
        any = true;
        if (!s_is_lost (self, message.peer) && !leat_router_send (self->parts.router, &message))
            s_lose (self, message.peer);
    }
    return any;
}

/* ---- 5 stats --------------------------------------------------------------------------------- */

static void s_stats (reactor_t *self)
{
    leat_report_source_t *report = self->parts.report;
    report->uptime_ms = (self->now_us - self->begin_us) / 1000;
    report->wall_ms = leat_clock_wall_ms ();
    report->stopping = self->stopping;
    report->stats_requests = leat_stats_socket_requests (self->parts.stats);
    self->stats_us = self->now_us;
    self->stats_waiting = leat_stats_socket_serve (self->parts.stats, report);
}

/* ---- 6 sleep --------------------------------------------------------------------------------- */

static uint64_t s_deadline (const reactor_t *self)
{
    uint64_t deadline_us = leat_core_deadline (self->parts.core);
    if (self->stopping && self->stop_until_us < deadline_us)
        deadline_us = self->stop_until_us;
    return deadline_us;
}

/* Only after a turn that did nothing: then libzmq has been looked at since it was last used, which is
 * what makes its edge-triggered descriptors safe to sleep on. */
static void s_sleep (reactor_t *self)
{
    enum { ROUTER, CONTROL, STORE, STATS, COUNT };
    struct pollfd items[COUNT] = {
        [ROUTER] = { .fd = leat_router_fd (self->parts.router), .events = POLLIN },
        [CONTROL] = { .fd = leat_control_fd (self->parts.control), .events = POLLIN },
        [STORE] = { .fd = leat_store_fd (self->parts.store), .events = POLLIN },
        [STATS] = { .fd = self->parts.stats ? leat_stats_socket_fd (self->parts.stats) : -1,
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
    if (rc <= 0)
        return;
    if (items[CONTROL].revents)
        leat_control_clear (self->parts.control);
    if (items[STATS].revents)
        self->stats_waiting = true;
}

/* ---- turns ----------------------------------------------------------------------------------- */

/* True if anything was done, so that there may be more to do. */
static bool s_turn (reactor_t *self)
{
    s_tick (self);
    bool any = s_receive (self);
    any |= s_commit (self);
    any |= s_send (self);
    if (self->parts.stats
        && (self->stats_waiting || self->now_us - self->stats_us >= STATS_INTERVAL_US)) {
        s_stats (self);
        any |= self->stats_waiting;
    }
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
        if (leat_core_failed (self->parts.core))
            return LEAT_REACTOR_FAILED;
        if (leat_core_stopped (self->parts.core)
            && leat_outbox_count (leat_core_outbox (self->parts.core)) == 0)
            return LEAT_REACTOR_STOPPED;
        if (self->stopping && self->now_us >= self->stop_until_us) {
            snprintf (self->reason, self->reason_size,
                      "the store did not finish within 5 s; what was not confirmed may be lost");
            return LEAT_REACTOR_TOO_LATE;
        }
        if (!any)
            s_sleep (self);
    }
}

leat_reactor_end_t leat_reactor_run (const leat_reactor_parts_t *parts, char *reason,
                                     size_t reason_size)
{
    reactor_t self = { .parts = *parts, .reason = reason, .reason_size = reason_size };
    self.begin_us = leat_clock_monotonic_us ();
    snprintf (reason, reason_size, "%s", "");
    s_tick (&self);
    self.stats_waiting = self.parts.stats != NULL;
    leat_reactor_end_t end = s_loop (&self);
    free (self.lost);
    return end;
}

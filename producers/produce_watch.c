/* What `leat produce` tells its user while it waits.
 * SPDX-License-Identifier: MPL-2.0 */

#include <errno.h>
#include <time.h>

#include "cli/message.h"
#include "producers/produce_watch.h"

static const uint64_t s_still_ns = UINT64_C (1000000000);
static const uint64_t s_moving_ns = UINT64_C (2000000000);

static uint64_t s_now_ns (void)
{
    struct timespec now;
    clock_gettime (CLOCK_MONOTONIC, &now);
    return (uint64_t) now.tv_sec * 1000000000 + (uint64_t) now.tv_nsec;
}

static void s_look_at_connection (leat_produce_watch_t *self, bool connected)
{
    if (connected != self->told_loss)
        return;
    /* One that was refused or displaced is not made again; whoever sends next says why. */
    if (!connected && leat_client_wait (self->client, 0) != 0 && errno == EPIPE)
        return;
    self->told_loss = !connected;
    if (self->quiet)
        return;
    leat_message (self->program,
                  connected ? "connected again"
                            : "the connection to %s is lost; it is being made again",
                  self->broker);
}

static void s_tell_stall (leat_produce_watch_t *self)
{
    char text[512];
    self->told_stall = true;
    if (self->quiet)
        return;
    switch (leat_producer_error (self->producer, text, sizeof text)) {
    case LEAT_LIMIT_REACHED:
    case LEAT_STORE_FULL:
    case LEAT_STORE_FAILED:
    case LEAT_SHUTTING_DOWN:
        leat_message (self->program, "waiting: %s", text);
        return;
    default:
        /* Too little credit is no refusal and has no reason. */
        leat_message (self->program,
                      "waiting: the broker takes no more records of stream '%s' for now; most "
                      "likely the stream or the broker's memory is full until consumers have "
                      "settled some (see `leat stats`)",
                      self->stream);
    }
}

static void s_tell_end_of_stall (leat_produce_watch_t *self)
{
    self->told_stall = false;
    self->moving_since_ns = 0;
    if (!self->quiet)
        leat_message (self->program, "going on: the broker takes records of stream '%s' again",
                      self->stream);
}

void leat_produce_watch_look (leat_produce_watch_t *self, bool waits)
{
    uint64_t now_ns = s_now_ns ();
    uint64_t confirmed = leat_producer_confirmed (self->producer);
    bool connected = leat_client_connected (self->client);
    s_look_at_connection (self, connected);
    bool still = connected && waits && confirmed == self->confirmed;
    self->confirmed = confirmed;
    if (still && !self->still_since_ns)
        self->still_since_ns = now_ns;
    if (still) {
        if (now_ns - self->still_since_ns < s_still_ns)
            return;
        self->moving_since_ns = 0;
        if (!self->told_stall)
            s_tell_stall (self);
        return;
    }
    self->still_since_ns = 0;
    if (!connected)
        self->told_stall = false; /* The user knows of something worse. */
    if (!self->told_stall)
        return;
    if (!self->moving_since_ns)
        self->moving_since_ns = now_ns;
    if (!waits || now_ns - self->moving_since_ns >= s_moving_ns)
        s_tell_end_of_stall (self);
}

/* Queues of frames with delays, and what becomes of them when a connection ends.
 * SPDX-License-Identifier: MPL-2.0 */
#include "tests/simulation/network.h"
#include "tests/simulation/trace.h"
#include "wire/alloc.h"
#include "wire/assert.h"

#include <stdlib.h>
#include <string.h>

sim_network_t *sim_network_new (void)
{
    sim_network_t *self = leat_alloc (sizeof *self);
    LIST_INIT (&self->connections);
    return self;
}

void sim_frame_destroy (sim_frame_t **frame_p)
{
    if (*frame_p)
        leat_buffer_release (&(*frame_p)->body);
    free (*frame_p);
    *frame_p = NULL;
}

/* Drops everything behind the first `keep` frames; returns how many that were. */
static unsigned s_queue_cut (sim_queue_t *queue, unsigned keep)
{
    STAILQ_HEAD (, sim_frame) kept = STAILQ_HEAD_INITIALIZER (kept);
    sim_frame_t *frame;
    unsigned lost = 0;
    for (unsigned index = 0; (frame = STAILQ_FIRST (&queue->frames)) != NULL; index++) {
        STAILQ_REMOVE_HEAD (&queue->frames, link);
        if (index < keep)
            STAILQ_INSERT_TAIL (&kept, frame, link);
        else {
            sim_frame_destroy (&frame);
            lost++;
        }
    }
    STAILQ_INIT (&queue->frames);
    STAILQ_CONCAT (&queue->frames, &kept);
    queue->count -= lost;
    return lost;
}

static void s_connection_destroy (sim_connection_t *connection)
{
    s_queue_cut (&connection->up, 0);
    s_queue_cut (&connection->down, 0);
    LIST_REMOVE (connection, link);
    free (connection);
}

void sim_network_destroy (sim_network_t **self_p)
{
    if (!*self_p)
        return;
    sim_connection_t *connection;
    while ((connection = LIST_FIRST (&(*self_p)->connections)) != NULL)
        s_connection_destroy (connection);
    free (*self_p);
    *self_p = NULL;
}

static sim_connection_t *s_connection_new (sim_t *sim)
{
    sim_connection_t *connection = leat_alloc (sizeof *connection);
    connection->peer = ++sim->network->peers;
    connection->client_notice_us = SIM_NEVER;
    connection->hint_us = SIM_NEVER;
    STAILQ_INIT (&connection->up.frames);
    STAILQ_INIT (&connection->down.frames);
    LIST_INSERT_HEAD (&sim->network->connections, connection, link);
    return connection;
}

sim_connection_t *sim_network_connect (sim_t *sim, unsigned owner)
{
    sim_connection_t *connection = s_connection_new (sim);
    connection->owner = owner;
    connection->open = true;
    return connection;
}

/* A death is seen at once, later, or only by the heartbeat. */
static uint64_t s_notice (sim_t *sim)
{
    if (!sim_chance (&sim->random, sim->plan.hint_percent)) {
        SIM_COUNT (sim, hints_withheld);
        return SIM_NEVER;
    }
    return sim->now_us + sim_below (&sim->random, sim_chance (&sim->random, 50) ? 5000 : 3000000);
}

static bool s_is_report (const sim_frame_t *frame)
{
    return frame->header_size && frame->header[0] == LEAT_REPORT;
}

static void s_lose_some (sim_t *sim, sim_queue_t *queue)
{
    unsigned keep = (unsigned) sim_between (&sim->random, 0, queue->count);
    const sim_frame_t *frame;
    unsigned index = 0;
    STAILQ_FOREACH (frame, &queue->frames, link)
        SIM_COUNT_MORE (sim, reports_lost, index++ >= keep && s_is_report (frame));
    SIM_COUNT_MORE (sim, frames_lost, s_queue_cut (queue, keep));
}

void sim_network_close (sim_t *sim, sim_connection_t **connection_p)
{
    sim_connection_t *connection = *connection_p;
    *connection_p = NULL;
    if (!connection)
        return;
    if (!connection->broken) {
        s_lose_some (sim, &connection->up);
        connection->broken = true;
        connection->hint_us = s_notice (sim);
    }
    s_queue_cut (&connection->down, 0);
    connection->open = false;
    connection->greeted_later = true;
}

void sim_network_silence (sim_t *sim, unsigned owner)
{
    sim_connection_t *connection;
    LIST_FOREACH (connection, &sim->network->connections, link) {
        if (!connection->open && connection->owner == owner)
            SIM_COUNT_MORE (sim, frames_lost, s_queue_cut (&connection->up, 0));
    }
}

void sim_network_break (sim_t *sim, sim_connection_t *connection, bool renew)
{
    if (connection->broken)
        return;
    sim_trace (sim, "network", "connection %llu breaks%s", (unsigned long long) connection->peer,
               renew ? " and comes back by itself" : "");
    s_lose_some (sim, &connection->up);
    s_lose_some (sim, &connection->down);
    if (!renew) {
        SIM_COUNT (sim, connection_broken);
        connection->broken = true;
        connection->hint_us = s_notice (sim);
        if (sim_chance (&sim->random, 50))
            connection->client_notice_us = sim->now_us + sim_below (&sim->random, 1000000);
        return;
    }
    SIM_COUNT (sim, connection_renewed);
    sim_connection_t *former = s_connection_new (sim);
    uint64_t peer = former->peer;
    former->peer = connection->peer;
    former->owner = connection->owner;
    connection->peer = peer;
    former->broken = true;
    former->hint_us = s_notice (sim);
    STAILQ_CONCAT (&former->up.frames, &connection->up.frames);
    former->up.count = connection->up.count;
    former->up.blocked_until_us = connection->up.blocked_until_us;
    connection->up.count = 0;
    connection->up.blocked_until_us = sim->now_us + sim_below (&sim->random, 500000);
}

void sim_network_broker_gone (sim_t *sim, uint64_t back_us, bool orderly)
{
    sim_connection_t *connection;
    LIST_FOREACH (connection, &sim->network->connections, link) {
        SIM_COUNT_MORE (sim, frames_lost, s_queue_cut (&connection->up, 0));
        if (!orderly && !connection->broken)
            s_lose_some (sim, &connection->down);
        connection->hint_us = SIM_NEVER;
        if (connection->broken)
            continue;
        if (connection->open && sim_chance (&sim->random, 40)) {
            /* The socket connects again, to whatever listens there by then. */
            connection->peer = ++sim->network->peers;
            connection->up.blocked_until_us = back_us + sim_below (&sim->random, 200000);
        } else {
            connection->broken = true;
            if (sim_chance (&sim->random, 50))
                connection->client_notice_us = sim->now_us + sim_below (&sim->random, 1000000);
        }
    }
}

static void s_queue_push (sim_t *sim, sim_queue_t *queue, const uint8_t *header, size_t header_size,
                          leat_slice_t body, unsigned frames)
{
    sim_frame_t *frame = leat_alloc_raw (sizeof *frame + header_size);
    uint64_t arrival = sim->now_us + sim->plan.latency_us;
    if (sim->plan.jitter_us)
        arrival += sim_below (&sim->random, sim->plan.jitter_us);
    frame->arrival_us = arrival > queue->last_us ? arrival : queue->last_us;
    queue->last_us = frame->arrival_us;
    frame->frames = frames;
    frame->header_size = header_size;
    if (header_size)
        memcpy (frame->header, header, header_size);
    frame->body = body.buffer ? leat_buffer_copy (leat_slice_bytes (body), body.size) : NULL;
    STAILQ_INSERT_TAIL (&queue->frames, frame, link);
    queue->count++;
}

bool sim_network_send_up (sim_t *sim, sim_connection_t *connection, const uint8_t *header,
                          size_t header_size, leat_slice_t body, unsigned frames)
{
    leat_assert (connection->open);
    if (connection->broken) {
        if (sim->now_us < connection->client_notice_us)
            return true;
        SIM_COUNT (sim, sends_failed);
        return false;
    }
    s_queue_push (sim, &connection->up, header, header_size, body, frames);
    return true;
}

void sim_network_send_down (sim_t *sim, const leat_message_t *message)
{
    sim_connection_t *connection;
    LIST_FOREACH (connection, &sim->network->connections, link) {
        if (connection->peer == message->peer)
            break;
    }
    if (!connection || connection->broken || !connection->open) {
        SIM_COUNT (sim, frames_into_nowhere);
        return;
    }
    s_queue_push (sim, &connection->down, message->header, message->header_size, message->body,
                  message->body.buffer ? 2 : 1);
}

uint64_t sim_queue_due (const sim_queue_t *queue)
{
    const sim_frame_t *frame = STAILQ_FIRST (&queue->frames);
    if (!frame)
        return SIM_NEVER;
    return frame->arrival_us > queue->blocked_until_us ? frame->arrival_us
                                                       : queue->blocked_until_us;
}

sim_frame_t *sim_queue_take (sim_queue_t *queue, uint64_t now_us)
{
    if (sim_queue_due (queue) > now_us)
        return NULL;
    sim_frame_t *frame = STAILQ_FIRST (&queue->frames);
    STAILQ_REMOVE_HEAD (&queue->frames, link);
    queue->count--;
    return frame;
}

uint64_t sim_network_broker_due (const sim_network_t *self)
{
    const sim_connection_t *connection;
    uint64_t due = SIM_NEVER;
    LIST_FOREACH (connection, &self->connections, link) {
        uint64_t next = sim_queue_due (&connection->up);
        if (next == SIM_NEVER)
            next = connection->hint_us;
        if (next < due)
            due = next;
    }
    return due;
}

void sim_network_collect (sim_t *sim)
{
    sim_connection_t *connection = LIST_FIRST (&sim->network->connections);
    while (connection) {
        sim_connection_t *next = LIST_NEXT (connection, link);
        if (!connection->open && connection->up.count == 0 && connection->hint_us == SIM_NEVER)
            s_connection_destroy (connection);
        connection = next;
    }
}

const sim_connection_t *sim_network_find (const sim_network_t *self, uint64_t peer)
{
    const sim_connection_t *connection;
    LIST_FOREACH (connection, &self->connections, link) {
        if (connection->peer == peer)
            break;
    }
    return connection;
}

/* The peers' socket on bare libzmq.
 * SPDX-License-Identifier: MPL-2.0 */
#include "broker/io/router.h"

#include <endian.h>
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <zmq.h>

#include "broker/io/connection_monitor.h"
#include "broker/io/connections.h"
#include "wire/alloc.h"
#include "wire/assert.h"

enum {
    ROUTING_ID_SIZE = 5,
    HOLD_SIZE = 8192, /* bodies received: from here on libzmq gives each its own memory */
    SHARE_SIZE = 4096 /* bodies sent: below, a copy is cheaper than a shared reference */
};

struct leat_router {
    void *socket;
    leat_connection_monitor_t *monitor;
    int fd;
    zmq_msg_t header; /* of the message received last */
    leat_router_counters_t counters;
};

/* ---- options --------------------------------------------------------------------------------- */

static int s_clamp (uint64_t value)
{
    return value > INT_MAX ? INT_MAX : (int) value;
}

int leat_router_send_hwm (const leat_limits_t *limits)
{
    return s_clamp (limits->credit_records + 1000 + 4 * (limits->window_size / LEAT_BATCH_COST));
}

int64_t leat_router_frame_size_max (const leat_limits_t *limits)
{
    return limits->batch_size > LEAT_COMMAND_SIZE_MAX ? (int64_t) limits->batch_size
                                                      : LEAT_COMMAND_SIZE_MAX;
}

/* What is not set here stays as libzmq has it, and these on purpose: no ZMTP heartbeats
 * (ZMQ_HEARTBEAT_IVL), because with a full receive queue they end healthy connections and can end in an
 * assertion (stream_engine_base.cpp); no buffer sizes, because the kernel's own sizing is faster; no
 * ZMQ_ROUTER_HANDOVER, with which a peer could take another's routing id. The place for ZMQ_CURVE_SERVER,
 * ZMQ_ZAP_DOMAIN and ZMQ_ZAP_ENFORCE_DOMAIN is here, before the first bind. */
static int s_set_options (void *socket, const leat_limits_t *limits)
{
    const int64_t frame_size_max = leat_router_frame_size_max (limits);
    const uint64_t patience_ms = 4 * limits->heartbeat_timeout;
    const struct {
        int option;
        int value;
    } options[] = {
        { ZMQ_ROUTER_MANDATORY, 1 }, /* a send tells whether the peer is there */
        { ZMQ_ROUTER_HANDOVER, 0 },
        { ZMQ_SNDHWM, leat_router_send_hwm (limits) },
        { ZMQ_RCVHWM, 0 }, /* see leat_router_send_hwm */
        { ZMQ_LINGER, 0 },
        { ZMQ_HANDSHAKE_IVL, 5000 },
        { ZMQ_BACKLOG, leat_connection_monitor_backlog () },
        { ZMQ_TCP_KEEPALIVE, 1 },
        { ZMQ_TCP_KEEPALIVE_IDLE, 15 },
        { ZMQ_TCP_KEEPALIVE_INTVL, 5 },
        { ZMQ_TCP_KEEPALIVE_CNT, 3 },
        { ZMQ_TCP_MAXRT, s_clamp (patience_ms > 20000 ? patience_ms : 20000) },
        { ZMQ_IPV6, 0 }, /* but for endpoints that name an IPv6 address: leat_endpoint_bind */
    };
    for (size_t index = 0; index < sizeof options / sizeof *options; index++)
        if (zmq_setsockopt (socket, options[index].option, &options[index].value, sizeof (int)))
            return -1;
    return zmq_setsockopt (socket, ZMQ_MAXMSGSIZE, &frame_size_max, sizeof frame_size_max);
}

leat_router_t *leat_router_new (void *context, const leat_limits_t *limits, char *error,
                                size_t error_size)
{
    size_t size = sizeof (int);
    leat_router_t *self = leat_alloc (sizeof *self);
    zmq_msg_init (&self->header);
    self->socket = zmq_socket (context, ZMQ_ROUTER);
    if (!self->socket || s_set_options (self->socket, limits)
        || zmq_getsockopt (self->socket, ZMQ_FD, &self->fd, &size)) {
        snprintf (error, error_size, "cannot make the socket for peers: %s", zmq_strerror (errno));
        leat_router_destroy (&self, 0);
        return NULL;
    }
    self->monitor = leat_connection_monitor_new (context, self->socket, 0, error, error_size);
    if (!self->monitor)
        leat_router_destroy (&self, 0);
    return self;
}

void leat_router_destroy (leat_router_t **self_p, int linger_ms)
{
    leat_router_t *self = *self_p;
    if (!self)
        return;
    *self_p = NULL;
    zmq_msg_close (&self->header);
    leat_connection_monitor_destroy (&self->monitor);
    if (self->socket) {
        zmq_setsockopt (self->socket, ZMQ_LINGER, &linger_ms, sizeof linger_ms);
        zmq_close (self->socket);
    }
    free (self);
}

int leat_router_bind (leat_router_t *self, const char *endpoint, const char *resolved,
                      char bound[LEAT_ENDPOINT_SIZE], char *error, size_t error_size)
{
    return leat_endpoint_bind (self->socket, endpoint, resolved, bound, error, error_size);
}

int leat_router_monitor_fd (const leat_router_t *self)
{
    return leat_connection_monitor_fd (self->monitor);
}

bool leat_router_connection (leat_router_t *self, int *fd, bool *ended)
{
    bool any = leat_connection_monitor_next (self->monitor, fd, ended);
    self->counters.connections_refused = leat_connection_monitor_refused (self->monitor);
    return any;
}

static int s_events (leat_router_t *self)
{
    int events = 0;
    size_t size = sizeof events;
    int rc = zmq_getsockopt (self->socket, ZMQ_EVENTS, &events, &size);
    leat_assert (rc == 0 || errno == EINTR);
    return rc == 0 ? events : ZMQ_POLLIN;
}

bool leat_router_is_quiet (leat_router_t *self)
{
    return !(s_events (self) & ZMQ_POLLIN);
}

int leat_router_fd (const leat_router_t *self)
{
    return self->fd;
}

const leat_router_counters_t *leat_router_counters (const leat_router_t *self)
{
    return &self->counters;
}

/* ---- receiving ------------------------------------------------------------------------------- */

/* True unless nothing waits. A signal does not count as nothing. */
static bool s_take_frame (leat_router_t *self, zmq_msg_t *frame)
{
    while (zmq_msg_recv (frame, self->socket, ZMQ_DONTWAIT) < 0) {
        leat_assert (errno == EAGAIN || errno == EINTR);
        if (errno == EAGAIN)
            return false;
    }
    return true;
}

static void s_free_frame (void *hint)
{
    zmq_msg_close (hint);
    free (hint);
}

/* Takes what is in the frame, which is empty afterwards. */
static leat_buffer_t *s_keep (leat_router_t *self, zmq_msg_t *frame)
{
    size_t size = zmq_msg_size (frame);
    if (size < HOLD_SIZE) {
        self->counters.bodies_copied++;
        return leat_buffer_copy (zmq_msg_data (frame), size);
    }
    zmq_msg_t *kept = leat_alloc_raw (sizeof *kept);
    zmq_msg_init (kept);
    zmq_msg_move (kept, frame);
    self->counters.bodies_held++;
    return leat_buffer_wrap (zmq_msg_data (kept), size, s_free_frame, kept);
}

/* All frames of a message are there once its first is: libzmq queues whole messages. */
static void s_take_frames (leat_router_t *self, leat_received_t *received)
{
    zmq_msg_t frame;
    zmq_msg_init (&frame);
    bool more = true;
    while (more) {
        zmq_msg_t *into = received->frames ? &frame : &self->header;
        bool there = s_take_frame (self, into);
        leat_assert (there);
        more = zmq_msg_more (into);
        received->size += zmq_msg_size (into);
        received->wire_size += leat_connections_wire_size (zmq_msg_size (into));
        received->frames++;
        if (received->frames == 2)
            received->body = s_keep (self, &frame);
        else if (received->frames > 2)
            self->counters.frames_surplus++;
    }
    zmq_msg_close (&frame);
    received->header = zmq_msg_data (&self->header);
    received->header_size = zmq_msg_size (&self->header);
    received->fd = zmq_msg_get (&self->header, ZMQ_SRCFD);
    self->counters.messages_received++;
    self->counters.bytes_received += received->size;
}

/* Tells a client that it must not set a routing id. Whether that arrives is its own concern. */
static void s_refuse_foreign (leat_router_t *self, zmq_msg_t *id, const leat_received_t *received)
{
    static const char reason[] = "a client must not set a routing id (ZMQ_ROUTING_ID); leave it to "
                                 "ZeroMQ and give a name as identity of HELLO";
    leat_command_t command = { .id = LEAT_REFUSED };
    command.refused.command = received->header_size ? received->header[0] : 0;
    command.refused.code = LEAT_MALFORMED;
    command.refused.reason = leat_text (reason);
    uint8_t bytes[sizeof reason + 64];
    leat_assert (leat_command_encoded_size (&command) <= sizeof bytes);
    size_t size = leat_command_encode (&command, bytes);
    self->counters.routing_ids_foreign++;
    if (zmq_msg_send (id, self->socket, ZMQ_DONTWAIT | ZMQ_SNDMORE) >= 0)
        zmq_send (self->socket, bytes, size, ZMQ_DONTWAIT);
}

bool leat_router_receive (leat_router_t *self, leat_received_t *received)
{
    zmq_msg_t id;
    zmq_msg_init (&id);
    for (;;) {
        *received = (leat_received_t){ 0 };
        if (!s_take_frame (self, &id)) {
            zmq_msg_close (&id);
            return false;
        }
        s_take_frames (self, received);
        const uint8_t *bytes = zmq_msg_data (&id);
        if (zmq_msg_size (&id) == ROUTING_ID_SIZE && bytes[0] == 0) {
            uint32_t number;
            memcpy (&number, bytes + 1, sizeof number);
            received->peer = be32toh (number);
            zmq_msg_close (&id);
            return true;
        }
        leat_buffer_release (&received->body);
        s_refuse_foreign (self, &id, received);
    }
}

/* ---- sending --------------------------------------------------------------------------------- */

static int s_send_id (leat_router_t *self, uint64_t peer)
{
    uint8_t id[ROUTING_ID_SIZE] = { 0 };
    uint32_t number = htobe32 ((uint32_t) peer);
    memcpy (id + 1, &number, sizeof number);
    int rc;
    do
        rc = zmq_send (self->socket, id, sizeof id, ZMQ_DONTWAIT | ZMQ_SNDMORE);
    while (rc < 0 && errno == EINTR);
    return rc;
}

/* libzmq looks at what other threads told it only now and then while it sends, so a queue that is
 * full by its count may have been emptied long since: reading ZMQ_EVENTS makes it look. */
static bool s_begin (leat_router_t *self, uint64_t peer)
{
    if (s_send_id (self, peer) >= 0)
        return true;
    if (errno == EAGAIN) {
        s_events (self);
        if (s_send_id (self, peer) >= 0)
            return true;
    }
    if (errno == EAGAIN)
        self->counters.sends_full++;
    else
        self->counters.sends_unreachable++;
    return false;
}

/* It can only fail for want of memory. */
static void s_make_frame (zmq_msg_t *frame, size_t size)
{
    int rc = zmq_msg_init_size (frame, size);
    leat_assert (rc == 0);
}

static void s_make_body (zmq_msg_t *frame, leat_slice_t body)
{
    void *bytes = (void *) leat_slice_bytes (body);
    if (body.size < SHARE_SIZE) {
        s_make_frame (frame, body.size);
        if (body.size)
            memcpy (zmq_msg_data (frame), bytes, body.size);
    } else {
        /* Given back in libzmq's I/O thread when the frame has left, or wherever it is dropped. */
        leat_buffer_t *held = leat_buffer_hold (body.buffer);
        leat_buffer_lend (held);
        int rc = zmq_msg_init_data (frame, bytes, body.size, leat_buffer_return, held);
        leat_assert (rc == 0);
    }
}

/* Once the routing id was taken the rest of the message is, too: into the queue, or nowhere if the
 * connection ends in between, which the next send tells. */
static void s_send_frame (leat_router_t *self, zmq_msg_t *frame, int flags)
{
    int rc;
    do
        rc = zmq_msg_send (frame, self->socket, flags | ZMQ_DONTWAIT);
    while (rc < 0 && errno == EINTR);
    leat_assert (rc >= 0);
}

bool leat_router_send (leat_router_t *self, const leat_message_t *message)
{
    zmq_msg_t frame;
    if (!s_begin (self, message->peer))
        return false;
    s_make_frame (&frame, message->header_size);
    memcpy (zmq_msg_data (&frame), message->header, message->header_size);
    s_send_frame (self, &frame, message->body.buffer ? ZMQ_SNDMORE : 0);
    if (message->body.buffer) {
        s_make_body (&frame, message->body);
        s_send_frame (self, &frame, 0);
    }
    self->counters.messages_sent++;
    self->counters.bytes_sent += message->header_size + message->body.size;
    return true;
}

bool leat_router_probe (leat_router_t *self, uint64_t peer)
{
    uint8_t bytes[16];
    const leat_command_t command = { .id = LEAT_PONG };
    leat_assert (leat_command_encoded_size (&command) <= sizeof bytes);
    const leat_message_t message = { .peer = peer,
                                     .header = bytes,
                                     .header_size = leat_command_encode (&command, bytes) };
    s_events (self); /* makes libzmq look at what its I/O thread has told it */
    return leat_router_send (self, &message);
}

/* Takes queries, sends what report.c makes.
 * SPDX-License-Identifier: MPL-2.0 */
#include "broker/io/stats_socket.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <zmq.h>

#include "broker/io/clock.h"
#include "broker/io/connection_monitor.h"
#include "wire/alloc.h"
#include "wire/assert.h"

enum {
    REQUEST_SIZE_MAX = 4096,
    REQUESTS_PER_TURN = 32,
    ANSWERS_WAITING_MAX = 4, /* in libzmq for one peer */
    SHARE_OF_TIME = 10,      /* in the long run at most this part of the time goes into answers */
    DEBT_MAX_US = 50000      /* time that they may take at once */
};

struct leat_stats_socket {
    void *socket;
    leat_connection_monitor_t *monitor;
    int fd;
    leat_buffer_t *answer; /* to `stats`, made last */
    uint64_t debt_us; /* time that answers took; a tenth of the time that passes pays it back */
    uint64_t paid_us; /* until when */
    uint64_t requests;
};

typedef struct {
    zmq_msg_t id;
    bool delimited;  /* with REQ's empty frame */
    unsigned frames; /* after it */
    int fd;          /* of the connection that it came over, -1 if that is unknown */
    size_t wire_size;
    char query[REQUEST_SIZE_MAX];
    size_t size;
} request_t;

static int s_set_options (void *socket)
{
    const int64_t frame_size_max = REQUEST_SIZE_MAX;
    const struct {
        int option;
        int value;
    } options[] = {
        { ZMQ_ROUTER_MANDATORY, 1 },
        { ZMQ_ROUTER_HANDOVER, 0 },
        { ZMQ_SNDHWM, ANSWERS_WAITING_MAX },
        { ZMQ_RCVHWM, 0 }, /* as in router.h */
        { ZMQ_LINGER, 0 },
        { ZMQ_HANDSHAKE_IVL, 5000 },
        { ZMQ_BACKLOG, 128 },
        { ZMQ_TCP_KEEPALIVE, 1 },
        { ZMQ_TCP_KEEPALIVE_IDLE, 15 },
        { ZMQ_TCP_KEEPALIVE_INTVL, 5 },
        { ZMQ_TCP_KEEPALIVE_CNT, 3 },
    };
    for (size_t index = 0; index < sizeof options / sizeof *options; index++)
        if (zmq_setsockopt (socket, options[index].option, &options[index].value, sizeof (int)))
            return -1;
    return zmq_setsockopt (socket, ZMQ_MAXMSGSIZE, &frame_size_max, sizeof frame_size_max);
}

leat_stats_socket_t *leat_stats_socket_new (void *context, char *error, size_t error_size)
{
    size_t size = sizeof (int);
    leat_stats_socket_t *self = leat_alloc (sizeof *self);
    self->socket = zmq_socket (context, ZMQ_ROUTER);
    if (!self->socket || s_set_options (self->socket)
        || zmq_getsockopt (self->socket, ZMQ_FD, &self->fd, &size)) {
        snprintf (error, error_size, "cannot make the socket for stats: %s", zmq_strerror (errno));
        leat_stats_socket_destroy (&self);
        return NULL;
    }
    /* It can be asked still when peers have no more room. */
    self->monitor = leat_connection_monitor_new (context, self->socket, 0.5, error, error_size);
    if (!self->monitor)
        leat_stats_socket_destroy (&self);
    return self;
}

void leat_stats_socket_destroy (leat_stats_socket_t **self_p)
{
    leat_stats_socket_t *self = *self_p;
    if (!self)
        return;
    *self_p = NULL;
    leat_connection_monitor_destroy (&self->monitor);
    if (self->socket)
        zmq_close (self->socket);
    leat_buffer_release (&self->answer);
    free (self);
}

int leat_stats_socket_bind (leat_stats_socket_t *self, const char *endpoint, const char *resolved,
                            char bound[LEAT_ENDPOINT_SIZE], char *error, size_t error_size)
{
    return leat_endpoint_bind (self->socket, endpoint, resolved, bound, error, error_size);
}

int leat_stats_socket_monitor_fd (const leat_stats_socket_t *self)
{
    return leat_connection_monitor_fd (self->monitor);
}

uint64_t leat_stats_socket_connections_refused (const leat_stats_socket_t *self)
{
    return leat_connection_monitor_refused (self->monitor);
}

int leat_stats_socket_fd (const leat_stats_socket_t *self)
{
    return self->fd;
}

uint64_t leat_stats_socket_requests (const leat_stats_socket_t *self)
{
    return self->requests;
}

/* ---- requests -------------------------------------------------------------------------------- */

static bool s_take_frame (leat_stats_socket_t *self, zmq_msg_t *frame)
{
    while (zmq_msg_recv (frame, self->socket, ZMQ_DONTWAIT) < 0) {
        leat_assert (errno == EAGAIN || errno == EINTR);
        if (errno == EAGAIN)
            return false;
    }
    return true;
}

static void s_keep_query (request_t *request, zmq_msg_t *frame)
{
    const char *bytes = zmq_msg_data (frame);
    size_t size = zmq_msg_size (frame);
    if (size > sizeof request->query)
        size = sizeof request->query;
    /* Line ends and the zero of a C string are no part of the name. */
    while (size && (unsigned char) bytes[size - 1] <= ' ')
        size--;
    if (size)
        memcpy (request->query, bytes, size);
    request->size = size;
}

/* False if nothing waits. */
static bool s_take_request (leat_stats_socket_t *self, request_t *request)
{
    if (!s_take_frame (self, &request->id))
        return false;
    request->delimited = false;
    request->frames = 0;
    request->wire_size = 0;
    request->fd = -1;
    zmq_msg_t frame;
    zmq_msg_init (&frame);
    bool more = zmq_msg_more (&request->id);
    for (bool first = true; more; first = false) {
        bool there = s_take_frame (self, &frame);
        leat_assert (there);
        more = zmq_msg_more (&frame);
        request->fd = zmq_msg_get (&frame, ZMQ_SRCFD);
        request->wire_size += leat_connections_wire_size (zmq_msg_size (&frame));
        if (first && more && zmq_msg_size (&frame) == 0) {
            request->delimited = true;
            continue;
        }
        if (++request->frames == 1)
            s_keep_query (request, &frame);
    }
    zmq_msg_close (&frame);
    return true;
}

/* ---- answers --------------------------------------------------------------------------------- */

static leat_buffer_t *s_buffer (char *text)
{
    return leat_buffer_wrap (text, strlen (text), free, text);
}

/* `stats` is the one query whose cost grows with what the broker has. */
static leat_buffer_t *s_answer_stats (leat_stats_socket_t *self, const leat_report_source_t *source)
{
    uint64_t begin_us = leat_clock_monotonic_us ();
    uint64_t paid_us = (begin_us - self->paid_us) / SHARE_OF_TIME;
    self->debt_us = self->debt_us > paid_us ? self->debt_us - paid_us : 0;
    self->paid_us += paid_us * SHARE_OF_TIME;
    if (!self->answer || self->debt_us < DEBT_MAX_US) {
        leat_buffer_release (&self->answer);
        self->answer = s_buffer (leat_report_stats (source));
        self->debt_us += leat_clock_monotonic_us () - begin_us;
    }
    return leat_buffer_hold (self->answer);
}

static bool s_is (const request_t *request, const char *name)
{
    return request->size == strlen (name) && memcmp (request->query, name, request->size) == 0;
}

static leat_buffer_t *s_answer (leat_stats_socket_t *self, const request_t *request,
                                const leat_report_source_t *source)
{
    if (request->frames != 1)
        return s_buffer (leat_report_error (NULL, 0));
    if (s_is (request, "stats"))
        return s_answer_stats (self, source);
    if (s_is (request, "limits"))
        return s_buffer (leat_report_limits (source));
    if (s_is (request, "ping"))
        return s_buffer (leat_report_ping (source));
    if (s_is (request, "help"))
        return s_buffer (leat_report_help ());
    return s_buffer (leat_report_error (request->query, request->size));
}

/* Takes the buffer. A peer that is gone or has answers waiting gets none. */
static void s_send (leat_stats_socket_t *self, request_t *request, leat_buffer_t *answer)
{
    if (zmq_msg_send (&request->id, self->socket, ZMQ_DONTWAIT | ZMQ_SNDMORE) < 0) {
        leat_buffer_release (&answer);
        return;
    }
    if (request->delimited)
        zmq_send (self->socket, "", 0, ZMQ_DONTWAIT | ZMQ_SNDMORE);
    zmq_msg_t frame;
    uint8_t *bytes = leat_buffer_bytes (answer);
    size_t size = leat_buffer_size (answer);
    leat_buffer_lend (answer);
    int rc = zmq_msg_init_data (&frame, bytes, size, leat_buffer_return, answer);
    leat_assert (rc == 0);
    if (zmq_msg_send (&frame, self->socket, ZMQ_DONTWAIT) < 0)
        zmq_msg_close (&frame);
}

bool leat_stats_socket_serve (leat_stats_socket_t *self, const leat_report_source_t *source,
                              leat_connections_t *connections)
{
    request_t request;
    zmq_msg_init (&request.id);
    int left = REQUESTS_PER_TURN;
    int fd;
    bool ended;
    while (leat_connection_monitor_next (self->monitor, &fd, &ended)) {
        /* Who asks here has no session to end. */
        if (ended)
            leat_connections_ended (connections, fd);
        else
            leat_connections_accepted (connections, fd);
    }
    while (left && s_take_request (self, &request)) {
        left--;
        self->requests++;
        leat_connections_read (connections, request.fd, LEAT_CONNECTIONS_NO_PEER,
                               request.wire_size);
        s_send (self, &request, s_answer (self, &request, source));
    }
    zmq_msg_close (&request.id);
    return left == 0;
}

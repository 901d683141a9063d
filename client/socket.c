/* The client's DEALER socket.
 * SPDX-License-Identifier: MPL-2.0 */
#include "client/socket.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <zmq.h>

#include "wire/alloc.h"
#include "wire/assert.h"

enum {
    CONNECT_TIMEOUT_MS = 5000,
    HANDSHAKE_TIMEOUT_MS = 5000,
    KEEPALIVE_IDLE_S = 15,
    KEEPALIVE_INTERVAL_S = 5,
    KEEPALIVE_COUNT = 3,

    /* Later than anybody waits: the socket is closed before. With -1, or with ZMQ_IMMEDIATE, libzmq
     * ends the pipe of a lost connection as soon as it looks for news in zmq_msg_recv, between two
     * frames of a message, too, and then aborts (fq.cpp, recvpipe). */
    RECONNECT_MS = 24 * 3600 * 1000,

    /* libzmq reads frames below 8192 bytes (in_batch_size, config.hpp) into a buffer that they
     * share, and that each of them keeps alive: they are copied. */
    COPY_RECEIVED_BELOW = 8192,

    /* A frame that is not copied costs an allocation and a count of references. */
    COPY_SENT_BELOW = 1024
};

struct leat_socket {
    void *dealer;
    void *monitor;
    leat_socket_state_t state;
    /* As the monitor says. */
    bool is_up;
    bool has_failed; /* no connection, or it has ended */

    bool has_pending; /* a message that could not be sent yet */
    bool has_body;
    zmq_msg_t header;
    zmq_msg_t body;

    zmq_msg_t received;
    leat_buffer_t *received_body;
};

static int s_set_int (void *socket, int option, int value)
{
    return zmq_setsockopt (socket, option, &value, sizeof value);
}

static int s_set_options (void *dealer)
{
    /* The high-water marks are none: what is under way is bounded by credit in both directions. */
    int64_t message_size_max = 2 * (int64_t) LEAT_RECORD_SIZE_MAX;
    return s_set_int (dealer, ZMQ_SNDHWM, 0) + s_set_int (dealer, ZMQ_RCVHWM, 0)
           + s_set_int (dealer, ZMQ_LINGER, 0) + s_set_int (dealer, ZMQ_RECONNECT_IVL, RECONNECT_MS)
           + s_set_int (dealer, ZMQ_CONNECT_TIMEOUT, CONNECT_TIMEOUT_MS)
           + s_set_int (dealer, ZMQ_HANDSHAKE_IVL, HANDSHAKE_TIMEOUT_MS)
           + s_set_int (dealer, ZMQ_TCP_KEEPALIVE, 1)
           + s_set_int (dealer, ZMQ_TCP_KEEPALIVE_IDLE, KEEPALIVE_IDLE_S)
           + s_set_int (dealer, ZMQ_TCP_KEEPALIVE_INTVL, KEEPALIVE_INTERVAL_S)
           + s_set_int (dealer, ZMQ_TCP_KEEPALIVE_CNT, KEEPALIVE_COUNT)
           + zmq_setsockopt (dealer, ZMQ_MAXMSGSIZE, &message_size_max, sizeof message_size_max);
}

/* Tells when there is a connection and when it has ended. A socket connects once, so there are few
 * events, and the I/O thread never has to wait for their being read. */
static int s_open_monitor (leat_socket_t *self, void *context)
{
    char address[64];
    snprintf (address, sizeof address, "inproc://leat-monitor-%" PRIxPTR, (uintptr_t) self);
    int events = ZMQ_EVENT_HANDSHAKE_SUCCEEDED | ZMQ_EVENT_CLOSED | ZMQ_EVENT_DISCONNECTED
                 | ZMQ_EVENT_HANDSHAKE_FAILED_NO_DETAIL | ZMQ_EVENT_HANDSHAKE_FAILED_PROTOCOL
                 | ZMQ_EVENT_HANDSHAKE_FAILED_AUTH;
    if (zmq_socket_monitor (self->dealer, address, events) != 0)
        return -1;
    self->monitor = zmq_socket (context, ZMQ_PAIR);
    if (self->monitor == NULL || s_set_int (self->monitor, ZMQ_LINGER, 0) != 0)
        return -1;
    return zmq_connect (self->monitor, address);
}

/* For each socket libzmq opens an eventfd. */
static bool s_has_descriptors (void)
{
    int fd = eventfd (0, EFD_CLOEXEC);
    if (fd >= 0)
        close (fd);
    return fd >= 0;
}

/* libzmq says EMFILE both if the context has all the sockets that it may have and if the process has all
 * the files that it may have. To be called while what was opened is still open. */
static void s_tell (leat_fault_t *fault, void *context, const char *endpoint, int error)
{
    if (error == EMFILE && s_has_descriptors ())
        leat_fault_set (fault, LEAT_TIMED_OUT,
                        "the ZeroMQ context has no room for another client: it may have %d sockets "
                        "(ZMQ_MAX_SOCKETS), and each client takes %d; raise that with zmq_ctx_set "
                        "before the first socket is made, or share a context among fewer clients",
                        zmq_ctx_get (context, ZMQ_MAX_SOCKETS), LEAT_SOCKETS_OF_CLIENT);
    else if (error == EMFILE)
        leat_fault_set (
            fault, LEAT_TIMED_OUT,
            "this process has as many files open as it may (RLIMIT_NOFILE), and none is "
            "left for a connection to %s; raise the limit (ulimit -n)",
            endpoint);
    else
        leat_fault_set (fault, LEAT_TIMED_OUT, "no connection to %s can be made: %s", endpoint,
                        zmq_strerror (error));
}

leat_socket_t *leat_socket_new (void *context, const char *endpoint, leat_fault_t *fault)
{
    leat_socket_t *self = leat_alloc (sizeof *self);
    zmq_msg_init (&self->received);
    self->dealer = zmq_socket (context, ZMQ_DEALER);
    if (self->dealer != NULL && s_set_options (self->dealer) == 0
        && s_open_monitor (self, context) == 0 && zmq_connect (self->dealer, endpoint) == 0)
        return self;
    s_tell (fault, context, endpoint, errno);
    leat_socket_destroy (&self);
    return NULL;
}

static void s_drop_pending (leat_socket_t *self)
{
    if (!self->has_pending)
        return;
    zmq_msg_close (&self->header);
    if (self->has_body)
        zmq_msg_close (&self->body);
    self->has_pending = false;
}

void leat_socket_destroy (leat_socket_t **self_p)
{
    leat_socket_t *self = *self_p;
    if (self == NULL)
        return;
    s_drop_pending (self);
    leat_buffer_release (&self->received_body);
    zmq_msg_close (&self->received);
    if (self->dealer != NULL) {
        zmq_socket_monitor (self->dealer, NULL, 0);
        zmq_close (self->dealer);
    }
    if (self->monitor != NULL)
        zmq_close (self->monitor);
    free (self);
    *self_p = NULL;
}

/* ---- sending --------------------------------------------------------------------------------- */

static void s_fill (zmq_msg_t *frame, const void *bytes, size_t size)
{
    int rc = zmq_msg_init_size (frame, size);
    leat_assert (rc == 0); /* out of memory */
    if (size > 0)
        memcpy (zmq_msg_data (frame), bytes, size);
}

static void s_fill_body (zmq_msg_t *frame, leat_slice_t body)
{
    if (body.size < COPY_SENT_BELOW) {
        s_fill (frame, leat_slice_bytes (body), body.size);
        return;
    }
    uint8_t *bytes = leat_buffer_bytes (leat_buffer_hold (body.buffer)) + body.offset;
    leat_buffer_lend (body.buffer);
    int rc = zmq_msg_init_data (frame, bytes, body.size, leat_buffer_return, body.buffer);
    leat_assert (rc == 0); /* out of memory */
}

/* False if it cannot be sent now. */
static bool s_send_pending (leat_socket_t *self)
{
    int flags = ZMQ_DONTWAIT | (self->has_body ? ZMQ_SNDMORE : 0);
    if (zmq_msg_send (&self->header, self->dealer, flags) < 0)
        return false;
    /* Once the first frame is taken libzmq takes the others, or drops all (lb.cpp). */
    if (self->has_body && zmq_msg_send (&self->body, self->dealer, ZMQ_DONTWAIT) < 0)
        zmq_msg_close (&self->body);
    self->has_pending = false;
    return true;
}

bool leat_socket_send (leat_socket_t *self, leat_outbox_t *outbox)
{
    leat_message_t message;
    for (;;) {
        if (self->has_pending && !s_send_pending (self))
            return false;
        if (!leat_outbox_next (outbox, &message))
            return true;
        s_fill (&self->header, message.header, message.header_size);
        self->has_body = message.body.buffer != NULL;
        if (self->has_body)
            s_fill_body (&self->body, message.body);
        self->has_pending = true;
    }
}

/* ---- receiving ------------------------------------------------------------------------------- */

static void s_close_message (void *hint)
{
    zmq_msg_close (hint);
    free (hint);
}

/* The frame as a buffer: its own bytes, or a copy of a small one's. The frame is empty then. */
static leat_buffer_t *s_wrap (zmq_msg_t *frame)
{
    size_t size = zmq_msg_size (frame);
    if (size < COPY_RECEIVED_BELOW)
        return leat_buffer_copy (zmq_msg_data (frame), size);
    zmq_msg_t *message = leat_alloc_raw (sizeof *message);
    zmq_msg_init (message);
    zmq_msg_move (message, frame);
    return leat_buffer_wrap (zmq_msg_data (message), size, s_close_message, message);
}

bool leat_socket_receive (leat_socket_t *self, leat_socket_message_t *message)
{
    leat_buffer_release (&self->received_body);
    if (zmq_msg_recv (&self->received, self->dealer, ZMQ_DONTWAIT) < 0)
        return false;
    *message = (leat_socket_message_t){ .frames = 1 };
    bool more = zmq_msg_more (&self->received) != 0;
    while (more) {
        /* libzmq delivers messages whole: the next frame is there. */
        zmq_msg_t frame;
        zmq_msg_init (&frame);
        if (zmq_msg_recv (&frame, self->dealer, ZMQ_DONTWAIT) < 0) {
            zmq_msg_close (&frame);
            return false;
        }
        more = zmq_msg_more (&frame) != 0;
        if (++message->frames == 2)
            self->received_body = s_wrap (&frame);
        zmq_msg_close (&frame);
    }
    message->header = zmq_msg_data (&self->received);
    message->header_size = zmq_msg_size (&self->received);
    message->body = self->received_body;
    return true;
}

/* ---- events ---------------------------------------------------------------------------------- */

void leat_socket_hear (leat_socket_t *self)
{
    zmq_msg_t frame;
    zmq_msg_init (&frame);
    while (zmq_msg_recv (&frame, self->monitor, ZMQ_DONTWAIT) >= 0) {
        uint16_t event;
        if (!zmq_msg_more (&frame))
            continue; /* the second frame, an address */
        memcpy (&event, zmq_msg_data (&frame), sizeof event);
        if (event == ZMQ_EVENT_HANDSHAKE_SUCCEEDED)
            self->is_up = true;
        else
            self->has_failed = true; /* whichever event it is */
    }
    zmq_msg_close (&frame);
}

bool leat_socket_readable (leat_socket_t *self)
{
    int events = 0;
    size_t size = sizeof events;
    if (zmq_getsockopt (self->dealer, ZMQ_EVENTS, &events, &size) != 0)
        self->has_failed = true; /* the context ends */
    /* What came over the connection was there before the event of its end; it is read first. */
    if (self->has_failed && !(events & ZMQ_POLLIN))
        self->state = LEAT_SOCKET_LOST;
    else if (self->is_up)
        self->state = LEAT_SOCKET_CONNECTED;
    return events & ZMQ_POLLIN;
}

leat_socket_state_t leat_socket_state (const leat_socket_t *self)
{
    return self->state;
}

static int s_fd (void *socket)
{
    int fd = -1;
    size_t size = sizeof fd;
    zmq_getsockopt (socket, ZMQ_FD, &fd, &size);
    return fd;
}

int leat_socket_fd (const leat_socket_t *self)
{
    return s_fd (self->dealer);
}

int leat_socket_monitor_fd (const leat_socket_t *self)
{
    return s_fd (self->monitor);
}

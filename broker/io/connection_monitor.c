/* zmq_socket_monitor (3), and the socket at its other end.
 * SPDX-License-Identifier: MPL-2.0 */
#include "broker/io/connection_monitor.h"

#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <zmq.h>

#include "wire/alloc.h"
#include "wire/assert.h"

struct leat_connection_monitor {
    void *watched;
    void *socket;
    int fd;
    int connection_max; /* descriptors from here on are kept free */
    uint64_t refused;
};

uint64_t leat_connection_monitor_reserve (uint64_t files)
{
    enum { ENOUGH = 512 };
    if (files / 8 >= ENOUGH)
        return files / 8;
    return files / 2 < ENOUGH ? files / 2 : ENOUGH;
}

/* INT_MAX without a limit. */
static uint64_t s_files (void)
{
    struct rlimit files;
    if (getrlimit (RLIMIT_NOFILE, &files) || files.rlim_cur > INT_MAX)
        return INT_MAX;
    return files.rlim_cur;
}

int leat_connection_monitor_backlog (void)
{
    enum { MOST = 1024 };
    uint64_t quarter = leat_connection_monitor_reserve (s_files ()) / 4;
    return quarter < MOST ? (int) quarter + 1 : MOST;
}

static int s_connection_max (double share)
{
    const uint64_t files = s_files ();
    if (files == INT_MAX)
        return INT_MAX;
    double reserve = (double) leat_connection_monitor_reserve (files) * (1 - share);
    return (int) ((double) files - reserve);
}

/* The marks of both ends of an inproc connection are added up, but for 0, which means none
 * (socket_base.cpp, connect_internal). So 0 at this end is enough; the other one is libzmq's. */
static int s_connect (leat_connection_monitor_t *self, void *context, const char *address)
{
    const int none = 0;
    size_t size = sizeof self->fd;
    self->socket = zmq_socket (context, ZMQ_PAIR);
    if (!self->socket || zmq_setsockopt (self->socket, ZMQ_RCVHWM, &none, sizeof none)
        || zmq_setsockopt (self->socket, ZMQ_LINGER, &none, sizeof none)
        || zmq_connect (self->socket, address))
        return -1;
    return zmq_getsockopt (self->socket, ZMQ_FD, &self->fd, &size);
}

leat_connection_monitor_t *leat_connection_monitor_new (void *context, void *socket, double share,
                                                        char *error, size_t error_size)
{
    char address[64];
    leat_connection_monitor_t *self = leat_alloc (sizeof *self);
    snprintf (address, sizeof address, "inproc://leat-connection-monitor-%" PRIxPTR,
              (uintptr_t) self);
    self->watched = socket;
    self->connection_max = s_connection_max (share);
    if (zmq_socket_monitor (socket, address, ZMQ_EVENT_ACCEPTED | ZMQ_EVENT_DISCONNECTED)
        || s_connect (self, context, address)) {
        snprintf (error, error_size, "cannot watch for ends of connections: %s",
                  zmq_strerror (errno));
        leat_connection_monitor_destroy (&self);
    }
    return self;
}

void leat_connection_monitor_destroy (leat_connection_monitor_t **self_p)
{
    leat_connection_monitor_t *self = *self_p;
    if (!self)
        return;
    *self_p = NULL;
    zmq_socket_monitor (self->watched, NULL, 0);
    if (self->socket)
        zmq_close (self->socket);
    free (self);
}

int leat_connection_monitor_fd (const leat_connection_monitor_t *self)
{
    return self->fd;
}

uint64_t leat_connection_monitor_refused (const leat_connection_monitor_t *self)
{
    return self->refused;
}

static bool s_take_frame (leat_connection_monitor_t *self, zmq_msg_t *frame)
{
    while (zmq_msg_recv (frame, self->socket, ZMQ_DONTWAIT) < 0) {
        leat_assert (errno == EAGAIN || errno == EINTR);
        if (errno == EAGAIN)
            return false;
    }
    return true;
}

/* The number may be another file's by now: another connection's, which is one too many as well, or
 * nothing that can be shut down. libzmq finds the end of what it reads, and closes. */
static void s_refuse (leat_connection_monitor_t *self, int fd)
{
    self->refused++;
    shutdown (fd, SHUT_RDWR);
}

/*      +-----------+-----------+  +----------+
 *      | event u16 | value i32 |  | endpoint |      in the machine's byte order
 *      +-----------+-----------+  +----------+                                    */
bool leat_connection_monitor_next (leat_connection_monitor_t *self, int *fd, bool *ended)
{
    bool found = false;
    zmq_msg_t frame;
    zmq_msg_init (&frame);
    while (!found && s_take_frame (self, &frame)) {
        uint16_t event;
        int32_t value;
        leat_assert (zmq_msg_size (&frame) == sizeof event + sizeof value);
        const uint8_t *bytes = zmq_msg_data (&frame);
        memcpy (&event, bytes, sizeof event);
        memcpy (&value, bytes + sizeof event, sizeof value);
        *ended = event == ZMQ_EVENT_DISCONNECTED;
        *fd = value;
        found = true;
        if (event == ZMQ_EVENT_ACCEPTED && value >= self->connection_max) {
            s_refuse (self, value);
            found = false;
        }
        while (zmq_msg_more (&frame)) {
            bool there = s_take_frame (self, &frame);
            leat_assert (there);
        }
    }
    zmq_msg_close (&frame);
    return found;
}

/* Accounts of connections, and shutdown (2).
 * SPDX-License-Identifier: MPL-2.0 */
#include "broker/io/connections.h"

#include <fcntl.h>
#include <linux/sockios.h>
#include <linux/tcp.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "wire/alloc.h"
#include "wire/assert.h"

enum {
    CHECK_US = 50000,       /* between questions for the memory of the process */
    HURRY_US = 10000,       /* while it grows */
    MOMENT_US = 100000,     /* to read why one is sent away */
    LOOKS_PER_TURN = 256,   /* each takes a microsecond */
    STRIKES = 3,            /* ipc, see connections.h */
    ROUNDS = 4,             /* of reading each connection, as in departures.h */
    ENDED = 1024,           /* connections that have ended and may take part in them */
    LITTLE_SIZE = 64 * 1024 /* no allowance is smaller */
};

#define GROWTH (UINT64_C (8) << 20)
#define NOBODY LEAT_CONNECTIONS_NO_PEER

typedef struct {
    uint64_t cookie; /* 0: no connection */
    uint64_t peer;   /* that was read over it last */
    uint64_t older;  /* was read over a predecessor, so no peer up to this one can be its */
    bool tcp;
    bool drained; /* everything that had arrived was read when it was looked at last */
    bool cut;
    uint64_t cut_us;        /* to be cut then; 0 not */
    uint64_t acknowledged;  /* bytes that the other side's kernel had when it was looked at last */
    uint64_t stuck_us;      /* it has taken no more since, though more waits; 0: it has */
    uint64_t arrived;       /* bytes that the kernel had received when it was looked at last */
    uint64_t held;          /* of them, bytes that were not read then */
    uint64_t read;          /* bytes of messages read since */
    uint64_t messages;      /* likewise */
    uint64_t messages_mark; /* messages of anybody when one of it was read, or a strike given */
    unsigned strikes;
    uint64_t unexplained; /* of all, when a message of it ended last */
} row_t;

struct leat_connections {
    leat_connections_allowance_fn *allowance;
    void *arg;
    uint64_t message_size_max;
    uint64_t patience_us;
    int statm;   /* -1: memory is not known, and taken to grow all the time */
    row_t *rows; /* by descriptor */
    size_t size;
    size_t count;
    uint64_t messages; /* of anybody */
    uint64_t due_us;   /* next question for memory */
    uint64_t memory;   /* when all connections were looked at last, or less since */
    uint64_t read;     /* bytes of messages of anybody since */
    bool looking;
    size_t next;           /* to look at */
    uint64_t unexplained;  /* memory that came and was not read, of all times */
    bool more_unexplained; /* memory grew by far more than was read */
    size_t suspects;       /* rows with strikes, this time and at the last look */
    size_t last_suspects;
    size_t waiting; /* to be cut at their cut_us */
    leat_connections_counters_t counters;
};

leat_connections_t *leat_connections_new (leat_connections_allowance_fn *allowance, void *arg,
                                          uint64_t message_size_max, uint64_t patience_us)
{
    leat_connections_t *self = leat_alloc (sizeof *self);
    self->allowance = allowance;
    self->arg = arg;
    self->message_size_max = message_size_max;
    self->patience_us = patience_us;
    self->statm = open ("/proc/self/statm", O_RDONLY | O_CLOEXEC);
    self->memory = UINT64_MAX;
    return self;
}

void leat_connections_destroy (leat_connections_t **self_p)
{
    leat_connections_t *self = *self_p;
    if (!self)
        return;
    *self_p = NULL;
    if (self->statm >= 0)
        close (self->statm);
    free (self->rows);
    free (self);
}

const leat_connections_counters_t *leat_connections_counters (const leat_connections_t *self)
{
    return &self->counters;
}

/* ---- rows ------------------------------------------------------------------------------------ */

static int s_fd (const leat_connections_t *self, const row_t *row)
{
    return (int) (row - self->rows);
}

static row_t *s_at (const leat_connections_t *self, int fd)
{
    return fd >= 0 && (size_t) fd < self->size && self->rows[fd].cookie ? &self->rows[fd] : NULL;
}

/* 0 if it is no socket any more. */
static uint64_t s_cookie (int fd)
{
    uint64_t cookie;
    socklen_t size = sizeof cookie;
    return getsockopt (fd, SOL_SOCKET, SO_COOKIE, &cookie, &size) ? 0 : cookie;
}

static bool s_is_tcp (int fd)
{
    int domain;
    socklen_t size = sizeof domain;
    return !getsockopt (fd, SOL_SOCKET, SO_DOMAIN, &domain, &size) && domain != AF_UNIX;
}

static void s_make_room (leat_connections_t *self, int fd)
{
    size_t size = self->size ? self->size : 64;
    while (size <= (size_t) fd)
        size *= 2;
    if (size == self->size)
        return;
    self->rows = leat_realloc (self->rows, size * sizeof *self->rows);
    for (; self->size < size; self->size++)
        self->rows[self->size] = (row_t){ .peer = NOBODY, .older = NOBODY };
}

void leat_connections_accepted (leat_connections_t *self, int fd)
{
    uint64_t cookie = fd >= 0 ? s_cookie (fd) : 0;
    row_t *row = s_at (self, fd);
    if (!cookie || (row && row->cookie == cookie))
        return;
    leat_connections_ended (self, fd);
    s_make_room (self, fd);
    row = &self->rows[fd];
    uint64_t older = row->peer == NOBODY ? row->older : row->peer;
    self->rows[fd] = (row_t){ .cookie = cookie,
                              .peer = NOBODY,
                              .older = older,
                              .tcp = s_is_tcp (fd),
                              .acknowledged = UINT64_MAX,
                              .unexplained = self->unexplained,
                              .messages_mark = self->messages };
    self->count++;
}

static void s_spare (leat_connections_t *self, row_t *row)
{
    self->waiting -= row->cut_us != 0;
    row->cut_us = 0;
}

void leat_connections_ended (leat_connections_t *self, int fd)
{
    row_t *row = s_at (self, fd);
    if (!row)
        return;
    s_spare (self, row);
    row->cookie = 0;
    self->count--;
}

/* Peers are numbered in turn; the numbers have 32 bits and run over. */
static bool s_is_newer (uint64_t peer, uint64_t than)
{
    return than == NOBODY || (int32_t) ((uint32_t) peer - (uint32_t) than) > 0;
}

/* What a peer had sent may be read when another connection has its descriptor already, and before it is
 * heard that this one has begun. */
static row_t *s_claim (leat_connections_t *self, int fd, uint64_t peer)
{
    leat_connections_accepted (self, fd);
    row_t *row = s_at (self, fd);
    if (peer == NOBODY)
        return row;
    if (row && s_is_newer (peer, row->peer) && s_is_newer (peer, row->older)) {
        s_spare (self, row); /* another one was to be cut */
        row->peer = peer;
    }
    return row;
}

void leat_connections_read (leat_connections_t *self, int fd, uint64_t peer, size_t size)
{
    row_t *row = s_at (self, fd);
    self->messages++;
    if (!row || peer == NOBODY || peer != row->peer)
        row = s_claim (self, fd, peer);
    if (!row || row->peer != peer)
        return; /* of one that has ended */
    self->read += size;
    row->read += size;
    row->messages++;
    row->messages_mark = self->messages;
}

/* ---- cutting --------------------------------------------------------------------------------- */

/* With a reset: who is full of what it could not send would not learn of an end in order for a minute. */
static void s_cut (leat_connections_t *self, row_t *row)
{
    const struct linger reset = { .l_onoff = 1 };
    int fd = s_fd (self, row);
    s_spare (self, row);
    if (row->cut || s_cookie (fd) != row->cookie)
        return;
    row->cut = true;
    self->counters.connections_cut++;
    setsockopt (fd, SOL_SOCKET, SO_LINGER, &reset, sizeof reset);
    shutdown (fd, SHUT_RDWR);
}

/* It is rare that somebody is cut, so nothing is kept to find a row by its peer. */
static row_t *s_find (leat_connections_t *self, uint64_t peer)
{
    for (size_t fd = 0; fd < self->size; fd++)
        if (self->rows[fd].cookie && self->rows[fd].peer == peer)
            return &self->rows[fd];
    return NULL;
}

void leat_connections_cut (leat_connections_t *self, uint64_t peer)
{
    row_t *row = s_find (self, peer);
    if (row)
        s_cut (self, row);
}

void leat_connections_cut_soon (leat_connections_t *self, uint64_t peer, uint64_t now_us)
{
    row_t *row = s_find (self, peer);
    if (!row || row->cut || row->cut_us)
        return;
    row->cut_us = now_us + MOMENT_US;
    self->waiting++;
    if (row->cut_us < self->due_us)
        self->due_us = row->cut_us;
}

static void s_cut_waiting (leat_connections_t *self, uint64_t now_us)
{
    for (size_t fd = 0; self->waiting && fd < self->size; fd++) {
        row_t *row = s_at (self, (int) fd);
        if (row && row->cut_us && row->cut_us <= now_us)
            s_cut (self, row);
    }
}

/* ---- looking --------------------------------------------------------------------------------- */

static uint64_t s_waiting_in_kernel (int fd)
{
    int size = 0;
    return ioctl (fd, FIONREAD, &size) || size < 0 ? 0 : (uint64_t) size;
}

/* It has read nothing for longer than it would have a session if it were silent. */
static bool s_is_deaf (leat_connections_t *self, row_t *row, uint64_t acknowledged, uint64_t now_us)
{
    int waiting = 0;
    bool stuck = acknowledged == row->acknowledged && !ioctl (s_fd (self, row), SIOCOUTQ, &waiting)
                 && waiting > 0;
    row->acknowledged = acknowledged;
    if (!stuck)
        row->stuck_us = 0;
    else if (!row->stuck_us)
        row->stuck_us = now_us;
    return stuck && now_us - row->stuck_us > self->patience_us;
}

static void s_look_at_tcp (leat_connections_t *self, row_t *row, bool drained, uint64_t now_us)
{
    struct tcp_info info = { 0 };
    socklen_t size = sizeof info;
    if (getsockopt (s_fd (self, row), IPPROTO_TCP, TCP_INFO, &info, &size)
        || info.tcpi_bytes_received < row->arrived)
        return; /* its end will be told */
    if (s_is_deaf (self, row, info.tcpi_bytes_acked, now_us)) {
        s_cut (self, row);
        return;
    }
    uint64_t came = info.tcpi_bytes_received - row->arrived;
    uint64_t held = row->held + came;
    held = held > row->read ? held - row->read : 0;
    /* One message was read that ended after the last look, so what is held came since: what ZMTP itself
     * has sent does not add up for ever. */
    if (row->drained && row->messages && held > came)
        held = came;
    row->arrived = info.tcpi_bytes_received;
    row->held = held;
    row->drained = drained;
    row->messages = 0;
    row->read = 0;
    if (held <= LITTLE_SIZE)
        return;
    uint64_t waiting = s_waiting_in_kernel (s_fd (self, row));
    if (held > waiting && held - waiting > self->allowance (self->arg, row->peer))
        s_cut (self, row);
}

/* Whether a message that had ended at the last look would have been read by now. */
static bool s_is_heard_out (const leat_connections_t *self, const row_t *row, bool drained)
{
    return (drained && row->drained)
           || self->messages - row->messages_mark >= ROUNDS * (uint64_t) (self->count + ENDED);
}

static void s_look_at_ipc (leat_connections_t *self, row_t *row, bool drained)
{
    if (row->messages) {
        row->strikes = 0;
        row->unexplained = self->unexplained;
    } else if (s_is_heard_out (self, row, drained) && self->more_unexplained
               && s_waiting_in_kernel (s_fd (self, row))) {
        row->strikes++;
        row->messages_mark = self->messages;
    }
    row->drained = drained;
    row->messages = 0;
    row->read = 0;
    self->suspects += row->strikes > 0;
    /* Those that are honest are in the midst of one message each. */
    size_t suspects = self->suspects > self->last_suspects ? self->suspects : self->last_suspects;
    if (row->strikes >= STRIKES
        && self->unexplained - row->unexplained > 2 * self->message_size_max * suspects)
        s_cut (self, row);
}

/* Bytes of its own that the process has in memory. */
static uint64_t s_memory (const leat_connections_t *self)
{
    char text[128];
    ssize_t size = self->statm < 0 ? -1 : pread (self->statm, text, sizeof text - 1, 0);
    if (size <= 0)
        return self->memory + GROWTH;
    text[size] = '\0';
    char *at = text;
    strtoull (at, &at, 10); /* addresses */
    uint64_t resident = strtoull (at, &at, 10);
    uint64_t shared = strtoull (at, &at, 10);
    return (resident - shared) * (uint64_t) sysconf (_SC_PAGESIZE);
}

static void s_begin_looks (leat_connections_t *self, uint64_t now_us)
{
    uint64_t memory = s_memory (self);
    if (memory < self->memory)
        self->memory = memory;
    uint64_t growth = memory - self->memory;
    self->due_us = now_us + (growth < GROWTH / 8 ? CHECK_US : HURRY_US);
    if (growth < GROWTH)
        return;
    self->more_unexplained = growth - GROWTH / 2 > 2 * self->read;
    self->unexplained += growth > 2 * self->read ? growth - 2 * self->read : 0;
    self->last_suspects = self->suspects;
    self->suspects = 0;
    self->memory = memory;
    self->read = 0;
    self->looking = true;
    self->next = 0;
    self->counters.connections_looks++;
}

void leat_connections_check (leat_connections_t *self, uint64_t now_us, bool drained)
{
    if (!self->looking && now_us < self->due_us)
        return;
    if (!self->looking) {
        s_cut_waiting (self, now_us);
        s_begin_looks (self, now_us);
    }
    size_t looks = 0;
    while (self->looking && looks < LOOKS_PER_TURN) {
        row_t *row = s_at (self, (int) self->next);
        if (self->next++ >= self->size)
            self->looking = false;
        else if (row && !row->cut) {
            looks++;
            if (row->tcp)
                s_look_at_tcp (self, row, drained, now_us);
            else
                s_look_at_ipc (self, row, drained);
        }
    }
}

uint64_t leat_connections_deadline (const leat_connections_t *self)
{
    if (!self->count)
        return UINT64_MAX;
    return self->looking ? 0 : self->due_us;
}

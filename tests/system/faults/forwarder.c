/* Stands between a peer and its broker, and delays, stalls and cuts what passes, from a seed.
 * SPDX-License-Identifier: MPL-2.0
 *
 * usage: fault_forwarder --listen PORT --host ADDRESS --port PORT --target NAME --journal FILE --seed S
 *            [--delay-min-ms MS --delay-max-ms MS] [--cut-after BYTES] [--stall-after BYTES --stall-ms MS]
 *
 *      peer ---- 127.0.0.1:PORT | pieces wait here, each for its time | ADDRESS:PORT ---- broker
 *
 * Each connection is cut after up to BYTES in both directions together, by a reset, wherever in a frame
 * that is; or passes nothing for MS each time that up to BYTES have passed. Cuts and stalls are noted
 * in the journal as faults of NAME. SIGUSR1: no more cuts, stalls and delays. SIGTERM: the end. */
#include "tests/system/faults/journal.h"
#include "tests/system/faults/options.h"
#include "tests/system/faults/payload.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <bsd/sys/queue.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <unistd.h>

enum { S_PIECE_SIZE = 16384, S_WAITING_MAX = 1 << 20, S_CONNECTIONS_MAX = 64, S_TURN_MS = 500 };

typedef struct piece {
    STAILQ_ENTRY (piece) link;
    uint64_t due_us;
    size_t size, sent;
    uint8_t bytes[S_PIECE_SIZE];
} piece_t;

/* What one side has said and the other one has not heard yet. */
typedef struct {
    STAILQ_HEAD (, piece) pieces;
    size_t waiting;
    uint64_t last_due_us; /* pieces stay in order */
    bool has_ended;
} way_t;

typedef struct {
    int fds[2];   /* the peer, the broker; -1: none */
    way_t way[2]; /* from fds[i] to fds[1 - i] */
    uint64_t cut_at, stall_at, passed;
    uint64_t stalled_until_us;
    uint64_t stall; /* number in the journal, 0 if there is none */
} connection_t;

typedef struct {
    const char *host, *target, *path;
    uint64_t listen_port, port, seed;
    uint64_t delay_min_ms, delay_max_ms, cut_after, stall_after, stall_ms;
    fault_journal_t *journal;
    uint64_t faults;
    uint64_t random;
    int listener, signals;
    connection_t connections[S_CONNECTIONS_MAX];
} forwarder_t;

static uint64_t s_up_to (forwarder_t *self, uint64_t limit)
{
    return limit == 0 ? 0 : fault_random (&self->random) % limit;
}

static uint64_t s_begin (forwarder_t *self, const char *what)
{
    fault_journal_write (self->journal, "begin %s-%" PRIu64 " %s %s", self->target, ++self->faults,
                         self->target, what);
    return self->faults;
}

static void s_finish (forwarder_t *self, uint64_t number)
{
    fault_journal_write (self->journal, "finish %s-%" PRIu64, self->target, number);
}

static void s_close (forwarder_t *self, connection_t *connection, bool reset)
{
    struct linger linger = { .l_onoff = 1, .l_linger = 0 };
    for (int side = 0; side < 2; side++) {
        if (reset)
            setsockopt (connection->fds[side], SOL_SOCKET, SO_LINGER, &linger, sizeof linger);
        close (connection->fds[side]);
        connection->fds[side] = -1;
        piece_t *piece;
        while ((piece = STAILQ_FIRST (&connection->way[side].pieces)) != NULL) {
            STAILQ_REMOVE_HEAD (&connection->way[side].pieces, link);
            free (piece);
        }
    }
    if (connection->stall)
        s_finish (self, connection->stall);
}

static void s_cut (forwarder_t *self, connection_t *connection)
{
    uint64_t number = s_begin (self, "cut");
    s_close (self, connection, true);
    s_finish (self, number);
}

static void s_accept (forwarder_t *self)
{
    connection_t *connection = NULL;
    for (size_t i = 0; i < S_CONNECTIONS_MAX && connection == NULL; i++)
        if (self->connections[i].fds[0] < 0)
            connection = &self->connections[i];
    int peer = accept4 (self->listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (peer < 0)
        return;
    int broker = socket (AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    struct sockaddr_in address = { .sin_family = AF_INET,
                                   .sin_port = htons ((uint16_t) self->port) };
    inet_pton (AF_INET, self->host, &address.sin_addr);
    if (connection == NULL || broker < 0
        || (connect (broker, (struct sockaddr *) &address, sizeof address) != 0
            && errno != EINPROGRESS)) {
        close (peer);
        if (broker >= 0)
            close (broker);
        return;
    }
    int one = 1;
    setsockopt (peer, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    setsockopt (broker, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    *connection = (connection_t){ .fds = { peer, broker } };
    STAILQ_INIT (&connection->way[0].pieces);
    STAILQ_INIT (&connection->way[1].pieces);
    connection->cut_at = self->cut_after ? 1 + s_up_to (self, self->cut_after) : UINT64_MAX;
    connection->stall_at = self->stall_after ? 1 + s_up_to (self, self->stall_after) : UINT64_MAX;
}

/* Reads a piece and says when it may go on. */
static void s_read (forwarder_t *self, connection_t *connection, int side)
{
    way_t *way = &connection->way[side];
    piece_t *piece = malloc (sizeof *piece);
    if (piece == NULL)
        abort ();
    ssize_t size = recv (connection->fds[side], piece->bytes, sizeof piece->bytes, 0);
    if (size <= 0) {
        if (size == 0 || (errno != EAGAIN && errno != EINTR))
            way->has_ended = true;
        free (piece);
        return;
    }
    uint64_t delay_us =
        (self->delay_min_ms + s_up_to (self, self->delay_max_ms - self->delay_min_ms)) * 1000;
    piece->size = (size_t) size;
    piece->sent = 0;
    piece->due_us = fault_clock_us () + delay_us;
    if (piece->due_us < way->last_due_us)
        piece->due_us = way->last_due_us;
    way->last_due_us = piece->due_us;
    way->waiting += piece->size;
    STAILQ_INSERT_TAIL (&way->pieces, piece, link);
}

/* How many bytes may go before the next cut or stall. */
static size_t s_allowed (const connection_t *connection, size_t size)
{
    uint64_t next =
        connection->cut_at < connection->stall_at ? connection->cut_at : connection->stall_at;
    uint64_t left = next - connection->passed;
    return left < size ? (size_t) left : size;
}

/* Passes on what is due. False if the connection is to be closed. */
static bool s_write (forwarder_t *self, connection_t *connection, int side, uint64_t now_us)
{
    way_t *way = &connection->way[side];
    piece_t *piece;
    while (now_us >= connection->stalled_until_us && (piece = STAILQ_FIRST (&way->pieces)) != NULL
           && piece->due_us <= now_us) {
        size_t size = s_allowed (connection, piece->size - piece->sent);
        ssize_t sent =
            send (connection->fds[1 - side], piece->bytes + piece->sent, size, MSG_NOSIGNAL);
        if (sent < 0)
            return errno == EAGAIN || errno == EINTR || errno == ENOTCONN;
        piece->sent += (size_t) sent;
        way->waiting -= (size_t) sent;
        connection->passed += (uint64_t) sent;
        if (piece->sent == piece->size) {
            STAILQ_REMOVE_HEAD (&way->pieces, link);
            free (piece);
        }
        if (connection->passed >= connection->cut_at) {
            s_cut (self, connection);
            return true;
        }
        if (connection->passed >= connection->stall_at) {
            connection->stall_at = connection->passed + 1 + s_up_to (self, self->stall_after);
            connection->stalled_until_us = now_us + self->stall_ms * 1000;
            connection->stall = s_begin (self, "stall");
        }
    }
    return !way->has_ended || !STAILQ_EMPTY (&way->pieces);
}

static void s_serve (forwarder_t *self, connection_t *connection)
{
    uint64_t now_us = fault_clock_us ();
    if (connection->stall && now_us >= connection->stalled_until_us) {
        s_finish (self, connection->stall);
        connection->stall = 0;
    }
    bool lives = true;
    for (int side = 0; side < 2 && lives && connection->fds[0] >= 0; side++)
        lives = s_write (self, connection, side, now_us);
    if (!lives)
        s_close (self, connection, false);
}

static void s_calm (forwarder_t *self)
{
    self->cut_after = self->stall_after = self->delay_min_ms = self->delay_max_ms = 0;
    for (size_t i = 0; i < S_CONNECTIONS_MAX; i++) {
        connection_t *connection = &self->connections[i];
        connection->cut_at = connection->stall_at = UINT64_MAX;
        connection->stalled_until_us = 0;
    }
}

/* What to wait for; returns for how long. */
static int s_interests (forwarder_t *self, struct pollfd *items)
{
    uint64_t now_us = fault_clock_us ();
    uint64_t next_us = now_us + S_TURN_MS * 1000;
    items[0] = (struct pollfd){ self->signals, POLLIN, 0 };
    items[1] = (struct pollfd){ self->listener, POLLIN, 0 };
    for (size_t i = 0; i < S_CONNECTIONS_MAX; i++) {
        connection_t *connection = &self->connections[i];
        bool is_stalled = now_us < connection->stalled_until_us;
        if (connection->fds[0] >= 0 && is_stalled && connection->stalled_until_us < next_us)
            next_us = connection->stalled_until_us;
        for (int side = 0; side < 2; side++) {
            struct pollfd *item = &items[2 + 2 * i + (size_t) side];
            *item = (struct pollfd){ connection->fds[side], 0, 0 };
            if (connection->fds[0] < 0)
                continue;
            if (!connection->way[side].has_ended && connection->way[side].waiting < S_WAITING_MAX)
                item->events |= POLLIN;
            const piece_t *piece = STAILQ_FIRST (&connection->way[1 - side].pieces);
            if (piece != NULL && !is_stalled && piece->due_us <= now_us)
                item->events |= POLLOUT;
            else if (piece != NULL && !is_stalled && piece->due_us < next_us)
                next_us = piece->due_us;
            if (item->events == 0)
                item->fd = -1;
        }
    }
    return (int) ((next_us - now_us + 999) / 1000);
}

static void s_run (forwarder_t *self)
{
    static struct pollfd items[2 + 2 * S_CONNECTIONS_MAX];
    for (;;) {
        int wait_ms = s_interests (self, items);
        if (poll (items, sizeof items / sizeof *items, wait_ms) < 0)
            continue;
        struct signalfd_siginfo signal;
        if (items[0].revents && read (self->signals, &signal, sizeof signal) == sizeof signal) {
            if (signal.ssi_signo == SIGTERM)
                return;
            s_calm (self);
        }
        for (size_t i = 0; i < S_CONNECTIONS_MAX; i++) {
            connection_t *connection = &self->connections[i];
            for (int side = 0; side < 2 && connection->fds[0] >= 0; side++) {
                short came = items[2 + 2 * i + (size_t) side].revents;
                if (came & (POLLIN | POLLHUP | POLLERR) && !connection->way[side].has_ended)
                    s_read (self, connection, side);
            }
            if (connection->fds[0] >= 0)
                s_serve (self, connection);
        }
        if (items[1].revents)
            s_accept (self);
    }
}

static int s_listen (uint64_t port)
{
    int listener = socket (AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    struct sockaddr_in address = { .sin_family = AF_INET,
                                   .sin_port = htons ((uint16_t) port),
                                   .sin_addr.s_addr = htonl (INADDR_LOOPBACK) };
    int one = 1;
    setsockopt (listener, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    if (bind (listener, (struct sockaddr *) &address, sizeof address) != 0
        || listen (listener, 16) != 0) {
        perror ("fault_forwarder");
        exit (1);
    }
    return listener;
}

int main (int argc, char **argv)
{
    static forwarder_t self;
    const fault_option_t options[] = {
        { "listen", NULL, &self.listen_port },
        { "host", &self.host, NULL },
        { "port", NULL, &self.port },
        { "target", &self.target, NULL },
        { "journal", &self.path, NULL },
        { "seed", NULL, &self.seed },
        { "delay-min-ms", NULL, &self.delay_min_ms },
        { "delay-max-ms", NULL, &self.delay_max_ms },
        { "cut-after", NULL, &self.cut_after },
        { "stall-after", NULL, &self.stall_after },
        { "stall-ms", NULL, &self.stall_ms },
    };
    fault_options_read (options, sizeof options / sizeof *options, argc, argv);
    if (!self.host || !self.target || !self.path || self.delay_max_ms < self.delay_min_ms) {
        fprintf (stderr, "fault_forwarder wants --host, --target and --journal\n");
        return 2;
    }
    sigset_t set;
    sigemptyset (&set);
    sigaddset (&set, SIGTERM);
    sigaddset (&set, SIGUSR1);
    sigprocmask (SIG_BLOCK, &set, NULL);
    self.signals = signalfd (-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
    self.random = self.seed;
    for (size_t i = 0; i < S_CONNECTIONS_MAX; i++)
        self.connections[i].fds[0] = self.connections[i].fds[1] = -1;
    self.journal = fault_journal_new (self.path);
    self.listener = s_listen (self.listen_port);
    fault_journal_write (self.journal, "listening");
    s_run (&self);
    for (size_t i = 0; i < S_CONNECTIONS_MAX; i++)
        if (self.connections[i].fds[0] >= 0)
            s_close (&self, &self.connections[i], false);
    fault_journal_destroy (&self.journal);
    return 0;
}

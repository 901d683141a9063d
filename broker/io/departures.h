/* Which peers have gone without a word: from the ends of connections to the ends of sessions.
 * SPDX-License-Identifier: MPL-2.0 */
#ifndef LEAT_BROKER_IO_DEPARTURES_H
#define LEAT_BROKER_IO_DEPARTURES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* libzmq tells that a connection has ended by its descriptor, not by its routing id, and the kernel gives
 * that number to the next connection at once. So each HELLO notes the descriptor that it came over
 * as a claim of its peer, and an end makes all who claim that descriptor suspicious. A suspicious peer
 * is probed: a message is sent to it, harmless if it lives, refused once libzmq has taken the
 * connection apart, which it does a few milliseconds after it tells of the end.
 *
 *                 end of the descriptor                a send was refused
 *      STAYING  ------------------------>  PROBED  ------------------------->  GONE
 *         ^                                   |                                 |
 *         +-----------------------------------+                                 | all it had sent
 *            PROBES were taken: another one                                     | has been read
 *            had the descriptor before                                          v
 *                                                                      leat_departures_take
 *
 * What a peer had sent is read before it is given up: after the refusal everything is in the socket's
 * queue, so an empty queue says so. A broker that is never idle goes by counts: libzmq reads
 * its connections in turn, so a peer that was not heard for several rounds has nothing left.
 *
 * There is a claim for each connection with a session at most, so open files bound them. No I/O, no
 * clock; one thread. Times are monotonic microseconds. */
typedef struct leat_departures leat_departures_t;

enum {
    /* 0, 1, 2, 4 ... 512 ms after the end: a living peer gets so many messages at most. */
    LEAT_DEPARTURES_PROBES = 11
};

/* X (name, what it counts). Only grow. */
#define LEAT_DEPARTURES_COUNTERS(X)                                                                \
    X (connections_ended, "ends of connections that libzmq told of, with or without a session")    \
    X (probes, "PONGs sent to find out whether a connection is gone")                              \
    X (probes_survived, "peers that were probed and live")                                         \
    X (departures_probed, "connections found gone by a probe")                                     \
    X (departures_unsent, "connections found gone because something else could not be sent")

typedef struct {
#define X(name, text) uint64_t name;
    LEAT_DEPARTURES_COUNTERS (X)
#undef X
} leat_departures_counters_t;

leat_departures_t *leat_departures_new (void);
void leat_departures_destroy (leat_departures_t **self_p);

const leat_departures_counters_t *leat_departures_counters (const leat_departures_t *self);

/* ---- what happens ---------------------------------------------------------------------------- */

/* A session has begun over this descriptor; a negative one is unknown, and only a refused send or
 * silence ends that session. If an end of the descriptor was told since the queue was last empty,
 * it may have been this connection's own, and the peer is probed. */
void leat_departures_arrive (leat_departures_t *self, uint64_t peer, int fd, uint64_t now_us);

/* The session is over in another way; nothing more is wanted of its connection. */
void leat_departures_forget (leat_departures_t *self, uint64_t peer);

/* A connection with this descriptor has ended. */
void leat_departures_end (leat_departures_t *self, int fd, uint64_t now_us);

/* A message was read; to be called for each, of anybody. */
void leat_departures_heard (leat_departures_t *self, uint64_t peer);

/* All messages that had arrived are read. */
void leat_departures_drained (leat_departures_t *self);

/* A message to the peer, who has a session, could not be sent: it is gone. */
void leat_departures_refused (leat_departures_t *self, uint64_t peer);

/* ---- what is to be done ---------------------------------------------------------------------- */

/* True if the peer is gone: nothing may be sent to it any more, even if that were possible again. */
bool leat_departures_gone (const leat_departures_t *self, uint64_t peer);

/* The next peer to probe now; false if none is due. The caller sends, or calls leat_departures_refused
 * or leat_departures_forget. */
bool leat_departures_probe (leat_departures_t *self, uint64_t now_us, uint64_t *peer);

/* When leat_departures_probe has something next; UINT64_MAX for never. */
uint64_t leat_departures_deadline (const leat_departures_t *self);

/* The next peer that is gone and of which everything is read; it is forgotten. */
bool leat_departures_take (leat_departures_t *self, uint64_t *peer);

/* Claims now. */
size_t leat_departures_count (const leat_departures_t *self);

#endif

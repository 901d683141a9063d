/* What connections bring, and what libzmq holds of it; ends those that bring more than they may.
 * SPDX-License-Identifier: MPL-2.0 */
#ifndef LEAT_BROKER_IO_CONNECTIONS_H
#define LEAT_BROKER_IO_CONNECTIONS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* libzmq reads connections as fast as it can and without bound: no high-water mark can be set
 * (docs/libzmq.md), and none would count an unfinished message. So who sends faster than the core reads,
 * or frames of a message that never ends, fills memory. What libzmq holds of a connection is
 *
 *      bytes that the kernel has received     TCP_INFO, tcpi_bytes_received
 *      - bytes that still wait there          FIONREAD
 *      - bytes of the messages that the core has read
 *
 * exactly, but for the greeting and what ZMTP has of its own. An honest peer's part in that has a bound,
 * its allowance (leat_core_allowance); beyond it the connection is shut down.
 *
 * Nothing is looked at while the memory of the process does not grow: 20 times a second the kernel is
 * asked for that, a hundred times while it grows, and when it has grown by 8 MiB since all
 * connections were looked at last, they are looked at again, a few in each turn.
 *
 * A peer that reads nothing of what waits for it, though it may send, is shut down after `patience_us` of
 * looks at which its kernel had taken no more of it.
 *
 * The kernel does not count what comes over ipc. There a peer is shut down after several looks at which
 * something waited to be read, with no message ended in between, while memory grew by far more than
 * was read and than one message of each peer in that state can take: it sends a message without end.
 *
 * Descriptors are used again; SO_COOKIE tells whether it still is the same connection. One thread. */
typedef struct leat_connections leat_connections_t;

/* X (name, what it counts). Only grow. */
#define LEAT_CONNECTIONS_COUNTERS(X)                                                               \
    X (connections_cut, "connections shut down for what came over them")                           \
    X (connections_looks, "times that all connections were looked at because memory grew")

typedef struct {
#define X(name, text) uint64_t name;
    LEAT_CONNECTIONS_COUNTERS (X)
#undef X
} leat_connections_counters_t;

/* Nothing was read of it yet, or it has none. */
#define LEAT_CONNECTIONS_NO_PEER UINT64_MAX

/* How many bytes may be on their way from a peer, which may be LEAT_CONNECTIONS_NO_PEER. */
typedef uint64_t (leat_connections_allowance_fn) (void *arg, uint64_t peer);

leat_connections_t *leat_connections_new (leat_connections_allowance_fn *allowance, void *arg,
                                          uint64_t message_size_max, uint64_t patience_us);
void leat_connections_destroy (leat_connections_t **self_p);

const leat_connections_counters_t *leat_connections_counters (const leat_connections_t *self);

/* ---- what happens ---------------------------------------------------------------------------- */

void leat_connections_accepted (leat_connections_t *self, int fd);
void leat_connections_ended (leat_connections_t *self, int fd);

/* What a frame takes on the wire: ZMTP puts two bytes before it, or nine if it has more than 255. */
static inline size_t leat_connections_wire_size (size_t size)
{
    return size + (size > 255 ? 9 : 2);
}

/* A message was read that took so many bytes of the connection with this descriptor. Its peer is
 * LEAT_CONNECTIONS_NO_PEER where peers have no numbers. */
void leat_connections_read (leat_connections_t *self, int fd, uint64_t peer, size_t size);

/* Ends the peer's connection: at once, or when it had a moment to read what was sent last. */
void leat_connections_cut (leat_connections_t *self, uint64_t peer);
void leat_connections_cut_soon (leat_connections_t *self, uint64_t peer, uint64_t now_us);

/* ---- what is to be done ---------------------------------------------------------------------- */

/* To be called in each turn; `drained`: all messages that had arrived are read. */
void leat_connections_check (leat_connections_t *self, uint64_t now_us, bool drained);

/* When it has something to do next; UINT64_MAX for never. */
uint64_t leat_connections_deadline (const leat_connections_t *self);

#endif

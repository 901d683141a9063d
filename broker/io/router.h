/* The socket that all peers talk to: ZeroMQ messages in, ZeroMQ messages out, nothing else.
 * SPDX-License-Identifier: MPL-2.0 */
#ifndef LEAT_BROKER_IO_ROUTER_H
#define LEAT_BROKER_IO_ROUTER_H

#include "broker/core/limits.h"
#include "broker/io/endpoint.h"
#include "wire/outbox.h"

/* A ROUTER socket, bound to any number of endpoints. It is used by one thread at a time and never
 * waits. A message on it is
 *
 *      +-----------------+  +--------+  +- - - -+
 *      | routing id      |  | header |   body       body only with PUBLISH and DELIVER
 *      +-----------------+  +--------+  +- - - -+
 *      | 0 | u32         |
 *
 * The routing id is made by libzmq (router.cpp, identify_peer): a zero byte and a 32-bit number that
 * begins at random and grows by one with each connection. That number is the peer number of the core.
 * It names no other connection until 2^32 of them were made, which at a thousand a second takes
 * seven weeks; and by then it is used again only if the old connection is gone. It is never told to
 * anybody. A client that sets a routing id of its own (ZMQ_ROUTING_ID) is told not to and not heard. */
typedef struct leat_router leat_router_t;

/* X (name, what it counts). Only grow. */
#define LEAT_ROUTER_COUNTERS(X)                                                                    \
    X (messages_received, "messages from peers")                                                   \
    X (messages_sent, "messages to peers")                                                         \
    X (bytes_received, "bytes in their frames, routing ids left out")                              \
    X (bytes_sent, "likewise")                                                                     \
    X (frames_surplus, "frames beyond the second of a message; they were dropped as they came")    \
    X (routing_ids_foreign, "messages of clients that set a routing id; they were refused")        \
    X (connections_refused, "connections shut down because too few files can be open")             \
    X (sends_unreachable, "messages not sent because the connection was gone")                     \
    X (sends_full, "messages not sent because the peer took none for too long; it was given up")   \
    X (bodies_held, "bodies kept in the message that they came in")                                \
    X (bodies_copied, "bodies small enough to be copied")

typedef struct {
#define X(name, text) uint64_t name;
    LEAT_ROUTER_COUNTERS (X)
#undef X
} leat_router_counters_t;

/* How many messages wait in libzmq for one peer at most: a consumer gets at most credit_records
 * DELIVERs that it has not settled, and answers to what it sent, of which four times as many
 * PUBLISHes as fit into window_size leave room. A peer for which more waits does not read; it is given
 * up. The queue costs nothing while it is empty.
 *
 * There is no mark for what comes from a peer, though such a mark would bound memory: once it is reached
 * libzmq stops reading the connection, and if that then ends with a ZMTP PING among the bytes that were
 * not looked at yet, the process is aborted (stream_engine_base.cpp, out_event; docs/libzmq.md). Credit
 * bounds honest peers. */
int leat_router_send_hwm (const leat_limits_t *limits);

/* Largest frame that is taken from a peer; libzmq ends the connection of one who sends a larger one. */
int64_t leat_router_frame_size_max (const leat_limits_t *limits);

/* New socket; NULL with a sentence if there can be none. `context` is a ZeroMQ context. */
leat_router_t *leat_router_new (void *context, const leat_limits_t *limits, char *error,
                                size_t error_size);

/* Closes the socket. Messages that wait for peers have `linger_ms` to leave while the context is
 * being terminated. */
void leat_router_destroy (leat_router_t **self_p, int linger_ms);

/* Binds to a checked endpoint as leat_endpoint_bind does. */
int leat_router_bind (leat_router_t *self, const char *endpoint, const char *resolved,
                      char bound[LEAT_ENDPOINT_SIZE], char *error, size_t error_size);

/* What arrived. `header` borrows from the router until its next call; `body` is a reference that the
 * caller owns, NULL if there was none. */
typedef struct {
    uint64_t peer;
    int fd;          /* the descriptor of its connection, -1 if that is unknown */
    unsigned frames; /* without the routing id */
    const uint8_t *header;
    size_t header_size;
    leat_buffer_t *body;
    size_t size;      /* bytes of all frames */
    size_t wire_size; /* likewise, with what ZMTP puts before each */
} leat_received_t;

/* Takes a message that waits, or returns false. A body of some KiB is kept in the memory that it
 * arrived in; a smaller one is copied, because libzmq's small frames lie in shared receive buffers of
 * 8 KiB, which each of them would pin (decoder_allocators.hpp). */
bool leat_router_receive (leat_router_t *self, leat_received_t *received);

/* Sends a message or says that this peer is lost: its connection is gone, or it takes nothing. */
bool leat_router_send (leat_router_t *self, const leat_message_t *message);

/* Sends a PONG that nobody asked for, which a living peer does not mind. False if the peer is lost. Soon
 * after a connection has ended libzmq may still take messages for it. */
bool leat_router_probe (leat_router_t *self, uint64_t peer);

/* The descriptor of the next connection that has begun or ended; false if there was none. Once a message
 * is refused everything that came over its connection can be received. To poll for reading as
 * leat_router_fd. */
bool leat_router_connection (leat_router_t *self, int *fd, bool *ended);
int leat_router_monitor_fd (const leat_router_t *self);

/* A descriptor to poll for reading. It is edge-triggered: it may only be slept on after
 * leat_router_receive has returned false, or leat_router_is_quiet true, and before anything else was
 * done with the router. */
int leat_router_fd (const leat_router_t *self);

/* True if nothing is to be received. */
bool leat_router_is_quiet (leat_router_t *self);

const leat_router_counters_t *leat_router_counters (const leat_router_t *self);

#endif

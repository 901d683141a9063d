/* The client's DEALER socket: one connection to one endpoint, from open to close.
 * SPDX-License-Identifier: MPL-2.0 */
#ifndef LEAT_CLIENT_SOCKET_H
#define LEAT_CLIENT_SOCKET_H

#include "client/fault.h"
#include "wire/outbox.h"

/* libzmq never connects again by itself (ZMQ_RECONNECT_IVL is a day): a new connection has a new
 * routing id, so it has to begin with HELLO, which is for the session to say. */
typedef struct leat_socket leat_socket_t;

typedef enum {
    LEAT_SOCKET_CONNECTING,
    LEAT_SOCKET_CONNECTED,
    LEAT_SOCKET_LOST /* could not connect, or the connection has ended and everything was read */
} leat_socket_state_t;

/* What a client takes of its context's ZMQ_MAX_SOCKETS: the DEALER, and the two ends of its monitor. */
enum { LEAT_SOCKETS_OF_CLIENT = 3 };

/* Begins to connect. NULL if the endpoint cannot be used or a resource is missing; `fault` says which. */
leat_socket_t *leat_socket_new (void *context, const char *endpoint, leat_fault_t *fault);

/* Closes at once; what is not sent yet is lost. */
void leat_socket_destroy (leat_socket_t **self_p);

/* Sends what is in the outbox, as far as that is possible. True if the outbox is empty and all of it
 * is given to libzmq. */
bool leat_socket_send (leat_socket_t *self, leat_outbox_t *outbox);

/* A message that came; `frames` is their true number. Borrowed until the next call. */
typedef struct {
    const uint8_t *header;
    size_t header_size;
    leat_buffer_t *body; /* second frame, NULL if there is none */
    unsigned frames;
} leat_socket_message_t;

/* False if none is there. */
bool leat_socket_receive (leat_socket_t *self, leat_socket_message_t *message);

/* True if a message can be read. To be called before poll (2): the descriptors only tell of changes
 * (ZMQ_FD, zmq_getsockopt (3)). Finds out about the state as well, from what was heard. */
bool leat_socket_readable (leat_socket_t *self);

/* Reads what the monitor tells. To be called once after leat_socket_new, and then when the monitor's
 * descriptor tells of something; each time before leat_socket_readable. */
void leat_socket_hear (leat_socket_t *self);

leat_socket_state_t leat_socket_state (const leat_socket_t *self);

/* To be polled for input: something has happened. */
int leat_socket_fd (const leat_socket_t *self);
int leat_socket_monitor_fd (const leat_socket_t *self);

#endif

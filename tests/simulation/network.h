/* Connections as libzmq has them: a queue each way that keeps its order, until it is cut.
 * SPDX-License-Identifier: MPL-2.0 */
#ifndef LEAT_SIMULATION_NETWORK_H
#define LEAT_SIMULATION_NETWORK_H

#include "tests/simulation/simulation.h"

#include <bsd/sys/queue.h>

/*                        up: client to broker
 *      +--------+   ------------------------------->   +--------+
 *      | socket |   <-------------------------------   | ROUTER |  peer: its name for the connection
 *      +--------+        down: broker to client        +--------+
 *
 * A broken connection still gives each side what had arrived of its queue (a prefix: TCP keeps the
 * order). After that whatever is sent goes nowhere, until a side learns of the end, or never does. */

typedef struct sim_frame {
    STAILQ_ENTRY (sim_frame) link;
    uint64_t arrival_us;
    unsigned frames;
    leat_buffer_t *body;
    size_t header_size;
    uint8_t header[];
} sim_frame_t;

typedef struct {
    STAILQ_HEAD (, sim_frame) frames;
    unsigned count;
    uint64_t last_us;          /* arrival of the youngest */
    uint64_t blocked_until_us; /* nothing flows before that */
} sim_queue_t;

typedef struct sim_connection {
    LIST_ENTRY (sim_connection) link;
    uint64_t peer;
    unsigned owner; /* identity of the client, SIM_IDENTITIES_MAX if it is nobody's */
    sim_queue_t up;
    sim_queue_t down;
    bool open;                 /* the client's socket is there */
    bool broken;               /* nothing that is sent arrives any more */
    uint64_t client_notice_us; /* a broken one: sends of the client fail from then on */
    uint64_t hint_us;          /* a broken one: the broker is told then */
    bool greeted_later;        /* the client has said HELLO on a newer connection since */
} sim_connection_t;

struct sim_network {
    LIST_HEAD (, sim_connection) connections;
    uint64_t peers; /* numbers given so far */
};

sim_network_t *sim_network_new (void);
void sim_network_destroy (sim_network_t **self_p);

/* A client's new socket. It stays until sim_network_close, and then as long as frames are under way
 * or the broker is still to be told. */
sim_connection_t *sim_network_connect (sim_t *sim, unsigned owner);

/* The client closes its socket: what is under way may be lost from some frame on. */
void sim_network_close (sim_t *sim, sim_connection_t **connection_p);

/* What closed connections of that identity still had under way is lost. */
void sim_network_silence (sim_t *sim, unsigned owner);

/* The connection is cut. With `renew` the client's socket gets another one by itself, as libzmq
 * does, under another peer number and without a word to anybody. */
void sim_network_break (sim_t *sim, sim_connection_t *connection, bool renew);

/* The broker's process is gone: all connections with it. `orderly`: what it had sent arrives. */
void sim_network_broker_gone (sim_t *sim, uint64_t back_us, bool orderly);

/* Sends; false if the client's socket knows that its connection is gone. */
bool sim_network_send_up (sim_t *sim, sim_connection_t *connection, const uint8_t *header,
                          size_t header_size, leat_slice_t body, unsigned frames);
void sim_network_send_down (sim_t *sim, const leat_message_t *message);

/* When the oldest frame of a queue arrives; SIM_NEVER if there is none. */
uint64_t sim_queue_due (const sim_queue_t *queue);

/* Takes the oldest frame if it has arrived, else NULL. Give it to sim_frame_destroy. */
sim_frame_t *sim_queue_take (sim_queue_t *queue, uint64_t now_us);
void sim_frame_destroy (sim_frame_t **frame_p);

/* When the broker has a frame to read or is told of a dead connection. */
uint64_t sim_network_broker_due (const sim_network_t *self);

/* Forgets connections that nobody will hear of again. */
void sim_network_collect (sim_t *sim);

/* The connection with that routing id, or NULL. */
const sim_connection_t *sim_network_find (const sim_network_t *self, uint64_t peer);

#endif

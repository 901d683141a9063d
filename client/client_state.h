/* What the client's thread, the functions of leat_client.h, producers and consumers share.
 * SPDX-License-Identifier: MPL-2.0 */
#ifndef LEAT_CLIENT_CLIENT_STATE_H
#define LEAT_CLIENT_CLIENT_STATE_H

#include <pthread.h>
#include <stdatomic.h>

#include <bsd/sys/queue.h>

#include "client/endpoints.h"
#include "client/fault.h"
#include "client/gate.h"
#include "client/pool.h"
#include "client/ports.h"
#include "client/session.h"
#include "client/socket.h"
#include "client/watch.h"
#include "leat_client.h"

enum {
    LEAT_MESSAGES_PER_TURN = 64 /* so that sending is not held up by receiving */
};

/* A function that another thread has the client's thread call. */
typedef void (leat_call_fn) (void *arg);

typedef struct leat_call {
    STAILQ_ENTRY (leat_call) link;
    leat_call_fn *fn;
    void *arg;
    bool is_done;
} leat_call_t;

struct leat_client {
    atomic_uint references; /* the application's, and one for each port */
    void *context;
    bool owns_context;
    leat_endpoints_t *endpoints;
    char *identity;
    uint64_t closing_timeout_us;
    leat_pool_t *pool; /* of the producers' chunks */
    pthread_t thread;

    /* See watch.h. */
    pthread_mutex_t turn;
    int wake_fd;   /* ends the sleep of whoever watches */
    int relay_fd;  /* a timer: nobody has come back to watch */
    int relief_fd; /* tells the client's own thread that somebody else watches, or no longer does */
    atomic_int sleep;           /* leat_sleep_t, of whoever watches */
    atomic_int post;            /* leat_post_t */
    atomic_bool is_driven;      /* a thread of the application watches */
    atomic_uint waiting;        /* threads of the application that wait and do not watch */
    atomic_uint callbacks;      /* functions of the application that turns may call */
    atomic_uint producers;      /* of the application's */
    atomic_bool has_tidings;    /* the socket's monitor has, whoever watched has found */
    _Atomic uint64_t direct_us; /* when a thread that sends took a turn */

    atomic_bool has_calls;
    atomic_bool is_stopping;

    /* Of whoever has the turn: "the client's thread" is meant by that everywhere else. */
    uint64_t watched_until_us; /* when whoever watches wakes by itself */
    uint64_t relay_us;         /* when the timer goes off, or went; 0: never */
    uint64_t waited_us;        /* how long a thread of the application did the last time */
    bool has_sent_in_relay;    /* such a thread, in this relay */
    bool has_received;         /* in this turn */
    leat_session_t *session;
    leat_socket_t *socket;
    leat_ports_t ports;
    uint64_t now_us;
    bool is_closing; /* leat_session_close was called */
    uint64_t closing_us;
    leat_port_t *draining;  /* while closing: the first that was not found drained */
    bool is_sent;           /* all that the engines said */
    bool has_no_connection; /* the last socket was lost before it was connected */

    /* Within the gate. */
    leat_gate_t gate;
    STAILQ_HEAD (, leat_call) calls;
    bool has_ended; /* the thread */
    leat_session_state_t state;
    bool was_ready;
    leat_fault_t fault;
    uint64_t losses;

    /* Of the broker, once it has welcomed the client; 0 before. */
    atomic_uint record_size_max;
    atomic_uint body_size_max;
};

/* Has fn (arg) called in a turn, and waits for it; within a turn, or after the end of the client's
 * thread, calls it directly. */
void leat_client_call (leat_client_t *self, leat_call_fn *fn, void *arg);

/* Ports join in a leat_client_call and hold a reference to the client until they are destroyed. From
 * then on the port hears of what is done to its engine. */
void leat_client_join (leat_client_t *self, leat_port_t *port, leat_attention_t *engine);
void leat_client_part (leat_client_t *self, leat_port_t *port);

void leat_client_hold (leat_client_t *self);
void leat_client_release (leat_client_t *self);

/* 0, or what a port has to report of the client: EPIPE (the reason is in its fault) or ESHUTDOWN. On
 * the client's thread, or within its gate. */
int leat_client_verdict (const leat_client_t *self);

/* Copies a fault for the application. */
leat_code_t leat_client_tell (const leat_fault_t *fault, char *text, size_t size);

/* ---- turns ----------------------------------------------------------------------------------- */

void leat_client_take_turn (leat_client_t *self);
bool leat_client_try_turn (leat_client_t *self);
void leat_client_give_turn (leat_client_t *self);

/* One turn, turn.c; the caller has taken it. True if there may be more to be received than the `messages`
 * that it takes at most. One that is there to send leaves what has come to whoever watches. */
bool leat_client_turn (leat_client_t *self, unsigned messages);
bool leat_client_turn_to_send (leat_client_t *self);

/* Gives the connection up. In a turn. */
void leat_client_disconnect (leat_client_t *self);

/* The client's own thread; in client_thread.c. */
void *leat_client_run (void *arg);

#endif

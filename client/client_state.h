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
#include "leat_client.h"

/* How deep the client's thread sleeps:
 *
 *      application's thread                       client's thread
 *      1. leaves work (atomically)                1. sleep = ASLEEP
 *      2. looks at `sleep`                        2. looks for work
 *      3. not AWAKE: eventfd                      3. none: poll (2)
 *
 * All four accesses are sequentially consistent, so at least one of the two sees what the other one
 * has done: either the work is found in 2, or the eventfd ends the poll. While the thread is awake,
 * leaving work costs no system call. NAPPING is a sleep of at most LEAT_NAP_US, which settles, that
 * are gathered for a millisecond anyway, do not interrupt. */
typedef enum { LEAT_AWAKE, LEAT_NAPPING, LEAT_ASLEEP } leat_sleep_t;

enum {
    LEAT_NAP_US = 2000,
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
    int wake_fd;
    atomic_int sleep; /* leat_sleep_t */
    atomic_bool has_calls;
    atomic_bool is_stopping;

    /* The client's thread, and whoever comes after it. */
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

/* Has the client's thread call fn (arg), and waits for it; on that thread itself, or after its end,
 * calls it directly. */
void leat_client_call (leat_client_t *self, leat_call_fn *fn, void *arg);

/* Work was left, see leat_sleep_t; ports use leat_port_call. `is_urgent`: it cannot wait for the end of
 * a nap. */
void leat_client_wake (leat_client_t *self, bool is_urgent);

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

/* The client's thread; in client_thread.c. */
void *leat_client_run (void *arg);

#endif

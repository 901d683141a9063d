/* The producers and consumers of a client, as its thread sees them, and which of them have something
 * to do: a turn costs what is done in it, however many others there are.
 * SPDX-License-Identifier: MPL-2.0 */
#ifndef LEAT_CLIENT_PORTS_H
#define LEAT_CLIENT_PORTS_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <bsd/sys/queue.h>
#include <bsd/sys/tree.h>

#include "client/agenda.h"
#include "client/watch.h"
#include "leat_client.h"

typedef struct leat_port leat_port_t;

/* All of these are called by the client's thread, or by another one once that thread has ended. */
typedef struct {
    /* Gives the engine what the application has left for it. Called before the session runs, if the
     * application called (leat_port_call), the engine has heard something, or the time has come. */
    void (*feed) (leat_port_t *port, uint64_t now_us);

    /* Tells the application what is new; called after feed and whenever something was done to the
     * engine, once the outbox was sent. `is_sent`: all of it is. Otherwise leat_port_defer has it
     * called again when it is. */
    void (*publish) (leat_port_t *port, bool is_sent);

    /* The connection was given up. */
    void (*lost) (leat_port_t *port);

    /* True if feed has something to do: what the application left while it was told that it need not
     * call. Asked after publish. */
    bool (*waits) (leat_port_t *port);

    /* When feed wants to be called, UINT64_MAX for never; asked after feed. */
    uint64_t (*deadline) (const leat_port_t *port);

    /* The client closes: finish. True once nothing is left to be given to the engine, or to be asked
     * of it. */
    bool (*drain) (leat_port_t *port);

    /* True if the application has let go of it, and the engine or the client has ended. Asked after
     * publish. */
    bool (*is_over) (const leat_port_t *port);

    /* Takes the engine out of the session and frees all. */
    void (*destroy) (leat_port_t *port);
} leat_port_ops_t;

struct leat_port {
    const leat_port_ops_t *ops;
    leat_client_t *client;
    const char *stream; /* of a producer; NULL for a consumer */

    /* Any thread's. */
    atomic_bool is_called;
    leat_port_t
        *next_called; /* of whoever has set is_called, until the client's thread resets it */

    /* The client's thread. */
    TAILQ_ENTRY (leat_port) link;
    TAILQ_ENTRY (leat_port) in_due;
    TAILQ_ENTRY (leat_port) in_news;
    TAILQ_ENTRY (leat_port) in_deferred;
    TAILQ_ENTRY (leat_port) in_outside;
    RB_ENTRY (leat_port) by_deadline; /* unless that is UINT64_MAX */
    RB_ENTRY (leat_port) by_stream;   /* a producer */
    bool is_due;
    bool is_news;
    bool is_deferred;
    bool is_outside;
    uint64_t deadline_us;
    uint64_t number; /* the order of joining */
};

TAILQ_HEAD (leat_port_list, leat_port);
RB_HEAD (leat_port_deadlines, leat_port);
RB_HEAD (leat_port_streams, leat_port);

/*      application's threads            client's thread: a turn
 *
 *      leat_port_call --> called --.    calls, messages    feed      session runs    publish
 *                                  |
 *      deadline ------------------ + --------------------> due ----------------------> news
 *      leat_port_touch ----------- +
 *      engine: leat_port_notice ---+- before feeding: due; later on: news
 *
 * `called` is a stack without a lock: a thread that has something for the client pushes its port, once
 * until the client's thread, which takes the whole stack, has looked. */
typedef struct {
    struct leat_port_list all;
    _Atomic (leat_port_t *) called;
    struct leat_port_list due;
    struct leat_port_list news;
    struct leat_port_list deferred; /* to be published when all is sent */
    struct leat_port_list outside;  /* the session has no room for their engines yet */
    struct leat_port_deadlines deadlines;
    struct leat_port_streams streams;
    uint64_t last_number;
    size_t others; /* than producers */
    bool is_fed;   /* in this turn */
} leat_ports_t;

void leat_ports_init (leat_ports_t *self);

/* ---- any thread ------------------------------------------------------------------------------ */

/* Work was left for the port's `feed` (atomically, sequentially consistent: see leat_sleep_t), and the
 * client's thread is woken if need be. Costs two loads while the port has been called before and the
 * thread is awake. */
void leat_port_call (leat_port_t *self, leat_urgency_t urgency);

/* The same without waking anybody, for one who is about to wait, or to send, by the functions of
 * drive.h. */
void leat_port_mark (leat_port_t *self);

/* ---- the client's thread --------------------------------------------------------------------- */

void leat_ports_add (leat_ports_t *self, leat_port_t *port);
void leat_ports_remove (leat_ports_t *self, leat_port_t *port);

/* The first producer's port of this stream, and the next one of the same; NULL if there is none. */
leat_port_t *leat_ports_find (const leat_ports_t *self, const char *stream);
leat_port_t *leat_ports_find_next (leat_port_t *port);

/* Nothing but producers, or nothing at all. */
bool leat_ports_has_only_producers (const leat_ports_t *self);

/* Feed it in this turn, or if that is over, in the next one. */
void leat_port_touch (leat_port_t *self);

/* Something was done to the engine of `port`; a leat_attention_fn. */
void leat_port_notice (void *port);

/* Publish it again once all is sent. */
void leat_port_defer (leat_port_t *self);

/* Those outside are fed whenever room may have been made in the session. */
void leat_port_set_outside (leat_port_t *self, bool is_outside);
void leat_ports_touch_outside (leat_ports_t *self);

void leat_port_set_deadline (leat_port_t *self, uint64_t deadline_us);

/* A turn begins. */
void leat_ports_begin (leat_ports_t *self);

/* From now on in this turn nothing more becomes due: takes those that were called, or whose time has
 * come. */
void leat_ports_gather (leat_ports_t *self, uint64_t now_us);

/* The next one to be fed, or to be published; NULL if there is none. */
leat_port_t *leat_ports_next_due (leat_ports_t *self);
leat_port_t *leat_ports_next_news (leat_ports_t *self);

/* All is sent: what was deferred is news. */
void leat_ports_sent (leat_ports_t *self);

/* True if somebody has to be fed or published at once. Sequentially consistent, see leat_sleep_t. */
bool leat_ports_have_work (const leat_ports_t *self);

uint64_t leat_ports_deadline (const leat_ports_t *self);

#endif

/* Watching: who sleeps until the client has something to do, and how it is woken.
 * SPDX-License-Identifier: MPL-2.0 */
#ifndef LEAT_CLIENT_WATCH_H
#define LEAT_CLIENT_WATCH_H

#include <stdbool.h>
#include <stdint.h>

#include "leat_client.h"

/* Everything that the client does is done in turns (turn.c), one at a time, by whoever holds the mutex
 * `turn`. Between two turns one thread watches: it sleeps on the socket's descriptors and on `wake_fd`.
 * That is the client's own thread, unless a thread of the application has nothing else to do either:
 *
 *      a record arrives:
 *
 *      own thread watches     libzmq --> client's thread --> application's thread     two wake-ups
 *      receiver watches       libzmq ----------------------> application's thread     one
 *
 * In the same way a thread that sends a record now and then takes the turn itself instead of waking
 * the client's thread for it (drive.c). Threads of the application that wait while another one watches
 * are told what has come for them by that one.
 *
 *      client's own thread (leat_post_t)
 *
 *           a turn ------> WATCH --- a thread of the application watches ---> REST
 *              ^                                                               |
 *              '----- that one has had what it waited for, and did not --------'
 *                     come back for 1 ms, or there is something to do
 *
 * For that millisecond nobody watches, which is called a relay: a receiver that handles a record in less
 * comes back and watches again, without the two threads waking each other for each record. Until then
 * what arrives waits; what the application leaves wakes the client's thread if it cannot wait.
 *
 * A timer ends the relay. To set it for every relay would cost two system calls for each record, so it
 * is set with some slack, and who comes back leaves it as it is:
 *
 *      relay  wait   relay  wait             relay  wait
 *      |---|---------|---|-------- ... ------|---|---------
 *      set: now + 1 ms + slack               set again: less than 1 ms, and a wait as long
 *                                            as this one, would be left of it
 *
 * So a relay takes 1 ms at least, and at most the slack longer. It is little as long as the broker may
 * have something to say that cannot wait: records, or that it wants them back. A client that has
 * nothing but producers hears of confirmations, which nobody waits for in a relay.
 *
 * How a sleeper is woken without a lock:
 *
 *      application's thread                       whoever sleeps
 *      1. leaves work (atomically)                1. sleep = ASLEEP
 *      2. looks at `sleep`                        2. looks for work
 *      3. wake_fd, unless AWAKE                   3. none: poll (2)
 *
 * All four accesses are sequentially consistent, so at least one of the two sees what the other one
 * has done: either the work is found in 2, or the descriptor ends the poll. While somebody is awake,
 * leaving work costs no system call. */
typedef enum {
    LEAT_AWAKE,
    LEAT_RELAY,   /* nobody watches: see above how long */
    LEAT_NAPPING, /* for LEAT_NAP_US at most */
    LEAT_ASLEEP
} leat_sleep_t;

/* What the work that was left may interrupt. */
typedef enum {
    LEAT_LATER, /* a settle, gathered for a millisecond anyway: a long sleep */
    LEAT_SOON,  /* the same of one who has nothing else to do: a nap as well */
    LEAT_AT_ONCE
} leat_urgency_t;

/* Where the client's own thread is. */
typedef enum { LEAT_POST_TURN, LEAT_POST_WATCH, LEAT_POST_REST } leat_post_t;

enum {
    LEAT_NAP_US = 2000,
    LEAT_RELAY_US = 1000,
    LEAT_RELAY_SLACK_US = 500,
    LEAT_RELAY_SLACK_OF_PRODUCERS_US = 20000,

    /* How long a thread that sends leaves the next turn to others: whoever sends faster than that has
     * the client's thread work beside it, and the records gather. */
    LEAT_DIRECT_US = 20
};

/* What one sleeps on. */
typedef struct {
    uint64_t wait_us; /* UINT64_MAX: for ever */
    bool has_socket;
    int socket_fd;
    int monitor_fd;
} leat_watch_t;

/* ---- with the turn --------------------------------------------------------------------------- */

/* After a turn: true if the caller, which lets go of the turn then, may sleep until `deadline_us` at
 * most; it is woken from now on. False if there is something to do. */
bool leat_watch_begin (leat_client_t *self, leat_watch_t *watch, uint64_t deadline_us);

/* After a turn of one who does not watch: those that do sleep on, as deep as they did before; or they
 * are woken, because there is something left to do, or they would sleep too long. True then. */
bool leat_watch_resume (leat_client_t *self, leat_sleep_t sleep);

/* The relay begins; the caller no longer counts as one who watches, and has waited for `waited_us`. */
void leat_watch_begin_relay (leat_client_t *self, uint64_t waited_us);

/* It goes on, but something was sent: who sends once is about to wait for the answer, and who does so
 * again waits for none, but wants it read. */
void leat_watch_hasten_relay (leat_client_t *self);

/* It is over: somebody is about to watch. */
void leat_watch_end_relay (leat_client_t *self);

/* ---- without the turn ------------------------------------------------------------------------ */

/* Sleeps. False if the client's own thread was only told that somebody else watches now. */
bool leat_watch_wait (leat_client_t *self, const leat_watch_t *watch, bool is_own_thread);

/* Of descriptors that count (eventfd (2), timerfd_create (2)). */
void leat_watch_signal (int fd);
void leat_watch_clear (int fd);

/* Work was left, as drawn above; ports use leat_port_call. Any thread. */
void leat_client_wake (leat_client_t *self, leat_urgency_t urgency);

#endif

/* A client's stay at a broker, without I/O: greeting, heartbeats, reconnecting, and the channels of
 * its producers and consumers.
 * SPDX-License-Identifier: MPL-2.0 */
#ifndef LEAT_CLIENT_SESSION_H
#define LEAT_CLIENT_SESSION_H

#include "client/fault.h"
#include "wire/outbox.h"

/* The driver (client/client.c with a DEALER socket, or the simulator) does in each turn:
 *
 *      leat_session_tick (session, now_us, wall_ms);          time passes
 *      leat_session_receive (session, ...);                   for every message that came
 *      leat_session_run (session);                            producers and consumers act
 *      while (leat_outbox_next (leat_session_outbox (session), &message))
 *          send it, or leat_session_unsent (session);
 *      if (leat_session_connect (session, &endpoint))
 *          close the socket if there is one, open a new one to that endpoint
 *
 * and wakes up again when a message comes, the application did something, or at
 * leat_session_deadline. Same inputs and seed, same outputs. One thread.
 *
 *                connect                WELCOME
 *     WAITING ------------> GREETING -------------> READY ---- leat_session_close ----> CLOSING
 *        ^                     |                      |                                    |
 *        |   REFUSED, time-out |   heartbeat time-out,|                          BYE or a time-out
 *        +---------------------+   BYE, NO_SESSION    |                                    v
 *        +--------------------------------------------+                                 CLOSED
 *
 * A session that is closed before it is READY, or loses its connection while CLOSING, goes on
 * connecting until all is done or the time is over; the state is CLOSING all the while, and
 * leat_session_connect says what to do with the socket.
 *
 *     from GREETING and READY:  FENCED -> FENCED (for good); a refusal that no retry can mend
 *     (version, identity's name) -> FAILED (for good)
 */
typedef struct leat_session leat_session_t;
struct leat_producer_engine;
struct leat_consumer_engine;
struct leat_request;

typedef enum {
    LEAT_SESSION_WAITING,  /* no connection; the next attempt has its time */
    LEAT_SESSION_GREETING, /* connected, HELLO is out */
    LEAT_SESSION_READY,
    LEAT_SESSION_CLOSING, /* producers and consumers end in order, then BYE */
    LEAT_SESSION_CLOSED,
    LEAT_SESSION_FENCED, /* another session has this identity */
    LEAT_SESSION_FAILED  /* see leat_session_error */
} leat_session_state_t;

typedef struct {
    const char *identity; /* FAILED at once with BAD_NAME if it is no valid name */
    bool ephemeral;       /* the identity is random */
    const char *software; /* for the broker's statistics, such as "leat 0.1" */
    uint32_t endpoints;   /* how many the driver knows; tried in turn from 0 */
    uint64_t seed;        /* of jitter, and of the number that tells this client from any other */
    uint32_t greeting_timeout_ms; /* 0: 5000. WELCOME must have come by then */
    uint32_t retry_min_ms;        /* 0: 100. Back-off before another attempt, doubling, */
    uint32_t retry_max_ms;        /* 0: 5000. up to this, each with jitter of half */
    uint32_t closing_timeout_ms;  /* 0: 5000. CLOSING takes no longer */
} leat_session_options_t;

/* What WELCOME told; zero before the first one. */
typedef struct {
    uint64_t epoch;
    uint64_t incarnation;
    uint32_t heartbeat_interval_ms;
    uint32_t heartbeat_timeout_ms;
    uint32_t record_size_max;
    uint32_t batch_size_max;
    uint32_t window_size;
    uint32_t channels_max;
} leat_session_terms_t;

/* The producers' common window: cost of what is sent and neither confirmed nor refused. */
typedef struct {
    uint64_t size;
    uint64_t used;
} leat_session_window_t;

/* The options' strings are copied. */
leat_session_t *leat_session_new (const leat_session_options_t *options);

/* Does not end the session at the broker; leat_session_close does. The engines are not destroyed;
 * those that were not removed can only be destroyed after that. */
void leat_session_destroy (leat_session_t **self_p);

/* Adds a producer or consumer, which the caller goes on owning; it is opened or attached on a
 * channel of its own as soon as the session is READY, and again after each reconnect. Returns
 * false if `channels_max` of the broker is reached, if the session is closing or has ended, or
 * (producers) if another one of this session publishes into the same stream. */
bool leat_session_add_producer (leat_session_t *self, struct leat_producer_engine *producer);
bool leat_session_add_consumer (leat_session_t *self, struct leat_consumer_engine *consumer);

/* Forgets an engine; call once it has ended, or failed and has no channel any more
 * (leat_producer_engine_has_channel). What a producer that is removed earlier still had on its way stays
 * in the window until the broker has answered it; its channel is closed. */
void leat_session_remove_producer (leat_session_t *self, struct leat_producer_engine *producer);
void leat_session_remove_consumer (leat_session_t *self, struct leat_consumer_engine *consumer);

/* Adds a question for the broker (client/requests.h), which the caller goes on owning and removes before
 * it is destroyed. */
void leat_session_add_request (leat_session_t *self, struct leat_request *request);
void leat_session_remove_request (leat_session_t *self, struct leat_request *request);

/* Time passes: monotonic microseconds, which never decrease, and milliseconds since 1970 UTC. */
void leat_session_tick (leat_session_t *self, uint64_t now_us, uint64_t wall_ms);

/* A message came; `body` is the second frame (borrowed, may be NULL), `frames` their true number. A
 * message that breaks the protocol is counted and dropped. */
void leat_session_receive (leat_session_t *self, const uint8_t *header, size_t header_size,
                           leat_buffer_t *body, unsigned frames);

/* A message could not be sent: the connection is given up. */
void leat_session_unsent (leat_session_t *self);

/* After leat_session_connect: there is nothing to connect with, for the reason in `fault`. */
void leat_session_unconnected (leat_session_t *self, const leat_fault_t *fault);

/* Producers and consumers put what they have to say into the outbox. */
void leat_session_run (leat_session_t *self);

leat_outbox_t *leat_session_outbox (leat_session_t *self);

/* Looks at the time of the last tick. True once each time the driver has to drop its socket, if any, and connect to `endpoint`; when
 * the state is WAITING, CLOSED, FENCED or FAILED it closes its socket and opens none. */
bool leat_session_connect (leat_session_t *self, uint32_t *endpoint);

/* Ends in order: producers flush, consumers leave, then BYE. CLOSED at once if there is no session
 * and nothing is unconfirmed. */
void leat_session_close (leat_session_t *self);

/* When something is due, in monotonic microseconds; UINT64_MAX for never. */
uint64_t leat_session_deadline (const leat_session_t *self);

leat_session_state_t leat_session_state (const leat_session_t *self);
const leat_session_terms_t *leat_session_terms (const leat_session_t *self);

/* For leat_producer_engine_sendable_size. */
const leat_session_window_t *leat_session_window (const leat_session_t *self);

/* The last refusal or loss in words, for the application; "" if there was none. Valid until the
 * next call. `code` may be NULL. */
const char *leat_session_error (const leat_session_t *self, leat_code_t *code);

/* Times that a session was lost, and messages dropped because they broke the protocol. */
uint64_t leat_session_losses (const leat_session_t *self);
uint64_t leat_session_malformed (const leat_session_t *self);

#endif

/* What the two halves of the session share; private to client/.
 * SPDX-License-Identifier: MPL-2.0 */
#ifndef LEAT_CLIENT_SESSION_STATE_H
#define LEAT_CLIENT_SESSION_STATE_H

#include "client/channels.h"
#include "client/fault.h"
#include "client/requests.h"
#include "client/session.h"

/* What is true of the connection. Whether the session is closing is another matter. */
typedef enum { PHASE_WAITING, PHASE_GREETING, PHASE_READY, PHASE_OVER } phase_t;

struct leat_session {
    char *identity;
    char *software;
    bool is_ephemeral;
    uint32_t endpoints;
    uint64_t greeting_timeout_us;
    uint64_t retry_min_us;
    uint64_t retry_max_us;
    uint64_t closing_timeout_us;
    uint64_t random;
    uint64_t life;    /* which client this is, for the broker: random */
    uint32_t attempt; /* HELLOs said */

    phase_t phase;
    leat_session_state_t end; /* which end, in PHASE_OVER */
    bool is_closing;
    bool has_said_hello; /* on this connection */
    bool has_said_bye;   /* on this connection */
    bool is_strange;     /* no broker would have said what was heard on this connection */
    bool was_ready;      /* once: HELLO says RESUME from then on */
    uint32_t endpoint;   /* of this attempt, or the next */
    uint32_t attempts;   /* in vain, since a session lasted */
    leat_session_terms_t terms;
    leat_session_window_t window;
    leat_channels_t *channels;
    leat_requests_t *requests;
    leat_outbox_t *outbox;
    leat_fault_t fault;
    uint64_t losses;
    uint64_t malformed;

    uint64_t now_us;
    uint64_t retry_us;    /* PHASE_WAITING: the next attempt */
    uint64_t greeting_us; /* PHASE_GREETING: it ends */
    uint64_t closing_us;  /* it ends */
    uint64_t ready_us;    /* since when it is READY */
    uint64_t received_us; /* the last message */
    uint64_t sent_us;     /* the last message */
    uint64_t pinged_us;
    uint64_t quiet_us; /* last time that nothing was waited for */
    uint64_t token;    /* of the last PING */
};

/* Ends the session for good as `end` says. The fault is set by the caller, as with session_retry. */
void session_end (leat_session_t *self, leat_session_state_t end);

/* Gives the connection up and waits for the next attempt, at the next endpoint: for `after_ms`, or
 * if that is 0 for the back-off. CLOSED instead if BYE was said. */
void session_retry (leat_session_t *self, uint32_t after_ms);

#endif

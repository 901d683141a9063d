/* What the two halves of the producer engine share; private to producers/.
 * SPDX-License-Identifier: MPL-2.0 */
#ifndef LEAT_PRODUCERS_PRODUCER_STATE_H
#define LEAT_PRODUCERS_PRODUCER_STATE_H

#include "client/fault.h"
#include "producers/backlog.h"
#include "producers/producer_engine.h"

/*                begin              OPENED                 all confirmed
 *     CHANNEL_NONE --> CHANNEL_OPENING --> CHANNEL_OPEN --------------------> CHANNEL_CLOSING
 *          ^               |      ^            |                                   |
 *          |       REFUSED v      | time       | NO_SUCH_CHANNEL                   |
 *          |         CHANNEL_POSTPONED <-------+                                   |
 *          +-- lost, CLOSED -------------------------------------------------------+
 */
typedef enum {
    CHANNEL_NONE,
    CHANNEL_OPENING,
    CHANNEL_POSTPONED, /* OPEN is sent (again) at resume_us */
    CHANNEL_OPEN,
    CHANNEL_CLOSING
} channel_state_t;

struct leat_producer_engine {
    leat_attention_t attention;
    char *stream;
    bool must_exist;
    uint32_t record_size_max;
    uint32_t batch_size_max;
    leat_backlog_t *backlog;

    bool is_patient;
    bool is_closing;
    bool is_ended;
    bool is_failed;
    leat_fault_t fault;
    uint64_t resent;

    uint32_t channel;
    channel_state_t channel_state;
    bool was_opened;  /* in this or an earlier session */
    uint64_t reached; /* highest sequence ever sent, or known at the broker */
    uint64_t offset;  /* of the last confirmed record */
    uint64_t limit;   /* credit, cumulative since OPENED */
    uint64_t spent;   /* never above limit */
    uint32_t flight;
    bool has_wanted; /* WANT is out and the credit has not changed since */
    bool is_blocked; /* the last run ended for want of credit */
    bool is_cramped; /* ... for want of room in the session's window */
    uint64_t want_us;
    uint64_t back_off_us; /* the last one; 0: none since there was progress */
    uint64_t resume_us;   /* nothing is sent before; 0: no back-off */
    uint64_t refused_at;  /* where the last refusal sent it back to; 0 once it got further */
    uint64_t batch_max;   /* the smaller of the option and what the broker takes */
};

/* Nothing is on its way any more and there is no credit; a new flight. Returns freed window. */
uint64_t producer_start_over (leat_producer_engine_t *self);

#endif

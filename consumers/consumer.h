/* What the application's and the client's side of a consumer share.
 * SPDX-License-Identifier: MPL-2.0 */
#ifndef LEAT_CONSUMERS_CONSUMER_H
#define LEAT_CONSUMERS_CONSUMER_H

#include "client/client_state.h"
#include "client/drive.h"
#include "consumers/consumer_engine.h"
#include "leat_consumer.h"

/* Consecutive records that were taken from the engine together, from then until all are settled.
 *
 *      |<-------------------- count -------------------->|
 *      | settled, or with the application |   in the inbox |
 *                                         ^ received       */
struct leat_lease {
    TAILQ_ENTRY (leat_lease) in_live;
    TAILQ_ENTRY (leat_lease) in_inbox; /* while received < count; or in the list `taken` */
    leat_consumer_t *consumer;
    leat_delivery_t delivery; /* holds the records */
    uint32_t received;
    size_t position;    /* of the next record to be received, in the bytes */
    uint32_t unsettled; /* of all; 0: the lease goes */
    bool is_whole;      /* received by leat_consumer_receive_batch, goes by leat_lease_ack */
    uint8_t settled[];  /* a bit for each record */
};

TAILQ_HEAD (leat_lease_list, leat_lease);

/* What the application has decided and the engine has yet to hear. */
typedef struct {
    uint64_t session;
    uint64_t epoch;
    uint64_t first;
    uint32_t count;
    uint32_t outcome; /* leat_outcome_t, or 0: given back */
    uint32_t delay_ms;
    char *reason; /* owned; may be NULL */
} leat_decision_t;

typedef struct {
    leat_decision_t *items;
    size_t count;
    size_t room;
} leat_decisions_t;

struct leat_consumer {
    leat_port_t port; /* first */
    leat_gate_t gate;
    uint32_t batch_records; /* constant */

    /* Within the gate. */
    struct leat_lease_list inbox; /* handed over and not wholly received */
    struct leat_lease_list live;  /* all that were handed over and are not settled */
    leat_decisions_t decisions;
    uint64_t unsettled; /* records received and not settled */
    uint32_t receivers; /* threads that wait for records */
    bool is_asked;      /* somebody wanted a record without waiting for it */
    bool is_leaving;
    leat_fault_t fault;

    /* Handed over, or about to be, before anybody asked for it: one record, which the broker may ask back
     * until it is received. NULL from then on. Written within the gate, or by the client's thread while
     * it is in `taken`. */
    _Atomic (leat_lease_t *) staged;

    /* Written within the gate (the first three) or by the client's thread, read by both. */
    _Atomic uint64_t queued;  /* records in the inbox */
    atomic_uint wanted;       /* records that would be started at once */
    atomic_size_t decided;    /* decisions.count */
    atomic_bool by_batches;   /* the last one to receive took a whole delivery */
    _Atomic uint64_t settled; /* records, ever */
    _Atomic uint64_t ahead;   /* records to be handed over beyond `wanted` */
    atomic_uint leased;       /* records that could be handed over */
    _Atomic uint64_t flushed;
    _Atomic uint64_t stale;
    _Atomic uint64_t damaged;
    atomic_bool is_empty;
    atomic_bool is_empty_asked;
    atomic_bool is_drained;
    atomic_bool has_left;
    atomic_int verdict; /* 0, EPIPE or ESHUTDOWN: for good */

    /* The client's thread. */
    leat_consumer_engine_t *engine;
    struct leat_lease_list taken; /* from the engine; their REPORT is not sent yet */
    bool has_staged;              /* and has not seen yet that it was received */
    uint64_t look_us;       /* when to look for decisions of which nobody told, while it has */
    uint64_t look_after_us; /* and how long after the last look that is */
    bool is_abandoned;
    uint64_t pace_us; /* when the measuring of the pace began */
    uint64_t pace_settled;
    double pace; /* records settled in a millisecond, smoothed */
};

extern const leat_port_ops_t leat_consumer_port_ops;

/* ---- leases; within the gate ----------------------------------------------------------------- */

leat_lease_t *leat_lease_new (leat_consumer_t *consumer, const leat_delivery_t *delivery);
void leat_lease_free (leat_lease_t *self);

/* Adds a decision, joined to the last one if that is of the same kind and next to it. Copies
 * `reason`, which may be NULL. */
void leat_decisions_add (leat_decisions_t *self, const leat_decision_t *decision);
void leat_decisions_clear (leat_decisions_t *self);

/* Decides for those of the records [from, to) of the lease that are not decided. Returns how many
 * they were. The lease is not freed. */
uint32_t leat_lease_decide (leat_lease_t *self, uint32_t from, uint32_t to, uint32_t outcome,
                            uint32_t delay_ms, const char *reason);

/* Takes what was not received out of the inbox, as given back if `is_told`, or else as never had. */
void leat_consumer_purge (leat_consumer_t *self, bool is_told);

/* On the client's thread: begins to leave. */
void leat_consumer_port_leave (leat_consumer_t *self);

/* Gives all decisions to the engine. */
void leat_consumer_port_decide (leat_consumer_t *self, uint64_t now_us);

#endif

/* One consumer without I/O: keeps leased records until the application takes them, reports what is
 * started, gathers settles.
 * SPDX-License-Identifier: MPL-2.0 */
#ifndef LEAT_CONSUMERS_CONSUMER_ENGINE_H
#define LEAT_CONSUMERS_CONSUMER_ENGINE_H

#include "client/agenda.h"
#include "client/session.h"

/*      delivered: leased to us, not started        started               settled
 *    ------------+----------------------------+----------------------+---------------> position
 *                 leat_consumer_engine_take -->  leat_consumer_engine_settle -->
 *                 <-- RECALL, leave: RETURNED     SETTLE, gathered
 *
 * While an application works on a record, the next one can be staged: it lies ready, so that it is started without
 * waiting for a turn of the client, which takes longer than a short record may wait.
 *
 *      delivered -- stage --> staged -- the application starts it, then its driver says so: claim --> started
 *                              |
 *                              +-- RECALL, REVOKED: is_staged is false. The driver takes it back, unless it is
 *                                  too late for that: give_back --> RETURNED
 */
typedef struct leat_consumer_engine leat_consumer_engine_t;

typedef enum {
    LEAT_CONSUMER_DETACHED, /* no session, or ATTACH is not answered yet */
    LEAT_CONSUMER_ATTACHED,
    LEAT_CONSUMER_LEAVING, /* takes no more; LEAVE goes out when all that was started is settled */
    LEAT_CONSUMER_ENDED,   /* LEFT came */
    LEAT_CONSUMER_FAILED   /* see leat_consumer_engine_error */
} leat_consumer_state_t;

typedef struct {
    const char *stream; /* copied, as is group; at most LEAT_NAME_MAX bytes each */
    const char *group;  /* NULL: "default" */
    bool must_exist;
    leat_start_t start; /* if this consumer is the first of its group */
    uint64_t start_value;
    uint32_t credit_records;  /* 0: 10000 */
    uint64_t credit_size;     /* 0: 16 MiB */
    uint32_t max_unreported;  /* 0: 1. Records started beyond the last report, at most */
    uint32_t settle_delay_us; /* 0: 1000. A settle waits no longer for others to join it */
    uint32_t settle_count;    /* 0: half the credit. So many settled records do not wait */
} leat_consumer_engine_options_t;

/* Consecutive records of one lease, encoded as in wire/record.h. `records` holds a reference that
 * the taker must release. */
typedef struct {
    uint64_t session; /* which attachment: settles after a reconnect are recognised as stale */
    uint64_t epoch;   /* of the lease; grows, for fencing the application's own writes */
    uint64_t first;   /* offset of the first record */
    uint32_t count;
    uint32_t attempt; /* 1 for the first */
    bool redelivered; /* may have been started before */
    bool extended;    /* records have keys and headers */
    uint64_t time_ms; /* when the producer made them */
    leat_slice_t records;
} leat_delivery_t;

leat_consumer_engine_t *leat_consumer_engine_new (const leat_consumer_engine_options_t *options);
void leat_consumer_engine_destroy (leat_consumer_engine_t **self_p);

/* ---- the application's side ------------------------------------------------------------------ */

/* To be called before leat_consumer_engine_take if leat_consumer_engine_run was not lately: the pace at
 * which records are started is measured, by which it is judged how many are reported ahead. */
void leat_consumer_engine_tick (leat_consumer_engine_t *self, uint64_t now_us);

/* Starts up to `count_max` records: the oldest that wait, all of one lease. They are reported before
 * they are handed out, so the driver must send the outbox before the application begins. False if
 * nothing waits or the consumer is leaving. */
bool leat_consumer_engine_take (leat_consumer_engine_t *self, uint32_t count_max,
                                leat_delivery_t *delivery, leat_outbox_t *outbox);

/* Hands out one record more, the oldest that waits, before the application asks for it. All before it are
 * reported, as far as max_unreported does not cover this one otherwise; this one is not, so that it can be
 * asked back until it is started. False if one is staged already, nothing waits or the consumer is leaving. The
 * driver must send the outbox before the application may begin. */
bool leat_consumer_engine_stage (leat_consumer_engine_t *self, leat_delivery_t *delivery,
                                 leat_outbox_t *outbox);

/* The application has started what was staged; said before it is settled. Without effect if nothing is. */
void leat_consumer_engine_claim (leat_consumer_engine_t *self);

/* False if nothing is staged, or not for longer: a driver that has not handed it to the application takes it
 * back and gives it back (leat_consumer_engine_give_back), else says that it is claimed. */
bool leat_consumer_engine_is_staged (const leat_consumer_engine_t *self);

/* Settles started records [first, first + count) of a delivery's lease (session, epoch). delay_ms
 * is for nacks (0: the broker chooses), reason for rejects (may be NULL). Returns how many of them
 * were held: fewer than count means the rest was settled before or the lease is lost (stale). */
uint32_t leat_consumer_engine_settle (leat_consumer_engine_t *self, uint64_t session,
                                      uint64_t epoch, uint64_t first, uint32_t count,
                                      leat_outcome_t outcome, uint32_t delay_ms, const char *reason,
                                      uint64_t now_us);

/* Gives started records back as if they had never been started. Returns how many were held. */
uint32_t leat_consumer_engine_give_back (leat_consumer_engine_t *self, uint64_t session,
                                         uint64_t epoch, uint64_t first, uint32_t count);

/* Asks that everything settled so far be confirmed; returns a token. Done once
 * leat_consumer_engine_flushed is at least that token; a lost session counts as done too (those
 * settles may be lost, and the records come again). */
uint64_t leat_consumer_engine_flush (leat_consumer_engine_t *self);
uint64_t leat_consumer_engine_flushed (const leat_consumer_engine_t *self);

/* Asks whether the group is empty; leat_consumer_engine_empty is true once the broker has said so.
 * Asked again by itself after a reconnect. */
void leat_consumer_engine_ask_empty (leat_consumer_engine_t *self);
bool leat_consumer_engine_empty (const leat_consumer_engine_t *self);

/* Sets other ceilings. */
void leat_consumer_engine_allow (leat_consumer_engine_t *self, uint32_t credit_records,
                                 uint64_t credit_size);

/* Gives back what is not started at once; ends once the rest is settled. */
void leat_consumer_engine_leave (leat_consumer_engine_t *self);

leat_consumer_state_t leat_consumer_engine_state (const leat_consumer_engine_t *self);

/* True once the broker has sent DRAIN: the application should leave. */
bool leat_consumer_engine_drained (const leat_consumer_engine_t *self);

/* Records that wait to be taken, and that are started and unsettled. */
uint32_t leat_consumer_engine_waiting (const leat_consumer_engine_t *self);
uint32_t leat_consumer_engine_started (const leat_consumer_engine_t *self);

/* Records whose settle came too late (lease lost), and batches that failed their checksum. */
uint64_t leat_consumer_engine_stale (const leat_consumer_engine_t *self);
uint64_t leat_consumer_engine_damaged (const leat_consumer_engine_t *self);

/* Records dropped because the broker may not deliver them: beyond the credit, leased already, or not
 * attached. An honest broker never does that. */
uint64_t leat_consumer_engine_excess (const leat_consumer_engine_t *self);

/* The last refusal in words, "" if there was none; `code` may be NULL. */
const char *leat_consumer_engine_error (const leat_consumer_engine_t *self, leat_code_t *code);

/* ---- the session's side ---------------------------------------------------------------------- */

/* A session is READY: sends ATTACH on `channel`. */
void leat_consumer_engine_begin (leat_consumer_engine_t *self, uint32_t channel,
                                 leat_outbox_t *outbox);

/* The session is lost: all leases are gone. */
void leat_consumer_engine_lost (leat_consumer_engine_t *self);

/* A command for its channel: ATTACHED, SETTLED, RECALL, EMPTY, LEFT, DRAIN, REVOKED, STALE, REFUSED. */
void leat_consumer_engine_receive (leat_consumer_engine_t *self, const leat_command_t *command,
                                   leat_outbox_t *outbox);

/* A slice of a DELIVER for its channel, as leat_batch_decode gave it. Checks count, form and checksum of
 * the records (borrowed, may be none); what fails is returned as DAMAGED. */
void leat_consumer_engine_deliver (leat_consumer_engine_t *self, const leat_batch_t *batch,
                                   leat_slice_t records, leat_outbox_t *outbox);

/* Sends settles that are due, flush requests, LEAVE. */
void leat_consumer_engine_run (leat_consumer_engine_t *self, uint64_t now_us,
                               leat_outbox_t *outbox);

/* Marked by all functions that do something to it, but for leat_consumer_engine_run. */
leat_attention_t *leat_consumer_engine_attention (leat_consumer_engine_t *self);

uint64_t leat_consumer_engine_deadline (const leat_consumer_engine_t *self);

/* True while it holds leases: the session beats its heart faster. */
bool leat_consumer_engine_busy (const leat_consumer_engine_t *self);

#endif

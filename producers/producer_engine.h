/* One producer without I/O: numbers records, keeps them until they are confirmed, sends them within
 * its credit, goes back when told to.
 * SPDX-License-Identifier: MPL-2.0 */
#ifndef LEAT_PRODUCERS_PRODUCER_ENGINE_H
#define LEAT_PRODUCERS_PRODUCER_ENGINE_H

#include "client/agenda.h"
#include "client/session.h"

/*      submitted            sent, within credit          confirmed: forgotten
 *    ------------+---------------------------------+-----------------------------> sequences
 *     next       ^                                 ^
 *                sent up to here                   confirmed up to here
 *
 * A slice of records stays as it was submitted until all of it is confirmed; batches are cut from
 * the slices when they are sent, never copied. */
typedef struct leat_producer_engine leat_producer_engine_t;

typedef enum {
    LEAT_PRODUCER_CLOSED, /* no session, or OPEN is not answered yet */
    LEAT_PRODUCER_OPEN,
    LEAT_PRODUCER_CLOSING, /* no more submits; CLOSE is sent when all is confirmed */
    LEAT_PRODUCER_ENDED,   /* CLOSED came */
    LEAT_PRODUCER_FAILED   /* see leat_producer_engine_error; sends nothing more but CLOSE */
} leat_producer_state_t;

typedef struct {
    const char *stream; /* copied; FAILED at once with BAD_NAME if it is no valid name */
    bool must_exist;
    uint32_t
        record_size_max;     /* 0: LEAT_RECORD_SIZE_DEFAULT; the smaller of this and the broker's */
    uint32_t batch_size_max; /* 0: 1 MiB; likewise. A larger single record goes alone */
} leat_producer_engine_options_t;

leat_producer_engine_t *leat_producer_engine_new (const leat_producer_engine_options_t *options);
void leat_producer_engine_destroy (leat_producer_engine_t **self_p);

/* ---- the application's side ------------------------------------------------------------------ */

/* Takes `count` encoded records (wire/record.h) that the caller has checked against the limits, and
 * a reference of its own to their buffer. They get the next `count` sequences; the first is
 * returned. time_ms goes into the batch headers. */
uint64_t leat_producer_engine_submit (leat_producer_engine_t *self, leat_slice_t records,
                                      uint32_t count, bool extended, uint64_t time_ms);

/* Passes over the next `count` sequences, all of which the broker has (leat_producer_engine_confirmed):
 * as if their records had been submitted. */
void leat_producer_engine_pass (leat_producer_engine_t *self, uint64_t count);

/* The sequence that the next record gets; everything up to leat_producer_engine_confirmed is at the
 * broker for good. After OPENED of a fresh session the latter may be ahead of what was submitted:
 * the broker has those records from an earlier run under this identity. */
uint64_t leat_producer_engine_next (const leat_producer_engine_t *self);
uint64_t leat_producer_engine_confirmed (const leat_producer_engine_t *self);

/* Stream offset of the last record that was confirmed in this session; UINT64_MAX if unknown. */
uint64_t leat_producer_engine_offset (const leat_producer_engine_t *self);

/* Bytes submitted and not confirmed, and batches sent and not confirmed. */
uint64_t leat_producer_engine_unconfirmed_size (const leat_producer_engine_t *self);
uint32_t leat_producer_engine_batches_in_flight (const leat_producer_engine_t *self);

/* Bytes that could be sent right now if they were there: 0 without credit or session. Drivers use
 * it to leave records with the application, where they collect into larger batches. While batches
 * are in flight, less than a quarter of the credit counts as nothing: small pieces would be
 * confirmed one by one and stay small (RFC 1122, 4.2.3.4 tells of the same in TCP). */
uint64_t leat_producer_engine_sendable_size (const leat_producer_engine_t *self,
                                             const leat_session_window_t *window);

/* Whether nobody waits for confirmations, so that the broker may gather them for a moment (PATIENT in
 * docs/protocol.md). False at first. */
void leat_producer_engine_set_patient (leat_producer_engine_t *self, bool is_patient);

/* No more submits; the state becomes ENDED once all is confirmed and the broker has said CLOSED, or
 * when the session is lost after all was confirmed. */
void leat_producer_engine_close (leat_producer_engine_t *self);

leat_producer_state_t leat_producer_engine_state (const leat_producer_engine_t *self);
const char *leat_producer_engine_stream (const leat_producer_engine_t *self);

/* The last refusal in words, "" if there was none; `code` may be NULL. */
const char *leat_producer_engine_error (const leat_producer_engine_t *self, leat_code_t *code);

/* Batches sent again after a refusal or a lost session. */
uint64_t leat_producer_engine_resent (const leat_producer_engine_t *self);

/* ---- the session's side ---------------------------------------------------------------------- */

/* A session is READY: sends OPEN on `channel`. */
void leat_producer_engine_begin (leat_producer_engine_t *self, uint32_t channel,
                                 const leat_session_terms_t *terms, leat_outbox_t *outbox);

/* The session is lost: what is unconfirmed will be sent again. The session has reset its window. */
void leat_producer_engine_lost (leat_producer_engine_t *self);

/* It is taken out of the session: says CLOSE if it may have a channel at the broker, so that its credit
 * goes to others. It must not be used in this session any more. */
void leat_producer_engine_part (leat_producer_engine_t *self, leat_outbox_t *outbox);

/* A command for its channel: OPENED, CONFIRMED, CREDIT, CLOSED or REFUSED. False if it breaks the
 * protocol, such as a confirmation of what was not sent, which changes nothing. */
bool leat_producer_engine_receive (leat_producer_engine_t *self, const leat_command_t *command,
                                   uint64_t now_us, leat_session_window_t *window,
                                   leat_outbox_t *outbox);

/* Sends what credit and window allow. */
void leat_producer_engine_run (leat_producer_engine_t *self, uint64_t now_us,
                               leat_session_window_t *window, leat_outbox_t *outbox);

/* True if the last run ended because the window has no room for the next batch, however much credit
 * there is. */
bool leat_producer_engine_is_cramped (const leat_producer_engine_t *self);

/* Marked by all functions that do something to it, but for leat_producer_engine_run. */
leat_attention_t *leat_producer_engine_attention (leat_producer_engine_t *self);

/* True while the broker may have a channel for it, where one that has failed is in the way of another
 * one for the same stream. */
bool leat_producer_engine_has_channel (const leat_producer_engine_t *self);

/* Cost of what it has sent and is neither confirmed nor refused: its part of the session's window.
 * *last (may be NULL) is the last sequence of that. */
uint64_t leat_producer_engine_cost_in_flight (const leat_producer_engine_t *self, uint64_t *last);

/* When it wants to be run again (back-off), UINT64_MAX for never. */
uint64_t leat_producer_engine_deadline (const leat_producer_engine_t *self);

/* True while records are sent and unconfirmed, or OPEN or CLOSE is not answered: the session beats
 * its heart faster. */
bool leat_producer_engine_busy (const leat_producer_engine_t *self);

#endif

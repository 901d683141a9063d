/* What one consumer holds: every record that was delivered to it and is neither settled nor given
 * back, in pieces.
 * SPDX-License-Identifier: MPL-2.0 */
#ifndef LEAT_CONSUMERS_LEASES_H
#define LEAT_CONSUMERS_LEASES_H

#include "consumers/consumer_engine.h"

/* A piece is consecutive records of one lease in the same state. Pieces never overlap; a tree keeps
 * them by (epoch, first offset), so what a worker pool settles in any order finds its neighbours:
 *
 *      epoch 7   | settled | started |        waiting        |
 *      offsets   100       130       131                     200
 *
 *      add -> WAITING -- take ---> STARTED -- settle ----> SETTLED -- drop_settled -> gone
 *                |                    |
 *                |                    +------ give_back -> GIVEN ---- drop_given ---> gone
 *                +-- recall ------------------------------->
 *
 * and leat_leases_revoke removes a piece in any state. Only what waits holds bodies. The caller
 * bounds the records, and with them the pieces, by what it adds. */
typedef struct leat_leases leat_leases_t;

typedef enum {
    LEAT_LEASE_WAITING,
    LEAT_LEASE_STARTED,
    LEAT_LEASE_SETTLED, /* not told to the broker yet, nor are those given back */
    LEAT_LEASE_GIVEN,
    LEAT_LEASE_STATES
} leat_lease_state_t;

/* Records and pieces by state, and bytes of the bodies that wait. */
typedef struct {
    uint32_t records[LEAT_LEASE_STATES];
    uint32_t pieces[LEAT_LEASE_STATES];
    uint64_t waiting_size;
} leat_lease_counts_t;

/* How records are settled; `reason` may be NULL and is cut to LEAT_TEXT_MAX bytes. */
typedef struct {
    leat_outcome_t outcome;
    uint32_t delay_ms;
    const char *reason;
} leat_settlement_t;

leat_leases_t *leat_leases_new (void);
void leat_leases_destroy (leat_leases_t **self_p);

/* Forgets everything. */
void leat_leases_clear (leat_leases_t *self);

/* Valid as long as the leases; follows every change. */
const leat_lease_counts_t *leat_leases_counts (const leat_leases_t *self);

/* True if one of the records [first, first + count) of that lease is in any piece. */
bool leat_leases_hold (const leat_leases_t *self, uint64_t epoch, uint64_t first, uint32_t count);

/* Adds a checked batch, of which leat_leases_hold is false, behind all that waits. `position` is the
 * delivery position of its first record. Takes a reference of its own to the records. */
void leat_leases_add (leat_leases_t *self, const leat_batch_t *batch, leat_slice_t records,
                      uint64_t position);

/* The oldest piece that waits: position of its first record, and records. False if nothing waits. */
bool leat_leases_oldest (const leat_leases_t *self, uint64_t *position, uint32_t *count);

/* The position behind the last record that waits; 0 if nothing waits. */
uint64_t leat_leases_waiting_end (const leat_leases_t *self);

/* Starts the first `count` records of the oldest piece (it has as many) and fills in `delivery`, but
 * for its session; the caller releases delivery->records. */
void leat_leases_take (leat_leases_t *self, uint32_t count, leat_delivery_t *delivery);

/* Settles, or gives back, those of the records [first, first + count) of that lease which are
 * started. Returns how many they were. */
uint32_t leat_leases_settle (leat_leases_t *self, uint64_t epoch, uint64_t first, uint32_t count,
                             const leat_settlement_t *settlement);
uint32_t leat_leases_give_back (leat_leases_t *self, uint64_t epoch, uint64_t first,
                                uint32_t count);

/* Gives back those of the range that wait, or all that wait. */
void leat_leases_recall (leat_leases_t *self, leat_range_t range);
void leat_leases_recall_all (leat_leases_t *self);

/* Forgets what is in the range. Returns how many of those records were settled, and raises
 * *position_end to what their settles, and those of records beside them, would have reported: the
 * caller has to report that by itself. */
uint32_t leat_leases_revoke (leat_leases_t *self, leat_range_t range, uint64_t *position_end);

/* The piece that was settled first: its entry, what it reports (no record at that position or beyond
 * was settled in it) and its reason ("" if none; valid until it is dropped). False if none. */
bool leat_leases_settled (const leat_leases_t *self, leat_settle_entry_t *entry,
                          uint64_t *position_end, const char **reason);
void leat_leases_drop_settled (leat_leases_t *self);

/* The piece that was given back first. False if there is none. */
bool leat_leases_given (const leat_leases_t *self, leat_range_t *range);
void leat_leases_drop_given (leat_leases_t *self);

#endif

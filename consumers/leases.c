/* What one consumer holds, in pieces: a red-black tree by lease and offset, and a list per state.
 * SPDX-License-Identifier: MPL-2.0 */
#include "consumers/leases.h"

#include "wire/alloc.h"
#include "wire/assert.h"

#include <bsd/sys/queue.h>
#include <bsd/sys/tree.h>
#include <stdlib.h>
#include <string.h>

typedef struct s_piece {
    RB_ENTRY (s_piece) node;
    TAILQ_ENTRY (s_piece) link; /* of the list of its state */
    leat_lease_state_t state;
    uint32_t count; /* records, at least 1 */
    uint64_t epoch;
    uint64_t first; /* offset */

    uint64_t position;     /* waiting, started: of the first record; the others follow on */
    uint64_t position_end; /* settled: behind the last record of those joined here */

    leat_slice_t records; /* waiting: these records; holds a reference */
    uint64_t time_ms;     /* waiting: from the batch, as the next three */
    uint32_t attempt;
    bool redelivered;
    bool extended;

    uint8_t outcome; /* settled: leat_outcome_t */
    uint32_t delay_ms;
    char *reason; /* NULL if none */
} s_piece_t;

typedef RB_HEAD (s_tree, s_piece) s_tree_t;
typedef TAILQ_HEAD (s_list, s_piece) s_list_t;

struct leat_leases {
    s_tree_t tree; /* every piece */
    /* Waiting: by position. The others: the piece that was begun first is first. */
    s_list_t lists[LEAT_LEASE_STATES];
    leat_lease_counts_t counts;
};

static int s_compare (const s_piece_t *a, const s_piece_t *b)
{
    if (a->epoch != b->epoch)
        return a->epoch < b->epoch ? -1 : 1;
    return (a->first > b->first) - (a->first < b->first);
}

/* RB_GENERATE_STATIC would need __unused, which <bsd/sys/cdefs.h> leaves out on Linux. */
RB_GENERATE_INTERNAL (s_tree, s_piece, node, s_compare, __attribute__ ((unused)) static)

static uint64_t s_piece_end (const s_piece_t *piece)
{
    return piece->first + piece->count;
}

/* An application may ask for any range at all. */
static uint64_t s_range_end (uint64_t first, uint32_t count)
{
    return first > UINT64_MAX - count ? UINT64_MAX : first + count;
}

/* Into the list of its state, behind `before` or (NULL) at the end. */
static void s_enlist (leat_leases_t *self, s_piece_t *piece, s_piece_t *before)
{
    if (before)
        TAILQ_INSERT_AFTER (&self->lists[piece->state], before, piece, link);
    else
        TAILQ_INSERT_TAIL (&self->lists[piece->state], piece, link);
    self->counts.pieces[piece->state]++;
}

static void s_delist (leat_leases_t *self, s_piece_t *piece)
{
    TAILQ_REMOVE (&self->lists[piece->state], piece, link);
    self->counts.pieces[piece->state]--;
}

static void s_insert (leat_leases_t *self, s_piece_t *piece)
{
    const s_piece_t *same = RB_INSERT (s_tree, &self->tree, piece);
    leat_assert (!same);
}

/* Takes the piece out and frees it; its records have been counted elsewhere. */
static void s_unhook (leat_leases_t *self, s_piece_t *piece)
{
    s_delist (self, piece);
    RB_REMOVE (s_tree, &self->tree, piece);
    leat_buffer_release (&piece->records.buffer);
    free (piece->reason);
    free (piece);
}

static void s_remove (leat_leases_t *self, s_piece_t *piece)
{
    self->counts.records[piece->state] -= piece->count;
    self->counts.waiting_size -= piece->records.size;
    s_unhook (self, piece);
}

leat_leases_t *leat_leases_new (void)
{
    leat_leases_t *self = leat_alloc (sizeof *self);
    RB_INIT (&self->tree);
    for (int state = 0; state < LEAT_LEASE_STATES; state++)
        TAILQ_INIT (&self->lists[state]);
    return self;
}

void leat_leases_destroy (leat_leases_t **self_p)
{
    leat_assert (self_p);
    if (!*self_p)
        return;
    leat_leases_clear (*self_p);
    free (*self_p);
    *self_p = NULL;
}

void leat_leases_clear (leat_leases_t *self)
{
    s_piece_t *piece = RB_MIN (s_tree, &self->tree);
    while (piece) {
        s_piece_t *next = RB_NEXT (s_tree, &self->tree, piece);
        s_remove (self, piece);
        piece = next;
    }
}

const leat_lease_counts_t *leat_leases_counts (const leat_leases_t *self)
{
    return &self->counts;
}

/* The piece of the lease that has the record at `offset`, else the next one behind; NULL if none. */
static s_piece_t *s_find (const leat_leases_t *self, uint64_t epoch, uint64_t offset)
{
    s_tree_t *tree = (s_tree_t *) &self->tree; /* looking changes nothing */
    s_piece_t key = { .epoch = epoch, .first = offset };
    s_piece_t *piece = RB_NFIND (s_tree, tree, &key);
    if (!piece || s_compare (piece, &key) != 0) {
        s_piece_t *before = piece ? RB_PREV (s_tree, tree, piece) : RB_MAX (s_tree, tree);
        if (before && before->epoch == epoch && s_piece_end (before) > offset)
            return before;
    }
    return piece && piece->epoch == epoch ? piece : NULL;
}

/* The first piece that has some of the records [first, end) of the lease; [*from, *to) are those.
 * NULL if there is none. */
static s_piece_t *s_overlap (const leat_leases_t *self, uint64_t epoch, uint64_t first,
                             uint64_t end, uint64_t *from, uint64_t *to)
{
    s_piece_t *piece = first < end ? s_find (self, epoch, first) : NULL;
    if (!piece || piece->first >= end)
        return NULL;
    *from = piece->first > first ? piece->first : first;
    *to = s_piece_end (piece) < end ? s_piece_end (piece) : end;
    return piece;
}

bool leat_leases_hold (const leat_leases_t *self, uint64_t epoch, uint64_t first, uint32_t count)
{
    const s_piece_t *piece = s_find (self, epoch, first);
    return piece && piece->first < s_range_end (first, count);
}

void leat_leases_add (leat_leases_t *self, const leat_batch_t *batch, leat_slice_t records,
                      uint64_t position)
{
    s_piece_t *piece = leat_alloc (sizeof *piece);
    piece->state = LEAT_LEASE_WAITING;
    piece->count = batch->count;
    piece->epoch = batch->epoch;
    piece->first = batch->first;
    piece->position = position;
    piece->records = records;
    leat_buffer_hold (records.buffer);
    piece->time_ms = batch->time_ms;
    piece->attempt = batch->attempt;
    piece->redelivered = batch->flags & LEAT_DELIVER_REDELIVERED;
    piece->extended = batch->attributes & LEAT_BATCH_EXTENDED;

    s_insert (self, piece);
    s_enlist (self, piece, NULL);
    self->counts.records[LEAT_LEASE_WAITING] += piece->count;
    self->counts.waiting_size += piece->records.size;
}

bool leat_leases_oldest (const leat_leases_t *self, uint64_t *position, uint32_t *count)
{
    const s_piece_t *piece = TAILQ_FIRST (&self->lists[LEAT_LEASE_WAITING]);
    if (!piece)
        return false;
    *position = piece->position;
    *count = piece->count;
    return true;
}

uint64_t leat_leases_waiting_end (const leat_leases_t *self)
{
    const s_piece_t *piece = TAILQ_LAST (&self->lists[LEAT_LEASE_WAITING], s_list);
    return piece ? piece->position + piece->count : 0;
}

/* ---- pieces become smaller, larger and others ------------------------------------------------ */

/* Bytes of the first `count` records of a piece that waits. */
static size_t s_skip (const s_piece_t *piece, uint32_t count)
{
    return leat_batch_skip (leat_slice_bytes (piece->records), piece->records.size, count);
}

/* Takes `count` records off the front of a piece that has more. Its key grows, yet stays below the
 * next piece's, so it keeps its place in the tree. */
static void s_behead (s_piece_t *piece, uint32_t count)
{
    piece->first += count;
    piece->position += count;
    piece->count -= count;
}

/* Cuts a piece at an offset inside it and returns the latter part. */
static s_piece_t *s_split (leat_leases_t *self, s_piece_t *piece, uint64_t offset)
{
    uint32_t count = (uint32_t) (offset - piece->first);
    s_piece_t *rest = leat_alloc (sizeof *rest);
    *rest = *piece;
    s_behead (rest, count);
    piece->count = count;
    if (piece->state == LEAT_LEASE_WAITING) {
        size_t size = s_skip (piece, count);
        leat_buffer_hold (rest->records.buffer);
        rest->records.offset += size;
        rest->records.size -= size;
        piece->records.size = size;
    }
    if (piece->reason)
        rest->reason = leat_copy_text (piece->reason, strlen (piece->reason));

    s_insert (self, rest);
    s_enlist (self, rest, piece);
    return rest;
}

/* The part [from, to) of a piece as a piece of its own. */
static s_piece_t *s_cut (leat_leases_t *self, s_piece_t *piece, uint64_t from, uint64_t to)
{
    if (from > piece->first)
        piece = s_split (self, piece, from);
    if (to < s_piece_end (piece))
        s_split (self, piece, to);
    return piece;
}

/* A small rest of a large body must not keep all of it in memory: below a quarter it is copied. */
static void s_unpin (s_piece_t *piece)
{
    if (!piece || piece->state != LEAT_LEASE_WAITING
        || piece->records.size >= leat_buffer_size (piece->records.buffer) / 4)
        return;
    leat_buffer_t *copy = leat_buffer_copy (leat_slice_bytes (piece->records), piece->records.size);
    leat_buffer_release (&piece->records.buffer);
    piece->records.buffer = copy;
    piece->records.offset = 0;
}

/* Of what lies on either side of a piece that goes; but for what goes next, up to `end`. */
static void s_unpin_beside (s_piece_t *piece, uint64_t end)
{
    s_unpin (RB_PREV (s_tree, , piece));
    s_piece_t *next = RB_NEXT (s_tree, , piece);
    if (next && (next->epoch != piece->epoch || next->first >= end))
        s_unpin (next);
}

/* NULL says the same as an empty reason. */
static bool s_same_reason (const char *a, const char *b)
{
    return strcmp (a ? a : "", b ? b : "") == 0;
}

/* True if `piece` ends where `next` begins and both can be one piece. */
static bool s_joinable (const s_piece_t *piece, const s_piece_t *next)
{
    if (!piece || !next || piece->state != next->state || piece->epoch != next->epoch
        || s_piece_end (piece) != next->first)
        return false;
    if (piece->state == LEAT_LEASE_STARTED)
        return piece->position + piece->count == next->position;
    if (piece->state == LEAT_LEASE_SETTLED)
        return piece->outcome == next->outcome && piece->delay_ms == next->delay_ms
               && s_same_reason (piece->reason, next->reason);
    return piece->state == LEAT_LEASE_GIVEN;
}

static void s_join (leat_leases_t *self, s_piece_t *piece, s_piece_t *next)
{
    piece->count += next->count;
    if (piece->position_end < next->position_end)
        piece->position_end = next->position_end;
    s_unhook (self, next);
}

/* Joins a piece with its neighbours where that can be. */
static void s_join_neighbours (leat_leases_t *self, s_piece_t *piece)
{
    s_piece_t *next = RB_NEXT (s_tree, &self->tree, piece);
    if (s_joinable (piece, next))
        s_join (self, piece, next);
    s_piece_t *before = RB_PREV (s_tree, &self->tree, piece);
    if (s_joinable (before, piece))
        s_join (self, before, piece);
}

void leat_leases_take (leat_leases_t *self, uint32_t count, leat_delivery_t *delivery)
{
    s_piece_t *piece = TAILQ_FIRST (&self->lists[LEAT_LEASE_WAITING]);
    leat_assert (piece && count > 0 && count <= piece->count);

    size_t size = count == piece->count ? piece->records.size : s_skip (piece, count);
    delivery->epoch = piece->epoch;
    delivery->first = piece->first;
    delivery->count = count;
    delivery->attempt = piece->attempt;
    delivery->redelivered = piece->redelivered;
    delivery->extended = piece->extended;
    delivery->time_ms = piece->time_ms;
    delivery->records = piece->records;
    delivery->records.size = size;

    self->counts.records[LEAT_LEASE_WAITING] -= count;
    self->counts.records[LEAT_LEASE_STARTED] += count;
    self->counts.waiting_size -= size;

    if (count == piece->count) {
        /* The reference goes to the caller. */
        s_delist (self, piece);
        piece->records = (leat_slice_t){ 0 };
        piece->state = LEAT_LEASE_STARTED;
        s_enlist (self, piece, NULL);
        s_join_neighbours (self, piece);
        return;
    }
    leat_buffer_hold (piece->records.buffer);
    s_piece_t *started = leat_alloc (sizeof *started);
    started->state = LEAT_LEASE_STARTED;
    started->count = count;
    started->epoch = piece->epoch;
    started->first = piece->first;
    started->position = piece->position;
    s_behead (piece, count);
    piece->records.offset += size;
    piece->records.size -= size;

    s_piece_t *before = RB_PREV (s_tree, &self->tree, piece);
    if (s_joinable (before, started)) {
        before->count += count;
        free (started);
    } else {
        s_insert (self, started);
        s_enlist (self, started, NULL);
    }
}

/* ---- the ends of records --------------------------------------------------------------------- */

/* What started records become: settled, or (settlement NULL) given. */
static bool s_became (const s_piece_t *piece, const leat_settlement_t *settlement)
{
    if (!settlement)
        return piece->state == LEAT_LEASE_GIVEN;
    return piece->state == LEAT_LEASE_SETTLED && piece->outcome == settlement->outcome
           && piece->delay_ms == settlement->delay_ms
           && s_same_reason (piece->reason, settlement->reason);
}

/* A copy of at most LEAT_TEXT_MAX bytes, not cut inside a character; NULL for no text. */
static char *s_copy_reason (const char *reason)
{
    size_t size = reason ? strlen (reason) : 0;
    if (size > LEAT_TEXT_MAX) {
        size = LEAT_TEXT_MAX;
        while (size > 0 && ((unsigned char) reason[size] & 0xc0) == 0x80)
            size--;
    }
    return size > 0 ? leat_copy_text (reason, size) : NULL;
}

/* Ends the part [from, to) of a started piece. */
static void s_end (leat_leases_t *self, s_piece_t *piece, uint64_t from, uint64_t to,
                   const leat_settlement_t *settlement)
{
    uint32_t count = (uint32_t) (to - from);
    self->counts.records[LEAT_LEASE_STARTED] -= count;
    self->counts.records[settlement ? LEAT_LEASE_SETTLED : LEAT_LEASE_GIVEN] += count;

    /* One record after the other: the piece before grows, and nothing is allocated. */
    s_piece_t *before = NULL;
    if (from == piece->first && to < s_piece_end (piece))
        before = RB_PREV (s_tree, &self->tree, piece);
    if (before && before->epoch == piece->epoch && s_piece_end (before) == from
        && s_became (before, settlement)) {
        s_behead (piece, count);
        before->count += count;
        if (before->position_end < piece->position)
            before->position_end = piece->position;
        return;
    }
    piece = s_cut (self, piece, from, to);
    s_delist (self, piece);
    if (settlement) {
        piece->state = LEAT_LEASE_SETTLED;
        piece->position_end = piece->position + piece->count;
        piece->outcome = (uint8_t) settlement->outcome;
        piece->delay_ms = settlement->delay_ms;
        piece->reason = s_copy_reason (settlement->reason);
    } else
        piece->state = LEAT_LEASE_GIVEN;
    s_enlist (self, piece, NULL);
    s_join_neighbours (self, piece);
}

static uint32_t s_end_range (leat_leases_t *self, uint64_t epoch, uint64_t first, uint32_t count,
                             const leat_settlement_t *settlement)
{
    uint64_t end = s_range_end (first, count);
    uint32_t held = 0;
    s_piece_t *piece;
    uint64_t from, to;
    for (uint64_t next = first; (piece = s_overlap (self, epoch, next, end, &from, &to));
         next = to) {
        if (piece->state == LEAT_LEASE_STARTED) {
            s_end (self, piece, from, to, settlement);
            held += (uint32_t) (to - from);
        }
    }
    return held;
}

uint32_t leat_leases_settle (leat_leases_t *self, uint64_t epoch, uint64_t first, uint32_t count,
                             const leat_settlement_t *settlement)
{
    return s_end_range (self, epoch, first, count, settlement);
}

uint32_t leat_leases_give_back (leat_leases_t *self, uint64_t epoch, uint64_t first, uint32_t count)
{
    return s_end_range (self, epoch, first, count, NULL);
}

/* A piece that waits becomes a given one. */
static void s_give (leat_leases_t *self, s_piece_t *piece)
{
    self->counts.records[LEAT_LEASE_WAITING] -= piece->count;
    self->counts.waiting_size -= piece->records.size;
    self->counts.records[LEAT_LEASE_GIVEN] += piece->count;
    s_delist (self, piece);
    leat_buffer_release (&piece->records.buffer);
    piece->records = (leat_slice_t){ 0 };
    piece->state = LEAT_LEASE_GIVEN;
    s_enlist (self, piece, NULL);
    s_join_neighbours (self, piece);
}

void leat_leases_recall (leat_leases_t *self, leat_range_t range)
{
    uint64_t end = s_range_end (range.first, range.count);
    s_piece_t *piece;
    uint64_t from, to;
    for (uint64_t next = range.first;
         (piece = s_overlap (self, range.epoch, next, end, &from, &to)); next = to) {
        if (piece->state == LEAT_LEASE_WAITING) {
            piece = s_cut (self, piece, from, to);
            s_unpin_beside (piece, end);
            s_give (self, piece);
        }
    }
}

void leat_leases_recall_all (leat_leases_t *self)
{
    while (!TAILQ_EMPTY (&self->lists[LEAT_LEASE_WAITING]))
        s_give (self, TAILQ_FIRST (&self->lists[LEAT_LEASE_WAITING]));
}

uint32_t leat_leases_revoke (leat_leases_t *self, leat_range_t range, uint64_t *position_end)
{
    uint64_t end = s_range_end (range.first, range.count);
    uint32_t settled = 0;
    s_piece_t *piece;
    uint64_t from, to;
    for (uint64_t next = range.first;
         (piece = s_overlap (self, range.epoch, next, end, &from, &to)); next = to) {
        piece = s_cut (self, piece, from, to);
        s_unpin_beside (piece, end);
        if (piece->state == LEAT_LEASE_SETTLED) {
            settled += piece->count;
            if (*position_end < piece->position_end)
                *position_end = piece->position_end;
        }
        s_remove (self, piece);
    }
    return settled;
}

bool leat_leases_settled (const leat_leases_t *self, leat_settle_entry_t *entry,
                          uint64_t *position_end, const char **reason)
{
    const s_piece_t *piece = TAILQ_FIRST (&self->lists[LEAT_LEASE_SETTLED]);
    if (!piece)
        return false;
    *entry = (leat_settle_entry_t){ .epoch = piece->epoch,
                                    .first = piece->first,
                                    .count = piece->count,
                                    .delay_ms = piece->delay_ms,
                                    .outcome = piece->outcome };
    *position_end = piece->position_end;
    *reason = piece->reason ? piece->reason : "";
    return true;
}

void leat_leases_drop_settled (leat_leases_t *self)
{
    s_remove (self, TAILQ_FIRST (&self->lists[LEAT_LEASE_SETTLED]));
}

bool leat_leases_given (const leat_leases_t *self, leat_range_t *range)
{
    const s_piece_t *piece = TAILQ_FIRST (&self->lists[LEAT_LEASE_GIVEN]);
    if (!piece)
        return false;
    *range = (leat_range_t){ .epoch = piece->epoch, .first = piece->first, .count = piece->count };
    return true;
}

void leat_leases_drop_given (leat_leases_t *self)
{
    s_remove (self, TAILQ_FIRST (&self->lists[LEAT_LEASE_GIVEN]));
}

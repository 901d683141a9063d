/* The records of one producer that are not confirmed yet, and where batches were cut from them.
 * SPDX-License-Identifier: MPL-2.0 */
#ifndef LEAT_PRODUCERS_BACKLOG_H
#define LEAT_PRODUCERS_BACKLOG_H

#include <bsd/sys/queue.h>

#include "wire/buffer.h"
#include "wire/protocol.h"

/*     slices    |--------------|-------|-------------------|-----------|
 *     batches   |----|----|----|-------|----|----|
 *               |              |            |    |
 *               confirmed      sent         |    next to be cut
 *                              up to here   cut, to be sent again
 *
 * Records are walked once, when a batch is cut. A batch that has to be sent again keeps its place
 * and its checksum; it is cut once more only if it no longer fits. */
typedef struct leat_backlog leat_backlog_t;

struct leat_backlog_slice;

/* Consecutive records of one slice that go in one PUBLISH. Read-only outside of backlog.c. */
typedef struct leat_backlog_batch {
    TAILQ_ENTRY (leat_backlog_batch) link;
    struct leat_backlog_slice *slice;
    size_t offset; /* of the body within the slice's buffer */
    size_t size;   /* of the body */
    uint64_t first;
    uint32_t count;
    uint32_t crc32c;
    bool has_crc32c;
    bool is_sent;  /* and neither confirmed nor refused since */
    bool is_again; /* it was sent before */
    uint64_t cost; /* of the session's window; 0 unless it is sent */
} leat_backlog_batch_t;

typedef struct {
    size_t record_size_max; /* a record's `size`, see wire/record.h */
    size_t batch_size_max;  /* body of a batch of several records */
    size_t body_size_max;   /* body of any batch */
} leat_backlog_limits_t;

/* A record that no batch can take. */
typedef struct {
    uint64_t sequence; /* 0: there is none */
    size_t size;
    size_t size_max;
} leat_backlog_oversized_t;

leat_backlog_t *leat_backlog_new (void);
void leat_backlog_destroy (leat_backlog_t **self_p);

/* Takes `count` whole records and a reference to their buffer; returns the first one's sequence.
 * Records up to leat_backlog_confirmed are only counted, not kept. */
uint64_t leat_backlog_add (leat_backlog_t *self, leat_slice_t records, uint32_t count,
                           bool extended, uint64_t time_ms);

/* As if `count` records had been added, none of them beyond leat_backlog_confirmed. */
void leat_backlog_pass (leat_backlog_t *self, uint64_t count);

/* Everything up to `sequence` is confirmed; it may be more than was sent or even added. Returns the
 * cost of the sent batches that this frees. Costs time only for what becomes confirmed. */
uint64_t leat_backlog_confirm (leat_backlog_t *self, uint64_t sequence);

/* Everything from `sequence` on (beyond leat_backlog_confirmed, at most leat_backlog_sent_end)
 * counts as not sent. Returns the cost of the batches that this touches. */
uint64_t leat_backlog_go_back (leat_backlog_t *self, uint64_t sequence);

/* Sets the limits for batches. If one is smaller than before, what was cut is cut anew; nothing may
 * be sent and unconfirmed then. */
void leat_backlog_limit (leat_backlog_t *self, const leat_backlog_limits_t *limits);

/* The next batch to be sent, cut now if need be; NULL if there is none, or if the next record is
 * oversized (then *oversized says which; otherwise its sequence is 0). */
leat_backlog_batch_t *leat_backlog_unsent (leat_backlog_t *self,
                                           leat_backlog_oversized_t *oversized);

/* Cuts the batch that leat_backlog_unsent gave down to `size_max` bytes, the rest becomes the batch
 * after it. False if not even its first record fits; nothing is changed then. */
bool leat_backlog_shorten (leat_backlog_t *self, leat_backlog_batch_t *batch, size_t size_max);

/* The batch's checksum, computed when first asked for. */
uint32_t leat_backlog_crc32c (leat_backlog_batch_t *batch);

/* The batch's body (borrowed), the attribute and the time it was submitted with. */
leat_slice_t leat_backlog_body (const leat_backlog_batch_t *batch);
bool leat_backlog_extended (const leat_backlog_batch_t *batch);
uint64_t leat_backlog_time_ms (const leat_backlog_batch_t *batch);

/* The batch that leat_backlog_unsent gave is sent, and takes `cost` of the window. */
void leat_backlog_mark_sent (leat_backlog_t *self, leat_backlog_batch_t *batch, uint64_t cost);

/* Sequence of the next record to be added; last one confirmed; first one not sent. */
uint64_t leat_backlog_next (const leat_backlog_t *self);
uint64_t leat_backlog_confirmed (const leat_backlog_t *self);
uint64_t leat_backlog_sent_end (const leat_backlog_t *self);

/* Bytes of records not confirmed, and of those the ones not sent. A batch counts whole until all of
 * it is confirmed. */
uint64_t leat_backlog_size (const leat_backlog_t *self);
uint64_t leat_backlog_unsent_size (const leat_backlog_t *self);

/* Batches that are sent and not confirmed, and their cost. */
uint32_t leat_backlog_batches_sent (const leat_backlog_t *self);
uint64_t leat_backlog_cost_sent (const leat_backlog_t *self);

#endif

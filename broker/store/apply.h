/* What a commit means to rows: a function of its operations and of the rows that are there.
 * SPDX-License-Identifier: MPL-2.0 */
#ifndef LEAT_BROKER_STORE_APPLY_H
#define LEAT_BROKER_STORE_APPLY_H

#include "broker/store/rows.h"

/* Deterministic, without I/O of its own: the same commits in the same order lead to the same rows.
 * Operations that were applied before change nothing, so that a log may be applied again from any
 * point before its end. One thread. */
typedef struct leat_apply leat_apply_t;

typedef enum {
    LEAT_APPLY_OK = 0,
    LEAT_APPLY_REFUSED, /* it makes no sense here; leat_apply_reason tells why */
    LEAT_APPLY_FULL,    /* no space for the rows */
    LEAT_APPLY_FAILED,  /* the rows failed */
    LEAT_APPLY_DAMAGED  /* a row that it needs is damaged; leat_apply_reason tells which */
} leat_apply_result_t;

/* `rows` is borrowed. */
leat_apply_t *leat_apply_new (leat_rows_t *rows);
void leat_apply_destroy (leat_apply_t **self_p);

/* Applies one operation. After anything but OK what was applied since the last leat_apply_finish must be
 * undone: the rows by their transaction, the rest by leat_apply_forget. */
leat_apply_result_t leat_apply (leat_apply_t *self, const leat_operation_t *operation);

/* To be called before the rows' transaction ends: puts what was gathered, such as extents. */
leat_apply_result_t leat_apply_finish (leat_apply_t *self);

/* The transaction has ended well, or it was undone. */
void leat_apply_committed (leat_apply_t *self);
void leat_apply_forget (leat_apply_t *self);

/* A sentence; valid until the next call. */
const char *leat_apply_reason (const leat_apply_t *self);

#endif

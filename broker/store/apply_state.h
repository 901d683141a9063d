/* What the files that apply commits share. Private to apply.c and apply_groups.c.
 * SPDX-License-Identifier: MPL-2.0 */
#ifndef LEAT_BROKER_STORE_APPLY_STATE_H
#define LEAT_BROKER_STORE_APPLY_STATE_H

#include "broker/store/apply.h"

#include <bsd/sys/queue.h>
#include <bsd/sys/tree.h>

/* A stream whose extent is in memory. Its row is put once per transaction. */
typedef struct stream {
    RB_ENTRY (stream) by_id;
    TAILQ_ENTRY (stream) in_dirty;
    uint32_t id;
    leat_stream_row_t row;
    leat_extent_t extent;
    uint64_t first_put; /* extent.first as it is in the row */
    bool first_loose;   /* extent.first is a lower bound: the batch there may be gone */
    bool dirty;
} stream_t;

RB_HEAD (apply_streams, stream);
RB_PROTOTYPE (apply_streams, stream, by_id, apply_stream_compare)
TAILQ_HEAD (apply_dirty_streams, stream);

struct leat_apply {
    leat_rows_t *rows;
    struct apply_streams streams;
    struct apply_dirty_streams dirty; /* changed in this transaction */
    char reason[256];
};

/* Writes a sentence, and returns LEAT_APPLY_REFUSED. */
leat_apply_result_t apply_refuse (leat_apply_t *self, const char *format, ...)
    __attribute__ ((format (printf, 2, 3)));

/* What to return for what rows said; `what` and its number are named if the row is damaged. NONE is for
 * the caller to handle. */
leat_apply_result_t apply_result (leat_apply_t *self, leat_rows_result_t result, const char *what,
                                  uint64_t number);

/* Finds a stream; *stream_p is NULL if there is none. The other one refuses then. */
leat_apply_result_t apply_stream (leat_apply_t *self, uint32_t id, stream_t **stream_p);
leat_apply_result_t apply_stream_known (leat_apply_t *self, uint8_t operation, uint32_t id,
                                        stream_t **stream_p);

/* No offset below `first` will be given (again). */
void apply_reach (leat_apply_t *self, stream_t *stream, uint64_t first);

/* A number for a new stream or group. */
leat_apply_result_t apply_new_place (leat_apply_t *self, uint32_t *place);

/* Everything that begins with `letter` and `place`. */
leat_rows_result_t apply_discard_place (leat_apply_t *self, char letter, uint32_t place);

/* A row that may have been removed before. */
leat_rows_result_t apply_remove (leat_apply_t *self, const leat_key_t *key);

/* All groups of a stream: nothing below `first` is theirs any more. And without all of them. */
leat_apply_result_t apply_raise_all (leat_apply_t *self, uint32_t stream, uint64_t first);
leat_apply_result_t apply_groups_deleted (leat_apply_t *self, uint32_t stream);

/* Operations of groups. */
leat_apply_result_t apply_group (leat_apply_t *self, const leat_operation_t *operation);

#endif

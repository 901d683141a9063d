/* Notes what a store does to the rows of its database, and plays that to LMDB alone.
 * SPDX-License-Identifier: MPL-2.0 */
#ifndef LEAT_BENCH_ROW_LOG_H
#define LEAT_BENCH_ROW_LOG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "broker/store/store.h"

/*      broker's process                       memory that is shared            a process of its own
 *
 *      writer: begin, put ..., end  ------->  key and size of each row  -----> the same calls, on a
 *                                             that was put or removed          new environment
 *
 * A transaction is noted when it has been committed, with the times of its begin and its end; what was
 * given up is not. */
typedef struct leat_bench_row_log leat_bench_row_log_t;

/* NULL with errno. Zeroed memory for some hundred thousand transactions. */
leat_bench_row_log_t *leat_bench_row_log_new (void);
void leat_bench_row_log_destroy (leat_bench_row_log_t **self_p);

/* For the options of a store; it borrows the log. */
leat_store_observer_t leat_bench_row_log_observer (leat_bench_row_log_t *self);

typedef struct {
    uint64_t transactions;
    uint64_t rows;       /* put or removed */
    uint64_t size;       /* bytes of keys and values put */
    uint64_t elapsed_ns; /* of the calls between mdb_txn_begin and mdb_txn_commit, and these */
} leat_bench_replay_t;

/* Plays the transactions that began before `until_ns` into a new store directory, an environment with the
 * flags and sizes of the store's. Measured are those that ended at `from_ns` or later, as the store keeps one
 * open while commits are small; what was before (the stream and the group were made) is only done. Each value
 * is written in full, with any bytes. False with a sentence in `error`. */
bool leat_bench_row_log_replay (const leat_bench_row_log_t *self, const char *directory,
                                uint64_t from_ns, uint64_t until_ns, leat_bench_replay_t *replay,
                                char *error, size_t error_size);

#endif

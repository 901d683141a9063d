/* The rows of an LMDB environment, within one transaction.
 * SPDX-License-Identifier: MPL-2.0 */
#ifndef LEAT_BROKER_STORE_LMDB_ROWS_H
#define LEAT_BROKER_STORE_LMDB_ROWS_H

#include <lmdb.h>

#include "broker/store/lmdb_files.h"
#include "broker/store/rows.h"

typedef struct {
    leat_rows_t base; /* first */
    MDB_dbi dbi;
    MDB_txn *txn;
    MDB_cursor *cursor;
    const leat_store_observer_t *observer; /* NULL: none, or the transaction does not write */
    int code;                              /* of LMDB, behind the last FULL or FAILED */
} leat_lmdb_rows_t;

/* Begins a transaction that writes, or reads. 0, or a code of LMDB's. */
int leat_lmdb_rows_begin (leat_lmdb_rows_t *self, const leat_lmdb_files_t *files, bool writes);

/* Ends it. commit gives 0 once everything is synced, or a code; the transaction is gone then too. */
int leat_lmdb_rows_commit (leat_lmdb_rows_t *self);
void leat_lmdb_rows_abort (leat_lmdb_rows_t *self);

/* True if the code means that there is no space: in the map, in a transaction or on the disk. */
bool leat_lmdb_is_full (int code);

/* Removes discarded rows, `rows_max` of them or of `bytes_max` bytes. *more tells whether some are
 * left. */
leat_rows_result_t leat_lmdb_rows_sweep (leat_lmdb_rows_t *self, unsigned rows_max,
                                         uint64_t bytes_max, bool *more);

/* The last row with `from` <= key <= `to`. */
leat_rows_result_t leat_lmdb_rows_last (leat_lmdb_rows_t *self, const leat_key_t *from,
                                        const leat_key_t *to, leat_key_t *key,
                                        const uint8_t **value, size_t *size);

/* Bytes of all pages that rows and the list of free pages take. */
uint64_t leat_lmdb_rows_used (const leat_lmdb_rows_t *self);

#endif

/* Brings what is in the journal into LMDB. Private to broker/store/lmdb*.c.
 * SPDX-License-Identifier: MPL-2.0 */
#ifndef LEAT_BROKER_STORE_LMDB_REPLAY_H
#define LEAT_BROKER_STORE_LMDB_REPLAY_H

#include "broker/store/lmdb_files.h"
#include "broker/store/lmdb_rows.h"

/* The journal has frames for the transaction that LMDB would commit next, *transaction: 1, or 0; -1 with a
 * sentence. */
int leat_lmdb_replay_due (leat_lmdb_files_t *files, uint64_t *transaction, char *error,
                          size_t error_size);

/* Applies them within a transaction that writes and has not changed anything yet. 0, or -1 with a sentence;
 * the transaction is the caller's to end. */
int leat_lmdb_replay_apply (leat_lmdb_files_t *files, leat_lmdb_rows_t *rows, char *error,
                            size_t error_size);

/* Applies and commits them, if there are any; from then on the journal is empty. 0, or -1 with a sentence:
 * what is in the journal is still there then. */
int leat_lmdb_replay (leat_lmdb_files_t *files, char *error, size_t error_size);

#endif

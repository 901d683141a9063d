/* The way back from rows to commits: what recovery tells the core.
 * SPDX-License-Identifier: MPL-2.0 */
#ifndef LEAT_BROKER_STORE_RECITE_H
#define LEAT_BROKER_STORE_RECITE_H

#include "broker/store/rows.h"
#include "broker/store/store.h"

/* Calls fn for commits, with ids from 1, that lead to the state that the rows hold: for each stream
 * STREAM_CREATED, EXTENT and its SEQUENCEs; then, for each of its groups, GROUP_CREATED, FLOOR, CHUNKs
 * and marks. No row of a batch is looked at, so the time depends on streams, groups and what is
 * unsettled out of order. 0, or -1 with a sentence: which row is damaged, or that fn said no. */
int leat_recite (leat_rows_t *rows, leat_store_recover_fn *fn, void *arg, char *error,
                 size_t error_size);

#endif

/* Rows in memory, as a model of a store's.
 * SPDX-License-Identifier: MPL-2.0 */
#ifndef LEAT_TESTS_STORE_MEMORY_ROWS_H
#define LEAT_TESTS_STORE_MEMORY_ROWS_H

#include "broker/store/rows.h"

typedef struct memory_rows memory_rows_t;

memory_rows_t *memory_rows_new (void);
void memory_rows_destroy (memory_rows_t **self_p);

/* What changes are made through; they cannot be undone. */
leat_rows_t *memory_rows_base (memory_rows_t *self);

#endif

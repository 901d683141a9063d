/* Rows and columns of text that fit a terminal.
 * SPDX-License-Identifier: MPL-2.0 */
#ifndef LEAT_MONITOR_TABLE_H
#define LEAT_MONITOR_TABLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

typedef struct leat_table leat_table_t;

/* A table whose columns have these heads ("-NAME" is aligned left, "READY" right). */
leat_table_t *leat_table_new (const char *const *heads, size_t columns);
void leat_table_destroy (leat_table_t **self_p);

/* The next cell, left to right and row by row; copied. Bytes that a terminal would obey are shown as
 * '?'. */
void leat_table_add (leat_table_t *self, const char *text);

/* Rows that are complete. */
size_t leat_table_rows (const leat_table_t *self);

/* Prints heads and rows. If they are wider than `width` (0: any width will do), the widest of the columns
 * that are aligned left get narrower, down to 8; what does not fit ends with '~'. With `bold`, the
 * heads are bold. */
void leat_table_print (const leat_table_t *self, FILE *file, unsigned width, bool bold);

#endif

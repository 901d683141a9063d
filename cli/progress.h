/* One line on a terminal that tells how far a producer is; nothing when stderr is no terminal.
 * SPDX-License-Identifier: MPL-2.0 */
#ifndef LEAT_CLI_PROGRESS_H
#define LEAT_CLI_PROGRESS_H

#include <stdatomic.h>
#include <stdint.h>

/* What is shown. Written by whoever counts, read by the thread that draws. */
typedef struct {
    _Atomic uint64_t records;   /* taken from the input */
    _Atomic uint64_t confirmed; /* of these */
    _Atomic uint64_t bytes;     /* of the input that were read */
} leat_progress_counts_t;

typedef struct leat_progress leat_progress_t;

/* Draws `counts`, which must live longer, five times a second from a thread of its own. bytes_total is
 * the size of all input, 0 if it is not known. NULL if stderr is not a terminal that can draw it: then there is
 * nothing to do, and leat_progress_destroy takes that NULL. */
leat_progress_t *leat_progress_new (const leat_progress_counts_t *counts, uint64_t bytes_total);

/* Wipes the line off the terminal. */
void leat_progress_destroy (leat_progress_t **self_p);

/* The line alone, for `columns` columns: puts it into `line` (`size` bytes, zero-terminated). */
void leat_progress_line (char *line, size_t size, uint64_t records, uint64_t confirmed,
                         uint64_t bytes, uint64_t bytes_total, double rate, unsigned columns);

#endif

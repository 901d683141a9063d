/* Reads a file, pipe or terminal in big blocks and cuts it at a delimiter.
 * SPDX-License-Identifier: MPL-2.0 */
#ifndef LEAT_CLI_LINES_H
#define LEAT_CLI_LINES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "wire/protocol.h"

typedef struct leat_lines leat_lines_t;

typedef enum {
    LEAT_LINES_LINE,     /* there is a line */
    LEAT_LINES_PENDING,  /* the next read could block; call leat_lines_wait */
    LEAT_LINES_END,      /* nothing is left */
    LEAT_LINES_TOO_LONG, /* the next line is longer than size_max */
    LEAT_LINES_ERROR     /* errno says why */
} leat_lines_result_t;

/* Reads from `fd`, which stays the caller's. `delimiter` (1 byte or more) is copied; with an empty one
 * the whole file is one line. Lines of more than `size_max` bytes are not kept. */
leat_lines_t *leat_lines_new (int fd, leat_text_t delimiter, size_t size_max);
void leat_lines_destroy (leat_lines_t **self_p);

/* The next line without its delimiter. The view holds until the next call. What stands behind the last
 * delimiter is a line too, unless it is empty. */
leat_lines_result_t leat_lines_next (leat_lines_t *self, leat_text_t *line);

/* After PENDING: waits until there is something to read, `stop_fd` (may be -1) is readable, or the time
 * is over. True if it was the first. */
bool leat_lines_wait (leat_lines_t *self, int stop_fd, int timeout_ms);

/* Lines given out, and bytes read so far. */
uint64_t leat_lines_count (const leat_lines_t *self);
uint64_t leat_lines_bytes (const leat_lines_t *self);

#endif

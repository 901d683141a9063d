/* How `leat consume` writes a record: --format.
 * SPDX-License-Identifier: MPL-2.0 */
#ifndef LEAT_CONSUMERS_RECORD_FORMAT_H
#define LEAT_CONSUMERS_RECORD_FORMAT_H

#include "leat_consumer.h"
#include "wire/protocol.h"

/* What stands behind % in a format. X (letter, what is written). */
#define LEAT_FORMAT_LETTERS(X)                                                                     \
    X ('b', "body")                                                                                \
    X ('k', "key; nothing if there is none")                                                       \
    X ('h', "headers, as name=value with commas between")                                          \
    X ('o', "offset in the stream")                                                                \
    X ('a', "attempt, 1 for the first")                                                            \
    X ('r', "1 if it may have been started before, else 0")                                        \
    X ('e', "epoch of the lease, a number that only grows")                                        \
    X ('t', "time when it was produced, milliseconds since 1970-01-01 UTC")                        \
    X ('s', "stream")                                                                              \
    X ('g', "group")                                                                               \
    X ('S', "size of the body in bytes")                                                           \
    X ('%', "a percent sign")

typedef struct leat_record_format leat_record_format_t;

/* Texts are copied; `format` may have the escapes of leat_text_unescape. `delimiter` is written after
 * each record. NULL with a sentence (static text) in `*why`. */
leat_record_format_t *leat_record_format_new (const char *format, leat_text_t delimiter,
                                              const char *stream, const char *group,
                                              const char **why);
void leat_record_format_destroy (leat_record_format_t **self_p);

/* Bytes that the record takes when written; an upper bound. */
size_t leat_record_format_size (const leat_record_format_t *self,
                                const leat_delivered_t *delivered);

/* Writes the record to `bytes`, which has room for leat_record_format_size. Returns the bytes
 * written. */
size_t leat_record_format_write (const leat_record_format_t *self,
                                 const leat_delivered_t *delivered, char *bytes);

#endif

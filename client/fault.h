/* What went wrong last, in words: a code and a sentence that is safe to print.
 * SPDX-License-Identifier: MPL-2.0 */
#ifndef LEAT_CLIENT_FAULT_H
#define LEAT_CLIENT_FAULT_H

#include "wire/protocol.h"

enum {
    LEAT_FAULT_SIZE = 640, /* bytes of a sentence, the closing zero included */
    LEAT_QUOTE_MAX = 160   /* bytes of a broker's text that are shown */
};

/* Begins as all zero bytes: no fault. */
typedef struct {
    leat_code_t code;
    char text[LEAT_FAULT_SIZE];
} leat_fault_t;

typedef struct {
    char text[LEAT_QUOTE_MAX + 4];
} leat_quote_t;

/* Remembers a fault in place of the former one; a sentence that is too long is cut. */
__attribute__ ((format (printf, 3, 4))) void leat_fault_set (leat_fault_t *self, leat_code_t code,
                                                             const char *format, ...);

/* As leat_fault_set for a refusal by the broker: "the broker refused WHAT: CODE, its reason; what
 * the code asks for". `what` is ours, `reason` the broker's. */
void leat_fault_refused (leat_fault_t *self, unsigned code, const char *what, leat_text_t reason);

/* The reason that a broker gave for `code`; empty if that only repeats what the code means, as the reason
 * of one that has nothing to add does. */
leat_text_t leat_fault_reason (unsigned code, leat_text_t reason);

/* A text that came from a peer, made fit for a terminal and a log: at most LEAT_QUOTE_MAX bytes,
 * each that is not printable ASCII shown as '?', "..." where it was cut. Returns quote->text. */
const char *leat_quote (leat_quote_t *quote, leat_text_t text);

#endif

/* What went wrong last, in words.
 * SPDX-License-Identifier: MPL-2.0 */
#include "client/fault.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

void leat_fault_set (leat_fault_t *self, leat_code_t code, const char *format, ...)
{
    va_list arguments;
    va_start (arguments, format);
    self->code = code;
    vsnprintf (self->text, sizeof self->text, format, arguments);
    va_end (arguments);
}

leat_text_t leat_fault_reason (unsigned code, leat_text_t reason)
{
    if (leat_text_equal (reason, leat_text (leat_code_text (code))))
        reason.size = 0;
    return reason;
}

void leat_fault_refused (leat_fault_t *self, unsigned code, const char *what, leat_text_t reason)
{
    leat_quote_t quote;
    reason = leat_fault_reason (code, reason);
    /* A refusal with code OK says nothing; the peer breaks the protocol. */
    leat_code_t shown = code == LEAT_OK ? LEAT_MALFORMED : (leat_code_t) code;
    leat_fault_set (self, shown, "the broker refused %s: %s (%u)%s%s; %s", what,
                    leat_code_name (code), code, reason.size > 0 ? ", " : "",
                    leat_quote (&quote, reason), leat_code_text (code));
}

const char *leat_quote (leat_quote_t *quote, leat_text_t text)
{
    size_t shown = text.size < LEAT_QUOTE_MAX ? text.size : LEAT_QUOTE_MAX;
    for (size_t index = 0; index < shown; index++) {
        char byte = text.data[index];
        quote->text[index] = '?';
        if (byte >= 0x20 && byte < 0x7f)
            quote->text[index] = byte;
    }
    memcpy (quote->text + shown, "...", 4);
    if (shown == text.size)
        quote->text[shown] = '\0';
    return quote->text;
}

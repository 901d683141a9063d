/* How `leat consume` writes a record.
 * SPDX-License-Identifier: MPL-2.0 */

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/text.h"
#include "consumers/record_format.h"
#include "wire/alloc.h"
#include "wire/assert.h"

enum { NUMBER_SIZE = 20 }; /* digits of the largest 64-bit number */

/* A format is pieces: fixed bytes (letter 0), or what a letter stands for. */
typedef struct {
    char letter;
    char *text; /* borrowed from `fixed`, or stream or group */
    size_t size;
} piece_t;

struct leat_record_format {
    char *fixed; /* the format without escapes */
    char *stream;
    char *group;
    char *delimiter;
    size_t delimiter_size;
    piece_t *pieces;
    size_t count;
};

static void s_add (leat_record_format_t *self, char letter, char *text, size_t size)
{
    if (!letter && !size)
        return;
    self->pieces[self->count++] = (piece_t){ .letter = letter, .text = text, .size = size };
}

static bool s_known (char letter)
{
#define X(known, text)                                                                             \
    if (letter == (known))                                                                         \
        return true;
    LEAT_FORMAT_LETTERS (X)
#undef X
    return false;
}

/* Cuts `fixed` into pieces; false if an unknown letter follows a percent sign. */
static bool s_cut (leat_record_format_t *self, size_t size)
{
    /* Every piece takes a byte of the format at least. */
    self->pieces = leat_alloc ((size + 1) * sizeof *self->pieces);
    char *begin = self->fixed;
    char *end = self->fixed + size;
    char *percent;
    while ((percent = memchr (begin, '%', (size_t) (end - begin)))) {
        char letter = percent[1]; /* 0 at the end */
        if (!letter || !s_known (letter))
            return false;
        s_add (self, 0, begin, (size_t) (percent - begin));
        if (letter == '%')
            s_add (self, 0, percent, 1);
        else if (letter == 's')
            s_add (self, 0, self->stream, strlen (self->stream));
        else if (letter == 'g')
            s_add (self, 0, self->group, strlen (self->group));
        else
            s_add (self, letter, NULL, 0);
        begin = percent + 2;
    }
    s_add (self, 0, begin, (size_t) (end - begin));
    return true;
}

leat_record_format_t *leat_record_format_new (const char *format, leat_text_t delimiter,
                                              const char *stream, const char *group,
                                              const char **why)
{
    size_t size;
    char *fixed = leat_text_unescape (format, &size, why);
    if (!fixed)
        return NULL;
    leat_record_format_t *self = leat_alloc (sizeof *self);
    self->fixed = fixed;
    self->stream = leat_copy_text (stream, strlen (stream));
    self->group = leat_copy_text (group, strlen (group));
    self->delimiter = leat_copy_text (delimiter.data, delimiter.size);
    self->delimiter_size = delimiter.size;
    if (!s_cut (self, size)) {
        *why = "after a percent sign stands one of b k h o a r e t s g S %";
        leat_record_format_destroy (&self);
        return NULL;
    }
    return self;
}

void leat_record_format_destroy (leat_record_format_t **self_p)
{
    leat_record_format_t *self = *self_p;
    if (!self)
        return;
    free (self->fixed);
    free (self->stream);
    free (self->group);
    free (self->delimiter);
    free (self->pieces);
    free (self);
    *self_p = NULL;
}

size_t leat_record_format_size (const leat_record_format_t *self, const leat_delivered_t *delivered)
{
    const leat_record_t *record = &delivered->record;
    size_t size = self->delimiter_size;
    for (size_t i = 0; i < self->count; i++) {
        switch (self->pieces[i].letter) {
        case 0:
            size += self->pieces[i].size;
            break;
        case 'b':
            size += record->body_size;
            break;
        case 'k':
            size += record->key_size;
            break;
        case 'h':
            /* Two sizes of at least 3 bytes are encoded before a name and a value: more than the
             * two characters that are written between them. */
            size += record->headers_size;
            break;
        default:
            size += NUMBER_SIZE;
            break;
        }
    }
    return size;
}

static char *s_put (char *at, const void *bytes, size_t size)
{
    if (size)
        memcpy (at, bytes, size);
    return at + size;
}

static char *s_put_number (char *at, uint64_t number)
{
    char digits[NUMBER_SIZE];
    size_t first = sizeof digits;
    do
        digits[--first] = (char) ('0' + number % 10);
    while (number /= 10);
    return s_put (at, digits + first, sizeof digits - first);
}

static char *s_put_headers (char *at, const leat_record_t *record)
{
    size_t position = 0;
    leat_header_t header;
    for (bool first = true; leat_headers_next (record, &position, &header); first = false) {
        if (!first)
            *at++ = ',';
        at = s_put (at, header.name, header.name_size);
        *at++ = '=';
        at = s_put (at, header.value, header.value_size);
    }
    return at;
}

static char *s_put_piece (char *at, const piece_t *piece, const leat_delivered_t *delivered)
{
    const leat_record_t *record = &delivered->record;
    switch (piece->letter) {
    case 0:
        return s_put (at, piece->text, piece->size);
    case 'b':
        return s_put (at, record->body, record->body_size);
    case 'k':
        return s_put (at, record->key, record->key_size);
    case 'h':
        return s_put_headers (at, record);
    case 'o':
        return s_put_number (at, delivered->offset);
    case 'a':
        return s_put_number (at, delivered->attempt);
    case 'r':
        return s_put_number (at, delivered->redelivered);
    case 'e':
        return s_put_number (at, delivered->epoch);
    case 't':
        return s_put_number (at, delivered->time_ms);
    case 'S':
        return s_put_number (at, record->body_size);
    default:
        leat_assert (false);
        return at;
    }
}

size_t leat_record_format_write (const leat_record_format_t *self,
                                 const leat_delivered_t *delivered, char *bytes)
{
    char *at = bytes;
    for (size_t i = 0; i < self->count; i++)
        at = s_put_piece (at, &self->pieces[i], delivered);
    at = s_put (at, self->delimiter, self->delimiter_size);
    return (size_t) (at - bytes);
}

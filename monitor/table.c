/* Rows and columns of text that fit a terminal.
 * SPDX-License-Identifier: MPL-2.0 */

#include <stdlib.h>
#include <string.h>

#include "monitor/table.h"
#include "wire/alloc.h"
#include "wire/assert.h"

struct leat_table {
    const char *const *heads;
    size_t columns;
    char **cells; /* row by row */
    size_t count;
    size_t room; /* cells that fit into `cells` */
};

enum { NARROWEST = 8, GAP = 2 };

leat_table_t *leat_table_new (const char *const *heads, size_t columns)
{
    leat_table_t *self = leat_alloc (sizeof *self);
    self->heads = heads;
    self->columns = columns;
    return self;
}

void leat_table_destroy (leat_table_t **self_p)
{
    leat_table_t *self = *self_p;
    if (!self)
        return;
    for (size_t i = 0; i < self->count; i++)
        free (self->cells[i]);
    free (self->cells);
    free (self);
    *self_p = NULL;
}

void leat_table_add (leat_table_t *self, const char *text)
{
    if (self->count == self->room) {
        self->room = self->room ? 2 * self->room : 64;
        self->cells = leat_realloc (self->cells, self->room * sizeof *self->cells);
    }
    char *cell = leat_copy_text (text, strlen (text));
    for (char *at = cell; *at; at++)
        if ((unsigned char) *at < ' ' || (unsigned char) *at >= 0x7f)
            *at = '?';
    self->cells[self->count++] = cell;
}

size_t leat_table_rows (const leat_table_t *self)
{
    return self->count / self->columns;
}

static bool s_left (const leat_table_t *self, size_t column)
{
    return self->heads[column][0] == '-';
}

static const char *s_head (const leat_table_t *self, size_t column)
{
    return self->heads[column] + s_left (self, column);
}

static size_t s_sum (const size_t *widths, size_t count)
{
    size_t sum = (count - 1) * GAP;
    for (size_t i = 0; i < count; i++)
        sum += widths[i];
    return sum;
}

static size_t *s_widths (const leat_table_t *self, unsigned width)
{
    size_t *widths = leat_alloc (self->columns * sizeof *widths);
    for (size_t i = 0; i < self->columns; i++)
        widths[i] = strlen (s_head (self, i));
    for (size_t i = 0; i < self->count; i++)
        if (strlen (self->cells[i]) > widths[i % self->columns])
            widths[i % self->columns] = strlen (self->cells[i]);
    while (width && s_sum (widths, self->columns) > width) {
        size_t widest = self->columns;
        for (size_t i = 0; i < self->columns; i++)
            if (s_left (self, i) && widths[i] > NARROWEST
                && (widest == self->columns || widths[i] > widths[widest]))
                widest = i;
        if (widest == self->columns)
            break;
        widths[widest]--;
    }
    return widths;
}

static void s_print_cell (const leat_table_t *self, FILE *file, size_t column, const char *text,
                          size_t width)
{
    bool last = column + 1 == self->columns;
    int size = (int) width;
    if (!s_left (self, column))
        fprintf (file, "%*s", size, text);
    else if (strlen (text) > width)
        fprintf (file, "%.*s~", size - 1, text);
    else
        fprintf (file, "%-*s", last ? 0 : size, text);
    fputs (last ? "\n" : "  ", file);
}

void leat_table_print (const leat_table_t *self, FILE *file, unsigned width, bool bold)
{
    leat_assert (self->count % self->columns == 0);
    size_t *widths = s_widths (self, width);
    if (bold)
        fputs ("\033[1m", file);
    for (size_t i = 0; i < self->columns; i++)
        s_print_cell (self, file, i, s_head (self, i), widths[i]);
    if (bold)
        fputs ("\033[0m", file);
    for (size_t i = 0; i < self->count; i++)
        s_print_cell (self, file, i % self->columns, self->cells[i], widths[i % self->columns]);
    free (widths);
}

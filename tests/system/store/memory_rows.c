/* Rows in memory, in a tree.
 * SPDX-License-Identifier: MPL-2.0 */
#include "tests/system/store/memory_rows.h"

#include <bsd/sys/tree.h>
#include <stdlib.h>
#include <string.h>

#include "wire/alloc.h"

typedef struct row {
    RB_ENTRY (row) by_key;
    leat_key_t key;
    uint8_t *value;
    size_t size;
} row_t;

RB_HEAD (memory_rows_tree, row);
RB_PROTOTYPE (memory_rows_tree, row, by_key, memory_rows_compare)

struct memory_rows {
    leat_rows_t base; /* first */
    struct memory_rows_tree rows;
};

static int s_compare (const leat_key_t *a, const leat_key_t *b)
{
    int order = memcmp (a->bytes, b->bytes, a->size < b->size ? a->size : b->size);
    return order ? order : (a->size > b->size) - (a->size < b->size);
}

static int memory_rows_compare (const row_t *a, const row_t *b)
{
    return s_compare (&a->key, &b->key);
}

RB_GENERATE (memory_rows_tree, row, by_key, memory_rows_compare)

static row_t *s_find (memory_rows_t *self, const leat_key_t *key)
{
    row_t like = { .key = *key };
    return RB_FIND (memory_rows_tree, &self->rows, &like);
}

static leat_rows_result_t s_get (leat_rows_t *rows, const leat_key_t *key, const uint8_t **value,
                                 size_t *size)
{
    const row_t *row = s_find ((memory_rows_t *) rows, key);
    if (!row)
        return LEAT_ROWS_NONE;
    *value = row->value;
    *size = row->size;
    return LEAT_ROWS_OK;
}

static leat_rows_result_t s_put (leat_rows_t *rows, const leat_key_t *key, uint8_t **value,
                                 size_t size)
{
    memory_rows_t *self = (memory_rows_t *) rows;
    row_t *row = s_find (self, key);
    if (!row) {
        row = leat_alloc (sizeof *row);
        row->key = *key;
        RB_INSERT (memory_rows_tree, &self->rows, row);
    }
    row->value = leat_realloc (row->value, size);
    row->size = size;
    *value = row->value;
    return LEAT_ROWS_OK;
}

static void s_drop (memory_rows_t *self, row_t *row)
{
    RB_REMOVE (memory_rows_tree, &self->rows, row);
    free (row->value);
    free (row);
}

static leat_rows_result_t s_remove (leat_rows_t *rows, const leat_key_t *key)
{
    row_t *row = s_find ((memory_rows_t *) rows, key);
    if (!row)
        return LEAT_ROWS_NONE;
    s_drop ((memory_rows_t *) rows, row);
    return LEAT_ROWS_OK;
}

static row_t *s_first (memory_rows_t *self, const leat_key_t *from, const leat_key_t *to)
{
    row_t like = { .key = *from };
    row_t *row = RB_NFIND (memory_rows_tree, &self->rows, &like);
    return row && s_compare (&row->key, to) < 0 ? row : NULL;
}

static leat_rows_result_t s_next (leat_rows_t *rows, const leat_key_t *from, const leat_key_t *to,
                                  leat_key_t *key, const uint8_t **value, size_t *size)
{
    const row_t *row = s_first ((memory_rows_t *) rows, from, to);
    if (!row)
        return LEAT_ROWS_NONE;
    *key = row->key;
    *value = row->value;
    *size = row->size;
    return LEAT_ROWS_OK;
}

static leat_rows_result_t s_discard (leat_rows_t *rows, const leat_key_t *from,
                                     const leat_key_t *to)
{
    memory_rows_t *self = (memory_rows_t *) rows;
    row_t *row;
    while ((row = s_first (self, from, to)))
        s_drop (self, row);
    return LEAT_ROWS_OK;
}

memory_rows_t *memory_rows_new (void)
{
    memory_rows_t *self = leat_alloc (sizeof *self);
    self->base = (leat_rows_t){ s_get, s_put, s_remove, s_next, s_discard };
    RB_INIT (&self->rows);
    return self;
}

void memory_rows_destroy (memory_rows_t **self_p)
{
    memory_rows_t *self = *self_p;
    *self_p = NULL;
    row_t *row;
    while ((row = RB_ROOT (&self->rows)))
        s_drop (self, row);
    free (self);
}

leat_rows_t *memory_rows_base (memory_rows_t *self)
{
    return &self->base;
}

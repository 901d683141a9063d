/* Allocation that never fails half-way.
 * SPDX-License-Identifier: MPL-2.0 */
#include "wire/alloc.h"

#include <stdlib.h>
#include <string.h>

#include "wire/assert.h"

void *leat_alloc (size_t size)
{
    /* malloc (0) may return NULL, which is no failure; one byte more keeps that out of the way. */
    void *memory = calloc (1, size ? size : 1);
    leat_assert (memory);
    return memory;
}

void *leat_alloc_raw (size_t size)
{
    void *memory = malloc (size ? size : 1);
    leat_assert (memory);
    return memory;
}

void *leat_realloc (void *memory, size_t size)
{
    void *moved = realloc (memory, size ? size : 1);
    leat_assert (moved);
    return moved;
}

char *leat_copy_text (const char *text, size_t size)
{
    char *copy = leat_alloc_raw (size + 1);
    if (size)
        memcpy (copy, text, size);
    copy[size] = '\0';
    return copy;
}

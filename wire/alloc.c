/* Allocation that never fails half-way.
 * SPDX-License-Identifier: MPL-2.0 */
#include "wire/alloc.h"

#include <stdlib.h>
#include <string.h>

#include "wire/assert.h"

void *leat_alloc_raw (size_t size)
{
    /* malloc (0) may return NULL, which is no failure; one byte more keeps that out of the way. */
    void *memory = malloc (size ? size : 1);
    leat_assert (memory);
    return memory;
}

/* The calloc of glibc takes nothing out of the thread's cache of small blocks (tcache), which free then finds
 * full: both go the long way. Large blocks are calloc's, which need not clear what comes from the kernel. */
enum { SMALL_SIZE = 1024 };

void *leat_alloc (size_t size)
{
    if (size <= SMALL_SIZE)
        return memset (leat_alloc_raw (size), 0, size);
    void *memory = calloc (1, size);
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

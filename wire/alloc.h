/* Memory that is either there or ends the program: no half-done state after a failed malloc.
 * SPDX-License-Identifier: MPL-2.0 */
#ifndef LEAT_WIRE_ALLOC_H
#define LEAT_WIRE_ALLOC_H

#include <stddef.h>

/* Leat bounds its memory by its own limits, so a refused allocation means that the machine is
 * beyond what it was configured for; Linux overcommits and would kill the process anyway. These
 * functions therefore never return NULL: they abort through leat_assert. Free with free(3). */

/* `size` bytes set to zero; size 0 is allowed. */
void *leat_alloc (size_t size);

/* `size` bytes, content undefined. */
void *leat_alloc_raw (size_t size);

/* As realloc(3); takes `memory` (may be NULL). */
void *leat_realloc (void *memory, size_t size);

/* A zero-terminated copy of `size` bytes. */
char *leat_copy_text (const char *text, size_t size);

#endif

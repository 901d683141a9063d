/* Reference-counted blocks of bytes.
 * SPDX-License-Identifier: MPL-2.0 */
#include "wire/buffer.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "wire/alloc.h"
#include "wire/assert.h"

#if defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define LEAT_THREAD_SANITIZER
#endif
#elif defined(__SANITIZE_THREAD__)
#define LEAT_THREAD_SANITIZER
#endif

#ifdef LEAT_THREAD_SANITIZER
#include <sanitizer/tsan_interface.h>
#endif

struct leat_buffer {
    atomic_uint references;
    size_t size;
    uint8_t *bytes;               /* behind this structure, or somebody else's */
    leat_buffer_free_fn *free_fn; /* NULL if the bytes are behind this structure */
    void *hint;
};

static leat_buffer_t *s_new (size_t bytes_behind)
{
    leat_buffer_t *self = leat_alloc_raw (sizeof *self + bytes_behind);
    atomic_init (&self->references, 1);
    self->size = bytes_behind;
    self->bytes = (uint8_t *) (self + 1);
    self->free_fn = NULL;
    self->hint = NULL;
    return self;
}

leat_buffer_t *leat_buffer_new (size_t size)
{
    leat_assert (size <= SIZE_MAX - sizeof (leat_buffer_t));
    return s_new (size);
}

leat_buffer_t *leat_buffer_copy (const void *bytes, size_t size)
{
    leat_buffer_t *self = leat_buffer_new (size);
    if (size)
        memcpy (self->bytes, bytes, size);
    return self;
}

leat_buffer_t *leat_buffer_wrap (void *bytes, size_t size, leat_buffer_free_fn *free_fn, void *hint)
{
    leat_assert (free_fn);
    leat_buffer_t *self = s_new (0);
    self->bytes = bytes;
    self->size = size;
    self->free_fn = free_fn;
    self->hint = hint;
    return self;
}

leat_buffer_t *leat_buffer_hold (leat_buffer_t *self)
{
    /* Whoever holds has a reference already, so nothing needs to be ordered. */
    unsigned before = atomic_fetch_add_explicit (&self->references, 1, memory_order_relaxed);
    leat_assert (before > 0 && before < UINT32_MAX);
    return self;
}

void leat_buffer_release (leat_buffer_t **self_p)
{
    leat_buffer_t *self = *self_p;
    if (!self)
        return;
    *self_p = NULL;
    /* What every other holder did with the bytes happens before they are freed. */
    unsigned before = atomic_fetch_sub_explicit (&self->references, 1, memory_order_acq_rel);
    leat_assert (before > 0);
    if (before > 1)
        return;
    if (self->free_fn)
        self->free_fn (self->hint);
    free (self);
}

void leat_buffer_lend (leat_buffer_t *self)
{
    leat_assert (atomic_load_explicit (&self->references, memory_order_relaxed) > 0);
#ifdef LEAT_THREAD_SANITIZER
    __tsan_release (self);
#endif
}

void leat_buffer_return (void *bytes, void *buffer)
{
    (void) bytes;
    leat_buffer_t *self = buffer;
#ifdef LEAT_THREAD_SANITIZER
    __tsan_acquire (self);
#endif
    leat_buffer_release (&self);
}

uint8_t *leat_buffer_bytes (leat_buffer_t *self)
{
    return self->bytes;
}

size_t leat_buffer_size (const leat_buffer_t *self)
{
    return self->size;
}

leat_slice_t leat_slice_whole (leat_buffer_t *buffer)
{
    return (leat_slice_t){ .buffer = buffer, .size = buffer ? buffer->size : 0 };
}

const uint8_t *leat_slice_bytes (leat_slice_t slice)
{
    if (!slice.buffer)
        return NULL;
    leat_assert (slice.offset <= slice.buffer->size);
    leat_assert (slice.size <= slice.buffer->size - slice.offset);
    return slice.size ? slice.buffer->bytes + slice.offset : NULL;
}

/* A block of bytes that several owners share by counting references; how batches travel unchanged.
 * SPDX-License-Identifier: MPL-2.0 */
#ifndef LEAT_WIRE_BUFFER_H
#define LEAT_WIRE_BUFFER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The count is atomic: a buffer may be held and released by different threads. The bytes are
 * written before a buffer is first shared and never afterwards. */
typedef struct leat_buffer leat_buffer_t;

/* Frees what a wrapped buffer's bytes live in; runs in whichever thread releases last. */
typedef void (leat_buffer_free_fn) (void *hint);

/* New buffer of `size` bytes, content undefined; the caller holds the one reference. */
leat_buffer_t *leat_buffer_new (size_t size);

/* New buffer with a copy of `bytes`. */
leat_buffer_t *leat_buffer_copy (const void *bytes, size_t size);

/* New buffer around memory that somebody else made (a ZeroMQ message, say): when the last
 * reference goes, free_fn (hint) is called. `bytes` must stay valid until then. */
leat_buffer_t *leat_buffer_wrap (void *bytes, size_t size, leat_buffer_free_fn *free_fn,
                                 void *hint);

/* Takes one more reference and returns `self`. */
leat_buffer_t *leat_buffer_hold (leat_buffer_t *self);

/* Gives one reference back and nulls the pointer; NULL is harmless. */
void leat_buffer_release (leat_buffer_t **self_p);

/* For a library that keeps bytes until a thread of its own is done with them, and says so by a function
 * (bytes, hint), as zmq_msg_init_data does: the caller's reference is lent with leat_buffer_lend, after
 * the caller's last look at what goes with it and before the library hears of the bytes;
 * leat_buffer_return is that function, the buffer its hint. Tells ThreadSanitizer what it cannot see in a
 * library that is not instrumented: that the one comes before the other. */
void leat_buffer_lend (leat_buffer_t *self);
void leat_buffer_return (void *bytes, void *buffer);

/* The bytes. Writable only while the caller's is the only reference. */
uint8_t *leat_buffer_bytes (leat_buffer_t *self);
size_t leat_buffer_size (const leat_buffer_t *self);

/* A part of a buffer. A slice that is stored holds a reference; one that is passed as an argument
 * borrows it. buffer NULL means no bytes. */
typedef struct {
    leat_buffer_t *buffer;
    size_t offset;
    size_t size;
} leat_slice_t;

/* All of a buffer, which may be NULL. */
leat_slice_t leat_slice_whole (leat_buffer_t *buffer);

/* First byte of a slice; NULL if it has none. */
const uint8_t *leat_slice_bytes (leat_slice_t slice);

#endif

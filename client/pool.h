/* Blocks of two sizes that are used again and again, so that their pages stay mapped and warm.
 * SPDX-License-Identifier: MPL-2.0 */
#ifndef LEAT_CLIENT_POOL_H
#define LEAT_CLIENT_POOL_H

#include "wire/buffer.h"

enum {
    LEAT_POOL_BLOCK_SIZE = 256 * 1024,
    LEAT_POOL_BLOCKS_MAX = 64, /* free ones that are kept */
    LEAT_POOL_LARGE_SIZE = 1024 * 1024,
    LEAT_POOL_LARGE_MAX = 8
};

/* Any thread. Blocks may outlive the owner of the pool: it goes with the last of them. */
typedef struct leat_pool leat_pool_t;

leat_pool_t *leat_pool_new (void);
void leat_pool_destroy (leat_pool_t **self_p);

/* A buffer of `size` bytes; the caller holds the one reference. It is a block of the pool's if it has the size of
 * one, and memory of its own otherwise. */
leat_buffer_t *leat_pool_take (leat_pool_t *self, size_t size);

#endif

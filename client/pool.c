/* Blocks of two sizes that are used again and again.
 * SPDX-License-Identifier: MPL-2.0 */
#include "client/pool.h"

#include <pthread.h>
#include <stdlib.h>

#include <bsd/sys/queue.h>

#include "wire/alloc.h"
#include "wire/assert.h"

typedef struct shelf shelf_t;

typedef struct block {
    SLIST_ENTRY (block) link;
    shelf_t *shelf;
    uint8_t bytes[];
} block_t;

/* Free blocks of one size. */
struct shelf {
    leat_pool_t *pool;
    size_t block_size;
    unsigned count_max;
    unsigned count;
    SLIST_HEAD (, block) blocks; /* last in, first out: the warmest comes first */
};

enum { SHELVES = 2 };

struct leat_pool {
    pthread_mutex_t mutex;
    shelf_t shelves[SHELVES];
    unsigned references; /* the owner's, and one for each block that is out */
};

leat_pool_t *leat_pool_new (void)
{
    leat_pool_t *self = leat_alloc (sizeof *self);
    pthread_mutex_init (&self->mutex, NULL);
    self->shelves[0] = (shelf_t){ self, LEAT_POOL_BLOCK_SIZE, LEAT_POOL_BLOCKS_MAX, 0, { NULL } };
    self->shelves[1] = (shelf_t){ self, LEAT_POOL_LARGE_SIZE, LEAT_POOL_LARGE_MAX, 0, { NULL } };
    self->references = 1;
    return self;
}

static block_t *s_pick (shelf_t *shelf)
{
    block_t *block = SLIST_FIRST (&shelf->blocks);
    if (block != NULL) {
        SLIST_REMOVE_HEAD (&shelf->blocks, link);
        shelf->count--;
    }
    return block;
}

/* The mutex is locked, and is unlocked here. */
static void s_release (leat_pool_t *self)
{
    leat_assert (self->references > 0);
    bool is_last = --self->references == 0;
    pthread_mutex_unlock (&self->mutex);
    if (!is_last)
        return;
    block_t *block;
    for (unsigned i = 0; i < SHELVES; i++)
        while ((block = s_pick (&self->shelves[i])) != NULL)
            free (block);
    pthread_mutex_destroy (&self->mutex);
    free (self);
}

void leat_pool_destroy (leat_pool_t **self_p)
{
    leat_pool_t *self = *self_p;
    if (self == NULL)
        return;
    *self_p = NULL;
    pthread_mutex_lock (&self->mutex);
    s_release (self);
}

static void s_return (void *hint)
{
    block_t *block = hint;
    shelf_t *shelf = block->shelf;
    leat_pool_t *pool = shelf->pool;
    pthread_mutex_lock (&pool->mutex);
    if (shelf->count < shelf->count_max) {
        SLIST_INSERT_HEAD (&shelf->blocks, block, link);
        shelf->count++;
        block = NULL;
    }
    s_release (pool);
    free (block);
}

leat_buffer_t *leat_pool_take (leat_pool_t *self, size_t size)
{
    shelf_t *shelf = NULL;
    for (unsigned i = 0; i < SHELVES; i++)
        if (self->shelves[i].block_size == size)
            shelf = &self->shelves[i];
    if (shelf == NULL)
        return leat_buffer_new (size);
    pthread_mutex_lock (&self->mutex);
    block_t *block = s_pick (shelf);
    self->references++;
    pthread_mutex_unlock (&self->mutex);
    if (block == NULL) {
        block = leat_alloc_raw (sizeof *block + size);
        block->shelf = shelf;
    }
    return leat_buffer_wrap (block->bytes, size, s_return, block);
}

/* Blocks of one size that are used again and again.
 * SPDX-License-Identifier: MPL-2.0 */
#include "client/pool.h"

#include <pthread.h>
#include <stdlib.h>

#include <bsd/sys/queue.h>

#include "wire/alloc.h"
#include "wire/assert.h"

typedef struct block {
    SLIST_ENTRY (block) link;
    leat_pool_t *pool;
    uint8_t bytes[LEAT_POOL_BLOCK_SIZE];
} block_t;

struct leat_pool {
    pthread_mutex_t mutex;
    SLIST_HEAD (, block) free; /* last in, first out: the warmest comes first */
    unsigned free_count;
    unsigned references; /* the owner's, and one for each block that is out */
};

leat_pool_t *leat_pool_new (void)
{
    leat_pool_t *self = leat_alloc (sizeof *self);
    pthread_mutex_init (&self->mutex, NULL);
    SLIST_INIT (&self->free);
    self->references = 1;
    return self;
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
    while ((block = SLIST_FIRST (&self->free)) != NULL) {
        SLIST_REMOVE_HEAD (&self->free, link);
        free (block);
    }
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
    leat_pool_t *pool = block->pool;
    pthread_mutex_lock (&pool->mutex);
    if (pool->free_count < LEAT_POOL_BLOCKS_MAX) {
        SLIST_INSERT_HEAD (&pool->free, block, link);
        pool->free_count++;
        block = NULL;
    }
    s_release (pool);
    free (block);
}

leat_buffer_t *leat_pool_take (leat_pool_t *self)
{
    pthread_mutex_lock (&self->mutex);
    block_t *block = SLIST_FIRST (&self->free);
    if (block != NULL) {
        SLIST_REMOVE_HEAD (&self->free, link);
        self->free_count--;
    }
    self->references++;
    pthread_mutex_unlock (&self->mutex);
    if (block == NULL) {
        block = leat_alloc_raw (sizeof *block);
        block->pool = self;
    }
    return leat_buffer_wrap (block->bytes, sizeof block->bytes, s_return, block);
}

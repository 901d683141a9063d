/* What all engines share: the order of calls is checked here, once.
 * SPDX-License-Identifier: MPL-2.0 */
#include "broker/store/store.h"

#include "wire/assert.h"

leat_store_t *leat_store_open (const leat_store_engine_t *engine,
                               const leat_store_options_t *options, char *error, size_t error_size)
{
    leat_store_t *self = engine->open (options, error, error_size);
    if (self)
        *self = (leat_store_t){ .engine = engine };
    return self;
}

void leat_store_close (leat_store_t **self_p)
{
    leat_store_t *self = *self_p;
    if (!self)
        return;
    *self_p = NULL;
    if (self->acquired)
        leat_store_release (self, 0);
    self->engine->close (self);
}

const leat_store_engine_t *leat_store_engine (const leat_store_t *self)
{
    return self->engine;
}

int leat_store_acquire (leat_store_t *self, uint64_t wall_ms, uint64_t *incarnation, char *error,
                        size_t error_size)
{
    self->acquired = false;
    self->recovered = false;
    self->last_commit = 0;
    if (self->engine->acquire (self, wall_ms, incarnation, error, error_size))
        return -1;
    leat_assert (*incarnation >= wall_ms);
    self->acquired = true;
    return 0;
}

int leat_store_recover (leat_store_t *self, leat_store_recover_fn *fn, void *arg, char *error,
                        size_t error_size)
{
    leat_assert (self->acquired && !self->recovered);
    if (self->engine->recover (self, fn, arg, error, error_size))
        return -1;
    self->recovered = true;
    return 0;
}

void leat_store_release (leat_store_t *self, uint64_t incarnation)
{
    leat_assert (self->acquired);
    self->acquired = false;
    self->recovered = false;
    self->engine->release (self, incarnation);
}

void leat_store_submit (leat_store_t *self, leat_commit_t **commit_p)
{
    leat_commit_t *commit = *commit_p;
    *commit_p = NULL;
    leat_assert (self->recovered);
    leat_assert (!self->last_commit || leat_commit_id (commit) == self->last_commit + 1);
    self->last_commit = leat_commit_id (commit);
    self->engine->submit (self, commit);
}

bool leat_store_read (leat_store_t *self, uint32_t stream, uint64_t offset, uint64_t size,
                      uint64_t token)
{
    leat_assert (self->recovered);
    if (!self->engine->reads)
        return false;
    self->engine->read (self, stream, offset, size, token);
    return true;
}

bool leat_store_look (leat_store_t *self, uint32_t stream, uint64_t offset, uint32_t count,
                      uint64_t token)
{
    leat_assert (self->recovered && count);
    if (!self->engine->reads)
        return false;
    self->engine->look (self, stream, offset, count, token);
    return true;
}

bool leat_store_poll (leat_store_t *self, leat_store_event_t *event)
{
    *event = (leat_store_event_t){ 0 };
    return self->engine->poll (self, event);
}

bool leat_store_sleep (leat_store_t *self)
{
    return self->engine->sleep (self);
}

int leat_store_fd (const leat_store_t *self)
{
    return self->engine->fd (self);
}

uint64_t leat_store_commit_size_max (const leat_store_t *self)
{
    return self->engine->commit_size_max (self);
}

void leat_store_space (const leat_store_t *self, leat_store_space_t *space)
{
    *space = (leat_store_space_t){ 0 };
    self->engine->space (self, space);
}

void leat_store_stats (const leat_store_t *self, leat_store_stats_t *stats)
{
    *stats = (leat_store_stats_t){ 0 };
    self->engine->stats (self, stats);
}

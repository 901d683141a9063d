/* The engine that keeps nothing: the core holds all records, and a commit is done when submitted.
 * SPDX-License-Identifier: MPL-2.0 */
#include "broker/store/store.h"

#include <bsd/sys/queue.h>
#include <stdlib.h>

#include "wire/alloc.h"

typedef struct ended {
    STAILQ_ENTRY (ended) next;
    leat_commit_t *commit;
    leat_commit_result_t result;
} ended_t;

typedef struct {
    leat_store_t base; /* first */
    uint64_t commit_size_max;
    uint64_t incarnation; /* the last that was given */
    bool chain_refused;
    uint32_t refused_chain;
    STAILQ_HEAD (, ended) ended; /* until they are polled */
    leat_store_stats_t stats;
} memory_t;

static leat_store_t *s_open (const leat_store_options_t *options, char *error, size_t error_size)
{
    (void) error;
    (void) error_size;
    memory_t *self = leat_alloc (sizeof *self);
    self->commit_size_max = options->commit_size_max ? options->commit_size_max : UINT64_MAX;
    STAILQ_INIT (&self->ended);
    return &self->base;
}

static bool s_take (memory_t *self, uint64_t *id, leat_commit_result_t *result)
{
    ended_t *ended = STAILQ_FIRST (&self->ended);
    if (!ended)
        return false;
    STAILQ_REMOVE_HEAD (&self->ended, next);
    *id = leat_commit_id (ended->commit);
    *result = ended->result;
    leat_commit_destroy (&ended->commit);
    free (ended);
    return true;
}

static void s_forget (memory_t *self)
{
    uint64_t id;
    leat_commit_result_t result;
    while (s_take (self, &id, &result))
        continue;
    self->chain_refused = false;
}

static void s_close (leat_store_t *store)
{
    s_forget ((memory_t *) store);
    free (store);
}

static int s_acquire (leat_store_t *store, uint64_t wall_ms, uint64_t *incarnation, char *error,
                      size_t error_size)
{
    (void) error;
    (void) error_size;
    memory_t *self = (memory_t *) store;
    s_forget (self);
    self->incarnation = wall_ms > self->incarnation ? wall_ms : self->incarnation + 1;
    *incarnation = self->incarnation;
    return 0;
}

static int s_recover (leat_store_t *store, leat_store_recover_fn *fn, void *arg, char *error,
                      size_t error_size)
{
    (void) store;
    (void) fn;
    (void) arg;
    (void) error;
    (void) error_size;
    return 0;
}

static void s_release (leat_store_t *store, uint64_t incarnation)
{
    memory_t *self = (memory_t *) store;
    s_forget (self);
    if (incarnation > self->incarnation)
        self->incarnation = incarnation;
}

static leat_commit_result_t s_decide (memory_t *self, const leat_commit_t *commit)
{
    uint32_t chain = leat_commit_chain (commit);
    if (self->chain_refused && chain == self->refused_chain)
        return LEAT_COMMIT_REFUSED;
    self->chain_refused = leat_commit_size (commit) > self->commit_size_max;
    self->refused_chain = chain;
    return self->chain_refused ? LEAT_COMMIT_REFUSED : LEAT_COMMIT_OK;
}

static void s_submit (leat_store_t *store, leat_commit_t *commit)
{
    memory_t *self = (memory_t *) store;
    ended_t *ended = leat_alloc (sizeof *ended);
    ended->commit = commit;
    ended->result = s_decide (self, commit);
    if (ended->result == LEAT_COMMIT_OK) {
        self->stats.commits++;
        self->stats.transactions++;
        self->stats.commit_bytes += leat_commit_size (commit);
    } else {
        self->stats.commits_refused++;
    }
    STAILQ_INSERT_TAIL (&self->ended, ended, next);
}

static bool s_poll (leat_store_t *store, leat_store_event_t *event)
{
    event->kind = LEAT_STORE_COMMITTED;
    if (!s_take ((memory_t *) store, &event->id, &event->result))
        return false;
    if (event->result == LEAT_COMMIT_REFUSED)
        event->reason = "the commit, or one before it in its chain, is larger than the store takes";
    return true;
}

static bool s_sleep (leat_store_t *store)
{
    return STAILQ_EMPTY (&((memory_t *) store)->ended);
}

static int s_fd (const leat_store_t *store)
{
    (void) store;
    return -1;
}

static uint64_t s_commit_size_max (const leat_store_t *store)
{
    return ((const memory_t *) store)->commit_size_max;
}

static void s_space (const leat_store_t *store, leat_store_space_t *space)
{
    (void) store;
    (void) space;
}

static void s_stats (const leat_store_t *store, leat_store_stats_t *stats)
{
    *stats = ((const memory_t *) store)->stats;
}

const leat_store_engine_t leat_store_memory = {
    .name = "memory",
    .open = s_open,
    .close = s_close,
    .acquire = s_acquire,
    .recover = s_recover,
    .release = s_release,
    .submit = s_submit,
    .poll = s_poll,
    .sleep = s_sleep,
    .fd = s_fd,
    .commit_size_max = s_commit_size_max,
    .space = s_space,
    .stats = s_stats,
};

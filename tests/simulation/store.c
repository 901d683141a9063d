/* Keeps encoded commits and decides what becomes of each.
 * SPDX-License-Identifier: MPL-2.0 */
#include "tests/simulation/store.h"
#include "tests/simulation/model.h"
#include "tests/simulation/trace.h"
#include "wire/alloc.h"

#include <stdlib.h>

sim_store_t *sim_store_new (void)
{
    sim_store_t *self = leat_alloc (sizeof *self);
    STAILQ_INIT (&self->pending);
    return self;
}

static sim_commit_t *s_take (sim_store_t *self)
{
    sim_commit_t *commit = STAILQ_FIRST (&self->pending);
    if (commit)
        STAILQ_REMOVE_HEAD (&self->pending, link);
    return commit;
}

static void s_commit_destroy (sim_commit_t *commit)
{
    leat_buffer_release (&commit->bytes);
    free (commit);
}

static void s_forget (sim_store_t *self)
{
    sim_commit_t *commit;
    while ((commit = s_take (self)) != NULL)
        s_commit_destroy (commit);
    for (size_t index = 0; index < self->log_count; index++)
        leat_buffer_release (&self->log[index]);
    self->log_count = 0;
    self->chain_refused = false;
}

void sim_store_destroy (sim_store_t **self_p)
{
    if (!*self_p)
        return;
    s_forget (*self_p);
    free ((*self_p)->log);
    free (*self_p);
    *self_p = NULL;
}

static void s_keep (sim_t *sim, leat_buffer_t *bytes)
{
    sim_store_t *self = sim->store;
    if (self->log_count == self->log_room) {
        self->log_room = self->log_room ? 2 * self->log_room : 64;
        self->log = leat_realloc (self->log, self->log_room * sizeof *self->log);
    }
    self->log[self->log_count++] = leat_buffer_hold (bytes);
    sim_model_committed (sim, bytes);
}

static leat_commit_result_t s_decide (sim_t *sim, sim_commit_t *commit, uint32_t chain)
{
    sim_store_t *self = sim->store;
    const sim_plan_t *plan = &sim->plan;
    if (self->chain_refused && self->refused_chain == chain) {
        SIM_COUNT (sim, commit_refused_chain);
        return LEAT_COMMIT_REFUSED;
    }
    self->chain_refused = false;
    if (sim->draining)
        return LEAT_COMMIT_OK;
    if (sim_chance (&sim->random, plan->store_refuse_percent)) {
        SIM_COUNT (sim, commit_refused);
        self->chain_refused = true;
        self->refused_chain = chain;
        return LEAT_COMMIT_REFUSED;
    }
    if (sim_below (&sim->random, 1000) < plan->store_unknown_permille) {
        if (sim_chance (&sim->random, 20))
            return LEAT_COMMIT_FENCED;
        commit->kept = sim_chance (&sim->random, 50);
        return LEAT_COMMIT_UNKNOWN;
    }
    return LEAT_COMMIT_OK;
}

void sim_store_submit (sim_t *sim, leat_commit_t *commit)
{
    sim_store_t *self = sim->store;
    sim_commit_t *pending = leat_alloc (sizeof *pending);
    pending->id = leat_commit_id (commit);
    pending->bytes = leat_commit_encode (commit);
    sim_model_submitted (sim, pending->bytes);
    pending->result = s_decide (sim, pending, leat_commit_chain (commit));
    uint64_t due = sim->now_us;
    if (sim->plan.store_latency_us && !sim_chance (&sim->random, 20))
        due += sim_below (&sim->random, sim->plan.store_latency_us);
    if (sim->plan.store_latency_us && !sim->draining && sim_chance (&sim->random, 2)) {
        SIM_COUNT (sim, commit_late);
        due += sim_below (&sim->random, 2000000);
    }
    pending->due_us = due > self->last_us ? due : self->last_us;
    self->last_us = pending->due_us;
    sim_trace (sim, "store", "commit %llu of chain %u, %u operations, %zu bytes",
               (unsigned long long) pending->id, leat_commit_chain (commit),
               leat_commit_operations (commit), leat_buffer_size (pending->bytes));
    sim_trace_commit (sim, pending->bytes);
    STAILQ_INSERT_TAIL (&self->pending, pending, link);
}

uint64_t sim_store_due (const sim_store_t *self)
{
    const sim_commit_t *commit = STAILQ_FIRST (&self->pending);
    return commit ? commit->due_us : SIM_NEVER;
}

bool sim_store_next (sim_t *sim, uint64_t *id, leat_commit_result_t *result)
{
    static const char *const names[] = { "OK", "REFUSED", "UNKNOWN", "FENCED" };
    if (sim_store_due (sim->store) > sim->now_us)
        return false;
    sim_commit_t *commit = s_take (sim->store);
    *id = commit->id;
    *result = commit->result;
    sim_trace (sim, "store", "commit %llu %s%s", (unsigned long long) commit->id,
               names[commit->result], commit->kept ? ", is there" : "");
    if (commit->result == LEAT_COMMIT_OK || commit->kept)
        s_keep (sim, commit->bytes);
    if (commit->result == LEAT_COMMIT_REFUSED)
        sim->store->refused_us = sim->now_us;
    if (commit->result == LEAT_COMMIT_UNKNOWN && commit->kept)
        SIM_COUNT (sim, commit_unknown_kept);
    if (commit->result == LEAT_COMMIT_UNKNOWN && !commit->kept)
        SIM_COUNT (sim, commit_unknown_lost);
    if (commit->result == LEAT_COMMIT_FENCED)
        SIM_COUNT (sim, commit_fenced);
    if ((commit->result == LEAT_COMMIT_UNKNOWN && !commit->kept)
        || commit->result == LEAT_COMMIT_FENCED) {
        sim_commit_t *later;
        STAILQ_FOREACH (later, &sim->store->pending, link) {
            later->result = LEAT_COMMIT_REFUSED;
        }
    }
    s_commit_destroy (commit);
    return true;
}

void sim_store_crash (sim_t *sim)
{
    sim_store_t *self = sim->store;
    sim_commit_t *commit;
    bool lost = false;
    while ((commit = s_take (self)) != NULL) {
        if (commit->result == LEAT_COMMIT_UNKNOWN || commit->result == LEAT_COMMIT_FENCED) {
            lost = lost || !commit->kept;
            commit->result = LEAT_COMMIT_OK;
        }
        lost = lost || sim_chance (&sim->random, 40);
        if (!lost && commit->result == LEAT_COMMIT_OK) {
            SIM_COUNT (sim, commit_crash_kept);
            s_keep (sim, commit->bytes);
        } else
            SIM_COUNT (sim, commit_crash_lost);
        s_commit_destroy (commit);
    }
    self->last_us = 0;
    self->chain_refused = false;
}

bool sim_store_appends (sim_t *sim, uint32_t stream)
{
    const sim_commit_t *commit;
    STAILQ_FOREACH (commit, &sim->store->pending, link) {
        leat_commit_reader_t reader;
        leat_operation_t operation;
        bool more = commit->result != LEAT_COMMIT_REFUSED
                    && leat_commit_read (&reader, commit->bytes) == LEAT_OK;
        while (more && reader.left > 0) {
            more = leat_commit_read_operation (&reader, &operation) == LEAT_OK;
            if (more && operation.id == LEAT_OPERATION_APPEND && operation.append.stream == stream)
                return true;
        }
    }
    return false;
}

void sim_store_empty (sim_t *sim)
{
    s_forget (sim->store);
    sim->store->last_us = 0;
    sim_model_forget (sim);
}

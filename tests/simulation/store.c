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
    STAILQ_INIT (&self->reads);
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

/* ---- batches that are there ------------------------------------------------------------------ */

/* The offset behind everything that the stream has had. */
static uint64_t s_end (const sim_store_t *self, uint32_t stream)
{
    return stream < self->end_count ? self->ends[stream] : 0;
}

static void s_reach (sim_store_t *self, uint32_t stream, uint64_t end)
{
    if (stream >= self->end_count) {
        self->ends = leat_realloc (self->ends, (stream + 1) * sizeof *self->ends);
        while (self->end_count <= stream)
            self->ends[self->end_count++] = 0;
    }
    self->ends[stream] = end;
}

static void s_keep_batch (sim_store_t *self, const leat_operation_append_t *append)
{
    if (self->kept_count == self->kept_room) {
        self->kept_room = self->kept_room ? 2 * self->kept_room : 64;
        self->kept = leat_realloc (self->kept, self->kept_room * sizeof *self->kept);
    }
    self->kept[self->kept_count++] = (sim_kept_t){
        .stream = append->stream,
        .header = { .first = append->first,
                    .count = append->count,
                    .attributes = append->attributes,
                    .crc32c = append->crc32c,
                    .time_ms = append->time_ms },
        .body = leat_buffer_copy (leat_slice_bytes (append->body), append->body.size),
    };
    s_reach (self, append->stream, append->first + append->count);
}

static void s_drop_batches (sim_store_t *self, uint32_t stream, uint64_t first, uint64_t count)
{
    size_t left = 0;
    for (size_t index = 0; index < self->kept_count; index++) {
        sim_kept_t *kept = &self->kept[index];
        if (kept->stream == stream && kept->header.first >= first
            && kept->header.first < first + count)
            leat_buffer_release (&kept->body);
        else
            self->kept[left++] = *kept;
    }
    self->kept_count = left;
}

static void s_apply (sim_store_t *self, leat_buffer_t *bytes)
{
    leat_commit_reader_t reader;
    leat_operation_t operation;
    bool more = leat_commit_read (&reader, bytes) == LEAT_OK;
    while (more && reader.left > 0) {
        more = leat_commit_read_operation (&reader, &operation) == LEAT_OK;
        if (more && operation.id == LEAT_OPERATION_APPEND)
            s_keep_batch (self, &operation.append);
        if (more && operation.id == LEAT_OPERATION_TRIM)
            s_drop_batches (self, operation.trim.stream, operation.trim.first,
                            operation.trim.count);
        if (more && operation.id == LEAT_OPERATION_EXPIRED)
            s_drop_batches (self, operation.expired.stream, 0, operation.expired.first);
    }
}

/* ---- reading back ---------------------------------------------------------------------------- */

void sim_store_read (sim_t *sim, const leat_core_read_t *read)
{
    sim_read_t *pending = leat_alloc (sizeof *pending);
    pending->read = *read;
    pending->due_us = sim->now_us;
    pending->end = s_end (sim->store, read->stream);
    if (sim->plan.store_latency_us)
        pending->due_us += sim_below (&sim->random, sim->plan.store_latency_us);
    const sim_read_t *last = STAILQ_LAST (&sim->store->reads, sim_read, link);
    if (last && last->due_us > pending->due_us)
        pending->due_us = last->due_us;
    sim_trace (sim, "store", "read %llu of stream %u at %llu", (unsigned long long) read->token,
               read->stream, (unsigned long long) read->offset);
    STAILQ_INSERT_TAIL (&sim->store->reads, pending, link);
}

/* The first batch of the stream that ends beyond the offset; NULL if there is none. */
static const sim_kept_t *s_from (const sim_store_t *self, uint32_t stream, uint64_t offset)
{
    const sim_kept_t *found = NULL;
    for (size_t index = 0; index < self->kept_count; index++) {
        const sim_kept_t *kept = &self->kept[index];
        if (kept->stream == stream && kept->header.first + kept->header.count > offset
            && (!found || kept->header.first < found->header.first))
            found = kept;
    }
    return found;
}

/* Headers alone; the same goes for them. */
static void s_answer_look (const sim_store_t *self, leat_core_t *core, const sim_read_t *pending)
{
    const leat_core_read_t *read = &pending->read;
    uint64_t offset = read->offset;
    for (uint32_t left = read->headers; left > 0; left--) {
        const sim_kept_t *kept = s_from (self, read->stream, offset);
        if (!kept || kept->header.first >= pending->end) {
            const leat_batch_t none = { .first = pending->end };
            leat_core_looked (core, read->token, LEAT_OK, &none, 0, true);
            return;
        }
        offset = kept->header.first + kept->header.count;
        leat_core_looked (core, read->token, LEAT_OK, &kept->header, leat_buffer_size (kept->body),
                          left == 1);
    }
}

/* What is committed after a read was asked for is not in its answer, however late that comes. */
static void s_answer (const sim_store_t *self, leat_core_t *core, const sim_read_t *pending)
{
    const leat_core_read_t *read = &pending->read;
    uint64_t offset = read->offset;
    uint64_t size = 0;
    for (bool last = false; !last;) {
        const sim_kept_t *kept = s_from (self, read->stream, offset);
        if (!kept || kept->header.first >= pending->end) {
            const leat_batch_t none = { .first = pending->end };
            leat_core_read_done (core, read->token, LEAT_OK, &none, NULL, true);
            return;
        }
        offset = kept->header.first + kept->header.count;
        size += leat_batch_cost (leat_buffer_size (kept->body));
        last = size >= read->size || offset >= pending->end;
        leat_core_read_done (core, read->token, LEAT_OK, &kept->header, kept->body, last);
    }
}

void sim_store_answer_reads (sim_t *sim, leat_core_t *core)
{
    sim_read_t *read;
    while (!leat_core_failed (core) && (read = STAILQ_FIRST (&sim->store->reads))
           && read->due_us <= sim->now_us) {
        STAILQ_REMOVE_HEAD (&sim->store->reads, link);
        if (read->read.headers)
            SIM_COUNT (sim, looks);
        if (read->read.headers)
            s_answer_look (sim->store, core, read);
        else
            s_answer (sim->store, core, read);
        free (read);
    }
}

static void s_add_extent (const sim_store_t *self, leat_commit_t *commit, uint32_t stream)
{
    leat_operation_t operation = { .id = LEAT_OPERATION_EXTENT };
    leat_operation_extent_t *extent = &operation.extent;
    extent->stream = stream;
    extent->next = s_end (self, stream);
    extent->first = extent->next;
    for (size_t index = 0; index < self->kept_count; index++) {
        const sim_kept_t *kept = &self->kept[index];
        if (kept->stream != stream)
            continue;
        if (extent->first > kept->header.first)
            extent->first = kept->header.first;
        extent->records += kept->header.count;
        extent->size += leat_buffer_size (kept->body);
    }
    leat_commit_add (commit, &operation);
}

static bool s_has (const sim_store_t *self, uint32_t stream, uint64_t offset)
{
    const sim_kept_t *kept = s_from (self, stream, offset);
    return kept && kept->header.first <= offset;
}

/* A store forgets what it knew of a record when that is trimmed. */
static bool s_is_about_kept (const sim_store_t *self, const leat_operation_t *operation)
{
    switch (operation->id) {
    case LEAT_OPERATION_ATTEMPTS:
        return s_has (self, operation->attempts.stream, operation->attempts.offset);
    case LEAT_OPERATION_DELAY:
        return s_has (self, operation->delay.stream, operation->delay.offset);
    case LEAT_OPERATION_PARKED:
        return s_has (self, operation->parked.stream, operation->parked.offset);
    default:
        return true;
    }
}

leat_buffer_t *sim_store_without_records (const sim_store_t *self, size_t index)
{
    leat_commit_reader_t reader;
    leat_operation_t operation;
    bool more = leat_commit_read (&reader, self->log[index]) == LEAT_OK;
    leat_commit_t *commit = leat_commit_new (reader.id, reader.chain);
    while (more && reader.left > 0) {
        more = leat_commit_read_operation (&reader, &operation) == LEAT_OK;
        if (!more || operation.id == LEAT_OPERATION_APPEND || operation.id == LEAT_OPERATION_TRIM
            || !s_is_about_kept (self, &operation))
            continue;
        leat_commit_add (commit, &operation);
        if (operation.id == LEAT_OPERATION_STREAM_CREATED)
            s_add_extent (self, commit, operation.stream_created.stream);
    }
    leat_buffer_t *bytes = leat_commit_encode (commit);
    leat_commit_destroy (&commit);
    return bytes;
}

/* ---- commits --------------------------------------------------------------------------------- */

static void s_drop_reads (sim_store_t *self)
{
    sim_read_t *read;
    while ((read = STAILQ_FIRST (&self->reads))) {
        STAILQ_REMOVE_HEAD (&self->reads, link);
        free (read);
    }
}

static void s_forget (sim_store_t *self)
{
    s_drop_reads (self);
    for (size_t index = 0; index < self->kept_count; index++)
        leat_buffer_release (&self->kept[index].body);
    self->kept_count = 0;
    sim_commit_t *commit;
    while ((commit = s_take (self)) != NULL)
        s_commit_destroy (commit);
    for (size_t index = 0; index < self->log_count; index++)
        leat_buffer_release (&self->log[index]);
    self->log_count = 0;
    self->end_count = 0;
    self->chain_refused = false;
}

void sim_store_destroy (sim_store_t **self_p)
{
    if (!*self_p)
        return;
    s_forget (*self_p);
    free ((*self_p)->kept);
    free ((*self_p)->ends);
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
    s_apply (self, bytes);
    sim_model_committed (sim, bytes);
}

void sim_store_put (sim_t *sim, leat_buffer_t *bytes)
{
    s_keep (sim, bytes);
}

bool sim_store_full (const sim_t *sim)
{
    return sim->now_us < sim->store->full_until_us;
}

/* Dead letters are records that it has already. */
static bool s_brings_records (leat_buffer_t *bytes)
{
    leat_commit_reader_t reader;
    leat_operation_t operation;
    int appends = 0;
    bool more = leat_commit_read (&reader, bytes) == LEAT_OK;
    while (more && reader.left > 0) {
        more = leat_commit_read_operation (&reader, &operation) == LEAT_OK;
        appends += more && operation.id == LEAT_OPERATION_APPEND;
        appends -= more && operation.id == LEAT_OPERATION_DEAD;
    }
    return appends > 0;
}

static leat_commit_result_t s_decide (sim_t *sim, sim_commit_t *commit, uint32_t chain)
{
    sim_store_t *self = sim->store;
    const sim_plan_t *plan = &sim->plan;
    if (self->failed)
        return self->failure;
    if (self->chain_refused && self->refused_chain == chain) {
        SIM_COUNT (sim, commit_refused_chain);
        return LEAT_COMMIT_REFUSED;
    }
    self->chain_refused = false;
    if (self->commit_size_max && leat_buffer_size (commit->bytes) > self->commit_size_max) {
        self->chain_refused = true;
        self->refused_chain = chain;
        return LEAT_COMMIT_REFUSED;
    }
    if (sim_store_full (sim) && s_brings_records (commit->bytes)) {
        SIM_COUNT (sim, commit_refused_full);
        self->chain_refused = true;
        self->refused_chain = chain;
        return LEAT_COMMIT_REFUSED;
    }
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
    sim_model_check_stored (sim, pending->bytes);
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

bool sim_store_is_late (const sim_t *sim)
{
    const sim_commit_t *commit = STAILQ_FIRST (&sim->store->pending);
    return commit && commit->due_us > sim->now_us + sim->plan.store_latency_us;
}

uint64_t sim_store_due (const sim_store_t *self)
{
    const sim_commit_t *commit = STAILQ_FIRST (&self->pending);
    const sim_read_t *read = STAILQ_FIRST (&self->reads);
    uint64_t due = commit ? commit->due_us : SIM_NEVER;
    return read && read->due_us < due ? read->due_us : due;
}

/* Everything ends so from here on; what is behind a commit that is not there is not there either. */
static void s_fail (sim_store_t *self, const sim_commit_t *commit)
{
    bool there = commit->result == LEAT_COMMIT_UNKNOWN && commit->kept;
    sim_commit_t *later;
    self->failed = true;
    self->failure = commit->result;
    STAILQ_FOREACH (later, &self->pending, link) {
        later->kept = there && (later->result == LEAT_COMMIT_OK || later->kept);
        later->result = commit->result;
    }
}

bool sim_store_next (sim_t *sim, uint64_t *id, leat_commit_result_t *result)
{
    static const char *const names[] = { "OK", "REFUSED", "UNKNOWN", "FENCED" };
    sim_commit_t *commit = STAILQ_FIRST (&sim->store->pending);
    if (!commit || commit->due_us > sim->now_us)
        return false;
    commit = s_take (sim->store);
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
    if (commit->result == LEAT_COMMIT_UNKNOWN || commit->result == LEAT_COMMIT_FENCED)
        s_fail (sim->store, commit);
    s_commit_destroy (commit);
    return true;
}

void sim_store_crash (sim_t *sim)
{
    sim_store_t *self = sim->store;
    sim_commit_t *commit;
    bool lost = false;
    if (!STAILQ_EMPTY (&self->reads))
        SIM_COUNT (sim, reads_lost);
    s_drop_reads (self);
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
    self->failed = false;
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

/* Streams whose records are confirmed before the store has them.
 * SPDX-License-Identifier: MPL-2.0 */

#include "broker/core/state.h"

/*      | committed | told | accepted |        reserved
 *      +-----------+------+----------+-----------+----------> offsets
 *       delivered   \____ at the store, or to be __/
 *
 * Batches of async streams are confirmed when their commit is handed over. They are delivered when it has ended,
 * as in any stream: so what consumers see is on the disk, and no settle is ahead of its record. A crash loses
 * what was told and not committed. Nothing else does:
 *
 *  - An offset is told only below the reservation that the store has, and a recovered stream begins there,
 *    so that the producers of lost records never share one. What is beyond waits for its commit, which
 *    raises the reservation.
 *  - While the store is further behind than async_lag nothing is told ahead.
 *  - A batch that was accepted is not taken back: refused, it is committed again until the store has it, and
 *    its stream takes nothing meanwhile. */

/* Dead letters have no producer who could be told anything, whatever a store says of their stream. */
bool core_stream_is_async (const core_stream_t *stream)
{
    return stream->settings.durability == LEAT_ASYNC && !stream->holds_dead;
}

void core_stream_reserve (leat_core_t *core, core_stream_t *stream, uint64_t next)
{
    leat_operation_t operation = { .id = LEAT_OPERATION_RESERVED };
    operation.reserved.stream = stream->id;
    operation.reserved.next = next;
    leat_commit_add (core_data (core, core_stored (core)), &operation);
    stream->reserving = next;
}

/* The reservation is raised while half of it is left, so that nobody waits for it while the store keeps up. */
void core_async_added (leat_core_t *core, core_batch_t *batch)
{
    core_stream_t *stream = batch->stream;
    uint64_t step = core->limits.async_offsets;
    uint64_t end = batch->first + batch->count;
    if (!core_stream_is_async (stream) || core->reservations_ended
        || end + step / 2 <= stream->reserving)
        return;
    core_stream_reserve (core, stream, end + step);
    batch->reserves = end + step;
}

/* ---- telling --------------------------------------------------------------------------------- */

/* The commit that is handed over is under way itself. */
static bool s_is_late (const leat_core_t *core)
{
    const core_commit_t *oldest = TAILQ_FIRST (&core->under_way);
    return core->now_us - oldest->since_us > core->limits.async_lag * 1000;
}

static void s_tell (leat_core_t *core, core_batch_t *batch)
{
    core_sequence_t *sequence = batch->sequence;
    if (batch->last_sequence - batch->count != sequence->committed)
        return; /* one before it has to wait */
    if (batch->first + batch->count > batch->stream->reserved) {
        core_limit_hit (core, LEAT_LIMIT_async_offsets);
        return;
    }
    if (s_is_late (core)) {
        core_limit_hit (core, LEAT_LIMIT_async_lag);
        return;
    }
    batch->told = true;
    sequence->ahead++;
    core_producer_committed (core, batch);
}

void core_async_handed_over (leat_core_t *core, core_commit_t *record)
{
    core_batch_t *batch;
    TAILQ_FOREACH (batch, &record->batches, in_commit)
        if (core_stream_is_async (batch->stream) && !batch->told)
            s_tell (core, batch);
}

void core_async_committed (core_batch_t *batch)
{
    if (batch->told)
        batch->sequence->ahead--;
    if (batch->reserves)
        batch->stream->reserved = batch->reserves;
    batch->told = false;
    batch->reserves = 0;
}

/* ---- what was refused ------------------------------------------------------------------------ */

/* Refusals come for the newest batch first. */
void core_async_refused (leat_core_t *core, core_batch_t *batch)
{
    core_stream_t *stream = batch->stream;
    batch->reserves = 0;
    stream->reserving = stream->reserved;
    stream->owed_count++;
    TAILQ_INSERT_HEAD (&core->owed, batch, in_commit);
}

static void s_look_again (leat_core_t *core, core_timer_t *timer)
{
    (void) core;
    (void) timer; /* the turn that it causes is all */
}

void core_async_commit (leat_core_t *core)
{
    if (TAILQ_EMPTY (&core->owed) || core->store_retry.due_us)
        return;
    if (core->store_full) { /* nobody tells when it is not any more */
        core_timer_set (core, &core->store_retry, core->now_us + 1000000, s_look_again);
        return;
    }
    core_batch_t *batch;
    while (core->commits_under_way < core->limits.commits && (batch = TAILQ_FIRST (&core->owed))) {
        TAILQ_REMOVE (&core->owed, batch, in_commit);
        batch->stream->owed_count--;
        core_data_add_batch (core, batch);
    }
}

/* ---- the end --------------------------------------------------------------------------------- */

void core_async_end (leat_core_t *core)
{
    if (core->reservations_ended)
        return;
    core->reservations_ended = true;
    core_stream_t *stream;
    RB_FOREACH (stream, core_streams, &core->streams)
        if (stream->reserving > stream->next_offset)
            core_stream_reserve (core, stream, stream->next_offset);
}

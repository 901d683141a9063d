/* Streams of durability memory beside a store: nothing but that they are there gets to it.
 * SPDX-License-Identifier: MPL-2.0 */

#include "broker/core/state.h"

/*      fleeting streams    others
 *             |               |
 *             v               v
 *      +--------------+  +----------+
 *      | done as soon |  |  handed  | ----> store ----> completions
 *      | as built     |  |   over   |
 *      +--------------+  +----------+
 *        records, settles,       everything else; of fleeting streams that they
 *        dead letters,           and their groups are there, their settings, and
 *        sequences               below which offset any may have been given
 *
 * So a confirmation in a fleeting stream waits for no disk, and a crash leaves the stream, empty. No offset
 * is given twice all the same, for consumers keep them: they are given below a reservation only that the store
 * has, and a recovered stream begins there. A reservation is for so many that in practice nobody waits for
 * the next one, which is asked for when half of it is left. */

void core_stream_begin (leat_core_t *core, core_stream_t *stream)
{
    stream->fleeting = core->durable && stream->settings.durability == LEAT_MEMORY;
    stream->reads = core->reads && !stream->fleeting;
}

/* ---- offsets --------------------------------------------------------------------------------- */

bool core_fleeting_has_offsets (leat_core_t *core, core_stream_t *stream, uint64_t count)
{
    if (stream->next_offset + count <= stream->reserved)
        return true;
    core_limit_hit (core, LEAT_LIMIT_memory_offsets);
    core_fleeting_reserve (core, stream, stream->next_offset + count);
    return false;
}

void core_fleeting_reserve (leat_core_t *core, core_stream_t *stream, uint64_t end)
{
    if (!stream->fleeting)
        return;
    if (stream->reach < end)
        stream->reach = end;
    if (stream->reserves || end + core->limits.memory_offsets / 2 < stream->reserved)
        return;
    stream->reserves = true;
    TAILQ_INSERT_TAIL (&core->reserving, stream, in_reserving);
}

void core_fleeting_reserve_no_more (leat_core_t *core, core_stream_t *stream)
{
    if (stream->reserves)
        TAILQ_REMOVE (&core->reserving, stream, in_reserving);
    stream->reserves = false;
}

/* In a commit of its own, so that a store without room for records takes it. */
void core_fleeting_run (leat_core_t *core)
{
    if (core->store_retry.due_us || core->reservations_ended
        || core->commits_under_way >= core->limits.commits)
        return;
    core_lane_t *lane = core_stored (core);
    core_stream_t *stream;
    core_data_close (core, lane);
    TAILQ_FOREACH (stream, &core->reserving, in_reserving)
        core_stream_reserve (core, stream, stream->reach + core->limits.memory_offsets);
    TAILQ_CONCAT (&lane->data->reserving, &core->reserving, in_reserving);
    core_data_close (core, lane);
}

void core_fleeting_reserved (core_commit_t *record)
{
    core_stream_t *stream;
    while ((stream = TAILQ_FIRST (&record->reserving))) {
        TAILQ_REMOVE (&record->reserving, stream, in_reserving);
        stream->reserves = false;
        stream->reserved = stream->reserving;
    }
}

void core_fleeting_refused (leat_core_t *core, core_commit_t *record)
{
    core_stream_t *stream;
    TAILQ_FOREACH (stream, &record->reserving, in_reserving)
        stream->reserving = stream->reserved;
    TAILQ_CONCAT (&core->reserving, &record->reserving, in_reserving);
}

/* ---- who looks on ---------------------------------------------------------------------------- */

void core_fleeting_tell (leat_core_t *core, core_commit_t *record)
{
    if (!core->tells) {
        leat_commit_destroy (&record->commit);
        return;
    }
    core_told_commit_t *told = leat_alloc (sizeof *told);
    told->commit = record->commit;
    record->commit = NULL;
    STAILQ_INSERT_TAIL (&core->told, told, next);
}

leat_commit_t *leat_core_next_told (leat_core_t *self)
{
    core_told_commit_t *told = STAILQ_FIRST (&self->told);
    if (!told)
        return NULL;
    leat_commit_t *commit = told->commit;
    STAILQ_REMOVE_HEAD (&self->told, next);
    free (told);
    return commit;
}

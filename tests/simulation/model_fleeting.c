/* The model and memory streams beside a durable store: nothing but their names and groups is stored, and no
 * offset is given twice.
 * SPDX-License-Identifier: MPL-2.0 */
#include "tests/simulation/model_commit.h"
#include "tests/simulation/trace.h"

#include <string.h>

/* The stream that the operation changes something of, or 0; not where it only creates, names or reserves. */
static uint32_t s_subject (const leat_operation_t *operation)
{
    switch (operation->id) {
    case LEAT_OPERATION_STREAM_CREATED:
    case LEAT_OPERATION_STREAM_SET:
    case LEAT_OPERATION_GROUP_CREATED:
    case LEAT_OPERATION_RESERVED:
        return 0;
    default:
        return operation->append.stream; /* the first field of all others */
    }
}

/* Calls back for each stream whose records or settles are in the commit. */
typedef void (s_subject_fn) (sim_t *sim, const sim_stream_t *stream,
                             const leat_operation_t *operation);

static void s_each_subject (sim_t *sim, leat_buffer_t *bytes, s_subject_fn *fn)
{
    leat_commit_reader_t reader;
    leat_operation_t operation;
    bool more = leat_commit_read (&reader, bytes) == LEAT_OK;
    while (more && reader.left > 0) {
        more = leat_commit_read_operation (&reader, &operation) == LEAT_OK;
        const sim_stream_t *stream =
            more ? sim_model_stream_by_id (sim->model, s_subject (&operation)) : NULL;
        if (stream)
            fn (sim, stream, &operation);
    }
}

static void s_check_stored (sim_t *sim, const sim_stream_t *stream,
                            const leat_operation_t *operation)
{
    if (stream->fleeting)
        sim_violation (sim, "what is kept in memory only does not get to the store",
                       "stream %s: %s", stream->name, leat_operation_name (operation->id));
}

void sim_model_check_stored (sim_t *sim, leat_buffer_t *bytes)
{
    s_each_subject (sim, bytes, s_check_stored);
}

static void s_check_did (sim_t *sim, const sim_stream_t *stream, const leat_operation_t *operation)
{
    if (!stream->fleeting)
        sim_violation (sim, "what is to be kept gets to the store", "stream %s: %s", stream->name,
                       leat_operation_name (operation->id));
    if (operation->id != LEAT_OPERATION_APPEND)
        return;
    SIM_COUNT_MORE (sim, fleeting_records, operation->append.count);
    uint64_t end = operation->append.first + operation->append.count;
    if (end > stream->reserved)
        sim_violation (sim, "an offset of a memory stream is reserved before it is given",
                       "stream %s: %llu to %llu, reserved is %llu", stream->name,
                       (unsigned long long) operation->append.first, (unsigned long long) end,
                       (unsigned long long) stream->reserved);
}

void sim_model_did (sim_t *sim, leat_buffer_t *bytes)
{
    s_each_subject (sim, bytes, s_check_did);
    sim_model_submitted (sim, bytes);
    sim_model_committed (sim, bytes);
}

static void s_forget_sequences (sim_t *sim, const sim_stream_t *stream)
{
    for (unsigned index = 0; index <= SIM_STREAMS_MAX; index++) {
        if (strcmp (sim_stream_name (index), stream->name) != 0)
            continue;
        for (unsigned identity = 0; identity < SIM_IDENTITIES_MAX; identity++)
            sim->model->sequences[identity][index].known = false;
    }
}

/* Bytes of its records are remembered: they may be on their way to somebody still. */
void sim_model_fleeting_restarted (sim_t *sim, sim_stream_t *stream)
{
    if (stream->reserved < stream->records_count)
        sim_violation (sim, "an offset is given once",
                       "stream %s begins at %llu, and has given %zu offsets", stream->name,
                       (unsigned long long) stream->reserved, stream->records_count);
    for (size_t offset = 0; offset < stream->records_count; offset++) {
        SIM_COUNT_MORE (sim, fleeting_lost, !stream->records[offset].trimmed);
        stream->records[offset].trimmed = stream->records[offset].none = true;
        for (unsigned index = 0; index < SIM_MODEL_GROUPS_MAX; index++) {
            sim_group_t *group = &stream->groups[index];
            if (group->exists)
                group->marks[offset] = (sim_mark_t){ .settled = true, .acked = true };
        }
    }
    stream->held_size = 0;
    stream->expired = stream->records_count;
    s_forget_sequences (sim, stream);
    sim_model_skip (sim, stream, stream->reserved);
}

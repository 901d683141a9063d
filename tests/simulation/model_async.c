/* The model and async streams: what may be confirmed before the store has it, and what a crash may take.
 * SPDX-License-Identifier: MPL-2.0 */
#include "tests/simulation/model.h"
#include "tests/simulation/trace.h"
#include "wire/alloc.h"

#include <string.h>

/* Who lies may say anything of what it was told before. */
static bool s_is_honest (const sim_t *sim, unsigned identity)
{
    return identity < SIM_CLIENTS_MAX && !sim->plan.rivals;
}

bool sim_model_claimed (sim_t *sim, sim_stream_t *stream, unsigned identity,
                        sim_sequence_t *sequence, uint64_t told, uint64_t offset)
{
    if (!stream || !stream->async || (sequence->known && told <= sequence->committed))
        return false;
    if (sequence->promised < told)
        sequence->promised = told;
    if (told == sequence->said || !s_is_honest (sim, identity))
        return true; /* its client knew that of a former broker */
    SIM_COUNT (sim, told_ahead);
    if (offset != UINT64_MAX && offset >= stream->reserved)
        sim_violation (sim, "only a reserved offset is told ahead",
                       "stream %s, sequence %llu at %llu, reserved is %llu", stream->name,
                       (unsigned long long) told, (unsigned long long) offset,
                       (unsigned long long) stream->reserved);
    if (offset != UINT64_MAX && stream->told <= offset)
        stream->told = offset + 1;
    sequence->claimed = true;
    sequence->claim = told;
    sequence->claim_offset = offset;
    return true;
}

void sim_model_handed_over (sim_t *sim, uint32_t id, const sim_content_t *content, uint64_t offset)
{
    const sim_stream_t *stream = sim_model_stream_by_id (sim->model, id);
    if (!stream || !stream->async)
        return;
    sim_sequence_t *sequence = &sim->model->sequences[content->identity][content->stream];
    if (content->sequence > sequence->submitted) {
        sequence->submitted = content->sequence;
        sequence->submitted_offset = offset;
        return;
    }
    SIM_COUNT (sim, told_again);
    if (content->sequence == sequence->submitted && offset != sequence->submitted_offset)
        sim_violation (sim, "a record that was taken keeps its offset",
                       "identity %u, stream %s: %llu at %llu, was at %llu", content->identity,
                       stream->name, (unsigned long long) content->sequence,
                       (unsigned long long) offset,
                       (unsigned long long) sequence->submitted_offset);
}

void sim_model_said (sim_sequence_t *sequence, uint64_t confirmed)
{
    if (sequence->said < confirmed)
        sequence->said = confirmed;
}

bool sim_model_may_skip (const sim_t *sim, const sim_stream_t *stream,
                         const sim_sequence_t *sequence, const sim_content_t *content)
{
    return stream->async
           && (!s_is_honest (sim, content->identity)
               || (content->sequence > 0 && content->sequence - 1 <= sequence->lost));
}

typedef void (s_each_fn) (sim_t *sim, const sim_stream_t *stream, sim_sequence_t *sequence,
                          unsigned identity);

/* Sequences of one stream, or of all async ones. */
static void s_each (sim_t *sim, const sim_stream_t *only, s_each_fn *fn)
{
    for (unsigned index = 0; index <= SIM_STREAMS_MAX; index++) {
        const sim_stream_t *stream =
            sim_model_stream_by_name (sim->model, leat_text (sim_stream_name (index)));
        if (!stream || !stream->async || (only && only != stream))
            continue;
        for (unsigned identity = 0; identity < SIM_IDENTITIES_MAX; identity++)
            fn (sim, stream, &sim->model->sequences[identity][index], identity);
    }
}

static void s_check_told (sim_t *sim, const sim_stream_t *stream, sim_sequence_t *sequence,
                          unsigned identity)
{
    if (!sequence->claimed)
        return;
    sequence->claimed = false;
    bool last = sequence->claim == sequence->submitted;
    if (sequence->claim > sequence->submitted
        || (last && sequence->claim_offset != UINT64_MAX
            && sequence->claim_offset != sequence->submitted_offset))
        sim_violation (sim, "what is confirmed is at the store at least",
                       "identity %u, stream %s: %llu at %llu; handed over is %llu at %llu",
                       identity, stream->name, (unsigned long long) sequence->claim,
                       (unsigned long long) sequence->claim_offset,
                       (unsigned long long) sequence->submitted,
                       (unsigned long long) sequence->submitted_offset);
}

void sim_model_check_told (sim_t *sim)
{
    if (sim->plan.async)
        s_each (sim, NULL, s_check_told);
}

static void s_restart (sim_t *sim, const sim_stream_t *stream, sim_sequence_t *sequence,
                       unsigned identity)
{
    (void) stream;
    (void) identity;
    /* Not by `ever`: who was forgotten meanwhile has begun anew. */
    uint64_t kept = sequence->known ? sequence->committed : 0;
    if (sequence->promised > sequence->lost && sequence->promised > kept) {
        SIM_COUNT (sim, told_lost);
        sequence->lost = sequence->promised;
    }
    sequence->submitted = 0;
    sequence->said = 0;
    sequence->claimed = false;
}

void sim_model_async_restarted (sim_t *sim, sim_stream_t *stream)
{
    uint64_t next = stream->records_count;
    s_each (sim, stream, s_restart);
    if (next < stream->reserved)
        next = stream->reserved;
    if (stream->told > next)
        sim_violation (sim, "an offset is given once",
                       "stream %s begins at %llu, and was told to end at %llu", stream->name,
                       (unsigned long long) next, (unsigned long long) stream->told);
    sim_model_skip (sim, stream, next);
}

void sim_model_skip (sim_t *sim, sim_stream_t *stream, uint64_t next)
{
    if (next > stream->records_room) {
        stream->records_room = 2 * next;
        stream->records =
            leat_realloc (stream->records, stream->records_room * sizeof *stream->records);
    }
    for (; stream->records_count < next; stream->records_count++) {
        stream->records[stream->records_count] =
            (sim_record_t){ .batch = stream->records_count, .trimmed = true, .none = true };
        SIM_COUNT (sim, offsets_skipped);
    }
    for (unsigned index = 0; index < SIM_MODEL_GROUPS_MAX; index++)
        if (stream->groups[index].exists)
            sim_model_group_grow (stream, &stream->groups[index]);
}

static void s_check_lost (sim_t *sim, const sim_stream_t *stream, sim_sequence_t *sequence,
                          unsigned identity)
{
    if (s_is_honest (sim, identity) && sequence->promised > sequence->ever
        && sequence->promised > sequence->lost)
        sim_violation (sim, "what is confirmed is lost in a crash only",
                       "identity %u, stream %s: confirmed %llu, committed %llu", identity,
                       stream->name, (unsigned long long) sequence->promised,
                       (unsigned long long) sequence->ever);
}

void sim_model_check_lost (sim_t *sim)
{
    s_each (sim, NULL, s_check_lost);
}

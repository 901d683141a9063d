/* The model and the store: what a commit may create and append, and what is true once it is kept.
 * SPDX-License-Identifier: MPL-2.0 */
#include "tests/simulation/model.h"
#include "tests/simulation/model_commit.h"
#include "tests/simulation/trace.h"
#include "wire/alloc.h"

#include <stdlib.h>
#include <string.h>

sim_stream_t *sim_model_commit_stream (sim_t *sim, uint32_t id)
{
    sim_stream_t *stream = sim_model_stream_by_id (sim->model, id);
    if (!stream)
        sim_violation (sim, "commits name streams that exist", "stream %u is not there", id);
    return stream;
}

sim_group_t *sim_model_commit_group (sim_t *sim, uint32_t stream_id, uint32_t id)
{
    sim_group_t *group = sim_model_group_by_id (sim_model_commit_stream (sim, stream_id), id);
    if (!group)
        sim_violation (sim, "commits name groups that exist", "group %u of stream %u is not there",
                       id, stream_id);
    return group;
}

static bool s_holds_dead (const sim_stream_t *stream)
{
    return leat_name_reserved (leat_text (stream->name));
}

/* ---- creation -------------------------------------------------------------------------------- */

static void s_stream_created (sim_t *sim, const leat_operation_stream_created_t *created)
{
    if (sim_model_stream_by_id (sim->model, created->stream)
        || sim_model_stream_by_name (sim->model, created->stream_name))
        sim_violation (sim, "a stream is created once", "stream %u exists", created->stream);
    for (unsigned index = 0; index < SIM_MODEL_STREAMS_MAX; index++) {
        sim_stream_t *stream = &sim->model->streams[index];
        if (stream->exists)
            continue;
        stream->exists = true;
        stream->id = created->stream;
        sim_model_text (stream->name, created->stream_name);
        stream->processing_ms = created->max_processing_ms;
        stream->is_log = created->retention == LEAT_RETENTION_LOG;
        stream->max_age_ms = created->max_age_ms;
        stream->max_size = created->max_size;
        stream->async = created->durability == LEAT_ASYNC;
        stream->fleeting = created->durability == LEAT_MEMORY && !sim->plan.store_memory;
        return;
    }
    sim_violation (sim, "few streams are created", "more than %d", SIM_MODEL_STREAMS_MAX);
}

static void s_stream_set (sim_t *sim, const leat_operation_stream_set_t *set)
{
    sim_stream_t *stream = sim_model_commit_stream (sim, set->stream);
    stream->former_ms = stream->processing_ms;
    stream->processing_ms = set->max_processing_ms;
    stream->is_log = set->retention == LEAT_RETENTION_LOG;
    stream->max_age_ms = set->max_age_ms;
    stream->max_size = set->max_size;
    stream->set_us = sim->now_us;
    SIM_COUNT (sim, stream_settings);
}

/* True if every group there is has settled the record, as far as the core knows: then it is gone if
 * the rest of its batch is, or was small, although the store may still have it. */
static bool s_may_be_gone (const sim_stream_t *stream, uint64_t offset)
{
    bool any = stream->records[offset].trimmed;
    if (stream->is_log)
        return any; /* what others have settled is there */
    for (unsigned index = 0; index < SIM_MODEL_GROUPS_MAX; index++) {
        const sim_group_t *group = &stream->groups[index];
        if (!group->exists)
            continue;
        any = true;
        if (!group->marks[offset].acked && !group->marks[offset].settled
            && !group->marks[offset].optional)
            return false;
    }
    return any;
}

/* What a group lacks is decided when the core makes it, before its creation is committed. */
static void s_group_conceived (sim_t *sim, const leat_operation_group_created_t *created)
{
    sim_model_t *self = sim->model;
    const sim_stream_t *stream = sim_model_stream_by_id (self, created->stream);
    unsigned index = self->births_count++ % (sizeof self->births / sizeof *self->births);
    free (self->births[index].gone);
    self->births[index].stream = created->stream;
    self->births[index].group = created->group;
    self->births[index].count = stream ? stream->records_count : 0;
    self->births[index].gone = leat_alloc (self->births[index].count);
    self->births[index].aged = 0;
    self->births[index].aged = stream ? stream->submitted : 0;
    if (stream && !stream->fleeting && created->first < stream->expiring)
        sim_violation (sim, "a group begins at what is held",
                       "stream %s, group %.*s at %llu, below %llu", stream->name,
                       (int) created->group_name.size, created->group_name.data,
                       (unsigned long long) created->first, (unsigned long long) stream->expiring);
    /* Nobody but operators makes a group of this name (operator.c), and they ask for all there is. */
    if (stream && stream->is_log && leat_text_equal (created->group_name, leat_text ("again"))
        && created->first > sim_model_log_first (sim, stream))
        sim_violation (sim, "who asks for all of a log gets all that is held",
                       "stream %s, group again at %llu, %llu is held", stream->name,
                       (unsigned long long) created->first,
                       (unsigned long long) sim_model_log_first (sim, stream));
    for (uint64_t offset = 0; offset < self->births[index].count; offset++)
        self->births[index].gone[offset] = s_may_be_gone (stream, offset);
}

static void s_group_lacks (sim_t *sim, const sim_stream_t *stream, sim_group_t *group)
{
    sim_model_t *self = sim->model;
    size_t births = sizeof self->births / sizeof *self->births;
    uint64_t aged = stream->records_count;
    for (unsigned age = 1; age <= births && age <= self->births_count; age++) {
        unsigned index = (unsigned) ((self->births_count - age) % births);
        if (self->births[index].stream != stream->id || self->births[index].group != group->id)
            continue;
        for (size_t offset = 0; offset < self->births[index].count; offset++)
            group->marks[offset].optional |= self->births[index].gone[offset];
        aged = aged < self->births[index].aged ? self->births[index].aged : aged;
        break;
    }
    /* Liars ask for any time to begin at: what is older is skipped where it is found, and that may be all
     * that was handed to the store before, be it committed when they asked or not, or refused. */
    group->aged = strcmp (group->name, "liars") == 0 ? aged : 0;
    for (size_t offset = 0; offset < group->aged && offset < stream->records_count; offset++)
        group->marks[offset].optional = true;
}

/* The first offset that got a record. */
static uint64_t s_oldest (const sim_stream_t *stream)
{
    uint64_t offset = 0;
    while (offset < stream->records_count && stream->records[offset].none)
        offset++;
    return offset;
}

static void s_group_created (sim_t *sim, const leat_operation_group_created_t *created)
{
    sim_stream_t *stream = sim_model_commit_stream (sim, created->stream);
    if (sim_model_group_by_id (stream, created->group)
        || sim_model_group_by_name (stream, created->group_name))
        sim_violation (sim, "a group is created once", "group %u of stream %s exists",
                       created->group, stream->name);
    for (unsigned index = 0; index < SIM_MODEL_GROUPS_MAX; index++) {
        sim_group_t *group = &stream->groups[index];
        if (group->exists)
            continue;
        if (index == 0 && created->first > s_oldest (stream) && !stream->is_log)
            sim_violation (sim, "what nobody has settled belongs to the first group",
                           "stream %s, group %.*s begins at %llu", stream->name,
                           (int) created->group_name.size, created->group_name.data,
                           (unsigned long long) created->first);
        group->exists = true;
        group->id = created->group;
        group->first = created->first;
        group->floor = created->first;
        sim_model_text (group->name, created->group_name);
        sim_model_group_grow (stream, group);
        s_group_lacks (sim, stream, group);
        /* What a memory stream lost meanwhile has not waited for the store. */
        for (uint64_t offset = 0; stream->fleeting && offset < stream->expired; offset++)
            group->marks[offset].settled = group->marks[offset].acked = true;
        SIM_COUNT (sim, groups_created);
        return;
    }
    sim_violation (sim, "few groups are created", "more than %d", SIM_MODEL_GROUPS_MAX);
}

/* ---- appending ------------------------------------------------------------------------------- */

/* Each (identity, stream, sequence) once, in order, without holes. */
static void s_sequence_appended (sim_t *sim, const sim_stream_t *stream, const sim_record_t *record)
{
    const sim_content_t *content = &record->content;
    if (content->stream > SIM_STREAMS_MAX || content->identity >= SIM_IDENTITIES_MAX
        || strcmp (sim_stream_name (content->stream), stream->name) != 0)
        sim_violation (sim, "a record is committed in the stream it was published into",
                       "stream %s has a record of stream %u", stream->name, content->stream);
    sim_sequence_t *sequence = &sim->model->sequences[content->identity][content->stream];
    if (sequence->known && content->sequence > sequence->committed + 1
        && sim_model_may_skip (sim, stream, sequence, content))
        SIM_COUNT (sim, client_ahead);
    else if (sequence->known && content->sequence != sequence->committed + 1)
        sim_violation (sim, "each sequence is committed once, in order, without holes",
                       "identity %u, stream %s: sequence %llu after %llu", content->identity,
                       stream->name, (unsigned long long) content->sequence,
                       (unsigned long long) sequence->committed);
    if (!sequence->known && content->author == 0 && !sim->plan.rivals
        && content->sequence > sequence->ever + 1 && content->sequence > sequence->lost_ever + 1
        && !sim_model_may_skip (sim, stream, sequence, content))
        sim_violation (sim, "the first sequence is the first unconfirmed one",
                       "identity %u, stream %s: sequence %llu first, %llu were committed",
                       content->identity, stream->name, (unsigned long long) content->sequence,
                       (unsigned long long) sequence->ever);
    sequence->known = true;
    sequence->committed = content->sequence;
    if (sequence->ever < content->sequence)
        sequence->ever = content->sequence;
}

static void s_check_payload (sim_t *sim, const sim_stream_t *stream, const sim_record_t *record,
                             const uint8_t *bytes)
{
    uint8_t expected[SIM_CONTENT_SIZE_MAX];
    size_t size =
        sim_content_encode (sim->seed, &record->content, sim->plan.record_size_max, expected);
    if (size != record->size || memcmp (expected, bytes, size) != 0
        || record->extended != sim_content_extended (sim->seed, &record->content))
        sim_violation (sim, "a committed payload equals what was published",
                       "stream %s, offset %zu: %u bytes instead of %zu, or others", stream->name,
                       stream->records_count, record->size, size);
}

static void s_record_appended (sim_t *sim, sim_stream_t *stream, const uint8_t *bytes, size_t size,
                               const leat_operation_append_t *append)
{
    sim_record_t record = { .extended = append->attributes & LEAT_BATCH_EXTENDED,
                            .batch = append->first,
                            .time_ms = append->time_ms,
                            .size = (uint32_t) size };
    if (!sim_content_decode (&record.content, record.extended, bytes, size))
        sim_violation (sim, "only what was published is committed", "stream %s, offset %zu",
                       stream->name, stream->records_count);
    if (!s_holds_dead (stream)) {
        s_check_payload (sim, stream, &record, bytes);
        s_sequence_appended (sim, stream, &record);
        sim->model->sequences[record.content.identity][record.content.stream].offset =
            stream->records_count;
        SIM_COUNT (sim, records_committed);
    }
    if (stream->records_count == stream->records_room) {
        stream->records_room = stream->records_room ? 2 * stream->records_room : 128;
        stream->records =
            leat_realloc (stream->records, stream->records_room * sizeof *stream->records);
    }
    record.bytes = leat_alloc_raw (size);
    memcpy (record.bytes, bytes, size);
    stream->records[stream->records_count++] = record;
}

static void s_appended (sim_t *sim, const leat_operation_append_t *append)
{
    sim_stream_t *stream = sim_model_commit_stream (sim, append->stream);
    const uint8_t *bytes = leat_slice_bytes (append->body);
    size_t size = append->body.size;
    bool extended = append->attributes & LEAT_BATCH_EXTENDED;
    if (append->first != stream->records_count)
        sim_violation (sim, "offsets have no holes", "stream %s: %llu instead of %zu", stream->name,
                       (unsigned long long) append->first, stream->records_count);
    if (leat_batch_check (bytes, size, append->count, extended, LEAT_RECORD_SIZE_MAX) != LEAT_OK)
        sim_violation (sim, "only whole records are committed", "stream %s, offset %llu",
                       stream->name, (unsigned long long) append->first);
    stream->held_size += leat_batch_cost (size);
    for (uint32_t index = 0; index < append->count; index++) {
        size_t taken = leat_batch_skip (bytes, size, 1);
        s_record_appended (sim, stream, bytes, taken, append);
        bytes += taken;
        size -= taken;
    }
    bool earlier = append->first && append->time_ms < stream->records[append->first - 1].time_ms;
    if (stream->is_log && (append->time_ms > sim_wall_ms (sim) || earlier))
        sim_violation (sim, "the times of a log are the broker's", "stream %s, offset %llu",
                       stream->name, (unsigned long long) append->first);
    for (unsigned index = 0; index < SIM_MODEL_GROUPS_MAX; index++) {
        if (stream->groups[index].exists)
            sim_model_group_grow (stream, &stream->groups[index]);
    }
}

static sim_sequence_t *s_sequence_of (sim_t *sim, uint32_t stream_id, leat_text_t name)
{
    unsigned identity = sim_identity_find (name);
    const sim_stream_t *stream = sim_model_commit_stream (sim, stream_id);
    for (unsigned index = 0; identity < SIM_IDENTITIES_MAX && index <= SIM_STREAMS_MAX; index++) {
        if (strcmp (sim_stream_name (index), stream->name) == 0)
            return &sim->model->sequences[identity][index];
    }
    return NULL;
}

static sim_sequence_t *s_sequence (sim_t *sim, const leat_operation_sequence_t *told)
{
    return s_sequence_of (sim, told->stream, told->identity);
}

/* The store is about to forget a producer that stayed away for long. */
static void s_to_be_forgotten (sim_t *sim, const leat_operation_sequence_forgotten_t *forgotten)
{
    enum { WAIT_US = 5000000 }; /* for the store to take it */
    for (const sim_peer_t *peer = sim->model->peers; peer; peer = peer->next) {
        if (peer->live && sim->now_us - peer->welcomed_us > WAIT_US
            && leat_text_equal (leat_text (peer->identity_name), forgotten->identity))
            sim_violation (sim, "nobody who is there is forgotten", "%s, stream %u",
                           peer->identity_name, forgotten->stream);
    }
    SIM_COUNT (sim, forgotten);
}

static void s_forgotten (sim_t *sim, const leat_operation_sequence_forgotten_t *forgotten)
{
    sim_sequence_t *sequence = s_sequence_of (sim, forgotten->stream, forgotten->identity);
    if (!sequence)
        return;
    sequence->known = false;
    sequence->promised = 0;
    if (sequence->lost_ever < sequence->lost)
        sequence->lost_ever = sequence->lost;
    sequence->lost = 0;
    sequence->submitted = 0;
}

static void s_sequence_told (sim_t *sim, const leat_operation_sequence_t *told)
{
    sim_sequence_t *sequence = s_sequence (sim, told);
    if (!sequence)
        return;
    sequence->told = told->sequence;
    sequence->told_offset = told->offset;
}

static void s_check_sequence (sim_t *sim, const leat_operation_sequence_t *told)
{
    const sim_sequence_t *sequence = s_sequence (sim, told);
    if (sequence
        && (!sequence->known || sequence->committed != sequence->told
            || sequence->offset != sequence->told_offset))
        sim_violation (
            sim, "the store knows each producer's last sequence",
            "identity %.*s, stream %u: %llu at %llu instead of %llu at %llu",
            (int) told->identity.size, told->identity.data, told->stream,
            (unsigned long long) sequence->told, (unsigned long long) sequence->told_offset,
            (unsigned long long) sequence->committed, (unsigned long long) sequence->offset);
}

/* ---- commits --------------------------------------------------------------------------------- */

/* What creates and appends; then what dies, for its copy may come before or after it; then the rest. */
static void s_apply (sim_t *sim, const leat_operation_t *operation, unsigned pass)
{
    switch (operation->id + 100 * pass) {
    case LEAT_OPERATION_STREAM_CREATED:
        s_stream_created (sim, &operation->stream_created);
        break;
    case LEAT_OPERATION_STREAM_SET:
        s_stream_set (sim, &operation->stream_set);
        break;
    case LEAT_OPERATION_GROUP_CREATED:
        s_group_created (sim, &operation->group_created);
        break;
    case LEAT_OPERATION_SEQUENCE_FORGOTTEN:
        s_forgotten (sim, &operation->sequence_forgotten);
        break;
    case LEAT_OPERATION_APPEND:
        s_appended (sim, &operation->append);
        break;
    case LEAT_OPERATION_RESERVED:
        sim_model_commit_stream (sim, operation->reserved.stream)->reserved =
            operation->reserved.next;
        break;
    case 100 + LEAT_OPERATION_ATTEMPTS:
        sim_model_commit_charged (sim, operation->attempts.stream, operation->attempts.group,
                                  operation->attempts.offset, operation->attempts.attempts,
                                  operation->attempts.suspect, 0);
        break;
    case 100 + LEAT_OPERATION_DELAY:
        sim_model_commit_charged (sim, operation->delay.stream, operation->delay.group,
                                  operation->delay.offset, operation->delay.attempts, false,
                                  operation->delay.due_ms);
        break;
    case 100 + LEAT_OPERATION_DEAD:
        sim_model_commit_dead (sim, &operation->dead);
        break;
    case 100 + LEAT_OPERATION_PARKED:
        sim_model_commit_parked (sim, &operation->parked);
        break;
    case 200 + LEAT_OPERATION_SEQUENCE:
        s_sequence_told (sim, &operation->sequence);
        break;
    case 300 + LEAT_OPERATION_SEQUENCE:
        s_check_sequence (sim, &operation->sequence);
        break;
    case 200 + LEAT_OPERATION_CHUNK:
        sim_model_commit_chunk (sim, &operation->chunk);
        break;
    case 200 + LEAT_OPERATION_FLOOR:
        sim_model_commit_floor (sim, &operation->floor);
        break;
    case 200 + LEAT_OPERATION_TRIM:
        sim_model_commit_trim (sim, &operation->trim);
        break;
    case 100 + LEAT_OPERATION_EXPIRED:
        sim_model_log_expired (sim, &operation->expired);
        break;
    case LEAT_OPERATION_STREAM_DELETED:
    case LEAT_OPERATION_GROUP_DELETED:
        sim_violation (sim, "nothing is deleted unasked", "%s",
                       leat_operation_name (operation->id));
    default:
        break;
    }
}

typedef void (s_operation_fn) (sim_t *sim, const leat_operation_t *operation, unsigned pass);

static void s_walk (sim_t *sim, leat_buffer_t *bytes, s_operation_fn *fn, unsigned pass)
{
    leat_commit_reader_t reader;
    leat_operation_t operation;
    leat_code_t code = leat_commit_read (&reader, bytes);
    while (code == LEAT_OK && reader.left > 0) {
        code = leat_commit_read_operation (&reader, &operation);
        if (code == LEAT_OK)
            fn (sim, &operation, pass);
    }
    if (code != LEAT_OK || leat_commit_read_end (&reader) != LEAT_OK)
        sim_violation (sim, "commits are well-formed", "%zu bytes", leat_buffer_size (bytes));
}

void sim_model_committed (sim_t *sim, leat_buffer_t *bytes)
{
    for (unsigned pass = 0; pass < 4; pass++)
        s_walk (sim, bytes, s_apply, pass);
}

/* Notes which groups are made. A record may only be on its way to the store if a live session has sent it. */
static void s_submitted (sim_t *sim, const leat_operation_t *operation, unsigned pass)
{
    if (operation->id == LEAT_OPERATION_GROUP_CREATED)
        s_group_conceived (sim, &operation->group_created);
    if (operation->id == LEAT_OPERATION_EXPIRED)
        sim_model_log_expires (sim, &operation->expired);
    if (operation->id == LEAT_OPERATION_SEQUENCE_FORGOTTEN)
        s_to_be_forgotten (sim, &operation->sequence_forgotten);
    if (operation->id != LEAT_OPERATION_APPEND || pass)
        return;
    const leat_operation_append_t *append = &operation->append;
    sim_stream_t *stream = sim_model_stream_by_id (sim->model, append->stream);
    if (stream && stream->submitted < append->first + append->count)
        stream->submitted = append->first + append->count;
    const uint8_t *bytes = leat_slice_bytes (append->body);
    size_t size = append->body.size;
    for (uint32_t index = 0; index < append->count && size; index++) {
        sim_content_t content;
        size_t taken = leat_batch_skip (bytes, size, 1);
        bool extended = append->attributes & LEAT_BATCH_EXTENDED;
        bool known = sim_content_decode (&content, extended, bytes, taken)
                     && content.identity < SIM_IDENTITIES_MAX && content.stream <= SIM_STREAMS_MAX;
        if (known
            && sim->model->sequences[content.identity][content.stream].heard < content.sequence)
            sim_violation (sim, "only records that a live session has sent are taken",
                           "identity %u, stream %u, sequence %llu", content.identity,
                           content.stream, (unsigned long long) content.sequence);
        if (known)
            sim_model_handed_over (sim, append->stream, &content, append->first + index);
        bytes += taken;
        size -= taken;
    }
}

/* A store without room for records has some for dead letters, if nothing else is with them. */
static void s_check_dead (sim_t *sim, leat_buffer_t *bytes)
{
    leat_commit_reader_t reader;
    leat_operation_t operation;
    unsigned appends = 0;
    unsigned dead = 0;
    bool more = leat_commit_read (&reader, bytes) == LEAT_OK;
    while (more && reader.left > 0) {
        more = leat_commit_read_operation (&reader, &operation) == LEAT_OK;
        appends += more && operation.id == LEAT_OPERATION_APPEND;
        dead += more && operation.id == LEAT_OPERATION_DEAD;
    }
    if (dead && appends != dead)
        sim_violation (sim, "dead letters have commits of their own",
                       "commit %llu has %u and %u records", (unsigned long long) reader.id, dead,
                       appends);
}

void sim_model_submitted (sim_t *sim, leat_buffer_t *bytes)
{
    s_check_dead (sim, bytes);
    s_walk (sim, bytes, s_submitted, 0);
}

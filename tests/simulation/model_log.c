/* The model and streams of retention log: what may expire, what must, and what groups are told of it.
 * SPDX-License-Identifier: MPL-2.0 */
#include "tests/simulation/broker.h"
#include "tests/simulation/model_commit.h"
#include "tests/simulation/trace.h"

#include <string.h>

/* ---- what a log holds ------------------------------------------------------------------------ */

typedef struct {
    const sim_stream_t *stream;
    uint64_t first;
} s_told_t;

static void s_hear (void *arg, const leat_stream_statistics_t *row)
{
    s_told_t *told = arg;
    if (leat_text_equal (row->name, leat_text (told->stream->name)))
        told->first = row->first_offset;
}

static s_told_t s_ask (const sim_t *sim, const sim_stream_t *stream)
{
    s_told_t told = { .stream = stream };
    const leat_statistics_visitor_t visitor = { .stream = s_hear, .arg = &told };
    leat_core_visit (sim->broker->core, &visitor);
    return told;
}

uint64_t sim_model_log_first (const sim_t *sim, const sim_stream_t *stream)
{
    return s_ask (sim, stream).first;
}

/* Does a log count what its batches take in memory? */
static bool s_counts_batches (const sim_t *sim, const sim_stream_t *stream)
{
    return stream->fleeting || !sim->plan.store_reads;
}

/* Bytes of the records from `first` on, and 512 for each batch where that counts. */
static uint64_t s_size (const sim_stream_t *stream, uint64_t first, bool batches)
{
    uint64_t size = 0;
    for (uint64_t offset = first; offset < stream->records_count; offset++) {
        const sim_record_t *record = &stream->records[offset];
        if (!record->trimmed)
            size += record->size + (batches && record->batch == offset ? LEAT_BATCH_COST : 0);
    }
    return size;
}

uint64_t sim_model_log_held (const sim_t *sim, const sim_stream_t *stream)
{
    return s_size (stream, sim_model_log_first (sim, stream), true);
}

/* ---- on the way to the store ------------------------------------------------------------------ */

static void s_check_due (sim_t *sim, const sim_stream_t *stream, uint64_t first)
{
    const sim_record_t *last = &stream->records[first - 1];
    while (last->none && last > stream->records)
        last--;
    if (last->none)
        return; /* nothing ever was there */
    if (first < stream->records_count && stream->records[first].batch != first)
        sim_violation (sim, "whole batches expire", "stream %s, below %llu", stream->name,
                       (unsigned long long) first);
    bool old = stream->max_age_ms && last->time_ms + stream->max_age_ms <= sim_wall_ms (sim);
    bool much =
        stream->max_size
        && (sim->plan.tight
            || s_size (stream, last->batch, s_counts_batches (sim, stream)) > stream->max_size);
    if (!old && !much)
        sim_violation (
            sim, "nothing expires before its time",
            "stream %s, below %llu: %llu ms old, %llu bytes", stream->name,
            (unsigned long long) first, (unsigned long long) (sim_wall_ms (sim) - last->time_ms),
            (unsigned long long) s_size (stream, last->batch, s_counts_batches (sim, stream)));
}

static void s_check_groups (sim_t *sim, sim_stream_t *stream, uint64_t from, uint64_t to)
{
    for (unsigned number = 0; number < SIM_MODEL_GROUPS_MAX; number++) {
        sim_group_t *group = &stream->groups[number];
        for (uint64_t offset = from; group->exists && offset < to; offset++) {
            const sim_mark_t *mark = &group->marks[offset];
            if (mark->holder)
                sim_violation (sim, "what a lease holds does not expire",
                               "stream %s, group %s, offset %llu", stream->name, group->name,
                               (unsigned long long) offset);
            bool lost = !mark->acked && !mark->settled && !mark->optional && !mark->rejected;
            group->expired += lost;
            SIM_COUNT_MORE (sim, records_expired_unsettled, lost);
        }
    }
}

/* One row of a stream, then its groups. */
typedef struct {
    sim_t *sim;
    sim_stream_t *stream;
    bool here;
} s_counts_t;

static void s_count_stream (void *arg, const leat_stream_statistics_t *row)
{
    s_counts_t *counts = arg;
    counts->here = leat_text_equal (row->name, leat_text (counts->stream->name));
    if (counts->here && row->expired < counts->stream->expired_records)
        sim_violation (counts->sim, "what expires is counted", "stream %s: %llu instead of %llu",
                       counts->stream->name, (unsigned long long) row->expired,
                       (unsigned long long) counts->stream->expired_records);
}

static void s_count_group (void *arg, const leat_group_statistics_t *row)
{
    s_counts_t *counts = arg;
    const sim_group_t *group =
        counts->here ? sim_model_group_by_name (counts->stream, row->name) : NULL;
    if (group && row->expired < group->expired)
        sim_violation (counts->sim, "what a group loses is counted",
                       "stream %s, group %s: %llu instead of %llu", counts->stream->name,
                       group->name, (unsigned long long) row->expired,
                       (unsigned long long) group->expired);
}

static void s_check_counts (sim_t *sim, sim_stream_t *stream)
{
    s_counts_t counts = { .sim = sim, .stream = stream };
    const leat_statistics_visitor_t visitor = { .stream = s_count_stream,
                                                .group = s_count_group,
                                                .arg = &counts };
    leat_core_visit (sim->broker->core, &visitor);
    leat_statistics_t statistics;
    uint64_t records = 0;
    leat_core_statistics (sim->broker->core, &statistics);
    for (unsigned index = 0; index < SIM_MODEL_STREAMS_MAX; index++)
        records += sim->model->streams[index].expired_records;
    if (statistics.records_expired < records)
        sim_violation (sim, "what expires is counted", "%llu instead of %llu",
                       (unsigned long long) statistics.records_expired,
                       (unsigned long long) records);
}

void sim_model_log_expires (sim_t *sim, const leat_operation_expired_t *expired)
{
    sim_stream_t *stream = sim_model_commit_stream (sim, expired->stream);
    if (!stream->is_log || expired->first > stream->records_count)
        sim_violation (sim, "only what logs have committed expires", "stream %s, below %llu",
                       stream->name, (unsigned long long) expired->first);
    if (expired->first <= stream->expiring)
        return; /* written again */
    s_check_due (sim, stream, expired->first);
    s_check_groups (sim, stream, stream->expiring, expired->first);
    SIM_COUNT (sim, logs_expired);
    for (; stream->expiring < expired->first; stream->expiring++) {
        bool record = !stream->records[stream->expiring].none;
        SIM_COUNT_MORE (sim, records_expired, record);
        stream->expired_records += record;
    }
    s_check_counts (sim, stream);
}

/* ---- kept ------------------------------------------------------------------------------------- */

void sim_model_log_expired (sim_t *sim, const leat_operation_expired_t *expired)
{
    sim_stream_t *stream = sim_model_commit_stream (sim, expired->stream);
    for (uint64_t offset = stream->expired; offset < expired->first; offset++) {
        sim_record_t *record = &stream->records[offset];
        if (!record->none)
            stream->held_size -= record->size + (record->batch == offset ? LEAT_BATCH_COST : 0);
        record->trimmed = true;
        for (unsigned number = 0; number < SIM_MODEL_GROUPS_MAX; number++) {
            sim_group_t *group = &stream->groups[number];
            if (!group->exists)
                continue;
            group->marks[offset].settled = group->marks[offset].acked = true;
            group->marks[offset].parked = false;
            if (group->floor < expired->first)
                group->floor = expired->first;
        }
    }
    if (stream->expired < expired->first)
        stream->expired = expired->first;
    if (stream->expiring < stream->expired)
        stream->expiring = stream->expired;
}

/* ---- what must be gone ------------------------------------------------------------------------ */

/* The first offset from `offset` on that has, or had, a record. */
static uint64_t s_skip_none (const sim_stream_t *stream, uint64_t offset)
{
    while (offset < stream->records_count && stream->records[offset].none)
        offset++;
    return offset;
}

/* Its oldest batch is too old, and nothing of it is at anybody or on its way to be a dead letter. */
static bool s_is_old (const sim_t *sim, const sim_stream_t *stream)
{
    uint64_t first = s_skip_none (stream, sim_model_log_first (sim, stream));
    if (!stream->max_age_ms || first >= stream->records_count
        || stream->records[first].time_ms + stream->max_age_ms + sim->plan.limits.expiry_delay
               > sim_wall_ms (sim))
        return false;
    uint64_t batch = stream->records[first].batch;
    for (uint64_t offset = first;
         offset < stream->records_count && stream->records[offset].batch == batch; offset++) {
        for (unsigned number = 0; number < SIM_MODEL_GROUPS_MAX; number++) {
            const sim_group_t *group = &stream->groups[number];
            const sim_mark_t *mark = group->exists ? &group->marks[offset] : NULL;
            if (mark
                && (mark->holder || mark->rejected || mark->charged >= sim->plan.limits.attempts))
                return false;
        }
    }
    return true;
}

/* What the core holds no more, the store is told of; meanwhile more may expire. */
static void s_check_told (sim_t *sim, sim_stream_t *stream, uint64_t patience_us)
{
    uint64_t first = sim_model_log_first (sim, stream);
    uint64_t expired = s_skip_none (stream, stream->expired);
    if (first <= expired) {
        stream->untold_since_us = 0;
        return;
    }
    if (!stream->untold_since_us || expired >= stream->untold) {
        stream->untold_since_us = sim->now_us;
        stream->untold = first;
    }
    if (sim->now_us - stream->untold_since_us > patience_us)
        sim_violation (sim, "the store is told what has expired", "stream %s, below %llu",
                       stream->name, (unsigned long long) stream->untold);
}

void sim_model_log_check (sim_t *sim)
{
    enum { PATIENCE_US = 2000000 }; /* for a broker that was frozen, and looks at its store */
    for (unsigned index = 0; sim->broker->core && index < SIM_MODEL_STREAMS_MAX; index++) {
        sim_stream_t *stream = &sim->model->streams[index];
        if (!stream->exists || !stream->is_log)
            continue;
        s_check_told (sim, stream, PATIENCE_US);
        if (!s_is_old (sim, stream)) {
            stream->old_since_us = 0;
            continue;
        }
        if (!stream->old_since_us)
            stream->old_since_us = sim->now_us;
        if (sim->now_us - stream->old_since_us > PATIENCE_US)
            sim_violation (sim, "what is too old expires", "stream %s, offset %llu", stream->name,
                           (unsigned long long) sim_model_log_first (sim, stream));
    }
}

void sim_model_log_check_end (sim_t *sim, const sim_stream_t *stream)
{
    uint64_t first = sim_model_log_first (sim, stream);
    uint64_t size = s_size (stream, first, s_counts_batches (sim, stream));
    if (stream->max_size && size > stream->max_size)
        sim_violation (sim, "a log gets no larger than its max_size",
                       "stream %s, from %llu: %llu bytes instead of %llu", stream->name,
                       (unsigned long long) first, (unsigned long long) size,
                       (unsigned long long) stream->max_size);
}

/* The model's questions at moments that it is asked at: clients' views, idleness, rest, the end.
 * SPDX-License-Identifier: MPL-2.0 */
#include "tests/simulation/broker.h"
#include "tests/simulation/model.h"
#include "tests/simulation/store.h"
#include "tests/simulation/trace.h"

#include <string.h>

void sim_model_confirmed (sim_t *sim, unsigned identity, unsigned stream, uint64_t sequence)
{
    uint64_t ever = sim->model->sequences[identity][stream].ever;
    if (sequence > ever && sequence > sim->model->sequences[identity][stream].promised)
        sim_violation (sim, "producers are told of confirmations that the store made true",
                       "identity %u, stream %s: confirmed %llu, committed %llu", identity,
                       sim_stream_name (stream), (unsigned long long) sequence,
                       (unsigned long long) ever);
}

static void s_check_handed (sim_t *sim, unsigned stream, bool extended, const uint8_t *bytes,
                            size_t size)
{
    sim_content_t content;
    uint8_t expected[SIM_CONTENT_SIZE_MAX];
    bool sound = sim_content_decode (&content, extended, bytes, size);
    /* A dead letter has headers of its own. */
    bool dead = leat_name_reserved (leat_text (sim_stream_name (stream)));
    if (sound && !dead)
        sound =
            content.stream == stream
            && size == sim_content_encode (sim->seed, &content, sim->plan.record_size_max, expected)
            && memcmp (expected, bytes, size) == 0;
    if (!sound)
        sim_violation (sim, "applications are handed what was published", "stream %s",
                       sim_stream_name (stream));
}

void sim_model_handed (sim_t *sim, unsigned stream, uint64_t offset, bool extended,
                       const uint8_t *bytes, size_t size)
{
    const sim_stream_t *known =
        sim_model_stream_by_name (sim->model, leat_text (sim_stream_name (stream)));
    /* After a memory store was lost, offsets of its former life may still be under way; what a record
     * holds follows from its name all the same. */
    if (sim->model->emptied) {
        s_check_handed (sim, stream, extended, bytes, size);
        return;
    }
    if (!known || offset >= known->records_count || known->records[offset].size != size
        || known->records[offset].extended != extended
        || memcmp (known->records[offset].bytes, bytes, size) != 0)
        sim_violation (sim, "applications are handed what was published", "stream %s, offset %llu",
                       sim_stream_name (stream), (unsigned long long) offset);
}

/* ---- rest ------------------------------------------------------------------------------------ */

bool sim_model_is_calm (const sim_t *sim)
{
    uint64_t timeout_us = sim->plan.limits.heartbeat_timeout * 1000;
    uint64_t delay_us = sim->plan.latency_us + sim->plan.jitter_us;
    uint64_t since_us = sim->drain_start_us;
    if (since_us < sim->broker->begun_us)
        since_us = sim->broker->begun_us;
    /* With longer delays heartbeats that are sent in time may come too late. */
    return sim->draining && !sim->broker->shutting_down && 8 * delay_us < timeout_us
           && sim->now_us > since_us + 3 * timeout_us + 2000000;
}

static bool s_has_parked (const sim_stream_t *stream)
{
    for (unsigned number = 0; number < SIM_MODEL_GROUPS_MAX; number++) {
        const sim_group_t *group = &stream->groups[number];
        for (size_t offset = 0; offset < group->marks_count; offset++) {
            if (group->marks[offset].parked)
                return true;
        }
    }
    return false;
}

bool sim_model_has_parked (const sim_t *sim)
{
    bool parked = false;
    for (unsigned index = 0; index < SIM_MODEL_STREAMS_MAX && !parked; index++)
        parked = s_has_parked (&sim->model->streams[index]);
    return parked;
}

/* What may have been gone when the group was made is out of the way when it is trimmed, or with a
 * batch that a parked record holds. */
static bool s_is_over (const sim_stream_t *stream, const sim_group_t *group, uint64_t offset)
{
    const sim_mark_t *mark = &group->marks[offset];
    if (mark->optional && !mark->settled)
        return stream->records[offset].trimmed || s_has_parked (stream);
    return sim_model_mark_done (mark);
}

static bool s_group_at_rest (sim_stream_t *stream, sim_group_t *group, char *why, size_t size)
{
    while (group->done < group->marks_count && s_is_over (stream, group, group->done))
        group->done++;
    if (group->done == group->marks_count)
        return true;
    if (why) {
        const sim_mark_t *mark = &group->marks[group->done];
        snprintf (
            why, size,
            "stream %s, group %s, offset %zu of %zu is not settled (held %d, acked %d, rejected "
            "%d, charged %u, suspect %d)",
            stream->name, group->name, group->done, group->marks_count, mark->holder != NULL,
            mark->acked, mark->rejected, mark->charged, mark->suspect);
    }
    return false;
}

bool sim_model_at_rest (sim_t *sim, char *why, size_t size)
{
    for (unsigned index = 0; index < SIM_MODEL_STREAMS_MAX; index++) {
        sim_stream_t *stream = &sim->model->streams[index];
        if (!stream->exists)
            continue;
        bool any = false;
        for (unsigned number = 0; number < SIM_MODEL_GROUPS_MAX; number++) {
            sim_group_t *group = &stream->groups[number];
            any = any || group->exists;
            if (group->exists && !s_group_at_rest (stream, group, why, size))
                return false;
        }
        if (!any && stream->held_size && leat_name_reserved (leat_text (stream->name))) {
            if (why)
                snprintf (why, size, "stream %s has no group yet", stream->name);
            return false;
        }
    }
    return true;
}

/* ---- an end in order ------------------------------------------------------------------------- */

static void s_check_known (sim_t *sim, const sim_stream_t *stream, const sim_group_t *group,
                           size_t offset)
{
    const sim_mark_t *mark = &group->marks[offset];
    const char *lost = NULL;
    if (mark->settled || mark->optional || mark->parked)
        return;
    if (mark->acked)
        lost = "an acknowledgement";
    else if (mark->rejected)
        lost = "a reject";
    else if (mark->charged != mark->charged_durable)
        lost = "an attempt";
    else if (mark->suspect != mark->suspect_durable)
        lost = "suspicion";
    if (lost)
        sim_violation (sim, "a broker that ends in order forgets nothing",
                       "stream %s, group %s, offset %zu: %s", stream->name, group->name, offset,
                       lost);
}

void sim_model_check_shut_down (sim_t *sim)
{
    sim_model_check_lost (sim);
    for (unsigned index = 0; index < SIM_MODEL_STREAMS_MAX; index++) {
        const sim_stream_t *stream = &sim->model->streams[index];
        for (unsigned number = 0;
             stream->exists && !stream->fleeting && number < SIM_MODEL_GROUPS_MAX; number++) {
            const sim_group_t *group = &stream->groups[number];
            for (size_t offset = 0; group->exists && offset < group->marks_count; offset++)
                s_check_known (sim, stream, group, offset);
        }
    }
}

/* ---- idleness -------------------------------------------------------------------------------- */

/* Fresh records wait while as many as are allowed are special in some way. */
static bool s_has_ready (sim_t *sim, const sim_stream_t *stream, const sim_group_t *group)
{
    uint64_t marked = 0;
    bool ready = false;
    /* What has expired in the core is on its way to the store once that has ended what it is at
     * (sim_model_log_check); whether it was time is judged then. */
    bool knows = stream->is_log && sim->broker->core;
    uint64_t gone = knows ? sim_model_log_first (sim, stream) : 0;
    /* Dead letters are special until they are committed: those that the store refused are tried again after a
     * second, and some commits take it longer than others. */
    bool dying = (sim->now_us < sim->store->refused_us + 2000000 && sim->store->refused_us)
                 || sim_store_is_late (sim);
    for (size_t offset = dying ? 0 : group->done; offset < group->marks_count; offset++) {
        const sim_mark_t *mark = &group->marks[offset];
        marked += dying && mark->parked;
        if (sim_model_mark_done (mark) || offset < stream->expiring || offset < gone)
            continue;
        if (mark->charged || mark->suspect || mark->rejected || mark->started)
            marked++;
        else if (!mark->holder && !mark->acked && mark->due_ms <= sim_wall_ms (sim))
            ready = true;
    }
    return ready && marked < sim->plan.limits.marked_records;
}

static bool s_has_free_consumer (const sim_t *sim, const sim_group_t *group)
{
    for (const sim_peer_t *peer = sim->model->peers; peer; peer = peer->next) {
        for (const sim_channel_t *channel = peer->channels; peer->live && channel;
             channel = channel->next) {
            if (channel->group == group && channel->answered && !channel->ended
                && channel->credit_records && !channel->outstanding && !channel->drained
                && !channel->benched)
                return true;
        }
    }
    return false;
}

/* How long it may take until a group with work and somebody for it hands something out. What is away is
 * not read as long as credit of producers takes all of a small memory: that comes back from who has not
 * used it for a second, once he answers or is lost. More than that was never promised. As long as that
 * goes on the limit is met each second. */
static uint64_t s_patience_us (const sim_t *sim)
{
    enum { UNUSED_US = 1000000 };
    uint64_t timeout_us = sim->plan.limits.heartbeat_timeout * 1000;
    uint64_t longer_us = timeout_us + UNUSED_US + timeout_us;
    bool is_short = sim->plan.store_reads && sim->model->memory_us
                    && sim->now_us - sim->model->memory_us < longer_us;
    return is_short ? longer_us : timeout_us;
}

void sim_model_check_idle (sim_t *sim)
{
    sim_model_log_check (sim);
    for (unsigned index = 0; index < SIM_MODEL_STREAMS_MAX; index++) {
        sim_stream_t *stream = &sim->model->streams[index];
        for (unsigned number = 0; stream->exists && number < SIM_MODEL_GROUPS_MAX; number++) {
            sim_group_t *group = &stream->groups[number];
            if (group->exists)
                sim_model_balance_check (sim, stream, group);
            if (!group->exists || s_group_at_rest (stream, group, NULL, 0)
                || !s_has_ready (sim, stream, group) || !s_has_free_consumer (sim, group)) {
                group->idle_since_us = 0;
                continue;
            }
            if (!group->idle_since_us)
                group->idle_since_us = sim->now_us;
            if (sim->now_us - group->idle_since_us > s_patience_us (sim))
                sim_violation (sim, "no consumer with credit idles while there is work",
                               "stream %s, group %s, for %llu us", stream->name, group->name,
                               (unsigned long long) (sim->now_us - group->idle_since_us));
        }
    }
}

/* One that is not heard is not overdue, but lost after a while. */
static bool s_is_overdue (const sim_t *sim, const sim_stream_t *stream, const sim_mark_t *mark)
{
    uint64_t limit_us = stream->processing_ms * 1000;
    if (!mark->holder || mark->since_us == SIM_NEVER)
        return false;
    uint64_t since_us = mark->since_us > stream->set_us ? mark->since_us : stream->set_us;
    uint64_t due_us = since_us + limit_us + limit_us / 64;
    return sim->now_us > due_us && mark->holder->peer->heard_us > due_us;
}

static void s_check_overdue (sim_t *sim, const sim_stream_t *stream, sim_group_t *group)
{
    for (size_t offset = group->done; offset < group->marks_count; offset++) {
        sim_mark_t *mark = &group->marks[offset];
        if (!s_is_overdue (sim, stream, mark)) {
            mark->overdue_us = 0;
            continue;
        }
        if (!mark->overdue_us)
            mark->overdue_us = sim->now_us;
        if (sim->now_us - mark->overdue_us > 1000000)
            sim_violation (sim, "what is overdue is taken away",
                           "stream %s, group %s, offset %zu, peer %llu, for %llu us, limit %llu ms",
                           stream->name, group->name, offset,
                           (unsigned long long) mark->holder->peer->number,
                           (unsigned long long) (sim->now_us - mark->since_us),
                           (unsigned long long) stream->processing_ms);
    }
}

static void s_check_settings (void *arg, const leat_stream_statistics_t *row)
{
    sim_t *sim = arg;
    const sim_stream_t *stream = sim_model_stream_by_name (sim->model, row->name);
    bool log = row->retention == LEAT_RETENTION_LOG;
    if (stream
        && (stream->is_log != log || stream->max_age_ms != row->max_age_ms
            || stream->max_size != row->max_size))
        sim_violation (sim, "what is set of a stream is recovered",
                       "stream %s: %s, max_age %llu ms, max_size %llu", stream->name,
                       log ? "log" : "work", (unsigned long long) row->max_age_ms,
                       (unsigned long long) row->max_size);
    if (stream && stream->processing_ms != row->max_processing_ms)
        sim_violation (sim, "what is set of a stream is recovered",
                       "stream %s has %llu, not %llu ms", stream->name,
                       (unsigned long long) row->max_processing_ms,
                       (unsigned long long) stream->processing_ms);
}

void sim_model_check_recovered (sim_t *sim)
{
    const leat_statistics_visitor_t visitor = { .stream = s_check_settings, .arg = sim };
    leat_core_visit (sim->broker->core, &visitor);
}

void sim_model_check_overdue (sim_t *sim)
{
    for (unsigned index = 0; index < SIM_MODEL_STREAMS_MAX; index++) {
        sim_stream_t *stream = &sim->model->streams[index];
        for (unsigned number = 0; stream->processing_ms && number < SIM_MODEL_GROUPS_MAX;
             number++) {
            if (stream->groups[number].exists)
                s_check_overdue (sim, stream, &stream->groups[number]);
        }
    }
}

/* ---- the end --------------------------------------------------------------------------------- */

void sim_model_check_end (sim_t *sim, const leat_statistics_t *statistics)
{
    uint64_t held = 0;
    for (unsigned index = 0; index < SIM_MODEL_STREAMS_MAX; index++) {
        const sim_stream_t *stream = &sim->model->streams[index];
        held += stream->is_log ? sim_model_log_held (sim, stream) : stream->held_size;
        if (stream->is_log) {
            sim_model_log_check_end (sim, stream);
            continue;
        }
        unsigned groups = 0;
        unsigned parked = 0;
        for (unsigned number = 0; number < SIM_MODEL_GROUPS_MAX; number++) {
            const sim_group_t *group = &stream->groups[number];
            groups += group->exists;
            for (size_t offset = 0; offset < group->marks_count; offset++)
                parked += group->marks[offset].parked;
        }
        if (groups && !parked && stream->held_size)
            sim_violation (sim, "what every group has settled is trimmed", "stream %s holds %llu",
                           stream->name, (unsigned long long) stream->held_size);
    }
    sim_model_check_lost (sim);
    /* The rest of a batch that is mostly settled is copied out and takes less. */
    bool nothing = !statistics->held_size && !sim->plan.store_reads;
    if (statistics->held_size > held || (held && nothing))
        sim_violation (sim, "the core holds what the store holds", "%llu instead of %llu",
                       (unsigned long long) statistics->held_size, (unsigned long long) held);
    if (statistics->granted_size)
        sim_violation (sim, "all credit comes back", "%llu are granted, and nobody is there",
                       (unsigned long long) statistics->granted_size);
    if (statistics->sessions)
        sim_violation (sim, "all sessions end", "%llu are left",
                       (unsigned long long) statistics->sessions);
}

void sim_model_groups (sim_t *sim, sim_model_group_fn *fn)
{
    for (unsigned index = 0; index < 2 * (SIM_STREAMS_MAX + 1); index++) {
        const sim_stream_t *stream =
            sim_model_stream_by_name (sim->model, leat_text (sim_stream_name (index)));
        if (!stream)
            continue;
        if (leat_name_reserved (leat_text (stream->name)) && stream->held_size)
            fn (sim, index, stream->name, sim_group_name (0));
        for (unsigned number = 0; number < SIM_MODEL_GROUPS_MAX; number++) {
            if (stream->groups[number].exists)
                fn (sim, index, stream->name, stream->groups[number].name);
        }
    }
}

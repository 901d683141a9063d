/* The model's tables: streams, groups, marks.
 * SPDX-License-Identifier: MPL-2.0 */
#include "tests/simulation/model.h"
#include "wire/alloc.h"
#include "wire/assert.h"

#include <stdlib.h>
#include <string.h>

sim_model_t *sim_model_new (void)
{
    return leat_alloc (sizeof (sim_model_t));
}

static void s_peer_destroy (sim_peer_t *peer)
{
    sim_channel_t *channel;
    while ((channel = peer->channels) != NULL) {
        peer->channels = channel->next;
        free (channel->acks);
        free (channel);
    }
    free (peer);
}

static void s_forget_peers (sim_model_t *self)
{
    sim_peer_t *peer;
    while ((peer = self->peers) != NULL) {
        self->peers = peer->next;
        s_peer_destroy (peer);
    }
}

static void s_stream_clear (sim_stream_t *stream)
{
    for (size_t index = 0; index < stream->records_count; index++)
        free (stream->records[index].bytes);
    free (stream->records);
    for (unsigned index = 0; index < SIM_MODEL_GROUPS_MAX; index++)
        free (stream->groups[index].marks);
    memset (stream, 0, sizeof *stream);
}

void sim_model_destroy (sim_model_t **self_p)
{
    if (!*self_p)
        return;
    s_forget_peers (*self_p);
    for (unsigned index = 0; index < SIM_MODEL_STREAMS_MAX; index++)
        s_stream_clear (&(*self_p)->streams[index]);
    for (unsigned index = 0; index < sizeof (*self_p)->births / sizeof *(*self_p)->births; index++)
        free ((*self_p)->births[index].gone);
    free (*self_p);
    *self_p = NULL;
}

void sim_model_forget (sim_t *sim)
{
    sim_model_t *self = sim->model;
    s_forget_peers (self);
    for (unsigned index = 0; index < SIM_MODEL_STREAMS_MAX; index++)
        s_stream_clear (&self->streams[index]);
    for (unsigned identity = 0; identity < SIM_IDENTITIES_MAX; identity++) {
        for (unsigned stream = 0; stream <= SIM_STREAMS_MAX; stream++)
            self->sequences[identity][stream].known = false;
    }
    self->emptied = true;
}

/* A new core knows what the store has, and nothing else. */
static void s_mark_restart (sim_mark_t *mark)
{
    mark->holder = NULL;
    mark->charged = mark->charged_durable;
    mark->due_ms = mark->due_durable_ms;
    mark->suspect = mark->suspect_durable;
    mark->started = mark->charged_durable > 0 || mark->suspect_durable;
    mark->given = false;
    mark->acked = mark->settled;
    mark->rejected = false;
}

void sim_model_restarted (sim_t *sim)
{
    sim_model_t *self = sim->model;
    s_forget_peers (self);
    self->timed_out = 0;
    self->slices_seen = 0;
    self->memory_hits = 0;
    for (unsigned index = 0; index < SIM_MODEL_STREAMS_MAX; index++) {
        sim_stream_t *stream = &self->streams[index];
        if (stream->async)
            sim_model_async_restarted (sim, stream);
        if (stream->fleeting)
            sim_model_fleeting_restarted (sim, stream);
        stream->submitted = stream->records_count;
        stream->expiring = stream->expired;
        stream->expired_records = 0;
        stream->untold_since_us = 0;
        for (unsigned number = 0; number < SIM_MODEL_GROUPS_MAX; number++) {
            sim_group_t *group = &stream->groups[number];
            group->fresh = 0;
            group->expired = 0;
            group->idle_since_us = 0;
            for (size_t offset = 0; offset < group->marks_count; offset++)
                s_mark_restart (&group->marks[offset]);
        }
    }
}

void sim_model_text (char *copy, leat_text_t text)
{
    size_t size = text.size < LEAT_NAME_MAX ? text.size : LEAT_NAME_MAX;
    if (size)
        memcpy (copy, text.data, size);
    copy[size] = 0;
}

sim_stream_t *sim_model_stream_by_id (sim_model_t *self, uint32_t id)
{
    for (unsigned index = 0; index < SIM_MODEL_STREAMS_MAX; index++) {
        if (self->streams[index].exists && self->streams[index].id == id)
            return &self->streams[index];
    }
    return NULL;
}

sim_stream_t *sim_model_stream_by_name (sim_model_t *self, leat_text_t name)
{
    for (unsigned index = 0; index < SIM_MODEL_STREAMS_MAX; index++) {
        if (self->streams[index].exists
            && leat_text_equal (leat_text (self->streams[index].name), name))
            return &self->streams[index];
    }
    return NULL;
}

sim_group_t *sim_model_group_by_id (sim_stream_t *stream, uint32_t id)
{
    for (unsigned index = 0; index < SIM_MODEL_GROUPS_MAX; index++) {
        if (stream->groups[index].exists && stream->groups[index].id == id)
            return &stream->groups[index];
    }
    return NULL;
}

sim_group_t *sim_model_group_by_name (sim_stream_t *stream, leat_text_t name)
{
    for (unsigned index = 0; index < SIM_MODEL_GROUPS_MAX; index++) {
        if (stream->groups[index].exists
            && leat_text_equal (leat_text (stream->groups[index].name), name))
            return &stream->groups[index];
    }
    return NULL;
}

/* A group has a mark for each record of its stream. */
void sim_model_group_grow (sim_stream_t *stream, sim_group_t *group)
{
    if (group->marks_room < stream->records_count) {
        group->marks_room = 2 * stream->records_count;
        group->marks = leat_realloc (group->marks, group->marks_room * sizeof *group->marks);
    }
    size_t more = stream->records_count - group->marks_count;
    if (more)
        memset (group->marks + group->marks_count, 0, more * sizeof *group->marks);
    for (size_t offset = group->marks_count; offset < stream->records_count; offset++) {
        if (offset < group->first || stream->records[offset].none)
            group->marks[offset].settled = group->marks[offset].acked = true;
        group->marks[offset].optional |= offset < group->aged;
    }
    group->marks_count = stream->records_count;
}

bool sim_model_mark_done (const sim_mark_t *mark)
{
    return mark->settled || mark->parked || mark->optional;
}

/* What the core tells about itself.
 * SPDX-License-Identifier: MPL-2.0 */

#include "broker/core/state.h"

void leat_core_statistics (const leat_core_t *self, leat_statistics_t *statistics)
{
    *statistics = self->statistics;
    statistics->held_size = self->held_size;
    statistics->granted_size = self->granted_size;
}

static uint64_t s_rate (const leat_core_t *core, const core_channel_t *channel)
{
    uint64_t elapsed_us = core->now_us - channel->rate_since_us;
    if (elapsed_us < 1000000)
        return channel->rate ? channel->rate : channel->rate_count;
    return channel->rate_count * 1000000 / elapsed_us;
}

static void s_visit_group (const core_group_t *group, const leat_statistics_visitor_t *visitor)
{
    leat_group_statistics_t row = {
        .name = { group->name, group->name_size },
        .ready = core_group_ready (group),
        .in_flight = group->leased,
        .delayed = group->mark_counts[CORE_MARK_DELAYED],
        .suspect = group->mark_counts[CORE_MARK_SUSPECT],
        .parked = group->mark_counts[CORE_MARK_PARKED],
        .settled = group->settled_count,
        .redelivered = group->redelivered_count,
        .dead_lettered = group->dead_count,
        .expired = group->expired_count,
        .consumers = group->consumer_count,
    };
    visitor->group (visitor->arg, &row);
}

static void s_visit_stream (core_stream_t *stream, const leat_statistics_visitor_t *visitor)
{
    const core_batch_t *oldest = RB_MIN (core_batches, &stream->batches);
    leat_stream_statistics_t row = {
        .name = { stream->name, stream->name_size },
        .durability = stream->settings.durability,
        .retention = stream->settings.retention,
        .max_age_ms = stream->settings.max_age_ms,
        .max_size = stream->settings.max_size,
        .max_processing_ms = stream->settings.max_processing_ms,
        .first_offset = oldest ? oldest->first : stream->next_offset,
        .next_offset = stream->next_offset,
        .accepted = stream->accepted_count,
        .held = stream->record_count,
        .bytes = !stream->reads         ? stream->held_size
                 : core_is_log (stream) ? stream->log_size
                                        : stream->stored_size,
        .expired = stream->expired_count,
        .producers = stream->producer_count,
        .groups = stream->group_count,
    };
    if (visitor->stream)
        visitor->stream (visitor->arg, &row);
    core_group_t *group;
    if (visitor->group)
        RB_FOREACH (group, core_groups, &stream->groups)
            s_visit_group (group, visitor);
}

static void s_visit_channel (const leat_core_t *core, const core_channel_t *channel,
                             const leat_statistics_visitor_t *visitor)
{
    const core_session_t *session = channel->session;
    const core_identity_t *identity = session->identity;
    leat_channel_statistics_t row = {
        .identity = { identity->name, identity->name_size },
        .stream = { channel->stream->name, channel->stream->name_size },
        .session_epoch = session->epoch,
        .records = channel->records,
        .rate = s_rate (core, channel),
        .heartbeat_age_ms = (core->now_us - session->heard_us) / 1000,
    };
    if (channel->consumer) {
        const core_consumer_t *consumer = (const core_consumer_t *) channel;
        row.group = (leat_text_t){ consumer->group->name, consumer->group->name_size };
        row.in_flight = consumer->leased;
        row.credit = consumer->credit_records;
        double service_us = consumer->pace.service_us;
        row.service_us = (uint64_t) service_us + (service_us > (double) (uint64_t) service_us);
        row.work_us = (uint64_t) (service_us * consumer->leased);
        row.recalled = consumer->recalled_count;
        row.redelivered = consumer->redelivered;
        if (visitor->consumer)
            visitor->consumer (visitor->arg, &row);
    } else {
        const core_producer_t *producer = (const core_producer_t *) channel;
        row.in_flight = producer->sequence->accepted - producer->sequence->committed;
        row.credit = producer->limit - producer->received;
        if (visitor->producer)
            visitor->producer (visitor->arg, &row);
    }
}

void leat_core_visit (const leat_core_t *self, const leat_statistics_visitor_t *visitor)
{
    leat_core_t *core = (leat_core_t *) self; /* the trees' macros take no const heads */
    core_stream_t *stream;
    RB_FOREACH (stream, core_streams, &core->streams)
        s_visit_stream (stream, visitor);
    core_session_t *session;
    RB_FOREACH (session, core_sessions, &core->sessions) {
        core_channel_t *channel;
        RB_FOREACH (channel, core_channels, &session->channels)
            s_visit_channel (core, channel, visitor);
    }
}

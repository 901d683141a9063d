/* The model and leases: who has which record, what a settle may change, who is a suspect.
 * SPDX-License-Identifier: MPL-2.0 */
#include "tests/simulation/model.h"
#include "tests/simulation/store.h"
#include "tests/simulation/trace.h"
#include "wire/alloc.h"
#include "wire/crc32c.h"

#include <string.h>

/* ---- the end of a lease ---------------------------------------------------------------------- */

static void s_release (sim_t *sim, sim_channel_t *channel, uint64_t offset)
{
    sim_mark_t *mark = &channel->group->marks[offset];
    mark->holder = NULL;
    channel->outstanding--;
    channel->outstanding_size -= sim->model->streams[channel->stream].records[offset].size;
    if (channel->outstanding == 0)
        channel->lone = false;
    channel->free_since_us = sim->now_us;
}

static void s_charge (sim_t *sim, sim_mark_t *mark)
{
    mark->charged++;
    mark->started = true;
    SIM_COUNT (sim, charged);
}

static bool s_may_have_started (const sim_channel_t *channel, const sim_mark_t *mark)
{
    return mark->position < channel->reported + channel->max_unreported;
}

/* More of what it holds may have been started from now on. */
static void s_started (sim_t *sim, const sim_channel_t *channel)
{
    for (size_t offset = 0; offset < channel->group->marks_count; offset++) {
        sim_mark_t *mark = &channel->group->marks[offset];
        if (mark->holder == channel && mark->since_us == SIM_NEVER
            && s_may_have_started (channel, mark))
            mark->since_us = sim->now_us;
    }
}

/* The lowest position of what it holds; SIM_NEVER if it holds nothing. */
static uint64_t s_first_held (const sim_channel_t *channel)
{
    uint64_t first = SIM_NEVER;
    for (size_t offset = 0; offset < channel->group->marks_count; offset++) {
        const sim_mark_t *mark = &channel->group->marks[offset];
        if (mark->holder == channel && mark->position < first)
            first = mark->position;
    }
    return first;
}

/* A record that a lost consumer may have started is suspect. It is charged only if that held nothing
 * else: a REPORT or settle that told otherwise may be lost. */
static void s_lost (sim_t *sim, sim_channel_t *channel, sim_mark_t *mark)
{
    mark->suspect = true;
    mark->started = true;
    if (channel->outstanding > 1)
        return;
    s_charge (sim, mark);
    if (channel->poisoned && !mark->deadly)
        sim_violation (sim, "nobody pays for a record that ended its consumer",
                       "peer %llu, channel %u, stream %s, group %s, offset %zu",
                       (unsigned long long) channel->peer->number, channel->number,
                       channel->stream_name, channel->group->name,
                       (size_t) (mark - channel->group->marks));
}

/* Lost: what may have been started is suspect, and in any case the first record that it holds. */
void sim_model_consumer_ended (sim_t *sim, sim_channel_t *channel, bool clean)
{
    sim_group_t *group = channel->group;
    uint64_t first = s_first_held (channel);
    uint64_t held = channel->outstanding;
    uint64_t suspects = 0;
    for (size_t offset = 0; !clean && offset < group->marks_count; offset++) {
        sim_mark_t *mark = &group->marks[offset];
        if (mark->holder != channel
            || (mark->position != first && !s_may_have_started (channel, mark)))
            continue;
        suspects++;
        s_lost (sim, channel, mark);
    }
    for (size_t offset = 0; offset < group->marks_count; offset++) {
        if (group->marks[offset].holder == channel)
            s_release (sim, channel, offset);
    }
    if (suspects == 1 && held == 1)
        SIM_COUNT (sim, suspects_alone);
    else if (suspects == 1)
        SIM_COUNT (sim, suspects_lone);
    else if (suspects)
        SIM_COUNT (sim, suspects_several);
    channel->ended = true;
}

static sim_channel_t *s_channels (const sim_t *sim, uint64_t peer_number)
{
    const sim_peer_t *peer = sim->model->peers;
    while (peer && peer->number != peer_number)
        peer = peer->next;
    return peer ? peer->channels : NULL;
}

void sim_model_poisoned (sim_t *sim, uint64_t peer, const char *stream, const char *group,
                         uint64_t offset)
{
    for (sim_channel_t *channel = s_channels (sim, peer); channel; channel = channel->next) {
        if (!channel->group || channel->ended || offset >= channel->group->marks_count
            || strcmp (channel->stream_name, stream) != 0
            || strcmp (channel->group_name, group) != 0)
            continue;
        sim_mark_t *mark = &channel->group->marks[offset];
        mark->deadly = true;
        /* What was taken away, and its consumer does not know yet, cannot be blamed on what it holds instead. */
        if (mark->holder == channel)
            channel->poisoned = true;
    }
}

void sim_model_cured (sim_t *sim, uint64_t peer)
{
    for (sim_channel_t *channel = s_channels (sim, peer); channel; channel = channel->next)
        channel->poisoned = false;
}

/* ---- settles --------------------------------------------------------------------------------- */

static void s_acked (sim_channel_t *channel, uint64_t offset)
{
    if (channel->acks_count == channel->acks_room) {
        channel->acks_room = channel->acks_room ? 2 * channel->acks_room : 64;
        channel->acks = leat_realloc (channel->acks, channel->acks_room * sizeof *channel->acks);
    }
    channel->acks[channel->acks_count++] = offset;
}

static void s_nacked (sim_t *sim, sim_mark_t *mark, uint32_t delay_ms)
{
    uint64_t delay = delay_ms;
    if (delay > sim->plan.limits.nack_delay_ceiling)
        delay = sim->plan.limits.nack_delay_ceiling;
    /* The core's clock is that of its last tick. */
    mark->due_ms = delay ? sim_wall_ms (sim) + delay : 0;
    mark->suspect = false;
    s_charge (sim, mark);
    if (delay)
        SIM_COUNT (sim, settle_nack_delay);
}

static void s_settle_record (sim_t *sim, sim_channel_t *channel, const leat_settle_entry_t *entry,
                             uint64_t offset)
{
    sim_mark_t *mark = &channel->group->marks[offset];
    if (mark->holder != channel || mark->epoch != entry->epoch) {
        SIM_COUNT (sim, settle_stale);
        if (entry->epoch <= channel->lost_epoch) {
            channel->late++;
            channel->late_us = sim->now_us;
        }
        return;
    }
    if (channel->reported <= mark->position)
        channel->reported = mark->position + 1;
    s_release (sim, channel, offset);
    s_started (sim, channel);
    switch (entry->outcome) {
    case LEAT_ACK:
        SIM_COUNT (sim, settle_ack);
        mark->acked = true;
        s_acked (channel, offset);
        break;
    case LEAT_NACK:
        SIM_COUNT (sim, settle_nack);
        s_nacked (sim, mark, entry->delay_ms);
        break;
    default:
        SIM_COUNT (sim, settle_reject);
        mark->rejected = true;
        s_charge (sim, mark); /* an attempt it was */
        s_acked (channel, offset);
    }
}

static void s_says_settle (sim_t *sim, sim_channel_t *channel, const leat_settle_t *settle)
{
    uint64_t before = channel->outstanding;
    if (channel->late && channel->late_us < sim->now_us)
        sim_violation (sim, "who settles too late is told",
                       "peer %llu, channel %u: %llu records of leases up to %llx",
                       (unsigned long long) channel->peer->number, channel->number,
                       (unsigned long long) channel->late,
                       (unsigned long long) channel->lost_epoch);
    for (uint32_t index = 0; index < settle->entries.count; index++) {
        leat_settle_entry_t entry = leat_settles_get (&settle->entries, index);
        for (uint64_t offset = entry.first;
             offset < entry.first + entry.count && offset < channel->group->marks_count; offset++)
            s_settle_record (sim, channel, &entry, offset);
    }
    if (channel->outstanding < before)
        sim_model_balance_settled (sim, channel, before - channel->outstanding);
    size_t room = sizeof channel->confirms / sizeof *channel->confirms;
    if ((settle->flags & LEAT_SETTLE_CONFIRM) && channel->confirms_count < room) {
        struct sim_confirm *confirm = &channel->confirms[channel->confirms_count++];
        confirm->token = settle->token;
        confirm->acked = channel->acks_count;
    }
}

static void s_says_returned (sim_t *sim, sim_channel_t *channel, const leat_ranges_t *ranges)
{
    for (uint32_t index = 0; index < ranges->count; index++) {
        leat_range_t range = leat_ranges_get (ranges, index);
        for (uint64_t offset = range.first;
             offset < range.first + range.count && offset < channel->group->marks_count; offset++) {
            const sim_mark_t *mark = &channel->group->marks[offset];
            if (mark->holder != channel || mark->epoch != range.epoch)
                continue;
            SIM_COUNT (sim, records_returned);
            SIM_COUNT_MORE (sim, records_recalled, channel->recall_end > mark->position);
            s_release (sim, channel, offset);
        }
    }
}

static void s_says_leave (sim_t *sim, sim_channel_t *channel)
{
    for (size_t offset = 0; offset < channel->group->marks_count; offset++) {
        if (channel->group->marks[offset].holder == channel)
            s_release (sim, channel, offset);
    }
    channel->credit_records = 0;
    channel->credit_size = 0;
}

void sim_model_consumer_says (sim_t *sim, sim_channel_t *channel, const leat_command_t *command)
{
    if (command->id == LEAT_SETTLE || command->id == LEAT_REPORT || command->id == LEAT_ALLOW)
        channel->benched = channel->stuck = false;
    switch (command->id) {
    case LEAT_ALLOW:
        if (command->allow.credit_records > sim->plan.limits.credit_records
            || command->allow.credit_size > sim->plan.limits.credit_size)
            break; /* is refused */
        channel->credit_records = command->allow.credit_records;
        channel->credit_size = command->allow.credit_size;
        channel->free_since_us = sim->now_us;
        break;
    case LEAT_REPORT:
        if (channel->reported < command->report.position)
            channel->reported =
                command->report.position >> 62 ? (uint64_t) 1 << 62 : command->report.position;
        s_started (sim, channel);
        break;
    case LEAT_SETTLE:
        s_says_settle (sim, channel, &command->settle);
        break;
    case LEAT_RETURNED:
        s_says_returned (sim, channel, &command->returned.ranges);
        if (command->returned.code == LEAT_OK)
            sim_model_balance_returned (channel);
        break;
    case LEAT_ASK_EMPTY:
        channel->asking = true;
        channel->asked_empty = command->ask_empty.token;
        break;
    case LEAT_LEAVE:
        s_says_leave (sim, channel);
        break;
    default:
        break;
    }
}

/* ---- deliveries ------------------------------------------------------------------------------ */

static void s_check_credit (sim_t *sim, const sim_channel_t *channel, const leat_batch_t *batch,
                            uint64_t size)
{
    if (channel->drained)
        sim_violation (sim, "who was asked to leave gets nothing more", "peer %llu, channel %u",
                       (unsigned long long) channel->peer->number, channel->number);
    if (channel->lone)
        sim_violation (sim, "who has a suspect gets nothing else", "peer %llu, channel %u",
                       (unsigned long long) channel->peer->number, channel->number);
    if (channel->outstanding + batch->count > channel->credit_records)
        sim_violation (sim, "consumers hold no more records than they allow",
                       "peer %llu, channel %u: %llu and %u more, %llu allowed",
                       (unsigned long long) channel->peer->number, channel->number,
                       (unsigned long long) channel->outstanding, batch->count,
                       (unsigned long long) channel->credit_records);
    if (channel->outstanding_size + size > channel->credit_size
        && (channel->outstanding || batch->count > 1))
        sim_violation (sim, "consumers hold no more bytes than they allow",
                       "peer %llu, channel %u: %llu and %llu more, %llu allowed",
                       (unsigned long long) channel->peer->number, channel->number,
                       (unsigned long long) channel->outstanding_size, (unsigned long long) size,
                       (unsigned long long) channel->credit_size);
}

static void s_check_mark (sim_t *sim, const sim_channel_t *channel, const leat_batch_t *batch,
                          uint64_t offset)
{
    const sim_group_t *group = channel->group;
    const sim_mark_t *mark = &group->marks[offset];
    const char *wrong = NULL;
    bool redelivered = batch->flags & LEAT_DELIVER_REDELIVERED;
    if (mark->acked || mark->settled)
        wrong = "nothing settled is delivered again";
    else if (mark->rejected || mark->parked || mark->charged >= sim->plan.limits.attempts)
        wrong = "no dead letter is delivered again";
    else if (mark->holder)
        wrong = "a record has one live lease per group";
    else if (batch->epoch <= mark->epoch)
        wrong = "lease epochs only grow";
    else if (batch->attempt != mark->charged + 1)
        wrong = "attempt is what was charged, and one";
    else if (redelivered != mark->started)
        wrong = "REDELIVERED marks what may have been started, nothing else";
    else if (mark->suspect && (batch->count > 1 || channel->outstanding > 0))
        wrong = "a suspect goes out alone";
    else if (mark->due_ms > sim_wall_ms (sim))
        wrong = "a delayed record waits for its time";
    else if (!mark->given && !mark->started && offset < group->fresh)
        wrong = "fresh records go out in order";
    if (wrong)
        sim_violation (
            sim, wrong,
            "stream %s, group %s, offset %llu to peer %llu, attempt %u, flags %u; charged "
            "%u, suspect %d, started %d, held %d",
            channel->stream_name, group->name, (unsigned long long) offset,
            (unsigned long long) channel->peer->number, batch->attempt, batch->flags, mark->charged,
            mark->suspect, mark->started, mark->holder != NULL);
}

static void s_check_payload (sim_t *sim, const sim_stream_t *stream, const leat_batch_t *batch,
                             const uint8_t *bytes, size_t size)
{
    for (uint64_t offset = batch->first; offset < batch->first + batch->count; offset++) {
        const sim_record_t *record = &stream->records[offset];
        bool extended = batch->attributes & LEAT_BATCH_EXTENDED;
        if (record->size > size || memcmp (bytes, record->bytes, record->size) != 0
            || record->extended != extended || record->time_ms != batch->time_ms)
            sim_violation (sim, "a delivered payload equals what was published",
                           "stream %s, offset %llu", stream->name, (unsigned long long) offset);
        bytes += record->size;
        size -= record->size;
    }
    if (size)
        sim_violation (sim, "a delivered payload equals what was published",
                       "stream %s, offset %llu: %zu bytes too many", stream->name,
                       (unsigned long long) batch->first, size);
}

void sim_model_delivered (sim_t *sim, sim_channel_t *channel, const leat_batch_t *batch,
                          leat_slice_t body, uint64_t behind)
{
    sim_stream_t *stream = &sim->model->streams[channel->stream];
    sim_group_t *group = channel->group;
    const uint8_t *bytes = leat_slice_bytes (body);
    if (batch->first + batch->count > stream->records_count)
        sim_violation (sim, "no record is delivered before it is committed",
                       "stream %s: %llu+%u, %zu are committed", stream->name,
                       (unsigned long long) batch->first, batch->count, stream->records_count);
    if (batch->first < stream->expiring)
        sim_violation (sim, "what has expired is not delivered", "stream %s, offset %llu",
                       stream->name, (unsigned long long) batch->first);
    if (leat_crc32c (bytes, body.size) != batch->crc32c)
        sim_violation (sim, "a delivery's checksum is right", "stream %s, offset %llu",
                       stream->name, (unsigned long long) batch->first);
    bool goes_on = behind == batch->first && behind && batch->epoch == sim->model->newest_epoch;
    if (!goes_on && batch->epoch <= sim->model->newest_epoch)
        sim_violation (sim, "lease epochs only grow", "%llx after %llx",
                       (unsigned long long) batch->epoch,
                       (unsigned long long) sim->model->newest_epoch);
    sim->model->newest_epoch = batch->epoch;
    s_check_payload (sim, stream, batch, bytes, body.size);
    s_check_credit (sim, channel, batch, body.size);
    sim_model_balance_delivered (sim, channel, batch->count);
    if (sim->plan.store_reads)
        group->idle_since_us = 0; /* with little memory only one may be served at a time */
    for (uint64_t offset = batch->first; offset < batch->first + batch->count; offset++) {
        sim_mark_t *mark = &group->marks[offset];
        s_check_mark (sim, channel, batch, offset);
        channel->lone = channel->lone || mark->suspect;
        mark->holder = channel;
        mark->epoch = batch->epoch;
        mark->position = channel->position++;
        mark->since_us = s_may_have_started (channel, mark) ? sim->now_us : SIM_NEVER;
        mark->given = true;
        mark->optional = false;
        mark->due_ms = 0;
        channel->outstanding_size += stream->records[offset].size;
        if (group->fresh <= offset && !mark->started)
            group->fresh = offset + 1;
        if (group->done > offset)
            group->done = offset; /* it was not gone after all */
    }
    channel->outstanding += batch->count;
    SIM_COUNT (sim, deliveries);
    if (behind)
        SIM_COUNT (sim, deliveries_joined);
    if (batch->attributes & LEAT_BATCH_EXTENDED)
        SIM_COUNT (sim, deliveries_extended);
    if (batch->flags & LEAT_DELIVER_REDELIVERED)
        SIM_COUNT (sim, deliveries_redelivered);
}

/* ---- answers --------------------------------------------------------------------------------- */

static void s_hears_attached (sim_t *sim, sim_channel_t *channel)
{
    sim_stream_t *stream = sim_model_stream_by_name (sim->model, leat_text (channel->stream_name));
    if (!stream)
        sim_violation (sim, "ATTACHED comes after the stream was committed", "stream %s",
                       channel->stream_name);
    channel->stream = (unsigned) (stream - sim->model->streams);
    channel->group = sim_model_group_by_name (stream, leat_text (channel->group_name));
    if (!channel->group)
        sim_violation (sim, "ATTACHED comes after the group was committed", "stream %s, group %s",
                       channel->stream_name, channel->group_name);
    channel->answered = true;
    channel->free_since_us = sim->now_us;
}

static void s_check_committed (sim_t *sim, sim_channel_t *channel, size_t count, const char *what)
{
    for (; channel->acks_checked < count; channel->acks_checked++) {
        uint64_t offset = channel->acks[channel->acks_checked];
        if (!sim_model_mark_done (&channel->group->marks[offset]))
            sim_violation (sim, "settles are told committed once they are",
                           "%s to peer %llu: stream %s, group %s, offset %llu", what,
                           (unsigned long long) channel->peer->number, channel->stream_name,
                           channel->group->name, (unsigned long long) offset);
    }
}

static void s_hears_settled (sim_t *sim, sim_channel_t *channel, uint64_t token)
{
    unsigned index = 0;
    while (index < channel->confirms_count && channel->confirms[index].token != token)
        index++;
    if (index == channel->confirms_count)
        return; /* more were asked for than are remembered */
    s_check_committed (sim, channel, channel->confirms[index].acked, "SETTLED");
    SIM_COUNT (sim, settle_confirmed);
    channel->confirms_count--;
    memmove (&channel->confirms[index], &channel->confirms[index + 1],
             (channel->confirms_count - index) * sizeof *channel->confirms);
}

static void s_hears_empty (sim_t *sim, sim_channel_t *channel, uint64_t token)
{
    const sim_stream_t *stream = &sim->model->streams[channel->stream];
    const sim_group_t *group = channel->group;
    if (!channel->asking || channel->asked_empty != token)
        sim_violation (sim, "EMPTY answers the newest ASK_EMPTY, once", "peer %llu, channel %u",
                       (unsigned long long) channel->peer->number, channel->number);
    channel->asking = false;
    /* What has expired may be on its way to the store. */
    size_t first = stream->is_log ? sim_model_log_first (sim, stream) : 0;
    for (size_t offset = first; offset < group->marks_count; offset++) {
        /* Dead letters that are not committed may be parked ones, which do not count. */
        const sim_mark_t *mark = &group->marks[offset];
        if (!sim_model_mark_done (mark) && !mark->acked && !mark->rejected
            && mark->charged < sim->plan.limits.attempts)
            sim_violation (sim, "EMPTY is told when it is true", "stream %s, group %s, offset %zu",
                           stream->name, group->name, offset);
    }
    if (sim_store_appends (sim, stream->id))
        sim_violation (sim, "EMPTY is told when it is true",
                       "stream %s, group %s: records are being committed", stream->name,
                       group->name);
    SIM_COUNT (sim, empty_told);
}

/* Which limit held for a record that is taken away: the lower one for a moment after a change. */
static uint64_t s_limit_us (const sim_t *sim, const sim_stream_t *stream)
{
    uint64_t limit_ms = stream->processing_ms;
    if (stream->former_ms && (!limit_ms || stream->former_ms < limit_ms)
        && sim->now_us - stream->set_us < 1000000)
        limit_ms = stream->former_ms;
    return limit_ms * 1000;
}

static void s_revoked (sim_t *sim, sim_channel_t *channel, const leat_range_t *range,
                       uint64_t offset, bool charged)
{
    const sim_stream_t *stream = &sim->model->streams[channel->stream];
    sim_mark_t *mark = offset < channel->group->marks_count ? &channel->group->marks[offset] : NULL;
    const char *wrong = NULL;
    channel->stuck |=
        mark && mark->since_us != SIM_NEVER && mark->since_us >= channel->busy_since_us;
    if (!mark || mark->holder != channel || mark->epoch != range->epoch)
        wrong = "only what is held is taken away";
    else if (mark->since_us == SIM_NEVER)
        wrong = "what only waits is never overdue";
    else if (!s_limit_us (sim, stream) || sim->now_us - mark->since_us < s_limit_us (sim, stream))
        wrong = "nothing is taken away before max_processing";
    else if (channel->peer->heard_us < mark->since_us + s_limit_us (sim, stream)
             || channel->peer->heard_us < stream->set_us)
        wrong = "nothing is overdue at one who was not heard since";
    if (wrong)
        sim_violation (sim, wrong,
                       "stream %s, group %s, offset %llu, peer %llu, for %llu us, limit %llu ms",
                       stream->name, channel->group->name, (unsigned long long) offset,
                       (unsigned long long) channel->peer->number,
                       (unsigned long long) (mark ? sim->now_us - mark->since_us : 0),
                       (unsigned long long) stream->processing_ms);
    mark->suspect = true;
    mark->started = true;
    /* A handler may go on with what was taken away, and what is beside it then is held alone. */
    if (mark->deadly)
        channel->poisoned = false;
    if (charged) {
        SIM_COUNT (sim, overdue_lone);
        s_charge (sim, mark);
    } else {
        SIM_COUNT (sim, overdue_several);
    }
    s_release (sim, channel, offset);
}

/* Charged is the one record that was said to be started, if there is no other such one. */
static void s_hears_revoked (sim_t *sim, sim_channel_t *channel, const leat_revoked_t *revoked)
{
    uint64_t said = 0;
    uint64_t said_offset = 0;
    for (size_t offset = 0; offset < channel->group->marks_count; offset++) {
        const sim_mark_t *mark = &channel->group->marks[offset];
        if (mark->holder != channel || mark->position >= channel->reported)
            continue;
        said++;
        said_offset = offset;
    }
    for (uint32_t index = 0; index < revoked->ranges.count; index++) {
        leat_range_t range = leat_ranges_get (&revoked->ranges, index);
        channel->lost_epoch = range.epoch;
        for (uint64_t offset = range.first; offset < range.first + range.count; offset++)
            s_revoked (sim, channel, &range, offset, said == 1 && offset == said_offset);
    }
    channel->benched = true;
}

static void s_hears_stale (sim_channel_t *channel, const leat_stale_t *stale)
{
    for (uint32_t index = 0; index < stale->ranges.count; index++) {
        leat_range_t range = leat_ranges_get (&stale->ranges, index);
        if (range.epoch <= channel->lost_epoch)
            channel->late -= channel->late < range.count ? channel->late : range.count;
    }
}

void sim_model_consumer_hears (sim_t *sim, sim_channel_t *channel, const leat_command_t *command)
{
    switch (command->id) {
    case LEAT_ATTACHED:
        s_hears_attached (sim, channel);
        break;
    case LEAT_SETTLED:
        s_hears_settled (sim, channel, command->settled.token);
        break;
    case LEAT_EMPTY:
        s_hears_empty (sim, channel, command->empty.token);
        break;
    case LEAT_LEFT:
        s_check_committed (sim, channel, channel->acks_count, "LEFT");
        channel->ended = true;
        break;
    case LEAT_RECALL:
        sim_model_balance_recalled (sim, channel, &command->recall.ranges);
        break;
    case LEAT_REVOKED:
        s_hears_revoked (sim, channel, &command->revoked);
        break;
    case LEAT_DRAIN:
        channel->drained = true;
        break;
    case LEAT_STALE:
        s_hears_stale (channel, &command->stale);
        break;
    default:
        break;
    }
}

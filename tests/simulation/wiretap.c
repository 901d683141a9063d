/* Listens to one client: credit that it was told and uses, records that it reports and starts.
 * SPDX-License-Identifier: MPL-2.0 */
#include "tests/simulation/client.h"
#include "tests/simulation/trace.h"
#include "wire/alloc.h"

#include <string.h>

static sim_producer_t *s_producer (sim_client_t *client, uint32_t channel)
{
    for (unsigned index = 0; index < client->producers_count; index++) {
        if (client->producers[index].open && client->producers[index].channel == channel)
            return &client->producers[index];
    }
    return NULL;
}

static sim_consumer_t *s_consumer (sim_client_t *client, uint32_t channel)
{
    for (unsigned index = 0; index < client->consumers_count; index++) {
        if (client->consumers[index].attached && client->consumers[index].channel == channel)
            return &client->consumers[index];
    }
    return NULL;
}

/* ---- what it sends --------------------------------------------------------------------------- */

static void s_sent_batch (sim_t *sim, sim_client_t *client, const leat_batch_t *batch, size_t size)
{
    sim_producer_t *producer = s_producer (client, batch->channel);
    if (!producer)
        sim_violation (sim, "producers publish on open channels", "%s, channel %u", client->name,
                       batch->channel);
    producer->sent_cost += leat_batch_cost (size);
    if (producer->sent_cost > producer->limit)
        sim_violation (sim, "producers stay within their credit", "%s: %llu sent, %llu allowed",
                       client->name, (unsigned long long) producer->sent_cost,
                       (unsigned long long) producer->limit);
}

/* What the application has decided, of each record once. */
static void s_check_decision (sim_t *sim, sim_client_t *client, sim_consumer_t *consumer,
                              const leat_settle_entry_t *entry, uint64_t offset)
{
    for (size_t index = 0; index < consumer->decisions_count; index++) {
        sim_decision_t *decision = &consumer->decisions[index];
        if (decision->epoch != entry->epoch || decision->offset != offset)
            continue;
        if (decision->outcome != entry->outcome || decision->delay_ms != entry->delay_ms)
            break;
        *decision = consumer->decisions[--consumer->decisions_count];
        return;
    }
    sim_violation (sim, "settles say what the application has decided, once",
                   "%s: epoch %llx, offset %llu, outcome %u, delay %u", client->name,
                   (unsigned long long) entry->epoch, (unsigned long long) offset, entry->outcome,
                   entry->delay_ms);
}

void sim_wiretap_decided (sim_consumer_t *consumer, const sim_task_t *task, uint32_t count,
                          leat_outcome_t outcome, uint32_t delay_ms)
{
    for (uint32_t index = 0; index < count; index++) {
        if (consumer->decisions_count == consumer->decisions_room) {
            consumer->decisions_room = consumer->decisions_room ? 2 * consumer->decisions_room : 32;
            consumer->decisions = leat_realloc (
                consumer->decisions, consumer->decisions_room * sizeof *consumer->decisions);
        }
        consumer->decisions[consumer->decisions_count++] =
            (sim_decision_t){ .epoch = task->epoch,
                              .offset = task->first + index,
                              .delay_ms = delay_ms,
                              .outcome = outcome };
    }
}

static void s_sent_settles (sim_t *sim, sim_client_t *client, sim_consumer_t *consumer,
                            const leat_settles_t *settles)
{
    for (uint32_t index = 0; index < settles->count; index++) {
        leat_settle_entry_t entry = leat_settles_get (settles, index);
        for (uint32_t each = 0; each < entry.count; each++)
            s_check_decision (sim, client, consumer, &entry, entry.first + each);
        for (size_t known = 0; known < consumer->delivered_count; known++) {
            const sim_delivered_t *delivered = &consumer->delivered[known];
            if (delivered->epoch != entry.epoch || entry.first < delivered->first)
                continue;
            uint64_t position =
                delivered->position + (entry.first + entry.count - delivered->first);
            if (consumer->reported < position)
                consumer->reported = position;
        }
    }
}

/* A number that is asked for is nobody else's any more. */
static void s_number_taken (sim_client_t *client, uint32_t channel)
{
    sim_producer_t *producer = s_producer (client, channel);
    sim_consumer_t *consumer = s_consumer (client, channel);
    if (producer)
        producer->open = false;
    if (consumer)
        consumer->attached = false;
}

/* Names the channel by the stream (and group) that its engine asks for. */
static void s_sent_open (sim_client_t *client, const leat_open_t *open)
{
    s_number_taken (client, open->channel);
    for (unsigned index = 0; index < client->producers_count; index++) {
        sim_producer_t *producer = &client->producers[index];
        if (!leat_text_equal (open->stream, leat_text (sim_stream_name (producer->stream))))
            continue;
        producer->channel = open->channel;
        producer->open = true;
        producer->sent_cost = 0;
        producer->limit = 0;
    }
}

static void s_sent_attach (sim_client_t *client, const leat_attach_t *attach)
{
    s_number_taken (client, attach->channel);
    for (unsigned index = 0; index < client->consumers_count; index++) {
        sim_consumer_t *consumer = &client->consumers[index];
        if (!leat_text_equal (attach->stream, leat_text (sim_stream_name (consumer->stream)))
            || !leat_text_equal (attach->group, leat_text (consumer->group)))
            continue;
        consumer->channel = attach->channel;
        consumer->attached = true;
        consumer->positions = 0;
        consumer->reported = 0;
        consumer->delivered_count = 0;
        consumer->recalled_count = 0;
        consumer->decisions_count = 0;
    }
}

void sim_wiretap_sent (sim_t *sim, sim_client_t *client, const leat_message_t *message)
{
    leat_batch_t batch;
    leat_command_t command;
    sim_producer_t *producer;
    sim_consumer_t *consumer;
    if (message->body.buffer) {
        if (leat_batch_decode (&batch, message->header, message->header_size) == LEAT_OK)
            s_sent_batch (sim, client, &batch, message->body.size);
        return;
    }
    if (leat_command_decode (&command, message->header, message->header_size, NULL) != LEAT_OK)
        sim_violation (sim, "clients write what can be read", "%s", client->name);
    switch (command.id) {
    case LEAT_OPEN:
        s_sent_open (client, &command.open);
        break;
    case LEAT_ATTACH:
        s_sent_attach (client, &command.attach);
        break;
    case LEAT_YIELDED:
        producer = s_producer (client, command.yielded.channel);
        if (producer)
            producer->limit = command.yielded.limit;
        break;
    case LEAT_REPORT:
        consumer = s_consumer (client, command.report.channel);
        if (consumer && consumer->reported < command.report.position)
            consumer->reported = command.report.position;
        break;
    case LEAT_SETTLE:
        consumer = s_consumer (client, command.settle.channel);
        if (consumer)
            s_sent_settles (sim, client, consumer, &command.settle.entries);
        break;
    case LEAT_RETURNED:
        if (command.returned.code == LEAT_DAMAGED)
            sim_violation (sim, "what is delivered undamaged is found undamaged", "%s",
                           client->name);
        break;
    default:
        break;
    }
}

/* ---- what it hears --------------------------------------------------------------------------- */

static void s_raise (sim_client_t *client, uint32_t channel, uint64_t limit)
{
    sim_producer_t *producer = s_producer (client, channel);
    if (producer && producer->limit < limit)
        producer->limit = limit;
}

static void s_heard_slice (sim_client_t *client, const leat_batch_t *batch)
{
    sim_consumer_t *consumer = s_consumer (client, batch->channel);
    if (!consumer)
        return;
    if (consumer->delivered_count == consumer->delivered_room) {
        consumer->delivered_room = consumer->delivered_room ? 2 * consumer->delivered_room : 32;
        consumer->delivered = leat_realloc (consumer->delivered,
                                            consumer->delivered_room * sizeof *consumer->delivered);
    }
    consumer->delivered[consumer->delivered_count++] =
        (sim_delivered_t){ .epoch = batch->epoch,
                           .first = batch->first,
                           .count = batch->count,
                           .position = consumer->positions };
    consumer->positions += batch->count;
}

static void s_heard_recall (const sim_t *sim, sim_client_t *client, const leat_recall_t *recall)
{
    sim_consumer_t *consumer = s_consumer (client, recall->channel);
    for (uint32_t index = 0; consumer && index < recall->ranges.count; index++) {
        if (consumer->recalled_count == consumer->recalled_room) {
            consumer->recalled_room = consumer->recalled_room ? 2 * consumer->recalled_room : 32;
            consumer->recalled = leat_realloc (
                consumer->recalled, consumer->recalled_room * sizeof *consumer->recalled);
        }
        consumer->recalled[consumer->recalled_count++] =
            (sim_recalled_t){ .range = leat_ranges_get (&recall->ranges, index),
                              .heard_us = sim->now_us };
    }
}

static void s_heard_batches (sim_client_t *client, const sim_frame_t *frame)
{
    uint32_t count =
        leat_batch_slices (frame->header, frame->header_size, leat_buffer_size (frame->body));
    for (uint32_t index = 0; index < count; index++) {
        leat_batch_t batch;
        leat_batch_decode (&batch, frame->header + index * LEAT_BATCH_HEADER_SIZE,
                           LEAT_BATCH_HEADER_SIZE);
        s_heard_slice (client, &batch);
    }
}

void sim_wiretap_heard (sim_t *sim, sim_client_t *client, const sim_frame_t *frame)
{
    leat_command_t command;
    if (frame->frames == 2) {
        s_heard_batches (client, frame);
        return;
    }
    if (leat_command_decode (&command, frame->header, frame->header_size, NULL) != LEAT_OK)
        return;
    if (command.id == LEAT_OPENED)
        s_raise (client, command.opened.channel, command.opened.limit);
    else if (command.id == LEAT_CONFIRMED)
        s_raise (client, command.confirmed.channel, command.confirmed.limit);
    else if (command.id == LEAT_CREDIT && !(command.credit.flags & LEAT_CREDIT_RECLAIM))
        s_raise (client, command.credit.channel, command.credit.limit);
    else if (command.id == LEAT_RECALL)
        s_heard_recall (sim, client, &command.recall);
}

uint64_t sim_wiretap_recalled_us (const sim_consumer_t *consumer, uint64_t epoch, uint64_t offset)
{
    for (size_t index = 0; index < consumer->recalled_count; index++) {
        const leat_range_t *range = &consumer->recalled[index].range;
        if (range->epoch == epoch && offset >= range->first && offset < range->first + range->count)
            return consumer->recalled[index].heard_us;
    }
    return SIM_NEVER;
}

void sim_wiretap_begun (sim_t *sim, sim_client_t *client, const sim_consumer_t *consumer,
                        const sim_task_t *task)
{
    for (uint32_t index = 0; index < task->count; index++)
        if (sim_wiretap_recalled_us (consumer, task->epoch, task->first + index) < sim->now_us)
            sim_violation (sim, "what was asked back is not started any more",
                           "%s: epoch %llx, offset %llu", client->name,
                           (unsigned long long) task->epoch,
                           (unsigned long long) task->first + index);
}

/* A record is only started when the broker has been told, or expects it anyway. */
void sim_wiretap_started (sim_t *sim, sim_client_t *client, const sim_consumer_t *consumer,
                          const sim_task_t *task)
{
    for (size_t known = 0; known < consumer->delivered_count; known++) {
        const sim_delivered_t *delivered = &consumer->delivered[known];
        if (delivered->epoch != task->epoch || task->first < delivered->first
            || task->first >= delivered->first + delivered->count)
            continue;
        uint64_t position =
            delivered->position + (task->first + task->count - 1 - delivered->first);
        if (position >= consumer->reported + consumer->max_unreported)
            sim_violation (sim, "records are reported before more than max_unreported are started",
                           "%s: position %llu, %llu reported, max_unreported %u", client->name,
                           (unsigned long long) position, (unsigned long long) consumer->reported,
                           consumer->max_unreported);
    }
}

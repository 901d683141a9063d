/* Plays a broker and its peers.
 * SPDX-License-Identifier: MPL-2.0 */
#include "bench/instructions/broker.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench/instructions/instructions.h"
#include "wire/alloc.h"
#include "wire/assert.h"
#include "wire/crc32c.h"
#include "wire/record.h"

leat_limits_t broker_limits (void)
{
    leat_limits_t limits;
    leat_limits_default (&limits);
    limits.memory_size = UINT64_C (1) << 40;
    limits.stream_size = UINT64_C (1) << 36;
    limits.grant_min_size = 1 << 20;
    limits.batch_size = 1 << 22;
    limits.window_size = 1 << 24;
    limits.work_in_hand = 86400000;     /* as much as each takes */
    limits.heartbeat_timeout = 3600000; /* setting up may take long, and nobody beats */
    return limits;
}

broker_t *broker_new (const leat_limits_t *limits)
{
    broker_t *self = leat_alloc (sizeof *self);
    self->now_us = 1000000;
    self->wall_ms = 1700000000000;
    leat_store_options_t store_options = { 0 };
    char error[100];
    uint64_t incarnation;
    self->store = leat_store_open (&leat_store_memory, &store_options, error, sizeof error);
    leat_assert (self->store);
    int failed = leat_store_acquire (self->store, self->wall_ms, &incarnation, error, sizeof error)
                 || leat_store_recover (self->store, NULL, NULL, error, sizeof error);
    leat_assert (!failed);
    leat_core_options_t options = { .limits = limits ? *limits : broker_limits (),
                                    .incarnation = incarnation,
                                    .seed = 7,
                                    .software = "instructions" };
    self->core = leat_core_new (&options);
    leat_core_tick (self->core, self->now_us, self->wall_ms);
    return self;
}

void broker_destroy (broker_t **self_p)
{
    broker_t *self = *self_p;
    if (!self)
        return;
    leat_core_destroy (&self->core);
    leat_store_close (&self->store);
    free (self->deliveries);
    free (self);
    *self_p = NULL;
}

/* ---- turns ----------------------------------------------------------------------------------- */

/* As a consumer does, what is of one lease is settled by one entry. */
static void s_slice (broker_t *self, uint64_t peer, const leat_batch_t *batch)
{
    delivery_t *last = self->delivery_count ? &self->deliveries[self->delivery_count - 1] : NULL;
    if (last && last->peer == peer && last->epoch == batch->epoch
        && last->first + last->count == batch->first) {
        last->count += batch->count;
        return;
    }
    if (self->delivery_count == self->delivery_room) {
        self->delivery_room = self->delivery_room ? 2 * self->delivery_room : 64;
        self->deliveries =
            leat_realloc (self->deliveries, self->delivery_room * sizeof *self->deliveries);
    }
    leat_assert (self->deliveries);
    self->deliveries[self->delivery_count++] =
        (delivery_t){ peer, batch->epoch, batch->first, batch->channel, batch->count };
}

static void s_delivered (broker_t *self, const leat_message_t *message)
{
    uint32_t count = leat_batch_slices (message->header, message->header_size, message->body.size);
    leat_assert (count > 0);
    for (uint32_t index = 0; index < count; index++) {
        leat_batch_t batch;
        leat_batch_decode (&batch, message->header + index * LEAT_BATCH_HEADER_SIZE,
                           LEAT_BATCH_HEADER_SIZE);
        s_slice (self, message->peer, &batch);
    }
}

static void s_said (broker_t *self, const leat_message_t *message)
{
    leat_command_t command;
    leat_code_t code = leat_command_decode (&command, message->header, message->header_size, NULL);
    leat_assert (code == LEAT_OK);
    uint64_t limit = 0;
    if (command.id == LEAT_REFUSED) {
        fprintf (stderr, "%s was refused: %.*s\n", leat_command_name (command.refused.command),
                 (int) command.refused.reason.size, command.refused.reason.data);
        leat_assert (!"a scenario is wrong");
    } else if (command.id == LEAT_OPENED) {
        limit = command.opened.limit;
    } else if (command.id == LEAT_CONFIRMED) {
        limit = command.confirmed.limit;
    } else if (command.id == LEAT_CREDIT) {
        limit = command.credit.limit;
    } else {
        return;
    }
    self->limit_peer = message->peer;
    self->limit = limit;
}

static void s_collect (broker_t *self)
{
    leat_outbox_t *outbox = leat_core_outbox (self->core);
    leat_message_t message;
    bool some;
    for (;;) {
        COUNT (some = leat_outbox_next (outbox, &message));
        if (!some)
            return;
        if (message.body.buffer)
            s_delivered (self, &message);
        else
            s_said (self, &message);
    }
}

static bool s_store (broker_t *self)
{
    leat_commit_t *commit;
    while ((commit = leat_core_next_commit (self->core)))
        leat_store_submit (self->store, &commit);
    leat_store_event_t event;
    bool any = false;
    while (leat_store_poll (self->store, &event)) {
        leat_core_completed (self->core, event.id, event.result);
        any = true;
    }
    return any;
}

static void s_pass (broker_t *self, uint64_t us)
{
    self->now_us += us;
    self->wall_ms = 1700000000000 + self->now_us / 1000;
    COUNT (leat_core_tick (self->core, self->now_us, self->wall_ms));
}

static void s_run (broker_t *self)
{
    leat_core_run (self->core);
    while (s_store (self))
        leat_core_run (self->core);
}

void broker_turn (broker_t *self)
{
    COUNT (s_run (self));
    s_collect (self);
    s_pass (self, BROKER_TURN_US); /* what is sent next arrives in the next turn */
}

void broker_leap (broker_t *self, uint64_t ms)
{
    s_pass (self, ms * 1000);
}

/* ---- peers ----------------------------------------------------------------------------------- */

void broker_send (broker_t *self, uint64_t peer, const leat_command_t *command)
{
    size_t size = leat_command_encoded_size (command);
    uint8_t *bytes = leat_alloc_raw (size);
    leat_command_encode (command, bytes);
    COUNT (leat_core_receive (self->core, peer, 1, bytes, size, NULL));
    free (bytes);
}

uint64_t broker_peer (broker_t *self)
{
    uint64_t peer = ++self->last_peer;
    char name[24];
    snprintf (name, sizeof name, "peer-%llu", (unsigned long long) peer);
    leat_command_t command = { .id = LEAT_HELLO };
    command.hello.signature = LEAT_SIGNATURE;
    command.hello.version_min = LEAT_PROTOCOL_VERSION;
    command.hello.version_max = LEAT_PROTOCOL_VERSION;
    command.hello.life = peer;
    command.hello.attempt = 1;
    command.hello.identity = leat_text (name);
    broker_send (self, peer, &command);
    broker_turn (self);
    return peer;
}

producer_t broker_open (broker_t *self, uint64_t peer, uint32_t channel, uint32_t number)
{
    char name[24];
    snprintf (name, sizeof name, "s%u", number);
    leat_command_t command = { .id = LEAT_OPEN };
    command.open.channel = channel;
    command.open.base = 1;
    command.open.stream = leat_text (name);
    broker_send (self, peer, &command);
    broker_turn (self);
    leat_assert (self->limit_peer == peer);
    return (producer_t){ .peer = peer, .channel = channel, .next = 1, .limit = self->limit };
}

void broker_attach (broker_t *self, uint64_t peer, uint32_t channel, uint32_t number,
                    uint32_t group, uint32_t credit)
{
    char name[24];
    char group_name[24];
    snprintf (name, sizeof name, "s%u", number);
    snprintf (group_name, sizeof group_name, "g%u", group);
    leat_command_t command = { .id = LEAT_ATTACH };
    command.attach.channel = channel;
    command.attach.credit_records = credit;
    command.attach.credit_size = 1 << 28;
    command.attach.max_unreported = 1;
    command.attach.stream = leat_text (name);
    command.attach.group = leat_text (group_name);
    broker_send (self, peer, &command);
    broker_turn (self);
}

pair_t broker_pair (broker_t *self, uint32_t number)
{
    pair_t pair = { .producer = broker_open (self, broker_peer (self), 1, number),
                    .consumer = broker_peer (self) };
    broker_attach (self, pair.consumer, 1, number, 0, BROKER_CREDIT);
    return pair;
}

/* ---- records --------------------------------------------------------------------------------- */

static leat_buffer_t *s_body (uint32_t count, uint32_t body_size)
{
    static const uint8_t bytes[1000];
    leat_record_t record = { .body = bytes, .body_size = body_size };
    leat_assert (body_size <= sizeof bytes);
    size_t size = leat_record_encoded_size (&record, false);
    leat_buffer_t *body = leat_buffer_new (count * size);
    for (uint32_t i = 0; i < count; i++)
        leat_record_encode (&record, false, leat_buffer_bytes (body) + i * size);
    return body;
}

void broker_publish (broker_t *self, producer_t *producer, uint32_t count, uint32_t body_size)
{
    leat_buffer_t *body = s_body (count, body_size);
    leat_batch_t batch = { .command = LEAT_PUBLISH,
                           .channel = producer->channel,
                           .count = count,
                           .first = producer->next,
                           .time_ms = self->wall_ms };
    batch.crc32c = leat_crc32c (leat_buffer_bytes (body), leat_buffer_size (body));
    uint8_t header[LEAT_BATCH_HEADER_SIZE];
    leat_batch_encode (&batch, header);
    COUNT (leat_core_receive (self->core, producer->peer, 2, header, sizeof header, body));
    producer->next += count;
    producer->spent += leat_batch_cost (leat_buffer_size (body));
    leat_buffer_release (&body);
}

void broker_settle (broker_t *self, const delivery_t *delivery, leat_outcome_t outcome,
                    uint32_t delay_ms, bool confirm)
{
    leat_settle_entry_t entry = { delivery->epoch, delivery->first, delivery->count, delay_ms,
                                  (uint8_t) outcome };
    leat_command_t command = { .id = LEAT_SETTLE };
    command.settle.channel = delivery->channel;
    command.settle.flags = confirm ? LEAT_SETTLE_CONFIRM : 0;
    command.settle.token = 1;
    command.settle.entries = (leat_settles_t){ .count = 1, .entries = &entry };
    broker_send (self, delivery->peer, &command);
}

void broker_settle_all (broker_t *self)
{
    for (uint32_t i = 0; i < self->delivery_count; i++)
        broker_settle (self, &self->deliveries[i], LEAT_ACK, 0, false);
    self->delivery_count = 0;
}

delivery_t broker_take (broker_t *self, uint32_t index)
{
    leat_assert (index < self->delivery_count);
    delivery_t delivery = self->deliveries[index];
    self->delivery_count--;
    memmove (self->deliveries + index, self->deliveries + index + 1,
             (self->delivery_count - index) * sizeof *self->deliveries);
    return delivery;
}

void broker_forget (broker_t *self)
{
    self->delivery_count = 0;
}

void broker_round (broker_t *self, producer_t *producer, uint32_t count)
{
    broker_publish (self, producer, count, BROKER_BODY_SIZE);
    broker_turn (self);
    leat_assert (self->delivery_count);
    broker_settle_all (self);
    broker_turn (self);
}

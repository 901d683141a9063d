/* The engines of clients, and the codec between them and the broker.
 * SPDX-License-Identifier: MPL-2.0 */
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>

#include "bench/instructions/instructions.h"
#include "consumers/consumer_engine.h"
#include "producers/producer_engine.h"
#include "wire/alloc.h"
#include "wire/assert.h"
#include "wire/crc32c.h"
#include "wire/record.h"

enum { ROUNDS = 300, SINGLES = 1000, HELD_PER_N = 100, BODY_SIZE = 100 };

static const leat_session_terms_t terms = {
    .epoch = 1,
    .heartbeat_interval_ms = 1000,
    .heartbeat_timeout_ms = 5000,
    .record_size_max = 1 << 20,
    .batch_size_max = 1 << 21,
    .window_size = 1 << 28,
    .channels_max = 10000,
};

static leat_buffer_t *s_body (uint32_t count)
{
    static const uint8_t bytes[BODY_SIZE];
    leat_record_t record = { .body = bytes, .body_size = BODY_SIZE };
    size_t size = leat_record_encoded_size (&record, false);
    leat_buffer_t *body = leat_buffer_new (count * size);
    for (uint32_t i = 0; i < count; i++)
        leat_record_encode (&record, false, leat_buffer_bytes (body) + i * size);
    return body;
}

static leat_slice_t s_all (leat_buffer_t *body)
{
    return (leat_slice_t){ body, 0, leat_buffer_size (body) };
}

static void s_drain (leat_outbox_t *outbox)
{
    leat_message_t message;
    while (leat_outbox_next (outbox, &message))
        continue;
}

/* ---- producer engine ------------------------------------------------------------------------- */

static uint64_t s_producer (uint32_t batch, uint32_t held, uint32_t rounds)
{
    leat_producer_engine_options_t options = { .stream = "s", .batch_size_max = 1 << 21 };
    leat_producer_engine_t *engine = leat_producer_engine_new (&options);
    leat_outbox_t *outbox = leat_outbox_new ();
    leat_session_window_t window = { .size = UINT64_C (1) << 40 };
    leat_producer_engine_begin (engine, 1, &terms, outbox);
    leat_command_t opened = { .id = LEAT_OPENED };
    opened.opened.channel = 1;
    opened.opened.limit = UINT64_C (1) << 40;
    leat_producer_engine_receive (engine, &opened, 1, &window, outbox);
    leat_buffer_t *body = s_body (batch);
    leat_slice_t slice = s_all (body);
    for (uint32_t i = 0; i < held; i++) {
        leat_producer_engine_submit (engine, slice, batch, false, 1);
        leat_producer_engine_run (engine, 1, &window, outbox);
        s_drain (outbox);
    }
    leat_command_t confirmed = { .id = LEAT_CONFIRMED };
    confirmed.confirmed.channel = 1;
    confirmed.confirmed.limit = UINT64_C (1) << 40;
    count_begin ();
    for (uint32_t i = 0; i < rounds; i++) {
        confirmed.confirmed.sequence += batch;
        confirmed.confirmed.offset += batch;
        COUNT (leat_producer_engine_submit (engine, slice, batch, false, 1);
               leat_producer_engine_run (engine, 1, &window, outbox); s_drain (outbox);
               leat_producer_engine_receive (engine, &confirmed, 1, &window, outbox));
    }
    count_end ();
    leat_assert (leat_producer_engine_confirmed (engine) == (uint64_t) rounds * batch);
    leat_buffer_release (&body);
    leat_producer_engine_destroy (&engine);
    leat_outbox_destroy (&outbox);
    return (uint64_t) rounds * batch;
}

static uint64_t s_producer_batches (uint32_t n)
{
    return s_producer (n, 0, ROUNDS);
}

static uint64_t s_producer_held (uint32_t n)
{
    return s_producer (1, n * HELD_PER_N, SINGLES);
}

/* ---- consumer engine ------------------------------------------------------------------------- */

typedef struct {
    leat_consumer_engine_t *engine;
    leat_outbox_t *outbox;
    leat_buffer_t *body;
    leat_batch_t batch;
    uint64_t now_us;
} consumer_t;

static consumer_t s_consumer_new (uint32_t batch)
{
    leat_consumer_engine_options_t options = { .stream = "s",
                                               .credit_records = 1000000,
                                               .credit_size = 1 << 30 };
    consumer_t self = { .engine = leat_consumer_engine_new (&options),
                        .outbox = leat_outbox_new (),
                        .body = s_body (batch),
                        .now_us = 1000000 };
    leat_consumer_engine_begin (self.engine, 1, self.outbox);
    leat_command_t attached = { .id = LEAT_ATTACHED, .attached = { .channel = 1 } };
    leat_consumer_engine_receive (self.engine, &attached, self.outbox);
    self.batch = (leat_batch_t){ .command = LEAT_DELIVER, .channel = 1, .count = batch };
    self.batch.attempt = 1;
    self.batch.crc32c = leat_crc32c (leat_buffer_bytes (self.body), leat_buffer_size (self.body));
    s_drain (self.outbox);
    return self;
}

static void s_consumer_destroy (consumer_t *self)
{
    leat_consumer_engine_destroy (&self->engine);
    leat_outbox_destroy (&self->outbox);
    leat_buffer_release (&self->body);
}

/* The next batch comes, under a lease of its own. */
static void s_deliver (consumer_t *self)
{
    self->batch.epoch++;
    leat_consumer_engine_deliver (self->engine, &self->batch, leat_slice_whole (self->body),
                                  self->outbox);
    self->batch.first += self->batch.count;
}

static leat_delivery_t s_take (consumer_t *self)
{
    leat_delivery_t delivery;
    bool some =
        leat_consumer_engine_take (self->engine, self->batch.count, &delivery, self->outbox);
    leat_assert (some && delivery.count == self->batch.count);
    leat_buffer_release (&delivery.records.buffer);
    return delivery;
}

static void s_settle (consumer_t *self, const leat_delivery_t *delivery)
{
    leat_consumer_engine_settle (self->engine, delivery->session, delivery->epoch, delivery->first,
                                 delivery->count, LEAT_ACK, 0, NULL, self->now_us);
}

static void s_turn (consumer_t *self)
{
    self->now_us += 100;
    leat_consumer_engine_run (self->engine, self->now_us, self->outbox);
    s_drain (self->outbox);
}

static uint64_t s_consumer (uint32_t batch, uint32_t waiting, uint32_t rounds)
{
    consumer_t self = s_consumer_new (batch);
    for (uint32_t i = 0; i < waiting; i++)
        s_deliver (&self);
    count_begin ();
    for (uint32_t i = 0; i < rounds; i++)
        COUNT (s_deliver (&self); leat_delivery_t delivery = s_take (&self);
               s_settle (&self, &delivery); s_turn (&self));
    count_end ();
    leat_assert (!leat_consumer_engine_stale (self.engine)
                 && !leat_consumer_engine_damaged (self.engine)
                 && !leat_consumer_engine_excess (self.engine));
    s_consumer_destroy (&self);
    return (uint64_t) rounds * batch;
}

static uint64_t s_consumer_batches (uint32_t n)
{
    return s_consumer (n, 0, ROUNDS);
}

static uint64_t s_consumer_waiting (uint32_t n)
{
    return s_consumer (1, n * HELD_PER_N, SINGLES);
}

static uint64_t s_consumer_started (uint32_t n)
{
    consumer_t self = s_consumer_new (1);
    uint32_t held = n * HELD_PER_N;
    leat_assert (held);
    leat_delivery_t *deliveries = leat_alloc (held * sizeof *deliveries);
    for (uint32_t i = 0; i < held; i++) {
        s_deliver (&self);
        deliveries[i] = s_take (&self);
        s_turn (&self);
    }
    count_begin ();
    for (uint32_t i = 0; i < SINGLES; i++) {
        uint32_t index = (uint32_t) ((uint64_t) i * 7919 % held);
        leat_delivery_t settled = deliveries[index];
        COUNT (s_deliver (&self); deliveries[index] = s_take (&self); s_settle (&self, &settled);
               s_turn (&self));
    }
    count_end ();
    leat_assert (!leat_consumer_engine_stale (self.engine));
    free (deliveries);
    s_consumer_destroy (&self);
    return SINGLES;
}

/* ---- session --------------------------------------------------------------------------------- */

typedef struct {
    leat_session_t *session;
    leat_outbox_t *outbox;
    uint64_t now_us;
} client_t;

static void s_receive (client_t *self, const leat_command_t *command)
{
    uint8_t bytes[512];
    leat_assert (leat_command_encoded_size (command) <= sizeof bytes);
    size_t size = leat_command_encode (command, bytes);
    COUNT (leat_session_receive (self->session, bytes, size, NULL, 1));
}

/* As client/client_thread.c does it. */
static void s_client_turn (client_t *self)
{
    uint32_t endpoint;
    self->now_us += 100;
    COUNT (leat_session_run (self->session); leat_session_connect (self->session, &endpoint);
           s_drain (self->outbox); leat_session_deadline (self->session);
           leat_session_tick (self->session, self->now_us, 0));
}

static client_t s_client_new (void)
{
    leat_session_options_t options = {
        .identity = "me", .software = "instructions", .endpoints = 1, .seed = 5
    };
    client_t self = { .session = leat_session_new (&options), .now_us = 1000000 };
    self.outbox = leat_session_outbox (self.session);
    leat_session_tick (self.session, self.now_us, 0);
    for (int i = 0; i < 3; i++)
        s_client_turn (&self);
    leat_command_t welcome = { .id = LEAT_WELCOME };
    welcome.welcome.version = LEAT_PROTOCOL_VERSION;
    welcome.welcome.epoch = 1;
    welcome.welcome.incarnation = 1;
    welcome.welcome.heartbeat_interval_ms = terms.heartbeat_interval_ms;
    welcome.welcome.heartbeat_timeout_ms = terms.heartbeat_timeout_ms;
    welcome.welcome.record_size_max = terms.record_size_max;
    welcome.welcome.batch_size_max = terms.batch_size_max;
    welcome.welcome.window_size = terms.window_size;
    welcome.welcome.channels_max = terms.channels_max;
    s_receive (&self, &welcome);
    leat_assert (leat_session_state (self.session) == LEAT_SESSION_READY);
    return self;
}

/* A record of the first producer, or as many as are in its batch, and their confirmation. */
static void s_client_round (client_t *self, leat_producer_engine_t *engine, leat_buffer_t *body,
                            uint32_t count)
{
    COUNT (leat_producer_engine_submit (engine, s_all (body), count, false, 1));
    s_client_turn (self);
    leat_command_t confirmed = { .id = LEAT_CONFIRMED };
    confirmed.confirmed.channel = 1;
    confirmed.confirmed.sequence = leat_producer_engine_next (engine) - 1;
    confirmed.confirmed.offset = confirmed.confirmed.sequence;
    confirmed.confirmed.limit = UINT64_C (1) << 40;
    s_receive (self, &confirmed);
    s_client_turn (self);
}

static uint64_t s_client (uint32_t channels, uint32_t count, uint32_t rounds)
{
    client_t self = s_client_new ();
    leat_producer_engine_t **engines = leat_alloc (channels * sizeof (leat_producer_engine_t *));
    for (uint32_t i = 0; i < channels; i++) {
        char name[24];
        snprintf (name, sizeof name, "s%u", i);
        leat_producer_engine_options_t options = { .stream = name, .batch_size_max = 1 << 21 };
        engines[i] = leat_producer_engine_new (&options);
        bool added = leat_session_add_producer (self.session, engines[i]);
        leat_assert (added);
        s_client_turn (&self);
        leat_command_t opened = { .id = LEAT_OPENED };
        opened.opened.channel = i + 1;
        opened.opened.limit = UINT64_C (1) << 40;
        s_receive (&self, &opened);
    }
    leat_buffer_t *body = s_body (count);
    s_client_round (&self, engines[0], body, count);
    count_begin ();
    for (uint32_t i = 0; i < rounds; i++)
        s_client_round (&self, engines[0], body, count);
    count_end ();
    leat_assert (leat_producer_engine_confirmed (engines[0]) == (uint64_t) (rounds + 1) * count);
    leat_session_destroy (&self.session);
    for (uint32_t i = 0; i < channels; i++)
        leat_producer_engine_destroy (&engines[i]);
    free (engines);
    leat_buffer_release (&body);
    return (uint64_t) rounds * count;
}

static uint64_t s_client_batches (uint32_t n)
{
    return s_client (1, n, ROUNDS);
}

static uint64_t s_client_channels (uint32_t n)
{
    return s_client (n, 1, SINGLES);
}

/* ---- codec ----------------------------------------------------------------------------------- */

static uint64_t s_codec_batch (uint32_t n)
{
    static const uint8_t bytes[BODY_SIZE];
    leat_record_t record = { .body = bytes, .body_size = BODY_SIZE };
    leat_buffer_t *body = s_body (n);
    uint8_t *start = leat_buffer_bytes (body);
    size_t size = leat_buffer_size (body);
    uint8_t header[LEAT_BATCH_HEADER_SIZE];
    leat_batch_t batch = { .command = LEAT_PUBLISH, .channel = 1, .count = n, .first = 1 };
    bool good = true;
    count_begin ();
    for (uint32_t i = 0; i < ROUNDS; i++) {
        CALLGRIND_TOGGLE_COLLECT;
        size_t position = 0;
        for (uint32_t k = 0; k < n; k++)
            position += leat_record_encode (&record, false, start + position);
        batch.crc32c = leat_crc32c (start, size);
        leat_batch_encode (&batch, header);
        leat_batch_t decoded;
        good = leat_batch_decode (&decoded, header, sizeof header) == LEAT_OK && good;
        good = leat_crc32c (start, size) == decoded.crc32c && good;
        good = leat_batch_check (start, size, n, false, BODY_SIZE) == LEAT_OK && good;
        position = 0;
        for (uint32_t k = 0; k < n; k++) {
            leat_record_t found;
            position += leat_record_decode (&found, false, start + position, size - position);
        }
        CALLGRIND_TOGGLE_COLLECT;
        good = good && position == size;
    }
    count_end ();
    leat_assert (good);
    leat_buffer_release (&body);
    return (uint64_t) ROUNDS * n;
}

static uint64_t s_codec_settle (uint32_t n)
{
    leat_settle_entry_t *entries = leat_alloc (n * sizeof *entries);
    for (uint32_t i = 0; i < n; i++)
        entries[i] = (leat_settle_entry_t){ i + 1, 2 * i, 1, 0, LEAT_ACK };
    leat_command_t command = { .id = LEAT_SETTLE };
    command.settle.channel = 1;
    command.settle.entries = (leat_settles_t){ .count = n, .entries = entries };
    uint8_t *bytes = leat_alloc_raw (leat_command_encoded_size (&command));
    uint64_t sum = 0;
    count_begin ();
    for (uint32_t i = 0; i < ROUNDS; i++) {
        CALLGRIND_TOGGLE_COLLECT;
        size_t size = leat_command_encode (&command, bytes);
        leat_command_t decoded;
        leat_code_t code = leat_command_decode (&decoded, bytes, size, NULL);
        for (uint32_t k = 0; code == LEAT_OK && k < n; k++)
            sum += leat_settles_get (&decoded.settle.entries, k).count;
        CALLGRIND_TOGGLE_COLLECT;
    }
    count_end ();
    leat_assert (sum == (uint64_t) ROUNDS * n);
    free (entries);
    free (bytes);
    return (uint64_t) ROUNDS * n;
}

const scenario_t client_scenarios[] = {
    { "producer", "record", "the producer engine: submit, PUBLISH, CONFIRMED, batches of N",
      "a batch's cost is shared; what is left is the checksum and the walk over records", true,
      s_producer_batches },
    { "producer-held", "record",
      "the producer engine, one record after the other, N * 100 of them unconfirmed",
      "batches are in a list, confirmed from its front", false, s_producer_held },
    { "consumer", "record", "the consumer engine: DELIVER, take, settle, SETTLE, batches of N",
      "a batch's cost is shared; what is left is the checksum and the walk over records", true,
      s_consumer_batches },
    { "consumer-waiting", "record",
      "the consumer engine, one record after the other, N * 100 leases wait to be taken",
      "leases are in a tree", false, s_consumer_waiting },
    { "consumer-started", "record",
      "the consumer engine, N * 100 leases are started and settled in any order",
      "leases are in a tree", false, s_consumer_started },
    { "client", "record", "session and producer engine: submit, turns, CONFIRMED, batches of N",
      "a batch's cost, and that of two turns, is shared", true, s_client_batches },
    { "client-channels", "record",
      "a client with N producers of which one is active: two turns for each record",
      "a turn visits those that have something to do", false, s_client_channels },
    { "codec-batch", "record", "PUBLISH of N records is encoded, checked and decoded",
      "the header's cost is shared; what is left is the checksum and the walk", true,
      s_codec_batch },
    { "codec-settle", "entry", "SETTLE of N entries is encoded and decoded",
      "the command's cost is shared by its entries", true, s_codec_settle },
    { 0 }
};

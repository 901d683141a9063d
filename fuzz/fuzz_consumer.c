/* The consumer engine among arbitrary commands, deliveries and calls of an application.
 *
 * The input is a program: a byte that says what happens, followed by its operands. At its end every
 * operand is 0.
 * SPDX-License-Identifier: MPL-2.0 */
#include "fuzz/fuzz.h"

#include "consumers/consumer_engine.h"
#include "wire/assert.h"
#include "wire/crc32c.h"
#include "wire/record.h"

#include <string.h>

enum { CHANNEL = 5, CREDIT_RECORDS = 60, CREDIT_SIZE = 4096, BODY_SIZE_MAX = 4096 };

typedef struct {
    const uint8_t *data; /* what is left of the input */
    size_t size;
    leat_consumer_engine_t *engine;
    leat_outbox_t *outbox;
    uint64_t now_us;
    uint64_t session;        /* of the last delivery taken */
    uint32_t credit_records; /* the most that was ever allowed */
    uint64_t reported;       /* by REPORT on this attachment */
} s_fuzz_t;

static uint8_t s_byte (s_fuzz_t *self)
{
    if (self->size == 0)
        return 0;
    self->size--;
    return *self->data++;
}

/* Up to `size` bytes of the input; returns how many. */
static size_t s_bytes (s_fuzz_t *self, size_t size, const uint8_t **bytes)
{
    if (size > self->size)
        size = self->size;
    *bytes = self->data;
    self->data += size;
    self->size -= size;
    return size;
}

/* Mostly small numbers, so that ranges meet; now and then one at the end of what there is. */
static uint64_t s_offset (s_fuzz_t *self)
{
    uint8_t byte = s_byte (self);
    return byte < 250 ? byte : ((uint64_t) 1 << 63) - 1 - (255u - byte);
}

static void s_look_at_message (s_fuzz_t *self, const leat_message_t *message)
{
    leat_command_t command;
    leat_assert (!message->body.buffer);
    leat_assert (leat_command_decode (&command, message->header, message->header_size, NULL)
                 == LEAT_OK);
    switch (command.id) {
    case LEAT_ATTACH:
        leat_assert (command.attach.channel == CHANNEL);
        self->reported = 0;
        break;
    case LEAT_REPORT:
        leat_assert (command.report.channel == CHANNEL);
        leat_assert (command.report.position > self->reported);
        self->reported = command.report.position;
        break;
    case LEAT_SETTLE:
        leat_assert (command.settle.channel == CHANNEL);
        /* An empty one without CONFIRM says that the application goes on after REVOKED. */
        leat_assert (command.settle.entries.count > 0 || command.settle.flags == LEAT_SETTLE_CONFIRM
                     || !command.settle.flags);
        break;
    case LEAT_RETURNED:
        leat_assert (command.returned.channel == CHANNEL && command.returned.ranges.count > 0);
        break;
    default:
        leat_assert (command.id == LEAT_ALLOW || command.id == LEAT_ASK_EMPTY
                     || command.id == LEAT_LEAVE);
    }
}

static void s_look (s_fuzz_t *self)
{
    leat_message_t message;
    while (leat_outbox_next (self->outbox, &message))
        s_look_at_message (self, &message);
    uint64_t held = (uint64_t) leat_consumer_engine_waiting (self->engine)
                    + leat_consumer_engine_started (self->engine);
    leat_assert (held <= self->credit_records);
    leat_assert (leat_consumer_engine_busy (self->engine) || held == 0);
    leat_assert (strlen (leat_consumer_engine_error (self->engine, NULL)) < 4096);
    leat_consumer_engine_deadline (self->engine);
}

/* ---- the broker ------------------------------------------------------------------------------ */

static void s_any_command (s_fuzz_t *self)
{
    const uint8_t *bytes;
    size_t size = s_byte (self);
    size = s_bytes (self, size, &bytes);
    leat_command_t command;
    if (leat_command_decode (&command, bytes, size, NULL) == LEAT_OK)
        leat_consumer_engine_receive (self->engine, &command, self->outbox);
}

static void s_command_with_ranges (s_fuzz_t *self, uint8_t id)
{
    leat_range_t ranges[4];
    leat_ranges_t list = { .count = s_byte (self) % 5, .entries = ranges };
    for (uint32_t index = 0; index < list.count; index++) {
        ranges[index].epoch = s_byte (self) % 4;
        ranges[index].first = s_offset (self);
        ranges[index].count = 1 + s_byte (self);
    }
    leat_command_t command = { .id = id };
    if (id == LEAT_RECALL)
        command.recall.ranges = list;
    else if (id == LEAT_REVOKED)
        command.revoked.ranges = list;
    else
        command.stale.ranges = list;
    leat_consumer_engine_receive (self->engine, &command, self->outbox);
}

static void s_command (s_fuzz_t *self)
{
    leat_command_t command = { .id = LEAT_ATTACHED };
    uint8_t what = s_byte (self);
    switch (what % 8) {
    case 1:
        command.id = LEAT_SETTLED;
        command.settled.token = s_byte (self);
        break;
    case 2:
        command.id = LEAT_EMPTY;
        command.empty.token = s_byte (self);
        break;
    case 3:
        command.id = LEAT_LEFT;
        command.left.code = s_byte (self);
        break;
    case 4:
        command.id = LEAT_REFUSED;
        command.refused.command = s_byte (self) % 2 ? LEAT_ATTACH : LEAT_SETTLE;
        command.refused.code = s_byte (self);
        break;
    case 5:
        s_command_with_ranges (self, LEAT_RECALL);
        return;
    case 6:
        s_command_with_ranges (self, LEAT_REVOKED);
        return;
    case 7:
        s_command_with_ranges (self, LEAT_STALE);
        return;
    default:
        break;
    }
    leat_consumer_engine_receive (self->engine, &command, self->outbox);
}

/* Through the codec, as all that comes from a broker. */
static void s_deliver (s_fuzz_t *self, const uint8_t *header, size_t header_size,
                       leat_buffer_t *body)
{
    leat_batch_t batch;
    if (leat_batch_decode (&batch, header, header_size) == LEAT_OK)
        leat_consumer_engine_deliver (self->engine, &batch, leat_slice_whole (body), self->outbox);
}

/* Any header, with any body: of the input, or none. */
static void s_any_delivery (s_fuzz_t *self)
{
    const uint8_t *header, *bytes;
    size_t header_size = s_bytes (self, LEAT_BATCH_HEADER_SIZE, &header);
    size_t size = s_byte (self);
    size = s_bytes (self, size, &bytes);
    leat_buffer_t *body = size > 0 ? leat_buffer_copy (bytes, size) : NULL;
    s_deliver (self, header, header_size, body);
    leat_buffer_release (&body);
}

/* Any body with the checksum that it should have. */
static void s_any_body (s_fuzz_t *self)
{
    const uint8_t *bytes;
    uint8_t header[LEAT_BATCH_HEADER_SIZE];
    leat_batch_t batch = { .command = LEAT_DELIVER, .channel = CHANNEL, .epoch = 1 };
    batch.attributes = s_byte (self) % 2;
    batch.first = s_offset (self);
    batch.count = 1 + s_byte (self) % 8;
    size_t size = s_byte (self);
    size = s_bytes (self, size, &bytes);
    batch.crc32c = leat_crc32c (bytes, size);
    leat_batch_encode (&batch, header);
    leat_buffer_t *body = leat_buffer_copy (bytes, size);
    s_deliver (self, header, sizeof header, body);
    leat_buffer_release (&body);
}

/* A batch in order, unless the first operand says otherwise. */
static void s_delivery (s_fuzz_t *self)
{
    uint8_t how = s_byte (self);
    leat_batch_t batch = { .command = LEAT_DELIVER, .channel = CHANNEL, .attempt = 1 };
    batch.epoch = s_byte (self) % 4;
    batch.first = s_offset (self);
    batch.count = 1 + s_byte (self) % 100;
    bool extended = how & 1;
    if (extended)
        batch.attributes = LEAT_BATCH_EXTENDED;
    uint32_t records = how >= 250 ? batch.count / 2 : batch.count;
    uint8_t bytes[BODY_SIZE_MAX];
    size_t size = 0;
    for (uint32_t index = 0; index < records; index++) {
        leat_record_t record = { .body = (const uint8_t *) "0123456789abcdef",
                                 .body_size = (batch.first + index) % 16 };
        size += leat_record_encode (&record, extended, bytes + size);
    }
    leat_assert (size <= sizeof bytes);
    batch.crc32c = leat_crc32c (bytes, size) ^ (how == 249);
    uint8_t header[LEAT_BATCH_HEADER_SIZE];
    leat_batch_encode (&batch, header);
    leat_buffer_t *body = leat_buffer_copy (bytes, size);
    s_deliver (self, header, sizeof header, body);
    leat_buffer_release (&body);
}

/* ---- the application ------------------------------------------------------------------------- */

/* Two numbers of records mean something else. */
enum { CLAIM = 254, STAGE = 255 };

static bool s_hand_out (s_fuzz_t *self, uint32_t count_max, leat_delivery_t *delivery)
{
    if (count_max == CLAIM)
        leat_consumer_engine_claim (self->engine);
    if (count_max != STAGE)
        return leat_consumer_engine_take (self->engine, count_max, delivery, self->outbox);
    if (!leat_consumer_engine_stage (self->engine, delivery, self->outbox))
        return false;
    leat_assert (leat_consumer_engine_is_staged (self->engine) && delivery->count == 1);
    return true;
}

static void s_take (s_fuzz_t *self)
{
    leat_delivery_t delivery;
    uint32_t count_max = s_byte (self);
    if (!s_hand_out (self, count_max, &delivery))
        return;
    leat_assert (delivery.count > 0 && delivery.count <= count_max);
    self->session = delivery.session;
    const uint8_t *bytes = leat_slice_bytes (delivery.records);
    size_t size = delivery.records.size;
    for (uint32_t index = 0; index < delivery.count; index++) {
        leat_record_t record;
        size_t taken = leat_record_decode (&record, delivery.extended, bytes, size);
        leat_assert (taken > 0);
        bytes += taken;
        size -= taken;
    }
    leat_assert (size == 0);
    leat_buffer_release (&delivery.records.buffer);
}

static void s_settle (s_fuzz_t *self)
{
    static const char *const reasons[] = { NULL, "", "one", "another" };
    uint8_t how = s_byte (self);
    uint64_t epoch = s_byte (self) % 4;
    uint64_t first = how >= 250 ? UINT64_MAX - how % 4 : s_offset (self);
    uint32_t count = how >= 240 ? UINT32_MAX : s_byte (self);
    uint64_t session = self->session + (how >= 230 && how < 240);
    uint32_t held;
    if (how % 4 == 0)
        held = leat_consumer_engine_give_back (self->engine, session, epoch, first, count);
    else
        held = leat_consumer_engine_settle (self->engine, session, epoch, first, count,
                                            (leat_outcome_t) (how % 4), how / 128,
                                            reasons[how / 4 % 4], self->now_us);
    leat_assert (held <= count);
}

static void s_wish (s_fuzz_t *self)
{
    uint32_t records;
    uint64_t token;
    switch (s_byte (self) % 8) {
    case 0:
    case 1:
        token = leat_consumer_engine_flush (self->engine);
        leat_assert (leat_consumer_engine_flushed (self->engine) <= token);
        break;
    case 2:
    case 3:
        leat_consumer_engine_ask_empty (self->engine);
        leat_assert (!leat_consumer_engine_empty (self->engine));
        break;
    case 4:
    case 5:
    case 6:
        records = s_byte (self);
        if (self->credit_records < records)
            self->credit_records = records;
        leat_consumer_engine_allow (self->engine, records, UINT64_C (16) * s_byte (self));
        break;
    default:
        leat_consumer_engine_leave (self->engine);
    }
}

static void s_turn (s_fuzz_t *self)
{
    uint64_t elapsed = s_byte (self);
    self->now_us += elapsed * elapsed * elapsed;
    leat_consumer_engine_run (self->engine, self->now_us, self->outbox);
    s_look (self);
    /* What was due is done, so a driver that waits for the deadline does not spin. */
    leat_assert (leat_consumer_engine_deadline (self->engine) > self->now_us);
}

static void s_step (s_fuzz_t *self)
{
    switch (s_byte (self) % 13) {
    case 0:
        s_any_command (self);
        break;
    case 1:
        s_any_delivery (self);
        break;
    case 2:
        s_command (self);
        break;
    case 3:
    case 4:
        s_delivery (self);
        break;
    case 5:
    case 6:
        s_take (self);
        break;
    case 7:
    case 8:
        s_settle (self);
        break;
    case 9:
        s_wish (self);
        break;
    case 10:
        s_turn (self);
        break;
    case 11:
        s_any_body (self);
        break;
    default:
        if (s_byte (self) % 2)
            leat_consumer_engine_lost (self->engine);
        else
            leat_consumer_engine_begin (self->engine, CHANNEL, self->outbox);
    }
    s_look (self);
}

int LLVMFuzzerTestOneInput (const uint8_t *data, size_t size)
{
    leat_consumer_engine_options_t options = {
        .stream = "orders",
        .credit_records = CREDIT_RECORDS,
        .credit_size = CREDIT_SIZE,
        .max_unreported = 3,
    };
    s_fuzz_t self = {
        .data = data, .size = size, .now_us = 1000000, .credit_records = CREDIT_RECORDS
    };
    self.engine = leat_consumer_engine_new (&options);
    self.outbox = leat_outbox_new ();
    leat_consumer_engine_begin (self.engine, CHANNEL, self.outbox);
    s_look (&self);
    leat_command_t attached = { .id = LEAT_ATTACHED };
    leat_consumer_engine_receive (self.engine, &attached, self.outbox);
    while (self.size > 0)
        s_step (&self);
    leat_consumer_engine_destroy (&self.engine);
    leat_outbox_destroy (&self.outbox);
    return 0;
}

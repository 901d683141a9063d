/* What the tests of the consumer engine share: batches whose payloads tell where they belong, and
 * what an engine sends as lines of text.
 * SPDX-License-Identifier: MPL-2.0 */
#ifndef LEAT_TESTS_CONSUMER_SAMPLE_H
#define LEAT_TESTS_CONSUMER_SAMPLE_H

#include "consumers/consumer_engine.h"
#include "wire/alloc.h"
#include "wire/crc32c.h"
#include "wire/record.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

enum { SAMPLE_CHANNEL = 5, SAMPLE_PAYLOAD_MAX = 256 };

/* The payload of one record: different for every (epoch, offset), in content and mostly in size.
 * Returns its size. */
static inline size_t sample_payload (uint64_t epoch, uint64_t offset, char *payload)
{
    int size = snprintf (payload, SAMPLE_PAYLOAD_MAX, "lease %llu record %llu ",
                         (unsigned long long) epoch, (unsigned long long) offset);
    size_t filler = offset % 61;
    memset (payload + size, '.', filler);
    return (size_t) size + filler;
}

/* The body of a batch; in an extended one each key is the payload too. */
static inline leat_buffer_t *sample_body (uint64_t epoch, uint64_t first, uint32_t count,
                                          bool extended)
{
    char payload[SAMPLE_PAYLOAD_MAX];
    uint8_t *bytes = leat_alloc_raw ((size_t) count * (2 * SAMPLE_PAYLOAD_MAX + 8));
    size_t size = 0;
    for (uint32_t index = 0; index < count; index++) {
        leat_record_t record = { .body = (const uint8_t *) payload };
        record.body_size = sample_payload (epoch, first + index, payload);
        if (extended) {
            record.key = record.body;
            record.key_size = record.body_size;
        }
        size += leat_record_encode (&record, extended, bytes + size);
    }
    leat_buffer_t *body = leat_buffer_copy (bytes, size);
    free (bytes);
    return body;
}

static inline leat_batch_t sample_batch (uint64_t epoch, uint64_t first, uint32_t count,
                                         leat_buffer_t *body)
{
    return (leat_batch_t){
        .command = LEAT_DELIVER,
        .channel = SAMPLE_CHANNEL,
        .count = count,
        .crc32c = leat_crc32c (leat_buffer_bytes (body), leat_buffer_size (body)),
        .first = first,
        .time_ms = 1000 + epoch,
        .epoch = epoch,
        .attempt = 1,
    };
}

static inline void sample_deliver (leat_consumer_engine_t *engine, leat_outbox_t *outbox,
                                   uint64_t epoch, uint64_t first, uint32_t count)
{
    leat_buffer_t *body = sample_body (epoch, first, count, false);
    leat_batch_t batch = sample_batch (epoch, first, count, body);
    leat_consumer_engine_deliver (engine, &batch, leat_slice_whole (body), outbox);
    leat_buffer_release (&body);
}

/* Reads every record of a delivery, compares it with what was put in, and releases it. */
static inline void sample_check (leat_delivery_t *delivery)
{
    const uint8_t *bytes = leat_slice_bytes (delivery->records);
    size_t size = delivery->records.size;
    assert_int_equal (delivery->time_ms, 1000 + delivery->epoch);
    for (uint32_t index = 0; index < delivery->count; index++) {
        char payload[SAMPLE_PAYLOAD_MAX];
        size_t payload_size = sample_payload (delivery->epoch, delivery->first + index, payload);
        leat_record_t record;
        size_t taken = leat_record_decode (&record, delivery->extended, bytes, size);
        assert_int_not_equal (taken, 0);
        assert_int_equal (record.body_size, payload_size);
        assert_memory_equal (record.body, payload, payload_size);
        if (delivery->extended) {
            assert_int_equal (record.key_size, payload_size);
            assert_memory_equal (record.key, payload, payload_size);
        }
        bytes += taken;
        size -= taken;
    }
    assert_int_equal (size, 0);
    leat_buffer_release (&delivery->records.buffer);
}

/* ---- scenes ------------------------------------------------------------------------------------ */

enum { SCENE_TEXT_SIZE_MAX = 64 * 1024 };

/* An engine, its outbox, and what it has sent since the last look. */
typedef struct {
    leat_consumer_engine_t *engine;
    leat_outbox_t *outbox;
    uint64_t now_us;
    char text[SCENE_TEXT_SIZE_MAX];
    size_t size;
} scene_t;

__attribute__ ((format (printf, 2, 3))) static inline void scene_write (scene_t *self,
                                                                        const char *format, ...)
{
    va_list arguments;
    va_start (arguments, format);
    int size =
        vsnprintf (self->text + self->size, SCENE_TEXT_SIZE_MAX - self->size, format, arguments);
    va_end (arguments);
    assert_true (size >= 0 && (size_t) size < SCENE_TEXT_SIZE_MAX - self->size);
    self->size += (size_t) size;
}

static inline void scene_write_settle (scene_t *self, const leat_settle_t *settle)
{
    scene_write (self, "SETTLE");
    for (uint32_t index = 0; index < settle->entries.count; index++) {
        static const char *const names[] = { "?", "ack", "nack", "reject" };
        leat_settle_entry_t entry = leat_settles_get (&settle->entries, index);
        scene_write (self, " %s %u:%u+%u", names[entry.outcome], (unsigned) entry.epoch,
                     (unsigned) entry.first, entry.count);
        if (entry.delay_ms)
            scene_write (self, " after %u", entry.delay_ms);
    }
    if (settle->reason.size)
        scene_write (self, " (%.*s)", (int) settle->reason.size, settle->reason.data);
    if (settle->flags & LEAT_SETTLE_CONFIRM)
        scene_write (self, " confirm %u", (unsigned) settle->token);
}

static inline void scene_write_command (scene_t *self, const leat_command_t *command)
{
    switch (command->id) {
    case LEAT_ATTACH:
        assert_int_equal (command->attach.channel, SAMPLE_CHANNEL);
        scene_write (self, "ATTACH %.*s %.*s %u %u %u", (int) command->attach.stream.size,
                     command->attach.stream.data, (int) command->attach.group.size,
                     command->attach.group.data, command->attach.credit_records,
                     (unsigned) command->attach.credit_size, command->attach.max_unreported);
        break;
    case LEAT_REPORT:
        assert_int_equal (command->report.channel, SAMPLE_CHANNEL);
        scene_write (self, "REPORT %u", (unsigned) command->report.position);
        break;
    case LEAT_SETTLE:
        assert_int_equal (command->settle.channel, SAMPLE_CHANNEL);
        scene_write_settle (self, &command->settle);
        break;
    case LEAT_RETURNED:
        assert_int_equal (command->returned.channel, SAMPLE_CHANNEL);
        scene_write (self, "RETURNED %s", leat_code_name (command->returned.code));
        for (uint32_t index = 0; index < command->returned.ranges.count; index++) {
            leat_range_t range = leat_ranges_get (&command->returned.ranges, index);
            scene_write (self, " %u:%u+%u", (unsigned) range.epoch, (unsigned) range.first,
                         range.count);
        }
        break;
    case LEAT_ALLOW:
        assert_int_equal (command->allow.channel, SAMPLE_CHANNEL);
        scene_write (self, "ALLOW %u %u", command->allow.credit_records,
                     (unsigned) command->allow.credit_size);
        break;
    case LEAT_ASK_EMPTY:
        assert_int_equal (command->ask_empty.channel, SAMPLE_CHANNEL);
        scene_write (self, "ASK_EMPTY %u", (unsigned) command->ask_empty.token);
        break;
    case LEAT_LEAVE:
        assert_int_equal (command->leave.channel, SAMPLE_CHANNEL);
        scene_write (self, "LEAVE");
        break;
    default:
        fail_msg ("a consumer does not send %s", leat_command_name (command->id));
    }
    scene_write (self, "\n");
}

/* Everything that was sent, a line per message. */
static inline const char *scene_sent (scene_t *self)
{
    leat_message_t message;
    self->size = 0;
    self->text[0] = '\0';
    while (leat_outbox_next (self->outbox, &message)) {
        leat_command_t command;
        assert_null (message.body.buffer);
        assert_int_equal (leat_command_decode (&command, message.header, message.header_size, NULL),
                          LEAT_OK);
        scene_write_command (self, &command);
    }
    return self->text;
}

static inline const char *scene_run (scene_t *self)
{
    leat_consumer_engine_run (self->engine, self->now_us, self->outbox);
    return scene_sent (self);
}

static inline void scene_receive (scene_t *self, leat_command_t command)
{
    leat_consumer_engine_receive (self->engine, &command, self->outbox);
}

static inline void scene_attached (scene_t *self)
{
    scene_receive (self,
                   (leat_command_t){ .id = LEAT_ATTACHED, .attached = { SAMPLE_CHANNEL, 0, 0 } });
    assert_int_equal (leat_consumer_engine_state (self->engine), LEAT_CONSUMER_ATTACHED);
}

static inline void scene_refuse (scene_t *self, unsigned command, leat_code_t code,
                                 const char *reason)
{
    leat_command_t refused = { .id = LEAT_REFUSED };
    refused.refused.command = (uint8_t) command;
    refused.refused.channel = SAMPLE_CHANNEL;
    refused.refused.code = (uint16_t) code;
    refused.refused.reason = leat_text (reason);
    scene_receive (self, refused);
}

static inline void scene_ranges (scene_t *self, uint8_t id, uint32_t count,
                                 const leat_range_t *entries)
{
    leat_ranges_t ranges = { .count = count, .entries = entries };
    leat_command_t command = { .id = id };
    if (id == LEAT_RECALL)
        command.recall.ranges = ranges;
    else if (id == LEAT_REVOKED)
        command.revoked = (leat_revoked_t){ SAMPLE_CHANNEL, LEAT_OVERDUE, ranges };
    else
        command.stale.ranges = ranges;
    scene_receive (self, command);
}

/* Not attached yet; ATTACH is looked at where it matters. */
static inline scene_t *scene_begun (leat_consumer_engine_options_t options)
{
    scene_t *self = leat_alloc (sizeof *self);
    options.stream = "orders";
    self->engine = leat_consumer_engine_new (&options);
    self->outbox = leat_outbox_new ();
    self->now_us = 1000000;
    leat_consumer_engine_begin (self->engine, SAMPLE_CHANNEL, self->outbox);
    return self;
}

static inline scene_t *scene_new (leat_consumer_engine_options_t options)
{
    scene_t *self = scene_begun (options);
    scene_sent (self);
    scene_attached (self);
    return self;
}

static inline void scene_destroy (scene_t *self)
{
    leat_consumer_engine_destroy (&self->engine);
    assert_null (self->engine);
    leat_consumer_engine_destroy (&self->engine);
    leat_outbox_destroy (&self->outbox);
    free (self);
}

static inline void scene_deliver (scene_t *self, uint64_t epoch, uint64_t first, uint32_t count)
{
    sample_deliver (self->engine, self->outbox, epoch, first, count);
}

/* Takes up to count_max records, which must be these, and compares their payloads. */
static inline leat_delivery_t scene_take (scene_t *self, uint32_t count_max, uint64_t epoch,
                                          uint64_t first, uint32_t count)
{
    leat_delivery_t delivery = { 0 };
    assert_true (leat_consumer_engine_take (self->engine, count_max, &delivery, self->outbox));
    assert_int_equal (delivery.epoch, epoch);
    assert_int_equal (delivery.first, first);
    assert_int_equal (delivery.count, count);
    sample_check (&delivery);
    return delivery;
}

static inline bool scene_has_more (scene_t *self)
{
    leat_delivery_t delivery;
    return leat_consumer_engine_take (self->engine, 1, &delivery, self->outbox);
}

static inline uint32_t scene_settle (scene_t *self, const leat_delivery_t *delivery, uint64_t first,
                                     uint32_t count, leat_outcome_t outcome)
{
    return leat_consumer_engine_settle (self->engine, delivery->session, delivery->epoch, first,
                                        count, outcome, 0, NULL, self->now_us);
}

#define NEW(...) scene_new ((leat_consumer_engine_options_t){ __VA_ARGS__ })
#define RANGES(scene, id, ...)                                                                     \
    scene_ranges (scene, id, sizeof ((leat_range_t[]){ __VA_ARGS__ }) / sizeof (leat_range_t),     \
                  (leat_range_t[]){ __VA_ARGS__ })

#endif

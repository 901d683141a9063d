/* Records whose content follows from their sequence, and messages between an engine and a broker
 * that a test plays by hand.
 * SPDX-License-Identifier: MPL-2.0 */
#ifndef LEAT_TESTS_PRODUCER_SAMPLE_H
#define LEAT_TESTS_PRODUCER_SAMPLE_H

#include <string.h>

#include "producers/producer_engine.h"
#include "wire/crc32c.h"
#include "wire/record.h"

/* Body of record `sequence`: its size and its bytes differ from those of its neighbours. */
static inline size_t sample_body (uint64_t sequence, uint8_t *body)
{
    size_t size = 20 + sequence * 37 % 150;
    for (size_t index = 0; index < size; index++)
        body[index] = (uint8_t) (sequence * 131 + (sequence >> 8) * 17 + index);
    return size;
}

enum { SAMPLE_BODY_MAX = 170 };

/* `count` records from sequence `first` on, encoded; the caller releases the buffer. `before` bytes
 * lie in front of them. */
static inline leat_slice_t sample_records (uint64_t first, uint32_t count, bool extended,
                                           size_t before)
{
    uint8_t body[SAMPLE_BODY_MAX];
    size_t size = before;
    for (uint32_t index = 0; index < count; index++) {
        leat_record_t record = { .body = body, .body_size = sample_body (first + index, body) };
        size += leat_record_encoded_size (&record, extended);
    }
    leat_buffer_t *buffer = leat_buffer_new (size);
    uint8_t *bytes = leat_buffer_bytes (buffer);
    size_t position = before;
    for (uint32_t index = 0; index < count; index++) {
        leat_record_t record = { .body = body, .body_size = sample_body (first + index, body) };
        position += leat_record_encode (&record, extended, bytes + position);
    }
    return (leat_slice_t){ buffer, before, size - before };
}

/* Submits `count` records with the content of the sequences that they get. */
static inline void sample_submit (leat_producer_engine_t *engine, uint32_t count)
{
    uint64_t next = leat_producer_engine_next (engine);
    leat_slice_t records = sample_records (next, count, false, (size_t) (next % 7));
    assert_true (leat_producer_engine_submit (engine, records, count, false, 1000 + next) == next);
    leat_buffer_release (&records.buffer);
}

/* True if the message is a PUBLISH whose header, checksum and records are right. */
static inline bool sample_is_publish (const leat_message_t *message, leat_batch_t *batch)
{
    if (message->body.buffer == NULL
        || leat_batch_decode (batch, message->header, message->header_size) != LEAT_OK
        || batch->command != LEAT_PUBLISH)
        return false;
    const uint8_t *bytes = leat_slice_bytes (message->body);
    size_t left = message->body.size;
    assert_true (leat_crc32c (bytes, left) == batch->crc32c);
    for (uint32_t index = 0; index < batch->count; index++) {
        uint8_t body[SAMPLE_BODY_MAX];
        size_t size = sample_body (batch->first + index, body);
        leat_record_t record;
        size_t taken =
            leat_record_decode (&record, batch->attributes & LEAT_BATCH_EXTENDED, bytes, left);
        assert_int_not_equal (taken, 0);
        assert_int_equal (record.body_size, size);
        assert_memory_equal (record.body, body, size);
        bytes += taken;
        left -= taken;
    }
    assert_int_equal (left, 0);
    return true;
}

#endif

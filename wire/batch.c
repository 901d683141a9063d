/* Headers of batches, and the walk over a body.
 * SPDX-License-Identifier: MPL-2.0 */
#include "wire/batch.h"

#include "wire/assert.h"
#include "wire/bytes.h"
#include "wire/command.h"
#include "wire/record.h"

static const uint64_t s_end_max = (uint64_t) 1 << 63;

void leat_batch_encode (const leat_batch_t *batch, uint8_t *bytes)
{
    bytes[0] = batch->command;
    bytes[1] = batch->attributes;
    leat_put_u16 (bytes + 2, batch->flags);
    leat_put_u32 (bytes + 4, batch->channel);
    leat_put_u32 (bytes + 8, batch->count);
    leat_put_u32 (bytes + 12, batch->crc32c);
    leat_put_u64 (bytes + 16, batch->first);
    leat_put_u64 (bytes + 24, batch->time_ms);
    leat_put_u64 (bytes + 32, batch->epoch);
    leat_put_u32 (bytes + 40, batch->command == LEAT_DELIVER ? batch->size : batch->flight);
    leat_put_u32 (bytes + 44, batch->attempt);
}

static const char *s_fault_publish (const leat_batch_t *batch)
{
    if ((batch->flags & ~LEAT_PUBLISH_PATIENT) != 0)
        return "flags has bits that this version does not know";
    if (batch->epoch != 0 || batch->attempt != 0)
        return "epoch and attempt are 0 in a PUBLISH";
    return batch->first == 0 ? "first is a sequence from 1" : NULL;
}

static const char *s_fault_deliver (const leat_batch_t *batch)
{
    if ((batch->flags & ~LEAT_DELIVER_REDELIVERED) != 0)
        return "flags has bits that this version does not know";
    return NULL;
}

static const char *s_fault (const leat_batch_t *batch)
{
    const char *fault = NULL;
    if (batch->command == LEAT_PUBLISH)
        fault = s_fault_publish (batch);
    else if (batch->command == LEAT_DELIVER)
        fault = s_fault_deliver (batch);
    else
        return "only PUBLISH and DELIVER have two frames";
    if (fault)
        return fault;
    if ((batch->attributes & ~LEAT_BATCH_EXTENDED) != 0)
        return "attributes has bits that this version does not know";
    if (batch->count < 1 || batch->count > LEAT_BATCH_COUNT_MAX)
        return "count is 1 to 65536";
    if (batch->first > s_end_max || batch->count > s_end_max - batch->first)
        return "first + count is at most 2^63";
    return NULL;
}

static const char *s_decode (leat_batch_t *batch, const uint8_t *bytes, size_t size)
{
    *batch = (leat_batch_t){ .command = size > 0 ? bytes[0] : 0 };
    if (size != LEAT_BATCH_HEADER_SIZE)
        return "the first of two frames is a header of 48 bytes";
    batch->attributes = bytes[1];
    batch->flags = leat_get_u16 (bytes + 2);
    batch->channel = leat_get_u32 (bytes + 4);
    batch->count = leat_get_u32 (bytes + 8);
    batch->crc32c = leat_get_u32 (bytes + 12);
    batch->first = leat_get_u64 (bytes + 16);
    batch->time_ms = leat_get_u64 (bytes + 24);
    batch->epoch = leat_get_u64 (bytes + 32);
    *(batch->command == LEAT_DELIVER ? &batch->size : &batch->flight) = leat_get_u32 (bytes + 40);
    batch->attempt = leat_get_u32 (bytes + 44);
    return s_fault (batch);
}

leat_code_t leat_batch_decode (leat_batch_t *batch, const uint8_t *bytes, size_t size)
{
    return s_decode (batch, bytes, size) ? LEAT_MALFORMED : LEAT_OK;
}

const char *leat_batch_fault (const uint8_t *bytes, size_t size)
{
    leat_batch_t batch;
    return s_decode (&batch, bytes, size);
}

uint32_t leat_batch_slices (const uint8_t *headers, size_t headers_size, size_t body_size)
{
    size_t count = headers_size / LEAT_BATCH_HEADER_SIZE;
    if (headers_size % LEAT_BATCH_HEADER_SIZE != 0 || count > LEAT_SLICES_MAX
        || (count > 1 && body_size > LEAT_SLICES_SIZE_MAX))
        return 0;
    uint32_t channel = 0;
    for (size_t index = 0; index < count; index++) {
        leat_batch_t batch;
        const uint8_t *header = headers + index * LEAT_BATCH_HEADER_SIZE;
        if (s_decode (&batch, header, LEAT_BATCH_HEADER_SIZE) || batch.command != LEAT_DELIVER
            || (index > 0 && batch.channel != channel) || batch.size > body_size)
            return 0;
        channel = batch.channel;
        body_size -= batch.size;
    }
    return body_size == 0 ? (uint32_t) count : 0;
}

/* Runs once per record of every batch that the broker takes, so it looks at the size and at
 * nothing else. */
static leat_code_t s_check_plain (const uint8_t *body, size_t size, uint32_t count,
                                  size_t record_size_max)
{
    while (count-- > 0) {
        if (size < 4)
            return LEAT_MALFORMED;
        size_t record_size = leat_get_u32 (body);
        size -= 4;
        if (record_size > size)
            return LEAT_MALFORMED;
        if (record_size > record_size_max)
            return LEAT_TOO_LARGE;
        body += 4 + record_size;
        size -= record_size;
    }
    return size == 0 ? LEAT_OK : LEAT_MALFORMED;
}

static leat_code_t s_check_extended (const uint8_t *body, size_t size, uint32_t count,
                                     size_t record_size_max)
{
    while (count-- > 0) {
        leat_record_t record;
        size_t taken = leat_record_decode (&record, true, body, size);
        if (taken == 0)
            return LEAT_MALFORMED;
        if (taken - 4 > record_size_max)
            return LEAT_TOO_LARGE;
        body += taken;
        size -= taken;
    }
    return size == 0 ? LEAT_OK : LEAT_MALFORMED;
}

leat_code_t leat_batch_check (const uint8_t *body, size_t size, uint32_t count, bool extended,
                              size_t record_size_max)
{
    if (extended)
        return s_check_extended (body, size, count, record_size_max);
    return s_check_plain (body, size, count, record_size_max);
}

size_t leat_batch_skip (const uint8_t *body, size_t size, uint32_t count)
{
    /* The size of a record means the same in both forms. */
    size_t position = 0;
    while (count-- > 0) {
        leat_assert (size - position >= 4);
        size_t record_size = leat_get_u32 (body + position);
        leat_assert (record_size <= size - position - 4);
        position += 4 + record_size;
    }
    return position;
}

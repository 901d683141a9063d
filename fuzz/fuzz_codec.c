/* Any bytes into the decoders of what peers send; what decodes must encode to the same bytes again.
 *
 * The first byte chooses: 0 a command, 1 the two frames of a batch, 2 records, 3 headers of a
 * record; in its upper half, bit 4 says that records are extended.
 * SPDX-License-Identifier: MPL-2.0 */
#include "fuzz/fuzz.h"

#include <stdlib.h>
#include <string.h>

#include "wire/alloc.h"
#include "wire/assert.h"
#include "wire/batch.h"
#include "wire/command.h"
#include "wire/crc32c.h"
#include "wire/record.h"

static void s_command (const uint8_t *bytes, size_t size)
{
    leat_command_t command;
    const char *field;
    leat_code_t code = leat_command_decode (&command, bytes, size, &field);
    if (code != LEAT_OK) {
        leat_assert (code == LEAT_MALFORMED || code == LEAT_UNKNOWN_COMMAND
                     || code == LEAT_UNSUPPORTED_VERSION);
        return;
    }
    leat_assert (!field);
    leat_assert (leat_command_encoded_size (&command) == size);
    uint8_t *again = leat_alloc_raw (size);
    leat_assert (leat_command_encode (&command, again) == size);
    leat_assert (memcmp (again, bytes, size) == 0);
    free (again);
}

/* Walks `count` records; returns the bytes of those that decode and encode to the same again. */
static size_t s_walk (const uint8_t *bytes, size_t size, uint32_t count, bool extended,
                      size_t *largest)
{
    size_t position = 0;
    for (uint32_t index = 0; index < count; index++) {
        leat_record_t record;
        size_t taken = leat_record_decode (&record, extended, bytes + position, size - position);
        if (taken == 0)
            break;
        leat_assert (taken <= size - position);
        leat_assert (leat_record_encoded_size (&record, extended) == taken);
        leat_assert (leat_headers_valid (record.headers, record.headers_size));
        uint8_t *again = leat_alloc_raw (taken);
        leat_assert (leat_record_encode (&record, extended, again) == taken);
        leat_assert (memcmp (again, bytes + position, taken) == 0);
        free (again);
        if (taken - 4 > *largest)
            *largest = taken - 4;
        position += taken;
    }
    return position;
}

static void s_batch (const uint8_t *bytes, size_t size)
{
    leat_batch_t batch;
    uint8_t again[LEAT_BATCH_HEADER_SIZE];
    size_t header_size = size < sizeof again ? size : sizeof again;
    if (leat_batch_decode (&batch, bytes, header_size) != LEAT_OK)
        return;
    leat_batch_encode (&batch, again);
    leat_assert (memcmp (again, bytes, sizeof again) == 0);

    const uint8_t *body = bytes + sizeof again;
    size_t body_size = size - sizeof again, largest = 0;
    bool extended = batch.attributes & LEAT_BATCH_EXTENDED;
    leat_code_t code =
        leat_batch_check (body, body_size, batch.count, extended, LEAT_RECORD_SIZE_MAX);
    size_t walked = s_walk (body, body_size, batch.count, extended, &largest);
    if (code == LEAT_OK) {
        leat_assert (walked == body_size);
        leat_assert (leat_batch_skip (body, body_size, batch.count) == body_size);
        leat_assert (leat_batch_check (body, body_size, batch.count, extended, largest) == LEAT_OK);
        if (largest > 0)
            leat_assert (leat_batch_check (body, body_size, batch.count, extended, largest - 1)
                         == LEAT_TOO_LARGE);
    }
    leat_crc32c (body, body_size);
}

/* As many headers of a DELIVER as the first byte says, and their slices. */
static void s_slices (const uint8_t *bytes, size_t size)
{
    size_t headers_size = (size_t) (size ? bytes[0] % 8 : 0) * LEAT_BATCH_HEADER_SIZE;
    if (!size || headers_size > size - 1)
        return;
    size_t left = size - 1 - headers_size;
    uint32_t count = leat_batch_slices (bytes + 1, headers_size, left);
    for (uint32_t index = 0; index < count; index++) {
        leat_batch_t batch;
        leat_code_t code = leat_batch_decode (
            &batch, bytes + 1 + (size_t) index * LEAT_BATCH_HEADER_SIZE, LEAT_BATCH_HEADER_SIZE);
        leat_assert (code == LEAT_OK && batch.command == LEAT_DELIVER && batch.size <= left);
        leat_crc32c (bytes + size - left, batch.size);
        left -= batch.size;
    }
    leat_assert (!count || !left);
}

static void s_headers (const uint8_t *bytes, size_t size)
{
    size_t position = 0;
    leat_text_t name, value;
    while (position < size) {
        size_t taken = leat_header_decode (&name, &value, bytes + position, size - position);
        if (taken == 0)
            break;
        leat_assert (leat_header_encoded_size (name, value) == taken);
        uint8_t *again = leat_alloc_raw (taken);
        leat_assert (leat_header_encode (name, value, again) == taken);
        leat_assert (memcmp (again, bytes + position, taken) == 0);
        free (again);
        position += taken;
    }
    leat_assert (leat_headers_valid (bytes, size) == (position == size));
}

int LLVMFuzzerTestOneInput (const uint8_t *data, size_t size)
{
    if (size == 0)
        return 0;
    uint8_t choice = data[0];
    size_t largest = 0;
    data++;
    size--;
    switch (choice & 3) {
    case 0:
        s_command (data, size);
        break;
    case 1:
        if (choice & 32)
            s_slices (data, size);
        else
            s_batch (data, size);
        break;
    case 2:
        s_walk (data, size, UINT32_MAX, choice & 16, &largest);
        break;
    default:
        s_headers (data, size);
        break;
    }
    return 0;
}

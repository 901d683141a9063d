/* Writing and reading records and their headers.
 * SPDX-License-Identifier: MPL-2.0 */
#include "wire/record.h"

#include "wire/assert.h"
#include "wire/bytes.h"

enum {
    SIZE_SIZE = 4,      /* of the u32 before each record */
    EXTENSION_SIZE = 4, /* of key size and headers size */
    HEADER_SIZE = 3     /* of a header's name size and value size */
};

static uint8_t *s_put (uint8_t *bytes, const void *from, size_t size)
{
    if (size)
        memcpy (bytes, from, size);
    return bytes + size;
}

size_t leat_record_encoded_size (const leat_record_t *record, bool extended)
{
    return SIZE_SIZE + (extended ? EXTENSION_SIZE : 0) + record->key_size + record->headers_size
           + record->body_size;
}

size_t leat_record_encode (const leat_record_t *record, bool extended, uint8_t *bytes)
{
    leat_assert (record->key_size <= UINT16_MAX && record->headers_size <= UINT16_MAX);
    leat_assert (extended || (record->key_size == 0 && record->headers_size == 0));
    size_t size = leat_record_encoded_size (record, extended) - SIZE_SIZE;
    leat_assert (size <= UINT32_MAX);

    leat_put_u32 (bytes, (uint32_t) size);
    bytes += SIZE_SIZE;
    if (extended) {
        leat_put_u16 (bytes, (uint16_t) record->key_size);
        leat_put_u16 (bytes + 2, (uint16_t) record->headers_size);
        bytes = s_put (bytes + EXTENSION_SIZE, record->key, record->key_size);
        bytes = s_put (bytes, record->headers, record->headers_size);
    }
    s_put (bytes, record->body, record->body_size);
    return SIZE_SIZE + size;
}

/* Takes apart what follows the size of an extended record. */
static bool s_decode_extended (leat_record_t *record, const uint8_t *bytes, size_t size)
{
    if (size < EXTENSION_SIZE)
        return false;
    record->key_size = leat_get_u16 (bytes);
    record->headers_size = leat_get_u16 (bytes + 2);
    bytes += EXTENSION_SIZE;
    size -= EXTENSION_SIZE;
    if (record->key_size + record->headers_size > size)
        return false;
    if (record->key_size)
        record->key = bytes;
    bytes += record->key_size;
    if (record->headers_size)
        record->headers = bytes;
    record->body = bytes + record->headers_size;
    record->body_size = size - record->key_size - record->headers_size;
    return leat_headers_valid (bytes, record->headers_size);
}

size_t leat_record_decode (leat_record_t *record, bool extended, const uint8_t *bytes, size_t size)
{
    if (size < SIZE_SIZE)
        return 0;
    size_t record_size = leat_get_u32 (bytes);
    if (record_size > size - SIZE_SIZE)
        return 0;
    *record = (leat_record_t){ .body = bytes + SIZE_SIZE, .body_size = record_size };
    if (extended && !s_decode_extended (record, bytes + SIZE_SIZE, record_size))
        return 0;
    return SIZE_SIZE + record_size;
}

size_t leat_header_encoded_size (leat_text_t name, leat_text_t value)
{
    if (name.size < 1 || name.size > UINT8_MAX || value.size > UINT16_MAX)
        return 0;
    return HEADER_SIZE + name.size + value.size;
}

size_t leat_header_encode (leat_text_t name, leat_text_t value, uint8_t *bytes)
{
    size_t size = leat_header_encoded_size (name, value);
    leat_assert (size > 0);
    bytes[0] = (uint8_t) name.size;
    leat_put_u16 (bytes + 1, (uint16_t) value.size);
    bytes = s_put (bytes + HEADER_SIZE, name.data, name.size);
    s_put (bytes, value.data, value.size);
    return size;
}

size_t leat_header_decode (leat_text_t *name, leat_text_t *value, const uint8_t *bytes, size_t size)
{
    if (size < HEADER_SIZE || bytes[0] == 0)
        return 0;
    size_t name_size = bytes[0];
    size_t value_size = leat_get_u16 (bytes + 1);
    if (name_size + value_size > size - HEADER_SIZE)
        return 0;
    const char *text = (const char *) bytes + HEADER_SIZE;
    *name = (leat_text_t){ text, name_size };
    *value = (leat_text_t){ text + name_size, value_size };
    return HEADER_SIZE + name_size + value_size;
}

bool leat_headers_valid (const uint8_t *bytes, size_t size)
{
    /* By offset rather than by moving pointers: `bytes` may be NULL when `size` is 0. */
    size_t position = 0;
    while (position < size) {
        leat_text_t name, value;
        size_t taken = leat_header_decode (&name, &value, bytes + position, size - position);
        if (taken == 0)
            return false;
        position += taken;
    }
    return true;
}

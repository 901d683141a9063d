/* Keys, values and their checksums.
 * SPDX-License-Identifier: MPL-2.0 */
#include "broker/store/rows.h"

#include "wire/assert.h"
#include "wire/bytes.h"
#include "wire/crc32c.h"

enum { CHECKSUM_SIZE = 4 };

/* ---- keys ------------------------------------------------------------------------------------ */

leat_key_t leat_key (char letter)
{
    leat_key_t key = { .size = 1 };
    key.bytes[0] = (uint8_t) letter;
    return key;
}

void leat_key_u32 (leat_key_t *key, uint32_t number)
{
    leat_assert (key->size + 4 <= LEAT_KEY_MAX);
    for (int shift = 24; shift >= 0; shift -= 8)
        key->bytes[key->size++] = (uint8_t) (number >> shift);
}

void leat_key_u64 (leat_key_t *key, uint64_t number)
{
    leat_key_u32 (key, (uint32_t) (number >> 32));
    leat_key_u32 (key, (uint32_t) number);
}

void leat_key_text (leat_key_t *key, leat_text_t text)
{
    leat_assert (text.size <= LEAT_KEY_MAX - key->size);
    if (text.size)
        memcpy (key->bytes + key->size, text.data, text.size);
    key->size += text.size;
}

leat_key_t leat_key_behind (const leat_key_t *key)
{
    leat_key_t behind = *key;
    while (behind.size > 1 && behind.bytes[behind.size - 1] == UINT8_MAX)
        behind.size--;
    behind.bytes[behind.size - 1]++;
    return behind;
}

uint32_t leat_key_get_u32 (const leat_key_t *key, size_t position)
{
    if (position + 4 > key->size)
        return 0;
    uint32_t number = 0;
    for (size_t i = 0; i < 4; i++)
        number = number << 8 | key->bytes[position + i];
    return number;
}

uint64_t leat_key_get_u64 (const leat_key_t *key, size_t position)
{
    return (uint64_t) leat_key_get_u32 (key, position) << 32 | leat_key_get_u32 (key, position + 4);
}

leat_key_t leat_key_meta (const char *name)
{
    leat_key_t key = leat_key ('M');
    leat_key_text (&key, leat_text (name));
    return key;
}

leat_key_t leat_key_place (char letter, uint32_t place)
{
    leat_key_t key = leat_key (letter);
    leat_key_u32 (&key, place);
    return key;
}

leat_key_t leat_key_numbered (char letter, uint32_t place, uint64_t number)
{
    leat_key_t key = leat_key_place (letter, place);
    leat_key_u64 (&key, number);
    return key;
}

/* ---- values ---------------------------------------------------------------------------------- */

void leat_value_begin (leat_value_t *value)
{
    value->size = 0;
    value->position = 0;
    value->wrong = false;
}

void leat_value_put (leat_value_t *value, uint64_t number, unsigned bytes)
{
    leat_assert (value->size + bytes <= sizeof value->bytes);
    for (unsigned i = 0; i < bytes; i++)
        value->bytes[value->size++] = (uint8_t) (number >> (8 * i));
}

void leat_value_put_text (leat_value_t *value, leat_text_t text)
{
    leat_assert (text.size <= sizeof value->bytes - value->size);
    if (text.size)
        memcpy (value->bytes + value->size, text.data, text.size);
    value->size += text.size;
}

uint64_t leat_value_get (leat_value_t *value, unsigned bytes)
{
    if (value->size - value->position < bytes) {
        value->wrong = true;
        return 0;
    }
    uint64_t number = 0;
    for (unsigned i = 0; i < bytes; i++)
        number |= (uint64_t) value->bytes[value->position++] << (8 * i);
    return number;
}

leat_text_t leat_value_get_rest (leat_value_t *value)
{
    leat_text_t rest = { (const char *) value->bytes + value->position,
                         value->size - value->position };
    value->position = value->size;
    return rest;
}

static uint32_t s_checksum (const leat_key_t *key, const uint8_t *bytes, size_t size)
{
    return leat_crc32c (key->bytes, key->size) ^ leat_crc32c (bytes, size);
}

leat_rows_result_t leat_value_check (leat_value_t *value, const leat_key_t *key,
                                     const uint8_t *bytes, size_t size)
{
    leat_value_begin (value);
    if (size < CHECKSUM_SIZE || size - CHECKSUM_SIZE > sizeof value->bytes
        || leat_get_u32 (bytes + size - CHECKSUM_SIZE)
               != s_checksum (key, bytes, size - CHECKSUM_SIZE))
        return LEAT_ROWS_DAMAGED;
    value->size = size - CHECKSUM_SIZE;
    memcpy (value->bytes, bytes, value->size);
    return LEAT_ROWS_OK;
}

leat_rows_result_t leat_rows_put (leat_rows_t *rows, const leat_key_t *key,
                                  const leat_value_t *value)
{
    uint8_t *bytes;
    leat_rows_result_t result = rows->put (rows, key, &bytes, value->size + CHECKSUM_SIZE);
    if (result)
        return result;
    memcpy (bytes, value->bytes, value->size);
    leat_put_u32 (bytes + value->size, s_checksum (key, value->bytes, value->size));
    return LEAT_ROWS_OK;
}

leat_rows_result_t leat_rows_get (leat_rows_t *rows, const leat_key_t *key, leat_value_t *value)
{
    const uint8_t *bytes;
    size_t size;
    leat_rows_result_t result = rows->get (rows, key, &bytes, &size);
    return result ? result : leat_value_check (value, key, bytes, size);
}

leat_rows_result_t leat_rows_next (leat_rows_t *rows, const leat_key_t *from, const leat_key_t *to,
                                   leat_key_t *key, leat_value_t *value)
{
    const uint8_t *bytes;
    size_t size;
    leat_rows_result_t result = rows->next (rows, from, to, key, &bytes, &size);
    return result ? result : leat_value_check (value, key, bytes, size);
}

/* ---- rows ------------------------------------------------------------------------------------ */

bool leat_value_get_stream (leat_value_t *value, uint32_t stream, uint32_t *place,
                            leat_operation_stream_created_t *created)
{
    *place = (uint32_t) leat_value_get (value, 4);
    created->stream = stream;
    created->durability = (uint8_t) leat_value_get (value, 1);
    created->retention = (uint8_t) leat_value_get (value, 1);
    created->max_age_ms = leat_value_get (value, 8);
    created->max_size = leat_value_get (value, 8);
    created->max_processing_ms = leat_value_get (value, 8);
    created->max_attempts = (uint32_t) leat_value_get (value, 4);
    created->dead_size = leat_value_get (value, 8);
    created->stream_name = leat_value_get_rest (value);
    return !value->wrong && leat_name_valid (created->stream_name);
}

leat_rows_result_t leat_rows_stream (leat_rows_t *rows, uint32_t stream, leat_stream_row_t *row)
{
    leat_value_t value;
    leat_key_t key = leat_key_place ('S', stream);
    leat_rows_result_t result = leat_rows_get (rows, &key, &value);
    if (result)
        return result;
    row->place = (uint32_t) leat_value_get (&value, 4);
    row->durability = (uint8_t) leat_value_get (&value, 1);
    return value.wrong ? LEAT_ROWS_DAMAGED : LEAT_ROWS_OK;
}

leat_rows_result_t leat_rows_extent (leat_rows_t *rows, uint32_t place, leat_extent_t *extent)
{
    leat_value_t value;
    leat_key_t key = leat_key_place ('X', place);
    leat_rows_result_t result = leat_rows_get (rows, &key, &value);
    if (result)
        return result;
    extent->first = leat_value_get (&value, 8);
    extent->next = leat_value_get (&value, 8);
    extent->records = leat_value_get (&value, 8);
    extent->size = leat_value_get (&value, 8);
    return value.wrong ? LEAT_ROWS_DAMAGED : LEAT_ROWS_OK;
}

leat_rows_result_t leat_rows_put_extent (leat_rows_t *rows, uint32_t place,
                                         const leat_extent_t *extent)
{
    leat_value_t value;
    leat_key_t key = leat_key_place ('X', place);
    leat_value_begin (&value);
    leat_value_put (&value, extent->first, 8);
    leat_value_put (&value, extent->next, 8);
    leat_value_put (&value, extent->records, 8);
    leat_value_put (&value, extent->size, 8);
    return leat_rows_put (rows, &key, &value);
}

void leat_batch_row_write (const leat_batch_row_t *row, const leat_key_t *key, size_t body_size,
                           uint8_t *bytes)
{
    memset (bytes, 0, LEAT_BATCH_ROW_HEADER);
    leat_put_u32 (bytes + 4, row->count);
    leat_put_u64 (bytes + 8, row->time_ms);
    leat_put_u32 (bytes + 16, row->crc32c);
    bytes[20] = row->attributes;
    leat_put_u64 (bytes + 24, body_size);
    leat_put_u32 (bytes, s_checksum (key, bytes + 4, LEAT_BATCH_ROW_HEADER - 4));
}

bool leat_batch_row_read (leat_batch_row_t *row, const leat_key_t *key, const uint8_t *value,
                          size_t size)
{
    if (size < LEAT_BATCH_ROW_HEADER
        || leat_get_u32 (value) != s_checksum (key, value + 4, LEAT_BATCH_ROW_HEADER - 4)
        || leat_get_u64 (value + 24) != size - LEAT_BATCH_ROW_HEADER)
        return false;
    row->count = leat_get_u32 (value + 4);
    row->time_ms = leat_get_u64 (value + 8);
    row->crc32c = leat_get_u32 (value + 16);
    row->attributes = value[20];
    return row->count > 0;
}

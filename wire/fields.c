/* Encoder and decoder of fields.
 * SPDX-License-Identifier: MPL-2.0 */
#include "wire/fields.h"

#include "wire/assert.h"
#include "wire/bytes.h"
#include "wire/command.h"

enum { RANGE_SIZE = 8 + 8 + 4, SETTLE_SIZE = RANGE_SIZE + 4 + 1 };

static const uint64_t s_end_max = (uint64_t) 1 << 63;

/* --- list entries ------------------------------------------------------------------------------ */

leat_range_t leat_ranges_get (const leat_ranges_t *list, uint32_t index)
{
    leat_assert (index < list->count);
    if (list->entries)
        return list->entries[index];
    const uint8_t *bytes = list->encoded + (size_t) index * RANGE_SIZE;
    return (leat_range_t){
        .epoch = leat_get_u64 (bytes),
        .first = leat_get_u64 (bytes + 8),
        .count = leat_get_u32 (bytes + 16),
    };
}

leat_settle_entry_t leat_settles_get (const leat_settles_t *list, uint32_t index)
{
    leat_assert (index < list->count);
    if (list->entries)
        return list->entries[index];
    const uint8_t *bytes = list->encoded + (size_t) index * SETTLE_SIZE;
    return (leat_settle_entry_t){
        .epoch = leat_get_u64 (bytes),
        .first = leat_get_u64 (bytes + 8),
        .count = leat_get_u32 (bytes + 16),
        .delay_ms = leat_get_u32 (bytes + 20),
        .outcome = bytes[24],
    };
}

static bool s_range_valid (uint64_t first, uint32_t count)
{
    return count >= 1 && first <= s_end_max && count <= s_end_max - first;
}

static bool s_outcome_valid (uint8_t outcome)
{
    return outcome >= LEAT_ACK && outcome <= LEAT_REJECT;
}

static uint8_t *s_put_ranges (uint8_t *bytes, const leat_ranges_t *list)
{
    leat_assert (list->count <= LEAT_ENTRIES_MAX);
    leat_put_u16 (bytes, (uint16_t) list->count);
    bytes += 2;
    for (uint32_t index = 0; index < list->count; index++, bytes += RANGE_SIZE) {
        leat_range_t range = leat_ranges_get (list, index);
        leat_assert (s_range_valid (range.first, range.count));
        leat_put_u64 (bytes, range.epoch);
        leat_put_u64 (bytes + 8, range.first);
        leat_put_u32 (bytes + 16, range.count);
    }
    return bytes;
}

static uint8_t *s_put_settles (uint8_t *bytes, const leat_settles_t *list)
{
    leat_assert (list->count <= LEAT_ENTRIES_MAX);
    leat_put_u16 (bytes, (uint16_t) list->count);
    bytes += 2;
    for (uint32_t index = 0; index < list->count; index++, bytes += SETTLE_SIZE) {
        leat_settle_entry_t entry = leat_settles_get (list, index);
        leat_assert (s_range_valid (entry.first, entry.count) && s_outcome_valid (entry.outcome));
        leat_put_u64 (bytes, entry.epoch);
        leat_put_u64 (bytes + 8, entry.first);
        leat_put_u32 (bytes + 16, entry.count);
        leat_put_u32 (bytes + 20, entry.delay_ms);
        bytes[24] = entry.outcome;
    }
    return bytes;
}

/* --- encoding ---------------------------------------------------------------------------------- */

static size_t s_field_size (leat_field_kind_t kind, const void *value)
{
    switch (kind) {
    case LEAT_FIELD_U8:
        return 1;
    case LEAT_FIELD_U16:
        return 2;
    case LEAT_FIELD_U32:
        return 4;
    case LEAT_FIELD_U64:
        return 8;
    case LEAT_FIELD_NAME:
        return 1 + ((const leat_text_t *) value)->size;
    case LEAT_FIELD_TEXT:
        return 2 + ((const leat_text_t *) value)->size;
    case LEAT_FIELD_BLOB:
        return 4 + ((const leat_text_t *) value)->size;
    case LEAT_FIELD_RANGES:
        return 2 + (size_t) ((const leat_ranges_t *) value)->count * RANGE_SIZE;
    case LEAT_FIELD_SETTLES:
        return 2 + (size_t) ((const leat_settles_t *) value)->count * SETTLE_SIZE;
    case LEAT_FIELD_BODY:
        return 4 + ((const leat_slice_t *) value)->size;
    case LEAT_FIELD_END:
        break;
    }
    leat_assert (!"a field of no known kind");
    return 0;
}

size_t leat_fields_encoded_size (const leat_field_t *fields, const void *structure)
{
    size_t size = 0;
    for (; fields->kind != LEAT_FIELD_END; fields++)
        size += s_field_size (fields->kind, (const uint8_t *) structure + fields->offset);
    return size;
}

static uint8_t *s_put_text (uint8_t *bytes, leat_text_t text)
{
    if (text.size)
        memcpy (bytes, text.data, text.size);
    return bytes + text.size;
}

/* NAME, TEXT and BLOB differ in the width of the size and in the limit. */
static uint8_t *s_put_sized (uint8_t *bytes, leat_field_kind_t kind, leat_text_t text)
{
    if (kind == LEAT_FIELD_NAME) {
        leat_assert (text.size <= LEAT_NAME_MAX);
        bytes[0] = (uint8_t) text.size;
        return s_put_text (bytes + 1, text);
    }
    if (kind == LEAT_FIELD_TEXT) {
        leat_assert (text.size <= LEAT_TEXT_MAX);
        leat_put_u16 (bytes, (uint16_t) text.size);
        return s_put_text (bytes + 2, text);
    }
    leat_assert (text.size <= UINT32_MAX);
    leat_put_u32 (bytes, (uint32_t) text.size);
    return s_put_text (bytes + 4, text);
}

static uint8_t *s_put_field (uint8_t *bytes, leat_field_kind_t kind, const void *value)
{
    switch (kind) {
    case LEAT_FIELD_U8:
        *bytes = *(const uint8_t *) value;
        return bytes + 1;
    case LEAT_FIELD_U16:
        leat_put_u16 (bytes, *(const uint16_t *) value);
        return bytes + 2;
    case LEAT_FIELD_U32:
        leat_put_u32 (bytes, *(const uint32_t *) value);
        return bytes + 4;
    case LEAT_FIELD_U64:
        leat_put_u64 (bytes, *(const uint64_t *) value);
        return bytes + 8;
    case LEAT_FIELD_NAME:
    case LEAT_FIELD_TEXT:
    case LEAT_FIELD_BLOB:
        return s_put_sized (bytes, kind, *(const leat_text_t *) value);
    case LEAT_FIELD_RANGES:
        return s_put_ranges (bytes, value);
    case LEAT_FIELD_SETTLES:
        return s_put_settles (bytes, value);
    case LEAT_FIELD_BODY:
        leat_assert (((const leat_slice_t *) value)->size <= UINT32_MAX);
        leat_put_u32 (bytes, (uint32_t) ((const leat_slice_t *) value)->size);
        return bytes + 4;
    case LEAT_FIELD_END:
        break;
    }
    leat_assert (!"a field of no known kind");
    return bytes;
}

size_t leat_fields_encode (const leat_field_t *fields, const void *structure, uint8_t *bytes)
{
    uint8_t *next = bytes;
    for (; fields->kind != LEAT_FIELD_END; fields++)
        next = s_put_field (next, fields->kind, (const uint8_t *) structure + fields->offset);
    return (size_t) (next - bytes);
}

/* --- decoding ---------------------------------------------------------------------------------- */

/* What is still to be read. */
typedef struct {
    const uint8_t *bytes;
    size_t size;
    leat_buffer_t *buffer;
} reader_t;

/* The next `size` bytes, or NULL if there are fewer. */
static const uint8_t *s_take (reader_t *reader, size_t size)
{
    if (size > reader->size)
        return NULL;
    const uint8_t *bytes = reader->bytes;
    reader->bytes += size;
    reader->size -= size;
    return bytes;
}

/* An integer of 1, 2, 4 or 8 bytes. */
static bool s_get_integer (reader_t *reader, size_t size, uint64_t *value)
{
    const uint8_t *bytes = s_take (reader, size);
    if (!bytes)
        return false;
    *value = size == 1   ? *bytes
             : size == 2 ? leat_get_u16 (bytes)
             : size == 4 ? leat_get_u32 (bytes)
                         : leat_get_u64 (bytes);
    return true;
}

/* Bytes after a size that is itself `width` bytes wide. */
static bool s_get_sized (reader_t *reader, size_t width, uint64_t limit, leat_text_t *text)
{
    uint64_t size;
    if (!s_get_integer (reader, width, &size) || size > limit)
        return false;
    const uint8_t *bytes = s_take (reader, (size_t) size);
    *text = (leat_text_t){ (const char *) bytes, bytes ? (size_t) size : 0 };
    return bytes != NULL;
}

static bool s_get_ranges (reader_t *reader, leat_ranges_t *list)
{
    uint64_t count;
    *list = (leat_ranges_t){ 0 };
    if (!s_get_integer (reader, 2, &count) || count > LEAT_ENTRIES_MAX)
        return false;
    list->encoded = s_take (reader, (size_t) count * RANGE_SIZE);
    if (!list->encoded)
        return false;
    list->count = (uint32_t) count;
    for (uint32_t index = 0; index < list->count; index++) {
        leat_range_t range = leat_ranges_get (list, index);
        if (!s_range_valid (range.first, range.count))
            return false;
    }
    return true;
}

static bool s_get_settles (reader_t *reader, leat_settles_t *list)
{
    uint64_t count;
    *list = (leat_settles_t){ 0 };
    if (!s_get_integer (reader, 2, &count) || count > LEAT_ENTRIES_MAX)
        return false;
    list->encoded = s_take (reader, (size_t) count * SETTLE_SIZE);
    if (!list->encoded)
        return false;
    list->count = (uint32_t) count;
    for (uint32_t index = 0; index < list->count; index++) {
        leat_settle_entry_t entry = leat_settles_get (list, index);
        if (!s_range_valid (entry.first, entry.count) || !s_outcome_valid (entry.outcome))
            return false;
    }
    return true;
}

static bool s_get_body (reader_t *reader, leat_slice_t *slice)
{
    leat_text_t text;
    leat_assert (reader->buffer);
    *slice = (leat_slice_t){ 0 };
    if (!s_get_sized (reader, 4, UINT32_MAX, &text))
        return false;
    if (text.size > 0)
        *slice = (leat_slice_t){
            .buffer = reader->buffer,
            .offset = (size_t) ((const uint8_t *) text.data - leat_buffer_bytes (reader->buffer)),
            .size = text.size,
        };
    return true;
}

static bool s_get_field (reader_t *reader, leat_field_kind_t kind, void *value)
{
    uint64_t integer = 0;
    bool valid;
    switch (kind) {
    case LEAT_FIELD_U8:
        valid = s_get_integer (reader, 1, &integer);
        *(uint8_t *) value = (uint8_t) integer;
        return valid;
    case LEAT_FIELD_U16:
        valid = s_get_integer (reader, 2, &integer);
        *(uint16_t *) value = (uint16_t) integer;
        return valid;
    case LEAT_FIELD_U32:
        valid = s_get_integer (reader, 4, &integer);
        *(uint32_t *) value = (uint32_t) integer;
        return valid;
    case LEAT_FIELD_U64:
        valid = s_get_integer (reader, 8, &integer);
        *(uint64_t *) value = integer;
        return valid;
    case LEAT_FIELD_NAME:
        return s_get_sized (reader, 1, LEAT_NAME_MAX, value);
    case LEAT_FIELD_TEXT:
        return s_get_sized (reader, 2, LEAT_TEXT_MAX, value);
    case LEAT_FIELD_BLOB:
        return s_get_sized (reader, 4, UINT32_MAX, value);
    case LEAT_FIELD_RANGES:
        return s_get_ranges (reader, value);
    case LEAT_FIELD_SETTLES:
        return s_get_settles (reader, value);
    case LEAT_FIELD_BODY:
        return s_get_body (reader, value);
    case LEAT_FIELD_END:
        break;
    }
    leat_assert (!"a field of no known kind");
    return false;
}

leat_code_t leat_fields_decode (const leat_field_t *fields, void *structure, const uint8_t *bytes,
                                size_t size, leat_buffer_t *buffer, const char **field)
{
    reader_t reader = { bytes, size, buffer };
    for (; fields->kind != LEAT_FIELD_END; fields++) {
        if (!s_get_field (&reader, fields->kind, (uint8_t *) structure + fields->offset)) {
            *field = fields->name;
            return LEAT_MALFORMED;
        }
    }
    return reader.size == 0 ? LEAT_OK : LEAT_MALFORMED;
}

/* Building, encoding and reading commits.
 * SPDX-License-Identifier: MPL-2.0 */
#include "wire/commit.h"

#include <stdlib.h>

#include "wire/alloc.h"
#include "wire/assert.h"
#include "wire/bytes.h"
#include "wire/fields.h"

/* "LCOM" */
static const uint32_t s_signature = 0x4d4f434cu;

enum {
    VERSION = 1,
    OPERATION_HEADER_SIZE = 5, /* u8 number | u32 size */
    FIELDS_MAX = 16,           /* of one operation */
    META_AT_FIRST = 256,
    BODIES_AT_FIRST = 4
};

/* --- tables ------------------------------------------------------------------------------------ */

/* One function per operation, for the name here_t that only a function's body can have. */
#define U8(field) LEAT_FIELD (U8, field)
#define U16(field) LEAT_FIELD (U16, field)
#define U32(field) LEAT_FIELD (U32, field)
#define U64(field) LEAT_FIELD (U64, field)
#define NAME(field) LEAT_FIELD (NAME, field)
#define TEXT(field) LEAT_FIELD (TEXT, field)
#define BLOB(field) LEAT_FIELD (BLOB, field)
#define BODY(field) LEAT_FIELD (BODY, field)
#define OPERATION(NAME_, name, number, fields)                                                     \
    static const leat_field_t *s_fields_##name (void)                                              \
    {                                                                                              \
        typedef leat_operation_##name##_t here_t;                                                  \
        static const leat_field_t table[] = { fields{ NULL, LEAT_FIELD_END, 0 } };                 \
        return table;                                                                              \
    }
#include "wire/operations.def"
#undef OPERATION
#undef U8
#undef U16
#undef U32
#undef U64
#undef NAME
#undef TEXT
#undef BLOB
#undef BODY

/* The fields of an operation, or NULL. */
static const leat_field_t *s_fields (uint8_t id)
{
    switch (id) {
#define OPERATION(NAME_, name, number, fields)                                                     \
    case number:                                                                                   \
        return s_fields_##name ();
#include "wire/operations.def"
#undef OPERATION
    default:
        return NULL;
    }
}

/* All members of the union begin where the first one does. */
static const size_t s_offset = offsetof (leat_operation_t, stream_created);

const char *leat_operation_name (unsigned id)
{
    switch (id) {
#define OPERATION(NAME_, name, number, fields)                                                     \
    case number:                                                                                   \
        return #NAME_;
#include "wire/operations.def"
#undef OPERATION
    default:
        return "UNKNOWN";
    }
}

/* --- building ---------------------------------------------------------------------------------- */

/* Everything but the bodies lies in `meta`; a body belongs before meta[before].
 *
 *      meta    | header | op | op with body |op | op with body |
 *                                           ^before            ^before
 */
typedef struct {
    size_t before;
    leat_slice_t slice; /* a reference of its own */
} body_t;

struct leat_commit {
    uint64_t id;
    uint32_t chain;
    uint32_t operations;
    uint8_t *meta;
    size_t meta_size;
    size_t meta_capacity;
    body_t *bodies;
    size_t bodies_count;
    size_t bodies_capacity;
    size_t bodies_size; /* bytes of all of them */
};

leat_commit_t *leat_commit_new (uint64_t id, uint32_t chain)
{
    leat_commit_t *self = leat_alloc (sizeof *self);
    self->id = id;
    self->chain = chain;
    self->meta_capacity = META_AT_FIRST;
    self->meta = leat_alloc_raw (self->meta_capacity);
    self->meta_size = LEAT_COMMIT_HEADER_SIZE;
    leat_put_u32 (self->meta, s_signature);
    self->meta[4] = VERSION;
    self->meta[5] = 0;
    leat_put_u16 (self->meta + 6, 0);
    leat_put_u64 (self->meta + 8, id);
    leat_put_u32 (self->meta + 16, chain);
    leat_put_u32 (self->meta + 20, 0);
    return self;
}

void leat_commit_destroy (leat_commit_t **self_p)
{
    leat_commit_t *self = *self_p;
    if (!self)
        return;
    *self_p = NULL;
    for (size_t index = 0; index < self->bodies_count; index++)
        leat_buffer_release (&self->bodies[index].slice.buffer);
    free (self->bodies);
    free (self->meta);
    free (self);
}

static void s_make_room (leat_commit_t *self, size_t size)
{
    if (size <= self->meta_capacity - self->meta_size)
        return;
    while (size > self->meta_capacity - self->meta_size)
        self->meta_capacity *= 2;
    self->meta = leat_realloc (self->meta, self->meta_capacity);
}

static void s_add_body (leat_commit_t *self, leat_slice_t slice)
{
    if (self->bodies_count == self->bodies_capacity) {
        self->bodies_capacity = self->bodies_capacity ? self->bodies_capacity * 2 : BODIES_AT_FIRST;
        self->bodies = leat_realloc (self->bodies, self->bodies_capacity * sizeof *self->bodies);
    }
    leat_buffer_hold (slice.buffer);
    self->bodies[self->bodies_count++] = (body_t){ self->meta_size, slice };
    self->bodies_size += slice.size;
}

/* The body among the fields of an operation; size 0 if there is none. */
static leat_slice_t s_body_of (const leat_field_t *fields, const uint8_t *structure)
{
    leat_slice_t slice = { 0 };
    for (; fields->kind != LEAT_FIELD_END; fields++)
        if (fields->kind == LEAT_FIELD_BODY)
            memcpy (&slice, structure + fields->offset, sizeof slice);
    return slice;
}

void leat_commit_add (leat_commit_t *self, const leat_operation_t *operation)
{
    const leat_field_t *fields = s_fields (operation->id);
    leat_assert (fields);
    const uint8_t *structure = (const uint8_t *) operation + s_offset;
    leat_slice_t body = s_body_of (fields, structure);
    size_t size = leat_fields_encoded_size (fields, structure);
    leat_assert (size <= UINT32_MAX);

    s_make_room (self, OPERATION_HEADER_SIZE + size - body.size);
    uint8_t *bytes = self->meta + self->meta_size;
    bytes[0] = operation->id;
    leat_put_u32 (bytes + 1, (uint32_t) size);
    leat_fields_encode (fields, structure, bytes + OPERATION_HEADER_SIZE);
    self->meta_size += OPERATION_HEADER_SIZE + size - body.size;
    if (body.size)
        s_add_body (self, body);
    self->operations++;
    leat_put_u32 (self->meta + 20, self->operations);
}

uint64_t leat_commit_id (const leat_commit_t *self)
{
    return self->id;
}

uint32_t leat_commit_chain (const leat_commit_t *self)
{
    return self->chain;
}

uint32_t leat_commit_operations (const leat_commit_t *self)
{
    return self->operations;
}

size_t leat_commit_size (const leat_commit_t *self)
{
    return self->meta_size + self->bodies_size;
}

void leat_commit_gather (const leat_commit_t *self, leat_commit_part_fn *fn, void *arg)
{
    size_t position = 0;
    for (size_t index = 0; index < self->bodies_count; index++) {
        const body_t *body = &self->bodies[index];
        fn (arg, self->meta + position, body->before - position);
        fn (arg, leat_slice_bytes (body->slice), body->slice.size);
        position = body->before;
    }
    if (position < self->meta_size)
        fn (arg, self->meta + position, self->meta_size - position);
}

static void s_append_part (void *arg, const uint8_t *bytes, size_t size)
{
    uint8_t **next = arg;
    memcpy (*next, bytes, size);
    *next += size;
}

leat_buffer_t *leat_commit_encode (const leat_commit_t *self)
{
    leat_buffer_t *buffer = leat_buffer_new (leat_commit_size (self));
    uint8_t *next = leat_buffer_bytes (buffer);
    leat_commit_gather (self, s_append_part, &next);
    return buffer;
}

/* --- walking ----------------------------------------------------------------------------------- */

void leat_commit_walk (leat_commit_walk_t *walk, const leat_commit_t *commit)
{
    *walk = (leat_commit_walk_t){ commit, LEAT_COMMIT_HEADER_SIZE, 0, commit->operations };
}

/* Copies a table up to its BODY, which is always the last field; returns that, or the end. */
static const leat_field_t *s_before_body (const leat_field_t *fields, leat_field_t *before)
{
    size_t count = 0;
    for (; fields->kind != LEAT_FIELD_END && fields->kind != LEAT_FIELD_BODY; fields++) {
        leat_assert (count + 1 < FIELDS_MAX);
        before[count++] = *fields;
    }
    before[count] = (leat_field_t){ NULL, LEAT_FIELD_END, 0 };
    return fields;
}

void leat_commit_walk_next (leat_commit_walk_t *walk, leat_operation_t *operation)
{
    const leat_commit_t *commit = walk->commit;
    leat_assert (walk->left > 0);
    const uint8_t *bytes = commit->meta + walk->position;
    size_t size = leat_get_u32 (bytes + 1);
    leat_field_t before[FIELDS_MAX];
    *operation = (leat_operation_t){ .id = bytes[0] };
    const leat_field_t *rest = s_before_body (s_fields (operation->id), before);
    leat_slice_t body = { 0 };
    bool has_body = rest->kind == LEAT_FIELD_BODY;
    if (has_body && walk->body < commit->bodies_count) {
        const body_t *next = &commit->bodies[walk->body];
        if (next->before + next->slice.size == walk->position + OPERATION_HEADER_SIZE + size) {
            body = next->slice;
            walk->body++;
        }
    }
    const char *wrong;
    uint8_t *structure = (uint8_t *) operation + s_offset;
    leat_code_t code = leat_fields_decode (before, structure, bytes + OPERATION_HEADER_SIZE,
                                           size - body.size - (has_body ? 4 : 0), NULL, &wrong);
    leat_assert (code == LEAT_OK);
    if (has_body)
        memcpy (structure + rest->offset, &body, sizeof body);
    walk->position += OPERATION_HEADER_SIZE + size - body.size;
    walk->left--;
}

/* --- reading ----------------------------------------------------------------------------------- */

leat_code_t leat_commit_read (leat_commit_reader_t *reader, leat_buffer_t *buffer)
{
    *reader = (leat_commit_reader_t){ .buffer = buffer };
    const uint8_t *bytes = leat_buffer_bytes (buffer);
    if (leat_buffer_size (buffer) < LEAT_COMMIT_HEADER_SIZE || leat_get_u32 (bytes) != s_signature
        || bytes[4] != VERSION || bytes[5] != 0 || leat_get_u16 (bytes + 6) != 0)
        return LEAT_MALFORMED;
    reader->position = LEAT_COMMIT_HEADER_SIZE;
    reader->id = leat_get_u64 (bytes + 8);
    reader->chain = leat_get_u32 (bytes + 16);
    reader->left = leat_get_u32 (bytes + 20);
    return LEAT_OK;
}

leat_code_t leat_commit_read_operation (leat_commit_reader_t *reader, leat_operation_t *operation)
{
    leat_assert (reader->left > 0);
    const uint8_t *bytes = leat_buffer_bytes (reader->buffer) + reader->position;
    size_t size = leat_buffer_size (reader->buffer) - reader->position;
    if (size < OPERATION_HEADER_SIZE)
        return LEAT_MALFORMED;
    operation->id = bytes[0];
    size_t fields_size = leat_get_u32 (bytes + 1);
    const leat_field_t *fields = s_fields (operation->id);
    if (!fields || fields_size > size - OPERATION_HEADER_SIZE)
        return LEAT_MALFORMED;
    const char *wrong;
    leat_code_t code =
        leat_fields_decode (fields, (uint8_t *) operation + s_offset, bytes + OPERATION_HEADER_SIZE,
                            fields_size, reader->buffer, &wrong);
    if (code != LEAT_OK)
        return code;
    reader->position += OPERATION_HEADER_SIZE + fields_size;
    reader->left--;
    return LEAT_OK;
}

leat_code_t leat_commit_read_end (const leat_commit_reader_t *reader)
{
    bool whole = reader->left == 0 && reader->position == leat_buffer_size (reader->buffer);
    return whole ? LEAT_OK : LEAT_MALFORMED;
}

/* The fields of commands and operations: one encoder and one decoder that follow a table.
 * SPDX-License-Identifier: MPL-2.0 */
#ifndef LEAT_WIRE_FIELDS_H
#define LEAT_WIRE_FIELDS_H

#include "wire/buffer.h"
#include "wire/protocol.h"

/* commands.def describes each kind but BODY, which is described in operations.def. */
typedef enum {
    LEAT_FIELD_END = 0, /* closes a table */
    LEAT_FIELD_U8,
    LEAT_FIELD_U16,
    LEAT_FIELD_U32,
    LEAT_FIELD_U64,
    LEAT_FIELD_NAME,
    LEAT_FIELD_TEXT,
    LEAT_FIELD_RANGES,
    LEAT_FIELD_SETTLES,
    LEAT_FIELD_BLOB,
    LEAT_FIELD_BODY
} leat_field_kind_t;

/* One field of a structure; a table of them, closed by LEAT_FIELD_END, describes the structure. */
typedef struct {
    const char *name;
    leat_field_kind_t kind;
    size_t offset; /* in the structure */
} leat_field_t;

/* Rows of such a table, for the macros of a .def file; here_t is the structure. */
#define LEAT_FIELD(KIND, field) { #field, LEAT_FIELD_##KIND, offsetof (here_t, field) },

/* Bytes that the fields take when encoded, those of a BODY included. */
size_t leat_fields_encoded_size (const leat_field_t *fields, const void *structure);

/* Writes the fields and returns the bytes written. Of a BODY only the size is written: whoever
 * encodes has the bytes follow. Asserts the limits. */
size_t leat_fields_encode (const leat_field_t *fields, const void *structure, uint8_t *bytes);

/* Reads fields that take exactly `size` bytes. Returns LEAT_OK or LEAT_MALFORMED. Texts, lists and
 * bodies are views of `bytes`; `buffer` is the buffer that the bytes are in, needed for a BODY only.
 * `field` is set to the name of the field that was wrong; it stays as it was on success and when
 * bytes were left over. */
leat_code_t leat_fields_decode (const leat_field_t *fields, void *structure, const uint8_t *bytes,
                                size_t size, leat_buffer_t *buffer, const char **field);

#endif

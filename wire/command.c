/* Names, tables, encoder and decoder of commands.
 * SPDX-License-Identifier: MPL-2.0 */
#include "wire/command.h"

#include "wire/assert.h"
#include "wire/bytes.h"
#include "wire/fields.h"

/* One function per command, for the name here_t that only a function's body can have. */
#define U8(field) LEAT_FIELD (U8, field)
#define U16(field) LEAT_FIELD (U16, field)
#define U32(field) LEAT_FIELD (U32, field)
#define U64(field) LEAT_FIELD (U64, field)
#define NAME(field) LEAT_FIELD (NAME, field)
#define TEXT(field) LEAT_FIELD (TEXT, field)
#define RANGES(field) LEAT_FIELD (RANGES, field)
#define SETTLES(field) LEAT_FIELD (SETTLES, field)
#define BLOB(field) LEAT_FIELD (BLOB, field)
#define COMMAND(NAME_, name, number, fields)                                                       \
    static const leat_field_t *s_fields_##name (void)                                              \
    {                                                                                              \
        typedef leat_##name##_t here_t;                                                            \
        static const leat_field_t table[] = { fields{ NULL, LEAT_FIELD_END, 0 } };                 \
        return table;                                                                              \
    }
#include "wire/commands.def"
#undef COMMAND
#undef U8
#undef U16
#undef U32
#undef U64
#undef NAME
#undef TEXT
#undef RANGES
#undef SETTLES
#undef BLOB

/* The fields of a command, or NULL. */
static const leat_field_t *s_fields (uint8_t id)
{
    switch (id) {
#define COMMAND(NAME_, name, number, fields)                                                       \
    case number:                                                                                   \
        return s_fields_##name ();
#include "wire/commands.def"
#undef COMMAND
    default:
        return NULL;
    }
}

/* All members of the union begin where the first one does. */
static const size_t s_offset = offsetof (leat_command_t, hello);

const char *leat_command_name (unsigned id)
{
    switch (id) {
#define COMMAND(NAME_, name, number, fields)                                                       \
    case number:                                                                                   \
        return #NAME_;
#include "wire/commands.def"
#undef COMMAND
    case LEAT_PUBLISH:
        return "PUBLISH";
    case LEAT_DELIVER:
        return "DELIVER";
    default:
        return "UNKNOWN";
    }
}

size_t leat_command_encoded_size (const leat_command_t *command)
{
    const leat_field_t *fields = s_fields (command->id);
    leat_assert (fields);
    return 1 + leat_fields_encoded_size (fields, (const uint8_t *) command + s_offset);
}

size_t leat_command_encode (const leat_command_t *command, uint8_t *bytes)
{
    const leat_field_t *fields = s_fields (command->id);
    leat_assert (fields);
    bytes[0] = command->id;
    size_t size = leat_fields_encode (fields, (const uint8_t *) command + s_offset, bytes + 1);
    leat_assert (1 + size <= LEAT_COMMAND_SIZE_MAX);
    return 1 + size;
}

/* A HELLO of another version may have other fields, but signature and versions stay where they are:
 * true if this is such a one, so that it can be told why it is refused. */
static bool s_other_version (const uint8_t *bytes, size_t size)
{
    return size >= 7 && bytes[0] == LEAT_HELLO && leat_get_u32 (bytes + 1) == LEAT_SIGNATURE
           && (bytes[5] > LEAT_PROTOCOL_VERSION || bytes[6] < LEAT_PROTOCOL_VERSION);
}

leat_code_t leat_command_decode (leat_command_t *command, const uint8_t *bytes, size_t size,
                                 const char **field)
{
    const char *wrong = NULL;
    if (field)
        *field = NULL;
    command->id = size > 0 ? bytes[0] : 0;
    if (size == 0 || size > LEAT_COMMAND_SIZE_MAX)
        return LEAT_MALFORMED;
    if (command->id == LEAT_PUBLISH || command->id == LEAT_DELIVER)
        return LEAT_MALFORMED;
    const leat_field_t *fields = s_fields (command->id);
    if (!fields)
        return LEAT_UNKNOWN_COMMAND;
    leat_code_t code = leat_fields_decode (fields, (uint8_t *) command + s_offset, bytes + 1,
                                           size - 1, NULL, &wrong);
    if (code == LEAT_OK && command->id == LEAT_HELLO
        && command->hello.signature != LEAT_SIGNATURE) {
        wrong = "signature";
        code = LEAT_MALFORMED;
    }
    if (code == LEAT_MALFORMED && s_other_version (bytes, size))
        code = LEAT_UNSUPPORTED_VERSION;
    if (field)
        *field = wrong;
    return code;
}

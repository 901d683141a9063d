/* Commands: structures, encoder and decoder, all made from commands.def.
 * SPDX-License-Identifier: MPL-2.0 */
#ifndef LEAT_WIRE_COMMAND_H
#define LEAT_WIRE_COMMAND_H

#include "wire/protocol.h"

/* "LEAT" as the first four bytes of HELLO's fields. */
#define LEAT_SIGNATURE 0x5441454cu

/* Part of a lease. */
typedef struct {
    uint64_t epoch;
    uint64_t first; /* offset */
    uint32_t count; /* at least 1; first + count does not exceed 2^63 */
} leat_range_t;

/* What became of a part of a lease. */
typedef struct {
    uint64_t epoch;
    uint64_t first;
    uint32_t count;
    uint32_t delay_ms; /* of a nack; 0 lets the broker choose */
    uint8_t outcome;   /* leat_outcome_t */
} leat_settle_entry_t;

/* Lists inside commands. A decoded list is a view of the frame (`encoded`); for encoding set
 * `entries` instead. leat_ranges_get and leat_settles_get read either form. */
typedef struct {
    uint32_t count;
    const uint8_t *encoded;
    const leat_range_t *entries;
} leat_ranges_t;

typedef struct {
    uint32_t count;
    const uint8_t *encoded;
    const leat_settle_entry_t *entries;
} leat_settles_t;

/* Entry `index` < count. */
leat_range_t leat_ranges_get (const leat_ranges_t *list, uint32_t index);
leat_settle_entry_t leat_settles_get (const leat_settles_t *list, uint32_t index);

/* One structure per command: leat_hello_t has the fields of HELLO in commands.def, and so on. */
#define U8(field) uint8_t field;
#define U16(field) uint16_t field;
#define U32(field) uint32_t field;
#define U64(field) uint64_t field;
#define NAME(field) leat_text_t field;
#define TEXT(field) leat_text_t field;
#define RANGES(field) leat_ranges_t field;
#define SETTLES(field) leat_settles_t field;
#define BLOB(field) leat_text_t field;
#define COMMAND(NAME_, name, number, fields)                                                       \
    typedef struct {                                                                               \
        fields                                                                                     \
    } leat_##name##_t;
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

typedef enum {
#define COMMAND(NAME_, name, number, fields) LEAT_##NAME_ = (number),
#include "wire/commands.def"
#undef COMMAND
    LEAT_PUBLISH = 0x12,
    LEAT_DELIVER = 0x22
} leat_command_id_t;

/* Any command: `id` says which member of the union holds. */
typedef struct {
    uint8_t id;
    union {
#define COMMAND(NAME_, name, number, fields) leat_##name##_t name;
#include "wire/commands.def"
#undef COMMAND
    };
} leat_command_t;

/* "HELLO" for LEAT_HELLO, PUBLISH and DELIVER included; "UNKNOWN" for numbers that are none. */
const char *leat_command_name (unsigned id);

/* Bytes that the command takes when encoded. */
size_t leat_command_encoded_size (const leat_command_t *command);

/* Writes the command to `bytes`, which has room for leat_command_encoded_size. Returns the bytes
 * written. Texts longer than their limit are our own mistake (asserted). */
size_t leat_command_encode (const leat_command_t *command, uint8_t *bytes);

/* Reads a command; texts and lists in it are views of `bytes`. Returns LEAT_OK, LEAT_UNKNOWN_COMMAND,
 * or LEAT_MALFORMED for one that is cut short, followed by other bytes, above a limit, or has a
 * list entry that breaks the rules above. A HELLO that is malformed for this version but begins with
 * the signature and names only other versions gives LEAT_UNSUPPORTED_VERSION; one without the
 * signature is LEAT_MALFORMED. On an error command->id is still set if a byte is there.
 * `field` (may be NULL) is set to the name of the field that was wrong, or to NULL. */
leat_code_t leat_command_decode (leat_command_t *command, const uint8_t *bytes, size_t size,
                                 const char **field);

#endif

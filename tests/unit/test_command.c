/* Every command there and back, at the edges of every field, cut short and too long.
 * SPDX-License-Identifier: MPL-2.0 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "tests/unit/wire_sample.h"
#include "wire/command.h"

/* --- made from commands.def: fill, write, compare ---------------------------------------------- */

#define U8(field) to->field = (uint8_t) sample_number (sample, UINT8_MAX);
#define U16(field) to->field = (uint16_t) sample_number (sample, UINT16_MAX);
#define U32(field) to->field = (uint32_t) sample_number (sample, UINT32_MAX);
#define U64(field) to->field = sample_number (sample, UINT64_MAX);
#define NAME(field) to->field = sample_text (sample, LEAT_NAME_MAX);
#define TEXT(field) to->field = sample_text (sample, LEAT_TEXT_MAX);
#define BLOB(field) to->field = sample_text (sample, sample->blob_max);
#define RANGES(field) to->field = sample_ranges (sample);
#define SETTLES(field) to->field = sample_settles (sample);
#define COMMAND(NAME_, name, number, fields)                                                       \
    static void s_fill_##name (sample_t *sample, leat_command_t *command)                          \
    {                                                                                              \
        leat_##name##_t *to = &command->name;                                                      \
        command->id = (number);                                                                    \
        fields                                                                                     \
    }
#include "wire/commands.def"
#undef COMMAND
#undef U8
#undef U16
#undef U32
#undef U64
#undef NAME
#undef TEXT
#undef BLOB
#undef RANGES
#undef SETTLES

#define U8(field) sample_put (sample, from->field, 1);
#define U16(field) sample_put (sample, from->field, 2);
#define U32(field) sample_put (sample, from->field, 4);
#define U64(field) sample_put (sample, from->field, 8);
#define NAME(field) sample_put_text (sample, from->field, 1);
#define TEXT(field) sample_put_text (sample, from->field, 2);
#define BLOB(field) sample_put_text (sample, from->field, 4);
#define RANGES(field) sample_put_ranges (sample, &from->field);
#define SETTLES(field) sample_put_settles (sample, &from->field);
#define COMMAND(NAME_, name, number, fields)                                                       \
    static void s_write_##name (sample_t *sample, const leat_command_t *command)                   \
    {                                                                                              \
        const leat_##name##_t *from = &command->name;                                              \
        sample_put (sample, (number), 1);                                                          \
        fields                                                                                     \
    }
#include "wire/commands.def"
#undef COMMAND
#undef U8
#undef U16
#undef U32
#undef U64
#undef NAME
#undef TEXT
#undef BLOB
#undef RANGES
#undef SETTLES

static void s_compare_texts (leat_text_t a, leat_text_t b)
{
    assert_int_equal (a.size, b.size);
    if (a.size)
        assert_memory_equal (a.data, b.data, a.size);
}

static void s_compare_ranges (const leat_ranges_t *a, const leat_ranges_t *b)
{
    assert_int_equal (a->count, b->count);
    for (uint32_t index = 0; index < a->count; index++) {
        leat_range_t left = leat_ranges_get (a, index);
        leat_range_t right = leat_ranges_get (b, index);
        assert_true (left.epoch == right.epoch);
        assert_true (left.first == right.first);
        assert_int_equal (left.count, right.count);
    }
}

static void s_compare_settles (const leat_settles_t *a, const leat_settles_t *b)
{
    assert_int_equal (a->count, b->count);
    for (uint32_t index = 0; index < a->count; index++) {
        leat_settle_entry_t left = leat_settles_get (a, index);
        leat_settle_entry_t right = leat_settles_get (b, index);
        assert_true (left.epoch == right.epoch);
        assert_true (left.first == right.first);
        assert_int_equal (left.count, right.count);
        assert_int_equal (left.delay_ms, right.delay_ms);
        assert_int_equal (left.outcome, right.outcome);
    }
}

#define U8(field) assert_int_equal (a->field, b->field);
#define U16(field) assert_int_equal (a->field, b->field);
#define U32(field) assert_int_equal (a->field, b->field);
#define U64(field) assert_true (a->field == b->field);
#define NAME(field) s_compare_texts (a->field, b->field);
#define TEXT(field) s_compare_texts (a->field, b->field);
#define BLOB(field) s_compare_texts (a->field, b->field);
#define RANGES(field) s_compare_ranges (&a->field, &b->field);
#define SETTLES(field) s_compare_settles (&a->field, &b->field);
#define COMMAND(NAME_, name, number, fields)                                                       \
    static void s_compare_##name (const leat_command_t *left, const leat_command_t *right)         \
    {                                                                                              \
        const leat_##name##_t *a = &left->name, *b = &right->name;                                 \
        fields                                                                                     \
    }
#include "wire/commands.def"
#undef COMMAND
#undef U8
#undef U16
#undef U32
#undef U64
#undef NAME
#undef TEXT
#undef BLOB
#undef RANGES
#undef SETTLES

typedef struct {
    const char *name;
    uint8_t id;
    void (*fill) (sample_t *sample, leat_command_t *command);
    void (*write) (sample_t *sample, const leat_command_t *command);
    void (*compare) (const leat_command_t *a, const leat_command_t *b);
} kind_t;

static const kind_t s_kinds[] = {
#define COMMAND(NAME_, name, number, fields)                                                       \
    { #NAME_, number, s_fill_##name, s_write_##name, s_compare_##name },
#include "wire/commands.def"
#undef COMMAND
};
enum { KINDS = sizeof s_kinds / sizeof s_kinds[0] };

/* --- helpers ----------------------------------------------------------------------------------- */

/* Fills a command; a HELLO gets the signature that it must have. */
static void s_fill (sample_t *sample, const kind_t *kind, leat_command_t *command)
{
    /* RESULT is the one with a BLOB: number, request, code, flags and size come before it. */
    sample->blob_max = LEAT_COMMAND_SIZE_MAX - 13;
    memset (command, 0xa5, sizeof *command);
    kind->fill (sample, command);
    if (command->id == LEAT_HELLO) {
        command->hello.signature = LEAT_SIGNATURE;
        command->hello.version_min = command->hello.version_max = LEAT_PROTOCOL_VERSION;
    }
}

/* A copy in a block of exactly this size, so that a tool sees one byte read beyond it. */
static leat_code_t s_decode (const uint8_t *bytes, size_t size, const char **field)
{
    uint8_t *copy = malloc (size ? size : 1);
    memcpy (copy, bytes, size);
    leat_command_t command;
    leat_code_t code = leat_command_decode (&command, copy, size, field);
    if (size > 0)
        assert_int_equal (command.id, bytes[0]);
    free (copy);
    return code;
}

static void s_round_trip (sample_t *sample, const kind_t *kind)
{
    leat_command_t command, decoded;
    s_fill (sample, kind, &command);
    sample->size = 0;
    kind->write (sample, &command);

    size_t size = leat_command_encoded_size (&command);
    assert_int_equal (size, sample->size);
    uint8_t *bytes = malloc (size);
    assert_int_equal (leat_command_encode (&command, bytes), size);
    assert_memory_equal (bytes, sample->bytes, size);

    const char *field = "untouched";
    memset (&decoded, 0x5a, sizeof decoded);
    assert_int_equal (leat_command_decode (&decoded, bytes, size, &field), LEAT_OK);
    assert_null (field);
    assert_int_equal (decoded.id, kind->id);
    kind->compare (&command, &decoded);

    /* A decoded command, whose lists are views, encodes to the same bytes. */
    uint8_t *again = malloc (size);
    assert_int_equal (leat_command_encode (&decoded, again), size);
    assert_memory_equal (again, bytes, size);
    free (again);
    free (bytes);
}

/* --- tests ------------------------------------------------------------------------------------- */

static void test_round_trips (void **state)
{
    sample_t *sample = sample_new (1);
    for (int kind = 0; kind < KINDS; kind++) {
        sample_begin (sample, SMALLEST, -1, SMALLEST);
        s_round_trip (sample, &s_kinds[kind]);
        int fields = sample->index;
        sample_begin (sample, LARGEST, -1, LARGEST);
        s_round_trip (sample, &s_kinds[kind]);
        for (int round = 0; round < 20; round++) {
            sample_begin (sample, RANDOM, -1, RANDOM);
            s_round_trip (sample, &s_kinds[kind]);
        }
        /* Each field alone at its edges, and alone away from them. */
        for (int field = 0; field < fields; field++) {
            sample_begin (sample, RANDOM, field, SMALLEST);
            s_round_trip (sample, &s_kinds[kind]);
            sample_begin (sample, RANDOM, field, LARGEST);
            s_round_trip (sample, &s_kinds[kind]);
            sample_begin (sample, SMALLEST, field, RANDOM);
            s_round_trip (sample, &s_kinds[kind]);
        }
    }
    free (sample);
}

static void test_cut_short_or_too_long (void **state)
{
    sample_t *sample = sample_new (2);
    for (int kind = 0; kind < KINDS; kind++) {
        leat_command_t command;
        sample_begin (sample, RANDOM, -1, RANDOM);
        s_fill (sample, &s_kinds[kind], &command);
        sample->size = 0;
        s_kinds[kind].write (sample, &command);
        const char *field;
        for (size_t size = 0; size < sample->size; size++)
            assert_int_equal (s_decode (sample->bytes, size, &field), LEAT_MALFORMED);
        assert_int_equal (s_decode (sample->bytes, sample->size, &field), LEAT_OK);
        for (int byte = 0; byte <= UINT8_MAX; byte += 51) {
            sample->bytes[sample->size] = (uint8_t) byte;
            assert_int_equal (s_decode (sample->bytes, sample->size + 1, &field), LEAT_MALFORMED);
            assert_null (field);
        }
    }
    free (sample);
}

static void test_names_the_field_that_is_wrong (void **state)
{
    const char *field;
    uint8_t open[64] = { LEAT_OPEN };
    assert_int_equal (s_decode (open, 1, &field), LEAT_MALFORMED);
    assert_string_equal (field, "channel");
    assert_int_equal (s_decode (open, 1 + 4 + 2 + 7, &field), LEAT_MALFORMED);
    assert_string_equal (field, "base");
    open[1 + 4 + 2 + 8] = 3;
    assert_int_equal (s_decode (open, 1 + 4 + 2 + 8 + 3, &field), LEAT_MALFORMED);
    assert_string_equal (field, "stream");
    assert_int_equal (leat_command_decode (&(leat_command_t){ 0 }, open, 5, NULL), LEAT_MALFORMED);
}

static void test_limits_of_texts (void **state)
{
    const char *field;
    uint8_t *bytes = calloc (1, SAMPLE_BYTES_MAX);
    bytes[0] = LEAT_STREAM_LIST;
    bytes[5] = LEAT_NAME_MAX;
    assert_int_equal (s_decode (bytes, 6 + LEAT_NAME_MAX, &field), LEAT_OK);
    bytes[5] = LEAT_NAME_MAX + 1;
    assert_int_equal (s_decode (bytes, 6 + LEAT_NAME_MAX + 1, &field), LEAT_MALFORMED);
    assert_string_equal (field, "pattern");

    bytes[0] = LEAT_DRAIN;
    bytes[5] = LEAT_TEXT_MAX & 0xff;
    bytes[6] = LEAT_TEXT_MAX >> 8;
    assert_int_equal (s_decode (bytes, 7 + LEAT_TEXT_MAX, &field), LEAT_OK);
    bytes[5]++;
    assert_int_equal (s_decode (bytes, 7 + LEAT_TEXT_MAX + 1, &field), LEAT_MALFORMED);
    assert_string_equal (field, "reason");

    /* A whole command, as long as one may be and one byte longer. */
    memset (bytes, 0, 16);
    bytes[0] = LEAT_RESULT;
    uint32_t size = LEAT_COMMAND_SIZE_MAX - 13;
    memcpy (bytes + 9, (uint8_t[]){ size & 0xff, size >> 8 & 0xff, size >> 16, 0 }, 4);
    assert_int_equal (s_decode (bytes, LEAT_COMMAND_SIZE_MAX, &field), LEAT_OK);
    size++;
    memcpy (bytes + 9, (uint8_t[]){ size & 0xff, size >> 8 & 0xff, size >> 16, 0 }, 4);
    assert_int_equal (s_decode (bytes, LEAT_COMMAND_SIZE_MAX + 1, &field), LEAT_MALFORMED);
    /* Sizes that a sum of 32 bits would wrap. */
    memcpy (bytes + 9, (uint8_t[]){ 0xff, 0xff, 0xff, 0xff }, 4);
    assert_int_equal (s_decode (bytes, 64, &field), LEAT_MALFORMED);
    assert_string_equal (field, "body");
    free (bytes);
}

/* RECALL with one range that begins at `first`. */
static leat_code_t s_decode_range (uint64_t first, uint32_t count)
{
    sample_t *sample = sample_new (3);
    sample_put (sample, LEAT_RECALL, 1);
    sample_put (sample, 7, 4);
    sample_put (sample, 1, 2);
    sample_put (sample, 99, 8);
    sample_put (sample, first, 8);
    sample_put (sample, count, 4);
    leat_code_t code = s_decode (sample->bytes, sample->size, NULL);
    free (sample);
    return code;
}

static void test_limits_of_ranges (void **state)
{
    const uint64_t end = (uint64_t) 1 << 63;
    assert_int_equal (s_decode_range (0, 1), LEAT_OK);
    assert_int_equal (s_decode_range (0, 0), LEAT_MALFORMED);
    assert_int_equal (s_decode_range (0, UINT32_MAX), LEAT_OK);
    assert_int_equal (s_decode_range (end - 1, 1), LEAT_OK);
    assert_int_equal (s_decode_range (end - 1, 2), LEAT_MALFORMED);
    assert_int_equal (s_decode_range (end, 0), LEAT_MALFORMED);
    assert_int_equal (s_decode_range (end, 1), LEAT_MALFORMED);
    assert_int_equal (s_decode_range (UINT64_MAX, 1), LEAT_MALFORMED);
    assert_int_equal (s_decode_range (UINT64_MAX, UINT32_MAX), LEAT_MALFORMED);
}

/* SETTLE with `count` entries of the given kind. */
static leat_code_t s_decode_settles (uint32_t entries, uint64_t first, uint32_t count,
                                     uint8_t outcome)
{
    sample_t *sample = sample_new (4);
    sample_put (sample, LEAT_SETTLE, 1);
    sample_put (sample, 7, 4);
    sample_put (sample, 0, 2);
    sample_put (sample, 1234, 8);
    sample_put (sample, entries, 2);
    for (uint32_t index = 0; index < entries; index++) {
        sample_put (sample, 99, 8);
        sample_put (sample, first, 8);
        sample_put (sample, count, 4);
        sample_put (sample, 10, 4);
        sample_put (sample, outcome, 1);
    }
    sample_put (sample, 0, 2);
    leat_code_t code = s_decode (sample->bytes, sample->size, NULL);
    free (sample);
    return code;
}

static void test_limits_of_settles (void **state)
{
    const uint64_t end = (uint64_t) 1 << 63;
    assert_int_equal (s_decode_settles (1, 5, 1, 0), LEAT_MALFORMED);
    assert_int_equal (s_decode_settles (1, 5, 1, LEAT_ACK), LEAT_OK);
    assert_int_equal (s_decode_settles (1, 5, 1, LEAT_REJECT), LEAT_OK);
    assert_int_equal (s_decode_settles (1, 5, 1, LEAT_REJECT + 1), LEAT_MALFORMED);
    assert_int_equal (s_decode_settles (1, 5, 0, LEAT_ACK), LEAT_MALFORMED);
    assert_int_equal (s_decode_settles (1, end, 1, LEAT_ACK), LEAT_MALFORMED);
    assert_int_equal (s_decode_settles (0, 0, 0, 0), LEAT_OK);
    assert_int_equal (s_decode_settles (LEAT_ENTRIES_MAX, 5, 1, LEAT_NACK), LEAT_OK);
    assert_int_equal (s_decode_settles (LEAT_ENTRIES_MAX + 1, 5, 1, LEAT_NACK), LEAT_MALFORMED);
}

static void test_unknown_commands (void **state)
{
    const char *field;
    bool known[256] = { false };
    for (int kind = 0; kind < KINDS; kind++) {
        assert_false (known[s_kinds[kind].id]);
        known[s_kinds[kind].id] = true;
        assert_string_equal (leat_command_name (s_kinds[kind].id), s_kinds[kind].name);
    }
    assert_string_equal (leat_command_name (LEAT_PUBLISH), "PUBLISH");
    assert_string_equal (leat_command_name (LEAT_DELIVER), "DELIVER");
    /* Batches are two frames and no commands of this codec. */
    known[LEAT_PUBLISH] = known[LEAT_DELIVER] = true;
    uint8_t bytes[LEAT_BATCH_HEADER_SIZE] = { LEAT_PUBLISH };
    assert_int_equal (s_decode (bytes, sizeof bytes, &field), LEAT_MALFORMED);
    bytes[0] = LEAT_DELIVER;
    assert_int_equal (s_decode (bytes, sizeof bytes, &field), LEAT_MALFORMED);
    for (int id = 0; id <= UINT8_MAX; id++) {
        if (known[id])
            continue;
        bytes[0] = (uint8_t) id;
        assert_int_equal (s_decode (bytes, sizeof bytes, &field), LEAT_UNKNOWN_COMMAND);
        assert_int_equal (s_decode (bytes, 1, &field), LEAT_UNKNOWN_COMMAND);
        assert_null (field);
        assert_string_equal (leat_command_name ((unsigned) id), "UNKNOWN");
    }
    assert_string_equal (leat_command_name (256 + LEAT_HELLO), "UNKNOWN");
    leat_command_t command;
    assert_int_equal (leat_command_decode (&command, NULL, 0, &field), LEAT_MALFORMED);
}

static void test_hello_of_other_protocols (void **state)
{
    const char *field;
    leat_command_t command = {
        .id = LEAT_HELLO,
        .hello = { .signature = LEAT_SIGNATURE, .version_min = 1, .version_max = 1 }
    };
    uint8_t bytes[64];
    size_t size = leat_command_encode (&command, bytes);
    assert_int_equal (s_decode (bytes, size, &field), LEAT_OK);
    assert_memory_equal (bytes + 1, "LEAT", 4);

    bytes[1] = 'M';
    assert_int_equal (s_decode (bytes, size, &field), LEAT_MALFORMED);
    assert_string_equal (field, "signature");
    bytes[1] = 'L';

    /* Another version whose HELLO has other fields can be told why. */
    bytes[5] = 2;
    bytes[6] = 3;
    assert_int_equal (s_decode (bytes, 7, &field), LEAT_UNSUPPORTED_VERSION);
    assert_int_equal (s_decode (bytes, size + 9, &field), LEAT_UNSUPPORTED_VERSION);
    assert_int_equal (s_decode (bytes, 6, &field), LEAT_MALFORMED);
    bytes[5] = bytes[6] = 0;
    assert_int_equal (s_decode (bytes, 7, &field), LEAT_UNSUPPORTED_VERSION);
    /* One that also speaks ours has to say HELLO as we do. */
    bytes[6] = 2;
    assert_int_equal (s_decode (bytes, 7, &field), LEAT_MALFORMED);
}

static void test_any_bytes (void **state)
{
    sample_t *sample = sample_new (5);
    for (int round = 0; round < 20000; round++) {
        const kind_t *kind = &s_kinds[sample_random (sample) % KINDS];
        leat_command_t command, decoded;
        sample_begin (sample, RANDOM, -1, RANDOM);
        s_fill (sample, kind, &command);
        sample->size = 0;
        kind->write (sample, &command);
        for (uint64_t changes = 1 + sample_random (sample) % 3; changes > 0; changes--)
            sample->bytes[sample_random (sample) % sample->size] = (uint8_t) sample_random (sample);
        size_t size = sample->size - sample_random (sample) % 3 % sample->size;

        uint8_t *bytes = malloc (size);
        memcpy (bytes, sample->bytes, size);
        if (leat_command_decode (&decoded, bytes, size, NULL) == LEAT_OK) {
            assert_int_equal (leat_command_encoded_size (&decoded), size);
            assert_int_equal (leat_command_encode (&decoded, sample->bytes), size);
            assert_memory_equal (sample->bytes, bytes, size);
        }
        free (bytes);
    }
    free (sample);
}

int main (void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test (test_round_trips),
        cmocka_unit_test (test_cut_short_or_too_long),
        cmocka_unit_test (test_names_the_field_that_is_wrong),
        cmocka_unit_test (test_limits_of_texts),
        cmocka_unit_test (test_limits_of_ranges),
        cmocka_unit_test (test_limits_of_settles),
        cmocka_unit_test (test_unknown_commands),
        cmocka_unit_test (test_hello_of_other_protocols),
        cmocka_unit_test (test_any_bytes),
    };
    return cmocka_run_group_tests (tests, NULL, NULL);
}

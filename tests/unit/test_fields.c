/* The encoder and decoder of fields, with a table of the test's own: every kind in one structure.
 * SPDX-License-Identifier: MPL-2.0 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>

#include "wire/command.h"
#include "wire/fields.h"

typedef struct {
    uint8_t tiny;
    uint64_t wide;
    leat_text_t name;
    uint16_t small;
    leat_ranges_t ranges;
    leat_text_t blob;
    uint32_t plain;
    leat_slice_t body;
} here_t;

static const leat_field_t s_table[] = {
    LEAT_FIELD (U8, tiny) LEAT_FIELD (U64, wide) LEAT_FIELD (NAME, name) LEAT_FIELD (U16, small)
        LEAT_FIELD (RANGES, ranges) LEAT_FIELD (BLOB, blob) LEAT_FIELD (U32, plain)
            LEAT_FIELD (BODY, body){ NULL, LEAT_FIELD_END, 0 },
};

static const char s_encoded[] = "\x01"
                                "\x08\x07\x06\x05\x04\x03\x02\x01"
                                "\x03"
                                "abc"
                                "\x02\x01"
                                "\x01\x00"
                                "\x05\0\0\0\0\0\0\0\x06\0\0\0\0\0\0\0\x07\0\0\0"
                                "\x02\x00\x00\x00"
                                "de"
                                "\x04\x03\x02\x01"
                                "\x04\x00\x00\x00"
                                "BODY";
enum { ENCODED_SIZE = sizeof s_encoded - 1 };

static void test_encode (void **state)
{
    leat_range_t range = { .epoch = 5, .first = 6, .count = 7 };
    leat_buffer_t *buffer = leat_buffer_copy ("..BODY..", 8);
    here_t here = {
        .tiny = 1,
        .wide = 0x0102030405060708,
        .name = leat_text ("abc"),
        .small = 0x0102,
        .ranges = { .count = 1, .entries = &range },
        .blob = leat_text ("de"),
        .plain = 0x01020304,
        .body = { buffer, 2, 4 },
    };
    uint8_t bytes[ENCODED_SIZE];
    memset (bytes, 0xee, sizeof bytes);
    assert_int_equal (leat_fields_encoded_size (s_table, &here), ENCODED_SIZE);
    /* The bytes of a body are left to the caller. */
    assert_int_equal (leat_fields_encode (s_table, &here, bytes), ENCODED_SIZE - 4);
    assert_memory_equal (bytes, s_encoded, ENCODED_SIZE - 4);
    assert_memory_equal (bytes + ENCODED_SIZE - 4, "\xee\xee\xee\xee", 4);
    leat_buffer_release (&buffer);
}

static void test_decode (void **state)
{
    here_t here;
    const char *field = "untouched";
    leat_buffer_t *buffer = leat_buffer_new (ENCODED_SIZE + 3);
    uint8_t *bytes = leat_buffer_bytes (buffer) + 3;
    memcpy (bytes, s_encoded, ENCODED_SIZE);
    assert_int_equal (leat_fields_decode (s_table, &here, bytes, ENCODED_SIZE, buffer, &field),
                      LEAT_OK);
    assert_string_equal (field, "untouched");
    assert_int_equal (here.tiny, 1);
    assert_true (here.wide == 0x0102030405060708);
    assert_true (leat_text_equal (here.name, leat_text ("abc")));
    assert_int_equal (here.small, 0x0102);
    assert_int_equal (here.ranges.count, 1);
    assert_int_equal (leat_ranges_get (&here.ranges, 0).first, 6);
    assert_true (leat_text_equal (here.blob, leat_text ("de")));
    assert_int_equal (here.plain, 0x01020304);
    assert_ptr_equal (here.body.buffer, buffer);
    assert_int_equal (here.body.offset, 3 + ENCODED_SIZE - 4);
    assert_memory_equal (leat_slice_bytes (here.body), "BODY", 4);
    leat_buffer_release (&buffer);
}

/* Which field is blamed when the bytes end at each place. */
static void test_cut (void **state)
{
    static const struct {
        size_t end;
        const char *name;
    } ends[] = {
        { 1, "tiny" },    { 9, "wide" },  { 13, "name" },  { 15, "small" },
        { 37, "ranges" }, { 43, "blob" }, { 47, "plain" }, { 55, "body" },
    };
    size_t index = 0;
    for (size_t size = 0; size < ENCODED_SIZE; size++) {
        here_t here;
        const char *field = NULL;
        leat_buffer_t *buffer = leat_buffer_copy (s_encoded, size);
        assert_int_equal (
            leat_fields_decode (s_table, &here, leat_buffer_bytes (buffer), size, buffer, &field),
            LEAT_MALFORMED);
        if (size == ends[index].end)
            index++;
        assert_string_equal (field, ends[index].name);
        leat_buffer_release (&buffer);
    }
    assert_int_equal (ends[index].end, ENCODED_SIZE);
}

int main (void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test (test_encode),
        cmocka_unit_test (test_decode),
        cmocka_unit_test (test_cut),
    };
    return cmocka_run_group_tests (tests, NULL, NULL);
}

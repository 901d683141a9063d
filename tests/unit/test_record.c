/* Records in both forms, their headers, and what is no record.
 * SPDX-License-Identifier: MPL-2.0 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "wire/record.h"

/* Decodes from a block of exactly `size` bytes. */
static size_t s_decode (bool extended, const uint8_t *bytes, size_t size)
{
    uint8_t *copy = malloc (size ? size : 1);
    memcpy (copy, bytes, size);
    leat_record_t record;
    size_t taken = leat_record_decode (&record, extended, copy, size);
    free (copy);
    return taken;
}

static void test_plain (void **state)
{
    uint8_t bytes[32];
    leat_record_t record = { .body = (const uint8_t *) "flour", .body_size = 5 };
    assert_int_equal (leat_record_encoded_size (&record, false), 9);
    assert_int_equal (leat_record_encode (&record, false, bytes), 9);
    assert_memory_equal (bytes, "\5\0\0\0flour", 9);

    leat_record_t read;
    assert_int_equal (leat_record_decode (&read, false, bytes, sizeof bytes), 9);
    assert_int_equal (read.body_size, 5);
    assert_ptr_equal (read.body, bytes + 4);
    assert_null (read.key);
    assert_null (read.headers);
    assert_int_equal (read.key_size + read.headers_size, 0);
    for (size_t size = 0; size < 9; size++)
        assert_int_equal (s_decode (false, bytes, size), 0);
}

static void test_plain_empty (void **state)
{
    uint8_t bytes[4];
    leat_record_t record = { 0 };
    assert_int_equal (leat_record_encode (&record, false, bytes), 4);
    assert_memory_equal (bytes, "\0\0\0\0", 4);
    assert_int_equal (s_decode (false, bytes, 4), 4);
}

static void test_extended (void **state)
{
    uint8_t headers[64], bytes[128];
    size_t size = leat_header_encode (leat_text ("grain"), leat_text ("rye"), headers);
    assert_int_equal (size, 11);
    assert_memory_equal (headers, "\5\3\0grainrye", 11);
    size += leat_header_encode (leat_text ("x"), leat_text (""), headers + size);
    leat_record_t record = {
        .body = (const uint8_t *) "flour",
        .body_size = 5,
        .key = (const uint8_t *) "k1",
        .key_size = 2,
        .headers = headers,
        .headers_size = size,
    };
    const size_t whole = 4 + 4 + 2 + 15 + 5;
    assert_int_equal (leat_record_encoded_size (&record, true), whole);
    assert_int_equal (leat_record_encode (&record, true, bytes), whole);
    assert_memory_equal (bytes, "\x1a\0\0\0\2\0\xf\0k1\5\3\0grainrye\1\0\0xflour", whole);

    leat_record_t read;
    assert_int_equal (leat_record_decode (&read, true, bytes, sizeof bytes), whole);
    assert_int_equal (read.key_size, 2);
    assert_memory_equal (read.key, "k1", 2);
    assert_int_equal (read.headers_size, 15);
    assert_memory_equal (read.headers, headers, 15);
    assert_int_equal (read.body_size, 5);
    assert_memory_equal (read.body, "flour", 5);
    for (size_t cut = 0; cut < whole; cut++)
        assert_int_equal (s_decode (true, bytes, cut), 0);

    leat_text_t name, value;
    size_t taken = leat_header_decode (&name, &value, read.headers, read.headers_size);
    assert_int_equal (taken, 11);
    assert_true (leat_text_equal (name, leat_text ("grain")));
    assert_true (leat_text_equal (value, leat_text ("rye")));
    assert_int_equal (
        leat_header_decode (&name, &value, read.headers + taken, read.headers_size - taken), 4);
    assert_true (leat_text_equal (name, leat_text ("x")));
    assert_int_equal (value.size, 0);
    assert_int_equal (leat_header_decode (&name, &value, read.headers + 15, 0), 0);
}

static void test_extended_bare (void **state)
{
    uint8_t bytes[16];
    leat_record_t record = { .body = (const uint8_t *) "b", .body_size = 1 }, read;
    assert_int_equal (leat_record_encode (&record, true, bytes), 9);
    assert_memory_equal (bytes, "\5\0\0\0\0\0\0\0b", 9);
    assert_int_equal (leat_record_decode (&read, true, bytes, 9), 9);
    assert_null (read.key);
    assert_null (read.headers);
    assert_memory_equal (read.body, "b", 1);
}

static void test_inner_sizes_that_do_not_add_up (void **state)
{
    /* No room for the two inner sizes. */
    assert_int_equal (s_decode (true, (const uint8_t *) "\0\0\0\0", 4), 0);
    assert_int_equal (s_decode (true, (const uint8_t *) "\3\0\0\0\0\0\0", 7), 0);
    assert_int_equal (s_decode (true, (const uint8_t *) "\4\0\0\0\0\0\0\0", 8), 8);
    /* The key, the headers, or both together are larger than the record. */
    assert_int_equal (s_decode (true, (const uint8_t *) "\5\0\0\0\1\0\0\0k", 9), 9);
    assert_int_equal (s_decode (true, (const uint8_t *) "\5\0\0\0\2\0\0\0k", 9), 0);
    assert_int_equal (s_decode (true, (const uint8_t *) "\5\0\0\0\0\0\2\0k", 9), 0);
    assert_int_equal (s_decode (true, (const uint8_t *) "\5\0\0\0\1\0\1\0k", 9), 0);
    assert_int_equal (s_decode (true, (const uint8_t *) "\5\0\0\0\xff\xff\xff\xffk", 9), 0);
    /* Headers that are none: too short, without a name, with a value beyond their end. */
    assert_int_equal (s_decode (true, (const uint8_t *) "\6\0\0\0\0\0\2\0\1\0", 10), 0);
    assert_int_equal (s_decode (true, (const uint8_t *) "\7\0\0\0\0\0\3\0\0\0\0", 11), 0);
    assert_int_equal (s_decode (true, (const uint8_t *) "\10\0\0\0\0\0\4\0\1\0\0n", 12), 12);
    assert_int_equal (s_decode (true, (const uint8_t *) "\10\0\0\0\0\0\4\0\1\1\0n", 12), 0);
    assert_int_equal (s_decode (true, (const uint8_t *) "\11\0\0\0\0\0\5\0\1\0\0nn", 13), 0);
    /* A size that 32 bits cannot add 4 to. */
    assert_int_equal (s_decode (false, (const uint8_t *) "\xff\xff\xff\xff", 4), 0);
    assert_int_equal (s_decode (false, (const uint8_t *) "\xfc\xff\xff\xff....", 8), 0);
}

static void test_limits_of_headers (void **state)
{
    static char text[UINT16_MAX + 1];
    leat_text_t one = { text, 1 }, value = { text, UINT16_MAX };
    assert_int_equal (leat_header_encoded_size (one, value), 3 + 1 + UINT16_MAX);
    assert_int_equal (leat_header_encoded_size ((leat_text_t){ text, UINT8_MAX }, one),
                      3 + UINT8_MAX + 1);
    assert_int_equal (leat_header_encoded_size ((leat_text_t){ text, UINT8_MAX + 1 }, one), 0);
    assert_int_equal (leat_header_encoded_size ((leat_text_t){ text, 0 }, one), 0);
    assert_int_equal (leat_header_encoded_size (one, (leat_text_t){ text, UINT16_MAX + 1 }), 0);

    assert_true (leat_headers_valid (NULL, 0));
    assert_true (leat_headers_valid ((const uint8_t *) "\1\1\0nv\1\0\0m", 9));
    assert_false (leat_headers_valid ((const uint8_t *) "\1\1\0nv\1\0\0m", 8));
    assert_false (leat_headers_valid ((const uint8_t *) "\1\1\0nv\0\0\0", 8));
}

int main (void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test (test_plain),
        cmocka_unit_test (test_plain_empty),
        cmocka_unit_test (test_extended),
        cmocka_unit_test (test_extended_bare),
        cmocka_unit_test (test_inner_sizes_that_do_not_add_up),
        cmocka_unit_test (test_limits_of_headers),
    };
    return cmocka_run_group_tests (tests, NULL, NULL);
}

/* CRC32C against published values and against a computation bit by bit.
 * SPDX-License-Identifier: MPL-2.0 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>

#include "wire/crc32c.h"

static void test_published_values (void **state)
{
    /* RFC 3720, appendix B.4; its bytes are in the order of the wire. */
    uint8_t bytes[32];
    memset (bytes, 0, sizeof bytes);
    assert_int_equal (leat_crc32c (bytes, sizeof bytes), 0x8a9136aa);
    memset (bytes, 0xff, sizeof bytes);
    assert_int_equal (leat_crc32c (bytes, sizeof bytes), 0x62a8ab43);
    for (int index = 0; index < 32; index++)
        bytes[index] = (uint8_t) index;
    assert_int_equal (leat_crc32c (bytes, sizeof bytes), 0x46dd794e);
    for (int index = 0; index < 32; index++)
        bytes[index] = (uint8_t) (31 - index);
    assert_int_equal (leat_crc32c (bytes, sizeof bytes), 0x113fdb5c);
    assert_int_equal (leat_crc32c ("123456789", 9), 0xe3069283);
    assert_int_equal (leat_crc32c ("", 0), 0);
    assert_int_equal (leat_crc32c (NULL, 0), 0);
}

static uint32_t s_bit_by_bit (const uint8_t *bytes, size_t size)
{
    uint32_t crc = 0xffffffffu;
    for (size_t index = 0; index < size; index++) {
        crc ^= bytes[index];
        for (int bit = 0; bit < 8; bit++)
            crc = (crc >> 1) ^ (crc & 1 ? 0x82f63b78u : 0);
    }
    return ~crc;
}

/* Every size and alignment that an implementation with wide steps could get wrong. */
static void test_sizes_and_alignments (void **state)
{
    static uint8_t bytes[5000];
    uint32_t value = 1;
    for (size_t index = 0; index < sizeof bytes; index++) {
        value = value * 1664525u + 1013904223u;
        bytes[index] = (uint8_t) (value >> 24);
    }
    for (size_t start = 0; start < 9; start++)
        for (size_t size = 0; size < 300; size++)
            assert_int_equal (leat_crc32c (bytes + start, size),
                              s_bit_by_bit (bytes + start, size));
    for (size_t size = 4000; size < 4990; size += 13)
        assert_int_equal (leat_crc32c (bytes + 3, size), s_bit_by_bit (bytes + 3, size));
}

int main (void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test (test_published_values),
        cmocka_unit_test (test_sizes_and_alignments),
    };
    return cmocka_run_group_tests (tests, NULL, NULL);
}

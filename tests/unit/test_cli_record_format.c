/* What --format writes of a record.
 * SPDX-License-Identifier: MPL-2.0 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "consumers/record_format.h"

static leat_delivered_t s_sample (uint8_t *headers, size_t room)
{
    leat_delivered_t delivered = {
        .record = { .body = (const uint8_t *) "bo\0dy",
                    .body_size = 5,
                    .key = (const uint8_t *) "key",
                    .key_size = 3,
                    .headers = headers },
        .offset = 7,
        .epoch = UINT64_MAX,
        .time_ms = 1234567890123,
        .attempt = 2,
        .redelivered = true,
    };
    assert_int_equal (leat_headers_add (headers, room, &delivered.record.headers_size, "a", "1", 1),
                      0);
    assert_int_equal (
        leat_headers_add (headers, room, &delivered.record.headers_size, "empty", "", 0), 0);
    return delivered;
}

static void s_writes (const char *format, const char *delimiter, const leat_delivered_t *delivered,
                      const char *expected, size_t expected_size)
{
    const char *why = NULL;
    leat_text_t end = { .data = delimiter, .size = strlen (delimiter) };
    leat_record_format_t *self = leat_record_format_new (format, end, "orders", "audit", &why);
    assert_non_null (self);
    size_t room = leat_record_format_size (self, delivered);
    char *bytes = malloc (room + 1);
    assert_non_null (bytes);
    bytes[room] = '#';
    size_t size = leat_record_format_write (self, delivered, bytes);
    assert_true (size <= room);
    assert_int_equal (bytes[room], '#');
    assert_int_equal (size, expected_size);
    assert_memory_equal (bytes, expected, expected_size);
    free (bytes);
    leat_record_format_destroy (&self);
    assert_null (self);
    leat_record_format_destroy (&self);
}

static void letters (void **state)
{
    uint8_t headers[64];
    leat_delivered_t delivered = s_sample (headers, sizeof headers);
    s_writes ("%b", "\n", &delivered, "bo\0dy\n", 6);
    s_writes ("%b", "", &delivered, "bo\0dy", 5);
    s_writes ("", "\n", &delivered, "\n", 1);
    s_writes ("%k|%h|%o|%a|%r|%e|%t|%s|%g|%S|%%", "", &delivered,
              "key|a=1,empty=|7|2|1|18446744073709551615|1234567890123|orders|audit|5|%", 72);
    s_writes ("a\\tb\\x41%o\\0", "--", &delivered, "a\tbA7\0--", 8);
    s_writes ("%%b%b", "", &delivered, "%bbo\0dy", 7);
}

static void nothing_there (void **state)
{
    leat_delivered_t delivered = { .attempt = 1 };
    s_writes ("[%k][%h][%b]%S", "\n", &delivered, "[][][]0\n", 8);
}

static void refused (void **state)
{
    static const char *const wrong[] = { "%", "%x", "%b%", "%B" };
    leat_text_t end = { .data = "", .size = 0 };
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        const char *why = NULL;
        assert_null (leat_record_format_new (wrong[i], end, "s", "g", &why));
        assert_non_null (strstr (why, "percent"));
    }
    const char *why = NULL;
    assert_null (leat_record_format_new ("\\q", end, "s", "g", &why));
    assert_non_null (strstr (why, "backslash"));
}

int main (void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test (letters),
        cmocka_unit_test (nothing_there),
        cmocka_unit_test (refused),
    };
    return cmocka_run_group_tests (tests, NULL, NULL);
}

/* Escapes, endpoints and names as users give them.
 * SPDX-License-Identifier: MPL-2.0 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "cli/text.h"

static void s_means (const char *text, const char *bytes, size_t expected)
{
    size_t size = 99;
    const char *why = NULL;
    char *result = leat_text_unescape (text, &size, &why);
    assert_non_null (result);
    assert_int_equal (size, expected);
    assert_memory_equal (result, bytes, expected);
    assert_int_equal (result[size], 0);
    free (result);
}

static void escapes (void **state)
{
    s_means ("", "", 0);
    s_means ("plain", "plain", 5);
    s_means ("\\n\\t\\r\\0\\\\", "\n\t\r\0\\", 5);
    s_means ("a\\x0ab\\xFF", "a\nb\xff", 4);
    static const char *const wrong[] = { "\\", "a\\q", "\\x", "\\x1", "\\x1g", "\\N" };
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        size_t size;
        const char *why = NULL;
        assert_null (leat_text_unescape (wrong[i], &size, &why));
        assert_non_null (strstr (why, "backslash"));
    }
}

static void endpoints (void **state)
{
    assert_null (leat_text_endpoint_check ("tcp://127.0.0.1:5560"));
    assert_null (leat_text_endpoint_check ("tcp://broker.example.com:1"));
    assert_null (leat_text_endpoint_check ("tcp://[::1]:65535"));
    assert_null (leat_text_endpoint_check ("ipc:///run/leat"));
    static const char *const wrong[][2] = {
        { "", "endpoint is written" },
        { "localhost:5560", "endpoint is written" },
        { "udp://127.0.0.1:5560", "endpoint is written" },
        { "inproc://x", "endpoint is written" },
        { "tcp://", "tcp://HOST:PORT" },
        { "tcp://localhost", "tcp://HOST:PORT" },
        { "tcp://:5560", "tcp://HOST:PORT" },
        { "tcp://localhost:", "1 to 65535" },
        { "tcp://localhost:65536", "1 to 65535" },
        { "tcp://localhost:http", "1 to 65535" },
        { "tcp://localhost:0", "port 0" },
        { "tcp://*:5560", "reached at *" },
        { "ipc://", "107 bytes" },
    };
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        const char *why = leat_text_endpoint_check (wrong[i][0]);
        assert_non_null (why);
        assert_non_null (strstr (why, wrong[i][1]));
    }
    char path[6 + 109] = "ipc://";
    memset (path + 6, 'x', 108);
    assert_non_null (leat_text_endpoint_check (path));
    path[6 + 107] = 0;
    assert_null (leat_text_endpoint_check (path));
}

/* Flag, then environment, then default; an empty variable is as good as none. */
static void precedence (void **state)
{
    unsetenv ("LEAT_TEST");
    assert_string_equal (leat_text_endpoint_choose (NULL, "LEAT_TEST", "c"), "c");
    setenv ("LEAT_TEST", "", 1);
    assert_string_equal (leat_text_endpoint_choose (NULL, "LEAT_TEST", "c"), "c");
    setenv ("LEAT_TEST", "b", 1);
    assert_string_equal (leat_text_endpoint_choose (NULL, "LEAT_TEST", "c"), "b");
    assert_string_equal (leat_text_endpoint_choose ("a", "LEAT_TEST", "c"), "a");
}

static void names (void **state)
{
    char name[130];
    memset (name, 'n', sizeof name);
    name[129] = 0;
    assert_non_null (strstr (leat_text_name_check (name, 128), "128"));
    name[128] = 0;
    assert_null (leat_text_name_check (name, 128));
    assert_non_null (strstr (leat_text_name_check (name, 123), "123"));
    assert_null (leat_text_name_check ("a-b_c.D9", 123));
    static const char *const wrong[] = { "", ".a", "-a", "a b", "a/b", "\xc3\xa4", "a\n" };
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++)
        assert_non_null (strstr (leat_text_name_check (wrong[i], 123), "letters"));
}

int main (void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test (escapes),
        cmocka_unit_test (endpoints),
        cmocka_unit_test (precedence),
        cmocka_unit_test (names),
    };
    return cmocka_run_group_tests (tests, NULL, NULL);
}

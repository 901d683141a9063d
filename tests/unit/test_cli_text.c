/* Escapes, endpoints and names as users give them.
 * SPDX-License-Identifier: MPL-2.0 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
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
    assert_null (leat_text_endpoint_check ("tcp://[fe80::1%eth0]:1"));
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
        { "tcp://a b:1", "the host of a tcp endpoint" },
        { "tcp://a,tcp://b:1", "the host of a tcp endpoint" },
        { "tcp://::1:1", "in brackets" },
        { "tcp://[::1:1", "in brackets" },
        { "tcp://[::g]:1", "in brackets" },
        { "tcp://[]:1", "in brackets" },
        { "tcp://[::1%lo:1", "in brackets" },
        { "tcp://h\xc3\xa4:1", "the host of a tcp endpoint" },
        { "tcp://h:1/x", "1 to 65535" },
        { "tcp://h:01", "without a zero" },
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

/* Lists, of which each item is checked, and nothing that the library takes for a list by itself. */
static void several_endpoints (void **state)
{
    char many[65 * 8 + 1] = "";
    assert_null (leat_text_endpoints_check ("tcp://a:1"));
    assert_null (leat_text_endpoints_check ("tcp://a:1,ipc:///b,tcp://c:3"));
    static const char *const wrong[][2] = {
        { "", "endpoint is written" },           { "tcp://a:1,", "endpoint is written" },
        { ",tcp://a:1", "endpoint is written" }, { "tcp://a:1,tcp://b", "tcp://HOST:PORT" },
        { "tcp://a:1 tcp://b:1", "no blanks" },  { "tcp://a b:1", "no blanks" },
        { "ipc:///a b", "no blanks" },
    };
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        const char *why = leat_text_endpoints_check (wrong[i][0]);
        assert_non_null (why);
        assert_non_null (strstr (why, wrong[i][1]));
    }
    for (size_t i = 0; i < 65; i++)
        memcpy (many + 8 * i, i < 64 ? "ipc://x," : "ipc://x", 8);
    assert_non_null (strstr (leat_text_endpoints_check (many), "64"));
    many[8 * 64 - 1] = 0;
    assert_null (leat_text_endpoints_check (many));
}

/* Nothing that a terminal obeys is left; text is. */
static void harmless (void **state)
{
    static const char *const cases[][2] = {
        { "plain ~ text", "plain ~ text" },
        { "\033[2J\r\n\t\b\x7f|", "?[2J?????|" },
        { "\xc3\xa4\xe2\x82\xac\xf0\x9f\x98\x80", "\xc3\xa4\xe2\x82\xac\xf0\x9f\x98\x80" },
        { "\xc2\x9b|\xc2\xa0", "??|\xc2\xa0" },            /* CSI as one character */
        { "\x9b|\xff|\xc0\x80|", "?|?|??|" },              /* no UTF-8 */
        { "\xe0\x82\x9b|\xf0\x80\x82\x9b|", "???|????|" }, /* longer than needed */
        { "\xed\xa0\x80|\xf4\x90\x80\x80|", "???|????|" }, /* no characters */
        { "\xe2\x82", "??" },                              /* cut off */
        { "", "" },
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char text[64];
        snprintf (text, sizeof text, "%s", cases[i][0]);
        leat_text_make_harmless (text);
        assert_string_equal (text, cases[i][1]);
    }
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
        cmocka_unit_test (escapes),           cmocka_unit_test (endpoints),
        cmocka_unit_test (several_endpoints), cmocka_unit_test (harmless),
        cmocka_unit_test (precedence),        cmocka_unit_test (names),
    };
    return cmocka_run_group_tests (tests, NULL, NULL);
}

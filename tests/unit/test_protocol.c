/* Which names are valid, and that each error code has its name and text.
 * SPDX-License-Identifier: MPL-2.0 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>

#include "wire/protocol.h"

static void test_codes (void **state)
{
    unsigned count = 0;
#define X(number, name, text)                                                                      \
    assert_int_equal (number, count);                                                              \
    assert_string_equal (leat_code_name (number), #name);                                          \
    assert_string_equal (leat_code_text (number), text);                                           \
    count++;
    LEAT_CODES (X)
#undef X
    assert_string_equal (leat_code_name (count), "UNKNOWN");
    assert_string_equal (leat_code_name (65535), "UNKNOWN");
    assert_true (strlen (leat_code_text (65535)) > 0);
}

static void test_texts (void **state)
{
    assert_int_equal (leat_text (NULL).size, 0);
    assert_int_equal (leat_text ("abc").size, 3);
    assert_true (leat_text_equal (leat_text ("abc"), (leat_text_t){ "abcd", 3 }));
    assert_false (leat_text_equal (leat_text ("abc"), leat_text ("abd")));
    assert_false (leat_text_equal (leat_text ("abc"), leat_text ("ab")));
    assert_true (leat_text_equal (leat_text (""), leat_text (NULL)));
}

static void test_valid_names (void **state)
{
    char longest[LEAT_NAME_MAX + 2];
    memset (longest, 'n', sizeof longest);
    assert_true (leat_name_valid ((leat_text_t){ longest, 1 }));
    assert_true (leat_name_valid ((leat_text_t){ longest, LEAT_NAME_MAX }));
    assert_false (leat_name_valid ((leat_text_t){ longest, LEAT_NAME_MAX + 1 }));
    assert_false (leat_name_valid ((leat_text_t){ longest, 0 }));
    assert_false (leat_name_valid ((leat_text_t){ NULL, 0 }));
    assert_true (leat_name_valid (leat_text ("Az09._-")));
    assert_true (leat_name_valid (leat_text ("_x")));
    assert_true (leat_name_valid (leat_text ("orders.dead")));
    assert_false (leat_name_valid (leat_text (".hidden")));
    assert_false (leat_name_valid (leat_text ("-option")));
    /* Every character, alone in second place. */
    for (int value = 0; value <= UINT8_MAX; value++) {
        char name[2] = { 'a', (char) value };
        bool valid =
            value != 0
            && strchr ("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-", value);
        assert_int_equal (leat_name_valid ((leat_text_t){ name, 2 }), valid);
    }
}

static void test_reserved_names (void **state)
{
    assert_true (leat_name_reserved (leat_text ("orders.dead")));
    assert_true (leat_name_reserved (leat_text (".dead")));
    assert_false (leat_name_reserved (leat_text ("dead")));
    assert_false (leat_name_reserved (leat_text ("orders.deadly")));
    assert_false (leat_name_reserved (leat_text ("orders.Dead")));
    assert_false (leat_name_reserved (leat_text ("")));
    assert_false (leat_name_reserved (leat_text (NULL)));
}

int main (void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test (test_codes),
        cmocka_unit_test (test_texts),
        cmocka_unit_test (test_valid_names),
        cmocka_unit_test (test_reserved_names),
    };
    return cmocka_run_group_tests (tests, NULL, NULL);
}

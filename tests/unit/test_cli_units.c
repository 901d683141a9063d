/* Sizes, durations and counts as users write them, and what is refused.
 * SPDX-License-Identifier: MPL-2.0 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "cli/units.h"

typedef bool (parse_t) (const char *text, uint64_t *value, const char **why);

static void s_takes (parse_t *parse, const char *text, uint64_t expected)
{
    uint64_t value = 0;
    const char *why = NULL;
    if (!parse (text, &value, &why))
        fail_msg ("'%s' is refused: %s", text, why);
    assert_true (value == expected);
}

static void s_refuses (parse_t *parse, const char *text, const char *part)
{
    uint64_t value = 77;
    const char *why = NULL;
    if (parse (text, &value, &why))
        fail_msg ("'%s' is taken", text);
    assert_non_null (strstr (why, part));
    assert_true (value == 77);
}

static void sizes (void **state)
{
    s_takes (leat_size_parse, "0B", 0);
    s_takes (leat_size_parse, "512B", 512);
    s_takes (leat_size_parse, "64KiB", 65536);
    s_takes (leat_size_parse, "64KB", 64000);
    s_takes (leat_size_parse, "64kB", 64000);
    s_takes (leat_size_parse, "64MB", 64000000);
    s_takes (leat_size_parse, "1GiB", UINT64_C (1) << 30);
    s_takes (leat_size_parse, "16777215TiB", UINT64_C (16777215) << 40);
    s_refuses (leat_size_parse, "64", "unit is missing");
    s_refuses (leat_size_parse, "", "a size is");
    s_refuses (leat_size_parse, "MiB", "a size is");
    s_refuses (leat_size_parse, "-1MiB", "a size is");
    s_refuses (leat_size_parse, "+1MiB", "a size is");
    s_refuses (leat_size_parse, " 1MiB", "a size is");
    s_refuses (leat_size_parse, "1 MiB", "a size is");
    s_refuses (leat_size_parse, "1MiB ", "a size is");
    s_refuses (leat_size_parse, "1.5MiB", "a size is");
    s_refuses (leat_size_parse, "1mib", "a size is");
    s_refuses (leat_size_parse, "5s", "a size is");
    s_refuses (leat_size_parse, "16777216TiB", "64 bits");
    s_refuses (leat_size_parse, "99999999999999999999B", "a size is");
}

static void durations (void **state)
{
    s_takes (leat_duration_parse, "500ms", 500);
    s_takes (leat_duration_parse, "5s", 5000);
    s_takes (leat_duration_parse, "2min", 120000);
    s_takes (leat_duration_parse, "1h", 3600000);
    s_takes (leat_duration_parse, "7d", 604800000);
    s_refuses (leat_duration_parse, "10", "unit is missing");
    s_refuses (leat_duration_parse, "10m", "a duration is");
    s_refuses (leat_duration_parse, "1MiB", "a duration is");
    s_refuses (leat_duration_parse, "18446744073709551615d", "64 bits");
}

static void counts (void **state)
{
    s_takes (leat_count_parse, "0", 0);
    s_takes (leat_count_parse, "18446744073709551615", UINT64_MAX);
    s_refuses (leat_count_parse, "18446744073709551616", "digits");
    s_refuses (leat_count_parse, "1k", "digits");
    s_refuses (leat_count_parse, "-1", "digits");
    s_refuses (leat_count_parse, "0x10", "digits");
    s_refuses (leat_count_parse, "", "digits");
}

/* What is written exactly is read as the same number. */
static void exact (void **state)
{
    char text[LEAT_UNITS_TEXT_SIZE];
    assert_string_equal (leat_size_exact (0, text), "0B");
    assert_string_equal (leat_size_exact (1048576, text), "1MiB");
    assert_string_equal (leat_size_exact (1052672, text), "1028KiB");
    assert_string_equal (leat_size_exact (64000000, text), "62500KiB");
    assert_string_equal (leat_size_exact (1048577, text), "1048577B");
    assert_string_equal (leat_duration_exact (604800000, text), "7d");
    assert_string_equal (leat_duration_exact (1500, text), "1500ms");
    static const uint64_t values[] = { 0, 1, 999, 1000, 1024, 65536, 1052672, UINT64_MAX };
    for (size_t i = 0; i < sizeof values / sizeof *values; i++) {
        s_takes (leat_size_parse, leat_size_exact (values[i], text), values[i]);
        s_takes (leat_duration_parse, leat_duration_exact (values[i], text), values[i]);
    }
}

static void shortened (void **state)
{
    char text[LEAT_UNITS_TEXT_SIZE];
    assert_string_equal (leat_size_short (0, text), "0 B");
    assert_string_equal (leat_size_short (999, text), "999 B");
    assert_string_equal (leat_size_short (1536, text), "1.5 KiB");
    assert_string_equal (leat_size_short (UINT64_C (480) << 20, text), "480 MiB");
    assert_string_equal (leat_number_short (999, text), "999");
    assert_string_equal (leat_number_short (999.6, text), "1.0 k");
    assert_string_equal (leat_number_short (14600000, text), "15 M");
    assert_string_equal (leat_number_short (4051000, text), "4.1 M");
    assert_string_equal (leat_seconds_short (0.00015, text), "150 us");
    assert_string_equal (leat_seconds_short (0.25, text), "250 ms");
    assert_string_equal (leat_seconds_short (3.44, text), "3.4 s");
    assert_string_equal (leat_seconds_short (600, text), "10 min");
    assert_string_equal (leat_seconds_short (36000, text), "10 h");
}

/* Bounds are part of what is allowed, and named by what is not. */
static void bounds (void **state)
{
    char why[LEAT_UNITS_WHY_SIZE];
    uint64_t value = 99;
    assert_true (leat_units_parse (LEAT_UNITS_COUNT, "2", 2, 3, &value, why));
    assert_true (value == 2);
    assert_true (leat_units_parse (LEAT_UNITS_SIZE, "3KiB", 2, 3072, &value, why));
    assert_true (value == 3072);
    assert_false (leat_units_parse (LEAT_UNITS_COUNT, "1", 2, 3, &value, why));
    assert_string_equal (why, "it is at least 2");
    assert_false (leat_units_parse (LEAT_UNITS_SIZE, "4KiB", 2, 3072, &value, why));
    assert_string_equal (why, "it is at most 3KiB");
    assert_false (
        leat_units_parse (LEAT_UNITS_DURATION, "25d", 1, LEAT_TIMEOUT_MAX_MS, &value, why));
    assert_string_equal (why, "it is at most 24d");
    assert_false (leat_units_parse (LEAT_UNITS_DURATION, "25", 1, 2, &value, why));
    assert_non_null (strstr (why, "unit is missing"));
    assert_true (value == 3072);
}

static void plurals (void **state)
{
    assert_string_equal (leat_plural (0), "s");
    assert_string_equal (leat_plural (1), "");
    assert_string_equal (leat_plural (2), "s");
}

int main (void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test (plurals),   cmocka_unit_test (bounds), cmocka_unit_test (sizes),
        cmocka_unit_test (durations), cmocka_unit_test (counts), cmocka_unit_test (exact),
        cmocka_unit_test (shortened),
    };
    return cmocka_run_group_tests (tests, NULL, NULL);
}

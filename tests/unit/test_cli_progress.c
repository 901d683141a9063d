/* The line that shows how far a producer is, at every width.
 * SPDX-License-Identifier: MPL-2.0 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>

#include "cli/progress.h"

static void unknown_size (void **state)
{
    char line[200];
    leat_progress_line (line, sizeof line, 1234567, 1000000, 480 << 20, 0, 14600000, 80);
    assert_string_equal (line, "1.2 M records, 1.0 M confirmed, 15 M/s, 480 MiB");
}

static void known_size (void **state)
{
    char line[200];
    leat_progress_line (line, sizeof line, 10, 5, 250, 1000, 100, 80);
    assert_string_equal (
        line, "10 records, 5 confirmed, 100/s,  25 % of 1.0 KiB [=======                      ]");
}

static void one_record (void **state)
{
    char line[200];
    leat_progress_line (line, sizeof line, 1, 1, 1, 0, 1, 80);
    assert_string_equal (line, "1 record, 1 confirmed, 1/s, 1 B");
}

/* Never wider than the terminal, whatever the figures. */
static void any_width (void **state)
{
    for (unsigned columns = 1; columns < 300; columns++)
        for (unsigned part = 0; part <= 4; part++) {
            char line[200];
            memset (line, 'x', sizeof line);
            leat_progress_line (line, sizeof line, UINT64_MAX, UINT64_MAX, part * 1000, 4000, 1e18,
                                columns);
            assert_non_null (memchr (line, 0, sizeof line));
            assert_true (strlen (line) <= columns);
        }
}

int main (void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test (unknown_size),
        cmocka_unit_test (known_size),
        cmocka_unit_test (one_record),
        cmocka_unit_test (any_width),
    };
    return cmocka_run_group_tests (tests, NULL, NULL);
}

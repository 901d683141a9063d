/* Tables: aligned, as narrow as asked, and safe to show.
 * SPDX-License-Identifier: MPL-2.0 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "monitor/table.h"

static const char *const s_heads[] = { "-NAME", "READY", "-GROUP", "RATE" };

static void s_row (leat_table_t *table, const char *name, const char *ready, const char *group,
                   const char *rate)
{
    leat_table_add (table, name);
    leat_table_add (table, ready);
    leat_table_add (table, group);
    leat_table_add (table, rate);
}

static void s_prints (const leat_table_t *table, unsigned width, const char *expected)
{
    char *text = NULL;
    size_t size;
    FILE *file = open_memstream (&text, &size);
    assert_non_null (file);
    leat_table_print (table, file, width, false);
    fclose (file);
    assert_string_equal (text, expected);
    free (text);
}

static void aligned (void **state)
{
    leat_table_t *table = leat_table_new (s_heads, 4);
    assert_int_equal (leat_table_rows (table), 0);
    s_row (table, "orders", "1", "default", "12.5k");
    s_row (table, "a", "123456", "b", "0");
    assert_int_equal (leat_table_rows (table), 2);
    s_prints (table, 0,
              "NAME     READY  GROUP     RATE\n"
              "orders       1  default  12.5k\n"
              "a       123456  b            0\n");
    leat_table_destroy (&table);
    assert_null (table);
    leat_table_destroy (&table);
}

static void narrow (void **state)
{
    leat_table_t *table = leat_table_new (s_heads, 4);
    s_row (table, "a-very-long-name-of-a-stream", "1", "group-of-size-24-exactly", "2");
    s_prints (table, 44,
              "NAME            READY  GROUP            RATE\n"
              "a-very-long-n~      1  group-of-size-~     2\n");
    /* Nothing gets narrower than 8. */
    s_prints (table, 10,
              "NAME      READY  GROUP     RATE\n"
              "a-very-~      1  group-o~     2\n");
    leat_table_destroy (&table);
}

/* What a terminal would obey does not reach it. */
static void harmless (void **state)
{
    leat_table_t *table = leat_table_new (s_heads, 4);
    s_row (table, "\033[2J", "\xc3\xa4", "a\tb", "\x7f");
    s_prints (table, 0,
              "NAME  READY  GROUP  RATE\n"
              "?[2J     ??  a?b       ?\n");
    leat_table_destroy (&table);
}

int main (void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test (aligned),
        cmocka_unit_test (narrow),
        cmocka_unit_test (harmless),
    };
    return cmocka_run_group_tests (tests, NULL, NULL);
}

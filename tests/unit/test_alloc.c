/* Memory is zero where promised, and a size that cannot be had ends the program.
 * SPDX-License-Identifier: MPL-2.0 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "wire/alloc.h"

static void test_zeroed (void **state)
{
    static const uint8_t zeros[4096];
    /* A block of that size that was used before is likely to be given out again. */
    void *used = leat_alloc_raw (sizeof zeros);
    memset (used, 0xff, sizeof zeros);
    free (used);
    void *memory = leat_alloc (sizeof zeros);
    assert_memory_equal (memory, zeros, sizeof zeros);
    free (memory);
}

static void test_no_bytes (void **state)
{
    void *a = leat_alloc (0), *b = leat_alloc_raw (0), *c = leat_realloc (NULL, 0);
    assert_non_null (a);
    assert_non_null (b);
    assert_non_null (c);
    c = leat_realloc (c, 0);
    assert_non_null (c);
    free (a);
    free (b);
    free (c);
}

static void test_realloc_keeps (void **state)
{
    char *memory = leat_realloc (NULL, 6);
    memcpy (memory, "water", 6);
    memory = leat_realloc (memory, 100000);
    assert_string_equal (memory, "water");
    free (memory);
}

static void test_copy_text (void **state)
{
    char *copy = leat_copy_text ("mill race", 4);
    assert_string_equal (copy, "mill");
    free (copy);
    copy = leat_copy_text (NULL, 0);
    assert_string_equal (copy, "");
    free (copy);
}

static void test_refused (void **state)
{
    volatile size_t size = SIZE_MAX / 2 + 1;
    for (int which = 0; which < 3; which++) {
        pid_t child = fork ();
        assert_true (child >= 0);
        if (child == 0) {
            close (STDERR_FILENO);
            void *memory = which == 0   ? leat_alloc (size)
                           : which == 1 ? leat_alloc_raw (size)
                                        : leat_realloc (NULL, size);
            (void) memory;
            _exit (0);
        }
        int status = 0;
        assert_int_equal (waitpid (child, &status, 0), child);
        assert_true (status != 0);
    }
}

int main (void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test (test_zeroed),        cmocka_unit_test (test_no_bytes),
        cmocka_unit_test (test_realloc_keeps), cmocka_unit_test (test_copy_text),
        cmocka_unit_test (test_refused),
    };
    return cmocka_run_group_tests (tests, NULL, NULL);
}

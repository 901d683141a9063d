/* Buffers: who frees what and when, from one thread and from several.
 * SPDX-License-Identifier: MPL-2.0 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <pthread.h>
#include <string.h>

#include "wire/buffer.h"

static void s_count_free (void *hint)
{
    ++*(int *) hint;
}

static void test_new_is_writable (void **state)
{
    leat_buffer_t *buffer = leat_buffer_new (1000);
    assert_int_equal (leat_buffer_size (buffer), 1000);
    memset (leat_buffer_bytes (buffer), 7, 1000);
    assert_int_equal (leat_buffer_bytes (buffer)[999], 7);
    leat_buffer_release (&buffer);
    assert_null (buffer);
    leat_buffer_release (&buffer);
}

static void test_copy_is_apart (void **state)
{
    char text[] = "sluice";
    leat_buffer_t *buffer = leat_buffer_copy (text, sizeof text);
    text[0] = 'S';
    assert_int_equal (leat_buffer_size (buffer), sizeof text);
    assert_string_equal ((const char *) leat_buffer_bytes (buffer), "sluice");
    leat_buffer_release (&buffer);

    buffer = leat_buffer_copy (NULL, 0);
    assert_int_equal (leat_buffer_size (buffer), 0);
    leat_buffer_release (&buffer);
}

static void test_wrap_frees_once (void **state)
{
    uint8_t bytes[10] = { 1, 2, 3 };
    int freed = 0;
    leat_buffer_t *a = leat_buffer_wrap (bytes, sizeof bytes, s_count_free, &freed);
    assert_ptr_equal (leat_buffer_bytes (a), bytes);
    leat_buffer_t *b = leat_buffer_hold (a);
    leat_buffer_t *c = leat_buffer_hold (a);
    assert_ptr_equal (a, b);
    leat_buffer_release (&a);
    leat_buffer_release (&b);
    assert_int_equal (freed, 0);
    assert_int_equal (leat_buffer_bytes (c)[2], 3);
    leat_buffer_release (&c);
    assert_int_equal (freed, 1);
}

static void test_slices (void **state)
{
    leat_buffer_t *buffer = leat_buffer_copy ("abcdef", 6);
    assert_memory_equal (leat_slice_bytes ((leat_slice_t){ buffer, 2, 3 }), "cde", 3);
    assert_memory_equal (leat_slice_bytes ((leat_slice_t){ buffer, 5, 1 }), "f", 1);
    assert_null (leat_slice_bytes ((leat_slice_t){ buffer, 6, 0 }));
    assert_null (leat_slice_bytes ((leat_slice_t){ NULL, 0, 0 }));
    leat_buffer_release (&buffer);
}

enum { THREADS = 4, ROUNDS = 20000 };

static void *s_hold_and_release (void *arg)
{
    leat_buffer_t *mine = arg;
    for (int round = 0; round < ROUNDS; round++) {
        leat_buffer_t *more = leat_buffer_hold (mine);
        leat_buffer_release (&more);
    }
    leat_buffer_release (&mine);
    return NULL;
}

static void test_threads (void **state)
{
    uint8_t byte = 1;
    int freed = 0;
    pthread_t threads[THREADS];
    leat_buffer_t *buffer = leat_buffer_wrap (&byte, 1, s_count_free, &freed);
    for (int index = 0; index < THREADS; index++) {
        void *arg = leat_buffer_hold (buffer);
        assert_int_equal (pthread_create (&threads[index], NULL, s_hold_and_release, arg), 0);
    }
    leat_buffer_release (&buffer);
    for (int index = 0; index < THREADS; index++)
        pthread_join (threads[index], NULL);
    assert_int_equal (freed, 1);
}

int main (void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test (test_new_is_writable), cmocka_unit_test (test_copy_is_apart),
        cmocka_unit_test (test_wrap_frees_once), cmocka_unit_test (test_slices),
        cmocka_unit_test (test_threads),
    };
    return cmocka_run_group_tests (tests, NULL, NULL);
}

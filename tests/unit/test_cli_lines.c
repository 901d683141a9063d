/* Lines of files and pipes: cut at delimiters wherever they fall, whatever the sizes of reads.
 * SPDX-License-Identifier: MPL-2.0 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "cli/lines.h"

static int s_file (const void *bytes, size_t size)
{
    int fd = memfd_create ("lines", MFD_CLOEXEC);
    assert_true (fd >= 0);
    for (size_t done = 0; done < size;) {
        ssize_t written = write (fd, (const char *) bytes + done, size - done);
        assert_true (written > 0);
        done += (size_t) written;
    }
    assert_int_equal (lseek (fd, 0, SEEK_SET), 0);
    return fd;
}

static leat_text_t s_bytes (const char *data, size_t size)
{
    return (leat_text_t){ .data = data, .size = size };
}

static void s_gives (leat_lines_t *lines, const char *data, size_t size)
{
    leat_text_t line = { 0 };
    assert_int_equal (leat_lines_next (lines, &line), LEAT_LINES_LINE);
    assert_int_equal (line.size, size);
    assert_memory_equal (line.data, data, size);
}

static void s_ends (leat_lines_t *lines)
{
    leat_text_t line;
    assert_int_equal (leat_lines_next (lines, &line), LEAT_LINES_END);
    assert_int_equal (leat_lines_next (lines, &line), LEAT_LINES_END);
}

static void short_files (void **state)
{
    int fd = s_file ("one\n\nthree", 10);
    leat_lines_t *lines = leat_lines_new (fd, s_bytes ("\n", 1), 100);
    s_gives (lines, "one", 3);
    s_gives (lines, "", 0);
    s_gives (lines, "three", 5);
    s_ends (lines);
    assert_int_equal (leat_lines_count (lines), 3);
    assert_int_equal (leat_lines_bytes (lines), 10);
    leat_lines_destroy (&lines);
    assert_null (lines);
    leat_lines_destroy (&lines);
    close (fd);

    fd = s_file ("", 0);
    lines = leat_lines_new (fd, s_bytes ("\n", 1), 100);
    s_ends (lines);
    leat_lines_destroy (&lines);
    close (fd);

    /* No empty record behind the last delimiter. */
    fd = s_file ("a\0\n\0", 4);
    lines = leat_lines_new (fd, s_bytes ("\0", 1), 100);
    s_gives (lines, "a", 1);
    s_gives (lines, "\n", 1);
    s_ends (lines);
    leat_lines_destroy (&lines);
    close (fd);
}

static void long_delimiter (void **state)
{
    const char text[] = "a-b--c---d-";
    int fd = s_file (text, sizeof text - 1);
    leat_lines_t *lines = leat_lines_new (fd, s_bytes ("--", 2), 100);
    s_gives (lines, "a-b", 3);
    s_gives (lines, "c", 1);
    s_gives (lines, "-d-", 3);
    s_ends (lines);
    leat_lines_destroy (&lines);
    close (fd);
}

static void whole (void **state)
{
    const size_t size = 5000000;
    char *bytes = malloc (size);
    assert_non_null (bytes);
    for (size_t i = 0; i < size; i++)
        bytes[i] = (char) (i * 2654435761u >> 13);
    int fd = s_file (bytes, size);
    leat_lines_t *lines = leat_lines_new (fd, s_bytes (NULL, 0), size);
    s_gives (lines, bytes, size);
    s_ends (lines);
    leat_lines_destroy (&lines);

    leat_text_t line;
    assert_int_equal (lseek (fd, 0, SEEK_SET), 0);
    lines = leat_lines_new (fd, s_bytes (NULL, 0), size - 1);
    assert_int_equal (leat_lines_next (lines, &line), LEAT_LINES_TOO_LONG);
    leat_lines_destroy (&lines);
    close (fd);
    free (bytes);

    fd = s_file ("", 0);
    lines = leat_lines_new (fd, s_bytes (NULL, 0), 10);
    s_gives (lines, "", 0);
    s_ends (lines);
    leat_lines_destroy (&lines);
    close (fd);
}

static void too_long (void **state)
{
    leat_text_t line;
    int fd = s_file ("12345\n123456\n", 13);
    leat_lines_t *lines = leat_lines_new (fd, s_bytes ("\n", 1), 5);
    s_gives (lines, "12345", 5);
    assert_int_equal (leat_lines_next (lines, &line), LEAT_LINES_TOO_LONG);
    assert_int_equal (leat_lines_count (lines), 1);
    leat_lines_destroy (&lines);
    close (fd);

    fd = open ("/dev/zero", O_RDONLY | O_CLOEXEC);
    lines = leat_lines_new (fd, s_bytes ("\n", 1), 1 << 20);
    assert_int_equal (leat_lines_next (lines, &line), LEAT_LINES_TOO_LONG);
    leat_lines_destroy (&lines);
    close (fd);
}

/* Random content with lines of all sizes, larger than several blocks, is what it was when its lines
 * are put together again. */
static void large_file (void **state)
{
    static const char *const delimiters[] = { "\n", "ab" };
#ifdef __SANITIZE_THREAD__
    /* Each memmem over the rest of a block marks all of that as read. */
    const size_t size = 400 * 1000;
#else
    const size_t size = 7 * 1000 * 1000;
#endif
    char *bytes = malloc (size);
    char *again = malloc (size);
    assert_non_null (bytes);
    assert_non_null (again);
    for (size_t d = 0; d < 2; d++) {
        uint64_t seed = 42 + d;
        for (size_t i = 0; i < size; i++) {
            seed = seed * 6364136223846793005u + 1442695040888963407u;
            /* Sparse at the beginning, dense later: lines from hundreds of KiB to nothing. */
            uint64_t period = i < size / 2 ? 50000 : 7;
            bytes[i] = (char) ((seed >> 33) % period ? 'a' + (seed >> 40) % 3 : '\n');
        }
        size_t delimiter_size = strlen (delimiters[d]);
        int fd = s_file (bytes, size);
        leat_lines_t *lines = leat_lines_new (fd, s_bytes (delimiters[d], delimiter_size), size);
        leat_text_t line;
        size_t used = 0;
        leat_lines_result_t result;
        while ((result = leat_lines_next (lines, &line)) == LEAT_LINES_LINE) {
            assert_true (used + line.size <= size);
            assert_null (memmem (line.data, line.size, delimiters[d], delimiter_size));
            memcpy (again + used, line.data, line.size);
            used += line.size;
            if (used + delimiter_size <= size)
                memcpy (again + used, delimiters[d], delimiter_size);
            used += delimiter_size;
        }
        assert_int_equal (result, LEAT_LINES_END);
        assert_true (used == size || used == size + delimiter_size);
        assert_memory_equal (again, bytes, size);
        leat_lines_destroy (&lines);
        close (fd);
    }
    free (bytes);
    free (again);
}

static void pipes (void **state)
{
    int fds[2];
    int stop[2];
    leat_text_t line;
    assert_int_equal (pipe (fds), 0);
    assert_int_equal (pipe (stop), 0);
    leat_lines_t *lines = leat_lines_new (fds[0], s_bytes ("\n", 1), 100);
    assert_int_equal (leat_lines_next (lines, &line), LEAT_LINES_PENDING);
    assert_false (leat_lines_wait (lines, stop[0], 1));
    assert_int_equal (write (fds[1], "ab\nc", 4), 4);
    assert_true (leat_lines_wait (lines, stop[0], -1));
    s_gives (lines, "ab", 2);
    assert_int_equal (leat_lines_next (lines, &line), LEAT_LINES_PENDING);
    assert_int_equal (write (stop[1], "x", 1), 1);
    assert_false (leat_lines_wait (lines, stop[0], -1));
    assert_int_equal (write (fds[1], "d\n", 2), 2);
    close (fds[1]);
    s_gives (lines, "cd", 2);
    s_ends (lines);
    leat_lines_destroy (&lines);
    close (fds[0]);
    close (stop[0]);
    close (stop[1]);
}

static void errors (void **state)
{
    leat_text_t line;
    int fd = open ("/", O_RDONLY | O_CLOEXEC);
    leat_lines_t *lines = leat_lines_new (fd, s_bytes ("\n", 1), 100);
    assert_int_equal (leat_lines_next (lines, &line), LEAT_LINES_ERROR);
    leat_lines_destroy (&lines);
    close (fd);
}

int main (void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test (short_files), cmocka_unit_test (long_delimiter), cmocka_unit_test (whole),
        cmocka_unit_test (too_long),    cmocka_unit_test (large_file),     cmocka_unit_test (pipes),
        cmocka_unit_test (errors),
    };
    return cmocka_run_group_tests (tests, NULL, NULL);
}

/* What the tests of damage and faults share.
 * SPDX-License-Identifier: MPL-2.0 */
#include "tests/system/store/tools.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>

#include "tests/unit/store_place.h"

const store_subject_t tools_subject = { .engine = &leat_store_lmdb, .place = store_place };

void tools_begin (bench_t *bench, uint64_t size_max, uint64_t reserve_size)
{
    recovered_t recovered;
    *bench = (bench_t){ .subject = &tools_subject };
    bench->options.path = store_place ();
    bench->options.size_max = size_max;
    bench->options.reserve_size = reserve_size;
    bench_open (bench);
    bench_acquire (bench, NOW_MS);
    bench_recover (bench, &recovered);
}

/* The directory cannot be used; `format` has one %s for its path. */
void tools_expect_message (const leat_store_options_t *options, const char *format)
{
    char error[600] = "";
    char expected[600];
    char path[300];
    snprintf (path, sizeof path, "%s", options->path);
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
    snprintf (expected, sizeof expected, format, path);
#pragma GCC diagnostic pop
    assert_null (leat_store_open (&leat_store_lmdb, options, error, sizeof error));
    assert_string_equal (error, expected);
}

int tools_open_data (const char *path, int flags)
{
    char name[400];
    snprintf (name, sizeof name, "%s/data.mdb", path);
    int fd = open (name, flags | O_CLOEXEC, 0600);
    assert_true (fd >= 0);
    return fd;
}

char *tools_body (char letter, size_t size)
{
    static char body[TOOLS_MIB];
    memset (body, letter, size);
    return body;
}

bool tools_anything (void *arg, leat_buffer_t *commit)
{
    (void) arg;
    (void) commit;
    return true;
}

void tools_begin_again (bench_t *bench)
{
    char error[300];
    bench_open (bench);
    bench_acquire (bench, NOW_MS);
    assert_int_equal (leat_store_recover (bench->store, tools_anything, NULL, error, sizeof error),
                      0);
}

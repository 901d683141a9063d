/* What the tests of damage and faults share.
 * SPDX-License-Identifier: MPL-2.0 */
#ifndef LEAT_TESTS_STORE_TOOLS_H
#define LEAT_TESTS_STORE_TOOLS_H

#include "tests/unit/store_bench.h"

enum { TOOLS_MIB = 1024 * 1024 };

extern const store_subject_t tools_subject;

/* A new store in a new directory; or, again, one in bench->options.path, whatever is in it. */
void tools_begin (bench_t *bench, uint64_t size_max, uint64_t reserve_size);
void tools_begin_again (bench_t *bench);

/* The directory cannot be used; `format` has one %s for its path. */
void tools_expect_message (const leat_store_options_t *options, const char *format);

int tools_open_data (const char *path, int flags);

/* `size` bytes of that letter, up to a mebibyte; the same memory each time. */
char *tools_body (char letter, size_t size);

/* Takes whatever recovery states. */
bool tools_anything (void *arg, leat_buffer_t *commit);

#endif

/* A folder for the files of a benchmark.
 * SPDX-License-Identifier: MPL-2.0 */
#ifndef LEAT_BENCH_FOLDER_H
#define LEAT_BENCH_FOLDER_H

#include <stdbool.h>
#include <stdint.h>

enum { LEAT_BENCH_FOLDER_PATH = 4096 };

typedef struct {
    char path[LEAT_BENCH_FOLDER_PATH]; /* leat-bench-XXXXXX in the directory that was given */
} leat_bench_folder_t;

/* A new folder in `directory`, which exists; false with errno. */
bool leat_bench_folder_begin (leat_bench_folder_t *self, const char *directory);

/* Removes it with all that is in it. */
void leat_bench_folder_end (leat_bench_folder_t *self);

/* Removes whatever is at the path, with all that is in it. */
void leat_bench_folder_remove (const char *path);

/* Writes the path of `name` in it, and removes what is there. */
void leat_bench_folder_clear (const leat_bench_folder_t *self, const char *name,
                              char path[LEAT_BENCH_FOLDER_PATH]);

/* Bytes that its filesystem has for this user; 0 if that cannot be told. */
uint64_t leat_bench_folder_free (const char *directory);

#endif

/* A folder for the files of a benchmark.
 * SPDX-License-Identifier: MPL-2.0 */
#include "bench/folder.h"

#include <errno.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/statvfs.h>

static int s_remove (const char *path, const struct stat *status, int type, struct FTW *place)
{
    (void) status;
    (void) type;
    (void) place;
    remove (path);
    return 0;
}

void leat_bench_folder_remove (const char *path)
{
    nftw (path, s_remove, 16, FTW_DEPTH | FTW_PHYS);
}

bool leat_bench_folder_begin (leat_bench_folder_t *self, const char *directory)
{
    int size = snprintf (self->path, sizeof self->path, "%s/leat-bench-XXXXXX", directory);
    if (size < 0 || (size_t) size > sizeof self->path / 2) {
        errno = ENAMETOOLONG;
        return false;
    }
    return mkdtemp (self->path) != NULL;
}

void leat_bench_folder_end (leat_bench_folder_t *self)
{
    leat_bench_folder_remove (self->path);
    self->path[0] = '\0';
}

void leat_bench_folder_clear (const leat_bench_folder_t *self, const char *name,
                              char path[LEAT_BENCH_FOLDER_PATH])
{
    snprintf (path, LEAT_BENCH_FOLDER_PATH, "%.*s/%s", LEAT_BENCH_FOLDER_PATH / 2, self->path,
              name);
    leat_bench_folder_remove (path);
}

uint64_t leat_bench_folder_free (const char *directory)
{
    struct statvfs system;
    if (statvfs (directory, &system))
        return 0;
    return (uint64_t) system.f_bavail * system.f_frsize;
}

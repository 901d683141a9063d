/* What an LMDB store may still take, and the blocks that it keeps.
 * SPDX-License-Identifier: MPL-2.0 */
#include "broker/store/lmdb_space.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/statvfs.h>

/* The reserve is an eighth of what is used, within these. A transaction that settles touches some pages of
 * each group, copies them, and gets the old ones back in the next but one: for that the smaller one is
 * plenty. What has been marked as tried, delayed or dead grows with what is stored. */
#define RESERVE_MIN (UINT64_C (4) << 20)
#define RESERVE_MAX (UINT64_C (64) << 20)

enum {
    RESERVE_SHARE = 8, /* of what is used, and at most of what the store may take */
    STEP_SHARE =
        4, /* of the reserve: blocks are allocated so many at a time, not for each commit */
    STATUS_BLOCK = 512, /* stat(2): st_blocks counts these */
};

static uint64_t s_least (uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

void lmdb_space_begin (lmdb_space_t *self, const leat_lmdb_files_t *files, uint64_t reserve_size)
{
    /* A small store is not to be all reserve. */
    uint64_t share = files->map_size / RESERVE_SHARE;
    *self = (lmdb_space_t){
        .files = files,
        .reserve_min = reserve_size ? reserve_size : s_least (RESERVE_MIN, share),
        .reserve_max = reserve_size ? reserve_size : s_least (RESERVE_MAX, share),
    };
    self->reserve = self->reserve_min;
}

uint64_t lmdb_space_free (const lmdb_space_t *self)
{
    struct statvfs system;
    if (fstatvfs (self->files->directory, &system))
        return UINT64_MAX / 4; /* cannot tell; a write will */
    return (uint64_t) system.f_bavail * system.f_frsize;
}

static uint64_t s_owned (int fd)
{
    struct stat status;
    return fstat (fd, &status) ? 0 : (uint64_t) status.st_blocks * STATUS_BLOCK;
}

/* Allocates blocks up to `end`, or as far as the filesystem has any. */
static void s_own (lmdb_space_t *self, int fd, uint64_t end)
{
    const uint64_t page_size = self->files->page_size;
    for (int tries = 0; tries < 2 && end > self->owned_end; tries++) {
        /* From the beginning at first: there may be holes, where pages were free before they were written. */
        if (fallocate (fd, FALLOC_FL_KEEP_SIZE, (off_t) self->owned_end,
                       (off_t) (end - self->owned_end))
            == 0) {
            self->owned_end = end;
            return;
        }
        if (errno == EINTR)
            return;
        self->shared = errno != ENOSPC && errno != EDQUOT;
        if (self->shared)
            return;
        end = s_least (end, s_owned (fd) + lmdb_space_free (self)) / page_size * page_size;
    }
}

/* Pages inside the file cost no block of the filesystem. */
void lmdb_space_look (lmdb_space_t *self, const leat_lmdb_rows_t *rows, uint64_t planned)
{
    const leat_lmdb_files_t *files = self->files;
    MDB_envinfo info;
    int fd;
    self->used = leat_lmdb_rows_used (rows);
    self->reserve = s_least (self->used / RESERVE_SHARE, self->reserve_max);
    if (self->reserve < self->reserve_min)
        self->reserve = self->reserve_min;
    if (planned + self->reserve < self->wanted)
        planned = self->wanted - self->reserve;
    mdb_env_info (files->env, &info);
    uint64_t size = (info.me_last_pgno + 1) * files->page_size;
    uint64_t owned = size;
    if (mdb_env_get_fd (files->env, &fd) == 0) {
        uint64_t end = s_least (size + planned + self->reserve, files->map_size);
        if (!self->shared && end > self->owned_end)
            s_own (self, fd, s_least (end + self->reserve / STEP_SHARE, files->map_size));
        owned = s_owned (fd);
    }
    /* Some say yes and keep nothing; some compress, and then blocks tell nothing of pages. */
    if (owned < self->owned_end)
        self->shared = true;
    if (self->shared && owned < size)
        owned = size;
    self->total = s_least (owned + lmdb_space_free (self), files->map_size);
    uint64_t mine = self->shared ? self->total : s_least (owned, files->map_size);
    self->available = mine > self->used ? mine - self->used : 0;
    if (self->available >= self->wanted)
        self->wanted = 0;
}

/* The store is full until that fits, or until it is half empty, should it never fit. */
void lmdb_space_miss (lmdb_space_t *self, uint64_t size)
{
    uint64_t total = self->used + self->available;
    uint64_t half = self->reserve + (total > self->reserve ? (total - self->reserve) / 2 : 0);
    self->wanted = s_least (self->reserve + size, half);
}

bool lmdb_space_full (const lmdb_space_t *self)
{
    return self->wanted || self->available < self->reserve;
}

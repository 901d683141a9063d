/* The journal beside an LMDB store.
 * SPDX-License-Identifier: MPL-2.0 */
#include "broker/store/lmdb_journal.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "wire/alloc.h"
#include "wire/assert.h"
#include "wire/bytes.h"

#define NEW_NAME LEAT_LMDB_JOURNAL_NAME ".new"

/* ---- the file -------------------------------------------------------------------------------- */

/* Zeros, not a hole and not blocks that are only allocated: the first write to those would have to be noted
 * by the filesystem, too. */
static int s_fill (int fd)
{
    uint8_t *zeros = leat_alloc (LEAT_LMDB_JOURNAL_SIZE);
    ssize_t written = pwrite (fd, zeros, LEAT_LMDB_JOURNAL_SIZE, 0);
    free (zeros);
    if (written == LEAT_LMDB_JOURNAL_SIZE)
        return fsync (fd);
    if (written >= 0)
        errno = ENOSPC;
    return -1;
}

/* It gets its name when it is whole. 0, or errno. */
static int s_make (int directory)
{
    int fd = openat (directory, NEW_NAME, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (fd < 0)
        return errno;
    int code = 0;
    if (s_fill (fd) || renameat (directory, NEW_NAME, directory, LEAT_LMDB_JOURNAL_NAME)
        || fsync (directory))
        code = errno;
    close (fd);
    if (code)
        unlinkat (directory, NEW_NAME, 0);
    return code;
}

static int s_fail (const char *path, int code, char *error, size_t error_size)
{
    snprintf (error, error_size, "cannot open %s/" LEAT_LMDB_JOURNAL_NAME ": %s", path,
              strerror (code));
    return -1;
}

int leat_lmdb_journal_open (leat_lmdb_journal_t *self, int directory, const char *path,
                            leat_lmdb_journal_use_t use, char *error, size_t error_size)
{
    *self = (leat_lmdb_journal_t){ .fd = -1 };
    int flags = O_CLOEXEC | (use == LEAT_LMDB_JOURNAL_READ ? O_RDONLY : O_RDWR | O_DSYNC);
    int fd = openat (directory, LEAT_LMDB_JOURNAL_NAME, flags);
    if (fd < 0 && errno == ENOENT && use == LEAT_LMDB_JOURNAL_MAKE) {
        int code = s_make (directory);
        if (code == ENOSPC || code == EDQUOT)
            return 0;
        if (code)
            return s_fail (path, code, error, error_size);
        fd = openat (directory, LEAT_LMDB_JOURNAL_NAME, flags);
    }
    if (fd < 0)
        return errno == ENOENT ? 0 : s_fail (path, errno, error, error_size);
    struct stat status;
    if (fstat (fd, &status) || status.st_size != LEAT_LMDB_JOURNAL_SIZE) {
        snprintf (error, error_size,
                  "%s/" LEAT_LMDB_JOURNAL_NAME
                  " is not as Leat makes it: it should have %d bytes; restore a backup",
                  path, LEAT_LMDB_JOURNAL_SIZE);
        close (fd);
        return -1;
    }
    self->fd = fd;
    self->frame = leat_alloc (LEAT_LMDB_FRAME_MAX);
    self->size = LEAT_LMDB_FRAME_HEADER;
    return 0;
}

void leat_lmdb_journal_close (leat_lmdb_journal_t *self)
{
    if (self->fd >= 0)
        close (self->fd);
    free (self->frame);
    *self = (leat_lmdb_journal_t){ .fd = -1 };
}

/* ---- writing --------------------------------------------------------------------------------- */

void leat_lmdb_journal_begin (leat_lmdb_journal_t *self, uint64_t key, uint64_t transaction)
{
    self->size = LEAT_LMDB_FRAME_HEADER;
    if (self->place.key != key || self->place.transaction != transaction)
        self->place = (leat_lmdb_frames_t){ .key = key, .transaction = transaction };
}

bool leat_lmdb_journal_fits (const leat_lmdb_journal_t *self, size_t size, size_t count)
{
    if (self->fd < 0 || size > LEAT_LMDB_FRAME_MAX
        || count > LEAT_LMDB_FRAME_MAX / LEAT_LMDB_FRAME_COMMIT)
        return false;
    size += self->size + count * LEAT_LMDB_FRAME_COMMIT;
    return size <= LEAT_LMDB_FRAME_MAX
           && leat_lmdb_frames_blocks (size) <= LEAT_LMDB_JOURNAL_SIZE - self->place.position;
}

static void s_add_part (void *arg, const uint8_t *bytes, size_t size)
{
    leat_lmdb_journal_t *self = arg;
    if (size)
        memcpy (self->frame + self->size, bytes, size);
    self->size += (uint32_t) size;
}

void leat_lmdb_journal_add (leat_lmdb_journal_t *self, const leat_commit_t *commit)
{
    size_t size = leat_commit_size (commit);
    leat_assert (leat_lmdb_journal_fits (self, size, 1));
    leat_put_u32 (self->frame + self->size, (uint32_t) size);
    self->size += LEAT_LMDB_FRAME_COMMIT;
    leat_commit_gather (commit, s_add_part, self);
}

int leat_lmdb_journal_write (leat_lmdb_journal_t *self)
{
    uint32_t whole = leat_lmdb_frames_blocks (self->size);
    leat_lmdb_frames_seal (&self->place, self->frame, self->size);
    errno = 0;
    if (pwrite (self->fd, self->frame, whole, self->place.position) != (ssize_t) whole)
        return errno ? errno : EIO;
    leat_lmdb_frames_pass (&self->place, self->size);
    self->size = LEAT_LMDB_FRAME_HEADER;
    return 0;
}

/* ---- reading --------------------------------------------------------------------------------- */

int leat_lmdb_journal_read (const leat_lmdb_journal_t *self, leat_buffer_t **image)
{
    *image = leat_buffer_new (self->fd < 0 ? 0 : LEAT_LMDB_JOURNAL_SIZE);
    size_t size = leat_buffer_size (*image);
    errno = 0;
    if (!size || pread (self->fd, leat_buffer_bytes (*image), size, 0) == (ssize_t) size)
        return 0;
    int code = errno ? errno : EIO;
    leat_buffer_release (image);
    return code;
}

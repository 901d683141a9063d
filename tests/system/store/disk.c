/* A disk that the test has in its hand.
 * SPDX-License-Identifier: MPL-2.0 */
#include "tests/system/store/disk.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#include "wire/alloc.h"

/* Seen by the libraries, not only here. */
#define SEEN __attribute__ ((visibility ("default")))

static struct {
    pthread_mutex_t mutex;
    bool records;
    disk_event_t *events;
    size_t count;
    size_t room;
    disk_fault_t fault;
    int code;
    int keep_code;
    long type;
} s_disk = { .mutex = PTHREAD_MUTEX_INITIALIZER };

void disk_record (void)
{
    pthread_mutex_lock (&s_disk.mutex);
    s_disk.records = true;
    pthread_mutex_unlock (&s_disk.mutex);
}

void disk_forget (void)
{
    pthread_mutex_lock (&s_disk.mutex);
    for (size_t i = 0; i < s_disk.count; i++)
        free (s_disk.events[i].bytes);
    free (s_disk.events);
    s_disk.events = NULL;
    s_disk.count = s_disk.room = 0;
    s_disk.records = false;
    pthread_mutex_unlock (&s_disk.mutex);
}

const disk_event_t *disk_events (size_t *count)
{
    s_disk.records = false;
    *count = s_disk.count;
    return s_disk.events;
}

void disk_fail (disk_fault_t fault, int code)
{
    pthread_mutex_lock (&s_disk.mutex);
    s_disk.fault = fault;
    s_disk.code = code;
    pthread_mutex_unlock (&s_disk.mutex);
}

void disk_keep_blocks (int code)
{
    pthread_mutex_lock (&s_disk.mutex);
    s_disk.keep_code = code;
    pthread_mutex_unlock (&s_disk.mutex);
}

void disk_pretend_type (long type)
{
    s_disk.type = type;
}

const char *const disk_names[DISK_FILES] = { [DISK_DATA] = "data.mdb", [DISK_JOURNAL] = "journal" };

/* Which file of a store it is, or DISK_FILES. */
static disk_file_t s_which (int fd)
{
    char link[64];
    char path[4096];
    snprintf (link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t size = readlink (link, path, sizeof path - 1);
    path[size < 0 ? 0 : size] = 0;
    const char *name = strrchr (path, '/');
    disk_file_t file = DISK_DATA;
    while (file < DISK_FILES && (!name || strcmp (name + 1, disk_names[file]) != 0))
        file++;
    return file;
}

static bool s_ours (int fd)
{
    return s_which (fd) != DISK_FILES;
}

static disk_event_t *s_add (disk_kind_t kind, disk_file_t file, uint64_t offset)
{
    if (s_disk.count == s_disk.room) {
        s_disk.room = s_disk.room ? 2 * s_disk.room : 256;
        s_disk.events = leat_realloc (s_disk.events, s_disk.room * sizeof *s_disk.events);
    }
    disk_event_t *event = &s_disk.events[s_disk.count++];
    *event = (disk_event_t){ .kind = kind, .file = file, .offset = offset };
    return event;
}

void disk_mark (uint64_t number)
{
    pthread_mutex_lock (&s_disk.mutex);
    if (s_disk.records)
        s_add (DISK_MARK, DISK_FILES, number);
    pthread_mutex_unlock (&s_disk.mutex);
}

/* A write of `size` bytes at `offset` is about to be: how many of them may be, or -1 with errno. */
static ssize_t s_may_write (int fd, size_t size)
{
    bool meta = fcntl (fd, F_GETFL) & O_DSYNC;
    if (s_disk.fault != (meta ? DISK_FAIL_META : DISK_FAIL_WRITE))
        return (ssize_t) size;
    errno = s_disk.code;
    return s_disk.code ? -1 : (ssize_t) size / 2;
}

static void s_wrote (int fd, const struct iovec *parts, int count, uint64_t offset, size_t size)
{
    if (!s_disk.records || !size)
        return;
    disk_event_t *event = s_add (DISK_WRITE, s_which (fd), offset);
    event->bytes = leat_alloc (size);
    event->durable = fcntl (fd, F_GETFL) & O_DSYNC;
    for (int i = 0; i < count && event->size < size; i++) {
        size_t part = size - event->size;
        if (part > parts[i].iov_len)
            part = parts[i].iov_len;
        memcpy (event->bytes + event->size, parts[i].iov_base, part);
        event->size += part;
    }
}

SEEN ssize_t pwrite (int fd, const void *bytes, size_t size, off_t offset)
{
    if (!s_ours (fd))
        return syscall (SYS_pwrite64, fd, bytes, size, offset);
    pthread_mutex_lock (&s_disk.mutex);
    ssize_t written = s_may_write (fd, size);
    if (written > 0)
        written = syscall (SYS_pwrite64, fd, bytes, (size_t) written, offset);
    struct iovec part = { (void *) bytes, size };
    if (written > 0)
        s_wrote (fd, &part, 1, (uint64_t) offset, (size_t) written);
    pthread_mutex_unlock (&s_disk.mutex);
    return written;
}

SEEN ssize_t writev (int fd, const struct iovec *parts, int count)
{
    if (!s_ours (fd))
        return syscall (SYS_writev, fd, parts, count);
    pthread_mutex_lock (&s_disk.mutex);
    size_t size = 0;
    for (int i = 0; i < count; i++)
        size += parts[i].iov_len;
    off_t offset = lseek (fd, 0, SEEK_CUR);
    ssize_t written = s_may_write (fd, size);
    if (written == (ssize_t) size)
        written = syscall (SYS_writev, fd, parts, count);
    else if (written > 0) /* of the first part alone; nobody looks at how many exactly */
        written = syscall (SYS_write, fd, parts[0].iov_base, parts[0].iov_len / 2);
    if (written > 0)
        s_wrote (fd, parts, count, (uint64_t) offset, (size_t) written);
    pthread_mutex_unlock (&s_disk.mutex);
    return written;
}

static int s_sync (int fd, long number)
{
    if (!s_ours (fd))
        return (int) syscall (number, fd);
    pthread_mutex_lock (&s_disk.mutex);
    int result = -1;
    errno = s_disk.code;
    if (s_disk.fault != DISK_FAIL_SYNC)
        result = (int) syscall (number, fd);
    if (!result && s_disk.records)
        s_add (DISK_SYNC, s_which (fd), 0);
    pthread_mutex_unlock (&s_disk.mutex);
    return result;
}

SEEN int fdatasync (int fd)
{
    return s_sync (fd, SYS_fdatasync);
}

SEEN int fsync (int fd)
{
    return s_sync (fd, SYS_fsync);
}

SEEN int ftruncate (int fd, off_t size)
{
    int result = (int) syscall (SYS_ftruncate, fd, size);
    if (!result && s_ours (fd)) {
        pthread_mutex_lock (&s_disk.mutex);
        if (s_disk.records)
            s_add (DISK_TRUNCATE, s_which (fd), (uint64_t) size);
        pthread_mutex_unlock (&s_disk.mutex);
    }
    return result;
}

SEEN int fallocate (int fd, int mode, off_t offset, off_t size)
{
    pthread_mutex_lock (&s_disk.mutex);
    int code = s_ours (fd) ? s_disk.keep_code : 0;
    pthread_mutex_unlock (&s_disk.mutex);
    if (!code)
        return (int) syscall (SYS_fallocate, fd, mode, offset, size);
    errno = code;
    return code == DISK_KEEPS_NOTHING ? 0 : -1;
}

SEEN int fstatfs (int fd, struct statfs *system)
{
    int result = (int) syscall (SYS_fstatfs, fd, system);
    if (s_disk.type)
        system->f_type = s_disk.type;
    return result;
}

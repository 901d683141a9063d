/* The directory of an LMDB store.
 * SPDX-License-Identifier: MPL-2.0 */
#include "broker/store/lmdb_files.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "broker/store/lmdb_rows.h"
#include "wire/alloc.h"
#include "wire/bytes.h"

#define DEFAULT_MAP_SIZE (UINT64_C (1) << 40)

enum {
    LMDB_FORMAT = 1, /* of lmdb 0.9 */
    READERS_MAX = 16,
    META_PAGES = 2,
    META_SIZE = 152
};

const char *leat_lmdb_text (int code)
{
    return mdb_strerror (code);
}

/* ---- the directory --------------------------------------------------------------------------- */

/* statfs(2): f_type. */
static const struct {
    uint32_t magic;
    const char *name;
} s_networks[] = {
    { 0x6969, "NFS" },      { 0xff534d42, "CIFS" }, { 0xfe534d42, "SMB" },
    { 0x517b, "SMB" },      { 0x5346414f, "AFS" },  { 0x6b414653, "AFS" },
    { 0x73757245, "Coda" }, { 0x00c36400, "Ceph" }, { 0x0bd00bd0, "Lustre" },
    { 0x65735546, "FUSE" }, { 0x47504653, "GPFS" }, { 0x19830326, "BeeGFS" },
    { 0x01021997, "9P" },
};

static int s_check_network (int directory, const char *path, char *error, size_t error_size)
{
    struct statfs system;
    if (fstatfs (directory, &system)) {
        snprintf (error, error_size, "cannot tell what filesystem %s is on: %s", path,
                  strerror (errno));
        return -1;
    }
    for (size_t i = 0; i < sizeof s_networks / sizeof *s_networks; i++)
        if ((uint32_t) system.f_type == s_networks[i].magic) {
            snprintf (error, error_size,
                      "%s is on a network filesystem (%s), where locks and memory maps cannot be "
                      "relied on; choose a directory on a local disk",
                      path, s_networks[i].name);
            return -1;
        }
    return 0;
}

static int s_sync_parent (const char *path)
{
    char *parent = leat_copy_text (path, strlen (path));
    size_t size = strlen (parent);
    while (size > 1 && parent[size - 1] == '/')
        size--;
    while (size && parent[size - 1] != '/')
        size--;
    parent[size] = 0;
    int fd = open (size ? parent : ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    free (parent);
    if (fd < 0)
        return -1;
    int code = fsync (fd);
    close (fd);
    return code;
}

static int s_make_directory (const char *path, char *error, size_t error_size)
{
    if (mkdir (path, 0700) == 0) {
        if (s_sync_parent (path) == 0)
            return 0;
        snprintf (error, error_size, "cannot sync the directory around %s: %s", path,
                  strerror (errno));
        return -1;
    }
    if (errno == EEXIST)
        return 0;
    if (errno == ENOENT)
        snprintf (error, error_size,
                  "cannot create %s: the directory that it would be in does not exist", path);
    else
        snprintf (error, error_size, "cannot create the directory %s: %s", path, strerror (errno));
    return -1;
}

/* BESIDE somebody who has it locked it stays so; if nobody has, the use becomes OFFLINE. */
static int s_lock (leat_lmdb_files_t *self, leat_lmdb_use_t *use, char *error, size_t error_size)
{
    if (flock (self->directory, LOCK_EX | LOCK_NB) == 0) {
        self->alone = true;
        if (*use == LEAT_LMDB_BESIDE)
            *use = LEAT_LMDB_OFFLINE;
        return 0;
    }
    if (errno != EWOULDBLOCK)
        snprintf (error, error_size, "cannot lock %s: %s", self->path, strerror (errno));
    else if (*use == LEAT_LMDB_BESIDE)
        return 0;
    else
        snprintf (
            error, error_size,
            *use == LEAT_LMDB_BROKER
                ? "%s is in use by another broker, or by `leat store`; each broker needs a "
                  "directory of its own"
                : "%s is in use by a broker; stop it first (beside it only `leat store backup` "
                  "works)",
            self->path);
    return -1;
}

static int s_open_directory (leat_lmdb_files_t *self, const leat_store_options_t *options,
                             leat_lmdb_use_t *use, char *error, size_t error_size)
{
    const char *path = self->path;
    if (*use == LEAT_LMDB_BROKER && s_make_directory (path, error, error_size))
        return -1;
    self->directory = open (path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (self->directory < 0) {
        snprintf (error, error_size, "cannot open the directory %s: %s", path, strerror (errno));
        return -1;
    }
    if (s_lock (self, use, error, error_size))
        return -1;
    if (!options->network_allowed && s_check_network (self->directory, path, error, error_size))
        return -1;
    if (*use == LEAT_LMDB_BROKER && faccessat (self->directory, ".", W_OK, 0)) {
        snprintf (error, error_size, "%s cannot be written to: %s", path, strerror (errno));
        return -1;
    }
    return 0;
}

/* ---- the file -------------------------------------------------------------------------------- */

/* What a meta page says; a page's header is 16 bytes, and this stands behind it (lmdb 0.9, mdb.c):
 *
 *       0  u32  0xBEEFC0DE         24  two tables of 48 bytes: of free pages, of rows;
 *       4  u32  version, 1             the first begins with u32 page size
 *       8  u64  address           120  u64  last page
 *      16  u64  map size          128  u64  transaction
 */
typedef struct {
    uint64_t page_size;
    uint64_t last_page;
    uint64_t transaction;
} meta_t;

static bool s_read_meta (int fd, uint64_t position, meta_t *meta, uint32_t *version)
{
    uint8_t bytes[META_SIZE];
    if (pread (fd, bytes, sizeof bytes, (off_t) position) != sizeof bytes
        || leat_get_u32 (bytes + 16) != 0xbeefc0de)
        return false;
    *version = leat_get_u32 (bytes + 20);
    meta->page_size = leat_get_u32 (bytes + 40);
    meta->last_page = leat_get_u64 (bytes + 136);
    meta->transaction = leat_get_u64 (bytes + 144);
    return true;
}

/* Looks at data.mdb before LMDB does, which would take the process down with SIGBUS. The newest meta
 * page tells how long the file should be. */
static int s_check_file (const leat_lmdb_files_t *self, int fd, meta_t *newest, uint64_t *size,
                         char *error, size_t error_size)
{
    struct stat status;
    meta_t metas[META_PAGES];
    uint32_t version;
    if (fstat (fd, &status)) {
        snprintf (error, error_size, "cannot look at %s/" LEAT_LMDB_DATA_NAME ": %s", self->path,
                  strerror (errno));
        return -1;
    }
    *size = (uint64_t) status.st_size;
    if (!s_read_meta (fd, 0, &metas[0], &version)) {
        snprintf (error, error_size,
                  "%s/" LEAT_LMDB_DATA_NAME
                  " is no store of Leat's: it is foreign, damaged or cut off; give "
                  "another directory, or restore a backup",
                  self->path);
        return -1;
    }
    uint64_t page_size = metas[0].page_size;
    if (version != LMDB_FORMAT) {
        snprintf (error, error_size,
                  "%s/" LEAT_LMDB_DATA_NAME
                  " was written by LMDB's format %u; this program reads format %d",
                  self->path, version, LMDB_FORMAT);
        return -1;
    }
    if (page_size < 512 || page_size > 65536 || (page_size & (page_size - 1))
        || !s_read_meta (fd, page_size, &metas[1], &version) || version != LMDB_FORMAT) {
        snprintf (error, error_size,
                  "%s/" LEAT_LMDB_DATA_NAME
                  " is damaged or cut off at its beginning; restore a backup",
                  self->path);
        return -1;
    }
    *newest = metas[metas[1].transaction > metas[0].transaction];
    newest->page_size = page_size;
    if (newest->last_page >= UINT64_MAX / page_size / 2) {
        snprintf (error, error_size,
                  "%s/" LEAT_LMDB_DATA_NAME " is damaged in its head; restore a backup",
                  self->path);
        return -1;
    }
    return 0;
}

/* Are all pages from `page` on free? LMDB never writes the last pages of a transaction that it gave up
 * again; any others that are missing were cut off. */
static bool s_all_free (const leat_lmdb_files_t *self, uint64_t page, uint64_t last_page)
{
    MDB_txn *txn;
    MDB_cursor *cursor;
    if (mdb_txn_begin (self->env, NULL, MDB_RDONLY, &txn))
        return false;
    uint64_t found = 0;
    if (mdb_cursor_open (txn, 0, &cursor) == 0) { /* 0 is the table of free pages */
        MDB_val key;
        MDB_val value;
        while (mdb_cursor_get (cursor, &key, &value, MDB_NEXT) == 0) {
            size_t count = value.mv_size / sizeof (size_t);
            const size_t *pages = value.mv_data; /* the first is how many follow */
            if (!count || pages[0] > count - 1)
                break;
            for (size_t i = 1; i <= pages[0]; i++)
                found += pages[i] >= page && pages[i] <= last_page;
        }
        mdb_cursor_close (cursor);
    }
    mdb_txn_abort (txn);
    return found == last_page - page + 1;
}

static int s_truncated (const leat_lmdb_files_t *self, uint64_t size, uint64_t wanted, char *error,
                        size_t error_size)
{
    snprintf (error, error_size,
              "%s/" LEAT_LMDB_DATA_NAME
              " is cut off: it has %llu bytes and should have %llu; restore a backup",
              self->path, (unsigned long long) size, (unsigned long long) wanted);
    return -1;
}

/* ---- the environment ------------------------------------------------------------------------- */

static int s_fail_open (const leat_lmdb_files_t *self, int code, char *error, size_t error_size)
{
    if (code == ENOMEM && self->map_size)
        snprintf (error, error_size,
                  "cannot map %llu bytes for %s: %s; allow less (the store's size_max), or more "
                  "address space (ulimit -v)",
                  (unsigned long long) self->map_size, self->path, leat_lmdb_text (code));
    else
        snprintf (error, error_size, "cannot open the store in %s: %s", self->path,
                  leat_lmdb_text (code));
    return -1;
}

static int s_open_env (leat_lmdb_files_t *self, const char *name, unsigned flags, char *error,
                       size_t error_size)
{
    size_t size = strlen (self->path) + strlen (name) + 2;
    char *file = leat_alloc (size);
    snprintf (file, size, "%s%s%s", self->path, *name ? "/" : "", name);
    int code = mdb_env_create (&self->env);
    if (!code && self->map_size) /* else what the file says */
        code = mdb_env_set_mapsize (self->env, self->map_size);
    if (!code)
        code = mdb_env_set_maxreaders (self->env, READERS_MAX);
    if (!code)
        code = mdb_env_open (self->env, file, flags | MDB_NOTLS, 0600);
    free (file);
    MDB_txn *txn = NULL;
    if (!code)
        code = mdb_txn_begin (self->env, NULL, MDB_RDONLY, &txn);
    if (!code) {
        code = mdb_dbi_open (txn, NULL, 0, &self->dbi);
        mdb_txn_abort (txn);
    }
    if (!code)
        return 0;
    if (self->env)
        mdb_env_close (self->env);
    self->env = NULL;
    return s_fail_open (self, code, error, error_size);
}

/* Writes the format into an environment that nothing was in. */
static int s_write_format (leat_lmdb_files_t *self)
{
    leat_value_t value;
    leat_key_t key = leat_key_meta (LEAT_META_FORMAT);
    leat_value_begin (&value);
    leat_value_put (&value, LEAT_LMDB_FORMAT, 4);
    leat_lmdb_rows_t rows;
    int code = leat_lmdb_rows_begin (&rows, self, true);
    if (code)
        return code;
    if (leat_rows_put (&rows.base, &key, &value))
        code = rows.code;
    if (!code)
        return leat_lmdb_rows_commit (&rows);
    leat_lmdb_rows_abort (&rows);
    return code;
}

int leat_lmdb_files_new (int directory, const char *path, char *error, size_t error_size)
{
    int fd = openat (directory, LEAT_LMDB_NEW_NAME, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (fd < 0)
        snprintf (error, error_size, "cannot create %s/" LEAT_LMDB_NEW_NAME ": %s", path,
                  strerror (errno));
    return fd;
}

int leat_lmdb_files_keep (int directory, const char *path, int fd, char *error, size_t error_size)
{
    if (fsync (fd) == 0
        && renameat (directory, LEAT_LMDB_NEW_NAME, directory, LEAT_LMDB_DATA_NAME) == 0
        && fsync (directory) == 0)
        return 0;
    snprintf (error, error_size, "cannot make %s/" LEAT_LMDB_DATA_NAME ": %s", path,
              strerror (errno));
    return -1;
}

/* A new file gets its name when it is whole and synced, so that a crash leaves either none or a sound
 * one. */
static int s_create (leat_lmdb_files_t *self, char *error, size_t error_size)
{
    int fd = leat_lmdb_files_new (self->directory, self->path, error, error_size);
    if (fd < 0)
        return -1;
    int code = s_open_env (self, LEAT_LMDB_NEW_NAME, MDB_NOSUBDIR | MDB_NOLOCK, error, error_size);
    if (!code && (code = s_write_format (self)))
        s_fail_open (self, code, error, error_size);
    if (self->env)
        mdb_env_close (self->env);
    self->env = NULL;
    if (!code)
        code = leat_lmdb_files_keep (self->directory, self->path, fd, error, error_size);
    close (fd);
    return code ? -1 : 0;
}

static int s_check_format (leat_lmdb_files_t *self, char *error, size_t error_size)
{
    leat_lmdb_rows_t rows;
    int code = leat_lmdb_rows_begin (&rows, self, false);
    if (code)
        return s_fail_open (self, code, error, error_size);
    leat_value_t value;
    leat_key_t key = leat_key_meta (LEAT_META_FORMAT);
    leat_rows_result_t result = leat_rows_get (&rows.base, &key, &value);
    leat_lmdb_rows_abort (&rows);
    if (result) {
        snprintf (error, error_size,
                  "%s/" LEAT_LMDB_DATA_NAME
                  " is a database, but no store of Leat's, or it is damaged; give "
                  "another directory, or restore a backup",
                  self->path);
        return -1;
    }
    unsigned format = (unsigned) leat_value_get (&value, 4);
    if (format == LEAT_LMDB_FORMAT)
        return 0;
    snprintf (error, error_size,
              "%s was written in format %u; this version of Leat reads format %d", self->path,
              format, LEAT_LMDB_FORMAT);
    return -1;
}

/* Opens data.mdb with whatever is missing at its end filled with zeros, and takes that back if
 * anything but free pages was missing. */
static int s_open_file (leat_lmdb_files_t *self, leat_lmdb_use_t use, char *error,
                        size_t error_size)
{
    bool writes = use != LEAT_LMDB_BESIDE;
    int fd =
        openat (self->directory, LEAT_LMDB_DATA_NAME, (writes ? O_RDWR : O_RDONLY) | O_CLOEXEC);
    if (fd < 0 && use == LEAT_LMDB_OFFLINE && (errno == EROFS || errno == EACCES)) {
        writes = false;
        fd = openat (self->directory, LEAT_LMDB_DATA_NAME, O_RDONLY | O_CLOEXEC);
    }
    if (fd < 0) {
        snprintf (error, error_size, "cannot open %s/" LEAT_LMDB_DATA_NAME ": %s", self->path,
                  strerror (errno));
        return -1;
    }
    meta_t meta = { 0 };
    uint64_t size = 0;
    int code = s_check_file (self, fd, &meta, &size, error, error_size);
    self->page_size = meta.page_size;
    uint64_t wanted = code ? 0 : (meta.last_page + 1) * meta.page_size;
    if (use == LEAT_LMDB_BESIDE || code)
        wanted = size; /* whoever has it open has looked */
    if (size < wanted && (!writes || ftruncate (fd, (off_t) wanted)))
        code = s_truncated (self, size, wanted, error, error_size);
    self->read_only = !writes;
    if (!code)
        code = s_open_env (self, "", writes ? 0 : MDB_RDONLY, error, error_size);
    if (!code && size < wanted && !s_all_free (self, size / meta.page_size, meta.last_page)) {
        mdb_env_close (self->env);
        self->env = NULL;
        code = s_truncated (self, size, wanted, error, error_size);
    }
    if (code && writes && wanted > size && ftruncate (fd, (off_t) size))
        code = -1; /* what was wrong has been said already */
    close (fd);
    return code;
}

static int s_open (leat_lmdb_files_t *self, const leat_store_options_t *options,
                   leat_lmdb_use_t use, char *error, size_t error_size)
{
    self->page_size = (uint64_t) sysconf (_SC_PAGESIZE);
    self->map_size = options->size_max ? options->size_max : DEFAULT_MAP_SIZE;
    self->map_size -= self->map_size % self->page_size;
    if (use != LEAT_LMDB_BROKER && !options->size_max)
        self->map_size = 0;
    if (use == LEAT_LMDB_BROKER && faccessat (self->directory, LEAT_LMDB_DATA_NAME, F_OK, 0)
        && errno == ENOENT && s_create (self, error, error_size))
        return -1;
    if (s_open_file (self, use, error, error_size))
        return -1;
    int dead;
    mdb_reader_check (self->env, &dead);
    MDB_envinfo info;
    mdb_env_info (self->env, &info);
    self->map_size = info.me_mapsize; /* larger if what is there does not fit */
    if (s_check_format (self, error, error_size) == 0)
        return 0;
    mdb_env_close (self->env);
    self->env = NULL;
    return -1;
}

static int s_open_journal (leat_lmdb_files_t *self, leat_lmdb_use_t use, char *error,
                           size_t error_size)
{
    leat_lmdb_journal_use_t journal = use == LEAT_LMDB_BROKER ? LEAT_LMDB_JOURNAL_MAKE
                                      : self->read_only       ? LEAT_LMDB_JOURNAL_READ
                                                              : LEAT_LMDB_JOURNAL_WRITE;
    return leat_lmdb_journal_open (&self->journal, self->directory, self->path, journal, error,
                                   error_size);
}

int leat_lmdb_files_open (leat_lmdb_files_t *self, const leat_store_options_t *options,
                          leat_lmdb_use_t use, char *error, size_t error_size)
{
    const char *path = options->path ? options->path : "";
    *self = (leat_lmdb_files_t){ .directory = -1, .journal = { .fd = -1 } };
    if (!*path) {
        snprintf (error, error_size, "the store needs a directory");
        return -1;
    }
    self->path = leat_copy_text (path, strlen (path));
    if (s_open_directory (self, options, &use, error, error_size) == 0
        && s_open (self, options, use, error, error_size) == 0
        && s_open_journal (self, use, error, error_size) == 0)
        return 0;
    leat_lmdb_files_close (self);
    return -1;
}

void leat_lmdb_files_close (leat_lmdb_files_t *self)
{
    if (self->env)
        mdb_env_close (self->env);
    self->env = NULL;
    leat_lmdb_journal_close (&self->journal);
    if (self->directory >= 0)
        close (self->directory);
    self->directory = -1;
    free (self->path);
    self->path = NULL;
}

int leat_lmdb_files_reopen (leat_lmdb_files_t *self, const leat_store_options_t *options,
                            char *error, size_t error_size)
{
    if (self->env)
        mdb_env_close (self->env);
    self->env = NULL;
    return s_open (self, options, LEAT_LMDB_BROKER, error, error_size);
}

int leat_lmdb_files_settle (leat_lmdb_files_t *self, char *error, size_t error_size)
{
    int fd;
    uint8_t *bytes = leat_alloc (META_PAGES * self->page_size);
    ssize_t size = (ssize_t) (META_PAGES * self->page_size);
    int code = mdb_env_get_fd (self->env, &fd) ? EINVAL : 0;
    errno = 0;
    if (!code
        && (pread (fd, bytes, (size_t) size, 0) != size
            || pwrite (fd, bytes, (size_t) size, 0) != size || fdatasync (fd)
            || fsync (self->directory)))
        code = errno ? errno : EIO;
    free (bytes);
    if (!code)
        return 0;
    snprintf (error, error_size, "cannot write and sync %s/" LEAT_LMDB_DATA_NAME ": %s", self->path,
              strerror (code));
    return -1;
}

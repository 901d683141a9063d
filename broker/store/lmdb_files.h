/* The directory of an LMDB store: who may use it, whether it is sound, and its environment.
 * SPDX-License-Identifier: MPL-2.0 */
#ifndef LEAT_BROKER_STORE_LMDB_FILES_H
#define LEAT_BROKER_STORE_LMDB_FILES_H

#include <lmdb.h>
#include <stdbool.h>
#include <stdint.h>

#include "broker/store/lmdb_journal.h"
#include "broker/store/store.h"

/*      DIR/data.mdb        everything
 *      DIR/lock.mdb        LMDB's: who reads what
 *      DIR/journal         commits that data.mdb does not have yet: lmdb_journal.h
 *      DIR/data.mdb.new    being made, or copied; not yet anything
 *
 * The directory itself is locked (flock) by whoever may change data.mdb. */

#define LEAT_LMDB_DATA_NAME "data.mdb"
#define LEAT_LMDB_NEW_NAME "data.mdb.new"
enum { LEAT_LMDB_FORMAT = 2 }; /* 1 had no journal */

typedef enum {
    LEAT_LMDB_BROKER,  /* creates what is missing, locks, writes */
    LEAT_LMDB_OFFLINE, /* must be there, locks, may write unless the filesystem is read-only */
    LEAT_LMDB_BESIDE   /* must be there, reads; as OFFLINE if nobody has it locked */
} leat_lmdb_use_t;

typedef struct {
    char *path;
    int directory; /* descriptor, locked unless somebody else is beside */
    MDB_env *env;
    MDB_dbi dbi;
    leat_lmdb_journal_t journal;
    bool alone; /* nobody else has the directory */
    bool read_only;
    uint64_t map_size;
    uint64_t page_size;
    const leat_store_observer_t *observer; /* of transactions that write; NULL: none */
} leat_lmdb_files_t;

/* 0, or -1 with a sentence and nothing to be closed. */
int leat_lmdb_files_open (leat_lmdb_files_t *self, const leat_store_options_t *options,
                          leat_lmdb_use_t use, char *error, size_t error_size);
void leat_lmdb_files_close (leat_lmdb_files_t *self);

/* Closes and opens the environment again, keeping the lock; for after a failed write. */
int leat_lmdb_files_reopen (leat_lmdb_files_t *self, const leat_store_options_t *options,
                            char *error, size_t error_size);

/* Writes what was read of the two meta pages once more, and syncs, the names in the directory, too: from here
 * on what is in memory is what is on the disk, also if a write had failed, or the process before this one was
 * killed between writing and syncing, or between giving a file its name and syncing that. 0, or -1 with a
 * sentence. */
int leat_lmdb_files_settle (leat_lmdb_files_t *self, char *error, size_t error_size);

/* Opens data.mdb.new anew, for a copy of the environment, and returns its descriptor; syncs it, once it is
 * whole, and gives it the name data.mdb, and returns 0. -1 with a sentence. */
int leat_lmdb_files_new (int directory, const char *path, char *error, size_t error_size);
int leat_lmdb_files_keep (int directory, const char *path, int fd, char *error, size_t error_size);

/* What LMDB or the system says of an error of LMDB's. */
const char *leat_lmdb_text (int code);

#endif

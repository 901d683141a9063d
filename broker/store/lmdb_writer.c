/* The thread that commits: everything that waits goes into one transaction.
 * SPDX-License-Identifier: MPL-2.0 */
#include "broker/store/lmdb.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "broker/store/lmdb_replay.h"
#include "broker/store/lmdb_space.h"
#include "wire/alloc.h"
#include "wire/assert.h"

/* The sync under way is the window in which commits gather; there is no timer.
 *
 *      take what waits -> attempt -> OK: tell
 *                            |       small: into the journal, tell, and leave the transaction open
 *                            |
 *                            +----> no space: abort; then without the commit that did not fit, up to it
 *                            |      first, so that exactly that one is refused
 *                            +----> anything else: nobody can tell what is on the disk; UNKNOWN, for this
 *                                   transaction and for everything behind it
 *
 * Small commits are synced by one write to the journal, where LMDB writes and syncs twice. The
 * transaction that has them stays open, takes more, and is committed when nothing has come for a moment, the journal
 * is full, the reader wants to see what is in it, or something larger comes.
 */
enum {
    ENTRIES_MAX = 1024, /* of one transaction */
    TRANSACTION_SIZE_MAX =
        64 * 1024 * 1024,    /* of bodies and operations; one commit may be larger */
    OPERATIONS_MAX = 100000, /* likewise */
    SWEEP_ROWS = 2000,       /* discarded rows that go in a transaction at least */
    SWEEP_SIZE = 16 * 1024 * 1024,
    ROW_OVERHEAD = 64,  /* key, headers of batch and node */
    FULL_LOOK_MS = 500, /* a full store looks so often whether somebody has made room on the disk */
    FILESYSTEM_ROOM = 1024 * 1024,
    OPEN_MS = 10,                   /* after the last commit an open transaction is committed */
    OPEN_OPERATIONS_MAX = 600,      /* of one that is open: each may change a page */
    OPEN_RESERVE = 4 * 1024 * 1024, /* room for these pages, without which none is left open */
};

typedef struct {
    bool refused;
    uint32_t chain;
} chain_t;

typedef struct {
    lmdb_t *store;
    leat_lmdb_rows_t rows;
    leat_apply_t *apply;
    lmdb_entry_t *entries[ENTRIES_MAX]; /* taken, not yet told */
    size_t count;
    chain_t chain;
    bool sweep_due;
    char failure[LMDB_REASON_SIZE]; /* not empty: nothing is confirmed any more */
    lmdb_space_t space;

    /* of the transaction that is tried */
    uint64_t planned; /* bytes that its batches take */
    uint64_t operations;
    bool open; /* it has commits that are told, and are in the journal */
} writer_t;

__attribute__ ((format (printf, 2, 3))) static void s_refuse (lmdb_entry_t *entry,
                                                              const char *format, ...)
{
    char text[LMDB_REASON_SIZE];
    va_list arguments;
    va_start (arguments, format);
    int size = vsnprintf (text, sizeof text, format, arguments);
    va_end (arguments);
    size_t length = size < 0 ? 0 : (size_t) size;
    free (entry->reason);
    entry->reason = leat_copy_text (text, length < sizeof text ? length : sizeof text - 1);
    entry->refused = true;
}

/* ---- taking ---------------------------------------------------------------------------------- */

/* What its batches cost, and whether all of them are dead letters. */
static void s_measure (const writer_t *self, lmdb_entry_t *entry)
{
    uint64_t page_size = self->store->files.page_size;
    uint64_t appends = 0;
    uint64_t moves = 0;
    leat_commit_walk_t walk;
    for (leat_commit_walk (&walk, entry->commit); walk.left;) {
        leat_operation_t operation;
        leat_commit_walk_next (&walk, &operation);
        moves += operation.id == LEAT_OPERATION_DEAD;
        if (operation.id != LEAT_OPERATION_APPEND)
            continue;
        appends++;
        /* Rows of half a page or more lie in pages of their own; the others fill half of theirs. */
        uint64_t size = operation.append.body.size + ROW_OVERHEAD;
        entry->append_cost +=
            size < page_size / 2 ? 2 * size : (size + page_size - 1) / page_size * page_size;
    }
    entry->moves_only = appends && appends == moves;
}

static void s_take (writer_t *self)
{
    uint64_t size = 0;
    uint64_t operations = 0;
    while (self->count < ENTRIES_MAX && size < TRANSACTION_SIZE_MAX
           && operations < OPERATIONS_MAX) {
        lmdb_entry_t *entry = leat_queue_take (&self->store->commits);
        if (!entry)
            break;
        s_measure (self, entry);
        size += leat_commit_size (entry->commit);
        operations += leat_commit_operations (entry->commit);
        self->entries[self->count++] = entry;
    }
}

/* ---- telling --------------------------------------------------------------------------------- */

static void s_tell (writer_t *self, lmdb_entry_t *entry)
{
    lmdb_t *store = self->store;
    switch (entry->result) {
    case LEAT_COMMIT_OK:
        atomic_fetch_add (&store->commits_ok, 1);
        atomic_fetch_add (&store->commit_bytes, leat_commit_size (entry->commit));
        break;
    case LEAT_COMMIT_REFUSED:
        atomic_fetch_add (&store->commits_refused, 1);
        break;
    case LEAT_COMMIT_UNKNOWN:
    case LEAT_COMMIT_FENCED:
        atomic_fetch_add (&store->commits_lost, 1);
        break;
    }
    leat_queue_push (&store->ended, entry); /* from here on it is the caller's */
}

/* Tells the first `count`, and keeps the others. */
static void s_tell_first (writer_t *self, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        lmdb_entry_t *entry = self->entries[i];
        entry->result = entry->refused ? LEAT_COMMIT_REFUSED : LEAT_COMMIT_OK;
        s_tell (self, entry);
    }
    self->count -= count;
    memmove (self->entries, self->entries + count, self->count * sizeof *self->entries);
    leat_bell_ring (&self->store->caller_bell);
}

static void s_tell_lost (writer_t *self)
{
    for (size_t i = 0; i < self->count; i++) {
        lmdb_entry_t *entry = self->entries[i];
        s_refuse (entry, "%s", self->failure);
        entry->result = LEAT_COMMIT_UNKNOWN;
        s_tell (self, entry);
    }
    self->count = 0;
    leat_bell_ring (&self->store->caller_bell);
}

/* ---- space ----------------------------------------------------------------------------------- */

/* `end` entries are about to be tried. */
static void s_look_at_space (writer_t *self, size_t end)
{
    lmdb_t *store = self->store;
    uint64_t planned = 0;
    for (size_t i = 0; i < end; i++)
        planned += self->entries[i]->refused ? 0 : self->entries[i]->append_cost;
    lmdb_space_look (&self->space, &self->rows, planned);
    uint64_t total = self->space.total;
    atomic_store (&store->total_size, total);
    atomic_store (&store->used_size, self->space.used < total ? self->space.used : total);
    atomic_store (&store->reserved, lmdb_space_full (&self->space));
}

/* What was refused for want of space would be refused again, and take along what is in its chain. */
static void s_be_full (writer_t *self, const lmdb_entry_t *entry)
{
    if (entry->moves_only || !entry->append_cost)
        return;
    lmdb_space_miss (&self->space, self->planned + entry->append_cost);
    atomic_store (&self->store->reserved, true);
}

/* Decides on a commit before anything of it is applied. */
static void s_check (writer_t *self, lmdb_entry_t *entry)
{
    const lmdb_t *store = self->store;
    const lmdb_space_t *space = &self->space;
    uint64_t size = leat_commit_size (entry->commit);
    uint64_t reserve = entry->moves_only ? space->reserve / 2 : space->reserve;
    uint64_t total = space->used + space->available;
    if (entry->refused)
        return;
    if (self->chain.refused && self->chain.chain == leat_commit_chain (entry->commit))
        s_refuse (entry, "a commit before it in its chain was refused");
    else if (size > store->commit_size_max)
        s_refuse (entry, "the commit has %llu bytes; the store takes at most %llu",
                  (unsigned long long) size, (unsigned long long) store->commit_size_max);
    else if (entry->append_cost
             && space->available < reserve + self->planned + entry->append_cost) {
        s_be_full (self, entry);
        s_refuse (
            entry,
            "the store in %s is full: %llu of %llu bytes are used, and %llu are kept for what "
            "frees space",
            store->files.path, (unsigned long long) space->used, (unsigned long long) total,
            (unsigned long long) reserve);
    }
}

/* ---- a transaction --------------------------------------------------------------------------- */

typedef enum {
    ATTEMPT_OK,
    ATTEMPT_AGAIN,  /* a commit was refused; what is tried next is decided */
    ATTEMPT_FULL,   /* no space: at self->entries[at], or, with at == end, at the end */
    ATTEMPT_FAILED, /* self->failure tells */
} attempt_t;

static void s_fail_at (writer_t *self, const char *what, const char *file, int code)
{
    snprintf (self->failure, sizeof self->failure,
              "%s %s/%s failed: %s; nothing more is confirmed until the store is opened again",
              what, self->store->files.path, file, leat_lmdb_text (code));
}

static void s_fail (writer_t *self, const char *what, int code)
{
    s_fail_at (self, what, LEAT_LMDB_DATA_NAME, code);
}

static attempt_t s_apply_entry (writer_t *self, lmdb_entry_t *entry)
{
    leat_commit_walk_t walk;
    for (leat_commit_walk (&walk, entry->commit); walk.left;) {
        leat_operation_t operation;
        leat_commit_walk_next (&walk, &operation);
        self->operations++;
        switch (leat_apply (self->apply, &operation)) {
        case LEAT_APPLY_OK:
            continue;
        case LEAT_APPLY_REFUSED:
            s_refuse (entry, "%s", leat_apply_reason (self->apply));
            return ATTEMPT_AGAIN;
        case LEAT_APPLY_FULL:
            return ATTEMPT_FULL;
        case LEAT_APPLY_DAMAGED:
            snprintf (self->failure, sizeof self->failure, "the store in %s: %s",
                      self->store->files.path, leat_apply_reason (self->apply));
            return ATTEMPT_FAILED;
        case LEAT_APPLY_FAILED:
            s_fail (self, "changing rows of", self->rows.code);
            return ATTEMPT_FAILED;
        }
    }
    return ATTEMPT_OK;
}

/* Applies entries up to `end`. *at tells where it ended. */
static attempt_t s_apply_entries (writer_t *self, size_t end, size_t *at)
{
    for (*at = 0; *at < end; ++*at) {
        lmdb_entry_t *entry = self->entries[*at];
        s_check (self, entry);
        if (entry->refused || self->chain.chain != leat_commit_chain (entry->commit))
            self->chain = (chain_t){ entry->refused, leat_commit_chain (entry->commit) };
        if (entry->refused)
            continue;
        attempt_t result = s_apply_entry (self, entry);
        if (result != ATTEMPT_OK)
            return result;
        self->planned += entry->append_cost;
    }
    return ATTEMPT_OK;
}

/* Puts what was gathered, and removes some of what was discarded. */
static attempt_t s_finish (writer_t *self, bool sweep)
{
    leat_apply_result_t finished = leat_apply_finish (self->apply);
    if (finished == LEAT_APPLY_FULL)
        return ATTEMPT_FULL;
    if (finished) {
        s_fail (self, "changing rows of", finished == LEAT_APPLY_FAILED ? self->rows.code : EIO);
        return ATTEMPT_FAILED;
    }
    if (!sweep)
        return ATTEMPT_OK;
    unsigned rows = SWEEP_ROWS + 2 * (unsigned) self->operations;
    switch (leat_lmdb_rows_sweep (&self->rows, rows, SWEEP_SIZE + 2 * self->planned,
                                  &self->sweep_due)) {
    case LEAT_ROWS_OK:
        return ATTEMPT_OK;
    case LEAT_ROWS_FULL:
        return ATTEMPT_FULL;
    default:
        s_fail (self, "removing rows of", self->rows.code);
        return ATTEMPT_FAILED;
    }
}

/* Was the newest meta page written, or half of it? If not, the transaction is certainly absent. */
static bool s_is_fatal (const writer_t *self)
{
    MDB_txn *txn;
    int code = mdb_txn_begin (self->store->files.env, NULL, 0, &txn);
    if (!code)
        mdb_txn_abort (txn);
    return code != 0;
}

/* All that was told is in LMDB, and may be seen. */
static void s_caught_up (writer_t *self)
{
    lmdb_t *store = self->store;
    self->open = false;
    atomic_store (&store->catch_up, false);
    /* In this order: a reader that counts transactions first, and then finds that it is behind, sees one more. */
    bool behind = atomic_exchange (&store->behind, false);
    atomic_fetch_add (&store->transactions, 1);
    if (behind)
        leat_bell_ring (&store->reader_bell);
}

static attempt_t s_end_transaction (writer_t *self)
{
    uint64_t used = leat_lmdb_rows_used (&self->rows);
    errno = 0;
    int code = leat_lmdb_rows_commit (&self->rows);
    int reason = errno;
    if (!code) {
        atomic_store (&self->store->used_size, used);
        leat_apply_committed (self->apply);
        s_caught_up (self);
        return ATTEMPT_OK;
    }
    /* LMDB calls a write that was cut short EIO, also if it was for want of space; then no call has said
     * EIO, as a sync that fails does. */
    bool full = leat_lmdb_is_full (code)
                || (code == EIO && reason != EIO
                    && lmdb_space_free (&self->space) < self->planned + FILESYSTEM_ROOM);
    if (full && !s_is_fatal (self))
        return ATTEMPT_FULL;
    s_fail (self, "writing and syncing", code);
    return ATTEMPT_FAILED;
}

/* Whether the entries up to `end`, which are applied, may go to the journal. A transaction that is left open must
 * never fail for want of space: so it takes nothing that the blocks that are owned may have no room for. */
static bool s_is_small (const writer_t *self, size_t end)
{
    const lmdb_t *store = self->store;
    const lmdb_space_t *space = &self->space;
    size_t size = 0;
    size_t count = 0;
    for (size_t i = 0; i < end; i++)
        if (!self->entries[i]->refused) {
            size += leat_commit_size (self->entries[i]->commit);
            count++;
        }
    return count && leat_lmdb_journal_fits (&store->files.journal, size, count)
           && self->operations <= OPEN_OPERATIONS_MAX && !atomic_load (&store->catch_up)
           && !space->shared && space->reserve >= OPEN_RESERVE && !lmdb_space_full (space);
}

/* Writes them there, and leaves the transaction open. */
static attempt_t s_journal (writer_t *self, size_t end)
{
    leat_lmdb_journal_t *journal = &self->store->files.journal;
    for (size_t i = 0; i < end; i++)
        if (!self->entries[i]->refused)
            leat_lmdb_journal_add (journal, self->entries[i]->commit);
    int code = leat_lmdb_journal_write (journal);
    if (code) {
        s_fail_at (self, "writing and syncing", LEAT_LMDB_JOURNAL_NAME, code);
        return ATTEMPT_FAILED;
    }
    leat_apply_committed (self->apply);
    atomic_fetch_add (&self->store->journal_writes, 1);
    self->open = true;
    atomic_store (&self->store->behind, true);
    return ATTEMPT_OK;
}

/* The transaction is gone, and what it had that was told is taken from the journal again. */
static attempt_t s_undone (writer_t *self, attempt_t result)
{
    leat_apply_forget (self->apply);
    if (!self->open || result == ATTEMPT_FAILED)
        return result;
    if (leat_lmdb_replay (&self->store->files, self->failure, sizeof self->failure))
        return ATTEMPT_FAILED;
    s_caught_up (self);
    return result;
}

static attempt_t s_begin (writer_t *self, size_t end)
{
    self->planned = 0;
    self->operations = 0;
    int code = leat_lmdb_rows_begin (&self->rows, &self->store->files, true);
    if (code) {
        s_fail (self, "changing", code);
        return ATTEMPT_FAILED;
    }
    leat_lmdb_journal_begin (&self->store->files.journal, self->store->journal_key,
                             mdb_txn_id (self->rows.txn));
    s_look_at_space (self, end);
    return ATTEMPT_OK;
}

/* Tries the entries up to `end` in one transaction, or in the one that is open. */
static attempt_t s_attempt (writer_t *self, size_t end, bool sweep, size_t *at)
{
    *at = end;
    if (!self->open && s_begin (self, end))
        return ATTEMPT_FAILED;
    attempt_t result = s_apply_entries (self, end, at);
    if (result == ATTEMPT_OK) {
        bool small = s_is_small (self, end);
        result = s_finish (self, sweep && !small);
        if (result == ATTEMPT_OK && small)
            result = s_journal (self, end);
        else if (result == ATTEMPT_OK) {
            result = s_end_transaction (self);
            return result ? s_undone (self, result) : ATTEMPT_OK;
        }
        if (result == ATTEMPT_OK)
            return ATTEMPT_OK;
    }
    leat_lmdb_rows_abort (&self->rows);
    return s_undone (self, result);
}

/* How many of the first `end` entries are not refused; *last is the last of them. */
static size_t s_wanted (const writer_t *self, size_t end, size_t *last)
{
    size_t wanted = 0;
    for (size_t i = 0; i < end; i++)
        if (!self->entries[i]->refused) {
            *last = i;
            wanted++;
        }
    return wanted;
}

/* There was no space at `at` for the entries up to `end`: refuses a commit, or returns how many to try. */
static size_t s_after_full (writer_t *self, size_t at, size_t end)
{
    size_t last = 0;
    size_t reach = at < end ? at + 1 : end;
    size_t wanted = s_wanted (self, reach, &last);
    if (wanted > 1)
        return at < end ? at : (last + 1) / 2; /* those before it, or half of them */
    leat_assert (wanted == 1);
    s_be_full (self, self->entries[last]);
    s_refuse (self->entries[last], "the store in %s has no space for the commit's %zu bytes",
              self->store->files.path, leat_commit_size (self->entries[last]->commit));
    return end;
}

/* Nothing that was told is lost by it: it is in LMDB, or in the journal. */
static void s_give_up (writer_t *self)
{
    self->open = false;
    atomic_store (&self->store->writer_failed, true);
    leat_bell_ring (&self->store->reader_bell);
}

/* Commits a transaction that is open; removes discarded rows, too. */
static void s_sweep (writer_t *self)
{
    size_t at;
    switch (s_attempt (self, 0, true, &at)) {
    case ATTEMPT_OK:
    case ATTEMPT_AGAIN:
        break;
    case ATTEMPT_FULL:
        self->sweep_due = false; /* until the next transaction */
        break;
    case ATTEMPT_FAILED:
        s_give_up (self);
        break;
    }
}

/* Whether entries that are still to be looked at fit into the open transaction; it was begun without them
 * in mind. */
static bool s_has_room (const writer_t *self, size_t end)
{
    uint64_t cost = self->space.reserve + self->planned;
    for (size_t i = 0; i < end; i++)
        cost += self->entries[i]->append_cost;
    return cost <= self->space.available;
}

/* Tries until everything that was taken is told. */
static void s_transact (writer_t *self)
{
    size_t end = self->count;
    bool sweep = true;
    while (self->count) {
        size_t at = 0;
        size_t last;
        chain_t chain = self->chain;
        if (self->open && !s_has_room (self, end))
            s_sweep (self);
        attempt_t result = *self->failure ? ATTEMPT_FAILED : s_attempt (self, end, sweep, &at);
        if (result == ATTEMPT_FAILED) {
            s_give_up (self);
            s_tell_lost (self);
            return;
        }
        if (result == ATTEMPT_OK) {
            s_tell_first (self, end);
            end = self->count;
            sweep = true;
            continue;
        }
        self->chain = chain;
        if (result == ATTEMPT_AGAIN)
            continue;
        if (at == end && (sweep || !s_wanted (self, end, &last)))
            sweep = false;
        else
            end = s_after_full (self, at, end);
    }
}

/* Waits for more, and commits the open transaction if there is none. */
static void s_wait_open (writer_t *self)
{
    lmdb_t *store = self->store;
    leat_bell_arm (&store->writer_bell);
    if (leat_queue_empty (&store->commits) && !atomic_load (&store->stopping)
        && !atomic_load (&store->catch_up))
        leat_bell_wait (&store->writer_bell, OPEN_MS);
    leat_bell_disarm (&store->writer_bell);
    if (leat_queue_empty (&store->commits))
        s_sweep (self);
}

/* Waits until there is something to do. A full store gets no commits that bring records, and maybe none at
 * all: so it looks by itself. */
static void s_wait (writer_t *self)
{
    lmdb_t *store = self->store;
    bool full = atomic_load (&store->reserved) && !*self->failure;
    leat_bell_arm (&store->writer_bell);
    if (leat_queue_empty (&store->commits) && !atomic_load (&store->stopping))
        leat_bell_wait (&store->writer_bell, full ? FULL_LOOK_MS : -1);
    leat_bell_disarm (&store->writer_bell);
    if (!full || !leat_queue_empty (&store->commits)
        || leat_lmdb_rows_begin (&self->rows, &store->files, true))
        return;
    s_look_at_space (self, 0);
    leat_lmdb_rows_abort (&self->rows);
}

void *lmdb_writer_main (void *arg)
{
    lmdb_t *store = arg;
    writer_t *self = leat_alloc (sizeof *self);
    self->store = store;
    self->apply = leat_apply_new (&self->rows.base);
    self->sweep_due = true;
    lmdb_space_begin (&self->space, &store->files, store->options.reserve_size);
    while (!atomic_load (&store->stopping)) {
        s_take (self);
        if (self->count && *self->failure)
            s_tell_lost (self);
        else if (self->count)
            s_transact (self);
        else if (self->open)
            s_wait_open (self);
        else if (self->sweep_due && !*self->failure)
            s_sweep (self);
        else
            s_wait (self);
    }
    if (self->open)
        s_sweep (self);
    leat_apply_destroy (&self->apply);
    free (self);
    return NULL;
}

/* Where the broker keeps commits: one interface, one engine for each kind of store.
 * SPDX-License-Identifier: MPL-2.0 */
#ifndef LEAT_BROKER_STORE_STORE_H
#define LEAT_BROKER_STORE_STORE_H

#include "wire/batch.h"
#include "wire/commit.h"

/*      open ---> acquire ---> recover ---> submit, read, poll ... ---> release ---> close
 *                   ^                                |
 *                   +---- UNKNOWN or FENCED: the ----+
 *                         core's state is discarded
 *
 * Every engine guarantees:
 *
 *  1. A commit is applied whole or not at all.
 *  2. Commits are applied in the order of submission, and each that was submitted completes exactly
 *     once, in that order. release and close end what is under way without an event.
 *  3. OK means that the commit is as durable as the streams in it ask for. REFUSED means that it
 *     is certainly absent, now and after any restart. UNKNOWN means that nobody can tell; FENCED that
 *     another holder has acquired the store. After UNKNOWN or FENCED every later commit ends
 *     with the same result until the store is acquired again.
 *  4. Once a commit is REFUSED, every later one of the same chain (leat_commit_chain) is REFUSED too,
 *     so that nothing is kept over a hole. A new chain begins with a clean slate.
 *  5. A commit larger than leat_store_commit_size_max is REFUSED.
 *  6. acquire gives an incarnation larger than any that this store gave before, and not smaller than
 *     the wall clock that it is told. An engine that does not `recover` knows only of those since
 *     open; for those before it relies on the clock.
 *  7. After close and open, recover gives the state that all commits ended OK lead to, and no trace
 *     of a REFUSED one; an engine that does not `recover` gives nothing.
 *  8. Bodies are held by reference from submit until the event of the commit was polled, no longer.
 *  9. No call blocks on a disk but open, acquire, recover, release and close. submit, read, poll,
 *     sleep, space and stats may be called from a loop that must not wait.
 *
 * One thread calls all functions of a store. Engines may have threads of their own. */

typedef struct leat_store leat_store_t;

/* What an engine of rows does to them, for whoever measures what a load costs the database below when
 * nothing else is done: `leat bench durable` notes the calls and plays them to LMDB alone. Nothing in a
 * broker needs it. The functions run within the transaction, in whichever thread has it, one at a
 * time; they must leave errno alone and take their time from the commit. Rows of a transaction that is given up
 * were not put and not removed. */
typedef struct {
    void (*begin) (void *arg); /* a transaction that may write */
    void (*put) (void *arg, const void *key, size_t key_size, size_t value_size);
    void (*removed) (void *arg, const void *key, size_t key_size);
    void (*end) (void *arg, bool committed); /* after the sync */
    void *arg;
} leat_store_observer_t;

typedef struct {
    const char *path;         /* directory of the data; NULL for engines that keep none */
    uint64_t commit_size_max; /* largest commit in encoded bytes; 0 lets the engine choose */
    uint64_t size_max;        /* bytes that the store may take; 0 lets the engine choose */
    uint64_t reserve_size;    /* of these, kept for what frees space; 0 lets the engine choose */
    bool network_allowed;     /* take a directory on a network filesystem, at the user's risk */
    const leat_store_observer_t *observer; /* NULL: none. Outlives the store; of lmdb only */
} leat_store_options_t;

typedef enum {
    LEAT_STORE_COMMITTED, /* a commit has ended */
    LEAT_STORE_READ,      /* a read has ended, or gives one batch */
    LEAT_STORE_LOOKED     /* a look has ended, or gives one header */
} leat_store_event_kind_t;

typedef struct {
    leat_store_event_kind_t kind;
    uint64_t id;                 /* of the commit, or the token of the read */
    leat_commit_result_t result; /* COMMITTED */
    const char
        *reason;      /* a sentence if the result is not OK; or STORE_FAILED; until the next poll */
    leat_code_t code; /* READ: see leat_store_read; LOOKED: leat_store_look */
    leat_batch_t batch;  /* of these: first, count, attributes, crc32c, time_ms; see there */
    leat_buffer_t *body; /* READ and OK: the batch's body; the caller releases it */
    uint64_t size;       /* LOOKED and OK: bytes of that body */
    bool last;           /* nothing more comes for this token */
} leat_store_event_t;

typedef struct {
    uint64_t used_size; /* bytes that the store takes now */
    uint64_t
        total_size; /* bytes that it could take; 0 if nothing but the broker's limits bounds it */
    bool
        reserved; /* below the reserve, or one was refused and would be again: commits that append are
                     * REFUSED, or are soon */
} leat_store_space_t;

typedef struct {
    uint64_t commits;         /* ended OK */
    uint64_t commits_refused; /* ended REFUSED */
    uint64_t commits_lost;    /* ended UNKNOWN or FENCED */
    uint64_t commit_bytes;    /* encoded bytes of those ended OK */
    uint64_t transactions;    /* into which the engine grouped them */
    uint64_t journal_writes;  /* small groups that were synced ahead of their transaction */
    uint64_t reads;
} leat_store_stats_t;

/* Takes a commit that recovery found; false ends the recovery with an error. The buffer is
 * borrowed. */
typedef bool (leat_store_recover_fn) (void *arg, leat_buffer_t *commit);

/* What an engine implements. `store` is what its open returned; leat_store_t begins every engine's
 * own structure. Calls are as explained at the functions below, which check their order and then
 * call these. Functions that return int give 0, or -1 with a sentence in error. */
typedef struct leat_store_engine {
    const char *name;
    bool recovers; /* commits survive the end of the process */
    bool durable;  /* and, in `sync` streams, a power cut */
    bool reads;    /* leat_store_read and leat_store_look work */

    leat_store_t *(*open) (const leat_store_options_t *options, char *error, size_t error_size);
    void (*close) (leat_store_t *store);
    int (*acquire) (leat_store_t *store, uint64_t wall_ms, uint64_t *incarnation, char *error,
                    size_t error_size);
    int (*recover) (leat_store_t *store, leat_store_recover_fn *fn, void *arg, char *error,
                    size_t error_size);
    void (*release) (leat_store_t *store, uint64_t incarnation);
    void (*submit) (leat_store_t *store, leat_commit_t *commit);
    void (*read) (leat_store_t *store, uint32_t stream, uint64_t offset, uint64_t size,
                  uint64_t token);
    void (*look) (leat_store_t *store, uint32_t stream, uint64_t offset, uint32_t count,
                  uint64_t token);
    bool (*poll) (leat_store_t *store, leat_store_event_t *event);
    bool (*sleep) (leat_store_t *store);
    int (*fd) (const leat_store_t *store);
    uint64_t (*commit_size_max) (const leat_store_t *store);
    void (*space) (const leat_store_t *store, leat_store_space_t *space);
    void (*stats) (const leat_store_t *store, leat_store_stats_t *stats);
} leat_store_engine_t;

/* Keeps nothing: records live in the core. Completes inside submit; its incarnation is the wall
 * clock. No recovery, no reads. */
extern const leat_store_engine_t leat_store_memory;

/* Keeps everything in a directory, by LMDB; docs/store.md tells what lies where and what is synced
 * when. Commits and reads have a thread each. Recovery states an EXTENT for each stream and no APPEND.
 *
 *  - Of a stream with durability `memory` its name, settings, groups and RESERVED are kept; a commit that
 *    appends to it is REFUSED. What else there is of it the core does not hand over.
 *  - `async` streams are kept as `sync` ones are: OK comes when the transaction is synced, and that is not put
 *    off. That their records are confirmed before is the core's doing.
 *  - Below the reserve (map pages, and blocks that are allocated for the file) commits that append are
 *    REFUSED at once; those whose appends are all copies of their DEADs are taken down to half of it.
 *  - When a write or sync fails, that transaction and all commits after it end UNKNOWN. */
extern const leat_store_engine_t leat_store_lmdb;

/* What every engine's own structure begins with; only engines and store.c look inside. */
struct leat_store {
    const leat_store_engine_t *engine;
    bool acquired;
    bool recovered;
    uint64_t last_commit; /* id of the newest that was submitted */
};

/* Opens a store, creating it if need be, without touching what it holds. NULL with a sentence in
 * `error` if that cannot be: what was wrong and what would be right. */
leat_store_t *leat_store_open (const leat_store_engine_t *engine,
                               const leat_store_options_t *options, char *error, size_t error_size);

/* Closes it; releases it first if need be. */
void leat_store_close (leat_store_t **self_p);

const leat_store_engine_t *leat_store_engine (const leat_store_t *self);

/* Makes the caller the only holder: whoever held the store before gets FENCED from now on. May be
 * called again, after UNKNOWN or FENCED; what was under way then ends without an event. `wall_ms` is
 * milliseconds since 1970 UTC. 0, or -1 with a sentence. */
int leat_store_acquire (leat_store_t *self, uint64_t wall_ms, uint64_t *incarnation, char *error,
                        size_t error_size);

/* To be called once after each acquire, before anything is submitted: calls fn for encoded commits
 * that lead to the state of the store, in order. They need not be those that were submitted: an
 * engine may state the same with fewer. 0, or -1 with a sentence: what is damaged, or that fn said
 * no. */
int leat_store_recover (leat_store_t *self, leat_store_recover_fn *fn, void *arg, char *error,
                        size_t error_size);

/* Gives the store back in order. `incarnation` is what leat_core_incarnation has reached; the next
 * acquire gives a larger one. */
void leat_store_release (leat_store_t *self, uint64_t incarnation);

/* Hands a commit over; takes and nulls it. Ids grow by 1 from one to the next. */
void leat_store_submit (leat_store_t *self, leat_commit_t **commit_p);

/* Asks for the batch that holds `offset` of stream number `stream`, or, if that is not there (any
 * more), the next one behind it; and for those behind that until they cost `size` (leat_batch_cost):
 * with 1 it is one batch. Each is an event with `token`, in order; the last one says so. Several reads
 * may be under way; they are answered in the order in which they were asked for, each from one state
 * of the store, in which is what was committed when it was asked for.
 *
 *      OK              `batch` and `body`; batch.first + batch.count is larger than what came before,
 *                      and batch.first may be larger than `offset` if what was asked for is gone.
 *                      batch.count is 0 and body NULL if nothing is held from there on; then
 *                      batch.first is the offset up to which this answer knows.
 *      NO_SUCH_STREAM  the store does not know the stream
 *      DAMAGED         the batch is there and its bytes are wrong: batch.first and batch.count tell
 *                      which records are lost. Where the damage hides how many they are, they reach
 *                      to the next batch, or to the end. It is the last answer; go on at batch.first +
 *                      batch.count.
 *      STORE_FAILED    the store cannot be read, and nothing is known of the records; `reason` says
 *                      why. It is the last answer.
 *
 * False, and nothing happens, if the engine does not read. */
bool leat_store_read (leat_store_t *self, uint32_t stream, uint64_t offset, uint64_t size,
                      uint64_t token);

/* As leat_store_read, but for headers alone, of at most `count` batches (at least 1), and without a look
 * at their bodies: how old batches are and what they take costs a fraction of reading them. */
bool leat_store_look (leat_store_t *self, uint32_t stream, uint64_t offset, uint32_t count,
                      uint64_t token);

/* Takes the oldest event out, or returns false. */
bool leat_store_poll (leat_store_t *self, leat_store_event_t *event);

/* To be called before the caller sleeps on leat_store_fd: from then on the engine wakes it. False
 * if events wait, so that it must not sleep. leat_store_poll ends the wish to be woken. So a busy
 * caller costs the engine no system call. */
bool leat_store_sleep (leat_store_t *self);

/* Readable when events have come since leat_store_sleep; -1 if the engine completes inside submit
 * and never needs to wake anybody. */
int leat_store_fd (const leat_store_t *self);

uint64_t leat_store_commit_size_max (const leat_store_t *self);
void leat_store_space (const leat_store_t *self, leat_store_space_t *space);
void leat_store_stats (const leat_store_t *self, leat_store_stats_t *stats);

#endif

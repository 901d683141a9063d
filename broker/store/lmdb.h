/* The LMDB engine's own structure, and its two threads. Private to broker/store/lmdb*.c.
 * SPDX-License-Identifier: MPL-2.0 */
#ifndef LEAT_BROKER_STORE_LMDB_H
#define LEAT_BROKER_STORE_LMDB_H

#include <pthread.h>
#include <stdatomic.h>

#include "broker/store/apply.h"
#include "broker/store/handover.h"
#include "broker/store/lmdb_files.h"
#include "broker/store/lmdb_rows.h"
#include "broker/store/store.h"

/*      caller's thread           writer                     reader
 *
 *      submit ----- commits ---> a transaction
 *      poll  <----- ended ------ its commits, in order
 *      read ------- reads ------------------------------->  a short transaction each
 *      poll  <----- answers ------------------------------  in order, one for each batch
 *
 * The threads run from recover to the next acquire, release or close. */

/* A commit on its way there and back. */
typedef struct {
    leat_commit_t *commit;
    leat_commit_result_t result;
    char *reason;         /* of its own; NULL if OK */
    uint64_t append_cost; /* about the bytes of pages that its batches take */
    bool moves_only;      /* each batch is the copy of a DEAD in the same commit */
    bool refused;         /* decided, with its reason */
    bool told;            /* its event is in `ended` already */
} lmdb_entry_t;

/* A read or a look, and each of its answers. */
typedef struct {
    bool looks; /* for headers alone */
    uint32_t stream;
    uint64_t offset; /* of what comes next */
    uint64_t size;   /* that is still wanted; or so many headers */
    uint64_t token;
    leat_code_t code;
    int error; /* with STORE_FAILED */
    leat_batch_t batch;
    leat_buffer_t *body;
    uint64_t body_size;
    bool last;
} lmdb_read_t;

enum { LMDB_REASON_SIZE = 512 };

typedef struct {
    leat_store_t base; /* first */
    leat_store_options_t options;
    leat_lmdb_files_t files;
    uint64_t commit_size_max;
    uint64_t journal_key; /* while the threads run */

    leat_queue_t commits;
    leat_queue_t ended;
    leat_queue_t reads;
    leat_queue_t answers;
    leat_bell_t caller_bell;
    leat_bell_t writer_bell;
    leat_bell_t reader_bell;
    pthread_t writer;
    pthread_t reader;
    bool running;
    atomic_bool stopping;
    lmdb_entry_t *told; /* the one polled last, whose reason is still valid */
    bool failed;        /* as the caller knows */
    uint64_t read_count;

    /* what the writer tells of itself */
    _Atomic uint64_t used_size;
    _Atomic uint64_t total_size;
    atomic_bool reserved;
    _Atomic uint64_t commits_ok;
    _Atomic uint64_t commits_refused;
    _Atomic uint64_t commits_lost;
    _Atomic uint64_t commit_bytes;
    _Atomic uint64_t transactions;
    _Atomic uint64_t journal_writes;
    atomic_bool writer_failed;

    /* Commits that ended OK may be in the journal alone; the reader sees them after the next transaction. */
    atomic_bool behind;
    atomic_bool catch_up; /* the reader waits for that */
} lmdb_t;

void *lmdb_writer_main (void *arg);
void *lmdb_reader_main (void *arg);

void lmdb_entry_free (lmdb_entry_t *entry);

#endif

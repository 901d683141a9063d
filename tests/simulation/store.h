/* A store that is late, refuses, fails, and keeps some prefix when the broker dies.
 * SPDX-License-Identifier: MPL-2.0 */
#ifndef LEAT_SIMULATION_STORE_H
#define LEAT_SIMULATION_STORE_H

#include "tests/simulation/simulation.h"

#include <bsd/sys/queue.h>

typedef struct sim_commit {
    STAILQ_ENTRY (sim_commit) link;
    uint64_t id;
    uint64_t due_us;
    leat_buffer_t *bytes;
    leat_commit_result_t result;
    bool kept; /* of one that ends UNKNOWN: it is there */
} sim_commit_t;

/* A batch that is there. */
typedef struct {
    uint32_t stream;
    leat_batch_t header; /* first, count, attributes, crc32c, time_ms */
    leat_buffer_t *body;
} sim_kept_t;

typedef struct sim_read {
    STAILQ_ENTRY (sim_read) link;
    leat_core_read_t read;
    uint64_t end; /* of the stream when it was asked for */
    uint64_t due_us;
} sim_read_t;

struct sim_store {
    sim_kept_t *kept; /* by stream in the order of their offsets */
    size_t kept_count;
    size_t kept_room;
    uint64_t *ends; /* by stream: behind everything that it has had */
    size_t end_count;
    STAILQ_HEAD (, sim_read) reads;
    STAILQ_HEAD (, sim_commit) pending;
    leat_buffer_t **log; /* what is there, oldest first */
    size_t log_count;
    size_t log_room;
    uint64_t full_until_us; /* takes no records until then, but dead letters */
    uint64_t last_us;       /* when the youngest pending one completes */
    bool chain_refused;     /* everything of refused_chain is refused */
    uint32_t refused_chain;
    bool failed; /* every commit ends with the failure until it is acquired again */
    leat_commit_result_t failure;
    uint64_t commit_size_max; /* 0: any */
    uint64_t refused_us;      /* when the last refusal was told; 0: never */
};

sim_store_t *sim_store_new (void);
void sim_store_destroy (sim_store_t **self_p);

/* Keeps a commit that no broker has made; the bytes are borrowed. */
void sim_store_put (sim_t *sim, leat_buffer_t *bytes);

/* Takes a commit. */
void sim_store_submit (sim_t *sim, leat_commit_t *commit);

/* It refuses records, and says so. */
bool sim_store_full (const sim_t *sim);

/* What waits takes it longer than commits commonly do. */
bool sim_store_is_late (const sim_t *sim);

/* When the next one completes. */
uint64_t sim_store_due (const sim_store_t *self);

/* Completes the oldest one if it is due: keeps it if its result says so, tells the model, and returns
 * true with id and result. */
bool sim_store_next (sim_t *sim, uint64_t *id, leat_commit_result_t *result);

/* Takes a read; when it is due its batches are handed to the core. */
void sim_store_read (sim_t *sim, const leat_core_read_t *read);
void sim_store_answer_reads (sim_t *sim, leat_core_t *core);

/* Commit number `index` of the log as a store that reads back states it: EXTENTs, no APPEND and no
 * TRIM. The caller releases it. */
leat_buffer_t *sim_store_without_records (const sim_store_t *self, size_t index);

/* The broker is gone: some of what was under way is there, none of what comes after it. */
void sim_store_crash (sim_t *sim);

/* True if records for that stream are under way to the store. */
bool sim_store_appends (sim_t *sim, uint32_t stream);

/* Everything is lost. */
void sim_store_empty (sim_t *sim);

#endif

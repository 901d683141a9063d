/* What `leat bench durable` measures: a durable stream, and what the disk does for LMDB alone and for a
 * plain file.
 * SPDX-License-Identifier: MPL-2.0 */
#ifndef LEAT_BENCH_DURABLE_ROUND_H
#define LEAT_BENCH_DURABLE_ROUND_H

#include "bench/contenders.h"
#include "bench/folder.h"
#include "bench/processes.h"

/* lmdb   the transactions of Leat's round, replayed; one at a time a transaction with a row
 * file   as many bytes, written and synced by the MiB; one at a time a block
 * They have no roles, and need a round of Leat's. */
extern const leat_bench_contender_t leat_bench_lmdb;
extern const leat_bench_contender_t leat_bench_file;

/* As leat_bench_contenders, with durable streams. */
extern const leat_bench_contender_t *const leat_bench_durable_contenders[];

/* Blocks that `file` writes and syncs at a time. */
enum { LEAT_BENCH_FILE_MANY = 1024 * 1024, LEAT_BENCH_FILE_SINGLE = 4096 };

/* Records go from a producer through a broker to a consumer, all confirmed and settled; LMDB replays the
 * transactions of that, and a file takes as many bytes. The index is a contender's of the run. */
typedef struct {
    uint64_t records[LEAT_BENCH_CONTENDERS_MAX];
    uint64_t elapsed_ns[LEAT_BENCH_CONTENDERS_MAX];
    /* User and system time; that of lmdb and file stands under LEAT_BENCH_MIDDLE. */
    uint64_t cpu_ns[LEAT_BENCH_CONTENDERS_MAX][LEAT_BENCH_ROLES];
    char version[LEAT_BENCH_CONTENDERS_MAX][32]; /* of its server, if it has one that tells */
    uint64_t transactions;                       /* of Leat's, that were replayed */
    uint64_t rows;
} leat_bench_durable_many_t;

/* A record, or a row or a block, that waits until it is on the disk, and then the next. */
typedef struct {
    double p50_us[LEAT_BENCH_CONTENDERS_MAX];
    double p90_us[LEAT_BENCH_CONTENDERS_MAX];
    double p99_us[LEAT_BENCH_CONTENDERS_MAX];
} leat_bench_durable_single_t;

/* Called with what begins. */
typedef void (leat_bench_durable_progress_fn) (void *arg, const char *what);

typedef struct {
    const char *name; /* of the benchmark, for messages */
    leat_bench_processes_t *processes;
    const leat_bench_folder_t *folder;
    const leat_bench_contenders_t *contenders;
    leat_bench_plan_t plan; /* size, records, measure_ns, seed, timeout_ns */
    leat_bench_durable_progress_fn *progress;
    void *arg;
} leat_bench_durable_t;

/* Play all contenders of a round, one after the other, Leat first. False if one failed, which they have said on stderr
 * then. */
bool leat_bench_durable_many (const leat_bench_durable_t *self, leat_bench_durable_many_t *found);
bool leat_bench_durable_single (const leat_bench_durable_t *self,
                                leat_bench_durable_single_t *found);

#endif

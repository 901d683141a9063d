/* What `leat bench durable` measures: a durable stream, and what the disk does for LMDB alone and for a
 * plain file.
 * SPDX-License-Identifier: MPL-2.0 */
#ifndef LEAT_BENCH_DURABLE_ROUND_H
#define LEAT_BENCH_DURABLE_ROUND_H

#include "bench/folder.h"
#include "bench/processes.h"

typedef enum {
    LEAT_BENCH_ON_LEAT,
    LEAT_BENCH_ON_LMDB,
    LEAT_BENCH_ON_FILE,
    LEAT_BENCH_DURABLE_WAYS
} leat_bench_durable_way_t;

extern const char *const leat_bench_durable_names[LEAT_BENCH_DURABLE_WAYS];

/* Blocks that `file` writes and syncs at a time. */
enum { LEAT_BENCH_FILE_MANY = 1024 * 1024, LEAT_BENCH_FILE_SINGLE = 4096 };

/* Records go from a producer through a broker to a consumer, all confirmed and settled; LMDB replays the
 * transactions of that, and a file takes as many bytes. */
typedef struct {
    uint64_t records;
    uint64_t transactions; /* of Leat's, that were replayed */
    uint64_t rows;
    uint64_t elapsed_ns[LEAT_BENCH_DURABLE_WAYS];
    uint64_t cpu_ns[LEAT_BENCH_ROLES]; /* user and system time of Leat's processes */
    uint64_t lmdb_cpu_ns;              /* and of the replay */
} leat_bench_durable_many_t;

/* A record, or a row or a block, that waits until it is on the disk, and then the next. */
typedef struct {
    uint64_t count[LEAT_BENCH_DURABLE_WAYS];
    double p50_us[LEAT_BENCH_DURABLE_WAYS];
    double p90_us[LEAT_BENCH_DURABLE_WAYS];
    double p99_us[LEAT_BENCH_DURABLE_WAYS];
} leat_bench_durable_single_t;

/* Called with what begins. */
typedef void (leat_bench_durable_progress_fn) (void *arg, const char *what);

typedef struct {
    const char *name; /* of the benchmark, for messages */
    leat_bench_processes_t *processes;
    const leat_bench_folder_t *folder;
    leat_bench_plan_t plan; /* size, records, measure_ns, seed, timeout_ns */
    leat_bench_durable_progress_fn *progress;
    void *arg;
} leat_bench_durable_t;

/* Play all three ways of a round, one after the other. False if one failed, which they have said on stderr
 * then. */
bool leat_bench_durable_many (const leat_bench_durable_t *self, leat_bench_durable_many_t *found);
bool leat_bench_durable_single (const leat_bench_durable_t *self,
                                leat_bench_durable_single_t *found);

#endif

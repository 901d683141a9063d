/* Runs the processes of a round and leaves none of them behind.
 * SPDX-License-Identifier: MPL-2.0 */
#ifndef LEAT_BENCH_PROCESSES_H
#define LEAT_BENCH_PROCESSES_H

#include <sys/types.h>

#include "bench/contender.h"

/* Children get SIGKILL when this process dies, however it dies; SIGINT and SIGTERM reach it through
 * a descriptor while an object of this class exists, and make it end its children. */
typedef struct leat_bench_processes leat_bench_processes_t;

enum { LEAT_BENCH_PROCESSES_MAX = 16 };

/* What a child does, in a process of its own that was forked from one without threads; it writes a
 * byte to `ready` when the next one may start, and notes in the round's error what went wrong.
 * Returns the process's exit code. */
typedef int (leat_bench_process_fn) (void *arg, int ready);

/* What has been counted so far, by children in memory that is shared. */
typedef uint64_t (leat_bench_count_fn) (void *arg);

/* Blocks SIGINT, SIGTERM and SIGCHLD; the process must have no other thread. */
leat_bench_processes_t *leat_bench_processes_new (void);

/* Ends whatever still runs and gives the signals back as they were. */
void leat_bench_processes_destroy (leat_bench_processes_t **self_p);

/* Starts the next child and waits until it is ready. Returns its number, from 0, or -1 with the
 * round's error set. `name` must live as long as the object. `arg` is the child's copy, or memory
 * that is shared. */
int leat_bench_processes_start (leat_bench_processes_t *self, const char *name,
                                leat_bench_process_fn *run, void *arg, leat_bench_round_t *round);

/* Waits until all children from number `first` on have ended. False if one of any number failed meanwhile,
 * a signal came (both set the round's error) or deadline_ns passed before they ended. */
bool leat_bench_processes_wait (leat_bench_processes_t *self, int first, uint64_t deadline_ns,
                                leat_bench_round_t *round);

/* Waits for so long. False, with the round's error set, if a child failed meanwhile or a signal came. */
bool leat_bench_processes_pause (leat_bench_processes_t *self, double seconds,
                                 leat_bench_round_t *round);

/* Waits likewise and tells how much was counted in a second of that. A busy machine may let nothing
 * through in a short time; as a rate of 0 tells nobody anything, it waits for as long again until there
 * is something, at most a minute. False, with the round's error set, also if nothing came. */
bool leat_bench_processes_rate (leat_bench_processes_t *self, double seconds,
                                leat_bench_count_fn *count, void *arg, double *per_second,
                                leat_bench_round_t *round);

/* Ends all children, the last one first: with SIGKILL, but number 0, the middle, with SIGTERM, so that it
 * can end and remove what it has made; with SIGKILL, too, after 10 s. Numbers begin at 0 again. */
void leat_bench_processes_end (leat_bench_processes_t *self, leat_bench_round_t *round);

/* 0 if it has ended. */
pid_t leat_bench_processes_pid (const leat_bench_processes_t *self, int number);

/* User and system time of a child that has ended, and how often it slept. Valid until the next one
 * is started after leat_bench_processes_end. */
typedef struct {
    uint64_t cpu_ns;
    uint64_t switches;
} leat_bench_usage_t;

leat_bench_usage_t leat_bench_processes_usage (const leat_bench_processes_t *self, int number);

/* One round: middle, consumer and producer start in that order, each when the one before is ready;
 * it is over when producer and consumer have ended. False, with the round's error set, if one of
 * them failed, the time was over or a signal came. CPU times are in the round afterwards. */
bool leat_bench_processes_run (leat_bench_processes_t *self,
                               const leat_bench_contender_t *contender, leat_bench_round_t *round);

#endif

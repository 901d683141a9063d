/* Who takes part in a benchmark: Leat, and what it is measured against.
 * SPDX-License-Identifier: MPL-2.0 */
#ifndef LEAT_BENCH_CONTENDER_H
#define LEAT_BENCH_CONTENDER_H

#include "bench/round.h"

/* One role of a contender, in a process of its own that was forked from a process without threads.
 * Writes a byte to `ready` when the next role may start (middle, then consumer, then producer);
 * notes in the round's error what went wrong. Returns the process's exit code. A middle is ended
 * with SIGTERM if it does not end by itself. */
typedef int (leat_bench_role_fn) (leat_bench_round_t *round, int ready);

typedef struct {
    const char *name;
    const char *about;   /* for people, one line */
    const char *promise; /* what is acknowledged, synced and kept, one line; NULL: nothing */
    const char *server;  /* the program that has to be installed; NULL: none */
    const char *library; /* what speaks to it, with the version; only with a server */
    leat_bench_role_fn *roles[LEAT_BENCH_ROLES];
} leat_bench_contender_t;

/*  relay    bytes over TCP through a process that only reads and writes chunks of 256 KiB: what two
 *           hops cost, and nothing else
 *  proxy    PUSH -> zmq_proxy (PULL, PUSH) -> PULL, a message for each record
 *  router   DEALER -> ROUTER -> DEALER, records packed into frames when the rate is not fixed: what
 *           libzmq leaves to a broker that does nothing
 *  leat     producer -> broker -> consumer, every record confirmed and settled
 */
extern const leat_bench_contender_t leat_bench_relay;
extern const leat_bench_contender_t leat_bench_proxy;
extern const leat_bench_contender_t leat_bench_router;
extern const leat_bench_contender_t leat_bench_leat;

/* All that this program was built with, in the order of their turns; NULL behind the last. */
extern const leat_bench_contender_t *const leat_bench_contenders[];

/* What people are told of it, on lines of stdout that begin with its name: what it is, what it promises,
 * which versions these are. `version` is its server's, which may be empty. */
void leat_bench_contender_print (const leat_bench_contender_t *self, const char *version);

/* For roles: lets the next one start. */
void leat_bench_ready (int ready);

/* For every role with a zmq context, before it is made: freed frames of some hundred KiB stay with
 * the process instead of going back to the kernel and coming again zeroed (mallopt(3)). */
void leat_bench_tune_malloc (void);

/* Lets this process open as many files as it may, for roles with more than some hundred connections. */
void leat_bench_allow_files (void);

#endif

/* Many sessions of one process that send a record each and wait, and one consumer for all of them.
 * SPDX-License-Identifier: MPL-2.0 */
#ifndef LEAT_BENCH_SESSIONS_H
#define LEAT_BENCH_SESSIONS_H

#include <stdatomic.h>

#include "bench/bodies.h"
#include "bench/processes.h"

/*      producers' process                   middle                 consumer's process
 *
 *      thread 0, connection 0  --1 publish-->
 *                              <--2 confirm--       --3 deliver-->   one connection,
 *      thread 1, connection 1  ------------->       <--4 settle---   one thread
 *                              <-------------       ...
 *      ...
 *
 * Each session sends its next record when the one before is confirmed, so each record costs these four
 * messages, whoever is in the middle. All connections of a process share one ZeroMQ context. */
enum { LEAT_BENCH_SESSIONS_MAX = 1000 };

typedef struct {
    uint64_t sent;     /* told when the session has ended */
    uint64_t received; /* by the consumer */
} leat_bench_session_t;

/* In memory that processes share. */
typedef struct {
    leat_bench_round_t
        *round; /* of the endpoints, the plan's size, seed and store, the stream's name */
    unsigned count;
    int go;                        /* eventfd: sessions begin when it is readable */
    atomic_bool stop;              /* none of them sends another record */
    atomic_bool ended;             /* all of them have ended, `sent` is told */
    atomic_uint_fast64_t received; /* and compared, of all sessions */
    atomic_uint_fast64_t settled;  /* as the bare ROUTER was told */
    leat_bench_session_t sessions[];
} leat_bench_sessions_t;

/* NULL with errno. The round must outlive it. */
leat_bench_sessions_t *leat_bench_sessions_new (leat_bench_round_t *round, unsigned count);
void leat_bench_sessions_destroy (leat_bench_sessions_t **self_p);

void leat_bench_sessions_go (leat_bench_sessions_t *self);
void leat_bench_sessions_stop (leat_bench_sessions_t *self);

/* ---- contenders ------------------------------------------------------------------------------ */

/* Processes with the sessions as argument, started in this order. Consumer and producers end after
 * leat_bench_sessions_stop, when everything that was sent is confirmed, delivered and settled. */
typedef struct {
    const char *name;
    const char *about; /* for people, one line */
    leat_bench_process_fn *middle;
    leat_bench_process_fn *consumer;
    leat_bench_process_fn *producers;
} leat_bench_sessions_contender_t;

/*  router   DEALERs, a bare ROUTER that answers and passes on, a DEALER that answers
 *  leat     a client for each session, and one for the consumer
 */
extern const leat_bench_sessions_contender_t leat_bench_sessions_router;
extern const leat_bench_sessions_contender_t leat_bench_sessions_leat;

/* ---- for contenders -------------------------------------------------------------------------- */

/* What a session does in its thread: sends the body of one record and waits until it is confirmed;
 * false with the round's error if that failed. `arg` is the contender's, `session` from 0. */
typedef bool (leat_bench_session_send_fn) (void *arg, unsigned session, const uint8_t *body);

/* Waits for leat_bench_sessions_go, then sends in a thread for each session until it is to stop.
 * Returns the process's exit code. */
int leat_bench_sessions_send (leat_bench_sessions_t *self, leat_bench_session_send_fn *send,
                              void *arg);

/* Takes a record: compares it and counts it, in its place of its session; false with the round's error
 * if it is not the one that was due. */
bool leat_bench_sessions_take (leat_bench_sessions_t *self, const leat_bench_bodies_t *bodies,
                               const uint8_t *body, size_t size);

/* All sessions have ended, and what they sent was taken. For the consumer. */
bool leat_bench_sessions_over (leat_bench_sessions_t *self);

#endif

/* What one round of a benchmark is told and what it finds out, in memory that its processes share.
 * SPDX-License-Identifier: MPL-2.0 */
#ifndef LEAT_BENCH_ROUND_H
#define LEAT_BENCH_ROUND_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "broker/store/store.h"

/*      producer process  ---->  middle process  ---->  consumer process        all on loopback
 *                        front                  back
 *
 * The same three processes for every contender, so that all pay for the same two hops. */
typedef enum {
    LEAT_BENCH_MIDDLE,
    LEAT_BENCH_CONSUMER,
    LEAT_BENCH_PRODUCER,
    LEAT_BENCH_ROLES
} leat_bench_role_t;

/* Chosen by the user, the same for every contender of a run. */
typedef struct {
    size_t size;                       /* bytes of a record's body, at least LEAT_BENCH_SIZE_MIN */
    uint64_t records;                  /* measured records; 0: `measure_ns` decides */
    uint64_t warm_up;                  /* records before those; only with `records` */
    uint64_t measure_ns;               /* how long the producer goes on after the warm-up */
    uint64_t warm_up_ns;               /* only without `records` */
    double rate;                       /* records per second; 0: as fast as they are taken */
    size_t frame_size;                 /* of the ROUTER relay, when rate is 0 */
    uint64_t seed;                     /* of the records' content */
    const char *broker;                /* a broker that runs already, or NULL */
    const leat_store_options_t *store; /* keep streams there, Leat by LMDB; NULL: in memory */
    uint64_t stream_size; /* Leat: what a stream may hold; 0: what `leat broker` lets it */
    bool singly;         /* durable: the producer sends a record when the one before is confirmed */
    uint64_t timeout_ns; /* a round that takes longer has failed */
} leat_bench_plan_t;

typedef struct {
    leat_bench_plan_t plan;

    char front[256]; /* written by the middle: where the producer connects */
    char back[256];  /* and where the consumer does */
    char stream[64]; /* name of the round's stream, for those that have any */

    uint64_t measured;   /* written by the consumer: records after the mark, up to the last */
    uint64_t elapsed_ns; /* between those two, on the consumer's clock */
    uint64_t began_ns;   /* the producer was about to make its first record; of those that settle */
    uint64_t settled_ns; /* everything is settled, with Leat the consumer has left; likewise */
    bool complete;       /* the last record came, and all before it were in order and as sent */
    bool no_broker;      /* Leat: nobody answered where one should run */

    uint64_t cpu_ns[LEAT_BENCH_ROLES];   /* user and system time, of the whole round */
    uint64_t switches[LEAT_BENCH_ROLES]; /* times that it slept */
    uint64_t sent;                       /* by the producer, with the warm-up */

    char version[32];      /* of the middle's server, if that tells */
    uint64_t start_cpu_ns; /* what the middle's server used until it was ready, not counted above */

    char error[512]; /* what went wrong, in words; of whoever wrote first */

    uint64_t samples_max;
    uint64_t samples_count;
    /* Nanoseconds until the check: `samples_max` from the intended sending, then as many from when
     * the producer was awake to send. */
    uint64_t samples[];
} leat_bench_round_t;

/* Zeroed memory that forked processes share, with room for `samples_max` samples; NULL with errno
 * when there is none. */
leat_bench_round_t *leat_bench_round_new (const leat_bench_plan_t *plan, uint64_t samples_max);
void leat_bench_round_destroy (leat_bench_round_t **self_p);

/* Zeroed memory that forked processes share, for what a benchmark keeps besides; NULL with errno. */
void *leat_bench_shared_new (size_t size);
void leat_bench_shared_destroy (void *memory, size_t size);

/* Notes what went wrong, unless something is noted already. */
void leat_bench_round_fail (leat_bench_round_t *self, const char *format, ...)
    __attribute__ ((format (printf, 2, 3)));

/* Nanoseconds of CLOCK_MONOTONIC, which is the same clock in all processes of a machine. */
uint64_t leat_bench_now_ns (void);

#endif

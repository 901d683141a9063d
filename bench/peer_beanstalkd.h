/* beanstalkd, by a small client of ours: Debian has no C library of it.
 * SPDX-License-Identifier: MPL-2.0 */
#ifndef LEAT_BENCH_PEER_BEANSTALKD_H
#define LEAT_BENCH_PEER_BEANSTALKD_H

#include <stdio.h>

#include "bench/contender.h"

/* The default tube; in memory, or with a log that is synced after each command (-f0 of beanstalkd(1)).
 * Commands and their order: https://github.com/beanstalkd/beanstalkd/blob/master/doc/protocol.txt
 * It answers in order, so that commands can be written before the answers of others are read. */
extern const leat_bench_contender_t leat_bench_beanstalkd;
extern const leat_bench_contender_t leat_bench_beanstalkd_durable;

/* ---- what others do with it ------------------------------------------------------------------ */

/* Its protocol is lines of text, some with bytes behind; two streams of stdio on one socket do for a
 * client. */
typedef struct {
    leat_bench_round_t *round;
    FILE *in;
    FILE *out;
    char *buffers[2]; /* theirs; stdio's own would cut writes at 4 KiB */
} leat_bench_beanstalkd_t;

/* A role: the server. */
int leat_bench_beanstalkd_run (leat_bench_round_t *round, int ready);

/* False with the error noted; to be closed anyhow. */
bool leat_bench_beanstalkd_open (leat_bench_beanstalkd_t *self, leat_bench_round_t *round);
void leat_bench_beanstalkd_close (leat_bench_beanstalkd_t *self);

/* Reads a line; false, with the error noted, if it does not begin as wanted. */
bool leat_bench_beanstalkd_expect (leat_bench_beanstalkd_t *self, const char *wanted, char *line,
                                   size_t size);

/* Notes what was tried and what came (NULL: the connection ended); returns false. */
bool leat_bench_beanstalkd_failed (leat_bench_beanstalkd_t *self, const char *what,
                                   const char *answer);

#endif

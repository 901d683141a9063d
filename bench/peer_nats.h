/* NATS: its core, and JetStream.
 * SPDX-License-Identifier: MPL-2.0 */
#ifndef LEAT_BENCH_PEER_NATS_H
#define LEAT_BENCH_PEER_NATS_H

#include "bench/contender.h"

#ifdef LEAT_WITH_NATS

#include <nats/nats.h>

/*  nats       publish and subscribe, where the server drops what a slow subscriber does not take; so that
 *             it need not, it may hold 2 GB (max_pending):
 *             https://docs.nats.io/running-a-nats-service/nats_admin/slow_consumers
 *  jetstream  asynchronous publishing with a window of acknowledgements, a pull consumer that fetches
 *             batches and acknowledges each with its last message (AckAll), which is the least that has
 *             all acknowledged: https://docs.nats.io/nats-concepts/jetstream/consumers
 *             (pull consumers may since nats-server 2.9: https://github.com/nats-io/nats.c/pull/587)
 *             Durable in files, which the server syncs every two minutes unless sync_interval says
 *             `always', which the server of Debian 12 (2.9) does not know yet:
 *             https://docs.nats.io/running-a-nats-service/configuration */
extern const leat_bench_contender_t leat_bench_nats;
extern const leat_bench_contender_t leat_bench_jetstream;
extern const leat_bench_contender_t leat_bench_jetstream_durable;

/* ---- what others do with it ------------------------------------------------------------------ */

/* A role: the server. */
int leat_bench_nats_run (leat_bench_round_t *round, int ready);

/* Whether it is NATS_OK; else notes what was tried. */
bool leat_bench_nats_good (leat_bench_round_t *round, const char *what, natsStatus status);

typedef struct {
    natsConnection *connection;
    jsCtx *context;
} leat_bench_nats_t;

/* Connects, false with the error noted; anyhow it is to be closed. `at_once` lets messages wait for no
 * others; `options` of JetStream may be NULL. */
bool leat_bench_nats_open (leat_bench_nats_t *self, leat_bench_round_t *round, bool at_once,
                           jsOptions *options);
void leat_bench_nats_close (leat_bench_nats_t *self);

/* Makes a stream of that name and subject, unless it is there. */
bool leat_bench_nats_add_stream (leat_bench_nats_t *self, leat_bench_round_t *round,
                                 const char *name, jsRetentionPolicy retention,
                                 jsStorageType storage);

#endif

#endif

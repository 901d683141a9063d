/* A zmq context with one socket, as the roles of the libzmq contenders use it.
 * SPDX-License-Identifier: MPL-2.0 */
#ifndef LEAT_BENCH_SOCKETS_H
#define LEAT_BENCH_SOCKETS_H

#include <zmq.h>

#include "bench/round.h"

/* A context, after leat_bench_tune_malloc; ends the process if there is none. */
void *leat_bench_context_new (void);

/* A socket with both high-water marks set (before anything else, as they must be). Sockets of this
 * file linger: what was sent gets out before the process ends, and the parent bounds that. */
void *leat_bench_socket_new (void *context, int type, int high_water_mark);

/* Binds to a free port of the loopback and writes the endpoint; false with the error noted. */
bool leat_bench_socket_bind (void *socket, char *endpoint, size_t size, leat_bench_round_t *round);

bool leat_bench_socket_connect (void *socket, const char *endpoint, leat_bench_round_t *round);

/* Notes zmq_errno () in words; returns 1, the exit code. */
int leat_bench_socket_failed (leat_bench_round_t *round, const char *what);

/* Closes the socket and ends the context. */
void leat_bench_socket_end (void *socket, void *context);

#endif

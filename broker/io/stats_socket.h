/* The socket that anybody may ask how the broker is: a query in, a JSON object out, nothing changed.
 * SPDX-License-Identifier: MPL-2.0 */
#ifndef LEAT_BROKER_IO_STATS_SOCKET_H
#define LEAT_BROKER_IO_STATS_SOCKET_H

#include "broker/io/endpoint.h"
#include "broker/io/report.h"

/* A ROUTER that a plain REQ can ask, or a DEALER, with or without the empty frame that REQ puts before
 * its request; the answer has it too. Bounded: a request is one frame of at most 4 KiB, one request
 * gets one answer, and a turn answers a few of them. Once answers to `stats` have taken more than
 * 50 ms, and until a tenth of the time that passes has paid for that, everybody gets the last answer
 * again; so asking in a loop slows the broker by a tenth at most. Nothing here waits: what a peer does
 * not read is dropped. */
typedef struct leat_stats_socket leat_stats_socket_t;

/* NULL with a sentence if there can be none. */
leat_stats_socket_t *leat_stats_socket_new (void *context, char *error, size_t error_size);
void leat_stats_socket_destroy (leat_stats_socket_t **self_p);

/* As leat_endpoint_bind. */
int leat_stats_socket_bind (leat_stats_socket_t *self, const char *endpoint, const char *resolved,
                            char bound[LEAT_ENDPOINT_SIZE], char *error, size_t error_size);

/* Answers requests that wait, some at most, and tells `connections` what came. True if more may wait;
 * after false the descriptor may be slept on. */
bool leat_stats_socket_serve (leat_stats_socket_t *self, const leat_report_source_t *source,
                              leat_connections_t *connections);

/* To poll for reading; edge-triggered, see leat_stats_socket_serve. */
int leat_stats_socket_fd (const leat_stats_socket_t *self);
int leat_stats_socket_monitor_fd (const leat_stats_socket_t *self);

/* As the counter of the router's. */
uint64_t leat_stats_socket_connections_refused (const leat_stats_socket_t *self);

/* Requests answered so far. */
uint64_t leat_stats_socket_requests (const leat_stats_socket_t *self);

#endif

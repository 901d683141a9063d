/* Hears from libzmq which connections of a socket have ended, and ends those that there is no room for.
 * SPDX-License-Identifier: MPL-2.0 */
#ifndef LEAT_BROKER_IO_CONNECTION_MONITOR_H
#define LEAT_BROKER_IO_CONNECTION_MONITOR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* libzmq's I/O thread writes each event into a pair of sockets in this process, and would wait, with all
 * connections of the broker, if that were full. It never is: its high-water mark is none
 * (docs/decisions/ends-of-connections.md). What waits unread is bounded by how many connections can be
 * made and ended while the reading thread has a turn.
 *
 * Open files: where no more can be opened libzmq takes all of a processor to try again (tcp) or aborts
 * the process (ipc; ipc_listener.cpp, accept). So an eighth is kept free, or 512 if that is more, but
 * never more than half. The kernel gives each connection the smallest number that is free; one whose
 * number lies among these is shut down as soon as it is heard of. Its client finds the connection
 * closed and tries elsewhere, or later. Whoever makes more connections than are kept free before the
 * reading thread has a turn still gets libzmq's own behaviour. */
typedef struct leat_connection_monitor leat_connection_monitor_t;

/* How many of `files` that may be open are kept free. */
uint64_t leat_connection_monitor_reserve (uint64_t files);

/* How many connections may wait to be accepted: at most 1024, and a quarter of what is kept free of open
 * files, because libzmq accepts them all before it does anything else. */
int leat_connection_monitor_backlog (void);

/* Begins to watch `socket` of `context`; before it is bound. NULL with a sentence if that cannot be.
 * Its connections may use as much of what is kept free as `share` says: 0 nothing, 0.5 a half. */
leat_connection_monitor_t *leat_connection_monitor_new (void *context, void *socket, double share,
                                                        char *error, size_t error_size);

/* Before the watched socket is closed. */
void leat_connection_monitor_destroy (leat_connection_monitor_t **self_p);

/* The descriptor of the next connection that has begun or ended; false if there was none. The number of
 * one that has ended may belong to another connection again. */
bool leat_connection_monitor_next (leat_connection_monitor_t *self, int *fd, bool *ended);

/* To poll for reading; edge-triggered: only after leat_connection_monitor_next has returned false. */
int leat_connection_monitor_fd (const leat_connection_monitor_t *self);

/* Connections that were shut down so far. */
uint64_t leat_connection_monitor_refused (const leat_connection_monitor_t *self);

#endif

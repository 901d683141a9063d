/* The core thread: moves messages between sockets, core and store until it is told to stop.
 * SPDX-License-Identifier: MPL-2.0 */
#ifndef LEAT_BROKER_IO_REACTOR_H
#define LEAT_BROKER_IO_REACTOR_H

#include "broker/io/control.h"
#include "broker/io/report.h"
#include "broker/io/stats_socket.h"

/*      peers ==> router ==> core ==> outbox ==> router ==> peers
 *                            | ^
 *             commits, reads v | completions, batches
 *                           store
 *
 * One thread, no lock, no call that waits but the one at the end of a turn that has left nothing to do.
 * A turn:
 *
 *   1  tick      the core learns what time it is; what is due happens in 4, after what had arrived
 *   2  receive   which connections have ended; then what waits at the router, up to so many messages
 *                and bytes
 *   3  give up   peers that are gone and of which everything is read (departures.h)
 *   4  commit    what the store has ended, or read, goes to the core, which decides; its commits and
 *                reads go to the store; again if that ended anything at once
 *   5  send      the outbox; who cannot be reached is gone, which the next turn acts upon
 *   6  probe     peers whose connections may have ended
 *   7  stats     queries, now and then; and notices, more rarely
 *   8  sleep     if 1 to 7 did nothing, or have left nothing to do: until a socket, the store, the
 *                control thread, the core's next deadline or the next probe
 */

/* Something that the operator should hear of: a sentence, which is valid during the call. */
typedef void (leat_notice_fn) (void *arg, const char *text);

typedef struct {
    leat_core_t *core;
    leat_store_t *store;
    leat_router_t *router;
    leat_stats_socket_t *stats; /* NULL: none */
    leat_control_t *control;
    leat_report_source_t *report; /* its times and counts are kept up to date here */
    leat_notice_fn *notice;       /* NULL: nobody hears of anything */
    void *notice_arg;
} leat_reactor_parts_t;

typedef enum {
    LEAT_REACTOR_STOPPED,  /* in order: everything taken is confirmed or refused, peers were told */
    LEAT_REACTOR_TOO_LATE, /* asked to stop, but the store did not finish in time */
    LEAT_REACTOR_QUIT,     /* told to end at once */
    LEAT_REACTOR_FAILED /* the store failed; `reason` says why, and for a second the stats socket */
} leat_reactor_end_t;

/* Runs until it ends. `reason` gets a sentence unless the end is STOPPED. The parts are borrowed and
 * used by this thread alone meanwhile, but for what control.h allows others. */
leat_reactor_end_t leat_reactor_run (const leat_reactor_parts_t *parts, char *reason,
                                     size_t reason_size);

#endif

/* A broker in one object: what `leat broker` runs, and what tests run in a thread.
 * SPDX-License-Identifier: MPL-2.0 */
#ifndef LEAT_BROKER_BROKER_H
#define LEAT_BROKER_BROKER_H

#include <stdbool.h>
#include <stddef.h>

#include "broker/core/limits.h"
#include "broker/store/store.h"

/*      leat_broker_prepare_process ();             programs only, first of all
 *      leat_broker_options_default (&options);
 *      options.endpoints = ...
 *      broker = leat_broker_new (&options, error, sizeof error);
 *      end = leat_broker_run (broker);             until SIGINT, SIGTERM or leat_broker_stop
 *      leat_broker_destroy (&broker);
 *
 * Nothing here prints. Errors are sentences that say what was wrong and what would be right. */
typedef struct leat_broker leat_broker_t;

#define LEAT_BROKER_ENDPOINT "tcp://127.0.0.1:5560"
#define LEAT_BROKER_STATS_ENDPOINT "tcp://127.0.0.1:5561"

typedef struct {
    const char *const
        *endpoints;        /* where to listen for peers: tcp and ipc, see broker/io/endpoint.h */
    size_t endpoint_count; /* at least 1 */
    const char *stats_endpoint; /* NULL for no stats socket */
    bool insecure;              /* allow endpoints that other machines can reach */
    bool signals;               /* SIGINT and SIGTERM stop it in order, the second one at once */
    leat_limits_t limits;
    const leat_store_engine_t *store;
    leat_store_options_t store_options;
    bool *store_unusable; /* set by leat_broker_new: it fails because of the store; may be NULL */
    const char *software; /* name and version, told to peers and in stats */

    /* Called by leat_broker_run, in its thread, with a sentence that the operator should hear of, such as
     * that records expired before a group had settled them; the text is valid during the call. Some lines
     * a second at most. NULL: nobody is told. */
    void (*notice) (void *arg, const char *text);
    void *notice_arg;
} leat_broker_options_t;

/* The default endpoints and limits, memory store, no signals. */
void leat_broker_options_default (leat_broker_options_t *options);

/* For a program that is a broker: sets malloc's thresholds so that the memory of large messages is used
 * again instead of being given back to the kernel after each, and raises the limit of open
 * files as far as it goes. Returns 0, or -1 with a sentence for the user, who may go on. */
int leat_broker_prepare_process (const leat_limits_t *limits, char *warning, size_t warning_size);

/* Opens the store, recovers, binds. NULL with a sentence if that cannot be. The options need not
 * outlive the call. With `signals` see leat_control_new: from here on SIGINT and SIGTERM are blocked
 * in the calling thread and those that it makes. */
leat_broker_t *leat_broker_new (const leat_broker_options_t *options, char *error,
                                size_t error_size);

/* Frees everything; what was sent to peers has up to a second to leave after an orderly end. In the
 * thread that called leat_broker_new, and not while it runs. */
void leat_broker_destroy (leat_broker_t **self_p);

/* The endpoints as bound: with the port that was chosen where * or 0 was asked for. `index` below
 * endpoint_count. The stats endpoint is NULL if there is none. */
const char *leat_broker_endpoint (const leat_broker_t *self, size_t index);
const char *leat_broker_stats_endpoint (const leat_broker_t *self);

typedef enum {
    LEAT_BROKER_STOPPED = 0, /* in order. Exit status 0 */
    LEAT_BROKER_QUIT,        /* told twice. Exit status 1 */
    LEAT_BROKER_FAILED       /* the store failed: leat_broker_reason. Exit status 5 */
} leat_broker_end_t;

/* Runs the broker in the calling thread until it is told to stop. May be called once. An end in order
 * takes no new work, waits for the store (5 s at most), tells peers to come back after a second. */
leat_broker_end_t leat_broker_run (leat_broker_t *self);

/* Why leat_broker_run returned: empty, or a sentence for stderr (also after an end in order that
 * could not wait for the store). */
const char *leat_broker_reason (const leat_broker_t *self);

/* As SIGTERM: the first call asks for an orderly end, the second for one at once. Any thread, and
 * signal handlers. */
void leat_broker_stop (leat_broker_t *self);

#endif

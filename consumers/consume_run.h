/* What `leat consume` does once its options are understood.
 * SPDX-License-Identifier: MPL-2.0 */
#ifndef LEAT_CONSUMERS_CONSUME_RUN_H
#define LEAT_CONSUMERS_CONSUME_RUN_H

#include <stdatomic.h>

#include "cli/signals.h"
#include "consumers/guardian.h"
#include "consumers/record_format.h"
#include "leat_consumer.h"

/* Texts are borrowed. */
typedef struct {
    const char *broker;
    const char *stream;
    const char *group;
    uint64_t count; /* records at most; 0: no limit */
    bool exit_when_empty;
    leat_record_format_t *format; /* for stdout */
    const char *command;          /* NULL: to stdout */
    unsigned jobs;                /* commands at once */
    leat_start_t start;
    uint64_t start_value;
    uint32_t credit_records; /* 0: what suits the kind of use */
    uint64_t credit_size;    /* 0: the library's default */
    const char *identity;
    int timeout_ms; /* of the first connection */
    bool quiet;
} leat_consume_settings_t;

/* How it goes, for the ways of handling records. */
typedef struct {
    const leat_consume_settings_t *settings;
    leat_signals_t *signals;
    leat_client_t *client;
    leat_consumer_t *consumer;
    atomic_bool told_loss;     /* the user was told that the connection is gone */
    leat_guardian_t *guardian; /* of commands; NULL without */
    uint64_t acked;
    uint64_t nacked;
    uint64_t rejected;
} leat_consume_t;

enum { LEAT_CONSUME_SLICE_MS = 100 /* so long nothing looks at signals */ };

/* Takes records until there is a reason to stop, and has settled or given back all that it took.
 * Return an exit code. */
int leat_consume_to_stdout (leat_consume_t *self);
int leat_consume_by_command (leat_consume_t *self);

/* Credit that is left when `taken` of --count records were taken: what the broker may lease from now
 * on is no more than what may still be taken. Does nothing without --count. To be called after a
 * record was taken and before it is settled. */
void leat_consume_limit (leat_consume_t *self, uint64_t taken);

/* After receiving has failed with errno: true if it should be tried again. Otherwise *code is the
 * exit code, after a message if it is not LEAT_EXIT_DONE. Any thread. */
bool leat_consume_go_on (leat_consume_t *self, int *code);

/* The main function. Returns an exit code. */
int leat_consume_run (const leat_consume_settings_t *settings);

#endif

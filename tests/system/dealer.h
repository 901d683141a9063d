/* A broker in a thread, and clients as anybody could write them: a DEALER socket and the codec.
 * SPDX-License-Identifier: MPL-2.0 */
#ifndef LEAT_TESTS_SYSTEM_DEALER_H
#define LEAT_TESTS_SYSTEM_DEALER_H

#include <pthread.h>
#include <zmq.h>

#include "broker/broker.h"
#include "wire/batch.h"
#include "wire/command.h"

/* Everything that waits does so for an event, this long at most; then the test fails. */
enum { DEALER_PATIENCE_MS = 20000 };

/* ---- a broker -------------------------------------------------------------------------------- */

typedef struct {
    leat_broker_t *broker;
    pthread_t thread;
    leat_broker_end_t end;
    const char *endpoint;       /* the first one, as bound */
    const char *stats_endpoint; /* as bound */
    void *context;              /* for clients */
} hosted_t;

/* Options for tests: any free tcp port for peers and for stats, short heartbeats. */
void hosted_options (leat_broker_options_t *options);

/* Starts a broker in a thread; fails the test if it cannot. */
hosted_t *hosted_begin (const leat_broker_options_t *options);

/* Stops it in order, and checks that it did end so. All sockets of the context must be closed. */
void hosted_end (hosted_t **self_p);

/* The answer of the stats socket to `query`, zero-terminated; to be freed. */
char *hosted_ask (const hosted_t *self, const char *query);

/* A figure of the stats: "counters.hellos". */
uint64_t hosted_figure (const hosted_t *self, const char *path);

/* Asks until the figure has reached the value. */
void hosted_wait_for (const hosted_t *self, const char *path, uint64_t at_least);

/* ---- a client -------------------------------------------------------------------------------- */

/* What came: a command, or a slice of a batch if its id is DELIVER; the other slices that came with it
 * are what is received next into the same answer. */
typedef struct {
    leat_command_t command;
    leat_batch_t batch;
    const uint8_t *records; /* batch.size bytes of the body */
    uint32_t slices;        /* that follow */
    zmq_msg_t header;
    zmq_msg_t body;
} answer_t;

void answer_begin (answer_t *answer);
void answer_end (answer_t *answer);

/* A socket of the type, connected, that gives up after DEALER_PATIENCE_MS and has linger 0. */
void *dealer_open (void *context, int type, const char *endpoint);

void dealer_send (void *socket, const leat_command_t *command);

/* HELLO and WELCOME. */
void dealer_greet (void *socket, const char *identity);

/* Publishes one batch, `first` is its first sequence. */
void dealer_publish (void *socket, uint32_t channel, uint64_t first, const char *const *texts,
                     uint32_t count);

/* Takes the next message that is not PONG; fails the test if none comes. */
void dealer_receive (void *socket, answer_t *answer);

/* Takes messages until one is `id`; fails if another comes first than CREDIT. */
void dealer_expect (void *socket, answer_t *answer, uint8_t id);

/* Compares the records of a DELIVER. */
void answer_compare (const answer_t *answer, const char *const *texts, uint32_t count);

#endif

/* A broker inside a test: the real core behind a ROUTER socket, in a thread of its own, with a store
 * that is a list of commits.
 * SPDX-License-Identifier: MPL-2.0 */
#ifndef LEAT_TEST_BROKER_H
#define LEAT_TEST_BROKER_H

#include "broker/core/core.h"
#include "broker/core/statistics.h"

typedef struct test_broker test_broker_t;

/* How long the heartbeat timeout is: long enough for each thread to get its time while a machine of two
 * processors runs many tests at once. */
enum { TEST_BROKER_TIMEOUT_MS = 2000 };

/* Limits for tests, where nothing should last longer than it has to. */
void test_broker_limits (leat_limits_t *limits);

/* An endpoint that no other test has. `number` tells those of one test apart. */
const char *test_broker_endpoint (char *text, size_t size, unsigned number);

/* `limits` may be NULL. Does not listen yet. */
test_broker_t *test_broker_new (const leat_limits_t *limits, const char *endpoint);

/* Ends it without a word, if it runs. */
void test_broker_destroy (test_broker_t **self_p);

/* Listens; what was committed before is there again. */
void test_broker_start (test_broker_t *self);

/* Ends in order, with BYE to all peers; or at once, as a crash would. */
void test_broker_stop (test_broker_t *self);
void test_broker_crash (test_broker_t *self);

/* Goes on listening at another endpoint when started next. */
void test_broker_move (test_broker_t *self, const char *endpoint);

/* While frozen it reads nothing and answers nothing. */
void test_broker_freeze (test_broker_t *self, bool is_frozen);

/* While the store is held nothing is committed, hence nothing confirmed. */
void test_broker_hold_store (test_broker_t *self, bool is_held);

/* Asks the first channel of the client that spoke last to leave. */
void test_broker_drain (test_broker_t *self);

/* As it was after the last turn. */
void test_broker_statistics (test_broker_t *self, leat_statistics_t *statistics);

#endif

/* SIGINT and SIGTERM of the leat program: the first asks for an orderly end, the second ends it.
 * SPDX-License-Identifier: MPL-2.0 */
#ifndef LEAT_CLI_SIGNALS_H
#define LEAT_CLI_SIGNALS_H

#include <stdbool.h>

/* A thread of its own waits for the signals, so that the second one works whatever the others do.
 * Create it before any other thread: all threads inherit the mask that leaves the signals to it.
 * Also makes writing into a closed pipe an error (EPIPE) instead of a death. */
typedef struct leat_signals leat_signals_t;

/* At the second signal the process says so in the name of `program` (borrowed), and ends with
 * LEAT_EXIT_FAILED. The same signal within 200 ms of the first is the same wish, not a second one. */
leat_signals_t *leat_signals_new (const char *program);

/* Ends the thread; signals stay blocked. */
void leat_signals_destroy (leat_signals_t **self_p);

/* 0, or the signal that has come. Any thread. */
int leat_signals_received (const leat_signals_t *self);

/* Readable from the first signal on; for poll(2) only, do not read it. */
int leat_signals_fd (const leat_signals_t *self);

#endif

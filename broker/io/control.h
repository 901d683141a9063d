/* The control thread: what must be heard while the core thread is busy. For now, signals.
 * SPDX-License-Identifier: MPL-2.0 */
#ifndef LEAT_BROKER_IO_CONTROL_H
#define LEAT_BROKER_IO_CONTROL_H

#include <stdbool.h>
#include <stddef.h>

/* The core thread looks at leat_control_wish in each turn, which costs no system call, and polls
 * leat_control_fd when it sleeps. The thread itself exists only if signals are handled; the ZAP
 * handler, which decides who may connect once connections are encrypted, belongs here too. */
typedef struct leat_control leat_control_t;

typedef enum {
    LEAT_CONTROL_RUN = 0,
    LEAT_CONTROL_STOP = 1, /* end in order */
    LEAT_CONTROL_QUIT = 2  /* end now */
} leat_control_wish_t;

/* With `signals`, SIGINT and SIGTERM are blocked in the calling thread, and so in all threads that it
 * makes from then on, until leat_control_destroy; they come as STOP, and the second one as QUIT.
 * The same signal within 200 ms of the first is the same wish, not a second one. NULL with a sentence if
 * that cannot be. */
leat_control_t *leat_control_new (bool signals, char *error, size_t error_size);

/* To be called in the thread that called leat_control_new. */
void leat_control_destroy (leat_control_t **self_p);

/* What is wished now; the wish only grows. Any thread. */
leat_control_wish_t leat_control_wish (const leat_control_t *self);

/* Wishes STOP, or QUIT if STOP was wished before. Any thread, also a signal handler. */
void leat_control_stop (leat_control_t *self);

/* Readable from the time that the wish has changed until leat_control_clear. */
int leat_control_fd (const leat_control_t *self);
void leat_control_clear (leat_control_t *self);

#endif

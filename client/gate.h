/* Where application threads wait for the client's thread: a mutex and a condition variable.
 * SPDX-License-Identifier: MPL-2.0 */
#ifndef LEAT_CLIENT_GATE_H
#define LEAT_CLIENT_GATE_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <time.h>

typedef struct {
    pthread_mutex_t mutex;
    pthread_cond_t changed;
    atomic_uint waiting; /* threads inside leat_gate_wait */
    pthread_mutex_t claim;
    atomic_bool is_claimed; /* by who has `claim`, and waits for `mutex` */
} leat_gate_t;

/* A moment of CLOCK_MONOTONIC. */
typedef struct {
    bool is_never;
    struct timespec time;
} leat_deadline_t;

/* From now; negative means never. */
leat_deadline_t leat_deadline_in (int64_t timeout_ms);
uint64_t
leat_deadline_us (const leat_deadline_t *deadline); /* as leat_clock_us; UINT64_MAX: never */

uint64_t leat_clock_us (void);      /* monotonic */
uint64_t leat_clock_wall_ms (void); /* since 1970 UTC */

void leat_gate_init (leat_gate_t *self);
void leat_gate_deinit (leat_gate_t *self);

void leat_gate_lock (leat_gate_t *self);
void leat_gate_unlock (leat_gate_t *self);

/* Locks it for whoever has the turn (turn.c): those who lock it meanwhile come later. A mutex goes to who is
 * awake when it becomes free, so a thread that polls without a pause would take it again and again before
 * one that waits for it has woken, and keep the client from its heartbeats. */
void leat_gate_claim (leat_gate_t *self);

/* Waits, with the gate locked, for leat_gate_signal; may return earlier. False once the deadline has
 * passed. */
bool leat_gate_wait (leat_gate_t *self, const leat_deadline_t *deadline);

/* Wakes all that wait; one of them with the _one form. What they wait for was changed with the gate
 * locked. Where it matters the gate is unlocked first, since it is what they want next. */
void leat_gate_signal (leat_gate_t *self);
void leat_gate_signal_one (leat_gate_t *self);

/* Without the lock, after an atomic (sequentially consistent) change of what is waited for. Costs a
 * load when nobody waits: a waiter counts itself, by leat_gate_enter, before it looks. */
void leat_gate_announce (leat_gate_t *self);

/* Locks and counts the caller as waiting; and the reverse. What is looked at in between is either
 * changed already, or will be announced. */
void leat_gate_enter (leat_gate_t *self);
void leat_gate_leave (leat_gate_t *self);

/* Looks whether what is waited for has come: 0, EAGAIN if not yet, or why it never will. With the gate
 * locked. */
typedef int leat_gate_fn (void *arg);

/* With the gate locked: looks and waits until `look` returns something else than EAGAIN, and returns
 * that; or ETIMEDOUT once the deadline has passed. Threads that wait for something of a port rather call
 * leat_client_until (drive.h). */
int leat_gate_until (leat_gate_t *self, const leat_deadline_t *deadline, leat_gate_fn *look,
                     void *arg);

/* The same with leat_gate_enter before, and leat_gate_leave after. Negative: never, 0: at once. */
int leat_gate_await (leat_gate_t *self, int64_t timeout_ms, leat_gate_fn *look, void *arg);

#endif

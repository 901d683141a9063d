/* What threads of the application do of the client's work while they wait, or send.
 * SPDX-License-Identifier: MPL-2.0 */
#ifndef LEAT_CLIENT_DRIVE_H
#define LEAT_CLIENT_DRIVE_H

#include "client/gate.h"
#include "client/watch.h"

/* As leat_gate_until, with `gate`, one of the client's ports', locked; it is unlocked in between. The
 * thread takes turns itself and watches (watch.h) if
 *
 *  - no other thread waits or watches: each would wake the other one anyway,
 *  - the client has no callbacks: they are called in turns, and may take what this thread holds,
 *  - there is a session: to connect, and to end, is the business of the client's own thread. */
int leat_client_until (leat_client_t *self, leat_gate_t *gate, int64_t timeout_ms,
                       leat_gate_fn *look, void *arg);

/* As leat_gate_await, likewise. */
int leat_client_await (leat_client_t *self, leat_gate_t *gate, int64_t timeout_ms,
                       leat_gate_fn *look, void *arg);

/* The same without taking turns, for one who needs the client's own thread to work beside it: a producer
 * that has filled its window. */
int leat_client_stand_by (leat_client_t *self, leat_gate_t *gate, int64_t timeout_ms,
                          leat_gate_fn *look, void *arg);

/* Work was left that goes to the broker at once: takes a turn if nobody else is about to, or wakes one
 * who does. No gate may be locked. */
void leat_client_push (leat_client_t *self);

#endif

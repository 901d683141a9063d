/* Where application threads wait for the client's thread.
 * SPDX-License-Identifier: MPL-2.0 */
#include "client/gate.h"

#include <errno.h>

#include "wire/assert.h"

uint64_t leat_clock_us (void)
{
    struct timespec now;
    clock_gettime (CLOCK_MONOTONIC, &now);
    return (uint64_t) now.tv_sec * 1000000 + (uint64_t) now.tv_nsec / 1000;
}

uint64_t leat_clock_wall_ms (void)
{
    struct timespec now;
    clock_gettime (CLOCK_REALTIME, &now);
    return (uint64_t) now.tv_sec * 1000 + (uint64_t) now.tv_nsec / 1000000;
}

leat_deadline_t leat_deadline_in (int64_t timeout_ms)
{
    leat_deadline_t deadline = { .is_never = timeout_ms < 0 };
    if (deadline.is_never)
        return deadline;
    clock_gettime (CLOCK_MONOTONIC, &deadline.time);
    deadline.time.tv_sec += timeout_ms / 1000;
    deadline.time.tv_nsec += timeout_ms % 1000 * 1000000;
    if (deadline.time.tv_nsec >= 1000000000) {
        deadline.time.tv_nsec -= 1000000000;
        deadline.time.tv_sec++;
    }
    return deadline;
}

uint64_t leat_deadline_us (const leat_deadline_t *deadline)
{
    if (deadline->is_never)
        return UINT64_MAX;
    return (uint64_t) deadline->time.tv_sec * 1000000 + (uint64_t) deadline->time.tv_nsec / 1000;
}

/* These fail only if they are used wrongly. */
static void s_check (int error)
{
    leat_assert (error == 0);
}

static void s_init_mutex (pthread_mutex_t *mutex)
{
    pthread_mutexattr_t attributes;
    s_check (pthread_mutexattr_init (&attributes));
    s_check (pthread_mutexattr_setpshared (&attributes, PTHREAD_PROCESS_SHARED));
    s_check (pthread_mutex_init (mutex, &attributes));
    s_check (pthread_mutexattr_destroy (&attributes));
}

/* No other process shares a gate. But since 6.16 Linux has a table of its own for what threads of one
 * process wait for, with 4 lists for each processor and at least 16 (futex_hash_allocate_default), so that
 * to wake one of a thousand threads it walks past dozens of others. What processes may share is in
 * one large table. */
void leat_gate_init (leat_gate_t *self)
{
    pthread_condattr_t attributes;
    s_check (pthread_condattr_init (&attributes));
    s_check (pthread_condattr_setclock (&attributes, CLOCK_MONOTONIC));
    s_check (pthread_condattr_setpshared (&attributes, PTHREAD_PROCESS_SHARED));
    s_check (pthread_cond_init (&self->changed, &attributes));
    s_check (pthread_condattr_destroy (&attributes));
    s_init_mutex (&self->mutex);
    s_init_mutex (&self->claim);
    atomic_init (&self->waiting, 0);
    atomic_init (&self->is_claimed, false);
}

void leat_gate_deinit (leat_gate_t *self)
{
    s_check (pthread_cond_destroy (&self->changed));
    s_check (pthread_mutex_destroy (&self->claim));
    s_check (pthread_mutex_destroy (&self->mutex));
}

void leat_gate_lock (leat_gate_t *self)
{
    if (atomic_load_explicit (&self->is_claimed, memory_order_relaxed)) {
        s_check (pthread_mutex_lock (&self->claim));
        s_check (pthread_mutex_unlock (&self->claim));
    }
    s_check (pthread_mutex_lock (&self->mutex));
}

void leat_gate_claim (leat_gate_t *self)
{
    int error = pthread_mutex_trylock (&self->mutex);
    if (error == 0)
        return;
    leat_assert (error == EBUSY);
    s_check (pthread_mutex_lock (&self->claim));
    atomic_store (&self->is_claimed, true);
    s_check (pthread_mutex_lock (&self->mutex));
    atomic_store (&self->is_claimed, false);
    s_check (pthread_mutex_unlock (&self->claim));
}

void leat_gate_unlock (leat_gate_t *self)
{
    s_check (pthread_mutex_unlock (&self->mutex));
}

bool leat_gate_wait (leat_gate_t *self, const leat_deadline_t *deadline)
{
    if (deadline->is_never) {
        s_check (pthread_cond_wait (&self->changed, &self->mutex));
        return true;
    }
    int error = pthread_cond_timedwait (&self->changed, &self->mutex, &deadline->time);
    leat_assert (error == 0 || error == ETIMEDOUT);
    return error == 0;
}

void leat_gate_signal (leat_gate_t *self)
{
    s_check (pthread_cond_broadcast (&self->changed));
}

void leat_gate_signal_one (leat_gate_t *self)
{
    s_check (pthread_cond_signal (&self->changed));
}

void leat_gate_announce (leat_gate_t *self)
{
    if (atomic_load (&self->waiting) == 0)
        return;
    /* Who has not seen the change waits once the gate was free. */
    leat_gate_lock (self);
    leat_gate_unlock (self);
    leat_gate_signal (self);
}

void leat_gate_enter (leat_gate_t *self)
{
    leat_gate_lock (self);
    atomic_fetch_add (&self->waiting, 1);
}

void leat_gate_leave (leat_gate_t *self)
{
    atomic_fetch_sub (&self->waiting, 1);
    leat_gate_unlock (self);
}

int leat_gate_until (leat_gate_t *self, const leat_deadline_t *deadline, leat_gate_fn *look,
                     void *arg)
{
    for (bool in_time = true;; in_time = leat_gate_wait (self, deadline)) {
        int error = look (arg);
        if (error != EAGAIN)
            return error;
        if (!in_time)
            return ETIMEDOUT;
    }
}

int leat_gate_await (leat_gate_t *self, int64_t timeout_ms, leat_gate_fn *look, void *arg)
{
    leat_deadline_t deadline = leat_deadline_in (timeout_ms);
    leat_gate_enter (self);
    int error = leat_gate_until (self, &deadline, look, arg);
    leat_gate_leave (self);
    return error;
}

/* What the sessions of every contender have in common.
 * SPDX-License-Identifier: MPL-2.0 */
#include "bench/sessions.h"

#include <errno.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "wire/alloc.h"
#include "wire/assert.h"

#define S_STACK_SIZE ((size_t) 256 << 10)

static size_t s_size (unsigned count)
{
    return sizeof (leat_bench_sessions_t) + count * sizeof (leat_bench_session_t);
}

leat_bench_sessions_t *leat_bench_sessions_new (leat_bench_round_t *round, unsigned count)
{
    leat_bench_sessions_t *self = leat_bench_shared_new (s_size (count));
    if (!self)
        return NULL;
    self->round = round;
    self->count = count;
    self->go = eventfd (0, EFD_CLOEXEC);
    if (self->go < 0)
        leat_bench_sessions_destroy (&self);
    return self;
}

void leat_bench_sessions_destroy (leat_bench_sessions_t **self_p)
{
    leat_bench_sessions_t *self = *self_p;
    if (!self)
        return;
    if (self->go >= 0)
        close (self->go);
    leat_bench_shared_destroy (self, s_size (self->count));
    *self_p = NULL;
}

void leat_bench_sessions_go (leat_bench_sessions_t *self)
{
    uint64_t one = 1;
    ssize_t wrote = write (self->go, &one, sizeof one);
    leat_assert (wrote == (ssize_t) sizeof one);
}

void leat_bench_sessions_stop (leat_bench_sessions_t *self)
{
    atomic_store (&self->stop, true);
}

/* ---- sending --------------------------------------------------------------------------------- */

typedef struct {
    leat_bench_sessions_t *sessions;
    const leat_bench_bodies_t *bodies;
    leat_bench_session_send_fn *send;
    void *arg;
    unsigned number;
    pthread_t thread;
} s_thread_t;

static void *s_send (void *arg)
{
    s_thread_t *self = arg;
    leat_bench_sessions_t *sessions = self->sessions;
    uint8_t *body = leat_alloc (self->bodies->size);
    uint64_t number = 0;
    while (!atomic_load_explicit (&sessions->stop, memory_order_relaxed)) {
        leat_bench_bodies_make (self->bodies, self->number, number, body);
        if (!self->send (self->arg, self->number, body))
            atomic_store (&sessions->stop, true);
        else
            number++;
    }
    sessions->sessions[self->number].sent = number;
    free (body);
    return NULL;
}

int leat_bench_sessions_send (leat_bench_sessions_t *self, leat_bench_session_send_fn *send,
                              void *arg)
{
    leat_bench_round_t *round = self->round;
    leat_bench_bodies_t bodies;
    leat_bench_bodies_begin (&bodies, round->plan.size, round->plan.seed);
    s_thread_t *threads = leat_alloc (self->count * sizeof *threads);
    pthread_attr_t attributes;
    pthread_attr_init (&attributes);
    pthread_attr_setstacksize (&attributes, S_STACK_SIZE);
    uint64_t told;
    while (read (self->go, &told, sizeof told) < 0 && errno == EINTR) {
    }
    unsigned started = 0;
    for (int error = 0; !error && started < self->count; started += !error) {
        threads[started] = (s_thread_t){
            .sessions = self, .bodies = &bodies, .send = send, .arg = arg, .number = started
        };
        error = pthread_create (&threads[started].thread, &attributes, s_send, &threads[started]);
        if (error) {
            leat_bench_round_fail (round, "no thread: %s", strerror (error));
            atomic_store (&self->stop, true);
        }
    }
    for (unsigned i = 0; i < started; i++)
        pthread_join (threads[i].thread, NULL);
    pthread_attr_destroy (&attributes);
    free (threads);
    leat_bench_bodies_end (&bodies);
    atomic_store (&self->ended, true);
    return round->error[0] ? 1 : 0;
}

/* ---- receiving ------------------------------------------------------------------------------- */

bool leat_bench_sessions_take (leat_bench_sessions_t *self, const leat_bench_bodies_t *bodies,
                               const uint8_t *body, size_t size)
{
    uint64_t producer = UINT64_MAX;
    if (size >= LEAT_BENCH_BODIES_SIZE_MIN)
        memcpy (&producer, body + 8, 8);
    if (producer >= self->count) {
        leat_bench_round_fail (self->round, "a record is of no session");
        return false;
    }
    uint64_t number = self->sessions[producer].received;
    if (!leat_bench_bodies_same (bodies, producer, number, body, size)) {
        leat_bench_round_fail (self->round,
                               "record %" PRIu64 " of session %" PRIu64 " is not as it was sent",
                               number, producer);
        return false;
    }
    self->sessions[producer].received = number + 1;
    atomic_fetch_add_explicit (&self->received, 1, memory_order_relaxed);
    return true;
}

bool leat_bench_sessions_over (leat_bench_sessions_t *self)
{
    if (!atomic_load (&self->ended))
        return false;
    for (unsigned i = 0; i < self->count; i++)
        if (self->sessions[i].received < self->sessions[i].sent)
            return false;
    return true;
}

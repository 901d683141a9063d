/* Threads that receive records, call a handler and settle.
 * SPDX-License-Identifier: MPL-2.0 */
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "leat_consumer.h"
#include "wire/alloc.h"
#include "wire/assert.h"

enum { THREADS_MAX = 1024 };

struct leat_worker_pool {
    leat_consumer_t *consumer;
    leat_handler_fn *handler;
    void *arg;
    unsigned count;    /* threads that run and are not joined */
    atomic_int reason; /* why the first of them ended */
    pthread_t threads[];
};

static void s_handle (leat_worker_pool_t *self, leat_delivered_t *delivered)
{
    leat_verdict_t verdict = { 0 };
    switch (self->handler (self->arg, delivered, &verdict)) {
    case LEAT_ACK:
        leat_consumer_ack (self->consumer, delivered);
        break;
    case LEAT_REJECT:
        leat_consumer_reject (self->consumer, delivered, verdict.reason);
        break;
    case LEAT_NACK:
    default: /* whatever else a handler returns is no success */
        leat_consumer_nack (self->consumer, delivered, verdict.delay_ms);
        break;
    }
}

static void *s_work (void *arg)
{
    leat_worker_pool_t *self = arg;
    leat_delivered_t delivered;
    while (leat_consumer_receive (self->consumer, &delivered, -1) == 0)
        s_handle (self, &delivered);
    int none = 0;
    atomic_compare_exchange_strong (&self->reason, &none, errno);
    return NULL;
}

leat_worker_pool_t *leat_worker_pool_new (leat_consumer_t *consumer, unsigned threads,
                                          leat_handler_fn *handler, void *arg)
{
    if (threads == 0 || threads > THREADS_MAX || handler == NULL) {
        errno = EINVAL;
        return NULL;
    }
    leat_worker_pool_t *self = leat_alloc (sizeof *self + threads * sizeof *self->threads);
    self->consumer = consumer;
    self->handler = handler;
    self->arg = arg;
    sigset_t all, before;
    sigfillset (&all);
    pthread_sigmask (SIG_SETMASK, &all, &before);
    int error = 0;
    while (error == 0 && self->count < threads) {
        error = pthread_create (&self->threads[self->count], NULL, s_work, self);
        self->count += error == 0;
    }
    pthread_sigmask (SIG_SETMASK, &before, NULL);
    if (error == 0)
        return self;
    leat_worker_pool_destroy (&self);
    errno = error;
    return NULL;
}

int leat_worker_pool_wait (leat_worker_pool_t *self)
{
    for (; self->count > 0; self->count--) {
        int error = pthread_join (self->threads[self->count - 1], NULL);
        leat_assert (error == 0);
    }
    return atomic_load (&self->reason);
}

void leat_worker_pool_destroy (leat_worker_pool_t **self_p)
{
    leat_worker_pool_t *self = *self_p;
    if (self == NULL)
        return;
    *self_p = NULL;
    leat_consumer_leave (self->consumer, 0);
    leat_worker_pool_wait (self);
    free (self);
}

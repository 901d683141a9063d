/* A consumer of a paced stream that measures.
 * SPDX-License-Identifier: MPL-2.0 */
#include "bench/paced.h"

#include <pthread.h>
#include <string.h>

#include "bench/leat.h"
#include "bench/records.h"

#define S_TIMEOUT_MS 30000

static size_t s_size (uint64_t settles_max)
{
    return sizeof (leat_bench_paced_t) + (size_t) settles_max * sizeof (uint64_t);
}

leat_bench_paced_t *leat_bench_paced_new (leat_bench_round_t *round)
{
    leat_bench_paced_t *self = leat_bench_shared_new (s_size (round->samples_max));
    if (!self)
        return NULL;
    self->round = round;
    self->settles_max = round->samples_max;
    return self;
}

void leat_bench_paced_destroy (leat_bench_paced_t **self_p)
{
    leat_bench_paced_t *self = *self_p;
    if (!self)
        return;
    leat_bench_shared_destroy (self, s_size (self->settles_max));
    *self_p = NULL;
}

/* The thread that flushes, and what it is told. */
typedef struct {
    leat_bench_paced_t *paced;
    leat_consumer_t *consumer;
    pthread_t thread;
    pthread_mutex_t mutex;
    pthread_cond_t changed;
    uint64_t acked_ns; /* of the ack to be flushed; 0: none */
    bool busy;
    bool over;
} s_flusher_t;

static void *s_flush (void *arg)
{
    s_flusher_t *self = arg;
    leat_bench_paced_t *paced = self->paced;
    pthread_mutex_lock (&self->mutex);
    for (;;) {
        while (!self->acked_ns && !self->over)
            pthread_cond_wait (&self->changed, &self->mutex);
        if (!self->acked_ns)
            break;
        uint64_t acked_ns = self->acked_ns;
        pthread_mutex_unlock (&self->mutex);
        bool flushed = leat_consumer_flush (self->consumer, S_TIMEOUT_MS) == 0;
        uint64_t now_ns = leat_bench_now_ns ();
        if (!flushed)
            leat_bench_consumer_failed (paced->round, self->consumer, "cannot flush");
        else if (paced->settles_count < paced->settles_max)
            paced->settles_ns[paced->settles_count++] = now_ns - acked_ns;
        pthread_mutex_lock (&self->mutex);
        self->acked_ns = 0;
        self->busy = false;
    }
    pthread_mutex_unlock (&self->mutex);
    return NULL;
}

static void s_acked (s_flusher_t *self)
{
    uint64_t now_ns = leat_bench_now_ns ();
    pthread_mutex_lock (&self->mutex);
    if (!self->busy) {
        self->busy = true;
        self->acked_ns = now_ns;
        pthread_cond_signal (&self->changed);
    }
    pthread_mutex_unlock (&self->mutex);
}

static void s_receive (leat_bench_sink_t *sink, leat_consumer_t *consumer, s_flusher_t *flusher)
{
    bool more = true;
    leat_delivered_t delivered;
    while (more && leat_consumer_receive (consumer, &delivered, -1) == 0) {
        more = leat_bench_sink_check (sink, delivered.record.body, delivered.record.body_size);
        leat_consumer_ack (consumer, &delivered);
        if (sink->marked)
            s_acked (flusher);
    }
}

static int s_consume (void *arg, leat_consumer_t *consumer)
{
    leat_bench_paced_t *paced = arg;
    leat_bench_round_t *round = paced->round;
    s_flusher_t flusher = { .paced = paced, .consumer = consumer };
    pthread_mutex_init (&flusher.mutex, NULL);
    pthread_cond_init (&flusher.changed, NULL);
    int error = pthread_create (&flusher.thread, NULL, s_flush, &flusher);
    if (error) {
        leat_bench_round_fail (round, "no thread: %s", strerror (error));
        return 1;
    }
    leat_bench_sink_t sink;
    leat_bench_sink_begin (&sink, round);
    s_receive (&sink, consumer, &flusher);
    leat_bench_sink_end (&sink);
    pthread_mutex_lock (&flusher.mutex);
    flusher.over = true;
    pthread_cond_signal (&flusher.changed);
    pthread_mutex_unlock (&flusher.mutex);
    pthread_join (flusher.thread, NULL);
    pthread_cond_destroy (&flusher.changed);
    pthread_mutex_destroy (&flusher.mutex);

    if (!sink.done)
        return leat_bench_consumer_failed (round, consumer, "cannot receive");
    if (leat_consumer_leave (consumer, S_TIMEOUT_MS) != 0)
        return leat_bench_consumer_failed (round, consumer, "not all is settled");
    return round->complete && !round->error[0] ? 0 : 1;
}

int leat_bench_paced_consume (void *arg, int ready)
{
    leat_bench_paced_t *paced = arg;
    return leat_bench_consumer_run (paced->round, s_consume, paced, ready);
}

/* The consumer: what the application's threads do. The client's side is in consumer_port.c.
 * SPDX-License-Identifier: MPL-2.0 */
#include "consumers/consumer.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "wire/alloc.h"
#include "wire/assert.h"

/* ---- beginning and end ----------------------------------------------------------------------- */

typedef struct {
    leat_client_t *client;
    leat_consumer_t *consumer;
    int error;
} s_join_t;

/* On the client's thread. */
static void s_join (void *arg)
{
    s_join_t *join = arg;
    join->error = leat_client_verdict (join->client);
    if (join->error == 0
        && !leat_session_add_consumer (join->client->session, join->consumer->engine))
        join->error = ENOSPC;
    if (join->error == 0)
        leat_client_join (join->client, &join->consumer->port,
                          leat_consumer_engine_attention (join->consumer->engine));
}

static bool s_options_valid (const char *stream, const leat_consumer_options_t *options)
{
    leat_text_t name = leat_text (stream);
    return leat_name_valid (name)
           && (options->group == NULL || leat_name_valid (leat_text (options->group)))
           && options->start >= LEAT_START_EARLIEST && options->start <= LEAT_START_TIME;
}

static void s_free (leat_consumer_t *self)
{
    leat_consumer_engine_destroy (&self->engine);
    leat_gate_deinit (&self->gate);
    free (self);
}

leat_consumer_t *leat_consumer_new (leat_client_t *client, const char *stream,
                                    const leat_consumer_options_t *options)
{
    static const leat_consumer_options_t defaults;
    if (options == NULL)
        options = &defaults;
    if (!s_options_valid (stream, options)) {
        errno = EINVAL;
        return NULL;
    }
    leat_consumer_t *self = leat_alloc (sizeof *self);
    self->port.ops = &leat_consumer_port_ops;
    leat_gate_init (&self->gate);
    TAILQ_INIT (&self->inbox);
    TAILQ_INIT (&self->live);
    TAILQ_INIT (&self->taken);
    self->batch_records = options->batch_records ? options->batch_records : UINT32_MAX;
    leat_consumer_engine_options_t engine = {
        .stream = stream,
        .group = options->group,
        .must_exist = options->must_exist,
        .start = options->start,
        .start_value = options->start_value,
        .credit_records = options->credit_records,
        .credit_size = options->credit_size,
        .settle_delay_us = options->settle_delay_us,
    };
    self->engine = leat_consumer_engine_new (&engine);
    s_join_t join = { client, self, 0 };
    leat_client_call (client, s_join, &join);
    if (join.error == 0)
        return self;
    s_free (self);
    errno = join.error;
    return NULL;
}

/* On the client's thread. Nothing of the consumer is touched by the application any more. */
static void s_abandon (void *arg)
{
    leat_consumer_t *self = arg;
    leat_consumer_port_leave (self);
    leat_gate_claim (&self->gate);
    leat_lease_t *lease;
    while ((lease = TAILQ_FIRST (&self->live)) != NULL) {
        leat_lease_decide (lease, 0, lease->delivery.count, LEAT_NACK, 0, NULL);
        TAILQ_REMOVE (&self->live, lease, in_live);
        leat_lease_free (lease);
    }
    leat_gate_unlock (&self->gate);
    self->is_abandoned = true;
    if (self->port.ops->is_over (&self->port))
        self->port.ops->destroy (&self->port);
}

void leat_consumer_destroy (leat_consumer_t **self_p)
{
    leat_consumer_t *self = *self_p;
    if (self == NULL)
        return;
    *self_p = NULL;
    leat_client_t *client = self->port.client;
    leat_client_hold (client);
    leat_client_call (client, s_abandon, self);
    leat_client_release (client);
}

/* ---- receiving; within the gate -------------------------------------------------------------- */

/* Tells the client's thread how many records would be started at once, now. True if it has some, and
 * is to hear of it; if it gets some at this moment it sees `wanted` before it sleeps. */
static bool s_want (leat_consumer_t *self)
{
    unsigned wanted = self->receivers > 0 ? self->receivers : self->is_asked;
    atomic_store (&self->wanted, wanted);
    return wanted > 0 && atomic_load (&self->leased) > 0;
}

/* Why there will be nothing to receive; 0 if there may be. */
static int s_end_of_records (leat_consumer_t *self)
{
    int verdict = atomic_load (&self->verdict);
    if (verdict != 0)
        return verdict;
    if (self->is_leaving)
        return ESHUTDOWN;
    return atomic_load (&self->is_empty) ? ENODATA : 0;
}

static int s_look_in_inbox (void *arg)
{
    leat_consumer_t *self = arg;
    if (!TAILQ_EMPTY (&self->inbox))
        return 0;
    int error = s_end_of_records (self);
    return error != 0 ? error : EAGAIN;
}

/* Waits for a lease in the inbox; NULL with errno set if none comes. */
static leat_lease_t *s_await (leat_consumer_t *self, int timeout_ms)
{
    leat_lease_t *lease = TAILQ_FIRST (&self->inbox);
    if (lease != NULL)
        return lease;
    self->receivers++;
    if (s_want (self))
        leat_port_mark (&self->port);
    int error =
        leat_client_until (self->port.client, &self->gate, timeout_ms, s_look_in_inbox, self);
    if (error == ETIMEDOUT && timeout_ms == 0)
        error = EAGAIN;
    self->receivers--;
    self->is_asked = error == EAGAIN;
    if (s_want (self))
        leat_port_call (&self->port, LEAT_AT_ONCE);
    if (error != 0)
        errno = error;
    return error == 0 ? TAILQ_FIRST (&self->inbox) : NULL;
}

/* `count` records of a lease leave the inbox; unlocks the gate. The client's thread is woken if it has more to
 * hand over: last, since it wants the gate next, and may take the processor of the one that wakes it. */
static void s_received (leat_consumer_t *self, const leat_lease_t *lease, uint32_t count)
{
    uint64_t before = atomic_fetch_sub (&self->queued, count);
    uint64_t low = atomic_load (&self->ahead) / 2;
    bool is_low = before > low && before - count <= low && low > 0;
    bool was_staged = lease == atomic_load (&self->staged);
    if (was_staged)
        atomic_store (&self->staged, NULL);
    self->unsettled += count;
    leat_gate_unlock (&self->gate);
    bool is_more = atomic_load (&self->leased) > 0;
    if (is_low && is_more)
        leat_port_call (&self->port, LEAT_AT_ONCE);
    else if (was_staged)
        leat_port_call (&self->port, is_more ? LEAT_AT_ONCE : LEAT_LATER);
}

int leat_consumer_receive (leat_consumer_t *self, leat_delivered_t *delivered, int timeout_ms)
{
    atomic_store_explicit (&self->by_batches, false, memory_order_relaxed);
    leat_gate_lock (&self->gate);
    leat_lease_t *lease = s_await (self, timeout_ms);
    if (lease != NULL) {
        leat_lease_next (lease, delivered);
        if (lease->received == lease->delivery.count)
            TAILQ_REMOVE (&self->inbox, lease, in_inbox);
        s_received (self, lease, 1);
        return 0;
    }
    leat_gate_unlock (&self->gate);
    return -1;
}

/* The records of a lease that were not received yet, as a lease of their own. */
static leat_lease_t *s_rest (leat_consumer_t *self, leat_lease_t *lease)
{
    leat_delivery_t delivery = lease->delivery;
    delivery.first += lease->received;
    delivery.count -= lease->received;
    delivery.records.offset += lease->position;
    delivery.records.size -= lease->position;
    leat_buffer_hold (delivery.records.buffer);
    leat_lease_t *rest = leat_lease_new (self, &delivery);
    lease->unsettled -= delivery.count;
    lease->delivery.count = lease->received;
    if (lease->unsettled == 0) {
        TAILQ_REMOVE (&self->live, lease, in_live);
        leat_lease_free (lease);
    }
    TAILQ_INSERT_TAIL (&self->live, rest, in_live);
    return rest;
}

leat_lease_t *leat_consumer_receive_batch (leat_consumer_t *self, int timeout_ms)
{
    atomic_store_explicit (&self->by_batches, true, memory_order_relaxed);
    leat_gate_lock (&self->gate);
    leat_lease_t *lease = s_await (self, timeout_ms);
    if (lease == NULL) {
        leat_gate_unlock (&self->gate);
        return NULL;
    }
    TAILQ_REMOVE (&self->inbox, lease, in_inbox);
    if (lease->received > 0)
        lease = s_rest (self, lease);
    lease->is_whole = true;
    s_received (self, lease, lease->delivery.count);
    return lease;
}

/* ---- flushing, emptiness, leaving ------------------------------------------------------------ */

typedef struct {
    leat_consumer_t *consumer;
    uint64_t token;
    uint32_t credit_records;
    uint64_t credit_size;
} s_request_t;

static void s_flush (void *arg)
{
    s_request_t *request = arg;
    leat_consumer_t *self = request->consumer;
    leat_consumer_port_decide (self, leat_clock_us ());
    request->token = leat_consumer_engine_flush (self->engine);
    atomic_store (&self->flushed, leat_consumer_engine_flushed (self->engine));
}

static int s_await_news (leat_consumer_t *self, int timeout_ms, leat_gate_fn *look, void *arg)
{
    return leat_client_await (self->port.client, &self->gate, timeout_ms, look, arg);
}

/* Ends a wait for the client's thread. */
static int s_result (int error)
{
    errno = error;
    return error == 0 ? 0 : -1;
}

static int s_look_flushed (void *arg)
{
    const s_request_t *request = arg;
    leat_consumer_t *self = request->consumer;
    if (atomic_load (&self->flushed) >= request->token || atomic_load (&self->has_left))
        return 0;
    int verdict = atomic_load (&self->verdict);
    return verdict != 0 ? verdict : EAGAIN;
}

int leat_consumer_flush (leat_consumer_t *self, int timeout_ms)
{
    s_request_t request = { .consumer = self };
    leat_client_call (self->port.client, s_flush, &request);
    return s_result (s_await_news (self, timeout_ms, s_look_flushed, &request));
}

static void s_ask_empty (void *arg)
{
    leat_consumer_t *self = arg;
    leat_consumer_engine_ask_empty (self->engine);
    atomic_store (&self->is_empty, false);
    atomic_store (&self->is_empty_asked, true);
}

void leat_consumer_ask_empty (leat_consumer_t *self)
{
    leat_client_call (self->port.client, s_ask_empty, self);
}

static int s_look_empty (void *arg)
{
    leat_consumer_t *self = arg;
    if (atomic_load (&self->is_empty))
        return 0;
    int verdict = atomic_load (&self->verdict);
    if (verdict != 0)
        return verdict;
    return self->is_leaving ? ESHUTDOWN : EAGAIN;
}

int leat_consumer_wait_empty (leat_consumer_t *self, int timeout_ms)
{
    if (!atomic_load (&self->is_empty_asked))
        leat_consumer_ask_empty (self);
    return s_result (s_await_news (self, timeout_ms, s_look_empty, self));
}

static void s_allow (void *arg)
{
    const s_request_t *request = arg;
    leat_consumer_engine_allow (request->consumer->engine, request->credit_records,
                                request->credit_size);
}

void leat_consumer_allow (leat_consumer_t *self, uint32_t credit_records, uint64_t credit_size)
{
    s_request_t request = { self, 0, credit_records, credit_size };
    leat_client_call (self->port.client, s_allow, &request);
}

static void s_leave (void *arg)
{
    leat_consumer_port_leave (arg);
}

static int s_look_left (void *arg)
{
    leat_consumer_t *self = arg;
    int verdict = atomic_load (&self->verdict);
    if (atomic_load (&self->has_left) || verdict == ESHUTDOWN)
        return 0;
    return verdict != 0 ? verdict : EAGAIN;
}

int leat_consumer_leave (leat_consumer_t *self, int timeout_ms)
{
    leat_client_call (self->port.client, s_leave, self);
    return s_result (s_await_news (self, timeout_ms, s_look_left, self));
}

bool leat_consumer_drained (const leat_consumer_t *self)
{
    return atomic_load (&self->is_drained);
}

uint64_t leat_consumer_stale (const leat_consumer_t *self)
{
    return atomic_load (&self->stale);
}

uint64_t leat_consumer_damaged (const leat_consumer_t *self)
{
    return atomic_load (&self->damaged);
}

leat_code_t leat_consumer_error (leat_consumer_t *self, char *text, size_t size)
{
    leat_gate_lock (&self->gate);
    leat_code_t code = leat_client_tell (&self->fault, text, size);
    leat_gate_unlock (&self->gate);
    return code;
}

/* Leases that are with the application, and what it decides about their records.
 * SPDX-License-Identifier: MPL-2.0 */
#include "consumers/consumer.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "wire/alloc.h"
#include "wire/assert.h"
#include "wire/record.h"

leat_lease_t *leat_lease_new (leat_consumer_t *consumer, const leat_delivery_t *delivery)
{
    leat_lease_t *self = leat_alloc (sizeof *self + (delivery->count + 7) / 8);
    self->consumer = consumer;
    self->delivery = *delivery;
    self->unsettled = delivery->count;
    return self;
}

void leat_lease_free (leat_lease_t *self)
{
    leat_buffer_release (&self->delivery.records.buffer);
    free (self);
}

/* ---- decisions ------------------------------------------------------------------------------- */

static bool s_joins (const leat_decision_t *last, const leat_decision_t *next)
{
    return last->session == next->session && last->epoch == next->epoch
           && last->first + last->count == next->first && last->outcome == next->outcome
           && last->delay_ms == next->delay_ms && last->reason == NULL && next->reason == NULL;
}

void leat_decisions_add (leat_decisions_t *self, const leat_decision_t *decision)
{
    if (self->count > 0 && s_joins (&self->items[self->count - 1], decision)) {
        self->items[self->count - 1].count += decision->count;
        return;
    }
    if (self->count == self->room) {
        self->room = self->room ? 2 * self->room : 64;
        self->items = leat_realloc (self->items, self->room * sizeof *self->items);
    }
    leat_decision_t *item = &self->items[self->count++];
    *item = *decision;
    if (decision->reason != NULL)
        item->reason = leat_copy_text (decision->reason, strnlen (decision->reason, LEAT_TEXT_MAX));
}

void leat_decisions_clear (leat_decisions_t *self)
{
    for (size_t index = 0; index < self->count; index++)
        free (self->items[index].reason);
    free (self->items);
    *self = (leat_decisions_t){ 0 };
}

/* ---- settling -------------------------------------------------------------------------------- */

static bool s_is_settled (const leat_lease_t *self, uint32_t index)
{
    return self->settled[index / 8] >> index % 8 & 1;
}

uint32_t leat_lease_decide (leat_lease_t *self, uint32_t from, uint32_t to, uint32_t outcome,
                            uint32_t delay_ms, const char *reason)
{
    uint32_t decided = 0;
    while (from < to) {
        if (s_is_settled (self, from)) {
            from++;
            continue;
        }
        leat_decision_t decision = {
            .session = self->delivery.session,
            .epoch = self->delivery.epoch,
            .first = self->delivery.first + from,
            .outcome = outcome,
            .delay_ms = outcome == LEAT_NACK ? delay_ms : 0,
            .reason = outcome == LEAT_REJECT ? (char *) (uintptr_t) reason : NULL,
        };
        for (; from < to && !s_is_settled (self, from); from++) {
            self->settled[from / 8] |= (uint8_t) (1u << from % 8);
            decision.count++;
        }
        leat_decisions_add (&self->consumer->decisions, &decision);
        decided += decision.count;
    }
    self->unsettled -= decided;
    atomic_store (&self->consumer->decided, self->consumer->decisions.count);
    return decided;
}

/* After a decision about received records; unlocks the gate. The engine gathers settles for a
 * millisecond, so the client's thread is woken from a long sleep only, or if the application has
 * nothing left to do and does not settle several in a millisecond. While a record is staged it is not woken:
 * whoever comes for that does so, and else it looks by itself (LOOK_MIN_US in consumer_port.c). */
static void s_decided (leat_consumer_t *self, uint32_t count)
{
    leat_assert (self->unsettled >= count);
    self->unsettled -= count;
    bool is_urgent =
        self->unsettled == 0 && atomic_load (&self->queued) == 0 && atomic_load (&self->ahead) == 0;
    bool is_followed = atomic_load (&self->staged) != NULL;
    leat_gate_unlock (&self->gate);
    atomic_fetch_add (&self->settled, count);
    if (!is_followed)
        leat_port_call (&self->port, is_urgent ? LEAT_SOON : LEAT_LATER);
}

static int s_settle (leat_consumer_t *self, leat_delivered_t *delivered, uint32_t outcome,
                     uint32_t delay_ms, const char *reason)
{
    leat_lease_t *lease = delivered->lease;
    if (lease == NULL || lease->consumer != self) {
        errno = EALREADY;
        return -1;
    }
    delivered->lease = NULL;
    leat_gate_lock (&self->gate);
    uint32_t index = delivered->index;
    uint32_t count = leat_lease_decide (lease, index, index + 1, outcome, delay_ms, reason);
    if (lease->unsettled == 0 && !lease->is_whole) {
        TAILQ_REMOVE (&self->live, lease, in_live);
        leat_lease_free (lease);
    }
    s_decided (self, count);
    if (count == 1)
        return 0;
    errno = EALREADY;
    return -1;
}

int leat_consumer_ack (leat_consumer_t *self, leat_delivered_t *delivered)
{
    return s_settle (self, delivered, LEAT_ACK, 0, NULL);
}

int leat_consumer_nack (leat_consumer_t *self, leat_delivered_t *delivered, uint32_t delay_ms)
{
    return s_settle (self, delivered, LEAT_NACK, delay_ms, NULL);
}

int leat_consumer_reject (leat_consumer_t *self, leat_delivered_t *delivered, const char *reason)
{
    return s_settle (self, delivered, LEAT_REJECT, 0, reason);
}

int leat_consumer_give_back (leat_consumer_t *self, leat_delivered_t *delivered)
{
    return s_settle (self, delivered, 0, 0, NULL);
}

/* ---- whole leases ---------------------------------------------------------------------------- */

static void s_settle_rest (leat_lease_t **self_p, uint32_t outcome, uint32_t delay_ms,
                           const char *reason)
{
    leat_lease_t *self = *self_p;
    if (self == NULL)
        return;
    *self_p = NULL;
    leat_consumer_t *consumer = self->consumer;
    leat_gate_lock (&consumer->gate);
    uint32_t count = leat_lease_decide (self, 0, self->delivery.count, outcome, delay_ms, reason);
    TAILQ_REMOVE (&consumer->live, self, in_live);
    s_decided (consumer, count);
    leat_lease_free (self);
}

void leat_lease_ack (leat_lease_t **self_p)
{
    s_settle_rest (self_p, LEAT_ACK, 0, NULL);
}

void leat_lease_nack (leat_lease_t **self_p, uint32_t delay_ms)
{
    s_settle_rest (self_p, LEAT_NACK, delay_ms, NULL);
}

void leat_lease_reject (leat_lease_t **self_p, const char *reason)
{
    s_settle_rest (self_p, LEAT_REJECT, 0, reason);
}

void leat_lease_give_back (leat_lease_t **self_p)
{
    s_settle_rest (self_p, 0, 0, NULL);
}

uint32_t leat_lease_count (const leat_lease_t *self)
{
    return self->delivery.count;
}

bool leat_lease_next (leat_lease_t *self, leat_delivered_t *delivered)
{
    const leat_delivery_t *delivery = &self->delivery;
    if (self->received == delivery->count)
        return false;
    const uint8_t *bytes = leat_slice_bytes (delivery->records);
    size_t taken =
        leat_record_decode (&delivered->record, delivery->extended, bytes + self->position,
                            delivery->records.size - self->position);
    leat_assert (taken > 0); /* the engine has checked the batch */
    self->position += taken;
    delivered->index = self->received++;
    delivered->offset = delivery->first + delivered->index;
    delivered->epoch = delivery->epoch;
    delivered->time_ms = delivery->time_ms;
    delivered->attempt = delivery->attempt;
    delivered->redelivered = delivery->redelivered;
    delivered->lease = self;
    return true;
}

/* The consumer: what the client's thread does for it.
 * SPDX-License-Identifier: MPL-2.0 */
#include "consumers/consumer.h"

#include <errno.h>
#include <stdlib.h>

#include "wire/assert.h"

enum {
    PACE_US = 1000, /* over how long the pace is measured, at least */

    /* While a record is staged nobody is told of decisions: whoever comes for that record tells of them. They are
     * looked for, in case nobody comes, after this time, and then after twice, four times ... as long. So a
     * settle waits no longer than its record took, or this, and who works for hours is seldom looked at. */
    LOOK_MIN_US = 2000,
    LOOK_MAX_US = 1000000
};

static leat_consumer_t *s_self (leat_port_t *port)
{
    return (leat_consumer_t *) port;
}

/* ---- decisions ------------------------------------------------------------------------------- */

void leat_consumer_port_decide (leat_consumer_t *self, uint64_t now_us)
{
    if (atomic_load (&self->decided) == 0)
        return;
    leat_gate_claim (&self->gate);
    leat_decisions_t decisions = self->decisions;
    self->decisions = (leat_decisions_t){ 0 };
    atomic_store (&self->decided, 0);
    leat_gate_unlock (&self->gate);
    for (size_t index = 0; index < decisions.count; index++) {
        const leat_decision_t *item = &decisions.items[index];
        if (item->outcome == 0)
            leat_consumer_engine_give_back (self->engine, item->session, item->epoch, item->first,
                                            item->count);
        else
            leat_consumer_engine_settle (self->engine, item->session, item->epoch, item->first,
                                         item->count, (leat_outcome_t) item->outcome,
                                         item->delay_ms, item->reason, now_us);
    }
    leat_decisions_clear (&decisions);
}

/* ---- handing over ---------------------------------------------------------------------------- */

/* How many records the application settles in a millisecond: so many may be handed over ahead of
 * its asking. Below two it is not worth the risk of making suspects. */
static void s_measure_pace (leat_consumer_t *self, uint64_t now_us)
{
    if (now_us < self->pace_us + PACE_US)
        return;
    uint64_t settled = atomic_load (&self->settled);
    double elapsed_ms = (double) (now_us - self->pace_us) / PACE_US;
    double pace = (double) (settled - self->pace_settled) / elapsed_ms;
    self->pace = elapsed_ms >= 8 ? pace : (self->pace + pace) / 2;
    self->pace_us = now_us;
    self->pace_settled = settled;
    atomic_store (&self->ahead, self->pace >= 2 ? (uint64_t) self->pace : 0);
}

/* How many records to take from the engine, at most; 0 for none. `taken` are on their way. */
static uint32_t s_demand (leat_consumer_t *self, uint64_t taken)
{
    uint64_t at_hand = atomic_load (&self->queued) + taken;
    uint64_t wanted = atomic_load (&self->wanted);
    uint64_t ahead = atomic_load (&self->ahead);
    if (atomic_load_explicit (&self->by_batches, memory_order_relaxed))
        return at_hand < ahead || (at_hand == 0 && wanted > 0) ? self->batch_records : 0;
    uint64_t demand = wanted + ahead > at_hand ? wanted + ahead - at_hand : 0;
    return demand < UINT32_MAX ? (uint32_t) demand : UINT32_MAX;
}

static uint64_t s_taken (const leat_consumer_t *self)
{
    uint64_t count = 0;
    const leat_lease_t *lease;
    TAILQ_FOREACH (lease, &self->taken, in_inbox)
        count += lease->delivery.count;
    return count;
}

/* ---- one record ahead of an application that works ------------------------------------------- */

static bool s_is_taken (const leat_consumer_t *self, const leat_lease_t *lease)
{
    const leat_lease_t *taken = TAILQ_FIRST (&self->taken);
    while (taken != NULL && taken != lease)
        taken = TAILQ_NEXT (taken, in_inbox);
    return taken != NULL;
}

/* Takes back what is staged; false if the application was faster. */
static bool s_withdraw (leat_consumer_t *self)
{
    leat_gate_claim (&self->gate);
    leat_lease_t *lease = atomic_exchange (&self->staged, NULL);
    if (lease != NULL && !s_is_taken (self, lease)) {
        TAILQ_REMOVE (&self->inbox, lease, in_inbox);
        TAILQ_REMOVE (&self->live, lease, in_live);
        atomic_fetch_sub (&self->queued, lease->delivery.count);
    } else if (lease != NULL)
        TAILQ_REMOVE (&self->taken, lease, in_inbox);
    leat_gate_unlock (&self->gate);
    if (lease == NULL)
        return false;
    const leat_delivery_t *delivery = &lease->delivery;
    leat_consumer_engine_give_back (self->engine, delivery->session, delivery->epoch,
                                    delivery->first, delivery->count);
    leat_lease_free (lease);
    return true;
}

/* What became of the record that was staged: received, or wanted back. */
static void s_look_at_staged (leat_consumer_t *self)
{
    if (!self->has_staged)
        return;
    bool is_received = atomic_load (&self->staged) == NULL;
    if (!is_received && leat_consumer_engine_is_staged (self->engine))
        return;
    if (is_received || !s_withdraw (self))
        leat_consumer_engine_claim (self->engine);
    self->has_staged = false;
}

/* Whoever works on a record finds the next one in the inbox when that is done, instead of waiting for a
 * turn of the client. What is handed over ahead of a quicker one serves for that, too. */
static void s_stage (leat_consumer_t *self, uint64_t taken, leat_outbox_t *outbox)
{
    leat_delivery_t delivery;
    if (self->has_staged || atomic_load (&self->queued) + taken > atomic_load (&self->wanted)
        || atomic_load_explicit (&self->by_batches, memory_order_relaxed)
        || leat_consumer_engine_started (self->engine) == 0
        || !leat_consumer_engine_stage (self->engine, &delivery, outbox))
        return;
    leat_lease_t *lease = leat_lease_new (self, &delivery);
    TAILQ_INSERT_TAIL (&self->taken, lease, in_inbox);
    atomic_store (&self->staged, lease);
    self->has_staged = true;
    self->look_after_us = LOOK_MIN_US / 2;
    self->look_us = 0;
}

static void s_look_later (leat_consumer_t *self, uint64_t now_us)
{
    if (!self->has_staged) {
        self->look_us = UINT64_MAX;
    } else if (now_us >= self->look_us) {
        self->look_after_us *= 2;
        if (self->look_after_us > LOOK_MAX_US)
            self->look_after_us = LOOK_MAX_US;
        self->look_us = now_us + self->look_after_us;
    }
}

static void s_feed (leat_port_t *port, uint64_t now_us)
{
    leat_consumer_t *self = s_self (port);
    s_look_at_staged (self);
    leat_consumer_port_decide (self, now_us);
    s_measure_pace (self, now_us);
    leat_consumer_engine_tick (self->engine, now_us);
    if (leat_consumer_engine_drained (self->engine) && !atomic_load (&self->is_drained)) {
        atomic_store (&self->is_drained, true);
        leat_consumer_port_leave (self);
    }
    leat_outbox_t *outbox = leat_session_outbox (port->client->session);
    leat_delivery_t delivery;
    uint32_t demand;
    uint64_t taken = s_taken (self);
    while ((demand = s_demand (self, taken)) > 0
           && leat_consumer_engine_take (self->engine, demand, &delivery, outbox)) {
        leat_lease_t *lease = leat_lease_new (self, &delivery);
        TAILQ_INSERT_TAIL (&self->taken, lease, in_inbox);
        taken += delivery.count;
    }
    s_stage (self, taken, outbox);
    s_look_later (self, now_us);
}

/* What was reported is handed over, now that the report is on its way. */
static void s_hand_over (leat_consumer_t *self)
{
    if (TAILQ_EMPTY (&self->taken))
        return;
    leat_gate_claim (&self->gate);
    leat_lease_t *lease;
    uint64_t count = 0;
    while ((lease = TAILQ_FIRST (&self->taken)) != NULL) {
        TAILQ_REMOVE (&self->taken, lease, in_inbox);
        TAILQ_INSERT_TAIL (&self->inbox, lease, in_inbox);
        TAILQ_INSERT_TAIL (&self->live, lease, in_live);
        count += lease->delivery.count;
    }
    atomic_fetch_add (&self->queued, count);
    self->is_asked = false;
    /* No more threads than there are records; but others may wait at the same gate. */
    bool is_for_all = count >= self->receivers || atomic_load (&self->gate.waiting) > 0;
    leat_gate_unlock (&self->gate);
    if (is_for_all)
        leat_gate_signal (&self->gate);
    else
        for (; count > 0; count--)
            leat_gate_signal_one (&self->gate);
}

/* Ends what was taken and not handed over. */
static void s_drop_taken (leat_consumer_t *self, bool is_told)
{
    leat_lease_t *lease;
    while ((lease = TAILQ_FIRST (&self->taken)) != NULL) {
        const leat_delivery_t *delivery = &lease->delivery;
        if (is_told)
            leat_consumer_engine_give_back (self->engine, delivery->session, delivery->epoch,
                                            delivery->first, delivery->count);
        TAILQ_REMOVE (&self->taken, lease, in_inbox);
        if (lease == atomic_load (&self->staged))
            atomic_store (&self->staged, NULL);
        leat_lease_free (lease);
    }
}

void leat_consumer_purge (leat_consumer_t *self, bool is_told)
{
    leat_lease_t *lease;
    while ((lease = TAILQ_FIRST (&self->inbox)) != NULL) {
        TAILQ_REMOVE (&self->inbox, lease, in_inbox);
        if (lease == atomic_load (&self->staged))
            atomic_store (&self->staged, NULL);
        uint32_t rest = lease->delivery.count - lease->received;
        if (is_told)
            leat_lease_decide (lease, lease->received, lease->delivery.count, 0, 0, NULL);
        else
            lease->unsettled -= rest;
        lease->delivery.count = lease->received;
        if (lease->unsettled == 0) {
            TAILQ_REMOVE (&self->live, lease, in_live);
            leat_lease_free (lease);
        }
    }
    atomic_store (&self->queued, 0);
}

void leat_consumer_port_leave (leat_consumer_t *self)
{
    leat_gate_claim (&self->gate);
    self->is_leaving = true;
    leat_consumer_purge (self, true);
    leat_gate_signal (&self->gate);
    leat_gate_unlock (&self->gate);
    s_drop_taken (self, true);
    leat_consumer_port_decide (self, leat_clock_us ());
    leat_consumer_engine_leave (self->engine);
}

/* ---- telling the application ----------------------------------------------------------------- */

/* Stores, and says whether that was new. */
static bool s_is_new (_Atomic uint64_t *place, uint64_t value)
{
    if (atomic_load_explicit (place, memory_order_relaxed) == value)
        return false;
    atomic_store (place, value);
    return true;
}

static bool s_is_set (atomic_bool *place, bool value)
{
    if (!value || atomic_load_explicit (place, memory_order_relaxed))
        return false;
    atomic_store (place, true);
    return true;
}

static bool s_give_verdict (leat_consumer_t *self)
{
    int verdict = leat_client_verdict (self->port.client);
    leat_code_t code;
    const char *text = leat_consumer_engine_error (self->engine, &code);
    bool has_failed = leat_consumer_engine_state (self->engine) == LEAT_CONSUMER_FAILED;
    if (has_failed)
        verdict = EPIPE;
    if (verdict == atomic_load (&self->verdict) && code == self->fault.code)
        return false;
    leat_gate_claim (&self->gate);
    if (verdict == EPIPE && !has_failed)
        self->fault = self->port.client->fault;
    else if (code != self->fault.code)
        leat_fault_set (&self->fault, code, "%s", text);
    atomic_store (&self->verdict, verdict);
    leat_gate_unlock (&self->gate);
    return true;
}

static void s_publish (leat_port_t *port, bool is_sent)
{
    leat_consumer_t *self = s_self (port);
    const leat_consumer_engine_t *engine = self->engine;
    if (is_sent)
        s_hand_over (self);
    else if (!TAILQ_EMPTY (&self->taken))
        leat_port_defer (port);
    atomic_store (&self->leased, leat_consumer_engine_waiting (engine));
    atomic_store (&self->stale, leat_consumer_engine_stale (engine));
    atomic_store (&self->damaged, leat_consumer_engine_damaged (engine));
    bool is_news = s_give_verdict (self);
    is_news |= s_is_new (&self->flushed, leat_consumer_engine_flushed (engine));
    is_news |= s_is_set (&self->is_empty, leat_consumer_engine_empty (engine));
    is_news |=
        s_is_set (&self->has_left, leat_consumer_engine_state (engine) == LEAT_CONSUMER_ENDED);
    if (!is_news)
        return;
    leat_gate_claim (&self->gate);
    leat_gate_signal (&self->gate);
    leat_gate_unlock (&self->gate);
}

/* ---- the rest -------------------------------------------------------------------------------- */

/* Nobody has received what is in the inbox: somebody else is given it. */
static void s_lost (leat_port_t *port)
{
    leat_consumer_t *self = s_self (port);
    s_drop_taken (self, false);
    leat_gate_claim (&self->gate);
    leat_consumer_purge (self, false);
    leat_gate_unlock (&self->gate);
}

static bool s_waits (leat_port_t *port)
{
    leat_consumer_t *self = s_self (port);
    if (atomic_load (&self->decided) > 0)
        return true;
    return leat_consumer_engine_state (self->engine) == LEAT_CONSUMER_ATTACHED
           && leat_consumer_engine_waiting (self->engine) > 0
           && s_demand (self, s_taken (self)) > 0;
}

static uint64_t s_deadline (const leat_port_t *port)
{
    return ((const leat_consumer_t *) port)->look_us;
}

static bool s_drain (leat_port_t *port)
{
    leat_consumer_t *self = s_self (port);
    leat_consumer_port_leave (self);
    return true; /* leat_session_close waits for the rest */
}

static bool s_is_over (const leat_port_t *port)
{
    const leat_consumer_t *self = (const leat_consumer_t *) port;
    leat_consumer_state_t state = leat_consumer_engine_state (self->engine);
    return self->is_abandoned
           && (state == LEAT_CONSUMER_ENDED || state == LEAT_CONSUMER_FAILED
               || leat_client_verdict (port->client) != 0);
}

static void s_destroy (leat_port_t *port)
{
    leat_consumer_t *self = s_self (port);
    leat_client_t *client = port->client;
    leat_assert (TAILQ_EMPTY (&self->live) && TAILQ_EMPTY (&self->taken));
    leat_session_remove_consumer (client->session, self->engine);
    leat_client_part (client, port);
    leat_decisions_clear (&self->decisions);
    leat_consumer_engine_destroy (&self->engine);
    leat_gate_deinit (&self->gate);
    free (self);
    leat_client_release (client);
}

const leat_port_ops_t leat_consumer_port_ops = {
    .feed = s_feed,
    .publish = s_publish,
    .lost = s_lost,
    .waits = s_waits,
    .deadline = s_deadline,
    .drain = s_drain,
    .is_over = s_is_over,
    .destroy = s_destroy,
};

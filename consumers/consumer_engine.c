/* The consumer engine, the application's side: taking, settling, flushing, leaving.
 * SPDX-License-Identifier: MPL-2.0 */
#include "consumers/consumer_state.h"

#include "wire/alloc.h"
#include "wire/assert.h"

#include <stdlib.h>
#include <string.h>

enum { S_CREDIT_RECORDS = 100000, S_CREDIT_SIZE = 16 * 1024 * 1024, S_SETTLE_DELAY_US = 1000 };

leat_consumer_engine_t *leat_consumer_engine_new (const leat_consumer_engine_options_t *options)
{
    leat_assert (options && options->stream);
    const char *group = options->group ? options->group : "default";
    leat_assert (strlen (options->stream) <= LEAT_NAME_MAX && strlen (group) <= LEAT_NAME_MAX);

    leat_consumer_engine_t *self = leat_alloc (sizeof *self);
    self->stream = leat_copy_text (options->stream, strlen (options->stream));
    self->group = leat_copy_text (group, strlen (group));
    self->options = *options;
    self->options.stream = NULL;
    self->options.group = NULL;
    if (!self->options.max_unreported)
        self->options.max_unreported = 1;
    if (!self->options.settle_delay_us)
        self->options.settle_delay_us = S_SETTLE_DELAY_US;
    self->credit_records = options->credit_records ? options->credit_records : S_CREDIT_RECORDS;
    self->credit_size = options->credit_size ? options->credit_size : S_CREDIT_SIZE;
    self->session = 1;
    self->leases = leat_leases_new ();
    self->counts = leat_leases_counts (self->leases);
    return self;
}

void leat_consumer_engine_destroy (leat_consumer_engine_t **self_p)
{
    leat_assert (self_p);
    leat_consumer_engine_t *self = *self_p;
    if (!self)
        return;
    leat_leases_destroy (&self->leases);
    free (self->stream);
    free (self->group);
    free (self);
    *self_p = NULL;
}

void leat_consumer_engine_forget (leat_consumer_engine_t *self)
{
    self->stale += self->counts->records[LEAT_LEASE_SETTLED];
    leat_leases_clear (self->leases);
    self->session++;
    self->delivered = 0;
    self->reported = 0;
    self->said = 0;
    self->started_end = 0;
    self->exact_us = 0;
    self->has_staged = false;
    self->settles_join = false;
    self->revoked = false;
    self->late = false;
    self->allow_unsent = false;
    self->settles_unconfirmed = false;
    self->flush_sent = self->flush_asked;
    self->flushed = self->flush_asked;
    self->empty_sent = false;
    self->leave_sent = false;
}

void leat_consumer_engine_end (leat_consumer_engine_t *self, leat_consumer_state_t state)
{
    leat_consumer_engine_forget (self);
    self->state = state;
    self->link = LEAT_LINK_NONE;
}

bool leat_consumer_engine_take (leat_consumer_engine_t *self, uint32_t count_max,
                                leat_delivery_t *delivery, leat_outbox_t *outbox)
{
    uint64_t position;
    uint32_t count;
    if (self->state != LEAT_CONSUMER_ATTACHED || count_max == 0)
        return false;
    leat_attention_mark (&self->attention);
    if (!leat_leases_oldest (self->leases, &position, &count)) {
        self->late = self->revoked; /* an application that asks for more goes on */
        return false;
    }
    if (count > count_max)
        count = count_max;
    leat_consumer_engine_report (self, position + count, outbox);
    leat_leases_take (self->leases, count, delivery);
    self->started_end = position + count;
    delivery->session = self->session;
    self->pace_started += count;
    return true;
}

/* ---- staging --------------------------------------------------------------------------------- */

bool leat_consumer_engine_stage (leat_consumer_engine_t *self, leat_delivery_t *delivery,
                                 leat_outbox_t *outbox)
{
    uint64_t position;
    uint32_t count;
    if (self->state != LEAT_CONSUMER_ATTACHED || self->has_staged
        || !leat_leases_oldest (self->leases, &position, &count))
        return false;
    leat_attention_mark (&self->attention);
    leat_consumer_engine_report_before (self, position, outbox);
    leat_leases_take (self->leases, 1, delivery);
    delivery->session = self->session;
    self->has_staged = true;
    self->staged_wanted = false;
    self->staged_epoch = delivery->epoch;
    self->staged_offset = delivery->first;
    self->staged_position = position;
    return true;
}

void leat_consumer_engine_claim (leat_consumer_engine_t *self)
{
    if (!self->has_staged)
        return;
    leat_attention_mark (&self->attention);
    self->has_staged = false;
    self->pace_started++;
    if (self->started_end <= self->staged_position)
        self->started_end = self->staged_position + 1;
    /* Who asked for it is not left waiting for an answer. */
    if (self->staged_wanted)
        self->exact_us = 1;
}

bool leat_consumer_engine_is_staged (const leat_consumer_engine_t *self)
{
    return self->has_staged && !self->staged_wanted && self->state == LEAT_CONSUMER_ATTACHED;
}

bool leat_consumer_engine_stages (const leat_consumer_engine_t *self, leat_range_t range)
{
    return self->has_staged && range.epoch == self->staged_epoch
           && self->staged_offset >= range.first && self->staged_offset - range.first < range.count;
}

/* ---- settling -------------------------------------------------------------------------------- */

uint32_t leat_consumer_engine_settle (leat_consumer_engine_t *self, uint64_t session,
                                      uint64_t epoch, uint64_t first, uint32_t count,
                                      leat_outcome_t outcome, uint32_t delay_ms, const char *reason,
                                      uint64_t now_us)
{
    leat_assert (outcome >= LEAT_ACK && outcome <= LEAT_REJECT);
    leat_attention_mark (&self->attention);
    uint32_t held = 0;
    if (session == self->session) {
        if (leat_consumer_engine_stages (self, (leat_range_t){ epoch, first, count }))
            leat_consumer_engine_claim (self);
        leat_settlement_t settlement = {
            .outcome = outcome,
            .delay_ms = outcome == LEAT_NACK ? delay_ms : 0,
            .reason = outcome == LEAT_REJECT ? reason : NULL,
        };
        if (self->counts->records[LEAT_LEASE_SETTLED] == 0)
            self->settled_us = now_us;
        held = leat_leases_settle (self->leases, epoch, first, count, &settlement);
        self->late = self->late || (self->revoked && held < count);
    }
    self->stale += count - held;
    return held;
}

uint32_t leat_consumer_engine_give_back (leat_consumer_engine_t *self, uint64_t session,
                                         uint64_t epoch, uint64_t first, uint32_t count)
{
    if (session != self->session)
        return 0;
    leat_attention_mark (&self->attention);
    if (leat_consumer_engine_stages (self, (leat_range_t){ epoch, first, count }))
        self->has_staged = false;
    return leat_leases_give_back (self->leases, epoch, first, count);
}

uint64_t leat_consumer_engine_flush (leat_consumer_engine_t *self)
{
    leat_attention_mark (&self->attention);
    self->flush_asked++;
    bool nothing = self->counts->records[LEAT_LEASE_SETTLED] == 0 && !self->settles_unconfirmed
                   && self->flushed == self->flush_sent;
    if (self->link != LEAT_LINK_UP || nothing) {
        self->flush_sent = self->flush_asked;
        self->flushed = self->flush_asked;
    }
    return self->flush_asked;
}

uint64_t leat_consumer_engine_flushed (const leat_consumer_engine_t *self)
{
    return self->flushed;
}

void leat_consumer_engine_ask_empty (leat_consumer_engine_t *self)
{
    leat_attention_mark (&self->attention);
    self->empty_token++;
    self->empty_sent = false;
    self->empty = false;
}

bool leat_consumer_engine_empty (const leat_consumer_engine_t *self)
{
    return self->empty;
}

void leat_consumer_engine_allow (leat_consumer_engine_t *self, uint32_t credit_records,
                                 uint64_t credit_size)
{
    leat_attention_mark (&self->attention);
    self->credit_records = credit_records;
    self->credit_size = credit_size;
    if (self->enforced_records < credit_records)
        self->enforced_records = credit_records;
    if (self->enforced_size < credit_size)
        self->enforced_size = credit_size;
    self->allow_unsent = self->state != LEAT_CONSUMER_LEAVING;
}

void leat_consumer_engine_leave (leat_consumer_engine_t *self)
{
    if (self->state != LEAT_CONSUMER_DETACHED && self->state != LEAT_CONSUMER_ATTACHED)
        return;
    leat_attention_mark (&self->attention);
    if (self->link != LEAT_LINK_UP && self->link != LEAT_LINK_ASKED) {
        leat_consumer_engine_end (self, LEAT_CONSUMER_ENDED);
        return;
    }
    self->state = LEAT_CONSUMER_LEAVING;
    leat_leases_recall_all (self->leases);
    /* While handlers finish, what is given back must not come straight back to here. */
    self->allow_unsent = self->counts->records[LEAT_LEASE_STARTED] > 0;
}

leat_consumer_state_t leat_consumer_engine_state (const leat_consumer_engine_t *self)
{
    return self->state;
}

bool leat_consumer_engine_drained (const leat_consumer_engine_t *self)
{
    return self->drained;
}

uint32_t leat_consumer_engine_waiting (const leat_consumer_engine_t *self)
{
    return self->counts->records[LEAT_LEASE_WAITING];
}

uint32_t leat_consumer_engine_started (const leat_consumer_engine_t *self)
{
    return self->counts->records[LEAT_LEASE_STARTED];
}

uint64_t leat_consumer_engine_stale (const leat_consumer_engine_t *self)
{
    return self->stale;
}

uint64_t leat_consumer_engine_damaged (const leat_consumer_engine_t *self)
{
    return self->damaged;
}

uint64_t leat_consumer_engine_excess (const leat_consumer_engine_t *self)
{
    return self->excess;
}

const char *leat_consumer_engine_error (const leat_consumer_engine_t *self, leat_code_t *code)
{
    if (code)
        *code = self->code;
    return self->error;
}

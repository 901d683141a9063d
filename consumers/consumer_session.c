/* The consumer engine, the session's side: attaching, receiving, and all that is sent.
 * SPDX-License-Identifier: MPL-2.0 */
#include "consumers/consumer_state.h"

#include "client/fault.h"
#include "wire/alloc.h"
#include "wire/crc32c.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    S_RETRY_MIN_US = 100 * 1000,
    S_RETRY_MAX_US = 5 * 1000 * 1000,
    S_EXACT_US = 250 * 1000,
    S_PACE_US = 1000, /* over how long the pace of takes is measured, at least */
    S_AHEAD_OF_DELIVERY = 16
};

/* ---- sending --------------------------------------------------------------------------------- */

static void s_send_attach (leat_consumer_engine_t *self, leat_outbox_t *outbox)
{
    leat_command_t command = { .id = LEAT_ATTACH };
    command.attach = (leat_attach_t){
        .channel = self->channel,
        .flags = self->options.must_exist ? LEAT_MUST_EXIST : 0,
        .credit_records = self->credit_records,
        .credit_size = self->credit_size,
        .max_unreported = self->options.max_unreported,
        .start = (uint8_t) self->options.start,
        .start_value = self->options.start_value,
        .stream = leat_text (self->stream),
        .group = leat_text (self->group),
    };
    leat_outbox_command (outbox, 0, &command);
    self->enforced_records = self->credit_records;
    self->enforced_size = self->credit_size;
    self->allow_unsent = false;
    self->link = LEAT_LINK_ASKED;
}

static void s_send_report (leat_consumer_engine_t *self, uint64_t position, leat_outbox_t *outbox)
{
    leat_command_t command = { .id = LEAT_REPORT };
    command.report = (leat_report_t){ .channel = self->channel, .position = position };
    leat_outbox_command (outbox, 0, &command);
    self->reported = position;
    self->said = position;
}

static void s_send_allow (leat_consumer_engine_t *self, uint32_t records, uint64_t size,
                          leat_outbox_t *outbox)
{
    leat_command_t command = { .id = LEAT_ALLOW };
    command.allow =
        (leat_allow_t){ .channel = self->channel, .credit_records = records, .credit_size = size };
    leat_outbox_command (outbox, 0, &command);
    self->allow_unsent = false;
}

static void s_send_returned (leat_consumer_engine_t *self, leat_code_t code,
                             const leat_range_t *ranges, uint32_t count, leat_outbox_t *outbox)
{
    leat_command_t command = { .id = LEAT_RETURNED };
    command.returned = (leat_returned_t){
        .channel = self->channel,
        .code = (uint16_t) code,
        .ranges = { .count = count, .entries = ranges },
    };
    leat_outbox_command (outbox, 0, &command);
}

/* Sends everything that was given back. */
static void s_send_given (leat_consumer_engine_t *self, leat_outbox_t *outbox)
{
    while (self->counts->pieces[LEAT_LEASE_GIVEN] > 0) {
        uint32_t pieces = self->counts->pieces[LEAT_LEASE_GIVEN];
        if (pieces > LEAT_ENTRIES_MAX)
            pieces = LEAT_ENTRIES_MAX;
        leat_range_t *ranges = leat_alloc_raw (pieces * sizeof *ranges);
        for (uint32_t index = 0; index < pieces; index++) {
            leat_leases_given (self->leases, &ranges[index]);
            leat_leases_drop_given (self->leases);
        }
        s_send_returned (self, LEAT_OK, ranges, pieces, outbox);
        free (ranges);
    }
}

/* Moves settles into one SETTLE: as many as it holds, and rejects of one reason only. Returns how
 * many; `reason` (LEAT_TEXT_MAX + 1 bytes) gets theirs. What they report counts from now on. */
static uint32_t s_gather (leat_consumer_engine_t *self, leat_settle_entry_t *entries,
                          uint32_t entries_max, char *reason)
{
    uint32_t count = 0;
    bool has_reason = false;
    uint64_t position_end;
    const char *text;
    reason[0] = '\0';
    while (count < entries_max
           && leat_leases_settled (self->leases, &entries[count], &position_end, &text)) {
        if (entries[count].outcome == LEAT_REJECT) {
            if (has_reason && strcmp (reason, text) != 0)
                break;
            memcpy (reason, text, strlen (text) + 1);
            has_reason = true;
        }
        if (self->reported < position_end)
            self->reported = position_end;
        leat_leases_drop_settled (self->leases);
        count++;
    }
    return count;
}

/* Sends all settles; the last SETTLE (an empty one if there are none) carries the newest flush. */
static void s_send_settles (leat_consumer_engine_t *self, leat_outbox_t *outbox)
{
    bool confirm = self->flush_asked > self->flush_sent;
    self->settles_join = false;
    while (confirm || self->counts->pieces[LEAT_LEASE_SETTLED] > 0) {
        uint32_t pieces = self->counts->pieces[LEAT_LEASE_SETTLED];
        if (pieces > LEAT_ENTRIES_MAX)
            pieces = LEAT_ENTRIES_MAX;
        leat_settle_entry_t *entries = leat_alloc_raw (pieces * sizeof *entries);
        char reason[LEAT_TEXT_MAX + 1];
        uint32_t count = s_gather (self, entries, pieces, reason);
        bool last = self->counts->pieces[LEAT_LEASE_SETTLED] == 0;

        leat_command_t command = { .id = LEAT_SETTLE };
        command.settle = (leat_settle_t){
            .channel = self->channel,
            .entries = { .count = count, .entries = entries },
            .reason = leat_text (reason),
        };
        self->settles_unconfirmed = true;
        if (confirm && last) {
            command.settle.flags = LEAT_SETTLE_CONFIRM;
            command.settle.token = self->flush_asked;
            self->flush_sent = self->flush_asked;
            self->settles_unconfirmed = false;
            confirm = false;
        }
        leat_outbox_command (outbox, 0, &command);
        free (entries);
        self->revoked = false;
        self->late = false;
    }
}

/* Records that come one by one, several in a millisecond, are reported before they have come: as many
 * as are expected in the next millisecond, but few, because what comes later may be handled at another
 * pace. */
static uint64_t s_to_come (const leat_consumer_engine_t *self)
{
    if (self->ahead == 0)
        return 0;
    return self->ahead < S_AHEAD_OF_DELIVERY ? self->ahead + 1 : S_AHEAD_OF_DELIVERY;
}

static void s_report_ahead (leat_consumer_engine_t *self, uint64_t end, leat_outbox_t *outbox)
{
    uint64_t waiting_end = leat_leases_waiting_end (self->leases);
    uint64_t position = end + self->ahead;
    if (position > waiting_end)
        position = waiting_end;
    if (position < end + s_to_come (self))
        position = end + s_to_come (self);
    s_send_report (self, position, outbox);
}

/* Before records at positions below `end` are handed out, the broker must know of all but the last
 * max_unreported of them. When it has to be told anyway, it is told at once what is about to be
 * started within the next millisecond at the present pace: a message per record would cost more
 * than handling a record of 1 us, whereas records of 1 ms or more are reported one by one, so that a
 * consumer's death makes suspects of no more than a millisecond's worth of innocents. */
void leat_consumer_engine_report (leat_consumer_engine_t *self, uint64_t end, leat_outbox_t *outbox)
{
    if (end > self->reported + self->options.max_unreported)
        s_report_ahead (self, end, outbox);
}

void leat_consumer_engine_report_before (leat_consumer_engine_t *self, uint64_t position,
                                         leat_outbox_t *outbox)
{
    if (position < self->reported + self->options.max_unreported)
        return;
    s_send_report (self, position, outbox);
    self->settles_join = self->counts->records[LEAT_LEASE_SETTLED] > 0;
}

/* With a SETTLE goes the REPORT that the records until the next one would need by themselves. */
static void s_report_beside_settles (leat_consumer_engine_t *self, leat_outbox_t *outbox)
{
    if (self->counts->records[LEAT_LEASE_WAITING] == 0
        && self->started_end + s_to_come (self) >= self->reported + self->options.max_unreported)
        s_report_ahead (self, self->started_end, outbox);
}

/* ---- receiving ------------------------------------------------------------------------------- */

/* Keeps a sentence for the application. The peer's reason may hold anything at all: what a terminal
 * would obey is replaced. */
static void s_note_error (leat_consumer_engine_t *self, const char *what, unsigned code,
                          leat_text_t reason)
{
    self->code = (leat_code_t) code;
    reason = leat_fault_reason (code, reason);
    snprintf (self->error, sizeof self->error, "%s stream '%s', group '%s': %s, %s%s%.*s", what,
              self->stream, self->group, leat_code_name (code), leat_code_text (code),
              reason.size ? ": " : "", (int) reason.size, reason.size ? reason.data : "");
    for (char *byte = self->error; *byte; byte++)
        if ((unsigned char) *byte < 0x20 || *byte == 0x7f)
            *byte = '?';
}

/* True for what asking again cannot mend. */
static bool s_final (unsigned code)
{
    switch (code) {
    case LEAT_MALFORMED:
    case LEAT_UNKNOWN_COMMAND:
    case LEAT_UNSUPPORTED_VERSION:
    case LEAT_NOT_HANDLED:
    case LEAT_BAD_STATE:
    case LEAT_BAD_NAME:
    case LEAT_RESERVED_NAME:
    case LEAT_NO_SUCH_STREAM:
    case LEAT_NO_SUCH_GROUP:
    case LEAT_TOO_LARGE:
    case LEAT_NOT_ALLOWED:
    case LEAT_DELETED:
        return true;
    default:
        return false;
    }
}

/* The broker does not have the channel: asks again later unless that cannot help. */
static void s_detached (leat_consumer_engine_t *self, unsigned code)
{
    if (self->state == LEAT_CONSUMER_LEAVING)
        leat_consumer_engine_end (self, LEAT_CONSUMER_ENDED);
    else if (s_final (code))
        leat_consumer_engine_end (self, LEAT_CONSUMER_FAILED);
    else {
        leat_consumer_engine_forget (self);
        self->state = LEAT_CONSUMER_DETACHED;
        self->link = LEAT_LINK_REFUSED;
    }
}

void leat_consumer_engine_begin (leat_consumer_engine_t *self, uint32_t channel,
                                 leat_outbox_t *outbox)
{
    leat_attention_mark (&self->attention);
    if (self->link != LEAT_LINK_NONE)
        leat_consumer_engine_lost (self);
    if (self->state != LEAT_CONSUMER_DETACHED)
        return;
    self->channel = channel;
    self->retry_delay_us = 0;
    s_send_attach (self, outbox);
}

void leat_consumer_engine_lost (leat_consumer_engine_t *self)
{
    if (self->state == LEAT_CONSUMER_ENDED || self->state == LEAT_CONSUMER_FAILED)
        return;
    leat_attention_mark (&self->attention);
    leat_consumer_state_t next = LEAT_CONSUMER_DETACHED;
    if (self->state == LEAT_CONSUMER_LEAVING)
        next = LEAT_CONSUMER_ENDED;
    leat_consumer_engine_end (self, next);
}

static void s_attached (leat_consumer_engine_t *self)
{
    if (self->link != LEAT_LINK_ASKED)
        return;
    self->link = LEAT_LINK_UP;
    self->retry_delay_us = 0;
    if (self->state == LEAT_CONSUMER_DETACHED)
        self->state = LEAT_CONSUMER_ATTACHED;
}

static void s_refused (leat_consumer_engine_t *self, const leat_refused_t *refused)
{
    if (self->link == LEAT_LINK_ASKED && refused->command == LEAT_ATTACH) {
        s_note_error (self, "cannot attach to", refused->code, refused->reason);
        s_detached (self, refused->code);
    } else if (self->link == LEAT_LINK_UP) {
        char what[64];
        snprintf (what, sizeof what, "%s was refused for", leat_command_name (refused->command));
        s_note_error (self, what, refused->code, refused->reason);
        if (refused->code == LEAT_NO_SUCH_CHANNEL)
            s_detached (self, refused->code);
    }
}

static void s_left (leat_consumer_engine_t *self, const leat_left_t *left)
{
    if (left->code == LEAT_OK) {
        leat_consumer_engine_end (self, LEAT_CONSUMER_ENDED);
        return;
    }
    s_note_error (self, "the broker ended", left->code, left->reason);
    s_detached (self, left->code);
}

static void s_want_back (leat_consumer_engine_t *self, const leat_ranges_t *ranges)
{
    for (uint32_t index = 0; index < ranges->count; index++)
        if (leat_consumer_engine_stages (self, leat_ranges_get (ranges, index)))
            self->staged_wanted = true;
}

/* Leases were taken away. The broker may have dropped settles of them that were on their way, and
 * with these what they reported, as is dropped here what was not sent; so that is said by itself. */
static void s_revoked (leat_consumer_engine_t *self, const leat_revoked_t *revoked,
                       leat_outbox_t *outbox)
{
    uint64_t position = self->reported;
    self->revoked = true;
    s_want_back (self, &revoked->ranges);
    for (uint32_t index = 0; index < revoked->ranges.count; index++)
        self->stale +=
            leat_leases_revoke (self->leases, leat_ranges_get (&revoked->ranges, index), &position);
    if (self->link == LEAT_LINK_UP && !self->leave_sent && position > self->said)
        s_send_report (self, position, outbox);
}

/* What is given back goes out in the next run, with what is staged and the driver can still take back. */
static void s_recalled (leat_consumer_engine_t *self, const leat_recall_t *recall)
{
    s_want_back (self, &recall->ranges);
    for (uint32_t index = 0; index < recall->ranges.count; index++)
        leat_leases_recall (self->leases, leat_ranges_get (&recall->ranges, index));
}

void leat_consumer_engine_receive (leat_consumer_engine_t *self, const leat_command_t *command,
                                   leat_outbox_t *outbox)
{
    leat_attention_mark (&self->attention);
    if (self->link == LEAT_LINK_NONE)
        return;
    switch (command->id) {
    case LEAT_ATTACHED:
        s_attached (self);
        break;
    case LEAT_SETTLED:
        if (command->settled.token > self->flushed && command->settled.token <= self->flush_sent)
            self->flushed = command->settled.token;
        break;
    case LEAT_RECALL:
        s_recalled (self, &command->recall);
        break;
    case LEAT_EMPTY:
        if (self->empty_sent && command->empty.token == self->empty_token)
            self->empty = true;
        break;
    case LEAT_LEFT:
        s_left (self, &command->left);
        break;
    case LEAT_DRAIN:
        self->drained = true;
        break;
    case LEAT_REVOKED:
        s_revoked (self, &command->revoked, outbox);
        break;
    case LEAT_STALE:
        for (uint32_t index = 0; index < command->stale.ranges.count; index++)
            self->stale += leat_ranges_get (&command->stale.ranges, index).count;
        break;
    case LEAT_REFUSED:
        s_refused (self, &command->refused);
        break;
    default:
        break; /* a newer broker may say more */
    }
}

static uint64_t s_outstanding (const leat_consumer_engine_t *self)
{
    uint64_t sum = 0;
    for (int state = 0; state < LEAT_LEASE_STATES; state++)
        sum += self->counts->records[state];
    return sum;
}

/* True if the broker may deliver this. It counts at least what is counted here, since it hears of
 * settles later than they are sent; so an honest one is never found guilty. Bodies of started
 * records are the application's and left out. */
static bool s_admissible (const leat_consumer_engine_t *self, const leat_batch_t *batch,
                          size_t size)
{
    uint64_t outstanding = s_outstanding (self);
    if (outstanding + batch->count > self->enforced_records)
        return false;
    bool alone = outstanding == 0 && batch->count == 1;
    if (self->counts->waiting_size + size > self->enforced_size && !alone)
        return false;
    return !leat_leases_hold (self->leases, batch->epoch, batch->first, batch->count);
}

static bool s_intact (const leat_batch_t *batch, leat_slice_t records)
{
    if (!records.buffer)
        return false;
    const uint8_t *bytes = leat_slice_bytes (records);
    return leat_crc32c (bytes, records.size) == batch->crc32c
           && leat_batch_check (bytes, records.size, batch->count,
                                batch->attributes & LEAT_BATCH_EXTENDED, LEAT_RECORD_SIZE_MAX)
                  == LEAT_OK;
}

void leat_consumer_engine_deliver (leat_consumer_engine_t *self, const leat_batch_t *batch,
                                   leat_slice_t records, leat_outbox_t *outbox)
{
    leat_attention_mark (&self->attention);
    /* The position counts whatever the broker has delivered, good or bad. */
    uint64_t position = self->delivered;
    if (self->link == LEAT_LINK_UP)
        self->delivered += batch->count;
    if (self->leave_sent)
        return; /* on its way when LEAVE was sent, which gives it back */
    if (self->link != LEAT_LINK_UP || !s_admissible (self, batch, records.size)) {
        self->excess += batch->count;
        return;
    }
    if (!s_intact (batch, records)) {
        self->damaged++;
        leat_range_t range = { .epoch = batch->epoch,
                               .first = batch->first,
                               .count = batch->count };
        s_send_returned (self, LEAT_DAMAGED, &range, 1, outbox);
        return;
    }
    leat_leases_add (self->leases, batch, records, position);
    if (self->state == LEAT_CONSUMER_LEAVING)
        leat_leases_recall_all (self->leases);
}

/* ---- in turns -------------------------------------------------------------------------------- */

/* How many records are started in a millisecond, less the one that is reported in any case. So many
 * takes have one gap less between them, hence two takes a millisecond apart give 0. */
void leat_consumer_engine_tick (leat_consumer_engine_t *self, uint64_t now_us)
{
    if (now_us < self->pace_us + S_PACE_US)
        return;
    uint64_t gaps = self->pace_started > 0 ? self->pace_started - 1 : 0;
    uint64_t pace = gaps * S_PACE_US / (now_us - self->pace_us);
    self->ahead = pace > 0 ? pace - 1 : 0;
    self->pace_us = now_us;
    self->pace_started = 0;
}

/* Sends ATTACH again when it is time to. */
static void s_retry (leat_consumer_engine_t *self, uint64_t now_us, leat_outbox_t *outbox)
{
    if (self->link == LEAT_LINK_REFUSED) {
        self->retry_delay_us *= 2;
        if (self->retry_delay_us < S_RETRY_MIN_US)
            self->retry_delay_us = S_RETRY_MIN_US;
        if (self->retry_delay_us > S_RETRY_MAX_US)
            self->retry_delay_us = S_RETRY_MAX_US;
        self->retry_us = now_us + self->retry_delay_us;
        self->link = LEAT_LINK_RETRY;
    } else if (self->link == LEAT_LINK_RETRY && now_us >= self->retry_us)
        s_send_attach (self, outbox);
}

/* When the settles that are gathered have to go; UINT64_MAX if there are none, 0 for now: they are
 * many, somebody waits for them, or there is nothing else to do. One that settles several in a
 * millisecond will have more to say before that is over. */
static uint64_t s_settles_due (const leat_consumer_engine_t *self)
{
    if (self->flush_asked > self->flush_sent)
        return 0;
    const uint32_t *records = self->counts->records;
    if (records[LEAT_LEASE_SETTLED] == 0)
        return UINT64_MAX;
    if (self->settles_join)
        return 0;
    uint32_t many = self->options.settle_count;
    if (many == 0)
        many = self->credit_records / 2;
    bool is_idle = records[LEAT_LEASE_WAITING] == 0 && records[LEAT_LEASE_STARTED] == 0;
    bool is_brisk = self->ahead > 0 && self->state != LEAT_CONSUMER_LEAVING;
    if (records[LEAT_LEASE_SETTLED] >= many || (is_idle && !is_brisk))
        return 0;
    return self->settled_us + self->options.settle_delay_us;
}

/* Records within max_unreported are started without a word. One that takes long is reported all the
 * same, so that the broker knows it from those that wait, should it be overdue. */
static bool s_exact_needed (const leat_consumer_engine_t *self)
{
    return self->started_end > self->reported && self->counts->records[LEAT_LEASE_STARTED] > 0;
}

static void s_report_exactly (leat_consumer_engine_t *self, uint64_t now_us, leat_outbox_t *outbox)
{
    if (!s_exact_needed (self)) {
        self->exact_us = 0;
    } else if (self->exact_us == 0) {
        self->exact_us = now_us + S_EXACT_US;
    } else if (now_us >= self->exact_us) {
        s_send_report (self, self->started_end, outbox);
        self->exact_us = 0;
    }
}

/* Nothing is held that this could settle, so it is empty. */
static void s_say_late (leat_consumer_engine_t *self, leat_outbox_t *outbox)
{
    if (!self->late)
        return;
    leat_command_t command = { .id = LEAT_SETTLE };
    command.settle.channel = self->channel;
    leat_outbox_command (outbox, 0, &command);
    self->revoked = false;
    self->late = false;
}

static bool s_empty_unsent (const leat_consumer_engine_t *self)
{
    return self->empty_token > 0 && !self->empty && !self->empty_sent;
}

static bool s_leave_due (const leat_consumer_engine_t *self)
{
    return self->state == LEAT_CONSUMER_LEAVING && self->counts->records[LEAT_LEASE_STARTED] == 0;
}

void leat_consumer_engine_run (leat_consumer_engine_t *self, uint64_t now_us, leat_outbox_t *outbox)
{
    leat_consumer_engine_tick (self, now_us);
    s_retry (self, now_us, outbox);
    if (self->link != LEAT_LINK_UP || self->leave_sent)
        return;
    if (self->allow_unsent) {
        bool leaving = self->state == LEAT_CONSUMER_LEAVING;
        s_send_allow (self, leaving ? 0 : self->credit_records, leaving ? 0 : self->credit_size,
                      outbox);
    }
    s_send_given (self, outbox);
    if (now_us >= s_settles_due (self)) {
        s_send_settles (self, outbox);
        s_report_beside_settles (self, outbox);
    }
    s_say_late (self, outbox);
    s_report_exactly (self, now_us, outbox);
    if (s_empty_unsent (self)) {
        leat_command_t command = { .id = LEAT_ASK_EMPTY };
        command.ask_empty =
            (leat_ask_empty_t){ .channel = self->channel, .token = self->empty_token };
        leat_outbox_command (outbox, 0, &command);
        self->empty_sent = true;
    }
    if (s_leave_due (self)) {
        leat_command_t command = { .id = LEAT_LEAVE };
        command.leave = (leat_leave_t){ .channel = self->channel };
        leat_outbox_command (outbox, 0, &command);
        self->leave_sent = true;
    }
}

leat_attention_t *leat_consumer_engine_attention (leat_consumer_engine_t *self)
{
    return &self->attention;
}

uint64_t leat_consumer_engine_deadline (const leat_consumer_engine_t *self)
{
    if (self->link == LEAT_LINK_REFUSED)
        return 0;
    if (self->link == LEAT_LINK_RETRY)
        return self->retry_us;
    if (self->link != LEAT_LINK_UP || self->leave_sent)
        return UINT64_MAX;
    if (self->allow_unsent || self->counts->pieces[LEAT_LEASE_GIVEN] > 0 || s_empty_unsent (self)
        || s_leave_due (self) || self->late)
        return 0;
    uint64_t deadline = s_settles_due (self);
    if (s_exact_needed (self) && self->exact_us < deadline)
        deadline = self->exact_us; /* 0: the next run knows */
    /* A pace that is no longer kept must not serve for the next REPORT. */
    uint64_t pace_us = self->pace_us + S_PACE_US;
    if (self->ahead > 0 && self->counts->records[LEAT_LEASE_WAITING] > 0 && pace_us < deadline)
        deadline = pace_us;
    return deadline;
}

bool leat_consumer_engine_busy (const leat_consumer_engine_t *self)
{
    return s_outstanding (self) > 0;
}

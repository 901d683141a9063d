/* Reads the journals of a run and says whether Leat kept its promises.
 * SPDX-License-Identifier: MPL-2.0
 *
 * usage: fault_checker FOLDER [--ordered] [--once] [--stale INSTANCE]
 *
 * FOLDER has the journals of all processes of the run, at whose end the group was empty. --ordered: no
 * record was received out of order. --once: none came twice. --stale: that process had late settles,
 * as many as it received under the session that it lost first. Exit code 0 if all is well, 1 if not;
 * then every complaint is on stdout. 2 if the journals cannot be read. */
#include "tests/system/faults/evidence.h"
#include "tests/system/faults/payload.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    S_GRACE_US = 5 * 1000 * 1000, /* a link that was cut takes so long to be itself again */
    S_REPORT_US = 1000 * 1000,    /* on a quiet link a report has arrived by then */
    S_COMPLAINTS_MAX = 20         /* of a kind are printed */
};

/* What became of a sequence of a producer. */
typedef struct {
    uint64_t size;
    bool is_sent;
    bool is_confirmed;    /* in the last era, for certain */
    size_t confirmed_era; /* the last one in which it was confirmed for certain; SIZE_MAX: none */
    size_t confirmed_by;  /* the instance that was told so */
    uint64_t offset;      /* that was told; EVIDENCE_UNKNOWN */
    uint64_t found;       /* offset in the last era; EVIDENCE_UNKNOWN: not delivered */
    bool is_settled;      /* an ack in the last era that may have counted */
} fate_t;

typedef struct {
    uint64_t number, seed;
    size_t last_instance;
    fate_t *fates; /* [sequence] */
    uint64_t count;
} producer_t;

typedef struct {
    evidence_t *evidence;
    producer_t *producers;
    size_t producer_count;
    uint64_t complaints;
    uint64_t confirmed, repeated, unsure, losses, starved, committed;
} checker_t;

static void __attribute__ ((format (printf, 3, 4)))
s_complain (checker_t *self, uint64_t *of_kind, const char *format, ...)
{
    self->complaints++;
    if (++*of_kind > S_COMPLAINTS_MAX)
        return;
    va_list arguments;
    va_start (arguments, format);
    vprintf (format, arguments);
    va_end (arguments);
    printf (*of_kind == S_COMPLAINTS_MAX ? " (and perhaps more)\n" : "\n");
}

static const evidence_instance_t *s_who (const checker_t *self, const evidence_delivery_t *delivery)
{
    return &self->evidence->instances[delivery->instance];
}

/* Some fault touches `target` or the broker between two times, or did shortly before. */
static bool s_is_disturbed (const checker_t *self, const evidence_instance_t *who, uint64_t from_us,
                            uint64_t to_us)
{
    const evidence_t *evidence = self->evidence;
    for (size_t i = 0; i < evidence->fault_count; i++) {
        const evidence_fault_t *fault = &evidence->faults[i];
        uint64_t over_us =
            fault->finish_us == UINT64_MAX ? UINT64_MAX : fault->finish_us + S_GRACE_US;
        bool concerns = strcmp (fault->target, who->peer) == 0
                        || strcmp (fault->target, who->name) == 0
                        || strcmp (fault->target, "broker") == 0;
        if (concerns && fault->begin_us <= to_us && from_us <= over_us)
            return true;
    }
    for (size_t i = 0; i + 1 < evidence->era_count; i++)
        if (evidence->eras[i].stopping_us <= to_us
            && from_us <= evidence->eras[i + 1].launch_us + S_GRACE_US)
            return true;
    return false;
}

/* The broker was started again between two times, with what it keeps. */
static bool s_is_restarted (const checker_t *self, uint64_t from_us, uint64_t to_us)
{
    const evidence_t *evidence = self->evidence;
    for (size_t i = 0; i < evidence->fault_count; i++) {
        const evidence_fault_t *fault = &evidence->faults[i];
        if (strcmp (fault->what, "restart") == 0 && fault->begin_us <= to_us
            && from_us <= fault->finish_us)
            return true;
    }
    return false;
}

/* ---- producers ------------------------------------------------------------------------------- */

static producer_t *s_producer (checker_t *self, uint64_t number)
{
    for (size_t i = 0; i < self->producer_count; i++)
        if (self->producers[i].number == number)
            return &self->producers[i];
    return NULL;
}

static void s_make_producers (checker_t *self)
{
    const evidence_t *evidence = self->evidence;
    self->producers = calloc (evidence->instance_count + 1, sizeof *self->producers);
    for (size_t i = 0; i < evidence->instance_count; i++) {
        const evidence_instance_t *instance = &evidence->instances[i];
        if (!instance->is_producer)
            continue;
        producer_t *producer = s_producer (self, instance->number);
        if (producer == NULL) {
            producer = &self->producers[self->producer_count++];
            *producer = (producer_t){ .number = instance->number, .last_instance = i };
        }
        producer->seed = instance->seed;
        if (instance->start_us > evidence->instances[producer->last_instance].start_us)
            producer->last_instance = i;
    }
    for (size_t i = 0; i < evidence->sent_count; i++) {
        producer_t *producer = s_producer (self, evidence->sent[i].producer);
        if (evidence->sent[i].sequence > producer->count)
            producer->count = evidence->sent[i].sequence;
    }
    for (size_t i = 0; i < self->producer_count; i++) {
        producer_t *producer = &self->producers[i];
        producer->fates = calloc (producer->count + 1, sizeof *producer->fates);
        for (uint64_t at = 0; at <= producer->count; at++) {
            producer->fates[at].confirmed_era = SIZE_MAX;
            producer->fates[at].offset = producer->fates[at].found = EVIDENCE_UNKNOWN;
        }
    }
    for (size_t i = 0; i < evidence->sent_count; i++) {
        const evidence_sent_t *sent = &evidence->sent[i];
        fate_t *fate = &s_producer (self, sent->producer)->fates[sent->sequence];
        fate->is_sent = true;
        fate->size = sent->size;
    }
}

/* The era in which a confirmation was made; SIZE_MAX if it is not certain, because a session of the
 * broker before could have had it under way. */
static size_t s_era_of_confirmation (const checker_t *self, const evidence_confirmed_t *confirmed)
{
    const evidence_t *evidence = self->evidence;
    const evidence_instance_t *who = &evidence->instances[confirmed->instance];
    size_t era = 0;
    while (era + 1 < evidence->era_count && evidence->eras[era + 1].launch_us <= confirmed->time_us)
        era++;
    /* A session of the old broker is over after the grace, even of a process that was frozen. */
    if (era == 0 || confirmed->time_us >= evidence->eras[era].launch_us + S_GRACE_US
        || who->start_us >= evidence->eras[era - 1].stopping_us)
        return era;
    uint64_t lost = confirmed->losses;
    if (lost > 0 && lost <= who->loss_count
        && who->losses[lost - 1] >= evidence->eras[era - 1].stopping_us)
        return era;
    return SIZE_MAX;
}

static void s_take_confirmations (checker_t *self)
{
    const evidence_t *evidence = self->evidence;
    uint64_t beyond = 0;
    for (size_t i = 0; i < evidence->confirmed_count; i++) {
        const evidence_confirmed_t *confirmed = &evidence->confirmed[i];
        const evidence_instance_t *who = &evidence->instances[confirmed->instance];
        producer_t *producer = s_producer (self, who->number);
        size_t era = s_era_of_confirmation (self, confirmed);
        if (confirmed->sequence > producer->count) {
            s_complain (self, &beyond,
                        "%s was told that %" PRIu64 " is confirmed, but sent only %" PRIu64,
                        who->name, confirmed->sequence, producer->count);
            continue;
        }
        /* Confirmations are cumulative; the ones before took what is before them. */
        uint64_t from = 1;
        if (i > 0 && confirmed[-1].instance == confirmed->instance
            && confirmed[-1].sequence < confirmed->sequence)
            from = confirmed[-1].sequence + 1;
        /* What a broker knows may begin with what a living producer told it of the one before. */
        if (evidence->era_count > 1 && from <= who->known)
            from = who->known + 1;
        for (uint64_t at = from; at <= confirmed->sequence; at++) {
            fate_t *fate = &producer->fates[at];
            if (era == SIZE_MAX) {
                self->unsure++;
                continue;
            }
            fate->confirmed_era = era;
            fate->confirmed_by = confirmed->instance;
            fate->is_confirmed |= era + 1 == evidence->era_count;
        }
        if (era + 1 == evidence->era_count)
            producer->fates[confirmed->sequence].offset = confirmed->offset;
    }
}

/* ---- deliveries ------------------------------------------------------------------------------ */

static void s_find_eras (checker_t *self)
{
    evidence_t *evidence = self->evidence;
    uint64_t strange = 0;
    for (size_t i = 0; i < evidence->delivery_count; i++) {
        evidence_delivery_t *delivery = &evidence->deliveries[i];
        for (size_t era = 1; era < evidence->era_count; era++)
            if (delivery->epoch >= evidence->eras[era].incarnation << 20)
                delivery->era = era;
        if (evidence->era_count == 0 || delivery->epoch < evidence->eras[0].incarnation << 20)
            s_complain (self, &strange,
                        "%s got offset %" PRIu64 " under epoch %" PRIu64 " of no broker",
                        s_who (self, delivery)->name, delivery->offset, delivery->epoch);
    }
}

static void s_check_content (checker_t *self)
{
    evidence_t *evidence = self->evidence;
    uint64_t foreign = 0, damaged = 0;
    uint8_t *bytes = NULL;
    size_t room = 0;
    for (size_t i = 0; i < evidence->delivery_count; i++) {
        const evidence_delivery_t *delivery = &evidence->deliveries[i];
        const producer_t *producer = s_producer (self, delivery->producer);
        if (producer == NULL || delivery->sequence == 0 || delivery->sequence > producer->count
            || !producer->fates[delivery->sequence].is_sent) {
            s_complain (self, &foreign,
                        "MADE UP: %s got %" PRIu64 " of producer %" PRIu64 " at offset %" PRIu64
                        ", which was never sent",
                        s_who (self, delivery)->name, delivery->sequence, delivery->producer,
                        delivery->offset);
            continue;
        }
        size_t size = (size_t) producer->fates[delivery->sequence].size;
        if (size > room) {
            free (bytes);
            bytes = malloc (size);
            room = size;
            if (bytes == NULL)
                abort ();
        }
        fault_payload_write (producer->seed, producer->number, delivery->sequence, bytes, size);
        if (size != delivery->size || fault_payload_hash (bytes, size) != delivery->hash)
            s_complain (self, &damaged,
                        "DAMAGED: %s got other bytes than producer %" PRIu64 " sent as %" PRIu64,
                        s_who (self, delivery)->name, producer->number, delivery->sequence);
    }
    free (bytes);
}

static int s_by_offset (const void *a_p, const void *b_p)
{
    const evidence_delivery_t *a = *(evidence_delivery_t *const *) a_p;
    const evidence_delivery_t *b = *(evidence_delivery_t *const *) b_p;
    if (a->era != b->era)
        return a->era < b->era ? -1 : 1;
    if (a->offset != b->offset)
        return a->offset < b->offset ? -1 : 1;
    return a->epoch < b->epoch ? -1 : a->epoch > b->epoch;
}

static int s_by_sequence (const void *a_p, const void *b_p)
{
    const evidence_delivery_t *a = *(evidence_delivery_t *const *) a_p;
    const evidence_delivery_t *b = *(evidence_delivery_t *const *) b_p;
    if (a->era != b->era)
        return a->era < b->era ? -1 : 1;
    if (a->producer != b->producer)
        return a->producer < b->producer ? -1 : 1;
    if (a->sequence != b->sequence)
        return a->sequence < b->sequence ? -1 : 1;
    return a->offset < b->offset ? -1 : a->offset > b->offset;
}

/* A record came again: why? */
static void s_check_repetition (checker_t *self, const evidence_delivery_t *first,
                                const evidence_delivery_t *second, uint64_t kinds[5])
{
    const evidence_instance_t *who = s_who (self, first);
    const evidence_instance_t *other = s_who (self, second);
    bool was_lost = who->loss_count > first->before || who->killed_us != UINT64_MAX;
    self->repeated++;
    if (first->epoch == second->epoch)
        s_complain (self, &kinds[0],
                    "SHARED: %s and %s got offset %" PRIu64 " under one epoch, %" PRIu64, who->name,
                    other->name, first->offset, first->epoch);
    if (first->producer != second->producer || first->sequence != second->sequence)
        s_complain (self, &kinds[1],
                    "CHANGED: offset %" PRIu64 " is another record for %s than for %s",
                    first->offset, other->name, who->name);
    if (first->is_committed)
        s_complain (self, &kinds[2],
                    "SETTLED AND SENT AGAIN: %s settled offset %" PRIu64
                    " and had that confirmed, yet %s got it later",
                    who->name, first->offset, other->name);
    else if (first->fate != EVIDENCE_NACK && !was_lost)
        s_complain (self, &kinds[3],
                    "TWICE: %s got offset %" PRIu64 " though %s never lost its lease of it",
                    other->name, first->offset, who->name);
    bool was_quiet = !s_is_disturbed (self, who, first->time_us, first->time_us + S_REPORT_US);
    /* A broker does not know what was started under the one before it. */
    if (was_quiet && !second->redelivered
        && !s_is_restarted (self, first->time_us, second->time_us))
        s_complain (self, &kinds[4],
                    "UNMARKED: %s got offset %" PRIu64
                    " as if it were new, but %s had started it on a sound connection",
                    other->name, first->offset, who->name);
}

static void s_check_repetitions (checker_t *self, evidence_delivery_t **sorted)
{
    const evidence_t *evidence = self->evidence;
    uint64_t kinds[5] = { 0 }, holes = 0;
    uint64_t next = 0;
    for (size_t i = 0; i < evidence->delivery_count; i++) {
        const evidence_delivery_t *delivery = sorted[i];
        self->committed += delivery->is_committed;
        if (i > 0 && sorted[i - 1]->era == delivery->era
            && sorted[i - 1]->offset == delivery->offset)
            s_check_repetition (self, sorted[i - 1], delivery, kinds);
        if (delivery->era + 1 != evidence->era_count)
            continue;
        if (delivery->offset > next)
            s_complain (self, &holes,
                        "LOST: offsets %" PRIu64 " to %" PRIu64 " were delivered to nobody", next,
                        delivery->offset - 1);
        next = delivery->offset + 1;
    }
}

/* Each record has one offset, and those of a producer stand in its order. */
static void s_check_offsets (checker_t *self, evidence_delivery_t **sorted)
{
    uint64_t twice = 0, disorder = 0;
    for (size_t i = 1; i < self->evidence->delivery_count; i++) {
        const evidence_delivery_t *a = sorted[i - 1], *b = sorted[i];
        if (a->era != b->era || a->producer != b->producer || a->offset == b->offset)
            continue;
        if (a->sequence == b->sequence)
            s_complain (self, &twice,
                        "PUBLISHED TWICE: %" PRIu64 " of producer %" PRIu64
                        " has the offsets %" PRIu64 " and %" PRIu64,
                        a->sequence, a->producer, a->offset, b->offset);
        else if (a->offset > b->offset)
            s_complain (self, &disorder,
                        "DISORDER: producer %" PRIu64 " sent %" PRIu64 " before %" PRIu64
                        ", but their offsets are %" PRIu64 " and %" PRIu64,
                        a->producer, a->sequence, b->sequence, a->offset, b->offset);
    }
}

/* ---- from producer to consumer --------------------------------------------------------------- */

static void s_meet (checker_t *self)
{
    const evidence_t *evidence = self->evidence;
    uint64_t again = 0;
    for (size_t i = 0; i < evidence->delivery_count; i++) {
        const evidence_delivery_t *delivery = &evidence->deliveries[i];
        producer_t *producer = s_producer (self, delivery->producer);
        if (producer == NULL || delivery->sequence > producer->count)
            continue;
        fate_t *fate = &producer->fates[delivery->sequence];
        if (fate->confirmed_era != SIZE_MAX && fate->confirmed_era < delivery->era
            && fate->confirmed_by == producer->last_instance)
            s_complain (self, &again,
                        "SENT AGAIN: %s sent %" PRIu64 " to another broker after it was confirmed",
                        evidence->instances[fate->confirmed_by].name, delivery->sequence);
        if (delivery->era + 1 != evidence->era_count)
            continue;
        fate->found = delivery->offset;
        /* An ack after the session was lost cannot have counted. */
        fate->is_settled |=
            delivery->fate == EVIDENCE_ACK && delivery->fate_losses <= delivery->after;
    }
}

static void s_check_fates (checker_t *self)
{
    uint64_t lost = 0, unsettled = 0, elsewhere = 0;
    for (size_t i = 0; i < self->producer_count; i++) {
        const producer_t *producer = &self->producers[i];
        uint64_t confirmed = 0;
        for (uint64_t at = 1; at <= producer->count; at++) {
            const fate_t *fate = &producer->fates[at];
            confirmed += fate->is_confirmed;
            if (fate->is_confirmed && fate->found == EVIDENCE_UNKNOWN)
                s_complain (self, &lost,
                            "LOST: %" PRIu64 " of producer %" PRIu64
                            " was confirmed and delivered to nobody",
                            at, producer->number);
            else if (fate->is_confirmed && !fate->is_settled)
                s_complain (self, &unsettled,
                            "LOST: %" PRIu64 " of producer %" PRIu64
                            " was confirmed, and nobody settled it under a lease that held",
                            at, producer->number);
            if (fate->is_confirmed && fate->offset != EVIDENCE_UNKNOWN
                && fate->found != EVIDENCE_UNKNOWN && fate->offset != fate->found)
                s_complain (self, &elsewhere,
                            "MISPLACED: %" PRIu64 " of producer %" PRIu64
                            " was confirmed at offset %" PRIu64 " and delivered from %" PRIu64,
                            at, producer->number, fate->offset, fate->found);
        }
        self->confirmed += confirmed;
        printf ("producer %" PRIu64 " sent %" PRIu64 " records; the last broker confirmed %" PRIu64
                "\n",
                producer->number, producer->count, confirmed);
    }
}

/* ---- processes ------------------------------------------------------------------------------- */

static bool s_was_starved (const evidence_instance_t *who, uint64_t time_us)
{
    for (size_t i = 0; i + 1 < who->late_count; i += 2)
        if (who->lates[i] - who->lates[i + 1] <= time_us && time_us <= who->lates[i] + S_GRACE_US)
            return true;
    return false;
}

static void s_check_instances (checker_t *self)
{
    uint64_t ends = 0, errors = 0, losses = 0;
    for (size_t i = 0; i < self->evidence->instance_count; i++) {
        const evidence_instance_t *who = &self->evidence->instances[i];
        if (!who->has_ended && who->killed_us == UINT64_MAX)
            s_complain (self, &ends, "DIED: %s neither ended in order nor was killed", who->name);
        if (who->error[0] != '\0')
            s_complain (self, &errors, "FAILED: %s says:%s", who->name, who->error);
        for (size_t j = 0; j < who->loss_count; j++) {
            self->losses++;
            if (s_is_disturbed (self, who, who->losses[j], who->losses[j]))
                continue;
            if (s_was_starved (who, who->losses[j]))
                self->starved++;
            else
                s_complain (self, &losses,
                            "DISCONNECTED: %s lost its session at %" PRIu64
                            " though nothing was done to it or the broker",
                            who->name, who->losses[j]);
        }
    }
}

/* ---- what only some runs promise ------------------------------------------------------------- */

static void s_check_order (checker_t *self)
{
    const evidence_delivery_t *deliveries = self->evidence->deliveries;
    uint64_t disorder = 0;
    for (size_t i = 0; i < self->evidence->delivery_count; i++) {
        size_t previous = deliveries[i].previous_got;
        if (previous != SIZE_MAX && deliveries[previous].era == deliveries[i].era
            && deliveries[previous].offset >= deliveries[i].offset)
            s_complain (self, &disorder, "DISORDER: %s got offset %" PRIu64 " after %" PRIu64,
                        s_who (self, &deliveries[i])->name, deliveries[i].offset,
                        deliveries[previous].offset);
    }
}

/* What a process received, and had not settled when it noticed its first loss, is stale. */
static void s_check_stale (checker_t *self, const char *name)
{
    const evidence_t *evidence = self->evidence;
    uint64_t expected = 0, kind = 0;
    const evidence_instance_t *who = NULL;
    for (size_t i = 0; i < evidence->delivery_count; i++) {
        const evidence_delivery_t *delivery = &evidence->deliveries[i];
        if (strcmp (s_who (self, delivery)->name, name) != 0)
            continue;
        who = s_who (self, delivery);
        expected += delivery->fate_losses > delivery->after;
    }
    if (expected == 0 || who == NULL || who->stale != expected)
        s_complain (self, &kind,
                    "FENCE: %s settled %" PRIu64 " records too late, and was told of %" PRIu64,
                    name, expected, who ? who->stale : 0);
}

static int s_say (const checker_t *self)
{
    const evidence_t *evidence = self->evidence;
    printf ("%" PRIu64 " records were confirmed; %zu were received, %" PRIu64
            " of them again; %" PRIu64 " acks were confirmed\n",
            self->confirmed, evidence->delivery_count, self->repeated, self->committed);
    printf ("%zu faults and %zu brokers; %" PRIu64 " sessions were lost, %" PRIu64
            " of them because the machine was busy\n",
            evidence->fault_count, evidence->era_count, self->losses, self->starved);
    if (self->unsure > 0)
        printf ("%" PRIu64 " confirmations came while brokers changed and are not judged\n",
                self->unsure);
    if (self->complaints > 0) {
        printf ("WRONG: %" PRIu64 " complaints\n", self->complaints);
        return 1;
    }
    printf ("RIGHT: nothing is lost, nothing made up, nothing repeated without a reason\n");
    return 0;
}

int main (int argc, char **argv)
{
    if (argc < 2) {
        fprintf (stderr, "usage: fault_checker FOLDER [--ordered] [--once] [--stale INSTANCE]\n");
        return 2;
    }
    checker_t self = { .evidence = evidence_read (argv[1]) };
    const evidence_t *evidence = self.evidence;
    evidence_delivery_t **sorted = calloc (evidence->delivery_count + 1, sizeof *sorted);
    s_make_producers (&self);
    s_take_confirmations (&self);
    s_find_eras (&self);
    for (size_t i = 0; i < evidence->delivery_count; i++)
        sorted[i] = &evidence->deliveries[i];
    s_check_instances (&self);
    s_check_content (&self);
    qsort (sorted, evidence->delivery_count, sizeof *sorted, s_by_offset);
    s_check_repetitions (&self, sorted);
    qsort (sorted, evidence->delivery_count, sizeof *sorted, s_by_sequence);
    s_check_offsets (&self, sorted);
    s_meet (&self);
    s_check_fates (&self);
    for (int i = 2; i < argc; i++) {
        uint64_t kind = 0;
        if (strcmp (argv[i], "--ordered") == 0)
            s_check_order (&self);
        else if (strcmp (argv[i], "--once") == 0 && self.repeated > 0)
            s_complain (&self, &kind, "TWICE: %" PRIu64 " records came again", self.repeated);
        else if (strcmp (argv[i], "--stale") == 0 && i + 1 < argc)
            s_check_stale (&self, argv[++i]);
    }
    int code = s_say (&self);
    for (size_t i = 0; i < self.producer_count; i++)
        free (self.producers[i].fates);
    free (self.producers);
    free (sorted);
    evidence_destroy (&self.evidence);
    return code;
}

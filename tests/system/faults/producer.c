/* Publishes payloads and writes down what it sent and what was confirmed, until SIGTERM.
 * SPDX-License-Identifier: MPL-2.0
 *
 * usage: fault_producer --broker ENDPOINT --stream NAME --name NAME --journal FILE --number N --seed S
 *            [--rate RECORDS_A_SECOND] [--records COUNT] [--size-max BYTES] [--patience-ms MS]
 *
 * Sends COUNT records (0: no end) as its number N, under the identity NAME with LEAT_REPLAY: run again
 * after its death, it goes on behind what the broker has. At SIGTERM, or behind the last record, it
 * waits until all is confirmed, for MS at most. Exit code 0 only if all it sent is confirmed. */
#include "tests/system/faults/journal.h"
#include "tests/system/faults/options.h"
#include "tests/system/faults/payload.h"

#include <leat.h>

#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>

enum { S_TURN_MS = 100, S_LATE_US = 300 * 1000 };

typedef struct {
    const char *endpoint, *stream, *name, *path;
    uint64_t number, seed, rate, records, size_max, patience_ms;
    fault_journal_t *journal;
    leat_client_t *client;
    leat_producer_t *producer;
    int signals;
    uint64_t awake_us;
    _Atomic uint64_t losses;
} load_t;

static uint64_t s_losses (load_t *self)
{
    uint64_t losses = leat_client_losses (self->client);
    uint64_t known = atomic_load (&self->losses);
    while (losses > known)
        if (atomic_compare_exchange_weak (&self->losses, &known, losses)) {
            fault_journal_write (self->journal, "loss %" PRIu64, losses);
            break;
        }
    return losses;
}

static void s_confirmed (void *arg, uint64_t sequence, uint64_t offset)
{
    load_t *self = arg;
    fault_journal_write (self->journal, "confirmed %" PRIu64 " %" PRIu64 " %" PRIu64, sequence,
                         offset, s_losses (self));
}

/* Waits up to `wait_ms` for SIGTERM, and notes if the machine let us wait for much longer. */
static bool s_told_to_end (load_t *self, int wait_ms)
{
    uint64_t now_us = fault_clock_us ();
    struct pollfd item = { .fd = self->signals, .events = POLLIN };
    bool told = poll (&item, 1, wait_ms) > 0;
    uint64_t slept_us = fault_clock_us () - now_us;
    if (slept_us > (uint64_t) wait_ms * 1000 + S_LATE_US)
        fault_journal_write (self->journal, "late %" PRIu64, slept_us);
    return told;
}

static int s_fail (load_t *self, const char *what)
{
    int error = errno;
    char why[512];
    leat_producer_error (self->producer, why, sizeof why);
    fault_journal_write (self->journal, "error %s: %s; %s", what, strerror (error), why);
    fprintf (stderr, "%s: %s: %s; %s\n", self->name, what, strerror (error), why);
    return 1;
}

static int s_skip_known (load_t *self)
{
    uint64_t known = 0;
    while (leat_producer_known (self->producer, &known, S_TURN_MS) != 0) {
        if (errno != ETIMEDOUT)
            return s_fail (self, "known");
        s_losses (self);
        if (s_told_to_end (self, 0))
            return s_fail (self, "ended before it began");
    }
    fault_journal_write (self->journal, "known %" PRIu64, known);
    if (known > 0 && leat_producer_skip (self->producer, known) != 0)
        return s_fail (self, "skip");
    return 0;
}

/* Sends until it is told to end. */
static int s_send_all (load_t *self)
{
    uint8_t *bytes = malloc (self->size_max);
    if (bytes == NULL)
        return 1;
    uint64_t begin_us = fault_clock_us ();
    int code = 0;
    uint64_t sent = leat_producer_sent (self->producer);
    uint64_t first = sent;
    bool ends = false;
    while (code == 0 && !ends && (self->records == 0 || sent < self->records)) {
        uint64_t due_us = begin_us + (sent - first) * 1000000 / self->rate;
        uint64_t now_us = fault_clock_us ();
        int wait_ms = due_us > now_us ? (int) ((due_us - now_us) / 1000) : 0;
        s_losses (self);
        if (s_told_to_end (self, wait_ms))
            break;
        /* What could not be sent in time is not made up for in a burst. */
        if (now_us > due_us + 1000000)
            begin_us += now_us - due_us;
        size_t size = fault_payload_size (self->seed, self->number, sent + 1, self->size_max);
        fault_payload_write (self->seed, self->number, sent + 1, bytes, size);
        fault_journal_write (self->journal, "sent %" PRIu64 " %zu", sent + 1, size);
        while (leat_producer_send (self->producer, bytes, size) != 0) {
            if (errno != ETIMEDOUT)
                code = s_fail (self, "send");
            s_losses (self);
            ends = s_told_to_end (self, 0);
            if (ends || code != 0)
                break;
        }
        sent = leat_producer_sent (self->producer);
    }
    free (bytes);
    return code;
}

static int s_flush (load_t *self)
{
    uint64_t end_us = fault_clock_us () + self->patience_ms * 1000;
    while (leat_producer_flush (self->producer, S_TURN_MS) != 0) {
        s_losses (self);
        if (errno != ETIMEDOUT || fault_clock_us () > end_us)
            return s_fail (self, "flush");
    }
    fault_journal_write (self->journal, "end %" PRIu64 " %" PRIu64 " %" PRIu64,
                         leat_producer_sent (self->producer),
                         leat_producer_confirmed (self->producer), s_losses (self));
    return 0;
}

int main (int argc, char **argv)
{
    load_t self = { .number = 1, .rate = 1000, .size_max = 40000, .patience_ms = 60000 };
    const fault_option_t options[] = {
        { "broker", &self.endpoint, NULL },   { "stream", &self.stream, NULL },
        { "name", &self.name, NULL },         { "journal", &self.path, NULL },
        { "number", NULL, &self.number },     { "seed", NULL, &self.seed },
        { "rate", NULL, &self.rate },         { "records", NULL, &self.records },
        { "size-max", NULL, &self.size_max }, { "patience-ms", NULL, &self.patience_ms },
    };
    fault_options_read (options, sizeof options / sizeof *options, argc, argv);
    if (!self.endpoint || !self.stream || !self.name || !self.path || self.rate == 0
        || self.size_max < FAULT_PAYLOAD_MIN) {
        fprintf (stderr, "fault_producer wants --broker, --stream, --name and --journal\n");
        return 2;
    }
    sigset_t set;
    sigemptyset (&set);
    sigaddset (&set, SIGTERM);
    sigprocmask (SIG_BLOCK, &set, NULL);
    self.signals = signalfd (-1, &set, SFD_CLOEXEC);
    self.journal = fault_journal_new (self.path);
    fault_journal_write (self.journal, "start producer %" PRIu64 " %" PRIu64, self.number,
                         self.seed);

    self.client = leat_client_new (&(leat_client_options_t){ .endpoints = self.endpoint,
                                                             .identity = self.name,
                                                             .greeting_timeout_ms = 1000,
                                                             .retry_max_ms = 500 });
    self.producer =
        self.client == NULL
            ? NULL
            : leat_producer_new (self.client, self.stream,
                                 &(leat_producer_options_t){ .numbering = LEAT_REPLAY,
                                                             .window_size = 1 << 20,
                                                             .send_timeout_ms = S_TURN_MS,
                                                             .confirmed = s_confirmed,
                                                             .arg = &self });
    if (self.producer == NULL) {
        perror (self.name);
        return 1;
    }
    int code = s_skip_known (&self);
    if (code == 0)
        code = s_send_all (&self);
    if (code == 0)
        code = s_flush (&self);
    leat_producer_destroy (&self.producer);
    leat_client_destroy (&self.client);
    fault_journal_destroy (&self.journal);
    return code;
}

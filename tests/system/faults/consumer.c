/* Takes payloads and writes down what it got and what became of it, until SIGTERM.
 * SPDX-License-Identifier: MPL-2.0
 *
 * usage: fault_consumer --broker ENDPOINT --stream NAME --name NAME --journal FILE --seed S
 *            [--threads N] [--batch 1] [--work-us MAX] [--block-one-in N --block-ms MAX]
 *            [--nack-one-in N] [--hold FILE] [--until-empty 1] [--patience-ms MS] [--credit RECORDS]
 *            [--flush-ms MS]
 *
 * A lone thread flushes every --flush-ms. Each record takes up to --work-us; one in N blocks its
 * handler for up to --block-ms, or is nacked.
 * With --hold no record is settled before FILE exists. It ends, having left in order, at SIGTERM or
 * when the group is empty. Exit code 0 if that took no longer than MS and nothing was damaged. */
#include "tests/system/faults/journal.h"
#include "tests/system/faults/options.h"
#include "tests/system/faults/payload.h"

#include <leat.h>

#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <unistd.h>

enum { S_TURN_MS = 50, S_LATE_US = 300 * 1000, S_THREADS_MAX = 64 };

typedef struct {
    const char *endpoint, *stream, *name, *path, *hold;
    uint64_t seed, threads, batch, work_us, block_one_in, block_ms, nack_one_in;
    uint64_t until_empty, patience_ms, credit, flush_ms;
    fault_journal_t *journal;
    leat_client_t *client;
    leat_consumer_t *consumer;
    _Atomic uint64_t losses, received, running;
    atomic_bool has_failed;
} load_t;

/* What a thread of its own has. */
typedef struct {
    load_t *load;
    pthread_t thread;
    uint64_t random;
    uint64_t flushed_us;
    uint64_t before; /* losses before the last receiving call */
    uint8_t *scratch;
    size_t room;
} worker_t;

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

static void s_fail (load_t *self, const char *what)
{
    int error = errno;
    char why[512];
    leat_consumer_error (self->consumer, why, sizeof why);
    fault_journal_write (self->journal, "error %s: %s; %s", what, strerror (error), why);
    fprintf (stderr, "%s: %s: %s; %s\n", self->name, what, strerror (error), why);
    atomic_store (&self->has_failed, true);
}

/* Takes its time, as work does. */
static void s_pass (uint64_t us)
{
    struct timespec time = { (time_t) (us / 1000000), (long) (us % 1000000 * 1000) };
    ppoll (NULL, 0, &time, NULL);
}

/* Compares every byte with what the record says that it is. */
static void s_note (worker_t *self, const leat_delivered_t *delivered)
{
    load_t *load = self->load;
    const uint8_t *body = delivered->record.body;
    size_t size = delivered->record.body_size;
    uint64_t after = s_losses (load);
    uint64_t producer = 0, sequence = 0;
    bool is_same = fault_payload_read (body, size, &producer, &sequence);
    if (is_same && size > self->room) {
        free (self->scratch);
        self->scratch = malloc (size);
        self->room = size;
        if (self->scratch == NULL)
            abort ();
    }
    if (is_same) {
        fault_payload_write (load->seed, producer, sequence, self->scratch, size);
        is_same = memcmp (body, self->scratch, size) == 0;
    }
    if (!is_same || delivered->record.key != NULL || delivered->record.headers != NULL) {
        errno = EBADMSG;
        s_fail (load, "a payload is not what was sent");
    }
    fault_journal_write (load->journal,
                         "got %" PRIu64 " %" PRIu64 " %u %d %" PRIu64 " %" PRIu64 " %zu %" PRIu64
                         " %" PRIu64 " %" PRIu64,
                         delivered->offset, delivered->epoch, delivered->attempt,
                         delivered->redelivered ? 1 : 0, producer, sequence, size,
                         fault_payload_hash (body, size), self->before, after);
    atomic_fetch_add (&load->received, 1);
}

/* Does the work, and writes down the verdict before it is said. */
static bool s_handle (worker_t *self, const leat_delivered_t *delivered)
{
    load_t *load = self->load;
    while (load->hold != NULL && access (load->hold, F_OK) != 0)
        s_pass (10000);
    if (load->work_us > 0)
        s_pass (fault_random (&self->random) % load->work_us);
    if (load->block_one_in > 0 && fault_random (&self->random) % load->block_one_in == 0)
        s_pass (fault_random (&self->random) % load->block_ms * 1000);
    bool is_nack = load->nack_one_in > 0 && fault_random (&self->random) % load->nack_one_in == 0;
    fault_journal_write (load->journal, "%s %" PRIu64 " %" PRIu64 " %" PRIu64,
                         is_nack ? "nack" : "ack", delivered->offset, delivered->epoch,
                         s_losses (load));
    return !is_nack;
}

static bool s_one (worker_t *self)
{
    leat_delivered_t delivered;
    if (leat_consumer_receive (self->load->consumer, &delivered, S_TURN_MS) != 0)
        return false;
    s_note (self, &delivered);
    int rc = s_handle (self, &delivered)
                 ? leat_consumer_ack (self->load->consumer, &delivered)
                 : leat_consumer_nack (self->load->consumer, &delivered, 50);
    if (rc != 0)
        s_fail (self->load, "settle");
    return true;
}

static bool s_batch (worker_t *self)
{
    load_t *load = self->load;
    leat_lease_t *lease = leat_consumer_receive_batch (load->consumer, S_TURN_MS);
    if (lease == NULL)
        return false;
    leat_delivered_t delivered;
    while (leat_lease_next (lease, &delivered)) {
        s_note (self, &delivered);
        if (!s_handle (self, &delivered))
            leat_consumer_nack (load->consumer, &delivered, 50);
    }
    leat_lease_ack (&lease);
    return true;
}

/* All acks that this thread has said under the present session are committed, if no session was lost
 * meanwhile. Only where there is one thread: another could be between writing down and saying. */
static void s_flush (worker_t *self)
{
    load_t *load = self->load;
    uint64_t now_us = fault_clock_us ();
    if (load->threads > 1 || now_us - self->flushed_us < load->flush_ms * 1000)
        return;
    self->flushed_us = now_us;
    uint64_t losses = s_losses (load);
    if (leat_consumer_flush (load->consumer, 2000) == 0 && s_losses (load) == losses)
        fault_journal_write (load->journal, "flushed %" PRIu64, losses);
}

static void *s_work (void *arg)
{
    worker_t *self = arg;
    load_t *load = self->load;
    for (;;) {
        uint64_t now_us = fault_clock_us ();
        self->before = s_losses (load);
        errno = 0;
        if (load->batch ? s_batch (self) : s_one (self)) {
            s_flush (self);
            continue;
        }
        if (errno != ETIMEDOUT && errno != EAGAIN)
            break;
        uint64_t slept_us = fault_clock_us () - now_us;
        if (slept_us > S_TURN_MS * 1000 + S_LATE_US)
            fault_journal_write (load->journal, "late %" PRIu64, slept_us);
    }
    if (errno != ESHUTDOWN && errno != ENODATA)
        s_fail (load, "receive");
    free (self->scratch);
    atomic_fetch_sub (&load->running, 1);
    return NULL;
}

/* Runs the threads until a signal comes or they have ended by themselves, then leaves in order. */
static void s_run (load_t *self, int signals)
{
    static worker_t workers[S_THREADS_MAX];
    atomic_store (&self->running, self->threads);
    for (uint64_t i = 0; i < self->threads; i++) {
        workers[i] = (worker_t){ .load = self, .random = self->seed * 1000 + i };
        if (pthread_create (&workers[i].thread, NULL, s_work, &workers[i]) != 0)
            abort ();
    }
    struct pollfd item = { .fd = signals, .events = POLLIN };
    while (atomic_load (&self->running) == self->threads && poll (&item, 1, S_TURN_MS) == 0)
        s_losses (self);
    uint64_t end_us = fault_clock_us () + self->patience_ms * 1000;
    while (leat_consumer_leave (self->consumer, S_TURN_MS) != 0) {
        s_losses (self);
        if (errno != ETIMEDOUT || fault_clock_us () > end_us) {
            s_fail (self, "leave");
            break;
        }
    }
    for (uint64_t i = 0; i < self->threads; i++)
        pthread_join (workers[i].thread, NULL);
}

int main (int argc, char **argv)
{
    load_t self = { .threads = 1, .patience_ms = 60000, .flush_ms = 100 };
    const fault_option_t options[] = {
        { "broker", &self.endpoint, NULL },
        { "stream", &self.stream, NULL },
        { "name", &self.name, NULL },
        { "journal", &self.path, NULL },
        { "hold", &self.hold, NULL },
        { "seed", NULL, &self.seed },
        { "threads", NULL, &self.threads },
        { "batch", NULL, &self.batch },
        { "work-us", NULL, &self.work_us },
        { "block-one-in", NULL, &self.block_one_in },
        { "block-ms", NULL, &self.block_ms },
        { "nack-one-in", NULL, &self.nack_one_in },
        { "until-empty", NULL, &self.until_empty },
        { "credit", NULL, &self.credit },
        { "patience-ms", NULL, &self.patience_ms },
        { "flush-ms", NULL, &self.flush_ms },
    };
    fault_options_read (options, sizeof options / sizeof *options, argc, argv);
    if (!self.endpoint || !self.stream || !self.name || !self.path || self.threads == 0
        || self.threads > S_THREADS_MAX || (self.block_one_in > 0 && self.block_ms == 0)) {
        fprintf (stderr,
                 "fault_consumer wants --broker, --stream, --name and --journal, 1 to %d "
                 "threads, and --block-ms beside --block-one-in\n",
                 S_THREADS_MAX);
        return 2;
    }
    sigset_t set;
    sigemptyset (&set);
    sigaddset (&set, SIGTERM);
    sigprocmask (SIG_BLOCK, &set, NULL);
    int signals = signalfd (-1, &set, SFD_CLOEXEC);
    self.journal = fault_journal_new (self.path);
    fault_journal_write (self.journal, "start consumer %" PRIu64, self.seed);

    self.client = leat_client_new (&(leat_client_options_t){ .endpoints = self.endpoint,
                                                             .identity = self.name,
                                                             .greeting_timeout_ms = 1000,
                                                             .retry_max_ms = 500 });
    leat_consumer_options_t how = { .credit_records = (uint32_t) self.credit };
    self.consumer = self.client == NULL ? NULL : leat_consumer_new (self.client, self.stream, &how);
    if (self.consumer == NULL) {
        perror (self.name);
        return 1;
    }
    if (self.until_empty)
        leat_consumer_ask_empty (self.consumer);
    s_run (&self, signals);
    if (leat_consumer_damaged (self.consumer) > 0)
        s_fail (&self, "batches arrived damaged");
    fault_journal_write (self.journal, "end %" PRIu64 " %" PRIu64 " %" PRIu64, self.received,
                         leat_consumer_stale (self.consumer), s_losses (&self));
    leat_consumer_destroy (&self.consumer);
    leat_client_destroy (&self.client);
    fault_journal_destroy (&self.journal);
    return self.has_failed ? 1 : 0;
}

/* Runs a command for each record, several at once, and settles by its exit code.
 * SPDX-License-Identifier: MPL-2.0 */

#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/wait.h>
#include <sysexits.h>
#include <unistd.h>

#include "cli/message.h"
#include "cli/units.h"
#include "consumers/command_runner.h"
#include "consumers/consume_run.h"
#include "wire/alloc.h"
#include "wire/assert.h"

/* sh(1): the command was found but could not be run, and it was not found. */
enum { EXIT_CANNOT_RUN = 126, EXIT_NOT_FOUND = 127 };

static const char s_program[] = "leat consume";

typedef struct {
    leat_consume_t *consume;
    leat_command_runner_t runner;
    pthread_mutex_t mutex; /* for what follows */
    uint64_t taken;        /* records received */
    uint64_t reserved;     /* of --count: received, or about to be */
    bool ended;            /* nobody receives any more */
    unsigned running;      /* threads */
    unsigned busy;         /* threads with a command */
    int code;
    int event_fd; /* counts threads that have ended; a wish to end makes it readable too */
} jobs_t;

typedef struct {
    jobs_t *jobs;
    pthread_t thread;
} job_t;

static void s_wake (const jobs_t *self)
{
    const uint64_t one = 1;
    ssize_t written = write (self->event_fd, &one, sizeof one);
    leat_assert (written == sizeof one);
}

static void s_end (jobs_t *self, int code)
{
    s_wake (self);
    pthread_mutex_lock (&self->mutex);
    self->ended = true;
    if (code != LEAT_EXIT_DONE)
        self->code = code;
    pthread_mutex_unlock (&self->mutex);
}

/* True if one more record may be taken: it counts from now on. */
static bool s_reserve (jobs_t *self)
{
    uint64_t count = self->consume->settings->count;
    pthread_mutex_lock (&self->mutex);
    bool may = !self->ended && (!count || self->reserved < count)
               && !leat_signals_received (self->consume->signals);
    if (may)
        self->reserved++;
    pthread_mutex_unlock (&self->mutex);
    return may;
}

static void s_unreserve (jobs_t *self)
{
    pthread_mutex_lock (&self->mutex);
    self->reserved--;
    pthread_mutex_unlock (&self->mutex);
}

/* A command that cannot be run will not be for any other record either. */
static void s_refuse (jobs_t *self, leat_delivered_t *delivered, const char *why)
{
    leat_message (s_program, "'%s' cannot be run (%s); all records are given back",
                  self->runner.command, why);
    leat_consumer_give_back (self->consume->consumer, delivered);
    s_end (self, LEAT_EXIT_FAILED);
}

static void s_say_failed (jobs_t *self, const leat_delivered_t *delivered, const char *how)
{
    if (!self->consume->settings->quiet)
        leat_message (s_program,
                      "record %" PRIu64 ", attempt %u: the command %s; the record is tried again, "
                      "or a dead letter if that was its last attempt",
                      delivered->offset, delivered->attempt, how);
}

static void s_nack (jobs_t *self, leat_delivered_t *delivered, int status)
{
    char how[64];
    if (WIFSIGNALED (status))
        snprintf (how, sizeof how, "was ended by signal %d", WTERMSIG (status));
    else
        snprintf (how, sizeof how, "ended with %d", WEXITSTATUS (status));
    s_say_failed (self, delivered, how);
    leat_consumer_nack (self->consume->consumer, delivered, 0);
}

static void s_count (jobs_t *self, uint64_t *counter)
{
    pthread_mutex_lock (&self->mutex);
    ++*counter;
    pthread_mutex_unlock (&self->mutex);
}

static void s_handle (job_t *job, leat_delivered_t *delivered)
{
    jobs_t *self = job->jobs;
    leat_consume_t *consume = self->consume;
    int status = leat_command_runner_run (&self->runner, delivered);
    int code = WIFEXITED (status) ? WEXITSTATUS (status) : -1;
    if (status < 0)
        s_refuse (self, delivered, strerror (errno));
    else if (code == EXIT_CANNOT_RUN)
        s_refuse (self, delivered, "the shell says: found, but not to be run");
    else if (code == EXIT_NOT_FOUND)
        s_refuse (self, delivered, "the shell says: not found");
    else if (code == 0) {
        leat_consumer_ack (consume->consumer, delivered);
        s_count (self, &consume->acked);
    } else if (code == EX_DATAERR) {
        leat_consumer_reject (consume->consumer, delivered, "the command ended with 65");
        s_count (self, &consume->rejected);
    } else {
        s_nack (self, delivered, status);
        s_count (self, &consume->nacked);
    }
}

static void *s_run (void *arg)
{
    job_t *job = arg;
    jobs_t *self = job->jobs;
    leat_delivered_t delivered;
    while (s_reserve (self)) {
        if (leat_consumer_receive (self->consume->consumer, &delivered, LEAT_CONSUME_SLICE_MS)
            == 0) {
            pthread_mutex_lock (&self->mutex);
            leat_consume_limit (self->consume, ++self->taken);
            self->busy++;
            pthread_mutex_unlock (&self->mutex);
            s_handle (job, &delivered);
            pthread_mutex_lock (&self->mutex);
            self->busy--;
            pthread_mutex_unlock (&self->mutex);
            continue;
        }
        int code;
        int problem = errno;
        s_unreserve (self);
        errno = problem;
        if (!leat_consume_go_on (self->consume, &code))
            s_end (self, code);
    }
    pthread_mutex_lock (&self->mutex);
    self->running--;
    pthread_mutex_unlock (&self->mutex);
    s_wake (self);
    return NULL;
}

/* After a signal, which may seem to do nothing for as long as the commands take. */
static void s_say_waiting (jobs_t *self)
{
    pthread_mutex_lock (&self->mutex);
    unsigned busy = self->busy;
    pthread_mutex_unlock (&self->mutex);
    if (busy && !self->consume->settings->quiet)
        leat_message (s_program, "waiting for %u command%s to end; a second signal ends %s at once",
                      busy, leat_plural (busy), busy == 1 ? "it" : "them");
}

/* Until a signal comes or there is another reason to end. Then what is not started goes back to the
 * broker at once, however long the commands take that were. */
static void s_supervise (jobs_t *self)
{
    struct pollfd items[] = {
        { .fd = leat_signals_fd (self->consume->signals), .events = POLLIN },
        { .fd = self->event_fd, .events = POLLIN },
    };
    for (;;) {
        pthread_mutex_lock (&self->mutex);
        bool over = self->ended || !self->running;
        pthread_mutex_unlock (&self->mutex);
        if (over || leat_signals_received (self->consume->signals))
            break;
        if (poll (items, 2, -1) > 0 && items[1].revents) {
            uint64_t count;
            ssize_t size = read (self->event_fd, &count, sizeof count);
            leat_assert (size == sizeof count);
        }
    }
    leat_consumer_leave (self->consume->consumer, 0);
    if (leat_signals_received (self->consume->signals))
        s_say_waiting (self);
}

int leat_consume_by_command (leat_consume_t *consume)
{
    const leat_consume_settings_t *settings = consume->settings;
    jobs_t self = {
        .consume = consume,
        .runner = { .command = settings->command,
                    .stream = settings->stream,
                    .group = settings->group,
                    .process_group = leat_guardian_group (consume->guardian) },
        .running = settings->jobs,
        .code = LEAT_EXIT_DONE,
        .event_fd = eventfd (0, EFD_CLOEXEC),
    };
    leat_assert (self.event_fd >= 0);
    pthread_mutex_init (&self.mutex, NULL);
    job_t *jobs = leat_alloc (settings->jobs * sizeof *jobs);
    for (unsigned i = 0; i < settings->jobs; i++) {
        jobs[i] = (job_t){ .jobs = &self };
        int rc = pthread_create (&jobs[i].thread, NULL, s_run, &jobs[i]);
        leat_assert (rc == 0);
    }
    s_supervise (&self);
    for (unsigned i = 0; i < settings->jobs; i++)
        pthread_join (jobs[i].thread, NULL);
    free (jobs);
    close (self.event_fd);
    pthread_mutex_destroy (&self.mutex);
    return self.code;
}

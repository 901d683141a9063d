/* Runs a command for each record, several at once, and settles by its exit code.
 * SPDX-License-Identifier: MPL-2.0 */

#include <errno.h>
#include <inttypes.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <sysexits.h>

#include "cli/message.h"
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
    int code;
} jobs_t;

typedef struct {
    jobs_t *jobs;
    unsigned number;
    pthread_t thread;
} job_t;

void leat_consume_kill (void *consume)
{
    leat_consume_t *self = consume;
    for (unsigned i = 0; i < self->settings->jobs; i++) {
        int pid = atomic_load (&self->pids[i]);
        if (pid > 0)
            kill (-pid, SIGTERM);
    }
}

static void s_end (jobs_t *self, int code)
{
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
                      "record %" PRIu64 ", attempt %u: the command %s; it will be tried "
                      "again",
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
    int status = leat_command_runner_run (&self->runner, delivered, &consume->pids[job->number]);
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
            pthread_mutex_unlock (&self->mutex);
            s_handle (job, &delivered);
            continue;
        }
        int code;
        int problem = errno;
        s_unreserve (self);
        errno = problem;
        if (!leat_consume_go_on (self->consume, &code))
            s_end (self, code);
    }
    return NULL;
}

int leat_consume_by_command (leat_consume_t *consume)
{
    const leat_consume_settings_t *settings = consume->settings;
    jobs_t self = {
        .consume = consume,
        .runner = { .command = settings->command,
                    .stream = settings->stream,
                    .group = settings->group },
        .code = LEAT_EXIT_DONE,
    };
    pthread_mutex_init (&self.mutex, NULL);
    job_t *jobs = leat_alloc (settings->jobs * sizeof *jobs);
    for (unsigned i = 0; i < settings->jobs; i++) {
        jobs[i] = (job_t){ .jobs = &self, .number = i };
        int rc = pthread_create (&jobs[i].thread, NULL, s_run, &jobs[i]);
        leat_assert (rc == 0);
    }
    for (unsigned i = 0; i < settings->jobs; i++)
        pthread_join (jobs[i].thread, NULL);
    free (jobs);
    pthread_mutex_destroy (&self.mutex);
    return self.code;
}

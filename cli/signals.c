/* SIGINT and SIGTERM: the first asks for an orderly end, the second ends the process.
 * SPDX-License-Identifier: MPL-2.0 */

#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#include "cli/message.h"
#include "cli/signals.h"
#include "wire/alloc.h"
#include "wire/assert.h"

struct leat_signals {
    const char *program;
    pthread_t thread;
    atomic_int received; /* the first signal */
    atomic_bool ended;   /* leat_signals_destroy was called; SIGUSR1 wakes the thread up */
    int event_fd;        /* readable after it */
    sigset_t set;
};

/* timeout(1) and some supervisors signal a process and then its whole group, which is one wish. */
enum { SAME_MS = 200 };

static int64_t s_now_ms (void)
{
    struct timespec now;
    clock_gettime (CLOCK_MONOTONIC, &now);
    return (int64_t) now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/* The second signal: on a terminal there may be a progress line, which the message wipes. A terminal that
 * is stopped (Ctrl-S) must not keep the process. */
static _Noreturn void s_end_at_once (const leat_signals_t *self)
{
    struct pollfd item = { .fd = STDERR_FILENO, .events = POLLOUT };
    if (poll (&item, 1, 0) > 0)
        leat_message (self->program, "ended at once by a second signal");
    _exit (LEAT_EXIT_FAILED);
}

static void *s_run (void *arg)
{
    leat_signals_t *self = arg;
    int64_t first_ms = 0;
    for (;;) {
        int number = 0;
        if (sigwait (&self->set, &number) != 0)
            continue;
        if (number == SIGUSR1) {
            if (atomic_load (&self->ended))
                return NULL;
            continue;
        }
        int first = atomic_load (&self->received);
        if (first) {
            if (number == first && s_now_ms () - first_ms < SAME_MS)
                continue;
            s_end_at_once (self);
        }
        first_ms = s_now_ms ();
        atomic_store (&self->received, number);
        uint64_t one = 1;
        ssize_t written = write (self->event_fd, &one, sizeof one);
        leat_assert (written == sizeof one);
    }
}

leat_signals_t *leat_signals_new (const char *program)
{
    leat_signals_t *self = leat_alloc (sizeof *self);
    self->program = program;
    atomic_init (&self->received, 0);
    atomic_init (&self->ended, false);
    signal (SIGPIPE, SIG_IGN);
    sigemptyset (&self->set);
    sigaddset (&self->set, SIGINT);
    sigaddset (&self->set, SIGTERM);
    sigaddset (&self->set, SIGUSR1);
    int rc = pthread_sigmask (SIG_BLOCK, &self->set, NULL);
    leat_assert (rc == 0);
    self->event_fd = eventfd (0, EFD_CLOEXEC);
    leat_assert (self->event_fd >= 0);
    rc = pthread_create (&self->thread, NULL, s_run, self);
    leat_assert (rc == 0);
    return self;
}

void leat_signals_destroy (leat_signals_t **self_p)
{
    leat_signals_t *self = *self_p;
    if (!self)
        return;
    atomic_store (&self->ended, true);
    pthread_kill (self->thread, SIGUSR1);
    pthread_join (self->thread, NULL);
    close (self->event_fd);
    free (self);
    *self_p = NULL;
}

int leat_signals_received (const leat_signals_t *self)
{
    return atomic_load (&self->received);
}

int leat_signals_fd (const leat_signals_t *self)
{
    return self->event_fd;
}

/* SIGINT and SIGTERM: the first asks for an orderly end, the second ends the process.
 * SPDX-License-Identifier: MPL-2.0 */

#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "cli/signals.h"
#include "wire/alloc.h"
#include "wire/assert.h"

struct leat_signals {
    pthread_t thread;
    atomic_int received; /* the first signal */
    int event_fd;        /* readable after it */
    sigset_t set;
    void (*quit) (void *arg);
    void *arg;
};

/* Ends the process by the signal itself, so that a shell sees what happened. */
static void s_die (int number)
{
    sigset_t only;
    signal (number, SIG_DFL);
    sigemptyset (&only);
    sigaddset (&only, number);
    raise (number);
    pthread_sigmask (SIG_UNBLOCK, &only, NULL);
    _exit (128 + number);
}

static void *s_run (void *arg)
{
    leat_signals_t *self = arg;
    for (;;) {
        int number = 0;
        if (sigwait (&self->set, &number) != 0)
            continue;
        /* From leat_signals_destroy. */
        if (number == SIGUSR1)
            return NULL;
        if (atomic_load (&self->received)) {
            if (self->quit)
                self->quit (self->arg);
            s_die (number);
        }
        atomic_store (&self->received, number);
        uint64_t one = 1;
        ssize_t written = write (self->event_fd, &one, sizeof one);
        leat_assert (written == sizeof one);
    }
}

leat_signals_t *leat_signals_new (void (*quit) (void *arg), void *arg)
{
    leat_signals_t *self = leat_alloc (sizeof *self);
    self->quit = quit;
    self->arg = arg;
    atomic_init (&self->received, 0);
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

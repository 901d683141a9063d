/* Signals through signalfd, in a thread of their own.
 * SPDX-License-Identifier: MPL-2.0 */
#include "broker/io/control.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "broker/io/clock.h"
#include "wire/alloc.h"
#include "wire/assert.h"

struct leat_control {
    atomic_int wish;
    int wake_fd;   /* wakes the core thread */
    int end_fd;    /* ends the control thread */
    int signal_fd; /* -1 without signals */
    bool masked;
    bool running;
    sigset_t mask_before;
    pthread_t thread;
};

static void s_write_event (int fd)
{
    uint64_t one = 1;
    ssize_t rc;
    do
        rc = write (fd, &one, sizeof one);
    while (rc < 0 && errno == EINTR);
}

void leat_control_stop (leat_control_t *self)
{
    int wish = LEAT_CONTROL_RUN;
    if (!atomic_compare_exchange_strong (&self->wish, &wish, LEAT_CONTROL_STOP))
        atomic_store (&self->wish, LEAT_CONTROL_QUIT);
    s_write_event (self->wake_fd);
}

/* timeout(1) and some supervisors signal a process and then its whole group, which is one wish. */
enum { SAME_US = 200 * 1000 };

/* The first signal, and when it came. */
typedef struct {
    uint32_t number; /* 0: none yet */
    uint64_t time_us;
} first_t;

static void s_heed (leat_control_t *self, first_t *first, uint32_t number)
{
    uint64_t now_us = leat_clock_monotonic_us ();
    if (number == first->number && now_us - first->time_us < SAME_US)
        return;
    if (!first->number)
        *first = (first_t){ .number = number, .time_us = now_us };
    leat_control_stop (self);
}

static void *s_run (void *arg)
{
    leat_control_t *self = arg;
    first_t first = { 0 };
    struct pollfd items[] = { { .fd = self->signal_fd, .events = POLLIN },
                              { .fd = self->end_fd, .events = POLLIN } };
    for (;;) {
        if (poll (items, 2, -1) < 0) {
            leat_assert (errno == EINTR);
            continue;
        }
        if (items[1].revents)
            return NULL;
        struct signalfd_siginfo info;
        if (items[0].revents && read (self->signal_fd, &info, sizeof info) == sizeof info)
            s_heed (self, &first, info.ssi_signo);
    }
}

static bool s_start (leat_control_t *self)
{
    sigset_t signals;
    sigemptyset (&signals);
    sigaddset (&signals, SIGINT);
    sigaddset (&signals, SIGTERM);
    if (pthread_sigmask (SIG_BLOCK, &signals, &self->mask_before))
        return false;
    self->masked = true;
    self->signal_fd = signalfd (-1, &signals, SFD_CLOEXEC | SFD_NONBLOCK);
    if (self->signal_fd < 0)
        return false;
    int rc = pthread_create (&self->thread, NULL, s_run, self);
    self->running = rc == 0;
    errno = rc;
    return self->running;
}

leat_control_t *leat_control_new (bool signals, char *error, size_t error_size)
{
    leat_control_t *self = leat_alloc (sizeof *self);
    atomic_init (&self->wish, LEAT_CONTROL_RUN);
    self->signal_fd = -1;
    self->wake_fd = eventfd (0, EFD_CLOEXEC | EFD_NONBLOCK);
    self->end_fd = eventfd (0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (self->wake_fd < 0 || self->end_fd < 0 || (signals && !s_start (self))) {
        snprintf (error, error_size, "cannot start the thread for signals: %s", strerror (errno));
        leat_control_destroy (&self);
    }
    return self;
}

static void s_close (int fd)
{
    if (fd >= 0)
        close (fd);
}

void leat_control_destroy (leat_control_t **self_p)
{
    leat_control_t *self = *self_p;
    if (!self)
        return;
    *self_p = NULL;
    if (self->running) {
        s_write_event (self->end_fd);
        pthread_join (self->thread, NULL);
    }
    if (self->masked)
        pthread_sigmask (SIG_SETMASK, &self->mask_before, NULL);
    s_close (self->signal_fd);
    s_close (self->wake_fd);
    s_close (self->end_fd);
    free (self);
}

leat_control_wish_t leat_control_wish (const leat_control_t *self)
{
    return (leat_control_wish_t) atomic_load_explicit (&self->wish, memory_order_relaxed);
}

int leat_control_fd (const leat_control_t *self)
{
    return self->wake_fd;
}

void leat_control_clear (leat_control_t *self)
{
    uint64_t count;
    while (read (self->wake_fd, &count, sizeof count) < 0 && errno == EINTR)
        continue;
}

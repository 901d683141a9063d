/* One line on a terminal that tells how far a producer is.
 * SPDX-License-Identifier: MPL-2.0 */

#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "cli/progress.h"
#include "cli/terminal.h"
#include "cli/units.h"
#include "wire/alloc.h"
#include "wire/assert.h"

struct leat_progress {
    const leat_progress_counts_t *counts;
    uint64_t bytes_total;
    pthread_t thread;
    pthread_mutex_t mutex; /* for `ended` */
    pthread_cond_t wake;
    bool ended;
};

enum { LINE_SIZE = 512, BAR_COLUMNS_MAX = 40, INTERVAL_MS = 200 };

void leat_progress_line (char *line, size_t size, uint64_t records, uint64_t confirmed,
                         uint64_t bytes, uint64_t bytes_total, double rate, unsigned columns)
{
    char counted[LEAT_UNITS_TEXT_SIZE];
    char sure[LEAT_UNITS_TEXT_SIZE];
    char speed[LEAT_UNITS_TEXT_SIZE];
    char sum[LEAT_UNITS_TEXT_SIZE];
    leat_number_short ((double) records, counted);
    leat_number_short ((double) confirmed, sure);
    leat_number_short (rate, speed);
    leat_size_short (bytes_total ? bytes_total : bytes, sum);
    if (columns >= size)
        columns = (unsigned) size - 1;
    if (!bytes_total) {
        snprintf (line, columns + 1, "%s record%s, %s confirmed, %s/s, %s", counted,
                  leat_plural (records), sure, speed, sum);
        return;
    }
    double share = bytes < bytes_total ? (double) bytes / (double) bytes_total : 1;
    int used = snprintf (line, columns + 1, "%s record%s, %s confirmed, %s/s, %3.0f %% of %s",
                         counted, leat_plural (records), sure, speed, share * 100, sum);
    /* A bar in what is left, if that is worth drawing. */
    if (used < 0 || (unsigned) used + 8 > columns)
        return;
    unsigned width = columns - (unsigned) used - 3;
    if (width > BAR_COLUMNS_MAX)
        width = BAR_COLUMNS_MAX;
    char *bar = line + used;
    *bar++ = ' ';
    *bar++ = '[';
    for (unsigned i = 0; i < width; i++)
        *bar++ = (double) (i + 1) <= share * width + 0.5 ? '=' : ' ';
    *bar++ = ']';
    *bar = 0;
}

static double s_now (void)
{
    struct timespec now;
    clock_gettime (CLOCK_MONOTONIC, &now);
    return (double) now.tv_sec + (double) now.tv_nsec / 1e9;
}

static void s_draw (leat_progress_t *self, double rate)
{
    char line[LINE_SIZE];
    char text[LINE_SIZE + 16];
    uint64_t confirmed = atomic_load (&self->counts->confirmed);
    leat_progress_line (line, sizeof line, atomic_load (&self->counts->records), confirmed,
                        atomic_load (&self->counts->bytes), self->bytes_total, rate,
                        leat_terminal_columns (STDERR_FILENO) - 1);
    /* The line, nothing behind it, and back to the first column: there a message begins, or the prompt
     * if the process is killed. */
    int size = snprintf (text, sizeof text, "\r%s\033[K\r", line);
    ssize_t written = write (STDERR_FILENO, text, (size_t) size);
    (void) written;
}

static void *s_run (void *arg)
{
    leat_progress_t *self = arg;
    double last_s = s_now ();
    uint64_t last = atomic_load (&self->counts->records);
    double rate = 0;
    pthread_mutex_lock (&self->mutex);
    while (!self->ended) {
        struct timespec until;
        clock_gettime (CLOCK_MONOTONIC, &until);
        until.tv_nsec += INTERVAL_MS * 1000000L;
        if (until.tv_nsec >= 1000000000L) {
            until.tv_sec++;
            until.tv_nsec -= 1000000000L;
        }
        if (pthread_cond_timedwait (&self->wake, &self->mutex, &until) == 0)
            continue;
        double now_s = s_now ();
        uint64_t records = atomic_load (&self->counts->records);
        double current = (double) (records - last) / (now_s - last_s);
        /* Smooth: half of it is older than about half a second. */
        rate = rate > 0 ? rate * 0.75 + current * 0.25 : current;
        last = records;
        last_s = now_s;
        s_draw (self, rate);
    }
    pthread_mutex_unlock (&self->mutex);
    return NULL;
}

leat_progress_t *leat_progress_new (const leat_progress_counts_t *counts, uint64_t bytes_total)
{
    if (!leat_terminal_obeys (STDERR_FILENO))
        return NULL;
    leat_progress_t *self = leat_alloc (sizeof *self);
    self->counts = counts;
    self->bytes_total = bytes_total;
    pthread_mutex_init (&self->mutex, NULL);
    pthread_condattr_t attributes;
    pthread_condattr_init (&attributes);
    pthread_condattr_setclock (&attributes, CLOCK_MONOTONIC);
    pthread_cond_init (&self->wake, &attributes);
    pthread_condattr_destroy (&attributes);
    int rc = pthread_create (&self->thread, NULL, s_run, self);
    leat_assert (rc == 0);
    return self;
}

void leat_progress_destroy (leat_progress_t **self_p)
{
    leat_progress_t *self = *self_p;
    if (!self)
        return;
    pthread_mutex_lock (&self->mutex);
    self->ended = true;
    pthread_cond_signal (&self->wake);
    pthread_mutex_unlock (&self->mutex);
    pthread_join (self->thread, NULL);
    ssize_t written = write (STDERR_FILENO, "\r\033[K", 4);
    (void) written;
    pthread_cond_destroy (&self->wake);
    pthread_mutex_destroy (&self->mutex);
    free (self);
    *self_p = NULL;
}

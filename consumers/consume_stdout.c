/* Writes records to stdout and acks them once write(2) has taken all of them.
 * SPDX-License-Identifier: MPL-2.0 */

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli/message.h"
#include "consumers/consume_run.h"
#include "wire/alloc.h"

/*      bytes     | record | record | record | record | record |  free  |
 *                         ^        ^        ^        ^        ^
 *      ends               end of each; `records` has them as they were delivered
 *      leases    |    lease 1      |       lease 2 ...
 *
 * Leases are acked as a whole when the write that holds their last record was taken. If a write fails,
 * records are settled one by one: what was not written to its end is given back. */
enum {
    BYTES_SIZE = 256 << 10, /* stays in the second-level cache */
    RECORDS_MAX = 4096
};

typedef struct {
    leat_consume_t *consume;
    char *bytes;
    size_t size; /* allocated */
    size_t used;
    leat_delivered_t records[RECORDS_MAX]; /* in `bytes`, not written yet */
    size_t ends[RECORDS_MAX];
    size_t count;
    leat_lease_t *leases[RECORDS_MAX]; /* whose last record is in `bytes` */
    size_t lease_count;
    uint64_t taken;
} output_t;

/* Writes all bytes; returns how many were taken before an error. Another process that has the same
 * pipe or terminal open may have made it non-blocking. */
static size_t s_write_all (const char *bytes, size_t size)
{
    size_t done = 0;
    while (done < size) {
        ssize_t taken = write (STDOUT_FILENO, bytes + done, size - done);
        if (taken < 0 && errno == EAGAIN) {
            struct pollfd item = { .fd = STDOUT_FILENO, .events = POLLOUT };
            poll (&item, 1, -1);
            continue;
        }
        if (taken < 0 && errno == EINTR)
            continue;
        if (taken < 0)
            break;
        done += (size_t) taken;
    }
    return done;
}

/* After a write that took `done` bytes only: gives back each record that it did not take whole. */
static void s_give_back (output_t *self, size_t done)
{
    for (size_t i = 0; i < self->count; i++) {
        if (self->ends[i] <= done)
            self->consume->acked++;
        else
            leat_consumer_give_back (self->consume->consumer, &self->records[i]);
    }
}

/* Writes what is gathered and acks it. `lease` (may be NULL) goes on behind it with the record `next`
 * (may be NULL). False after a failed write: then all leases are settled and gone. */
static bool s_flush (output_t *self, leat_lease_t *lease, leat_delivered_t *next)
{
    leat_consumer_t *consumer = self->consume->consumer;
    size_t done = s_write_all (self->bytes, self->used);
    bool fine = done == self->used;
    if (fine)
        self->consume->acked += self->count;
    else {
        leat_message ("leat consume", "cannot write to stdout: %s", strerror (errno));
        s_give_back (self, done);
        leat_delivered_t rest;
        if (next)
            leat_consumer_give_back (consumer, next);
        while (lease && leat_lease_next (lease, &rest))
            leat_consumer_give_back (consumer, &rest);
    }
    /* Before the acks, which make room for as many records as they settle. */
    leat_consume_limit (self->consume, self->taken);
    /* What was given back by itself is no part of its lease any more. */
    for (size_t i = 0; i < self->lease_count; i++)
        leat_lease_ack (&self->leases[i]);
    if (!fine)
        leat_lease_ack (&lease);
    self->used = 0;
    self->count = 0;
    self->lease_count = 0;
    return fine;
}

/* Writes the records of a lease into the buffer, which is flushed when it is full. */
static bool s_take (output_t *self, leat_lease_t *lease)
{
    const leat_consume_settings_t *settings = self->consume->settings;
    leat_delivered_t delivered;
    while (leat_lease_next (lease, &delivered)) {
        /* Credit sees to that; but --count is a promise. */
        if (settings->count && self->taken == settings->count) {
            leat_consumer_give_back (self->consume->consumer, &delivered);
            continue;
        }
        size_t size = leat_record_format_size (settings->format, &delivered);
        if (self->count == RECORDS_MAX || (self->count && self->used + size > BYTES_SIZE))
            if (!s_flush (self, lease, &delivered))
                return false;
        if (size > self->size) {
            self->size = size;
            self->bytes = leat_realloc (self->bytes, size);
        }
        self->used +=
            leat_record_format_write (settings->format, &delivered, self->bytes + self->used);
        self->ends[self->count] = self->used;
        self->records[self->count++] = delivered;
        self->taken++;
    }
    self->leases[self->lease_count++] = lease;
    return self->lease_count < RECORDS_MAX || s_flush (self, NULL, NULL);
}

/* True, after a message, if nobody is left to read: without records nothing else would tell. */
static bool s_is_unread (void)
{
    struct pollfd item = { .fd = STDOUT_FILENO };
    if (poll (&item, 1, 0) <= 0 || !(item.revents & (POLLERR | POLLHUP)))
        return false;
    leat_message ("leat consume", "cannot write to stdout: %s", strerror (EPIPE));
    return true;
}

static int s_run (output_t *self)
{
    const leat_consume_settings_t *settings = self->consume->settings;
    int code = LEAT_EXIT_DONE;
    while (!leat_signals_received (self->consume->signals)) {
        if (settings->count && self->taken == settings->count)
            break;
        /* What is gathered waits no longer than there is more at hand. */
        leat_lease_t *lease = leat_consumer_receive_batch (
            self->consume->consumer, self->lease_count ? 0 : LEAT_CONSUME_SLICE_MS);
        if (lease) {
            if (!s_take (self, lease))
                return LEAT_EXIT_FAILED;
            continue;
        }
        int problem = errno;
        if (self->lease_count && !s_flush (self, NULL, NULL))
            return LEAT_EXIT_FAILED;
        errno = problem;
        if (!leat_consume_go_on (self->consume, &code))
            break;
        if (s_is_unread ())
            return LEAT_EXIT_FAILED;
    }
    return s_flush (self, NULL, NULL) ? code : LEAT_EXIT_FAILED;
}

int leat_consume_to_stdout (leat_consume_t *consume)
{
    output_t *self = leat_alloc (sizeof *self);
    self->consume = consume;
    self->size = BYTES_SIZE;
    self->bytes = leat_alloc_raw (self->size);
    int code = s_run (self);
    free (self->bytes);
    free (self);
    return code;
}

/* What `leat consume` does around the handling of records: connects, leaves, says how it went.
 * SPDX-License-Identifier: MPL-2.0 */

#include <errno.h>
#include <inttypes.h>
#include <string.h>
#include <time.h>

#include "cli/connection.h"
#include "cli/message.h"
#include "cli/units.h"
#include "consumers/consume_run.h"

static const char s_program[] = "leat consume";

enum {
    CREDIT_STDOUT = 100000, /* records ahead of a pipe that is read at once */
    CREDIT_PER_JOB = 2,     /* one that runs and one that waits: others of the group may be idle */
    CREDIT_SIZE = 16 << 20,
    LEAVE_MS = 5000 /* the broker may be gone; what it did not hear of is delivered again */
};

static double s_now (void)
{
    struct timespec now;
    clock_gettime (CLOCK_MONOTONIC, &now);
    return (double) now.tv_sec + (double) now.tv_nsec / 1e9;
}

static uint32_t s_credit_records (const leat_consume_settings_t *settings)
{
    uint64_t credit = settings->credit_records ? settings->credit_records
                      : settings->command      ? (uint64_t) settings->jobs * CREDIT_PER_JOB
                                               : CREDIT_STDOUT;
    if (settings->count && credit > settings->count)
        credit = settings->count;
    return (uint32_t) credit;
}

static uint64_t s_credit_size (const leat_consume_settings_t *settings)
{
    return settings->credit_size ? settings->credit_size : CREDIT_SIZE;
}

void leat_consume_limit (leat_consume_t *self, uint64_t taken)
{
    const leat_consume_settings_t *settings = self->settings;
    uint32_t usual = s_credit_records (settings);
    if (!settings->count || settings->count - taken >= usual)
        return;
    leat_consumer_allow (self->consumer, (uint32_t) (settings->count - taken),
                         s_credit_size (settings));
}

static void s_tell_loss (leat_consume_t *self)
{
    bool lost = !leat_client_connected (self->client);
    if (atomic_exchange (&self->told_loss, lost) == lost || self->settings->quiet)
        return;
    leat_message (s_program,
                  lost ? "the connection to %s is lost; it is being made again" : "connected again",
                  self->settings->broker);
}

/* A stream that does not exist is empty, where that is asked for. */
static bool s_has_no_stream (const leat_consume_t *self)
{
    return self->settings->exit_when_empty
           && leat_consumer_error (self->consumer, NULL, 0) == LEAT_NO_SUCH_STREAM;
}

bool leat_consume_go_on (leat_consume_t *self, int *code)
{
    char text[512];
    *code = LEAT_EXIT_DONE;
    switch (errno) {
    case EAGAIN:
    case ETIMEDOUT:
        s_tell_loss (self);
        return !leat_signals_received (self->signals);
    case ENODATA:
        return false;
    case ESHUTDOWN:
        if (leat_consumer_drained (self->consumer))
            leat_message (s_program, "the broker asked this consumer to leave");
        return false;
    default:
        if (s_has_no_stream (self))
            return false;
        leat_consumer_error (self->consumer, text, sizeof text);
        if (!*text)
            leat_client_error (self->client, text, sizeof text);
        leat_message (s_program, "%s", *text ? text : strerror (errno));
        *code = LEAT_EXIT_FAILED;
        return false;
    }
}

static int s_attach (leat_consume_t *self)
{
    const leat_consume_settings_t *settings = self->settings;
    const leat_consumer_options_t options = {
        .group = settings->group,
        .must_exist = settings->exit_when_empty,
        .start = settings->start,
        .start_value = settings->start_value,
        .credit_records = s_credit_records (settings),
        .credit_size = s_credit_size (settings),
    };
    self->consumer = leat_consumer_new (self->client, settings->stream, &options);
    if (!self->consumer) {
        leat_message (s_program, "cannot consume '%s': %s", settings->stream, strerror (errno));
        return LEAT_EXIT_FAILED;
    }
    if (settings->exit_when_empty)
        leat_consumer_ask_empty (self->consumer);
    return LEAT_EXIT_DONE;
}

/* The consumer has failed for good, which may have been told already: `code` says so. */
static int s_failed (leat_consume_t *self, int code)
{
    char text[512];
    if (code != LEAT_EXIT_DONE || s_has_no_stream (self))
        return code;
    leat_consumer_error (self->consumer, text, sizeof text);
    if (!*text)
        leat_client_error (self->client, text, sizeof text);
    leat_message (s_program,
                  "%s; records that the broker has not seen settled will be delivered again",
                  *text ? text : "the broker has ended this consumer");
    return LEAT_EXIT_FAILED;
}

/* Gives back what was leased and not taken, and waits until the broker has all settles. */
static int s_leave (leat_consume_t *self, int code)
{
    double until = s_now () + LEAVE_MS / 1000.0;
    while (leat_consumer_leave (self->consumer, LEAT_CONSUME_SLICE_MS) != 0) {
        if (errno != ETIMEDOUT)
            return s_failed (self, code);
        if (s_now () < until)
            continue;
        leat_message (s_program, "the broker does not answer; records that it has not seen settled "
                                 "will be delivered again");
        return LEAT_EXIT_FAILED;
    }
    /* Then it has left too, but without a word to the broker. */
    if (leat_client_error (self->client, NULL, 0) == LEAT_DISPLACED)
        return s_failed (self, code);
    return code;
}

static void s_say_result (const leat_consume_t *self, double seconds)
{
    uint64_t stale = leat_consumer_stale (self->consumer);
    if (stale)
        leat_message (s_program, "%" PRIu64 " record%s settled too late and delivered again", stale,
                      stale == 1 ? " was" : "s were");
    if (self->settings->quiet)
        return;
    if (self->settings->command)
        leat_message (s_program,
                      "%" PRIu64 " record%s done, %" PRIu64 " attempt%s failed, %" PRIu64
                      " record%s rejected in %.3f s",
                      self->acked, leat_plural (self->acked), self->nacked,
                      leat_plural (self->nacked), self->rejected, leat_plural (self->rejected),
                      seconds);
    else
        leat_message (s_program, "%" PRIu64 " record%s in %.3f s (%.0f/s)", self->acked,
                      leat_plural (self->acked), seconds,
                      seconds > 0 ? (double) self->acked / seconds : 0.0);
}

int leat_consume_run (const leat_consume_settings_t *settings)
{
    leat_consume_t self = { .settings = settings };
    if (settings->command && !(self.guardian = leat_guardian_new ())) {
        leat_message (s_program, "cannot start a process: %s", strerror (errno));
        return LEAT_EXIT_FAILED;
    }
    self.signals = leat_signals_new (s_program);
    const leat_connection_settings_t connection = {
        .program = s_program,
        .endpoint = settings->broker,
        .identity = settings->identity,
        .timeout_ms = settings->timeout_ms,
        .signals = self.signals,
    };
    int code = leat_connection_open (&connection, &self.client);
    bool connected = code == LEAT_EXIT_DONE;
    if (connected)
        code = s_attach (&self);
    else if (leat_signals_received (self.signals))
        code = LEAT_EXIT_DONE; /* Nothing was started. */
    if (connected && code == LEAT_EXIT_DONE) {
        double start = s_now ();
        code = settings->command ? leat_consume_by_command (&self) : leat_consume_to_stdout (&self);
        code = s_leave (&self, code);
        s_say_result (&self, s_now () - start);
    }
    leat_consumer_destroy (&self.consumer);
    leat_client_destroy (&self.client);
    leat_signals_destroy (&self.signals);
    leat_guardian_destroy (&self.guardian);
    return code;
}

/* What `leat produce` does: reads records, sends them, waits until they are confirmed.
 * SPDX-License-Identifier: MPL-2.0 */

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "cli/connection.h"
#include "cli/lines.h"
#include "cli/message.h"
#include "cli/progress.h"
#include "cli/signals.h"
#include "cli/units.h"
#include "leat_producer.h"
#include "producers/produce_run.h"
#include "producers/produce_watch.h"
#include "wire/assert.h"

static const char s_program[] = "leat produce";

enum {
    SLICE_MS = 100,      /* so long nothing looks at signals */
    LAST_WAIT_MS = 5000, /* for confirmations after SIGINT or SIGTERM */
    EXTENDED_SIZE = 4    /* of a key's and headers' sizes; they count as part of a record */
};

/* What is known of all input before it is read. */
typedef struct {
    uint64_t size; /* bytes; 0: not known */
    bool is_typed; /* by somebody at a terminal, where a progress line would be in the way */
} input_t;

typedef struct {
    const leat_produce_settings_t *settings;
    leat_signals_t *signals;
    leat_client_t *client;
    leat_producer_t *producer;
    leat_progress_counts_t counts;
    uint64_t bytes_before; /* read from the files before this one */
    const char *name;      /* of the file that is being read, for messages */
    leat_lines_t *lines;   /* of it */
    uint64_t known;        /* records that the broker has from an earlier run */
    uint64_t known_passed; /* lines that were read and are among them */
    bool known_skipped;    /* the producer was told of them */
    uint64_t start_ns;
    uint64_t read;     /* records */
    size_t files_read; /* to their ends */
    leat_produce_watch_t watch;
} produce_t;

static uint64_t s_now_ns (void)
{
    struct timespec now;
    clock_gettime (CLOCK_MONOTONIC, &now);
    return (uint64_t) now.tv_sec * 1000000000 + (uint64_t) now.tv_nsec;
}

static bool s_stopped (const produce_t *self)
{
    return leat_signals_received (self->signals) != 0;
}

static void s_on_confirmed (void *arg, uint64_t sequence, uint64_t offset)
{
    (void) offset;
    leat_progress_counts_t *counts = arg;
    atomic_store_explicit (&counts->confirmed, sequence, memory_order_relaxed);
}

/* Says why the producer has failed for good. */
static void s_say_failure (produce_t *self)
{
    char text[512];
    leat_producer_error (self->producer, text, sizeof text);
    if (!*text)
        leat_client_error (self->client, text, sizeof text);
    leat_message (s_program, "%s", *text ? text : strerror (errno));
}

/* To be called now and then while nothing else happens. */
static void s_look (produce_t *self)
{
    bool waits = leat_producer_sent (self->producer) > leat_producer_confirmed (self->producer);
    leat_produce_watch_look (&self->watch, waits);
}

/* ---- sending --------------------------------------------------------------------------------- */

/* After a failed send: true if it should be tried again. */
static bool s_try_again (produce_t *self)
{
    if (errno != ETIMEDOUT && errno != EAGAIN)
        return false;
    s_look (self);
    return !s_stopped (self);
}

static bool s_send_plain (produce_t *self, leat_text_t line)
{
    void *room;
    while (!(room = leat_producer_reserve (self->producer, line.size)))
        if (!s_try_again (self))
            return false;
    memcpy (room, line.data, line.size);
    leat_producer_commit (self->producer, line.size);
    return true;
}

static bool s_send_extended (produce_t *self, leat_text_t line)
{
    const leat_produce_settings_t *settings = self->settings;
    leat_record_t record = {
        .body = (const uint8_t *) line.data,
        .body_size = line.size,
        .headers = settings->headers,
        .headers_size = settings->headers_size,
    };
    const char *separator =
        settings->key_separator
            ? memmem (line.data, line.size, settings->key_separator, settings->key_separator_size)
            : NULL;
    if (separator) {
        record.key = (const uint8_t *) line.data;
        record.key_size = (size_t) (separator - line.data);
        record.body = (const uint8_t *) separator + settings->key_separator_size;
        record.body_size = line.size - record.key_size - settings->key_separator_size;
    }
    if (record.key_size > UINT16_MAX) {
        errno = EINVAL;
        return false;
    }
    while (leat_producer_send_record (self->producer, &record) != 0)
        if (!s_try_again (self))
            return false;
    return true;
}

/* True if records have the form that has room for a key and headers. */
static bool s_extended (const produce_t *self)
{
    return self->settings->key_separator || self->settings->headers_size;
}

/* ", line 3", or nothing where a file is one record; in `where`, which has room for 32. */
static const char *s_where (const produce_t *self, uint64_t number, char *where)
{
    *where = 0;
    if (!self->settings->whole)
        snprintf (where, 32, ", line %" PRIu64, number);
    return where;
}

/* Says why the line at hand, of `size` bytes, was not sent. */
static void s_say_refused (produce_t *self, size_t size)
{
    char text[LEAT_UNITS_TEXT_SIZE];
    char where[32];
    bool extended = s_extended (self);
    if (extended)
        size += EXTENDED_SIZE + self->settings->headers_size;
    if (errno == EMSGSIZE)
        leat_message (s_program,
                      "%s%s: it has %s%s, which is more than this broker takes in one record "
                      "(`leat broker --max-record SIZE` sets that, 64MiB at most)",
                      self->name, s_where (self, leat_lines_count (self->lines), where),
                      leat_size_exact (size, text), extended ? " with its key and headers" : "");
    else if (errno == EINVAL)
        leat_message (s_program, "%s%s: the key is longer than 65535 bytes", self->name,
                      s_where (self, leat_lines_count (self->lines), where));
    else
        s_say_failure (self);
}

/* A line that the broker has already is passed over; all others are sent. */
static bool s_send (produce_t *self, leat_text_t line)
{
    if (self->known_passed < self->known) {
        self->known_passed++;
        return true;
    }
    if (!self->known_skipped) {
        self->known_skipped = true;
        if (self->known_passed && leat_producer_skip (self->producer, self->known_passed) != 0) {
            s_say_failure (self);
            return false;
        }
    }
    if (s_extended (self) ? s_send_extended (self, line) : s_send_plain (self, line))
        return true;
    if (errno != ETIMEDOUT && errno != EAGAIN)
        s_say_refused (self, line.size);
    return false;
}

/* Waits until it is the next record's time. */
static void s_keep_rate (produce_t *self)
{
    uint64_t sent = self->read - self->known_passed;
    uint64_t due_ns =
        self->start_ns + (uint64_t) ((double) sent * 1e9 / (double) self->settings->rate);
    for (;;) {
        uint64_t now_ns = s_now_ns ();
        if (now_ns >= due_ns || s_stopped (self))
            return;
        s_look (self);
        uint64_t left_ns = due_ns - now_ns;
        struct timespec wait = { .tv_sec = (time_t) (left_ns / 1000000000),
                                 .tv_nsec = (long) (left_ns % 1000000000) };
        struct pollfd item = { .fd = leat_signals_fd (self->signals), .events = POLLIN };
        ppoll (&item, 1, &wait, NULL);
    }
}

/* ---- reading --------------------------------------------------------------------------------- */

/* True if nothing more can be sent, also if all that was sent is confirmed: somebody else may have the
 * identity now. */
static bool s_has_failed (produce_t *self)
{
    if (leat_producer_flush (self->producer, 0) != 0 && errno != ETIMEDOUT)
        return true;
    return !leat_producer_reserve (self->producer, 0) && errno != ETIMEDOUT;
}

/* Nothing to read for now. False if there is no use in waiting. */
static bool s_wait_for_input (produce_t *self)
{
    enum { IDLE_MS = 1000 };
    for (;;) {
        if (leat_lines_wait (self->lines, leat_signals_fd (self->signals), IDLE_MS))
            return true;
        if (s_stopped (self))
            return true;
        if (s_has_failed (self)) {
            s_say_failure (self);
            return false;
        }
        s_look (self);
    }
}

static void s_count (produce_t *self)
{
    self->read++;
    atomic_store_explicit (&self->counts.records, self->read, memory_order_relaxed);
    atomic_store_explicit (&self->counts.bytes, self->bytes_before + leat_lines_bytes (self->lines),
                           memory_order_relaxed);
    if (self->watch.told_stall)
        s_look (self);
}

/* Sends the open file's records. False after an error that was told. */
static bool s_send_lines (produce_t *self)
{
    leat_text_t line;
    char text[LEAT_UNITS_TEXT_SIZE];
    char where[32];
    while (!s_stopped (self)) {
        switch (leat_lines_next (self->lines, &line)) {
        case LEAT_LINES_LINE:
            if (self->settings->rate)
                s_keep_rate (self);
            if (s_stopped (self))
                return true;
            if (!s_send (self, line))
                return s_stopped (self);
            s_count (self);
            break;
        case LEAT_LINES_PENDING:
            if (!s_wait_for_input (self))
                return false;
            break;
        case LEAT_LINES_END:
            self->files_read++;
            return true;
        case LEAT_LINES_TOO_LONG:
            leat_message (s_program, "%s%s: it is longer than %s, the most that a record can have",
                          self->name, s_where (self, leat_lines_count (self->lines) + 1, where),
                          leat_size_exact (LEAT_RECORD_SIZE_MAX, text));
            return false;
        case LEAT_LINES_ERROR:
            leat_message (s_program, "cannot read %s: %s", self->name, strerror (errno));
            return false;
        }
    }
    return true;
}

static bool s_send_file (produce_t *self, const char *path)
{
    const leat_produce_settings_t *settings = self->settings;
    bool standard = strcmp (path, "-") == 0;
    self->name = standard ? "stdin" : path;
    int fd = standard ? STDIN_FILENO : open (path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) {
        leat_message (s_program, "cannot read %s: %s", path, strerror (errno));
        return false;
    }
    const leat_text_t delimiter = { .data = settings->delimiter,
                                    .size = settings->whole ? 0 : settings->delimiter_size };
    self->lines = leat_lines_new (fd, delimiter, LEAT_RECORD_SIZE_MAX);
    bool fine = s_send_lines (self);
    self->bytes_before += leat_lines_bytes (self->lines);
    leat_lines_destroy (&self->lines);
    if (!standard)
        close (fd);
    return fine;
}

static bool s_is_terminal (const char *path, const struct stat *status)
{
    if (!S_ISCHR (status->st_mode))
        return false;
    if (strcmp (path, "-") == 0)
        return isatty (STDIN_FILENO);
    int fd = open (path, O_RDONLY | O_NOCTTY | O_NONBLOCK | O_CLOEXEC);
    bool terminal = fd >= 0 && isatty (fd);
    if (fd >= 0)
        close (fd);
    return terminal;
}

/* Sees that all files can be read before anything is sent, and adds up their sizes; 0 if one of
 * them tells none. A pipe must not be opened here: its writer would see it closed again. */
static bool s_check_files (const leat_produce_settings_t *settings, input_t *input)
{
    bool all_known = true;
    *input = (input_t){ 0 };
    for (size_t i = 0; i < settings->file_count; i++) {
        const char *path = settings->files[i];
        struct stat status;
        bool standard = strcmp (path, "-") == 0;
        int rc = standard ? fstat (STDIN_FILENO, &status) : stat (path, &status);
        if (rc == 0 && !standard)
            rc = access (path, R_OK);
        if (rc == 0 && S_ISDIR (status.st_mode)) {
            errno = EISDIR;
            rc = -1;
        }
        if (rc != 0) {
            leat_message (s_program, "cannot read %s: %s; nothing was sent",
                          standard ? "stdin" : path, strerror (errno));
            return false;
        }
        if (S_ISREG (status.st_mode))
            input->size += (uint64_t) status.st_size;
        else
            all_known = false;
        input->is_typed |= s_is_terminal (path, &status);
    }
    if (!all_known)
        input->size = 0;
    return true;
}

/* ---- beginning and ending -------------------------------------------------------------------- */

/* A producer whose stream the broker has accepted, and what the broker knows of its identity. */
static int s_open (produce_t *self)
{
    const leat_produce_settings_t *settings = self->settings;
    const leat_producer_options_t options = {
        .numbering = settings->identity ? LEAT_REPLAY : LEAT_CONTINUE,
        .window_size = settings->window_size,
        .record_size_max = LEAT_RECORD_SIZE_MAX,
        .send_timeout_ms = SLICE_MS,
        .confirmed = s_on_confirmed,
        .arg = &self->counts,
    };
    self->producer = leat_producer_new (self->client, settings->stream, &options);
    if (!self->producer) {
        leat_message (s_program, "cannot publish into '%s': %s", settings->stream,
                      strerror (errno));
        return LEAT_EXIT_FAILED;
    }
    self->watch = (leat_produce_watch_t){
        .program = s_program,
        .broker = settings->broker,
        .stream = settings->stream,
        .client = self->client,
        .producer = self->producer,
        .quiet = settings->quiet,
    };
    if (!settings->identity)
        return LEAT_EXIT_DONE;
    while (leat_producer_known (self->producer, &self->known, SLICE_MS) != 0) {
        if (errno != ETIMEDOUT) {
            s_say_failure (self);
            return LEAT_EXIT_FAILED;
        }
        leat_produce_watch_look (&self->watch, true);
        if (s_stopped (self)) {
            leat_message (s_program,
                          "ended by a signal before stream '%s' was open; nothing was sent",
                          settings->stream);
            return LEAT_EXIT_FAILED;
        }
    }
    if (self->known && !settings->quiet)
        leat_message (s_program, "the broker has %" PRIu64 " record%s of '%s' already", self->known,
                      leat_plural (self->known), settings->identity);
    return LEAT_EXIT_DONE;
}

/* Waits until all that was sent is confirmed. False if it will not be. */
static bool s_flush (produce_t *self)
{
    uint64_t give_up_ns = 0;
    while (leat_producer_flush (self->producer, SLICE_MS) != 0) {
        if (errno != ETIMEDOUT) {
            s_say_failure (self);
            return false;
        }
        s_look (self);
        if (!s_stopped (self))
            continue;
        uint64_t now_ns = s_now_ns ();
        if (!give_up_ns) {
            give_up_ns = now_ns + (uint64_t) LAST_WAIT_MS * 1000000;
            if (!self->settings->quiet)
                leat_message (s_program,
                              "waiting %d s for what is unconfirmed; a second signal ends it",
                              LAST_WAIT_MS / 1000);
        }
        if (now_ns >= give_up_ns)
            return false;
    }
    s_look (self);
    return true;
}

/* How it went, in one line. */
static void s_say_result (const produce_t *self, uint64_t confirmed, uint64_t unconfirmed)
{
    double seconds = (double) (s_now_ns () - self->start_ns) / 1e9;
    char known[64] = "";
    if (self->known_passed)
        snprintf (known, sizeof known, ", %" PRIu64 " %s there already", self->known_passed,
                  self->known_passed == 1 ? "was" : "were");
    if (!self->settings->quiet)
        leat_message (s_program, "%" PRIu64 " record%s confirmed in %.3f s (%.0f/s)%s", confirmed,
                      leat_plural (confirmed), seconds,
                      seconds > 0 ? (double) confirmed / seconds : 0.0, known);
    if (unconfirmed)
        leat_message (
            s_program, "%" PRIu64 " record%s sent and not confirmed; the broker may have %s%s",
            unconfirmed, unconfirmed == 1 ? " was" : "s were",
            unconfirmed == 1 ? "it" : "some of them",
            self->settings->identity ? ", and a run with the same --id sends what it has not" : "");
}

static int s_end (produce_t *self, bool fine)
{
    fine = s_flush (self) && fine;
    /* Sequences count what was passed over too, once the producer was told of it. */
    uint64_t passed = self->known_skipped ? self->known_passed : 0;
    uint64_t sent = leat_producer_sent (self->producer) - passed;
    uint64_t confirmed = leat_producer_confirmed (self->producer);
    confirmed = confirmed > passed ? confirmed - passed : 0;
    if (confirmed > sent)
        confirmed = sent;
    s_say_result (self, confirmed, sent - confirmed);
    return fine && confirmed == sent ? LEAT_EXIT_DONE : LEAT_EXIT_FAILED;
}

static int s_produce (produce_t *self, const input_t *input)
{
    int code = s_open (self);
    if (code != LEAT_EXIT_DONE)
        return code;
    leat_progress_t *progress = self->settings->quiet || input->is_typed
                                    ? NULL
                                    : leat_progress_new (&self->counts, input->size);
    self->start_ns = s_now_ns ();
    bool fine = true;
    for (size_t i = 0; i < self->settings->file_count && fine && !s_stopped (self); i++)
        fine = s_send_file (self, self->settings->files[i]);
    /* Who goes on with `&& rm FILE` must not be told that all of it was sent. */
    bool whole = self->files_read == self->settings->file_count;
    if (s_stopped (self) && !whole)
        leat_message (s_program, "stopped after %" PRIu64 " record%s, before the end of the input",
                      self->read, leat_plural (self->read));
    code = s_end (self, fine && whole);
    leat_progress_destroy (&progress);
    return code;
}

int leat_produce_run (const leat_produce_settings_t *settings)
{
    input_t input;
    if (!s_check_files (settings, &input))
        return LEAT_EXIT_FAILED;
    produce_t self = { .settings = settings };
    self.signals = leat_signals_new (s_program);
    const leat_connection_settings_t connection = {
        .program = s_program,
        .endpoint = settings->broker,
        .identity = settings->identity,
        .timeout_ms = settings->timeout_ms,
        .signals = self.signals,
    };
    int code = leat_connection_open (&connection, &self.client);
    if (code == LEAT_EXIT_DONE)
        code = s_produce (&self, &input);
    leat_producer_destroy (&self.producer);
    leat_client_destroy (&self.client);
    leat_signals_destroy (&self.signals);
    return code;
}

/* The answer of the stats socket as tables for people.
 * SPDX-License-Identifier: MPL-2.0 */

#include <float.h>
#include <stdlib.h>
#include <string.h>

#include "cli/text.h"
#include "cli/units.h"
#include "monitor/stats_view.h"
#include "monitor/table.h"
#include "wire/alloc.h"

typedef struct {
    const json_t *stats;
    FILE *file;
    unsigned width;
    bool bold;
    double late_ms; /* who was not heard for longer than this is late */
} view_t;

/* In a table, "1.2M" instead of "1.2 M". */
static const char *s_tight (char *text)
{
    char *blank = strchr (text, ' ');
    if (blank)
        memmove (blank, blank + 1, strlen (blank));
    return text;
}

static const char *s_number (const json_t *value, char *text)
{
    if (!json_is_number (value))
        return "-";
    double number = json_number_value (value);
    if (number >= 0 && number < 1e6) {
        snprintf (text, LEAT_UNITS_TEXT_SIZE, "%.0f", number);
        return text;
    }
    leat_number_short (number, text);
    return s_tight (text);
}

static const char *s_size (const json_t *value, char *text)
{
    if (!json_is_number (value) || json_number_value (value) < 0)
        return "-";
    leat_size_short ((uint64_t) json_number_value (value), text);
    return s_tight (text);
}

static const char *s_milliseconds (const json_t *value, char *text)
{
    if (!json_is_number (value))
        return "-";
    leat_seconds_short (json_number_value (value) / 1000, text);
    return s_tight (text);
}

static const char *s_text (const json_t *value)
{
    return json_is_string (value) ? json_string_value (value) : "-";
}

/* What a peer says, made fit for a terminal. */
static void s_print_text (FILE *file, const json_t *value)
{
    const char *text = s_text (value);
    char *copy = leat_copy_text (text, strlen (text));
    leat_text_make_harmless (copy);
    fputs (copy, file);
    free (copy);
}

static void s_add_text (leat_table_t *table, const json_t *row, const char *key)
{
    leat_table_add (table, s_text (json_object_get (row, key)));
}

static void s_add_number (leat_table_t *table, const json_t *row, const char *key)
{
    char text[LEAT_UNITS_TEXT_SIZE];
    leat_table_add (table, s_number (json_object_get (row, key), text));
}

static void s_add_size (leat_table_t *table, const json_t *row, const char *key)
{
    char text[LEAT_UNITS_TEXT_SIZE];
    leat_table_add (table, s_size (json_object_get (row, key), text));
}

static void s_add_milliseconds (leat_table_t *table, const json_t *row, const char *key)
{
    char text[LEAT_UNITS_TEXT_SIZE];
    leat_table_add (table, s_milliseconds (json_object_get (row, key), text));
}

/* Of a limit with this name; 0 if it is not told. */
static double s_limit (const json_t *stats, const char *name)
{
    const json_t *limits = json_object_get (stats, "limits");
    for (size_t i = 0; i < json_array_size (limits); i++) {
        const json_t *limit = json_array_get (limits, i);
        const json_t *value = json_object_get (limit, "value");
        if (strcmp (s_text (json_object_get (limit, "name")), name) == 0 && json_is_number (value))
            return json_number_value (value);
    }
    return 0;
}

/* An idle client sends something each half timeout, a busy one each interval, which is less: so much and
 * half an interval for the way. For ever if the limits are not told. */
static double s_late_ms (const json_t *stats)
{
    double timeout_ms = s_limit (stats, "heartbeat_timeout");
    double interval_ms = s_limit (stats, "heartbeat_interval");
    return timeout_ms > 0 ? (timeout_ms + interval_ms) / 2 : DBL_MAX;
}

/* How long ago a client was heard, and whether that is longer than it should be. */
static void s_add_heard (leat_table_t *table, const view_t *view, const json_t *row)
{
    char age[LEAT_UNITS_TEXT_SIZE];
    char text[LEAT_UNITS_TEXT_SIZE + 8];
    const json_t *value = json_object_get (row, "heartbeat_age_ms");
    bool late = json_is_number (value) && json_number_value (value) > view->late_ms;
    snprintf (text, sizeof text, "%s%s", s_milliseconds (value, age), late ? " late" : "");
    leat_table_add (table, text);
}

/* Prints and destroys a table, if it has rows. */
static void s_print (leat_table_t **table, const view_t *view)
{
    if (leat_table_rows (*table)) {
        fputc ('\n', view->file);
        leat_table_print (*table, view->file, view->width, view->bold);
    }
    leat_table_destroy (table);
}

static void s_print_head (const json_t *stats, FILE *file)
{
    char text[LEAT_UNITS_TEXT_SIZE];
    char more[LEAT_UNITS_TEXT_SIZE];
    s_print_text (file, json_object_get (stats, "version"));
    fprintf (file, ", up %s, ", s_milliseconds (json_object_get (stats, "uptime_ms"), text));
    const json_t *sessions = json_object_get (stats, "sessions");
    fprintf (file, "%s session%s, ", s_number (sessions, text),
             json_is_number (sessions) && json_number_value (sessions) == 1 ? "" : "s");
    const json_t *memory = json_object_get (stats, "memory");
    fprintf (file, "%s of %s held%s\n", s_size (json_object_get (memory, "held_size"), text),
             s_size (json_object_get (memory, "limit_size"), more),
             json_is_true (json_object_get (stats, "stopping")) ? ", ending" : "");
    const json_t *endpoints = json_object_get (stats, "endpoints");
    for (size_t i = 0; i < json_array_size (endpoints); i++) {
        fputs (i ? ", " : "listens on ", file);
        s_print_text (file, json_array_get (endpoints, i));
    }
    fprintf (file, "%s\n", json_array_size (endpoints) ? "" : "listens nowhere");
    const json_t *note = json_object_get (stats, "durability_note");
    if (json_is_string (note)) {
        s_print_text (file, note);
        fputc ('\n', file);
    }
    const json_t *store = json_object_get (stats, "store");
    const json_t *failure = json_object_get (store, "failure");
    if (json_is_string (failure)) {
        fputs ("NOTHING IS CONFIRMED: ", file);
        s_print_text (file, failure);
        fputc ('\n', file);
    }
    if (json_is_true (json_object_get (store, "full")))
        fputs ("the store is full: producers wait until there is space\n", file);
}

static bool s_is_log (const json_t *stream)
{
    return strcmp (s_text (json_object_get (stream, "retention")), "log") == 0;
}

/* `ready` is the field that says how many records could go out; `logs`: what expired is told too. */
static void s_add_figures (leat_table_t *table, const json_t *row, const char *ready, bool logs)
{
    s_add_number (table, row, ready);
    s_add_number (table, row, "in_flight");
    s_add_number (table, row, "delayed");
    s_add_number (table, row, "settled");
    s_add_number (table, row, "redelivered");
    s_add_number (table, row, "dead_lettered");
    if (logs)
        s_add_number (table, row, "expired");
}

static void s_print_streams (const view_t *view)
{
    static const char *const heads[] = { "-STREAM", "HELD",    "BYTES",   "READY", "FLIGHT",
                                         "DELAYED", "SETTLED", "RETRIED", "DEAD",  "EXPIRED" };
    const json_t *streams = json_object_get (view->stats, "streams");
    bool logs = false;
    for (size_t i = 0; i < json_array_size (streams); i++)
        logs |= s_is_log (json_array_get (streams, i));
    leat_table_t *table = leat_table_new (heads, sizeof heads / sizeof *heads - !logs);
    for (size_t i = 0; i < json_array_size (streams); i++) {
        const json_t *stream = json_array_get (streams, i);
        s_add_text (table, stream, "name");
        s_add_number (table, stream, "held");
        s_add_size (table, stream, "bytes");
        const json_t *groups = json_object_get (stream, "groups");
        /* What is ready is counted by groups. Without any, all that is held waits for the first. */
        s_add_figures (table, stream, json_array_size (groups) ? "ready" : "held", logs);
        /* A group that is the only one and has the usual name says nothing new, but what it has lost of a
         * log: of the stream it is all that went. */
        const json_t *first = json_array_get (groups, 0);
        if (json_array_size (groups) == 1 && !s_is_log (stream)
            && strcmp (s_text (json_object_get (first, "name")), "default") == 0)
            continue;
        for (size_t at = 0; at < json_array_size (groups); at++) {
            const json_t *group = json_array_get (groups, at);
            char name[160];
            snprintf (name, sizeof name, "  group %s", s_text (json_object_get (group, "name")));
            leat_table_add (table, name);
            leat_table_add (table, "");
            leat_table_add (table, "");
            s_add_figures (table, group, "ready", logs);
        }
    }
    s_print (&table, view);
}

static void s_print_consumers (const view_t *view)
{
    static const char *const heads[] = { "-CONSUMER", "-STREAM", "-GROUP",  "FLIGHT",
                                         "CREDIT",    "RATE/s",  "SERVICE", "HEARD" };
    leat_table_t *table = leat_table_new (heads, sizeof heads / sizeof *heads);
    const json_t *rows = json_object_get (view->stats, "consumers");
    for (size_t i = 0; i < json_array_size (rows); i++) {
        const json_t *row = json_array_get (rows, i);
        s_add_text (table, row, "id");
        s_add_text (table, row, "stream");
        s_add_text (table, row, "group");
        s_add_number (table, row, "in_flight");
        s_add_number (table, row, "credit");
        s_add_number (table, row, "rate");
        s_add_milliseconds (table, row, "service_ms");
        s_add_heard (table, view, row);
    }
    s_print (&table, view);
}

static void s_print_producers (const view_t *view)
{
    static const char *const heads[] = { "-PRODUCER", "-STREAM", "RECORDS", "FLIGHT",
                                         "CREDIT",    "RATE/s",  "HEARD" };
    leat_table_t *table = leat_table_new (heads, sizeof heads / sizeof *heads);
    const json_t *rows = json_object_get (view->stats, "producers");
    for (size_t i = 0; i < json_array_size (rows); i++) {
        const json_t *row = json_array_get (rows, i);
        s_add_text (table, row, "id");
        s_add_text (table, row, "stream");
        s_add_number (table, row, "records");
        s_add_number (table, row, "in_flight");
        s_add_size (table, row, "credit");
        s_add_number (table, row, "rate");
        s_add_heard (table, view, row);
    }
    s_print (&table, view);
}

void leat_stats_view_print (const json_t *stats, FILE *file, unsigned width, bool bold)
{
    const view_t view = {
        .stats = stats, .file = file, .width = width, .bold = bold, .late_ms = s_late_ms (stats)
    };
    s_print_head (stats, file);
    s_print_streams (&view);
    s_print_consumers (&view);
    s_print_producers (&view);
}

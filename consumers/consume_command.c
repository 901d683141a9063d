/* leat consume: its options.
 * SPDX-License-Identifier: MPL-2.0 */

#include <argp.h>
#include <stdlib.h>
#include <string.h>

#include "cli/commands.h"
#include "cli/connection.h"
#include "cli/message.h"
#include "cli/place.h"
#include "cli/text.h"
#include "cli/units.h"
#include "consumers/consume_run.h"
#include "wire/protocol.h"

static const char s_program[] = "leat consume";

enum {
    OPTION_CREDIT = 256,
    OPTION_CREDIT_SIZE,
    OPTION_EXEC,
    OPTION_EXIT_WHEN_EMPTY,
    OPTION_FROM,
    OPTION_ID,
    OPTION_TIMEOUT,
    JOBS_MAX = 1024
};

static const struct argp_option s_options[] = {
    { "broker", 'b', "ENDPOINT", 0,
      "Broker to take from (default: $LEAT_BROKER, or else tcp://127.0.0.1:5560)", 0 },
    { "group", 'g', "GROUP", 0,
      "Name of the group (default: default). Consumers of one group share the records; every group gets all of them",
      0 },
    { "count", 'n', "COUNT", 0, "Take COUNT records and end; never take more", 0 },
    { "exit-when-empty", OPTION_EXIT_WHEN_EMPTY, NULL, 0,
      "End when nothing is left: no record waits for the group, and none is still being worked on by another consumer of it. A stream that does not exist is empty",
      0 },
    { "from", OPTION_FROM, "PLACE", 0,
      "Where a new group begins: earliest, latest, an offset, a time such as 2026-01-31T12:00:00Z, or so long ago, such as 1h (default: earliest)",
      0 },
    { "delimiter", 'D', "TEXT", 0,
      "Write TEXT behind each record instead of a line feed. It may be empty; \\n \\t \\r \\0 \\\\ and \\xHH stand for characters that cannot be typed",
      0 },
    { "format", 'f', "FORMAT", 0,
      "What is written of a record (default: %b): %b body, %k key, %h headers, %o offset, %a attempt, %r 1 if it may have been started before, %e epoch, %t time in ms, %s stream, %g group, %S size of the body, %% a percent sign",
      0 },
    { "exec", OPTION_EXEC, "CMD", 0,
      "Run `sh -c CMD` for each record, which it reads from stdin. Exit code 0: done. 65: rejected for good. 126, 127: CMD cannot be run, which ends this program. Any other: tried again later",
      0 },
    { "jobs", 'j', "N", 0, "Run up to N commands at once (default: 1)", 0 },
    { "credit", OPTION_CREDIT, "COUNT", 0,
      "Hold at most COUNT records that are not done (default: 100000; with --exec two for each job)",
      0 },
    { "credit-size", OPTION_CREDIT_SIZE, "SIZE", 0,
      "Hold at most SIZE of records that are not done (default: 16MiB)", 0 },
    { "id", OPTION_ID, "NAME", 0,
      "Name of this consumer in statistics (default: random). One that has the same NAME already is ended",
      0 },
    { "timeout", OPTION_TIMEOUT, "DURATION", 0,
      "End with exit code 3 if no broker answers at the start within DURATION (default: 10s)", 0 },
    { "quiet", 'q', NULL, 0, "Say nothing but errors", 0 },
    { 0 }
};

typedef struct {
    leat_consume_settings_t run;
    const char *broker; /* from the flag */
    char *delimiter;    /* NULL if no flag said it */
    size_t delimiter_size;
    const char *format; /* likewise */
    bool jobs_said;
} settings_t;

static void s_number (const char *option, leat_units_t units, const char *value, uint64_t most,
                      uint64_t *number, struct argp_state *state)
{
    char why[LEAT_UNITS_WHY_SIZE];
    if (!leat_units_parse (units, value, 1, most, number, why))
        leat_usage_error (state, "--%s cannot be '%s': %s", option, value, why);
}

static void s_from (leat_consume_settings_t *run, const char *value, struct argp_state *state)
{
    if (!leat_place_parse (value, &run->start, &run->start_value))
        leat_usage_error (state, "--from cannot be '%s': " LEAT_PLACE_FORMS, value);
}

static void s_delimiter (settings_t *settings, const char *value, struct argp_state *state)
{
    const char *why = NULL;
    free (settings->delimiter);
    settings->delimiter = leat_text_unescape (value, &settings->delimiter_size, &why);
    if (!settings->delimiter)
        leat_usage_error (state, "--delimiter cannot be '%s': %s", value, why);
}

static void s_name (const char *what, const char *value, size_t size_max, struct argp_state *state)
{
    const char *why = leat_text_name_check (value, size_max);
    if (why)
        leat_usage_error (state, "%s cannot be '%s': %s", what, value, why);
}

/* After all options: those that exclude each other. */
static void s_check (const settings_t *settings, struct argp_state *state)
{
    if (settings->run.command && (settings->format || settings->delimiter))
        leat_usage_error (
            state, "--format and --delimiter are for stdout; with --exec the command gets the "
                   "body on stdin and the rest in its environment");
    if (settings->jobs_said && !settings->run.command)
        leat_usage_error (state,
                          "--jobs is for --exec; to share the work of stdout run several `leat "
                          "consume` in one group");
}

static error_t s_parse_number (int key, char *value, struct argp_state *state)
{
    settings_t *settings = state->input;
    leat_consume_settings_t *run = &settings->run;
    uint64_t number = 0;
    switch (key) {
    case 'n':
        s_number ("count", LEAT_UNITS_COUNT, value, UINT64_MAX, &run->count, state);
        return 0;
    case 'j':
        s_number ("jobs", LEAT_UNITS_COUNT, value, JOBS_MAX, &number, state);
        run->jobs = (unsigned) number;
        settings->jobs_said = true;
        return 0;
    case OPTION_CREDIT:
        s_number ("credit", LEAT_UNITS_COUNT, value, UINT32_MAX, &number, state);
        run->credit_records = (uint32_t) number;
        return 0;
    case OPTION_CREDIT_SIZE:
        s_number ("credit-size", LEAT_UNITS_SIZE, value, UINT64_MAX, &run->credit_size, state);
        return 0;
    case OPTION_TIMEOUT:
        s_number ("timeout", LEAT_UNITS_DURATION, value, LEAT_TIMEOUT_MAX_MS, &number, state);
        run->timeout_ms = (int) number;
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

static error_t s_parse (int key, char *value, struct argp_state *state)
{
    settings_t *settings = state->input;
    leat_consume_settings_t *run = &settings->run;
    switch (key) {
    case 'b':
        settings->broker = value;
        return 0;
    case 'g':
        s_name ("--group", value, LEAT_NAME_MAX, state);
        run->group = value;
        return 0;
    case 'D':
        s_delimiter (settings, value, state);
        return 0;
    case 'f':
        settings->format = value;
        return 0;
    case 'q':
        run->quiet = true;
        return 0;
    case OPTION_EXEC:
        /* An empty one, of a variable that is not set, would ack everything. */
        if (!value[strspn (value, " \t\n")])
            leat_usage_error (state, "--exec cannot be empty: it is a command for sh");
        run->command = value;
        return 0;
    case OPTION_EXIT_WHEN_EMPTY:
        run->exit_when_empty = true;
        return 0;
    case OPTION_FROM:
        s_from (run, value, state);
        return 0;
    case OPTION_ID:
        s_name ("--id", value, LEAT_NAME_MAX, state);
        run->identity = value;
        return 0;
    case ARGP_KEY_ARG:
        if (state->arg_num > 0)
            leat_usage_error (state, "what is '%s'? There is one STREAM", value);
        s_name ("a stream", value, LEAT_NAME_MAX, state);
        run->stream = value;
        return 0;
    case ARGP_KEY_NO_ARGS:
        leat_usage_error (state, "STREAM is missing: the stream to take from");
        return 0;
    case ARGP_KEY_END:
        s_check (settings, state);
        return 0;
    default:
        return s_parse_number (key, value, state);
    }
}

/* The format that stdout gets; false after a message. */
static bool s_format (settings_t *settings)
{
    const char *why = NULL;
    leat_text_t delimiter = { .data = "\n", .size = 1 };
    if (settings->delimiter)
        delimiter = (leat_text_t){ .data = settings->delimiter, .size = settings->delimiter_size };
    settings->run.format =
        leat_record_format_new (settings->format ? settings->format : "%b", delimiter,
                                settings->run.stream, settings->run.group, &why);
    if (!settings->run.format)
        leat_message (s_program, "--format cannot be '%s': %s", settings->format, why);
    return settings->run.format;
}

int leat_consume_command (int argc, char **argv)
{
    static const struct argp argp = {
        s_options,
        s_parse,
        "STREAM",
        "Takes records from STREAM and writes them to stdout, or runs a command for each. A record is "
        "done when it was written, or its command has ended with 0. What was not done is delivered "
        "again, here or to another consumer.",
        NULL,
        NULL,
        NULL
    };
    settings_t settings = { .run = { .group = "default", .jobs = 1, .timeout_ms = 10000 } };
    argp_parse (&argp, argc, argv, 0, NULL, &settings);
    settings.run.broker = leat_connection_endpoint (s_program, settings.broker);
    int code = LEAT_EXIT_USAGE;
    if (settings.run.broker && s_format (&settings))
        code = leat_consume_run (&settings.run);
    leat_record_format_destroy (&settings.run.format);
    free (settings.delimiter);
    return code;
}

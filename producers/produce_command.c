/* leat produce: its options.
 * SPDX-License-Identifier: MPL-2.0 */

#include <argp.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "cli/commands.h"
#include "cli/connection.h"
#include "cli/message.h"
#include "cli/text.h"
#include "cli/units.h"
#include "leat_record.h"
#include "producers/produce_run.h"
#include "wire/alloc.h"
#include "wire/protocol.h"

static const char s_program[] = "leat produce";

enum { OPTION_ID = 256, OPTION_RATE, OPTION_TIMEOUT, OPTION_WHOLE, OPTION_WINDOW };

static const struct argp_option s_options[] = {
    { "broker", 'b', "ENDPOINT", 0,
      "Broker to send to (default: $LEAT_BROKER, or else tcp://127.0.0.1:5560)", 0 },
    { "delimiter", 'D', "TEXT", 0,
      "A record ends with TEXT instead of a line feed. It has one or more characters; \\n \\t \\r \\0 \\\\ and \\xHH stand for those that cannot be typed",
      0 },
    { "whole", OPTION_WHOLE, NULL, 0, "Send each FILE as one record", 0 },
    { "key-separator", 'K', "TEXT", 0,
      "Split each line at its first TEXT: the key is before it, the body behind it. A line without TEXT has no key",
      0 },
    { "header", 'H', "NAME=VALUE", 0, "Add this header to every record. May be given several times",
      0 },
    { "id", OPTION_ID, "NAME", 0,
      "Name of this producer (default: random). If it was interrupted, run it again with the same NAME and input: what the broker has already is not sent again",
      0 },
    { "rate", OPTION_RATE, "N", 0, "Send at most N records a second", 0 },
    { "timeout", OPTION_TIMEOUT, "DURATION", 0,
      "End with exit code 3 if no broker answers at the start within DURATION (default: 10s)", 0 },
    { "window", OPTION_WINDOW, "SIZE", 0,
      "Read on while less than SIZE is sent and not confirmed (default: 32MiB)", 0 },
    { "quiet", 'q', NULL, 0, "Say nothing but errors", 0 },
    { 0 }
};

typedef struct {
    leat_produce_settings_t run;
    const char *broker; /* from the flag */
    char *delimiter;    /* as unescape made them */
    char *key_separator;
} settings_t;

enum { HEADERS_SIZE_MAX = 65535 };

static void s_header (settings_t *settings, const char *value, struct argp_state *state)
{
    leat_produce_settings_t *run = &settings->run;
    const char *equals = strchr (value, '=');
    if (!equals || equals == value || equals - value > 255) {
        leat_usage_error (
            state, "--header is written NAME=VALUE with a name of 1 to 255 bytes, not '%s'", value);
        return;
    }
    char *name = leat_copy_text (value, (size_t) (equals - value));
    if (!run->headers)
        run->headers = leat_alloc (HEADERS_SIZE_MAX);
    if (leat_headers_add (run->headers, HEADERS_SIZE_MAX, &run->headers_size, name, equals + 1,
                          strlen (equals + 1))
        != 0)
        leat_usage_error (state, "the headers together have more than 65535 bytes");
    free (name);
}

static char *s_unescape (const char *option, const char *value, size_t *size,
                         struct argp_state *state)
{
    const char *why = NULL;
    char *text = leat_text_unescape (value, size, &why);
    if (!text)
        leat_usage_error (state, "--%s cannot be '%s': %s", option, value, why);
    if (text && !*size)
        leat_usage_error (state, "--%s cannot be empty", option);
    return text;
}

static void s_number (const char *option, leat_units_t units, const char *value, uint64_t least,
                      uint64_t most, uint64_t *number, struct argp_state *state)
{
    char why[LEAT_UNITS_WHY_SIZE];
    if (!leat_units_parse (units, value, least, most, number, why))
        leat_usage_error (state, "--%s cannot be '%s': %s", option, value, why);
}

/* The arguments: STREAM, then files. */
static void s_argument (settings_t *settings, char *value, struct argp_state *state)
{
    leat_produce_settings_t *run = &settings->run;
    if (state->arg_num > 0) {
        run->files[run->file_count++] = value;
        return;
    }
    const char *why = leat_text_name_check (value, LEAT_STREAM_NAME_MAX);
    if (!why && leat_name_reserved (leat_text (value)))
        why = "names that end in .dead belong to dead letters";
    if (why)
        leat_usage_error (state, "'%s' cannot be a stream: %s", value, why);
    run->stream = value;
}

static error_t s_parse (int key, char *value, struct argp_state *state)
{
    settings_t *settings = state->input;
    leat_produce_settings_t *run = &settings->run;
    uint64_t number = 0;
    const char *why;
    switch (key) {
    case 'b':
        settings->broker = value;
        return 0;
    case 'D':
        free (settings->delimiter);
        settings->delimiter = s_unescape ("delimiter", value, &run->delimiter_size, state);
        return 0;
    case 'K':
        free (settings->key_separator);
        settings->key_separator =
            s_unescape ("key-separator", value, &run->key_separator_size, state);
        return 0;
    case 'H':
        s_header (settings, value, state);
        return 0;
    case 'q':
        run->quiet = true;
        return 0;
    case OPTION_ID:
        why = leat_text_name_check (value, LEAT_NAME_MAX);
        if (why)
            leat_usage_error (state, "--id cannot be '%s': %s", value, why);
        run->identity = value;
        return 0;
    case OPTION_RATE:
        s_number ("rate", LEAT_UNITS_COUNT, value, 1, 1000000000, &run->rate, state);
        return 0;
    case OPTION_TIMEOUT:
        s_number ("timeout", LEAT_UNITS_DURATION, value, 1, LEAT_TIMEOUT_MAX_MS, &number, state);
        run->timeout_ms = (int) number;
        return 0;
    case OPTION_WHOLE:
        run->whole = true;
        return 0;
    case OPTION_WINDOW:
        s_number ("window", LEAT_UNITS_SIZE, value, 1024, UINT32_MAX, &number, state);
        run->window_size = (uint32_t) number;
        return 0;
    case ARGP_KEY_ARG:
        s_argument (settings, value, state);
        return 0;
    case ARGP_KEY_END:
        if (run->whole && settings->delimiter)
            leat_usage_error (
                state,
                "--delimiter has no meaning with --whole, which sends each FILE as one record");
        return 0;
    case ARGP_KEY_NO_ARGS:
        leat_usage_error (state, "STREAM is missing: the stream to send to");
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

int leat_produce_command (int argc, char **argv)
{
    static const struct argp argp = {
        s_options,
        s_parse,
        "STREAM [FILE...]",
        "Sends each line of the FILEs, or of stdin, to STREAM as one record. Ends when the broker has "
        "confirmed all of them.",
        NULL,
        NULL,
        NULL
    };
    static char standard[] = "-";
    settings_t settings = { .run = { .timeout_ms = 10000 } };
    leat_produce_settings_t *run = &settings.run;
    run->files = leat_alloc ((size_t) argc * sizeof *run->files);
    argp_parse (&argp, argc, argv, 0, NULL, &settings);
    if (!run->file_count)
        run->files[run->file_count++] = standard;
    run->delimiter = settings.delimiter ? settings.delimiter : "\n";
    if (!settings.delimiter)
        run->delimiter_size = 1;
    run->key_separator = settings.key_separator;
    run->broker = leat_connection_endpoint (s_program, settings.broker);
    int code = run->broker ? leat_produce_run (run) : LEAT_EXIT_USAGE;
    free (run->headers);
    free (run->files);
    free (settings.delimiter);
    free (settings.key_separator);
    return code;
}

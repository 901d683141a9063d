/* leat stream: lists, creates and sets streams.
 * SPDX-License-Identifier: MPL-2.0 */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "admin/operator.h"
#include "cli/commands.h"
#include "cli/message.h"
#include "cli/units.h"
#include "wire/protocol.h"

static const char s_program[] = "leat stream";

enum {
    OPTION_DEAD_SIZE = 256,
    OPTION_DURABILITY,
    OPTION_JSON,
    OPTION_MAX_AGE,
    OPTION_MAX_ATTEMPTS,
    OPTION_MAX_PROCESSING,
    OPTION_MAX_SIZE,
    OPTION_RETENTION
};

static const struct argp_option s_options[] = {
    { "durability", OPTION_DURABILITY, "HOW", 0,
      "memory (gone when the broker ends), async (not durable: confirmed just before it is on the disk) or sync "
      "(default: sync; memory from a broker without a data directory, which has nothing else)",
      0 },
    { "retention", OPTION_RETENTION, "HOW", 0,
      "work: records are kept until every group has settled them; log: until they are too old, or the "
      "stream too large (default: work)",
      0 },
    { "max-age", OPTION_MAX_AGE, "DURATION", 0,
      "With retention log: drop records that were published so long ago; off for never (default: off)",
      0 },
    { "max-size", OPTION_MAX_SIZE, "SIZE", 0,
      "With retention log: drop the oldest records when the stream gets larger; off for no such limit "
      "(default: off)",
      0 },
    { "max-processing", OPTION_MAX_PROCESSING, "DURATION", 0,
      "Take a record away from who started it so long ago, and give it to another; off for never "
      "(default: off)",
      0 },
    { "max-attempts", OPTION_MAX_ATTEMPTS, "COUNT", 0,
      "Attempts before a record becomes a dead letter, or default for the broker's limit (default: "
      "default)",
      0 },
    { "dead-size", OPTION_DEAD_SIZE, "SIZE", 0,
      "What dead letters may take, or default for the broker's limit (default: default)", 0 },
    { "json", OPTION_JSON, NULL, 0, "With list: print the JSON object as the broker sent it", 0 },
    { "quiet", 'q', NULL, 0, "Say nothing but errors", 0 },
    { 0 }
};

typedef enum { ACTION_NONE, ACTION_LIST, ACTION_CREATE, ACTION_SET } action_t;

typedef struct {
    leat_operator_t common; /* first */
    action_t action;
    const char *stream; /* or pattern, or NULL */
    leat_stream_settings_t values;
    unsigned said; /* bit OPTION - OPTION_DEAD_SIZE of each value that an option has given */
    bool json;
    bool quiet;
} settings_t;

/* ---- options --------------------------------------------------------------------------------- */

static int s_choice (const char *option, const char *value, const char *const *choices, int count,
                     struct argp_state *state)
{
    for (int i = 0; i < count; i++)
        if (strcmp (value, choices[i]) == 0)
            return i;
    leat_usage_error (state, "--%s cannot be '%s': it is %s%s%s%s%s", option, value, choices[0],
                      count > 2 ? ", " : "", count > 2 ? choices[1] : "", " or ",
                      choices[count - 1]);
    return 0;
}

/* `word` stands for 0; otherwise 0 is too small. */
static uint64_t s_number (const char *option, const char *value, const char *word, uint64_t most,
                          bool (*parse) (const char *, uint64_t *, const char **),
                          struct argp_state *state)
{
    uint64_t number = 0;
    const char *why = NULL;
    if (strcmp (value, word) == 0)
        return 0;
    if (!parse (value, &number, &why))
        leat_usage_error (state, "--%s cannot be '%s': %s, or %s", option, value, why, word);
    else if (number < 1)
        leat_usage_error (state, "--%s cannot be '%s': it is at least 1, or %s", option, value,
                          word);
    else if (number > most)
        leat_usage_error (state, "--%s cannot be '%s': it is at most %" PRIu64 ", or %s", option,
                          value, most, word);
    return number;
}

static error_t s_parse_value (int key, char *value, struct argp_state *state)
{
    static const char *const durabilities[] = { "async", "sync",
                                                "memory" }; /* from LEAT_ASYNC on */
    static const char *const retentions[] = { "work", "log" };
    settings_t *settings = state->input;
    leat_stream_settings_t *values = &settings->values;
    switch (key) {
    case OPTION_DURABILITY:
        values->durability =
            (leat_durability_t) (LEAT_ASYNC
                                 + s_choice ("durability", value, durabilities, 3, state));
        break;
    case OPTION_RETENTION:
        values->retention = (leat_retention_t) s_choice ("retention", value, retentions, 2, state);
        break;
    case OPTION_MAX_AGE:
        values->max_age_ms =
            s_number ("max-age", value, "off", UINT64_MAX, leat_duration_parse, state);
        break;
    case OPTION_MAX_SIZE:
        values->max_size = s_number ("max-size", value, "off", UINT64_MAX, leat_size_parse, state);
        break;
    case OPTION_MAX_PROCESSING:
        values->max_processing_ms =
            s_number ("max-processing", value, "off", UINT64_MAX, leat_duration_parse, state);
        break;
    case OPTION_MAX_ATTEMPTS:
        values->max_attempts = (uint32_t) s_number ("max-attempts", value, "default", UINT32_MAX,
                                                    leat_count_parse, state);
        break;
    case OPTION_DEAD_SIZE:
        values->dead_size =
            s_number ("dead-size", value, "default", UINT64_MAX, leat_size_parse, state);
        break;
    default:
        return ARGP_ERR_UNKNOWN;
    }
    settings->said |= 1u << (key - OPTION_DEAD_SIZE);
    return 0;
}

static void s_argument (settings_t *settings, const char *value, struct argp_state *state)
{
    static const char *const actions[] = { "list", "create", "set" };
    if (state->arg_num == 0) {
        for (int i = 0; i < 3; i++)
            if (strcmp (value, actions[i]) == 0)
                settings->action = (action_t) (ACTION_LIST + i);
        if (settings->action == ACTION_NONE)
            leat_usage_error (state, "what is '%s'? There are list, create and set", value);
    } else if (state->arg_num > 1) {
        leat_usage_error (state, "what is '%s'? There is one STREAM", value);
    } else {
        /* A pattern may be anything; nothing is like it then. */
        if (settings->action != ACTION_LIST)
            leat_operator_check_name (
                "a stream", value,
                settings->action == ACTION_CREATE ? LEAT_STREAM_NAME_MAX : LEAT_NAME_MAX, state);
        else if (strlen (value) > LEAT_NAME_MAX)
            leat_usage_error (state, "a pattern has at most 128 characters");
        settings->stream = settings->common.about = value;
    }
}

/* After all options: what does not go together. */
static void s_check (const settings_t *settings, struct argp_state *state)
{
    if (settings->action == ACTION_NONE)
        leat_usage_error (state, "ACTION is missing: list, create or set");
    else if (settings->action == ACTION_LIST && settings->said)
        leat_usage_error (state, "settings are for create and set; list takes --json");
    else if (settings->action != ACTION_LIST && settings->json)
        leat_usage_error (state, "--json is for list");
    else if (settings->action != ACTION_LIST && !settings->stream)
        leat_usage_error (state, "STREAM is missing: the stream to %s",
                          settings->action == ACTION_SET ? "set" : "create");
    else if (settings->action == ACTION_SET && !settings->said)
        leat_usage_error (
            state,
            "nothing is to be set: say --retention, --max-age, --max-size, --max-processing, "
            "--max-attempts or --dead-size");
}

static error_t s_parse (int key, char *value, struct argp_state *state)
{
    settings_t *settings = state->input;
    switch (key) {
    case ARGP_KEY_INIT:
        state->child_inputs[0] = &settings->common;
        return 0;
    case OPTION_JSON:
        settings->json = true;
        return 0;
    case 'q':
        settings->quiet = true;
        return 0;
    case ARGP_KEY_ARG:
        s_argument (settings, value, state);
        return 0;
    case ARGP_KEY_END:
        s_check (settings, state);
        return 0;
    default:
        return s_parse_value (key, value, state);
    }
}

/* ---- list ------------------------------------------------------------------------------------ */

static uint64_t s_member (const json_t *object, const char *member)
{
    json_int_t value = json_integer_value (json_object_get (object, member));
    return value > 0 ? (uint64_t) value : 0;
}

static void s_add_number (leat_table_t *table, uint64_t number, const char *zero)
{
    char text[LEAT_UNITS_TEXT_SIZE];
    snprintf (text, sizeof text, "%" PRIu64, number);
    leat_table_add (table, number || !zero ? text : zero);
}

static void s_add_row (leat_table_t *table, const json_t *stream)
{
    static const char *const texts[] = { "name", "durability", "retention" };
    char unit[LEAT_UNITS_TEXT_SIZE];
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        const char *text = json_string_value (json_object_get (stream, texts[i]));
        leat_table_add (table, text ? text : "?");
    }
    uint64_t age_ms = s_member (stream, "max_age_ms");
    leat_table_add (table, age_ms ? leat_duration_exact (age_ms, unit) : "off");
    uint64_t size = s_member (stream, "max_size");
    leat_table_add (table, size ? leat_size_exact (size, unit) : "off");
    uint64_t processing_ms = s_member (stream, "max_processing_ms");
    leat_table_add (table, processing_ms ? leat_duration_exact (processing_ms, unit) : "off");
    s_add_number (table, s_member (stream, "max_attempts"), "default");
    uint64_t dead_size = s_member (stream, "dead_size");
    leat_table_add (table, dead_size ? leat_size_exact (dead_size, unit) : "default");
    s_add_number (table, s_member (stream, "first_offset"), NULL);
    s_add_number (table, s_member (stream, "next_offset"), NULL);
}

static int s_list (settings_t *settings)
{
    static const char *const heads[] = { "-STREAM",      "-DURABILITY", "-RETENTION", "MAX AGE",
                                         "MAX SIZE",     "PROCESSING",  "ATTEMPTS",   "DEAD SIZE",
                                         "FIRST OFFSET", "NEXT OFFSET" };
    leat_operator_t *common = &settings->common;
    char *answer;
    int result =
        leat_admin_stream_list (common->admin, settings->stream, &answer, common->timeout_ms);
    if (result != 0)
        return leat_operator_answer (common, result);
    if (settings->json) {
        int code = leat_operator_print_json (common, answer);
        free (answer);
        return code;
    }
    json_t *object;
    json_t *streams = leat_operator_array (common, answer, "streams", &object);
    if (!streams)
        return LEAT_EXIT_FAILED;
    leat_table_t *table = leat_table_new (heads, sizeof heads / sizeof *heads);
    size_t index;
    json_t *stream;
    json_array_foreach (streams, index, stream)
    {
        s_add_row (table, stream);
    }
    json_decref (object);
    return leat_operator_print (common, &table);
}

/* ---- create and set -------------------------------------------------------------------------- */

static bool s_said (const settings_t *settings, int option)
{
    return settings->said >> (option - OPTION_DEAD_SIZE) & 1;
}

/* What no option has given stays as the broker has it; true with `code` LEAT_EXIT_DONE. */
static int s_complete (settings_t *settings)
{
    leat_operator_t *common = &settings->common;
    leat_stream_settings_t *values = &settings->values;
    char *answer;
    int result =
        leat_admin_stream_list (common->admin, settings->stream, &answer, common->timeout_ms);
    if (result != 0)
        return leat_operator_answer (common, result);
    json_t *object;
    json_t *streams = leat_operator_array (common, answer, "streams", &object);
    if (!streams)
        return LEAT_EXIT_FAILED;
    const json_t *stream = json_array_get (streams, 0);
    /* Where there is none, the broker says so in its own words. */
    const char *retention = json_string_value (json_object_get (stream, "retention"));
    if (!s_said (settings, OPTION_RETENTION) && retention)
        values->retention =
            strcmp (retention, "log") == 0 ? LEAT_RETENTION_LOG : LEAT_RETENTION_WORK;
    bool is_log = values->retention == LEAT_RETENTION_LOG;
    if (!s_said (settings, OPTION_MAX_AGE))
        values->max_age_ms = is_log ? s_member (stream, "max_age_ms") : 0;
    if (!s_said (settings, OPTION_MAX_SIZE))
        values->max_size = is_log ? s_member (stream, "max_size") : 0;
    if (!s_said (settings, OPTION_MAX_PROCESSING))
        values->max_processing_ms = s_member (stream, "max_processing_ms");
    if (!s_said (settings, OPTION_MAX_ATTEMPTS))
        values->max_attempts = (uint32_t) s_member (stream, "max_attempts");
    if (!s_said (settings, OPTION_DEAD_SIZE))
        values->dead_size = s_member (stream, "dead_size");
    json_decref (object);
    return LEAT_EXIT_DONE;
}

static int s_change (settings_t *settings)
{
    leat_operator_t *common = &settings->common;
    bool set = settings->action == ACTION_SET;
    int code = set ? s_complete (settings) : LEAT_EXIT_DONE;
    if (code != LEAT_EXIT_DONE)
        return code;
    int result = set ? leat_admin_stream_set (common->admin, settings->stream, &settings->values,
                                              common->timeout_ms)
                     : leat_admin_stream_create (common->admin, settings->stream, &settings->values,
                                                 common->timeout_ms);
    code = leat_operator_answer (common, result);
    if (code == LEAT_EXIT_DONE && !settings->quiet)
        leat_message (s_program, "stream '%s' is %s", settings->stream, set ? "set" : "there");
    return code;
}

static int s_act (void *arg)
{
    settings_t *settings = arg;
    return settings->action == ACTION_LIST ? s_list (settings) : s_change (settings);
}

int leat_stream_command (int argc, char **argv)
{
    static const struct argp argp = {
        s_options,
        s_parse,
        "list [PATTERN]\ncreate STREAM\nset STREAM",
        "Lists streams (those like PATTERN, at whose end * stands for any rest), creates one, or sets "
        "what is said of one. Streams also come into being when they are first used.",
        NULL,
        NULL,
        NULL
    };
    settings_t settings = { .common = { .program = s_program } };
    return leat_operator_run (&settings.common, &argp, argc, argv, s_act);
}

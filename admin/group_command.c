/* leat group: lists and creates groups.
 * SPDX-License-Identifier: MPL-2.0 */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "admin/operator.h"
#include "cli/commands.h"
#include "cli/message.h"
#include "cli/place.h"
#include "wire/protocol.h"

static const char s_program[] = "leat group";

enum { OPTION_FROM = 256, OPTION_JSON };

static const struct argp_option s_options[] = {
    { "from", OPTION_FROM, "PLACE", 0,
      "With create: where the group begins: earliest, latest, an offset, a time such as "
      "2026-01-31T12:00:00Z, or how long ago, such as 1h (default: earliest)",
      0 },
    { "json", OPTION_JSON, NULL, 0, "With list: print the JSON object as the broker sent it", 0 },
    { "quiet", 'q', NULL, 0, "Say nothing but errors", 0 },
    { 0 }
};

typedef struct {
    leat_operator_t common; /* first */
    bool creates;
    const char *stream;
    const char *group;
    bool from_said;
    leat_start_t start;
    uint64_t start_value;
    bool json;
    bool quiet;
} settings_t;

static void s_argument (settings_t *settings, const char *value, struct argp_state *state)
{
    if (state->arg_num == 0) {
        settings->creates = strcmp (value, "create") == 0;
        if (!settings->creates && strcmp (value, "list") != 0)
            leat_usage_error (state, "what is '%s'? There are list and create", value);
    } else if (state->arg_num == 1) {
        leat_operator_check_name ("a stream", value, LEAT_NAME_MAX, state);
        settings->stream = settings->common.about = value;
    } else if (state->arg_num == 2 && settings->creates) {
        leat_operator_check_name ("a group", value, LEAT_NAME_MAX, state);
        settings->group = value;
    } else {
        leat_usage_error (state, "what is '%s'? There is one %s", value,
                          settings->creates ? "STREAM and one GROUP" : "STREAM");
    }
}

/* After all options: what does not go together. */
static void s_check (const settings_t *settings, struct argp_state *state)
{
    if (state->arg_num == 0)
        leat_usage_error (state, "ACTION is missing: list or create");
    else if (!settings->stream)
        leat_usage_error (state, "STREAM is missing: the stream whose groups are meant");
    else if (settings->creates && !settings->group)
        leat_usage_error (state, "GROUP is missing: the group to create");
    else if (settings->creates && settings->json)
        leat_usage_error (state, "--json is for list");
    else if (!settings->creates && settings->from_said)
        leat_usage_error (state, "--from is for create");
}

static error_t s_parse (int key, char *value, struct argp_state *state)
{
    settings_t *settings = state->input;
    switch (key) {
    case ARGP_KEY_INIT:
        state->child_inputs[0] = &settings->common;
        return 0;
    case OPTION_FROM:
        if (!leat_place_parse (value, &settings->start, &settings->start_value))
            leat_usage_error (state, "--from cannot be '%s': " LEAT_PLACE_FORMS, value);
        settings->from_said = true;
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
        return ARGP_ERR_UNKNOWN;
    }
}

static int s_list (settings_t *settings)
{
    static const char *const heads[] = { "-GROUP",  "FLOOR", "READY",    "FLIGHT",
                                         "DELAYED", "DEAD",  "CONSUMERS" };
    static const char *const members[] = { "floor",   "ready", "in_flight",
                                           "delayed", "dead",  "consumers" };
    leat_operator_t *common = &settings->common;
    char *answer;
    int result =
        leat_admin_group_list (common->admin, settings->stream, &answer, common->timeout_ms);
    if (result != 0)
        return leat_operator_answer (common, result);
    if (settings->json) {
        int code = leat_operator_print_json (common, answer);
        free (answer);
        return code;
    }
    json_t *object;
    json_t *groups = leat_operator_array (common, answer, "groups", &object);
    if (!groups)
        return LEAT_EXIT_FAILED;
    leat_table_t *table = leat_table_new (heads, sizeof heads / sizeof *heads);
    size_t index;
    json_t *group;
    json_array_foreach (groups, index, group)
    {
        const char *name = json_string_value (json_object_get (group, "name"));
        leat_table_add (table, name ? name : "?");
        for (size_t i = 0; i < sizeof members / sizeof *members; i++) {
            char text[32];
            snprintf (text, sizeof text, "%" JSON_INTEGER_FORMAT,
                      json_integer_value (json_object_get (group, members[i])));
            leat_table_add (table, text);
        }
    }
    json_decref (object);
    return leat_operator_print (common, &table);
}

static int s_create (settings_t *settings)
{
    leat_operator_t *common = &settings->common;
    uint64_t first = 0;
    int result =
        leat_admin_group_create (common->admin, settings->stream, settings->group, settings->start,
                                 settings->start_value, &first, common->timeout_ms);
    if (result != 0 && leat_admin_error (common->admin, NULL, 0) != LEAT_NO_SUCH_STREAM)
        common->about = settings->group;
    int code = leat_operator_answer (common, result);
    if (code == LEAT_EXIT_DONE && !settings->quiet)
        leat_message (s_program, "group '%s' of stream '%s' begins at offset %" PRIu64,
                      settings->group, settings->stream, first);
    return code;
}

static int s_act (void *arg)
{
    settings_t *settings = arg;
    return settings->creates ? s_create (settings) : s_list (settings);
}

int leat_group_command (int argc, char **argv)
{
    static const struct argp argp = {
        s_options,
        s_parse,
        "list STREAM\ncreate STREAM GROUP",
        "Lists the groups of STREAM, or creates one. Groups also come into being with their first "
        "consumer; one that is created before it holds records for it.",
        NULL,
        NULL,
        NULL
    };
    settings_t settings = { .common = { .program = s_program } };
    return leat_operator_run (&settings.common, &argp, argc, argv, s_act);
}

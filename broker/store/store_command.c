/* leat store: checks, shrinks, lists or copies a broker's data directory.
 * SPDX-License-Identifier: MPL-2.0 */

#include <argp.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "broker/store/lmdb_tools.h"
#include "cli/commands.h"
#include "cli/message.h"
#include "cli/terminal.h"
#include "cli/units.h"
#include "monitor/table.h"

static const char s_program[] = "leat store";

enum { OPTION_JSON = 256, ERROR_SIZE = 1024 };

static const struct argp_option s_options[] = {
    { "json", OPTION_JSON, NULL, 0, "dump: print a JSON object", 0 }, { 0 }
};

typedef struct action action_t;

typedef struct {
    const char *words[3]; /* what to do, the directory, the target */
    unsigned count;
    const action_t *action;
    bool json;
} settings_t;

struct action {
    const char *name;
    unsigned words;
    int (*run) (const settings_t *settings);
};

static int s_fail (const char *error)
{
    leat_message (s_program, "%s", error);
    return LEAT_EXIT_FAILED;
}

static int s_end (int code)
{
    if (fflush (stdout) == 0 && !ferror (stdout))
        return code;
    leat_message (s_program, "cannot write to stdout: %s", strerror (errno));
    return LEAT_EXIT_FAILED;
}

/* ---- verify ---------------------------------------------------------------------------------- */

static void s_print_finding (void *arg, const leat_store_finding_t *finding)
{
    char size[LEAT_UNITS_TEXT_SIZE];
    (void) arg;
    if (!finding->stream)
        printf ("%s\n", finding->what);
    else if (finding->damaged && finding->end > finding->first)
        printf ("%s: offsets %" PRIu64 " to %" PRIu64 ": %s\n", finding->stream, finding->first,
                finding->end - 1, finding->what);
    else if (finding->damaged)
        printf ("%s: %s\n", finding->stream, finding->what);
    else
        printf ("%s: read %" PRIu64 " records in %" PRIu64 " batches, %s\n", finding->stream,
                finding->records, finding->batches, leat_size_short (finding->size, size));
}

static int s_verify (const settings_t *settings)
{
    char error[ERROR_SIZE];
    uint64_t damages;
    if (leat_lmdb_verify (settings->words[1], s_print_finding, NULL, &damages, error, sizeof error))
        return s_fail (error);
    if (!damages) {
        leat_message (s_program, "%s is sound", settings->words[1]);
        return s_end (LEAT_EXIT_DONE);
    }
    fflush (stdout);
    leat_message (s_program, "%s is damaged in %" PRIu64 " place%s", settings->words[1], damages,
                  damages == 1 ? "" : "s");
    return LEAT_EXIT_FAILED;
}

/* ---- compact, backup ------------------------------------------------------------------------- */

static int s_compact (const settings_t *settings)
{
    char error[ERROR_SIZE];
    char texts[2][LEAT_UNITS_TEXT_SIZE];
    uint64_t before;
    uint64_t after;
    if (leat_lmdb_compact (settings->words[1], &before, &after, error, sizeof error))
        return s_fail (error);
    leat_message (s_program, "%s had %s and has %s", settings->words[1],
                  leat_size_short (before, texts[0]), leat_size_short (after, texts[1]));
    return LEAT_EXIT_DONE;
}

static int s_backup (const settings_t *settings)
{
    char error[ERROR_SIZE];
    char text[LEAT_UNITS_TEXT_SIZE];
    uint64_t size;
    if (leat_lmdb_backup (settings->words[1], settings->words[2], &size, error, sizeof error))
        return s_fail (error);
    leat_message (s_program, "copied %s to %s", leat_size_short (size, text), settings->words[2]);
    return LEAT_EXIT_DONE;
}

/* ---- dump ------------------------------------------------------------------------------------ */

static void s_add (leat_table_t *table, const json_t *object, const char *key)
{
    char text[LEAT_UNITS_TEXT_SIZE];
    const json_t *value = json_object_get (object, key);
    snprintf (text, sizeof text, "%" PRId64, (int64_t) json_integer_value (value));
    leat_table_add (table, json_is_string (value) ? json_string_value (value) : text);
}

static void s_add_all (leat_table_t *table, const json_t *object, const char *const *keys)
{
    for (; *keys; keys++)
        s_add (table, object, *keys);
}

static void s_print_table (leat_table_t **table)
{
    if (leat_table_rows (*table))
        leat_table_print (*table, stdout,
                          isatty (STDOUT_FILENO) ? leat_terminal_columns (STDOUT_FILENO) : 0,
                          leat_terminal_colour (STDOUT_FILENO));
    leat_table_destroy (table);
}

static void s_print_dump (const json_t *dump)
{
    static const char *const stream_heads[] = { "-STREAM", "-KEPT", "FIRST", "NEXT",
                                                "RECORDS", "BYTES", "GROUPS" };
    static const char *const stream_keys[] = { "name",    "durability", "first", "next",
                                               "records", "bytes",      NULL };
    static const char *const group_heads[] = { "-STREAM",  "-GROUP",  "FLOOR",  "CHUNKS",
                                               "ATTEMPTS", "DELAYED", "PARKED", "DEAD" };
    static const char *const group_keys[] = { "name",    "floor",  "chunks", "attempts",
                                              "delayed", "parked", "dead",   NULL };
    leat_table_t *streams =
        leat_table_new (stream_heads, sizeof stream_heads / sizeof *stream_heads);
    leat_table_t *groups = leat_table_new (group_heads, sizeof group_heads / sizeof *group_heads);
    size_t i;
    size_t j;
    json_t *stream;
    json_t *group;
    json_array_foreach (json_object_get (dump, "streams"), i, stream)
    {
        char count[LEAT_UNITS_TEXT_SIZE];
        snprintf (count, sizeof count, "%zu", json_array_size (json_object_get (stream, "groups")));
        s_add_all (streams, stream, stream_keys);
        leat_table_add (streams, count);
        json_array_foreach (json_object_get (stream, "groups"), j, group)
        {
            s_add (groups, stream, "name");
            s_add_all (groups, group, group_keys);
        }
    }
    bool both = leat_table_rows (groups);
    s_print_table (&streams);
    if (both)
        putchar ('\n');
    s_print_table (&groups);
}

static int s_dump (const settings_t *settings)
{
    char error[ERROR_SIZE];
    json_t *dump = leat_lmdb_dump (settings->words[1], error, sizeof error);
    if (!dump)
        return s_fail (error);
    if (settings->json) {
        json_dumpf (dump, stdout, JSON_COMPACT);
        putchar ('\n');
    } else
        s_print_dump (dump);
    json_decref (dump);
    return s_end (LEAT_EXIT_DONE);
}

/* ---- the command ----------------------------------------------------------------------------- */

static const action_t s_actions[] = { { "verify", 2, s_verify },
                                      { "compact", 2, s_compact },
                                      { "dump", 2, s_dump },
                                      { "backup", 3, s_backup } };

/* After all arguments: what is to be done, and to what. */
static void s_check (settings_t *settings, struct argp_state *state)
{
    if (!settings->count)
        leat_usage_error (state, "ACTION is missing: verify, compact, dump or backup");
    for (size_t i = 0; i < sizeof s_actions / sizeof *s_actions; i++)
        if (settings->count && strcmp (settings->words[0], s_actions[i].name) == 0)
            settings->action = &s_actions[i];
    if (!settings->action)
        leat_usage_error (state, "what is '%s'? There are verify, compact, dump and backup",
                          settings->words[0]);
    else if (settings->count != settings->action->words)
        leat_usage_error (state,
                          settings->action->words == 2 ? "%s takes one directory"
                                                       : "%s takes a directory, and one to copy to",
                          settings->action->name);
}

static error_t s_parse (int key, char *value, struct argp_state *state)
{
    settings_t *settings = state->input;
    switch (key) {
    case OPTION_JSON:
        settings->json = true;
        return 0;
    case ARGP_KEY_ARG:
        if (settings->count == 3)
            leat_usage_error (state, "what is '%s'? Two directories are the most that it takes",
                              value);
        settings->words[settings->count++] = value;
        return 0;
    case ARGP_KEY_END:
        s_check (settings, state);
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

int leat_store_command (int argc, char **argv)
{
    static const struct argp argp = {
        s_options,
        s_parse,
        "verify DIR\ncompact DIR\ndump DIR\nbackup DIR TARGET",
        "Checks, shrinks, lists or copies the data directory of a broker. Only the backup works while "
        "the broker runs.",
        NULL,
        NULL,
        NULL
    };
    settings_t settings = { .count = 0 };
    argp_parse (&argp, argc, argv, 0, NULL, &settings);
    return settings.action->run (&settings);
}

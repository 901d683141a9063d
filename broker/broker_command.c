/* leat broker: runs a broker in the foreground.
 * SPDX-License-Identifier: MPL-2.0 */

#include <argp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "broker/broker.h"
#include "broker/broker_config.h"
#include "broker/io/endpoint.h"
#include "cli/commands.h"
#include "cli/message.h"
#include "cli/terminal.h"
#include "cli/text.h"
#include "wire/alloc.h"

static const char s_program[] = "leat broker";

enum { OPTION_INSECURE = 256, OPTION_LIMIT, OPTION_LIMITS, OPTION_MAX_RECORD, OPTION_DATA_SIZE };

static const struct argp_option s_options[] = {
    { "config", 'c', "FILE", 0, "Read a configuration file. Options win over it", 0 },
    { "listen", 'l', "ENDPOINT", 0,
      "Where clients connect. May be given several times (default: " LEAT_BROKER_ENDPOINT ")", 0 },
    { "stats", 's', "ENDPOINT", 0,
      "Where `leat stats` and others ask for statistics (default: " LEAT_BROKER_STATS_ENDPOINT ")",
      0 },
    { "insecure", OPTION_INSECURE, NULL, 0,
      "Allow endpoints that other machines can reach. Nothing is encrypted and no client has to prove who it is: whoever reaches them can read and write records, and take the identity of others",
      0 },
    { "max-record", OPTION_MAX_RECORD, "SIZE", 0,
      "Largest record, with its key and headers (default: 1MiB, at most 64MiB). Limits that are too small for it are raised",
      0 },
    { "limit", OPTION_LIMIT, "NAME=VALUE", 0,
      "Set a limit, such as memory_size=2GiB. May be given several times", 0 },
    { "limits", OPTION_LIMITS, NULL, 0, "Print all limits with their defaults, and end", 0 },
    { "data", 'd', "DIR", 0,
      "Keep streams in DIR, which is made if need be. What is confirmed survives a power cut. Without this option streams live in memory",
      0 },
    { "data-size", OPTION_DATA_SIZE, "SIZE", 0,
      "What DIR may take (default: what its filesystem has, up to 1TiB)", 0 },
    { "events", 'e', "ENDPOINT", 0, "Publish events there (not in this version)", 0 },
    { 0 }
};

typedef struct {
    leat_broker_config_t *config;
    const char *config_path;
    bool print_limits;
} settings_t;

/* --limit NAME=VALUE */
static void s_limit (settings_t *settings, const char *value, struct argp_state *state)
{
    char name[64];
    char error[512];
    const char *equals = strchr (value, '=');
    if (!equals || (size_t) (equals - value) >= sizeof name) {
        leat_usage_error (
            state, "--limit is written NAME=VALUE, not '%s'; --limits lists the names", value);
        return;
    }
    memcpy (name, value, (size_t) (equals - value));
    name[equals - value] = 0;
    char said[256];
    snprintf (said, sizeof said, "--limit %s", value);
    if (!leat_broker_config_limit (settings->config, true, name, equals + 1, said, error,
                                   sizeof error))
        leat_usage_error (state, "%s", error);
}

static void s_max_record (settings_t *settings, const char *value, struct argp_state *state)
{
    char error[512];
    char said[256];
    snprintf (said, sizeof said, "--max-record %s", value);
    if (!leat_broker_config_limit (settings->config, true, "record_size", value, said, error,
                                   sizeof error))
        leat_usage_error (state, "%s", error);
}

static void s_data_size (settings_t *settings, const char *value, struct argp_state *state)
{
    const char *why = NULL;
    if (!leat_broker_config_data_size (settings->config, value, &why))
        leat_usage_error (state, "--data-size %s: %s", value, why);
}

static void s_text (char **text, const char *value)
{
    free (*text);
    *text = leat_copy_text (value, strlen (value));
}

static error_t s_parse (int key, char *value, struct argp_state *state)
{
    settings_t *settings = state->input;
    leat_broker_config_t *config = settings->config;
    switch (key) {
    case 'c':
        settings->config_path = value;
        return 0;
    case 'l':
        leat_broker_config_listen (config, value);
        config->listens_fixed = true;
        return 0;
    case 's':
        s_text (&config->stats, value);
        return 0;
    case 'd':
        if (!*value)
            leat_usage_error (state, "--data cannot be empty: it is a directory");
        s_text (&config->data_dir, value);
        return 0;
    case 'e':
        s_text (&config->events, value);
        return 0;
    case OPTION_INSECURE:
        config->insecure = true;
        return 0;
    case OPTION_LIMIT:
        s_limit (settings, value, state);
        return 0;
    case OPTION_DATA_SIZE:
        s_data_size (settings, value, state);
        return 0;
    case OPTION_MAX_RECORD:
        s_max_record (settings, value, state);
        return 0;
    case OPTION_LIMITS:
        settings->print_limits = true;
        return 0;
    case ARGP_KEY_ARG:
        leat_usage_error (state, "what is '%s'? This command takes options only", value);
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

/* False after a message. */
static bool s_endpoint_fits (const leat_broker_config_t *config, const char *endpoint)
{
    char resolved[LEAT_ENDPOINT_SIZE];
    char error[1024];
    if (strncmp (endpoint, "ipc://", 6) == 0) {
        /* Whether a path is free is no matter of usage. */
        const char *why = leat_text_endpoint_check (endpoint);
        if (!why)
            return true;
        snprintf (error, sizeof error, "cannot listen on '%s': %s", endpoint, why);
    } else if (leat_endpoint_check (endpoint, config->insecure, resolved, error, sizeof error) == 0)
        return true;
    leat_message (s_program, "%s", error);
    return false;
}

/* Reads the file, if there is one, and checks the whole. */
static int s_configure (settings_t *settings)
{
    leat_broker_config_t *config = settings->config;
    char error[1024];
    if (settings->config_path
        && !leat_broker_config_load (config, settings->config_path, error, sizeof error)) {
        leat_message (s_program, "%s", error);
        return LEAT_EXIT_USAGE;
    }
    if (config->events) {
        leat_message (s_program, "events are not in this version; leave out -e %s", config->events);
        return LEAT_EXIT_USAGE;
    }
    if (!leat_broker_config_finish (config, stderr, error, sizeof error)) {
        leat_message (s_program, "%s", error);
        return LEAT_EXIT_USAGE;
    }
    for (size_t i = 0; i < config->listen_count; i++)
        if (!s_endpoint_fits (config, config->listens[i]))
            return LEAT_EXIT_USAGE;
    return s_endpoint_fits (config, config->stats) ? LEAT_EXIT_DONE : LEAT_EXIT_USAGE;
}

static void s_say_where (const leat_broker_t *broker, const leat_broker_config_t *config)
{
    for (size_t i = 0; i < config->listen_count; i++)
        leat_message (s_program, "listens on %s", leat_broker_endpoint (broker, i));
    leat_message (s_program, "answers `leat stats -s %s`", leat_broker_stats_endpoint (broker));
    if (config->data_dir)
        leat_message (s_program, "keeps streams in %s", config->data_dir);
    else
        leat_message (s_program,
                      "streams live in memory: what is not consumed is lost when it ends");
}

static void s_notice (void *arg, const char *text)
{
    (void) arg;
    leat_message (s_program, "%s", text);
}

static int s_run (const leat_broker_config_t *config)
{
    char error[1024] = "";
    if (leat_broker_prepare_process (&config->limits, error, sizeof error) != 0)
        leat_message (s_program, "%s", error);
    leat_broker_options_t options;
    leat_broker_options_default (&options);
    options.endpoints = (const char *const *) config->listens;
    options.endpoint_count = config->listen_count;
    options.stats_endpoint = config->stats;
    options.insecure = config->insecure;
    options.signals = true;
    options.notice = s_notice;
    options.limits = config->limits;
    options.software = "leat " LEAT_VERSION;
    bool store_unusable = false;
    options.store_unusable = &store_unusable;
    if (config->data_dir) {
        options.store = &leat_store_lmdb;
        options.store_options.path = config->data_dir;
        options.store_options.size_max = config->data_size;
    }
    leat_broker_t *broker = leat_broker_new (&options, error, sizeof error);
    if (!broker) {
        leat_message (s_program, "%s", error);
        return store_unusable ? LEAT_EXIT_STORE : LEAT_EXIT_FAILED;
    }
    s_say_where (broker, config);
    leat_broker_end_t end = leat_broker_run (broker);
    const char *reason = leat_broker_reason (broker);
    if (*reason)
        leat_message (s_program, "%s", reason);
    leat_message (s_program, end == LEAT_BROKER_STOPPED ? "ended in order" : "ended at once");
    /* From here on a second signal, such as that of timeout(1), could only spoil the exit code. */
    signal (SIGINT, SIG_IGN);
    signal (SIGTERM, SIG_IGN);
    leat_broker_destroy (&broker);
    return end == LEAT_BROKER_STOPPED  ? LEAT_EXIT_DONE
           : end == LEAT_BROKER_FAILED ? LEAT_EXIT_STORE_FAILED
                                       : LEAT_EXIT_FAILED;
}

int leat_broker_command (int argc, char **argv)
{
    static const struct argp argp = {
        s_options, s_parse, NULL, "Runs a broker in the foreground, until Ctrl-C or SIGTERM.",
        NULL,      NULL,    NULL
    };
    settings_t settings = { .config = leat_broker_config_new () };
    argp_parse (&argp, argc, argv, 0, NULL, &settings);
    int code = LEAT_EXIT_DONE;
    if (settings.print_limits)
        leat_broker_config_print_limits (stdout, leat_terminal_columns (STDOUT_FILENO));
    else {
        code = s_configure (&settings);
        if (code == LEAT_EXIT_DONE)
            code = s_run (settings.config);
    }
    leat_broker_config_destroy (&settings.config);
    return code;
}

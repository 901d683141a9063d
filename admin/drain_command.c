/* leat drain: asks a consumer to leave.
 * SPDX-License-Identifier: MPL-2.0 */
#include <inttypes.h>

#include "admin/operator.h"
#include "cli/commands.h"
#include "cli/message.h"
#include "wire/protocol.h"

static const char s_program[] = "leat drain";

enum { OPTION_STREAM = 256 };

static const struct argp_option s_options[] = {
    { "stream", OPTION_STREAM, "STREAM", 0, "Only what it consumes of STREAM (default: everything)",
      0 },
    { "quiet", 'q', NULL, 0, "Say nothing but errors", 0 },
    { 0 }
};

typedef struct {
    leat_operator_t common; /* first */
    const char *consumer;
    const char *stream; /* or NULL */
    bool quiet;
} settings_t;

static error_t s_parse (int key, char *value, struct argp_state *state)
{
    settings_t *settings = state->input;
    switch (key) {
    case ARGP_KEY_INIT:
        state->child_inputs[0] = &settings->common;
        return 0;
    case OPTION_STREAM:
        leat_operator_check_name ("--stream", value, LEAT_NAME_MAX, state);
        settings->stream = value;
        return 0;
    case 'q':
        settings->quiet = true;
        return 0;
    case ARGP_KEY_ARG:
        if (state->arg_num > 0)
            leat_usage_error (state, "what is '%s'? There is one CONSUMER", value);
        leat_operator_check_name ("a consumer", value, LEAT_NAME_MAX, state);
        settings->consumer = settings->common.about = value;
        return 0;
    case ARGP_KEY_NO_ARGS:
        leat_usage_error (state, "CONSUMER is missing: `leat stats` lists them");
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

static int s_drain (void *arg)
{
    settings_t *settings = arg;
    leat_operator_t *common = &settings->common;
    uint32_t consumers = 0;
    int result = leat_admin_drain (common->admin, settings->consumer, settings->stream, &consumers,
                                   common->timeout_ms);
    int code = leat_operator_answer (common, result);
    if (code == LEAT_EXIT_DONE && !settings->quiet)
        leat_message (s_program, "'%s' was asked to leave: %" PRIu32 " %s", settings->consumer,
                      consumers, consumers == 1 ? "consumer" : "consumers");
    return code;
}

int leat_drain_command (int argc, char **argv)
{
    static const struct argp argp = {
        s_options,
        s_parse,
        "CONSUMER",
        "Asks CONSUMER to finish what it has started, give back the rest and leave. It gets nothing "
        "more from then on.",
        NULL,
        NULL,
        NULL
    };
    settings_t settings = { .common = { .program = s_program } };
    return leat_operator_run (&settings.common, &argp, argc, argv, s_drain);
}

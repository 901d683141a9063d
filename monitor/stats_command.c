/* leat stats: asks the stats socket of a broker once and shows what it says.
 * SPDX-License-Identifier: MPL-2.0 */

#include <argp.h>
#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <zmq.h>

#include "cli/commands.h"
#include "cli/message.h"
#include "cli/terminal.h"
#include "cli/text.h"
#include "cli/units.h"
#include "wire/alloc.h"
#include "wire/assert.h"

#include "monitor/stats_view.h"

static const char s_program[] = "leat stats";

enum { OPTION_JSON = 256, OPTION_TIMEOUT };

static const struct argp_option s_options[] = {
    { "stats", 's', "ENDPOINT", 0,
      "Stats socket of the broker (default: $LEAT_STATS, or else tcp://127.0.0.1:5561)", 0 },
    { "json", OPTION_JSON, NULL, 0, "Print the JSON object that the broker sent, instead of tables",
      0 },
    { "timeout", OPTION_TIMEOUT, "DURATION", 0,
      "End with exit code 3 if no broker answers within DURATION (default: 10s)", 0 },
    { 0 }
};

typedef struct {
    const char *endpoint; /* NULL if no flag said it */
    bool json;
    uint64_t timeout_ms;
} settings_t;

static error_t s_parse (int key, char *value, struct argp_state *state)
{
    settings_t *settings = state->input;
    char why[LEAT_UNITS_WHY_SIZE];
    switch (key) {
    case 's':
        settings->endpoint = value;
        return 0;
    case OPTION_JSON:
        settings->json = true;
        return 0;
    case OPTION_TIMEOUT:
        if (!leat_units_parse (LEAT_UNITS_DURATION, value, 1, LEAT_TIMEOUT_MAX_MS,
                               &settings->timeout_ms, why))
            leat_usage_error (state, "--timeout cannot be '%s': %s", value, why);
        return 0;
    case ARGP_KEY_ARG:
        leat_usage_error (state, "what is '%s'? This command takes options only", value);
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

/* Sends the query as a REQ socket would, and waits for the answer: its text, zero-terminated, or NULL
 * with a sentence in `error`, which is empty if nothing came. A DEALER also sees an answer that a REQ
 * would drop, such as that of the socket for clients. */
static char *s_exchange (void *socket, char *error, size_t error_size)
{
    *error = 0;
    zmq_msg_t frame;
    zmq_msg_init (&frame);
    char *answer = NULL;
    if (zmq_send (socket, "", 0, ZMQ_SNDMORE) == 0 && zmq_send (socket, "stats", 5, 0) == 5
        && zmq_msg_recv (&frame, socket, 0) >= 0) {
        if (zmq_msg_size (&frame) == 0 && zmq_msg_more (&frame)
            && zmq_msg_recv (&frame, socket, 0) >= 0)
            answer = leat_copy_text (zmq_msg_data (&frame), zmq_msg_size (&frame));
        else
            snprintf (error, error_size,
                      "what answers there is no stats socket; is it where clients "
                      "connect?");
    }
    zmq_msg_close (&frame);
    return answer;
}

static char *s_ask (const char *endpoint, int timeout_ms, char *error, size_t error_size)
{
    void *context = zmq_ctx_new ();
    void *socket = context ? zmq_socket (context, ZMQ_DEALER) : NULL;
    leat_assert (socket);
    /* A broker that comes up meanwhile shall not be missed by a long pause. */
    const struct {
        int option;
        int value;
    } options[] = {
        { ZMQ_LINGER, 0 },         { ZMQ_RCVTIMEO, timeout_ms },   { ZMQ_SNDTIMEO, timeout_ms },
        { ZMQ_RECONNECT_IVL, 50 }, { ZMQ_RECONNECT_IVL_MAX, 500 },
    };
    for (size_t i = 0; i < sizeof options / sizeof *options; i++)
        zmq_setsockopt (socket, options[i].option, &options[i].value, sizeof options[i].value);
    char *answer = NULL;
    if (zmq_connect (socket, endpoint) != 0)
        snprintf (error, error_size, "cannot connect to %s: %s", endpoint, zmq_strerror (errno));
    else
        answer = s_exchange (socket, error, error_size);
    zmq_close (socket);
    zmq_ctx_term (context);
    return answer;
}

/* As it came, but in ASCII: a terminal that obeys other characters may be reading. */
static void s_print_json (const json_t *stats)
{
    char *text = json_dumps (stats, JSON_COMPACT | JSON_ENSURE_ASCII);
    leat_assert (text);
    puts (text);
    free (text);
}

static int s_show (const char *answer, bool as_json)
{
    json_error_t where;
    json_t *stats = json_loads (answer, 0, &where);
    if (!json_is_object (stats)) {
        leat_message (s_program, "what answers there is no broker: it does not send a JSON object");
        json_decref (stats);
        return LEAT_EXIT_FAILED;
    }
    const json_t *refused = json_object_get (stats, "error");
    int code = LEAT_EXIT_DONE;
    if (refused) {
        leat_message (s_program, "the broker says: %s",
                      json_is_string (refused) ? json_string_value (refused) : "error");
        code = LEAT_EXIT_FAILED;
    } else if (as_json)
        s_print_json (stats);
    else
        leat_stats_view_print (stats, stdout,
                               isatty (STDOUT_FILENO) ? leat_terminal_columns (STDOUT_FILENO) : 0,
                               leat_terminal_colour (STDOUT_FILENO));
    json_decref (stats);
    return code;
}

int leat_stats_command (int argc, char **argv)
{
    static const struct argp argp = {
        s_options, s_parse, NULL, "Shows once what a broker is doing.", NULL, NULL, NULL
    };
    settings_t settings = { .timeout_ms = 10000 };
    argp_parse (&argp, argc, argv, 0, NULL, &settings);
    const char *endpoint =
        leat_text_endpoint_choose (settings.endpoint, "LEAT_STATS", "tcp://127.0.0.1:5561");
    const char *why = leat_text_endpoint_check (endpoint);
    if (why) {
        leat_message (s_program, "%s cannot be '%s': %s",
                      settings.endpoint ? "--stats" : "LEAT_STATS", endpoint, why);
        return LEAT_EXIT_USAGE;
    }
    char error[512];
    char *answer = s_ask (endpoint, (int) settings.timeout_ms, error, sizeof error);
    if (!answer) {
        char text[LEAT_UNITS_TEXT_SIZE];
        if (*error)
            leat_message (s_program, "%s", error);
        else
            leat_message (s_program,
                          "no answer from %s within %s; is a broker running there? "
                          "`leat broker` starts one, and its stats socket is named by -s",
                          endpoint, leat_duration_exact (settings.timeout_ms, text));
        return *error ? LEAT_EXIT_FAILED : LEAT_EXIT_NO_BROKER;
    }
    int code = s_show (answer, settings.json);
    free (answer);
    return code;
}

/* What the commands of an operator have in common: a connection, a question, an answer.
 * SPDX-License-Identifier: MPL-2.0 */
#include "admin/operator.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli/connection.h"
#include "cli/message.h"
#include "cli/terminal.h"
#include "cli/text.h"
#include "cli/units.h"

enum { OPTION_TIMEOUT = 512, TIMEOUT_MS = 10000 };

static const struct argp_option s_options[] = {
    { "broker", 'b', "ENDPOINT", 0,
      "Broker to speak to (default: $LEAT_BROKER, or else tcp://127.0.0.1:5560)", 0 },
    { "timeout", OPTION_TIMEOUT, "DURATION", 0,
      "Wait no longer than this for the broker (default: 10s); then the exit code is 3", 0 },
    { 0 }
};

static error_t s_parse (int key, char *value, struct argp_state *state)
{
    leat_operator_t *self = state->input;
    const char *why = NULL;
    uint64_t number = 0;
    switch (key) {
    case ARGP_KEY_INIT:
        self->timeout_ms = TIMEOUT_MS;
        return 0;
    case 'b':
        self->broker = value;
        return 0;
    case OPTION_TIMEOUT:
        if (!leat_duration_parse (value, &number, &why))
            leat_usage_error (state, "--timeout cannot be '%s': %s", value, why);
        if (number < 1 || number > INT32_MAX)
            leat_usage_error (state, "--timeout is from 1ms to 24d");
        self->timeout_ms = (int) number;
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

static int s_open (leat_operator_t *self)
{
    const leat_connection_settings_t connection = {
        .program = self->program,
        .endpoint = leat_connection_endpoint (self->program, self->broker),
        .timeout_ms = self->timeout_ms,
    };
    if (!connection.endpoint)
        return LEAT_EXIT_USAGE;
    self->broker = connection.endpoint;
    int code = leat_connection_open (&connection, &self->client);
    if (code != LEAT_EXIT_DONE)
        return code;
    self->admin = leat_admin_new (self->client);
    return self->admin ? LEAT_EXIT_DONE : leat_operator_answer (self, -1);
}

int leat_operator_run (leat_operator_t *self, const struct argp *argp, int argc, char **argv,
                       leat_operator_act_fn *act)
{
    static const struct argp common = { s_options, s_parse, NULL, NULL, NULL, NULL, NULL };
    static const struct argp_child children[] = { { &common, 0, NULL, 0 }, { 0 } };
    struct argp whole = *argp;
    whole.children = children;
    argp_parse (&whole, argc, argv, 0, NULL, self);
    int code = s_open (self);
    if (code == LEAT_EXIT_DONE)
        code = act (self);
    leat_admin_destroy (&self->admin);
    leat_client_destroy (&self->client);
    return code;
}

int leat_operator_answer (const leat_operator_t *self, int result)
{
    if (result == 0)
        return LEAT_EXIT_DONE;
    int error = errno;
    char text[512] = "";
    char limit[LEAT_UNITS_TEXT_SIZE];
    if (error == ETIMEDOUT) {
        leat_message (self->program, "no answer from %s within %s", self->broker,
                      leat_duration_exact ((uint64_t) self->timeout_ms, limit));
        return LEAT_EXIT_NO_BROKER;
    }
    if (error != EREMOTEIO) {
        leat_client_error (self->client, text, sizeof text);
        leat_message (self->program, "%s", *text ? text : strerror (error));
        return LEAT_EXIT_FAILED;
    }
    leat_code_t code = leat_admin_error (self->admin, text, sizeof text);
    const char *lister = code == LEAT_NO_SUCH_STREAM ? "; `leat stream list` shows those there are"
                         : code == LEAT_NO_SUCH_CONSUMER ? "; `leat stats` shows those there are"
                                                         : "";
    leat_message (self->program, "%s%s%s%s%s", self->about ? "'" : "",
                  self->about ? self->about : "", self->about ? "': " : "", text, lister);
    return LEAT_EXIT_FAILED;
}

json_t *leat_operator_array (const leat_operator_t *self, char *answer, const char *member,
                             json_t **object)
{
    json_error_t where;
    *object = json_loads (answer, 0, &where);
    free (answer);
    json_t *array = json_object_get (*object, member);
    if (json_is_array (array))
        return array;
    leat_message (self->program, "the broker's answer has no list of %s", member);
    json_decref (*object);
    *object = NULL;
    return NULL;
}

static int s_flush (const leat_operator_t *self)
{
    if (fflush (stdout) == 0 && !ferror (stdout))
        return LEAT_EXIT_DONE;
    leat_message (self->program, "cannot write to stdout: %s", strerror (errno));
    return LEAT_EXIT_FAILED;
}

int leat_operator_print_json (const leat_operator_t *self, const char *json)
{
    puts (json);
    return s_flush (self);
}

int leat_operator_print (const leat_operator_t *self, leat_table_t **table)
{
    leat_table_print (*table, stdout,
                      isatty (STDOUT_FILENO) ? leat_terminal_columns (STDOUT_FILENO) : 0,
                      leat_terminal_colour (STDOUT_FILENO));
    leat_table_destroy (table);
    return s_flush (self);
}

void leat_operator_check_name (const char *what, const char *name, size_t size_max,
                               struct argp_state *state)
{
    const char *why = leat_text_name_check (name, size_max);
    if (why)
        leat_usage_error (state, "%s cannot be '%s': %s", what, name, why);
}

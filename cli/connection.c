/* The first connection of a command to its broker.
 * SPDX-License-Identifier: MPL-2.0 */

#include <errno.h>
#include <string.h>
#include <time.h>

#include "cli/connection.h"
#include "cli/message.h"
#include "cli/text.h"
#include "cli/units.h"

enum {
    SLICE_MS = 100,
    /* For saying BYE: commands wait for confirmations and settles themselves. */
    CLOSING_MS = 1000
};

const char *leat_connection_endpoint (const char *program, const char *flag)
{
    const char *endpoint = leat_text_endpoint_choose (flag, "LEAT_BROKER", "tcp://127.0.0.1:5560");
    const char *why = leat_text_endpoints_check (endpoint);
    if (!why)
        return endpoint;
    leat_message (program, "%s cannot be '%s': %s", flag ? "--broker" : "LEAT_BROKER", endpoint,
                  why);
    return NULL;
}

static int64_t s_now_ms (void)
{
    struct timespec now;
    clock_gettime (CLOCK_MONOTONIC, &now);
    return (int64_t) now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static int s_say_no_broker (const leat_connection_settings_t *settings, leat_client_t *client)
{
    char text[512];
    char limit[LEAT_UNITS_TEXT_SIZE];
    leat_client_error (client, text, sizeof text);
    leat_message (settings->program,
                  "no broker at %s within %s; `leat broker` starts one, -b names another%s%s%s",
                  settings->endpoint, leat_duration_exact ((uint64_t) settings->timeout_ms, limit),
                  *text ? " (last attempt: " : "", text, *text ? ")" : "");
    return LEAT_EXIT_NO_BROKER;
}

int leat_connection_open (const leat_connection_settings_t *settings, leat_client_t **client)
{
    const leat_client_options_t options = {
        .endpoints = settings->endpoint,
        .identity = settings->identity,
        .software = "leat " LEAT_VERSION,
        .closing_timeout_ms = CLOSING_MS,
    };
    *client = leat_client_new (&options);
    if (!*client) {
        leat_message (settings->program, "cannot connect to %s: %s", settings->endpoint,
                      strerror (errno));
        return LEAT_EXIT_FAILED;
    }
    int64_t until_ms = s_now_ms () + settings->timeout_ms;
    for (;;) {
        int64_t left_ms = until_ms - s_now_ms ();
        if (left_ms < 0)
            left_ms = 0;
        if (leat_client_wait (*client, left_ms < SLICE_MS ? (int) left_ms : SLICE_MS) == 0)
            return LEAT_EXIT_DONE;
        if (errno != ETIMEDOUT) {
            char text[512];
            leat_client_error (*client, text, sizeof text);
            leat_message (settings->program, "the broker at %s refuses: %s", settings->endpoint,
                          *text ? text : strerror (errno));
            return LEAT_EXIT_FAILED;
        }
        if (settings->signals && leat_signals_received (settings->signals)) {
            leat_message (settings->program,
                          "ended by a signal before a broker was reached at %s; nothing was done",
                          settings->endpoint);
            return LEAT_EXIT_FAILED;
        }
        if (left_ms == 0)
            return s_say_no_broker (settings, *client);
    }
}

/* The first connection of a command to its broker.
 * SPDX-License-Identifier: MPL-2.0 */
#ifndef LEAT_CLI_CONNECTION_H
#define LEAT_CLI_CONNECTION_H

#include "cli/signals.h"
#include "leat_client.h"

typedef struct {
    const char *program; /* for messages */
    const char *endpoint;
    const char *identity; /* NULL: random */
    int timeout_ms;
    const leat_signals_t *signals; /* NULL: signals do what they always do */
} leat_connection_settings_t;

/* The flag, else $LEAT_BROKER, else the default: an endpoint, or several with commas between. NULL after a
 * message if it cannot be that. */
const char *leat_connection_endpoint (const char *program, const char *flag);

/* Makes a client and waits for its broker: LEAT_EXIT_DONE, or another exit code after a message that
 * says what is wrong. The caller destroys *client in any case. A signal ends the wait with
 * LEAT_EXIT_FAILED, also after a message. */
int leat_connection_open (const leat_connection_settings_t *settings, leat_client_t **client);

#endif

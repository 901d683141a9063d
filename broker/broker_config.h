/* What a broker is told on its command line and in its configuration file.
 * SPDX-License-Identifier: MPL-2.0 */
#ifndef LEAT_BROKER_BROKER_CONFIG_H
#define LEAT_BROKER_BROKER_CONFIG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

#include "broker/core/limits.h"

/* Flags come first, then the file fills in what no flag has said, then leat_broker_config_finish sets
 * the rest. Functions that fail return false with a sentence in `error`. */
typedef struct {
    char **listens; /* NULL-terminated */
    size_t listen_count;
    bool listens_fixed; /* by flags: the file adds none */
    char *stats;
    char *events;       /* known, and refused in this version */
    char *data_dir;     /* NULL: streams live in memory */
    uint64_t data_size; /* that it may take; 0: what the filesystem has */
    bool insecure;
    leat_limits_t limits;
    /* Limits as a flag or the file said them, such as "--limit sessions=7"; NULL: the default. */
    char *limit_said[LEAT_LIMIT_COUNT];
    bool limit_fixed[LEAT_LIMIT_COUNT]; /* by a flag: the file does not change it */
} leat_broker_config_t;

/* All empty, limits at their defaults. */
leat_broker_config_t *leat_broker_config_new (void);
void leat_broker_config_destroy (leat_broker_config_t **self_p);

void leat_broker_config_listen (leat_broker_config_t *self, const char *endpoint);

/* Sets data_size from text with a unit; false with a reason (static text). */
bool leat_broker_config_data_size (leat_broker_config_t *self, const char *value, const char **why);

/* Sets a limit from text with a unit ("memory_size", "2GiB"); '-' and '_' in names are the same. `said` is
 * how the user has said all of it, for this and later messages; copied. A flag wins over the file, and
 * otherwise the last one wins. */
bool leat_broker_config_limit (leat_broker_config_t *self, bool by_flag, const char *name,
                               const char *value, const char *said, char *error, size_t error_size);

/* Reads a ZPL file (RFC 4/ZPL of ZeroMQ):
 *
 *      listen = tcp://127.0.0.1:5560
 *      listen = ipc:///run/leat/broker
 *      stats = tcp://127.0.0.1:5561
 *      data = /var/lib/leat
 *      data-size = 100GiB
 *      insecure = no
 *      limits
 *          memory_size = 2GiB
 *
 * Keys that it does not know are errors. */
bool leat_broker_config_load (leat_broker_config_t *self, const char *path, char *error,
                              size_t error_size);

/* Fills in the default endpoints, raises the limits that follow from record_size unless they were
 * said, each with a line to `notes` (may be NULL), and checks that all limits fit each other. The
 * sentence names those that were said, and the values of the others that matter. */
bool leat_broker_config_finish (leat_broker_config_t *self, FILE *notes, char *error,
                                size_t error_size);

/* The table of all limits: name, default, what for. */
void leat_broker_config_print_limits (FILE *file, unsigned columns);

#endif

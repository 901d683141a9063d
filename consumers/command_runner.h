/* Runs a shell command for one record.
 * SPDX-License-Identifier: MPL-2.0 */
#ifndef LEAT_CONSUMERS_COMMAND_RUNNER_H
#define LEAT_CONSUMERS_COMMAND_RUNNER_H

#include <stdatomic.h>

#include "leat_consumer.h"

/* What a command is given and who it is run for; texts are borrowed. */
typedef struct {
    const char *command;
    const char *stream;
    const char *group;
} leat_command_runner_t;

/* Runs `sh -c COMMAND` and waits for its end. The body is its stdin, as a file in memory without a
 * name, so that a command that reads none of it or only a part disturbs nobody. In its environment:
 *
 *      LEAT_STREAM LEAT_GROUP LEAT_OFFSET LEAT_ATTEMPT LEAT_EPOCH LEAT_REDELIVERED LEAT_TIME_MS
 *      LEAT_KEY            if there is a key
 *      LEAT_HEADER_name    for each header; what is no letter, digit or '_' in its name becomes '_'
 *
 * A key or header with a zero byte cannot stand in an environment and is left out.
 *
 * The command is in a process group of its own, so that Ctrl-C on the terminal reaches only us and
 * what was started is finished. It is killed when the calling thread ends, be it with the whole
 * process (PR_SET_PDEATHSIG). `pid` is its process while it runs, otherwise 0.
 *
 * Returns the status as waitpid(2) gives it, or -1 with errno if it could not be started. */
int leat_command_runner_run (const leat_command_runner_t *self, const leat_delivered_t *delivered,
                             _Atomic int *pid);

#endif

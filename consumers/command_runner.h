/* Runs a shell command for one record.
 * SPDX-License-Identifier: MPL-2.0 */
#ifndef LEAT_CONSUMERS_COMMAND_RUNNER_H
#define LEAT_CONSUMERS_COMMAND_RUNNER_H

#include <sys/types.h>

#include "leat_consumer.h"

/* What a command is given and who it is run for; texts are borrowed. */
typedef struct {
    const char *command;
    const char *stream;
    const char *group;
    pid_t process_group; /* that the command joins: see consumers/guardian.h */
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
 * The command's shell is killed when the calling thread ends, be it with the whole process
 * (PR_SET_PDEATHSIG); what it has started is left to the guardian.
 *
 * Returns the status as waitpid(2) gives it, or -1 with errno if it could not be started. */
int leat_command_runner_run (const leat_command_runner_t *self, const leat_delivered_t *delivered);

#endif

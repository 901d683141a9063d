/* Options "--name value" of the programs that the tests with faults start.
 * SPDX-License-Identifier: MPL-2.0 */
#ifndef LEAT_FAULTS_OPTIONS_H
#define LEAT_FAULTS_OPTIONS_H

#include <stddef.h>
#include <stdint.h>

/* One of `text` and `number` is where the value goes. */
typedef struct {
    const char *name;
    const char **text;
    uint64_t *number;
} fault_option_t;

/* Reads all arguments; ends the process with code 2 and a sentence if one is wrong. */
void fault_options_read (const fault_option_t *options, size_t count, int argc, char **argv);

#endif

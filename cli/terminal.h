/* What a terminal is like: its width, and whether it wants colour.
 * SPDX-License-Identifier: MPL-2.0 */
#ifndef LEAT_CLI_TERMINAL_H
#define LEAT_CLI_TERMINAL_H

#include <stdbool.h>

/* Columns of the terminal on `fd`; 80 if it is none or does not tell. At least 20. */
unsigned leat_terminal_columns (int fd);

/* True on a terminal that obeys escape sequences: TERM is set, and not "dumb". */
bool leat_terminal_obeys (int fd);

/* True on a terminal, unless NO_COLOR is set and not empty or TERM is "dumb". */
bool leat_terminal_colour (int fd);

#endif

/* What the leat program says to its user: one line on stderr, with who says it in front.
 * SPDX-License-Identifier: MPL-2.0 */
#ifndef LEAT_CLI_MESSAGE_H
#define LEAT_CLI_MESSAGE_H

/* Exit codes of every subcommand. Scripts depend on them. */
enum {
    LEAT_EXIT_DONE = 0,
    LEAT_EXIT_FAILED = 1,
    LEAT_EXIT_USAGE = 2,
    LEAT_EXIT_NO_BROKER = 3,   /* no answer within --timeout */
    LEAT_EXIT_STORE = 4,       /* a broker cannot use its data directory */
    LEAT_EXIT_STORE_FAILED = 5 /* its store failed while it ran: look at the disk first */
};

/* Writes "PROGRAM: TEXT\n" to stderr with one write(2), so that lines of several threads or processes
 * do not mix. `program` is "leat produce" and the like. In TEXT, what a terminal would obey is shown as
 * '?'. Any thread. */
void leat_message (const char *program, const char *format, ...)
    __attribute__ ((format (printf, 2, 3)));

/* As argp_error: says what is wrong with an option or argument and where help is, and ends the process
 * with LEAT_EXIT_USAGE. Shows what a terminal would obey as '?', as leat_message does. */
struct argp_state;
void leat_usage_error (const struct argp_state *state, const char *format, ...)
    __attribute__ ((format (printf, 2, 3)));

#endif

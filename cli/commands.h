/* The subcommands of the leat program.
 * SPDX-License-Identifier: MPL-2.0 */
#ifndef LEAT_CLI_COMMANDS_H
#define LEAT_CLI_COMMANDS_H

/* X (name, what it does in one line). `leat --help` shows them in this order. Each is a function
 * leat_NAME_command in the folder that it belongs to, with argv[0] being "leat NAME"; it returns the
 * exit code (cli/message.h). */
#ifdef LEAT_WITH_BENCH
#define LEAT_COMMANDS_BENCH(X)                                                                     \
    X (bench, "measure throughput and latency, compared with what the machine can do")
#else
#define LEAT_COMMANDS_BENCH(X)
#endif

#define LEAT_COMMANDS(X)                                                                           \
    X (broker, "run a broker")                                                                     \
    X (produce, "send lines or files to a stream")                                                 \
    X (consume, "take records from a stream: to stdout, or to a command each")                     \
    X (stream, "list, create and set streams")                                                     \
    X (group, "list and create groups of consumers")                                               \
    X (drain, "ask a consumer to finish what it does and leave")                                   \
    X (stats, "show what a broker is doing")                                                       \
    X (store, "check, shrink, list or copy a broker's data directory")                             \
    LEAT_COMMANDS_BENCH (X)

#define X(name, text) int leat_##name##_command (int argc, char **argv);
LEAT_COMMANDS (X)
#undef X

/* argp's --version prints this, and the exit code of a usage error is LEAT_EXIT_USAGE. Called once by
 * main. */
void leat_commands_begin (void);

#endif

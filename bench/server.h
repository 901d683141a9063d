/* Other brokers, which are started for a round on loopback and ended after it.
 * SPDX-License-Identifier: MPL-2.0 */
#ifndef LEAT_BENCH_SERVER_H
#define LEAT_BENCH_SERVER_H

#include "bench/round.h"

/* Writes where a program of that name is, of PATH or of the folders where Debian puts servers; false
 * if it is not installed. */
bool leat_bench_server_find (const char *program, char *path, size_t size);

/* Whether it is; of NULL, which stands for no program, too. */
bool leat_bench_server_installed (const char *program);

/* What a server is started with. {PORT}, {PORT2} and {PORT3} (others), {DIR} and {PID} in an argument or a
 * variable stand for free ports of the loopback, a temporary directory, and our own process id. */
typedef struct {
    const char *program;
    const char *version; /* the argument that makes it print its version; NULL: none does */
    const char *config;  /* what goes into {DIR}/config, as it is; may be NULL */
    const char *const *arguments; /* without argv[0]; NULL behind the last */
    const char *const *variables; /* NAME=VALUE; NULL behind the last; may be NULL */
} leat_bench_server_t;

/* The role of a middle: makes the directory (in $TMPDIR, else /tmp; if the plan has a store, that is the
 * directory, which stays), notes the server's version in the round, starts the server in a process
 * group of its own, writes "127.0.0.1:PORT" to `front` and `back` of the round, is ready once the
 * port takes connections, and waits until SIGTERM or SIGINT comes or the server ends. Then it ends
 * that group (SIGTERM, after some seconds SIGKILL; if the round has failed, SIGKILL at once) and
 * removes the directory. If the middle dies of a SIGKILL, so does the server; the directory stays
 * then. What the server prints goes to DIR/log, the end of which is told if it fails. */
int leat_bench_server_run (const leat_bench_server_t *self, leat_bench_round_t *round, int ready);

/* The port of the round's endpoint. */
unsigned leat_bench_server_port (const leat_bench_round_t *round);

/* A blocking TCP connection to that port of the loopback; -1 with errno. */
int leat_bench_server_connect (unsigned port);

#endif

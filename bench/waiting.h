/* `leat bench waiting`: many sessions that wait for each confirmation, beside a bare ROUTER.
 * SPDX-License-Identifier: MPL-2.0 */
#ifndef LEAT_BENCH_WAITING_H
#define LEAT_BENCH_WAITING_H

/* argv[0] is "waiting". Returns the program's exit code. */
int leat_bench_waiting_command (int argc, char **argv);

#endif

/* `leat bench`: measures Leat beside what the machine and bare libzmq can do.
 * SPDX-License-Identifier: MPL-2.0 */
#ifndef LEAT_BENCH_BENCH_COMMAND_H
#define LEAT_BENCH_BENCH_COMMAND_H

/* argv[0] is "leat bench", argv[1] the benchmark. Returns the exit code: LEAT_EXIT_FAILED also when what
 * --require asks for was not reached. Call it before any thread is started; it forks. */
int leat_bench_command (int argc, char **argv);

#endif

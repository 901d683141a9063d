/* `leat bench many`: many producers, consumers and streams beside one of each.
 * SPDX-License-Identifier: MPL-2.0 */
#ifndef LEAT_BENCH_MANY_H
#define LEAT_BENCH_MANY_H

/* argv[0] is "many". Returns the exit code. It forks. */
int leat_bench_many_command (int argc, char **argv);

#endif

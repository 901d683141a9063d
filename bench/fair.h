/* `leat bench fair`: what a flood in other streams does to a paced one.
 * SPDX-License-Identifier: MPL-2.0 */
#ifndef LEAT_BENCH_FAIR_H
#define LEAT_BENCH_FAIR_H

/* argv[0] is "fair". Returns the exit code. It forks. */
int leat_bench_fair_command (int argc, char **argv);

#endif

/* Values of the benchmarks' options. On a mistake they say what would be right and end the program
 * with LEAT_EXIT_USAGE, as argp does.
 * SPDX-License-Identifier: MPL-2.0 */
#ifndef LEAT_BENCH_OPTION_VALUES_H
#define LEAT_BENCH_OPTION_VALUES_H

#include <argp.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* A number above zero, or at least zero. */
double leat_bench_option_number (struct argp_state *state, const char *option, const char *text,
                                 bool zero);

/* From 1 to count_max. */
uint64_t leat_bench_option_count (struct argp_state *state, const char *option, const char *text,
                                  uint64_t count_max);

/* Bytes with or without a unit: the size of a record is no quantity of storage. */
size_t leat_bench_option_size (struct argp_state *state, const char *option, const char *text,
                               uint64_t size_min, uint64_t size_max);

/* argp_parse with the full name, such as "leat bench latency", in front of messages. */
void leat_bench_option_parse (const struct argp *argp, const char *full_name, int argc, char **argv,
                              void *input);

#endif

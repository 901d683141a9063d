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

/* Options that most benchmarks have, under the same names. The others' keys are below these. */
enum {
    LEAT_BENCH_OPTION_PAIRS = 1000,
    LEAT_BENCH_OPTION_SEED,
    LEAT_BENCH_OPTION_WARM_UP,
    LEAT_BENCH_OPTION_JSON
};

/* Where their values go. What a benchmark does not have is not in its table, and is left out here. */
typedef struct {
    size_t *size; /* 's' */
    uint64_t size_min;
    uint64_t size_max;
    double *seconds; /* 't' */
    double *warm_up_seconds;
    unsigned *rounds;
    uint64_t rounds_max;
    uint64_t *seed;
    bool *json;
} leat_bench_common_options_t;

/* For a parser of argp: takes one of these, and refuses arguments that are no options. */
error_t leat_bench_option_common (struct argp_state *state, const leat_bench_common_options_t *self,
                                  int key, const char *text);

/* argp_parse with the full name, such as "leat bench latency", in front of messages. */
void leat_bench_option_parse (const struct argp *argp, const char *full_name, int argc, char **argv,
                              void *input);

#endif

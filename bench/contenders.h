/* Who takes part in a run, as the options --contenders and --require say.
 * SPDX-License-Identifier: MPL-2.0 */
#ifndef LEAT_BENCH_CONTENDERS_H
#define LEAT_BENCH_CONTENDERS_H

#include <argp.h>

#include "bench/contender.h"

enum { LEAT_BENCH_CONTENDERS_MAX = 16 };

typedef struct {
    const leat_bench_contender_t *list[LEAT_BENCH_CONTENDERS_MAX]; /* in the order of their turns */
    unsigned count;
    double require[LEAT_BENCH_CONTENDERS_MAX]; /* a ratio to leat that is asked for; 0: none */
} leat_bench_contenders_t;

/* Where a contender stands in the list; -1 if it does not take part. */
int leat_bench_contenders_index (const leat_bench_contenders_t *self,
                                 const leat_bench_contender_t *contender);

/* Reads names with commas between, each once, or "all": those of `known` (NULL behind the last) that
 * can take part on this machine. On a mistake it says what would be right and ends the program with
 * LEAT_EXIT_USAGE, as argp does. */
void leat_bench_contenders_parse (leat_bench_contenders_t *self, struct argp_state *state,
                                  const leat_bench_contender_t *const *known, const char *text);

/* Reads "NAME=RATIO", more of them with commas between, or "RATIO" for the contender `usual`. Each of
 * them must take part, and leat, which they are compared with. Ends the program likewise. */
void leat_bench_contenders_require (leat_bench_contenders_t *self, struct argp_state *state,
                                    const leat_bench_contender_t *usual, const char *text);

/* Filters of argp for --help: behind the text they tell the names of all that this program knows, and who
 * of them is not installed. Allocated, as argp wants; NULL if there is no memory. */
char *leat_bench_contenders_help (int key, const char *text,
                                  const leat_bench_contender_t *const *known);

/* For other lists. The name of number i, from 0, and the program that it needs (NULL: none); NULL behind
 * the last. */
typedef const char *(leat_bench_known_fn) (const void *list, unsigned i, const char **server);
char *leat_bench_help_names (int key, const char *text, leat_bench_known_fn *known,
                             const void *list);

#endif

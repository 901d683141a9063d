/* What the benchmarks' JSON has in common.
 * SPDX-License-Identifier: MPL-2.0 */
#ifndef LEAT_BENCH_JSON_H
#define LEAT_BENCH_JSON_H

#include <stdbool.h>

#include <jansson.h>

#include "bench/contender.h"
#include "bench/statistics.h"

/* {"median": M, "rounds": [...]} of the values of `count` rounds. */
json_t *leat_bench_json_values (const double *values, unsigned count);

/* {"ratio": R, "least": L, "most": M} */
json_t *leat_bench_json_ratio (const leat_bench_ratio_t *ratio);

/* {"name": N, "about": A}, with "promise", and "server", "server_version" and "library" where it has them.
 * `version` is its server's. */
json_t *leat_bench_json_contender (const leat_bench_contender_t *contender, const char *version);

/* Writes the object to stdout, and releases it; false if it could not be written. */
bool leat_bench_json_print (json_t *root);

#endif

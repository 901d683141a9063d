/* What the benchmarks' JSON has in common.
 * SPDX-License-Identifier: MPL-2.0 */
#include "bench/json.h"

#include <stdio.h>

json_t *leat_bench_json_values (const double *values, unsigned count)
{
    json_t *list = json_array ();
    for (unsigned i = 0; i < count; i++)
        json_array_append_new (list, json_real (values[i]));
    return json_pack ("{s:f, s:o}", "median", leat_bench_median (values, count), "rounds", list);
}

json_t *leat_bench_json_ratio (const leat_bench_ratio_t *ratio)
{
    return json_pack ("{s:f, s:f, s:f}", "ratio", ratio->ratio, "least", ratio->least, "most",
                      ratio->most);
}

bool leat_bench_json_print (json_t *root)
{
    bool good = json_dumpf (root, stdout, JSON_INDENT (2) | JSON_REAL_PRECISION (6)) == 0
                && putchar ('\n') != EOF && fflush (stdout) == 0;
    json_decref (root);
    return good;
}

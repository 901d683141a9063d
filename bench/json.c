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

json_t *leat_bench_json_contender (const leat_bench_contender_t *contender, const char *version)
{
    json_t *object = json_pack ("{s:s, s:s}", "name", contender->name, "about", contender->about);
    if (contender->promise)
        json_object_set_new (object, "promise", json_string (contender->promise));
    if (contender->server) {
        json_object_set_new (object, "server", json_string (contender->server));
        json_object_set_new (object, "server_version", json_string (version));
        json_object_set_new (object, "library", json_string (contender->library));
    }
    return object;
}

bool leat_bench_json_print (json_t *root)
{
    bool good = json_dumpf (root, stdout, JSON_INDENT (2) | JSON_REAL_PRECISION (6)) == 0
                && putchar ('\n') != EOF && fflush (stdout) == 0;
    json_decref (root);
    return good;
}

/* Prints what `leat bench balance` found.
 * SPDX-License-Identifier: MPL-2.0 */
#include "bench/balance.h"
#include "bench/json.h"
#include "bench/server.h"

#include <math.h>
#include <stdio.h>
#include <unistd.h>

/* ---- for programs ---------------------------------------------------------------------------- */

static json_t *s_json_workers (double *const values[LEAT_BENCH_WORKERS], unsigned count)
{
    json_t *list = json_array ();
    for (unsigned worker = 0; worker < LEAT_BENCH_WORKERS; worker++)
        json_array_append_new (list, leat_bench_json_values (values[worker], count));
    return list;
}

static bool s_json (const leat_bench_balance_t *self, const leat_bench_balance_options_t *options)
{
    unsigned rounds = options->rounds;
    json_t *list = json_array ();
    for (unsigned scenario = 0; scenario < LEAT_BENCH_SCENARIOS; scenario++) {
        if (!options->scenarios[scenario])
            continue;
        for (unsigned turn = 0; turn < options->balancers_count; turn++) {
            const leat_bench_balance_result_t *result = &self->results[scenario][turn];
            const char *name = leat_bench_scenario_name ((leat_bench_scenario_t) scenario);
            json_array_append_new (
                list, json_pack ("{s:s, s:s, s:o, s:o, s:o, s:o, s:o, s:o}", "scenario", name,
                                 "name", options->balancers[turn]->name, "ideal_to_real",
                                 leat_bench_json_values (result->ratio, rounds), "real_s",
                                 leat_bench_json_values (result->real_s, rounds), "ideal_s",
                                 leat_bench_json_values (result->ideal_s, rounds), "done_twice",
                                 leat_bench_json_values (result->doubles, rounds), "shares",
                                 s_json_workers (result->shares, rounds), "service_ms",
                                 s_json_workers (result->service, rounds)));
        }
    }
    json_t *root =
        json_pack ("{s:s, s:I, s:I, s:I, s:I, s:o}", "benchmark", "balance", "tasks",
                   (json_int_t) options->plan.records, "record_size",
                   (json_int_t) options->plan.size, "rounds", (json_int_t) rounds, "processors",
                   (json_int_t) sysconf (_SC_NPROCESSORS_ONLN), "results", list);
    return leat_bench_json_print (root);
}

/* ---- for people ------------------------------------------------------------------------------ */

static void s_print_row (const char *scenario, const char *balancer,
                         const leat_bench_balance_result_t *result, unsigned rounds)
{
    double least = result->ratio[0];
    double most = result->ratio[0];
    double doubles = 0;
    for (unsigned i = 0; i < rounds; i++) {
        least = fmin (least, result->ratio[i]);
        most = fmax (most, result->ratio[i]);
        doubles += result->doubles[i];
    }
    printf ("%-10s %-13s %7.3f %7.3f %7.3f %8.2f %8.2f ", scenario, balancer,
            leat_bench_median (result->ratio, rounds), least, most,
            leat_bench_median (result->real_s, rounds),
            leat_bench_median (result->ideal_s, rounds));
    for (unsigned worker = 0; worker < LEAT_BENCH_WORKERS; worker++)
        printf (" %5.1f", 100 * leat_bench_median (result->shares[worker], rounds));
    printf (" ");
    for (unsigned worker = 0; worker < LEAT_BENCH_WORKERS; worker++)
        printf (" %6.2f", leat_bench_median (result->service[worker], rounds));
    printf (" %8.0f\n", doubles);
}

bool leat_bench_balance_report (const leat_bench_balance_t *self,
                                const leat_bench_balance_options_t *options)
{
    if (options->json)
        return s_json (self, options);
    printf ("%llu tasks of %zu bytes, consumers of speed 1, 2, 4 and 8, %u round%s, %ld "
            "processors\n\n",
            (unsigned long long) options->plan.records, options->plan.size, options->rounds,
            options->rounds == 1 ? "" : "s", sysconf (_SC_NPROCESSORS_ONLN));
    printf ("%-24s %7s %7s %7s %8s %8s  %-23s  %-27s %8s\n", "", "ideal", "", "", "real", "ideal",
            "% of the tasks,", "mean ms of a task,", "done");
    printf ("%-10s %-13s %7s %7s %7s %8s %8s  %5s %5s %5s %5s  %6s %6s %6s %6s %8s\n", "", "",
            "/ real", "least", "most", "seconds", "seconds", "1", "2", "4", "8", "1", "2", "4", "8",
            "twice");
    for (unsigned scenario = 0; scenario < LEAT_BENCH_SCENARIOS; scenario++)
        for (unsigned turn = 0; options->scenarios[scenario] && turn < options->balancers_count;
             turn++)
            s_print_row (leat_bench_scenario_name ((leat_bench_scenario_t) scenario),
                         options->balancers[turn]->name, &self->results[scenario][turn],
                         options->rounds);
    printf ("\n");
    for (unsigned turn = 0; turn < options->balancers_count; turn++)
        printf ("%-13s %s\n", options->balancers[turn]->name, options->balancers[turn]->about);
    for (unsigned i = 0; leat_bench_balancers[i]; i++)
        if (!leat_bench_server_installed (leat_bench_balancers[i]->server))
            printf ("%-13s left out: %s is not installed here\n", leat_bench_balancers[i]->name,
                    leat_bench_balancers[i]->server);
    return fflush (stdout) == 0;
}

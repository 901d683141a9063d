/* Prints what a benchmark found.
 * SPDX-License-Identifier: MPL-2.0 */
#include "bench/report.h"

#include <stdio.h>
#include <unistd.h>

#include "bench/json.h"

static const char *const s_percentile_names[LEAT_BENCH_PERCENTILES] = { "p50", "p90", "p99",
                                                                        "p99.9", "max" };
static const char *const s_role_names[LEAT_BENCH_ROLES] = { "middle", "consumer", "producer" };
static const leat_bench_role_t s_role_order[LEAT_BENCH_ROLES] = { LEAT_BENCH_PRODUCER,
                                                                  LEAT_BENCH_MIDDLE,
                                                                  LEAT_BENCH_CONSUMER };

bool leat_bench_report_ratio (const leat_bench_measurement_t *measurement,
                              const leat_bench_options_t *options,
                              const leat_bench_contender_t *other, leat_bench_ratio_t *ratio)
{
    int leat = leat_bench_contenders_index (&options->contenders, &leat_bench_leat);
    int index = leat_bench_contenders_index (&options->contenders, other);
    if (leat < 0 || index < 0)
        return false;
    const leat_bench_result_t *above = &measurement->results[leat];
    const leat_bench_result_t *below = &measurement->results[index];
    if (!options->latency) {
        *ratio = leat_bench_ratio (above->records_per_second, below->records_per_second,
                                   measurement->rounds);
        return true;
    }
    *ratio = leat_bench_ratio (above->percentiles_us[LEAT_BENCH_P50],
                               below->percentiles_us[LEAT_BENCH_P50], measurement->rounds);
    leat_bench_ratio_t awake =
        leat_bench_ratio (above->awake_p50_us, below->awake_p50_us, measurement->rounds);
    if (awake.ratio > ratio->ratio)
        *ratio = awake;
    return true;
}

/* ---- for programs ---------------------------------------------------------------------------- */

static json_t *s_json_roles (double *const values[LEAT_BENCH_ROLES], unsigned count)
{
    json_t *object = json_object ();
    for (int i = 0; i < LEAT_BENCH_ROLES; i++)
        json_object_set_new (object, s_role_names[s_role_order[i]],
                             leat_bench_json_values (values[s_role_order[i]], count));
    return object;
}

static json_t *s_json_contender (const leat_bench_measurement_t *measurement,
                                 const leat_bench_options_t *options, unsigned turn)
{
    const leat_bench_result_t *result = &measurement->results[turn];
    unsigned rounds = measurement->rounds;
    json_t *object = leat_bench_json_contender (options->contenders.list[turn], result->version);
    json_object_set_new (object, "records_per_second",
                         leat_bench_json_values (result->records_per_second, rounds));
    if (options->latency) {
        json_t *latency = json_object ();
        for (int k = 0; k < LEAT_BENCH_PERCENTILES; k++)
            json_object_set_new (latency, s_percentile_names[k],
                                 leat_bench_json_values (result->percentiles_us[k], rounds));
        json_object_set_new (object, "latency_us", latency);
        json_object_set_new (object, "awake_p50_us",
                             leat_bench_json_values (result->awake_p50_us, rounds));
    }
    json_object_set_new (object, "cpu_ns_per_record", s_json_roles (result->cpu_ns, rounds));
    json_object_set_new (object, "sleeps_per_thousand_records",
                         s_json_roles (result->switches, rounds));
    return object;
}

static bool s_json (const leat_bench_measurement_t *measurement,
                    const leat_bench_options_t *options)
{
    json_t *contenders = json_array ();
    json_t *ratios = json_object ();
    for (unsigned turn = 0; turn < options->contenders.count; turn++) {
        json_array_append_new (contenders, s_json_contender (measurement, options, turn));
        const leat_bench_contender_t *other = options->contenders.list[turn];
        leat_bench_ratio_t ratio;
        if (other != &leat_bench_leat
            && leat_bench_report_ratio (measurement, options, other, &ratio))
            json_object_set_new (ratios, other->name, leat_bench_json_ratio (&ratio));
    }
    json_t *root = json_pack (
        "{s:s, s:I, s:I, s:I, s:f}", "benchmark", options->latency ? "latency" : "throughput",
        "record_size", (json_int_t) options->plan.size, "rounds", (json_int_t) options->rounds,
        "processors", (json_int_t) sysconf (_SC_NPROCESSORS_ONLN), "rate", options->plan.rate);
    json_object_set_new (root, "contenders", contenders);
    json_object_set_new (root, "leat_to", ratios);
    return leat_bench_json_print (root);
}

/* ---- for people ------------------------------------------------------------------------------ */

static void s_print_about (const leat_bench_measurement_t *measurement,
                           const leat_bench_options_t *options)
{
    printf ("\n");
    for (unsigned turn = 0; turn < options->contenders.count; turn++)
        leat_bench_contender_print (options->contenders.list[turn],
                                    measurement->results[turn].version);
}

static void s_print_ratios (const leat_bench_measurement_t *measurement,
                            const leat_bench_options_t *options)
{
    bool first = true;
    for (unsigned turn = 0; turn < options->contenders.count; turn++) {
        const leat_bench_contender_t *other = options->contenders.list[turn];
        leat_bench_ratio_t ratio;
        if (other == &leat_bench_leat
            || !leat_bench_report_ratio (measurement, options, other, &ratio))
            continue;
        if (first)
            printf ("\n%s, of the medians (least .. most of one round)\n",
                    options->latency ? "ratios of p50, the worse of both" : "ratios");
        first = false;
        printf ("leat / %-10s %6.2f  (%.2f .. %.2f)\n", other->name, ratio.ratio, ratio.least,
                ratio.most);
    }
}

/* Who was how busy: nanoseconds of processor time for a record. */
static void s_print_cpu (const leat_bench_result_t *result, unsigned rounds)
{
    for (int i = 0; i < LEAT_BENCH_ROLES; i++)
        printf (" %8.1f", leat_bench_median (result->cpu_ns[s_role_order[i]], rounds));
    printf ("\n");
}

bool leat_bench_report_throughput (const leat_bench_measurement_t *measurement,
                                   const leat_bench_options_t *options)
{
    if (options->json)
        return s_json (measurement, options);
    unsigned rounds = measurement->rounds;
    double size = (double) options->plan.size;
    printf ("records of %zu bytes, %u round%s, %ld processors\n\n", options->plan.size, rounds,
            rounds == 1 ? "" : "s", sysconf (_SC_NPROCESSORS_ONLN));
    printf ("%-10s %8s %8s %8s %10s   %s\n", "", "MB/s", "", "", "million", "ns of CPU per record");
    printf ("%-10s %8s %8s %8s %10s %8s %8s %8s\n", "", "median", "least", "most", "records/s",
            "producer", "middle", "consumer");
    for (unsigned turn = 0; turn < options->contenders.count; turn++) {
        const leat_bench_result_t *result = &measurement->results[turn];
        const double *rates = result->records_per_second;
        double median = leat_bench_median (rates, rounds);
        printf ("%-10s %8.1f %8.1f %8.1f %10.3f", options->contenders.list[turn]->name,
                median * size / 1e6, leat_bench_least (rates, rounds) * size / 1e6,
                leat_bench_most (rates, rounds) * size / 1e6, median / 1e6);
        s_print_cpu (result, rounds);
    }
    s_print_ratios (measurement, options);
    s_print_about (measurement, options);
    return fflush (stdout) == 0;
}

bool leat_bench_report_latency (const leat_bench_measurement_t *measurement,
                                const leat_bench_options_t *options)
{
    if (options->json)
        return s_json (measurement, options);
    unsigned rounds = measurement->rounds;
    printf ("records of %zu bytes, %.0f a second, %u round%s, %ld processors; microseconds\n\n",
            options->plan.size, options->plan.rate, rounds, rounds == 1 ? "" : "s",
            sysconf (_SC_NPROCESSORS_ONLN));
    printf ("%-10s", "");
    for (int k = 0; k < LEAT_BENCH_PERCENTILES; k++)
        printf (" %8s", s_percentile_names[k]);
    printf (" %8s   %s\n%-10s", "p50 from", "ns of CPU per record", "");
    for (int k = 0; k < LEAT_BENCH_PERCENTILES; k++)
        printf (" %8s", "");
    printf (" %8s %8s %8s %8s\n", "awake", "producer", "middle", "consumer");
    for (unsigned turn = 0; turn < options->contenders.count; turn++) {
        const leat_bench_result_t *result = &measurement->results[turn];
        printf ("%-10s", options->contenders.list[turn]->name);
        for (int k = 0; k < LEAT_BENCH_PERCENTILES; k++)
            printf (" %8.1f", k == LEAT_BENCH_WORST
                                  ? leat_bench_most (result->percentiles_us[k], rounds)
                                  : leat_bench_median (result->percentiles_us[k], rounds));
        printf (" %8.1f", leat_bench_median (result->awake_p50_us, rounds));
        s_print_cpu (result, rounds);
    }
    s_print_ratios (measurement, options);
    s_print_about (measurement, options);
    return fflush (stdout) == 0;
}

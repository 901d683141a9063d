/* `leat bench durable`: rounds, and what came out of them.
 * SPDX-License-Identifier: MPL-2.0 */
#include "bench/durable.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "bench/durable_options.h"
#include "bench/durable_round.h"
#include "bench/json.h"
#include "bench/statistics.h"
#include "bench/swing.h"
#include "cli/message.h"
#include "wire/alloc.h"

enum { S_MAX = LEAT_BENCH_CONTENDERS_MAX };

/* A value of each round. */
typedef double s_values_t[LEAT_BENCH_DURABLE_ROUNDS_MAX];

/* The index is a contender's. */
typedef struct {
    s_values_t elapsed[S_MAX]; /* seconds */
    s_values_t records_per_second[S_MAX];
    s_values_t records[S_MAX];
    s_values_t cpu[S_MAX][LEAT_BENCH_ROLES]; /* ns per record */
    s_values_t p50[S_MAX];                   /* us */
    s_values_t p90[S_MAX];
    s_values_t p99[S_MAX];
    leat_bench_ratio_t ratio[S_MAX];        /* Leat's records per second / theirs */
    leat_bench_ratio_t single_ratio[S_MAX]; /* Leat's p50 / theirs */
    s_values_t transactions;                /* of Leat */
    s_values_t rows;
    char version[S_MAX][32];
} s_result_t;

typedef struct {
    const leat_bench_durable_options_t *options;
    unsigned round;
} s_progress_t;

static void s_progress (void *arg, const char *what)
{
    const s_progress_t *self = arg;
    if (isatty (STDERR_FILENO))
        fprintf (stderr, "\r\033[Kround %u of %u: %s", self->round + 1, self->options->rounds,
                 what);
}

static void s_keep (s_result_t *result, const leat_bench_contenders_t *contenders, unsigned i,
                    const leat_bench_durable_many_t *many,
                    const leat_bench_durable_single_t *single)
{
    for (unsigned turn = 0; turn < contenders->count; turn++) {
        double records = (double) many->records[turn];
        result->records[turn][i] = records;
        result->elapsed[turn][i] = (double) many->elapsed_ns[turn] / 1e9;
        result->records_per_second[turn][i] = records * 1e9 / (double) many->elapsed_ns[turn];
        for (int role = 0; role < LEAT_BENCH_ROLES; role++)
            result->cpu[turn][role][i] = (double) many->cpu_ns[turn][role] / records;
        result->p50[turn][i] = single->p50_us[turn];
        result->p90[turn][i] = single->p90_us[turn];
        result->p99[turn][i] = single->p99_us[turn];
    }
    memcpy (result->version, many->version, sizeof result->version);
    result->transactions[i] = (double) many->transactions;
    result->rows[i] = (double) many->rows;
}

static bool s_measure (const leat_bench_durable_options_t *options, s_result_t *result)
{
    leat_bench_folder_t folder = { .path = "" };
    if (!leat_bench_folder_begin (&folder, options->directory)) {
        leat_message (options->name, "cannot make a folder in %s: %s", options->directory,
                      strerror (errno));
        return false;
    }
    s_progress_t progress = { .options = options };
    leat_bench_durable_t durable = { .name = options->name,
                                     .processes = leat_bench_processes_new (),
                                     .folder = &folder,
                                     .contenders = &options->contenders,
                                     .plan = options->plan,
                                     .progress = s_progress,
                                     .arg = &progress };
    bool good = true;
    for (unsigned i = 0; good && i < options->rounds; i++) {
        leat_bench_durable_many_t many = { 0 };
        leat_bench_durable_single_t single = { 0 };
        progress.round = i;
        good = leat_bench_durable_many (&durable, &many)
               && leat_bench_durable_single (&durable, &single);
        if (good)
            s_keep (result, &options->contenders, i, &many, &single);
    }
    if (isatty (STDERR_FILENO))
        fprintf (stderr, "\r\033[K");
    leat_bench_processes_destroy (&durable.processes);
    leat_bench_folder_end (&folder);
    return good;
}

/* Returns Leat's turn, or -1 if it did not take part. */
static int s_compare (s_result_t *result, const leat_bench_durable_options_t *options)
{
    int leat = leat_bench_contenders_index (&options->contenders, &leat_bench_leat);
    for (unsigned turn = 0; leat >= 0 && turn < options->contenders.count; turn++) {
        result->ratio[turn] = leat_bench_ratio (result->records_per_second[leat],
                                                result->records_per_second[turn], options->rounds);
        result->single_ratio[turn] =
            leat_bench_ratio (result->p50[leat], result->p50[turn], options->rounds);
    }
    return leat;
}

/* ---- what is shown --------------------------------------------------------------------------- */

static void s_print_ratios (const leat_bench_durable_options_t *options, int leat,
                            const leat_bench_ratio_t *ratios, const char *what)
{
    for (unsigned turn = 0; leat >= 0 && turn < options->contenders.count; turn++)
        if ((int) turn != leat)
            printf ("%s, leat / %-10s %10.3f  (%.3f .. %.3f of one round)\n", what,
                    options->contenders.list[turn]->name, ratios[turn].ratio, ratios[turn].least,
                    ratios[turn].most);
}

static void s_print_many (const leat_bench_durable_options_t *options, const s_result_t *result,
                          int leat)
{
    unsigned rounds = options->rounds;
    printf ("%-26s %10s %10s %10s   %s\n", "", "", "", "", "ns of CPU per record");
    printf ("%-26s %10s %10s %10s %10s %10s %10s\n", "many records", "records/s", "MB/s", "seconds",
            "producer", "middle", "consumer");
    for (unsigned turn = 0; turn < options->contenders.count; turn++) {
        double rate = leat_bench_median (result->records_per_second[turn], rounds);
        printf ("%-26s %10.0f %10.1f %10.3f %10.1f %10.1f %10.1f\n",
                options->contenders.list[turn]->name, rate,
                rate * (double) options->plan.size / 1e6,
                leat_bench_median (result->elapsed[turn], rounds),
                leat_bench_median (result->cpu[turn][LEAT_BENCH_PRODUCER], rounds),
                leat_bench_median (result->cpu[turn][LEAT_BENCH_MIDDLE], rounds),
                leat_bench_median (result->cpu[turn][LEAT_BENCH_CONSUMER], rounds));
    }
    if (leat_bench_contenders_index (&options->contenders, &leat_bench_lmdb) >= 0)
        printf (
            "a round of leat: %.0f records in %.0f transactions with %.0f rows put or removed\n",
            leat_bench_median (result->records[leat], rounds),
            leat_bench_median (result->transactions, rounds),
            leat_bench_median (result->rows, rounds));
}

static bool s_print (const leat_bench_durable_options_t *options, const s_result_t *result,
                     int leat)
{
    unsigned rounds = options->rounds;
    printf ("records of %zu bytes, %u round%s, files in %s, %ld processors\n\n", options->plan.size,
            rounds, rounds == 1 ? "" : "s", options->directory, sysconf (_SC_NPROCESSORS_ONLN));
    s_print_many (options, result, leat);
    printf ("\n%-26s %10s %10s %10s\n", "one at a time, us", "p50", "p90", "p99");
    for (unsigned turn = 0; turn < options->contenders.count; turn++)
        printf ("%-26s %10.1f %10.1f %10.1f\n", options->contenders.list[turn]->name,
                leat_bench_median (result->p50[turn], rounds),
                leat_bench_median (result->p90[turn], rounds),
                leat_bench_median (result->p99[turn], rounds));
    printf ("\n");
    s_print_ratios (options, leat, result->ratio, "records/s");
    s_print_ratios (options, leat, result->single_ratio, "single p50");
    printf ("\n");
    for (unsigned turn = 0; turn < options->contenders.count; turn++)
        leat_bench_contender_print (options->contenders.list[turn], result->version[turn]);
    return fflush (stdout) == 0;
}

static json_t *s_json_contender (const leat_bench_durable_options_t *options,
                                 const s_result_t *result, unsigned turn)
{
    static const char *const roles[LEAT_BENCH_ROLES] = { "middle", "consumer", "producer" };
    unsigned rounds = options->rounds;
    json_t *cpu = json_object ();
    for (int role = 0; role < LEAT_BENCH_ROLES; role++)
        json_object_set_new (cpu, roles[role],
                             leat_bench_json_values (result->cpu[turn][role], rounds));
    json_t *object =
        leat_bench_json_contender (options->contenders.list[turn], result->version[turn]);
    json_object_set_new (object, "records_per_second",
                         leat_bench_json_values (result->records_per_second[turn], rounds));
    json_object_set_new (object, "records", leat_bench_json_values (result->records[turn], rounds));
    json_object_set_new (object, "seconds", leat_bench_json_values (result->elapsed[turn], rounds));
    json_object_set_new (object, "single_p50_us",
                         leat_bench_json_values (result->p50[turn], rounds));
    json_object_set_new (object, "single_p90_us",
                         leat_bench_json_values (result->p90[turn], rounds));
    json_object_set_new (object, "single_p99_us",
                         leat_bench_json_values (result->p99[turn], rounds));
    json_object_set_new (object, "cpu_ns_per_record", cpu);
    return object;
}

static json_t *s_json_ratios (const leat_bench_durable_options_t *options, int leat,
                              const leat_bench_ratio_t *ratios)
{
    json_t *object = json_object ();
    for (unsigned turn = 0; leat >= 0 && turn < options->contenders.count; turn++)
        if ((int) turn != leat)
            json_object_set_new (object, options->contenders.list[turn]->name,
                                 leat_bench_json_ratio (&ratios[turn]));
    return object;
}

static bool s_print_json (const leat_bench_durable_options_t *options, const s_result_t *result,
                          int leat)
{
    unsigned rounds = options->rounds;
    json_t *contenders = json_array ();
    for (unsigned turn = 0; turn < options->contenders.count; turn++)
        json_array_append_new (contenders, s_json_contender (options, result, turn));
    json_t *root =
        json_pack ("{s:s, s:I, s:I, s:I, s:o, s:o, s:o, s:o, s:o}", "benchmark", "durable",
                   "record_size", (json_int_t) options->plan.size, "rounds", (json_int_t) rounds,
                   "processors", (json_int_t) sysconf (_SC_NPROCESSORS_ONLN), "transactions",
                   leat_bench_json_values (result->transactions, rounds), "rows",
                   leat_bench_json_values (result->rows, rounds), "contenders", contenders,
                   "leat_to", s_json_ratios (options, leat, result->ratio), "single_leat_to",
                   s_json_ratios (options, leat, result->single_ratio));
    return leat_bench_json_print (root);
}

/* Says what was asked for and not reached; returns whether all was. */
static bool s_reached (const leat_bench_durable_options_t *options, const s_result_t *result)
{
    bool good = true;
    for (unsigned turn = 0; turn < options->contenders.count; turn++) {
        double required = options->contenders.require[turn];
        if (required <= 0 || result->ratio[turn].ratio >= required)
            continue;
        leat_message (options->name, "leat / %s is %.3f, required is at least %.3f",
                      options->contenders.list[turn]->name, result->ratio[turn].ratio, required);
        good = false;
    }
    int lmdb = leat_bench_contenders_index (&options->contenders, &leat_bench_lmdb);
    if (options->require_single > 0 && result->single_ratio[lmdb].ratio > options->require_single) {
        leat_message (options->name,
                      "one at a time the p50 of leat / lmdb is %.3f, required is at most %.3f",
                      result->single_ratio[lmdb].ratio, options->require_single);
        good = false;
    }
    return good;
}

int leat_bench_durable_command (int argc, char **argv)
{
    leat_bench_durable_options_t options;
    leat_bench_durable_options_parse (&options, argc, argv);
    if (options.swing_high)
        return leat_bench_swing (&options);
    s_result_t *result = leat_alloc (sizeof *result);
    bool good = s_measure (&options, result);
    if (good) {
        int leat = s_compare (result, &options);
        good =
            options.json ? s_print_json (&options, result, leat) : s_print (&options, result, leat);
        if (!good)
            leat_message (options.name, "cannot write to stdout");
        good = s_reached (&options, result) && good;
    }
    free (result);
    return good ? LEAT_EXIT_DONE : LEAT_EXIT_FAILED;
}

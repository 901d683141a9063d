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

enum { S_WAYS = LEAT_BENCH_DURABLE_WAYS };

/* A value of each round. */
typedef double s_values_t[LEAT_BENCH_DURABLE_ROUNDS_MAX];

typedef struct {
    s_values_t elapsed[S_WAYS]; /* seconds */
    s_values_t records_per_second[S_WAYS];
    s_values_t transactions; /* of Leat */
    s_values_t rows;
    s_values_t records;
    s_values_t cpu[LEAT_BENCH_ROLES]; /* ns per record */
    s_values_t lmdb_cpu;
    s_values_t p50[S_WAYS]; /* us */
    s_values_t p90[S_WAYS];
    s_values_t p99[S_WAYS];
    leat_bench_ratio_t ratio; /* LMDB's time / Leat's */
    leat_bench_ratio_t file_ratio;
    leat_bench_ratio_t single_ratio; /* Leat's p50 / LMDB's */
    leat_bench_ratio_t single_file_ratio;
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

static void s_keep (s_result_t *result, unsigned i, const leat_bench_durable_many_t *many,
                    const leat_bench_durable_single_t *single)
{
    for (int way = 0; way < S_WAYS; way++) {
        result->elapsed[way][i] = (double) many->elapsed_ns[way] / 1e9;
        result->records_per_second[way][i] =
            (double) many->records * 1e9 / (double) many->elapsed_ns[way];
        result->p50[way][i] = single->p50_us[way];
        result->p90[way][i] = single->p90_us[way];
        result->p99[way][i] = single->p99_us[way];
    }
    for (int role = 0; role < LEAT_BENCH_ROLES; role++)
        result->cpu[role][i] = (double) many->cpu_ns[role] / (double) many->records;
    result->lmdb_cpu[i] = (double) many->lmdb_cpu_ns / (double) many->records;
    result->transactions[i] = (double) many->transactions;
    result->rows[i] = (double) many->rows;
    result->records[i] = (double) many->records;
}

static bool s_measure (const leat_bench_durable_options_t *options, s_result_t *result)
{
    leat_bench_folder_t folder;
    if (!leat_bench_folder_begin (&folder, options->directory)) {
        leat_message (options->name, "cannot make a folder in %s: %s", options->directory,
                      strerror (errno));
        return false;
    }
    s_progress_t progress = { .options = options };
    leat_bench_durable_t durable = { .name = options->name,
                                     .processes = leat_bench_processes_new (),
                                     .folder = &folder,
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
            s_keep (result, i, &many, &single);
    }
    if (isatty (STDERR_FILENO))
        fprintf (stderr, "\r\033[K");
    leat_bench_processes_destroy (&durable.processes);
    leat_bench_folder_end (&folder);
    return good;
}

static void s_compare (s_result_t *result, unsigned rounds)
{
    const int leat = LEAT_BENCH_ON_LEAT;
    const int lmdb = LEAT_BENCH_ON_LMDB;
    const int file = LEAT_BENCH_ON_FILE;
    result->ratio = leat_bench_ratio (result->elapsed[lmdb], result->elapsed[leat], rounds);
    result->file_ratio = leat_bench_ratio (result->elapsed[file], result->elapsed[leat], rounds);
    result->single_ratio = leat_bench_ratio (result->p50[leat], result->p50[lmdb], rounds);
    result->single_file_ratio = leat_bench_ratio (result->p50[leat], result->p50[file], rounds);
}

/* ---- what is shown --------------------------------------------------------------------------- */

static void s_print_ratio (const char *what, const leat_bench_ratio_t *ratio)
{
    printf ("%-26s %10.3f  (%.3f .. %.3f of one round)\n", what, ratio->ratio, ratio->least,
            ratio->most);
}

static bool s_print (const leat_bench_durable_options_t *options, const s_result_t *result)
{
    unsigned rounds = options->rounds;
    printf ("records of %zu bytes, %u round%s, files in %s, %ld processors\n\n", options->plan.size,
            rounds, rounds == 1 ? "" : "s", options->directory, sysconf (_SC_NPROCESSORS_ONLN));
    printf ("%-26s %10s %10s %10s\n", "many records", "records/s", "MB/s", "seconds");
    for (int way = 0; way < S_WAYS; way++) {
        double rate = leat_bench_median (result->records_per_second[way], rounds);
        printf ("%-26s %10.0f %10.1f %10.3f\n", leat_bench_durable_names[way], rate,
                rate * (double) options->plan.size / 1e6,
                leat_bench_median (result->elapsed[way], rounds));
    }
    printf ("a round of leat: %.0f records in %.0f transactions with %.0f rows put or removed\n"
            "ns of CPU per record: producer %.1f, broker %.1f, consumer %.1f; lmdb %.1f\n\n",
            leat_bench_median (result->records, rounds),
            leat_bench_median (result->transactions, rounds),
            leat_bench_median (result->rows, rounds),
            leat_bench_median (result->cpu[LEAT_BENCH_PRODUCER], rounds),
            leat_bench_median (result->cpu[LEAT_BENCH_MIDDLE], rounds),
            leat_bench_median (result->cpu[LEAT_BENCH_CONSUMER], rounds),
            leat_bench_median (result->lmdb_cpu, rounds));
    printf ("%-26s %10s %10s %10s\n", "one at a time, us", "p50", "p90", "p99");
    for (int way = 0; way < S_WAYS; way++)
        printf ("%-26s %10.1f %10.1f %10.1f\n", leat_bench_durable_names[way],
                leat_bench_median (result->p50[way], rounds),
                leat_bench_median (result->p90[way], rounds),
                leat_bench_median (result->p99[way], rounds));
    printf ("\n");
    s_print_ratio ("time of lmdb / leat", &result->ratio);
    s_print_ratio ("time of file / leat", &result->file_ratio);
    s_print_ratio ("single p50, leat / lmdb", &result->single_ratio);
    s_print_ratio ("single p50, leat / file", &result->single_file_ratio);
    printf (
        "\nlmdb: the transactions of leat's round, replayed; one at a time a transaction with a "
        "row\nfile: as many bytes, written and synced by the MiB; one at a time a block of %d "
        "bytes\n",
        LEAT_BENCH_FILE_SINGLE);
    return fflush (stdout) == 0;
}

static bool s_print_json (const leat_bench_durable_options_t *options, const s_result_t *result)
{
    unsigned rounds = options->rounds;
    json_t *ways = json_array ();
    for (int way = 0; way < S_WAYS; way++)
        json_array_append_new (
            ways, json_pack ("{s:s, s:o, s:o, s:o, s:o, s:o}", "name",
                             leat_bench_durable_names[way], "records_per_second",
                             leat_bench_json_values (result->records_per_second[way], rounds),
                             "seconds", leat_bench_json_values (result->elapsed[way], rounds),
                             "single_p50_us", leat_bench_json_values (result->p50[way], rounds),
                             "single_p90_us", leat_bench_json_values (result->p90[way], rounds),
                             "single_p99_us", leat_bench_json_values (result->p99[way], rounds)));
    json_t *root = json_pack (
        "{s:s, s:I, s:I, s:I, s:o, s:o, s:o, s:{s:o, s:o, s:o, s:o}, s:o, s:f, s:f, s:f, s:f}",
        "benchmark", "durable", "record_size", (json_int_t) options->plan.size, "rounds",
        (json_int_t) rounds, "processors", (json_int_t) sysconf (_SC_NPROCESSORS_ONLN), "records",
        leat_bench_json_values (result->records, rounds), "transactions",
        leat_bench_json_values (result->transactions, rounds), "rows",
        leat_bench_json_values (result->rows, rounds), "cpu_ns_per_record", "producer",
        leat_bench_json_values (result->cpu[LEAT_BENCH_PRODUCER], rounds), "broker",
        leat_bench_json_values (result->cpu[LEAT_BENCH_MIDDLE], rounds), "consumer",
        leat_bench_json_values (result->cpu[LEAT_BENCH_CONSUMER], rounds), "lmdb",
        leat_bench_json_values (result->lmdb_cpu, rounds), "contenders", ways, "lmdb_to_leat",
        result->ratio.ratio, "file_to_leat", result->file_ratio.ratio, "single_leat_to_lmdb",
        result->single_ratio.ratio, "single_leat_to_file", result->single_file_ratio.ratio);
    return leat_bench_json_print (root);
}

/* Says what was asked for and not reached; returns whether all was. */
static bool s_reached (const leat_bench_durable_options_t *options, const s_result_t *result)
{
    bool good = true;
    if (options->require > 0 && result->ratio.ratio < options->require) {
        leat_message (options->name, "the time of lmdb / leat is %.3f, required is at least %.3f",
                      result->ratio.ratio, options->require);
        good = false;
    }
    if (options->require_single > 0 && result->single_ratio.ratio > options->require_single) {
        leat_message (options->name,
                      "one at a time the p50 of leat / lmdb is %.3f, required is at most %.3f",
                      result->single_ratio.ratio, options->require_single);
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
        s_compare (result, options.rounds);
        good = options.json ? s_print_json (&options, result) : s_print (&options, result);
        if (!good)
            leat_message (options.name, "cannot write to stdout");
        good = s_reached (&options, result) && good;
    }
    free (result);
    return good ? LEAT_EXIT_DONE : LEAT_EXIT_FAILED;
}

/* Plays the rounds of a benchmark.
 * SPDX-License-Identifier: MPL-2.0 */
#include "bench/measure.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "bench/processes.h"
#include "cli/message.h"
#include "wire/alloc.h"

static const unsigned s_thousandths[LEAT_BENCH_PERCENTILES] = { [LEAT_BENCH_P50] = 500,
                                                                [LEAT_BENCH_P90] = 900,
                                                                [LEAT_BENCH_P99] = 990,
                                                                [LEAT_BENCH_P99_9] = 999,
                                                                [LEAT_BENCH_WORST] = 1000 };

static void s_new (leat_bench_result_t *self, unsigned rounds)
{
    size_t size = rounds * sizeof (double);
    self->records_per_second = leat_alloc (size);
    self->awake_p50_us = leat_alloc (size);
    for (int i = 0; i < LEAT_BENCH_PERCENTILES; i++)
        self->percentiles_us[i] = leat_alloc (size);
    for (int role = 0; role < LEAT_BENCH_ROLES; role++) {
        self->cpu_ns[role] = leat_alloc (size);
        self->switches[role] = leat_alloc (size);
    }
}

void leat_bench_measurement_free (leat_bench_measurement_t *self)
{
    for (unsigned i = 0; i < LEAT_BENCH_CONTENDERS_MAX; i++) {
        leat_bench_result_t *result = &self->results[i];
        free (result->records_per_second);
        free (result->awake_p50_us);
        for (int percentile = 0; percentile < LEAT_BENCH_PERCENTILES; percentile++)
            free (result->percentiles_us[percentile]);
        for (int role = 0; role < LEAT_BENCH_ROLES; role++) {
            free (result->cpu_ns[role]);
            free (result->switches[role]);
        }
    }
    memset (self, 0, sizeof *self);
}

static double s_percentile_us (uint64_t *samples, const leat_bench_round_t *round,
                               unsigned thousandths)
{
    return (double) leat_bench_percentile (samples, round->samples_count, thousandths) / 1e3;
}

static void s_keep (leat_bench_result_t *self, unsigned i, leat_bench_round_t *round)
{
    memcpy (self->version, round->version, sizeof self->version);
    self->records_per_second[i] = (double) round->measured * 1e9 / (double) round->elapsed_ns;
    for (int role = 0; role < LEAT_BENCH_ROLES; role++) {
        self->cpu_ns[role][i] = (double) round->cpu_ns[role] / (double) round->sent;
        self->switches[role][i] = (double) round->switches[role] * 1e3 / (double) round->sent;
    }
    if (!round->samples_count)
        return;
    for (int k = 0; k < LEAT_BENCH_PERCENTILES; k++)
        self->percentiles_us[k][i] = s_percentile_us (round->samples, round, s_thousandths[k]);
    self->awake_p50_us[i] = s_percentile_us (round->samples + round->samples_max, round, 500);
}

/* One contender's turn; false if it failed. */
static bool s_turn (leat_bench_measurement_t *self, const leat_bench_options_t *options,
                    leat_bench_processes_t *processes, unsigned i, unsigned turn)
{
    const leat_bench_contender_t *contender = options->contenders.list[turn];
    const leat_bench_plan_t *plan = &options->plan;
    leat_bench_round_t *round = leat_bench_round_new (plan, plan->rate > 0 ? plan->records : 0);
    if (!round) {
        leat_message (options->name, "no memory for the samples: %s", strerror (errno));
        return false;
    }
    snprintf (round->stream, sizeof round->stream, "bench.%ld.%llu", (long) getpid (),
              (unsigned long long) leat_bench_now_ns ());
    bool good = leat_bench_processes_run (processes, contender, round);
    if (good)
        s_keep (&self->results[turn], i, round);
    else
        leat_message (options->name, "%s, round %u of %u: %s", contender->name, i + 1,
                      options->rounds, round->error);
    self->no_broker = round->no_broker;
    leat_bench_round_destroy (&round);
    return good;
}

static void s_progress (const leat_bench_options_t *options, unsigned i, unsigned turn)
{
    if (isatty (STDERR_FILENO))
        fprintf (stderr, "\r\033[Kround %u of %u: %s", i + 1, options->rounds,
                 options->contenders.list[turn]->name);
}

static void s_progress_end (void)
{
    if (isatty (STDERR_FILENO))
        fprintf (stderr, "\r\033[K");
}

bool leat_bench_measure (leat_bench_measurement_t *self, const leat_bench_options_t *options)
{
    *self = (leat_bench_measurement_t){ .rounds = options->rounds };
    for (unsigned turn = 0; turn < options->contenders.count; turn++)
        s_new (&self->results[turn], options->rounds);

    leat_bench_processes_t *processes = leat_bench_processes_new ();
    bool good = true;
    for (unsigned i = 0; good && i < options->rounds; i++) {
        for (unsigned turn = 0; good && turn < options->contenders.count; turn++) {
            s_progress (options, i, turn);
            good = s_turn (self, options, processes, i, turn);
            s_progress_end ();
        }
    }
    leat_bench_processes_destroy (&processes);
    return good;
}

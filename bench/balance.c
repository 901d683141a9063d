/* `leat bench balance`: plays its rounds.
 * SPDX-License-Identifier: MPL-2.0 */
#include "bench/balance.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "bench/processes.h"
#include "cli/message.h"
#include "wire/alloc.h"

typedef struct {
    const leat_bench_balancer_t *balancer;
    leat_bench_work_t *work;
    unsigned worker;
} s_role_t;

static int s_middle (void *arg, int ready)
{
    s_role_t *self = arg;
    return self->balancer->middle (self->work, ready);
}

static int s_worker (void *arg, int ready)
{
    s_role_t *self = arg;
    return self->balancer->worker (self->work, self->worker, ready);
}

static int s_producer (void *arg, int ready)
{
    s_role_t *self = arg;
    return self->balancer->producer (self->work, ready);
}

/* All processes of one turn; false with the round's error. */
static bool s_play (leat_bench_processes_t *processes, const leat_bench_balancer_t *balancer,
                    leat_bench_work_t *work)
{
    static const char *const names[LEAT_BENCH_WORKERS] = {
        "consumer of speed 1", "consumer of speed 2", "consumer of speed 4", "consumer of speed 8"
    };
    leat_bench_round_t *round = work->round;
    s_role_t role = { .balancer = balancer, .work = work };
    bool good = leat_bench_processes_start (processes, "middle", s_middle, &role, round) >= 0;
    for (; good && role.worker < LEAT_BENCH_WORKERS; role.worker++)
        good =
            leat_bench_processes_start (processes, names[role.worker], s_worker, &role, round) >= 0;
    good =
        good && leat_bench_processes_start (processes, "producer", s_producer, &role, round) >= 0;
    uint64_t deadline_ns = leat_bench_now_ns () + round->plan.timeout_ns;
    if (good && !leat_bench_processes_wait (processes, 1, deadline_ns, round)) {
        leat_bench_round_fail (round, "not over after %.0f s",
                               (double) round->plan.timeout_ns / 1e9);
        good = false;
    }
    leat_bench_processes_end (processes, round);
    if (good && !leat_bench_work_over (work))
        leat_bench_round_fail (round, "not every task was done");
    return good && !round->error[0];
}

static void s_keep (leat_bench_balance_result_t *self, unsigned i, const leat_bench_work_t *work)
{
    uint64_t counts[LEAT_BENCH_WORKERS];
    double service_ms[LEAT_BENCH_WORKERS] = { 0 };
    leat_bench_work_shares (work, counts);
    for (uint64_t task = 0; task < work->count; task++)
        service_ms[work->tasks[task].worker] += (double) work->tasks[task].elapsed_ns / 1e6;
    self->real_s[i] = (double) leat_bench_work_makespan_ns (work) / 1e9;
    self->ideal_s[i] = (double) leat_bench_work_ideal_ns (work) / 1e9;
    self->ratio[i] = self->ideal_s[i] / self->real_s[i];
    self->doubles[i] = (double) atomic_load (&work->doubles);
    for (unsigned worker = 0; worker < LEAT_BENCH_WORKERS; worker++) {
        self->shares[worker][i] = (double) counts[worker] / (double) work->count;
        self->service[worker][i] =
            counts[worker] ? service_ms[worker] / (double) counts[worker] : 0;
    }
}

static bool s_turn (leat_bench_balance_t *self, const leat_bench_balance_options_t *options,
                    leat_bench_processes_t *processes, leat_bench_scenario_t scenario,
                    unsigned turn, unsigned i)
{
    const leat_bench_balancer_t *balancer = options->balancers[turn];
    const char *name = leat_bench_scenario_name (scenario);
    leat_bench_work_t *work = leat_bench_work_new (&options->plan, scenario);
    if (!work) {
        leat_message (options->name, "no memory for the tasks: %s", strerror (errno));
        return false;
    }
    work->window = balancer->window;
    snprintf (work->round->stream, sizeof work->round->stream, "bench.%ld.%llu", (long) getpid (),
              (unsigned long long) leat_bench_now_ns ());
    if (isatty (STDERR_FILENO))
        fprintf (stderr, "\r\033[Kround %u of %u: %s, %s", i + 1, options->rounds, name,
                 balancer->name);
    bool good = s_play (processes, balancer, work);
    if (isatty (STDERR_FILENO))
        fprintf (stderr, "\r\033[K");
    if (good)
        s_keep (&self->results[scenario][turn], i, work);
    else
        leat_message (options->name, "%s, %s, round %u of %u: %s", name, balancer->name, i + 1,
                      options->rounds, work->round->error);
    self->no_broker = work->round->no_broker;
    leat_bench_work_destroy (&work);
    return good;
}

/* The arrays of a result, whatever they are called: it has nothing but pointers to doubles. */
static void s_each (leat_bench_balance_t *self, unsigned rounds, bool allocate)
{
    for (unsigned scenario = 0; scenario < LEAT_BENCH_SCENARIOS; scenario++) {
        for (unsigned turn = 0; turn < LEAT_BENCH_BALANCERS_MAX; turn++) {
            leat_bench_balance_result_t *result = &self->results[scenario][turn];
            double **arrays[4 + 2 * LEAT_BENCH_WORKERS] = { &result->ratio, &result->real_s,
                                                            &result->ideal_s, &result->doubles };
            for (unsigned worker = 0; worker < LEAT_BENCH_WORKERS; worker++) {
                arrays[4 + worker] = &result->shares[worker];
                arrays[4 + LEAT_BENCH_WORKERS + worker] = &result->service[worker];
            }
            for (size_t k = 0; k < sizeof arrays / sizeof arrays[0]; k++) {
                if (allocate)
                    *arrays[k] = leat_alloc (rounds * sizeof (double));
                else
                    free (*arrays[k]);
            }
        }
    }
}

/* Says what was asked for and not reached; returns whether all was. */
static bool s_reached (const leat_bench_balance_t *self,
                       const leat_bench_balance_options_t *options)
{
    bool good = true;
    for (unsigned turn = 0; turn < options->balancers_count; turn++) {
        if (options->balancers[turn] != &leat_bench_balance_leat)
            continue;
        for (unsigned scenario = 0; scenario < LEAT_BENCH_SCENARIOS; scenario++) {
            double required = options->require[scenario];
            if (required <= 0)
                continue;
            double ratio = leat_bench_median (self->results[scenario][turn].ratio, options->rounds);
            if (ratio >= required)
                continue;
            leat_message (options->name,
                          "%s: ideal / real of leat is %.3f, required is at least "
                          "%.3f",
                          leat_bench_scenario_name ((leat_bench_scenario_t) scenario), ratio,
                          required);
            good = false;
        }
    }
    return good;
}

int leat_bench_balance_command (int argc, char **argv)
{
    leat_bench_balance_options_t options;
    leat_bench_balance_options_parse (&options, argc, argv);

    leat_bench_balance_t *self = leat_alloc (sizeof *self);
    s_each (self, options.rounds, true);
    leat_bench_processes_t *processes = leat_bench_processes_new ();
    bool good = true;
    for (unsigned i = 0; good && i < options.rounds; i++)
        for (unsigned scenario = 0; good && scenario < LEAT_BENCH_SCENARIOS; scenario++)
            for (unsigned turn = 0; good && turn < options.balancers_count; turn++)
                if (options.scenarios[scenario])
                    good = s_turn (self, &options, processes, (leat_bench_scenario_t) scenario,
                                   turn, i);
    leat_bench_processes_destroy (&processes);
    if (good) {
        good = leat_bench_balance_report (self, &options);
        if (!good)
            leat_message (options.name, "cannot write to stdout");
        good = s_reached (self, &options) && good;
    }
    bool no_broker = self->no_broker;
    s_each (self, 0, false);
    free (self);
    if (no_broker)
        return LEAT_EXIT_NO_BROKER;
    return good ? LEAT_EXIT_DONE : LEAT_EXIT_FAILED;
}

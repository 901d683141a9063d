/* Reads the options of `leat bench balance`.
 * SPDX-License-Identifier: MPL-2.0 */
#include "bench/balance.h"

#include <string.h>

#include "bench/contenders.h"
#include "bench/option_values.h"
#include "bench/server.h"

enum { S_TASKS = 256, S_SCENARIOS, S_CONTENDERS, S_REQUIRE };

static const struct argp_option s_options[] = {
    { "tasks", S_TASKS, "N", 0, "How many tasks there are (default 20000)", 0 },
    { "size", 's', "SIZE", 0, "Bytes of a task's record (default 100)", 0 },
    { "scenarios", S_SCENARIOS, "LIST", 0, "Of lognormal,constant,slowdown,latecomer (default all)",
      0 },
    { "contenders", S_CONTENDERS, "LIST", 0,
      "Who takes part, with commas between, or all that are installed (default all)", 0 },
    { "pairs", LEAT_BENCH_OPTION_PAIRS, "N", 0,
      "Rounds; in each every contender has a turn (default 3)", 0 },
    { "seed", LEAT_BENCH_OPTION_SEED, "N", 0, "Of the tasks (default 1)", 0 },
    { "require", S_REQUIRE, "LIST", 0,
      "Exit with 1 if ideal / real of leat is below, such as lognormal=0.98,slowdown=0.95", 0 },
    { "json", LEAT_BENCH_OPTION_JSON, NULL, 0, "One object on stdout instead of a table", 0 },
    { 0 }
};

/* Calls take (..., item, size) for each item of a list with commas between. */
typedef void (s_take_fn) (struct argp_state *state, leat_bench_balance_options_t *self,
                          const char *item, size_t size, const char *list);

static void s_each (struct argp_state *state, leat_bench_balance_options_t *self, const char *list,
                    s_take_fn *take)
{
    for (const char *item = list; item;) {
        size_t size = strcspn (item, ",");
        take (state, self, item, size, list);
        item = item[size] ? item + size + 1 : NULL;
    }
}

static void s_take_scenario (struct argp_state *state, leat_bench_balance_options_t *self,
                             const char *item, size_t size, const char *list)
{
    leat_bench_scenario_t scenario = leat_bench_scenario_find (item, size);
    if (scenario == LEAT_BENCH_SCENARIOS || self->scenarios[scenario])
        argp_error (state,
                    "--scenarios wants some of lognormal,constant,slowdown,latecomer, each once, "
                    "not '%s'",
                    list);
    else
        self->scenarios[scenario] = true;
}

static void s_take_balancer (struct argp_state *state, leat_bench_balance_options_t *self,
                             const char *item, size_t size, const char *list)
{
    const leat_bench_balancer_t *balancer = leat_bench_balancer_find (item, size);
    if (!balancer) {
        argp_error (state,
                    "--contenders '%s': this program has no '%.*s'; `leat bench balance "
                    "--help` lists those that it has",
                    list, (int) size, item);
        return;
    }
    for (unsigned i = 0; i < self->balancers_count; i++)
        if (self->balancers[i] == balancer)
            argp_error (state, "--contenders wants each once, not '%s'", list);
    if (!leat_bench_server_installed (balancer->server))
        argp_error (state, "--contenders: '%s' needs the program %s, which is not installed here",
                    balancer->name, balancer->server);
    if (self->balancers_count < LEAT_BENCH_BALANCERS_MAX)
        self->balancers[self->balancers_count++] = balancer;
}

static void s_take_requirement (struct argp_state *state, leat_bench_balance_options_t *self,
                                const char *item, size_t size, const char *list)
{
    size_t name_size = strcspn (item, "=,");
    leat_bench_scenario_t scenario = leat_bench_scenario_find (item, name_size);
    char number[32] = "";
    if (name_size < size && size - name_size - 1 < sizeof number)
        memcpy (number, item + name_size + 1, size - name_size - 1);
    if (scenario == LEAT_BENCH_SCENARIOS || !number[0])
        argp_error (state,
                    "--require wants SCENARIO=RATIO, more of them with commas between, such "
                    "as lognormal=0.98,constant=0.98, not '%s'",
                    list);
    else
        self->require[scenario] = leat_bench_option_number (state, "require", number, false);
}

/* What only the whole command line tells. */
static void s_finish (struct argp_state *state, leat_bench_balance_options_t *self)
{
    bool any = false;
    for (unsigned i = 0; i < LEAT_BENCH_SCENARIOS; i++)
        any = any || self->scenarios[i];
    for (unsigned i = 0; !any && i < LEAT_BENCH_SCENARIOS; i++)
        self->scenarios[i] = true;
    if (!self->balancers_count)
        for (unsigned i = 0; leat_bench_balancers[i]; i++)
            if (leat_bench_server_installed (leat_bench_balancers[i]->server)
                && self->balancers_count < LEAT_BENCH_BALANCERS_MAX)
                self->balancers[self->balancers_count++] = leat_bench_balancers[i];

    bool leat = false;
    for (unsigned i = 0; i < self->balancers_count; i++)
        leat = leat || self->balancers[i] == &leat_bench_balance_leat;
    for (unsigned i = 0; i < LEAT_BENCH_SCENARIOS; i++) {
        if (self->require[i] <= 0)
            continue;
        if (!leat)
            argp_error (state, "--require is about leat, which is not among the contenders");
        if (!self->scenarios[i])
            argp_error (state, "--require asks for %s, which is not among the scenarios",
                        leat_bench_scenario_name ((leat_bench_scenario_t) i));
    }
    /* Tasks dealt out in turn take 2 ms each in the mean, with one consumer that gets slow 12 ms;
     * twice that. */
    self->plan.timeout_ns = UINT64_C (60000000000) + self->plan.records * 25000000;
}

static error_t s_parse (int key, char *text, struct argp_state *state)
{
    leat_bench_balance_options_t *self = state->input;
    const leat_bench_common_options_t common = { .size = &self->plan.size,
                                                 .size_min = LEAT_BENCH_WORK_SIZE_MIN,
                                                 .size_max = LEAT_BENCH_WORK_SIZE_MAX,
                                                 .rounds = &self->rounds,
                                                 .rounds_max = 1000,
                                                 .seed = &self->plan.seed,
                                                 .json = &self->json };
    switch (key) {
    case S_TASKS:
        self->plan.records = leat_bench_option_count (state, "tasks", text, 1000000);
        return 0;
    case S_SCENARIOS:
        s_each (state, self, text, s_take_scenario);
        return 0;
    case S_CONTENDERS:
        if (strcmp (text, "all") != 0) /* as without the option */
            s_each (state, self, text, s_take_balancer);
        return 0;
    case S_REQUIRE:
        s_each (state, self, text, s_take_requirement);
        return 0;
    case ARGP_KEY_END:
        s_finish (state, self);
        return 0;
    default:
        return leat_bench_option_common (state, &common, key, text);
    }
}

static const char *s_known (const void *list, unsigned i, const char **server)
{
    const leat_bench_balancer_t *const *known = list;
    *server = known[i] ? known[i]->server : NULL;
    return known[i] ? known[i]->name : NULL;
}

static char *s_filter (int key, const char *text, void *input)
{
    (void) input;
    return leat_bench_help_names (key, text, s_known, leat_bench_balancers);
}

void leat_bench_balance_options_parse (leat_bench_balance_options_t *self, int argc, char **argv)
{
    static const struct argp argp = {
        .options = s_options,
        .parser = s_parse,
        .help_filter = s_filter,
        .doc =
            "How well tasks are spread over four consumers of speed 1, 2, 4 and 8.\v"
            "A task takes 1 ms in the mean on the fastest consumer (log-normal, sigma 1), so 8, "
            "4, 2 and 1 ms on the four; 20,000 of them take 10.7 s at best. All are published at "
            "once, and the clock runs from then until the last one is done. `ideal' is what a "
            "central queue without any delay would have needed for the same tasks with the "
            "service times that were measured; ideal / real 1.00 is perfect. In slowdown the "
            "consumer of speed 4 gets 20 times slower half-way through, in latecomer that of "
            "speed 8 joins when a third is done. Shown are medians over the rounds."
    };
    *self = (leat_bench_balance_options_t){
        .name = "leat bench balance",
        .rounds = 3,
        .plan = { .size = 100, .records = 20000, .seed = 1 },
    };
    leat_bench_option_parse (&argp, self->name, argc, argv, self);
}

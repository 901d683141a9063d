/* Reads the options of the benchmarks.
 * SPDX-License-Identifier: MPL-2.0 */
#include "bench/options.h"

#include <argp.h>
#include <stdlib.h>
#include <string.h>

#include "bench/option_values.h"
#include "bench/records.h"
#include "cli/text.h"

/* A body of this size fits a frame that every broker takes. */
#define S_SIZE_MAX ((uint64_t) 1024 * 1024 - 1024)

enum { S_FRAME = 256, S_CONTENDERS, S_REQUIRE, S_REQUIRE_PROXY };

#define S_COMMON_OPTIONS                                                                           \
    { "broker",                                                                                    \
      'b',                                                                                         \
      "ENDPOINT",                                                                                  \
      0,                                                                                           \
      "Measure the broker that runs there instead of starting one; clients run on this machine",   \
      0 },                                                                                         \
        { "size", 's', "SIZE", 0, "Bytes of a record, such as 100 or 4KiB (default 100)", 0 },     \
        { "seconds", 't', "SECONDS", 0, "How long a round measures (default 2; latency: 5)", 0 },  \
        { "warm-up",                                                                               \
          LEAT_BENCH_OPTION_WARM_UP,                                                               \
          "SECONDS",                                                                               \
          0,                                                                                       \
          "What comes before, unmeasured (default 0.5)",                                           \
          0 },                                                                                     \
        { "pairs",                                                                                 \
          LEAT_BENCH_OPTION_PAIRS,                                                                 \
          "N",                                                                                     \
          0,                                                                                       \
          "Rounds; in each every contender has a turn (default 5)",                                \
          0 },                                                                                     \
        { "contenders",                                                                            \
          S_CONTENDERS,                                                                            \
          "LIST",                                                                                  \
          0,                                                                                       \
          "Who takes part, with commas between, or all that are installed (default "               \
          "relay,proxy,router,leat; latency: relay,router,leat)",                                  \
          0 },                                                                                     \
        { "seed", LEAT_BENCH_OPTION_SEED, "N", 0, "Of the records' content (default 1)", 0 },      \
    {                                                                                              \
        "json", LEAT_BENCH_OPTION_JSON, NULL, 0, "One object on stdout instead of a table", 0      \
    }

static const struct argp_option s_throughput_options[] = {
    S_COMMON_OPTIONS,
    { "records", 'n', "N", 0, "Measure N records a round, whatever time they take", 0 },
    { "frame", S_FRAME, "SIZE", 0, "Frames of the router contender (default 256KiB)", 0 },
    { "require", S_REQUIRE, "LIST", 0,
      "Exit with 1 if the ratio of leat to a contender is below, such as relay=0.7,redis=20; a bare "
      "number is of relay",
      0 },
    { "require-proxy", S_REQUIRE_PROXY, "RATIO", 0, "The same as --require proxy=RATIO", 0 },
    { 0 }
};

static const struct argp_option s_latency_options[] = {
    S_COMMON_OPTIONS,
    { "rate", 'r', "N", 0, "Records a second (default 5000)", 0 },
    { "require", S_REQUIRE, "LIST", 0,
      "Exit with 1 if the ratio of the p50 of leat to a contender's is above, such as "
      "router=1.3,redis=1; a bare number is of router",
      0 },
    { 0 }
};

/* Requirements are about contenders, which may come later on the command line. */
typedef struct {
    leat_bench_options_t *options;
    const char *require;
    const char *require_proxy;
} s_input_t;

/* What only the whole command line tells. */
static void s_finish (struct argp_state *state, s_input_t *input)
{
    leat_bench_options_t *self = input->options;
    leat_bench_plan_t *plan = &self->plan;
    if (!self->contenders.count)
        leat_bench_contenders_parse (&self->contenders, state, leat_bench_contenders,
                                     self->latency ? "relay,router,leat"
                                                   : "relay,proxy,router,leat");
    if (input->require)
        leat_bench_contenders_require (&self->contenders, state,
                                       self->latency ? &leat_bench_router : &leat_bench_relay,
                                       input->require);
    if (input->require_proxy)
        leat_bench_contenders_require (&self->contenders, state, &leat_bench_proxy,
                                       input->require_proxy);

    if (plan->rate > 0) {
        plan->warm_up = (uint64_t) (plan->rate * self->warm_up_seconds) + 1;
        plan->records = (uint64_t) (plan->rate * self->seconds) + 1;
        if (plan->records > 50 * 1000 * 1000)
            argp_error (state, "--rate times --seconds is more than 50 million samples");
    } else if (plan->records) {
        plan->warm_up = plan->records / 5;
    }
    plan->measure_ns = (uint64_t) (self->seconds * 1e9);
    plan->warm_up_ns = (uint64_t) (self->warm_up_seconds * 1e9);
    /* Counted records may take long at the pace of the slowest contender. */
    plan->timeout_ns = plan->measure_ns + plan->warm_up_ns + UINT64_C (30000000000)
                       + (plan->rate > 0 ? 0 : plan->records * 100000);
}

static error_t s_parse (int key, char *text, struct argp_state *state)
{
    s_input_t *input = state->input;
    leat_bench_options_t *self = input->options;
    const char *why;
    const leat_bench_common_options_t common = { .size = &self->plan.size,
                                                 .size_min = self->latency
                                                                 ? LEAT_BENCH_SIZE_MIN
                                                                 : LEAT_BENCH_SIZE_MIN_UNPACED,
                                                 .size_max = S_SIZE_MAX,
                                                 .seconds = &self->seconds,
                                                 .warm_up_seconds = &self->warm_up_seconds,
                                                 .rounds = &self->rounds,
                                                 .rounds_max = LEAT_BENCH_ROUNDS_MAX,
                                                 .seed = &self->plan.seed,
                                                 .json = &self->json };
    switch (key) {
    case 'b':
        why = leat_text_endpoint_check (text);
        if (why)
            argp_error (state, "--broker '%s': %s", text, why);
        if (strlen (text) >= sizeof ((leat_bench_round_t *) NULL)->front)
            argp_error (state, "--broker: an endpoint is not that long");
        self->plan.broker = text;
        return 0;
    case 'n':
        self->plan.records = leat_bench_option_count (state, "records", text, UINT64_C (1) << 40);
        return 0;
    case 'r':
        self->plan.rate = leat_bench_option_number (state, "rate", text, false);
        return 0;
    case S_FRAME:
        self->plan.frame_size =
            leat_bench_option_size (state, "frame", text, 1, (uint64_t) 64 << 20);
        return 0;
    case S_CONTENDERS:
        leat_bench_contenders_parse (&self->contenders, state, leat_bench_contenders, text);
        return 0;
    case S_REQUIRE:
        input->require = text;
        return 0;
    case S_REQUIRE_PROXY:
        leat_bench_option_number (state, "require-proxy", text, false);
        input->require_proxy = text;
        return 0;
    case ARGP_KEY_END:
        s_finish (state, input);
        return 0;
    default:
        return leat_bench_option_common (state, &common, key, text);
    }
}

static char *s_filter (int key, const char *text, void *input)
{
    (void) input;
    return leat_bench_contenders_help (key, text, leat_bench_contenders);
}

void leat_bench_options_parse (leat_bench_options_t *self, bool latency, int argc, char **argv)
{
    static const struct argp throughput = {
        .options = s_throughput_options,
        .parser = s_parse,
        .help_filter = s_filter,
        .doc = "How many records a second go from a producer through a broker to a consumer, "
               "and how that compares with the machine and with bare libzmq.\v"
               "Every contender runs as three processes on loopback, one after the other in "
               "each round; every record is compared with what was sent. Measured is the time "
               "at the consumer from the first record behind the warm-up to the last one; only "
               "the records' bodies count. Shown are medians over the rounds."
    };
    static const struct argp delays = {
        .options = s_latency_options,
        .parser = s_parse,
        .help_filter = s_filter,
        .doc = "How long a record takes from a producer through a broker to a consumer's "
               "callback, at a fixed rate.\v"
               "Every contender runs as three processes on loopback, one after the other in "
               "each round. The time starts when a record was meant to be sent, so that a "
               "stall counts for all records that it delays. Percentiles are of all samples "
               "of a round; shown are their medians over the rounds."
    };
    *self = (leat_bench_options_t){
        .name = latency ? "leat bench latency" : "leat bench throughput",
        .latency = latency,
        .seconds = latency ? 5 : 2,
        .warm_up_seconds = 0.5,
        .rounds = 5,
        .plan = { .size = 100,
                  .rate = latency ? 5000 : 0,
                  .frame_size = (size_t) 256 * 1024,
                  .seed = 1 },
    };
    s_input_t input = { .options = self };
    leat_bench_option_parse (latency ? &delays : &throughput, self->name, argc, argv, &input);
}

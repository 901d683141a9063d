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
          "Who takes part, of relay,proxy,router,leat (default all of them that apply)",           \
          0 },                                                                                     \
        { "seed", LEAT_BENCH_OPTION_SEED, "N", 0, "Of the records' content (default 1)", 0 },      \
    {                                                                                              \
        "json", LEAT_BENCH_OPTION_JSON, NULL, 0, "One object on stdout instead of a table", 0      \
    }

static const struct argp_option s_throughput_options[] = {
    S_COMMON_OPTIONS,
    { "records", 'n', "N", 0, "Measure N records a round, whatever time they take", 0 },
    { "frame", S_FRAME, "SIZE", 0, "Frames of the router contender (default 256KiB)", 0 },
    { "require", S_REQUIRE, "RATIO", 0, "Exit with 1 if leat / relay is below RATIO", 0 },
    { "require-proxy", S_REQUIRE_PROXY, "RATIO", 0, "Exit with 1 if leat / proxy is below RATIO",
      0 },
    { 0 }
};

static const struct argp_option s_latency_options[] = {
    S_COMMON_OPTIONS,
    { "rate", 'r', "N", 0, "Records a second (default 5000)", 0 },
    { "require", S_REQUIRE, "RATIO", 0, "Exit with 1 if p50 of leat / router is above RATIO", 0 },
    { 0 }
};

static void s_contenders (struct argp_state *state, leat_bench_options_t *self, const char *list)
{
    self->contenders_count = 0;
    for (const char *name = list; name;) {
        size_t size = strcspn (name, ",");
        const leat_bench_contender_t *contender = leat_bench_contender_find (name, size);
        if (!contender || leat_bench_options_index (self, contender) >= 0)
            argp_error (state,
                        "--contenders wants some of relay,proxy,router,leat, each once, not '%s'",
                        list);
        else
            self->contenders[self->contenders_count++] = contender;
        name = name[size] ? name + size + 1 : NULL;
    }
}

/* What only the whole command line tells. */
static void s_finish (struct argp_state *state, leat_bench_options_t *self)
{
    leat_bench_plan_t *plan = &self->plan;
    if (!self->contenders_count)
        s_contenders (state, self, self->latency ? "relay,router,leat" : "relay,proxy,router,leat");

    const leat_bench_contender_t *other = self->latency ? &leat_bench_router : &leat_bench_relay;
    bool leat = leat_bench_options_index (self, &leat_bench_leat) >= 0;
    if (self->require > 0 && (!leat || leat_bench_options_index (self, other) < 0))
        argp_error (state, "--require compares leat with %s; both must be contenders", other->name);
    if (self->require_proxy > 0
        && (!leat || leat_bench_options_index (self, &leat_bench_proxy) < 0))
        argp_error (state, "--require-proxy compares leat with proxy; both must be contenders");

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
                       + (plan->rate > 0 ? 0 : plan->records * 10000);
}

static error_t s_parse (int key, char *text, struct argp_state *state)
{
    leat_bench_options_t *self = state->input;
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
        s_contenders (state, self, text);
        return 0;
    case S_REQUIRE:
        self->require = leat_bench_option_number (state, "require", text, false);
        return 0;
    case S_REQUIRE_PROXY:
        self->require_proxy = leat_bench_option_number (state, "require-proxy", text, false);
        return 0;
    case ARGP_KEY_END:
        s_finish (state, self);
        return 0;
    default:
        return leat_bench_option_common (state, &common, key, text);
    }
}

void leat_bench_options_parse (leat_bench_options_t *self, bool latency, int argc, char **argv)
{
    static const struct argp throughput = {
        .options = s_throughput_options,
        .parser = s_parse,
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
    leat_bench_option_parse (latency ? &delays : &throughput, self->name, argc, argv, self);
}

int leat_bench_options_index (const leat_bench_options_t *self,
                              const leat_bench_contender_t *contender)
{
    for (unsigned i = 0; i < self->contenders_count; i++)
        if (self->contenders[i] == contender)
            return (int) i;
    return -1;
}

/* The options of `leat bench durable`.
 * SPDX-License-Identifier: MPL-2.0 */
#include "bench/durable_options.h"

#include <stdlib.h>
#include <string.h>

#include "bench/durable_round.h"
#include "bench/option_values.h"
#include "bench/records.h"
#include "cli/units.h"
#include "wire/alloc.h"

#define S_SIZE_MAX 65536
#define S_SWING_MIN (UINT64_C (1) << 20)

enum { S_REQUIRE = 256, S_REQUIRE_SINGLE, S_SWING, S_CONTENDERS };

static const struct argp_option s_option_table[] = {
    { "directory", 'd', "DIR", 0,
      "Make the files in a new folder in DIR, which is removed at the end (default: the current "
      "directory)",
      0 },
    { "size", 's', "SIZE", 0, "Bytes of a record (default 100)", 0 },
    { "seconds", 't', "SECONDS", 0, "How long each part of a round goes on (default 1)", 0 },
    { "records", 'n', "N", 0,
      "Send N records, whatever time they take; one at a time at most N, and no longer than "
      "--seconds",
      0 },
    { "pairs", LEAT_BENCH_OPTION_PAIRS, "N", 0,
      "Rounds (default 5), or with --swing swings (default 2)", 0 },
    { "seed", LEAT_BENCH_OPTION_SEED, "N", 0, "Of the records' content (default 1)", 0 },
    { "contenders", S_CONTENDERS, "LIST", 0,
      "Who takes part, with commas between, or all that are installed (default leat,lmdb,file); "
      "lmdb and file need leat",
      0 },
    { "require", S_REQUIRE, "LIST", 0,
      "Exit with 1 if records a second of leat / a contender are below, such as lmdb=0.5,redis=15; "
      "a bare number is of lmdb",
      0 },
    { "require-single", S_REQUIRE_SINGLE, "RATIO", 0,
      "Exit with 1 if the p50 of one record at a time is more than RATIO of LMDB's", 0 },
    { "swing", S_SWING, "SIZE..SIZE", 0,
      "Measure how long commits take while the backlog of 50 streams goes up and down between the "
      "two sizes, and nothing else",
      0 },
    { "json", LEAT_BENCH_OPTION_JSON, NULL, 0, "One object on stdout instead of a table", 0 },
    { 0 }
};

/* SIZE..SIZE */
static void s_parse_swing (struct argp_state *state, leat_bench_durable_options_t *self,
                           const char *text)
{
    const char *why = "between the two sizes belongs '..', as in 100MiB..4GiB";
    char *low = leat_copy_text (text, strlen (text));
    char *dots = strstr (low, "..");
    if (dots)
        *dots = '\0';
    bool good = dots && leat_size_parse (low, &self->swing_low, &why)
                && leat_size_parse (dots + 2, &self->swing_high, &why);
    free (low);
    if (!good)
        argp_error (state, "--swing '%s': %s", text, why);
    else if (self->swing_low < S_SWING_MIN || self->swing_high < 2 * self->swing_low)
        argp_error (state,
                    "--swing '%s': the first size is at least 1MiB, the second at least twice it",
                    text);
}

/* Requirements are about contenders, which may come later on the command line. */
typedef struct {
    leat_bench_durable_options_t *options;
    const char *require;
} s_input_t;

static error_t s_parse_value (int key, char *text, struct argp_state *state)
{
    s_input_t *input = state->input;
    leat_bench_durable_options_t *self = input->options;
    const leat_bench_common_options_t common = { .size = &self->plan.size,
                                                 .size_min = LEAT_BENCH_SIZE_MIN,
                                                 .size_max = S_SIZE_MAX,
                                                 .seconds = &self->seconds,
                                                 .rounds = &self->rounds,
                                                 .rounds_max = LEAT_BENCH_DURABLE_ROUNDS_MAX,
                                                 .seed = &self->plan.seed,
                                                 .json = &self->json };
    switch (key) {
    case 'd':
        self->directory = text;
        return 0;
    case 'n':
        self->plan.records = leat_bench_option_count (state, "records", text, UINT64_C (1) << 40);
        return 0;
    case S_CONTENDERS:
        leat_bench_contenders_parse (&self->contenders, state, leat_bench_durable_contenders, text);
        return 0;
    case S_REQUIRE:
        input->require = text;
        return 0;
    case S_REQUIRE_SINGLE:
        self->require_single = leat_bench_option_number (state, "require-single", text, false);
        return 0;
    case S_SWING:
        s_parse_swing (state, self, text);
        return 0;
    default:
        return leat_bench_option_common (state, &common, key, text);
    }
}

/* Who takes part when the whole command line is known, and what is asked of them. */
static void s_finish_contenders (struct argp_state *state, s_input_t *input)
{
    leat_bench_durable_options_t *self = input->options;
    leat_bench_contenders_t *contenders = &self->contenders;
    if (self->swing_high && (contenders->count || input->require || self->require_single > 0))
        argp_error (state, "--contenders, --require and --require-single are not for --swing");
    if (!contenders->count)
        leat_bench_contenders_parse (contenders, state, leat_bench_durable_contenders,
                                     "leat,lmdb,file");
    bool leat = leat_bench_contenders_index (contenders, &leat_bench_leat) >= 0;
    bool lmdb = leat_bench_contenders_index (contenders, &leat_bench_lmdb) >= 0;
    bool file = leat_bench_contenders_index (contenders, &leat_bench_file) >= 0;
    if (!leat && (lmdb || file))
        argp_error (state, "--contenders: lmdb and file do what leat did, which must take part");
    if (self->require_single > 0 && !lmdb)
        argp_error (state, "--require-single compares leat with lmdb; both must be contenders");
    if (input->require)
        leat_bench_contenders_require (contenders, state, &leat_bench_lmdb, input->require);
}

static error_t s_parse (int key, char *text, struct argp_state *state)
{
    s_input_t *input = state->input;
    leat_bench_durable_options_t *self = input->options;
    if (key != ARGP_KEY_END)
        return s_parse_value (key, text, state);
    s_finish_contenders (state, input);
    if (self->swing_high && self->rounds > LEAT_BENCH_SWINGS_MAX)
        argp_error (state, "with --swing, --pairs is at most %d", LEAT_BENCH_SWINGS_MAX);
    if (!self->rounds)
        self->rounds = self->swing_high ? 2 : 5;
    self->plan.measure_ns = (uint64_t) (self->seconds * 1e9);
    /* Disks can be slow. */
    self->plan.timeout_ns =
        10 * self->plan.measure_ns + UINT64_C (120000000000) + self->plan.records * 100000;
    return 0;
}

static char *s_filter (int key, const char *text, void *input)
{
    (void) input;
    return leat_bench_contenders_help (key, text, leat_bench_durable_contenders);
}

void leat_bench_durable_options_parse (leat_bench_durable_options_t *self, int argc, char **argv)
{
    static const struct argp argp = {
        .options = s_option_table,
        .parser = s_parse,
        .help_filter = s_filter,
        .doc = "What durable streams cost beside what the disk does for LMDB alone and for a plain "
               "file.\v"
               "In each round records go from a producer through a broker to a consumer, all "
               "confirmed, compared and settled; then LMDB replays the transactions that the store "
               "made of them, and a file takes as many bytes, synced each MiB. After that a "
               "producer sends single records, each when the one before is confirmed, and LMDB and "
               "a file do the like. Shown are medians over the rounds."
    };
    *self = (leat_bench_durable_options_t){ .name = "leat bench durable",
                                            .directory = ".",
                                            .seconds = 1,
                                            .plan = { .size = 100, .seed = 1 } };
    s_input_t input = { .options = self };
    leat_bench_option_parse (&argp, self->name, argc, argv, &input);
}

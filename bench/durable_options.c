/* The options of `leat bench durable`.
 * SPDX-License-Identifier: MPL-2.0 */
#include "bench/durable_options.h"

#include <stdlib.h>
#include <string.h>

#include "bench/option_values.h"
#include "bench/records.h"
#include "cli/units.h"
#include "wire/alloc.h"

#define S_SIZE_MAX 65536
#define S_SWING_MIN (UINT64_C (1) << 20)

enum { S_REQUIRE = 256, S_REQUIRE_SINGLE, S_SWING };

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
    { "require", S_REQUIRE, "RATIO", 0,
      "Exit with 1 if the time that LMDB alone takes is less than RATIO of Leat's", 0 },
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

static error_t s_parse_value (int key, char *text, struct argp_state *state)
{
    leat_bench_durable_options_t *self = state->input;
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
    case S_REQUIRE:
        self->require = leat_bench_option_number (state, "require", text, false);
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

static error_t s_parse (int key, char *text, struct argp_state *state)
{
    leat_bench_durable_options_t *self = state->input;
    if (key != ARGP_KEY_END)
        return s_parse_value (key, text, state);
    if (self->swing_high && (self->require > 0 || self->require_single > 0))
        argp_error (state, "--require and --require-single are not for --swing");
    if (self->swing_high && self->rounds > LEAT_BENCH_SWINGS_MAX)
        argp_error (state, "with --swing, --pairs is at most %d", LEAT_BENCH_SWINGS_MAX);
    if (!self->rounds)
        self->rounds = self->swing_high ? 2 : 5;
    self->plan.measure_ns = (uint64_t) (self->seconds * 1e9);
    /* Disks can be slow. */
    self->plan.timeout_ns =
        10 * self->plan.measure_ns + UINT64_C (120000000000) + self->plan.records * 10000;
    return 0;
}

void leat_bench_durable_options_parse (leat_bench_durable_options_t *self, int argc, char **argv)
{
    static const struct argp argp = {
        .options = s_option_table,
        .parser = s_parse,
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
    leat_bench_option_parse (&argp, self->name, argc, argv, self);
}

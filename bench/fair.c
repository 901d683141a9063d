/* `leat bench fair`: what a flood in other streams does to a paced one.
 * SPDX-License-Identifier: MPL-2.0 */
#include "bench/fair.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "bench/json.h"
#include "bench/leat.h"
#include "bench/option_values.h"
#include "bench/paced.h"
#include "bench/processes.h"
#include "bench/records.h"
#include "bench/statistics.h"
#include "bench/swarm.h"
#include "cli/message.h"
#include "wire/alloc.h"

/* How long all have after the measuring to bring what is under way to its end. */
#define S_END_NS UINT64_C (60000000000)
#define S_SIZE_MAX 65536
#define S_ROUNDS_MAX 1000

typedef struct {
    const char *name;
    leat_bench_plan_t plan;
    unsigned flood; /* producers */
    unsigned rounds;
    int nice; /* of the brokers */
    double seconds;
    double warm_up_seconds;
    bool json;
} s_options_t;

/* ---- options --------------------------------------------------------------------------------- */

enum { S_FLOOD = 256, S_NICE };

static const struct argp_option s_option_table[] = {
    { "flood", S_FLOOD, "N", 0,
      "Producers that flood, each a stream of its own with a consumer, up to 2000 (default 64)",
      0 },
    { "rate", 'r', "N", 0, "Records a second of the paced stream (default 1000)", 0 },
    { "size", 's', "SIZE", 0, "Bytes of a record (default 100)", 0 },
    { "seconds", 't', "SECONDS", 0, "How long a round measures (default 5)", 0 },
    { "warm-up", LEAT_BENCH_OPTION_WARM_UP, "SECONDS", 0,
      "What comes before, unmeasured (default 1)", 0 },
    { "nice", S_NICE, "N", 0,
      "Niceness of the brokers, -20 to 19; below 0 needs the privilege (default 0)", 0 },
    { "pairs", LEAT_BENCH_OPTION_PAIRS, "N", 0, "Rounds; each has one of every row (default 3)",
      0 },
    { "seed", LEAT_BENCH_OPTION_SEED, "N", 0, "Of the records' content (default 1)", 0 },
    { "json", LEAT_BENCH_OPTION_JSON, NULL, 0, "One object on stdout instead of a table", 0 },
    { 0 }
};

static void s_finish (struct argp_state *state, s_options_t *self)
{
    leat_bench_plan_t *plan = &self->plan;
    if (plan->rate * self->seconds > 50e6)
        argp_error (state, "--rate times --seconds is more than 50 million samples");
    plan->warm_up = (uint64_t) (plan->rate * self->warm_up_seconds) + 1;
    plan->records = (uint64_t) (plan->rate * self->seconds) + 1;
}

static int s_niceness (struct argp_state *state, const char *text)
{
    char *end;
    errno = 0;
    long nice = strtol (text, &end, 10);
    if (errno || end == text || *end || nice < -20 || nice > 19)
        argp_error (state, "--nice is '%s', but a niceness is a number from -20 to 19", text);
    return (int) nice;
}

static error_t s_parse (int key, char *text, struct argp_state *state)
{
    s_options_t *self = state->input;
    const leat_bench_common_options_t common = { .size = &self->plan.size,
                                                 .size_min = LEAT_BENCH_SIZE_MIN,
                                                 .size_max = S_SIZE_MAX,
                                                 .seconds = &self->seconds,
                                                 .warm_up_seconds = &self->warm_up_seconds,
                                                 .rounds = &self->rounds,
                                                 .rounds_max = S_ROUNDS_MAX,
                                                 .seed = &self->plan.seed,
                                                 .json = &self->json };
    switch (key) {
    case 'r':
        self->plan.rate = leat_bench_option_number (state, "rate", text, false);
        return 0;
    case S_FLOOD:
        self->flood =
            (unsigned) leat_bench_option_count (state, "flood", text, LEAT_BENCH_SWARM_MAX);
        return 0;
    case S_NICE:
        self->nice = s_niceness (state, text);
        return 0;
    case ARGP_KEY_END:
        s_finish (state, self);
        return 0;
    default:
        return leat_bench_option_common (state, &common, key, text);
    }
}

static void s_options_parse (s_options_t *self, int argc, char **argv)
{
    static const struct argp argp = {
        .options = s_option_table,
        .parser = s_parse,
        .doc = "How long records and settles of a paced stream take: alone; while other "
               "producers flood other streams of another broker, so that only the "
               "processors are shared; while they flood other streams of the same broker.\v"
               "A record's time starts when it was meant to be sent and ends when its consumer has "
               "compared it; a settle's starts with the ack and ends when leat_consumer_flush "
               "returns. All records of the flood are consumed and compared as well. Percentiles "
               "are of all samples of a round; shown are their medians over the rounds."
    };
    *self = (s_options_t){ .name = "leat bench fair",
                           .flood = 64,
                           .rounds = 3,
                           .seconds = 5,
                           .warm_up_seconds = 1,
                           .plan = { .size = 100, .rate = 1000, .seed = 1 } };
    leat_bench_option_parse (&argp, self->name, argc, argv, self);
}

/* ---- a round --------------------------------------------------------------------------------- */

enum {
    S_RECORD_P50,
    S_RECORD_P99,
    S_RECORD_MAX,
    S_SETTLE_P50,
    S_SETTLE_P99,
    S_SETTLE_MAX,
    S_FLOOD_RATE,
    S_VALUES
};

static const char *const s_value_names[S_VALUES] = { "record_p50_us",           "record_p99_us",
                                                     "record_max_us",           "settle_p50_us",
                                                     "settle_p99_us",           "settle_max_us",
                                                     "flood_records_per_second" };

/* Where the flood is. */
typedef enum { S_QUIET, S_APART, S_FLOODED, S_SCENES } s_scene_t;

static const char *const s_scene_names[S_SCENES] = { "quiet", "apart", "flooded" };

typedef struct {
    double values[S_SCENES][S_VALUES][S_ROUNDS_MAX];
} s_result_t;

/* What takes part in a round. */
typedef struct {
    leat_bench_processes_t *processes;
    leat_bench_round_t *round;
    leat_bench_paced_t *paced;
    leat_bench_swarm_t *flood;       /* NULL if there is none */
    leat_bench_round_t *flood_round; /* `round`, or its own, with a broker of its own */
} s_round_t;

typedef struct {
    leat_bench_round_t *round;
    int nice;
} s_broker_t;

static int s_broker (void *arg, int ready)
{
    const s_broker_t *self = arg;
    if (self->nice && setpriority (PRIO_PROCESS, 0, self->nice)) {
        leat_bench_round_fail (self->round, "a broker cannot have niceness %d: %s", self->nice,
                               strerror (errno));
        return 1;
    }
    return leat_bench_broker_run (self->round, ready);
}

static int s_produce (void *arg, int ready)
{
    return leat_bench_leat.roles[LEAT_BENCH_PRODUCER](arg, ready);
}

static bool s_start_flood (s_round_t *self, double seconds)
{
    leat_bench_swarm_t *flood = self->flood;
    leat_bench_round_t *round = self->flood_round;
    if (leat_bench_processes_start (self->processes, "flood's consumers", leat_bench_swarm_consume,
                                    flood, round)
            < 0
        || leat_bench_processes_start (self->processes, "flood's producers",
                                       leat_bench_swarm_produce, flood, round)
               < 0)
        return false;
    leat_bench_swarm_go (flood);
    return leat_bench_processes_pause (self->processes, seconds, round);
}

/* One broker, or two. Returns how many, or 0 if one failed. */
static int s_start_brokers (s_round_t *self, int nice)
{
    s_broker_t broker = { self->round, nice };
    s_broker_t own = { self->flood_round, nice };
    if (leat_bench_processes_start (self->processes, "broker", s_broker, &broker, broker.round) < 0)
        return 0;
    if (own.round == broker.round)
        return 1;
    if (leat_bench_processes_start (self->processes, "flood's broker", s_broker, &own, own.round)
        < 0)
        return 0;
    return 2;
}

static bool s_measure_paced (s_round_t *self, const s_options_t *options)
{
    leat_bench_round_t *round = self->round;
    int first = leat_bench_processes_start (self->processes, "consumer", leat_bench_paced_consume,
                                            self->paced, round);
    if (first < 0
        || leat_bench_processes_start (self->processes, "producer", s_produce, round, round) < 0)
        return false;
    double seconds = options->warm_up_seconds + options->seconds;
    uint64_t deadline_ns = leat_bench_now_ns () + (uint64_t) (seconds * 1e9) + S_END_NS;
    if (leat_bench_processes_wait (self->processes, first, deadline_ns, round))
        return true;
    leat_bench_round_fail (round, "the paced stream did not come to its end");
    return false;
}

/* The paced stream begins when the flood has flowed for as long as the warm-up. */
static bool s_measure (s_round_t *self, const s_options_t *options, double *flood_rate)
{
    leat_bench_swarm_t *flood = self->flood;
    int brokers = s_start_brokers (self, options->nice);
    if (!brokers || (flood && !s_start_flood (self, options->warm_up_seconds)))
        return false;
    uint64_t before = flood ? leat_bench_swarm_received (flood) : 0;
    uint64_t start_ns = leat_bench_now_ns ();
    if (!s_measure_paced (self, options))
        return false;
    if (!flood)
        return true;
    *flood_rate = (double) (leat_bench_swarm_received (flood) - before) * 1e9
                  / (double) (leat_bench_now_ns () - start_ns);
    leat_bench_swarm_stop (flood);
    if (leat_bench_processes_wait (self->processes, brokers, leat_bench_now_ns () + S_END_NS,
                                   self->flood_round))
        return true;
    leat_bench_round_fail (self->round, "the flood did not come to its end");
    return false;
}

static void s_keep (double (*values)[S_ROUNDS_MAX], unsigned i, leat_bench_paced_t *paced)
{
    static const unsigned thousandths[] = { 500, 990, 1000 };
    leat_bench_round_t *round = paced->round;
    for (unsigned k = 0; k < 3; k++) {
        values[S_RECORD_P50 + k][i] =
            (double) leat_bench_percentile (round->samples, round->samples_count, thousandths[k])
            / 1e3;
        values[S_SETTLE_P50 + k][i] =
            (double) leat_bench_percentile (paced->settles_ns, paced->settles_count, thousandths[k])
            / 1e3;
    }
}

/* False if there is no memory to share. */
static bool s_round_begin (s_round_t *self, const s_options_t *options, s_scene_t scene)
{
    self->round = leat_bench_round_new (&options->plan, options->plan.records);
    if (!self->round)
        return false;
    snprintf (self->round->stream, sizeof self->round->stream, "bench.%ld", (long) getpid ());
    self->flood_round = scene == S_APART ? leat_bench_round_new (&options->plan, 0) : self->round;
    self->paced = leat_bench_paced_new (self->round);
    if (!self->flood_round || !self->paced)
        return false;
    memcpy (self->flood_round->stream, self->round->stream, sizeof self->round->stream);
    const leat_bench_shape_t shape = { options->flood, options->flood, options->flood };
    if (scene != S_QUIET)
        self->flood = leat_bench_swarm_new (self->flood_round, &shape);
    return scene == S_QUIET || self->flood;
}

static void s_round_end (s_round_t *self)
{
    leat_bench_swarm_destroy (&self->flood);
    leat_bench_paced_destroy (&self->paced);
    if (self->flood_round != self->round)
        leat_bench_round_destroy (&self->flood_round);
    leat_bench_round_destroy (&self->round);
}

static bool s_turn (leat_bench_processes_t *processes, const s_options_t *options, unsigned i,
                    s_scene_t scene, s_result_t *result)
{
    s_round_t self = { .processes = processes };
    bool good = s_round_begin (&self, options, scene);
    if (!good) {
        leat_message (options->name, "no memory to share: %s", strerror (errno));
        s_round_end (&self);
        return false;
    }
    if (isatty (STDERR_FILENO))
        fprintf (stderr, "\r\033[Kround %u of %u: %s", i + 1, options->rounds,
                 s_scene_names[scene]);
    good = s_measure (&self, options, &result->values[scene][S_FLOOD_RATE][i]);
    leat_bench_processes_end (processes, self.round);
    if (isatty (STDERR_FILENO))
        fprintf (stderr, "\r\033[K");
    if (good && (!self.round->samples_count || !self.paced->settles_count)) {
        leat_bench_round_fail (self.round, "nothing was measured");
        good = false;
    }
    if (good)
        s_keep (result->values[scene], i, self.paced);
    else
        leat_message (options->name, "%s, round %u of %u: %s", s_scene_names[scene], i + 1,
                      options->rounds,
                      self.flood_round->error[0] ? self.flood_round->error : self.round->error);
    s_round_end (&self);
    return good;
}

/* ---- what came out --------------------------------------------------------------------------- */

static bool s_print (const s_options_t *options, const s_result_t *result)
{
    unsigned rounds = options->rounds;
    printf ("records of %zu bytes, %.0f a second, %u round%s, %ld processors; microseconds\n\n",
            options->plan.size, options->plan.rate, rounds, rounds == 1 ? "" : "s",
            sysconf (_SC_NPROCESSORS_ONLN));
    printf ("%-15s %29s %29s   %s\n", "", "record, to its consumer", "settle, to the broker",
            "records/s");
    printf ("%-15s %9s %9s %9s %9s %9s %9s   %s\n", "", "p50", "p99", "max", "p50", "p99", "max",
            "of the flood");
    for (s_scene_t scene = 0; scene < S_SCENES; scene++) {
        printf ("%-15s", s_scene_names[scene]);
        for (unsigned k = 0; k < S_FLOOD_RATE; k++)
            printf (" %9.1f", leat_bench_median (result->values[scene][k], rounds));
        printf (" %14.0f\n", leat_bench_median (result->values[scene][S_FLOOD_RATE], rounds));
    }
    printf ("%-15s", "flooded / apart");
    for (unsigned k = 0; k < S_FLOOD_RATE; k++)
        printf (" %9.2f",
                leat_bench_ratio (result->values[S_FLOODED][k], result->values[S_APART][k], rounds)
                    .ratio);
    printf ("\n\nthe flood: %u producers, each with a stream and a consumer of its own; apart: at "
            "another broker\n",
            options->flood);
    return fflush (stdout) == 0;
}

static bool s_print_json (const s_options_t *options, const s_result_t *result)
{
    json_t *root = json_pack (
        "{s:s, s:I, s:I, s:I, s:I, s:f}", "benchmark", "fair", "flood", (json_int_t) options->flood,
        "record_size", (json_int_t) options->plan.size, "rounds", (json_int_t) options->rounds,
        "processors", (json_int_t) sysconf (_SC_NPROCESSORS_ONLN), "rate", options->plan.rate);
    for (s_scene_t scene = 0; scene < S_SCENES; scene++) {
        json_t *object = json_object ();
        for (unsigned k = 0; k < S_VALUES; k++)
            json_object_set_new (
                object, s_value_names[k],
                leat_bench_json_values (result->values[scene][k], options->rounds));
        json_object_set_new (root, s_scene_names[scene], object);
    }
    return leat_bench_json_print (root);
}

int leat_bench_fair_command (int argc, char **argv)
{
    s_options_t options;
    s_options_parse (&options, argc, argv);
    s_result_t *result = leat_alloc (sizeof *result);
    leat_bench_processes_t *processes = leat_bench_processes_new ();
    bool good = true;
    for (unsigned i = 0; good && i < options.rounds; i++)
        for (s_scene_t scene = 0; good && scene < S_SCENES; scene++)
            good = s_turn (processes, &options, i, scene, result);
    leat_bench_processes_destroy (&processes);
    if (good) {
        good = options.json ? s_print_json (&options, result) : s_print (&options, result);
        if (!good)
            leat_message (options.name, "cannot write to stdout");
    }
    free (result);
    return good ? LEAT_EXIT_DONE : LEAT_EXIT_FAILED;
}

/* `leat bench many`: many producers, consumers and streams beside one of each.
 * SPDX-License-Identifier: MPL-2.0 */
#include "bench/many.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "bench/bodies.h"
#include "bench/folder.h"
#include "bench/json.h"
#include "bench/leat.h"
#include "bench/option_values.h"
#include "bench/process_usage.h"
#include "bench/processes.h"
#include "bench/statistics.h"
#include "bench/swarm.h"
#include "cli/message.h"
#include "wire/alloc.h"

/* How long all have after the measuring to bring what is under way to its end. */
#define S_END_NS UINT64_C (60000000000)
/* The broker counts as idle once it used less than a tenth of a core for a tenth of a second. */
#define S_QUIET_NS UINT64_C (100000000)
#define S_QUIET_TRIES 100
#define S_SIZE_MAX 65536
#define S_ROUNDS_MAX 1000

typedef struct {
    const char *name;
    leat_bench_plan_t plan;
    const char *directory; /* of the broker's files; NULL: in memory */
    unsigned peers;        /* of whatever the shape leaves open */
    leat_bench_shape_t shape;
    unsigned rounds;
    double seconds;
    double warm_up_seconds;
    double idle_seconds;
    double require;      /* many / one at least; 0: no */
    double require_idle; /* per cent of a core at most; 0: no */
    bool json;
} s_options_t;

static const leat_bench_shape_t s_one = { 1, 1, 1 };

/* What a round of so many peers found. */
typedef struct {
    double records_per_second;
    double memory;        /* of the broker, bytes; before anybody came */
    double memory_peers;  /* when all were there and idle */
    double idle_per_cent; /* of a core, by the broker; negative: not measured */
    double cpu_ns[3];     /* per record: broker, consumers, producers */
} s_found_t;

/* ---- options --------------------------------------------------------------------------------- */

enum { S_PEERS = 256, S_PRODUCERS, S_CONSUMERS, S_STREAMS, S_IDLE, S_REQUIRE, S_REQUIRE_IDLE };

static const struct argp_option s_option_table[] = {
    { "peers", S_PEERS, "N", 0,
      "Producers, and as many consumers and streams, up to 2000 (default 1000)", 0 },
    { "producers", S_PRODUCERS, "N", 0, "Another number of producers, up to 2000", 0 },
    { "consumers", S_CONSUMERS, "N", 0, "Another number of consumers, up to 2000", 0 },
    { "streams", S_STREAMS, "N", 0,
      "Another number of streams, at most that of producers and that of consumers, which share them",
      0 },
    { "directory", 'd', "DIR", 0,
      "Durable streams, with their files in a new folder in DIR, which is removed at the end", 0 },
    { "size", 's', "SIZE", 0, "Bytes of a record (default 100)", 0 },
    { "seconds", 't', "SECONDS", 0, "How long a round measures (default 2)", 0 },
    { "warm-up", LEAT_BENCH_OPTION_WARM_UP, "SECONDS", 0,
      "What comes before, unmeasured (default 1)", 0 },
    { "idle", S_IDLE, "SECONDS", 0,
      "How long the idle broker is watched, in the first round; 0: not at all (default 10)", 0 },
    { "pairs", LEAT_BENCH_OPTION_PAIRS, "N", 0, "Rounds; each has one of both (default 3)", 0 },
    { "seed", LEAT_BENCH_OPTION_SEED, "N", 0, "Of the records' content (default 1)", 0 },
    { "require", S_REQUIRE, "RATIO", 0, "Exit with 1 if many / one is below RATIO", 0 },
    { "require-idle", S_REQUIRE_IDLE, "PERCENT", 0,
      "Exit with 1 if the idle broker uses more than so much of a core", 0 },
    { "json", LEAT_BENCH_OPTION_JSON, NULL, 0, "One object on stdout instead of a table", 0 },
    { 0 }
};

static unsigned s_number (struct argp_state *state, const char *option, const char *text)
{
    return (unsigned) leat_bench_option_count (state, option, text, LEAT_BENCH_SWARM_MAX);
}

static void s_finish (struct argp_state *state, s_options_t *self)
{
    leat_bench_shape_t *shape = &self->shape;
    if (!shape->producers)
        shape->producers = self->peers;
    if (!shape->consumers)
        shape->consumers = self->peers;
    if (!shape->streams)
        shape->streams = self->peers;
    if (shape->streams > shape->producers || shape->streams > shape->consumers)
        argp_error (state,
                    "each stream has a producer and a consumer, so there are at most as many");
    if (self->require_idle > 0 && self->idle_seconds <= 0)
        argp_error (state, "--require-idle asks for what --idle 0 leaves out");
}

static error_t s_parse (int key, char *text, struct argp_state *state)
{
    s_options_t *self = state->input;
    const leat_bench_common_options_t common = { .size = &self->plan.size,
                                                 .size_min = LEAT_BENCH_BODIES_SIZE_MIN,
                                                 .size_max = S_SIZE_MAX,
                                                 .seconds = &self->seconds,
                                                 .warm_up_seconds = &self->warm_up_seconds,
                                                 .rounds = &self->rounds,
                                                 .rounds_max = S_ROUNDS_MAX,
                                                 .seed = &self->plan.seed,
                                                 .json = &self->json };
    switch (key) {
    case 'd':
        self->directory = text;
        return 0;
    case S_IDLE:
        self->idle_seconds = leat_bench_option_number (state, "idle", text, true);
        return 0;
    case S_PEERS:
        self->peers = s_number (state, "peers", text);
        return 0;
    case S_PRODUCERS:
        self->shape.producers = s_number (state, "producers", text);
        return 0;
    case S_CONSUMERS:
        self->shape.consumers = s_number (state, "consumers", text);
        return 0;
    case S_STREAMS:
        self->shape.streams = s_number (state, "streams", text);
        return 0;
    case S_REQUIRE:
        self->require = leat_bench_option_number (state, "require", text, false);
        return 0;
    case S_REQUIRE_IDLE:
        self->require_idle = leat_bench_option_number (state, "require-idle", text, false);
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
        .doc = "How a broker does with many producers, consumers and streams, beside one of each.\v"
               "All producers are in one process and all consumers in another; each has a stream "
               "and a thread of its own, and they share up to 10 clients and one ZeroMQ context. "
               "Producers write as fast as they are let; every record is compared with what was "
               "sent. The broker's memory and what it uses when idle are looked at when all are "
               "attached and none has sent anything. Shown are medians over the rounds."
    };
    *self = (s_options_t){ .name = "leat bench many",
                           .peers = 1000,
                           .rounds = 3,
                           .seconds = 2,
                           .warm_up_seconds = 1,
                           .idle_seconds = 10,
                           .plan = { .size = 100, .seed = 1 } };
    leat_bench_option_parse (&argp, self->name, argc, argv, self);
}

/* ---- a round --------------------------------------------------------------------------------- */

static int s_broker (void *arg, int ready)
{
    return leat_bench_broker_run (arg, ready);
}

/* Waits until attaching is over, then watches the broker do nothing. */
static bool s_watch_idle (leat_bench_processes_t *processes, leat_bench_round_t *round,
                          pid_t broker, double seconds, s_found_t *found)
{
    bool quiet = false;
    for (unsigned i = 0; !quiet && i < S_QUIET_TRIES; i++) {
        uint64_t before_ns = leat_bench_process_cpu_ns (broker);
        if (!leat_bench_processes_pause (processes, (double) S_QUIET_NS / 1e9, round))
            return false;
        quiet = leat_bench_process_cpu_ns (broker) - before_ns < S_QUIET_NS / 10;
    }
    found->memory_peers = (double) leat_bench_process_memory (broker);
    if (seconds <= 0)
        return true;
    uint64_t before_ns = leat_bench_process_cpu_ns (broker);
    uint64_t start_ns = leat_bench_now_ns ();
    if (!leat_bench_processes_pause (processes, seconds, round))
        return false;
    found->idle_per_cent = 100 * (double) (leat_bench_process_cpu_ns (broker) - before_ns)
                           / (double) (leat_bench_now_ns () - start_ns);
    return true;
}

static uint64_t s_received (void *arg)
{
    return leat_bench_swarm_received (arg);
}

static bool s_measure (leat_bench_processes_t *processes, const s_options_t *options,
                       leat_bench_swarm_t *swarm, double idle_seconds, s_found_t *found)
{
    leat_bench_round_t *round = swarm->round;
    if (leat_bench_processes_start (processes, "broker", s_broker, round, round) < 0)
        return false;
    pid_t broker = leat_bench_processes_pid (processes, 0);
    found->memory = (double) leat_bench_process_memory (broker);
    found->idle_per_cent = -1;
    if (leat_bench_processes_start (processes, "consumers", leat_bench_swarm_consume, swarm, round)
            < 0
        || leat_bench_processes_start (processes, "producers", leat_bench_swarm_produce, swarm,
                                       round)
               < 0
        || !s_watch_idle (processes, round, broker, idle_seconds, found))
        return false;

    leat_bench_swarm_go (swarm);
    if (!leat_bench_processes_pause (processes, options->warm_up_seconds, round)
        || !leat_bench_processes_rate (processes, options->seconds, s_received, swarm,
                                       &found->records_per_second, round))
        return false;
    leat_bench_swarm_stop (swarm);
    bool good = leat_bench_processes_wait (processes, 1, leat_bench_now_ns () + S_END_NS, round);
    if (!good)
        leat_bench_round_fail (round, "what was under way did not come to its end");
    return good;
}

/* What the turns of a run share. */
typedef struct {
    const s_options_t *options;
    leat_bench_processes_t *processes;
    leat_bench_folder_t folder; /* if they are durable */
} s_run_t;

static bool s_run_begin (s_run_t *self)
{
    const s_options_t *options = self->options;
    if (options->directory && !leat_bench_folder_begin (&self->folder, options->directory)) {
        leat_message (options->name, "cannot make a folder in %s: %s", options->directory,
                      strerror (errno));
        return false;
    }
    self->processes = leat_bench_processes_new ();
    return true;
}

static void s_run_end (s_run_t *self)
{
    if (!self->processes)
        return;
    leat_bench_processes_destroy (&self->processes);
    if (self->options->directory)
        leat_bench_folder_end (&self->folder);
}

/* Each turn has a broker of its own, and a store. */
static bool s_turn (const s_run_t *self, unsigned i, const leat_bench_shape_t *shape,
                    double idle_seconds, s_found_t *found)
{
    const s_options_t *options = self->options;
    leat_bench_processes_t *processes = self->processes;
    leat_bench_round_t *round = leat_bench_round_new (&options->plan, 0);
    leat_bench_swarm_t *swarm = round ? leat_bench_swarm_new (round, shape) : NULL;
    if (!swarm) {
        leat_message (options->name, "no memory to share: %s", strerror (errno));
        leat_bench_round_destroy (&round);
        return false;
    }
    snprintf (round->stream, sizeof round->stream, "bench.%ld", (long) getpid ());
    char path[LEAT_BENCH_FOLDER_PATH];
    const leat_store_options_t store = { .path = path };
    if (options->directory) {
        leat_bench_folder_clear (&self->folder, "leat", path);
        round->plan.store = &store;
    }
    if (isatty (STDERR_FILENO))
        fprintf (stderr, "\r\033[Kround %u of %u: %u:%u:%u", i + 1, options->rounds,
                 shape->producers, shape->consumers, shape->streams);
    bool good = s_measure (processes, options, swarm, idle_seconds, found);
    leat_bench_processes_end (processes, round);
    for (int k = 0; good && k < 3; k++)
        found->cpu_ns[k] = (double) leat_bench_processes_usage (processes, k).cpu_ns
                           / (double) leat_bench_swarm_received (swarm);
    if (isatty (STDERR_FILENO))
        fprintf (stderr, "\r\033[K");
    if (!good)
        leat_message (options->name, "%u producers, round %u of %u: %s", shape->producers, i + 1,
                      options->rounds, round->error);
    leat_bench_swarm_destroy (&swarm);
    leat_bench_round_destroy (&round);
    return good;
}

/* ---- what came out --------------------------------------------------------------------------- */

typedef struct {
    double one[S_ROUNDS_MAX]; /* records per second */
    double many[S_ROUNDS_MAX];
    s_found_t first; /* of the first round with many */
    s_found_t first_one;
    leat_bench_ratio_t ratio;
    double memory_peer; /* bytes, of a producer or a consumer */
} s_result_t;

static void s_print_rate (const leat_bench_shape_t *shape, const double *rates, unsigned rounds,
                          const s_found_t *found)
{
    char name[64];
    snprintf (name, sizeof name, "%u:%u:%u", shape->producers, shape->consumers, shape->streams);
    printf ("%-38s %10.0f %10.1f %10.1f %10.1f\n", name, leat_bench_median (rates, rounds),
            found->cpu_ns[2], found->cpu_ns[0], found->cpu_ns[1]);
}

static bool s_print (const s_options_t *options, const s_result_t *result)
{
    printf ("records of %zu bytes, %u round%s, %ld processors\n\n", options->plan.size,
            options->rounds, options->rounds == 1 ? "" : "s", sysconf (_SC_NPROCESSORS_ONLN));
    printf ("%-38s %10s   %s\n", "", "", "ns of CPU per record (first round)");
    printf ("%-38s %10s %10s %10s %10s\n", "producers:consumers:streams", "records/s", "producers",
            "broker", "consumers");
    s_print_rate (&s_one, result->one, options->rounds, &result->first_one);
    s_print_rate (&options->shape, result->many, options->rounds, &result->first);
    printf ("\n");
    printf ("%-38s %10.3f  (%.3f .. %.3f of one round)\n", "many / one", result->ratio.ratio,
            result->ratio.least, result->ratio.most);
    if (result->first.idle_per_cent >= 0)
        printf ("%-38s %10.2f\n", "idle broker, per cent of a core", result->first.idle_per_cent);
    printf ("%-38s %10.1f  (%.1f MiB before, %.1f MiB with all of them)\n",
            "KiB of the broker for an idle peer", result->memory_peer / 1024,
            result->first.memory / 1048576, result->first.memory_peers / 1048576);
    printf (
        "\na peer is a producer or a consumer; the clients of each of the two processes share a "
        "ZeroMQ context\n");
    return fflush (stdout) == 0;
}

static bool s_print_json (const s_options_t *options, const s_result_t *result)
{
    json_t *root = json_pack (
        "{s:s, s:I, s:I, s:I, s:b, s:I, s:I, s:I, s:o, s:o, s:f, s:f, s:f, s:f}", "benchmark",
        "many", "producers", (json_int_t) options->shape.producers, "consumers",
        (json_int_t) options->shape.consumers, "streams", (json_int_t) options->shape.streams,
        "durable", options->directory != NULL, "record_size", (json_int_t) options->plan.size,
        "rounds", (json_int_t) options->rounds, "processors",
        (json_int_t) sysconf (_SC_NPROCESSORS_ONLN), "records_per_second_one",
        leat_bench_json_values (result->one, options->rounds), "records_per_second_many",
        leat_bench_json_values (result->many, options->rounds), "many_to_one", result->ratio.ratio,
        "broker_memory", result->first.memory, "broker_memory_with_peers",
        result->first.memory_peers, "broker_memory_per_peer", result->memory_peer);
    if (result->first.idle_per_cent >= 0)
        json_object_set_new (root, "idle_per_cent_of_a_core",
                             json_real (result->first.idle_per_cent));
    return leat_bench_json_print (root);
}

/* Says what was asked for and not reached; returns whether all was. */
static bool s_reached (const s_options_t *options, const s_result_t *result)
{
    bool good = true;
    if (options->require > 0 && result->ratio.ratio < options->require) {
        leat_message (options->name, "many / one is %.3f, required is at least %.3f",
                      result->ratio.ratio, options->require);
        good = false;
    }
    if (options->require_idle > 0 && result->first.idle_per_cent > options->require_idle) {
        leat_message (options->name,
                      "the idle broker uses %.2f %% of a core, required is at most "
                      "%.2f %%",
                      result->first.idle_per_cent, options->require_idle);
        good = false;
    }
    return good;
}

int leat_bench_many_command (int argc, char **argv)
{
    s_options_t options;
    s_options_parse (&options, argc, argv);
    s_result_t *result = leat_alloc (sizeof *result);
    s_run_t run = { .options = &options };
    bool good = s_run_begin (&run);
    for (unsigned i = 0; good && i < options.rounds; i++) {
        s_found_t one = { 0 };
        s_found_t many = { 0 };
        good = s_turn (&run, i, &s_one, 0, &one)
               && s_turn (&run, i, &options.shape, i ? 0 : options.idle_seconds, &many);
        result->one[i] = one.records_per_second;
        result->many[i] = many.records_per_second;
        if (i == 0) {
            result->first = many;
            result->first_one = one;
        }
    }
    s_run_end (&run);
    if (good) {
        result->ratio = leat_bench_ratio (result->many, result->one, options.rounds);
        result->memory_peer = (result->first.memory_peers - result->first.memory)
                              / (double) (options.shape.producers + options.shape.consumers);
        good = options.json ? s_print_json (&options, result) : s_print (&options, result);
        if (!good)
            leat_message (options.name, "cannot write to stdout");
        good = s_reached (&options, result) && good;
    }
    free (result);
    return good ? LEAT_EXIT_DONE : LEAT_EXIT_FAILED;
}

/* `leat bench waiting`: many sessions that wait for each confirmation, beside a bare ROUTER.
 * SPDX-License-Identifier: MPL-2.0 */
#include "bench/waiting.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "bench/folder.h"
#include "bench/json.h"
#include "bench/option_values.h"
#include "bench/sessions.h"
#include "bench/statistics.h"
#include "cli/message.h"
#include "wire/alloc.h"

/* How long all have after the measuring to bring what is under way to its end. */
#define S_END_NS UINT64_C (60000000000)
#define S_SIZE_MAX 65536
#define S_ROUNDS_MAX 1000

enum { S_ROUTER, S_LEAT, S_CONTENDERS };

static const leat_bench_sessions_contender_t *const s_contenders[S_CONTENDERS] = {
    &leat_bench_sessions_router, &leat_bench_sessions_leat
};

/* Processes, in the order in which they start. */
enum { S_MIDDLE, S_CONSUMER, S_PRODUCERS, S_PROCESSES };

static const char *const s_process_names[S_PROCESSES] = { "middle", "consumer", "producers" };

typedef struct {
    const char *name;
    leat_bench_plan_t plan;
    const char *directory; /* of Leat's files; NULL: in memory */
    bool takes_part[S_CONTENDERS];
    unsigned sessions;
    unsigned rounds;
    double seconds;
    double warm_up_seconds;
    double require; /* leat / router at least; 0: no */
    bool json;
} s_options_t;

/* Of one contender, a value per round. */
typedef struct {
    double records_per_second[S_ROUNDS_MAX];
    double cpu_ns[S_PROCESSES][S_ROUNDS_MAX]; /* per record */
    double sleeps[S_PROCESSES][S_ROUNDS_MAX]; /* per record */
} s_result_t;

/* ---- options --------------------------------------------------------------------------------- */

enum { S_SESSIONS = 256, S_LIST, S_REQUIRE };

static const struct argp_option s_option_table[] = {
    { "sessions", S_SESSIONS, "N", 0, "Sessions of the producers' process (default 64)", 0 },
    { "directory", 'd', "DIR", 0,
      "Leat: a durable stream, with its files in a new folder in DIR, which is removed at the end",
      0 },
    { "size", 's', "SIZE", 0, "Bytes of a record (default 100)", 0 },
    { "seconds", 't', "SECONDS", 0, "How long a round measures (default 2)", 0 },
    { "warm-up", LEAT_BENCH_OPTION_WARM_UP, "SECONDS", 0,
      "What comes before, unmeasured (default 0.5)", 0 },
    { "pairs", LEAT_BENCH_OPTION_PAIRS, "N", 0, "Rounds; in each both have a turn (default 5)", 0 },
    { "contenders", S_LIST, "LIST", 0, "Who takes part, of router,leat (default all)", 0 },
    { "seed", LEAT_BENCH_OPTION_SEED, "N", 0, "Of the records' content (default 1)", 0 },
    { "require", S_REQUIRE, "RATIO", 0, "Exit with 1 if leat / router is below RATIO", 0 },
    { "json", LEAT_BENCH_OPTION_JSON, NULL, 0, "One object on stdout instead of a table", 0 },
    { 0 }
};

static void s_parse_list (struct argp_state *state, s_options_t *self, const char *list)
{
    bool all = strcmp (list, "all") == 0;
    for (unsigned turn = 0; turn < S_CONTENDERS; turn++)
        self->takes_part[turn] = all;
    for (const char *name = all ? NULL : list; name;) {
        size_t size = strcspn (name, ",");
        unsigned turn = 0;
        while (turn < S_CONTENDERS
               && (strlen (s_contenders[turn]->name) != size
                   || memcmp (s_contenders[turn]->name, name, size) != 0))
            turn++;
        if (turn == S_CONTENDERS || self->takes_part[turn])
            argp_error (state, "--contenders wants all or some of router,leat, each once, not '%s'",
                        list);
        else
            self->takes_part[turn] = true;
        name = name[size] ? name + size + 1 : NULL;
    }
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
    case S_SESSIONS:
        self->sessions =
            (unsigned) leat_bench_option_count (state, "sessions", text, LEAT_BENCH_SESSIONS_MAX);
        return 0;
    case S_LIST:
        s_parse_list (state, self, text);
        return 0;
    case S_REQUIRE:
        self->require = leat_bench_option_number (state, "require", text, false);
        return 0;
    case ARGP_KEY_END:
        if (self->require > 0 && !(self->takes_part[S_ROUTER] && self->takes_part[S_LEAT]))
            argp_error (state, "--require compares leat with router; both must be contenders");
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
        .doc = "How many records a second many sessions of one process send that each wait until "
               "a record is confirmed before they send the next one, with one consumer.\v"
               "Each session has a connection and a thread, and they share one ZeroMQ context. "
               "Beside Leat a bare ROUTER passes the same four messages for each record: publish, "
               "confirm, deliver, settle. Every record is compared with what was sent. Shown are "
               "medians over the rounds."
    };
    *self = (s_options_t){ .name = "leat bench waiting",
                           .takes_part = { true, true },
                           .sessions = 64,
                           .rounds = 5,
                           .seconds = 2,
                           .warm_up_seconds = 0.5,
                           .plan = { .size = 100, .seed = 1 } };
    leat_bench_option_parse (&argp, self->name, argc, argv, self);
}

/* ---- a round --------------------------------------------------------------------------------- */

static bool s_start (leat_bench_processes_t *processes,
                     const leat_bench_sessions_contender_t *contender,
                     leat_bench_sessions_t *sessions)
{
    leat_bench_process_fn *const run[S_PROCESSES] = { contender->middle, contender->consumer,
                                                      contender->producers };
    for (int i = 0; i < S_PROCESSES; i++)
        if (leat_bench_processes_start (processes, s_process_names[i], run[i], sessions,
                                        sessions->round)
            < 0)
            return false;
    return true;
}

static uint64_t s_received (void *arg)
{
    leat_bench_sessions_t *sessions = arg;
    return atomic_load (&sessions->received);
}

/* One contender's round; false with the round's error. */
static bool s_measure (leat_bench_processes_t *processes, const s_options_t *options,
                       leat_bench_sessions_t *sessions, double *records_per_second)
{
    leat_bench_round_t *round = sessions->round;
    leat_bench_sessions_go (sessions);
    if (!leat_bench_processes_pause (processes, options->warm_up_seconds, round)
        || !leat_bench_processes_rate (processes, options->seconds, s_received, sessions,
                                       records_per_second, round))
        return false;
    leat_bench_sessions_stop (sessions);
    if (!leat_bench_processes_wait (processes, 1, leat_bench_now_ns () + S_END_NS, round))
        leat_bench_round_fail (round, "what was under way did not come to its end");
    else if (!leat_bench_sessions_over (sessions))
        leat_bench_round_fail (round, "not every record that was confirmed came");
    return !round->error[0];
}

static void s_keep (s_result_t *result, unsigned i, const leat_bench_processes_t *processes,
                    leat_bench_sessions_t *sessions)
{
    double received = (double) atomic_load (&sessions->received);
    for (int k = 0; k < S_PROCESSES; k++) {
        leat_bench_usage_t usage = leat_bench_processes_usage (processes, k);
        result->cpu_ns[k][i] = (double) usage.cpu_ns / received;
        result->sleeps[k][i] = (double) usage.switches / received;
    }
}

static bool s_turn (leat_bench_processes_t *processes, const s_options_t *options,
                    const leat_store_options_t *store, unsigned turn, unsigned i,
                    s_result_t *result)
{
    const leat_bench_sessions_contender_t *contender = s_contenders[turn];
    leat_bench_round_t *round = leat_bench_round_new (&options->plan, 0);
    leat_bench_sessions_t *sessions =
        round ? leat_bench_sessions_new (round, options->sessions) : NULL;
    if (!sessions) {
        leat_message (options->name, "no memory to share: %s", strerror (errno));
        leat_bench_round_destroy (&round);
        return false;
    }
    round->plan.store = store;
    snprintf (round->stream, sizeof round->stream, "bench.%ld", (long) getpid ());
    if (isatty (STDERR_FILENO))
        fprintf (stderr, "\r\033[Kround %u of %u: %s", i + 1, options->rounds, contender->name);
    bool good = s_start (processes, contender, sessions)
                && s_measure (processes, options, sessions, &result->records_per_second[i]);
    leat_bench_processes_end (processes, round);
    if (isatty (STDERR_FILENO))
        fprintf (stderr, "\r\033[K");
    if (good)
        s_keep (result, i, processes, sessions);
    else
        leat_message (options->name, "%s, round %u of %u: %s", contender->name, i + 1,
                      options->rounds, round->error);
    leat_bench_sessions_destroy (&sessions);
    leat_bench_round_destroy (&round);
    return good;
}

/* All rounds; with a directory, each round of Leat has a new store. */
static bool s_measure_all (const s_options_t *options, s_result_t results[S_CONTENDERS])
{
    leat_bench_folder_t folder = { .path = "" };
    if (options->directory && !leat_bench_folder_begin (&folder, options->directory)) {
        leat_message (options->name, "cannot make a folder in %s: %s", options->directory,
                      strerror (errno));
        return false;
    }
    leat_bench_processes_t *processes = leat_bench_processes_new ();
    char path[LEAT_BENCH_FOLDER_PATH];
    const leat_store_options_t store = { .path = path };
    bool good = true;
    for (unsigned i = 0; good && i < options->rounds; i++) {
        for (unsigned turn = 0; good && turn < S_CONTENDERS; turn++) {
            if (!options->takes_part[turn])
                continue;
            if (options->directory)
                leat_bench_folder_clear (&folder, "leat", path);
            good = s_turn (processes, options, options->directory ? &store : NULL, turn, i,
                           &results[turn]);
        }
    }
    leat_bench_processes_destroy (&processes);
    if (options->directory)
        leat_bench_folder_end (&folder);
    return good;
}

/* ---- what came out --------------------------------------------------------------------------- */

static bool s_ratio (const s_options_t *options, const s_result_t results[S_CONTENDERS],
                     leat_bench_ratio_t *ratio)
{
    if (!options->takes_part[S_ROUTER] || !options->takes_part[S_LEAT])
        return false;
    *ratio = leat_bench_ratio (results[S_LEAT].records_per_second,
                               results[S_ROUTER].records_per_second, options->rounds);
    return true;
}

static void s_print_row (const char *name, const s_result_t *result, unsigned rounds)
{
    const double *rates = result->records_per_second;
    printf ("%-7s %10.0f %10.0f %10.0f ", name, leat_bench_median (rates, rounds),
            leat_bench_least (rates, rounds), leat_bench_most (rates, rounds));
    for (int k = S_PROCESSES - 1; k >= 0; k--)
        printf (" %9.0f", leat_bench_median (result->cpu_ns[k], rounds));
    printf (" ");
    for (int k = S_PROCESSES - 1; k >= 0; k--)
        printf (" %9.2f", leat_bench_median (result->sleeps[k], rounds));
    printf ("\n");
}

static bool s_print (const s_options_t *options, const s_result_t results[S_CONTENDERS])
{
    printf ("%u sessions, one consumer, records of %zu bytes, %u round%s, %ld processors\n\n",
            options->sessions, options->plan.size, options->rounds, options->rounds == 1 ? "" : "s",
            sysconf (_SC_NPROCESSORS_ONLN));
    printf ("%-7s %10s %10s %10s   %-29s  %s\n", "", "records/s", "", "", "ns of CPU per record",
            "sleeps per record");
    printf ("%-7s %10s %10s %10s ", "", "median", "least", "most");
    for (int table = 0; table < 2; table++) {
        for (int k = S_PROCESSES - 1; k >= 0; k--)
            printf (" %9s", s_process_names[k]);
        printf (table ? "\n" : " ");
    }
    for (unsigned turn = 0; turn < S_CONTENDERS; turn++)
        if (options->takes_part[turn])
            s_print_row (s_contenders[turn]->name, &results[turn], options->rounds);
    leat_bench_ratio_t ratio;
    if (s_ratio (options, results, &ratio))
        printf ("\nleat / router %6.3f  (%.3f .. %.3f of one round)\n", ratio.ratio, ratio.least,
                ratio.most);
    printf ("\n");
    for (unsigned turn = 0; turn < S_CONTENDERS; turn++)
        if (options->takes_part[turn])
            printf ("%-7s %s\n", s_contenders[turn]->name, s_contenders[turn]->about);
    return fflush (stdout) == 0;
}

static json_t *s_json_processes (const double (*values)[S_ROUNDS_MAX], unsigned rounds)
{
    json_t *object = json_object ();
    for (int k = 0; k < S_PROCESSES; k++)
        json_object_set_new (object, s_process_names[k],
                             leat_bench_json_values (values[k], rounds));
    return object;
}

static bool s_print_json (const s_options_t *options, const s_result_t results[S_CONTENDERS])
{
    json_t *list = json_array ();
    for (unsigned turn = 0; turn < S_CONTENDERS; turn++)
        if (options->takes_part[turn])
            json_array_append_new (
                list,
                json_pack (
                    "{s:s, s:s, s:o, s:o, s:o}", "name", s_contenders[turn]->name, "about",
                    s_contenders[turn]->about, "records_per_second",
                    leat_bench_json_values (results[turn].records_per_second, options->rounds),
                    "cpu_ns_per_record", s_json_processes (results[turn].cpu_ns, options->rounds),
                    "sleeps_per_record", s_json_processes (results[turn].sleeps, options->rounds)));
    json_t *root = json_pack (
        "{s:s, s:I, s:b, s:I, s:I, s:I, s:o}", "benchmark", "waiting", "sessions",
        (json_int_t) options->sessions, "durable", options->directory != NULL, "record_size",
        (json_int_t) options->plan.size, "rounds", (json_int_t) options->rounds, "processors",
        (json_int_t) sysconf (_SC_NPROCESSORS_ONLN), "contenders", list);
    leat_bench_ratio_t ratio;
    if (s_ratio (options, results, &ratio))
        json_object_set_new (root, "leat_to_router", leat_bench_json_ratio (&ratio));
    return leat_bench_json_print (root);
}

int leat_bench_waiting_command (int argc, char **argv)
{
    s_options_t options;
    s_options_parse (&options, argc, argv);
    s_result_t *results = leat_alloc (S_CONTENDERS * sizeof *results);
    bool good = s_measure_all (&options, results);
    if (good) {
        good = options.json ? s_print_json (&options, results) : s_print (&options, results);
        if (!good)
            leat_message (options.name, "cannot write to stdout");
        leat_bench_ratio_t ratio;
        if (options.require > 0 && s_ratio (&options, results, &ratio)
            && ratio.ratio < options.require) {
            leat_message (options.name, "leat / router is %.3f, required is at least %.3f",
                          ratio.ratio, options.require);
            good = false;
        }
    }
    free (results);
    return good ? LEAT_EXIT_DONE : LEAT_EXIT_FAILED;
}

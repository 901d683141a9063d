/* leat_simulate: runs seeds, tells what happened, and how to run one again.
 * SPDX-License-Identifier: MPL-2.0 */
#include "tests/simulation/simulation.h"

#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

enum {
    STEPS = 1500,         /* before the faults stop */
    SEEDS_FOR_ALL = 2000, /* from so many on nothing in the table may be zero */
    TWICE_SEEDS = 20      /* run twice, to compare their hashes */
};

typedef struct {
    uint64_t seeds;
    uint64_t first;
    uint64_t steps;
    bool one;
    bool trace;
    bool twice;
    const char *known; /* file of seeds that once failed */
    uint64_t jobs;
    uint64_t counts[SIM_COUNTS];
} s_options_t;

static const char usage[] =
    "usage: leat_simulate [--seeds N] [--first S] [--steps K] [--known FILE] [--twice] [--jobs J]\n"
    "       leat_simulate --seed S [--steps K] [--trace]\n"
    "  --seeds N     run N seeds (100)\n"
    "  --first S     from seed S on (1)\n"
    "  --steps K     steps before the faults stop (1500)\n"
    "  --known FILE  first run the seeds in FILE, one per line before what else is there\n"
    "  --twice       run each seed twice and compare\n"
    "  --jobs J      in so many processes (1)\n"
    "  --seed S      run this seed\n"
    "  --trace       write down each message and event\n";

static void s_run (s_options_t *options, uint64_t seed)
{
    FILE *trace = options->trace ? stdout : NULL;
    uint64_t hash = sim_world_run (seed, options->steps, trace, options->counts);
    if (options->one)
        printf ("seed %" PRIu64 ": hash %016" PRIx64 "\n", seed, hash);
    if (!options->twice)
        return;
    uint64_t again = sim_world_run (seed, options->steps, NULL, options->counts);
    if (again == hash)
        return;
    fprintf (stderr,
             "VIOLATION seed %" PRIu64 ": a run is decided by its seed: %016" PRIx64
             ", then %016" PRIx64 "\n",
             seed, hash, again);
    exit (1);
}

static unsigned s_run_known (s_options_t *options)
{
    char line[256];
    unsigned count = 0;
    FILE *file = fopen (options->known, "r");
    if (!file) {
        fprintf (stderr, "leat_simulate: %s: %s\n", options->known, strerror (errno));
        exit (2);
    }
    while (fgets (line, sizeof line, file)) {
        char *end;
        uint64_t seed = strtoull (line, &end, 10);
        if (end == line)
            continue;
        s_run (options, seed);
        count++;
    }
    fclose (file);
    return count;
}

/* Every `stride`th seed from number `from` on. */
static void s_run_each (s_options_t *options, uint64_t from, uint64_t stride)
{
    for (uint64_t index = from; index < options->seeds; index += stride)
        s_run (options, options->first + index);
}

/* Counts in a process of its own, and writes what it has counted into the pipe. */
static pid_t s_fork_job (s_options_t *options, uint64_t number, int writer)
{
    pid_t pid = fork ();
    if (pid != 0)
        return pid;
    memset (options->counts, 0, sizeof options->counts);
    s_run_each (options, number, options->jobs);
    bool written =
        write (writer, options->counts, sizeof options->counts) == (ssize_t) sizeof options->counts;
    _exit (written ? 0 : 2);
}

/* A pipe takes what a job writes in one piece, see PIPE_BUF in pipe(7). True if one has failed. */
static bool s_run_jobs (s_options_t *options)
{
    uint64_t counts[SIM_COUNTS];
    int ends[2];
    bool failed = pipe (ends) != 0;
    uint64_t begun = 0;
    _Static_assert(sizeof counts <= PIPE_BUF, "counts of a job are written in one piece");
    while (!failed && begun < options->jobs) {
        failed = s_fork_job (options, begun, ends[1]) < 0;
        begun += !failed;
    }
    close (ends[1]);
    while (read (ends[0], counts, sizeof counts) == (ssize_t) sizeof counts) {
        for (unsigned index = 0; index < SIM_COUNTS; index++)
            options->counts[index] += counts[index];
    }
    for (; begun > 0; begun--) {
        int status;
        if (wait (&status) < 0 || status != 0)
            failed = true;
    }
    return failed;
}

/* Returns how many of the kinds never happened. */
static unsigned s_print_counts (const s_options_t *options)
{
    static const struct {
        const char *name;
        const char *text;
    } rows[] = {
#define COUNT(name, text) { #name, text },
#include "tests/simulation/counts.def"
#undef COUNT
    };
    unsigned zeros = 0;
    for (unsigned index = 0; index < SIM_COUNTS; index++) {
        printf ("%12" PRIu64 "  %-26s %s\n", options->counts[index], rows[index].name,
                rows[index].text);
        zeros += !options->counts[index];
    }
    for (unsigned index = 0; index < SIM_COUNTS; index++) {
        if (!options->counts[index])
            printf ("never happened: %s (%s)\n", rows[index].name, rows[index].text);
    }
    return zeros;
}

static uint64_t s_number (const char *text)
{
    char *end;
    uint64_t number = strtoull (text, &end, 10);
    if (end != text && !*end)
        return number;
    fprintf (stderr, "leat_simulate: %s is no number\n%s", text, usage);
    exit (2);
}

static void s_parse (s_options_t *options, int argc, char *argv[])
{
    static const struct option names[] = {
        { "seeds", required_argument, NULL, 'n' }, { "first", required_argument, NULL, 'f' },
        { "steps", required_argument, NULL, 'k' }, { "seed", required_argument, NULL, 's' },
        { "known", required_argument, NULL, 'K' }, { "trace", no_argument, NULL, 't' },
        { "twice", no_argument, NULL, '2' },       { "jobs", required_argument, NULL, 'j' },
        { "help", no_argument, NULL, 'h' },        { NULL, 0, NULL, 0 }
    };
    int option;
    while ((option = getopt_long (argc, argv, "", names, NULL)) != -1) {
        switch (option) {
        case 'n':
            options->seeds = s_number (optarg);
            break;
        case 'f':
            options->first = s_number (optarg);
            break;
        case 'k':
            options->steps = s_number (optarg);
            break;
        case 's':
            options->first = s_number (optarg);
            options->seeds = 1;
            options->one = true;
            break;
        case 'K':
            options->known = optarg;
            break;
        case 'j':
            options->jobs = s_number (optarg);
            break;
        case 't':
            options->trace = true;
            break;
        case '2':
            options->twice = true;
            break;
        case 'h':
            fputs (usage, stdout);
            exit (0);
        default:
            fputs (usage, stderr);
            exit (2);
        }
    }
}

int main (int argc, char *argv[])
{
    /* The build names the file of seeds that once failed; without it --known does. */
#ifdef SIM_KNOWN_SEEDS
    const char *known_seeds = SIM_KNOWN_SEEDS;
#else
    const char *known_seeds = NULL;
#endif
    s_options_t options = { .seeds = 100, .first = 1, .steps = STEPS, .jobs = 1 };
    options.known = known_seeds;
    s_parse (&options, argc, argv);
    if (options.one)
        options.known = NULL;
    unsigned known = options.known ? s_run_known (&options) : 0;
    bool failed = false;
    if (options.jobs > 1 && !options.one)
        failed = s_run_jobs (&options);
    else
        s_run_each (&options, 0, 1);
    if (failed)
        return 1;
    if (options.one)
        return 0;
    unsigned zeros = s_print_counts (&options);
    printf ("%" PRIu64 " seeds and %u that once failed: no violation\n", options.seeds, known);
    return zeros && options.seeds >= SEEDS_FOR_ALL ? 1 : 0;
}

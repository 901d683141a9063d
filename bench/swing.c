/* Plays the swings and tells what came out.
 * SPDX-License-Identifier: MPL-2.0 */
#include "bench/swing.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "bench/folder.h"
#include "bench/json.h"
#include "bench/leat.h"
#include "bench/processes.h"
#include "bench/statistics.h"
#include "bench/swing_parts.h"
#include "cli/message.h"
#include "cli/units.h"

/* Of each direction; that is more than an hour of probing. */
#define S_SAMPLES_MAX (UINT64_C (1) << 19)
#define S_LOOK_NS UINT64_C (200000000)
/* A way up or down that is slower than this and this much has failed. */
#define S_SLOWEST (UINT64_C (1) << 20) /* bytes a second */
#define S_SLOWEST_NS UINT64_C (120000000000)
/* What a stream may hold: all of the backlog, with what the batches cost. */
#define S_STREAM_SIZE (UINT64_C (1) << 44)
/* What the file may take of the disk beside the backlog's bodies. */
#define S_ROOM_FACTOR 2
#define S_ROOM_BESIDES (UINT64_C (256) << 20)

typedef struct {
    const leat_bench_durable_options_t *options;
    leat_bench_swing_t *swing;
    leat_bench_processes_t *processes;
    char data[LEAT_BENCH_FOLDER_PATH + 16]; /* the store's file */
    int swings;
    double seconds[LEAT_BENCH_DIRECTIONS]; /* of all ways */
    uint64_t bytes[LEAT_BENCH_DIRECTIONS]; /* by which the backlog changed */
    uint64_t file_size;                    /* the largest, in blocks of the disk */
    double file_ratio;                     /* largest of file to backlog, at the top */
} s_run_t;

/* The largest that it has been, which is what it is: it never gets smaller. */
static uint64_t s_file_size (const s_run_t *self)
{
    struct stat status;
    return stat (self->data, &status) ? 0 : (uint64_t) status.st_blocks * 512;
}

static void s_progress (const s_run_t *self, const char *what)
{
    char backlog[64];
    if (isatty (STDERR_FILENO))
        fprintf (stderr, "\r\033[Kswing %d of %u: %s, %s", self->swings + 1, self->options->rounds,
                 what, leat_size_short (leat_bench_swing_backlog (self->swing), backlog));
}

/* Starts a process and waits until it has ended. */
static bool s_go (s_run_t *self, leat_bench_direction_t direction, const char *name,
                  leat_bench_process_fn *run)
{
    leat_bench_swing_t *swing = self->swing;
    leat_bench_round_t *round = swing->round;
    uint64_t before = leat_bench_swing_backlog (swing);
    atomic_store (&swing->direction, (int) direction);
    uint64_t start_ns = leat_bench_now_ns ();
    uint64_t deadline_ns =
        start_ns + S_SLOWEST_NS + (uint64_t) (1e9 * (double) swing->high / S_SLOWEST);
    int number = leat_bench_processes_start (self->processes, name, run, swing, round);
    bool ended = false;
    while (number >= 0 && !ended && !round->error[0] && leat_bench_now_ns () < deadline_ns) {
        s_progress (self, name);
        ended = leat_bench_processes_wait (self->processes, number,
                                           leat_bench_now_ns () + S_LOOK_NS, round);
    }
    if (!ended)
        leat_bench_round_fail (round, "the %s was not over in time", name);
    uint64_t after = leat_bench_swing_backlog (swing);
    self->seconds[direction] += (double) (leat_bench_now_ns () - start_ns) / 1e9;
    self->bytes[direction] += after > before ? after - before : before - after;
    return ended;
}

static bool s_swing (s_run_t *self)
{
    if (!s_go (self, LEAT_BENCH_UP, "flood", leat_bench_swing_flood))
        return false;
    self->file_size = s_file_size (self);
    double ratio = (double) self->file_size / (double) leat_bench_swing_backlog (self->swing);
    if (ratio > self->file_ratio)
        self->file_ratio = ratio;
    return s_go (self, LEAT_BENCH_DOWN, "drain", leat_bench_swing_drain);
}

/* All that was sent has come. */
static bool s_complete (const leat_bench_swing_t *swing)
{
    for (unsigned i = 0; i < LEAT_BENCH_SWING_STREAMS; i++)
        for (int source = 0; source < LEAT_BENCH_SWING_SOURCES; source++)
            if (swing->lanes[i].sent[source] != swing->lanes[i].seen[source])
                return false;
    return true;
}

static int s_broker (void *arg, int ready)
{
    leat_bench_swing_t *swing = arg;
    return leat_bench_broker_run (swing->round, ready);
}

/* Number 0 is the broker, 1 the probe; floods and drains take turns behind them. */
static bool s_play (s_run_t *self)
{
    leat_bench_swing_t *swing = self->swing;
    leat_bench_round_t *round = swing->round;
    if (leat_bench_processes_start (self->processes, "broker", s_broker, swing, round) < 0
        || leat_bench_processes_start (self->processes, "probe", leat_bench_swing_probe, swing,
                                       round)
               < 0)
        return false;
    for (; self->swings < (int) self->options->rounds; self->swings++)
        if (!s_swing (self))
            return false;
    self->swings--;
    atomic_store (&swing->probe_stops, true);
    if (!leat_bench_processes_wait (self->processes, 1, leat_bench_now_ns () + S_SLOWEST_NS, round))
        return false;
    swing->low = 0;
    if (!s_go (self, LEAT_BENCH_DOWN, "drain", leat_bench_swing_drain))
        return false;
    if (!s_complete (swing))
        leat_bench_round_fail (round, "not every record that was confirmed came");
    return !round->error[0];
}

/* ---- what is shown --------------------------------------------------------------------------- */

static const char *const s_directions[] = { [LEAT_BENCH_UP] = "up", [LEAT_BENCH_DOWN] = "down" };

typedef struct {
    double p50_ms;
    double p99_ms;
    double worst_ms;
} s_times_t;

static s_times_t s_times (const s_run_t *self, leat_bench_direction_t direction)
{
    leat_bench_round_t *round = self->swing->round;
    uint64_t *samples = round->samples + (uint64_t) direction * round->samples_max;
    size_t count = self->swing->samples_count[direction];
    if (!count)
        return (s_times_t){ 0 };
    return (s_times_t){ .p50_ms = (double) leat_bench_percentile (samples, count, 500) / 1e6,
                        .p99_ms = (double) leat_bench_percentile (samples, count, 990) / 1e6,
                        .worst_ms = (double) leat_bench_percentile (samples, count, 1000) / 1e6 };
}

static double s_rate (const s_run_t *self, leat_bench_direction_t direction)
{
    return (double) self->bytes[direction] / self->seconds[direction] / 1e6;
}

static bool s_print (const s_run_t *self)
{
    char low[64];
    char high[64];
    printf (
        "%d streams, records of %zu bytes in batches of 1 to 256 KiB, %u swing%s of %s..%s, files "
        "in %s\n\n",
        LEAT_BENCH_SWING_STREAMS, self->options->plan.size, self->options->rounds,
        self->options->rounds == 1 ? "" : "s", leat_size_short (self->options->swing_low, low),
        leat_size_short (self->options->swing_high, high), self->options->directory);
    printf ("%-26s %10s %10s %10s %10s %10s\n", "commit of a record, ms", "p50", "p99", "worst",
            "commits", "MB/s");
    for (int direction = 0; direction < LEAT_BENCH_DIRECTIONS; direction++) {
        s_times_t times = s_times (self, (leat_bench_direction_t) direction);
        printf ("%-26s %10.2f %10.2f %10.2f %10llu %10.1f\n", s_directions[direction], times.p50_ms,
                times.p99_ms, times.worst_ms,
                (unsigned long long) self->swing->samples_count[direction],
                s_rate (self, (leat_bench_direction_t) direction));
    }
    printf ("\n%-26s %10.3f  (of the bodies of the backlog, at the top)\n", "file / backlog",
            self->file_ratio);
    printf ("%-26s %10.1f  (at the end, with nothing in it)\n", "MiB of the file",
            (double) s_file_size (self) / 1048576);
    return fflush (stdout) == 0;
}

static bool s_print_json (const s_run_t *self)
{
    json_t *root = json_pack (
        "{s:s, s:i, s:I, s:I, s:I, s:I, s:f, s:I}", "benchmark", "durable_swing", "streams",
        LEAT_BENCH_SWING_STREAMS, "record_size", (json_int_t) self->options->plan.size, "swings",
        (json_int_t) self->options->rounds, "backlog_low", (json_int_t) self->options->swing_low,
        "backlog_high", (json_int_t) self->options->swing_high, "file_to_backlog", self->file_ratio,
        "file_size_at_the_end", (json_int_t) s_file_size (self));
    for (int direction = 0; direction < LEAT_BENCH_DIRECTIONS; direction++) {
        s_times_t times = s_times (self, (leat_bench_direction_t) direction);
        json_object_set_new (
            root, s_directions[direction],
            json_pack ("{s:f, s:f, s:f, s:I, s:f}", "commit_p50_ms", times.p50_ms, "commit_p99_ms",
                       times.p99_ms, "commit_worst_ms", times.worst_ms, "commits",
                       (json_int_t) self->swing->samples_count[direction], "megabytes_per_second",
                       s_rate (self, (leat_bench_direction_t) direction)));
    }
    return leat_bench_json_print (root);
}

/* ---- all of it ------------------------------------------------------------------------------- */

static bool s_run (s_run_t *self, const leat_bench_folder_t *folder)
{
    const leat_bench_durable_options_t *options = self->options;
    char path[LEAT_BENCH_FOLDER_PATH];
    const leat_store_options_t store = { .path = path };
    leat_bench_folder_clear (folder, "leat", path);
    snprintf (self->data, sizeof self->data, "%s/data.mdb", path);
    leat_bench_plan_t plan = options->plan;
    plan.store = &store;
    plan.stream_size = S_STREAM_SIZE;
    leat_bench_round_t *round = leat_bench_round_new (&plan, S_SAMPLES_MAX);
    self->swing = round ? leat_bench_shared_new (sizeof *self->swing) : NULL;
    bool good = self->swing != NULL;
    if (!good)
        leat_message (options->name, "no memory to share: %s", strerror (errno));
    if (good) {
        snprintf (round->stream, sizeof round->stream, "bench.%ld", (long) getpid ());
        self->swing->round = round;
        self->swing->low = options->swing_low;
        self->swing->high = options->swing_high;
        self->processes = leat_bench_processes_new ();
        good = s_play (self);
        leat_bench_processes_end (self->processes, round);
        leat_bench_processes_destroy (&self->processes);
        if (isatty (STDERR_FILENO))
            fprintf (stderr, "\r\033[K");
        if (!good)
            leat_message (options->name, "%s",
                          round->error[0] ? round->error : "the probe was not over in time");
    }
    if (good) {
        good = options->json ? s_print_json (self) : s_print (self);
        if (!good)
            leat_message (options->name, "cannot write to stdout");
    }
    leat_bench_shared_destroy (self->swing, sizeof *self->swing);
    leat_bench_round_destroy (&round);
    return good;
}

int leat_bench_swing (const leat_bench_durable_options_t *options)
{
    uint64_t wanted = S_ROOM_FACTOR * options->swing_high + S_ROOM_BESIDES;
    uint64_t available = leat_bench_folder_free (options->directory);
    char texts[3][64];
    if (available < wanted) {
        leat_message (
            options->name, "skipped: a backlog of %s wants %s of disk in %s, which has %s",
            leat_size_short (options->swing_high, texts[0]), leat_size_short (wanted, texts[1]),
            options->directory, leat_size_short (available, texts[2]));
        return LEAT_BENCH_EXIT_SKIPPED;
    }
    leat_bench_folder_t folder = { .path = "" };
    if (!leat_bench_folder_begin (&folder, options->directory)) {
        leat_message (options->name, "cannot make a folder in %s: %s", options->directory,
                      strerror (errno));
        return LEAT_EXIT_FAILED;
    }
    s_run_t run = { .options = options };
    bool good = s_run (&run, &folder);
    leat_bench_folder_end (&folder);
    return good ? LEAT_EXIT_DONE : LEAT_EXIT_FAILED;
}

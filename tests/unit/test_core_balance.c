/* How well the core balances: simulated consumers in virtual time, against an ideal that knows no
 * network: a queue in the middle, from which whoever is free takes the next task.
 *
 *      all tasks --> core ==100 us==> consumer: one task after the other, one SETTLE each
 *                         <==100 us==
 *
 * What is asserted are ratios of the two makespans, ideal to ours. Nothing here depends on a clock.
 *
 * SPDX-License-Identifier: MPL-2.0 */
#include "tests/unit/core_driver.h"

#include <math.h>

#include "wire/alloc.h"

enum { DELAY_US = 100, WORKERS_MAX = 8, TASKS_MAX = 20000, BATCH = 1000, PRODUCER = 99 };

static const uint64_t never = UINT64_MAX;

/* ---- the job --------------------------------------------------------------------------------- */

typedef struct {
    const char *name;
    uint32_t tasks;
    double mean_us; /* of a task, for a consumer of speed 1 */
    double sigma;   /* of its logarithm; 0: all take the same time */
    double speeds[WORKERS_MAX];
    uint32_t workers;
    uint32_t slowed;    /* this one turns 20 times slower... */
    double slowed_at;   /* ... after so much of the ideal makespan without that; 0: none does */
    uint32_t late;      /* this one joins... */
    double late_at;     /* ... after so much of the ideal makespan; 0: none does */
    uint32_t gather_us; /* settles are gathered for so long; 0: one record per SETTLE */
    double required;    /* ideal to ours; 0: only told */
} s_job_t;

typedef struct {
    uint64_t epoch;
    uint64_t offset;
} s_task_t;

typedef enum { S_DELIVER, S_RECALL, S_SETTLE, S_RETURNED } s_what_t;

typedef struct {
    uint64_t arrival_us;
    s_what_t what;
    leat_range_t range;
} s_message_t;

typedef struct {
    s_message_t *messages;
    size_t head;
    size_t count; /* those taken included */
    size_t room;
} s_queue_t;

typedef struct {
    bool attached;
    s_queue_t down;
    s_queue_t up;
    s_task_t *waiting;
    size_t head;
    size_t count;
    size_t room;
    bool busy;
    s_task_t task;
    uint64_t done_us;
    s_task_t *settled; /* and not told yet */
    size_t settled_count;
    uint64_t gather_end_us;
} s_worker_t;

typedef struct {
    const s_job_t *job;
    double *costs; /* in microseconds at speed 1 */
    uint64_t slow_us;
    uint64_t join_us;
    driver_t *driver;
    uint64_t start_us;
    uint64_t ping_us;
    uint32_t left;
    uint64_t last_us;
    uint8_t *times; /* how often each was started */
    s_worker_t workers[WORKERS_MAX];
} s_run_t;

/* splitmix64, and a normal deviate by the sum of twelve. */
static uint64_t s_random (uint64_t *state)
{
    uint64_t z = (*state += 0x9e3779b97f4a7c15u);
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

static double s_normal (uint64_t *state)
{
    double sum = -6;
    for (int i = 0; i < 12; i++)
        sum += (double) (s_random (state) >> 11) / 9007199254740992.0;
    return sum;
}

static double *s_costs (const s_job_t *job, uint64_t seed)
{
    double *costs = leat_alloc (job->tasks * sizeof *costs);
    for (uint32_t i = 0; i < job->tasks; i++)
        costs[i] = job->mean_us * exp (job->sigma * s_normal (&seed) - job->sigma * job->sigma / 2);
    return costs;
}

static uint64_t s_duration (const s_run_t *run, uint32_t worker, uint64_t task, uint64_t at_us)
{
    double us = run->costs[task] / run->job->speeds[worker];
    if (run->job->slowed_at > 0 && worker == run->job->slowed && at_us >= run->slow_us)
        us *= 20;
    return us < 1 ? 1 : (uint64_t) (us + 0.5);
}

/* ---- the ideal ------------------------------------------------------------------------------- */

static uint64_t s_ideal (const s_run_t *run)
{
    uint64_t free_us[WORKERS_MAX] = { 0 };
    uint64_t last_us = 0;
    if (run->job->late_at > 0)
        free_us[run->job->late] = run->join_us;
    for (uint32_t task = 0; task < run->job->tasks; task++) {
        uint32_t first = 0;
        for (uint32_t i = 1; i < run->job->workers; i++)
            if (free_us[i] < free_us[first])
                first = i;
        free_us[first] += s_duration (run, first, task, free_us[first]);
        if (free_us[first] > last_us)
            last_us = free_us[first];
    }
    return last_us;
}

/* ---- messages under way ---------------------------------------------------------------------- */

static void s_push (s_queue_t *queue, const s_message_t *message)
{
    if (queue->count == queue->room) {
        queue->room = queue->room ? 2 * queue->room : 64;
        queue->messages = leat_realloc (queue->messages, queue->room * sizeof *queue->messages);
    }
    queue->messages[queue->count++] = *message;
}

static uint64_t s_due (const s_queue_t *queue)
{
    return queue->head < queue->count ? queue->messages[queue->head].arrival_us : never;
}

static void s_say (s_run_t *run, s_worker_t *worker, s_what_t what, uint64_t epoch, uint64_t first,
                   uint32_t count)
{
    s_message_t message = { run->driver->now_us + DELAY_US, what, { epoch, first, count } };
    s_push (&worker->up, &message);
}

/* ---- a consumer ------------------------------------------------------------------------------ */

static void s_begin (s_run_t *run, uint32_t number)
{
    s_worker_t *worker = &run->workers[number];
    if (worker->busy || worker->head == worker->count)
        return;
    worker->task = worker->waiting[worker->head++];
    worker->busy = true;
    run->times[worker->task.offset]++;
    worker->done_us =
        run->driver->now_us
        + s_duration (run, number, worker->task.offset, run->driver->now_us - run->start_us);
}

static void s_tell (s_run_t *run, s_worker_t *worker)
{
    for (size_t i = 0; i < worker->settled_count; i++)
        s_say (run, worker, S_SETTLE, worker->settled[i].epoch, worker->settled[i].offset, 1);
    worker->settled_count = 0;
    worker->gather_end_us = never;
}

static void s_finish (s_run_t *run, uint32_t number)
{
    s_worker_t *worker = &run->workers[number];
    worker->busy = false;
    run->left--;
    run->last_us = run->driver->now_us;
    if (!worker->settled_count)
        worker->gather_end_us = run->driver->now_us + run->job->gather_us;
    worker->settled[worker->settled_count++] = worker->task;
    s_begin (run, number);
    if (!worker->busy || !run->job->gather_us)
        s_tell (run, worker);
}

static void s_recalled (s_run_t *run, s_worker_t *worker, const leat_range_t *range)
{
    size_t kept = worker->head;
    for (size_t i = worker->head; i < worker->count; i++) {
        s_task_t task = worker->waiting[i];
        if (task.epoch == range->epoch && task.offset >= range->first
            && task.offset < range->first + range->count)
            s_say (run, worker, S_RETURNED, task.epoch, task.offset, 1);
        else
            worker->waiting[kept++] = task;
    }
    worker->count = kept;
}

static void s_hears (s_run_t *run, uint32_t number)
{
    s_worker_t *worker = &run->workers[number];
    while (s_due (&worker->down) <= run->driver->now_us) {
        s_message_t *message = &worker->down.messages[worker->down.head++];
        if (message->what == S_RECALL) {
            s_recalled (run, worker, &message->range);
            continue;
        }
        if (worker->count + message->range.count > worker->room) {
            worker->room = 2 * worker->room + message->range.count;
            worker->waiting =
                leat_realloc (worker->waiting, worker->room * sizeof *worker->waiting);
        }
        for (uint32_t i = 0; i < message->range.count; i++)
            worker->waiting[worker->count++] =
                (s_task_t){ message->range.epoch, message->range.first + i };
    }
    s_begin (run, number);
}

/* ---- the core -------------------------------------------------------------------------------- */

static void s_post (s_run_t *run, uint32_t number)
{
    s_worker_t *worker = &run->workers[number];
    leat_settle_entry_t entries[LEAT_ENTRIES_MAX];
    leat_range_t ranges[LEAT_ENTRIES_MAX];
    uint32_t settles = 0;
    uint32_t returns = 0;
    while (s_due (&worker->up) <= run->driver->now_us && settles < LEAT_ENTRIES_MAX
           && returns < LEAT_ENTRIES_MAX) {
        leat_range_t range = worker->up.messages[worker->up.head].range;
        if (worker->up.messages[worker->up.head++].what == S_SETTLE)
            entries[settles++] =
                (leat_settle_entry_t){ range.epoch, range.first, range.count, 0, LEAT_ACK };
        else
            ranges[returns++] = range;
    }
    leat_command_t command = { .id = LEAT_SETTLE };
    command.settle =
        (leat_settle_t){ .channel = 1, .entries = { .count = settles, .entries = entries } };
    if (settles)
        driver_post (run->driver, number + 1, &command);
    command = (leat_command_t){ .id = LEAT_RETURNED };
    command.returned =
        (leat_returned_t){ .channel = 1, .ranges = { .count = returns, .entries = ranges } };
    if (returns)
        driver_post (run->driver, number + 1, &command);
}

/* What the core sent goes on its way. */
static void s_deliver (s_run_t *run)
{
    driver_t *driver = run->driver;
    for (size_t i = 0; i < driver->inbox_count; i++) {
        const driver_message_t *message = &driver->inbox[i];
        if (message->peer == PRODUCER)
            continue;
        s_queue_t *down = &run->workers[message->peer - 1].down;
        s_message_t sent = { driver->now_us + DELAY_US, S_DELIVER, { 0 } };
        if (message->is_batch) {
            sent.range =
                (leat_range_t){ message->batch.epoch, message->batch.first, message->batch.count };
            s_push (down, &sent);
        } else if (message->command.id == LEAT_RECALL) {
            sent.what = S_RECALL;
            for (uint32_t k = 0; k < message->command.recall.ranges.count; k++) {
                sent.range = leat_ranges_get (&message->command.recall.ranges, k);
                s_push (down, &sent);
            }
        }
    }
    driver_drop (driver, 0);
}

static void s_attach (s_run_t *run, uint32_t number)
{
    char identity[20];
    snprintf (identity, sizeof identity, "worker-%u", number);
    driver_hello (run->driver, number + 1, identity);
    leat_command_t attach = driver_attach_command (1, "jobs", "default", 1000, 1);
    driver_send (run->driver, number + 1, &attach);
    run->workers[number].attached = true;
}

static void s_ping (s_run_t *run)
{
    leat_command_t ping = { .id = LEAT_PING };
    driver_post (run->driver, PRODUCER, &ping);
    for (uint32_t i = 0; i < run->job->workers; i++)
        if (run->workers[i].attached)
            driver_post (run->driver, i + 1, &ping);
    run->ping_us = run->driver->now_us + 1000000;
}

/* ---- time ------------------------------------------------------------------------------------ */

static uint64_t s_least (uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

static void s_step (s_run_t *run)
{
    driver_t *driver = run->driver;
    uint64_t next = s_least (run->ping_us, leat_core_deadline (driver->core));
    bool joins = run->job->late_at > 0 && !run->workers[run->job->late].attached;
    if (joins)
        next = s_least (next, run->start_us + run->join_us);
    for (uint32_t i = 0; i < run->job->workers; i++) {
        const s_worker_t *worker = &run->workers[i];
        next = s_least (next, s_least (s_due (&worker->down), s_due (&worker->up)));
        if (worker->busy)
            next = s_least (next, worker->done_us);
        if (worker->settled_count)
            next = s_least (next, worker->gather_end_us);
    }
    if (next > driver->now_us)
        driver->now_us = next;
    leat_core_tick (driver->core, driver->now_us, driver->wall_ms);
    if (joins && driver->now_us >= run->start_us + run->join_us)
        s_attach (run, run->job->late);
    for (uint32_t i = 0; i < run->job->workers; i++) {
        s_worker_t *worker = &run->workers[i];
        if (worker->busy && worker->done_us <= driver->now_us)
            s_finish (run, i);
        s_hears (run, i);
        if (worker->settled_count && worker->gather_end_us <= driver->now_us)
            s_tell (run, worker);
        s_post (run, i);
    }
    if (driver->now_us >= run->ping_us)
        s_ping (run);
    driver_turn (driver);
    s_deliver (run);
}

static uint64_t s_ours (s_run_t *run)
{
    leat_limits_t limits;
    leat_limits_default (&limits);
    limits.grant_min_size = 4194304; /* all is published at once */
    run->driver = driver_new (&limits);
    run->driver->hasty = true;
    driver_hello (run->driver, PRODUCER, "mill");
    driver_open (run->driver, PRODUCER, 1, "jobs");
    for (uint32_t i = 0; i < run->job->workers; i++) {
        run->workers[i].settled = leat_alloc (run->job->tasks * sizeof (s_task_t));
        run->workers[i].gather_end_us = never;
        if (run->job->late_at <= 0 || i != run->job->late)
            s_attach (run, i);
    }
    driver_drop (run->driver, 0);
    run->start_us = run->driver->now_us;
    run->left = run->job->tasks;
    for (uint32_t first = 0; first < run->job->tasks; first += BATCH) {
        uint32_t count = run->job->tasks - first < BATCH ? run->job->tasks - first : BATCH;
        driver_publish (run->driver, PRODUCER, 1, first + 1, count);
        s_deliver (run);
    }
    while (run->left)
        s_step (run);
    for (uint32_t i = 0; i < run->job->tasks; i++)
        assert_int_equal (run->times[i], 1);
    return run->last_us - run->start_us;
}

/* ---- runs ------------------------------------------------------------------------------------ */

static double s_ratio (const s_job_t *job, uint64_t seed, leat_statistics_t *statistics)
{
    s_run_t run = { .job = job, .costs = s_costs (job, seed), .times = leat_alloc (job->tasks) };
    s_job_t plain = *job;
    plain.slowed_at = 0;
    plain.late_at = 0;
    run.job = &plain;
    double whole_us = (double) s_ideal (&run);
    run.job = job;
    run.slow_us = (uint64_t) (job->slowed_at * whole_us);
    run.join_us = (uint64_t) (job->late_at * whole_us);
    double ratio = (double) s_ideal (&run) / (double) s_ours (&run);
    leat_core_check (run.driver->core);
    *statistics = driver_statistics (run.driver);
    for (uint32_t i = 0; i < job->workers; i++) {
        free (run.workers[i].up.messages);
        free (run.workers[i].down.messages);
        free (run.workers[i].waiting);
        free (run.workers[i].settled);
    }
    driver_destroy (&run.driver);
    free (run.costs);
    free (run.times);
    return ratio;
}

static void s_try (const s_job_t *job)
{
    enum { SEEDS = 3 };
    double least = 1e9;
    double sum = 0;
    leat_statistics_t statistics = { 0 };
    for (uint64_t seed = 1; seed <= SEEDS; seed++) {
        double ratio = s_ratio (job, seed, &statistics);
        sum += ratio;
        if (ratio < least)
            least = ratio;
    }
    print_message ("%-48s mean %.4f, least %.4f; %llu recalls, %llu records recalled\n", job->name,
                   sum / SEEDS, least, (unsigned long long) statistics.recalls,
                   (unsigned long long) statistics.records_recalled);
    assert_true (least >= job->required);
}

#define SPEEDS .speeds = { 1, 2, 4, 8 }, .workers = 4

static void test_speeds (void **state)
{
    static const s_job_t jobs[] = {
        { "log-normal, 1 ms", 20000, 1000, 1, SPEEDS, .required = 0.98 },
        { "constant, 1 ms", 20000, 1000, 0, SPEEDS, .required = 0.98 },
        { "log-normal, 1 ms, the second fastest slows down", 20000, 1000, 1, SPEEDS, .slowed = 2,
          .slowed_at = 0.5, .required = 0.95 },
        { "log-normal, 1 ms, the fastest joins late", 20000, 1000, 1, SPEEDS, .late = 3,
          .late_at = 1.0 / 3, .required = 0.97 },
        { "log-normal, 1 ms, the slowest joins late", 20000, 1000, 1, SPEEDS, .late = 0,
          .late_at = 1.0 / 3, .required = 0.97 },
        { "log-normal, 8 ms", 20000, 8000, 1, SPEEDS, .required = 0.98 },
        { "log-normal, 1 ms, gathered", 20000, 1000, 1, SPEEDS, .gather_us = 1000 },
        { "log-normal, 10 us", 20000, 10, 1, SPEEDS },
        { "log-normal, 10 us, gathered", 20000, 10, 1, SPEEDS, .gather_us = 1000 },
        { "log-normal, 100 ms", 200, 100000, 1, SPEEDS },
        { "log-normal, 1 s", 200, 1000000, 1, SPEEDS },
        { "constant, 1 s", 200, 1000000, 0, SPEEDS },
        { "log-normal, 1 ms, eight equal ones", 20000, 1000, 1,
          .speeds = { 1, 1, 1, 1, 1, 1, 1, 1 }, .workers = 8 },
        { "log-normal, 1 ms, alone", 2000, 1000, 1, .speeds = { 1 }, .workers = 1 },
    };
    for (size_t i = 0; i < sizeof jobs / sizeof *jobs; i++)
        s_try (&jobs[i]);
}

int main (void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test (test_speeds),
    };
    return cmocka_run_group_tests (tests, NULL, NULL);
}

/* A list of tasks that four consumers of different speeds work off.
 * SPDX-License-Identifier: MPL-2.0 */
#include "bench/work.h"

#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <poll.h>
#include <string.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#include "bench/records.h"
#include "wire/assert.h"

#define S_MEAN_NS 1e6
#define S_SIGMA 1.0
#define S_SLOWER 20.0
#define S_WAIT_MS 600000

const char *leat_bench_scenario_name (leat_bench_scenario_t scenario)
{
    static const char *const names[LEAT_BENCH_SCENARIOS] = { "lognormal", "constant", "slowdown",
                                                             "latecomer" };
    leat_assert (scenario < LEAT_BENCH_SCENARIOS);
    return names[scenario];
}

leat_bench_scenario_t leat_bench_scenario_find (const char *name, size_t size)
{
    unsigned scenario = 0;
    for (; scenario < LEAT_BENCH_SCENARIOS; scenario++) {
        const char *known = leat_bench_scenario_name ((leat_bench_scenario_t) scenario);
        if (strlen (known) == size && memcmp (known, name, size) == 0)
            break;
    }
    return (leat_bench_scenario_t) scenario;
}

/* ---- the list -------------------------------------------------------------------------------- */

/* Above 0 and below 1. */
static double s_uniform (uint64_t *state)
{
    return ((double) (leat_bench_random (state) >> 11) + 0.5) / 9007199254740992.0;
}

/* Log-normal with the mean S_MEAN_NS: exp (normal), of which Box and Muller make one of two uniform
 * numbers. */
static uint64_t s_lognormal (uint64_t *state)
{
    double radius = sqrt (-2 * log (s_uniform (state)));
    double normal = radius * cos (2 * M_PI * s_uniform (state));
    return (uint64_t) (S_MEAN_NS * exp (S_SIGMA * normal - S_SIGMA * S_SIGMA / 2));
}

static size_t s_size (uint64_t count)
{
    return sizeof (leat_bench_work_t) + (size_t) count * sizeof (leat_bench_task_t);
}

leat_bench_work_t *leat_bench_work_new (const leat_bench_plan_t *plan,
                                        leat_bench_scenario_t scenario)
{
    leat_bench_round_t *round = leat_bench_round_new (plan, 0);
    leat_bench_work_t *self = round ? leat_bench_shared_new (s_size (plan->records)) : NULL;
    if (!self) {
        leat_bench_round_destroy (&round);
        return NULL;
    }
    self->round = round;
    self->scenario = scenario;
    self->count = plan->records;
    self->late = eventfd (0, EFD_CLOEXEC);
    self->go = eventfd (0, EFD_CLOEXEC);
    uint64_t state = plan->seed;
    for (uint64_t i = 0; i < self->count; i++)
        self->tasks[i].work_ns =
            scenario == LEAT_BENCH_CONSTANT ? (uint64_t) S_MEAN_NS : s_lognormal (&state);
    if (self->late < 0 || self->go < 0)
        leat_bench_work_destroy (&self);
    return self;
}

void leat_bench_work_destroy (leat_bench_work_t **self_p)
{
    leat_bench_work_t *self = *self_p;
    if (!self)
        return;
    if (self->late >= 0)
        close (self->late);
    if (self->go >= 0)
        close (self->go);
    leat_bench_round_destroy (&self->round);
    leat_bench_shared_destroy (self, s_size (self->count));
    *self_p = NULL;
}

double leat_bench_work_factor (leat_bench_scenario_t scenario, unsigned worker, uint64_t done,
                               uint64_t count)
{
    double factor = (double) (1u << (LEAT_BENCH_WORKERS - 1 - worker));
    bool slow =
        scenario == LEAT_BENCH_SLOWDOWN && worker == LEAT_BENCH_WORKER_SLOWING && done >= count / 2;
    return slow ? S_SLOWER * factor : factor;
}

uint64_t leat_bench_work_joins (leat_bench_scenario_t scenario, unsigned worker, uint64_t count)
{
    return scenario == LEAT_BENCH_LATECOMER && worker == LEAT_BENCH_WORKER_LATE ? count / 3 : 0;
}

/* ---- records --------------------------------------------------------------------------------- */

static void s_make (const leat_bench_work_t *self, uint64_t number, uint8_t *body)
{
    size_t size = self->round->plan.size;
    uint64_t state = self->round->plan.seed + number;
    memcpy (body, &number, 8);
    memcpy (body + 8, &self->tasks[number].work_ns, 8);
    for (size_t at = 16; at < size; at += 8) {
        uint64_t word = leat_bench_random (&state);
        memcpy (body + at, &word, size - at < 8 ? size - at : 8);
    }
}

void leat_bench_work_make (leat_bench_work_t *self, uint64_t number, uint8_t *body)
{
    leat_assert (number < self->count);
    if (number == 0)
        self->start_ns = leat_bench_now_ns ();
    s_make (self, number, body);
}

static bool s_check (leat_bench_work_t *self, const void *body, size_t size, uint64_t *number)
{
    leat_bench_round_t *round = self->round;
    if (size != round->plan.size) {
        leat_bench_round_fail (round, "a task has %zu bytes, sent were %zu", size,
                               round->plan.size);
        return false;
    }
    memcpy (number, body, 8);
    uint8_t expected[LEAT_BENCH_WORK_SIZE_MAX];
    if (*number < self->count) {
        s_make (self, *number, expected);
        if (memcmp (expected, body, size) == 0)
            return true;
    }
    leat_bench_round_fail (round, "task %" PRIu64 " is not as it was sent", *number);
    return false;
}

/* ---- working --------------------------------------------------------------------------------- */

static void s_tell (int fd)
{
    uint64_t one = 1;
    ssize_t wrote = write (fd, &one, sizeof one);
    leat_assert (wrote == (ssize_t) sizeof one);
}

static void s_sleep_until (uint64_t due_ns)
{
    struct timespec due = { .tv_sec = (time_t) (due_ns / 1000000000u),
                            .tv_nsec = (long) (due_ns % 1000000000u) };
    while (clock_nanosleep (CLOCK_MONOTONIC, TIMER_ABSTIME, &due, NULL) == EINTR) {
    }
}

bool leat_bench_work_do (leat_bench_work_t *self, unsigned worker, const void *body, size_t size)
{
    uint64_t begin_ns = leat_bench_now_ns ();
    uint64_t number;
    if (!s_check (self, body, size, &number))
        return false;
    leat_bench_task_t *task = &self->tasks[number];
    double factor =
        leat_bench_work_factor (self->scenario, worker, atomic_load (&self->done), self->count);
    uint64_t planned_ns = (uint64_t) ((double) task->work_ns * factor);
    s_sleep_until (begin_ns + planned_ns);
    uint64_t end_ns = leat_bench_now_ns ();

    if (atomic_fetch_add (&task->times, 1) > 0) {
        atomic_fetch_add (&self->doubles, 1);
        return true;
    }
    task->worker = worker;
    task->planned_ns = planned_ns;
    task->elapsed_ns = end_ns - begin_ns;
    task->end_ns = end_ns;
    uint64_t done = atomic_fetch_add (&self->done, 1) + 1;
    if (done == leat_bench_work_joins (self->scenario, LEAT_BENCH_WORKER_LATE, self->count))
        s_tell (self->late);
    return true;
}

void leat_bench_work_wait (leat_bench_work_t *self, unsigned worker)
{
    struct pollfd polled = { .fd = self->late, .events = POLLIN };
    if (leat_bench_work_joins (self->scenario, worker, self->count))
        while (poll (&polled, 1, S_WAIT_MS) < 0 && errno == EINTR) {
        }
}

bool leat_bench_work_over (const leat_bench_work_t *self)
{
    return atomic_load (&self->done) == self->count;
}

/* ---- what came out --------------------------------------------------------------------------- */

uint64_t leat_bench_work_makespan_ns (const leat_bench_work_t *self)
{
    uint64_t last_ns = 0;
    if (!leat_bench_work_over (self))
        return 0;
    for (uint64_t i = 0; i < self->count; i++)
        if (last_ns < self->tasks[i].end_ns)
            last_ns = self->tasks[i].end_ns;
    return last_ns - self->start_ns;
}

void leat_bench_work_shares (const leat_bench_work_t *self, uint64_t counts[LEAT_BENCH_WORKERS])
{
    memset (counts, 0, LEAT_BENCH_WORKERS * sizeof counts[0]);
    for (uint64_t i = 0; i < self->count; i++)
        counts[self->tasks[i].worker]++;
}

typedef struct {
    const leat_bench_work_t *work;
    uint64_t end_ns[LEAT_BENCH_WORKERS]; /* UINT64_MAX: has nothing */
    uint64_t next;
    uint64_t done;
} s_queue_t;

/* Gives a worker who is free the next task, if there is one. */
static void s_give (s_queue_t *self, unsigned worker, uint64_t now_ns)
{
    const leat_bench_work_t *work = self->work;
    self->end_ns[worker] = UINT64_MAX;
    if (self->next == work->count)
        return;
    const leat_bench_task_t *task = &work->tasks[self->next++];
    double factor = leat_bench_work_factor (work->scenario, worker, self->done, work->count);
    uint64_t added_ns =
        task->elapsed_ns > task->planned_ns ? task->elapsed_ns - task->planned_ns : 0;
    self->end_ns[worker] = now_ns + (uint64_t) ((double) task->work_ns * factor) + added_ns;
}

uint64_t leat_bench_work_ideal_ns (const leat_bench_work_t *self)
{
    s_queue_t queue = { .work = self };
    uint64_t now_ns = 0;
    for (unsigned worker = LEAT_BENCH_WORKERS; worker-- > 0;) {
        queue.end_ns[worker] = UINT64_MAX;
        if (!leat_bench_work_joins (self->scenario, worker, self->count))
            s_give (&queue, worker, 0);
    }
    while (queue.done < self->count) {
        unsigned first = 0;
        for (unsigned worker = 1; worker < LEAT_BENCH_WORKERS; worker++)
            if (queue.end_ns[worker] <= queue.end_ns[first])
                first = worker;
        leat_assert (queue.end_ns[first] != UINT64_MAX);
        now_ns = queue.end_ns[first];
        queue.done++;
        if (queue.done
            == leat_bench_work_joins (self->scenario, LEAT_BENCH_WORKER_LATE, self->count))
            s_give (&queue, LEAT_BENCH_WORKER_LATE, now_ns);
        s_give (&queue, first, now_ns);
    }
    return now_ns;
}

/* Forks the processes of a round, waits for them, ends them.
 * SPDX-License-Identifier: MPL-2.0 */
#include "bench/processes.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include "wire/alloc.h"
#include "wire/assert.h"

/* A child that is not ready by then has failed. */
#define S_READY_NS UINT64_C (120000000000)
/* A middle that has not followed SIGTERM by then gets SIGKILL. */
#define S_TERMINATE_NS UINT64_C (10000000000)
/* Where nothing is counted for that long, something is wrong. */
#define S_NOTHING_NS UINT64_C (60000000000)

typedef struct {
    pid_t pid; /* 0: it has ended */
    const char *name;
    bool ended_by_us;
    leat_bench_usage_t usage;
} s_child_t;

struct leat_bench_processes {
    sigset_t signals_before;
    int signals; /* signalfd */
    s_child_t children[LEAT_BENCH_PROCESSES_MAX];
    int count;
    bool over; /* all were ended; the next one is number 0 again */
    bool interrupted;
};

leat_bench_processes_t *leat_bench_processes_new (void)
{
    leat_bench_processes_t *self = leat_alloc (sizeof *self);
    sigset_t signals;
    sigemptyset (&signals);
    sigaddset (&signals, SIGINT);
    sigaddset (&signals, SIGTERM);
    sigaddset (&signals, SIGCHLD);
    sigprocmask (SIG_BLOCK, &signals, &self->signals_before);
    self->signals = signalfd (-1, &signals, SFD_CLOEXEC | SFD_NONBLOCK);
    leat_assert (self->signals >= 0);
    return self;
}

/* Takes the end of a child if it has ended. */
static void s_reap (s_child_t *child, leat_bench_round_t *round)
{
    int status;
    struct rusage usage;
    if (!child->pid || wait4 (child->pid, &status, WNOHANG, &usage) != child->pid)
        return;
    child->pid = 0;
    child->usage.cpu_ns = (uint64_t) (usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) * 1000000000u
                          + (uint64_t) (usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) * 1000u;
    child->usage.switches = (uint64_t) usage.ru_nvcsw;
    if (!round || child->ended_by_us)
        return;
    if (WIFSIGNALED (status))
        leat_bench_round_fail (round, "the %s died of signal %d (%s)", child->name,
                               WTERMSIG (status), strsignal (WTERMSIG (status)));
    else if (WEXITSTATUS (status) != 0)
        leat_bench_round_fail (round, "the %s ended with exit code %d", child->name,
                               WEXITSTATUS (status));
}

/* Waits for a signal or for `fd` (unless negative), no longer than until deadline_ns; takes the ends
 * of children. */
static void s_wait (leat_bench_processes_t *self, int fd, uint64_t deadline_ns,
                    leat_bench_round_t *round)
{
    struct pollfd polled[] = { { .fd = self->signals, .events = POLLIN },
                               { .fd = fd, .events = POLLIN } };
    uint64_t now_ns = leat_bench_now_ns ();
    uint64_t timeout_ms = now_ns < deadline_ns ? (deadline_ns - now_ns) / 1000000 + 1 : 0;
    poll (polled, 2, timeout_ms > 1000000 ? 1000000 : (int) timeout_ms);

    struct signalfd_siginfo info;
    while (read (self->signals, &info, sizeof info) == (ssize_t) sizeof info)
        if (info.ssi_signo != SIGCHLD)
            self->interrupted = true;
    /* One SIGCHLD may stand for several children. */
    for (int i = 0; i < self->count; i++)
        s_reap (&self->children[i], round);
}

static void s_end (leat_bench_processes_t *self, s_child_t *child, bool gently,
                   leat_bench_round_t *round)
{
    uint64_t deadline_ns = leat_bench_now_ns () + S_TERMINATE_NS;
    child->ended_by_us = true;
    if (child->pid && gently) {
        kill (child->pid, SIGTERM);
        while (child->pid && leat_bench_now_ns () < deadline_ns)
            s_wait (self, -1, deadline_ns, round);
    }
    if (child->pid) {
        kill (child->pid, SIGKILL);
        while (child->pid)
            s_wait (self, -1, UINT64_MAX, round);
    }
}

void leat_bench_processes_end (leat_bench_processes_t *self, leat_bench_round_t *round)
{
    for (int i = self->count; i-- > 0;)
        s_end (self, &self->children[i], i == 0, round);
    self->over = true;
}

void leat_bench_processes_destroy (leat_bench_processes_t **self_p)
{
    leat_bench_processes_t *self = *self_p;
    if (!self)
        return;
    leat_bench_processes_end (self, NULL);
    close (self->signals);
    sigprocmask (SIG_SETMASK, &self->signals_before, NULL);
    free (self);
    *self_p = NULL;
}

pid_t leat_bench_processes_pid (const leat_bench_processes_t *self, int number)
{
    leat_assert (number >= 0 && number < self->count);
    return self->children[number].pid;
}

leat_bench_usage_t leat_bench_processes_usage (const leat_bench_processes_t *self, int number)
{
    leat_assert (number >= 0 && number < self->count);
    return self->children[number].usage;
}

_Noreturn static void s_child (leat_bench_processes_t *self, pid_t parent,
                               leat_bench_process_fn *run, void *arg, int ready)
{
    prctl (PR_SET_PDEATHSIG, SIGKILL);
    if (getppid () != parent)
        _exit (1); /* it died before we could ask to die with it */
    signal (SIGINT, SIG_DFL);
    signal (SIGTERM, SIG_DFL);
    signal (SIGPIPE, SIG_IGN);
    close (self->signals);
    sigprocmask (SIG_SETMASK, &self->signals_before, NULL);
    free (self);
    exit (run (arg, ready));
}

/* Waits for the child's byte; false if that does not come. */
static bool s_ready (leat_bench_processes_t *self, s_child_t *child, int ready,
                     leat_bench_round_t *round)
{
    char byte;
    ssize_t got = -1;
    uint64_t deadline_ns = leat_bench_now_ns () + S_READY_NS;
    fcntl (ready, F_SETFL, O_NONBLOCK);
    while (got < 0 && !self->interrupted && leat_bench_now_ns () < deadline_ns) {
        s_wait (self, ready, deadline_ns, round);
        got = read (ready, &byte, 1);
    }
    /* It has ended: better to know how. */
    deadline_ns = leat_bench_now_ns () + S_TERMINATE_NS;
    while (got == 0 && child->pid && leat_bench_now_ns () < deadline_ns)
        s_wait (self, -1, deadline_ns, round);
    if (self->interrupted)
        leat_bench_round_fail (round, "interrupted");
    else if (got != 1)
        leat_bench_round_fail (round, "the %s did not get ready", child->name);
    return got == 1;
}

int leat_bench_processes_start (leat_bench_processes_t *self, const char *name,
                                leat_bench_process_fn *run, void *arg, leat_bench_round_t *round)
{
    if (self->over) {
        self->count = 0;
        self->over = false;
    }
    leat_assert (self->count < LEAT_BENCH_PROCESSES_MAX);
    int ready[2];
    if (pipe2 (ready, O_CLOEXEC) != 0) {
        leat_bench_round_fail (round, "no pipe: %s", strerror (errno));
        return -1;
    }
    fflush (NULL); /* or the child would write it once more */
    pid_t parent = getpid ();
    pid_t pid = fork ();
    if (pid == 0) {
        close (ready[0]);
        s_child (self, parent, run, arg, ready[1]);
    }
    close (ready[1]);
    if (pid < 0) {
        close (ready[0]);
        leat_bench_round_fail (round, "no process: %s", strerror (errno));
        return -1;
    }
    int number = self->count++;
    self->children[number] = (s_child_t){ .pid = pid, .name = name };
    bool good = s_ready (self, &self->children[number], ready[0], round);
    close (ready[0]);
    return good ? number : -1;
}

static bool s_any (const leat_bench_processes_t *self, int first)
{
    for (int i = first; i < self->count; i++)
        if (self->children[i].pid)
            return true;
    return false;
}

/* No child failed, and no signal came. */
static bool s_good (const leat_bench_processes_t *self, leat_bench_round_t *round)
{
    if (self->interrupted)
        leat_bench_round_fail (round, "interrupted");
    return !round->error[0];
}

bool leat_bench_processes_wait (leat_bench_processes_t *self, int first, uint64_t deadline_ns,
                                leat_bench_round_t *round)
{
    while (s_good (self, round) && s_any (self, first) && leat_bench_now_ns () < deadline_ns)
        s_wait (self, -1, deadline_ns, round);
    return s_good (self, round) && !s_any (self, first);
}

bool leat_bench_processes_pause (leat_bench_processes_t *self, double seconds,
                                 leat_bench_round_t *round)
{
    uint64_t deadline_ns = leat_bench_now_ns () + (uint64_t) (seconds * 1e9);
    while (s_good (self, round) && leat_bench_now_ns () < deadline_ns)
        s_wait (self, -1, deadline_ns, round);
    return s_good (self, round);
}

bool leat_bench_processes_rate (leat_bench_processes_t *self, double seconds,
                                leat_bench_count_fn *count, void *arg, double *per_second,
                                leat_bench_round_t *round)
{
    uint64_t before = count (arg);
    uint64_t counted = 0;
    uint64_t start_ns = leat_bench_now_ns ();
    while (counted == 0 && leat_bench_now_ns () < start_ns + S_NOTHING_NS) {
        if (!leat_bench_processes_pause (self, seconds, round))
            return false;
        counted = count (arg) - before;
    }
    *per_second = (double) counted * 1e9 / (double) (leat_bench_now_ns () - start_ns);
    if (counted == 0)
        leat_bench_round_fail (round, "nothing came while it was measured");
    return counted > 0;
}

/* ---- three roles ----------------------------------------------------------------------------- */

typedef struct {
    leat_bench_role_fn *role;
    leat_bench_round_t *round;
} s_role_t;

static int s_play (void *arg, int ready)
{
    s_role_t *self = arg;
    return self->role (self->round, ready);
}

bool leat_bench_processes_run (leat_bench_processes_t *self,
                               const leat_bench_contender_t *contender, leat_bench_round_t *round)
{
    static const char *const names[LEAT_BENCH_ROLES] = { "middle", "consumer", "producer" };
    int numbers[LEAT_BENCH_ROLES];
    bool good = true;
    for (int role = 0; role < LEAT_BENCH_ROLES; role++) {
        s_role_t play = { .role = contender->roles[role], .round = round };
        numbers[role] = -1;
        if (!good || !play.role)
            continue;
        numbers[role] = leat_bench_processes_start (self, names[role], s_play, &play, round);
        good = numbers[role] >= 0;
    }

    int first = numbers[LEAT_BENCH_MIDDLE] >= 0 ? 1 : 0;
    uint64_t deadline_ns = leat_bench_now_ns () + round->plan.timeout_ns;
    if (good && !leat_bench_processes_wait (self, first, deadline_ns, round)) {
        leat_bench_round_fail (round, "not over after %.0f s",
                               (double) round->plan.timeout_ns / 1e9);
        good = false;
    }
    leat_bench_processes_end (self, round);
    for (int role = 0; role < LEAT_BENCH_ROLES; role++) {
        if (numbers[role] < 0)
            continue;
        leat_bench_usage_t usage = leat_bench_processes_usage (self, numbers[role]);
        bool server = role == LEAT_BENCH_MIDDLE && usage.cpu_ns > round->start_cpu_ns;
        round->cpu_ns[role] = usage.cpu_ns - (server ? round->start_cpu_ns : 0);
        round->switches[role] = usage.switches;
    }
    if (good && !round->complete)
        leat_bench_round_fail (round, "the last record never came");
    return good && !round->error[0];
}

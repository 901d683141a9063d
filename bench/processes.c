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

/* A role that is not ready by then has failed. */
#define S_READY_NS UINT64_C (20000000000)
/* A middle that has not followed SIGTERM by then gets SIGKILL. */
#define S_TERMINATE_NS UINT64_C (5000000000)

static const char *const s_role_names[LEAT_BENCH_ROLES] = { "middle", "consumer", "producer" };

struct leat_bench_processes {
    sigset_t signals_before;
    int signals;                      /* signalfd */
    pid_t children[LEAT_BENCH_ROLES]; /* 0: none */
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
static void s_reap (leat_bench_processes_t *self, leat_bench_role_t role, leat_bench_round_t *round,
                    bool ended_by_us)
{
    int status;
    struct rusage usage;
    pid_t pid = self->children[role];
    if (!pid || wait4 (pid, &status, WNOHANG, &usage) != pid)
        return;
    self->children[role] = 0;
    if (!round)
        return;
    round->cpu_ns[role] = (uint64_t) (usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) * 1000000000u
                          + (uint64_t) (usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) * 1000u;
    round->switches[role] = (uint64_t) usage.ru_nvcsw;
    if (ended_by_us)
        return;
    if (WIFSIGNALED (status))
        leat_bench_round_fail (round, "the %s died of signal %d (%s)", s_role_names[role],
                               WTERMSIG (status), strsignal (WTERMSIG (status)));
    else if (WEXITSTATUS (status) != 0)
        leat_bench_round_fail (round, "the %s ended with exit code %d", s_role_names[role],
                               WEXITSTATUS (status));
}

/* Waits for a signal or for `fd` (unless negative), no longer than until deadline_ns; takes the ends
 * of children. */
static void s_wait (leat_bench_processes_t *self, int fd, uint64_t deadline_ns,
                    leat_bench_round_t *round, bool ended_by_us)
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
    for (int role = 0; role < LEAT_BENCH_ROLES; role++)
        s_reap (self, (leat_bench_role_t) role, round, ended_by_us);
}

/* Ends a child that runs: SIGTERM first if there is time for it. */
static void s_end (leat_bench_processes_t *self, leat_bench_role_t role, leat_bench_round_t *round,
                   bool gently)
{
    uint64_t deadline_ns = leat_bench_now_ns () + S_TERMINATE_NS;
    if (self->children[role] && gently) {
        kill (self->children[role], SIGTERM);
        while (self->children[role] && leat_bench_now_ns () < deadline_ns)
            s_wait (self, -1, deadline_ns, round, true);
    }
    if (self->children[role]) {
        kill (self->children[role], SIGKILL);
        while (self->children[role])
            s_wait (self, -1, UINT64_MAX, round, true);
    }
}

void leat_bench_processes_destroy (leat_bench_processes_t **self_p)
{
    leat_bench_processes_t *self = *self_p;
    if (!self)
        return;
    for (int role = 0; role < LEAT_BENCH_ROLES; role++)
        s_end (self, (leat_bench_role_t) role, NULL, false);
    close (self->signals);
    sigprocmask (SIG_SETMASK, &self->signals_before, NULL);
    free (self);
    *self_p = NULL;
}

_Noreturn static void s_child (leat_bench_processes_t *self, pid_t parent, leat_bench_role_fn *role,
                               leat_bench_round_t *round, int ready)
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
    exit (role (round, ready));
}

/* Starts a role and waits until it is ready; false if that fails. */
static bool s_start (leat_bench_processes_t *self, const leat_bench_contender_t *contender,
                     leat_bench_role_t role, leat_bench_round_t *round)
{
    if (!contender->roles[role])
        return true;
    int ready[2];
    if (pipe2 (ready, O_CLOEXEC) != 0) {
        leat_bench_round_fail (round, "no pipe: %s", strerror (errno));
        return false;
    }
    fflush (NULL); /* or the child would write it once more */
    pid_t parent = getpid ();
    pid_t pid = fork ();
    if (pid == 0) {
        close (ready[0]);
        s_child (self, parent, contender->roles[role], round, ready[1]);
    }
    close (ready[1]);
    if (pid < 0) {
        close (ready[0]);
        leat_bench_round_fail (round, "no process: %s", strerror (errno));
        return false;
    }
    self->children[role] = pid;

    char byte;
    ssize_t got = -1;
    uint64_t deadline_ns = leat_bench_now_ns () + S_READY_NS;
    fcntl (ready[0], F_SETFL, O_NONBLOCK);
    while (got < 0 && !self->interrupted && leat_bench_now_ns () < deadline_ns) {
        s_wait (self, ready[0], deadline_ns, round, false);
        got = read (ready[0], &byte, 1);
    }
    close (ready[0]);
    /* It has ended: better to know how. */
    deadline_ns = leat_bench_now_ns () + S_TERMINATE_NS;
    while (got == 0 && self->children[role] && leat_bench_now_ns () < deadline_ns)
        s_wait (self, -1, deadline_ns, round, false);
    if (got != 1)
        leat_bench_round_fail (round, "the %s did not get ready", s_role_names[role]);
    return got == 1;
}

bool leat_bench_processes_run (leat_bench_processes_t *self,
                               const leat_bench_contender_t *contender, leat_bench_round_t *round)
{
    bool good = s_start (self, contender, LEAT_BENCH_MIDDLE, round)
                && s_start (self, contender, LEAT_BENCH_CONSUMER, round)
                && s_start (self, contender, LEAT_BENCH_PRODUCER, round);

    uint64_t deadline_ns = leat_bench_now_ns () + round->plan.timeout_ns;
    while (good && !self->interrupted && !round->error[0]
           && (self->children[LEAT_BENCH_PRODUCER] || self->children[LEAT_BENCH_CONSUMER])) {
        if (leat_bench_now_ns () >= deadline_ns)
            leat_bench_round_fail (round, "not over after %.0f s",
                                   (double) round->plan.timeout_ns / 1e9);
        else
            s_wait (self, -1, deadline_ns, round, false);
    }
    good = good && !self->interrupted && !round->error[0];

    s_end (self, LEAT_BENCH_PRODUCER, round, false);
    s_end (self, LEAT_BENCH_CONSUMER, round, false);
    s_end (self, LEAT_BENCH_MIDDLE, round, good);
    if (self->interrupted)
        leat_bench_round_fail (round, "interrupted");
    else if (good && !round->complete)
        leat_bench_round_fail (round, "the last record never came");
    return good && !round->error[0];
}

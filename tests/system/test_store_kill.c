/* SIGKILL of a process that commits, again and again: what it was told is there.
 * SPDX-License-Identifier: MPL-2.0 */
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/system/store/workload.h"
#include "tests/unit/store_place.h"
#include "wire/assert.h"

enum { ROUNDS = 30, WINDOW = 4, BEHIND_MAX = 2 * WINDOW, NOW_MS = 1700000000 };

static bool s_anything (void *arg, leat_buffer_t *commit)
{
    (void) arg;
    (void) commit;
    return true;
}

/* Commits until it is killed, and writes a byte for each commit that was told. */
_Noreturn static void s_child (const char *path, workload_t *load, int fd)
{
    char error[512];
    uint64_t incarnation;
    bool refused[1 << 16];
    prctl (PR_SET_PDEATHSIG, SIGKILL);
    leat_store_options_t options = { .path = path,
                                     .commit_size_max = WORKLOAD_COMMIT_SIZE_MAX,
                                     .size_max = UINT64_C (1) << 30 };
    leat_store_t *store = leat_store_open (&leat_store_lmdb, &options, error, sizeof error);
    if (!store || leat_store_acquire (store, NOW_MS, &incarnation, error, sizeof error)
        || leat_store_recover (store, s_anything, NULL, error, sizeof error)) {
        fprintf (stderr, "the child cannot open the store: %s\n", error);
        _exit (1);
    }
    uint64_t told = 0;
    for (uint64_t id = 1; id < sizeof refused; id++) {
        leat_commit_t *commit = workload_next (load, id, &refused[id]);
        leat_store_submit (store, &commit);
        leat_store_event_t event;
        while (told + WINDOW <= id) {
            bool good = workload_wait (store, &event) && event.id == ++told
                        && event.result == (refused[told] ? LEAT_COMMIT_REFUSED : LEAT_COMMIT_OK);
            if (!good || write (fd, "+", 1) != 1)
                _exit (2);
        }
    }
    _exit (3);
}

/* Reads what the child wrote until there are `enough`, or no more comes. */
static uint64_t s_count (int fd, uint64_t enough)
{
    char bytes[256];
    uint64_t count = 0;
    while (count < enough) {
        ssize_t size = read (fd, bytes, sizeof bytes);
        if (size <= 0)
            break;
        count += (uint64_t) size;
    }
    return count;
}

/* Steps the load on until it is in the state that the store is in. */
static int s_follow (workload_t *load, const char *path, uint64_t confirmed)
{
    char error[512];
    uint64_t digest;
    if (!workload_examine (path, &digest, error, sizeof error)) {
        fprintf (stderr, "%s\n", error);
        return -1;
    }
    uint64_t first = workload_count (load) + confirmed;
    for (;;) {
        if (workload_count (load) >= first && workload_digest (load) == digest)
            return 0;
        if (workload_count (load) >= first + BEHIND_MAX)
            break;
        bool refused;
        leat_commit_t *commit = workload_next (load, 1 + workload_count (load), &refused);
        leat_commit_destroy (&commit);
    }
    fprintf (stderr, "what is there is not the state after commit %llu to %llu\n",
             (unsigned long long) first, (unsigned long long) workload_count (load));
    return -1;
}

static int s_round (workload_t *load, const char *path, uint64_t enough)
{
    int fds[2];
    int status;
    int code = pipe (fds);
    leat_assert (code == 0);
    fflush (NULL);
    pid_t child = fork ();
    leat_assert (child >= 0);
    if (!child) {
        close (fds[0]);
        s_child (path, load, fds[1]);
    }
    close (fds[1]);
    uint64_t confirmed = s_count (fds[0], enough);
    kill (child, SIGKILL);
    confirmed += s_count (fds[0], UINT64_MAX); /* what it wrote before it died */
    close (fds[0]);
    waitpid (child, &status, 0);
    if (!WIFSIGNALED (status)) {
        fprintf (stderr, "the child ended by itself with %d\n", WEXITSTATUS (status));
        return -1;
    }
    return s_follow (load, path, confirmed);
}

int main (void)
{
    char path[300];
    uint64_t random = 1;
    snprintf (path, sizeof path, "%s", store_place ());
    workload_t *load = workload_new (7);
    int code = 0;
    for (int i = 0; i < ROUNDS && !code; i++)
        code = s_round (load, path, workload_random (&random, 40));
    printf ("%d rounds, %llu commits\n", ROUNDS, (unsigned long long) workload_count (load));
    workload_destroy (&load);
    store_place_end ();
    return code ? 1 : 0;
}

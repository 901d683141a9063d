/* A process that ends the commands which its parent leaves behind.
 * SPDX-License-Identifier: MPL-2.0 */

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "consumers/guardian.h"
#include "wire/alloc.h"

struct leat_guardian {
    pid_t process;
    int farewell; /* the pipe's end that is written to */
};

static _Noreturn void s_guard (int pipe_end)
{
    sigset_t all;
    char byte;
    ssize_t size;
    sigfillset (&all);
    sigprocmask (SIG_SETMASK, &all, NULL);
    setpgid (0, 0);
    prctl (PR_SET_NAME, "leat-guardian");
    do
        size = read (pipe_end, &byte, 1);
    while (size < 0 && errno == EINTR);
    if (size == 0)
        kill (0, SIGKILL);
    _exit (0);
}

leat_guardian_t *leat_guardian_new (void)
{
    int ends[2];
    if (pipe2 (ends, O_CLOEXEC) != 0)
        return NULL;
    pid_t process = fork ();
    if (process == 0) {
        close (ends[1]);
        s_guard (ends[0]);
    }
    int problem = errno;
    close (ends[0]);
    if (process < 0) {
        close (ends[1]);
        errno = problem;
        return NULL;
    }
    /* Both sides do it, so that the group is there whoever comes first. */
    setpgid (process, process);
    leat_guardian_t *self = leat_alloc (sizeof *self);
    self->process = process;
    self->farewell = ends[1];
    return self;
}

void leat_guardian_destroy (leat_guardian_t **self_p)
{
    leat_guardian_t *self = *self_p;
    if (!self)
        return;
    ssize_t written = write (self->farewell, "", 1);
    (void) written; /* It may have been killed. */
    close (self->farewell);
    while (waitpid (self->process, NULL, 0) < 0 && errno == EINTR)
        continue;
    free (self);
    *self_p = NULL;
}

pid_t leat_guardian_group (const leat_guardian_t *self)
{
    return self->process;
}

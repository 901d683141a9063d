/* A process that outlives this one by a moment, to end the commands that it has left behind.
 * SPDX-License-Identifier: MPL-2.0 */
#ifndef LEAT_CONSUMERS_GUARDIAN_H
#define LEAT_CONSUMERS_GUARDIAN_H

#include <sys/types.h>

/*      leat consume ---- pipe ----> guardian          process group of the guardian
 *           |                          |  (reads)      +----------------------------+
 *           +-- sh -c CMD -- program   +---------------> guardian, sh, program, ... |
 *           +-- sh -c CMD ...                           +----------------------------+
 *
 * Commands join the guardian's process group. When this process ends without a farewell, however it
 * ends, the guardian reads the end of the pipe and kills the whole group: also the programs that the
 * shells have started, which PR_SET_PDEATHSIG does not reach, since it is not inherited. Being in a
 * group of their own, commands also hear nothing of Ctrl-C on the terminal, and so can finish. */
typedef struct leat_guardian leat_guardian_t;

/* Forks the guardian; before there is a second thread. NULL with errno. */
leat_guardian_t *leat_guardian_new (void);

/* Says farewell: the guardian ends and kills nothing. */
void leat_guardian_destroy (leat_guardian_t **self_p);

/* The process group that commands join. */
pid_t leat_guardian_group (const leat_guardian_t *self);

#endif

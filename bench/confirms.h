/* Which messages are confirmed, where confirms come in any order, for one or for all up to one.
 * SPDX-License-Identifier: MPL-2.0 */
#ifndef LEAT_BENCH_CONFIRMS_H
#define LEAT_BENCH_CONFIRMS_H

#include <stdbool.h>
#include <stdint.h>

typedef struct leat_bench_confirms leat_bench_confirms_t;

/* Messages are numbered from 1; up to `room` may be unconfirmed. */
leat_bench_confirms_t *leat_bench_confirms_new (uint64_t room);
void leat_bench_confirms_destroy (leat_bench_confirms_t **self_p);

/* Takes a confirm of the message, or of all up to it. False if it is of none that can be under way. */
bool leat_bench_confirms_take (leat_bench_confirms_t *self, uint64_t number, bool all);

/* All up to this one are confirmed. */
uint64_t leat_bench_confirms_low (const leat_bench_confirms_t *self);

#endif

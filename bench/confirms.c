/* Keeps which messages are confirmed.
 * SPDX-License-Identifier: MPL-2.0 */
#include "bench/confirms.h"

#include <stdlib.h>

#include "wire/alloc.h"

struct leat_bench_confirms {
    uint64_t low;
    uint64_t room;
    bool *above; /* whether message n is, at n % room; those up to `low` are not marked */
};

leat_bench_confirms_t *leat_bench_confirms_new (uint64_t room)
{
    leat_bench_confirms_t *self = leat_alloc (sizeof *self);
    self->room = room;
    self->above = leat_alloc ((size_t) room * sizeof *self->above);
    return self;
}

void leat_bench_confirms_destroy (leat_bench_confirms_t **self_p)
{
    leat_bench_confirms_t *self = *self_p;
    if (!self)
        return;
    free (self->above);
    free (self);
    *self_p = NULL;
}

bool leat_bench_confirms_take (leat_bench_confirms_t *self, uint64_t number, bool all)
{
    if (number <= self->low || number - self->low > self->room)
        return all && number && number <= self->low; /* had been confirmed one by one */
    if (!all) {
        bool *marked = &self->above[number % self->room];
        if (*marked)
            return false;
        *marked = true;
    }
    while (all && self->low < number)
        self->above[++self->low % self->room] = false;
    while (self->above[(self->low + 1) % self->room])
        self->above[++self->low % self->room] = false;
    return true;
}

uint64_t leat_bench_confirms_low (const leat_bench_confirms_t *self)
{
    return self->low;
}

/* Timers: a tree by due time, so that setting one costs the same whether there are ten or a million.
 * SPDX-License-Identifier: MPL-2.0 */

#include "broker/core/state.h"

static int core_timer_compare (const core_timer_t *a, const core_timer_t *b)
{
    if (a->due_us != b->due_us)
        return a->due_us < b->due_us ? -1 : 1;
    return a->serial < b->serial ? -1 : a->serial > b->serial;
}

RB_GENERATE (core_timers, core_timer, by_due, core_timer_compare)

void core_timer_stop (leat_core_t *core, core_timer_t *timer)
{
    if (timer->due_us)
        RB_REMOVE (core_timers, &core->timers, timer);
    timer->due_us = 0;
}

void core_timer_set (leat_core_t *core, core_timer_t *timer, uint64_t due_us, core_timer_fn *fire)
{
    core_timer_stop (core, timer);
    timer->due_us = due_us ? due_us : 1;
    timer->serial = ++core->serial;
    timer->fire = fire;
    RB_INSERT (core_timers, &core->timers, timer);
}

void core_timers_fire (leat_core_t *core)
{
    /* What is set while they fire waits for the next tick, so this ends. */
    uint64_t last = core->serial;
    core_timer_t *timer;
    while ((timer = RB_MIN (core_timers, &core->timers)) && timer->due_us <= core->now_us
           && timer->serial <= last) {
        core_timer_stop (core, timer);
        timer->fire (core, timer);
    }
}

uint64_t core_timers_next (const leat_core_t *core)
{
    const core_timer_t *timer = RB_MIN (core_timers, (struct core_timers *) &core->timers);
    return timer ? timer->due_us : UINT64_MAX;
}

/* The broker's driver: turns of the core over the simulated network and store, its end and return.
 * SPDX-License-Identifier: MPL-2.0 */
#ifndef LEAT_SIMULATION_BROKER_H
#define LEAT_SIMULATION_BROKER_H

#include "tests/simulation/simulation.h"

struct sim_broker {
    leat_core_t *core; /* NULL while it is down */
    uint64_t incarnation;
    uint64_t back_us;  /* when it comes back */
    uint64_t begun_us; /* when it came last */
    uint64_t frozen_until_us;
    bool shutting_down;
    uint64_t wake_us; /* it has been told something */
    uint64_t turns;
    leat_statistics_t before; /* counters that the table has already */
};

sim_broker_t *sim_broker_new (sim_t *sim);
void sim_broker_destroy (sim_broker_t **self_p);

uint64_t sim_broker_due (const sim_t *sim);
void sim_broker_turn (sim_t *sim);

/* Dies without a word; comes back after a while. */
void sim_broker_crash (sim_t *sim);
void sim_broker_shut_down (sim_t *sim);
void sim_broker_freeze (sim_t *sim, uint64_t duration_us);

#endif

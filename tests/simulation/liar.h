/* A peer that says whatever it likes, in fields that look plausible.
 * SPDX-License-Identifier: MPL-2.0 */
#ifndef LEAT_SIMULATION_LIAR_H
#define LEAT_SIMULATION_LIAR_H

#include "tests/simulation/network.h"

enum { SIM_LIAR_LEASES_MAX = 16 };

struct sim_liar {
    unsigned number;        /* from 1 */
    unsigned identity;      /* its own */
    unsigned used_identity; /* that it says HELLO with on this connection */
    uint64_t due_us;
    uint32_t attempt;                        /* of its HELLOs */
    uint64_t epoch;                          /* that it was welcomed with last */
    uint64_t sequences[SIM_STREAMS_MAX + 1]; /* that it has sent, as itself or somebody else */
    sim_connection_t *connection;
    struct {
        uint32_t channel;
        uint64_t epoch;
        uint64_t first;
        uint32_t count;
    } leases[SIM_LIAR_LEASES_MAX]; /* that it was really given */
    unsigned leases_count;
};

sim_liar_t *sim_liar_new (sim_t *sim, unsigned number);
void sim_liar_destroy (sim_t *sim, sim_liar_t **liar_p);
uint64_t sim_liar_due (const sim_liar_t *liar);
void sim_liar_turn (sim_t *sim, sim_liar_t *liar);

#endif

/* Injects faults, one at a time and often before the last is over, and stops all of them.
 * SPDX-License-Identifier: MPL-2.0 */
#include "tests/simulation/broker.h"
#include "tests/simulation/client.h"
#include "tests/simulation/liar.h"
#include "tests/simulation/network.h"
#include "tests/simulation/store.h"
#include "tests/simulation/trace.h"

/* ---- whom ------------------------------------------------------------------------------------ */

static sim_connection_t *s_any_connection (sim_t *sim)
{
    sim_connection_t *connection;
    unsigned count = 0;
    LIST_FOREACH (connection, &sim->network->connections, link) {
        count += connection->open && !connection->broken;
    }
    if (!count)
        return NULL;
    unsigned choice = (unsigned) sim_below (&sim->random, count);
    LIST_FOREACH (connection, &sim->network->connections, link) {
        if (connection->open && !connection->broken && choice-- == 0)
            break;
    }
    return connection;
}

static sim_client_t *s_any_client (sim_t *sim)
{
    unsigned count = 0;
    for (unsigned index = 0; index < sim->clients_count; index++)
        count +=
            sim_client_lives (sim->clients[index]) && !sim_client_frozen (sim, sim->clients[index]);
    if (!count)
        return NULL;
    unsigned choice = (unsigned) sim_below (&sim->random, count);
    unsigned index = 0;
    for (;; index++) {
        if (sim_client_lives (sim->clients[index]) && !sim_client_frozen (sim, sim->clients[index])
            && choice-- == 0)
            return sim->clients[index];
    }
}

/* ---- what ------------------------------------------------------------------------------------ */

static void s_break (sim_t *sim)
{
    sim_connection_t *connection = s_any_connection (sim);
    if (connection)
        sim_network_break (sim, connection, false);
}

static void s_renew (sim_t *sim)
{
    sim_connection_t *connection = s_any_connection (sim);
    if (connection)
        sim_network_break (sim, connection, true);
}

static void s_partition (sim_t *sim)
{
    sim_connection_t *connection = s_any_connection (sim);
    if (!connection)
        return;
    unsigned ways = (unsigned) sim_below (&sim->random, 3);
    uint64_t timeout_us = sim->plan.limits.heartbeat_timeout * 1000;
    uint64_t until_us = sim->now_us + sim_below (&sim->random, 2 * timeout_us);
    sim_trace (sim, "network", "%llu is cut off %s for %llu ms",
               (unsigned long long) connection->peer,
               ways == 0   ? "upwards"
               : ways == 1 ? "downwards"
                           : "both ways",
               (unsigned long long) (until_us - sim->now_us) / 1000);
    if (ways != 1)
        connection->up.blocked_until_us = until_us;
    if (ways != 0)
        connection->down.blocked_until_us = until_us;
    if (ways == 0)
        SIM_COUNT (sim, partition_up);
    else if (ways == 1)
        SIM_COUNT (sim, partition_down);
    else
        SIM_COUNT (sim, partition_both);
    if (sim_chance (&sim->random, 30))
        sim_network_break (sim, connection, false);
}

static void s_freeze (sim_t *sim)
{
    sim_client_t *client = s_any_client (sim);
    uint64_t timeout_us = sim->plan.limits.heartbeat_timeout * 1000;
    if (client)
        sim_client_freeze (sim, client, sim_below (&sim->random, 3 * timeout_us));
}

static void s_crash (sim_t *sim)
{
    sim_client_t *client = s_any_client (sim);
    if (client && sim->clients_count < SIM_CLIENTS_CHAOS)
        sim_client_crash (sim, client);
}

/* Somebody takes a client for dead and runs another one in its place, under the same identity. */
static void s_rival (sim_t *sim)
{
    sim_client_t *client = s_any_client (sim);
    if (!client || sim->clients_count > SIM_CLIENTS_CHAOS / 2)
        return;
    uint64_t timeout_us = sim->plan.limits.heartbeat_timeout * 1000;
    client->may_be_fenced = true;
    sim_client_freeze (sim, client, sim_between (&sim->random, timeout_us / 4, 4 * timeout_us));
    if (sim_client_again (sim, client, sim->now_us + sim_below (&sim->random, timeout_us), true))
        SIM_COUNT (sim, client_rival);
}

static void s_leave (sim_t *sim)
{
    sim_client_t *client = s_any_client (sim);
    if (!client || client->closing || sim->clients_count > SIM_CLIENTS_CHAOS)
        return;
    sim_client_close (sim, client);
    SIM_COUNT (sim, client_left);
}

static void s_join (sim_t *sim)
{
    if (sim->clients_count > SIM_CLIENTS_CHAOS / 2)
        return;
    sim_client_t *client = sim_client_new (sim, SIM_IDENTITIES_MAX, sim->now_us);
    unsigned stream = (unsigned) sim_below (&sim->random, sim->plan.streams);
    sim_client_add_consumer (
        sim, client, stream,
        sim_group_name ((unsigned) sim_below (&sim->random, sim->plan.groups[stream])));
    SIM_COUNT (sim, client_joined);
}

static void s_broker_freeze (sim_t *sim)
{
    uint64_t timeout_us = sim->plan.limits.heartbeat_timeout * 1000;
    sim_broker_freeze (sim, sim_below (&sim->random, 2 * timeout_us));
}

/* Somebody else writes to the store's disk until there is no room for records. */
static void s_fill_store (sim_t *sim)
{
    if (sim->plan.store_memory)
        return;
    SIM_COUNT (sim, store_filled);
    sim->store->full_until_us = sim->now_us + sim_below (&sim->disk, 3000000);
    sim_trace (sim, "store", "has no room for records");
}

typedef void (s_fault_fn) (sim_t *sim);

void sim_fault_run (sim_t *sim)
{
    static s_fault_fn *const faults[] = { s_break,
                                          s_break,
                                          s_break,
                                          s_renew,
                                          s_renew,
                                          s_partition,
                                          s_partition,
                                          s_freeze,
                                          s_freeze,
                                          s_crash,
                                          s_crash,
                                          s_rival,
                                          s_leave,
                                          s_join,
                                          s_broker_freeze,
                                          sim_broker_crash,
                                          sim_broker_shut_down };
    if (sim_chance (&sim->disk, 5))
        s_fill_store (sim);
    faults[sim_below (&sim->random, sizeof faults / sizeof *faults)](sim);
    sim->fault_due_us = sim->now_us + sim_below (&sim->random, 2 * sim->plan.fault_interval_us);
}

/* From here on everybody does what is right, and the network too. */
void sim_faults_stop (sim_t *sim)
{
    sim_trace (sim, "faults", "stop");
    sim->draining = true;
    sim->drain_start_us = sim->now_us;
    sim->fault_due_us = SIM_NEVER;
    sim->broker->frozen_until_us = sim->now_us;
    sim->store->full_until_us = 0;
    if (sim->broker->back_us > sim->now_us && !sim->broker->core)
        sim->broker->back_us = sim->now_us;
    for (unsigned index = 0; index < SIM_LIARS_MAX; index++)
        sim_liar_destroy (sim, &sim->liars[index]);
    for (unsigned index = 0; index < sim->clients_count; index++) {
        sim_client_t *client = sim->clients[index];
        if (client->frozen_until_us > sim->now_us)
            client->frozen_until_us = sim->now_us;
        if (client->start_us != SIM_NEVER && client->start_us > sim->now_us)
            client->start_us = sim->now_us;
    }
    sim_connection_t *connection;
    LIST_FOREACH (connection, &sim->network->connections, link) {
        connection->up.blocked_until_us = 0;
        connection->down.blocked_until_us = 0;
    }
}

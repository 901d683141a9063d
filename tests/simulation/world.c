/* One run: sets the world up, takes steps in virtual time, lets it come to rest.
 * SPDX-License-Identifier: MPL-2.0 */
#include "tests/simulation/broker.h"
#include "tests/simulation/client.h"
#include "tests/simulation/liar.h"
#include "tests/simulation/model.h"
#include "tests/simulation/network.h"
#include "tests/simulation/store.h"
#include "tests/simulation/trace.h"
#include "wire/alloc.h"

#include <stdlib.h>
#include <string.h>

#define SECOND_US 1000000u

enum {
    REST_SECONDS = 600,      /* of virtual time, in which all must come to rest once faults stop */
    STILL_STEPS_MAX = 20000, /* steps without time passing: somebody's deadline never moves */
    CHAOS_SECONDS_MAX = 600
};

/* ---- who is there ---------------------------------------------------------------------------- */

static void s_populate (sim_t *sim)
{
    const sim_plan_t *plan = &sim->plan;
    for (unsigned number = 0; number < plan->producers; number++) {
        sim_client_t *client =
            sim_client_new (sim, SIM_IDENTITIES_MAX, sim_below (&sim->random, SECOND_US));
        unsigned stream = (unsigned) sim_below (&sim->random, plan->streams);
        sim_client_add_producer (sim, client, stream, plan->records);
        if (plan->streams > 1 && sim_chance (&sim->random, 40))
            sim_client_add_producer (sim, client, (stream + 1) % plan->streams, plan->records / 2);
        if (sim_chance (&sim->random, 20))
            sim_client_add_consumer (sim, client, stream, sim_group_name (0));
    }
    for (unsigned number = 0; number < plan->consumers; number++) {
        sim_client_t *client =
            sim_client_new (sim, SIM_IDENTITIES_MAX, sim_below (&sim->random, 3 * SECOND_US));
        unsigned stream = number % plan->streams;
        unsigned group = (unsigned) sim_below (&sim->random, plan->groups[stream]);
        sim_client_add_consumer (sim, client, stream, sim_group_name (group));
        if (sim_chance (&sim->random, 20))
            sim_client_add_consumer (sim, client, (stream + 1) % SIM_STREAMS_MAX,
                                     sim_group_name (0));
    }
    for (unsigned number = 0; number < plan->liars; number++)
        sim->liars[number] = sim_liar_new (sim, number);
}

static bool s_has_consumer (const sim_t *sim, const char *stream, const char *group)
{
    for (unsigned index = 0; index < sim->clients_count; index++) {
        const sim_client_t *client = sim->clients[index];
        if ((!client->session && client->start_us == SIM_NEVER) || client->closing)
            continue;
        for (unsigned number = 0; number < client->consumers_count; number++) {
            const sim_consumer_t *consumer = &client->consumers[number];
            if (strcmp (sim_stream_name (consumer->stream), stream) == 0
                && strcmp (consumer->group, group) == 0)
                return true;
        }
    }
    return false;
}

/* While draining there is somebody for each group, and each producer that is not done runs again. */
static void s_man_group (sim_t *sim, unsigned stream, const char *stream_name,
                         const char *group_name)
{
    if (s_has_consumer (sim, stream_name, group_name))
        return;
    sim_client_t *client = sim_client_new (sim, SIM_IDENTITIES_MAX, sim->now_us);
    if (client)
        sim_client_add_consumer (sim, client, stream, group_name);
}

static bool s_has_successor (const sim_t *sim, const sim_client_t *client)
{
    for (unsigned index = client->number + 1; index < sim->clients_count; index++) {
        const sim_client_t *other = sim->clients[index];
        if (other->identity == client->identity && other->producers_count)
            return true;
    }
    return false;
}

static void s_man_all (sim_t *sim)
{
    sim_model_groups (sim, s_man_group);
    for (unsigned stream = 0; stream < sim->plan.streams; stream++)
        s_man_group (sim, stream, sim_stream_name (stream), sim_group_name (0));
    unsigned count = sim->clients_count;
    for (unsigned index = 0; index < count; index++) {
        const sim_client_t *client = sim->clients[index];
        if (!client->session && client->start_us == SIM_NEVER && !client->fenced
            && !sim_application_done (client) && !s_has_successor (sim, client))
            sim_client_again (sim, client, sim->now_us, false);
    }
}

/* ---- steps ----------------------------------------------------------------------------------- */

/* Who is due first; among equals the first in this order. */
static void s_step (sim_t *sim)
{
    uint64_t due = sim_broker_due (sim);
    sim_client_t *client = NULL;
    sim_liar_t *liar = NULL;
    bool fault = false;
    for (unsigned index = 0; index < sim->clients_count; index++) {
        uint64_t next = sim_client_due (sim, sim->clients[index]);
        if (next < due) {
            due = next;
            client = sim->clients[index];
        }
    }
    for (unsigned index = 0; index < SIM_LIARS_MAX; index++) {
        if (sim->liars[index] && sim_liar_due (sim->liars[index]) < due) {
            due = sim_liar_due (sim->liars[index]);
            liar = sim->liars[index];
        }
    }
    if (sim->fault_due_us < due) {
        due = sim->fault_due_us;
        fault = true;
    }
    /* When nobody is left, what is due is an identity's expiry after a week. */
    sim->step++;
    if (due > sim->now_us + 10 * SECOND_US) {
        sim->now_us += 10 * SECOND_US;
        return;
    }
    if (due > sim->now_us)
        sim->now_us = due;
    if (fault)
        sim_fault_run (sim);
    else if (liar)
        sim_liar_turn (sim, liar);
    else if (client)
        sim_client_turn (sim, client);
    else
        sim_broker_turn (sim);
    if (sim->step % 64 == 0)
        sim_network_collect (sim);
}

static void s_check_progress (sim_t *sim, uint64_t *since_us, uint64_t *since_step)
{
    if (*since_us != sim->now_us) {
        *since_us = sim->now_us;
        *since_step = sim->step;
    } else if (sim->step - *since_step > STILL_STEPS_MAX)
        sim_violation (sim, "time goes on", "%d steps at the same time", STILL_STEPS_MAX);
}

/* ---- rest ------------------------------------------------------------------------------------ */

static bool s_producers_done (const sim_t *sim, char *why, size_t size)
{
    for (unsigned index = 0; index < sim->clients_count; index++) {
        const sim_client_t *client = sim->clients[index];
        if ((client->session || client->start_us != SIM_NEVER) && !sim_application_done (client)) {
            const sim_producer_t *producer = &client->producers[0];
            if (why)
                snprintf (why, size, "%s has %llu of %llu records confirmed (its first stream)",
                          client->name, (unsigned long long) producer->confirmed,
                          (unsigned long long) producer->planned);
            return false;
        }
    }
    return true;
}

static bool s_all_gone (const sim_t *sim)
{
    for (unsigned index = 0; index < sim->clients_count; index++) {
        if (sim->clients[index]->session || sim->clients[index]->start_us != SIM_NEVER)
            return false;
    }
    return true;
}

static bool s_sessions_gone (sim_t *sim)
{
    leat_statistics_t statistics;
    leat_core_statistics (sim->broker->core, &statistics);
    return statistics.sessions == 0 && sim_store_due (sim->store) == SIM_NEVER;
}

static void s_tell_stream (void *arg, const leat_stream_statistics_t *stream)
{
    fprintf (
        arg,
        "  stream %.*s: offsets %llu to %llu, %llu records and %llu bytes held, %u producers\n",
        (int) stream->name.size, stream->name.data, (unsigned long long) stream->first_offset,
        (unsigned long long) stream->next_offset, (unsigned long long) stream->held,
        (unsigned long long) stream->bytes, stream->producers);
}

static void s_tell_group (void *arg, const leat_group_statistics_t *group)
{
    fprintf (
        arg,
        "    group %.*s: %llu ready, %llu in flight, %llu delayed, %llu suspect, %llu parked, %u consumers\n",
        (int) group->name.size, group->name.data, (unsigned long long) group->ready,
        (unsigned long long) group->in_flight, (unsigned long long) group->delayed,
        (unsigned long long) group->suspect, (unsigned long long) group->parked, group->consumers);
}

static void s_tell_producer (void *arg, const leat_channel_statistics_t *producer)
{
    fprintf (arg, "    producer %.*s of %.*s: credit %llu\n", (int) producer->identity.size,
             producer->identity.data, (int) producer->stream.size, producer->stream.data,
             (unsigned long long) producer->credit);
}

/* Liveness: says as much as there is to say. */
static _Noreturn void s_never_ends (sim_t *sim)
{
    char why[400] = "";
    leat_statistics_t statistics;
    leat_statistics_visitor_t visitor = {
        .stream = s_tell_stream, .group = s_tell_group, .producer = s_tell_producer, .arg = stderr
    };
    if (sim->broker->core) {
        leat_core_statistics (sim->broker->core, &statistics);
        fprintf (stderr, "  held %llu, granted %llu, %llu sessions\n",
                 (unsigned long long) statistics.held_size,
                 (unsigned long long) statistics.granted_size,
                 (unsigned long long) statistics.sessions);
        leat_core_visit (sim->broker->core, &visitor);
    }
    if (!s_producers_done (sim, why, sizeof why) || !sim_model_at_rest (sim, why, sizeof why))
        sim_violation (sim, "all comes to rest once faults stop", "%s", why);
    for (unsigned index = 0; index < sim->clients_count; index++) {
        const sim_client_t *client = sim->clients[index];
        if (client->session || client->start_us != SIM_NEVER)
            snprintf (why, sizeof why, "%s is there, in state %d, due %llu", client->name,
                      client->session ? (int) leat_session_state (client->session) : -1,
                      (unsigned long long) sim_client_due (sim, client));
    }
    sim_violation (sim, "all sessions end", "%s", why);
}

/* Parked records stay until somebody looks at them, and here that is a restart, after which those go
 * for which there is room. True once it has turned out that they take all of a small memory, and that
 * this is all that producers wait for. */
static bool s_make_room (sim_t *sim, unsigned *restarts)
{
    if (!sim_model_has_parked (sim) || s_producers_done (sim, NULL, 0))
        return false;
    if (++*restarts > 3)
        return sim_model_at_rest (sim, NULL, 0);
    sim_broker_shut_down (sim);
    return false;
}

static void s_drain (sim_t *sim, uint64_t *since_us, uint64_t *since_step)
{
    uint64_t end_us = sim->now_us + (uint64_t) REST_SECONDS * SECOND_US;
    uint64_t man_us = sim->now_us;
    uint64_t rest_since_us = sim->now_us;
    uint64_t restart_us = sim->now_us + 60 * (uint64_t) SECOND_US;
    unsigned restarts = 0;
    bool full = false;
    bool closing = false;
    for (;;) {
        s_step (sim);
        s_check_progress (sim, since_us, since_step);
        if (sim->step % 16 == 0 && !sim->broker->shutting_down)
            sim_model_check_idle (sim);
        /* A broker that was frozen takes some turns for what became overdue meanwhile. */
        if (sim_broker_due (sim) > sim->now_us)
            sim_model_check_overdue (sim);
        if (sim->now_us >= man_us && !closing) {
            s_man_all (sim);
            man_us = sim->now_us + 2 * SECOND_US;
        }
        if ((sim->step % 16 == 0 || sim->now_us - rest_since_us > 3 * SECOND_US)
            && (!s_producers_done (sim, NULL, 0) || !sim_model_at_rest (sim, NULL, 0)))
            rest_since_us = sim->now_us;
        if (!closing && sim->now_us > restart_us) {
            restart_us = sim->now_us + 60 * (uint64_t) SECOND_US;
            full = s_make_room (sim, &restarts);
        }
        /* What was under way when the faults stopped has arrived by then. */
        if (!closing && (full || sim->now_us - rest_since_us > 3 * SECOND_US)) {
            closing = true;
            for (unsigned index = 0; index < sim->clients_count; index++) {
                sim->clients[index]->start_us = SIM_NEVER;
                if (sim->clients[index]->session)
                    sim_client_close (sim, sim->clients[index]);
            }
        }
        if (closing && sim->broker->core && s_all_gone (sim) && s_sessions_gone (sim))
            break;
        if (sim->now_us > end_us)
            s_never_ends (sim);
    }
}

uint64_t sim_world_run (uint64_t seed, uint64_t steps, FILE *trace, uint64_t *counts)
{
    sim_t *sim = leat_alloc (sizeof *sim);
    uint64_t since_us = 0;
    uint64_t since_step = 0;
    leat_statistics_t statistics;
    sim->seed = seed;
    sim->random.state = sim_mix (seed);
    sim->operators.state = sim_mix (~seed);
    sim->disk.state = sim_mix (seed ^ 0x6b736964);
    sim->logs.state = sim_mix (seed ^ 0x73676f6c);
    sim->staging.state = sim_mix (seed ^ 0x67617473);
    sim->chaos_steps = steps;
    sim->trace = trace;
    sim_trace_watch (sim);
    sim_plan_draw (sim);
    sim->fault_due_us =
        sim->plan.fault_interval_us ? sim_below (&sim->random, SECOND_US) : SIM_NEVER;
    sim_plan_tell (sim);
    sim->network = sim_network_new ();
    sim->store = sim_store_new ();
    sim->model = sim_model_new ();
    sim->broker = sim_broker_new (sim);
    s_populate (sim);
    while (sim->step < steps && sim->now_us < (uint64_t) CHAOS_SECONDS_MAX * SECOND_US) {
        s_step (sim);
        s_check_progress (sim, &since_us, &since_step);
    }
    sim_faults_stop (sim);
    s_drain (sim, &since_us, &since_step);
    leat_core_check (sim->broker->core);
    leat_core_statistics (sim->broker->core, &statistics);
    sim_model_check_end (sim, &statistics);
    SIM_COUNT (sim, drained);

    for (unsigned index = 0; index < SIM_COUNTS; index++)
        counts[index] += sim->counts[index];
    uint64_t hash = sim->trace_hash;
    for (unsigned index = 0; index < sim->clients_count; index++)
        sim_client_destroy (sim, &sim->clients[index]);
    sim_broker_destroy (&sim->broker);
    sim_model_destroy (&sim->model);
    sim_store_destroy (&sim->store);
    sim_network_destroy (&sim->network);
    sim_trace_watch (NULL);
    free (sim);
    return hash;
}

/* Drives the core: what arrived, ticks, completions; everything that it writes passes the model.
 * SPDX-License-Identifier: MPL-2.0 */
#include "tests/simulation/broker.h"
#include "tests/simulation/model.h"
#include "tests/simulation/network.h"
#include "tests/simulation/store.h"
#include "tests/simulation/trace.h"
#include "wire/alloc.h"

#include <stdlib.h>
#include <string.h>

enum {
    CHECK_TURNS = 256, /* turns between two looks at all of the core's state */
    RETRY_AFTER_MS = 300
};

sim_broker_t *sim_broker_new (sim_t *sim)
{
    (void) sim;
    sim_broker_t *self = leat_alloc (sizeof *self);
    self->incarnation = 1000;
    self->wake_us = SIM_NEVER;
    return self;
}

void sim_broker_destroy (sim_broker_t **self_p)
{
    if (!*self_p)
        return;
    leat_core_destroy (&(*self_p)->core);
    free (*self_p);
    *self_p = NULL;
}

/* After each input, so that the model sees what the core wrote before it sees the next input. */
static void s_drain (sim_t *sim)
{
    leat_commit_t *commit;
    while ((commit = leat_core_next_told (sim->broker->core))) {
        leat_buffer_t *bytes = leat_commit_encode (commit);
        sim_trace (sim, "broker", "does %u operations in memory", leat_commit_operations (commit));
        sim_trace_commit (sim, bytes);
        sim_model_did (sim, bytes);
        leat_buffer_release (&bytes);
        leat_commit_destroy (&commit);
    }
    leat_message_t message;
    leat_outbox_t *outbox = leat_core_outbox (sim->broker->core);
    while (leat_outbox_next (outbox, &message)) {
        sim_trace_message (sim, "broker", ">", message.peer, message.header, message.header_size,
                           message.body.size);
        sim_model_wrote (sim, &message);
        sim_network_send_down (sim, &message);
    }
    uint64_t peer;
    while (leat_core_next_cut (sim->broker->core, &peer)) {
        sim_trace (sim, "broker", "cuts %llu", (unsigned long long) peer);
        sim_model_cut (sim, peer);
    }
}

/* ---- beginning and end ----------------------------------------------------------------------- */

/* What is there before the first broker: the plan's streams that no broker makes unasked. */
static void s_begin_store (sim_t *sim)
{
    const sim_plan_t *plan = &sim->plan;
    leat_commit_t *commit = leat_commit_new (1, 0);
    uint32_t id = 1;
    for (unsigned stream = 0; stream < SIM_STREAMS_MAX; stream++) {
        leat_operation_t operation = { .id = LEAT_OPERATION_STREAM_CREATED };
        operation.stream_created.stream = id;
        operation.stream_created.stream_name = leat_text (sim_stream_name (stream));
        operation.stream_created.durability =
            (uint8_t) sim_stream_durability (sim, sim_stream_name (stream));
        if (plan->logs[stream]) {
            operation.stream_created.retention = LEAT_RETENTION_LOG;
            operation.stream_created.max_age_ms = plan->max_age_ms;
            operation.stream_created.max_size = plan->max_size;
        } else if (!((plan->async | plan->fleeting) >> stream & 1))
            continue;
        leat_commit_add (commit, &operation);
        id++;
    }
    leat_buffer_t *bytes = leat_commit_encode (commit);
    if (id > 1)
        sim_store_put (sim, bytes);
    leat_buffer_release (&bytes);
    leat_commit_destroy (&commit);
}

static void s_begin (sim_t *sim)
{
    sim_broker_t *self = sim->broker;
    leat_core_options_t options = { .limits = sim->plan.limits,
                                    .incarnation = ++self->incarnation,
                                    .seed = sim_random (&sim->random),
                                    .durable = !sim->plan.store_memory,
                                    .reads = sim->plan.store_reads,
                                    .tells = true,
                                    .software = "leat simulated" };
    self->core = leat_core_new (&options);
    self->shutting_down = false;
    self->begun_us = sim->now_us;
    memset (&self->before, 0, sizeof self->before);
    sim_trace (sim, "broker", "begins, incarnation %llu, %zu commits",
               (unsigned long long) self->incarnation, sim->store->log_count);
    if (!sim->store->log_count)
        s_begin_store (sim);
    bool extents = sim->plan.store_reads && sim_chance (&sim->random, 70);
    if (extents)
        SIM_COUNT (sim, broker_told_extents);
    for (size_t index = 0; index < sim->store->log_count; index++) {
        leat_buffer_t *commit = extents ? sim_store_without_records (sim->store, index)
                                        : leat_buffer_hold (sim->store->log[index]);
        leat_code_t code = leat_core_recover (self->core, commit);
        leat_buffer_release (&commit);
        if (code != LEAT_OK)
            sim_violation (sim, "what was committed is recovered", "commit %zu of %zu: %s", index,
                           sim->store->log_count, leat_code_name (code));
    }
    leat_core_tick (self->core, sim->now_us, sim_wall_ms (sim));
    leat_core_check (self->core);
    sim_model_check_recovered (sim);
}

/* The counters of the core that are faults or events for the table. */
static void s_count (sim_t *sim, const leat_statistics_t *now)
{
    leat_statistics_t *before = &sim->broker->before;
    SIM_COUNT_MORE (sim, deliveries_cut, now->slices_cut - before->slices_cut);
    SIM_COUNT_MORE (sim, sent_away, now->batches_sent_away - before->batches_sent_away);
    SIM_COUNT_MORE (sim, read_back, now->batches_read - before->batches_read);
    SIM_COUNT_MORE (sim, expiries_held, now->expiries_held - before->expiries_held);
#define LIMIT(name, limit)                                                                         \
    SIM_COUNT_MORE (sim, limit_##name,                                                             \
                    now->limit_hits[LEAT_LIMIT_##limit] - before->limit_hits[LEAT_LIMIT_##limit])
    LIMIT (memory, memory_size);
    LIMIT (stream, stream_size);
    LIMIT (marked, marked_records);
    LIMIT (dead, dead_size);
    LIMIT (lag, async_lag);
    LIMIT (offsets, async_offsets);
    LIMIT (fleeting, memory_offsets);
#undef LIMIT
    *before = *now;
}

static void s_end (sim_t *sim, uint64_t down_us, bool orderly)
{
    sim_broker_t *self = sim->broker;
    if (self->core)
        self->incarnation = leat_core_incarnation (self->core) > self->incarnation
                                ? leat_core_incarnation (self->core)
                                : self->incarnation;
    leat_core_destroy (&self->core);
    self->back_us = sim->now_us + down_us;
    sim_network_broker_gone (sim, self->back_us, orderly);
    if (orderly && !sim->plan.store_memory)
        sim_model_check_shut_down (sim);
    if (sim->plan.store_memory)
        sim_store_empty (sim);
    else
        sim_store_crash (sim);
    sim_model_restarted (sim);
}

void sim_broker_crash (sim_t *sim)
{
    if (!sim->broker->core)
        return;
    sim_trace (sim, "broker", "crashes");
    if (sim->plan.store_memory)
        SIM_COUNT (sim, broker_emptied);
    else
        SIM_COUNT (sim, broker_crashed);
    s_end (sim, sim_below (&sim->random, 3000000), false);
}

void sim_broker_shut_down (sim_t *sim)
{
    if (!sim->broker->core || sim->broker->shutting_down)
        return;
    sim_trace (sim, "broker", "shuts down");
    SIM_COUNT (sim, broker_shut_down);
    sim->broker->shutting_down = true;
    sim->broker->wake_us = sim->now_us;
    leat_core_shutdown (sim->broker->core, RETRY_AFTER_MS);
}

void sim_broker_freeze (sim_t *sim, uint64_t duration_us)
{
    sim_trace (sim, "broker", "freezes for %llu ms", (unsigned long long) duration_us / 1000);
    SIM_COUNT (sim, broker_frozen);
    sim->broker->frozen_until_us = sim->now_us + duration_us;
}

/* ---- turns ----------------------------------------------------------------------------------- */

uint64_t sim_broker_due (const sim_t *sim)
{
    const sim_broker_t *self = sim->broker;
    uint64_t due = self->back_us;
    if (self->core) {
        due = leat_core_deadline (self->core);
        uint64_t other = sim_network_broker_due (sim->network);
        due = other < due ? other : due;
        other = sim_store_due (sim->store);
        due = other < due ? other : due;
        due = self->wake_us < due ? self->wake_us : due;
    }
    if (due < self->frozen_until_us)
        due = self->frozen_until_us;
    return due > sim->now_us ? due : sim->now_us;
}

static void s_receive (sim_t *sim)
{
    sim_connection_t *connection;
    LIST_FOREACH (connection, &sim->network->connections, link) {
        sim_frame_t *frame;
        while ((frame = sim_queue_take (&connection->up, sim->now_us)) != NULL) {
            sim_model_reads (sim, connection->peer, frame->frames, frame->header,
                             frame->header_size, frame->body);
            sim_trace_message (sim, "broker", "<", connection->peer, frame->header,
                               frame->header_size,
                               frame->body ? leat_buffer_size (frame->body) : 0);
            leat_core_receive (sim->broker->core, connection->peer, frame->frames, frame->header,
                               frame->header_size, frame->body);
            sim_frame_destroy (&frame);
            s_drain (sim);
        }
        if (connection->up.count == 0 && connection->hint_us <= sim->now_us) {
            sim_trace (sim, "broker", "is told that %llu is gone",
                       (unsigned long long) connection->peer);
            SIM_COUNT (sim, hints_given);
            connection->hint_us = SIM_NEVER;
            sim_model_unreachable (sim, connection->peer);
            leat_core_unreachable (sim->broker->core, connection->peer);
            s_drain (sim);
        }
    }
}

/* True if something completed. */
static bool s_complete (sim_t *sim)
{
    uint64_t id;
    leat_commit_result_t result;
    bool any = false;
    while (!leat_core_failed (sim->broker->core) && sim_store_next (sim, &id, &result)) {
        leat_core_completed (sim->broker->core, id, result);
        s_drain (sim);
        any = true;
    }
    return any;
}

/* Sessions that it has ended by itself show in its counters before what follows from that. */
static void s_show (sim_t *sim)
{
    leat_statistics_t statistics;
    leat_core_statistics (sim->broker->core, &statistics);
    sim_model_timed_out (sim, &statistics);
    s_drain (sim);
    sim_model_check_statistics (sim, &statistics);
    s_count (sim, &statistics);
}

static void s_run (sim_t *sim)
{
    leat_commit_t *commit;
    leat_core_read_t read;
    leat_core_store_full (sim->broker->core, sim_store_full (sim));
    leat_core_run (sim->broker->core);
    s_show (sim);
    while (leat_core_next_read (sim->broker->core, &read))
        sim_store_read (sim, &read);
    while ((commit = leat_core_next_commit (sim->broker->core)) != NULL) {
        sim_store_submit (sim, commit);
        leat_commit_destroy (&commit);
    }
    sim_model_check_told (sim);
}

void sim_broker_turn (sim_t *sim)
{
    sim_broker_t *self = sim->broker;
    self->wake_us = SIM_NEVER;
    if (!self->core)
        s_begin (sim);
    leat_core_tick (self->core, sim->now_us, sim_wall_ms (sim));
    s_show (sim);
    s_receive (sim);
    s_complete (sim);
    sim_store_answer_reads (sim, self->core);
    s_run (sim);
    if (s_complete (sim))
        s_run (sim);
    if (++self->turns % CHECK_TURNS == 0)
        leat_core_check (self->core);
    if (leat_core_failed (self->core)) {
        sim_trace (sim, "broker", "has failed");
        s_end (sim, sim_below (&sim->random, 500000), false);
    } else if (leat_core_stopped (self->core)) {
        sim_trace (sim, "broker", "has stopped");
        s_end (sim, sim_below (&sim->random, 2000000), true);
    }
}

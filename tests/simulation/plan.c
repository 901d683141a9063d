/* What a seed decides before anything runs, and the names that everybody uses.
 * SPDX-License-Identifier: MPL-2.0 */
#include "tests/simulation/simulation.h"
#include "tests/simulation/trace.h"
#include "wire/assert.h"

#include <stdlib.h>
#include <string.h>

const char *sim_stream_name (unsigned stream)
{
    static const char *const names[] = { "alpha",      "beta",      "gamma",      "lies",
                                         "alpha.dead", "beta.dead", "gamma.dead", "lies.dead" };
    leat_assert (stream < sizeof names / sizeof *names);
    return names[stream];
}

leat_durability_t sim_stream_durability (const sim_t *self, const char *name)
{
    for (unsigned stream = 0; stream < SIM_STREAMS_MAX; stream++)
        if ((self->plan.async >> stream & 1) && strcmp (sim_stream_name (stream), name) == 0)
            return LEAT_ASYNC;
    for (unsigned stream = 0; stream < SIM_STREAMS_MAX; stream++)
        if ((self->plan.fleeting >> stream & 1) && strcmp (sim_stream_name (stream), name) == 0)
            return LEAT_MEMORY;
    return self->plan.store_memory ? LEAT_MEMORY : LEAT_SYNC;
}

const char *sim_group_name (unsigned group)
{
    return group ? "audit" : "default";
}

void sim_identity_name (unsigned identity, char *name, size_t size)
{
    snprintf (name, size, "%s-%u", identity < SIM_CLIENTS_MAX ? "client" : "liar", identity);
}

unsigned sim_identity_find (leat_text_t name)
{
    char text[LEAT_NAME_MAX + 1] = "";
    char again[32];
    unsigned identity;
    memcpy (text, name.data ? name.data : "", name.size < LEAT_NAME_MAX ? name.size : 0);
    const char *dash = strchr (text, '-');
    if (!dash)
        return SIM_IDENTITIES_MAX;
    identity = (unsigned) strtoul (dash + 1, NULL, 10); /* what is no number is found out below */
    if (identity >= SIM_IDENTITIES_MAX)
        return SIM_IDENTITIES_MAX;
    sim_identity_name (identity, again, sizeof again);
    return strcmp (again, text) == 0 ? identity : SIM_IDENTITIES_MAX;
}

/* Limits so small that they are met, in some seeds. */
static void s_draw_limits (sim_t *self)
{
    sim_plan_t *plan = &self->plan;
    sim_random_t *random = &self->random;
    leat_limits_t *limits = &plan->limits;
    leat_limits_default (limits);
    plan->record_size_max = 4500;
    limits->heartbeat_interval = sim_between (random, 100, 1000);
    limits->heartbeat_timeout = limits->heartbeat_interval * sim_between (random, 2, 6);
    limits->nack_delay_min = sim_between (random, 1, 100);
    limits->nack_delay_max = sim_between (random, 100, 5000);
    limits->record_size = plan->record_size_max;
    limits->batch_size = sim_between (random, 5000, 60000);
    limits->window_size = limits->batch_size + 512 + sim_below (random, 200000);
    if (sim_chance (random, 40)) {
        limits->grant_min_size = sim_between (random, 1000, 8000);
        limits->grant_max_size = limits->grant_min_size + sim_below (random, 30000);
        limits->grant_idle = sim_between (random, 100, 3000);
    }
    if (sim_chance (random, 40))
        limits->memory_size = (limits->batch_size + 512) * 2 + sim_below (random, 300000);
    if (sim_chance (random, 40))
        limits->stream_size = limits->batch_size + 512 + sim_below (random, 60000);
    if (sim_chance (random, 30))
        limits->marked_records = sim_between (random, 1, 8);
    /* Parked records would fill a small stream for good: nobody is there who could retry them. */
    if (limits->memory_size > 1000000 && limits->stream_size > 1000000 && sim_chance (random, 80))
        limits->dead_size = sim_below (random, 6000);
    if (sim_chance (random, 30))
        limits->commits = sim_between (random, 1, 4);
    if (sim_chance (random, 30))
        limits->commit_records = sim_between (random, 1, 30);
    if (sim_chance (random, 20))
        limits->former_peers = sim_between (random, 1, 5);
    if (sim_chance (random, 30))
        limits->attempts = sim_between (random, 1, 4);
    if (sim_chance (random, 15)) {
        limits->identity_expiry = sim_between (random, 1000, 10000);
        limits->commits = 64; /* else the model learns late of what the core has forgotten */
    }
    if (sim_chance (&self->disk, 20))
        limits->commit_size = sim_between (&self->disk, 1, 20000);
    /* Not drawn, so that the other draws of a seed stay what they were. */
    if (self->seed % 10 < 3)
        limits->offences = 8 + self->seed % 8;
    const char *wrong = leat_limits_check (limits);
    if (wrong)
        fprintf (stderr, "seed %llu: %s\n", (unsigned long long) self->seed, wrong);
    leat_assert (!wrong);
}

/* Drawn by themselves, so that seeds without logs stay what they were; and not in every second half million, where
 * seeds that once failed have only streams of work. */
static void s_draw_logs (sim_t *self)
{
    sim_plan_t *plan = &self->plan;
    const leat_limits_t *limits = &plan->limits;
    bool small = limits->memory_size < 1000000 || limits->stream_size < 1000000;
    if (!sim_chance (&self->logs, 40) || self->seed / 500000 % 2)
        return;
    for (unsigned stream = 0; stream < SIM_STREAMS_MAX; stream++)
        plan->logs[stream] = sim_chance (&self->logs, 60);
    /* With a log that nothing shrinks, producers would wait for ever. */
    if (small || sim_chance (&self->logs, 60))
        plan->max_age_ms = sim_between (&self->logs, 300, small ? 3000 : 20000);
    if (!plan->max_age_ms || sim_chance (&self->logs, 50))
        plan->max_size = limits->batch_size + 512 + sim_below (&self->logs, 60000);
    plan->tight = small && (!plan->store_reads || plan->fleeting);
}

/* Not drawn, and so that seeds that once failed have none. */
static void s_plan_fleeting (sim_t *self)
{
    sim_plan_t *plan = &self->plan;
    uint64_t number = sim_mix (self->seed ^ 45330);
    if (plan->store_memory || number % 5)
        return;
    plan->fleeting = 1 + (unsigned) (number / 5 % ((1 << SIM_STREAMS_MAX) - 1));
    plan->fleeting &= ~plan->async;
    if (number / 64 % 4)
        plan->limits.memory_offsets = 1 + number / 256 % 300;
    else
        plan->limits.memory_offsets = 5000;
}

/* In seeds among which none had failed before, so that those that had stay what they were. */
static bool s_stages (uint64_t seed)
{
    uint64_t place = seed % 1000;
    return (place >= 575 && place < 625) || (place >= 690 && place < 765);
}

void sim_plan_draw (sim_t *self)
{
    sim_plan_t *plan = &self->plan;
    sim_random_t *random = &self->random;
    s_draw_limits (self);
    plan->operates = sim_chance (&self->operators, 40);
    plan->streams = (unsigned) sim_between (random, 1, SIM_STREAMS_MAX);
    for (unsigned stream = 0; stream < SIM_STREAMS_MAX; stream++)
        plan->groups[stream] = (unsigned) sim_between (random, 1, SIM_GROUPS_MAX);
    plan->producers = (unsigned) sim_between (random, 1, 5);
    plan->consumers = (unsigned) sim_between (random, 1, 6);
    plan->liars = sim_chance (random, 50) ? (unsigned) sim_between (random, 1, SIM_LIARS_MAX) : 0;
    plan->records = (unsigned) sim_between (random, 20, 200);
    plan->store_memory = sim_chance (random, 25);
    /* Who settles late what was revoked as overdue is honest; with few offences allowed nobody can tell. */
    if (plan->operates && plan->store_memory) {
        leat_limits_t usual;
        leat_limits_default (&usual);
        plan->limits.offences = usual.offences;
    }
    /* Not drawn, as above. */
    if (!plan->store_memory && self->seed % 3 == 1) {
        plan->async = 1 + (unsigned) (self->seed / 3 % ((1 << SIM_STREAMS_MAX) - 1));
        plan->limits.async_offsets = 1 + self->seed / 7 % 200;
        plan->limits.async_lag = self->seed % 5 ? 100 : 5;
    }
    s_plan_fleeting (self);
    plan->store_reads = !plan->store_memory && sim_chance (random, 60);
    if (plan->store_reads) {
        uint64_t least = 10 * (plan->limits.batch_size + 512);
        plan->limits.read_window = sim_below (random, sim_chance (random, 50) ? 5000 : 50000);
        /* With less only one can be served at a time, which is slow, though not wrong. */
        if (plan->limits.memory_size < least)
            plan->limits.memory_size = least;
    }
    plan->store_latency_us = plan->store_memory ? 0 : sim_below (random, 40000);
    if (!plan->store_memory) {
        plan->store_refuse_percent =
            sim_chance (random, 40) ? (unsigned) sim_below (random, 10) : 0;
        plan->store_unknown_permille =
            sim_chance (random, 40) ? (unsigned) sim_below (random, 10) : 0;
    }
    plan->latency_us = sim_below (random, 3000);
    plan->jitter_us = sim_below (random, sim_chance (random, 30) ? 200000 : 10000);
    plan->fault_interval_us = sim_chance (random, 90) ? sim_between (random, 50000, 3000000) : 0;
    plan->hint_percent = (unsigned) sim_below (random, 101);
    plan->rivals = plan->liars && sim_chance (random, 25);
    plan->poison_one_in = sim_chance (random, 40) ? (unsigned) sim_between (random, 10, 100) : 0;
    plan->reject_one_in = sim_chance (random, 50) ? (unsigned) sim_between (random, 5, 50) : 0;
    plan->nack_percent = sim_chance (random, 50) ? (unsigned) sim_below (random, 40) : 0;
    plan->handle_us = sim_between (random, 100, 30000);
    plan->stages = s_stages (self->seed);
    s_draw_logs (self);
}

void sim_plan_tell (sim_t *self)
{
    const sim_plan_t *plan = &self->plan;
    leat_limits_t usual;
    leat_limits_default (&usual);
    sim_trace (self, "plan", "logs have max_age %llu ms, max_size %llu",
               (unsigned long long) plan->max_age_ms, (unsigned long long) plan->max_size);
#define X(name, value, unit, text)                                                                 \
    if (plan->limits.name != usual.name)                                                           \
        sim_trace (self, "plan", "limit " #name " %llu", (unsigned long long) plan->limits.name);
    LEAT_LIMITS (X)
#undef X
    sim_trace (
        self, "plan",
        "%u streams%s%s%s (async %x, memory %x), %u producers of %u records, %u consumers, %u liars%s%s, store %s, "
        "%llu us, refuses %u%%, fails %u in 1000",
        plan->streams, plan->logs[0] ? ", alpha is a log" : "",
        plan->logs[1] ? ", beta is a log" : "", plan->logs[2] ? ", gamma is a log" : "",
        plan->async, plan->fleeting, plan->producers, plan->records, plan->consumers, plan->liars,
        plan->rivals ? " that take identities" : "", plan->operates ? ", operators" : "",
        plan->store_memory  ? "memory"
        : plan->store_reads ? "durable, reads"
                            : "durable",
        (unsigned long long) plan->store_latency_us, plan->store_refuse_percent,
        plan->store_unknown_permille);
}

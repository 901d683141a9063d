/* The simulated world: what its parts share.
 * SPDX-License-Identifier: MPL-2.0 */
#ifndef LEAT_SIMULATION_SIMULATION_H
#define LEAT_SIMULATION_SIMULATION_H

#include "broker/core/core.h"
#include "broker/core/statistics.h"
#include "tests/simulation/content.h"
#include "tests/simulation/random.h"

#include <stdio.h>

/*        clients, liars          network                 broker             store
 *     +------------------+   +--------------+      +----------------+   +-----------+
 *     | session, engines |-->| FIFO, delays |--+-->| core           |-->| commits,  |
 *     | application      |<--| FIFO, delays |<-|-+-|                |<--| late      |
 *     +------------------+   +--------------+  | | +----------------+   +-----------+
 *                                              v |         |
 *                                          +-----------------------+
 *                                          | model: sees each frame |
 *                                          | and each commit        |
 *                                          +-----------------------+
 *
 * One step is one turn of the client, liar, broker or fault that is due first. */

enum {
    SIM_STREAMS_MAX = 3,    /* that honest clients use */
    SIM_GROUPS_MAX = 2,     /* of each of them */
    SIM_CLIENTS_MAX = 96,   /* honest, those that ended included */
    SIM_CLIENTS_CHAOS = 48, /* that faults lead to; the rest is for who must come to the end */
    SIM_LIARS_MAX = 3,
    SIM_IDENTITIES_MAX = 100, /* of honest clients and liars */
    SIM_PRODUCERS_MAX = 2,    /* of one client */
    SIM_CONSUMERS_MAX = 2,    /* of one client */
    SIM_TASKS_MAX = 64,       /* records under way in one consumer's application */
};

#define SIM_NEVER UINT64_MAX
/* Wall clock at virtual time 0. */
#define SIM_WALL_START_MS 1700000000000u

typedef enum {
#define COUNT(name, text) SIM_COUNT_##name,
#include "tests/simulation/counts.def"
#undef COUNT
    SIM_COUNTS
} sim_count_id_t;

/* What a seed decides before anything runs. */
typedef struct {
    leat_limits_t limits;
    unsigned streams;
    unsigned groups[SIM_STREAMS_MAX];
    unsigned producers;
    unsigned consumers;
    unsigned liars;
    unsigned records;       /* of each producer and stream */
    size_t record_size_max; /* what producers send at most */
    bool store_memory;      /* completes at once, holds nothing over a crash */
    unsigned async;         /* streams that are so, as bits */
    unsigned fleeting;      /* likewise: memory streams beside a durable store */
    bool store_reads;       /* reads back, so that the broker keeps little in memory */
    uint64_t store_latency_us;
    unsigned store_refuse_percent;
    unsigned store_unknown_permille;
    uint64_t latency_us; /* of the network */
    uint64_t jitter_us;
    uint64_t fault_interval_us; /* mean; 0: no faults */
    unsigned hint_percent;      /* dead connections that the broker is told of */
    bool logs[SIM_STREAMS_MAX]; /* of retention log, with */
    uint64_t max_age_ms;        /* or 0 */
    uint64_t max_size;          /* or 0 */
    bool tight;                 /* so little memory that a log may have to go earlier */
    bool stages;                /* some consumers have records handed out ahead */
    bool operates;              /* clients set max_processing and drain consumers */
    bool rivals;                /* liars take honest identities; honest clients may be fenced */
    unsigned poison_one_in;     /* 0: no poison */
    unsigned reject_one_in;
    unsigned nack_percent;
    uint64_t handle_us; /* how long an average record takes */
} sim_plan_t;

typedef struct sim_network sim_network_t;
typedef struct sim_store sim_store_t;
typedef struct sim_broker sim_broker_t;
typedef struct sim_model sim_model_t;
typedef struct sim_client sim_client_t;
typedef struct sim_liar sim_liar_t;

typedef struct sim {
    uint64_t seed;
    sim_random_t random;
    sim_random_t operators;
    sim_random_t disk;    /* what befalls the store's disk */
    sim_random_t logs;    /* streams of retention log, and their groups */
    sim_random_t staging; /* who has records handed out ahead, and what becomes of them */
    uint64_t now_us;
    uint64_t step;
    uint64_t chaos_steps; /* then the faults stop */
    bool draining;        /* they have stopped */
    uint64_t drain_start_us;
    uint64_t fault_due_us;
    sim_plan_t plan;
    sim_network_t *network;
    sim_store_t *store;
    sim_broker_t *broker;
    sim_model_t *model;
    sim_client_t *clients[SIM_CLIENTS_MAX];
    unsigned clients_count;
    sim_liar_t *liars[SIM_LIARS_MAX];
    uint64_t counts[SIM_COUNTS];
    FILE *trace;         /* NULL: no readable trace */
    uint64_t trace_hash; /* of everything that would be in it */
} sim_t;

#define SIM_COUNT(sim, name) ((sim)->counts[SIM_COUNT_##name]++)
#define SIM_COUNT_MORE(sim, name, more) ((sim)->counts[SIM_COUNT_##name] += (more))

static inline uint64_t sim_wall_ms (const sim_t *self)
{
    return SIM_WALL_START_MS + self->now_us / 1000;
}

/* plan.c: draws the plan; writes it into the trace. */
void sim_plan_draw (sim_t *self);
void sim_plan_tell (sim_t *self);

/* Names that everybody uses. Streams and groups by index (SIM_STREAMS_MAX is that of the liars' own
 * stream; above it come those of dead letters, in the same order); identities are those of clients and
 * liars, found again by sim_identity_find, which gives SIM_IDENTITIES_MAX for a strange one. */
const char *sim_stream_name (unsigned stream);
leat_durability_t sim_stream_durability (const sim_t *self, const char *name);
const char *sim_group_name (unsigned group);
void sim_identity_name (unsigned identity, char *name, size_t size);
unsigned sim_identity_find (leat_text_t name);

/* faults.c: the next fault; what ends all of them. */
void sim_fault_run (sim_t *self);
void sim_faults_stop (sim_t *self);

/* world.c: one run from its seed. Ends the program at a violation. Returns the trace's hash. */
uint64_t sim_world_run (uint64_t seed, uint64_t steps, FILE *trace, uint64_t *counts);

#endif

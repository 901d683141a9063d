/* An honest client: a real session with real engines, and an application that uses them.
 * SPDX-License-Identifier: MPL-2.0 */
#ifndef LEAT_SIMULATION_CLIENT_H
#define LEAT_SIMULATION_CLIENT_H

#include "client/session.h"
#include "consumers/consumer_engine.h"
#include "producers/producer_engine.h"
#include "tests/simulation/network.h"
#include "tests/simulation/simulation.h"

typedef struct {
    leat_producer_engine_t *engine;
    unsigned stream;
    uint64_t planned;   /* records, from sequence 1 */
    uint64_t submitted; /* the last sequence that this client submitted */
    uint64_t confirmed; /* as it was told */
    uint64_t sent_cost; /* of PUBLISHes on the channel since OPENED */
    uint64_t limit;     /* that it was told */
    uint32_t channel;   /* that OPENED named */
    bool open;
} sim_producer_t;

/* Records that an application has started. */
typedef struct {
    bool used;
    bool begun;
    uint64_t session;
    uint64_t epoch;
    uint64_t first;
    uint32_t count;
    uint64_t due_us;
    uint64_t hash; /* of the first record */
} sim_task_t;

/* What was delivered on the channel and where in its order. */
typedef struct {
    uint64_t epoch;
    uint64_t first;
    uint32_t count;
    uint64_t position;
} sim_delivered_t;

/* What the broker has asked back. */
typedef struct {
    leat_range_t range;
    uint64_t heard_us;
} sim_recalled_t;

/* What an application has decided about a record, until it is sent. */
typedef struct {
    uint64_t epoch;
    uint64_t offset;
    uint32_t delay_ms;
    leat_outcome_t outcome;
} sim_decision_t;

typedef struct {
    leat_consumer_engine_t *engine;
    unsigned stream;
    char group[LEAT_NAME_MAX + 1];
    uint32_t max_unreported;
    unsigned parallel;
    uint64_t handle_us;
    bool slow; /* much slower than others, once faults have stopped */
    sim_task_t tasks[SIM_TASKS_MAX];
    unsigned tasks_count;
    bool stages;            /* has its engine hand out the next record ahead, which is */
    leat_delivery_t staged; /* this one, unless its records have no buffer; */
    bool staged_ready;      /* it may be started: all that had to be said before is sent */
    bool asked_empty;
    uint32_t channel;
    bool attached;
    uint64_t positions; /* records delivered since ATTACHED */
    uint64_t reported;  /* as this client has told the broker */
    sim_delivered_t *delivered;
    size_t delivered_count;
    size_t delivered_room;
    sim_recalled_t *recalled; /* since ATTACHED */
    size_t recalled_count;
    size_t recalled_room;
    sim_decision_t *decisions;
    size_t decisions_count;
    size_t decisions_room;
} sim_consumer_t;

struct leat_request;

struct sim_client {
    unsigned number;
    unsigned identity;
    char name[32];
    leat_session_t *session; /* NULL: not started yet, or gone */
    sim_connection_t *connection;
    uint64_t start_us; /* not before; SIM_NEVER once it has started */
    uint64_t frozen_until_us;
    uint64_t application_us; /* when its application does something */
    bool may_be_fenced;      /* somebody else uses its identity */
    bool fenced;
    bool closing;
    sim_producer_t producers[SIM_PRODUCERS_MAX];
    unsigned producers_count;
    sim_consumer_t consumers[SIM_CONSUMERS_MAX];
    unsigned consumers_count;
    struct leat_request *request; /* of an operator, under way; or NULL */
    bool dies;                    /* a record that it has just started kills it */
    uint64_t freezes_us;          /* or freezes it for so long */
    bool poisoned;                /* a record has frozen it; it has done nothing since */
};

/* A client that starts at `start_us`, with neither producers nor consumers; `identity` as another
 * client's number, or SIM_IDENTITIES_MAX for one of its own. NULL if there were too many. */
sim_client_t *sim_client_new (sim_t *sim, unsigned identity, uint64_t start_us);
void sim_client_add_producer (sim_t *sim, sim_client_t *client, unsigned stream, uint64_t planned);
void sim_client_add_consumer (sim_t *sim, sim_client_t *client, unsigned stream, const char *group);
void sim_client_destroy (sim_t *sim, sim_client_t **client_p);

/* True while it runs, frozen or not. */
bool sim_client_lives (const sim_client_t *client);
bool sim_client_frozen (const sim_t *sim, const sim_client_t *client);

uint64_t sim_client_due (const sim_t *sim, const sim_client_t *client);
void sim_client_turn (sim_t *sim, sim_client_t *client);

void sim_client_freeze (sim_t *sim, sim_client_t *client, uint64_t duration_us);
/* Dies without a word; `rerun`: one with the same identity, or other consumers, come later. */
void sim_client_crash (sim_t *sim, sim_client_t *client);
void sim_client_close (sim_t *sim, sim_client_t *client);
/* A client that does the same from the beginning: under the same identity if it has producers or
 * `same` is asked for. */
sim_client_t *sim_client_again (sim_t *sim, const sim_client_t *client, uint64_t start_us,
                                bool same);

/* application.c: what an application does when it is due; before its outbox is sent and after, when
 * it begins what it took, unless that could not be reported. */
void sim_application_start (sim_t *sim, sim_client_t *client);
void sim_application_run (sim_t *sim, sim_client_t *client, bool sent);
/* Everything that its producers had planned is confirmed. */
bool sim_application_done (const sim_client_t *client);

/* operator.c: asks the broker for something now and then; what becomes of it when the client ends. */
void sim_operator_run (sim_t *sim, sim_client_t *client);
void sim_operator_forget (sim_client_t *client);

/* wiretap.c: what a client sends and hears, checked against what it was told. */
void sim_wiretap_sent (sim_t *sim, sim_client_t *client, const leat_message_t *message);
void sim_wiretap_decided (sim_consumer_t *consumer, const sim_task_t *task, uint32_t count,
                          leat_outcome_t outcome, uint32_t delay_ms);
void sim_wiretap_heard (sim_t *sim, sim_client_t *client, const sim_frame_t *frame);
void sim_wiretap_started (sim_t *sim, sim_client_t *client, const sim_consumer_t *consumer,
                          const sim_task_t *task);
/* A task begins just now. */
void sim_wiretap_begun (sim_t *sim, sim_client_t *client, const sim_consumer_t *consumer,
                        const sim_task_t *task);
/* When the broker's wish to have the record back was heard; SIM_NEVER if it was not. */
uint64_t sim_wiretap_recalled_us (const sim_consumer_t *consumer, uint64_t epoch, uint64_t offset);

#endif

/* Drives a session as the client library does, over a simulated socket.
 * SPDX-License-Identifier: MPL-2.0 */
#include "tests/simulation/client.h"
#include "tests/simulation/model.h"
#include "tests/simulation/trace.h"
#include "wire/alloc.h"

#include <stdlib.h>
#include <string.h>

sim_client_t *sim_client_new (sim_t *sim, unsigned identity, uint64_t start_us)
{
    if (sim->clients_count == SIM_CLIENTS_MAX)
        return NULL;
    sim_client_t *client = leat_alloc (sizeof *client);
    client->number = sim->clients_count;
    client->identity = identity < SIM_IDENTITIES_MAX ? identity : client->number;
    client->start_us = start_us;
    client->application_us = start_us;
    client->may_be_fenced = sim->plan.rivals;
    sim_identity_name (client->identity, client->name, sizeof client->name);
    sim->clients[sim->clients_count++] = client;
    return client;
}

void sim_client_add_producer (sim_t *sim, sim_client_t *client, unsigned stream, uint64_t planned)
{
    (void) sim;
    sim_producer_t *producer = &client->producers[client->producers_count++];
    producer->stream = stream;
    producer->planned = planned;
}

void sim_client_add_consumer (sim_t *sim, sim_client_t *client, unsigned stream, const char *group)
{
    (void) sim;
    sim_consumer_t *consumer = &client->consumers[client->consumers_count++];
    consumer->stream = stream;
    snprintf (consumer->group, sizeof consumer->group, "%s", group);
}

static void s_start_producer (sim_t *sim, sim_client_t *client, sim_producer_t *producer)
{
    leat_producer_engine_options_t options = {
        .stream = sim_stream_name (producer->stream),
        .batch_size_max =
            sim_chance (&sim->random, 30) ? (uint32_t) sim_between (&sim->random, 300, 3000) : 0,
    };
    producer->engine = leat_producer_engine_new (&options);
    if (!leat_session_add_producer (client->session, producer->engine))
        sim_violation (sim, "a session takes producers", "%s", client->name);
}

static void s_start_consumer (sim_t *sim, sim_client_t *client, sim_consumer_t *consumer)
{
    static const uint32_t credits[] = { 1, 2, 5, 20, 200, 0 };
    static const uint32_t unreported[] = { 0, 1, 1, 2, 4, 16 };
    leat_consumer_engine_options_t options = {
        .stream = sim_stream_name (consumer->stream),
        .group = consumer->group,
        .credit_records = credits[sim_below (&sim->random, 6)],
        .credit_size = sim_chance (&sim->random, 30) ? sim_between (&sim->random, 1, 4000) : 0,
        .max_unreported = unreported[sim_below (&sim->random, 6)],
        .settle_delay_us = (uint32_t) sim_between (&sim->random, 0, 20000),
        .settle_count = (uint32_t) sim_between (&sim->random, 0, 20),
    };
    consumer->engine = leat_consumer_engine_new (&options);
    consumer->max_unreported = options.max_unreported ? options.max_unreported : 1;
    consumer->parallel = (unsigned) sim_between (&sim->random, 1, 6);
    consumer->handle_us = sim->plan.handle_us << sim_below (&sim->random, 6);
    consumer->slow = sim_chance (&sim->random, 25);
    consumer->stages = sim->plan.stages && sim_chance (&sim->staging, 70);
    if (!leat_session_add_consumer (client->session, consumer->engine))
        sim_violation (sim, "a session takes consumers", "%s", client->name);
}

static void s_start (sim_t *sim, sim_client_t *client)
{
    leat_session_options_t options = {
        .identity = client->name,
        .software = "leat simulated",
        .endpoints = (uint32_t) sim_between (&sim->random, 1, 2),
        .seed = sim_random (&sim->random),
        .greeting_timeout_ms = 1000,
        .retry_min_ms = 20,
        .retry_max_ms = 1000,
    };
    client->start_us = SIM_NEVER;
    client->application_us = sim->now_us;
    /* A HELLO of somebody who is dead, read after that of his successor, would displace the latter:
     * nobody could tell which life is the newer one. Rivals may meet that, others are spared. */
    if (!client->may_be_fenced)
        sim_network_silence (sim, client->identity);
    client->session = leat_session_new (&options);
    sim_trace (sim, client->name, "starts");
    for (unsigned index = 0; index < client->producers_count; index++)
        s_start_producer (sim, client, &client->producers[index]);
    for (unsigned index = 0; index < client->consumers_count; index++)
        s_start_consumer (sim, client, &client->consumers[index]);
}

/* Ends it without a word to anybody. */
static void s_stop (sim_t *sim, sim_client_t *client)
{
    sim_network_close (sim, &client->connection);
    sim_operator_forget (client);
    leat_session_destroy (&client->session);
    for (unsigned index = 0; index < client->producers_count; index++)
        leat_producer_engine_destroy (&client->producers[index].engine);
    for (unsigned index = 0; index < client->consumers_count; index++) {
        leat_consumer_engine_destroy (&client->consumers[index].engine);
        leat_buffer_release (&client->consumers[index].staged.records.buffer);
        free (client->consumers[index].delivered);
        client->consumers[index].delivered = NULL;
        free (client->consumers[index].recalled);
        client->consumers[index].recalled = NULL;
        free (client->consumers[index].decisions);
        client->consumers[index].decisions = NULL;
    }
    client->start_us = SIM_NEVER;
}

void sim_client_destroy (sim_t *sim, sim_client_t **client_p)
{
    if (!*client_p)
        return;
    s_stop (sim, *client_p);
    free (*client_p);
    *client_p = NULL;
}

bool sim_client_lives (const sim_client_t *client)
{
    return client->session != NULL;
}

bool sim_client_frozen (const sim_t *sim, const sim_client_t *client)
{
    return client->frozen_until_us > sim->now_us;
}

uint64_t sim_client_due (const sim_t *sim, const sim_client_t *client)
{
    if (!client->session)
        return client->start_us;
    uint64_t due = leat_session_deadline (client->session);
    if (client->application_us < due)
        due = client->application_us;
    if (client->connection) {
        uint64_t arrival = sim_queue_due (&client->connection->down);
        due = arrival < due ? arrival : due;
    }
    if (due < client->frozen_until_us)
        due = client->frozen_until_us;
    return due > sim->now_us ? due : sim->now_us;
}

/* ---- faults ---------------------------------------------------------------------------------- */

void sim_client_freeze (sim_t *sim, sim_client_t *client, uint64_t duration_us)
{
    sim_trace (sim, client->name, "freezes for %llu ms", (unsigned long long) duration_us / 1000);
    client->frozen_until_us = sim->now_us + duration_us;
    if (duration_us > sim->plan.limits.heartbeat_timeout * 1000)
        SIM_COUNT (sim, client_frozen_long);
    else
        SIM_COUNT (sim, client_frozen);
}

sim_client_t *sim_client_again (sim_t *sim, const sim_client_t *client, uint64_t start_us,
                                bool same)
{
    bool same_identity = same || client->producers_count;
    sim_client_t *again =
        sim_client_new (sim, same_identity ? client->identity : SIM_IDENTITIES_MAX, start_us);
    if (!again)
        return NULL;
    for (unsigned index = 0; index < client->producers_count; index++)
        sim_client_add_producer (sim, again, client->producers[index].stream,
                                 client->producers[index].planned);
    for (unsigned index = 0; index < client->consumers_count; index++)
        sim_client_add_consumer (sim, again, client->consumers[index].stream,
                                 client->consumers[index].group);
    again->may_be_fenced = again->may_be_fenced || (same_identity && client->may_be_fenced);
    return again;
}

void sim_client_crash (sim_t *sim, sim_client_t *client)
{
    sim_trace (sim, client->name, "crashes");
    SIM_COUNT (sim, client_crashed);
    uint64_t later = sim->now_us + sim_below (&sim->random, 3000000);
    /* Some stay away for so long that they are forgotten. */
    if (sim->plan.limits.identity_expiry < 60000 && sim_chance (&sim->random, 50))
        later += sim_below (&sim->random, 2000 * sim->plan.limits.identity_expiry);
    s_stop (sim, client);
    if (sim_client_again (sim, client, later, false) && client->producers_count)
        SIM_COUNT (sim, client_rerun);
}

void sim_client_close (sim_t *sim, sim_client_t *client)
{
    sim_trace (sim, client->name, "closes");
    client->closing = true;
    client->application_us = sim->now_us;
    leat_session_close (client->session);
}

/* It goes on: whatever ends it from now on, is something else. */
static void s_thaw (sim_t *sim, sim_client_t *client)
{
    client->poisoned = false;
    if (client->connection)
        sim_model_cured (sim, client->connection->peer);
}

/* A record has stopped it; what it said just before may be stuck in the process with it. */
static void s_poison_freezes (sim_t *sim, sim_client_t *client)
{
    SIM_COUNT (sim, poison_freeze);
    sim_client_freeze (sim, client, client->freezes_us);
    client->freezes_us = 0;
    client->poisoned = true;
    if (!client->connection || !sim_chance (&sim->random, 50))
        return;
    SIM_COUNT (sim, poison_freeze_mute);
    if (client->connection->up.blocked_until_us < client->frozen_until_us)
        client->connection->up.blocked_until_us = client->frozen_until_us;
}

/* ---- turns ----------------------------------------------------------------------------------- */

static void s_receive (sim_t *sim, sim_client_t *client)
{
    sim_frame_t *frame;
    while (client->connection
           && (frame = sim_queue_take (&client->connection->down, sim->now_us)) != NULL) {
        sim_trace_message (sim, client->name, "<", client->connection->peer, frame->header,
                           frame->header_size, frame->body ? leat_buffer_size (frame->body) : 0);
        sim_wiretap_heard (sim, client, frame);
        leat_session_receive (client->session, frame->header, frame->header_size, frame->body,
                              frame->frames);
        sim_frame_destroy (&frame);
    }
}

/* Returns false if the connection turned out to be gone. */
static bool s_send (sim_t *sim, sim_client_t *client)
{
    leat_message_t message;
    leat_outbox_t *outbox = leat_session_outbox (client->session);
    while (leat_outbox_next (outbox, &message)) {
        if (!client->connection)
            sim_violation (sim, "nothing is sent without a connection", "%s", client->name);
        sim_trace_message (sim, client->name, ">", client->connection->peer, message.header,
                           message.header_size, message.body.size);
        sim_wiretap_sent (sim, client, &message);
        if (!sim_network_send_up (sim, client->connection, message.header, message.header_size,
                                  message.body, message.body.buffer ? 2 : 1)) {
            sim_trace (sim, client->name, "could not send");
            leat_session_unsent (client->session);
            return false;
        }
    }
    return true;
}

static void s_connect (sim_t *sim, sim_client_t *client)
{
    uint32_t endpoint;
    leat_session_state_t state = leat_session_state (client->session);
    if (leat_session_connect (client->session, &endpoint)) {
        sim_network_close (sim, &client->connection);
        client->connection = sim_network_connect (sim, client->identity);
        sim_trace (sim, client->name, "connects as %llu",
                   (unsigned long long) client->connection->peer);
    } else if (state == LEAT_SESSION_WAITING || state == LEAT_SESSION_CLOSED
               || state == LEAT_SESSION_FENCED || state == LEAT_SESSION_FAILED)
        sim_network_close (sim, &client->connection);
}

static void s_end (sim_t *sim, sim_client_t *client)
{
    leat_code_t code;
    leat_session_state_t state = leat_session_state (client->session);
    const char *error = leat_session_error (client->session, &code);
    if (state == LEAT_SESSION_FAILED || (state == LEAT_SESSION_FENCED && !client->may_be_fenced))
        sim_violation (sim, "honest clients without rivals are neither fenced nor failed",
                       "%s: %s: %s", client->name, leat_code_name (code), error);
    if (state != LEAT_SESSION_FENCED && state != LEAT_SESSION_CLOSED)
        return;
    sim_trace (sim, client->name, "ends: %s", error);
    if (state == LEAT_SESSION_FENCED) {
        SIM_COUNT (sim, client_fenced);
        client->fenced = true;
    } else if (!sim_application_done (client) && !sim->draining)
        sim_client_again (sim, client, sim->now_us + sim_below (&sim->random, 2000000), false);
    s_stop (sim, client);
}

/* Heartbeats keep a session, whatever its application does meanwhile. */
static void s_check_losses (sim_t *sim, const sim_client_t *client, uint64_t losses)
{
    leat_code_t code;
    leat_session_error (client->session, &code);
    if (leat_session_losses (client->session) > losses && code == LEAT_TIMED_OUT)
        sim_violation (sim, "nobody is taken for lost while there are no faults",
                       "%s has not heard of its broker", client->name);
}

/* What an engine waits for, its session waits for: it was told of all that was done to the engine. */
static void s_check_deadline (sim_t *sim, const sim_client_t *client)
{
    if (leat_session_state (client->session) != LEAT_SESSION_READY)
        return;
    uint64_t due_us = leat_session_deadline (client->session);
    bool late = false;
    for (unsigned index = 0; index < client->producers_count; index++)
        late = late || leat_producer_engine_deadline (client->producers[index].engine) < due_us;
    for (unsigned index = 0; index < client->consumers_count; index++)
        late = late || leat_consumer_engine_deadline (client->consumers[index].engine) < due_us;
    if (late && due_us > sim->now_us)
        sim_violation (sim, "a session wakes up for each of its engines", "%s", client->name);
}

void sim_client_turn (sim_t *sim, sim_client_t *client)
{
    if (!client->session)
        s_start (sim, client);
    if (client->poisoned)
        s_thaw (sim, client);
    bool calm = sim_model_is_calm (sim) && client->connection && !client->connection->broken;
    uint64_t losses = leat_session_losses (client->session);
    leat_session_tick (client->session, sim->now_us, sim_wall_ms (sim));
    s_receive (sim, client);
    leat_session_run (client->session);
    if (calm)
        s_check_losses (sim, client, losses);
    s_connect (sim, client);
    sim_application_start (sim, client);
    leat_session_run (client->session);
    s_check_deadline (sim, client);
    sim_application_run (sim, client, s_send (sim, client));
    s_connect (sim, client);
    s_end (sim, client);
    if (client->dies && client->session) {
        SIM_COUNT (sim, poison_crash);
        client->dies = false;
        sim_client_crash (sim, client);
    } else if (client->freezes_us && client->session) {
        s_poison_freezes (sim, client);
    }
}

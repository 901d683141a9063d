/* What operators do meanwhile: set max_processing, create streams, ask consumers to leave. Their choices
 * are drawn by themselves, so that they change nothing of what others draw.
 * SPDX-License-Identifier: MPL-2.0 */
#include "client/requests.h"
#include "tests/simulation/client.h"
#include "tests/simulation/trace.h"

static leat_request_t *s_stream (sim_t *sim, const char *name)
{
    leat_command_t command = { .id = LEAT_STREAM_SET };
    /* What takes longer than the way there and back could be done by nobody. */
    uint64_t least_ms = 20 + 4 * (sim->plan.latency_us + sim->plan.jitter_us) / 1000;
    uint64_t max_processing_ms = sim_chance (&sim->operators, 85)
                                     ? sim_between (&sim->operators, least_ms, least_ms + 2000)
                                     : 0;
    /* That it is kept is what matters where something is kept; nothing becomes overdue by it. */
    if (max_processing_ms && !sim->plan.store_memory)
        max_processing_ms += 3600000;
    uint8_t durability = sim->plan.store_memory ? LEAT_MEMORY : LEAT_SYNC;
    if (sim_chance (&sim->operators, 20)) {
        command.id = LEAT_STREAM_CREATE;
        command.stream_create.stream = leat_text (name);
        command.stream_create.durability = durability;
        command.stream_create.max_processing_ms = max_processing_ms;
    } else {
        command.stream_set.stream = leat_text (name);
        command.stream_set.durability = durability;
        command.stream_set.max_processing_ms = max_processing_ms;
    }
    sim_trace (sim, "operator", "%s %s: max_processing %llu", leat_command_name (command.id), name,
               (unsigned long long) max_processing_ms);
    return leat_request_new (&command);
}

static leat_request_t *s_drain (sim_t *sim, const char *stream)
{
    char identity[32];
    sim_identity_name ((unsigned) sim_below (&sim->operators, sim->clients_count), identity,
                       sizeof identity);
    leat_command_t command = { .id = LEAT_CONSUMER_DRAIN };
    command.consumer_drain.identity = leat_text (identity);
    if (sim_chance (&sim->operators, 30))
        command.consumer_drain.stream = leat_text (stream);
    sim_trace (sim, "operator", "drains %s", identity);
    return leat_request_new (&command);
}

void sim_operator_forget (sim_client_t *client)
{
    if (client->request && client->session)
        leat_session_remove_request (client->session, client->request);
    leat_request_destroy (&client->request);
}

void sim_operator_run (sim_t *sim, sim_client_t *client)
{
    if (client->request && leat_request_done (client->request)) {
        if (leat_request_code (client->request) == LEAT_OK)
            SIM_COUNT (sim, operator_done);
        else
            SIM_COUNT (sim, operator_refused);
        sim_operator_forget (client);
    }
    if (!sim->plan.operates || sim->draining || client->closing || client->request
        || !sim_chance (&sim->operators, 4))
        return;
    const char *stream = sim_stream_name ((unsigned) sim_below (&sim->operators, SIM_STREAMS_MAX));
    client->request =
        sim_chance (&sim->operators, 70) ? s_stream (sim, stream) : s_drain (sim, stream);
    leat_session_add_request (client->session, client->request);
}

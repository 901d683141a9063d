/* What operators do meanwhile: set max_processing, create streams, ask consumers to leave. Their choices
 * are drawn by themselves, so that they change nothing of what others draw.
 * SPDX-License-Identifier: MPL-2.0 */
#include "client/requests.h"
#include "tests/simulation/client.h"
#include "tests/simulation/trace.h"

#include <string.h>

/* What a log has asked for stays. */
static void s_keep_log (const sim_t *sim, const char *name, leat_command_t *command)
{
    unsigned stream = 0;
    while (strcmp (sim_stream_name (stream), name) != 0)
        stream++;
    if (!sim->plan.logs[stream])
        return;
    if (command->id == LEAT_STREAM_CREATE) {
        command->stream_create.retention = LEAT_RETENTION_LOG;
        command->stream_create.max_age_ms = sim->plan.max_age_ms;
        command->stream_create.max_size = sim->plan.max_size;
    } else {
        command->stream_set.retention = LEAT_RETENTION_LOG;
        command->stream_set.max_age_ms = sim->plan.max_age_ms;
        command->stream_set.max_size = sim->plan.max_size;
    }
}

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
    uint8_t durability = (uint8_t) sim_stream_durability (sim, name);
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
    s_keep_log (sim, name, &command);
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

/* Somebody wants to read a log that others have settled. */
static leat_request_t *s_read_again (sim_t *sim)
{
    static const char *const names[] = { "again", "between", "late" };
    unsigned stream = (unsigned) sim_below (&sim->logs, SIM_STREAMS_MAX);
    unsigned name = (unsigned) sim_below (&sim->logs, 3);
    uint64_t offset = sim_below (&sim->logs, 300);
    if (!sim->plan.logs[stream])
        return NULL;
    leat_command_t command = { .id = LEAT_GROUP_CREATE };
    command.group_create.stream = leat_text (sim_stream_name (stream));
    command.group_create.group = leat_text (names[name]);
    command.group_create.start = name == 0   ? LEAT_START_EARLIEST
                                 : name == 1 ? LEAT_START_OFFSET
                                             : LEAT_START_LATEST;
    command.group_create.start_value = name == 1 ? offset : 0;
    sim_trace (sim, "operator", "group %s of %s, %llu", names[name], sim_stream_name (stream),
               (unsigned long long) offset);
    SIM_COUNT (sim, log_groups);
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
    bool logs = sim->plan.logs[0] || sim->plan.logs[1] || sim->plan.logs[2];
    if (logs && !sim->draining && !client->closing && !client->request && sim_chance (&sim->logs, 1)
        && (client->request = s_read_again (sim)))
        leat_session_add_request (client->session, client->request);
    if (!sim->plan.operates || sim->draining || client->closing || client->request
        || !sim_chance (&sim->operators, 4))
        return;
    const char *stream = sim_stream_name ((unsigned) sim_below (&sim->operators, SIM_STREAMS_MAX));
    client->request =
        sim_chance (&sim->operators, 70) ? s_stream (sim, stream) : s_drain (sim, stream);
    leat_session_add_request (client->session, client->request);
}

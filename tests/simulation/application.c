/* What applications do: feed records, handle them at their own pace, settle them in any way.
 * SPDX-License-Identifier: MPL-2.0 */
#include "tests/simulation/client.h"
#include "tests/simulation/model.h"
#include "tests/simulation/trace.h"
#include "wire/batch.h"

#include <string.h>

enum {
    UNCONFIRMED_MAX = 40000, /* bytes that a producer's application lets wait */
    SLICE_RECORDS_MAX = 240,
    SLICE_SIZE_MAX = 40000
};

/* ---- producers ------------------------------------------------------------------------------- */

static void s_submit (sim_t *sim, sim_client_t *client, sim_producer_t *producer, unsigned count)
{
    uint64_t first = leat_producer_engine_next (producer->engine);
    uint8_t bytes[SIM_CONTENT_SIZE_MAX];
    sim_content_t content = { .identity = (uint16_t) client->identity,
                              .stream = (uint16_t) producer->stream,
                              .sequence = first };
    bool extended = sim_content_extended (sim->seed, &content);
    static uint8_t slice[SLICE_SIZE_MAX + SIM_CONTENT_SIZE_MAX];
    size_t size = 0;
    uint32_t taken = 0;
    for (; taken < count && content.sequence <= producer->planned && size < SLICE_SIZE_MAX
           && sim_content_extended (sim->seed, &content) == extended;
         taken++, content.sequence++) {
        size_t more = sim_content_encode (sim->seed, &content, sim->plan.record_size_max, bytes);
        memcpy (slice + size, bytes, more);
        size += more;
    }
    leat_buffer_t *buffer = leat_buffer_copy (slice, size);
    leat_slice_t records = { .buffer = buffer, .size = size };
    leat_producer_engine_set_patient (producer->engine, first % 3 != 0);
    uint64_t got =
        leat_producer_engine_submit (producer->engine, records, taken, extended, sim_wall_ms (sim));
    leat_buffer_release (&buffer);
    if (got != first)
        sim_violation (sim, "records get the sequences that were told", "%s: %llu instead of %llu",
                       client->name, (unsigned long long) got, (unsigned long long) first);
    producer->submitted = content.sequence - 1;
    SIM_COUNT_MORE (sim, records_submitted, taken);
}

static void s_feed (sim_t *sim, sim_client_t *client, sim_producer_t *producer)
{
    if (leat_producer_engine_state (producer->engine) > LEAT_PRODUCER_OPEN
        || leat_producer_engine_next (producer->engine) > producer->planned
        || leat_producer_engine_unconfirmed_size (producer->engine) > UNCONFIRMED_MAX)
        return;
    unsigned most = 4;
    if (sim_chance (&sim->random, 30))
        most = sim_chance (&sim->random, 20) ? SLICE_RECORDS_MAX : SLICE_RECORDS_MAX / 10;
    s_submit (sim, client, producer, (unsigned) sim_between (&sim->random, 1, most));
}

static void s_check_confirmed (sim_t *sim, sim_client_t *client, sim_producer_t *producer)
{
    uint64_t confirmed = leat_producer_engine_confirmed (producer->engine);
    if (confirmed != producer->confirmed)
        sim_model_confirmed (sim, client->identity, producer->stream, confirmed);
    producer->confirmed = confirmed;
    if (confirmed > producer->submitted) {
        SIM_COUNT_MORE (sim, records_skipped, confirmed - producer->submitted);
        producer->submitted = confirmed;
    }
    leat_code_t code;
    const char *error = leat_producer_engine_error (producer->engine, &code);
    if (leat_producer_engine_state (producer->engine) == LEAT_PRODUCER_FAILED
        && !client->may_be_fenced)
        sim_violation (sim, "honest producers do not fail", "%s, stream %s: %s: %s", client->name,
                       sim_stream_name (producer->stream), leat_code_name (code), error);
}

bool sim_application_done (const sim_client_t *client)
{
    for (unsigned index = 0; index < client->producers_count; index++) {
        const sim_producer_t *producer = &client->producers[index];
        /* One that has failed had a rival, or that would have been a violation. */
        bool failed = producer->engine
                      && leat_producer_engine_state (producer->engine) == LEAT_PRODUCER_FAILED;
        if (producer->confirmed < producer->planned && !failed)
            return false;
    }
    return true;
}

/* ---- consumers ------------------------------------------------------------------------------- */

/* The last record of the slice says which it is; all of them are compared with the model. */
static void s_look (sim_t *sim, sim_consumer_t *consumer, const leat_delivery_t *delivery,
                    sim_task_t *task, sim_client_t *client)
{
    const uint8_t *bytes = leat_slice_bytes (delivery->records);
    size_t size = delivery->records.size;
    for (uint32_t index = 0; index < delivery->count; index++) {
        size_t taken = leat_batch_skip (bytes, size, 1);
        sim_content_t content = { 0 };
        sim_model_handed (sim, consumer->stream, delivery->first + index, delivery->extended, bytes,
                          taken);
        sim_content_decode (&content, delivery->extended, bytes, taken);
        uint64_t hash = sim_content_hash (sim->seed, &content, 7);
        if (index == 0)
            task->hash = hash;
        if (!sim->draining && sim->plan.poison_one_in && hash % sim->plan.poison_one_in == 0) {
            client->dies = (hash >> 32 & 1) && sim->clients_count < SIM_CLIENTS_CHAOS;
            if (!client->dies)
                client->freezes_us = sim->plan.limits.heartbeat_timeout * (1200 + hash % 2000);
            sim_model_poisoned (sim, client->connection->peer, sim_stream_name (consumer->stream),
                                consumer->group, delivery->first + index);
        }
        bytes += taken;
        size -= taken;
    }
}

/* Begins to work on records; releases them. */
static void s_begin (sim_t *sim, sim_client_t *client, sim_consumer_t *consumer,
                     leat_delivery_t *delivery)
{
    unsigned index = 0;
    while (consumer->tasks[index].used)
        index++;
    sim_task_t *task = &consumer->tasks[index];
    *task = (sim_task_t){ .used = true,
                          .session = delivery->session,
                          .epoch = delivery->epoch,
                          .first = delivery->first,
                          .count = delivery->count };
    uint64_t pace = consumer->handle_us;
    if (sim->draining)
        pace = consumer->slow ? 30000 : 1000;
    /* Some work takes longer than any silence may last. */
    if (sim->draining && sim_chance (&sim->random, consumer->slow ? 4 : 1))
        pace = 2000 * sim->plan.limits.heartbeat_timeout;
    task->due_us = sim->now_us + sim_below (&sim->random, 2 * pace);
    consumer->tasks_count++;
    s_look (sim, consumer, delivery, task, client);
    leat_buffer_release (&delivery->records.buffer);
    sim_trace (sim, client->name, "takes %s/%s %llu+%u", sim_stream_name (consumer->stream),
               consumer->group, (unsigned long long) task->first, task->count);
}

static void s_claim (sim_t *sim, sim_client_t *client, sim_consumer_t *consumer)
{
    leat_consumer_engine_claim (consumer->engine);
    s_begin (sim, client, consumer, &consumer->staged);
}

/* Whether the record that is staged was asked back in this turn, but started a moment before. */
static bool s_is_faster (sim_t *sim, const sim_client_t *client, const sim_consumer_t *consumer)
{
    const leat_delivery_t *staged = &consumer->staged;
    return consumer->staged_ready && !client->closing && consumer->tasks_count < SIM_TASKS_MAX
           && leat_consumer_engine_state (consumer->engine) == LEAT_CONSUMER_ATTACHED
           && sim_wiretap_recalled_us (consumer, staged->epoch, staged->first) == sim->now_us
           && sim_chance (&sim->staging, 30);
}

/* The broker wants it back, or has taken it. */
static void s_look_at_staged (sim_t *sim, sim_client_t *client, sim_consumer_t *consumer)
{
    leat_delivery_t *staged = &consumer->staged;
    if (!staged->records.buffer || leat_consumer_engine_is_staged (consumer->engine))
        return;
    if (s_is_faster (sim, client, consumer)) {
        SIM_COUNT (sim, staged_started);
        s_claim (sim, client, consumer);
        return;
    }
    leat_buffer_release (&staged->records.buffer);
    if (leat_consumer_engine_give_back (consumer->engine, staged->session, staged->epoch,
                                        staged->first, staged->count)
        && !client->closing)
        SIM_COUNT (sim, staged_returned);
}

static void s_stage (sim_t *sim, sim_client_t *client, sim_consumer_t *consumer)
{
    if (!consumer->stages || !consumer->tasks_count || consumer->staged.records.buffer
        || client->dies || client->freezes_us || !sim_chance (&sim->staging, 80)
        || !leat_consumer_engine_stage (consumer->engine, &consumer->staged,
                                        leat_session_outbox (client->session)))
        return;
    SIM_COUNT (sim, staged);
    consumer->staged_ready = false;
    sim_trace (sim, client->name, "stages %s/%s %llu", sim_stream_name (consumer->stream),
               consumer->group, (unsigned long long) consumer->staged.first);
}

static void s_take (sim_t *sim, sim_client_t *client, sim_consumer_t *consumer)
{
    while (consumer->tasks_count < consumer->parallel && !client->dies && !client->freezes_us) {
        leat_delivery_t delivery;
        if (consumer->staged.records.buffer && consumer->staged_ready) {
            s_claim (sim, client, consumer);
            continue;
        }
        uint32_t most = sim_chance (&sim->random, 20) ? 5 : 1;
        if (!leat_consumer_engine_take (consumer->engine, most, &delivery,
                                        leat_session_outbox (client->session)))
            break;
        s_begin (sim, client, consumer, &delivery);
    }
    s_stage (sim, client, consumer);
}

static leat_outcome_t s_outcome (sim_t *sim, const sim_task_t *task)
{
    if (sim->draining)
        return LEAT_ACK;
    if (sim->plan.reject_one_in && (task->hash >> 8) % sim->plan.reject_one_in == 0)
        return LEAT_REJECT;
    return sim_chance (&sim->random, sim->plan.nack_percent) ? LEAT_NACK : LEAT_ACK;
}

/* Settles all of a task, or its first part now and the rest later. */
static void s_finish (sim_t *sim, sim_client_t *client, sim_consumer_t *consumer, sim_task_t *task)
{
    leat_outcome_t outcome = s_outcome (sim, task);
    uint32_t count = task->count;
    uint32_t delay_ms = 0;
    uint32_t held;
    if (count > 1 && sim_chance (&sim->random, 50))
        count = (uint32_t) sim_between (&sim->random, 1, count - 1);
    if (outcome == LEAT_NACK && sim_chance (&sim->random, 50))
        delay_ms = (uint32_t) sim_between (&sim->random, 1, 3000);
    sim_trace (sim, client->name, "settles %s/%s %llu+%u: %d", sim_stream_name (consumer->stream),
               consumer->group, (unsigned long long) task->first, count, outcome);
    if (!sim->draining && sim_chance (&sim->random, 3))
        held = leat_consumer_engine_give_back (consumer->engine, task->session, task->epoch,
                                               task->first, count);
    else {
        sim_wiretap_decided (consumer, task, count, outcome, delay_ms);
        held = leat_consumer_engine_settle (
            consumer->engine, task->session, task->epoch, task->first, count, outcome, delay_ms,
            outcome == LEAT_REJECT ? "not wanted" : NULL, sim->now_us);
    }
    SIM_COUNT_MORE (sim, settle_application_stale, count - held);
    task->first += count;
    task->count -= count;
    if (task->count)
        return;
    task->used = false;
    consumer->tasks_count--;
}

/* What applications do now and then. */
static void s_whim (sim_t *sim, sim_consumer_t *consumer)
{
    unsigned whim = (unsigned) sim_below (&sim->random, sim->draining ? 40 : 60);
    if (whim == 0)
        leat_consumer_engine_flush (consumer->engine);
    else if (whim == 1)
        leat_consumer_engine_ask_empty (consumer->engine);
    else if (whim == 2)
        leat_consumer_engine_allow (consumer->engine, (uint32_t) sim_between (&sim->random, 1, 50),
                                    sim_between (&sim->random, 1, 100000));
}

static void s_consume (sim_t *sim, sim_client_t *client, sim_consumer_t *consumer)
{
    leat_code_t code;
    const char *error = leat_consumer_engine_error (consumer->engine, &code);
    bool failed = leat_consumer_engine_state (consumer->engine) == LEAT_CONSUMER_FAILED;
    if (failed && code == LEAT_NO_SUCH_STREAM && consumer->stream > SIM_STREAMS_MAX) {
        /* Dead letters that were lost with the broker: somebody else will look at the next ones. */
        if (!client->closing)
            sim_client_close (sim, client);
        return;
    }
    if (failed)
        sim_violation (sim, "honest consumers do not fail", "%s: %s: %s", client->name,
                       leat_code_name (code), error);
    s_look_at_staged (sim, client, consumer);
    for (unsigned index = 0; index < SIM_TASKS_MAX; index++) {
        sim_task_t *task = &consumer->tasks[index];
        if (task->used && task->due_us <= sim->now_us)
            s_finish (sim, client, consumer, task);
    }
    if (leat_consumer_engine_drained (consumer->engine) && !client->closing) {
        SIM_COUNT (sim, consumers_drained);
        sim_client_close (sim, client);
    }
    s_whim (sim, consumer);
    if (!client->closing)
        s_take (sim, client, consumer);
}

/* ---- turns ----------------------------------------------------------------------------------- */

void sim_application_start (sim_t *sim, sim_client_t *client)
{
    if (client->application_us <= sim->now_us) {
        for (unsigned index = 0; index < client->producers_count && !client->closing; index++)
            s_feed (sim, client, &client->producers[index]);
        client->application_us =
            sim->now_us + sim_between (&sim->random, 1000, sim->draining ? 20000 : 100000);
    }
    for (unsigned index = 0; index < client->consumers_count; index++)
        s_consume (sim, client, &client->consumers[index]);
    sim_operator_run (sim, client);
}

void sim_application_run (sim_t *sim, sim_client_t *client, bool sent)
{
    for (unsigned index = 0; index < client->producers_count; index++)
        s_check_confirmed (sim, client, &client->producers[index]);
    for (unsigned index = 0; index < client->consumers_count; index++) {
        sim_consumer_t *consumer = &client->consumers[index];
        if (!consumer->staged_ready && !sent)
            leat_buffer_release (&consumer->staged.records.buffer);
        consumer->staged_ready = true;
        for (unsigned number = 0; number < SIM_TASKS_MAX; number++) {
            sim_task_t *task = &consumer->tasks[number];
            if (!task->used)
                continue;
            if (!task->begun && !sent) {
                task->used = false;
                consumer->tasks_count--;
                continue;
            }
            if (!task->begun)
                sim_wiretap_begun (sim, client, consumer, task);
            task->begun = true;
            sim_wiretap_started (sim, client, consumer, task);
            if (task->due_us < client->application_us)
                client->application_us = task->due_us;
        }
    }
    /* A producer that has fed everything has nothing to wake up for. */
    bool feeds = false;
    for (unsigned index = 0; index < client->producers_count; index++)
        feeds = feeds
                || leat_producer_engine_next (client->producers[index].engine)
                       <= client->producers[index].planned;
    bool works = false;
    for (unsigned index = 0; index < client->consumers_count; index++)
        works = works || client->consumers[index].tasks_count;
    if ((!feeds && !works) || (client->closing && !works))
        client->application_us = SIM_NEVER;
    else if (client->application_us == SIM_NEVER)
        client->application_us = sim->now_us + 10000;
}

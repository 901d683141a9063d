/* Contender "leat": a producer, a broker and a consumer, every record confirmed and settled.
 * SPDX-License-Identifier: MPL-2.0 */
#include "bench/leat.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench/records.h"
#include "broker/broker.h"
#include "wire/alloc.h"

/* For each step that waits for the broker. */
#define S_TIMEOUT_MS 10000

static void s_tell_endpoint (leat_bench_round_t *round, const char *endpoint)
{
    snprintf (round->front, sizeof round->front, "%s", endpoint);
    snprintf (round->back, sizeof round->back, "%s", endpoint);
}

static int s_failed (leat_bench_round_t *round, const char *what, const char *why)
{
    leat_bench_round_fail (round, "%s: %s", what, why[0] ? why : strerror (errno));
    return 1;
}

int leat_bench_broker_run (leat_bench_round_t *round, int ready)
{
    if (round->plan.broker) {
        s_tell_endpoint (round, round->plan.broker);
        leat_bench_ready (ready);
        return 0;
    }
    static const char *const endpoints[] = { "tcp://127.0.0.1:*" };
    char error[512] = "";
    leat_broker_options_t options;
    leat_broker_options_default (&options);
    options.endpoints = endpoints;
    options.endpoint_count = 1;
    options.stats_endpoint = NULL;
    options.signals = true;
    options.software = "leat bench";
    if (round->plan.stream_size)
        options.limits.stream_size = round->plan.stream_size;
    if (round->plan.store) {
        options.store = &leat_store_lmdb;
        options.store_options = *round->plan.store;
    }
    leat_broker_prepare_process (&options.limits, error, sizeof error);
    leat_broker_t *broker = leat_broker_new (&options, error, sizeof error);
    if (!broker)
        return s_failed (round, "no broker", error);
    s_tell_endpoint (round, leat_broker_endpoint (broker, 0));
    leat_bench_ready (ready);
    leat_broker_end_t end = leat_broker_run (broker);
    if (end != LEAT_BROKER_STOPPED)
        s_failed (round, "the broker ended", leat_broker_reason (broker));
    leat_broker_destroy (&broker);
    return end == LEAT_BROKER_STOPPED ? 0 : 1;
}

leat_client_t *leat_bench_client_new (leat_bench_round_t *round, const char *endpoint,
                                      void *context)
{
    leat_bench_tune_malloc ();
    leat_client_options_t options = { .endpoints = endpoint,
                                      .software = "leat bench",
                                      .context = context };
    leat_client_t *client = leat_client_new (&options);
    if (!client) {
        s_failed (round, "no client", "");
        return NULL;
    }
    if (leat_client_wait (client, S_TIMEOUT_MS) != 0) {
        char why[512] = "";
        leat_client_error (client, why, sizeof why);
        leat_bench_round_fail (round, "no broker at %s: %s", endpoint,
                               why[0] ? why : strerror (errno));
        round->no_broker = true;
        leat_client_destroy (&client);
    }
    return client;
}

/* ---- the producer ---------------------------------------------------------------------------- */

int leat_bench_producer_failed (leat_bench_round_t *round, leat_producer_t *producer,
                                const char *what)
{
    char why[512] = "";
    leat_producer_error (producer, why, sizeof why);
    return s_failed (round, what, why);
}

/* Records are written in place, as fast as the window lets them. */
static bool s_send_at_once (leat_bench_source_t *source, leat_producer_t *producer)
{
    bool more = true;
    while (more) {
        uint8_t *body = leat_producer_reserve (producer, source->size);
        if (!body)
            return false;
        more = leat_bench_source_make (source, body);
        leat_producer_commit (producer, source->size);
    }
    return true;
}

/* Each record is sent when its time has come, as an application would. */
static bool s_send_in_time (leat_bench_source_t *source, leat_producer_t *producer, uint8_t *body)
{
    bool more = true;
    while (more) {
        more = leat_bench_source_make (source, body);
        if (leat_producer_send (producer, body, source->size) != 0)
            return false;
    }
    return true;
}

static int s_produce (leat_bench_round_t *round, leat_producer_t *producer)
{
    leat_bench_source_t source;
    round->began_ns = leat_bench_now_ns ();
    leat_bench_source_begin (&source, round);
    bool sent;
    if (round->plan.rate > 0) {
        uint8_t *body = leat_alloc_raw (round->plan.size);
        sent = s_send_in_time (&source, producer, body);
        free (body);
    } else {
        sent = s_send_at_once (&source, producer);
    }
    leat_bench_source_end (&source);
    if (!sent)
        return leat_bench_producer_failed (round, producer, "cannot send");
    if (leat_producer_flush (producer, S_TIMEOUT_MS) != 0)
        return leat_bench_producer_failed (round, producer, "not all is confirmed");
    if (leat_producer_confirmed (producer) != round->sent)
        return leat_bench_producer_failed (round, producer,
                                           "another number is confirmed than was sent");
    return 0;
}

static int s_producer (leat_bench_round_t *round, int ready)
{
    leat_client_t *client = leat_bench_client_new (round, round->front, NULL);
    if (!client)
        return 1;
    int rc = 1;
    leat_producer_t *producer = leat_producer_new (client, round->stream, NULL);
    if (producer) {
        leat_bench_ready (ready);
        rc = s_produce (round, producer);
    } else {
        s_failed (round, "no producer", "");
    }
    leat_producer_destroy (&producer);
    leat_client_destroy (&client);
    return rc;
}

/* ---- the consumer ---------------------------------------------------------------------------- */

int leat_bench_consumer_failed (leat_bench_round_t *round, leat_consumer_t *consumer,
                                const char *what)
{
    char why[512] = "";
    leat_consumer_error (consumer, why, sizeof why);
    return s_failed (round, what, why);
}

/* Lease by lease, as the header recommends for speed. */
static void s_receive_leases (leat_bench_sink_t *sink, leat_consumer_t *consumer)
{
    bool more = true;
    leat_lease_t *lease;
    while (more && (lease = leat_consumer_receive_batch (consumer, -1)) != NULL) {
        leat_delivered_t delivered;
        while (more && leat_lease_next (lease, &delivered))
            more = leat_bench_sink_check (sink, delivered.record.body, delivered.record.body_size);
        leat_lease_ack (&lease);
    }
}

typedef struct {
    leat_bench_sink_t *sink;
    leat_consumer_t *consumer;
} s_handler_arg_t;

static leat_outcome_t s_handle (void *arg, const leat_delivered_t *delivered,
                                leat_verdict_t *verdict)
{
    (void) verdict;
    s_handler_arg_t *handler = arg;
    if (!leat_bench_sink_check (handler->sink, delivered->record.body, delivered->record.body_size))
        leat_consumer_leave (handler->consumer, 0); /* ends the pool */
    return LEAT_ACK;
}

/* Record by record in the handler of a worker pool. */
static bool s_receive_records (leat_bench_sink_t *sink, leat_consumer_t *consumer)
{
    s_handler_arg_t arg = { .sink = sink, .consumer = consumer };
    leat_worker_pool_t *pool = leat_worker_pool_new (consumer, 1, s_handle, &arg);
    if (!pool)
        return false;
    leat_worker_pool_wait (pool);
    leat_worker_pool_destroy (&pool);
    return true;
}

static int s_consume (void *arg, leat_consumer_t *consumer)
{
    leat_bench_round_t *round = arg;
    leat_bench_sink_t sink;
    leat_bench_sink_begin (&sink, round);
    if (round->plan.rate <= 0)
        s_receive_leases (&sink, consumer);
    else if (!s_receive_records (&sink, consumer))
        s_failed (round, "no worker", "");
    leat_bench_sink_end (&sink);

    if (!sink.done)
        return leat_bench_consumer_failed (round, consumer, "cannot receive");
    if (leat_consumer_leave (consumer, S_TIMEOUT_MS) != 0)
        return leat_bench_consumer_failed (round, consumer, "not all is settled");
    round->settled_ns = leat_bench_now_ns ();
    if (leat_consumer_stale (consumer) || leat_consumer_damaged (consumer)) {
        leat_bench_round_fail (round, "%" PRIu64 " records settled too late, %" PRIu64 " damaged",
                               leat_consumer_stale (consumer), leat_consumer_damaged (consumer));
        return 1;
    }
    return round->complete ? 0 : 1;
}

int leat_bench_consumer_run (leat_bench_round_t *round, leat_bench_consume_fn *run, void *arg,
                             int ready)
{
    leat_client_t *client = leat_bench_client_new (round, round->back, NULL);
    if (!client)
        return 1;
    int rc = 1;
    leat_consumer_t *consumer = leat_consumer_new (client, round->stream, NULL);
    if (consumer) {
        leat_bench_ready (ready);
        rc = run (arg, consumer);
    } else {
        s_failed (round, "no consumer", "");
    }
    leat_consumer_destroy (&consumer);
    leat_client_destroy (&client);
    return rc;
}

static int s_consumer (leat_bench_round_t *round, int ready)
{
    return leat_bench_consumer_run (round, s_consume, round, ready);
}

const leat_bench_contender_t leat_bench_leat = {
    .name = "leat",
    .about = "producer -> broker -> consumer, every record confirmed and settled",
    .promise =
        "confirmed when held, if durable when synced, and settled likewise; forgets what is settled",
    .roles = { [LEAT_BENCH_MIDDLE] = leat_bench_broker_run,
               [LEAT_BENCH_CONSUMER] = s_consumer,
               [LEAT_BENCH_PRODUCER] = s_producer },
};

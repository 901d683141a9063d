/* Balancer "leat": a broker, a producer and four consumers of one group.
 * SPDX-License-Identifier: MPL-2.0 */
#include "bench/balancer.h"

#include <errno.h>
#include <inttypes.h>

#include "bench/leat.h"

#define S_TIMEOUT_MS 10000

static int s_middle (leat_bench_work_t *work, int ready)
{
    return leat_bench_broker_run (work->round, ready);
}

static int s_work (leat_bench_work_t *work, unsigned worker, leat_consumer_t *consumer)
{
    leat_bench_round_t *round = work->round;
    while (!leat_bench_work_over (work)) {
        leat_delivered_t delivered;
        if (leat_consumer_receive (consumer, &delivered, LEAT_BENCH_WORK_TURN_MS) != 0) {
            if (errno == ETIMEDOUT || errno == EAGAIN)
                continue;
            return leat_bench_consumer_failed (round, consumer, "cannot receive");
        }
        if (!leat_bench_work_do (work, worker, delivered.record.body, delivered.record.body_size))
            return 1;
        leat_consumer_ack (consumer, &delivered);
    }
    if (leat_consumer_leave (consumer, S_TIMEOUT_MS) != 0)
        return leat_bench_consumer_failed (round, consumer, "not all is settled");
    if (leat_consumer_damaged (consumer)) {
        leat_bench_round_fail (round, "%" PRIu64 " records came damaged",
                               leat_consumer_damaged (consumer));
        return 1;
    }
    return 0;
}

static int s_worker (leat_bench_work_t *work, unsigned worker, int ready)
{
    leat_bench_round_t *round = work->round;
    leat_client_t *client = leat_bench_client_new (round, round->back, NULL);
    if (!client)
        return 1;
    bool late = leat_bench_work_joins (work->scenario, worker, work->count) > 0;
    if (late) {
        leat_bench_ready (ready);
        leat_bench_work_wait (work, worker);
    }
    leat_consumer_options_t options = { .credit_records = work->window };
    leat_consumer_t *consumer = leat_consumer_new (client, round->stream, &options);
    int rc = 1;
    if (!consumer) {
        leat_bench_round_fail (round, "no consumer: errno %d", errno);
    } else {
        if (!late)
            leat_bench_ready (ready);
        rc = s_work (work, worker, consumer);
    }
    leat_consumer_destroy (&consumer);
    leat_client_destroy (&client);
    return rc;
}

static int s_publish (leat_bench_work_t *work, leat_producer_t *producer)
{
    leat_bench_round_t *round = work->round;
    for (uint64_t i = 0; i < work->count; i++) {
        uint8_t *body = leat_producer_reserve (producer, round->plan.size);
        if (!body)
            return leat_bench_producer_failed (round, producer, "cannot send");
        leat_bench_work_make (work, i, body);
        leat_producer_commit (producer, round->plan.size);
    }
    if (leat_producer_flush (producer, S_TIMEOUT_MS) != 0)
        return leat_bench_producer_failed (round, producer, "not all is confirmed");
    return 0;
}

static int s_producer (leat_bench_work_t *work, int ready)
{
    leat_bench_round_t *round = work->round;
    leat_client_t *client = leat_bench_client_new (round, round->front, NULL);
    if (!client)
        return 1;
    leat_bench_ready (ready);
    leat_producer_t *producer = leat_producer_new (client, round->stream, NULL);
    int rc = 1;
    if (producer)
        rc = s_publish (work, producer);
    else
        leat_bench_round_fail (round, "no producer: errno %d", errno);
    leat_producer_destroy (&producer);
    leat_client_destroy (&client);
    return rc;
}

const leat_bench_balancer_t leat_bench_balance_leat = {
    .name = "leat",
    .about = "one group; consumers with a credit of 1,000 records each",
    .window = 1000,
    .middle = s_middle,
    .worker = s_worker,
    .producer = s_producer,
};

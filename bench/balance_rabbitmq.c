/* Balancers "rabbitmq-N": a classic queue whose consumers hold up to N messages ahead.
 * SPDX-License-Identifier: MPL-2.0 */
#include "bench/balancer.h"

#ifdef LEAT_WITH_RABBITMQ

#include <sys/time.h>

#include "bench/contender.h"
#include "bench/peer_rabbitmq.h"

#define S_CHANNEL LEAT_BENCH_RABBITMQ_CHANNEL
#define S_QUEUE "tasks"

static int s_middle (leat_bench_work_t *work, int ready)
{
    return leat_bench_rabbitmq_run (work->round, ready);
}

/* ---- the producer ---------------------------------------------------------------------------- */

static bool s_publish (amqp_connection_state_t connection, leat_bench_work_t *work)
{
    leat_bench_round_t *round = work->round;
    amqp_confirm_select (connection, S_CHANNEL);
    if (!leat_bench_rabbitmq_good (round, "confirms", amqp_get_rpc_reply (connection)))
        return false;
    for (uint64_t i = 0; i < work->count; i++) {
        uint8_t body[LEAT_BENCH_WORK_SIZE_MAX];
        leat_bench_work_make (work, i, body);
        amqp_bytes_t bytes = { .len = round->plan.size, .bytes = body };
        int status = amqp_basic_publish (connection, S_CHANNEL, amqp_empty_bytes,
                                         amqp_cstring_bytes (S_QUEUE), 0, 0, NULL, bytes);
        if (status != AMQP_STATUS_OK) {
            leat_bench_round_fail (round, "rabbitmq: publish: %s", amqp_error_string2 (status));
            return false;
        }
    }
    leat_bench_confirms_t *confirms = leat_bench_confirms_new (work->count);
    bool good = leat_bench_rabbitmq_await (round, connection, confirms, work->count);
    leat_bench_confirms_destroy (&confirms);
    return good;
}

static int s_producer (leat_bench_work_t *work, int ready)
{
    amqp_connection_state_t connection;
    bool good = leat_bench_rabbitmq_open (work->round, &connection, S_QUEUE, false);
    if (good) {
        leat_bench_ready (ready);
        good = s_publish (connection, work);
    }
    amqp_destroy_connection (connection);
    return good ? 0 : 1;
}

/* ---- workers --------------------------------------------------------------------------------- */

static bool s_work (amqp_connection_state_t connection, leat_bench_work_t *work, unsigned worker)
{
    while (!leat_bench_work_over (work)) {
        amqp_envelope_t envelope;
        struct timeval timeout = { .tv_usec = LEAT_BENCH_WORK_TURN_MS * 1000 };
        amqp_maybe_release_buffers (connection);
        amqp_rpc_reply_t reply = amqp_consume_message (connection, &envelope, &timeout, 0);
        if (reply.reply_type == AMQP_RESPONSE_LIBRARY_EXCEPTION
            && reply.library_error == AMQP_STATUS_TIMEOUT)
            continue;
        if (!leat_bench_rabbitmq_good (work->round, "receive", reply))
            return false;
        bool good = leat_bench_work_do (work, worker, envelope.message.body.bytes,
                                        envelope.message.body.len);
        int status = amqp_basic_ack (connection, S_CHANNEL, envelope.delivery_tag, 0);
        amqp_destroy_envelope (&envelope);
        if (status != AMQP_STATUS_OK)
            leat_bench_round_fail (work->round, "rabbitmq: ack: %s", amqp_error_string2 (status));
        if (!good || status != AMQP_STATUS_OK)
            return false;
    }
    return true;
}

static int s_worker (leat_bench_work_t *work, unsigned worker, int ready)
{
    amqp_connection_state_t connection;
    bool late = leat_bench_work_joins (work->scenario, worker, work->count) > 0;
    bool good = leat_bench_rabbitmq_open (work->round, &connection, S_QUEUE, false);
    if (good && late) {
        leat_bench_ready (ready);
        leat_bench_work_wait (work, worker);
    }
    good = good && leat_bench_rabbitmq_consume (work->round, connection, S_QUEUE, work->window);
    if (good && !late)
        leat_bench_ready (ready);
    good = good && s_work (connection, work, worker);
    amqp_destroy_connection (connection);
    return good ? 0 : 1;
}

#define S_BALANCER(prefetch, text)                                                                 \
    const leat_bench_balancer_t leat_bench_balance_rabbitmq_##prefetch = {                         \
        .name = "rabbitmq-" #prefetch,                                                             \
        .about = "RabbitMQ, a classic queue in memory, prefetch " text,                            \
        .window = prefetch,                                                                        \
        .server = "rabbitmq-server",                                                               \
        .middle = s_middle,                                                                        \
        .worker = s_worker,                                                                        \
        .producer = s_producer,                                                                    \
    }

S_BALANCER (1, "1");
S_BALANCER (20, "20");
S_BALANCER (250, "250");

#endif

/* Balancers "rabbitmq-N": a classic queue whose consumers hold up to N messages ahead.
 * SPDX-License-Identifier: MPL-2.0 */
#include "bench/balancer.h"

#ifdef LEAT_WITH_RABBITMQ

#include <amqp.h>
#include <amqp_tcp_socket.h>
#include <string.h>
#include <sys/time.h>

#include "bench/contender.h"
#include "bench/server.h"

#define S_CHANNEL 1
#define S_QUEUE "tasks"
#define S_FRAME_SIZE 131072

/* The shell becomes the broker; beside it runs the directory of names that Erlang wants, which
 * would otherwise make a daemon of itself and stay. Everything is on the loopback, with ports of its
 * own and files in the temporary directory only. */
static int s_middle (leat_bench_work_t *work, int ready)
{
    static const char *const arguments[] = {
        "-c",
        "setpriv --pdeathsig KILL epmd -port {PORT2} -address 127.0.0.1 & "
        "exec /usr/lib/rabbitmq/bin/rabbitmq-server",
        NULL
    };
    static const char *const variables[] = {
        "HOME={DIR}",
        "RUNNING_UNDER_SYSTEMD=1", /* the script becomes the broker instead of starting it */
        "ERL_EPMD_PORT={PORT2}",
        "ERL_EPMD_ADDRESS=127.0.0.1",
        "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS=-kernel inet_dist_use_interface {127,0,0,1}",
        "RABBITMQ_NODENAME=leat-bench-{PID}@localhost",
        "RABBITMQ_NODE_IP_ADDRESS=127.0.0.1",
        "RABBITMQ_NODE_PORT={PORT}",
        "RABBITMQ_DIST_PORT={PORT3}",
        "RABBITMQ_CONFIG_FILE={DIR}/none",
        "RABBITMQ_CONF_ENV_FILE={DIR}/none",
        "RABBITMQ_MNESIA_BASE={DIR}/mnesia",
        "RABBITMQ_LOG_BASE={DIR}/logs",
        "RABBITMQ_LOGS=-",
        "RABBITMQ_GENERATED_CONFIG_DIR={DIR}/config",
        "RABBITMQ_ENABLED_PLUGINS_FILE={DIR}/plugins",
        "RABBITMQ_PID_FILE={DIR}/pid",
        NULL
    };
    static const leat_bench_server_t server = { .program = "sh",
                                                .arguments = arguments,
                                                .variables = variables };
    return leat_bench_server_run (&server, work->round, ready);
}

static bool s_good (leat_bench_round_t *round, const char *what, amqp_rpc_reply_t reply)
{
    if (reply.reply_type == AMQP_RESPONSE_NORMAL)
        return true;
    leat_bench_round_fail (round, "rabbitmq: %s: %s", what,
                           reply.reply_type == AMQP_RESPONSE_LIBRARY_EXCEPTION
                               ? amqp_error_string2 (reply.library_error)
                               : "refused by the server");
    return false;
}

/* A connection with a channel on which the queue is known to be there; false with the error noted. */
static bool s_open (leat_bench_round_t *round, amqp_connection_state_t *connection)
{
    *connection = amqp_new_connection ();
    amqp_socket_t *socket = amqp_tcp_socket_new (*connection);
    int status = amqp_socket_open (socket, "127.0.0.1", (int) leat_bench_server_port (round));
    if (status != AMQP_STATUS_OK) {
        leat_bench_round_fail (round, "rabbitmq: cannot connect: %s", amqp_error_string2 (status));
        return false;
    }
    if (!s_good (round, "login",
                 amqp_login (*connection, "/", 0, S_FRAME_SIZE, 0, AMQP_SASL_METHOD_PLAIN, "guest",
                             "guest")))
        return false;
    amqp_channel_open (*connection, S_CHANNEL);
    if (!s_good (round, "channel", amqp_get_rpc_reply (*connection)))
        return false;
    amqp_queue_declare (*connection, S_CHANNEL, amqp_cstring_bytes (S_QUEUE), 0, 0, 0, 0,
                        amqp_empty_table);
    return s_good (round, "queue", amqp_get_rpc_reply (*connection));
}

/* ---- the producer ---------------------------------------------------------------------------- */

/* Until all are confirmed, one by one or several at once. */
static bool s_await_confirms (amqp_connection_state_t connection, leat_bench_work_t *work)
{
    for (uint64_t confirmed = 0; confirmed < work->count;) {
        amqp_frame_t frame;
        struct timeval timeout = { .tv_sec = 30 };
        int status = amqp_simple_wait_frame_noblock (connection, &frame, &timeout);
        if (status != AMQP_STATUS_OK || frame.frame_type != AMQP_FRAME_METHOD
            || frame.payload.method.id != AMQP_BASIC_ACK_METHOD) {
            leat_bench_round_fail (work->round, "rabbitmq: not all is confirmed: %s",
                                   amqp_error_string2 (status));
            return false;
        }
        const amqp_basic_ack_t *ack = frame.payload.method.decoded;
        confirmed = ack->multiple ? ack->delivery_tag : confirmed + 1;
        amqp_maybe_release_buffers (connection);
    }
    return true;
}

static bool s_publish (amqp_connection_state_t connection, leat_bench_work_t *work)
{
    leat_bench_round_t *round = work->round;
    amqp_confirm_select (connection, S_CHANNEL);
    if (!s_good (round, "confirms", amqp_get_rpc_reply (connection)))
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
    return s_await_confirms (connection, work);
}

static int s_producer (leat_bench_work_t *work, int ready)
{
    amqp_connection_state_t connection;
    bool good = s_open (work->round, &connection);
    if (good) {
        leat_bench_ready (ready);
        good = s_publish (connection, work);
    }
    amqp_destroy_connection (connection);
    return good ? 0 : 1;
}

/* ---- workers --------------------------------------------------------------------------------- */

static bool s_subscribe (amqp_connection_state_t connection, leat_bench_work_t *work)
{
    amqp_basic_qos (connection, S_CHANNEL, 0, (uint16_t) work->window, 0);
    if (!s_good (work->round, "prefetch", amqp_get_rpc_reply (connection)))
        return false;
    amqp_basic_consume (connection, S_CHANNEL, amqp_cstring_bytes (S_QUEUE), amqp_empty_bytes, 0, 0,
                        0, amqp_empty_table);
    return s_good (work->round, "consume", amqp_get_rpc_reply (connection));
}

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
        if (!s_good (work->round, "receive", reply))
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
    bool good = s_open (work->round, &connection);
    if (good && late) {
        leat_bench_ready (ready);
        leat_bench_work_wait (work, worker);
    }
    good = good && s_subscribe (connection, work);
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

/* Contender "rabbitmq": a classic queue of RabbitMQ.
 * SPDX-License-Identifier: MPL-2.0 */
#include "bench/peer_rabbitmq.h"

#ifdef LEAT_WITH_RABBITMQ

#include <amqp_tcp_socket.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/time.h>

#include "bench/peer.h"
#include "bench/server.h"
#include "wire/alloc.h"

#define S_CHANNEL LEAT_BENCH_RABBITMQ_CHANNEL
#define S_QUEUE "leat"
#define S_FRAME_SIZE 131072
/* Publications without a confirm; messages ahead of the consumer, and those of one acknowledgement. */
#define S_WINDOW_MOST 2000
#define S_PREFETCH 300
#define S_ACK 100

/* ---- what others do with it ------------------------------------------------------------------ */

/* The shell becomes the broker; beside it runs the directory of names that Erlang wants, which
 * would otherwise make a daemon of itself and stay. Everything is on the loopback, with ports of its
 * own and files in the temporary directory only. */
int leat_bench_rabbitmq_run (leat_bench_round_t *round, int ready)
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
    return leat_bench_server_run (&server, round, ready);
}

bool leat_bench_rabbitmq_good (leat_bench_round_t *round, const char *what, amqp_rpc_reply_t reply)
{
    if (reply.reply_type == AMQP_RESPONSE_NORMAL)
        return true;
    leat_bench_round_fail (round, "rabbitmq: %s: %s", what,
                           reply.reply_type == AMQP_RESPONSE_LIBRARY_EXCEPTION
                               ? amqp_error_string2 (reply.library_error)
                               : "refused by the server");
    return false;
}

/* Notes the version that the server tells. */
static void s_note_version (leat_bench_round_t *round, amqp_connection_state_t connection)
{
    const amqp_table_t *properties = amqp_get_server_properties (connection);
    for (int i = 0; i < properties->num_entries; i++) {
        const amqp_table_entry_t *entry = &properties->entries[i];
        if (entry->key.len == 7 && memcmp (entry->key.bytes, "version", 7) == 0
            && entry->value.kind == AMQP_FIELD_KIND_UTF8)
            snprintf (round->version, sizeof round->version, "%.*s",
                      (int) entry->value.value.bytes.len,
                      (const char *) entry->value.value.bytes.bytes);
    }
}

bool leat_bench_rabbitmq_open (leat_bench_round_t *round, amqp_connection_state_t *connection,
                               const char *queue, bool durable)
{
    *connection = amqp_new_connection ();
    amqp_socket_t *socket = amqp_tcp_socket_new (*connection);
    int status = amqp_socket_open (socket, "127.0.0.1", (int) leat_bench_server_port (round));
    if (status != AMQP_STATUS_OK) {
        leat_bench_round_fail (round, "rabbitmq: cannot connect: %s", amqp_error_string2 (status));
        return false;
    }
    if (!leat_bench_rabbitmq_good (round, "login",
                                   amqp_login (*connection, "/", 0, S_FRAME_SIZE, 0,
                                               AMQP_SASL_METHOD_PLAIN, "guest", "guest")))
        return false;
    s_note_version (round, *connection);
    amqp_channel_open (*connection, S_CHANNEL);
    if (!leat_bench_rabbitmq_good (round, "channel", amqp_get_rpc_reply (*connection)))
        return false;
    amqp_queue_declare (*connection, S_CHANNEL, amqp_cstring_bytes (queue), 0, durable, 0, 0,
                        amqp_empty_table);
    return leat_bench_rabbitmq_good (round, "queue", amqp_get_rpc_reply (*connection));
}

bool leat_bench_rabbitmq_consume (leat_bench_round_t *round, amqp_connection_state_t connection,
                                  const char *queue, unsigned prefetch)
{
    amqp_basic_qos (connection, S_CHANNEL, 0, (uint16_t) prefetch, 0);
    if (!leat_bench_rabbitmq_good (round, "prefetch", amqp_get_rpc_reply (connection)))
        return false;
    amqp_basic_consume (connection, S_CHANNEL, amqp_cstring_bytes (queue), amqp_empty_bytes, 0, 0,
                        0, amqp_empty_table);
    return leat_bench_rabbitmq_good (round, "consume", amqp_get_rpc_reply (connection));
}

bool leat_bench_rabbitmq_await (leat_bench_round_t *round, amqp_connection_state_t connection,
                                leat_bench_confirms_t *confirms, uint64_t until)
{
    while (leat_bench_confirms_low (confirms) < until) {
        amqp_frame_t frame;
        struct timeval timeout = { .tv_sec = LEAT_BENCH_PEER_TIMEOUT_MS / 1000 };
        int status = amqp_simple_wait_frame_noblock (connection, &frame, &timeout);
        if (status != AMQP_STATUS_OK || frame.frame_type != AMQP_FRAME_METHOD
            || frame.payload.method.id != AMQP_BASIC_ACK_METHOD) {
            leat_bench_round_fail (round, "rabbitmq: not all is confirmed: %s",
                                   status != AMQP_STATUS_OK ? amqp_error_string2 (status)
                                                            : "another message came");
            return false;
        }
        const amqp_basic_ack_t *ack = frame.payload.method.decoded;
        if (!leat_bench_confirms_take (confirms, ack->delivery_tag, ack->multiple)) {
            leat_bench_round_fail (
                round, "rabbitmq: a confirm of message %" PRIu64 ", which waits for none",
                ack->delivery_tag);
            return false;
        }
        amqp_maybe_release_buffers (connection);
    }
    return true;
}

/* ---- the contender --------------------------------------------------------------------------- */

typedef struct {
    leat_bench_round_t *round;
    amqp_connection_state_t connection;
    amqp_basic_properties_t properties;
    uint64_t window;
    uint64_t sent;
    leat_bench_confirms_t *confirms;
    unsigned unacknowledged;
    uint64_t tag; /* of the last of them */
} s_client_t;

static void s_close (void *client)
{
    s_client_t *self = client;
    amqp_destroy_connection (self->connection);
    leat_bench_confirms_destroy (&self->confirms);
    free (self);
}

static void *s_open (leat_bench_round_t *round, bool consumer)
{
    s_client_t *self = leat_alloc (sizeof *self);
    bool durable = round->plan.store != NULL;
    self->round = round;
    self->window = leat_bench_peer_window (&round->plan, S_WINDOW_MOST);
    self->confirms = leat_bench_confirms_new (self->window);
    self->properties._flags = AMQP_BASIC_DELIVERY_MODE_FLAG;
    self->properties.delivery_mode =
        durable ? AMQP_DELIVERY_PERSISTENT : AMQP_DELIVERY_NONPERSISTENT;
    bool good = leat_bench_rabbitmq_open (round, &self->connection, S_QUEUE, durable);
    if (good && consumer) {
        good = leat_bench_rabbitmq_consume (round, self->connection, S_QUEUE, S_PREFETCH);
    } else if (good) {
        amqp_confirm_select (self->connection, S_CHANNEL);
        good = leat_bench_rabbitmq_good (round, "confirms", amqp_get_rpc_reply (self->connection));
    }
    if (good)
        return self;
    s_close (self);
    return NULL;
}

static bool s_send (void *client, const uint8_t *body, size_t size)
{
    s_client_t *self = client;
    amqp_bytes_t bytes = { .len = size, .bytes = (void *) body };
    int status = amqp_basic_publish (self->connection, S_CHANNEL, amqp_empty_bytes,
                                     amqp_cstring_bytes (S_QUEUE), 0, 0, &self->properties, bytes);
    if (status != AMQP_STATUS_OK) {
        leat_bench_round_fail (self->round, "rabbitmq: publish: %s", amqp_error_string2 (status));
        return false;
    }
    self->sent++;
    return self->sent - leat_bench_confirms_low (self->confirms) < self->window
           || leat_bench_rabbitmq_await (self->round, self->connection, self->confirms,
                                         self->sent - self->window / 2);
}

static bool s_flush (void *client)
{
    s_client_t *self = client;
    return leat_bench_rabbitmq_await (self->round, self->connection, self->confirms, self->sent);
}

/* ---- the consumer ---------------------------------------------------------------------------- */

static bool s_ack (s_client_t *self)
{
    int status = amqp_basic_ack (self->connection, S_CHANNEL, self->tag, 1);
    self->unacknowledged = 0;
    if (status != AMQP_STATUS_OK)
        leat_bench_round_fail (self->round, "rabbitmq: ack: %s", amqp_error_string2 (status));
    return status == AMQP_STATUS_OK;
}

/* Acknowledges when there are many, or nothing else to do. */
static bool s_receive (void *client, leat_bench_sink_t *sink)
{
    s_client_t *self = client;
    amqp_envelope_t envelope;
    struct timeval timeout = { .tv_sec =
                                   self->unacknowledged ? 0 : LEAT_BENCH_PEER_TURN_MS / 1000 };
    amqp_maybe_release_buffers (self->connection);
    amqp_rpc_reply_t reply = amqp_consume_message (self->connection, &envelope, &timeout, 0);
    if (reply.reply_type == AMQP_RESPONSE_LIBRARY_EXCEPTION
        && reply.library_error == AMQP_STATUS_TIMEOUT)
        return !self->unacknowledged || s_ack (self);
    if (!leat_bench_rabbitmq_good (self->round, "receive", reply))
        return false;
    bool more =
        leat_bench_sink_check (sink, envelope.message.body.bytes, envelope.message.body.len);
    self->tag = envelope.delivery_tag;
    self->unacknowledged++;
    amqp_destroy_envelope (&envelope);
    return more && (self->unacknowledged < S_ACK || s_ack (self));
}

/* A channel does one after the other, so an answer to anything says that the acknowledgement was done. */
static bool s_settle (void *client)
{
    s_client_t *self = client;
    if (self->unacknowledged && !s_ack (self))
        return false;
    amqp_basic_qos (self->connection, S_CHANNEL, 0, S_PREFETCH, 0);
    return leat_bench_rabbitmq_good (self->round, "settle", amqp_get_rpc_reply (self->connection));
}

static const leat_bench_peer_t s_peer = { .open = s_open,
                                          .close = s_close,
                                          .send = s_send,
                                          .flush = s_flush,
                                          .receive = s_receive,
                                          .settle = s_settle };

LEAT_BENCH_PEER_ROLES (rabbitmq, s_peer)

#define S_ROLES                                                                                    \
    .name = "rabbitmq", .server = "rabbitmq-server",                                               \
    .library = "librabbitmq " AMQP_VERSION_STRING,                                                 \
    .roles = { leat_bench_rabbitmq_run, s_rabbitmq_consumer, s_rabbitmq_producer }

const leat_bench_contender_t leat_bench_rabbitmq = {
    S_ROLES,
    .about = "RabbitMQ, a classic queue, 2000 publications ahead, prefetch 300, an ack for 100",
    .promise =
        "each message confirmed and acknowledged; not kept over a restart; forgets what is acked",
};

const leat_bench_contender_t leat_bench_rabbitmq_durable = {
    S_ROLES,
    .about = "RabbitMQ as for throughput, a durable classic queue, persistent messages",
    .promise =
        "confirmed when on the disk, or acknowledged before that; one replica; forgets what is acked",
};

#endif

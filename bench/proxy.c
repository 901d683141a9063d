/* Contender "proxy": what a user of bare libzmq would write, a message for each record.
 * SPDX-License-Identifier: MPL-2.0 */
#include "bench/contender.h"

#include "bench/records.h"
#include "bench/sockets.h"

/* Where it is fastest here: with libzmq's default of 1,000 the sides wake each other up so often that
 * it loses a third, and no limit at all is no faster. */
#define S_HIGH_WATER_MARK 100000

static int s_middle (leat_bench_round_t *round, int ready)
{
    void *context = leat_bench_context_new ();
    void *front = leat_bench_socket_new (context, ZMQ_PULL, S_HIGH_WATER_MARK);
    void *back = leat_bench_socket_new (context, ZMQ_PUSH, S_HIGH_WATER_MARK);
    if (!leat_bench_socket_bind (front, round->front, sizeof round->front, round)
        || !leat_bench_socket_bind (back, round->back, sizeof round->back, round))
        return 1;
    leat_bench_ready (ready);
    zmq_proxy (front, back, NULL); /* until SIGTERM ends the process */
    return leat_bench_socket_failed (round, "the proxy ended");
}

static int s_producer (leat_bench_round_t *round, int ready)
{
    void *context = leat_bench_context_new ();
    void *socket = leat_bench_socket_new (context, ZMQ_PUSH, S_HIGH_WATER_MARK);
    if (!leat_bench_socket_connect (socket, round->front, round))
        return 1;
    leat_bench_ready (ready);

    leat_bench_source_t source;
    leat_bench_source_begin (&source, round);
    bool more = true;
    bool sent = true;
    while (more && sent) {
        zmq_msg_t message;
        zmq_msg_init_size (&message, round->plan.size);
        more = leat_bench_source_make (&source, zmq_msg_data (&message));
        sent = zmq_msg_send (&message, socket, 0) >= 0;
    }
    leat_bench_source_end (&source);
    if (!sent)
        return leat_bench_socket_failed (round, "cannot send");
    leat_bench_socket_end (socket, context);
    return 0;
}

static int s_consumer (leat_bench_round_t *round, int ready)
{
    void *context = leat_bench_context_new ();
    void *socket = leat_bench_socket_new (context, ZMQ_PULL, S_HIGH_WATER_MARK);
    if (!leat_bench_socket_connect (socket, round->back, round))
        return 1;
    leat_bench_ready (ready);

    leat_bench_sink_t sink;
    leat_bench_sink_begin (&sink, round);
    zmq_msg_t message;
    zmq_msg_init (&message);
    bool more = true;
    bool received = true;
    while (more && (received = zmq_msg_recv (&message, socket, 0) >= 0))
        more = leat_bench_sink_check (&sink, zmq_msg_data (&message), zmq_msg_size (&message));
    zmq_msg_close (&message);
    leat_bench_sink_end (&sink);
    if (!received)
        return leat_bench_socket_failed (round, "cannot receive");
    leat_bench_socket_end (socket, context);
    return round->complete ? 0 : 1;
}

const leat_bench_contender_t leat_bench_proxy = {
    .name = "proxy",
    .about = "libzmq PUSH -> zmq_proxy -> PULL, a message for each record",
    .roles = { [LEAT_BENCH_MIDDLE] = s_middle,
               [LEAT_BENCH_CONSUMER] = s_consumer,
               [LEAT_BENCH_PRODUCER] = s_producer },
};

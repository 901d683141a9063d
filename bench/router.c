/* Contender "router": frames through a bare ROUTER, what libzmq leaves to a broker that does nothing.
 * SPDX-License-Identifier: MPL-2.0 */
#include "bench/contender.h"

#include "bench/records.h"
#include "bench/sockets.h"

/* Bytes on their way through each pipe of libzmq; more would only leave the caches. */
#define S_WINDOW_SIZE ((size_t) 2 * 1024 * 1024)

static size_t s_frame_records (const leat_bench_plan_t *plan)
{
    return plan->rate > 0 || plan->frame_size < plan->size ? 1 : plan->frame_size / plan->size;
}

static int s_high_water_mark (const leat_bench_plan_t *plan)
{
    size_t frames = S_WINDOW_SIZE / (s_frame_records (plan) * plan->size);
    return frames > 1000 ? 1000 : frames < 4 ? 4 : (int) frames;
}

/* The first message is the consumer's greeting, which tells its routing id and is echoed; all others
 * come from the producer and go there, by reference. */
static int s_middle (leat_bench_round_t *round, int ready)
{
    void *context = leat_bench_context_new ();
    void *router = leat_bench_socket_new (context, ZMQ_ROUTER, s_high_water_mark (&round->plan));
    int mandatory = 1; /* a full pipe makes it wait instead of dropping */
    zmq_setsockopt (router, ZMQ_ROUTER_MANDATORY, &mandatory, sizeof mandatory);
    if (!leat_bench_socket_bind (router, round->front, sizeof round->front, round))
        return 1;
    memcpy (round->back, round->front, sizeof round->back);
    leat_bench_ready (ready);

    uint8_t consumer[256];
    zmq_msg_t message;
    zmq_msg_init (&message);
    int size = zmq_recv (router, consumer, sizeof consumer, 0);
    if (size <= 0 || zmq_msg_recv (&message, router, 0) < 0
        || zmq_send (router, consumer, (size_t) size, ZMQ_SNDMORE) < 0
        || zmq_msg_send (&message, router, 0) < 0)
        return leat_bench_socket_failed (round, "no consumer");
    for (;;) {
        if (zmq_msg_recv (&message, router, 0) < 0 || zmq_msg_recv (&message, router, 0) < 0
            || zmq_send (router, consumer, (size_t) size, ZMQ_SNDMORE) < 0
            || zmq_msg_send (&message, router, 0) < 0)
            return zmq_errno () == EHOSTUNREACH ? 0 /* the consumer has all it wants */
                                                : leat_bench_socket_failed (round, "cannot relay");
    }
}

static int s_producer (leat_bench_round_t *round, int ready)
{
    size_t size = round->plan.size;
    size_t records = s_frame_records (&round->plan);
    void *context = leat_bench_context_new ();
    void *socket = leat_bench_socket_new (context, ZMQ_DEALER, s_high_water_mark (&round->plan));
    if (!leat_bench_socket_connect (socket, round->front, round))
        return 1;
    leat_bench_ready (ready);

    leat_bench_source_t source;
    leat_bench_source_begin (&source, round);
    bool more = true;
    bool sent = true;
    while (more && sent) {
        zmq_msg_t message;
        zmq_msg_init_size (&message, records * size);
        uint8_t *body = zmq_msg_data (&message);
        size_t made = 0;
        while (more && made < records)
            more = leat_bench_source_make (&source, body + made++ * size);
        if (made < records) {
            zmq_msg_t rest;
            zmq_msg_init_size (&rest, made * size);
            memcpy (zmq_msg_data (&rest), body, made * size);
            zmq_msg_move (&message, &rest);
        }
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
    size_t size = round->plan.size;
    void *context = leat_bench_context_new ();
    void *socket = leat_bench_socket_new (context, ZMQ_DEALER, s_high_water_mark (&round->plan));
    if (!leat_bench_socket_connect (socket, round->back, round))
        return 1;
    zmq_msg_t message;
    zmq_msg_init (&message);
    if (zmq_send (socket, "", 0, 0) < 0 || zmq_msg_recv (&message, socket, 0) < 0)
        return leat_bench_socket_failed (round, "cannot greet");
    leat_bench_ready (ready);

    leat_bench_sink_t sink;
    leat_bench_sink_begin (&sink, round);
    bool more = true;
    bool received = true;
    while (more && (received = zmq_msg_recv (&message, socket, 0) >= 0)) {
        const uint8_t *body = zmq_msg_data (&message);
        size_t held = zmq_msg_size (&message);
        for (size_t at = 0; more && at < held; at += size)
            more = leat_bench_sink_check (&sink, body + at, held - at < size ? held - at : size);
    }
    zmq_msg_close (&message);
    leat_bench_sink_end (&sink);
    if (!received)
        return leat_bench_socket_failed (round, "cannot receive");
    leat_bench_socket_end (socket, context);
    return round->complete ? 0 : 1;
}

const leat_bench_contender_t leat_bench_router = {
    .name = "router",
    .about = "libzmq DEALER -> ROUTER -> DEALER, frames relayed by reference",
    .roles = { [LEAT_BENCH_MIDDLE] = s_middle,
               [LEAT_BENCH_CONSUMER] = s_consumer,
               [LEAT_BENCH_PRODUCER] = s_producer },
};

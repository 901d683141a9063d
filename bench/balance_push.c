/* Balancer "push": libzmq's PUSH, which deals tasks out in turn, to four PULLs.
 * SPDX-License-Identifier: MPL-2.0 */
#include "bench/balancer.h"

#include <errno.h>
#include <unistd.h>

#include "bench/contender.h"
#include "bench/sockets.h"

/* libzmq's default. */
#define S_HIGH_WATER_MARK 1000

#define S_MONITOR "inproc://workers"

/* Until so many PULLs are connected, or a minute has passed: before that, the first would be given
 * everything. */
static bool s_await (void *context, void *socket, unsigned workers)
{
    void *monitor = zmq_socket (context, ZMQ_PAIR);
    int timeout_ms = 60000;
    bool good = monitor
                && zmq_setsockopt (monitor, ZMQ_RCVTIMEO, &timeout_ms, sizeof timeout_ms) == 0
                && zmq_connect (monitor, S_MONITOR) == 0;
    for (unsigned i = 0; good && i < workers; i++) {
        char text[256]; /* an event and an address, of which only the number counts */
        good = zmq_recv (monitor, text, sizeof text, 0) >= 0
               && zmq_recv (monitor, text, sizeof text, 0) >= 0;
    }
    /* Makes the socket take notice of all that its I/O thread has told it. */
    int events;
    size_t size = sizeof events;
    zmq_getsockopt (socket, ZMQ_EVENTS, &events, &size);
    zmq_socket_monitor (socket, NULL, 0);
    if (monitor)
        zmq_close (monitor);
    return good;
}

static unsigned s_workers_at_first (const leat_bench_work_t *work)
{
    unsigned workers = 0;
    for (unsigned worker = 0; worker < LEAT_BENCH_WORKERS; worker++)
        workers += !leat_bench_work_joins (work->scenario, worker, work->count);
    return workers;
}

/* There is no middle in this pattern: the one who binds is the one who pushes. It begins when it is
 * told to, as the workers have to know where it is. */
static int s_middle (leat_bench_work_t *work, int ready)
{
    leat_bench_round_t *round = work->round;
    void *context = leat_bench_context_new ();
    void *socket = leat_bench_socket_new (context, ZMQ_PUSH, S_HIGH_WATER_MARK);
    if (zmq_socket_monitor (socket, S_MONITOR, ZMQ_EVENT_HANDSHAKE_SUCCEEDED) != 0
        || !leat_bench_socket_bind (socket, round->back, sizeof round->back, round))
        return leat_bench_socket_failed (round, "cannot bind");
    leat_bench_ready (ready);
    uint64_t told;
    if (read (work->go, &told, sizeof told) != (ssize_t) sizeof told
        || !s_await (context, socket, s_workers_at_first (work)))
        return leat_bench_socket_failed (round, "not all workers connected");
    for (uint64_t i = 0; i < work->count; i++) {
        uint8_t body[LEAT_BENCH_WORK_SIZE_MAX];
        leat_bench_work_make (work, i, body);
        if (zmq_send (socket, body, round->plan.size, 0) < 0)
            return leat_bench_socket_failed (round, "cannot send");
    }
    leat_bench_socket_end (socket, context);
    return 0;
}

static int s_producer (leat_bench_work_t *work, int ready)
{
    uint64_t one = 1;
    ssize_t wrote = write (work->go, &one, sizeof one);
    leat_bench_ready (ready);
    return wrote == (ssize_t) sizeof one ? 0 : 1;
}

static int s_worker (leat_bench_work_t *work, unsigned worker, int ready)
{
    leat_bench_round_t *round = work->round;
    void *context = leat_bench_context_new ();
    void *socket = leat_bench_socket_new (context, ZMQ_PULL, S_HIGH_WATER_MARK);
    int timeout_ms = LEAT_BENCH_WORK_TURN_MS;
    zmq_setsockopt (socket, ZMQ_RCVTIMEO, &timeout_ms, sizeof timeout_ms);
    if (leat_bench_work_joins (work->scenario, worker, work->count)) {
        leat_bench_ready (ready);
        leat_bench_work_wait (work, worker);
        if (!leat_bench_socket_connect (socket, round->back, round))
            return 1;
    } else {
        if (!leat_bench_socket_connect (socket, round->back, round))
            return 1;
        leat_bench_ready (ready);
    }

    int rc = 0;
    zmq_msg_t message;
    zmq_msg_init (&message);
    while (rc == 0 && !leat_bench_work_over (work)) {
        if (zmq_msg_recv (&message, socket, 0) >= 0)
            rc = leat_bench_work_do (work, worker, zmq_msg_data (&message), zmq_msg_size (&message))
                     ? 0
                     : 1;
        else if (zmq_errno () != EAGAIN && zmq_errno () != EINTR)
            rc = leat_bench_socket_failed (round, "cannot receive");
    }
    zmq_msg_close (&message);
    leat_bench_socket_end (socket, context);
    return rc;
}

const leat_bench_balancer_t leat_bench_balance_push = {
    .name = "push",
    .about = "libzmq PUSH -> 4 PULLs in turn, high-water marks of 1,000",
    .window = S_HIGH_WATER_MARK,
    .middle = s_middle,
    .worker = s_worker,
    .producer = s_producer,
};

/* Making and ending the sockets of the libzmq contenders.
 * SPDX-License-Identifier: MPL-2.0 */
#include "bench/sockets.h"

#include "bench/contender.h"
#include "wire/assert.h"

/* Two thousand clients of Leat in a process have a DEALER each and both ends of its monitor; libzmq
 * would stop at 1,023. */
#define S_SOCKETS_MAX 8192

void *leat_bench_context_new (void)
{
    leat_bench_tune_malloc ();
    void *context = zmq_ctx_new ();
    leat_assert (context);
    zmq_ctx_set (context, ZMQ_MAX_SOCKETS, S_SOCKETS_MAX);
    return context;
}

void *leat_bench_socket_new (void *context, int type, int high_water_mark)
{
    void *socket = zmq_socket (context, type);
    leat_assert (socket);
    zmq_setsockopt (socket, ZMQ_SNDHWM, &high_water_mark, sizeof high_water_mark);
    zmq_setsockopt (socket, ZMQ_RCVHWM, &high_water_mark, sizeof high_water_mark);
    return socket;
}

bool leat_bench_socket_bind (void *socket, char *endpoint, size_t size, leat_bench_round_t *round)
{
    if (zmq_bind (socket, "tcp://127.0.0.1:*") == 0
        && zmq_getsockopt (socket, ZMQ_LAST_ENDPOINT, endpoint, &size) == 0)
        return true;
    leat_bench_socket_failed (round, "cannot bind");
    return false;
}

bool leat_bench_socket_connect (void *socket, const char *endpoint, leat_bench_round_t *round)
{
    if (zmq_connect (socket, endpoint) == 0)
        return true;
    leat_bench_socket_failed (round, "cannot connect");
    return false;
}

int leat_bench_socket_failed (leat_bench_round_t *round, const char *what)
{
    leat_bench_round_fail (round, "libzmq: %s: %s", what, zmq_strerror (zmq_errno ()));
    return 1;
}

void leat_bench_socket_end (void *socket, void *context)
{
    zmq_close (socket);
    zmq_ctx_term (context);
}

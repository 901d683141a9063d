/* Sessions of bare libzmq: the same four messages for each record, and nothing else.
 * SPDX-License-Identifier: MPL-2.0 */
#include "bench/sessions.h"

#include <poll.h>
#include <stdlib.h>
#include <string.h>

#include "bench/contender.h"
#include "bench/sockets.h"
#include "wire/alloc.h"

/* Bytes of a confirm and of a settle: the record's number. */
#define S_ANSWER_SIZE 8
#define S_HIGH_WATER_MARK 1000
/* How often the consumer looks whether all is over, when nothing comes. */
#define S_LOOK_MS 20
#define S_SETTLED_NS UINT64_C (30000000000)

/* ---- the middle ------------------------------------------------------------------------------ */

typedef struct {
    uint8_t bytes[256];
    size_t size;
} s_routing_id_t;

static bool s_send_to (void *router, const s_routing_id_t *id, zmq_msg_t *message)
{
    return zmq_send (router, id->bytes, id->size, ZMQ_SNDMORE) >= 0
           && zmq_msg_send (message, router, 0) >= 0;
}

static bool s_receive_from (void *router, s_routing_id_t *id, zmq_msg_t *message)
{
    int size = zmq_recv (router, id->bytes, sizeof id->bytes, 0);
    id->size = size > 0 ? (size_t) size : 0;
    return size > 0 && zmq_msg_recv (message, router, 0) >= 0;
}

/* A record: its number goes back to who sent it, all of it to the consumer, by reference. */
static bool s_pass_on (void *router, const s_routing_id_t *from, const s_routing_id_t *to,
                       zmq_msg_t *record)
{
    zmq_msg_t answer;
    zmq_msg_init_size (&answer, S_ANSWER_SIZE);
    memcpy (zmq_msg_data (&answer), zmq_msg_data (record), S_ANSWER_SIZE);
    bool sent = s_send_to (router, from, &answer) && s_send_to (router, to, record);
    zmq_msg_close (&answer);
    return sent;
}

/* The first message is the consumer's greeting, which tells its routing id and is echoed. Then records come
 * from sessions, which send all that is larger than an answer, and answers from the consumer. */
static int s_middle (void *arg, int ready)
{
    leat_bench_sessions_t *sessions = arg;
    leat_bench_round_t *round = sessions->round;
    void *context = leat_bench_context_new ();
    void *router = leat_bench_socket_new (context, ZMQ_ROUTER, S_HIGH_WATER_MARK);
    int mandatory = 1; /* a full pipe makes it wait instead of dropping */
    zmq_setsockopt (router, ZMQ_ROUTER_MANDATORY, &mandatory, sizeof mandatory);
    leat_bench_allow_files ();
    if (!leat_bench_socket_bind (router, round->front, sizeof round->front, round))
        return 1;
    memcpy (round->back, round->front, sizeof round->back);
    leat_bench_ready (ready);

    s_routing_id_t consumer;
    s_routing_id_t from;
    zmq_msg_t message;
    zmq_msg_init (&message);
    bool good =
        s_receive_from (router, &consumer, &message) && s_send_to (router, &consumer, &message);
    while (good) {
        good = s_receive_from (router, &from, &message);
        if (good && zmq_msg_size (&message) > S_ANSWER_SIZE)
            good = s_pass_on (router, &from, &consumer, &message);
        else if (good)
            atomic_fetch_add_explicit (&sessions->settled, 1, memory_order_relaxed);
    }
    return leat_bench_socket_failed (round, "cannot answer or pass on");
}

/* ---- producers ------------------------------------------------------------------------------- */

typedef struct {
    leat_bench_round_t *round;
    void *sockets[LEAT_BENCH_SESSIONS_MAX];
} s_producers_t;

static bool s_send (void *arg, unsigned session, const uint8_t *body)
{
    s_producers_t *self = arg;
    void *socket = self->sockets[session];
    uint8_t answer[S_ANSWER_SIZE + 1];
    if (zmq_send (socket, body, self->round->plan.size, 0) < 0
        || zmq_recv (socket, answer, sizeof answer, 0) != S_ANSWER_SIZE) {
        leat_bench_socket_failed (self->round, "cannot send and have it confirmed");
        return false;
    }
    if (memcmp (answer, body, S_ANSWER_SIZE) == 0)
        return true;
    leat_bench_round_fail (self->round, "session %u was confirmed another record", session);
    return false;
}

static int s_producers (void *arg, int ready)
{
    leat_bench_sessions_t *sessions = arg;
    leat_bench_allow_files ();
    s_producers_t *self = leat_alloc (sizeof *self);
    self->round = sessions->round;
    void *context = leat_bench_context_new ();
    bool good = true;
    unsigned opened = 0;
    while (good && opened < sessions->count) {
        void *socket = leat_bench_socket_new (context, ZMQ_DEALER, S_HIGH_WATER_MARK);
        self->sockets[opened++] = socket;
        good = leat_bench_socket_connect (socket, self->round->front, self->round);
    }
    int rc = 1;
    if (good) {
        leat_bench_ready (ready);
        rc = leat_bench_sessions_send (sessions, s_send, self);
    }
    for (unsigned i = 0; i < opened; i++)
        zmq_close (self->sockets[i]);
    zmq_ctx_term (context);
    free (self);
    return rc;
}

/* ---- the consumer ---------------------------------------------------------------------------- */

static bool s_receive (leat_bench_sessions_t *sessions, void *socket)
{
    const leat_bench_plan_t *plan = &sessions->round->plan;
    int look_ms = S_LOOK_MS;
    zmq_setsockopt (socket, ZMQ_RCVTIMEO, &look_ms, sizeof look_ms);
    leat_bench_bodies_t bodies;
    leat_bench_bodies_begin (&bodies, plan->size, plan->seed);
    zmq_msg_t message;
    zmq_msg_init (&message);
    bool good = true;
    while (good && !leat_bench_sessions_over (sessions)) {
        if (zmq_msg_recv (&message, socket, 0) < 0) {
            good = zmq_errno () == EAGAIN;
            continue;
        }
        good = leat_bench_sessions_take (sessions, &bodies, zmq_msg_data (&message),
                                         zmq_msg_size (&message))
               && zmq_send (socket, zmq_msg_data (&message), S_ANSWER_SIZE, 0) >= 0;
    }
    zmq_msg_close (&message);
    leat_bench_bodies_end (&bodies);
    return good;
}

/* The ROUTER has got all answers; false with the round's error if that takes too long. */
static bool s_settled (leat_bench_sessions_t *sessions)
{
    uint64_t deadline_ns = leat_bench_now_ns () + S_SETTLED_NS;
    while (atomic_load (&sessions->settled) < atomic_load (&sessions->received)) {
        if (leat_bench_now_ns () > deadline_ns) {
            leat_bench_round_fail (sessions->round, "not all is settled");
            return false;
        }
        poll (NULL, 0, 1);
    }
    return true;
}

static int s_consumer (void *arg, int ready)
{
    leat_bench_sessions_t *sessions = arg;
    leat_bench_round_t *round = sessions->round;
    void *context = leat_bench_context_new ();
    void *socket = leat_bench_socket_new (context, ZMQ_DEALER, S_HIGH_WATER_MARK);
    if (!leat_bench_socket_connect (socket, round->back, round))
        return 1;
    uint8_t echo[1];
    if (zmq_send (socket, "", 0, 0) < 0 || zmq_recv (socket, echo, sizeof echo, 0) < 0)
        return leat_bench_socket_failed (round, "cannot greet");
    leat_bench_ready (ready);
    if (!s_receive (sessions, socket))
        return leat_bench_socket_failed (round, "cannot receive and settle");
    bool settled = s_settled (sessions);
    leat_bench_socket_end (socket, context);
    return settled ? 0 : 1;
}

const leat_bench_sessions_contender_t leat_bench_sessions_router = {
    .name = "router",
    .about = "libzmq DEALERs and a bare ROUTER, which pass the same four messages for a record",
    .middle = s_middle,
    .consumer = s_consumer,
    .producers = s_producers,
};

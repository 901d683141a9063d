/* A broker inside a test.
 * SPDX-License-Identifier: MPL-2.0 */
#include "tests/unit/test_broker.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <zmq.h>

#include "client/gate.h"
#include "wire/alloc.h"
#include "wire/assert.h"
#include "wire/bytes.h"

enum { TURN_MS = 2, RETRY_AFTER_MS = 20, COMMITS_MAX = 1 << 20 };

typedef enum { RUN, STOP, CRASH } order_t;

struct test_broker {
    char *endpoint;
    leat_limits_t limits;
    uint64_t incarnation;
    pthread_t thread;
    bool is_running;
    atomic_int order;
    atomic_bool is_listening;
    atomic_bool is_frozen;
    atomic_bool is_held;
    atomic_bool drain;

    /* The thread's. */
    leat_core_t *core;
    void *router;
    leat_buffer_t **log;
    size_t log_count;
    struct {
        uint64_t id;
        leat_buffer_t *bytes;
    } pending[128];
    size_t pending_count;
    uint64_t peer_last; /* who spoke last */

    pthread_mutex_t mutex;
    leat_statistics_t statistics;
};

void test_broker_limits (leat_limits_t *limits)
{
    leat_limits_default (limits);
    limits->heartbeat_interval = TEST_BROKER_TIMEOUT_MS / 10;
    limits->heartbeat_timeout = TEST_BROKER_TIMEOUT_MS;
    limits->settle_delay = 5;
    limits->nack_delay_min = 5;
}

const char *test_broker_endpoint (char *text, size_t size, unsigned number)
{
    /* In the abstract namespace of unix (7): no file is left behind. */
    snprintf (text, size, "ipc://@leat-test-%ld-%u", (long) getpid (), number);
    return text;
}

test_broker_t *test_broker_new (const leat_limits_t *limits, const char *endpoint)
{
    test_broker_t *self = leat_alloc (sizeof *self);
    self->endpoint = leat_copy_text (endpoint, strlen (endpoint));
    if (limits != NULL)
        self->limits = *limits;
    else
        test_broker_limits (&self->limits);
    leat_assert (leat_limits_check (&self->limits) == NULL);
    self->incarnation = 1000;
    self->log = leat_alloc (COMMITS_MAX * sizeof (leat_buffer_t *));
    pthread_mutex_init (&self->mutex, NULL);
    return self;
}

/* ---- one turn -------------------------------------------------------------------------------- */

/* Routing ids are five bytes: a zero and a number that grows (router.cpp of libzmq). */
static uint64_t s_peer (zmq_msg_t *id)
{
    const uint8_t *bytes = zmq_msg_data (id);
    leat_assert (zmq_msg_size (id) == 5 && bytes[0] == 0);
    return leat_get_u32 (bytes + 1);
}

static bool s_receive_one (test_broker_t *self)
{
    zmq_msg_t id;
    zmq_msg_init (&id);
    if (zmq_msg_recv (&id, self->router, ZMQ_DONTWAIT) < 0) {
        zmq_msg_close (&id);
        return false;
    }
    zmq_msg_t frames[2];
    unsigned count = 0;
    for (bool more = true; more; count++) {
        leat_assert (count < 2);
        zmq_msg_init (&frames[count]);
        int size = zmq_msg_recv (&frames[count], self->router, 0);
        leat_assert (size >= 0);
        more = zmq_msg_more (&frames[count]) != 0;
    }
    leat_buffer_t *body = NULL;
    if (count == 2)
        body = leat_buffer_copy (zmq_msg_data (&frames[1]), zmq_msg_size (&frames[1]));
    uint64_t peer = s_peer (&id);
    self->peer_last = peer;
    leat_core_receive (self->core, peer, count, zmq_msg_data (&frames[0]),
                       zmq_msg_size (&frames[0]), body);
    leat_buffer_release (&body);
    zmq_msg_close (&id);
    while (count > 0)
        zmq_msg_close (&frames[--count]);
    return true;
}

static void s_send (test_broker_t *self)
{
    leat_message_t message;
    while (leat_outbox_next (leat_core_outbox (self->core), &message)) {
        uint8_t id[5] = { 0 };
        leat_put_u32 (id + 1, (uint32_t) message.peer);
        int more = message.body.buffer != NULL ? ZMQ_SNDMORE : 0;
        if (zmq_send (self->router, id, sizeof id, ZMQ_SNDMORE | ZMQ_DONTWAIT) < 0) {
            leat_core_unreachable (self->core, message.peer);
            continue;
        }
        zmq_send (self->router, message.header, message.header_size, more | ZMQ_DONTWAIT);
        if (more)
            zmq_send (self->router, leat_slice_bytes (message.body), message.body.size,
                      ZMQ_DONTWAIT);
    }
}

static void s_store (test_broker_t *self)
{
    leat_commit_t *commit;
    while ((commit = leat_core_next_commit (self->core)) != NULL) {
        leat_assert (self->pending_count < sizeof self->pending / sizeof *self->pending);
        self->pending[self->pending_count].id = leat_commit_id (commit);
        self->pending[self->pending_count++].bytes = leat_commit_encode (commit);
        leat_commit_destroy (&commit);
    }
    if (atomic_load (&self->is_held) || self->pending_count == 0)
        return;
    for (size_t index = 0; index < self->pending_count; index++) {
        leat_assert (self->log_count < COMMITS_MAX);
        self->log[self->log_count++] = self->pending[index].bytes;
        leat_core_completed (self->core, self->pending[index].id, LEAT_COMMIT_OK);
    }
    self->pending_count = 0;
    leat_core_run (self->core);
    s_store (self);
}

/* The core does not send DRAIN yet. */
static void s_drain (test_broker_t *self)
{
    leat_command_t command = { .id = LEAT_DRAIN };
    command.drain.channel = 1;
    leat_outbox_command (leat_core_outbox (self->core), self->peer_last, &command);
}

static void s_turn (test_broker_t *self)
{
    for (unsigned count = 0; count < 256 && s_receive_one (self); count++)
        continue;
    leat_core_tick (self->core, leat_clock_us (), leat_clock_wall_ms ());
    leat_core_run (self->core);
    s_store (self);
    if (atomic_exchange (&self->drain, false))
        s_drain (self);
    s_send (self);
    pthread_mutex_lock (&self->mutex);
    leat_core_statistics (self->core, &self->statistics);
    pthread_mutex_unlock (&self->mutex);
}

/* ---- beginning and end ----------------------------------------------------------------------- */

static void s_open (test_broker_t *self)
{
    leat_core_options_t options = {
        .limits = self->limits, .incarnation = ++self->incarnation, .seed = 1, .software = "test"
    };
    self->core = leat_core_new (&options);
    for (size_t index = 0; index < self->log_count; index++) {
        leat_code_t code = leat_core_recover (self->core, self->log[index]);
        leat_assert (code == LEAT_OK);
    }
    leat_core_tick (self->core, leat_clock_us (), leat_clock_wall_ms ());
}

static void s_close (test_broker_t *self)
{
    if (leat_core_incarnation (self->core) > self->incarnation)
        self->incarnation = leat_core_incarnation (self->core);
    for (; self->pending_count > 0; self->pending_count--)
        leat_buffer_release (&self->pending[self->pending_count - 1].bytes);
    leat_core_destroy (&self->core);
}

static void s_loop (test_broker_t *self)
{
    bool is_stopping = false;
    zmq_pollitem_t item = { .socket = self->router, .events = ZMQ_POLLIN };
    while (atomic_load (&self->order) != CRASH && !leat_core_stopped (self->core)) {
        if (atomic_load (&self->is_frozen)) {
            zmq_poll (NULL, 0, TURN_MS);
            continue;
        }
        if (atomic_load (&self->order) == STOP && !is_stopping) {
            is_stopping = true;
            leat_core_shutdown (self->core, RETRY_AFTER_MS);
        }
        s_turn (self);
        zmq_poll (&item, 1, TURN_MS);
    }
    if (is_stopping)
        s_turn (self);
}

static void *s_run (void *arg)
{
    test_broker_t *self = arg;
    void *context = zmq_ctx_new ();
    int one = 1, none = 0, linger_ms = 100;
    self->router = zmq_socket (context, ZMQ_ROUTER);
    zmq_setsockopt (self->router, ZMQ_ROUTER_MANDATORY, &one, sizeof one);
    zmq_setsockopt (self->router, ZMQ_SNDHWM, &none, sizeof none);
    zmq_setsockopt (self->router, ZMQ_RCVHWM, &none, sizeof none);
    zmq_setsockopt (self->router, ZMQ_LINGER, &linger_ms, sizeof linger_ms);
    s_open (self);
    int rc = zmq_bind (self->router, self->endpoint);
    leat_assert (rc == 0);
    atomic_store (&self->is_listening, true);
    s_loop (self);
    if (atomic_load (&self->order) == CRASH)
        zmq_setsockopt (self->router, ZMQ_LINGER, &none, sizeof none);
    zmq_close (self->router);
    zmq_ctx_term (context);
    s_close (self);
    return NULL;
}

void test_broker_start (test_broker_t *self)
{
    leat_assert (!self->is_running);
    atomic_store (&self->order, RUN);
    atomic_store (&self->is_listening, false);
    self->is_running = true;
    int error = pthread_create (&self->thread, NULL, s_run, self);
    leat_assert (error == 0);
    while (!atomic_load (&self->is_listening))
        zmq_poll (NULL, 0, 1);
}

static void s_end (test_broker_t *self, order_t order)
{
    if (!self->is_running)
        return;
    atomic_store (&self->order, order);
    pthread_join (self->thread, NULL);
    self->is_running = false;
}

void test_broker_stop (test_broker_t *self)
{
    s_end (self, STOP);
}

void test_broker_crash (test_broker_t *self)
{
    s_end (self, CRASH);
}

void test_broker_destroy (test_broker_t **self_p)
{
    test_broker_t *self = *self_p;
    if (self == NULL)
        return;
    s_end (self, CRASH);
    for (size_t index = 0; index < self->log_count; index++)
        leat_buffer_release (&self->log[index]);
    free (self->log);
    free (self->endpoint);
    pthread_mutex_destroy (&self->mutex);
    free (self);
    *self_p = NULL;
}

void test_broker_move (test_broker_t *self, const char *endpoint)
{
    leat_assert (!self->is_running);
    free (self->endpoint);
    self->endpoint = leat_copy_text (endpoint, strlen (endpoint));
}

void test_broker_freeze (test_broker_t *self, bool is_frozen)
{
    atomic_store (&self->is_frozen, is_frozen);
}

void test_broker_hold_store (test_broker_t *self, bool is_held)
{
    atomic_store (&self->is_held, is_held);
}

void test_broker_drain (test_broker_t *self)
{
    atomic_store (&self->drain, true);
}

void test_broker_statistics (test_broker_t *self, leat_statistics_t *statistics)
{
    pthread_mutex_lock (&self->mutex);
    *statistics = self->statistics;
    pthread_mutex_unlock (&self->mutex);
}

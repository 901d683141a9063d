/* Threads of the application that wait, or send, do the client's work meanwhile.
 * SPDX-License-Identifier: MPL-2.0 */
#include <poll.h>
#include <pthread.h>

#include "client/client_state.h"
#include "tests/unit/client_sample.h"

enum { RECORDS = 2000, THREADS = 4, ROUNDS = 300 };

/* Waits for a condition with a limit. */
#define AWAIT(condition)                                                                           \
    do {                                                                                           \
        uint64_t limit_us = leat_clock_us () + (uint64_t) SAMPLE_WAIT_MS * 1000;                   \
        while (!(condition)) {                                                                     \
            assert_true (leat_clock_us () < limit_us);                                             \
            poll (NULL, 0, 1);                                                                     \
        }                                                                                          \
    } while (0)

static void s_receive (leat_consumer_t *consumer, uint64_t n)
{
    leat_delivered_t delivered;
    assert_int_equal (leat_consumer_receive (consumer, &delivered, SAMPLE_WAIT_MS), 0);
    sample_check_body (&delivered.record, n);
    assert_int_equal (leat_consumer_ack (consumer, &delivered), 0);
}

/* Only a client that has a session is driven. */
static int s_set_up (void **state)
{
    sample_set_up (state);
    sample_t *self = *state;
    return leat_client_wait (self->client, SAMPLE_WAIT_MS);
}

typedef struct {
    leat_client_t *client;
    const char *stream;
    uint64_t count;
} s_task_t;

/* Receives `count` records, and checks each. */
static void *s_receiver (void *arg)
{
    const s_task_t *task = arg;
    leat_consumer_t *consumer = leat_consumer_new (task->client, task->stream, NULL);
    assert_non_null (consumer);
    for (uint64_t n = 1; n <= task->count; n++)
        s_receive (consumer, n);
    assert_int_equal (leat_consumer_leave (consumer, SAMPLE_WAIT_MS), 0);
    leat_consumer_destroy (&consumer);
    return NULL;
}

/* Publishes `count` records, and waits for each. */
static void *s_sender (void *arg)
{
    const s_task_t *task = arg;
    leat_producer_t *producer = leat_producer_new (task->client, task->stream, NULL);
    assert_non_null (producer);
    for (uint64_t n = 1; n <= task->count; n++) {
        sample_send (producer, n, n);
        assert_int_equal (leat_producer_flush (producer, SAMPLE_WAIT_MS), 0);
    }
    leat_producer_destroy (&producer);
    return NULL;
}

static pthread_t s_begin (void *(*fn) (void *), s_task_t *task)
{
    pthread_t thread;
    assert_int_equal (pthread_create (&thread, NULL, fn, task), 0);
    return thread;
}

static void s_join (pthread_t thread)
{
    assert_int_equal (pthread_join (thread, NULL), 0);
}

/* A receiver that comes back soon watches, and the client's own thread rests. */
static void test_receiver_watches (void **state)
{
    sample_t *self = *state;
    s_task_t task = { self->client, "watched", RECORDS };
    pthread_t receiver = s_begin (s_receiver, &task);
    leat_client_t *other = sample_client (self->endpoint, NULL);
    leat_producer_t *producer = leat_producer_new (other, "watched", NULL);
    for (uint64_t n = 1; n <= RECORDS / 2; n++) {
        sample_send (producer, n, n);
        assert_int_equal (leat_producer_flush (producer, SAMPLE_WAIT_MS), 0);
    }
    AWAIT (atomic_load (&self->client->is_driven)
           && atomic_load (&self->client->post) == LEAT_POST_REST);
    sample_send (producer, RECORDS / 2 + 1, RECORDS);
    s_join (receiver);
    assert_false (atomic_load (&self->client->is_driven));
    AWAIT (atomic_load (&self->client->post) == LEAT_POST_WATCH);
    leat_producer_destroy (&producer);
    leat_client_destroy (&other);
}

/* One that does not come back is relieved: heartbeats go on, and the broker does not lose it. */
static void test_relieved (void **state)
{
    sample_t *self = *state;
    leat_consumer_t *consumer = leat_consumer_new (self->client, "relieved", NULL);
    leat_producer_t *producer = leat_producer_new (self->client, "relieved", NULL);
    assert_true (consumer && producer);
    leat_client_t *other = sample_client (self->endpoint, NULL);
    leat_producer_t *feeder = leat_producer_new (other, "fed", NULL);
    leat_consumer_t *fed = leat_consumer_new (self->client, "fed", NULL);
    for (uint64_t n = 1; n <= 100; n++) {
        sample_send (feeder, n, n);
        s_receive (fed, n);
    }
    /* Nobody of the application touches the client now. */
    AWAIT (atomic_load (&self->client->post) == LEAT_POST_WATCH);
    uint64_t end_us = leat_clock_us () + TEST_BROKER_TIMEOUT_MS * UINT64_C (1500);
    AWAIT (leat_clock_us () > end_us);
    assert_int_equal (leat_client_losses (self->client), 0);
    leat_consumer_destroy (&fed);
    leat_consumer_destroy (&consumer);
    leat_producer_destroy (&producer);
    leat_producer_destroy (&feeder);
    leat_client_destroy (&other);
}

/* A client that has nothing but a producer is relieved as well, and an answer that nobody waits for is read. */
static void test_producer_relieved (void **state)
{
    sample_t *self = *state;
    leat_producer_t *producer = leat_producer_new (self->client, "relieved", NULL);
    assert_non_null (producer);
    for (uint64_t n = 1; n <= ROUNDS; n++) {
        sample_send (producer, n, n);
        if (n % 3 != 0)
            assert_int_equal (leat_producer_flush (producer, SAMPLE_WAIT_MS), 0);
        else
            AWAIT (leat_producer_confirmed (producer) == n);
    }
    assert_int_equal (leat_producer_flush (producer, SAMPLE_WAIT_MS), 0);
    AWAIT (atomic_load (&self->client->post) == LEAT_POST_WATCH);
    leat_producer_destroy (&producer);
}

static uint64_t s_relay_us (leat_client_t *client)
{
    leat_client_take_turn (client);
    uint64_t relay_us = client->relay_us;
    leat_client_give_turn (client);
    return relay_us;
}

/* One that waits for each confirmation sets the timer once for many of them; each set time is another one. */
static void test_timer_is_set_rarely (void **state)
{
    sample_t *self = *state;
    leat_producer_t *producer = leat_producer_new (self->client, "timed", NULL);
    assert_non_null (producer);
    uint64_t began_us = leat_clock_us ();
    uint64_t relay_us = 0;
    unsigned set = 0;
    for (uint64_t n = 1; n <= RECORDS; n++) {
        sample_send (producer, n, n);
        assert_int_equal (leat_producer_flush (producer, SAMPLE_WAIT_MS), 0);
        uint64_t now_us = s_relay_us (self->client);
        set += now_us != relay_us;
        relay_us = now_us;
    }
    /* It is set again when half of the slack is over, and otherwise when something is due. */
    uint64_t took_us = leat_clock_us () - began_us;
    assert_in_range (set, 1, took_us / (LEAT_RELAY_SLACK_OF_PRODUCERS_US / 2) + 10);
    leat_producer_destroy (&producer);
}

/* While one thread watches for records that do not come, others of the same client get their answers. */
static void test_others_are_served (void **state)
{
    sample_t *self = *state;
    s_task_t waits = { self->client, "quiet", 1 };
    pthread_t receiver = s_begin (s_receiver, &waits);
    AWAIT (atomic_load (&self->client->is_driven));
    s_task_t sends = { self->client, "busy", ROUNDS };
    s_task_t receives = { self->client, "busy", ROUNDS };
    pthread_t threads[] = { s_begin (s_sender, &sends), s_begin (s_receiver, &receives) };
    s_join (threads[0]);
    s_join (threads[1]);
    s_task_t last = { self->client, "quiet", 1 };
    s_join (s_begin (s_sender, &last));
    s_join (receiver);
}

/* Many threads, all of them waiting for something of one client, in each other's way. */
static void test_crowd (void **state)
{
    sample_t *self = *state;
    static const char *const streams[THREADS] = { "a", "b", "c", "d" };
    s_task_t tasks[THREADS];
    pthread_t senders[THREADS], receivers[THREADS];
    for (unsigned index = 0; index < THREADS; index++) {
        tasks[index] = (s_task_t){ self->client, streams[index], ROUNDS };
        senders[index] = s_begin (s_sender, &tasks[index]);
        receivers[index] = s_begin (s_receiver, &tasks[index]);
    }
    for (unsigned index = 0; index < THREADS; index++) {
        s_join (senders[index]);
        s_join (receivers[index]);
    }
}

/* The broker comes and goes while a receiver watches. */
static void test_broker_ends (void **state)
{
    sample_t *self = *state;
    s_task_t task = { self->client, "shaken", ROUNDS };
    leat_client_t *other = sample_client (self->endpoint, NULL);
    s_task_t sends = { other, "shaken", ROUNDS };
    pthread_t receiver = s_begin (s_receiver, &task);
    AWAIT (atomic_load (&self->client->is_driven));
    test_broker_stop (self->broker);
    AWAIT (!leat_client_connected (self->client));
    test_broker_start (self->broker);
    pthread_t sender = s_begin (s_sender, &sends);
    s_join (sender);
    s_join (receiver);
    leat_client_destroy (&other);
}

/* The client may be destroyed while a thread waits. */
static void *s_waits_for_nothing (void *arg)
{
    leat_consumer_t *consumer = arg;
    leat_delivered_t delivered;
    assert_int_equal (leat_consumer_receive (consumer, &delivered, -1), -1);
    assert_int_equal (errno, ESHUTDOWN);
    return NULL;
}

static void test_destroyed (void **state)
{
    sample_t *self = *state;
    leat_client_t *client = sample_client (self->endpoint, NULL);
    assert_int_equal (leat_client_wait (client, SAMPLE_WAIT_MS), 0);
    leat_consumer_t *consumer = leat_consumer_new (client, "destroyed", NULL);
    pthread_t thread;
    assert_int_equal (pthread_create (&thread, NULL, s_waits_for_nothing, consumer), 0);
    AWAIT (atomic_load (&client->is_driven));
    leat_client_destroy (&client);
    s_join (thread);
    leat_consumer_destroy (&consumer);
}

typedef struct {
    pthread_t self;
    bool is_foreign; /* called by somebody else than the client's own thread */
    _Atomic uint64_t sequence;
} s_heard_t;

static void s_confirmed (void *arg, uint64_t sequence, uint64_t offset)
{
    (void) offset;
    s_heard_t *heard = arg;
    heard->is_foreign = heard->is_foreign || !pthread_equal (pthread_self (), heard->self);
    atomic_store (&heard->sequence, sequence);
}

/* Functions of the application are called by the client's own thread, whoever waits. */
static void test_callbacks (void **state)
{
    sample_t *self = *state;
    s_task_t task = { self->client, "called", ROUNDS };
    pthread_t receiver = s_begin (s_receiver, &task);
    AWAIT (atomic_load (&self->client->is_driven));
    s_heard_t heard = { .self = self->client->thread };
    leat_producer_options_t options = { .confirmed = s_confirmed, .arg = &heard };
    leat_producer_t *producer = leat_producer_new (self->client, "called", &options);
    assert_non_null (producer);
    for (uint64_t n = 1; n <= ROUNDS; n++) {
        sample_send (producer, n, n);
        assert_int_equal (leat_producer_flush (producer, SAMPLE_WAIT_MS), 0);
    }
    assert_int_equal (atomic_load (&heard.sequence), ROUNDS);
    s_join (receiver);
    leat_producer_destroy (&producer);
    assert_false (heard.is_foreign);
    assert_int_equal (atomic_load (&self->client->callbacks), 0);
}

int main (void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown (test_receiver_watches, s_set_up, sample_tear_down),
        cmocka_unit_test_setup_teardown (test_relieved, s_set_up, sample_tear_down),
        cmocka_unit_test_setup_teardown (test_producer_relieved, s_set_up, sample_tear_down),
        cmocka_unit_test_setup_teardown (test_timer_is_set_rarely, s_set_up, sample_tear_down),
        cmocka_unit_test_setup_teardown (test_others_are_served, s_set_up, sample_tear_down),
        cmocka_unit_test_setup_teardown (test_crowd, s_set_up, sample_tear_down),
        cmocka_unit_test_setup_teardown (test_broker_ends, s_set_up, sample_tear_down),
        cmocka_unit_test_setup_teardown (test_destroyed, s_set_up, sample_tear_down),
        cmocka_unit_test_setup_teardown (test_callbacks, s_set_up, sample_tear_down),
    };
    return cmocka_run_group_tests_name ("client_turns", tests, NULL, NULL);
}

/* Tests of leat_client_t: connecting, moving on, being displaced, ending.
 * SPDX-License-Identifier: MPL-2.0 */
#include "tests/unit/client_sample.h"

#include "client/client_state.h"

#include <dirent.h>
#include <poll.h>
#include <signal.h>
#include <unistd.h>

#include <zmq.h>

static void test_connects (void **state)
{
    sample_t *self = *state;
    assert_int_equal (leat_client_wait (self->client, SAMPLE_WAIT_MS), 0);
    assert_true (leat_client_connected (self->client));
    assert_int_equal (strlen (leat_client_identity (self->client)), 32);
    assert_int_equal (leat_client_losses (self->client), 0);
    char text[512] = "x";
    assert_int_equal (leat_client_error (self->client, text, sizeof text), LEAT_OK);
    assert_string_equal (text, "");
}

static void test_refuses_what_cannot_be (void **state)
{
    static const char *const wrong[] = { "",
                                         ",",
                                         "tcp://",
                                         "tcp://host",
                                         "tcp://:5560",
                                         "tcp://host:0",
                                         "tcp://host:65536",
                                         "tcp://host:5560x",
                                         "udp://host:5560",
                                         "ipc://",
                                         "tcp://a:1,udp://b:2" };
    for (size_t index = 0; index < sizeof wrong / sizeof *wrong; index++) {
        errno = 0;
        assert_null (leat_client_new (&(leat_client_options_t){ .endpoints = wrong[index] }));
        assert_int_equal (errno, EINVAL);
    }
    errno = 0;
    assert_null (leat_client_new (&(leat_client_options_t){ .identity = "not a name" }));
    assert_int_equal (errno, EINVAL);
    leat_client_t *client = NULL;
    leat_client_destroy (&client);
}

static void test_says_that_no_broker_is_there (void **state)
{
    char endpoint[128], text[512];
    test_broker_endpoint (endpoint, sizeof endpoint, 900);
    leat_client_t *client = sample_client (endpoint, NULL);
    assert_int_equal (leat_client_wait (client, 50), -1);
    assert_int_equal (errno, ETIMEDOUT);
    assert_false (leat_client_connected (client));
    assert_int_equal (leat_client_error (client, text, sizeof text), LEAT_TIMED_OUT);
    assert_non_null (strstr (text, "is one running at this address?"));
    leat_client_destroy (&client);
    assert_null (client);
}

/* The first endpoint of the list has nobody, the second one has. */
static void test_moves_on_through_the_list (void **state)
{
    sample_t *self = *state;
    char other[128], list[300];
    test_broker_endpoint (other, sizeof other, 901);
    snprintf (list, sizeof list, "tcp://127.0.0.1:1, %s %s", other, self->endpoint);
    leat_client_t *client = sample_client (list, NULL);
    assert_int_equal (leat_client_wait (client, SAMPLE_WAIT_MS), 0);

    /* The broker moves to the one before it. */
    test_broker_crash (self->broker);
    test_broker_move (self->broker, other);
    test_broker_start (self->broker);
    leat_producer_t *producer = leat_producer_new (client, "moved", NULL);
    sample_send (producer, 1, 100);
    assert_int_equal (leat_producer_flush (producer, SAMPLE_WAIT_MS), 0);
    assert_true (leat_client_losses (client) >= 1);
    leat_producer_destroy (&producer);
    sample_check_stream (client, "moved", 100);
    leat_client_destroy (&client);
}

static void test_a_displaced_client_stops (void **state)
{
    sample_t *self = *state;
    leat_client_t *first = sample_client (self->endpoint, "same");
    leat_producer_t *producer = leat_producer_new (first, "displaced", NULL);
    leat_consumer_t *consumer = leat_consumer_new (first, "displaced", NULL);
    assert_int_equal (leat_client_wait (first, SAMPLE_WAIT_MS), 0);
    leat_client_t *second = sample_client (self->endpoint, "same");
    assert_int_equal (leat_client_wait (second, SAMPLE_WAIT_MS), 0);

    leat_delivered_t delivered;
    assert_int_equal (leat_consumer_receive (consumer, &delivered, SAMPLE_WAIT_MS), -1);
    assert_int_equal (errno, EPIPE);
    assert_int_equal (leat_client_wait (first, SAMPLE_WAIT_MS), -1);
    assert_int_equal (errno, EPIPE);
    char text[512];
    assert_int_equal (leat_client_error (first, text, sizeof text), LEAT_DISPLACED);
    assert_non_null (strstr (text, "\"same\""));
    assert_int_equal (leat_producer_flush (producer, SAMPLE_WAIT_MS), 0); /* nothing was sent */
    assert_int_equal (leat_producer_send (producer, "x", 1), -1);
    assert_int_equal (errno, EPIPE);
    assert_int_equal (leat_producer_error (producer, text, sizeof text), LEAT_DISPLACED);
    assert_int_equal (leat_consumer_error (consumer, text, sizeof text), LEAT_DISPLACED);
    assert_null (leat_producer_new (first, "other", NULL));
    assert_int_equal (errno, EPIPE);
    leat_producer_destroy (&producer);
    leat_consumer_destroy (&consumer);
    leat_client_destroy (&first);
    assert_true (leat_client_connected (second));
    leat_client_destroy (&second);
}

/* Many clients, one context of the application's. */
static void test_shares_a_context (void **state)
{
    sample_t *self = *state;
    void *context = zmq_ctx_new ();
    leat_client_t *clients[8];
    for (size_t index = 0; index < 8; index++) {
        clients[index] = leat_client_new (
            &(leat_client_options_t){ .endpoints = self->endpoint, .context = context });
        assert_non_null (clients[index]);
    }
    for (size_t index = 0; index < 8; index++) {
        assert_int_equal (leat_client_wait (clients[index], SAMPLE_WAIT_MS), 0);
        leat_client_destroy (&clients[index]);
    }
    assert_int_equal (zmq_ctx_term (context), 0);
}

/* The application hears which limit is in the way, also of a client that had a connection before. */
static void s_check_context_is_full (leat_client_t *client)
{
    char text[512] = "";
    uint64_t limit_us = leat_clock_us () + (uint64_t) SAMPLE_WAIT_MS * 1000;
    while (strstr (text, "(ZMQ_MAX_SOCKETS), and each client takes 3") == NULL) {
        assert_true (leat_clock_us () < limit_us);
        poll (NULL, 0, 1);
        leat_client_error (client, text, sizeof text);
    }
}

static void test_says_that_a_context_is_full (void **state)
{
    sample_t *self = *state;
    void *context = zmq_ctx_new ();
    zmq_ctx_set (context, ZMQ_MAX_SOCKETS, 5);
    leat_client_options_t options = {
        .endpoints = self->endpoint, .context = context, .retry_min_ms = 1, .retry_max_ms = 10
    };
    leat_client_t *first = leat_client_new (&options);
    assert_int_equal (leat_client_wait (first, SAMPLE_WAIT_MS), 0);
    leat_client_t *second = leat_client_new (&options);
    s_check_context_is_full (second);
    leat_client_destroy (&first);
    assert_int_equal (leat_client_wait (second, SAMPLE_WAIT_MS), 0);
    leat_client_destroy (&second);
    zmq_ctx_term (context);
}

/* The mask of blocked signals of each thread but this one, from proc (5). */
static void test_handles_no_signal (void **state)
{
    sample_t *self = *state;
    assert_int_equal (leat_client_wait (self->client, SAMPLE_WAIT_MS), 0);
    struct sigaction before, after;
    sigaction (SIGTERM, NULL, &before);
    sigset_t mask;
    pthread_sigmask (SIG_SETMASK, NULL, &mask);
    assert_false (sigismember (&mask, SIGTERM));

    leat_client_t *client = sample_client (self->endpoint, NULL);
    assert_int_equal (leat_client_wait (client, SAMPLE_WAIT_MS), 0);
    pthread_sigmask (SIG_SETMASK, NULL, &mask);
    assert_false (sigismember (&mask, SIGTERM));
    sigaction (SIGTERM, NULL, &after);
    assert_ptr_equal (before.sa_handler, after.sa_handler);

    /* The test's broker has a thread that blocks nothing, and libzmq's I/O threads block by
     * themselves: two threads of clients, and the I/O thread of each, have SIGTERM blocked. */
    unsigned blocked = 0;
    DIR *tasks = opendir ("/proc/self/task");
    assert_non_null (tasks);
    struct dirent *entry;
    while ((entry = readdir (tasks)) != NULL) {
        char path[300], line[256];
        snprintf (path, sizeof path, "/proc/self/task/%s/status", entry->d_name);
        FILE *file = entry->d_name[0] == '.' ? NULL : fopen (path, "r");
        while (file != NULL && fgets (line, sizeof line, file) != NULL)
            if (strncmp (line, "SigBlk:", 7) == 0)
                blocked += (strtoull (line + 7, NULL, 16) >> (SIGTERM - 1)) & 1;
        if (file != NULL)
            fclose (file);
    }
    closedir (tasks);
    assert_true (blocked >= 4);
    leat_client_destroy (&client);
}

/* Producers and consumers may outlive their client. */
static void test_ends_before_its_ports (void **state)
{
    sample_t *self = *state;
    leat_client_t *client = sample_client (self->endpoint, NULL);
    leat_producer_t *producer = leat_producer_new (client, "outlived", NULL);
    leat_consumer_t *consumer = leat_consumer_new (client, "outlived", NULL);
    sample_send (producer, 1, 1000);
    leat_client_destroy (&client); /* sends them before it ends */
    assert_int_equal (leat_producer_confirmed (producer), 1000);
    assert_int_equal (leat_producer_send (producer, "x", 1), -1);
    assert_int_equal (errno, ESHUTDOWN);
    leat_delivered_t delivered;
    assert_int_equal (leat_consumer_receive (consumer, &delivered, -1), -1);
    assert_int_equal (errno, ESHUTDOWN);
    assert_int_equal (leat_consumer_leave (consumer, -1), 0);
    leat_producer_destroy (&producer);
    leat_consumer_destroy (&consumer);
    sample_check_stream (self->client, "outlived", 1000);
}

/* A broker that takes the connection and says nothing is given up and asked again. */
static void test_a_frozen_broker (void **state)
{
    sample_t *self = *state;
    assert_int_equal (leat_client_wait (self->client, SAMPLE_WAIT_MS), 0);
    test_broker_freeze (self->broker, true);
    uint64_t before = leat_client_losses (self->client);
    while (leat_client_losses (self->client) == before)
        zmq_poll (NULL, 0, 1);
    char text[512], expected[64];
    snprintf (expected, sizeof expected, "nothing was heard from the broker for %d ms",
              TEST_BROKER_TIMEOUT_MS);
    assert_int_equal (leat_client_error (self->client, text, sizeof text), LEAT_TIMED_OUT);
    assert_non_null (strstr (text, expected));
    test_broker_freeze (self->broker, false);
    leat_producer_t *producer = leat_producer_new (self->client, "thawed", NULL);
    sample_send (producer, 1, 10);
    assert_int_equal (leat_producer_flush (producer, SAMPLE_WAIT_MS), 0);
    leat_producer_destroy (&producer);
}

typedef struct {
    leat_client_t *client;
    unsigned unaware;
} losses_t;

static void s_compare_losses (void *arg)
{
    losses_t *losses = arg;
    const leat_client_t *client = losses->client;
    losses->unaware += client->losses != leat_session_losses (client->session);
}

/* Whoever asks the engines anything (whether a flush is needed, say) can find out afterwards that the
 * session was lost before: leat_client_losses never lags behind. */
static void test_tells_of_a_loss_before_it_answers (void **state)
{
    sample_t *self = *state;
    losses_t losses = { .client = self->client };
    assert_int_equal (leat_client_wait (self->client, SAMPLE_WAIT_MS), 0);
    for (uint64_t count = 0; count < 40; count++) {
        test_broker_crash (self->broker);
        while (leat_client_losses (self->client) == count)
            leat_client_call (self->client, s_compare_losses, &losses);
        test_broker_start (self->broker);
        while (!leat_client_connected (self->client))
            leat_client_call (self->client, s_compare_losses, &losses);
    }
    assert_int_equal (losses.unaware, 0);
}

int main (void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown (test_connects, sample_set_up, sample_tear_down),
        cmocka_unit_test (test_refuses_what_cannot_be),
        cmocka_unit_test (test_says_that_no_broker_is_there),
        cmocka_unit_test_setup_teardown (test_moves_on_through_the_list, sample_set_up,
                                         sample_tear_down),
        cmocka_unit_test_setup_teardown (test_a_displaced_client_stops, sample_set_up,
                                         sample_tear_down),
        cmocka_unit_test_setup_teardown (test_shares_a_context, sample_set_up, sample_tear_down),
        cmocka_unit_test_setup_teardown (test_says_that_a_context_is_full, sample_set_up,
                                         sample_tear_down),
        cmocka_unit_test_setup_teardown (test_handles_no_signal, sample_set_up, sample_tear_down),
        cmocka_unit_test_setup_teardown (test_ends_before_its_ports, sample_set_up,
                                         sample_tear_down),
        cmocka_unit_test_setup_teardown (test_a_frozen_broker, sample_set_up, sample_tear_down),
        cmocka_unit_test_setup_teardown (test_tells_of_a_loss_before_it_answers, sample_set_up,
                                         sample_tear_down),
    };
    return cmocka_run_group_tests (tests, NULL, NULL);
}

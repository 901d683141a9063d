/* Tests of leat_admin_t against the real core: streams, groups, consumers that leave, a lost broker.
 * SPDX-License-Identifier: MPL-2.0 */
#include "tests/unit/client_sample.h"

#include <pthread.h>

static leat_admin_t *s_admin (sample_t *self)
{
    leat_admin_t *admin = leat_admin_new (self->client);
    assert_non_null (admin);
    return admin;
}

static void s_expect_no (leat_admin_t *admin, int result, leat_code_t code, const char *reason)
{
    int error = errno;
    char text[512];
    assert_int_equal (result, -1);
    assert_int_equal (error, EREMOTEIO);
    assert_int_equal (leat_admin_error (admin, text, sizeof text), code);
    if (!strstr (text, reason))
        fail_msg ("'%s' is not in '%s'", reason, text);
}

static void test_streams (void **state)
{
    sample_t *self = *state;
    leat_admin_t *admin = s_admin (self);
    assert_int_equal (leat_admin_error (admin, NULL, 0), LEAT_OK);
    leat_stream_settings_t settings = { .max_processing_ms = 5000, .max_attempts = 3 };
    assert_int_equal (leat_admin_stream_create (admin, "orders", &settings, SAMPLE_WAIT_MS), 0);
    assert_int_equal (leat_admin_stream_create (admin, "orders", &settings, -1), 0);
    s_expect_no (admin, leat_admin_stream_create (admin, "orders", NULL, SAMPLE_WAIT_MS),
                 LEAT_BAD_STATE, "the stream is there already, with other settings (BAD_STATE)");
    settings.dead_size = 70000;
    assert_int_equal (leat_admin_stream_set (admin, "orders", &settings, SAMPLE_WAIT_MS), 0);
    s_expect_no (admin, leat_admin_stream_set (admin, "letters", &settings, SAMPLE_WAIT_MS),
                 LEAT_NO_SUCH_STREAM, "there is no stream of that name");
    settings.durability = LEAT_SYNC;
    s_expect_no (admin, leat_admin_stream_create (admin, "letters", &settings, SAMPLE_WAIT_MS),
                 LEAT_NOT_HANDLED, "memory");
    char *json;
    assert_int_equal (leat_admin_stream_list (admin, "ord*", &json, SAMPLE_WAIT_MS), 0);
    assert_string_equal (json,
                         "{\"streams\": [{\"name\": \"orders\", \"durability\": \"memory\", "
                         "\"retention\": \"work\", \"max_age_ms\": 0, \"max_size\": 0, "
                         "\"max_processing_ms\": 5000, \"max_attempts\": 3, \"dead_size\": 70000, "
                         "\"first_offset\": 0, \"next_offset\": 0, \"paused\": false}]}");
    free (json);
    assert_int_equal (leat_admin_stream_list (admin, NULL, &json, SAMPLE_WAIT_MS), 0);
    assert_non_null (strstr (json, "\"orders\""));
    free (json);
    leat_admin_destroy (&admin);
    assert_null (admin);
    leat_admin_destroy (&admin);
}

static void test_groups (void **state)
{
    sample_t *self = *state;
    leat_admin_t *admin = s_admin (self);
    leat_producer_t *producer = leat_producer_new (self->client, "orders", NULL);
    sample_send (producer, 1, 10);
    assert_int_equal (leat_producer_flush (producer, SAMPLE_WAIT_MS), 0);
    leat_producer_destroy (&producer);
    uint64_t first = 99;
    assert_int_equal (leat_admin_group_create (admin, "orders", "all", LEAT_START_EARLIEST, 0,
                                               &first, SAMPLE_WAIT_MS),
                      0);
    assert_int_equal (first, 0);
    assert_int_equal (leat_admin_group_create (admin, "orders", "some", LEAT_START_OFFSET, 7,
                                               &first, SAMPLE_WAIT_MS),
                      0);
    assert_int_equal (first, 7);
    s_expect_no (admin,
                 leat_admin_group_create (admin, "orders", "all", LEAT_START_EARLIEST, 0, NULL,
                                          SAMPLE_WAIT_MS),
                 LEAT_BAD_STATE, "there already");
    char *json;
    assert_int_equal (leat_admin_group_list (admin, "orders", &json, SAMPLE_WAIT_MS), 0);
    assert_non_null (strstr (json, "{\"name\": \"some\", \"expiry_ms\": 0, \"floor\": 7, "
                                   "\"ready\": 3,"));
    free (json);
    s_expect_no (admin, leat_admin_group_list (admin, "letters", &json, SAMPLE_WAIT_MS),
                 LEAT_NO_SUCH_STREAM, "no stream");
    assert_null (json);
    leat_admin_destroy (&admin);
}

static void test_cannot_be (void **state)
{
    sample_t *self = *state;
    leat_admin_t *admin = s_admin (self);
    leat_stream_settings_t settings = { .durability = (leat_durability_t) 4 };
    char long_name[LEAT_NAME_MAX + 2];
    memset (long_name, 'x', sizeof long_name - 1);
    long_name[sizeof long_name - 1] = 0;
    char *json;
    const struct {
        int result;
    } cases[] = {
        { leat_admin_stream_create (admin, "a b", NULL, 0) },
        { leat_admin_stream_create (admin, NULL, NULL, 0) },
        { leat_admin_stream_create (admin, "a", &settings, 0) },
        { leat_admin_stream_set (admin, "", NULL, 0) },
        { leat_admin_stream_list (admin, long_name, &json, 0) },
        { leat_admin_group_list (admin, long_name, &json, 0) },
        { leat_admin_group_create (admin, "a", "b c", LEAT_START_LATEST, 0, NULL, 0) },
        { leat_admin_group_create (admin, "a", "b", (leat_start_t) 4, 0, NULL, 0) },
        { leat_admin_drain (admin, "-", NULL, NULL, 0) },
        { leat_admin_drain (admin, "a", "", NULL, 0) },
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        assert_int_equal (cases[i].result, -1);
    assert_int_equal (errno, EINVAL);
    leat_admin_destroy (&admin);
}

/* DRAIN reaches the library: what is started is finished, the rest goes back, the consumer ends. */
static void test_drain (void **state)
{
    sample_t *self = *state;
    leat_admin_t *admin = s_admin (self);
    leat_client_t *worker = sample_client (self->endpoint, "worker");
    leat_producer_t *producer = leat_producer_new (self->client, "orders", NULL);
    sample_send (producer, 1, 10);
    assert_int_equal (leat_producer_flush (producer, SAMPLE_WAIT_MS), 0);
    leat_producer_destroy (&producer);
    leat_consumer_t *consumer = leat_consumer_new (worker, "orders", NULL);
    leat_delivered_t delivered;
    assert_int_equal (leat_consumer_receive (consumer, &delivered, SAMPLE_WAIT_MS), 0);
    sample_check_body (&delivered.record, 1);
    uint32_t consumers = 9;
    s_expect_no (admin, leat_admin_drain (admin, "worker", "letters", NULL, SAMPLE_WAIT_MS),
                 LEAT_NO_SUCH_CONSUMER, "not that stream");
    s_expect_no (admin, leat_admin_drain (admin, "nobody", NULL, NULL, SAMPLE_WAIT_MS),
                 LEAT_NO_SUCH_CONSUMER, "no client of that name is connected (NO_SUCH_CONSUMER)");
    assert_int_equal (leat_admin_drain (admin, "worker", "orders", &consumers, SAMPLE_WAIT_MS), 0);
    assert_int_equal (consumers, 1);
    leat_delivered_t next;
    while (leat_consumer_receive (consumer, &next, SAMPLE_WAIT_MS) == 0)
        leat_consumer_give_back (consumer, &next); /* what was handed over at once */
    assert_int_equal (errno, ESHUTDOWN);
    assert_true (leat_consumer_drained (consumer));
    leat_consumer_ack (consumer, &delivered);
    assert_int_equal (leat_consumer_leave (consumer, SAMPLE_WAIT_MS), 0);
    assert_int_equal (leat_consumer_stale (consumer), 0);
    leat_consumer_destroy (&consumer);
    leat_client_destroy (&worker);

    /* The others are there, as if never delivered. */
    consumer = leat_consumer_new (self->client, "orders", NULL);
    leat_consumer_ask_empty (consumer);
    for (uint64_t n = 2; n <= 10; n++) {
        assert_int_equal (leat_consumer_receive (consumer, &delivered, SAMPLE_WAIT_MS), 0);
        sample_check_body (&delivered.record, n);
        assert_false (delivered.redelivered);
        leat_consumer_ack (consumer, &delivered);
    }
    assert_int_equal (leat_consumer_receive (consumer, &delivered, SAMPLE_WAIT_MS), -1);
    assert_int_equal (errno, ENODATA);
    leat_consumer_destroy (&consumer);
    leat_admin_destroy (&admin);
}

/* max_processing over real sockets: the record goes on, and who was too slow is told. */
static void test_overdue (void **state)
{
    sample_t *self = *state;
    leat_admin_t *admin = s_admin (self);
    leat_stream_settings_t settings = { .max_processing_ms = 1000 };
    assert_int_equal (leat_admin_stream_create (admin, "orders", &settings, SAMPLE_WAIT_MS), 0);
    leat_producer_t *producer = leat_producer_new (self->client, "orders", NULL);
    sample_send (producer, 1, 1);
    assert_int_equal (leat_producer_flush (producer, SAMPLE_WAIT_MS), 0);
    leat_client_t *slow = sample_client (self->endpoint, "slow");
    leat_consumer_t *consumer = leat_consumer_new (slow, "orders", NULL);
    leat_delivered_t hanging;
    assert_int_equal (leat_consumer_receive (consumer, &hanging, SAMPLE_WAIT_MS), 0);
    leat_client_t *quick = sample_client (self->endpoint, "quick");
    leat_consumer_t *other = leat_consumer_new (quick, "orders", NULL);
    leat_delivered_t delivered;
    assert_int_equal (leat_consumer_receive (other, &delivered, SAMPLE_WAIT_MS), 0);
    sample_check_body (&delivered.record, 1);
    assert_true (delivered.redelivered);
    assert_int_equal (delivered.attempt, 2); /* it was reported, and charged */
    assert_true (delivered.epoch > hanging.epoch);
    leat_consumer_ack (other, &delivered);
    assert_int_equal (leat_consumer_flush (other, SAMPLE_WAIT_MS), 0);

    assert_int_equal (leat_consumer_stale (consumer), 0);
    leat_consumer_ack (consumer, &hanging);
    assert_int_equal (leat_consumer_leave (consumer, SAMPLE_WAIT_MS), 0);
    assert_int_equal (leat_consumer_stale (consumer), 1);
    assert_int_equal (leat_consumer_stale (other), 0);
    leat_statistics_t statistics;
    test_broker_statistics (self->broker, &statistics);
    assert_int_equal (statistics.records_settled, 1);
    assert_int_equal (statistics.records_overdue, 1);
    leat_consumer_destroy (&consumer);
    leat_consumer_destroy (&other);
    leat_client_destroy (&slow);
    leat_client_destroy (&quick);
    leat_producer_destroy (&producer);
    leat_admin_destroy (&admin);
}

static void *s_restart (void *arg)
{
    test_broker_start (arg);
    return NULL;
}

/* A question that found no broker waits for the next one; settings are there again. */
static void test_lost_broker (void **state)
{
    sample_t *self = *state;
    leat_admin_t *admin = s_admin (self);
    leat_stream_settings_t settings = { .max_attempts = 8 };
    assert_int_equal (leat_admin_stream_create (admin, "orders", &settings, SAMPLE_WAIT_MS), 0);
    test_broker_crash (self->broker);
    char *json;
    assert_int_equal (leat_admin_stream_list (admin, NULL, &json, 100), -1);
    assert_int_equal (errno, ETIMEDOUT);
    pthread_t thread;
    pthread_create (&thread, NULL, s_restart, self->broker);
    assert_int_equal (leat_admin_stream_list (admin, NULL, &json, SAMPLE_WAIT_MS), 0);
    pthread_join (thread, NULL);
    assert_non_null (strstr (json, "\"max_attempts\": 8"));
    free (json);

    /* The client may end first. */
    leat_client_t *client = sample_client (self->endpoint, NULL);
    leat_admin_t *orphan = leat_admin_new (client);
    leat_client_destroy (&client);
    assert_int_equal (leat_admin_stream_list (orphan, NULL, &json, -1), -1);
    assert_int_equal (errno, ESHUTDOWN);
    leat_admin_destroy (&orphan);
    leat_admin_destroy (&admin);
}

int main (void)
{
    const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown (name, sample_set_up, sample_tear_down)
        TEST (test_streams), TEST (test_groups),  TEST (test_cannot_be),
        TEST (test_drain),   TEST (test_overdue), TEST (test_lost_broker),
#undef TEST
    };
    return cmocka_run_group_tests (tests, NULL, NULL);
}

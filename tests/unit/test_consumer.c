/* Tests of leat_consumer_t and leat_worker_pool_t against the real core.
 * SPDX-License-Identifier: MPL-2.0 */
#include "tests/unit/client_sample.h"

#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>

#include <zmq.h>

static void s_publish (leat_client_t *client, const char *stream, uint64_t last)
{
    leat_producer_t *producer = leat_producer_new (client, stream, NULL);
    sample_send (producer, 1, last);
    assert_int_equal (leat_producer_flush (producer, SAMPLE_WAIT_MS), 0);
    leat_producer_destroy (&producer);
}

static leat_consumer_t *s_consumer (leat_client_t *client, const char *stream)
{
    leat_consumer_t *consumer = leat_consumer_new (client, stream, NULL);
    assert_non_null (consumer);
    return consumer;
}

static void s_receive (leat_consumer_t *consumer, leat_delivered_t *delivered)
{
    assert_int_equal (leat_consumer_receive (consumer, delivered, SAMPLE_WAIT_MS), 0);
}

/* The broker has settled so many records, sooner or later. */
static void s_await_settled (sample_t *self, uint64_t count)
{
    leat_statistics_t statistics;
    uint64_t until_us = leat_clock_us () + SAMPLE_WAIT_MS * 1000;
    do {
        test_broker_statistics (self->broker, &statistics);
        zmq_poll (NULL, 0, 1);
    } while (statistics.records_settled < count && leat_clock_us () < until_us);
    assert_int_equal (statistics.records_settled, count);
}

static void test_one_by_one (void **state)
{
    sample_t *self = *state;
    s_publish (self->client, "single", 20000);
    leat_consumer_t *consumer = s_consumer (self->client, "single");
    leat_delivered_t delivered;
    for (uint64_t n = 1; n <= 20000; n++) {
        s_receive (consumer, &delivered);
        sample_check_body (&delivered.record, n);
        assert_int_equal (delivered.offset, n - 1);
        assert_int_equal (delivered.attempt, 1);
        assert_false (delivered.redelivered);
        assert_true (delivered.epoch > 0 && delivered.time_ms > 0);
        assert_int_equal (leat_consumer_ack (consumer, &delivered), 0);
    }
    assert_int_equal (leat_consumer_receive (consumer, &delivered, 0), -1);
    assert_int_equal (errno, EAGAIN);
    assert_int_equal (leat_consumer_receive (consumer, &delivered, 5), -1);
    assert_int_equal (errno, ETIMEDOUT);
    assert_int_equal (leat_consumer_flush (consumer, SAMPLE_WAIT_MS), 0);
    s_await_settled (self, 20000);
    assert_int_equal (leat_consumer_wait_empty (consumer, SAMPLE_WAIT_MS), 0);
    assert_int_equal (leat_consumer_stale (consumer), 0);
    assert_int_equal (leat_consumer_damaged (consumer), 0);
    leat_consumer_destroy (&consumer);
    assert_null (consumer);
}

/* Polling without ever waiting gets everything too. */
static void test_without_waiting (void **state)
{
    sample_t *self = *state;
    s_publish (self->client, "polled", 500);
    leat_consumer_t *consumer = s_consumer (self->client, "polled");
    leat_delivered_t delivered;
    for (uint64_t n = 1; n <= 500;) {
        if (leat_consumer_receive (consumer, &delivered, 0) != 0) {
            assert_int_equal (errno, EAGAIN);
            continue;
        }
        sample_check_body (&delivered.record, n++);
        leat_consumer_ack (consumer, &delivered);
    }
    leat_consumer_destroy (&consumer);
}

static void test_in_batches (void **state)
{
    sample_t *self = *state;
    s_publish (self->client, "batched", 50000);
    leat_consumer_options_t options = { .batch_records = 100 };
    leat_consumer_t *consumer = leat_consumer_new (self->client, "batched", &options);
    uint8_t *seen = leat_alloc (50001);
    uint64_t acked = 0;
    while (acked < 50000) {
        leat_lease_t *lease = leat_consumer_receive_batch (consumer, SAMPLE_WAIT_MS);
        assert_non_null (lease);
        assert_in_range (leat_lease_count (lease), 1, 100);
        leat_delivered_t delivered;
        while (leat_lease_next (lease, &delivered)) {
            uint64_t n = delivered.offset + 1;
            sample_check_body (&delivered.record, n);
            /* Each 1000th record fails at first. */
            if (n % 1000 == 0 && delivered.attempt == 1) {
                assert_int_equal (leat_consumer_nack (consumer, &delivered, 1), 0);
                continue;
            }
            assert_int_equal (delivered.attempt, n % 1000 == 0 ? 2 : 1);
            assert_int_equal (seen[n]++, 0);
            acked++;
        }
        leat_lease_ack (&lease);
        assert_null (lease);
    }
    s_await_settled (self, 50000);
    leat_consumer_destroy (&consumer);
    free (seen);
}

/* A batch that is begun one by one is finished as a whole. */
static void test_mixes_both_ways (void **state)
{
    sample_t *self = *state;
    s_publish (self->client, "mixed", 5000);
    leat_consumer_t *consumer = s_consumer (self->client, "mixed");
    leat_delivered_t delivered;
    uint64_t n = 1;
    while (n <= 5000) {
        for (int count = 0; count < 7 && n <= 5000; count++, n++) {
            s_receive (consumer, &delivered);
            sample_check_body (&delivered.record, n);
            leat_consumer_ack (consumer, &delivered);
        }
        if (n > 5000)
            break;
        leat_lease_t *lease = leat_consumer_receive_batch (consumer, SAMPLE_WAIT_MS);
        assert_non_null (lease);
        for (; leat_lease_next (lease, &delivered); n++)
            sample_check_body (&delivered.record, n);
        leat_lease_ack (&lease);
    }
    s_await_settled (self, 5000);
    leat_consumer_destroy (&consumer);
}

static void test_every_outcome (void **state)
{
    sample_t *self = *state;
    s_publish (self->client, "outcomes", 4);
    leat_consumer_t *consumer = s_consumer (self->client, "outcomes");
    leat_delivered_t delivered;
    s_receive (consumer, &delivered);
    assert_int_equal (leat_consumer_ack (consumer, &delivered), 0);
    s_receive (consumer, &delivered);
    uint64_t epoch = delivered.epoch;
    assert_int_equal (leat_consumer_reject (consumer, &delivered, "bad \"stuff\""), 0);
    s_receive (consumer, &delivered);
    assert_int_equal (leat_consumer_give_back (consumer, &delivered), 0);
    s_receive (consumer, &delivered);
    uint64_t nacked_us = leat_clock_us ();
    assert_int_equal (delivered.offset, 3);
    assert_int_equal (leat_consumer_nack (consumer, &delivered, 300), 0);

    s_receive (consumer, &delivered); /* was given back */
    sample_check_body (&delivered.record, 3);
    assert_int_equal (delivered.attempt, 1);
    assert_false (delivered.redelivered);
    leat_consumer_ack (consumer, &delivered);
    s_receive (consumer, &delivered); /* was nacked */
    sample_check_body (&delivered.record, 4);
    /* The broker counts from the turn in which the nack came, which may have begun before it. */
    assert_true (leat_clock_us () - nacked_us >= 150 * 1000);
    assert_int_equal (delivered.attempt, 2);
    assert_true (delivered.epoch > epoch);
    leat_consumer_ack (consumer, &delivered);
    assert_int_equal (leat_consumer_wait_empty (consumer, SAMPLE_WAIT_MS), 0);
    leat_consumer_destroy (&consumer);

    leat_consumer_t *dead = s_consumer (self->client, "outcomes.dead");
    s_receive (dead, &delivered);
    sample_check_body (&delivered.record, 2);
    bool has_reason = false;
    leat_header_t header;
    size_t position = 0;
    while (leat_headers_next (&delivered.record, &position, &header))
        has_reason |= header.value_size == 11 && memcmp (header.value, "bad \"stuff\"", 11) == 0;
    assert_true (has_reason);
    leat_consumer_ack (dead, &delivered);
    leat_consumer_destroy (&dead);
}

/* Of records that nobody received, none is marked as having been started. */
static void test_hands_over_only_what_is_started (void **state)
{
    sample_t *self = *state;
    s_publish (self->client, "careful", 1000);
    leat_client_t *client = sample_client (self->endpoint, NULL);
    leat_consumer_t *slow = s_consumer (client, "careful");
    leat_delivered_t delivered;
    for (uint64_t n = 1; n <= 5; n++) {
        s_receive (slow, &delivered);
        sample_check_body (&delivered.record, n);
        if (n < 5) {
            zmq_poll (NULL, 0, 3); /* the work */
            leat_consumer_ack (slow, &delivered);
        }
    }
    assert_int_equal (leat_consumer_flush (slow, SAMPLE_WAIT_MS), 0);
    /* It dies with one record in its hands: its broker session is taken by another connection. */
    leat_client_options_t options = { .endpoints = self->endpoint,
                                      .identity = leat_client_identity (client) };
    leat_client_t *other = leat_client_new (&options);
    assert_int_equal (leat_client_wait (other, SAMPLE_WAIT_MS), 0);
    leat_consumer_t *consumer = s_consumer (other, "careful");
    uint64_t seen = 0, redelivered = 0;
    leat_consumer_ask_empty (consumer);
    while (leat_consumer_receive (consumer, &delivered, SAMPLE_WAIT_MS) == 0) {
        sample_check_body (&delivered.record, delivered.offset + 1);
        if (delivered.redelivered) {
            assert_in_range (delivered.offset, 4, 5);
            redelivered++;
        }
        seen++;
        leat_consumer_ack (consumer, &delivered);
    }
    assert_int_equal (errno, ENODATA);
    assert_int_equal (seen, 996);
    assert_in_range (redelivered, 1, 2); /* one may be started without a report */
    leat_consumer_destroy (&slow);
    leat_client_destroy (&client);
    leat_consumer_destroy (&consumer);
    leat_client_destroy (&other);
}

/* While one works on a record, the next one lies ready for it, and goes to another all the same. */
static void test_gives_back_what_is_staged (void **state)
{
    sample_t *self = *state;
    s_publish (self->client, "staged", 20);
    leat_client_t *client = sample_client (self->endpoint, NULL);
    leat_consumer_t *busy = s_consumer (client, "staged");
    leat_delivered_t held, delivered;
    s_receive (busy, &held);
    leat_consumer_t *quick = s_consumer (self->client, "staged");
    bool seen[21] = { false };
    for (int count = 1; count < 20; count++) {
        s_receive (quick, &delivered);
        uint64_t n = delivered.offset + 1;
        sample_check_body (&delivered.record, n);
        assert_false (seen[n] || delivered.redelivered || delivered.attempt > 1);
        seen[n] = true;
        leat_consumer_ack (quick, &delivered);
    }
    sample_check_body (&held.record, 1);
    leat_consumer_ack (busy, &held);
    assert_int_equal (leat_consumer_receive (busy, &delivered, 0), -1);
    s_await_settled (self, 20);
    assert_int_equal (leat_consumer_stale (busy), 0);
    leat_consumer_destroy (&busy);
    leat_consumer_destroy (&quick);
    leat_client_destroy (&client);
}

/* Nor is a settle forgotten because its application does not come for what is staged. */
static void test_settles_beside_what_is_staged (void **state)
{
    sample_t *self = *state;
    s_publish (self->client, "apart", 3);
    leat_consumer_t *consumer = s_consumer (self->client, "apart");
    leat_delivered_t delivered;
    for (uint64_t n = 1; n <= 2; n++) {
        s_receive (consumer, &delivered);
        sample_check_body (&delivered.record, n);
        zmq_poll (NULL, 0, 5); /* the work */
        leat_consumer_ack (consumer, &delivered);
        s_await_settled (self, n);
    }
    leat_consumer_destroy (&consumer);
}

/* Who is busy for longer than the heartbeat timeout keeps the lease. */
static void test_a_handler_may_block (void **state)
{
    sample_t *self = *state;
    s_publish (self->client, "blocked", 1);
    leat_consumer_t *consumer = s_consumer (self->client, "blocked");
    leat_delivered_t delivered;
    s_receive (consumer, &delivered);
    zmq_poll (NULL, 0, TEST_BROKER_TIMEOUT_MS + 500);
    leat_consumer_ack (consumer, &delivered);
    assert_int_equal (leat_consumer_flush (consumer, SAMPLE_WAIT_MS), 0);
    assert_int_equal (leat_consumer_stale (consumer), 0);
    assert_int_equal (leat_client_losses (self->client), 0);
    s_await_settled (self, 1);
    leat_consumer_destroy (&consumer);
}

/* ---- losing the broker ----------------------------------------------------------------------- */

static void test_survives_restarts (void **state)
{
    sample_t *self = *state;
    enum { LAST = 3000 };
    s_publish (self->client, "restarts", LAST);
    leat_consumer_t *consumer = s_consumer (self->client, "restarts");
    uint8_t *seen = leat_alloc (LAST + 1);
    leat_delivered_t delivered;
    uint64_t missing = LAST;
    for (uint64_t count = 1; missing > 0; count++) {
        s_receive (consumer, &delivered);
        uint64_t n = delivered.offset + 1;
        sample_check_body (&delivered.record, n);
        missing -= seen[n]++ == 0;
        if (count % 700 == 0) {
            test_broker_crash (self->broker);
            test_broker_start (self->broker);
        }
        leat_consumer_ack (consumer, &delivered); /* too late at times */
        if (count % 700 == 500)
            assert_int_equal (leat_consumer_flush (consumer, SAMPLE_WAIT_MS), 0);
    }
    assert_true (leat_client_losses (self->client) >= 3);
    leat_consumer_ask_empty (consumer);
    while (leat_consumer_receive (consumer, &delivered, SAMPLE_WAIT_MS) == 0) {
        sample_check_body (&delivered.record, delivered.offset + 1);
        leat_consumer_ack (consumer, &delivered);
    }
    assert_int_equal (errno, ENODATA);
    leat_consumer_destroy (&consumer);
    free (seen);
}

static void test_counts_what_is_stale (void **state)
{
    sample_t *self = *state;
    s_publish (self->client, "stale", 1);
    leat_consumer_t *consumer = s_consumer (self->client, "stale");
    leat_delivered_t first, second;
    s_receive (consumer, &first);
    test_broker_crash (self->broker);
    test_broker_start (self->broker);
    s_receive (consumer, &second);
    sample_check_body (&second.record, 1);
    sample_check_body (&first.record, 1); /* views last until they are settled */
    assert_true (second.epoch > first.epoch);
    assert_int_equal (leat_consumer_ack (consumer, &first), 0);
    assert_int_equal (leat_consumer_ack (consumer, &second), 0);
    assert_int_equal (leat_consumer_flush (consumer, SAMPLE_WAIT_MS), 0);
    assert_int_equal (leat_consumer_stale (consumer), 1);
    leat_consumer_destroy (&consumer);
}

/* ---- leaving --------------------------------------------------------------------------------- */

static void test_leaves_in_order (void **state)
{
    sample_t *self = *state;
    s_publish (self->client, "leaves", 1000);
    leat_consumer_t *consumer = s_consumer (self->client, "leaves");
    leat_delivered_t held, delivered;
    s_receive (consumer, &held);
    assert_int_equal (leat_consumer_leave (consumer, 0), -1);
    assert_int_equal (errno, ETIMEDOUT);
    assert_int_equal (leat_consumer_receive (consumer, &delivered, -1), -1);
    assert_int_equal (errno, ESHUTDOWN);
    assert_int_equal (leat_consumer_wait_empty (consumer, -1), -1);
    assert_int_equal (errno, ESHUTDOWN);

    /* Somebody else is given the rest, as if it had never been anywhere. */
    leat_consumer_t *other = s_consumer (self->client, "leaves");
    for (uint64_t count = 1; count < 1000; count++) {
        s_receive (other, &delivered);
        sample_check_body (&delivered.record, delivered.offset + 1);
        assert_true (delivered.offset > 0);
        assert_int_equal (delivered.attempt, 1);
        assert_false (delivered.redelivered);
        leat_consumer_ack (other, &delivered);
    }
    sample_check_body (&held.record, 1);
    leat_consumer_ack (consumer, &held);
    assert_int_equal (leat_consumer_leave (consumer, SAMPLE_WAIT_MS), 0);
    assert_int_equal (leat_consumer_wait_empty (other, SAMPLE_WAIT_MS), 0);
    leat_consumer_destroy (&consumer);
    leat_consumer_destroy (&other);
}

/* What was received and not settled is nacked by the end, what was not received is not. */
static void test_destroyed_with_records (void **state)
{
    sample_t *self = *state;
    s_publish (self->client, "dropped", 100);
    leat_consumer_t *consumer = s_consumer (self->client, "dropped");
    leat_delivered_t delivered;
    for (int count = 0; count < 3; count++)
        s_receive (consumer, &delivered);
    leat_consumer_destroy (&consumer);
    consumer = s_consumer (self->client, "dropped");
    for (int count = 0; count < 100; count++) {
        s_receive (consumer, &delivered);
        sample_check_body (&delivered.record, delivered.offset + 1);
        assert_int_equal (delivered.attempt, delivered.offset < 3 ? 2 : 1);
        leat_consumer_ack (consumer, &delivered);
    }
    assert_int_equal (leat_consumer_wait_empty (consumer, SAMPLE_WAIT_MS), 0);
    leat_consumer_destroy (&consumer);
}

static void test_leaves_when_drained (void **state)
{
    sample_t *self = *state;
    leat_consumer_t *consumer = s_consumer (self->client, "drained");
    assert_int_equal (leat_consumer_wait_empty (consumer, SAMPLE_WAIT_MS), 0); /* is attached */
    assert_false (leat_consumer_drained (consumer));
    test_broker_drain (self->broker);
    leat_delivered_t delivered;
    while (leat_consumer_receive (consumer, &delivered, -1) == 0 || errno == ENODATA)
        continue;
    assert_int_equal (errno, ESHUTDOWN);
    assert_true (leat_consumer_drained (consumer));
    assert_int_equal (leat_consumer_leave (consumer, SAMPLE_WAIT_MS), 0);
    leat_consumer_destroy (&consumer);
}

static void test_refuses_what_cannot_be (void **state)
{
    sample_t *self = *state;
    errno = 0;
    assert_null (leat_consumer_new (self->client, "no name", NULL));
    assert_int_equal (errno, EINVAL);
    leat_consumer_options_t options = { .group = "-group" };
    errno = 0;
    assert_null (leat_consumer_new (self->client, "stream", &options));
    assert_int_equal (errno, EINVAL);
    options = (leat_consumer_options_t){ .must_exist = true };
    leat_consumer_t *consumer = leat_consumer_new (self->client, "absent", &options);
    leat_delivered_t delivered;
    assert_int_equal (leat_consumer_receive (consumer, &delivered, SAMPLE_WAIT_MS), -1);
    assert_int_equal (errno, EPIPE);
    char text[512];
    assert_int_equal (leat_consumer_error (consumer, text, sizeof text), LEAT_NO_SUCH_STREAM);
    assert_non_null (strstr (text, "absent"));
    leat_consumer_destroy (&consumer);
}

/* ---- workers --------------------------------------------------------------------------------- */

typedef struct {
    atomic_uint seen[5001];
    atomic_uint running;
    atomic_uint running_max;
    atomic_bool is_wrong;
    unsigned work_ms;
} s_work_t;

static leat_outcome_t s_handle (void *arg, const leat_delivered_t *delivered,
                                leat_verdict_t *verdict)
{
    s_work_t *work = arg;
    unsigned running = atomic_fetch_add (&work->running, 1) + 1;
    if (running > atomic_load (&work->running_max))
        atomic_store (&work->running_max, running);
    uint64_t n = delivered->offset + 1;
    uint8_t body[512];
    size_t size = sample_body (body, sizeof body, n);
    if (delivered->record.body_size != size || memcmp (delivered->record.body, body, size) != 0)
        atomic_store (&work->is_wrong, true);
    sigset_t mask;
    pthread_sigmask (SIG_SETMASK, NULL, &mask);
    if (!sigismember (&mask, SIGINT) || !sigismember (&mask, SIGTERM))
        atomic_store (&work->is_wrong, true);
    if (work->work_ms > 0)
        zmq_poll (NULL, 0, work->work_ms);
    leat_outcome_t outcome = LEAT_ACK;
    if (n % 500 == 1 && delivered->attempt == 1) {
        verdict->delay_ms = 1;
        outcome = LEAT_NACK;
    } else if (n % 500 == 2) {
        verdict->reason = "two";
        outcome = LEAT_REJECT;
        atomic_fetch_add (&work->seen[n], 1);
    } else {
        atomic_fetch_add (&work->seen[n], 1);
    }
    atomic_fetch_sub (&work->running, 1);
    return outcome;
}

static void test_workers (void **state)
{
    sample_t *self = *state;
    s_publish (self->client, "worked", 5000);
    s_work_t *work = leat_alloc (sizeof *work);
    leat_consumer_t *consumer = s_consumer (self->client, "worked");
    leat_consumer_ask_empty (consumer);
    leat_worker_pool_t *pool = leat_worker_pool_new (consumer, 4, s_handle, work);
    assert_non_null (pool);
    assert_int_equal (leat_worker_pool_wait (pool), ENODATA);
    leat_worker_pool_destroy (&pool);
    for (uint64_t n = 1; n <= 5000; n++)
        assert_int_equal (atomic_load (&work->seen[n]), 1);
    assert_false (atomic_load (&work->is_wrong));
    leat_consumer_destroy (&consumer);
    leat_statistics_t statistics;
    test_broker_statistics (self->broker, &statistics);
    assert_int_equal (statistics.records_dead, 10);
    free (work);
}

/* Handlers that block longer than the heartbeat timeout run side by side and keep their leases; the
 * pool's end waits for them, and no other record is touched. */
static void test_workers_may_block (void **state)
{
    sample_t *self = *state;
    s_publish (self->client, "slow", 499);
    s_work_t *work = leat_alloc (sizeof *work);
    work->work_ms = TEST_BROKER_TIMEOUT_MS + 500;
    leat_consumer_t *consumer = s_consumer (self->client, "slow");
    leat_worker_pool_t *pool = leat_worker_pool_new (consumer, 8, s_handle, work);
    while (atomic_load (&work->running) < 8)
        zmq_poll (NULL, 0, 1);
    leat_worker_pool_destroy (&pool);
    assert_int_equal (atomic_load (&work->running), 0);
    assert_int_equal (atomic_load (&work->running_max), 8);
    assert_false (atomic_load (&work->is_wrong));
    assert_int_equal (leat_consumer_leave (consumer, SAMPLE_WAIT_MS), 0);
    assert_int_equal (leat_consumer_stale (consumer), 0);
    leat_consumer_destroy (&consumer);

    /* The others come first and only once. */
    leat_delivered_t delivered;
    consumer = s_consumer (self->client, "slow");
    leat_consumer_ask_empty (consumer);
    unsigned rest = 0;
    while (leat_consumer_receive (consumer, &delivered, SAMPLE_WAIT_MS) == 0) {
        sample_check_body (&delivered.record, delivered.offset + 1);
        assert_int_equal (atomic_load (&work->seen[delivered.offset + 1]), 0);
        assert_true (delivered.offset == 0 || !delivered.redelivered); /* 0 was nacked */
        rest++;
        leat_consumer_ack (consumer, &delivered);
    }
    assert_int_equal (errno, ENODATA);
    unsigned handled = 0;
    for (uint64_t n = 1; n <= 499; n++)
        handled += atomic_load (&work->seen[n]);
    assert_in_range (handled, 7, 50); /* the first is nacked */
    assert_int_equal (rest, 499 - handled);
    leat_consumer_destroy (&consumer);
    free (work);
}

int main (void)
{
#define TEST(function) cmocka_unit_test_setup_teardown (function, sample_set_up, sample_tear_down)
    const struct CMUnitTest tests[] = {
        TEST (test_one_by_one),
        TEST (test_without_waiting),
        TEST (test_in_batches),
        TEST (test_mixes_both_ways),
        TEST (test_every_outcome),
        TEST (test_hands_over_only_what_is_started),
        TEST (test_gives_back_what_is_staged),
        TEST (test_settles_beside_what_is_staged),
        TEST (test_a_handler_may_block),
        TEST (test_survives_restarts),
        TEST (test_counts_what_is_stale),
        TEST (test_leaves_in_order),
        TEST (test_destroyed_with_records),
        TEST (test_leaves_when_drained),
        TEST (test_refuses_what_cannot_be),
        TEST (test_workers),
        TEST (test_workers_may_block),
    };
    return cmocka_run_group_tests (tests, NULL, NULL);
}

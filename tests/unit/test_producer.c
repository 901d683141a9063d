/* Tests of leat_producer_t against the real core.
 * SPDX-License-Identifier: MPL-2.0 */
#include "tests/unit/client_sample.h"

#include <stdatomic.h>

#include <zmq.h>

static leat_producer_t *s_producer (leat_client_t *client, const char *stream,
                                    leat_producer_options_t options)
{
    leat_producer_t *producer = leat_producer_new (client, stream, &options);
    assert_non_null (producer);
    return producer;
}

static void test_sends_and_confirms (void **state)
{
    sample_t *self = *state;
    leat_producer_t *producer = leat_producer_new (self->client, "plain", NULL);
    sample_send (producer, 1, 1); /* a lone one */
    assert_int_equal (leat_producer_flush (producer, SAMPLE_WAIT_MS), 0);
    assert_int_equal (leat_producer_confirmed (producer), 1);
    sample_send (producer, 2, 50000);
    assert_int_equal (leat_producer_sent (producer), 50000);
    assert_int_equal (leat_producer_flush (producer, SAMPLE_WAIT_MS), 0);
    assert_int_equal (leat_producer_confirmed (producer), 50000);
    leat_producer_destroy (&producer);
    assert_null (producer);
    sample_check_stream (self->client, "plain", 50000);
}

static void s_free_block (void *hint)
{
    atomic_int *freed = *(atomic_int **) hint;
    atomic_fetch_add (freed, 1);
    free (hint);
}

/* Record n in each way that there is; extended ones come in between. */
static void s_send_somehow (leat_producer_t *producer, uint64_t n, atomic_int *freed)
{
    uint8_t body[512];
    size_t size = sample_body (body, sizeof body, n);
    if (n % 4 == 0) {
        void *place = leat_producer_reserve (producer, sizeof body);
        assert_non_null (place);
        memcpy (place, body, size);
        leat_producer_commit (producer, size);
    } else if (n % 4 == 1) {
        atomic_int **block = malloc (sizeof *block + LEAT_HEADROOM + size);
        *block = freed;
        memcpy ((uint8_t *) (block + 1) + LEAT_HEADROOM, body, size);
        /* The block that is lent begins behind the pointer, the hint is all of it. */
        assert_int_equal (
            leat_producer_send_buffer (producer, block + 1, size, s_free_block, block), 0);
    } else if (n % 4 == 2 && n > 100) {
        uint8_t headers[64];
        size_t headers_size = 0;
        assert_int_equal (
            leat_headers_add (headers, sizeof headers, &headers_size, "number", &n, sizeof n), 0);
        leat_record_t record = { .body = body,
                                 .body_size = size,
                                 .key = (const uint8_t *) "key",
                                 .key_size = 3,
                                 .headers = headers,
                                 .headers_size = headers_size };
        assert_int_equal (leat_producer_send_record (producer, &record), 0);
    } else {
        sample_send (producer, n, n);
    }
}

static void test_every_way_to_send (void **state)
{
    sample_t *self = *state;
    enum { LAST = 2000 };
    atomic_int freed = 0;
    leat_producer_t *producer = leat_producer_new (self->client, "ways", NULL);
    for (uint64_t n = 1; n <= LAST; n++)
        s_send_somehow (producer, n, &freed);
    assert_int_equal (leat_producer_flush (producer, SAMPLE_WAIT_MS), 0);
    leat_producer_destroy (&producer);

    leat_consumer_t *consumer = leat_consumer_new (self->client, "ways", NULL);
    leat_delivered_t delivered;
    for (uint64_t n = 1; n <= LAST; n++) {
        assert_int_equal (leat_consumer_receive (consumer, &delivered, SAMPLE_WAIT_MS), 0);
        sample_check_body (&delivered.record, n);
        bool has_key = n % 4 == 2 && n > 100;
        assert_int_equal (delivered.record.key_size, has_key ? 3 : 0);
        if (has_key) {
            leat_header_t header;
            assert_memory_equal (delivered.record.key, "key", 3);
            assert_false (leat_headers_find (&delivered.record, "numb", &header));
            assert_true (leat_headers_find (&delivered.record, "number", &header));
            assert_memory_equal (header.value, &n, sizeof n);
        }
        assert_int_equal (leat_consumer_ack (consumer, &delivered), 0);
        assert_int_equal (leat_consumer_ack (consumer, &delivered), -1);
        assert_int_equal (errno, EALREADY);
    }
    leat_consumer_destroy (&consumer);
    leat_client_destroy (&self->client);
    assert_int_equal (atomic_load (&freed), LAST / 4);
}

static void test_refuses_what_is_too_large (void **state)
{
    sample_t *self = *state;
    enum { LIMIT = 1024 * 1024 };
    uint8_t *large = leat_alloc (LIMIT + 1);
    leat_producer_t *producer = leat_producer_new (self->client, "large", NULL);
    assert_int_equal (leat_producer_send (producer, large, LIMIT + 1), -1);
    assert_int_equal (errno, EMSGSIZE);
    assert_null (leat_producer_reserve (producer, LIMIT + 1));
    assert_int_equal (errno, EMSGSIZE);
    leat_record_t record = {
        .body = large, .body_size = LIMIT, .key = (const uint8_t *) "k", .key_size = 1
    };
    assert_int_equal (leat_producer_send_record (producer, &record), -1);
    assert_int_equal (errno, EMSGSIZE);
    record = (leat_record_t){ .headers = (const uint8_t *) "\001\377\377x", .headers_size = 4 };
    assert_int_equal (leat_producer_send_record (producer, &record), -1);
    assert_int_equal (errno, EINVAL);
    assert_int_equal (leat_producer_sent (producer), 0);
    assert_int_equal (leat_producer_send (producer, large, LIMIT), 0);
    assert_int_equal (leat_producer_flush (producer, SAMPLE_WAIT_MS), 0);
    assert_int_equal (leat_producer_confirmed (producer), 1);
    leat_producer_destroy (&producer);
    free (large);
}

static void test_refuses_what_cannot_be (void **state)
{
    sample_t *self = *state;
    errno = 0;
    assert_null (leat_producer_new (self->client, "no name", NULL));
    assert_int_equal (errno, EINVAL);
    leat_producer_t *producer = leat_producer_new (self->client, "once", NULL);
    assert_null (leat_producer_new (self->client, "once", NULL));
    assert_int_equal (errno, EBUSY);
    leat_producer_destroy (&producer);

    /* What the broker refuses shows later. */
    producer = s_producer (self->client, "absent", (leat_producer_options_t){ .must_exist = true });
    uint64_t known;
    assert_int_equal (leat_producer_known (producer, &known, SAMPLE_WAIT_MS), -1);
    assert_int_equal (errno, EPIPE);
    char text[512];
    assert_int_equal (leat_producer_error (producer, text, sizeof text), LEAT_NO_SUCH_STREAM);
    assert_non_null (strstr (text, "absent"));
    assert_int_equal (leat_producer_send (producer, "x", 1), -1);
    assert_int_equal (errno, EPIPE);
    leat_producer_destroy (&producer);
}

/* ---- the window ------------------------------------------------------------------------------ */

static leat_producer_options_t s_small_window (void)
{
    return (leat_producer_options_t){ .window_size = 64 * 1024 };
}

/* Fills the window and returns how many records fit. */
static uint64_t s_fill (leat_producer_t *producer)
{
    uint8_t body[512];
    uint64_t n = 1;
    while (leat_producer_send (producer, body, sample_body (body, sizeof body, n)) == 0)
        n++;
    return n - 1;
}

static void test_a_full_window_fails (void **state)
{
    sample_t *self = *state;
    test_broker_hold_store (self->broker, true);
    leat_producer_options_t options = s_small_window ();
    options.fail_when_full = true;
    leat_producer_t *producer = s_producer (self->client, "full", options);
    uint64_t fit = s_fill (producer);
    assert_int_equal (errno, EAGAIN);
    assert_true (fit > 100 && fit < 1000);
    assert_int_equal (leat_producer_flush (producer, 20), -1);
    assert_int_equal (errno, ETIMEDOUT);
    test_broker_hold_store (self->broker, false);
    assert_int_equal (leat_producer_flush (producer, SAMPLE_WAIT_MS), 0);
    sample_send (producer, fit + 1, fit + 100);
    assert_int_equal (leat_producer_flush (producer, SAMPLE_WAIT_MS), 0);
    leat_producer_destroy (&producer);
    sample_check_stream (self->client, "full", fit + 100);
}

static void test_a_full_window_times_out (void **state)
{
    sample_t *self = *state;
    test_broker_hold_store (self->broker, true);
    leat_producer_options_t options = s_small_window ();
    options.send_timeout_ms = 30;
    leat_producer_t *producer = s_producer (self->client, "late", options);
    uint64_t before_us = leat_clock_us ();
    uint64_t fit = s_fill (producer);
    assert_int_equal (errno, ETIMEDOUT);
    assert_true (leat_clock_us () - before_us >= 30 * 1000);
    test_broker_hold_store (self->broker, false);
    assert_int_equal (leat_producer_flush (producer, SAMPLE_WAIT_MS), 0);
    leat_producer_destroy (&producer);
    sample_check_stream (self->client, "late", fit);
}

static void test_a_full_window_blocks (void **state)
{
    sample_t *self = *state;
    leat_producer_t *producer = s_producer (self->client, "blocks", s_small_window ());
    sample_send (producer, 1, 20000); /* some fifty windows */
    assert_int_equal (leat_producer_flush (producer, SAMPLE_WAIT_MS), 0);
    leat_producer_destroy (&producer);
    sample_check_stream (self->client, "blocks", 20000);
}

/* How many batches the records [1, last] of a stream came in; all are acked. */
static uint64_t s_count_batches (leat_client_t *client, const char *stream, uint64_t last)
{
    leat_consumer_t *consumer = leat_consumer_new (client, stream, NULL);
    uint64_t n = 0;
    uint64_t batches = 0;
    while (n < last) {
        leat_lease_t *lease = leat_consumer_receive_batch (consumer, SAMPLE_WAIT_MS);
        assert_non_null (lease);
        leat_delivered_t delivered;
        while (leat_lease_next (lease, &delivered))
            sample_check_body (&delivered.record, ++n);
        leat_lease_ack (&lease);
        batches++;
    }
    assert_int_equal (n, last);
    leat_consumer_destroy (&consumer);
    return batches;
}

/* Who waited for room fills batches then. They may take a minute for it, but nobody has to wait for
 * that: neither for room, nor for a confirmation, nor for the end. */
static void test_a_full_window_fills_batches (void **state)
{
    sample_t *self = *state;
    enum { LAST = 20000, BATCH_SIZE = 16 * 1024, RECORD_SIZE = 4 + 11 + 5 + 300 / 2 };
    leat_producer_options_t options = s_small_window ();
    options.batch_size = BATCH_SIZE;
    options.linger_us = 60 * 1000 * 1000;
    leat_producer_t *producer = s_producer (self->client, "fills", options);
    sample_send (producer, 1, LAST);
    assert_int_equal (leat_producer_flush (producer, SAMPLE_WAIT_MS), 0);
    uint64_t batches = s_count_batches (self->client, "fills", LAST);
    assert_in_range (batches, 1, LAST * RECORD_SIZE / BATCH_SIZE * 5 / 4);
    sample_send (producer, LAST + 1, LAST + 1000);
    leat_producer_destroy (&producer);
    leat_consumer_t *consumer = leat_consumer_new (self->client, "fills", NULL);
    leat_delivered_t delivered;
    for (uint64_t n = LAST + 1; n <= LAST + 1000; n++) {
        assert_int_equal (leat_consumer_receive (consumer, &delivered, SAMPLE_WAIT_MS), 0);
        sample_check_body (&delivered.record, n);
        leat_consumer_ack (consumer, &delivered);
    }
    leat_consumer_destroy (&consumer);
}

/* The records [1, last] are all written before any is confirmed. */
static void s_send_behind (sample_t *self, leat_producer_t *producer, uint64_t last)
{
    test_broker_hold_store (self->broker, true);
    sample_send (producer, 1, last);
    test_broker_hold_store (self->broker, false);
    assert_int_equal (leat_producer_flush (producer, SAMPLE_WAIT_MS), 0);
}

/* Batches are larger while no other producer wants room in the session's window. */
static void test_alone_makes_large_batches (void **state)
{
    sample_t *self = *state;
    enum { LAST = 100000, RECORD_SIZE = 4 + 11 + 6 + 300 / 2, SIZE = 256 * 1024 };
    const uint64_t least = (uint64_t) LAST * RECORD_SIZE / SIZE; /* batches of that size */
    leat_producer_options_t options = { .linger_us = 60 * 1000 * 1000 };
    leat_producer_t *producer = s_producer (self->client, "alone", options);
    s_send_behind (self, producer, LAST);
    leat_producer_destroy (&producer);
    assert_in_range (s_count_batches (self->client, "alone", LAST), 1, least - 1);

    producer = s_producer (self->client, "shares", options);
    leat_producer_t *other = s_producer (self->client, "other", options);
    s_send_behind (self, producer, LAST);
    leat_producer_destroy (&producer);
    leat_producer_destroy (&other);
    assert_in_range (s_count_batches (self->client, "shares", LAST), least, LAST);
}

static void test_a_window_below_a_batch (void **state)
{
    sample_t *self = *state;
    leat_producer_options_t options = s_small_window ();
    options.linger_us = 60 * 1000 * 1000;
    leat_producer_t *producer = s_producer (self->client, "below", options);
    sample_send (producer, 1, 5000);
    leat_producer_destroy (&producer);
    sample_check_stream (self->client, "below", 5000);
}

/* ---- confirmations --------------------------------------------------------------------------- */

typedef struct {
    uint64_t last;
    uint64_t offset;
    unsigned calls;
    bool has_failed;
} s_heard_t;

static void s_hear (void *arg, uint64_t sequence, uint64_t offset)
{
    s_heard_t *heard = arg;
    heard->has_failed |= sequence <= heard->last;
    heard->last = sequence;
    heard->offset = offset;
    heard->calls++;
}

static void test_tells_of_confirmations (void **state)
{
    sample_t *self = *state;
    s_heard_t heard = { 0 };
    leat_producer_t *producer = s_producer (
        self->client, "heard", (leat_producer_options_t){ .confirmed = s_hear, .arg = &heard });
    for (uint64_t n = 1; n <= 20; n++) {
        sample_send (producer, n, n);
        assert_int_equal (leat_producer_flush (producer, SAMPLE_WAIT_MS), 0);
        assert_int_equal (heard.last, n);
        assert_int_equal (heard.offset, n - 1);
    }
    sample_send (producer, 21, 30000);
    assert_int_equal (leat_producer_flush (producer, SAMPLE_WAIT_MS), 0);
    leat_producer_destroy (&producer);
    assert_int_equal (heard.last, 30000);
    assert_false (heard.has_failed);
    assert_true (heard.calls >= 21 && heard.calls < 30000);
}

/* ---- identities ------------------------------------------------------------------------------ */

static void test_replays_only_what_is_missing (void **state)
{
    sample_t *self = *state;
    leat_producer_options_t options = { .numbering = LEAT_REPLAY };
    leat_client_t *client = sample_client (self->endpoint, "rerun");
    leat_producer_t *producer = s_producer (client, "replay", options);
    uint64_t known = 7;
    assert_int_equal (leat_producer_known (producer, &known, SAMPLE_WAIT_MS), 0);
    assert_int_equal (known, 0);
    sample_send (producer, 1, 1000);
    assert_int_equal (leat_producer_flush (producer, SAMPLE_WAIT_MS), 0);
    leat_client_destroy (&client);
    leat_producer_destroy (&producer);

    /* All over again, without asking. */
    client = sample_client (self->endpoint, "rerun");
    producer = s_producer (client, "replay", options);
    sample_send (producer, 1, 1500);
    assert_int_equal (leat_producer_flush (producer, SAMPLE_WAIT_MS), 0);
    leat_client_destroy (&client);
    leat_producer_destroy (&producer);

    /* And with asking and passing over. */
    client = sample_client (self->endpoint, "rerun");
    producer = s_producer (client, "replay", options);
    assert_int_equal (leat_producer_known (producer, &known, SAMPLE_WAIT_MS), 0);
    assert_int_equal (known, 1500);
    assert_int_equal (leat_producer_skip (producer, 1501), -1);
    assert_int_equal (errno, EINVAL);
    assert_int_equal (leat_producer_skip (producer, 1400), 0);
    sample_send (producer, 1401, 2000);
    assert_int_equal (leat_producer_flush (producer, SAMPLE_WAIT_MS), 0);
    assert_int_equal (leat_producer_confirmed (producer), 2000);
    leat_client_destroy (&client);
    leat_producer_destroy (&producer);
    sample_check_stream (self->client, "replay", 2000);
}

/* The next producer for the stream goes on where the last one ended, whether in the same client or
 * in a later one. */
static void test_continues (void **state)
{
    sample_t *self = *state;
    uint64_t n = 1;
    for (int run = 0; run < 3; run++) {
        leat_client_t *client = sample_client (self->endpoint, "continues");
        for (int round = 0; round < 3; round++, n += 100) {
            leat_producer_t *producer = leat_producer_new (client, "continued", NULL);
            assert_non_null (producer);
            sample_send (producer, n, n + 99);
            assert_int_equal (leat_producer_flush (producer, SAMPLE_WAIT_MS), 0);
            assert_int_equal (leat_producer_confirmed (producer), 100);
            leat_producer_destroy (&producer);
        }
        leat_client_destroy (&client);
    }
    sample_check_stream (self->client, "continued", n - 1);
}

/* ---- adversity ------------------------------------------------------------------------------- */

static void test_survives_restarts (void **state)
{
    sample_t *self = *state;
    leat_producer_t *producer = leat_producer_new (self->client, "restarts", NULL);
    uint64_t n = 1;
    for (int round = 0; round < 10; round++, n += 5000) {
        sample_send (producer, n, n + 4999);
        while (leat_producer_confirmed (producer) < n)
            zmq_poll (NULL, 0, 1);
        if (round % 3 == 1)
            test_broker_stop (self->broker);
        else
            test_broker_crash (self->broker);
        test_broker_start (self->broker);
    }
    assert_int_equal (leat_producer_flush (producer, SAMPLE_WAIT_MS), 0);
    assert_true (leat_client_losses (self->client) >= 9); /* the last may be seen later */
    leat_producer_destroy (&producer);
    sample_check_stream (self->client, "restarts", n - 1);
}

/* Destroyed while nothing is confirmed: the client goes on, and ends when all is. */
static void test_destroyed_with_unconfirmed (void **state)
{
    sample_t *self = *state;
    test_broker_hold_store (self->broker, true);
    leat_client_t *client = sample_client (self->endpoint, NULL);
    leat_producer_t *producer = leat_producer_new (client, "left", NULL);
    sample_send (producer, 1, 10000);
    leat_producer_destroy (&producer);
    producer = leat_producer_new (client, "left", NULL); /* waits for its turn */
    assert_non_null (producer);
    sample_send (producer, 10001, 10010);
    test_broker_hold_store (self->broker, false);
    leat_producer_destroy (&producer);
    leat_client_destroy (&client);
    sample_check_stream (self->client, "left", 10010);
}

/* And without a broker the end comes after closing_timeout_ms. */
static void test_destroyed_without_a_broker (void **state)
{
    char endpoint[128];
    test_broker_endpoint (endpoint, sizeof endpoint, 902);
    leat_client_t *client = leat_client_new (
        &(leat_client_options_t){ .endpoints = endpoint, .closing_timeout_ms = 50 });
    leat_producer_t *producer = leat_producer_new (client, "nowhere", NULL);
    sample_send (producer, 1, 10);
    assert_int_equal (leat_producer_flush (producer, 10), -1);
    assert_int_equal (errno, ETIMEDOUT);
    uint64_t before_us = leat_clock_us ();
    leat_client_destroy (&client);
    uint64_t took_us = leat_clock_us () - before_us;
    assert_true (took_us >= 50 * 1000 && took_us < 2000 * 1000);
    assert_int_equal (leat_producer_flush (producer, -1), -1);
    assert_int_equal (errno, ESHUTDOWN);
    leat_producer_destroy (&producer);
}

/* Several producers of one client, a thread each. */
static void *s_produce (void *arg)
{
    leat_producer_t *producer = arg;
    sample_send (producer, 1, 20000);
    return leat_producer_flush (producer, SAMPLE_WAIT_MS) == 0 ? NULL : producer;
}

static void test_several_producers (void **state)
{
    sample_t *self = *state;
    pthread_t threads[4];
    leat_producer_t *producers[4];
    char stream[4][32];
    for (int index = 0; index < 4; index++) {
        snprintf (stream[index], sizeof stream[index], "several-%d", index);
        producers[index] = leat_producer_new (self->client, stream[index], NULL);
        assert_int_equal (pthread_create (&threads[index], NULL, s_produce, producers[index]), 0);
    }
    for (int index = 0; index < 4; index++) {
        void *failed;
        assert_int_equal (pthread_join (threads[index], &failed), 0);
        assert_null (failed);
        leat_producer_destroy (&producers[index]);
        sample_check_stream (self->client, stream[index], 20000);
    }
}

/* Each record waits for its confirmation, so that the client's thread falls asleep and is woken all
 * the time, by several threads at once. */
static void *s_flush_each (void *arg)
{
    leat_producer_t *producer = arg;
    for (uint64_t n = 1; n <= 300; n++) {
        sample_send (producer, n, n);
        if (leat_producer_flush (producer, SAMPLE_WAIT_MS) != 0)
            return producer;
    }
    return NULL;
}

static void test_threads_wake_the_client (void **state)
{
    sample_t *self = *state;
    enum { THREADS = 4 };
    pthread_t threads[THREADS];
    leat_producer_t *producers[THREADS];
    char stream[THREADS][32];
    for (int index = 0; index < THREADS; index++) {
        snprintf (stream[index], sizeof stream[index], "waking-%d", index);
        producers[index] = leat_producer_new (self->client, stream[index], NULL);
    }
    for (int index = 0; index < THREADS; index++)
        assert_int_equal (pthread_create (&threads[index], NULL, s_flush_each, producers[index]),
                          0);
    for (int index = 0; index < THREADS; index++) {
        void *failed;
        assert_int_equal (pthread_join (threads[index], &failed), 0);
        assert_null (failed);
        leat_producer_destroy (&producers[index]);
        sample_check_stream (self->client, stream[index], 300);
    }
}

/* Waits until the broker has granted nothing to anybody. */
static bool s_has_no_grants (test_broker_t *broker)
{
    for (int attempt = 0; attempt < SAMPLE_WAIT_MS; attempt++) {
        leat_statistics_t statistics;
        test_broker_statistics (broker, &statistics);
        if (statistics.granted_size == 0)
            return true;
        zmq_poll (NULL, 0, 1);
    }
    return false;
}

/* What a failed producer was granted goes back once it is destroyed; the session goes on. */
static void test_failed_gives_its_credit_back (void **state)
{
    sample_t *self = *state;
    static uint8_t body[2 * 1024 * 1024];
    test_broker_stop (self->broker);
    leat_client_t *client = sample_client (self->endpoint, NULL);
    leat_producer_t *producer = s_producer (
        client, "large", (leat_producer_options_t){ .record_size_max = sizeof body + 1 });
    /* Nobody has told yet that this is too large. */
    assert_int_equal (leat_producer_send (producer, body, sizeof body), 0);
    test_broker_start (self->broker);
    assert_int_equal (leat_producer_flush (producer, SAMPLE_WAIT_MS), -1);
    assert_int_equal (errno, EPIPE);
    char text[512];
    assert_int_equal (leat_producer_error (producer, text, sizeof text), LEAT_TOO_LARGE);
    leat_producer_destroy (&producer);
    assert_true (s_has_no_grants (self->broker));
    assert_true (leat_client_connected (client));
    assert_int_equal (leat_client_losses (client), 0);

    /* And there is room for another one of that stream. */
    producer = leat_producer_new (client, "large", NULL);
    sample_send (producer, 1, 10);
    assert_int_equal (leat_producer_flush (producer, SAMPLE_WAIT_MS), 0);
    leat_producer_destroy (&producer);
    leat_client_destroy (&client);
    sample_check_stream (self->client, "large", 10);
}

int main (void)
{
#define TEST(function) cmocka_unit_test_setup_teardown (function, sample_set_up, sample_tear_down)
    const struct CMUnitTest tests[] = {
        TEST (test_sends_and_confirms),
        TEST (test_every_way_to_send),
        TEST (test_refuses_what_is_too_large),
        TEST (test_refuses_what_cannot_be),
        TEST (test_a_full_window_fails),
        TEST (test_a_full_window_times_out),
        TEST (test_a_full_window_blocks),
        TEST (test_a_full_window_fills_batches),
        TEST (test_alone_makes_large_batches),
        TEST (test_a_window_below_a_batch),
        TEST (test_tells_of_confirmations),
        TEST (test_replays_only_what_is_missing),
        TEST (test_continues),
        TEST (test_survives_restarts),
        TEST (test_destroyed_with_unconfirmed),
        cmocka_unit_test (test_destroyed_without_a_broker),
        TEST (test_several_producers),
        TEST (test_threads_wake_the_client),
        TEST (test_failed_gives_its_credit_back),
    };
    return cmocka_run_group_tests (tests, NULL, NULL);
}

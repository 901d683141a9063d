/* The session and its producers and consumers: channels, the window, closing.
 * SPDX-License-Identifier: MPL-2.0 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "tests/unit/session_bench.h"
#include "wire/bytes.h"

static void test_channels (void **state)
{
    bench_t bench = s_bench (1);
    leat_producer_engine_t *a = s_producer ("a");
    leat_producer_engine_t *b = s_producer ("b");
    leat_producer_engine_t *again = s_producer ("a");
    leat_consumer_engine_options_t options = { .stream = "a" };
    leat_consumer_engine_t *consumer = leat_consumer_engine_new (&options);
    assert_true (leat_session_add_producer (bench.session, a));
    assert_false (leat_session_add_producer (bench.session, again));
    s_ready (&bench, 0, 1);
    s_turn (&bench, 0);
    assert_int_equal (s_expect (&bench, LEAT_OPEN).open.channel, 1);
    assert_true (leat_session_add_consumer (bench.session, consumer));
    assert_true (leat_session_deadline (bench.session) == bench.now_us);
    s_turn (&bench, 0);
    assert_int_equal (s_expect (&bench, LEAT_ATTACH).attach.channel, 2);
    assert_true (leat_session_add_producer (bench.session, b));
    s_turn (&bench, 0);
    assert_int_equal (s_expect (&bench, LEAT_OPEN).open.channel, 3);
    s_expect_nothing (&bench);
    /* channels_max is 3. */
    leat_producer_engine_t *c = s_producer ("c");
    assert_false (leat_session_add_producer (bench.session, c));
    assert_false (leat_session_add_consumer (bench.session, consumer));

    s_opened (&bench, 3);
    assert_int_equal (leat_producer_engine_state (b), LEAT_PRODUCER_OPEN);
    assert_int_equal (leat_producer_engine_state (a), LEAT_PRODUCER_CLOSED);
    s_receive (&bench, &(leat_command_t){ .id = LEAT_ATTACHED, .attached = { .channel = 2 } });
    assert_int_equal (leat_consumer_engine_state (consumer), LEAT_CONSUMER_ATTACHED);
    s_refuse (&bench, LEAT_OPEN, 1, LEAT_NOT_ALLOWED);
    assert_int_equal (leat_producer_engine_state (a), LEAT_PRODUCER_FAILED);
    assert_true (leat_session_malformed (bench.session) == 0);
    /* Nobody's channel, somebody else's channel. */
    s_opened (&bench, 0);
    s_opened (&bench, 4);
    s_opened (&bench, 2);
    s_receive (&bench, &(leat_command_t){ .id = LEAT_ATTACHED, .attached = { .channel = 3 } });
    s_refuse (&bench, LEAT_PUBLISH, 2, LEAT_STORE_FULL);
    assert_true (leat_session_malformed (bench.session) == 5);
    /* A number is not used again. */
    leat_session_remove_producer (bench.session, a);
    assert_true (leat_session_add_producer (bench.session, again));
    s_turn (&bench, 0);
    assert_int_equal (s_expect (&bench, LEAT_OPEN).open.channel, 4);
    s_refuse (&bench, LEAT_OPEN, 1, LEAT_NOT_ALLOWED);
    assert_int_equal (leat_producer_engine_state (again), LEAT_PRODUCER_CLOSED);
    assert_true (leat_session_malformed (bench.session) == 5);

    leat_session_remove_producer (bench.session, b);
    leat_session_remove_producer (bench.session, again);
    leat_session_remove_consumer (bench.session, consumer);
    leat_producer_engine_destroy (&a);
    leat_producer_engine_destroy (&b);
    leat_producer_engine_destroy (&c);
    leat_producer_engine_destroy (&again);
    leat_consumer_engine_destroy (&consumer);
    s_end (&bench);
}

static void test_malformed_messages (void **state)
{
    bench_t bench = s_bench (1);
    s_ready (&bench, 0, 1);
    uint8_t bytes[LEAT_BATCH_HEADER_SIZE] = { LEAT_PING };
    leat_buffer_t *body = leat_buffer_copy ("x", 1);
    leat_session_receive (bench.session, NULL, 0, NULL, 0);
    leat_session_receive (bench.session, bytes, 0, NULL, 1);
    leat_session_receive (bench.session, bytes, 9, NULL, 1); /* brokers send no PING */
    bytes[0] = LEAT_PONG;
    leat_session_receive (bench.session, bytes, 8, NULL, 1);
    leat_session_receive (bench.session, bytes, 9, body, 2);
    leat_session_receive (bench.session, bytes, 9, body, 3);
    bytes[0] = LEAT_DELIVER;
    leat_session_receive (bench.session, bytes, sizeof bytes, body, 2);
    leat_session_receive (bench.session, bytes, sizeof bytes, NULL, 1);
    bytes[0] = LEAT_PUBLISH;
    leat_session_receive (bench.session, bytes, sizeof bytes, body, 2);
    bytes[0] = 0xff;
    leat_session_receive (bench.session, bytes, 1, NULL, 1);
    assert_true (leat_session_malformed (bench.session) == 10);
    assert_int_equal (leat_session_state (bench.session), LEAT_SESSION_READY);
    leat_buffer_release (&body);
    s_end (&bench);
}

/* Each slice of a DELIVER goes to the consumer by itself: one that is damaged spoils no other. */
static void test_slices (void **state)
{
    bench_t bench = s_bench (1);
    leat_consumer_engine_t *consumer =
        leat_consumer_engine_new (&(leat_consumer_engine_options_t){ .stream = "a" });
    assert_true (leat_session_add_consumer (bench.session, consumer));
    s_ready (&bench, 0, 1);
    s_turn (&bench, 0);
    assert_int_equal (s_expect (&bench, LEAT_ATTACH).attach.channel, 1);
    s_receive (&bench, &(leat_command_t){ .id = LEAT_ATTACHED, .attached = { .channel = 1 } });

    uint8_t headers[3 * LEAT_BATCH_HEADER_SIZE];
    leat_buffer_t *body = leat_buffer_copy ("\3\0\0\0oat\3\0\0\0rye\4\0\0\0bran", 22);
    leat_slice_t slice = { .buffer = body };
    for (uint32_t index = 0; index < 3; index++) {
        slice.size = index < 2 ? 7 : 8;
        leat_batch_t batch = { .command = LEAT_DELIVER, .channel = 1, .count = 1, .attempt = 1 };
        batch.crc32c = leat_crc32c (leat_slice_bytes (slice), slice.size) + (index == 1);
        batch.first = 40 + index;
        batch.epoch = 7;
        batch.size = (uint32_t) slice.size;
        leat_batch_encode (&batch, headers + index * LEAT_BATCH_HEADER_SIZE);
        slice.offset += slice.size;
    }
    leat_session_receive (bench.session, headers, sizeof headers - 48, body, 2);
    assert_true (leat_session_malformed (bench.session) == 1);
    assert_int_equal (leat_consumer_engine_waiting (consumer), 0);
    leat_session_receive (bench.session, headers, sizeof headers, body, 2);
    leat_buffer_release (&body);
    assert_true (leat_session_malformed (bench.session) == 1);
    leat_returned_t returned = s_expect (&bench, LEAT_RETURNED).returned;
    assert_int_equal (returned.code, LEAT_DAMAGED);
    assert_int_equal (returned.ranges.count, 1);
    leat_delivery_t delivery;
    assert_true (leat_consumer_engine_take (consumer, 9, &delivery, bench.outbox));
    assert_int_equal (delivery.first, 40);
    assert_memory_equal (leat_slice_bytes (delivery.records), "\3\0\0\0oat", 7);
    leat_buffer_release (&delivery.records.buffer);
    assert_true (leat_consumer_engine_take (consumer, 9, &delivery, bench.outbox));
    assert_int_equal (delivery.first, 42);
    assert_memory_equal (leat_slice_bytes (delivery.records), "\4\0\0\0bran", 8);
    leat_buffer_release (&delivery.records.buffer);
    leat_session_remove_consumer (bench.session, consumer);
    leat_consumer_engine_destroy (&consumer);
    s_end (&bench);
}

static void test_shared_window (void **state)
{
    /* Two producers share the window, and neither is always the first to be served. */
    bench_t bench = s_bench (1);
    leat_producer_engine_t *producers[2] = { s_producer ("a"), s_producer ("b") };
    s_connect (&bench, 0);
    leat_command_t welcome = s_welcome (1);
    welcome.welcome.window_size = 3000;
    s_receive (&bench, &welcome);
    for (uint32_t i = 0; i < 2; i++)
        leat_session_add_producer (bench.session, producers[i]);
    s_turn (&bench, 0);
    s_opened (&bench, 1);
    s_opened (&bench, 2);
    leat_outbox_clear (bench.outbox);
    unsigned served[2] = { 0, 0 };
    for (uint32_t i = 0; i < 2; i++)
        sample_submit (producers[i], 1000);
    for (int turn = 0; turn < 50; turn++) {
        s_turn (&bench, 0);
        const leat_session_window_t *window = leat_session_window (bench.session);
        assert_true (window->used <= window->size && window->used > 0);
        uint64_t last[2] = { 0, 0 };
        leat_message_t message;
        leat_batch_t batch;
        while (leat_outbox_next (bench.outbox, &message))
            if (sample_is_publish (&message, &batch)) {
                last[batch.channel - 1] = batch.first + batch.count - 1;
                served[batch.channel - 1]++;
            }
        for (uint32_t channel = 1; channel <= 2; channel++)
            if (last[channel - 1] > 0)
                s_confirmed (&bench, channel, last[channel - 1]);
        assert_true (window->used == 0);
    }
    assert_true (served[0] > 15 && served[1] > 15);

    /* One that is removed keeps its part until the broker has answered. */
    s_turn (&bench, 0);
    uint64_t last = 0;
    uint32_t channel = 0;
    leat_message_t message;
    leat_batch_t batch;
    while (leat_outbox_next (bench.outbox, &message))
        if (sample_is_publish (&message, &batch)) {
            last = batch.first + batch.count - 1;
            channel = batch.channel;
        }
    assert_true (channel > 0);
    for (uint32_t i = 0; i < 2; i++) {
        leat_session_remove_producer (bench.session, producers[i]);
        assert_int_equal (s_expect (&bench, LEAT_CLOSE).close.channel, i + 1);
    }
    assert_true (leat_session_window (bench.session)->used > 0);
    s_confirmed (&bench, channel, last - 1);
    assert_true (leat_session_window (bench.session)->used > 0);
    s_confirmed (&bench, channel, last);
    assert_true (leat_session_window (bench.session)->used == 0);
    assert_true (leat_session_malformed (bench.session) == 0);
    for (uint32_t i = 0; i < 2; i++)
        leat_producer_engine_destroy (&producers[i]);
    s_end (&bench);
}

/* One record of `size` bytes. */
static void s_submit_one (leat_producer_engine_t *producer, uint32_t size)
{
    leat_buffer_t *buffer = leat_buffer_new (4 + (size_t) size);
    memset (leat_buffer_bytes (buffer), 0, 4 + (size_t) size);
    leat_put_u32 (leat_buffer_bytes (buffer), size);
    leat_producer_engine_submit (producer, (leat_slice_t){ buffer, 0, 4 + (size_t) size }, 1, false,
                                 1);
    leat_buffer_release (&buffer);
}

/* The PUBLISHes that wait in the outbox: how many, and the last one's last sequence, of each channel. */
static void s_count_published (bench_t *bench, unsigned *counts, uint64_t *last)
{
    leat_message_t message;
    while (leat_outbox_next (bench->outbox, &message)) {
        leat_batch_t batch;
        if (leat_batch_decode (&batch, message.header, message.header_size) != LEAT_OK)
            continue;
        counts[batch.channel]++;
        last[batch.channel] = batch.first + batch.count - 1;
    }
}

static void test_nobody_overtakes (void **state)
{
    /* Small batches keep the window busy; a large one gets room all the same, and then wakes up nobody
     * who had nothing to do with it. */
    bench_t bench = s_bench (1);
    leat_producer_engine_t *small = s_producer ("small");
    leat_producer_engine_t *large = s_producer ("large");
    s_connect (&bench, 0);
    leat_command_t welcome = s_welcome (1);
    welcome.welcome.window_size = 4000;
    s_receive (&bench, &welcome);
    leat_session_add_producer (bench.session, small);
    leat_session_add_producer (bench.session, large);
    s_turn (&bench, 0);
    s_opened (&bench, 1);
    s_opened (&bench, 2);
    leat_outbox_clear (bench.outbox);
    unsigned counts[3] = { 0 };
    uint64_t last[3] = { 0 };
    uint64_t confirmed = 0;
    for (int index = 0; index < 3; index++) {
        s_submit_one (small, 700);
        s_turn (&bench, 0);
    }
    s_count_published (&bench, counts, last);
    assert_int_equal (counts[1], 3);
    s_submit_one (large, 3000);
    s_turn (&bench, 0);
    s_expect_nothing (&bench);
    for (int turn = 0; turn < 4 && counts[2] == 0; turn++) {
        /* One of the small ones is confirmed, another one follows. */
        s_submit_one (small, 700);
        if (confirmed < last[1])
            s_confirmed (&bench, 1, ++confirmed);
        s_turn (&bench, 0);
        s_count_published (&bench, counts, last);
    }
    assert_int_equal (counts[1], 3);
    assert_int_equal (counts[2], 1);
    /* And the other way round. */
    s_confirmed (&bench, 2, 1);
    s_turn (&bench, 0);
    s_count_published (&bench, counts, last);
    assert_true (counts[1] > 3 && leat_session_window (bench.session)->used > 0);
    leat_producer_engine_destroy (&small);
    leat_producer_engine_destroy (&large);
    s_end (&bench);
}

static void test_closing (void **state)
{
    bench_t bench = s_bench (1);
    leat_producer_engine_t *producer = s_producer ("s");
    leat_consumer_engine_options_t options = { .stream = "s" };
    leat_consumer_engine_t *consumer = leat_consumer_engine_new (&options);
    leat_session_add_producer (bench.session, producer);
    leat_session_add_consumer (bench.session, consumer);
    s_ready (&bench, 0, 1);
    s_turn (&bench, 0);
    s_opened (&bench, 1);
    s_receive (&bench, &(leat_command_t){ .id = LEAT_ATTACHED, .attached = { .channel = 2 } });
    sample_submit (producer, 5);
    leat_outbox_clear (bench.outbox);
    leat_session_close (bench.session);
    leat_session_close (bench.session);
    assert_int_equal (leat_session_state (bench.session), LEAT_SESSION_CLOSING);
    leat_producer_engine_t *late = s_producer ("t");
    assert_false (leat_session_add_producer (bench.session, late));
    leat_producer_engine_destroy (&late);
    s_turn (&bench, 0);
    leat_message_t message;
    leat_batch_t batch;
    bool has_published = false;
    bool has_left = false;
    while (leat_outbox_next (bench.outbox, &message)) {
        if (sample_is_publish (&message, &batch))
            has_published = true;
        else
            has_left |= message.header[0] == LEAT_LEAVE;
    }
    assert_true (has_published && has_left);
    s_confirmed (&bench, 1, 5);
    s_receive (&bench, &(leat_command_t){ .id = LEAT_LEFT, .left = { 2, 0, { 0 } } });
    s_turn (&bench, 0);
    s_expect (&bench, LEAT_CLOSE);
    s_expect_nothing (&bench);
    s_receive (&bench, &(leat_command_t){ .id = LEAT_CLOSED, .closed = { 1, 0, { 0 } } });
    s_turn (&bench, 0);
    assert_int_equal (s_expect (&bench, LEAT_BYE).bye.code, LEAT_OK);
    s_turn (&bench, 0);
    s_expect_nothing (&bench);
    assert_int_equal (leat_session_state (bench.session), LEAT_SESSION_CLOSING);
    s_bye (&bench, LEAT_OK, 0);
    assert_int_equal (leat_session_state (bench.session), LEAT_SESSION_CLOSED);
    assert_true (leat_session_deadline (bench.session) == UINT64_MAX);
    assert_true (leat_session_losses (bench.session) == 0);
    assert_string_equal (leat_session_error (bench.session, NULL), "");
    leat_session_remove_producer (bench.session, producer);
    leat_session_remove_consumer (bench.session, consumer);
    leat_producer_engine_destroy (&producer);
    leat_consumer_engine_destroy (&consumer);
    s_end (&bench);
}

static void test_closing_without_an_answer (void **state)
{
    /* The connection goes in the middle; it connects again to deliver the rest. */
    bench_t bench = s_bench (1);
    leat_producer_engine_t *producer = s_producer ("s");
    leat_session_add_producer (bench.session, producer);
    s_ready (&bench, 0, 1);
    s_turn (&bench, 0);
    s_opened (&bench, 1);
    sample_submit (producer, 5);
    leat_session_close (bench.session);
    uint64_t end_us = bench.now_us + 5000 * MS;
    s_turn (&bench, 0);
    leat_session_unsent (bench.session);
    assert_int_equal (leat_session_state (bench.session), LEAT_SESSION_CLOSING);
    uint32_t endpoint;
    s_turn (&bench, 200 * MS);
    assert_true (leat_session_connect (bench.session, &endpoint));
    s_turn (&bench, 0);
    assert_int_equal (s_expect (&bench, LEAT_HELLO).hello.flags, LEAT_HELLO_RESUME);
    leat_command_t welcome = s_welcome (2);
    s_receive (&bench, &welcome);
    s_turn (&bench, 0);
    s_expect (&bench, LEAT_OPEN);
    s_opened (&bench, 1);
    s_turn (&bench, 0);
    s_expect_batch (&bench, 1, 5);
    /* No confirmation comes. */
    while (leat_session_state (bench.session) == LEAT_SESSION_CLOSING) {
        assert_true (leat_session_deadline (bench.session) > bench.now_us);
        s_turn (&bench, leat_session_deadline (bench.session) - bench.now_us);
        leat_outbox_clear (bench.outbox);
    }
    assert_true (bench.now_us == end_us);
    assert_int_equal (leat_session_state (bench.session), LEAT_SESSION_CLOSED);
    assert_int_equal (s_code (&bench), LEAT_TIMED_OUT);
    assert_true (leat_producer_engine_confirmed (producer) == 0);
    leat_session_remove_producer (bench.session, producer);
    leat_producer_engine_destroy (&producer);
    s_end (&bench);

    /* Nothing to be done and no broker. */
    bench = s_bench (1);
    s_connect (&bench, 0);
    leat_session_close (bench.session);
    assert_int_equal (leat_session_state (bench.session), LEAT_SESSION_CLOSED);
    s_end (&bench);
}

int main (void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test (test_channels),
        cmocka_unit_test (test_malformed_messages),
        cmocka_unit_test (test_slices),
        cmocka_unit_test (test_shared_window),
        cmocka_unit_test (test_nobody_overtakes),
        cmocka_unit_test (test_closing),
        cmocka_unit_test (test_closing_without_an_answer),
    };
    return cmocka_run_group_tests (tests, NULL, NULL);
}

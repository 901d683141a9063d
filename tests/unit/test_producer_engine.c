/* The producer engine against a broker that is played by hand.
 * SPDX-License-Identifier: MPL-2.0 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdlib.h>

#include "tests/unit/producer_sample.h"

typedef struct {
    leat_producer_engine_t *engine;
    leat_outbox_t *outbox;
    leat_session_window_t window;
    leat_session_terms_t terms;
    uint64_t now_us;
} bench_t;

static const leat_session_terms_t default_terms = {
    .epoch = 1,
    .heartbeat_interval_ms = 1000,
    .heartbeat_timeout_ms = 5000,
    .record_size_max = 1024 * 1024,
    .batch_size_max = 2 * 1024 * 1024,
    .window_size = 16 * 1024 * 1024,
    .channels_max = 100,
};

static bench_t s_bench (uint32_t batch_size_max)
{
    leat_producer_engine_options_t options = { .stream = "s", .batch_size_max = batch_size_max };
    bench_t bench = { .engine = leat_producer_engine_new (&options),
                      .outbox = leat_outbox_new (),
                      .window = { .size = default_terms.window_size },
                      .terms = default_terms,
                      .now_us = 1000 };
    return bench;
}

static void s_end (bench_t *bench)
{
    leat_producer_engine_destroy (&bench->engine);
    assert_null (bench->engine);
    leat_producer_engine_destroy (&bench->engine);
    leat_outbox_destroy (&bench->outbox);
}

static void s_run (bench_t *bench)
{
    leat_producer_engine_run (bench->engine, bench->now_us, &bench->window, bench->outbox);
}

/* Lets the engine receive the command as it comes from the wire. */
static bool s_receive (bench_t *bench, const leat_command_t *command)
{
    uint8_t *bytes = malloc (leat_command_encoded_size (command));
    size_t size = leat_command_encode (command, bytes);
    leat_command_t decoded;
    assert_int_equal (leat_command_decode (&decoded, bytes, size, NULL), LEAT_OK);
    bool is_good = leat_producer_engine_receive (bench->engine, &decoded, bench->now_us,
                                                 &bench->window, bench->outbox);
    free (bytes);
    return is_good;
}

static bool s_opened (bench_t *bench, uint16_t flags, uint64_t sequence, uint64_t limit)
{
    return s_receive (
        bench,
        &(leat_command_t){
            .id = LEAT_OPENED,
            .opened = { .channel = 1, .flags = flags, .sequence = sequence, .limit = limit } });
}

static bool s_confirmed (bench_t *bench, uint64_t sequence, uint64_t limit)
{
    return s_receive (bench, &(leat_command_t){ .id = LEAT_CONFIRMED,
                                                .confirmed = { .channel = 1,
                                                               .sequence = sequence,
                                                               .offset = sequence + 70,
                                                               .limit = limit } });
}

static bool s_credit (bench_t *bench, uint16_t flags, uint64_t limit)
{
    return s_receive (bench, &(leat_command_t){ .id = LEAT_CREDIT, .credit = { 1, flags, limit } });
}

static bool s_refused (bench_t *bench, uint8_t command, uint16_t code, uint32_t flight,
                       uint64_t expected)
{
    return s_receive (bench, &(leat_command_t){ .id = LEAT_REFUSED,
                                                .refused = { .command = command,
                                                             .channel = 1,
                                                             .code = code,
                                                             .flight = flight,
                                                             .expected = expected,
                                                             .reason = leat_text ("a\x1b[2Jb") } });
}

static void s_expect_nothing (bench_t *bench)
{
    leat_message_t message;
    assert_false (leat_outbox_next (bench->outbox, &message));
}

static leat_command_t s_expect (bench_t *bench, uint8_t id)
{
    leat_message_t message;
    leat_command_t command;
    assert_true (leat_outbox_next (bench->outbox, &message));
    assert_int_equal (leat_command_decode (&command, message.header, message.header_size, NULL),
                      LEAT_OK);
    assert_int_equal (command.id, id);
    return command;
}

static leat_batch_t s_expect_batch (bench_t *bench, uint64_t first, uint32_t count)
{
    leat_message_t message;
    leat_batch_t batch = { 0 };
    assert_true (leat_outbox_next (bench->outbox, &message));
    assert_true (sample_is_publish (&message, &batch));
    assert_true (batch.first == first);
    assert_int_equal (batch.count, count);
    assert_int_equal (batch.channel, 1);
    return batch;
}

/* A session begins; the broker knows nothing. Returns the base that OPEN told. */
static uint64_t s_open (bench_t *bench, uint64_t limit)
{
    leat_producer_engine_begin (bench->engine, 1, &bench->terms, bench->outbox);
    leat_command_t open = s_expect (bench, LEAT_OPEN);
    assert_true (leat_text_equal (open.open.stream, leat_text ("s")));
    assert_true (s_opened (bench, 0, open.open.base - 1, limit));
    return open.open.base;
}

static void s_lose (bench_t *bench)
{
    leat_outbox_clear (bench->outbox);
    bench->window.used = 0;
    leat_producer_engine_lost (bench->engine);
}

static void s_expect_failed (bench_t *bench, leat_code_t expected, const char *part)
{
    leat_code_t code;
    const char *text = leat_producer_engine_error (bench->engine, &code);
    assert_int_equal (leat_producer_engine_state (bench->engine), LEAT_PRODUCER_FAILED);
    assert_int_equal (code, expected);
    assert_non_null (strstr (text, part));
    for (; *text; text++)
        assert_true (*text >= 0x20 && *text < 0x7f);
    leat_outbox_clear (bench->outbox);
    s_run (bench);
    s_expect_nothing (bench);
}

static void test_journey (void **state)
{
    bench_t bench = s_bench (0);
    assert_int_equal (leat_producer_engine_state (bench.engine), LEAT_PRODUCER_CLOSED);
    sample_submit (bench.engine, 10);
    s_run (&bench);
    s_expect_nothing (&bench);
    assert_true (s_open (&bench, 1 << 20) == 1);
    assert_int_equal (leat_producer_engine_state (bench.engine), LEAT_PRODUCER_OPEN);
    s_run (&bench);
    leat_batch_t batch = s_expect_batch (&bench, 1, 10);
    assert_true (batch.time_ms == 1001);
    assert_true (leat_producer_engine_busy (bench.engine));
    assert_int_equal (leat_producer_engine_batches_in_flight (bench.engine), 1);
    assert_true (bench.window.used
                 == leat_batch_cost (leat_producer_engine_unconfirmed_size (bench.engine)));
    leat_producer_engine_close (bench.engine);
    assert_int_equal (leat_producer_engine_state (bench.engine), LEAT_PRODUCER_CLOSING);
    s_run (&bench);
    s_expect_nothing (&bench);
    assert_true (s_confirmed (&bench, 10, 1 << 20));
    assert_true (leat_producer_engine_confirmed (bench.engine) == 10);
    assert_true (leat_producer_engine_offset (bench.engine) == 80);
    assert_true (leat_producer_engine_unconfirmed_size (bench.engine) == 0);
    assert_true (bench.window.used == 0);
    s_run (&bench);
    s_expect (&bench, LEAT_CLOSE);
    assert_true (
        s_receive (&bench, &(leat_command_t){ .id = LEAT_CLOSED, .closed = { 1, 0, { 0 } } }));
    assert_int_equal (leat_producer_engine_state (bench.engine), LEAT_PRODUCER_ENDED);
    assert_false (leat_producer_engine_busy (bench.engine));
    assert_true (leat_producer_engine_deadline (bench.engine) == UINT64_MAX);
    s_end (&bench);
}

static void test_batch_count_and_size (void **state)
{
    bench_t bench = s_bench (1000);
    s_open (&bench, UINT64_MAX);
    sample_submit (bench.engine, 200);
    s_run (&bench);
    leat_message_t message;
    uint64_t next = 1;
    while (leat_outbox_next (bench.outbox, &message)) {
        leat_batch_t batch;
        assert_true (sample_is_publish (&message, &batch));
        assert_true (batch.first == next);
        next += batch.count;
        assert_true (message.body.size <= 1000);
        assert_true (next == 201 || message.body.size > 1000 - SAMPLE_BODY_MAX - 4);
    }
    assert_true (next == 201);
    /* Extended records are told so. */
    leat_slice_t extended = sample_records (201, 3, true, 0);
    leat_producer_engine_submit (bench.engine, extended, 3, true, 5);
    leat_buffer_release (&extended.buffer);
    s_run (&bench);
    assert_int_equal (s_expect_batch (&bench, 201, 3).attributes, LEAT_BATCH_EXTENDED);
    s_end (&bench);

    bench = s_bench (0);
    s_open (&bench, UINT64_MAX);
    leat_buffer_t *empty = leat_buffer_new (4 * 70000);
    memset (leat_buffer_bytes (empty), 0, 4 * 70000);
    leat_producer_engine_submit (bench.engine, (leat_slice_t){ empty, 0, 4 * 70000 }, 70000, false,
                                 5);
    leat_buffer_release (&empty);
    s_run (&bench);
    leat_batch_t batch;
    assert_true (leat_outbox_next (bench.outbox, &message));
    assert_int_equal (leat_batch_decode (&batch, message.header, message.header_size), LEAT_OK);
    assert_int_equal (batch.count, LEAT_BATCH_COUNT_MAX);
    assert_int_equal (message.body.size, 4 * LEAT_BATCH_COUNT_MAX);
    assert_true (leat_outbox_next (bench.outbox, &message));
    assert_int_equal (leat_batch_decode (&batch, message.header, message.header_size), LEAT_OK);
    assert_int_equal (batch.count, 70000 - LEAT_BATCH_COUNT_MAX);
    assert_true (batch.first == 1 + LEAT_BATCH_COUNT_MAX);
    s_end (&bench);
}

/* One record, `size` bytes of zeros. */
static void s_submit_big (bench_t *bench, uint32_t size)
{
    leat_buffer_t *buffer = leat_buffer_new (size + 4);
    uint8_t *bytes = leat_buffer_bytes (buffer);
    memset (bytes, 0, size + 4);
    leat_record_t record = { .body = bytes + 4, .body_size = size };
    leat_record_encode (&record, false, bytes);
    leat_producer_engine_submit (bench->engine, (leat_slice_t){ buffer, 0, size + 4 }, 1, false, 1);
    leat_buffer_release (&buffer);
}

static void test_large_records (void **state)
{
    /* Above the batch's size, but a record may be: it goes alone. */
    bench_t bench = s_bench (1000);
    bench.terms.record_size_max = 5000;
    s_open (&bench, UINT64_MAX);
    s_submit_big (&bench, 5000);
    s_run (&bench);
    leat_message_t message;
    assert_true (leat_outbox_next (bench.outbox, &message));
    assert_int_equal (message.body.size, 5004);
    /* Above what the broker takes. */
    sample_submit (bench.engine, 2);
    s_submit_big (&bench, 5001);
    s_run (&bench);
    s_expect_batch (&bench, 2, 2);
    s_expect_failed (&bench, LEAT_TOO_LARGE, "record 4 has 5001 bytes");
    assert_non_null (strstr (leat_producer_engine_error (bench.engine, NULL), "at most 5000"));
    /* What went before is still confirmed. */
    assert_true (s_confirmed (&bench, 3, 0));
    assert_true (leat_producer_engine_confirmed (bench.engine) == 3);
    assert_true (bench.window.used == 0);
    s_end (&bench);

    /* A broker with smaller limits than the one before: what was cut for the other is cut anew. */
    bench = s_bench (0);
    s_open (&bench, UINT64_MAX);
    sample_submit (bench.engine, 40);
    s_run (&bench);
    s_expect_batch (&bench, 1, 40);
    s_lose (&bench);
    bench.terms.batch_size_max = 1000;
    s_open (&bench, UINT64_MAX);
    s_run (&bench);
    uint64_t next = 1;
    while (leat_outbox_next (bench.outbox, &message)) {
        leat_batch_t batch;
        assert_true (sample_is_publish (&message, &batch));
        assert_true (message.body.size <= 1000 && batch.first == next);
        next += batch.count;
    }
    assert_true (next == 41);
    /* The window is smaller than a record: it can never be sent. */
    s_lose (&bench);
    bench.terms.window_size = 520;
    s_open (&bench, UINT64_MAX);
    s_run (&bench);
    s_expect_failed (&bench, LEAT_TOO_LARGE, "at most 4");
    s_end (&bench);
}

static void test_credit (void **state)
{
    bench_t bench = s_bench (4000);
    uint64_t limit = 3000;
    s_open (&bench, limit);
    sample_submit (bench.engine, 500);
    uint64_t spent = 0;
    uint64_t next = 1;
    uint64_t confirmed = 0;
    unsigned turn;
    for (turn = 0; confirmed < 500 && turn < 2000; turn++) {
        s_run (&bench);
        leat_message_t message;
        unsigned wants = 0;
        while (leat_outbox_next (bench.outbox, &message)) {
            leat_batch_t batch;
            if (!sample_is_publish (&message, &batch)) {
                assert_int_equal (message.header[0], LEAT_WANT);
                wants++;
                continue;
            }
            assert_true (batch.first == next);
            next += batch.count;
            spent += leat_batch_cost (message.body.size);
            assert_true (spent <= limit);
        }
        assert_true (wants <= 1);
        /* What fits is sent if nothing is on its way that would bring an answer. */
        if (confirmed == next - 1 && next <= 500)
            assert_true (limit - spent < LEAT_BATCH_COST + SAMPLE_BODY_MAX + 4);
        if (turn % 3 == 0 && next - 1 > confirmed)
            confirmed += (next - 1 - confirmed + 1) / 2;
        if (turn % 4 == 1)
            limit += turn * 37 % 3000;
        if (turn % 3 == 0)
            assert_true (s_confirmed (&bench, confirmed, limit));
        else
            assert_true (s_credit (&bench, 0, limit));
    }
    assert_true (confirmed == 500);
    assert_true (bench.window.used == 0);
    s_end (&bench);
}

static void test_want (void **state)
{
    bench_t bench = s_bench (0);
    s_open (&bench, 0);
    sample_submit (bench.engine, 3);
    s_run (&bench);
    uint64_t cost = leat_batch_cost (leat_producer_engine_unconfirmed_size (bench.engine));
    assert_true (s_expect (&bench, LEAT_WANT).want.size == cost);
    s_run (&bench);
    s_expect_nothing (&bench);
    assert_true (leat_producer_engine_deadline (bench.engine) == bench.now_us + 1000000);
    bench.now_us += 999999;
    s_run (&bench);
    s_expect_nothing (&bench);
    bench.now_us += 1;
    s_run (&bench);
    s_expect (&bench, LEAT_WANT);
    assert_true (s_credit (&bench, 0, 1));
    s_run (&bench);
    s_expect (&bench, LEAT_WANT);
    assert_true (s_credit (&bench, 0, cost));
    s_run (&bench);
    s_expect_batch (&bench, 1, 3);
    s_expect_nothing (&bench);
    assert_true (leat_producer_engine_deadline (bench.engine) == UINT64_MAX);
    s_end (&bench);
}

static void test_session_window (void **state)
{
    bench_t bench = s_bench (0);
    s_open (&bench, UINT64_MAX);
    bench.window.size = 2000;
    sample_submit (bench.engine, 40);
    s_run (&bench);
    assert_true (bench.window.used <= 2000 && bench.window.used > 1000);
    assert_int_equal (leat_outbox_count (bench.outbox), 1);
    /* Others of the session take room, too; the window is not what WANT is for. */
    leat_outbox_clear (bench.outbox);
    assert_true (s_confirmed (&bench, 1, 0));
    bench.window.used += 5000;
    s_run (&bench);
    s_expect_nothing (&bench);
    assert_true (leat_producer_engine_sendable_size (bench.engine, &bench.window) == 0);
    s_end (&bench);
}

static void test_sendable (void **state)
{
    bench_t bench = s_bench (10000);
    assert_true (leat_producer_engine_sendable_size (bench.engine, &bench.window) == 0);
    s_open (&bench, 5000);
    uint64_t sendable = leat_producer_engine_sendable_size (bench.engine, &bench.window);
    assert_true (sendable == 5000 - LEAT_BATCH_COST);
    sample_submit (bench.engine, 10);
    assert_true (leat_producer_engine_sendable_size (bench.engine, &bench.window) < sendable);
    s_run (&bench);
    uint64_t room = 5000 - bench.window.used;
    assert_true (leat_producer_engine_sendable_size (bench.engine, &bench.window)
                 == room - LEAT_BATCH_COST);
    /* A scrap of the credit is not worth a batch while a confirmation is due. */
    assert_true (s_credit (&bench, LEAT_CREDIT_RECLAIM, bench.window.used + 700));
    assert_true (leat_producer_engine_sendable_size (bench.engine, &bench.window) > 0
                 || bench.window.used + 700 > 4 * 700);
    assert_true (s_credit (&bench, LEAT_CREDIT_RECLAIM, bench.window.used + 100));
    assert_true (leat_producer_engine_sendable_size (bench.engine, &bench.window) == 0);
    s_end (&bench);
}

static void test_resend_after_lost (void **state)
{
    bench_t bench = s_bench (0);
    s_open (&bench, 1 << 20);
    for (int i = 0; i < 5; i++) {
        sample_submit (bench.engine, 10);
        s_run (&bench);
    }
    for (uint64_t first = 1; first < 50; first += 10)
        assert_int_equal (s_expect_batch (&bench, first, 10).flight, 0);
    assert_true (s_confirmed (&bench, 13, 1 << 20));
    assert_int_equal (leat_producer_engine_batches_in_flight (bench.engine), 4);
    s_lose (&bench);
    assert_int_equal (leat_producer_engine_batches_in_flight (bench.engine), 0);
    /* The broker has more than it confirmed: it ends within a slice. */
    leat_producer_engine_begin (bench.engine, 1, &bench.terms, bench.outbox);
    assert_true (s_expect (&bench, LEAT_OPEN).open.base == 14);
    assert_true (leat_producer_engine_offset (bench.engine) == UINT64_MAX);
    assert_true (s_opened (&bench, LEAT_OPENED_KNOWN, 34, 1 << 20));
    assert_true (leat_producer_engine_confirmed (bench.engine) == 34);
    s_run (&bench);
    s_expect_batch (&bench, 35, 6);
    s_expect_batch (&bench, 41, 10);
    s_expect_nothing (&bench);
    assert_true (leat_producer_engine_resent (bench.engine) == 2);
    /* A broker whose memory is gone: the base holds, credit begins anew and is small. */
    assert_true (s_confirmed (&bench, 42, 1 << 20));
    s_lose (&bench);
    assert_true (s_open (&bench, 1200) == 43);
    s_run (&bench);
    leat_message_t message;
    leat_batch_t batch;
    assert_true (leat_outbox_next (bench.outbox, &message));
    assert_true (sample_is_publish (&message, &batch));
    assert_true (batch.first == 43 && batch.count < 8);
    assert_true (leat_batch_cost (message.body.size) <= 1200);
    s_expect (&bench, LEAT_WANT);
    assert_true (s_credit (&bench, 0, 1 << 20));
    s_run (&bench);
    s_expect_batch (&bench, 43 + batch.count, 8 - batch.count);
    assert_true (s_confirmed (&bench, 50, 1 << 20));
    assert_true (leat_producer_engine_unconfirmed_size (bench.engine) == 0);
    assert_true (bench.window.used == 0);
    s_end (&bench);
}

static void test_go_back (void **state)
{
    bench_t bench = s_bench (0);
    s_open (&bench, 1 << 20);
    for (int i = 0; i < 4; i++) {
        sample_submit (bench.engine, 10);
        s_run (&bench);
    }
    leat_outbox_clear (bench.outbox);
    uint64_t used = bench.window.used;
    /* Within the second batch: its front is at the broker, the rest goes again at once. */
    assert_true (s_refused (&bench, LEAT_PUBLISH, LEAT_OUT_OF_SEQUENCE, 0, 15));
    assert_true (bench.window.used < used / 2);
    assert_false (s_confirmed (&bench, 15, 1 << 20));
    assert_true (s_refused (&bench, LEAT_PUBLISH, LEAT_OUT_OF_SEQUENCE, 0, 15));
    s_run (&bench);
    assert_int_equal (s_expect_batch (&bench, 15, 6).flight, 1);
    assert_int_equal (s_expect_batch (&bench, 21, 10).flight, 1);
    assert_int_equal (s_expect_batch (&bench, 31, 10).flight, 1);
    s_expect_nothing (&bench);
    assert_true (s_refused (&bench, LEAT_PUBLISH, LEAT_OUT_OF_SEQUENCE, 0, 15));
    s_run (&bench);
    s_expect_nothing (&bench);
    assert_true (leat_producer_engine_resent (bench.engine) == 3);
    assert_true (s_confirmed (&bench, 14, 1 << 20));
    assert_true (s_confirmed (&bench, 40, 1 << 20));
    assert_true (bench.window.used == 0);
    assert_int_equal (leat_producer_engine_batches_in_flight (bench.engine), 0);
    s_end (&bench);
}

static void test_back_off (void **state)
{
    bench_t bench = s_bench (0);
    s_open (&bench, 1 << 20);
    sample_submit (bench.engine, 10);
    s_run (&bench);
    uint64_t wait_us = 10000;
    for (uint32_t flight = 0; flight < 10; flight++) {
        s_expect_batch (&bench, 1, 10);
        assert_true (s_refused (&bench, LEAT_PUBLISH, LEAT_STORE_FULL, flight, 1));
        assert_true (leat_producer_engine_deadline (bench.engine) == bench.now_us + wait_us);
        assert_true (leat_producer_engine_sendable_size (bench.engine, &bench.window) == 0);
        bench.now_us += wait_us - 1;
        s_run (&bench);
        s_expect_nothing (&bench);
        bench.now_us += 1;
        s_run (&bench);
        wait_us = wait_us * 2 < 1000000 ? wait_us * 2 : 1000000;
    }
    assert_non_null (strstr (leat_producer_engine_error (bench.engine, NULL), "STORE_FULL"));
    s_expect_batch (&bench, 1, 10);
    /* Progress ends it. */
    assert_true (s_confirmed (&bench, 10, 1 << 20));
    sample_submit (bench.engine, 10);
    s_run (&bench);
    s_expect_batch (&bench, 11, 10);
    assert_true (s_refused (&bench, LEAT_PUBLISH, LEAT_BAD_CHECKSUM, 10, 11));
    assert_true (leat_producer_engine_deadline (bench.engine) == bench.now_us + 10000);
    bench.now_us += 10000;
    s_run (&bench);
    s_expect_batch (&bench, 11, 10);
    /* A broker that refuses the same for ever is not asked as fast as it can answer. */
    assert_true (s_refused (&bench, LEAT_PUBLISH, LEAT_OUT_OF_SEQUENCE, 11, 11));
    assert_true (leat_producer_engine_deadline (bench.engine) > bench.now_us);
    /* What no retry can mend. */
    bench.now_us += 1000000;
    s_run (&bench);
    assert_true (s_refused (&bench, LEAT_PUBLISH, LEAT_MALFORMED, 12, 11));
    s_expect_failed (&bench, LEAT_MALFORMED, "a?[2Jb");
    s_end (&bench);
}

static void test_known_identity (void **state)
{
    /* The broker has 25 records from an earlier run, 10 of which have been submitted again. */
    bench_t bench = s_bench (0);
    sample_submit (bench.engine, 10);
    leat_producer_engine_begin (bench.engine, 1, &bench.terms, bench.outbox);
    assert_true (s_expect (&bench, LEAT_OPEN).open.base == 1);
    assert_true (s_opened (&bench, LEAT_OPENED_KNOWN, 25, 1 << 20));
    assert_true (leat_producer_engine_confirmed (bench.engine) == 25);
    assert_true (leat_producer_engine_next (bench.engine) == 11);
    assert_true (leat_producer_engine_unconfirmed_size (bench.engine) == 0);
    sample_submit (bench.engine, 10);
    s_run (&bench);
    s_expect_nothing (&bench);
    sample_submit (bench.engine, 10);
    s_run (&bench);
    s_expect_batch (&bench, 26, 5);
    /* And again after a reconnect, with less submitted than known. */
    s_lose (&bench);
    leat_producer_engine_begin (bench.engine, 1, &bench.terms, bench.outbox);
    assert_true (s_expect (&bench, LEAT_OPEN).open.base == 26);
    assert_true (s_opened (&bench, LEAT_OPENED_KNOWN, 25, 1 << 20));
    s_run (&bench);
    s_expect_batch (&bench, 26, 5);
    assert_true (s_confirmed (&bench, 30, 1 << 20));
    leat_producer_engine_close (bench.engine);
    s_run (&bench);
    s_expect (&bench, LEAT_CLOSE);
    s_end (&bench);
}

static void test_lost_by_the_broker (void **state)
{
    bench_t bench = s_bench (0);
    s_open (&bench, 1 << 20);
    sample_submit (bench.engine, 10);
    s_run (&bench);
    assert_true (s_confirmed (&bench, 10, 1 << 20));
    s_lose (&bench);
    leat_producer_engine_begin (bench.engine, 1, &bench.terms, bench.outbox);
    assert_true (s_opened (&bench, LEAT_OPENED_KNOWN, 9, 1 << 20));
    s_expect_failed (&bench, LEAT_OUT_OF_SEQUENCE, "up to sequence 9, but it confirmed up to 10");
    s_end (&bench);

    /* More than was ever sent: somebody else's records. */
    bench = s_bench (0);
    s_open (&bench, 1 << 20);
    sample_submit (bench.engine, 10);
    s_run (&bench);
    sample_submit (bench.engine, 10);
    s_lose (&bench);
    leat_producer_engine_begin (bench.engine, 1, &bench.terms, bench.outbox);
    assert_true (s_opened (&bench, LEAT_OPENED_KNOWN, 11, 1 << 20));
    s_expect_failed (&bench, LEAT_OUT_OF_SEQUENCE, "sent only up to 10");
    s_end (&bench);
}

static void test_reclaim (void **state)
{
    bench_t bench = s_bench (0);
    s_open (&bench, 100000);
    assert_true (s_credit (&bench, LEAT_CREDIT_RECLAIM, 50000));
    assert_true (s_expect (&bench, LEAT_YIELDED).yielded.limit == 50000);
    sample_submit (bench.engine, 10);
    s_run (&bench);
    s_expect_batch (&bench, 1, 10);
    uint64_t spent = bench.window.used;
    assert_true (s_credit (&bench, LEAT_CREDIT_RECLAIM, 100));
    assert_true (s_expect (&bench, LEAT_YIELDED).yielded.limit == spent);
    sample_submit (bench.engine, 1);
    s_run (&bench);
    s_expect (&bench, LEAT_WANT);
    s_expect_nothing (&bench);
    /* A reclaim never raises. */
    assert_true (s_credit (&bench, LEAT_CREDIT_RECLAIM, 900000));
    assert_true (s_expect (&bench, LEAT_YIELDED).yielded.limit == spent);
    s_end (&bench);
}

static void test_lies (void **state)
{
    bench_t bench = s_bench (0);
    assert_false (s_confirmed (&bench, 1, 1));
    assert_false (s_credit (&bench, 0, 1));
    assert_false (s_opened (&bench, 0, 0, 1));
    leat_producer_engine_begin (bench.engine, 1, &bench.terms, bench.outbox);
    s_expect (&bench, LEAT_OPEN);
    assert_false (s_opened (&bench, LEAT_OPENED_KNOWN, UINT64_MAX, 1));
    assert_true (s_opened (&bench, 0, 0, 1 << 20));
    assert_false (s_opened (&bench, 0, 0, 1 << 20));
    sample_submit (bench.engine, 10);
    s_run (&bench);
    sample_submit (bench.engine, 10);
    assert_false (s_confirmed (&bench, 11, 1 << 20));
    assert_false (s_confirmed (&bench, UINT64_MAX, 1 << 20));
    assert_true (leat_producer_engine_confirmed (bench.engine) == 0);
    assert_false (s_receive (&bench, &(leat_command_t){ .id = LEAT_PONG }));
    assert_false (s_refused (&bench, LEAT_OPEN, LEAT_BAD_NAME, 0, 0));
    assert_true (s_confirmed (&bench, 10, 1 << 20));
    /* The broker expects what it has confirmed. */
    s_run (&bench);
    assert_false (s_refused (&bench, LEAT_PUBLISH, LEAT_OUT_OF_SEQUENCE, 0, 10));
    s_expect_failed (&bench, LEAT_OUT_OF_SEQUENCE, "the broker has lost records");
    s_end (&bench);

    bench = s_bench (0);
    s_open (&bench, 1 << 20);
    sample_submit (bench.engine, 10);
    s_run (&bench);
    assert_false (s_refused (&bench, LEAT_PUBLISH, LEAT_OUT_OF_SEQUENCE, 0, 12));
    s_expect_failed (&bench, LEAT_OUT_OF_SEQUENCE, "somebody else");
    s_end (&bench);
}

static void test_open_refused (void **state)
{
    static const uint16_t final[] = { LEAT_NO_SUCH_STREAM, LEAT_BAD_NAME, LEAT_RESERVED_NAME,
                                      LEAT_STREAM_IN_USE, LEAT_NOT_ALLOWED };
    for (size_t index = 0; index < sizeof final / sizeof *final; index++) {
        bench_t bench = s_bench (0);
        leat_producer_engine_begin (bench.engine, 1, &bench.terms, bench.outbox);
        assert_true (s_refused (&bench, LEAT_OPEN, final[index], 0, 0));
        s_expect_failed (&bench, (leat_code_t) final[index], "open stream \"s\"");
        s_end (&bench);
    }
    static const uint16_t passing[] = { LEAT_LIMIT_REACHED, LEAT_STORE_FULL, LEAT_SHUTTING_DOWN };
    bench_t bench = s_bench (0);
    leat_producer_engine_begin (bench.engine, 1, &bench.terms, bench.outbox);
    uint64_t wait_us = 10000;
    for (size_t index = 0; index < 3; index++) {
        s_expect (&bench, LEAT_OPEN);
        assert_true (s_refused (&bench, LEAT_OPEN, passing[index], 0, 0));
        assert_true (leat_producer_engine_deadline (bench.engine) == bench.now_us + wait_us);
        bench.now_us += wait_us - 1;
        s_run (&bench);
        s_expect_nothing (&bench);
        bench.now_us += 1;
        s_run (&bench);
        wait_us *= 2;
    }
    s_expect (&bench, LEAT_OPEN);
    assert_true (s_opened (&bench, 0, 0, 100));
    assert_int_equal (leat_producer_engine_state (bench.engine), LEAT_PRODUCER_OPEN);
    s_end (&bench);

    leat_producer_engine_options_t options = { .stream = "no\nname" };
    bench = s_bench (0);
    leat_producer_engine_destroy (&bench.engine);
    bench.engine = leat_producer_engine_new (&options);
    leat_producer_engine_begin (bench.engine, 1, &bench.terms, bench.outbox);
    s_expect_failed (&bench, LEAT_BAD_NAME, "\"no?name\"");
    s_end (&bench);
}

static void test_no_such_channel (void **state)
{
    bench_t bench = s_bench (0);
    s_open (&bench, 1 << 20);
    sample_submit (bench.engine, 10);
    s_run (&bench);
    sample_submit (bench.engine, 10);
    s_run (&bench);
    leat_outbox_clear (bench.outbox);
    assert_true (s_refused (&bench, LEAT_PUBLISH, LEAT_NO_SUCH_CHANNEL, 0, 0));
    assert_true (bench.window.used == 0);
    s_run (&bench);
    assert_true (s_expect (&bench, LEAT_OPEN).open.base == 1);
    /* The refusal of the second batch comes after that; it must not open once more. */
    assert_true (s_refused (&bench, LEAT_PUBLISH, LEAT_NO_SUCH_CHANNEL, 0, 0));
    s_run (&bench);
    s_expect_nothing (&bench);
    assert_true (s_opened (&bench, 0, 0, 1 << 20));
    s_run (&bench);
    s_expect_batch (&bench, 1, 10);
    s_expect_batch (&bench, 11, 10);
    /* Without progress in between it takes its time. */
    assert_true (s_refused (&bench, LEAT_PUBLISH, LEAT_NO_SUCH_CHANNEL, 1, 0));
    s_run (&bench);
    s_expect_nothing (&bench);
    assert_true (leat_producer_engine_deadline (bench.engine) == bench.now_us + 10000);
    s_end (&bench);
}

static void test_closed (void **state)
{
    bench_t bench = s_bench (0);
    s_open (&bench, 1 << 20);
    sample_submit (bench.engine, 10);
    s_run (&bench);
    s_receive (&bench,
               &(leat_command_t){ .id = LEAT_CLOSED, .closed = { 1, LEAT_DELETED, { 0 } } });
    s_expect_failed (&bench, LEAT_DELETED, "closed stream \"s\": DELETED");
    assert_true (bench.window.used == 0);
    s_end (&bench);

    /* A session that ends after all was confirmed ends a closing producer as well. */
    bench = s_bench (0);
    s_open (&bench, 1 << 20);
    leat_producer_engine_close (bench.engine);
    s_run (&bench);
    s_expect (&bench, LEAT_CLOSE);
    s_lose (&bench);
    assert_int_equal (leat_producer_engine_state (bench.engine), LEAT_PRODUCER_ENDED);
    leat_producer_engine_begin (bench.engine, 1, &bench.terms, bench.outbox);
    s_expect_nothing (&bench);
    s_end (&bench);

    /* One that was never opened does not: the stream may have to be made. */
    bench = s_bench (0);
    leat_producer_engine_close (bench.engine);
    assert_int_equal (leat_producer_engine_state (bench.engine), LEAT_PRODUCER_CLOSING);
    s_open (&bench, 0);
    s_run (&bench);
    s_expect (&bench, LEAT_CLOSE);
    s_end (&bench);
}

/* ---- a simple broker with chance ------------------------------------------------------------- */

typedef struct {
    uint64_t random;
    uint64_t accepted;
    uint64_t committed;
    uint64_t spent;
    uint64_t limit;
    bool is_open;
} model_t;

static uint64_t s_chance (model_t *model, uint64_t below)
{
    model->random = model->random * 6364136223846793005u + 1442695040888963407u;
    return (model->random >> 33) % below;
}

/* Takes one PUBLISH as a broker would; sometimes it refuses. */
static void s_model_publish (bench_t *bench, model_t *model, const leat_message_t *message,
                             const leat_batch_t *batch)
{
    model->spent += leat_batch_cost (message->body.size);
    assert_true (model->spent <= model->limit);
    if (batch->first != model->accepted + 1) {
        s_refused (bench, LEAT_PUBLISH, LEAT_OUT_OF_SEQUENCE, batch->flight, model->accepted + 1);
    } else if (s_chance (model, 12) == 0) {
        s_refused (bench, LEAT_PUBLISH, LEAT_STORE_FULL, batch->flight, model->accepted + 1);
    } else {
        model->accepted += batch->count;
    }
}

static void s_model_turn (bench_t *bench, model_t *model)
{
    leat_outbox_t *incoming = bench->outbox;
    bench->outbox = leat_outbox_new ();
    leat_message_t message;
    while (leat_outbox_next (incoming, &message)) {
        leat_batch_t batch;
        leat_command_t command;
        if (sample_is_publish (&message, &batch)) {
            s_model_publish (bench, model, &message, &batch);
            continue;
        }
        assert_int_equal (leat_command_decode (&command, message.header, message.header_size, NULL),
                          LEAT_OK);
        if (command.id == LEAT_OPEN) {
            assert_true (command.open.base <= model->accepted + 1);
            model->spent = 0;
            model->limit = 1000;
            model->is_open = true;
            s_opened (bench, LEAT_OPENED_KNOWN, model->committed, model->limit);
        } else if (command.id == LEAT_YIELDED) {
            assert_true (command.yielded.limit <= model->limit);
            model->limit = command.yielded.limit;
        } else if (command.id == LEAT_WANT) {
            model->limit += s_chance (model, 4) * 1000;
            s_credit (bench, 0, model->limit);
        }
    }
    leat_outbox_destroy (&incoming);
    if (model->is_open) {
        model->committed += s_chance (model, model->accepted - model->committed + 1);
        model->limit += s_chance (model, 1500);
        assert_true (s_confirmed (bench, model->committed, model->limit));
    }
}

static void test_against_a_model (void **state)
{
    for (uint64_t seed = 1; seed <= 200; seed++) {
        bench_t bench = s_bench (1500);
        model_t model = { .random = seed };
        unsigned turn;
        for (turn = 0; turn < 3000; turn++) {
            bench.now_us += s_chance (&model, 200000);
            if (!model.is_open && leat_producer_engine_deadline (bench.engine) == UINT64_MAX)
                leat_producer_engine_begin (bench.engine, 1, &bench.terms, bench.outbox);
            if (turn < 200 && s_chance (&model, 3) == 0)
                sample_submit (bench.engine, 1 + (uint32_t) s_chance (&model, 40));
            if (turn < 300 && s_chance (&model, 20) == 0) {
                /* What is accepted and not committed is gone, or committed unheard. */
                model.committed += s_chance (&model, model.accepted - model.committed + 1);
                model.accepted = model.committed;
                model.is_open = false;
                s_lose (&bench);
                continue;
            }
            if (turn < 300 && model.is_open && s_chance (&model, 30) == 0)
                s_credit (&bench, LEAT_CREDIT_RECLAIM, model.limit - s_chance (&model, 900));
            s_run (&bench);
            s_model_turn (&bench, &model);
            assert_true (leat_producer_engine_confirmed (bench.engine) == model.committed);
            assert_true (model.committed < leat_producer_engine_next (bench.engine));
            if (turn > 300 && model.committed + 1 == leat_producer_engine_next (bench.engine))
                break;
        }
        assert_true (turn < 3000);
        assert_true (leat_producer_engine_unconfirmed_size (bench.engine) == 0);
        assert_true (bench.window.used == 0);
        assert_int_equal (leat_producer_engine_batches_in_flight (bench.engine), 0);
        s_end (&bench);
    }
}

int main (void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test (test_journey),        cmocka_unit_test (test_batch_count_and_size),
        cmocka_unit_test (test_large_records),  cmocka_unit_test (test_credit),
        cmocka_unit_test (test_want),           cmocka_unit_test (test_session_window),
        cmocka_unit_test (test_sendable),       cmocka_unit_test (test_resend_after_lost),
        cmocka_unit_test (test_go_back),        cmocka_unit_test (test_back_off),
        cmocka_unit_test (test_known_identity), cmocka_unit_test (test_lost_by_the_broker),
        cmocka_unit_test (test_reclaim),        cmocka_unit_test (test_lies),
        cmocka_unit_test (test_open_refused),   cmocka_unit_test (test_no_such_channel),
        cmocka_unit_test (test_closed),         cmocka_unit_test (test_against_a_model),
    };
    return cmocka_run_group_tests (tests, NULL, NULL);
}

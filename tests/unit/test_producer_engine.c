/* The producer engine against a broker that is played by hand.
 * SPDX-License-Identifier: MPL-2.0 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "tests/unit/producer_bench.h"

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
    size_t size = 280000;
    leat_buffer_t *empty = leat_buffer_new (size);
    memset (leat_buffer_bytes (empty), 0, size);
    leat_producer_engine_submit (bench.engine, (leat_slice_t){ empty, 0, size }, 70000, false, 5);
    leat_buffer_release (&empty);
    s_run (&bench);
    leat_batch_t batch;
    assert_true (leat_outbox_next (bench.outbox, &message));
    assert_int_equal (leat_batch_decode (&batch, message.header, message.header_size), LEAT_OK);
    assert_int_equal (batch.count, LEAT_BATCH_COUNT_MAX);
    assert_int_equal (message.body.size, 4L * LEAT_BATCH_COUNT_MAX);
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

/* Others use most of the window. */
static void test_scrap_of_the_window (void **state)
{
    bench_t bench = s_bench (0);
    s_open (&bench, UINT64_MAX);
    bench.window.size = 80000;
    sample_submit (bench.engine, 40); /* below an eighth of the window */
    uint64_t cost = 0;
    for (uint64_t space = 1000; cost == 0; space += 100) {
        bench.window.used = bench.window.size - space;
        s_run (&bench);
        cost = bench.window.used - (bench.window.size - space);
        assert_true (leat_producer_engine_is_cramped (bench.engine) == (cost == 0));
        assert_true (cost == 0 || (cost > space - 100 && cost <= space));
    }
    s_expect_batch (&bench, 1, 40);
    assert_true (s_confirmed (&bench, 40, UINT64_MAX));
    /* One that is larger may be cut to a rest of an eighth, and not to less. */
    sample_submit (bench.engine, 400);
    bench.window.used = 70001;
    s_run (&bench);
    s_expect_nothing (&bench);
    bench.window.used = 70000;
    s_run (&bench);
    assert_int_equal (leat_outbox_count (bench.outbox), 1);
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
                 || bench.window.used + 700 > 2800);
    assert_true (s_credit (&bench, LEAT_CREDIT_RECLAIM, bench.window.used + 100));
    assert_true (leat_producer_engine_sendable_size (bench.engine, &bench.window) == 0);
    s_end (&bench);
}

/* The next batch that is sent, and whether the broker may hold its confirmation back. */
static bool s_expect_patience (bench_t *bench, uint64_t first)
{
    sample_submit (bench->engine, 1);
    s_run (bench);
    return s_expect_batch (bench, first, 1).flags == LEAT_PUBLISH_PATIENT;
}

static void test_patience (void **state)
{
    bench_t bench = s_bench (0);
    s_open (&bench, 1 << 20);
    assert_false (s_expect_patience (&bench, 1)); /* unless told so */
    s_confirmed (&bench, 1, 1 << 20);
    leat_producer_engine_set_patient (bench.engine, true);
    for (uint64_t first = 2; first < 5; first++)
        assert_true (s_expect_patience (&bench, first));
    assert_false (s_expect_patience (&bench, 5)); /* the fourth on its way */
    assert_false (s_expect_patience (&bench, 6));
    s_confirmed (&bench, 5, 1 << 20);
    assert_true (s_expect_patience (&bench, 7));
    s_confirmed (&bench, 7, 4000);
    s_lose (&bench);
    /* Credit that is soon used up is asked for at once. */
    s_open (&bench, 2 * LEAT_BATCH_COST);
    assert_false (s_expect_patience (&bench, 8));
    s_end (&bench);
}

int main (void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test (test_journey),
        cmocka_unit_test (test_batch_count_and_size),
        cmocka_unit_test (test_large_records),
        cmocka_unit_test (test_credit),
        cmocka_unit_test (test_want),
        cmocka_unit_test (test_session_window),
        cmocka_unit_test (test_scrap_of_the_window),
        cmocka_unit_test (test_sendable),
        cmocka_unit_test (test_patience),

    };
    return cmocka_run_group_tests (tests, NULL, NULL);
}

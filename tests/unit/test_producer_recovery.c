/* The producer engine when things go wrong: lost sessions, refusals, lies, and a broker with chance.
 * SPDX-License-Identifier: MPL-2.0 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "tests/unit/producer_bench.h"

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

/* What a failed producer was granted goes to others, and it is in nobody's way any more, once the
 * broker has closed its channel. */
static void test_failed_closes (void **state)
{
    for (int is_refused = 0; is_refused < 2; is_refused++) {
        bench_t bench = s_bench (0);
        s_open (&bench, 1 << 20);
        sample_submit (bench.engine, 10);
        s_run (&bench);
        sample_submit (bench.engine, 10);
        s_run (&bench);
        s_expect_batch (&bench, 1, 10);
        s_expect_batch (&bench, 11, 10);
        assert_true (s_refused (&bench, LEAT_PUBLISH, LEAT_MALFORMED, 0, 11));
        s_run (&bench);
        assert_int_equal (s_expect (&bench, LEAT_CLOSE).close.channel, 1);
        assert_int_equal (leat_producer_engine_state (bench.engine), LEAT_PRODUCER_FAILED);
        assert_true (leat_producer_engine_has_channel (bench.engine));
        assert_true (bench.window.used > 0);
        if (is_refused)
            assert_true (s_refused (&bench, LEAT_CLOSE, LEAT_NO_SUCH_CHANNEL, 0, 0));
        else {
            assert_true (s_confirmed (&bench, 10, 1 << 20));
            assert_true (leat_producer_engine_has_channel (bench.engine));
            assert_true (s_receive (
                &bench, &(leat_command_t){ .id = LEAT_CLOSED, .closed = { .channel = 1 } }));
        }
        assert_false (leat_producer_engine_has_channel (bench.engine));
        assert_true (bench.window.used == 0);
        assert_int_equal (leat_producer_engine_state (bench.engine), LEAT_PRODUCER_FAILED);
        s_run (&bench);
        s_expect_nothing (&bench);
        s_end (&bench);
    }
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
    /* It may name more than the client was told of: what was granted in the same turn. */
    assert_true (s_credit (&bench, LEAT_CREDIT_RECLAIM, 900000));
    assert_true (s_expect (&bench, LEAT_YIELDED).yielded.limit == 900000);
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
        cmocka_unit_test (test_resend_after_lost),
        cmocka_unit_test (test_go_back),
        cmocka_unit_test (test_back_off),
        cmocka_unit_test (test_known_identity),
        cmocka_unit_test (test_lost_by_the_broker),
        cmocka_unit_test (test_failed_closes),
        cmocka_unit_test (test_reclaim),
        cmocka_unit_test (test_lies),
        cmocka_unit_test (test_open_refused),
        cmocka_unit_test (test_no_such_channel),
        cmocka_unit_test (test_closed),
        cmocka_unit_test (test_against_a_model),
    };
    return cmocka_run_group_tests (tests, NULL, NULL);
}

/* The session against a broker that is played by hand.
 * SPDX-License-Identifier: MPL-2.0 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "tests/unit/session_bench.h"

static void test_greeting (void **state)
{
    bench_t bench = s_bench (1);
    assert_int_equal (leat_session_state (bench.session), LEAT_SESSION_WAITING);
    leat_command_t hello = s_connect (&bench, 0);
    assert_true (hello.hello.signature == LEAT_SIGNATURE);
    assert_int_equal (hello.hello.version_min, LEAT_PROTOCOL_VERSION);
    assert_int_equal (hello.hello.flags, 0);
    uint64_t life = hello.hello.life;
    assert_true (life != 0);
    assert_int_equal (hello.hello.attempt, 1);
    assert_true (leat_text_equal (hello.hello.identity, leat_text ("me")));
    assert_true (leat_session_terms (bench.session)->epoch == 0);
    leat_command_t welcome = s_welcome (7);
    s_receive (&bench, &welcome);
    assert_int_equal (leat_session_state (bench.session), LEAT_SESSION_READY);
    assert_true (leat_session_terms (bench.session)->epoch == 7);
    assert_true (leat_session_window (bench.session)->size == 4194304);
    assert_string_equal (leat_session_error (bench.session, NULL), "");
    /* Once more is once too often. */
    s_receive (&bench, &welcome);
    assert_true (leat_session_malformed (bench.session) == 1);
    /* It goes on as the same client after a loss. */
    leat_session_unsent (bench.session);
    assert_int_equal (leat_session_state (bench.session), LEAT_SESSION_WAITING);
    assert_true (leat_session_losses (bench.session) == 1);
    hello = s_connect (&bench, 0);
    assert_int_equal (hello.hello.flags, LEAT_HELLO_RESUME);
    assert_true (hello.hello.life == life);
    assert_int_equal (hello.hello.attempt, 2);
    s_end (&bench);
}

static void test_greeting_time_out_and_back_off (void **state)
{
    bench_t bench = s_bench (3);
    uint64_t back_off_us = 100 * MS;
    uint64_t total_us = 0;
    for (uint32_t attempt = 0; attempt < 12; attempt++) {
        s_connect (&bench, attempt % 3);
        assert_true (leat_session_deadline (bench.session) == bench.now_us + 5000 * MS);
        s_turn (&bench, 5000 * MS - 1);
        assert_int_equal (leat_session_state (bench.session), LEAT_SESSION_GREETING);
        s_turn (&bench, 1);
        assert_int_equal (leat_session_state (bench.session), LEAT_SESSION_WAITING);
        assert_int_equal (s_code (&bench), LEAT_TIMED_OUT);
        uint64_t wait_us = leat_session_deadline (bench.session) - bench.now_us;
        assert_true (wait_us >= back_off_us / 2 && wait_us <= back_off_us);
        total_us += wait_us;
        back_off_us = back_off_us * 2 < 5000 * MS ? back_off_us * 2 : 5000 * MS;
    }
    assert_true (leat_session_losses (bench.session) == 0);
    /* Another seed, other waits. */
    leat_session_options_t options = { .identity = "me", .endpoints = 3, .seed = 6 };
    bench_t other = s_bench_with (&options);
    uint64_t other_us = 0;
    for (uint32_t attempt = 0; attempt < 12; attempt++) {
        s_connect (&other, attempt % 3);
        s_turn (&other, 5000 * MS);
        other_us += leat_session_deadline (other.session) - other.now_us;
    }
    assert_true (other_us != total_us);
    s_end (&other);
    s_end (&bench);
}

static void test_greeting_refused (void **state)
{
    static const uint16_t final[] = { LEAT_UNSUPPORTED_VERSION, LEAT_BAD_NAME, LEAT_MALFORMED };
    for (size_t index = 0; index < sizeof final / sizeof *final; index++) {
        bench_t bench = s_bench (1);
        s_connect (&bench, 0);
        s_refuse (&bench, LEAT_HELLO, 0, final[index]);
        assert_int_equal (leat_session_state (bench.session), LEAT_SESSION_FAILED);
        assert_int_equal (s_code (&bench), final[index]);
        assert_true (leat_session_deadline (bench.session) == UINT64_MAX);
        uint32_t endpoint;
        s_turn (&bench, 100000 * MS);
        assert_false (leat_session_connect (bench.session, &endpoint));
        s_end (&bench);
    }
    static const uint16_t passing[] = { LEAT_LIMIT_REACHED, LEAT_SHUTTING_DOWN };
    for (size_t index = 0; index < sizeof passing / sizeof *passing; index++) {
        bench_t bench = s_bench (1);
        s_connect (&bench, 0);
        s_refuse (&bench, LEAT_HELLO, 0, passing[index]);
        assert_int_equal (leat_session_state (bench.session), LEAT_SESSION_WAITING);
        assert_int_equal (s_code (&bench), passing[index]);
        s_ready (&bench, 0, 1);
        s_end (&bench);
    }
    bench_t bench = s_bench (1);
    s_connect (&bench, 0);
    leat_command_t welcome = s_welcome (1);
    welcome.welcome.heartbeat_interval_ms = 0;
    s_receive (&bench, &welcome);
    assert_int_equal (leat_session_state (bench.session), LEAT_SESSION_WAITING);
    assert_int_equal (s_code (&bench), LEAT_MALFORMED);
    s_end (&bench);

    leat_session_options_t options = { .identity = ".\t", .endpoints = 1 };
    bench = s_bench_with (&options);
    assert_int_equal (leat_session_state (bench.session), LEAT_SESSION_FAILED);
    assert_int_equal (s_code (&bench), LEAT_BAD_NAME);
    s_end (&bench);
}

/* Something else listens there, the stats socket say. */
static void test_greeting_of_a_stranger (void **state)
{
    bench_t bench = s_bench (2);
    s_connect (&bench, 0);
    leat_session_receive (bench.session, (const uint8_t *) "{\"error\": 1}", 12, NULL, 1);
    assert_int_equal (leat_session_state (bench.session), LEAT_SESSION_GREETING);
    assert_int_equal (s_code (&bench), LEAT_MALFORMED);
    assert_non_null (strstr (leat_session_error (bench.session, NULL), "stats socket"));
    s_turn (&bench, 5000 * MS);
    assert_int_equal (leat_session_state (bench.session), LEAT_SESSION_WAITING);
    assert_int_equal (s_code (&bench), LEAT_MALFORMED);
    /* That says nothing of the next one. */
    s_connect (&bench, 1);
    s_turn (&bench, 5000 * MS);
    assert_int_equal (s_code (&bench), LEAT_TIMED_OUT);
    s_ready (&bench, 0, 1);
    s_end (&bench);
}

static void test_idle_heartbeat (void **state)
{
    bench_t bench = s_bench (1);
    s_ready (&bench, 0, 1);
    for (int i = 0; i < 3; i++) {
        assert_true (leat_session_deadline (bench.session) == bench.now_us + TIMEOUT_MS * MS / 2);
        s_turn (&bench, TIMEOUT_MS * MS / 2 - 1);
        s_expect_nothing (&bench);
        s_turn (&bench, 1);
        s_pong (&bench, s_expect (&bench, LEAT_PING).ping.token);
        s_expect_nothing (&bench);
    }
    assert_true (leat_session_malformed (bench.session) == 0);
    /* Silence. */
    uint64_t heard_us = bench.now_us;
    s_turn (&bench, 2500 * MS);
    s_expect (&bench, LEAT_PING);
    s_turn (&bench, 2500 * MS - 1);
    assert_int_equal (leat_session_state (bench.session), LEAT_SESSION_READY);
    s_turn (&bench, 1);
    assert_int_equal (leat_session_state (bench.session), LEAT_SESSION_WAITING);
    assert_true (bench.now_us == heard_us + TIMEOUT_MS * MS);
    assert_int_equal (s_code (&bench), LEAT_TIMED_OUT);
    s_expect_nothing (&bench);
    /* What comes after that is of no interest. */
    s_pong (&bench, 1);
    assert_int_equal (leat_session_state (bench.session), LEAT_SESSION_WAITING);
    s_end (&bench);
}

static void test_busy_heartbeat (void **state)
{
    bench_t bench = s_bench (1);
    leat_producer_engine_t *producer = s_producer ("s");
    assert_true (leat_session_add_producer (bench.session, producer));
    s_ready (&bench, 0, 1);
    s_turn (&bench, 0);
    uint32_t channel = s_expect (&bench, LEAT_OPEN).open.channel;
    s_opened (&bench, channel);
    s_turn (&bench, 0);
    s_turn (&bench, 2000 * MS);
    s_pong (&bench, 0); /* unasked, which a broker may */
    assert_int_equal (leat_session_malformed (bench.session), 0);
    sample_submit (producer, 1);
    s_turn (&bench, 0);
    /* That it begins to wait is no reason for a PING. */
    s_expect_batch (&bench, 1, 1);
    s_expect_nothing (&bench);
    /* It asks each interval although it sends other things. */
    for (uint64_t first = 2; first < 40; first++) {
        sample_submit (producer, 1);
        s_turn (&bench, 100 * MS);
        s_expect_batch (&bench, first, 1);
        if (first % 10 == 1)
            s_pong (&bench, s_expect (&bench, LEAT_PING).ping.token);
        s_expect_nothing (&bench);
    }
    /* A broker that is frozen: lost one timeout after its last word. */
    uint64_t heard_us = bench.now_us - 800 * MS;
    while (leat_session_state (bench.session) == LEAT_SESSION_READY) {
        uint64_t due_us = leat_session_deadline (bench.session);
        assert_true (due_us > bench.now_us);
        s_turn (&bench, due_us - bench.now_us);
        leat_outbox_clear (bench.outbox);
    }
    assert_true (bench.now_us == heard_us + TIMEOUT_MS * MS);
    assert_true (leat_session_losses (bench.session) == 1);
    /* All of it again, on a channel of the new connection. */
    s_ready (&bench, 0, 2);
    s_turn (&bench, 0);
    channel = s_expect (&bench, LEAT_OPEN).open.channel;
    assert_int_equal (channel, 1);
    s_opened (&bench, channel);
    s_turn (&bench, 0);
    for (uint64_t first = 1; first < 40; first++)
        s_expect_batch (&bench, first, 1);
    s_confirmed (&bench, channel, 39);
    assert_true (leat_session_window (bench.session)->used == 0);
    leat_session_remove_producer (bench.session, producer);
    leat_producer_engine_destroy (&producer);
    s_end (&bench);
}

static void test_sending_alone_is_no_sign_of_life (void **state)
{
    /* A producer without credit asks each second; the idle session must still PING in time. */
    bench_t bench = s_bench (1);
    leat_producer_engine_t *producer = s_producer ("s");
    leat_session_add_producer (bench.session, producer);
    s_ready (&bench, 0, 1);
    s_turn (&bench, 0);
    s_receive (&bench, &(leat_command_t){ .id = LEAT_OPENED, .opened = { .channel = 1 } });
    sample_submit (producer, 1);
    for (int i = 0; i < 100; i++) {
        s_turn (&bench, 500 * MS);
        leat_message_t message;
        while (leat_outbox_next (bench.outbox, &message))
            if (message.header[0] == LEAT_PING)
                s_pong (&bench, 1);
    }
    assert_int_equal (leat_session_state (bench.session), LEAT_SESSION_READY);
    assert_true (leat_session_losses (bench.session) == 0);
    leat_session_remove_producer (bench.session, producer);
    leat_producer_engine_destroy (&producer);
    s_end (&bench);
}

static void test_displaced (void **state)
{
    bench_t bench = s_bench (2);
    leat_producer_engine_t *producer = s_producer ("s");
    leat_session_add_producer (bench.session, producer);
    s_ready (&bench, 0, 1);
    s_turn (&bench, 0);
    s_receive (&bench, &(leat_command_t){ .id = LEAT_FENCED, .fenced = { 9, leat_text ("\n") } });
    assert_int_equal (leat_session_state (bench.session), LEAT_SESSION_FENCED);
    assert_int_equal (s_code (&bench), LEAT_DISPLACED);
    assert_int_equal (leat_producer_engine_state (producer), LEAT_PRODUCER_CLOSED);
    s_expect_nothing (&bench);
    assert_true (leat_session_deadline (bench.session) == UINT64_MAX);
    uint32_t endpoint;
    s_turn (&bench, 1000000 * MS);
    s_expect_nothing (&bench);
    assert_false (leat_session_connect (bench.session, &endpoint));
    leat_session_close (bench.session);
    assert_int_equal (leat_session_state (bench.session), LEAT_SESSION_FENCED);
    leat_session_remove_producer (bench.session, producer);
    leat_producer_engine_destroy (&producer);
    s_end (&bench);

    bench = s_bench (1);
    s_connect (&bench, 0);
    s_receive (&bench, &(leat_command_t){ .id = LEAT_FENCED, .fenced = { 9, { 0 } } });
    assert_int_equal (leat_session_state (bench.session), LEAT_SESSION_FENCED);
    s_end (&bench);
}

/* Whose reason is what the code means anyway: once is enough. */
static void test_reasons_that_say_nothing_new (void **state)
{
    bench_t bench = s_bench (1);
    s_connect (&bench, 0);
    leat_command_t command = { .id = LEAT_REFUSED };
    command.refused.command = LEAT_HELLO;
    command.refused.code = LEAT_NOT_ALLOWED;
    command.refused.reason = leat_text (leat_code_text (LEAT_NOT_ALLOWED));
    s_receive (&bench, &command);
    assert_string_equal (leat_session_error (bench.session, NULL),
                         "the broker refused HELLO: NOT_ALLOWED (20); this session is not allowed "
                         "to do that");
    s_end (&bench);
    bench = s_bench (1);
    s_ready (&bench, 0, 1);
    command = (leat_command_t){ .id = LEAT_FENCED };
    command.fenced.epoch = 9;
    command.fenced.reason = leat_text (leat_code_text (LEAT_DISPLACED));
    s_receive (&bench, &command);
    assert_string_equal (leat_session_error (bench.session, NULL),
                         "another session uses the identity \"me\" now (epoch 9); give each client "
                         "an identity of its own");
    s_end (&bench);
}

static void test_broker_says_bye (void **state)
{
    bench_t bench = s_bench (2);
    s_ready (&bench, 0, 1);
    s_bye (&bench, LEAT_SHUTTING_DOWN, 3000);
    assert_int_equal (leat_session_state (bench.session), LEAT_SESSION_WAITING);
    assert_int_equal (s_code (&bench), LEAT_SHUTTING_DOWN);
    uint64_t wait_us = leat_session_deadline (bench.session) - bench.now_us;
    assert_true (wait_us >= 3000 * MS && wait_us < 3100 * MS);
    s_ready (&bench, 1, 2);
    /* Not for ever. */
    s_bye (&bench, LEAT_SHUTTING_DOWN, UINT32_MAX);
    wait_us = leat_session_deadline (bench.session) - bench.now_us;
    assert_true (wait_us >= 60000 * MS && wait_us < 60100 * MS);
    s_ready (&bench, 0, 3);
    s_turn (&bench, 10);
    leat_outbox_clear (bench.outbox);
    s_refuse (&bench, LEAT_PING, 0, LEAT_NO_SESSION);
    assert_int_equal (leat_session_state (bench.session), LEAT_SESSION_WAITING);
    assert_true (leat_session_losses (bench.session) == 3);
    s_end (&bench);
}

static void test_back_off_of_short_sessions (void **state)
{
    bench_t bench = s_bench (1);
    uint64_t wait_us = 0;
    for (uint64_t epoch = 1; epoch < 12; epoch++) {
        s_ready (&bench, 0, epoch);
        s_bye (&bench, LEAT_STORE_FAILED, 0);
        wait_us = leat_session_deadline (bench.session) - bench.now_us;
    }
    assert_true (wait_us >= 2500 * MS);
    /* One that lasted is another matter. */
    s_ready (&bench, 0, 20);
    for (int i = 0; i < 3; i++) {
        s_turn (&bench, 2500 * MS);
        s_pong (&bench, 1);
    }
    s_bye (&bench, LEAT_STORE_FAILED, 0);
    wait_us = leat_session_deadline (bench.session) - bench.now_us;
    assert_true (wait_us <= 100 * MS);
    s_end (&bench);
}

int main (void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test (test_greeting),
        cmocka_unit_test (test_greeting_time_out_and_back_off),
        cmocka_unit_test (test_greeting_refused),
        cmocka_unit_test (test_greeting_of_a_stranger),
        cmocka_unit_test (test_idle_heartbeat),
        cmocka_unit_test (test_busy_heartbeat),
        cmocka_unit_test (test_sending_alone_is_no_sign_of_life),
        cmocka_unit_test (test_displaced),
        cmocka_unit_test (test_reasons_that_say_nothing_new),
        cmocka_unit_test (test_broker_says_bye),
        cmocka_unit_test (test_back_off_of_short_sessions),
    };
    return cmocka_run_group_tests (tests, NULL, NULL);
}

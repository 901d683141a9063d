/* The session against a broker that is played by hand.
 * SPDX-License-Identifier: MPL-2.0 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdlib.h>

#include "client/session.h"
#include "consumers/consumer_engine.h"
#include "tests/unit/producer_sample.h"

enum { MS = 1000, INTERVAL_MS = 1000, TIMEOUT_MS = 5000 };

typedef struct {
    leat_session_t *session;
    leat_outbox_t *outbox; /* the session's */
    uint64_t now_us;
} bench_t;

static bench_t s_bench_with (const leat_session_options_t *options)
{
    bench_t bench = { .session = leat_session_new (options), .now_us = 1000 * MS };
    bench.outbox = leat_session_outbox (bench.session);
    leat_session_tick (bench.session, bench.now_us, 0);
    return bench;
}

static bench_t s_bench (uint32_t endpoints)
{
    leat_session_options_t options = {
        .identity = "me", .software = "test", .endpoints = endpoints, .seed = 5
    };
    return s_bench_with (&options);
}

static void s_end (bench_t *bench)
{
    leat_session_destroy (&bench->session);
    assert_null (bench->session);
    leat_session_destroy (&bench->session);
}

/* One turn of a driver at a later time. */
static void s_turn (bench_t *bench, uint64_t later_us)
{
    bench->now_us += later_us;
    leat_session_tick (bench->session, bench->now_us, 0);
    leat_session_run (bench->session);
}

static void s_receive (bench_t *bench, const leat_command_t *command)
{
    uint8_t *bytes = malloc (leat_command_encoded_size (command));
    size_t size = leat_command_encode (command, bytes);
    leat_session_receive (bench->session, bytes, size, NULL, 1);
    free (bytes);
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
    assert_string_equal (leat_command_name (command.id), leat_command_name (id));
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
    return batch;
}

/* Connects as soon as it may; returns the HELLO. */
static leat_command_t s_connect (bench_t *bench, uint32_t endpoint)
{
    uint32_t chosen = 99;
    uint64_t due_us = leat_session_deadline (bench->session);
    assert_true (due_us != UINT64_MAX);
    if (due_us > bench->now_us) {
        s_turn (bench, due_us - bench->now_us - 1);
        assert_false (leat_session_connect (bench->session, &chosen));
        s_turn (bench, 1);
    }
    assert_true (leat_session_connect (bench->session, &chosen));
    assert_int_equal (chosen, endpoint);
    assert_false (leat_session_connect (bench->session, &chosen));
    assert_int_equal (leat_session_state (bench->session), LEAT_SESSION_GREETING);
    s_expect_nothing (bench);
    assert_true (leat_session_deadline (bench->session) == bench->now_us);
    s_turn (bench, 0);
    return s_expect (bench, LEAT_HELLO);
}

static leat_command_t s_welcome (uint64_t epoch)
{
    return (leat_command_t){ .id = LEAT_WELCOME,
                             .welcome = { .version = LEAT_PROTOCOL_VERSION,
                                          .epoch = epoch,
                                          .incarnation = 3,
                                          .heartbeat_interval_ms = INTERVAL_MS,
                                          .heartbeat_timeout_ms = TIMEOUT_MS,
                                          .record_size_max = 1024 * 1024,
                                          .batch_size_max = 1024 * 1024 + 4,
                                          .window_size = 4 * 1024 * 1024,
                                          .channels_max = 3 } };
}

static void s_ready (bench_t *bench, uint32_t endpoint, uint64_t epoch)
{
    s_connect (bench, endpoint);
    leat_command_t welcome = s_welcome (epoch);
    s_receive (bench, &welcome);
    assert_int_equal (leat_session_state (bench->session), LEAT_SESSION_READY);
}

static void s_refuse (bench_t *bench, uint8_t command, uint32_t channel, uint16_t code)
{
    s_receive (bench, &(leat_command_t){ .id = LEAT_REFUSED,
                                         .refused = { .command = command,
                                                      .channel = channel,
                                                      .code = code,
                                                      .reason = leat_text ("\x1b]0;x\a") } });
}

static void s_bye (bench_t *bench, uint16_t code, uint32_t retry_after_ms)
{
    s_receive (bench, &(leat_command_t){ .id = LEAT_BYE, .bye = { code, retry_after_ms, { 0 } } });
}

static void s_pong (bench_t *bench, uint64_t token)
{
    s_receive (bench, &(leat_command_t){ .id = LEAT_PONG, .pong = { token } });
}

static void s_opened (bench_t *bench, uint32_t channel)
{
    s_receive (bench, &(leat_command_t){ .id = LEAT_OPENED,
                                         .opened = { .channel = channel, .limit = 1 << 20 } });
}

static void s_confirmed (bench_t *bench, uint32_t channel, uint64_t sequence)
{
    s_receive (bench,
               &(leat_command_t){
                   .id = LEAT_CONFIRMED,
                   .confirmed = { .channel = channel, .sequence = sequence, .limit = 1 << 20 } });
}

static leat_producer_engine_t *s_producer (const char *stream)
{
    leat_producer_engine_options_t options = { .stream = stream };
    return leat_producer_engine_new (&options);
}

static leat_code_t s_code (bench_t *bench)
{
    leat_code_t code;
    for (const char *text = leat_session_error (bench->session, &code); *text; text++)
        assert_true (*text >= 0x20 && *text < 0x7f);
    return code;
}

static void test_greeting (void **state)
{
    bench_t bench = s_bench (1);
    assert_int_equal (leat_session_state (bench.session), LEAT_SESSION_WAITING);
    leat_command_t hello = s_connect (&bench, 0);
    assert_true (hello.hello.signature == LEAT_SIGNATURE);
    assert_int_equal (hello.hello.version_min, LEAT_PROTOCOL_VERSION);
    assert_int_equal (hello.hello.flags, 0);
    assert_true (hello.hello.epoch == 0);
    assert_true (leat_text_equal (hello.hello.identity, leat_text ("me")));
    assert_true (leat_session_terms (bench.session)->epoch == 0);
    leat_command_t welcome = s_welcome (7);
    s_receive (&bench, &welcome);
    assert_int_equal (leat_session_state (bench.session), LEAT_SESSION_READY);
    assert_true (leat_session_terms (bench.session)->epoch == 7);
    assert_true (leat_session_window (bench.session)->size == 4 * 1024 * 1024);
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
    assert_true (hello.hello.epoch == 7);
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

static void test_idle_heartbeat (void **state)
{
    bench_t bench = s_bench (1);
    s_ready (&bench, 0, 1);
    for (int i = 0; i < 3; i++) {
        assert_true (leat_session_deadline (bench.session)
                     == bench.now_us + (uint64_t) TIMEOUT_MS * MS / 2);
        s_turn (&bench, (uint64_t) TIMEOUT_MS * MS / 2 - 1);
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
    assert_true (bench.now_us == heard_us + (uint64_t) TIMEOUT_MS * MS);
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
    s_pong (&bench, 0);
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
    assert_true (bench.now_us == heard_us + (uint64_t) TIMEOUT_MS * MS);
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
    for (uint32_t i = 0; i < 2; i++)
        leat_session_remove_producer (bench.session, producers[i]);
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
        cmocka_unit_test (test_greeting),
        cmocka_unit_test (test_greeting_time_out_and_back_off),
        cmocka_unit_test (test_greeting_refused),
        cmocka_unit_test (test_idle_heartbeat),
        cmocka_unit_test (test_busy_heartbeat),
        cmocka_unit_test (test_sending_alone_is_no_sign_of_life),
        cmocka_unit_test (test_displaced),
        cmocka_unit_test (test_broker_says_bye),
        cmocka_unit_test (test_back_off_of_short_sessions),
        cmocka_unit_test (test_channels),
        cmocka_unit_test (test_malformed_messages),
        cmocka_unit_test (test_shared_window),
        cmocka_unit_test (test_closing),
        cmocka_unit_test (test_closing_without_an_answer),
    };
    return cmocka_run_group_tests (tests, NULL, NULL);
}

/* A session with a broker that is played by hand.
 * SPDX-License-Identifier: MPL-2.0 */
#ifndef LEAT_TESTS_SESSION_BENCH_H
#define LEAT_TESTS_SESSION_BENCH_H

#include <stdlib.h>

#include "client/session.h"
#include "consumers/consumer_engine.h"
#include "tests/unit/producer_sample.h"

#define MS UINT64_C (1000)

enum { INTERVAL_MS = 1000, TIMEOUT_MS = 5000 };

typedef struct {
    leat_session_t *session;
    leat_outbox_t *outbox; /* the session's */
    uint64_t now_us;
} bench_t;

static inline bench_t s_bench_with (const leat_session_options_t *options)
{
    bench_t bench = { .session = leat_session_new (options), .now_us = 1000 * MS };
    bench.outbox = leat_session_outbox (bench.session);
    leat_session_tick (bench.session, bench.now_us, 0);
    return bench;
}

static inline bench_t s_bench (uint32_t endpoints)
{
    leat_session_options_t options = {
        .identity = "me", .software = "test", .endpoints = endpoints, .seed = 5
    };
    return s_bench_with (&options);
}

static inline void s_end (bench_t *bench)
{
    leat_session_destroy (&bench->session);
    assert_null (bench->session);
    leat_session_destroy (&bench->session);
}

/* One turn of a driver at a later time. */
static inline void s_turn (bench_t *bench, uint64_t later_us)
{
    bench->now_us += later_us;
    leat_session_tick (bench->session, bench->now_us, 0);
    leat_session_run (bench->session);
}

static inline void s_receive (bench_t *bench, const leat_command_t *command)
{
    uint8_t *bytes = malloc (leat_command_encoded_size (command));
    size_t size = leat_command_encode (command, bytes);
    leat_session_receive (bench->session, bytes, size, NULL, 1);
    free (bytes);
}

static inline void s_expect_nothing (bench_t *bench)
{
    leat_message_t message;
    assert_false (leat_outbox_next (bench->outbox, &message));
}

static inline leat_command_t s_expect (bench_t *bench, uint8_t id)
{
    leat_message_t message;
    leat_command_t command;
    assert_true (leat_outbox_next (bench->outbox, &message));
    assert_int_equal (leat_command_decode (&command, message.header, message.header_size, NULL),
                      LEAT_OK);
    assert_string_equal (leat_command_name (command.id), leat_command_name (id));
    return command;
}

static inline leat_batch_t s_expect_batch (bench_t *bench, uint64_t first, uint32_t count)
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
static inline leat_command_t s_connect (bench_t *bench, uint32_t endpoint)
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

static inline leat_command_t s_welcome (uint64_t epoch)
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

static inline void s_ready (bench_t *bench, uint32_t endpoint, uint64_t epoch)
{
    s_connect (bench, endpoint);
    leat_command_t welcome = s_welcome (epoch);
    s_receive (bench, &welcome);
    assert_int_equal (leat_session_state (bench->session), LEAT_SESSION_READY);
}

static inline void s_refuse (bench_t *bench, uint8_t command, uint32_t channel, uint16_t code)
{
    s_receive (bench, &(leat_command_t){ .id = LEAT_REFUSED,
                                         .refused = { .command = command,
                                                      .channel = channel,
                                                      .code = code,
                                                      .reason = leat_text ("\x1b]0;x\a") } });
}

static inline void s_bye (bench_t *bench, uint16_t code, uint32_t retry_after_ms)
{
    s_receive (bench, &(leat_command_t){ .id = LEAT_BYE, .bye = { code, retry_after_ms, { 0 } } });
}

static inline void s_pong (bench_t *bench, uint64_t token)
{
    s_receive (bench, &(leat_command_t){ .id = LEAT_PONG, .pong = { token } });
}

static inline void s_opened (bench_t *bench, uint32_t channel)
{
    s_receive (bench, &(leat_command_t){ .id = LEAT_OPENED,
                                         .opened = { .channel = channel, .limit = 1 << 20 } });
}

static inline void s_confirmed (bench_t *bench, uint32_t channel, uint64_t sequence)
{
    s_receive (bench,
               &(leat_command_t){
                   .id = LEAT_CONFIRMED,
                   .confirmed = { .channel = channel, .sequence = sequence, .limit = 1 << 20 } });
}

static inline leat_producer_engine_t *s_producer (const char *stream)
{
    leat_producer_engine_options_t options = { .stream = stream };
    return leat_producer_engine_new (&options);
}

static inline leat_code_t s_code (bench_t *bench)
{
    leat_code_t code;
    for (const char *text = leat_session_error (bench->session, &code); *text; text++)
        assert_true (*text >= 0x20 && *text < 0x7f);
    return code;
}

#endif

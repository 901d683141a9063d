/* A producer engine with a broker that is played by hand.
 * SPDX-License-Identifier: MPL-2.0 */
#ifndef LEAT_TESTS_PRODUCER_BENCH_H
#define LEAT_TESTS_PRODUCER_BENCH_H

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

static inline bench_t s_bench (uint32_t batch_size_max)
{
    leat_producer_engine_options_t options = { .stream = "s", .batch_size_max = batch_size_max };
    bench_t bench = { .engine = leat_producer_engine_new (&options),
                      .outbox = leat_outbox_new (),
                      .window = { .size = default_terms.window_size },
                      .terms = default_terms,
                      .now_us = 1000 };
    return bench;
}

static inline void s_end (bench_t *bench)
{
    leat_producer_engine_destroy (&bench->engine);
    assert_null (bench->engine);
    leat_producer_engine_destroy (&bench->engine);
    leat_outbox_destroy (&bench->outbox);
}

static inline void s_run (bench_t *bench)
{
    leat_producer_engine_run (bench->engine, bench->now_us, &bench->window, bench->outbox);
}

/* Lets the engine receive the command as it comes from the wire. */
static inline bool s_receive (bench_t *bench, const leat_command_t *command)
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

static inline bool s_opened (bench_t *bench, uint16_t flags, uint64_t sequence, uint64_t limit)
{
    return s_receive (
        bench,
        &(leat_command_t){
            .id = LEAT_OPENED,
            .opened = { .channel = 1, .flags = flags, .sequence = sequence, .limit = limit } });
}

static inline bool s_confirmed (bench_t *bench, uint64_t sequence, uint64_t limit)
{
    return s_receive (bench, &(leat_command_t){ .id = LEAT_CONFIRMED,
                                                .confirmed = { .channel = 1,
                                                               .sequence = sequence,
                                                               .offset = sequence + 70,
                                                               .limit = limit } });
}

static inline bool s_credit (bench_t *bench, uint16_t flags, uint64_t limit)
{
    return s_receive (bench, &(leat_command_t){ .id = LEAT_CREDIT, .credit = { 1, flags, limit } });
}

static inline bool s_refused (bench_t *bench, uint8_t command, uint16_t code, uint32_t flight,
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
    assert_int_equal (command.id, id);
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
    assert_int_equal (batch.channel, 1);
    return batch;
}

/* A session begins; the broker knows nothing. Returns the base that OPEN told. */
static inline uint64_t s_open (bench_t *bench, uint64_t limit)
{
    leat_producer_engine_begin (bench->engine, 1, &bench->terms, bench->outbox);
    leat_command_t open = s_expect (bench, LEAT_OPEN);
    assert_true (leat_text_equal (open.open.stream, leat_text ("s")));
    assert_true (s_opened (bench, 0, open.open.base - 1, limit));
    return open.open.base;
}

static inline void s_lose (bench_t *bench)
{
    leat_outbox_clear (bench->outbox);
    bench->window.used = 0;
    leat_producer_engine_lost (bench->engine);
}

static inline void s_expect_failed (bench_t *bench, leat_code_t expected, const char *part)
{
    leat_code_t code;
    const char *text = leat_producer_engine_error (bench->engine, &code);
    assert_int_equal (leat_producer_engine_state (bench->engine), LEAT_PRODUCER_FAILED);
    assert_int_equal (code, expected);
    assert_non_null (strstr (text, part));
    for (; *text; text++)
        assert_true (*text >= 0x20 && *text < 0x7f);
    leat_outbox_clear (bench->outbox);
    /* Nothing is said any more, but that it closes its channel. */
    s_run (bench);
    if (leat_outbox_count (bench->outbox) > 0)
        assert_int_equal (s_expect (bench, LEAT_CLOSE).close.channel, 1);
    s_run (bench);
    s_expect_nothing (bench);
}

#endif

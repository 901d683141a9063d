/* Records through a running broker, over tcp and ipc, and what its end looks like to peers.
 * SPDX-License-Identifier: MPL-2.0 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tests/system/dealer.h"
#include "wire/alloc.h"

enum { LARGE_SIZE = 100000 };

static void s_open (void *socket, uint32_t channel, const char *stream)
{
    answer_t answer;
    leat_command_t open = { .id = LEAT_OPEN };
    open.open.channel = channel;
    open.open.base = 1;
    open.open.stream = leat_text (stream);
    dealer_send (socket, &open);
    answer_begin (&answer);
    dealer_expect (socket, &answer, LEAT_OPENED);
    assert_int_equal (answer.command.opened.channel, channel);
    answer_end (&answer);
}

static void s_attach (void *socket, uint32_t channel, const char *stream, uint32_t credit_records)
{
    answer_t answer;
    leat_command_t attach = { .id = LEAT_ATTACH };
    attach.attach.channel = channel;
    attach.attach.credit_records = credit_records;
    attach.attach.credit_size = 1 << 24;
    attach.attach.max_unreported = 1;
    attach.attach.stream = leat_text (stream);
    attach.attach.group = leat_text ("default");
    dealer_send (socket, &attach);
    answer_begin (&answer);
    dealer_expect (socket, &answer, LEAT_ATTACHED);
    assert_int_equal (answer.command.attached.channel, channel);
    answer_end (&answer);
}

static void s_want (void *socket, uint32_t channel, uint64_t size)
{
    answer_t answer;
    leat_command_t want = { .id = LEAT_WANT, .want = { .channel = channel, .size = size } };
    dealer_send (socket, &want);
    answer_begin (&answer);
    dealer_expect (socket, &answer, LEAT_CREDIT);
    assert_true (answer.command.credit.limit >= size);
    answer_end (&answer);
}

static void s_expect_confirmed (void *socket, uint64_t sequence)
{
    answer_t answer;
    answer_begin (&answer);
    do
        dealer_expect (socket, &answer, LEAT_CONFIRMED);
    while (answer.command.confirmed.sequence < sequence);
    assert_true (answer.command.confirmed.sequence == sequence);
    answer_end (&answer);
}

/* Acks what the answer delivered; with a token asks to be told once that is committed. */
static void s_ack (void *socket, const answer_t *delivered, uint64_t token)
{
    leat_settle_entry_t entry = { .epoch = delivered->batch.epoch,
                                  .first = delivered->batch.first,
                                  .count = delivered->batch.count,
                                  .outcome = LEAT_ACK };
    leat_command_t settle = { .id = LEAT_SETTLE };
    settle.settle.channel = delivered->batch.channel;
    settle.settle.flags = token ? LEAT_SETTLE_CONFIRM : 0;
    settle.settle.token = token;
    settle.settle.entries = (leat_settles_t){ .count = 1, .entries = &entry };
    dealer_send (socket, &settle);
}

static void s_expect_settled (void *socket, uint64_t token)
{
    answer_t answer;
    answer_begin (&answer);
    dealer_expect (socket, &answer, LEAT_SETTLED);
    assert_true (answer.command.settled.token == token);
    answer_end (&answer);
}

static char *s_large_text (void)
{
    char *text = leat_alloc (LARGE_SIZE + 1);
    for (int index = 0; index < LARGE_SIZE; index++)
        text[index] = (char) ('a' + index * 7 % 26);
    return text;
}

/* Small batches are copied on their way, large ones are passed on as they came: both arrive. */
static void s_pass (const char *endpoint)
{
    const char *small[] = { "wheat", "", "rye" };
    char *large = s_large_text ();
    const char *const larges[] = { large };
    answer_t answer;
    leat_broker_options_t options;
    hosted_options (&options);
    options.endpoints = &endpoint;
    hosted_t *hosted = hosted_begin (&options);
    void *producer = dealer_open (hosted->context, ZMQ_DEALER, hosted->endpoint);
    void *consumer = dealer_open (hosted->context, ZMQ_DEALER, hosted->endpoint);
    dealer_greet (producer, "producer");
    dealer_greet (consumer, "consumer");
    s_open (producer, 1, "corn");
    s_want (producer, 1, 200000);
    dealer_publish (producer, 1, 1, small, 3);
    dealer_publish (producer, 1, 4, larges, 1);
    s_expect_confirmed (producer, 4);

    s_attach (consumer, 9, "corn", 100);
    answer_begin (&answer);
    dealer_expect (consumer, &answer, LEAT_DELIVER);
    answer_compare (&answer, small, 3);
    assert_int_equal (answer.batch.channel, 9);
    assert_true (answer.batch.first == 0);
    s_ack (consumer, &answer, 1);
    dealer_expect (consumer, &answer, LEAT_DELIVER);
    answer_compare (&answer, larges, 1);
    s_ack (consumer, &answer, 2);
    s_expect_settled (consumer, 1);
    s_expect_settled (consumer, 2);
    leat_command_t ask = { .id = LEAT_ASK_EMPTY, .ask_empty = { .channel = 9, .token = 77 } };
    dealer_send (consumer, &ask);
    dealer_expect (consumer, &answer, LEAT_EMPTY);
    assert_true (answer.command.empty.token == 77);
    assert_true (hosted_figure (hosted, "counters.records_settled") == 4);
    assert_true (hosted_figure (hosted, "counters.bodies_held") == 1);
    assert_true (hosted_figure (hosted, "counters.bodies_copied") == 1);
    assert_true (hosted_figure (hosted, "memory.held_size") == 0);
    answer_end (&answer);
    zmq_close (producer);
    zmq_close (consumer);
    free (large);
    hosted_end (&hosted);
}

static void test_tcp (void **state)
{
    s_pass ("tcp://127.0.0.1:*");
}

static void test_ipc (void **state)
{
    char endpoint[64];
    snprintf (endpoint, sizeof endpoint, "ipc:///tmp/leat-test-%d", (int) getpid ());
    s_pass (endpoint);
    /* The socket's file is gone with the broker. */
    assert_int_equal (access (endpoint + strlen ("ipc://"), F_OK), -1);
}

/* Both endpoints lead to the same broker. */
static void test_two_endpoints (void **state)
{
    static const char *const text[] = { "wheat" };
    char ipc[64];
    snprintf (ipc, sizeof ipc, "ipc://@leat-test-%d", (int) getpid ());
    const char *const endpoints[] = { "tcp://localhost:*", ipc };
    answer_t answer;
    leat_broker_options_t options;
    hosted_options (&options);
    options.endpoints = endpoints;
    options.endpoint_count = 2;
    hosted_t *hosted = hosted_begin (&options);
    assert_string_equal (leat_broker_endpoint (hosted->broker, 1), ipc);
    void *producer = dealer_open (hosted->context, ZMQ_DEALER, hosted->endpoint);
    void *consumer = dealer_open (hosted->context, ZMQ_DEALER, ipc);
    dealer_greet (producer, "producer");
    dealer_greet (consumer, "consumer");
    s_attach (consumer, 1, "corn", 10);
    s_open (producer, 1, "corn");
    dealer_publish (producer, 1, 1, text, 1);
    s_expect_confirmed (producer, 1);
    answer_begin (&answer);
    dealer_expect (consumer, &answer, LEAT_DELIVER);
    answer_compare (&answer, text, 1);
    answer_end (&answer);
    zmq_close (producer);
    zmq_close (consumer);
    hosted_end (&hosted);
}

/* The broker learns from a failed send that a consumer is gone, and gives its records to another. */
static void test_a_gone_consumer_is_found_by_sending (void **state)
{
    static const char *const first[] = { "wheat" };
    static const char *const second[] = { "rye" };
    answer_t answer;
    leat_broker_options_t options;
    hosted_options (&options);
    hosted_t *hosted = hosted_begin (&options);
    void *producer = dealer_open (hosted->context, ZMQ_DEALER, hosted->endpoint);
    void *gone = dealer_open (hosted->context, ZMQ_DEALER, hosted->endpoint);
    dealer_greet (producer, "producer");
    dealer_greet (gone, "gone");
    s_open (producer, 1, "corn");
    s_attach (gone, 1, "corn", 1000);
    dealer_publish (producer, 1, 1, first, 1);
    answer_begin (&answer);
    dealer_expect (gone, &answer, LEAT_DELIVER);
    answer_compare (&answer, first, 1);
    zmq_close (gone);
    /* More for it, until a send fails. */
    uint64_t sequence = 1;
    do {
        assert_true (sequence < 1000);
        dealer_publish (producer, 1, ++sequence, second, 1);
        s_expect_confirmed (producer, sequence);
    } while (hosted_figure (hosted, "counters.sends_unreachable") == 0);
    assert_true (hosted_figure (hosted, "counters.sessions_unreachable") == 1);
    void *heir = dealer_open (hosted->context, ZMQ_DEALER, hosted->endpoint);
    dealer_greet (heir, "heir");
    s_attach (heir, 1, "corn", 1);
    uint64_t seen = 0;
    bool redelivered = false;
    while (seen < sequence) {
        dealer_expect (heir, &answer, LEAT_DELIVER);
        answer_compare (&answer, answer.batch.first == 0 ? first : second, 1);
        redelivered |= answer.batch.first == 0 && (answer.batch.flags & LEAT_DELIVER_REDELIVERED);
        s_ack (heir, &answer, 0);
        seen++;
    }
    assert_true (redelivered);
    answer_end (&answer);
    zmq_close (producer);
    zmq_close (heir);
    hosted_end (&hosted);
}

/* Peers are told BYE, with the time after which to come back; what was confirmed was confirmed before. */
static void test_an_orderly_end (void **state)
{
    static const char *const text[] = { "wheat" };
    answer_t answer;
    leat_broker_options_t options;
    hosted_options (&options);
    hosted_t *hosted = hosted_begin (&options);
    void *context = zmq_ctx_new ();
    void *producer = dealer_open (context, ZMQ_DEALER, hosted->endpoint);
    dealer_greet (producer, "producer");
    s_open (producer, 1, "corn");
    dealer_publish (producer, 1, 1, text, 1);
    s_expect_confirmed (producer, 1);
    hosted_end (&hosted);
    answer_begin (&answer);
    dealer_expect (producer, &answer, LEAT_BYE);
    assert_int_equal (answer.command.bye.code, LEAT_SHUTTING_DOWN);
    assert_int_equal (answer.command.bye.retry_after_ms, 1000);
    answer_end (&answer);
    zmq_close (producer);
    zmq_ctx_term (context);
}

/* The consumer takes one record after the other of a long backlog of single ones. */
static void test_many_small_batches (void **state)
{
    enum { RECORDS = 5000 };
    char text[32];
    const char *const texts[] = { text };
    answer_t answer;
    leat_broker_options_t options;
    hosted_options (&options);
    hosted_t *hosted = hosted_begin (&options);
    void *producer = dealer_open (hosted->context, ZMQ_DEALER, hosted->endpoint);
    void *consumer = dealer_open (hosted->context, ZMQ_DEALER, hosted->endpoint);
    dealer_greet (producer, "producer");
    dealer_greet (consumer, "consumer");
    s_open (producer, 1, "corn");
    for (uint64_t sequence = 1; sequence <= RECORDS; sequence++) {
        snprintf (text, sizeof text, "record %llu", (unsigned long long) sequence);
        dealer_publish (producer, 1, sequence, texts, 1);
        /* The first credit is 32 KiB, and each costs half a KiB and more. */
        if (sequence % 32 == 0)
            s_expect_confirmed (producer, sequence);
    }
    s_expect_confirmed (producer, RECORDS);
    s_attach (consumer, 1, "corn", RECORDS);
    answer_begin (&answer);
    for (uint64_t sequence = 1; sequence <= RECORDS; sequence++) {
        snprintf (text, sizeof text, "record %llu", (unsigned long long) sequence);
        dealer_expect (consumer, &answer, LEAT_DELIVER);
        answer_compare (&answer, texts, 1);
        s_ack (consumer, &answer, 0); /* who settles nothing gets few */
    }
    answer_end (&answer);
    zmq_close (producer);
    zmq_close (consumer);
    hosted_end (&hosted);
}

int main (void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test (test_tcp),
        cmocka_unit_test (test_ipc),
        cmocka_unit_test (test_two_endpoints),
        cmocka_unit_test (test_a_gone_consumer_is_found_by_sending),
        cmocka_unit_test (test_an_orderly_end),
        cmocka_unit_test (test_many_small_batches),
    };
    return cmocka_run_group_tests (tests, NULL, NULL);
}

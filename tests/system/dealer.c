/* Hosted brokers and bare clients.
 * SPDX-License-Identifier: MPL-2.0 */
#include "tests/system/dealer.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "broker/io/clock.h"
#include "wire/alloc.h"
#include "wire/crc32c.h"
#include "wire/record.h"

/* ---- a broker -------------------------------------------------------------------------------- */

void hosted_options (leat_broker_options_t *options)
{
    static const char *const endpoints[] = { "tcp://127.0.0.1:*" };
    leat_broker_options_default (options);
    options->endpoints = endpoints;
    options->stats_endpoint = "tcp://127.0.0.1:*";
    options->software = "leat tested";
    options->limits.heartbeat_interval = 500;
    options->limits.heartbeat_timeout = 30000;
}

static void *s_run (void *arg)
{
    hosted_t *self = arg;
    self->end = leat_broker_run (self->broker);
    return NULL;
}

hosted_t *hosted_begin (const leat_broker_options_t *options)
{
    char error[512] = "";
    hosted_t *self = leat_alloc (sizeof *self);
    self->context = zmq_ctx_new ();
    self->broker = leat_broker_new (options, error, sizeof error);
    if (!self->broker)
        fail_msg ("%s", error);
    self->endpoint = leat_broker_endpoint (self->broker, 0);
    self->stats_endpoint = leat_broker_stats_endpoint (self->broker);
    assert_int_equal (pthread_create (&self->thread, NULL, s_run, self), 0);
    return self;
}

void hosted_end (hosted_t **self_p)
{
    hosted_t *self = *self_p;
    *self_p = NULL;
    leat_broker_stop (self->broker);
    assert_int_equal (pthread_join (self->thread, NULL), 0);
    assert_string_equal (leat_broker_reason (self->broker), "");
    assert_int_equal (self->end, LEAT_BROKER_STOPPED);
    leat_broker_destroy (&self->broker);
    assert_null (self->broker);
    leat_broker_destroy (&self->broker);
    zmq_ctx_term (self->context);
    free (self);
}

char *hosted_ask (const hosted_t *self, const char *query)
{
    zmq_msg_t answer;
    void *socket = dealer_open (self->context, ZMQ_REQ, self->stats_endpoint);
    assert_int_equal (zmq_send (socket, query, strlen (query), 0), strlen (query));
    zmq_msg_init (&answer);
    if (zmq_msg_recv (&answer, socket, 0) < 0)
        fail_msg ("no answer to %s: %s", query, zmq_strerror (errno));
    assert_false (zmq_msg_more (&answer));
    char *text = leat_copy_text (zmq_msg_data (&answer), zmq_msg_size (&answer));
    zmq_msg_close (&answer);
    zmq_close (socket);
    return text;
}

uint64_t hosted_figure (const hosted_t *self, const char *path)
{
    char *text = hosted_ask (self, "stats");
    json_t *root = json_loads (text, 0, NULL);
    assert_non_null (root);
    const json_t *json = root;
    char name[64];
    while (*path) {
        size_t size = strcspn (path, ".");
        assert_true (size < sizeof name);
        memcpy (name, path, size);
        name[size] = '\0';
        path += size + (path[size] == '.');
        json = json_object_get (json, name);
    }
    assert_true (json_is_integer (json));
    uint64_t figure = (uint64_t) json_integer_value (json);
    json_decref (root);
    free (text);
    return figure;
}

void hosted_wait_for (const hosted_t *self, const char *path, uint64_t at_least)
{
    uint64_t until_us = leat_clock_monotonic_us () + UINT64_C (1000) * DEALER_PATIENCE_MS;
    while (hosted_figure (self, path) < at_least)
        if (leat_clock_monotonic_us () > until_us)
            fail_msg ("%s does not reach %llu", path, (unsigned long long) at_least);
}

/* ---- a client -------------------------------------------------------------------------------- */

void answer_begin (answer_t *answer)
{
    memset (answer, 0, sizeof *answer);
    zmq_msg_init (&answer->header);
    zmq_msg_init (&answer->body);
}

void answer_end (answer_t *answer)
{
    zmq_msg_close (&answer->header);
    zmq_msg_close (&answer->body);
}

void *dealer_open (void *context, int type, const char *endpoint)
{
    int zero = 0;
    int patience_ms = DEALER_PATIENCE_MS;
    void *socket = zmq_socket (context, type);
    assert_non_null (socket);
    assert_int_equal (zmq_setsockopt (socket, ZMQ_LINGER, &zero, sizeof zero), 0);
    assert_int_equal (zmq_setsockopt (socket, ZMQ_RCVTIMEO, &patience_ms, sizeof (int)), 0);
    assert_int_equal (zmq_setsockopt (socket, ZMQ_SNDTIMEO, &patience_ms, sizeof (int)), 0);
    assert_int_equal (zmq_connect (socket, endpoint), 0);
    return socket;
}

void dealer_send (void *socket, const leat_command_t *command)
{
    size_t size = leat_command_encoded_size (command);
    uint8_t *bytes = leat_alloc (size);
    leat_command_encode (command, bytes);
    assert_int_equal (zmq_send (socket, bytes, size, 0), size);
    free (bytes);
}

void dealer_greet (void *socket, const char *identity)
{
    answer_t answer;
    leat_command_t hello = { .id = LEAT_HELLO };
    hello.hello.signature = LEAT_SIGNATURE;
    hello.hello.version_min = hello.hello.version_max = LEAT_PROTOCOL_VERSION;
    hello.hello.life = leat_clock_monotonic_us ();
    hello.hello.attempt = 1;
    hello.hello.identity = leat_text (identity);
    dealer_send (socket, &hello);
    answer_begin (&answer);
    dealer_expect (socket, &answer, LEAT_WELCOME);
    answer_end (&answer);
}

void dealer_publish (void *socket, uint32_t channel, uint64_t first, const char *const *texts,
                     uint32_t count)
{
    size_t size = 0;
    for (uint32_t index = 0; index < count; index++)
        size += 4 + strlen (texts[index]);
    uint8_t *body = leat_alloc (size);
    size_t at = 0;
    for (uint32_t index = 0; index < count; index++) {
        leat_record_t record = { .body = (const uint8_t *) texts[index],
                                 .body_size = strlen (texts[index]) };
        at += leat_record_encode (&record, false, body + at);
    }
    assert_int_equal (at, size);
    leat_batch_t batch = { .command = LEAT_PUBLISH,
                           .channel = channel,
                           .count = count,
                           .crc32c = leat_crc32c (body, size),
                           .first = first,
                           .time_ms = leat_clock_wall_ms () };
    uint8_t header[LEAT_BATCH_HEADER_SIZE];
    leat_batch_encode (&batch, header);
    assert_int_equal (zmq_send (socket, header, sizeof header, ZMQ_SNDMORE), sizeof header);
    assert_int_equal (zmq_send (socket, body, size, 0), size);
    free (body);
}

static void s_take_slice (answer_t *answer)
{
    size_t size = zmq_msg_size (&answer->header);
    const uint8_t *end = (const uint8_t *) zmq_msg_data (&answer->header) + size;
    leat_batch_decode (&answer->batch, end - answer->slices * LEAT_BATCH_HEADER_SIZE,
                       LEAT_BATCH_HEADER_SIZE);
    answer->slices--;
    answer->command.id = LEAT_DELIVER;
    assert_int_equal (leat_crc32c (answer->records, answer->batch.size), answer->batch.crc32c);
}

static void s_receive (void *socket, answer_t *answer)
{
    if (answer->slices > 0) {
        answer->records += answer->batch.size;
        s_take_slice (answer);
        return;
    }
    if (zmq_msg_recv (&answer->header, socket, 0) < 0)
        fail_msg ("nothing came: %s", zmq_strerror (errno));
    const uint8_t *bytes = zmq_msg_data (&answer->header);
    size_t size = zmq_msg_size (&answer->header);
    if (!zmq_msg_more (&answer->header)) {
        const char *field = NULL;
        if (leat_command_decode (&answer->command, bytes, size, &field) != LEAT_OK)
            fail_msg ("a command that cannot be read: %s", field);
        return;
    }
    assert_true (zmq_msg_recv (&answer->body, socket, 0) >= 0);
    assert_false (zmq_msg_more (&answer->body));
    answer->slices = leat_batch_slices (bytes, size, zmq_msg_size (&answer->body));
    assert_true (answer->slices > 0);
    answer->records = zmq_msg_data (&answer->body);
    s_take_slice (answer);
}

void dealer_receive (void *socket, answer_t *answer)
{
    do
        s_receive (socket, answer);
    while (answer->command.id == LEAT_PONG);
}

void dealer_expect (void *socket, answer_t *answer, uint8_t id)
{
    do
        dealer_receive (socket, answer);
    while (answer->command.id == LEAT_CREDIT && id != LEAT_CREDIT);
    if (answer->command.id != id)
        fail_msg ("%s came instead of %s: %.*s", leat_command_name (answer->command.id),
                  leat_command_name (id),
                  answer->command.id == LEAT_REFUSED ? (int) answer->command.refused.reason.size
                                                     : 0,
                  answer->command.id == LEAT_REFUSED ? answer->command.refused.reason.data : "");
}

void answer_compare (const answer_t *answer, const char *const *texts, uint32_t count)
{
    const uint8_t *bytes = answer->records;
    size_t left = answer->batch.size;
    assert_int_equal (answer->command.id, LEAT_DELIVER);
    assert_int_equal (answer->batch.count, count);
    for (uint32_t index = 0; index < count; index++) {
        leat_record_t record;
        size_t size = leat_record_decode (&record, false, bytes, left);
        assert_true (size > 0);
        assert_int_equal (record.body_size, strlen (texts[index]));
        assert_memory_equal (record.body, texts[index], record.body_size);
        bytes += size;
        left -= size;
    }
    assert_int_equal (left, 0);
}

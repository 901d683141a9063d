/* What the tests of client, producer and consumer share: a broker, a client, records and a look at
 * all that is in a stream.
 * SPDX-License-Identifier: MPL-2.0 */
#ifndef LEAT_CLIENT_SAMPLE_H
#define LEAT_CLIENT_SAMPLE_H

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "client/gate.h"
#include "leat.h"
#include "tests/unit/test_broker.h"
#include "wire/alloc.h"

enum { SAMPLE_WAIT_MS = 20000 };

typedef struct {
    test_broker_t *broker;
    leat_client_t *client;
    char endpoint[128];
} sample_t;

static inline leat_client_t *sample_client (const char *endpoints, const char *identity)
{
    leat_client_options_t options = { .endpoints = endpoints,
                                      .identity = identity,
                                      .retry_min_ms = 5,
                                      .retry_max_ms = 20,
                                      .closing_timeout_ms = 2000 };
    leat_client_t *client = leat_client_new (&options);
    assert_non_null (client);
    return client;
}

static inline int sample_set_up (void **state)
{
    static unsigned number;
    sample_t *self = leat_alloc (sizeof *self);
    test_broker_endpoint (self->endpoint, sizeof self->endpoint, ++number);
    self->broker = test_broker_new (NULL, self->endpoint);
    test_broker_start (self->broker);
    self->client = sample_client (self->endpoint, NULL);
    *state = self;
    return 0;
}

static inline int sample_tear_down (void **state)
{
    sample_t *self = *state;
    leat_client_destroy (&self->client);
    test_broker_destroy (&self->broker);
    free (self);
    return 0;
}

/* Record n of a producer: text that says its number, and then as many bytes as n tells. */
static inline size_t sample_body (uint8_t *bytes, size_t room, uint64_t n)
{
    int size = snprintf ((char *) bytes, room, "record %llu ", (unsigned long long) n);
    size_t end = (size_t) size + n * 7919 % 301;
    for (size_t index = (size_t) size; index < end; index++)
        bytes[index] = (uint8_t) (n * 31 + index);
    return end;
}

static inline void sample_send (leat_producer_t *producer, uint64_t first, uint64_t last)
{
    uint8_t body[512];
    for (uint64_t n = first; n <= last; n++)
        assert_int_equal (leat_producer_send (producer, body, sample_body (body, sizeof body, n)),
                          0);
}

static inline void sample_check_body (const leat_record_t *record, uint64_t n)
{
    uint8_t body[512];
    size_t size = sample_body (body, sizeof body, n);
    assert_int_equal (record->body_size, size);
    assert_memory_equal (record->body, body, size);
}

/* The stream has exactly the records [1, last] of one producer, in order; all are acked. */
static inline void sample_check_stream (leat_client_t *client, const char *stream, uint64_t last)
{
    leat_consumer_t *consumer = leat_consumer_new (client, stream, NULL);
    assert_non_null (consumer);
    leat_consumer_ask_empty (consumer);
    leat_lease_t *lease;
    uint64_t n = 0;
    while ((lease = leat_consumer_receive_batch (consumer, SAMPLE_WAIT_MS)) != NULL) {
        leat_delivered_t delivered;
        while (leat_lease_next (lease, &delivered)) {
            assert_int_equal (delivered.offset, n);
            sample_check_body (&delivered.record, ++n);
        }
        leat_lease_ack (&lease);
    }
    assert_int_equal (errno, ENODATA);
    assert_int_equal (n, last);
    assert_int_equal (leat_consumer_leave (consumer, SAMPLE_WAIT_MS), 0);
    assert_int_equal (leat_consumer_stale (consumer), 0);
    leat_consumer_destroy (&consumer);
}

#endif

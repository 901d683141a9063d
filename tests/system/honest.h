/* A producer and a consumer that keep to the protocol, to see that they go on beside those that do not.
 * SPDX-License-Identifier: MPL-2.0 */
#ifndef LEAT_TESTS_SYSTEM_HONEST_H
#define LEAT_TESTS_SYSTEM_HONEST_H

#include "tests/system/dealer.h"

/* The identities are "producer" and "consumer", the stream is "corn" and the group "default". */
typedef struct {
    void *producer;
    void *consumer;
    uint64_t published;
    answer_t held; /* the record that the consumer has not settled yet */
} honest_t;

/* Two sessions, which last until honest_end. */
void honest_begin (honest_t *self, void *context, const char *producer_endpoint,
                   const char *consumer_endpoint);
void honest_end (honest_t *self);

/* Publishes a record, has it confirmed and delivered, and compares it; the consumer holds it then. */
void honest_hold (honest_t *self);

/* Settles what is held, and has that confirmed. */
void honest_settle (honest_t *self);

/* Both, one after the other. */
void honest_go_on (honest_t *self);

#endif

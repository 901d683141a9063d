/* One record at a time.
 * SPDX-License-Identifier: MPL-2.0 */
#include "tests/system/honest.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>

enum { OPENED_CHANNEL = 1, ATTACHED_CHANNEL = 2 };

void honest_begin (honest_t *self, void *context, const char *producer_endpoint,
                   const char *consumer_endpoint)
{
    answer_t answer;
    *self = (honest_t){ 0 };
    self->producer = dealer_open (context, ZMQ_DEALER, producer_endpoint);
    self->consumer = dealer_open (context, ZMQ_DEALER, consumer_endpoint);
    dealer_greet (self->producer, "producer");
    dealer_greet (self->consumer, "consumer");
    leat_command_t open = { .id = LEAT_OPEN };
    open.open.channel = OPENED_CHANNEL;
    open.open.base = 1;
    open.open.stream = leat_text ("corn");
    dealer_send (self->producer, &open);
    leat_command_t attach = { .id = LEAT_ATTACH };
    attach.attach.channel = ATTACHED_CHANNEL;
    attach.attach.credit_records = 10;
    attach.attach.credit_size = 1 << 20;
    attach.attach.stream = leat_text ("corn");
    attach.attach.group = leat_text ("default");
    answer_begin (&answer);
    dealer_expect (self->producer, &answer, LEAT_OPENED);
    dealer_send (self->consumer, &attach);
    dealer_expect (self->consumer, &answer, LEAT_ATTACHED);
    answer_end (&answer);
}

void honest_end (honest_t *self)
{
    zmq_close (self->producer);
    zmq_close (self->consumer);
}

void honest_hold (honest_t *self)
{
    char text[32];
    const char *const texts[] = { text };
    answer_t answer;
    snprintf (text, sizeof text, "sheaf %llu", (unsigned long long) ++self->published);
    dealer_publish (self->producer, OPENED_CHANNEL, self->published, texts, 1);
    answer_begin (&answer);
    do
        dealer_expect (self->producer, &answer, LEAT_CONFIRMED);
    while (answer.command.confirmed.sequence < self->published);
    assert_true (answer.command.confirmed.sequence == self->published);
    answer_end (&answer);
    answer_begin (&self->held);
    dealer_receive (self->consumer, &self->held);
    answer_compare (&self->held, texts, 1);
}

void honest_settle (honest_t *self)
{
    answer_t answer;
    leat_settle_entry_t entry = { .epoch = self->held.batch.epoch,
                                  .first = self->held.batch.first,
                                  .count = 1,
                                  .outcome = LEAT_ACK };
    leat_command_t settle = { .id = LEAT_SETTLE };
    settle.settle.channel = ATTACHED_CHANNEL;
    settle.settle.flags = LEAT_SETTLE_CONFIRM;
    settle.settle.entries = (leat_settles_t){ .count = 1, .entries = &entry };
    dealer_send (self->consumer, &settle);
    answer_begin (&answer);
    dealer_expect (self->consumer, &answer, LEAT_SETTLED);
    answer_end (&answer);
    answer_end (&self->held);
}

void honest_go_on (honest_t *self)
{
    honest_hold (self);
    honest_settle (self);
}

/* The producers and consumers of a session, and the channels that they have at the broker.
 * SPDX-License-Identifier: MPL-2.0 */
#include "client/channels.h"

#include <stdlib.h>
#include <string.h>

#include <bsd/sys/queue.h>
#include <bsd/sys/tree.h>

#include "consumers/consumer_engine.h"
#include "producers/producer_engine.h"
#include "wire/alloc.h"
#include "wire/assert.h"

/* An engine, or what is left of a producer that was removed: its part of the window. */
typedef struct channel {
    TAILQ_ENTRY (channel) link;
    RB_ENTRY (channel) by_number;
    uint32_t number; /* 0: none in this connection */
    leat_producer_engine_t *producer;
    leat_consumer_engine_t *consumer;
    uint64_t left_cost;
    uint64_t left_last; /* sequence */
} channel_t;

TAILQ_HEAD (channel_list, channel);
RB_HEAD (channel_tree, channel);

struct leat_channels {
    struct channel_list list; /* engines */
    struct channel_tree tree; /* those with a number, and leftovers */
    uint32_t count;           /* of the list */
    uint32_t waiting;         /* engines that have yet to begin */
    uint32_t last_number;
};

static int s_compare (const channel_t *a, const channel_t *b)
{
    return a->number < b->number ? -1 : a->number > b->number;
}

/* RB_GENERATE_STATIC itself needs the macro __unused of BSD. */
RB_GENERATE_INTERNAL (channel_tree, channel, by_number, s_compare, static __attribute__ ((unused)))

leat_channels_t *leat_channels_new (void)
{
    leat_channels_t *self = leat_alloc (sizeof *self);
    TAILQ_INIT (&self->list);
    RB_INIT (&self->tree);
    return self;
}

static bool s_is_leftover (const channel_t *channel)
{
    return channel->producer == NULL && channel->consumer == NULL;
}

/* Empties the tree; engines stay in the list, leftovers go. */
static void s_forget_numbers (leat_channels_t *self)
{
    channel_t *channel;
    while ((channel = RB_ROOT (&self->tree)) != NULL) {
        RB_REMOVE (channel_tree, &self->tree, channel);
        channel->number = 0;
        if (s_is_leftover (channel))
            free (channel);
    }
    self->last_number = 0;
}

void leat_channels_destroy (leat_channels_t **self_p)
{
    leat_channels_t *self = *self_p;
    if (self == NULL)
        return;
    s_forget_numbers (self);
    channel_t *channel, *next;
    TAILQ_FOREACH_SAFE (channel, &self->list, link, next)
        free (channel);
    free (self);
    *self_p = NULL;
}

uint32_t leat_channels_count (const leat_channels_t *self)
{
    return self->count;
}

static bool s_producer_is_over (const leat_producer_engine_t *producer)
{
    leat_producer_state_t state = leat_producer_engine_state (producer);
    return state == LEAT_PRODUCER_ENDED || state == LEAT_PRODUCER_FAILED;
}

static bool s_consumer_is_over (const leat_consumer_engine_t *consumer)
{
    leat_consumer_state_t state = leat_consumer_engine_state (consumer);
    return state == LEAT_CONSUMER_ENDED || state == LEAT_CONSUMER_FAILED;
}

bool leat_channels_publishes (const leat_channels_t *self, const char *stream)
{
    const channel_t *channel;
    TAILQ_FOREACH (channel, &self->list, link)
        if (channel->producer != NULL && !s_producer_is_over (channel->producer)
            && strcmp (leat_producer_engine_stream (channel->producer), stream) == 0)
            return true;
    return false;
}

static void s_add (leat_channels_t *self, leat_producer_engine_t *producer,
                   leat_consumer_engine_t *consumer)
{
    channel_t *channel = leat_alloc (sizeof *channel);
    channel->producer = producer;
    channel->consumer = consumer;
    TAILQ_INSERT_TAIL (&self->list, channel, link);
    self->count++;
    self->waiting++;
}

void leat_channels_add_producer (leat_channels_t *self, leat_producer_engine_t *producer)
{
    s_add (self, producer, NULL);
}

void leat_channels_add_consumer (leat_channels_t *self, leat_consumer_engine_t *consumer)
{
    s_add (self, NULL, consumer);
}

static void s_remove (leat_channels_t *self, channel_t *channel)
{
    TAILQ_REMOVE (&self->list, channel, link);
    self->count--;
    if (channel->number == 0)
        self->waiting--;
    else if (channel->producer != NULL)
        channel->left_cost =
            leat_producer_engine_cost_in_flight (channel->producer, &channel->left_last);
    channel->producer = NULL;
    channel->consumer = NULL;
    if (channel->left_cost > 0)
        return;
    if (channel->number != 0)
        RB_REMOVE (channel_tree, &self->tree, channel);
    free (channel);
}

void leat_channels_remove_producer (leat_channels_t *self, leat_producer_engine_t *producer)
{
    channel_t *channel, *next;
    TAILQ_FOREACH_SAFE (channel, &self->list, link, next)
        if (channel->producer == producer)
            s_remove (self, channel);
}

void leat_channels_remove_consumer (leat_channels_t *self, leat_consumer_engine_t *consumer)
{
    channel_t *channel, *next;
    TAILQ_FOREACH_SAFE (channel, &self->list, link, next)
        if (channel->consumer == consumer)
            s_remove (self, channel);
}

void leat_channels_begin (leat_channels_t *self, const leat_session_terms_t *terms,
                          leat_outbox_t *outbox)
{
    channel_t *channel;
    TAILQ_FOREACH (channel, &self->list, link) {
        if (self->waiting == 0)
            break;
        if (channel->number != 0)
            continue;
        /* A connection would have to last for 2^32 channels. */
        leat_assert (self->last_number < UINT32_MAX);
        channel->number = ++self->last_number;
        self->waiting--;
        RB_INSERT (channel_tree, &self->tree, channel);
        if (channel->producer != NULL)
            leat_producer_engine_begin (channel->producer, channel->number, terms, outbox);
        else
            leat_consumer_engine_begin (channel->consumer, channel->number, outbox);
    }
}

bool leat_channels_waiting (const leat_channels_t *self)
{
    return self->waiting > 0;
}

void leat_channels_lost (leat_channels_t *self)
{
    channel_t *channel;
    TAILQ_FOREACH (channel, &self->list, link) {
        if (channel->number == 0)
            continue;
        if (channel->producer != NULL)
            leat_producer_engine_lost (channel->producer);
        else
            leat_consumer_engine_lost (channel->consumer);
    }
    s_forget_numbers (self);
    self->waiting = self->count;
}

/* ---- what the broker says -------------------------------------------------------------------- */

/* The channel that a command of a broker is for; 0 if it is for none. */
static uint32_t s_number_of (const leat_command_t *command)
{
    switch (command->id) {
    case LEAT_OPENED:
        return command->opened.channel;
    case LEAT_CONFIRMED:
        return command->confirmed.channel;
    case LEAT_CREDIT:
        return command->credit.channel;
    case LEAT_CLOSED:
        return command->closed.channel;
    case LEAT_ATTACHED:
        return command->attached.channel;
    case LEAT_SETTLED:
        return command->settled.channel;
    case LEAT_RECALL:
        return command->recall.channel;
    case LEAT_EMPTY:
        return command->empty.channel;
    case LEAT_LEFT:
        return command->left.channel;
    case LEAT_DRAIN:
        return command->drain.channel;
    case LEAT_REVOKED:
        return command->revoked.channel;
    case LEAT_STALE:
        return command->stale.channel;
    case LEAT_REFUSED:
        return command->refused.channel;
    default:
        return 0;
    }
}

static channel_t *s_find (leat_channels_t *self, uint32_t number)
{
    channel_t key = { .number = number };
    return RB_FIND (channel_tree, &self->tree, &key);
}

/* What a removed producer had on its way comes back into the window. */
static void s_answer_leftover (leat_channels_t *self, channel_t *channel,
                               const leat_command_t *command, leat_session_window_t *window)
{
    bool is_answered =
        command->id == LEAT_CLOSED
        || (command->id == LEAT_REFUSED && command->refused.command == LEAT_PUBLISH)
        || (command->id == LEAT_CONFIRMED && command->confirmed.sequence >= channel->left_last);
    if (!is_answered)
        return;
    window->used -= channel->left_cost;
    RB_REMOVE (channel_tree, &self->tree, channel);
    free (channel);
}

/* Commands of a producer may be refused to a producer only. */
static bool s_is_for_producer (const leat_command_t *command)
{
    unsigned id = command->id == LEAT_REFUSED ? command->refused.command : command->id;
    return id >= LEAT_OPEN && id <= LEAT_CLOSED;
}

bool leat_channels_receive (leat_channels_t *self, const leat_command_t *command, uint64_t now_us,
                            leat_session_window_t *window, leat_outbox_t *outbox)
{
    uint32_t number = s_number_of (command);
    if (number == 0 || number > self->last_number)
        return false;
    channel_t *channel = s_find (self, number);
    if (channel == NULL)
        return true;
    if (s_is_leftover (channel)) {
        s_answer_leftover (self, channel, command, window);
        return true;
    }
    if (s_is_for_producer (command) != (channel->producer != NULL))
        return false;
    if (channel->producer != NULL)
        return leat_producer_engine_receive (channel->producer, command, now_us, window, outbox);
    leat_consumer_engine_receive (channel->consumer, command, outbox);
    return true;
}

bool leat_channels_deliver (leat_channels_t *self, const leat_batch_t *batch, leat_buffer_t *body,
                            leat_outbox_t *outbox)
{
    if (batch->channel == 0 || batch->channel > self->last_number)
        return false;
    channel_t *channel = s_find (self, batch->channel);
    if (channel == NULL)
        return true;
    if (channel->consumer == NULL)
        return false;
    leat_consumer_engine_deliver (channel->consumer, batch, body, outbox);
    return true;
}

/* ---- all of them ----------------------------------------------------------------------------- */

void leat_channels_run (leat_channels_t *self, uint64_t now_us, leat_session_window_t *window,
                        leat_outbox_t *outbox)
{
    channel_t *channel;
    TAILQ_FOREACH (channel, &self->list, link) {
        if (channel->producer != NULL)
            leat_producer_engine_run (channel->producer, now_us, window, outbox);
        else
            leat_consumer_engine_run (channel->consumer, now_us, outbox);
    }
    channel = TAILQ_FIRST (&self->list);
    if (channel != NULL) {
        TAILQ_REMOVE (&self->list, channel, link);
        TAILQ_INSERT_TAIL (&self->list, channel, link);
    }
}

uint64_t leat_channels_deadline (const leat_channels_t *self)
{
    uint64_t earliest_us = UINT64_MAX;
    const channel_t *channel;
    TAILQ_FOREACH (channel, &self->list, link) {
        uint64_t deadline_us = channel->producer != NULL
                                   ? leat_producer_engine_deadline (channel->producer)
                                   : leat_consumer_engine_deadline (channel->consumer);
        if (deadline_us < earliest_us)
            earliest_us = deadline_us;
    }
    return earliest_us;
}

bool leat_channels_busy (const leat_channels_t *self)
{
    const channel_t *channel;
    TAILQ_FOREACH (channel, &self->list, link)
        if (channel->producer != NULL ? leat_producer_engine_busy (channel->producer)
                                      : leat_consumer_engine_busy (channel->consumer))
            return true;
    return false;
}

void leat_channels_close (leat_channels_t *self)
{
    channel_t *channel;
    TAILQ_FOREACH (channel, &self->list, link) {
        if (channel->producer != NULL)
            leat_producer_engine_close (channel->producer);
        else
            leat_consumer_engine_leave (channel->consumer);
    }
}

bool leat_channels_done (const leat_channels_t *self, bool is_connected)
{
    const channel_t *channel;
    TAILQ_FOREACH (channel, &self->list, link) {
        const leat_producer_engine_t *producer = channel->producer;
        if (producer == NULL) {
            if (is_connected && !s_consumer_is_over (channel->consumer))
                return false;
        } else if (!s_producer_is_over (producer)
                   && (is_connected || leat_producer_engine_unconfirmed_size (producer) > 0)) {
            return false;
        }
    }
    return true;
}

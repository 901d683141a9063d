/* The producers and consumers of a session, and the channels that they have at the broker.
 * SPDX-License-Identifier: MPL-2.0 */
#include "client/channels.h"

#include <stdlib.h>
#include <string.h>

#include <bsd/sys/queue.h>
#include <bsd/sys/tree.h>

#include "client/agenda.h"
#include "consumers/consumer_engine.h"
#include "producers/producer_engine.h"
#include "wire/alloc.h"
#include "wire/assert.h"

/* An engine, or what is left of a producer that was removed: its part of the window. */
typedef struct channel {
    TAILQ_ENTRY (channel) link;
    TAILQ_ENTRY (channel) in_waiting; /* without a number */
    TAILQ_ENTRY (channel) in_cramped; /* if is_cramped */
    RB_ENTRY (channel) by_number;
    RB_ENTRY (channel) by_stream; /* if is_named */
    uint32_t number;              /* 0: none in this connection */
    bool is_named;
    bool is_cramped;
    leat_producer_engine_t *producer;
    leat_consumer_engine_t *consumer;
    leat_attention_t *attention; /* of one of the two */
    uint64_t left_cost;
    uint64_t left_last; /* sequence */
} channel_t;

TAILQ_HEAD (channel_list, channel);
RB_HEAD (channel_tree, channel);
RB_HEAD (stream_tree, channel);

struct leat_channels {
    struct channel_list list;    /* engines */
    struct channel_tree tree;    /* those with a number, and leftovers */
    struct stream_tree streams;  /* the last producer of each stream */
    struct channel_list waiting; /* engines that have yet to begin */
    struct channel_list cramped; /* producers for whose next batch the window has no room */
    leat_agenda_t *agenda;       /* engines */
    uint32_t count;              /* of the list */
    uint32_t last_number;
};

static int s_compare (const channel_t *a, const channel_t *b)
{
    return a->number < b->number ? -1 : a->number > b->number;
}

static int s_compare_streams (const channel_t *a, const channel_t *b)
{
    return strcmp (leat_producer_engine_stream (a->producer),
                   leat_producer_engine_stream (b->producer));
}

/* RB_GENERATE_STATIC itself needs the macro __unused of BSD. */
RB_GENERATE_INTERNAL (channel_tree, channel, by_number, s_compare, static __attribute__ ((unused)))
RB_GENERATE_INTERNAL (stream_tree, channel, by_stream, s_compare_streams,
                      static __attribute__ ((unused)))

leat_channels_t *leat_channels_new (void)
{
    leat_channels_t *self = leat_alloc (sizeof *self);
    TAILQ_INIT (&self->list);
    TAILQ_INIT (&self->waiting);
    TAILQ_INIT (&self->cramped);
    RB_INIT (&self->tree);
    RB_INIT (&self->streams);
    self->agenda = leat_agenda_new ();
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
    leat_agenda_destroy (&self->agenda);
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

/* ---- engines --------------------------------------------------------------------------------- */

/* RB_FIND compares with an engine, and here is none: */
static channel_t *s_find_stream (const leat_channels_t *self, const char *stream)
{
    channel_t *channel = RB_ROOT (&self->streams);
    while (channel != NULL) {
        int order = strcmp (stream, leat_producer_engine_stream (channel->producer));
        if (order == 0)
            break;
        channel = order < 0 ? RB_LEFT (channel, by_stream) : RB_RIGHT (channel, by_stream);
    }
    return channel;
}

bool leat_channels_publishes (const leat_channels_t *self, const char *stream)
{
    const channel_t *channel = s_find_stream (self, stream);
    return channel != NULL
           && (!s_producer_is_over (channel->producer)
               || leat_producer_engine_has_channel (channel->producer));
}

static void s_unname (leat_channels_t *self, channel_t *channel)
{
    if (channel->is_named)
        RB_REMOVE (stream_tree, &self->streams, channel);
    channel->is_named = false;
}

static channel_t *s_add (leat_channels_t *self, leat_producer_engine_t *producer,
                         leat_consumer_engine_t *consumer)
{
    channel_t *channel = leat_alloc (sizeof *channel);
    channel->producer = producer;
    channel->consumer = consumer;
    channel->attention = producer != NULL ? leat_producer_engine_attention (producer)
                                          : leat_consumer_engine_attention (consumer);
    TAILQ_INSERT_TAIL (&self->list, channel, link);
    TAILQ_INSERT_TAIL (&self->waiting, channel, in_waiting);
    leat_agenda_add (self->agenda, channel->attention, channel);
    self->count++;
    return channel;
}

void leat_channels_add_producer (leat_channels_t *self, leat_producer_engine_t *producer)
{
    channel_t *former = s_find_stream (self, leat_producer_engine_stream (producer));
    if (former != NULL)
        s_unname (self, former); /* it is over */
    channel_t *channel = s_add (self, producer, NULL);
    RB_INSERT (stream_tree, &self->streams, channel);
    channel->is_named = true;
}

void leat_channels_add_consumer (leat_channels_t *self, leat_consumer_engine_t *consumer)
{
    s_add (self, NULL, consumer);
}

/* Whether it is in the queue of those for which the window has no room. */
static void s_queue (leat_channels_t *self, channel_t *channel, bool is_cramped)
{
    if (channel->is_cramped == is_cramped)
        return;
    if (is_cramped)
        TAILQ_INSERT_TAIL (&self->cramped, channel, in_cramped);
    else
        TAILQ_REMOVE (&self->cramped, channel, in_cramped);
    channel->is_cramped = is_cramped;
}

static void s_remove (leat_channels_t *self, leat_attention_t *attention)
{
    if (attention->agenda != self->agenda)
        return;
    channel_t *channel = attention->owner;
    leat_agenda_remove (self->agenda, attention);
    s_queue (self, channel, false);
    s_unname (self, channel);
    TAILQ_REMOVE (&self->list, channel, link);
    self->count--;
    if (channel->number == 0)
        TAILQ_REMOVE (&self->waiting, channel, in_waiting);
    else if (channel->producer != NULL)
        channel->left_cost =
            leat_producer_engine_cost_in_flight (channel->producer, &channel->left_last);
    channel->producer = NULL;
    channel->consumer = NULL;
    channel->attention = NULL;
    if (channel->left_cost > 0)
        return;
    if (channel->number != 0)
        RB_REMOVE (channel_tree, &self->tree, channel);
    free (channel);
}

void leat_channels_remove_producer (leat_channels_t *self, leat_producer_engine_t *producer,
                                    leat_outbox_t *outbox)
{
    const leat_attention_t *attention = leat_producer_engine_attention (producer);
    if (attention->agenda != self->agenda)
        return;
    const channel_t *channel = attention->owner;
    if (channel->number != 0 && outbox != NULL)
        leat_producer_engine_part (producer, outbox);
    s_remove (self, leat_producer_engine_attention (producer));
}

void leat_channels_remove_consumer (leat_channels_t *self, leat_consumer_engine_t *consumer)
{
    s_remove (self, leat_consumer_engine_attention (consumer));
}

void leat_channels_begin (leat_channels_t *self, const leat_session_terms_t *terms,
                          leat_outbox_t *outbox)
{
    channel_t *channel;
    while ((channel = TAILQ_FIRST (&self->waiting)) != NULL) {
        /* A connection would have to last for 2^32 channels. */
        leat_assert (self->last_number < UINT32_MAX);
        channel->number = ++self->last_number;
        TAILQ_REMOVE (&self->waiting, channel, in_waiting);
        RB_INSERT (channel_tree, &self->tree, channel);
        if (channel->producer != NULL)
            leat_producer_engine_begin (channel->producer, channel->number, terms, outbox);
        else
            leat_consumer_engine_begin (channel->consumer, channel->number, outbox);
    }
}

bool leat_channels_waiting (const leat_channels_t *self)
{
    return !TAILQ_EMPTY (&self->waiting);
}

void leat_channels_lost (leat_channels_t *self)
{
    channel_t *channel;
    TAILQ_INIT (&self->waiting);
    TAILQ_FOREACH (channel, &self->list, link) {
        TAILQ_INSERT_TAIL (&self->waiting, channel, in_waiting);
        s_queue (self, channel, false);
        if (channel->number == 0)
            continue;
        if (channel->producer != NULL)
            leat_producer_engine_lost (channel->producer);
        else
            leat_consumer_engine_lost (channel->consumer);
    }
    s_forget_numbers (self);
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

bool leat_channels_deliver (leat_channels_t *self, const leat_batch_t *batch, leat_slice_t records,
                            leat_outbox_t *outbox)
{
    if (batch->channel == 0 || batch->channel > self->last_number)
        return false;
    channel_t *channel = s_find (self, batch->channel);
    if (channel == NULL)
        return true;
    if (channel->consumer == NULL)
        return false;
    leat_consumer_engine_deliver (channel->consumer, batch, records, outbox);
    return true;
}

/* ---- all of them ----------------------------------------------------------------------------- */

static void s_note (const leat_channels_t *self, const channel_t *channel)
{
    leat_condition_t condition;
    const leat_producer_engine_t *producer = channel->producer;
    const leat_consumer_engine_t *consumer = channel->consumer;
    if (producer != NULL) {
        bool is_over = s_producer_is_over (producer);
        condition = (leat_condition_t){
            .deadline_us = leat_producer_engine_deadline (producer),
            .is_busy = leat_producer_engine_busy (producer),
            .is_pending = !is_over,
            .is_owed = !is_over && leat_producer_engine_unconfirmed_size (producer) > 0,
        };
    } else {
        condition = (leat_condition_t){
            .deadline_us = leat_consumer_engine_deadline (consumer),
            .is_busy = leat_consumer_engine_busy (consumer),
            .is_pending = !s_consumer_is_over (consumer),
        };
    }
    leat_agenda_note (self->agenda, channel->attention, &condition);
}

/* To be called before the agenda is asked for its sums. */
static void s_refresh (const leat_channels_t *self)
{
    const channel_t *channel;
    while ((channel = leat_agenda_changed (self->agenda)) != NULL)
        s_note (self, channel);
}

static void s_run_producer (leat_channels_t *self, channel_t *channel, uint64_t now_us,
                            leat_session_window_t *window, leat_outbox_t *outbox)
{
    leat_producer_engine_run (channel->producer, now_us, window, outbox);
    s_note (self, channel);
    s_queue (self, channel, leat_producer_engine_is_cramped (channel->producer));
}

/* Room in the window goes to those that were left without, one after the other. One that has used some
 * and wants more queues up again; the first that can use nothing of what is left has to wait for
 * confirmations, and so do all behind it, or else small batches would keep a large one waiting. */
static void s_serve_cramped (leat_channels_t *self, uint64_t now_us, leat_session_window_t *window,
                             leat_outbox_t *outbox)
{
    channel_t *channel;
    while ((channel = TAILQ_FIRST (&self->cramped)) != NULL) {
        uint64_t used = window->used;
        s_run_producer (self, channel, now_us, window, outbox);
        if (channel->is_cramped && window->used == used)
            break;
        leat_attention_tell (channel->attention);
        if (channel->is_cramped) {
            TAILQ_REMOVE (&self->cramped, channel, in_cramped);
            TAILQ_INSERT_TAIL (&self->cramped, channel, in_cramped);
        }
    }
}

void leat_channels_run (leat_channels_t *self, uint64_t now_us, leat_session_window_t *window,
                        leat_outbox_t *outbox)
{
    leat_agenda_call (self->agenda, now_us);
    s_serve_cramped (self, now_us, window, outbox);
    channel_t *channel;
    while ((channel = leat_agenda_next (self->agenda)) != NULL) {
        /* Nobody overtakes those that queue. */
        leat_session_window_t none = { 0 };
        bool is_full = !TAILQ_EMPTY (&self->cramped);
        if (channel->producer != NULL)
            s_run_producer (self, channel, now_us, is_full ? &none : window, outbox);
        else {
            leat_consumer_engine_run (channel->consumer, now_us, outbox);
            s_note (self, channel);
        }
    }
}

uint64_t leat_channels_deadline (const leat_channels_t *self)
{
    s_refresh (self);
    return leat_agenda_deadline (self->agenda);
}

bool leat_channels_busy (const leat_channels_t *self)
{
    s_refresh (self);
    return leat_agenda_busy (self->agenda) > 0;
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
    s_refresh (self);
    return (is_connected ? leat_agenda_pending (self->agenda) : leat_agenda_owed (self->agenda))
           == 0;
}

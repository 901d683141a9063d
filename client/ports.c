/* The producers and consumers of a client, and which of them have something to do.
 * SPDX-License-Identifier: MPL-2.0 */
#include "client/ports.h"

#include <string.h>

#include "client/client_state.h"

static int s_compare_deadlines (const leat_port_t *a, const leat_port_t *b)
{
    if (a->deadline_us != b->deadline_us)
        return a->deadline_us < b->deadline_us ? -1 : 1;
    return (a->number > b->number) - (a->number < b->number);
}

static int s_compare_streams (const leat_port_t *a, const leat_port_t *b)
{
    int order = strcmp (a->stream, b->stream);
    if (order != 0)
        return order;
    return (a->number > b->number) - (a->number < b->number);
}

/* RB_GENERATE_STATIC itself needs the macro __unused of BSD. */
RB_GENERATE_INTERNAL (leat_port_deadlines, leat_port, by_deadline, s_compare_deadlines,
                      static __attribute__ ((unused)))
RB_GENERATE_INTERNAL (leat_port_streams, leat_port, by_stream, s_compare_streams,
                      static __attribute__ ((unused)))

void leat_ports_init (leat_ports_t *self)
{
    TAILQ_INIT (&self->all);
    TAILQ_INIT (&self->due);
    TAILQ_INIT (&self->news);
    TAILQ_INIT (&self->deferred);
    TAILQ_INIT (&self->outside);
    RB_INIT (&self->deadlines);
    RB_INIT (&self->streams);
    atomic_init (&self->called, NULL);
}

/* ---- any thread ------------------------------------------------------------------------------ */

void leat_port_mark (leat_port_t *self)
{
    leat_ports_t *ports = &self->client->ports;
    if (atomic_load (&self->is_called) || atomic_exchange (&self->is_called, true))
        return;
    leat_port_t *top = atomic_load (&ports->called);
    do
        self->next_called = top;
    while (!atomic_compare_exchange_weak (&ports->called, &top, self));
}

void leat_port_call (leat_port_t *self, leat_urgency_t urgency)
{
    leat_port_mark (self);
    leat_client_wake (self->client, urgency);
}

/* Takes the stack. A port that was called is not looked at before its flag is reset, so that whoever
 * leaves work after the look calls it again. */
static void s_take_called (leat_ports_t *self)
{
    if (atomic_load (&self->called) == NULL)
        return;
    leat_port_t *port = atomic_exchange (&self->called, NULL);
    leat_port_t *first = NULL;
    while (port != NULL) {
        leat_port_t *next = port->next_called;
        port->next_called = first;
        first = port;
        port = next;
    }
    while (first != NULL) {
        leat_port_t *next = first->next_called;
        atomic_store (&first->is_called, false);
        leat_port_touch (first);
        first = next;
    }
}

/* ---- joining and parting --------------------------------------------------------------------- */

void leat_ports_add (leat_ports_t *self, leat_port_t *port)
{
    port->number = ++self->last_number;
    port->deadline_us = UINT64_MAX;
    TAILQ_INSERT_TAIL (&self->all, port, link);
    if (port->stream != NULL)
        RB_INSERT (leat_port_streams, &self->streams, port);
    else
        self->others++;
    leat_port_touch (port);
}

void leat_ports_remove (leat_ports_t *self, leat_port_t *port)
{
    s_take_called (self);
    if (port->is_due)
        TAILQ_REMOVE (&self->due, port, in_due);
    if (port->is_news)
        TAILQ_REMOVE (&self->news, port, in_news);
    if (port->is_deferred)
        TAILQ_REMOVE (&self->deferred, port, in_deferred);
    leat_port_set_outside (port, false);
    leat_port_set_deadline (port, UINT64_MAX);
    if (port->stream != NULL)
        RB_REMOVE (leat_port_streams, &self->streams, port);
    else
        self->others--;
    TAILQ_REMOVE (&self->all, port, link);
    leat_ports_touch_outside (self);
}

leat_port_t *leat_ports_find (const leat_ports_t *self, const char *stream)
{
    leat_port_t *found = NULL;
    leat_port_t *port = RB_ROOT (&self->streams);
    while (port != NULL) {
        int order = strcmp (stream, port->stream);
        if (order == 0)
            found = port;
        port = order <= 0 ? RB_LEFT (port, by_stream) : RB_RIGHT (port, by_stream);
    }
    return found;
}

leat_port_t *leat_ports_find_next (leat_port_t *port)
{
    leat_port_t *next = RB_NEXT (leat_port_streams, NULL, port);
    return next != NULL && strcmp (next->stream, port->stream) == 0 ? next : NULL;
}

bool leat_ports_has_only_producers (const leat_ports_t *self)
{
    return self->others == 0;
}

/* ---- who has something to do ----------------------------------------------------------------- */

void leat_port_touch (leat_port_t *self)
{
    if (self->is_due)
        return;
    self->is_due = true;
    TAILQ_INSERT_TAIL (&self->client->ports.due, self, in_due);
}

static void s_add_news (leat_port_t *self)
{
    if (self->is_news)
        return;
    self->is_news = true;
    TAILQ_INSERT_TAIL (&self->client->ports.news, self, in_news);
}

void leat_port_notice (void *port)
{
    leat_port_t *self = port;
    if (self->client->ports.is_fed)
        s_add_news (self);
    else
        leat_port_touch (self);
}

void leat_port_defer (leat_port_t *self)
{
    if (self->is_deferred)
        return;
    self->is_deferred = true;
    TAILQ_INSERT_TAIL (&self->client->ports.deferred, self, in_deferred);
}

void leat_port_set_outside (leat_port_t *self, bool is_outside)
{
    if (self->is_outside == is_outside)
        return;
    self->is_outside = is_outside;
    if (is_outside)
        TAILQ_INSERT_TAIL (&self->client->ports.outside, self, in_outside);
    else
        TAILQ_REMOVE (&self->client->ports.outside, self, in_outside);
}

void leat_ports_touch_outside (leat_ports_t *self)
{
    leat_port_t *port;
    TAILQ_FOREACH (port, &self->outside, in_outside)
        leat_port_touch (port);
}

void leat_port_set_deadline (leat_port_t *self, uint64_t deadline_us)
{
    if (self->deadline_us == deadline_us)
        return;
    leat_ports_t *ports = &self->client->ports;
    if (self->deadline_us != UINT64_MAX)
        RB_REMOVE (leat_port_deadlines, &ports->deadlines, self);
    self->deadline_us = deadline_us;
    if (deadline_us != UINT64_MAX)
        RB_INSERT (leat_port_deadlines, &ports->deadlines, self);
}

/* ---- turns ----------------------------------------------------------------------------------- */

void leat_ports_begin (leat_ports_t *self)
{
    self->is_fed = false;
}

void leat_ports_gather (leat_ports_t *self, uint64_t now_us)
{
    s_take_called (self);
    leat_port_t *port;
    RB_FOREACH (port, leat_port_deadlines, &self->deadlines) {
        if (port->deadline_us > now_us)
            break;
        leat_port_touch (port);
    }
    self->is_fed = true;
}

leat_port_t *leat_ports_next_due (leat_ports_t *self)
{
    leat_port_t *port = TAILQ_FIRST (&self->due);
    if (port == NULL)
        return NULL;
    TAILQ_REMOVE (&self->due, port, in_due);
    port->is_due = false;
    s_add_news (port);
    return port;
}

leat_port_t *leat_ports_next_news (leat_ports_t *self)
{
    leat_port_t *port = TAILQ_FIRST (&self->news);
    if (port == NULL)
        return NULL;
    TAILQ_REMOVE (&self->news, port, in_news);
    port->is_news = false;
    return port;
}

void leat_ports_sent (leat_ports_t *self)
{
    leat_port_t *port;
    while ((port = TAILQ_FIRST (&self->deferred)) != NULL) {
        TAILQ_REMOVE (&self->deferred, port, in_deferred);
        port->is_deferred = false;
        s_add_news (port);
    }
}

bool leat_ports_have_work (const leat_ports_t *self)
{
    return atomic_load (&self->called) != NULL || !TAILQ_EMPTY (&self->due)
           || !TAILQ_EMPTY (&self->news);
}

uint64_t leat_ports_deadline (const leat_ports_t *self)
{
    /* RB_MIN has no const form. */
    const leat_port_t *first = RB_ROOT (&self->deadlines);
    while (first != NULL && RB_LEFT (first, by_deadline) != NULL)
        first = RB_LEFT (first, by_deadline);
    return first != NULL ? first->deadline_us : UINT64_MAX;
}

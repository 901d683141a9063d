/* How threads of a store hand things to each other.
 * SPDX-License-Identifier: MPL-2.0 */
#include "broker/store/handover.h"

#include <poll.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "wire/alloc.h"
#include "wire/assert.h"

/* All operations are sequentially consistent: either the sleeper sees what was pushed before it
 * sleeps, or who pushed sees that it has armed. */

enum { IDLE, ARMED, RUNG };

void leat_queue_begin (leat_queue_t *self)
{
    self->first = leat_alloc (sizeof *self->first);
    self->last = self->first;
}

void leat_queue_end (leat_queue_t *self)
{
    leat_assert (leat_queue_empty (self));
    free (self->first);
    self->first = NULL;
    self->last = NULL;
}

void leat_queue_push (leat_queue_t *self, void *item)
{
    leat_queue_node_t *node = leat_alloc (sizeof *node);
    node->item = item;
    leat_queue_node_t *before = self->last;
    self->last = node;
    atomic_store (&before->next, node); /* from here on the taker may free `before` */
}

void *leat_queue_take (leat_queue_t *self)
{
    leat_queue_node_t *node = atomic_load (&self->first->next);
    if (!node)
        return NULL;
    free (self->first);
    self->first = node;
    return node->item;
}

bool leat_queue_empty (const leat_queue_t *self)
{
    return !atomic_load (&self->first->next);
}

int leat_bell_begin (leat_bell_t *self)
{
    self->fd = eventfd (0, EFD_CLOEXEC | EFD_NONBLOCK);
    atomic_store (&self->state, IDLE);
    self->undrained = 0;
    return self->fd < 0 ? -1 : 0;
}

void leat_bell_end (leat_bell_t *self)
{
    if (self->fd >= 0)
        close (self->fd);
    self->fd = -1;
}

/* Whoever rang may be between saying so and writing; then fd becomes readable later, and the next
 * call here sees it. */
static void s_drain (leat_bell_t *self)
{
    uint64_t count;
    if (self->undrained && read (self->fd, &count, sizeof count) == sizeof count)
        self->undrained -= count;
}

void leat_bell_arm (leat_bell_t *self)
{
    s_drain (self);
    atomic_store (&self->state, ARMED);
}

void leat_bell_disarm (leat_bell_t *self)
{
    if (atomic_exchange (&self->state, IDLE) == RUNG)
        self->undrained++;
    s_drain (self);
}

void leat_bell_ring (leat_bell_t *self)
{
    int armed = ARMED;
    if (atomic_load (&self->state) != ARMED
        || !atomic_compare_exchange_strong (&self->state, &armed, RUNG))
        return;
    uint64_t one = 1;
    ssize_t written = write (self->fd, &one, sizeof one);
    leat_assert (written == sizeof one);
}

void leat_bell_wait (const leat_bell_t *self, int timeout_ms)
{
    struct pollfd item = { .fd = self->fd, .events = POLLIN };
    (void) poll (&item, 1, timeout_ms); /* EINTR: whoever waits looks again */
}

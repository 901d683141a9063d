/* Which engines of a session want to be run, and when.
 * SPDX-License-Identifier: MPL-2.0 */
#include "client/agenda.h"

#include <stdlib.h>

#include "wire/alloc.h"
#include "wire/assert.h"

TAILQ_HEAD (attention_list, leat_attention);
RB_HEAD (attention_tree, leat_attention);

struct leat_agenda {
    struct attention_list changed; /* in the order in which they were marked, as is ... */
    struct attention_list noted;
    struct attention_tree deadlines;
    uint64_t last_number;
    uint32_t busy;
    uint32_t pending;
    uint32_t owed;
};

static int s_compare (const leat_attention_t *a, const leat_attention_t *b)
{
    uint64_t a_us = a->condition.deadline_us, b_us = b->condition.deadline_us;
    if (a_us != b_us)
        return a_us < b_us ? -1 : 1;
    return (a->number > b->number) - (a->number < b->number);
}

/* RB_GENERATE_STATIC itself needs the macro __unused of BSD. */
RB_GENERATE_INTERNAL (attention_tree, leat_attention, by_deadline, s_compare,
                      static __attribute__ ((unused)))

static const leat_condition_t s_nothing = { .deadline_us = UINT64_MAX };

leat_agenda_t *leat_agenda_new (void)
{
    leat_agenda_t *self = leat_alloc (sizeof *self);
    TAILQ_INIT (&self->changed);
    TAILQ_INIT (&self->noted);
    RB_INIT (&self->deadlines);
    return self;
}

void leat_agenda_destroy (leat_agenda_t **self_p)
{
    leat_agenda_t *self = *self_p;
    if (self == NULL)
        return;
    free (self);
    *self_p = NULL;
}

/* ---- who is to be run ------------------------------------------------------------------------ */

static void s_calm (leat_agenda_t *self, leat_attention_t *attention)
{
    if (attention->state == LEAT_CHANGED)
        TAILQ_REMOVE (&self->changed, attention, link);
    else if (attention->state == LEAT_NOTED)
        TAILQ_REMOVE (&self->noted, attention, link);
    attention->state = LEAT_CALM;
}

void leat_attention_tell (const leat_attention_t *self)
{
    if (self->fn != NULL)
        self->fn (self->arg);
}

void leat_attention_mark (leat_attention_t *self)
{
    leat_attention_tell (self);
    if (self->agenda == NULL || self->state == LEAT_CHANGED)
        return;
    s_calm (self->agenda, self);
    self->state = LEAT_CHANGED;
    TAILQ_INSERT_TAIL (&self->agenda->changed, self, link);
}

void leat_agenda_add (leat_agenda_t *self, leat_attention_t *attention, void *owner)
{
    leat_assert (attention->agenda == NULL);
    attention->agenda = self;
    attention->owner = owner;
    attention->number = ++self->last_number;
    attention->condition = s_nothing;
    leat_attention_mark (attention);
}

void leat_agenda_remove (leat_agenda_t *self, leat_attention_t *attention)
{
    leat_assert (attention->agenda == self);
    leat_agenda_note (self, attention, &s_nothing);
    s_calm (self, attention);
    attention->agenda = NULL;
    attention->owner = NULL;
}

void *leat_agenda_changed (leat_agenda_t *self)
{
    leat_attention_t *attention = TAILQ_FIRST (&self->changed);
    if (attention == NULL)
        return NULL;
    s_calm (self, attention);
    attention->state = LEAT_NOTED;
    TAILQ_INSERT_TAIL (&self->noted, attention, link);
    return attention->owner;
}

void *leat_agenda_next (leat_agenda_t *self)
{
    leat_attention_t *attention = TAILQ_FIRST (&self->noted);
    if (attention == NULL)
        attention = TAILQ_FIRST (&self->changed);
    if (attention == NULL)
        return NULL;
    s_calm (self, attention);
    return attention->owner;
}

/* ---- conditions ------------------------------------------------------------------------------ */

void leat_agenda_note (leat_agenda_t *self, leat_attention_t *attention,
                       const leat_condition_t *condition)
{
    leat_condition_t *former = &attention->condition;
    self->busy += (uint32_t) condition->is_busy - (uint32_t) former->is_busy;
    self->pending += (uint32_t) condition->is_pending - (uint32_t) former->is_pending;
    self->owed += (uint32_t) condition->is_owed - (uint32_t) former->is_owed;
    bool has_moved = condition->deadline_us != former->deadline_us;
    if (has_moved && former->deadline_us != UINT64_MAX)
        RB_REMOVE (attention_tree, &self->deadlines, attention);
    *former = *condition;
    if (has_moved && condition->deadline_us != UINT64_MAX)
        RB_INSERT (attention_tree, &self->deadlines, attention);
}

void leat_agenda_call (leat_agenda_t *self, uint64_t now_us)
{
    leat_attention_t *attention;
    RB_FOREACH (attention, attention_tree, &self->deadlines) {
        if (attention->condition.deadline_us > now_us)
            break;
        leat_attention_mark (attention);
    }
}

uint64_t leat_agenda_deadline (const leat_agenda_t *self)
{
    /* RB_MIN has no const form. */
    const leat_attention_t *first = RB_ROOT (&self->deadlines);
    while (first != NULL && RB_LEFT (first, by_deadline) != NULL)
        first = RB_LEFT (first, by_deadline);
    return first != NULL ? first->condition.deadline_us : UINT64_MAX;
}

uint32_t leat_agenda_busy (const leat_agenda_t *self)
{
    return self->busy;
}

uint32_t leat_agenda_pending (const leat_agenda_t *self)
{
    return self->pending;
}

uint32_t leat_agenda_owed (const leat_agenda_t *self)
{
    return self->owed;
}

/* Which engines of a session want to be run, and when: so that a turn costs what is done in it, however
 * many producers and consumers have nothing to do.
 * SPDX-License-Identifier: MPL-2.0 */
#ifndef LEAT_CLIENT_AGENDA_H
#define LEAT_CLIENT_AGENDA_H

#include <stdbool.h>
#include <stdint.h>

#include <bsd/sys/queue.h>
#include <bsd/sys/tree.h>

typedef struct leat_agenda leat_agenda_t;

/* What has to be known of an engine without running it. */
typedef struct {
    uint64_t deadline_us; /* UINT64_MAX: never */
    bool is_busy;         /* waits for an answer, or holds leases */
    bool is_pending;      /* has neither ended nor failed */
    bool is_owed;         /* and waits for confirmations, which outlast a connection */
} leat_condition_t;

typedef void leat_attention_fn (void *arg);

/* Part of an engine, which marks it whenever something was done to the engine: it may have something
 * to say, and its condition may be another.
 *
 *               leat_attention_mark                 leat_agenda_changed
 *      CALM ---------------------------> CHANGED <========================> NOTED
 *       ^                                   |       leat_attention_mark       |
 *       +----------- leat_agenda_next ------+---------------------------------+
 *
 * The condition of those that are CHANGED is not known; CHANGED and NOTED are to be run. All zero is
 * CALM and on no agenda; marking that only calls `fn`. */
typedef struct leat_attention {
    leat_attention_fn *fn; /* of whoever feeds the engine, called at each mark; may be NULL */
    void *arg;

    /* The agenda's. */
    leat_agenda_t *agenda;
    void *owner;
    TAILQ_ENTRY (leat_attention) link;
    RB_ENTRY (leat_attention) by_deadline; /* unless that is UINT64_MAX */
    enum { LEAT_CALM, LEAT_CHANGED, LEAT_NOTED } state;
    uint64_t number; /* the order of entering, among equal deadlines */
    leat_condition_t condition;
} leat_attention_t;

void leat_attention_mark (leat_attention_t *self);

/* Only calls `fn`. */
void leat_attention_tell (const leat_attention_t *self);

leat_agenda_t *leat_agenda_new (void);

/* What is on it is not touched, and may have gone before; it must not be marked any more. */
void leat_agenda_destroy (leat_agenda_t **self_p);

/* Enters it, marked. `owner` is given back by the functions below. */
void leat_agenda_add (leat_agenda_t *self, leat_attention_t *attention, void *owner);
void leat_agenda_remove (leat_agenda_t *self, leat_attention_t *attention);

/* The owner of one that is CHANGED, which becomes NOTED; to be followed by leat_agenda_note. NULL if
 * there is none. */
void *leat_agenda_changed (leat_agenda_t *self);

void leat_agenda_note (leat_agenda_t *self, leat_attention_t *attention,
                       const leat_condition_t *condition);

/* Marks all whose deadline has come. */
void leat_agenda_call (leat_agenda_t *self, uint64_t now_us);

/* The owner of the one that was marked first, which is CALM now: to be run, then noted. NULL if there
 * is none. */
void *leat_agenda_next (leat_agenda_t *self);

/* As far as conditions were noted: the earliest deadline, and how many are busy, pending, owed. */
uint64_t leat_agenda_deadline (const leat_agenda_t *self);
uint32_t leat_agenda_busy (const leat_agenda_t *self);
uint32_t leat_agenda_pending (const leat_agenda_t *self);
uint32_t leat_agenda_owed (const leat_agenda_t *self);

#endif

/* How threads of a store hand things to each other: queues with one end per thread, and bells.
 * SPDX-License-Identifier: MPL-2.0 */
#ifndef LEAT_BROKER_STORE_HANDOVER_H
#define LEAT_BROKER_STORE_HANDOVER_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

/* A queue without a lock and without an end of its own: whoever uses it bounds what is under way. One
 * thread pushes and one takes. The taker owns `first`, the node that was taken last.
 *
 *      first -> [taken] -> [item] -> [item] <- last
 */
typedef struct leat_queue_node {
    _Atomic (struct leat_queue_node *) next;
    void *item;
} leat_queue_node_t;

typedef struct {
    leat_queue_node_t *first; /* of the taker */
    leat_queue_node_t *last;  /* of the pusher */
} leat_queue_t;

void leat_queue_begin (leat_queue_t *self);

/* Frees the nodes; what is still in it is the caller's to take out before. */
void leat_queue_end (leat_queue_t *self);

void leat_queue_push (leat_queue_t *self, void *item);

/* The oldest item, or NULL. */
void *leat_queue_take (leat_queue_t *self);

/* As the taker sees it. */
bool leat_queue_empty (const leat_queue_t *self);

/* Wakes one thread, the sleeper, which costs those who ring a system call only if it sleeps:
 *
 *      sleeper                             others
 *      leat_bell_arm                       leat_queue_push
 *      queues still empty? poll (fd)       leat_bell_ring
 *      leat_bell_disarm
 */
typedef struct {
    int fd; /* readable once it was rung */
    _Atomic int state;
    uint64_t undrained; /* of the sleeper: rings that it knows of and has not read from fd */
} leat_bell_t;

/* 0, or -1 with errno. */
int leat_bell_begin (leat_bell_t *self);
void leat_bell_end (leat_bell_t *self);

/* To be called before the sleeper looks for the last time whether there is anything to do. */
void leat_bell_arm (leat_bell_t *self);
void leat_bell_disarm (leat_bell_t *self);

/* Any thread, after what it has to tell can be seen. */
void leat_bell_ring (leat_bell_t *self);

/* Sleeps until it rings, or for timeout_ms (-1: for ever). Between arm and disarm. */
void leat_bell_wait (const leat_bell_t *self, int timeout_ms);

#endif

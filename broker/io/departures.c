/* Claims of descriptors, suspicion, and who is gone.
 * SPDX-License-Identifier: MPL-2.0 */
#include "broker/io/departures.h"

#include <bsd/sys/queue.h>
#include <bsd/sys/tree.h>
#include <stdlib.h>

#include "wire/alloc.h"
#include "wire/assert.h"

enum {
    FIRST_PAUSE_US = 1000,
    RECENT_ENDS = 256, /* ends that are remembered until the queue was empty */
    ROUNDS = 4,        /* of reading each connection, see departures.h */
    STRANGERS = 1024   /* connections without a claim that may take part in them */
};

#define UNUSED __attribute__ ((unused))

typedef enum { STAYING, PROBED, GONE, READ } stage_t;

typedef struct claim {
    RB_ENTRY (claim) by_peer;
    RB_ENTRY (claim) by_fd;
    TAILQ_ENTRY (claim) in_stage; /* but for STAYING */
    uint64_t peer;
    int fd;
    stage_t stage;
    unsigned probes;     /* PROBED: sent since the end was told */
    uint64_t due_us;     /* PROBED: of the next one */
    uint64_t heard_mark; /* GONE: messages read by anybody when it was last heard */
} claim_t;

RB_HEAD (claims_by_peer, claim);
RB_HEAD (claims_by_fd, claim);
TAILQ_HEAD (claim_list, claim);

struct leat_departures {
    struct claims_by_peer peers;
    struct claims_by_fd fds;
    size_t count;
    struct claim_list
        probed[LEAT_DEPARTURES_PROBES + 1]; /* by probes sent; each in order of due_us */
    struct claim_list gone;
    struct claim_list read;
    uint64_t messages; /* read of anybody */
    int recent[RECENT_ENDS];
    size_t recent_count; /* of all that came; the last RECENT_ENDS are kept */
    leat_departures_counters_t counters;
};

static int s_compare_peers (const claim_t *a, const claim_t *b)
{
    return (a->peer > b->peer) - (a->peer < b->peer);
}

static int s_compare_fds (const claim_t *a, const claim_t *b)
{
    int order = (a->fd > b->fd) - (a->fd < b->fd);
    return order ? order : s_compare_peers (a, b);
}

/* As RB_GENERATE_STATIC, which needs __unused of the BSDs. */
RB_GENERATE_INTERNAL (claims_by_peer, claim, by_peer, s_compare_peers, UNUSED static)
RB_GENERATE_INTERNAL (claims_by_fd, claim, by_fd, s_compare_fds, UNUSED static)

leat_departures_t *leat_departures_new (void)
{
    leat_departures_t *self = leat_alloc (sizeof *self);
    RB_INIT (&self->peers);
    RB_INIT (&self->fds);
    for (size_t index = 0; index <= LEAT_DEPARTURES_PROBES; index++)
        TAILQ_INIT (&self->probed[index]);
    TAILQ_INIT (&self->gone);
    TAILQ_INIT (&self->read);
    return self;
}

static struct claim_list *s_list (leat_departures_t *self, const claim_t *claim)
{
    switch (claim->stage) {
    case PROBED:
        return &self->probed[claim->probes];
    case GONE:
        return &self->gone;
    case READ:
        return &self->read;
    case STAYING:
        break;
    }
    return NULL;
}

static void s_move (leat_departures_t *self, claim_t *claim, stage_t stage, unsigned probes)
{
    struct claim_list *list = s_list (self, claim);
    if (list)
        TAILQ_REMOVE (list, claim, in_stage);
    claim->stage = stage;
    claim->probes = probes;
    list = s_list (self, claim);
    if (list)
        TAILQ_INSERT_TAIL (list, claim, in_stage);
}

static void s_drop (leat_departures_t *self, claim_t *claim)
{
    s_move (self, claim, STAYING, 0);
    RB_REMOVE (claims_by_peer, &self->peers, claim);
    RB_REMOVE (claims_by_fd, &self->fds, claim);
    self->count--;
    free (claim);
}

void leat_departures_destroy (leat_departures_t **self_p)
{
    leat_departures_t *self = *self_p;
    if (!self)
        return;
    *self_p = NULL;
    claim_t *claim;
    while ((claim = RB_MIN (claims_by_peer, &self->peers)))
        s_drop (self, claim);
    free (self);
}

const leat_departures_counters_t *leat_departures_counters (const leat_departures_t *self)
{
    return &self->counters;
}

size_t leat_departures_count (const leat_departures_t *self)
{
    return self->count;
}

static claim_t *s_find (const leat_departures_t *self, uint64_t peer)
{
    claim_t key = { .peer = peer };
    return RB_FIND (claims_by_peer, (struct claims_by_peer *) &self->peers, &key);
}

static claim_t *s_add (leat_departures_t *self, uint64_t peer, int fd)
{
    claim_t *claim = leat_alloc (sizeof *claim);
    claim->peer = peer;
    claim->fd = fd;
    RB_INSERT (claims_by_peer, &self->peers, claim);
    RB_INSERT (claims_by_fd, &self->fds, claim);
    self->count++;
    return claim;
}

/* ---- what happens ---------------------------------------------------------------------------- */

/* A claim that is probed already is probed from the beginning again: this end may be its own. */
static void s_suspect (leat_departures_t *self, claim_t *claim, uint64_t now_us)
{
    if (claim->stage == GONE || claim->stage == READ)
        return;
    claim->due_us = now_us;
    s_move (self, claim, PROBED, 0);
}

static bool s_ended_recently (const leat_departures_t *self, int fd)
{
    size_t count = self->recent_count < RECENT_ENDS ? self->recent_count : RECENT_ENDS;
    for (size_t index = 0; index < count; index++)
        if (self->recent[index] == fd)
            return true;
    return false;
}

void leat_departures_arrive (leat_departures_t *self, uint64_t peer, int fd, uint64_t now_us)
{
    if (fd < 0 || s_find (self, peer))
        return;
    claim_t *claim = s_add (self, peer, fd);
    if (s_ended_recently (self, fd))
        s_suspect (self, claim, now_us);
}

void leat_departures_forget (leat_departures_t *self, uint64_t peer)
{
    claim_t *claim = s_find (self, peer);
    if (claim)
        s_drop (self, claim);
}

void leat_departures_end (leat_departures_t *self, int fd, uint64_t now_us)
{
    self->counters.connections_ended++;
    self->recent[self->recent_count++ % RECENT_ENDS] = fd;
    claim_t key = { .fd = fd };
    claim_t *claim = RB_NFIND (claims_by_fd, &self->fds, &key);
    for (; claim && claim->fd == fd; claim = RB_NEXT (claims_by_fd, &self->fds, claim))
        s_suspect (self, claim, now_us);
}

void leat_departures_heard (leat_departures_t *self, uint64_t peer)
{
    self->messages++;
    if (TAILQ_EMPTY (&self->gone))
        return;
    claim_t *claim = s_find (self, peer);
    if (claim && claim->stage == GONE)
        claim->heard_mark = self->messages;
}

void leat_departures_drained (leat_departures_t *self)
{
    claim_t *claim;
    self->recent_count = 0;
    while ((claim = TAILQ_FIRST (&self->gone)))
        s_move (self, claim, READ, 0);
}

void leat_departures_refused (leat_departures_t *self, uint64_t peer)
{
    claim_t *claim = s_find (self, peer);
    if (claim && (claim->stage == GONE || claim->stage == READ))
        return;
    if (!claim)
        claim = s_add (self, peer, -1);
    if (claim->probes)
        self->counters.departures_probed++;
    else
        self->counters.departures_unsent++;
    claim->heard_mark = self->messages;
    s_move (self, claim, GONE, 0);
}

/* ---- what is to be done ---------------------------------------------------------------------- */

bool leat_departures_gone (const leat_departures_t *self, uint64_t peer)
{
    if (TAILQ_EMPTY (&self->gone) && TAILQ_EMPTY (&self->read))
        return false;
    const claim_t *claim = s_find (self, peer);
    return claim && (claim->stage == GONE || claim->stage == READ);
}

bool leat_departures_probe (leat_departures_t *self, uint64_t now_us, uint64_t *peer)
{
    claim_t *claim;
    struct claim_list *last = &self->probed[LEAT_DEPARTURES_PROBES];
    while ((claim = TAILQ_FIRST (last)) && claim->due_us <= now_us) {
        self->counters.probes_survived++;
        s_move (self, claim, STAYING, 0);
    }
    for (unsigned probes = 0; probes < LEAT_DEPARTURES_PROBES; probes++) {
        claim = TAILQ_FIRST (&self->probed[probes]);
        if (!claim || claim->due_us > now_us)
            continue;
        claim->due_us = now_us + ((uint64_t) FIRST_PAUSE_US << probes);
        s_move (self, claim, PROBED, probes + 1);
        self->counters.probes++;
        *peer = claim->peer;
        return true;
    }
    return false;
}

uint64_t leat_departures_deadline (const leat_departures_t *self)
{
    uint64_t deadline_us = UINT64_MAX;
    for (size_t probes = 0; probes <= LEAT_DEPARTURES_PROBES; probes++) {
        const claim_t *claim = TAILQ_FIRST (&self->probed[probes]);
        if (claim && claim->due_us < deadline_us)
            deadline_us = claim->due_us;
    }
    return deadline_us;
}

/* Whether others were heard so often since that this one would have been, had it anything left. */
static bool s_is_silent (const leat_departures_t *self, const claim_t *claim)
{
    return self->messages - claim->heard_mark >= ROUNDS * (uint64_t) (self->count + STRANGERS);
}

bool leat_departures_take (leat_departures_t *self, uint64_t *peer)
{
    claim_t *claim = TAILQ_FIRST (&self->read);
    if (!claim) {
        TAILQ_FOREACH (claim, &self->gone, in_stage) {
            if (s_is_silent (self, claim))
                break;
        }
    }
    if (!claim)
        return false;
    *peer = claim->peer;
    s_drop (self, claim);
    return true;
}

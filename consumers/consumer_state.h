/* What the two halves of the consumer engine share: its state.
 * SPDX-License-Identifier: MPL-2.0 */
#ifndef LEAT_CONSUMERS_CONSUMER_STATE_H
#define LEAT_CONSUMERS_CONSUMER_STATE_H

#include "consumers/leases.h"

enum {
    LEAT_CONSUMER_ERROR_SIZE_MAX = 2048 /* of the sentence for the application */
};

/* Where the channel stands; leat_consumer_state_t says less, and what the application wants. */
typedef enum {
    LEAT_LINK_NONE,    /* no session */
    LEAT_LINK_ASKED,   /* ATTACH is out */
    LEAT_LINK_UP,      /* ATTACHED came */
    LEAT_LINK_REFUSED, /* to be asked again; the next run knows the time */
    LEAT_LINK_RETRY    /* will be asked again at retry_us */
} leat_link_t;

struct leat_consumer_engine {
    leat_attention_t attention;
    char *stream;
    char *group;
    leat_consumer_engine_options_t options; /* defaults filled in; its strings are not used */
    leat_consumer_state_t state;
    leat_link_t link;
    uint32_t channel;
    uint64_t session; /* grows whenever all leases are gone */
    leat_leases_t *leases;
    const leat_lease_counts_t *counts; /* of the leases */

    uint64_t retry_us;       /* LEAT_LINK_RETRY: when to send ATTACH again */
    uint64_t retry_delay_us; /* the last back-off; 0 before the first */

    /* What the broker may deliver. ALLOW has no answer, so batches under the former ceilings may
     * be on their way: what is enforced is the highest that held on this attachment. */
    uint32_t credit_records;
    uint64_t credit_size;
    uint32_t enforced_records;
    uint64_t enforced_size;
    bool allow_unsent;

    uint64_t delivered; /* delivery position: records delivered since ATTACHED */
    uint64_t reported;  /* the broker was told that records below may be started, ... */
    uint64_t said;      /* ... of this by REPORT alone */

    uint64_t started_end; /* position behind the last record that was started */
    uint64_t exact_us;    /* when that is reported, if it still has to be then; 0: not yet known */
    bool revoked;         /* REVOKED came since the broker heard a SETTLE */
    bool late;            /* its application went on after that: the broker is told */

    uint64_t pace_us;      /* when the measuring of the pace began */
    uint64_t pace_started; /* records started since then */
    uint64_t ahead;        /* how far a REPORT runs ahead */

    bool has_staged;    /* one is handed out that may or may not have been started by now */
    bool staged_wanted; /* and its driver is to take it back */
    uint64_t staged_epoch;
    uint64_t staged_offset;
    uint64_t staged_position;

    uint64_t settled_us;      /* when the oldest settle that is unsent was made */
    bool settles_join;        /* something is sent anyway: they go along */
    bool settles_unconfirmed; /* a SETTLE went out after the last one with CONFIRM */
    uint64_t flush_asked;     /* tokens */
    uint64_t flush_sent;
    uint64_t flushed;

    uint64_t empty_token; /* 0: never asked */
    bool empty_sent;      /* on this attachment */
    bool empty;

    bool leave_sent;
    bool drained;
    uint64_t stale;
    uint64_t damaged;
    uint64_t excess;
    leat_code_t code;
    char error[LEAT_CONSUMER_ERROR_SIZE_MAX];
};

/* All leases are gone: what was settled and not sent will come again. */
void leat_consumer_engine_forget (leat_consumer_engine_t *self);

/* The end, in order or not: nothing is sent any more. */
void leat_consumer_engine_end (leat_consumer_engine_t *self, leat_consumer_state_t state);

/* To be called before records at positions below `end` are handed out: sends REPORT if need be. */
void leat_consumer_engine_report (leat_consumer_engine_t *self, uint64_t end,
                                  leat_outbox_t *outbox);

/* The same before the record at `position` is staged: reports those before it, but not that one. */
void leat_consumer_engine_report_before (leat_consumer_engine_t *self, uint64_t position,
                                         leat_outbox_t *outbox);

/* True if what is staged is among those. */
bool leat_consumer_engine_stages (const leat_consumer_engine_t *self, leat_range_t range);

#endif

/* The state of the broker's core. Private to broker/core/; functions.h has what its files call of each
 * other.
 * SPDX-License-Identifier: MPL-2.0 */
#ifndef LEAT_BROKER_CORE_STATE_H
#define LEAT_BROKER_CORE_STATE_H

/* libbsd has the trees and queues of the BSDs as headers; see tree(3bsd) and queue(3bsd). */
#include <bsd/sys/queue.h>
#include <bsd/sys/tree.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "broker/core/core.h"
#include "broker/core/pace.h"
#include "broker/core/settings.h"
#include "broker/core/statistics.h"
#include "wire/alloc.h"
#include "wire/assert.h"
#include "wire/crc32c.h"

/*      identity 1 ---- * sequence * ---- 1 stream 1 ---- * batch      records, held once
 *         |                 |               |
 *         | 0..1            | 0..1          | 1
 *      session 1 ---- *  producer           * group                   what is settled, what is ready
 *         |                                 |
 *         +---------- *  consumer * --------+
 *                           | 1
 *                           * lease                                   who has which records
 *
 * A record of a group is in exactly one of these places:
 *
 *      fresh      offset >= group->cursor
 *      returned   in a range of group->returned: was leased, never started
 *      marked     has a core_mark_t of its own: attempts, delay, suspicion, or on its way to be dead
 *      leased     in a core_lease_t of some consumer (a marked record then is in state LEASED)
 *      settled    below group->settled.floor, or a bit in a chunk
 */

typedef struct core_timer core_timer_t;
typedef struct core_identity core_identity_t;
typedef struct core_sequence core_sequence_t;
typedef struct core_session core_session_t;
typedef struct core_channel core_channel_t;
typedef struct core_producer core_producer_t;
typedef struct core_consumer core_consumer_t;
typedef struct core_stream core_stream_t;
typedef struct core_batch core_batch_t;
typedef struct core_group core_group_t;
typedef struct core_mark core_mark_t;
typedef struct core_lease core_lease_t;
typedef struct core_commit core_commit_t;
typedef struct core_request core_request_t;
typedef struct core_processing core_processing_t;
typedef struct core_trim core_trim_t;
typedef struct core_lane core_lane_t;

/* ---- timers (timers.c) ----------------------------------------------------------------------- */

typedef void (core_timer_fn) (leat_core_t *core, core_timer_t *timer);

/* Part of the object that it wakes; unset while due_us is 0. */
struct core_timer {
    RB_ENTRY (core_timer) by_due;
    uint64_t due_us;
    uint64_t serial; /* earlier set, earlier fired */
    core_timer_fn *fire;
};

void core_timer_set (leat_core_t *core, core_timer_t *timer, uint64_t due_us, core_timer_fn *fire);
void core_timer_stop (leat_core_t *core, core_timer_t *timer);
void core_timers_fire (leat_core_t *core);
uint64_t core_timers_next (const leat_core_t *core);

/* The object that `member` is part of. */
#define CORE_OWNER(pointer, type, member)                                                          \
    ((type *) (void *) ((char *) (pointer) -offsetof (type, member)))

/* ---- identities, sessions, channels ---------------------------------------------------------- */

/* What is remembered of a name, in a session or not. */
struct core_identity {
    RB_ENTRY (core_identity) by_name;
    char *name;
    size_t name_size;
    bool ephemeral;
    uint64_t epoch; /* the newest that was granted */
    uint64_t life;  /* which client has the name, and its connections so far */
    uint32_t attempt;
    core_session_t *session; /* NULL while away */
    core_timer_t expiry;     /* runs while away */
    bool forgetting;         /* a commit that forgets its sequences is under way */
    TAILQ_ENTRY (core_identity) in_commit;
    RB_HEAD (core_sequences, core_sequence) sequences;
};

/* The last sequence of an identity in a stream. */
struct core_sequence {
    RB_ENTRY (core_sequence) by_stream; /* in its identity */
    LIST_ENTRY (core_sequence) in_stream;
    core_identity_t *identity;
    core_stream_t *stream;
    core_producer_t *producer; /* the channel that publishes now, or NULL */
    bool known;                /* something is committed */
    uint64_t accepted;         /* what comes next is accepted + 1 */
    uint64_t committed;        /* or told to be, in an async stream */
    uint64_t offset;           /* of record `committed` */
    uint64_t ahead;            /* batches of which that was told before the store had them */
};

struct core_session {
    RB_ENTRY (core_session) by_peer;
    uint64_t peer;
    uint64_t epoch;
    core_identity_t *identity;
    uint64_t
        heard_us; /* its silence counts from then on: it spoke, or the broker had been stopped */
    uint64_t spoke_us;    /* it spoke */
    uint64_t answered_us; /* last PONG; 0 never */
    uint64_t pings_early; /* since then */
    core_timer_t silence;
    uint64_t window_used; /* cost of batches accepted and not committed */
    uint64_t listed;      /* bytes of lists that it was told, less what is forgiven */
    uint64_t listed_us;   /* until then it is reckoned */
    uint64_t offences;    /* that are not forgiven yet */
    uint64_t forgiven_us; /* until then it is reckoned */
    uint64_t channel_count;
    RB_HEAD (core_channels, core_channel) channels;
};

/* What producers and consumers have in common. */
struct core_channel {
    RB_ENTRY (core_channel) by_number;
    core_session_t *session;
    core_stream_t *stream;
    uint32_t number;
    bool consumer;
    bool answered; /* OPENED or ATTACHED was sent: what it needs is committed */
    TAILQ_ENTRY (core_channel) waiting; /* for that, in core->waiting */
    uint64_t records;                   /* statistics: published or settled */
    uint64_t rate;                      /* per second, of the last full second */
    uint64_t rate_since_us;
    uint64_t rate_count;
};

/* Credit, in cost, cumulative since OPENED:
 *
 *      0 ------------- received ------------- limit
 *                               \__ granted _/       counted in core and stream until used
 */
struct core_producer {
    core_channel_t channel; /* first */
    core_sequence_t *sequence;
    uint64_t base; /* what OPEN said */
    uint64_t received;
    uint64_t limit;
    uint64_t told;      /* the limit that the client knows */
    uint64_t confirmed; /* the sequence that the client was told last */
    uint64_t window;    /* what it may grow to now, between grant_min_size and grant_max_size */
    uint64_t want;      /* cost of a batch that waits at the client; 0 if none was named */
    bool reclaiming;    /* CREDIT with RECLAIM is out */
    uint64_t used_us;
    bool has_grant;                        /* some credit is unused; it is in these two then: */
    TAILQ_ENTRY (core_producer) by_use;    /* core->grants, least recently used first */
    TAILQ_ENTRY (core_producer) in_stream; /* stream->grants, likewise */
    bool needs_credit;
    TAILQ_ENTRY (core_producer) in_credit; /* in stream->wanting */
    bool needs_confirm;
    TAILQ_ENTRY (core_producer) in_confirms; /* in core->confirms, or held back: core->held */
    bool held;                               /* there: its confirmation is due at held_until_us */
    uint64_t held_until_us;
    uint64_t urgent; /* last sequence whose confirmation is waited for */
    uint32_t flight; /* of the last batch that was taken, or there before */
    bool closing;    /* CLOSE came; CLOSED follows the last confirmation */
};

typedef enum {
    CORE_CONSUMER_READY,     /* has credit, in group->ready_consumers */
    CORE_CONSUMER_FULL,      /* no credit left, or not for the next record */
    CORE_CONSUMER_ISOLATING, /* runs dry, or has one suspect and nothing else */
    CORE_CONSUMER_LEAVING    /* gets nothing more; LEFT follows the commit of its settles */
} core_consumer_state_t;

struct core_consumer {
    core_channel_t channel; /* first */
    core_group_t *group;
    core_consumer_state_t state;
    RB_ENTRY (core_consumer) by_next; /* in group->ready_consumers */
    bool placed;                      /* is there */
    bool idle;                        /* held nothing when it was put there */
    uint64_t next_us; /* when it would finish one record more; idle: see dispatch.c */
    RB_ENTRY (core_consumer) by_end; /* in group->holders */
    bool holds;                      /* is there */
    uint64_t end_us;                 /* when it would finish what it holds */
    TAILQ_ENTRY (core_consumer) in_group;
    uint64_t served; /* serial of the last delivery: ties go to who waited longest */
    uint32_t credit_records;
    uint64_t credit_size;
    uint32_t max_unreported;
    uint32_t leased; /* records outstanding */
    uint64_t leased_size;
    uint64_t position;           /* records delivered since ATTACHED */
    uint64_t reported;           /* records at positions below this may have been started */
    uint32_t unstarted;          /* records leased that certainly were not; see leases.c */
    uint32_t unsaid;             /* these, and those of which it has not said whether they were */
    uint64_t isolating_since_us; /* began, or was given up in favour of another */
    bool holds_suspect;
    struct core_isolating *waits; /* for a suspect, isolating: group->drying, or group->dry */
    TAILQ_ENTRY (core_consumer) in_waits;
    bool asks_empty;
    uint64_t empty_token;
    LIST_HEAD (, core_waiter) waiters; /* what it waits for */
    TAILQ_ENTRY (core_consumer) in_askers;
    RB_HEAD (core_leases, core_lease) leases;
    uint64_t busy_since_us; /* since when it has work, or its last settle */
    bool fresh;             /* the former */
    core_pace_t pace;
    bool takes;            /* is counted in group->taker_count */
    uint64_t rate;         /* what of group->rate is its */
    uint32_t ramp;         /* records that it may hold before more is known; grows as it settles */
    uint32_t recalled;     /* records asked back that an answer is waited for; see recall.c */
    uint64_t recall_end;   /* position behind the last one asked for; 0: nothing is */
    bool recall_unsaid;    /* some that it may have started were asked for, too */
    uint64_t lost_epoch;   /* of leases up to this one others may have had records since */
    core_timer_t patience; /* runs while an answer is waited for */
    uint64_t recalled_count; /* statistics: records that it gave back when asked */
    uint64_t redelivered;
    core_processing_t *processing; /* NULL while its stream has had no max_processing */
    bool stuck;                    /* a record became overdue and nothing was heard of any since */
    bool draining;                 /* DRAIN was said, or is once it is attached */
};

/* A range of records that one consumer has, of one batch or of several small ones, all delivered by one
 * DELIVER. A settle or return of the middle leaves two leases with the same epoch. */
struct core_lease {
    RB_ENTRY (core_lease) by_epoch; /* epoch, then first */
    uint64_t epoch;
    uint64_t first;
    uint32_t count;
    uint64_t size;     /* body bytes */
    uint64_t position; /* of the first record */
    core_mark_t *mark; /* of its only record, or NULL */
};

/* ---- streams and what they hold -------------------------------------------------------------- */

/* A copy of records that outlived most of their batch. */
typedef struct {
    uint64_t first;
    uint32_t count;
    leat_buffer_t *body;
    uint32_t *index; /* as that of a batch */
} core_part_t;

/* Records as they came; of a log with the time at which the broker took them. The body is one buffer, or after compaction an array of parts; or it is away,
 * at the store alone, and then neighbours that are away too are one with it (window.c). */
struct core_batch {
    RB_ENTRY (core_batch) by_first;
    TAILQ_ENTRY (core_batch) in_commit;
    TAILQ_ENTRY (core_batch) in_idle; /* of its stream: may go away */
    bool idle;                        /* is there */
    bool spent;                       /* and, of a log, settled by every group */
    bool away;
    uint64_t leased;      /* records in leases of whichever group: it stays */
    uint64_t stored_size; /* bytes of its records at the store */
    core_stream_t *stream;
    core_sequence_t *sequence; /* only until committed; NULL for dead letters */
    uint64_t last_sequence;
    uint64_t session_epoch; /* whose window it takes from until then */
    uint64_t first;
    uint64_t count; /* of a batch at most LEAT_BATCH_COUNT_MAX; away it may be any number */
    uint8_t attributes;
    bool committed;
    bool told;         /* confirmed before that: async.c */
    uint64_t reserves; /* its commit reserves offsets up to there; 0: none */
    uint32_t crc32c;
    uint64_t time_ms;
    uint64_t cost;      /* what it takes from the memory limit now */
    uint64_t unsettled; /* over all groups */
    uint64_t whole;     /* that, when the body was made or compacted */
    leat_buffer_t *body;
    uint32_t *index; /* byte position of every 64th record, made when first needed */
    core_part_t *parts;
    uint32_t part_count;
};

/* Which records of a group are settled: everything below the floor, and above it chunks, either one
 * with a bitmap or a run of whole ones. */
typedef struct core_chunk {
    RB_ENTRY (core_chunk) by_number;
    uint64_t number; /* offsets number * LEAT_CHUNK_RECORDS and on */
    uint64_t whole;  /* so many chunks from there on are settled; 0: see bits */
    uint64_t *bits;
    uint32_t count; /* bits set */
    uint32_t end;   /* behind the last of them */
    bool dirty;     /* not in a commit yet */
    LIST_ENTRY (core_chunk) in_dirty;
} core_chunk_t;

typedef struct {
    uint64_t floor;
    bool dirty; /* the floor is not in a commit yet */
    RB_HEAD (core_chunks, core_chunk) chunks;
    LIST_HEAD (, core_chunk) dirty_chunks;
} core_settled_t;

typedef struct core_range {
    RB_ENTRY (core_range) by_first;
    uint64_t first;
    uint64_t count;
} core_range_t;

typedef enum {
    CORE_MARK_READY,
    CORE_MARK_DELAYED,
    CORE_MARK_SUSPECT,
    CORE_MARK_LEASED,
    CORE_MARK_DYING, /* the commit that makes it a dead letter is under way, or must be tried again */
    CORE_MARK_PARKED /* there was no room for the dead letter */
} core_mark_state_t;

/* A record that is not like the others of its group. */
struct core_mark {
    RB_ENTRY (core_mark) by_offset;
    TAILQ_ENTRY (core_mark) in_queue; /* of its state: ready or suspects of the group, or dying */
    core_group_t *group;
    core_commit_t *commit; /* the one it is dying in, or NULL */
    uint64_t offset;
    uint32_t attempts;
    core_mark_state_t state;
    bool suspect;     /* goes out alone */
    bool redelivered; /* may have been started before */
    bool dirty;       /* not in a commit yet */
    LIST_ENTRY (core_mark) in_dirty;
    core_timer_t delay;
    uint64_t due_ms;  /* wall clock, for the commit */
    leat_code_t code; /* of a dead letter: OK for rejected, OVERDUE, TIMED_OUT for attempts */
    char *reason;
};

TAILQ_HEAD (core_marks_queue, core_mark);
TAILQ_HEAD (core_isolating, core_consumer);

struct core_group {
    RB_ENTRY (core_group) by_name;
    core_stream_t *stream;
    uint32_t id;
    char *name;
    size_t name_size;
    bool committed;
    TAILQ_ENTRY (core_group) in_commit; /* that creates it */
    uint64_t start;                     /* where it began */
    uint64_t since_ms;   /* not 0: the first record that is not older is looked for, see since.c; */
    uint64_t since_end;  /* those from here on were not there when the group began */
    uint64_t since_look; /* token of the look that is under way, or 0 */
    uint64_t since_damaged; /* the header there cannot be read: the batch is to be set aside */
    uint64_t cursor;
    core_settled_t settled;
    RB_HEAD (core_ranges, core_range) returned;
    uint64_t returned_count; /* records in them */
    RB_HEAD (core_marks, core_mark) marks;
    uint64_t mark_count;
    struct core_marks_queue ready_marks;
    struct core_marks_queue suspects;
    uint64_t mark_counts[CORE_MARK_PARKED + 1]; /* by state */
    LIST_HEAD (, core_mark) dirty_marks;        /* not in a commit yet */
    uint64_t leased;
    TAILQ_HEAD (, core_consumer) consumers;
    uint32_t consumer_count;
    uint32_t stuck_count;
    struct core_isolating drying; /* run dry for a suspect, who began first is first */
    struct core_isolating dry;    /* hold nothing, and get one each */
    uint32_t waiting_count;       /* consumers in these two */
    uint32_t isolating_count;     /* and those that hold a suspect */
    RB_HEAD (core_ready_consumers, core_consumer) ready_consumers;
    RB_HEAD (core_holders, core_consumer) holders; /* of unstarted records, not asked for any yet */
    uint32_t taker_count;                          /* consumers that are not paused */
    uint64_t rate;                                 /* of all of them whose rate is known */
    uint32_t rate_count;                           /* so many */
    uint64_t recalled;                             /* records asked back, see recall.c */
    core_timer_t second_look;                      /* whether a recall is worth it by now */
    bool looks_again;                              /* it has fired, nobody was looked at since */
    TAILQ_HEAD (, core_consumer) askers;           /* of EMPTY */
    bool awake;
    TAILQ_ENTRY (core_group) in_awake; /* in core->awake: dispatch has something to look at */
    core_timer_t patience; /* looks again at consumers that are to run dry for a suspect */
    bool starving;
    TAILQ_ENTRY (core_group) in_starving; /* in core->starving: no memory to read into */
    bool asks;                            /* it has asked since it was its turn */
    bool asked;
    TAILQ_ENTRY (core_group) in_asked; /* in core->asked: it may be empty now, and has askers */
    bool dirty;
    TAILQ_ENTRY (core_group) in_dirty; /* in dirty_groups of its lane: settled state to commit */
    uint64_t expired_untold; /* records lost to it that leat_core_next_loss has not told of */
    TAILQ_ENTRY (core_group) in_losers;
    uint64_t settled_count; /* statistics */
    uint64_t redelivered_count;
    uint64_t dead_count;
    uint64_t expired_count;
};

/* Of a batch that is away, as the store has told. */
typedef struct {
    uint64_t first;
    uint64_t end; /* offset behind it */
    uint64_t time_ms;
    uint64_t size;
} core_header_t;

enum { CORE_EDGE = 64 }; /* headers that are known of one stream at a time */

struct core_stream {
    RB_ENTRY (core_stream) by_name;
    RB_ENTRY (core_stream) by_id;
    uint32_t id;
    char *name;
    size_t name_size;
    bool committed;
    TAILQ_ENTRY (core_stream) in_commit; /* that creates it */
    bool holds_dead;                     /* its name ends in .dead */
    core_settings_t settings;            /* as they are committed */
    bool fleeting;                       /* of durability memory beside a store: fleeting.c */
    uint64_t next_offset;
    uint64_t committed_offset; /* everything below is committed */
    uint64_t reserved; /* async, fleeting: the store knows that offsets below may have been told; */
    uint64_t reserving;                     /* that, once it has what is under way */
    uint64_t reach;                         /* fleeting: offsets below were given, or asked for; */
    bool reserves;                          /* more is to be reserved */
    TAILQ_ENTRY (core_stream) in_reserving; /* in core, or in the commit that does it */
    uint64_t owed_count;                    /* batches in core->owed */
    RB_HEAD (core_batches, core_batch) batches;
    uint64_t batch_count;
    uint64_t record_count;
    uint64_t held_size;   /* in memory */
    uint64_t stored_size; /* body bytes, in memory or not */
    uint64_t granted_size;
    bool reads;                              /* what is not needed soon goes away */
    TAILQ_HEAD (core_idle, core_batch) idle; /* not leased, needed soonest first */
    uint64_t idle_size;                      /* what these hold */
    bool crowded;
    TAILQ_ENTRY (core_stream) in_crowded; /* in core->crowded: more is idle than should be */
    uint32_t reading;                     /* reads under way */
    uint32_t spent;                       /* idle batches of a log that every group has settled */
    uint64_t log_size; /* of a log: what counts against its max_size; see retention.c */
    bool looked_at;
    TAILQ_ENTRY (core_stream) in_logs; /* in core->logs: something may have expired */
    core_timer_t expiry_timer;         /* when to look again */
    bool expiry_held;                  /* what has expired waits for a lease to end */
    core_header_t *edge;               /* CORE_EDGE headers, made when first needed */
    uint32_t edge_first;
    uint32_t edge_count;
    bool looks;             /* more of them were asked for */
    core_trim_t *expiry;    /* in its lane, if something has expired since the last commit */
    uint64_t expired_count; /* statistics */
    RB_HEAD (core_groups, core_group) groups;
    uint32_t group_count;
    LIST_HEAD (, core_sequence) sequences;
    uint32_t producer_count;
    TAILQ_HEAD (, core_producer) grants;  /* producers with unused credit, idle for longest first */
    TAILQ_HEAD (, core_producer) wanting; /* credit, first come first served */
    bool wants;
    TAILQ_ENTRY (core_stream) in_wanting; /* in core->wanting */
    uint64_t accepted_count;              /* statistics */
    uint32_t next_group_id;
};

/* ---- commits (commits.c) --------------------------------------------------------------------- */

/* Batches that are settled and go, from `first` on; or that have expired, below `first`. */
struct core_trim {
    STAILQ_ENTRY (core_trim) next;
    uint32_t stream;
    uint64_t first;
    uint64_t count;
};

STAILQ_HEAD (core_trims, core_trim);

/* Somebody who is told when settles are committed. */
typedef struct core_waiter {
    TAILQ_ENTRY (core_waiter) next;
    LIST_ENTRY (core_waiter) of_consumer;
    core_consumer_t *consumer; /* NULL once it is gone */
    uint64_t token;
    bool leave; /* LEFT instead of SETTLED */
} core_waiter_t;

TAILQ_HEAD (core_waiters, core_waiter);

TAILQ_HEAD (core_requests, core_request); /* see administration.h */
TAILQ_HEAD (core_reserving, core_stream);

/* What is to go into commits. One lane leads to the store. The other is for fleeting streams: its commits
 * are done as soon as they are built, and none waits for one of the store. */
struct core_lane {
    bool fleeting;
    core_commit_t *data; /* being built, or NULL */
    TAILQ_HEAD (, core_group) dirty_groups;
    struct core_trims trims;       /* to go into the next commit of settles */
    struct core_trims expiries;    /* likewise */
    struct core_waiters waiters;   /* likewise */
    struct core_marks_queue dying; /* to be made dead letters */
    bool dying_waits;              /* all that are left wait for a read, or for their stream */
    core_timer_t settle_timer;     /* settles are committed when it fires, or before */
    bool settles_due;
};

enum { CORE_STORED, CORE_FLEETING, CORE_LANES };

/* A commit at the store. Data (appends, creations), dead letters and settles go in commits of their own,
 * so that a store without space can refuse the first and take the others. */
struct core_commit {
    TAILQ_ENTRY (core_commit) next;
    core_lane_t *lane;
    STAILQ_ENTRY (core_commit) in_ready;
    leat_commit_t *commit; /* what the store gets; NULL once it has it */
    uint64_t id;
    uint64_t since_us; /* handed over */
    uint32_t chain;
    bool void_; /* of a chain that was refused: undone already */
    bool settles;
    TAILQ_HEAD (core_new_batches, core_batch) batches;
    uint64_t record_count;
    TAILQ_HEAD (core_new_streams, core_stream) streams; /* that it creates */
    TAILQ_HEAD (core_new_groups, core_group) groups;
    struct core_reserving reserving; /* streams for which it reserves offsets */
    struct core_marks_queue dying;
    TAILQ_HEAD (, core_identity) forgotten; /* that it forgets */
    struct core_trims trims;
    struct core_trims expiries;
    struct core_waiters waiters;
    struct core_requests requests;
};

typedef struct core_told_commit {
    STAILQ_ENTRY (core_told_commit) next;
    leat_commit_t *commit;
} core_told_commit_t;

STAILQ_HEAD (core_told, core_told_commit);

/* ---- reads (window.c) ------------------------------------------------------------------------ */

typedef struct core_read {
    TAILQ_ENTRY (core_read) next;
    core_stream_t *stream;
    uint64_t token;
    uint64_t offset; /* what comes next: begins as what was asked for */
    uint64_t size;
    uint32_t headers;  /* not 0: a look, */
    uint32_t group;    /* for this group; 0: for the stream, see retention.c */
    uint64_t reserved; /* of what may still come, in core->reading_size */
} core_read_t;

TAILQ_HEAD (core_reads, core_read);

/* ---- the core -------------------------------------------------------------------------------- */

/* A connection that had a session. */
typedef struct core_former {
    RB_ENTRY (core_former) by_peer;
    TAILQ_ENTRY (core_former) in_order;
    uint64_t peer;
    bool displaced;
    uint64_t dropped; /* messages that came since */
} core_former_t;

/* Connections to be cut that wait for the driver; beyond, whoever goes on is found again. */
enum { CORE_CUTS = 64 };

struct leat_core {
    leat_limits_t limits;
    bool durable;
    bool reads;
    bool store_full;
    char *software;
    uint64_t incarnation;
    uint64_t seed; /* state of the generator */
    uint64_t now_us;
    uint64_t wall_ms;
    bool ticked;
    bool shutting_down;
    bool stopped;
    bool failed;
    uint32_t retry_after_ms;
    uint64_t strangers_since_us; /* answers to who has no session, in this second */
    uint64_t strangers_answered;
    bool offended; /* what is being received is an offence */
    uint64_t cuts[CORE_CUTS];
    size_t cut_count;
    uint64_t last_epoch; /* given to a lease or a session */
    uint64_t serial;     /* a number for whatever needs an order */
    leat_outbox_t *outbox;
    leat_statistics_t statistics;

    RB_HEAD (core_timers, core_timer) timers;
    RB_HEAD (core_identities, core_identity) identities;
    uint64_t identity_count; /* and sequences, together */
    RB_HEAD (core_sessions, core_session) sessions;
    RB_HEAD (core_formers, core_former) formers;
    TAILQ_HEAD (, core_former) former_order;
    uint64_t former_count;
    RB_HEAD (core_streams, core_stream) streams;
    RB_HEAD (core_streams_by_id, core_stream) streams_by_id;
    uint32_t next_stream_id;

    uint64_t held_size;
    uint64_t granted_size;
    TAILQ_HEAD (, core_producer) grants;   /* with unused credit, idle for longest first */
    TAILQ_HEAD (, core_stream) wanting;    /* streams with producers that need credit */
    bool credit_freed;                     /* somebody may get credit now */
    core_timer_t credit_retry;             /* takes idle grants back while somebody waits */
    core_stream_t *credit_next;            /* of wanting: to be asked next; NULL for the second */
    bool credit_again;                     /* more was freed since those before it were asked */
    bool credit_goes_on;                   /* the next ones are to be asked in this turn */
    core_timer_t credit_more;              /* makes that turn come */
    core_timer_t credit_idle;              /* takes grown grants back once they are idle */
    TAILQ_HEAD (, core_producer) confirms; /* producers to be told CONFIRMED or CREDIT */
    TAILQ_HEAD (, core_producer) held;     /* that may be told later, first due first */
    core_timer_t held_timer;               /* when the first of them is due */
    TAILQ_HEAD (, core_channel) waiting;   /* channels whose stream or group is being committed */
    TAILQ_HEAD (, core_group) awake;
    TAILQ_HEAD (, core_group) asked;
    TAILQ_HEAD (, core_stream) logs;  /* in which something may have expired */
    TAILQ_HEAD (, core_group) losers; /* to which something has expired that they had not settled */
    TAILQ_HEAD (, core_stream) crowded;
    struct core_reads reads_asked;   /* not handed to the store yet */
    struct core_reads reads_waiting; /* for its answers, in the order in which it was asked */
    uint64_t last_read;              /* token */
    uint64_t reading_size;           /* memory that is kept for what they bring */
    TAILQ_HEAD (, core_group) starving;
    struct core_new_batches owed; /* of async streams: refused, to be committed again, in order */
    bool reservations_ended;
    struct core_reserving reserving; /* fleeting streams that need offsets reserved */
    uint64_t fleeting_size;          /* what such streams hold, and their producers were granted */
    struct core_told told;           /* commits of theirs, for whoever asked to be told */
    bool tells;
    uint64_t last_fleeting_commit;
    core_timer_t store_retry; /* runs for a while after a refusal */

    core_lane_t lanes[CORE_LANES];
    TAILQ_HEAD (core_commits, core_commit) under_way;
    STAILQ_HEAD (, core_commit) ready; /* of these: not handed to the store yet */
    uint64_t commits_under_way;
    uint64_t request_count; /* that wait for commits */
    uint64_t next_commit_id;
    uint32_t chain;
};

#include "broker/core/functions.h"

#endif

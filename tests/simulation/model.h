/* What must be true: a simple model that sees every frame the core reads or writes and every commit
 * that the store keeps, and says at once when the core contradicts it.
 * SPDX-License-Identifier: MPL-2.0 */
#ifndef LEAT_SIMULATION_MODEL_H
#define LEAT_SIMULATION_MODEL_H

#include "tests/simulation/simulation.h"
#include "wire/commit.h"

enum {
    SIM_MODEL_STREAMS_MAX = 32, /* those of liars and of dead letters included */
    SIM_MODEL_GROUPS_MAX = 12   /* of one stream */
};

typedef struct sim_channel sim_channel_t;
typedef struct sim_peer sim_peer_t;

/* A record as the store has it. */
typedef struct {
    sim_content_t content;
    uint8_t *bytes;
    uint32_t size;
    bool extended;
    uint64_t time_ms;
    uint64_t batch; /* offset at which its batch begins */
    bool trimmed;
    bool none; /* a reserved offset that got no record, nor will */
} sim_record_t;

/* One record as one group sees it. What is marked durable is as the store has it; the rest is what
 * the core must know in its present life. */
typedef struct {
    sim_channel_t *holder; /* of the live lease */
    uint64_t epoch;        /* of the newest lease, in any life */
    uint64_t position;     /* on the holder's channel */
    uint64_t since_us;     /* may have been started by its holder since; SIM_NEVER: not started */
    uint64_t overdue_us;   /* should have been taken from its holder since; 0: no */
    uint64_t due_ms;       /* not before; 0: now */
    uint32_t charged;
    bool suspect;  /* may have been started by one that was lost; goes out alone */
    bool started;  /* may have been started before */
    bool given;    /* handed out in this life */
    bool deadly;   /* kills or freezes who starts it */
    bool optional; /* settled by all older groups when this one was made: perhaps gone then */
    bool acked;    /* settled by its holder */
    bool rejected;
    uint32_t charged_durable;
    uint64_t due_durable_ms;
    bool suspect_durable;
    bool settled; /* durable; dead letters included */
    bool dead;    /* durable */
    bool parked;  /* durable */
} sim_mark_t;

typedef struct {
    bool exists;
    uint32_t id;
    char name[LEAT_NAME_MAX + 1];
    uint64_t first;    /* offset at which it began */
    uint64_t aged;     /* one that began at a time: what is below may be older, and skipped */
    uint64_t floor;    /* durable: everything below is settled */
    sim_mark_t *marks; /* by offset */
    size_t marks_count;
    size_t marks_room;
    uint64_t expired;        /* records that went before they were settled, in the core's life */
    uint64_t fresh;          /* offset above every record handed out in this life */
    size_t done;             /* every record below is settled or parked */
    uint64_t idle_since_us;  /* a consumer could take what is ready, since; 0: no */
    uint64_t hoard_since_us; /* a consumer could take what another holds, since; 0: no */
} sim_group_t;

typedef struct {
    bool exists;
    uint32_t id;
    char name[LEAT_NAME_MAX + 1];
    sim_record_t *records; /* by offset */
    size_t records_count;
    size_t records_room;
    uint64_t submitted; /* next offset, what the store has not kept, or has refused, included */
    uint64_t held_size;
    bool async;
    bool fleeting;     /* nothing of it but its name outlives the broker */
    uint64_t reserved; /* durable: no offset below is given anew */
    uint64_t told;     /* behind the last offset that anybody was told of before it was durable */
    uint64_t processing_ms; /* durable: max_processing */
    uint64_t former_ms;     /* the one before, */
    uint64_t set_us;        /* until then */
    bool is_log;            /* durable: of retention log, with */
    uint64_t max_age_ms;
    uint64_t max_size;
    uint64_t expired;         /* durable: everything below is gone for good */
    uint64_t expiring;        /* the same, what is on its way to the store included */
    uint64_t expired_records; /* in the core's life */
    uint64_t old_since_us;    /* its oldest batch should be gone, since; 0: no */
    uint64_t untold_since_us; /* the core has dropped what the store still has, since; 0: no */
    uint64_t untold;          /* and below which offset that is */
    sim_group_t groups[SIM_MODEL_GROUPS_MAX];
} sim_stream_t;

/* An identity's sequences in one stream. */
typedef struct {
    bool known;
    uint64_t committed; /* the last sequence, if known */
    uint64_t offset;    /* that it has */
    uint64_t told;      /* as the store has it */
    uint64_t told_offset;
    uint64_t ever;  /* the largest that was ever committed */
    uint64_t heard; /* the largest that a live session sent to the core */

    /* In async streams. */
    uint64_t submitted; /* the largest handed to the store in this life */
    uint64_t submitted_offset;
    uint64_t promised;  /* the largest that was confirmed before it was committed */
    uint64_t lost;      /* the largest of these when the broker crashed */
    uint64_t lost_ever; /* that, of what was forgotten since: its client knows it still */
    uint64_t said;      /* the largest that its client said in this life was confirmed */
    bool claimed;       /* something was confirmed in this turn that is to be handed over in it: */
    uint64_t claim;
    uint64_t claim_offset; /* UINT64_MAX: not told */
} sim_sequence_t;

struct sim_channel {
    sim_peer_t *peer;
    sim_channel_t *next; /* of its peer */
    uint32_t number;
    bool consumer;
    bool answered;
    bool ended;
    unsigned stream; /* index in the model; SIM_MODEL_STREAMS_MAX: not there yet */
    char stream_name[LEAT_NAME_MAX + 1];
    char group_name[LEAT_NAME_MAX + 1];
    uint64_t base;      /* producers: of OPEN */
    uint64_t limit;     /* producers: the credit that was told */
    bool reclaiming;    /* producers: CREDIT with RECLAIM is not answered yet */
    sim_group_t *group; /* consumers */
    uint64_t credit_records;
    uint64_t credit_size;
    uint64_t max_unreported;
    uint64_t position; /* of the next record */
    uint64_t reported;
    uint64_t outstanding;
    uint64_t outstanding_size;
    bool lone;              /* has a suspect */
    uint64_t settled;       /* records, with effect */
    uint64_t gathered;      /* the most of one SETTLE */
    uint64_t busy_since_us; /* its last settle, or when it got something after it had nothing */
    uint64_t slowest_us;    /* the most that a record of one SETTLE took */
    uint64_t recall_end; /* position behind what it was asked for and did not answer; 0: nothing */
    bool recall_unsaid;  /* and that goes for what it may have started without a word, too */
    uint64_t lost_epoch; /* the newest lease of which something was taken away */
    uint64_t late;       /* records that it settled afterwards, and was not told of yet */
    uint64_t late_us;
    bool drained;
    bool poisoned; /* its consumer has started a deadly record */
    bool benched;  /* something was taken away, and nothing was heard of its application since */
    bool stuck;    /* and nothing was settled since that may have been started */
    uint64_t free_since_us;
    uint64_t settles; /* entries that its settles had, for SETTLED */
    struct sim_confirm {
        uint64_t token;
        size_t acked; /* entries of `acks` that it covers */
    } confirms[64];
    unsigned confirms_count;
    uint64_t *acks; /* offsets it has acked or rejected, oldest first */
    size_t acks_count;
    size_t acks_room;
    size_t acks_checked;
    uint64_t asked_empty; /* token of ASK_EMPTY, if asking */
    bool asking;
};

struct sim_peer {
    sim_peer_t *next;
    uint64_t number;
    bool live;
    bool ended;
    bool liar;
    unsigned identity; /* SIM_IDENTITIES_MAX: strange */
    uint64_t life;     /* as its last HELLO said */
    uint32_t attempt;
    bool resumes;
    char identity_name[LEAT_NAME_MAX + 1];
    uint64_t epoch;
    uint64_t heard_us;
    uint64_t welcomed_us;
    sim_channel_t *channels;
};

struct sim_model {
    sim_stream_t streams[SIM_MODEL_STREAMS_MAX];
    sim_sequence_t sequences[SIM_IDENTITIES_MAX][SIM_STREAMS_MAX + 1];
    sim_peer_t *peers;
    uint64_t newest_epoch; /* of any lease or session, in any life */
    uint64_t timed_out;    /* as the statistics have it */
    uint64_t memory_hits;  /* so often it has met memory_size, likewise, */
    uint64_t memory_us;    /* until then */
    uint64_t slices_seen;
    bool emptied; /* a memory store was lost at least once */
    struct {
        uint32_t stream;
        uint32_t group;
        uint8_t *gone; /* by offset: what the core perhaps held no more when it made the group */
        size_t count;
        uint64_t aged; /* of such as begin at a time, see sim_group_t */
    } births[8];       /* of groups that are being created, the newest ones */
    unsigned births_count;
};

sim_model_t *sim_model_new (void);
void sim_model_destroy (sim_model_t **self_p);

/* model_commit.c: the core submits a commit; the store keeps one; the store is emptied. */
void sim_model_submitted (sim_t *sim, leat_buffer_t *bytes);
void sim_model_committed (sim_t *sim, leat_buffer_t *bytes);
void sim_model_forget (sim_t *sim);

/* model_fleeting.c: the core has done a commit of memory streams beside the store; what is submitted to the
 * store has nothing of theirs in it; the broker is gone, and with it what one of them held. */
void sim_model_did (sim_t *sim, leat_buffer_t *bytes);
void sim_model_check_stored (sim_t *sim, leat_buffer_t *bytes);
void sim_model_fleeting_restarted (sim_t *sim, sim_stream_t *stream);

/* model_session.c: the core is about to read a message, has written one, is about to be told that a
 * peer is gone, has let time pass (before what it wrote then
 * is shown), has done what it wanted, or is a new one. */
void sim_model_reads (sim_t *sim, uint64_t peer, unsigned frames, const uint8_t *header,
                      size_t header_size, leat_buffer_t *body);
void sim_model_wrote (sim_t *sim, const leat_message_t *message);
void sim_model_unreachable (sim_t *sim, uint64_t peer);
void sim_model_cut (sim_t *sim, uint64_t peer);
void sim_model_timed_out (sim_t *sim, const leat_statistics_t *statistics);
void sim_model_check_statistics (sim_t *sim, const leat_statistics_t *statistics);
void sim_model_restarted (sim_t *sim);
sim_peer_t *sim_model_peer (sim_t *sim, uint64_t number);

/* model_async.c: for model_session.c and model_commit.c, what async streams confirm ahead. */
/* Is what OPENED or CONFIRMED says, beyond what is committed, right so far? `offset` may be UINT64_MAX. */
bool sim_model_claimed (sim_t *sim, sim_stream_t *stream, unsigned identity,
                        sim_sequence_t *sequence, uint64_t told, uint64_t offset);
void sim_model_said (sim_sequence_t *sequence, uint64_t confirmed);
void sim_model_handed_over (sim_t *sim, uint32_t stream, const sim_content_t *content,
                            uint64_t offset);
/* May a sequence follow that is not the next one, because those between were lost? */
bool sim_model_may_skip (const sim_t *sim, const sim_stream_t *stream,
                         const sim_sequence_t *sequence, const sim_content_t *content);
/* The broker is gone: a new one begins behind what was reserved. */
void sim_model_async_restarted (sim_t *sim, sim_stream_t *stream);
/* Offsets below `next` that got no record get none any more. */
void sim_model_skip (sim_t *sim, sim_stream_t *stream, uint64_t next);
/* At the end of a turn, when all commits are handed over; and when a broker has ended in order. */
void sim_model_check_told (sim_t *sim);
void sim_model_check_lost (sim_t *sim);

/* model_lease.c: for model_session.c, what consumers' channels say and hear, and their end. */
void sim_model_consumer_says (sim_t *sim, sim_channel_t *channel, const leat_command_t *command);
void sim_model_consumer_hears (sim_t *sim, sim_channel_t *channel, const leat_command_t *command);
/* A slice. `behind`: of the same DELIVER, behind one that ended at this offset; else 0. */
void sim_model_delivered (sim_t *sim, sim_channel_t *channel, const leat_batch_t *batch,
                          leat_slice_t body, uint64_t behind);
void sim_model_consumer_ended (sim_t *sim, sim_channel_t *channel, bool clean);

/* model_lease.c: the application of a peer has started a record that will kill or freeze it; one that
 * was frozen goes on. */
void sim_model_poisoned (sim_t *sim, uint64_t peer, const char *stream, const char *group,
                         uint64_t offset);
void sim_model_cured (sim_t *sim, uint64_t peer);

/* model_balance.c: for model_lease.c and model_check.c. Records were settled, are about to be
 * delivered, were asked or given back; and a moment without faults. */
void sim_model_balance_settled (sim_t *sim, sim_channel_t *channel, uint64_t records);
void sim_model_balance_delivered (sim_t *sim, sim_channel_t *channel, uint64_t count);
void sim_model_balance_recalled (sim_t *sim, sim_channel_t *channel, const leat_ranges_t *ranges);
void sim_model_balance_returned (sim_channel_t *channel);
void sim_model_balance_check (sim_t *sim, const sim_stream_t *stream, sim_group_t *group);

/* model_check.c: a producer was told that everything up to `sequence` is confirmed; an application was
 * handed a record by its consumer. */
void sim_model_confirmed (sim_t *sim, unsigned identity, unsigned stream, uint64_t sequence);
void sim_model_handed (sim_t *sim, unsigned stream, uint64_t offset, bool extended,
                       const uint8_t *bytes, size_t size);

/* model_check.c: a moment without faults: no consumer idles while there is work for it. */
void sim_model_check_idle (sim_t *sim);

/* model_check.c: a moment without faults: what was started too long ago was taken away. */
void sim_model_check_overdue (sim_t *sim);

/* model_log.c: for model_commit.c, something expires; it has. */
void sim_model_log_expires (sim_t *sim, const leat_operation_expired_t *expired);
void sim_model_log_expired (sim_t *sim, const leat_operation_expired_t *expired);

/* model_log.c: the oldest offset that the core has of a stream; and what a log holds from there on, as memory
 * counts it. */
uint64_t sim_model_log_first (const sim_t *sim, const sim_stream_t *stream);
uint64_t sim_model_log_held (const sim_t *sim, const sim_stream_t *stream);

/* model_log.c: a moment without faults: what is too old is gone. And the end: so is what is too much. */
void sim_model_log_check (sim_t *sim);
void sim_model_log_check_end (sim_t *sim, const sim_stream_t *stream);

/* model_check.c: a broker that starts knows of streams what the store has. */
void sim_model_check_recovered (sim_t *sim);

/* model_check.c: a broker with a durable store has ended in order: the store knows all it knew. */
void sim_model_check_shut_down (sim_t *sim);

/* True once the faults are over for so long that nobody may lose a session by silence any more. */
bool sim_model_is_calm (const sim_t *sim);

/* True if a record is parked: its batch stays, until a broker that starts finds room for it. */
bool sim_model_has_parked (const sim_t *sim);

/* True if every group has settled, parked or buried every record. `why` (may be NULL) is told what is
 * missing. */
bool sim_model_at_rest (sim_t *sim, char *why, size_t size);

/* At the end, all clients gone: what the core holds is what the model holds. */
void sim_model_check_end (sim_t *sim, const leat_statistics_t *statistics);

/* Streams and groups that a consumer should be attached to, those of dead letters included: calls
 * back for each. */
typedef void (sim_model_group_fn) (sim_t *sim, unsigned stream, const char *stream_name,
                                   const char *group_name);
void sim_model_groups (sim_t *sim, sim_model_group_fn *fn);

/* model.c */
sim_stream_t *sim_model_stream_by_id (sim_model_t *self, uint32_t id);
sim_stream_t *sim_model_stream_by_name (sim_model_t *self, leat_text_t name);
sim_group_t *sim_model_group_by_id (sim_stream_t *stream, uint32_t id);
sim_group_t *sim_model_group_by_name (sim_stream_t *stream, leat_text_t name);
void sim_model_group_grow (sim_stream_t *stream, sim_group_t *group);
void sim_model_text (char *copy, leat_text_t text);
bool sim_model_mark_done (const sim_mark_t *mark);

#endif

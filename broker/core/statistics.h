/* What the core knows of itself, for the stats socket: counters and lists.
 * SPDX-License-Identifier: MPL-2.0 */
#ifndef LEAT_BROKER_CORE_STATISTICS_H
#define LEAT_BROKER_CORE_STATISTICS_H

#include "broker/core/core.h"

/* X (name, what it counts). Only grow, from the core's start. */
#define LEAT_COUNTERS(X)                                                                           \
    X (frames_malformed, "messages that broke the protocol")                                       \
    X (commands_refused, "commands answered with REFUSED")                                         \
    X (frames_former, "messages of ended connections that arrived late and were dropped")          \
    X (hellos, "HELLOs taken")                                                                     \
    X (sessions_displaced, "sessions ended by another one under the same identity")                \
    X (hellos_fenced, "HELLOs that resume a life that another one has displaced")                  \
    X (sessions_timed_out, "sessions ended by a heartbeat timeout")                                \
    X (sessions_unreachable, "sessions ended because their connection was gone")                   \
    X (pongs_saved, "PINGs not answered because the last answer was too young")                    \
    X (records_accepted, "records committed")                                                      \
    X (records_duplicate, "records that a producer sent again and that were there already")        \
    X (batches_out_of_sequence, "batches refused because of a gap or an overlap")                  \
    X (batches_damaged, "batches whose CRC32C did not match")                                      \
    X (records_delivered, "records handed to consumers, repetitions included")                     \
    X (records_settled, "records settled, once per group")                                         \
    X (records_redelivered, "records handed out again that may have been started before")          \
    X (records_returned, "records given back unstarted")                                           \
    X (recalls, "RECALLs sent")                                                                    \
    X (recalls_unanswered, "of them those that were not answered in time")                         \
    X (records_recalled, "records that consumers gave back when they were asked")                  \
    X (records_suspect, "records that a lost consumer may have started")                           \
    X (records_overdue, "records taken away after their stream's max_processing")                  \
    X (records_dead, "records set aside as dead letters")                                          \
    X (records_parked, "dead letters that had no room and stay in their stream")                   \
    X (records_expired, "records of logs that became too old or too much, and went")               \
    X (records_expired_unsettled, "of them those that a group had not settled, once per group")    \
    X (expiries_held, "times that what had expired waited, because it was leased")                 \
    X (settles_stale, "settles that held no lease")                                                \
    X (slices_cut, "deliveries that were part of a batch")                                         \
    X (slices_joined, "deliveries that went along in the message of the one before")               \
    X (batches_sent_away, "batches that left memory, because the store has them")                  \
    X (batches_read, "batches read back from the store")                                           \
    X (records_damaged,                                                                            \
       "records that the store had damaged and that were set aside, once per group")               \
    X (peers_cut, "peers whose connection is to be ended for what they sent")                      \
    X (commits, "commits handed to the store")                                                     \
    X (commits_refused, "commits that the store refused")

typedef struct {
#define X(name, text) uint64_t name;
    LEAT_COUNTERS (X)
#undef X
    uint64_t limit_hits[LEAT_LIMIT_COUNT]; /* how often each limit was met */
    /* now */
    uint64_t sessions;
    uint64_t streams;
    uint64_t held_size;    /* records held, as leat_batch_cost counts */
    uint64_t granted_size; /* credit granted and not used */
} leat_statistics_t;

void leat_core_statistics (const leat_core_t *self, leat_statistics_t *statistics);

typedef struct {
    leat_text_t name;
    uint64_t ready; /* records that could go out now */
    uint64_t in_flight;
    uint64_t delayed;
    uint64_t suspect;
    uint64_t parked;
    uint64_t settled;
    uint64_t redelivered;
    uint64_t dead_lettered;
    uint64_t expired; /* records that went from a log before the group had settled them */
    uint32_t consumers;
} leat_group_statistics_t;

typedef struct {
    leat_text_t name;
    leat_durability_t durability;
    leat_retention_t retention;
    uint64_t max_age_ms;        /* of a log; 0: no limit */
    uint64_t max_size;          /* likewise */
    uint64_t max_processing_ms; /* 0: no limit */
    uint64_t first_offset;      /* of the oldest record held */
    uint64_t next_offset;
    uint64_t accepted; /* records committed */
    uint64_t held;     /* records held */
    uint64_t bytes;    /* held_size of this stream; bodies alone where the store reads */
    uint64_t expired;  /* records of a log that went */
    uint32_t producers;
    uint32_t groups;
} leat_stream_statistics_t;

typedef struct {
    leat_text_t identity;
    leat_text_t stream;
    leat_text_t group; /* consumers only */
    uint64_t session_epoch;
    uint64_t records;     /* published, or settled by this consumer */
    uint64_t redelivered; /* consumers: records given to it that may have been started before */
    uint64_t in_flight;   /* consumers: records leased; producers: records not committed */
    uint64_t credit;      /* consumers: records; producers: bytes left */
    uint64_t rate;        /* records a second, over the last seconds */
    uint64_t service_us;  /* consumers: time per record, moving average; 0 unknown */
    uint64_t work_us;     /* consumers: what they hold takes so long */
    uint64_t recalled;    /* consumers: records given back when asked */
    uint64_t heartbeat_age_ms;
} leat_channel_statistics_t;

/* Calls one of the functions for each stream, then each of its groups; the texts borrow from the
 * core. Functions may be NULL. */
typedef struct {
    void (*stream) (void *arg, const leat_stream_statistics_t *stream);
    void (*group) (void *arg, const leat_group_statistics_t *group);
    void (*producer) (void *arg, const leat_channel_statistics_t *producer);
    void (*consumer) (void *arg, const leat_channel_statistics_t *consumer);
    void *arg;
} leat_statistics_visitor_t;

void leat_core_visit (const leat_core_t *self, const leat_statistics_visitor_t *visitor);

#endif

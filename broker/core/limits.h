/* Every limit of the broker, in one table that makes options, documentation and statistics.
 * SPDX-License-Identifier: MPL-2.0 */
#ifndef LEAT_BROKER_CORE_LIMITS_H
#define LEAT_BROKER_CORE_LIMITS_H

#include <stddef.h>
#include <stdint.h>

/* X (name, default, unit, what it bounds and why the default is what it is). Units: count, size
 * (bytes), ms. Each has a counter of how often it was met: leat_core_limit_hits. */
#define LEAT_LIMITS(X)                                                                                \
    X (sessions, 16000, count, "peers with a session; each takes about 60 KiB in libzmq and here")    \
    X (identities, 100000, count,                                                                     \
       "pairs of identity and stream whose last sequence is remembered; about 200 bytes each")        \
    X (streams, 10000, count, "streams; stops streams made by typing errors; about 1 KiB each")       \
    X (groups, 1000, count, "groups of a stream; each settles every record for itself")               \
    X (channels, 4096, count, "producers and consumers of one session")                               \
    X (record_size, 1048576, size, "key, headers and body of a record")                               \
    X (batch_size, 1052672, size,                                                                     \
       "body of a PUBLISH: a record of 1 MiB fits; beyond that throughput falls again")               \
    X (memory_size, 1073741824, size,                                                                 \
       "records held plus credit granted; at it producers wait for credit")                           \
    X (stream_size, 268435456, size,                                                                  \
       "records held of one stream; a full stream waits alone, others go on")                         \
    X (read_window, 8388608, size,                                                                    \
       "unleased records of one durable stream kept in memory; the rest is read back when needed")    \
    X (dead_size, 16777216, size,                                                                     \
       "records in one stream of dead letters; beyond it they stay parked")                           \
    X (window_size, 4194304, size,                                                                    \
       "unconfirmed PUBLISHes of one session; about 2 MiB in flight are fastest, more is for bursts") \
    X (grant_min_size, 32768, size, "first credit of a producer; a thousand of them take 32 MiB")     \
    X (grant_max_size, 4194304, size, "credit that a busy producer may grow to")                      \
    X (grant_idle, 10000, ms, "an unused grant beyond the first is taken back after this")            \
    X (credit_records, 1000000, count, "records that one consumer may hold")                          \
    X (credit_size, 268435456, size, "bytes that one consumer may hold")                              \
    X (unreported, 65536, count, "max_unreported of a consumer; each may become a suspect")           \
    X (work_in_hand, 50, ms,                                                                          \
       "work that a consumer holds; more is recalled more often, less may idle: 2 round trips")       \
    X (marked_records, 100000, count,                                                                 \
       "records of a group with attempts, delays or suspicion; at it nothing fresh goes out")         \
    X (attempts, 5, count, "attempts before a record becomes a dead letter")                          \
    X (nack_delay_min, 100, ms, "first delay of a nacked record; doubles with each attempt")          \
    X (nack_delay_max, 60000, ms, "largest delay that doubling leads to")                             \
    X (nack_delay_ceiling, 86400000, ms, "largest delay that a consumer may ask for")                 \
    X (heartbeat_interval, 1000, ms, "a peer with work beats this often")                             \
    X (heartbeat_timeout, 5000, ms, "a peer not heard for this long is lost")                         \
    X (identity_expiry, 604800000, ms,                                                                \
       "an identity that stays away is forgotten after a week; random ones after a minute")           \
    X (former_peers, 65536, count,                                                                    \
       "ended connections remembered, so that late frames are dropped")                               \
    X (stranger_answers, 1000, count,                                                                 \
       "refusals a second to who has no session, so that who never reads piles up little")            \
    X (offences, 10000, count,                                                                        \
       "messages of a session refused or without effect before it is ended; a hundredth of it is "    \
       "forgiven each second; no honest peer comes near, and unread answers to so many take 3 MiB")   \
    X (commit_records, 1000000, count, "records appended in one commit; keeps each commit short")     \
    X (commit_size, 33554432, size,                                                                   \
       "bytes in one commit, beyond what its last batch or group adds; likewise")                     \
    X (commits, 64, count, "commits under way at the store")                                          \
    X (confirm_delay, 1, ms,                                                                          \
       "a confirmation that nobody waits for is held back so long, to go together with others")       \
    X (list_size, 16777216, size,                                                                     \
       "lists of streams and groups told to one session at once, a tenth of it more each second; "    \
       "so that who asks and never reads piles up little")                                            \
    X (requests, 1000, count, "requests of operators that wait for the store; more are refused")      \
    X (expiry_batches, 1024, count,                                                                   \
       "batches of a log that expire in one turn; keeps turns short, the rest follows in the next")   \
    X (expiry_delay, 100, ms,                                                                         \
       "records go so late after they became too old, so that many go together")                      \
    X (async_lag, 100, ms,                                                                            \
       "while the store is further behind, async streams confirm as sync ones do; so a crash takes "  \
       "what was published in so long at most")                                                       \
    X (async_offsets, 262144, count,                                                                  \
       "offsets of an async stream reserved ahead, for what is under way; a crash leaves at most "    \
       "one and a half times as many unused")                                                         \
    X (memory_offsets, 4294967296, count,                                                             \
       "offsets of a memory stream beside durable ones that are reserved ahead, which takes the "     \
       "fastest one minutes to use; a crash leaves at most one and a half times as many unused")      \
    X (settle_delay, 100, ms, "settles are committed at most so late; losing them only redelivers")

typedef struct {
#define X(name, value, unit, text) uint64_t name;
    LEAT_LIMITS (X)
#undef X
} leat_limits_t;

typedef enum {
#define X(name, value, unit, text) LEAT_LIMIT_##name,
    LEAT_LIMITS (X)
#undef X
        LEAT_LIMIT_COUNT
} leat_limit_id_t;

/* The defaults. */
void leat_limits_default (leat_limits_t *limits);

/* NULL if the limits fit each other, otherwise a sentence that names what is wrong and what would be
 * right (static text). */
const char *leat_limits_check (const leat_limits_t *limits);

#endif

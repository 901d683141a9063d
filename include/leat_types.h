/* What all public headers of Leat share: codes, outcomes, starts, and how symbols are exported.
 * SPDX-License-Identifier: MPL-2.0 */
#ifndef LEAT_TYPES_H
#define LEAT_TYPES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* All else of the library is hidden. */
#define LEAT_EXPORT __attribute__ ((visibility ("default")))

/* What becomes of a record that a consumer was given. */
typedef enum {
    LEAT_ACK = 1,   /* done */
    LEAT_NACK = 2,  /* again, after a delay */
    LEAT_REJECT = 3 /* never again: a dead letter */
} leat_outcome_t;

/* Where a group begins that an ATTACH or GROUP_CREATE makes. */
typedef enum {
    LEAT_START_EARLIEST = 0, /* the oldest record that is held */
    LEAT_START_LATEST = 1,   /* what comes after now */
    LEAT_START_OFFSET = 2,
    LEAT_START_TIME = 3 /* milliseconds since 1970-01-01 UTC */
} leat_start_t;

/* How safe the committed records of a stream are. */
typedef enum {
    /* In requests: LEAT_SYNC with a data directory, else LEAT_MEMORY. */
    LEAT_DURABILITY_DEFAULT = 0,
    LEAT_ASYNC = 1, /* not durable: a crash may take those of the last 100 ms */
    LEAT_SYNC = 2,  /* on disk before they are confirmed */
    LEAT_MEMORY = 3 /* until the broker ends */
} leat_durability_t;

/* How long a stream keeps a record. */
typedef enum {
    LEAT_RETENTION_WORK = 0, /* until every group has settled a record */
    LEAT_RETENTION_LOG = 1   /* until too old or too much */
} leat_retention_t;

/* Why something was refused. X (number, NAME, what it means and what a peer should do). */
#define LEAT_CODES(X)                                                                              \
    X (0, OK, "nothing is wrong")                                                                  \
    X (1, MALFORMED, "the frames do not follow the protocol; mend the client")                     \
    X (2, UNKNOWN_COMMAND, "no such command in this version; mend the client")                     \
    X (3, UNSUPPORTED_VERSION, "no common protocol version; use another client or broker")         \
    X (4, NOT_HANDLED, "the command is known but this broker does not handle it")                  \
    X (5, NO_SESSION, "say HELLO first; a client that had a session says it again")                \
    X (6, BAD_STATE, "the command is not allowed now; mend the client")                            \
    X (7, BAD_NAME, "letters, digits, '.', '_' and '-' only, not first '.' or '-', 1 to 128 long") \
    X (8, RESERVED_NAME, "names ending in .dead belong to dead letters; choose another")           \
    X (9, NO_SUCH_STREAM, "create the stream first, or open it without MUST_EXIST")                \
    X (10, NO_SUCH_GROUP, "create the group first")                                                \
    X (11, NO_SUCH_CHANNEL, "the channel is not open in this session; open or attach it first")    \
    X (12, CHANNEL_IN_USE, "choose another channel number, or close this one first")               \
    X (13, OUT_OF_SEQUENCE, "send again from the expected sequence")                               \
    X (14, TOO_LARGE, "a record, batch, command or credit is above the announced limit")           \
    X (15, BAD_CHECKSUM, "the body does not match its CRC32C; send it again")                      \
    X (16, OVER_CREDIT, "wait for credit before sending; mend the client")                         \
    X (17, LIMIT_REACHED, "a limit of the broker is reached; wait, or ask its operator")           \
    X (18, STORE_FULL, "no space to keep records; send again from the expected sequence later")    \
    X (19, STORE_FAILED, "the broker's store failed; reconnect later")                             \
    X (20, NOT_ALLOWED, "this session is not allowed to do that")                                  \
    X (21, SHUTTING_DOWN, "the broker is ending; reconnect after the time told")                   \
    X (22, STREAM_IN_USE, "this session publishes into that stream already; share the channel")    \
    X (23, DAMAGED, "the records did not match their CRC32C when they arrived")                    \
    X (24, DELETED, "the stream or group was deleted")                                             \
    X (25, DISPLACED, "another session uses this identity now; stop")                              \
    X (26, TIMED_OUT, "nothing was heard for a heartbeat timeout; say HELLO on a new connection")  \
    X (27, OVERDUE, "the record was held for longer than the stream's max_processing")             \
    X (28, NO_SUCH_CONSUMER, "no client of that name consumes here now; leat stats lists them")

typedef enum {
#define X(number, name, text) LEAT_##name = (number),
    LEAT_CODES (X)
#undef X
} leat_code_t;

/* "OUT_OF_SEQUENCE" for LEAT_OUT_OF_SEQUENCE; "CODE_99" never: unknown numbers give "UNKNOWN". */
LEAT_EXPORT const char *leat_code_name (unsigned code);

/* What the code means and what to do, as in LEAT_CODES. */
LEAT_EXPORT const char *leat_code_text (unsigned code);

#ifdef __cplusplus
}
#endif

#endif

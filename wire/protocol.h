/* Numbers of the protocol: versions, sizes, flags, error codes. docs/protocol.md explains each.
 * SPDX-License-Identifier: MPL-2.0 */
#ifndef LEAT_WIRE_PROTOCOL_H
#define LEAT_WIRE_PROTOCOL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* All integers on the wire are unsigned and little-endian. */

enum {
    LEAT_PROTOCOL_VERSION = 1,

    /* Sizes that are part of the protocol; a broker may announce smaller ones, never larger. */
    LEAT_NAME_MAX = 128,                     /* bytes of a stream, group or identity name */
    LEAT_STREAM_NAME_MAX = 123,              /* so that its stream of dead letters has a name too */
    LEAT_TEXT_MAX = 1024,                    /* bytes of a reason or a software version */
    LEAT_BATCH_HEADER_SIZE = 48,             /* first frame of PUBLISH and DELIVER */
    LEAT_COMMAND_SIZE_MAX = 64 * 1024,       /* any other command */
    LEAT_RECORD_SIZE_MAX = 64 * 1024 * 1024, /* key, headers and body of one record */
    LEAT_RECORD_SIZE_DEFAULT = 1024 * 1024,
    LEAT_BATCH_COUNT_MAX = 65536, /* records in one batch */
    LEAT_ENTRIES_MAX = 2048,      /* ranges in one SETTLE, RETURNED, RECALL, REVOKED or STALE */

    /* What a batch costs beside its body, in credit and in memory accounts, so that batches of one
     * small record cannot take more memory than was granted: structures, message, allocator. */
    LEAT_BATCH_COST = 512,
};

/* flags of HELLO */
enum {
    LEAT_HELLO_RESUME = 1,   /* the same client goes on: refused with FENCED if it was displaced */
    LEAT_HELLO_EPHEMERAL = 2 /* a random identity: forget its sequences soon after BYE */
};
/* flags of OPEN and ATTACH */
enum {
    LEAT_MUST_EXIST = 1 /* refuse with NO_SUCH_STREAM instead of creating the stream */
};
/* flags of OPENED */
enum {
    LEAT_OPENED_KNOWN = 1 /* `sequence` is what the broker has; otherwise the client's base holds */
};
/* flags of CREDIT */
enum {
    LEAT_CREDIT_RECLAIM = 1 /* `limit` is lower than before; answer with YIELDED */
};
/* flags of SETTLE */
enum {
    LEAT_SETTLE_CONFIRM = 1 /* answer with SETTLED once these settles are committed */
};
/* flags of SETTLED */
enum {
    LEAT_SETTLED_DURABLE = 1 /* they survive a power cut of the broker */
};
/* flags of RESULT */
enum {
    LEAT_RESULT_MORE = 1 /* more RESULTs for the same request follow */
};
/* attributes of a batch */
enum {
    LEAT_BATCH_EXTENDED = 1 /* records have keys and headers (see wire/record.h) */
};
/* flags of DELIVER */
enum {
    LEAT_DELIVER_REDELIVERED = 1 /* these records may have been started before */
};

/* outcome of a settle */
typedef enum {
    LEAT_ACK = 1,   /* done */
    LEAT_NACK = 2,  /* again, after a delay */
    LEAT_REJECT = 3 /* never again: a dead letter */
} leat_outcome_t;

/* start of a group that an ATTACH or GROUP_CREATE makes */
typedef enum {
    LEAT_START_EARLIEST = 0, /* the oldest record that is held */
    LEAT_START_LATEST = 1,   /* what comes after now */
    LEAT_START_OFFSET = 2,
    LEAT_START_TIME = 3 /* milliseconds since 1970-01-01 UTC */
} leat_start_t;

/* durability of a stream */
typedef enum {
    LEAT_MEMORY = 0, /* until the broker ends */
    LEAT_ASYNC = 1,
    LEAT_SYNC = 2
} leat_durability_t;

/* retention of a stream */
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
    X (27, OVERDUE, "the record was held for longer than the stream's max_processing")

typedef enum {
#define X(number, name, text) LEAT_##name = (number),
    LEAT_CODES (X)
#undef X
} leat_code_t;

/* "OUT_OF_SEQUENCE" for LEAT_OUT_OF_SEQUENCE; "CODE_99" never: unknown numbers give "UNKNOWN". */
const char *leat_code_name (unsigned code);

/* What the code means and what to do, as in LEAT_CODES. */
const char *leat_code_text (unsigned code);

/* Bytes somewhere else, not zero-terminated: a view into a received frame or a literal. */
typedef struct {
    const char *data;
    size_t size;
} leat_text_t;

/* A view of a zero-terminated string; NULL gives an empty one. */
leat_text_t leat_text (const char *string);

/* True if both have the same bytes. */
bool leat_text_equal (leat_text_t a, leat_text_t b);

/* True for 1 to LEAT_NAME_MAX bytes of [A-Za-z0-9._-] that do not begin with '.' or '-'. */
bool leat_name_valid (leat_text_t name);

/* True for names ending in ".dead". */
bool leat_name_reserved (leat_text_t name);

#endif

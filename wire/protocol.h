/* Numbers of the protocol: versions, sizes, flags, error codes. docs/protocol.md explains each.
 * SPDX-License-Identifier: MPL-2.0 */
#ifndef LEAT_WIRE_PROTOCOL_H
#define LEAT_WIRE_PROTOCOL_H

#include "leat_types.h" /* leat_code_t, leat_outcome_t, leat_start_t */

/* All integers on the wire are unsigned and little-endian. */

enum {
    LEAT_PROTOCOL_VERSION = 1,

    /* Sizes that are part of the protocol; a broker may announce smaller ones, never larger. */
    LEAT_NAME_MAX = 128,                     /* bytes of a stream, group or identity name */
    LEAT_STREAM_NAME_MAX = 123,              /* so that its stream of dead letters has a name too */
    LEAT_TEXT_MAX = 1024,                    /* bytes of a reason or a software version */
    LEAT_BATCH_HEADER_SIZE = 48,             /* of a batch, or a slice of one */
    LEAT_SLICES_MAX = 128,                   /* in one DELIVER */
    LEAT_SLICES_SIZE_MAX = 64 * 1024,        /* bytes of several of them together */
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
/* flags of PUBLISH */
enum {
    LEAT_PUBLISH_PATIENT = 1 /* nobody waits: CONFIRMED may be held back for a moment */
};
/* flags of DELIVER */
enum {
    LEAT_DELIVER_REDELIVERED = 1 /* these records may have been started before */
};

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

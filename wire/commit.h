/* Commits: what the broker's core asks a store to make true, all of it or nothing.
 * SPDX-License-Identifier: MPL-2.0 */
#ifndef LEAT_WIRE_COMMIT_H
#define LEAT_WIRE_COMMIT_H

#include "wire/buffer.h"
#include "wire/command.h"

/* Canonical encoding, version 1, all integers little-endian:
 *
 *       0  u32  signature "LCOM"
 *       4  u8   version 1
 *       5  u8   zero
 *       6  u16  zero
 *       8  u64  id             grows by 1
 *      16  u32  chain          grows after a refusal; see below
 *      20  u32  operations     their number
 *      24  then each operation:  u8 number | u32 size of the fields | fields
 *
 * A store that refuses a commit refuses every later one of the same chain too, so that nothing is
 * kept over a hole. The core starts a new chain once it has learned of the refusal. */

enum { LEAT_CHUNK_RECORDS = 65536, LEAT_COMMIT_HEADER_SIZE = 24 };

/* What became of a commit. */
typedef enum {
    LEAT_COMMIT_OK = 0,  /* it holds, as durably as the streams in it ask for */
    LEAT_COMMIT_REFUSED, /* certainly absent, now and later */
    LEAT_COMMIT_UNKNOWN, /* perhaps there: discard all state and recover */
    LEAT_COMMIT_FENCED   /* another broker has acquired the store */
} leat_commit_result_t;

#define U8(field) uint8_t field;
#define U16(field) uint16_t field;
#define U32(field) uint32_t field;
#define U64(field) uint64_t field;
#define NAME(field) leat_text_t field;
#define TEXT(field) leat_text_t field;
#define BLOB(field) leat_text_t field;
#define BODY(field) leat_slice_t field;
#define OPERATION(NAME_, name, number, fields)                                                     \
    typedef struct {                                                                               \
        fields                                                                                     \
    } leat_operation_##name##_t;
#include "wire/operations.def"
#undef OPERATION
#undef U8
#undef U16
#undef U32
#undef U64
#undef NAME
#undef TEXT
#undef BLOB
#undef BODY

typedef enum {
#define OPERATION(NAME_, name, number, fields) LEAT_OPERATION_##NAME_ = (number),
#include "wire/operations.def"
#undef OPERATION
} leat_operation_id_t;

typedef struct {
    uint8_t id;
    union {
#define OPERATION(NAME_, name, number, fields) leat_operation_##name##_t name;
#include "wire/operations.def"
#undef OPERATION
    };
} leat_operation_t;

/* "APPEND" for LEAT_OPERATION_APPEND; "UNKNOWN" for numbers that are none. */
const char *leat_operation_name (unsigned id);

/* A commit that is being built, or is built. Bodies are held by reference, never copied. */
typedef struct leat_commit leat_commit_t;

leat_commit_t *leat_commit_new (uint64_t id, uint32_t chain);
void leat_commit_destroy (leat_commit_t **self_p);

/* Adds an operation; a body gets a reference of the commit's own. */
void leat_commit_add (leat_commit_t *self, const leat_operation_t *operation);

uint64_t leat_commit_id (const leat_commit_t *self);
uint32_t leat_commit_chain (const leat_commit_t *self);
uint32_t leat_commit_operations (const leat_commit_t *self);

/* Bytes of the encoding, bodies included. */
size_t leat_commit_size (const leat_commit_t *self);

/* Gathers the encoding as parts, in order: calls fn (arg, bytes, size) for each. Nothing is copied.
 * The bytes are valid as long as the commit. */
typedef void (leat_commit_part_fn) (void *arg, const uint8_t *bytes, size_t size);
void leat_commit_gather (const leat_commit_t *self, leat_commit_part_fn *fn, void *arg);

/* The encoding in one new buffer; the caller owns it. */
leat_buffer_t *leat_commit_encode (const leat_commit_t *self);

/* Walks through the operations of a commit that is built, in order and without copying: texts and
 * bodies borrow from the commit. */
typedef struct {
    const leat_commit_t *commit; /* borrowed */
    size_t position;
    size_t body;   /* how many bodies were passed */
    uint32_t left; /* operations still to come */
} leat_commit_walk_t;

void leat_commit_walk (leat_commit_walk_t *walk, const leat_commit_t *commit);

/* The next operation. Only to be called while walk->left > 0. */
void leat_commit_walk_next (leat_commit_walk_t *walk, leat_operation_t *operation);

/* Reads an encoded commit operation by operation. */
typedef struct {
    leat_buffer_t *buffer; /* borrowed */
    size_t position;
    uint64_t id;
    uint32_t chain;
    uint32_t left; /* operations still to be read */
} leat_commit_reader_t;

/* Begins; LEAT_OK or LEAT_MALFORMED. The buffer must live as long as the reader and what it gave. */
leat_code_t leat_commit_read (leat_commit_reader_t *reader, leat_buffer_t *buffer);

/* Reads the next operation; its texts and bodies borrow from the buffer. Returns LEAT_OK, or
 * LEAT_MALFORMED if it is damaged. Only to be called while reader->left > 0; after the last one
 * leat_commit_read_end tells whether bytes were left over (LEAT_MALFORMED). */
leat_code_t leat_commit_read_operation (leat_commit_reader_t *reader, leat_operation_t *operation);
leat_code_t leat_commit_read_end (const leat_commit_reader_t *reader);

#endif

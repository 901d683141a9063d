/* What a store that recovers keeps: rows with a key and a value, ordered by key.
 * SPDX-License-Identifier: MPL-2.0 */
#ifndef LEAT_BROKER_STORE_ROWS_H
#define LEAT_BROKER_STORE_ROWS_H

#include "wire/commit.h"

/* Keys begin with a letter; numbers in them are big-endian, so that they order as the numbers do. A
 * stream and a group have a number of their own in the store, their `place`: it is never used twice,
 * while the core may use the number of a deleted stream again.
 *
 *      key                           value
 *      M name                        what is said once: see LEAT_ROW_...
 *      S stream                      a stream's place and properties
 *      X place                       its extent
 *      O place                       offsets that may have been told, of an `async` stream
 *      Q place identity              the last sequence of an identity in it
 *      B place first                 a batch: header and body
 *      R stream group                a group's place and properties
 *      F group place                 its floor
 *      C group place, chunk          settled records
 *      A group place, offset         attempts, delay, parked, dead
 *      G from                        rows from `from` to the value (exclusive) are gone, and to be
 *                                    removed when there is time; of the engine, see leat_rows_t
 *
 * Numbers in values are little-endian. Every value but those of B and G ends with a CRC32C of the value
 * before it, exclusive-or one of the key; the header of B has one too, and the body that of APPEND. */

enum {
    LEAT_KEY_MAX = 160,
    LEAT_BATCH_ROW_HEADER = 32,
    LEAT_STREAM_ROW_NAME = 42 /* where the name stands in a value of S */
};

typedef struct {
    uint8_t bytes[LEAT_KEY_MAX];
    size_t size;
} leat_key_t;

/* A key that begins with `letter`; then parts are put behind it. */
leat_key_t leat_key (char letter);
void leat_key_u32 (leat_key_t *key, uint32_t number);
void leat_key_u64 (leat_key_t *key, uint64_t number);
void leat_key_text (leat_key_t *key, leat_text_t text);

/* The first key behind all that begin with `key`. */
leat_key_t leat_key_behind (const leat_key_t *key);

/* Numbers in a key, by position. */
uint32_t leat_key_get_u32 (const leat_key_t *key, size_t position);
uint64_t leat_key_get_u64 (const leat_key_t *key, size_t position);

/* What is said once. */
#define LEAT_META_FORMAT "format"
#define LEAT_META_INCARNATION "incarnation" /* the largest that was given, or reached */
#define LEAT_META_JOURNAL "journal"         /* the key of its frames: lmdb_frames.h */
#define LEAT_META_PLACES "places"           /* the last place that was given */

/* Those that are used often. */
leat_key_t leat_key_meta (const char *name);
leat_key_t leat_key_place (char letter, uint32_t place);                     /* X O Q B F C A */
leat_key_t leat_key_numbered (char letter, uint32_t place, uint64_t number); /* B C A */

typedef enum {
    LEAT_ROWS_OK = 0,
    LEAT_ROWS_NONE,   /* no such row */
    LEAT_ROWS_FULL,   /* no space */
    LEAT_ROWS_FAILED, /* anything else; who implements it keeps the details */
    LEAT_ROWS_DAMAGED /* a checksum is wrong, or a row too short */
} leat_rows_result_t;

/* An ordered space of rows, within a transaction. Values that were got are valid until the next call that
 * changes anything. */
typedef struct leat_rows leat_rows_t;
struct leat_rows {
    leat_rows_result_t (*get) (leat_rows_t *rows, const leat_key_t *key, const uint8_t **value,
                               size_t *size);
    /* Puts a row, whether there was one or not; *value is where its bytes go, before any other call. */
    leat_rows_result_t (*put) (leat_rows_t *rows, const leat_key_t *key, uint8_t **value,
                               size_t size);
    leat_rows_result_t (*remove) (leat_rows_t *rows, const leat_key_t *key);
    /* The first row with `from` <= key < `to`; `key` may be the same as `from`. */
    leat_rows_result_t (*next) (leat_rows_t *rows, const leat_key_t *from, const leat_key_t *to,
                                leat_key_t *key, const uint8_t **value, size_t *size);
    /* Rows with `from` <= key < `to` are gone: nobody looks at them again, or puts one there again.
     * They may be removed later. A second call with the same `from` extends the first. */
    leat_rows_result_t (*discard) (leat_rows_t *rows, const leat_key_t *from, const leat_key_t *to);
};

/* ---- values with a checksum ------------------------------------------------------------------ */

/* A value that is being written or read, field by field, with a position. Written ones that would
 * not fit, and reads beyond the end, set `wrong`. */
enum { LEAT_VALUE_MAX = 16 * 1024 };
typedef struct {
    uint8_t bytes[LEAT_VALUE_MAX];
    size_t size;
    size_t position;
    bool wrong;
} leat_value_t;

void leat_value_begin (leat_value_t *value);
void leat_value_put (leat_value_t *value, uint64_t number, unsigned bytes);
void leat_value_put_text (leat_value_t *value, leat_text_t text);
uint64_t leat_value_get (leat_value_t *value, unsigned bytes);
leat_text_t leat_value_get_rest (leat_value_t *value);

/* Puts the value with its checksum, or gets one, checks it and copies it. */
leat_rows_result_t leat_rows_put (leat_rows_t *rows, const leat_key_t *key,
                                  const leat_value_t *value);
leat_rows_result_t leat_rows_get (leat_rows_t *rows, const leat_key_t *key, leat_value_t *value);
leat_rows_result_t leat_rows_next (leat_rows_t *rows, const leat_key_t *from, const leat_key_t *to,
                                   leat_key_t *key, leat_value_t *value);

/* Checks what a row's value says of itself and copies it without its checksum. */
leat_rows_result_t leat_value_check (leat_value_t *value, const leat_key_t *key,
                                     const uint8_t *bytes, size_t size);

/* ---- rows that several files look at --------------------------------------------------------- */

/* The stream's row, without its name. */
typedef struct {
    uint32_t place;
    uint8_t durability;
} leat_stream_row_t;

/* What made the stream whose row the value is, as far as that was not set anew since; the name borrows
 * from the value. False if the row is damaged. */
bool leat_value_get_stream (leat_value_t *value, uint32_t stream, uint32_t *place,
                            leat_operation_stream_created_t *created);
leat_rows_result_t leat_rows_stream (leat_rows_t *rows, uint32_t stream, leat_stream_row_t *row);

/* X: what a stream holds. */
typedef struct {
    uint64_t first;
    uint64_t next;
    uint64_t records;
    uint64_t size;
} leat_extent_t;

leat_rows_result_t leat_rows_extent (leat_rows_t *rows, uint32_t place, leat_extent_t *extent);
leat_rows_result_t leat_rows_put_extent (leat_rows_t *rows, uint32_t place,
                                         const leat_extent_t *extent);

/* The header in front of a batch's body.
 *
 *       0  u32  CRC32C of bytes 4 to 31, exclusive-or one of the key
 *       4  u32  count
 *       8  u64  time_ms
 *      16  u32  crc32c of the body
 *      20  u8   attributes, 3 bytes zero
 *      24  u64  bytes of the body
 */
typedef struct {
    uint32_t count;
    uint32_t crc32c;
    uint64_t time_ms;
    uint8_t attributes;
} leat_batch_row_t;

void leat_batch_row_write (const leat_batch_row_t *row, const leat_key_t *key, size_t body_size,
                           uint8_t *bytes);

/* False if the header is damaged, or does not belong to the key or to a value of `size` bytes. */
bool leat_batch_row_read (leat_batch_row_t *row, const leat_key_t *key, const uint8_t *value,
                          size_t size);

/* kind of a row A */
enum { LEAT_MARK_ATTEMPTS = 1, LEAT_MARK_DELAY, LEAT_MARK_PARKED, LEAT_MARK_DEAD };

#endif

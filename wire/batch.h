/* Batches: the two frames of PUBLISH and DELIVER.
 * SPDX-License-Identifier: MPL-2.0 */
#ifndef LEAT_WIRE_BATCH_H
#define LEAT_WIRE_BATCH_H

#include "wire/protocol.h"

/* A batch travels as two frames, a header that each hop writes anew and a body that goes from
 * producer to consumer untouched, by reference, whole or cut between records:
 *
 *      +--------------------+  +---------+---------+-- ... --+
 *      | header, 48 bytes   |  | record  | record  |  record |
 *      +--------------------+  +---------+---------+-- ... --+
 *
 * A DELIVER may have several slices, of small batches, each with a header of its own:
 *
 *      +--------+--------+--------+  +---------+-------------------+---------+
 *      | header | header | header |  | records | records           | records |
 *      +--------+--------+--------+  +---------+-------------------+---------+
 *                                     \_ size _/
 *
 * Header, by byte offset (zero where a row does not apply):
 *
 *       0  u8   command          PUBLISH or DELIVER
 *       1  u8   attributes       LEAT_BATCH_EXTENDED
 *       2  u16  flags            PUBLISH: LEAT_PUBLISH_PATIENT; DELIVER: LEAT_DELIVER_REDELIVERED
 *       4  u32  channel
 *       8  u32  count            records in the body, 1 to LEAT_BATCH_COUNT_MAX
 *      12  u32  crc32c           of the body: PUBLISH: the frame, DELIVER: the slice
 *      16  u64  first            PUBLISH: sequence, DELIVER: offset of the first record
 *      24  u64  time_ms          when the producer made the batch, since 1970-01-01 UTC
 *      32  u64  epoch            DELIVER: of the lease
 *      40  u32  flight           PUBLISH: grows whenever the producer goes back to resend
 *          u32  size             DELIVER: bytes of the slice
 *      44  u32  attempt          DELIVER: 1 for the first
 */
typedef struct {
    uint8_t command;
    uint8_t attributes;
    uint16_t flags;
    uint32_t channel;
    uint32_t count;
    uint32_t crc32c;
    uint64_t first;
    uint64_t time_ms;
    uint64_t epoch;
    uint32_t flight; /* PUBLISH */
    uint32_t size;   /* DELIVER */
    uint32_t attempt;
} leat_batch_t;

/* Writes the header to LEAT_BATCH_HEADER_SIZE bytes. */
void leat_batch_encode (const leat_batch_t *batch, uint8_t *bytes);

/* Reads a header. Returns LEAT_OK, or LEAT_MALFORMED if it is no header of a batch: wrong size or
 * command, no records or too many, unknown attributes, a sequence or offset range that overflows
 * (first + count must not exceed 2^63), sequence 0, a field set that must be zero. */
leat_code_t leat_batch_decode (leat_batch_t *batch, const uint8_t *bytes, size_t size);

/* What leat_batch_decode holds against a header, such as "count is 1 to 65536"; NULL if nothing. */
const char *leat_batch_fault (const uint8_t *bytes, size_t size);

/* How many slices a DELIVER with these frames has, each of which leat_batch_decode can read; 0 if it is
 * malformed: its first frame is not 1 to LEAT_SLICES_MAX headers of DELIVER, for one channel, whose sizes
 * make up the second, or that has several slices and more than LEAT_SLICES_SIZE_MAX bytes: whoever keeps one
 * of them keeps them all in memory. */
uint32_t leat_batch_slices (const uint8_t *headers, size_t headers_size, size_t body_size);

/* Walks the body: LEAT_OK if it is exactly `count` whole records, each at most record_size_max
 * bytes; otherwise LEAT_MALFORMED or LEAT_TOO_LARGE. Does not look at the checksum. */
leat_code_t leat_batch_check (const uint8_t *body, size_t size, uint32_t count, bool extended,
                              size_t record_size_max);

/* Bytes that the first `count` records of a checked body take. */
size_t leat_batch_skip (const uint8_t *body, size_t size, uint32_t count);

/* What a batch with a body of `body_size` bytes costs in credit and memory. */
static inline uint64_t leat_batch_cost (size_t body_size)
{
    return (uint64_t) body_size + LEAT_BATCH_COST;
}

#endif

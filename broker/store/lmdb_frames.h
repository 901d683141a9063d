/* What the bytes of a journal mean. Pure; private to broker/store/lmdb*.c.
 * SPDX-License-Identifier: MPL-2.0 */
#ifndef LEAT_BROKER_STORE_LMDB_FRAMES_H
#define LEAT_BROKER_STORE_LMDB_FRAMES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* A journal holds the frames of one transaction of LMDB's, the one that is not committed yet:
 *
 *      | frame 0 | frame 1 |   frame 2   | what an earlier transaction left |
 *      0         4096      8192          16384                              1 MiB
 *
 * A frame says which transaction it is for. Once LMDB has committed that one, no frame is for the next one:
 * so the journal is empty without a write. The next frame then goes to the beginning.
 *
 *       0  u32  CRC32C of bytes 4 to the end of the commits
 *       4  u32  signature "LJRN"
 *       8  u64  key             of chance, and in LMDB since the store was acquired
 *      16  u64  transaction     LMDB's number of it
 *      24  u32  number          from 0 in each transaction
 *      28  u32  bytes of the commits
 *      32  the commits, each behind u32 its bytes; zeros up to a multiple of 4096
 *
 * A frame begins a block of its own: no write touches what was confirmed before. What was being written
 * at a power cut has a wrong checksum; it was not confirmed, and nothing is behind it.
 *
 * What is left of an earlier transaction may have anything at the beginning of a block, such as a part of a record
 * that looks like a frame. The key is why it never is one: whoever sends records does not know it. */
enum {
    LEAT_LMDB_FRAME_BLOCK = 4096,
    LEAT_LMDB_FRAME_HEADER = 32,
    LEAT_LMDB_FRAME_COMMIT = 4,     /* bytes before each commit */
    LEAT_LMDB_FRAME_MAX = 64 * 1024 /* larger ones cost more to write twice than to sync twice */
};

/* A place in a journal: of the next frame that is for the transaction. Begin with number and position 0. */
typedef struct {
    uint64_t key;
    uint64_t transaction;
    uint32_t number;
    uint32_t position; /* a multiple of the block */
} leat_lmdb_frames_t;

/* The bytes that a frame of `size` bytes, with its header, takes. */
uint32_t leat_lmdb_frames_blocks (size_t size);

/* Puts the header before the commits that are in `frame`, of `size` bytes with the header, and zeros behind them up to
 * the end of the block. */
void leat_lmdb_frames_seal (const leat_lmdb_frames_t *self, uint8_t *frame, uint32_t size);

/* The next place, behind a frame of `size` bytes with its header. */
void leat_lmdb_frames_pass (leat_lmdb_frames_t *self, uint32_t size);

/* The commits of the frame at this place of the image, of *size bytes, and goes on behind it; NULL if there is no whole
 * one. They are the image's. */
const uint8_t *leat_lmdb_frames_next (leat_lmdb_frames_t *self, const uint8_t *image,
                                      size_t image_size, uint32_t *size);

/* There is no whole frame at this place, but a later one of the same transaction: so that one was confirmed. */
bool leat_lmdb_frames_damaged (const leat_lmdb_frames_t *self, const uint8_t *image,
                               size_t image_size);

/* The commit at *position of a frame's commits, of *commit_size bytes, and goes on behind it; NULL at their end,
 * where *position is `size`, or if no commit can be there, where it is less. */
const uint8_t *leat_lmdb_frames_commit (const uint8_t *commits, uint32_t size, uint32_t *position,
                                        uint32_t *commit_size);

#endif

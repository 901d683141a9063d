/* The journal beside an LMDB store: small commits are there, synced by one write, before the transaction that
 * holds them is. Private to broker/store/lmdb*.c.
 * SPDX-License-Identifier: MPL-2.0 */
#ifndef LEAT_BROKER_STORE_LMDB_JOURNAL_H
#define LEAT_BROKER_STORE_LMDB_JOURNAL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "wire/commit.h"

/* DIR/journal has a fixed size and is written in full when it is made, so that a write into it changes
 * nothing but blocks that are there. It holds the frames of one transaction of LMDB's, the one that is not
 * committed yet:
 *
 *      | frame 0 | frame 1 |   frame 2   | what an earlier transaction left |
 *      0         4096      8192          16384                              1 MiB
 *
 * A frame says which transaction it is for. Once LMDB has committed that one, no frame is for the next one:
 * so the journal is empty without a write. The next frame then goes to the beginning.
 *
 *       0  u32  CRC32C of bytes 4 to the end of the commits
 *       4  u32  signature "LJRN"
 *       8  u64  incarnation     of the broker that wrote it, so that no other ever takes it for its own
 *      16  u64  transaction     LMDB's number of it
 *      24  u32  number          from 0 in each transaction
 *      28  u32  bytes of the commits
 *      32  the commits, each behind u32 its bytes; zeros up to a multiple of 4096
 *
 * A frame begins a block of its own: no write touches what was confirmed before. What was being written
 * at a power cut has a wrong checksum; it was not confirmed, and nothing is behind it.
 *
 * One thread. */

#define LEAT_LMDB_JOURNAL_NAME "journal"
enum {
    LEAT_LMDB_JOURNAL_SIZE = 1024 * 1024,
    LEAT_LMDB_JOURNAL_FRAME_MAX =
        64 * 1024 /* larger ones cost more to write twice than to sync twice */
};

typedef struct {
    int fd; /* -1: there is none */
    uint64_t incarnation;
    uint64_t transaction;
    uint32_t number;   /* of the next frame */
    uint32_t position; /* where it goes */
    uint8_t *frame;    /* that is being made */
    uint32_t size;     /* of it so far */
} leat_lmdb_journal_t;

typedef enum {
    LEAT_LMDB_JOURNAL_MAKE,  /* if there is none; to be written */
    LEAT_LMDB_JOURNAL_WRITE, /* if there is one */
    LEAT_LMDB_JOURNAL_READ
} leat_lmdb_journal_use_t;

/* 0, also if there is none (then also if the disk has no room to make one), or -1 with a sentence and nothing
 * to be closed. `path` is the directory's, for the sentence. */
int leat_lmdb_journal_open (leat_lmdb_journal_t *self, int directory, const char *path,
                            leat_lmdb_journal_use_t use, char *error, size_t error_size);
void leat_lmdb_journal_close (leat_lmdb_journal_t *self);

/* The next frames are for this transaction. Those of the one before are not needed any more. */
void leat_lmdb_journal_begin (leat_lmdb_journal_t *self, uint64_t incarnation,
                              uint64_t transaction);

/* Whether commits of `size` bytes, `count` of them, are small enough for a frame, and have room. */
bool leat_lmdb_journal_fits (const leat_lmdb_journal_t *self, size_t size, size_t count);

/* Puts a commit into the frame that is being made. */
void leat_lmdb_journal_add (leat_lmdb_journal_t *self, const leat_commit_t *commit);

/* Writes the frame and syncs it: 0, or errno; then nobody knows what of it is on the disk, and nothing is to
 * be written behind it. */
int leat_lmdb_journal_write (leat_lmdb_journal_t *self);

/* The commits of the next frame that is for the transaction, which the caller releases; NULL if there is none.
 * From leat_lmdb_journal_begin on this goes from frame to frame. 0, or errno. */
int leat_lmdb_journal_read (leat_lmdb_journal_t *self, leat_buffer_t **commits);

/* The next commit in what that gave, in a buffer of its own, or NULL at its end. */
leat_buffer_t *leat_lmdb_journal_next (leat_buffer_t *commits, size_t *position);

#endif

/* The journal beside an LMDB store: small commits are there, synced by one write, before the transaction that
 * holds them is. Private to broker/store/lmdb*.c.
 * SPDX-License-Identifier: MPL-2.0 */
#ifndef LEAT_BROKER_STORE_LMDB_JOURNAL_H
#define LEAT_BROKER_STORE_LMDB_JOURNAL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "broker/store/lmdb_frames.h"
#include "wire/commit.h"

/* DIR/journal has a fixed size and is written in full when it is made, so that a write into it changes
 * nothing but blocks that are there. lmdb_frames.h tells what is in it. One thread. */

#define LEAT_LMDB_JOURNAL_NAME "journal"
enum { LEAT_LMDB_JOURNAL_SIZE = 1024 * 1024 };

typedef struct {
    int fd;                   /* -1: there is none */
    leat_lmdb_frames_t place; /* of the next frame that is written */
    uint8_t *frame;           /* that is being made */
    uint32_t size;            /* of it so far */
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

/* The next frames are for this transaction. Those of the one before are not needed any more; but if it has the same
 * number, since it changed nothing and LMDB counts no such ones, they stand, and the next ones go behind them. */
void leat_lmdb_journal_begin (leat_lmdb_journal_t *self, uint64_t key, uint64_t transaction);

/* Whether commits of `size` bytes, `count` of them, are small enough for a frame, and have room. */
bool leat_lmdb_journal_fits (const leat_lmdb_journal_t *self, size_t size, size_t count);

/* Puts a commit into the frame that is being made. */
void leat_lmdb_journal_add (leat_lmdb_journal_t *self, const leat_commit_t *commit);

/* Writes the frame and syncs it: 0, or errno; then nobody knows what of it is on the disk, and nothing is to
 * be written behind it. */
int leat_lmdb_journal_write (leat_lmdb_journal_t *self);

/* All that is in it, which the caller releases; nothing, if there is no journal. 0, or errno and no buffer. */
int leat_lmdb_journal_read (const leat_lmdb_journal_t *self, leat_buffer_t **image);

#endif

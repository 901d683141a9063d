/* Notes what a store does to its rows, and plays that to LMDB alone.
 * SPDX-License-Identifier: MPL-2.0 */
#include "bench/row_log.h"

#include <lmdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench/round.h"
#include "broker/store/lmdb_files.h"
#include "broker/store/rows.h"
#include "wire/alloc.h"
#include "wire/bytes.h"

/* Some 30 bytes a row, so more than a million of them. */
#define S_LOG_SIZE ((size_t) 64 << 20)
/* Where the bytes of values come from. Larger than the nearest caches, as the bodies of a broker are
 * more than once. */
#define S_FILLING_SIZE ((size_t) 16 << 20)

/*      a transaction                     a row
 *
 *       0  u64  began, ns                 0  u8   bytes of the key; 0: none follows
 *       8  u64  ended, ns                 1  u8   1: it was put; 0: removed
 *      16  rows ...                       2  u32  bytes of the value
 *       ?  u8   0                         6  the key
 */
enum { S_BEGAN_AT = 0, S_ENDED_AT = 8, S_TRANSACTION_HEADER = 16, S_ROW_HEADER = 6 };

struct leat_bench_row_log {
    size_t committed; /* bytes of whole transactions */
    size_t used;      /* and of the one under way */
    bool overflowed;  /* the one under way, or one before, did not fit */
    uint8_t bytes[];
};

leat_bench_row_log_t *leat_bench_row_log_new (void)
{
    return leat_bench_shared_new (sizeof (leat_bench_row_log_t) + S_LOG_SIZE);
}

void leat_bench_row_log_destroy (leat_bench_row_log_t **self_p)
{
    leat_bench_shared_destroy (*self_p, sizeof (leat_bench_row_log_t) + S_LOG_SIZE);
    *self_p = NULL;
}

/* ---- noting ---------------------------------------------------------------------------------- */

/* Where `size` bytes go; NULL if there is no room, for these and all that follow. */
static uint8_t *s_room (leat_bench_row_log_t *self, size_t size)
{
    if (self->overflowed || S_LOG_SIZE - self->used < size) {
        self->overflowed = true;
        return NULL;
    }
    uint8_t *room = self->bytes + self->used;
    self->used += size;
    return room;
}

static void s_begin (void *arg)
{
    leat_bench_row_log_t *self = arg;
    self->used = self->committed;
    uint8_t *bytes = s_room (self, S_TRANSACTION_HEADER);
    if (bytes)
        leat_put_u64 (bytes + S_BEGAN_AT, leat_bench_now_ns ());
}

static void s_note (leat_bench_row_log_t *self, bool put, const void *key, size_t key_size,
                    size_t value_size)
{
    uint8_t *bytes = s_room (self, S_ROW_HEADER + key_size);
    if (!bytes)
        return;
    bytes[0] = (uint8_t) key_size; /* LEAT_KEY_MAX */
    bytes[1] = put;
    leat_put_u32 (bytes + 2, (uint32_t) value_size);
    memcpy (bytes + S_ROW_HEADER, key, key_size);
}

static void s_put (void *arg, const void *key, size_t key_size, size_t value_size)
{
    s_note (arg, true, key, key_size, value_size);
}

static void s_removed (void *arg, const void *key, size_t key_size)
{
    s_note (arg, false, key, key_size, 0);
}

static void s_end (void *arg, bool committed)
{
    leat_bench_row_log_t *self = arg;
    uint8_t *end = committed ? s_room (self, 1) : NULL;
    if (!end)
        return;
    *end = 0;
    leat_put_u64 (self->bytes + self->committed + S_ENDED_AT, leat_bench_now_ns ());
    self->committed = self->used;
}

leat_store_observer_t leat_bench_row_log_observer (leat_bench_row_log_t *self)
{
    return (leat_store_observer_t){
        .begin = s_begin, .put = s_put, .removed = s_removed, .end = s_end, .arg = self
    };
}

/* ---- playing --------------------------------------------------------------------------------- */

typedef struct {
    const uint8_t *at;
    leat_lmdb_files_t files;
    uint8_t *filling;
    size_t filling_at;
    MDB_txn *txn;
    MDB_cursor *cursor;
    leat_bench_replay_t replay;
} s_player_t;

static void s_fill (s_player_t *self, uint8_t *value, size_t size)
{
    while (size) {
        size_t part = S_FILLING_SIZE - self->filling_at;
        if (part > size)
            part = size;
        memcpy (value, self->filling + self->filling_at, part);
        self->filling_at = (self->filling_at + part) % S_FILLING_SIZE;
        value += part;
        size -= part;
    }
}

static int s_play_row (s_player_t *self)
{
    const uint8_t *row = self->at;
    const size_t size = leat_get_u32 (row + 2);
    MDB_val key = { row[0], (void *) (row + S_ROW_HEADER) };
    MDB_val value = { size, NULL };
    self->at += S_ROW_HEADER + key.mv_size;
    self->replay.rows++;
    if (row[1]) {
        self->replay.size += key.mv_size + size;
        int code = mdb_cursor_put (self->cursor, &key, &value, MDB_RESERVE);
        if (!code)
            s_fill (self, value.mv_data, size);
        return code;
    }
    int code = mdb_cursor_get (self->cursor, &key, &value, MDB_SET);
    return code ? code : mdb_cursor_del (self->cursor, 0);
}

/* Plays the transaction that `at` is at; 0 or a code of LMDB's. */
static int s_play_transaction (s_player_t *self)
{
    self->at += S_TRANSACTION_HEADER;
    int code = mdb_txn_begin (self->files.env, NULL, 0, &self->txn);
    if (code)
        return code;
    code = mdb_cursor_open (self->txn, self->files.dbi, &self->cursor);
    while (!code && self->at[0])
        code = s_play_row (self);
    self->at++;
    if (code) {
        mdb_txn_abort (self->txn);
        return code;
    }
    mdb_cursor_close (self->cursor);
    return mdb_txn_commit (self->txn);
}

static int s_play (s_player_t *self, const uint8_t *end, uint64_t from_ns, uint64_t until_ns)
{
    int code = 0;
    bool measured = false;
    uint64_t start_ns = 0;
    while (!code && self->at < end && leat_get_u64 (self->at + S_BEGAN_AT) < until_ns) {
        if (!measured && leat_get_u64 (self->at + S_ENDED_AT) >= from_ns) {
            measured = true;
            self->replay = (leat_bench_replay_t){ 0 };
            start_ns = leat_bench_now_ns ();
        }
        code = s_play_transaction (self);
        self->replay.transactions++;
    }
    self->replay.elapsed_ns = measured ? leat_bench_now_ns () - start_ns : 0;
    return code;
}

bool leat_bench_row_log_replay (const leat_bench_row_log_t *self, const char *directory,
                                uint64_t from_ns, uint64_t until_ns, leat_bench_replay_t *replay,
                                char *error, size_t error_size)
{
    if (self->overflowed) {
        snprintf (error, error_size,
                  "there were more rows than can be noted; measure for a shorter time");
        return false;
    }
    s_player_t player = { .at = self->bytes };
    const leat_store_options_t options = { .path = directory };
    if (leat_lmdb_files_open (&player.files, &options, LEAT_LMDB_BROKER, error, error_size))
        return false;
    player.filling = leat_alloc_raw (S_FILLING_SIZE);
    for (size_t i = 0; i < S_FILLING_SIZE; i++)
        player.filling[i] = (uint8_t) (i % 251);
    int code = s_play (&player, self->bytes + self->committed, from_ns, until_ns);
    *replay = player.replay;
    free (player.filling);
    leat_lmdb_files_close (&player.files);
    if (code)
        snprintf (error, error_size, "LMDB: %s", leat_lmdb_text (code));
    else if (!replay->elapsed_ns)
        snprintf (error, error_size, "the store has committed nothing that could be played");
    return !code && replay->elapsed_ns;
}

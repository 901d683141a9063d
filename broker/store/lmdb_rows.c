/* The rows of an LMDB environment.
 * SPDX-License-Identifier: MPL-2.0 */
#include "broker/store/lmdb_rows.h"

#include <errno.h>
#include <string.h>

bool leat_lmdb_is_full (int code)
{
    return code == MDB_MAP_FULL || code == MDB_TXN_FULL || code == ENOSPC || code == EDQUOT;
}

static leat_rows_result_t s_result (leat_lmdb_rows_t *self, int code)
{
    if (!code)
        return LEAT_ROWS_OK;
    if (code == MDB_NOTFOUND)
        return LEAT_ROWS_NONE;
    self->code = code;
    return leat_lmdb_is_full (code) ? LEAT_ROWS_FULL : LEAT_ROWS_FAILED;
}

static void s_tell_put (const leat_lmdb_rows_t *self, const leat_key_t *key, size_t size)
{
    if (self->observer)
        self->observer->put (self->observer->arg, key->bytes, key->size, size);
}

/* Removes the row that the cursor is at. */
static int s_delete (leat_lmdb_rows_t *self, const leat_key_t *key)
{
    int code = mdb_cursor_del (self->cursor, 0);
    if (!code && self->observer)
        self->observer->removed (self->observer->arg, key->bytes, key->size);
    return code;
}

static MDB_val s_val (const leat_key_t *key)
{
    return (MDB_val){ key->size, (void *) key->bytes };
}

static leat_rows_result_t s_get (leat_rows_t *rows, const leat_key_t *key, const uint8_t **value,
                                 size_t *size)
{
    leat_lmdb_rows_t *self = (leat_lmdb_rows_t *) rows;
    MDB_val at = s_val (key);
    MDB_val got;
    int code = mdb_cursor_get (self->cursor, &at, &got, MDB_SET_KEY);
    if (!code) {
        *value = got.mv_data;
        *size = got.mv_size;
    }
    return s_result (self, code);
}

static leat_rows_result_t s_put (leat_rows_t *rows, const leat_key_t *key, uint8_t **value,
                                 size_t size)
{
    leat_lmdb_rows_t *self = (leat_lmdb_rows_t *) rows;
    MDB_val at = s_val (key);
    MDB_val room = { size, NULL };
    int code = mdb_cursor_put (self->cursor, &at, &room, MDB_RESERVE);
    *value = room.mv_data;
    if (!code)
        s_tell_put (self, key, size);
    return s_result (self, code);
}

static leat_rows_result_t s_remove (leat_rows_t *rows, const leat_key_t *key)
{
    leat_lmdb_rows_t *self = (leat_lmdb_rows_t *) rows;
    MDB_val at = s_val (key);
    MDB_val got;
    int code = mdb_cursor_get (self->cursor, &at, &got, MDB_SET_KEY);
    if (!code)
        code = s_delete (self, key);
    return s_result (self, code);
}

static int s_compare (const leat_key_t *a, MDB_val b)
{
    size_t size = a->size < b.mv_size ? a->size : b.mv_size;
    int order = memcmp (a->bytes, b.mv_data, size);
    return order ? order : (a->size > b.mv_size) - (a->size < b.mv_size);
}

static leat_rows_result_t s_next (leat_rows_t *rows, const leat_key_t *from, const leat_key_t *to,
                                  leat_key_t *key, const uint8_t **value, size_t *size)
{
    leat_lmdb_rows_t *self = (leat_lmdb_rows_t *) rows;
    MDB_val at = s_val (from);
    MDB_val got;
    int code = mdb_cursor_get (self->cursor, &at, &got, MDB_SET_RANGE);
    if (code || s_compare (to, at) <= 0)
        return s_result (self, code ? code : MDB_NOTFOUND);
    if (at.mv_size > LEAT_KEY_MAX)
        return LEAT_ROWS_DAMAGED;
    memcpy (key->bytes, at.mv_data, at.mv_size);
    key->size = at.mv_size;
    *value = got.mv_data;
    *size = got.mv_size;
    return LEAT_ROWS_OK;
}

leat_rows_result_t leat_lmdb_rows_last (leat_lmdb_rows_t *self, const leat_key_t *from,
                                        const leat_key_t *to, leat_key_t *key,
                                        const uint8_t **value, size_t *size)
{
    MDB_val at = s_val (to);
    MDB_val got;
    int code = mdb_cursor_get (self->cursor, &at, &got, MDB_SET_RANGE);
    if (code == MDB_NOTFOUND)
        code = mdb_cursor_get (self->cursor, &at, &got, MDB_LAST);
    else if (!code && s_compare (to, at) < 0)
        code = mdb_cursor_get (self->cursor, &at, &got, MDB_PREV);
    if (code || s_compare (from, at) > 0)
        return s_result (self, code ? code : MDB_NOTFOUND);
    if (at.mv_size > LEAT_KEY_MAX)
        return LEAT_ROWS_DAMAGED;
    memcpy (key->bytes, at.mv_data, at.mv_size);
    key->size = at.mv_size;
    *value = got.mv_data;
    *size = got.mv_size;
    return LEAT_ROWS_OK;
}

/* G from -> to */
static leat_rows_result_t s_discard (leat_rows_t *rows, const leat_key_t *from,
                                     const leat_key_t *to)
{
    leat_key_t key = leat_key ('G');
    leat_key_text (&key, (leat_text_t){ (const char *) from->bytes, from->size });
    const uint8_t *old;
    uint8_t *value = NULL;
    size_t size;
    leat_rows_result_t result = s_get (rows, &key, &old, &size);
    if (result == LEAT_ROWS_OK && s_compare (to, (MDB_val){ size, (void *) old }) <= 0)
        return LEAT_ROWS_OK;
    if (result == LEAT_ROWS_OK || result == LEAT_ROWS_NONE)
        result = s_put (rows, &key, &value, to->size);
    if (result == LEAT_ROWS_OK)
        memcpy (value, to->bytes, to->size);
    return result;
}

int leat_lmdb_rows_begin (leat_lmdb_rows_t *self, const leat_lmdb_files_t *files, bool writes)
{
    *self = (leat_lmdb_rows_t){
        .base = { .get = s_get,
                  .put = s_put,
                  .remove = s_remove,
                  .next = s_next,
                  .discard = s_discard },
        .dbi = files->dbi,
        .observer = writes ? files->observer : NULL,
    };
    int code = mdb_txn_begin (files->env, NULL, writes ? 0 : MDB_RDONLY, &self->txn);
    if (!code && (code = mdb_cursor_open (self->txn, self->dbi, &self->cursor)))
        mdb_txn_abort (self->txn);
    if (!code && self->observer)
        self->observer->begin (self->observer->arg);
    return code;
}

static void s_tell_end (const leat_lmdb_rows_t *self, bool committed)
{
    if (self->observer)
        self->observer->end (self->observer->arg, committed);
}

int leat_lmdb_rows_commit (leat_lmdb_rows_t *self)
{
    mdb_cursor_close (self->cursor);
    int code = mdb_txn_commit (self->txn);
    self->txn = NULL;
    s_tell_end (self, code == 0);
    return code;
}

void leat_lmdb_rows_abort (leat_lmdb_rows_t *self)
{
    mdb_cursor_close (self->cursor);
    mdb_txn_abort (self->txn);
    self->txn = NULL;
    s_tell_end (self, false);
}

/* Removes rows of one range. *left is 0 once either limit is reached. */
static leat_rows_result_t s_sweep_range (leat_lmdb_rows_t *self, const leat_key_t *from,
                                         const leat_key_t *to, unsigned *left, uint64_t *bytes)
{
    leat_rows_result_t result = LEAT_ROWS_OK;
    while (result == LEAT_ROWS_OK && *left && *bytes) {
        leat_key_t key;
        const uint8_t *value;
        size_t size;
        result = s_next (&self->base, from, to, &key, &value, &size);
        if (result == LEAT_ROWS_OK)
            result = s_result (self, s_delete (self, &key));
        if (result)
            break;
        --*left;
        *bytes -= size < *bytes ? size : *bytes;
    }
    return result;
}

leat_rows_result_t leat_lmdb_rows_sweep (leat_lmdb_rows_t *self, unsigned rows_max,
                                         uint64_t bytes_max, bool *more)
{
    leat_key_t ranges = leat_key ('G');
    leat_key_t behind = leat_key_behind (&ranges);
    leat_rows_result_t result;
    *more = true;
    while (rows_max && bytes_max) {
        leat_key_t key;
        const uint8_t *value;
        size_t size;
        result = s_next (&self->base, &ranges, &behind, &key, &value, &size);
        if (result == LEAT_ROWS_NONE)
            *more = false;
        if (result)
            return result == LEAT_ROWS_NONE ? LEAT_ROWS_OK : result;
        leat_key_t from = { .size = key.size - 1 };
        leat_key_t to = { .size = size };
        if (size > LEAT_KEY_MAX)
            return LEAT_ROWS_DAMAGED;
        memcpy (from.bytes, key.bytes + 1, from.size);
        memcpy (to.bytes, value, size);
        result = s_sweep_range (self, &from, &to, &rows_max, &bytes_max);
        if (result == LEAT_ROWS_NONE)
            result = s_remove (&self->base, &key);
        if (result)
            return result;
    }
    return LEAT_ROWS_OK;
}

uint64_t leat_lmdb_rows_used (const leat_lmdb_rows_t *self)
{
    uint64_t used = 0;
    const MDB_dbi tables[] = { 0, self->dbi }; /* 0 is the table of free pages */
    for (size_t i = 0; i < sizeof tables / sizeof *tables; i++) {
        MDB_stat stat;
        if (mdb_stat (self->txn, tables[i], &stat) == 0)
            used += (stat.ms_branch_pages + stat.ms_leaf_pages + stat.ms_overflow_pages)
                    * stat.ms_psize;
    }
    return used;
}

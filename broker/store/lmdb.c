/* The engine that keeps everything in LMDB: the caller's side of it.
 * SPDX-License-Identifier: MPL-2.0 */
#include "broker/store/lmdb.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "broker/store/lmdb_replay.h"
#include "broker/store/recite.h"
#include "wire/alloc.h"
#include "wire/assert.h"

#define COMMIT_SIZE_MAX (UINT64_C (256) << 20)

void lmdb_entry_free (lmdb_entry_t *entry)
{
    if (!entry)
        return;
    leat_commit_destroy (&entry->commit);
    free (entry->reason);
    free (entry);
}

/* ---- opening and closing --------------------------------------------------------------------- */

static leat_store_t *s_open (const leat_store_options_t *options, char *error, size_t error_size)
{
    leat_lmdb_files_t files;
    if (leat_lmdb_files_open (&files, options, LEAT_LMDB_BROKER, error, error_size))
        return NULL;
    lmdb_t *self = leat_alloc (sizeof *self);
    self->options = *options;
    self->files = files;
    self->files.observer = options->observer;
    self->options.path = self->files.path;
    self->commit_size_max = options->commit_size_max ? options->commit_size_max : COMMIT_SIZE_MAX;
    leat_queue_begin (&self->commits);
    leat_queue_begin (&self->ended);
    leat_queue_begin (&self->reads);
    leat_queue_begin (&self->answers);
    atomic_store (&self->total_size, files.map_size);
    if (leat_bell_begin (&self->caller_bell) | leat_bell_begin (&self->writer_bell)
        | leat_bell_begin (&self->reader_bell)) {
        snprintf (error, error_size, "cannot make an eventfd: %s", strerror (errno));
        self->base.engine = &leat_store_lmdb;
        leat_store_lmdb.close (&self->base);
        return NULL;
    }
    return &self->base;
}

static void s_free_read (lmdb_read_t *read)
{
    leat_buffer_release (&read->body);
    free (read);
}

/* Ends both threads; what was under way is dropped without an event. */
static void s_stop (lmdb_t *self)
{
    if (self->running) {
        atomic_store (&self->stopping, true);
        leat_bell_ring (&self->writer_bell);
        leat_bell_ring (&self->reader_bell);
        int writer = pthread_join (self->writer, NULL);
        int reader = pthread_join (self->reader, NULL);
        leat_assert (writer == 0 && reader == 0);
        self->running = false;
    }
    lmdb_entry_t *entry;
    while ((entry = leat_queue_take (&self->commits)))
        lmdb_entry_free (entry);
    while ((entry = leat_queue_take (&self->ended)))
        lmdb_entry_free (entry);
    lmdb_read_t *read;
    while ((read = leat_queue_take (&self->reads)))
        s_free_read (read);
    while ((read = leat_queue_take (&self->answers)))
        s_free_read (read);
    lmdb_entry_free (self->told);
    self->told = NULL;
}

static void s_close (leat_store_t *store)
{
    lmdb_t *self = (lmdb_t *) store;
    s_stop (self);
    leat_queue_end (&self->commits);
    leat_queue_end (&self->ended);
    leat_queue_end (&self->reads);
    leat_queue_end (&self->answers);
    leat_bell_end (&self->caller_bell);
    leat_bell_end (&self->writer_bell);
    leat_bell_end (&self->reader_bell);
    leat_lmdb_files_close (&self->files);
    free (self);
}

/* ---- the incarnation ------------------------------------------------------------------------- */

static leat_rows_result_t s_put_number (leat_lmdb_rows_t *rows, const char *name, uint64_t number)
{
    leat_value_t value;
    leat_key_t key = leat_key_meta (name);
    leat_value_begin (&value);
    leat_value_put (&value, number, 8);
    return leat_rows_put (&rows->base, &key, &value);
}

/* Reads the last one and writes the one that it becomes, and with a larger one what its journal is known by; or
 * leaves it, if it is the same. */
static int s_incarnation (lmdb_t *self, uint64_t at_least, bool larger, uint64_t *incarnation)
{
    leat_lmdb_rows_t rows;
    if (larger
        && getrandom (&self->journal_key, sizeof self->journal_key, 0) != sizeof self->journal_key)
        return errno;
    int code = leat_lmdb_rows_begin (&rows, &self->files, true);
    if (code)
        return code;
    leat_value_t value;
    leat_key_t key = leat_key_meta (LEAT_META_INCARNATION);
    leat_rows_result_t result = leat_rows_get (&rows.base, &key, &value);
    uint64_t last = result ? 0 : leat_value_get (&value, 8);
    *incarnation = last + (larger ? 1 : 0) > at_least ? last + (larger ? 1 : 0) : at_least;
    if (result == LEAT_ROWS_NONE)
        result = LEAT_ROWS_OK;
    if (!result && *incarnation != last)
        result = s_put_number (&rows, LEAT_META_INCARNATION, *incarnation);
    if (!result && larger)
        result = s_put_number (&rows, LEAT_META_JOURNAL, self->journal_key);
    if (!result)
        return leat_lmdb_rows_commit (&rows);
    leat_lmdb_rows_abort (&rows);
    return result == LEAT_ROWS_DAMAGED ? MDB_CORRUPTED : rows.code;
}

static int s_acquire (leat_store_t *store, uint64_t wall_ms, uint64_t *incarnation, char *error,
                      size_t error_size)
{
    lmdb_t *self = (lmdb_t *) store;
    s_stop (self);
    if ((atomic_load (&self->writer_failed) || !self->files.env)
        && leat_lmdb_files_reopen (&self->files, &self->options, error, error_size))
        return -1;
    atomic_store (&self->writer_failed, true); /* unless all of this goes well */
    if (leat_lmdb_files_settle (&self->files, error, error_size)
        || leat_lmdb_replay (&self->files, error, error_size))
        return -1;
    int code = s_incarnation (self, wall_ms, true, incarnation);
    atomic_store (&self->writer_failed, code != 0);
    if (code)
        snprintf (error, error_size, "cannot write to the store in %s: %s", self->files.path,
                  leat_lmdb_text (code));
    return code ? -1 : 0;
}

static void s_release (leat_store_t *store, uint64_t incarnation)
{
    lmdb_t *self = (lmdb_t *) store;
    s_stop (self);
    /* Should this fail, the clock still makes the next one larger. */
    uint64_t reached;
    if (incarnation && self->files.env && !atomic_load (&self->writer_failed))
        (void) s_incarnation (self, incarnation, false, &reached);
}

/* ---- recovery -------------------------------------------------------------------------------- */

static int s_start (lmdb_t *self, char *error, size_t error_size)
{
    atomic_store (&self->stopping, false);
    atomic_store (&self->behind, false);
    atomic_store (&self->catch_up, false);
    int code = pthread_create (&self->writer, NULL, lmdb_writer_main, self);
    if (!code && (code = pthread_create (&self->reader, NULL, lmdb_reader_main, self))) {
        atomic_store (&self->stopping, true);
        leat_bell_ring (&self->writer_bell);
        int writer = pthread_join (self->writer, NULL);
        leat_assert (writer == 0);
    }
    self->running = !code;
    if (code)
        snprintf (error, error_size, "cannot start a thread for the store: %s", strerror (code));
    return code ? -1 : 0;
}

static int s_recover (leat_store_t *store, leat_store_recover_fn *fn, void *arg, char *error,
                      size_t error_size)
{
    lmdb_t *self = (lmdb_t *) store;
    leat_lmdb_rows_t rows;
    int code = leat_lmdb_rows_begin (&rows, &self->files, false);
    if (code) {
        snprintf (error, error_size, "cannot read the store in %s: %s", self->files.path,
                  leat_lmdb_text (code));
        return -1;
    }
    char why[LMDB_REASON_SIZE];
    code = leat_recite (&rows.base, fn, arg, why, sizeof why);
    leat_lmdb_rows_abort (&rows);
    if (code) {
        snprintf (error, error_size, "the store in %s: %s", self->files.path, why);
        return -1;
    }
    return s_start (self, error, error_size);
}

/* ---- commits and reads ----------------------------------------------------------------------- */

static void s_submit (leat_store_t *store, leat_commit_t *commit)
{
    lmdb_t *self = (lmdb_t *) store;
    lmdb_entry_t *entry = leat_alloc (sizeof *entry);
    entry->commit = commit;
    leat_queue_push (&self->commits, entry);
    leat_bell_ring (&self->writer_bell);
}

static void s_ask (leat_store_t *store, const lmdb_read_t *wanted)
{
    lmdb_t *self = (lmdb_t *) store;
    lmdb_read_t *read = leat_alloc (sizeof *read);
    *read = *wanted;
    leat_queue_push (&self->reads, read);
    leat_bell_ring (&self->reader_bell);
}

static void s_read (leat_store_t *store, uint32_t stream, uint64_t offset, uint64_t size,
                    uint64_t token)
{
    const lmdb_read_t wanted = { .stream = stream, .offset = offset, .size = size, .token = token };
    s_ask (store, &wanted);
}

static void s_look (leat_store_t *store, uint32_t stream, uint64_t offset, uint32_t count,
                    uint64_t token)
{
    const lmdb_read_t wanted = {
        .looks = true, .stream = stream, .offset = offset, .size = count, .token = token
    };
    s_ask (store, &wanted);
}

static bool s_poll (leat_store_t *store, leat_store_event_t *event)
{
    lmdb_t *self = (lmdb_t *) store;
    leat_bell_disarm (&self->caller_bell);
    lmdb_entry_free (self->told);
    self->told = leat_queue_take (&self->ended);
    if (self->told) {
        event->kind = LEAT_STORE_COMMITTED;
        event->id = leat_commit_id (self->told->commit);
        event->result = self->told->result;
        event->reason = self->told->reason;
        /* Bodies are held until now, and no longer. */
        leat_commit_destroy (&self->told->commit);
        return true;
    }
    lmdb_read_t *read = leat_queue_take (&self->answers);
    if (!read)
        return false;
    event->kind = read->looks ? LEAT_STORE_LOOKED : LEAT_STORE_READ;
    event->id = read->token;
    event->code = read->code;
    event->batch = read->batch;
    event->body = read->body;
    event->size = read->body_size;
    event->last = read->last;
    if (read->code == LEAT_STORE_FAILED)
        event->reason = leat_lmdb_text (read->error);
    self->read_count += !read->looks;
    free (read);
    return true;
}

static bool s_sleep (leat_store_t *store)
{
    lmdb_t *self = (lmdb_t *) store;
    leat_bell_arm (&self->caller_bell);
    if (leat_queue_empty (&self->ended) && leat_queue_empty (&self->answers))
        return true;
    leat_bell_disarm (&self->caller_bell);
    return false;
}

static int s_fd (const leat_store_t *store)
{
    return ((const lmdb_t *) store)->caller_bell.fd;
}

/* ---- figures --------------------------------------------------------------------------------- */

static uint64_t s_commit_size_max (const leat_store_t *store)
{
    return ((const lmdb_t *) store)->commit_size_max;
}

static void s_space (const leat_store_t *store, leat_store_space_t *space)
{
    const lmdb_t *self = (const lmdb_t *) store;
    space->used_size = atomic_load (&self->used_size);
    space->total_size = atomic_load (&self->total_size);
    space->reserved = atomic_load (&self->reserved);
}

static void s_stats (const leat_store_t *store, leat_store_stats_t *stats)
{
    const lmdb_t *self = (const lmdb_t *) store;
    stats->commits = atomic_load (&self->commits_ok);
    stats->commits_refused = atomic_load (&self->commits_refused);
    stats->commits_lost = atomic_load (&self->commits_lost);
    stats->commit_bytes = atomic_load (&self->commit_bytes);
    stats->transactions = atomic_load (&self->transactions);
    stats->journal_writes = atomic_load (&self->journal_writes);
    stats->reads = self->read_count;
}

const leat_store_engine_t leat_store_lmdb = {
    .name = "lmdb",
    .recovers = true,
    .durable = true,
    .reads = true,
    .open = s_open,
    .close = s_close,
    .acquire = s_acquire,
    .recover = s_recover,
    .release = s_release,
    .submit = s_submit,
    .read = s_read,
    .look = s_look,
    .poll = s_poll,
    .sleep = s_sleep,
    .fd = s_fd,
    .commit_size_max = s_commit_size_max,
    .space = s_space,
    .stats = s_stats,
};

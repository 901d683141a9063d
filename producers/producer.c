/* The producer: what the application's thread does. The client's side is in producer_port.c.
 * SPDX-License-Identifier: MPL-2.0 */
#include "producers/producer.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "wire/alloc.h"
#include "wire/assert.h"
#include "wire/bytes.h"
#include "wire/record.h"

enum {
    WINDOW_SIZE = 32 * 1024 * 1024,
    BATCH_SIZE_MIN = 4096,
    LINGER_US = 5000,
    SIZE_SIZE = 4,                /* see wire/record.h */
    EXTENDED_SIZE = LEAT_HEADROOM /* size, key size and headers size */
};

/* ---- beginning and end ----------------------------------------------------------------------- */

typedef struct {
    leat_client_t *client;
    leat_producer_t *producer;
    int error;
} s_join_t;

/* On the client's thread. */
static void s_join (void *arg)
{
    s_join_t *join = arg;
    leat_producer_t *self = join->producer;
    const char *stream = leat_producer_engine_stream (self->engine);
    join->error = leat_client_verdict (join->client);
    if (join->error != 0)
        return;
    leat_port_t *former = leat_ports_find (&join->client->ports, stream);
    for (leat_port_t *port = former; port != NULL; port = leat_ports_find_next (port)) {
        /* One that the application has let go of makes room soon. */
        const leat_producer_t *other = (const leat_producer_t *) port;
        if (!other->is_abandoned && atomic_load (&other->verdict) == 0)
            join->error = EBUSY;
    }
    if (join->error != 0)
        return;
    self->is_added = leat_session_add_producer (join->client->session, self->engine);
    if (!self->is_added && former == NULL) {
        join->error = ENOSPC;
        return;
    }
    self->port.stream = stream;
    leat_client_join (join->client, &self->port, leat_producer_engine_attention (self->engine));
    atomic_fetch_add (&join->client->producers, 1);
    if (self->confirmed_fn != NULL)
        atomic_fetch_add (&join->client->callbacks, 1);
    leat_port_set_outside (&self->port, !self->is_added);
}

static bool s_options_valid (const char *stream, const leat_producer_options_t *options)
{
    leat_text_t name = leat_text (stream);
    return leat_name_valid (name) && name.size <= LEAT_STREAM_NAME_MAX
           && options->record_size_max <= LEAT_RECORD_SIZE_MAX
           && options->batch_size <= LEAT_RECORD_SIZE_MAX
           && (options->numbering == LEAT_CONTINUE || options->numbering == LEAT_REPLAY);
}

static void s_free (leat_producer_t *self)
{
    leat_producer_engine_destroy (&self->engine);
    leat_flume_deinit (&self->flume);
    leat_gate_deinit (&self->gate);
    free (self);
}

leat_producer_t *leat_producer_new (leat_client_t *client, const char *stream,
                                    const leat_producer_options_t *options)
{
    static const leat_producer_options_t defaults;
    if (options == NULL)
        options = &defaults;
    if (!s_options_valid (stream, options)) {
        errno = EINVAL;
        return NULL;
    }
    leat_producer_t *self = leat_alloc (sizeof *self);
    self->port.ops = &leat_producer_port_ops;
    leat_gate_init (&self->gate);
    self->window_size = options->window_size ? options->window_size : WINDOW_SIZE;
    self->record_size_max =
        options->record_size_max ? options->record_size_max : LEAT_RECORD_SIZE_DEFAULT;
    self->batch_size = options->batch_size;
    if (self->batch_size && self->batch_size < BATCH_SIZE_MIN)
        self->batch_size = BATCH_SIZE_MIN;
    self->linger_us = options->linger_us ? options->linger_us : LINGER_US;
    self->is_replay = options->numbering == LEAT_REPLAY;
    self->fail_when_full = options->fail_when_full;
    self->send_timeout_ms = options->send_timeout_ms;
    self->confirmed_fn = options->confirmed;
    self->arg = options->arg;
    atomic_init (&self->known, UINT64_MAX);
    atomic_init (&self->wake, LEAT_WAKE_NEVER);
    atomic_init (&self->awaited_size, UINT64_MAX);
    leat_flume_init (&self->flume, client->pool);
    leat_producer_engine_options_t engine = {
        .stream = stream,
        .must_exist = options->must_exist,
        .record_size_max = self->record_size_max,
        .batch_size_max = self->batch_size,
    };
    self->engine = leat_producer_engine_new (&engine);
    s_join_t join = { client, self, 0 };
    leat_client_call (client, s_join, &join);
    if (join.error == 0)
        return self;
    s_free (self);
    errno = join.error;
    return NULL;
}

/* On the client's thread. */
static void s_abandon (void *arg)
{
    leat_producer_t *self = arg;
    self->is_abandoned = true;
    atomic_fetch_sub (&self->port.client->producers, 1);
    if (self->confirmed_fn != NULL)
        atomic_fetch_sub (&self->port.client->callbacks, 1);
    self->confirmed_fn = NULL;
    leat_port_touch (&self->port);
    if (self->port.ops->is_over (&self->port))
        self->port.ops->destroy (&self->port);
}

void leat_producer_destroy (leat_producer_t **self_p)
{
    leat_producer_t *self = *self_p;
    if (self == NULL)
        return;
    *self_p = NULL;
    leat_client_t *client = self->port.client;
    leat_client_hold (client);
    leat_client_call (client, s_abandon, self);
    leat_client_release (client);
}

/* ---- sending --------------------------------------------------------------------------------- */

static int s_fail (int error)
{
    errno = error;
    return -1;
}

/* Bytes that all records sent and not confirmed take. */
static uint64_t s_outstanding (leat_producer_t *self)
{
    return self->sent_size - atomic_load (&self->released_size);
}

static bool s_has_room (leat_producer_t *self, size_t size)
{
    uint64_t outstanding = s_outstanding (self);
    return outstanding == 0 || outstanding + size <= self->window_size;
}

typedef struct {
    leat_producer_t *producer;
    size_t size;
} s_room_t;

static int s_look_for_room (void *arg)
{
    const s_room_t *room = arg;
    leat_producer_t *self = room->producer;
    int verdict = atomic_load (&self->verdict);
    if (verdict != 0 || s_has_room (self, room->size))
        return verdict;
    atomic_store (&self->hurry, LEAT_HURRY_BATCHES);
    return EAGAIN;
}

/* The application is about to wait until so much is released. What that takes may be in a chunk that is
 * being filled, and nothing will be added to it now. */
static void s_begin_to_wait (leat_producer_t *self, uint64_t awaited_size)
{
    atomic_store (&self->awaited_size, awaited_size);
    if (awaited_size > self->sent_size - self->flume.used
        && atomic_load (&self->wake) == LEAT_WAKE_BY_CHUNK)
        leat_port_mark (&self->port);
}

static void s_end_waiting (leat_producer_t *self)
{
    atomic_store (&self->awaited_size, UINT64_MAX);
}

/* As the application wants it. Otherwise a producer that shares the session's window with none makes batches of a
 * quarter of it, and of its own: docs/decisions/full-batches.md. */
static size_t s_batch_size (const leat_producer_t *self)
{
    if (self->batch_size > 0)
        return self->batch_size;
    bool alone = atomic_load_explicit (&self->port.client->producers, memory_order_relaxed) == 1;
    return alone && self->window_size / 4 >= LEAT_POOL_LARGE_SIZE ? LEAT_POOL_LARGE_SIZE
                                                                  : LEAT_POOL_BLOCK_SIZE;
}

/* How much room a record waits for: to be woken for every confirmation would cost more than it brings,
 * and what is written then should fill a batch. */
static uint64_t s_room_awaited (const leat_producer_t *self, size_t size)
{
    uint64_t room = s_batch_size (self);
    if (room > self->window_size / 2)
        room = self->window_size / 2;
    if (room < self->window_size / 4)
        room = self->window_size / 4;
    return room > size ? room : size;
}

static int s_wait_for_room (leat_producer_t *self, size_t size)
{
    if (self->fail_when_full)
        return s_fail (EAGAIN);
    s_room_t room = { self, s_room_awaited (self, size) };
    int64_t timeout_ms = self->send_timeout_ms > 0 ? (int64_t) self->send_timeout_ms : -1;
    uint64_t rest = self->window_size > room.size ? self->window_size - room.size : 0;
    atomic_store (&self->is_full, true);
    s_begin_to_wait (self, self->sent_size - rest);
    int error =
        leat_client_stand_by (self->port.client, &self->gate, timeout_ms, s_look_for_room, &room);
    s_end_waiting (self);
    atomic_store (&self->is_full, false);
    if (error == ETIMEDOUT && s_has_room (self, size))
        error = 0;
    return error == 0 ? 0 : s_fail (error);
}

/* Checks a record that takes `size` bytes when encoded, and makes room for it. */
static int s_admit (leat_producer_t *self, size_t size)
{
    const leat_client_t *client = self->port.client;
    int verdict = atomic_load_explicit (&self->verdict, memory_order_relaxed);
    if (verdict != 0)
        return s_fail (verdict);
    uint32_t record_size_max =
        atomic_load_explicit (&client->record_size_max, memory_order_relaxed);
    uint32_t body_size_max = atomic_load_explicit (&client->body_size_max, memory_order_relaxed);
    if (size - SIZE_SIZE > self->record_size_max
        || (record_size_max != 0 && size - SIZE_SIZE > record_size_max)
        || (body_size_max != 0 && size > body_size_max))
        return s_fail (EMSGSIZE);
    return s_has_room (self, size) ? 0 : s_wait_for_room (self, size);
}

/* Where a record of `size` bytes, encoded, is to be written. */
static uint8_t *s_reserve (leat_producer_t *self, size_t size)
{
    if (!leat_flume_has_room (&self->flume, size, self->is_extended)) {
        size_t chunk_size_max = s_outstanding (self) > 0 ? s_batch_size (self) : 0;
        leat_flume_extend (&self->flume, size, self->is_extended, chunk_size_max);
        if (atomic_load (&self->wake) == LEAT_WAKE_BY_CHUNK)
            leat_port_call (&self->port, LEAT_AT_ONCE);
    }
    return leat_flume_place (&self->flume);
}

/* Counts a record that was written and tells the client's thread if need be. */
static void s_written (leat_producer_t *self, size_t size)
{
    self->sent++;
    self->sent_size += size;
    self->reserved = 0;
    if (atomic_load (&self->wake) != LEAT_WAKE_BY_RECORD)
        return;
    leat_port_mark (&self->port);
    leat_client_push (self->port.client);
}

int leat_producer_send (leat_producer_t *self, const void *body, size_t size)
{
    if (size > LEAT_RECORD_SIZE_MAX)
        return s_fail (EMSGSIZE);
    size_t before = self->is_extended ? EXTENDED_SIZE : SIZE_SIZE;
    if (s_admit (self, before + size) != 0)
        return -1;
    uint8_t *bytes = s_reserve (self, before + size);
    leat_put_u32 (bytes, (uint32_t) (before + size - SIZE_SIZE));
    if (self->is_extended)
        leat_put_u32 (bytes + SIZE_SIZE, 0);
    if (size > 0)
        memcpy (bytes + before, body, size);
    leat_flume_commit (&self->flume, before + size);
    s_written (self, before + size);
    return 0;
}

int leat_producer_send_record (leat_producer_t *self, const leat_record_t *record)
{
    if (record->key_size == 0 && record->headers_size == 0)
        return leat_producer_send (self, record->body, record->body_size);
    if (record->key_size > UINT16_MAX || record->headers_size > UINT16_MAX
        || record->body_size > LEAT_RECORD_SIZE_MAX)
        return s_fail (EMSGSIZE);
    if (!leat_headers_valid (record->headers, record->headers_size))
        return s_fail (EINVAL);
    size_t size = leat_record_encoded_size (record, true);
    if (s_admit (self, size) != 0)
        return -1;
    self->is_extended = true;
    leat_record_encode (record, true, s_reserve (self, size));
    leat_flume_commit (&self->flume, size);
    s_written (self, size);
    return 0;
}

void *leat_producer_reserve (leat_producer_t *self, size_t size)
{
    if (size > LEAT_RECORD_SIZE_MAX) {
        errno = EMSGSIZE;
        return NULL;
    }
    size_t before = self->is_extended ? EXTENDED_SIZE : SIZE_SIZE;
    if (s_admit (self, before + size) != 0)
        return NULL;
    self->reserved = before;
    return s_reserve (self, before + size) + before;
}

void leat_producer_commit (leat_producer_t *self, size_t size)
{
    size_t before = self->reserved;
    leat_assert (before > 0 && before + size <= self->flume.room - self->flume.used);
    uint8_t *bytes = self->flume.bytes + self->flume.used;
    leat_put_u32 (bytes, (uint32_t) (before + size - SIZE_SIZE));
    if (before == EXTENDED_SIZE)
        leat_put_u32 (bytes + SIZE_SIZE, 0);
    leat_flume_commit (&self->flume, before + size);
    s_written (self, before + size);
}

int leat_producer_send_buffer (leat_producer_t *self, void *block, size_t size,
                               leat_free_fn *free_fn, void *hint)
{
    if (size > LEAT_RECORD_SIZE_MAX)
        return s_fail (EMSGSIZE);
    size_t before = self->is_extended ? EXTENDED_SIZE : SIZE_SIZE;
    if (s_admit (self, before + size) != 0)
        return -1;
    uint8_t *bytes = block;
    leat_put_u32 (bytes + LEAT_HEADROOM - before, (uint32_t) (before + size - SIZE_SIZE));
    if (self->is_extended)
        leat_put_u32 (bytes + LEAT_HEADROOM - SIZE_SIZE, 0);
    leat_slice_t record = { leat_buffer_wrap (block, LEAT_HEADROOM + size, free_fn, hint),
                            LEAT_HEADROOM - before, before + size };
    leat_flume_pass (&self->flume, record, self->is_extended);
    s_written (self, before + size);
    if (atomic_load (&self->wake) == LEAT_WAKE_BY_CHUNK)
        leat_port_call (&self->port, LEAT_AT_ONCE);
    return 0;
}

/* ---- confirmations --------------------------------------------------------------------------- */

uint64_t leat_producer_sent (const leat_producer_t *self)
{
    return self->sent;
}

uint64_t leat_producer_confirmed (const leat_producer_t *self)
{
    return atomic_load (&self->confirmed);
}

static int s_look_confirmed (void *arg)
{
    leat_producer_t *self = arg;
    if (atomic_load (&self->confirmed) >= self->sent)
        return 0;
    atomic_store (&self->hurry, LEAT_HURRY_BATCHES);
    int verdict = atomic_load (&self->verdict);
    return verdict != 0 ? verdict : EAGAIN;
}

int leat_producer_flush (leat_producer_t *self, int timeout_ms)
{
    s_begin_to_wait (self, self->sent_size);
    int error =
        leat_client_await (self->port.client, &self->gate, timeout_ms, s_look_confirmed, self);
    s_end_waiting (self);
    return error == 0 ? 0 : s_fail (error);
}

static int s_look_known (void *arg)
{
    leat_producer_t *self = arg;
    if (atomic_load (&self->known) != UINT64_MAX)
        return 0;
    int verdict = atomic_load (&self->verdict);
    return verdict != 0 ? verdict : EAGAIN;
}

int leat_producer_known (leat_producer_t *self, uint64_t *known, int timeout_ms)
{
    int error = leat_client_await (self->port.client, &self->gate, timeout_ms, s_look_known, self);
    *known = atomic_load (&self->known);
    return error == 0 ? 0 : s_fail (error);
}

typedef struct {
    leat_producer_t *producer;
    uint64_t count;
} s_skip_t;

static void s_skip (void *arg)
{
    const s_skip_t *skip = arg;
    leat_producer_port_skip (skip->producer, skip->count);
}

int leat_producer_skip (leat_producer_t *self, uint64_t count)
{
    uint64_t known = atomic_load (&self->known);
    if (!self->is_replay || known == UINT64_MAX || self->sent > known || count > known - self->sent)
        return s_fail (EINVAL);
    s_skip_t skip = { self, count };
    leat_client_call (self->port.client, s_skip, &skip);
    self->sent += count;
    return 0;
}

leat_code_t leat_producer_error (leat_producer_t *self, char *text, size_t size)
{
    leat_gate_lock (&self->gate);
    leat_code_t code = leat_client_tell (&self->fault, text, size);
    leat_gate_unlock (&self->gate);
    return code;
}

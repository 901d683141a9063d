/* The queue of messages that an engine wants sent.
 * SPDX-License-Identifier: MPL-2.0 */
#include "wire/outbox.h"

#include <stdlib.h>
#include <string.h>

#include "wire/alloc.h"
#include "wire/assert.h"

/* Headers lie one after the other in the arena, in the order of the messages:
 *
 *      messages   | taken | taken |  m2   |  m3   |  (room)   |
 *                                 ^head           ^count
 *      arena      |  ...    ...   | h2 | h3  |    (room)      |
 *                                 ^m2.start  ^arena_size
 *
 * Both begin anew when the last message has been taken, and move down instead of growing when at
 * least half of them is taken; so they stay as large as the longest queue there was. Further slices of a
 * message are in `joined` likewise, in the order of the messages. */
typedef struct {
    uint64_t peer;
    size_t start; /* in the arena */
    size_t size;
    leat_slice_t body; /* a reference of its own */
    uint32_t joined;   /* so many slices more, with references of their own */
} entry_t;

struct leat_outbox {
    entry_t *entries;
    size_t head;
    size_t count;
    size_t capacity;
    uint8_t *arena;
    size_t arena_size;
    size_t arena_capacity;
    leat_slice_t *joined; /* further slices of the messages that wait */
    size_t joined_head;
    size_t joined_count;
    size_t joined_capacity;
    leat_buffer_t *lent; /* the body of the message that leat_outbox_next gave last */
};

enum { ENTRIES_AT_FIRST = 64, ARENA_AT_FIRST = 8192 };

leat_outbox_t *leat_outbox_new (void)
{
    leat_outbox_t *self = leat_alloc (sizeof *self);
    self->capacity = ENTRIES_AT_FIRST;
    self->entries = leat_alloc_raw (self->capacity * sizeof *self->entries);
    self->arena_capacity = ARENA_AT_FIRST;
    self->arena = leat_alloc_raw (self->arena_capacity);
    return self;
}

void leat_outbox_destroy (leat_outbox_t **self_p)
{
    leat_outbox_t *self = *self_p;
    if (!self)
        return;
    *self_p = NULL;
    leat_outbox_clear (self);
    free (self->entries);
    free (self->arena);
    free (self->joined);
    free (self);
}

/* Ends the loan of the last message. */
static void s_settle_loan (leat_outbox_t *self)
{
    leat_buffer_release (&self->lent);
    if (self->head == self->count) {
        self->head = self->count = self->arena_size = 0;
        self->joined_head = self->joined_count = 0;
    }
}

static void s_make_room_for_entry (leat_outbox_t *self)
{
    if (self->count < self->capacity)
        return;
    if (self->head >= self->capacity / 2) {
        memmove (self->entries, self->entries + self->head,
                 (self->count - self->head) * sizeof *self->entries);
        self->count -= self->head;
        self->head = 0;
        return;
    }
    self->capacity *= 2;
    self->entries = leat_realloc (self->entries, self->capacity * sizeof *self->entries);
}

static void s_enlarge_arena (leat_outbox_t *self, size_t size)
{
    size_t taken = self->head < self->count ? self->entries[self->head].start : self->arena_size;
    if (taken >= self->arena_capacity / 2) {
        memmove (self->arena, self->arena + taken, self->arena_size - taken);
        self->arena_size -= taken;
        for (size_t index = self->head; index < self->count; index++)
            self->entries[index].start -= taken;
    }
    while (size > self->arena_capacity - self->arena_size)
        self->arena_capacity *= 2;
    self->arena = leat_realloc (self->arena, self->arena_capacity);
}

static void s_make_room_in_arena (leat_outbox_t *self, size_t size)
{
    if (size > self->arena_capacity - self->arena_size)
        s_enlarge_arena (self, size);
}

static void s_make_room_for_joined (leat_outbox_t *self)
{
    if (self->joined_count < self->joined_capacity)
        return;
    if (self->joined_head && self->joined_head >= self->joined_capacity / 2) {
        memmove (self->joined, self->joined + self->joined_head,
                 (self->joined_count - self->joined_head) * sizeof *self->joined);
        self->joined_count -= self->joined_head;
        self->joined_head = 0;
        return;
    }
    self->joined_capacity = self->joined_capacity ? 2 * self->joined_capacity : LEAT_SLICES_MAX;
    self->joined = leat_realloc (self->joined, self->joined_capacity * sizeof *self->joined);
}

/* Appends a message whose header has `size` bytes; returns where they go. */
static uint8_t *s_append (leat_outbox_t *self, uint64_t peer, size_t size, leat_slice_t body)
{
    s_settle_loan (self);
    s_make_room_for_entry (self);
    s_make_room_in_arena (self, size);
    self->entries[self->count++] = (entry_t){ peer, self->arena_size, size, body, 0 };
    uint8_t *header = self->arena + self->arena_size;
    self->arena_size += size;
    return header;
}

void leat_outbox_command (leat_outbox_t *self, uint64_t peer, const leat_command_t *command)
{
    size_t size = leat_command_encoded_size (command);
    uint8_t *header = s_append (self, peer, size, (leat_slice_t){ 0 });
    leat_command_encode (command, header);
}

void leat_outbox_batch (leat_outbox_t *self, uint64_t peer, const leat_batch_t *batch,
                        leat_slice_t body)
{
    leat_assert (body.buffer);
    leat_buffer_hold (body.buffer);
    uint8_t *header = s_append (self, peer, LEAT_BATCH_HEADER_SIZE, body);
    leat_batch_encode (batch, header);
}

void leat_outbox_join (leat_outbox_t *self, const leat_batch_t *batch, leat_slice_t body)
{
    leat_assert (self->head < self->count && body.buffer);
    s_make_room_in_arena (self, LEAT_BATCH_HEADER_SIZE);
    s_make_room_for_joined (self);
    leat_buffer_hold (body.buffer);
    self->joined[self->joined_count++] = body;
    entry_t *entry = &self->entries[self->count - 1];
    entry->joined++;
    leat_assert (self->arena[entry->start] == LEAT_DELIVER && entry->joined < LEAT_SLICES_MAX);
    leat_batch_encode (batch, self->arena + self->arena_size);
    entry->size += LEAT_BATCH_HEADER_SIZE;
    self->arena_size += LEAT_BATCH_HEADER_SIZE;
}

static uint8_t *s_gather_one (uint8_t *to, leat_slice_t *slice)
{
    memcpy (to, leat_slice_bytes (*slice), slice->size);
    leat_buffer_release (&slice->buffer);
    return to + slice->size;
}

/* All slices of a message, the next ones of `joined` among them, as one. */
static leat_slice_t s_gather (leat_outbox_t *self, entry_t *entry)
{
    leat_slice_t *slices = self->joined + self->joined_head;
    size_t size = entry->body.size;
    for (uint32_t i = 0; i < entry->joined; i++)
        size += slices[i].size;
    leat_buffer_t *buffer = leat_buffer_new (size);
    uint8_t *to = s_gather_one (leat_buffer_bytes (buffer), &entry->body);
    for (uint32_t i = 0; i < entry->joined; i++)
        to = s_gather_one (to, &slices[i]);
    self->joined_head += entry->joined;
    return (leat_slice_t){ buffer, 0, size };
}

bool leat_outbox_next (leat_outbox_t *self, leat_message_t *message)
{
    s_settle_loan (self);
    if (self->head == self->count)
        return false;
    entry_t *entry = &self->entries[self->head++];
    leat_slice_t body = entry->joined ? s_gather (self, entry) : entry->body;
    *message = (leat_message_t){
        .peer = entry->peer,
        .header = self->arena + entry->start,
        .header_size = entry->size,
        .body = body,
    };
    self->lent = body.buffer;
    return true;
}

size_t leat_outbox_count (const leat_outbox_t *self)
{
    return self->count - self->head;
}

void leat_outbox_clear (leat_outbox_t *self)
{
    for (; self->head < self->count; self->head++)
        leat_buffer_release (&self->entries[self->head].body.buffer);
    for (; self->joined_head < self->joined_count; self->joined_head++)
        leat_buffer_release (&self->joined[self->joined_head].buffer);
    s_settle_loan (self);
}

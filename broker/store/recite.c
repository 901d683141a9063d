/* The way back from rows to commits.
 * SPDX-License-Identifier: MPL-2.0 */
#include "broker/store/recite.h"

#include <stdio.h>

enum { OPERATIONS_MAX = 1000, COMMIT_SIZE = 256 * 1024 };

typedef struct {
    leat_rows_t *rows;
    leat_store_recover_fn *fn;
    void *arg;
    char *error;
    size_t error_size;
    leat_commit_t *commit;
    uint64_t next_id;
} recital_t;

/* Every function here gives 0, or -1 with the sentence written. */

static int s_fail (const recital_t *self, leat_rows_result_t result, const char *what,
                   uint64_t number)
{
    snprintf (self->error, self->error_size,
              result == LEAT_ROWS_DAMAGED
                  ? "the row of %s %llu is damaged; `leat store verify` tells "
                    "what can still be read"
                  : "the row of %s %llu cannot be read",
              what, (unsigned long long) number);
    return -1;
}

static int s_tell (recital_t *self)
{
    leat_buffer_t *buffer = leat_commit_encode (self->commit);
    bool taken = self->fn (self->arg, buffer);
    leat_buffer_release (&buffer);
    leat_commit_destroy (&self->commit);
    self->commit = leat_commit_new (self->next_id++, 0);
    if (taken)
        return 0;
    snprintf (self->error, self->error_size,
              "what the store holds does not make sense to the broker");
    return -1;
}

static int s_add (recital_t *self, const leat_operation_t *operation)
{
    leat_commit_add (self->commit, operation);
    if (leat_commit_operations (self->commit) < OPERATIONS_MAX
        && leat_commit_size (self->commit) < COMMIT_SIZE)
        return 0;
    return s_tell (self);
}

/* ---- groups ---------------------------------------------------------------------------------- */

static int s_floor (recital_t *self, uint32_t stream, uint32_t group, uint32_t place)
{
    leat_value_t value;
    leat_key_t key = leat_key_place ('F', place);
    leat_rows_result_t result = leat_rows_get (self->rows, &key, &value);
    if (result == LEAT_ROWS_NONE)
        return 0;
    leat_operation_t operation = { .id = LEAT_OPERATION_FLOOR };
    operation.floor.stream = stream;
    operation.floor.group = group;
    operation.floor.first = leat_value_get (&value, 8);
    if (result || value.wrong)
        return s_fail (self, result ? result : LEAT_ROWS_DAMAGED, "the floor of group", group);
    return s_add (self, &operation);
}

static int s_chunks (recital_t *self, uint32_t stream, uint32_t group, uint32_t place)
{
    leat_value_t value;
    leat_key_t key;
    leat_key_t next = leat_key_place ('C', place);
    leat_key_t to = leat_key_behind (&next);
    leat_rows_result_t result;
    while (!(result = leat_rows_next (self->rows, &next, &to, &key, &value))) {
        leat_operation_t operation = { .id = LEAT_OPERATION_CHUNK };
        operation.chunk.stream = stream;
        operation.chunk.group = group;
        operation.chunk.chunk = leat_key_get_u64 (&key, 5);
        operation.chunk.whole = leat_value_get (&value, 8);
        operation.chunk.settled = leat_value_get_rest (&value);
        if (value.wrong)
            return s_fail (self, LEAT_ROWS_DAMAGED, "chunks of group", group);
        if (s_add (self, &operation))
            return -1;
        next = leat_key_numbered ('C', place, operation.chunk.chunk + 1);
    }
    return result == LEAT_ROWS_NONE ? 0 : s_fail (self, result, "chunks of group", group);
}

static bool s_mark (leat_operation_t *operation, leat_value_t *value)
{
    unsigned kind = (unsigned) leat_value_get (value, 1);
    uint8_t suspect = (uint8_t) leat_value_get (value, 1);
    uint16_t code = (uint16_t) leat_value_get (value, 2);
    /* All four begin with the same fields. */
    operation->attempts.attempts = (uint32_t) leat_value_get (value, 4);
    uint64_t due_ms = leat_value_get (value, 8);
    uint32_t dead_stream = (uint32_t) leat_value_get (value, 4);
    uint64_t dead_offset = leat_value_get (value, 8);
    leat_text_t reason = leat_value_get_rest (value);
    switch (kind) {
    case LEAT_MARK_ATTEMPTS:
        operation->id = LEAT_OPERATION_ATTEMPTS;
        operation->attempts.suspect = suspect;
        break;
    case LEAT_MARK_DELAY:
        operation->id = LEAT_OPERATION_DELAY;
        operation->delay.due_ms = due_ms;
        break;
    case LEAT_MARK_PARKED:
        operation->id = LEAT_OPERATION_PARKED;
        operation->parked.code = code;
        operation->parked.reason = reason;
        break;
    case LEAT_MARK_DEAD:
        operation->id = LEAT_OPERATION_DEAD;
        operation->dead.code = code;
        operation->dead.dead_stream = dead_stream;
        operation->dead.dead_offset = dead_offset;
        operation->dead.reason = reason;
        break;
    default:
        return false;
    }
    return !value->wrong && reason.size <= LEAT_TEXT_MAX;
}

static int s_marks (recital_t *self, uint32_t stream, uint32_t group, uint32_t place)
{
    leat_value_t value;
    leat_key_t key;
    leat_key_t next = leat_key_place ('A', place);
    leat_key_t to = leat_key_behind (&next);
    leat_rows_result_t result;
    while (!(result = leat_rows_next (self->rows, &next, &to, &key, &value))) {
        leat_operation_t operation = { 0 };
        operation.attempts.stream = stream;
        operation.attempts.group = group;
        operation.attempts.offset = leat_key_get_u64 (&key, 5);
        if (!s_mark (&operation, &value))
            return s_fail (self, LEAT_ROWS_DAMAGED, "marks of group", group);
        if (s_add (self, &operation))
            return -1;
        next = leat_key_numbered ('A', place, leat_key_get_u64 (&key, 5) + 1);
    }
    return result == LEAT_ROWS_NONE ? 0 : s_fail (self, result, "marks of group", group);
}

static int s_group (recital_t *self, uint32_t stream, uint32_t group, leat_value_t *value)
{
    leat_operation_t operation = { .id = LEAT_OPERATION_GROUP_CREATED };
    uint32_t place = (uint32_t) leat_value_get (value, 4);
    operation.group_created.stream = stream;
    operation.group_created.group = group;
    operation.group_created.first = leat_value_get (value, 8);
    operation.group_created.expiry_ms = leat_value_get (value, 8);
    operation.group_created.group_name = leat_value_get_rest (value);
    if (value->wrong || !leat_name_valid (operation.group_created.group_name))
        return s_fail (self, LEAT_ROWS_DAMAGED, "group", group);
    if (s_add (self, &operation) || s_floor (self, stream, group, place)
        || s_chunks (self, stream, group, place))
        return -1;
    return s_marks (self, stream, group, place);
}

/* The key right behind a key. */
static leat_key_t s_after (const leat_key_t *key)
{
    leat_key_t after = *key;
    if (after.size < LEAT_KEY_MAX)
        after.bytes[after.size++] = 0;
    return after;
}

static int s_groups (recital_t *self, uint32_t stream)
{
    leat_value_t value;
    leat_key_t key;
    leat_key_t next = leat_key_place ('R', stream);
    leat_key_t to = leat_key_behind (&next);
    leat_rows_result_t result;
    while (!(result = leat_rows_next (self->rows, &next, &to, &key, &value))) {
        if (s_group (self, stream, leat_key_get_u32 (&key, 5), &value))
            return -1;
        next = s_after (&key);
    }
    return result == LEAT_ROWS_NONE ? 0 : s_fail (self, result, "groups of stream", stream);
}

/* ---- streams --------------------------------------------------------------------------------- */

static int s_extent (recital_t *self, uint32_t stream, uint32_t place)
{
    leat_extent_t extent;
    leat_rows_result_t result = leat_rows_extent (self->rows, place, &extent);
    if (result)
        return s_fail (self, LEAT_ROWS_DAMAGED, "the extent of stream", stream);
    leat_operation_t operation = { .id = LEAT_OPERATION_EXTENT };
    operation.extent.stream = stream;
    operation.extent.first = extent.first;
    operation.extent.next = extent.next;
    operation.extent.records = extent.records;
    operation.extent.size = extent.size;
    return s_add (self, &operation);
}

static int s_reserved (recital_t *self, uint32_t stream, uint32_t place)
{
    leat_value_t value;
    leat_key_t key = leat_key_place ('O', place);
    leat_rows_result_t result = leat_rows_get (self->rows, &key, &value);
    if (result == LEAT_ROWS_NONE)
        return 0;
    leat_operation_t operation = { .id = LEAT_OPERATION_RESERVED };
    operation.reserved.stream = stream;
    operation.reserved.next = leat_value_get (&value, 8);
    if (result || value.wrong)
        return s_fail (self, result ? result : LEAT_ROWS_DAMAGED, "what is reserved of stream",
                       stream);
    return s_add (self, &operation);
}

static int s_sequences (recital_t *self, uint32_t stream, uint32_t place)
{
    leat_value_t value;
    leat_key_t key;
    leat_key_t next = leat_key_place ('Q', place);
    leat_key_t to = leat_key_behind (&next);
    leat_rows_result_t result;
    while (!(result = leat_rows_next (self->rows, &next, &to, &key, &value))) {
        leat_operation_t operation = { .id = LEAT_OPERATION_SEQUENCE };
        operation.sequence.stream = stream;
        operation.sequence.identity = (leat_text_t){ (char *) key.bytes + 5, key.size - 5 };
        operation.sequence.ephemeral = (uint8_t) leat_value_get (&value, 1);
        operation.sequence.epoch = leat_value_get (&value, 8);
        operation.sequence.sequence = leat_value_get (&value, 8);
        operation.sequence.offset = leat_value_get (&value, 8);
        operation.sequence.time_ms = leat_value_get (&value, 8);
        if (value.wrong || !leat_name_valid (operation.sequence.identity))
            return s_fail (self, LEAT_ROWS_DAMAGED, "sequences of stream", stream);
        if (s_add (self, &operation))
            return -1;
        next = s_after (&key);
    }
    return result == LEAT_ROWS_NONE ? 0 : s_fail (self, result, "sequences of stream", stream);
}

static int s_stream (recital_t *self, uint32_t stream, leat_value_t *value)
{
    leat_operation_t operation = { .id = LEAT_OPERATION_STREAM_CREATED };
    uint32_t place;
    if (!leat_value_get_stream (value, stream, &place, &operation.stream_created))
        return s_fail (self, LEAT_ROWS_DAMAGED, "stream", stream);
    if (s_add (self, &operation) || s_extent (self, stream, place)
        || s_reserved (self, stream, place) || s_sequences (self, stream, place))
        return -1;
    return s_groups (self, stream);
}

static int s_streams (recital_t *self)
{
    leat_value_t value;
    leat_key_t key;
    leat_key_t next = leat_key ('S');
    leat_key_t to = leat_key_behind (&next);
    leat_rows_result_t result;
    while (!(result = leat_rows_next (self->rows, &next, &to, &key, &value))) {
        if (s_stream (self, leat_key_get_u32 (&key, 1), &value))
            return -1;
        next = s_after (&key);
    }
    if (result != LEAT_ROWS_NONE)
        return s_fail (self, result, "stream", leat_key_get_u32 (&key, 1));
    return leat_commit_operations (self->commit) ? s_tell (self) : 0;
}

int leat_recite (leat_rows_t *rows, leat_store_recover_fn *fn, void *arg, char *error,
                 size_t error_size)
{
    recital_t self = { rows, fn, arg, error, error_size, leat_commit_new (1, 0), 2 };
    int code = s_streams (&self);
    leat_commit_destroy (&self.commit);
    return code;
}

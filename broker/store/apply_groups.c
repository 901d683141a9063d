/* What commits mean to the rows of groups: what is settled, and marks.
 * SPDX-License-Identifier: MPL-2.0 */
#include "broker/store/apply_state.h"

/* ---- groups ---------------------------------------------------------------------------------- */

typedef struct {
    uint32_t place;
    uint64_t floor;
} group_t;

/* Finds a group; its place is 0 if there is none. */
static leat_apply_result_t s_group (leat_apply_t *self, uint32_t stream, uint32_t id,
                                    group_t *group)
{
    leat_value_t value;
    leat_key_t key = leat_key_place ('R', stream);
    leat_key_u32 (&key, id);
    *group = (group_t){ 0 };
    leat_rows_result_t result = leat_rows_get (self->rows, &key, &value);
    if (result == LEAT_ROWS_NONE)
        return LEAT_APPLY_OK;
    if (!result) {
        group->place = (uint32_t) leat_value_get (&value, 4);
        key = leat_key_place ('F', group->place);
        result = leat_rows_get (self->rows, &key, &value);
    }
    if (!result)
        group->floor = leat_value_get (&value, 8);
    return apply_result (self, result == LEAT_ROWS_NONE ? LEAT_ROWS_OK : result, "group", id);
}

static leat_apply_result_t s_group_known (leat_apply_t *self, uint8_t operation, uint32_t stream,
                                          uint32_t id, group_t *group)
{
    leat_apply_result_t result = s_group (self, stream, id, group);
    if (result || group->place)
        return result;
    return apply_refuse (self, "%s is for group %u of stream %u, which the store does not have",
                         leat_operation_name (operation), id, stream);
}

static leat_apply_result_t s_group_created (leat_apply_t *self,
                                            const leat_operation_group_created_t *operation)
{
    stream_t *stream;
    group_t group;
    leat_apply_result_t result =
        apply_stream_known (self, LEAT_OPERATION_GROUP_CREATED, operation->stream, &stream);
    if (!result)
        result = s_group (self, operation->stream, operation->group, &group);
    if (!result && !group.place)
        result = apply_new_place (self, &group.place);
    if (result)
        return result;
    apply_reach (self, stream, operation->first);
    leat_value_t value;
    leat_key_t key = leat_key_place ('R', operation->stream);
    leat_key_u32 (&key, operation->group);
    leat_value_begin (&value);
    leat_value_put (&value, group.place, 4);
    leat_value_put (&value, operation->first, 8);
    leat_value_put (&value, operation->expiry_ms, 8);
    leat_value_put_text (&value, operation->group_name);
    return apply_result (self, leat_rows_put (self->rows, &key, &value), "group", operation->group);
}

static leat_apply_result_t s_group_deleted (leat_apply_t *self, uint32_t stream, uint32_t id)
{
    group_t group;
    leat_apply_result_t found = s_group (self, stream, id, &group);
    if (found || !group.place)
        return found;
    leat_key_t floor = leat_key_place ('F', group.place);
    leat_key_t key = leat_key_place ('R', stream);
    leat_key_u32 (&key, id);
    leat_rows_result_t result = apply_discard_place (self, 'A', group.place);
    if (!result)
        result = apply_discard_place (self, 'C', group.place);
    if (!result)
        result = apply_remove (self, &floor);
    if (!result)
        result = apply_remove (self, &key);
    return apply_result (self, result, "group", id);
}

leat_apply_result_t apply_groups_deleted (leat_apply_t *self, uint32_t stream)
{
    leat_key_t from = leat_key_place ('R', stream);
    leat_key_t to = leat_key_behind (&from);
    leat_key_t key;
    const uint8_t *value;
    size_t size;
    leat_rows_result_t result;
    while (!(result = self->rows->next (self->rows, &from, &to, &key, &value, &size))) {
        leat_apply_result_t applied = s_group_deleted (self, stream, leat_key_get_u32 (&key, 5));
        if (applied)
            return applied;
    }
    return apply_result (self, result, "stream", stream);
}

/* ---- what groups have settled ---------------------------------------------------------------- */

/* Is that record, a bit of this chunk's bitmap, settled? */
static bool s_is_set (leat_text_t bits, uint64_t index)
{
    return index / 8 < bits.size && ((uint8_t) bits.data[index / 8] >> (index % 8) & 1);
}

/* Removes marks from `from` to `to` (exclusive); if `bits` is not NULL only those whose bit is set,
 * and none of dead ones. */
static leat_apply_result_t s_remove_marks (leat_apply_t *self, uint32_t place, uint64_t from,
                                           uint64_t to, const leat_text_t *bits, bool dead_too)
{
    leat_key_t next = leat_key_numbered ('A', place, from);
    leat_key_t end = leat_key_numbered ('A', place, to);
    leat_key_t key;
    const uint8_t *value;
    size_t size;
    leat_rows_result_t result;
    while (!(result = self->rows->next (self->rows, &next, &end, &key, &value, &size))) {
        uint64_t offset = leat_key_get_u64 (&key, 5);
        bool dead = size && value[0] == LEAT_MARK_DEAD;
        if ((dead_too || !dead) && (!bits || s_is_set (*bits, offset - from)))
            result = self->rows->remove (self->rows, &key);
        if (result)
            break;
        next = leat_key_numbered ('A', place, offset + 1);
    }
    return apply_result (self, result == LEAT_ROWS_NONE ? LEAT_ROWS_OK : result, "place", place);
}

/* Removes rows of chunks from `from` on that end at `to` or before. */
static leat_apply_result_t s_remove_chunks (leat_apply_t *self, uint32_t place, uint64_t from,
                                            uint64_t to)
{
    leat_key_t next = leat_key_numbered ('C', place, from);
    leat_key_t end = leat_key_numbered ('C', place, to);
    leat_key_t key;
    leat_value_t value;
    leat_rows_result_t result;
    while (!(result = leat_rows_next (self->rows, &next, &end, &key, &value))) {
        uint64_t chunk = leat_key_get_u64 (&key, 5);
        uint64_t whole = leat_value_get (&value, 8);
        if (chunk + (whole ? whole : 1) <= to)
            result = self->rows->remove (self->rows, &key);
        if (result)
            break;
        next = leat_key_numbered ('C', place, chunk + 1);
    }
    return apply_result (self, result == LEAT_ROWS_NONE ? LEAT_ROWS_OK : result, "chunks of place",
                         place);
}

static leat_apply_result_t s_chunk (leat_apply_t *self, const leat_operation_chunk_t *operation)
{
    group_t group;
    if (operation->settled.size > LEAT_CHUNK_RECORDS / 8
        || operation->chunk > UINT64_MAX / 2 / LEAT_CHUNK_RECORDS
        || operation->whole > UINT64_MAX / 2 / LEAT_CHUNK_RECORDS)
        return apply_refuse (self, "CHUNK %llu of group %u is beyond all offsets, or too large",
                             (unsigned long long) operation->chunk, operation->group);
    leat_apply_result_t result =
        s_group_known (self, LEAT_OPERATION_CHUNK, operation->stream, operation->group, &group);
    uint64_t chunks = operation->whole ? operation->whole : 1;
    uint64_t base = operation->chunk * LEAT_CHUNK_RECORDS;
    if (result || base + chunks * LEAT_CHUNK_RECORDS <= group.floor)
        return result;
    leat_value_t value;
    leat_key_t key = leat_key_numbered ('C', group.place, operation->chunk);
    leat_value_begin (&value);
    leat_value_put (&value, operation->whole, 8);
    if (!operation->whole)
        leat_value_put_text (&value, operation->settled);
    leat_rows_result_t put = leat_rows_put (self->rows, &key, &value);
    if (put)
        return apply_result (self, put, "group", operation->group);
    if (operation->whole > 1)
        result = s_remove_chunks (self, group.place, operation->chunk + 1,
                                  operation->chunk + operation->whole);
    if (result)
        return result;
    return s_remove_marks (self, group.place, base, base + chunks * LEAT_CHUNK_RECORDS,
                           operation->whole ? NULL : &operation->settled, false);
}

/* Everything of a group below `first` is settled, or gone. */
static leat_apply_result_t s_raise (leat_apply_t *self, const group_t *group, uint64_t first)
{
    if (first <= group->floor)
        return LEAT_APPLY_OK;
    leat_value_t value;
    leat_key_t key = leat_key_place ('F', group->place);
    leat_value_begin (&value);
    leat_value_put (&value, first, 8);
    leat_rows_result_t put = leat_rows_put (self->rows, &key, &value);
    if (put)
        return apply_result (self, put, "place", group->place);
    leat_apply_result_t result =
        s_remove_chunks (self, group->place, 0, first / LEAT_CHUNK_RECORDS);
    return result ? result : s_remove_marks (self, group->place, 0, first, NULL, true);
}

static leat_apply_result_t s_floor (leat_apply_t *self, const leat_operation_floor_t *operation)
{
    stream_t *stream;
    group_t group;
    leat_apply_result_t result =
        apply_stream_known (self, LEAT_OPERATION_FLOOR, operation->stream, &stream);
    if (!result)
        result =
            s_group_known (self, LEAT_OPERATION_FLOOR, operation->stream, operation->group, &group);
    if (result)
        return result;
    apply_reach (self, stream, operation->first);
    return s_raise (self, &group, operation->first);
}

leat_apply_result_t apply_raise_all (leat_apply_t *self, uint32_t stream, uint64_t first)
{
    leat_key_t next = leat_key_place ('R', stream);
    leat_key_t to = leat_key_behind (&next);
    leat_key_t key;
    const uint8_t *value;
    size_t size;
    leat_rows_result_t result;
    while (!(result = self->rows->next (self->rows, &next, &to, &key, &value, &size))) {
        uint32_t id = leat_key_get_u32 (&key, 5);
        group_t group;
        leat_apply_result_t applied = s_group (self, stream, id, &group);
        if (!applied)
            applied = s_raise (self, &group, first);
        if (applied)
            return applied;
        next = leat_key_place ('R', stream);
        leat_key_u32 (&next, id);
        next.bytes[next.size++] = 0; /* the key right behind it */
    }
    return apply_result (self, result == LEAT_ROWS_NONE ? LEAT_ROWS_OK : result, "stream", stream);
}

/* ---- marks ----------------------------------------------------------------------------------- */

typedef struct {
    uint8_t operation;
    uint32_t stream;
    uint32_t group;
    uint64_t offset;
    uint8_t kind;
    uint8_t suspect;
    uint16_t code;
    uint32_t attempts;
    uint64_t due_ms;
    uint32_t dead_stream;
    uint64_t dead_offset;
    leat_text_t reason;
} mark_t;

static leat_apply_result_t s_mark (leat_apply_t *self, const mark_t *mark)
{
    group_t group;
    leat_apply_result_t result =
        s_group_known (self, mark->operation, mark->stream, mark->group, &group);
    if (result || mark->offset < group.floor)
        return result;
    leat_value_t value;
    leat_key_t key = leat_key_numbered ('A', group.place, mark->offset);
    leat_value_begin (&value);
    leat_value_put (&value, mark->kind, 1);
    leat_value_put (&value, mark->suspect, 1);
    leat_value_put (&value, mark->code, 2);
    leat_value_put (&value, mark->attempts, 4);
    leat_value_put (&value, mark->due_ms, 8);
    leat_value_put (&value, mark->dead_stream, 4);
    leat_value_put (&value, mark->dead_offset, 8);
    leat_value_put_text (&value, mark->reason);
    return apply_result (self, leat_rows_put (self->rows, &key, &value), "group", mark->group);
}

static leat_apply_result_t s_mark_of (leat_apply_t *self, const leat_operation_t *operation)
{
    const leat_operation_attempts_t *attempts = &operation->attempts;
    const leat_operation_delay_t *delay = &operation->delay;
    const leat_operation_parked_t *parked = &operation->parked;
    const leat_operation_dead_t *dead = &operation->dead;
    mark_t mark = { .operation = operation->id };
    /* All four begin with the same fields. */
    mark.stream = attempts->stream;
    mark.group = attempts->group;
    mark.offset = attempts->offset;
    mark.attempts = attempts->attempts;
    switch (operation->id) {
    case LEAT_OPERATION_ATTEMPTS:
        mark.kind = LEAT_MARK_ATTEMPTS;
        mark.suspect = attempts->suspect;
        break;
    case LEAT_OPERATION_DELAY:
        mark.kind = LEAT_MARK_DELAY;
        mark.due_ms = delay->due_ms;
        break;
    case LEAT_OPERATION_PARKED:
        mark.kind = LEAT_MARK_PARKED;
        mark.code = parked->code;
        mark.reason = parked->reason;
        break;
    default:
        mark.kind = LEAT_MARK_DEAD;
        mark.code = dead->code;
        mark.dead_stream = dead->dead_stream;
        mark.dead_offset = dead->dead_offset;
        mark.reason = dead->reason;
        break;
    }
    return s_mark (self, &mark);
}

leat_apply_result_t apply_group (leat_apply_t *self, const leat_operation_t *operation)
{
    switch (operation->id) {
    case LEAT_OPERATION_GROUP_CREATED:
        return s_group_created (self, &operation->group_created);
    case LEAT_OPERATION_GROUP_DELETED:
        return s_group_deleted (self, operation->group_deleted.stream,
                                operation->group_deleted.group);
    case LEAT_OPERATION_CHUNK:
        return s_chunk (self, &operation->chunk);
    case LEAT_OPERATION_FLOOR:
        return s_floor (self, &operation->floor);
    default:
        return s_mark_of (self, operation);
    }
}

/* What engines must do that recover without stating records, and read them back.
 * SPDX-License-Identifier: MPL-2.0 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/unit/store_bench.h"
#include "wire/crc32c.h"

enum { GROUP = 3, RECITED_MAX = 64 };

/* ---- what recovery states, one line per operation -------------------------------------------- */

typedef struct {
    char lines[RECITED_MAX][200];
    size_t count;
} recited_t;

static void s_line (char *line, size_t size, const leat_operation_t *operation)
{
    const char *name = leat_operation_name (operation->id);
    const leat_operation_stream_created_t *stream = &operation->stream_created;
    const leat_operation_group_created_t *group = &operation->group_created;
    const leat_operation_sequence_t *sequence = &operation->sequence;
    const leat_operation_chunk_t *chunk = &operation->chunk;
    const leat_operation_extent_t *extent = &operation->extent;
    const leat_operation_dead_t *dead = &operation->dead;
#define ULL(number) (unsigned long long) (number)
    switch (operation->id) {
    case LEAT_OPERATION_STREAM_CREATED:
        snprintf (line, size, "%s %u %.*s %u %u %llu %llu %llu %u %llu", name, stream->stream,
                  (int) stream->stream_name.size, stream->stream_name.data, stream->durability,
                  stream->retention, ULL (stream->max_age_ms), ULL (stream->max_size),
                  ULL (stream->max_processing_ms), stream->max_attempts, ULL (stream->dead_size));
        break;
    case LEAT_OPERATION_GROUP_CREATED:
        snprintf (line, size, "%s %u %u %.*s %llu %llu", name, group->stream, group->group,
                  (int) group->group_name.size, group->group_name.data, ULL (group->first),
                  ULL (group->expiry_ms));
        break;
    case LEAT_OPERATION_SEQUENCE:
        snprintf (line, size, "%s %u %.*s %u %llu %llu %llu %llu", name, sequence->stream,
                  (int) sequence->identity.size, sequence->identity.data, sequence->ephemeral,
                  ULL (sequence->epoch), ULL (sequence->sequence), ULL (sequence->offset),
                  ULL (sequence->time_ms));
        break;
    case LEAT_OPERATION_CHUNK:
        snprintf (line, size, "%s %u %u %llu %llu %zu:%08x", name, chunk->stream, chunk->group,
                  ULL (chunk->chunk), ULL (chunk->whole), chunk->settled.size,
                  leat_crc32c (chunk->settled.data, chunk->settled.size));
        break;
    case LEAT_OPERATION_FLOOR:
        snprintf (line, size, "%s %u %u %llu", name, operation->floor.stream,
                  operation->floor.group, ULL (operation->floor.first));
        break;
    case LEAT_OPERATION_ATTEMPTS:
        snprintf (line, size, "%s %u %u %llu %u %u", name, operation->attempts.stream,
                  operation->attempts.group, ULL (operation->attempts.offset),
                  operation->attempts.attempts, operation->attempts.suspect);
        break;
    case LEAT_OPERATION_DELAY:
        snprintf (line, size, "%s %u %u %llu %u %llu", name, operation->delay.stream,
                  operation->delay.group, ULL (operation->delay.offset), operation->delay.attempts,
                  ULL (operation->delay.due_ms));
        break;
    case LEAT_OPERATION_PARKED:
        snprintf (line, size, "%s %u %u %llu %u %u %.*s", name, operation->parked.stream,
                  operation->parked.group, ULL (operation->parked.offset),
                  operation->parked.attempts, operation->parked.code,
                  (int) operation->parked.reason.size, operation->parked.reason.data);
        break;
    case LEAT_OPERATION_DEAD:
        snprintf (line, size, "%s %u %u %llu %u %u %u %llu %.*s", name, dead->stream, dead->group,
                  ULL (dead->offset), dead->attempts, dead->code, dead->dead_stream,
                  ULL (dead->dead_offset), (int) dead->reason.size, dead->reason.data);
        break;
    case LEAT_OPERATION_RESERVED:
        snprintf (line, size, "%s %u %llu", name, operation->reserved.stream,
                  ULL (operation->reserved.next));
        break;
    case LEAT_OPERATION_EXTENT:
        snprintf (line, size, "%s %u %llu %llu %llu %llu", name, extent->stream,
                  ULL (extent->first), ULL (extent->next), ULL (extent->records),
                  ULL (extent->size));
        break;
    default:
        snprintf (line, size, "%s", name);
        break;
    }
#undef ULL
}

static bool s_recite (void *arg, leat_buffer_t *buffer)
{
    recited_t *recited = arg;
    leat_commit_reader_t reader;
    leat_operation_t operation;
    assert_int_equal (leat_commit_read (&reader, buffer), LEAT_OK);
    while (reader.left) {
        assert_int_equal (leat_commit_read_operation (&reader, &operation), LEAT_OK);
        assert_true (recited->count < RECITED_MAX);
        s_line (recited->lines[recited->count++], sizeof recited->lines[0], &operation);
    }
    assert_int_equal (leat_commit_read_end (&reader), LEAT_OK);
    return true;
}

/* Closes, opens, and compares what recovery states with lines. */
static void s_expect_state (bench_t *bench, const char *const *lines)
{
    char error[200] = "";
    recited_t recited = { .count = 0 };
    leat_store_close (&bench->store);
    bench_open (bench);
    bench_acquire (bench, NOW_MS);
    if (leat_store_recover (bench->store, s_recite, &recited, error, sizeof error))
        fail_msg ("recover: %s", error);
    for (size_t i = 0; i < recited.count && lines[i]; i++)
        assert_string_equal (recited.lines[i], lines[i]);
    assert_null (lines[recited.count]);
}

/* ---- operations ------------------------------------------------------------------------------ */

static leat_operation_t s_stream (uint32_t stream, const char *name)
{
    leat_operation_t operation = { .id = LEAT_OPERATION_STREAM_CREATED };
    operation.stream_created.stream = stream;
    operation.stream_created.stream_name = leat_text (name);
    operation.stream_created.durability = LEAT_SYNC;
    operation.stream_created.max_age_ms = 11;
    operation.stream_created.max_size = 12;
    operation.stream_created.max_processing_ms = 13;
    operation.stream_created.max_attempts = 14;
    operation.stream_created.dead_size = 15;
    return operation;
}

static leat_operation_t s_group (uint32_t stream, uint32_t group, const char *name)
{
    leat_operation_t operation = { .id = LEAT_OPERATION_GROUP_CREATED };
    operation.group_created.stream = stream;
    operation.group_created.group = group;
    operation.group_created.group_name = leat_text (name);
    operation.group_created.expiry_ms = 21;
    return operation;
}

/* The body is the caller's to release, after the commit was made. */
static leat_operation_t s_append (uint32_t stream, uint64_t first, uint32_t count,
                                  leat_buffer_t *body)
{
    leat_operation_t operation = { .id = LEAT_OPERATION_APPEND };
    operation.append.stream = stream;
    operation.append.first = first;
    operation.append.count = count;
    operation.append.time_ms = first + 100;
    operation.append.body = (leat_slice_t){ body, 0, leat_buffer_size (body) };
    operation.append.crc32c = leat_crc32c (leat_buffer_bytes (body), leat_buffer_size (body));
    return operation;
}

static void s_do_append (bench_t *bench, uint64_t first, uint32_t count, const char *text)
{
    leat_buffer_t *body = leat_buffer_copy (text, strlen (text));
    bench_do (bench, (leat_operation_t[]){ s_append (STREAM, first, count, body), { 0 } });
    leat_buffer_release (&body);
}

static leat_operation_t s_trim (uint64_t first, uint32_t count)
{
    leat_operation_t operation = { .id = LEAT_OPERATION_TRIM };
    operation.trim.stream = STREAM;
    operation.trim.first = first;
    operation.trim.count = count;
    return operation;
}

static leat_operation_t s_floor (uint64_t first)
{
    leat_operation_t operation = { .id = LEAT_OPERATION_FLOOR };
    operation.floor.stream = STREAM;
    operation.floor.group = GROUP;
    operation.floor.first = first;
    return operation;
}

static leat_operation_t s_chunk (uint64_t chunk, uint64_t whole, const char *bits, size_t size)
{
    leat_operation_t operation = { .id = LEAT_OPERATION_CHUNK };
    operation.chunk.stream = STREAM;
    operation.chunk.group = GROUP;
    operation.chunk.chunk = chunk;
    operation.chunk.whole = whole;
    operation.chunk.settled = (leat_text_t){ bits, size };
    return operation;
}

static leat_operation_t s_attempts (uint64_t offset, uint32_t attempts)
{
    leat_operation_t operation = { .id = LEAT_OPERATION_ATTEMPTS };
    operation.attempts.stream = STREAM;
    operation.attempts.group = GROUP;
    operation.attempts.offset = offset;
    operation.attempts.attempts = attempts;
    operation.attempts.suspect = attempts == 4;
    return operation;
}

static leat_operation_t s_delay (uint64_t offset)
{
    leat_operation_t operation = { .id = LEAT_OPERATION_DELAY };
    operation.delay.stream = STREAM;
    operation.delay.group = GROUP;
    operation.delay.offset = offset;
    operation.delay.attempts = 2;
    operation.delay.due_ms = 99;
    return operation;
}

static leat_operation_t s_parked (uint64_t offset)
{
    leat_operation_t operation = { .id = LEAT_OPERATION_PARKED };
    operation.parked.stream = STREAM;
    operation.parked.group = GROUP;
    operation.parked.offset = offset;
    operation.parked.attempts = 5;
    operation.parked.code = 7;
    operation.parked.reason = leat_text ("no room");
    return operation;
}

static leat_operation_t s_dead (uint64_t offset)
{
    leat_operation_t operation = { .id = LEAT_OPERATION_DEAD };
    operation.dead.stream = STREAM;
    operation.dead.group = GROUP;
    operation.dead.offset = offset;
    operation.dead.attempts = 5;
    operation.dead.code = 8;
    operation.dead.dead_stream = 9;
    operation.dead.dead_offset = 1;
    operation.dead.reason = leat_text ("rotten");
    return operation;
}

static leat_operation_t s_sequence (const char *identity, uint64_t sequence)
{
    leat_operation_t operation = { .id = LEAT_OPERATION_SEQUENCE };
    operation.sequence.stream = STREAM;
    operation.sequence.identity = leat_text (identity);
    operation.sequence.ephemeral = 1;
    operation.sequence.epoch = 31;
    operation.sequence.sequence = sequence;
    operation.sequence.offset = 32;
    operation.sequence.time_ms = 33;
    return operation;
}

static leat_operation_t s_forgotten (const char *identity)
{
    leat_operation_t operation = { .id = LEAT_OPERATION_SEQUENCE_FORGOTTEN };
    operation.sequence_forgotten.stream = STREAM;
    operation.sequence_forgotten.identity = leat_text (identity);
    return operation;
}

static leat_operation_t s_stream_deleted (uint32_t stream)
{
    leat_operation_t operation = { .id = LEAT_OPERATION_STREAM_DELETED };
    operation.stream_deleted.stream = stream;
    return operation;
}

static leat_operation_t s_group_deleted (uint32_t stream, uint32_t group)
{
    leat_operation_t operation = { .id = LEAT_OPERATION_GROUP_DELETED };
    operation.group_deleted.stream = stream;
    operation.group_deleted.group = group;
    return operation;
}

/* ---- the promises ---------------------------------------------------------------------------- */

#define STREAM_LINE "STREAM_CREATED 7 corn 2 0 11 12 13 14 15"
#define GROUP_LINE "GROUP_CREATED 7 3 millers 0 21"

void test_state_survives (void **state)
{
    bench_t bench;
    bench_begin (&bench, *state);
    bench_do (&bench, (leat_operation_t[]){
                          s_stream (STREAM, "corn"), s_group (STREAM, GROUP, "millers"), { 0 } });
    s_do_append (&bench, 0, 100, "wheat");
    bench_do (&bench, (leat_operation_t[]){ s_sequence ("ann", 5),
                                            s_sequence ("ann", 6),
                                            s_sequence ("bob", 1),
                                            s_sequence ("cat", 1),
                                            s_forgotten ("cat"),
                                            s_forgotten ("cat"),
                                            { 0 } });
    bench_do (&bench, (leat_operation_t[]){ s_attempts (3, 1),
                                            s_attempts (3, 4),
                                            s_delay (5),
                                            s_parked (6),
                                            s_dead (7),
                                            s_attempts (8, 1),
                                            s_attempts (9, 1),
                                            { 0 } });
    /* 8 and 7 are settled: the mark goes, the dead letter stays; then 9 dies. */
    bench_do (&bench, (leat_operation_t[]){ s_chunk (0, 0, "\x80\x01", 2), s_dead (9), { 0 } });
    char chunk[64];
    snprintf (chunk, sizeof chunk, "CHUNK 7 3 0 0 2:%08x", leat_crc32c ("\x80\x01", 2));
    s_expect_state (
        &bench,
        (const char *const[]){ STREAM_LINE, "EXTENT 7 0 100 100 5", "SEQUENCE 7 ann 1 31 6 32 33",
                               "SEQUENCE 7 bob 1 31 1 32 33", GROUP_LINE, chunk,
                               "ATTEMPTS 7 3 3 4 1", "DELAY 7 3 5 2 99", "PARKED 7 3 6 5 7 no room",
                               "DEAD 7 3 7 5 8 9 1 rotten", "DEAD 7 3 9 5 8 9 1 rotten", NULL });

    /* The floor takes what is below it along; runs of chunks replace chunks. */
    s_do_append (&bench, 100, 10 * LEAT_CHUNK_RECORDS, "rye");
    bench_do (&bench, (leat_operation_t[]){ s_chunk (3, 0, "\x01", 1),
                                            s_chunk (5, 0, "\x02", 1),
                                            s_attempts (4 * LEAT_CHUNK_RECORDS, 2),
                                            s_chunk (3, 2, "", 0),
                                            s_floor (6),
                                            { 0 } });
    snprintf (chunk, sizeof chunk, "CHUNK 7 3 0 0 2:%08x", leat_crc32c ("\x80\x01", 2));
    char other[64];
    snprintf (other, sizeof other, "CHUNK 7 3 5 0 1:%08x", leat_crc32c ("\x02", 1));
    s_expect_state (&bench,
                    (const char *const[]){
                        STREAM_LINE, "EXTENT 7 0 655460 655460 8", "SEQUENCE 7 ann 1 31 6 32 33",
                        "SEQUENCE 7 bob 1 31 1 32 33", GROUP_LINE, "FLOOR 7 3 6", chunk,
                        "CHUNK 7 3 3 2 0:00000000", other, "PARKED 7 3 6 5 7 no room",
                        "DEAD 7 3 7 5 8 9 1 rotten", "DEAD 7 3 9 5 8 9 1 rotten", NULL });
    bench_do (&bench, (leat_operation_t[]){ s_floor (5 * LEAT_CHUNK_RECORDS), { 0 } });
    bench_do (&bench, (leat_operation_t[]){
                          s_attempts (8, 1), s_chunk (2, 0, "\x01", 1), s_floor (8), { 0 } });
    s_expect_state (&bench, (const char *const[]){ STREAM_LINE, "EXTENT 7 0 655460 655460 8",
                                                   "SEQUENCE 7 ann 1 31 6 32 33",
                                                   "SEQUENCE 7 bob 1 31 1 32 33", GROUP_LINE,
                                                   "FLOOR 7 3 327680", other, NULL });
    leat_store_close (&bench.store);
}

void test_reads_come_in_order (void **state)
{
    bench_t bench;
    bench_begin (&bench, *state);
    bench_do (&bench,
              (leat_operation_t[]){ s_stream (STREAM, "corn"), s_stream (8, "bran"), { 0 } });
    s_do_append (&bench, 0, 3, "wheat");
    s_do_append (&bench, 3, 1, "rye");
    s_do_append (&bench, 10, 2, "oats");
    static const uint64_t offsets[] = { 11, 2, 3, 0, 5, 12, 10 };
    for (uint64_t i = 0; i < 7; i++)
        assert_true (leat_store_read (bench.store, STREAM, offsets[i], 1, i));
    assert_true (leat_store_read (bench.store, 8, 0, 1, 7));
    assert_true (leat_store_read (bench.store, 9, 0, 1, 8));
    bench_expect_read (&bench, 0, 10, "oats");
    bench_expect_read (&bench, 1, 0, "wheat");
    bench_expect_read (&bench, 2, 3, "rye");
    bench_expect_read (&bench, 3, 0, "wheat");
    bench_expect_read (&bench, 4, 10, "oats");
    bench_expect_no_read (&bench, 5, LEAT_OK);
    bench_expect_read (&bench, 6, 10, "oats");
    bench_expect_no_read (&bench, 7, LEAT_OK);
    bench_expect_no_read (&bench, 8, LEAT_NO_SUCH_STREAM);
    bench_expect_nothing (&bench);
    leat_store_stats_t stats;
    leat_store_stats (bench.store, &stats);
    assert_int_equal (stats.reads, 9);
    leat_store_close (&bench.store);
}

static void s_expect_part (bench_t *bench, uint64_t first, uint32_t count, bool last)
{
    leat_store_event_t event = bench_next (bench);
    assert_int_equal (event.kind, LEAT_STORE_READ);
    assert_int_equal (event.code, LEAT_OK);
    assert_true (event.batch.first == first);
    assert_int_equal (event.batch.count, count);
    assert_true (event.last == last);
    assert_true (!event.body == !count);
    leat_buffer_release (&event.body);
}

void test_reads_bring_as_much_as_is_wanted (void **state)
{
    bench_t bench;
    bench_begin (&bench, *state);
    bench_do (&bench,
              (leat_operation_t[]){ s_stream (STREAM, "corn"), s_stream (8, "bran"), { 0 } });
    for (uint64_t i = 0; i < 5; i++)
        s_do_append (&bench, 10 * i, 2, "wheat");
    const uint64_t cost = leat_batch_cost (5);
    assert_true (leat_store_read (bench.store, STREAM, 0, cost, 1));
    assert_true (leat_store_read (bench.store, STREAM, 5, cost + 1, 2));
    assert_true (leat_store_read (bench.store, STREAM, 30, UINT64_MAX, 3));
    assert_true (leat_store_read (bench.store, STREAM, 42, UINT64_MAX, 4));
    assert_true (leat_store_read (bench.store, 8, 0, UINT64_MAX, 5));
    s_expect_part (&bench, 0, 2, true);
    s_expect_part (&bench, 10, 2, false);
    s_expect_part (&bench, 20, 2, true);
    s_expect_part (&bench, 30, 2, false);
    s_expect_part (&bench, 40, 2, true);
    s_expect_part (&bench, 42, 0, true); /* nothing up to there */
    s_expect_part (&bench, 0, 0, true);
    bench_expect_nothing (&bench);
    leat_store_close (&bench.store);
}

static void s_expect_header (bench_t *bench, uint64_t token, uint64_t first, uint32_t count,
                             uint64_t size, bool last)
{
    leat_store_event_t event = bench_next (bench);
    assert_int_equal (event.kind, LEAT_STORE_LOOKED);
    assert_int_equal (event.id, token);
    assert_int_equal (event.code, LEAT_OK);
    assert_true (event.batch.first == first);
    assert_int_equal (event.batch.count, count);
    assert_true (event.size == size);
    assert_true (event.last == last);
    assert_null (event.body);
}

void test_looks_tell_headers (void **state)
{
    static const char *const texts[] = { "wheat", "", "rye", "buckwheat", "oats" };
    bench_t bench;
    bench_begin (&bench, *state);
    bench_do (&bench, (leat_operation_t[]){ s_stream (STREAM, "corn"), { 0 } });
    for (uint64_t i = 0; i < 5; i++)
        s_do_append (&bench, 10 * i, 2, texts[i]);
    assert_true (leat_store_look (bench.store, STREAM, 0, 2, 1));
    assert_true (leat_store_look (bench.store, STREAM, 21, 9, 2));
    assert_true (leat_store_look (bench.store, STREAM, 42, 9, 3));
    assert_true (leat_store_look (bench.store, 99, 0, 9, 4));
    s_expect_header (&bench, 1, 0, 2, 5, false);
    s_expect_header (&bench, 1, 10, 2, 0, true);
    s_expect_header (&bench, 2, 20, 2, 3, false);
    s_expect_header (&bench, 2, 30, 2, 9, false);
    s_expect_header (&bench, 2, 40, 2, 4, true);
    s_expect_header (&bench, 3, 42, 0, 0, true); /* nothing up to there */
    leat_store_event_t event = bench_next (&bench);
    assert_int_equal (event.kind, LEAT_STORE_LOOKED);
    assert_int_equal (event.code, LEAT_NO_SUCH_STREAM);
    assert_true (event.last);
    bench_expect_nothing (&bench);
    leat_store_close (&bench.store);
}

/* A range may hold many batches, and offsets that are gone already. */
void test_ranges_are_trimmed (void **state)
{
    bench_t bench;
    bench_begin (&bench, *state);
    bench_do (&bench, (leat_operation_t[]){ s_stream (STREAM, "corn"), { 0 } });
    for (uint64_t i = 0; i < 8; i++)
        s_do_append (&bench, 10 * i, 10, "wheat");
    bench_do (&bench, (leat_operation_t[]){ s_trim (30, 10), { 0 } });
    bench_do (&bench, (leat_operation_t[]){ s_trim (20, 30), s_trim (20, 30), { 0 } });
    s_expect_state (&bench, (const char *const[]){ STREAM_LINE, "EXTENT 7 0 80 50 25", NULL });
    bench_do (&bench, (leat_operation_t[]){ s_trim (0, 60), s_trim (0, 60), { 0 } });
    s_expect_state (&bench, (const char *const[]){ STREAM_LINE, "EXTENT 7 60 80 20 10", NULL });
    assert_true (leat_store_read (bench.store, STREAM, 0, 1, 1));
    bench_expect_read (&bench, 1, 60, "wheat");
    bench_do (&bench, (leat_operation_t[]){ s_trim (0, 80), { 0 } });
    s_expect_state (&bench, (const char *const[]){ STREAM_LINE, "EXTENT 7 80 80 0 0", NULL });
    s_do_append (&bench, 80, 10, "rye");
    bench_do (&bench, (leat_operation_t[]){ s_trim (0, 80), { 0 } });
    s_expect_state (&bench, (const char *const[]){ STREAM_LINE, "EXTENT 7 80 90 10 3", NULL });
    leat_store_close (&bench.store);
}

void test_trimmed_batches_are_gone (void **state)
{
    bench_t bench;
    bench_begin (&bench, *state);
    bench_do (&bench, (leat_operation_t[]){ s_stream (STREAM, "corn"), { 0 } });
    static const char *const texts[] = { "wheat", "rye", "oats", "barley", "spelt", "maize" };
    for (uint64_t i = 0; i < 6; i++)
        s_do_append (&bench, 10 * i, 10, texts[i]);
    bench_do (&bench, (leat_operation_t[]){ s_trim (20, 10), s_trim (20, 10), { 0 } });
    s_expect_state (&bench, (const char *const[]){ STREAM_LINE, "EXTENT 7 0 60 50 24", NULL });
    assert_true (leat_store_read (bench.store, STREAM, 25, 1, 1));
    bench_expect_read (&bench, 1, 30, "barley");
    /* The first goes over the hole; what went once does not go again. */
    bench_do (&bench,
              (leat_operation_t[]){ s_trim (0, 10), s_trim (10, 10), s_trim (0, 10), { 0 } });
    assert_true (leat_store_read (bench.store, STREAM, 0, 1, 2));
    bench_expect_read (&bench, 2, 30, "barley");
    s_expect_state (&bench, (const char *const[]){ STREAM_LINE, "EXTENT 7 30 60 30 16", NULL });
    bench_do (&bench,
              (leat_operation_t[]){ s_trim (30, 10), s_trim (50, 10), s_trim (40, 10), { 0 } });
    s_expect_state (&bench, (const char *const[]){ STREAM_LINE, "EXTENT 7 60 60 0 0", NULL });
    assert_true (leat_store_read (bench.store, STREAM, 0, 1, 3));
    bench_expect_no_read (&bench, 3, LEAT_OK);
    /* What was applied before is not appended again. */
    s_do_append (&bench, 30, 10, "barley");
    s_do_append (&bench, 60, 10, "millet");
    s_expect_state (&bench, (const char *const[]){ STREAM_LINE, "EXTENT 7 60 70 10 6", NULL });
    leat_store_close (&bench.store);
}

void test_expired_batches_are_gone (void **state)
{
    bench_t bench;
    bench_begin (&bench, *state);
    bench_do (&bench, (leat_operation_t[]){
                          s_stream (STREAM, "corn"), s_group (STREAM, GROUP, "millers"), { 0 } });
    for (uint64_t i = 0; i < 6; i++)
        s_do_append (&bench, 10 * i, 10, "grain");
    leat_operation_t expired = { .id = LEAT_OPERATION_EXPIRED };
    expired.expired.stream = STREAM;
    expired.expired.first = 40;
    expired.expired.count = 7; /* what is there counts, whatever went before */
    bench_do (&bench, (leat_operation_t[]){
                          s_attempts (13, 2), s_attempts (45, 3), expired, expired, { 0 } });
    assert_true (leat_store_read (bench.store, STREAM, 0, 1, 1));
    bench_expect_read (&bench, 1, 40, "grain");
    s_expect_state (&bench, (const char *const[]){ STREAM_LINE, "EXTENT 7 40 60 20 10", GROUP_LINE,
                                                   "FLOOR 7 3 40", "ATTEMPTS 7 3 45 3 0", NULL });
    leat_store_close (&bench.store);
}

void test_numbers_of_the_deleted_are_used_again (void **state)
{
    bench_t bench;
    bench_begin (&bench, *state);
    bench_do (&bench, (leat_operation_t[]){
                          s_stream (STREAM, "corn"), s_group (STREAM, GROUP, "millers"), { 0 } });
    s_do_append (&bench, 0, 10, "wheat");
    bench_do (&bench, (leat_operation_t[]){ s_attempts (1, 1),
                                            s_floor (1),
                                            s_chunk (0, 0, "\x08", 1),
                                            s_sequence ("ann", 1),
                                            { 0 } });
    /* All in one commit, so that nothing can be removed between. */
    bench_do (&bench, (leat_operation_t[]){ s_group_deleted (STREAM, GROUP),
                                            s_group_deleted (STREAM, GROUP),
                                            s_group (STREAM, GROUP, "bakers"),
                                            { 0 } });
    s_expect_state (&bench, (const char *const[]){ STREAM_LINE, "EXTENT 7 0 10 10 5",
                                                   "SEQUENCE 7 ann 1 31 1 32 33",
                                                   "GROUP_CREATED 7 3 bakers 0 21", NULL });
    bench_do (&bench, (leat_operation_t[]){ s_stream_deleted (STREAM),
                                            s_stream_deleted (STREAM),
                                            s_stream (STREAM, "bran"),
                                            { 0 } });
    assert_true (leat_store_read (bench.store, STREAM, 0, 1, 1));
    bench_expect_no_read (&bench, 1, LEAT_OK);
    s_do_append (&bench, 0, 10, "chaff");
    s_expect_state (&bench, (const char *const[]){ "STREAM_CREATED 7 bran 2 0 11 12 13 14 15",
                                                   "EXTENT 7 0 10 10 5", NULL });
    assert_true (leat_store_read (bench.store, STREAM, 0, 1, 2));
    bench_expect_read (&bench, 2, 0, "chaff");
    leat_store_close (&bench.store);
}

static void s_expect_refused (bench_t *bench, leat_operation_t operation, const char *reason)
{
    uint32_t chain = (uint32_t) bench->next_id;
    leat_commit_t *commit = leat_commit_new (bench->next_id++, chain);
    /* What stands before it is undone. */
    leat_operation_t created = s_stream (99, "half");
    leat_buffer_t *body = leat_buffer_copy ("half", 4);
    leat_operation_t append = s_append (STREAM, 0, 1, body);
    leat_commit_add (commit, &created);
    leat_commit_add (commit, &append);
    leat_buffer_release (&body);
    leat_commit_add (commit, &operation);
    leat_store_submit (bench->store, &commit);
    commit = leat_commit_new (bench->next_id++, 0);
    created = s_stream (98, "whole"); /* and what is beside it holds */
    leat_commit_add (commit, &created);
    leat_store_submit (bench->store, &commit);
    leat_store_event_t event = bench_next (bench);
    assert_int_equal (event.result, LEAT_COMMIT_REFUSED);
    assert_string_equal (event.reason, reason);
    bench_expect (bench, event.id + 1, LEAT_COMMIT_OK);
}

static leat_operation_t s_reserved (uint32_t stream, uint64_t next)
{
    leat_operation_t operation = { .id = LEAT_OPERATION_RESERVED };
    operation.reserved.stream = stream;
    operation.reserved.next = next;
    return operation;
}

/* What is reserved is what was said last, goes with its stream, and is no record. */
void test_reservations (void **state)
{
    bench_t bench;
    bench_begin (&bench, *state);
    bench_do (&bench, (leat_operation_t[]){ s_stream (STREAM, "corn"), { 0 } });
    s_do_append (&bench, 0, 10, "wheat");
    bench_do (&bench, (leat_operation_t[]){ s_reserved (STREAM, 500), { 0 } });
    s_expect_state (
        &bench, (const char *const[]){ STREAM_LINE, "EXTENT 7 0 10 10 5", "RESERVED 7 500", NULL });
    bench_do (&bench, (leat_operation_t[]){ s_reserved (STREAM, 12), { 0 } });
    s_do_append (&bench, 12, 2, "rye");
    s_expect_state (
        &bench, (const char *const[]){ STREAM_LINE, "EXTENT 7 0 14 12 8", "RESERVED 7 12", NULL });
    bench_do (&bench,
              (leat_operation_t[]){ s_stream_deleted (STREAM), s_stream (STREAM, "bran"), { 0 } });
    s_expect_state (&bench, (const char *const[]){ "STREAM_CREATED 7 bran 2 0 11 12 13 14 15",
                                                   "EXTENT 7 0 0 0 0", NULL });
    s_expect_refused (&bench, s_reserved (50, 1),
                      "RESERVED is for stream 50, which the store does not have");
    leat_store_close (&bench.store);
}

/* Of one that is kept in memory the store knows that it is there, its groups and its offsets. */
void test_memory_streams (void **state)
{
    bench_t bench;
    bench_begin (&bench, *state);
    leat_operation_t memory = s_stream (STREAM, "corn");
    leat_operation_t group = s_group (STREAM, 3, "millers");
    memory.stream_created.durability = LEAT_MEMORY;
    group.group_created.first = 40;
    bench_do (&bench, (leat_operation_t[]){ memory, s_reserved (STREAM, 500), group, { 0 } });
    leat_buffer_t *body = leat_buffer_copy ("x", 1);
    s_expect_refused (&bench, s_append (STREAM, 40, 1, body),
                      "APPEND is for stream 7, whose records are kept in memory only");
    leat_buffer_release (&body);
    s_expect_state (&bench, (const char *const[]){ "STREAM_CREATED 7 corn 3 0 11 12 13 14 15",
                                                   "EXTENT 7 40 40 0 0", "RESERVED 7 500",
                                                   "GROUP_CREATED 7 3 millers 40 21",
                                                   "STREAM_CREATED 98 whole 2 0 11 12 13 14 15",
                                                   "EXTENT 98 0 0 0 0", NULL });
    leat_store_close (&bench.store);
}

void test_commits_that_make_no_sense_are_refused (void **state)
{
    bench_t bench;
    bench_begin (&bench, *state);
    bench_do (&bench, (leat_operation_t[]){ s_stream (STREAM, "corn"), { 0 } });
    leat_operation_t unknown = s_stream (8, "unknown");
    unknown.stream_created.durability = LEAT_DURABILITY_DEFAULT;
    s_expect_refused (&bench, unknown, "stream unknown has no durability that this store knows: 0");
    leat_buffer_t *body = leat_buffer_copy ("x", 1);
    s_expect_refused (&bench, s_append (9, 0, 1, body),
                      "APPEND is for stream 9, which the store does not have");
    leat_buffer_release (&body);
    s_expect_refused (&bench, s_floor (1),
                      "FLOOR is for group 3 of stream 7, which the store does not have");
    leat_operation_t extent = { .id = LEAT_OPERATION_EXTENT };
    s_expect_refused (&bench, extent, "the store does not take operation 17 (EXTENT)");
    s_expect_state (&bench, (const char *const[]){ STREAM_LINE, "EXTENT 7 0 0 0 0",
                                                   "STREAM_CREATED 98 whole 2 0 11 12 13 14 15",
                                                   "EXTENT 98 0 0 0 0", NULL });
    leat_store_close (&bench.store);
}

/* More than the engine puts into one transaction, of all sizes. */
void test_commits_may_be_many (void **state)
{
    enum { COMMITS = 3000 };
    bench_t bench;
    static char text[9000];
    memset (text, 'x', sizeof text);
    bench_begin (&bench, *state);
    bench_do (&bench, (leat_operation_t[]){ s_stream (STREAM, "corn"), { 0 } });
    uint64_t size = 0;
    for (uint32_t i = 0; i < COMMITS; i++) {
        size_t length = 1 + i * 7919 % sizeof text;
        size += length;
        text[0] = (char) ('a' + i % 26);
        leat_buffer_t *body = leat_buffer_copy (text, length);
        leat_operation_t operation = s_append (STREAM, i, 1, body);
        leat_commit_t *commit = leat_commit_new (bench.next_id++, 0);
        leat_commit_add (commit, &operation);
        leat_store_submit (bench.store, &commit);
        leat_buffer_release (&body);
    }
    for (uint64_t i = 0; i < COMMITS; i++)
        bench_expect (&bench, 2 + i, LEAT_COMMIT_OK);
    char line[100];
    snprintf (line, sizeof line, "EXTENT 7 0 %d %d %llu", COMMITS, COMMITS,
              (unsigned long long) size);
    s_expect_state (&bench, (const char *const[]){ STREAM_LINE, line, NULL });
    for (uint32_t i = 0; i < COMMITS; i++) {
        assert_true (leat_store_read (bench.store, STREAM, i, 1, i));
        leat_store_event_t event = bench_next (&bench);
        assert_int_equal (event.code, LEAT_OK);
        assert_true (event.batch.first == i);
        assert_int_equal (leat_buffer_size (event.body), 1 + i * 7919 % sizeof text);
        assert_int_equal (leat_buffer_bytes (event.body)[0], 'a' + i % 26);
        leat_buffer_release (&event.body);
    }
    leat_store_close (&bench.store);
}

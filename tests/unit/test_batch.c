/* Headers of batches byte by byte, and bodies that do and do not hold what they should.
 * SPDX-License-Identifier: MPL-2.0 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "wire/batch.h"
#include "wire/command.h"
#include "wire/record.h"

static const leat_batch_t s_publish = {
    .command = LEAT_PUBLISH,
    .attributes = LEAT_BATCH_EXTENDED,
    .channel = 0x04030201,
    .count = 0x100,
    .crc32c = 0xe3069283,
    .first = 0x0807060504030201,
    .time_ms = 0x1817161514131211,
    .flight = 0x24232221,
};

static const leat_batch_t s_deliver = {
    .command = LEAT_DELIVER,
    .flags = LEAT_DELIVER_REDELIVERED,
    .channel = 9,
    .count = 1,
    .crc32c = 7,
    .first = 0,
    .time_ms = 5,
    .epoch = 0x3837363534333231,
    .size = 0x34333231,
    .attempt = 0x44434241,
};

/* The batch must decode to itself. */
static void s_round_trip (const leat_batch_t *batch)
{
    uint8_t bytes[LEAT_BATCH_HEADER_SIZE];
    leat_batch_t decoded;
    leat_batch_encode (batch, bytes);
    assert_int_equal (leat_batch_decode (&decoded, bytes, sizeof bytes), LEAT_OK);
    assert_int_equal (decoded.command, batch->command);
    assert_int_equal (decoded.attributes, batch->attributes);
    assert_int_equal (decoded.flags, batch->flags);
    assert_int_equal (decoded.channel, batch->channel);
    assert_int_equal (decoded.count, batch->count);
    assert_int_equal (decoded.crc32c, batch->crc32c);
    assert_true (decoded.first == batch->first);
    assert_true (decoded.time_ms == batch->time_ms);
    assert_true (decoded.epoch == batch->epoch);
    assert_int_equal (decoded.flight, batch->flight);
    assert_int_equal (decoded.size, batch->size);
    assert_int_equal (decoded.attempt, batch->attempt);
}

static leat_code_t s_decode (leat_batch_t batch)
{
    uint8_t bytes[LEAT_BATCH_HEADER_SIZE];
    leat_batch_encode (&batch, bytes);
    leat_code_t code = leat_batch_decode (&batch, bytes, sizeof bytes);
    assert_int_equal (code == LEAT_OK, leat_batch_fault (bytes, sizeof bytes) == NULL);
    return code;
}

/* What is wrong with a header is told by its own rule. */
static void test_faults_of_headers (void **state)
{
    static const struct {
        leat_batch_t batch;
        const char *fault;
    } cases[] = {
        { { .command = 0x10, .count = 1, .first = 1 }, "only PUBLISH and DELIVER have two frames" },
        { { .command = LEAT_PUBLISH, .count = 0, .first = 1 }, "count is 1 to 65536" },
        { { .command = LEAT_DELIVER, .count = 65537 }, "count is 1 to 65536" },
        { { .command = LEAT_PUBLISH, .count = 1 }, "first is a sequence from 1" },
        { { .command = LEAT_PUBLISH, .count = 1, .first = UINT64_MAX },
          "first + count is at most 2^63" },
        { { .command = LEAT_PUBLISH, .count = 1, .first = 1, .flags = 2 },
          "flags has bits that this version does not know" },
        { { .command = LEAT_PUBLISH, .count = 1, .first = 1, .attributes = 2 },
          "attributes has bits that this version does not know" },
        { { .command = LEAT_PUBLISH, .count = 1, .first = 1, .epoch = 1 },
          "epoch and attempt are 0 in a PUBLISH" },
    };
    (void) state;
    uint8_t bytes[LEAT_BATCH_HEADER_SIZE];
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        leat_batch_encode (&cases[i].batch, bytes);
        assert_string_equal (leat_batch_fault (bytes, sizeof bytes), cases[i].fault);
    }
    assert_string_equal (leat_batch_fault (bytes, sizeof bytes - 1),
                         "the first of two frames is a header of 48 bytes");
}

static void test_bytes_of_headers (void **state)
{
    uint8_t bytes[LEAT_BATCH_HEADER_SIZE];
    leat_batch_encode (&s_publish, bytes);
    assert_memory_equal (bytes,
                         "\x12\1\0\0\1\2\3\4\0\1\0\0\x83\x92\x06\xe3\1\2\3\4\5\6\7\x08"
                         "\x11\x12\x13\x14\x15\x16\x17\x18\0\0\0\0\0\0\0\0\x21\x22\x23\x24\0\0\0\0",
                         sizeof bytes);
    leat_batch_encode (&s_deliver, bytes);
    assert_memory_equal (bytes,
                         "\x22\0\1\0\x09\0\0\0\1\0\0\0\7\0\0\0\0\0\0\0\0\0\0\0\5\0\0\0\0\0\0\0"
                         "\x31\x32\x33\x34\x35\x36\x37\x38\x31\x32\x33\x34\x41\x42\x43\x44",
                         sizeof bytes);
    s_round_trip (&s_publish);
    s_round_trip (&s_deliver);
}

static void test_sizes_of_headers (void **state)
{
    uint8_t bytes[LEAT_BATCH_HEADER_SIZE + 1] = { 0 };
    leat_batch_t batch;
    leat_batch_encode (&s_publish, bytes);
    for (size_t size = 0; size <= sizeof bytes; size++) {
        uint8_t *copy = malloc (size ? size : 1);
        memcpy (copy, bytes, size);
        assert_int_equal (leat_batch_decode (&batch, copy, size),
                          size == LEAT_BATCH_HEADER_SIZE ? LEAT_OK : LEAT_MALFORMED);
        free (copy);
    }
}

/* Decodes a changed copy of a good header. */
#define EXPECT(code, good, field, value)                                                           \
    do {                                                                                           \
        leat_batch_t batch = good;                                                                 \
        batch.field = (value);                                                                     \
        assert_int_equal (s_decode (batch), code);                                                 \
    } while (0)

static void test_fields_of_headers (void **state)
{
    const uint64_t end = (uint64_t) 1 << 63;
    EXPECT (LEAT_MALFORMED, s_publish, command, LEAT_HELLO);
    EXPECT (LEAT_MALFORMED, s_publish, attributes, 2);
    EXPECT (LEAT_MALFORMED, s_deliver, attributes, 0x80);
    EXPECT (LEAT_OK, s_publish, flags, LEAT_PUBLISH_PATIENT);
    EXPECT (LEAT_MALFORMED, s_publish, flags, 2);
    EXPECT (LEAT_MALFORMED, s_deliver, flags, 2);
    EXPECT (LEAT_MALFORMED, s_deliver, flags, 0x8001);
    EXPECT (LEAT_MALFORMED, s_publish, count, 0);
    EXPECT (LEAT_OK, s_publish, count, LEAT_BATCH_COUNT_MAX);
    EXPECT (LEAT_MALFORMED, s_publish, count, LEAT_BATCH_COUNT_MAX + 1);
    EXPECT (LEAT_MALFORMED, s_publish, count, UINT32_MAX);
    EXPECT (LEAT_MALFORMED, s_publish, first, 0);
    EXPECT (LEAT_OK, s_publish, first, 1);
    EXPECT (LEAT_OK, s_publish, first, end - 0x100);
    EXPECT (LEAT_MALFORMED, s_publish, first, end - 0x100 + 1);
    EXPECT (LEAT_MALFORMED, s_publish, first, end);
    EXPECT (LEAT_MALFORMED, s_publish, first, UINT64_MAX);
    EXPECT (LEAT_OK, s_deliver, first, end - 1);
    EXPECT (LEAT_MALFORMED, s_deliver, first, end);
    EXPECT (LEAT_MALFORMED, s_publish, epoch, 1);
    EXPECT (LEAT_MALFORMED, s_publish, attempt, 1);
    EXPECT (LEAT_OK, s_publish, time_ms, UINT64_MAX);
    EXPECT (LEAT_OK, s_deliver, epoch, UINT64_MAX);
}

static void test_slices (void **state)
{
    enum { SIZE = LEAT_BATCH_HEADER_SIZE };
    static uint8_t headers[(LEAT_SLICES_MAX + 1) * SIZE];
    leat_batch_t batch = s_deliver;
    for (uint32_t index = 0; index <= LEAT_SLICES_MAX; index++) {
        batch.size = 10 + index;
        leat_batch_encode (&batch, headers + index * SIZE);
    }
    assert_int_equal (leat_batch_slices (headers, 0, 0), 0);
    assert_int_equal (leat_batch_slices (headers, SIZE, 10), 1);
    assert_int_equal (leat_batch_slices (headers, SIZE, 9), 0);
    assert_int_equal (leat_batch_slices (headers, SIZE, 11), 0);
    assert_int_equal (leat_batch_slices (headers, 3 * SIZE, 33), 3);
    assert_int_equal (leat_batch_slices (headers, 3 * SIZE - 1, 33), 0);
    assert_int_equal (leat_batch_slices (headers, 3 * SIZE + 1, 33), 0);
    size_t all = LEAT_SLICES_MAX * 10 + LEAT_SLICES_MAX * (LEAT_SLICES_MAX - 1) / 2;
    assert_int_equal (leat_batch_slices (headers, LEAT_SLICES_MAX * SIZE, all), LEAT_SLICES_MAX);
    assert_int_equal (leat_batch_slices (headers, sizeof headers, all + 10 + LEAT_SLICES_MAX), 0);

    batch.size = LEAT_SLICES_SIZE_MAX;
    leat_batch_encode (&batch, headers + SIZE);
    assert_int_equal (leat_batch_slices (headers, 2 * SIZE, 10 + LEAT_SLICES_SIZE_MAX), 0);
    assert_int_equal (leat_batch_slices (headers + SIZE, SIZE, LEAT_SLICES_SIZE_MAX), 1);
    batch.size -= 10;
    leat_batch_encode (&batch, headers + SIZE);
    assert_int_equal (leat_batch_slices (headers, 2 * SIZE, LEAT_SLICES_SIZE_MAX), 2);
    batch.size = LEAT_SLICES_SIZE_MAX + 1; /* alone it may be as large as it likes */
    leat_batch_encode (&batch, headers + SIZE);
    assert_int_equal (leat_batch_slices (headers + SIZE, SIZE, batch.size), 1);

    batch.size = 11;
    batch.channel++; /* another consumer's */
    leat_batch_encode (&batch, headers + SIZE);
    assert_int_equal (leat_batch_slices (headers, 2 * SIZE, 21), 0);
    batch.channel--;
    batch.count = 0;
    leat_batch_encode (&batch, headers + SIZE);
    assert_int_equal (leat_batch_slices (headers, 2 * SIZE, 21), 0);
    batch.count = 1;
    batch.size = UINT32_MAX; /* 10 + this is 9 in 32 bits */
    leat_batch_encode (&batch, headers + SIZE);
    assert_int_equal (leat_batch_slices (headers, 2 * SIZE, 9), 0);
    leat_batch_encode (&s_publish, headers);
    assert_int_equal (leat_batch_slices (headers, SIZE, 0), 0);
}

/* --- bodies ------------------------------------------------------------------------------------ */

static leat_code_t s_check (const uint8_t *body, size_t size, uint32_t count, bool extended,
                            size_t record_size_max)
{
    uint8_t *copy = malloc (size ? size : 1);
    memcpy (copy, body, size);
    leat_code_t code = leat_batch_check (copy, size, count, extended, record_size_max);
    free (copy);
    return code;
}

/* `count` records of 0, 1, 2, ... bytes; with keys and headers if extended. Returns the size. */
static size_t s_fill (uint8_t *body, uint32_t count, bool extended)
{
    uint8_t header[8];
    size_t header_size = leat_header_encode (leat_text ("h"), leat_text ("v"), header);
    size_t size = 0;
    for (uint32_t index = 0; index < count; index++) {
        leat_record_t record = {
            .body = (const uint8_t *) "abcdefghijklmnopqrstuvwxyz",
            .body_size = index % 26,
            .key = (const uint8_t *) "key",
            .key_size = extended ? index % 4 : 0,
            .headers = header,
            .headers_size = extended && index % 3 ? header_size : 0,
        };
        size += leat_record_encode (&record, extended, body + size);
    }
    return size;
}

static void test_bodies (void **state)
{
    uint8_t body[2048];
    for (int extended = 0; extended <= 1; extended++) {
        const uint32_t count = 20;
        size_t size = s_fill (body, count, extended);
        assert_int_equal (s_check (body, size, count, extended, 64), LEAT_OK);
        assert_int_equal (s_check (body, size, count - 1, extended, 64), LEAT_MALFORMED);
        assert_int_equal (s_check (body, size, count + 1, extended, 64), LEAT_MALFORMED);
        assert_int_equal (s_check (body, size, UINT32_MAX, extended, 64), LEAT_MALFORMED);
        assert_int_equal (s_check (body, size, 0, extended, 64), LEAT_MALFORMED);
        for (size_t cut = 0; cut < size; cut++)
            assert_int_equal (s_check (body, cut, count, extended, 64), LEAT_MALFORMED);
        memset (body + size, 0, 8);
        assert_int_equal (s_check (body, size + 1, count, extended, 64), LEAT_MALFORMED);
        assert_int_equal (s_check (body, size + 4, count, extended, 64), LEAT_MALFORMED);
    }
    assert_int_equal (leat_batch_check (NULL, 0, 0, false, 64), LEAT_OK);
    assert_int_equal (leat_batch_check (NULL, 0, 1, false, 64), LEAT_MALFORMED);
}

static void test_record_size (void **state)
{
    uint8_t body[64];
    leat_record_t record = { .body = (const uint8_t *) "0123456789", .body_size = 10 };
    size_t size = leat_record_encode (&record, false, body);
    assert_int_equal (s_check (body, size, 1, false, 10), LEAT_OK);
    assert_int_equal (s_check (body, size, 1, false, 9), LEAT_TOO_LARGE);
    /* In an extended record the inner sizes count, as does all else between. */
    size = leat_record_encode (&record, true, body);
    assert_int_equal (s_check (body, size, 1, true, 14), LEAT_OK);
    assert_int_equal (s_check (body, size, 1, true, 13), LEAT_TOO_LARGE);
    /* Only the first record is too large; the second is no record. */
    memset (body, 0, sizeof body);
    body[0] = 11;
    body[15] = 0xff;
    assert_int_equal (s_check (body, 19, 2, false, 10), LEAT_TOO_LARGE);
    assert_int_equal (s_check (body, 19, 2, false, 11), LEAT_MALFORMED);
    /* Sizes that 32 bits cannot add 4 to. */
    memset (body, 0xff, 4);
    assert_int_equal (s_check (body, 64, 1, false, SIZE_MAX), LEAT_MALFORMED);
    body[0] = 0xfc;
    assert_int_equal (s_check (body, 64, 1, false, SIZE_MAX), LEAT_MALFORMED);
}

static void test_inner_damage (void **state)
{
    uint8_t body[64];
    leat_record_t record = {
        .key = (const uint8_t *) "k", .key_size = 1, .body = body, .body_size = 0
    };
    size_t size = leat_record_encode (&record, true, body);
    assert_int_equal (s_check (body, size, 1, true, 64), LEAT_OK);
    body[4] = 2;
    assert_int_equal (s_check (body, size, 1, true, 64), LEAT_MALFORMED);
    /* Nobody looks inside where nothing should be. */
    assert_int_equal (s_check (body, size, 1, false, 64), LEAT_OK);
}

static void test_skip (void **state)
{
    uint8_t body[2048];
    for (int extended = 0; extended <= 1; extended++) {
        size_t size = s_fill (body, 20, extended);
        size_t position = 0;
        for (uint32_t count = 0; count <= 20; count++) {
            assert_int_equal (leat_batch_skip (body, size, count), position);
            leat_record_t record;
            if (count < 20)
                position +=
                    leat_record_decode (&record, extended, body + position, size - position);
        }
        assert_int_equal (position, size);
    }
}

static void test_cost (void **state)
{
    assert_true (leat_batch_cost (0) == LEAT_BATCH_COST);
    assert_true (leat_batch_cost (100) == LEAT_BATCH_COST + 100);
}

int main (void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test (test_bytes_of_headers),
        cmocka_unit_test (test_sizes_of_headers),
        cmocka_unit_test (test_faults_of_headers),
        cmocka_unit_test (test_fields_of_headers),
        cmocka_unit_test (test_slices),
        cmocka_unit_test (test_bodies),
        cmocka_unit_test (test_record_size),
        cmocka_unit_test (test_inner_damage),
        cmocka_unit_test (test_skip),
        cmocka_unit_test (test_cost),
    };
    return cmocka_run_group_tests (tests, NULL, NULL);
}

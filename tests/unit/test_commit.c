/* Commits: every operation there and back, gathered and in one piece, damaged and cut short.
 * SPDX-License-Identifier: MPL-2.0 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "tests/unit/wire_sample.h"
#include "wire/commit.h"

static leat_slice_t s_no_body;

/* --- made from operations.def: fill, write, compare -------------------------------------------- */

static leat_slice_t s_body (sample_t *sample, leat_slice_t body)
{
    return sample_how (sample) == SMALLEST ? s_no_body : body;
}

#define U8(field) to->field = (uint8_t) sample_number (sample, UINT8_MAX);
#define U16(field) to->field = (uint16_t) sample_number (sample, UINT16_MAX);
#define U32(field) to->field = (uint32_t) sample_number (sample, UINT32_MAX);
#define U64(field) to->field = sample_number (sample, UINT64_MAX);
#define NAME(field) to->field = sample_text (sample, LEAT_NAME_MAX);
#define TEXT(field) to->field = sample_text (sample, LEAT_TEXT_MAX);
#define BLOB(field) to->field = sample_text (sample, LEAT_CHUNK_RECORDS / 8);
#define BODY(field) to->field = s_body (sample, body);
#define OPERATION(NAME_, name, number, fields)                                                     \
    static void s_fill_##name (sample_t *sample, leat_operation_t *operation, leat_slice_t body)   \
    {                                                                                              \
        leat_operation_##name##_t *to = &operation->name;                                          \
        operation->id = (number);                                                                  \
        (void) body;                                                                               \
        fields                                                                                     \
    }
#include "wire/operations.def"
#undef OPERATION
#undef U8
#undef U16
#undef U32
#undef U64
#undef NAME
#undef TEXT
#undef BLOB
#undef BODY

static void s_put_body (sample_t *sample, leat_slice_t body)
{
    leat_text_t text = { (const char *) leat_slice_bytes (body), body.size };
    sample_put_text (sample, text, 4);
}

#define U8(field) sample_put (sample, from->field, 1);
#define U16(field) sample_put (sample, from->field, 2);
#define U32(field) sample_put (sample, from->field, 4);
#define U64(field) sample_put (sample, from->field, 8);
#define NAME(field) sample_put_text (sample, from->field, 1);
#define TEXT(field) sample_put_text (sample, from->field, 2);
#define BLOB(field) sample_put_text (sample, from->field, 4);
#define BODY(field) s_put_body (sample, from->field);
#define OPERATION(NAME_, name, number, fields)                                                     \
    static void s_write_##name (sample_t *sample, const leat_operation_t *operation)               \
    {                                                                                              \
        const leat_operation_##name##_t *from = &operation->name;                                  \
        fields                                                                                     \
    }
#include "wire/operations.def"
#undef OPERATION
#undef U8
#undef U16
#undef U32
#undef U64
#undef NAME
#undef TEXT
#undef BLOB
#undef BODY

static void s_compare_texts (leat_text_t a, leat_text_t b)
{
    assert_int_equal (a.size, b.size);
    if (a.size)
        assert_memory_equal (a.data, b.data, a.size);
}

static void s_compare_bodies (leat_slice_t a, leat_slice_t b)
{
    assert_int_equal (a.size, b.size);
    if (a.size)
        assert_memory_equal (leat_slice_bytes (a), leat_slice_bytes (b), a.size);
}

#define U8(field) assert_int_equal (a->field, b->field);
#define U16(field) assert_int_equal (a->field, b->field);
#define U32(field) assert_int_equal (a->field, b->field);
#define U64(field) assert_true (a->field == b->field);
#define NAME(field) s_compare_texts (a->field, b->field);
#define TEXT(field) s_compare_texts (a->field, b->field);
#define BLOB(field) s_compare_texts (a->field, b->field);
#define BODY(field) s_compare_bodies (a->field, b->field);
#define OPERATION(NAME_, name, number, fields)                                                     \
    static void s_compare_##name (const leat_operation_t *left, const leat_operation_t *right)     \
    {                                                                                              \
        const leat_operation_##name##_t *a = &left->name, *b = &right->name;                       \
        fields                                                                                     \
    }
#include "wire/operations.def"
#undef OPERATION
#undef U8
#undef U16
#undef U32
#undef U64
#undef NAME
#undef TEXT
#undef BLOB
#undef BODY

typedef struct {
    const char *name;
    uint8_t id;
    void (*fill) (sample_t *sample, leat_operation_t *operation, leat_slice_t body);
    void (*write) (sample_t *sample, const leat_operation_t *operation);
    void (*compare) (const leat_operation_t *a, const leat_operation_t *b);
} kind_t;

static const kind_t s_kinds[] = {
#define OPERATION(NAME_, name, number, fields)                                                     \
    { #NAME_, number, s_fill_##name, s_write_##name, s_compare_##name },
#include "wire/operations.def"
#undef OPERATION
};
enum { KINDS = sizeof s_kinds / sizeof s_kinds[0] };

/* --- helpers ----------------------------------------------------------------------------------- */

static void s_count_free (void *hint)
{
    ++*(int *) hint;
}

static void s_append_part (void *arg, const uint8_t *bytes, size_t size)
{
    sample_t *gathered = arg;
    assert_true (size > 0);
    memcpy (gathered->bytes + gathered->size, bytes, size);
    gathered->size += size;
}

static void s_put_header (sample_t *sample, uint64_t id, uint32_t chain, uint32_t operations)
{
    sample->size = 0;
    memcpy (sample->bytes, "LCOM\1\0\0\0", 8);
    sample->size = 8;
    sample_put (sample, id, 8);
    sample_put (sample, chain, 4);
    sample_put (sample, operations, 4);
}

/* The second writer's form of an operation. */
static void s_put_operation (sample_t *sample, const kind_t *kind,
                             const leat_operation_t *operation)
{
    sample_put (sample, kind->id, 1);
    size_t size_at = sample->size;
    sample_put (sample, 0, 4);
    kind->write (sample, operation);
    size_t end = sample->size;
    sample->size = size_at;
    sample_put (sample, end - size_at - 4, 4);
    sample->size = end;
}

static leat_code_t s_read_all (leat_buffer_t *buffer)
{
    leat_commit_reader_t reader;
    leat_operation_t operation;
    if (leat_commit_read (&reader, buffer) != LEAT_OK)
        return LEAT_MALFORMED;
    while (reader.left > 0)
        if (leat_commit_read_operation (&reader, &operation) != LEAT_OK)
            return LEAT_MALFORMED;
    return leat_commit_read_end (&reader);
}

static leat_code_t s_read_bytes (const uint8_t *bytes, size_t size)
{
    leat_buffer_t *buffer = leat_buffer_copy (bytes, size);
    leat_code_t code = s_read_all (buffer);
    leat_buffer_release (&buffer);
    return code;
}

/* --- tests ------------------------------------------------------------------------------------- */

static void test_every_operation (void **state)
{
    static const char records[] = "what the records of a batch would be";
    sample_t *sample = sample_new (1), *gathered = sample_new (2);
    leat_buffer_t *buffer = leat_buffer_copy (records, sizeof records);
    leat_slice_t body = { buffer, 5, 20 };
    for (int kind = 0; kind < KINDS; kind++) {
        for (int how = SMALLEST; how <= RANDOM; how++) {
            leat_operation_t operation, read;
            leat_commit_t *commit = leat_commit_new (UINT64_MAX - 7, 0x01020304);
            sample_begin (sample, (sample_how_t) how, -1, RANDOM);
            s_kinds[kind].fill (sample, &operation, body);
            s_put_header (sample, UINT64_MAX - 7, 0x01020304, 2);
            /* Twice, so that something follows a body. */
            for (int time = 0; time < 2; time++) {
                leat_commit_add (commit, &operation);
                s_put_operation (sample, &s_kinds[kind], &operation);
            }
            assert_int_equal (leat_commit_size (commit), sample->size);
            leat_buffer_t *encoded = leat_commit_encode (commit);
            assert_int_equal (leat_buffer_size (encoded), sample->size);
            assert_memory_equal (leat_buffer_bytes (encoded), sample->bytes, sample->size);
            gathered->size = 0;
            leat_commit_gather (commit, s_append_part, gathered);
            assert_int_equal (gathered->size, sample->size);
            assert_memory_equal (gathered->bytes, sample->bytes, sample->size);

            leat_commit_walk_t walk;
            leat_commit_walk (&walk, commit);
            assert_int_equal (walk.left, 2);
            for (int time = 0; time < 2; time++) {
                leat_commit_walk_next (&walk, &read);
                assert_int_equal (read.id, s_kinds[kind].id);
                s_kinds[kind].compare (&operation, &read);
            }
            assert_int_equal (walk.left, 0);

            leat_commit_reader_t reader;
            assert_int_equal (leat_commit_read (&reader, encoded), LEAT_OK);
            assert_true (reader.id == UINT64_MAX - 7);
            assert_int_equal (reader.chain, 0x01020304);
            assert_int_equal (reader.left, 2);
            for (int time = 0; time < 2; time++) {
                assert_int_equal (leat_commit_read_operation (&reader, &read), LEAT_OK);
                assert_int_equal (read.id, s_kinds[kind].id);
                s_kinds[kind].compare (&operation, &read);
            }
            assert_int_equal (leat_commit_read_end (&reader), LEAT_OK);
            leat_buffer_release (&encoded);
            leat_commit_destroy (&commit);
        }
    }
    leat_buffer_release (&buffer);
    free (gathered);
    free (sample);
}

static void test_many_operations (void **state)
{
    enum { OPERATIONS = 200 };
    sample_t *sample = sample_new (3);
    sample_t *gathered = sample_new (4);
    int freed = 0;
    leat_buffer_t *buffer = leat_buffer_wrap (sample->text, 4096, s_count_free, &freed);
    leat_commit_t *commit = leat_commit_new (12, 1);
    s_put_header (sample, 12, 1, OPERATIONS);
    for (uint32_t index = 0; index < OPERATIONS; index++) {
        leat_slice_t body = { buffer, index, 1 + index * 7 % 300 };
        leat_operation_t operation;
        const kind_t *kind = &s_kinds[sample_random (sample) % KINDS];
        sample_begin (sample, RANDOM, -1, RANDOM);
        kind->fill (sample, &operation, body);
        leat_commit_add (commit, &operation);
        s_put_operation (sample, kind, &operation);
    }
    assert_true (leat_commit_id (commit) == 12);
    assert_int_equal (leat_commit_chain (commit), 1);
    assert_int_equal (leat_commit_operations (commit), OPERATIONS);

    /* The commit has references of its own and needs nobody else's. */
    leat_buffer_release (&buffer);
    assert_int_equal (freed, 0);
    leat_commit_gather (commit, s_append_part, gathered);
    assert_int_equal (gathered->size, sample->size);
    assert_int_equal (leat_commit_size (commit), sample->size);
    assert_memory_equal (gathered->bytes, sample->bytes, sample->size);
    assert_int_equal (s_read_bytes (gathered->bytes, gathered->size), LEAT_OK);

    /* Walked through and added to another one, it gives the same bytes. */
    leat_commit_t *again = leat_commit_new (12, 1);
    leat_commit_walk_t walk;
    for (leat_commit_walk (&walk, commit); walk.left;) {
        leat_operation_t operation;
        leat_commit_walk_next (&walk, &operation);
        leat_commit_add (again, &operation);
    }
    leat_buffer_t *encoded = leat_commit_encode (again);
    assert_int_equal (leat_buffer_size (encoded), sample->size);
    assert_memory_equal (leat_buffer_bytes (encoded), sample->bytes, sample->size);
    leat_buffer_release (&encoded);
    leat_commit_destroy (&again);
    leat_commit_destroy (&commit);
    assert_int_equal (freed, 1);
    assert_null (commit);
    leat_commit_destroy (&commit);
    free (gathered);
    free (sample);
}

static void test_bodies_are_not_copied (void **state)
{
    uint8_t block[64] = { 0 };
    int freed = 0;
    leat_buffer_t *buffer = leat_buffer_wrap (block, sizeof block, s_count_free, &freed);
    leat_commit_t *commit = leat_commit_new (1, 1);
    leat_operation_t operation = {
        .id = LEAT_OPERATION_APPEND,
        .append = { .stream = 1, .count = 1, .body = { buffer, 8, 16 } },
    };
    leat_commit_add (commit, &operation);
    leat_buffer_release (&buffer);
    memcpy (block + 8, "written after it", sizeof "written after it" - 1);
    leat_buffer_t *encoded = leat_commit_encode (commit);
    size_t size = leat_buffer_size (encoded);
    assert_memory_equal (leat_buffer_bytes (encoded) + size - 16, "written after it", 16);

    /* What is read borrows from the encoded buffer. */
    leat_commit_reader_t reader;
    assert_int_equal (leat_commit_read (&reader, encoded), LEAT_OK);
    assert_int_equal (leat_commit_read_operation (&reader, &operation), LEAT_OK);
    assert_ptr_equal (operation.append.body.buffer, encoded);
    assert_int_equal (operation.append.body.offset, size - 16);
    leat_buffer_release (&encoded);
    leat_commit_destroy (&commit);
    assert_int_equal (freed, 1);
}

static void test_empty_commit (void **state)
{
    leat_commit_t *commit = leat_commit_new (0, 0);
    leat_buffer_t *encoded = leat_commit_encode (commit);
    assert_int_equal (leat_buffer_size (encoded), LEAT_COMMIT_HEADER_SIZE);
    assert_int_equal (s_read_all (encoded), LEAT_OK);
    leat_buffer_release (&encoded);
    leat_commit_destroy (&commit);
}

static void test_damaged (void **state)
{
    sample_t *sample = sample_new (5);
    s_put_header (sample, 1, 1, 2);
    for (int time = 0; time < 2; time++) {
        leat_operation_t operation;
        sample_begin (sample, RANDOM, -1, RANDOM);
        s_kinds[0].fill (sample, &operation, s_no_body);
        s_put_operation (sample, &s_kinds[0], &operation);
    }
    size_t size = sample->size;
    assert_int_equal (s_read_bytes (sample->bytes, size), LEAT_OK);
    for (size_t cut = 0; cut < size; cut++)
        assert_int_equal (s_read_bytes (sample->bytes, cut), LEAT_MALFORMED);
    assert_int_equal (s_read_bytes (sample->bytes, size + 1), LEAT_MALFORMED);

    static const struct {
        size_t at;
        uint8_t value;
    } changes[] = {
        { 0, 'l' }, { 4, 0 },  { 4, 2 },  { 5, 1 },   { 6, 1 },  { 7, 1 },    { 20, 1 },
        { 20, 3 },  { 23, 1 }, { 24, 0 }, { 24, 99 }, { 25, 0 }, { 28, 255 },
    };
    for (size_t index = 0; index < sizeof changes / sizeof changes[0]; index++) {
        uint8_t before = sample->bytes[changes[index].at];
        sample->bytes[changes[index].at] = changes[index].value;
        assert_int_equal (s_read_bytes (sample->bytes, size), LEAT_MALFORMED);
        sample->bytes[changes[index].at] = before;
    }
    assert_int_equal (s_read_bytes (sample->bytes, size), LEAT_OK);
    free (sample);
}

static void test_operation_names (void **state)
{
    bool known[256] = { false };
    for (int kind = 0; kind < KINDS; kind++) {
        assert_false (known[s_kinds[kind].id]);
        known[s_kinds[kind].id] = true;
        assert_string_equal (leat_operation_name (s_kinds[kind].id), s_kinds[kind].name);
    }
    for (unsigned id = 0; id <= UINT8_MAX; id++)
        if (!known[id])
            assert_string_equal (leat_operation_name (id), "UNKNOWN");
}

int main (void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test (test_every_operation),
        cmocka_unit_test (test_many_operations),
        cmocka_unit_test (test_bodies_are_not_copied),
        cmocka_unit_test (test_empty_commit),
        cmocka_unit_test (test_damaged),
        cmocka_unit_test (test_operation_names),
    };
    return cmocka_run_group_tests (tests, NULL, NULL);
}

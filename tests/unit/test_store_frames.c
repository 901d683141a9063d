/* Frames of the journal: none is taken that is not whole, or not for this transaction of this broker.
 * SPDX-License-Identifier: MPL-2.0 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <string.h>

#include "broker/store/lmdb_frames.h"
#include "wire/bytes.h"

enum {
    BLOCK = LEAT_LMDB_FRAME_BLOCK,
    HEADER = LEAT_LMDB_FRAME_HEADER,
    IMAGE_SIZE = 8 * BLOCK,
    SIZE = 100
};

static const leat_lmdb_frames_t s_begin = { .key = 0x1122334455667788, .transaction = 7 };
static uint8_t s_image[IMAGE_SIZE];

/* Puts a frame of one commit of `size` letters at the place, and goes on. */
static void s_put (leat_lmdb_frames_t *place, char letter, uint32_t size)
{
    uint8_t *frame = s_image + place->position;
    leat_put_u32 (frame + HEADER, size);
    memset (frame + HEADER + LEAT_LMDB_FRAME_COMMIT, letter, size);
    size += HEADER + LEAT_LMDB_FRAME_COMMIT;
    leat_lmdb_frames_seal (place, frame, size);
    leat_lmdb_frames_pass (place, size);
}

/* These letters come, and then nothing. */
static void s_expect (const char *letters, bool damaged)
{
    leat_lmdb_frames_t place = s_begin;
    const uint8_t *commits;
    uint32_t size;
    size_t count = 0;
    while ((commits = leat_lmdb_frames_next (&place, s_image, IMAGE_SIZE, &size))) {
        uint32_t at = 0;
        uint32_t commit_size;
        const uint8_t *commit = leat_lmdb_frames_commit (commits, size, &at, &commit_size);
        assert_non_null (commit);
        assert_int_equal (commit[0], letters[count++]);
        assert_int_equal (commit[commit_size - 1], commit[0]);
        assert_null (leat_lmdb_frames_commit (commits, size, &at, &commit_size));
        assert_int_equal (at, size);
    }
    assert_int_equal (count, strlen (letters));
    assert_int_equal (leat_lmdb_frames_damaged (&place, s_image, IMAGE_SIZE), damaged);
}

static leat_lmdb_frames_t s_three (void)
{
    leat_lmdb_frames_t place = s_begin;
    memset (s_image, 0, sizeof s_image);
    s_put (&place, 'a', SIZE);
    s_put (&place, 'b', 2 * BLOCK);
    s_put (&place, 'c', SIZE);
    return place;
}

static void test_frames_come_in_order (void **state)
{
    leat_lmdb_frames_t place = s_three ();
    assert_int_equal (place.position, 5 * BLOCK);
    s_expect ("abc", false);
}

static void test_frames_of_others_are_none (void **state)
{
    leat_lmdb_frames_t place = s_three ();
    leat_lmdb_frames_t other = place;
    other.key ^= 1;
    s_put (&other, 'x', SIZE);
    s_expect ("abc", false);
    other = place;
    other.transaction--;
    s_put (&other, 'x', SIZE);
    s_expect ("abc", false);
    other = place;
    other.transaction++;
    s_put (&other, 'x', SIZE);
    s_expect ("abc", false);
    other = place;
    other.number--;
    s_put (&other, 'x', SIZE);
    s_expect ("abc", false);
    s_put (&place, 'd', SIZE);
    s_expect ("abcd", false);
}

/* Whichever byte of it it is; that others follow tells that it was confirmed. */
static void test_frames_that_are_damaged (void **state)
{
    leat_lmdb_frames_t place = s_three ();
    size_t last = place.position - BLOCK;
    for (size_t i = 0; i < HEADER + LEAT_LMDB_FRAME_COMMIT + SIZE; i++) {
        s_image[last + i] ^= 1;
        s_expect ("ab", false);
        s_image[last + i] ^= 1;
        s_image[BLOCK + i] ^= 1;
        s_expect ("a", true);
        s_image[BLOCK + i] ^= 1;
        s_image[i] ^= 1;
        s_expect ("", true);
        s_image[i] ^= 1;
    }
    s_expect ("abc", false);
}

/* A torn one: some of its blocks are those that were there before. */
static void test_frames_that_are_torn (void **state)
{
    for (size_t block = 1; block < 4; block++) {
        leat_lmdb_frames_t place = s_begin;
        memset (s_image, 0, sizeof s_image);
        s_put (&place, 'a', SIZE);
        s_put (&place, 'b', 2 * BLOCK);
        memset (s_image + block * BLOCK, 0, BLOCK);
        s_expect ("a", false);
    }
}

/* Sizes that reach beyond the image, or the frame. */
static void test_sizes_that_cannot_be (void **state)
{
    uint32_t size;
    leat_lmdb_frames_t place = s_three ();
    for (size_t image = 0; image < place.position; image += 100) {
        leat_lmdb_frames_t walk = s_begin;
        while (leat_lmdb_frames_next (&walk, s_image, image, &size))
            assert_true (walk.position <= image + BLOCK);
        assert_true (walk.number < 3 || image > place.position - BLOCK);
    }
    const uint8_t commits[] = { 5, 0, 0, 0, 'a', 'b', 'c', 'd' };
    for (uint32_t i = 1; i <= sizeof commits; i++) {
        uint32_t at = 0;
        uint32_t commit_size;
        assert_null (leat_lmdb_frames_commit (commits, i, &at, &commit_size));
        assert_int_equal (at, 0);
    }
}

int main (void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test (test_frames_come_in_order),
        cmocka_unit_test (test_frames_of_others_are_none),
        cmocka_unit_test (test_frames_that_are_damaged),
        cmocka_unit_test (test_frames_that_are_torn),
        cmocka_unit_test (test_sizes_that_cannot_be),
    };
    return cmocka_run_group_tests (tests, NULL, NULL);
}

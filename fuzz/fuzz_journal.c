/* Any bytes as a journal: what is read of it is inside of it, and what was sealed is read again.
 * SPDX-License-Identifier: MPL-2.0 */
#include "fuzz/fuzz.h"

#include <stdlib.h>
#include <string.h>

#include "broker/store/lmdb_frames.h"
#include "wire/alloc.h"
#include "wire/assert.h"
#include "wire/bytes.h"

/* make-corpus has them, too. */
static const leat_lmdb_frames_t s_begin = { .key = 0x1122334455667788, .transaction = 7 };

static void s_walk_commits (const uint8_t *commits, uint32_t size)
{
    const uint8_t *commit;
    uint32_t commit_size;
    uint32_t before = 0;
    for (uint32_t at = 0; (commit = leat_lmdb_frames_commit (commits, size, &at, &commit_size));
         before = at) {
        leat_assert (commit == commits + before + LEAT_LMDB_FRAME_COMMIT);
        leat_assert (at == before + LEAT_LMDB_FRAME_COMMIT + commit_size && at <= size);
    }
}

/* Returns how many frames there are. */
static uint32_t s_walk (const uint8_t *image, size_t image_size)
{
    leat_lmdb_frames_t place = s_begin;
    const uint8_t *commits;
    uint32_t size;
    uint32_t before = 0;
    while ((commits = leat_lmdb_frames_next (&place, image, image_size, &size))) {
        leat_assert (commits == image + before + LEAT_LMDB_FRAME_HEADER);
        leat_assert (size <= image_size - before - LEAT_LMDB_FRAME_HEADER);
        s_walk_commits (commits, size);
        before = place.position;
    }
    (void) leat_lmdb_frames_damaged (&place, image, image_size);
    return place.number;
}

/* Makes frames of what is there, of the sizes that it says, so that checksums keep nothing from being looked at. */
static uint32_t s_seal_all (uint8_t *image, uint32_t size)
{
    leat_lmdb_frames_t place = s_begin;
    while (place.position < size) {
        uint8_t *frame = image + place.position;
        uint32_t room = size - place.position;
        if (room > LEAT_LMDB_FRAME_MAX)
            room = LEAT_LMDB_FRAME_MAX;
        uint32_t commits = leat_get_u32 (frame + 28) % (room - LEAT_LMDB_FRAME_HEADER + 1);
        leat_lmdb_frames_seal (&place, frame, LEAT_LMDB_FRAME_HEADER + commits);
        leat_lmdb_frames_pass (&place, LEAT_LMDB_FRAME_HEADER + commits);
    }
    return place.number;
}

int LLVMFuzzerTestOneInput (const uint8_t *data, size_t size)
{
    s_walk (data, size);
    uint32_t blocks = (uint32_t) (size - size % LEAT_LMDB_FRAME_BLOCK);
    if (!blocks)
        return 0;
    uint8_t *image = leat_alloc (blocks);
    memcpy (image, data, blocks);
    uint32_t count = s_seal_all (image, blocks);
    leat_assert (s_walk (image, blocks) == count);
    /* A frame that others follow is missed. */
    leat_lmdb_frames_t place = s_begin;
    image[0] ^= 1;
    bool damaged = leat_lmdb_frames_damaged (&place, image, blocks);
    leat_assert (
        damaged || count < 2); /* a frame may have another one in it, of a key that is known here */
    leat_assert (s_walk (image, blocks) == 0);
    free (image);
    return 0;
}

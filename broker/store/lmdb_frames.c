/* What the bytes of a journal mean.
 * SPDX-License-Identifier: MPL-2.0 */
#include "broker/store/lmdb_frames.h"

#include <string.h>

#include "wire/bytes.h"
#include "wire/crc32c.h"

#define SIGNATURE UINT32_C (0x4e524a4c) /* "LJRN" */

enum {
    CHECKSUM_SIZE = 4,
    HEADER = LEAT_LMDB_FRAME_HEADER,
    BLOCK = LEAT_LMDB_FRAME_BLOCK,
    COMMIT_HEADER = LEAT_LMDB_FRAME_COMMIT
};

uint32_t leat_lmdb_frames_blocks (size_t size)
{
    return (uint32_t) ((size + BLOCK - 1) / BLOCK * BLOCK);
}

void leat_lmdb_frames_seal (const leat_lmdb_frames_t *self, uint8_t *frame, uint32_t size)
{
    memset (frame + size, 0, leat_lmdb_frames_blocks (size) - size);
    leat_put_u32 (frame + 4, SIGNATURE);
    leat_put_u64 (frame + 8, self->key);
    leat_put_u64 (frame + 16, self->transaction);
    leat_put_u32 (frame + 24, self->number);
    leat_put_u32 (frame + 28, size - HEADER);
    leat_put_u32 (frame, leat_crc32c (frame + CHECKSUM_SIZE, size - CHECKSUM_SIZE));
}

void leat_lmdb_frames_pass (leat_lmdb_frames_t *self, uint32_t size)
{
    self->number++;
    self->position += leat_lmdb_frames_blocks (size);
}

/* A whole frame of the transaction, whatever its number. */
static bool s_is_frame (const leat_lmdb_frames_t *self, const uint8_t *frame, size_t room)
{
    if (room > LEAT_LMDB_FRAME_MAX)
        room = LEAT_LMDB_FRAME_MAX;
    if (room < HEADER || leat_get_u32 (frame + 4) != SIGNATURE
        || leat_get_u64 (frame + 8) != self->key || leat_get_u64 (frame + 16) != self->transaction)
        return false;
    uint32_t size = leat_get_u32 (frame + 28);
    return size <= room - HEADER
           && leat_crc32c (frame + CHECKSUM_SIZE, HEADER - CHECKSUM_SIZE + size)
                  == leat_get_u32 (frame);
}

const uint8_t *leat_lmdb_frames_next (leat_lmdb_frames_t *self, const uint8_t *image,
                                      size_t image_size, uint32_t *size)
{
    if (self->position >= image_size)
        return NULL;
    const uint8_t *frame = image + self->position;
    if (!s_is_frame (self, frame, image_size - self->position)
        || leat_get_u32 (frame + 24) != self->number)
        return NULL;
    *size = leat_get_u32 (frame + 28);
    leat_lmdb_frames_pass (self, HEADER + *size);
    return frame + HEADER;
}

bool leat_lmdb_frames_damaged (const leat_lmdb_frames_t *self, const uint8_t *image,
                               size_t image_size)
{
    for (size_t at = (size_t) self->position + BLOCK; at < image_size; at += BLOCK)
        if (s_is_frame (self, image + at, image_size - at)
            && leat_get_u32 (image + at + 24) > self->number)
            return true;
    return false;
}

const uint8_t *leat_lmdb_frames_commit (const uint8_t *commits, uint32_t size, uint32_t *position,
                                        uint32_t *commit_size)
{
    uint32_t left = size - *position;
    const uint8_t *commit = commits + *position;
    if (left < COMMIT_HEADER || leat_get_u32 (commit) > left - COMMIT_HEADER)
        return NULL;
    *commit_size = leat_get_u32 (commit);
    *position += COMMIT_HEADER + *commit_size;
    return commit + COMMIT_HEADER;
}

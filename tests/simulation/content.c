/* What a record holds: the name of the record and bytes that follow from it.
 * SPDX-License-Identifier: MPL-2.0 */
#include "tests/simulation/content.h"
#include "tests/simulation/random.h"
#include "wire/assert.h"
#include "wire/record.h"

#include <string.h>

enum {
    SIGNATURE = 0x314d4953, /* "SIM1" */
    NAME_SIZE = 4 + 2 + 2 + 2 + 8
};

uint64_t sim_content_hash (uint64_t seed, const sim_content_t *content, unsigned use)
{
    uint64_t hash = sim_mix (seed ^ ((uint64_t) use << 56));
    hash = sim_mix (hash ^ content->author);
    hash = sim_mix (hash ^ content->identity);
    hash = sim_mix (hash ^ content->stream);
    return sim_mix (hash ^ content->sequence);
}

bool sim_content_extended (uint64_t seed, const sim_content_t *content)
{
    sim_content_t run = *content;
    run.sequence /= seed % 4 ? 16 : 256;
    return sim_content_hash (seed, &run, 1) % 4 == 0;
}

static void s_put (uint8_t **at, const void *bytes, size_t size)
{
    memcpy (*at, bytes, size);
    *at += size;
}

static void s_fill (uint8_t *bytes, size_t size, uint64_t state)
{
    for (size_t index = 0; index < size; index += 8) {
        state = sim_mix (state);
        memcpy (bytes + index, &state, size - index < 8 ? size - index : 8);
    }
}

/* Mostly small, sometimes as large as allowed. */
static size_t s_filler_size (uint64_t seed, uint64_t hash, size_t room)
{
    size_t small = seed % 4 ? 200 : 20;
    size_t wanted = hash % 16 == 0 ? (hash >> 8) % 4096 : (hash >> 8) % small;
    if (seed % 8 == 0)
        wanted %= small;
    return wanted < room ? wanted : room;
}

size_t sim_content_encode (uint64_t seed, const sim_content_t *content, size_t size_max,
                           uint8_t *bytes)
{
    bool extended = sim_content_extended (seed, content);
    uint64_t hash = sim_content_hash (seed, content, 2);
    uint8_t body[SIM_CONTENT_SIZE_MAX];
    uint8_t key[16];
    uint8_t headers[64];
    leat_record_t record = { .body = body };
    size_t used = NAME_SIZE;

    if (extended) {
        record.key = key;
        record.key_size = hash % sizeof key;
        s_fill (key, record.key_size, hash ^ 3);
        record.headers = headers;
        record.headers_size =
            leat_header_encode (leat_text ("trace"), leat_text ("simulated"), headers);
        used += 4 + record.key_size + record.headers_size;
    }
    leat_assert (size_max >= 128 && size_max <= SIM_CONTENT_SIZE_MAX - 64);
    size_t filler = s_filler_size (seed, hash, size_max - used);
    uint8_t *at = body;
    uint32_t signature = SIGNATURE;
    s_put (&at, &signature, 4);
    s_put (&at, &content->author, 2);
    s_put (&at, &content->identity, 2);
    s_put (&at, &content->stream, 2);
    s_put (&at, &content->sequence, 8);
    s_fill (at, filler, hash);
    record.body_size = NAME_SIZE + filler;
    return leat_record_encode (&record, extended, bytes);
}

bool sim_content_decode (sim_content_t *content, bool extended, const uint8_t *bytes, size_t size)
{
    leat_record_t record;
    size_t taken = leat_record_decode (&record, extended, bytes, size);
    uint32_t signature;
    if (taken != size || record.body_size < NAME_SIZE)
        return false;
    const uint8_t *at = record.body;
    memcpy (&signature, at, 4);
    memcpy (&content->author, at + 4, 2);
    memcpy (&content->identity, at + 6, 2);
    memcpy (&content->stream, at + 8, 2);
    memcpy (&content->sequence, at + 10, 8);
    return signature == SIGNATURE;
}

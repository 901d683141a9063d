/* Payloads of the tests with faults.
 * SPDX-License-Identifier: MPL-2.0 */
#include "tests/system/faults/payload.h"

#include <string.h>

enum { S_SMALL = 400, S_LARGE_ONE_IN = 200, S_MIDDLE_ONE_IN = 20 };

static const uint64_t S_MAGIC = 0x3174617065616cULL;

/* SplitMix64 (Steele, Lea, Flood: Fast splittable pseudorandom number generators, 2014). */
uint64_t fault_random (uint64_t *state)
{
    uint64_t mix = *state += 0x9e3779b97f4a7c15ULL;
    mix = (mix ^ (mix >> 30)) * 0xbf58476d1ce4e5b9ULL;
    mix = (mix ^ (mix >> 27)) * 0x94d049bb133111ebULL;
    return mix ^ (mix >> 31);
}

static uint64_t s_state (uint64_t seed, uint64_t producer, uint64_t sequence)
{
    uint64_t state = seed;
    state = fault_random (&state) ^ producer;
    return fault_random (&state) ^ sequence;
}

size_t fault_payload_size (uint64_t seed, uint64_t producer, uint64_t sequence, size_t size_max)
{
    uint64_t state = ~s_state (seed, producer, sequence);
    size_t limit = S_SMALL;
    uint64_t which = fault_random (&state);
    if (which % S_LARGE_ONE_IN == 0)
        limit = size_max;
    else if (which % S_MIDDLE_ONE_IN == 0)
        limit = size_max / 20;
    if (limit > size_max)
        limit = size_max;
    if (limit <= FAULT_PAYLOAD_MIN)
        return FAULT_PAYLOAD_MIN;
    return FAULT_PAYLOAD_MIN + fault_random (&state) % (limit - FAULT_PAYLOAD_MIN + 1);
}

void fault_payload_write (uint64_t seed, uint64_t producer, uint64_t sequence, uint8_t *bytes,
                          size_t size)
{
    uint64_t head[FAULT_PAYLOAD_MIN / 8] = { S_MAGIC, producer, sequence, size };
    memcpy (bytes, head, FAULT_PAYLOAD_MIN);
    uint64_t state = s_state (seed, producer, sequence);
    for (size_t at = FAULT_PAYLOAD_MIN; at < size; at += 8) {
        uint64_t word = fault_random (&state);
        memcpy (bytes + at, &word, size - at < 8 ? size - at : 8);
    }
}

bool fault_payload_read (const uint8_t *bytes, size_t size, uint64_t *producer, uint64_t *sequence)
{
    uint64_t head[FAULT_PAYLOAD_MIN / 8];
    if (size < FAULT_PAYLOAD_MIN)
        return false;
    memcpy (head, bytes, FAULT_PAYLOAD_MIN);
    *producer = head[1];
    *sequence = head[2];
    return head[0] == S_MAGIC && head[3] == size;
}

uint64_t fault_payload_hash (const uint8_t *bytes, size_t size)
{
    uint64_t hash = size;
    for (size_t at = 0; at < size; at += 8) {
        uint64_t word = 0;
        memcpy (&word, bytes + at, size - at < 8 ? size - at : 8);
        hash ^= word;
        hash = fault_random (&hash);
    }
    return hash;
}

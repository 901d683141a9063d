/* What a record holds, derived from who published it, so that payloads can be compared.
 * SPDX-License-Identifier: MPL-2.0 */
#ifndef LEAT_SIMULATION_CONTENT_H
#define LEAT_SIMULATION_CONTENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    SIM_CONTENT_SIZE_MAX = 8192 /* of an encoded record */
};

/* Names a record; the body says so itself, and everything else in it follows. */
typedef struct {
    uint16_t author; /* 0: an honest producer; otherwise the number of a liar */
    uint16_t identity;
    uint16_t stream;
    uint64_t sequence;
} sim_content_t;

/* A number that depends on nothing but the seed and the record. `use` makes several of them. */
uint64_t sim_content_hash (uint64_t seed, const sim_content_t *content, unsigned use);

/* True if the record has a key and headers. Changes every few records of a producer. */
bool sim_content_extended (uint64_t seed, const sim_content_t *content);

/* Writes the record as wire/record.h has it; at most SIM_CONTENT_SIZE_MAX bytes. `size_max` bounds
 * the record's size as limits count it. Returns the bytes written. */
size_t sim_content_encode (uint64_t seed, const sim_content_t *content, size_t size_max,
                           uint8_t *bytes);

/* Reads from an encoded record which one it is. False if it is none of the simulator's. */
bool sim_content_decode (sim_content_t *content, bool extended, const uint8_t *bytes, size_t size);

#endif

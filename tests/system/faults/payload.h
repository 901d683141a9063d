/* What a record of the tests with faults holds; everything follows from a seed and two numbers.
 * SPDX-License-Identifier: MPL-2.0 */
#ifndef LEAT_FAULTS_PAYLOAD_H
#define LEAT_FAULTS_PAYLOAD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*      0         8           16         24       32
 *      | magic   | producer  | sequence | size   | bytes that follow from seed, producer, sequence ...
 *
 * So whoever has the seed can make any payload again and compare all of it. */
enum { FAULT_PAYLOAD_MIN = 32 };

/* The next number of a sequence that depends on nothing but where *state began. */
uint64_t fault_random (uint64_t *state);

/* How large the payload is: mostly small, some of up to `size_max` bytes. */
size_t fault_payload_size (uint64_t seed, uint64_t producer, uint64_t sequence, size_t size_max);

/* Writes the `size` bytes (at least FAULT_PAYLOAD_MIN) of a payload. */
void fault_payload_write (uint64_t seed, uint64_t producer, uint64_t sequence, uint8_t *bytes,
                          size_t size);

/* Which payload the bytes say that they are. False if they cannot be one. */
bool fault_payload_read (const uint8_t *bytes, size_t size, uint64_t *producer, uint64_t *sequence);

/* A number that differs, but for one chance in 2^64, where bytes differ. */
uint64_t fault_payload_hash (const uint8_t *bytes, size_t size);

#endif

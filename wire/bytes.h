/* Integers in bytes: unsigned, little-endian, at any address.
 * SPDX-License-Identifier: MPL-2.0 */
#ifndef LEAT_WIRE_BYTES_H
#define LEAT_WIRE_BYTES_H

#include <endian.h>
#include <stdint.h>
#include <string.h>

/* memcpy of a constant size becomes one load or store; no alignment is assumed. */

static inline uint16_t leat_get_u16 (const uint8_t *bytes)
{
    uint16_t value;
    memcpy (&value, bytes, sizeof value);
    return le16toh (value);
}

static inline uint32_t leat_get_u32 (const uint8_t *bytes)
{
    uint32_t value;
    memcpy (&value, bytes, sizeof value);
    return le32toh (value);
}

static inline uint64_t leat_get_u64 (const uint8_t *bytes)
{
    uint64_t value;
    memcpy (&value, bytes, sizeof value);
    return le64toh (value);
}

static inline void leat_put_u16 (uint8_t *bytes, uint16_t value)
{
    value = htole16 (value);
    memcpy (bytes, &value, sizeof value);
}

static inline void leat_put_u32 (uint8_t *bytes, uint32_t value)
{
    value = htole32 (value);
    memcpy (bytes, &value, sizeof value);
}

static inline void leat_put_u64 (uint8_t *bytes, uint64_t value)
{
    value = htole64 (value);
    memcpy (bytes, &value, sizeof value);
}

#endif

/* The checksum of batch bodies.
 * SPDX-License-Identifier: MPL-2.0 */
#ifndef LEAT_WIRE_CRC32C_H
#define LEAT_WIRE_CRC32C_H

#include <stddef.h>
#include <stdint.h>

/* CRC32C (Castagnoli; RFC 3720, appendix B.4): reflected polynomial 0x82f63b78, initial value and
 * final exclusive-or 0xffffffff. crc ("123456789") is 0xe3069283. Computed by ISA-L. */
uint32_t leat_crc32c (const void *bytes, size_t size);

#endif

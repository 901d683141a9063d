/* CRC32C by ISA-L.
 * SPDX-License-Identifier: MPL-2.0 */
#include "wire/crc32c.h"

#include <isa-l/crc.h>

uint32_t leat_crc32c (const void *bytes, size_t size)
{
    /* crc32_iscsi neither inverts its initial value nor its result, takes an int for the size, and
     * is not declared const although it only reads (isa-l/crc.h). */
    enum { PART_MAX = 1 << 30 };
    unsigned char *next = (unsigned char *) (uintptr_t) bytes;
    uint32_t crc = 0xffffffffu;
    while (size > 0) {
        size_t part = size < PART_MAX ? size : PART_MAX;
        crc = crc32_iscsi (next, (int) part, crc);
        next += part;
        size -= part;
    }
    return crc ^ 0xffffffffu;
}

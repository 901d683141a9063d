/* Headers of records, for applications.
 * SPDX-License-Identifier: MPL-2.0 */
#include "leat_record.h"

#include <errno.h>
#include <string.h>

#include "wire/record.h"

int leat_headers_add (uint8_t *headers, size_t room, size_t *size, const char *name,
                      const void *value, size_t value_size)
{
    leat_text_t name_text = leat_text (name);
    leat_text_t value_text = { value, value_size };
    size_t needed = leat_header_encoded_size (name_text, value_text);
    if (needed == 0) {
        errno = EINVAL;
        return -1;
    }
    if (*size > room || needed > room - *size) {
        errno = ENOBUFS;
        return -1;
    }
    *size += leat_header_encode (name_text, value_text, headers + *size);
    return 0;
}

bool leat_headers_next (const leat_record_t *record, size_t *position, leat_header_t *header)
{
    if (*position >= record->headers_size)
        return false;
    leat_text_t name, value;
    size_t taken = leat_header_decode (&name, &value, record->headers + *position,
                                       record->headers_size - *position);
    if (taken == 0)
        return false;
    *position += taken;
    *header = (leat_header_t){ name.data, name.size, value.data, value.size };
    return true;
}

bool leat_headers_find (const leat_record_t *record, const char *name, leat_header_t *header)
{
    size_t position = 0;
    while (leat_headers_next (record, &position, header))
        if (leat_text_equal ((leat_text_t){ header->name, header->name_size }, leat_text (name)))
            return true;
    return false;
}

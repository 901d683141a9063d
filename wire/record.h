/* Records inside the body of a batch: how one is written, walked and read.
 * SPDX-License-Identifier: MPL-2.0 */
#ifndef LEAT_WIRE_RECORD_H
#define LEAT_WIRE_RECORD_H

#include "leat_record.h"
#include "wire/protocol.h"

/* A batch's body is its records one after the other. In a plain batch a record is
 *
 *      u32 size | body (size bytes)
 *
 * and in an extended one (LEAT_BATCH_EXTENDED)
 *
 *      u32 size | u16 key size | u16 headers size | key | headers | body
 *                 \__________________ size bytes ____________________/
 *
 * where headers are any number of   u8 name size | u16 value size | name | value.
 * Every record of a batch has the same form. A record's size for all limits is `size`.
 * leat_record_t is a public type, see include/leat_record.h. */

/* Bytes that the record takes in a batch's body, the leading u32 included. */
size_t leat_record_encoded_size (const leat_record_t *record, bool extended);

/* Writes the record to `bytes`, which has room for leat_record_encoded_size. A plain record must
 * have neither key nor headers. Returns the bytes written. */
size_t leat_record_encode (const leat_record_t *record, bool extended, uint8_t *bytes);

/* Reads the record that begins at `bytes`; the views in `record` point into them. Returns the bytes
 * it takes, or 0 if fewer than that are there or its inner sizes do not add up. */
size_t leat_record_decode (leat_record_t *record, bool extended, const uint8_t *bytes, size_t size);

/* Bytes that the header takes when encoded; 0 if the name (1 to 255 bytes) or value (up to 65535)
 * is out of bounds. */
size_t leat_header_encoded_size (leat_text_t name, leat_text_t value);

/* Writes a header to `bytes`, which has room for leat_header_encoded_size; returns the bytes. */
size_t leat_header_encode (leat_text_t name, leat_text_t value, uint8_t *bytes);

/* Reads the header at `bytes`; returns the bytes it takes, or 0 at the end or if damaged. */
size_t leat_header_decode (leat_text_t *name, leat_text_t *value, const uint8_t *bytes,
                           size_t size);

/* True if `bytes` are whole headers from begin to end. */
bool leat_headers_valid (const uint8_t *bytes, size_t size);

#endif

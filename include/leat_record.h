/* A record: what a producer sends and a consumer is given.
 * SPDX-License-Identifier: MPL-2.0 */
#ifndef LEAT_RECORD_H
#define LEAT_RECORD_H

#include "leat_types.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Nothing here keeps anything: any thread may call these functions.
 *
 * Views of bytes that somebody else owns. All of it is opaque to the broker. Limits: a key has at
 * most 65,535 bytes, so have all headers of a record together; body, key and headers together have
 * at most as many as the broker takes (1 MiB unless it is configured otherwise), and 4 less once a
 * producer has sent a record that has a key or headers, since their sizes count too. */
typedef struct {
    const uint8_t *body;
    size_t body_size;
    const uint8_t *key; /* NULL if there is none */
    size_t key_size;
    const uint8_t *headers; /* encoded, see leat_headers_add; NULL if there are none */
    size_t headers_size;
} leat_record_t;

/* A header of a record: a name of 1 to 255 bytes and a value of up to 65,535. Not zero-terminated. */
typedef struct {
    const char *name;
    size_t name_size;
    const char *value;
    size_t value_size;
} leat_header_t;

/* Appends a header to `headers`, which has `room` bytes of which *size are used, and adds to *size.
 * Returns 0, or -1 with errno EINVAL (name or value out of bounds) or ENOBUFS (no room); nothing is
 * changed then. */
LEAT_EXPORT int leat_headers_add (uint8_t *headers, size_t room, size_t *size, const char *name,
                                  const void *value, size_t value_size);

/* Walks the headers of a record: *position is 0 at first. False at the end.
 *
 *      size_t position = 0;
 *      leat_header_t header;
 *      while (leat_headers_next (&record, &position, &header))
 *          ...
 */
LEAT_EXPORT bool leat_headers_next (const leat_record_t *record, size_t *position,
                                    leat_header_t *header);

/* The first header of that name; false if there is none. */
LEAT_EXPORT bool leat_headers_find (const leat_record_t *record, const char *name,
                                    leat_header_t *header);

#ifdef __cplusplus
}
#endif

#endif

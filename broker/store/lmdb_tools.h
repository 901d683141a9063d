/* What `leat store` does with a directory.
 * SPDX-License-Identifier: MPL-2.0 */
#ifndef LEAT_BROKER_STORE_LMDB_TOOLS_H
#define LEAT_BROKER_STORE_LMDB_TOOLS_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

/* Functions that return int give 0, or -1 with a sentence. All but the backup need a directory that no
 * broker has open. */

/* What verify found: one row per stream, and one per damage in it. */
typedef struct {
    const char *stream; /* its name; NULL if the damage is not in the batches of a stream */
    bool damaged;
    uint64_t first; /* of the damage, or of the stream */
    uint64_t end;   /* behind the last offset */
    uint64_t records;
    uint64_t batches;
    uint64_t size;
    const char *what; /* a sentence if it is damaged */
} leat_store_finding_t;
typedef void (leat_store_finding_fn) (void *arg, const leat_store_finding_t *finding);

/* Reads and checks everything; *damages is how many findings were damages. */
int leat_lmdb_verify (const char *path, leat_store_finding_fn *fn, void *arg, uint64_t *damages,
                      char *error, size_t error_size);

/* Copies what is there into a new file without gaps, and puts it in the place of the old one. Sizes of
 * the file before and after. */
int leat_lmdb_compact (const char *path, uint64_t *before, uint64_t *after, char *error,
                       size_t error_size);

/* Streams, groups and what they hold; the caller releases it. NULL with a sentence. */
json_t *leat_lmdb_dump (const char *path, char *error, size_t error_size);

/* Copies what is there now, while a broker may change it, into a directory that does not exist, or
 * has no store in it. */
int leat_lmdb_backup (const char *path, const char *target, uint64_t *size, char *error,
                      size_t error_size);

#endif

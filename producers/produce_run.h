/* What `leat produce` does once its options are understood.
 * SPDX-License-Identifier: MPL-2.0 */
#ifndef LEAT_PRODUCERS_PRODUCE_RUN_H
#define LEAT_PRODUCERS_PRODUCE_RUN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Texts are borrowed. */
typedef struct {
    const char *broker;
    const char *stream;
    char **files; /* "-" is stdin */
    size_t file_count;
    const char *delimiter; /* delimiter_size bytes; none with `whole` */
    size_t delimiter_size;
    bool whole;                /* each file is one record */
    const char *key_separator; /* NULL: no keys */
    size_t key_separator_size;
    uint8_t *headers; /* encoded, of every record */
    size_t headers_size;
    const char *identity; /* NULL: random, nothing is skipped */
    uint64_t rate;        /* records a second; 0: as fast as it goes */
    int timeout_ms;       /* of the first connection */
    uint32_t window_size; /* 0: the library's default */
    bool quiet;
} leat_produce_settings_t;

/* Sends all of it and returns the exit code (cli/message.h). */
int leat_produce_run (const leat_produce_settings_t *settings);

#endif

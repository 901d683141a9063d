/* Sizes, durations and counts as users write and read them.
 * SPDX-License-Identifier: MPL-2.0 */
#ifndef LEAT_CLI_UNITS_H
#define LEAT_CLI_UNITS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Each parser takes the whole text or nothing. On failure `*why` is a sentence (static text) that says
 * what would be right, and `*value` is unchanged.
 *
 *      size        64MiB 64MB 1GiB 512B    B, KB MB GB TB (1000), KiB MiB GiB TiB (1024), to bytes
 *      duration    500ms 5s 2min 1h 7d     to milliseconds
 *      count       10000                   digits only
 *
 * A size or duration without a unit is refused: nobody should have to know which one is meant. */
bool leat_size_parse (const char *text, uint64_t *value, const char **why);
bool leat_duration_parse (const char *text, uint64_t *value, const char **why);
bool leat_count_parse (const char *text, uint64_t *value, const char **why);

enum {
    LEAT_UNITS_TEXT_SIZE = 32,
    LEAT_UNITS_WHY_SIZE = 128,
    LEAT_TIMEOUT_MAX_MS = 24 * 86400 * 1000 /* 24d, which an int can count */
};

typedef enum { LEAT_UNITS_COUNT, LEAT_UNITS_SIZE, LEAT_UNITS_DURATION } leat_units_t;

/* As the parsers above, for what must be from `least` to `most`: the sentence names the bound. `why` has
 * LEAT_UNITS_WHY_SIZE bytes. */
bool leat_units_parse (leat_units_t units, const char *text, uint64_t least, uint64_t most,
                       uint64_t *value, char *why);

/* Each formatter fills `text` (LEAT_UNITS_TEXT_SIZE bytes) and returns it. The exact ones choose the
 * largest unit that loses nothing, so that the parser reads the same number again: "1MiB", "1052672B",
 * "5s". The short ones are for people: "1.2 GiB", "14.6 M", "3.4 s". */
const char *leat_size_exact (uint64_t bytes, char *text);
const char *leat_duration_exact (uint64_t milliseconds, char *text);
const char *leat_size_short (uint64_t bytes, char *text);
const char *leat_number_short (double number, char *text);
const char *leat_seconds_short (double seconds, char *text);

/* What makes a noun agree with a count: "" for 1, otherwise "s" (static text). */
const char *leat_plural (uint64_t count);

#endif

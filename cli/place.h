/* A place in a stream as users write it.
 * SPDX-License-Identifier: MPL-2.0 */
#ifndef LEAT_CLI_PLACE_H
#define LEAT_CLI_PLACE_H

#include "leat_types.h"

/* earliest, latest, an offset such as 1000, a time such as 2026-01-31T12:00:00Z or 2026-01-31, in UTC, or
 * how long ago, such as 1h. False for anything else; LEAT_PLACE_FORMS says what would be right. */
bool leat_place_parse (const char *text, leat_start_t *start, uint64_t *value);

#define LEAT_PLACE_FORMS                                                                           \
    "it is earliest, latest, an offset such as 1000, a time such as 2026-01-31T12:00:00Z, or how " \
    "long ago, such as 1h"

#endif

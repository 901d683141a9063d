/* A place in a stream as users write it.
 * SPDX-License-Identifier: MPL-2.0 */
#include "cli/place.h"

#include <string.h>
#include <time.h>

#include "cli/units.h"

/* 2026-01-31T12:00:00Z or 2026-01-31, in UTC. */
static bool s_date (const char *text, uint64_t *time_ms)
{
    static const char *const forms[] = { "%Y-%m-%dT%H:%M:%SZ", "%Y-%m-%d" };
    for (size_t i = 0; i < sizeof forms / sizeof *forms; i++) {
        struct tm parts = { 0 };
        const char *end = strptime (text, forms[i], &parts);
        if (!end || *end)
            continue;
        time_t seconds = timegm (&parts);
        if (seconds < 0)
            return false;
        *time_ms = (uint64_t) seconds * 1000;
        return true;
    }
    return false;
}

bool leat_place_parse (const char *text, leat_start_t *start, uint64_t *value)
{
    const char *why;
    uint64_t number = 0;
    *value = 0;
    if (strcmp (text, "earliest") == 0)
        *start = LEAT_START_EARLIEST;
    else if (strcmp (text, "latest") == 0)
        *start = LEAT_START_LATEST;
    else if (leat_count_parse (text, value, &why))
        *start = LEAT_START_OFFSET;
    else if (s_date (text, value))
        *start = LEAT_START_TIME;
    else if (leat_duration_parse (text, &number, &why)) {
        uint64_t now_ms = (uint64_t) time (NULL) * 1000;
        *start = LEAT_START_TIME;
        *value = now_ms > number ? now_ms - number : 0;
    } else
        return false;
    return true;
}

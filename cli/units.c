/* Sizes, durations and counts as users write and read them.
 * SPDX-License-Identifier: MPL-2.0 */

#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/units.h"
#include "wire/assert.h"

typedef struct {
    const char *name;
    uint64_t factor;
} unit_t;

/* The largest first in each column, for the exact forms. */
static const unit_t s_sizes[] = {
    { "TiB", UINT64_C (1) << 40 },      { "GiB", UINT64_C (1) << 30 },
    { "MiB", UINT64_C (1) << 20 },      { "KiB", UINT64_C (1) << 10 },
    { "TB", UINT64_C (1000000000000) }, { "GB", UINT64_C (1000000000) },
    { "MB", UINT64_C (1000000) },       { "KB", UINT64_C (1000) },
    { "kB", UINT64_C (1000) },          { "B", 1 },
};

static const unit_t s_durations[] = {
    { "d", 86400000 }, { "h", 3600000 }, { "min", 60000 }, { "s", 1000 }, { "ms", 1 },
};

#define S_COUNT(array) (sizeof (array) / sizeof *(array))

/* The digits at the start of the text; NULL if there are none or they are beyond 64 bits. */
static const char *s_digits (const char *text, uint64_t *value)
{
    if (!isdigit ((unsigned char) *text))
        return NULL;
    char *end;
    errno = 0;
    unsigned long long number = strtoull (text, &end, 10);
    if (errno)
        return NULL;
    *value = number;
    return end;
}

static bool s_parse (const char *text, const unit_t *units, size_t count, uint64_t *value,
                     const char **why, const char *form, const char *no_unit)
{
    uint64_t number;
    const char *unit = s_digits (text, &number);
    if (!unit) {
        *why = form;
        return false;
    }
    if (!*unit) {
        *why = no_unit;
        return false;
    }
    for (size_t i = 0; i < count; i++) {
        if (strcmp (unit, units[i].name) != 0)
            continue;
        if (number > UINT64_MAX / units[i].factor) {
            *why = "that is more than 64 bits can count";
            return false;
        }
        *value = number * units[i].factor;
        return true;
    }
    *why = form;
    return false;
}

bool leat_size_parse (const char *text, uint64_t *value, const char **why)
{
    return s_parse (text, s_sizes, S_COUNT (s_sizes), value, why,
                    "a size is a whole number and a unit: 512B, 64KiB, 64MB, 1GiB",
                    "the unit is missing: a size is written 512B, 64KiB, 64MB or 1GiB");
}

bool leat_duration_parse (const char *text, uint64_t *value, const char **why)
{
    return s_parse (text, s_durations, S_COUNT (s_durations), value, why,
                    "a duration is a whole number and a unit: 500ms, 5s, 2min, 1h, 7d",
                    "the unit is missing: a duration is written 500ms, 5s, 2min, 1h or 7d");
}

bool leat_count_parse (const char *text, uint64_t *value, const char **why)
{
    uint64_t number;
    const char *end = s_digits (text, &number);
    if (!end || *end) {
        *why = "a count is a whole number in digits, such as 10000";
        return false;
    }
    *value = number;
    return true;
}

static const char *s_exact (uint64_t value, const unit_t *units, size_t count, char *text)
{
    size_t i = 0;
    while (i < count - 1 && (!value || value % units[i].factor))
        i++;
    int size = snprintf (text, LEAT_UNITS_TEXT_SIZE, "%" PRIu64 "%s", value / units[i].factor,
                         units[i].name);
    leat_assert (size > 0 && size < LEAT_UNITS_TEXT_SIZE);
    return text;
}

const char *leat_size_exact (uint64_t bytes, char *text)
{
    return s_exact (bytes, s_sizes, S_COUNT (s_sizes), text);
}

const char *leat_duration_exact (uint64_t milliseconds, char *text)
{
    return s_exact (milliseconds, s_durations, S_COUNT (s_durations), text);
}

bool leat_units_parse (leat_units_t units, const char *text, uint64_t least, uint64_t most,
                       uint64_t *value, char *why)
{
    uint64_t number = 0;
    const char *reason = NULL;
    char bound[LEAT_UNITS_TEXT_SIZE];
    bool valid = units == LEAT_UNITS_SIZE       ? leat_size_parse (text, &number, &reason)
                 : units == LEAT_UNITS_DURATION ? leat_duration_parse (text, &number, &reason)
                                                : leat_count_parse (text, &number, &reason);
    if (!valid) {
        snprintf (why, LEAT_UNITS_WHY_SIZE, "%s", reason);
        return false;
    }
    if (number >= least && number <= most) {
        *value = number;
        return true;
    }
    number = number < least ? least : most;
    if (units == LEAT_UNITS_SIZE)
        leat_size_exact (number, bound);
    else if (units == LEAT_UNITS_DURATION)
        leat_duration_exact (number, bound);
    else
        snprintf (bound, sizeof bound, "%" PRIu64, number);
    snprintf (why, LEAT_UNITS_WHY_SIZE, "it is %s %s", number == least ? "at least" : "at most",
              bound);
    return false;
}

/* At most four characters of number, then the unit. */
static const char *s_short (double number, double step, const char *const *units, char *text)
{
    size_t i = 0;
    while (number >= 999.5 && units[i + 1]) {
        number /= step;
        i++;
    }
    int digits = number < 9.95 && i ? 1 : 0;
    snprintf (text, LEAT_UNITS_TEXT_SIZE, "%.*f%s%s", digits, number, *units[i] ? " " : "",
              units[i]);
    return text;
}

const char *leat_size_short (uint64_t bytes, char *text)
{
    static const char *const units[] = { "B", "KiB", "MiB", "GiB", "TiB", NULL };
    return s_short ((double) bytes, 1024, units, text);
}

const char *leat_number_short (double number, char *text)
{
    static const char *const units[] = { "", "k", "M", "G", "T", NULL };
    return s_short (number, 1000, units, text);
}

const char *leat_seconds_short (double seconds, char *text)
{
    if (seconds < 0.0009995)
        snprintf (text, LEAT_UNITS_TEXT_SIZE, "%.0f us", seconds * 1e6);
    else if (seconds < 0.9995)
        snprintf (text, LEAT_UNITS_TEXT_SIZE, "%.0f ms", seconds * 1e3);
    else if (seconds < 99.95)
        snprintf (text, LEAT_UNITS_TEXT_SIZE, "%.1f s", seconds);
    else if (seconds < 5999.5)
        snprintf (text, LEAT_UNITS_TEXT_SIZE, "%.0f min", seconds / 60);
    else
        snprintf (text, LEAT_UNITS_TEXT_SIZE, "%.0f h", seconds / 3600);
    return text;
}

const char *leat_plural (uint64_t count)
{
    return count == 1 ? "" : "s";
}

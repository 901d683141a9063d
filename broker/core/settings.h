/* What an operator may set of a stream.
 * SPDX-License-Identifier: MPL-2.0 */
#ifndef LEAT_BROKER_CORE_SETTINGS_H
#define LEAT_BROKER_CORE_SETTINGS_H

#include "wire/commit.h"

/* Ten years: what is meant to be longer is meant to be without end, which is 0. */
#define CORE_TIME_MAX_MS (UINT64_C (10) * 366 * 24 * 3600 * 1000)

/* 0 in the last five: no limit, and the broker's `attempts` and `dead_size`. */
typedef struct {
    leat_durability_t durability;
    leat_retention_t retention;
    uint64_t max_age_ms;        /* of a log; at most CORE_TIME_MAX_MS */
    uint64_t max_size;          /* of a log */
    uint64_t max_processing_ms; /* at most CORE_TIME_MAX_MS */
    uint32_t max_attempts;
    uint64_t dead_size;
} core_settings_t;

#endif

/* How fast a consumer is.
 * SPDX-License-Identifier: MPL-2.0 */

#include "broker/core/pace.h"

/* Records in the window. With log-normal times (sigma 1) the mean is known to a fifth then. */
static const double window_records = 32;
static const double window_min_us = 5000;

/* What a round trip and gathering settles may have added to a fresh measurement. */
static const double fresh_slack_us = 2000;

/* A settle that took so many times what was expected is a surprise. Two in a row, or one of many
 * records, mean that the consumer has changed: what was learned before no longer holds. */
static const double surprise = 4;
static const uint32_t many_records = 8;

/* Below what clocks and turns of the broker can resolve. */
static const double service_min_us = 0.001;
/* Above a day everything is the same, and products stay far below 2^63. */
static const double service_max_us = 1e11;

static double s_clamp (double value, double min, double max)
{
    return value < min ? min : value > max ? max : value;
}

static void s_start_over (core_pace_t *pace)
{
    pace->time_us = 0;
    pace->records = 0;
    pace->gathered = 0;
    pace->slower = false;
}

/* A fresh measurement says only between which values the truth lies; what was learned before is
 * believed as long as it lies there too. */
static double s_fresh (core_pace_t *pace, double elapsed_us, uint32_t records)
{
    if (pace->service_us <= 0)
        return elapsed_us;
    double expected_us = pace->service_us * records;
    if (records >= many_records && 2 * elapsed_us < expected_us)
        s_start_over (pace);
    double least_us = elapsed_us > fresh_slack_us ? elapsed_us - fresh_slack_us : 0;
    return s_clamp (expected_us, least_us, elapsed_us);
}

void core_pace_settled (core_pace_t *pace, uint64_t elapsed_us, uint32_t records, bool fresh)
{
    double time_us = (double) elapsed_us;
    if (fresh)
        time_us = s_fresh (pace, time_us, records);
    bool slower = pace->service_us > 0 && time_us > surprise * pace->service_us * records;
    if (slower && (pace->slower || records >= many_records))
        s_start_over (pace);
    else
        pace->slower = slower;
    pace->gathered =
        pace->gathered > 0 ? pace->gathered + (records - pace->gathered) / 8 : (double) records;
    pace->time_us += time_us;
    pace->records += records;
    double window_us = window_records * pace->service_us;
    if (window_us < window_min_us)
        window_us = window_min_us;
    if (pace->service_us > 0 && pace->time_us > window_us && pace->records > 1) {
        pace->records *= window_us / pace->time_us;
        pace->time_us = window_us;
    }
    pace->service_us = s_clamp (pace->time_us / pace->records, service_min_us, service_max_us);
}

double core_pace_service_us (const core_pace_t *pace, uint64_t waited_us)
{
    double gathered = pace->gathered > 1 ? pace->gathered : 1;
    double waited = s_clamp ((double) waited_us / gathered, 0, service_max_us);
    return waited > pace->service_us ? waited : pace->service_us;
}

uint64_t core_pace_rate (const core_pace_t *pace)
{
    if (pace->service_us <= 0)
        return 0;
    uint64_t rate = (uint64_t) (1e9 / pace->service_us);
    return rate ? rate : 1;
}

/* How fast a consumer is, learned from its settles. Private to broker/core/.
 * SPDX-License-Identifier: MPL-2.0 */
#ifndef LEAT_BROKER_CORE_PACE_H
#define LEAT_BROKER_CORE_PACE_H

#include <stdbool.h>
#include <stdint.h>

/* A consumer is looked at from outside: so many records were settled in so much time, whatever number
 * of workers it has and however it gathers its settles. Records and time are summed up over a window
 * that is as long as the last three dozen records took; what is older is scaled away:
 *
 *      settles      x    x  x      x   x        now
 *                   |<-- time, records -->|<- waited ->
 *      service      time / records, or waited / gathered if that is more
 *
 * All zero knows nothing. */
typedef struct {
    double time_us;
    double records;
    double service_us; /* time per record; 0: nothing was learned yet */
    double gathered;   /* records per settle, moving average */
    bool slower;       /* the last settle was far slower than what was learned */
} core_pace_t;

/* `records` (not 0) were settled `elapsed_us` after the last settle; `fresh`: after the first of them
 * were sent to a consumer that had none, so that a round trip and what the client takes to gather
 * settles is part of it. */
void core_pace_settled (core_pace_t *pace, uint64_t elapsed_us, uint32_t records, bool fresh);

/* Time per record, in microseconds, for a consumer with work that has not settled for `waited_us`
 * (0 for one without): more than what was learned, once it is later than usual. 0: not known. */
double core_pace_service_us (const core_pace_t *pace, uint64_t waited_us);

/* Records in a thousand seconds, as an integer, so that sums over many never drift; 0: not known. */
uint64_t core_pace_rate (const core_pace_t *pace);

#endif

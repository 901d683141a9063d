/* What the stats socket answers, as JSON; docs/stats.md explains each field.
 * SPDX-License-Identifier: MPL-2.0 */
#ifndef LEAT_BROKER_IO_REPORT_H
#define LEAT_BROKER_IO_REPORT_H

#include "broker/core/statistics.h"
#include "broker/io/connections.h"
#include "broker/io/departures.h"
#include "broker/io/router.h"
#include "broker/store/store.h"

/* Where the figures come from; everything is borrowed. */
typedef struct {
    const leat_core_t *core;
    const leat_store_t *store;
    const leat_limits_t *limits;
    const leat_router_counters_t *router;
    const leat_departures_counters_t *departures;   /* NULL while the broker does not run */
    const leat_connections_counters_t *connections; /* likewise */
    const char *software;                           /* name and version of the broker */
    const char *const *endpoints;                   /* where it listens for peers, as bound */
    size_t endpoint_count;
    const char *stats_endpoint; /* as bound */
    const char *directory;      /* of the store; NULL if it has none */
    uint64_t incarnation;
    uint64_t uptime_ms;
    uint64_t wall_ms;
    uint64_t stats_requests; /* answered so far */
    uint64_t stats_connections_refused;
    bool stopping;
    const char *failure; /* why nothing is confirmed any more; NULL: all is well */
} leat_report_source_t;

/* One JSON object each, zero-terminated, without a line end; to be freed with free(3). */
char *leat_report_stats (const leat_report_source_t *source);
char *leat_report_limits (const leat_report_source_t *source);
char *leat_report_ping (const leat_report_source_t *source);
char *leat_report_help (void);

/* For a request that is none of them: names it, as far as it can be shown, and those there are.
 * `query` NULL: the request did not have the right number of frames. */
char *leat_report_error (const char *query, size_t query_size);

#endif

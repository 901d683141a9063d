/* The answer of the stats socket as tables for people.
 * SPDX-License-Identifier: MPL-2.0 */
#ifndef LEAT_MONITOR_STATS_VIEW_H
#define LEAT_MONITOR_STATS_VIEW_H

#include <jansson.h>
#include <stdbool.h>
#include <stdio.h>

/* Prints what docs/stats.md describes. Fields that are missing or of another type are shown as "-": a
 * broker of another version is still worth looking at. `width` and `bold` as in monitor/table.h. */
void leat_stats_view_print (const json_t *stats, FILE *file, unsigned width, bool bold);

#endif

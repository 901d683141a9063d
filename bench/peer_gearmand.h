/* gearmand.
 * SPDX-License-Identifier: MPL-2.0 */
#ifndef LEAT_BENCH_PEER_GEARMAND_H
#define LEAT_BENCH_PEER_GEARMAND_H

#include "bench/contender.h"

/* Background jobs of one function in memory, submitted by the task interface, which has many of them
 * under way; a worker of libgearman takes one job after the other, as it always does:
 * http://gearman.org/manual/
 * What it does at a sync cannot be compared: its queues on disks are other databases. */
#ifdef LEAT_WITH_GEARMAN
extern const leat_bench_contender_t leat_bench_gearmand;
#endif

#endif

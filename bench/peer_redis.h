/* Redis Streams.
 * SPDX-License-Identifier: MPL-2.0 */
#ifndef LEAT_BENCH_PEER_REDIS_H
#define LEAT_BENCH_PEER_REDIS_H

#include "bench/contender.h"

/* A stream with one group; in memory, or in an append-only file that is synced before each answer.
 *  - XADD pipelined, so that a write carries many:  https://redis.io/docs/latest/develop/use/pipelining/ and
 *    https://redis.io/docs/latest/develop/clients/hiredis/transpipe
 *  - XREADGROUP with COUNT, and XACK with all its ids: https://redis.io/docs/latest/commands/xreadgroup/
 *  - appendonly, appendfsync: https://redis.io/docs/latest/operate/oss_and_stack/management/persistence/
 * Nothing is trimmed, which would cost it more. */
#ifdef LEAT_WITH_REDIS
extern const leat_bench_contender_t leat_bench_redis;
extern const leat_bench_contender_t leat_bench_redis_durable;
#endif

#endif

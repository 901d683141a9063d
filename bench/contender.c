/* What the contenders have in common.
 * SPDX-License-Identifier: MPL-2.0 */
#include "bench/contender.h"

#include <malloc.h>
#include <stdio.h>
#include <sys/resource.h>
#include <unistd.h>

#include "bench/peer_beanstalkd.h"
#include "bench/peer_gearmand.h"
#include "bench/peer_nats.h"
#include "bench/peer_rabbitmq.h"
#include "bench/peer_redis.h"

const leat_bench_contender_t *const leat_bench_contenders[] = {
    &leat_bench_relay,
    &leat_bench_proxy,
    &leat_bench_router,
    &leat_bench_leat,
#ifdef LEAT_WITH_REDIS
    &leat_bench_redis,
#endif
#ifdef LEAT_WITH_NATS
    &leat_bench_nats,
    &leat_bench_jetstream,
#endif
#ifdef LEAT_WITH_RABBITMQ
    &leat_bench_rabbitmq,
#endif
    &leat_bench_beanstalkd,
#ifdef LEAT_WITH_GEARMAN
    &leat_bench_gearmand,
#endif
    NULL,
};

void leat_bench_contender_print (const leat_bench_contender_t *self, const char *version)
{
    printf ("%-10s %s\n", self->name, self->about);
    if (self->promise)
        printf ("%-10s   %s\n", "", self->promise);
    if (self->server)
        printf ("%-10s   %s %s, %s\n", "", self->server, version, self->library);
}

void leat_bench_ready (int ready)
{
    ssize_t wrote = write (ready, "", 1);
    (void) wrote; /* a parent that is gone ends this process by itself */
}

void leat_bench_tune_malloc (void)
{
    /* The malloc of a sanitizer or of another library refuses; then it refuses for all. */
    mallopt (M_MMAP_THRESHOLD, 32 << 20);
    mallopt (M_TRIM_THRESHOLD, 128 << 20);
}

void leat_bench_allow_files (void)
{
    struct rlimit limit;
    if (getrlimit (RLIMIT_NOFILE, &limit) == 0) {
        limit.rlim_cur = limit.rlim_max;
        setrlimit (RLIMIT_NOFILE, &limit);
    }
}

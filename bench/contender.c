/* What the contenders have in common.
 * SPDX-License-Identifier: MPL-2.0 */
#include "bench/contender.h"

#include <malloc.h>
#include <sys/resource.h>
#include <unistd.h>

const leat_bench_contender_t *const leat_bench_contenders[] = {
    &leat_bench_relay, &leat_bench_proxy, &leat_bench_router, &leat_bench_leat, NULL
};

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

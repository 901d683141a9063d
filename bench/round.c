/* The memory that the processes of a round share.
 * SPDX-License-Identifier: MPL-2.0 */
#include "bench/round.h"

#include <stdarg.h>
#include <stdio.h>
#include <sys/mman.h>
#include <time.h>

static size_t s_size (uint64_t samples_max)
{
    return sizeof (leat_bench_round_t) + 2 * (size_t) samples_max * sizeof (uint64_t);
}

void *leat_bench_shared_new (size_t size)
{
    void *memory =
        mmap (NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
    if (memory == MAP_FAILED)
        return NULL;
    return memory;
}

void leat_bench_shared_destroy (void *memory, size_t size)
{
    if (memory)
        munmap (memory, size);
}

leat_bench_round_t *leat_bench_round_new (const leat_bench_plan_t *plan, uint64_t samples_max)
{
    leat_bench_round_t *self = leat_bench_shared_new (s_size (samples_max));
    if (!self)
        return NULL;
    self->plan = *plan;
    self->samples_max = samples_max;
    return self;
}

void leat_bench_round_destroy (leat_bench_round_t **self_p)
{
    leat_bench_round_t *self = *self_p;
    if (!self)
        return;
    leat_bench_shared_destroy (self, s_size (self->samples_max));
    *self_p = NULL;
}

void leat_bench_round_fail (leat_bench_round_t *self, const char *format, ...)
{
    if (self->error[0])
        return;
    va_list arguments;
    va_start (arguments, format);
    vsnprintf (self->error, sizeof self->error, format, arguments);
    va_end (arguments);
}

uint64_t leat_bench_now_ns (void)
{
    struct timespec now;
    clock_gettime (CLOCK_MONOTONIC, &now);
    return (uint64_t) now.tv_sec * 1000000000u + (uint64_t) now.tv_nsec;
}

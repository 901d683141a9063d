/* Balancer "beanstalkd": a work queue from which each worker reserves one job after the other.
 * SPDX-License-Identifier: MPL-2.0 */
#include "bench/balancer.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "bench/contender.h"
#include "bench/peer_beanstalkd.h"

/* So many jobs are written before their answers are read, which fit the buffers between meanwhile. */
#define S_PIPELINED 1000

static int s_middle (leat_bench_work_t *work, int ready)
{
    return leat_bench_beanstalkd_run (work->round, ready);
}

static bool s_publish (leat_bench_beanstalkd_t *self, leat_bench_work_t *work)
{
    size_t size = work->round->plan.size;
    char line[128];
    for (uint64_t i = 0; i < work->count; i += S_PIPELINED) {
        uint64_t end = i + S_PIPELINED < work->count ? i + S_PIPELINED : work->count;
        for (uint64_t k = i; k < end; k++) {
            uint8_t body[LEAT_BENCH_WORK_SIZE_MAX];
            leat_bench_work_make (work, k, body);
            fprintf (self->out, "put 0 0 600 %zu\r\n", size);
            fwrite (body, 1, size, self->out);
            fwrite ("\r\n", 1, 2, self->out);
        }
        if (fflush (self->out) != 0)
            return leat_bench_beanstalkd_failed (self, "put", strerror (errno));
        for (uint64_t k = i; k < end; k++)
            if (!leat_bench_beanstalkd_expect (self, "INSERTED ", line, sizeof line))
                return false;
    }
    return true;
}

static int s_producer (leat_bench_work_t *work, int ready)
{
    leat_bench_beanstalkd_t client;
    bool good = leat_bench_beanstalkd_open (&client, work->round);
    if (good) {
        leat_bench_ready (ready);
        good = s_publish (&client, work);
    }
    leat_bench_beanstalkd_close (&client);
    return good ? 0 : 1;
}

/* Reserves, works, deletes. A reservation that times out after a second ends the waiting when all is
 * done; the clock has stopped by then. */
static bool s_work (leat_bench_beanstalkd_t *self, leat_bench_work_t *work, unsigned worker)
{
    char line[128];
    uint8_t body[LEAT_BENCH_WORK_SIZE_MAX + 2];
    while (!leat_bench_work_over (work)) {
        fputs ("reserve-with-timeout 1\r\n", self->out);
        if (fflush (self->out) != 0 || !fgets (line, sizeof line, self->in))
            return leat_bench_beanstalkd_failed (self, "reserve", NULL);
        if (strncmp (line, "TIMED_OUT", 9) == 0)
            continue;
        char *rest;
        if (strncmp (line, "RESERVED ", 9) != 0)
            return leat_bench_beanstalkd_failed (self, "reserve", line);
        uint64_t job = strtoull (line + 9, &rest, 10);
        size_t size = strtoull (rest, NULL, 10);
        if (size > LEAT_BENCH_WORK_SIZE_MAX || fread (body, 1, size + 2, self->in) != size + 2)
            return leat_bench_beanstalkd_failed (self, "reserve", line);
        if (!leat_bench_work_do (work, worker, body, size))
            return false;
        fprintf (self->out, "delete %" PRIu64 "\r\n", job);
        if (fflush (self->out) != 0
            || !leat_bench_beanstalkd_expect (self, "DELETED", line, sizeof line))
            return false;
    }
    return true;
}

static int s_worker (leat_bench_work_t *work, unsigned worker, int ready)
{
    leat_bench_beanstalkd_t client;
    bool good = leat_bench_beanstalkd_open (&client, work->round);
    if (good) {
        leat_bench_ready (ready);
        leat_bench_work_wait (work, worker);
        good = s_work (&client, work, worker);
    }
    leat_bench_beanstalkd_close (&client);
    return good ? 0 : 1;
}

const leat_bench_balancer_t leat_bench_balance_beanstalkd = {
    .name = "beanstalkd",
    .about = "workers reserve and delete one job after the other, nothing ahead; in memory",
    .window = 1,
    .server = "beanstalkd",
    .middle = s_middle,
    .worker = s_worker,
    .producer = s_producer,
};

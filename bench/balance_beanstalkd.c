/* Balancer "beanstalkd": a work queue from which each worker reserves one job after the other.
 * SPDX-License-Identifier: MPL-2.0 */
#include "bench/balancer.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "bench/contender.h"
#include "bench/server.h"

/* So many jobs are written before their answers are read, which fit the buffers between meanwhile. */
#define S_PIPELINED 1000

/* Its protocol is lines of text, some with bytes behind; two streams of stdio on one socket do for a
 * client. */
typedef struct {
    leat_bench_round_t *round;
    FILE *in;
    FILE *out;
} s_client_t;

static bool s_failed (s_client_t *self, const char *what, const char *answer)
{
    leat_bench_round_fail (self->round, "beanstalkd: %s: %.60s", what,
                           answer ? answer : "the connection ended");
    return false;
}

static bool s_open (s_client_t *self, leat_bench_round_t *round)
{
    *self = (s_client_t){ .round = round };
    int in = leat_bench_server_connect (leat_bench_server_port (round));
    int out = in >= 0 ? fcntl (in, F_DUPFD_CLOEXEC, 0) : -1;
    self->in = in >= 0 ? fdopen (in, "r") : NULL;
    self->out = out >= 0 ? fdopen (out, "w") : NULL;
    if (self->in && self->out)
        return true;
    return s_failed (self, "cannot connect", strerror (errno));
}

static void s_close (s_client_t *self)
{
    if (self->in)
        fclose (self->in);
    if (self->out)
        fclose (self->out);
}

/* Reads a line; false if it does not begin as wanted. */
static bool s_expect (s_client_t *self, const char *wanted, char *line, size_t size)
{
    if (!fgets (line, (int) size, self->in))
        return s_failed (self, wanted, NULL);
    if (strncmp (line, wanted, strlen (wanted)) != 0)
        return s_failed (self, wanted, line);
    return true;
}

static int s_middle (leat_bench_work_t *work, int ready)
{
    static const char *const arguments[] = { "-l", "127.0.0.1", "-p", "{PORT}", NULL };
    static const leat_bench_server_t server = { .program = "beanstalkd", .arguments = arguments };
    return leat_bench_server_run (&server, work->round, ready);
}

static bool s_publish (s_client_t *self, leat_bench_work_t *work)
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
            return s_failed (self, "put", strerror (errno));
        for (uint64_t k = i; k < end; k++)
            if (!s_expect (self, "INSERTED ", line, sizeof line))
                return false;
    }
    return true;
}

static int s_producer (leat_bench_work_t *work, int ready)
{
    s_client_t client;
    bool good = s_open (&client, work->round);
    if (good) {
        leat_bench_ready (ready);
        good = s_publish (&client, work);
    }
    s_close (&client);
    return good ? 0 : 1;
}

/* Reserves, works, deletes. A reservation that times out after a second ends the waiting when all is
 * done; the clock has stopped by then. */
static bool s_work (s_client_t *self, leat_bench_work_t *work, unsigned worker)
{
    char line[128];
    uint8_t body[LEAT_BENCH_WORK_SIZE_MAX + 2];
    while (!leat_bench_work_over (work)) {
        fputs ("reserve-with-timeout 1\r\n", self->out);
        if (fflush (self->out) != 0 || !fgets (line, sizeof line, self->in))
            return s_failed (self, "reserve", NULL);
        if (strncmp (line, "TIMED_OUT", 9) == 0)
            continue;
        char *rest;
        if (strncmp (line, "RESERVED ", 9) != 0)
            return s_failed (self, "reserve", line);
        uint64_t job = strtoull (line + 9, &rest, 10);
        size_t size = strtoull (rest, NULL, 10);
        if (size > LEAT_BENCH_WORK_SIZE_MAX || fread (body, 1, size + 2, self->in) != size + 2)
            return s_failed (self, "reserve", line);
        if (!leat_bench_work_do (work, worker, body, size))
            return false;
        fprintf (self->out, "delete %" PRIu64 "\r\n", job);
        if (fflush (self->out) != 0 || !s_expect (self, "DELETED", line, sizeof line))
            return false;
    }
    return true;
}

static int s_worker (leat_bench_work_t *work, unsigned worker, int ready)
{
    s_client_t client;
    bool good = s_open (&client, work->round);
    if (good) {
        leat_bench_ready (ready);
        leat_bench_work_wait (work, worker);
        good = s_work (&client, work, worker);
    }
    s_close (&client);
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

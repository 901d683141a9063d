/* Contender "gearmand": background jobs.
 * SPDX-License-Identifier: MPL-2.0 */
#include "bench/peer_gearmand.h"

#ifdef LEAT_WITH_GEARMAN

#include <stdlib.h>
#include <string.h>

#include <libgearman/gearman.h>

#include "bench/peer.h"
#include "bench/server.h"
#include "wire/alloc.h"

#define S_FUNCTION "leat"
/* Jobs that are submitted at once. */
#define S_WINDOW_MOST 1000

typedef struct {
    leat_bench_round_t *round;
    gearman_client_st *client;
    gearman_worker_st *worker;
    uint8_t *bodies; /* of the jobs that are not submitted yet */
    unsigned window;
    unsigned count;
    leat_bench_sink_t *sink;
} s_client_t;

static int s_middle (leat_bench_round_t *round, int ready)
{
    static const char *const arguments[] = { "--listen",   "127.0.0.1", "--port", "{PORT}",
                                             "--log-file", "stderr",    NULL };
    static const leat_bench_server_t server = { .program = "gearmand",
                                                .version = "--version",
                                                .arguments = arguments };
    return leat_bench_server_run (&server, round, ready);
}

/* Whether it succeeded; else notes what was tried. */
static bool s_good (s_client_t *self, const char *what, gearman_return_t code)
{
    if (code == GEARMAN_SUCCESS)
        return true;
    leat_bench_round_fail (self->round, "gearmand: %s: %s", what, gearman_strerror (code));
    return false;
}

static void s_close (void *client)
{
    s_client_t *self = client;
    if (self->client)
        gearman_client_free (self->client);
    if (self->worker)
        gearman_worker_free (self->worker);
    free (self->bodies);
    free (self);
}

/* The library calls this for a job; with its return the job is done. */
static void *s_work (gearman_job_st *job, void *context, size_t *result_size,
                     gearman_return_t *code)
{
    s_client_t *self = context;
    leat_bench_sink_check (self->sink, gearman_job_workload (job), gearman_job_workload_size (job));
    *result_size = 0;
    *code = GEARMAN_SUCCESS;
    return NULL;
}

static bool s_open_worker (s_client_t *self, in_port_t port)
{
    self->worker = gearman_worker_create (NULL);
    if (!self->worker)
        return s_good (self, "worker", GEARMAN_MEMORY_ALLOCATION_FAILURE);
    gearman_worker_set_timeout (self->worker, LEAT_BENCH_PEER_TURN_MS);
    return s_good (self, "server", gearman_worker_add_server (self->worker, "127.0.0.1", port))
           && s_good (self, "function",
                      gearman_worker_add_function (self->worker, S_FUNCTION, 0, s_work, self))
           && s_good (self, "echo", gearman_worker_echo (self->worker, "leat", 4));
}

static bool s_open_client (s_client_t *self, in_port_t port)
{
    self->window = leat_bench_peer_window (&self->round->plan, S_WINDOW_MOST);
    self->bodies = leat_alloc_raw (self->window * self->round->plan.size);
    self->client = gearman_client_create (NULL);
    if (!self->client)
        return s_good (self, "client", GEARMAN_MEMORY_ALLOCATION_FAILURE);
    gearman_client_set_timeout (self->client, LEAT_BENCH_PEER_TIMEOUT_MS);
    gearman_client_add_options (self->client, GEARMAN_CLIENT_FREE_TASKS);
    return s_good (self, "server", gearman_client_add_server (self->client, "127.0.0.1", port))
           && s_good (self, "echo", gearman_client_echo (self->client, "leat", 4));
}

static void *s_open (leat_bench_round_t *round, bool consumer)
{
    s_client_t *self = leat_alloc (sizeof *self);
    self->round = round;
    in_port_t port = (in_port_t) leat_bench_server_port (round);
    if (consumer ? s_open_worker (self, port) : s_open_client (self, port))
        return self;
    s_close (self);
    return NULL;
}

/* Submits what has gathered; the library returns when each job has its handle from the server. It runs
 * the task first that was added last. */
static bool s_flush (void *client)
{
    s_client_t *self = client;
    size_t size = self->round->plan.size;
    if (!self->count)
        return true;
    for (; self->count; self->count--) {
        gearman_return_t code = GEARMAN_SUCCESS;
        gearman_client_add_task_background (self->client, NULL, NULL, S_FUNCTION, NULL,
                                            self->bodies + (self->count - 1) * size, size, &code);
        if (!s_good (self, "task", code))
            return false;
    }
    return s_good (self, "submit", gearman_client_run_tasks (self->client));
}

static bool s_send (void *client, const uint8_t *body, size_t size)
{
    s_client_t *self = client;
    memcpy (self->bodies + self->count++ * size, body, size);
    return self->count < self->window || s_flush (self);
}

static bool s_receive (void *client, leat_bench_sink_t *sink)
{
    s_client_t *self = client;
    self->sink = sink;
    gearman_return_t code = gearman_worker_work (self->worker);
    return (code == GEARMAN_TIMEOUT || s_good (self, "work", code)) && !sink->done;
}

/* The server answers in order, so that it has what was sent before. */
static bool s_settle (void *client)
{
    s_client_t *self = client;
    return s_good (self, "echo", gearman_worker_echo (self->worker, "leat", 4));
}

static const leat_bench_peer_t s_peer = { .open = s_open,
                                          .close = s_close,
                                          .send = s_send,
                                          .push = s_flush,
                                          .flush = s_flush,
                                          .receive = s_receive,
                                          .settle = s_settle };

LEAT_BENCH_PEER_ROLES (gearmand, s_peer)

const leat_bench_contender_t leat_bench_gearmand = {
    .name = "gearmand",
    .about = "gearmand, 1000 background jobs submitted at once, a worker that takes one by one",
    .promise = "each job has its handle, and is completed; not on the disk",
    .server = "gearmand",
    .library = "libgearman " LIBGEARMAN_VERSION_STRING,
    .roles = { s_middle, s_gearmand_consumer, s_gearmand_producer },
};

#endif

/* Puts core, store, sockets and threads together.
 * SPDX-License-Identifier: MPL-2.0 */
#include "broker/broker.h"

#include <errno.h>
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <zmq.h>

#include "broker/io/clock.h"
#include "broker/io/connection_monitor.h"
#include "broker/io/reactor.h"
#include "wire/alloc.h"
#include "wire/assert.h"

enum {
    REASON_SIZE = 512,
    LINGER_MS = 1000,     /* for the last messages to peers */
    FILES_FOR_OTHERS = 64 /* descriptors that are not peers */
};

struct leat_broker {
    leat_limits_t limits;
    leat_notice_fn *notice;
    void *notice_arg;
    char *software;
    char **endpoints; /* as bound */
    size_t endpoint_count;
    char *stats_endpoint;
    char *directory;
    uint64_t incarnation;
    void *context;
    leat_control_t *control;
    leat_store_t *store;
    leat_core_t *core;
    leat_router_t *router;
    leat_stats_socket_t *stats;
    bool ran;
    int linger_ms;
    char reason[REASON_SIZE];
};

/* ---- the process ----------------------------------------------------------------------------- */

int leat_broker_prepare_process (const leat_limits_t *limits, char *warning, size_t warning_size)
{
    /* mallopt (3): 32 MiB is the most that it takes for M_MMAP_THRESHOLD; 1 is success. */
    if (mallopt (M_MMAP_THRESHOLD, 32 * 1024 * 1024) != 1
        || mallopt (M_TRIM_THRESHOLD, 128 * 1024 * 1024) != 1) {
        snprintf (warning, warning_size,
                  "malloc does not take its thresholds; large batches will be slower");
        return -1;
    }
    struct rlimit files;
    if (getrlimit (RLIMIT_NOFILE, &files)) {
        snprintf (warning, warning_size, "cannot read the limit of open files: %s",
                  strerror (errno));
        return -1;
    }
    files.rlim_cur = files.rlim_max;
    if (setrlimit (RLIMIT_NOFILE, &files)) {
        snprintf (warning, warning_size, "cannot raise the limit of open files: %s",
                  strerror (errno));
        return -1;
    }
    const uint64_t reserve = leat_connection_monitor_reserve (files.rlim_cur) + FILES_FOR_OTHERS;
    if (files.rlim_cur != RLIM_INFINITY && files.rlim_cur < limits->sessions + reserve) {
        snprintf (warning, warning_size,
                  "%llu sessions are allowed but only %llu files may be open; raise the hard limit "
                  "(`ulimit -Hn`) or lower the limit `sessions`",
                  (unsigned long long) limits->sessions, (unsigned long long) files.rlim_cur);
        return -1;
    }
    return 0;
}

void leat_broker_options_default (leat_broker_options_t *options)
{
    static const char *const endpoints[] = { LEAT_BROKER_ENDPOINT };
    *options = (leat_broker_options_t){ .endpoints = endpoints,
                                        .endpoint_count = 1,
                                        .stats_endpoint = LEAT_BROKER_STATS_ENDPOINT,
                                        .store = &leat_store_memory,
                                        .software = "leat" };
    leat_limits_default (&options->limits);
}

/* ---- beginning ------------------------------------------------------------------------------- */

static int s_begin_context (leat_broker_t *self, char *error, size_t error_size)
{
    self->context = zmq_ctx_new ();
    if (!self->context) {
        snprintf (error, error_size, "cannot start ZeroMQ: %s", zmq_strerror (errno));
        return -1;
    }
    /* One I/O thread moves more bytes than the core thread can use. Not BLOCKY: sockets that are closed
     * drop what they could not send unless told otherwise. */
    zmq_ctx_set (self->context, ZMQ_IO_THREADS, 1);
    zmq_ctx_set (self->context, ZMQ_BLOCKY, 0);
    return 0;
}

static bool s_recover (void *arg, leat_buffer_t *commit)
{
    return leat_core_recover (arg, commit) == LEAT_OK;
}

static int s_begin_core (leat_broker_t *self, const leat_broker_options_t *options, char *error,
                         size_t error_size)
{
    leat_core_options_t core = { .limits = self->limits,
                                 .durable = options->store->durable,
                                 .reads = options->store->reads,
                                 .software = self->software };
    if (getrandom (&core.seed, sizeof core.seed, 0) != sizeof core.seed) {
        snprintf (error, error_size, "cannot get random numbers: %s", strerror (errno));
        return -1;
    }
    if (options->store_unusable)
        *options->store_unusable = true;
    self->store = leat_store_open (options->store, &options->store_options, error, error_size);
    if (!self->store
        || leat_store_acquire (self->store, leat_clock_wall_ms (), &self->incarnation, error,
                               error_size))
        return -1;
    core.incarnation = self->incarnation;
    self->core = leat_core_new (&core);
    if (leat_store_recover (self->store, s_recover, self->core, error, error_size))
        return -1;
    if (options->store_unusable)
        *options->store_unusable = false;
    return 0;
}

static int s_bind_router (leat_broker_t *self, const leat_broker_options_t *options, char *error,
                          size_t error_size)
{
    char resolved[LEAT_ENDPOINT_SIZE];
    char bound[LEAT_ENDPOINT_SIZE];
    self->router = leat_router_new (self->context, &self->limits, error, error_size);
    if (!self->router)
        return -1;
    self->endpoints = leat_alloc (options->endpoint_count * sizeof *self->endpoints);
    for (size_t index = 0; index < options->endpoint_count; index++) {
        const char *endpoint = options->endpoints[index];
        if (leat_endpoint_check (endpoint, options->insecure, resolved, error, error_size)
            || leat_router_bind (self->router, endpoint, resolved, bound, error, error_size))
            return -1;
        self->endpoints[self->endpoint_count++] = leat_copy_text (bound, strlen (bound));
    }
    return 0;
}

static int s_bind_stats (leat_broker_t *self, const leat_broker_options_t *options, char *error,
                         size_t error_size)
{
    char resolved[LEAT_ENDPOINT_SIZE];
    char bound[LEAT_ENDPOINT_SIZE];
    if (!options->stats_endpoint)
        return 0;
    self->stats = leat_stats_socket_new (self->context, error, error_size);
    if (!self->stats
        || leat_endpoint_check (options->stats_endpoint, options->insecure, resolved, error,
                                error_size)
        || leat_stats_socket_bind (self->stats, options->stats_endpoint, resolved, bound, error,
                                   error_size))
        return -1;
    self->stats_endpoint = leat_copy_text (bound, strlen (bound));
    return 0;
}

/* Everything that can be said without touching anything. */
static int s_check (const leat_broker_options_t *options, char *error, size_t error_size)
{
    const char *wrong = leat_limits_check (&options->limits);
    if (!wrong && !options->endpoint_count)
        wrong = "a broker needs an endpoint to listen on, such as " LEAT_BROKER_ENDPOINT;
    if (wrong)
        snprintf (error, error_size, "%s", wrong);
    return wrong ? -1 : 0;
}

leat_broker_t *leat_broker_new (const leat_broker_options_t *options, char *error,
                                size_t error_size)
{
    if (s_check (options, error, error_size))
        return NULL;
    leat_broker_t *self = leat_alloc (sizeof *self);
    self->limits = options->limits;
    self->notice = options->notice;
    self->notice_arg = options->notice_arg;
    self->software = leat_copy_text (options->software, strlen (options->software));
    const char *directory = options->store_options.path;
    self->directory = directory ? leat_copy_text (directory, strlen (directory)) : NULL;
    /* First of all, so that every thread made from here on has the signals blocked. */
    self->control = leat_control_new (options->signals, error, error_size);
    if (!self->control || s_begin_context (self, error, error_size)
        || s_begin_core (self, options, error, error_size)
        || s_bind_router (self, options, error, error_size)
        || s_bind_stats (self, options, error, error_size))
        leat_broker_destroy (&self);
    return self;
}

/* ---- the rest -------------------------------------------------------------------------------- */

void leat_broker_destroy (leat_broker_t **self_p)
{
    leat_broker_t *self = *self_p;
    if (!self)
        return;
    *self_p = NULL;
    leat_router_destroy (&self->router, self->linger_ms);
    leat_stats_socket_destroy (&self->stats);
    if (self->store && self->core)
        leat_store_release (self->store, leat_core_incarnation (self->core));
    leat_core_destroy (&self->core);
    leat_store_close (&self->store);
    /* Waits for what is left to be sent, as long as linger_ms. */
    while (self->context && zmq_ctx_term (self->context) && errno == EINTR)
        continue;
    leat_control_destroy (&self->control);
    for (size_t index = 0; index < self->endpoint_count; index++) {
        leat_endpoint_forget (self->endpoints[index]);
        free (self->endpoints[index]);
    }
    if (self->stats_endpoint)
        leat_endpoint_forget (self->stats_endpoint);
    free (self->endpoints);
    free (self->stats_endpoint);
    free (self->directory);
    free (self->software);
    free (self);
}

leat_broker_end_t leat_broker_run (leat_broker_t *self)
{
    leat_assert (!self->ran);
    self->ran = true;
    leat_report_source_t report = { .core = self->core,
                                    .store = self->store,
                                    .limits = &self->limits,
                                    .router = leat_router_counters (self->router),
                                    .software = self->software,
                                    .endpoints = (const char *const *) self->endpoints,
                                    .endpoint_count = self->endpoint_count,
                                    .stats_endpoint = self->stats_endpoint,
                                    .directory = self->directory,
                                    .incarnation = self->incarnation };
    const leat_reactor_parts_t parts = { .core = self->core,
                                         .store = self->store,
                                         .router = self->router,
                                         .stats = self->stats,
                                         .control = self->control,
                                         .report = &report,
                                         .notice = self->notice,
                                         .notice_arg = self->notice_arg };
    switch (leat_reactor_run (&parts, self->reason, sizeof self->reason)) {
    case LEAT_REACTOR_STOPPED:
    case LEAT_REACTOR_TOO_LATE:
        self->linger_ms = LINGER_MS;
        return LEAT_BROKER_STOPPED;
    case LEAT_REACTOR_QUIT:
        return LEAT_BROKER_QUIT;
    case LEAT_REACTOR_FAILED:
        break;
    }
    return LEAT_BROKER_FAILED;
}

const char *leat_broker_reason (const leat_broker_t *self)
{
    return self->reason;
}

void leat_broker_stop (leat_broker_t *self)
{
    leat_control_stop (self->control);
}

const char *leat_broker_endpoint (const leat_broker_t *self, size_t index)
{
    leat_assert (index < self->endpoint_count);
    return self->endpoints[index];
}

const char *leat_broker_stats_endpoint (const leat_broker_t *self)
{
    return self->stats_endpoint;
}

/* The client: what the application asks of it. Its thread is in client_thread.c.
 * SPDX-License-Identifier: MPL-2.0 */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/random.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include <zmq.h>

#include "client/client_state.h"
#include "leat.h"
#include "wire/alloc.h"
#include "wire/assert.h"

#define S_TEXT(x) #x
#define S_NUMBER(x) S_TEXT (x)
#define S_SOFTWARE                                                                                 \
    "libleat " S_NUMBER (LEAT_VERSION_MAJOR) "." S_NUMBER (LEAT_VERSION_MINOR) "." S_NUMBER (      \
        LEAT_VERSION_PATCH)

enum { CLOSING_TIMEOUT_MS = 5000, RANDOM_IDENTITY_SIZE = 16 };

/* ---- beginning and end ----------------------------------------------------------------------- */

/* The kernel gives up to 256 bytes whole once it has been seeded (getrandom (2)). */
static void s_random (void *bytes, size_t size)
{
    ssize_t given;
    do
        given = getrandom (bytes, size, 0);
    while (given < 0 && errno == EINTR);
    leat_assert (given == (ssize_t) size);
}

static char *s_identity (const char *given)
{
    if (given != NULL)
        return leat_copy_text (given, strlen (given));
    uint8_t bytes[RANDOM_IDENTITY_SIZE];
    char text[2 * RANDOM_IDENTITY_SIZE + 1];
    s_random (bytes, sizeof bytes);
    for (size_t index = 0; index < sizeof bytes; index++)
        snprintf (text + 2 * index, 3, "%02x", bytes[index]);
    return leat_copy_text (text, strlen (text));
}

static leat_session_t *s_session (const leat_client_t *self, const leat_client_options_t *options)
{
    leat_session_options_t session = {
        .identity = self->identity,
        .ephemeral = options->identity == NULL,
        .software = options->software != NULL ? options->software : S_SOFTWARE,
        .endpoints = leat_endpoints_count (self->endpoints),
        .greeting_timeout_ms = options->greeting_timeout_ms,
        .retry_min_ms = options->retry_min_ms,
        .retry_max_ms = options->retry_max_ms,
        .closing_timeout_ms = options->closing_timeout_ms,
    };
    s_random (&session.seed, sizeof session.seed);
    return leat_session_new (&session);
}

static void s_destroy (leat_client_t *self)
{
    leat_assert (TAILQ_EMPTY (&self->ports.all));
    leat_session_destroy (&self->session);
    if (self->owns_context && self->context != NULL)
        zmq_ctx_term (self->context);
    leat_pool_destroy (&self->pool);
    leat_endpoints_destroy (&self->endpoints);
    if (self->wake_fd >= 0)
        close (self->wake_fd);
    if (self->relief_fd >= 0)
        close (self->relief_fd);
    if (self->relay_fd >= 0)
        close (self->relay_fd);
    pthread_mutex_destroy (&self->turn);
    leat_gate_deinit (&self->gate);
    free (self->identity);
    free (self);
}

/* The thread inherits the mask: no signal is ever handled in it, nor in those of libzmq. */
static int s_start_thread (leat_client_t *self)
{
    sigset_t all, before;
    sigfillset (&all);
    pthread_sigmask (SIG_SETMASK, &all, &before);
    int error = pthread_create (&self->thread, NULL, leat_client_run, self);
    pthread_sigmask (SIG_SETMASK, &before, NULL);
    return error;
}

leat_client_t *leat_client_new (const leat_client_options_t *options)
{
    static const leat_client_options_t defaults;
    if (options == NULL)
        options = &defaults;
    if (options->identity != NULL && !leat_name_valid (leat_text (options->identity))) {
        errno = EINVAL;
        return NULL;
    }
    leat_endpoints_t *endpoints = leat_endpoints_new (
        options->endpoints != NULL ? options->endpoints : "tcp://127.0.0.1:5560");
    if (endpoints == NULL) {
        errno = EINVAL;
        return NULL;
    }
    leat_client_t *self = leat_alloc (sizeof *self);
    self->endpoints = endpoints;
    atomic_init (&self->references, 1);
    atomic_init (&self->sleep, LEAT_AWAKE);
    self->identity = s_identity (options->identity);
    uint32_t closing_ms = options->closing_timeout_ms;
    self->closing_timeout_us = (uint64_t) (closing_ms ? closing_ms : CLOSING_TIMEOUT_MS) * 1000;
    leat_ports_init (&self->ports);
    STAILQ_INIT (&self->calls);
    leat_gate_init (&self->gate);
    self->pool = leat_pool_new ();
    self->session = s_session (self, options);
    self->owns_context = options->context == NULL;
    self->context = options->context;
    if (self->owns_context) {
        self->context = zmq_ctx_new ();
        leat_assert (self->context != NULL); /* out of memory */
        zmq_ctx_set (self->context, ZMQ_BLOCKY, 0);
    }
    int error = pthread_mutex_init (&self->turn, NULL);
    leat_assert (error == 0);
    self->wake_fd = eventfd (0, EFD_CLOEXEC | EFD_NONBLOCK);
    self->relief_fd = eventfd (0, EFD_CLOEXEC | EFD_NONBLOCK);
    self->relay_fd = timerfd_create (CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
    bool has_failed = self->wake_fd < 0 || self->relief_fd < 0 || self->relay_fd < 0;
    error = has_failed ? errno : s_start_thread (self);
    if (error == 0)
        return self;
    s_destroy (self);
    errno = error;
    return NULL;
}

void leat_client_destroy (leat_client_t **self_p)
{
    leat_client_t *self = *self_p;
    if (self == NULL)
        return;
    *self_p = NULL;
    atomic_store (&self->is_stopping, true);
    leat_client_wake (self, LEAT_AT_ONCE);
    int error = pthread_join (self->thread, NULL);
    leat_assert (error == 0);
    leat_client_release (self);
}

void leat_client_hold (leat_client_t *self)
{
    atomic_fetch_add (&self->references, 1);
}

void leat_client_release (leat_client_t *self)
{
    if (atomic_fetch_sub (&self->references, 1) == 1)
        s_destroy (self);
}

/* ---- between threads ------------------------------------------------------------------------- */

/* These fail only if they are used wrongly. */
void leat_client_take_turn (leat_client_t *self)
{
    int error = pthread_mutex_lock (&self->turn);
    leat_assert (error == 0);
}

bool leat_client_try_turn (leat_client_t *self)
{
    int error = pthread_mutex_trylock (&self->turn);
    leat_assert (error == 0 || error == EBUSY);
    return error == 0;
}

void leat_client_give_turn (leat_client_t *self)
{
    int error = pthread_mutex_unlock (&self->turn);
    leat_assert (error == 0);
}

void leat_client_call (leat_client_t *self, leat_call_fn *fn, void *arg)
{
    static const leat_deadline_t never = { .is_never = true };
    leat_call_t call = { .fn = fn, .arg = arg };
    leat_gate_lock (&self->gate);
    bool is_own_thread = !self->has_ended && pthread_equal (pthread_self (), self->thread);
    if (is_own_thread || self->has_ended) {
        if (is_own_thread)
            leat_gate_unlock (&self->gate);
        fn (arg);
        if (!is_own_thread)
            leat_gate_unlock (&self->gate);
        return;
    }
    STAILQ_INSERT_TAIL (&self->calls, &call, link);
    atomic_store (&self->has_calls, true);
    leat_client_wake (self, LEAT_AT_ONCE);
    while (!call.is_done)
        leat_gate_wait (&self->gate, &never);
    leat_gate_unlock (&self->gate);
}

void leat_client_join (leat_client_t *self, leat_port_t *port, leat_attention_t *engine)
{
    port->client = self;
    leat_client_hold (self);
    leat_ports_add (&self->ports, port);
    engine->fn = leat_port_notice;
    engine->arg = port;
}

void leat_client_part (leat_client_t *self, leat_port_t *port)
{
    if (self->draining == port)
        self->draining = TAILQ_NEXT (port, link);
    leat_ports_remove (&self->ports, port);
}

/* ---- what the application asks --------------------------------------------------------------- */

int leat_client_verdict (const leat_client_t *self)
{
    if (self->state == LEAT_SESSION_FAILED || self->state == LEAT_SESSION_FENCED)
        return EPIPE;
    return self->has_ended ? ESHUTDOWN : 0;
}

static int s_look_ready (void *arg)
{
    const leat_client_t *self = arg;
    int verdict = leat_client_verdict (self);
    return verdict == 0 && !self->was_ready ? EAGAIN : verdict;
}

int leat_client_wait (leat_client_t *self, int timeout_ms)
{
    int error = leat_gate_await (&self->gate, timeout_ms, s_look_ready, self);
    errno = error;
    return error == 0 ? 0 : -1;
}

bool leat_client_connected (leat_client_t *self)
{
    leat_gate_lock (&self->gate);
    bool connected = self->state == LEAT_SESSION_READY;
    leat_gate_unlock (&self->gate);
    return connected;
}

leat_code_t leat_client_tell (const leat_fault_t *fault, char *text, size_t size)
{
    if (text != NULL && size > 0)
        snprintf (text, size, "%s", fault->text);
    return fault->code;
}

leat_code_t leat_client_error (leat_client_t *self, char *text, size_t size)
{
    leat_gate_lock (&self->gate);
    leat_code_t code = leat_client_tell (&self->fault, text, size);
    leat_gate_unlock (&self->gate);
    return code;
}

const char *leat_client_identity (const leat_client_t *self)
{
    return self->identity;
}

uint64_t leat_client_losses (leat_client_t *self)
{
    leat_gate_lock (&self->gate);
    uint64_t losses = self->losses;
    leat_gate_unlock (&self->gate);
    return losses;
}

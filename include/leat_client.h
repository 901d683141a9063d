/* A client: a process' connection to a broker, which its producers and consumers share.
 * SPDX-License-Identifier: MPL-2.0 */
#ifndef LEAT_CLIENT_H
#define LEAT_CLIENT_H

#include "leat_types.h"

#ifdef __cplusplus
extern "C" {
#endif

/* One thread and one ZeroMQ DEALER socket. The thread connects, keeps the heartbeats going however
 * long the application is busy, and connects again, with back-off and jitter, to the next endpoint
 * of the list whenever the broker is lost: for ever, until it is destroyed, refused for good or
 * displaced. All signals are blocked in it. A thread of the application that waits in one of the
 * library's functions, or sends, may do some of its work meanwhile, which saves waking it; functions of
 * the application are never called that way.
 *
 * Any thread may call any of these functions at any time, but for leat_client_destroy, which comes
 * last. */
typedef struct leat_client leat_client_t;

typedef struct {
    /* "tcp://HOST:PORT" or "ipc://PATH"; several, separated by commas or blanks, are tried in turn.
     * NULL: "tcp://127.0.0.1:5560". */
    const char *endpoints;

    /* NULL: random and forgotten by the broker soon after the end. A client that comes back under
     * the same identity continues its sequences (see leat_producer.h); if two have it at the same
     * time, the older one is displaced and stops. */
    const char *identity;

    /* Name and version for the broker's statistics; NULL: the library's own. */
    const char *software;

    /* A ZeroMQ context to share, which must outlive the client; NULL: one of its own. A client takes three
     * of its sockets: of the 1,023 that it has unless zmq_ctx_set (ZMQ_MAX_SOCKETS) is called before the
     * first one is made, 340 clients have enough (and one that connects again may need three more for a
     * moment). leat_client_error says so when there are none left. */
    void *context;

    uint32_t greeting_timeout_ms; /* 0: 5000. A broker must have answered by then */
    uint32_t retry_min_ms;        /* 0: 100. Back-off before connecting again; doubles, */
    uint32_t retry_max_ms;        /* 0: 5000. up to this, each with jitter */
    uint32_t closing_timeout_ms;  /* 0: 5000. leat_client_destroy takes no longer */
} leat_client_options_t;

/* Begins to connect, and returns at once. `options` may be NULL; its strings are copied. NULL with
 * errno EINVAL (a name or endpoint that cannot be one), or what pthread_create or eventfd set. */
LEAT_EXPORT leat_client_t *leat_client_new (const leat_client_options_t *options);

/* Ends in order: what its producers still have is sent and confirmed, consumers leave, the session
 * ends; all that for at most closing_timeout_ms, and not at all if there is no connection and nothing
 * is unconfirmed. Producers and consumers that live on get ESHUTDOWN and wait to be destroyed. */
LEAT_EXPORT void leat_client_destroy (leat_client_t **self_p);

/* Waits until a broker has welcomed the client for the first time. Returns 0, or -1 with errno
 * ETIMEDOUT (leat_client_error tells what went wrong so far) or EPIPE. */
LEAT_EXPORT int leat_client_wait (leat_client_t *self, int timeout_ms);

/* True while a session is up. */
LEAT_EXPORT bool leat_client_connected (leat_client_t *self);

/* The last refusal or loss of the connection, as a code and a sentence that is safe to print; ""
 * and LEAT_OK if there was none. `text` (may be NULL) has `size` bytes, 512 are enough. */
LEAT_EXPORT leat_code_t leat_client_error (leat_client_t *self, char *text, size_t size);

/* The identity, also if it is random. Valid as long as the client. */
LEAT_EXPORT const char *leat_client_identity (const leat_client_t *self);

/* How often a session was lost and had to be made anew. */
LEAT_EXPORT uint64_t leat_client_losses (leat_client_t *self);

#ifdef __cplusplus
}
#endif

#endif

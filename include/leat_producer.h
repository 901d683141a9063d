/* A producer: publishes records into a stream, in order, each once.
 * SPDX-License-Identifier: MPL-2.0 */
#ifndef LEAT_PRODUCER_H
#define LEAT_PRODUCER_H

#include "leat_client.h"
#include "leat_record.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Records are written one after the other into chunks of memory, which go to the broker without being
 * copied again. A record that is sent while little is under way goes at once; while more is, the
 * following ones collect into larger batches, so that throughput grows by itself.
 *
 *      leat_producer_send                                   confirmed by the broker
 *      ------------------+-----------------------------------+-------------------------> sequences
 *       next record      ^          at most window_size      ^
 *                        leat_producer_sent                  leat_producer_confirmed
 *
 * Until a record is confirmed it is kept, and sent again after a lost connection; the broker takes
 * each once. What is confirmed is safe as the stream's durability promises.
 *
 * Threads: one thread at a time may use a producer; whoever passes it to another thread
 * synchronises. leat_producer_confirmed and leat_producer_error may be called by any thread. One
 * client can have any number of producers, but one per stream. */
typedef struct leat_producer leat_producer_t;

/* Sequences number the records of this producer from 1, as it sends them. */
typedef enum {
    /* The first record is published behind all that this identity has published before. */
    LEAT_CONTINUE = 0,

    /* Record n is the n-th of all times: those that the broker has from an earlier run under the
     * same identity are not published again. For rerunning the same input from its beginning. */
    LEAT_REPLAY = 1
} leat_numbering_t;

/* Everything up to `sequence` is confirmed; `offset` is the place of that record in the stream,
 * UINT64_MAX if it is not known (confirmed in an earlier session). Called by the client's thread,
 * with growing sequences, not for each of them: it must return soon, and may neither wait for
 * anything of this client nor destroy it. */
typedef void (leat_confirmed_fn) (void *arg, uint64_t sequence, uint64_t offset);

/* Gives back memory that was lent; runs in any thread, even after the producer is gone. */
typedef void (leat_free_fn) (void *hint);

typedef struct {
    bool must_exist; /* fail if the stream does not exist, instead of making it */
    leat_numbering_t numbering;
    uint32_t window_size;     /* bytes, 0: 32 MiB. Unconfirmed records, at most; one is allowed */
    uint32_t batch_size;      /* bytes, to be reached while much is under way. 0: 256 KiB, or 1 MiB
                                 while the client has no other producer */
    uint32_t record_size_max; /* bytes, 0: 1 MiB. Or what the broker takes, if that is less */
    uint32_t linger_us;       /* 0: 5000. While there is room a record waits no longer for others */
    bool fail_when_full;      /* when the window is full: EAGAIN at once; otherwise wait, */
    uint32_t send_timeout_ms; /* for so long; 0: until there is room */
    leat_confirmed_fn *confirmed; /* may be NULL */
    void *arg;                    /* of `confirmed` */
} leat_producer_options_t;

/* `options` may be NULL; it and the name are copied. Returns at once, or NULL with errno EINVAL (the
 * stream's name, or a size beyond what the protocol has), EBUSY (this client has a producer for the
 * stream), ENOSPC (the broker takes no more producers and consumers of this client), EPIPE or
 * ESHUTDOWN. That the broker refuses the stream shows later, as EPIPE of the functions below. */
LEAT_EXPORT leat_producer_t *leat_producer_new (leat_client_t *client, const char *stream,
                                                const leat_producer_options_t *options);

/* Does not wait: what is not confirmed yet goes on being sent by the client, as long as it lives, but
 * nobody will hear of it; leat_producer_flush comes before. The callback is not called any more. */
LEAT_EXPORT void leat_producer_destroy (leat_producer_t **self_p);

/* Sends a copy of a record: a body alone, or with key and headers. Returns 0, or -1 with errno
 * EMSGSIZE or EINVAL (too large, or headers that are none: never numbered), EAGAIN or ETIMEDOUT
 * (window full), EPIPE or ESHUTDOWN; the record is not sent then. */
LEAT_EXPORT int leat_producer_send (leat_producer_t *self, const void *body, size_t size);
LEAT_EXPORT int leat_producer_send_record (leat_producer_t *self, const leat_record_t *record);

/* Sends a record that is written in place: returns where `size` bytes of body belong, or NULL with
 * errno as above. leat_producer_commit sends its first `size` bytes (not more than were reserved);
 * whatever else is called for the producer in between forgets what was reserved. */
LEAT_EXPORT void *leat_producer_reserve (leat_producer_t *self, size_t size);
LEAT_EXPORT void leat_producer_commit (leat_producer_t *self, size_t size);

/* Sends a record from memory that is lent, for bodies too large to be copied. `block` begins with
 * LEAT_HEADROOM bytes, which the library overwrites; the body of `size` bytes follows them. When all
 * of it is confirmed, free_fn (hint) is called. On failure (as above) the caller still has it. */
enum { LEAT_HEADROOM = 8 };
LEAT_EXPORT int leat_producer_send_buffer (leat_producer_t *self, void *block, size_t size,
                                           leat_free_fn *free_fn, void *hint);

/* Records sent so far; the sequence of the last one. */
LEAT_EXPORT uint64_t leat_producer_sent (const leat_producer_t *self);

/* The last record that is confirmed, as are all before it; 0 at first. With LEAT_REPLAY it may be
 * ahead of what was sent. */
LEAT_EXPORT uint64_t leat_producer_confirmed (const leat_producer_t *self);

/* Waits until everything sent is confirmed: 0, or -1 with errno ETIMEDOUT, EPIPE or ESHUTDOWN. */
LEAT_EXPORT int leat_producer_flush (leat_producer_t *self, int timeout_ms);

/* Waits until the broker has told how many records of this identity it has in the stream from
 * before, and gives it in *known. Returns 0, or -1 with errno ETIMEDOUT, EPIPE or ESHUTDOWN. */
LEAT_EXPORT int leat_producer_known (leat_producer_t *self, uint64_t *known, int timeout_ms);

/* Passes over the next `count` records of a LEAT_REPLAY, all of which the broker has
 * (leat_producer_known), without their having to be made. -1 with errno EINVAL if it does not. */
LEAT_EXPORT int leat_producer_skip (leat_producer_t *self, uint64_t count);

/* Why the producer failed or what was refused last, as leat_client_error. */
LEAT_EXPORT leat_code_t leat_producer_error (leat_producer_t *self, char *text, size_t size);

#ifdef __cplusplus
}
#endif

#endif

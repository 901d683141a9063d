/* A consumer: is given records of a stream, shares them with the others of its group, settles them.
 * SPDX-License-Identifier: MPL-2.0 */
#ifndef LEAT_CONSUMER_H
#define LEAT_CONSUMER_H

#include "leat_client.h"
#include "leat_record.h"

#ifdef __cplusplus
extern "C" {
#endif

/*      broker ---> leased to us ---> handed over, "started" ---> received ---> settled
 *                  (credit)          (at most about 1 ms of work)
 *
 * The broker leases records ahead of time, up to the credit. Of what this process has when it dies,
 * only records that it may have started are suspects, delivered again one by one; all others go to
 * somebody else as if nothing had happened. So the library takes a record out of what is leased only
 * when the application is about to start it: when a thread waits for it. Since waking the client's
 * thread takes some 10 us, fast applications are handed more: as many records as they settle in a
 * millisecond at their present pace. An application that takes 1 ms or more for a record has one more
 * lying ready while it works, of which the broker knows that it is not started: it is taken back if somebody
 * else could start it earlier.
 *
 * Each record that is received has to be settled: LEAT_ACK (done), LEAT_NACK (again, after a delay,
 * costs one of its attempts), LEAT_REJECT (a dead letter). Settles are gathered for up to 1 ms; if
 * the connection is lost before they arrive, the records come again, here or elsewhere: at least
 * once. The lease's epoch grows with each delivery, so it can fence writes to other systems.
 *
 * A stream may have a max_processing (leat_admin.h): a record that was started longer ago is taken away
 * and delivered to somebody else, and settling it then comes too late (leat_consumer_stale).
 *
 * Threads: any thread may call any function but leat_consumer_destroy, which comes last, and settle
 * what another one received. Handlers may take as long as they like; heartbeats go on. */
typedef struct leat_consumer leat_consumer_t;

/* Consecutive records that were delivered together; see leat_consumer_receive_batch. */
typedef struct leat_lease leat_lease_t;

/* A record as it was delivered. Views, valid until the record is settled. */
typedef struct {
    leat_record_t record;
    uint64_t offset;     /* its place in the stream */
    uint64_t epoch;      /* of the lease: a fencing token */
    uint64_t time_ms;    /* when the producer sent it, or a log took it, since 1970-01-01 UTC */
    uint32_t attempt;    /* 1 for the first */
    bool redelivered;    /* may have been started before */
    uint32_t index;      /* in the lease; the library's */
    leat_lease_t *lease; /* the library's; NULL once settled */
} leat_delivered_t;

typedef struct {
    const char *group;        /* NULL: "default" */
    bool must_exist;          /* fail if the stream does not exist, instead of making it */
    leat_start_t start;       /* if this is the first consumer of its group */
    uint64_t start_value;     /* offset or time */
    uint32_t credit_records;  /* 0: 100000. Leased and not settled, at most */
    uint64_t credit_size;     /* bytes, 0: 16 MiB */
    uint32_t settle_delay_us; /* 0: 1000. A settle waits no longer for others to join it */
    uint32_t batch_records;   /* 0: no limit. Records in what leat_consumer_receive_batch gives */
} leat_consumer_options_t;

/* `options` may be NULL; strings are copied. NULL with errno EINVAL (a name), ENOSPC (the broker takes
 * no more producers and consumers of this client), EPIPE or ESHUTDOWN. */
LEAT_EXPORT leat_consumer_t *leat_consumer_new (leat_client_t *client, const char *stream,
                                                const leat_consumer_options_t *options);

/* Does not wait. Everything that was received and not settled is nacked, the rest given back; leases
 * and delivered records become invalid. A worker pool goes before its consumer. */
LEAT_EXPORT void leat_consumer_destroy (leat_consumer_t **self_p);

/* ---- one by one ------------------------------------------------------------------------------ */

/* Gives the next record. Returns 0, or -1 with errno EAGAIN (timeout_ms is 0 and nothing is at hand;
 * it is asked for, so try again), ETIMEDOUT, ENODATA (the group is empty, if
 * leat_consumer_ask_empty asked for that), ESHUTDOWN (leaving) or EPIPE. */
LEAT_EXPORT int leat_consumer_receive (leat_consumer_t *self, leat_delivered_t *delivered,
                                       int timeout_ms);

/* Settles a record, once, and ends its views. delay_ms: 0 lets the broker choose. `reason` (up to
 * 1,024 bytes are kept) stays with the dead letter; may be NULL. Returns 0, or -1 with errno
 * EALREADY. Whether the lease still held is told by leat_consumer_stale. */
LEAT_EXPORT int leat_consumer_ack (leat_consumer_t *self, leat_delivered_t *delivered);
LEAT_EXPORT int leat_consumer_nack (leat_consumer_t *self, leat_delivered_t *delivered,
                                    uint32_t delay_ms);
LEAT_EXPORT int leat_consumer_reject (leat_consumer_t *self, leat_delivered_t *delivered,
                                      const char *reason);

/* Gives a record back that was received but never started; it costs no attempt. Returns as those. */
LEAT_EXPORT int leat_consumer_give_back (leat_consumer_t *self, leat_delivered_t *delivered);

/* ---- in batches, for speed ------------------------------------------------------------------- */

/* Gives the next records that were delivered together, all of which count as started; NULL with
 * errno as leat_consumer_receive. One lock per batch instead of two per record. A lease is used by
 * one thread at a time.
 *
 *      while ((lease = leat_consumer_receive_batch (consumer, -1)) != NULL) {
 *          while (leat_lease_next (lease, &delivered))
 *              handle (&delivered);
 *          leat_lease_ack (&lease);
 *      }
 */
LEAT_EXPORT leat_lease_t *leat_consumer_receive_batch (leat_consumer_t *self, int timeout_ms);

/* How many records were delivered with it, settled ones included. */
LEAT_EXPORT uint32_t leat_lease_count (const leat_lease_t *self);

/* The next record of the lease, false after the last. It may be settled by itself (nacked, say). */
LEAT_EXPORT bool leat_lease_next (leat_lease_t *self, leat_delivered_t *delivered);

/* Settles, or gives back, all records of the lease that were not settled by themselves, and ends
 * the lease with all views into it. NULL is harmless. */
LEAT_EXPORT void leat_lease_ack (leat_lease_t **self_p);
LEAT_EXPORT void leat_lease_nack (leat_lease_t **self_p, uint32_t delay_ms);
LEAT_EXPORT void leat_lease_reject (leat_lease_t **self_p, const char *reason);
LEAT_EXPORT void leat_lease_give_back (leat_lease_t **self_p);

/* ---- by handlers ----------------------------------------------------------------------------- */

/* Set by a handler beside what it returns. */
typedef struct {
    uint32_t delay_ms;  /* of a nack */
    const char *reason; /* of a reject; must be valid until the handler's next call */
} leat_verdict_t;

/* Handles one record and says what is to become of it. `verdict` begins as zero. */
typedef leat_outcome_t (leat_handler_fn) (void *arg, const leat_delivered_t *delivered,
                                          leat_verdict_t *verdict);

/* Threads that receive, call the handler and settle, one record at a time each. All signals are
 * blocked in them (a handler that starts programs gives those a mask of their own). One thread at a
 * time may use a pool, and none of its own: a handler that wants the end calls leat_consumer_leave
 * (consumer, 0). */
typedef struct leat_worker_pool leat_worker_pool_t;

/* `arg` is the handler's, and stays the caller's. NULL with errno EINVAL (no threads, or more than
 * 1,024; no handler) or what pthread_create set. */
LEAT_EXPORT leat_worker_pool_t *leat_worker_pool_new (leat_consumer_t *consumer, unsigned threads,
                                                      leat_handler_fn *handler, void *arg);

/* Waits until the threads have ended, because leat_consumer_receive failed: returns the errno of
 * that (ESHUTDOWN, ENODATA, EPIPE). */
LEAT_EXPORT int leat_worker_pool_wait (leat_worker_pool_t *self);

/* Makes the consumer leave, waits until the handlers that run have returned, and ends the threads. */
LEAT_EXPORT void leat_worker_pool_destroy (leat_worker_pool_t **self_p);

/* ---- flushing, emptiness, leaving ------------------------------------------------------------ */

/* Waits until everything settled so far is committed by the broker. Returns 0, or -1 with errno
 * ETIMEDOUT, EPIPE or ESHUTDOWN. If the connection is lost meanwhile it returns 0 too, and
 * leat_client_losses has grown by then; what had not arrived is delivered again. */
LEAT_EXPORT int leat_consumer_flush (leat_consumer_t *self, int timeout_ms);

/* Asks the broker to tell as soon as the group has nothing ready, delayed, suspect or in flight at
 * anybody. From then on receiving returns ENODATA instead of waiting. */
LEAT_EXPORT void leat_consumer_ask_empty (leat_consumer_t *self);

/* Waits for that: 0, or -1 with errno ETIMEDOUT, EPIPE or ESHUTDOWN. */
LEAT_EXPORT int leat_consumer_wait_empty (leat_consumer_t *self, int timeout_ms);

/* Sets other ceilings of credit; 0 means none here, so that nothing more is leased. */
LEAT_EXPORT void leat_consumer_allow (leat_consumer_t *self, uint32_t credit_records,
                                      uint64_t credit_size);

/* Leaves in order: what is not received is given back at once, threads that wait for records get
 * ESHUTDOWN, and when all that was received is settled the broker is told and confirms. Waits for
 * that: 0, or -1 with errno ETIMEDOUT (with 0: has begun to leave) or EPIPE. May be called again. */
LEAT_EXPORT int leat_consumer_leave (leat_consumer_t *self, int timeout_ms);

/* True if the broker's operator asked this consumer to leave. It does so by itself, as if
 * leat_consumer_leave had been called. */
LEAT_EXPORT bool leat_consumer_drained (const leat_consumer_t *self);

/* Records whose settle came too late: the lease was lost, they are delivered again. */
LEAT_EXPORT uint64_t leat_consumer_stale (const leat_consumer_t *self);

/* Batches that arrived damaged and were sent back. */
LEAT_EXPORT uint64_t leat_consumer_damaged (const leat_consumer_t *self);

/* Why the consumer failed or what was refused last, as leat_client_error. */
LEAT_EXPORT leat_code_t leat_consumer_error (leat_consumer_t *self, char *text, size_t size);

#ifdef __cplusplus
}
#endif

#endif

/* The broker's mind, without I/O: sessions, streams, groups, credit, leases. Every decision is made
 * here; sockets, clocks and disks belong to the driver.
 * SPDX-License-Identifier: MPL-2.0 */
#ifndef LEAT_BROKER_CORE_CORE_H
#define LEAT_BROKER_CORE_CORE_H

#include "broker/core/limits.h"
#include "wire/commit.h"
#include "wire/outbox.h"

/* The driver (broker/io with a ROUTER socket, the simulator, the fuzzer) does in each turn:
 *
 *      leat_core_tick (core, now_us, wall_ms);               time passes
 *      leat_core_receive (core, peer, ...);                  for every message, bounded per turn
 *      leat_core_run (core);                                 decides; what is overdue is overdue
 *      while ((commit = leat_core_next_commit (core)))       hand it to the store; when it is done,
 *          leat_core_completed (core, id, result);           at once or in a later turn, in order
 *      while (leat_core_next_read (core, &read))             likewise, if the store reads:
 *          leat_core_read_done (core, read.token, ...);      once for each batch, or
 *          leat_core_looked (core, read.token, ...);         for each header
 *      if any completed or was read: leat_core_run (core) again
 *      while (leat_outbox_next (leat_core_outbox (core), &message))
 *          send it, or leat_core_unreachable (core, message.peer)
 *      while (leat_core_next_cut (core, &peer))
 *          end its connection
 *
 * Same inputs and seed, same outputs. One thread.
 */
typedef struct leat_core leat_core_t;

typedef struct {
    leat_limits_t limits;
    uint64_t incarnation; /* larger than at any start before; see leat_core_incarnation */
    uint64_t seed;        /* of jitter */
    bool durable;         /* the store survives a power cut once it says OK */
    bool reads;           /* the store reads back, so that not all has to stay in memory */
    bool tells; /* leat_core_next_told is asked; else commits of memory streams are forgotten */
    const char *software; /* told in WELCOME; copied */
} leat_core_options_t;

leat_core_t *leat_core_new (const leat_core_options_t *options);
void leat_core_destroy (leat_core_t **self_p);

/* ---- recovery: before anything else, every commit that the store has, in order ---------------- */

/* Applies one encoded commit. LEAT_OK, or LEAT_MALFORMED if it is damaged or contradicts what came
 * before it; then the core must be destroyed. */
leat_code_t leat_core_recover (leat_core_t *self, leat_buffer_t *commit);

/* ---- inputs ---------------------------------------------------------------------------------- */

/* Time passes: monotonic microseconds, which never decrease, and milliseconds since 1970 UTC. What is
 * due happens in leat_core_run, after what had arrived was received, so that a broker that was itself
 * stopped does not take its peers for dead. */
void leat_core_tick (leat_core_t *self, uint64_t now_us, uint64_t wall_ms);

/* A message from a peer: `frames` is the number of its frames, `header` the first, `body` the second
 * (borrowed; NULL if there is none). `peer` is any number that names the connection and is never
 * used for another one. */
void leat_core_receive (leat_core_t *self, uint64_t peer, unsigned frames, const uint8_t *header,
                        size_t header_size, leat_buffer_t *body);

/* A message to that peer could not be sent, or its connection is known to have ended and everything
 * that came over it has been received: its session is lost. Harmless for unknown peers. */
void leat_core_unreachable (leat_core_t *self, uint64_t peer);

/* True if the peer has a session. */
bool leat_core_has_session (leat_core_t *self, uint64_t peer);

/* The store has finished a commit; to be called for each, in order of their ids. After UNKNOWN or
 * FENCED the core has failed. */
void leat_core_completed (leat_core_t *self, uint64_t commit, leat_commit_result_t result);

/* The store has no space for records, or has again: until then they are refused before they get into a
 * commit, and settling goes on. */
void leat_core_store_full (leat_core_t *self, bool full);

/* A read has found a batch (header and body; the body is borrowed); or none up to batch->first, which
 * is what a batch of no records says; or one that is DAMAGED (the header tells which records, or more
 * than are there); or NO_SUCH_STREAM. `last`: nothing more comes for this token. */
void leat_core_read_done (leat_core_t *self, uint64_t token, leat_code_t code,
                          const leat_batch_t *batch, leat_buffer_t *body, bool last);

/* A look has found the header of a batch (first, count and time_ms count) whose body takes `size` bytes; the
 * codes, a batch of no records and `last` are as above. */
void leat_core_looked (leat_core_t *self, uint64_t token, leat_code_t code,
                       const leat_batch_t *batch, uint64_t size, bool last);

/* Takes decisions that inputs left open: builds a commit, hands out records, grants credit,
 * confirms. */
void leat_core_run (leat_core_t *self);

/* Ends in order: nothing new is taken, commits under way are waited for, then every peer is told
 * BYE (SHUTTING_DOWN, retry after `retry_after_ms`). */
void leat_core_shutdown (leat_core_t *self, uint32_t retry_after_ms);

/* ---- outputs --------------------------------------------------------------------------------- */

leat_outbox_t *leat_core_outbox (leat_core_t *self);

/* The next commit for the store, or NULL. The caller owns it. */
leat_commit_t *leat_core_next_commit (leat_core_t *self);

/* The next commit of memory streams beside a store: it is done already, and no store is to have it. For
 * whoever looks on; NULL if there is none. The caller owns it. To be asked after each input, before the
 * outbox is looked at, if the options said so. */
leat_commit_t *leat_core_next_told (leat_core_t *self);

/* The next read for the store: the batch of stream number `stream` that holds `offset`, or the next one
 * there is, and those behind it until they cost `size` (leat_batch_cost). Where `headers` is not 0 it is a
 * look: for the headers of so many batches, without their bodies. */
typedef struct {
    uint64_t token;
    uint32_t stream;
    uint64_t offset;
    uint64_t size;
    uint32_t headers;
} leat_core_read_t;

/* False if there is none. */
bool leat_core_next_read (leat_core_t *self, leat_core_read_t *read);

/* The next peer whose connection the driver is to end, after what the outbox has for it was sent and it
 * had a moment to read that: its session is over for too many offences, or it has none and goes on.
 * False if there is none. To be asked in each turn. */
bool leat_core_next_cut (leat_core_t *self, uint64_t *peer);

/* Records that expired in a log before a group had settled them, since that group was told of last. The
 * texts borrow from the core, until its next call. */
typedef struct {
    leat_text_t stream;
    leat_text_t group;
    uint64_t records;
} leat_core_loss_t;

/* The next group that lost records, once for all that it lost; false if there is none. To be asked now and
 * then, so that somebody hears of it. */
bool leat_core_next_loss (leat_core_t *self, leat_core_loss_t *loss);
bool leat_core_has_loss (const leat_core_t *self);

/* How many bytes, at most, a peer that keeps to the protocol can have sent that the core has not
 * received: its credit, settles of what it holds, and what it takes to open all its channels. Looks at
 * all its channels. */
uint64_t leat_core_allowance (leat_core_t *self, uint64_t peer);

/* When leat_core_tick has something to do, in monotonic microseconds; UINT64_MAX for never. */
uint64_t leat_core_deadline (const leat_core_t *self);

/* True after leat_core_shutdown once nothing is left to do but to send the outbox. */
bool leat_core_stopped (const leat_core_t *self);

/* True after a commit ended UNKNOWN or FENCED: the core answers nothing any more. Destroy it,
 * acquire the store again and recover a new one. */
bool leat_core_failed (const leat_core_t *self);

/* The incarnation that lease epochs have reached; a store that persists incarnations must make the
 * next one larger. Epoch is incarnation * 2^20 + a counter that may run over: at up to 2^20 leases
 * a millisecond, milliseconds since 1970 at start therefore always are large enough. */
uint64_t leat_core_incarnation (const leat_core_t *self);

/* Checks everything that must always hold of its own state: sums, trees, back references. Slow; for
 * tests. Asserts. */
void leat_core_check (const leat_core_t *self);

#endif

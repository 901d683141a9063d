/* What an engine wants sent: a queue of messages that its driver empties.
 * SPDX-License-Identifier: MPL-2.0 */
#ifndef LEAT_WIRE_OUTBOX_H
#define LEAT_WIRE_OUTBOX_H

#include "wire/batch.h"
#include "wire/buffer.h"
#include "wire/command.h"

typedef struct leat_outbox leat_outbox_t;

/* One ZeroMQ message: a frame `header`, and if body.buffer is not NULL a second frame. */
typedef struct {
    uint64_t peer; /* to whom; clients have one peer, 0 */
    const uint8_t *header;
    size_t header_size;
    leat_slice_t body;
} leat_message_t;

leat_outbox_t *leat_outbox_new (void);
void leat_outbox_destroy (leat_outbox_t **self_p);

/* Queues a command, encoded at once. */
void leat_outbox_command (leat_outbox_t *self, uint64_t peer, const leat_command_t *command);

/* Queues a batch: header and a part of a body, of which the outbox takes a reference of its own. */
void leat_outbox_batch (leat_outbox_t *self, uint64_t peer, const leat_batch_t *batch,
                        leat_slice_t body);

/* Adds one more slice to the message queued last, which is a DELIVER for the same channel with less than
 * LEAT_SLICES_MAX of them. Their bytes are copied together when the message is taken out. */
void leat_outbox_join (leat_outbox_t *self, const leat_batch_t *batch, leat_slice_t body);

/* Takes the oldest message out, or returns false. The message and its body borrow from the outbox
 * until the next call of any function of it; hold the buffer to keep the body. */
bool leat_outbox_next (leat_outbox_t *self, leat_message_t *message);

/* Messages that wait. */
size_t leat_outbox_count (const leat_outbox_t *self);

/* Drops everything. */
void leat_outbox_clear (leat_outbox_t *self);

#endif

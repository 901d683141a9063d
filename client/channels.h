/* The producers and consumers of a session, and the channels that they have at the broker.
 * SPDX-License-Identifier: MPL-2.0 */
#ifndef LEAT_CLIENT_CHANNELS_H
#define LEAT_CLIENT_CHANNELS_H

#include "client/session.h"

/* Engines stay the caller's. Channel numbers grow from 1 in each connection; none is used twice. */
typedef struct leat_channels leat_channels_t;

leat_channels_t *leat_channels_new (void);
void leat_channels_destroy (leat_channels_t **self_p);

/* Engines that were added and not removed. */
uint32_t leat_channels_count (const leat_channels_t *self);

/* True if a producer for this stream is there that has neither ended nor failed, or one that has failed
 * and whose channel is not closed yet. */
bool leat_channels_publishes (const leat_channels_t *self, const char *stream);

void leat_channels_add_producer (leat_channels_t *self, struct leat_producer_engine *producer);
void leat_channels_add_consumer (leat_channels_t *self, struct leat_consumer_engine *consumer);

/* A producer's channel is closed in `outbox`, NULL if nothing may be said; its unanswered batches stay in
 * the window until the broker has answered them. */
void leat_channels_remove_producer (leat_channels_t *self, struct leat_producer_engine *producer,
                                    leat_outbox_t *outbox);
void leat_channels_remove_consumer (leat_channels_t *self, struct leat_consumer_engine *consumer);

/* Opens and attaches what has no channel in this connection yet. */
void leat_channels_begin (leat_channels_t *self, const leat_session_terms_t *terms,
                          leat_outbox_t *outbox);

/* True if leat_channels_begin has something to do. */
bool leat_channels_waiting (const leat_channels_t *self);

/* The connection is gone; numbers begin anew. */
void leat_channels_lost (leat_channels_t *self);

/* Gives a command or batch to the engine that it is for. Commands for channels that are forgotten
 * are dropped. False if the command breaks the protocol: no channel's, for a channel that never was,
 * or not what the engine can be told. */
bool leat_channels_receive (leat_channels_t *self, const leat_command_t *command, uint64_t now_us,
                            leat_session_window_t *window, leat_outbox_t *outbox);
bool leat_channels_deliver (leat_channels_t *self, const leat_batch_t *batch, leat_slice_t records,
                            leat_outbox_t *outbox);

/* Lets those engines act to which something was done, or whose time has come. Producers share the
 * window: those that find no room queue for it. */
void leat_channels_run (leat_channels_t *self, uint64_t now_us, leat_session_window_t *window,
                        leat_outbox_t *outbox);

/* The engines' earliest deadline; whether one of them waits for an answer or holds leases. */
uint64_t leat_channels_deadline (const leat_channels_t *self);
bool leat_channels_busy (const leat_channels_t *self);

/* Producers close, consumers leave. */
void leat_channels_close (leat_channels_t *self);

/* True if all have ended or failed. Without a connection also if nothing is left to be sent: the
 * leases of consumers are gone then. */
bool leat_channels_done (const leat_channels_t *self, bool is_connected);

#endif

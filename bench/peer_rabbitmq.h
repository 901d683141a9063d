/* RabbitMQ.
 * SPDX-License-Identifier: MPL-2.0 */
#ifndef LEAT_BENCH_PEER_RABBITMQ_H
#define LEAT_BENCH_PEER_RABBITMQ_H

#include "bench/contender.h"

#ifdef LEAT_WITH_RABBITMQ

#include <amqp.h>

#include "bench/confirms.h"

/* A classic queue; transient messages, or a durable queue with persistent ones.
 *  - publisher confirms taken while publishing goes on, prefetch between 100 and 300, acknowledgements of
 *    several at once: https://www.rabbitmq.com/docs/confirms
 *  - durable queues and persistent messages: https://www.rabbitmq.com/docs/queues */
extern const leat_bench_contender_t leat_bench_rabbitmq;
extern const leat_bench_contender_t leat_bench_rabbitmq_durable;

/* ---- what others do with it ------------------------------------------------------------------ */

#define LEAT_BENCH_RABBITMQ_CHANNEL 1

/* A role: the server. */
int leat_bench_rabbitmq_run (leat_bench_round_t *round, int ready);

/* Whether the answer is a normal one; else notes what was tried. */
bool leat_bench_rabbitmq_good (leat_bench_round_t *round, const char *what, amqp_rpc_reply_t reply);

/* A connection with a channel on which the queue is known to be there; false with the error noted, to
 * be destroyed anyhow. */
bool leat_bench_rabbitmq_open (leat_bench_round_t *round, amqp_connection_state_t *connection,
                               const char *queue, bool durable);

/* Asks for messages of the queue, so many ahead. */
bool leat_bench_rabbitmq_consume (leat_bench_round_t *round, amqp_connection_state_t connection,
                                  const char *queue, unsigned prefetch);

/* Reads confirms of the channel until all up to that message have come. */
bool leat_bench_rabbitmq_await (leat_bench_round_t *round, amqp_connection_state_t connection,
                                leat_bench_confirms_t *confirms, uint64_t until);

#endif

#endif

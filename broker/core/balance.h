/* Who should hold how much, and be asked for what. Private to broker/core/.
 * SPDX-License-Identifier: MPL-2.0 */
#ifndef LEAT_BROKER_CORE_BALANCE_H
#define LEAT_BROKER_CORE_BALANCE_H

#include "broker/core/state.h"

/* dispatch.c */
/* Puts the consumer where its credit and state say it belongs. */
void core_consumer_place (leat_core_t *core, core_consumer_t *consumer);
void core_consumer_unplace (leat_core_t *core, core_consumer_t *consumer);

/* balance.c */
/* Time per record that is to be expected of it now, in microseconds. */
double core_consumer_service_us (const leat_core_t *core, const core_consumer_t *consumer);
/* When it will have finished what it holds. */
uint64_t core_consumer_end_us (const leat_core_t *core, const core_consumer_t *consumer);
/* How many records it should hold at most, whatever its credit; never below 1. */
uint64_t core_consumer_ceiling (const leat_core_t *core, const core_consumer_t *consumer);
/* How many of those that are ready it should get now; 0 if it has enough. */
uint64_t core_consumer_portion (const leat_core_t *core, const core_consumer_t *consumer);
/* So many of its records were settled. */
void core_consumer_settled (leat_core_t *core, core_consumer_t *consumer, uint32_t count);
/* Whether its group counts on it: it is attached and not paused. */
void core_consumer_counts (core_consumer_t *consumer, bool takes);

/* recall.c */
/* Nothing is ready that could be handed out soon, and somebody has nothing to do: asks those for records
 * who have too many. */
void core_recall (leat_core_t *core, core_group_t *group);
/* What is ready has to be read first, and somebody has nothing to do: does the same, but not at once. */
void core_recall_while_reading (leat_core_t *core, core_group_t *group);
/* Asks the consumer for all that it has not started, unless something is asked for already. */
void core_recall_all (leat_core_t *core, core_consumer_t *consumer);
/* No answer is waited for any more: it came, or none will. To be placed by the caller. */
void core_recall_over (leat_core_t *core, core_consumer_t *consumer);
/* It has reported or settled something: if it may have started all that it was asked for, it answers
 * nothing. To be placed by the caller. */
void core_recall_started (leat_core_t *core, core_consumer_t *consumer);

RB_PROTOTYPE (core_ready_consumers, core_consumer, by_next, core_consumer_compare)
RB_PROTOTYPE (core_holders, core_consumer, by_end, core_holder_compare)

#endif

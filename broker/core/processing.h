/* max_processing: records that were started too long ago are taken away from their consumer.
 * SPDX-License-Identifier: MPL-2.0 */
#ifndef LEAT_BROKER_CORE_PROCESSING_H
#define LEAT_BROKER_CORE_PROCESSING_H

#include "broker/core/state.h"

/* The consumer got records, or more of what it has may have been started: to be called whenever its
 * `position` or `reported` grows, after that. Returns at once for streams without max_processing. */
void core_processing_note (leat_core_t *core, core_consumer_t *consumer);

/* The consumer said something that only one does whose application goes on. */
void core_processing_alive (leat_core_t *core, core_consumer_t *consumer);

/* The consumer is gone; the caller balances its group after that. */
void core_processing_end (leat_core_t *core, core_consumer_t *consumer);

/* Consumers came, went, or got stuck: who is stuck gets nothing while others of the group are not, and
 * gives back what it holds. */
void core_processing_balance (leat_core_t *core, core_group_t *group);

/* max_processing of the stream was changed. What its consumers have started has the new time: from
 * when it was started, or from now if there was no limit before. */
void core_processing_changed (leat_core_t *core, core_stream_t *stream);

#endif

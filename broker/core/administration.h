/* Administration: commands that are answered with RESULT.
 * SPDX-License-Identifier: MPL-2.0 */
#ifndef LEAT_BROKER_CORE_ADMINISTRATION_H
#define LEAT_BROKER_CORE_ADMINISTRATION_H

#include "broker/core/state.h"

/* Who waits for a commit, and what it means. */
struct core_request {
    TAILQ_ENTRY (core_request) next;
    uint64_t peer;
    uint32_t number;
    core_stream_t *stream; /* gets `settings` with the commit, or NULL */
    core_settings_t settings;
    char body[40]; /* of the RESULT */
};

/* One of STREAM_LIST to DEAD_DROP. */
void core_administer (leat_core_t *core, core_session_t *session, const leat_command_t *command);

/* The commit that requests wait for is kept, or is not; both answer and forget them. */
void core_requests_committed (leat_core_t *core, struct core_requests *requests);
void core_requests_undone (leat_core_t *core, struct core_requests *requests);
void core_requests_drop (leat_core_t *core, struct core_requests *requests);

/* Sends DRAIN, and gives the consumer nothing more; waits for ATTACHED if need be. */
void core_consumer_drain (leat_core_t *core, core_consumer_t *consumer);
/* For core_consumer_answer, after ATTACHED. */
void core_consumer_drain_again (leat_core_t *core, const core_consumer_t *consumer);

#endif

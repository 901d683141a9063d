/* What the two files that know about commits share.
 * SPDX-License-Identifier: MPL-2.0 */
#ifndef LEAT_SIMULATION_MODEL_COMMIT_H
#define LEAT_SIMULATION_MODEL_COMMIT_H

#include "tests/simulation/model.h"
#include "wire/commit.h"

/* model_commit.c: a violation if it is not there. */
sim_stream_t *sim_model_commit_stream (sim_t *sim, uint32_t id);
sim_group_t *sim_model_commit_group (sim_t *sim, uint32_t stream_id, uint32_t id);

/* model_settle.c: what operations of a kept commit say. */
void sim_model_commit_chunk (sim_t *sim, const leat_operation_chunk_t *chunk);
void sim_model_commit_floor (sim_t *sim, const leat_operation_floor_t *floor);
void sim_model_commit_charged (sim_t *sim, uint32_t stream, uint32_t group, uint64_t offset,
                               uint32_t attempts, bool suspect, uint64_t due_ms);
void sim_model_commit_dead (sim_t *sim, const leat_operation_dead_t *dead);
void sim_model_commit_parked (sim_t *sim, const leat_operation_parked_t *parked);
void sim_model_commit_trim (sim_t *sim, const leat_operation_trim_t *trim);

#endif

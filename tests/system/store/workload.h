/* Commits without end, made from a seed, and what must be in a store after each of them.
 * SPDX-License-Identifier: MPL-2.0 */
#ifndef LEAT_TESTS_STORE_WORKLOAD_H
#define LEAT_TESTS_STORE_WORKLOAD_H

#include "broker/store/store.h"

/* The model beside it applies the same commits to rows in memory, one by one. */
typedef struct workload workload_t;

workload_t *workload_new (uint64_t seed);
void workload_destroy (workload_t **self_p);

/* The next commit, with this id; the model has applied it already unless it is one that the store must
 * refuse. */
leat_commit_t *workload_next (workload_t *self, uint64_t id, bool *refused);

/* Applies a commit to the model, once more for instance. */
void workload_apply (workload_t *self, const leat_commit_t *commit);

/* How many were made. */
uint64_t workload_count (const workload_t *self);

/* A number that tells states apart: of everything that recovery states and of all batches. */
uint64_t workload_digest (workload_t *self);

/* The largest commit that a store under this load may take. */
enum { WORKLOAD_COMMIT_SIZE_MAX = 1024 * 1024 };

/* The same number for a store: opens the directory, recovers, reads everything back and closes. False
 * with a sentence if that cannot be done, or a batch is damaged. */
bool workload_examine (const char *path, uint64_t *digest, char *error, size_t error_size);

/* Waits until the store has an event. False if there was none for 20 seconds. */
bool workload_wait (leat_store_t *store, leat_store_event_t *event);

/* Pseudorandom numbers, below a limit; state must not be 0. */
uint64_t workload_random (uint64_t *state, uint64_t limit);

#endif

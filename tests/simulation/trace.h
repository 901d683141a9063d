/* The readable trace of a run, its hash, and what is said when an invariant does not hold.
 * SPDX-License-Identifier: MPL-2.0 */
#ifndef LEAT_SIMULATION_TRACE_H
#define LEAT_SIMULATION_TRACE_H

#include "tests/simulation/simulation.h"

/* A line: virtual time, who, what. */
__attribute__ ((format (printf, 3, 4))) void sim_trace (sim_t *self, const char *who,
                                                        const char *format, ...);

/* A line for a message: its command's name and fields. `sign` is ">" or "<", `number` a peer's. */
void sim_trace_message (sim_t *self, const char *who, const char *sign, uint64_t number,
                        const uint8_t *header, size_t header_size, size_t body_size);

/* Lines for the operations of a commit. */
void sim_trace_commit (sim_t *self, leat_buffer_t *bytes);

/* Tells which invariant was violated, what was expected and seen and how to run it again, and ends
 * the program with 1. */
_Noreturn __attribute__ ((format (printf, 3, 4))) void
sim_violation (sim_t *self, const char *invariant, const char *format, ...);

/* From now on a failed assertion, a crash or a hang of the engines also names the run. */
void sim_trace_watch (sim_t *self);

#endif

/* Retention `log`: records stay when they are settled, and the oldest go once they are too old or too much.
 * SPDX-License-Identifier: MPL-2.0 */
#ifndef LEAT_BROKER_CORE_RETENTION_H
#define LEAT_BROKER_CORE_RETENTION_H

#include "broker/core/state.h"

/* A batch of it was committed. */
void core_log_grown (leat_core_t *core, core_batch_t *batch);

/* Look in this turn, or the next one, whether anything has expired; streams of work are left alone. */
void core_log_look (leat_core_t *core, core_stream_t *stream);

/* Drops what has expired of all that are to be looked at. */
void core_logs_run (leat_core_t *core);

/* Drops the oldest batches until `size` is free, if the stream is a log with a max_size and lives in memory:
 * there it gets no larger than stream_size, whatever its max_size. False if nothing could go. */
bool core_log_make_room (leat_core_t *core, core_stream_t *stream, uint64_t size);

/* The stream is a log from now on: finds out what it holds. Before what is away was cut: how its parts share what
 * it takes is guessed, and only their sum is known. */
void core_log_begin (leat_core_t *core, core_stream_t *stream);

/* Its settings were changed. */
void core_log_changed (leat_core_t *core, core_stream_t *stream, bool was_log);

/* It goes for good. */
void core_log_end (leat_core_t *core, core_stream_t *stream);

/* In recovery: everything below `first` has expired. False if a batch lies across. */
bool core_log_recover (leat_core_t *core, core_stream_t *stream, uint64_t first);

#endif

/* Defaults of the limits, and whether they fit each other.
 * SPDX-License-Identifier: MPL-2.0 */

#include "broker/core/limits.h"
#include "wire/batch.h"

void leat_limits_default (leat_limits_t *limits)
{
    *limits = (leat_limits_t){
#define X(name, value, unit, text) .name = (value),
        LEAT_LIMITS (X)
#undef X
    };
}

const char *leat_limits_check (const leat_limits_t *limits)
{
    const uint64_t largest = (uint64_t) 1 << 48;
    const uint64_t values[] = {
#define X(name, value, unit, text) limits->name,
        LEAT_LIMITS (X)
#undef X
    };
    for (size_t i = 0; i < sizeof values / sizeof *values; i++)
        if (values[i] > largest)
            return "a limit is above 2^48; choose a smaller one";
    if (limits->record_size < 1 || limits->record_size > LEAT_RECORD_SIZE_MAX)
        return "record_size must be from 1 byte to 64MiB";
    if (limits->batch_size < limits->record_size + 8)
        return "batch_size must hold a record of record_size and 8 bytes more";
    if (limits->batch_size > 2 * (uint64_t) LEAT_RECORD_SIZE_MAX)
        return "batch_size must be at most 128MiB";
    uint64_t cost = leat_batch_cost (limits->batch_size);
    if (limits->window_size < cost || limits->window_size > UINT32_MAX)
        return "window_size must hold a batch of batch_size and 512 bytes more, and be below 4GiB";
    if (limits->stream_size < cost)
        return "stream_size must hold a batch of batch_size and 512 bytes more";
    if (limits->memory_size / 16 * 15 < cost)
        return "15/16 of memory_size must hold a batch of batch_size and 512 bytes more";
    if (limits->grant_min_size > limits->grant_max_size)
        return "grant_min_size must not be above grant_max_size";
    if (!limits->sessions || !limits->identities || !limits->streams || !limits->groups
        || !limits->channels || !limits->credit_records || !limits->attempts || !limits->commits
        || !limits->commit_records || !limits->commit_size || !limits->work_in_hand
        || !limits->offences || !limits->expiry_batches || !limits->async_offsets
        || !limits->memory_offsets)
        return "sessions, identities, streams, groups, channels, credit_records, attempts, commits, "
               "commit_records, commit_size, work_in_hand, offences, expiry_batches, "
               "async_offsets and memory_offsets must be at least 1";
    if (limits->credit_size < limits->record_size)
        return "credit_size must hold a record of record_size";
    if (!limits->heartbeat_interval || limits->heartbeat_timeout < 2 * limits->heartbeat_interval
        || limits->heartbeat_timeout > 86400000)
        return "heartbeat_timeout must be at least twice heartbeat_interval, and at most a day";
    if (limits->nack_delay_min > limits->nack_delay_max)
        return "nack_delay_min must not be above nack_delay_max";
    if (limits->channels > UINT32_MAX || limits->attempts > UINT32_MAX
        || limits->credit_records > UINT32_MAX || limits->unreported > UINT32_MAX
        || limits->streams >= UINT32_MAX || limits->groups >= UINT32_MAX)
        return "channels, attempts, credit_records, unreported, streams and groups must be below "
               "2^32";
    return NULL;
}

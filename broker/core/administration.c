/* Administration: streams and their settings, groups, and consumers that are to leave.
 * SPDX-License-Identifier: MPL-2.0 */

#include "broker/core/administration.h"
#include "broker/core/balance.h"
#include "broker/core/processing.h"
#include "broker/core/retention.h"

#include <stdarg.h>

enum {
    RESULT_SIZE = 32768, /* a longer list goes in several RESULTs; an entry fits into the rest */
    ENTRY_SIZE = 1024,
    LOOK_COST = 16 /* bytes that looking at a stream is reckoned as, told or not */
};

/* ---- results --------------------------------------------------------------------------------- */

static void s_result (leat_core_t *core, uint64_t peer, uint32_t number, leat_code_t code,
                      uint16_t flags, leat_text_t body)
{
    leat_command_t command = { .id = LEAT_RESULT };
    command.result.request = number;
    command.result.code = (uint16_t) code;
    command.result.flags = flags;
    command.result.body = body;
    leat_outbox_command (core->outbox, peer, &command);
}

/* `reason` is a text of ours that needs no escapes in JSON; NULL for that of the code. */
static void s_fail (leat_core_t *core, uint64_t peer, uint32_t number, leat_code_t code,
                    const char *reason)
{
    char body[300];
    snprintf (body, sizeof body, "{\"reason\": \"%s\"}", reason ? reason : leat_code_text (code));
    s_result (core, peer, number, code, 0, leat_text (body));
}

/* JSON that may take more than one RESULT. */
typedef struct {
    leat_core_t *core;
    uint64_t peer;
    uint32_t number;
    uint32_t entries;
    uint64_t cost;
    size_t size;
    char text[RESULT_SIZE + ENTRY_SIZE];
} s_list_t;

__attribute__ ((format (printf, 2, 3))) static void s_print (s_list_t *list, const char *format,
                                                             ...)
{
    va_list args;
    va_start (args, format);
    size_t room = sizeof list->text - list->size;
    int size = vsnprintf (list->text + list->size, room, format, args);
    va_end (args);
    leat_assert (size >= 0 && (size_t) size < room);
    list->size += (size_t) size;
}

/* To be called before each entry. */
static void s_next_entry (s_list_t *list)
{
    if (list->entries++)
        s_print (list, ", ");
    if (list->size < RESULT_SIZE)
        return;
    s_result (list->core, list->peer, list->number, LEAT_OK, LEAT_RESULT_MORE,
              (leat_text_t){ list->text, list->size });
    list->cost += list->size;
    list->size = 0;
}

static void s_end_list (s_list_t **list_p)
{
    s_list_t *list = *list_p;
    s_print (list, "]}");
    s_result (list->core, list->peer, list->number, LEAT_OK, 0,
              (leat_text_t){ list->text, list->size });
    core_session_find (list->core, list->peer)->listed += list->cost + list->size;
    free (list);
    *list_p = NULL;
}

static s_list_t *s_begin_list (leat_core_t *core, uint64_t peer, uint32_t number, const char *what)
{
    s_list_t *list = leat_alloc (sizeof *list);
    list->core = core;
    list->peer = peer;
    list->number = number;
    s_print (list, "{\"%s\": [", what);
    return list;
}

/* ---- requests that wait for a commit --------------------------------------------------------- */

static core_request_t *s_wait (leat_core_t *core, uint64_t peer, uint32_t number)
{
    core_request_t *request = leat_alloc (sizeof *request);
    request->peer = peer;
    request->number = number;
    snprintf (request->body, sizeof request->body, "{}");
    core_data (core, core_stored (core));
    TAILQ_INSERT_TAIL (&core_stored (core)->data->requests, request, next);
    core->request_count++;
    return request;
}

static void s_forget (leat_core_t *core, struct core_requests *requests, core_request_t *request)
{
    core->request_count--;
    TAILQ_REMOVE (requests, request, next);
    free (request);
}

void core_requests_committed (leat_core_t *core, struct core_requests *requests)
{
    core_request_t *request;
    while ((request = TAILQ_FIRST (requests))) {
        if (request->stream) {
            bool was_log = core_is_log (request->stream);
            request->stream->settings = request->settings;
            core_processing_changed (core, request->stream);
            core_log_changed (core, request->stream, was_log);
        }
        if (core_session_find (core, request->peer))
            s_result (core, request->peer, request->number, LEAT_OK, 0, leat_text (request->body));
        s_forget (core, requests, request);
    }
}

void core_requests_undone (leat_core_t *core, struct core_requests *requests)
{
    core_request_t *request;
    while ((request = TAILQ_FIRST (requests))) {
        if (core_session_find (core, request->peer))
            s_fail (core, request->peer, request->number, LEAT_STORE_FULL,
                    "the store did not take it; try again later");
        s_forget (core, requests, request);
    }
}

void core_requests_drop (leat_core_t *core, struct core_requests *requests)
{
    core_request_t *request;
    while ((request = TAILQ_FIRST (requests)))
        s_forget (core, requests, request);
}

/* ---- streams --------------------------------------------------------------------------------- */

/* A list may be many times as large as the request for it, and nothing tells whether it was read. */
static bool s_may_list (leat_core_t *core, core_session_t *session)
{
    const uint64_t limit = core->limits.list_size;
    uint64_t ms = (core->now_us - session->listed_us) / 1000;
    uint64_t forgiven = ms < 10000 ? limit / 10000 * ms + limit % 10000 * ms / 10000 : limit;
    session->listed = session->listed > forgiven ? session->listed - forgiven : 0;
    session->listed_us += ms * 1000;
    if (session->listed < limit)
        return true;
    core_limit_hit (core, LEAT_LIMIT_list_size);
    return false;
}

static const char *const s_durabilities[] = { "default", "async", "sync", "memory" };

static void s_stream_list (leat_core_t *core, uint64_t peer, const leat_stream_list_t *command)
{
    leat_text_t pattern = command->pattern;
    bool open = !pattern.size || pattern.data[pattern.size - 1] == '*';
    if (pattern.size && open)
        pattern.size--;
    s_list_t *list = s_begin_list (core, peer, command->request, "streams");
    core_stream_t *stream;
    RB_FOREACH (stream, core_streams, &core->streams) {
        list->cost += LOOK_COST;
        if (!stream->committed || stream->name_size < pattern.size
            || (!open && stream->name_size != pattern.size)
            || (pattern.size && memcmp (stream->name, pattern.data, pattern.size) != 0))
            continue;
        const core_settings_t *settings = &stream->settings;
        const core_batch_t *oldest = RB_MIN (core_batches, &stream->batches);
        s_next_entry (list);
        s_print (list,
                 "{\"name\": \"%.*s\", \"durability\": \"%s\", \"retention\": \"%s\", "
                 "\"max_age_ms\": %llu, \"max_size\": %llu, \"max_processing_ms\": %llu, "
                 "\"max_attempts\": %u, \"dead_size\": %llu, \"first_offset\": %llu, "
                 "\"next_offset\": %llu, \"paused\": false}",
                 (int) stream->name_size, stream->name, s_durabilities[settings->durability],
                 core_is_log (stream) ? "log" : "work", (unsigned long long) settings->max_age_ms,
                 (unsigned long long) settings->max_size,
                 (unsigned long long) settings->max_processing_ms, settings->max_attempts,
                 (unsigned long long) settings->dead_size,
                 (unsigned long long) (oldest ? oldest->first : stream->next_offset),
                 (unsigned long long) stream->next_offset);
    }
    s_end_list (&list);
}

/* STREAM_CREATE and STREAM_SET have the same fields; `usual` is for who asked for no durability. */
static leat_code_t s_settings (const leat_core_t *core, const leat_stream_create_t *command,
                               leat_durability_t usual, core_settings_t *settings,
                               const char **reason)
{
    leat_durability_t durability =
        command->durability ? (leat_durability_t) command->durability : usual;
    *reason = NULL;
    if (durability > LEAT_MEMORY) {
        *reason = "durability is 0 (default), 1 (async), 2 (sync) or 3 (memory)";
        return LEAT_MALFORMED;
    }
    if (command->retention > LEAT_RETENTION_LOG) {
        *reason = "retention is 0 (work) or 1 (log)";
        return LEAT_MALFORMED;
    }
    if (command->max_processing_ms > CORE_TIME_MAX_MS || command->max_age_ms > CORE_TIME_MAX_MS) {
        *reason = "max_processing and max_age are at most ten years, and 0 for no limit";
        return LEAT_MALFORMED;
    }
    if (command->retention == LEAT_RETENTION_WORK && command->max_age_ms) {
        *reason = "max_age is for retention log: others keep records until they are settled";
        return LEAT_MALFORMED;
    }
    if (command->retention == LEAT_RETENTION_LOG && command->max_size
        && command->max_size < leat_batch_cost (core->limits.batch_size)) {
        *reason = "max_size must hold a batch of batch_size and 512 bytes more";
        return LEAT_MALFORMED;
    }
    if (durability != LEAT_MEMORY && !core->durable) {
        *reason = "this broker keeps streams in memory only; durability can be memory";
        return LEAT_NOT_HANDLED;
    }
    if (command->retention == LEAT_RETENTION_WORK && command->max_size) {
        *reason = "this broker has one stream_size for all streams of retention work; their "
                  "max_size can be 0";
        return LEAT_NOT_HANDLED;
    }
    *settings = (core_settings_t){ .durability = durability,
                                   .retention = (leat_retention_t) command->retention,
                                   .max_age_ms = command->max_age_ms,
                                   .max_size = command->max_size,
                                   .max_processing_ms = command->max_processing_ms,
                                   .max_attempts = command->max_attempts,
                                   .dead_size = command->dead_size };
    return LEAT_OK;
}

static bool s_same_settings (const core_settings_t *a, const core_settings_t *b)
{
    return a->durability == b->durability && a->retention == b->retention
           && a->max_age_ms == b->max_age_ms && a->max_size == b->max_size
           && a->max_processing_ms == b->max_processing_ms && a->max_attempts == b->max_attempts
           && a->dead_size == b->dead_size;
}

static void s_commit_settings (leat_core_t *core, uint64_t peer, uint32_t number,
                               core_stream_t *stream, const core_settings_t *settings)
{
    leat_operation_t operation = { .id = LEAT_OPERATION_STREAM_SET };
    operation.stream_set.stream = stream->id;
    operation.stream_set.durability = (uint8_t) settings->durability;
    operation.stream_set.retention = (uint8_t) settings->retention;
    operation.stream_set.max_age_ms = settings->max_age_ms;
    operation.stream_set.max_size = settings->max_size;
    operation.stream_set.max_processing_ms = settings->max_processing_ms;
    operation.stream_set.max_attempts = settings->max_attempts;
    operation.stream_set.dead_size = settings->dead_size;
    leat_commit_add (core_data (core, core_stored (core)), &operation);
    core_request_t *request = s_wait (core, peer, number);
    request->stream = stream;
    request->settings = *settings;
}

static void s_stream_create (leat_core_t *core, uint64_t peer, const leat_stream_create_t *command)
{
    core_settings_t settings;
    const char *reason;
    leat_code_t code = s_settings (core, command, core_usual_durability (core), &settings, &reason);
    if (!leat_name_valid (command->stream)) {
        code = LEAT_BAD_NAME;
        reason = "a stream's name has letters, digits, '.', '_' and '-', not '.' or '-' first";
    } else if (leat_name_reserved (command->stream)) {
        code = LEAT_RESERVED_NAME;
        reason = NULL;
    } else if (command->stream.size > LEAT_STREAM_NAME_MAX) {
        code = LEAT_BAD_NAME;
        reason = "a stream's name has at most 123 bytes";
    }
    core_stream_t *stream = code == LEAT_OK ? core_stream_find (core, command->stream) : NULL;
    if (stream && !s_same_settings (&stream->settings, &settings)) {
        code = LEAT_BAD_STATE;
        reason = "the stream is there already, with other settings";
    }
    if (code != LEAT_OK) {
        s_fail (core, peer, command->request, code, reason);
    } else if (stream && stream->committed) {
        s_result (core, peer, command->request, LEAT_OK, 0, leat_text ("{}"));
    } else if (stream) {
        s_commit_settings (core, peer, command->request, stream, &settings);
    } else if (core_stream_create (core, command->stream, &settings)) {
        s_wait (core, peer, command->request);
    } else {
        s_fail (core, peer, command->request, LEAT_LIMIT_REACHED,
                "the broker has as many streams as it is allowed to");
    }
}

static void s_stream_set (leat_core_t *core, uint64_t peer, const leat_stream_set_t *command)
{
    const leat_stream_create_t fields = {
        .durability = command->durability,
        .retention = command->retention,
        .max_age_ms = command->max_age_ms,
        .max_size = command->max_size,
        .max_processing_ms = command->max_processing_ms,
        .max_attempts = command->max_attempts,
        .dead_size = command->dead_size,
    };
    core_settings_t settings;
    const char *reason;
    core_stream_t *stream = core_stream_find (core, command->stream);
    leat_durability_t usual = stream ? stream->settings.durability : core_usual_durability (core);
    leat_code_t code = s_settings (core, &fields, usual, &settings, &reason);
    if (!leat_name_valid (command->stream)) {
        code = LEAT_BAD_NAME;
        reason = NULL;
    } else if (!stream) {
        code = LEAT_NO_SUCH_STREAM;
        reason = "there is no stream of that name";
    } else if (code == LEAT_OK && settings.durability != stream->settings.durability) {
        code = LEAT_BAD_STATE;
        reason = "the durability of a stream stays as it was created";
    } else if (code == LEAT_OK && settings.retention == LEAT_RETENTION_LOG && stream->holds_dead) {
        code = LEAT_RESERVED_NAME;
        reason = "dead letters are kept until they are settled; their retention is work";
    } else if (code == LEAT_OK && settings.retention != stream->settings.retention
               && stream->group_count) {
        code = LEAT_BAD_STATE;
        reason = "the retention of a stream stays as it is once it has groups";
    }
    if (code == LEAT_OK)
        s_commit_settings (core, peer, command->request, stream, &settings);
    else
        s_fail (core, peer, command->request, code, reason);
}

/* ---- groups ---------------------------------------------------------------------------------- */

static core_stream_t *s_stream (leat_core_t *core, uint64_t peer, uint32_t number, leat_text_t name)
{
    core_stream_t *stream = leat_name_valid (name) ? core_stream_find (core, name) : NULL;
    if (stream)
        return stream;
    bool valid = leat_name_valid (name);
    s_fail (core, peer, number, valid ? LEAT_NO_SUCH_STREAM : LEAT_BAD_NAME,
            valid ? "there is no stream of that name" : NULL);
    return NULL;
}

static void s_group_list (leat_core_t *core, uint64_t peer, const leat_group_list_t *command)
{
    core_stream_t *stream = s_stream (core, peer, command->request, command->stream);
    if (!stream)
        return;
    s_list_t *list = s_begin_list (core, peer, command->request, "groups");
    core_group_t *group;
    RB_FOREACH (group, core_groups, &stream->groups) {
        if (!group->committed)
            continue;
        s_next_entry (list);
        s_print (list,
                 "{\"name\": \"%.*s\", \"expiry_ms\": 0, \"floor\": %llu, \"ready\": %llu, "
                 "\"in_flight\": %llu, \"delayed\": %llu, \"dead\": %llu, \"consumers\": %u}",
                 (int) group->name_size, group->name, (unsigned long long) group->settled.floor,
                 (unsigned long long) core_group_ready (group), (unsigned long long) group->leased,
                 (unsigned long long) group->mark_counts[CORE_MARK_DELAYED],
                 (unsigned long long) group->dead_count, group->consumer_count);
    }
    s_end_list (&list);
}

static void s_group_create (leat_core_t *core, uint64_t peer, const leat_group_create_t *command)
{
    core_stream_t *stream = s_stream (core, peer, command->request, command->stream);
    if (!stream)
        return;
    leat_code_t code = LEAT_OK;
    const char *reason = NULL;
    if (!leat_name_valid (command->group)) {
        code = LEAT_BAD_NAME;
    } else if (command->start > LEAT_START_TIME) {
        code = LEAT_MALFORMED;
        reason = "start is 0 (earliest), 1 (latest), 2 (offset) or 3 (time)";
    } else if (command->expiry_ms) {
        code = LEAT_NOT_HANDLED;
        reason = "this broker keeps groups; expiry can be 0";
    } else if (core_group_find (stream, command->group)) {
        code = LEAT_BAD_STATE;
        reason = "the group is there already";
    } else if (stream->group_count >= core->limits.groups) {
        core_limit_hit (core, LEAT_LIMIT_groups);
        code = LEAT_LIMIT_REACHED;
        reason = "the stream has as many groups as this broker allows";
    }
    if (code != LEAT_OK) {
        s_fail (core, peer, command->request, code, reason);
        return;
    }
    core_group_t *group = core_group_create (core, stream, command->group,
                                             (leat_start_t) command->start, command->start_value);
    core_request_t *request = s_wait (core, peer, command->request);
    snprintf (request->body, sizeof request->body, "{\"first\": %llu}",
              (unsigned long long) group->start);
}

/* ---- consumers ------------------------------------------------------------------------------- */

void core_consumer_drain_again (leat_core_t *core, const core_consumer_t *consumer)
{
    if (!consumer->draining)
        return;
    leat_command_t command = { .id = LEAT_DRAIN };
    command.drain.channel = consumer->channel.number;
    command.drain.reason = leat_text ("its operator asked for it");
    leat_outbox_command (core->outbox, consumer->channel.session->peer, &command);
}

void core_consumer_drain (leat_core_t *core, core_consumer_t *consumer)
{
    if (consumer->draining)
        return;
    consumer->draining = true;
    if (!consumer->channel.answered || consumer->state == CORE_CONSUMER_LEAVING)
        return;
    core_consumer_drain_again (core, consumer);
    core_consumer_place (core, consumer);
    core_group_wake (core, consumer->group); /* a suspect may need somebody else */
}

static void s_consumer_drain (leat_core_t *core, uint64_t peer,
                              const leat_consumer_drain_t *command)
{
    if (!leat_name_valid (command->identity)
        || (command->stream.size && !leat_name_valid (command->stream))) {
        s_fail (core, peer, command->request, LEAT_BAD_NAME, NULL);
        return;
    }
    const core_identity_t *identity = core_identity_find (core, command->identity);
    unsigned channels = 0;
    core_channel_t *channel = NULL;
    if (identity && identity->session)
        channel = RB_MIN (core_channels, &identity->session->channels);
    for (; channel; channel = RB_NEXT (core_channels, , channel)) {
        leat_text_t name = { channel->stream->name, channel->stream->name_size };
        if (!channel->consumer
            || (command->stream.size && !leat_text_equal (name, command->stream)))
            continue;
        core_consumer_drain (core, (core_consumer_t *) channel);
        channels++;
    }
    if (!channels) {
        s_fail (core, peer, command->request, LEAT_NO_SUCH_CONSUMER,
                identity && identity->session
                    ? "that client is here, but consumes nothing, or not that stream"
                    : "no client of that name is connected");
        return;
    }
    char body[40];
    snprintf (body, sizeof body, "{\"channels\": %u}", channels);
    s_result (core, peer, command->request, LEAT_OK, 0, leat_text (body));
}

/* ---- all of them ----------------------------------------------------------------------------- */

static void s_refuse (leat_core_t *core, uint64_t peer, const leat_command_t *command)
{
    char reason[120];
    snprintf (reason, sizeof reason, "%s is part of the protocol, but not handled by this broker",
              leat_command_name (command->id));
    leat_refused_t refused = { .command = command->id,
                               .code = LEAT_NOT_HANDLED,
                               .token = command->stream_list.request, /* the first field of each */
                               .reason = leat_text (reason) };
    core_refuse_full (core, peer, &refused);
}

void core_administer (leat_core_t *core, core_session_t *session, const leat_command_t *command)
{
    uint64_t peer = session->peer;
    if (core->shutting_down) {
        s_fail (core, peer, command->stream_list.request, LEAT_SHUTTING_DOWN, NULL);
        return;
    }
    bool waits = command->id == LEAT_STREAM_CREATE || command->id == LEAT_STREAM_SET
                 || command->id == LEAT_GROUP_CREATE;
    if (waits && core->request_count >= core->limits.requests) {
        core_limit_hit (core, LEAT_LIMIT_requests);
        s_fail (core, peer, command->stream_list.request, LEAT_LIMIT_REACHED,
                "too many requests wait for the store; try again later");
        return;
    }
    if ((command->id == LEAT_STREAM_LIST || command->id == LEAT_GROUP_LIST)
        && !s_may_list (core, session)) {
        core_offence (core);
        s_fail (core, peer, command->stream_list.request, LEAT_LIMIT_REACHED,
                "this session asks for more lists than it may be told; try again later");
        return;
    }
    switch (command->id) {
    case LEAT_STREAM_LIST:
        s_stream_list (core, peer, &command->stream_list);
        break;
    case LEAT_STREAM_CREATE:
        s_stream_create (core, peer, &command->stream_create);
        break;
    case LEAT_STREAM_SET:
        s_stream_set (core, peer, &command->stream_set);
        break;
    case LEAT_GROUP_LIST:
        s_group_list (core, peer, &command->group_list);
        break;
    case LEAT_GROUP_CREATE:
        s_group_create (core, peer, &command->group_create);
        break;
    case LEAT_CONSUMER_DRAIN:
        s_consumer_drain (core, peer, &command->consumer_drain);
        break;
    default:
        s_refuse (core, peer, command);
    }
}

/* Makes the JSON of the stats socket.
 * SPDX-License-Identifier: MPL-2.0 */
#include "broker/io/report.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "wire/assert.h"

/* X (query, what it answers). */
#define QUERIES(X)                                                                                 \
    X (stats, "everything: streams, groups, producers, consumers, counters, limits")               \
    X (limits, "every limit with its value, what it bounds, and how often it was met")             \
    X (help, "these queries")                                                                      \
    X (ping, "that the broker is there: its version, incarnation and uptime")

/* ---- values ---------------------------------------------------------------------------------- */

static json_t *s_number (uint64_t value)
{
    return json_integer (value > INT64_MAX ? INT64_MAX : (json_int_t) value);
}

static json_t *s_text (leat_text_t text)
{
    json_t *json = json_stringn (text.data, text.size);
    return json ? json : json_string ("?");
}

/* Takes `value`. Out of memory is the only way to fail. */
static void s_set (json_t *object, const char *key, json_t *value)
{
    int rc = json_object_set_new (object, key, value);
    leat_assert (rc == 0);
}

static void s_append (json_t *array, json_t *value)
{
    int rc = json_array_append_new (array, value);
    leat_assert (rc == 0);
}

static char *s_finish (json_t *json)
{
    char *text = json_dumps (json, JSON_COMPACT);
    leat_assert (text);
    json_decref (json);
    return text;
}

/* ---- streams and channels -------------------------------------------------------------------- */

/* Figures of groups, of which a stream has the sums. */
#define GROUP_FIGURES(X)                                                                           \
    X (ready)                                                                                      \
    X (in_flight)                                                                                  \
    X (delayed) X (suspect) X (parked) X (settled) X (redelivered) X (dead_lettered) X (consumers)

typedef struct {
    json_t *streams;
    json_t *producers;
    json_t *consumers;
    json_t *stream; /* the one whose groups are coming; in `streams` already */
    json_t *groups; /* its */
    leat_group_statistics_t sums;
} lists_t;

static void s_finish_stream (lists_t *lists)
{
    if (!lists->stream)
        return;
#define X(name) s_set (lists->stream, #name, s_number (lists->sums.name));
    GROUP_FIGURES (X)
#undef X
    s_set (lists->stream, "groups", lists->groups);
    lists->stream = NULL;
}

static const char *s_durability (leat_durability_t durability)
{
    static const char *const names[] = { "default", "async", "sync", "memory" };
    return names[durability];
}

static void s_add_stream (void *arg, const leat_stream_statistics_t *row)
{
    lists_t *lists = arg;
    s_finish_stream (lists);
    json_t *stream = json_object ();
    s_set (stream, "name", s_text (row->name));
    s_set (stream, "durability", json_string (s_durability (row->durability)));
    s_set (stream, "durable", json_boolean (row->durability == LEAT_SYNC));
    s_set (stream, "retention",
           json_string (row->retention == LEAT_RETENTION_LOG ? "log" : "work"));
    s_set (stream, "max_age_ms", s_number (row->max_age_ms));
    s_set (stream, "max_size", s_number (row->max_size));
    s_set (stream, "max_processing_ms", s_number (row->max_processing_ms));
    s_set (stream, "accepted", s_number (row->accepted));
    s_set (stream, "held", s_number (row->held));
    s_set (stream, "bytes", s_number (row->bytes));
    s_set (stream, "first_offset", s_number (row->first_offset));
    s_set (stream, "next_offset", s_number (row->next_offset));
    s_set (stream, "expired", s_number (row->expired));
    s_set (stream, "producers", s_number (row->producers));
    s_append (lists->streams, stream);
    lists->stream = stream;
    lists->groups = json_array ();
    lists->sums = (leat_group_statistics_t){ 0 };
}

static void s_add_group (void *arg, const leat_group_statistics_t *row)
{
    lists_t *lists = arg;
    json_t *group = json_object ();
    s_set (group, "name", s_text (row->name));
#define X(name)                                                                                    \
    s_set (group, #name, s_number (row->name));                                                    \
    lists->sums.name += row->name;
    GROUP_FIGURES (X)
#undef X
    s_set (group, "expired",
           s_number (row->expired)); /* of the stream it is what went, settled or not */
    s_append (lists->groups, group);
}

static json_t *s_channel (const leat_channel_statistics_t *row)
{
    json_t *channel = json_object ();
    s_set (channel, "id", s_text (row->identity));
    s_set (channel, "stream", s_text (row->stream));
    s_set (channel, "group", row->group.size ? s_text (row->group) : json_null ());
    s_set (channel, "session", s_number (row->session_epoch));
    s_set (channel, "records", s_number (row->records));
    s_set (channel, "in_flight", s_number (row->in_flight));
    s_set (channel, "credit", s_number (row->credit));
    s_set (channel, "rate", s_number (row->rate));
    s_set (channel, "service_ms",
           row->service_us ? json_real ((double) row->service_us / 1000) : json_null ());
    s_set (channel, "heartbeat_age_ms", s_number (row->heartbeat_age_ms));
    return channel;
}

static void s_add_producer (void *arg, const leat_channel_statistics_t *row)
{
    s_append (((lists_t *) arg)->producers, s_channel (row));
}

static void s_add_consumer (void *arg, const leat_channel_statistics_t *row)
{
    json_t *channel = s_channel (row);
    s_set (channel, "work_in_hand_ms",
           row->service_us ? json_real ((double) row->work_us / 1000) : json_null ());
    s_set (channel, "recalled", s_number (row->recalled));
    s_set (channel, "redelivered", s_number (row->redelivered));
    s_append (((lists_t *) arg)->consumers, channel);
}

static void s_add_lists (json_t *json, const leat_core_t *core)
{
    lists_t lists = { .streams = json_array (),
                      .producers = json_array (),
                      .consumers = json_array () };
    const leat_statistics_visitor_t visitor = { .stream = s_add_stream,
                                                .group = s_add_group,
                                                .producer = s_add_producer,
                                                .consumer = s_add_consumer,
                                                .arg = &lists };
    leat_core_visit (core, &visitor);
    s_finish_stream (&lists);
    s_set (json, "streams", lists.streams);
    s_set (json, "producers", lists.producers);
    s_set (json, "consumers", lists.consumers);
}

/* ---- the broker ------------------------------------------------------------------------------ */

static json_t *s_limits (const leat_report_source_t *source, bool explained)
{
    leat_statistics_t statistics;
    leat_core_statistics (source->core, &statistics);
    json_t *list = json_array ();
    json_t *row;
#define X(name_, value_, unit_, text_)                                                             \
    row = json_object ();                                                                          \
    s_set (row, "name", json_string (#name_));                                                     \
    s_set (row, "value", s_number (source->limits->name_));                                        \
    s_set (row, "unit", json_string (#unit_));                                                     \
    s_set (row, "hits", s_number (statistics.limit_hits[LEAT_LIMIT_##name_]));                     \
    if (explained)                                                                                 \
        s_set (row, "text", json_string (text_));                                                  \
    s_append (list, row);
    LEAT_LIMITS (X)
#undef X
    return list;
}

static json_t *s_counters (const leat_report_source_t *source, const leat_statistics_t *statistics)
{
    json_t *counters = json_object ();
#define X(name, text) s_set (counters, #name, s_number (statistics->name));
    LEAT_COUNTERS (X)
#undef X
#define X(name, text) s_set (counters, #name, s_number (source->router->name));
    LEAT_ROUTER_COUNTERS (X)
#undef X
    static const leat_departures_counters_t none;
    const leat_departures_counters_t *departures = source->departures ? source->departures : &none;
#define X(name, text) s_set (counters, #name, s_number (departures->name));
    LEAT_DEPARTURES_COUNTERS (X)
#undef X
    static const leat_connections_counters_t no_cuts;
    const leat_connections_counters_t *cuts = source->connections ? source->connections : &no_cuts;
#define X(name, text) s_set (counters, #name, s_number (cuts->name));
    LEAT_CONNECTIONS_COUNTERS (X)
#undef X
    s_set (counters, "stats_requests", s_number (source->stats_requests));
    s_set (counters, "stats_connections_refused", s_number (source->stats_connections_refused));
    return counters;
}

static json_t *s_store (const leat_report_source_t *source)
{
    const leat_store_engine_t *engine = leat_store_engine (source->store);
    leat_store_stats_t stats;
    leat_store_space_t space;
    leat_store_stats (source->store, &stats);
    leat_store_space (source->store, &space);
    json_t *store = json_object ();
    s_set (store, "engine", json_string (engine->name));
    s_set (store, "directory", source->directory ? json_string (source->directory) : json_null ());
    s_set (store, "commits", s_number (stats.commits));
    s_set (store, "commits_refused", s_number (stats.commits_refused));
    s_set (store, "commits_lost", s_number (stats.commits_lost));
    s_set (store, "commit_bytes", s_number (stats.commit_bytes));
    s_set (store, "transactions", s_number (stats.transactions));
    s_set (store, "journal_writes", s_number (stats.journal_writes));
    s_set (store, "reads", s_number (stats.reads));
    s_set (store, "used_size", s_number (space.used_size));
    s_set (store, "total_size", s_number (space.total_size));
    s_set (store, "full", json_boolean (space.reserved));
    s_set (store, "failure", source->failure ? json_string (source->failure) : json_null ());
    return store;
}

static json_t *s_head (const leat_report_source_t *source)
{
    json_t *json = json_object ();
    s_set (json, "version", json_string (source->software));
    s_set (json, "protocol", s_number (LEAT_PROTOCOL_VERSION));
    s_set (json, "incarnation", s_number (source->incarnation));
    s_set (json, "uptime_ms", s_number (source->uptime_ms));
    s_set (json, "time_ms", s_number (source->wall_ms));
    s_set (json, "stopping", json_boolean (source->stopping));
    return json;
}

char *leat_report_stats (const leat_report_source_t *source)
{
    leat_statistics_t statistics;
    leat_core_statistics (source->core, &statistics);
    const leat_store_engine_t *engine = leat_store_engine (source->store);
    json_t *json = s_head (source);
    s_set (json, "durability", json_string (engine->durable ? "sync" : "memory"));
    s_set (
        json, "durability_note",
        json_string (engine->durable
                         ? "confirmed records of sync streams survive a power cut; async streams "
                           "are not durable: a crash may take what was confirmed last; memory "
                           "streams are empty when the broker starts again"
                         : "streams live in memory: their records are lost when the broker ends"));
    json_t *endpoints = json_array ();
    for (size_t index = 0; index < source->endpoint_count; index++)
        s_append (endpoints, json_string (source->endpoints[index]));
    s_set (json, "endpoints", endpoints);
    s_set (json, "stats_endpoint", json_string (source->stats_endpoint));
    s_set (json, "sessions", s_number (statistics.sessions));
    json_t *memory = json_object ();
    s_set (memory, "held_size", s_number (statistics.held_size));
    s_set (memory, "granted_size", s_number (statistics.granted_size));
    s_set (memory, "limit_size", s_number (source->limits->memory_size));
    s_set (json, "memory", memory);
    s_set (json, "store", s_store (source));
    s_set (json, "counters", s_counters (source, &statistics));
    s_set (json, "limits", s_limits (source, false));
    s_add_lists (json, source->core);
    return s_finish (json);
}

char *leat_report_limits (const leat_report_source_t *source)
{
    json_t *json = json_object ();
    s_set (json, "limits", s_limits (source, true));
    return s_finish (json);
}

char *leat_report_ping (const leat_report_source_t *source)
{
    return s_finish (s_head (source));
}

/* ---- help and errors ------------------------------------------------------------------------- */

static json_t *s_queries (void)
{
    json_t *queries = json_object ();
#define X(name, text) s_set (queries, #name, json_string (text));
    QUERIES (X)
#undef X
    return queries;
}

char *leat_report_help (void)
{
    json_t *json = json_object ();
    s_set (json, "queries", s_queries ());
    return s_finish (json);
}

char *leat_report_error (const char *query, size_t query_size)
{
    char sentence[200];
    char shown[41];
    size_t size = query_size < sizeof shown - 1 ? query_size : sizeof shown - 1;
    for (size_t index = 0; index < size; index++) {
        shown[index] = query[index];
        if (query[index] < ' ' || query[index] > '~')
            shown[index] = '?';
    }
    shown[size] = '\0';
    if (query)
        snprintf (sentence, sizeof sentence,
                  "'%s%s' is no query; those that are: stats, limits, "
                  "help, ping",
                  shown, size < query_size ? "..." : "");
    else
        snprintf (sentence, sizeof sentence,
                  "a request is one frame with the name of a query: "
                  "stats, limits, help, ping");
    json_t *json = json_object ();
    s_set (json, "error", json_string (sentence));
    s_set (json, "queries", s_queries ());
    return s_finish (json);
}

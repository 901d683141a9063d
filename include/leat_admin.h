/* An operator: creates streams and groups, sets and lists them, asks consumers to leave.
 * SPDX-License-Identifier: MPL-2.0 */
#ifndef LEAT_ADMIN_H
#define LEAT_ADMIN_H

#include "leat_client.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Each function asks the broker and waits for its answer, for at most `timeout_ms` (-1: for ever). If
 * the connection is lost meanwhile, the question is asked again over the next one; asking twice does
 * no harm but for leat_admin_group_create, which then finds its own group.
 *
 * They return 0, or -1 with errno
 *
 *      EINVAL      a name or setting that cannot be right
 *      EREMOTEIO   the broker said no: leat_admin_error has its code and a sentence
 *      ETIMEDOUT   no answer in time; the broker may do it all the same
 *      EPIPE, ESHUTDOWN   of the client: see leat_client_error
 *
 * Any thread may call any of them at any time, one after the other, but for leat_admin_destroy, which
 * comes last. */
typedef struct leat_admin leat_admin_t;

/* Of a stream; begins as zero ({ 0 }). */
typedef struct {
    /* Stays as the stream was created. A broker without a data directory has LEAT_MEMORY only; with one a
     * restart leaves of a LEAT_MEMORY stream nothing but its name, its settings and its groups. */
    leat_durability_t durability;

    leat_retention_t retention; /* stays as it is once the stream has groups */

    /* Of LEAT_RETENTION_LOG, whose records stay when they are settled: they go when they are older, or the
     * oldest when the stream is larger (in bytes; with whole batches, as they were published). 0: no such
     * limit. A new group gets what is held, whether others have settled it or not. */
    uint64_t max_age_ms;
    uint64_t max_size;

    /* A record that was started longer ago is taken away from its consumer and goes to another one;
     * what the former settles then is stale. 0: a handler may take for ever. */
    uint64_t max_processing_ms;

    uint32_t max_attempts; /* after so many a record becomes a dead letter; 0: the broker's limit */
    uint64_t dead_size;    /* bytes that dead letters may take; 0: the broker's limit */
} leat_stream_settings_t;

/* NULL with errno EPIPE or ESHUTDOWN. Destroyed before or after the client. */
LEAT_EXPORT leat_admin_t *leat_admin_new (leat_client_t *client);
LEAT_EXPORT void leat_admin_destroy (leat_admin_t **self_p);

/* Creates a stream. One that is there with the same settings will do. `settings` may be NULL. */
LEAT_EXPORT int leat_admin_stream_create (leat_admin_t *self, const char *stream,
                                          const leat_stream_settings_t *settings, int timeout_ms);

/* Sets all of them. Durability has to be what it was, or LEAT_DURABILITY_DEFAULT; so has retention, once
 * there are groups. */
LEAT_EXPORT int leat_admin_stream_set (leat_admin_t *self, const char *stream,
                                       const leat_stream_settings_t *settings, int timeout_ms);

/* Streams of that name; a '*' at its end stands for any rest; NULL for all. *json is an object
 * {"streams": [{"name", "durability", "retention", "max_age_ms", "max_size", "max_processing_ms",
 * "max_attempts", "dead_size", "first_offset", "next_offset", "paused"}, ...]}; the caller frees it
 * with free. */
LEAT_EXPORT int leat_admin_stream_list (leat_admin_t *self, const char *pattern, char **json,
                                        int timeout_ms);

/* Groups of a stream, likewise {"groups": [{"name", "expiry_ms", "floor", "ready", "in_flight",
 * "delayed", "dead", "consumers"}, ...]}. */
LEAT_EXPORT int leat_admin_group_list (leat_admin_t *self, const char *stream, char **json,
                                       int timeout_ms);

/* Creates a group; *first (may be NULL) is the offset that it begins with. */
LEAT_EXPORT int leat_admin_group_create (leat_admin_t *self, const char *stream, const char *group,
                                         leat_start_t start, uint64_t start_value, uint64_t *first,
                                         int timeout_ms);

/* Asks the consumers of that identity, of one stream or (NULL) of all, to finish what they have started,
 * give back the rest and leave. *consumers (may be NULL) is how many were told; none is refused with
 * LEAT_NO_SUCH_CONSUMER. Does not wait for them. */
LEAT_EXPORT int leat_admin_drain (leat_admin_t *self, const char *identity, const char *stream,
                                  uint32_t *consumers, int timeout_ms);

/* Why the broker said no the last time, as a code and a sentence that is safe to print. `text` (may be
 * NULL) has `size` bytes, 512 are enough. */
LEAT_EXPORT leat_code_t leat_admin_error (leat_admin_t *self, char *text, size_t size);

#ifdef __cplusplus
}
#endif

#endif

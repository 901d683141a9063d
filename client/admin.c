/* An operator's questions, on the client's thread and on the application's.
 * SPDX-License-Identifier: MPL-2.0 */
#include "leat_admin.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "client/client_state.h"
#include "client/drive.h"
#include "client/requests.h"
#include "wire/alloc.h"

struct leat_admin {
    leat_port_t port;           /* first */
    leat_attention_t attention; /* tells the port of an answer */
    pthread_mutex_t asker;      /* one question at a time */
    bool is_abandoned;          /* the client's thread */
    leat_gate_t gate;
    leat_request_t *request; /* the client's thread; the application's before and after */

    /* Within the gate. */
    bool is_answered;
    int verdict; /* of the client */
    leat_fault_t fault;
};

/* ---- on the client's thread ------------------------------------------------------------------ */

static void s_publish (leat_port_t *port, bool is_sent)
{
    (void) is_sent;
    leat_admin_t *self = (leat_admin_t *) port;
    int verdict = leat_client_verdict (port->client);
    bool is_answered = self->request != NULL && leat_request_done (self->request);
    leat_gate_claim (&self->gate);
    if (verdict != self->verdict || is_answered != self->is_answered) {
        self->verdict = verdict;
        self->is_answered = is_answered;
        leat_gate_signal (&self->gate);
    }
    leat_gate_unlock (&self->gate);
}

static void s_feed (leat_port_t *port, uint64_t now_us)
{
    (void) port;
    (void) now_us;
}

static void s_lost (leat_port_t *port)
{
    (void) port;
}

static bool s_waits (leat_port_t *port)
{
    (void) port;
    return false; /* the session knows */
}

static uint64_t s_deadline (const leat_port_t *port)
{
    (void) port;
    return UINT64_MAX;
}

static bool s_drain (leat_port_t *port)
{
    (void) port;
    return true;
}

static bool s_is_over (const leat_port_t *port)
{
    return ((const leat_admin_t *) port)->is_abandoned;
}

static void s_free (leat_admin_t *self)
{
    leat_gate_deinit (&self->gate);
    pthread_mutex_destroy (&self->asker);
    free (self);
}

static void s_destroy (leat_port_t *port)
{
    leat_client_t *client = port->client;
    leat_client_part (client, port);
    s_free ((leat_admin_t *) port);
    leat_client_release (client);
}

static const leat_port_ops_t s_ops = {
    .feed = s_feed,
    .publish = s_publish,
    .lost = s_lost,
    .waits = s_waits,
    .deadline = s_deadline,
    .drain = s_drain,
    .is_over = s_is_over,
    .destroy = s_destroy,
};

typedef struct {
    leat_admin_t *admin;
    leat_client_t *client;
    leat_request_t *request;
    int error;
} s_call_t;

static void s_join (void *arg)
{
    s_call_t *call = arg;
    call->error = leat_client_verdict (call->client);
    if (call->error == 0)
        leat_client_join (call->client, &call->admin->port, &call->admin->attention);
}

static void s_abandon (void *arg)
{
    leat_admin_t *self = arg;
    self->is_abandoned = true;
    s_destroy (&self->port);
}

static void s_ask (void *arg)
{
    s_call_t *call = arg;
    call->error = leat_client_verdict (call->client);
    if (call->error != 0)
        return;
    call->admin->request = call->request;
    leat_request_notify (call->request, &call->admin->attention);
    leat_session_add_request (call->client->session, call->request);
}

static void s_forget (void *arg)
{
    s_call_t *call = arg;
    leat_session_remove_request (call->client->session, call->request);
    call->admin->request = NULL;
    leat_gate_claim (&call->admin->gate);
    call->admin->is_answered = false;
    leat_gate_unlock (&call->admin->gate);
}

/* ---- the application's side ------------------------------------------------------------------ */

leat_admin_t *leat_admin_new (leat_client_t *client)
{
    leat_admin_t *self = leat_alloc (sizeof *self);
    self->port.ops = &s_ops;
    leat_gate_init (&self->gate);
    pthread_mutex_init (&self->asker, NULL);
    s_call_t call = { .admin = self, .client = client };
    leat_client_call (client, s_join, &call);
    if (call.error == 0)
        return self;
    s_free (self);
    errno = call.error;
    return NULL;
}

void leat_admin_destroy (leat_admin_t **self_p)
{
    leat_admin_t *self = *self_p;
    if (self == NULL)
        return;
    *self_p = NULL;
    leat_client_t *client = self->port.client;
    leat_client_hold (client);
    leat_client_call (client, s_abandon, self);
    leat_client_release (client);
}

/* For leat_client_until: 0 once the request is answered. */
static int s_look (void *arg)
{
    const leat_admin_t *self = arg;
    if (self->is_answered)
        return 0;
    return self->verdict != 0 ? self->verdict : EAGAIN;
}

static int s_await (leat_admin_t *self, int timeout_ms)
{
    leat_gate_lock (&self->gate);
    int error = leat_client_until (self->port.client, &self->gate, timeout_ms, s_look, self);
    leat_gate_unlock (&self->gate);
    return error;
}

/* The reason out of {"reason": "..."}; all of it where there is no such thing. */
static leat_text_t s_reason (const char *body)
{
    static const char key[] = "\"reason\": \"";
    const char *begin = strstr (body, key);
    if (begin == NULL)
        return leat_text (body);
    begin += sizeof key - 1;
    return (leat_text_t){ begin, strcspn (begin, "\"") };
}

/* Asks, and waits for the answer; *body, which the caller frees, is JSON. */
static int s_request (leat_admin_t *self, const leat_command_t *command, char **body,
                      int timeout_ms)
{
    *body = NULL;
    pthread_mutex_lock (&self->asker);
    leat_request_t *request = leat_request_new (command);
    s_call_t call = { self, self->port.client, request, 0 };
    leat_client_call (self->port.client, s_ask, &call);
    int error = call.error;
    if (error == 0) {
        error = s_await (self, timeout_ms);
        leat_client_call (self->port.client, s_forget, &call);
    }
    const char *answer = leat_request_body (request);
    if (error == 0 && leat_request_code (request) == LEAT_OK)
        *body = leat_copy_text (answer, strlen (answer));
    else if (error == 0) {
        error = EREMOTEIO;
        leat_gate_lock (&self->gate);
        leat_code_t code = leat_request_code (request);
        leat_quote_t quote;
        leat_text_t reason = s_reason (answer);
        if (reason.size > 0)
            leat_fault_set (&self->fault, code, "%s (%s)", leat_quote (&quote, reason),
                            leat_code_name (code));
        else
            leat_fault_refused (&self->fault, code, leat_command_name (command->id), reason);
        leat_gate_unlock (&self->gate);
    }
    leat_request_destroy (&request);
    pthread_mutex_unlock (&self->asker);
    errno = error;
    return error == 0 ? 0 : -1;
}

/* The same, where the answer is one number or nothing of interest (`member` NULL). */
static int s_request_number (leat_admin_t *self, const leat_command_t *command, const char *member,
                             uint64_t *number, int timeout_ms)
{
    char *body;
    if (s_request (self, command, &body, timeout_ms) != 0)
        return -1;
    const char *found = member != NULL ? strstr (body, member) : NULL;
    *number = found != NULL ? strtoull (found + strlen (member), NULL, 10) : 0;
    free (body);
    return 0;
}

static int s_invalid (void)
{
    errno = EINVAL;
    return -1;
}

static bool s_valid (const char *name)
{
    return name != NULL && leat_name_valid (leat_text (name));
}

/* STREAM_CREATE and STREAM_SET have the same fields. */
static int s_settings (leat_admin_t *self, uint8_t id, const char *stream,
                       const leat_stream_settings_t *settings, int timeout_ms)
{
    static const leat_stream_settings_t defaults;
    if (settings == NULL)
        settings = &defaults;
    if (!s_valid (stream) || settings->durability > LEAT_MEMORY
        || settings->retention > LEAT_RETENTION_LOG)
        return s_invalid ();
    leat_command_t command = { .id = id };
    leat_stream_create_t fields = {
        .stream = leat_text (stream),
        .durability = (uint8_t) settings->durability,
        .retention = (uint8_t) settings->retention,
        .max_age_ms = settings->max_age_ms,
        .max_size = settings->max_size,
        .max_processing_ms = settings->max_processing_ms,
        .max_attempts = settings->max_attempts,
        .dead_size = settings->dead_size,
    };
    if (id == LEAT_STREAM_CREATE)
        command.stream_create = fields;
    else
        command.stream_set = (leat_stream_set_t){
            .stream = fields.stream,
            .durability = fields.durability,
            .retention = fields.retention,
            .max_age_ms = fields.max_age_ms,
            .max_size = fields.max_size,
            .max_processing_ms = fields.max_processing_ms,
            .max_attempts = fields.max_attempts,
            .dead_size = fields.dead_size,
        };
    uint64_t nothing;
    return s_request_number (self, &command, NULL, &nothing, timeout_ms);
}

int leat_admin_stream_create (leat_admin_t *self, const char *stream,
                              const leat_stream_settings_t *settings, int timeout_ms)
{
    return s_settings (self, LEAT_STREAM_CREATE, stream, settings, timeout_ms);
}

int leat_admin_stream_set (leat_admin_t *self, const char *stream,
                           const leat_stream_settings_t *settings, int timeout_ms)
{
    return s_settings (self, LEAT_STREAM_SET, stream, settings, timeout_ms);
}

int leat_admin_stream_list (leat_admin_t *self, const char *pattern, char **json, int timeout_ms)
{
    *json = NULL;
    leat_command_t command = { .id = LEAT_STREAM_LIST };
    command.stream_list.pattern = leat_text (pattern);
    if (command.stream_list.pattern.size > LEAT_NAME_MAX)
        return s_invalid ();
    return s_request (self, &command, json, timeout_ms);
}

int leat_admin_group_list (leat_admin_t *self, const char *stream, char **json, int timeout_ms)
{
    *json = NULL;
    if (!s_valid (stream))
        return s_invalid ();
    leat_command_t command = { .id = LEAT_GROUP_LIST };
    command.group_list.stream = leat_text (stream);
    return s_request (self, &command, json, timeout_ms);
}

int leat_admin_group_create (leat_admin_t *self, const char *stream, const char *group,
                             leat_start_t start, uint64_t start_value, uint64_t *first,
                             int timeout_ms)
{
    if (!s_valid (stream) || !s_valid (group) || start > LEAT_START_TIME)
        return s_invalid ();
    leat_command_t command = { .id = LEAT_GROUP_CREATE };
    command.group_create.stream = leat_text (stream);
    command.group_create.group = leat_text (group);
    command.group_create.start = (uint8_t) start;
    command.group_create.start_value = start_value;
    uint64_t number;
    int result = s_request_number (self, &command, "\"first\": ", &number, timeout_ms);
    if (result == 0 && first != NULL)
        *first = number;
    return result;
}

int leat_admin_drain (leat_admin_t *self, const char *identity, const char *stream,
                      uint32_t *consumers, int timeout_ms)
{
    if (!s_valid (identity) || (stream != NULL && !s_valid (stream)))
        return s_invalid ();
    leat_command_t command = { .id = LEAT_CONSUMER_DRAIN };
    command.consumer_drain.identity = leat_text (identity);
    command.consumer_drain.stream = leat_text (stream);
    uint64_t number;
    int result = s_request_number (self, &command, "\"channels\": ", &number, timeout_ms);
    if (result == 0 && consumers != NULL)
        *consumers = number < UINT32_MAX ? (uint32_t) number : UINT32_MAX;
    return result;
}

leat_code_t leat_admin_error (leat_admin_t *self, char *text, size_t size)
{
    leat_gate_lock (&self->gate);
    leat_code_t code = leat_client_tell (&self->fault, text, size);
    leat_gate_unlock (&self->gate);
    return code;
}

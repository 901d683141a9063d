/* Administration as a client's session sees it: commands that are answered with RESULT.
 * SPDX-License-Identifier: MPL-2.0 */
#include "client/requests.h"

#include <bsd/sys/queue.h>
#include <stdlib.h>
#include <string.h>

#include "wire/alloc.h"
#include "wire/assert.h"

struct leat_request {
    TAILQ_ENTRY (leat_request) link;
    uint8_t *command; /* encoded */
    size_t command_size;
    uint32_t number; /* 0 while it has to be sent */
    bool is_done;
    const leat_attention_t *attention; /* or NULL */
    leat_code_t code;
    char *body;
    size_t body_size;
};

struct leat_requests {
    TAILQ_HEAD (, leat_request) list;
    uint32_t last; /* number */
};

leat_request_t *leat_request_new (const leat_command_t *command)
{
    leat_assert (command->id >= LEAT_STREAM_LIST && command->id <= LEAT_DEAD_DROP);
    leat_request_t *self = leat_alloc (sizeof *self);
    self->command = leat_alloc_raw (leat_command_encoded_size (command));
    self->command_size = leat_command_encode (command, self->command);
    self->body = leat_copy_text ("", 0);
    return self;
}

void leat_request_destroy (leat_request_t **self_p)
{
    leat_request_t *self = *self_p;
    if (self == NULL)
        return;
    free (self->command);
    free (self->body);
    free (self);
    *self_p = NULL;
}

void leat_request_notify (leat_request_t *self, const leat_attention_t *attention)
{
    self->attention = attention;
}

bool leat_request_done (const leat_request_t *self)
{
    return self->is_done;
}

leat_code_t leat_request_code (const leat_request_t *self)
{
    return self->code;
}

const char *leat_request_body (const leat_request_t *self)
{
    return self->body;
}

static void s_append (leat_request_t *self, leat_text_t text)
{
    self->body = leat_realloc (self->body, self->body_size + text.size + 1);
    if (text.size > 0)
        memcpy (self->body + self->body_size, text.data, text.size);
    self->body_size += text.size;
    self->body[self->body_size] = '\0';
}

static void s_forget_answer (leat_request_t *self)
{
    self->body_size = 0;
    self->body[0] = '\0';
}

static void s_done (leat_request_t *self, unsigned code)
{
    self->code = (leat_code_t) code;
    self->is_done = true;
    if (self->attention != NULL)
        leat_attention_tell (self->attention);
}

/* ---- of a session ---------------------------------------------------------------------------- */

leat_requests_t *leat_requests_new (void)
{
    leat_requests_t *self = leat_alloc (sizeof *self);
    TAILQ_INIT (&self->list);
    return self;
}

void leat_requests_destroy (leat_requests_t **self_p)
{
    free (*self_p);
    *self_p = NULL;
}

void leat_requests_add (leat_requests_t *self, leat_request_t *request)
{
    TAILQ_INSERT_TAIL (&self->list, request, link);
}

void leat_requests_remove (leat_requests_t *self, leat_request_t *request)
{
    TAILQ_REMOVE (&self->list, request, link);
}

bool leat_requests_waiting (const leat_requests_t *self)
{
    const leat_request_t *request;
    TAILQ_FOREACH (request, &self->list, link)
        if (!request->is_done && request->number == 0)
            return true;
    return false;
}

void leat_requests_run (leat_requests_t *self, leat_outbox_t *outbox)
{
    leat_request_t *request;
    TAILQ_FOREACH (request, &self->list, link) {
        if (request->is_done || request->number != 0)
            continue;
        leat_command_t command;
        leat_code_t code =
            leat_command_decode (&command, request->command, request->command_size, NULL);
        leat_assert (code == LEAT_OK);
        if (++self->last == 0)
            self->last = 1;
        request->number = self->last;
        command.stream_list.request = request->number; /* the first field of each */
        leat_outbox_command (outbox, 0, &command);
    }
}

void leat_requests_lost (leat_requests_t *self)
{
    leat_request_t *request;
    TAILQ_FOREACH (request, &self->list, link) {
        if (request->is_done)
            continue;
        request->number = 0;
        s_forget_answer (request);
    }
}

/* NULL also for one that nobody waits for any more. */
static leat_request_t *s_find (leat_requests_t *self, uint32_t number)
{
    leat_request_t *request;
    TAILQ_FOREACH (request, &self->list, link)
        if (!request->is_done && request->number == number)
            return request;
    return NULL;
}

bool leat_requests_result (leat_requests_t *self, const leat_result_t *result)
{
    leat_request_t *request = s_find (self, result->request);
    if (request == NULL || result->request == 0)
        return result->request != 0 && result->request <= self->last;
    if (request->body_size + result->body.size > LEAT_REQUEST_BODY_MAX) {
        s_forget_answer (request);
        s_append (request, leat_text ("the answer is larger than 64 MiB"));
        s_done (request, LEAT_TOO_LARGE);
        return true;
    }
    s_append (request, result->body);
    if (result->code == LEAT_OK && (result->flags & LEAT_RESULT_MORE))
        return true;
    s_done (request, result->code);
    return true;
}

bool leat_requests_refused (leat_requests_t *self, const leat_refused_t *refused)
{
    if (refused->token == 0 || refused->token > self->last)
        return false;
    leat_request_t *request = s_find (self, (uint32_t) refused->token);
    if (request == NULL)
        return true;
    s_forget_answer (request);
    s_append (request, refused->reason);
    /* A refusal is none, whatever its code says. */
    s_done (request, refused->code != LEAT_OK ? refused->code : LEAT_MALFORMED);
    return true;
}

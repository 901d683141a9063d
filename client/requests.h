/* Administration as a client's session sees it: commands that are answered with RESULT.
 * SPDX-License-Identifier: MPL-2.0 */
#ifndef LEAT_CLIENT_REQUESTS_H
#define LEAT_CLIENT_REQUESTS_H

#include "client/agenda.h"
#include "wire/outbox.h"

enum {
    LEAT_REQUEST_BODY_MAX = 64 << 20 /* bytes of an answer, over all of its RESULTs */
};

/* One command and its answer. It is sent whenever there is a session, again after a loss, until it is
 * answered. */
typedef struct leat_request leat_request_t;

/* The command, an administration command, is copied; its request number is given to it when it is
 * sent. */
leat_request_t *leat_request_new (const leat_command_t *command);
void leat_request_destroy (leat_request_t **self_p);

/* Whom to tell (leat_attention_tell) once it is answered; must live as long as the request. */
void leat_request_notify (leat_request_t *self, const leat_attention_t *attention);

/* True once it is answered. Then `code` says how, and `body` is what the broker sent: JSON of a
 * RESULT, the reason of a refusal, or from a liar anything at all. Both are valid as long as the request. */
bool leat_request_done (const leat_request_t *self);
leat_code_t leat_request_code (const leat_request_t *self);
const char *leat_request_body (const leat_request_t *self);

/* Those of a session, which do not become its own. */
typedef struct leat_requests leat_requests_t;

leat_requests_t *leat_requests_new (void);
void leat_requests_destroy (leat_requests_t **self_p);
void leat_requests_add (leat_requests_t *self, leat_request_t *request);
void leat_requests_remove (leat_requests_t *self, leat_request_t *request);

/* Sends what has to be sent; whether there is something. */
void leat_requests_run (leat_requests_t *self, leat_outbox_t *outbox);
bool leat_requests_waiting (const leat_requests_t *self);

/* The connection is gone. */
void leat_requests_lost (leat_requests_t *self);

/* False if nothing was ever asked under that number. */
bool leat_requests_result (leat_requests_t *self, const leat_result_t *result);
bool leat_requests_refused (leat_requests_t *self, const leat_refused_t *refused);

#endif

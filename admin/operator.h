/* What the commands of an operator have in common: a connection, a question, an answer.
 * SPDX-License-Identifier: MPL-2.0 */
#ifndef LEAT_ADMIN_OPERATOR_H
#define LEAT_ADMIN_OPERATOR_H

#include <argp.h>
#include <jansson.h>

#include "leat_admin.h"
#include "monitor/table.h"

typedef struct {
    const char *program; /* "leat stream" */
    const char *broker;  /* from the flag, or NULL */
    const char *about;   /* the name that the question is about, for messages; or NULL */
    int timeout_ms;
    leat_client_t *client;
    leat_admin_t *admin;
} leat_operator_t;

/* What a command does once there is a connection; returns its exit code. `settings` is what its parser has
 * as input, which begins with a leat_operator_t. */
typedef int (leat_operator_act_fn) (void *settings);

/* A command: reads its options by `argp`, whose children are filled in with those that all commands have
 * (its parser gives them the leat_operator_t as input), connects, acts, and closes the connection. Returns
 * the exit code. */
int leat_operator_run (leat_operator_t *self, const struct argp *argp, int argc, char **argv,
                       leat_operator_act_fn *act);

/* The exit code of what a function of leat_admin.h returned, errno being what it left; after a message if
 * it is not LEAT_EXIT_DONE. */
int leat_operator_answer (const leat_operator_t *self, int result);

/* The array `member` of an answer, which is freed; NULL after a message. The caller releases *object. */
json_t *leat_operator_array (const leat_operator_t *self, char *answer, const char *member,
                             json_t **object);

/* Prints JSON, or a table, which is destroyed, on stdout. An exit code, likewise. */
int leat_operator_print_json (const leat_operator_t *self, const char *json);
int leat_operator_print (const leat_operator_t *self, leat_table_t **table);

/* Ends with a usage error unless `name` can be one of `what`; `size_max` as in leat_text_name_check. */
void leat_operator_check_name (const char *what, const char *name, size_t size_max,
                               struct argp_state *state);

#endif

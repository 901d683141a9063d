/* Texts that users give on the command line: escapes, endpoints, names.
 * SPDX-License-Identifier: MPL-2.0 */
#ifndef LEAT_CLI_TEXT_H
#define LEAT_CLI_TEXT_H

#include <stdbool.h>
#include <stddef.h>

/* Replaces \n \t \r \0 \\ and \xHH by the byte that they mean. The result is allocated, `*size` bytes
 * long and zero-terminated besides; free it with free(3). NULL for any other escape: `*why` then is a
 * sentence (static text). */
char *leat_text_unescape (const char *text, size_t *size, const char **why);

/* NULL if a client can connect to what the text looks like, otherwise a sentence (static text) that says
 * what an endpoint looks like. */
const char *leat_text_endpoint_check (const char *endpoint);

/* The same for what a leat_client_t is given: one endpoint, or several with commas between. */
const char *leat_text_endpoints_check (const char *endpoints);

/* The flag's value, else that of the environment variable unless it is empty, else the default. */
const char *leat_text_endpoint_choose (const char *flag, const char *variable,
                                       const char *otherwise);

/* NULL if the text is a valid name of a stream, group or identity, otherwise a sentence (static
 * text) that says what one is made of. */
const char *leat_text_name_check (const char *name, size_t size_max);

/* Makes a text safe to show on a terminal, in place: control characters (line feeds too) and bytes that are
 * no UTF-8 become '?'. */
void leat_text_make_harmless (char *text);

#endif

/* The list of endpoints that a client tries in turn.
 * SPDX-License-Identifier: MPL-2.0 */
#ifndef LEAT_CLIENT_ENDPOINTS_H
#define LEAT_CLIENT_ENDPOINTS_H

#include <stdint.h>

enum { LEAT_ENDPOINTS_MAX = 64, LEAT_ENDPOINT_SIZE_MAX = 255 };

typedef struct leat_endpoints leat_endpoints_t;

/* Reads endpoints of the form tcp://HOST:PORT and ipc://PATH, separated by commas or blanks. NULL if
 * there is none, too many, or one that cannot be right. */
leat_endpoints_t *leat_endpoints_new (const char *text);
void leat_endpoints_destroy (leat_endpoints_t **self_p);

uint32_t leat_endpoints_count (const leat_endpoints_t *self);

/* Endpoint `index` < count. */
const char *leat_endpoints_get (const leat_endpoints_t *self, uint32_t index);

#endif

/* The list of endpoints that a client tries in turn.
 * SPDX-License-Identifier: MPL-2.0 */
#include "client/endpoints.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "wire/alloc.h"

struct leat_endpoints {
    uint32_t count;
    char *items[LEAT_ENDPOINTS_MAX];
};

/* HOST:PORT, where host may be a bracketed IPv6 address and port is from 1 to 65535. */
static bool s_tcp_valid (const char *address)
{
    const char *colon = strrchr (address, ':');
    if (colon == NULL || colon == address || colon[1] < '1' || colon[1] > '9')
        return false;
    char *end;
    unsigned long port = strtoul (colon + 1, &end, 10);
    return *end == '\0' && port <= UINT16_MAX;
}

static bool s_valid (const char *endpoint)
{
    if (strncmp (endpoint, "tcp://", 6) == 0)
        return s_tcp_valid (endpoint + 6);
    return strncmp (endpoint, "ipc://", 6) == 0 && endpoint[6] != '\0';
}

leat_endpoints_t *leat_endpoints_new (const char *text)
{
    static const char separators[] = ", \t\n";
    leat_endpoints_t *self = leat_alloc (sizeof *self);
    for (text += strspn (text, separators); *text != '\0'; text += strspn (text, separators)) {
        size_t size = strcspn (text, separators);
        if (self->count == LEAT_ENDPOINTS_MAX || size > LEAT_ENDPOINT_SIZE_MAX) {
            leat_endpoints_destroy (&self);
            return NULL;
        }
        char *item = leat_copy_text (text, size);
        self->items[self->count++] = item;
        if (!s_valid (item)) {
            leat_endpoints_destroy (&self);
            return NULL;
        }
        text += size;
    }
    if (self->count == 0)
        leat_endpoints_destroy (&self);
    return self;
}

void leat_endpoints_destroy (leat_endpoints_t **self_p)
{
    leat_endpoints_t *self = *self_p;
    if (self == NULL)
        return;
    for (uint32_t index = 0; index < self->count; index++)
        free (self->items[index]);
    free (self);
    *self_p = NULL;
}

uint32_t leat_endpoints_count (const leat_endpoints_t *self)
{
    return self->count;
}

const char *leat_endpoints_get (const leat_endpoints_t *self, uint32_t index)
{
    return self->items[index];
}

/* Texts that users give on the command line: escapes, endpoints, names.
 * SPDX-License-Identifier: MPL-2.0 */

#include <ctype.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "cli/text.h"
#include "cli/units.h"
#include "wire/alloc.h"
#include "wire/protocol.h"

static int s_hex (char digit)
{
    static const char digits[] = "0123456789abcdef";
    const char *at = digit ? strchr (digits, tolower ((unsigned char) digit)) : NULL;
    return at ? (int) (at - digits) : -1;
}

/* The byte of the escape that begins after the backslash at `text`; sets `*taken`, 0 if unknown. */
static char s_escape (const char *text, size_t *taken)
{
    static const char names[] = "ntr0\\";
    static const char bytes[] = "\n\t\r\0\\";
    *taken = 0;
    if (text[0] == 'x' && s_hex (text[1]) >= 0 && s_hex (text[2]) >= 0) {
        *taken = 3;
        return (char) (s_hex (text[1]) * 16 + s_hex (text[2]));
    }
    const char *at = text[0] ? strchr (names, text[0]) : NULL;
    if (!at)
        return 0;
    *taken = 1;
    return bytes[at - names];
}

char *leat_text_unescape (const char *text, size_t *size, const char **why)
{
    char *result = leat_alloc (strlen (text) + 1);
    size_t length = 0;
    while (*text) {
        if (*text != '\\') {
            result[length++] = *text++;
            continue;
        }
        size_t taken;
        result[length++] = s_escape (text + 1, &taken);
        if (!taken) {
            *why = "after a backslash stands one of n t r 0 \\ or xHH";
            free (result);
            return NULL;
        }
        text += 1 + taken;
    }
    result[length] = 0;
    *size = length;
    return result;
}

static const char *s_tcp_check (const char *address)
{
    const char *colon = strrchr (address, ':');
    if (!colon || colon == address)
        return "a tcp endpoint is written tcp://HOST:PORT";
    uint64_t port = 0;
    const char *why;
    if (!leat_count_parse (colon + 1, &port, &why) || port > 65535)
        return "the port of a tcp endpoint is a number from 1 to 65535";
    if (!port)
        return "nothing can be reached at port 0; name the port that the broker says at its start";
    if (address[0] == '*')
        return "nothing can be reached at *; name the host";
    return NULL;
}

const char *leat_text_endpoint_check (const char *endpoint)
{
    if (strncmp (endpoint, "tcp://", 6) == 0)
        return s_tcp_check (endpoint + 6);
    if (strncmp (endpoint, "ipc://", 6) == 0) {
        /* sun_path of unix(7) has 108 bytes, one of them the zero. */
        if (!endpoint[6] || strlen (endpoint + 6) > 107)
            return "an ipc endpoint is written ipc://PATH, with a path of at most 107 bytes";
        return NULL;
    }
    return "an endpoint is written tcp://HOST:PORT or ipc://PATH";
}

const char *leat_text_endpoint_choose (const char *flag, const char *variable,
                                       const char *otherwise)
{
    if (flag)
        return flag;
    const char *value = getenv (variable);
    return value && *value ? value : otherwise;
}

const char *leat_text_name_check (const char *name, size_t size_max)
{
    leat_text_t text = leat_text (name);
    if (text.size > size_max)
        return size_max == LEAT_STREAM_NAME_MAX ? "a stream's name has at most 123 characters"
                                                : "a name has at most 128 characters";
    if (!leat_name_valid (text))
        return "a name is made of letters, digits, '.', '_' and '-', and does not begin with '.' "
               "or '-'";
    return NULL;
}

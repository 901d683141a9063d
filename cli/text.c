/* Texts that users give on the command line: escapes, endpoints, names.
 * SPDX-License-Identifier: MPL-2.0 */

#include <arpa/inet.h>
#include <ctype.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "cli/text.h"
#include "cli/units.h"
#include "client/endpoints.h"
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

/* The name of a host, an IPv4 address, or an IPv6 address in brackets, perhaps with an interface behind
 * a percent sign. */
static bool s_host_valid (const char *host, size_t size)
{
    char address[INET6_ADDRSTRLEN];
    struct in6_addr v6;
    if (host[0] != '[') {
        for (size_t i = 0; i < size; i++)
            if (!isalnum ((unsigned char) host[i]) && !strchr (".-_", host[i]))
                return false;
        return size > 0;
    }
    size_t length = strcspn (host + 1, "%]");
    if (size < 3 || host[size - 1] != ']' || length > size - 2 || length >= sizeof address)
        return false;
    memcpy (address, host + 1, length);
    address[length] = 0;
    return inet_pton (AF_INET6, address, &v6) == 1;
}

static const char *s_tcp_check (const char *address)
{
    const char *colon = strrchr (address, ':');
    if (!colon || colon == address)
        return "a tcp endpoint is written tcp://HOST:PORT";
    if (address[0] == '*')
        return "nothing can be reached at *; name the host";
    if (!s_host_valid (address, (size_t) (colon - address)))
        return "the host of a tcp endpoint is a name, an IPv4 address, or an IPv6 address in brackets";
    uint64_t port = 0;
    const char *why;
    if (!leat_count_parse (colon + 1, &port, &why) || port > 65535)
        return "the port of a tcp endpoint is a number from 1 to 65535";
    if (!port)
        return "nothing can be reached at port 0; name the port that the broker says at its start";
    if (colon[1] == '0')
        return "the port of a tcp endpoint is written without a zero in front";
    return NULL;
}

const char *leat_text_endpoint_check (const char *endpoint)
{
    if (strlen (endpoint) > LEAT_ENDPOINT_SIZE_MAX)
        return "an endpoint has at most 255 bytes";
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

const char *leat_text_endpoints_check (const char *endpoints)
{
    const char *at = endpoints;
    for (uint32_t count = 1;; count++) {
        size_t size = strcspn (at, ",");
        if (count > LEAT_ENDPOINTS_MAX)
            return "64 endpoints are the most that can be tried in turn";
        if (strcspn (at, " \t\n") < size)
            return "an endpoint has no blanks; several are written with only commas between";
        char *endpoint = leat_copy_text (at, size);
        const char *why = leat_text_endpoint_check (endpoint);
        free (endpoint);
        if (why || !at[size])
            return why;
        at += size + 1;
    }
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

/* Bytes of the UTF-8 character that begins at `text`, which is not ASCII: 0 if it is none, or a control
 * character (U+0080 to U+009F: some terminals obey them as they do ESC). */
static size_t s_character (const unsigned char *text)
{
    size_t size = text[0] >= 0xf0 ? 4 : text[0] >= 0xe0 ? 3 : 2;
    if (text[0] < 0xc2 || text[0] > 0xf4)
        return 0;
    for (size_t i = 1; i < size; i++)
        if ((text[i] & 0xc0) != 0x80)
            return 0;
    /* Longer forms than needed, surrogates, and what is beyond U+10FFFF are none either. */
    bool wrong = (text[0] == 0xc2 && text[1] < 0xa0) || (text[0] == 0xe0 && text[1] < 0xa0)
                 || (text[0] == 0xed && text[1] >= 0xa0) || (text[0] == 0xf0 && text[1] < 0x90)
                 || (text[0] == 0xf4 && text[1] >= 0x90);
    return wrong ? 0 : size;
}

void leat_text_make_harmless (char *text)
{
    for (unsigned char *at = (unsigned char *) text; *at;) {
        size_t size = *at >= 0x80 ? s_character (at) : *at >= ' ' && *at != 0x7f;
        if (!size)
            *at = '?';
        at += size ? size : 1;
    }
}

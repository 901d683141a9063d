/* Names and texts of error codes; rules for names.
 * SPDX-License-Identifier: MPL-2.0 */
#include "wire/protocol.h"

#include <string.h>

const char *leat_code_name (unsigned code)
{
    switch (code) {
#define X(number, name, text)                                                                      \
    case number:                                                                                   \
        return #name;
        LEAT_CODES (X)
#undef X
    default:
        return "UNKNOWN";
    }
}

const char *leat_code_text (unsigned code)
{
    switch (code) {
#define X(number, name, text)                                                                      \
    case number:                                                                                   \
        return text;
        LEAT_CODES (X)
#undef X
    default:
        return "a code that this version does not know";
    }
}

leat_text_t leat_text (const char *string)
{
    return (leat_text_t){ string, string ? strlen (string) : 0 };
}

bool leat_text_equal (leat_text_t a, leat_text_t b)
{
    return a.size == b.size && (a.size == 0 || memcmp (a.data, b.data, a.size) == 0);
}

/* Not isalnum(3), which depends on the locale. */
static bool s_name_character (char character)
{
    return (character >= 'a' && character <= 'z') || (character >= 'A' && character <= 'Z')
           || (character >= '0' && character <= '9') || character == '.' || character == '_'
           || character == '-';
}

bool leat_name_valid (leat_text_t name)
{
    if (name.size < 1 || name.size > LEAT_NAME_MAX || name.data[0] == '.' || name.data[0] == '-')
        return false;
    for (size_t index = 0; index < name.size; index++)
        if (!s_name_character (name.data[index]))
            return false;
    return true;
}

bool leat_name_reserved (leat_text_t name)
{
    static const char suffix[] = ".dead";
    const size_t size = sizeof suffix - 1;
    return name.size >= size && memcmp (name.data + name.size - size, suffix, size) == 0;
}

/* Lines for the user on stderr.
 * SPDX-License-Identifier: MPL-2.0 */

#include <argp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "cli/message.h"
#include "cli/terminal.h"
#include "cli/text.h"

void leat_message (const char *program, const char *format, ...)
{
    char line[2048];
    /* On a terminal a progress line may stand where this one begins. The cursor is left where it is:
     * before it there may be data that came without a line feed. */
    const char *wipe = leat_terminal_obeys (STDERR_FILENO) ? "\033[K" : "";
    int begin = snprintf (line, sizeof line, "%s%s: ", wipe, program);
    if (begin < 0 || (size_t) begin >= sizeof line)
        return;
    va_list arguments;
    va_start (arguments, format);
    int size = vsnprintf (line + begin, sizeof line - (size_t) begin - 1, format, arguments);
    va_end (arguments);
    if (size < 0)
        return;
    /* It may quote what a peer, a file's name or the environment said. */
    leat_text_make_harmless (line + begin);
    size_t length = strlen (line);
    line[length++] = '\n';
    /* Whoever closed stderr does not want to hear it. */
    ssize_t written = write (STDERR_FILENO, line, length);
    (void) written;
}

void leat_usage_error (const struct argp_state *state, const char *format, ...)
{
    char text[2048];
    va_list arguments;
    va_start (arguments, format);
    vsnprintf (text, sizeof text, format, arguments);
    va_end (arguments);
    leat_text_make_harmless (text);
    argp_error (state, "%s", text);
}

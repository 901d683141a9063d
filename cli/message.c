/* Lines for the user on stderr.
 * SPDX-License-Identifier: MPL-2.0 */

#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "cli/message.h"

void leat_message (const char *program, const char *format, ...)
{
    char line[2048];
    /* On a terminal a progress line may stand where this one begins. */
    const char *wipe = isatty (STDERR_FILENO) ? "\r\033[K" : "";
    int begin = snprintf (line, sizeof line, "%s%s: ", wipe, program);
    if (begin < 0 || (size_t) begin >= sizeof line)
        return;
    va_list arguments;
    va_start (arguments, format);
    int size = vsnprintf (line + begin, sizeof line - (size_t) begin - 1, format, arguments);
    va_end (arguments);
    if (size < 0)
        return;
    size_t length = strlen (line);
    line[length++] = '\n';
    /* Whoever closed stderr does not want to hear it. */
    ssize_t written = write (STDERR_FILENO, line, length);
    (void) written;
}

/* What a terminal is like: its width, and whether it wants colour.
 * SPDX-License-Identifier: MPL-2.0 */

#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "cli/terminal.h"

unsigned leat_terminal_columns (int fd)
{
    struct winsize size;
    if (ioctl (fd, TIOCGWINSZ, &size) != 0 || size.ws_col == 0)
        return 80;
    return size.ws_col < 20 ? 20 : size.ws_col;
}

bool leat_terminal_obeys (int fd)
{
    const char *kind = getenv ("TERM");
    return isatty (fd) && kind && *kind && strcmp (kind, "dumb") != 0;
}

bool leat_terminal_colour (int fd)
{
    const char *refused = getenv ("NO_COLOR");
    return !(refused && *refused) && leat_terminal_obeys (fd);
}

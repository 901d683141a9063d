/* Options of the programs that the tests with faults start.
 * SPDX-License-Identifier: MPL-2.0 */
#include "tests/system/faults/options.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void s_take (const fault_option_t *option, const char *value)
{
    if (option->text != NULL) {
        *option->text = value;
        return;
    }
    char *end;
    errno = 0;
    *option->number = strtoull (value, &end, 10);
    if (errno != 0 || end == value || *end != '\0') {
        fprintf (stderr, "--%s wants a number, not %s\n", option->name, value);
        exit (2);
    }
}

void fault_options_read (const fault_option_t *options, size_t count, int argc, char **argv)
{
    for (int i = 1; i < argc; i += 2) {
        size_t at = 0;
        while (at < count
               && (strncmp (argv[i], "--", 2) != 0 || strcmp (argv[i] + 2, options[at].name) != 0))
            at++;
        if (at == count || i + 1 == argc) {
            fprintf (stderr, at == count ? "what is %s?\n" : "%s wants a value\n", argv[i]);
            exit (2);
        }
        s_take (&options[at], argv[i + 1]);
    }
}

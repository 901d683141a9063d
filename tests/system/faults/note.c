/* Writes a line into a journal, for the scripts that make faults:  fault_note FILE WORD...
 * SPDX-License-Identifier: MPL-2.0 */
#include "tests/system/faults/journal.h"

#include <stdio.h>
#include <string.h>

int main (int argc, char **argv)
{
    if (argc < 3) {
        fprintf (stderr, "usage: fault_note FILE WORD...\n");
        return 2;
    }
    char text[600] = "";
    size_t used = 0;
    for (int i = 2; i < argc && used < sizeof text; i++) {
        int more = snprintf (text + used, sizeof text - used, "%s%s", i > 2 ? " " : "", argv[i]);
        used += (size_t) more;
    }
    fault_journal_t *journal = fault_journal_new (argv[1]);
    fault_journal_write (journal, "%s", text);
    fault_journal_destroy (&journal);
    return 0;
}

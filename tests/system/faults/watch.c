/* Notes when the machine was too busy to run a process that did nothing but wait:  fault_watch FILE
 * SPDX-License-Identifier: MPL-2.0 */
#include "tests/system/faults/journal.h"

#include <inttypes.h>
#include <poll.h>
#include <stdio.h>

/* Who has not run for so long may have kept others waiting for long enough to be taken for dead. */
enum { S_TURN_MS = 50, S_BUSY_US = 250 * 1000 };

int main (int argc, char **argv)
{
    if (argc != 2) {
        fprintf (stderr, "usage: fault_watch FILE\n");
        return 2;
    }
    fault_journal_t *journal = fault_journal_new (argv[1]);
    uint64_t before_us = fault_clock_us ();
    for (;;) {
        poll (NULL, 0, S_TURN_MS);
        uint64_t now_us = fault_clock_us ();
        if (now_us - before_us > S_TURN_MS * 1000 + S_BUSY_US)
            fault_journal_write (journal, "busy %" PRIu64, now_us - before_us);
        before_us = now_us;
    }
}

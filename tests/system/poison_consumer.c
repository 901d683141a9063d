/* A consumer that records can kill or freeze, for test_broker_poison.c.
 *
 *      poison_consumer ENDPOINT one|batch
 *
 * Writes a line "OFFSET ATTEMPT REDELIVERED BODY" for each record before it handles it. A body "kill"
 * ends the process with SIGKILL, "freeze" stops it. `one` takes records one by one and acks each, which
 * the library sends in batches; `batch` takes whole leases and acks each at its end. Ends by SIGKILL.
 * SPDX-License-Identifier: MPL-2.0 */
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "leat.h"

static bool s_is (const leat_delivered_t *delivered, const char *text)
{
    return delivered->record.body_size == strlen (text)
           && memcmp (delivered->record.body, text, strlen (text)) == 0;
}

/* One write of less than PIPE_BUF: lines of several consumers do not mix. */
static bool s_handle (const leat_delivered_t *delivered)
{
    char line[128];
    int size = snprintf (line, sizeof line, "%" PRIu64 " %" PRIu32 " %d %.*s\n", delivered->offset,
                         delivered->attempt, delivered->redelivered,
                         (int) delivered->record.body_size, (const char *) delivered->record.body);
    if (size < 0 || (size_t) size >= sizeof line
        || write (STDOUT_FILENO, line, (size_t) size) != size)
        return false;
    if (s_is (delivered, "kill"))
        raise (SIGKILL);
    if (s_is (delivered, "freeze"))
        raise (SIGSTOP);
    return true;
}

static bool s_take_one (leat_consumer_t *consumer)
{
    leat_delivered_t delivered;
    return leat_consumer_receive (consumer, &delivered, -1) == 0 && s_handle (&delivered)
           && leat_consumer_ack (consumer, &delivered) == 0;
}

static bool s_take_batch (leat_consumer_t *consumer)
{
    leat_delivered_t delivered;
    leat_lease_t *lease = leat_consumer_receive_batch (consumer, -1);
    if (!lease)
        return false;
    while (leat_lease_next (lease, &delivered))
        if (!s_handle (&delivered))
            return false;
    leat_lease_ack (&lease);
    return true;
}

int main (int argc, char **argv)
{
    if (argc != 3)
        return 2;
    prctl (PR_SET_PDEATHSIG, SIGKILL); /* not to be left behind by a test that fails */
    leat_client_options_t client_options = { .endpoints = argv[1] };
    leat_consumer_options_t options = { .credit_records = 10000 };
    leat_client_t *client = leat_client_new (&client_options);
    leat_consumer_t *consumer = client ? leat_consumer_new (client, "jobs", &options) : NULL;
    if (!consumer)
        return 1;
    bool is_batch = strcmp (argv[2], "batch") == 0;
    while (is_batch ? s_take_batch (consumer) : s_take_one (consumer))
        continue;
    return 1;
}

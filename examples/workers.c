/* Four threads share the records of a stream; some fail and come again:  example_workers numbers
 * SPDX-License-Identifier: MPL-2.0 */
#include <leat.h>

#include <stdio.h>
#include <stdlib.h>

static leat_outcome_t s_handle (void *arg, const leat_delivered_t *delivered,
                                leat_verdict_t *verdict)
{
    (void) arg;
    if (delivered->record.body_size == 0) {
        verdict->reason = "an empty record";
        return LEAT_REJECT; /* a dead letter */
    }
    if (delivered->attempt == 1 && delivered->offset % 10 == 0) {
        verdict->delay_ms = 100;
        return LEAT_NACK; /* again in 100 ms */
    }
    printf ("%llu, attempt %u: %.*s\n", (unsigned long long) delivered->offset, delivered->attempt,
            (int) delivered->record.body_size, (const char *) delivered->record.body);
    return LEAT_ACK;
}

int main (int argc, char **argv)
{
    const char *stream = argc > 1 ? argv[1] : "lines";
    leat_client_t *client =
        leat_client_new (&(leat_client_options_t){ .endpoints = getenv ("LEAT_BROKER") });
    leat_consumer_t *consumer = client ? leat_consumer_new (client, stream, NULL) : NULL;
    if (consumer == NULL) {
        perror (stream);
        return EXIT_FAILURE;
    }
    leat_consumer_ask_empty (consumer);
    leat_worker_pool_t *pool = leat_worker_pool_new (consumer, 4, s_handle, NULL);
    leat_worker_pool_wait (pool); /* until the broker says that the group is empty */

    leat_worker_pool_destroy (&pool);
    leat_consumer_destroy (&consumer);
    leat_client_destroy (&client);
    return EXIT_SUCCESS;
}

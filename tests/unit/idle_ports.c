/* One producer and one consumer at work, beside others of the same client that have nothing to do; for
 * idle_ports.sh, which counts what the client's thread executes.
 * SPDX-License-Identifier: MPL-2.0
 *
 * usage: idle_ports IDLE RECORDS */
#include "tests/unit/client_sample.h"
#include "wire/assert.h"

static leat_client_t *s_client (const char *endpoint)
{
    leat_client_t *client = leat_client_new (&(leat_client_options_t){ .endpoints = endpoint });
    leat_assert (client != NULL);
    return client;
}

/* Half of them are producers, all of streams of their own. Until the broker has answered for all. */
static void s_add_idle (leat_client_t *client, unsigned count)
{
    leat_producer_t **producers = leat_alloc ((count + 1) * sizeof *producers);
    for (unsigned index = 0; index < count; index++) {
        char stream[32];
        snprintf (stream, sizeof stream, "idle-%u", index);
        if (index % 2 != 0)
            producers[index] = leat_producer_new (client, stream, NULL);
        else
            leat_assert (leat_consumer_new (client, stream, NULL) != NULL);
    }
    for (unsigned index = 1; index < count; index += 2) {
        uint64_t known;
        leat_assert (producers[index] != NULL);
        leat_assert (leat_producer_known (producers[index], &known, SAMPLE_WAIT_MS) == 0);
    }
    free (producers);
}

static void s_work (leat_client_t *client, unsigned count)
{
    leat_producer_t *producer = leat_producer_new (client, "busy", NULL);
    leat_consumer_t *consumer = leat_consumer_new (client, "busy", NULL);
    leat_assert (producer != NULL && consumer != NULL);
    for (unsigned n = 1; n <= count; n++) {
        uint8_t body[512];
        leat_delivered_t delivered;
        size_t size = sample_body (body, sizeof body, n);
        leat_assert (leat_producer_send (producer, body, size) == 0);
        leat_assert (leat_producer_flush (producer, SAMPLE_WAIT_MS) == 0);
        leat_assert (leat_consumer_receive (consumer, &delivered, SAMPLE_WAIT_MS) == 0);
        leat_assert (delivered.record.body_size == size
                     && memcmp (delivered.record.body, body, size) == 0);
        leat_assert (leat_consumer_ack (consumer, &delivered) == 0);
    }
}

/* It ends without an end: how that is counted is not the question here. */
int main (int argc, char **argv)
{
    leat_assert (argc == 3);
    char endpoint[128];
    leat_limits_t limits;
    leat_limits_default (&limits);
    limits.heartbeat_interval = 60000; /* valgrind runs one thread at a time */
    limits.heartbeat_timeout = 300000;
    test_broker_endpoint (endpoint, sizeof endpoint, 1);
    test_broker_t *broker = test_broker_new (&limits, endpoint);
    test_broker_start (broker);
    leat_client_t *client = s_client (endpoint);
    s_add_idle (client, (unsigned) strtoul (argv[1], NULL, 10));
    s_work (client, (unsigned) strtoul (argv[2], NULL, 10));
    fflush (NULL);
    _Exit (0);
}

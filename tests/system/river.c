/* A client with several endpoints, for tests:  river consume|produce ENDPOINT[,ENDPOINT]... STREAM
 * SPDX-License-Identifier: MPL-2.0
 *
 * `consume` prints each record as a line and never ends by itself. `produce` publishes the lines of its
 * stdin and ends with 0 once all are confirmed. */
#include <leat.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int s_consume (leat_client_t *client, const char *stream)
{
    leat_delivered_t delivered;
    leat_consumer_t *consumer = leat_consumer_new (client, stream, NULL);
    while (consumer && leat_consumer_receive (consumer, &delivered, -1) == 0) {
        printf ("%.*s\n", (int) delivered.record.body_size, (const char *) delivered.record.body);
        fflush (stdout);
        leat_consumer_ack (consumer, &delivered);
    }
    return EXIT_FAILURE;
}

static int s_produce (leat_client_t *client, const char *stream)
{
    char line[256];
    leat_producer_t *producer = leat_producer_new (client, stream, NULL);
    if (!producer)
        return EXIT_FAILURE;
    while (fgets (line, sizeof line, stdin)) {
        if (leat_producer_send (producer, line, strcspn (line, "\n")) != 0)
            return EXIT_FAILURE;
    }
    int rc = leat_producer_flush (producer, -1);
    leat_producer_destroy (&producer);
    return rc == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}

int main (int argc, char **argv)
{
    if (argc != 4)
        return 2;
    leat_client_t *client = leat_client_new (&(leat_client_options_t){ .endpoints = argv[2] });
    if (!client)
        return EXIT_FAILURE;
    int code = strcmp (argv[1], "consume") == 0 ? s_consume (client, argv[3])
                                                : s_produce (client, argv[3]);
    leat_client_destroy (&client);
    return code;
}

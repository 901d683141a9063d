/* Prints the records of a stream until nothing is left:  example_consume numbers
 * SPDX-License-Identifier: MPL-2.0 */
#include <leat.h>

#include <stdio.h>
#include <stdlib.h>

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

    leat_delivered_t delivered;
    while (leat_consumer_receive (consumer, &delivered, -1) == 0) {
        printf ("%.*s\n", (int) delivered.record.body_size, (const char *) delivered.record.body);

        /* A record that was printed is done. If this program dies before, it is delivered again. */
        leat_consumer_ack (consumer, &delivered);
    }

    leat_consumer_leave (consumer, -1);
    leat_consumer_destroy (&consumer);
    leat_client_destroy (&client);
    return EXIT_SUCCESS;
}

/* Publishes each line of standard input into a stream:  seq 1000 | example_produce numbers
 * SPDX-License-Identifier: MPL-2.0 */
#include <leat.h>

#include <stdio.h>
#include <stdlib.h>

static int s_fail (leat_client_t *client, const char *what)
{
    char why[512];
    leat_client_error (client, why, sizeof why);
    fprintf (stderr, "%s: %s\n", what, why);
    return EXIT_FAILURE;
}

int main (int argc, char **argv)
{
    const char *stream = argc > 1 ? argv[1] : "lines";
    leat_client_t *client =
        leat_client_new (&(leat_client_options_t){ .endpoints = getenv ("LEAT_BROKER") });
    leat_producer_t *producer = client ? leat_producer_new (client, stream, NULL) : NULL;
    if (producer == NULL) {
        perror (stream);
        return EXIT_FAILURE;
    }
    if (leat_client_wait (client, 10000) != 0)
        return s_fail (client, "no broker");

    char *line = NULL;
    size_t room = 0;
    ssize_t size;
    while ((size = getline (&line, &room, stdin)) > 0)
        if (leat_producer_send (producer, line, (size_t) size - (line[size - 1] == '\n')) != 0)
            return s_fail (client, "send");
    free (line);

    /* Until here records are only under way; from here on they are the broker's to keep. */
    if (leat_producer_flush (producer, -1) != 0)
        return s_fail (client, "flush");
    fprintf (stderr, "%llu records are confirmed\n",
             (unsigned long long) leat_producer_confirmed (producer));

    leat_producer_destroy (&producer);
    leat_client_destroy (&client);
    return EXIT_SUCCESS;
}

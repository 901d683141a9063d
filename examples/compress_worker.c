/* A consumer that does real work: compresses each record, checks that it comes back the same, and
 * writes it to a file before it acks. `./demo` runs several of these.
 * SPDX-License-Identifier: MPL-2.0
 *
 *      compress_worker NAME STREAM FILE [MICROSECONDS]
 *
 * NAME is its identity at the broker ($LEAT_BROKER, or the default endpoint). FILE gets each record
 * with a zero byte behind it. Each record takes at least MICROSECONDS, as if it waited for a disk or
 * a network. SIGTERM ends it in order; it then says what it did:
 *
 *      NAME RECORDS BYTES COMPRESSED_BYTES BUSY_PERCENT */

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <leat.h>
#include <zlib.h>

static volatile sig_atomic_t s_stop;

static void s_on_signal (int number)
{
    (void) number;
    s_stop = 1;
}

static int64_t s_now_us (void)
{
    struct timespec now;
    clock_gettime (CLOCK_MONOTONIC, &now);
    return now.tv_sec * INT64_C (1000000) + now.tv_nsec / 1000;
}

static void s_wait_until (int64_t us)
{
    struct timespec until = { us / 1000000, us % 1000000 * 1000 };
    while (clock_nanosleep (CLOCK_MONOTONIC, TIMER_ABSTIME, &until, NULL) == EINTR)
        continue;
}

/* Returns the compressed size, or 0 if the record did not survive. */
static size_t s_compress (const uint8_t *body, size_t size)
{
    uLongf packed_size = compressBound (size);
    uLongf unpacked_size = size;
    uint8_t *packed = malloc (packed_size);
    uint8_t *unpacked = malloc (size + 1);
    bool good = packed && unpacked && compress2 (packed, &packed_size, body, size, 9) == Z_OK
                && uncompress (unpacked, &unpacked_size, packed, packed_size) == Z_OK
                && unpacked_size == size && !memcmp (unpacked, body, size);
    free (packed);
    free (unpacked);
    return good ? packed_size : 0;
}

/* All of the record and a zero byte, or nothing that counts. */
static bool s_write (int file, const uint8_t *body, size_t size)
{
    uint8_t *line = malloc (size + 1);
    if (!line)
        return false;
    memcpy (line, body, size);
    line[size] = 0;
    bool done = write (file, line, size + 1) == (ssize_t) size + 1;
    free (line);
    return done;
}

int main (int argc, char **argv)
{
    if (argc < 4) {
        fprintf (stderr, "usage: compress_worker NAME STREAM FILE [MICROSECONDS]\n");
        return 2;
    }
    int64_t pace_us = argc > 4 ? strtoll (argv[4], NULL, 10) : 0;
    int file = open (argv[3], O_WRONLY | O_CREAT | O_TRUNC | O_APPEND, 0644);
    if (file < 0) {
        perror (argv[3]);
        return 1;
    }
    struct sigaction action = { .sa_handler = s_on_signal };
    sigaction (SIGTERM, &action, NULL);
    sigaction (SIGINT, &action, NULL);

    leat_client_options_t client_options = { .identity = argv[1],
                                             .endpoints = getenv ("LEAT_BROKER") };
    leat_client_t *client = leat_client_new (&client_options);
    /* Little credit: what one worker holds, another one cannot take. */
    leat_consumer_options_t options = { .credit_records = 16 };
    leat_consumer_t *consumer = client ? leat_consumer_new (client, argv[2], &options) : NULL;
    if (!consumer) {
        perror ("compress_worker");
        leat_client_destroy (&client);
        close (file);
        return 1;
    }

    uint64_t records = 0;
    uint64_t bytes = 0;
    uint64_t packed_bytes = 0;
    int64_t busy_us = 0;
    int64_t begun_us = s_now_us ();
    leat_delivered_t delivered;
    while (!s_stop) {
        if (leat_consumer_receive (consumer, &delivered, 100) != 0) {
            if (errno == ETIMEDOUT || errno == EAGAIN)
                continue;
            break;
        }
        int64_t start_us = s_now_us ();
        size_t packed = s_compress (delivered.record.body, delivered.record.body_size);
        s_wait_until (start_us + pace_us);
        if (!packed) {
            leat_consumer_reject (consumer, &delivered, "does not survive compression");
        } else if (!s_write (file, delivered.record.body, delivered.record.body_size)) {
            leat_consumer_nack (consumer, &delivered, 0);
        } else {
            records++;
            bytes += delivered.record.body_size;
            packed_bytes += packed;
            leat_consumer_ack (consumer, &delivered);
        }
        busy_us += s_now_us () - start_us;
    }
    int64_t lived_us = s_now_us () - begun_us;
    leat_consumer_leave (consumer, 5000);
    leat_consumer_destroy (&consumer);
    leat_client_destroy (&client);
    close (file);
    printf ("%s %llu %llu %llu %lld\n", argv[1], (unsigned long long) records,
            (unsigned long long) bytes, (unsigned long long) packed_bytes,
            (long long) (lived_us ? busy_us * 100 / lived_us : 0));
    return 0;
}

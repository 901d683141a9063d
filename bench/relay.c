/* Contender "relay": TCP through a process that reads and writes chunks and looks at nothing.
 * SPDX-License-Identifier: MPL-2.0 */
#include "bench/contender.h"

#include <errno.h>
#include <inttypes.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "bench/records.h"
#include "wire/alloc.h"

#define S_CHUNK_SIZE ((size_t) 256 * 1024)

/* Listens on a free port of the loopback and writes the port into `endpoint`; -1 on failure. */
static int s_listen (char *endpoint, size_t size)
{
    struct sockaddr_in address = { .sin_family = AF_INET,
                                   .sin_addr.s_addr = htonl (INADDR_LOOPBACK) };
    socklen_t length = sizeof address;
    int fd = socket (AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return -1;
    if (bind (fd, (struct sockaddr *) &address, sizeof address) != 0 || listen (fd, 1) != 0
        || getsockname (fd, (struct sockaddr *) &address, &length) != 0) {
        close (fd);
        return -1;
    }
    snprintf (endpoint, size, "%u", (unsigned) ntohs (address.sin_port));
    return fd;
}

static void s_no_delay (int fd)
{
    int yes = 1;
    setsockopt (fd, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof yes);
}

static int s_connect (const char *endpoint)
{
    struct sockaddr_in address = { .sin_family = AF_INET,
                                   .sin_port = htons ((uint16_t) strtoul (endpoint, NULL, 10)),
                                   .sin_addr.s_addr = htonl (INADDR_LOOPBACK) };
    int fd = socket (AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd >= 0 && connect (fd, (struct sockaddr *) &address, sizeof address) != 0) {
        close (fd);
        return -1;
    }
    if (fd >= 0)
        s_no_delay (fd);
    return fd;
}

static bool s_write_all (int fd, const uint8_t *bytes, size_t size)
{
    while (size) {
        ssize_t wrote = write (fd, bytes, size);
        if (wrote < 0 && errno == EINTR)
            continue;
        if (wrote <= 0)
            return false;
        bytes += wrote;
        size -= (size_t) wrote;
    }
    return true;
}

static int s_failed (leat_bench_round_t *round, const char *what)
{
    leat_bench_round_fail (round, "relay: %s: %s", what, strerror (errno));
    return 1;
}

static int s_middle (leat_bench_round_t *round, int ready)
{
    int front = s_listen (round->front, sizeof round->front);
    int back = s_listen (round->back, sizeof round->back);
    if (front < 0 || back < 0)
        return s_failed (round, "cannot listen");
    leat_bench_ready (ready);
    int consumer = accept4 (back, NULL, NULL, SOCK_CLOEXEC);
    int producer = accept4 (front, NULL, NULL, SOCK_CLOEXEC);
    if (consumer < 0 || producer < 0)
        return s_failed (round, "cannot accept");
    s_no_delay (consumer);

    uint8_t *chunk = leat_alloc_raw (S_CHUNK_SIZE);
    ssize_t got;
    while ((got = read (producer, chunk, S_CHUNK_SIZE)) > 0)
        if (!s_write_all (consumer, chunk, (size_t) got))
            return s_failed (round, "cannot write");
    free (chunk);
    close (consumer);
    close (producer);
    close (front);
    close (back);
    return 0;
}

static int s_producer (leat_bench_round_t *round, int ready)
{
    size_t size = round->plan.size;
    size_t records = round->plan.rate > 0 || size > S_CHUNK_SIZE ? 1 : S_CHUNK_SIZE / size;
    int fd = s_connect (round->front);
    if (fd < 0)
        return s_failed (round, "cannot connect");
    leat_bench_ready (ready);

    uint8_t *chunk = leat_alloc_raw (records * size);
    leat_bench_source_t source;
    leat_bench_source_begin (&source, round);
    bool more = true;
    bool written = true;
    while (more && written) {
        size_t made = 0;
        while (more && made < records)
            more = leat_bench_source_make (&source, chunk + made++ * size);
        written = s_write_all (fd, chunk, made * size);
    }
    leat_bench_source_end (&source);
    free (chunk);
    close (fd);
    return written ? 0 : s_failed (round, "cannot write");
}

/* Chunks end anywhere; the rest of a record that a read ends in is moved to the front. */
static int s_consumer (leat_bench_round_t *round, int ready)
{
    size_t size = round->plan.size;
    size_t room = S_CHUNK_SIZE + size;
    int fd = s_connect (round->back);
    if (fd < 0)
        return s_failed (round, "cannot connect");
    leat_bench_ready (ready);

    uint8_t *buffer = leat_alloc_raw (room);
    size_t held = 0;
    leat_bench_sink_t sink;
    leat_bench_sink_begin (&sink, round);
    ssize_t got = 0;
    bool more = true;
    while (more && (got = read (fd, buffer + held, room - held)) > 0) {
        held += (size_t) got;
        size_t at = 0;
        for (; more && held - at >= size; at += size)
            more = leat_bench_sink_check (&sink, buffer + at, size);
        held -= at;
        memmove (buffer, buffer + at, held);
    }
    leat_bench_sink_end (&sink);
    free (buffer);
    close (fd);
    if (got < 0)
        return s_failed (round, "cannot read");
    return round->complete ? 0 : 1;
}

const leat_bench_contender_t leat_bench_relay = {
    .name = "relay",
    .about = "TCP through a process that reads and writes 256 KiB chunks",
    .roles = { [LEAT_BENCH_MIDDLE] = s_middle,
               [LEAT_BENCH_CONSUMER] = s_consumer,
               [LEAT_BENCH_PRODUCER] = s_producer },
};

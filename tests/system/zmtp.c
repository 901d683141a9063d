/* ZMTP by hand.
 * SPDX-License-Identifier: MPL-2.0 */
#include "tests/system/zmtp.h"

#include <arpa/inet.h>
#include <endian.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "broker/io/clock.h"
#include "wire/assert.h"

enum { GREETING_SIZE = 64, COMMAND_SIZE = 1024 };

static int s_connect (int family, const void *address, socklen_t size)
{
    const struct timeval patience = { .tv_sec = ZMTP_PATIENCE_MS / 1000 };
    const int one = 1;
    int fd = socket (family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return -1;
    setsockopt (fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    setsockopt (fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience);
    if (family == AF_INET)
        setsockopt (fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    if (connect (fd, address, size) == 0)
        return fd;
    int error = errno;
    close (fd);
    errno = error;
    return -1;
}

int zmtp_connect (const char *endpoint)
{
    if (strncmp (endpoint, "ipc://", 6) == 0) {
        struct sockaddr_un address = { .sun_family = AF_UNIX };
        leat_assert (strlen (endpoint + 6) < sizeof address.sun_path);
        memcpy (address.sun_path, endpoint + 6, strlen (endpoint + 6));
        return s_connect (AF_UNIX, &address, sizeof address);
    }
    struct sockaddr_in address = { .sin_family = AF_INET };
    address.sin_port = htons ((uint16_t) strtoul (strrchr (endpoint, ':') + 1, NULL, 10));
    address.sin_addr.s_addr = htonl (INADDR_LOOPBACK);
    return s_connect (AF_INET, &address, sizeof address);
}

bool zmtp_write (int fd, const void *bytes, size_t size)
{
    const uint8_t *at = bytes;
    while (size) {
        ssize_t sent = send (fd, at, size, MSG_NOSIGNAL);
        if (sent < 0 && errno == EINTR)
            continue;
        if (sent <= 0)
            return false;
        at += sent;
        size -= (size_t) sent;
    }
    return true;
}

static bool s_read (int fd, void *bytes, size_t size)
{
    uint8_t *at = bytes;
    while (size) {
        ssize_t got = recv (fd, at, size, 0);
        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0)
            return false;
        at += got;
        size -= (size_t) got;
    }
    return true;
}

size_t zmtp_frame (uint8_t *bytes, unsigned flags, const void *body, size_t size)
{
    size_t head = size > 255 ? 9 : 2;
    uint64_t length = htobe64 (size);
    bytes[0] = (uint8_t) (flags | (size > 255 ? ZMTP_LONG : 0));
    if (size > 255)
        memcpy (bytes + 1, &length, sizeof length);
    else
        bytes[1] = (uint8_t) size;
    if (size)
        memcpy (bytes + head, body, size);
    return head + size;
}

bool zmtp_send (int fd, unsigned flags, const void *body, size_t size)
{
    uint8_t head[9];
    uint64_t length = htobe64 (size);
    head[0] = (uint8_t) (flags | (size > 255 ? ZMTP_LONG : 0));
    head[1] = (uint8_t) size;
    if (size > 255)
        memcpy (head + 1, &length, sizeof length);
    return zmtp_write (fd, head, size > 255 ? 9 : 2) && zmtp_write (fd, body, size);
}

bool zmtp_receive (int fd, unsigned *flags, uint8_t body[ZMTP_FRAME_MAX], size_t *size)
{
    uint8_t head[2];
    uint64_t length;
    if (!s_read (fd, head, 1))
        return false;
    *flags = head[0];
    if (head[0] & ZMTP_LONG) {
        if (!s_read (fd, &length, sizeof length))
            return false;
        length = be64toh (length);
    } else {
        if (!s_read (fd, head + 1, 1))
            return false;
        length = head[1];
    }
    *size = length;
    return length <= ZMTP_FRAME_MAX && s_read (fd, body, length);
}

int zmtp_open (const char *endpoint)
{
    static const char ready[] = "\x05READY\x0bSocket-Type\0\0\0\x06"
                                "DEALER";
    uint8_t greeting[GREETING_SIZE] = {
        [0] = 0xff, [8] = 1, [9] = 0x7f, [10] = 3, [12] = 'N', [13] = 'U', [14] = 'L', [15] = 'L'
    };
    uint8_t theirs[GREETING_SIZE];
    uint8_t body[ZMTP_FRAME_MAX];
    size_t size;
    unsigned flags;
    int fd = zmtp_connect (endpoint);
    if (fd < 0)
        return -1;
    if (zmtp_write (fd, greeting, sizeof greeting) && s_read (fd, theirs, sizeof theirs)
        && zmtp_send (fd, ZMTP_COMMAND, ready, sizeof ready - 1)
        && zmtp_receive (fd, &flags, body, &size) && (flags & ZMTP_COMMAND))
        return fd;
    close (fd);
    return -1;
}

/* ---- Leat ------------------------------------------------------------------------------------ */

bool zmtp_send_command (int fd, const leat_command_t *command)
{
    uint8_t bytes[COMMAND_SIZE];
    leat_assert (leat_command_encoded_size (command) <= sizeof bytes);
    size_t size = leat_command_encode (command, bytes);
    return zmtp_send (fd, 0, bytes, size);
}

bool zmtp_expect (int fd, uint8_t command, uint8_t body[ZMTP_FRAME_MAX], size_t *size,
                  unsigned *flags)
{
    bool first = true;
    while (zmtp_receive (fd, flags, body, size)) {
        if (first && !(*flags & ZMTP_COMMAND) && *size && body[0] == command)
            return true;
        first = !(*flags & ZMTP_MORE);
    }
    return false;
}

bool zmtp_greet (int fd, const char *identity)
{
    uint8_t body[ZMTP_FRAME_MAX];
    size_t size;
    unsigned flags;
    leat_command_t hello = { .id = LEAT_HELLO };
    hello.hello.signature = LEAT_SIGNATURE;
    hello.hello.version_min = hello.hello.version_max = LEAT_PROTOCOL_VERSION;
    hello.hello.life = leat_clock_monotonic_us ();
    hello.hello.attempt = 1;
    hello.hello.identity = leat_text (identity);
    return zmtp_send_command (fd, &hello) && zmtp_expect (fd, LEAT_WELCOME, body, &size, &flags);
}

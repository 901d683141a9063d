/* Checks and binds endpoints.
 * SPDX-License-Identifier: MPL-2.0 */
#include "broker/io/endpoint.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>
#include <zmq.h>

static const char s_forms[] =
    "write tcp://ADDRESS:PORT, such as tcp://127.0.0.1:5560, or ipc://PATH";

/* ---- tcp ------------------------------------------------------------------------------------- */

static bool s_port_valid (const char *port)
{
    if (strcmp (port, "*") == 0)
        return true;
    if (*port < '0' || *port > '9')
        return false;
    char *end;
    unsigned long number = strtoul (port, &end, 10);
    return *end == '\0' && number <= 65535;
}

static bool s_loopback (const char *host)
{
    struct in_addr v4;
    struct in6_addr v6;
    if (strcmp (host, "localhost") == 0)
        return true;
    if (inet_pton (AF_INET, host, &v4) == 1)
        return ntohl (v4.s_addr) >> 24 == 127;
    return inet_pton (AF_INET6, host, &v6) == 1 && IN6_IS_ADDR_LOOPBACK (&v6);
}

/* Without the brackets of an IPv6 address. False if that cannot be a host. */
static bool s_host (const char *address, const char *colon, char host[LEAT_ENDPOINT_SIZE])
{
    size_t size = (size_t) (colon - address);
    bool bracketed = size >= 2 && address[0] == '[' && address[size - 1] == ']';
    if (bracketed) {
        address++;
        size -= 2;
    }
    memcpy (host, address, size);
    host[size] = '\0';
    struct in6_addr v6;
    if (bracketed)
        return inet_pton (AF_INET6, host, &v6) == 1;
    return size > 0 && !strpbrk (host, ":[]/; ");
}

static int s_check_tcp (const char *endpoint, const char *address, bool insecure, char *resolved,
                        char *error, size_t error_size)
{
    char host[LEAT_ENDPOINT_SIZE];
    const char *colon = strrchr (address, ':');
    if (!colon || !s_host (address, colon, host)) {
        snprintf (error, error_size, "%s names no address and port; %s", endpoint, s_forms);
        return -1;
    }
    if (!s_port_valid (colon + 1)) {
        snprintf (error, error_size, "%s: the port must be a number from 1 to 65535, or * for any",
                  endpoint);
        return -1;
    }
    if (!insecure && !s_loopback (host)) {
        snprintf (error, error_size,
                  "%s can be reached from other machines, and connections are not encrypted yet: "
                  "whoever reaches it can read records and take other clients' identities; listen "
                  "on 127.0.0.1 or ipc://PATH, or add --insecure if the network is yours alone",
                  endpoint);
        return -1;
    }
    if (strcmp (host, "localhost") == 0)
        snprintf (resolved, LEAT_ENDPOINT_SIZE, "tcp://127.0.0.1%s", colon);
    return 0;
}

/* ---- ipc ------------------------------------------------------------------------------------- */

/* True if somebody accepts connections there. Never waits: a full backlog is somebody too. */
static bool s_somebody_listens (const char *path)
{
    struct sockaddr_un address = { .sun_family = AF_UNIX };
    memcpy (address.sun_path, path, strlen (path));
    int fd = socket (AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return false;
    int rc = connect (fd, (const struct sockaddr *) &address, sizeof address);
    bool listens = rc == 0 || (errno != ECONNREFUSED && errno != ENOENT);
    close (fd);
    return listens;
}

static int s_check_ipc (const char *endpoint, const char *path, char *error, size_t error_size)
{
    const size_t longest = sizeof ((struct sockaddr_un *) NULL)->sun_path - 1;
    struct stat status;
    if (!*path || (path[0] == '@' && !path[1])) {
        snprintf (error, error_size, "%s names no file; %s", endpoint, s_forms);
        return -1;
    }
    if (strlen (path) > longest) {
        snprintf (
            error, error_size,
            "%s: the path of a socket has at most %zu bytes and this one %zu; choose a shorter "
            "one",
            endpoint, longest, strlen (path));
        return -1;
    }
    if (path[0] == '@' || strcmp (path, "*") == 0 || lstat (path, &status))
        return 0;
    if (!S_ISSOCK (status.st_mode)) {
        snprintf (
            error, error_size,
            "%s: there is something of that name that is not a socket; choose another name or "
            "move it away",
            endpoint);
        return -1;
    }
    if (s_somebody_listens (path)) {
        snprintf (error, error_size,
                  "%s is in use: another broker listens there; stop it, or choose another endpoint",
                  endpoint);
        return -1;
    }
    return 0;
}

/* ---- both ------------------------------------------------------------------------------------ */

int leat_endpoint_check (const char *endpoint, bool insecure, char resolved[LEAT_ENDPOINT_SIZE],
                         char *error, size_t error_size)
{
    if (strlen (endpoint) >= LEAT_ENDPOINT_SIZE) {
        snprintf (error, error_size,
                  "an endpoint has at most %d bytes, and this one has %zu: %.40s...",
                  LEAT_ENDPOINT_SIZE - 1, strlen (endpoint), endpoint);
        return -1;
    }
    memcpy (resolved, endpoint, strlen (endpoint) + 1);
    if (strncmp (endpoint, "tcp://", 6) == 0)
        return s_check_tcp (endpoint, endpoint + 6, insecure, resolved, error, error_size);
    if (strncmp (endpoint, "ipc://", 6) == 0)
        return s_check_ipc (endpoint, endpoint + 6, error, error_size);
    snprintf (error, error_size, "%s is no endpoint for a broker; %s",
              *endpoint ? endpoint : "an empty text", s_forms);
    return -1;
}

bool leat_endpoint_is_ipv6 (const char *endpoint)
{
    return strncmp (endpoint, "tcp://[", 7) == 0;
}

static const char *s_bind_advice (int error_number, bool ipc)
{
    switch (error_number) {
    case EADDRINUSE:
        return "it is in use: another program listens there; stop it, or choose another endpoint";
    case EACCES:
    case EPERM:
        return ipc ? "this user may not make a socket there; choose a directory of yours"
                   : "this user may not bind that port; choose one from 1024 on";
    case EADDRNOTAVAIL:
    case ENODEV:
        return "this machine has no such address or interface; `ip address` lists those it has";
    case ENOENT:
    case ENOTDIR:
        return ipc ? "the directory does not exist; create it first" : "there is no such address";
    case ENAMETOOLONG:
        return "the path is too long; choose a shorter one";
    case EROFS:
        return "that file system is read-only; choose another directory";
    case EMFILE:
    case ENFILE:
        return "no more files can be opened; raise the limit (`ulimit -n`)";
    case EINVAL:
        return s_forms;
    default:
        return NULL;
    }
}

int leat_endpoint_bind (void *socket, const char *endpoint, const char *resolved,
                        char bound[LEAT_ENDPOINT_SIZE], char *error, size_t error_size)
{
    size_t bound_size = LEAT_ENDPOINT_SIZE;
    int ipv6 = leat_endpoint_is_ipv6 (resolved);
    int rc = zmq_setsockopt (socket, ZMQ_IPV6, &ipv6, sizeof ipv6);
    if (rc == 0)
        rc = zmq_bind (socket, resolved);
    if (rc == 0)
        rc = zmq_getsockopt (socket, ZMQ_LAST_ENDPOINT, bound, &bound_size);
    if (rc == 0)
        return 0;
    const char *advice = s_bind_advice (errno, strncmp (endpoint, "ipc://", 6) == 0);
    snprintf (error, error_size, "cannot listen on %s: %s", endpoint,
              advice ? advice : zmq_strerror (errno));
    return -1;
}

void leat_endpoint_forget (const char *bound)
{
    struct stat status;
    const char *path = bound + strlen ("ipc://");
    if (strncmp (bound, "ipc://", 6) == 0 && path[0] != '@' && lstat (path, &status) == 0
        && S_ISSOCK (status.st_mode) && !s_somebody_listens (path))
        unlink (path);
}

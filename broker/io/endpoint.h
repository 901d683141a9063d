/* Where the broker listens: which addresses are allowed, and what went wrong, in sentences.
 * SPDX-License-Identifier: MPL-2.0 */
#ifndef LEAT_BROKER_IO_ENDPOINT_H
#define LEAT_BROKER_IO_ENDPOINT_H

#include <stdbool.h>
#include <stddef.h>

enum {
    LEAT_ENDPOINT_SIZE = 256 /* bytes of an endpoint at most, the final zero included */
};

/* An endpoint is
 *
 *      tcp://ADDRESS:PORT     ADDRESS an IPv4 address, [an IPv6 address], localhost, the name of a
 *                             network interface, or * for all; PORT 1 to 65535, or * (or 0) for any
 *                             that is free
 *      ipc://PATH             a socket file of at most 107 bytes; @NAME for an abstract one
 *
 * Checks it before anything is bound. Returns 0, or -1 with a sentence in `error` that says what
 * is wrong and what would be right:
 *
 *  - it is none of the two;
 *  - it is neither ipc nor loopback (127.0.0.0/8, localhost, [::1]) and `insecure` is not set: peers
 *    are not encrypted and could take each other's identities;
 *  - the path is something else than a socket, or somebody listens there. libzmq deletes whatever
 *    has that name before it binds, so this is where a living broker is spared.
 *
 * Writes what libzmq shall bind to `resolved`: the same, but for localhost, which libzmq does not look
 * up when it binds. */
int leat_endpoint_check (const char *endpoint, bool insecure, char resolved[LEAT_ENDPOINT_SIZE],
                         char *error, size_t error_size);

/* True if it names an IPv6 address, so that the socket needs ZMQ_IPV6. */
bool leat_endpoint_is_ipv6 (const char *endpoint);

/* Binds a checked endpoint and writes the address really bound, with its port, to `bound`. Returns 0, or
 * -1 with a sentence. */
int leat_endpoint_bind (void *socket, const char *endpoint, const char *resolved,
                        char bound[LEAT_ENDPOINT_SIZE], char *error, size_t error_size);

/* To be called once the socket is closed: deletes the file of an ipc endpoint, which libzmq leaves
 * behind, unless somebody else listens there by now. */
void leat_endpoint_forget (const char *bound);

#endif

/* Leat: records from producers to whichever consumers can take them next, and none is lost.
 * SPDX-License-Identifier: MPL-2.0 */
#ifndef LEAT_H
#define LEAT_H

/* The library in one picture. Each header is its own manual.
 *
 *      leat_producer_t --+                                  +-- leat_consumer_t
 *      leat_producer_t --+-- leat_client_t ===== broker ====+   (any client's)
 *      leat_consumer_t --+   one thread, one socket
 *      leat_admin_t -----+
 *
 * Rules that hold everywhere:
 *
 * - An object comes from leat_X_new and goes with leat_X_destroy (&x), which sets the pointer to NULL
 *   and takes NULL. Producers, consumers and admins are destroyed before or after their client.
 * - Functions that can fail return -1 (or NULL) and set errno. These values mean the same everywhere:
 *      EINVAL      an argument cannot be right: a name, a size, an option
 *      EAGAIN      not now, and the caller did not want to wait
 *      ETIMEDOUT   not within the time given
 *      EMSGSIZE    the record is larger than client or broker take
 *      ESHUTDOWN   the consumer is leaving, or the client was destroyed
 *      EPIPE       failed for good: refused, or displaced by another with the same identity; the
 *                  object's _error function has a sentence about it
 * - Time-outs are in milliseconds: 0 does not wait, -1 waits for ever.
 * - Names of streams, groups and identities are 1 to 128 of A-Z a-z 0-9 . _ - and begin with neither
 *   '.' nor '-'. A stream's has at most 123 bytes; those ending in ".dead" hold dead letters.
 * - Options are structures that begin as zero ({ 0 }); zero is the default of each. Later versions
 *   add fields at their ends, so code is compiled anew for a new soname and runs unchanged.
 * - No function touches signals, nor standard input, output or error. A broken promise of the
 *   library's own code, or a refused allocation, ends the program with one line on stderr.
 * - After fork only the parent may go on using an object.
 *
 * Before 1.0 the interface may change with the minor version, which is in the soname. */

#include "leat_admin.h"
#include "leat_client.h"
#include "leat_consumer.h"
#include "leat_producer.h"
#include "leat_record.h"
#include "leat_types.h"

#define LEAT_VERSION_MAJOR 0
#define LEAT_VERSION_MINOR 1
#define LEAT_VERSION_PATCH 0

#endif

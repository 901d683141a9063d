/* What `leat produce` tells its user while it waits: that the connection is lost, that nothing moves.
 * SPDX-License-Identifier: MPL-2.0 */
#ifndef LEAT_PRODUCERS_PRODUCE_WATCH_H
#define LEAT_PRODUCERS_PRODUCE_WATCH_H

#include <stdbool.h>
#include <stdint.h>

#include "leat_producer.h"

/* Begins as zero but for the first group. */
typedef struct {
    const char *program; /* texts are borrowed */
    const char *broker;
    const char *stream;
    leat_client_t *client;
    leat_producer_t *producer;
    bool quiet; /* tells nothing */

    bool told_loss;
    bool told_stall;
    uint64_t confirmed;       /* records, when it looked last */
    uint64_t still_since_ns;  /* since then none was confirmed although some wait; 0: not so */
    uint64_t moving_since_ns; /* after a stall was told: since then some were; 0: not so */
} leat_produce_watch_t;

/* To be called about ten times a second while there is nothing else to do. `waits` is true if the broker
 * owes an answer. After a second without any, stderr is told why as far as that is known; it is told
 * again when all is confirmed, or records have been moving for two seconds: a stream that is full takes
 * a few now and then, which is not worth a line each. */
void leat_produce_watch_look (leat_produce_watch_t *self, bool waits);

#endif

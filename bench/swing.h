/* How long commits take while a backlog goes up and down.
 * SPDX-License-Identifier: MPL-2.0 */
#ifndef LEAT_BENCH_SWING_H
#define LEAT_BENCH_SWING_H

#include "bench/durable_options.h"

/*      backlog
 *        ^                                   flood: 50 producers, which make batches of 1 to 256 KiB
 *   high |     /\          /\                drain: 50 consumers, while the producers pause
 *        |    /  \        /  \               probe: all the time sends a record, and the next 5 ms
 *    low |   /    \______/    \                     after that one is confirmed, to each stream in
 *        +--/----------------- \----> time          turn
 *
 * Plays options->rounds swings, drains what is left and prints percentiles of the probe's commits and how
 * large the file was. Each record is compared. Returns an exit code; if the disk has no room for it, it
 * says so and returns LEAT_BENCH_EXIT_SKIPPED. */
int leat_bench_swing (const leat_bench_durable_options_t *options);

enum { LEAT_BENCH_EXIT_SKIPPED = 77 };

#endif

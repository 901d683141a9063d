/* `leat bench durable`: durable streams beside LMDB alone and a plain file.
 * SPDX-License-Identifier: MPL-2.0 */
#ifndef LEAT_BENCH_DURABLE_H
#define LEAT_BENCH_DURABLE_H

int leat_bench_durable_command (int argc, char **argv);

#endif

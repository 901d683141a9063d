/* What a running process uses, as the kernel tells.
 * SPDX-License-Identifier: MPL-2.0 */
#ifndef LEAT_BENCH_PROCESS_USAGE_H
#define LEAT_BENCH_PROCESS_USAGE_H

#include <stdint.h>
#include <sys/types.h>

/* User and system time of all its threads so far; 0 if there is no such process. */
uint64_t leat_bench_process_cpu_ns (pid_t pid);

/* Bytes of memory that is its own (RssAnon of /proc/PID/status); 0 if that cannot be read. */
uint64_t leat_bench_process_memory (pid_t pid);

#endif

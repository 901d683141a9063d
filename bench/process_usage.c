/* What a running process uses, as the kernel tells.
 * SPDX-License-Identifier: MPL-2.0 */
#include "bench/process_usage.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

uint64_t leat_bench_process_cpu_ns (pid_t pid)
{
    clockid_t clock;
    struct timespec used;
    if (clock_getcpuclockid (pid, &clock) != 0 || clock_gettime (clock, &used) != 0)
        return 0;
    return (uint64_t) used.tv_sec * 1000000000u + (uint64_t) used.tv_nsec;
}

uint64_t leat_bench_process_memory (pid_t pid)
{
    static const char name[] = "RssAnon:";
    char line[256];
    uint64_t size = 0;
    snprintf (line, sizeof line, "/proc/%ld/status", (long) pid);
    FILE *file = fopen (line, "re");
    if (!file)
        return 0;
    while (fgets (line, sizeof line, file))
        if (strncmp (line, name, sizeof name - 1) == 0)
            size = strtoull (line + sizeof name - 1, NULL, 10) * 1024;
    fclose (file);
    return size;
}

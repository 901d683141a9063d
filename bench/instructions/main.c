/* Plays scenarios for bench/scaling and bench/test_instructions.sh, which run it under callgrind.
 * SPDX-License-Identifier: MPL-2.0
 *
 * usage: leat_instructions --list | --toolchain | N [SCENARIO]
 *
 * Each scenario runs in a process of its own, so that none finds the heap as another one left it, and
 * ends with a dump that is called "SCENARIO N UNITS". */

#include <errno.h>
#include <gnu/libc-version.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "bench/instructions/instructions.h"

static const scenario_t *const tables[] = { path_scenarios, crowd_scenarios, pressure_scenarios,
                                            client_scenarios };
enum { TABLES = sizeof tables / sizeof *tables };

static void s_list (void)
{
    for (int i = 0; i < TABLES; i++)
        for (const scenario_t *scenario = tables[i]; scenario->name; scenario++)
            printf ("%s\t%s\t%s\t%s\t%s\n", scenario->name, scenario->batches ? "batches" : "many",
                    scenario->unit, scenario->title, scenario->why);
}

/* Figures can be compared if this is the same. */
static void s_toolchain (void)
{
#if defined(__clang__)
    const char *compiler = __VERSION__;
#else
    const char *compiler = "gcc " __VERSION__;
#endif
#if defined(__OPTIMIZE__)
    const char *optimized = "optimized";
#else
    const char *optimized = "not optimized";
#endif
#if defined(__x86_64__)
    const char *machine = "x86_64";
#else
    const char *machine = "another machine";
#endif
    printf ("%s, %s, glibc %s, %s\n", compiler, optimized, gnu_get_libc_version (), machine);
}

static void s_play (const scenario_t *scenario, uint32_t n)
{
    char title[200];
    uint64_t units = scenario->play (n);
    snprintf (title, sizeof title, "%s %u %llu", scenario->name, n, (unsigned long long) units);
    CALLGRIND_DUMP_STATS_AT (title);
}

/* False if its process did not end well. */
static bool s_play_apart (const scenario_t *scenario, uint32_t n)
{
    pid_t child = fork ();
    if (child < 0) {
        fprintf (stderr, "leat_instructions: no process: %s\n", strerror (errno));
        return false;
    }
    if (!child) {
        s_play (scenario, n);
        _exit (0);
    }
    int status = -1;
    while (waitpid (child, &status, 0) < 0 && errno == EINTR)
        continue;
    if (status)
        fprintf (stderr, "leat_instructions: %s %u ended with status %d\n", scenario->name, n,
                 status);
    return !status;
}

int main (int argc, char **argv)
{
    if (argc == 2 && !strcmp (argv[1], "--list")) {
        s_list ();
        return 0;
    }
    if (argc == 2 && !strcmp (argv[1], "--toolchain")) {
        s_toolchain ();
        return 0;
    }
    char *end = NULL;
    unsigned long n = argc > 1 ? strtoul (argv[1], &end, 10) : 0;
    if (argc > 3 || !end || *end || n < 1 || n > 10000) {
        fprintf (stderr, "usage: leat_instructions --list | --toolchain | N [SCENARIO]\n"
                         "N is from 1 to 10000\n");
        return 2;
    }
    bool good = true;
    bool any = false;
    for (int i = 0; i < TABLES; i++) {
        for (const scenario_t *scenario = tables[i]; scenario->name; scenario++) {
            if (argc == 3 && strcmp (scenario->name, argv[2]) != 0)
                continue;
            any = true;
            good = s_play_apart (scenario, (uint32_t) n) && good;
        }
    }
    if (!any)
        fprintf (stderr, "leat_instructions: no scenario %s; --list tells which there are\n",
                 argv[2]);
    return good && any ? 0 : 1;
}

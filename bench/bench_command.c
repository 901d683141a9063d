/* `leat bench`: which benchmark is meant.
 * SPDX-License-Identifier: MPL-2.0 */
#include "bench/bench_command.h"

#include <stdio.h>
#include <string.h>

#include "bench/balance.h"
#include "bench/durable.h"
#include "bench/fair.h"
#include "bench/many.h"
#include "bench/report.h"
#include "bench/waiting.h"
#include "cli/message.h"

static const char s_usage[] =
    "Usage: leat bench throughput|latency|balance|many|waiting|fair|durable [OPTION...]\n"
    "Measures Leat beside what the machine, bare libzmq and other brokers can do.\n"
    "\n"
    "  throughput   records a second through a broker\n"
    "  latency      from a producer to a consumer's callback\n"
    "  balance      tasks over consumers of different speeds\n"
    "  many         producers, consumers and streams, beside one of each\n"
    "  waiting      sessions that wait for each confirmation, beside a bare ROUTER\n"
    "  fair         a paced stream while others flood the broker\n"
    "  durable      durable streams, beside LMDB alone and a plain file\n"
    "\n"
    "`leat bench throughput --help` lists the options of throughput; so it is with each.\n";

/* Says what was asked for and not reached; returns whether all was. */
static bool s_reached (const leat_bench_options_t *options,
                       const leat_bench_measurement_t *measurement)
{
    bool good = true;
    for (unsigned i = 0; i < options->contenders.count; i++) {
        const leat_bench_contender_t *other = options->contenders.list[i];
        double required = options->contenders.require[i];
        leat_bench_ratio_t ratio;
        if (required <= 0 || !leat_bench_report_ratio (measurement, options, other, &ratio))
            continue;
        if (options->latency ? ratio.ratio <= required : ratio.ratio >= required)
            continue;
        leat_message (options->name, "leat / %s is %.3f, required is at %s %.3f", other->name,
                      ratio.ratio, options->latency ? "most" : "least", required);
        good = false;
    }
    return good;
}

static int s_bench (bool latency, int argc, char **argv)
{
    leat_bench_options_t options;
    leat_bench_options_parse (&options, latency, argc, argv);

    leat_bench_measurement_t measurement;
    bool good = leat_bench_measure (&measurement, &options);
    if (good) {
        good = latency ? leat_bench_report_latency (&measurement, &options)
                       : leat_bench_report_throughput (&measurement, &options);
        if (!good)
            leat_message (options.name, "cannot write to stdout");
        good = s_reached (&options, &measurement) && good;
    }
    bool no_broker = measurement.no_broker;
    leat_bench_measurement_free (&measurement);
    if (no_broker)
        return LEAT_EXIT_NO_BROKER;
    return good ? LEAT_EXIT_DONE : LEAT_EXIT_FAILED;
}

int leat_bench_command (int argc, char **argv)
{
    const char *name = argc > 1 ? argv[1] : "";
    if (strcmp (name, "throughput") == 0)
        return s_bench (false, argc - 1, argv + 1);
    if (strcmp (name, "latency") == 0)
        return s_bench (true, argc - 1, argv + 1);
    if (strcmp (name, "balance") == 0)
        return leat_bench_balance_command (argc - 1, argv + 1);
    if (strcmp (name, "many") == 0)
        return leat_bench_many_command (argc - 1, argv + 1);
    if (strcmp (name, "waiting") == 0)
        return leat_bench_waiting_command (argc - 1, argv + 1);
    if (strcmp (name, "fair") == 0)
        return leat_bench_fair_command (argc - 1, argv + 1);
    if (strcmp (name, "durable") == 0)
        return leat_bench_durable_command (argc - 1, argv + 1);
    if (strcmp (name, "--help") == 0 || strcmp (name, "-?") == 0) {
        fputs (s_usage, stdout);
        return LEAT_EXIT_DONE;
    }
    if (name[0])
        leat_message ("leat bench", "there is no benchmark '%s'", name);
    fputs (s_usage, stderr);
    return LEAT_EXIT_USAGE;
}

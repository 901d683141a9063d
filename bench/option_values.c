/* Reads the values of options.
 * SPDX-License-Identifier: MPL-2.0 */
#include "bench/option_values.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "cli/message.h"
#include "cli/units.h"

double leat_bench_option_number (struct argp_state *state, const char *option, const char *text,
                                 bool zero)
{
    char *end;
    errno = 0;
    double number = strtod (text, &end);
    if (end == text || *end || errno || !isfinite (number) || number < 0 || (number == 0 && !zero)
        || number > 1e9)
        argp_error (state, "--%s wants a number %s, not '%s'", option,
                    zero ? "of at least 0" : "above 0", text);
    return number;
}

uint64_t leat_bench_option_count (struct argp_state *state, const char *option, const char *text,
                                  uint64_t count_max)
{
    uint64_t count = 0;
    const char *why;
    if (!leat_count_parse (text, &count, &why))
        argp_error (state, "--%s '%s': %s", option, text, why);
    else if (count == 0 || count > count_max)
        argp_error (state, "--%s wants 1 to %llu, not %s", option, (unsigned long long) count_max,
                    text);
    return count;
}

size_t leat_bench_option_size (struct argp_state *state, const char *option, const char *text,
                               uint64_t size_min, uint64_t size_max)
{
    uint64_t size = 0;
    const char *why;
    if (!leat_count_parse (text, &size, &why) && !leat_size_parse (text, &size, &why))
        argp_error (state, "--%s '%s': %s", option, text, why);
    else if (size < size_min || size > size_max)
        argp_error (state, "--%s wants %llu to %llu bytes, not %s", option,
                    (unsigned long long) size_min, (unsigned long long) size_max, text);
    return (size_t) size;
}

error_t leat_bench_option_common (struct argp_state *state, const leat_bench_common_options_t *self,
                                  int key, const char *text)
{
    switch (key) {
    case 's':
        *self->size = leat_bench_option_size (state, "size", text, self->size_min, self->size_max);
        return 0;
    case 't':
        *self->seconds = leat_bench_option_number (state, "seconds", text, false);
        return 0;
    case LEAT_BENCH_OPTION_WARM_UP:
        *self->warm_up_seconds = leat_bench_option_number (state, "warm-up", text, true);
        return 0;
    case LEAT_BENCH_OPTION_PAIRS:
        *self->rounds = (unsigned) leat_bench_option_count (state, "pairs", text, self->rounds_max);
        return 0;
    case LEAT_BENCH_OPTION_SEED:
        *self->seed = leat_bench_option_count (state, "seed", text, UINT64_MAX);
        return 0;
    case LEAT_BENCH_OPTION_JSON:
        *self->json = true;
        return 0;
    case ARGP_KEY_ARG:
        argp_error (state, "what is '%s'? There are options only", text);
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

void leat_bench_option_parse (const struct argp *argp, const char *full_name, int argc, char **argv,
                              void *input)
{
    char *name = argv[0];
    char shown[64];
    size_t size = strlen (full_name) + 1;
    memcpy (shown, full_name, size < sizeof shown ? size : sizeof shown);
    shown[sizeof shown - 1] = '\0';
    argv[0] = shown;
    argp_err_exit_status = LEAT_EXIT_USAGE;
    argp_parse (argp, argc, argv, 0, NULL, input);
    argv[0] = name;
}

/* Sends records one at a time.
 * SPDX-License-Identifier: MPL-2.0 */
#include "bench/singly.h"

bool leat_bench_sample_singly (leat_bench_round_t *round, uint64_t start_ns, uint64_t end_ns)
{
    uint64_t now_ns = leat_bench_now_ns ();
    round->samples[round->samples_count++] = now_ns - start_ns;
    return now_ns < end_ns && round->samples_count < round->samples_max;
}

bool leat_bench_send_singly (leat_bench_source_t *source, uint8_t *body, leat_bench_send_fn *send,
                             void *arg)
{
    leat_bench_round_t *round = source->round;
    uint64_t end_ns = leat_bench_now_ns () + round->plan.measure_ns;
    bool more = true;
    source->last_ns = UINT64_MAX; /* until it is told */
    while (more) {
        leat_bench_source_make (source, body);
        uint64_t start_ns = leat_bench_now_ns ();
        if (!send (arg, body, source->size))
            return false;
        more = leat_bench_sample_singly (round, start_ns, end_ns);
    }
    source->last_ns = 0;
    source->event = source->number;
    leat_bench_source_make (source, body);
    return send (arg, body, source->size);
}

/* The seldom parts of making and checking a benchmark's records.
 * SPDX-License-Identifier: MPL-2.0 */
#include "bench/records.h"

#include <inttypes.h>
#include <stdlib.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include "wire/alloc.h"
#include "wire/assert.h"

/* How many bytes are made between two looks at the clock, when time decides. */
#define S_CLOCK_SIZE 65536

uint64_t leat_bench_random (uint64_t *state)
{
    uint64_t z = (*state += UINT64_C (0x9e3779b97f4a7c15));
    z = (z ^ (z >> 30)) * UINT64_C (0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C (0x94d049bb133111eb);
    return z ^ (z >> 31);
}

static uint8_t *s_pattern (const leat_bench_plan_t *plan)
{
    size_t size = plan->size + LEAT_BENCH_PLACES * 8 + 8;
    uint8_t *pattern = leat_alloc_raw (size);
    uint64_t state = plan->seed;
    for (size_t at = 0; at + 8 <= size; at += 8) {
        uint64_t word = leat_bench_random (&state);
        memcpy (pattern + at, &word, 8);
    }
    memset (pattern + size / 8 * 8, 0, size % 8);
    return pattern;
}

static size_t s_fixed (const leat_bench_plan_t *plan)
{
    return plan->rate > 0 ? 24 : 8;
}

/* ---- making ---------------------------------------------------------------------------------- */

void leat_bench_source_begin (leat_bench_source_t *self, leat_bench_round_t *round)
{
    const leat_bench_plan_t *plan = &round->plan;
    uint64_t now_ns = leat_bench_now_ns ();
    *self = (leat_bench_source_t){
        .round = round,
        .pattern = s_pattern (plan),
        .size = plan->size,
        .fixed = s_fixed (plan),
        .mark = UINT64_MAX,
        .last = UINT64_MAX,
        .mark_ns = now_ns + plan->warm_up_ns,
        .last_ns = now_ns + plan->warm_up_ns + plan->measure_ns,
        .start_ns = now_ns + 1000000,
        .timer = -1,
    };
    if (plan->records) {
        self->mark = plan->warm_up;
        self->last = plan->warm_up + plan->records;
        self->event = plan->rate > 0 ? 0 : self->mark;
    }
    if (plan->rate > 0) {
        leat_assert (plan->records);
        self->timer = timerfd_create (CLOCK_MONOTONIC, TFD_CLOEXEC);
        leat_assert (self->timer >= 0);
    }
}

void leat_bench_source_end (leat_bench_source_t *self)
{
    self->round->sent = self->number;
    if (self->timer >= 0)
        close (self->timer);
    free (self->pattern);
    self->pattern = NULL;
}

/* Record n is meant for start + n / rate, whatever became of those before: what a late one adds to
 * its successors' waiting is part of their latency, too. A timer sleeps until then; a clock that is
 * asked over and over would take one of few cores from the contender. */
static void s_wait (leat_bench_source_t *self, uint64_t number, uint8_t *stamps)
{
    uint64_t due_ns = self->start_ns + (uint64_t) ((double) number * 1e9 / self->round->plan.rate);
    uint64_t now_ns = leat_bench_now_ns ();
    if (now_ns < due_ns) {
        struct itimerspec due = { .it_value = { .tv_sec = (time_t) (due_ns / 1000000000u),
                                                .tv_nsec = (long) (due_ns % 1000000000u) } };
        timerfd_settime (self->timer, TFD_TIMER_ABSTIME, &due, NULL);
        uint64_t expirations;
        ssize_t got = read (self->timer, &expirations, sizeof expirations);
        leat_assert (got == (ssize_t) sizeof expirations);
        now_ns = leat_bench_now_ns ();
    }
    memcpy (stamps, &due_ns, sizeof due_ns);
    memcpy (stamps + sizeof due_ns, &now_ns, sizeof now_ns);
}

uint64_t leat_bench_source_event (leat_bench_source_t *self, uint8_t *stamps)
{
    const leat_bench_plan_t *plan = &self->round->plan;
    uint64_t number = self->event;

    if (plan->rate > 0) {
        s_wait (self, number, stamps);
        self->event = number + 1;
    } else if (plan->records) {
        self->event = self->last;
    } else {
        uint64_t now_ns = leat_bench_now_ns ();
        if (self->mark == UINT64_MAX && now_ns >= self->mark_ns)
            self->mark = number;
        else if (self->mark != UINT64_MAX && now_ns >= self->last_ns)
            self->last = number;
        self->event = number + 1 + S_CLOCK_SIZE / self->size;
    }

    self->done = number == self->last;
    return (number == self->mark ? LEAT_BENCH_MARK : 0) | (self->done ? LEAT_BENCH_LAST : 0);
}

/* ---- checking -------------------------------------------------------------------------------- */

void leat_bench_sink_begin (leat_bench_sink_t *self, leat_bench_round_t *round)
{
    *self = (leat_bench_sink_t){
        .round = round,
        .pattern = s_pattern (&round->plan),
        .size = round->plan.size,
        .fixed = s_fixed (&round->plan),
    };
}

void leat_bench_sink_end (leat_bench_sink_t *self)
{
    free (self->pattern);
    self->pattern = NULL;
}

void leat_bench_sink_event (leat_bench_sink_t *self, uint64_t word)
{
    leat_bench_round_t *round = self->round;
    uint64_t number = word & LEAT_BENCH_NUMBER;
    uint64_t now_ns = leat_bench_now_ns ();
    if (word & LEAT_BENCH_MARK) {
        self->marked = true;
        self->mark = number;
        self->mark_ns = now_ns;
    }
    if (word & LEAT_BENCH_LAST) {
        self->done = true;
        if (self->marked && number > self->mark) {
            round->measured = number - self->mark;
            round->elapsed_ns = now_ns - self->mark_ns;
            round->complete = true;
        } else {
            leat_bench_round_fail (round, "the last record came before the first measured one");
        }
    }
}

void leat_bench_sink_sample (leat_bench_sink_t *self, const uint8_t *body)
{
    leat_bench_round_t *round = self->round;
    uint64_t due_ns;
    uint64_t awake_ns;
    if (!self->marked || round->samples_count >= round->samples_max)
        return;
    memcpy (&due_ns, body + 8, sizeof due_ns);
    memcpy (&awake_ns, body + 16, sizeof awake_ns);
    uint64_t now_ns = leat_bench_now_ns ();
    round->samples[round->samples_count] = now_ns - due_ns;
    round->samples[round->samples_max + round->samples_count] = now_ns - awake_ns;
    round->samples_count++;
}

void leat_bench_sink_wrong (leat_bench_sink_t *self, const uint8_t *body, size_t size)
{
    uint64_t word = 0;
    if (size >= sizeof word)
        memcpy (&word, body, sizeof word);
    self->done = true;
    if (size != self->size)
        leat_bench_round_fail (self->round, "record %" PRIu64 " has %zu bytes, sent were %zu",
                               self->number, size, self->size);
    else if ((word & LEAT_BENCH_NUMBER) != self->number)
        leat_bench_round_fail (self->round, "record %" PRIu64 " came where %" PRIu64 " was due",
                               word & LEAT_BENCH_NUMBER, self->number);
    else
        leat_bench_round_fail (self->round, "record %" PRIu64 " is not as it was sent",
                               self->number);
}

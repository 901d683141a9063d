/* Fifty streams that fill and empty, and a probe.
 * SPDX-License-Identifier: MPL-2.0 */
#include "bench/swing_parts.h"

#include <errno.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "bench/leat.h"
#include "bench/records.h"
#include "wire/alloc.h"

/* For each step that waits for the broker. */
#define S_TIMEOUT_MS 60000
/* How long a consumer waits before it looks whether the backlog is low enough. */
#define S_LOOK_MS 50
#define S_PROBE_PAUSE_NS 5000000
/* Of one producer and one consumer; fifty times that is what is under way. */
#define S_WINDOW_SIZE ((uint32_t) 1 << 20)
/* The bit of a record's number that tells the probe's. */
#define S_OF_PROBE (UINT64_C (1) << 62)

static const uint32_t s_batch_sizes[] = { 1024, 4096, 16384, 65536, 262144 };

uint64_t leat_bench_swing_backlog (const leat_bench_swing_t *self)
{
    uint64_t settled = atomic_load (&self->settled);
    uint64_t published = atomic_load (&self->published);
    return published > settled ? published - settled : 0;
}

/* ---- records --------------------------------------------------------------------------------- */

static uint8_t *s_pattern_new (const leat_bench_plan_t *plan)
{
    size_t size = (LEAT_BENCH_PLACES + 2) * 8 + plan->size;
    uint8_t *pattern = leat_alloc (size);
    uint64_t state = plan->seed;
    for (size_t at = 0; at + 8 <= size; at += 8) {
        uint64_t word = leat_bench_random (&state);
        memcpy (pattern + at, &word, 8);
    }
    return pattern;
}

static const uint8_t *s_pattern_at (const uint8_t *pattern, unsigned lane, uint64_t number)
{
    return pattern + (number * LEAT_BENCH_SWING_STREAMS + lane) % LEAT_BENCH_PLACES * 8;
}

/* Writes the next record of a source. */
static void s_make (leat_bench_swing_t *self, const uint8_t *pattern, unsigned lane, int source,
                    uint8_t *body)
{
    uint64_t number = self->lanes[lane].sent[source]++;
    uint64_t word = number | (source == LEAT_BENCH_PROBE ? S_OF_PROBE : 0);
    memcpy (body, &word, sizeof word);
    memcpy (body + sizeof word, s_pattern_at (pattern, lane, number),
            self->round->plan.size - sizeof word);
}

/* Compares a record with the next one of its source. */
static bool s_check (leat_bench_swing_t *self, const uint8_t *pattern, unsigned lane,
                     const leat_record_t *record)
{
    const size_t size = self->round->plan.size;
    const uint8_t *body = record->body;
    uint64_t word = 0;
    if (record->body_size == size)
        memcpy (&word, body, sizeof word);
    int source = word & S_OF_PROBE ? LEAT_BENCH_PROBE : LEAT_BENCH_FLOOD;
    uint64_t number = word & ~S_OF_PROBE;
    uint64_t wanted = self->lanes[lane].seen[source];
    if (record->body_size == size && number == wanted
        && memcmp (body + sizeof word, s_pattern_at (pattern, lane, number), size - sizeof word)
               == 0) {
        self->lanes[lane].seen[source]++;
        return true;
    }
    leat_bench_round_fail (self->round,
                           "stream %u: record %" PRIu64 " came where %" PRIu64
                           " was due, or not as it was sent",
                           lane, number, wanted);
    return false;
}

static void s_stream (const leat_bench_swing_t *self, unsigned lane, char name[96])
{
    snprintf (name, 96, "%s.%u", self->round->stream, lane);
}

/* ---- producers ------------------------------------------------------------------------------- */

typedef struct {
    leat_bench_swing_t *swing;
    uint8_t *pattern;
    leat_client_t *client;
    leat_producer_t *producers[LEAT_BENCH_SWING_STREAMS];
    leat_consumer_t *consumers[LEAT_BENCH_SWING_STREAMS];
} s_crew_t;

static void s_crew_close (s_crew_t *self)
{
    for (unsigned i = 0; i < LEAT_BENCH_SWING_STREAMS; i++) {
        leat_producer_destroy (&self->producers[i]);
        leat_consumer_destroy (&self->consumers[i]);
    }
    leat_client_destroy (&self->client);
    free (self->pattern);
}

static bool s_crew_open (s_crew_t *self, leat_bench_swing_t *swing, bool consume)
{
    *self = (s_crew_t){ .swing = swing, .pattern = s_pattern_new (&swing->round->plan) };
    self->client = leat_bench_client_new (swing->round, swing->round->front, NULL);
    for (unsigned i = 0; self->client && i < LEAT_BENCH_SWING_STREAMS; i++) {
        char name[96];
        s_stream (swing, i, name);
        const leat_producer_options_t producer = {
            .window_size = S_WINDOW_SIZE,
            .batch_size = s_batch_sizes[i % (sizeof s_batch_sizes / sizeof *s_batch_sizes)]
        };
        const leat_consumer_options_t consumer = { .credit_size = S_WINDOW_SIZE };
        if (consume)
            self->consumers[i] = leat_consumer_new (self->client, name, &consumer);
        else
            self->producers[i] = leat_producer_new (self->client, name, &producer);
        if (!self->consumers[i] && !self->producers[i]) {
            leat_bench_round_fail (swing->round, "cannot open %s: %s", name, strerror (errno));
            return false;
        }
    }
    return self->client != NULL;
}

/* A batch for each stream, in turn. */
static bool s_flood (s_crew_t *self)
{
    leat_bench_swing_t *swing = self->swing;
    const size_t size = swing->round->plan.size;
    while (leat_bench_swing_backlog (swing) < swing->high) {
        for (unsigned lane = 0; lane < LEAT_BENCH_SWING_STREAMS; lane++) {
            size_t count =
                s_batch_sizes[lane % (sizeof s_batch_sizes / sizeof *s_batch_sizes)] / size;
            size_t sent = 0;
            do {
                uint8_t *body = leat_producer_reserve (self->producers[lane], size);
                if (!body)
                    return !leat_bench_producer_failed (swing->round, self->producers[lane],
                                                        "cannot send");
                s_make (swing, self->pattern, lane, LEAT_BENCH_FLOOD, body);
                leat_producer_commit (self->producers[lane], size);
            } while (++sent < count);
            atomic_fetch_add (&swing->published, sent * size);
        }
    }
    for (unsigned lane = 0; lane < LEAT_BENCH_SWING_STREAMS; lane++)
        if (leat_producer_flush (self->producers[lane], S_TIMEOUT_MS) != 0)
            return !leat_bench_producer_failed (swing->round, self->producers[lane],
                                                "not all is confirmed");
    return true;
}

int leat_bench_swing_flood (void *arg, int ready)
{
    s_crew_t crew;
    bool good = s_crew_open (&crew, arg, false);
    if (good) {
        leat_bench_ready (ready);
        good = s_flood (&crew);
    }
    s_crew_close (&crew);
    return good ? 0 : 1;
}

/* ---- the probe ------------------------------------------------------------------------------- */

static bool s_probe (s_crew_t *self, unsigned lane, uint8_t *body)
{
    leat_bench_swing_t *swing = self->swing;
    leat_bench_round_t *round = swing->round;
    const size_t size = round->plan.size;
    int direction = atomic_load (&swing->direction);
    s_make (swing, self->pattern, lane, LEAT_BENCH_PROBE, body);
    uint64_t start_ns = leat_bench_now_ns ();
    if (leat_producer_send (self->producers[lane], body, size) != 0
        || leat_producer_flush (self->producers[lane], S_TIMEOUT_MS) != 0)
        return !leat_bench_producer_failed (round, self->producers[lane],
                                            "the probe is not confirmed");
    uint64_t count = swing->samples_count[direction];
    if (count < round->samples_max) {
        round->samples[(uint64_t) direction * round->samples_max + count] =
            leat_bench_now_ns () - start_ns;
        swing->samples_count[direction]++;
    }
    atomic_fetch_add (&swing->published, size);
    return true;
}

int leat_bench_swing_probe (void *arg, int ready)
{
    leat_bench_swing_t *swing = arg;
    s_crew_t crew;
    bool good = s_crew_open (&crew, swing, false);
    if (good) {
        leat_bench_ready (ready);
        uint8_t *body = leat_alloc_raw (swing->round->plan.size);
        const struct timespec pause = { .tv_nsec = S_PROBE_PAUSE_NS };
        for (unsigned i = 0; good && !atomic_load (&swing->probe_stops); i++) {
            good = s_probe (&crew, i % LEAT_BENCH_SWING_STREAMS, body);
            nanosleep (&pause, NULL);
        }
        free (body);
    }
    s_crew_close (&crew);
    return good ? 0 : 1;
}

/* ---- consumers ------------------------------------------------------------------------------- */

typedef struct {
    s_crew_t *crew;
    unsigned lane;
    bool good;
} s_member_t;

static bool s_take (s_member_t *self, leat_lease_t *lease)
{
    leat_bench_swing_t *swing = self->crew->swing;
    leat_delivered_t delivered;
    uint64_t taken = 0;
    bool good = true;
    while (good && leat_lease_next (lease, &delivered)) {
        good = s_check (swing, self->crew->pattern, self->lane, &delivered.record);
        taken += delivered.record.body_size;
    }
    leat_lease_ack (&lease);
    atomic_fetch_add (&swing->settled, taken);
    return good;
}

static void *s_drain (void *arg)
{
    s_member_t *self = arg;
    leat_bench_swing_t *swing = self->crew->swing;
    leat_consumer_t *consumer = self->crew->consumers[self->lane];
    self->good = true;
    while (self->good && leat_bench_swing_backlog (swing) > swing->low) {
        leat_lease_t *lease = leat_consumer_receive_batch (consumer, S_LOOK_MS);
        if (lease)
            self->good = s_take (self, lease);
        else if (errno != ETIMEDOUT)
            self->good = !leat_bench_consumer_failed (swing->round, consumer, "cannot receive");
    }
    if (self->good && leat_consumer_leave (consumer, S_TIMEOUT_MS) != 0)
        self->good = !leat_bench_consumer_failed (swing->round, consumer, "not all is settled");
    return NULL;
}

int leat_bench_swing_drain (void *arg, int ready)
{
    s_crew_t crew;
    s_member_t members[LEAT_BENCH_SWING_STREAMS] = { 0 };
    pthread_t threads[LEAT_BENCH_SWING_STREAMS] = { 0 };
    unsigned started = 0;
    bool good = s_crew_open (&crew, arg, true);
    if (good)
        leat_bench_ready (ready);
    while (good && started < LEAT_BENCH_SWING_STREAMS) {
        members[started] = (s_member_t){ .crew = &crew, .lane = started };
        good = pthread_create (&threads[started], NULL, s_drain, &members[started]) == 0;
        if (good)
            started++;
        else
            leat_bench_round_fail (crew.swing->round, "cannot start a thread");
    }
    for (unsigned i = 0; i < started; i++) {
        pthread_join (threads[i], NULL);
        good = good && members[i].good;
    }
    s_crew_close (&crew);
    return good ? 0 : 1;
}

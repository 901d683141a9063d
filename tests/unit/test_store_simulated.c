/* The simulator's store, which is late, refuses and fails, does what every engine must: else what is found
 * with it means nothing.
 * SPDX-License-Identifier: MPL-2.0 */
#include "tests/simulation/store.h"

#include <stdlib.h>
#include <string.h>

#include "tests/simulation/model.h"
#include "tests/simulation/trace.h"
#include "tests/unit/store_bench.h"
#include "wire/alloc.h"

/* ---- what the store tells others in a simulation --------------------------------------------- */

void sim_trace (sim_t *self, const char *who, const char *format, ...)
{
}

void sim_trace_commit (sim_t *self, leat_buffer_t *bytes)
{
}

void sim_model_submitted (sim_t *sim, leat_buffer_t *bytes)
{
}

void sim_model_committed (sim_t *sim, leat_buffer_t *bytes)
{
}

void sim_model_check_stored (sim_t *sim, leat_buffer_t *bytes)
{
}

void sim_model_forget (sim_t *sim)
{
}

/* ---- an engine of it ------------------------------------------------------------------------- */

/* What stays when the store is closed. A place is the text of its number. */
typedef struct {
    sim_t sim;
    uint64_t incarnation;
} disk_t;

enum { DISKS = 64 };

static struct {
    disk_t disks[DISKS];
    char names[DISKS][8];
    size_t count;
    sim_plan_t plan; /* of those that come */
} s_world;

static const char *s_place (void)
{
    assert_true (s_world.count < DISKS);
    disk_t *disk = &s_world.disks[s_world.count];
    *disk = (disk_t){ .sim = { .plan = s_world.plan, .store = sim_store_new () } };
    disk->sim.random.state = s_world.count;
    snprintf (s_world.names[s_world.count], sizeof *s_world.names, "%zu", s_world.count);
    return s_world.names[s_world.count++];
}

typedef struct held {
    STAILQ_ENTRY (held) link;
    leat_commit_t *commit;
} held_t;

typedef struct {
    leat_store_t base; /* first */
    disk_t *disk;
    STAILQ_HEAD (, held) held; /* submitted, not polled */
    leat_store_stats_t stats;
} engine_t;

static leat_store_t *s_open (const leat_store_options_t *options, char *error, size_t error_size)
{
    engine_t *self = leat_alloc (sizeof *self);
    self->disk = &s_world.disks[strtoul (options->path, NULL, 10)];
    self->disk->sim.store->commit_size_max = options->commit_size_max;
    STAILQ_INIT (&self->held);
    return &self->base;
}

static void s_drop (engine_t *self)
{
    held_t *held;
    while ((held = STAILQ_FIRST (&self->held))) {
        STAILQ_REMOVE_HEAD (&self->held, link);
        leat_commit_destroy (&held->commit);
        free (held);
    }
    sim_store_crash (&self->disk->sim);
}

static void s_close (leat_store_t *store)
{
    s_drop ((engine_t *) store);
    free (store);
}

static int s_acquire (leat_store_t *store, uint64_t wall_ms, uint64_t *incarnation, char *error,
                      size_t error_size)
{
    engine_t *self = (engine_t *) store;
    uint64_t *last = &self->disk->incarnation;
    s_drop (self);
    *last = wall_ms > *last ? wall_ms : *last + 1;
    *incarnation = *last;
    return 0;
}

static int s_recover (leat_store_t *store, leat_store_recover_fn *fn, void *arg, char *error,
                      size_t error_size)
{
    const sim_store_t *kept = ((engine_t *) store)->disk->sim.store;
    for (size_t i = 0; i < kept->log_count; i++)
        if (!fn (arg, kept->log[i]))
            return -1;
    return 0;
}

static void s_release (leat_store_t *store, uint64_t incarnation)
{
    engine_t *self = (engine_t *) store;
    s_drop (self);
    if (incarnation > self->disk->incarnation)
        self->disk->incarnation = incarnation;
}

static void s_submit (leat_store_t *store, leat_commit_t *commit)
{
    engine_t *self = (engine_t *) store;
    held_t *held = leat_alloc (sizeof *held);
    held->commit = commit;
    STAILQ_INSERT_TAIL (&self->held, held, link);
    sim_store_submit (&self->disk->sim, commit);
}

static void s_count (engine_t *self, leat_commit_result_t result, const leat_commit_t *commit)
{
    if (result == LEAT_COMMIT_OK) {
        self->stats.commits++;
        self->stats.transactions++;
        self->stats.commit_bytes += leat_commit_size (commit);
    } else if (result == LEAT_COMMIT_REFUSED) {
        self->stats.commits_refused++;
    } else {
        self->stats.commits_lost++;
    }
}

/* Time passes when somebody waits. */
static bool s_poll (leat_store_t *store, leat_store_event_t *event)
{
    engine_t *self = (engine_t *) store;
    held_t *held = STAILQ_FIRST (&self->held);
    if (!held)
        return false;
    self->disk->sim.now_us = sim_store_due (self->disk->sim.store);
    bool due = sim_store_next (&self->disk->sim, &event->id, &event->result);
    assert_true (due);
    event->kind = LEAT_STORE_COMMITTED;
    event->reason = event->result == LEAT_COMMIT_OK ? NULL : "it was drawn";
    s_count (self, event->result, held->commit);
    STAILQ_REMOVE_HEAD (&self->held, link);
    leat_commit_destroy (&held->commit);
    free (held);
    return true;
}

static bool s_sleep (leat_store_t *store)
{
    return STAILQ_EMPTY (&((engine_t *) store)->held);
}

static int s_fd (const leat_store_t *store)
{
    return -1;
}

static uint64_t s_commit_size_max (const leat_store_t *store)
{
    return ((const engine_t *) store)->disk->sim.store->commit_size_max;
}

static void s_space (const leat_store_t *store, leat_store_space_t *space)
{
}

static void s_stats (const leat_store_t *store, leat_store_stats_t *stats)
{
    *stats = ((const engine_t *) store)->stats;
}

static const leat_store_engine_t s_engine = { .name = "simulated",
                                              .recovers = true,
                                              .durable = true,
                                              .open = s_open,
                                              .close = s_close,
                                              .acquire = s_acquire,
                                              .recover = s_recover,
                                              .release = s_release,
                                              .submit = s_submit,
                                              .poll = s_poll,
                                              .sleep = s_sleep,
                                              .fd = s_fd,
                                              .commit_size_max = s_commit_size_max,
                                              .space = s_space,
                                              .stats = s_stats };

/* ---- with faults ----------------------------------------------------------------------------- */

enum { RUNS = 40, COMMITS = 60, CHAIN = 7 };

/* Commits of one letter each; what ended OK is there after a restart, in order, what was refused is not, and
 * what nobody could tell of may be, as a prefix of those. */
static void s_run (const store_subject_t *subject)
{
    bench_t bench;
    recovered_t recovered;
    char letters[COMMITS];
    char kept[COMMITS + 1] = "";
    size_t count = 0;
    char perhaps[COMMITS];
    size_t perhaps_count = 0;
    bool refused = false;
    leat_commit_result_t failure = LEAT_COMMIT_OK;
    bench_begin (&bench, subject);
    for (unsigned i = 0; i < COMMITS; i++) {
        letters[i] = (char) ('a' + i % 26);
        leat_commit_t *commit = bench_commit (&bench, i / CHAIN, i, &letters[i], 1);
        leat_store_submit (bench.store, &commit);
    }
    for (unsigned i = 0; i < COMMITS; i++) {
        leat_store_event_t event = bench_next (&bench);
        assert_true (event.id == i + 1);
        refused = refused && i % CHAIN;
        if (failure)
            assert_int_equal (event.result, failure);
        else if (refused)
            assert_true (event.result != LEAT_COMMIT_OK);
        if (event.result == LEAT_COMMIT_OK)
            kept[count++] = letters[i];
        else if (event.result == LEAT_COMMIT_REFUSED)
            refused = true;
        else
            failure = event.result;
        if (event.result == LEAT_COMMIT_UNKNOWN)
            perhaps[perhaps_count++] = letters[i];
    }
    bench_reopen (&bench, &recovered);
    assert_true (recovered.size >= count && recovered.size <= count + perhaps_count);
    assert_memory_equal (recovered.bytes, kept, count);
    /* Those that were refused before the failure was told stay out. */
    const char *next = perhaps;
    for (size_t i = count; i < recovered.size; i++) {
        next = memchr (next, recovered.bytes[i], (size_t) (perhaps + perhaps_count - next));
        assert_non_null (next++);
    }
    leat_store_close (&bench.store);
}

static void test_refusals_and_failures (void **state)
{
    for (unsigned i = 0; i < RUNS; i++)
        s_run (*state);
}

int main (void)
{
    store_subject_t subject = { .engine = &s_engine, .place = s_place };
    int failed = store_conformance (&subject);
    s_world.plan.store_latency_us = 40000;
    failed += store_conformance (&subject);
    s_world.plan.store_refuse_percent = 10;
    s_world.plan.store_unknown_permille = 20;
    const struct CMUnitTest tests[] = {
        { "test_refusals_and_failures", test_refusals_and_failures, NULL, NULL, &subject },
    };
    failed += cmocka_run_group_tests_name ("simulated, with faults", tests, NULL, NULL);
    for (size_t i = 0; i < s_world.count; i++)
        sim_store_destroy (&s_world.disks[i].sim.store);
    return failed;
}

/* The consumer engine against a model that keeps every record by itself: a million random steps.
 * SPDX-License-Identifier: MPL-2.0 */
#include "tests/unit/consumer_sample.h"

enum {
    STEPS = 1000000,
    CREDIT = 40,
    OFFSETS = 64, /* so few that leases meet, overlap and follow each other */
    EPOCHS = 3,
    SETTLE_DELAY_US = 700
};

typedef enum { WAITING, STARTED, SETTLED, GIVEN } s_state_t;

typedef struct {
    s_state_t state;
    uint64_t epoch;
    uint64_t offset;
    uint64_t position;
    leat_outcome_t outcome;
    uint32_t delay_ms;
    const char *reason;
} s_record_t;

/* What is outstanding by the model, in the order of delivery, and what the broker was told. */
typedef struct {
    scene_t *scene;
    uint64_t random;
    s_record_t records[CREDIT];
    uint32_t count;
    uint64_t session;
    uint64_t delivered;
    uint64_t reported; /* by REPORT and SETTLE that were sent */
    uint32_t max_unreported;
    bool has_staged;
    bool staged_wanted;
    uint64_t staged_epoch;
    uint64_t staged_offset;
    uint64_t settled_us; /* when the oldest unsent settle was made */
    uint64_t stale;
    uint64_t excess;
    bool leaving;
    bool left;      /* LEAVE was sent */
    uint64_t takes; /* how often things happened at all */
    uint64_t stages;
    uint64_t settled;
    uint64_t given;
    uint64_t revoked;
    uint64_t reports;
    uint64_t losses;
    uint64_t leaves;
} s_model_t;

/* splitmix64 */
static uint32_t s_below (s_model_t *self, uint32_t end)
{
    uint64_t value = self->random += 0x9e3779b97f4a7c15u;
    value = (value ^ (value >> 30)) * 0xbf58476d1ce4e5b9u;
    value = (value ^ (value >> 27)) * 0x94d049bb133111ebu;
    return (uint32_t) ((value ^ (value >> 31)) % end);
}

static uint32_t s_count (const s_model_t *self, s_state_t state)
{
    uint32_t count = 0;
    for (uint32_t index = 0; index < self->count; index++)
        count += self->records[index].state == state;
    return count;
}

static s_record_t *s_find (s_model_t *self, uint64_t epoch, uint64_t offset)
{
    for (uint32_t index = 0; index < self->count; index++)
        if (self->records[index].epoch == epoch && self->records[index].offset == offset)
            return &self->records[index];
    return NULL;
}

static void s_remove (s_model_t *self, s_record_t *record)
{
    s_record_t *end = self->records + self->count;
    memmove (record, record + 1, (size_t) (end - record - 1) * sizeof *record);
    self->count--;
}

static leat_range_t s_random_range (s_model_t *self)
{
    leat_range_t range = { .epoch = 1 + s_below (self, EPOCHS),
                           .first = s_below (self, OFFSETS),
                           .count = 1 + s_below (self, s_below (self, 2) ? 4 : OFFSETS) };
    if (self->count > 0 && s_below (self, 4) > 0) {
        const s_record_t *record = &self->records[s_below (self, self->count)];
        range.epoch = record->epoch;
        range.first = record->offset;
    }
    return range;
}

/* ---- what the engine sends ------------------------------------------------------------------- */

static void s_see_settle (s_model_t *self, const leat_settle_t *settle)
{
    for (uint32_t index = 0; index < settle->entries.count; index++) {
        leat_settle_entry_t entry = leat_settles_get (&settle->entries, index);
        if (index > 0) {
            /* Neighbours would have been merged. */
            leat_settle_entry_t before = leat_settles_get (&settle->entries, index - 1);
            assert_false (before.epoch == entry.epoch && before.outcome == entry.outcome
                          && before.delay_ms == entry.delay_ms
                          && before.first + before.count == entry.first);
        }
        for (uint32_t step = 0; step < entry.count; step++) {
            s_record_t *record = s_find (self, entry.epoch, entry.first + step);
            assert_non_null (record);
            assert_int_equal (record->state, SETTLED);
            assert_int_equal (record->outcome, entry.outcome);
            assert_int_equal (record->delay_ms, entry.delay_ms);
            if (entry.outcome == LEAT_REJECT)
                assert_true (leat_text_equal (leat_text (record->reason), settle->reason));
            if (self->reported < record->position + 1)
                self->reported = record->position + 1;
            s_remove (self, record);
            self->settled++;
        }
    }
}

static void s_see_returned (s_model_t *self, const leat_returned_t *returned)
{
    assert_int_equal (returned->code, LEAT_OK);
    for (uint32_t index = 0; index < returned->ranges.count; index++) {
        leat_range_t range = leat_ranges_get (&returned->ranges, index);
        for (uint32_t step = 0; step < range.count; step++) {
            s_record_t *record = s_find (self, range.epoch, range.first + step);
            assert_non_null (record);
            assert_int_equal (record->state, GIVEN);
            s_remove (self, record);
            self->given++;
        }
    }
}

static void s_see_all (s_model_t *self)
{
    leat_message_t message;
    while (leat_outbox_next (self->scene->outbox, &message)) {
        leat_command_t command;
        assert_int_equal (leat_command_decode (&command, message.header, message.header_size, NULL),
                          LEAT_OK);
        assert_false (self->left);
        switch (command.id) {
        case LEAT_REPORT:
            assert_true (command.report.position <= self->delivered + 16); /* some may be to come */
            assert_true (command.report.position >= self->reported);
            self->reported = command.report.position;
            self->reports++;
            break;
        case LEAT_SETTLE:
            s_see_settle (self, &command.settle);
            break;
        case LEAT_RETURNED:
            s_see_returned (self, &command.returned);
            break;
        case LEAT_LEAVE:
            assert_true (self->leaving);
            assert_int_equal (self->count, 0);
            self->left = true;
            self->leaves++;
            break;
        default:
            assert_true (command.id == LEAT_ATTACH || command.id == LEAT_ALLOW);
        }
    }
}

/* ---- steps ----------------------------------------------------------------------------------- */

static void s_step_deliver (s_model_t *self)
{
    leat_range_t range = s_random_range (self);
    if (s_below (self, 3) > 0 && range.count > CREDIT / 4)
        range.count = CREDIT / 4;
    bool overlaps = false;
    for (uint32_t step = 0; step < range.count; step++)
        overlaps = overlaps || s_find (self, range.epoch, range.first + step);
    sample_deliver (self->scene->engine, self->scene->outbox, range.epoch, range.first,
                    range.count);
    if (self->left) {
        self->delivered += range.count;
        return;
    }
    if (overlaps || self->count + range.count > CREDIT)
        self->excess += range.count;
    else
        for (uint32_t step = 0; step < range.count; step++)
            self->records[self->count++] = (s_record_t){ .state = self->leaving ? GIVEN : WAITING,
                                                         .epoch = range.epoch,
                                                         .offset = range.first + step,
                                                         .position = self->delivered + step };
    self->delivered += range.count;
}

static void s_step_take (s_model_t *self)
{
    leat_delivery_t delivery = { 0 };
    uint32_t count_max = 1 + s_below (self, s_below (self, 3) ? 3 : CREDIT);
    bool taken =
        leat_consumer_engine_take (self->scene->engine, count_max, &delivery, self->scene->outbox);
    s_see_all (self);
    s_record_t *record = self->records;
    s_record_t *end = record + self->count;
    while (record < end && record->state != WAITING)
        record++;
    assert_int_equal (taken, record < end && !self->leaving);
    if (!taken)
        return;
    assert_true (delivery.count <= count_max);
    self->session = delivery.session;
    for (uint32_t step = 0; step < delivery.count; step++, record++) {
        assert_true (record < end);
        assert_int_equal (record->state, WAITING);
        assert_int_equal (record->epoch, delivery.epoch);
        assert_int_equal (record->offset, delivery.first + step);
        /* The rule: nothing is started too far beyond what the broker was told. */
        assert_true (record->position < self->reported + self->max_unreported);
        record->state = STARTED;
    }
    sample_check (&delivery);
    self->takes++;
}

static void s_step_stage (s_model_t *self)
{
    leat_delivery_t delivery = { 0 };
    uint64_t reported = self->reported;
    bool staged = leat_consumer_engine_stage (self->scene->engine, &delivery, self->scene->outbox);
    s_see_all (self);
    s_record_t *record = self->records;
    s_record_t *end = record + self->count;
    while (record < end && record->state != WAITING)
        record++;
    assert_int_equal (staged, record < end && !self->leaving && !self->has_staged);
    if (!staged)
        return;
    assert_int_equal (delivery.count, 1);
    assert_int_equal (record->epoch, delivery.epoch);
    assert_int_equal (record->offset, delivery.first);
    /* It may be started without a word, and the broker is not told that it was. */
    assert_true (record->position < self->reported + self->max_unreported);
    assert_true (self->reported == reported || self->reported <= record->position);
    record->state = STARTED;
    self->session = delivery.session;
    self->has_staged = true;
    self->staged_wanted = false;
    self->staged_epoch = delivery.epoch;
    self->staged_offset = delivery.first;
    sample_check (&delivery);
    self->stages++;
}

static bool s_is_staged_in (const s_model_t *self, leat_range_t range)
{
    return self->has_staged && self->staged_epoch == range.epoch
           && self->staged_offset >= range.first && self->staged_offset < range.first + range.count;
}

static void s_step_claim (s_model_t *self)
{
    leat_consumer_engine_claim (self->scene->engine);
    self->has_staged = false;
}

static void s_step_settle (s_model_t *self)
{
    static const char *const reasons[] = { "", "too old", "too new" };
    leat_range_t range = s_random_range (self);
    leat_outcome_t outcome = (leat_outcome_t) (1 + s_below (self, 3));
    uint32_t delay_ms = outcome == LEAT_NACK ? s_below (self, 2) : 0;
    const char *reason = reasons[s_below (self, 3)];
    bool former = s_below (self, 20) == 0;
    if (s_below (self, 2))
        outcome = LEAT_ACK;
    if (outcome != LEAT_NACK)
        delay_ms = 0;
    if (s_count (self, SETTLED) == 0)
        self->settled_us = self->scene->now_us;
    uint32_t held = 0;
    for (uint32_t step = 0; step < range.count && !former; step++) {
        s_record_t *record = s_find (self, range.epoch, range.first + step);
        if (record && record->state == STARTED) {
            record->state = SETTLED;
            record->outcome = outcome;
            record->delay_ms = delay_ms;
            record->reason = reason;
            held++;
        }
    }
    self->stale += range.count - held;
    if (!former && s_is_staged_in (self, range))
        self->has_staged = false;
    assert_int_equal (leat_consumer_engine_settle (self->scene->engine,
                                                   former ? self->session - 1 : self->session,
                                                   range.epoch, range.first, range.count, outcome,
                                                   delay_ms, reason, self->scene->now_us),
                      held);
}

static void s_step_give_back (s_model_t *self)
{
    leat_range_t range = s_random_range (self);
    uint32_t held = 0;
    for (uint32_t step = 0; step < range.count; step++) {
        s_record_t *record = s_find (self, range.epoch, range.first + step);
        if (record && record->state == STARTED) {
            record->state = GIVEN;
            held++;
        }
    }
    if (s_is_staged_in (self, range))
        self->has_staged = false;
    assert_int_equal (leat_consumer_engine_give_back (self->scene->engine, self->session,
                                                      range.epoch, range.first, range.count),
                      held);
}

static void s_step_recall (s_model_t *self)
{
    leat_range_t range = s_random_range (self);
    for (uint32_t step = 0; step < range.count; step++) {
        s_record_t *record = s_find (self, range.epoch, range.first + step);
        if (record && record->state == WAITING)
            record->state = GIVEN;
    }
    self->staged_wanted |= s_is_staged_in (self, range);
    scene_ranges (self->scene, LEAT_RECALL, 1, &range);
}

static void s_step_revoke (s_model_t *self)
{
    leat_range_t range = s_random_range (self);
    for (uint32_t step = 0; step < range.count; step++) {
        s_record_t *record = s_find (self, range.epoch, range.first + step);
        if (record) {
            self->stale += record->state == SETTLED;
            self->revoked++;
            s_remove (self, record);
        }
    }
    self->staged_wanted |= s_is_staged_in (self, range);
    scene_ranges (self->scene, LEAT_REVOKED, 1, &range);
}

/* After a turn nothing waits that was due. */
static void s_step_run (s_model_t *self)
{
    scene_t *scene = self->scene;
    scene->now_us += s_below (self, 4) ? s_below (self, 20) : s_below (self, 3000);
    leat_consumer_engine_run (scene->engine, scene->now_us, scene->outbox);
    s_see_all (self);
    assert_int_equal (s_count (self, GIVEN), 0);
    uint32_t settled = s_count (self, SETTLED);
    if (settled > 0) {
        assert_true (scene->now_us < self->settled_us + SETTLE_DELAY_US);
        assert_true (settled < CREDIT / 2);
        assert_true (leat_consumer_engine_deadline (scene->engine)
                     <= self->settled_us + SETTLE_DELAY_US);
    }
    assert_true (leat_consumer_engine_deadline (scene->engine) > scene->now_us);
    assert_int_equal (self->left, self->leaving && self->count == 0);
}

static void s_attach (s_model_t *self)
{
    leat_consumer_engine_begin (self->scene->engine, SAMPLE_CHANNEL, self->scene->outbox);
    scene_receive (self->scene, (leat_command_t){ .id = LEAT_ATTACHED });
    self->count = 0;
    self->delivered = 0;
    self->reported = 0;
    self->has_staged = false;
    self->session++;
}

static void s_step_lose (s_model_t *self)
{
    self->stale += s_count (self, SETTLED);
    leat_consumer_engine_lost (self->scene->engine);
    self->losses++;
    s_attach (self);
}

static void s_step_leave (s_model_t *self)
{
    leat_consumer_engine_leave (self->scene->engine);
    for (uint32_t index = 0; index < self->count; index++)
        if (self->records[index].state == WAITING)
            self->records[index].state = GIVEN;
    self->leaving = true;
}

static void s_step (s_model_t *self)
{
    uint32_t chance = s_below (self, 1000);
    if (chance < 150)
        s_step_deliver (self);
    else if (chance < 350)
        s_step_take (self);
    else if (chance < 425)
        s_step_stage (self);
    else if (chance < 450)
        s_step_claim (self);
    else if (chance < 750)
        s_step_settle (self);
    else if (chance < 770)
        s_step_give_back (self);
    else if (chance < 790)
        s_step_recall (self);
    else if (chance < 800)
        s_step_revoke (self);
    else if (chance < 801 && !self->leaving)
        s_step_lose (self);
    else if (chance < 802)
        s_step_leave (self);
    else
        s_step_run (self);
    s_see_all (self);

    const leat_consumer_engine_t *engine = self->scene->engine;
    assert_int_equal (leat_consumer_engine_waiting (engine), s_count (self, WAITING));
    assert_int_equal (leat_consumer_engine_started (engine), s_count (self, STARTED));
    assert_int_equal (leat_consumer_engine_busy (engine), self->count > 0);
    assert_int_equal (leat_consumer_engine_stale (engine), self->stale);
    assert_int_equal (leat_consumer_engine_excess (engine), self->excess);
    assert_int_equal (leat_consumer_engine_is_staged (engine),
                      self->has_staged && !self->staged_wanted && !self->leaving);
}

/* A consumer from its first ATTACH until it has left. Returns the steps that took. */
static uint32_t s_life (s_model_t *self)
{
    self->max_unreported = 1 + s_below (self, 5);
    self->scene = scene_begun ((leat_consumer_engine_options_t){
        .credit_records = CREDIT,
        .max_unreported = self->max_unreported,
        .settle_delay_us = SETTLE_DELAY_US,
    });
    self->session = 0;
    self->stale = 0;
    self->excess = 0;
    self->leaving = false;
    self->left = false;
    self->has_staged = false;
    leat_outbox_clear (self->scene->outbox);
    scene_receive (self->scene, (leat_command_t){ .id = LEAT_ATTACHED });
    self->count = 0;
    self->delivered = 0;
    self->reported = 0;
    self->session = 1;
    uint32_t steps = 0;
    for (; !self->left; steps++)
        s_step (self);
    for (uint32_t late = 0; late < 10; late++)
        s_step (self);
    scene_destroy (self->scene);
    return steps;
}

static void test_random_steps (void **state)
{
    s_model_t model = { .random = 20 };
    for (uint32_t steps = 0; steps < STEPS;)
        steps += s_life (&model);
    print_message (
        "%llu takes, %llu staged, %llu settled, %llu given back, %llu revoked, %llu reports, "
        "%llu lost sessions, %llu leaves\n",
        (unsigned long long) model.takes, (unsigned long long) model.stages,
        (unsigned long long) model.settled, (unsigned long long) model.given,
        (unsigned long long) model.revoked, (unsigned long long) model.reports,
        (unsigned long long) model.losses, (unsigned long long) model.leaves);
    assert_true (model.stages > STEPS / 100);
    assert_true (model.takes > STEPS / 20 && model.settled > STEPS / 20);
    assert_true (model.given > STEPS / 100 && model.revoked > STEPS / 100);
    assert_true (model.reports > STEPS / 100 && model.losses > 100 && model.leaves > 100);
}

int main (void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test (test_random_steps) };
    return cmocka_run_group_tests (tests, NULL, NULL);
}

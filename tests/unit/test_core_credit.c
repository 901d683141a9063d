/* The core and credit: grants, growth, WANT, reclaiming, the memory limit, compaction.
 * SPDX-License-Identifier: MPL-2.0 */
#include "tests/unit/core_driver.h"

/* A producer as clients are: it knows its limit and what it has sent. */
typedef struct {
    driver_t *driver;
    uint64_t peer;
    uint64_t limit;
    uint64_t sent;
    uint64_t next;
    uint64_t confirmed;
    uint64_t reclaims;
    bool mute; /* does not answer RECLAIM yet */
} producer_t;

static producer_t s_producer (driver_t *driver, uint64_t peer, const char *stream)
{
    char identity[20];
    snprintf (identity, sizeof identity, "p%d", (int) peer);
    producer_t self = { .driver = driver, .peer = peer, .next = 1 };
    driver_hello (driver, peer, identity);
    self.limit = driver_open (driver, peer, 1, stream);
    return self;
}

static void s_yield (producer_t *self, uint64_t limit)
{
    self->limit = limit > self->sent ? limit : self->sent;
    leat_command_t yielded = { .id = LEAT_YIELDED, .yielded = { 1, self->limit } };
    driver_send (self->driver, self->peer, &yielded);
}

/* Handles what the broker said; anything but confirmations and credit is a failure. */
static void s_listen (producer_t *self)
{
    while (driver_waiting (self->driver, self->peer)) {
        driver_message_t *message = NULL;
        for (size_t i = 0; !message; i++)
            if (self->driver->inbox[i].peer == self->peer)
                message = &self->driver->inbox[i];
        if (!message->is_batch && message->command.id == LEAT_CONFIRMED) {
            leat_confirmed_t confirmed =
                driver_expect (self->driver, self->peer, LEAT_CONFIRMED)->confirmed;
            assert_true (confirmed.sequence >= self->confirmed);
            self->confirmed = confirmed.sequence;
            if (confirmed.limit > self->limit)
                self->limit = confirmed.limit;
            continue;
        }
        leat_credit_t credit = driver_expect (self->driver, self->peer, LEAT_CREDIT)->credit;
        if (!(credit.flags & LEAT_CREDIT_RECLAIM)) {
            assert_true (credit.limit > self->limit);
            self->limit = credit.limit;
            continue;
        }
        assert_true (credit.limit < self->limit);
        self->reclaims++;
        if (!self->mute)
            s_yield (self, credit.limit);
    }
}

/* Sends a batch if credit allows, else WANT. */
static bool s_send (producer_t *self, uint32_t count)
{
    s_listen (self);
    uint64_t cost = driver_cost (self->driver, self->next, count);
    if (self->sent + cost > self->limit) {
        leat_command_t want = { .id = LEAT_WANT, .want = { 1, cost } };
        driver_send (self->driver, self->peer, &want);
        s_listen (self);
        return false;
    }
    self->sent += cost;
    driver_publish (self->driver, self->peer, 1, self->next, count);
    self->next += count;
    s_listen (self);
    return true;
}

static void s_check_limit (const driver_t *driver)
{
    leat_statistics_t statistics = driver_statistics (driver);
    assert_true (statistics.held_size + statistics.granted_size <= driver->limits.memory_size);
}

/* A busy producer never waits, its window doubles up to the largest, and shrinks when idle. */
static void test_growth_and_idle (void **state)
{
    leat_limits_t limits = driver_limits ();
    limits.grant_min_size = 4096;
    limits.grant_max_size = 65536;
    driver_t *driver = driver_new (&limits);
    producer_t producer = s_producer (driver, 1, "orders");
    assert_int_equal (producer.limit, 4096);
    driver->record_size = 1500;
    uint64_t widest = 0;
    for (int i = 0; i < 200; i++) {
        assert_true (s_send (&producer, 1));
        uint64_t unused = producer.limit - producer.sent;
        assert_true (unused <= 65536);
        if (unused > widest)
            widest = unused;
    }
    assert_true (widest > 60000);
    assert_int_equal (producer.confirmed, 200);
    assert_int_equal (driver_statistics (driver).granted_size, producer.limit - producer.sent);
    driver_wait (driver, limits.grant_idle + 10000);
    s_listen (&producer);
    assert_int_equal (producer.reclaims, 1);
    assert_int_equal (producer.limit - producer.sent, 4096);
    assert_int_equal (driver_statistics (driver).granted_size, 4096);
    driver_wait (driver, 60000);
    s_listen (&producer);
    assert_int_equal (producer.reclaims, 1); /* the first credit stays */
    assert_true (s_send (&producer, 1));
    driver_destroy (&driver);
}

static void test_want (void **state)
{
    leat_limits_t limits = driver_limits ();
    limits.grant_min_size = 1000;
    driver_t *driver = driver_new (&limits);
    producer_t producer = s_producer (driver, 1, "orders");
    driver->record_size = 300000;
    assert_false (s_send (&producer, 1));
    assert_true (producer.limit >= 300000 + 516);
    assert_true (s_send (&producer, 1));
    /* More than any batch can have is not granted. */
    leat_command_t want = { .id = LEAT_WANT, .want = { 1, UINT64_MAX } };
    driver_send (driver, 1, &want);
    s_listen (&producer);
    assert_true (producer.limit - producer.sent
                 <= limits.batch_size + LEAT_BATCH_COST + limits.grant_min_size);
    driver_destroy (&driver);
}

/* PUBLISHes that were under way when RECLAIM was sent are within the old limit and are taken. */
static void test_reclaim_with_batches_under_way (void **state)
{
    leat_limits_t limits = driver_limits ();
    limits.grant_min_size = 8192;
    limits.grant_idle = 2000;
    driver_t *driver = driver_new (&limits);
    producer_t producer = s_producer (driver, 1, "orders");
    driver->record_size = 1000;
    for (int i = 0; i < 40; i++)
        assert_true (s_send (&producer, 1));
    uint64_t old = producer.limit;
    assert_true (old - producer.sent > 8192);
    producer.mute = true;
    driver_wait (driver, 5000);
    s_listen (&producer);
    assert_int_equal (producer.reclaims, 1);
    /* RECLAIM is on its way to the client, which still sends up to its old limit. */
    while (producer.sent + 1516 <= old)
        assert_true (s_send (&producer, 1));
    assert_true (producer.limit == old);
    assert_int_equal (producer.confirmed, producer.next - 1);
    /* A YIELDED that lies is refused: below what was sent, above what was granted. */
    leat_command_t yielded = { .id = LEAT_YIELDED, .yielded = { 1, producer.sent - 1 } };
    driver_send (driver, 1, &yielded);
    driver_expect_refused (driver, 1, LEAT_YIELDED, LEAT_BAD_STATE);
    yielded.yielded.limit = old + 1;
    driver_send (driver, 1, &yielded);
    driver_expect_refused (driver, 1, LEAT_YIELDED, LEAT_BAD_STATE);
    producer.mute = false;
    s_yield (&producer, 0);
    assert_int_equal (driver_statistics (driver).granted_size, producer.limit - producer.sent);
    driver_send (driver, 1, &yielded);
    driver_expect_refused (driver, 1, LEAT_YIELDED, LEAT_BAD_STATE);
    /* It goes on after WANT. */
    if (!s_send (&producer, 1))
        assert_true (s_send (&producer, 1));
    driver_destroy (&driver);
}

/* WANT that crosses RECLAIM is not forgotten. */
static void test_want_while_reclaiming (void **state)
{
    leat_limits_t limits = driver_limits ();
    limits.grant_min_size = 8192;
    limits.grant_idle = 2000;
    driver_t *driver = driver_new (&limits);
    producer_t producer = s_producer (driver, 1, "orders");
    driver->record_size = 1000;
    for (int i = 0; i < 40; i++)
        assert_true (s_send (&producer, 1));
    producer.mute = true;
    driver_wait (driver, 5000);
    s_listen (&producer);
    assert_int_equal (producer.reclaims, 1);
    leat_command_t want = { .id = LEAT_WANT, .want = { 1, 200000 } };
    driver_send (driver, 1, &want);
    driver_expect_nothing (driver, 1);
    s_yield (&producer, 0);
    s_listen (&producer);
    assert_true (producer.limit - producer.sent >= 200000);
    driver_destroy (&driver);
}

static leat_limits_t s_small (void)
{
    leat_limits_t limits = driver_limits ();
    limits.record_size = 10000;
    limits.batch_size = 10008;
    limits.window_size = 1 << 20;
    limits.grant_min_size = 12000;
    limits.grant_max_size = 50000;
    limits.stream_size = 100000;
    limits.memory_size = 160000; /* 150000 for producers */
    limits.dead_size = 10000;
    return limits;
}

/* What is held and what is granted stay below the limit; settling makes room again. */
static void test_full_stream (void **state)
{
    leat_limits_t limits = s_small ();
    driver_t *driver = driver_new (&limits);
    driver->record_size = 4000;
    producer_t a = s_producer (driver, 1, "a");
    int sent = 0;
    while (s_send (&a, 1) || s_send (&a, 1)) {
        sent++;
        s_check_limit (driver);
    }
    assert_true (sent >= 19 && sent <= 22); /* of 4516 each, in 100000 */
    leat_stream_statistics_t stream = driver_stream (driver, "a");
    assert_true (stream.bytes <= limits.stream_size);
    /* Another stream has room. */
    producer_t b = s_producer (driver, 2, "b");
    assert_true (s_send (&b, 1));
    assert_true (s_send (&b, 1) || s_send (&b, 1));
    s_check_limit (driver);
    /* Waiting alone changes nothing. */
    driver_wait (driver, 5000);
    assert_false (s_send (&a, 1));
    /* A consumer settles: the producer gets credit unasked, for it has said WANT. */
    driver_hello (driver, 9, "taker");
    driver_attach (driver, 9, 1, "a", 1000, 1);
    uint64_t limit = a.limit;
    for (int i = 0; i < 4; i++) {
        leat_batch_t batch = driver_expect_any_deliver (driver, 9);
        driver_settle (driver, 9, 1, batch.epoch, batch.first, 1, LEAT_ACK);
        s_check_limit (driver);
    }
    s_listen (&a);
    assert_true (a.limit > limit);
    assert_true (s_send (&a, 1));
    driver_destroy (&driver);
}

/* Memory is full of idle grants: they are taken back for whoever waits. */
static void test_pressure (void **state)
{
    leat_limits_t limits = s_small ();
    limits.stream_size = 160000;
    driver_t *driver = driver_new (&limits);
    driver->record_size = 4000;
    producer_t idle[16];
    for (uint64_t i = 0; i < 13; i++) {
        idle[i] = s_producer (driver, 100 + i, "idle");
        s_check_limit (driver);
    }
    /* 150000 of credit are given out: 12 times 12000, once 6000. */
    assert_int_equal (idle[0].limit, 12000);
    assert_int_equal (idle[12].limit, 6000);
    assert_int_equal (driver_statistics (driver).granted_size, 150000);
    producer_t late = s_producer (driver, 50, "late");
    assert_int_equal (late.limit, 0);
    assert_false (s_send (&late, 2));
    driver_wait (driver, 3000);
    uint64_t reclaims = 0;
    for (uint64_t i = 0; i < 13; i++) {
        s_listen (&idle[i]);
        reclaims += idle[i].reclaims;
    }
    assert_true (reclaims >= 1);
    s_listen (&late);
    assert_true (s_send (&late, 2));
    assert_int_equal (late.confirmed, 2);
    s_check_limit (driver);
    /* One of those that were robbed wants to send again. */
    for (uint64_t i = 0; i < 13; i++) {
        if (!idle[i].reclaims)
            continue;
        for (int tries = 0; !s_send (&idle[i], 1); tries++) {
            assert_true (tries < 20);
            driver_wait (driver, 1000);
            for (uint64_t k = 0; k < 13; k++)
                s_listen (&idle[k]);
            s_listen (&late);
        }
        break;
    }
    s_check_limit (driver);
    driver_destroy (&driver);
}

/* No memory is left, and the first who waits does so because its stream is full: who waits behind it
 * gets what others have not used. */
static void test_pressure_behind_full_stream (void **state)
{
    leat_limits_t limits = s_small ();
    driver_t *driver = driver_new (&limits);
    driver->record_size = 4000;
    producer_t first = s_producer (driver, 1, "full");
    while (s_send (&first, 1) || s_send (&first, 1))
        continue;
    producer_t idle[20];
    uint64_t idle_count = 0;
    do
        idle[idle_count] = s_producer (driver, 100 + idle_count, "idle");
    while (idle[idle_count++].limit && idle_count < 20);
    assert_true (idle_count > 1 && idle_count < 20);
    assert_int_equal (idle[idle_count - 1].limit, 0);
    assert_false (s_send (&first, 1));
    producer_t late = s_producer (driver, 50, "late");
    assert_int_equal (late.limit, 0);
    assert_false (s_send (&late, 1));
    driver_wait (driver, 3000);
    uint64_t reclaims = 0;
    for (uint64_t i = 0; i < idle_count; i++) {
        s_listen (&idle[i]);
        reclaims += idle[i].reclaims;
    }
    assert_true (reclaims >= 1);
    s_listen (&late);
    assert_true (s_send (&late, 1));
    assert_int_equal (late.confirmed, 1);
    s_check_limit (driver);
    driver_destroy (&driver);
}

/* A WANT below the smallest grant is served when that is all there is. */
static void test_small_want (void **state)
{
    leat_limits_t limits = s_small ();
    driver_t *driver = driver_new (&limits);
    producer_t producer = s_producer (driver, 1, "a");
    driver->record_size = 9000;
    while (s_send (&producer, 1) || s_send (&producer, 1))
        continue;
    driver->record_size = 100;
    uint64_t before = producer.next;
    while (s_send (&producer, 1) || s_send (&producer, 1))
        continue;
    uint64_t held = driver_stream (driver, "a").bytes;
    assert_true (producer.next > before);
    assert_true (held > limits.stream_size - 700);
    driver_destroy (&driver);
}

/* What is freed is too little for all who wait but the last, and it finds its way there. */
static void test_small_want_behind_large_ones (void **state)
{
    enum { LARGE = 12 };
    leat_limits_t limits = s_small ();
    driver_t *driver = driver_new (&limits);
    producer_t full = s_producer (driver, 1, "full");
    producer_t rest = s_producer (driver, 2, "rest");
    driver->record_size = 100;
    assert_true (s_send (&full, 1));
    driver->record_size = 9000;
    while (s_send (&full, 1) || s_send (&full, 1))
        continue;
    while (s_send (&rest, 1) || s_send (&rest, 1))
        continue;
    producer_t large[LARGE];
    for (uint64_t i = 0; i < LARGE; i++) {
        char name[20];
        snprintf (name, sizeof name, "large%d", (int) i);
        large[i] = s_producer (driver, 100 + i, name);
        assert_false (s_send (&large[i], 1));
    }
    producer_t small = s_producer (driver, 50, "small");
    driver->record_size = 1;
    assert_false (s_send (&small, 1));
    driver_hello (driver, 3, "consumer");
    driver->record_size = 100;
    driver_attach (driver, 3, 1, "full", 1, 1);
    leat_batch_t first = driver_expect_deliver (driver, 3, 1, 0, 1);
    driver_settle (driver, 3, 1, first.epoch, first.first, 1, LEAT_ACK);
    driver_wait (driver, 200); /* for the commit */
    driver->record_size = 1;
    s_listen (&small);
    assert_true (s_send (&small, 1));
    for (uint64_t i = 0; i < LARGE; i++)
        assert_false (s_send (&large[i], 1));
    s_check_limit (driver);
    driver_destroy (&driver);
}

static void test_channel_end_frees_credit (void **state)
{
    driver_t *driver = driver_new (NULL);
    producer_t a = s_producer (driver, 1, "a");
    producer_t b = s_producer (driver, 2, "a");
    assert_int_equal (driver_statistics (driver).granted_size, a.limit + b.limit);
    driver_lose (driver, 1);
    assert_int_equal (driver_statistics (driver).granted_size, b.limit);
    driver_destroy (&driver);
}

/* ---- compaction ------------------------------------------------------------------------------ */

/* Settles all records of the delivered batch but each tenth. */
static void s_settle_most (driver_t *driver, uint64_t peer, const leat_batch_t *batch)
{
    for (uint64_t i = batch->first; i < batch->first + batch->count; i++)
        if (i % 10)
            driver_settle (driver, peer, 1, batch->epoch, i, 1, LEAT_ACK);
}

static leat_limits_t s_tight (void)
{
    leat_limits_t limits = driver_limits ();
    limits.record_size = 60000;
    limits.batch_size = 60008;
    limits.stream_size = 200000;
    limits.memory_size = 1000000;
    limits.window_size = 1 << 20;
    limits.grant_min_size = 70000;
    limits.grant_max_size = 70000;
    return limits;
}

/* Most of three batches is settled: the rest is copied out, and is right wherever it goes. */
static void test_compaction (void **state)
{
    leat_limits_t limits = s_tight ();
    driver_t *driver = driver_new (&limits);
    driver->record_size = 500;
    producer_t producer = s_producer (driver, 1, "a");
    for (int i = 0; i < 3; i++)
        assert_true (s_send (&producer, 100) || s_send (&producer, 100));
    driver_hello (driver, 2, "taker");
    driver_attach (driver, 2, 1, "a", 1000, 1000);
    uint64_t full = driver_stream (driver, "a").bytes;
    leat_batch_t batches[3];
    for (int i = 0; i < 3; i++)
        batches[i] = driver_expect_deliver (driver, 2, 1, (uint64_t) i * 100, 100);
    for (int i = 0; i < 3; i++)
        s_settle_most (driver, 2, &batches[i]);
    uint64_t bytes = driver_stream (driver, "a").bytes;
    assert_true (bytes < full * 6 / 10); /* the last one needs no copy: there is room again */
    assert_int_equal (driver_stream (driver, "a").held, 300);
    /* Leases over compacted records can be returned, settled, delivered again in parts. */
    driver_return (driver, 2, 1, batches[0].epoch, 0, 100);
    for (uint64_t offset = 0; offset < 100; offset += 10)
        driver_expect_deliver (driver, 2, 1, offset, 1);
    driver_expect_nothing (driver, 2);
    driver_lose (driver, 2);
    driver_hello (driver, 3, "other");
    driver_attach (driver, 3, 1, "a", 1000, 1);
    /* 30 suspects, one at a time. */
    for (uint64_t offset = 0; offset < 300; offset += 10) {
        leat_batch_t batch = driver_expect_any_deliver (driver, 3);
        assert_int_equal (batch.count, 1);
        assert_int_equal (batch.first % 10, 0);
        driver_expect_nothing (driver, 3);
        driver_settle (driver, 3, 1, batch.epoch, batch.first, 1, LEAT_ACK);
    }
    driver_expect_nothing (driver, 3);
    assert_int_equal (driver_stream (driver, "a").bytes, 0);
    driver_destroy (&driver);
}

/* Takes every DELIVER for the peer and notes the offsets; returns how many. */
static uint64_t s_note (driver_t *driver, uint64_t peer, bool *offsets)
{
    uint64_t records = 0;
    while (driver_waiting (driver, peer)) {
        leat_batch_t batch = driver_expect_any_deliver (driver, peer);
        for (uint64_t i = batch.first; i < batch.first + batch.count; i++) {
            assert_false (offsets[i]);
            offsets[i] = true;
        }
        records += batch.count;
    }
    return records;
}

/* Groups that come later get what is held: not what was dropped, whole batches or parts of them. */
static void test_new_group_after_trim_and_compaction (void **state)
{
    leat_limits_t limits = s_tight ();
    driver_t *driver = driver_new (&limits);
    driver->record_size = 500;
    producer_t producer = s_producer (driver, 1, "a");
    for (int i = 0; i < 3; i++)
        assert_true (s_send (&producer, 100) || s_send (&producer, 100));
    driver_hello (driver, 2, "taker");
    driver_attach (driver, 2, 1, "a", 1000, 1);
    leat_batch_t batches[3];
    for (int i = 0; i < 3; i++)
        batches[i] = driver_expect_deliver (driver, 2, 1, (uint64_t) i * 100, 100);
    s_settle_most (driver, 2, &batches[0]);
    driver_settle (driver, 2, 1, batches[1].epoch, 100, 100, LEAT_ACK);
    assert_int_equal (driver_stream (driver, "a").held, 200);
    driver_hello (driver, 3, "late");
    leat_command_t attach = driver_attach_command (1, "a", "late", 1000, 1);
    driver_send (driver, 3, &attach);
    driver_expect (driver, 3, LEAT_ATTACHED);
    bool offsets[300] = { false };
    uint64_t records = s_note (driver, 3, offsets);
    assert_true (records < 180);
    for (size_t i = 0; i < 300; i++) {
        if ((i < 100 && i % 10 == 0) || i >= 200)
            assert_true (offsets[i]);
        if (i >= 100 && i < 200)
            assert_false (offsets[i]);
    }
    /* The same from the store. */
    driver_wait (driver, 1000);
    driver_restart (driver);
    driver_hello (driver, 4, "again");
    attach = driver_attach_command (1, "a", "late", 1000, 1);
    driver_send (driver, 4, &attach);
    driver_expect (driver, 4, LEAT_ATTACHED);
    bool again[300] = { false };
    assert_int_equal (s_note (driver, 4, again), records);
    assert_memory_equal (again, offsets, sizeof offsets);
    driver_destroy (&driver);
}

/* Two groups hold a batch; it goes when the second has settled the last record. */
static void test_trim_waits_for_all_groups (void **state)
{
    driver_t *driver = driver_new (NULL);
    producer_t producer = s_producer (driver, 1, "a");
    driver_hello (driver, 2, "taker");
    driver_attach (driver, 2, 1, "a", 1000, 1);
    leat_command_t attach = driver_attach_command (2, "a", "second", 1000, 1);
    driver_send (driver, 2, &attach);
    driver_expect (driver, 2, LEAT_ATTACHED);
    s_send (&producer, 10);
    leat_batch_t first = driver_expect_deliver (driver, 2, 1, 0, 10);
    leat_batch_t second = driver_expect_deliver (driver, 2, 2, 0, 10);
    driver_settle (driver, 2, 1, first.epoch, 0, 10, LEAT_ACK);
    driver_settle (driver, 2, 2, second.epoch, 0, 9, LEAT_ACK);
    assert_int_equal (driver_stream (driver, "a").held, 10);
    driver_settle (driver, 2, 2, second.epoch, 9, 1, LEAT_ACK);
    assert_int_equal (driver_stream (driver, "a").held, 0);
    assert_int_equal (driver_statistics (driver).held_size, 0);
    driver_destroy (&driver);
}

int main (void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test (test_growth_and_idle),
        cmocka_unit_test (test_want),
        cmocka_unit_test (test_reclaim_with_batches_under_way),
        cmocka_unit_test (test_want_while_reclaiming),
        cmocka_unit_test (test_full_stream),
        cmocka_unit_test (test_pressure),
        cmocka_unit_test (test_pressure_behind_full_stream),
        cmocka_unit_test (test_small_want),
        cmocka_unit_test (test_small_want_behind_large_ones),
        cmocka_unit_test (test_channel_end_frees_credit),
        cmocka_unit_test (test_compaction),
        cmocka_unit_test (test_new_group_after_trim_and_compaction),
        cmocka_unit_test (test_trim_waits_for_all_groups),
    };
    return cmocka_run_group_tests (tests, NULL, NULL);
}

/* The core and consumers: ATTACH, slices, credit, settles, returns, EMPTY, LEAVE.
 * SPDX-License-Identifier: MPL-2.0 */
#include "tests/unit/core_driver.h"

static driver_t *s_begin (const leat_limits_t *limits)
{
    driver_t *driver = driver_new (limits);
    driver_hello (driver, 1, "mill");
    driver_open (driver, 1, 1, "orders");
    return driver;
}

static void s_consumer (driver_t *driver, uint64_t peer, uint32_t credit, uint32_t max_unreported)
{
    char identity[20];
    snprintf (identity, sizeof identity, "c%d", (int) peer);
    driver_hello (driver, peer, identity);
    driver_attach (driver, peer, 1, "orders", credit, max_unreported);
}

static void s_publish (driver_t *driver, uint64_t first, uint32_t count)
{
    driver_publish (driver, 1, 1, first, count);
    while (driver_waiting (driver, 1) > 1)
        driver_expect (driver, 1, LEAT_CREDIT);
    uint64_t confirmed = driver_expect (driver, 1, LEAT_CONFIRMED)->confirmed.sequence;
    assert_int_equal (confirmed, first + count - 1);
}

static void test_attach (void **state)
{
    leat_limits_t limits = driver_limits ();
    limits.groups = 2;
    driver_t *driver = s_begin (&limits);
    s_publish (driver, 1, 4);
    driver_hello (driver, 2, "taker");
    static const struct {
        const char *stream;
        const char *group;
        uint32_t records;
        uint32_t unreported;
        uint64_t size;
        uint16_t flags;
        uint8_t start;
        leat_code_t code;
        const char *says;
    } wrong[] = {
        { "a b", "g", 1, 1, 1, 0, 0, LEAT_BAD_NAME, "letters, digits" },
        { "orders", "", 1, 1, 1, 0, 0, LEAT_BAD_NAME, "letters, digits" },
        { "none", "g", 1, 1, 1, LEAT_MUST_EXIST, 0, LEAT_NO_SUCH_STREAM, "create the stream" },
        { "orders.dead", "g", 1, 1, 1, 0, 0, LEAT_NO_SUCH_STREAM, "no dead letters" },
        { "orders", "g", 1000001, 1, 1, 0, 0, LEAT_TOO_LARGE, "1000000 records and 268435456 by" },
        { "orders", "g", 1, 1, (1 << 28) + 1, 0, 0, LEAT_TOO_LARGE, "and 268435456 bytes" },
        { "orders", "g", 1, 65537, 1, 0, 0, LEAT_TOO_LARGE, "max_unreported can be 65536" },
        { "orders", "g", 1, 1, 1, 0, 4, LEAT_MALFORMED, "start is 0" },
    };
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        leat_command_t attach = driver_attach_command (3, wrong[i].stream, wrong[i].group,
                                                       wrong[i].records, wrong[i].unreported);
        attach.attach.credit_size = wrong[i].size;
        attach.attach.flags = wrong[i].flags;
        attach.attach.start = wrong[i].start;
        driver_send (driver, 2, &attach);
        const leat_refused_t *refused =
            driver_expect_refused (driver, 2, LEAT_ATTACH, wrong[i].code);
        assert_int_equal (refused->channel, 3);
        driver_expect_says (refused, wrong[i].says);
    }
    leat_command_t attach = driver_attach_command (3, "orders", "g", 10, 1);
    driver_send (driver, 2, &attach);
    const leat_attached_t *attached = &driver_expect (driver, 2, LEAT_ATTACHED)->attached;
    assert_int_equal (attached->channel, 3);
    assert_int_equal (attached->next_offset, 4);
    assert_int_equal (attached->durability, LEAT_MEMORY);
    driver_expect_deliver (driver, 2, 3, 0, 4);
    driver_send (driver, 2, &attach);
    driver_expect_refused (driver, 2, LEAT_ATTACH, LEAT_CHANNEL_IN_USE);
    attach = driver_attach_command (4, "orders", "h", 10, 1);
    driver_send (driver, 2, &attach);
    driver_expect (driver, 2, LEAT_ATTACHED);
    driver_expect_deliver (driver, 2, 4, 0, 4);
    attach = driver_attach_command (5, "orders", "i", 10, 1);
    driver_send (driver, 2, &attach);
    driver_expect_refused (driver, 2, LEAT_ATTACH, LEAT_LIMIT_REACHED);
    assert_int_equal (driver_statistics (driver).limit_hits[LEAT_LIMIT_groups], 1);
    assert_int_equal (driver_statistics (driver).limit_hits[LEAT_LIMIT_credit_records], 1);
    assert_int_equal (driver_statistics (driver).limit_hits[LEAT_LIMIT_credit_size], 1);
    assert_int_equal (driver_statistics (driver).limit_hits[LEAT_LIMIT_unreported], 1);
    driver_destroy (&driver);
}

/* Where groups begin. */
static void test_starts (void **state)
{
    driver_t *driver = s_begin (NULL);
    uint64_t time_ms = driver->wall_ms;
    s_publish (driver, 1, 5);
    driver_wait (driver, 1000);
    s_publish (driver, 6, 5);
    driver_wait (driver, 1000);
    s_publish (driver, 11, 5);
    driver_hello (driver, 2, "taker");
    static const struct {
        const char *group;
        leat_start_t start;
        uint64_t value;
        uint64_t first;
    } cases[] = {
        { "first", LEAT_START_LATEST, 0, 0 }, /* the first group gets what nobody has settled */
        { "early", LEAT_START_EARLIEST, 0, 0 },    { "late", LEAT_START_LATEST, 0, 15 },
        { "offset", LEAT_START_OFFSET, 7, 7 },     { "beyond", LEAT_START_OFFSET, 99, 15 },
        { "time", LEAT_START_TIME, 1000, 5 },      { "between", LEAT_START_TIME, 1001, 10 },
        { "future", LEAT_START_TIME, 999999, 15 }, { "past", LEAT_START_TIME, 0, 0 },
    };
    for (uint32_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        leat_command_t attach = driver_attach_command (i, "orders", cases[i].group, 100, 1);
        attach.attach.start = (uint8_t) cases[i].start;
        attach.attach.start_value = cases[i].value;
        if (cases[i].start == LEAT_START_TIME)
            attach.attach.start_value += time_ms;
        driver_send (driver, 2, &attach);
        driver_expect (driver, 2, LEAT_ATTACHED);
        uint64_t offset = cases[i].first;
        while (offset < 15) {
            leat_batch_t batch = driver_expect_any_deliver (driver, 2);
            assert_int_equal (batch.channel, i);
            assert_int_equal (batch.first, offset);
            offset += batch.count;
        }
        driver_expect_nothing (driver, 2);
    }
    /* All of them get what is new. */
    s_publish (driver, 16, 1);
    uint32_t channels = 0;
    for (uint32_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        leat_batch_t batch = driver_expect_any_deliver (driver, 2);
        assert_int_equal (batch.first, 15);
        channels |= 1u << batch.channel;
    }
    assert_int_equal (channels, (1u << sizeof cases / sizeof *cases) - 1);
    driver_destroy (&driver);
}

/* A whole batch keeps the producer's checksum and time; slices have their own. */
static void test_whole_and_slices (void **state)
{
    driver_t *driver = s_begin (NULL);
    s_consumer (driver, 2, 10, 1);
    s_publish (driver, 1, 10);
    leat_batch_t batch = driver_expect_deliver (driver, 2, 1, 0, 10);
    leat_buffer_t *body = driver_body (driver, 1, 10);
    assert_int_equal (batch.crc32c,
                      leat_crc32c (leat_buffer_bytes (body), leat_buffer_size (body)));
    leat_buffer_release (&body);
    assert_int_equal (batch.time_ms, driver->wall_ms);
    assert_int_equal (batch.attempt, 1);
    assert_int_equal (batch.flags, 0);
    assert_true (batch.epoch >> 20 == 1);
    assert_int_equal (driver_statistics (driver).slices_cut, 0);
    s_publish (driver, 11, 300);
    driver_expect_nothing (driver, 2);
    driver_settle (driver, 2, 1, batch.epoch, 0, 10, LEAT_ACK);
    leat_batch_t slice = driver_expect_deliver (driver, 2, 1, 10, 10);
    assert_true (slice.epoch > batch.epoch);
    assert_int_equal (driver_statistics (driver).slices_cut, 1);
    /* Odd sizes across the body's index. */
    uint64_t offset = 20;
    for (uint32_t i = 0; offset < 310; i++) {
        uint32_t credit = i % 3 == 0 ? 63 : i % 3 == 1 ? 65 : 1;
        driver_allow (driver, 2, 1, 0, 1 << 20);
        driver_settle (driver, 2, 1, slice.epoch, slice.first, slice.count, LEAT_ACK);
        driver_allow (driver, 2, 1, credit, 1 << 20);
        uint64_t left = 310 - offset;
        slice = driver_expect_deliver (driver, 2, 1, offset,
                                       (uint32_t) (left < credit ? left : credit));
        offset += slice.count;
    }
    driver_destroy (&driver);
}

/* Consumers share what is ready: a few records at first, twice as many each time they settle. */
static void test_fair_share (void **state)
{
    driver_t *driver = s_begin (NULL);
    for (uint64_t peer = 2; peer <= 5; peer++)
        s_consumer (driver, peer, 1000, 1);
    s_publish (driver, 1, 400);
    uint32_t total[6] = { 0 };
    unsigned rounds = 0;
    while (driver_group (driver, "orders").settled < 200) {
        leat_settle_entry_t entries[6][20];
        uint32_t counts[6] = { 0 };
        for (uint64_t peer = 2; peer <= 5; peer++) {
            uint32_t mine = 0;
            while (driver_waiting (driver, peer)) {
                leat_batch_t batch = driver_expect_any_deliver (driver, peer);
                entries[peer][counts[peer]++] =
                    (leat_settle_entry_t){ batch.epoch, batch.first, batch.count, 0, LEAT_ACK };
                mine += batch.count;
            }
            total[peer] += mine;
            if (rounds == 0)
                assert_int_equal (mine, 2);
            assert_true (mine <= 400 / 3);
        }
        driver_wait (driver, 1);
        for (uint64_t peer = 2; peer <= 5; peer++)
            if (counts[peer])
                driver_settle_full (driver, peer, 1, entries[peer], counts[peer], 0, NULL);
        rounds++;
    }
    assert_true (rounds <= 20);
    for (uint64_t peer = 2; peer <= 5; peer++)
        assert_true (total[peer] >= 40 && total[peer] <= 150);
    driver_destroy (&driver);
}

/* Single records go to whoever has least. */
static void test_least_loaded (void **state)
{
    driver_t *driver = s_begin (NULL);
    for (uint64_t peer = 2; peer <= 4; peer++)
        s_consumer (driver, peer, 1000, 1);
    leat_batch_t first[3];
    for (uint64_t i = 0; i < 6; i++) {
        s_publish (driver, i + 1, 1);
        leat_batch_t batch = driver_expect_deliver (driver, 2 + i % 3, 1, i, 1);
        if (i < 3)
            first[i] = batch;
    }
    /* Nobody has settled anything yet, so nobody gets more. */
    s_publish (driver, 7, 1);
    for (uint64_t peer = 2; peer <= 4; peer++)
        driver_expect_nothing (driver, peer);
    /* Peer 3 settles one, so the next is its. */
    driver_settle (driver, 3, 1, first[1].epoch, 1, 1, LEAT_ACK);
    driver_expect_deliver (driver, 3, 1, 6, 1);
    driver_destroy (&driver);
}

static void test_credit_of_records (void **state)
{
    driver_t *driver = s_begin (NULL);
    s_consumer (driver, 2, 0, 1);
    s_publish (driver, 1, 20);
    driver_expect_nothing (driver, 2);
    driver_allow (driver, 2, 1, 5, 1 << 20);
    leat_batch_t batch = driver_expect_deliver (driver, 2, 1, 0, 5);
    /* Lower than what is outstanding: nothing until enough is settled. */
    driver_allow (driver, 2, 1, 2, 1 << 20);
    driver_settle (driver, 2, 1, batch.epoch, 0, 3, LEAT_ACK);
    driver_expect_nothing (driver, 2);
    driver_settle (driver, 2, 1, batch.epoch, 3, 1, LEAT_ACK);
    driver_expect_deliver (driver, 2, 1, 5, 1);
    driver_allow (driver, 2, 1, 1000001, 1);
    driver_expect_refused (driver, 2, LEAT_ALLOW, LEAT_TOO_LARGE);
    driver_allow (driver, 2, 1, 1000, 0); /* bytes count too */
    driver_expect_nothing (driver, 2);
    driver_allow (driver, 2, 1, 1000, 1 << 20);
    driver_expect_deliver (driver, 2, 1, 6, 14);
    driver_destroy (&driver);
}

/* Bytes are counted; one record always fits a consumer that has nothing. */
static void test_credit_of_bytes (void **state)
{
    driver_t *driver = s_begin (NULL);
    driver->record_size = 100;
    s_consumer (driver, 2, 0, 1);
    s_publish (driver, 1, 10);
    driver_allow (driver, 2, 1, 100, 104 * 3 + 103);
    leat_batch_t batch = driver_expect_deliver (driver, 2, 1, 0, 3);
    driver_expect_nothing (driver, 2);
    driver_settle (driver, 2, 1, batch.epoch, 1, 1, LEAT_ACK);
    leat_batch_t next = driver_expect_deliver (driver, 2, 1, 3, 1);
    driver_expect_nothing (driver, 2);
    driver_allow (driver, 2, 1, 100, 50); /* less than one record */
    driver_settle (driver, 2, 1, batch.epoch, 0, 1, LEAT_ACK);
    driver_settle (driver, 2, 1, batch.epoch, 2, 1, LEAT_ACK);
    driver_expect_nothing (driver, 2);
    driver_settle (driver, 2, 1, next.epoch, 3, 1, LEAT_ACK);
    next = driver_expect_deliver (driver, 2, 1, 4, 1);
    driver_expect_nothing (driver, 2);
    driver_settle (driver, 2, 1, next.epoch, 4, 1, LEAT_ACK);
    driver_expect_deliver (driver, 2, 1, 5, 1);
    driver_destroy (&driver);
}

/* Parts of a lease are settled in any order; the rest stays leased under its epoch. */
static void test_partial_settles (void **state)
{
    driver_t *driver = s_begin (NULL);
    s_consumer (driver, 2, 100, 100);
    s_publish (driver, 1, 100);
    leat_batch_t batch = driver_expect_deliver (driver, 2, 1, 0, 100);
    static const uint8_t order[] = { 50, 3, 97, 20, 77, 0, 10, 60, 99, 42 };
    for (size_t i = 0; i < sizeof order; i++) {
        driver_settle (driver, 2, 1, batch.epoch, order[i], 1, LEAT_ACK);
        assert_int_equal (driver_group (driver, "orders").in_flight, 99 - i);
    }
    /* A range over holes and beyond the end settles what is there. */
    driver_settle (driver, 2, 1, batch.epoch, 40, 30, LEAT_ACK);
    assert_int_equal (driver_group (driver, "orders").in_flight, 90 - 27);
    driver_settle (driver, 2, 1, batch.epoch, 90, 1000, LEAT_ACK);
    assert_int_equal (driver_group (driver, "orders").in_flight, 90 - 27 - 8);
    driver_settle (driver, 2, 1, batch.epoch, 0, 200, LEAT_ACK);
    assert_int_equal (driver_group (driver, "orders").in_flight, 0);
    assert_int_equal (driver_group (driver, "orders").settled, 100);
    assert_int_equal (driver_statistics (driver).held_size, 0);
    driver_destroy (&driver);
}

static void test_stale (void **state)
{
    driver_t *driver = s_begin (NULL);
    s_consumer (driver, 2, 5, 1);
    s_consumer (driver, 3, 5, 1);
    s_publish (driver, 1, 5);
    s_publish (driver, 6, 5);
    leat_batch_t mine = driver_expect_any_deliver (driver, 2);
    leat_batch_t theirs = driver_expect_any_deliver (driver, 3);
    driver_drop (driver, 0);
    driver_allow (driver, 2, 1, 0, 1 << 20); /* nothing more comes in between */
    driver_allow (driver, 3, 1, 0, 1 << 20);
    /* Never had: another's lease, another epoch, an offset that does not exist. */
    leat_settle_entry_t entries[] = {
        { theirs.epoch, theirs.first, 2, 0, LEAT_ACK },
        { mine.epoch + 1000, mine.first, 1, 0, LEAT_REJECT },
        { mine.epoch, 12345, 7, 0, LEAT_NACK },
        { mine.epoch, mine.first, 1, 0, LEAT_ACK },
    };
    driver_settle_full (driver, 2, 1, entries, 4, 55, NULL);
    const leat_stale_t *stale = &driver_expect (driver, 2, LEAT_STALE)->stale;
    assert_int_equal (stale->token, 55);
    assert_int_equal (stale->ranges.count, 3);
    for (uint32_t i = 0; i < 3; i++) {
        leat_range_t range = leat_ranges_get (&stale->ranges, i);
        assert_true (range.epoch == entries[i].epoch && range.first == entries[i].first
                     && range.count == entries[i].count);
    }
    assert_int_equal (driver_expect (driver, 2, LEAT_SETTLED)->settled.token, 55);
    assert_int_equal (driver_statistics (driver).settles_stale, 3);
    assert_int_equal (driver_statistics (driver).records_settled, 1);
    /* Twice is harmless. */
    driver_settle_full (driver, 2, 1, entries + 3, 1, 56, NULL);
    assert_int_equal (driver_expect (driver, 2, LEAT_SETTLED)->settled.token, 56);
    driver_expect_nothing (driver, 2);
    assert_int_equal (driver_statistics (driver).records_settled, 1);
    driver_settle (driver, 3, 1, theirs.epoch, theirs.first, theirs.count, LEAT_ACK);
    driver_destroy (&driver);
}

/* The former holder of a lease cannot settle it on a new session. */
static void test_stale_after_loss (void **state)
{
    driver_t *driver = s_begin (NULL);
    s_consumer (driver, 2, 5, 0);
    s_publish (driver, 1, 5);
    leat_batch_t old = driver_expect_deliver (driver, 2, 1, 0, 5);
    driver_lose (driver, 2);
    s_consumer (driver, 3, 5, 0);
    /* It never reported, unless that was lost with it: then it has started the first one. */
    leat_batch_t new = driver_expect_deliver (driver, 3, 1, 0, 1);
    assert_true (new.epoch > old.epoch);
    assert_int_equal (new.flags, LEAT_DELIVER_REDELIVERED);
    assert_int_equal (new.attempt, 1);
    driver_settle (driver, 2, 1, old.epoch, 0, 5, LEAT_ACK);
    driver_expect_nothing (driver, 2);
    driver_settle (driver, 3, 1, old.epoch, 0, 5, LEAT_ACK);
    driver_expect (driver, 3, LEAT_STALE);
    assert_int_equal (driver_group (driver, "orders").in_flight, 1);
    driver_destroy (&driver);
}

static void test_returned (void **state)
{
    driver_t *driver = s_begin (NULL);
    s_consumer (driver, 2, 10, 10);
    s_publish (driver, 1, 10);
    leat_batch_t batch = driver_expect_deliver (driver, 2, 1, 0, 10);
    driver_allow (driver, 2, 1, 0, 1 << 20);
    driver_return (driver, 2, 1, batch.epoch, 6, 2);
    driver_return (driver, 2, 1, batch.epoch, 2, 3);
    driver_return (driver, 2, 1, batch.epoch, 5, 1);
    driver_return (driver, 2, 1, batch.epoch, 5, 2);     /* nothing any more */
    driver_return (driver, 2, 1, batch.epoch + 9, 0, 1); /* no such lease */
    assert_int_equal (driver_statistics (driver).settles_stale, 2);
    assert_int_equal (driver_group (driver, "orders").ready, 6);
    /* Clean: as if it had never been delivered, and joined to one range. */
    s_consumer (driver, 3, 10, 10);
    batch = driver_expect_deliver (driver, 3, 1, 2, 6);
    assert_int_equal (batch.flags, 0);
    assert_int_equal (batch.attempt, 1);
    assert_int_equal (driver_statistics (driver).records_returned, 6);
    driver_destroy (&driver);
}

/* ---- EMPTY ----------------------------------------------------------------------------------- */

static void test_empty (void **state)
{
    driver_t *driver = s_begin (NULL);
    s_consumer (driver, 2, 10, 10);
    s_consumer (driver, 3, 0, 10);
    driver_ask_empty (driver, 2, 1, 1);
    assert_int_equal (driver_expect (driver, 2, LEAT_EMPTY)->empty.token, 1);
    driver_turn (driver);
    driver_expect_nothing (driver, 2); /* once */
    /* Being committed. */
    driver->store = DRIVER_HOLD;
    driver_publish (driver, 1, 1, 1, 3);
    driver_ask_empty (driver, 3, 1, 2);
    driver_expect_nothing (driver, 3);
    driver->store = DRIVER_OK;
    driver_complete (driver, 0, LEAT_COMMIT_OK);
    driver_turn (driver);
    /* In flight at somebody else. */
    leat_batch_t batch = driver_expect_deliver (driver, 2, 1, 0, 3);
    driver_expect_nothing (driver, 3);
    driver_settle (driver, 2, 1, batch.epoch, 0, 1, LEAT_ACK);
    leat_settle_entry_t nack = { batch.epoch, 1, 1, 500, LEAT_NACK };
    driver_settle_full (driver, 2, 1, &nack, 1, 0, NULL);
    driver_allow (driver, 2, 1, 0, 0);
    driver_return (driver, 2, 1, batch.epoch, 2, 1);
    /* One delayed, one ready. A newer question replaces the older one. */
    driver_ask_empty (driver, 3, 1, 3);
    driver_expect_nothing (driver, 3);
    driver_allow (driver, 2, 1, 10, 1 << 20);
    batch = driver_expect_deliver (driver, 2, 1, 2, 1);
    driver_settle (driver, 2, 1, batch.epoch, 2, 1, LEAT_ACK);
    driver_expect_nothing (driver, 3);
    driver_wait (driver, 500);
    driver_expect_deliver (driver, 2, 1, 1, 1);
    driver_expect_nothing (driver, 3);
    /* A suspect. */
    driver_lose (driver, 2);
    driver_expect_nothing (driver, 3);
    driver_allow (driver, 3, 1, 10, 1 << 20);
    batch = driver_expect_deliver (driver, 3, 1, 1, 1);
    driver_settle (driver, 3, 1, batch.epoch, 1, 1, LEAT_REJECT);
    driver_turn (driver);
    assert_int_equal (driver_expect (driver, 3, LEAT_EMPTY)->empty.token, 3);
    driver_expect_nothing (driver, 3);
    driver_destroy (&driver);
}

/* What the store refuses is not there: EMPTY may be said. */
static void test_empty_after_refusal (void **state)
{
    driver_t *driver = s_begin (NULL);
    s_consumer (driver, 2, 10, 10);
    driver->store = DRIVER_HOLD;
    driver_publish (driver, 1, 1, 1, 3);
    driver_ask_empty (driver, 2, 1, 8);
    driver_expect_nothing (driver, 2);
    driver_complete (driver, 0, LEAT_COMMIT_REFUSED);
    driver_expect (driver, 2, LEAT_EMPTY);
    driver_destroy (&driver);
}

/* ---- LEAVE ----------------------------------------------------------------------------------- */

static void test_leave (void **state)
{
    driver_t *driver = s_begin (NULL);
    s_consumer (driver, 2, 10, 10);
    s_publish (driver, 1, 10);
    leat_batch_t batch = driver_expect_deliver (driver, 2, 1, 0, 10);
    driver->store = DRIVER_HOLD;
    driver_settle (driver, 2, 1, batch.epoch, 0, 4, LEAT_ACK);
    driver_leave (driver, 2, 1);
    driver_expect_nothing (driver, 2); /* LEFT when the settles are committed */
    driver_leave (driver, 2, 1);
    driver_expect_refused (driver, 2, LEAT_LEAVE, LEAT_BAD_STATE);
    driver_settle (driver, 2, 1, batch.epoch, 4, 1, LEAT_ACK);
    driver_expect (driver, 2, LEAT_STALE);
    assert_int_equal (driver_group (driver, "orders").ready, 6);
    driver_complete (driver, 0, LEAT_COMMIT_OK);
    const leat_left_t *left = &driver_expect (driver, 2, LEAT_LEFT)->left;
    assert_int_equal (left->channel, 1);
    assert_int_equal (left->code, LEAT_OK);
    driver->store = DRIVER_OK;
    driver_leave (driver, 2, 1);
    driver_expect_refused (driver, 2, LEAT_LEAVE, LEAT_NO_SUCH_CHANNEL);
    driver_attach (driver, 2, 1, "orders", 10, 1); /* the number is free */
    batch = driver_expect_deliver (driver, 2, 1, 4, 6);
    assert_int_equal (batch.flags, 0);
    driver_destroy (&driver);
}

/* BYE returns clean what is leased, although it was reported. */
static void test_bye (void **state)
{
    driver_t *driver = s_begin (NULL);
    s_consumer (driver, 2, 10, 10);
    s_publish (driver, 1, 10);
    driver_expect_deliver (driver, 2, 1, 0, 10);
    driver_report (driver, 2, 1, 5);
    leat_command_t bye = { .id = LEAT_BYE };
    driver_send (driver, 2, &bye);
    driver_expect (driver, 2, LEAT_BYE);
    s_consumer (driver, 3, 10, 10);
    assert_int_equal (driver_expect_deliver (driver, 3, 1, 0, 10).flags, 0);
    driver_destroy (&driver);
}

/* One session, two channels in the same group, and records of several producers in order. */
static void test_channels_of_one_session (void **state)
{
    driver_t *driver = s_begin (NULL);
    driver_hello (driver, 2, "taker");
    driver_attach (driver, 2, 1, "orders", 3, 1);
    driver_attach (driver, 2, 2, "orders", 3, 1);
    s_publish (driver, 1, 4);
    leat_batch_t a = driver_expect_deliver (driver, 2, 1, 0, 2);
    leat_batch_t b = driver_expect_deliver (driver, 2, 2, 2, 2);
    driver_settle (driver, 2, 2, a.epoch, 0, 2, LEAT_ACK); /* the other channel's lease */
    assert_int_equal (driver_expect (driver, 2, LEAT_STALE)->stale.channel, 2);
    driver_settle (driver, 2, 1, a.epoch, 0, 2, LEAT_ACK);
    driver_settle (driver, 2, 2, b.epoch, 2, 2, LEAT_ACK);
    assert_int_equal (driver_group (driver, "orders").settled, 4);
    driver_destroy (&driver);
}

/* Batches of 1, 2, 1, 3 and 1 records, at the offsets 0, 1, 3, 4 and 7. */
static driver_t *s_begin_small (void)
{
    static const uint32_t counts[] = { 1, 2, 1, 3, 1 };
    driver_t *driver = s_begin (NULL);
    uint64_t sequence = 1;
    for (size_t i = 0; i < sizeof counts / sizeof *counts; i++) {
        s_publish (driver, sequence, counts[i]);
        sequence += counts[i];
    }
    return driver;
}

static uint64_t s_joined (const driver_t *driver)
{
    return driver_statistics (driver).slices_joined;
}

/* Small batches that are ready go out in one message and under one lease, which is settled, returned
 * and lost across their borders. */
static void test_small_batches_joined (void **state)
{
    driver_t *driver = s_begin_small ();
    s_publish (driver, 9, 300); /* is not small */
    s_publish (driver, 309, 1);
    s_consumer (driver, 2, 10000, 1);
    uint64_t epoch = driver_expect_deliver (driver, 2, 1, 0, 1).epoch;
    assert_int_equal (driver_expect_deliver (driver, 2, 1, 1, 2).epoch, epoch);
    assert_int_equal (driver_expect_deliver (driver, 2, 1, 3, 1).epoch, epoch);
    assert_int_equal (driver_expect_deliver (driver, 2, 1, 4, 3).epoch, epoch);
    assert_int_equal (driver_expect_deliver (driver, 2, 1, 7, 1).epoch, epoch);
    assert_int_equal (s_joined (driver), 4);
    leat_batch_t large = driver_expect_deliver (driver, 2, 1, 8, 300);
    assert_true (large.epoch > epoch);
    driver_settle (driver, 2, 1, large.epoch, 8, 300, LEAT_ACK);
    assert_true (driver_expect_deliver (driver, 2, 1, 308, 1).epoch > large.epoch);
    assert_int_equal (s_joined (driver), 4);

    driver_settle (driver, 2, 1, epoch, 2, 3, LEAT_ACK);
    assert_int_equal (driver_group (driver, "orders").settled, 303);
    driver_return (driver, 2, 1, epoch, 5, 3);
    leat_batch_t again = driver_expect_deliver (driver, 2, 1, 5, 2);
    assert_true (again.epoch > epoch);
    assert_int_equal (driver_expect_deliver (driver, 2, 1, 7, 1).epoch, again.epoch);
    assert_int_equal (s_joined (driver), 5);
    driver_settle (driver, 2, 1, epoch, 0, 2, LEAT_NACK);
    assert_int_equal (driver_group (driver, "orders").delayed, 2);
    /* It holds 308, which is a suspect then, and 5 to 7. */
    driver_lose (driver, 2);
    s_consumer (driver, 3, 10000, 1);
    driver_wait (driver, 10000);
    uint32_t got = 0;
    while (driver_waiting (driver, 3) > 0) {
        leat_batch_t batch = driver_expect_any_deliver (driver, 3);
        assert_int_equal (batch.attempt, batch.first < 2 ? 2 : 1);
        driver_settle (driver, 3, 1, batch.epoch, batch.first, batch.count, LEAT_ACK);
        got += batch.count;
    }
    assert_int_equal (got, 6);
    assert_int_equal (driver_group (driver, "orders").settled, 309);
    driver_destroy (&driver);
}

/* Joining gives nobody more than its credit, nor more than its part. */
static void test_joined_within_credit (void **state)
{
    driver_t *driver = s_begin_small ();
    s_consumer (driver, 2, 5, 1);
    uint64_t epoch = driver_expect_deliver (driver, 2, 1, 0, 1).epoch;
    driver_expect_deliver (driver, 2, 1, 1, 2);
    driver_expect_deliver (driver, 2, 1, 3, 1);
    assert_true (driver_expect_deliver (driver, 2, 1, 4, 1).epoch > epoch);
    driver_expect_nothing (driver, 2);
    assert_int_equal (s_joined (driver), 2);
    driver_destroy (&driver);

    driver = s_begin_small ();
    driver_hello (driver, 2, "bytes");
    leat_command_t attach = driver_attach_command (1, "orders", "default", 100, 1);
    leat_buffer_t *body = driver_body (driver, 1, 4);
    attach.attach.credit_size = leat_buffer_size (body);
    leat_buffer_release (&body);
    driver_send (driver, 2, &attach);
    driver_expect (driver, 2, LEAT_ATTACHED);
    driver_expect_deliver (driver, 2, 1, 0, 1);
    driver_expect_deliver (driver, 2, 1, 1, 2);
    driver_expect_deliver (driver, 2, 1, 3, 1);
    driver_expect_nothing (driver, 2);
    driver_destroy (&driver);

    driver = s_begin (NULL);
    driver_hello (driver, 2, "a");
    driver_hello (driver, 3, "b");
    driver_attach (driver, 2, 1, "orders", 0, 1);
    driver_attach (driver, 3, 1, "orders", 0, 1);
    for (uint64_t sequence = 1; sequence <= 8; sequence++)
        s_publish (driver, sequence, 1);
    for (uint64_t peer = 2; peer <= 3; peer++) {
        leat_command_t allow = { .id = LEAT_ALLOW };
        allow.allow = (leat_allow_t){ 1, 100, 1 << 20 };
        driver_post (driver, peer, &allow);
    }
    driver_turn (driver);
    uint64_t first = driver_expect_deliver (driver, 2, 1, 0, 1).epoch;
    assert_int_equal (driver_expect_deliver (driver, 2, 1, 1, 1).epoch, first);
    uint64_t second = driver_expect_deliver (driver, 3, 1, 2, 1).epoch;
    assert_int_equal (driver_expect_deliver (driver, 3, 1, 3, 1).epoch, second);
    driver_expect_nothing (driver, 2);
    driver_expect_nothing (driver, 3);
    driver_destroy (&driver);
}

int main (void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test (test_attach),
        cmocka_unit_test (test_starts),
        cmocka_unit_test (test_whole_and_slices),
        cmocka_unit_test (test_fair_share),
        cmocka_unit_test (test_least_loaded),
        cmocka_unit_test (test_credit_of_records),
        cmocka_unit_test (test_credit_of_bytes),
        cmocka_unit_test (test_partial_settles),
        cmocka_unit_test (test_stale),
        cmocka_unit_test (test_stale_after_loss),
        cmocka_unit_test (test_returned),
        cmocka_unit_test (test_empty),
        cmocka_unit_test (test_empty_after_refusal),
        cmocka_unit_test (test_leave),
        cmocka_unit_test (test_bye),
        cmocka_unit_test (test_channels_of_one_session),
        cmocka_unit_test (test_small_batches_joined),
        cmocka_unit_test (test_joined_within_credit),
    };
    return cmocka_run_group_tests (tests, NULL, NULL);
}

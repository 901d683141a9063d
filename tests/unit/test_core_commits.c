/* The core and a store that is late, refuses, fails; waiters; shutdown.
 * SPDX-License-Identifier: MPL-2.0 */
#include "tests/unit/core_driver.h"

static driver_t *s_begin (const leat_limits_t *limits)
{
    driver_t *driver = driver_new (limits);
    driver_hello (driver, 1, "mill");
    driver_open (driver, 1, 1, "orders");
    driver_hello (driver, 2, "taker");
    driver_attach (driver, 2, 1, "orders", 100, 5);
    return driver;
}

static void s_expect_confirmed (driver_t *driver, uint64_t peer, uint64_t sequence, uint64_t offset)
{
    const leat_confirmed_t *confirmed = &driver_expect (driver, peer, LEAT_CONFIRMED)->confirmed;
    assert_int_equal (confirmed->sequence, sequence);
    assert_int_equal (confirmed->offset, offset);
}

static void s_expect_store_full (driver_t *driver, uint64_t peer, uint32_t flight,
                                 uint64_t expected)
{
    const leat_refused_t *refused =
        driver_expect_refused (driver, peer, LEAT_PUBLISH, LEAT_STORE_FULL);
    assert_int_equal (refused->flight, flight);
    assert_int_equal (refused->first, expected);
    assert_int_equal (refused->expected, expected);
}

/* Nothing is confirmed or delivered before the store has it. */
static void test_late (void **state)
{
    driver_t *driver = s_begin (NULL);
    driver->store = DRIVER_HOLD;
    driver_publish (driver, 1, 1, 1, 3);
    driver_publish (driver, 1, 1, 4, 3);
    driver_wait (driver, 1000);
    driver_expect_nothing (driver, 1);
    driver_expect_nothing (driver, 2);
    assert_int_equal (driver->pending_count, 2);
    driver_complete (driver, 1, LEAT_COMMIT_OK);
    s_expect_confirmed (driver, 1, 3, 2);
    leat_batch_t batch = driver_expect_deliver (driver, 2, 1, 0, 3);
    driver_expect_nothing (driver, 2);
    driver_complete (driver, 1, LEAT_COMMIT_OK);
    s_expect_confirmed (driver, 1, 6, 5);
    driver_expect_deliver (driver, 2, 1, 3, 3);
    /* SETTLED comes when the settle is committed. */
    leat_settle_entry_t entry = { batch.epoch, 0, 3, 0, LEAT_ACK };
    driver_settle_full (driver, 2, 1, &entry, 1, 9, NULL);
    driver_expect_nothing (driver, 2);
    driver_complete (driver, 0, LEAT_COMMIT_OK);
    const leat_settled_t *settled = &driver_expect (driver, 2, LEAT_SETTLED)->settled;
    assert_int_equal (settled->token, 9);
    assert_int_equal (settled->flags, 0);
    driver_destroy (&driver);
}

/* Without CONFIRM settles are collected, but not for longer than settle_delay. */
static void test_settle_delay (void **state)
{
    driver_t *driver = s_begin (NULL);
    driver_publish (driver, 1, 1, 1, 10);
    leat_batch_t batch = driver_expect_deliver (driver, 2, 1, 0, 10);
    size_t kept = driver->kept_count;
    for (uint64_t offset = 0; offset < 10; offset++)
        driver_settle (driver, 2, 1, batch.epoch, offset, 1, LEAT_ACK);
    assert_int_equal (driver->kept_count, kept);
    assert_true (leat_core_deadline (driver->core) <= driver->now_us + 100000);
    driver_wait (driver, 99);
    assert_int_equal (driver->kept_count, kept);
    driver_wait (driver, 1);
    assert_int_equal (driver->kept_count, kept + 1);
    driver_wait (driver, 1000);
    assert_int_equal (driver->kept_count, kept + 1);
    driver_destroy (&driver);
}

/* The refused commit takes everything under way along; sequences and offsets go back. */
static void test_refused (void **state)
{
    driver_t *driver = s_begin (NULL);
    driver_publish (driver, 1, 1, 1, 3);
    s_expect_confirmed (driver, 1, 3, 2);
    driver_expect_deliver (driver, 2, 1, 0, 3);
    driver->store = DRIVER_HOLD;
    driver_publish_flight (driver, 1, 1, 4, 2, 7);
    driver_publish_flight (driver, 1, 1, 6, 4, 7);
    driver_publish_flight (driver, 1, 1, 10, 1, 7);
    driver_complete (driver, 1, LEAT_COMMIT_REFUSED);
    s_expect_store_full (driver, 1, 7, 4);
    driver_expect_nothing (driver, 1); /* one refusal takes the others along */
    leat_stream_statistics_t stream = driver_stream (driver, "orders");
    assert_int_equal (stream.next_offset, 3);
    assert_int_equal (stream.held, 3);
    /* One that was on its way is out of sequence. */
    driver_publish_flight (driver, 1, 1, 11, 1, 7);
    const leat_refused_t *refused =
        driver_expect_refused (driver, 1, LEAT_PUBLISH, LEAT_OUT_OF_SEQUENCE);
    assert_int_equal (refused->expected, 4);
    /* The client goes back while commits of the refused chain are still under way. */
    driver_publish_flight (driver, 1, 1, 4, 7, 8);
    assert_int_equal (driver->pending_count, 3);
    driver_complete (driver, 2,
                     LEAT_COMMIT_OK); /* the store refuses them whatever it has room for */
    driver_expect_nothing (driver, 1);
    driver_expect_nothing (driver, 2);
    driver_complete (driver, 1, LEAT_COMMIT_OK);
    s_expect_confirmed (driver, 1, 10, 9);
    driver_expect_deliver (driver, 2, 1, 3, 7);
    assert_int_equal (driver_statistics (driver).commits_refused, 3);
    driver_restart (driver);
    assert_int_equal (driver_stream (driver, "orders").next_offset, 10);
    driver_destroy (&driver);
}

/* Duplicates of a batch that is then refused: their newer flight is named in the refusal. */
static void test_refused_after_duplicates (void **state)
{
    driver_t *driver = s_begin (NULL);
    driver->store = DRIVER_HOLD;
    driver_publish_flight (driver, 1, 1, 1, 3, 0);
    driver_publish_flight (driver, 1, 1, 1, 3, 1);
    driver_complete (driver, 1, LEAT_COMMIT_REFUSED);
    s_expect_store_full (driver, 1, 1, 1);
    driver_destroy (&driver);
}

/* Two producers and a window: what is refused gives its room back. */
static void test_refused_frees_window (void **state)
{
    leat_limits_t limits = driver_limits ();
    limits.record_size = 6000;
    limits.batch_size = 6008;
    limits.window_size = 7000;
    limits.grant_min_size = 100000;
    driver_t *driver = s_begin (&limits);
    driver->record_size = 6000;
    for (uint32_t flight = 0; flight < 4; flight++) {
        driver->store = DRIVER_REFUSE;
        driver_publish_flight (driver, 1, 1, 1, 1, flight);
        s_expect_store_full (driver, 1, flight, 1);
        assert_int_equal (driver_statistics (driver).held_size, 0);
    }
    driver->store = DRIVER_OK;
    driver_publish_flight (driver, 1, 1, 1, 1, 4);
    s_expect_confirmed (driver, 1, 1, 0);
    driver_destroy (&driver);
}

/* Streams and groups that cannot be created are refused, and can be tried again. */
static void test_refused_creation (void **state)
{
    driver_t *driver = driver_new (NULL);
    driver_hello (driver, 1, "mill");
    driver->store = DRIVER_HOLD;
    leat_command_t open = driver_open_command (1, "orders", 1);
    leat_command_t attach = driver_attach_command (2, "orders", "g", 10, 1);
    driver_send (driver, 1, &open);
    driver_send (driver, 1, &attach);
    attach = driver_attach_command (3, "orders", "h", 10, 1);
    driver_send (driver, 1, &attach);
    driver_expect_nothing (driver, 1);
    /* Nothing goes over a channel that is not open yet. */
    driver_publish (driver, 1, 1, 1, 1);
    driver_expect_refused (driver, 1, LEAT_PUBLISH, LEAT_BAD_STATE);
    driver_leave (driver, 1, 2);
    driver_expect_refused (driver, 1, LEAT_LEAVE, LEAT_BAD_STATE);
    driver_complete (driver, 1, LEAT_COMMIT_REFUSED);
    uint32_t refused = 0;
    while (driver_waiting (driver, 1)) {
        const leat_refused_t *each = &driver_expect (driver, 1, LEAT_REFUSED)->refused;
        assert_int_equal (each->code, LEAT_STORE_FULL);
        assert_int_equal (each->command, each->channel == 1 ? LEAT_OPEN : LEAT_ATTACH);
        refused += each->channel;
    }
    assert_int_equal (refused, 1 + 2 + 3);
    assert_int_equal (driver_statistics (driver).streams, 0);
    driver_complete (driver, 0, LEAT_COMMIT_OK);
    driver->store = DRIVER_OK;
    driver_open (driver, 1, 1, "orders");
    attach = driver_attach_command (2, "orders", "g", 10, 1);
    driver_send (driver, 1, &attach);
    driver_expect (driver, 1, LEAT_ATTACHED);
    driver_restart (driver);
    assert_int_equal (driver_stream (driver, "orders").groups, 1);
    driver_destroy (&driver);
}

/* The first group and one that starts late are refused together: the records stay. */
static void test_refused_groups_keep_records (void **state)
{
    for (int together = 0; together < 2; together++) {
        driver_t *driver = driver_new (NULL);
        driver_hello (driver, 1, "mill");
        driver_open (driver, 1, 1, "orders");
        driver_publish (driver, 1, 1, 1, 10);
        driver_drop (driver, 1);
        driver->store = DRIVER_HOLD;
        leat_command_t first = driver_attach_command (2, "orders", "first", 10, 1);
        leat_command_t late = driver_attach_command (3, "orders", "late", 10, 1);
        late.attach.start = LEAT_START_LATEST;
        driver_post (driver, 1, &first);
        if (!together)
            driver_turn (driver);
        driver_post (driver, 1, &late);
        driver_turn (driver);
        driver_complete (driver, 0, LEAT_COMMIT_REFUSED);
        driver_expect_refused (driver, 1, LEAT_ATTACH, LEAT_STORE_FULL);
        driver_expect_refused (driver, 1, LEAT_ATTACH, LEAT_STORE_FULL);
        assert_int_equal (driver_stream (driver, "orders").held, 10);
        driver->store = DRIVER_OK;
        driver_send (driver, 1, &first);
        driver_expect (driver, 1, LEAT_ATTACHED);
        driver_expect_deliver (driver, 1, 2, 0, 10);
        driver_destroy (&driver);
    }
}

/* A refused group beside one that lives: batches that only it held back go. */
static void test_refused_second_group (void **state)
{
    driver_t *driver = s_begin (NULL);
    driver_publish (driver, 1, 1, 1, 10);
    leat_batch_t batch = driver_expect_deliver (driver, 2, 1, 0, 10);
    driver->store = DRIVER_HOLD;
    leat_command_t second = driver_attach_command (2, "orders", "second", 10, 1);
    driver_send (driver, 2, &second);
    driver_settle (driver, 2, 1, batch.epoch, 0, 10, LEAT_ACK);
    assert_int_equal (driver_stream (driver, "orders").held, 10);
    driver_complete (driver, 0, LEAT_COMMIT_REFUSED);
    driver_expect_refused (driver, 2, LEAT_ATTACH, LEAT_STORE_FULL);
    assert_int_equal (driver_stream (driver, "orders").held, 0);
    driver_destroy (&driver);
}

/* Refused settles are written again; who waits for them is answered then, in order. */
static void test_refused_settles (void **state)
{
    driver_t *driver = s_begin (NULL);
    driver_publish (driver, 1, 1, 1, 10);
    leat_batch_t batch = driver_expect_deliver (driver, 2, 1, 0, 10);
    driver->store = DRIVER_HOLD;
    for (uint64_t i = 0; i < 3; i++) {
        leat_settle_entry_t entry = { batch.epoch, i * 2 + 1, 1, 0, LEAT_ACK };
        driver_settle_full (driver, 2, 1, &entry, 1, i + 1, NULL);
    }
    assert_int_equal (driver->pending_count, 3);
    /* A fourth waits for the next commit while the others are refused. */
    leat_settle_entry_t entry = { batch.epoch, 8, 1, 0, LEAT_ACK };
    leat_command_t fourth = { .id = LEAT_SETTLE };
    fourth.settle.channel = 1;
    fourth.settle.flags = LEAT_SETTLE_CONFIRM;
    fourth.settle.token = 4;
    fourth.settle.entries = (leat_settles_t){ .count = 1, .entries = &entry };
    driver_post (driver, 2, &fourth);
    driver_complete (driver, 3, LEAT_COMMIT_REFUSED);
    driver_expect_nothing (driver, 2);
    driver_wait (driver, 100);
    driver_complete (driver, 0, LEAT_COMMIT_OK);
    for (uint64_t token = 1; token <= 4; token++)
        assert_int_equal (driver_expect (driver, 2, LEAT_SETTLED)->settled.token, token);
    driver->store = DRIVER_OK;
    driver_restart (driver);
    leat_group_statistics_t group = driver_group (driver, "orders");
    assert_int_equal (group.ready, 6);
    driver_destroy (&driver);
}

/* The store refuses data for an hour and takes settles: nothing stops but publishing. */
static void test_full_store_takes_settles (void **state)
{
    driver_t *driver = s_begin (NULL);
    driver_publish (driver, 1, 1, 1, 10);
    s_expect_confirmed (driver, 1, 10, 9);
    leat_batch_t batch = driver_expect_deliver (driver, 2, 1, 0, 10);
    driver->store = DRIVER_REFUSE;
    driver_publish (driver, 1, 1, 11, 1);
    s_expect_store_full (driver, 1, 0, 11);
    driver->store = DRIVER_OK;
    leat_settle_entry_t entry = { batch.epoch, 0, 10, 0, LEAT_ACK };
    driver_settle_full (driver, 2, 1, &entry, 1, 5, NULL);
    driver_expect (driver, 2, LEAT_SETTLED);
    driver_destroy (&driver);
}

/* A store that says that it is full is not asked to keep records; everything else goes on. */
static void test_full_store_is_not_asked (void **state)
{
    driver_t *driver = s_begin (NULL);
    driver_publish (driver, 1, 1, 1, 10);
    s_expect_confirmed (driver, 1, 10, 9);
    leat_batch_t batch = driver_expect_deliver (driver, 2, 1, 0, 10);
    uint64_t commits = driver_statistics (driver).commits;
    leat_core_store_full (driver->core, true);
    driver_publish (driver, 1, 1, 11, 1);
    s_expect_store_full (driver, 1, 0, 11);
    assert_int_equal (driver_statistics (driver).commits, commits);
    leat_settle_entry_t entry = { batch.epoch, 0, 10, 0, LEAT_ACK };
    driver_settle_full (driver, 2, 1, &entry, 1, 5, NULL);
    driver_expect (driver, 2, LEAT_SETTLED);
    leat_core_store_full (driver->core, false);
    driver_publish (driver, 1, 1, 11, 1);
    s_expect_confirmed (driver, 1, 11, 10);
    driver_destroy (&driver);
}

/* How many operations of a kind the commit has. */
static unsigned s_count (const leat_commit_t *commit, leat_operation_id_t id)
{
    unsigned count = 0;
    leat_commit_walk_t walk;
    for (leat_commit_walk (&walk, commit); walk.left;) {
        leat_operation_t operation;
        leat_commit_walk_next (&walk, &operation);
        count += operation.id == id;
    }
    return count;
}

/* A store without space takes dead letters, if nothing else is with them. */
static void test_dead_letters_have_commits_of_their_own (void **state)
{
    driver_t *driver = s_begin (NULL);
    driver_publish (driver, 1, 1, 1, 10);
    s_expect_confirmed (driver, 1, 10, 9);
    leat_batch_t batch = driver_expect_deliver (driver, 2, 1, 0, 10);
    driver->store = DRIVER_HOLD;
    leat_command_t settle = { .id = LEAT_SETTLE };
    leat_settle_entry_t entry = { batch.epoch, 3, 2, 0, LEAT_REJECT };
    settle.settle.channel = 1;
    settle.settle.entries = (leat_settles_t){ .count = 1, .entries = &entry };
    driver_post (driver, 2, &settle);
    driver_publish (driver, 1, 1, 11, 1); /* and a turn for both */
    assert_true (driver->pending_count >= 2);
    unsigned dead = 0;
    for (size_t i = 0; i < driver->pending_count; i++) {
        const leat_commit_t *commit = driver->pending[i];
        unsigned letters = s_count (commit, LEAT_OPERATION_DEAD);
        if (letters)
            assert_int_equal (s_count (commit, LEAT_OPERATION_APPEND), letters);
        dead += letters;
    }
    assert_int_equal (dead, 2);
    driver_complete (driver, 0, LEAT_COMMIT_OK);
    s_expect_confirmed (driver, 1, 11, 10);
    driver_destroy (&driver);
}

/* Neither records nor settles make a commit much larger than commit_size. */
static void test_commits_are_not_too_large (void **state)
{
    leat_limits_t limits = driver_limits ();
    limits.commits = 1;
    limits.commit_size = 400;
    driver_t *driver = driver_new (&limits);
    driver->record_size = 150;
    driver_hello (driver, 1, "mill");
    driver_open (driver, 1, 1, "orders");
    driver->store = DRIVER_HOLD;
    for (uint64_t i = 1; i <= 20; i++)
        driver_publish (driver, 1, 1, i, 1);
    uint64_t last = 0;
    while (driver->pending_count) {
        assert_true (leat_commit_size (driver->pending[0]) < 400 + 2 * 250);
        driver_complete (driver, 1, LEAT_COMMIT_OK);
        while (driver_waiting (driver, 1))
            last = driver_expect (driver, 1, LEAT_CONFIRMED)->confirmed.sequence;
    }
    assert_int_equal (last, 20);
    assert_true (driver_statistics (driver).limit_hits[LEAT_LIMIT_commit_size] > 0);
    driver_destroy (&driver);
}

/* The stream of dead letters and copies in several commits are undone together and made again. */
static void test_refused_dead_letters (void **state)
{
    driver_t *driver = s_begin (NULL);
    driver_publish (driver, 1, 1, 1, 10);
    leat_batch_t batch = driver_expect_deliver (driver, 2, 1, 0, 10);
    driver->store = DRIVER_HOLD;
    for (uint64_t offset = 0; offset < 4; offset++)
        driver_settle (driver, 2, 1, batch.epoch, offset, 1, LEAT_REJECT);
    assert_true (driver->pending_count >= 4);
    driver_complete (driver, 1, LEAT_COMMIT_REFUSED);
    assert_int_equal (driver_statistics (driver).streams, 1);
    assert_int_equal (driver_group (driver, "orders").dead_lettered, 0);
    driver_complete (driver, 0, LEAT_COMMIT_OK);
    driver->store = DRIVER_OK;
    driver_expect_nothing (driver, 2); /* not handed out again */
    driver_wait (driver, 1500);
    assert_int_equal (driver_group (driver, "orders").dead_lettered, 4);
    assert_int_equal (driver_stream (driver, "orders.dead").held, 4);
    driver_wait (driver, 1000);
    driver_restart (driver);
    assert_int_equal (driver_stream (driver, "orders.dead").held, 4);
    assert_int_equal (driver_group (driver, "orders").ready, 6);
    driver_destroy (&driver);
}

/* SETTLED for a reject says that the reject is kept, also when its dead letter has no room yet. */
static void test_settled_reject_is_kept (void **state)
{
    driver_t *driver = s_begin (NULL);
    driver_publish (driver, 1, 1, 1, 3);
    leat_batch_t batch = driver_expect_deliver (driver, 2, 1, 0, 3);
    driver->store = DRIVER_HOLD;
    leat_settle_entry_t reject = { batch.epoch, 0, 1, 0, LEAT_REJECT };
    driver_settle_full (driver, 2, 1, &reject, 1, 5, "bad");
    driver_complete (driver, 0, LEAT_COMMIT_REFUSED);
    driver_expect_nothing (driver, 2);
    driver_wait (driver, 200);
    driver_complete (driver, 0, LEAT_COMMIT_OK);
    driver_expect (driver, 2, LEAT_SETTLED);
    driver->store = DRIVER_OK;
    driver_restart (driver);
    driver_hello (driver, 4, "taker");
    driver_attach (driver, 4, 1, "orders", 100, 5);
    driver_expect_deliver (driver, 4, 1, 1, 2); /* 0 is not delivered again */
    driver_expect_nothing (driver, 4);
    driver_wait (driver, 1500);
    assert_int_equal (driver_group (driver, "orders").dead_lettered, 1);
    driver_destroy (&driver);
}

/* Nobody can say whether the commit is there: not a word more. */
static void test_unknown (void **state)
{
    static const leat_commit_result_t results[] = { LEAT_COMMIT_UNKNOWN, LEAT_COMMIT_FENCED };
    for (size_t i = 0; i < 2; i++) {
        driver_t *driver = s_begin (NULL);
        driver->store = DRIVER_HOLD;
        driver_publish (driver, 1, 1, 1, 3);
        driver_publish (driver, 1, 1, 4, 3);
        driver_complete (driver, 1, results[i]);
        assert_true (leat_core_failed (driver->core));
        assert_true (leat_core_deadline (driver->core) == UINT64_MAX);
        driver_publish (driver, 1, 1, 7, 3);
        leat_command_t ping = { .id = LEAT_PING };
        driver_send (driver, 1, &ping);
        driver_complete (driver, 0, LEAT_COMMIT_OK);
        driver_wait (driver, 20000);
        driver_lose (driver, 1);
        assert_int_equal (driver->inbox_count, 0);
        driver->kept_count--; /* what came after it: only the first is in question */
        leat_buffer_release (&driver->kept[driver->kept_count]);
        driver->store = DRIVER_OK;
        driver_restart (driver);
        driver_hello (driver, 5, "mill");
        driver_open (driver, 5, 1, "orders");
        driver_publish (driver, 5, 1, 1, 6);
        s_expect_confirmed (driver, 5, 6, 5);
        driver_destroy (&driver);
    }
}

/* Peers go while their commits are under way. */
static void test_peers_go (void **state)
{
    driver_t *driver = s_begin (NULL);
    driver_publish (driver, 1, 1, 1, 10);
    s_expect_confirmed (driver, 1, 10, 9);
    leat_batch_t batch = driver_expect_deliver (driver, 2, 1, 0, 10);
    driver->store = DRIVER_HOLD;
    leat_settle_entry_t entries[] = { { batch.epoch, 0, 2, 0, LEAT_ACK },
                                      { batch.epoch, 2, 1, 0, LEAT_REJECT } };
    driver_settle_full (driver, 2, 1, entries, 2, 3, NULL);
    driver_leave (driver, 2, 1);
    driver_publish (driver, 1, 1, 11, 1);
    leat_command_t open = driver_open_command (2, "new", 1);
    driver_send (driver, 1, &open);
    leat_command_t attach = driver_attach_command (5, "new", "g", 1, 1);
    driver_send (driver, 1, &attach);
    driver_lose (driver, 1);
    driver_lose (driver, 2);
    driver_complete (driver, 0, LEAT_COMMIT_OK);
    driver_complete (driver, 0, LEAT_COMMIT_OK);
    assert_int_equal (driver->inbox_count, 0);
    assert_int_equal (driver_group (driver, "orders").ready, 8);
    assert_int_equal (driver_stream (driver, "new").groups, 1);
    driver_destroy (&driver);
}

/* Many commits under way: the next ones wait and are collected. */
static void test_commits_limit (void **state)
{
    leat_limits_t limits = driver_limits ();
    limits.commits = 3;
    limits.commit_records = 5;
    driver_t *driver = s_begin (&limits);
    driver->store = DRIVER_HOLD;
    for (uint64_t i = 1; i <= 10; i++)
        driver_publish (driver, 1, 1, i, 1);
    assert_true (driver->pending_count >= 3 && driver->pending_count <= 5);
    assert_true (driver_statistics (driver).limit_hits[LEAT_LIMIT_commits] > 0);
    assert_int_equal (driver_statistics (driver).limit_hits[LEAT_LIMIT_commit_records], 1);
    while (driver->pending_count)
        driver_complete (driver, 1, LEAT_COMMIT_OK);
    uint64_t last = 0;
    while (driver_waiting (driver, 1))
        last = driver_expect (driver, 1, LEAT_CONFIRMED)->confirmed.sequence;
    assert_int_equal (last, 10);
    driver_destroy (&driver);
}

/* ---- shutdown -------------------------------------------------------------------------------- */

static void test_shutdown (void **state)
{
    driver_t *driver = s_begin (NULL);
    driver_publish (driver, 1, 1, 1, 3);
    s_expect_confirmed (driver, 1, 3, 2);
    leat_batch_t batch = driver_expect_deliver (driver, 2, 1, 0, 3);
    driver->store = DRIVER_HOLD;
    driver_publish (driver, 1, 1, 4, 2);
    driver_settle (driver, 2, 1, batch.epoch, 0, 1, LEAT_ACK);
    leat_core_shutdown (driver->core, 1234);
    driver_publish (driver, 1, 1, 6, 1);
    assert_int_equal (driver_expect_refused (driver, 1, LEAT_PUBLISH, LEAT_SHUTTING_DOWN)->expected,
                      6);
    leat_command_t open = driver_open_command (9, "orders9", 1);
    driver_send (driver, 1, &open);
    driver_expect_refused (driver, 1, LEAT_OPEN, LEAT_SHUTTING_DOWN);
    leat_command_t attach = driver_attach_command (9, "orders", "g", 1, 1);
    driver_send (driver, 2, &attach);
    driver_expect_refused (driver, 2, LEAT_ATTACH, LEAT_SHUTTING_DOWN);
    driver_settle (driver, 2, 1, batch.epoch, 1, 1, LEAT_ACK);
    assert_false (leat_core_stopped (driver->core));
    while (driver->pending_count)
        driver_complete (driver, 0, LEAT_COMMIT_OK);
    driver_wait (driver, 200);
    while (driver->pending_count)
        driver_complete (driver, 0, LEAT_COMMIT_OK);
    assert_true (leat_core_stopped (driver->core));
    assert_true (leat_core_deadline (driver->core) == UINT64_MAX);
    s_expect_confirmed (driver, 1, 5, 4);
    for (uint64_t peer = 1; peer <= 2; peer++) {
        const leat_bye_t *bye = &driver_expect (driver, peer, LEAT_BYE)->bye;
        assert_int_equal (bye->code, LEAT_SHUTTING_DOWN);
        assert_int_equal (bye->retry_after_ms, 1234);
        driver_expect_nothing (driver, peer);
    }
    driver_publish (driver, 1, 1, 6, 1);
    driver_hello_command (driver, 1, "x");
    driver_expect_nothing (driver, 1);
    driver->store = DRIVER_OK;
    driver_restart (driver);
    leat_group_statistics_t group = driver_group (driver, "orders");
    assert_int_equal (group.ready, 3); /* the two settles and the two records are there */
    driver_destroy (&driver);
}

/* The store refuses what was taken: it is refused, then BYE. */
static void test_shutdown_and_refused (void **state)
{
    driver_t *driver = s_begin (NULL);
    driver->store = DRIVER_HOLD;
    driver_publish (driver, 1, 1, 1, 2);
    leat_core_shutdown (driver->core, 0);
    driver_turn (driver);
    driver_complete (driver, 0, LEAT_COMMIT_REFUSED);
    for (int i = 0; i < 20 && !leat_core_stopped (driver->core); i++) {
        driver_wait (driver, 100);
        driver_complete (driver, 0, LEAT_COMMIT_OK);
    }
    assert_true (leat_core_stopped (driver->core));
    s_expect_store_full (driver, 1, 0, 1);
    driver_expect (driver, 1, LEAT_BYE);
    driver_destroy (&driver);
}

static void test_shutdown_of_nothing (void **state)
{
    driver_t *driver = driver_new (NULL);
    leat_core_shutdown (driver->core, 0);
    driver_turn (driver);
    assert_true (leat_core_stopped (driver->core));
    driver_destroy (&driver);
}

int main (void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test (test_late),
        cmocka_unit_test (test_settle_delay),
        cmocka_unit_test (test_refused),
        cmocka_unit_test (test_refused_after_duplicates),
        cmocka_unit_test (test_refused_frees_window),
        cmocka_unit_test (test_refused_creation),
        cmocka_unit_test (test_refused_groups_keep_records),
        cmocka_unit_test (test_refused_second_group),
        cmocka_unit_test (test_refused_settles),
        cmocka_unit_test (test_full_store_takes_settles),
        cmocka_unit_test (test_full_store_is_not_asked),
        cmocka_unit_test (test_dead_letters_have_commits_of_their_own),
        cmocka_unit_test (test_commits_are_not_too_large),
        cmocka_unit_test (test_refused_dead_letters),
        cmocka_unit_test (test_settled_reject_is_kept),
        cmocka_unit_test (test_unknown),
        cmocka_unit_test (test_peers_go),
        cmocka_unit_test (test_commits_limit),
        cmocka_unit_test (test_shutdown),
        cmocka_unit_test (test_shutdown_and_refused),
        cmocka_unit_test (test_shutdown_of_nothing),
    };
    return cmocka_run_group_tests (tests, NULL, NULL);
}

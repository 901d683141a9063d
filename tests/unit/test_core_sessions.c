/* The core's sessions: HELLO, displacement, former connections, heartbeats, identities, BYE.
 * SPDX-License-Identifier: MPL-2.0 */
#include "tests/unit/core_driver.h"

static void test_welcome (void **state)
{
    driver_t *driver = driver_new (NULL);
    leat_command_t hello = driver_hello_command (driver, 5, "mill");
    driver_send (driver, 1, &hello);
    const leat_welcome_t *welcome = &driver_expect (driver, 1, LEAT_WELCOME)->welcome;
    assert_int_equal (welcome->version, 1);
    assert_int_equal (welcome->capabilities, 0);
    assert_int_equal (welcome->incarnation, 1);
    assert_true (welcome->epoch > 1 << 20);
    assert_int_equal (welcome->heartbeat_interval_ms, driver->limits.heartbeat_interval);
    assert_int_equal (welcome->heartbeat_timeout_ms, driver->limits.heartbeat_timeout);
    assert_int_equal (welcome->record_size_max, driver->limits.record_size);
    assert_int_equal (welcome->batch_size_max, driver->limits.batch_size);
    assert_int_equal (welcome->window_size, driver->limits.window_size);
    assert_int_equal (welcome->channels_max, driver->limits.channels);
    assert_true (leat_text_equal (welcome->software, leat_text ("test")));
    assert_int_equal (welcome->producers_endpoint.size, 0);
    driver_send (driver, 1, &hello);
    driver_expect_refused (driver, 1, LEAT_HELLO, LEAT_BAD_STATE);
    assert_int_equal (driver_statistics (driver).sessions, 1);
    driver_open (driver, 1, 1, "orders"); /* the session goes on */
    driver_destroy (&driver);
}

static void test_hello_refused (void **state)
{
    leat_limits_t limits = driver_limits ();
    limits.sessions = 2;
    limits.identities = 4;
    driver_t *driver = driver_new (&limits);
    leat_command_t hello = driver_hello_command (driver, 5, "mill");
    hello.hello.version_min = 2;
    hello.hello.version_max = 9;
    driver_send (driver, 1, &hello);
    driver_expect_says (driver_expect_refused (driver, 1, LEAT_HELLO, LEAT_UNSUPPORTED_VERSION),
                        "versions 2 to 9, and this broker speaks version 1");
    hello.hello.version_min = 0;
    hello.hello.version_max = 0;
    driver_send (driver, 1, &hello);
    driver_expect_refused (driver, 1, LEAT_HELLO, LEAT_UNSUPPORTED_VERSION);
    hello = driver_hello_command (driver, 5, "");
    driver_send (driver, 1, &hello);
    driver_expect_refused (driver, 1, LEAT_HELLO, LEAT_BAD_NAME);
    hello.hello.identity = leat_text ("a b");
    driver_send (driver, 1, &hello);
    driver_expect_refused (driver, 1, LEAT_HELLO, LEAT_BAD_NAME);
    hello = driver_hello_command (driver, 0, "mill");
    driver_send (driver, 1, &hello);
    driver_expect_says (driver_expect_refused (driver, 1, LEAT_HELLO, LEAT_MALFORMED),
                        "life is not 0");
    hello = driver_hello_command (driver, 5, "mill");
    hello.hello.version_max = 7;
    driver_send (driver, 1, &hello); /* the same connection may try again */
    driver_expect (driver, 1, LEAT_WELCOME);
    driver_hello (driver, 2, "two");
    hello = driver_hello_command (driver, 6, "three");
    driver_send (driver, 3, &hello);
    driver_expect_refused (driver, 3, LEAT_HELLO, LEAT_LIMIT_REACHED);
    assert_int_equal (driver_statistics (driver).limit_hits[LEAT_LIMIT_sessions], 1);
    /* One that displaces takes no more room. */
    hello = driver_hello_command (driver, 7, "two");
    driver_send (driver, 4, &hello);
    driver_expect (driver, 4, LEAT_WELCOME);
    driver_expect (driver, 2, LEAT_FENCED);
    /* Identities that are away take room as well. */
    driver_lose (driver, 1);
    driver_hello (driver, 5, "three");
    driver_lose (driver, 5);
    driver_hello (driver, 6, "four");
    driver_lose (driver, 6);
    hello = driver_hello_command (driver, 8, "five");
    driver_send (driver, 7, &hello);
    driver_expect_refused (driver, 7, LEAT_HELLO, LEAT_LIMIT_REACHED);
    assert_int_equal (driver_statistics (driver).limit_hits[LEAT_LIMIT_identities], 1);
    leat_core_shutdown (driver->core, 0);
    hello = driver_hello_command (driver, 8, "four");
    leat_core_receive (driver->core, 8, 0, NULL, 0, NULL);
    driver_post (driver, 8, &hello);
    driver_turn (driver);
    driver_expect_refused (driver, 8, 0, LEAT_MALFORMED);
    driver_expect_refused (driver, 8, LEAT_HELLO, LEAT_SHUTTING_DOWN);
    driver_destroy (&driver);
}

static void test_strangers (void **state)
{
    driver_t *driver = driver_new (NULL);
    leat_command_t command = { .id = LEAT_PING };
    driver_send (driver, 9, &command);
    driver_expect_refused (driver, 9, LEAT_PING, LEAT_NO_SESSION);
    command = driver_open_command (1, "orders", 1);
    driver_send (driver, 9, &command);
    driver_expect_refused (driver, 9, LEAT_OPEN, LEAT_NO_SESSION);
    driver_publish (driver, 9, 1, 1, 1);
    driver_expect_refused (driver, 9, LEAT_PUBLISH, LEAT_NO_SESSION);
    command = (leat_command_t){ .id = LEAT_STREAM_LIST };
    driver_send (driver, 9, &command);
    driver_expect_refused (driver, 9, LEAT_STREAM_LIST, LEAT_NO_SESSION);
    driver_send_frames (driver, 9, 1, "GET / HTTP/1.1\r\n", 16, NULL, 0);
    driver_expect_refused (driver, 9, LEAT_GROUP_LIST, LEAT_MALFORMED);
    driver_destroy (&driver);
}

/* Answers to who has no session are limited per second; everybody else goes on. */
static void test_stranger_answers (void **state)
{
    leat_limits_t limits = driver_limits ();
    limits.stranger_answers = 3;
    driver_t *driver = driver_new (&limits);
    driver_hello (driver, 1, "mill");
    driver_wait (driver, 1000);
    for (int round = 1; round <= 2; round++) {
        leat_command_t ping = { .id = LEAT_PING };
        for (int i = 0; i < 2; i++)
            driver_send (driver, 9, &ping);
        driver_send_frames (driver, 8, 1, "\xff", 1, NULL, 0);
        driver_publish (driver, 9, 1, 1, 1);
        driver_send_frames (driver, 8, 1, "\xff", 1, NULL, 0);
        assert_int_equal (driver_waiting (driver, 9), 2 * round);
        assert_int_equal (driver_waiting (driver, 8), round);
        assert_int_equal (driver_statistics (driver).limit_hits[LEAT_LIMIT_stranger_answers],
                          2 * round);
        driver_send_frames (driver, 1, 1, "\xff", 1, NULL, 0);
        driver_expect_refused (driver, 1, 0xff, LEAT_UNKNOWN_COMMAND);
        driver_wait (driver, 1000);
    }
    uint64_t peer;
    assert_true (leat_core_next_cut (driver->core, &peer));
    assert_true (peer == 8 || peer == 9);
    driver_drop (driver, 9);
    driver_hello (driver, 9, "other");
    driver_destroy (&driver);
}

/* The messages that an honest client never sends count; beyond the limit the session ends with BYE and the
 * connection is to be cut. What an honest client gets in numbers does not count, and time forgives. */
static void test_offences (void **state)
{
    leat_limits_t limits = driver_limits ();
    limits.offences = 10;
    limits.heartbeat_timeout = 100000;
    driver_t *driver = driver_new (&limits);
    uint64_t peer;
    driver->beats = false;
    driver_hello (driver, 1, "mill");
    driver_hello (driver, 2, "saw");
    driver_open (driver, 2, 1, "orders");
    for (int i = 0; i < 40; i++) /* what is on its way behind a refused batch */
        driver_publish (driver, 2, 1, 5, 1);
    for (int i = 0; i < 10; i++)
        driver_send_frames (driver, 1, 1, "\xff", 1, NULL, 0);
    driver_wait (driver, 60000); /* forgives six of them, and a half */
    assert_false (leat_core_next_cut (driver->core, &peer));
    driver_drop (driver, 1);
    for (int i = 0; i < 6; i++)
        driver_send_frames (driver, 1, 1, "\xff", 1, NULL, 0);
    assert_false (leat_core_next_cut (driver->core, &peer));
    assert_int_equal (driver_statistics (driver).sessions, 2);
    for (int i = 0; i < 2; i++)
        driver_send_frames (driver, 1, 1, "\xff", 1, NULL, 0);
    driver_drop (driver, 2);
    assert_int_equal (driver_statistics (driver).sessions, 1);
    assert_int_equal (driver_statistics (driver).limit_hits[LEAT_LIMIT_offences], 1);
    assert_true (leat_core_next_cut (driver->core, &peer));
    assert_int_equal (peer, 1);
    assert_false (leat_core_next_cut (driver->core, &peer));
    /* Who goes on after that is cut again. */
    for (int i = 0; i < 11; i++)
        driver_send_frames (driver, 1, 1, "\xff", 1, NULL, 0);
    assert_true (leat_core_next_cut (driver->core, &peer));
    assert_int_equal (peer, 1);
    driver_drop (driver, 1);
    driver_destroy (&driver);
}

/* How much may be on its way follows credit and what a consumer holds. */
static void test_allowance (void **state)
{
    driver_t *driver = driver_new (NULL);
    uint64_t stranger = leat_core_allowance (driver->core, 1);
    driver_hello (driver, 1, "mill");
    uint64_t session = leat_core_allowance (driver->core, 1);
    assert_true (session > stranger);
    driver_open (driver, 1, 1, "orders");
    uint64_t granted = leat_core_allowance (driver->core, 1);
    assert_int_equal (granted, session + driver->limits.grant_min_size);
    driver_lose (driver, 1);
    assert_true (leat_core_allowance (driver->core, 1) >= driver->limits.window_size);
    driver_destroy (&driver);
}

/* A HELLO of another life ends the session and the displaced client cannot come back. */
static void test_displacement (void **state)
{
    driver_t *driver = driver_new (NULL);
    leat_command_t a = driver_hello_command (driver, 100, "mill");
    driver_send (driver, 1, &a);
    uint64_t epoch_a = driver_expect (driver, 1, LEAT_WELCOME)->welcome.epoch;
    driver_open (driver, 1, 1, "orders");
    leat_command_t b = driver_hello_command (driver, 200, "mill");
    driver_send (driver, 2, &b);
    uint64_t fence = driver_expect (driver, 1, LEAT_FENCED)->fenced.epoch;
    uint64_t epoch_b = driver_expect (driver, 2, LEAT_WELCOME)->welcome.epoch;
    assert_true (epoch_b > epoch_a);
    assert_int_equal (fence, epoch_b);
    leat_statistics_t statistics = driver_statistics (driver);
    assert_int_equal (statistics.sessions_displaced, 1);
    assert_int_equal (statistics.sessions, 1);
    /* Whatever the displaced connection sends is dropped and counted, PING and rubbish too. */
    uint64_t former = statistics.frames_former;
    driver_publish (driver, 1, 1, 1, 3);
    driver_send (driver, 1, &a);
    leat_command_t ping = { .id = LEAT_PING };
    driver_send (driver, 1, &ping);
    driver_send_frames (driver, 1, 1, "\xff\xff", 2, NULL, 0);
    driver_send_frames (driver, 1, 3, "\x03", 1, NULL, 0);
    driver_send_frames (driver, 1, 2, "\x12", 1, "x", 1);
    driver_expect_nothing (driver, 1);
    assert_int_equal (driver_statistics (driver).frames_former, former + 6);
    /* It comes back on a new connection. */
    a = driver_hello_command (driver, 100, "mill");
    a.hello.flags = LEAT_HELLO_RESUME;
    driver_send (driver, 3, &a);
    assert_int_equal (driver_expect (driver, 3, LEAT_FENCED)->fenced.epoch, epoch_b);
    driver_expect_nothing (driver, 2);
    /* B itself comes back, twice, and is not told FENCED by itself. */
    b = driver_hello_command (driver, 200, "mill");
    b.hello.flags = LEAT_HELLO_RESUME;
    driver_send (driver, 4, &b);
    assert_true (driver_expect (driver, 4, LEAT_WELCOME)->welcome.epoch > epoch_b);
    driver_expect_nothing (driver, 2);
    /* An older connection of B whose HELLO is read late is dropped. */
    b.hello.attempt--;
    driver_send (driver, 5, &b);
    driver_expect_nothing (driver, 5);
    driver_expect_nothing (driver, 4);
    driver_open (driver, 4, 7, "orders");
    assert_int_equal (driver_statistics (driver).sessions_displaced, 1);
    driver_destroy (&driver);
}

/* After a restart the broker knows no life, and takes the first that it gets. */
static void test_resume_after_restart (void **state)
{
    driver_t *driver = driver_new (NULL);
    driver_hello (driver, 1, "mill");
    driver_open (driver, 1, 1, "orders");
    driver_publish (driver, 1, 1, 1, 2);
    driver_expect (driver, 1, LEAT_CONFIRMED);
    driver_restart (driver);
    leat_command_t hello = driver_hello_command (driver, 42, "mill");
    hello.hello.flags = LEAT_HELLO_RESUME;
    driver_send (driver, 2, &hello);
    assert_true (driver_expect (driver, 2, LEAT_WELCOME)->welcome.epoch >> 20 == 2);
    driver_destroy (&driver);
}

static void test_heartbeats (void **state)
{
    driver_t *driver = driver_new (NULL);
    driver_hello (driver, 1, "one");
    driver_hello (driver, 2, "two");
    driver->beats = false;
    leat_command_t ping = { .id = LEAT_PING, .ping = { 77 } };
    driver_send (driver, 1, &ping);
    assert_int_equal (driver_expect (driver, 1, LEAT_PONG)->pong.token, 77);
    for (int i = 0; i < 5; i++)
        driver_send (driver, 1, &ping);
    driver_wait (driver, 499);
    driver_send (driver, 1, &ping);
    driver_expect_nothing (driver, 1);
    assert_int_equal (driver_statistics (driver).pongs_saved, 6);
    driver_wait (driver, 1);
    driver_send (driver, 1, &ping);
    driver_expect (driver, 1, LEAT_PONG);
    /* Peer 2 is silent from 0 ms on, peer 1 from 500 ms on. */
    driver_wait (driver, 4499);
    assert_int_equal (driver_statistics (driver).sessions, 2);
    driver_wait (driver, 1);
    leat_statistics_t statistics = driver_statistics (driver);
    assert_int_equal (statistics.sessions, 1);
    assert_int_equal (statistics.sessions_timed_out, 1);
    driver_expect_nothing (driver, 2);
    /* Any traffic is a heartbeat, a broken message too. */
    driver_send_frames (driver, 1, 1, "\xff", 1, NULL, 0);
    driver_drop (driver, 1);
    driver_wait (driver, 4999);
    assert_int_equal (driver_statistics (driver).sessions, 1);
    driver_wait (driver, 1);
    assert_int_equal (driver_statistics (driver).sessions, 0);
    /* A lost peer that lives learns of it by its next PING, not by late frames. */
    driver_publish (driver, 1, 1, 1, 1);
    driver_expect_nothing (driver, 1);
    driver_send (driver, 1, &ping);
    driver_expect_refused (driver, 1, LEAT_PING, LEAT_NO_SESSION);
    driver_destroy (&driver);
}

/* A broker that was stopped for an hour does not take its peers for dead at once. */
static void test_stopped_broker (void **state)
{
    driver_t *driver = driver_new (NULL);
    driver_hello (driver, 1, "one");
    driver->beats = false;
    driver_leap (driver, 3600000);
    assert_int_equal (driver_statistics (driver).sessions, 1);
    driver_wait (driver, 4999);
    assert_int_equal (driver_statistics (driver).sessions, 1);
    driver_wait (driver, 1);
    assert_int_equal (driver_statistics (driver).sessions, 0);
    driver_destroy (&driver);
}

static void test_bye_and_unreachable (void **state)
{
    driver_t *driver = driver_new (NULL);
    driver_hello (driver, 1, "one");
    driver_hello (driver, 2, "two");
    leat_command_t bye = { .id = LEAT_BYE };
    driver_send (driver, 1, &bye);
    const leat_bye_t *answer = &driver_expect (driver, 1, LEAT_BYE)->bye;
    assert_int_equal (answer->code, LEAT_OK);
    assert_int_equal (answer->retry_after_ms, 0);
    driver_send (driver, 1, &bye);
    driver_expect_nothing (driver, 1);
    driver_lose (driver, 2);
    driver_lose (driver, 2);
    driver_lose (driver, 3);
    leat_statistics_t statistics = driver_statistics (driver);
    assert_int_equal (statistics.sessions, 0);
    assert_int_equal (statistics.sessions_unreachable, 1);
    assert_int_equal (statistics.frames_former, 1);
    driver_destroy (&driver);
}

static void test_former_peers_limit (void **state)
{
    leat_limits_t limits = driver_limits ();
    limits.former_peers = 2;
    driver_t *driver = driver_new (&limits);
    for (uint64_t peer = 1; peer <= 3; peer++) {
        driver_hello (driver, peer, "same");
        driver_lose (driver, peer);
    }
    assert_int_equal (driver_statistics (driver).limit_hits[LEAT_LIMIT_former_peers], 1);
    leat_command_t leave = { .id = LEAT_LEAVE };
    driver_send (driver, 3, &leave);
    driver_expect_nothing (driver, 3);
    driver_send (driver, 1, &leave); /* forgotten: a stranger again */
    driver_expect_refused (driver, 1, LEAT_LEAVE, LEAT_NO_SESSION);
    driver_destroy (&driver);
}

static uint64_t s_known (driver_t *driver, uint64_t peer, const char *identity)
{
    driver_hello (driver, peer, identity);
    leat_command_t open = driver_open_command (1, "orders", 1);
    driver_send (driver, peer, &open);
    const leat_opened_t *opened = &driver_expect (driver, peer, LEAT_OPENED)->opened;
    return opened->flags & LEAT_OPENED_KNOWN ? opened->sequence : 0;
}

/* Random identities are forgotten after a minute, others after a week; at the store as well. */
static void test_identity_expiry (void **state)
{
    driver_t *driver = driver_new (NULL);
    leat_command_t hello = driver_hello_command (driver, 3, "random");
    hello.hello.flags = LEAT_HELLO_EPHEMERAL;
    driver_send (driver, 1, &hello);
    driver_expect (driver, 1, LEAT_WELCOME);
    driver_open (driver, 1, 1, "orders");
    driver_publish (driver, 1, 1, 1, 5);
    driver_expect (driver, 1, LEAT_CONFIRMED);
    assert_int_equal (s_known (driver, 2, "named"), 0);
    driver_publish (driver, 2, 1, 1, 7);
    driver_expect (driver, 2, LEAT_CONFIRMED);
    driver_lose (driver, 1);
    driver_lose (driver, 2);
    driver_leap (driver, 59999);
    assert_int_equal (s_known (driver, 3, "random"), 5);
    driver_lose (driver, 3);
    /* Nobody is there and no one said EPHEMERAL this time. */
    driver_leap (driver, 60000);
    assert_int_equal (s_known (driver, 4, "random"), 5);
    driver_lose (driver, 4);
    driver_leap (driver, driver->limits.identity_expiry - 60000);
    assert_int_equal (s_known (driver, 5, "named"), 0);
    driver_lose (driver, 5);
    driver_leap (driver, 60000);
    assert_int_equal (s_known (driver, 6, "random"), 0);
    driver_restart (driver);
    assert_int_equal (s_known (driver, 7, "random"), 0);
    assert_int_equal (s_known (driver, 8, "named"), 0);
    driver_destroy (&driver);
}

/* What is still at the store when its identity would expire is waited for. */
static void test_expiry_waits_for_store (void **state)
{
    driver_t *driver = driver_new (NULL);
    leat_command_t hello = driver_hello_command (driver, 3, "random");
    hello.hello.flags = LEAT_HELLO_EPHEMERAL;
    driver_send (driver, 1, &hello);
    driver_expect (driver, 1, LEAT_WELCOME);
    driver_open (driver, 1, 1, "orders");
    driver->store = DRIVER_HOLD;
    driver_publish (driver, 1, 1, 1, 5);
    driver_lose (driver, 1);
    driver_leap (driver, 60000);
    driver_complete (driver, 0, LEAT_COMMIT_OK);
    driver->store = DRIVER_OK;
    assert_int_equal (s_known (driver, 2, "random"), 5);
    driver_destroy (&driver);
}

int main (void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test (test_welcome),
        cmocka_unit_test (test_hello_refused),
        cmocka_unit_test (test_strangers),
        cmocka_unit_test (test_stranger_answers),
        cmocka_unit_test (test_offences),
        cmocka_unit_test (test_allowance),
        cmocka_unit_test (test_displacement),
        cmocka_unit_test (test_resume_after_restart),
        cmocka_unit_test (test_heartbeats),
        cmocka_unit_test (test_stopped_broker),
        cmocka_unit_test (test_bye_and_unreachable),
        cmocka_unit_test (test_former_peers_limit),
        cmocka_unit_test (test_identity_expiry),
        cmocka_unit_test (test_expiry_waits_for_store),
    };
    return cmocka_run_group_tests (tests, NULL, NULL);
}

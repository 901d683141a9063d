/* The core's limits: each has a name, is met, is counted; and a peer that sends whatever it likes.
 * SPDX-License-Identifier: MPL-2.0 */
#include "tests/unit/core_driver.h"

static void test_check (void **state)
{
    leat_limits_t limits = driver_limits ();
    assert_null (leat_limits_check (&limits));
#define WRONG(field, value)                                                                        \
    do {                                                                                           \
        limits = driver_limits ();                                                                 \
        limits.field = (value);                                                                    \
        assert_non_null (leat_limits_check (&limits));                                             \
    } while (0)
    WRONG (settle_delay, UINT64_MAX);
    WRONG (record_size, 0);
    WRONG (record_size, (uint64_t) LEAT_RECORD_SIZE_MAX + 1);
    WRONG (batch_size, limits.record_size + 7);
    WRONG (batch_size, (uint64_t) 2 * LEAT_RECORD_SIZE_MAX + 1);
    WRONG (window_size, limits.batch_size);
    WRONG (window_size, UINT64_C (1) << 32);
    WRONG (stream_size, limits.batch_size);
    WRONG (memory_size, limits.batch_size + 1000);
    WRONG (grant_min_size, limits.grant_max_size + 1);
    WRONG (sessions, 0);
    WRONG (identities, 0);
    WRONG (streams, 0);
    WRONG (groups, 0);
    WRONG (channels, 0);
    WRONG (credit_records, 0);
    WRONG (attempts, 0);
    WRONG (commits, 0);
    WRONG (commit_records, 0);
    WRONG (commit_size, 0);
    WRONG (credit_size, limits.record_size - 1);
    WRONG (heartbeat_interval, 0);
    WRONG (heartbeat_timeout, limits.heartbeat_interval * 2 - 1);
    WRONG (heartbeat_timeout, 86400001);
    WRONG (nack_delay_min, limits.nack_delay_max + 1);
    WRONG (channels, UINT64_C (1) << 32);
    WRONG (attempts, UINT64_C (1) << 32);
    WRONG (unreported, UINT64_C (1) << 32);
#undef WRONG
}

static uint64_t s_hits (const driver_t *driver, leat_limit_id_t limit)
{
    return driver_statistics (driver).limit_hits[limit];
}

static void test_channels_and_streams (void **state)
{
    leat_limits_t limits = driver_limits ();
    limits.channels = 2;
    limits.streams = 2;
    driver_t *driver = driver_new (&limits);
    driver_hello (driver, 1, "mill");
    driver_open (driver, 1, 1, "a");
    driver_attach (driver, 1, 2, "b", 1, 1);
    leat_command_t open = driver_open_command (3, "c", 1);
    driver_send (driver, 1, &open);
    driver_expect_refused (driver, 1, LEAT_OPEN, LEAT_LIMIT_REACHED);
    leat_command_t attach = driver_attach_command (3, "a", "g", 1, 1);
    driver_send (driver, 1, &attach);
    driver_expect_refused (driver, 1, LEAT_ATTACH, LEAT_LIMIT_REACHED);
    assert_int_equal (s_hits (driver, LEAT_LIMIT_channels), 2);
    driver_hello (driver, 2, "other");
    driver_send (driver, 2, &open);
    driver_expect_refused (driver, 2, LEAT_OPEN, LEAT_LIMIT_REACHED);
    assert_int_equal (s_hits (driver, LEAT_LIMIT_streams), 1);
    driver_open (driver, 2, 3, "b");
    /* A dead letter that would need a third stream is parked. */
    driver_publish (driver, 1, 1, 1, 1);
    driver_leave (driver, 1, 2);
    driver_drop (driver, 1);
    driver_attach (driver, 1, 2, "a", 1, 1);
    leat_batch_t batch = driver_expect_deliver (driver, 1, 2, 0, 1);
    driver_settle (driver, 1, 2, batch.epoch, 0, 1, LEAT_REJECT);
    assert_int_equal (driver_group (driver, "a").parked, 1);
    assert_int_equal (s_hits (driver, LEAT_LIMIT_streams), 2);
    driver_destroy (&driver);
}

/* Pairs of identity and stream. */
static void test_sequences (void **state)
{
    leat_limits_t limits = driver_limits ();
    limits.identities = 3;
    driver_t *driver = driver_new (&limits);
    driver_hello (driver, 1, "mill");
    driver_open (driver, 1, 1, "a");
    driver_open (driver, 1, 2, "b");
    leat_command_t open = driver_open_command (3, "c", 1);
    driver_send (driver, 1, &open);
    driver_expect_refused (driver, 1, LEAT_OPEN, LEAT_LIMIT_REACHED);
    assert_int_equal (s_hits (driver, LEAT_LIMIT_identities), 1);
    leat_command_t close = { .id = LEAT_CLOSE, .close = { 2 } };
    driver_send (driver, 1, &close); /* nothing was published: its place is free */
    driver_expect (driver, 1, LEAT_CLOSED);
    driver_send (driver, 1, &open);
    driver_expect (driver, 1, LEAT_OPENED);
    driver_destroy (&driver);
}

/* A broker whose limits are smaller than what it recovers holds what it has, and grants nothing. */
static void test_smaller_after_restart (void **state)
{
    driver_t *driver = driver_new (NULL);
    driver->record_size = 1000;
    driver_hello (driver, 1, "mill");
    driver_open (driver, 1, 1, "a");
    for (uint64_t i = 0; i < 30; i++)
        driver_publish (driver, 1, 1, i * 10 + 1, 10);
    driver->limits.record_size = 2000;
    driver->limits.batch_size = 20000;
    driver->limits.memory_size = 100000;
    driver->limits.stream_size = 500000;
    driver_restart (driver);
    driver_hello (driver, 2, "mill");
    assert_int_equal (driver_open (driver, 2, 1, "a"), 0);
    driver_hello (driver, 3, "taker");
    driver_attach (driver, 3, 1, "a", 1000, 1);
    while (driver_waiting (driver, 3)) {
        leat_batch_t batch = driver_expect_any_deliver (driver, 3);
        driver_settle (driver, 3, 1, batch.epoch, batch.first, batch.count, LEAT_ACK);
    }
    assert_int_equal (driver_stream (driver, "a").held, 0);
    assert_true (driver_expect (driver, 2, LEAT_CONFIRMED)->confirmed.limit > 0);
    driver_destroy (&driver);
}

/* ---- a hostile peer -------------------------------------------------------------------------- */

enum { PEERS = 6, CHANNELS = 4 };

/* What it has heard, so that some of what it sends is right. */
typedef struct {
    uint64_t number;
    uint64_t next[CHANNELS]; /* sequences */
    leat_batch_t lease;
} peer_t;

typedef struct {
    driver_t *driver;
    uint64_t state;
    uint64_t last_peer;
    peer_t peers[PEERS];
} hostile_t;

static uint64_t s_random (hostile_t *self, uint64_t below)
{
    uint64_t z = (self->state += 0x9e3779b97f4a7c15u);
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return (z ^ (z >> 31)) % below;
}

/* Small numbers hit what exists, large ones the bounds. */
static uint64_t s_number (hostile_t *self)
{
    switch (s_random (self, 4)) {
    case 0:
        return UINT64_MAX - s_random (self, 3);
    case 1:
        return s_random (self, 40000);
    default:
        return s_random (self, 30);
    }
}

static uint64_t s_epoch (hostile_t *self)
{
    return (self->driver->incarnation << 20) + s_random (self, 400);
}

static void s_random_publish (hostile_t *self, peer_t *peer)
{
    driver_t *driver = self->driver;
    uint32_t count = 1 + (uint32_t) s_random (self, 20);
    uint32_t channel = (uint32_t) s_random (self, CHANNELS);
    leat_buffer_t *body = driver_body (driver, 1 + s_random (self, 50), count);
    leat_batch_t batch = { .command = LEAT_PUBLISH,
                           .channel = channel,
                           .count = count,
                           .crc32c =
                               leat_crc32c (leat_buffer_bytes (body), leat_buffer_size (body)),
                           .first = peer->next[channel] + 1,
                           .attributes = s_random (self, 20) == 0 };
    if (s_random (self, 10) == 0)
        batch.first = 1 + s_random (self, 60);
    if (s_random (self, 20) == 0)
        batch.count++;
    if (s_random (self, 20) == 0)
        batch.crc32c++;
    driver_send_batch (driver, peer->number, &batch, body);
    leat_buffer_release (&body);
}

static leat_range_t s_random_range (hostile_t *self, const peer_t *peer)
{
    leat_range_t range = { s_epoch (self), s_random (self, 100),
                           1 + (uint32_t) s_random (self, 30) };
    if (peer->lease.count && s_random (self, 5)) {
        range.epoch = peer->lease.epoch;
        range.first = peer->lease.first + s_random (self, peer->lease.count);
    }
    if (s_random (self, 10) == 0)
        range.count = UINT32_MAX;
    return range;
}

static void s_random_lists (hostile_t *self, const peer_t *peer, uint8_t id)
{
    leat_range_t ranges[8];
    leat_settle_entry_t entries[8];
    uint32_t count = (uint32_t) s_random (self, 9);
    for (uint32_t i = 0; i < count; i++) {
        ranges[i] = s_random_range (self, peer);
        uint64_t outcome = s_random (self, 6);
        entries[i] =
            (leat_settle_entry_t){ ranges[i].epoch, ranges[i].first, ranges[i].count,
                                   (uint32_t) s_random (self, 3000),
                                   (uint8_t) (outcome > 3 || !outcome ? LEAT_ACK : outcome) };
    }
    leat_command_t command = { .id = id };
    if (id == LEAT_SETTLE) {
        command.settle.flags = (uint16_t) s_random (self, 2);
        command.settle.entries = (leat_settles_t){ .count = count, .entries = entries };
    } else {
        command.returned.ranges = (leat_ranges_t){ .count = count, .entries = ranges };
    }
    command.settle.channel =
        s_random (self, 5) ? peer->lease.channel : (uint32_t) s_random (self, CHANNELS);
    driver_send (self->driver, peer->number, &command);
}

static void s_random_command (hostile_t *self, const peer_t *peer)
{
    static const char *const names[] = { "a", "b", "a", "b", "a.dead", "b.dead", "", "c" };
    static const uint8_t ids[] = { LEAT_HELLO,  LEAT_PING,      LEAT_OPEN,      LEAT_OPEN,
                                   LEAT_WANT,   LEAT_YIELDED,   LEAT_CLOSE,     LEAT_ATTACH,
                                   LEAT_ATTACH, LEAT_ALLOW,     LEAT_REPORT,    LEAT_SETTLE,
                                   LEAT_SETTLE, LEAT_RETURNED,  LEAT_ASK_EMPTY, LEAT_LEAVE,
                                   LEAT_BYE,    LEAT_DEAD_LIST, LEAT_RESULT,    LEAT_FENCED };
    const char *name = names[s_random (self, 8)];
    uint8_t id = ids[s_random (self, sizeof ids)];
    uint32_t channel = (uint32_t) s_random (self, 4);
    leat_command_t command = { .id = id };
    if (id == LEAT_HELLO) {
        command = driver_hello_command (self->driver, 1 + s_random (self, 3), name);
        command.hello.flags = (uint16_t) s_random (self, 4);
    } else if (id == LEAT_OPEN) {
        command = driver_open_command (channel, name, s_random (self, 3) ? 1 : s_number (self));
        command.open.flags = (uint16_t) s_random (self, 2);
    } else if (id == LEAT_ATTACH) {
        command =
            driver_attach_command (channel, name, s_random (self, 2) ? "g" : "h",
                                   (uint32_t) s_random (self, 30), (uint32_t) s_random (self, 4));
        command.attach.start = (uint8_t) s_random (self, 5);
        command.attach.start_value = s_number (self);
        command.attach.credit_size = s_random (self, 2) ? 1 << 20 : s_random (self, 200);
    } else if (id == LEAT_SETTLE || id == LEAT_RETURNED) {
        s_random_lists (self, peer, id);
        return;
    } else if (id == LEAT_BYE) {
        if (s_random (self, 10))
            return;
    } else if (id == LEAT_ALLOW) {
        command.allow = (leat_allow_t){ channel, (uint32_t) s_random (self, 30), s_number (self) };
    } else if (id != LEAT_PING && id != LEAT_FENCED) {
        command.want.channel = channel;
        if (id == LEAT_WANT || id == LEAT_YIELDED || id == LEAT_REPORT || id == LEAT_ASK_EMPTY)
            command.want.size = s_number (self);
    }
    driver_send (self->driver, peer->number, &command);
}

/* A new connection in place of an old one, which may be lost or go on unheard. */
static void s_connect (hostile_t *self, peer_t *peer)
{
    static const char *const names[] = { "one", "two", "three", "four", "five", "six" };
    if (peer->number && s_random (self, 2))
        driver_lose (self->driver, peer->number);
    *peer = (peer_t){ .number = ++self->last_peer };
    leat_command_t hello =
        driver_hello_command (self->driver, 1 + s_random (self, 9), names[s_random (self, 6)]);
    driver_send (self->driver, peer->number, &hello);
}

static void s_hear (hostile_t *self)
{
    for (size_t i = 0; i < self->driver->inbox_count; i++) {
        const driver_message_t *message = &self->driver->inbox[i];
        for (size_t k = 0; k < PEERS; k++) {
            peer_t *peer = &self->peers[k];
            if (peer->number != message->peer)
                continue;
            const leat_command_t *command = &message->command;
            if (message->is_batch)
                peer->lease = message->batch;
            else if (command->id == LEAT_OPENED)
                peer->next[command->opened.channel % CHANNELS] = command->opened.sequence;
            else if (command->id == LEAT_CONFIRMED)
                peer->next[command->confirmed.channel % CHANNELS] = command->confirmed.sequence;
            else if (command->id == LEAT_REFUSED && command->refused.expected)
                peer->next[command->refused.channel % CHANNELS] = command->refused.expected - 1;
        }
    }
    driver_drop (self->driver, 0);
}

static void s_step (hostile_t *self)
{
    driver_t *driver = self->driver;
    peer_t *peer = &self->peers[s_random (self, PEERS)];
    uint64_t what = s_random (self, 100);
    if (!peer->number || what < 5)
        s_connect (self, peer);
    else if (what < 55)
        s_random_command (self, peer);
    else if (what < 85)
        s_random_publish (self, peer);
    else if (what < 92)
        driver_wait (driver, s_random (self, 1000));
    else if (what < 94)
        driver_complete (driver, 1 + s_random (self, 3),
                         s_random (self, 3) ? LEAT_COMMIT_OK : LEAT_COMMIT_REFUSED);
    else if (what < 95)
        driver->store = (driver_store_t) s_random (self, 3);
    else
        driver->store = DRIVER_OK;
    if (driver->store != DRIVER_HOLD && driver->pending_count)
        driver_complete (driver, 0, LEAT_COMMIT_OK);
    driver_turn (driver);
    s_hear (self);
}

/* Six peers under six names that send commands at random, in any state, with a moody store: every
 * invariant holds after each step, and the store can always be recovered from. */
static void test_hostile_peers (void **state)
{
    leat_limits_t limits = driver_limits ();
    limits.grant_min_size = 4000;
    limits.grant_max_size = 16000;
    limits.record_size = 200;
    limits.batch_size = 4000;
    limits.window_size = 10000;
    limits.stream_size = 20000;
    limits.memory_size = 60000;
    limits.dead_size = 4000;
    limits.attempts = 3;
    limits.marked_records = 20;
    limits.commits = 4;
    limits.commit_records = 30;
    uint64_t delivered = 0;
    uint64_t dead = 0;
    uint64_t suspects = 0;
    for (uint64_t seed = 1; seed <= 150; seed++) {
        hostile_t hostile = { .driver = driver_new (&limits), .state = seed };
        driver_t *driver = hostile.driver;
        driver->beats = false;
        for (int round = 0; round < 3; round++) {
            for (int step = 0; step < 300; step++)
                s_step (&hostile);
            leat_statistics_t statistics = driver_statistics (driver);
            delivered += statistics.records_delivered;
            dead += statistics.records_dead;
            suspects += statistics.records_suspect;
            driver->store = DRIVER_OK;
            driver_restart (driver);
            memset (hostile.peers, 0, sizeof hostile.peers);
        }
        driver_destroy (&hostile.driver);
    }
    assert_true (delivered > 1000);
    assert_true (dead > 10);
    assert_true (suspects > 100);
}

int main (void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test (test_check),         cmocka_unit_test (test_channels_and_streams),
        cmocka_unit_test (test_sequences),     cmocka_unit_test (test_smaller_after_restart),
        cmocka_unit_test (test_hostile_peers),
    };
    return cmocka_run_group_tests (tests, NULL, NULL);
}

/* Consumers that are killed and frozen: how soon their records are in other hands, and which.
 * SPDX-License-Identifier: MPL-2.0
 *
 *      test_broker_deaths                 the tests
 *      test_broker_deaths --count N       N deaths in each way, and how long they took to be noticed
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "broker/io/clock.h"
#include "tests/system/dealer.h"
#include "tests/system/zmtp.h"
#include "wire/alloc.h"
#include "wire/record.h"

enum {
    RECORDS = 10,       /* held by a consumer that dies */
    TEXT_SIZE = 32,     /* of a record */
    COUNT_MAX = 1000,   /* deaths */
    NOTICED_MS = 2000,  /* far below the heartbeat timeout, far above what is measured */
    TIMEOUT_MS = 10000, /* of heartbeats */
    HELD_MAX = 500,     /* records given to one consumer */
    BATCHES_MAX = 4096  /* likewise */
};

static unsigned s_count_asked; /* --count */

/* ---- a scene --------------------------------------------------------------------------------- */

typedef struct {
    hosted_t *hosted;
    const char *ipc;
    void *producer;
    void *survivor;
    uint32_t channel;  /* the last one used */
    uint64_t first_us; /* when s_expect_records got the first one */
} scene_t;

static scene_t *s_scene_new (uint64_t heartbeat_timeout_ms)
{
    static const char *endpoints[] = { "tcp://127.0.0.1:*", "ipc://*" };
    leat_broker_options_t options;
    scene_t *scene = leat_alloc (sizeof *scene);
    hosted_options (&options);
    options.endpoints = endpoints;
    options.endpoint_count = 2;
    options.limits.heartbeat_interval = heartbeat_timeout_ms / 4;
    options.limits.heartbeat_timeout = heartbeat_timeout_ms;
    scene->hosted = hosted_begin (&options);
    scene->ipc = leat_broker_endpoint (scene->hosted->broker, 1);
    scene->producer = dealer_open (scene->hosted->context, ZMQ_DEALER, scene->hosted->endpoint);
    scene->survivor = dealer_open (scene->hosted->context, ZMQ_DEALER, scene->hosted->endpoint);
    return scene;
}

static int s_begin (void **state)
{
    scene_t *scene = s_scene_new (TIMEOUT_MS);
    dealer_greet (scene->producer, "producer");
    dealer_greet (scene->survivor, "survivor");
    *state = scene;
    return 0;
}

static int s_end (void **state)
{
    scene_t *scene = *state;
    zmq_close (scene->producer);
    zmq_close (scene->survivor);
    hosted_end (&scene->hosted);
    free (scene);
    return 0;
}

static uint64_t s_counter (const scene_t *scene, const char *name)
{
    char path[64];
    snprintf (path, sizeof path, "counters.%s", name);
    return hosted_figure (scene->hosted, path);
}

static void s_publish (void *socket, uint32_t channel, const char *stream, uint32_t count)
{
    char texts[RECORDS][TEXT_SIZE];
    const char *pointers[RECORDS];
    answer_t answer;
    leat_command_t open = { .id = LEAT_OPEN };
    open.open.channel = channel;
    open.open.base = 1;
    open.open.stream = leat_text (stream);
    dealer_send (socket, &open);
    answer_begin (&answer);
    dealer_expect (socket, &answer, LEAT_OPENED);
    for (uint32_t first = 0; first < count; first += RECORDS) {
        for (uint32_t index = 0; index < RECORDS; index++) {
            snprintf (texts[index], TEXT_SIZE, "%s %u", stream, first + index);
            pointers[index] = texts[index];
        }
        dealer_publish (socket, channel, first + 1, pointers, RECORDS);
        do
            dealer_expect (socket, &answer, LEAT_CONFIRMED);
        while (answer.command.confirmed.sequence < first + RECORDS);
    }
    answer_end (&answer);
}

static leat_command_t s_attach (uint32_t channel, const char *stream, uint32_t credit)
{
    leat_command_t attach = { .id = LEAT_ATTACH };
    attach.attach.channel = channel;
    attach.attach.credit_records = credit;
    attach.attach.credit_size = 1 << 24;
    attach.attach.max_unreported = 1;
    attach.attach.stream = leat_text (stream);
    attach.attach.group = leat_text ("default");
    return attach;
}

static void s_survivor_attach (scene_t *scene, uint32_t channel, const char *stream)
{
    answer_t answer;
    leat_command_t attach = s_attach (channel, stream, 100000);
    dealer_send (scene->survivor, &attach);
    answer_begin (&answer);
    dealer_expect (scene->survivor, &answer, LEAT_ATTACHED);
    answer_end (&answer);
}

static void s_ack (void *socket, const leat_batch_t *batch)
{
    leat_settle_entry_t entry = {
        .epoch = batch->epoch, .first = batch->first, .count = batch->count, .outcome = LEAT_ACK
    };
    leat_command_t settle = { .id = LEAT_SETTLE };
    settle.settle.channel = batch->channel;
    settle.settle.entries = (leat_settles_t){ .count = 1, .entries = &entry };
    dealer_send (socket, &settle);
}

/* The survivor gets records `from` to `count` of the stream, each once, and acks them. */
static void s_expect_records (scene_t *scene, const char *stream, uint32_t from, uint32_t count)
{
    answer_t answer;
    uint8_t *seen = leat_alloc (count);
    answer_begin (&answer);
    for (uint32_t got = from; got < count; got += answer.batch.count) {
        dealer_expect (scene->survivor, &answer, LEAT_DELIVER);
        if (got == from)
            scene->first_us = leat_clock_monotonic_us ();
        const uint8_t *bytes = answer.records;
        size_t left = answer.batch.size;
        for (uint32_t index = 0; index < answer.batch.count; index++) {
            char text[TEXT_SIZE];
            leat_record_t record;
            uint64_t offset = answer.batch.first + index;
            size_t size = leat_record_decode (&record, false, bytes, left);
            assert_true (size > 0);
            assert_true (offset >= from && offset < count && !seen[offset]++);
            snprintf (text, sizeof text, "%s %u", stream, (unsigned) offset);
            assert_int_equal (record.body_size, strlen (text));
            assert_memory_equal (record.body, text, record.body_size);
            bytes += size;
            left -= size;
        }
        s_ack (scene->survivor, &answer.batch);
    }
    answer_end (&answer);
    free (seen);
}

/* ---- a consumer in a process of its own ------------------------------------------------------ */

typedef struct {
    pid_t pid;
    int fd; /* a byte when it is attached, one for each record that it has got */
} mortal_t;

/* Acks `acks` of the records that it was given, each in a message of its own, and kills itself. They are
 * written at once, so that the broker's I/O thread is far ahead of its core when the end comes. */
_Noreturn static void s_ack_and_die (int peer, const leat_batch_t *batches, uint32_t acks)
{
    enum { MESSAGE_MAX = 128 };
    static uint8_t bytes[HELD_MAX * MESSAGE_MAX];
    size_t size = 0;
    for (; acks; batches++) {
        leat_settle_entry_t entry = { .epoch = batches->epoch, .count = 1, .outcome = LEAT_ACK };
        leat_command_t settle = { .id = LEAT_SETTLE };
        settle.settle.channel = 1;
        settle.settle.entries = (leat_settles_t){ .count = 1, .entries = &entry };
        for (uint32_t index = 0; index < batches->count && acks; index++, acks--) {
            uint8_t message[MESSAGE_MAX];
            entry.first = batches->first + index;
            size_t message_size = leat_command_encode (&settle, message);
            size += zmtp_frame (bytes + size, 0, message, message_size);
        }
    }
    if (zmtp_write (peer, bytes, size))
        kill (getpid (), SIGKILL);
    _exit (94);
}

/* Takes records, and waits for its death. With `held`, once it has so many, it stops, and when it is
 * told to go on acks the first `acks` of them and kills itself. */
_Noreturn static void s_live (int fd, const char *endpoint, const char *stream, uint32_t held,
                              uint32_t acks)
{
    static uint8_t body[ZMTP_FRAME_MAX];
    static leat_batch_t batches[BATCHES_MAX];
    char identity[64];
    size_t size;
    unsigned flags;
    prctl (PR_SET_PDEATHSIG, SIGKILL);
    snprintf (identity, sizeof identity, "mortal-%d", (int) getpid ());
    int peer = zmtp_open (endpoint);
    leat_command_t attach = s_attach (1, stream, 100000);
    if (peer < 0 || !zmtp_greet (peer, identity) || !zmtp_send_command (peer, &attach)
        || !zmtp_expect (peer, LEAT_ATTACHED, body, &size, &flags) || write (fd, "A", 1) != 1)
        _exit (97);
    uint32_t got = 0;
    leat_batch_t *batch = batches;
    while (zmtp_expect (peer, LEAT_DELIVER, body, &size, &flags)) {
        uint32_t before = got;
        for (const uint8_t *header = body; header < body + size; header += LEAT_BATCH_HEADER_SIZE) {
            if (batch == batches + BATCHES_MAX
                || leat_batch_decode (batch, header, LEAT_BATCH_HEADER_SIZE) != LEAT_OK)
                _exit (96);
            got += batch++->count;
        }
        if (!zmtp_receive (peer, &flags, body, &size))
            _exit (96);
        for (uint32_t index = before; !held && index < got; index++)
            if (write (fd, "D", 1) != 1)
                _exit (95);
        if (held && got == held) {
            kill (getpid (), SIGSTOP);
            s_ack_and_die (peer, batches, acks);
        }
    }
    _exit (93);
}

static void s_mortal_begin (mortal_t *mortal, const char *endpoint, const char *stream,
                            uint32_t held, uint32_t acks)
{
    int fds[2];
    char byte;
    assert_int_equal (pipe (fds), 0);
    fflush (NULL);
    mortal->pid = fork ();
    assert_true (mortal->pid >= 0);
    if (mortal->pid == 0)
        s_live (fds[1], endpoint, stream, held, acks);
    close (fds[1]);
    mortal->fd = fds[0];
    assert_int_equal (read (mortal->fd, &byte, 1), 1);
    assert_int_equal (byte, 'A');
}

static void s_mortal_expect (const mortal_t *mortal, unsigned records)
{
    char byte;
    while (records--)
        assert_int_equal (read (mortal->fd, &byte, 1), 1);
}

static void s_mortal_end (mortal_t *mortal)
{
    int status;
    assert_int_equal (waitpid (mortal->pid, &status, 0), mortal->pid);
    if (!WIFSIGNALED (status) || WTERMSIG (status) != SIGKILL)
        fail_msg ("the consumer ended with status %x before it was killed", (unsigned) status);
    close (mortal->fd);
}

/* ---- other traffic --------------------------------------------------------------------------- */

/* A client that publishes, is given what it published, checks and acks it, over and over. */
typedef struct {
    hosted_t *hosted;
    unsigned number;
    atomic_bool stop;
    pthread_t thread;
    uint64_t rounds;
} traffic_t;

static void *s_flow (void *arg)
{
    traffic_t *self = arg;
    char stream[TEXT_SIZE];
    char text[TEXT_SIZE];
    const char *const texts[] = { text };
    answer_t answer;
    snprintf (stream, sizeof stream, "river-%u", self->number);
    void *socket = dealer_open (self->hosted->context, ZMQ_DEALER, self->hosted->endpoint);
    dealer_greet (socket, stream);
    s_publish (socket, 1, stream, 0);
    answer_begin (&answer);
    leat_command_t attach = s_attach (2, stream, 100);
    dealer_send (socket, &attach);
    dealer_expect (socket, &answer, LEAT_ATTACHED);
    for (self->rounds = 0; !atomic_load (&self->stop); self->rounds++) {
        snprintf (text, sizeof text, "%llu", (unsigned long long) self->rounds);
        dealer_publish (socket, 1, self->rounds + 1, texts, 1);
        bool delivered = false;
        bool confirmed = false;
        while (!delivered || !confirmed) {
            dealer_receive (socket, &answer);
            confirmed |= answer.command.id == LEAT_CONFIRMED;
            if (answer.command.id == LEAT_DELIVER) {
                assert_true (answer.batch.first == self->rounds);
                answer_compare (&answer, texts, 1);
                s_ack (socket, &answer.batch);
                delivered = true;
            }
        }
    }
    answer_end (&answer);
    zmq_close (socket);
    return NULL;
}

static void s_traffic_begin (traffic_t *self, scene_t *scene, unsigned number)
{
    *self = (traffic_t){ .hosted = scene->hosted, .number = number };
    assert_int_equal (pthread_create (&self->thread, NULL, s_flow, self), 0);
}

static void s_traffic_end (traffic_t *self)
{
    atomic_store (&self->stop, true);
    assert_int_equal (pthread_join (self->thread, NULL), 0);
    assert_true (self->rounds > 0);
}

/* ---- how soon -------------------------------------------------------------------------------- */

/* Kills a consumer; microseconds until the first of its records came to the survivor. */
static uint64_t s_kill_one (scene_t *scene, const char *endpoint)
{
    mortal_t mortal;
    char stream[TEXT_SIZE];
    uint32_t channel = ++scene->channel;
    snprintf (stream, sizeof stream, "corn-%u", channel);
    s_mortal_begin (&mortal, endpoint, stream, 0, 0);
    s_publish (scene->producer, channel, stream, RECORDS);
    s_mortal_expect (&mortal, RECORDS);
    s_survivor_attach (scene, channel, stream);
    uint64_t begin_us = leat_clock_monotonic_us ();
    kill (mortal.pid, SIGKILL);
    s_expect_records (scene, stream, 0, RECORDS);
    s_mortal_end (&mortal);
    return scene->first_us - begin_us;
}

static int s_compare (const void *a, const void *b)
{
    const uint64_t *left = a;
    const uint64_t *right = b;
    return (*left > *right) - (*left < *right);
}

static void s_kill_many (scene_t *scene, const char *endpoint, const char *what)
{
    unsigned count = s_count_asked ? s_count_asked : 20;
    unsigned middle = count / 2;
    uint64_t took_us[COUNT_MAX] = { 0 };
    uint64_t timed_out = s_counter (scene, "sessions_timed_out");
    uint64_t unreachable = s_counter (scene, "sessions_unreachable");
    for (unsigned index = 0; index < count; index++)
        took_us[index] = s_kill_one (scene, endpoint);
    qsort (took_us, count, sizeof *took_us, s_compare);
    print_message ("%-16s %u deaths, noticed and handed on after: median %.1f ms, worst %.1f ms\n",
                   what, count, (double) took_us[middle] / 1000,
                   (double) took_us[count - 1] / 1000);
    assert_true (took_us[count - 1] < NOTICED_MS * UINT64_C (1000));
    assert_int_equal (s_counter (scene, "sessions_timed_out"), timed_out);
    assert_int_equal (s_counter (scene, "sessions_unreachable"), unreachable + count);
    assert_true (s_counter (scene, "connections_ended") >= count);
}

static void test_killed_over_tcp (void **state)
{
    scene_t *scene = *state;
    s_kill_many (scene, scene->hosted->endpoint, "tcp, idle");
}

static void test_killed_over_ipc (void **state)
{
    scene_t *scene = *state;
    s_kill_many (scene, scene->ipc, "ipc, idle");
}

static void test_killed_beside_traffic (void **state)
{
    scene_t *scene = *state;
    traffic_t traffic[3];
    for (unsigned index = 0; index < 3; index++)
        s_traffic_begin (&traffic[index], scene, index);
    s_kill_many (scene, scene->hosted->endpoint, "tcp, traffic");
    s_kill_many (scene, scene->ipc, "ipc, traffic");
    for (unsigned index = 0; index < 3; index++)
        s_traffic_end (&traffic[index]);
}

/* ---- what it had sent counts ----------------------------------------------------------------- */

/* It acks hundreds of records, in as many messages, and is dead before the broker has read them. */
static void test_last_acks_count (void **state)
{
    enum { HELD = HELD_MAX, ACKED = 400 };
    scene_t *scene = *state;
    for (int which = 0; which < 2; which++) {
        mortal_t mortal;
        char stream[TEXT_SIZE];
        uint32_t channel = ++scene->channel;
        snprintf (stream, sizeof stream, "acked-%u", channel);
        s_publish (scene->producer, channel, stream, HELD);
        const char *endpoint = which ? scene->ipc : scene->hosted->endpoint;
        int status;
        s_mortal_begin (&mortal, endpoint, stream, HELD, ACKED);
        assert_int_equal (waitpid (mortal.pid, &status, WUNTRACED), mortal.pid);
        assert_true (WIFSTOPPED (status));
        s_survivor_attach (scene, channel, stream);
        kill (mortal.pid, SIGCONT);
        s_mortal_end (&mortal);
        s_expect_records (scene, stream, ACKED, HELD);
    }
    assert_int_equal (s_counter (scene, "settles_stale"), 0);
    assert_int_equal (s_counter (scene, "frames_former"), 0);
}

/* ---- descriptors that are used again --------------------------------------------------------- */

/* Each dead consumer is followed at once by a client that gets its descriptor. */
static void test_descriptors_used_again (void **state)
{
    enum { ROUNDS = 30, FOLLOWERS = 3 };
    scene_t *scene = *state;
    int followers[ROUNDS * FOLLOWERS];
    unsigned count = 0;
    for (unsigned round = 0; round < ROUNDS; round++) {
        mortal_t mortal;
        char stream[TEXT_SIZE];
        uint32_t channel = ++scene->channel;
        const char *endpoint = round % 2 ? scene->ipc : scene->hosted->endpoint;
        snprintf (stream, sizeof stream, "again-%u", channel);
        s_mortal_begin (&mortal, endpoint, stream, 0, 0);
        s_publish (scene->producer, channel, stream, RECORDS);
        s_mortal_expect (&mortal, RECORDS);
        s_survivor_attach (scene, channel, stream);
        kill (mortal.pid, SIGKILL);
        for (unsigned index = 0; index < FOLLOWERS; index++, count++) {
            char identity[TEXT_SIZE];
            snprintf (identity, sizeof identity, "follower-%u", count);
            followers[count] = zmtp_open (endpoint);
            assert_true (followers[count] >= 0);
            assert_true (zmtp_greet (followers[count], identity));
        }
        s_expect_records (scene, stream, 0, RECORDS);
        s_mortal_end (&mortal);
    }
    assert_int_equal (s_counter (scene, "sessions_unreachable"), ROUNDS);
    assert_int_equal (hosted_figure (scene->hosted, "sessions"), 2 + count);
    /* Every follower still has its session, and what came to it unasked is PONG alone. */
    for (unsigned index = 0; index < count; index++) {
        static uint8_t body[ZMTP_FRAME_MAX];
        size_t size;
        unsigned flags;
        leat_command_t command;
        leat_command_t ping = { .id = LEAT_PING, .ping = { .token = 7 } };
        assert_true (zmtp_send_command (followers[index], &ping));
        do {
            assert_true (zmtp_receive (followers[index], &flags, body, &size));
            assert_int_equal (leat_command_decode (&command, body, size, NULL), LEAT_OK);
            assert_int_equal (command.id, LEAT_PONG);
        } while (command.pong.token != 7);
        close (followers[index]);
    }
    hosted_wait_for (scene->hosted, "counters.sessions_unreachable", ROUNDS + count);
}

/* ---- floods ---------------------------------------------------------------------------------- */

static void test_connections_come_and_go (void **state)
{
    enum { CONNECTIONS = 2000 };
    scene_t *scene = *state;
    traffic_t traffic;
    s_traffic_begin (&traffic, scene, 0);
    for (unsigned index = 0; index < CONNECTIONS; index++) {
        const char *endpoint = index % 2 ? scene->ipc : scene->hosted->endpoint;
        char identity[TEXT_SIZE];
        snprintf (identity, sizeof identity, "visitor-%u", index);
        /* One third says nothing, one third greets as ZMTP, one third has a session. */
        int fd = index % 3 ? zmtp_open (endpoint) : zmtp_connect (endpoint);
        assert_true (fd >= 0);
        if (index % 3 == 2)
            assert_true (zmtp_greet (fd, identity));
        close (fd);
    }
    hosted_wait_for (scene->hosted, "counters.connections_ended", CONNECTIONS);
    hosted_wait_for (scene->hosted, "counters.sessions_unreachable", CONNECTIONS / 3);
    s_traffic_end (&traffic);
    assert_int_equal (s_counter (scene, "sessions_timed_out"), 0);
    assert_int_equal (s_kill_one (scene, scene->hosted->endpoint) < NOTICED_MS * 1000, 1);
}

/* ---- who does not end, but stops ------------------------------------------------------------- */

static void test_frozen (void **state)
{
    enum { FROZEN_TIMEOUT_MS = 2000 };
    scene_t *scene = s_scene_new (FROZEN_TIMEOUT_MS);
    mortal_t mortal;
    (void) state;
    dealer_greet (scene->producer, "producer");
    s_mortal_begin (&mortal, scene->hosted->endpoint, "frozen", 0, 0);
    s_publish (scene->producer, 1, "frozen", RECORDS);
    s_mortal_expect (&mortal, RECORDS);
    uint64_t begin_us = leat_clock_monotonic_us ();
    kill (mortal.pid, SIGSTOP);
    hosted_wait_for (scene->hosted, "counters.sessions_timed_out", 1);
    uint64_t took_us = leat_clock_monotonic_us () - begin_us;
    print_message ("%-16s noticed after %.2f heartbeat timeouts\n", "frozen",
                   (double) took_us / (FROZEN_TIMEOUT_MS * 1000));
    dealer_greet (scene->survivor, "survivor");
    s_survivor_attach (scene, 1, "frozen");
    s_expect_records (scene, "frozen", 0, RECORDS);
    kill (mortal.pid, SIGKILL);
    kill (mortal.pid, SIGCONT);
    s_mortal_end (&mortal);
    assert_true (took_us < 3 * FROZEN_TIMEOUT_MS * UINT64_C (1000));
    *state = scene;
    s_end (state);
}

int main (int argc, char **argv)
{
    const struct CMUnitTest kills[] = {
        cmocka_unit_test_setup_teardown (test_killed_over_tcp, s_begin, s_end),
        cmocka_unit_test_setup_teardown (test_killed_over_ipc, s_begin, s_end),
        cmocka_unit_test_setup_teardown (test_killed_beside_traffic, s_begin, s_end),
    };
    const struct CMUnitTest others[] = {
        cmocka_unit_test_setup_teardown (test_last_acks_count, s_begin, s_end),
        cmocka_unit_test_setup_teardown (test_descriptors_used_again, s_begin, s_end),
        cmocka_unit_test_setup_teardown (test_connections_come_and_go, s_begin, s_end),
        cmocka_unit_test (test_frozen),
    };
    if (argc == 3 && strcmp (argv[1], "--count") == 0)
        s_count_asked = (unsigned) strtoul (argv[2], NULL, 10);
    if (argc > 1 && (!s_count_asked || s_count_asked > COUNT_MAX)) {
        fprintf (stderr, "usage: %s [--count 1..%d]\n", argv[0], COUNT_MAX);
        return 2;
    }
    int failed = cmocka_run_group_tests (kills, NULL, NULL);
    return s_count_asked ? failed : failed + cmocka_run_group_tests (others, NULL, NULL);
}

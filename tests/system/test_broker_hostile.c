/* Peers that speak ZMTP in ways that libzmq does not survive, and more connections than files.
 * SPDX-License-Identifier: MPL-2.0 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "broker/io/clock.h"
#include "broker/io/endpoint.h"
#include "tests/system/honest.h"
#include "tests/system/zmtp.h"
#include "wire/alloc.h"

/* ---- a full queue that ends in a PING -------------------------------------------------------- */

/* More messages than the broker reads at once, with PINGs of ZMTP among them, as many as the kernel takes;
 * then the connection is reset. */
static void s_flood_and_hang_up (const char *endpoint)
{
    enum { SIZE = 1 << 20, BURSTS = 4, PING_EVERY = 100 };
    static const uint8_t ping[] = { 4, 'P', 'I', 'N', 'G', 0, 0 };
    const struct linger reset = { .l_onoff = 1 };
    uint8_t *bytes = leat_alloc (SIZE);
    size_t size = 0;
    for (unsigned count = 1; size < SIZE - 16; count++)
        size += count % PING_EVERY ? zmtp_frame (bytes + size, 0, "\xee", 1)
                                   : zmtp_frame (bytes + size, ZMTP_COMMAND, ping, sizeof ping);
    int fd = zmtp_open (endpoint);
    assert_true (fd >= 0);
    for (unsigned burst = 0; burst < BURSTS; burst++) {
        /* Where the kernel takes less, the connection ends within a frame. */
        if (send (fd, bytes, size, MSG_NOSIGNAL | MSG_DONTWAIT) < (ssize_t) size)
            break;
    }
    setsockopt (fd, SOL_SOCKET, SO_LINGER, &reset, sizeof reset);
    close (fd);
    free (bytes);
}

/* libzmq aborts the process if its queue for the connection is full then (stream_engine_base.cpp). */
static void test_flood_and_hang_up (void **state)
{
    enum { ROUNDS = 8 };
    static const char *endpoints[] = { "tcp://127.0.0.1:*", "ipc://*" };
    leat_broker_options_t options;
    hosted_options (&options);
    options.endpoints = endpoints;
    options.endpoint_count = 2;
    hosted_t *hosted = hosted_begin (&options);
    for (unsigned round = 0; round < ROUNDS; round++) {
        s_flood_and_hang_up (hosted->endpoint);
        s_flood_and_hang_up (leat_broker_endpoint (hosted->broker, 1));
        s_flood_and_hang_up (hosted->stats_endpoint);
    }
    hosted_wait_for (hosted, "counters.connections_ended", UINT64_C (2) * ROUNDS);
    void *socket = dealer_open (hosted->context, ZMQ_DEALER, hosted->endpoint);
    dealer_greet (socket, "honest");
    zmq_close (socket);
    hosted_end (&hosted);
}

/* ---- more connections than files ------------------------------------------------------------- */

enum { FILES = 160, CONNECTIONS = 400 };

typedef struct {
    pid_t pid;
    char tcp[LEAT_ENDPOINT_SIZE];
    char ipc[LEAT_ENDPOINT_SIZE];
    char stats[LEAT_ENDPOINT_SIZE];
} child_t;

typedef void (alter_fn) (leat_broker_options_t *options);

_Noreturn static void s_child (int fd, rlim_t file_count, alter_fn *alter)
{
    static const char *endpoints[] = { "tcp://127.0.0.1:*", "ipc://*" };
    const struct rlimit files = { file_count, file_count };
    char error[512];
    leat_broker_options_t options;
    child_t child;
    prctl (PR_SET_PDEATHSIG, SIGKILL);
    hosted_options (&options);
    options.endpoints = endpoints;
    options.endpoint_count = 2;
    options.signals = true;
    if (alter)
        alter (&options);
    if (file_count && setrlimit (RLIMIT_NOFILE, &files))
        _exit (99);
    leat_broker_t *broker = leat_broker_new (&options, error, sizeof error);
    if (!broker)
        _exit (98);
    snprintf (child.tcp, sizeof child.tcp, "%s", leat_broker_endpoint (broker, 0));
    snprintf (child.ipc, sizeof child.ipc, "%s", leat_broker_endpoint (broker, 1));
    snprintf (child.stats, sizeof child.stats, "%s", leat_broker_stats_endpoint (broker));
    if (write (fd, &child, sizeof child) != sizeof child)
        _exit (97);
    close (fd);
    leat_broker_end_t end = leat_broker_run (broker);
    leat_broker_destroy (&broker);
    _exit (end);
}

/* A broker in a process of its own, which may open so many files if that is not 0, and with options that
 * are altered if that is not NULL. */
static void s_begin_child (child_t *child, rlim_t file_count, alter_fn *alter)
{
    int fds[2];
    assert_int_equal (pipe (fds), 0);
    fflush (NULL);
    pid_t pid = fork ();
    assert_true (pid >= 0);
    if (pid == 0)
        s_child (fds[1], file_count, alter);
    close (fds[1]);
    assert_int_equal (read (fds[0], child, sizeof *child), sizeof *child);
    close (fds[0]);
    child->pid = pid;
}

static void s_end_child (const child_t *child)
{
    int status;
    assert_int_equal (kill (child->pid, SIGTERM), 0);
    assert_int_equal (waitpid (child->pid, &status, 0), child->pid);
    assert_true (WIFEXITED (status));
    assert_int_equal (WEXITSTATUS (status), 0);
}

static uint64_t s_cpu_us (pid_t pid)
{
    clockid_t clock;
    struct timespec time;
    assert_int_equal (clock_getcpuclockid (pid, &clock), 0);
    assert_int_equal (clock_gettime (clock, &time), 0);
    return (uint64_t) time.tv_sec * 1000000 + (uint64_t) time.tv_nsec / 1000;
}

/* The share of a processor that it takes while nothing comes to the socket. */
static double s_busy (pid_t pid, void *socket)
{
    zmq_pollitem_t item = { .socket = socket, .events = ZMQ_POLLIN };
    uint64_t cpu_us = s_cpu_us (pid);
    uint64_t now_us = leat_clock_monotonic_us ();
    assert_int_equal (zmq_poll (&item, 1, 500), 0);
    return (double) (s_cpu_us (pid) - cpu_us) / (double) (leat_clock_monotonic_us () - now_us);
}

/* A round trip over a connection that is there already: the broker has heard of all earlier ones then. */
static void s_ask (void *socket)
{
    answer_t answer;
    leat_command_t command = { .id = LEAT_CLOSE, .close = { .channel = 5 } };
    answer_begin (&answer);
    dealer_send (socket, &command);
    dealer_expect (socket, &answer, LEAT_REFUSED);
    assert_int_equal (answer.command.refused.code, LEAT_NO_SUCH_CHANNEL);
    answer_end (&answer);
}

/* A connection that is one too many is closed at once. So the broker neither spins nor aborts, who was
 * there before stays, stats can be asked, and there is room again as soon as others leave. */
static void test_more_connections_than_files (void **state)
{
    enum { AT_ONCE = 10 };
    child_t child;
    int fds[CONNECTIONS];
    s_begin_child (&child, FILES, NULL);
    void *context = zmq_ctx_new ();
    hosted_t hosted = { .context = context, .stats_endpoint = child.stats };
    void *early = dealer_open (context, ZMQ_DEALER, child.tcp);
    dealer_greet (early, "early");
    for (unsigned index = 0; index < CONNECTIONS; index++) {
        fds[index] = zmtp_connect (index % 2 ? child.ipc : child.tcp);
        if (index % AT_ONCE == 0)
            s_ask (early);
    }
    double busy = s_busy (child.pid, early);
    print_message ("takes %.2f of a processor\n", busy);
    assert_true (busy < 0.5);
    assert_true (hosted_figure (&hosted, "counters.connections_refused") >= CONNECTIONS - FILES);
    s_ask (early);
    for (unsigned index = 0; index < CONNECTIONS; index++)
        if (fds[index] >= 0)
            close (fds[index]);
    /* libzmq's sockets connect again by themselves until there is room. */
    void *late = dealer_open (context, ZMQ_DEALER, child.ipc);
    dealer_greet (late, "late");
    zmq_close (early);
    zmq_close (late);
    zmq_ctx_term (context);
    s_end_child (&child);
}

/* ---- more than the core can read ------------------------------------------------------------- */

/* What the broker may grow by before it has cut the one who floods it. */
#if defined __SANITIZE_ADDRESS__ || defined __SANITIZE_THREAD__
enum { GROWTH_MAX_KIB = 1024 * 1024 };
#else
enum { GROWTH_MAX_KIB = 256 * 1024 };
#endif

typedef enum { OVER_TCP, OVER_IPC, TO_STATS } way_t;

typedef struct {
    const char *name;
    way_t way;
    bool session;
    unsigned flags;  /* of each frame */
    uint8_t command; /* its first byte; the others are 0 */
    size_t size;
} flood_t;

static const flood_t s_floods[] = {
    { "garbage, one byte each", OVER_TCP, true, 0, 0xee, 1 },
    { "garbage, one byte each, ipc", OVER_IPC, true, 0, 0xee, 1 },
    { "garbage, 1000 bytes each", OVER_TCP, true, 0, 0xee, 1000 },
    { "garbage without a session", OVER_TCP, false, 0, 0xee, 1 },
    { "garbage without a session, ipc", OVER_IPC, false, 0, 0xee, 1 },
    { "CLOSE for no channel", OVER_TCP, true, 0, LEAT_CLOSE, 5 },
    { "PING without end", OVER_TCP, true, 0, LEAT_PING, 9 },
    { "PING without end, ipc", OVER_IPC, true, 0, LEAT_PING, 9 },
    { "endless message, empty parts", OVER_TCP, true, ZMTP_MORE, 0, 0 },
    { "endless message, parts of a byte", OVER_TCP, false, ZMTP_MORE, 1, 1 },
    { "endless message, large parts", OVER_TCP, true, ZMTP_MORE, 1, 20000 },
    { "endless message, parts of a byte, ipc", OVER_IPC, true, ZMTP_MORE, 1, 1 },
    { "endless message, large parts, ipc", OVER_IPC, false, ZMTP_MORE, 1, 20000 },
    { "endless request for stats", TO_STATS, false, ZMTP_MORE, 1, 1 },
};

/* Writes until the connection ends; never reads. */
_Noreturn static void s_flood (const flood_t *flood, const char *endpoint)
{
    enum { SIZE = 1 << 18 };
    uint8_t part[20000] = { flood->command };
    uint8_t *bytes = leat_alloc (SIZE);
    size_t size = 0;
    while (size + flood->size + 9 <= SIZE)
        size += zmtp_frame (bytes + size, flood->flags, part, flood->size);
    prctl (PR_SET_PDEATHSIG, SIGKILL);
    int fd = zmtp_open (endpoint);
    if (fd < 0 || (flood->session && !zmtp_greet (fd, "flood")))
        _exit (2);
    while (zmtp_write (fd, bytes, size))
        continue;
    _exit (0);
}

static pid_t s_begin_flood (const flood_t *flood, const char *endpoint)
{
    fflush (NULL);
    pid_t pid = fork ();
    assert_true (pid >= 0);
    if (pid == 0)
        s_flood (flood, endpoint);
    return pid;
}

/* Memory of its own in KiB. */
static uint64_t s_memory (pid_t pid)
{
    char path[64];
    char line[256];
    static const char name[] = "RssAnon:";
    uint64_t size = 0;
    snprintf (path, sizeof path, "/proc/%d/status", (int) pid);
    FILE *file = fopen (path, "r");
    assert_non_null (file);
    while (fgets (line, sizeof line, file))
        if (strncmp (line, name, sizeof name - 1) == 0)
            size = strtoull (line + sizeof name - 1, NULL, 10);
    fclose (file);
    return size;
}

static void s_try_flood (const flood_t *flood, const child_t *child, honest_t *honest)
{
    const char *endpoint = flood->way == OVER_TCP   ? child->tcp
                           : flood->way == OVER_IPC ? child->ipc
                                                    : child->stats;
    uint64_t before = s_memory (child->pid);
    uint64_t most = before;
    uint64_t begin_us = leat_clock_monotonic_us ();
    int status = 0;
    pid_t pid = s_begin_flood (flood, endpoint);
    while (waitpid (pid, &status, WNOHANG) == 0) {
        honest_go_on (honest);
        uint64_t now = s_memory (child->pid);
        most = now > most ? now : most;
        if (most - before > GROWTH_MAX_KIB
            || leat_clock_monotonic_us () - begin_us > UINT64_C (1000) * DEALER_PATIENCE_MS) {
            kill (pid, SIGKILL);
            waitpid (pid, &status, 0);
            fail_msg ("%s: grew by %llu KiB, not ended", flood->name,
                      (unsigned long long) (most - before));
        }
    }
    assert_true (WIFEXITED (status));
    assert_int_equal (WEXITSTATUS (status), 0);
    honest_go_on (honest);
    print_message ("%s: cut after %llu ms, the broker grew by %llu KiB\n", flood->name,
                   (unsigned long long) (leat_clock_monotonic_us () - begin_us) / 1000,
                   (unsigned long long) (most - before));
}

/* Whoever sends what no honest peer would, and does not read what it is told, is cut off before it fills
 * memory; others go on, and none of them is cut. */
static void test_floods (void **state)
{
    enum { COUNT = sizeof s_floods / sizeof *s_floods };
    child_t child;
    honest_t honest;
    s_begin_child (&child, 0, NULL);
    void *context = zmq_ctx_new ();
    hosted_t hosted = { .context = context, .stats_endpoint = child.stats };
    honest_begin (&honest, context, child.tcp, child.ipc);
    for (size_t index = 0; index < COUNT; index++)
        s_try_flood (&s_floods[index], &child, &honest);
    hosted_wait_for (&hosted, "counters.connections_cut", COUNT);
    assert_int_equal (hosted_figure (&hosted, "counters.connections_cut"), COUNT);
    honest_end (&honest);
    zmq_ctx_term (context);
    s_end_child (&child);
}

/* ---- answers that nobody reads ---------------------------------------------------------------- */

enum { FEW_RECORDS = 1000 };

static void s_little_credit (leat_broker_options_t *options)
{
    options->limits.credit_records = FEW_RECORDS;
}

/* Each is legal and is answered; nothing but the queue of answers tells that none is read. */
static void test_answers_unread (void **state)
{
    enum { COUNT = 500, ROUNDS = 4000 };
    static uint8_t bytes[COUNT * 64];
    uint8_t body[ZMTP_FRAME_MAX];
    uint8_t asks[64];
    size_t size = 0;
    unsigned flags;
    child_t child;
    honest_t honest;
    s_begin_child (&child, 0, s_little_credit);
    void *context = zmq_ctx_new ();
    hosted_t hosted = { .context = context, .stats_endpoint = child.stats };
    honest_begin (&honest, context, child.tcp, child.ipc);
    uint64_t before = s_memory (child.pid);
    uint64_t most = before;
    int fd = zmtp_open (child.tcp);
    assert_true (fd >= 0 && zmtp_greet (fd, "deaf"));
    leat_command_t attach = { .id = LEAT_ATTACH };
    attach.attach.channel = 1;
    attach.attach.stream = leat_text ("deaf");
    attach.attach.group = leat_text ("default");
    assert_true (zmtp_send_command (fd, &attach));
    assert_true (zmtp_expect (fd, LEAT_ATTACHED, body, &size, &flags));
    leat_command_t ask = { .id = LEAT_SETTLE };
    ask.settle.channel = 1;
    ask.settle.flags = LEAT_SETTLE_CONFIRM;
    size_t ask_size = leat_command_encoded_size (&ask);
    assert_true (ask_size <= sizeof asks);
    leat_command_encode (&ask, asks);
    size = 0;
    for (unsigned index = 0; index < COUNT; index++)
        size += zmtp_frame (bytes + size, 0, asks, ask_size);
    unsigned rounds = 0;
    while (rounds < ROUNDS && zmtp_write (fd, bytes, size)) {
        honest_go_on (&honest);
        uint64_t now = s_memory (child.pid);
        most = now > most ? now : most;
        rounds++;
    }
    assert_true (rounds < ROUNDS);
    hosted_wait_for (&hosted, "counters.sends_full", 1);
    assert_int_equal (hosted_figure (&hosted, "counters.sends_full"), 1);
    hosted_wait_for (&hosted, "counters.connections_cut", 1);
    assert_int_equal (hosted_figure (&hosted, "counters.connections_cut"), 1);
    assert_int_equal (hosted_figure (&hosted, "counters.peers_cut"), 0);
    print_message ("cut after %u asked, the broker grew by %llu KiB\n", rounds * COUNT,
                   (unsigned long long) (most - before));
    assert_true (most - before < GROWTH_MAX_KIB);
    honest_go_on (&honest);
    close (fd);
    honest_end (&honest);
    zmq_ctx_term (context);
    s_end_child (&child);
}

/* ---- a broker that is stopped ----------------------------------------------------------------- */

enum { CREDIT_SIZE = 4 * 1024 * 1024 };

static void s_much_credit (leat_broker_options_t *options)
{
    options->limits.grant_min_size = CREDIT_SIZE;
    options->limits.grant_max_size = CREDIT_SIZE;
    options->limits.window_size = CREDIT_SIZE;
}

/* Whatever credit allows may be on its way when the broker goes on: as much of it as can be, in small
 * batches, beside a flood that makes the broker look. Everything is confirmed, and only the flood is cut. */
static void test_much_under_way (void **state)
{
    enum { BATCHES = 300, TEXT_SIZE = 12 * 1024 };
    static char text[TEXT_SIZE + 1];
    const char *const texts[] = { text };
    const flood_t flood = { "", OVER_TCP, true, ZMTP_MORE, 1, 20000 }; /* which only a look ends */
    child_t child;
    answer_t answer;
    int status;
    s_begin_child (&child, 0, s_much_credit);
    void *context = zmq_ctx_new ();
    hosted_t hosted = { .context = context, .stats_endpoint = child.stats };
    void *producer = dealer_open (context, ZMQ_DEALER, child.tcp);
    dealer_greet (producer, "producer");
    leat_command_t open = { .id = LEAT_OPEN };
    open.open.channel = 1;
    open.open.base = 1;
    open.open.stream = leat_text ("corn");
    dealer_send (producer, &open);
    answer_begin (&answer);
    dealer_expect (producer, &answer, LEAT_OPENED);
    assert_true (answer.command.opened.limit == CREDIT_SIZE);
    pid_t pid = s_begin_flood (&flood, child.tcp);
    assert_int_equal (kill (child.pid, SIGSTOP), 0);
    memset (text, 'x', TEXT_SIZE);
    for (uint64_t sequence = 1; sequence <= BATCHES; sequence++)
        dealer_publish (producer, 1, sequence, texts, 1);
    assert_int_equal (kill (child.pid, SIGCONT), 0);
    do
        dealer_expect (producer, &answer, LEAT_CONFIRMED);
    while (answer.command.confirmed.sequence < BATCHES);
    answer_end (&answer);
    assert_int_equal (waitpid (pid, &status, 0), pid);
    assert_true (WIFEXITED (status));
    assert_int_equal (WEXITSTATUS (status), 0);
    hosted_wait_for (&hosted, "counters.records_accepted", BATCHES);
    assert_int_equal (hosted_figure (&hosted, "counters.records_accepted"), BATCHES);
    hosted_wait_for (&hosted, "counters.connections_cut", 1);
    assert_int_equal (hosted_figure (&hosted, "counters.connections_cut"), 1);
    zmq_close (producer);
    zmq_ctx_term (context);
    s_end_child (&child);
}

int main (void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test (test_more_connections_than_files),
        cmocka_unit_test (test_flood_and_hang_up),
        cmocka_unit_test (test_floods),
        cmocka_unit_test (test_answers_unread),
        cmocka_unit_test (test_much_under_way),
    };
    return cmocka_run_group_tests (tests, NULL, NULL);
}

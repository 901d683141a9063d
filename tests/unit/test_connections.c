/* Whose connection is shut down when memory grows, and whose is not.
 * SPDX-License-Identifier: MPL-2.0 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "broker/io/connections.h"
#include "wire/alloc.h"

enum { ALLOWANCE = 256 * 1024, MESSAGE_MAX = 1024 * 1024, GROWTH = 16 * 1024 * 1024, GROWTHS = 8 };

#define PATIENCE_US UINT64_C (20000000)

/* This process is both ends; what libzmq would hold is what the near end has taken from the kernel. */
typedef struct {
    leat_connections_t *connections;
    uint64_t now_us;
    void *memory[GROWTHS];
    unsigned growths;
} scene_t;

typedef struct {
    int near;
    int far;
} pair_t;

static uint64_t s_allowance (void *arg, uint64_t peer)
{
    (void) arg;
    (void) peer;
    return ALLOWANCE;
}

static int s_begin (void **state)
{
    scene_t *scene = leat_alloc (sizeof *scene);
    scene->connections = leat_connections_new (s_allowance, NULL, MESSAGE_MAX, PATIENCE_US);
    scene->now_us = 1000000;
    leat_connections_check (scene->connections, scene->now_us, true);
    *state = scene;
    return 0;
}

static int s_end (void **state)
{
    scene_t *scene = *state;
    leat_connections_destroy (&scene->connections);
    assert_null (scene->connections);
    for (unsigned index = 0; index < scene->growths; index++)
        munmap (scene->memory[index], GROWTH);
    free (scene);
    return 0;
}

static pair_t s_tcp (void)
{
    struct sockaddr_in address = { .sin_family = AF_INET };
    socklen_t size = sizeof address;
    pair_t pair;
    address.sin_addr.s_addr = htonl (INADDR_LOOPBACK);
    int listener = socket (AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal (bind (listener, (struct sockaddr *) &address, sizeof address), 0);
    assert_int_equal (listen (listener, 1), 0);
    assert_int_equal (getsockname (listener, (struct sockaddr *) &address, &size), 0);
    pair.far = socket (AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal (connect (pair.far, (struct sockaddr *) &address, sizeof address), 0);
    pair.near = accept (listener, NULL, NULL);
    assert_true (pair.near >= 0);
    close (listener);
    return pair;
}

static pair_t s_ipc (void)
{
    int fds[2];
    assert_int_equal (socketpair (AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), 0);
    return (pair_t){ fds[0], fds[1] };
}

static void s_close (pair_t pair)
{
    close (pair.near);
    close (pair.far);
}

static void s_write (pair_t pair, size_t size)
{
    static char bytes[32 * 1024];
    while (size) {
        size_t part = size < sizeof bytes ? size : sizeof bytes;
        assert_int_equal (send (pair.far, bytes, part, MSG_NOSIGNAL), part);
        size -= part;
    }
}

/* The far end writes and the near end takes it from the kernel. */
static void s_bring (pair_t pair, size_t size)
{
    static char bytes[32 * 1024];
    while (size) {
        size_t part = size < sizeof bytes ? size : sizeof bytes;
        s_write (pair, part);
        assert_int_equal (recv (pair.near, bytes, part, MSG_WAITALL), part);
        size -= part;
    }
}

/* Memory grows, and a little later all connections are looked at. */
static void s_grow (scene_t *scene)
{
    assert_true (scene->growths < GROWTHS);
    void *memory = mmap (NULL, GROWTH, PROT_READ | PROT_WRITE,
                         MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
    assert_true (memory != MAP_FAILED);
    scene->memory[scene->growths++] = memory;
    uint64_t looks = leat_connections_counters (scene->connections)->connections_looks;
    scene->now_us += 50000;
    assert_true (leat_connections_deadline (scene->connections) <= scene->now_us);
    leat_connections_check (scene->connections, scene->now_us, true);
    assert_int_equal (leat_connections_counters (scene->connections)->connections_looks, looks + 1);
}

static bool s_is_cut (pair_t pair)
{
    char byte;
    ssize_t got = recv (pair.far, &byte, 1, MSG_DONTWAIT);
    return got == 0 || (got < 0 && errno != EAGAIN);
}

static uint64_t s_cuts (const scene_t *scene)
{
    return leat_connections_counters (scene->connections)->connections_cut;
}

/* ---- tcp ------------------------------------------------------------------------------------- */

/* What is held beyond the allowance, not what was read, nor what waits in the kernel. */
static void test_tcp (void **state)
{
    scene_t *scene = *state;
    pair_t flood = s_tcp ();
    pair_t busy = s_tcp ();
    pair_t waits = s_tcp ();
    leat_connections_accepted (scene->connections, flood.near);
    leat_connections_accepted (scene->connections, busy.near);
    leat_connections_accepted (scene->connections, waits.near);
    s_bring (flood, ALLOWANCE);
    s_bring (busy, 4 * ALLOWANCE);
    leat_connections_read (scene->connections, flood.near, 1, 10);
    leat_connections_read (scene->connections, busy.near, 2, 3 * ALLOWANCE + 1);
    s_bring (waits, ALLOWANCE);
    s_write (waits, 16 * 1024);
    s_grow (scene);
    assert_int_equal (s_cuts (scene), 0);
    s_bring (flood, 100);
    s_grow (scene);
    assert_int_equal (s_cuts (scene), 1);
    assert_true (s_is_cut (flood));
    assert_false (s_is_cut (busy));
    assert_false (s_is_cut (waits));
    s_close (flood);
    s_close (busy);
    s_close (waits);
}

/* The near end sends until the far one's kernel takes no more. */
static void s_fill (pair_t pair)
{
    enum { STILL_MS = 300 };
    static char bytes[64 * 1024];
    struct pollfd item = { .fd = pair.near, .events = POLLOUT };
    while (poll (&item, 1, STILL_MS) == 1)
        while (send (pair.near, bytes, sizeof bytes, MSG_NOSIGNAL | MSG_DONTWAIT) > 0)
            continue;
}

/* Who reads nothing for long, and who reads a little, or has only just been sent something. */
static void test_deaf (void **state)
{
    static char bytes[64 * 1024];
    scene_t *scene = *state;
    pair_t pairs[3] = { s_tcp (), s_tcp (), s_tcp () };
    pair_t deaf = pairs[0];
    pair_t slow = pairs[1];
    pair_t idle = pairs[2];
    for (unsigned index = 0; index < 3; index++)
        leat_connections_accepted (scene->connections, pairs[index].near);
    s_fill (deaf);
    s_fill (slow);
    s_grow (scene);
    s_grow (scene);
    scene->now_us += PATIENCE_US - 100000;
    s_grow (scene);
    assert_int_equal (s_cuts (scene), 0);
    for (unsigned count = 0; count < 64; count++)
        assert_true (recv (slow.far, bytes, sizeof bytes, 0) > 0);
    s_fill (idle);
    scene->now_us += 100000;
    s_grow (scene);
    assert_int_equal (s_cuts (scene), 1);
    leat_connections_ended (scene->connections, deaf.near);
    s_grow (scene);
    assert_int_equal (s_cuts (scene), 1);
    for (unsigned index = 0; index < 3; index++)
        s_close (pairs[index]);
}

/* Without growth nobody is looked at. */
static void test_calm (void **state)
{
    scene_t *scene = *state;
    pair_t flood = s_tcp ();
    assert_true (leat_connections_deadline (scene->connections) == UINT64_MAX);
    leat_connections_accepted (scene->connections, flood.near);
    s_bring (flood, 8 * ALLOWANCE);
    for (unsigned count = 0; count < 10; count++) {
        scene->now_us += 50000;
        leat_connections_check (scene->connections, scene->now_us, true);
    }
    assert_int_equal (s_cuts (scene), 0);
    s_grow (scene);
    assert_int_equal (s_cuts (scene), 1);
    s_close (flood);
}

/* ---- descriptors that are used again --------------------------------------------------------- */

/* The next connection gets the number; it is not heard of yet. */
static pair_t s_succeed (pair_t old)
{
    pair_t next = s_tcp ();
    assert_int_equal (dup2 (next.near, old.near), old.near);
    close (next.near);
    close (old.far);
    return (pair_t){ old.near, next.far };
}

/* What is read of a predecessor says nothing of what its successor brought. */
static void test_messages_of_a_predecessor (void **state)
{
    scene_t *scene = *state;
    pair_t old = s_tcp ();
    leat_connections_accepted (scene->connections, old.near);
    leat_connections_read (scene->connections, old.near, 7, 10);
    pair_t next = s_succeed (old);
    leat_connections_ended (scene->connections, next.near);
    leat_connections_accepted (scene->connections, next.near);
    s_bring (next, 2 * ALLOWANCE);
    leat_connections_read (scene->connections, next.near, 8, 10);
    leat_connections_read (scene->connections, next.near, 7, 2 * ALLOWANCE);
    s_grow (scene);
    assert_int_equal (s_cuts (scene), 1);
    assert_true (s_is_cut (next));
    s_close (next);
}

/* Nor is the successor cut for it: before it was heard of, when it was, and when it has spoken. */
static void test_cut_of_a_predecessor (void **state)
{
    scene_t *scene = *state;
    pair_t old = s_tcp ();
    leat_connections_accepted (scene->connections, old.near);
    leat_connections_read (scene->connections, old.near, UINT32_MAX, 10);
    leat_connections_cut_soon (scene->connections, UINT32_MAX, scene->now_us);
    pair_t next = s_succeed (old);
    scene->now_us += 200000;
    leat_connections_check (scene->connections, scene->now_us, true);
    leat_connections_cut (scene->connections, UINT32_MAX);
    leat_connections_ended (scene->connections, next.near);
    leat_connections_accepted (scene->connections, next.near);
    leat_connections_read (scene->connections, next.near, UINT32_MAX, 10);
    leat_connections_cut (scene->connections, UINT32_MAX);
    leat_connections_read (scene->connections, next.near, 0, 10); /* their numbers run over */
    leat_connections_cut (scene->connections, UINT32_MAX);
    assert_int_equal (s_cuts (scene), 0);
    assert_false (s_is_cut (next));
    leat_connections_cut (scene->connections, 0);
    assert_int_equal (s_cuts (scene), 1);
    assert_true (s_is_cut (next));
    s_close (next);
}

/* Peers get their numbers when they have greeted, and are heard of in any order. */
static void test_numbers_in_any_order (void **state)
{
    scene_t *scene = *state;
    pair_t early = s_tcp ();
    pair_t late = s_tcp ();
    leat_connections_read (scene->connections, late.near, 9, 10);
    s_bring (early, 4 * ALLOWANCE);
    leat_connections_read (scene->connections, early.near, 8, 4 * ALLOWANCE);
    s_grow (scene);
    assert_int_equal (s_cuts (scene), 0);
    leat_connections_cut (scene->connections, 8);
    assert_int_equal (s_cuts (scene), 1);
    assert_true (s_is_cut (early));
    s_close (early);
    s_close (late);
}

/* What was read before its beginning was heard counts as read. */
static void test_read_before_its_beginning (void **state)
{
    scene_t *scene = *state;
    pair_t busy = s_tcp ();
    s_bring (busy, 4 * ALLOWANCE);
    leat_connections_read (scene->connections, busy.near, 1, 4 * ALLOWANCE);
    leat_connections_accepted (scene->connections, busy.near);
    s_grow (scene);
    assert_int_equal (s_cuts (scene), 0);
    s_close (busy);
}

/* ---- ipc ------------------------------------------------------------------------------------- */

/* A message without end, beside one who ends its messages, one who says nothing, and one in the midst of
 * a message that does not grow. */
static void test_ipc (void **state)
{
    scene_t *scene = *state;
    pair_t flood = s_ipc ();
    pair_t busy = s_ipc ();
    pair_t quiet = s_ipc ();
    leat_connections_accepted (scene->connections, flood.near);
    leat_connections_accepted (scene->connections, busy.near);
    leat_connections_accepted (scene->connections, quiet.near);
    s_write (flood, 16 * 1024);
    s_write (busy, 16 * 1024);
    for (unsigned count = 0; count < 6; count++) {
        leat_connections_read (scene->connections, busy.near, 2, 1000);
        s_grow (scene);
    }
    assert_int_equal (s_cuts (scene), 1);
    assert_true (s_is_cut (flood));
    assert_false (s_is_cut (busy));
    assert_false (s_is_cut (quiet));
    s_close (flood);
    s_close (busy);
    s_close (quiet);
}

/* ---- who is to be cut ------------------------------------------------------------------------ */

static void test_cut_soon (void **state)
{
    scene_t *scene = *state;
    pair_t pair = s_tcp ();
    leat_connections_accepted (scene->connections, pair.near);
    leat_connections_read (scene->connections, pair.near, 1, 10);
    leat_connections_cut_soon (scene->connections, 2, scene->now_us); /* nobody */
    leat_connections_cut_soon (scene->connections, 1, scene->now_us);
    uint64_t due_us = leat_connections_deadline (scene->connections);
    assert_true (due_us > scene->now_us);
    leat_connections_check (scene->connections, due_us - 1, true);
    assert_int_equal (s_cuts (scene), 0);
    while (s_cuts (scene) == 0 && due_us < scene->now_us + 1000000) {
        leat_connections_check (scene->connections, due_us, true);
        due_us = leat_connections_deadline (scene->connections);
    }
    assert_int_equal (s_cuts (scene), 1);
    assert_true (s_is_cut (pair));
    leat_connections_cut (scene->connections, 1);
    assert_int_equal (s_cuts (scene), 1);
    s_close (pair);
}

int main (void)
{
#define TEST(name) cmocka_unit_test_setup_teardown (name, s_begin, s_end)
    const struct CMUnitTest tests[] = {
        TEST (test_tcp),
        TEST (test_deaf),
        TEST (test_calm),
        TEST (test_messages_of_a_predecessor),
        TEST (test_cut_of_a_predecessor),
        TEST (test_numbers_in_any_order),
        TEST (test_read_before_its_beginning),
        TEST (test_ipc),
        TEST (test_cut_soon),
    };
    return cmocka_run_group_tests (tests, NULL, NULL);
}

/* Queues and bells: nothing is lost, nothing comes out of order, nobody sleeps through a ring.
 * SPDX-License-Identifier: MPL-2.0 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <poll.h>
#include <pthread.h>

#include "broker/store/handover.h"

enum { ITEMS = 50000, PUSHERS = 2 };

typedef struct {
    leat_queue_t queues[PUSHERS];
    leat_bell_t bell;
} place_t;

typedef struct {
    place_t *place;
    unsigned number;
} pusher_t;

static void *s_push (void *arg)
{
    const pusher_t *self = arg;
    for (uintptr_t i = 1; i <= ITEMS; i++) {
        leat_queue_push (&self->place->queues[self->number], (void *) i);
        leat_bell_ring (&self->place->bell);
    }
    return NULL;
}

/* Two push, one takes and sleeps whenever both queues are empty; no sleep may take 10 seconds. */
static void test_two_to_one (void **state)
{
    place_t place;
    pthread_t threads[PUSHERS];
    pusher_t pushers[PUSHERS];
    uintptr_t taken[PUSHERS] = { 0 };
    assert_int_equal (leat_bell_begin (&place.bell), 0);
    for (unsigned i = 0; i < PUSHERS; i++) {
        leat_queue_begin (&place.queues[i]);
        pushers[i] = (pusher_t){ &place, i };
        assert_int_equal (pthread_create (&threads[i], NULL, s_push, &pushers[i]), 0);
    }
    while (taken[0] < ITEMS || taken[1] < ITEMS) {
        bool any = false;
        for (unsigned i = 0; i < PUSHERS; i++) {
            uintptr_t item;
            while ((item = (uintptr_t) leat_queue_take (&place.queues[i]))) {
                assert_true (item == ++taken[i]);
                any = true;
            }
        }
        if (any)
            continue;
        leat_bell_arm (&place.bell);
        if (leat_queue_empty (&place.queues[0]) && leat_queue_empty (&place.queues[1])) {
            struct pollfd item = { .fd = place.bell.fd, .events = POLLIN };
            assert_int_equal (poll (&item, 1, 10000), 1);
        }
        leat_bell_disarm (&place.bell);
    }
    for (unsigned i = 0; i < PUSHERS; i++) {
        assert_int_equal (pthread_join (threads[i], NULL), 0);
        assert_true (leat_queue_empty (&place.queues[i]));
        leat_queue_end (&place.queues[i]);
    }
    leat_bell_end (&place.bell);
}

static void test_rings_only_who_sleeps (void **state)
{
    leat_bell_t bell;
    assert_int_equal (leat_bell_begin (&bell), 0);
    struct pollfd item = { .fd = bell.fd, .events = POLLIN };
    leat_bell_ring (&bell);
    assert_int_equal (poll (&item, 1, 0), 0);
    leat_bell_arm (&bell);
    assert_int_equal (poll (&item, 1, 0), 0);
    leat_bell_ring (&bell);
    leat_bell_ring (&bell);
    assert_int_equal (poll (&item, 1, 0), 1);
    leat_bell_disarm (&bell);
    assert_int_equal (poll (&item, 1, 0), 0);
    leat_bell_ring (&bell);
    assert_int_equal (poll (&item, 1, 0), 0);
    leat_bell_end (&bell);
}

int main (void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test (test_rings_only_who_sleeps),
        cmocka_unit_test (test_two_to_one),
    };
    return cmocka_run_group_tests (tests, NULL, NULL);
}

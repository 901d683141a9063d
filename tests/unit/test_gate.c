/* Tests of leat_gate_t: who gets it when.
 * SPDX-License-Identifier: MPL-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <poll.h>

#include "client/gate.h"

enum { ROUNDS = 100 };

typedef struct {
    leat_gate_t gate;
    bool has_had; /* protected by it */
} s_scene_t;

static void *s_claim (void *arg)
{
    s_scene_t *scene = arg;
    leat_gate_claim (&scene->gate);
    scene->has_had = true;
    leat_gate_unlock (&scene->gate);
    return NULL;
}

/* A thread that unlocks the gate and locks it again at once lets one pass that claims it. */
static void test_claim_comes_first (void **state)
{
    (void) state;
    s_scene_t scene = { 0 };
    leat_gate_init (&scene.gate);
    for (int round = 0; round < ROUNDS; round++) {
        pthread_t thread;
        leat_gate_lock (&scene.gate);
        scene.has_had = false;
        assert_int_equal (pthread_create (&thread, NULL, s_claim, &scene), 0);
        while (!atomic_load (&scene.gate.is_claimed))
            poll (NULL, 0, 0);
        assert_false (scene.has_had);
        leat_gate_unlock (&scene.gate);
        leat_gate_lock (&scene.gate);
        assert_true (scene.has_had);
        leat_gate_unlock (&scene.gate);
        pthread_join (thread, NULL);
    }
    leat_gate_deinit (&scene.gate);
}

/* Nobody else wants it. */
static void test_claim_alone (void **state)
{
    (void) state;
    s_scene_t scene = { 0 };
    leat_gate_init (&scene.gate);
    s_claim (&scene);
    s_claim (&scene);
    assert_true (scene.has_had);
    assert_false (atomic_load (&scene.gate.is_claimed));
    leat_gate_deinit (&scene.gate);
}

int main (void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test (test_claim_comes_first),
        cmocka_unit_test (test_claim_alone),
    };
    return cmocka_run_group_tests (tests, NULL, NULL);
}

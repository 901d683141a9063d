/* The consumer engine and the one record that it hands out before the application asks for it.
 * SPDX-License-Identifier: MPL-2.0 */
#include "tests/unit/consumer_sample.h"

/* Stages a record, which must be this one. */
static leat_delivery_t s_stage (scene_t *scene, uint64_t epoch, uint64_t offset)
{
    leat_delivery_t delivery = { 0 };
    assert_true (leat_consumer_engine_stage (scene->engine, &delivery, scene->outbox));
    assert_int_equal (delivery.epoch, epoch);
    assert_int_equal (delivery.first, offset);
    assert_int_equal (delivery.count, 1);
    sample_check (&delivery);
    assert_true (leat_consumer_engine_is_staged (scene->engine));
    return delivery;
}

static bool s_cannot_stage (scene_t *scene)
{
    leat_delivery_t delivery;
    return !leat_consumer_engine_stage (scene->engine, &delivery, scene->outbox);
}

static uint32_t s_give_back (scene_t *scene, const leat_delivery_t *delivery)
{
    return leat_consumer_engine_give_back (scene->engine, delivery->session, delivery->epoch,
                                           delivery->first, delivery->count);
}

/* The first record is under work and the second one staged, of as many as are asked for. */
static scene_t *s_scene (uint32_t count, leat_delivery_t *staged)
{
    scene_t *scene = NEW (.credit_records = 100);
    scene_deliver (scene, 7, 0, count);
    scene_take (scene, 1, 7, 0, 1);
    assert_string_equal (scene_sent (scene), "");
    *staged = s_stage (scene, 7, 1);
    assert_string_equal (scene_sent (scene), "REPORT 1\n");
    return scene;
}

static void test_one_after_the_other (void **state)
{
    leat_delivery_t delivery;
    scene_t *scene = s_scene (4, &delivery);
    assert_true (s_cannot_stage (scene));
    assert_int_equal (leat_consumer_engine_waiting (scene->engine), 2);
    assert_int_equal (leat_consumer_engine_started (scene->engine), 2);

    leat_consumer_engine_claim (scene->engine);
    assert_false (leat_consumer_engine_is_staged (scene->engine));
    assert_int_equal (scene_settle (scene, &delivery, 0, 1, LEAT_ACK), 1);
    delivery = s_stage (scene, 7, 2);
    /* Since something is sent anyway, the settle goes along. */
    assert_int_equal (leat_consumer_engine_deadline (scene->engine), 0);
    assert_string_equal (scene_run (scene), "REPORT 2\nSETTLE ack 7:0+1\n");

    /* What has no REPORT to go along with is gathered as ever. */
    leat_consumer_engine_claim (scene->engine);
    scene_settle (scene, &delivery, 1, 1, LEAT_ACK);
    assert_string_equal (scene_run (scene), "");
    scene->now_us += 1000;
    assert_string_equal (scene_run (scene), "SETTLE ack 7:1+1\n");
    scene_destroy (scene);
}

static void test_nothing_to_stage (void **state)
{
    scene_t *scene = scene_begun ((leat_consumer_engine_options_t){ .credit_records = 0 });
    assert_true (s_cannot_stage (scene));
    scene_attached (scene);
    assert_true (s_cannot_stage (scene));
    leat_consumer_engine_claim (scene->engine);
    assert_false (leat_consumer_engine_is_staged (scene->engine));
    scene_destroy (scene);
}

static void test_more_may_be_unreported (void **state)
{
    scene_t *scene = NEW (.max_unreported = 3);
    scene_deliver (scene, 7, 0, 9);
    scene_take (scene, 2, 7, 0, 2);
    s_stage (scene, 7, 2);
    assert_string_equal (scene_sent (scene), "");
    leat_consumer_engine_claim (scene->engine);
    s_stage (scene, 7, 3);
    assert_string_equal (scene_sent (scene), "REPORT 3\n");
    /* One that is taken beside it, too, has both reported. */
    scene_take (scene, 3, 7, 4, 3);
    assert_string_equal (scene_sent (scene), "REPORT 7\n");
    leat_consumer_engine_claim (scene->engine);
    scene_take (scene, 1, 7, 7, 1);
    assert_string_equal (scene_sent (scene), "");
    scene_destroy (scene);
}

static void test_recalled_in_time (void **state)
{
    leat_delivery_t delivery;
    scene_t *scene = s_scene (4, &delivery);
    RANGES (scene, LEAT_RECALL, { 7, 2, 1 }, { 6, 1, 1 });
    assert_true (leat_consumer_engine_is_staged (scene->engine));
    assert_string_equal (scene_run (scene), "RETURNED OK 7:2+1\n");
    RANGES (scene, LEAT_RECALL, { 7, 1, 3 });
    assert_false (leat_consumer_engine_is_staged (scene->engine));
    assert_true (s_cannot_stage (scene)); /* not before it is known what became of the other */
    assert_int_equal (s_give_back (scene, &delivery), 1);
    assert_int_equal (leat_consumer_engine_deadline (scene->engine), 0);
    assert_string_equal (scene_run (scene), "RETURNED OK 7:3+1 7:1+1\n");
    assert_int_equal (leat_consumer_engine_started (scene->engine), 1);

    scene_deliver (scene, 8, 50, 1);
    s_stage (scene, 8, 50);
    /* Between it and what is under work three were delivered that are not here any more. */
    assert_string_equal (scene_sent (scene), "REPORT 4\n");
    scene_destroy (scene);
}

static void test_recalled_too_late (void **state)
{
    leat_delivery_t delivery;
    scene_t *scene = s_scene (3, &delivery);
    RANGES (scene, LEAT_RECALL, { 7, 1, 2 });
    leat_consumer_engine_claim (scene->engine);
    /* The broker, which waits for an answer, hears that it was started. */
    assert_true (leat_consumer_engine_deadline (scene->engine) <= scene->now_us);
    assert_string_equal (scene_run (scene), "RETURNED OK 7:2+1\nREPORT 2\n");
    assert_int_equal (scene_settle (scene, &delivery, 0, 2, LEAT_ACK), 2);
    scene_destroy (scene);
}

static void test_revoked (void **state)
{
    leat_delivery_t delivery;
    scene_t *scene = s_scene (3, &delivery);
    RANGES (scene, LEAT_REVOKED, { 7, 0, 2 });
    assert_false (leat_consumer_engine_is_staged (scene->engine));
    assert_int_equal (s_give_back (scene, &delivery), 0);
    assert_string_equal (scene_run (scene), "");
    s_stage (scene, 7, 2);
    assert_string_equal (scene_sent (scene), "REPORT 2\n");
    scene_destroy (scene);
}

/* A record that takes long is reported; the one that is staged behind it is not, or nobody could ask for it. */
static void test_long_work (void **state)
{
    leat_delivery_t delivery;
    scene_t *scene = s_scene (2, &delivery);
    scene_run (scene);
    scene->now_us += 1000000;
    assert_string_equal (scene_run (scene), "");
    leat_consumer_engine_claim (scene->engine);
    assert_string_equal (scene_run (scene), "");
    scene->now_us += 250000;
    assert_string_equal (scene_run (scene), "REPORT 2\n");
    scene_destroy (scene);
}

/* Nor is it when settles take reports along while nothing waits. */
static void test_settles_beside (void **state)
{
    leat_delivery_t delivery;
    scene_t *scene = s_scene (2, &delivery);
    scene_run (scene);
    scene_settle (scene, &delivery, 0, 1, LEAT_ACK);
    scene->now_us += 1000;
    assert_string_equal (scene_run (scene), "SETTLE ack 7:0+1\n");
    assert_true (leat_consumer_engine_is_staged (scene->engine));
    scene_destroy (scene);
}

static void test_settled_without_a_claim (void **state)
{
    leat_delivery_t delivery;
    scene_t *scene = s_scene (2, &delivery);
    assert_int_equal (scene_settle (scene, &delivery, 1, 1, LEAT_ACK), 1);
    assert_false (leat_consumer_engine_is_staged (scene->engine));
    scene_destroy (scene);
}

static void test_session_lost (void **state)
{
    leat_delivery_t former;
    scene_t *scene = s_scene (2, &former);
    leat_consumer_engine_lost (scene->engine);
    assert_false (leat_consumer_engine_is_staged (scene->engine));
    leat_consumer_engine_begin (scene->engine, SAMPLE_CHANNEL, scene->outbox);
    scene_sent (scene);
    scene_attached (scene);
    scene_deliver (scene, 7, 0, 2);
    s_stage (scene, 7, 0);
    assert_int_equal (s_give_back (scene, &former), 0);
    assert_true (leat_consumer_engine_is_staged (scene->engine));
    assert_string_equal (scene_sent (scene), "");
    scene_destroy (scene);
}

static void test_leaving (void **state)
{
    leat_delivery_t delivery;
    scene_t *scene = s_scene (3, &delivery);
    leat_consumer_engine_leave (scene->engine);
    assert_false (leat_consumer_engine_is_staged (scene->engine));
    assert_true (s_cannot_stage (scene));
    assert_int_equal (s_give_back (scene, &delivery), 1);
    assert_string_equal (scene_run (scene), "ALLOW 0 0\nRETURNED OK 7:1+2\n");
    assert_int_equal (scene_settle (scene, &delivery, 0, 1, LEAT_ACK), 1);
    assert_string_equal (scene_run (scene), "SETTLE ack 7:0+1\nLEAVE\n");
    scene_destroy (scene);
}

int main (void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test (test_one_after_the_other),
        cmocka_unit_test (test_nothing_to_stage),
        cmocka_unit_test (test_more_may_be_unreported),
        cmocka_unit_test (test_recalled_in_time),
        cmocka_unit_test (test_recalled_too_late),
        cmocka_unit_test (test_revoked),
        cmocka_unit_test (test_long_work),
        cmocka_unit_test (test_settles_beside),
        cmocka_unit_test (test_settled_without_a_claim),
        cmocka_unit_test (test_session_lost),
        cmocka_unit_test (test_leaving),
    };
    return cmocka_run_group_tests (tests, NULL, NULL);
}

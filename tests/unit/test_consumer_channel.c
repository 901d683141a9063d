/* The consumer engine and its channel: attaching, flushing, emptiness, credit, and how it ends.
 * SPDX-License-Identifier: MPL-2.0 */
#include "tests/unit/consumer_sample.h"

static void s_command (scene_t *scene, uint8_t id, uint64_t token)
{
    leat_command_t command = { .id = id };
    if (id == LEAT_SETTLED)
        command.settled = (leat_settled_t){ SAMPLE_CHANNEL, LEAT_SETTLED_DURABLE, token };
    else if (id == LEAT_EMPTY)
        command.empty = (leat_empty_t){ SAMPLE_CHANNEL, token };
    scene_receive (scene, command);
}

static void s_left (scene_t *scene, leat_code_t code, const char *reason)
{
    scene_receive (
        scene, (leat_command_t){ .id = LEAT_LEFT,
                                 .left = { SAMPLE_CHANNEL, (uint16_t) code, leat_text (reason) } });
}

/* ---- attaching ------------------------------------------------------------------------------- */

/* A broker that has nothing to add gives what the code means: once is enough. */
static void test_refused_without_a_reason (void **state)
{
    scene_t *scene = scene_begun ((leat_consumer_engine_options_t){ .group = "billing" });
    scene_sent (scene);
    scene_refuse (scene, LEAT_ATTACH, LEAT_NOT_ALLOWED, leat_code_text (LEAT_NOT_ALLOWED));
    assert_string_equal (leat_consumer_engine_error (scene->engine, NULL),
                         "cannot attach to stream 'orders', group 'billing': NOT_ALLOWED, this "
                         "session is not allowed to do that");
    scene_destroy (scene);
}

static void test_refused_for_good (void **state)
{
    static const leat_code_t codes[] = { LEAT_NO_SUCH_STREAM, LEAT_BAD_NAME, LEAT_RESERVED_NAME,
                                         LEAT_NOT_ALLOWED, LEAT_TOO_LARGE };
    for (size_t index = 0; index < sizeof codes / sizeof *codes; index++) {
        scene_t *scene = scene_begun ((leat_consumer_engine_options_t){ .group = "billing" });
        assert_string_equal (scene_sent (scene), "ATTACH orders billing 100000 16777216 1\n");
        scene_refuse (scene, LEAT_ATTACH, codes[index], "by\nwhom\x1b[2J");
        assert_int_equal (leat_consumer_engine_state (scene->engine), LEAT_CONSUMER_FAILED);
        leat_code_t code;
        const char *error = leat_consumer_engine_error (scene->engine, &code);
        char expected[512];
        snprintf (expected, sizeof expected,
                  "cannot attach to stream 'orders', group 'billing': %s, %s: by?whom?[2J",
                  leat_code_name (codes[index]), leat_code_text (codes[index]));
        assert_string_equal (error, expected);
        assert_int_equal (code, codes[index]);
        scene->now_us += UINT64_C (60000000);
        assert_string_equal (scene_run (scene), "");
        assert_true (leat_consumer_engine_deadline (scene->engine) == UINT64_MAX);
        leat_consumer_engine_lost (scene->engine);
        leat_consumer_engine_begin (scene->engine, SAMPLE_CHANNEL, scene->outbox);
        assert_string_equal (scene_run (scene), "");
        assert_int_equal (leat_consumer_engine_state (scene->engine), LEAT_CONSUMER_FAILED);
        scene_destroy (scene);
    }
}

static void test_refused_for_now (void **state)
{
    static const leat_code_t codes[] = { LEAT_LIMIT_REACHED, LEAT_STORE_FULL, LEAT_SHUTTING_DOWN };
    static const char *const attach = "ATTACH orders default 10 16777216 1\n";
    scene_t *scene = scene_begun ((leat_consumer_engine_options_t){ .credit_records = 10 });
    assert_string_equal (scene_sent (scene), attach);
    uint64_t delay_us = UINT64_C (100000);
    for (int times = 0; times < 12; times++) {
        scene_refuse (scene, LEAT_ATTACH, codes[times % 3], "");
        assert_int_equal (leat_consumer_engine_state (scene->engine), LEAT_CONSUMER_DETACHED);
        assert_int_equal (leat_consumer_engine_deadline (scene->engine), 0);
        assert_string_equal (scene_run (scene), "");
        uint64_t due_us = scene->now_us + delay_us;
        assert_int_equal (leat_consumer_engine_deadline (scene->engine), due_us);
        scene->now_us = due_us - 1;
        assert_string_equal (scene_run (scene), "");
        scene->now_us = due_us;
        assert_string_equal (scene_run (scene), attach);
        delay_us = delay_us * 2 < UINT64_C (5000000) ? delay_us * 2 : UINT64_C (5000000);
    }
    scene_attached (scene);
    scene_deliver (scene, 7, 0, 1);
    scene_take (scene, 1, 7, 0, 1);
    scene_destroy (scene);
}

static void test_channel_vanishes (void **state)
{
    scene_t *scene = NEW (.max_unreported = 10);
    scene_deliver (scene, 7, 0, 5);
    leat_delivery_t delivery = scene_take (scene, 2, 7, 0, 2);
    scene_refuse (scene, LEAT_SETTLE, LEAT_BAD_STATE, "no reason");
    assert_int_equal (leat_consumer_engine_state (scene->engine), LEAT_CONSUMER_ATTACHED);
    scene_refuse (scene, LEAT_SETTLE, LEAT_NO_SUCH_CHANNEL, "");
    scene_refuse (scene, LEAT_REPORT, LEAT_NO_SUCH_CHANNEL, "");
    assert_int_equal (leat_consumer_engine_state (scene->engine), LEAT_CONSUMER_DETACHED);
    assert_int_equal (scene_settle (scene, &delivery, 0, 2, LEAT_ACK), 0);
    assert_string_equal (scene_run (scene), "");
    scene->now_us += UINT64_C (100000);
    assert_string_equal (scene_run (scene), "ATTACH orders default 100000 16777216 10\n");
    scene_destroy (scene);
}

/* ---- flush, empty ---------------------------------------------------------------------------- */

static void test_flush (void **state)
{
    scene_t *scene = NEW (.max_unreported = 100);
    leat_consumer_engine_t *engine = scene->engine;
    assert_int_equal (leat_consumer_engine_flush (engine), 1);
    assert_int_equal (leat_consumer_engine_flushed (engine), 1); /* there is nothing */
    assert_string_equal (scene_run (scene), "");

    scene_deliver (scene, 7, 0, 10);
    leat_delivery_t delivery = scene_take (scene, 10, 7, 0, 10);
    scene_settle (scene, &delivery, 0, 3, LEAT_ACK);
    assert_int_equal (leat_consumer_engine_flush (engine), 2);
    assert_int_equal (leat_consumer_engine_deadline (engine), 0);
    assert_string_equal (scene_run (scene), "SETTLE ack 7:0+3 confirm 2\n");
    /* What is started and not reported is then. */
    assert_true (leat_consumer_engine_deadline (engine) == scene->now_us + 250000);
    s_command (scene, LEAT_SETTLED, 3); /* never asked */
    s_command (scene, LEAT_SETTLED, 1);
    assert_int_equal (leat_consumer_engine_flushed (engine), 1);
    s_command (scene, LEAT_SETTLED, 2);
    assert_int_equal (leat_consumer_engine_flushed (engine), 2);
    s_command (scene, LEAT_SETTLED, 1);
    assert_int_equal (leat_consumer_engine_flushed (engine), 2);

    /* Sent before it was asked for: confirmed by a SETTLE without entries. */
    scene_settle (scene, &delivery, 3, 1, LEAT_ACK);
    scene->now_us += 1000;
    assert_string_equal (scene_run (scene), "SETTLE ack 7:3+1\n");
    assert_int_equal (leat_consumer_engine_flush (engine), 3);
    assert_string_equal (scene_run (scene), "SETTLE confirm 3\n");

    /* Rejects of two reasons: the second command carries the token. */
    leat_consumer_engine_settle (engine, delivery.session, 7, 4, 1, LEAT_REJECT, 0, "a", 0);
    leat_consumer_engine_settle (engine, delivery.session, 7, 5, 1, LEAT_REJECT, 0, "b", 0);
    assert_int_equal (leat_consumer_engine_flush (engine), 4);
    assert_int_equal (leat_consumer_engine_flush (engine), 5);
    assert_string_equal (scene_run (scene), "SETTLE reject 7:4+1 (a)\n"
                                            "SETTLE reject 7:5+1 (b) confirm 5\n");
    assert_int_equal (leat_consumer_engine_flushed (engine), 2);
    s_command (scene, LEAT_SETTLED, 3);
    assert_int_equal (leat_consumer_engine_flushed (engine), 3);
    s_command (scene, LEAT_SETTLED, 5);
    assert_int_equal (leat_consumer_engine_flushed (engine), 5);
    assert_int_equal (leat_consumer_engine_flush (engine), 6);
    assert_int_equal (leat_consumer_engine_flushed (engine), 6); /* all is confirmed */
    scene_destroy (scene);
}

static void test_empty (void **state)
{
    scene_t *scene = scene_begun ((leat_consumer_engine_options_t){ .credit_records = 10 });
    leat_consumer_engine_ask_empty (scene->engine);
    assert_string_equal (scene_run (scene), "ATTACH orders default 10 16777216 1\n");
    s_command (scene, LEAT_EMPTY, 1);
    assert_false (leat_consumer_engine_empty (scene->engine));
    scene_attached (scene);
    assert_int_equal (leat_consumer_engine_deadline (scene->engine), 0);
    assert_string_equal (scene_run (scene), "ASK_EMPTY 1\n");
    assert_string_equal (scene_run (scene), "");
    leat_consumer_engine_ask_empty (scene->engine);
    s_command (scene, LEAT_EMPTY, 2); /* not asked yet */
    assert_string_equal (scene_run (scene), "ASK_EMPTY 2\n");
    s_command (scene, LEAT_EMPTY, 1);
    assert_false (leat_consumer_engine_empty (scene->engine));
    s_command (scene, LEAT_EMPTY, 2);
    assert_true (leat_consumer_engine_empty (scene->engine));

    /* An answer is final until it is asked for again. */
    leat_consumer_engine_lost (scene->engine);
    leat_consumer_engine_begin (scene->engine, SAMPLE_CHANNEL, scene->outbox);
    scene_sent (scene);
    scene_attached (scene);
    assert_string_equal (scene_run (scene), "");
    assert_true (leat_consumer_engine_empty (scene->engine));
    leat_consumer_engine_ask_empty (scene->engine);
    assert_false (leat_consumer_engine_empty (scene->engine));
    assert_string_equal (scene_run (scene), "ASK_EMPTY 3\n");
    scene_destroy (scene);
}

/* ---- credit ---------------------------------------------------------------------------------- */

static void test_hostile_broker (void **state)
{
    scene_t *scene = scene_begun (
        (leat_consumer_engine_options_t){ .credit_records = 10, .max_unreported = 100 });
    leat_consumer_engine_t *engine = scene->engine;
    scene_deliver (scene, 7, 0, 3); /* not attached */
    assert_int_equal (leat_consumer_engine_excess (engine), 3);
    scene_sent (scene);
    scene_attached (scene);
    scene_attached (scene);

    scene_deliver (scene, 7, 0, 11);
    assert_int_equal (leat_consumer_engine_excess (engine), 3 + 11);
    scene_deliver (scene, 7, 0, 4);
    scene_deliver (scene, 7, 4, 4);
    scene_deliver (scene, 8, 0, 3);
    assert_int_equal (leat_consumer_engine_excess (engine), 3 + 11 + 3);
    scene_deliver (scene, 7, 0, 1); /* the same, and overlaps at either end */
    scene_deliver (scene, 7, 7, 2);
    leat_delivery_t delivery = scene_take (scene, 2, 7, 0, 2);
    scene_deliver (scene, 7, 1, 1);
    scene_settle (scene, &delivery, 0, 2, LEAT_ACK);
    scene_deliver (scene, 7, 1, 1);
    assert_int_equal (leat_consumer_engine_excess (engine), 17 + 1 + 2 + 1 + 1);
    assert_int_equal (leat_consumer_engine_waiting (engine), 6);
    scene_deliver (scene, 8, 1, 3); /* settled and unsent: still outstanding */
    assert_int_equal (leat_consumer_engine_excess (engine), 22 + 3);
    scene->now_us += 1000;
    assert_string_equal (scene_run (scene), "SETTLE ack 7:0+2\n");
    scene_deliver (scene, 8, 1, 3);
    scene_deliver (scene, UINT64_MAX, ((uint64_t) 1 << 63) - 1, 1);
    scene_deliver (scene, 9, 1, 1);
    assert_int_equal (leat_consumer_engine_excess (engine), 25 + 1);
    scene_take (scene, 10, 7, 2, 2);
    scene_take (scene, 10, 7, 4, 4);
    scene_take (scene, 10, 8, 1, 3);
    scene_take (scene, 10, UINT64_MAX, ((uint64_t) 1 << 63) - 1, 1);
    assert_false (scene_has_more (scene));
    scene_destroy (scene);
}

static void test_credit_in_bytes (void **state)
{
    leat_buffer_t *body = sample_body (7, 0, 4, false);
    size_t size = leat_buffer_size (body);
    leat_buffer_release (&body);
    scene_t *scene = NEW (.credit_size = size, .max_unreported = 100);
    scene_deliver (scene, 7, 0, 4);
    scene_deliver (scene, 7, 4, 1);
    assert_int_equal (leat_consumer_engine_excess (scene->engine), 1);
    scene_take (scene, 3, 7, 0, 3);
    scene_deliver (scene, 7, 4, 1);
    scene_take (scene, 3, 7, 3, 1);
    scene_take (scene, 3, 7, 4, 1);
    scene_destroy (scene);

    /* Too large for the credit, but a single one to a consumer that has nothing. */
    scene = NEW (.credit_size = 20, .max_unreported = 100);
    scene_deliver (scene, 7, 0, 2);
    assert_int_equal (leat_consumer_engine_excess (scene->engine), 2);
    scene_deliver (scene, 7, 0, 1);
    scene_deliver (scene, 7, 1, 1);
    assert_int_equal (leat_consumer_engine_excess (scene->engine), 3);
    scene_take (scene, 3, 7, 0, 1);
    assert_false (scene_has_more (scene));
    scene_destroy (scene);
}

static void test_allow (void **state)
{
    scene_t *scene = NEW (.credit_records = 10, .max_unreported = 100);
    leat_consumer_engine_allow (scene->engine, 2, 1000);
    assert_int_equal (leat_consumer_engine_deadline (scene->engine), 0);
    assert_string_equal (scene_run (scene), "ALLOW 2 1000\n");
    assert_string_equal (scene_run (scene), "");
    scene_deliver (scene, 7, 0, 10); /* was on its way */
    assert_int_equal (leat_consumer_engine_excess (scene->engine), 0);
    leat_consumer_engine_allow (scene->engine, 20, 2000);
    assert_string_equal (scene_run (scene), "ALLOW 20 2000\n");
    scene_deliver (scene, 7, 10, 10);
    scene_deliver (scene, 7, 20, 1);
    assert_int_equal (leat_consumer_engine_excess (scene->engine), 1);
    leat_consumer_engine_lost (scene->engine);
    leat_consumer_engine_allow (scene->engine, 5, 3000);
    leat_consumer_engine_begin (scene->engine, SAMPLE_CHANNEL, scene->outbox);
    assert_string_equal (scene_run (scene), "ATTACH orders default 5 3000 100\n");
    scene_attached (scene);
    assert_string_equal (scene_run (scene), "");
    scene_deliver (scene, 7, 0, 6);
    assert_int_equal (leat_consumer_engine_excess (scene->engine), 7);
    scene_destroy (scene);
}

/* ---- ends ------------------------------------------------------------------------------------ */

static void test_leave (void **state)
{
    scene_t *scene = NEW (.max_unreported = 100);
    leat_consumer_engine_t *engine = scene->engine;
    scene_deliver (scene, 7, 0, 10);
    leat_delivery_t delivery = scene_take (scene, 4, 7, 0, 4);
    leat_consumer_engine_leave (engine);
    assert_int_equal (leat_consumer_engine_state (engine), LEAT_CONSUMER_LEAVING);
    assert_false (scene_has_more (scene));
    assert_int_equal (leat_consumer_engine_waiting (engine), 0);
    assert_int_equal (leat_consumer_engine_deadline (engine), 0);
    assert_string_equal (scene_run (scene), "ALLOW 0 0\nRETURNED OK 7:4+6\n");
    assert_true (leat_consumer_engine_deadline (engine) == scene->now_us + 250000);
    scene_deliver (scene, 8, 10, 2); /* was on its way */
    assert_string_equal (scene_run (scene), "RETURNED OK 8:10+2\n");
    scene_settle (scene, &delivery, 0, 3, LEAT_ACK);
    scene->now_us += 1000;
    assert_string_equal (scene_run (scene), "SETTLE ack 7:0+3\n");
    leat_consumer_engine_give_back (engine, delivery.session, 7, 3, 1);
    leat_consumer_engine_allow (engine, 100, 100);
    uint64_t token = leat_consumer_engine_flush (engine);
    assert_string_equal (scene_run (scene), "RETURNED OK 7:3+1\nSETTLE confirm 1\nLEAVE\n");
    assert_true (leat_consumer_engine_deadline (engine) == UINT64_MAX);
    scene_deliver (scene, 8, 12, 2);
    assert_string_equal (scene_run (scene), "");
    assert_int_equal (leat_consumer_engine_state (engine), LEAT_CONSUMER_LEAVING);
    assert_int_not_equal (leat_consumer_engine_flushed (engine), token);
    s_left (scene, LEAT_OK, "");
    assert_int_equal (leat_consumer_engine_state (engine), LEAT_CONSUMER_ENDED);
    assert_int_equal (leat_consumer_engine_flushed (engine), token);
    assert_false (leat_consumer_engine_busy (engine));
    assert_int_equal (leat_consumer_engine_stale (engine), 0);
    leat_consumer_engine_begin (engine, SAMPLE_CHANNEL, scene->outbox);
    assert_string_equal (scene_run (scene), "");
    scene_destroy (scene);
}

static void test_leave_at_other_times (void **state)
{
    scene_t *scene = NEW (.max_unreported = 100);
    scene_deliver (scene, 7, 0, 10);
    leat_consumer_engine_leave (scene->engine);
    assert_string_equal (scene_run (scene), "RETURNED OK 7:0+10\nLEAVE\n");
    leat_consumer_engine_lost (scene->engine);
    assert_int_equal (leat_consumer_engine_state (scene->engine), LEAT_CONSUMER_ENDED);
    scene_destroy (scene);

    /* ATTACH is out: LEAVE follows its answer. */
    scene = scene_begun ((leat_consumer_engine_options_t){ .credit_records = 1 });
    scene_sent (scene);
    leat_consumer_engine_leave (scene->engine);
    assert_string_equal (scene_run (scene), "");
    scene_receive (scene, (leat_command_t){ .id = LEAT_ATTACHED });
    assert_int_equal (leat_consumer_engine_state (scene->engine), LEAT_CONSUMER_LEAVING);
    assert_string_equal (scene_run (scene), "LEAVE\n");
    scene_refuse (scene, LEAT_LEAVE, LEAT_NO_SUCH_CHANNEL, "");
    assert_int_equal (leat_consumer_engine_state (scene->engine), LEAT_CONSUMER_ENDED);
    scene_destroy (scene);

    scene = scene_begun ((leat_consumer_engine_options_t){ .credit_records = 1 });
    leat_consumer_engine_leave (scene->engine);
    scene_refuse (scene, LEAT_ATTACH, LEAT_STORE_FULL, "");
    assert_int_equal (leat_consumer_engine_state (scene->engine), LEAT_CONSUMER_ENDED);
    scene_destroy (scene);

    scene = scene_begun ((leat_consumer_engine_options_t){ .credit_records = 1 });
    leat_consumer_engine_lost (scene->engine);
    leat_consumer_engine_leave (scene->engine);
    assert_int_equal (leat_consumer_engine_state (scene->engine), LEAT_CONSUMER_ENDED);
    scene_destroy (scene);
}

static void test_ended_by_the_broker (void **state)
{
    scene_t *scene = NEW (.max_unreported = 100);
    assert_false (leat_consumer_engine_drained (scene->engine));
    scene_receive (scene, (leat_command_t){ .id = LEAT_DRAIN });
    assert_true (leat_consumer_engine_drained (scene->engine));
    scene_deliver (scene, 7, 0, 10);
    leat_delivery_t delivery = scene_take (scene, 4, 7, 0, 4);
    scene_settle (scene, &delivery, 0, 1, LEAT_ACK);
    s_left (scene, LEAT_DELETED, "by the operator");
    assert_int_equal (leat_consumer_engine_state (scene->engine), LEAT_CONSUMER_FAILED);
    leat_code_t code;
    assert_string_equal (leat_consumer_engine_error (scene->engine, &code),
                         "the broker ended stream 'orders', group 'default': DELETED, "
                         "the stream or group was deleted: by the operator");
    assert_int_equal (code, LEAT_DELETED);
    assert_int_equal (scene_settle (scene, &delivery, 1, 3, LEAT_ACK), 0);
    assert_int_equal (leat_consumer_engine_stale (scene->engine), 4);
    assert_false (scene_has_more (scene));
    scene_destroy (scene);
}

int main (void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test (test_refused_without_a_reason),
        cmocka_unit_test (test_refused_for_good),
        cmocka_unit_test (test_refused_for_now),
        cmocka_unit_test (test_channel_vanishes),
        cmocka_unit_test (test_flush),
        cmocka_unit_test (test_empty),
        cmocka_unit_test (test_hostile_broker),
        cmocka_unit_test (test_credit_in_bytes),
        cmocka_unit_test (test_allow),
        cmocka_unit_test (test_leave),
        cmocka_unit_test (test_leave_at_other_times),
        cmocka_unit_test (test_ended_by_the_broker),
    };
    return cmocka_run_group_tests (tests, NULL, NULL);
}

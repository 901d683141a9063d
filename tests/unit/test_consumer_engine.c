/* The consumer engine and its records: what it hands out, reports, settles and gives back.
 * SPDX-License-Identifier: MPL-2.0 */
#include "tests/unit/consumer_sample.h"

/* ---- delivering, taking, settling ------------------------------------------------------------ */

static void test_whole_batch (void **state)
{
    scene_t *scene = scene_begun ((leat_consumer_engine_options_t){ .credit_records = 0 });
    assert_string_equal (scene_sent (scene), "ATTACH orders default 100000 16777216 1\n");
    assert_int_equal (leat_consumer_engine_state (scene->engine), LEAT_CONSUMER_DETACHED);
    scene_attached (scene);
    assert_false (scene_has_more (scene));
    assert_false (leat_consumer_engine_busy (scene->engine));

    scene_deliver (scene, 7, 100, 5000);
    assert_true (leat_consumer_engine_busy (scene->engine));
    assert_int_equal (leat_consumer_engine_waiting (scene->engine), 5000);
    leat_delivery_t delivery = scene_take (scene, UINT32_MAX, 7, 100, 5000);
    assert_int_equal (leat_consumer_engine_waiting (scene->engine), 0);
    assert_int_equal (leat_consumer_engine_started (scene->engine), 5000);
    assert_string_equal (scene_sent (scene), "REPORT 5000\n");
    assert_int_equal (scene_settle (scene, &delivery, 100, 5000, LEAT_ACK), 5000);
    assert_int_equal (leat_consumer_engine_started (scene->engine), 0);
    assert_true (leat_consumer_engine_busy (scene->engine));
    /* At this pace more will come within the millisecond, so it is waited for. */
    assert_string_equal (scene_run (scene), "");
    scene->now_us += 1000;
    assert_true (leat_consumer_engine_deadline (scene->engine) <= scene->now_us);
    assert_string_equal (scene_run (scene), "SETTLE ack 7:100+5000\n");
    assert_false (leat_consumer_engine_busy (scene->engine));
    assert_true (leat_consumer_engine_deadline (scene->engine) == UINT64_MAX);
    assert_int_equal (leat_consumer_engine_stale (scene->engine), 0);
    scene_destroy (scene);
}

static void test_partial_takes_in_order (void **state)
{
    scene_t *scene = NEW (.max_unreported = 100);
    scene_deliver (scene, 9, 40, 10);
    leat_buffer_t *body = sample_body (3, 500, 7, true);
    leat_batch_t batch = sample_batch (3, 500, 7, body);
    batch.attributes = LEAT_BATCH_EXTENDED;
    batch.flags = LEAT_DELIVER_REDELIVERED;
    batch.attempt = 4;
    leat_consumer_engine_deliver (scene->engine, &batch, leat_slice_whole (body), scene->outbox);
    leat_buffer_release (&body);

    assert_false (leat_consumer_engine_take (scene->engine, 0, NULL, scene->outbox));
    leat_delivery_t first = scene_take (scene, 1, 9, 40, 1);
    assert_false (first.redelivered);
    assert_int_equal (first.attempt, 1);
    scene_take (scene, 3, 9, 41, 3);
    scene_take (scene, 100, 9, 44, 6);
    leat_delivery_t second = scene_take (scene, 2, 3, 500, 2);
    assert_true (second.redelivered && second.extended);
    assert_int_equal (second.attempt, 4);
    second = scene_take (scene, 4, 3, 502, 4);
    assert_true (second.redelivered && second.extended);
    scene_take (scene, 4, 3, 506, 1);
    assert_false (scene_has_more (scene));
    assert_string_equal (scene_sent (scene), "");

    /* What was taken in parts may be settled in others, and only once. */
    assert_int_equal (scene_settle (scene, &first, 42, 6, LEAT_ACK), 6);
    assert_int_equal (scene_settle (scene, &first, 30, 100, LEAT_ACK), 4);
    assert_int_equal (leat_consumer_engine_stale (scene->engine), 96);
    assert_int_equal (scene_settle (scene, &second, 500, 7, LEAT_REJECT), 7);
    assert_string_equal (scene_run (scene), "SETTLE ack 9:40+10 reject 3:500+7\n");
    scene_destroy (scene);
}

static void test_workers_out_of_order (void **state)
{
    scene_t *scene = NEW (.max_unreported = 2000, .settle_count = 100000);
    scene_deliver (scene, 7, 0, 1000);
    scene_deliver (scene, 8, 1000, 1);
    leat_delivery_t delivery = { 0 };
    for (uint32_t offset = 0; offset < 1000; offset++)
        delivery = scene_take (scene, 1, 7, offset, 1);
    /* 619 and 1000 have no common factor: each is settled once, in a scattered order. */
    for (uint32_t index = 0; index < 1000; index++)
        assert_int_equal (scene_settle (scene, &delivery, index * 619 % 1000, 1, LEAT_ACK), 1);
    assert_string_equal (scene_run (scene), "");
    scene->now_us += 1000;
    assert_string_equal (scene_run (scene), "SETTLE ack 7:0+1000\n");
    scene_destroy (scene);
}

static void test_what_is_not_merged (void **state)
{
    scene_t *scene = NEW (.max_unreported = 100);
    leat_consumer_engine_t *engine = scene->engine;
    scene_deliver (scene, 7, 0, 10);
    scene_deliver (scene, 8, 10, 2);
    scene_take (scene, 10, 7, 0, 10);
    leat_delivery_t last = scene_take (scene, 10, 8, 10, 2);
    uint64_t session = last.session;
    char reason[LEAT_TEXT_MAX + 10];
    memset (reason, 'r', sizeof reason);
    memcpy (reason + LEAT_TEXT_MAX - 1, "\xc3\xa9", 3); /* would be cut in the middle */
    leat_consumer_engine_settle (engine, session, 7, 0, 2, LEAT_NACK, 50, "unused", 0);
    leat_consumer_engine_settle (engine, session, 7, 2, 1, LEAT_NACK, 50, NULL, 0);
    leat_consumer_engine_settle (engine, session, 7, 3, 1, LEAT_NACK, 60, NULL, 0);
    leat_consumer_engine_settle (engine, session, 7, 4, 1, LEAT_REJECT, 60, "bad date", 0);
    leat_consumer_engine_settle (engine, session, 7, 5, 1, LEAT_REJECT, 70, "bad date", 0);
    leat_consumer_engine_settle (engine, session, 7, 6, 1, LEAT_ACK, 70, "unused", 0);
    leat_consumer_engine_settle (engine, session, 7, 7, 1, LEAT_REJECT, 0, "no name", 0);
    leat_consumer_engine_settle (engine, session, 7, 8, 2, LEAT_ACK, 0, NULL, 0);
    leat_consumer_engine_settle (engine, session, 8, 10, 1, LEAT_ACK, 0, NULL, 0);
    leat_consumer_engine_settle (engine, session, 8, 11, 1, LEAT_REJECT, 0, reason, 0);
    reason[LEAT_TEXT_MAX - 1] = '\0';
    char expected[LEAT_TEXT_MAX + 300];
    snprintf (expected, sizeof expected,
              "SETTLE nack 7:0+3 after 50 nack 7:3+1 after 60 reject 7:4+2 ack 7:6+1 (bad date)\n"
              "SETTLE reject 7:7+1 ack 7:8+2 ack 8:10+1 (no name)\n"
              "SETTLE reject 8:11+1 (%s)\n",
              reason);
    assert_string_equal (scene_run (scene), expected);
    scene_destroy (scene);
}

static void test_many_entries (void **state)
{
    scene_t *scene = NEW (.max_unreported = 10000);
    scene_deliver (scene, 7, 0, 5000);
    leat_delivery_t delivery = scene_take (scene, 5000, 7, 0, 5000);
    for (uint32_t offset = 0; offset < 5000; offset += 2)
        scene_settle (scene, &delivery, offset, 1, LEAT_ACK);
    scene->now_us += 1000;
    leat_consumer_engine_run (scene->engine, scene->now_us, scene->outbox);
    leat_message_t message;
    uint32_t total = 0;
    for (uint32_t expected = LEAT_ENTRIES_MAX; leat_outbox_next (scene->outbox, &message);
         expected = 2500 - LEAT_ENTRIES_MAX) {
        leat_command_t command;
        assert_int_equal (leat_command_decode (&command, message.header, message.header_size, NULL),
                          LEAT_OK);
        assert_int_equal (command.id, LEAT_SETTLE);
        assert_int_equal (command.settle.entries.count, expected);
        for (uint32_t index = 0; index < expected; index++, total++) {
            leat_settle_entry_t entry = leat_settles_get (&command.settle.entries, index);
            assert_int_equal (entry.first, 2 * total);
            assert_int_equal (entry.count, 1);
        }
    }
    assert_int_equal (total, 2500);
    scene_destroy (scene);
}

static void test_when_settles_go (void **state)
{
    scene_t *scene = NEW (.max_unreported = 100, .settle_delay_us = 500, .settle_count = 10);
    scene_deliver (scene, 7, 0, 30);
    leat_delivery_t delivery = scene_take (scene, 30, 7, 0, 30);
    scene_run (scene);
    uint64_t begin_us = scene->now_us;
    scene_settle (scene, &delivery, 0, 1, LEAT_ACK);
    assert_int_equal (leat_consumer_engine_deadline (scene->engine), begin_us + 500);
    scene->now_us = begin_us + 499;
    scene_settle (scene, &delivery, 1, 1, LEAT_ACK);
    assert_string_equal (scene_run (scene), "");
    assert_int_equal (leat_consumer_engine_deadline (scene->engine), begin_us + 500);
    scene->now_us = begin_us + 500;
    assert_string_equal (scene_run (scene), "SETTLE ack 7:0+2\n");
    assert_true (leat_consumer_engine_deadline (scene->engine) >= begin_us + 250000);

    scene_settle (scene, &delivery, 2, 9, LEAT_ACK);
    assert_string_equal (scene_run (scene), "");
    scene_settle (scene, &delivery, 11, 1, LEAT_ACK);
    assert_int_equal (leat_consumer_engine_deadline (scene->engine), 0);
    assert_string_equal (scene_run (scene), "SETTLE ack 7:2+10\n");

    /* Two are left: the last of them is told at once, since nothing else is here to do. */
    scene_settle (scene, &delivery, 12, 16, LEAT_ACK);
    scene_run (scene);
    scene_settle (scene, &delivery, 28, 1, LEAT_ACK);
    assert_string_equal (scene_run (scene), "");
    scene_settle (scene, &delivery, 29, 1, LEAT_ACK);
    assert_string_equal (scene_run (scene), "SETTLE ack 7:28+2\n");
    scene_destroy (scene);
}

static void test_give_back (void **state)
{
    scene_t *scene = NEW (.max_unreported = 100);
    scene_deliver (scene, 7, 0, 10);
    leat_delivery_t delivery = scene_take (scene, 6, 7, 0, 6);
    assert_int_equal (leat_consumer_engine_give_back (scene->engine, delivery.session, 7, 4, 10),
                      2);
    assert_int_equal (leat_consumer_engine_give_back (scene->engine, delivery.session, 7, 1, 1), 1);
    assert_int_equal (leat_consumer_engine_give_back (scene->engine, delivery.session + 1, 7, 0, 1),
                      0);
    assert_int_equal (leat_consumer_engine_give_back (scene->engine, delivery.session, 7, 2, 0), 0);
    assert_int_equal (scene_settle (scene, &delivery, 4, 2, LEAT_ACK), 0);
    assert_int_equal (scene_settle (scene, &delivery, 2, 0, LEAT_ACK), 0);
    assert_int_equal (leat_consumer_engine_started (scene->engine), 3);
    assert_int_equal (leat_consumer_engine_deadline (scene->engine), 0);
    assert_string_equal (scene_run (scene), "RETURNED OK 7:4+2 7:1+1\n");
    scene_take (scene, 10, 7, 6, 4);
    scene_destroy (scene);
}

/* ---- reports --------------------------------------------------------------------------------- */

static void test_report_one_by_one (void **state)
{
    scene_t *scene = NEW (.max_unreported = 3);
    scene_deliver (scene, 7, 0, 20);
    scene_take (scene, 1, 7, 0, 1);
    scene_take (scene, 1, 7, 1, 1);
    leat_delivery_t delivery = scene_take (scene, 1, 7, 2, 1);
    assert_string_equal (scene_sent (scene), "");
    scene_take (scene, 1, 7, 3, 1);
    assert_string_equal (scene_sent (scene), "REPORT 4\n");
    scene_take (scene, 3, 7, 4, 3);
    assert_string_equal (scene_sent (scene), "");

    /* A settle reports once it is sent, not before. */
    scene_settle (scene, &delivery, 6, 1, LEAT_ACK);
    scene_take (scene, 1, 7, 7, 1);
    assert_string_equal (scene_sent (scene), "REPORT 8\n");
    scene_settle (scene, &delivery, 7, 1, LEAT_ACK);
    scene_take (scene, 2, 7, 8, 2);
    scene_settle (scene, &delivery, 9, 1, LEAT_ACK);
    scene->now_us += 1000;
    assert_string_equal (scene_run (scene), "SETTLE ack 7:6+2 ack 7:9+1\n");
    scene_take (scene, 3, 7, 10, 3);
    assert_string_equal (scene_sent (scene), "");
    scene_take (scene, 100, 7, 13, 7);
    assert_string_equal (scene_sent (scene), "REPORT 20\n");
    scene_destroy (scene);
}

/* Takes 4,000 records one by one, each `record_us` after the one before. Returns the REPORTs. */
static uint32_t s_reports_at_pace (uint64_t record_us)
{
    scene_t *scene = NEW (.max_unreported = 1);
    scene_deliver (scene, 7, 0, 6000);
    uint32_t reports = 0;
    for (uint32_t offset = 0; offset < 4000; offset++) {
        scene->now_us += record_us;
        assert_string_equal (scene_run (scene), "");
        scene_take (scene, 1, 7, offset, 1);
        leat_message_t message;
        while (leat_outbox_next (scene->outbox, &message)) {
            leat_command_t command;
            assert_int_equal (
                leat_command_decode (&command, message.header, message.header_size, NULL), LEAT_OK);
            assert_int_equal (command.id, LEAT_REPORT);
            assert_true (command.report.position > offset);
            if (record_us >= 1000)
                assert_int_equal (command.report.position, offset + 1);
            reports++;
        }
    }
    scene_destroy (scene);
    return reports;
}

static void test_reports_run_ahead (void **state)
{
    /* Slow: each REPORT tells of one start, and max_unreported 1 lets every other go without. */
    assert_int_equal (s_reports_at_pace (5000), 2000);
    assert_int_equal (s_reports_at_pace (1000), 2000);
    /* Fast: the first millisecond as above, to learn the pace; then about one for each thousand. */
    uint32_t reports = s_reports_at_pace (1);
    assert_in_range (reports, 500 + 3, 500 + 4);
}

static void test_reports_stay_within_what_waits (void **state)
{
    scene_t *scene = NEW (.max_unreported = 1);
    scene_run (scene);
    scene_deliver (scene, 7, 0, 1000);
    scene_take (scene, 900, 7, 0, 900);
    assert_string_equal (scene_sent (scene), "REPORT 900\n");
    scene->now_us += 1000;
    scene_run (scene);
    /* The pace is forgotten unless it is kept; the engine asks for the turn that forgets it. */
    assert_int_equal (leat_consumer_engine_deadline (scene->engine), scene->now_us + 1000);
    scene_take (scene, 2, 7, 900, 2);
    assert_string_equal (scene_sent (scene), "REPORT 1000\n");
    scene->now_us += 1000;
    scene_run (scene);
    assert_true (leat_consumer_engine_deadline (scene->engine) == UINT64_MAX);
    scene_deliver (scene, 7, 1000, 1000);
    scene_take (scene, 99, 7, 902, 98);
    scene_take (scene, 2, 7, 1000, 2);
    assert_string_equal (scene_sent (scene), "REPORT 1002\n");
    scene_destroy (scene);
}

/* Records that come one by one, five in a millisecond: neither a SETTLE nor a REPORT for each. */
static void test_brisk_trickle (void **state)
{
    scene_t *scene = NEW (.max_unreported = 1);
    uint32_t commands = 0;
    uint64_t reported = 0;
    for (uint32_t offset = 0; offset < 1000; offset++) {
        scene->now_us += 200;
        leat_consumer_engine_run (scene->engine, scene->now_us, scene->outbox);
        scene_deliver (scene, 7 + offset, offset, 1);
        leat_delivery_t delivery = scene_take (scene, 1, 7 + offset, offset, 1);
        scene_settle (scene, &delivery, offset, 1, LEAT_ACK);
        leat_consumer_engine_run (scene->engine, scene->now_us, scene->outbox);
        leat_message_t message;
        while (leat_outbox_next (scene->outbox, &message)) {
            leat_command_t command;
            assert_int_equal (
                leat_command_decode (&command, message.header, message.header_size, NULL), LEAT_OK);
            if (command.id == LEAT_REPORT)
                reported = command.report.position;
            assert_true (reported <= offset + 1 + 16);
            commands++;
        }
    }
    assert_in_range (commands, 2 * 200 - 20, 2 * 200 + 50);
    /* Then it ends: the last settles go within the millisecond. */
    scene->now_us += 1000;
    assert_true (leat_consumer_engine_deadline (scene->engine) <= scene->now_us);
    scene_run (scene);
    assert_false (leat_consumer_engine_busy (scene->engine));
    /* Slower ones are settled one by one, at once. */
    for (uint32_t offset = 1000; offset < 1010; offset++) {
        scene->now_us += 2000;
        scene_run (scene);
        scene_deliver (scene, 7 + offset, offset, 1);
        leat_delivery_t delivery = scene_take (scene, 1, 7 + offset, offset, 1);
        scene_settle (scene, &delivery, offset, 1, LEAT_ACK);
        assert_int_equal (leat_consumer_engine_deadline (scene->engine), 0);
        scene_run (scene);
        assert_false (leat_consumer_engine_busy (scene->engine));
    }
    scene_destroy (scene);
}

/* ---- losing leases --------------------------------------------------------------------------- */

static void test_lost (void **state)
{
    scene_t *scene = NEW (.max_unreported = 1);
    scene_deliver (scene, 7, 0, 10);
    leat_delivery_t before = scene_take (scene, 4, 7, 0, 4);
    scene_settle (scene, &before, 0, 1, LEAT_ACK);
    assert_int_equal (leat_consumer_engine_flush (scene->engine), 1);
    assert_int_equal (leat_consumer_engine_flushed (scene->engine), 0);
    leat_consumer_engine_ask_empty (scene->engine);
    scene_sent (scene);
    assert_string_equal (scene_run (scene), "SETTLE ack 7:0+1 confirm 1\nASK_EMPTY 1\n");
    scene_settle (scene, &before, 1, 1, LEAT_ACK);

    leat_consumer_engine_lost (scene->engine);
    assert_int_equal (leat_consumer_engine_state (scene->engine), LEAT_CONSUMER_DETACHED);
    assert_int_equal (leat_consumer_engine_flushed (scene->engine), 1);
    assert_int_equal (leat_consumer_engine_waiting (scene->engine), 0);
    assert_int_equal (leat_consumer_engine_started (scene->engine), 0);
    assert_false (leat_consumer_engine_busy (scene->engine));
    assert_int_equal (leat_consumer_engine_stale (scene->engine), 1);
    assert_int_equal (scene_settle (scene, &before, 2, 1, LEAT_ACK), 0);
    assert_int_equal (leat_consumer_engine_stale (scene->engine), 2);
    assert_false (scene_has_more (scene));
    assert_int_equal (leat_consumer_engine_flush (scene->engine), 2);
    assert_int_equal (leat_consumer_engine_flushed (scene->engine), 2);
    assert_string_equal (scene_run (scene), "");

    /* Attached anew: the same numbers mean another lease, positions begin at 0 again. */
    leat_consumer_engine_begin (scene->engine, SAMPLE_CHANNEL, scene->outbox);
    assert_string_equal (scene_run (scene), "ATTACH orders default 100000 16777216 1\n");
    scene_attached (scene);
    assert_string_equal (scene_run (scene), "ASK_EMPTY 1\n");
    scene_deliver (scene, 7, 0, 10);
    leat_delivery_t after = scene_take (scene, 4, 7, 0, 4);
    assert_string_equal (scene_sent (scene), "REPORT 4\n");
    assert_int_not_equal (after.session, before.session);
    assert_int_equal (scene_settle (scene, &before, 3, 1, LEAT_ACK), 0);
    assert_int_equal (leat_consumer_engine_give_back (scene->engine, before.session, 7, 3, 1), 0);
    assert_int_equal (scene_settle (scene, &after, 3, 1, LEAT_ACK), 1);
    assert_int_equal (leat_consumer_engine_stale (scene->engine), 3);
    scene_destroy (scene);
}

static void test_recall (void **state)
{
    scene_t *scene = NEW (.max_unreported = 100);
    scene_deliver (scene, 7, 0, 20);
    scene_deliver (scene, 8, 20, 5);
    leat_delivery_t delivery = scene_take (scene, 5, 7, 0, 5);
    scene_settle (scene, &delivery, 0, 1, LEAT_ACK);
    RANGES (scene, LEAT_RECALL, { 7, 3, 5 }, { 8, 22, 1 }, { 7, 15, 100 }, { 9, 0, 4000000000u },
            { 8, 24, 1 }, { 7, 3, 5 });
    assert_string_equal (scene_run (scene), "RETURNED OK 7:5+3 8:22+1 7:15+5 8:24+1\n");
    RANGES (scene, LEAT_RECALL, { 7, 0, 5 });
    assert_string_equal (scene_run (scene), "");
    assert_int_equal (leat_consumer_engine_waiting (scene->engine), 10);
    assert_int_equal (scene_settle (scene, &delivery, 1, 10, LEAT_ACK), 4);
    scene_take (scene, 3, 7, 8, 3);
    scene_take (scene, 10, 7, 11, 4);
    scene_take (scene, 10, 8, 20, 2);
    scene_take (scene, 10, 8, 23, 1);
    assert_false (scene_has_more (scene));
    scene_destroy (scene);
}

static void test_revoked (void **state)
{
    scene_t *scene = NEW (.max_unreported = 1, .settle_count = 1000);
    scene_deliver (scene, 7, 0, 20);
    leat_delivery_t delivery = scene_take (scene, 10, 7, 0, 10);
    assert_string_equal (scene_sent (scene), "REPORT 10\n");
    scene_settle (scene, &delivery, 0, 6, LEAT_ACK);
    RANGES (scene, LEAT_REVOKED, { 7, 4, 4 }, { 7, 12, 3 }, { 1, 1, 1 });
    assert_int_equal (leat_consumer_engine_stale (scene->engine), 2);
    assert_int_equal (leat_consumer_engine_started (scene->engine), 2);
    assert_int_equal (leat_consumer_engine_waiting (scene->engine), 7);
    assert_int_equal (scene_settle (scene, &delivery, 6, 4, LEAT_ACK), 2);
    assert_int_equal (leat_consumer_engine_stale (scene->engine), 4);
    scene->now_us += 1000;
    assert_string_equal (scene_run (scene), "SETTLE ack 7:0+4 ack 7:8+2\n");
    scene_take (scene, 1, 7, 10, 1);
    scene_take (scene, 1, 7, 11, 1);
    scene_sent (scene);
    scene_settle (scene, &delivery, 10, 2, LEAT_ACK);
    scene_take (scene, 10, 7, 15, 5);
    assert_string_equal (scene_sent (scene), "REPORT 20\n");

    /* STALE: the broker says what it did not hold. */
    RANGES (scene, LEAT_STALE, { 7, 0, 4 }, { 7, 8, 2 });
    assert_int_equal (leat_consumer_engine_stale (scene->engine), 10);
    scene_destroy (scene);
}

/* What takes long is reported even where it need not have been, once. */
static void test_long_ones_are_reported (void **state)
{
    scene_t *scene = NEW (.max_unreported = 3);
    scene_deliver (scene, 7, 0, 20);
    leat_delivery_t delivery = scene_take (scene, 1, 7, 0, 1);
    assert_string_equal (scene_run (scene), "");
    scene->now_us += 200000;
    scene_take (scene, 1, 7, 1, 1);
    assert_string_equal (scene_run (scene), "");
    scene->now_us += 49999;
    assert_string_equal (scene_run (scene), "");
    assert_true (leat_consumer_engine_deadline (scene->engine) == scene->now_us + 1);
    scene->now_us += 1;
    assert_string_equal (scene_run (scene), "REPORT 2\n");
    scene->now_us += 1000000;
    assert_string_equal (scene_run (scene), "");
    assert_true (leat_consumer_engine_deadline (scene->engine) == UINT64_MAX);

    /* A settle reports too, and what is finished is not reported. */
    scene_settle (scene, &delivery, 0, 2, LEAT_ACK);
    assert_string_equal (scene_run (scene), "");
    scene_take (scene, 1, 7, 2, 1);
    scene_run (scene);
    scene_settle (scene, &delivery, 2, 1, LEAT_ACK);
    scene->now_us += 300000;
    assert_string_equal (scene_run (scene), "SETTLE ack 7:0+3\n");
    assert_true (leat_consumer_engine_deadline (scene->engine) == UINT64_MAX);
    scene_destroy (scene);
}

/* Whose application settles what was taken away tells the broker that it lives. */
static void test_late_settles (void **state)
{
    scene_t *scene = NEW (.max_unreported = 2);
    scene_deliver (scene, 7, 0, 2);
    leat_delivery_t delivery = scene_take (scene, 2, 7, 0, 2);
    RANGES (scene, LEAT_REVOKED, { 7, 0, 2 });
    assert_string_equal (scene_run (scene), "");
    assert_int_equal (scene_settle (scene, &delivery, 0, 1, LEAT_ACK), 0);
    assert_int_equal (leat_consumer_engine_stale (scene->engine), 1);
    assert_int_equal (leat_consumer_engine_deadline (scene->engine), 0);
    assert_string_equal (scene_run (scene), "SETTLE\n");
    assert_int_equal (scene_settle (scene, &delivery, 1, 1, LEAT_ACK), 0);
    assert_string_equal (scene_run (scene), "");
    assert_int_equal (leat_consumer_engine_stale (scene->engine), 2);
    scene_destroy (scene);
}

/* The broker may have dropped a settle that met REVOKED on the way; what it reported is said again. */
static void test_revoked_reports_again (void **state)
{
    scene_t *scene = NEW (.max_unreported = 2);
    for (int attachment = 0; attachment < 2; attachment++) {
        scene_deliver (scene, 7, 0, 20);
        leat_delivery_t delivery = scene_take (scene, 2, 7, 0, 2);
        scene_settle (scene, &delivery, 0, 2, LEAT_ACK);
        scene->now_us += 1000;
        assert_string_equal (scene_run (scene), "SETTLE ack 7:0+2\n");
        scene_take (scene, 2, 7, 2, 2);
        assert_string_equal (scene_sent (scene), "");
        RANGES (scene, LEAT_REVOKED, { 7, 0, 2 });
        assert_string_equal (scene_sent (scene), "REPORT 2\n");
        RANGES (scene, LEAT_REVOKED, { 7, 0, 2 });
        assert_string_equal (scene_sent (scene), "");

        /* So it is with a settle that was not sent, of which only a part is taken away. */
        scene_settle (scene, &delivery, 2, 2, LEAT_ACK);
        RANGES (scene, LEAT_REVOKED, { 7, 3, 1 });
        assert_string_equal (scene_sent (scene), "REPORT 4\n");

        leat_consumer_engine_lost (scene->engine);
        leat_consumer_engine_begin (scene->engine, SAMPLE_CHANNEL, scene->outbox);
        scene_sent (scene);
        scene_attached (scene);
    }
    scene_destroy (scene);
}

static void test_damaged (void **state)
{
    scene_t *scene = NEW (.max_unreported = 1);
    leat_buffer_t *body = sample_body (7, 0, 5, false);
    leat_batch_t batch = sample_batch (7, 0, 5, body);
    batch.crc32c ^= 1;
    leat_consumer_engine_deliver (scene->engine, &batch, leat_slice_whole (body), scene->outbox);
    assert_string_equal (scene_sent (scene), "RETURNED DAMAGED 7:0+5\n");
    batch = sample_batch (7, 10, 6, body); /* one more than there are */
    leat_consumer_engine_deliver (scene->engine, &batch, leat_slice_whole (body), scene->outbox);
    assert_string_equal (scene_sent (scene), "RETURNED DAMAGED 7:10+6\n");
    leat_consumer_engine_deliver (scene->engine, &batch, leat_slice_whole (NULL), scene->outbox);
    assert_string_equal (scene_sent (scene), "RETURNED DAMAGED 7:10+6\n");
    leat_buffer_release (&body);
    assert_int_equal (leat_consumer_engine_damaged (scene->engine), 3);
    assert_int_equal (leat_consumer_engine_waiting (scene->engine), 0);

    /* 17 records were delivered, so the next has position 17. */
    scene_deliver (scene, 8, 100, 3);
    scene_take (scene, 1, 8, 100, 1);
    assert_string_equal (scene_sent (scene), "REPORT 18\n");
    scene_destroy (scene);
}

int main (void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test (test_whole_batch),
        cmocka_unit_test (test_partial_takes_in_order),
        cmocka_unit_test (test_workers_out_of_order),
        cmocka_unit_test (test_what_is_not_merged),
        cmocka_unit_test (test_many_entries),
        cmocka_unit_test (test_when_settles_go),
        cmocka_unit_test (test_give_back),
        cmocka_unit_test (test_report_one_by_one),
        cmocka_unit_test (test_reports_run_ahead),
        cmocka_unit_test (test_reports_stay_within_what_waits),
        cmocka_unit_test (test_brisk_trickle),
        cmocka_unit_test (test_lost),
        cmocka_unit_test (test_recall),
        cmocka_unit_test (test_revoked),
        cmocka_unit_test (test_long_ones_are_reported),
        cmocka_unit_test (test_late_settles),
        cmocka_unit_test (test_revoked_reports_again),
        cmocka_unit_test (test_damaged),
    };
    return cmocka_run_group_tests (tests, NULL, NULL);
}

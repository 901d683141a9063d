/* The outbox: order, contents, references, and memory that is used again.
 * SPDX-License-Identifier: MPL-2.0 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>

#include "wire/outbox.h"

static void s_count_free (void *hint)
{
    ++*(int *) hint;
}

static void s_put_ping (leat_outbox_t *outbox, uint64_t number)
{
    leat_outbox_command (outbox, number * 3,
                         &(leat_command_t){ .id = LEAT_PING, .ping = { .token = number } });
}

static void s_expect_ping (leat_outbox_t *outbox, uint64_t number)
{
    leat_message_t message;
    leat_command_t command;
    assert_true (leat_outbox_next (outbox, &message));
    assert_true (message.peer == number * 3);
    assert_null (message.body.buffer);
    assert_int_equal (leat_command_decode (&command, message.header, message.header_size, NULL),
                      LEAT_OK);
    assert_int_equal (command.id, LEAT_PING);
    assert_true (command.ping.token == number);
}

static void test_empty (void **state)
{
    leat_message_t message;
    leat_outbox_t *outbox = leat_outbox_new ();
    assert_int_equal (leat_outbox_count (outbox), 0);
    assert_false (leat_outbox_next (outbox, &message));
    leat_outbox_clear (outbox);
    assert_false (leat_outbox_next (outbox, &message));
    leat_outbox_destroy (&outbox);
    assert_null (outbox);
    leat_outbox_destroy (&outbox);
}

static void test_batches (void **state)
{
    uint8_t bytes[] = "0123456789";
    int freed = 0;
    leat_outbox_t *outbox = leat_outbox_new ();
    leat_buffer_t *buffer = leat_buffer_wrap (bytes, sizeof bytes, s_count_free, &freed);
    leat_batch_t batch = { .command = LEAT_DELIVER, .channel = 5, .count = 1, .attempt = 1 };
    leat_outbox_batch (outbox, 77, &batch, (leat_slice_t){ buffer, 3, 4 });
    batch.channel = 6;
    leat_outbox_batch (outbox, 78, &batch, (leat_slice_t){ buffer, 0, 1 });
    leat_buffer_release (&buffer);
    assert_int_equal (leat_outbox_count (outbox), 2);

    leat_message_t message;
    leat_batch_t read;
    assert_true (leat_outbox_next (outbox, &message));
    assert_true (message.peer == 77);
    assert_int_equal (leat_batch_decode (&read, message.header, message.header_size), LEAT_OK);
    assert_int_equal (read.channel, 5);
    assert_int_equal (message.body.size, 4);
    assert_memory_equal (leat_slice_bytes (message.body), "3456", 4);
    assert_int_equal (leat_outbox_count (outbox), 1);

    assert_true (leat_outbox_next (outbox, &message));
    assert_int_equal (leat_batch_decode (&read, message.header, message.header_size), LEAT_OK);
    assert_int_equal (read.channel, 6);
    assert_memory_equal (leat_slice_bytes (message.body), "0", 1);
    /* The last message is borrowed still. */
    assert_int_equal (freed, 0);
    assert_false (leat_outbox_next (outbox, &message));
    assert_int_equal (freed, 1);
    leat_outbox_destroy (&outbox);
}

/* Slices that are joined to a message come as one body behind their headers. */
static void test_joined (void **state)
{
    uint8_t bytes[] = "0123456789";
    int freed = 0;
    leat_outbox_t *outbox = leat_outbox_new ();
    leat_buffer_t *buffer = leat_buffer_wrap (bytes, sizeof bytes, s_count_free, &freed);
    leat_batch_t batch = { .command = LEAT_DELIVER, .channel = 5, .count = 1, .attempt = 1 };
    for (uint32_t message = 0; message < 3; message++) {
        batch.first = 100 * message;
        batch.size = 1;
        leat_outbox_batch (outbox, 77, &batch, (leat_slice_t){ buffer, message, 1 });
        for (uint32_t index = 0; index < message * (LEAT_SLICES_MAX - 1) / 2; index++) {
            batch.first++;
            batch.size = 2;
            leat_outbox_join (outbox, &batch, (leat_slice_t){ buffer, index % 8, 2 });
        }
    }
    leat_buffer_release (&buffer);
    assert_int_equal (leat_outbox_count (outbox), 3);
    for (uint32_t message = 0; message < 3; message++) {
        leat_message_t taken;
        assert_true (leat_outbox_next (outbox, &taken));
        uint32_t slices = 1 + message * (LEAT_SLICES_MAX - 1) / 2;
        assert_int_equal (leat_batch_slices (taken.header, taken.header_size, taken.body.size),
                          slices);
        const uint8_t *text = leat_slice_bytes (taken.body);
        for (uint32_t index = 0; index < slices; index++) {
            leat_batch_t read;
            leat_batch_decode (&read, taken.header + index * LEAT_BATCH_HEADER_SIZE,
                               LEAT_BATCH_HEADER_SIZE);
            assert_int_equal (read.first, 100 * message + index);
            assert_int_equal (read.size, index ? 2 : 1);
            assert_memory_equal (text, bytes + (index ? (index - 1) % 8 : message), read.size);
            text += read.size;
        }
        if (message == 1) { /* more while some wait */
            leat_outbox_batch (outbox, 78, &batch, (leat_slice_t){ taken.body.buffer, 0, 1 });
            leat_outbox_join (outbox, &batch, (leat_slice_t){ taken.body.buffer, 1, 1 });
        }
    }
    assert_int_equal (freed, 1);
    leat_outbox_clear (outbox);
    leat_message_t none;
    assert_false (leat_outbox_next (outbox, &none));
    leat_outbox_destroy (&outbox);
}

/* A queue of joined slices that never runs empty while many go through it. */
static void test_order_of_joined (void **state)
{
    enum { WAITING = 50 };
    uint8_t bytes[LEAT_SLICES_MAX];
    for (uint32_t i = 0; i < LEAT_SLICES_MAX; i++)
        bytes[i] = (uint8_t) i;
    leat_outbox_t *outbox = leat_outbox_new ();
    leat_buffer_t *buffer = leat_buffer_copy (bytes, sizeof bytes);
    leat_batch_t batch = {
        .command = LEAT_DELIVER, .channel = 5, .count = 1, .size = 1, .attempt = 1
    };
    leat_message_t taken;
    for (uint32_t message = 0; message < 5000; message++) {
        /* As many slices as its number says. */
        leat_outbox_batch (outbox, 77, &batch, (leat_slice_t){ buffer, 0, 1 });
        for (uint32_t i = 1; i <= message % LEAT_SLICES_MAX; i++)
            leat_outbox_join (outbox, &batch, (leat_slice_t){ buffer, i, 1 });
        if (message < WAITING)
            continue;
        assert_true (leat_outbox_next (outbox, &taken));
        assert_int_equal (taken.body.size, (message - WAITING) % LEAT_SLICES_MAX + 1);
        assert_int_equal (leat_batch_slices (taken.header, taken.header_size, taken.body.size),
                          taken.body.size);
        assert_memory_equal (leat_slice_bytes (taken.body), bytes, taken.body.size);
    }
    assert_int_equal (leat_outbox_count (outbox), WAITING);
    leat_buffer_release (&buffer);
    leat_outbox_destroy (&outbox); /* what waits is released */
}

static void test_body_outlives_the_outbox (void **state)
{
    uint8_t byte = 'x';
    int freed = 0;
    leat_outbox_t *outbox = leat_outbox_new ();
    leat_buffer_t *buffer = leat_buffer_wrap (&byte, 1, s_count_free, &freed);
    leat_batch_t batch = { .command = LEAT_DELIVER, .count = 1 };
    leat_outbox_batch (outbox, 0, &batch, (leat_slice_t){ buffer, 0, 1 });
    leat_buffer_release (&buffer);
    leat_message_t message;
    assert_true (leat_outbox_next (outbox, &message));
    leat_buffer_t *kept = leat_buffer_hold (message.body.buffer);
    leat_outbox_destroy (&outbox);
    assert_int_equal (freed, 0);
    leat_buffer_release (&kept);
    assert_int_equal (freed, 1);
}

static void test_clear_and_destroy_release (void **state)
{
    uint8_t byte = 'x';
    leat_batch_t batch = { .command = LEAT_DELIVER, .count = 1 };
    for (int clear = 0; clear <= 1; clear++) {
        for (int taken = 0; taken <= 3; taken++) {
            int freed = 0;
            leat_outbox_t *outbox = leat_outbox_new ();
            leat_buffer_t *buffer = leat_buffer_wrap (&byte, 1, s_count_free, &freed);
            for (int index = 0; index < 3; index++)
                leat_outbox_batch (outbox, 0, &batch, (leat_slice_t){ buffer, 0, 1 });
            leat_buffer_release (&buffer);
            leat_message_t message;
            for (int index = 0; index < taken; index++)
                assert_true (leat_outbox_next (outbox, &message));
            assert_int_equal (freed, 0);
            if (clear) {
                leat_outbox_clear (outbox);
                assert_int_equal (freed, 1);
                assert_int_equal (leat_outbox_count (outbox), 0);
                assert_false (leat_outbox_next (outbox, &message));
                s_put_ping (outbox, 8);
                s_expect_ping (outbox, 8);
            }
            leat_outbox_destroy (&outbox);
            assert_int_equal (freed, 1);
        }
    }
}

/* Long queues, and queues that never run empty while much goes through them. */
static void test_order (void **state)
{
    static const size_t lengths[] = { 1, 2, 63, 64, 65, 500, 5000 };
    for (size_t index = 0; index < sizeof lengths / sizeof lengths[0]; index++) {
        leat_outbox_t *outbox = leat_outbox_new ();
        uint64_t put = 0, taken = 0;
        while (put < lengths[index])
            s_put_ping (outbox, put++);
        for (int round = 0; round < 20000; round++) {
            s_put_ping (outbox, put++);
            s_expect_ping (outbox, taken++);
        }
        assert_int_equal (leat_outbox_count (outbox), lengths[index]);
        while (taken < put)
            s_expect_ping (outbox, taken++);
        assert_int_equal (leat_outbox_count (outbox), 0);
        leat_outbox_destroy (&outbox);
    }
}

static void test_large_commands (void **state)
{
    static char text[LEAT_TEXT_MAX];
    leat_outbox_t *outbox = leat_outbox_new ();
    leat_message_t message;
    leat_command_t command;
    for (int round = 0; round < 3; round++) {
        for (int index = 0; index < 100; index++) {
            memset (text, 'a' + index % 26, sizeof text);
            leat_outbox_command (
                outbox, 0,
                &(leat_command_t){ .id = LEAT_DRAIN,
                                   .drain = { .reason = { text, (size_t) index * 10 } } });
        }
        for (int index = 0; index < 100; index++) {
            assert_true (leat_outbox_next (outbox, &message));
            assert_int_equal (
                leat_command_decode (&command, message.header, message.header_size, NULL), LEAT_OK);
            assert_int_equal (command.drain.reason.size, index * 10);
            memset (text, 'a' + index % 26, sizeof text);
            assert_memory_equal (command.drain.reason.data, text, command.drain.reason.size);
        }
    }
    leat_outbox_destroy (&outbox);
}

int main (void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test (test_empty),
        cmocka_unit_test (test_batches),
        cmocka_unit_test (test_joined),
        cmocka_unit_test (test_order_of_joined),
        cmocka_unit_test (test_body_outlives_the_outbox),
        cmocka_unit_test (test_clear_and_destroy_release),
        cmocka_unit_test (test_order),
        cmocka_unit_test (test_large_commands),
    };
    return cmocka_run_group_tests (tests, NULL, NULL);
}

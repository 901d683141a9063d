/* Arbitrary messages of a hostile broker into a session with two producers and a consumer, whose
 * application goes on working meanwhile.
 * SPDX-License-Identifier: MPL-2.0
 *
 * The input is a list of steps: a byte that chooses, then what the step needs.
 *
 *      0..3    u8 size | bytes           a command, as it is
 *      4       u8 size | bytes | bytes   header of a batch and a body (the same size)
 *      5       u8 time                   time passes: 2^(time / 8) ms
 *      6       u8 what                   the application submits, takes, settles, closes, ...
 *      7       u8 command | fields       a command for the session as it stands: see s_plausible
 */
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "client/session.h"
#include "consumers/consumer_engine.h"
#include "fuzz/fuzz.h"
#include "producers/producer_engine.h"
#include "wire/assert.h"
#include "wire/crc32c.h"

enum {
    PRODUCERS = 2,
    CHANNELS = 4 /* 1 to 3 are in use */
};

typedef struct {
    const uint8_t *data;
    size_t left;
} input_t;

typedef struct {
    leat_session_t *session;
    leat_producer_engine_t *producers[PRODUCERS];
    bool is_closed[PRODUCERS];
    uint64_t confirmed[PRODUCERS];
    leat_consumer_engine_t *consumer;
    leat_delivery_t taken;
    bool has_taken;
    uint64_t now_us;
    unsigned index_of[CHANNELS]; /* of the producer that opened this channel last, from 1 */
    uint64_t known[PRODUCERS];   /* highest sequence that an OPENED has told */
    uint64_t sent[PRODUCERS];    /* highest sequence that was sent */
} subject_t;

static uint64_t s_number (input_t *input, size_t size)
{
    uint64_t number = 0;
    for (size_t index = 0; index < size && input->left > 0; index++, input->left--)
        number |= (uint64_t) *input->data++ << (8 * index);
    return number;
}

static const uint8_t *s_bytes (input_t *input, size_t *size)
{
    const uint8_t *bytes = input->data;
    if (*size > input->left)
        *size = input->left;
    input->data += *size;
    input->left -= *size;
    return bytes;
}

/* ---- the broker ------------------------------------------------------------------------------ */

static void s_note_opened (subject_t *subject, const leat_command_t *command)
{
    if (command->id != LEAT_OPENED || !(command->opened.flags & LEAT_OPENED_KNOWN)
        || command->opened.channel >= CHANNELS || !subject->index_of[command->opened.channel])
        return;
    uint64_t *known = &subject->known[subject->index_of[command->opened.channel] - 1];
    if (*known < command->opened.sequence)
        *known = command->opened.sequence;
}

static void s_receive (subject_t *subject, const uint8_t *header, size_t size, leat_buffer_t *body,
                       unsigned frames)
{
    /* Of its own size, so that reading beyond it is seen. */
    uint8_t *copy = malloc (size + !size);
    if (size > 0)
        memcpy (copy, header, size);
    leat_command_t command;
    if (leat_command_decode (&command, copy, size, NULL) == LEAT_OK)
        s_note_opened (subject, &command);
    leat_session_receive (subject->session, copy, size, body, frames);
    free (copy);
}

static void s_raw_command (subject_t *subject, input_t *input)
{
    size_t size = (size_t) s_number (input, 1);
    const uint8_t *bytes = s_bytes (input, &size);
    s_receive (subject, bytes, size, NULL, 1);
}

static void s_raw_batch (subject_t *subject, input_t *input)
{
    size_t size = (size_t) s_number (input, 1);
    size_t body_size = size;
    const uint8_t *header = s_bytes (input, &size);
    const uint8_t *bytes = s_bytes (input, &body_size);
    leat_buffer_t *body = leat_buffer_copy (bytes, body_size);
    s_receive (subject, header, size, body, 2);
    leat_buffer_release (&body);
}

/* A DELIVER that is right in its checksum and form, with what matters chosen by the input. */
static void s_plausible_batch (subject_t *subject, input_t *input)
{
    uint8_t bytes[64 * 6];
    uint32_t count = 1 + (uint32_t) s_number (input, 1) % 64;
    size_t size = (size_t) count * 6;
    memset (bytes, 0, sizeof bytes);
    for (size_t start = 0; start < size; start += 6)
        bytes[start] = 2;
    leat_batch_t batch = { .command = LEAT_DELIVER, .channel = 3, .count = count, .attempt = 1 };
    batch.crc32c = leat_crc32c (bytes, size);
    batch.first = s_number (input, 2);
    batch.epoch = s_number (input, 1);
    /* Now and then the first record is a slice of its own. */
    bool is_joined = batch.first % 2 && count > 1;
    uint8_t headers[2 * LEAT_BATCH_HEADER_SIZE];
    if (is_joined) {
        batch.count = 1;
        batch.size = 6;
        batch.crc32c = leat_crc32c (bytes, 6);
        leat_batch_encode (&batch, headers);
        batch.first++;
        batch.count = count - 1;
        batch.crc32c = leat_crc32c (bytes + 6, size - 6);
    }
    batch.size = (uint32_t) size - (is_joined ? 6 : 0);
    leat_batch_encode (&batch, headers + (is_joined ? LEAT_BATCH_HEADER_SIZE : 0));
    leat_buffer_t *body = leat_buffer_copy (bytes, size);
    s_receive (subject, headers, is_joined ? sizeof headers : LEAT_BATCH_HEADER_SIZE, body, 2);
    leat_buffer_release (&body);
}

/* Commands that get beyond the first look. */
static void s_plausible (subject_t *subject, input_t *input)
{
    leat_command_t command = { .id = (uint8_t) s_number (input, 1) };
    uint32_t channel = (uint32_t) s_number (input, 1) % 5;
    uint64_t wide = s_number (input, 2);
    uint16_t small = (uint16_t) s_number (input, 1);
    switch (command.id) {
    case LEAT_WELCOME:
        command.welcome = (leat_welcome_t){ .version = LEAT_PROTOCOL_VERSION,
                                            .epoch = wide,
                                            .heartbeat_interval_ms = small,
                                            .heartbeat_timeout_ms = small * 5u,
                                            .record_size_max = (uint32_t) wide,
                                            .batch_size_max = (uint32_t) wide + small,
                                            .window_size = (uint32_t) wide * 2,
                                            .channels_max = 4 };
        break;
    case LEAT_OPENED:
        command.opened = (leat_opened_t){ channel, small & 1, small & 2 ? wide : 0, wide * 4, 0 };
        break;
    case LEAT_CONFIRMED:
        command.confirmed = (leat_confirmed_t){ channel, wide % 256, small, wide };
        break;
    case LEAT_CREDIT:
        command.credit = (leat_credit_t){ channel, small & 1, wide };
        break;
    case LEAT_ATTACHED:
        command.attached = (leat_attached_t){ channel, 0, wide };
        break;
    case LEAT_REFUSED:
        command.refused = (leat_refused_t){ .command = (uint8_t) (wide >> 8),
                                            .channel = channel,
                                            .code = small & 31,
                                            .flight = small >> 5,
                                            .expected = wide & 255 };
        break;
    case LEAT_DELIVER:
        s_plausible_batch (subject, input);
        return;
    default:
        return;
    }
    uint8_t bytes[1024];
    s_receive (subject, bytes, leat_command_encode (&command, bytes), NULL, 1);
}

/* ---- the application ------------------------------------------------------------------------- */

static void s_submit (subject_t *subject, unsigned index, uint32_t count)
{
    if (subject->is_closed[index]
        || leat_producer_engine_unconfirmed_size (subject->producers[index]) > 100000)
        return;
    uint32_t record_size = 1 + count * 7;
    size_t taken = 4 + (size_t) record_size;
    size_t size = count * taken;
    leat_buffer_t *buffer = leat_buffer_new (size);
    uint8_t *bytes = leat_buffer_bytes (buffer);
    memset (bytes, 0, size);
    for (uint32_t record = 0; record < count; record++)
        memcpy (bytes + record * taken, &record_size, 4);
    leat_producer_engine_submit (subject->producers[index], (leat_slice_t){ buffer, 0, size },
                                 count, false, 1);
    leat_buffer_release (&buffer);
}

static void s_take (subject_t *subject, uint32_t count)
{
    if (subject->has_taken)
        return;
    subject->has_taken = leat_consumer_engine_take (subject->consumer, count, &subject->taken,
                                                    leat_session_outbox (subject->session));
}

static void s_settle (subject_t *subject, leat_outcome_t outcome)
{
    if (!subject->has_taken)
        return;
    const leat_delivery_t *taken = &subject->taken;
    uint32_t held =
        leat_consumer_engine_settle (subject->consumer, taken->session, taken->epoch, taken->first,
                                     taken->count, outcome, 0, "no", subject->now_us);
    leat_assert (held <= taken->count);
    leat_buffer_release (&subject->taken.records.buffer);
    subject->has_taken = false;
}

static void s_application (subject_t *subject, unsigned what)
{
    unsigned number = what >> 4;
    switch (what & 15) {
    case 0:
    case 1:
        s_submit (subject, what & 1, number + 1);
        break;
    case 2:
    case 3:
        if (number == 15) {
            leat_producer_engine_close (subject->producers[what & 1]);
            subject->is_closed[what & 1] = true;
        }
        break;
    case 4:
        s_take (subject, number + 1);
        break;
    case 5:
        s_settle (subject, (leat_outcome_t) (1 + number % 3));
        break;
    case 6:
        if (number == 15)
            leat_consumer_engine_leave (subject->consumer);
        break;
    case 7:
        leat_consumer_engine_flush (subject->consumer);
        break;
    case 8:
        leat_session_unsent (subject->session);
        break;
    case 9:
        if (number == 15) {
            leat_session_close (subject->session);
            subject->is_closed[0] = subject->is_closed[1] = true;
        }
        break;
    default:
        break;
    }
}

/* ---- what must always be true ---------------------------------------------------------------- */

static void s_check_text (const char *text)
{
    for (; *text; text++)
        leat_assert (*text >= 0x20 && *text < 0x7f);
}

static void s_check_producer (subject_t *subject, unsigned index)
{
    const leat_producer_engine_t *producer = subject->producers[index];
    uint64_t confirmed = leat_producer_engine_confirmed (producer);
    uint64_t next = leat_producer_engine_next (producer);
    /* Nothing is confirmed that was neither sent nor known, and it stays confirmed. */
    leat_assert (confirmed >= subject->confirmed[index]);
    leat_assert (confirmed <= subject->sent[index] || confirmed <= subject->known[index]);
    leat_assert ((leat_producer_engine_unconfirmed_size (producer) == 0)
                 == (confirmed + 1 >= next));
    subject->confirmed[index] = confirmed;
    s_check_text (leat_producer_engine_error (producer, NULL));
}

static void s_check (subject_t *subject)
{
    uint64_t used = 0;
    for (unsigned index = 0; index < PRODUCERS; index++) {
        s_check_producer (subject, index);
        used += leat_producer_engine_cost_in_flight (subject->producers[index], NULL);
    }
    const leat_session_window_t *window = leat_session_window (subject->session);
    leat_assert (window->used == used);
    leat_assert (window->used <= window->size);
    s_check_text (leat_session_error (subject->session, NULL));
    leat_session_state_t state = leat_session_state (subject->session);
    leat_assert (state < LEAT_SESSION_CLOSED
                 || leat_session_deadline (subject->session) == UINT64_MAX);
}

/* What goes out must be what a broker can read. */
static void s_check_message (subject_t *subject, const leat_message_t *message)
{
    leat_batch_t batch;
    leat_command_t command;
    if (message->body.buffer == NULL) {
        leat_assert (leat_command_decode (&command, message->header, message->header_size, NULL)
                     == LEAT_OK);
        if (command.id == LEAT_OPEN) {
            leat_assert (command.open.channel > 0 && command.open.channel < CHANNELS);
            subject->index_of[command.open.channel] = 1u + (*command.open.stream.data == 'b');
        }
        return;
    }
    leat_assert (leat_batch_decode (&batch, message->header, message->header_size) == LEAT_OK);
    leat_assert (batch.command == LEAT_PUBLISH && batch.channel < CHANNELS);
    leat_assert (leat_batch_check (leat_slice_bytes (message->body), message->body.size,
                                   batch.count, false, LEAT_RECORD_SIZE_DEFAULT)
                 == LEAT_OK);
    unsigned index = subject->index_of[batch.channel] - 1;
    leat_assert (index < PRODUCERS && batch.first > subject->confirmed[index]);
    if (subject->sent[index] < batch.first + batch.count - 1)
        subject->sent[index] = batch.first + batch.count - 1;
}

/* One turn of the driver. */
static void s_turn (subject_t *subject)
{
    leat_session_tick (subject->session, subject->now_us, subject->now_us / 1000);
    leat_session_run (subject->session);
    leat_message_t message;
    while (leat_outbox_next (leat_session_outbox (subject->session), &message))
        s_check_message (subject, &message);
    uint32_t endpoint = 0;
    if (leat_session_connect (subject->session, &endpoint))
        leat_assert (endpoint < 2);
    s_check (subject);
}

static void s_step (subject_t *subject, input_t *input)
{
    switch (s_number (input, 1) & 7) {
    case 4:
        s_raw_batch (subject, input);
        break;
    case 5:
        subject->now_us += (uint64_t) 1000 << (s_number (input, 1) % 160 / 8);
        break;
    case 6:
        s_application (subject, (unsigned) s_number (input, 1));
        break;
    case 7:
        s_plausible (subject, input);
        break;
    default:
        s_raw_command (subject, input);
        break;
    }
    s_turn (subject);
}

int LLVMFuzzerTestOneInput (const uint8_t *data, size_t size)
{
    static const char *const streams[PRODUCERS] = { "a", "b" };
    leat_session_options_t options = { .identity = "me", .endpoints = 2, .seed = size };
    subject_t subject = { .session = leat_session_new (&options), .now_us = 1 };
    for (unsigned index = 0; index < PRODUCERS; index++) {
        leat_producer_engine_options_t producer = { .stream = streams[index] };
        producer.batch_size_max = 300;
        subject.producers[index] = leat_producer_engine_new (&producer);
        leat_session_add_producer (subject.session, subject.producers[index]);
    }
    leat_consumer_engine_options_t consumer = { .stream = "a", .credit_records = 100 };
    subject.consumer = leat_consumer_engine_new (&consumer);
    leat_session_add_consumer (subject.session, subject.consumer);

    input_t input = { data, size };
    s_turn (&subject);
    s_turn (&subject);
    while (input.left > 0)
        s_step (&subject, &input);

    /* Left alone, the driver comes to rest until something is due. */
    for (unsigned turn = 0; turn < 3; turn++)
        s_turn (&subject);
    leat_assert (leat_session_deadline (subject.session) > subject.now_us);

    s_settle (&subject, LEAT_ACK);
    for (unsigned index = 0; index < PRODUCERS; index++) {
        leat_session_remove_producer (subject.session, subject.producers[index]);
        leat_producer_engine_destroy (&subject.producers[index]);
    }
    leat_session_remove_consumer (subject.session, subject.consumer);
    leat_consumer_engine_destroy (&subject.consumer);
    leat_session_destroy (&subject.session);
    return 0;
}

/* Lies of every kind, mixed with enough truth to get into every state.
 * SPDX-License-Identifier: MPL-2.0 */
#include "tests/simulation/liar.h"
#include "tests/simulation/model.h"
#include "tests/simulation/trace.h"
#include "wire/alloc.h"
#include "wire/crc32c.h"

#include <stdlib.h>
#include <string.h>

enum { CHANNELS = 4 };

sim_liar_t *sim_liar_new (sim_t *sim, unsigned number)
{
    sim_liar_t *liar = leat_alloc (sizeof *liar);
    liar->number = number + 1;
    liar->identity = SIM_CLIENTS_MAX + number;
    liar->used_identity = liar->identity;
    liar->due_us = sim_below (&sim->random, 2000000);
    return liar;
}

void sim_liar_destroy (sim_t *sim, sim_liar_t **liar_p)
{
    if (!*liar_p)
        return;
    sim_network_close (sim, &(*liar_p)->connection);
    free (*liar_p);
    *liar_p = NULL;
}

uint64_t sim_liar_due (const sim_liar_t *liar)
{
    return liar->due_us;
}

/* ---- plausible fields ------------------------------------------------------------------------ */

/* A number that is small, near `truth`, or absurd. */
static uint64_t s_number (sim_t *sim, uint64_t truth)
{
    switch (sim_below (&sim->random, 8)) {
    case 0:
        return 0;
    case 1:
        return UINT64_MAX;
    case 2:
        return (uint64_t) 1 << 63;
    case 3:
        return sim_below (&sim->random, 100);
    case 4:
        return truth + sim_below (&sim->random, 10);
    case 5:
        return truth - sim_below (&sim->random, 10);
    default:
        return truth;
    }
}

static uint32_t s_channel (sim_t *sim)
{
    if (sim_chance (&sim->random, 5))
        return (uint32_t) (s_number (sim, 100) | 64);
    return (uint32_t) sim_between (&sim->random, 1, CHANNELS);
}

/* A channel's number says into which stream it publishes, so that records end up where they say. */
static unsigned s_stream_of (uint32_t channel)
{
    return channel % (SIM_STREAMS_MAX + 1);
}

static const char *s_stream (sim_t *sim, uint32_t channel)
{
    static const char *const strange[] = { "", "alpha.dead", ".hidden", "-x", "sl/ash" };
    if (sim_chance (&sim->random, 10))
        return strange[sim_below (&sim->random, sizeof strange / sizeof *strange)];
    return sim_stream_name (s_stream_of (channel));
}

static void s_send (sim_t *sim, sim_liar_t *liar, const uint8_t *header, size_t size,
                    leat_slice_t body, unsigned frames)
{
    if (!liar->connection)
        return;
    sim_model_peer (sim, liar->connection->peer)->liar = true;
    sim_trace_message (sim, "liar", ">", liar->connection->peer, header, size, body.size);
    SIM_COUNT (sim, lies);
    if (!sim_network_send_up (sim, liar->connection, header, size, body, frames))
        sim_network_close (sim, &liar->connection);
}

static void s_command (sim_t *sim, sim_liar_t *liar, const leat_command_t *command)
{
    uint8_t bytes[8192];
    if (leat_command_encoded_size (command) > sizeof bytes)
        return;
    size_t size = leat_command_encode (command, bytes);
    s_send (sim, liar, bytes, size, (leat_slice_t){ 0 }, 1);
}

/* ---- sessions -------------------------------------------------------------------------------- */

static void s_hello (sim_t *sim, sim_liar_t *liar)
{
    char name[32];
    leat_command_t command = { .id = LEAT_HELLO };
    leat_hello_t *hello = &command.hello;
    sim_identity_name (liar->used_identity, name, sizeof name);
    hello->signature = sim_chance (&sim->random, 95) ? LEAT_SIGNATURE : 0x474e4950;
    hello->version_min = 1;
    hello->version_max =
        (uint8_t) sim_between (&sim->random, sim_chance (&sim->random, 5) ? 0 : 1, 3);
    hello->flags = sim_chance (&sim->random, 80) ? 0 : (uint16_t) sim_below (&sim->random, 8);
    /* Mostly the next attempt of one life; sometimes another life's, or one of before. */
    hello->life = sim_chance (&sim->random, 80) ? liar->number : s_number (sim, liar->number);
    hello->attempt =
        sim_chance (&sim->random, 80) ? ++liar->attempt : (uint32_t) s_number (sim, liar->attempt);
    hello->identity = leat_text (sim_chance (&sim->random, 95) ? name : "");
    hello->software = leat_text ("liar");
    s_command (sim, liar, &command);
}

static void s_connect (sim_t *sim, sim_liar_t *liar)
{
    sim_network_close (sim, &liar->connection);
    liar->connection = sim_network_connect (sim, SIM_IDENTITIES_MAX);
    liar->leases_count = 0;
    liar->used_identity = liar->identity;
    if (sim->plan.rivals && sim_chance (&sim->random, 30)) {
        liar->used_identity = (unsigned) sim_below (&sim->random, sim->clients_count);
        SIM_COUNT (sim, lies_hello);
    }
    if (sim_chance (&sim->random, 95))
        s_hello (sim, liar);
}

static void s_hello_flood (sim_t *sim, sim_liar_t *liar)
{
    SIM_COUNT (sim, lies_hello_flood);
    for (unsigned count = 0; count < 20; count++)
        s_connect (sim, liar);
}

/* ---- publishing ------------------------------------------------------------------------------ */

static void s_open (sim_t *sim, sim_liar_t *liar)
{
    leat_command_t command = { .id = LEAT_OPEN };
    command.open.channel = s_channel (sim);
    uint64_t next = liar->sequences[s_stream_of (command.open.channel)] + 1;
    command.open.stream = leat_text (s_stream (sim, command.open.channel));
    command.open.flags = sim_chance (&sim->random, 10);
    command.open.base = sim_chance (&sim->random, 70) ? next : s_number (sim, next);
    s_command (sim, liar, &command);
}

/* Records as it claims to be allowed to publish, sometimes with a wrong count or checksum. */
static void s_publish (sim_t *sim, sim_liar_t *liar)
{
    uint32_t channel = s_channel (sim);
    unsigned stream = s_stream_of (channel);
    uint8_t body[4 * SIM_CONTENT_SIZE_MAX];
    size_t size = 0;
    bool honest = sim_chance (&sim->random, 60);
    uint64_t first =
        honest ? liar->sequences[stream] + 1 : s_number (sim, liar->sequences[stream] + 1);
    sim_content_t content = { .author = (uint16_t) liar->number,
                              .identity = (uint16_t) liar->used_identity,
                              .stream = (uint16_t) stream,
                              .sequence = first };
    leat_batch_t batch = { .command = LEAT_PUBLISH, .channel = channel, .first = first };
    bool extended = sim_content_extended (sim->seed, &content);
    unsigned most = (unsigned) sim_between (&sim->random, 1, 4);
    while (batch.count < most && sim_content_extended (sim->seed, &content) == extended) {
        size += sim_content_encode (sim->seed, &content, sim->plan.record_size_max, body + size);
        batch.count++;
        content.sequence++;
    }
    batch.attributes = extended ? LEAT_BATCH_EXTENDED : 0;
    batch.crc32c = leat_crc32c (body, size);
    batch.time_ms = sim_wall_ms (sim);
    batch.flight = (uint32_t) sim_below (&sim->random, 3);
    if (!honest) {
        SIM_COUNT (sim, lies_publish);
        switch (sim_below (&sim->random, 4)) {
        case 0:
            batch.crc32c ^= 1;
            break;
        case 1:
            batch.count += (uint32_t) sim_between (&sim->random, 1, 70000);
            break;
        case 2:
            body[sim_below (&sim->random, 4)] ^= 0x55;
            batch.crc32c = leat_crc32c (body, size);
            break;
        default:
            break;
        }
    }
    leat_buffer_t *buffer = leat_buffer_copy (body, size);
    uint8_t header[LEAT_BATCH_HEADER_SIZE];
    leat_batch_encode (&batch, header);
    s_send (sim, liar, header, sizeof header, (leat_slice_t){ .buffer = buffer, .size = size }, 2);
    leat_buffer_release (&buffer);
}

static void s_credit (sim_t *sim, sim_liar_t *liar)
{
    leat_command_t command = { .id = sim_chance (&sim->random, 50) ? LEAT_WANT : LEAT_YIELDED };
    if (command.id == LEAT_WANT)
        command.want = (leat_want_t){ .channel = s_channel (sim), .size = s_number (sim, 10000) };
    else
        command.yielded =
            (leat_yielded_t){ .channel = s_channel (sim), .limit = s_number (sim, 30000) };
    SIM_COUNT (sim, lies_credit);
    s_command (sim, liar, &command);
}

/* ---- consuming ------------------------------------------------------------------------------- */

static void s_attach (sim_t *sim, sim_liar_t *liar)
{
    static const char *const strange[] = { "", "liars", "default", "../x" };
    leat_command_t command = { .id = LEAT_ATTACH };
    leat_attach_t *attach = &command.attach;
    attach->channel = s_channel (sim);
    attach->flags = sim_chance (&sim->random, 10);
    attach->credit_records = (uint32_t) s_number (sim, 10);
    attach->credit_size = s_number (sim, 10000);
    attach->max_unreported = sim_chance (&sim->random, 80)
                                 ? (uint32_t) sim_between (&sim->random, 1, 5)
                                 : (uint32_t) s_number (sim, 1);
    attach->start = (uint8_t) (sim_chance (&sim->random, 80) ? 0 : sim_below (&sim->random, 6));
    attach->start_value = s_number (sim, 10);
    attach->stream = leat_text (s_stream (sim, (uint32_t) sim_random (&sim->random)));
    attach->group = leat_text (sim_chance (&sim->random, 70)
                                   ? sim_group_name ((unsigned) sim_below (&sim->random, 2))
                                   : strange[sim_below (&sim->random, 4)]);
    /* Which records that leaves out the model does not know, so it is for a group of their own. */
    if (attach->start == LEAT_START_TIME)
        attach->group = leat_text ("liars");
    if (attach->credit_size >> 40 || attach->credit_records >> 24)
        SIM_COUNT (sim, lies_credit);
    s_command (sim, liar, &command);
}

static void s_settle (sim_t *sim, sim_liar_t *liar)
{
    leat_settle_entry_t entries[4];
    leat_command_t command = { .id = LEAT_SETTLE };
    leat_settle_t *settle = &command.settle;
    settle->channel = s_channel (sim);
    settle->flags = (uint16_t) sim_below (&sim->random, 2);
    settle->token = sim_below (&sim->random, 5);
    settle->entries.count = (uint32_t) sim_between (&sim->random, 1, 4);
    settle->entries.entries = entries;
    settle->reason = leat_text ("a lie");
    for (uint32_t index = 0; index < settle->entries.count; index++) {
        leat_settle_entry_t *entry = &entries[index];
        bool true_lease = liar->leases_count && sim_chance (&sim->random, 50);
        unsigned lease =
            liar->leases_count ? (unsigned) sim_below (&sim->random, liar->leases_count) : 0;
        if (true_lease)
            settle->channel = liar->leases[lease].channel;
        else
            SIM_COUNT (sim, lies_settle);
        /* Epochs and offsets that somebody else may have. */
        entry->epoch = true_lease ? liar->leases[lease].epoch
                                  : sim->model->newest_epoch - sim_below (&sim->random, 20);
        if (!true_lease && sim_chance (&sim->random, 20))
            entry->epoch = s_number (sim, sim->model->newest_epoch + 100);
        entry->first = true_lease ? liar->leases[lease].first : sim_below (&sim->random, 100);
        entry->count = true_lease ? liar->leases[lease].count
                                  : (uint32_t) sim_between (&sim->random, 1, 100000);
        entry->delay_ms =
            (uint32_t) (sim_chance (&sim->random, 50) ? sim_below (&sim->random, 3000) : 0);
        entry->outcome = (uint8_t) sim_between (&sim->random, 1, 3);
    }
    s_command (sim, liar, &command);
}

static void s_return (sim_t *sim, sim_liar_t *liar)
{
    leat_command_t command = { .id = LEAT_RETURNED };
    leat_range_t range = { .epoch = sim->model->newest_epoch - sim_below (&sim->random, 20),
                           .first = sim_below (&sim->random, 100),
                           .count = (uint32_t) sim_between (&sim->random, 1, 1000) };
    command.returned.channel = s_channel (sim);
    command.returned.code = sim_chance (&sim->random, 30) ? LEAT_DAMAGED : LEAT_OK;
    if (liar->leases_count && sim_chance (&sim->random, 50)) {
        unsigned lease = (unsigned) sim_below (&sim->random, liar->leases_count);
        command.returned.channel = liar->leases[lease].channel;
        range.epoch = liar->leases[lease].epoch;
        range.first = liar->leases[lease].first;
        range.count = liar->leases[lease].count;
    }
    command.returned.ranges = (leat_ranges_t){ .count = 1, .entries = &range };
    s_command (sim, liar, &command);
}

/* ---- nonsense -------------------------------------------------------------------------------- */

/* A command that it may not send now or ever, with fields of its own. */
static void s_wrong_state (sim_t *sim, sim_liar_t *liar)
{
    static const uint8_t ids[] = { LEAT_WELCOME,     LEAT_PONG,      LEAT_PING,    LEAT_BYE,
                                   LEAT_REFUSED,     LEAT_FENCED,    LEAT_OPENED,  LEAT_CLOSE,
                                   LEAT_CLOSE,       LEAT_REPORT,    LEAT_LEAVE,   LEAT_LEAVE,
                                   LEAT_ALLOW,       LEAT_EMPTY,     LEAT_DRAIN,   LEAT_RECALL,
                                   LEAT_STREAM_LIST, LEAT_ASK_EMPTY, LEAT_REVOKED, LEAT_SETTLED };
    leat_command_t command = { .id = ids[sim_below (&sim->random, sizeof ids)] };
    SIM_COUNT (sim, lies_state);
    if (command.id == LEAT_REPORT)
        command.report =
            (leat_report_t){ .channel = s_channel (sim), .position = s_number (sim, 10) };
    else if (command.id == LEAT_ALLOW)
        command.allow = (leat_allow_t){ .channel = s_channel (sim),
                                        .credit_records = (uint32_t) s_number (sim, 5),
                                        .credit_size = s_number (sim, 1000) };
    else if (command.id == LEAT_ASK_EMPTY)
        command.ask_empty =
            (leat_ask_empty_t){ .channel = s_channel (sim), .token = s_number (sim, 1) };
    else if (command.id >= LEAT_OPEN && command.id < LEAT_STREAM_LIST)
        command.close.channel = s_channel (sim);
    s_command (sim, liar, &command);
}

static void s_malformed (sim_t *sim, sim_liar_t *liar)
{
    uint8_t bytes[128];
    size_t size = sim_below (&sim->random, sizeof bytes);
    for (size_t index = 0; index < size; index++)
        bytes[index] = (uint8_t) sim_random (&sim->random);
    if (size && sim_chance (&sim->random, 70))
        bytes[0] = (uint8_t) sim_between (&sim->random, 1, 0x50);
    unsigned frames = (unsigned) sim_below (&sim->random, 4);
    leat_buffer_t *buffer = frames >= 2 ? leat_buffer_copy (bytes, size) : NULL;
    SIM_COUNT (sim, lies_malformed);
    s_send (sim, liar, bytes, size, (leat_slice_t){ .buffer = buffer, .size = size }, frames);
    leat_buffer_release (&buffer);
}

/* ---- turns ----------------------------------------------------------------------------------- */

static void s_remember_leases (sim_t *sim, sim_liar_t *liar, const sim_frame_t *frame)
{
    uint32_t count =
        leat_batch_slices (frame->header, frame->header_size, leat_buffer_size (frame->body));
    for (uint32_t index = 0; index < count; index++) {
        leat_batch_t batch;
        leat_batch_decode (&batch, frame->header + index * LEAT_BATCH_HEADER_SIZE,
                           LEAT_BATCH_HEADER_SIZE);
        unsigned lease = liar->leases_count < SIM_LIAR_LEASES_MAX
                             ? liar->leases_count++
                             : (unsigned) sim_below (&sim->random, SIM_LIAR_LEASES_MAX);
        liar->leases[lease].channel = batch.channel;
        liar->leases[lease].epoch = batch.epoch;
        liar->leases[lease].first = batch.first;
        liar->leases[lease].count = batch.count;
    }
}

static void s_listen (sim_t *sim, sim_liar_t *liar)
{
    sim_frame_t *frame;
    while (liar->connection
           && (frame = sim_queue_take (&liar->connection->down, sim->now_us)) != NULL) {
        leat_command_t command;
        if (frame->frames == 2) {
            s_remember_leases (sim, liar, frame);
        } else if (leat_command_decode (&command, frame->header, frame->header_size, NULL)
                   == LEAT_OK) {
            if (command.id == LEAT_WELCOME)
                liar->epoch = command.welcome.epoch;
            else if (command.id == LEAT_OPENED)
                liar->sequences[s_stream_of (command.opened.channel)] = command.opened.sequence;
            else if (command.id == LEAT_CONFIRMED)
                liar->sequences[s_stream_of (command.confirmed.channel)] =
                    command.confirmed.sequence;
            else if (command.id == LEAT_FENCED)
                sim_network_close (sim, &liar->connection);
        }
        sim_frame_destroy (&frame);
    }
}

typedef void (s_lie_fn) (sim_t *sim, sim_liar_t *liar);

void sim_liar_turn (sim_t *sim, sim_liar_t *liar)
{
    static s_lie_fn *const lies[] = { s_hello,       s_open,      s_open,        s_open,
                                      s_publish,     s_publish,   s_publish,     s_publish,
                                      s_publish,     s_attach,    s_attach,      s_settle,
                                      s_settle,      s_settle,    s_settle,      s_return,
                                      s_credit,      s_credit,    s_wrong_state, s_wrong_state,
                                      s_wrong_state, s_malformed, s_malformed };
    s_listen (sim, liar);
    if (!liar->connection || sim_chance (&sim->random, 4))
        s_connect (sim, liar);
    else if (sim_chance (&sim->random, 1))
        s_hello_flood (sim, liar);
    unsigned count = (unsigned) sim_between (&sim->random, 1, 4);
    while (count-- && liar->connection)
        lies[sim_below (&sim->random, sizeof lies / sizeof *lies)](sim, liar);
    liar->due_us = sim->now_us + sim_between (&sim->random, 1000, 300000);
}

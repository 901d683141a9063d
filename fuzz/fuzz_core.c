/* Arbitrary messages of several peers into the broker's core, with small limits, over a store that is
 * late, refuses and fails.
 * SPDX-License-Identifier: MPL-2.0
 *
 * The input is a byte for the limits, then steps: a byte that chooses, modulo 14 below 252, and the bytes
 * that it takes.
 *
 *      0   u8 peer u8 who            a new connection says HELLO
 *      1   u8 peer u8 what           OPEN
 *      2   u8 peer u8 what u8 credit ATTACH
 *      3   u8 peer u8 what u8 change PUBLISH, right unless `change` says otherwise
 *      4   u8 peer u8 lease u8 how   SETTLE of what it has, or nearly
 *      5   u8 peer u8 lease u8 how   RETURNED
 *      6   u8 peer u8 id u8 value    any other command, with small fields
 *      7   u8 peer u8 size | bytes   a frame as it is
 *      8   u8 peer u8 size | bytes   the same, and a body of the same bytes
 *      9   u8 time                   time passes: 2^(time / 16) ms
 *      10  u8 how                    the store completes its oldest commits
 *      11  u8 peer                   is gone
 *      12  u8 how                    the broker dies, shuts down or fails, and is recovered
 *      13  u8 where u8 xor           what the store has is damaged; somebody tries to recover it
 *      >= 252  u8 peer u8 what u8 value   STREAM_CREATE, STREAM_SET, lists, GROUP_CREATE, CONSUMER_DRAIN
 *
 * Peers are slots 0 to 7. A slot knows what its last connection was told: channels, sequences, leases.
 */
#include <stdlib.h>
#include <string.h>

#include "broker/core/core.h"
#include "broker/core/statistics.h"
#include "fuzz/fuzz.h"
#include "wire/assert.h"
#include "wire/crc32c.h"
#include "wire/record.h"

enum {
    PEERS = 8,
    CHANNELS = 4,
    LEASES = 8,
    COMMITS_MAX = 4096, /* the store takes no more of one input */
    RECORD_SIZE = 64,
    BATCH_SIZE = 400
};

typedef struct {
    const uint8_t *data;
    size_t left;
} input_t;

typedef struct {
    uint32_t channel;
    uint64_t epoch;
    uint64_t first;
    uint32_t count;
} lease_t;

typedef struct {
    uint64_t number;         /* 0: never connected */
    uint64_t next[CHANNELS]; /* sequence */
    lease_t leases[LEASES];
    unsigned lease_count;
} peer_t;

typedef struct {
    uint64_t id;
    uint32_t chain;
    leat_buffer_t *bytes;
} pending_t;

typedef struct {
    leat_core_t *core;
    leat_limits_t limits;
    uint64_t incarnation;
    uint64_t now_us;
    uint64_t wall_ms;
    peer_t peers[PEERS];
    uint64_t connections;
    uint32_t attempts; /* of all HELLOs */
    leat_buffer_t *log[COMMITS_MAX];
    size_t log_count;
    pending_t pending[COMMITS_MAX];
    size_t pending_count;
    uint32_t refused_chain;
    bool has_refused;
    bool is_inline; /* the store completes at once */
} subject_t;

static unsigned s_byte (input_t *input)
{
    if (!input->left)
        return 0;
    input->left--;
    return *input->data++;
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

static peer_t *s_peer (subject_t *subject, input_t *input)
{
    return &subject->peers[s_byte (input) % PEERS];
}

/* ---- limits ---------------------------------------------------------------------------------- */

static void s_limits (leat_limits_t *limits, unsigned choice)
{
    leat_limits_default (limits);
    limits->sessions = 5;
    limits->identities = choice & 1 ? 6 : 20;
    limits->streams = 4;
    limits->groups = 2;
    limits->channels = 3;
    limits->record_size = RECORD_SIZE;
    limits->batch_size = BATCH_SIZE;
    limits->window_size = 3000;
    limits->memory_size = choice & 2 ? 4000 : 60000;
    limits->stream_size = choice & 4 ? 3000 : 20000;
    limits->dead_size = choice & 8 ? 1400 : 10000;
    limits->grant_min_size = choice & 16 ? 300 : 1000;
    limits->grant_max_size = 4000;
    limits->grant_idle = 2000;
    limits->credit_records = 40;
    limits->credit_size = 2000;
    limits->unreported = 4;
    limits->marked_records = choice & 32 ? 2 : 20;
    limits->attempts = 3;
    limits->nack_delay_max = 1000;
    limits->nack_delay_ceiling = 5000;
    limits->identity_expiry = 20000;
    limits->former_peers = 6;
    limits->commit_records = choice & 64 ? 4 : 1000;
    limits->commits = choice & 128 ? 2 : 8;
    leat_assert (!leat_limits_check (limits));
}

/* ---- what comes out -------------------------------------------------------------------------- */

static peer_t *s_peer_of (subject_t *subject, uint64_t number)
{
    for (unsigned index = 0; index < PEERS; index++)
        if (subject->peers[index].number == number)
            return &subject->peers[index];
    return NULL;
}

static void s_hear_batches (peer_t *peer, const leat_message_t *message)
{
    leat_batch_t batch;
    leat_slice_t slice = message->body;
    const uint8_t *header = message->header;
    uint32_t count = leat_batch_slices (header, message->header_size, slice.size);
    leat_assert (count);
    for (; count; count--, header += LEAT_BATCH_HEADER_SIZE, slice.offset += batch.size) {
        leat_batch_decode (&batch, header, LEAT_BATCH_HEADER_SIZE);
        slice.size = batch.size;
        const uint8_t *bytes = leat_slice_bytes (slice);
        bool extended = batch.attributes & LEAT_BATCH_EXTENDED; /* as dead letters are */
        leat_assert (batch.attempt && leat_crc32c (bytes, slice.size) == batch.crc32c);
        leat_assert (!leat_batch_check (bytes, slice.size, batch.count, extended, UINT32_MAX));
        if (peer)
            peer->leases[peer->lease_count++ % LEASES] =
                (lease_t){ batch.channel, batch.epoch, batch.first, batch.count };
    }
}

static void s_hear (subject_t *subject, const leat_message_t *message)
{
    peer_t *peer = s_peer_of (subject, message->peer);
    if (message->body.buffer) {
        s_hear_batches (peer, message);
        return;
    }
    leat_command_t command;
    leat_assert (leat_command_decode (&command, message->header, message->header_size, NULL)
                 == LEAT_OK);
    if (!peer)
        return;
    if (command.id == LEAT_OPENED)
        peer->next[command.opened.channel % CHANNELS] = command.opened.sequence + 1;
    else if (command.id == LEAT_REFUSED && command.refused.command == LEAT_PUBLISH
             && command.refused.expected)
        peer->next[command.refused.channel % CHANNELS] = command.refused.expected;
}

static void s_drain (subject_t *subject)
{
    leat_message_t message;
    while (leat_outbox_next (leat_core_outbox (subject->core), &message))
        s_hear (subject, &message);
    uint64_t cut;
    while (leat_core_next_cut (subject->core, &cut))
        leat_assert (!leat_core_has_session (subject->core, cut));
}

/* ---- the store ------------------------------------------------------------------------------- */

static void s_keep (subject_t *subject, leat_buffer_t *bytes)
{
    if (subject->log_count < COMMITS_MAX)
        subject->log[subject->log_count++] = leat_buffer_hold (bytes);
}

static void s_pending_drop (subject_t *subject)
{
    leat_buffer_release (&subject->pending[0].bytes);
    subject->pending_count--;
    memmove (subject->pending, subject->pending + 1,
             subject->pending_count * sizeof *subject->pending);
}

/* The oldest commit ends; one of a chain that was refused before is refused too. */
static void s_complete (subject_t *subject, leat_commit_result_t result)
{
    pending_t *pending = &subject->pending[0];
    if (subject->has_refused && subject->refused_chain == pending->chain)
        result = LEAT_COMMIT_REFUSED;
    subject->has_refused = result == LEAT_COMMIT_REFUSED;
    subject->refused_chain = pending->chain;
    bool kept = result == LEAT_COMMIT_UNKNOWN && pending->id % 2;
    if (result == LEAT_COMMIT_OK || kept)
        s_keep (subject, pending->bytes);
    uint64_t id = pending->id;
    s_pending_drop (subject);
    leat_core_completed (subject->core, id, result);
    s_drain (subject);
}

static void s_run (subject_t *subject)
{
    leat_commit_t *commit;
    do {
        leat_core_run (subject->core);
        s_drain (subject);
        while ((commit = leat_core_next_commit (subject->core))) {
            leat_assert (subject->pending_count < COMMITS_MAX);
            subject->pending[subject->pending_count++] =
                (pending_t){ leat_commit_id (commit), leat_commit_chain (commit),
                             leat_commit_encode (commit) };
            leat_commit_destroy (&commit);
        }
        bool completes = subject->is_inline && subject->pending_count;
        if (!completes)
            return;
        while (subject->pending_count && !leat_core_failed (subject->core))
            s_complete (subject, LEAT_COMMIT_OK);
    } while (!leat_core_failed (subject->core));
}

/* ---- beginning, dying, recovering ------------------------------------------------------------ */

static leat_core_t *s_new (subject_t *subject)
{
    leat_core_options_t options = { .limits = subject->limits,
                                    .incarnation = ++subject->incarnation,
                                    .seed = subject->incarnation,
                                    .durable = true,
                                    .software = "fuzz" };
    return leat_core_new (&options);
}

/* A new core on what the store has; all connections are new ones. */
static void s_begin (subject_t *subject)
{
    subject->core = s_new (subject);
    for (size_t index = 0; index < subject->log_count; index++)
        leat_assert (leat_core_recover (subject->core, subject->log[index]) == LEAT_OK);
    for (unsigned index = 0; index < PEERS; index++)
        memset (&subject->peers[index], 0, sizeof subject->peers[index]);
    leat_core_tick (subject->core, subject->now_us, subject->wall_ms);
    leat_core_check (subject->core);
    s_run (subject);
}

/* The first `kept` of the commits under way are in the store all the same. */
static void s_die (subject_t *subject, unsigned kept)
{
    while (subject->pending_count) {
        if (kept
            && !(subject->has_refused && subject->refused_chain == subject->pending[0].chain)) {
            s_keep (subject, subject->pending[0].bytes);
            kept--;
        } else
            kept = 0;
        s_pending_drop (subject);
    }
    uint64_t reached = leat_core_incarnation (subject->core);
    if (subject->incarnation < reached)
        subject->incarnation = reached;
    leat_core_destroy (&subject->core);
    subject->has_refused = false;
}

/* With a store that takes everything it ends; some of that happens when a timer says so. */
static void s_shut_down (subject_t *subject)
{
    leat_core_shutdown (subject->core, 100);
    for (unsigned turn = 0; !leat_core_stopped (subject->core); turn++) {
        uint64_t due_us = leat_core_deadline (subject->core);
        leat_assert (turn < 1000 && !leat_core_failed (subject->core));
        s_run (subject);
        if (subject->pending_count)
            s_complete (subject, LEAT_COMMIT_OK);
        else if (due_us != UINT64_MAX && due_us > subject->now_us)
            subject->now_us = due_us;
        leat_core_tick (subject->core, subject->now_us, subject->wall_ms);
    }
}

static void s_restart (subject_t *subject, unsigned how)
{
    if (how & 1) {
        s_shut_down (subject);
    } else if ((how & 2) && subject->pending_count) {
        s_complete (subject, how & 4 ? LEAT_COMMIT_UNKNOWN : LEAT_COMMIT_FENCED);
        how = 0; /* what was behind that one is not there */
    }
    s_die (subject, how >> 4);
    s_begin (subject);
}

static void s_recover_damaged (subject_t *subject, size_t where, unsigned xor)
{
    if (!subject->log_count)
        return;
    leat_core_t *core = s_new (subject);
    subject->incarnation--;
    size_t damaged = where * subject->log_count / 256;
    leat_code_t code = LEAT_OK;
    for (size_t index = 0; index < subject->log_count && code == LEAT_OK; index++) {
        leat_buffer_t *bytes = leat_buffer_copy (leat_buffer_bytes (subject->log[index]),
                                                 leat_buffer_size (subject->log[index]));
        if (index == damaged)
            leat_buffer_bytes (bytes)[where * 37 % leat_buffer_size (bytes)] ^= (uint8_t) xor ;
        code = leat_core_recover (core, bytes);
        leat_buffer_release (&bytes);
    }
    if (code == LEAT_OK) {
        leat_core_tick (core, subject->now_us, subject->wall_ms);
        leat_core_run (core);
    }
    leat_core_destroy (&core);
}

/* ---- what goes in ---------------------------------------------------------------------------- */

static void s_receive (subject_t *subject, const peer_t *peer, unsigned frames,
                       const uint8_t *header, size_t size, leat_buffer_t *body)
{
    /* Of its own size, so that reading beyond it is seen. */
    uint8_t *copy = malloc (size + !size);
    if (size > 0)
        memcpy (copy, header, size);
    leat_core_receive (subject->core, peer->number, frames, copy, size, body);
    free (copy);
    s_drain (subject);
}

static void s_say (subject_t *subject, const peer_t *peer, const leat_command_t *command)
{
    uint8_t bytes[1024];
    leat_assert (leat_command_encoded_size (command) <= sizeof bytes);
    s_receive (subject, peer, 1, bytes, leat_command_encode (command, bytes), NULL);
}

static const char *s_name (const char *const *names, unsigned choice)
{
    return names[choice % 4];
}

static void s_hello (subject_t *subject, input_t *input)
{
    static const char *const names[] = { "ann", "bob", "cat", "dan" };
    peer_t *peer = s_peer (subject, input);
    unsigned who = s_byte (input);
    if (!(who & 64)) { /* a new connection */
        memset (peer, 0, sizeof *peer);
        peer->number = ++subject->connections;
    }
    leat_command_t command = { .id = LEAT_HELLO };
    command.hello.signature = LEAT_SIGNATURE;
    command.hello.version_min = 1;
    command.hello.version_max = 1;
    command.hello.flags = who >> 2 & 3;
    command.hello.life = 1 + (who >> 4 & 3);
    command.hello.attempt = who & 128 ? subject->attempts / 2 : ++subject->attempts;
    command.hello.identity = leat_text (s_name (names, who));
    command.hello.software = leat_text ("fuzz");
    s_say (subject, peer, &command);
}

static void s_open (subject_t *subject, input_t *input)
{
    static const char *const names[] = { "rye", "oat", "malt", "rye.dead" };
    peer_t *peer = s_peer (subject, input);
    unsigned what = s_byte (input);
    leat_command_t command = { .id = LEAT_OPEN };
    command.open.channel = what % CHANNELS;
    command.open.stream = leat_text (s_name (names, what >> 2));
    command.open.base = 1 + (what >> 4 & 3);
    command.open.flags = what >> 6 & 1;
    s_say (subject, peer, &command);
}

static void s_attach (subject_t *subject, input_t *input)
{
    static const char *const streams[] = { "rye", "oat", "rye.dead", "oat.dead" };
    static const char *const groups[] = { "default", "audit", "third", "-bad" };
    peer_t *peer = s_peer (subject, input);
    unsigned what = s_byte (input);
    unsigned credit = s_byte (input);
    leat_command_t command = { .id = LEAT_ATTACH };
    command.attach.channel = what % CHANNELS;
    command.attach.stream = leat_text (s_name (streams, what >> 2));
    command.attach.group = leat_text (s_name (groups, what >> 4));
    command.attach.start = (uint8_t) (what >> 6);
    command.attach.start_value = credit;
    command.attach.credit_records = credit & 31;
    command.attach.credit_size = credit & 32 ? 100 : 2000;
    command.attach.max_unreported = 1 + (credit >> 6);
    s_say (subject, peer, &command);
}

/* Records of a size that follows from their number. */
static size_t s_records (uint8_t *bytes, uint32_t count, bool extended, unsigned size)
{
    static const uint8_t grain[RECORD_SIZE] = "grain";
    size_t used = 0;
    for (uint32_t index = 0; index < count; index++) {
        leat_record_t record = { .body = grain, .body_size = size };
        used += leat_record_encode (&record, extended, bytes + used);
    }
    return used;
}

static void s_publish (subject_t *subject, input_t *input)
{
    peer_t *peer = s_peer (subject, input);
    unsigned what = s_byte (input);
    unsigned change = s_byte (input);
    uint8_t bytes[16 * (RECORD_SIZE + 8)];
    uint64_t *next = &peer->next[what % CHANNELS];
    leat_batch_t batch = { .command = LEAT_PUBLISH, .channel = what % CHANNELS };
    batch.count = 1 + (what >> 2 & 15);
    batch.attributes = what >> 6 & 1;
    batch.first = *next ? *next : 1;
    size_t size = s_records (bytes, batch.count, batch.attributes, change >> 4 << 2 & 63);
    batch.crc32c = leat_crc32c (bytes, size);
    batch.time_ms = subject->wall_ms;
    batch.flight = change >> 3 & 1;
    if ((change & 7) == 1)
        batch.first += 2;
    else if ((change & 7) == 2 && batch.first > 2)
        batch.first -= 2;
    else if ((change & 7) == 3)
        batch.crc32c++;
    else if ((change & 7) == 4)
        batch.count++;
    else
        *next = batch.first + batch.count;
    uint8_t header[LEAT_BATCH_HEADER_SIZE];
    leat_batch_encode (&batch, header);
    leat_buffer_t *body = leat_buffer_copy (bytes, size);
    s_receive (subject, peer, 2, header, sizeof header, body);
    leat_buffer_release (&body);
}

/* A lease that the peer was told, whole, in part, or changed a little. */
static lease_t s_lease (const peer_t *peer, unsigned choice)
{
    lease_t lease = peer->leases[choice % LEASES];
    unsigned part = choice >> 3 & 3;
    if (part == 1 && lease.count > 1)
        lease.count /= 2;
    else if (part == 2 && lease.count > 1) {
        lease.first += lease.count / 2;
        lease.count -= lease.count / 2;
    } else if (part == 3)
        lease.count += choice >> 6;
    if (choice & 32)
        lease.epoch++;
    if (!lease.count)
        lease.count = 1;
    return lease;
}

static void s_settle (subject_t *subject, input_t *input)
{
    peer_t *peer = s_peer (subject, input);
    leat_settle_entry_t entries[2];
    lease_t lease = s_lease (peer, s_byte (input));
    unsigned how = s_byte (input);
    for (unsigned index = 0; index < 2; index++)
        entries[index] = (leat_settle_entry_t){ .epoch = lease.epoch,
                                                .first = lease.first + index,
                                                .count = lease.count,
                                                .delay_ms = (how >> 4) * 40,
                                                .outcome = (uint8_t) (1 + (how + index) % 3) };
    leat_command_t command = { .id = LEAT_SETTLE };
    command.settle.channel = lease.channel;
    command.settle.flags = how >> 2 & 1;
    command.settle.token = how;
    command.settle.entries = (leat_settles_t){ .count = 1 + (how >> 3 & 1), .entries = entries };
    command.settle.reason = leat_text (how & 128 ? "mouldy" : "");
    s_say (subject, peer, &command);
}

static void s_return (subject_t *subject, input_t *input)
{
    peer_t *peer = s_peer (subject, input);
    lease_t lease = s_lease (peer, s_byte (input));
    unsigned how = s_byte (input);
    leat_range_t range = { .epoch = lease.epoch, .first = lease.first, .count = lease.count };
    leat_command_t command = { .id = LEAT_RETURNED };
    command.returned.channel = lease.channel;
    command.returned.code = how & 1 ? LEAT_DAMAGED : LEAT_OK;
    command.returned.ranges = (leat_ranges_t){ .count = 1, .entries = &range };
    s_say (subject, peer, &command);
}

static void s_other (subject_t *subject, input_t *input)
{
    static const uint8_t ids[] = { LEAT_PING,  LEAT_BYE,    LEAT_WANT,       LEAT_YIELDED,
                                   LEAT_CLOSE, LEAT_REPORT, LEAT_ASK_EMPTY,  LEAT_LEAVE,
                                   LEAT_ALLOW, LEAT_PONG,   LEAT_STREAM_LIST };
    peer_t *peer = s_peer (subject, input);
    leat_command_t command = { .id = ids[s_byte (input) % sizeof ids] };
    unsigned value = s_byte (input);
    uint32_t channel = value % CHANNELS;
    uint64_t small = value >> 2;
    if (command.id == LEAT_PING)
        command.ping.token = value;
    else if (command.id == LEAT_WANT)
        command.want = (leat_want_t){ channel, small * 100 };
    else if (command.id == LEAT_YIELDED)
        command.yielded = (leat_yielded_t){ channel, small * 100 };
    else if (command.id == LEAT_REPORT)
        command.report = (leat_report_t){ channel, small };
    else if (command.id == LEAT_ASK_EMPTY)
        command.ask_empty = (leat_ask_empty_t){ channel, small };
    else if (command.id == LEAT_ALLOW)
        command.allow = (leat_allow_t){ channel, (uint32_t) small % 48, small * 40 };
    else if (command.id == LEAT_CLOSE || command.id == LEAT_LEAVE)
        command.close.channel = channel;
    s_say (subject, peer, &command);
}

/* One of the commands that operators have; STREAM_CREATE and STREAM_SET have the same fields. */
static void s_administer (subject_t *subject, input_t *input)
{
    static const char *const streams[] = { "rye", "oat", "rye.dead", "-bad" };
    static const char *const others[] = { "ann", "bob", "third", "cat" };
    static const uint8_t ids[] = { LEAT_STREAM_CREATE,  LEAT_STREAM_SET,   LEAT_STREAM_SET,
                                   LEAT_STREAM_LIST,    LEAT_GROUP_LIST,   LEAT_GROUP_CREATE,
                                   LEAT_CONSUMER_DRAIN, LEAT_STREAM_DELETE };
    peer_t *peer = s_peer (subject, input);
    unsigned what = s_byte (input);
    unsigned value = s_byte (input);
    leat_text_t stream = leat_text (s_name (streams, what >> 3));
    leat_text_t other = leat_text (s_name (others, what >> 5));
    leat_command_t command = { .id = ids[what % sizeof ids] };
    const leat_stream_create_t settings = {
        .request = value,
        .stream = stream,
        .durability = (uint8_t) (value & 3),
        .retention = value >= 208,
        .max_age_ms = value >= 224 ? (value & 15) * UINT64_C (40) : value == 207,
        .max_size = value >= 240 ? value % 3 * UINT64_C (2000) : value == 206,
        .max_processing_ms = value == 252 ? UINT64_MAX : (uint64_t) (value >> 2) * 7,
        .max_attempts = value >> 4 & 3,
        .dead_size = (uint64_t) (value >> 6) * 900,
    };
    if (command.id == LEAT_STREAM_CREATE)
        command.stream_create = settings;
    else if (command.id == LEAT_STREAM_SET)
        command.stream_set = (leat_stream_set_t){
            .request = settings.request,
            .stream = stream,
            .durability = settings.durability,
            .retention = settings.retention,
            .max_age_ms = settings.max_age_ms,
            .max_size = settings.max_size,
            .max_processing_ms = settings.max_processing_ms,
            .max_attempts = settings.max_attempts,
            .dead_size = settings.dead_size,
        };
    else if (command.id == LEAT_GROUP_CREATE)
        command.group_create =
            (leat_group_create_t){ value,      stream,      other, (uint8_t) (value % 5),
                                   value >> 3, value == 255 };
    else if (command.id == LEAT_CONSUMER_DRAIN)
        command.consumer_drain =
            (leat_consumer_drain_t){ value, other, value & 1 ? stream : leat_text ("") };
    else /* a request and a name */
        command.stream_list = (leat_stream_list_t){ value, value & 1 ? stream : leat_text ("r*") };
    s_say (subject, peer, &command);
}

static void s_raw (subject_t *subject, input_t *input, bool with_body)
{
    peer_t *peer = s_peer (subject, input);
    size_t size = s_byte (input);
    const uint8_t *bytes = s_bytes (input, &size);
    leat_buffer_t *body = with_body ? leat_buffer_copy (bytes, size) : NULL;
    unsigned frames = size == 3 ? 3 : with_body ? 2 : 1;
    s_receive (subject, peer, frames, bytes, size, body);
    leat_buffer_release (&body);
}

static void s_pass_time (subject_t *subject, unsigned time)
{
    uint64_t ms = (uint64_t) 1 << time / 16;
    subject->now_us += ms * 1000;
    subject->wall_ms += time % 16 == 15 ? 0 : ms; /* a clock that somebody sets back */
    if (time % 16 == 14 && subject->wall_ms > 100000)
        subject->wall_ms -= 100000;
}

static void s_complete_some (subject_t *subject, unsigned how)
{
    subject->is_inline = how & 128;
    for (unsigned count = 1 + (how >> 2 & 3); count > 0 && subject->pending_count; count--) {
        leat_commit_result_t result = LEAT_COMMIT_OK;
        if ((how & 3) == 1)
            result = LEAT_COMMIT_REFUSED;
        s_complete (subject, result);
    }
}

static void s_see_stream (void *arg, const leat_stream_statistics_t *stream)
{
    *(uint64_t *) arg += stream->bytes;
}

/* What is told of the core agrees with itself. */
static void s_look (const subject_t *subject)
{
    leat_statistics_t statistics;
    uint64_t bytes = 0;
    leat_statistics_visitor_t visitor = { .stream = s_see_stream, .arg = &bytes };
    leat_core_check (subject->core);
    leat_core_statistics (subject->core, &statistics);
    leat_core_visit (subject->core, &visitor);
    leat_assert (bytes == statistics.held_size);
}

static void s_step (subject_t *subject, input_t *input)
{
    typedef void (step_fn) (subject_t * subject, input_t * input);
    static step_fn *const says[] = { s_hello,  s_open,   s_attach, s_publish,
                                     s_settle, s_return, s_other };
    unsigned byte = s_byte (input), choice = byte % 14, where;
    leat_core_tick (subject->core, subject->now_us, subject->wall_ms);
    if (byte >= 252)
        s_administer (subject, input);
    else if (choice < sizeof says / sizeof *says)
        says[choice](subject, input);
    else if (choice <= 8)
        s_raw (subject, input, choice == 8);
    else if (choice == 9) {
        s_pass_time (subject, s_byte (input));
        leat_core_tick (subject->core, subject->now_us, subject->wall_ms);
    } else if (choice == 10)
        s_complete_some (subject, s_byte (input));
    else if (choice == 11)
        leat_core_unreachable (subject->core, s_peer (subject, input)->number);
    else if (choice == 12)
        s_restart (subject, s_byte (input));
    else {
        where = s_byte (input);
        s_recover_damaged (subject, where, s_byte (input));
    }
    s_run (subject);
    s_look (subject);
}

int LLVMFuzzerTestOneInput (const uint8_t *data, size_t size)
{
    input_t input = { data, size };
    subject_t *subject = calloc (1, sizeof *subject);
    leat_assert (subject);
    s_limits (&subject->limits, s_byte (&input));
    subject->wall_ms = 1700000000000;
    subject->is_inline = true;
    s_begin (subject);
    while (input.left > 0 && subject->log_count < COMMITS_MAX / 2)
        s_step (subject, &input);
    s_die (subject, 0);
    for (size_t index = 0; index < subject->log_count; index++)
        leat_buffer_release (&subject->log[index]);
    free (subject);
    return 0;
}

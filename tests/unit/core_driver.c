/* The harness of the core's tests: turns, a store, peers, payloads.
 * SPDX-License-Identifier: MPL-2.0 */
#include "tests/unit/core_driver.h"

#include "wire/alloc.h"

/* Between two ticks of driver_wait; far below every heartbeat timeout of the tests. */
static const uint64_t step_ms = 100;

leat_limits_t driver_limits (void)
{
    leat_limits_t limits;
    leat_limits_default (&limits);
    limits.work_in_hand = 86400000;
    return limits;
}

static void s_check (const driver_t *self)
{
    if (!self->hasty)
        leat_core_check (self->core);
}

static void s_core_new (driver_t *self)
{
    leat_core_options_t options = { .limits = self->limits,
                                    .incarnation = ++self->incarnation,
                                    .seed = ++self->seed,
                                    .durable = self->durable,
                                    .reads = self->reads,
                                    .software = "test" };
    self->core = leat_core_new (&options);
}

driver_t *driver_new (const leat_limits_t *limits)
{
    driver_t *self = leat_alloc (sizeof *self);
    self->limits = limits ? *limits : driver_limits ();
    assert_null (leat_limits_check (&self->limits));
    self->now_us = 77000000;
    self->wall_ms = 1700000000000;
    self->beats = true;
    s_core_new (self);
    leat_core_tick (self->core, self->now_us, self->wall_ms);
    return self;
}

static void s_message_release (driver_message_t *message)
{
    leat_buffer_release (&message->frame);
    leat_buffer_release (&message->body);
}

static void s_forget_answers (driver_t *self)
{
    for (size_t i = 0; i < self->inbox_count; i++)
        s_message_release (&self->inbox[i]);
    self->inbox_count = 0;
    s_message_release (&self->last);
    for (size_t i = 0; i < self->pending_count; i++)
        leat_commit_destroy (&self->pending[i]);
    self->pending_count = 0;
}

void driver_destroy (driver_t **self_p)
{
    driver_t *self = *self_p;
    if (!self)
        return;
    s_forget_answers (self);
    for (size_t i = 0; i < self->kept_count; i++)
        leat_buffer_release (&self->kept[i]);
    leat_core_destroy (&self->core);
    free (self);
    *self_p = NULL;
}

/* ---- recovery -------------------------------------------------------------------------------- */

leat_code_t driver_recover (driver_t *self)
{
    s_forget_answers (self);
    self->alive_count = 0;
    self->last_commit = 0;
    self->any_refused = false;
    leat_core_destroy (&self->core);
    s_core_new (self);
    for (size_t i = 0; i < self->kept_count; i++) {
        leat_code_t code = leat_core_recover (self->core, self->kept[i]);
        if (code != LEAT_OK)
            return code;
    }
    return LEAT_OK;
}

void driver_restart (driver_t *self)
{
    leat_code_t code = driver_recover (self);
    assert_int_equal (code, LEAT_OK);
    self->now_us += 1000000;
    self->wall_ms += 1000;
    leat_core_tick (self->core, self->now_us, self->wall_ms);
    driver_turn (self);
}

void driver_keep (driver_t *self, const leat_operation_t *operations, size_t count)
{
    leat_commit_t *commit = leat_commit_new (self->kept_count + 1, 0);
    for (size_t i = 0; i < count; i++)
        leat_commit_add (commit, &operations[i]);
    self->kept[self->kept_count++] = leat_commit_encode (commit);
    leat_commit_destroy (&commit);
}

/* ---- turns ----------------------------------------------------------------------------------- */

static driver_message_t *s_copy (driver_t *self, uint64_t peer, const uint8_t *header, size_t size)
{
    assert_true (self->inbox_count < DRIVER_MESSAGES);
    driver_message_t *copy = &self->inbox[self->inbox_count++];
    *copy = (driver_message_t){ .peer = peer, .frame = leat_buffer_copy (header, size) };
    return copy;
}

/* Each slice of a DELIVER as if it had come by itself. */
static void s_collect_slices (driver_t *self, const leat_message_t *message)
{
    leat_slice_t slice = message->body;
    uint32_t count = leat_batch_slices (message->header, message->header_size, slice.size);
    assert_true (count > 0);
    for (uint32_t i = 0; i < count; i++) {
        const uint8_t *header = message->header + i * LEAT_BATCH_HEADER_SIZE;
        driver_message_t *copy = s_copy (self, message->peer, header, LEAT_BATCH_HEADER_SIZE);
        copy->is_batch = true;
        assert_int_equal (leat_batch_decode (&copy->batch, header, LEAT_BATCH_HEADER_SIZE),
                          LEAT_OK);
        slice.size = copy->batch.size;
        copy->body = leat_buffer_copy (leat_slice_bytes (slice), slice.size);
        slice.offset += slice.size;
    }
}

static void s_collect (driver_t *self)
{
    leat_outbox_t *outbox = leat_core_outbox (self->core);
    leat_message_t message;
    while (leat_outbox_next (outbox, &message)) {
        if (message.body.buffer) {
            s_collect_slices (self, &message);
            continue;
        }
        driver_message_t *copy = s_copy (self, message.peer, message.header, message.header_size);
        assert_int_equal (leat_command_decode (&copy->command, leat_buffer_bytes (copy->frame),
                                               message.header_size, NULL),
                          LEAT_OK);
        if (self->beats && copy->command.id == LEAT_PONG)
            s_message_release (&self->inbox[--self->inbox_count]);
    }
}

void driver_complete (driver_t *self, size_t count, leat_commit_result_t result)
{
    if (!count || count > self->pending_count)
        count = self->pending_count;
    for (size_t i = 0; i < count; i++) {
        leat_commit_t *commit = self->pending[i];
        uint32_t chain = leat_commit_chain (commit);
        leat_commit_result_t now = result;
        if (self->any_refused && chain <= self->refused_chain)
            now = LEAT_COMMIT_REFUSED;
        if (now == LEAT_COMMIT_REFUSED) {
            self->any_refused = true;
            self->refused_chain = chain;
        }
        if (now == LEAT_COMMIT_OK) {
            assert_true (self->kept_count < DRIVER_COMMITS);
            self->kept[self->kept_count++] = leat_commit_encode (commit);
        }
        leat_core_completed (self->core, leat_commit_id (commit), now);
        s_check (self);
        leat_commit_destroy (&commit);
    }
    self->pending_count -= count;
    memmove (self->pending, self->pending + count, self->pending_count * sizeof *self->pending);
    if (self->store == DRIVER_HOLD)
        driver_turn (self);
}

static bool s_store (driver_t *self)
{
    leat_commit_t *commit;
    bool any = false;
    while ((commit = leat_core_next_commit (self->core))) {
        assert_true (self->pending_count < DRIVER_COMMITS);
        assert_true (!self->last_commit || leat_commit_id (commit) == self->last_commit + 1);
        self->last_commit = leat_commit_id (commit);
        self->pending[self->pending_count++] = commit;
        any = true;
    }
    if (!any || self->store == DRIVER_HOLD)
        return false;
    driver_complete (self, 0, self->store == DRIVER_OK ? LEAT_COMMIT_OK : LEAT_COMMIT_REFUSED);
    return true;
}

void driver_turn (driver_t *self)
{
    do {
        leat_core_run (self->core);
        s_check (self);
    } while (s_store (self));
    s_collect (self);
}

void driver_leap (driver_t *self, uint64_t ms)
{
    self->now_us += ms * 1000;
    self->wall_ms += ms;
    leat_core_tick (self->core, self->now_us, self->wall_ms);
    s_check (self);
    driver_turn (self);
}

void driver_wait (driver_t *self, uint64_t ms)
{
    while (ms) {
        uint64_t now_ms = ms < step_ms ? ms : step_ms;
        leat_command_t ping = { .id = LEAT_PING };
        for (size_t i = 0; self->beats && i < self->alive_count; i++)
            driver_post (self, self->alive[i], &ping);
        driver_leap (self, now_ms);
        ms -= now_ms;
    }
}

/* ---- peers ----------------------------------------------------------------------------------- */

void driver_post (driver_t *self, uint64_t peer, const leat_command_t *command)
{
    uint8_t *bytes = leat_alloc_raw (leat_command_encoded_size (command));
    size_t size = leat_command_encode (command, bytes);
    leat_core_receive (self->core, peer, 1, bytes, size, NULL);
    free (bytes);
    s_check (self);
}

void driver_send (driver_t *self, uint64_t peer, const leat_command_t *command)
{
    driver_post (self, peer, command);
    driver_turn (self);
}

void driver_send_frames (driver_t *self, uint64_t peer, unsigned frames, const void *header,
                         size_t header_size, const void *body, size_t body_size)
{
    leat_buffer_t *buffer = body ? leat_buffer_copy (body, body_size) : NULL;
    leat_core_receive (self->core, peer, frames, header, header_size, buffer);
    leat_buffer_release (&buffer);
    driver_turn (self);
}

static void s_not_alive (driver_t *self, uint64_t peer)
{
    for (size_t i = 0; i < self->alive_count; i++)
        if (self->alive[i] == peer)
            self->alive[i] = self->alive[--self->alive_count];
}

void driver_lose (driver_t *self, uint64_t peer)
{
    s_not_alive (self, peer);
    leat_core_unreachable (self->core, peer);
    s_check (self);
    driver_turn (self);
}

leat_command_t driver_hello_command (driver_t *self, uint64_t life, const char *identity)
{
    leat_command_t command = { .id = LEAT_HELLO };
    command.hello.signature = LEAT_SIGNATURE;
    command.hello.version_min = LEAT_PROTOCOL_VERSION;
    command.hello.version_max = LEAT_PROTOCOL_VERSION;
    command.hello.life = life;
    command.hello.attempt = ++self->attempt;
    command.hello.identity = leat_text (identity);
    return command;
}

void driver_hello (driver_t *self, uint64_t peer, const char *identity)
{
    leat_command_t command = driver_hello_command (self, 1000 + peer, identity);
    driver_send (self, peer, &command);
    driver_expect (self, peer, LEAT_WELCOME);
    assert_true (self->alive_count < DRIVER_PEERS);
    self->alive[self->alive_count++] = peer;
}

leat_command_t driver_open_command (uint32_t channel, const char *stream, uint64_t base)
{
    leat_command_t command = { .id = LEAT_OPEN };
    command.open.channel = channel;
    command.open.base = base;
    command.open.stream = leat_text (stream);
    return command;
}

uint64_t driver_open (driver_t *self, uint64_t peer, uint32_t channel, const char *stream)
{
    leat_command_t command = driver_open_command (channel, stream, 1);
    driver_send (self, peer, &command);
    const leat_command_t *answer = driver_expect (self, peer, LEAT_OPENED);
    assert_int_equal (answer->opened.channel, channel);
    return answer->opened.limit;
}

leat_command_t driver_attach_command (uint32_t channel, const char *stream, const char *group,
                                      uint32_t credit, uint32_t max_unreported)
{
    leat_command_t command = { .id = LEAT_ATTACH };
    command.attach.channel = channel;
    command.attach.credit_records = credit;
    command.attach.credit_size = 1 << 20;
    command.attach.max_unreported = max_unreported;
    command.attach.stream = leat_text (stream);
    command.attach.group = leat_text (group);
    return command;
}

void driver_attach (driver_t *self, uint64_t peer, uint32_t channel, const char *stream,
                    uint32_t credit, uint32_t max_unreported)
{
    leat_command_t command =
        driver_attach_command (channel, stream, "default", credit, max_unreported);
    driver_send (self, peer, &command);
    assert_int_equal (driver_expect (self, peer, LEAT_ATTACHED)->attached.channel, channel);
}

/* ---- payloads -------------------------------------------------------------------------------- */

const char *driver_text (const driver_t *self, uint64_t sequence, size_t *size)
{
    static char text[2 << 20];
    size_t length =
        (size_t) snprintf (text, 100, "record %llu of %llu", (unsigned long long) sequence,
                           (unsigned long long) sequence * 0x9e3779b97f4a7c15u);
    size_t whole = self->record_size > length ? self->record_size : length + sequence % 7;
    assert_true (whole < sizeof text);
    for (; length < whole; length++)
        text[length] = (char) ('a' + (sequence + length) % 26);
    *size = whole;
    return text;
}

leat_buffer_t *driver_body (const driver_t *self, uint64_t first, uint32_t count)
{
    size_t total = 0;
    for (uint32_t i = 0; i < count; i++) {
        size_t size;
        driver_text (self, first + i, &size);
        total += 4 + size;
    }
    leat_buffer_t *body = leat_buffer_new (total);
    uint8_t *bytes = leat_buffer_bytes (body);
    for (uint32_t i = 0; i < count; i++) {
        leat_record_t record = { 0 };
        record.body = (const uint8_t *) driver_text (self, first + i, &record.body_size);
        bytes += leat_record_encode (&record, false, bytes);
    }
    return body;
}

uint64_t driver_cost (const driver_t *self, uint64_t first, uint32_t count)
{
    leat_buffer_t *body = driver_body (self, first, count);
    uint64_t cost = leat_batch_cost (leat_buffer_size (body));
    leat_buffer_release (&body);
    return cost;
}

void driver_send_batch (driver_t *self, uint64_t peer, const leat_batch_t *batch,
                        leat_buffer_t *body)
{
    uint8_t bytes[LEAT_BATCH_HEADER_SIZE];
    leat_batch_encode (batch, bytes);
    leat_core_receive (self->core, peer, 2, bytes, sizeof bytes, body);
    s_check (self);
    driver_turn (self);
}

void driver_publish_flight (driver_t *self, uint64_t peer, uint32_t channel, uint64_t first,
                            uint32_t count, uint32_t flight)
{
    leat_buffer_t *body = driver_body (self, first, count);
    leat_batch_t batch = { .command = LEAT_PUBLISH,
                           .channel = channel,
                           .count = count,
                           .crc32c =
                               leat_crc32c (leat_buffer_bytes (body), leat_buffer_size (body)),
                           .first = first,
                           .time_ms = self->wall_ms,
                           .flight = flight };
    driver_send_batch (self, peer, &batch, body);
    leat_buffer_release (&body);
}

void driver_publish (driver_t *self, uint64_t peer, uint32_t channel, uint64_t first,
                     uint32_t count)
{
    driver_publish_flight (self, peer, channel, first, count, 0);
}

/* ---- settling -------------------------------------------------------------------------------- */

void driver_settle_full (driver_t *self, uint64_t peer, uint32_t channel,
                         const leat_settle_entry_t *entries, uint32_t count, uint64_t token,
                         const char *reason)
{
    leat_command_t command = { .id = LEAT_SETTLE };
    command.settle.channel = channel;
    command.settle.flags = token ? LEAT_SETTLE_CONFIRM : 0;
    command.settle.token = token;
    command.settle.entries = (leat_settles_t){ .count = count, .entries = entries };
    command.settle.reason = leat_text (reason);
    driver_send (self, peer, &command);
}

void driver_settle (driver_t *self, uint64_t peer, uint32_t channel, uint64_t epoch, uint64_t first,
                    uint32_t count, leat_outcome_t outcome)
{
    leat_settle_entry_t entry = { epoch, first, count, 0, (uint8_t) outcome };
    driver_settle_full (self, peer, channel, &entry, 1, 0, NULL);
}

void driver_report (driver_t *self, uint64_t peer, uint32_t channel, uint64_t position)
{
    leat_command_t command = { .id = LEAT_REPORT, .report = { channel, position } };
    driver_send (self, peer, &command);
}

void driver_return (driver_t *self, uint64_t peer, uint32_t channel, uint64_t epoch, uint64_t first,
                    uint32_t count)
{
    leat_range_t range = { epoch, first, count };
    leat_command_t command = { .id = LEAT_RETURNED };
    command.returned.channel = channel;
    command.returned.ranges = (leat_ranges_t){ .count = 1, .entries = &range };
    driver_send (self, peer, &command);
}

void driver_allow (driver_t *self, uint64_t peer, uint32_t channel, uint32_t records, uint64_t size)
{
    leat_command_t command = { .id = LEAT_ALLOW, .allow = { channel, records, size } };
    driver_send (self, peer, &command);
}

void driver_leave (driver_t *self, uint64_t peer, uint32_t channel)
{
    leat_command_t command = { .id = LEAT_LEAVE, .leave = { channel } };
    driver_send (self, peer, &command);
}

void driver_ask_empty (driver_t *self, uint64_t peer, uint32_t channel, uint64_t token)
{
    leat_command_t command = { .id = LEAT_ASK_EMPTY, .ask_empty = { channel, token } };
    driver_send (self, peer, &command);
}

/* ---- what comes out -------------------------------------------------------------------------- */

size_t driver_waiting (const driver_t *self, uint64_t peer)
{
    size_t count = 0;
    for (size_t i = 0; i < self->inbox_count; i++)
        count += self->inbox[i].peer == peer;
    return count;
}

static driver_message_t *s_take (driver_t *self, uint64_t peer)
{
    for (size_t i = 0; i < self->inbox_count; i++) {
        if (self->inbox[i].peer != peer)
            continue;
        s_message_release (&self->last);
        self->last = self->inbox[i];
        self->inbox_count--;
        memmove (self->inbox + i, self->inbox + i + 1,
                 (self->inbox_count - i) * sizeof *self->inbox);
        return &self->last;
    }
    return NULL;
}

const leat_command_t *driver_expect (driver_t *self, uint64_t peer, leat_command_id_t id)
{
    driver_message_t *message = s_take (self, peer);
    if (!message) {
        fail_msg ("nothing for peer %d, expected %s", (int) peer, leat_command_name (id));
        abort (); /* fail_msg does not return, which analysers cannot see */
    }
    if (message->is_batch)
        fail_msg ("DELIVER for peer %d, expected %s", (int) peer, leat_command_name (id));
    if (message->command.id != (int) id)
        fail_msg (
            "%s for peer %d (%s), expected %s", leat_command_name (message->command.id), (int) peer,
            message->command.id == LEAT_REFUSED ? leat_code_name (message->command.refused.code)
                                                : "",
            leat_command_name (id));
    return &message->command;
}

const leat_refused_t *driver_expect_refused (driver_t *self, uint64_t peer, uint8_t command,
                                             leat_code_t code)
{
    const leat_refused_t *refused = &driver_expect (self, peer, LEAT_REFUSED)->refused;
    assert_string_equal (leat_code_name (refused->code), leat_code_name (code));
    assert_string_equal (leat_command_name (refused->command), leat_command_name (command));
    assert_true (refused->reason.size > 0);
    return refused;
}

void driver_expect_says (const leat_refused_t *refused, const char *text)
{
    if (!memmem (refused->reason.data, refused->reason.size, text, strlen (text)))
        fail_msg ("\"%.*s\" does not say \"%s\"", (int) refused->reason.size, refused->reason.data,
                  text);
}

static void s_check_payload (const driver_t *self, const driver_message_t *message)
{
    const leat_batch_t *header = &message->batch;
    const uint8_t *bytes = leat_buffer_bytes (message->body);
    size_t size = leat_buffer_size (message->body);
    assert_int_equal (leat_crc32c (bytes, size), header->crc32c);
    for (uint32_t i = 0; i < header->count; i++) {
        leat_record_t record;
        size_t taken = leat_record_decode (&record, false, bytes, size);
        assert_true (taken > 0);
        size_t expected_size;
        const char *expected = driver_text (self, header->first + i + 1, &expected_size);
        assert_int_equal (record.body_size, expected_size);
        assert_memory_equal (record.body, expected, expected_size);
        bytes += taken;
        size -= taken;
    }
    assert_int_equal (size, 0);
}

leat_batch_t driver_expect_any_deliver (driver_t *self, uint64_t peer)
{
    driver_message_t *message = s_take (self, peer);
    if (!message) {
        fail_msg ("nothing for peer %d, expected DELIVER", (int) peer);
        abort ();
    }
    if (!message->is_batch)
        fail_msg ("%s for peer %d, expected DELIVER", leat_command_name (message->command.id),
                  (int) peer);
    assert_int_equal (message->batch.command, LEAT_DELIVER);
    if (!message->batch.attributes)
        s_check_payload (self, message);
    return message->batch;
}

leat_batch_t driver_expect_deliver (driver_t *self, uint64_t peer, uint32_t channel, uint64_t first,
                                    uint32_t count)
{
    leat_batch_t header = driver_expect_any_deliver (self, peer);
    assert_int_equal (header.channel, channel);
    assert_int_equal (header.first, first);
    assert_int_equal (header.count, count);
    return header;
}

leat_batch_t driver_expect_records (driver_t *self, uint64_t peer, uint64_t offset,
                                    uint64_t sequence, uint32_t count)
{
    const driver_message_t *message = s_take (self, peer);
    if (!message || !message->is_batch) {
        fail_msg ("nothing, or no DELIVER, for peer %d", (int) peer);
        abort ();
    }
    assert_int_equal (message->batch.first, offset);
    assert_int_equal (message->batch.count, count);
    leat_buffer_t *expected = driver_body (self, sequence, count);
    assert_int_equal (leat_buffer_size (message->body), leat_buffer_size (expected));
    assert_memory_equal (leat_buffer_bytes (message->body), leat_buffer_bytes (expected),
                         leat_buffer_size (expected));
    leat_buffer_release (&expected);
    return message->batch;
}

void driver_expect_nothing (driver_t *self, uint64_t peer)
{
    const driver_message_t *message = s_take (self, peer);
    if (message)
        fail_msg ("%s for peer %d, expected nothing",
                  leat_command_name (message->is_batch ? LEAT_DELIVER : message->command.id),
                  (int) peer);
}

void driver_drop (driver_t *self, uint64_t peer)
{
    size_t kept = 0;
    for (size_t i = 0; i < self->inbox_count; i++) {
        if (peer && self->inbox[i].peer != peer)
            self->inbox[kept++] = self->inbox[i];
        else
            s_message_release (&self->inbox[i]);
    }
    self->inbox_count = kept;
}

/* ---- statistics ------------------------------------------------------------------------------ */

leat_statistics_t driver_statistics (const driver_t *self)
{
    leat_statistics_t statistics;
    leat_core_statistics (self->core, &statistics);
    return statistics;
}

typedef struct {
    const char *name;
    bool here;
    bool found;
    leat_stream_statistics_t stream;
    leat_group_statistics_t group;
} s_visit_t;

static void s_visit_stream (void *arg, const leat_stream_statistics_t *row)
{
    s_visit_t *visit = arg;
    visit->here = leat_text_equal (row->name, leat_text (visit->name));
    if (!visit->here)
        return;
    visit->stream = *row;
    visit->found = true;
}

static void s_visit_group (void *arg, const leat_group_statistics_t *row)
{
    s_visit_t *visit = arg;
    if (visit->here)
        visit->group = *row;
}

static s_visit_t s_visit (const driver_t *self, const char *stream)
{
    s_visit_t visit = { .name = stream };
    leat_statistics_visitor_t visitor = { .stream = s_visit_stream,
                                          .group = s_visit_group,
                                          .arg = &visit };
    leat_core_visit (self->core, &visitor);
    assert_true (visit.found);
    return visit;
}

leat_group_statistics_t driver_group (const driver_t *self, const char *stream)
{
    return s_visit (self, stream).group;
}

leat_stream_statistics_t driver_stream (const driver_t *self, const char *stream)
{
    return s_visit (self, stream).stream;
}

/* The core's public face: inputs are checked and handed to the file that knows about them.
 * SPDX-License-Identifier: MPL-2.0 */

#include "broker/core/administration.h"
#include "broker/core/retention.h"
#include "wire/bytes.h"

leat_core_t *leat_core_new (const leat_core_options_t *options)
{
    leat_assert (!leat_limits_check (&options->limits));
    leat_core_t *self = leat_alloc (sizeof *self);
    self->limits = options->limits;
    self->durable = options->durable;
    self->reads = options->reads;
    self->tells = options->tells;
    self->software = leat_copy_text (options->software, strlen (options->software));
    self->incarnation = options->incarnation;
    self->seed = options->seed;
    self->last_epoch = options->incarnation << 20;
    self->outbox = leat_outbox_new ();
    self->next_stream_id = 1;
    self->next_commit_id = 1;
    RB_INIT (&self->timers);
    RB_INIT (&self->identities);
    RB_INIT (&self->sessions);
    RB_INIT (&self->formers);
    TAILQ_INIT (&self->former_order);
    RB_INIT (&self->streams);
    RB_INIT (&self->streams_by_id);
    TAILQ_INIT (&self->grants);
    TAILQ_INIT (&self->wanting);
    TAILQ_INIT (&self->confirms);
    TAILQ_INIT (&self->held);
    TAILQ_INIT (&self->waiting);
    TAILQ_INIT (&self->awake);
    TAILQ_INIT (&self->asked);
    TAILQ_INIT (&self->logs);
    TAILQ_INIT (&self->losers);
    TAILQ_INIT (&self->crowded);
    TAILQ_INIT (&self->starving);
    TAILQ_INIT (&self->reads_asked);
    TAILQ_INIT (&self->reads_waiting);
    TAILQ_INIT (&self->owed);
    TAILQ_INIT (&self->reserving);
    STAILQ_INIT (&self->told);
    for (core_lane_t *lane = self->lanes; lane < self->lanes + CORE_LANES; lane++) {
        TAILQ_INIT (&lane->dirty_groups);
        STAILQ_INIT (&lane->trims);
        STAILQ_INIT (&lane->expiries);
        TAILQ_INIT (&lane->waiters);
        TAILQ_INIT (&lane->dying);
    }
    self->lanes[CORE_FLEETING].fleeting = true;
    TAILQ_INIT (&self->under_way);
    STAILQ_INIT (&self->ready);
    return self;
}

void leat_core_destroy (leat_core_t **self_p)
{
    leat_core_t *self = *self_p;
    if (!self)
        return;
    core_sessions_destroy (self);
    core_commits_destroy (self);
    leat_commit_t *told;
    while ((told = leat_core_next_told (self)))
        leat_commit_destroy (&told);
    core_stream_t *stream;
    while ((stream = RB_MIN (core_streams, &self->streams)))
        core_stream_destroy (self, stream);
    core_reads_drop (self, NULL);
    leat_outbox_destroy (&self->outbox);
    free (self->software);
    free (self);
    *self_p = NULL;
}

uint64_t core_next_epoch (leat_core_t *core)
{
    return ++core->last_epoch;
}

uint64_t leat_core_incarnation (const leat_core_t *self)
{
    return self->last_epoch >> 20;
}

/* splitmix64 (Steele, Lea, Flood: Fast splittable pseudorandom number generators, 2014). */
uint64_t core_random (leat_core_t *core)
{
    uint64_t z = (core->seed += 0x9e3779b97f4a7c15u);
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

int core_name_compare (const char *a, size_t a_size, const char *b, size_t b_size)
{
    int order = memcmp (a, b, a_size < b_size ? a_size : b_size);
    return order ? order : (a_size > b_size) - (a_size < b_size);
}

void core_limit_hit (leat_core_t *core, leat_limit_id_t limit)
{
    core->statistics.limit_hits[limit]++;
}

void core_rate_count (leat_core_t *core, core_channel_t *channel, uint64_t records)
{
    uint64_t elapsed_us = core->now_us - channel->rate_since_us;
    if (elapsed_us >= 1000000) {
        channel->rate = channel->rate_count * 1000000 / elapsed_us;
        channel->rate_since_us = core->now_us;
        channel->rate_count = 0;
    }
    channel->rate_count += records;
    channel->records += records;
}

/* ---- refusals -------------------------------------------------------------------------------- */

void core_refuse_full (leat_core_t *core, uint64_t peer, const leat_refused_t *refused)
{
    leat_command_t command = { .id = LEAT_REFUSED, .refused = *refused };
    if (!command.refused.reason.size)
        command.refused.reason = leat_text (leat_code_text (refused->code));
    core->statistics.commands_refused++;
    core_offence_refused (core, (leat_code_t) refused->code);
    leat_outbox_command (core->outbox, peer, &command);
}

void core_refuse (leat_core_t *core, uint64_t peer, uint8_t command, uint32_t channel,
                  leat_code_t code, const char *reason)
{
    leat_refused_t refused = { .command = command,
                               .channel = channel,
                               .code = (uint16_t) code,
                               .reason = leat_text (reason) };
    core_refuse_full (core, peer, &refused);
}

/* It may send without end and never read. */
bool core_stranger_answer (leat_core_t *core, uint64_t peer)
{
    if (core->now_us - core->strangers_since_us >= 1000000) {
        core->strangers_since_us = core->now_us;
        core->strangers_answered = 0;
    }
    if (core->strangers_answered >= core->limits.stranger_answers) {
        core_limit_hit (core, LEAT_LIMIT_stranger_answers);
        core_cut (core, peer);
        return false;
    }
    core->strangers_answered++;
    return true;
}

static void s_refuse_stranger (leat_core_t *core, uint64_t peer, uint8_t id, uint32_t channel,
                               leat_code_t code, const char *reason)
{
    if (core_stranger_answer (core, peer))
        core_refuse (core, peer, id, channel, code, reason);
}

/* What stands in its place in a message that breaks the grammar: the channel or the number of the
 * request, so that the client can tell which one it was. */
static void s_tell_which (core_session_t *session, const uint8_t *bytes, size_t size,
                          leat_refused_t *refused)
{
    uint8_t id = refused->command;
    if (id == LEAT_PUBLISH && size == LEAT_BATCH_HEADER_SIZE) {
        refused->channel = leat_get_u32 (bytes + 4);
        refused->first = leat_get_u64 (bytes + 16);
        refused->flight = leat_get_u32 (bytes + 40);
        refused->expected = core_publish_expected (session, refused->channel);
    } else if (id == LEAT_PUBLISH || id == LEAT_DELIVER || size < 5) {
        return;
    } else if (id >= LEAT_STREAM_LIST && id <= LEAT_DEAD_DROP) {
        refused->token = leat_get_u32 (bytes + 1);
    } else if (id >= LEAT_OPEN && id <= LEAT_STALE) {
        refused->channel = leat_get_u32 (bytes + 1);
    }
}

static void s_refuse_malformed (leat_core_t *core, uint64_t peer, const uint8_t *bytes, size_t size,
                                leat_code_t code, const char *what)
{
    char reason[320];
    leat_refused_t refused = { .command = size ? bytes[0] : 0, .code = (uint16_t) code };
    snprintf (reason, sizeof reason, "%s%s%s; %s", size ? leat_command_name (bytes[0]) : "",
              size ? ": " : "", what, leat_code_text (code));
    refused.reason = leat_text (reason);
    core->statistics.frames_malformed++;
    core_session_t *session = core_session_find (core, peer);
    if (session && code == LEAT_MALFORMED)
        s_tell_which (session, bytes, size, &refused);
    if (session || core_stranger_answer (core, peer))
        core_refuse_full (core, peer, &refused);
}

/* A message of one frame that is no command; `field` is the one that was wrong, or NULL. */
static void s_refuse_unread (leat_core_t *core, uint64_t peer, const uint8_t *bytes, size_t size,
                             leat_code_t code, const char *field)
{
    char what[128];
    uint8_t id = size ? bytes[0] : 0;
    if (code == LEAT_UNSUPPORTED_VERSION)
        snprintf (what, sizeof what, "this broker speaks version %d", LEAT_PROTOCOL_VERSION);
    else if (code == LEAT_UNKNOWN_COMMAND)
        snprintf (what, sizeof what, "no command has the number 0x%02x", id);
    else if (field)
        snprintf (what, sizeof what, "%s is missing, cut short, too long, or has a wrong value",
                  field);
    else if (id == LEAT_PUBLISH || id == LEAT_DELIVER)
        snprintf (what, sizeof what, "it has two frames, a header and a body");
    else
        snprintf (what, sizeof what,
                  size == 0                      ? "the frame is empty"
                  : size > LEAT_COMMAND_SIZE_MAX ? "a command has at most 65536 bytes"
                                                 : "it goes on behind its last field");
    s_refuse_malformed (core, peer, bytes, size, code, what);
}

/* ---- receiving ------------------------------------------------------------------------------- */

static void s_refuse_for_channel (leat_core_t *core, const core_session_t *session,
                                  const leat_command_t *command, leat_code_t code,
                                  const char *reason)
{
    leat_refused_t refused = { .command = command->id,
                               .channel = command->close.channel,
                               .code = (uint16_t) code,
                               .reason = leat_text (reason) };
    if (command->id == LEAT_SETTLE)
        refused.token = command->settle.token;
    else if (command->id == LEAT_ASK_EMPTY)
        refused.token = command->ask_empty.token;
    core_refuse_full (core, session->peer, &refused);
}

/* Commands for a channel, each with its number as first field. */
static void s_receive_for_channel (leat_core_t *core, core_session_t *session,
                                   const leat_command_t *command)
{
    uint32_t number = command->close.channel;
    core_channel_t *channel = core_channel_find (session, number);
    bool for_consumer = command->id >= LEAT_ATTACH;
    if (!channel) {
        s_refuse_for_channel (core, session, command, LEAT_NO_SUCH_CHANNEL, NULL);
        return;
    }
    if (channel->consumer != for_consumer || !channel->answered) {
        s_refuse_for_channel (core, session, command, LEAT_BAD_STATE,
                              !channel->answered  ? "wait for OPENED or ATTACHED first"
                              : channel->consumer ? "the channel is for delivering"
                                                  : "the channel is for publishing");
        return;
    }
    if (for_consumer) {
        core_deliver_command (core, (core_consumer_t *) channel, command);
        return;
    }
    core_producer_t *producer = (core_producer_t *) channel;
    if (command->id == LEAT_WANT)
        core_credit_want (core, producer, command->want.size);
    else if (command->id == LEAT_YIELDED)
        core_credit_yielded (core, producer, command->yielded.limit);
    else
        core_publish_close (core, producer);
}

static void s_receive_command (leat_core_t *core, core_session_t *session,
                               const leat_command_t *command)
{
    switch (command->id) {
    case LEAT_HELLO:
        core_refuse (core, session->peer, LEAT_HELLO, 0, LEAT_BAD_STATE,
                     "this connection has a session; a new session takes a new connection");
        break;
    case LEAT_PING:
        core_session_ping (core, session, &command->ping);
        break;
    case LEAT_PONG:
        core_offence (core);
        break;
    case LEAT_BYE:
        core_session_bye (core, session);
        break;
    case LEAT_OPEN:
        core_publish_open (core, session, &command->open);
        break;
    case LEAT_ATTACH:
        core_deliver_attach (core, session, &command->attach);
        break;
    case LEAT_WANT:
    case LEAT_YIELDED:
    case LEAT_CLOSE:
    case LEAT_ALLOW:
    case LEAT_REPORT:
    case LEAT_SETTLE:
    case LEAT_RETURNED:
    case LEAT_ASK_EMPTY:
    case LEAT_LEAVE:
        s_receive_for_channel (core, session, command);
        break;
    default:
        if (command->id >= LEAT_STREAM_LIST && command->id <= LEAT_DEAD_DROP)
            core_administer (core, session, command);
        else
            core_refuse (core, session->peer, command->id, 0, LEAT_BAD_STATE,
                         "only a broker sends that");
    }
}

/* Drops whatever comes over a connection that had a session. */
static bool s_receive_former (leat_core_t *core, uint64_t peer, uint8_t id)
{
    core_former_t *former = core_former_find (core, peer);
    if (!former)
        return false;
    core->statistics.frames_former++;
    core_offence_former (core, former);
    /* A lost peer that still lives must learn of it; a displaced one was told. */
    if (!former->displaced && id == LEAT_PING)
        s_refuse_stranger (core, peer, id, 0, LEAT_NO_SESSION, NULL);
    return true;
}

/* A peer without a session may only say HELLO. */
static void s_receive_stranger (leat_core_t *core, uint64_t peer, const leat_command_t *command)
{
    if (command->id == LEAT_HELLO)
        core_session_hello (core, peer, &command->hello);
    else
        s_refuse_stranger (core, peer, command->id, 0, LEAT_NO_SESSION, NULL);
}

static void s_receive_batch (leat_core_t *core, uint64_t peer, core_session_t *session,
                             const uint8_t *header, size_t header_size, leat_buffer_t *body)
{
    leat_batch_t batch;
    leat_code_t code = leat_batch_decode (&batch, header, header_size);
    if (code != LEAT_OK || batch.command != LEAT_PUBLISH) {
        s_refuse_malformed (
            core, peer, header, header_size, code == LEAT_OK ? LEAT_BAD_STATE : code,
            code == LEAT_OK ? "only a broker sends that" : leat_batch_fault (header, header_size));
        return;
    }
    if (!session) {
        s_refuse_stranger (core, peer, LEAT_PUBLISH, batch.channel, LEAT_NO_SESSION, NULL);
        return;
    }
    core_publish_batch (core, session, &batch, body);
}

static void s_receive (leat_core_t *self, uint64_t peer, unsigned frames, const uint8_t *header,
                       size_t header_size, leat_buffer_t *body)
{
    core_session_t *session = core_session_find (self, peer);
    if (session)
        session->heard_us = session->spoke_us = self->now_us;
    uint8_t id = frames && header_size ? header[0] : 0;
    if (!session && s_receive_former (self, peer, id))
        return;
    if (frames == 2 && body) {
        s_receive_batch (self, peer, session, header, header_size, body);
        return;
    }
    if (frames != 1) {
        s_refuse_malformed (self, peer, header, frames ? header_size : 0, LEAT_MALFORMED,
                            "a message has one or two frames");
        return;
    }
    leat_command_t command;
    const char *field;
    leat_code_t code = leat_command_decode (&command, header, header_size, &field);
    if (code != LEAT_OK) {
        s_refuse_unread (self, peer, header, header_size, code, field);
        return;
    }
    if (session)
        s_receive_command (self, session, &command);
    else
        s_receive_stranger (self, peer, &command);
}

void leat_core_receive (leat_core_t *self, uint64_t peer, unsigned frames, const uint8_t *header,
                        size_t header_size, leat_buffer_t *body)
{
    leat_assert (self->ticked);
    if (self->failed || self->stopped)
        return;
    self->offended = false;
    s_receive (self, peer, frames, header, header_size, body);
    core_offence_judge (self, peer);
}

/* ---- time and turns -------------------------------------------------------------------------- */

void leat_core_tick (leat_core_t *self, uint64_t now_us, uint64_t wall_ms)
{
    leat_assert (now_us >= self->now_us);
    uint64_t due_us = core_timers_next (self);
    uint64_t late_us = due_us < now_us ? now_us - due_us : 0;
    self->now_us = now_us;
    self->wall_ms = wall_ms;
    if (!self->ticked) {
        self->ticked = true;
        core_recovered (self);
    } else if (late_us > self->limits.heartbeat_interval * 1000) {
        /* This process was stopped, or the machine: what peers sent meanwhile may be on its way
         * through sockets still, so each gets its whole time again. */
        core_session_t *session;
        RB_FOREACH (session, core_sessions, &self->sessions)
            session->heard_us = now_us;
    }
}

static void s_say_bye (leat_core_t *core)
{
    core_session_t *session;
    while ((session = RB_MIN (core_sessions, &core->sessions))) {
        leat_command_t bye = { .id = LEAT_BYE };
        bye.bye.code = LEAT_SHUTTING_DOWN;
        bye.bye.retry_after_ms = core->retry_after_ms;
        bye.bye.reason = leat_text ("the broker is ending");
        leat_outbox_command (core->outbox, session->peer, &bye);
        core_session_end (core, session, true, false);
    }
    core->stopped = true;
}

void leat_core_run (leat_core_t *self)
{
    if (self->failed || self->stopped || !self->ticked)
        return;
    core_timers_fire (self);
    core_logs_run (self);
    do {
        if (core_fleeting_due (self))
            core_fleeting_commit (self);
        core_credit_run (self);
        if (!self->shutting_down)
            core_dispatch (self);
        core_dying_commit (self);
    } while (core_fleeting_due (self) || core_reads_pass_on (self));
    core_async_commit (self);
    if (self->shutting_down)
        core_async_end (self);
    if (!TAILQ_EMPTY (&self->reserving))
        core_fleeting_run (self);
    core_commits_build (self);
    core_groups_tell_empty (self);
    core_confirms_send (self);
    core_windows_close (self);
    if (self->shutting_down && core_commits_idle (self))
        s_say_bye (self);
}

void leat_core_shutdown (leat_core_t *self, uint32_t retry_after_ms)
{
    self->shutting_down = true;
    self->lanes[CORE_STORED].settles_due = true;
    self->lanes[CORE_FLEETING].settles_due = true;
    self->retry_after_ms = retry_after_ms;
}

leat_outbox_t *leat_core_outbox (leat_core_t *self)
{
    return self->outbox;
}

uint64_t leat_core_deadline (const leat_core_t *self)
{
    return self->failed || self->stopped ? UINT64_MAX : core_timers_next (self);
}

bool leat_core_stopped (const leat_core_t *self)
{
    return self->stopped;
}

bool leat_core_failed (const leat_core_t *self)
{
    return self->failed;
}

void leat_core_unreachable (leat_core_t *self, uint64_t peer)
{
    core_session_t *session = core_session_find (self, peer);
    if (self->failed || self->stopped || !session)
        return;
    self->statistics.sessions_unreachable++;
    core_session_end (self, session, false, false);
}

void leat_core_store_full (leat_core_t *self, bool full)
{
    self->store_full = full;
}

bool leat_core_next_loss (leat_core_t *self, leat_core_loss_t *loss)
{
    core_group_t *group = TAILQ_FIRST (&self->losers);
    if (!group)
        return false;
    TAILQ_REMOVE (&self->losers, group, in_losers);
    *loss = (leat_core_loss_t){ .stream = { group->stream->name, group->stream->name_size },
                                .group = { group->name, group->name_size },
                                .records = group->expired_untold };
    group->expired_untold = 0;
    return true;
}

bool leat_core_has_loss (const leat_core_t *self)
{
    return !TAILQ_EMPTY (&self->losers);
}

bool leat_core_has_session (leat_core_t *self, uint64_t peer)
{
    return core_session_find (self, peer) != NULL;
}

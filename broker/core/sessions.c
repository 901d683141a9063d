/* Sessions: HELLO, displacement, heartbeats, the end; and what is remembered of identities.
 * SPDX-License-Identifier: MPL-2.0 */

#include "broker/core/state.h"

/* PINGs between two answers that nobody is blamed for: links deliver several at once. */
enum { PINGS_EARLY = 2 };

static int core_identity_compare (const core_identity_t *a, const core_identity_t *b)
{
    return core_name_compare (a->name, a->name_size, b->name, b->name_size);
}

static int core_sequence_compare (const core_sequence_t *a, const core_sequence_t *b)
{
    return (a->stream->id > b->stream->id) - (a->stream->id < b->stream->id);
}

static int core_session_compare (const core_session_t *a, const core_session_t *b)
{
    return (a->peer > b->peer) - (a->peer < b->peer);
}

static int core_channel_compare (const core_channel_t *a, const core_channel_t *b)
{
    return (a->number > b->number) - (a->number < b->number);
}

static int core_former_compare (const core_former_t *a, const core_former_t *b)
{
    return (a->peer > b->peer) - (a->peer < b->peer);
}

RB_GENERATE (core_identities, core_identity, by_name, core_identity_compare)
RB_GENERATE (core_sequences, core_sequence, by_stream, core_sequence_compare)
RB_GENERATE (core_sessions, core_session, by_peer, core_session_compare)
RB_GENERATE (core_channels, core_channel, by_number, core_channel_compare)
RB_GENERATE (core_formers, core_former, by_peer, core_former_compare)

/* ---- former connections ---------------------------------------------------------------------- */

core_former_t *core_former_find (leat_core_t *core, uint64_t peer)
{
    core_former_t key = { .peer = peer };
    return RB_FIND (core_formers, &core->formers, &key);
}

static void s_former_forget (leat_core_t *core, core_former_t *former)
{
    RB_REMOVE (core_formers, &core->formers, former);
    TAILQ_REMOVE (&core->former_order, former, in_order);
    core->former_count--;
    free (former);
}

static void s_former_add (leat_core_t *core, uint64_t peer, bool displaced)
{
    if (core->former_count && core->former_count >= core->limits.former_peers) {
        core_limit_hit (core, LEAT_LIMIT_former_peers);
        s_former_forget (core, TAILQ_FIRST (&core->former_order));
    }
    core_former_t *former = leat_alloc (sizeof *former);
    former->peer = peer;
    former->displaced = displaced;
    RB_INSERT (core_formers, &core->formers, former);
    TAILQ_INSERT_TAIL (&core->former_order, former, in_order);
    core->former_count++;
}

/* ---- identities and their sequences ---------------------------------------------------------- */

core_identity_t *core_identity_find (leat_core_t *core, leat_text_t name)
{
    core_identity_t key = { .name = (char *) name.data, .name_size = name.size };
    return RB_FIND (core_identities, &core->identities, &key);
}

core_identity_t *core_identity_make (leat_core_t *core, leat_text_t name, bool ephemeral)
{
    core_identity_t *identity = leat_alloc (sizeof *identity);
    identity->name = leat_copy_text (name.data, name.size);
    identity->name_size = name.size;
    identity->ephemeral = ephemeral;
    RB_INIT (&identity->sequences);
    RB_INSERT (core_identities, &core->identities, identity);
    core->identity_count++;
    return identity;
}

core_sequence_t *core_sequence_find (core_identity_t *identity, const core_stream_t *stream)
{
    core_sequence_t key = { .stream = (core_stream_t *) stream };
    return RB_FIND (core_sequences, &identity->sequences, &key);
}

core_sequence_t *core_sequence_make (leat_core_t *core, core_identity_t *identity,
                                     core_stream_t *stream)
{
    core_sequence_t *sequence = leat_alloc (sizeof *sequence);
    sequence->identity = identity;
    sequence->stream = stream;
    sequence->offset = UINT64_MAX;
    RB_INSERT (core_sequences, &identity->sequences, sequence);
    LIST_INSERT_HEAD (&stream->sequences, sequence, in_stream);
    core->identity_count++;
    return sequence;
}

void core_sequence_destroy (leat_core_t *core, core_sequence_t *sequence)
{
    RB_REMOVE (core_sequences, &sequence->identity->sequences, sequence);
    LIST_REMOVE (sequence, in_stream);
    core->identity_count--;
    free (sequence);
}

static void s_identity_destroy (leat_core_t *core, core_identity_t *identity)
{
    core_sequence_t *sequence;
    while ((sequence = RB_MIN (core_sequences, &identity->sequences)))
        core_sequence_destroy (core, sequence);
    core_timer_stop (core, &identity->expiry);
    RB_REMOVE (core_identities, &core->identities, identity);
    core->identity_count--;
    free (identity->name);
    free (identity);
}

/* Those whose commits go that way. False if there are none. */
static bool s_forget_sequences (leat_core_t *core, core_identity_t *identity, core_lane_t *lane)
{
    bool any = false;
    core_sequence_t *sequence;
    RB_FOREACH (sequence, core_sequences, &identity->sequences) {
        if (!sequence->known || core_lane (core, sequence->stream) != lane)
            continue;
        leat_operation_t operation = { .id = LEAT_OPERATION_SEQUENCE_FORGOTTEN };
        operation.sequence_forgotten.stream = sequence->stream->id;
        operation.sequence_forgotten.identity =
            (leat_text_t){ identity->name, identity->name_size };
        leat_commit_add (core_data (core, lane), &operation);
        any = true;
    }
    return any;
}

static void s_identity_expired (leat_core_t *core, core_timer_t *timer)
{
    core_identity_t *identity = CORE_OWNER (timer, core_identity_t, expiry);
    if (identity->forgetting) {
        core_identity_rest (core, identity); /* it was back for a moment */
        return;
    }
    core_sequence_t *sequence;
    RB_FOREACH (sequence, core_sequences, &identity->sequences) {
        if (sequence->accepted != sequence->committed || sequence->ahead) {
            core_identity_rest (core, identity); /* a batch of it is at the store still */
            return;
        }
    }
    identity->forgetting = s_forget_sequences (core, identity, core_stored (core));
    if (identity->forgetting) {
        TAILQ_INSERT_TAIL (&core_stored (core)->data->forgotten, identity, in_commit);
        return;
    }
    s_forget_sequences (core, identity, &core->lanes[CORE_FLEETING]);
    s_identity_destroy (core, identity);
}

/* Only now: if the store had refused, or the broker had ended before, it would be known still. The name
 * may have come back meanwhile; then its channels wait for this. */
void core_identity_forgotten (leat_core_t *core, core_identity_t *identity)
{
    identity->forgetting = false;
    s_forget_sequences (core, identity, &core->lanes[CORE_FLEETING]);
    if (!identity->session) {
        s_identity_destroy (core, identity);
        return;
    }
    core_sequence_t *sequence;
    core_sequence_t *next;
    for (sequence = RB_MIN (core_sequences, &identity->sequences); sequence; sequence = next) {
        next = RB_NEXT (core_sequences, , sequence);
        sequence->known = false;
        sequence->accepted = 0;
        sequence->committed = 0;
        sequence->offset = UINT64_MAX;
        if (!sequence->producer)
            core_sequence_destroy (core, sequence);
    }
}

void core_identity_remembered (leat_core_t *core, core_identity_t *identity)
{
    identity->forgetting = false;
    if (!identity->session)
        core_identity_rest (core, identity);
}

void core_identity_rest (leat_core_t *core, core_identity_t *identity)
{
    uint64_t rest_ms = core->limits.identity_expiry;
    if (identity->ephemeral)
        rest_ms = RB_EMPTY (&identity->sequences) ? core->limits.heartbeat_timeout : 60000;
    core_timer_set (core, &identity->expiry, core->now_us + rest_ms * 1000, s_identity_expired);
}

/* ---- the beginning --------------------------------------------------------------------------- */

core_session_t *core_session_find (leat_core_t *core, uint64_t peer)
{
    core_session_t key = { .peer = peer };
    return RB_FIND (core_sessions, &core->sessions, &key);
}

static void s_send_fenced (leat_core_t *core, uint64_t peer, uint64_t epoch)
{
    leat_command_t command = { .id = LEAT_FENCED };
    command.fenced.epoch = epoch;
    command.fenced.reason = leat_text (leat_code_text (LEAT_DISPLACED));
    leat_outbox_command (core->outbox, peer, &command);
}

/* Looks whether the session was silent for too long; the timer is not moved by each message but
 * finds out when it fires. */
static void s_silence (leat_core_t *core, core_timer_t *timer)
{
    core_session_t *session = CORE_OWNER (timer, core_session_t, silence);
    uint64_t due_us = session->heard_us + core->limits.heartbeat_timeout * 1000;
    if (due_us > core->now_us) {
        core_timer_set (core, timer, due_us, s_silence);
        return;
    }
    core->statistics.sessions_timed_out++;
    core_session_end (core, session, false, false);
}

static void s_send_welcome (leat_core_t *core, const core_session_t *session)
{
    leat_command_t command = { .id = LEAT_WELCOME };
    leat_welcome_t *welcome = &command.welcome;
    welcome->version = LEAT_PROTOCOL_VERSION;
    welcome->epoch = session->epoch;
    welcome->incarnation = core->incarnation;
    welcome->heartbeat_interval_ms = (uint32_t) core->limits.heartbeat_interval;
    welcome->heartbeat_timeout_ms = (uint32_t) core->limits.heartbeat_timeout;
    welcome->record_size_max = (uint32_t) core->limits.record_size;
    welcome->batch_size_max = (uint32_t) core->limits.batch_size;
    welcome->window_size = (uint32_t) core->limits.window_size;
    welcome->channels_max = (uint32_t) core->limits.channels;
    welcome->software = leat_text (core->software);
    leat_outbox_command (core->outbox, session->peer, &command);
}

/* Why a HELLO can't be taken; LEAT_OK if it can. */
static leat_code_t s_check_hello (leat_core_t *core, const leat_hello_t *hello,
                                  const core_identity_t *identity)
{
    if (hello->signature != LEAT_SIGNATURE)
        return LEAT_MALFORMED;
    if (hello->version_min > LEAT_PROTOCOL_VERSION || hello->version_max < LEAT_PROTOCOL_VERSION)
        return LEAT_UNSUPPORTED_VERSION;
    if (!leat_name_valid (hello->identity))
        return LEAT_BAD_NAME;
    if (!hello->life)
        return LEAT_MALFORMED;
    if (core->shutting_down)
        return LEAT_SHUTTING_DOWN;
    if (!(identity && identity->session) && core->statistics.sessions >= core->limits.sessions) {
        core_limit_hit (core, LEAT_LIMIT_sessions);
        return LEAT_LIMIT_REACHED;
    }
    if (!identity && core->identity_count >= core->limits.identities) {
        core_limit_hit (core, LEAT_LIMIT_identities);
        return LEAT_LIMIT_REACHED;
    }
    return LEAT_OK;
}

static void s_refuse_hello (leat_core_t *core, uint64_t peer, const leat_hello_t *hello,
                            leat_code_t code)
{
    char reason[128] = "";
    if (code == LEAT_UNSUPPORTED_VERSION)
        snprintf (reason, sizeof reason,
                  "HELLO names the versions %u to %u, and this broker speaks version %d",
                  hello->version_min, hello->version_max, LEAT_PROTOCOL_VERSION);
    else if (code == LEAT_MALFORMED)
        snprintf (reason, sizeof reason, "HELLO begins with the signature, and its life is not 0");
    if (core_stranger_answer (core, peer))
        core_refuse (core, peer, LEAT_HELLO, 0, code, reason);
}

void core_session_hello (leat_core_t *core, uint64_t peer, const leat_hello_t *hello)
{
    core_identity_t *identity = core_identity_find (core, hello->identity);
    leat_code_t code = s_check_hello (core, hello, identity);
    if (code != LEAT_OK) {
        s_refuse_hello (core, peer, hello, code);
        return;
    }
    bool known = identity && identity->life;
    bool same = known && hello->life == identity->life;
    if (same && hello->attempt <= identity->attempt) {
        core->statistics.frames_former++; /* of a connection that the client gave up before */
        return;
    }
    if (known && !same && (hello->flags & LEAT_HELLO_RESUME)) {
        core->statistics.hellos_fenced++;
        if (core_stranger_answer (core, peer))
            s_send_fenced (core, peer, identity->epoch);
        return;
    }
    if (!identity)
        identity = core_identity_make (core, hello->identity, hello->flags & LEAT_HELLO_EPHEMERAL);
    uint64_t epoch = core_next_epoch (core);
    if (identity->session && !same) {
        core->statistics.sessions_displaced++;
        s_send_fenced (core, identity->session->peer, epoch);
    }
    if (identity->session)
        core_session_end (core, identity->session, false, true);
    identity->life = hello->life;
    identity->attempt = hello->attempt;
    core_timer_stop (core, &identity->expiry);
    core_session_t *session = leat_alloc (sizeof *session);
    session->peer = peer;
    session->epoch = epoch;
    session->identity = identity;
    session->heard_us = core->now_us;
    session->forgiven_us = core->now_us;
    session->listed_us = core->now_us;
    RB_INIT (&session->channels);
    RB_INSERT (core_sessions, &core->sessions, session);
    identity->session = session;
    identity->epoch = epoch;
    identity->ephemeral = hello->flags & LEAT_HELLO_EPHEMERAL;
    core_timer_set (core, &session->silence, core->now_us + core->limits.heartbeat_timeout * 1000,
                    s_silence);
    core->statistics.sessions++;
    core->statistics.hellos++;
    s_send_welcome (core, session);
}

void core_session_ping (leat_core_t *core, core_session_t *session, const leat_ping_t *ping)
{
    /* One answer per interval; half of it, so that a peer's jitter does not cost it an answer. */
    uint64_t pause_us = core->limits.heartbeat_interval * 1000 / 2;
    if (session->answered_us && core->now_us - session->answered_us < pause_us) {
        core->statistics.pongs_saved++;
        if (++session->pings_early > PINGS_EARLY)
            core_offence (core);
        return;
    }
    session->pings_early = 0;
    session->answered_us = core->now_us ? core->now_us : 1;
    leat_command_t command = { .id = LEAT_PONG };
    command.pong.token = ping->token;
    leat_outbox_command (core->outbox, session->peer, &command);
}

/* ---- channels -------------------------------------------------------------------------------- */

core_channel_t *core_channel_find (core_session_t *session, uint32_t number)
{
    core_channel_t key = { .number = number };
    return RB_FIND (core_channels, &session->channels, &key);
}

bool core_channel_free (leat_core_t *core, core_session_t *session, uint8_t command,
                        uint32_t number)
{
    if (core_channel_find (session, number)) {
        core_refuse (core, session->peer, command, number, LEAT_CHANNEL_IN_USE, NULL);
        return false;
    }
    if (session->channel_count >= core->limits.channels) {
        core_limit_hit (core, LEAT_LIMIT_channels);
        core_refuse (core, session->peer, command, number, LEAT_LIMIT_REACHED,
                     "this session has as many channels as WELCOME allows");
        return false;
    }
    return true;
}

void core_channel_add (core_session_t *session, core_channel_t *channel)
{
    channel->session = session;
    RB_INSERT (core_channels, &session->channels, channel);
    session->channel_count++;
}

/* ---- the end --------------------------------------------------------------------------------- */

void core_session_end (leat_core_t *core, core_session_t *session, bool clean, bool displaced)
{
    core_channel_t *channel;
    while ((channel = RB_MIN (core_channels, &session->channels))) {
        if (channel->consumer)
            core_consumer_end (core, (core_consumer_t *) channel, clean);
        else
            core_producer_end (core, (core_producer_t *) channel);
    }
    core_timer_stop (core, &session->silence);
    RB_REMOVE (core_sessions, &core->sessions, session);
    session->identity->session = NULL;
    core_identity_rest (core, session->identity);
    core->statistics.sessions--;
    s_former_add (core, session->peer, displaced);
    free (session);
}

void core_session_bye (leat_core_t *core, core_session_t *session)
{
    leat_command_t bye = { .id = LEAT_BYE };
    leat_outbox_command (core->outbox, session->peer, &bye);
    core_session_end (core, session, true, false);
}

void core_sessions_destroy (leat_core_t *core)
{
    core_session_t *session;
    while ((session = RB_MIN (core_sessions, &core->sessions)))
        core_session_end (core, session, true, false);
    core_former_t *former;
    while ((former = TAILQ_FIRST (&core->former_order)))
        s_former_forget (core, former);
    core_identity_t *identity;
    while ((identity = RB_MIN (core_identities, &core->identities)))
        s_identity_destroy (core, identity);
}

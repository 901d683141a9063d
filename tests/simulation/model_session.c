/* The model and sessions: what peers and the core say to each other about sessions and publishing.
 * SPDX-License-Identifier: MPL-2.0 */
#include "tests/simulation/model.h"
#include "tests/simulation/network.h"
#include "tests/simulation/trace.h"
#include "wire/alloc.h"

#include <stdlib.h>
#include <string.h>

sim_peer_t *sim_model_peer (sim_t *sim, uint64_t number)
{
    sim_peer_t *peer = sim->model->peers;
    while (peer && peer->number != number)
        peer = peer->next;
    if (peer)
        return peer;
    peer = leat_alloc (sizeof *peer);
    peer->number = number;
    peer->identity = SIM_IDENTITIES_MAX;
    peer->next = sim->model->peers;
    sim->model->peers = peer;
    return peer;
}

/* ---- channels -------------------------------------------------------------------------------- */

/* The channel that answers of the core are about: the one that was answered, unless `asked`. */
static sim_channel_t *s_channel (sim_peer_t *peer, uint32_t number, bool asked)
{
    sim_channel_t *found = NULL;
    for (sim_channel_t *channel = peer->channels; channel; channel = channel->next) {
        if (channel->number == number && channel->answered != asked && !channel->ended)
            found = channel; /* the list is youngest first; the oldest was asked for first */
    }
    return found;
}

static sim_channel_t *s_channel_new (sim_peer_t *peer, uint32_t number, bool consumer)
{
    sim_channel_t *channel = leat_alloc (sizeof *channel);
    channel->peer = peer;
    channel->number = number;
    channel->consumer = consumer;
    channel->next = peer->channels;
    peer->channels = channel;
    return channel;
}

static void s_peer_ended (sim_t *sim, sim_peer_t *peer, bool clean)
{
    if (!peer->live)
        return;
    for (sim_channel_t *channel = peer->channels; channel; channel = channel->next) {
        if (channel->consumer && channel->answered && !channel->ended)
            sim_model_consumer_ended (sim, channel, clean);
        channel->ended = true;
    }
    peer->live = false;
    peer->ended = true;
}

/* ---- what the core reads --------------------------------------------------------------------- */

static void s_asks_open (sim_t *sim, sim_peer_t *peer, const leat_open_t *open)
{
    sim_channel_t *channel = s_channel_new (peer, open->channel, false);
    channel->base = open->base;
    sim_model_text (channel->stream_name, open->stream);
    for (unsigned index = 0; index <= SIM_STREAMS_MAX && peer->identity < SIM_IDENTITIES_MAX;
         index++)
        if (strcmp (sim_stream_name (index), channel->stream_name) == 0 && open->base)
            sim_model_said (&sim->model->sequences[peer->identity][index], open->base - 1);
}

static void s_asks_attach (sim_peer_t *peer, const leat_attach_t *attach)
{
    sim_channel_t *channel = s_channel_new (peer, attach->channel, true);
    channel->credit_records = attach->credit_records;
    channel->credit_size = attach->credit_size;
    channel->max_unreported = attach->max_unreported;
    sim_model_text (channel->stream_name, attach->stream);
    sim_model_text (channel->group_name, attach->group);
}

static void s_publishes (sim_t *sim, sim_peer_t *peer, const leat_batch_t *batch)
{
    const sim_channel_t *channel = s_channel (peer, batch->channel, false);
    if (!peer->live || !channel || channel->consumer || peer->identity >= SIM_IDENTITIES_MAX)
        return;
    for (unsigned index = 0; index <= SIM_STREAMS_MAX; index++) {
        if (strcmp (sim_stream_name (index), channel->stream_name) != 0)
            continue;
        sim_sequence_t *sequence = &sim->model->sequences[peer->identity][index];
        uint64_t last = batch->first + batch->count - 1;
        if (sequence->known && batch->first <= sequence->committed)
            SIM_COUNT_MORE (sim, records_duplicate, batch->count);
        if (sequence->heard < last)
            sequence->heard = last;
    }
}

static void s_reads_command (sim_t *sim, sim_peer_t *peer, const leat_command_t *command)
{
    if (command->id == LEAT_HELLO && !peer->live && !peer->ended) {
        sim_model_text (peer->identity_name, command->hello.identity);
        peer->identity = sim_identity_find (command->hello.identity);
        peer->life = command->hello.life;
        peer->attempt = command->hello.attempt;
        peer->resumes = command->hello.flags & LEAT_HELLO_RESUME;
        if (peer->resumes)
            SIM_COUNT (sim, session_resumed);
    }
    if (!peer->live)
        return;
    sim_channel_t *channel = NULL;
    switch (command->id) {
    case LEAT_OPEN:
        s_asks_open (sim, peer, &command->open);
        break;
    case LEAT_ATTACH:
        s_asks_attach (peer, &command->attach);
        break;
    case LEAT_BYE:
        s_peer_ended (sim, peer, true);
        break;
    case LEAT_YIELDED:
        channel = s_channel (peer, command->yielded.channel, false);
        if (channel && !channel->consumer && channel->reclaiming) {
            channel->reclaiming = false;
            channel->limit = command->yielded.limit;
        }
        break;
    case LEAT_WANT:
        SIM_COUNT (sim, credit_wanted);
        break;
    case LEAT_ALLOW:
    case LEAT_REPORT:
    case LEAT_SETTLE:
    case LEAT_RETURNED:
    case LEAT_ASK_EMPTY:
    case LEAT_LEAVE:
        channel = s_channel (peer, command->close.channel, false);
        break;
    default:
        break;
    }
    if (channel && channel->consumer)
        sim_model_consumer_says (sim, channel, command);
}

void sim_model_reads (sim_t *sim, uint64_t number, unsigned frames, const uint8_t *header,
                      size_t header_size, leat_buffer_t *body)
{
    sim_peer_t *peer = sim_model_peer (sim, number);
    leat_batch_t batch;
    leat_command_t command;
    peer->heard_us = sim->now_us;
    if (peer->ended)
        SIM_COUNT (sim, frames_late);
    if (frames == 2 && body && leat_batch_decode (&batch, header, header_size) == LEAT_OK) {
        if (batch.command == LEAT_PUBLISH)
            s_publishes (sim, peer, &batch);
    } else if (frames == 1 && leat_command_decode (&command, header, header_size, NULL) == LEAT_OK)
        s_reads_command (sim, peer, &command);
}

void sim_model_unreachable (sim_t *sim, uint64_t number)
{
    s_peer_ended (sim, sim_model_peer (sim, number), false);
}

void sim_model_cut (sim_t *sim, uint64_t number)
{
    const sim_peer_t *peer = sim_model_peer (sim, number);
    if (peer->live)
        sim_violation (sim, "nobody who has a session is cut", "peer %llu",
                       (unsigned long long) number);
}

/* The core says how many sessions it has ended for their silence, but not which: those that were
 * silent for longest, and long enough. */
void sim_model_timed_out (sim_t *sim, const leat_statistics_t *statistics)
{
    sim_model_t *self = sim->model;
    uint64_t timeout_us = sim->plan.limits.heartbeat_timeout * 1000;
    for (; self->timed_out < statistics->sessions_timed_out; self->timed_out++) {
        sim_peer_t *oldest = NULL;
        for (sim_peer_t *peer = self->peers; peer; peer = peer->next) {
            if (peer->live && (!oldest || peer->heard_us < oldest->heard_us))
                oldest = peer;
        }
        if (!oldest || sim->now_us - oldest->heard_us < timeout_us)
            sim_violation (sim, "only silent peers are lost",
                           "the most silent one is %llu, %llu us",
                           oldest ? (unsigned long long) oldest->number : 0,
                           oldest ? (unsigned long long) (sim->now_us - oldest->heard_us) : 0);
        const sim_connection_t *connection = sim_network_find (sim->network, oldest->number);
        if (sim_model_is_calm (sim) && connection && connection->open && !connection->broken)
            sim_violation (sim, "nobody is taken for lost while there are no faults",
                           "peer %llu, silent for %llu us", (unsigned long long) oldest->number,
                           (unsigned long long) (sim->now_us - oldest->heard_us));
        SIM_COUNT (sim, session_timed_out);
        sim_trace (sim, "broker", "peer %llu is lost: silent", (unsigned long long) oldest->number);
        s_peer_ended (sim, oldest, false);
    }
}

void sim_model_check_statistics (sim_t *sim, const leat_statistics_t *statistics)
{
    uint64_t live = 0;
    for (const sim_peer_t *peer = sim->model->peers; peer; peer = peer->next)
        live += peer->live;
    if (live != statistics->sessions)
        sim_violation (sim, "the core has the sessions that it has told of", "%llu instead of %llu",
                       (unsigned long long) statistics->sessions, (unsigned long long) live);
    /* A recovered broker may hold more: settles that made room were lost. It grants nothing then. */
    if (statistics->granted_size
        && statistics->held_size + statistics->granted_size > sim->plan.limits.memory_size)
        sim_violation (sim, "what is held and granted stays within memory_size",
                       "%llu held, %llu granted, %llu allowed",
                       (unsigned long long) statistics->held_size,
                       (unsigned long long) statistics->granted_size,
                       (unsigned long long) sim->plan.limits.memory_size);
    uint64_t hits = statistics->limit_hits[LEAT_LIMIT_memory_size];
    if (sim->model->memory_hits != hits)
        sim->model->memory_us = sim->now_us;
    sim->model->memory_hits = hits;
}

/* ---- what the core writes -------------------------------------------------------------------- */

/* Of several connections of one client the newest counts, and who was displaced stays away. */
static void s_check_hello (sim_t *sim, const sim_peer_t *peer)
{
    const sim_peer_t *last = NULL;
    for (const sim_peer_t *other = sim->model->peers; other; other = other->next) {
        if (other != peer && other->epoch && strcmp (other->identity_name, peer->identity_name) == 0
            && (!last || last->epoch < other->epoch))
            last = other;
    }
    /* Liars have random identities too, which are forgotten at once; others are where that is soon. */
    if (!last || last->liar || peer->liar || sim->plan.limits.identity_expiry < 60000)
        return;
    if (last->life == peer->life && peer->attempt <= last->attempt)
        sim_violation (sim, "a connection that its client gave up gets no session",
                       "%s: attempt %u after %u", peer->identity_name, peer->attempt,
                       last->attempt);
    if (last->life != peer->life && peer->resumes)
        sim_violation (sim, "who was displaced does not come back", "%s, peer %llu",
                       peer->identity_name, (unsigned long long) peer->number);
}

static void s_hears_welcome (sim_t *sim, sim_peer_t *peer, const leat_welcome_t *welcome)
{
    /* Few former connections are remembered in some runs. */
    if (peer->live || (peer->ended && sim->plan.limits.former_peers > 100))
        sim_violation (sim, "one session on a connection", "peer %llu is welcomed again",
                       (unsigned long long) peer->number);
    s_check_hello (sim, peer);
    for (sim_peer_t *other = sim->model->peers; other; other = other->next) {
        if (other->live && strcmp (other->identity_name, peer->identity_name) == 0) {
            SIM_COUNT (sim, session_displaced);
            s_peer_ended (sim, other, false);
        }
    }
    if (welcome->epoch <= sim->model->newest_epoch)
        sim_violation (sim, "session epochs only grow", "%llx after %llx",
                       (unsigned long long) welcome->epoch,
                       (unsigned long long) sim->model->newest_epoch);
    sim->model->newest_epoch = welcome->epoch;
    peer->epoch = welcome->epoch;
    peer->live = true;
    peer->welcomed_us = sim->now_us;
    peer->ended = false;
    SIM_COUNT (sim, session_welcomed);
}

static void s_hears_opened (sim_t *sim, sim_peer_t *peer, const leat_opened_t *opened)
{
    sim_channel_t *channel = s_channel (peer, opened->channel, true);
    if (!channel || channel->consumer)
        sim_violation (sim, "OPENED answers OPEN", "peer %llu, channel %u",
                       (unsigned long long) peer->number, opened->channel);
    channel->answered = true;
    channel->limit = opened->limit;
    bool known = opened->flags & LEAT_OPENED_KNOWN;
    if (known)
        SIM_COUNT (sim, opened_known);
    if (peer->identity >= SIM_IDENTITIES_MAX)
        return;
    for (unsigned index = 0; index <= SIM_STREAMS_MAX; index++) {
        if (strcmp (sim_stream_name (index), channel->stream_name) != 0)
            continue;
        sim_sequence_t *sequence = &sim->model->sequences[peer->identity][index];
        sim_stream_t *stream =
            sim_model_stream_by_name (sim->model, leat_text (channel->stream_name));
        bool has = sequence->known;
        if (known
            && sim_model_claimed (sim, stream, peer->identity, sequence, opened->sequence,
                                  UINT64_MAX))
            continue;
        uint64_t expected = has ? sequence->committed : channel->base - 1;
        if (known != has || opened->sequence != expected)
            sim_violation (sim, "OPENED tells the last committed sequence",
                           "peer %llu, stream %s: %s %llu instead of %s %llu",
                           (unsigned long long) peer->number, channel->stream_name,
                           known ? "known" : "unknown", (unsigned long long) opened->sequence,
                           has ? "known" : "unknown", (unsigned long long) expected);
    }
}

/* Credit that was told stands until RECLAIM takes it back; until that is answered none is given. */
static void s_hears_limit (sim_t *sim, const sim_peer_t *peer, sim_channel_t *channel,
                           uint64_t limit)
{
    if (peer->liar)
        return;
    if (limit < channel->limit)
        sim_violation (sim, "credit is taken back by RECLAIM only",
                       "peer %llu, channel %u: %llu after %llu", (unsigned long long) peer->number,
                       channel->number, (unsigned long long) limit,
                       (unsigned long long) channel->limit);
    if (limit > channel->limit && channel->reclaiming)
        sim_violation (sim, "no credit is given while some is taken back",
                       "peer %llu, channel %u: %llu after %llu", (unsigned long long) peer->number,
                       channel->number, (unsigned long long) limit,
                       (unsigned long long) channel->limit);
    channel->limit = limit;
}

static void s_hears_credit (sim_t *sim, sim_peer_t *peer, const leat_credit_t *credit)
{
    sim_channel_t *channel = s_channel (peer, credit->channel, false);
    if (!peer->live)
        return; /* its silence ended it later in the same turn */
    if (!channel || channel->consumer)
        sim_violation (sim, "CREDIT is for a producer's channel", "peer %llu, channel %u",
                       (unsigned long long) peer->number, credit->channel);
    if (!(credit->flags & LEAT_CREDIT_RECLAIM)) {
        s_hears_limit (sim, peer, channel, credit->limit);
        return;
    }
    SIM_COUNT (sim, credit_reclaimed);
    channel->reclaiming = true;
    channel->limit = credit->limit;
}

static void s_hears_confirmed (sim_t *sim, sim_peer_t *peer, const leat_confirmed_t *confirmed)
{
    sim_channel_t *channel = s_channel (peer, confirmed->channel, false);
    if (!channel || channel->consumer)
        sim_violation (sim, "CONFIRMED is for a producer's channel", "peer %llu, channel %u",
                       (unsigned long long) peer->number, confirmed->channel);
    s_hears_limit (sim, peer, channel, confirmed->limit);
    if (peer->identity >= SIM_IDENTITIES_MAX)
        return;
    for (unsigned index = 0; index <= SIM_STREAMS_MAX; index++) {
        if (strcmp (sim_stream_name (index), channel->stream_name) != 0)
            continue;
        sim_sequence_t *sequence = &sim->model->sequences[peer->identity][index];
        sim_stream_t *stream =
            sim_model_stream_by_name (sim->model, leat_text (channel->stream_name));
        if (sim_model_claimed (sim, stream, peer->identity, sequence, confirmed->sequence,
                               confirmed->offset))
            continue;
        if (!sequence->known || confirmed->sequence != sequence->committed
            || confirmed->offset != sequence->offset)
            sim_violation (
                sim, "only what is committed is confirmed",
                "peer %llu, stream %s: %llu at %llu; committed is %llu at %llu",
                (unsigned long long) peer->number, channel->stream_name,
                (unsigned long long) confirmed->sequence, (unsigned long long) confirmed->offset,
                (unsigned long long) sequence->committed, (unsigned long long) sequence->offset);
    }
}

/* An honest client does nothing that would deserve these. */
static bool s_undeserved (sim_t *sim, sim_peer_t *peer, const leat_refused_t *refused)
{
    const sim_channel_t *asked = s_channel (peer, refused->channel, true);
    /* Dead letters that a client knows of may have been lost with the broker. */
    if (refused->code == LEAT_NO_SUCH_STREAM && refused->command == LEAT_ATTACH && asked
        && leat_name_reserved (leat_text (asked->stream_name))
        && !sim_model_stream_by_name (sim->model, leat_text (asked->stream_name)))
        return false;
    switch (refused->code) {
    case LEAT_MALFORMED:
    case LEAT_UNKNOWN_COMMAND:
    case LEAT_UNSUPPORTED_VERSION:
    case LEAT_NOT_HANDLED:
    case LEAT_BAD_STATE:
    case LEAT_BAD_NAME:
    case LEAT_RESERVED_NAME:
    case LEAT_NO_SUCH_STREAM:
    case LEAT_NO_SUCH_GROUP:
    case LEAT_CHANNEL_IN_USE:
    case LEAT_TOO_LARGE:
    case LEAT_BAD_CHECKSUM:
    case LEAT_OVER_CREDIT:
    case LEAT_NOT_ALLOWED:
    case LEAT_STREAM_IN_USE:
        return true;
    default:
        return false;
    }
}

static void s_hears_refused (sim_t *sim, sim_peer_t *peer, const leat_refused_t *refused)
{
    if (refused->code == LEAT_NO_SESSION)
        SIM_COUNT (sim, session_unknown);
    else if (!peer->liar && peer->live && s_undeserved (sim, peer, refused))
        sim_violation (sim, "honest clients are not blamed", "peer %llu: %s refused with %s: %.*s",
                       (unsigned long long) peer->number, leat_command_name (refused->command),
                       leat_code_name (refused->code), (int) refused->reason.size,
                       refused->reason.data);
    if (refused->command == LEAT_PUBLISH && peer->liar)
        SIM_COUNT (sim, publish_refused_lie);
    if (refused->command == LEAT_PUBLISH && !peer->liar) {
        if (refused->code == LEAT_OUT_OF_SEQUENCE)
            SIM_COUNT (sim, publish_out_of_sequence);
        if (refused->code == LEAT_STORE_FULL)
            SIM_COUNT (sim, publish_store_full);
    }
    if (refused->command != LEAT_OPEN && refused->command != LEAT_ATTACH)
        return;
    /* A number in use is refused at once, so it was the youngest that asked for it. */
    sim_channel_t *asked = s_channel (peer, refused->channel, true);
    bool consumer = refused->command == LEAT_ATTACH;
    for (sim_channel_t *channel = peer->channels; channel; channel = channel->next) {
        if (refused->code != LEAT_CHANNEL_IN_USE)
            break;
        if (channel->number == refused->channel && !channel->answered && !channel->ended
            && channel->consumer == consumer) {
            asked = channel;
            break;
        }
    }
    if (asked)
        asked->ended = true;
}

/* Ends its session as lost, for too many offences. */
static void s_hears_dismissal (sim_t *sim, sim_peer_t *peer)
{
    if (!peer->liar)
        sim_violation (sim, "honest clients are not sent away", "peer %llu",
                       (unsigned long long) peer->number);
    SIM_COUNT (sim, session_dismissed);
    s_peer_ended (sim, peer, false);
}

static void s_hears_command (sim_t *sim, sim_peer_t *peer, const leat_command_t *command)
{
    sim_channel_t *channel;
    switch (command->id) {
    case LEAT_WELCOME:
        s_hears_welcome (sim, peer, &command->welcome);
        break;
    case LEAT_FENCED:
        if (peer->live)
            SIM_COUNT (sim, session_displaced);
        s_peer_ended (sim, peer, false);
        break;
    case LEAT_BYE:
        if (command->bye.code == LEAT_NOT_ALLOWED)
            s_hears_dismissal (sim, peer);
        s_peer_ended (sim, peer, true);
        break;
    case LEAT_REFUSED:
        s_hears_refused (sim, peer, &command->refused);
        break;
    case LEAT_OPENED:
        s_hears_opened (sim, peer, &command->opened);
        break;
    case LEAT_CONFIRMED:
        s_hears_confirmed (sim, peer, &command->confirmed);
        break;
    case LEAT_CREDIT:
        s_hears_credit (sim, peer, &command->credit);
        break;
    case LEAT_CLOSED:
        channel = s_channel (peer, command->closed.channel, false);
        if (channel)
            channel->ended = true;
        break;
    case LEAT_ATTACHED:
        channel = s_channel (peer, command->attached.channel, true);
        if (!channel || !channel->consumer)
            sim_violation (sim, "ATTACHED answers ATTACH", "peer %llu, channel %u",
                           (unsigned long long) peer->number, command->attached.channel);
        sim_model_consumer_hears (sim, channel, command);
        break;
    case LEAT_SETTLED:
    case LEAT_EMPTY:
    case LEAT_LEFT:
    case LEAT_RECALL:
    case LEAT_REVOKED:
    case LEAT_DRAIN:
    case LEAT_STALE:
        channel = s_channel (peer, command->close.channel, false);
        if (command->id == LEAT_RECALL && !peer->live)
            break; /* its silence ended it later in the same turn */
        if (!channel || !channel->consumer)
            sim_violation (sim, "answers are for open channels", "peer %llu, channel %u: %s",
                           (unsigned long long) peer->number, command->close.channel,
                           leat_command_name (command->id));
        sim_model_consumer_hears (sim, channel, command);
        break;
    default:
        break;
    }
}

static void s_hears_batches (sim_t *sim, sim_peer_t *peer, const leat_message_t *message)
{
    leat_slice_t slice = message->body;
    uint32_t count = leat_batch_slices (message->header, message->header_size, slice.size);
    uint64_t behind = 0;
    if (!count)
        sim_violation (sim, "the core writes what can be read", "to peer %llu",
                       (unsigned long long) message->peer);
    for (uint32_t index = 0; index < count; index++) {
        leat_batch_t batch;
        leat_batch_decode (&batch, message->header + index * LEAT_BATCH_HEADER_SIZE,
                           LEAT_BATCH_HEADER_SIZE);
        sim_channel_t *channel = s_channel (peer, batch.channel, false);
        if (!channel || !channel->consumer || !peer->live)
            sim_violation (sim, "records go to attached consumers", "peer %llu",
                           (unsigned long long) message->peer);
        slice.size = batch.size;
        sim_model_delivered (sim, channel, &batch, slice, behind);
        slice.offset += slice.size;
        behind = batch.first + batch.count;
    }
}

void sim_model_wrote (sim_t *sim, const leat_message_t *message)
{
    sim_peer_t *peer = sim_model_peer (sim, message->peer);
    leat_command_t command;
    if (message->body.buffer) {
        s_hears_batches (sim, peer, message);
        return;
    }
    if (leat_command_decode (&command, message->header, message->header_size, NULL) != LEAT_OK)
        sim_violation (sim, "the core writes what can be read", "to peer %llu",
                       (unsigned long long) message->peer);
    s_hears_command (sim, peer, &command);
}

/* Peers that misbehave: what counts, when it is enough, and how much may be on its way from whom.
 * SPDX-License-Identifier: MPL-2.0 */

#include "broker/core/state.h"

enum {
    STRANGER_SIZE = 256 * 1024,      /* HELLO and its like, several times over */
    COMMANDS_SIZE = 2 * 1024 * 1024, /* OPEN and ATTACH for all channels of a session at once */
    SETTLE_SIZE = 128                /* SETTLE, REPORT or RETURNED for a record of its own */
};

/* An honest client can get these in numbers: what is in flight behind a refused batch is refused too,
 * and limits, stores and shutdowns are nobody's fault. All but LIMIT_REACHED take credit each time. */
static bool s_is_offence (leat_code_t code)
{
    return code != LEAT_OUT_OF_SEQUENCE && code != LEAT_STORE_FULL && code != LEAT_STORE_FAILED
           && code != LEAT_SHUTTING_DOWN;
}

void core_offence_refused (leat_core_t *core, leat_code_t code)
{
    if (s_is_offence (code))
        core->offended = true;
}

void core_offence (leat_core_t *core)
{
    core->offended = true;
}

void core_cut (leat_core_t *core, uint64_t peer)
{
    if (core->cut_count == CORE_CUTS
        || (core->cut_count && core->cuts[core->cut_count - 1] == peer))
        return;
    core->cuts[core->cut_count++] = peer;
    core->statistics.peers_cut++;
}

bool leat_core_next_cut (leat_core_t *self, uint64_t *peer)
{
    if (!self->cut_count)
        return false;
    *peer = self->cuts[--self->cut_count];
    return true;
}

/* A hundredth of what is allowed is forgiven each second. */
static void s_forgive (leat_core_t *core, core_session_t *session)
{
    uint64_t pause_us = 100 * UINT64_C (1000000) / core->limits.offences;
    uint64_t forgiven = (core->now_us - session->forgiven_us) / (pause_us ? pause_us : 1);
    session->forgiven_us += forgiven * (pause_us ? pause_us : 1);
    session->offences = session->offences > forgiven ? session->offences - forgiven : 0;
}

void core_offence_judge (leat_core_t *core, uint64_t peer)
{
    if (!core->offended)
        return;
    core->offended = false;
    core_session_t *session = core_session_find (core, peer);
    if (!session)
        return;
    s_forgive (core, session);
    if (++session->offences <= core->limits.offences)
        return;
    core_limit_hit (core, LEAT_LIMIT_offences);
    leat_command_t bye = { .id = LEAT_BYE };
    bye.bye.code = LEAT_NOT_ALLOWED;
    bye.bye.retry_after_ms = (uint32_t) core->limits.heartbeat_timeout;
    bye.bye.reason = leat_text ("too many messages that could not be taken; mend the client");
    leat_outbox_command (core->outbox, peer, &bye);
    core_session_end (core, session, false, false);
    core_cut (core, peer);
}

void core_offence_former (leat_core_t *core, core_former_t *former)
{
    if (++former->dropped % (core->limits.offences + 1) == 0)
        core_cut (core, former->peer);
}

uint64_t leat_core_allowance (leat_core_t *self, uint64_t peer)
{
    core_session_t *session = core_session_find (self, peer);
    if (!session)
        return core_former_find (self, peer) ? self->limits.window_size + COMMANDS_SIZE
                                             : STRANGER_SIZE;
    uint64_t size = COMMANDS_SIZE;
    core_channel_t *channel;
    RB_FOREACH (channel, core_channels, &session->channels) {
        const core_producer_t *producer = (const core_producer_t *) channel;
        const core_consumer_t *consumer = (const core_consumer_t *) channel;
        size += channel->consumer ? (uint64_t) SETTLE_SIZE * consumer->leased
                                  : producer->limit - producer->received;
    }
    return size;
}

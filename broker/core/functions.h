/* What the files of the broker's core call of each other. Comes with state.h.
 * SPDX-License-Identifier: MPL-2.0 */
#ifndef LEAT_BROKER_CORE_FUNCTIONS_H
#define LEAT_BROKER_CORE_FUNCTIONS_H

#include "broker/core/state.h"

/* core.c */
uint64_t core_next_epoch (leat_core_t *core);
uint64_t core_random (leat_core_t *core); /* splitmix64 */
/* Orders names by their bytes, shorter before longer. */
int core_name_compare (const char *a, size_t a_size, const char *b, size_t b_size);
void core_limit_hit (leat_core_t *core, leat_limit_id_t limit);
void core_rate_count (leat_core_t *core, core_channel_t *channel, uint64_t records);

/* Answers `command` with REFUSED. */
void core_refuse (leat_core_t *core, uint64_t peer, uint8_t command, uint32_t channel,
                  leat_code_t code, const char *reason);
void core_refuse_full (leat_core_t *core, uint64_t peer, const leat_refused_t *refused);

/* True if an answer to who has no session may be sent: those are limited. Else the peer is cut. */
bool core_stranger_answer (leat_core_t *core, uint64_t peer);

/* offences.c */
/* What is being received was refused with this code; or has no effect. */
void core_offence_refused (leat_core_t *core, leat_code_t code);
void core_offence (leat_core_t *core);
/* After each message: counts it if it was an offence, and ends a session that had too many. */
void core_offence_judge (leat_core_t *core, uint64_t peer);
void core_offence_former (leat_core_t *core, core_former_t *former);
void core_cut (leat_core_t *core, uint64_t peer);

/* sessions.c */
void core_session_hello (leat_core_t *core, uint64_t peer, const leat_hello_t *hello);
void core_session_ping (leat_core_t *core, core_session_t *session, const leat_ping_t *ping);
void core_session_bye (leat_core_t *core, core_session_t *session);
core_session_t *core_session_find (leat_core_t *core, uint64_t peer);
core_former_t *core_former_find (leat_core_t *core, uint64_t peer);
core_channel_t *core_channel_find (core_session_t *session, uint32_t number);
/* False, and refused, if the number is taken or there are too many. */
bool core_channel_free (leat_core_t *core, core_session_t *session, uint8_t command,
                        uint32_t number);
void core_channel_add (core_session_t *session, core_channel_t *channel);
/* Ends a session: `clean` if its consumers had stopped, else they may have started something. */
void core_session_end (leat_core_t *core, core_session_t *session, bool clean, bool displaced);
void core_sessions_destroy (leat_core_t *core);
core_identity_t *core_identity_find (leat_core_t *core, leat_text_t name);
core_identity_t *core_identity_make (leat_core_t *core, leat_text_t name, bool ephemeral);
core_sequence_t *core_sequence_find (core_identity_t *identity, const core_stream_t *stream);
core_sequence_t *core_sequence_make (leat_core_t *core, core_identity_t *identity,
                                     core_stream_t *stream);
void core_sequence_destroy (leat_core_t *core, core_sequence_t *sequence);
/* The commit that forgets its sequences is done, or refused. */
void core_identity_forgotten (leat_core_t *core, core_identity_t *identity);
void core_identity_remembered (leat_core_t *core, core_identity_t *identity);
/* Forgets it now if nothing is to be remembered, else starts its expiry. */
void core_identity_rest (leat_core_t *core, core_identity_t *identity);

/* publishing.c */
void core_publish_open (leat_core_t *core, core_session_t *session, const leat_open_t *open);
/* The next sequence that a channel for publishing takes; 0 if there is no such channel. */
uint64_t core_publish_expected (core_session_t *session, uint32_t number);
void core_publish_close (leat_core_t *core, core_producer_t *producer);
void core_publish_batch (leat_core_t *core, core_session_t *session, const leat_batch_t *batch,
                         leat_buffer_t *body);
/* Is everything there that OPENED needs? */
bool core_producer_may_begin (const core_producer_t *producer);
void core_producer_answer (leat_core_t *core, core_producer_t *producer);
void core_producer_committed (leat_core_t *core, core_batch_t *batch);
/* The store refused the batch, and with it every later one of its producer. */
void core_producer_undone (leat_core_t *core, core_batch_t *batch);
void core_producer_end (leat_core_t *core, core_producer_t *producer);
/* Tells it CONFIRMED, or its new credit, at the end of this turn. */
void core_confirm (leat_core_t *core, core_producer_t *producer);
void core_confirms_send (leat_core_t *core);

/* async.c: calls for batches of other streams do nothing, but for core_async_refused. */
bool core_stream_is_async (const core_stream_t *stream);
/* Has the store know that offsets below `next` may have been told. */
void core_stream_reserve (leat_core_t *core, core_stream_t *stream, uint64_t next);
/* The batch is in a commit that is being built. */
void core_async_added (leat_core_t *core, core_batch_t *batch);
/* The commit is handed to the store: what may be confirmed is. */
void core_async_handed_over (leat_core_t *core, core_commit_t *record);
/* The store has it. */
void core_async_committed (core_batch_t *batch);
/* The store has refused it. */
void core_async_refused (leat_core_t *core, core_batch_t *batch);
/* Commits those again, when it is time. */
void core_async_commit (leat_core_t *core);
/* The broker ends in order: gives back what is reserved and was not used, so that no offset is skipped. */
void core_async_end (leat_core_t *core);

/* fleeting.c */
/* Of streams that nobody asked for. */
static inline leat_durability_t core_usual_durability (const leat_core_t *core)
{
    return core->durable ? LEAT_SYNC : LEAT_MEMORY;
}
/* Its settings are known: where its records are kept. */
void core_stream_begin (leat_core_t *core, core_stream_t *stream);
/* May so many offsets of the stream be given? */
bool core_fleeting_has_offsets (leat_core_t *core, core_stream_t *stream, uint64_t count);
/* Offsets below `end` are given, or asked for: more are reserved in time. */
void core_fleeting_reserve (leat_core_t *core, core_stream_t *stream, uint64_t end);
void core_fleeting_reserve_no_more (leat_core_t *core, core_stream_t *stream);
/* Builds the commit that reserves them; it is done, or refused. */
void core_fleeting_run (leat_core_t *core);
void core_fleeting_reserved (core_commit_t *record);
void core_fleeting_refused (leat_core_t *core, core_commit_t *record);
/* It was done: whoever asked is told. */
void core_fleeting_tell (leat_core_t *core, core_commit_t *record);
/* Memory of the stream is held or granted, or no longer. */
static inline void core_fleeting_grown (leat_core_t *core, const core_stream_t *stream,
                                        uint64_t more, uint64_t less)
{
    if (stream->fleeting)
        core->fleeting_size += more - less;
}

/* credit.c */
void core_credit_begin (leat_core_t *core, core_producer_t *producer);
void core_credit_use (leat_core_t *core, core_producer_t *producer, uint64_t cost);
void core_credit_want (leat_core_t *core, core_producer_t *producer, uint64_t cost);
void core_credit_yielded (leat_core_t *core, core_producer_t *producer, uint64_t limit);
void core_credit_end (leat_core_t *core, core_producer_t *producer);
/* Takes idle grants back, for somebody who needs `size` of memory. */
void core_credit_press (leat_core_t *core, uint64_t size);
void core_credit_run (leat_core_t *core);
/* None of its producers is to be asked whether it needs credit. */
void core_credit_forget (leat_core_t *core, core_stream_t *stream);

/* streams.c */
core_stream_t *core_stream_find (leat_core_t *core, leat_text_t name);
core_stream_t *core_stream_by_id (leat_core_t *core, uint32_t id);
/* New stream object; the caller commits it. */
core_stream_t *core_stream_make (leat_core_t *core, leat_text_t name, uint32_t id);
/* The same, and commits it; NULL at the limit. `settings` may be NULL. */
core_stream_t *core_stream_create (leat_core_t *core, leat_text_t name,
                                   const core_settings_t *settings);
/* Finds or creates (and commits) a stream for a channel; NULL, and refused, if that can't be. */
core_stream_t *core_stream_obtain (leat_core_t *core, core_session_t *session, uint8_t command,
                                   uint32_t channel, leat_text_t name, bool must_exist);
/* The stream for the dead letters of `stream`, created if need be; NULL if the limit is reached. */
core_stream_t *core_stream_for_dead (leat_core_t *core, core_stream_t *stream);
void core_stream_destroy (leat_core_t *core, core_stream_t *stream);
core_group_t *core_group_find (core_stream_t *stream, leat_text_t name);
core_group_t *core_group_by_id (core_stream_t *stream, uint32_t id);
core_group_t *core_group_make (leat_core_t *core, core_stream_t *stream, leat_text_t name,
                               uint32_t id, uint64_t start);
/* The same, and commits it. */
core_group_t *core_group_create (leat_core_t *core, core_stream_t *stream, leat_text_t name,
                                 leat_start_t start, uint64_t value);
void core_group_destroy (leat_core_t *core, core_group_t *group);
/* What others have settled and nobody holds any more, whole batches and what compaction left out,
 * counts as settled for a group that is new. */
void core_group_skip_gone (leat_core_t *core, core_group_t *group);
/* Records in [from, to) that are held nowhere count as settled. Returns how many that were. */
uint64_t core_group_gone (leat_core_t *core, core_group_t *group, uint64_t from, uint64_t to);
/* Records of the range that the group has not settled. */
uint64_t core_group_open (const core_group_t *group, uint64_t first, uint64_t count);
/* Takes back the making of a group that never handed out anything. */
void core_group_undo (leat_core_t *core, core_group_t *group);
/* The offset that a new group begins at; or before it, where a time was asked for and records are away. */
uint64_t core_group_start (const core_stream_t *stream, leat_start_t start, uint64_t value);

/* Do its records stay when they are settled? */
static inline bool core_is_log (const core_stream_t *stream)
{
    return stream->settings.retention == LEAT_RETENTION_LOG;
}
/* Trims committed batches that every group has settled and that are still there. */
void core_stream_trim_rest (leat_core_t *core, core_stream_t *stream);

/* Charged attempts after which a record of the stream is dead, and bytes that its dead letters take at
 * most: what was set for it, or else the broker's limits. */
uint64_t core_attempts (const leat_core_t *core, const core_stream_t *stream);
uint64_t core_dead_size (const leat_core_t *core, const core_stream_t *stream);

/* batches.c */
core_batch_t *core_batch_make (leat_core_t *core, core_stream_t *stream, uint64_t first,
                               uint32_t count, uint8_t attributes, uint32_t crc32c,
                               uint64_t time_ms, leat_buffer_t *body);
void core_batch_destroy (leat_core_t *core, core_batch_t *batch);
/* The batch that has `offset`, or NULL; and the first one that ends beyond it. */
core_batch_t *core_batch_at (core_stream_t *stream, uint64_t offset);
core_batch_t *core_batch_from (core_stream_t *stream, uint64_t offset);
/* The bytes of records [first, first + count) of the batch; count is lowered where the body is in
 * parts. The records must not all be settled. */
leat_slice_t core_batch_slice (core_batch_t *batch, uint64_t first, uint32_t *count);
/* Their bytes, wherever they are. */
uint64_t core_batch_size (core_batch_t *batch, uint64_t first, uint32_t count);
/* Records from `first` on, at most count, whose bytes do not exceed size_max. */
uint32_t core_batch_fit (core_batch_t *batch, uint64_t first, uint32_t count, uint64_t size_max);
/* First record >= `from` of the batch that compaction has left out, with *until the next one that is
 * there; the batch's end if there is none. */
uint64_t core_batch_gone (const core_batch_t *batch, uint64_t from, uint64_t *until);
/* Records were settled by a group: trims the batch, or copies out a small rest. */
void core_batch_settled (leat_core_t *core, core_batch_t *batch, uint64_t count);

/* window.c */
/* Records of the batch are leased, or no longer. */
void core_batch_lease (core_batch_t *batch, uint64_t count);
void core_batch_unlease (leat_core_t *core, core_batch_t *batch, uint64_t count);
/* It was committed, nothing of it is leased: it may go away. */
void core_batch_rest (leat_core_t *core, core_batch_t *batch);
/* It goes for good. */
void core_batch_rest_no_more (core_batch_t *batch);
/* Every group of its log has settled all of it: it goes away first. */
void core_batch_spent (leat_core_t *core, core_batch_t *batch);
/* Parts a node that is away, so that one begins at `offset`; `size` is what is before that takes. */
void core_batch_part (core_stream_t *stream, uint64_t offset, uint64_t size);
/* Asks for the headers of `count` batches from `offset` on. */
void core_look (leat_core_t *core, core_stream_t *stream, uint64_t offset, uint32_t count);
/* The same for a group (since.c). Returns a token; 0 if too much is being read: the group is woken. */
uint64_t core_look_for (leat_core_t *core, core_group_t *group, uint64_t offset, uint32_t count);
/* A group needs so many records less of a batch that is away. */
void core_batch_passed (leat_core_t *core, core_batch_t *batch, uint64_t count);
/* Asks for the batch that has `offset`, alone or with those `behind` it, unless that was done. What is
 * idle goes if there is no memory otherwise: a batch that the caller looks at may be away afterwards.
 * Groups that find no memory take turns. */
void core_read (leat_core_t *core, core_group_t *group, uint64_t offset, bool behind);
/* Asks for what will be needed next, if there is memory for it. */
void core_read_ahead (leat_core_t *core, core_stream_t *stream, uint64_t offset);
void core_reads_drop (leat_core_t *core, const core_stream_t *stream);
/* Memory for `size` that does not come from producers' credit, made if need be: likewise. */
bool core_window_has_room (leat_core_t *core, uint64_t size);
/* Memory that somebody needs to read into before producers get more. */
uint64_t core_reads_want (const leat_core_t *core);
/* Memory was freed: the group that has had none to read into for longest may ask again in this turn. */
void core_reads_retry (leat_core_t *core);
/* It has not: it has nobody to read for any more, and it is the next one's turn. False if it has. */
bool core_reads_pass_on (leat_core_t *core);
/* The group waits for memory no longer. */
void core_reads_no_more (leat_core_t *core, core_group_t *group);
/* Lets go of what is not needed soon. */
void core_windows_close (leat_core_t *core);
/* Records from `first` on that are at the store alone; the only thing that recovery tells of them. */
void core_batch_make_away (leat_core_t *core, core_stream_t *stream, uint64_t first, uint64_t count,
                           uint64_t size);

/* since.c */
/* The group, a new one, begins at the first record that was made at or after a time, of what it has. */
void core_since_begin (leat_core_t *core, core_group_t *group, uint64_t time_ms);
/* True if the group's first record is known; else goes on looking for it, if nobody does. */
bool core_since_found (leat_core_t *core, core_group_t *group);
/* What came for a look of a group. */
void core_since_looked (leat_core_t *core, core_read_t *read, leat_code_t code,
                        const leat_batch_t *batch, bool last);

/* retention.c */
/* A header that was asked for; NULL if there is none. `last`: no more come. */
void core_looked (leat_core_t *core, core_stream_t *stream, const core_header_t *header, bool last);

/* settled.c */
void core_settled_begin (core_settled_t *settled, uint64_t floor);
void core_settled_clear (core_settled_t *settled);
bool core_settled_has (const core_settled_t *settled, uint64_t offset);
/* Sets bits that are all unset. */
void core_settled_add (core_settled_t *settled, uint64_t first, uint64_t count);
/* First offset >= `from` that is not settled, and first > `from` that is (or UINT64_MAX). */
uint64_t core_settled_next_open (const core_settled_t *settled, uint64_t from);
uint64_t core_settled_next_settled (const core_settled_t *settled, uint64_t from);
/* Nothing at or above this is settled. */
uint64_t core_settled_end (const core_settled_t *settled);
/* The chunk is not in a commit yet; or it is. */
void core_chunk_changed (core_settled_t *settled, core_chunk_t *chunk);
void core_chunk_written (core_chunk_t *chunk);

/* groups.c */
/* Something changed: look whether records can go out, or whether none are left. */
void core_group_wake (leat_core_t *core, core_group_t *group);
/* The same for all groups of the stream. */
void core_groups_wake (leat_core_t *core, core_stream_t *stream);
/* Commits what is to go with settles soon. */
void core_settle_soon (leat_core_t *core, core_lane_t *lane);
/* Settled state or marks changed: commit them soon. */
void core_group_dirty (leat_core_t *core, core_group_t *group);
/* Records, none of them settled yet, are settled. */
void core_group_settle (leat_core_t *core, core_group_t *group, uint64_t first, uint64_t count);
void core_group_return (leat_core_t *core, core_group_t *group, uint64_t first, uint64_t count);
/* Takes what is in [from, to) out of the returned ranges. */
void core_group_return_no_more (core_group_t *group, uint64_t from, uint64_t to);
core_mark_t *core_mark_find (core_group_t *group, uint64_t offset);
core_mark_t *core_mark_make (leat_core_t *core, core_group_t *group, uint64_t offset);
void core_mark_set (leat_core_t *core, core_mark_t *mark, core_mark_state_t state);
void core_mark_destroy (leat_core_t *core, core_mark_t *mark);
/* It is not in a commit yet; or it is. */
void core_mark_changed (leat_core_t *core, core_mark_t *mark);
void core_mark_written (core_mark_t *mark);
void core_mark_delay (leat_core_t *core, core_mark_t *mark, uint64_t delay_ms);
/* One attempt more. False if that was the last one and it is on its way to be a dead letter. */
bool core_mark_charge (leat_core_t *core, core_mark_t *mark, leat_code_t code);
/* Goes out alone next. */
void core_mark_suspect (leat_core_t *core, core_mark_t *mark);
/* It was leased and not started: waits again as before. */
void core_mark_release (leat_core_t *core, core_mark_t *mark);
/* Leased records that were not started wait again: `mark` is that of a marked one, or NULL. */
void core_group_give_back (leat_core_t *core, core_group_t *group, uint64_t first, uint64_t count,
                           core_mark_t *mark);
void core_mark_kill (leat_core_t *core, core_mark_t *mark, leat_code_t code, leat_text_t reason);
/* Builds dead letters of the marks that are dying into data commits. */
void core_dying_commit (leat_core_t *core);
bool core_group_is_empty (const core_group_t *group);
/* Look at the end of this turn whether it is empty, if anybody asks about it. */
void core_group_asked (leat_core_t *core, core_group_t *group);
void core_groups_tell_empty (leat_core_t *core);
uint64_t core_group_ready (const core_group_t *group);

/* leases.c */
core_lease_t *core_lease_make (leat_core_t *core, core_consumer_t *consumer, uint64_t first,
                               uint32_t count, uint64_t size, core_mark_t *mark);
/* Does `what` to every part of the consumer's leases under `epoch` in the range; the parts are taken
 * out of the leases first. Returns how many records that were; the caller places the consumer once it has
 * taken all (balance.h). */
typedef void (core_lease_fn) (leat_core_t *core, core_consumer_t *consumer, uint64_t first,
                              uint32_t count, core_mark_t *mark, void *arg);
uint32_t core_leases_take (leat_core_t *core, core_consumer_t *consumer, const leat_range_t *range,
                           bool started, core_lease_fn *fn, void *arg);
/* Everything goes back: clean, or with suspects. */
void core_leases_end (leat_core_t *core, core_consumer_t *consumer, bool clean);
/* Records at positions below this may have been started. */
uint64_t core_consumer_boundary (const core_consumer_t *consumer);
/* How many records it may be asked for: those that certainly were not started, and once it is busy with
 * one that it has reported, those that it may have started without a word, too. */
uint32_t core_consumer_askable (const core_consumer_t *consumer);
/* Raises what is reported. */
void core_consumer_reported (core_consumer_t *consumer, uint64_t position);

/* delivering.c */
void core_deliver_attach (leat_core_t *core, core_session_t *session, const leat_attach_t *attach);
void core_deliver_command (leat_core_t *core, core_consumer_t *consumer,
                           const leat_command_t *command);
bool core_consumer_may_begin (const core_consumer_t *consumer);
void core_consumer_answer (leat_core_t *core, core_consumer_t *consumer);
void core_consumer_end (leat_core_t *core, core_consumer_t *consumer, bool clean);
void core_waiter_answer (leat_core_t *core, core_waiter_t *waiter);

/* dispatch.c */
void core_dispatch (leat_core_t *core);

/* commits.c */
/* Where commits of the stream's records and settles go, and those of all that is to outlive the broker:
 * streams, groups, their settings. */
static inline core_lane_t *core_lane (leat_core_t *core, const core_stream_t *stream)
{
    return &core->lanes[stream->fleeting ? CORE_FLEETING : CORE_STORED];
}

static inline core_lane_t *core_stored (leat_core_t *core)
{
    return &core->lanes[CORE_STORED];
}
/* The data commit that is being built. */
leat_commit_t *core_data (leat_core_t *core, core_lane_t *lane);
/* What comes next goes into another one. */
void core_data_close (leat_core_t *core, core_lane_t *lane);
void core_data_add_batch (leat_core_t *core, core_batch_t *batch);
void core_data_add_dead (leat_core_t *core, core_mark_t *mark, const leat_operation_t *operation);
void core_data_add_stream (leat_core_t *core, core_stream_t *stream);
void core_data_add_group (leat_core_t *core, core_group_t *group);
void core_trim (leat_core_t *core, const core_batch_t *batch);
void core_waiter_add (leat_core_t *core, core_consumer_t *consumer, uint64_t token, bool leave);
void core_waiters_drop (core_consumer_t *consumer);
void core_commits_build (leat_core_t *core);
/* Does all commits of fleeting streams that can be built. */
void core_fleeting_commit (leat_core_t *core);
static inline bool core_fleeting_due (const leat_core_t *core)
{
    const core_lane_t *lane = &core->lanes[CORE_FLEETING];
    return lane->data || lane->settles_due;
}
bool core_commits_idle (const leat_core_t *core);
void core_commits_destroy (leat_core_t *core);

/* recovery.c */
/* Finds what is ready in a group: when it is made, and when it is recovered. */
void core_group_begin (leat_core_t *core, core_group_t *group);
/* What is open, and not marked, is ready from now on. */
void core_group_go_on (leat_core_t *core, core_group_t *group);
/* Recovery is over. */
void core_recovered (leat_core_t *core);

RB_PROTOTYPE (core_timers, core_timer, by_due, core_timer_compare)
RB_PROTOTYPE (core_identities, core_identity, by_name, core_identity_compare)
RB_PROTOTYPE (core_sequences, core_sequence, by_stream, core_sequence_compare)
RB_PROTOTYPE (core_sessions, core_session, by_peer, core_session_compare)
RB_PROTOTYPE (core_channels, core_channel, by_number, core_channel_compare)
RB_PROTOTYPE (core_formers, core_former, by_peer, core_former_compare)
RB_PROTOTYPE (core_streams, core_stream, by_name, core_stream_compare)
RB_PROTOTYPE (core_streams_by_id, core_stream, by_id, core_stream_compare_id)
RB_PROTOTYPE (core_batches, core_batch, by_first, core_batch_compare)
RB_PROTOTYPE (core_chunks, core_chunk, by_number, core_chunk_compare)
RB_PROTOTYPE (core_ranges, core_range, by_first, core_range_compare)
RB_PROTOTYPE (core_marks, core_mark, by_offset, core_mark_compare)
RB_PROTOTYPE (core_groups, core_group, by_name, core_group_compare)
RB_PROTOTYPE (core_leases, core_lease, by_epoch, core_lease_compare)

#endif

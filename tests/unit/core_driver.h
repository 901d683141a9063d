/* Drives the broker's core as its header says, with peers and a store that the test plays.
 * SPDX-License-Identifier: MPL-2.0 */
#ifndef LEAT_TESTS_UNIT_CORE_DRIVER_H
#define LEAT_TESTS_UNIT_CORE_DRIVER_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "broker/core/core.h"
#include "broker/core/statistics.h"
#include "wire/command.h"
#include "wire/crc32c.h"
#include "wire/record.h"

/* A message that the core sent; texts and lists in `command` are views of `frame`. */
typedef struct {
    uint64_t peer;
    bool is_batch;
    leat_command_t command;
    leat_batch_t batch;
    leat_buffer_t *frame;
    leat_buffer_t *body; /* a copy: what was on the wire at that moment */
} driver_message_t;

/* How the store answers what is handed to it. */
typedef enum {
    DRIVER_OK,    /* at once */
    DRIVER_HOLD,  /* when the test calls driver_complete */
    DRIVER_REFUSE /* at once, with the rest of the chain */
} driver_store_t;

enum { DRIVER_MESSAGES = 4096, DRIVER_COMMITS = 4096, DRIVER_PEERS = 64 };

typedef struct {
    leat_core_t *core;
    leat_limits_t limits;
    uint64_t now_us;
    uint64_t wall_ms;
    uint64_t incarnation;
    uint64_t seed;
    bool durable;
    bool reads;         /* the store reads back; the test answers leat_core_next_read */
    bool beats;         /* driver_wait sends PING for every peer that said HELLO, and drops PONG */
    bool hasty;         /* no leat_core_check: it looks at every record */
    size_t record_size; /* of the body of each record that driver_publish makes, at least */
    uint64_t alive[DRIVER_PEERS];
    size_t alive_count;
    uint32_t attempt; /* of the last HELLO */
    driver_message_t inbox[DRIVER_MESSAGES];
    size_t inbox_count;
    driver_message_t last; /* what driver_expect gave out */
    driver_store_t store;
    leat_buffer_t *kept[DRIVER_COMMITS]; /* what the store has, encoded */
    size_t kept_count;
    leat_commit_t *pending[DRIVER_COMMITS]; /* handed over and not answered */
    size_t pending_count;
    uint64_t last_commit;
    uint32_t refused_chain; /* and every one before it, if any_refused */
    bool any_refused;
} driver_t;

/* A new core with these limits (NULL for the defaults) and an empty store, at some time. */
driver_t *driver_new (const leat_limits_t *limits);
void driver_destroy (driver_t **self_p);
/* The defaults, for a test to change, but for work_in_hand: consumers of tests take their time, which
 * must not matter where balancing is not looked at. */
leat_limits_t driver_limits (void);

/* Another core takes over what the store has kept; nobody has a session any more. */
void driver_restart (driver_t *self);
/* As driver_restart, but without the first tick. Returns what leat_core_recover said. */
leat_code_t driver_recover (driver_t *self);
/* The store has one commit more, made of these operations, which the core has not written. */
void driver_keep (driver_t *self, const leat_operation_t *operations, size_t count);

/* One turn: run, store, run, collect what goes out, check. */
void driver_turn (driver_t *self);
/* Lets time pass in steps that sessions survive. */
void driver_wait (driver_t *self, uint64_t ms);
/* Lets time pass in one step, as if the process had been stopped. */
void driver_leap (driver_t *self, uint64_t ms);
/* Answers the oldest `count` pending commits (0: all); those after a refused one of the same chain
 * are refused whatever `result` says. */
void driver_complete (driver_t *self, size_t count, leat_commit_result_t result);

/* ---- what peers send; each is followed by a turn --------------------------------------------- */

void driver_send (driver_t *self, uint64_t peer, const leat_command_t *command);
/* The same without a turn. */
void driver_post (driver_t *self, uint64_t peer, const leat_command_t *command);
/* Raw frames. */
void driver_send_frames (driver_t *self, uint64_t peer, unsigned frames, const void *header,
                         size_t header_size, const void *body, size_t body_size);
void driver_lose (driver_t *self, uint64_t peer);

/* HELLO of a fresh client, with a life that belongs to the peer, and the WELCOME. */
void driver_hello (driver_t *self, uint64_t peer, const char *identity);
leat_command_t driver_hello_command (driver_t *self, uint64_t life, const char *identity);
/* OPEN with base 1, and the OPENED; returns its limit. */
uint64_t driver_open (driver_t *self, uint64_t peer, uint32_t channel, const char *stream);
leat_command_t driver_open_command (uint32_t channel, const char *stream, uint64_t base);
/* ATTACH to group "default", and the ATTACHED. */
void driver_attach (driver_t *self, uint64_t peer, uint32_t channel, const char *stream,
                    uint32_t credit, uint32_t max_unreported);
leat_command_t driver_attach_command (uint32_t channel, const char *stream, const char *group,
                                      uint32_t credit, uint32_t max_unreported);

/* Body of a PUBLISH of records `first` to `first` + count - 1: see driver_text. */
leat_buffer_t *driver_body (const driver_t *self, uint64_t first, uint32_t count);
/* Sends such a PUBLISH; no answer is looked at. */
void driver_publish (driver_t *self, uint64_t peer, uint32_t channel, uint64_t first,
                     uint32_t count);
void driver_publish_flight (driver_t *self, uint64_t peer, uint32_t channel, uint64_t first,
                            uint32_t count, uint32_t flight);
/* What that costs. */
uint64_t driver_cost (const driver_t *self, uint64_t first, uint32_t count);
/* Any batch with its body, as they are. */
void driver_send_batch (driver_t *self, uint64_t peer, const leat_batch_t *batch,
                        leat_buffer_t *body);

void driver_settle (driver_t *self, uint64_t peer, uint32_t channel, uint64_t epoch, uint64_t first,
                    uint32_t count, leat_outcome_t outcome);
/* With all there is; a token other than 0 asks for SETTLED. */
void driver_settle_full (driver_t *self, uint64_t peer, uint32_t channel,
                         const leat_settle_entry_t *entries, uint32_t count, uint64_t token,
                         const char *reason);
void driver_report (driver_t *self, uint64_t peer, uint32_t channel, uint64_t position);
void driver_return (driver_t *self, uint64_t peer, uint32_t channel, uint64_t epoch, uint64_t first,
                    uint32_t count);
void driver_allow (driver_t *self, uint64_t peer, uint32_t channel, uint32_t records,
                   uint64_t size);
void driver_leave (driver_t *self, uint64_t peer, uint32_t channel);
void driver_ask_empty (driver_t *self, uint64_t peer, uint32_t channel, uint64_t token);

/* ---- what comes out -------------------------------------------------------------------------- */

/* Messages that wait for the peer. */
size_t driver_waiting (const driver_t *self, uint64_t peer);
/* The oldest message for the peer, which must be that command; valid until the next call. */
const leat_command_t *driver_expect (driver_t *self, uint64_t peer, leat_command_id_t id);
/* The same for REFUSED with that code. */
/* The refusal says, for people, this. */
void driver_expect_says (const leat_refused_t *refused, const char *text);
const leat_refused_t *driver_expect_refused (driver_t *self, uint64_t peer, uint8_t command,
                                             leat_code_t code);
/* The oldest message for the peer must be a DELIVER of those records, whose offsets are their
 * sequences - 1; payload and checksum are looked at. Returns the header. */
leat_batch_t driver_expect_deliver (driver_t *self, uint64_t peer, uint32_t channel, uint64_t first,
                                    uint32_t count);
/* Any DELIVER, checked likewise. */
leat_batch_t driver_expect_any_deliver (driver_t *self, uint64_t peer);
/* A DELIVER of `count` records from `offset` on, with the payload of those from `sequence` on: a crash has
 * left offsets out. */
leat_batch_t driver_expect_records (driver_t *self, uint64_t peer, uint64_t offset,
                                    uint64_t sequence, uint32_t count);
/* Nothing waits for the peer. */
void driver_expect_nothing (driver_t *self, uint64_t peer);
/* Drops what waits for the peer, or for all with 0. */
void driver_drop (driver_t *self, uint64_t peer);

leat_statistics_t driver_statistics (const driver_t *self);
leat_group_statistics_t driver_group (const driver_t *self, const char *stream);
leat_stream_statistics_t driver_stream (const driver_t *self, const char *stream);

/* The text that record `sequence` has, in a static buffer. */
const char *driver_text (const driver_t *self, uint64_t sequence, size_t *size);

#endif

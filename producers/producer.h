/* What the application's and the client's side of a producer share.
 * SPDX-License-Identifier: MPL-2.0 */
#ifndef LEAT_PRODUCERS_PRODUCER_H
#define LEAT_PRODUCERS_PRODUCER_H

#include "client/client_state.h"
#include "client/drive.h"
#include "leat_producer.h"
#include "producers/flume.h"
#include "producers/producer_engine.h"

/* When the application has to look whether the client's thread sleeps: while that thread could not
 * send more anyway, it is not woken by each record. */
typedef enum {
    LEAT_WAKE_BY_RECORD, /* everything is taken */
    LEAT_WAKE_BY_CHUNK,  /* batches are being filled */
    LEAT_WAKE_NEVER      /* no credit or no channel; the broker's answer wakes it */
} leat_wake_t;

struct leat_producer {
    leat_port_t port; /* first */
    leat_gate_t gate;
    leat_flume_t flume;

    /* Constant. */
    uint64_t window_size;
    uint32_t record_size_max;
    uint32_t batch_size;
    uint32_t linger_us;
    bool is_replay;
    bool fail_when_full;
    uint32_t send_timeout_ms;

    /* The application's thread. */
    uint64_t sent;      /* records */
    uint64_t sent_size; /* bytes */
    size_t reserved;    /* bytes of an encoded record without its body; 0: nothing */
    bool is_extended;   /* a record had a key or headers */

    /* Written by the client's thread. */
    atomic_int wake;                /* leat_wake_t */
    _Atomic uint64_t released_size; /* of sent_size, confirmed */
    _Atomic uint64_t confirmed;
    _Atomic uint64_t known; /* UINT64_MAX: not told yet */
    atomic_int verdict;     /* 0, EPIPE or ESHUTDOWN: for good */

    /* Set when the application waits for confirmations, counted down by the client's thread: it is
     * expected to wait for those of so many batches more. */
    atomic_uint hurry;

    /* What released_size has to be for the application to go on; UINT64_MAX: it does not wait. And
     * whether it is room that it waits for: then it has more to send. */
    _Atomic uint64_t awaited_size;
    atomic_bool is_full;

    /* The client's thread. */
    leat_producer_engine_t *engine;
    bool is_added;     /* to the session */
    bool is_opened;    /* once */
    bool is_abandoned; /* by the application */
    bool was_over;     /* the engine, and those outside were told */
    bool is_closing;   /* leat_producer_engine_close was called */
    uint64_t skip;     /* records to be passed over as known */
    uint64_t base;     /* what the engine counts before the first record */
    uint64_t taken_size;
    uint64_t held_us;          /* since when records wait for others; 0: they do not */
    bool is_held;              /* records wait until the application has room for more */
    uint64_t filling_until_us; /* so long it is expected to fill chunks; 0: it is not */
    uint64_t told;             /* last sequence that the callback was given */
    leat_confirmed_fn *confirmed_fn;
    void *arg;

    leat_fault_t fault; /* within the gate */
};

/* See `hurry`. */
enum { LEAT_HURRY_BATCHES = 16 };

extern const leat_port_ops_t leat_producer_port_ops;

/* Passes over `count` records that the broker has. On the client's thread. */
void leat_producer_port_skip (leat_producer_t *self, uint64_t count);

#endif

/* All journals of a run, read into memory.
 * SPDX-License-Identifier: MPL-2.0 */
#ifndef LEAT_FAULTS_EVIDENCE_H
#define LEAT_FAULTS_EVIDENCE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define EVIDENCE_UNKNOWN UINT64_MAX

/* Times are microseconds of fault_clock_us. */
typedef struct {
    char id[64];
    char target[32];
    char what[64];
    uint64_t begin_us;
    uint64_t finish_us; /* UINT64_MAX: never */
} evidence_fault_t;

/* A broker's life; what was in its memory ended with it. */
typedef struct {
    uint64_t launch_us;
    uint64_t incarnation;
    uint64_t stopping_us; /* UINT64_MAX: never told to stop */
} evidence_era_t;

/* A process: "p1.2" is the second one of the peer "p1". */
typedef struct {
    char name[32];
    char peer[32];
    bool is_producer;
    uint64_t number; /* of a producer */
    uint64_t seed;
    uint64_t known; /* of a producer: what its broker had of it when it began */
    uint64_t start_us;
    bool has_ended;
    uint64_t killed_us; /* UINT64_MAX: never */
    char error[200];    /* its first one */
    uint64_t *losses;   /* when each was noticed; the first one at [0] */
    size_t loss_count;
    uint64_t
        *lates; /* pairs: when the process had been kept waiting by the machine, and for how long */
    size_t late_count;
    uint64_t stale, received; /* as it told at its end */
    size_t last_got;          /* while reading: its last delivery, SIZE_MAX: none */
} evidence_instance_t;

typedef enum { EVIDENCE_NO_FATE, EVIDENCE_ACK, EVIDENCE_NACK } evidence_fate_t;

typedef struct {
    uint64_t time_us;
    size_t instance;
    uint64_t offset, epoch, producer, sequence, size, hash;
    uint64_t before, after; /* the consumer's losses around the receiving call */
    uint32_t attempt;
    bool redelivered;
    evidence_fate_t fate;
    uint64_t fate_losses;
    bool is_committed;   /* its ack was flushed while no session was lost */
    size_t era;          /* set by the checker */
    size_t previous_got; /* of the same instance, SIZE_MAX: none */
} evidence_delivery_t;

/* A producer was told that it has everything up to `sequence`. */
typedef struct {
    uint64_t time_us;
    size_t instance;
    uint64_t sequence, offset, losses;
} evidence_confirmed_t;

typedef struct {
    uint64_t producer, sequence, size;
} evidence_sent_t;

/* A growing array of each. */
typedef struct {
    evidence_fault_t *faults;
    evidence_era_t *eras;
    evidence_instance_t *instances;
    evidence_delivery_t *deliveries;
    evidence_confirmed_t *confirmed;
    evidence_sent_t *sent;
    size_t fault_count, era_count, instance_count, delivery_count, confirmed_count, sent_count;
} evidence_t;

/* Reads every *.journal of a folder. A last line without line feed is ignored; any other line that
 * cannot be read ends the process with code 2 and a sentence. */
evidence_t *evidence_read (const char *folder);
void evidence_destroy (evidence_t **self_p);

#endif

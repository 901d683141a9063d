/* What a process of the tests with faults writes down; it survives whatever happens to the process.
 * SPDX-License-Identifier: MPL-2.0 */
#ifndef LEAT_FAULTS_JOURNAL_H
#define LEAT_FAULTS_JOURNAL_H

#include <stdint.h>

/* A file of lines "TIME WORD NUMBER...", TIME in microseconds of a clock that all processes of a
 * machine share. A line is one write(2) at the end of the file, so a process that is killed has
 * written all of it or a part without a line feed, which readers ignore.
 *
 * of a producer                            of a consumer
 *      start producer NUMBER SEED               start consumer SEED
 *      known SEQUENCE                           got OFFSET EPOCH ATTEMPT REDELIVERED PRODUCER SEQUENCE
 *      sent SEQUENCE SIZE        (before)           SIZE HASH BEFORE AFTER
 *      confirmed SEQUENCE OFFSET LOSSES         ack OFFSET EPOCH LOSSES    (before it is said)
 *      loss LOSSES                              nack OFFSET EPOCH LOSSES   (likewise)
 *      late MICROSECONDS                        flushed LOSSES
 *      end SENT CONFIRMED LOSSES                loss LOSSES
 *      error TEXT                               late MICROSECONDS
 *                                               end RECEIVED STALE LOSSES
 * of who makes faults                           error TEXT
 *      launch               a broker is about to be started
 *      running INCARNATION  it answers
 *      stopping             it is about to be told to end
 *      begin ID TARGET WHAT     TARGET: a peer's name, or "broker"
 *      finish ID
 *      kill INSTANCE
 *      busy MICROSECONDS    the machine ran nobody for so long
 *
 * LOSSES is leat_client_losses, BEFORE and AFTER the receiving call; OFFSET is 2^64-1 if unknown. */
typedef struct fault_journal fault_journal_t;

/* Ends the process with a sentence if the file cannot be opened. */
fault_journal_t *fault_journal_new (const char *path);
void fault_journal_destroy (fault_journal_t **self_p);

/* Any thread may write. Ends the process with a sentence if it cannot be written. */
void fault_journal_write (fault_journal_t *self, const char *format, ...)
    __attribute__ ((format (printf, 2, 3)));

uint64_t fault_clock_us (void);

#endif

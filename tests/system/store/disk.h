/* A disk that the test has in its hand: what the engine writes and syncs comes by here.
 * SPDX-License-Identifier: MPL-2.0 */
#ifndef LEAT_TESTS_STORE_DISK_H
#define LEAT_TESTS_STORE_DISK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* A program that is linked with disk.c has functions named pwrite, writev, write, fdatasync, fsync,
 * ftruncate, fallocate and fstatfs of its own, which the libraries then call too. Those of files whose name ends in
 * "/data.mdb" or "/journal" are recorded or fail as told here; all others go to the system. Any thread. */

typedef enum { DISK_DATA, DISK_JOURNAL, DISK_FILES } disk_file_t;

typedef enum { DISK_WRITE, DISK_SYNC, DISK_TRUNCATE, DISK_MARK } disk_kind_t;

typedef struct {
    disk_kind_t kind;
    disk_file_t file; /* but for MARK */
    uint64_t offset;  /* WRITE; TRUNCATE: the size; MARK: what was given */
    size_t size;
    uint8_t *bytes;
    bool durable; /* WRITE through a descriptor with O_DSYNC: a sync of itself */
} disk_event_t;

/* The name of a file in the directory of a store. */
extern const char *const disk_names[DISK_FILES];

/* From here on events are recorded, until disk_events gives them; they are valid until disk_forget. */
void disk_record (void);
void disk_mark (uint64_t number);
const disk_event_t *disk_events (size_t *count);
void disk_forget (void);

typedef enum { DISK_NO_FAULT, DISK_FAIL_WRITE, DISK_FAIL_META, DISK_FAIL_SYNC } disk_fault_t;

/* The next write (through a descriptor without or, META, with O_DSYNC), or sync, and all later ones, fail
 * with this errno; 0 as errno: a write is cut short. */
void disk_fail (disk_fault_t fault, int code);

/* What fallocate does from here on: 0 its work; an errno, it fails; or it says yes and does nothing. */
enum { DISK_KEEPS_NOTHING = -1 };
void disk_keep_blocks (int code);

/* What fstatfs says of the type of every filesystem; 0: the truth. */
void disk_pretend_type (long type);

#endif

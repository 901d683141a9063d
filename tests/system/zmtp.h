/* A peer that speaks ZMTP by itself: no thread, no queue, and it can say what libzmq would not.
 * SPDX-License-Identifier: MPL-2.0 */
#ifndef LEAT_TESTS_SYSTEM_ZMTP_H
#define LEAT_TESTS_SYSTEM_ZMTP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "wire/command.h"

/* ZMTP 3.1 with the NULL mechanism over blocking sockets (RFC 37 of ZeroMQ). What it has written is in
 * the kernel, so it arrives even if the process is killed at once. Usable after fork(2): nothing here
 * takes a lock. Functions return false when the connection is gone or nothing comes for
 * ZMTP_PATIENCE_MS. */
enum { ZMTP_PATIENCE_MS = 20000, ZMTP_FRAME_MAX = 64 * 1024 };

/* Flags of a frame. */
enum { ZMTP_MORE = 1, ZMTP_LONG = 2, ZMTP_COMMAND = 4 };

/* Connects to tcp://127.0.0.1:PORT or ipc://PATH and greets as a DEALER; -1 if that fails. */
int zmtp_open (const char *endpoint);

/* Connects only. */
int zmtp_connect (const char *endpoint);

/* Appends a frame to `bytes`, which must have 9 bytes more room than `size`; its size with its head. */
size_t zmtp_frame (uint8_t *bytes, unsigned flags, const void *body, size_t size);

bool zmtp_write (int fd, const void *bytes, size_t size);
bool zmtp_send (int fd, unsigned flags, const void *body, size_t size);

/* The next frame; one above ZMTP_FRAME_MAX is an error. */
bool zmtp_receive (int fd, unsigned *flags, uint8_t body[ZMTP_FRAME_MAX], size_t *size);

/* Commands of Leat, at most 1 KiB. */
bool zmtp_send_command (int fd, const leat_command_t *command);

/* HELLO under that identity, and waits for WELCOME. */
bool zmtp_greet (int fd, const char *identity);

/* Skips messages until the first frame of one begins with that command; leaves it in `body`. */
bool zmtp_expect (int fd, uint8_t command, uint8_t body[ZMTP_FRAME_MAX], size_t *size,
                  unsigned *flags);

#endif

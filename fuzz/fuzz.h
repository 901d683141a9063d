/* The one function that every fuzz target has: libFuzzer calls it, or replay.c does.

   SPDX-License-Identifier: MPL-2.0 */

#ifndef LEAT_FUZZ_H
#define LEAT_FUZZ_H

#include <stddef.h>
#include <stdint.h>

/* Runs the subject once over `size` bytes at `data`, which stay the caller's. Crashes when the
   subject is wrong; returns 0. Keeps nothing from one call to the next. */
int LLVMFuzzerTestOneInput (const uint8_t *data, size_t size);

#endif

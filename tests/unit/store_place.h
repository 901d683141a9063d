/* Directories for stores under test, and their end.
 * SPDX-License-Identifier: MPL-2.0 */
#ifndef LEAT_TESTS_STORE_PLACE_H
#define LEAT_TESTS_STORE_PLACE_H

#include "tests/unit/store_conformance.h"

/* The name of a directory that does not exist yet, in one that does; valid until store_place_end. */
const char *store_place (void);

/* Removes everything that store_place led to. */
void store_place_end (void);

#endif

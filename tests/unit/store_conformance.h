/* What every store engine must do: one suite that takes the engine's table.
 * SPDX-License-Identifier: MPL-2.0 */
#ifndef LEAT_TESTS_STORE_CONFORMANCE_H
#define LEAT_TESTS_STORE_CONFORMANCE_H

#include "broker/store/store.h"

typedef struct {
    const leat_store_engine_t *engine;
    /* Gives a place where nothing is yet, for leat_store_options_t.path; NULL for engines that need
     * none. Ends with the process. */
    const char *(*place) (void);
} store_subject_t;

/* Runs the suite under cmocka; returns the number of tests that failed. */
int store_conformance (const store_subject_t *subject);

#endif

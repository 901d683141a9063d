/* The memory engine does what every engine must.
 * SPDX-License-Identifier: MPL-2.0 */
#include "tests/unit/store_conformance.h"

int main (void)
{
    const store_subject_t subject = { .engine = &leat_store_memory };
    return store_conformance (&subject);
}

/* The LMDB engine does what every engine must.
 * SPDX-License-Identifier: MPL-2.0 */
#include "tests/unit/store_place.h"

int main (void)
{
    const store_subject_t subject = { .engine = &leat_store_lmdb, .place = store_place };
    int failed = store_conformance (&subject);
    store_place_end ();
    return failed;
}

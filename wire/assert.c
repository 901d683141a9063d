/* What happens when an invariant of our own does not hold.
 * SPDX-License-Identifier: MPL-2.0 */
#include "wire/assert.h"

#include <stdio.h>
#include <stdlib.h>

void leat_assert_failed (const char *condition, const char *file, int line)
{
    fprintf (stderr, "leat: assertion failed: %s (%s:%d)\n", condition, file, line);
    abort ();
}

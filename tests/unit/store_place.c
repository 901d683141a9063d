/* Directories for stores under test.
 * SPDX-License-Identifier: MPL-2.0 */
#include "tests/unit/store_place.h"

#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "wire/assert.h"

static struct {
    char root[200];
    char path[256];
    unsigned count;
} s_places;

const char *store_place (void)
{
    const char *tmp = getenv ("TMPDIR");
    if (!*s_places.root) {
        snprintf (s_places.root, sizeof s_places.root, "%.150s/leat-store-XXXXXX",
                  tmp ? tmp : "/tmp");
        leat_assert (mkdtemp (s_places.root) != NULL);
    }
    snprintf (s_places.path, sizeof s_places.path, "%s/%u", s_places.root, s_places.count++);
    return s_places.path;
}

static int s_remove (const char *path, const struct stat *status, int type, struct FTW *where)
{
    (void) status;
    (void) type;
    (void) where;
    return remove (path);
}

void store_place_end (void)
{
    if (*s_places.root)
        (void) nftw (s_places.root, s_remove, 8, FTW_DEPTH | FTW_PHYS);
    *s_places.root = 0;
}

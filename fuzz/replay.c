/* Runs a fuzz target once over every file of the folders and over the files that are named.

   Takes the place of libFuzzer's main () where that is not linked in, so that each corpus is also a
   plain test with every compiler, and a finding can be run again in a debugger.

   SPDX-License-Identifier: MPL-2.0 */

#include "fuzz/fuzz.h"

#include <dirent.h>
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

static bool s_is_folder (const char *path)
{
    struct stat status;
    return stat (path, &status) == 0 && S_ISDIR (status.st_mode);
}

static int s_fail (const char *path)
{
    fprintf (stderr, "replay: %s: %s\n", path, strerror (errno));
    return -1;
}

/* The input gets a block of exactly its size, so that reading one byte beyond it is seen. */
static int s_replay_file (const char *path)
{
    FILE *file = fopen (path, "rb");
    if (!file)
        return s_fail (path);

    int rc = -1;
    uint8_t *data = NULL;
    struct stat status;
    if (fstat (fileno (file), &status) == 0) {
        size_t size = (size_t) status.st_size;
        data = malloc (size > 0 ? size : 1);
        if (data && fread (data, 1, size, file) == size) {
            /* Said before the run: it is the last line that a crash leaves behind. */
            fprintf (stderr, "replay: %s, %zu bytes\n", path, size);
            LLVMFuzzerTestOneInput (data, size);
            rc = 0;
        }
    }
    if (rc == -1)
        s_fail (path);
    free (data);
    fclose (file);
    return rc;
}

static int s_is_visible (const struct dirent *entry)
{
    return entry->d_name[0] != '.';
}

/* In the order of their names, so that two runs are the same. Returns how many ran, or -1. */
static int s_replay_folder (const char *folder)
{
    struct dirent **entries = NULL;
    int count = scandir (folder, &entries, s_is_visible, alphasort);
    if (count == -1)
        return s_fail (folder);

    int replayed = 0;
    for (int index = 0; index < count; index++) {
        char path[4096];
        int length = snprintf (path, sizeof path, "%s/%s", folder, entries[index]->d_name);
        if (length < 0 || (size_t) length >= sizeof path) {
            errno = ENAMETOOLONG;
            replayed = s_fail (folder);
        } else if (replayed >= 0 && !s_is_folder (path))
            replayed = s_replay_file (path) == 0 ? replayed + 1 : -1;
        free (entries[index]);
    }
    free (entries);
    return replayed;
}

int main (int argc, char *argv[])
{
    int total = 0;
    for (int index = 1; index < argc; index++) {
        int replayed = 0;
        if (s_is_folder (argv[index]))
            replayed = s_replay_folder (argv[index]);
        else
            replayed = s_replay_file (argv[index]) == 0 ? 1 : -1;
        if (replayed == -1)
            return EXIT_FAILURE;
        total += replayed;
    }
    printf ("replayed %d inputs\n", total);
    if (total == 0) {
        fprintf (stderr, "replay: no input found; usage: %s FOLDER-OR-FILE...\n", argv[0]);
        return EXIT_FAILURE;
    }
    return EXIT_SUCCESS;
}
